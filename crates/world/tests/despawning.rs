//! Despawning: one, a batch, and by bit.

mod common;

use common::*;
use peristyle_memory::bits;
use peristyle_world::{Entity, Query, SharedWorld, World};
use proptest::prelude::*;

#[test]
fn the_last_row_fills_the_hole_and_everybody_is_found_again() {
    let mut world = world();
    let mut entities = spawn_positions(&mut world, 40_000);
    // First, last, in the middle, at a chunk border, and until only one is left.
    for pick in [0, 39_998, 20_000, 16_384, 16_383, 1] {
        world.despawn(entities.remove(pick)).unwrap();
    }
    let value = |world: &World, entity: Entity| world.get::<Pos>(entity).unwrap().x as usize;
    assert!(entities.windows(2).all(|pair| value(&world, pair[0]) < value(&world, pair[1])));
    let kept = entities.remove(12_345);
    let x = value(&world, kept);
    assert_eq!(world.despawn_batch(entities).unwrap(), 39_993);
    assert_eq!((world.len(), value(&world, kept)), (1, x));
}

/// Sets the despawn bits of the rows whose entity `doomed` picks.
fn mark(world: &World, query: &Query<&Pos>, doomed: impl Fn(Entity) -> bool) {
    let shared = SharedWorld::new(world);
    for chunk in query.state().chunks(world) {
        for row in 0..chunk.rows() {
            // SAFETY: the row is in use, and nobody else touches the world.
            unsafe {
                if doomed(shared.entity(*shared.eids(chunk, row))) {
                    let words =
                        std::slice::from_raw_parts_mut(shared.despawn_bits(chunk, 0), chunk.rows().div_ceil(64));
                    bits::set(words, row);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Exactly those whose bit is set go, whatever their number and places, and the bits are zero afterwards.
    #[test]
    fn exactly_the_marked_rows_go(rows in 1..40_000_usize, every in 1..50_usize, offset in 0..50_usize) {
        let mut world = world();
        let entities = spawn_positions(&mut world, rows);
        world.insert(entities[0], Vel::default()).unwrap();
        let mut query = world.query::<&Pos>();
        query.state_mut().refresh(&world);
        let dies = |i: usize| (i + offset).is_multiple_of(every);
        let doomed: std::collections::HashSet<Entity> =
            entities.iter().enumerate().filter(|(i, _)| dies(*i)).map(|(_, entity)| *entity).collect();
        mark(&world, &query, |entity| doomed.contains(&entity));
        prop_assert_eq!(world.despawn_marked_rows(query.state()).unwrap(), doomed.len());
        for (i, entity) in entities.iter().enumerate() {
            prop_assert_eq!(world.get::<Pos>(*entity).ok(), (!dies(i)).then(|| pos(i)));
        }
        prop_assert_eq!(world.despawn_marked_rows(query.state()).unwrap(), 0);
        prop_assert_eq!(world.len(), rows - doomed.len());
    }
}

/// A child that goes with its marked parent leaves a hole that an unmarked row fills: it must not inherit the child's bit,
/// in whichever table either of them is.
#[test]
fn a_marked_parent_takes_its_marked_child_along_and_nobody_else() {
    for parent_is_elsewhere in [false, true] {
        let mut world = world();
        let entities = spawn_positions(&mut world, 5);
        // In the table of those that are child and parent: 0, 1 and 2, in this order.
        let [child, bystander, parent, above, below] = entities[..] else { unreachable!() };
        for member in [child, bystander, parent] {
            world.set_parent(member, Some(above)).unwrap();
            world.set_parent(below, Some(member)).unwrap();
        }
        world.set_parent(child, Some(parent)).unwrap();
        if parent_is_elsewhere {
            world.insert(parent, Tag).unwrap();
        }
        let mut query = world.query::<&Pos>();
        query.state_mut().refresh(&world);
        mark(&world, &query, |entity| entity == child || entity == parent);
        assert_eq!(world.despawn_marked_rows(query.state()).unwrap(), 2);
        assert!(
            world.is_alive(bystander) && world.is_alive(above) && !world.is_alive(child) && !world.is_alive(parent)
        );
    }
}

#[test]
fn bits_of_several_queries_are_taken_before_any_row_moves() {
    let mut world = world();
    let entities = spawn_positions(&mut world, 100);
    world.insert(entities[0], Health(1)).unwrap();
    let mut both = [world.query::<&Pos>(), world.query::<&Pos>()];
    for query in &mut both {
        query.state_mut().refresh(&world);
        mark(&world, query, |entity| entity.index() % 10 == 3);
    }
    assert_eq!(world.despawn_marked_rows_of(both.iter().map(|query| query.state())).unwrap(), 10);
    assert!(entities.iter().all(|entity| world.is_alive(*entity) == (entity.index() % 10 != 3)));
}

#[test]
fn families_within_one_table_are_despawned_by_bit_without_touching_others() {
    let mut world = world();
    let entities = spawn_positions(&mut world, 300);
    // Everybody has a parent and children, so that all are in one table: four families, in a chain each.
    for i in 4..300 {
        world.set_parent(entities[i], Some(entities[i - 4])).unwrap();
    }
    for i in 0..4 {
        let root = world.spawn(()).unwrap();
        let leaf = world.spawn(()).unwrap();
        world.set_parent(entities[i], Some(root)).unwrap();
        world.set_parent(leaf, Some(entities[296 + i])).unwrap();
    }
    let mut query = world.query::<&Pos>();
    query.state_mut().refresh(&world);
    mark(&world, &query, |entity| entities.iter().position(|e| *e == entity).is_some_and(|i| i % 4 == 2 && i % 3 == 0));
    world.despawn_marked_rows(query.state()).unwrap();
    for (i, entity) in entities.iter().enumerate() {
        // 6 is the first of family 2 that is marked.
        assert_eq!(world.is_alive(*entity), i % 4 != 2 || i < 6, "{i}");
    }
}
