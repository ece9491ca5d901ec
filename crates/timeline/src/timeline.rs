//! The handle that threads record through.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::names::Names;
use crate::ring::Ring;
use crate::{Kind, NameId, Span, Stamp, chrome, clock};

/// A recorder of spans on a fixed number of lanes; clones share it.
///
/// Off until [`set_enabled`](Timeline::set_enabled). Lane 0 is called `frame`, lane `n` is called
/// `worker n`.
#[derive(Clone)]
pub struct Timeline(Arc<Shared>);

struct Shared {
    /// Relaxed everywhere: it orders nothing, the rings come through `OnceLock`.
    enabled: AtomicBool,
    lanes: usize,
    spans_per_lane: usize,
    rings: OnceLock<Box<[Ring]>>,
    names: Names,
}

/// What one lane holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSpans {
    /// The index of the lane.
    pub lane: usize,
    /// The newest spans, in the order in which they ended.
    pub spans: Vec<Span>,
    /// How many older spans the lane had no room for.
    pub dropped: u64,
}

impl Timeline {
    /// Makes a timeline of `lanes` lanes that each keep the newest `spans_per_lane` spans.
    ///
    /// Takes `lanes * (spans_per_lane + 1) * 32` bytes once recording is turned on, none before.
    pub fn new(lanes: usize, spans_per_lane: usize) -> Timeline {
        Timeline(Arc::new(Shared {
            enabled: AtomicBool::new(false),
            lanes,
            spans_per_lane,
            rings: OnceLock::new(),
            names: Names::default(),
        }))
    }

    /// Makes a timeline without lanes: it never records anything.
    pub fn off() -> Timeline {
        Timeline::new(0, 0)
    }

    /// Turns recording on or off. Turning it on the first time allocates the lanes' rings.
    pub fn set_enabled(&self, enabled: bool) {
        if enabled {
            let shared = &*self.0;
            shared.rings.get_or_init(|| (0..shared.lanes).map(|_| Ring::new(shared.spans_per_lane)).collect());
        }
        self.0.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Returns whether spans are recorded.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.0.enabled.load(Ordering::Relaxed)
    }

    /// Returns the number of lanes.
    pub fn lanes(&self) -> usize {
        self.0.lanes
    }

    /// Returns the id of `name`, the same for equal names. Takes a lock: meant for registration, not
    /// for each span.
    pub fn name(&self, name: &str) -> NameId {
        self.0.names.intern(name)
    }

    /// Starts a span: [`Stamp::OFF`] while recording is off, else the time.
    #[inline]
    pub fn begin(&self) -> Stamp {
        if self.is_enabled() { Stamp(clock::now()) } else { Stamp::OFF }
    }

    /// Ends the span that `stamp` began, and records it on `lane`.
    ///
    /// One thread writes a lane at a time; if two do, spans of that lane get lost or mixed. A lane that
    /// does not exist and a span that began while recording was off are ignored.
    #[inline]
    pub fn end(&self, lane: usize, kind: Kind, name: NameId, stamp: Stamp, rows: u32, detail: u32) {
        if stamp != Stamp::OFF {
            self.record(lane, Span { kind, name, start: stamp.0, end: clock::now(), rows, detail });
        }
    }

    /// Records a span whose times, in ticks of [`clock`], are known.
    pub fn record(&self, lane: usize, span: Span) {
        if let Some(ring) = self.0.rings.get().and_then(|rings| rings.get(lane)) {
            ring.push(span);
        }
    }

    /// Forgets all spans and counts of dropped ones; names stay.
    pub fn clear(&self) {
        self.0.rings.get().into_iter().flatten().for_each(Ring::clear);
    }

    /// Returns what each lane holds. Lanes may be written meanwhile.
    pub fn read(&self) -> Vec<LaneSpans> {
        let rings = self.0.rings.get().map(|rings| &rings[..]).unwrap_or_default();
        rings
            .iter()
            .enumerate()
            .map(|(lane, ring)| {
                let (spans, dropped) = ring.read();
                LaneSpans { lane, spans, dropped }
            })
            .collect()
    }

    /// Returns the text of `name`, if this timeline gave it out.
    pub fn name_text(&self, name: NameId) -> Option<Arc<str>> {
        self.0.names.all().get(name.0 as usize).cloned()
    }

    /// Writes everything held as a Chrome trace: one JSON object that Perfetto and `chrome://tracing`
    /// open. One track per lane, times in microseconds since the first span.
    ///
    /// A lane that dropped spans begins with an instant event `dropped N older spans`; the numbers also
    /// stand in `otherData.dropped_spans`, by lane name.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write_chrome_trace(&self, out: impl io::Write) -> io::Result<()> {
        chrome::write(out, &self.read(), &self.0.names.all(), self.0.lanes)
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("enabled", &self.is_enabled())
            .field("lanes", &self.0.lanes)
            .field("spans_per_lane", &self.0.spans_per_lane)
            .finish()
    }
}
