//! Parents and children.

mod common;

use common::*;
use peristyle_world::{Entity, World, WorldError};

fn chain(world: &mut World, length: usize) -> Vec<Entity> {
    let entities = spawn_positions(world, length);
    for pair in entities.windows(2) {
        world.set_parent(pair[1], Some(pair[0])).unwrap();
    }
    entities
}

#[test]
fn children_come_in_order_and_change_their_parent() {
    let mut world = world();
    let e = spawn_positions(&mut world, 6);
    for child in [3, 1, 2] {
        world.set_parent(e[child], Some(e[0])).unwrap();
    }
    assert_eq!(world.children(e[0]), [e[3], e[1], e[2]]);
    world.set_parent(e[1], Some(e[5])).unwrap();
    assert_eq!((world.children(e[0]), world.children(e[5])), (&[e[3], e[2]][..], &[e[1]][..]));
    world.set_parent(e[3], Some(e[0])).unwrap();
    assert_eq!(world.children(e[0]), [e[2], e[3]], "a child that is given again comes last");
    world.set_parent(e[2], None).unwrap();
    world.set_parent(e[2], None).unwrap();
    assert_eq!((world.parent(e[2]), world.parent(e[3]), world.children(e[0])), (None, Some(e[0]), &[e[3]][..]));
    assert_eq!((world.parent(e[4]), world.children(e[4])), (None, &[][..]));
}

#[test]
fn despawning_takes_descendants_along_and_leaves_the_parent() {
    let mut world = world();
    let e = chain(&mut world, 5);
    let twig = world.spawn(Name("twig".into())).unwrap();
    world.set_parent(twig, Some(e[3])).unwrap();
    world.despawn(e[2]).unwrap();
    assert_eq!(world.len(), 2);
    assert!(world.is_alive(e[0]) && world.is_alive(e[1]) && !world.is_alive(twig));
    assert_eq!(world.children(e[1]), []);
    assert_eq!(world.despawn_batch([e[1], e[0]]).unwrap(), 2);
}

#[test]
fn descendants_go_before_their_ancestors() {
    let mut world = world();
    let e = chain(&mut world, 4);
    let mut removals = world.removals::<Pos>();
    world.despawn(e[0]).unwrap();
    let mut gone = Vec::new();
    removals.read(&world, |entity| gone.push(entity)).unwrap();
    assert_eq!(gone, [e[3], e[2], e[1], e[0]]);
}

#[test]
fn nobody_is_an_ancestor_of_itself() {
    let mut world = world();
    let e = chain(&mut world, 5);
    for (child, parent) in [(0, 0), (0, 1), (0, 4), (2, 3)] {
        let error = world.set_parent(e[child], Some(e[parent])).unwrap_err();
        assert!(matches!(error, WorldError::Cycle { child: c, parent: p } if (c, p) == (e[child], e[parent])));
    }
    assert!((1..5).all(|i| world.parent(e[i]) == Some(e[i - 1])));
    world.set_parent(e[4], Some(e[0])).unwrap();
}

#[test]
fn a_family_may_be_deeper_than_the_stack() {
    let mut world = world();
    let root = world.spawn(()).unwrap();
    let mut leaf = root;
    for _ in 0..100_000 {
        let child = world.spawn(()).unwrap();
        // From the top, so that looking for cycles stays short.
        world.set_parent(leaf, Some(child)).unwrap();
        leaf = child;
    }
    world.despawn(leaf).unwrap();
    assert!(world.is_empty());
}
