//! Layouts of schemas: what C makes of them, what can be said otherwise, and what is refused.

use peristyle_layout::{
    Scalar,
    schema::{
        COLUMNS_MAX, NAME_BYTES_MAX, NESTING_MAX, PathError, Place, SIZE_MAX, SchemaError, Shape, Struct, StructLayout,
        Type,
    },
};

fn layout(fields: Struct) -> StructLayout {
    StructLayout::compile(&fields.into()).expect("the schema is sound")
}

fn refused(fields: Struct) -> SchemaError {
    StructLayout::compile(&fields.into()).expect_err("the schema is not sound")
}

/// Path, name, scalar and offset of each column.
fn columns(layout: &StructLayout) -> Vec<(&str, &str, Scalar, usize)> {
    layout.columns().iter().map(|column| (column.path(), column.name(), column.scalar(), column.offset())).collect()
}

fn point() -> Struct {
    Struct::new().field("x", Scalar::F32).field("y", Scalar::F64)
}

#[test]
fn a_struct_is_laid_out_as_c_does_it() {
    let layout = layout(
        Struct::new()
            .field("on", Scalar::Bool)
            .field("vel", Type::array(point(), 2))
            .field("id", Scalar::U16)
            .field("who", Type::entity())
            .field("end", Scalar::I8),
    );
    assert_eq!(
        columns(&layout),
        [
            ("on", "on", Scalar::Bool, 0),
            ("vel[0].x", "vel_0_x", Scalar::F32, 8),
            ("vel[0].y", "vel_0_y", Scalar::F64, 16),
            ("vel[1].x", "vel_1_x", Scalar::F32, 24),
            ("vel[1].y", "vel_1_y", Scalar::F64, 32),
            ("id", "id", Scalar::U16, 40),
            ("who", "who", Scalar::F64, 48),
            ("end", "end", Scalar::I8, 56),
        ]
    );
    assert_eq!((layout.size(), layout.align(), layout.padding()), (64, 8, 64 - 1 - 24 - 2 - 8 - 1));
    let entities: Vec<bool> = layout.columns().iter().map(|column| column.is_entity()).collect();
    assert_eq!(entities, [false, false, false, false, false, false, true, false]);
    assert_eq!(layout.hash(), peristyle_layout::layout_hash(&layout.fields()));
}

#[test]
fn padding_packing_alignment_and_offsets_can_be_said() {
    let padded = layout(Struct::new().field("a", Scalar::U8).pad(2).field("b", Scalar::U8).pad(5));
    assert_eq!((padded.place("b").unwrap().offset, padded.size(), padded.padding()), (3, 9, 7));

    // The nested struct keeps its own layout, tail padding included.
    let inner = Struct::new().field("x", Scalar::F64).field("y", Scalar::U8);
    let packed = layout(Struct::new().field("a", Scalar::U8).field("in", inner).field("b", Scalar::U32).packed());
    assert_eq!((packed.place("in.y").unwrap().offset, packed.place("b").unwrap().offset), (9, 17));
    assert_eq!((packed.size(), packed.align()), (21, 1));

    let vec3 = Struct::new().field("x", Scalar::F32).field("y", Scalar::F32).field("z", Scalar::F32).align(16);
    let aligned = layout(Struct::new().field("scale", Scalar::F32).field("at", Type::array(vec3, 2)));
    assert_eq!((aligned.place("at[1].x").unwrap().offset, aligned.size(), aligned.align()), (32, 48, 16));

    let placed =
        layout(Struct::new().field_at("b", Scalar::U32, 8).field("c", Scalar::U8).field_at("a", Scalar::U64, 0));
    assert_eq!(columns(&placed).iter().map(|column| column.3).collect::<Vec<_>>(), [8, 12, 0]);
    assert_eq!((placed.size(), placed.padding()), (16, 3));
    let odd = layout(Struct::new().field_at("a", Scalar::U32, 3).packed());
    assert_eq!((odd.size(), odd.align()), (7, 1));
}

#[test]
fn paths_name_scalars_arrays_structs_and_the_whole() {
    let layout = layout(Struct::new().field("a", Scalar::U8).field("vel", Type::array(Type::array(point(), 3), 2)));
    assert_eq!(
        layout.place("vel[1][2].y"),
        Ok(Place { offset: 96, size: 8, align: 8, shape: Shape::Scalar(Scalar::F64), columns: 12..13 })
    );
    assert_eq!(
        layout.place("vel[1]"),
        Ok(Place { offset: 56, size: 48, align: 8, shape: Shape::Array { len: 3, stride: 16 }, columns: 7..13 })
    );
    assert_eq!(
        layout.place("vel[0][1]"),
        Ok(Place { offset: 24, size: 16, align: 8, shape: Shape::Struct, columns: 3..5 })
    );
    assert_eq!(layout.place("").map(|place| (place.offset, place.size, place.columns)), Ok((0, 104, 0..13)));
    for (index, column) in layout.columns().iter().enumerate() {
        let place = layout.place(column.path()).unwrap();
        assert_eq!((place.offset, place.columns), (column.offset(), index..index + 1), "{}", column.path());
    }
}

