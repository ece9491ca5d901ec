//! Some frames of a trace, ready to be drawn and counted.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::Kind;

use super::path::{Pieces, Step, awaited, critical_path};
use super::read::{Trace, TraceLane, TraceSpan};

/// One frame of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The number of its tick.
    pub number: u64,
    /// Index of the lane that ran it.
    pub lane: usize,
    /// Nanoseconds on the trace's clock.
    pub start_ns: u64,
    /// Nanoseconds on the trace's clock.
    pub end_ns: u64,
    /// Whether no lane dropped spans of it.
    pub is_complete: bool,
}

impl Frame {
    /// How long it took.
    pub fn ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// Which frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// Every complete one.
    All,
    /// So many complete ones at the end.
    Last(usize),
    /// The longest complete one, with so many on either side.
    Slowest(usize),
    /// Those with these numbers, complete or not.
    Numbers(Range<u64>),
}

/// Why frames cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// There are no frames.
    #[error("the trace has no frames (events of category `frame`)")]
    NoFrames,
    /// Each frame lacks spans that a lane dropped.
    #[error("the trace has no complete frame: {dropped} older spans were dropped")]
    NoneComplete {
        /// Spans that were dropped.
        dropped: u64,
    },
    /// No frame has one of these numbers.
    #[error("there is no frame from {from} up to {to}: the trace has {first} to {last}")]
    NoSuchFrames {
        /// First number asked for.
        from: u64,
        /// Last number asked for.
        to: u64,
        /// Lowest number there is.
        first: u64,
        /// Highest number there is.
        last: u64,
    },
}

/// A span as it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Index of its lane.
    pub lane: usize,
    /// Index in the chart's stages, if it is a system or range of one.
    pub stage: Option<usize>,
    /// Index of its frame in the chart, if it began in one.
    pub frame: Option<usize>,
    /// How long it is on the critical path, in nanoseconds.
    pub critical_ns: u64,
    /// What a wait of the frame's lane was for: the last work to end in it, as lane and index of the span there.
    pub awaited: Option<(usize, usize)>,
    /// The span itself, cut to the chart's time.
    pub span: TraceSpan,
}

/// Frames of a trace that follow each other, with all that was done in them.
#[derive(Debug, Clone)]
pub struct Chart<'t> {
    pub(super) trace: &'t Trace,
    pub(super) frames: &'t [Frame],
    pub(super) stages: Vec<&'t str>,
    /// By name: the how manieth system of its stage it is.
    turns: HashMap<u32, usize>,
    pub(super) bars: Vec<Bar>,
    /// By time, from the first frame's begin to the last one's end, without what lies between frames.
    pub(super) path: Vec<Step>,
}

impl Trace {
    /// The indices of the frames that are asked for; never none.
    ///
    /// # Errors
    /// [`SelectError`].
    pub fn select(&self, which: Select) -> Result<Range<usize>, SelectError> {
        let frames = &self.frames;
        if let Select::Numbers(numbers) = which {
            let indices = |frame: &Frame| numbers.contains(&frame.number);
            return match (frames.iter().position(indices), frames.iter().rposition(indices)) {
                (Some(first), Some(last)) => Ok(first..last + 1),
                _ => Err(self.no_such(numbers)),
            };
        }
        // Spans are dropped at the beginning, so complete frames are all after incomplete ones.
        let first = frames.iter().position(|frame| frame.is_complete).ok_or_else(|| self.none())?;
        let count = frames.len();
        Ok(match which {
            Select::Last(wanted) => count.saturating_sub(wanted.max(1)).max(first)..count,
            Select::Slowest(around) => {
                // The first of the longest.
                let longest = (first..count).rev().max_by_key(|index| frames[*index].ns()).unwrap_or(first);
                longest.saturating_sub(around).max(first)..longest.saturating_add(around + 1).min(count)
            }
            Select::All | Select::Numbers(_) => first..count,
        })
    }

    fn none(&self) -> SelectError {
        match self.lanes.iter().map(|lane| lane.dropped).sum() {
            _ if self.frames.is_empty() => SelectError::NoFrames,
            dropped => SelectError::NoneComplete { dropped },
        }
    }

    fn no_such(&self, numbers: Range<u64>) -> SelectError {
        let all = || self.frames.iter().map(|frame| frame.number);
        match (all().min(), all().max()) {
            (Some(first), Some(last)) => {
                SelectError::NoSuchFrames { from: numbers.start, to: numbers.end.saturating_sub(1), first, last }
            }
            _ => SelectError::NoFrames,
        }
    }

