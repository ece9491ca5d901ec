//! What a frame costs: systems that do nothing, and one step split over the lanes.
//!
//! Contestants take turns: each runs frames for about a millisecond and gives the mean of a frame, so that all meet the
//! same machine; a table line is the median and the minimum over the turns. On a machine where others work too, only the
//! minima say what the program costs.
//!
//! ```sh
//! cargo run --release -p peristyle-bench --bin schedule [-- TURNS]
//! ```

use std::{
    hint::{black_box, spin_loop},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use peristyle_schedule::{Mode, Options, Scheduler, System};
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

const DT: f32 = 1.0 / 60.0;
const TURN: Duration = Duration::from_millis(2);

/// Something that does the work of one frame when called.
struct Contestant {
    name: String,
    frame: Box<dyn FnMut()>,
    /// Mean nanoseconds of a frame in each turn.
    turns: Vec<f64>,
    /// All time and frames, turns with hiccups included.
    total_ns: f64,
    frames: f64,
}

impl Contestant {
    fn new(name: impl Into<String>, frame: impl FnMut() + 'static) -> Contestant {
        Contestant { name: name.into(), frame: Box::new(frame), turns: Vec::new(), total_ns: 0.0, frames: 0.0 }
    }

    /// Runs frames for a turn; the first tenth is to warm up.
    fn turn(&mut self) {
        let start = Instant::now();
        while start.elapsed() < TURN / 10 {
            (self.frame)();
        }
        let (start, mut frames) = (Instant::now(), 0.0);
        let ns = loop {
            for _ in 0..8 {
                (self.frame)();
            }
            frames += 8.0;
            let elapsed = start.elapsed();
            if elapsed >= TURN {
                break elapsed.as_nanos() as f64;
            }
        };
        self.turns.push(ns / frames);
        self.total_ns += ns;
        self.frames += frames;
    }

    fn median(&mut self) -> f64 {
        self.turns.sort_by(f64::total_cmp);
        self.turns[self.turns.len() / 2]
    }
}

/// Runs all contestants in turns, and prints each with its ratio to the first.
fn run(title: &str, turns: usize, per: f64, unit: &str, mut contestants: Vec<Contestant>) {
    for _ in 0..turns {
        contestants.iter_mut().for_each(Contestant::turn);
    }
    println!("{title}");
    println!("  {:<34} {:>12} {:>12} {:>12} {:>9}", "", "median", "minimum", "mean", "median to the first's");
    let mut first = None;
    for contestant in &mut contestants {
        let median = contestant.median();
        let (minimum, mean) = (contestant.turns[0], contestant.total_ns / contestant.frames);
        let base = *first.get_or_insert((median, minimum, mean));
        println!(
            "  {:<34} {:>9.1} {unit} {:>9.1} {unit} {:>9.1} {unit}   x{:.2} (minima x{:.2}, means x{:.2})",
            contestant.name,
            median / per,
            minimum / per,
            mean / per,
            base.0 / median,
            base.1 / minimum,
            base.2 / mean
        );
    }
    println!();
}

fn scheduler(world: World, workers: usize, mode: Mode) -> Scheduler {
    let options = Options { workers, mode, ..Options::default() };
    Scheduler::new(world, options).expect("threads start")
}

fn frames(mut scheduler: Scheduler) -> impl FnMut() {
    let mut time = 0.0;
    move || {
        time += f64::from(DT);
        black_box(scheduler.run_frame(f64::from(DT), time).expect("the frame runs"));
    }
}

fn no_ops(mode: Mode) -> Contestant {
    let mut scheduler = scheduler(World::new().expect("addresses"), 1, mode);
    for index in 0..100 {
        scheduler.add(System::new(format!("system {index:02}")).run(|_| |_| ())).expect("names differ");
    }
    Contestant::new(format!("{mode:?}"), frames(scheduler))
}

fn step(rows: usize, mode: Mode) -> Contestant {
    let mut world = World::new().expect("addresses");
    let rows_of = (0..rows).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: i as f32 }));
    world.spawn_batch(rows_of).expect("memory");
    let mut scheduler = scheduler(world, 1, mode);
    let system = System::new("move").each_chunk::<(&mut Position, &Velocity)>(|range, (p, v)| {
        integrate(p.x, p.y, v.x, v.y, range.tick().dt as f32);
    });
    scheduler.add(system).expect("names differ");
    Contestant::new(format!("scheduler, {mode:?}"), frames(scheduler))
}

#[inline(never)]
fn integrate(x: &mut [f32], y: &mut [f32], vx: &[f32], vy: &[f32], dt: f32) {
    let rows = x.len();
    let (y, vx, vy) = (&mut y[..rows], &vx[..rows], &vy[..rows]);
    for i in 0..rows {
        x[i] += vx[i] * dt;
        y[i] += vy[i] * dt;
    }
}

fn limit(rows: usize) -> Contestant {
    let (mut x, mut y) = ((0..rows).map(|i| i as f32).collect::<Vec<_>>(), vec![0.0_f32; rows]);
    let (vx, vy) = (vec![1.0_f32; rows], (0..rows).map(|i| i as f32).collect::<Vec<_>>());
    Contestant::new("loop over four Vec<f32>", move || {
        integrate(&mut x, &mut y, &vx, &vy, black_box(DT));
        black_box((&mut x, &mut y));
    })
}

fn steps(turns: usize, machine: &str) {
    for rows in [10_000, 100_000, 1_000_000] {
        let contestants = vec![step(rows, Mode::Serial), step(rows, Mode::Parallel), limit(rows)];
        run(&format!("pos += vel * dt, {rows} rows, 1 worker, {machine}"), turns, 1e3, "us", contestants);
    }
}

fn main() {
    let turns = std::env::args().nth(1).map_or(200, |turns| turns.parse().expect("a number of turns"));
    run("100 systems that do nothing", turns, 100.0, "ns", vec![no_ops(Mode::Serial), no_ops(Mode::Parallel)]);
    steps(turns, "nobody else");
    if std::env::args().nth(2).is_some() {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    spin_loop();
                }
            })
        })
        .collect();
    steps(turns, "two threads spin");
    stop.store(true, Relaxed);
    spinners.into_iter().for_each(|spinner| spinner.join().expect("spinners do not panic"));
}
