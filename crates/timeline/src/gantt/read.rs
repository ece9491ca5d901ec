//! A trace in memory, as it was read.

use std::collections::{BTreeMap, HashMap};

use crate::Kind;

use super::chart::Frame;
use super::walk::{Place, Value, for_each_event};

/// Why a trace cannot be read. Bytes count from 0, events too.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is nothing but white space.
    #[error("the trace is empty")]
    Empty,
    /// The text is JSON, but not of a trace.
    #[error("this is no trace: neither an array of events nor an object with `traceEvents`")]
    NotATrace,
    /// The text is no JSON there.
    #[error("no JSON at byte {offset}: {message}")]
    Json {
        /// The byte.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// The text ends too early. Lanes are written one after another, so whole lanes may be missing.
    #[error("the trace is cut short: it ends at byte {offset}, after {events} whole events")]
    Truncated {
        /// The length of the text in bytes.
        offset: u64,
        /// Events that are there as a whole.
        events: u64,
    },
    /// An event lacks a field.
    #[error("event {event} (at byte {offset}) has no `{field}`")]
    Missing {
        /// Number of the event.
        event: u64,
        /// Its first byte.
        offset: u64,
        /// The field.
        field: &'static str,
    },
    /// A field of an event cannot be what it is.
    #[error("event {event} (at byte {offset}): `{field}` is {found}, expected {expected}")]
    Field {
        /// Number of the event.
        event: u64,
        /// Its first byte.
        offset: u64,
        /// The field.
        field: &'static str,
        /// What is there.
        found: String,
        /// What may be there.
        expected: &'static str,
    },
    /// There are more lanes than threads can be.
    #[error("event {event} (at byte {offset}) is on one lane more than the {LANES_MAX} that a trace may have")]
    TooManyLanes {
        /// Number of the event.
        event: u64,
        /// Its first byte.
        offset: u64,
    },
}

/// Lanes of a trace at most: the workers that a pool may have, and the frame's own.
const LANES_MAX: usize = 1025;

/// Largest time in microseconds: whole numbers are exact until here.
const TIME_US_MAX: f64 = 9_007_199_254_740_992.0;

/// A trace that was read: lanes and their spans, and the frames in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// In order of their numbers.
    pub(super) lanes: Vec<TraceLane>,
    pub(super) names: Vec<String>,
    pub(super) frames: Vec<Frame>,
    pub(super) skipped: u64,
}

/// What one thread did.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceLane {
    /// Its number in the trace (`tid`).
    pub number: u64,
    /// What the trace calls it.
    pub name: String,
    /// By begin; what encloses another comes first.
    pub spans: Vec<TraceSpan>,
    /// Older spans that the recorder had no room for.
    pub dropped: u64,
    /// From here on it is complete, in nanoseconds.
    pub complete_from_ns: u64,
}

/// One span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSpan {
    /// What it is.
    pub kind: Kind,
    /// Index of its name, for [`Trace::name`].
    pub name: u32,
    /// Nanoseconds on the trace's clock.
    pub start_ns: u64,
    /// Nanoseconds on the trace's clock, not before the start.
    pub end_ns: u64,
    /// How many rows it worked on.
    pub rows: u64,
    /// The chunk, range or tick.
    pub index: u64,
}

impl Trace {
    /// Reads a trace: an array of events, closed or not, or an object that has one as `traceEvents`.
    ///
    /// Events that this crate does not write are left out, and [counted](Trace::skipped).
    ///
    /// # Errors
    /// [`TraceError`] names the event, byte and field.
    pub fn read(bytes: &[u8]) -> Result<Trace, TraceError> {
        let mut reader = Reader::default();
        for_each_event(bytes, |place, event| reader.take(place, &event))?;
        Ok(reader.finish())
    }

    /// As [`Trace::read`], and if the text was cut short the trace until there, with the error that says so.
    ///
    /// # Errors
    /// As [`Trace::read`], except for [`TraceError::Truncated`].
    pub fn read_until_cut(bytes: &[u8]) -> Result<(Trace, Option<TraceError>), TraceError> {
        let mut reader = Reader::default();
        match for_each_event(bytes, |place, event| reader.take(place, &event)) {
            Ok(()) => Ok((reader.finish(), None)),
            Err(cut @ TraceError::Truncated { .. }) => Ok((reader.finish(), Some(cut))),
            Err(error) => Err(error),
        }
    }

    /// The lanes, in order of their numbers.
    pub fn lanes(&self) -> &[TraceLane] {
        &self.lanes
    }

    /// The frames, in order of time.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The text of a name.
    pub fn name(&self, name: u32) -> &str {
        self.names.get(name as usize).map_or("?", String::as_str)
    }

    /// Events that were left out: of phases and categories that this crate does not write.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// Collects events.
#[derive(Default)]
struct Reader {
    lanes: BTreeMap<u64, TraceLane>,
    names: Vec<String>,
    ids: HashMap<String, u32>,
    skipped: u64,
}

impl Reader {
    fn take(&mut self, place: Place, event: &Value<'_>) -> Result<(), TraceError> {
        let event = Event { place, event };
        if !matches!(event.event, Value::Map(_)) {
            return Err(event.wrong("event", event.event, "an object"));
        }
        match event.text("ph")? {
            "X" => self.take_span(&event),
            "M" => self.take_metadata(&event),
            "i" | "I" => self.take_instant(&event),
            _ => {
                self.skipped += 1;
                Ok(())
            }
        }
    }

