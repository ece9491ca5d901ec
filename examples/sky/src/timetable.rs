//! The timetable: every flight of `flights-3m.parquet`, folded onto one day and sorted by departure.
//!
//! The file has one row per flight: `date` (when it departs), `delay` in minutes, `distance` in statute miles, `origin`
//! and `destination` as airport codes. It is read in record batches into columns and sorted once, by counting.
//!
//! The file has no arrival times. A flight is taken to fly its distance at 460 miles an hour plus half an hour for
//! climb and approach; it arrives that much after it departs, past midnight if need be.
//!
//! # Rules
//! - A departure is a whole second of the day; fractions are cut off.
//! - Flights that depart in the same second keep the order of the file, so the timetable is a function of the file.
//! - A flight from or to an airport that is not known is skipped and counted, never guessed.
//! - A null, a value out of range or a wrongly typed column refuses the whole file, with the row.
//!
//! # Not here
//! Time zones: the file gives local times of day, and a time stamp with a zone counts by its universal time.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
    error::ArrowError,
};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use crate::{
    airports::{Airports, list},
    day::{DAY_SECONDS, DAY_SECONDS_F32, TICK_SECONDS_MAX, fold},
    guard::guarded,
    route::{flying_elapsed, flying_total},
};

/// Flights of one folded day as columns of one length, sorted by departure.
#[derive(Debug, Clone, Default)]
pub struct Timetable {
    departs: Vec<f32>,
    arrives: Vec<f32>,
    origin: Vec<u16>,
    destination: Vec<u16>,
    delay: Vec<i16>,
    rows_read: u64,
    skipped: Skipped,
}

/// One flight of the timetable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlightRow {
    /// Departure in seconds of the day, a whole number.
    pub departs: f32,
    /// Arrival in seconds of the day, from 0 to below 86 400.
    pub arrives: f32,
    /// Index of the airport of departure.
    pub origin: u16,
    /// Index of the airport of arrival.
    pub destination: u16,
    /// Minutes late; negative is early.
    pub delay: i16,
}

/// Flights that were left out because an airport of theirs is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many flights.
    pub flights: u64,
    /// How often each unknown code stood in a row, for at most 1 000 codes. A flight may count for two.
    pub by_code: BTreeMap<String, u64>,
    /// How often any further code stood in a row.
    pub other_codes: u64,
}

/// Why the timetable could not be read. Rows count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimetableError {
    /// There is no such file.
    #[error("no flights: {} does not exist", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The file could not be opened.
    #[error("cannot read the flights in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a Parquet file, or its description is damaged.
    #[error("{} is not a Parquet file: {source}", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: ParquetError,
    },
    /// A column that is needed is not there.
    #[error("{} has no column `{column}`; it has {}", path.display(), list(have))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that is not there.
        column: &'static str,
        /// The columns that are.
        have: Vec<String>,
    },
    /// A column has a type that cannot be what it should be.
    #[error("{}: column `{column}` is {found}, expected {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// The type that it has.
        found: DataType,
    },
    /// A value is missing.
    #[error("{}, row {row}: `{column}` is null", path.display())]
    Null {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The row.
        row: u64,
    },
    /// A value cannot be used.
    #[error("{}, row {row}: `{column}` is {value}, expected {expected}", path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The row.
        row: u64,
        /// The value.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The data of a Parquet file is damaged.
    #[error("{} is damaged after row {row}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The last row that could be read.
        row: u64,
        /// What the reader said.
        source: ArrowError,
    },
    /// The file has more flights than can be indexed.
    #[error("{} has {rows} flights, more than {max}", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The flights that it has.
        rows: u64,
        /// The most that are accepted.
        max: u64,
    },
}

/// Rows decoded at a time: as many as a chunk of the world holds, and small enough to stay in the cache.
const BATCH_ROWS: usize = 16_384;

