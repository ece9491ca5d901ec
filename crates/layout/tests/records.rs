//! Records read and written by hand-made bytes, and what is refused.

use peristyle_layout::{
    Scalar,
    schema::{ByteOrder, PathError, RecordError, Struct, StructLayout, Type, Value},
};

fn layout() -> StructLayout {
    let fields = Struct::new()
        .field("on", Scalar::Bool)
        .field("id", Scalar::U16)
        .field("big", Scalar::I64)
        .field("at", Type::array(Scalar::F32, 2))
        .field("end", Scalar::I8);
    StructLayout::compile(&fields.into()).expect("the schema is sound")
}

const VALUES: [Value; 6] =
    [Value::Bool(true), Value::U16(0x1234), Value::I64(i64::MIN + 1), Value::F32(1.0), Value::F32(-0.0), Value::I8(-2)];

#[rustfmt::skip]
const LITTLE: [u8; 32] = [
    1, 0, 0x34, 0x12, 0, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0x80,
    0, 0, 0x80, 0x3f, 0, 0, 0, 0x80,
    0xfe, 0, 0, 0, 0, 0, 0, 0,
];
#[rustfmt::skip]
const BIG: [u8; 32] = [
    1, 0, 0x12, 0x34, 0, 0, 0, 0,
    0x80, 0, 0, 0, 0, 0, 0, 1,
    0x3f, 0x80, 0, 0, 0x80, 0, 0, 0,
    0xfe, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn records_have_the_bytes_of_their_order() {
    let layout = layout();
    for (order, bytes) in [(ByteOrder::Little, LITTLE), (ByteOrder::Big, BIG)] {
        let mut record = [0xaa; 33];
        layout.write(&VALUES, &mut record, order).unwrap();
        assert_eq!(record[..32], bytes, "{order:?}");
        assert_eq!(record[32], 0xaa, "what is behind the record is left alone");
        assert_eq!(layout.read(&record, order).unwrap().collect::<Vec<_>>(), VALUES);
        let mut single = [0; 32];
        for (column, value) in layout.columns().iter().zip(VALUES) {
            layout.set(&mut single, column.path(), value, order).unwrap();
            assert_eq!(layout.get(&record, column.path(), order), Ok(value));
        }
        assert_eq!(single, bytes, "{order:?}");
    }
}

#[test]
fn any_byte_but_zero_is_true_and_written_as_one() {
    let layout = layout();
    let mut records = [LITTLE, LITTLE, LITTLE].concat();
    (records[0], records[32], records[64]) = (0, 7, 255);
    assert_eq!(layout.get(&records[32..], "on", ByteOrder::Little), Ok(Value::Bool(true)));
    let mut column = [9; 3];
    layout.gather(0, &records, ByteOrder::Little, &mut column).unwrap();
    assert_eq!(column, [0, 1, 1]);
    layout.scatter(0, &[4, 0, 1], &mut records, ByteOrder::Big).unwrap();
    assert_eq!([records[0], records[32], records[64]], [1, 0, 1]);
}

#[test]
fn a_record_that_ends_too_early_says_where() {
    let layout = layout();
    let short = |path: &str, offset: usize, missing_bytes: usize| RecordError::TooShort {
        path: path.into(),
        offset,
        missing_bytes,
    };
    for (bytes, path) in [(0, "on"), (3, "id"), (15, "big"), (23, "at[1]"), (24, "end"), (25, ""), (31, "")] {
        let error = short(path, bytes, 32 - bytes);
        assert_eq!(layout.read(&LITTLE[..bytes], ByteOrder::Little).err(), Some(error.clone()));
        assert_eq!(layout.write(&VALUES, &mut vec![0; bytes], ByteOrder::Little), Err(error));
    }
    assert_eq!(layout.get(&LITTLE[..15], "big", ByteOrder::Little), Err(short("big", 15, 1)));
    assert_eq!(layout.get(&LITTLE[..15], "at[1]", ByteOrder::Little), Err(short("at[1]", 15, 9)));
    assert_eq!(layout.get(&LITTLE[..15], "id", ByteOrder::Little), Ok(Value::U16(0x1234)));
    assert_eq!(layout.set(&mut [0; 3], "id", 1_u16, ByteOrder::Big), Err(short("id", 3, 1)));
}

#[test]
fn a_value_that_does_not_fit_changes_nothing() {
    let layout = layout();
    let mut record = LITTLE;
    let mut values = VALUES;
    values[5] = Value::U8(200);
    let wrong = RecordError::OutOfRange { path: "end".into(), expected: Scalar::I8, value: Value::U8(200) };
    assert_eq!(layout.write(&values, &mut record, ByteOrder::Little), Err(wrong.clone()));
    assert_eq!(layout.set(&mut record, "end", 200_u8, ByteOrder::Little), Err(wrong));
    values[5] = Value::Bool(true);
    let wrong = RecordError::WrongType { path: "end".into(), expected: Scalar::I8, found: Scalar::Bool };
    assert_eq!(layout.write(&values, &mut record, ByteOrder::Little), Err(wrong));
    assert_eq!(
        layout.write(&values[..5], &mut record, ByteOrder::Little),
        Err(RecordError::ValueCount { expected: 6, found: 5 })
    );
    assert_eq!(record, LITTLE);
    // What fits may be of another scalar.
    layout.set(&mut record, "end", -2.0, ByteOrder::Little).unwrap();
    layout.set(&mut record, "id", 0x1234_u64, ByteOrder::Little).unwrap();
    assert_eq!(record, LITTLE);
}

#[test]
fn only_scalars_have_values() {
    let layout = layout();
    let mut record = LITTLE;
    let no_scalar = |path: &str| RecordError::NotAScalar { path: path.into() };
    assert_eq!(layout.get(&record, "at", ByteOrder::Little), Err(no_scalar("at")));
    assert_eq!(layout.set(&mut record, "", 1_u8, ByteOrder::Little), Err(no_scalar("")));
    let nothing = PathError::NoField { within: String::new(), name: "of".into() };
    assert_eq!(layout.get(&record, "of", ByteOrder::Little), Err(RecordError::Path(nothing)));
}

#[test]
fn columns_and_records_have_as_many_rows() {
    let layout = layout();
    let mut records = [LITTLE, LITTLE].concat();
    let partial = RecordError::PartialRecord { bytes: 63, size: 32 };
    assert_eq!(layout.gather(1, &records[..63], ByteOrder::Little, &mut [0; 4]), Err(partial.clone()));
    assert_eq!(layout.scatter(1, &[0; 4], &mut records[..63], ByteOrder::Little), Err(partial));
    for bytes in [0, 3, 6] {
        let wrong = RecordError::ColumnBytes { path: "id".into(), expected: 4, found: bytes };
        assert_eq!(layout.gather(1, &records, ByteOrder::Little, &mut vec![0; bytes]), Err(wrong.clone()));
        assert_eq!(layout.scatter(1, &vec![0; bytes], &mut records, ByteOrder::Little), Err(wrong));
    }
}
