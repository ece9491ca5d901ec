//! loom models of the board and of sleeping: every interleaving of few steps.
//!
//! Each model also runs with one of its orderings weakened, and must then fail: that shows that the
//! model notices, and that the ordering is needed.

use std::ptr::NonNull;
// Not loom's: its count cannot be lowered while a failed model unwinds.
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;
use peristyle_timeline::Timeline;

use crate::board::{Board, Ran, Work};
use crate::lane::{Lane, Locals};
use crate::pool::{Pool, PoolOptions, Shared};
use crate::sync::Edge::{Claim, Done, Finish, Publish, Sleep};
use crate::sync::weak::model;
use crate::watch::Watch;

/// Counts the runs of each range in plain cells: loom fails on any access that is not ordered.
struct Rows<const N: usize>([UnsafeCell<u32>; N]);

// SAFETY: each range runs once and is read after the task is done; the models prove it.
unsafe impl<const N: usize> Sync for Rows<N> {}

impl<const N: usize> Rows<N> {
    fn new() -> Rows<N> {
        Rows(std::array::from_fn(|_| UnsafeCell::new(0)))
    }

    fn pointer(&self) -> NonNull<dyn Work> {
        let work: NonNull<dyn Work + '_> = NonNull::from(self);
        // SAFETY: only the lifetime changes; the models keep the rows until the task is done.
        unsafe { std::mem::transmute(work) }
    }

    /// The opener's look at what the ranges wrote.
    fn assert_once(&self) {
        for row in &self.0 {
            // SAFETY: the task is done.
            assert_eq!(row.with(|row| unsafe { *row }), 1);
        }
    }
}

impl<const N: usize> Work for Rows<N> {
    fn run(&self, range: u32, _: &mut Lane) {
        // SAFETY: this call alone has the row.
        self.0[range as usize].with_mut(|row| unsafe { *row += 1 });
    }
}

fn lane(index: u32) -> Lane {
    Lane::new(index, Timeline::off(), Locals::default(), std::sync::Arc::new(Watch::new(None)))
}

fn wait(board: &Board, slot: usize) {
    while !board.is_done(slot) {
        thread::yield_now();
    }
    assert!(board.take_panic(slot).is_none());
}

/// A worker and the frame's thread share the ranges of one task.
fn every_range_once() {
    let board = Arc::new(Board::new(2));
    let rows = Rows::<2>::new();
    let worker = thread::spawn({
        let board = Arc::clone(&board);
        move || {
            let lane = &mut lane(1);
            (board.run_one(0, lane), board.run_one(0, lane))
        }
    });
    // SAFETY: this thread alone opens; the slot is new; `rows` lives until the task is done.
    unsafe { board.open(0, rows.pointer(), 2) };
    board.show(0);
    while board.run_one(0, &mut lane(0)) != Ran::Nothing {}
    wait(&board, 0);
    rows.assert_once();
    worker.join().unwrap();
}

/// A worker that looked at a task is late, and claims after the slot was opened with other work.
fn a_slot_reopens_under_a_late_worker() {
    let shared = Arc::new(Shared::new(PoolOptions::new(1)));
    let worker = thread::spawn({
        let shared = Arc::clone(&shared);
        move || shared.run_slot(0, &mut lane(1))
    });
    for _ in 0..2 {
        // Gone after each opening, so that loom notices a late look at old work.
        let rows = Rows::<1>::new();
        // SAFETY: this thread alone opens; the slot is new or done; `rows` lives until it is done.
        unsafe { shared.board.open(0, rows.pointer(), 1) };
        shared.run_slot(0, &mut lane(0));
        shared.sleep_until(|| shared.board.is_done(0));
        assert!(shared.board.take_panic(0).is_none());
        rows.assert_once();
    }
    worker.join().unwrap();
}

/// The worker may sleep and must be woken; the frame's thread runs nothing, may sleep and must be woken.
fn nobody_sleeps_through() {
    let shared = Arc::new(Shared::new(PoolOptions::new(1)));
    let rows = Rows::<1>::new();
    let worker = thread::spawn({
        let shared = Arc::clone(&shared);
        move || shared.work(0)
    });
    // SAFETY: this thread alone opens; the slot is new; `rows` lives until the task is done.
    unsafe { shared.board.open(0, rows.pointer(), 1) };
    shared.board.show(0);
    shared.dormitory.wake(1);
    shared.sleep_until(|| shared.board.is_done(0));
    rows.assert_once();
    shared.stop();
    worker.join().unwrap();
}

/// A pool from start to end: a frame of two ranges, then the end of the pool.
fn a_pool_runs_a_frame_and_ends() {
    let rows = Rows::<2>::new();
    let mut pool = Pool::new(1).unwrap();
    pool.scope(|scope| scope.run(&rows, 2, 1).unwrap());
    rows.assert_once();
    drop(pool);
}

#[test]
fn board_runs_every_range_once() {
    model(None, every_range_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn board_without_publish() {
    model(Publish, every_range_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn board_without_claim() {
    model(Claim, every_range_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn board_without_finish() {
    model(Finish, every_range_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn board_without_done() {
    model(Done, every_range_once);
}

#[test]
fn reopening_is_safe() {
    model(None, a_slot_reopens_under_a_late_worker);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn reopening_without_publish() {
    model(Publish, a_slot_reopens_under_a_late_worker);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn reopening_without_finish() {
    model(Finish, a_slot_reopens_under_a_late_worker);
}

#[test]
fn sleepers_are_woken() {
    model(None, nobody_sleeps_through);
}

#[test]
#[should_panic(expected = "deadlock")]
fn sleepers_without_fences() {
    model(Sleep, nobody_sleeps_through);
}

#[test]
fn a_whole_pool() {
    model(None, a_pool_runs_a_frame_and_ends);
}
