//! A panic in a range, or in a scope, is never a deadlock, an abort or a loose borrow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use peristyle_jobs::{Lane, Pool};

fn text(payload: Box<dyn std::any::Any + Send>) -> String {
    payload.downcast_ref::<&str>().map(|text| text.to_string()).or_else(|| payload.downcast().ok().map(|t| *t)).unwrap()
}

#[test]
fn a_panic_in_a_range_is_told_and_the_others_run() {
    for workers in 0..3 {
        let mut pool = Pool::new(workers).unwrap();
        for frame in 0..20 {
            let ran = AtomicU32::new(0);
            let work = |range: u32, _: &mut Lane| {
                ran.fetch_add(1, Ordering::Relaxed);
                assert!(range != 3, "frame {frame}");
            };
            pool.scope(|scope| {
                let task = scope.open(&work, 8, workers).unwrap();
                let panic = scope.wait(task).unwrap_err();
                assert_eq!((panic.range(), panic.message()), (3, &*format!("frame {frame}")));
                assert_eq!(panic.to_string(), format!("range 3 panicked: frame {frame}"));
                let payload = catch_unwind(AssertUnwindSafe(|| panic.resume())).unwrap_err();
                assert_eq!(text(payload), format!("frame {frame}"));
            });
            assert_eq!(ran.into_inner(), 8);
        }
        let fine = |_: u32, _: &mut Lane| ();
        pool.scope(|scope| scope.run(&fine, 8, workers).unwrap());
    }
}

#[test]
fn many_panics_at_once_leave_one() {
    let mut pool = Pool::new(2).unwrap();
    let barrier = Barrier::new(3);
    let work = |range: u32, _: &mut Lane| {
        barrier.wait();
        panic!("range {range}");
    };
    pool.scope(|scope| {
        let panic = scope.run(&work, 3, 2).unwrap_err();
        assert_eq!(panic.message(), format!("range {}", panic.range()));
        let fine = |_: u32, _: &mut Lane| ();
        scope.run(&fine, 3, 2).unwrap();
    });
}

/// Panics when dropped, and drops more of its kind.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Bomb(self.0 - 1));
        }
    }
}

#[test]
fn payloads_that_panic_when_dropped_do_not_end_workers() {
    let mut pool = Pool::new(2).unwrap();
    for _ in 0..3 {
        let barrier = Barrier::new(3);
        let work = |_: u32, _: &mut Lane| {
            barrier.wait();
            std::panic::panic_any(Bomb(2));
        };
        pool.scope(|scope| {
            let panic = scope.run(&work, 3, 2).unwrap_err();
            std::mem::forget(panic.into_payload());
        });
    }
}

#[test]
fn a_panic_that_nobody_waited_for_comes_out_of_the_scope() {
    let mut pool = Pool::new(1).unwrap();
    let work = |_: u32, _: &mut Lane| panic!("unseen");
    let scoped = catch_unwind(AssertUnwindSafe(|| {
        pool.scope(|scope| {
            let _ = scope.open(&work, 2, 1).unwrap();
            let _ = scope.open(&work, 2, 1).unwrap();
        });
    }));
    assert_eq!(text(scoped.unwrap_err()), "unseen");
}

#[test]
fn a_scope_that_unwinds_waits_for_what_runs_and_drops_the_rest() {
    let mut pool = Pool::new(1).unwrap();
    for _ in 0..50 {
        let (started, finished) = (AtomicU32::new(0), AtomicU32::new(0));
        let work = |_: u32, _: &mut Lane| {
            started.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            finished.fetch_add(1, Ordering::Relaxed);
        };
        let scoped = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|scope| {
                let _ = scope.open(&work, 1000, 1).unwrap();
                panic!("out");
            });
        }));
        assert_eq!(text(scoped.unwrap_err()), "out");
        assert_eq!(started.load(Ordering::Relaxed), finished.load(Ordering::Relaxed));
    }
}

#[test]
fn values_of_lane_0_outlive_a_panic() {
    let mut pool = Pool::new(0).unwrap();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        pool.scope(|scope| {
            scope.with_lane(|lane| {
                *lane.local(|| 1) += 1;
                panic!("out");
            })
        });
    }));
    pool.scope(|scope| scope.with_lane(|lane| assert_eq!(lane.get_local(), Some(&mut 2))));
}
