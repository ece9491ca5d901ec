//! Schemas as JSON.

use peristyle_layout::{
    Scalar,
    schema::{NESTING_MAX, SchemaError, Struct, StructLayout, Type},
};

fn read(text: &str) -> Type {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Everything that can be said, in an order that no map would keep by chance.
fn everything() -> Struct {
    let inner = Struct::new().field("z", Scalar::U8).field("b", Scalar::F64).field("y", Type::entity());
    Scalar::ALL
        .into_iter()
        .rev()
        .fold(Struct::new(), |fields, scalar| fields.field(format!("f_{scalar}"), scalar))
        .pad(3)
        .field("packed", inner.clone().packed())
        .field("aligned", Type::array(Type::array(inner.align(32), 2), 3))
        .field_at("later", Scalar::U8, 4096)
}

#[test]
fn what_is_written_is_read_again() {
    let schema = Type::from(everything());
    let text = serde_json::to_string(&schema).unwrap();
    assert_eq!(read(&text), schema, "{text}");
    let layout = StructLayout::compile(&schema).unwrap();
    assert_eq!(layout.columns()[0].name(), "f_bool");
    assert_eq!(layout.columns().last().map(|column| column.offset()), Some(4096));
}

#[test]
fn an_object_and_a_list_say_the_same() {
    let list = read(
        r#"{"align": 16, "struct": [
            {"name": "z", "type": "f32"}, {"pad": 4}, {"type": {"array": "u8", "len": 2}, "name": "a"},
            {"pad": 1}, {"name": "m", "type": {"struct": [{"name": "x", "type": "entity"}], "packed": false}, "at": 32}
        ]}"#,
    );
    let object = read(
        r#"{"struct": {
            "z": "f32", "_": {"pad": 4}, "a": {"len": 2, "array": "u8"},
            "_": {"pad": 1}, "m": {"at": 32, "type": {"struct": {"x": "entity"}}}
        }, "align": 16}"#,
    );
    let code = Struct::new()
        .field("z", Scalar::F32)
        .pad(4)
        .field("a", Type::array(Scalar::U8, 2))
        .pad(1)
        .field_at("m", Struct::new().field("x", Type::entity()), 32)
        .align(16);
    assert_eq!(list, object);
    assert_eq!(list, code.into());
}

