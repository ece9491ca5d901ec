//! Slots: a system, what its runs need, and who may touch that when.
//!
//! A slot is *closed*, and the frame's thread's alone, until it is *opened* on the pool's board, and again once its task
//! was waited for. While it is open every lane has it by `&`.
//!
//! # Rules
//! - [`Slots`] knows which slots are open. It alone gives `&mut` to what is in a slot, and only while that is closed.
//! - A [`Group`] is opened and closed like a slot, and its members with it.
//! - A task on the board is one unit of work a lane; each takes ranges until none is left. Each range runs once, on one
//!   lane. What a range has for itself, its command buffer and for a body that runs once a frame the body, is reached by
//!   that run alone.

use std::{
    cell::UnsafeCell,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use peristyle_jobs::{JobError, Lane, Overrun, Scope, TASKS_MAX, Task, Work};
use peristyle_timeline::{Kind, NameId, Timeline, clock};
use peristyle_world::{CommandBuffer, SharedWorld, World};

use crate::{
    check::Checker,
    context::{Context, Recorder, SystemKey, Tick},
    cost::{Cost, Division},
    error::ScheduleError,
    ranges::Ranges,
    rows::{AllCall, Cuts, RangeCall, RowBody},
    system::{Body, Conditions, Declared, Where},
};

/// Failures of one system that are kept for each run; more are counted.
const FAILURES_KEPT: usize = 8;

/// A system and what its runs need.
pub(crate) struct Slot {
    pub(crate) declared: Box<Declared>,
    cell: UnsafeCell<Running>,
}

// SAFETY: `declared` is `Sync`. `cell` is reached by the module's rules: exclusively, or by `&Running` from many lanes, and
// what these use of it is `Sync` but for the parts in further cells, which one lane at a time uses, and which are `Send`.
unsafe impl Sync for Slot {}

const _: () = {
    const fn is_send<T: Send + ?Sized>() {}
    const fn is_sync<T: Sync + ?Sized>() {}
    is_send::<Slot>();
    is_sync::<Declared>();
    is_sync::<(Box<dyn RowBody>, Ranges, Mutex<Failures>, AtomicU64, Timeline, Frame<'static>)>();
};

/// Failed calls of one run.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) count: u64,
    /// Rows and errors of the first.
    pub(crate) kept: Vec<(usize, JobError)>,
}

/// What all systems of a segment are given. On lines of its own, for it lies on the stack of a thread that works on.
#[repr(align(64))]
pub(crate) struct Frame<'a> {
    pub(crate) world: &'a World,
    pub(crate) tick: Tick,
    /// Who checks jobs, if they are checked.
    pub(crate) checker: Option<&'a Checker>,
}

/// The frame of a run: its address, for a slot has no lifetime.
struct FramePtr(*const Frame<'static>);

// SAFETY: it is an address; who makes a reference of it answers for that.
unsafe impl Send for FramePtr {}

/// What runs. Lanes fetch each cache line that changed since they last saw it, so what changes has its own.
#[repr(C, align(64))]
pub(crate) struct Running {
    pub(crate) body: Body,
    pub(crate) ranges: Ranges,
    /// One for each range of the last runs, at least one.
    commands: Vec<UnsafeCell<CommandBuffer>>,
    pub(crate) failures: Mutex<Failures>,
    timeline: Timeline,
    name: NameId,
    key: SystemKey,
    parts: Vec<Part>,
    pub(crate) run: Run,
    pub(crate) own: Own,
}

/// One lane's part of the ranges of a task: as many as any other's, in order of lanes.
///
/// So a lane meets the rows that it met in the last frame, which its core's cache may still have, and taking a range
/// touches no line of another lane. Only who is through with its part takes from others'.
#[derive(Default)]
#[repr(align(64))]
struct Part {
    /// `opening << 32 | taken`: for another opening than the last to take from here, nothing was taken yet. So nobody has
    /// to write it when a task is opened.
    word: AtomicU64,
}

impl Part {
    /// Takes one of `ranges` ranges.
    fn take(&self, opening: u32, ranges: u32) -> Option<u32> {
        // Relaxed, as the exchange: that each range is taken once is all that counts; the board orders what is in it.
        let mut word = self.word.load(Relaxed);
        loop {
            let taken = if (word >> 32) as u32 == opening { word as u32 } else { 0 };
            if taken >= ranges {
                return None;
            }
            let next = u64::from(opening) << 32 | u64::from(taken + 1);
            match self.word.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return Some(taken),
                Err(now) => word = now,
            }
        }
    }
}

