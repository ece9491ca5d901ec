//! What do spawning, despawning, adding and removing cost?

use std::hint::black_box;

use flecs_ecs::prelude::*;

use crate::data::{Columns, Mass, Position, Velocity, position, velocity, worlds};
use crate::measure::{Contestant, Question, Role, seconds};
use crate::pages::Pages;

const ROWS: usize = 1_000_000;
const MOVED: usize = 10_000;

/// Spawn, despawn, add and remove.
pub fn questions() -> Vec<Question> {
    vec![spawn(Pages::Recycled), spawn(Pages::Fresh), despawn(), add_remove()]
}

/// A world is fresh in every run; making and dropping it is not in the time.
fn spawn(pages: Pages) -> Question {
    Question {
        name: match pages {
            Pages::Recycled => "spawn 1 M (pos, vel) in a batch, recycled memory".to_owned(),
            Pages::Fresh => "spawn 1 M (pos, vel) in a batch, fresh memory".to_owned(),
        },
        item: "entity",
        items: ROWS,
        rounds: 15,
        contestants: vec![
            fresh(
                pages,
                Role::Limit,
                "limit: four Vec<f32> collected",
                Columns::default,
                |c| *c = Columns::new(ROWS),
                |c| c.x.len(),
            ),
            fresh(
                pages,
                Role::Peer,
                "bevy: spawn_batch",
                bevy_ecs::world::World::new,
                |world| drop(world.spawn_batch((0..ROWS).map(|i| (position(i), velocity(i))))),
                |world| world.query::<&Position>().iter(world).count(),
            ),
            fresh(
                pages,
                Role::Peer,
                "hecs: spawn_batch",
                hecs::World::new,
                |world| drop(world.spawn_batch((0..ROWS).map(|i| (position(i), velocity(i))))),
                |world| world.len() as usize,
            ),
            fresh(
                pages,
                Role::Peer,
                "hecs: spawn_column_batch, filled in place",
                hecs::World::new,
                |world| {
                    let mut columns = hecs::ColumnBatchType::new();
                    columns.add::<Position>().add::<Velocity>();
                    let batch = columns.into_batch(ROWS as u32);
                    let mut positions = batch.writer::<Position>().expect("column");
                    for i in 0..ROWS {
                        _ = positions.push(position(i));
                    }
                    drop(positions);
                    let mut velocities = batch.writer::<Velocity>().expect("column");
                    for i in 0..ROWS {
                        _ = velocities.push(velocity(i));
                    }
                    drop(velocities);
                    drop(world.spawn_column_batch(batch.build().expect("full columns")));
                },
                |world| world.len() as usize,
            ),
            fresh(
                pages,
                Role::Peer,
                "flecs: entity_bulk from slices, their filling included",
                World::new,
                |world| {
                    let positions: Vec<_> = (0..ROWS).map(position).collect();
                    let velocities: Vec<_> = (0..ROWS).map(velocity).collect();
                    black_box(world.entity_bulk(ROWS as u32).set(&positions).set(&velocities).build());
                },
                |world| world.count(Position::id()) as usize,
            ),
            fresh(
                pages,
                Role::Own,
                "peristyle: spawn_batch",
                own_world(pages),
                |world| drop(world.spawn_batch((0..ROWS).map(|i| (position(i), velocity(i))))),
                |world| world.len(),
            ),
            fresh(
                pages,
                Role::Own,
                "peristyle: spawn_fill, filled in place",
                own_world(pages),
                |world| {
                    let spawned = world.spawn_fill::<(Position, Velocity)>(ROWS, |(p, v), first| {
                        for (i, (x, y)) in p.x.iter_mut().zip(p.y).enumerate() {
                            Position { x: *x, y: *y } = position(first + i);
                        }
                        for (i, (x, y)) in v.x.iter_mut().zip(v.y).enumerate() {
                            Velocity { x: *x, y: *y } = velocity(first + i);
                        }
                    });
                    drop(spawned);
                },
                |world| world.len(),
            ),
        ],
    }
}

/// Makes empty worlds: on a memory that worlds before had, or each on a new one.
fn own_world(pages: Pages) -> impl FnMut() -> peristyle_world::World {
    use peristyle_world::{Memory, World};
    let new = || Memory::reserve(Memory::DEFAULT_MAX_BYTES).expect("address space");
    let used = new();
    move || World::on(if pages == Pages::Recycled { used.clone() } else { new() })
}

fn fresh<W: 'static>(
    pages: Pages,
    role: Role,
    name: &str,
    mut make: impl FnMut() -> W + 'static,
    mut fill: impl FnMut(&mut W) + 'static,
    count: impl Fn(&mut W) -> usize + 'static,
) -> Contestant {
    Contestant::new(
        role,
        name,
        || 0,
        move |found: &mut usize| {
            pages.apply();
            let mut world = make();
            let time = seconds(|| fill(black_box(&mut world)));
            *found = count(&mut world);
            time
        },
        |found| Some(*found as f64),
    )
}

