//! Components that most tests use, and ways to look at a world from outside.
#![allow(dead_code)]

use peristyle_world::{Component, Entity, Query, QueryData, QueryFilter, SharedWorld, World};

#[derive(Component, Clone, Copy, PartialEq, Debug, Default)]
pub struct Pos {
    pub x: f32,
    pub y: f32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug, Default)]
pub struct Vel {
    pub x: f32,
    pub y: f32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
pub struct Health(pub u32);

#[derive(Component, Clone, Copy, PartialEq, Debug)]
pub struct Tag;

#[derive(Component, Debug, PartialEq)]
#[component(opaque)]
pub struct Name(pub String);

pub fn pos(i: usize) -> Pos {
    Pos { x: i as f32, y: -(i as f32) }
}

pub fn world() -> World {
    World::new().unwrap()
}

/// Spawns `count` entities with position number `i` each.
pub fn spawn_positions(world: &mut World, count: usize) -> Vec<Entity> {
    world.spawn_batch((0..count).map(pos)).unwrap().iter().collect()
}

/// What a query of handles visits now, in order of rows.
pub fn seen<F: QueryFilter>(query: &mut Query<Entity, F>, world: &mut World) -> Vec<Entity> {
    let mut seen = Vec::new();
    query.for_each(world, |entity| seen.push(entity));
    seen
}

/// As [`seen`], sorted.
pub fn seen_sorted<F: QueryFilter>(query: &mut Query<Entity, F>, world: &mut World) -> Vec<Entity> {
    let mut seen = seen(query, world);
    seen.sort();
    seen
}

pub fn sorted(entities: impl IntoIterator<Item = Entity>) -> Vec<Entity> {
    let mut entities: Vec<_> = entities.into_iter().collect();
    entities.sort();
    entities
}

pub fn count<D: QueryData, F: QueryFilter>(query: &mut Query<D, F>, world: &mut World) -> usize {
    let mut count = 0;
    query.for_each(world, |_| count += 1);
    count
}

/// Address of the first element of `C`'s first column in each chunk of a query.
pub fn chunk_addresses<C: Component, F: QueryFilter>(query: &mut Query<&C, F>, world: &World) -> Vec<usize> {
    query.state_mut().refresh(world);
    let component = world.components().id_of::<C>().unwrap();
    let shared = SharedWorld::new(world);
    let chunks = query.state().chunks(world);
    chunks.map(|chunk| shared.columns(chunk, component, 0).next().unwrap().ptr as usize).collect()
}