/// What changes from run to run and lanes need.
#[repr(C, align(64))]
pub(crate) struct Run {
    frame: FramePtr,
    /// Number of the last task.
    opening: u32,
    /// Whether the task is one unit of work: all rows, or a body that runs once a frame.
    pub(crate) is_unit: bool,
    /// What the only unit took; for a body that runs once a frame, if that is `measured`.
    pub(crate) unit_ticks: AtomicU64,
    pub(crate) measured: bool,
    /// Whether there is something to merge: commands or failures.
    recorded: AtomicBool,
    /// Whether it ran since the last merge.
    pub(crate) ran: bool,
}

/// What only the frame's thread needs.
#[repr(align(64))]
pub(crate) struct Own {
    pub(crate) conditions: Conditions,
    /// Whether it sets despawn bits.
    pub(crate) despawns: bool,
    pub(crate) cost: Cost,
    pub(crate) division: Division,
    /// What this run was estimated to take in place, in nanoseconds.
    pub(crate) estimate_ns: f64,
    /// The clock at its start.
    pub(crate) began: u64,
    /// Estimated work of the segment until then, without what was still open, in nanoseconds.
    pub(crate) work_before_ns: f64,
    /// Where it is to run.
    pub(crate) place: Where,
    /// Of the first system of a segment: what all that may run anywhere took together in the last frame, in nanoseconds,
    /// and how many are for workers.
    pub(crate) small_ns: f64,
    pub(crate) away: u32,
}

impl Slot {
    /// A slot whose command buffer has that number.
    pub(crate) fn new(
        declared: Declared,
        conditions: Conditions,
        body: Body,
        key: SystemKey,
        timeline: &Timeline,
        buffer_ids: &mut BufferIds,
    ) -> Result<Slot, ScheduleError> {
        let mut running = Running {
            body,
            ranges: Ranges::default(),
            commands: Vec::new(),
            failures: Mutex::default(),
            timeline: timeline.clone(),
            name: timeline.name(&declared.name),
            key,
            parts: Vec::new(),
            run: Run {
                frame: FramePtr(std::ptr::null()),
                opening: 0,
                is_unit: false,
                unit_ticks: AtomicU64::new(0),
                measured: false,
                recorded: AtomicBool::new(false),
                ran: false,
            },
            own: Own {
                conditions,
                despawns: declared.access.despawns,
                cost: Cost::default(),
                division: Division::InPlace,
                estimate_ns: 0.0,
                began: 0,
                work_before_ns: 0.0,
                place: declared.place,
                small_ns: 0.0,
                away: 0,
            },
        };
        running.ensure_buffers(1, buffer_ids)?;
        Ok(Slot { declared: Box::new(declared), cell: UnsafeCell::new(running) })
    }

    /// What runs, while nothing runs.
    pub(crate) fn running(&mut self) -> &mut Running {
        self.cell.get_mut()
    }
}

/// Gives command buffers their numbers.
#[derive(Debug, Default)]
pub(crate) struct BufferIds(u32);

impl BufferIds {
    /// Provisional handles have 20 bits for it, and the last number is the world's own.
    const MAX: u32 = (1 << 20) - 1;

    fn next(&mut self) -> Result<u32, ScheduleError> {
        let id = self.0;
        if id >= BufferIds::MAX {
            return Err(ScheduleError::TooManyBuffers);
        }
        self.0 += 1;
        Ok(id)
    }
}

impl Running {
    /// Makes ready for a run.
    #[inline]
    pub(crate) fn prepare(&mut self, frame: &Frame<'_>) {
        self.run.frame = FramePtr(std::ptr::from_ref(frame).cast());
        self.run.ran = true;
    }

