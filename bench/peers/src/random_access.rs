//! What does it take to read, or to write, the positions of 100 k entities in random order, among a million?
//!
//! Every contestant holds its entity handles in the same shuffled order.

use std::hint::black_box;

use bevy_ecs::entity::unique_vec::UniqueEntityVec;
use bevy_ecs::query::QueryState;
use flecs_ecs::prelude::*;

use crate::data::flecs_access::{self, PositionId};
use crate::data::{self, Columns, Position, shuffled, worlds};
use crate::measure::{Contestant, Question, Role, seconds};

const ROWS: usize = 1_000_000;
const PICKED: usize = 100_000;

/// Get and set.
pub fn questions() -> Vec<Question> {
    vec![get(), set()]
}

fn pick<E: Copy>(entities: &[E]) -> Vec<E> {
    shuffled(ROWS)[..PICKED].iter().map(|&row| entities[row as usize]).collect()
}

#[inline(always)]
fn value(p: &Position) -> f64 {
    f64::from(p.x) + f64::from(p.y)
}

/// What the `i`-th picked entity is set to.
#[inline(always)]
fn target(i: usize) -> Position {
    Position { x: i as f32, y: i as f32 * 0.5 }
}

fn get() -> Question {
    Question {
        name: "get 100 k of 1 M at random".to_owned(),
        item: "entity",
        items: PICKED,
        rounds: 60,
        contestants: vec![
            reads(Role::Limit, "limit: slots, then two Vec<f32>", Slots::new, |s| {
                let mut sum = 0.0;
                for &(index, generation) in &s.picked {
                    let slot = s.slots[index as usize];
                    if slot.0 == generation {
                        let row = slot.1 as usize;
                        sum += f64::from(s.columns.x[row]) + f64::from(s.columns.y[row]);
                    }
                }
                sum
            }),
            reads(Role::Limit, "limit: slots, then Vec<Position>", Slots::new, |s| {
                let mut sum = 0.0;
                for &(index, generation) in &s.picked {
                    let slot = s.slots[index as usize];
                    if slot.0 == generation {
                        sum += value(&s.positions[slot.1 as usize]);
                    }
                }
                sum
            }),
            reads(Role::Peer, "bevy: World::get", Bevy::new, |b| {
                b.picked.iter().filter_map(|&e| b.world.get::<Position>(e)).map(value).sum()
            }),
            reads(Role::Peer, "bevy: Query::get", Bevy::new, |b| {
                let query = b.query.query(&b.world);
                b.picked.iter().filter_map(|&e| query.get(e).ok()).map(value).sum()
            }),
            reads(Role::Peer, "bevy: Query::iter_many", Bevy::new, |b| {
                b.query.query(&b.world).iter_many_inner(&b.picked).flatten().map(value).sum()
            }),
            reads(Role::Peer, "hecs: World::get", Hecs::new, |h| {
                h.picked.iter().filter_map(|&e| h.world.get::<&Position>(e).ok()).map(|p| value(&p)).sum()
            }),
            reads(Role::Peer, "hecs: World::query_one_mut", Hecs::new, |h| {
                let mut sum = 0.0;
                for &e in &h.picked {
                    if let Ok(p) = h.world.query_one_mut::<&Position>(e) {
                        sum += value(p);
                    }
                }
                sum
            }),
            reads(Role::Peer, "hecs: View::get", Hecs::new, |h| {
                let view = h.world.view_mut::<&Position>();
                h.picked.iter().filter_map(|&e| view.get(e)).map(value).sum()
            }),
            reads(Role::Own, "peristyle: World::get", Own::new, |o| {
                o.picked.iter().filter_map(|&e| o.world.get::<Position>(e).ok()).map(|p| value(&p)).sum()
            }),
            reads(Role::Own, "peristyle: Prepared::get", Own::new, |o| {
                o.picked.iter().filter_map(|&e| o.position.get(&o.world, e).ok()).map(|p| value(&p)).sum()
            }),
            reads(Role::Own, "peristyle: Prepared::get_each", Own::new, |o| {
                let mut sum = 0.0;
                o.position.get_each(&o.world, &o.picked, |_, p| sum += p.map_or(0.0, |p| value(&p)));
                sum
            }),
            reads(Role::Peer, "flecs: ecs_get_id", Flecs::new, |f| {
                f.picked.iter().filter_map(|&e| flecs_access::get(&f.world, f.id, e)).map(value).sum()
            }),
        ],
    }
}