#[test]
fn a_wrong_path_says_where_it_is_wrong() {
    let layout = layout(Struct::new().field("pos", point()).field("vel", Type::array(point(), 3)));
    let within = |within: &str| within.to_owned();
    for (path, error) in [
        ("pos.z", PathError::NoField { within: within("pos"), name: "z".into() }),
        ("poz", PathError::NoField { within: within(""), name: "poz".into() }),
        ("vel[3].x", PathError::NoElement { within: within("vel"), index: 3, len: 3 }),
        ("vel[99999999999999999999]", PathError::NoElement { within: within("vel"), index: u64::MAX, len: 3 }),
        ("pos[0]", PathError::NotAnArray { within: within("pos") }),
        ("[0]", PathError::NotAnArray { within: within("") }),
        ("vel.x", PathError::NotAStruct { within: within("vel") }),
        ("pos.x.y", PathError::NotAStruct { within: within("pos.x") }),
    ] {
        assert_eq!(layout.place(path), Err(error), "{path}");
    }
    let spots = [(".pos", 0), ("pos.", 4), ("pos..x", 4), ("vel[", 4), ("vel[-1]", 4), ("vel[1", 5), ("vel[1]x", 6)];
    for (path, at) in spots.into_iter().chain([("pos.x y", 4), ("vel[1 ]", 5), ("größe", 0), ("vel[1]ß", 6)]) {
        assert_eq!(layout.place(path), Err(PathError::Syntax { path: path.into(), at }), "{path}");
    }
}

#[test]
fn what_has_no_columns_is_refused() {
    assert_eq!(refused(Struct::new()), SchemaError::EmptyStruct { path: "".into() });
    assert_eq!(refused(Struct::new().pad(4)), SchemaError::EmptyStruct { path: "".into() });
    let nested = Struct::new().field("a", Type::array(Struct::new(), 2));
    assert_eq!(refused(nested), SchemaError::EmptyStruct { path: "a[]".into() });
    let empty = Struct::new().field("in", Struct::new().field("a", Type::array(Scalar::F32, 0)));
    assert_eq!(refused(empty), SchemaError::EmptyArray { path: "in.a".into() });
    for no_struct in [Scalar::F32.into(), Type::entity(), Type::array(Scalar::F32, 2)] {
        assert_eq!(StructLayout::compile(&no_struct), Err(SchemaError::NotAStruct));
    }
}

#[test]
fn an_unknown_scalar_is_named_with_its_path() {
    let error = refused(Struct::new().field("pos", Struct::new().field("x", Type::named("f16"))));
    assert_eq!(error, SchemaError::UnknownScalar { path: "pos.x".into(), name: "f16".into() });
    assert!(error.to_string().starts_with("`pos.x`: `f16` is no type, expected f32, f64, i8, "), "{error}");
}

#[test]
fn names_are_identifiers_and_columns_have_one_each() {
    for name in ["", "1x", "a.b", "a b", "a[0]", "größe", "x\0", &"a".repeat(NAME_BYTES_MAX + 1)] {
        let error = refused(Struct::new().field("in", Struct::new().field(name, Scalar::F32)));
        assert!(matches!(&error, SchemaError::BadName { path, .. } if path == "in"), "{name:?}: {error}");
    }
    let twice = Struct::new().field("in", Struct::new().field("x", Scalar::F32).field("x", Scalar::U8));
    assert_eq!(refused(twice), SchemaError::DuplicateName { path: "in.x".into() });
    let same = |column: &str, first: &str, second: &str| SchemaError::SameColumn {
        column: column.into(),
        first: first.into(),
        second: second.into(),
    };
    let flat = Struct::new().field("a_y", Scalar::F32).field("a", point());
    assert_eq!(refused(flat), same("a_y", "a_y", "a.y"));
    let array = Struct::new().field("v", Type::array(Scalar::F32, 2)).field("v_1", Scalar::F32);
    assert_eq!(refused(array), same("v_1", "v[1]", "v_1"));
}

