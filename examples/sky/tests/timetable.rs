//! The timetable from Parquet files made here: folding, sorting, skipping, every accepted type and every error.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, Date32Array, Date64Array, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
        LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt16Array,
    },
    compute::cast,
    datatypes::DataType,
};
use parquet::arrow::ArrowWriter;
use peristyle_sky::{Airports, FlightRow, Timetable, TimetableError, flying_seconds};

const AIRPORTS: &str = "iata,latitude,longitude\nLAX,34,-118\nJFK,41,-74\nANC,61,-150\n";

fn airports() -> Airports {
    Airports::from_csv(Path::new("airports.csv"), AIRPORTS.as_bytes()).expect("the airports are good")
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("timetable-{}-{name}.parquet", std::process::id()))
}

fn write(name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = path(name);
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns are of one length");
    let file = File::create(&path).expect("the directory is writable");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("the schema is writable");
    writer.write(&batch).expect("the batch is writable");
    writer.close().expect("the file is writable");
    path
}

fn read(path: &Path) -> Result<Timetable, TimetableError> {
    Timetable::read(path, &airports(), &mut |_, _| {})
}

/// A good file's columns: three flights.
fn good() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("date", seconds(&[978_307_260, 978_393_600 + 43_200, 978_307_200 + 86_340])),
        ("delay", Arc::new(Int64Array::from(vec![5, -3, 0]))),
        ("distance", Arc::new(Int64Array::from(vec![2_475, 460, 0]))),
        ("origin", text(&["LAX", "JFK", "ANC"])),
        ("destination", text(&["JFK", "ANC", "LAX"])),
    ]
}

fn with(column: &'static str, array: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    good().into_iter().map(|(name, old)| (name, if name == column { array.clone() } else { old })).collect()
}

fn seconds(values: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.iter().map(|second| second * 1_000_000)))
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(LargeStringArray::from_iter_values(values))
}

fn rows(timetable: &Timetable) -> Vec<FlightRow> {
    (0..timetable.len()).map(|row| timetable.row(row).expect("the row is below the length")).collect()
}

#[test]
fn dates_fold_onto_one_day_and_flights_sort_by_departure() {
    let timetable = read(&write("folds", good())).unwrap();
    let flying = flying_seconds(2_475.0);
    assert!((flying - 21_169.565_217).abs() < 1e-6);
    assert_eq!(
        rows(&timetable),
        [
            FlightRow { departs: 60.0, arrives: (60.0 + flying) as f32, origin: 0, destination: 1, delay: 5 },
            FlightRow { departs: 43_200.0, arrives: 43_200.0 + 5_400.0, origin: 1, destination: 2, delay: -3 },
            // Half an hour from 23:59 on: arrives after midnight.
            FlightRow { departs: 86_340.0, arrives: 1_740.0, origin: 2, destination: 0, delay: 0 },
        ]
    );
    assert_eq!((timetable.rows_read(), timetable.skipped().flights), (3, 0));
    assert_eq!(timetable.row(3), None);
}

#[test]
fn flights_of_one_second_keep_the_order_of_the_file() {
    let count = 40_000;
    let second = |row: i64| 978_307_200 + 86_400 * (row % 7) + (row * 7_919) % 50;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("date", seconds(&(0..count).map(second).collect::<Vec<_>>())),
        ("delay", Arc::new(Int64Array::from_iter_values((0..count).map(|row| row % 30_000)))),
        ("distance", Arc::new(Int64Array::from_iter_values((0..count).map(|row| row % 4_000)))),
        ("origin", text(&vec!["LAX"; count as usize])),
        ("destination", text(&vec!["JFK"; count as usize])),
    ];
    let mut calls = Vec::new();
    let timetable =
        Timetable::read(&write("stable", columns), &airports(), &mut |rows, total| calls.push((rows, total))).unwrap();
    let mut expected: Vec<(i64, i64)> = (0..count).map(|row| ((second(row) - 978_307_200) % 86_400, row)).collect();
    expected.sort();
    let expected: Vec<(f32, i16)> = expected.iter().map(|&(at, row)| (at as f32, (row % 30_000) as i16)).collect();
    let found: Vec<(f32, i16)> = rows(&timetable).iter().map(|row| (row.departs, row.delay)).collect();
    assert_eq!(found, expected);
    assert_eq!(calls, [(0, 40_000), (16_384, 40_000), (32_768, 40_000), (40_000, 40_000)]);
}

#[test]
fn an_arrival_at_midnight_is_at_the_beginning_of_the_day() {
    let path = write("midnight", with("date", seconds(&[86_400 - 1_800; 3])));
    let timetable = read(&path).unwrap();
    assert_eq!(timetable.row(2).unwrap().arrives, 0.0);
    assert!(timetable.arrives().iter().all(|&arrives| (0.0..86_400.0).contains(&arrives)));
}

