//! What a pool promises: every range once, borrowed data, order by waiting, values of lanes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use peristyle_jobs::{BoardFull, Lane, Pool, PoolOptions, TASKS_MAX};
use peristyle_timeline::{Kind, Timeline};

/// Counts the runs of each range.
fn counts(ranges: u32) -> Vec<AtomicU32> {
    (0..ranges).map(|_| AtomicU32::new(0)).collect()
}

fn assert_each(counts: &[AtomicU32], times: u32) {
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == times), "{counts:?}");
}

/// A pool whose workers park at once.
fn sleepy(workers: usize) -> Pool {
    Pool::with_options(PoolOptions { spin: Duration::ZERO, ..PoolOptions::new(workers) }).unwrap()
}

/// A pool whose workers spin although there may be too few cores.
fn eager(workers: usize) -> Pool {
    Pool::with_options(PoolOptions { spin: Duration::from_micros(20), ..PoolOptions::new(workers) }).unwrap()
}

/// Keeps `lanes` lanes inside of one task at once, so that each runs a range of it.
fn on_every_lane(pool: &mut Pool, f: impl Fn(&mut Lane) + Sync) {
    let lanes = pool.lanes();
    let barrier = Barrier::new(lanes);
    let work = |_: u32, lane: &mut Lane| {
        f(lane);
        barrier.wait();
    };
    pool.scope(|scope| scope.run(&work, lanes as u32, lanes).unwrap());
}

#[test]
fn every_range_runs_once() {
    for (workers, make) in (0..=4).flat_map(|workers| [(workers, sleepy as fn(usize) -> Pool), (workers, eager)]) {
        let mut pool = make(workers);
        for frame in 0..300_u32 {
            let ranges = frame % 17;
            let counts = counts(ranges);
            let work = |range: u32, _: &mut Lane| {
                counts[range as usize].fetch_add(1, Ordering::Relaxed);
            };
            pool.scope(|scope| {
                let task = scope.open(&work, ranges, frame as usize % 3).unwrap();
                scope.wait(task).unwrap();
            });
            assert_each(&counts, 1);
        }
        let ran: u64 = (0..pool.lanes()).map(|lane| pool.ranges_run(lane)).sum();
        assert_eq!(ran, (0..300_u64).map(|frame| frame % 17).sum::<u64>());
    }
}

#[test]
fn plain_data_written_by_workers_is_seen() {
    let mut pool = eager(2);
    let mut rows = vec![0_u64; 8 * 512];
    for frame in 1..200_u64 {
        let chunks: Vec<Mutex<&mut [u64]>> = rows.chunks_mut(512).map(Mutex::new).collect();
        let work = |range: u32, _: &mut Lane| {
            for row in chunks[range as usize].try_lock().unwrap().iter_mut() {
                *row += 1;
            }
        };
        pool.scope(|scope| scope.run(&work, 8, 2).unwrap());
        assert!(rows.iter().all(|&row| row == frame));
    }
}

#[test]
fn a_scope_waits_for_what_it_opened() {
    let mut pool = sleepy(1);
    let counts = counts(100);
    let work = |range: u32, _: &mut Lane| {
        counts[range as usize].fetch_add(1, Ordering::Relaxed);
    };
    let value = pool.scope(|scope| {
        let _ = scope.open(&work, 100, 1).unwrap();
        7
    });
    assert_eq!(value, 7);
    assert_each(&counts, 1);
}

#[test]
fn a_pool_of_no_workers_runs_everything_here() {
    let mut pool = Pool::new(0).unwrap();
    assert_eq!((pool.workers(), pool.lanes(), pool.spinning()), (0, 1, 0));
    let here = thread::current().id();
    let work = |_: u32, lane: &mut Lane| {
        assert_eq!((lane.index(), thread::current().id()), (0, here));
    };
    pool.scope(|scope| {
        let task = scope.open(&work, 3, 5).unwrap();
        assert!(scope.help() && scope.help() && !scope.is_done(&task));
        assert!(scope.help() && scope.is_done(&task) && !scope.help());
        scope.wait(task).unwrap();
    });
    assert_eq!(pool.ranges_run(0), 3);
}