    /// The chart of some frames, by index.
    ///
    /// # Panics
    /// If `frames` is empty or reaches beyond the trace's frames.
    pub fn chart(&self, frames: Range<usize>) -> Chart<'_> {
        assert!(!frames.is_empty(), "a chart has at least one frame");
        let stages = self.stages();
        let times = StageTimes::new(self, &stages);
        let (turns, frames) = (self.turns(&times), &self.frames[frames]);
        let mut chart = Chart { trace: self, frames, stages, turns, bars: Vec::new(), path: Vec::new() };
        let pieces: Vec<Pieces> = self.lanes.iter().map(|lane| Pieces::new(&lane.spans)).collect();
        let is_wait = |lane: usize, span: usize| self.lanes[lane].spans[span].kind == Kind::Wait;
        // Where the critical path meets a span, by lane and index of the span.
        let mut critical = HashMap::<(usize, usize), u64>::new();
        for frame in chart.frames {
            let steps = critical_path(frame, &pieces, is_wait);
            for step in &steps {
                if let Some(span) = step.span {
                    *critical.entry((step.lane, span)).or_default() += step.ns();
                }
            }
            chart.path.extend(steps);
        }
        for (lane, TraceLane { spans, .. }) in self.lanes.iter().enumerate() {
            for (index, span) in chart.visible(spans) {
                let critical_ns = critical.get(&(lane, index)).copied().unwrap_or(0);
                let mut bar = chart.bar(lane, span, critical_ns, &times);
                let is_awaiting = |frame: usize| span.kind == Kind::Wait && chart.frames[frame].lane == lane;
                if bar.frame.is_some_and(is_awaiting) {
                    let awaited = awaited(&pieces, lane, span.start_ns..span.end_ns, is_wait);
                    bar.awaited = awaited.map(|(_, lane, span)| (lane, span));
                }
                chart.bars.push(bar);
            }
        }
        chart
    }

    /// The names of stages, in order of their first appearance in the trace, so that a stage looks the same in each chart.
    fn stages(&self) -> Vec<&str> {
        let mut first = HashMap::<u32, u64>::new();
        for span in self.lanes.iter().flat_map(|lane| &lane.spans).filter(|span| span.kind == Kind::Stage) {
            let known = first.entry(span.name).or_insert(span.start_ns);
            *known = (*known).min(span.start_ns);
        }
        let mut stages: Vec<(u64, u32)> = first.into_iter().map(|(name, start)| (start, name)).collect();
        stages.sort_unstable();
        stages.into_iter().map(|(_, name)| self.name(name)).collect()
    }

    /// The systems of each stage, numbered in order of their first appearance in the trace.
    fn turns(&self, times: &StageTimes) -> HashMap<u32, usize> {
        let mut stage_of = BTreeMap::<u32, Option<usize>>::new();
        for span in self.lanes.iter().flat_map(|lane| &lane.spans).filter(|span| span.kind.is_system()) {
            stage_of.entry(span.name).or_insert_with(|| times.at(span.start_ns));
        }
        let mut counts = HashMap::<Option<usize>, usize>::new();
        let numbered = stage_of.into_iter().map(|(name, stage)| {
            let count = counts.entry(stage).or_default();
            *count += 1;
            (name, *count - 1)
        });
        numbered.collect()
    }
}

impl<'t> Chart<'t> {
    /// The trace that it is of.
    pub fn trace(&self) -> &'t Trace {
        self.trace
    }

    /// The frames, at least one.
    pub fn frames(&self) -> &'t [Frame] {
        self.frames
    }

    /// The names of the trace's stages.
    pub fn stages(&self) -> &[&'t str] {
        &self.stages
    }

    /// What was done in this time, by lane and begin.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// The critical path of each frame, one after another.
    pub fn path(&self) -> &[Step] {
        &self.path
    }

    /// From the first frame's begin to the last one's end, in nanoseconds on the trace's clock.
    pub fn time_ns(&self) -> Range<u64> {
        let end = self.frames.iter().map(|frame| frame.end_ns).max().unwrap_or(0);
        self.frames.first().map_or(0, |frame| frame.start_ns)..end
    }

    /// The how manieth system of its stage has that name.
    pub(super) fn turn(&self, name: u32) -> usize {
        self.turns.get(&name).copied().unwrap_or(0)
    }

    /// What a wait was for, in words.
    pub(super) fn awaited(&self, bar: &Bar) -> Option<String> {
        let (lane, span) = bar.awaited?;
        let lane = &self.trace.lanes[lane];
        Some(format!("for {} on {}", self.trace.name(lane.spans[span].name), lane.name))
    }

    /// Spans that lie in the chart's time, with their indices.
    fn visible<'s>(&self, spans: &'s [TraceSpan]) -> impl Iterator<Item = (usize, &'s TraceSpan)> + use<'s> {
        let Range { start, end } = self.time_ns();
        let beyond = spans.partition_point(|span| span.start_ns < end);
        spans[..beyond].iter().enumerate().filter(move |(_, span)| span.end_ns > start || span.start_ns >= start)
    }

    fn bar(&self, lane: usize, span: &TraceSpan, critical_ns: u64, stages: &StageTimes) -> Bar {
        let Range { start, end } = self.time_ns();
        let stage = if span.kind.is_system() { stages.at(span.start_ns) } else { None };
        let frame = self.frame_at(span.start_ns);
        let span =
            TraceSpan { start_ns: span.start_ns.clamp(start, end), end_ns: span.end_ns.clamp(start, end), ..*span };
        Bar { lane, stage, frame, critical_ns, awaited: None, span }
    }

    /// Index of the frame that runs then.
    fn frame_at(&self, ns: u64) -> Option<usize> {
        let index = self.frames.partition_point(|frame| frame.start_ns <= ns).checked_sub(1)?;
        (ns < self.frames[index].end_ns).then_some(index)
    }
}

/// When which stage ran, by begin.
struct StageTimes(Vec<(u64, u64, usize)>);

impl StageTimes {
    fn new(trace: &Trace, stages: &[&str]) -> StageTimes {
        let spans = trace.lanes.iter().flat_map(|lane| &lane.spans).filter(|span| span.kind == Kind::Stage);
        let mut times: Vec<(u64, u64, usize)> = spans
            .filter_map(|span| {
                let name = trace.name(span.name);
                let stage = stages.iter().position(|stage| *stage == name)?;
                Some((span.start_ns, span.end_ns, stage))
            })
            .collect();
        times.sort_unstable();
        StageTimes(times)
    }

    /// Index of the stage that runs then.
    fn at(&self, ns: u64) -> Option<usize> {
        let index = self.0.partition_point(|(start, ..)| *start <= ns).checked_sub(1)?;
        let (_, end, stage) = self.0[index];
        (ns <= end).then_some(stage)
    }
}
