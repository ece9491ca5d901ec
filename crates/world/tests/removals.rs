//! What was removed: a bounded log with a cursor for each reader.

mod common;

use common::*;
use peristyle_world::{Entity, FellBehind, LOG_ENTITIES, Removals, World};

fn read(removals: &mut Removals<Pos>, world: &World) -> Result<Vec<Entity>, FellBehind> {
    let mut found = Vec::new();
    removals.read(world, |entity| found.push(entity)).map(|()| found)
}

#[test]
fn removed_and_despawned_entities_are_told_once_to_each_reader() {
    let mut world = world();
    let e = spawn_positions(&mut world, 10);
    world.despawn(e[0]).unwrap();
    let mut early = world.removals::<Pos>();
    world.remove::<Pos>(e[1]).unwrap();
    world.despawn(e[2]).unwrap();
    let mut late = world.removals::<Pos>();
    world.insert(e[3], Health(1)).unwrap();
    world.set(e[4], pos(1)).unwrap();
    world.despawn_batch([e[3], e[4]]).unwrap();
    world.despawn(e[1]).unwrap();
    assert_eq!(read(&mut early, &world).unwrap(), [e[1], e[2], e[3], e[4]]);
    assert_eq!(read(&mut late, &world).unwrap(), [e[3], e[4]]);
    assert_eq!((read(&mut early, &world).unwrap(), read(&mut late, &world).unwrap()), (vec![], vec![]));
}

#[test]
fn a_reader_that_fell_behind_is_told_how_far_and_goes_on_with_what_is_left() {
    let mut world = world();
    let mut removals = world.removals::<Pos>();
    let entities = spawn_positions(&mut world, LOG_ENTITIES + 1000);
    world.despawn_batch(entities[..LOG_ENTITIES].iter().copied()).unwrap();
    let mut keeps_up = removals.clone();
    assert_eq!(read(&mut keeps_up, &world).unwrap(), entities[..LOG_ENTITIES]);
    world.despawn_batch(entities[LOG_ENTITIES..].iter().copied()).unwrap();
    assert_eq!(read(&mut keeps_up, &world).unwrap(), entities[LOG_ENTITIES..]);
    assert_eq!(read(&mut removals, &world), Err(FellBehind { missed: 1000 }));
    assert_eq!(read(&mut removals, &world).unwrap(), entities[1000..]);
}