/// In the order of spawning, so every despawn moves the table's last row.
fn despawn() -> Question {
    Question {
        name: "despawn 1 M one by one".to_owned(),
        item: "entity",
        items: ROWS,
        rounds: 15,
        contestants: vec![
            fresh(
                Pages::Recycled,
                Role::Limit,
                "limit: slots and swap_remove of four Vec<f32>",
                Slots::new,
                Slots::despawn_all,
                |s| s.columns.x.len(),
            ),
            fresh(
                Pages::Recycled,
                Role::Peer,
                "bevy: World::despawn",
                || worlds::bevy(ROWS),
                |(world, entities)| {
                    for &entity in &*entities {
                        world.despawn(entity);
                    }
                },
                |(world, _)| world.query::<&Position>().iter(world).count(),
            ),
            fresh(
                Pages::Recycled,
                Role::Peer,
                "hecs: World::despawn",
                || worlds::hecs(ROWS),
                |(world, entities)| {
                    for &entity in &*entities {
                        _ = world.despawn(entity);
                    }
                },
                |(world, _)| world.len() as usize,
            ),
            fresh(
                Pages::Recycled,
                Role::Own,
                "peristyle: World::despawn",
                || worlds::own(ROWS),
                |(world, entities)| {
                    for &entity in &*entities {
                        _ = world.despawn(entity);
                    }
                },
                |(world, _)| world.len(),
            ),
            fresh(
                Pages::Recycled,
                Role::Peer,
                "flecs: EntityView::destruct",
                || worlds::flecs(ROWS),
                |(world, entities)| {
                    for &entity in &*entities {
                        world.entity_from_id(entity).destruct();
                    }
                },
                |(world, _)| world.count(Position::id()) as usize,
            ),
        ],
    }
}

/// The least that a despawn by handle does: check the generation, free the slot, move the last row, fix its slot.
struct Slots {
    /// Generation and row of each index.
    slots: Vec<(u32, u32)>,
    /// Index of each row.
    indices: Vec<u32>,
    free: Vec<u32>,
    columns: Columns,
}

impl Slots {
    fn new() -> Self {
        Self {
            slots: (0..ROWS as u32).map(|row| (1, row)).collect(),
            indices: (0..ROWS as u32).collect(),
            free: Vec::new(),
            columns: Columns::new(ROWS),
        }
    }

    fn despawn_all(&mut self) {
        for index in 0..ROWS as u32 {
            let slot = &mut self.slots[index as usize];
            if black_box(1) != slot.0 {
                continue;
            }
            slot.0 += 1;
            let row = slot.1 as usize;
            self.free.push(index);
            self.indices.swap_remove(row);
            self.columns.x.swap_remove(row);
            self.columns.y.swap_remove(row);
            self.columns.vx.swap_remove(row);
            self.columns.vy.swap_remove(row);
            if let Some(&moved) = self.indices.get(row) {
                self.slots[moved as usize].1 = row as u32;
            }
        }
    }
}

fn add_remove() -> Question {
    Question {
        name: "add, then remove a component on 10 k".to_owned(),
        item: "entity",
        items: MOVED,
        rounds: 60,
        contestants: vec![
            moved(
                "bevy: EntityWorldMut::insert, remove",
                || worlds::bevy(MOVED),
                |(world, entities)| {
                    for &entity in &*entities {
                        world.entity_mut(entity).insert(Mass(1.0));
                    }
                    black_box(&mut *world);
                    for &entity in &*entities {
                        world.entity_mut(entity).remove::<Mass>();
                    }
                },
                |(world, _)| world.query_filtered::<&Position, bevy_ecs::query::Without<Mass>>().iter(world).count(),
            ),
            moved(
                "bevy: insert_batch, EntityWorldMut::remove",
                || worlds::bevy(MOVED),
                |(world, entities)| {
                    world.insert_batch(entities.iter().map(|&entity| (entity, Mass(1.0))));
                    black_box(&mut *world);
                    for &entity in &*entities {
                        world.entity_mut(entity).remove::<Mass>();
                    }
                },
                |(world, _)| world.query_filtered::<&Position, bevy_ecs::query::Without<Mass>>().iter(world).count(),
            ),
            moved(
                "hecs: insert_one, remove_one",
                || worlds::hecs(MOVED),
                |(world, entities)| {
                    for &entity in &*entities {
                        _ = world.insert_one(entity, Mass(1.0));
                    }
                    black_box(&mut *world);
                    for &entity in &*entities {
                        _ = black_box(world.remove_one::<Mass>(entity));
                    }
                },
                |(world, _)| world.query_mut::<hecs::Without<&Position, &Mass>>().into_iter().count(),
            ),
            Contestant::new(
                Role::Own,
                "peristyle: insert, remove",
                || worlds::own(MOVED),
                |state| {
                    let (world, entities) = black_box(state);
                    seconds(|| {
                        for &entity in &*entities {
                            _ = world.insert(entity, Mass(1.0));
                        }
                        black_box(&mut *world);
                        for &entity in &*entities {
                            _ = world.remove::<Mass>(entity);
                        }
                    })
                },
                |(world, _)| {
                    Some(world.query_filtered::<&Position, peristyle_world::Without<Mass>>().count(world) as f64)
                },
            ),
            moved(
                "flecs: EntityView::set, remove",
                || worlds::flecs(MOVED),
                |(world, entities)| {
                    for &entity in &*entities {
                        world.entity_from_id(entity).set(Mass(1.0));
                    }
                    black_box(&mut *world);
                    for &entity in &*entities {
                        world.entity_from_id(entity).remove(Mass::id());
                    }
                },
                |(world, _)| (world.count(Position::id()) - world.count(Mass::id())) as usize,
            ),
            moved(
                "flecs: EntityView::add (no value), remove",
                || worlds::flecs(MOVED),
                |(world, entities)| {
                    for &entity in &*entities {
                        world.entity_from_id(entity).add(Mass::id());
                    }
                    black_box(&mut *world);
                    for &entity in &*entities {
                        world.entity_from_id(entity).remove(Mass::id());
                    }
                },
                |(world, _)| (world.count(Position::id()) - world.count(Mass::id())) as usize,
            ),
        ],
    }
}

fn moved<W: 'static>(
    name: &str,
    make: impl FnOnce() -> W + 'static,
    mut move_all: impl FnMut(&mut W) + 'static,
    count: impl Fn(&mut W) -> usize + 'static,
) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        make,
        move |world| seconds(|| move_all(black_box(world))),
        move |world| Some(count(world) as f64),
    )
}