#[test]
fn times_before_1970_and_fractions_fold_down() {
    let times = TimestampMillisecondArray::from(vec![-1, -86_400_000 + 1_999, 1_999]);
    let timetable = read(&write("before", with("date", Arc::new(times)))).unwrap();
    assert_eq!(timetable.departs(), [1.0, 1.0, 86_399.0]);
}

#[test]
fn unknown_airports_are_skipped_and_counted_by_code() {
    for (form, data_type) in [
        ("plain", DataType::LargeUtf8),
        ("dictionary", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))),
    ] {
        let mut columns = with("origin", cast(&text(&["XXX", "JFK", "XXX"]), &data_type).unwrap());
        columns[4].1 = cast(&text(&["YYY", "ANC", "LAX"]), &data_type).unwrap();
        let timetable = read(&write(&format!("unknown-{form}"), columns)).unwrap();
        assert_eq!(timetable.len(), 1);
        assert_eq!((timetable.rows_read(), timetable.skipped().flights), (3, 2));
        let codes: Vec<_> = timetable.skipped().by_code.iter().map(|(code, &count)| (code.as_str(), count)).collect();
        assert_eq!(codes, [("XXX", 2), ("YYY", 1)], "{form}");
    }
}

#[test]
fn counts_of_unknown_codes_are_bounded() {
    let count = 1_500;
    let codes: Vec<String> = (0..count).map(|code| format!("?{code}")).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("date", seconds(&vec![0; count])),
        ("delay", Arc::new(Int64Array::from(vec![0; count]))),
        ("distance", Arc::new(Int64Array::from(vec![1; count]))),
        ("origin", Arc::new(LargeStringArray::from_iter_values(&codes))),
        ("destination", text(&vec!["LAX"; count])),
    ];
    let timetable = read(&write("bounded", columns)).unwrap();
    let skipped = timetable.skipped();
    assert_eq!((skipped.flights, skipped.by_code.len(), skipped.other_codes), (1_500, 1_000, 500));
    assert!(timetable.is_empty());
}

#[test]
fn every_reasonable_type_of_a_column_is_read_alike() {
    let expected = rows(&read(&write("types", good())).unwrap());
    let unix = [978_307_260_i64, 978_393_600 + 43_200, 978_307_200 + 86_340];
    let scaled = |by: i64| unix.iter().map(|second| second * by).collect::<Vec<_>>();
    let dictionary = |key, value| DataType::Dictionary(Box::new(key), Box::new(value));
    let origin = text(&["LAX", "JFK", "ANC"]);
    let variants: Vec<(&str, ArrayRef)> = vec![
        ("date", Arc::new(TimestampSecondArray::from(scaled(1)))),
        ("date", Arc::new(TimestampMillisecondArray::from(scaled(1_000)))),
        ("date", Arc::new(TimestampNanosecondArray::from(scaled(1_000_000_000)))),
        ("date", Arc::new(TimestampMicrosecondArray::from(scaled(1_000_000)).with_timezone("UTC"))),
        ("delay", Arc::new(Int16Array::from(vec![5, -3, 0]))),
        ("delay", Arc::new(Float32Array::from(vec![5.0, -3.0, 0.0]))),
        ("delay", cast(&Int32Array::from(vec![5, -3, 0]), &dictionary(DataType::Int8, DataType::Int32)).unwrap()),
        ("distance", Arc::new(UInt16Array::from(vec![2_475, 460, 0]))),
        ("distance", Arc::new(Float64Array::from(vec![2_475.0, 460.0, 0.0]))),
        ("origin", Arc::new(StringArray::from(vec!["LAX", "JFK", "ANC"]))),
        ("origin", Arc::new(StringViewArray::from(vec!["LAX", "JFK", "ANC"]))),
        ("origin", cast(&origin, &dictionary(DataType::Int32, DataType::Utf8)).unwrap()),
        ("origin", cast(&origin, &dictionary(DataType::UInt8, DataType::LargeUtf8)).unwrap()),
    ];
    for (column, array) in variants {
        let data_type = array.data_type().clone();
        match read(&write("types", with(column, array))) {
            Ok(timetable) => assert_eq!(rows(&timetable), expected, "{column} as {data_type}"),
            Err(error) => panic!("{column} as {data_type}: {error}"),
        }
    }
}

#[test]
fn columns_may_come_in_any_order_beside_others() {
    let mut columns = good();
    columns.reverse();
    columns.insert(2, ("airline", text(&["AA", "BB", "CC"])));
    assert_eq!(rows(&read(&write("order", columns)).unwrap()), rows(&read(&write("order-good", good())).unwrap()));
}

#[test]
fn a_missing_file_and_a_directory_are_named() {
    let error = read(Path::new("nowhere/flights.parquet")).unwrap_err();
    assert_eq!(error.to_string(), "no flights: nowhere/flights.parquet does not exist");
    let error = read(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap_err();
    assert!(matches!(error, TimetableError::Read { .. }), "{error}");
}

#[test]
fn what_is_not_a_parquet_file_is_said_to_be_none() {
    for (name, bytes) in [("empty", &b""[..]), ("text", b"date,delay\n"), ("magic", b"PAR1PAR1"), ("long", &[7; 4_096])]
    {
        let path = path(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, TimetableError::NotParquet { .. }), "{error}");
        assert!(error.to_string().contains(".parquet is not a Parquet file: "), "{error}");
    }
}

