//! Runs one segment of a stage: systems in the plan's order, side by side where the plan allows.
//!
//! The frame's own thread walks the plan. It starts a system as soon as what it waits for is done: in place if that is
//! cheapest, else as ranges on the pool's board, and goes on with the next that is ready. When nothing more is ready it
//! helps with ranges until something is done. Workers only ever claim ranges.
//!
//! Where there are many small systems, each too small to be worth a task, it goes in waves: all that is ready at once goes
//! to the board as one group, in one dispatch, and every lane takes systems from it.

use std::{ops::Range, sync::atomic::Ordering::Relaxed};

use peristyle_jobs::Scope;
use peristyle_timeline::clock;
use peristyle_world::SharedWorld;

use crate::{
    cost::{Alarm, Books, Division, Grouping, group, ranges_max},
    error::ScheduleError,
    plan::Plan,
    rows::Cuts,
    slot::{BufferIds, Frame, Lanes, Opened, Own, Running, Slots},
    system::{Body, Where},
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

/// A body that runs once a frame is measured each time if it takes longer, and may have a worker to itself.
const LONG_NS: f64 = 30_000.0;
/// Ticks between two measurements of one that does not.
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
    /// Column bytes that were copied.
    pub(crate) bytes_copied: u64,
    /// Tasks that were put on the board.
    pub(crate) dispatches: u32,
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
    /// Of groups: what they earn.
    pub(crate) books: &'a mut Books,
    pub(crate) waves: &'a mut Waves,
    /// How small systems are grouped, if they are.
    pub(crate) grouping: Option<Grouping>,
    pub(crate) times: SegmentTimes,
    pub(crate) load: Load,
}

/// Systems that are ready and wait for the group that they will be in, and what was closed last. Kept for its storage.
#[derive(Debug, Default)]
pub(crate) struct Waves {
    small: Vec<u32>,
    away: Vec<u32>,
    closed: Vec<u32>,
}

impl Waves {
    /// Makes room for so many systems.
    pub(crate) fn reserve(&mut self, systems: usize) {
        for list in [&mut self.small, &mut self.away, &mut self.closed] {
            list.reserve(systems);
        }
    }

    fn held(&mut self, lanes: Lanes) -> &mut Vec<u32> {
        match lanes {
            Lanes::All => &mut self.small,
            Lanes::Workers => &mut self.away,
        }
    }
}

/// How a system that is ready goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It has nothing to do.
    Nothing,
    /// As its kind, its cost and its pin say.
    Run,
    /// It is small enough for a group.
    Small,
    /// It is for a worker.
    Away,
}

/// What is going on in a segment.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Estimated work of systems that may run anywhere.
    small_ns: f64,
    /// Systems that are for workers.
    away: u32,
    /// When the group was opened, and its estimated work; none if something else was open too.
    group: Option<(u64, f64)>,
    /// Estimated work of all systems started so far, in nanoseconds.
    started_ns: f64,
    /// Of those that are open.
    open_ns: f64,
    /// Bodies over rows that are running, and since when there is one.
    jobs: usize,
    jobs_since: u64,
}

impl Load {
    /// Takes in a system that is ready.
    fn count(&mut self, place: Where, estimate_ns: f64) {
        match place {
            Where::Auto => self.small_ns += estimate_ns,
            Where::Worker => self.away += 1,
            Where::InPlace | Where::Split => {}
        }
    }
}

