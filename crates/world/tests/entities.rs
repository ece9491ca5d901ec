//! Handles: safe integers that name one entity for ever.

mod common;

use std::collections::HashSet;

use common::*;
use peristyle_world::{Entity, Query, SharedWorld, WorldError};
use proptest::prelude::*;

#[test]
fn handles_of_a_chunk_are_copied_row_by_row() {
    let mut world = world();
    let first: Vec<_> = world.spawn_batch((0..20_000).map(pos)).unwrap().iter().collect();
    world.despawn_batch(first[..500].iter().copied()).unwrap();
    world.begin_tick().unwrap();
    // Some of these have indices whose generation is not the first.
    world.spawn_batch((0..1_000).map(pos)).unwrap();
    let mut query: Query<&Pos> = world.query();
    query.state_mut().refresh(&world);
    let (mut handles, mut rows) = (vec![0.0; world.len()], 0);
    for chunk in query.state().chunks(&world) {
        SharedWorld::new(&world).copy_handles(chunk, &mut handles[rows..rows + chunk.rows()]);
        rows += chunk.rows();
    }
    let copied: Vec<_> = handles.into_iter().map(|handle| Entity::from_f64(handle).unwrap()).collect();
    let mut entities = world.query::<Entity>();
    assert_eq!(copied, entities.iter(&world).collect::<Vec<_>>());
    assert!(copied.iter().any(|entity| entity.generation() > 1));
}

#[test]
fn a_stale_handle_is_an_error_everywhere() {
    let mut world = world();
    let gone = world.spawn((pos(1), Name("gone".into()))).unwrap();
    let kept = world.spawn(pos(2)).unwrap();
    let prepared = world.prepare::<Pos>();
    world.despawn(gone).unwrap();
    let stale = |result: Result<(), WorldError>| assert!(matches!(result, Err(WorldError::Stale(e)) if e == gone));
    stale(world.get::<Pos>(gone).map(drop));
    stale(world.get::<Name>(gone).map(drop));
    stale(world.get_mut::<Pos>(gone).map(drop));
    stale(world.set(gone, pos(3)));
    stale(world.insert(gone, pos(3)));
    stale(world.remove::<Pos>(gone));
    stale(world.despawn(gone));
    stale(world.set_parent(gone, None));
    stale(world.set_parent(kept, Some(gone)));
    stale(prepared.get(&world, gone).map(drop));
    stale(prepared.set(&mut world, gone, pos(3)));
    assert!(!world.is_alive(gone) && !world.has::<Pos>(gone));
    assert_eq!(world.despawn_batch([gone, kept, kept]).unwrap(), 1);
}

#[test]
fn a_freed_index_rests_until_the_next_tick_and_then_is_another_entity() {
    let mut world = world();
    world.begin_tick().unwrap();
    let old: Vec<Entity> = spawn_positions(&mut world, 100);
    world.despawn_batch(old.clone()).unwrap();
    let indices: HashSet<u32> = old.iter().map(|entity| entity.index()).collect();
    assert!(spawn_positions(&mut world, 100).iter().all(|entity| !indices.contains(&entity.index())));
    world.end_tick().unwrap();
    world.begin_tick().unwrap();
    let again = spawn_positions(&mut world, 150);
    assert_eq!(again.iter().filter(|entity| indices.contains(&entity.index())).count(), 100);
    assert!(again.iter().all(|entity| world.is_alive(*entity)) && old.iter().all(|entity| !world.is_alive(*entity)));
    assert!(again.iter().enumerate().all(|(i, entity)| world.get::<Pos>(*entity).unwrap() == pos(i)));
}

#[test]
fn there_can_be_far_more_than_65_536_entities() {
    let mut world = world();
    let entities = spawn_positions(&mut world, 300_000);
    assert_eq!(world.len(), 300_000);
    assert_eq!(entities.iter().collect::<HashSet<_>>().len(), 300_000);
    for i in [0, 65_535, 65_536, 65_537, 299_999] {
        assert_eq!(world.get::<Pos>(entities[i]).unwrap(), pos(i));
    }
}

#[test]
fn handles_are_safe_integers_and_come_back_from_them() {
    let mut world = world();
    for _ in 0..50 {
        world.begin_tick().unwrap();
        let entities = spawn_positions(&mut world, 20);
        for entity in &entities {
            assert!(entity.to_f64() < 2_f64.powi(53) && entity.to_f64().fract() == 0.0);
            assert_eq!(Entity::from_f64(entity.to_f64()).unwrap(), *entity);
            assert_eq!(world.entity(entity.index()), *entity);
        }
        world.despawn_batch(entities).unwrap();
        world.end_tick().unwrap();
    }
}

#[test]
fn a_made_up_handle_reaches_nothing() {
    let mut world = world();
    let gone = world.spawn(pos(1)).unwrap();
    world.despawn(gone).unwrap();
    let prepared = world.prepare::<Pos>();
    // The freed slot already waits with its next generation.
    for entity in [Entity::new(gone.index(), gone.generation() + 1), Entity::new(77, 1), Entity::provisional(0, 0)] {
        assert!(!world.is_alive(entity));
        assert!(world.get::<Pos>(entity).is_err() && prepared.get(&world, entity).is_err());
        assert!(world.despawn(entity).is_err());
    }
    assert!(matches!(world.get::<Pos>(Entity::provisional(3, 4)), Err(WorldError::Provisional(_))));
}

proptest! {
    /// Whatever is spawned and despawned over ticks, living handles read their own value and dead ones nothing.
    #[test]
    fn handles_never_alias(ticks in prop::collection::vec(prop::collection::vec((any::<bool>(), 0..1000_usize), 0..40), 1..8)) {
        let mut world = world();
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        let mut next = 0;
        for ops in ticks {
            world.begin_tick().unwrap();
            for (spawn, pick) in ops {
                if spawn || living.is_empty() {
                    living.push((world.spawn(Health(next)).unwrap(), next));
                    next += 1;
                } else {
                    let (entity, _) = living.swap_remove(pick % living.len());
                    world.despawn(entity).unwrap();
                    dead.push(entity);
                }
            }
            world.end_tick().unwrap();
        }
        prop_assert_eq!(world.len(), living.len());
        for (entity, value) in living {
            prop_assert_eq!(world.get::<Health>(entity).unwrap(), Health(value));
        }
        prop_assert!(dead.iter().all(|entity| world.get::<Health>(*entity).is_err()));
    }
}
