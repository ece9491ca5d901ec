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
#[derive(Clone, Default)]
pub struct Timeline(Option<Arc<Shared>>);

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
    /// Takes 32 bytes a span once recording is turned on, none before. Room for `spans_per_lane + 1` of them is rounded up
    /// to a power of two, so one less than such a power wastes nothing.
    pub fn new(lanes: usize, spans_per_lane: usize) -> Timeline {
        Timeline(Some(Arc::new(Shared {
            enabled: AtomicBool::new(false),
            lanes,
            spans_per_lane,
            rings: OnceLock::new(),
            names: Names::default(),
        })))
    }

    /// Makes a timeline without lanes, which never records anything, knows no names and takes no memory. It is the
    /// default.
    pub const fn off() -> Timeline {
        Timeline(None)
    }

    /// Turns recording on or off. Turning it on the first time allocates the lanes' rings.
    pub fn set_enabled(&self, enabled: bool) {
        let Some(shared) = &self.0 else { return };
        if enabled {
            shared.rings.get_or_init(|| (0..shared.lanes).map(|_| Ring::new(shared.spans_per_lane)).collect());
        }
        shared.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Returns whether spans are recorded.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.enabled.load(Ordering::Relaxed))
    }

    /// Returns the number of lanes.
    pub fn lanes(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.lanes)
    }

    #[inline]
    fn rings(&self) -> &[Ring] {
        self.0.as_ref().and_then(|shared| shared.rings.get()).map(|rings| &**rings).unwrap_or_default()
    }

    /// Returns the id of `name`, the same for equal names. Takes a lock: meant for registration, not
    /// for each span.
    pub fn name(&self, name: &str) -> NameId {
        self.0.as_ref().map_or(NameId(0), |shared| shared.names.intern(name))
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.as_ref().map(|shared| shared.names.all()).unwrap_or_default()
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

    /// Ends the span that `stamp` began, as [`end`](Timeline::end) does, and starts the next one at that moment: one reading
    /// of the clock for both.
    #[inline]
    pub fn next(&self, lane: usize, kind: Kind, name: NameId, stamp: Stamp, rows: u32, detail: u32) -> Stamp {
        if stamp == Stamp::OFF {
            return self.begin();
        }
        let end = clock::now();
        self.record(lane, Span { kind, name, start: stamp.0, end, rows, detail });
        Stamp(end)
    }

    /// Records a span whose times, in ticks of [`clock`], are known.
    #[inline]
    pub fn record(&self, lane: usize, span: Span) {
        if let Some(ring) = self.rings().get(lane) {
            ring.push(span);
        }
    }

    /// Forgets all spans and counts of dropped ones; names stay.
    pub fn clear(&self) {
        self.rings().iter().for_each(Ring::clear);
    }

    /// Returns what each lane holds. Lanes may be written meanwhile.
    pub fn read(&self) -> Vec<LaneSpans> {
        self.rings()
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
        self.names().get(name.0 as usize).cloned()
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
        chrome::write(out, &self.read(), &self.names(), self.lanes())
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("enabled", &self.is_enabled())
            .field("lanes", &self.lanes())
            .field("spans_per_lane", &self.0.as_ref().map_or(0, |shared| shared.spans_per_lane))
            .finish()
    }
}
