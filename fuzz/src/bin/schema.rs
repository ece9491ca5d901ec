//! JSON bytes -> schema -> layout -> records and columns: never a panic, and every round trip is exact.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peristyle_layout::schema::{ByteOrder, StructLayout, Type};

/// Rows and bytes of records that are worth the time; a layout may ask for 2 GiB.
const ROWS: usize = 3;
const RECORD_BYTES_MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let Ok(schema) = serde_json::from_slice::<Type>(data) else { return };
    let text = serde_json::to_string(&schema).expect("what was read is not too deep");
    assert_eq!(serde_json::from_str::<Type>(&text).expect("what was written can be read"), schema);
    let layout = match StructLayout::compile(&schema) {
        Ok(layout) => layout,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let covered: usize = layout.columns().iter().map(|column| column.scalar().size()).sum();
    assert_eq!(covered + layout.padding(), layout.size());
    assert!(layout.size().is_multiple_of(layout.align()));
    for (index, column) in layout.columns().iter().enumerate() {
        let place = layout.place(column.path()).expect("it is a column's path");
        assert_eq!((place.offset, place.columns.start), (column.offset(), index));
        assert!(place.offset + place.size <= layout.size());
    }
    if layout.size() > RECORD_BYTES_MAX {
        return;
    }
    // Random bytes as records, taken apart into columns and put together again in the other order.
    let (little, big) = (ByteOrder::Little, ByteOrder::Big);
    let size = layout.size();
    let records: Vec<u8> = data.iter().copied().cycle().take(size * ROWS).collect();
    let mut swapped = vec![0; records.len()];
    for (index, column) in layout.columns().iter().enumerate() {
        let mut values = vec![0; column.scalar().size() * ROWS];
        layout.gather(index, &records, little, &mut values).expect("as many rows");
        layout.scatter(index, &values, &mut swapped, big).expect("as many rows");
    }
    for (record, swapped) in records.chunks_exact(size).zip(swapped.chunks_exact(size)) {
        let values: Vec<_> = layout.read(record, little).expect("the record is whole").collect();
        let mut written = vec![0xff; size];
        layout.write(&values, &mut written, big).expect("each value has its column's scalar");
        assert_eq!(written, swapped);
    }
});
