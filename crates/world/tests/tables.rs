//! How tables grow, and what happens when they cannot.

mod common;

use common::*;
use peristyle_world::{Entity, Memory, Query, World, WorldError};

#[test]
fn growth_leaves_every_full_chunk_where_it_was() {
    let mut world = world();
    let mut query: Query<&Pos> = world.query();
    let mut before: Vec<usize> = Vec::new();
    for step in [1_000, 15_000, 384, 50_000, 1, 133_615, 800_000] {
        world.spawn_batch((0..step).map(|i| (pos(i), Vel::default()))).unwrap();
        let now = chunk_addresses(&mut query, &world);
        let full = before.len().min(world.len() / 16_384).saturating_sub(usize::from(before.len() == 1));
        assert_eq!(now[..full], before[..full], "after {} rows", world.len());
        before = now;
    }
    assert_eq!((world.len(), before.len()), (1_000_000, 62));
}

#[test]
fn the_first_chunk_doubles_until_it_is_full_sized_and_keeps_its_values() {
    let mut world = world();
    let empty = world.memory().used_bytes();
    let mut sizes = Vec::new();
    let mut entities = Vec::new();
    for i in 0..40_000 {
        entities.push(world.spawn((pos(i), Name(i.to_string()))).unwrap());
        let size = world.memory().used_bytes() - empty;
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
    }
    // 64 rows, doubled eight times to 16 384; then two more of these.
    assert_eq!(sizes.len(), 9 + 2);
    assert!(sizes[..9].windows(2).all(|pair| pair[1] > pair[0] && pair[1] <= 2 * pair[0]));
    assert_eq!((sizes[9], sizes[10]), (2 * sizes[8], 3 * sizes[8]));
    for (i, entity) in entities.iter().enumerate() {
        assert_eq!(
            (world.get::<Pos>(*entity).unwrap(), &world.get::<Name>(*entity).unwrap().0),
            (pos(i), &i.to_string())
        );
    }
}

#[test]
fn columns_start_on_cache_lines() {
    let mut world = world();
    world.spawn_batch((0..100).map(|i| (pos(i), Health(1), Tag))).unwrap();
    assert!(chunk_addresses::<Pos, ()>(&mut world.query(), &world).iter().all(|at| at.is_multiple_of(64)));
    assert!(chunk_addresses::<Health, ()>(&mut world.query(), &world).iter().all(|at| at.is_multiple_of(64)));
}

#[test]
fn an_emptied_table_gives_its_chunks_back() {
    let mut world = world();
    let entities = spawn_positions(&mut world, 200_000);
    let full = world.memory().used_bytes();
    world.despawn_batch(entities).unwrap();
    // One spare chunk is kept.
    assert!(world.memory().used_bytes() * 12 < full);
    for _ in 0..20 {
        let entities = spawn_positions(&mut world, 200_000);
        assert_eq!(world.memory().used_bytes(), full);
        world.despawn_batch(entities).unwrap();
    }
}

#[test]
fn a_million_entities_of_two_pairs_take_at_most_32_bytes_each_in_the_memory() {
    let mut world = world();
    world.spawn_batch((0..1_000_000).map(|i| (pos(i), Vel::default()))).unwrap();
    let bytes = world.memory().used_bytes() as f64 / 1e6;
    // Two pairs of f32, the index and the bits; slots take 8 more on the heap.
    assert!(bytes < 20.0 + 2.0, "{bytes}");
}

/// A world of 2 MiB, filled up with rows of 13 bytes.
fn full_world() -> (World, Vec<Entity>, WorldError) {
    let mut world = World::on(Memory::reserve(2 << 20).unwrap());
    let mut entities = Vec::new();
    loop {
        match world.spawn((pos(entities.len()), Name(entities.len().to_string()))) {
            Ok(entity) => entities.push(entity),
            Err(error) => return (world, entities, error),
        }
    }
}

fn assert_consistent(world: &mut World, entities: &[Entity]) {
    assert_eq!(world.len(), entities.len());
    assert_eq!(count(&mut world.query::<&Pos>(), world), entities.len());
    for (i, entity) in entities.iter().enumerate() {
        assert_eq!(world.get::<Pos>(*entity).unwrap(), pos(i));
        assert_eq!(world.get::<Name>(*entity).unwrap().0, i.to_string());
    }
}

