//! What a tick of a scheduler that runs ahead costs, beside the same ticks in place and beside copies by hand, in turns in
//! one run.
//!
//! `cargo run -p peristyle-schedule --example run_ahead_bench [-- TURNS]`
//!
//! - *Empty ticks*: no system, no column; the observer releases each tick. In place: `run_frame` in a loop.
//! - *Copies*: one column of 100 000 `f32` and the entities are copied each tick. By hand: `run_frame`, a `memcpy` of as
//!   many bytes as the column and the handles have, and a sum over the column, on one thread.

use std::{hint::black_box, time::Instant};

use peristyle_memory::mailbox::Wait;
use peristyle_schedule::{Mode, Observer, Options, RunAhead, RunAheadOptions, Scheduler};
use peristyle_world::{Component, World};

const AHEAD: u32 = 63;
const EMPTY_TICKS: u64 = 100_000;
const COPY_TICKS: u64 = 200;
const ROWS: usize = 100_000;

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
}

fn scheduler(rows: usize) -> Scheduler {
    let mut world = World::new().expect("a world");
    world.spawn_batch((0..rows).map(|i| Position { x: i as f32 })).expect("room");
    let options = Options { workers: 0, mode: Mode::Serial, ..Options::default() };
    Scheduler::new(world, options).expect("no thread is needed")
}

/// Nanoseconds a tick.
fn ahead(ticks: u64, rows: usize, options: RunAheadOptions, mut see: impl FnMut(&Observer)) -> f64 {
    let (mut ahead, mut observers) = RunAhead::start(scheduler(rows), options).expect("a ring and a thread");
    let mut run = |ticks: u64| {
        ahead.run(ticks, 0.1, 0.0).expect("the runner");
        for _ in 0..ticks {
            observers[0].wait(1, Wait::Forever).expect("the runner");
            see(&observers[0]);
            observers[0].release(1);
        }
        ahead.wait(Wait::Forever).expect("the runner");
    };
    run(ticks / 10);
    let start = Instant::now();
    run(ticks);
    start.elapsed().as_nanos() as f64 / ticks as f64
}

/// Nanoseconds a tick.
fn in_place(ticks: u64, rows: usize, mut see: impl FnMut()) -> f64 {
    let mut scheduler = scheduler(rows);
    let mut run = |ticks| {
        for _ in 0..ticks {
            scheduler.run_frame(0.1, 0.0).expect("nothing fails");
            see();
        }
    };
    run(ticks / 10);
    let start = Instant::now();
    run(ticks);
    start.elapsed().as_nanos() as f64 / ticks as f64
}

fn sum(x: &[f32]) -> f32 {
    x.chunks_exact(8).fold([0.0; 8], |sums, x| std::array::from_fn(|i| sums[i] + x[i])).iter().sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let turns = std::env::args().nth(1).map_or(15, |turns| turns.parse().expect("the argument is a number of turns"));
    let (mut empty, mut alone, mut copied, mut by_hand) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (from, mut to) = (vec![1_u8; ROWS * 12], vec![0_u8; ROWS * 12]);
    let column: Vec<f32> = (0..ROWS).map(|i| i as f32).collect();
    for _ in 0..turns {
        empty.push(ahead(EMPTY_TICKS, 0, RunAheadOptions::new(AHEAD), |_| ()));
        alone.push(in_place(EMPTY_TICKS, 0, || ()));
        let options = RunAheadOptions::new(3).observe::<Position>();
        copied.push(ahead(COPY_TICKS, ROWS, options, |observer| {
            let copy = observer.get(0).expect("it was waited for");
            black_box(sum(copy.column("Position", "x").expect("it was chosen")));
        }));
        by_hand.push(in_place(COPY_TICKS, ROWS, || {
            black_box(&mut to).copy_from_slice(black_box(&from));
            black_box(sum(black_box(&column)));
        }));
    }
    let (empty, alone, copied, by_hand) = (median(empty), median(alone), median(copied), median(by_hand));
    println!("empty ticks {empty:>9.1} ns ahead: {:.2} M a second, x{:.2} of in place", 1e3 / empty, empty / alone);
    println!("            {alone:>9.1} ns in place");
    println!("copies      {:>9.2} us ahead, x{:.2} of by hand", copied / 1e3, copied / by_hand);
    println!("            {:>9.2} us by hand", by_hand / 1e3);
}
