//! Structs whose bytes the struct compiler in TypeScript must give too: `vectors/structs.json`, which
//! `packages/peristyle/test/struct.test.ts` reads.
//!
//! `PERISTYLE_LAYOUT_VECTORS=write cargo test -p peristyle-layout --test vectors` writes the file after a change.

use peristyle_layout::{
    Scalar,
    schema::{ByteOrder, StructLayout, Type, Value},
};
use serde_json::json;

const SCHEMAS: [&str; 12] = [
    r#"{"struct": {"x": "f32"}}"#,
    r#"{"struct": {"on": "bool", "id": "u16", "big": "i64", "at": {"array": "f32", "len": 2}, "end": "i8"}}"#,
    r#"{"struct": {"a": "i8", "b": "u8", "c": "i16", "d": "u16", "e": "i32", "f": "u32", "g": "i64", "h": "u64",
        "i": "f32", "j": "f64", "k": "bool", "l": "entity"}}"#,
    r#"{"struct": {"pos": {"struct": {"x": "f32", "y": "f64"}}, "vel": {"array": {"struct": {"x": "f32", "y": "f64"}},
        "len": 3}}}"#,
    r#"{"struct": {"a": "u8", "in": {"struct": {"x": "f64", "y": "u8"}}, "b": "u32"}, "packed": true}"#,
    r#"{"struct": {"a": "u8", "_": {"pad": 2}, "b": "u8", "__": {"pad": 5}}}"#,
    r#"{"struct": {"scale": "f32", "at": {"array": {"struct": {"x": "f32", "y": "f32", "z": "f32"}, "align": 16},
        "len": 2}}}"#,
    r#"{"struct": {"b": {"type": "u32", "at": 8}, "c": "u8", "a": {"type": "u64", "at": 0}}}"#,
    r#"{"struct": {"a": {"type": "u32", "at": 3}}, "packed": true}"#,
    r#"{"struct": {"m": {"array": {"array": "i16", "len": 3}, "len": 2}, "flag": "bool"}}"#,
    r#"{"struct": {"a": "u8"}, "align": 64}"#,
    r#"{"struct": {"deep": {"struct": {"er": {"struct": {"who": "entity", "n": {"array": "u8", "len": 3}}}}},
        "tail": "u16"}}"#,
];

/// What every compiler refuses.
const REFUSED: [&str; 15] = [
    r#""f32""#,
    r#"{"array": "f32", "len": 2}"#,
    r#"{"struct": {}}"#,
    r#"{"struct": {"a": "f16"}}"#,
    r#"{"struct": {"a": {"array": "f32", "len": 0}}}"#,
    r#"{"struct": {"1a": "f32"}}"#,
    r#"{"struct": [{"name": "a", "type": "f32"}, {"name": "a", "type": "u8"}]}"#,
    r#"{"struct": {"a": {"struct": {"x": "f32"}}, "a_x": "f32"}}"#,
    r#"{"struct": {"a": {"type": "u32", "at": 2}}}"#,
    r#"{"struct": {"a": "u32", "b": {"type": "u32", "at": 0}}}"#,
    r#"{"struct": {"a": "u32", "_": {"pad": 4}, "b": {"type": "u32", "at": 4}}}"#,
    r#"{"struct": {"a": "u32"}, "align": 3}"#,
    r#"{"struct": {"a": "u32"}, "align": 8192}"#,
    r#"{"struct": {"a": {"array": "u8", "len": 16385}}}"#,
    r#"{"struct": {"a": "u8", "_": {"pad": 2147483647}}}"#,
];

/// A value that no other column of the record has, often at the end of what its scalar holds.
fn value(scalar: Scalar, place: usize) -> Value {
    let n = place as u8;
    match scalar {
        Scalar::F32 => Value::F32(-0.1 * (f32::from(n) + 1.0)),
        Scalar::F64 => Value::F64(1e300 / (f64::from(n) + 1.0)),
        Scalar::I8 => Value::I8(i8::MIN + n as i8),
        Scalar::U8 => Value::U8(u8::MAX - n),
        Scalar::I16 => Value::I16(i16::MIN + i16::from(n)),
        Scalar::U16 => Value::U16(u16::MAX - u16::from(n)),
        Scalar::I32 => Value::I32(i32::MIN + i32::from(n)),
        Scalar::U32 => Value::U32(u32::MAX - u32::from(n)),
        Scalar::I64 => Value::I64(i64::MIN + i64::from(n)),
        Scalar::U64 => Value::U64(u64::MAX - u64::from(n)),
        Scalar::Bool => Value::Bool(n.is_multiple_of(2)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vector(schema: &str) -> serde_json::Value {
    let schema: Type = serde_json::from_str(schema).expect("a schema");
    let layout = StructLayout::compile(&schema).expect("a sound schema");
    let columns = layout.columns();
    let values: Vec<Value> = columns.iter().enumerate().map(|(place, column)| value(column.scalar(), place)).collect();
    let mut record = vec![0xaa; layout.size()];
    layout.write(&values, &mut record, ByteOrder::Little).unwrap();
    let little = hex(&record);
    layout.write(&values, &mut record, ByteOrder::Big).unwrap();
    let columns: Vec<_> = columns
        .iter()
        .map(|column| {
            json!({
                "path": column.path(),
                "name": column.name(),
                "scalar": column.scalar().name(),
                "entity": column.is_entity(),
                "offset": column.offset(),
                "size": column.scalar().size(),
                "align": column.scalar().size(),
            })
        })
        .collect();
    json!({
        "schema": schema,
        "size": layout.size(),
        "align": layout.align(),
        "padding": layout.padding(),
        "hash": format!("{:016x}", layout.hash()),
        "fields": columns,
        // As text: JSON numbers are doubles in many readers.
        "values": values.iter().map(|value| match value {
            Value::F32(value) => f64::from(*value).to_string(),
            other => other.to_string(),
        }).collect::<Vec<_>>(),
        "little": little,
        "big": hex(&record),
    })
}

#[test]
fn structs_have_the_bytes_of_the_vectors() {
    let refused: Vec<serde_json::Value> = REFUSED
        .iter()
        .map(|text| {
            let schema: Type = serde_json::from_str(text).expect("a schema");
            StructLayout::compile(&schema).expect_err(text);
            serde_json::to_value(&schema).unwrap()
        })
        .collect();
    let accepted: Vec<serde_json::Value> = SCHEMAS.into_iter().map(vector).collect();
    let text =
        format!("{}\n", serde_json::to_string_pretty(&json!({ "structs": accepted, "refused": refused })).unwrap());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/structs.json");
    if std::env::var_os("PERISTYLE_LAYOUT_VECTORS").is_some_and(|value| value == "write") {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap());
}