#[test]
fn a_missing_column_is_named_beside_those_that_are_there() {
    for (missing, _) in good() {
        let columns = good().into_iter().filter(|(name, _)| *name != missing).collect();
        let error = read(&write("missing", columns)).unwrap_err();
        let TimetableError::MissingColumn { column, ref have, .. } = error else { panic!("{error}") };
        assert_eq!((column, have.len()), (missing, 4));
    }
    let columns = good().into_iter().filter(|(name, _)| *name != "delay").collect();
    let message = read(&write("missing", columns)).unwrap_err().to_string();
    assert!(
        message.ends_with("has no column `delay`; it has `date`, `distance`, `origin`, `destination`"),
        "{message}"
    );
}

#[test]
fn a_wrongly_typed_column_is_refused_with_both_types() {
    let words = || text(&["a", "b", "c"]);
    let numbers = || -> ArrayRef { Arc::new(Int32Array::from(vec![1, 2, 3])) };
    for (column, array, message) in [
        ("date", words(), "column `date` is LargeUtf8, expected a time stamp"),
        (
            "date",
            Arc::new(Date32Array::from(vec![1, 2, 3])) as ArrayRef,
            "column `date` is Date32, expected a time stamp",
        ),
        (
            "date",
            Arc::new(Date64Array::from(vec![86_400_000, 0, 0])) as ArrayRef,
            "column `date` is Date64, expected a time stamp",
        ),
        ("delay", words(), "column `delay` is LargeUtf8, expected a number"),
        ("distance", words(), "column `distance` is LargeUtf8, expected a number"),
        ("origin", numbers(), "column `origin` is Int32, expected text"),
        ("destination", numbers(), "column `destination` is Int32, expected text"),
    ] {
        let error = read(&write("typed", with(column, array))).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    }
}

#[test]
fn a_null_is_refused_with_its_row() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let words = StringArray::from(vec![Some("LAX"), None, Some("LAX")]);
    for (column, array) in [
        ("date", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(1)])) as ArrayRef),
        ("delay", Arc::new(Int64Array::from(vec![Some(1), None, Some(1)]))),
        ("distance", Arc::new(Int64Array::from(vec![Some(1), None, Some(1)]))),
        ("origin", Arc::new(words.clone())),
        ("destination", cast(&words, &dictionary).unwrap()),
    ] {
        let error = read(&write("null", with(column, array))).unwrap_err().to_string();
        assert!(error.ends_with(&format!("row 2: `{column}` is null")), "{error}");
    }
}

#[test]
fn rows_of_errors_count_over_batches() {
    let count = 20_000;
    let mut distance = vec![100; count];
    distance[17_000] = -1;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("date", seconds(&vec![0; count])),
        ("delay", Arc::new(Int64Array::from(vec![0; count]))),
        ("distance", Arc::new(Int64Array::from(distance))),
        ("origin", text(&vec!["LAX"; count])),
        ("destination", text(&vec!["JFK"; count])),
    ];
    let error = read(&write("batches", columns)).unwrap_err().to_string();
    assert!(error.ends_with("row 17001: `distance` is -1, expected miles from 0 to 10350"), "{error}");
}

#[test]
fn values_that_no_flight_has_are_refused() {
    for (column, value, expected) in [
        ("distance", f64::NAN, "miles from 0 to 10350"),
        ("distance", f64::INFINITY, "miles from 0 to 10350"),
        ("distance", 10_351.0, "miles from 0 to 10350"),
        ("delay", 32_768.0, "minutes from -32768 to 32767"),
        ("delay", f64::NAN, "minutes from -32768 to 32767"),
    ] {
        let array = Arc::new(Float64Array::from(vec![1.0, 1.0, value]));
        let error = read(&write("range", with(column, array))).unwrap_err().to_string();
        assert!(error.ends_with(&format!("row 3: `{column}` is {value}, expected {expected}")), "{error}");
    }
    let longest = Arc::new(Float64Array::from(vec![1.0, 1.0, 10_350.0]));
    assert!(read(&write("range", with("distance", longest))).is_ok());
}

#[test]
fn a_damaged_file_is_an_error_or_a_timetable_but_never_a_panic() {
    let whole = std::fs::read(write("whole", good())).unwrap();
    let path = path("damaged");
    let mut refused = 0;
    for byte in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[byte] ^= [0x01, 0x80, 0xff][byte / 3 % 3];
        std::fs::write(&path, &damaged).unwrap();
        refused += usize::from(read(&path).is_err());
    }
    for length in (0..whole.len()).step_by(17) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(read(&path).is_err(), "the first {length} bytes");
    }
    assert!(refused > whole.len() / 9, "{refused} of {}", whole.len() / 3);
}
