//! Runs one segment of a stage: systems in the plan's order, side by side where the plan allows.
//!
//! The frame's own thread walks the plan. It starts a system as soon as what it waits for is done: in place if that is
//! cheapest, else as ranges on the pool's board, and goes on with the next that is ready. When nothing more is ready it
//! helps with ranges until something is done. Workers only ever claim ranges.

use std::{ops::Range, sync::atomic::Ordering::Relaxed};

use peristyle_jobs::Scope;
use peristyle_timeline::clock;
use peristyle_world::SharedWorld;

use crate::{
    cost::{Alarm, Division, ranges_max},
    error::ScheduleError,
    plan::Plan,
    slot::{BufferIds, Frame, Running, Slots},
    system::Body,
};

/// How systems are run. The results are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// On all lanes.
    #[default]
    Parallel,
    /// One after the other, on the frame's own thread.
    Serial,
}

/// A body that runs once a frame goes to another lane above this cost, if there is something else to do.
const AWAY_NS_MIN: f64 = 30_000.0;
/// Ticks between two measurements of a body that runs once a frame.
const MEASURE_GAP: u64 = 16;

/// What a segment took.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SegmentTimes {
    /// Wall time in which at least one body over rows was running, in ticks of the clock.
    pub(crate) jobs_ticks: u64,
    /// Rows that bodies over rows worked on.
    pub(crate) rows: u64,
    /// Whether anything was recorded that is to be merged.
    pub(crate) recorded: bool,
}

/// Systems by position in the plan, as bits.
#[derive(Debug, Default)]
pub(crate) struct Positions(Vec<u64>);

impl Positions {
    /// None of so many.
    pub(crate) fn none(count: usize) -> Positions {
        Positions(vec![0; count.div_ceil(64)])
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    fn set(&mut self, position: usize) {
        self.0[position / 64] |= 1 << (position % 64);
    }

    fn set_all_below(&mut self, position: usize) {
        self.0[..position / 64].fill(u64::MAX);
        if !position.is_multiple_of(64) {
            self.0[position / 64] |= (1 << (position % 64)) - 1;
        }
    }

    fn get(&self, position: usize) -> bool {
        self.0[position / 64] >> (position % 64) & 1 != 0
    }

    fn contains(&self, needed: &[u64]) -> bool {
        needed.iter().zip(&self.0).all(|(needed, have)| needed & !have == 0)
    }
}

/// What a segment is run with.
pub(crate) struct Segment<'a, 'scope, 'env> {
    pub(crate) plan: &'a Plan,
    pub(crate) range: Range<usize>,
    pub(crate) frame: &'a Frame<'a>,
    /// Lanes that may be used.
    pub(crate) lanes: usize,
    pub(crate) scope: &'scope Scope<'scope, 'env>,
    pub(crate) slots: Slots<'scope, 'env>,
    /// Number of the first system's run; the others' follow.
    pub(crate) sequence: u64,
    pub(crate) buffer_ids: &'a mut BufferIds,
    pub(crate) ns_per_tick: f64,
    pub(crate) started: &'a mut Positions,
    /// From here on nothing was started out of turn.
    pub(crate) turn: usize,
    pub(crate) done: &'a mut Positions,
    pub(crate) alarm: &'a mut Alarm,
    pub(crate) times: SegmentTimes,
    pub(crate) load: Load,
}

/// What is going on in a segment.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Estimated work of all systems started so far, in nanoseconds.
    started_ns: f64,
    /// Of those that are open.
    open_ns: f64,
    /// Bodies over rows that are running, and since when there is one.
    jobs: usize,
    jobs_since: u64,
}