    /// Whether runs since the last call left something to merge.
    #[inline]
    pub(crate) fn take_recorded(&mut self) -> bool {
        std::mem::take(self.run.recorded.get_mut())
    }

    /// Column bytes that the last runs copied.
    pub(crate) fn take_copied(&mut self) -> u64 {
        match &mut self.body {
            Body::Rows(body) => body.take_copied(),
            _ => 0,
        }
    }

    /// Makes sure of a command buffer for each range.
    pub(crate) fn ensure_buffers(&mut self, ranges: usize, ids: &mut BufferIds) -> Result<(), ScheduleError> {
        while self.commands.len() < ranges {
            self.commands.push(UnsafeCell::new(CommandBuffer::new(ids.next()?)));
        }
        Ok(())
    }

    /// Makes sure of a part for each lane.
    #[inline]
    pub(crate) fn ensure_parts(&mut self, lanes: usize) {
        if self.parts.len() != lanes {
            self.parts.resize_with(lanes, Part::default);
        }
    }

    /// The command buffers, in order of ranges.
    pub(crate) fn buffers(&mut self) -> impl Iterator<Item = &mut CommandBuffer> {
        self.commands.iter_mut().map(UnsafeCell::get_mut)
    }

    /// Runs a system that has the world to itself; false if it is another kind.
    pub(crate) fn run_exclusive(&mut self, world: &mut World, tick: Tick) -> bool {
        let Body::Exclusive(call) = &mut self.body else { return false };
        if self.own.conditions.hold(&Frame { world, tick, checker: None }) {
            let stamp = self.timeline.begin();
            call(world, tick);
            self.timeline.end(0, Kind::System, self.name, stamp, 0, 0);
        }
        true
    }

    /// Takes the next range for a lane: of the lane's own part, or else of another's.
    fn take_range(&self, lane: usize) -> Option<usize> {
        let (ranges, parts) = (self.ranges.len(), self.parts.len());
        (0..parts).map(|offset| (lane + offset) % parts).find_map(|part| {
            let (start, end) = (part * ranges / parts, (part + 1) * ranges / parts);
            let taken = self.parts[part].take(self.run.opening, (end - start) as u32)?;
            Some(start + taken as usize)
        })
    }

    /// Runs one range.
    ///
    /// # Safety
    /// - [`Running::prepare`] was called for this run with a frame that lives, and whose world's structure stands still,
    ///   until this returns.
    /// - Nobody else runs this range now.
    /// - The plan keeps whoever conflicts with the system away.
    #[inline]
    pub(crate) unsafe fn run(&self, range: usize, lane: &mut Lane) {
        debug_assert!(!self.run.frame.0.is_null());
        // SAFETY: the first duty.
        let frame: &Frame<'_> = unsafe { &*self.run.frame.0 };
        // SAFETY: the second duty: buffer and range go together.
        let commands = unsafe { &mut *self.commands[range].get() };
        match &self.body {
            Body::Once(call) => {
                // SAFETY: such a body has one range, so the second duty makes this the only run of it.
                let call = unsafe { &mut *call.get() };
                let stamp = self.timeline.begin();
                let started = if self.run.measured { clock::now() } else { 0 };
                let mut context = Context { frame, commands: Recorder::new(commands), system: self.key };
                call(&mut context);
                if context.commands.is_used() {
                    self.set_recorded();
                }
                if self.run.measured {
                    // Relaxed: the frame's thread reads it when the task is done.
                    self.run.unit_ticks.store(clock::now().saturating_sub(started), Relaxed);
                }
                self.timeline.end(lane.index() as usize, Kind::System, self.name, stamp, 0, 0);
            }
            Body::Rows(body) => {
                // SAFETY: this function's duties.
                unsafe { self.run_rows(&**body, frame, commands, range, lane) };
            }
            Body::Exclusive(_) => unreachable!("a system with the world to itself is never opened"),
        }
    }

    /// Runs all there is in one unit, and takes its time.
    ///
    /// # Safety
    /// As [`Running::run`], for the only range.
    unsafe fn run_unit(&self, lane: &mut Lane) {
        let started = clock::now();
        // SAFETY: the caller's duties.
        unsafe { self.run(0, lane) };
        if let Body::Rows(_) = self.body {
            // Relaxed: the frame's thread reads it when the task is done.
            self.run.unit_ticks.store(clock::now().saturating_sub(started), Relaxed);
        }
    }