#[test]
fn every_lane_can_run_and_is_counted() {
    let mut pool = sleepy(3);
    let seen = Mutex::new(BTreeSet::new());
    on_every_lane(&mut pool, |lane| {
        seen.lock().unwrap().insert(lane.index());
    });
    assert_eq!(seen.into_inner().unwrap(), BTreeSet::from([0, 1, 2, 3]));
    assert!((0..4).all(|lane| pool.ranges_run(lane) == 1));
}

#[test]
fn a_task_may_need_the_result_of_another() {
    let mut pool = eager(2);
    for _ in 0..200 {
        let (a, b, side) = (counts(4), counts(4), counts(6));
        let count_a = |range: u32, _: &mut Lane| {
            a[range as usize].fetch_add(range + 1, Ordering::Relaxed);
        };
        let copy_a = |range: u32, _: &mut Lane| {
            let value = a[3 - range as usize].load(Ordering::Relaxed);
            b[range as usize].store(value, Ordering::Relaxed);
        };
        let beside = |range: u32, _: &mut Lane| {
            side[range as usize].fetch_add(1, Ordering::Relaxed);
        };
        pool.scope(|scope| {
            let task_side = scope.open(&beside, 6, 1).unwrap();
            let task_a = scope.open(&count_a, 4, 1).unwrap();
            scope.wait(task_a).unwrap();
            let task_b = scope.open(&copy_a, 4, 1).unwrap();
            scope.wait(task_b).unwrap();
            scope.wait(task_side).unwrap();
        });
        let b: Vec<u32> = b.into_iter().map(AtomicU32::into_inner).collect();
        assert_eq!(b, [4, 3, 2, 1]);
        assert_each(&side, 1);
    }
}

#[test]
fn waiting_for_any_returns_what_is_done() {
    let mut pool = eager(2);
    let counts = counts(5);
    let work = |range: u32, _: &mut Lane| {
        counts[range as usize].fetch_add(1, Ordering::Relaxed);
    };
    pool.scope(|scope| {
        assert_eq!(scope.wait_any(), None);
        let mut tasks: Vec<_> = (0..8).map(|_| Some(scope.open(&work, 5, 1).unwrap())).collect();
        for left in (0..8).rev() {
            let index = scope.wait_any().unwrap();
            let at = tasks.iter().position(|task| task.as_ref().is_some_and(|task| task.index() == index)).unwrap();
            let task = tasks[at].take().unwrap();
            assert!(scope.is_done(&task));
            scope.wait(task).unwrap();
            assert_eq!(tasks.iter().flatten().count(), left);
        }
        assert_eq!(scope.wait_any(), None);
    });
    assert_each(&counts, 8);
}

#[test]
fn a_full_board_is_an_error_and_run_still_runs() {
    let mut pool = sleepy(1);
    let counts = counts(2);
    let work = |range: u32, _: &mut Lane| {
        counts[range as usize].fetch_add(1, Ordering::Relaxed);
    };
    let fail = |_: u32, _: &mut Lane| panic!("in place");
    pool.scope(|scope| {
        let mut tasks: Vec<_> = (0..TASKS_MAX).map(|_| scope.open(&work, 2, 0).unwrap()).collect();
        assert_eq!(scope.open(&work, 2, 0).unwrap_err(), BoardFull);
        scope.run(&work, 2, 0).unwrap();
        let panic = scope.run(&fail, 2, 0).unwrap_err();
        assert_eq!((panic.range(), panic.message()), (0, "in place"));
        scope.wait(tasks.pop().unwrap()).unwrap();
        tasks.push(scope.open(&work, 2, 0).unwrap());
    });
    assert_each(&counts, TASKS_MAX as u32 + 2);
}

#[test]
#[should_panic = "ranges, at most"]
fn too_many_ranges_panic() {
    let work = |_: u32, _: &mut Lane| ();
    Pool::new(0).unwrap().scope(|scope| drop(scope.open(&work, u32::MAX, 0)));
}