#[test]
fn fields_that_overlap_are_refused() {
    let overlap = |path: &str, offset: u64, other: Option<&str>| SchemaError::Overlap {
        path: path.into(),
        offset,
        other: other.map(Into::into),
    };
    let fields = Struct::new().field("a", Scalar::U32).field_at("b", Scalar::U16, 2);
    assert_eq!(refused(Struct::new().field("in", fields)), overlap("in.b", 2, Some("in.a")));
    let fields = Struct::new().field_at("b", Scalar::U16, 2).field_at("a", Scalar::U32, 0);
    assert_eq!(refused(fields), overlap("b", 2, Some("a")));
    // A field that lies wholly within another one, and one that is far behind both.
    let fields = Struct::new().field("a", Type::array(Scalar::U64, 4)).field_at("z", Scalar::U8, 64);
    assert_eq!(refused(fields.field_at("b", Scalar::U8, 9)), overlap("b", 9, Some("a")));
    let fields = Struct::new().field("a", Scalar::U8).pad(3).field_at("b", Scalar::U16, 2);
    assert_eq!(refused(fields), overlap("b", 2, None));
    assert_eq!(
        refused(Struct::new().field_at("b", Scalar::U16, 4).field_at("c", Scalar::U8, 0).pad(4)),
        overlap("b", 4, None)
    );
    // Two pads overlap each other, and the first one reaches beyond the second one to a field.
    let fields = Struct::new().field_at("a", Scalar::U8, 8).field_at("b", Scalar::U8, 0).pad(6).pad(1).field_at(
        "c",
        Scalar::U8,
        3,
    );
    assert_eq!(refused(fields.pad(1)), overlap("c", 3, None));
    let fields = Struct::new().field_at("a", Scalar::U32, 6);
    assert_eq!(refused(fields), SchemaError::Misaligned { path: "a".into(), offset: 6, align: 4 });
}

#[test]
fn alignments_are_powers_of_two_up_to_a_page() {
    for align in [0, 3, 8192, 1 << 40, u64::MAX] {
        let error = refused(Struct::new().field("a", Struct::new().field("x", Scalar::F32).align(align)));
        assert_eq!(error, SchemaError::BadAlign { path: "a".into(), align });
    }
}

#[test]
fn sizes_do_not_overflow() {
    let large = |path: &str| SchemaError::TooLarge { path: path.into() };
    let u8 = Scalar::U8;
    assert_eq!(refused(Struct::new().pad(u64::MAX).field("a", u8)), large(""));
    assert_eq!(refused(Struct::new().field("a", u8).pad(SIZE_MAX as u64)), large(""));
    assert_eq!(refused(Struct::new().field("a", u8).pad(1 << 63).pad(1 << 63)), large(""));
    assert_eq!(refused(Struct::new().field_at("a", u8, u64::MAX)), large("a"));
    assert_eq!(refused(Struct::new().field_at("a", u8, SIZE_MAX as u64)), large("a"));
    let half = Struct::new().field("x", u8).pad(1 << 30);
    assert_eq!(refused(Struct::new().field("a", Type::array(half, 2))), large("a"));
    // One byte less than the limit is rounded up beyond it.
    assert_eq!(refused(Struct::new().field("a", Scalar::U16).pad(SIZE_MAX as u64 - 2)), large(""));
    let largest = layout(Struct::new().field("a", u8).pad(SIZE_MAX as u64 - 1));
    assert_eq!(largest.size(), SIZE_MAX);
}

#[test]
fn columns_are_counted_before_they_are_made() {
    let many = |path: &str| SchemaError::TooManyColumns { path: path.into() };
    for len in [COLUMNS_MAX as u64 + 1, 1 << 32, u64::MAX] {
        assert_eq!(refused(Struct::new().field("a", Type::array(Scalar::U8, len))), many("a"));
    }
    let mut deep = Type::array(Scalar::U8, 2);
    for _ in 0..NESTING_MAX - 2 {
        deep = Type::array(deep, 2);
    }
    assert!(matches!(refused(Struct::new().field("a", deep)), SchemaError::TooManyColumns { .. }));
    let half = || Type::array(Scalar::U8, COLUMNS_MAX as u64 / 2);
    assert_eq!(layout(Struct::new().field("a", half()).field("b", half())).columns().len(), COLUMNS_MAX);
    assert_eq!(refused(Struct::new().field("a", half()).field("b", half()).field("c", Scalar::U8)), many(""));
}

#[test]
fn long_paths_are_refused() {
    let name = "n".repeat(NAME_BYTES_MAX - 1);
    assert_eq!(layout(Struct::new().field(&name, Scalar::F32)).columns()[0].name(), name);
    let error = refused(Struct::new().field(&name, Type::array(Scalar::F32, 1)));
    assert_eq!(error, SchemaError::LongPath { path: format!("{name}[") });
}

#[test]
fn nesting_is_bounded_however_deep_it_is_built() {
    let nest = |levels: usize| {
        let mut ty = Type::from(Scalar::F32);
        for level in 0..levels {
            ty = if level % 2 == 0 { Type::array(ty, 1) } else { Struct::new().field("a", ty).into() };
        }
        ty
    };
    let deepest = StructLayout::compile(&nest(NESTING_MAX)).expect("that deep is fine");
    assert_eq!((deepest.size(), deepest.columns().len()), (4, 1));
    // Deeper than a thread's stack would allow to recurse, let alone to drop.
    for levels in [NESTING_MAX + 2, NESTING_MAX * 2 + 2, 1_000_000] {
        let error = StructLayout::compile(&nest(levels)).expect_err("that deep is not");
        assert!(matches!(error, SchemaError::TooDeep { .. }), "{error}");
    }
}