    /// Relaxed: the frame's thread looks when the run is over, which the wait for it orders.
    fn set_recorded(&self) {
        self.run.recorded.store(true, Relaxed);
    }

    /// # Safety
    /// As [`Running::run`].
    unsafe fn run_rows(
        &self,
        body: &dyn RowBody,
        frame: &Frame<'_>,
        commands: &mut CommandBuffer,
        range: usize,
        lane: &mut Lane,
    ) {
        let Frame { world, tick, checker } = *frame;
        let world = SharedWorld::new(world);
        let mut stamp = self.timeline.begin();
        if body.cuts() == Cuts::Never {
            let call = AllCall { world, tick, items: self.ranges.items(), commands: &mut *commands, checker };
            // SAFETY: the caller's duties; such a body has one range, of whole chunks.
            let (result, overrun) = lane.watched(|lane| unsafe { body.run_all(call, lane) });
            self.settled(lane, result, overrun, self.ranges.rows());
            if !commands.is_empty() {
                self.set_recorded();
            }
            let rows = self.ranges.rows() as u32;
            self.timeline.end(lane.index() as usize, Kind::Range, self.name, stamp, rows, range as u32);
            return;
        }
        for item in self.ranges.of(range) {
            let call = RangeCall {
                world,
                tick,
                chunk: item.chunk,
                rows: item.range(),
                commands: &mut *commands,
                system: self.key,
                checker,
            };
            // SAFETY: the plan keeps whoever conflicts away by the caller's third duty, and items do not overlap.
            let (result, overrun) = lane.watched(|lane| unsafe { body.run(call, lane) });
            self.settled(lane, result, overrun, item.rows as usize);
            stamp = self.timeline.next(lane.index() as usize, Kind::Range, self.name, stamp, item.rows, range as u32);
        }
        if !commands.is_empty() {
            self.set_recorded();
        }
    }

    /// Keeps the failure of a call.
    fn settled(&self, lane: &mut Lane, result: Result<(), JobError>, overrun: Option<Overrun>, rows: usize) {
        if let Err(error) = result.and_then(|()| overrun.map_or(Ok(()), |overrun| Err(JobError::Overran(overrun)))) {
            // An agent that was stopped, or what a panic left, is not trusted with the next call.
            if matches!(error, JobError::Terminated(_) | JobError::Panicked(_)) {
                lane.retire();
            }
            self.set_recorded();
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.count += 1;
            if failures.kept.len() < FAILURES_KEPT {
                failures.kept.push((rows, error));
            }
        }
    }
}

impl Work for Slot {
    fn run(&self, _: u32, lane: &mut Lane) {
        // SAFETY: work runs on the board only, and what is there is open, so nobody has a `&mut` into the cell.
        let running = unsafe { &*self.cell.get() };
        if running.run.is_unit {
            // SAFETY:
            // - `Slots` opens what is prepared for a run, and the segment's frame outlives its scope.
            // - It is one unit of work, which the board gives once.
            // - The executor opens a system when what it waits for is done.
            return unsafe { running.run_unit(lane) };
        }
        while let Some(range) = running.take_range(lane.index() as usize) {
            // SAFETY: as above, but for the second: `take_range` gives each range once.
            unsafe { running.run(range, lane) };
        }
    }
}

/// Who takes part in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// All lanes.
    All,
    /// Workers only.
    Workers,
}

/// Systems that are opened in one task: each runs in one piece, on one lane.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Their positions.
    members: Vec<u32>,
    /// Where each unit's members end.
    ends: Vec<u32>,
}

/// Groups by [`Lanes`]; each is closed, or open as a task.
#[derive(Debug, Default)]
pub(crate) struct Groups([Group; 2]);

impl Groups {
    /// Makes room for so many systems.
    pub(crate) fn reserve(&mut self, systems: usize) {
        for group in &mut self.0 {
            group.members.reserve(systems.saturating_sub(group.members.len()));
            group.ends.reserve(systems.saturating_sub(group.ends.len()));
        }
    }
}

