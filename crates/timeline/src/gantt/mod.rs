//! Traces as pictures: reads a Chrome trace that this crate wrote, and draws frames of it as a Gantt chart.
//!
//! [`Trace::read`] takes the file's bytes; [`Trace::select`] chooses frames; a [`Chart`] of them knows bars, and the
//! critical path; [`Chart::svg`] and [`Chart::html`] draw it; [`Stats`] counts.
//!
//! # The critical path
//! Only the frame's own lane opens tasks and waits for them. So what a frame waited for can be told from times alone,
//! walking back from the frame's end, on the frame's lane:
//!
//! - inside of a span of work, its time is on the path, back to its begin;
//! - between spans, the frame's thread was scheduling: that is on the path;
//! - inside of a wait, the last work to end on another lane until then is what was waited for. The path goes there; the
//!   time from that end to the end of the wait is what waking up took;
//! - on another lane the path goes back through the work that followed on each other, until the wait for the first of
//!   it: it was opened by the frame's lane, before the span in which that was then began. There the path goes on.
//!
//! So each instant of a frame is on the path once, and shares of it sum up to 1: making a step of it shorter would have
//! made the frame shorter, until another path takes over. Collections count for themselves, not for the span that they
//! interrupted.
//!
//! # Not here
//! Files and arguments: text and bytes go in and out.
//!
//! ```
//! use peristyle_timeline::{Kind, Timeline, gantt::{Select, Stats, Trace}};
//!
//! let timeline = Timeline::new(1, 1024);
//! let (frame, physics) = (timeline.name("frame"), timeline.name("physics"));
//! timeline.set_enabled(true);
//! let begun = timeline.begin();
//! let stamp = timeline.begin();
//! timeline.end(0, Kind::System, physics, stamp, 512, 0);
//! timeline.end(0, Kind::Frame, frame, begun, 512, 1);
//!
//! let mut bytes = Vec::new();
//! timeline.write_chrome_trace(&mut bytes)?;
//! let trace = Trace::read(&bytes)?;
//! let chart = trace.chart(trace.select(Select::Last(1))?);
//! assert!(chart.svg("one frame").contains("physics"));
//! assert_eq!(Stats::new(&chart).systems[0].count, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chart;
mod html;
mod path;
mod read;
mod stats;
mod style;
mod svg;
mod walk;

pub use crate::gantt::chart::{Bar, Chart, Frame, Select, SelectError};
pub use crate::gantt::path::{Step, What};
pub use crate::gantt::read::{Trace, TraceError, TraceLane, TraceSpan};
pub use crate::gantt::stats::{LaneStats, Stats, SystemStats, Times};
