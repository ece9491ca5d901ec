//! Schemas of Rust types, against where the compiler lays their fields.

#![allow(dead_code, reason = "the structs are looked at, not made")]

use std::mem::{align_of, offset_of, size_of};

use peristyle_layout::{
    Entity,
    schema::{Described, SchemaError, StructLayout},
};

#[derive(Described)]
#[repr(C)]
struct Point {
    x: f32,
    y: f64,
}

#[derive(Described)]
#[repr(C)]
struct Everything {
    a: bool,
    b: i16,
    c: u8,
    d: u64,
    e: i8,
    f: f32,
    points: [Point; 3],
    g: u16,
    grid: [[i32; 2]; 3],
    h: i64,
    i: u32,
    r#type: f64,
    last: bool,
}

#[derive(Described)]
#[repr(C, packed)]
struct Packed {
    a: u8,
    b: f64,
    inner: Point,
    c: u16,
}

#[derive(Described)]
#[repr(C, align(16))]
struct Aligned {
    a: u8,
    b: u32,
}

#[derive(Described)]
#[repr(C)]
struct HoldsAligned {
    a: u8,
    b: [Aligned; 2],
    c: u8,
}

#[derive(Described)]
struct Health(f32);

#[derive(Described)]
struct Pair(u8, [u8; 2]);

#[derive(Described)]
struct Target {
    who: Option<Entity>,
}

#[derive(Described)]
struct Marker;

/// Checks size, alignment and the offset of each named field against the compiler's.
macro_rules! as_the_compiler {
    ($type:ty: $($($field:ident).+),*) => {{
        let layout = StructLayout::of::<$type>().expect("the schema is sound");
        assert_eq!(layout.size(), size_of::<$type>());
        assert_eq!(layout.align(), align_of::<$type>());
        $(
            let path = stringify!($($field).+).replace(' ', "").replace("r#", "");
            assert_eq!(layout.place(&path).expect("the field is there").offset, offset_of!($type, $($field).+), "{path}");
        )*
        layout
    }};
}

#[test]
fn offsets_are_those_of_repr_c() {
    as_the_compiler!(Point: x, y);
    let layout = as_the_compiler!(Everything: a, b, c, d, e, f, points, g, grid, h, i, r#type, last);
    let points = offset_of!(Everything, points);
    assert_eq!(layout.place("points[2].y").unwrap().offset, points + 2 * size_of::<Point>() + offset_of!(Point, y));
    assert_eq!(layout.place("grid[2][1]").unwrap().offset, offset_of!(Everything, grid) + 5 * 4);
    as_the_compiler!(Packed: a, b, inner, inner.y, c);
    as_the_compiler!(Aligned: a, b);
    as_the_compiler!(HoldsAligned: a, b, c);
}

#[test]
fn unnamed_fields_are_values() {
    let names = |layout: StructLayout| layout.fields().into_iter().map(|field| field.name).collect::<Vec<_>>();
    assert_eq!(names(StructLayout::of::<Health>().unwrap()), ["value"]);
    assert_eq!(names(StructLayout::of::<Pair>().unwrap()), ["v0", "v1_0", "v1_1"]);
}

#[test]
fn an_entity_is_a_float_that_says_so() {
    let layout = StructLayout::of::<Target>().unwrap();
    assert_eq!((layout.size(), layout.columns()[0].is_entity()), (8, true));
}

#[test]
fn a_struct_without_fields_has_no_layout() {
    assert_eq!(StructLayout::of::<Marker>(), Err(SchemaError::EmptyStruct { path: String::new() }));
}
