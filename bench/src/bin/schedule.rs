//! What a frame costs: systems that do nothing, and one step split over the lanes.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin schedule [-- TURNS]
//! ```

use std::{
    hint::{black_box, spin_loop},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use peristyle_bench::{Contestant, compare, turns};
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
        let contestants = vec![limit(rows), step(rows, Mode::Serial), step(rows, Mode::Parallel)];
        compare(&format!("pos += vel * dt, {rows} rows, 1 worker, {machine}"), turns, 1e3, "us", contestants);
    }
}

fn main() {
    let turns = turns(200);
    compare("100 systems that do nothing", turns, 100.0, "ns", vec![no_ops(Mode::Serial), no_ops(Mode::Parallel)]);
    steps(turns, "nobody else");
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