fn set() -> Question {
    Question {
        name: "set 100 k of 1 M at random".to_owned(),
        item: "entity",
        items: PICKED,
        rounds: 60,
        contestants: vec![
            writes(
                Role::Limit,
                "limit: slots, then two Vec<f32>",
                Slots::new,
                |s| {
                    for (i, &(index, generation)) in s.picked.iter().enumerate() {
                        let slot = s.slots[index as usize];
                        if slot.0 == generation {
                            let row = slot.1 as usize;
                            Position { x: s.columns.x[row], y: s.columns.y[row] } = target(i);
                        }
                    }
                },
                |s| s.columns.sum(),
            ),
            writes(
                Role::Limit,
                "limit: slots, then Vec<Position>",
                Slots::new,
                |s| {
                    for (i, &(index, generation)) in s.picked.iter().enumerate() {
                        let slot = s.slots[index as usize];
                        if slot.0 == generation {
                            s.positions[slot.1 as usize] = target(i);
                        }
                    }
                },
                |s| data::sum(s.positions.iter()),
            ),
            writes(
                Role::Peer,
                "bevy: World::get_mut",
                Bevy::new,
                |b| {
                    for (i, &e) in b.picked.iter().enumerate() {
                        if let Some(mut p) = b.world.get_mut::<Position>(e) {
                            *p = target(i);
                        }
                    }
                },
                Bevy::sum,
            ),
            writes(
                Role::Peer,
                "bevy: Query::get_mut",
                Bevy::new,
                |b| {
                    let mut query = b.query_mut.query_mut(&mut b.world);
                    for (i, &e) in b.picked.iter().enumerate() {
                        if let Ok(mut p) = query.get_mut(e) {
                            *p = target(i);
                        }
                    }
                },
                Bevy::sum,
            ),
            writes(
                Role::Peer,
                "bevy: Query::iter_many_unique_mut",
                Bevy::new,
                |b| {
                    let query = b.query_mut.query_mut(&mut b.world);
                    for (i, mut p) in query.iter_many_unique_inner(&b.unique).flatten().enumerate() {
                        *p = target(i);
                    }
                },
                Bevy::sum,
            ),
            writes(
                Role::Peer,
                "bevy: Query::get_mut, no change ticks",
                Bevy::new,
                |b| {
                    let mut query = b.query_mut.query_mut(&mut b.world);
                    for (i, &e) in b.picked.iter().enumerate() {
                        if let Ok(mut p) = query.get_mut(e) {
                            use bevy_ecs::change_detection::DetectChangesMut;
                            *p.bypass_change_detection() = target(i);
                        }
                    }
                },
                Bevy::sum,
            ),
            writes(
                Role::Peer,
                "hecs: World::query_one_mut",
                Hecs::new,
                |h| {
                    for (i, &e) in h.picked.iter().enumerate() {
                        if let Ok(p) = h.world.query_one_mut::<&mut Position>(e) {
                            *p = target(i);
                        }
                    }
                },
                Hecs::sum,
            ),
            writes(
                Role::Peer,
                "hecs: View::get_mut",
                Hecs::new,
                |h| {
                    let mut view = h.world.view_mut::<&mut Position>();
                    for (i, &e) in h.picked.iter().enumerate() {
                        if let Some(p) = view.get_mut(e) {
                            *p = target(i);
                        }
                    }
                },
                Hecs::sum,
            ),
            writes(
                Role::Own,
                "peristyle: World::set",
                Own::new,
                |o| {
                    for (i, &e) in o.picked.iter().enumerate() {
                        _ = o.world.set(e, target(i));
                    }
                },
                Own::sum,
            ),
            writes(
                Role::Own,
                "peristyle: Prepared::set",
                Own::new,
                |o| {
                    for (i, &e) in o.picked.iter().enumerate() {
                        _ = o.position.set(&mut o.world, e, target(i));
                    }
                },
                Own::sum,
            ),
            writes(
                Role::Own,
                "peristyle: Prepared::get_each_mut",
                Own::new,
                |o| {
                    o.position.get_each_mut(&mut o.world, &o.picked, |i, p| {
                        if let Some(p) = p {
                            Position { x: *p.x, y: *p.y } = target(i);
                        }
                    });
                },
                Own::sum,
            ),
            writes(
                Role::Peer,
                "flecs: ecs_get_mut_id, unnoticed",
                Flecs::new,
                |f| {
                    for (i, &e) in f.picked.iter().enumerate() {
                        flecs_access::write(&f.world, f.id, e, |p| *p = target(i));
                    }
                },
                Flecs::sum,
            ),
            writes(
                Role::Peer,
                "flecs: EntityView::set",
                Flecs::new,
                |f| {
                    for (i, &e) in f.picked.iter().enumerate() {
                        f.world.entity_from_id(e).set(target(i));
                    }
                },
                Flecs::sum,
            ),
        ],
    }
}