impl Group {
    fn unit(&self, unit: usize) -> &[u32] {
        let start = if unit == 0 { 0 } else { self.ends[unit - 1] };
        &self.members[start as usize..self.ends[unit] as usize]
    }
}

/// Slots and a group that some of them are in, as work.
pub(crate) struct Crew<'a> {
    slots: &'a [Slot],
    group: UnsafeCell<&'a mut Group>,
}

// SAFETY: as for slots: the group is written while it is closed, by the frame's thread, and read by many lanes while it is
// open.
unsafe impl Sync for Crew<'_> {}

impl Work for Crew<'_> {
    fn run(&self, unit: u32, lane: &mut Lane) {
        // SAFETY: work runs on the board only, and what is there is open, so nobody writes the group.
        let group = unsafe { &*self.group.get() };
        for position in group.unit(unit as usize) {
            // SAFETY: members of an open group are open, so nobody has a `&mut` into their cells; the rest is as for a
            // slot that is opened by itself: each member is in one unit, which the board gives once.
            unsafe { (*self.slots[*position as usize].cell.get()).run_unit(lane) };
        }
    }
}

impl<'a> Crew<'a> {
    /// The slots with both kinds of group, all closed.
    pub(crate) fn of(slots: &'a mut [Slot], groups: &'a mut Groups) -> [Crew<'a>; 2] {
        let slots: &'a [Slot] = slots;
        let [all, workers] = &mut groups.0;
        [all, workers].map(|group| Crew { slots, group: UnsafeCell::new(group) })
    }
}

/// What a task on the board stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The slot at that position.
    Slot(usize),
    /// A group.
    Group(Lanes),
}

