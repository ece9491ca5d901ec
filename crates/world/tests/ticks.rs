//! Ticks.

mod common;

use common::*;
use peristyle_world::WorldError;

#[test]
fn ticks_are_numbered_and_do_not_nest() {
    let mut world = world();
    assert!(matches!(world.end_tick(), Err(WorldError::NoTick)));
    assert_eq!(world.begin_tick().unwrap(), 1);
    assert!(matches!(world.begin_tick(), Err(WorldError::NestedTick)));
    assert_eq!(world.tick(), 1);
    world.end_tick().unwrap();
    assert!(matches!(world.end_tick(), Err(WorldError::NoTick)));
    assert_eq!(world.begin_tick().unwrap(), 2);
}

#[test]
fn the_number_of_the_last_run_only_grows() {
    let mut world = world();
    assert_eq!(world.sequence(), 0);
    world.set_sequence(5);
    world.set_sequence(3);
    assert_eq!(world.sequence(), 5);
}
