//! Workers that panic, overrun or are killed: what they ran is told, and another takes their place.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use peristyle_jobs::{Lane, Pool, PoolOptions, Stop, StopReason};

/// The threads of all lanes, by lane.
fn threads(pool: &mut Pool) -> Vec<ThreadId> {
    let threads: Vec<Mutex<Option<ThreadId>>> = (0..pool.lanes()).map(|_| Mutex::new(None)).collect();
    let barrier = Barrier::new(pool.lanes());
    let work = |_: u32, lane: &mut Lane| {
        *threads[lane.index() as usize].lock().unwrap() = Some(thread::current().id());
        barrier.wait();
    };
    let lanes = pool.lanes();
    pool.scope(|scope| scope.run(&work, lanes as u32, lanes).unwrap());
    threads.into_iter().map(|thread| thread.into_inner().unwrap().unwrap()).collect()
}

/// Something that runs until it is stopped, as an agent would.
#[derive(Default)]
struct Endless {
    entries: AtomicU64,
    running: Mutex<Option<u64>>,
    stopped: Condvar,
    reason: Mutex<Option<StopReason>>,
}

impl Endless {
    fn run(&self) {
        let entry = self.entries.fetch_add(1, Ordering::SeqCst) + 1;
        let mut running = self.running.lock().unwrap();
        *running = Some(entry);
        drop(self.stopped.wait_while(running, |running| *running == Some(entry)).unwrap());
    }
}

impl Stop for Endless {
    fn entry(&self) -> u64 {
        self.entries.load(Ordering::SeqCst)
    }
    fn stop(&self, entry: u64, reason: StopReason) {
        let mut running = self.running.lock().unwrap();
        if *running == Some(entry) {
            *running = None;
            *self.reason.lock().unwrap() = Some(reason);
            self.stopped.notify_all();
        }
    }
}

#[test]
fn a_worker_that_panics_is_replaced() {
    let mut pool = Pool::new(2).unwrap();
    let before = threads(&mut pool);
    let barrier = Barrier::new(3);
    let panics = |_: u32, lane: &mut Lane| {
        lane.local(|| 1_u8);
        barrier.wait();
        assert!(lane.index() != 1, "lane 1 panics");
    };
    pool.scope(|scope| {
        let error = scope.run(&panics, 3, 2).unwrap_err();
        assert_eq!(error.message(), "lane 1 panics");
    });
    let after = threads(&mut pool);
    assert_eq!((before[0], before[2]), (after[0], after[2]));
    assert_ne!(before[1], after[1]);
    assert_eq!(pool.supervisor().replaced(), 1);
    // Its values went with it; the others' stay.
    let barrier = Barrier::new(3);
    let kept = AtomicU32::new(0);
    let count = |_: u32, lane: &mut Lane| {
        kept.fetch_add(u32::from(lane.get_local::<u8>().is_some()), Ordering::Relaxed);
        barrier.wait();
    };
    pool.scope(|scope| scope.run(&count, 3, 2).unwrap());
    assert_eq!(kept.into_inner(), 2);
}

#[test]
fn values_of_the_frames_thread_go_when_it_retires() {
    let mut pool = Pool::local();
    pool.scope(|scope| {
        scope.with_lane(|lane| {
            lane.local(|| 1_u8);
            lane.retire();
        });
    });
    pool.scope(|scope| scope.with_lane(|lane| assert_eq!(lane.get_local::<u8>(), None)));
}

#[test]
fn ranges_run_once_while_workers_are_killed() {
    let mut pool = Pool::new(2).unwrap();
    let (supervisor, done) = (pool.supervisor(), AtomicBool::new(false));
    thread::scope(|threads| {
        let killer = threads.spawn(|| {
            let mut lane = 1;
            while !done.load(Ordering::Relaxed) {
                supervisor.kill(lane);
                lane = 3 - lane;
                thread::yield_now();
            }
        });
        for _ in 0..300 {
            let counts: Vec<AtomicU32> = (0..50).map(|_| AtomicU32::new(0)).collect();
            let work = |range: u32, _: &mut Lane| {
                counts[range as usize].fetch_add(1, Ordering::Relaxed);
            };
            pool.scope(|scope| scope.run(&work, 50, 2).unwrap());
            assert!(counts.into_iter().all(|count| count.into_inner() == 1));
        }
        // At least one of them died, however busy the machine is.
        while supervisor.replaced() == 0 {
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
        killer.join().unwrap();
    });
    assert_eq!(threads(&mut pool).len(), 3);
}

#[test]
fn what_a_killed_worker_runs_is_stopped() {
    let mut pool = Pool::new(1).unwrap();
    let before = threads(&mut pool);
    let (supervisor, endless) = (pool.supervisor(), Arc::new(Endless::default()));
    let barrier = Barrier::new(2);
    let work = |_: u32, lane: &mut Lane| {
        barrier.wait();
        if lane.index() == 1 {
            lane.stopped_by(&endless);
            endless.run();
        } else {
            while endless.entries.load(Ordering::SeqCst) == 0 || endless.running.lock().unwrap().is_none() {
                thread::yield_now();
            }
            supervisor.kill(1);
        }
    };
    pool.scope(|scope| scope.run(&work, 2, 1).unwrap());
    assert_eq!(*endless.reason.lock().unwrap(), Some(StopReason::Killed));
    assert_ne!(threads(&mut pool)[1], before[1]);
}

#[test]
fn a_call_that_overruns_is_stopped_or_waited_for_and_told() {
    let deadline = Duration::from_millis(20);
    let mut pool = Pool::with_options(PoolOptions { deadline: Some(deadline), ..PoolOptions::new(1) }).unwrap();
    let endless = Arc::new(Endless::default());
    let overruns = Mutex::new(Vec::new());
    let barrier = Barrier::new(2);
    let work = |_: u32, lane: &mut Lane| {
        barrier.wait();
        let overrun = if lane.index() == 0 {
            // Nothing can stop this one: it ends by itself.
            lane.watched(|_| thread::sleep(deadline * 3)).1
        } else {
            lane.stopped_by(&endless);
            lane.watched(|_| endless.run()).1
        };
        overruns.lock().unwrap().push(overrun);
        assert_eq!(lane.watched(|_| ()).1, None);
    };
    pool.scope(|scope| scope.run(&work, 2, 1).unwrap());
    assert_eq!(*endless.reason.lock().unwrap(), Some(StopReason::Overran(deadline)));
    let overruns = overruns.into_inner().unwrap();
    assert!(
        overruns
            .iter()
            .all(|overrun| overrun.is_some_and(|overrun| overrun.took > deadline && overrun.deadline == deadline)),
        "{overruns:?}"
    );
}