/// Rows to make room for before reading: what a file says of its length is not to be trusted with more memory.
const RESERVE_ROWS_MAX: usize = 1 << 22;

/// Unknown codes that are counted one by one; a file may hold any number of them.
const CODES_MAX: usize = 1_000;

/// The index of no airport; [`Airports`] never gives it out.
const UNKNOWN: u16 = u16::MAX;

const MILES_PER_HOUR: f64 = 460.0;
const CLIMB_AND_APPROACH_SECONDS: f64 = 1_800.0;

/// The longest flight: a tick must never carry a flight from before its arrival to after its next departure.
const FLYING_SECONDS_MAX: f64 = DAY_SECONDS - TICK_SECONDS_MAX;

const DATE: &str = "date";
const DELAY: &str = "delay";
const DISTANCE: &str = "distance";
const ORIGIN: &str = "origin";
const DESTINATION: &str = "destination";

/// Seconds that a flight of this many statute miles takes: 460 miles an hour, and half an hour.
pub fn flying_seconds(distance_miles: f64) -> f64 {
    distance_miles / MILES_PER_HOUR * 3_600.0 + CLIMB_AND_APPROACH_SECONDS
}

/// The flights that depart after simulated time `after` and not after `until`, as up to two ranges of rows.
///
/// `departs` is the timetable's sorted column; both times are in seconds and may lie on any day. The second range is
/// what departs after midnight, empty unless midnight lies between. No range is longer than the day: `until` should be
/// less than a day after `after`. Costs two binary searches.
pub fn departures(departs: &[f32], after: f64, until: f64) -> [Range<usize>; 2] {
    if until - after >= DAY_SECONDS {
        return [0..departs.len(), 0..0];
    }
    if until <= after {
        return [0..0, 0..0];
    }
    // By the clock that `step` and `airborne_at` read, or a flight whose second is met by rounding would be in the air
    // for them and still on the ground here.
    let row_after = |time: f64| departs.partition_point(|&departs| departs <= time as f32);
    let (after, until) = (fold(after), fold(until));
    if after <= until {
        [row_after(after)..row_after(until), 0..0]
    } else {
        [row_after(after)..departs.len(), 0..row_after(until)]
    }
}

/// The rows of the flights that are in the air at the simulated time `now` in seconds, in the order of their departure.
///
/// A flight is in the air from its departure on until just before its arrival. Looks at every row.
///
/// # Panics
/// If both columns differ in length.
pub fn airborne_at<'a>(departs: &'a [f32], arrives: &'a [f32], now: f64) -> impl Iterator<Item = usize> + 'a {
    assert_eq!(departs.len(), arrives.len(), "departures and arrivals are columns of one timetable");
    let now = fold(now) as f32;
    departs.iter().zip(arrives).enumerate().filter_map(move |(row, (&departs, &arrives))| {
        (flying_elapsed(now, departs) < flying_total(departs, arrives)).then_some(row)
    })
}

