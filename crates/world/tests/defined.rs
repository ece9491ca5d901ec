//! Component types that are made at run time.

mod common;

use common::*;
use peristyle_world::{Bool, Component, DefineError, Field, QuerySpec, QueryState, Scalar, SharedWorld, WorldError};

fn fields() -> Vec<Field> {
    vec![Field::new("x", Scalar::F32), Field::new("lit", Scalar::Bool), Field::new("n", Scalar::I64)]
}

#[test]
fn a_defined_component_is_spawned_read_written_added_and_removed() {
    let mut world = world();
    let light = world.define("light", fields()).unwrap();
    let position = world.register::<Pos>();
    let entities: Vec<_> = world.spawn_ids(&[light, position], 20_000).unwrap().iter().collect();
    assert_eq!(world.get::<Pos>(entities[19_999]).unwrap(), Pos::default());
    let entity = entities[17_000];
    world.set_field(entity, light, 0, 1.5_f32).unwrap();
    world.set_field(entity, light, 1, Bool::from(true)).unwrap();
    world.set_field(entity, light, 2, -7_i64).unwrap();
    world.set(entity, pos(3)).unwrap();
    world.remove::<Pos>(entity).unwrap();
    assert_eq!(world.get_field::<f32>(entity, light, 0).unwrap(), 1.5);
    assert!(world.get_field::<Bool>(entity, light, 1).unwrap().get());
    assert_eq!(world.get_field::<i64>(entity, light, 2).unwrap(), -7);
    world.remove_id(entity, light).unwrap();
    assert!(matches!(world.get_field::<f32>(entity, light, 0), Err(WorldError::Missing { .. })));
    world.insert_id(entity, light).unwrap();
    world.insert_id(entity, light).unwrap();
    assert_eq!(world.get_field::<i64>(entity, light, 2).unwrap(), 0, "a new component starts at zero");
}

#[test]
fn an_untyped_query_finds_its_chunks_and_changes() {
    let mut world = world();
    let light = world.define("light", fields()).unwrap();
    let spec = QuerySpec { changed: vec![light], ..QuerySpec::default() };
    let mut query = QueryState::new(&mut world, spec, None);
    let entities: Vec<_> = world.spawn_ids(&[light], 100).unwrap().iter().collect();
    world.spawn(pos(1)).unwrap();
    query.refresh(&world);
    let chunks: Vec<_> = query.chunks(&world).collect();
    assert_eq!(chunks.iter().map(|chunk| chunk.rows()).collect::<Vec<_>>(), [100]);
    query.clear(&world, chunks[0], 0..100);
    assert_eq!(query.chunks(&world).count(), 0);
    world.set_field(entities[65], light, 2, 1_i64).unwrap();
    let mut pending = [0; 2];
    SharedWorld::new(&world).copy_pending(&query, chunks[0], 0..100, &mut pending);
    assert_eq!(pending, [0, 2]);
    let columns: Vec<Scalar> = SharedWorld::new(&world).columns(chunks[0], light, 0).map(|c| c.scalar).collect();
    assert_eq!(columns, [Scalar::F32, Scalar::Bool, Scalar::I64]);
}

#[test]
fn what_cannot_be_defined_is_an_error_that_says_which() {
    let mut world = world();
    world.register::<Pos>();
    let field = |name: &str| Field::new(name, Scalar::U8);
    let cases = [
        ("Pos", vec![], DefineError::DuplicateName("Pos".into())),
        (
            "a",
            vec![field("x"), field("y"), field("x")],
            DefineError::DuplicateField { component: "a".into(), field: "x".into() },
        ),
        ("a", vec![field("")], DefineError::FieldName { component: "a".into(), field: "".into() }),
        ("a", vec![field("1x")], DefineError::FieldName { component: "a".into(), field: "1x".into() }),
        ("a", vec![field("x-y")], DefineError::FieldName { component: "a".into(), field: "x-y".into() }),
    ];
    for (name, fields, error) in cases {
        assert_eq!(world.define(name, fields).unwrap_err(), error);
    }
    world.define("a", vec![]).unwrap();
}

#[test]
#[should_panic(expected = "left: F32")]
fn a_field_read_as_another_type_is_a_mistake() {
    let mut world = world();
    let light = world.define("light", fields()).unwrap();
    let entity = world.spawn_ids(&[light], 1).unwrap().iter().next().unwrap();
    _ = world.get_field::<u32>(entity, light, 0);
}

#[test]
#[should_panic(expected = "`Name` is opaque")]
fn an_opaque_component_is_not_made_of_zeroes() {
    let mut world = world();
    let name = world.register::<Name>();
    _ = world.spawn_ids(&[name], 1);
}

#[derive(Component, Debug, Clone, Copy, PartialEq)]
#[component(name = "Place")]
struct Typed {
    x: f32,
    y: f32,
}

#[test]
fn a_rust_type_adopts_what_was_defined_with_its_columns() {
    let mut world = world();
    assert!(matches!(world.adopt::<Typed>(), Err(DefineError::Undefined(name)) if name == "Place"));
    let place = world.define("Place", vec![Field::new("x", Scalar::F32), Field::new("y", Scalar::F32)]).unwrap();
    let entity = world.spawn_ids(&[place], 1).unwrap().iter().next().unwrap();
    world.set_field(entity, place, 1, 2.5f32).unwrap();
    assert_eq!(world.adopt::<Typed>(), Ok(place));
    assert_eq!((world.adopt::<Typed>(), world.register::<Typed>()), (Ok(place), place), "again");
    let row = world.get::<Typed>(entity).unwrap();
    assert_eq!((row.x, row.y), (0.0, 2.5));
}

#[test]
fn other_columns_are_not_adopted() {
    let mut world = world();
    world.define("Place", vec![Field::new("x", Scalar::F32)]).unwrap();
    let told = world.adopt::<Typed>().unwrap_err().to_string();
    assert_eq!(told, "component `Place` is defined with the columns (x: f32), not (x: f32, y: f32)");
}
