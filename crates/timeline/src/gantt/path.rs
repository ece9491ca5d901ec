//! The critical path of a frame; what it is says the [parent module](super).

use std::cmp::Reverse;
use std::ops::Range;

use super::chart::Frame;
use super::read::TraceSpan;

/// What a step of a critical path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A span of work.
    Work,
    /// Between the end of what was waited for and the end of the wait: waking up. Also a wait that nothing explains.
    Wait,
    /// Between spans: the scheduler's own work.
    Scheduling,
}

/// A step of a critical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub what: What,
    /// Index of the lane.
    pub lane: usize,
    /// Index of the span on the lane, unless it is scheduling.
    pub span: Option<usize>,
    /// Nanoseconds on the trace's clock.
    pub start_ns: u64,
    /// Nanoseconds on the trace's clock.
    pub end_ns: u64,
}

impl Step {
    /// How long it is.
    pub fn ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// A part of a lane's time, and the innermost span there. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    start: u64,
    end: u64,
    span: usize,
}

/// A lane's time, cut into pieces that do not overlap, in order. Frames and stages are no pieces.
#[derive(Debug)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    /// Cuts the time of spans that are sorted by begin, the outer first. Where two overlap the later begun counts.
    pub(super) fn new(spans: &[TraceSpan]) -> Pieces {
        let mut cut = Cut { pieces: Vec::new(), open: Vec::new(), at: 0 };
        for (index, span) in spans.iter().enumerate().filter(|(_, span)| !span.kind.is_enclosing()) {
            cut.advance(span.start_ns);
            cut.open.push((index, span.end_ns));
        }
        cut.advance(u64::MAX);
        Pieces(cut.pieces)
    }

    /// The last piece that begins before `ns`.
    fn before(&self, ns: u64) -> Option<Piece> {
        self.0.partition_point(|piece| piece.start < ns).checked_sub(1).map(|index| self.0[index])
    }

    /// The piece that time `ns` belongs to, its end included.
    fn at(&self, ns: u64) -> Option<Piece> {
        self.before(ns).filter(|piece| ns <= piece.end)
    }

    /// The last piece that ends after `after` and not after `until`, and is not left out.
    fn last_ended(&self, after: u64, until: u64, keep: impl Fn(usize) -> bool) -> Option<Piece> {
        let ended = self.0.partition_point(|piece| piece.end <= until);
        let pieces = self.0[..ended].iter().rev().take_while(|piece| piece.end > after);
        pieces.copied().find(|piece| keep(piece.span))
    }
}

struct Cut {
    pieces: Vec<Piece>,
    /// Spans that have begun, by index, and their ends.
    open: Vec<(usize, u64)>,
    at: u64,
}

impl Cut {
    fn advance(&mut self, to: u64) {
        while let Some((span, end)) = self.open.last().copied() {
            let until = end.min(to);
            if until > self.at {
                self.pieces.push(Piece { start: self.at, end: until, span });
                self.at = until;
            }
            if end > to {
                break;
            }
            self.open.pop();
        }
        self.at = self.at.max(to);
    }
}

/// The critical path of a frame, by time: its steps follow each other from the frame's begin to its end.
pub(super) fn critical_path(frame: &Frame, lanes: &[Pieces], is_wait: impl Fn(usize, usize) -> bool) -> Vec<Step> {
    let mut walk = Walk { frame, lanes, is_wait, lane: frame.lane, at: frame.end_ns, steps: Vec::new() };
    while walk.at > frame.start_ns {
        walk.back();
    }
    walk.steps.reverse();
    walk.steps
}

/// What a lane waited for in some time: the last work on another lane to end in it, as its end, lane and span.
pub(super) fn awaited(
    lanes: &[Pieces],
    lane: usize,
    time: Range<u64>,
    is_wait: impl Fn(usize, usize) -> bool,
) -> Option<(u64, usize, usize)> {
    let others = (0..lanes.len()).filter(|other| *other != lane);
    let ended = others.filter_map(|lane| {
        let work = lanes[lane].last_ended(time.start, time.end, |span| !is_wait(lane, span))?;
        Some((work.end, Reverse(lane), work.span))
    });
    ended.max().map(|(end, Reverse(lane), span)| (end, lane, span))
}

struct Walk<'a, W> {
    frame: &'a Frame,
    lanes: &'a [Pieces],
    is_wait: W,
    lane: usize,
    at: u64,
    steps: Vec<Step>,
}

impl<W: Fn(usize, usize) -> bool> Walk<'_, W> {
    /// Goes back by one piece, or to another lane.
    fn back(&mut self) {
        let before = self.lanes[self.lane].before(self.at);
        match before.filter(|piece| self.at <= piece.end) {
            None => self.step(What::Scheduling, None, before.map_or(0, |piece| piece.end)),
            Some(piece) if !(self.is_wait)(self.lane, piece.span) => {
                self.step(What::Work, Some(piece.span), piece.start);
            }
            Some(wait) if self.lane == self.frame.lane => self.back_to_awaited(wait),
            Some(wait) => self.back_to_opener(wait),
        }
    }

    /// From a wait of the frame's lane to the end of what it waited for.
    fn back_to_awaited(&mut self, wait: Piece) {
        match awaited(self.lanes, self.lane, wait.start..self.at, &self.is_wait) {
            Some((end, lane, _)) => {
                self.step(What::Wait, Some(wait.span), end);
                self.lane = lane;
            }
            None => self.step(What::Wait, Some(wait.span), wait.start),
        }
    }

    /// From a worker's wait to where the frame's lane opened the work that ended the wait.
    fn back_to_opener(&mut self, wait: Piece) {
        // The lane opens tasks between pieces only, so what it was in had not begun.
        let opened = self.lanes[self.frame.lane].at(self.at).map_or(self.at, |piece| piece.start);
        if opened < wait.start {
            // Opened before the worker began to wait: that cannot be told from the trace.
            return self.step(What::Wait, Some(wait.span), wait.start);
        }
        self.step(What::Wait, Some(wait.span), opened);
        self.lane = self.frame.lane;
    }

    /// Adds the step from `start`, or the frame's begin, to where the walk is, and goes there.
    fn step(&mut self, what: What, span: Option<usize>, start: u64) {
        let start_ns = start.clamp(self.frame.start_ns, self.at);
        if start_ns < self.at {
            self.steps.push(Step { what, lane: self.lane, span, start_ns, end_ns: self.at });
            self.at = start_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn span(start_ns: u64, end_ns: u64) -> TraceSpan {
        TraceSpan { kind: Kind::Range, name: 0, start_ns, end_ns, rows: 0, index: 0 }
    }

    fn pieces(spans: &[TraceSpan]) -> Vec<(u64, u64, usize)> {
        Pieces::new(spans).0.into_iter().map(|Piece { start, end, span }| (start, end, span)).collect()
    }

    #[test]
    fn the_innermost_span_counts() {
        assert_eq!(
            pieces(&[span(10, 50), span(20, 30), span(40, 50)]),
            [(10, 20, 0), (20, 30, 1), (30, 40, 0), (40, 50, 2)]
        );
        assert_eq!(pieces(&[span(0, 5), span(7, 9)]), [(0, 5, 0), (7, 9, 1)]);
        // What overlaps without being nested is cut where the later begins, and empty spans are nowhere.
        assert_eq!(pieces(&[span(0, 5), span(3, 8), span(3, 3)]), [(0, 3, 0), (3, 8, 1)]);
        assert_eq!(pieces(&[]), []);
    }
}