#[test]
fn what_has_the_wrong_shape_is_refused_with_line_and_reason() {
    for (text, reason) in [
        ("", "EOF while parsing a value"),
        ("3", "invalid type: integer `3`, expected a type: the name of a scalar, an array or a struct"),
        ("{}", "a type in an object needs `array` or `struct`"),
        ("\n{\"struct\": 3}", "expected fields: a list, or an object in order at line 2"),
        (r#"{"struct": {"x": 3}}"#, "expected a field: a type, or an object with `type` and `at`, or with `pad`"),
        (r#"{"struct": ["f32"]}"#, "expected a field: an object with `name` and `type`, or with `pad`"),
        (r#"{"struct": [{"type": "f32"}]}"#, "missing field `name`"),
        (r#"{"struct": [{"name": "x"}]}"#, "missing field `type`"),
        (r#"{"struct": {"x": {}}}"#, "missing field `type`"),
        (r#"{"struct": [{"name": "x", "type": "f32", "size": 4}]}"#, "unknown field `size`"),
        (r#"{"struct": [{"name": "x", "type": "f32", "len": 4}]}"#, "unknown field `len`"),
        (r#"{"struct": {"x": {"type": "f32", "len": 4}}}"#, "`len` does not belong to `type`"),
        (r#"{"struct": {"x": {"type": "f32", "array": "f32"}}}"#, "`array` does not belong to `type`"),
        (r#"{"struct": {"x": {"array": "f32", "len": 4, "at": 8}}}"#, "`at` does not belong to an array"),
        (r#"{"struct": {"x": {"pad": 4, "at": 8}}}"#, "`at` does not belong to padding"),
        (r#"{"struct": [{"pad": 4, "name": "x"}]}"#, "`name` does not belong to padding"),
        (r#"{"array": "f32"}"#, "missing field `len`"),
        (r#"{"array": {"pad": 4}, "len": 2}"#, "unknown field `pad`"),
        (r#"{"array": "f32", "len": 2, "align": 8}"#, "`align` does not belong to an array"),
        (r#"{"array": "f32", "len": -1}"#, "invalid value: integer `-1`"),
        (r#"{"array": "f32", "len": 1.5}"#, "invalid type: floating point `1.5`"),
        (r#"{"array": "f32", "len": 18446744073709551616}"#, "invalid type: floating point"),
        (r#"{"array": "f32", "array": "f32", "len": 1}"#, "duplicate field `array`"),
        (r#"{"struct": {"x": "f32"}, "len": 2}"#, "`len` does not belong to a struct"),
        (r#"{"struct": {"x": "f32"}, "array": "f32", "len": 2}"#, "`array` does not belong to a struct"),
        (r#"{"struct": {"x": "f32"}, "packed": 1}"#, "invalid type: integer `1`, expected a boolean"),
        (r#"{"struct": {"x": "f32"}"#, "EOF while parsing an object at line 1"),
        (r#"{"struct": {"x": "f32"}} x"#, "trailing characters at line 1 column 26"),
    ] {
        let error = serde_json::from_str::<Type>(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn what_has_the_wrong_meaning_is_found_with_its_path() {
    for (text, error) in [
        (r#"{"struct": {"a": {"struct": {"x": "f16"}}}}"#, "`a.x`: `f16` is no type"),
        (r#"{"struct": {"x": "f32", "x": "f32"}}"#, "two fields are called `x`"),
        (r#"{"struct": {"a_x": "f32", "a": {"struct": {"x": "u8"}}}}"#, "`a_x` and `a.x` are both the column `a_x`"),
        (r#"{"struct": {}}"#, "the outermost struct has no fields"),
        (r#"{"struct": {"a": {"array": "f32", "len": 18446744073709551615}}}"#, "`a` is more than 16384 columns"),
        (r#"{"struct": {"a": "u64", "b": {"type": "u8", "at": 7}}}"#, "`b` at 7 overlaps `a`"),
        (r#""f32""#, "the outermost type has to be a struct"),
    ] {
        let found = StructLayout::compile(&read(text)).expect_err(text).to_string();
        assert!(found.starts_with(error), "{text}: {found}");
    }
}

#[test]
fn nesting_is_bounded() {
    let arrays =
        |levels: usize| format!("{}\"f32\"{}", r#"{"array": "#.repeat(levels), r#", "len": 1}"#.repeat(levels));
    let deepest = format!(r#"{{"struct": {{"a": {}}}}}"#, arrays(NESTING_MAX - 1));
    assert!(StructLayout::compile(&read(&deepest)).is_ok());
    let lists = |levels: usize| {
        let open = r#"{"struct": [{"name": "a", "type": "#.repeat(levels);
        format!("{open}\"f32\"{}", "}]}".repeat(levels))
    };
    assert!(StructLayout::compile(&read(&lists(NESTING_MAX))).is_ok());
    for text in [arrays(NESTING_MAX + 1), lists(NESTING_MAX + 1), arrays(100_000), lists(100_000)] {
        let error = serde_json::from_str::<Type>(&text).expect_err("too deep").to_string();
        assert!(error.starts_with("types are nested deeper than 32 at line 1"), "{error}");
    }
    // Built in code and too deep, it is not written either.
    let built = (0..=NESTING_MAX).fold(Type::from(Scalar::F32), |ty, _| Type::array(ty, 1));
    assert!(serde_json::to_string(&built).is_err());
    assert!(matches!(StructLayout::compile(&built), Err(SchemaError::TooDeep { .. })));
}