fn reads<W: 'static>(
    role: Role,
    name: &str,
    make: impl FnOnce() -> W + 'static,
    mut read: impl FnMut(&mut W) -> f64 + 'static,
) -> Contestant {
    Contestant::new(
        role,
        name,
        move || (make(), 0.0),
        move |(world, sum)| seconds(|| *sum += read(black_box(world))),
        |(_, sum)| Some(*sum),
    )
}

fn writes<W: 'static>(
    role: Role,
    name: &str,
    make: impl FnOnce() -> W + 'static,
    mut write: impl FnMut(&mut W) + 'static,
    mut sum: impl FnMut(&mut W) -> f64 + 'static,
) -> Contestant {
    Contestant::new(role, name, make, move |world| seconds(|| write(black_box(world))), move |world| Some(sum(world)))
}

/// The least that access by handle does: check the generation, then go where the slot says.
struct Slots {
    slots: Vec<(u32, u32)>,
    picked: Vec<(u32, u32)>,
    columns: Columns,
    positions: Vec<Position>,
}

impl Slots {
    fn new() -> Self {
        let handles: Vec<_> = (0..ROWS as u32).map(|index| (index, 1)).collect();
        Self {
            slots: (0..ROWS as u32).map(|row| (1, row)).collect(),
            picked: pick(&handles),
            columns: Columns::new(ROWS),
            positions: (0..ROWS).map(data::position).collect(),
        }
    }
}

struct Bevy {
    world: bevy_ecs::world::World,
    query: QueryState<&'static Position>,
    query_mut: QueryState<&'static mut Position>,
    picked: Vec<bevy_ecs::entity::Entity>,
    unique: UniqueEntityVec,
}

impl Bevy {
    fn new() -> Self {
        let (mut world, entities) = worlds::bevy(ROWS);
        let (query, query_mut) = (world.query(), world.query());
        let picked = pick(&entities);
        Self {
            world,
            query,
            query_mut,
            // SAFETY: a shuffle repeats no row, and no two rows are the same entity.
            unique: unsafe { UniqueEntityVec::from_vec_unchecked(picked.clone()) },
            picked,
        }
    }

    fn sum(&mut self) -> f64 {
        data::sum(self.query.iter(&self.world))
    }
}

struct Hecs {
    world: hecs::World,
    picked: Vec<hecs::Entity>,
}

impl Hecs {
    fn new() -> Self {
        let (world, entities) = worlds::hecs(ROWS);
        Self { world, picked: pick(&entities) }
    }

    fn sum(&mut self) -> f64 {
        data::sum(self.world.query_mut::<&Position>().into_iter())
    }
}

struct Flecs {
    world: World,
    id: PositionId,
    picked: Vec<Entity>,
}

impl Flecs {
    fn new() -> Self {
        let (world, entities) = worlds::flecs(ROWS);
        Self { picked: pick(&entities), id: PositionId::new(&world), world }
    }

    fn sum(&mut self) -> f64 {
        let mut sum = 0.0;
        self.world.new_query::<&Position>().each(|p| sum += value(p));
        sum
    }
}

struct Own {
    world: peristyle_world::World,
    position: peristyle_world::Prepared<Position>,
    picked: Vec<peristyle_world::Entity>,
}

impl Own {
    fn new() -> Self {
        let (mut world, entities) = worlds::own(ROWS);
        Self { position: world.prepare(), picked: pick(&entities), world }
    }

    fn sum(&mut self) -> f64 {
        data::sum_own(&mut self.world)
    }
}