impl Segment<'_, '_, '_> {
    /// Runs the segment's systems.
    pub(crate) fn run(mut self) -> Result<SegmentTimes, ScheduleError> {
        let first = self.range.start;
        let Own { small_ns, away, .. } = self.slots.closed(first).own;
        let grouping = group(self.books, small_ns, self.lanes, self.scope.spinning());
        // What is pinned to workers goes to them in one dispatch too.
        let grouping = grouping.or((away > 1 && self.lanes > 1).then_some(Grouping::NONE));
        match grouping {
            Some(grouping) => self.run_in_waves(grouping)?,
            None => self.run_in_turn()?,
        }
        let own = &mut self.slots.closed(first).own;
        (own.small_ns, own.away) = (self.load.small_ns, self.load.away);
        self.times.dispatches = self.slots.dispatches;
        Ok(self.times)
    }

    /// Starts one system after the other.
    fn run_in_turn(&mut self) -> Result<(), ScheduleError> {
        // All below were started.
        let mut low = self.range.start;
        loop {
            while !self.slots.any_open() {
                // What was started is done. So is what the next waits for, unless it was started out of turn before.
                if low == self.range.end {
                    return Ok(());
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
            self.close_done();
        }
    }

    /// Starts all that is ready at once, what is small as one group, then waits until something is done.
    fn run_in_waves(&mut self, grouping: Grouping) -> Result<(), ScheduleError> {
        let mut low = self.range.start;
        self.started.set_all_below(low);
        self.done.set_all_below(low);
        self.grouping = Some(grouping);
        loop {
            while low < self.range.end && self.started.get(low) {
                low += 1;
            }
            let (mut from, mut again) = (low, false);
            loop {
                let Some(position) = self.find_ready(from) else {
                    // What is done may have made others ready.
                    if !std::mem::take(&mut again) {
                        break;
                    }
                    from = low;
                    continue;
                };
                from = position + 1;
                self.started.set(position);
                let is_done = match self.ready(position)? {
                    Way::Nothing => true,
                    Way::Run => !self.dispatch(position),
                    Way::Small => {
                        self.waves.small.push(position as u32);
                        false
                    }
                    Way::Away => {
                        self.waves.away.push(position as u32);
                        false
                    }
                };
                if is_done {
                    self.done.set(position);
                    again = true;
                }
            }
            if self.open_groups(grouping) {
                continue;
            }
            if self.scope.wait_any().is_none() {
                return Ok(());
            }
            self.close_done();
        }
    }

    /// Opens what was held back: as groups, or one by one where a group would have one member or is open already. Gives
    /// whether some of it is done.
    fn open_groups(&mut self, grouping: Grouping) -> bool {
        let mut any_done = false;
        let alone = !self.slots.any_open() && self.waves.away.is_empty();
        for lanes in [Lanes::Workers, Lanes::All] {
            if self.waves.held(lanes).is_empty() {
                continue;
            }
            let mut held = std::mem::take(self.waves.held(lanes));
            let (unit_ns, wake) = match lanes {
                Lanes::All => (grouping.unit_ns, grouping.wake),
                // Each is a unit, for its own worker.
                Lanes::Workers => (0.0, held.len().min(self.lanes - 1)),
            };
            let now = clock::now();
            let work_ns = held.iter().map(|position| self.begin(*position as usize, now)).sum();
            if held.len() > 1 && !self.slots.is_group_open(lanes) && self.slots.open_group(lanes, &held, unit_ns, wake)
            {
                self.load.open_ns += work_ns;
                if lanes == Lanes::All {
                    self.load.group = alone.then_some((now, work_ns));
                    self.alarm.record(Division::Split { range_rows: 0, wake }, work_ns);
                }
            } else {
                for position in held.iter().map(|position| *position as usize) {
                    if !self.go(position) {
                        self.done.set(position);
                        any_done = true;
                    }
                }
            }
            held.clear();
            *self.waves.held(lanes) = held;
        }
        any_done
    }

    /// Takes in whatever is done.
    fn close_done(&mut self) {
        let mut closed = std::mem::take(&mut self.waves.closed);
        while let Some(opened) = self.slots.close_done(&mut closed) {
            for position in closed.drain(..) {
                self.finish(position as usize);
            }
            if opened == Opened::Group(Lanes::All)
                && let Some((began, work_ns)) = self.load.group.take()
            {
                self.books.record(work_ns - clock::now().saturating_sub(began) as f64 * self.ns_per_tick);
            }
        }
        self.waves.closed = closed;
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
        // The shortest way for what is the shortest work.
        if let Body::Once(_) = running.body
            && (self.lanes < 2 || running.own.place != Where::Worker)
        {
            if self.lanes > 1 {
                Self::ready_once(running, frame, &mut self.load);
                self.load.started_ns += running.own.estimate_ns;
            }
            Self::run_in_place(self.scope, running, &mut self.times);
            if self.lanes > 1 {
                Self::learn_once(running, self.ns_per_tick);
            }
            return Ok(false);
        }
        Ok(self.ready_prepared(position)? != Way::Nothing && self.dispatch(position))
    }

    /// Readies a system for its run, and says how it goes on.
    fn ready(&mut self, position: usize) -> Result<Way, ScheduleError> {
        let frame = self.frame;
        let running = self.slots.closed(position);
        if !running.own.conditions.hold(frame) {
            return Ok(Way::Nothing);
        }
        running.prepare(frame);
        self.ready_prepared(position)
    }

    fn ready_prepared(&mut self, position: usize) -> Result<Way, ScheduleError> {
        let running = self.slots.closed(position);
        if let Body::Once(_) = running.body {
            Self::ready_once(running, self.frame, &mut self.load);
        } else if !self.ready_rows(position)? {
            return Ok(Way::Nothing);
        }
        let Some(grouping) = self.grouping else { return Ok(Way::Run) };
        let own = &self.slots.closed(position).own;
        let is_split = matches!(own.division, Division::Split { .. });
        let is_small = own.estimate_ns <= grouping.unit_ns || !(is_split || own.estimate_ns > LONG_NS);
        Ok(match own.place {
            Where::Worker => Way::Away,
            Where::Auto if is_small && own.estimate_ns > 0.0 && grouping != Grouping::NONE => Way::Small,
            _ => Way::Run,
        })
    }

    /// Readies a body that runs once a frame, where there are other lanes.
    #[inline]
    fn ready_once(running: &mut Running, frame: &Frame<'_>, load: &mut Load) {
        let tick = frame.tick.number;
        let estimate_ns = running.own.cost.in_place_ns(1);
        let is_long = estimate_ns > LONG_NS;
        running.run.measured = is_long || tick <= MEASURE_GAP || tick.is_multiple_of(MEASURE_GAP);
        running.own.estimate_ns = estimate_ns;
        load.count(running.own.place, estimate_ns);
    }

    /// Readies a body over rows; false if there are none.
    fn ready_rows(&mut self, position: usize) -> Result<bool, ScheduleError> {
        let frame = self.frame;
        let running = self.slots.closed(position);
        // Room for the finest cut there can be, so that no later run allocates, whatever it costs and how it is cut.
        running.ensure_buffers(ranges_max(self.lanes), self.buffer_ids)?;
        running.ensure_parts(self.scope.lanes());
        let Body::Rows(body) = &mut running.body else { return Ok(false) };
        body.query_mut().refresh(frame.world);
        let rows = running.ranges.collect(body.query().chunks(frame.world));
        if rows == 0 {
            return Ok(false);
        }
        running.ranges.reserve(ranges_max(self.lanes));
        body.begin(frame, running.ranges.chunks(), self.scope.lanes())?;
        let (shared, sequence) = (SharedWorld::new(frame.world), self.sequence + (position - self.range.start) as u64);
        for chunk in running.ranges.chunks() {
            body.for_each_written(&mut |component| shared.set_version(*chunk, component, sequence));
        }
        // What sets despawn bits has something to merge.
        self.times.recorded |= running.own.despawns;
        let (lanes, awake) = (self.lanes, self.scope.spinning());
        let (can_split, call_ns) = (body.cuts() == Cuts::Ranges, body.call_ns());
        let own = &mut running.own;
        own.estimate_ns = own.cost.in_place_ns(rows);
        own.division = match own.place {
            Where::Auto if can_split => own.cost.divide(rows, lanes, awake, call_ns),
            Where::Split if can_split => own.cost.divide_always(rows, lanes, call_ns),
            _ => Division::InPlace,
        };
        if own.place == Where::Auto {
            self.alarm.record(own.division, own.estimate_ns);
        }
        self.load.count(own.place, own.estimate_ns);
        self.times.rows += rows as u64;
        Ok(true)
    }

    /// Runs a system that is ready, or opens it; false if it is done.
    fn dispatch(&mut self, position: usize) -> bool {
        let running = self.slots.closed(position);
        let now = if let Body::Once(_) = running.body { 0 } else { clock::now() };
        self.begin(position, now);
        self.go(position)
    }

    /// Goes on with a system that [began](Self::begin): opens it, or runs it; false if it is done.
    fn go(&mut self, position: usize) -> bool {
        let own = &self.slots.closed(position).own;
        let (estimate_ns, began) = (own.estimate_ns, own.began);
        if self.lanes > 1 && self.open(position) {
            self.load.open_ns += estimate_ns;
            return true;
        }
        let running = self.slots.closed(position);
        if let Body::Once(_) = running.body {
            Self::run_in_place(self.scope, running, &mut self.times);
            Self::learn_once(running, self.ns_per_tick);
            return false;
        }
        running.ranges.join();
        Self::run_in_place(self.scope, running, &mut self.times);
        let now = clock::now();
        let (rows, ns) = (running.ranges.rows(), now.saturating_sub(began) as f64 * self.ns_per_tick);
        running.own.cost.record(Division::InPlace, rows, ns);
        self.times.bytes_copied += running.take_copied();
        self.end_job(now);
        false
    }

    /// Opens a system, where that is its place or seems worth it; false if it is to run in place.
    fn open(&mut self, position: usize) -> bool {
        let running = self.slots.closed(position);
        match (running.own.place, running.own.division) {
            (Where::InPlace, _) => false,
            (Where::Worker, _) => {
                while !self.slots.open_unit(position, Lanes::Workers, 1) {
                    // The board is full.
                    self.scope.wait_any();
                    self.close_done();
                }
                true
            }
            (_, Division::Split { range_rows, wake }) => {
                running.ranges.cut(range_rows);
                let ranges = running.ranges.len();
                ranges > 1 && self.slots.open(position, ranges, wake)
            }
            (Where::Split, _) => false,
            (Where::Auto, _) => self.is_worth_a_worker(position) && self.slots.open_unit(position, Lanes::All, 1),
        }
    }

    /// Whether a system that is one unit of work, and too large for a group, is worth a worker: it is if this thread has
    /// something else to do meanwhile.
    fn is_worth_a_worker(&mut self, position: usize) -> bool {
        let Some(grouping) = self.grouping else { return false };
        let running = self.slots.closed(position);
        let is_unit = match &running.body {
            Body::Rows(body) => body.cuts() != Cuts::Ranges,
            _ => true,
        };
        let is_large = running.own.estimate_ns > grouping.unit_ns.max(LONG_NS);
        is_unit && is_large && (!self.waves.small.is_empty() || self.find_ready(self.range.start).is_some())
    }

    #[inline]
    fn learn_once(running: &mut Running, ns_per_tick: f64) {
        if running.run.measured {
            // Relaxed: the run is over, and whatever told so ordered it.
            let ticks = running.run.unit_ticks.load(Relaxed);
            running.own.cost.record(Division::InPlace, 1, ticks as f64 * ns_per_tick);
        }
    }

    /// Runs a closed slot's only range.
    #[inline]
    fn run_in_place(scope: &Scope<'_, '_>, running: &mut Running, times: &mut SegmentTimes) {
        // SAFETY:
        // - `ready` prepared the run with the frame that the segment borrows.
        // - The slot is closed, for it is borrowed exclusively, so nobody else runs it.
        // - Whoever conflicts is done, or has not been started.
        scope.with_lane(|lane| unsafe { running.run(0, lane) });
        times.recorded |= running.take_recorded();
    }

    /// Takes in that a system that is ready starts at `now`; gives its estimated work.
    #[inline]
    fn begin(&mut self, position: usize, now: u64) -> f64 {
        let running = self.slots.closed(position);
        let estimate_ns = running.own.estimate_ns;
        (running.own.began, running.own.work_before_ns) = (now, self.load.started_ns - self.load.open_ns);
        self.load.started_ns += estimate_ns;
        if let Body::Rows(_) = running.body {
            self.begin_job(now);
        }
        estimate_ns
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
        self.times.bytes_copied += running.take_copied();
        let now = clock::now();
        let rows = running.ranges.rows();
        if running.run.is_unit {
            // Relaxed: the wait for the task ordered it.
            let ns = running.run.unit_ticks.load(Relaxed) as f64 * self.ns_per_tick;
            running.own.cost.record(Division::InPlace, rows, ns);
        } else {
            let ns = now.saturating_sub(running.own.began) as f64 * self.ns_per_tick;
            // Others may have run meanwhile; a system's share of the time is its share of all work of that time.
            let work_ns = self.load.started_ns - running.own.work_before_ns;
            let share = if work_ns > running.own.estimate_ns { running.own.estimate_ns / work_ns } else { 1.0 };
            running.own.cost.record(running.own.division, rows, ns * share);
        }
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
