//! Tasks beside frames: the bound, the order of ends, closing.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use peristyle_jobs::{Close, Lane, Pool, PoolOptions, RefuseReason, TaskError};

fn pool(workers: usize, queue: usize) -> Pool {
    Pool::with_options(PoolOptions { queue, ..PoolOptions::new(workers) }).unwrap()
}

/// A pool of one worker, which waits until the barrier is passed.
fn busy(queue: usize) -> (Pool, Arc<Barrier>) {
    let (pool, barrier) = (pool(1, queue), Arc::new(Barrier::new(2)));
    let (started, starts) = mpsc::channel();
    let inside = barrier.clone();
    drop(pool.submit(move |_| {
        started.send(()).unwrap();
        inside.wait();
    }));
    starts.recv().unwrap();
    (pool, barrier)
}

#[test]
fn tasks_give_values_on_any_pool() {
    for workers in 0..3 {
        let pool = pool(workers, 4);
        let pending: Vec<_> = (0..50_u64).map(|n| pool.submit(move |_| n * n).unwrap()).collect();
        let sum: u64 = pending.into_iter().map(|pending| pending.wait().unwrap()).sum();
        assert_eq!(sum, (0..50_u64).map(|n| n * n).sum::<u64>());
    }
}

#[test]
fn tasks_find_the_values_of_their_lane() {
    for workers in 0..2 {
        let mut pool = pool(workers, 4);
        let count = |lane: &mut Lane| {
            *lane.local(|| 0_u32) += 1;
            *lane.local(|| 0_u32)
        };
        assert_eq!(pool.submit(count).unwrap().wait(), Ok(1));
        assert_eq!(pool.submit(count).unwrap().wait(), Ok(2));
        if workers == 0 {
            assert_eq!(pool.scope(|scope| scope.with_lane(count)), 3);
        }
    }
}

#[test]
fn a_full_queue_refuses_and_gives_the_task_back() {
    let (pool, barrier) = busy(2);
    let pending = [pool.try_submit(|_| 1).unwrap(), pool.try_submit(|_| 2).unwrap()];
    let refused = pool.try_submit(|_| 3).unwrap_err();
    assert_eq!(refused.reason, RefuseReason::Full { capacity: 2 });
    assert_eq!(refused.to_string(), "2 tasks wait already, no more may");
    barrier.wait();
    assert_eq!(pending.map(|pending| pending.wait().unwrap()), [1, 2]);
    assert_eq!(pool.submit(refused.task).unwrap().wait(), Ok(3));
}

#[test]
fn a_full_queue_blocks_until_there_is_room() {
    let (pool, barrier) = busy(1);
    let first = pool.try_submit(|_| 1).unwrap();
    thread::scope(|threads| {
        let second = threads.spawn(|| pool.submit(|_| 2).unwrap().wait());
        barrier.wait();
        assert_eq!(second.join().unwrap(), Ok(2));
    });
    assert_eq!(first.wait(), Ok(1));
}

#[test]
fn a_panic_is_the_tasks_own() {
    for workers in 0..2 {
        let pool = pool(workers, 4);
        let pending = pool.submit(|lane| {
            lane.local(|| 1_u8);
            if lane.index() < 9 {
                panic!("no");
            }
        });
        assert_eq!(pending.unwrap().wait(), Err(TaskError::Panicked("no".into())));
        assert_eq!(pool.submit(|lane| lane.get_local::<u8>().copied()).unwrap().wait(), Ok(None));
    }
}

#[test]
fn closing_drains_or_cancels() {
    for (how, result) in [(Close::Drain, Ok(7)), (Close::Cancel, Err(TaskError::Cancelled))] {
        let (pool, barrier) = busy(8);
        let pending: Vec<_> = (0..5).map(|_| pool.submit(|_| 7).unwrap()).collect();
        thread::scope(|threads| {
            let closing = threads.spawn(move || pool.close(how));
            // The worker is still busy: whoever closes drains, or cancels, by itself.
            let ends: Vec<_> = pending.into_iter().map(|pending| pending.wait()).collect();
            barrier.wait();
            assert_eq!(ends, vec![result; 5]);
            closing.join().unwrap();
        });
    }
}

#[test]
fn frames_come_before_tasks_and_go_on_beside_them() {
    let (mut pool, barrier) = busy(2);
    // The only worker is busy: the frame's thread does it all.
    let ran = AtomicU32::new(0);
    let work = |_: u32, lane: &mut Lane| {
        assert_eq!(lane.index(), 0);
        ran.fetch_add(1, Ordering::Relaxed);
    };
    pool.scope(|scope| scope.run(&work, 20, 1).unwrap());
    assert_eq!(ran.into_inner(), 20);
    barrier.wait();
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_task_is_a_future() {
    let (pool, barrier) = busy(2);
    let mut pending = pin!(pool.submit(|_| 5).unwrap());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    assert_eq!(pending.as_mut().poll(&mut context), Poll::Pending);
    barrier.wait();
    loop {
        match pending.as_mut().poll(&mut context) {
            Poll::Ready(value) => break assert_eq!(value, Ok(5)),
            Poll::Pending => thread::park(),
        }
    }
}