#[test]
fn exhaustion_names_what_was_asked_and_what_is_left() {
    let (world, entities, error) = full_world();
    let WorldError::OutOfMemory(error) = error else { panic!("{error}") };
    assert!(entities.len().is_multiple_of(16_384) && entities.len() >= 16_384);
    assert!(error.asked_bytes > error.largest_free_bytes, "{error}");
    assert_eq!((error.used_bytes, error.max_bytes), (world.memory().used_bytes(), 2 << 20));
    let text = error.to_string();
    for number in [error.asked_bytes, error.largest_free_bytes, error.used_bytes, error.max_bytes] {
        assert!(text.contains(&number.to_string()), "{text}");
    }
}

#[test]
fn after_exhaustion_the_world_is_as_it_was_and_goes_on() {
    let (mut world, mut entities, _) = full_world();
    let oom = |result: Result<(), WorldError>| assert!(matches!(result, Err(WorldError::OutOfMemory(_))));
    assert_consistent(&mut world, &entities);
    // Each way to need a new chunk.
    oom(world.spawn_batch((0..100_000).map(|i| (pos(i), Name("new".into())))).map(drop));
    oom(world.spawn_fill::<(Pos, Vel)>(200_000, |_, _| unreachable!("nothing is filled")).map(drop));
    oom(world.reserve::<(Pos, Health)>(1_000_000));
    oom(world
        .define_columns("table", vec![peristyle_world::Field::new("x", peristyle_world::Scalar::F64)], 1 << 20)
        .map(drop));
    assert_consistent(&mut world, &entities);
    // Freed rows are room again.
    world.despawn_batch(entities.split_off(10)).unwrap();
    world
        .spawn_batch((10..16_000).map(|i| (pos(i), Name(i.to_string()))))
        .unwrap()
        .iter()
        .for_each(|e| entities.push(e));
    assert_consistent(&mut world, &entities);
}

#[test]
fn a_move_that_finds_no_room_leaves_the_entity_as_it_was() {
    // 64 rows of the wide component take 2 MiB together with the narrow ones: the first table fits, the second does not.
    let mut world = World::on(Memory::reserve(2 << 20).unwrap());
    let wide: Vec<_> =
        (0..2_200).map(|i| peristyle_world::Field::new(format!("f{i}"), peristyle_world::Scalar::F64)).collect();
    let wide = world.define("wide", wide).unwrap();
    let mut changed = world.query_filtered::<Entity, peristyle_world::Changed<Pos>>();
    let entity = world.spawn((pos(1), Name("kept".into()))).unwrap();
    world.insert_id(entity, wide).unwrap();
    assert_eq!(seen(&mut changed, &mut world), [entity]);
    assert!(matches!(world.remove::<Pos>(entity), Err(WorldError::OutOfMemory(_))));
    assert!(matches!(world.insert(entity, Health(1)), Err(WorldError::OutOfMemory(_))));
    assert!(matches!(world.insert(entity, (Health(1), pos(2), Name("new".into()))), Err(WorldError::OutOfMemory(_))));
    assert_eq!((world.get::<Pos>(entity).unwrap(), &*world.get::<Name>(entity).unwrap().0), (pos(1), "kept"));
    assert!(!world.has::<Health>(entity) && world.has_id(entity, wide));
    assert_eq!(seen(&mut changed, &mut world), []);
    // In place there is no need for room.
    world.insert(entity, (pos(2), Name("new".into()))).unwrap();
    assert_eq!((world.get::<Pos>(entity).unwrap(), &*world.get::<Name>(entity).unwrap().0), (pos(2), "new"));
    world.despawn(entity).unwrap();
    assert!(world.is_empty());
}

#[test]
fn many_tables_share_one_memory() {
    let mut world = world();
    let ids: Vec<_> = (0..10)
        .map(|i| {
            world
                .define(&format!("c{i}"), vec![peristyle_world::Field::new("v", peristyle_world::Scalar::U16)])
                .unwrap()
        })
        .collect();
    let mut entities = Vec::new();
    for set in 0..1_024_usize {
        let components: Vec<_> = (0..10).filter(|bit| set >> bit & 1 == 1).map(|bit| ids[bit]).collect();
        for entity in world.spawn_ids(&components, 3).unwrap().iter().collect::<Vec<_>>() {
            components.iter().for_each(|id| world.set_field(entity, *id, 0, set as u16).unwrap());
            entities.push((entity, set));
        }
    }
    for (entity, set) in entities {
        for (bit, id) in ids.iter().enumerate() {
            assert_eq!(world.has_id(entity, *id), set >> bit & 1 == 1);
            if world.has_id(entity, *id) {
                assert_eq!(world.get_field::<u16>(entity, *id, 0).unwrap(), set as u16);
            }
        }
    }
}