/// The slots of a scheduler while a segment runs.
pub(crate) struct Slots<'scope, 'env> {
    slots: &'scope [Slot],
    crews: &'scope [Crew<'env>; 2],
    scope: &'scope Scope<'scope, 'env>,
    /// By task index.
    open: [Option<(Task<'scope>, Opened)>; TASKS_MAX],
    /// Which of these are there.
    open_bits: u64,
    /// Tasks opened.
    pub(crate) dispatches: u32,
}

const _: () = assert!(TASKS_MAX == u64::BITS as usize);

impl<'scope, 'env> Slots<'scope, 'env> {
    /// All slots, closed. `crews` are those of [`Crew::of`], and of nobody else.
    pub(crate) fn new(crews: &'scope mut [Crew<'env>; 2], scope: &'scope Scope<'scope, 'env>) -> Slots<'scope, 'env> {
        let crews: &'scope [Crew<'env>; 2] = crews;
        let slots = crews[0].slots;
        Slots { slots, crews, scope, open: [const { None }; TASKS_MAX], open_bits: 0, dispatches: 0 }
    }

    /// Whether any slot is open.
    #[inline]
    pub(crate) fn any_open(&self) -> bool {
        self.open_bits != 0
    }

    /// What is open.
    fn opened(&self) -> impl Iterator<Item = Opened> {
        bits(self.open_bits).filter_map(|index| self.open[index].as_ref()).map(|(_, opened)| *opened)
    }

    /// Whether that group is open.
    pub(crate) fn is_group_open(&self, lanes: Lanes) -> bool {
        self.opened().any(|opened| opened == Opened::Group(lanes))
    }

    /// The members of a group, which nobody writes while it is open.
    fn members(&self, lanes: Lanes) -> &[u32] {
        // SAFETY: the group is written by `fill`, which borrows `self` exclusively; lanes only read it.
        unsafe { &(*self.crews[lanes as usize].group.get()).members }
    }

    fn is_open(&self, position: usize) -> bool {
        self.opened().any(|opened| match opened {
            Opened::Slot(open) => open == position,
            Opened::Group(lanes) => self.members(lanes).contains(&(position as u32)),
        })
    }

    /// What is in a slot that is closed.
    ///
    /// # Panics
    /// If it is open.
    #[inline]
    pub(crate) fn closed(&mut self, position: usize) -> &mut Running {
        assert!(self.open_bits == 0 || !self.is_open(position), "an open slot is the lanes'");
        // SAFETY: the slots were borrowed exclusively, so nobody but this and open tasks reaches them; the slot is not open,
        // and `self` is borrowed for as long as the result.
        unsafe { &mut *self.slots[position].cell.get() }
    }

    /// Opens a slot, [prepared](Running::prepare) for a run, to all lanes, range by range; false if the board is full.
    pub(crate) fn open(&mut self, position: usize, ranges: usize, wake: usize) -> bool {
        let lanes = self.scope.lanes();
        let running = self.closed(position);
        running.ensure_parts(lanes);
        running.run.opening = running.run.opening.wrapping_add(1);
        running.run.is_unit = false;
        let Ok(task) = self.scope.open(&self.slots[position], ranges.min(lanes) as u32, wake) else { return false };
        self.keep(task, Opened::Slot(position));
        true
    }

    /// Opens a slot, [prepared](Running::prepare) for a run, as one unit of work; false if the board is full.
    pub(crate) fn open_unit(&mut self, position: usize, lanes: Lanes, wake: usize) -> bool {
        let running = self.closed(position);
        running.ranges.join();
        running.run.is_unit = true;
        let slot = &self.slots[position];
        let task = match lanes {
            Lanes::All => self.scope.open(slot, 1, wake),
            Lanes::Workers => self.scope.open_away(slot, 1, wake),
        };
        let Ok(task) = task else { return false };
        self.keep(task, Opened::Slot(position));
        true
    }

    /// Opens a group of closed slots, each prepared for a run, in units of about `unit_ns` of estimated work; false if the
    /// board is full.
    ///
    /// # Panics
    /// If a group of that kind, or one of the slots, is open.
    pub(crate) fn open_group(&mut self, lanes: Lanes, positions: &[u32], unit_ns: f64, wake: usize) -> bool {
        assert!(!self.is_group_open(lanes), "a group is opened once at a time");
        let (mut ends, mut work_ns) = (0, 0.0);
        for (at, position) in positions.iter().enumerate() {
            let running = self.closed(*position as usize);
            running.ranges.join();
            running.run.is_unit = true;
            work_ns += running.own.estimate_ns;
            // SAFETY: the group is closed, and `self` is borrowed exclusively.
            let group = unsafe { &mut *self.crews[lanes as usize].group.get() };
            if at == 0 {
                group.members.clear();
                group.ends.clear();
            }
            group.members.push(*position);
            if work_ns >= unit_ns || at + 1 == positions.len() {
                group.ends.push(at as u32 + 1);
                (ends, work_ns) = (ends + 1, 0.0);
            }
        }
        let crew = &self.crews[lanes as usize];
        let task = match lanes {
            Lanes::All => self.scope.open(crew, ends, wake),
            Lanes::Workers => self.scope.open_away(crew, ends, wake),
        };
        let Ok(task) = task else { return false };
        self.keep(task, Opened::Group(lanes));
        true
    }

    fn keep(&mut self, task: Task<'scope>, opened: Opened) {
        let index = task.index();
        self.open[index] = Some((task, opened));
        self.open_bits |= 1 << index;
        self.dispatches += 1;
    }

    /// Closes what is done, if there is something, and gives the positions of its systems to `positions`, which is empty.
    ///
    /// # Panics
    /// If a range panicked, with its panic.
    #[inline]
    pub(crate) fn close_done(&mut self, positions: &mut Vec<u32>) -> Option<Opened> {
        let is_done = |index: &usize| self.open[*index].as_ref().is_some_and(|(task, _)| self.scope.is_done(task));
        let index = bits(self.open_bits).find(is_done)?;
        let (task, opened) = self.open[index].take()?;
        self.open_bits &= !(1 << index);
        if let Err(panic) = self.scope.wait(task) {
            panic.resume();
        }
        match opened {
            Opened::Slot(position) => positions.push(position as u32),
            Opened::Group(lanes) => positions.extend_from_slice(self.members(lanes)),
        }
        Some(opened)
    }
}

/// The indices of the bits set in `mask`, from low to high.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            bit
        })
    })
}
