//! How long does `pos += vel * dt` take on two cores?
//!
//! The limit's worker is hot: it spins between steps, and only while its run lasts.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bevy_ecs::batching::BatchingStrategy;
use bevy_ecs::query::QueryState;
use bevy_tasks::{ComputeTaskPool, TaskPoolBuilder};
use flecs_ecs::prelude::*;
use rayon::prelude::*;

use crate::data::{self, Columns, DT, Position, Velocity, step, step_columns, step_slices, worlds};
use crate::measure::{Contestant, Question, Role, seconds_each};

/// Where handing over costs more than the work, where it begins to pay, and where memory decides.
pub fn questions() -> Vec<Question> {
    [10_000, 100_000, 1_000_000].map(question).into()
}

fn question(rows: usize) -> Question {
    let steps = (2_000_000 / rows) as u32;
    Question {
        name: format!("iterate {rows} rows on two cores"),
        item: "row",
        items: rows,
        rounds: 60,
        contestants: vec![
            Contestant::new(
                Role::Note,
                "note: one thread, four Vec<f32>",
                move || Columns::new(rows),
                move |c| {
                    seconds_each(steps, || {
                        step_columns(&mut c.x, &mut c.y, &c.vx, &c.vy);
                        black_box(&mut *c);
                    })
                },
                |c| Some(c.sum()),
            ),
            Contestant::new(
                Role::Limit,
                "limit: a half each, worker spins",
                move || Columns::new(rows),
                move |c| halves(c, steps),
                |c| Some(c.sum()),
            ),
            bevy(rows, steps, "bevy: par_iter_mut, default batch", |b| {
                b.query.par_iter_mut(&mut b.world).for_each(|(mut p, v)| step(&mut p, v));
            }),
            bevy(rows, steps, "bevy: par_iter_mut, 8 batches", move |b| {
                b.query
                    .par_iter_mut(&mut b.world)
                    .batching_strategy(BatchingStrategy::fixed(rows / 8))
                    .for_each(|(mut p, v)| step(&mut p, v));
            }),
            bevy(rows, steps, "bevy: contiguous_par, default batch", |b| {
                b.query
                    .contiguous_par_iter_mut(&mut b.world)
                    .expect("table storage")
                    .for_each(|(mut p, v)| step_slices(&mut p, v));
            }),
            bevy(rows, steps, "bevy: contiguous_par, 8 batches", move |b| {
                b.query
                    .contiguous_par_iter_mut(&mut b.world)
                    .expect("table storage")
                    .batching_strategy(BatchingStrategy::fixed(rows / 8))
                    .for_each(|(mut p, v)| step_slices(&mut p, v));
            }),
            bevy(rows, steps, "bevy: contiguous_par, no change ticks", |b| {
                b.query
                    .contiguous_par_iter_mut(&mut b.world)
                    .expect("table storage")
                    .for_each(|(mut p, v)| step_slices(p.bypass_change_detection(), v));
            }),
            hecs(rows, steps, "hecs: 2 batches, rayon", move |world| {
                let query = world.query_mut::<(&mut Position, &Velocity)>();
                let batches: Vec<_> = query.into_iter_batched(rows.div_ceil(2) as u32).collect();
                batches.into_par_iter().for_each(|batch| batch.for_each(|(p, v)| step(p, v)));
            }),
            hecs(rows, steps, "hecs: 8 batches, rayon", move |world| {
                let query = world.query_mut::<(&mut Position, &Velocity)>();
                let batches: Vec<_> = query.into_iter_batched(rows.div_ceil(8) as u32).collect();
                batches.into_par_iter().for_each(|batch| batch.for_each(|(p, v)| step(p, v)));
            }),
            hecs(rows, steps, "hecs: archetype columns, rayon::join", |world| {
                for archetype in world.archetypes() {
                    let columns = (archetype.get::<&mut Position>(), archetype.get::<&Velocity>());
                    if let (Some(mut p), Some(v)) = columns {
                        let middle = p.len() / 2;
                        let (p0, p1) = p.split_at_mut(middle);
                        let (v0, v1) = v.split_at(middle);
                        rayon::join(|| step_slices(p0, v0), || step_slices(p1, v1));
                    }
                }
            }),
            Contestant::new(
                Role::Peer,
                "flecs: par_run system, 2 threads, progress",
                move || {
                    let (world, _) = worlds::flecs(rows);
                    world.set_threads(2);
                    world.system::<(&mut Position, &Velocity)>().par_run(|mut it| {
                        while it.next() {
                            let mut p = it.field_mut::<Position>(0);
                            step_slices(p.as_mut_slice(), it.field::<Velocity>(1).as_slice());
                        }
                    });
                    world
                },
                move |world| {
                    seconds_each(steps, || {
                        black_box(world.progress_time(DT));
                    })
                },
                |world| {
                    let mut sum = 0.0;
                    world.new_query::<&Position>().each(|p| sum += f64::from(p.x) + f64::from(p.y));
                    Some(sum)
                },
            ),
        ],
    }
}