impl Timetable {
    /// Reads the flights of a Parquet file whose airports are among `airports`.
    ///
    /// `date` may be a time stamp of any unit; `delay` and `distance` numbers of any width; `origin` and `destination`
    /// text of any form, dictionaries included. Other columns are not decoded. `progress` is called with the rows read
    /// so far and the rows in all, every 16 384 rows.
    ///
    /// # Errors
    /// See [`TimetableError`].
    pub fn read(
        path: &Path,
        airports: &Airports,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Timetable, TimetableError> {
        Reader { path, airports, unsorted: Unsorted::default(), skipped: Skipped::default(), row: 0 }.read(progress)
    }

    /// The number of flights, without those that were skipped.
    pub fn len(&self) -> usize {
        self.departs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.departs.is_empty()
    }

    /// Departures in seconds of the day, ascending, whole numbers from 0 to below 86 400.
    pub fn departs(&self) -> &[f32] {
        &self.departs
    }

    /// Arrivals in seconds of the day, from 0 to below 86 400; before the departure if midnight lies between.
    pub fn arrives(&self) -> &[f32] {
        &self.arrives
    }

    /// Indices of the airports of departure.
    pub fn origin(&self) -> &[u16] {
        &self.origin
    }

    /// Indices of the airports of arrival.
    pub fn destination(&self) -> &[u16] {
        &self.destination
    }

    /// Minutes late; negative is early.
    pub fn delay(&self) -> &[i16] {
        &self.delay
    }

    /// The flight of a row, if there is one.
    pub fn row(&self, row: usize) -> Option<FlightRow> {
        Some(FlightRow {
            departs: *self.departs.get(row)?,
            arrives: self.arrives[row],
            origin: self.origin[row],
            destination: self.destination[row],
            delay: self.delay[row],
        })
    }

    /// Rows of the file, those of skipped flights included.
    pub fn rows_read(&self) -> u64 {
        self.rows_read
    }

    /// The flights that were left out.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }
}

impl Skipped {
    fn count(&mut self, code: &str, rows: u64) {
        if let Some(count) = self.by_code.get_mut(code) {
            *count += rows;
        } else if self.by_code.len() < CODES_MAX {
            self.by_code.insert(code.to_owned(), rows);
        } else {
            self.other_codes += rows;
        }
    }
}

/// Flights in the order of the file.
#[derive(Default)]
struct Unsorted {
    departs: Vec<u32>,
    arrives: Vec<f32>,
    origin: Vec<u16>,
    destination: Vec<u16>,
    delay: Vec<i16>,
}

impl Unsorted {
    fn reserve(&mut self, rows: usize) {
        self.departs.reserve_exact(rows);
        self.arrives.reserve_exact(rows);
        self.origin.reserve_exact(rows);
        self.destination.reserve_exact(rows);
        self.delay.reserve_exact(rows);
    }