#[test]
fn a_pool_may_move_to_another_thread() {
    let mut pool = sleepy(1);
    let counts = counts(8);
    let work = |range: u32, _: &mut Lane| {
        counts[range as usize].fetch_add(1, Ordering::Relaxed);
    };
    pool.scope(|scope| scope.run(&work, 8, 1).unwrap());
    thread::scope(|threads| {
        threads.spawn(|| pool.scope(|scope| scope.run(&work, 8, 1).unwrap()));
    });
    pool.scope(|scope| scope.run(&work, 8, 1).unwrap());
    assert_each(&counts, 3);
}

#[test]
fn dropping_parked_or_spinning_workers_ends_them() {
    for _ in 0..50 {
        drop(sleepy(2));
        drop(eager(2));
    }
    let pool = sleepy(2);
    while pool.spinning() > 0 {
        thread::yield_now();
    }
    drop(pool);
}

#[test]
fn a_parked_worker_is_woken_when_asked() {
    let mut pool = sleepy(1);
    for _ in 0..100 {
        while pool.spinning() > 0 {
            thread::yield_now();
        }
        let ran_by = AtomicU32::new(u32::MAX);
        let work = |_: u32, lane: &mut Lane| ran_by.store(lane.index(), Ordering::Relaxed);
        pool.scope(|scope| {
            let task = scope.open(&work, 1, 1).unwrap();
            while !scope.is_done(&task) {
                thread::yield_now();
            }
            scope.wait(task).unwrap();
        });
        assert_eq!(ran_by.into_inner(), 1);
    }
}

/// Tells on which thread it was dropped. Not `Send`.
struct Local {
    made_on: ThreadId,
    dropped: Arc<Mutex<Vec<(ThreadId, ThreadId)>>>,
    uses: Rc<Cell<u32>>,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.dropped.lock().unwrap().push((self.made_on, thread::current().id()));
    }
}