    fn take_span(&mut self, event: &Event<'_, '_>) -> Result<(), TraceError> {
        let Some(kind) = Kind::from_word(event.text("cat")?) else {
            self.skipped += 1;
            return Ok(());
        };
        let (from, took) = (event.time("ts")?, event.time("dur")?);
        let (rows, index) = (event.count("rows")?, event.count("index")?);
        let name = self.name(event.text("name")?);
        // Rounded after the sum: begin and duration are each given to the nanosecond.
        let ns = |us: f64| (us * 1000.0).round() as u64;
        let span = TraceSpan { kind, name, start_ns: ns(from), end_ns: ns(from + took).max(ns(from)), rows, index };
        self.lane(event)?.spans.push(span);
        Ok(())
    }

    fn take_metadata(&mut self, event: &Event<'_, '_>) -> Result<(), TraceError> {
        if event.text("name")? == "thread_name" {
            let name = event.argument("name").ok_or_else(|| event.missing("args.name"))?;
            let Value::Text(name) = name else { return Err(event.wrong("args.name", name, "text")) };
            self.lane(event)?.name = name.clone().into_owned();
        }
        Ok(())
    }

    /// Takes in that spans were dropped, which the writer says where the first is that was not.
    fn take_instant(&mut self, event: &Event<'_, '_>) -> Result<(), TraceError> {
        let dropped = event.count("dropped")?;
        if dropped > 0 {
            let from = (event.time("ts")? * 1000.0).round() as u64;
            let lane = self.lane(event)?;
            (lane.dropped, lane.complete_from_ns) = (dropped, from);
        }
        Ok(())
    }

    fn lane(&mut self, event: &Event<'_, '_>) -> Result<&mut TraceLane, TraceError> {
        let number = event.whole("tid", event.get("tid").ok_or_else(|| event.missing("tid"))?)?;
        let Place { event, offset } = event.place;
        if self.lanes.len() == LANES_MAX && !self.lanes.contains_key(&number) {
            return Err(TraceError::TooManyLanes { event, offset });
        }
        Ok(self.lanes.entry(number).or_insert_with(|| TraceLane {
            number,
            name: format!("lane {number}"),
            spans: Vec::new(),
            dropped: 0,
            complete_from_ns: 0,
        }))
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    fn finish(self) -> Trace {
        let mut lanes: Vec<TraceLane> = self.lanes.into_values().collect();
        for lane in &mut lanes {
            // Lanes are written in order of ends, so of two with the same times the later encloses the other.
            lane.spans.reverse();
            lane.spans.sort_by_key(|span| (span.start_ns, std::cmp::Reverse(span.end_ns)));
        }
        let complete_from_ns = lanes.iter().map(|lane| lane.complete_from_ns).max().unwrap_or(0);
        let mut frames: Vec<Frame> = Vec::new();
        for (lane, spans) in lanes.iter().map(|lane| &lane.spans).enumerate() {
            frames.extend(spans.iter().filter(|span| span.kind == Kind::Frame).map(|span| Frame {
                number: span.index,
                lane,
                start_ns: span.start_ns,
                end_ns: span.end_ns,
                is_complete: span.start_ns >= complete_from_ns,
            }));
        }
        frames.sort_by_key(|frame| (frame.start_ns, frame.end_ns));
        // Frames follow each other; rounding makes them overlap by a nanosecond, and nonsense by more.
        for next in 1..frames.len() {
            frames[next - 1].end_ns = frames[next - 1].end_ns.min(frames[next].start_ns);
        }
        Trace { lanes, names: self.names, frames, skipped: self.skipped }
    }
}

/// An event that is looked at.
struct Event<'e, 'a> {
    place: Place,
    event: &'e Value<'a>,
}

impl<'e, 'a> Event<'e, 'a> {
    fn get(&self, field: &str) -> Option<&'e Value<'a>> {
        self.event.get(field)
    }

    fn argument(&self, name: &str) -> Option<&'e Value<'a>> {
        self.get("args").and_then(|arguments| arguments.get(name))
    }

    fn missing(&self, field: &'static str) -> TraceError {
        let Place { event, offset } = self.place;
        TraceError::Missing { event, offset, field }
    }

    fn wrong(&self, field: &'static str, found: &Value<'_>, expected: &'static str) -> TraceError {
        let Place { event, offset } = self.place;
        TraceError::Field { event, offset, field, found: found.to_string(), expected }
    }

    fn text(&self, field: &'static str) -> Result<&'e str, TraceError> {
        match self.get(field) {
            Some(Value::Text(text)) => Ok(text),
            Some(other) => Err(self.wrong(field, other, "text")),
            None => Err(self.missing(field)),
        }
    }

    /// Microseconds.
    fn time(&self, field: &'static str) -> Result<f64, TraceError> {
        match self.get(field) {
            Some(Value::Number(us)) if (0.0..=TIME_US_MAX).contains(us) => Ok(*us),
            Some(other) => Err(self.wrong(field, other, "microseconds from 0 to 2^53")),
            None => Err(self.missing(field)),
        }
    }

    /// An argument that counts something, 0 if it is not there.
    fn count(&self, name: &'static str) -> Result<u64, TraceError> {
        self.argument(name).map_or(Ok(0), |value| self.whole(name, value))
    }

    fn whole(&self, field: &'static str, value: &Value<'_>) -> Result<u64, TraceError> {
        match value {
            Value::Number(number) if number.fract() == 0.0 && (0.0..=TIME_US_MAX).contains(number) => {
                Ok(*number as u64)
            }
            other => Err(self.wrong(field, other, "a whole number from 0 to 2^53")),
        }
    }
}
