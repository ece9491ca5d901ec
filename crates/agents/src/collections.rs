//! Spans of the garbage collector, on the lane whose agent it interrupts.
//!
//! The engine says when a slice of a collection begins and ends, and when the nursery, where new objects lie, is emptied.
//! Both happen on the agent's own thread, so they are recorded like any other span there: no lock, no allocation. What
//! the engine sweeps on helper threads of its own is not seen.

use std::cell::{Cell, OnceCell};

use peristyle_jobs::Lane;
use peristyle_timeline::{Kind, NameId, Stamp, Timeline};

/// What of the collector is going on. Slices empty the nursery first, so one can be inside of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Slice,
    Nursery,
}

/// Records the collections of one agent.
pub(crate) struct Collections {
    to: OnceCell<Recorder>,
    begun: [Cell<Stamp>; 2],
}

struct Recorder {
    timeline: Timeline,
    lane: usize,
    names: [NameId; 2],
}

impl Collections {
    pub(crate) fn new() -> Collections {
        Collections { to: OnceCell::new(), begun: [const { Cell::new(Stamp::OFF) }; 2] }
    }

    /// From now on collections are recorded on this lane, which is the agent's for good.
    #[inline]
    pub(crate) fn record_on(&self, lane: &Lane) {
        self.to.get_or_init(|| {
            let timeline = lane.timeline().clone();
            let names = ["gc", "nursery gc"].map(|name| timeline.name(name));
            Recorder { timeline, lane: lane.index() as usize, names }
        });
    }

    pub(crate) fn begin(&self, part: Part) {
        if let Some(to) = self.to.get() {
            self.begun[part as usize].set(to.timeline.begin());
        }
    }

    pub(crate) fn end(&self, part: Part) {
        if let Some(to) = self.to.get() {
            let begun = self.begun[part as usize].replace(Stamp::OFF);
            to.timeline.end(to.lane, Kind::Collection, to.names[part as usize], begun, 0, 0);
        }
    }
}
