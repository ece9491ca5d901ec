//! Values that a world has once.

mod common;

use common::*;
use peristyle_world::{Columnar, Component, Field, Memory, Scalar, SharedWorld, World, WorldError};

#[test]
fn an_opaque_resource_is_put_read_written_replaced_and_taken() {
    let mut world = world();
    assert!(world.resource::<String>().is_none() && world.remove_resource::<String>().is_none());
    assert_eq!(world.insert_resource(String::from("a")), None);
    world.resource_mut::<String>().unwrap().push('b');
    assert_eq!(world.resource::<String>().unwrap(), "ab");
    assert_eq!(world.insert_resource(String::from("c")).as_deref(), Some("ab"));
    assert_eq!(world.remove_resource::<String>().as_deref(), Some("c"));
    assert!(world.resource::<String>().is_none());
    let id = world.resource_id::<String>();
    assert_eq!(id, world.resource_id::<String>());
    assert_eq!(world.resource_name(id), "alloc::string::String");
    assert_ne!(id, world.resource_id::<Vec<u8>>());
}

#[derive(Columnar, Clone, Copy)]
struct Vector {
    x: f64,
    y: f64,
}

#[derive(Component, Clone, Copy)]
#[component(name = "airports")]
struct Airport {
    at: Vector,
    code: u16,
    is_open: bool,
}

#[test]
fn a_columnar_resource_is_filled_read_and_written_as_columns() {
    let mut world = world();
    assert!(world.columns::<Airport>().is_none());
    let id = world
        .insert_columns::<Airport>(1_000, |rows| {
            assert!(rows.at.x.iter().all(|x| *x == 0.0) && rows.is_open.len() == 1_000);
            rows.code.iter_mut().enumerate().for_each(|(i, code)| *code = i as u16);
            rows.is_open[5] = true.into();
        })
        .unwrap();
    world.columns_mut::<Airport>().unwrap().at.y[999] = 1.5;
    let columns = world.columns::<Airport>().unwrap();
    assert_eq!((columns.at.y[999], columns.at.x[999], columns.code[7]), (1.5, 0.0, 7));
    assert!(columns.is_open[5].get() && !columns.is_open[6].get());
    assert_eq!(world.column_resource_id("airports"), id);
    let raw = SharedWorld::new(&world).column_resource(id).unwrap();
    let names: Vec<&str> = raw.fields().iter().map(|field| &*field.name).collect();
    assert_eq!((raw.rows(), names), (1_000, vec!["at_x", "at_y", "code", "is_open"]));
    let columns: Vec<_> = raw.columns().collect();
    assert!(columns.iter().all(|(ptr, _)| ptr.addr().is_multiple_of(64)));
    // SAFETY: the column has 1 000 elements, and nobody writes.
    assert_eq!(unsafe { columns[2].0.cast::<u16>().add(999).read() }, 999);
    assert_eq!(columns[2].1, Scalar::U16);
}

#[test]
fn a_replaced_columnar_resource_gives_its_memory_back() {
    let mut world = world();
    world.insert_columns::<Airport>(100_000, |_| {}).unwrap();
    let used = world.memory().used_bytes();
    for _ in 0..10 {
        world.insert_columns::<Airport>(100_000, |_| {}).unwrap();
    }
    assert!(world.memory().used_bytes() <= used);
    world.insert_columns::<Airport>(0, |rows| assert!(rows.code.is_empty())).unwrap();
    assert!(world.columns::<Airport>().unwrap().code.is_empty());
}

#[test]
fn columns_without_a_rust_type_are_not_taken_for_one() {
    let mut world = world();
    let id = world.define_columns("airports", vec![Field::new("code", Scalar::U16)], 10).unwrap();
    assert!(world.columns::<Airport>().is_none());
    assert_eq!(SharedWorld::new(&world).column_resource(id).unwrap().rows(), 10);
}

#[test]
fn columns_that_find_no_room_are_an_error_and_the_old_ones_stay() {
    let mut world = World::on(Memory::reserve(2 << 20).unwrap());
    world.insert_columns::<Airport>(10, |rows| rows.code[3] = 4).unwrap();
    let result = world.insert_columns::<Airport>(1 << 20, |_| unreachable!("there is nothing to fill"));
    assert!(matches!(result, Err(WorldError::OutOfMemory(_))));
    assert_eq!(world.columns::<Airport>().unwrap().code[3], 4);
}
