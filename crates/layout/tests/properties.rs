//! Random structs against an oracle that lays them out byte by byte, and random records against hand-written ones.

use proptest::{collection::vec, prelude::*};

use peristyle_layout::{
    Scalar,
    schema::{ByteOrder, Struct, StructLayout, Type, Value},
};

/// A type, as the oracle sees it.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(Scalar),
    Array(Box<Tree>, usize),
    Struct { fields: Vec<Tree>, packed: bool, pad_after: usize },
}

fn scalars() -> impl Strategy<Value = Scalar> {
    prop::sample::select(&Scalar::ALL[..])
}

fn structs(field: impl Strategy<Value = Tree> + 'static) -> impl Strategy<Value = Tree> {
    (vec(field, 1..5), any::<bool>(), 0_usize..5).prop_map(|(fields, packed, pad_after)| Tree::Struct {
        fields,
        packed,
        pad_after,
    })
}

/// Types of which the outermost is a struct.
fn trees() -> impl Strategy<Value = Tree> {
    let inner = scalars().prop_map(Tree::Scalar).prop_recursive(4, 40, 4, |inner| {
        let array = (inner.clone(), 1_usize..4).prop_map(|(element, len)| Tree::Array(Box::new(element), len));
        prop_oneof![array, structs(inner)]
    });
    structs(inner)
}

fn field_name(index: usize) -> String {
    format!("f{index}")
}

impl Tree {
    fn schema(&self) -> Type {
        match self {
            Tree::Scalar(scalar) => (*scalar).into(),
            Tree::Array(element, len) => Type::array(element.schema(), *len as u64),
            Tree::Struct { fields, packed, pad_after } => {
                let fields = fields.iter().enumerate();
                let all =
                    fields.fold(Struct::new(), |all, (index, field)| all.field(field_name(index), field.schema()));
                let all = all.pad(*pad_after as u64);
                if *packed { all.packed() } else { all }.into()
            }
        }
    }

    fn align(&self) -> usize {
        match self {
            Tree::Scalar(scalar) => scalar.size(),
            Tree::Array(element, _) => element.align(),
            Tree::Struct { packed: true, .. } => 1,
            Tree::Struct { fields, .. } => fields.iter().map(Tree::align).max().unwrap_or(1),
        }
    }

    /// Appends path, name, scalar and offset of each scalar; `end` is where this begins, and then where it ends.
    fn walk(&self, path: &str, name: &str, end: &mut usize, out: &mut Vec<(String, String, Scalar, usize)>) {
        match self {
            Tree::Scalar(scalar) => {
                out.push((path.to_owned(), name.to_owned(), *scalar, *end));
                *end += scalar.size();
            }
            Tree::Array(element, len) => {
                for index in 0..*len {
                    element.walk(&format!("{path}[{index}]"), &format!("{name}_{index}"), end, out);
                }
            }
            Tree::Struct { fields, packed, pad_after } => {
                let start = *end;
                let pad_to = |end: &mut usize, align: usize| {
                    while !packed && !(*end - start).is_multiple_of(align) {
                        *end += 1;
                    }
                };
                for (index, field) in fields.iter().enumerate() {
                    pad_to(end, field.align());
                    let below = field_name(index);
                    let joined = |prefix: &str, joint: &str| match prefix {
                        "" => below.clone(),
                        _ => format!("{prefix}{joint}{below}"),
                    };
                    field.walk(&joined(path, "."), &joined(name, "_"), end, out);
                }
                *end += pad_after;
                pad_to(end, self.align());
            }
        }
    }
}

/// A value of each scalar from the same random bits.
fn value(scalar: Scalar, bits: u64) -> Value {
    match scalar {
        Scalar::F32 => Value::F32(f32::from_bits(bits as u32)),
        Scalar::F64 => Value::F64(f64::from_bits(bits)),
        Scalar::I8 => Value::I8(bits as i8),
        Scalar::U8 => Value::U8(bits as u8),
        Scalar::I16 => Value::I16(bits as i16),
        Scalar::U16 => Value::U16(bits as u16),
        Scalar::I32 => Value::I32(bits as i32),
        Scalar::U32 => Value::U32(bits as u32),
        Scalar::I64 => Value::I64(bits as i64),
        Scalar::U64 => Value::U64(bits),
        Scalar::Bool => Value::Bool(bits & 1 != 0),
    }
}

/// The bytes that the value has in memory, lowest first: also of what is not a number.
fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::F32(value) => value.to_bits().to_le_bytes().to_vec(),
        Value::F64(value) => value.to_bits().to_le_bytes().to_vec(),
        Value::I8(value) => value.to_le_bytes().to_vec(),
        Value::U8(value) => vec![value],
        Value::I16(value) => value.to_le_bytes().to_vec(),
        Value::U16(value) => value.to_le_bytes().to_vec(),
        Value::I32(value) => value.to_le_bytes().to_vec(),
        Value::U32(value) => value.to_le_bytes().to_vec(),
        Value::I64(value) => value.to_le_bytes().to_vec(),
        Value::U64(value) => value.to_le_bytes().to_vec(),
        Value::Bool(value) => vec![u8::from(value)],
    }
}

fn orders() -> impl Strategy<Value = ByteOrder> {
    prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)]
}

