//! Where systems run: what the scheduler chooses, against each choice pinned by hand.
//!
//! One system over rows, cheap and heavy, at six row counts, and 64 small systems in a frame.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin placement [-- TURNS]
//! ```

use std::hint::black_box;

use peristyle_bench::{Contestant, compare, turns};
use peristyle_schedule::{Options, Scheduler, System, Where};
use peristyle_world::{Component, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy)]
struct Velocity {
    x: f32,
    y: f32,
}

const PLACES: [Where; 4] = [Where::Auto, Where::InPlace, Where::Worker, Where::Split];

fn scheduler(rows: usize) -> Scheduler {
    let mut world = World::new().expect("addresses");
    let rows_of = (0..rows).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: i as f32 }));
    world.spawn_batch(rows_of).expect("memory");
    Scheduler::new(world, Options { workers: 1, ..Options::default() }).expect("threads start")
}

fn frames(mut scheduler: Scheduler) -> impl FnMut() {
    let mut time = 0.0;
    move || {
        time += 1.0 / 60.0;
        black_box(scheduler.run_frame(1.0 / 60.0, time).expect("the frame runs"));
    }
}

/// `rounds` of arithmetic for each row; one is little more than a pass through memory.
fn one(rows: usize, rounds: usize, place: Where) -> Contestant {
    let mut scheduler = scheduler(rows);
    let system = System::new("step").each_chunk::<(&mut Position, &Velocity)>(move |range, (p, v)| {
        let dt = range.tick().dt as f32;
        for row in 0..p.x.len() {
            let (mut x, mut y) = (p.x[row], p.y[row]);
            for _ in 0..rounds {
                x += (v.x[row] - 0.01 * y) * dt;
                y += (v.y[row] + 0.01 * x) * dt;
            }
            (p.x[row], p.y[row]) = (x, y);
        }
    });
    scheduler.add(system.run_in(place)).expect("names differ");
    Contestant::new(format!("{place:?}"), frames(scheduler))
}

/// 64 systems of some microseconds that do not wait for each other.
fn many(rounds: u32, place: Where) -> Contestant {
    let mut scheduler = scheduler(1);
    for at in 0..64 {
        let system = System::new(format!("small {at:02}")).run(move |_| {
            move |_| {
                black_box((0..rounds).fold(1.0_f32, |sum, i| black_box(sum + (i as f32).sqrt())));
            }
        });
        scheduler.add(system.run_in(place)).expect("names differ");
    }
    Contestant::new(format!("{place:?}"), frames(scheduler))
}

/// The first contestant's median and minimum against the best of the others'.
fn against_best(taken: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|at| taken[0][at] / taken[1..].iter().map(|other| other[at]).fold(f64::INFINITY, f64::min))
}

fn main() {
    let turns = turns(60);
    let mut summary = Vec::new();
    for (what, rounds) in [("cheap", 1), ("heavy", 12)] {
        for rows in [100, 1_000, 10_000, 30_000, 100_000, 1_000_000] {
            let title = format!("{what} system, {rows} rows");
            let contestants = PLACES.map(|place| one(rows, rounds, place)).into();
            // A frame of many rows is as long as many turns of few.
            let turns = if rows > 100_000 { turns / 4 + 1 } else { turns };
            let taken = compare(&title, turns, 1e3, "us", contestants);
            summary.push((title, against_best(&taken)));
        }
    }
    for rounds in [100, 1_000, 10_000] {
        let title = format!("64 systems of {rounds} square roots");
        let contestants = [Where::Auto, Where::InPlace, Where::Worker].map(|place| many(rounds, place)).into();
        let taken = compare(&title, turns, 1e3, "us", contestants);
        summary.push((title, against_best(&taken)));
    }
    println!("the scheduler's choice, as a multiple of the best pinned one");
    for (title, [median, minimum]) in summary {
        println!("  {title:<36} medians x{median:.2}, minima x{minimum:.2}");
    }
}
