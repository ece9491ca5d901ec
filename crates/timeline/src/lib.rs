//! Records what each thread did when, and writes it as a Chrome trace.
//!
//! A [`Timeline`] has a fixed number of lanes (threads). Each lane is a ring of a fixed number of
//! spans, allocated when recording is first turned on; it keeps the newest spans and counts those it
//! dropped. Names are interned once, so that a span is four words: start, end, name and kind, and two
//! small numbers (rows, and a chunk or range index).
//!
//! # Rules
//! - Off is the default. While off, a span costs one relaxed load and a branch.
//! - While on, a span costs two clock readings and five stores: no lock, no allocation, no
//!   read-modify-write.
//! - One thread writes a lane at a time. Nothing unsafe rests on that: all words are atomics, and two
//!   threads that share a lane by mistake lose or mix spans, no more.
//! - A reader may read while lanes are written. It sees whole spans only.
//!
//! # Features
//! - `gantt`: reads such traces again, and draws them (module `gantt`). Off by default, for it needs a JSON parser.
//!
//! # Not here
//! What a lane is and which system a name stands for; the callers say so.
//!
//! ```
//! use peristyle_timeline::{Kind, Timeline};
//!
//! let timeline = Timeline::new(2, 1024);
//! let physics = timeline.name("physics");
//! timeline.set_enabled(true);
//! let stamp = timeline.begin();
//! timeline.end(0, Kind::System, physics, stamp, 16_384, 0);
//!
//! let mut trace = Vec::new();
//! timeline.write_chrome_trace(&mut trace)?;
//! assert!(String::from_utf8(trace).unwrap().contains("\"physics\""));
//! # Ok::<(), std::io::Error>(())
//! ```
#![warn(missing_docs)]
#![cfg_attr(not(target_arch = "x86_64"), forbid(unsafe_code))]

mod chrome;
pub mod clock;
#[cfg(feature = "gantt")]
pub mod gantt;
mod names;
mod ring;
mod timeline;

pub use crate::names::NameId;
pub use crate::timeline::{LaneSpans, Timeline};

/// What a span is; the category of its event in a Chrome trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// A whole system, from its start until it is done.
    System,
    /// One range of a job on one lane.
    Range,
    /// Merging commands and patches.
    Commit,
    /// Idle: on the frame's lane waiting for other lanes, on others for work. The index is 1 if the thread slept, 0 if
    /// it only spun.
    Wait,
    /// One frame.
    Frame,
    /// One stage of a frame.
    Stage,
    /// The garbage collector of a lane's JavaScript agent, inside of the range whose call it interrupted.
    Collection,
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::System, Kind::Range, Kind::Commit, Kind::Wait, Kind::Frame, Kind::Stage, Kind::Collection];

    /// Returns the lower-case word for this kind, as it stands in a trace.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::System => "system",
            Kind::Range => "range",
            Kind::Commit => "commit",
            Kind::Wait => "wait",
            Kind::Frame => "frame",
            Kind::Stage => "stage",
            Kind::Collection => "gc",
        }
    }

    /// Returns the kind that [`as_str`](Kind::as_str) calls `word`.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it is there to enclose others, and says nothing of what its lane did.
    #[cfg(feature = "gantt")]
    fn is_enclosing(self) -> bool {
        matches!(self, Kind::Frame | Kind::Stage)
    }

    /// Whether it is the work of a system, or of a part of one.
    #[cfg(feature = "gantt")]
    fn is_system(self) -> bool {
        matches!(self, Kind::System | Kind::Range)
    }

    fn from_bits(bits: u8) -> Kind {
        Kind::ALL.get(usize::from(bits)).copied().unwrap_or(Kind::System)
    }
}

/// When a span began, in ticks of [`clock`]; nothing if recording was off then.
///
/// A span whose stamp was taken while recording was off is not recorded, even if recording was turned
/// on before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a span is recorded when its stamp is handed to `Timeline::end`"]
pub struct Stamp(u64);

impl Stamp {
    /// The stamp of a span that is not recorded.
    pub const OFF: Stamp = Stamp(0);

    /// Returns the ticks of [`clock`] at which the span began, 0 if it is not recorded.
    pub fn ticks(self) -> u64 {
        self.0
    }
}

/// One recorded span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub kind: Kind,
    /// Its name, as [`Timeline::name`] gave it.
    pub name: NameId,
    /// Ticks of [`clock`] at its begin.
    pub start: u64,
    /// Ticks of [`clock`] at its end.
    pub end: u64,
    /// How many rows it worked on.
    pub rows: u32,
    /// The index of the chunk or range it worked on.
    pub detail: u32,
}