proptest! {
    #[test]
    fn layouts_are_those_of_the_oracle(tree in trees()) {
        let layout = StructLayout::compile(&tree.schema()).expect("the tree is small");
        let (mut size, mut expected) = (0, Vec::new());
        tree.walk("", "", &mut size, &mut expected);
        let found: Vec<_> = layout
            .columns()
            .iter()
            .map(|column| (column.path().to_owned(), column.name().to_owned(), column.scalar(), column.offset()))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!((layout.size(), layout.align()), (size, tree.align()));
        for column in layout.columns() {
            let place = layout.place(column.path()).expect("it is a column's");
            prop_assert_eq!((place.offset, place.size), (column.offset(), column.scalar().size()));
        }
    }

    #[test]
    fn documents_round_trip(tree in trees()) {
        let schema = tree.schema();
        let text = serde_json::to_string(&schema).expect("the tree is not deep");
        prop_assert_eq!(serde_json::from_str::<Type>(&text).expect("it was written"), schema);
    }

    #[test]
    fn records_and_columns_round_trip(tree in trees(), order in orders(), rows in vec(any::<u64>(), 1..5)) {
        let layout = StructLayout::compile(&tree.schema()).expect("the tree is small");
        let (size, columns) = (layout.size(), layout.columns());
        let row_values = |seed: u64| -> Vec<Value> {
            let bits = (1..).map(|step: u64| seed.wrapping_mul(step).rotate_left(step as u32));
            columns.iter().zip(bits).map(|(column, bits)| value(column.scalar(), bits)).collect()
        };

        // Written as a whole, each scalar's bytes are where its offset says, and everything else is 0.
        let mut records = vec![0xa5; size * rows.len()];
        let mut expected = vec![0; size * rows.len()];
        for (row, seed) in rows.iter().enumerate() {
            let values = row_values(*seed);
            layout.write(&values, &mut records[row * size..], order).expect("the values have the columns' scalars");
            for (column, value) in columns.iter().zip(values) {
                let mut bytes = bytes(value);
                if order == ByteOrder::Big {
                    bytes.reverse();
                }
                let start = row * size + column.offset();
                expected[start..start + bytes.len()].copy_from_slice(&bytes);
            }
        }
        prop_assert_eq!(&records, &expected);

        // Read as a whole, by path and by column: the same bits.
        let mut again = vec![0; records.len()];
        let other = if order == ByteOrder::Big { ByteOrder::Little } else { ByteOrder::Big };
        for (index, column) in columns.iter().enumerate() {
            let mut gathered = vec![0; column.scalar().size() * rows.len()];
            layout.gather(index, &records, order, &mut gathered).expect("as many rows");
            for (row, element) in gathered.chunks_exact(column.scalar().size()).enumerate() {
                let record = &records[row * size..][..size];
                let read = layout.read(record, order).expect("it is whole").nth(index).expect("one value a column");
                let got = layout.get(record, column.path(), order).expect("it is whole");
                prop_assert_eq!(element, bytes(read));
                prop_assert_eq!(element, bytes(got));
                prop_assert_eq!(element, bytes(row_values(rows[row])[index]));
            }
            layout.scatter(index, &gathered, &mut again, other).expect("as many rows");
        }

        // Scattered in the other order, then read in that order: the same bits again.
        for (row, seed) in rows.iter().enumerate() {
            let values: Vec<_> = layout.read(&again[row * size..], other).expect("it is whole").map(bytes).collect();
            prop_assert_eq!(values, row_values(*seed).into_iter().map(bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_fits_comes_back(from in scalars(), to in scalars(), bits in any::<u64>()) {
        let value = value(from, bits);
        if let Ok(fitted) = value.fit(to) {
            prop_assert_eq!(fitted.scalar(), to);
            if (from, to) != (Scalar::F64, Scalar::F32) {
                // What is not a number equals nothing, itself included, and -0 is no integer.
                let back = fitted.fit(from).expect("it was one");
                prop_assert!(back == value || (value != value && back != back));
            }
        }
    }
}

/// Fields at offsets of their own, or behind the one before, and pads.
#[derive(Debug, Clone)]
enum Part {
    Field(Scalar, Option<u64>),
    Pad(u64),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let field = (scalars(), prop::option::of(0_u64..24)).prop_map(|(scalar, at)| Part::Field(scalar, at));
    vec(prop_oneof![4 => field, 1 => (0_u64..6).prop_map(Part::Pad)], 1..5)
}

proptest! {
    /// The oracle gives each byte to whoever claims it, and refuses the second one.
    #[test]
    fn no_byte_belongs_to_two(parts in parts(), packed in any::<bool>()) {
        let mut fields = if packed { Struct::new().packed() } else { Struct::new() };
        // What of each byte: 0 free, 1 padding, 2 a field's.
        let (mut bytes, mut end, mut sound, mut offsets) = ([0_u8; 128], 0_usize, true, Vec::new());
        for (index, part) in parts.iter().enumerate() {
            let (start, len, kind) = match part {
                Part::Pad(len) => {
                    fields = fields.pad(*len);
                    (end, *len as usize, 1)
                }
                Part::Field(scalar, at) => {
                    let align = if packed { 1 } else { scalar.size() };
                    let name = field_name(index);
                    fields = match at {
                        Some(at) => fields.field_at(name, *scalar, *at),
                        None => fields.field(name, *scalar),
                    };
                    let start = at.map_or_else(|| end.div_ceil(align) * align, |at| at as usize);
                    sound &= start % align == 0;
                    offsets.push(start);
                    (start, scalar.size(), 2)
                }
            };
            end = start + len;
            for byte in &mut bytes[start..end] {
                sound &= kind.max(*byte) < 2 || *byte == 0;
                *byte = kind.max(*byte);
            }
        }
        sound &= !offsets.is_empty();
        match StructLayout::compile(&fields.into()) {
            Ok(layout) => {
                prop_assert!(sound, "{layout:?}");
                prop_assert_eq!(layout.columns().iter().map(|column| column.offset()).collect::<Vec<_>>(), offsets);
                prop_assert_eq!(layout.columns().iter().map(|column| column.scalar().size()).sum::<usize>() + layout.padding(), layout.size());
            }
            Err(error) => prop_assert!(!sound, "{error}"),
        }
    }
}