impl Segment<'_, '_, '_> {
    /// Runs the segment's systems.
    pub(crate) fn run(mut self) -> Result<SegmentTimes, ScheduleError> {
        // All below were started.
        let mut low = self.range.start;
        loop {
            while !self.slots.any_open() {
                // What was started is done. So is what the next waits for, unless it was started out of turn before.
                if low == self.range.end {
                    return Ok(self.times);
                }
                if (low >= self.turn || !self.started.get(low)) && self.start(low)? {
                    self.started.set_all_below(low + 1);
                    self.done.set_all_below(low);
                }
                low += 1;
            }
            match self.find_ready(low) {
                Some(position) => {
                    self.started.set(position);
                    self.turn = self.turn.max(position + 1);
                    if !self.start(position)? {
                        self.done.set(position);
                    }
                }
                None => {
                    self.scope.wait_any();
                }
            }
            while let Some(position) = self.slots.close_done() {
                self.finish(position);
            }
        }
    }

    /// The first system from `low` on that can be started.
    fn find_ready(&self, low: usize) -> Option<usize> {
        (low..self.range.end).find(|position| {
            !self.started.get(*position) && self.done.contains(&self.plan.systems()[*position].dependencies)
        })
    }

    /// Starts a system; false if it is done at once.
    #[inline(always)]
    fn start(&mut self, position: usize) -> Result<bool, ScheduleError> {
        let frame = self.frame;
        let running = self.slots.closed(position);
        if !running.own.conditions.hold(frame) {
            return Ok(false);
        }
        running.prepare(frame);
        if let Body::Rows(_) = running.body {
            return self.start_rows(position);
        }
        if self.lanes > 1 {
            return Ok(self.start_once(position));
        }
        Self::run_in_place(self.scope, running, &mut self.times);
        Ok(false)
    }

    /// Starts a body that runs once a frame, where there are other lanes.
    fn start_once(&mut self, position: usize) -> bool {
        let tick = self.frame.tick.number;
        let running = self.slots.closed(position);
        let estimate_ns = running.own.cost.in_place_ns(1);
        let is_long = estimate_ns > AWAY_NS_MIN;
        running.run.measured = is_long || tick <= MEASURE_GAP || tick.is_multiple_of(MEASURE_GAP);
        running.own.estimate_ns = estimate_ns;
        self.load.started_ns += estimate_ns;
        if is_long && self.is_any_ready_after(position) && self.slots.open(position, 1, 1) {
            self.load.open_ns += estimate_ns;
            return true;
        }
        let running = self.slots.closed(position);
        Self::run_in_place(self.scope, running, &mut self.times);
        Self::learn_once(running, self.ns_per_tick);
        false
    }

    /// Whether there is something to start beside a system that was just started.
    fn is_any_ready_after(&mut self, position: usize) -> bool {
        if !self.slots.any_open() {
            self.started.set_all_below(position + 1);
            self.done.set_all_below(position);
        }
        self.find_ready(position + 1).is_some()
    }

    #[inline]
    fn learn_once(running: &mut Running, ns_per_tick: f64) {
        if running.run.measured {
            // Relaxed: the run is over, and whatever told so ordered it.
            let ticks = running.run.once_ticks.load(Relaxed);
            running.own.cost.record(Division::InPlace, 1, ticks as f64 * ns_per_tick);
        }
    }

    fn start_rows(&mut self, position: usize) -> Result<bool, ScheduleError> {
        let Frame { world, tick } = *self.frame;
        let running = self.slots.closed(position);
        // Room for the finest cut there can be, so that no later run allocates, whatever it costs and how it is cut.
        running.ensure_buffers(ranges_max(self.lanes), self.buffer_ids)?;
        running.ensure_parts(self.scope.lanes());
        let Body::Rows(body) = &mut running.body else { return Ok(false) };
        body.query_mut().refresh(world);
        let rows = running.ranges.collect(body.query().chunks(world));
        if rows == 0 {
            return Ok(false);
        }
        running.ranges.reserve(ranges_max(self.lanes));
        body.begin(world, tick)?;
        let (shared, sequence) = (SharedWorld::new(world), self.sequence + (position - self.range.start) as u64);
        for chunk in running.ranges.chunks() {
            body.for_each_written(&mut |component| shared.set_version(*chunk, component, sequence));
        }
        // What sets despawn bits has something to merge.
        self.times.recorded |= running.own.despawns;
        let (lanes, awake) = (self.lanes, self.scope.spinning());
        running.own.estimate_ns = running.own.cost.in_place_ns(rows);
        running.own.division = running.own.cost.divide(rows, lanes, awake, body.call_ns());
        let estimate_ns = running.own.estimate_ns;
        self.alarm.record(running.own.division, estimate_ns);
        let opens = match running.own.division {
            Division::InPlace | Division::Asleep => None,
            Division::Split { range_rows, wake } => {
                running.ranges.cut(range_rows);
                Some((running.ranges.len(), wake)).filter(|(ranges, _)| *ranges > 1)
            }
        };
        let began = clock::now();
        (running.own.began, running.own.work_before_ns) = (began, self.load.started_ns - self.load.open_ns);
        self.times.rows += rows as u64;
        self.load.started_ns += estimate_ns;
        self.begin_job(began);
        if opens.is_some_and(|(ranges, wake)| self.slots.open(position, ranges, wake)) {
            self.load.open_ns += estimate_ns;
            return Ok(true);
        }
        let running = self.slots.closed(position);
        running.ranges.join();
        Self::run_in_place(self.scope, running, &mut self.times);
        let now = clock::now();
        running.own.cost.record(Division::InPlace, rows, now.saturating_sub(began) as f64 * self.ns_per_tick);
        self.end_job(now);
        Ok(false)
    }

    /// Runs a closed slot's only range.
    #[inline]
    fn run_in_place(scope: &Scope<'_, '_>, running: &mut Running, times: &mut SegmentTimes) {
        // SAFETY:
        // - `start` prepared the run with the frame that the segment borrows.
        // - The slot is closed, for it is borrowed exclusively, so nobody else runs it.
        // - Whoever conflicts is done, or has not been started.
        scope.with_lane(|lane| unsafe { running.run(0, lane) });
        times.recorded |= running.take_recorded();
    }

    /// Takes in that an opened system is done.
    fn finish(&mut self, position: usize) {
        self.done.set(position);
        let running = self.slots.closed(position);
        self.load.open_ns -= running.own.estimate_ns;
        self.times.recorded |= running.take_recorded();
        if let Body::Once(_) = running.body {
            return Self::learn_once(running, self.ns_per_tick);
        }
        let now = clock::now();
        let ns = now.saturating_sub(running.own.began) as f64 * self.ns_per_tick;
        // Others may have run meanwhile; a system's share of the time is its share of all work of that time.
        let work_ns = self.load.started_ns - running.own.work_before_ns;
        let share = if work_ns > running.own.estimate_ns { running.own.estimate_ns / work_ns } else { 1.0 };
        running.own.cost.record(running.own.division, running.ranges.rows(), ns * share);
        self.end_job(now);
    }

    fn begin_job(&mut self, now: u64) {
        if self.load.jobs == 0 {
            self.load.jobs_since = now;
        }
        self.load.jobs += 1;
    }

    fn end_job(&mut self, now: u64) {
        self.load.jobs -= 1;
        if self.load.jobs == 0 {
            self.times.jobs_ticks += now.saturating_sub(self.load.jobs_since);
        }
    }
}