    /// Sorts by counting the departures of each second. Each column is dropped as soon as it is sorted.
    fn sort(self, rows_read: u64, skipped: Skipped) -> Timetable {
        let mut next = vec![0_u32; DAY_SECONDS as usize + 1];
        for &second in &self.departs {
            next[second as usize + 1] += 1;
        }
        for second in 1..next.len() {
            next[second] += next[second - 1];
        }
        let mut order = vec![0_u32; self.departs.len()];
        for (row, &second) in self.departs.iter().enumerate() {
            let place = &mut next[second as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        fn sorted<T: Copy>(order: &[u32], column: Vec<T>) -> Vec<T> {
            order.iter().map(|&row| column[row as usize]).collect()
        }
        Timetable {
            departs: sorted(&order, self.departs).into_iter().map(|second| second as f32).collect(),
            arrives: sorted(&order, self.arrives),
            origin: sorted(&order, self.origin),
            destination: sorted(&order, self.destination),
            delay: sorted(&order, self.delay),
            rows_read,
            skipped,
        }
    }
}

struct Reader<'a> {
    path: &'a Path,
    airports: &'a Airports,
    unsorted: Unsorted,
    skipped: Skipped,
    /// Rows of the batches before the current one.
    row: u64,
}

impl Reader<'_> {
    fn read(mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<Timetable, TimetableError> {
        let path = || self.path.to_owned();
        let file = File::open(self.path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => TimetableError::Missing { path: path() },
            _ => TimetableError::Read { path: path(), source },
        })?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(TimetableError::Read { path: path(), source: io::ErrorKind::IsADirectory.into() });
        }
        let not_parquet = |source| TimetableError::NotParquet { path: path(), source };
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file))
            .unwrap_or_else(|panic| Err(ParquetError::General(panic)))
            .map_err(not_parquet)?;

        let schema = builder.schema().clone();
        let find = |column: &'static str, accepts: fn(&DataType) -> bool, expected: &'static str| {
            let index = schema.fields().iter().position(|field| field.name() == column).ok_or_else(|| {
                TimetableError::MissingColumn {
                    path: path(),
                    column,
                    have: schema.fields().iter().map(|field| field.name().clone()).collect(),
                }
            })?;
            let found = schema.field(index).data_type();
            if accepts(found) {
                Ok(index)
            } else {
                Err(TimetableError::WrongType { path: path(), column, expected, found: found.clone() })
            }
        };
        let columns = [
            find(DATE, is_time, "a time stamp")?,
            find(DELAY, is_number, "a number")?,
            find(DISTANCE, is_number, "a number")?,
            find(ORIGIN, is_text, "text")?,
            find(DESTINATION, is_text, "text")?,
        ];
        // A projection keeps the order of the file.
        let place = |column: usize| columns.iter().filter(|&&other| other < column).count();
        let [date, delay, distance, origin, destination] = columns.map(place);

        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        if rows > u64::from(u32::MAX) {
            return Err(TimetableError::TooMany { path: path(), rows, max: u32::MAX.into() });
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let mut batches = guarded(|| batches.build())
            .unwrap_or_else(|panic| Err(ParquetError::General(panic)))
            .map_err(not_parquet)?;

        self.unsorted.reserve((rows as usize).min(RESERVE_ROWS_MAX));
        let mut scratch = Scratch::default();
        progress(0, rows);
        loop {
            let batch = guarded(|| batches.next()).unwrap_or_else(|panic| Some(Err(ArrowError::ParquetError(panic))));
            let Some(batch) = batch else { break };
            let batch = batch.map_err(|source| self.damaged(source))?;
            self.times(batch.column(date), &mut scratch.seconds)?;
            self.numbers(DELAY, batch.column(delay), &mut scratch.delay)?;
            self.numbers(DISTANCE, batch.column(distance), &mut scratch.distance)?;
            self.airports(ORIGIN, batch.column(origin), &mut scratch.origin)?;
            self.airports(DESTINATION, batch.column(destination), &mut scratch.destination)?;
            self.take(&scratch)?;
            self.row += batch.num_rows() as u64;
            progress(self.row, rows);
        }
        Ok(self.unsorted.sort(self.row, self.skipped))
    }

    /// Appends the flights of one batch, those with an unknown airport excepted.
    fn take(&mut self, scratch: &Scratch) -> Result<(), TimetableError> {
        for row in 0..scratch.seconds.len() {
            let (delay, distance) = (scratch.delay[row].round(), scratch.distance[row]);
            let out_of_range = |column, value, expected| TimetableError::OutOfRange {
                path: self.path.to_owned(),
                column,
                row: self.row + row as u64 + 1,
                value,
                expected,
            };
            if !(f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&delay) {
                return Err(out_of_range(DELAY, scratch.delay[row], "minutes from -32768 to 32767"));
            }
            let flying = flying_seconds(distance);
            if !(CLIMB_AND_APPROACH_SECONDS..=FLYING_SECONDS_MAX).contains(&flying) {
                return Err(out_of_range(DISTANCE, distance, "miles from 0 to 10350"));
            }
            let (origin, destination) = (scratch.origin[row], scratch.destination[row]);
            if origin == UNKNOWN || destination == UNKNOWN {
                self.skipped.flights += 1;
                continue;
            }
            let second = scratch.seconds[row];
            let arrives = fold(f64::from(second) + flying) as f32;
            self.unsorted.departs.push(second);
            // Rounding may reach the end of the day, which is its beginning.
            self.unsorted.arrives.push(if arrives < DAY_SECONDS_F32 { arrives } else { 0.0 });
            self.unsorted.origin.push(origin);
            self.unsorted.destination.push(destination);
            self.unsorted.delay.push(delay as i16);
        }
        Ok(())
    }

    fn times(&self, array: &ArrayRef, out: &mut Vec<u32>) -> Result<(), TimetableError> {
        let array = self.plain(DATE, array)?;
        let per_second = match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => 1,
            DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000_000,
            _ => 1_000_000_000,
        };
        let ticks = cast(&array, &DataType::Int64).map_err(|source| self.damaged(source))?;
        out.clear();
        let seconds = ticks.as_primitive::<Int64Type>().values().iter();
        out.extend(seconds.map(|ticks| ticks.div_euclid(per_second).rem_euclid(DAY_SECONDS as i64) as u32));
        Ok(())
    }

    fn numbers(&self, column: &'static str, array: &ArrayRef, out: &mut Vec<f64>) -> Result<(), TimetableError> {
        let array = self.plain(column, array)?;
        let numbers = cast(&array, &DataType::Float64).map_err(|source| self.damaged(source))?;
        out.clear();
        out.extend_from_slice(numbers.as_primitive::<Float64Type>().values());
        Ok(())
    }

    fn airports(&mut self, column: &'static str, array: &ArrayRef, out: &mut Vec<u16>) -> Result<(), TimetableError> {
        self.no_nulls(column, array)?;
        out.clear();
        let (airports, skipped) = (self.airports, &mut self.skipped);
        let Some(dictionary) = array.as_any_dictionary_opt() else {
            for_each_text(array, |code| {
                out.push(airports.find(code).unwrap_or_else(|| {
                    skipped.count(code, 1);
                    UNKNOWN
                }));
            });
            return Ok(());
        };
        let mut known = Vec::with_capacity(dictionary.values().len());
        for_each_text(dictionary.values(), |code| known.push(airports.find(code).unwrap_or(UNKNOWN)));
        let mut rows = vec![0; known.len()];
        for key in dictionary.normalized_keys() {
            out.push(known[key]);
            rows[key] += 1;
        }
        let mut entries = known.iter().zip(&rows);
        for_each_text(dictionary.values(), |code| {
            if let Some((&UNKNOWN, &rows @ 1..)) = entries.next() {
                skipped.count(code, rows);
            }
        });
        Ok(())
    }

    /// The values of a column of numbers or times, which may come as a dictionary; none of them is null.
    fn plain(&self, column: &'static str, array: &ArrayRef) -> Result<ArrayRef, TimetableError> {
        self.no_nulls(column, array)?;
        match array.data_type() {
            DataType::Dictionary(_, values) => cast(array, values).map_err(|source| self.damaged(source)),
            _ => Ok(array.clone()),
        }
    }

    fn no_nulls(&self, column: &'static str, array: &ArrayRef) -> Result<(), TimetableError> {
        match array.logical_nulls().and_then(|nulls| nulls.iter().position(|valid| !valid)) {
            None => Ok(()),
            Some(row) => {
                Err(TimetableError::Null { path: self.path.to_owned(), column, row: self.row + row as u64 + 1 })
            }
        }
    }

    fn damaged(&self, source: ArrowError) -> TimetableError {
        TimetableError::Damaged { path: self.path.to_owned(), row: self.row, source }
    }
}

/// The columns of one batch, reused from batch to batch.
#[derive(Default)]
struct Scratch {
    seconds: Vec<u32>,
    delay: Vec<f64>,
    distance: Vec<f64>,
    origin: Vec<u16>,
    destination: Vec<u16>,
}

/// Visits every value of an array of text; a null counts as empty. `is_text` has accepted its type.
fn for_each_text(array: &ArrayRef, mut visit: impl FnMut(&str)) {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().for_each(|text| visit(text.unwrap_or_default())),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().for_each(|text| visit(text.unwrap_or_default())),
        _ => array.as_string_view().iter().for_each(|text| visit(text.unwrap_or_default())),
    }
}

fn is_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_time(values),
        // The date types count days: they cannot say when a flight departs.
        other => matches!(other, DataType::Timestamp(..)),
    }
}

fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_integer() || other.is_floating(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}
