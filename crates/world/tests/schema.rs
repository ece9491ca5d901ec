//! Components have a schema, whose columns are those of the component.

mod common;

use std::mem::offset_of;

use common::world;
use peristyle_world::{
    Bool, Columnar, Component, Described, Entity, Scalar, World,
    schema::{Struct, StructLayout},
};

#[derive(Debug, Clone, Copy, Columnar)]
#[repr(C)]
struct Point {
    x: f32,
    y: f64,
}

#[derive(Debug, Clone, Copy, Component)]
struct Body {
    on: bool,
    seen: Bool,
    at: Point,
    trail: [Point; 2],
    target: Option<Entity>,
    grid: [[i16; 2]; 2],
}

#[derive(Debug, Clone, Copy, Component)]
struct Health(u8);

#[derive(Debug, Clone, Copy, Component)]
struct Pair(u8, [i64; 2]);

#[derive(Debug, Clone, Copy, Component)]
#[repr(C)]
struct Numbers {
    a: i8,
    b: i64,
    c: u16,
    d: Point,
    e: [u32; 3],
    f: bool,
}

#[test]
fn a_schema_has_the_columns_of_its_component() {
    fn check<C: Component + Described>(world: &mut World) {
        let id = world.register::<C>();
        let info = world.components().info(id);
        let layout = StructLayout::of::<C>().expect("the schema is sound");
        assert_eq!(layout.fields(), info.fields(), "{}", info.name());
        assert_eq!(layout.hash(), info.layout_hash());
    }
    let mut world = world();
    check::<Body>(&mut world);
    check::<Health>(&mut world);
    check::<Pair>(&mut world);
    check::<Numbers>(&mut world);
}

#[test]
fn a_component_of_repr_c_lies_in_records_as_in_rust() {
    let layout = StructLayout::of::<Numbers>().expect("the schema is sound");
    assert_eq!((layout.size(), layout.align()), (size_of::<Numbers>(), align_of::<Numbers>()));
    for (path, offset) in [
        ("a", offset_of!(Numbers, a)),
        ("b", offset_of!(Numbers, b)),
        ("c", offset_of!(Numbers, c)),
        ("d.y", offset_of!(Numbers, d.y)),
        ("e[2]", offset_of!(Numbers, e) + 8),
        ("f", offset_of!(Numbers, f)),
    ] {
        assert_eq!(layout.place(path).expect("the field is there").offset, offset, "{path}");
    }
}

#[test]
fn a_component_is_defined_by_a_schema() {
    let mut world = world();
    let fields = Struct::new().field("on", Scalar::Bool).field("at", Point::describe());
    let layout = StructLayout::compile(&fields.into()).expect("the schema is sound");
    let lamp = world.define("lamp", layout.fields()).unwrap();
    let entity = world.spawn_ids(&[lamp], 1).unwrap().iter().next().expect("one was spawned");
    let y = layout.place("at.y").expect("the field is there").columns.start;
    world.set_field(entity, lamp, y, 1.5).unwrap();
    assert_eq!(world.get_field::<f64>(entity, lamp, y).unwrap(), 1.5);
}