#[test]
fn values_of_a_lane_stay_and_are_dropped_on_their_thread() {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let mut pool = sleepy(3);
    for round in 1..=3 {
        on_every_lane(&mut pool, |lane| {
            let local = lane.local(|| Local {
                made_on: thread::current().id(),
                dropped: Arc::clone(&dropped),
                uses: Rc::default(),
            });
            assert_eq!(local.made_on, thread::current().id());
            local.uses.set(local.uses.get() + 1);
            assert_eq!(local.uses.get(), round);
        });
    }
    assert!(dropped.lock().unwrap().is_empty());
    drop(pool);
    let dropped = dropped.lock().unwrap();
    assert_eq!(dropped.len(), 4);
    assert!(dropped.iter().all(|(made, dropped)| made == dropped));
    assert_eq!(dropped.iter().map(|(made, _)| format!("{made:?}")).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn values_of_lane_0_stay_on_the_thread_that_ran_the_frame() {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let make = || Local { made_on: thread::current().id(), dropped: Arc::clone(&dropped), uses: Rc::default() };
    let mut pool = Pool::new(0).unwrap();
    pool.scope(|scope| scope.with_lane(|lane| lane.local(make).uses.set(1)));
    let mut pool = thread::scope(|threads| {
        let other = threads.spawn(|| {
            pool.scope(|scope| scope.with_lane(|lane| assert_eq!(lane.local(make).uses.get(), 0)));
            pool
        });
        other.join().unwrap()
    });
    assert!(dropped.lock().unwrap().iter().all(|(made, dropped)| made == dropped));
    pool.scope(|scope| {
        scope.with_lane(|lane| {
            assert_eq!(lane.get_local::<Local>().unwrap().uses.get(), 1);
            assert!(lane.get_local::<u8>().is_none());
            *lane.local(|| 1_u8) += 1;
            assert_eq!((lane.take_local::<u8>(), lane.take_local::<u8>()), (Some(2), None));
        });
    });
    thread::spawn(move || drop(pool)).join().unwrap();
    // The pool went on another thread: its values here go when this thread runs another pool's frame.
    let mut next = Pool::new(0).unwrap();
    next.scope(|scope| scope.with_lane(|lane| *lane.local(|| 0)));
    let dropped = dropped.lock().unwrap();
    assert_eq!(dropped.len(), 2);
    assert!(dropped.iter().all(|(made, dropped)| made == dropped));
}

#[test]
fn values_of_lane_0_go_when_frames_leave_their_thread() {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let make = || Local { made_on: thread::current().id(), dropped: Arc::clone(&dropped), uses: Rc::default() };
    let mut pool = Pool::new(0).unwrap();
    pool.scope(|scope| scope.with_lane(|lane| lane.local(make).uses.set(1)));
    let mut pool = thread::spawn(move || {
        pool.drop_frame_values();
        pool
    })
    .join()
    .unwrap();
    // There were none of that thread.
    assert!(dropped.lock().unwrap().is_empty());
    pool.drop_frame_values();
    let here = thread::current().id();
    assert_eq!(*dropped.lock().unwrap(), [(here, here)]);
    pool.scope(|scope| scope.with_lane(|lane| assert!(lane.get_local::<Local>().is_none())));
}

#[test]
fn the_newest_value_of_a_lane_is_dropped_first() {
    struct Noisy<const N: u8>(Rc<RefCell<Vec<u8>>>);
    impl<const N: u8> Drop for Noisy<N> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(N);
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut pool = Pool::new(0).unwrap();
    pool.scope(|scope| {
        scope.with_lane(|lane| {
            lane.local(|| Noisy::<1>(log.clone()));
            lane.local(|| Noisy::<2>(log.clone()));
            lane.local(|| Noisy::<3>(log.clone()));
        });
    });
    drop(pool);
    assert_eq!(*log.borrow(), [3, 2, 1]);
}

#[test]
fn waits_for_workers_are_recorded() {
    let timeline = Timeline::new(2, 64);
    timeline.set_enabled(true);
    let options = PoolOptions { timeline: timeline.clone(), ..PoolOptions::new(1) };
    let mut pool = Pool::with_options(options).unwrap();
    // Who finds its task done has not waited: as often as it takes to find it running.
    while timeline.read()[0].spans.is_empty() {
        wait_for_a_worker(&mut pool);
    }
    let spans = &timeline.read()[0].spans;
    assert_eq!(spans.iter().map(|span| span.kind).collect::<Vec<_>>(), [Kind::Wait]);
}

/// Waits for a task that a worker still runs, unless this thread loses its core meanwhile.
fn wait_for_a_worker(pool: &mut Pool) {
    let (started, go) = (AtomicBool::new(false), AtomicBool::new(false));
    let slow = |_: u32, lane: &mut Lane| {
        assert_eq!(lane.index(), 1);
        started.store(true, Ordering::Relaxed);
        while !go.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    };
    pool.scope(|scope| {
        let task = scope.open(&slow, 1, 1).unwrap();
        while !started.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        assert!(!scope.help() && !scope.is_done(&task));
        thread::scope(|threads| {
            threads.spawn(|| {
                // Gives the other thread every chance to fall asleep; either way is right.
                (0..100).for_each(|_| thread::yield_now());
                go.store(true, Ordering::Relaxed);
            });
            scope.wait(task).unwrap();
        });
    });
}

#[test]
fn a_job_records_on_its_own_lane() {
    let timeline = Timeline::new(2, 64);
    timeline.set_enabled(true);
    let options = PoolOptions { timeline: timeline.clone(), ..PoolOptions::new(1) };
    let mut pool = Pool::with_options(options).unwrap();
    let name = timeline.name("inside");
    let record = |lane: &mut Lane| {
        let stamp = lane.timeline().begin();
        lane.timeline().end(lane.index() as usize, Kind::Collection, name, stamp, 0, 0);
    };
    let ran = AtomicBool::new(false);
    let work = |_: u32, lane: &mut Lane| {
        record(lane);
        ran.store(lane.index() == 1, Ordering::Release);
    };
    // Twice, for the frame's lane gets its timeline back from each scope.
    for _ in 0..2 {
        ran.store(false, Ordering::Relaxed);
        pool.scope(|scope| {
            scope.with_lane(|lane| record(lane));
            let task = scope.open(&work, 1, 1).unwrap();
            while !ran.load(Ordering::Acquire) {
                thread::yield_now();
            }
            scope.wait(task).unwrap();
        });
    }
    let counts = timeline.read().into_iter().map(|lane| {
        let inside = lane.spans.iter().filter(|span| (span.kind, span.name) == (Kind::Collection, name));
        inside.count()
    });
    assert_eq!(counts.collect::<Vec<_>>(), [2, 2]);
}
