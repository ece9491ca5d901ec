//! How long does `pos += vel * dt` take on one thread, for two `f32` each?

use std::hint::black_box;

use bevy_ecs::query::QueryState;
use flecs_ecs::prelude::*;
use peristyle_world::Changed;

use crate::data::{self, Columns, DT, Position, Velocity, step, step_chunk, step_columns, step_slices, worlds};
use crate::measure::{Contestant, Question, Role, seconds_each};

/// The same question for a world that fits a core's cache, one that does not, and one far beyond it.
pub fn questions() -> Vec<Question> {
    [10_000, 100_000, 1_000_000].map(question).into()
}

fn question(rows: usize) -> Question {
    // Some 2 M rows a run, so that the clock does not count and a round stays short.
    let steps = (2_000_000 / rows) as u32;
    Question {
        name: format!("iterate {rows} rows"),
        item: "row",
        items: rows,
        rounds: 60,
        contestants: vec![
            Contestant::new(
                Role::Limit,
                "limit: four Vec<f32>, one loop",
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
                "limit: four Vec<f32>, a loop per pair",
                move || Columns::new(rows),
                move |c| {
                    seconds_each(steps, || {
                        for (p, v) in c.x.iter_mut().zip(&c.vx) {
                            *p += v * DT;
                        }
                        for (p, v) in c.y.iter_mut().zip(&c.vy) {
                            *p += v * DT;
                        }
                        black_box(&mut *c);
                    })
                },
                |c| Some(c.sum()),
            ),
            Contestant::new(
                Role::Note,
                "note: Vec<Position>, Vec<Velocity>",
                move || ((0..rows).map(data::position).collect(), (0..rows).map(data::velocity).collect()),
                move |(p, v): &mut (Vec<Position>, Vec<Velocity>)| {
                    seconds_each(steps, || {
                        step_slices(p, v);
                        black_box(&mut *p);
                    })
                },
                |(p, _)| Some(data::sum(p.iter())),
            ),
            bevy(rows, steps, "bevy: iter_mut, for loop", |b| {
                for (mut p, v) in b.query.iter_mut(&mut b.world) {
                    step(&mut p, v);
                }
            }),
            bevy(rows, steps, "bevy: iter_mut().for_each", |b| {
                b.query.iter_mut(&mut b.world).for_each(|(mut p, v)| step(&mut p, v));
            }),
            bevy(rows, steps, "bevy: contiguous_iter_mut", |b| {
                for (mut p, v) in b.query.contiguous_iter_mut(&mut b.world).expect("table storage") {
                    step_slices(&mut p, v);
                }
            }),
            bevy(rows, steps, "bevy: contiguous, no change ticks", |b| {
                for (mut p, v) in b.query.contiguous_iter_mut(&mut b.world).expect("table storage") {
                    step_slices(p.bypass_change_detection(), v);
                }
            }),
            hecs(rows, steps, "hecs: query_mut, for loop", |world| {
                for (p, v) in world.query_mut::<(&mut Position, &Velocity)>() {
                    step(p, v);
                }
            }),
            hecs(rows, steps, "hecs: query_mut.for_each", |world| {
                world.query_mut::<(&mut Position, &Velocity)>().into_iter().for_each(|(p, v)| step(p, v));
            }),
            hecs(rows, steps, "hecs: batches of 16384", |world| {
                for batch in world.query_mut::<(&mut Position, &Velocity)>().into_iter_batched(16_384) {
                    batch.for_each(|(p, v)| step(p, v));
                }
            }),
            hecs(rows, steps, "hecs: archetype columns", |world| {
                for archetype in world.archetypes() {
                    let columns = (archetype.get::<&mut Position>(), archetype.get::<&Velocity>());
                    if let (Some(mut p), Some(v)) = columns {
                        step_slices(&mut p, &v);
                    }
                }
            }),
            own(rows, steps, 0, "peristyle: for_each_chunk", |o| {
                o.query.for_each_chunk(&mut o.world, |(p, v)| step_chunk(p, v));
            }),
            own(rows, steps, 1, "peristyle: for_each_chunk, one consumer of changes", |o| {
                o.query.for_each_chunk(&mut o.world, |(p, v)| step_chunk(p, v));
            }),
            own(rows, steps, 0, "peristyle: for_each", |o| {
                o.query.for_each(&mut o.world, |(p, v)| {
                    *p.x += v.x * DT;
                    *p.y += v.y * DT;
                });
            }),
            own(rows, steps, 1, "peristyle: for_each, one consumer of changes", |o| {
                o.query.for_each(&mut o.world, |(p, v)| {
                    *p.x += v.x * DT;
                    *p.y += v.y * DT;
                });
            }),
            flecs(rows, steps, "flecs: query.each", |query| {
                query.each(|(p, v)| step(p, v));
            }),
            flecs(rows, steps, "flecs: query.run, field slices", |query| {
                query.run(|mut it| {
                    while it.next() {
                        let mut p = it.field_mut::<Position>(0);
                        step_slices(p.as_mut_slice(), it.field::<Velocity>(1).as_slice());
                    }
                });
            }),
        ],
    }
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
            let (mut world, _) = worlds::bevy(rows);
            let query = world.query();
            Bevy { world, query }
        },
        move |b| seconds_each(steps, || step(black_box(b))),
        |b| Some(data::sum(b.world.query::<&Position>().iter(&b.world))),
    )
}

fn hecs(rows: usize, steps: u32, name: &str, mut step: impl FnMut(&mut hecs::World) + 'static) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        move || worlds::hecs(rows).0,
        move |world| seconds_each(steps, || step(black_box(world))),
        |world| Some(data::sum(world.query_mut::<&Position>().into_iter())),
    )
}

struct Own {
    world: peristyle_world::World,
    query: peristyle_world::Query<(&'static mut Position, &'static Velocity)>,
    _consumers: Vec<peristyle_world::Query<(), Changed<Position>>>,
}

fn own(rows: usize, steps: u32, consumers: usize, name: &str, mut step: impl FnMut(&mut Own) + 'static) -> Contestant {
    Contestant::new(
        Role::Own,
        name,
        move || {
            let (mut world, _) = worlds::own(rows);
            let query = world.query();
            let _consumers = (0..consumers).map(|_| world.query_filtered()).collect();
            Own { world, query, _consumers }
        },
        move |o| seconds_each(steps, || step(black_box(o))),
        |o| Some(data::sum_own(&mut o.world)),
    )
}

type FlecsQuery = Query<(&'static mut Position, &'static Velocity)>;

fn flecs(rows: usize, steps: u32, name: &str, mut step: impl FnMut(&FlecsQuery) + 'static) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        move || {
            let (world, _) = worlds::flecs(rows);
            let query = world.query::<(&mut Position, &Velocity)>().set_cached().build();
            // The query must go before its world.
            (query, world)
        },
        move |(query, _)| seconds_each(steps, || step(black_box(query))),
        |(query, _)| {
            let mut sum = 0.0;
            query.each(|(p, _)| sum += f64::from(p.x) + f64::from(p.y));
            Some(sum)
        },
    )
}