/// Steps both halves of the columns at once, `steps` times; returns the seconds of one step.
fn halves(columns: &mut Columns, steps: u32) -> f64 {
    let middle = columns.x.len() / 2;
    let (x0, x1) = columns.x.split_at_mut(middle);
    let (y0, y1) = columns.y.split_at_mut(middle);
    let (vx0, vx1) = columns.vx.split_at(middle);
    let (vy0, vy1) = columns.vy.split_at(middle);
    // `begun` publishes the number of the step that may start, `ended` that of the last one whose second half is
    // done. The release store of each pairs with the acquire load in `wait`. Steps up to `warm` are empty.
    let (begun, ended, warm) = (&AtomicU32::new(0), &AtomicU32::new(0), &AtomicU32::new(u32::MAX));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut step = 1;
            loop {
                wait(begun, step);
                let warm = warm.load(Ordering::Relaxed);
                if step > warm {
                    step_columns(x1, y1, vx1, vy1);
                }
                ended.store(step, Ordering::Release);
                if warm.checked_add(steps) == Some(step) {
                    return;
                }
                step += 1;
            }
        });
        // A new thread may share the caller's core for a while. Wait until eight answers in a row came from another.
        let (started, mut quick, mut step) = (Instant::now(), 0, 0);
        while quick < 8 && started.elapsed() < WARM_UP_MAX {
            step += 1;
            let asked = Instant::now();
            begun.store(step, Ordering::Release);
            wait(ended, step);
            quick = if asked.elapsed() < Duration::from_micros(1) { quick + 1 } else { 0 };
        }
        // Published to the worker by the next release store of `begun`.
        warm.store(step, Ordering::Relaxed);
        let start = Instant::now();
        for step in step + 1..=step + steps {
            begun.store(step, Ordering::Release);
            step_columns(x0, y0, vx0, vy0);
            wait(ended, step);
        }
        start.elapsed().as_secs_f64() / f64::from(steps)
    })
}

/// Longer than the operating system takes to move a busy thread to an idle core.
const WARM_UP_MAX: Duration = Duration::from_millis(20);

/// Spins until `counter` is at least `value`; gives the core away now and then, for busy machines.
fn wait(counter: &AtomicU32, value: u32) {
    let mut spins = 0_u32;
    while counter.load(Ordering::Acquire) < value {
        spins += 1;
        if spins.is_multiple_of(256) {
            std::thread::yield_now();
        } else {
            spin_loop();
        }
    }
}

/// Makes the pool that bevy's parallel queries and its executor use: two threads, beside the caller, who helps.
/// With one thread bevy runs parallel queries in place.
pub fn bevy_pool() {
    ComputeTaskPool::get_or_init(|| TaskPoolBuilder::new().num_threads(2).build());
}

struct Bevy {
    world: bevy_ecs::world::World,
    query: QueryState<(&'static mut Position, &'static Velocity)>,
}

fn bevy(rows: usize, steps: u32, name: &str, mut step: impl FnMut(&mut Bevy) + 'static) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        move || {
            bevy_pool();
            let (mut world, _) = worlds::bevy(rows);
            let query = world.query();
            Bevy { world, query }
        },
        move |b| seconds_each(steps, || step(black_box(b))),
        |b| Some(data::sum(b.world.query::<&Position>().iter(&b.world))),
    )
}

struct Hecs {
    world: hecs::World,
    pool: rayon::ThreadPool,
}

fn hecs(rows: usize, steps: u32, name: &str, mut step: impl FnMut(&mut hecs::World) + Send + 'static) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        move || Hecs {
            world: worlds::hecs(rows).0,
            pool: rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads"),
        },
        // Inside the pool, so that no step pays for entering it: the caller is one of its two threads.
        move |h| h.pool.install(|| seconds_each(steps, || step(black_box(&mut h.world)))),
        |h| Some(data::sum(h.world.query_mut::<&Position>().into_iter())),
    )
}
