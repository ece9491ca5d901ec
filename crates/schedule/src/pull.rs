//! Frames that are pulled: whoever runs the systems asks what is next, runs it, and says when it is over.
//!
//! This is the executor for hosts whose threads are not Rust's: JavaScript in Node or a page, or agents. It never waits,
//! starts no thread and calls nobody. [`Pull::next`] hands out systems that may run now, as many at once as the plan
//! allows; those with rows come with a *range list* in the world's memory, which says where the rows are:
//!
//! ```text
//! | cursor | count | done | failed | offset of a Descriptor x count |     u32, little-endian
//! ```
//!
//! Lanes take descriptors by adding 1 to `cursor`, and count what they finished in `done`; all but `count` and the offsets
//! is theirs. [`Pull::settle`] publishes what was written. When a segment of a stage is over, [`Pull::next`] asks for a
//! [merge](Pull::merge): despawn bits are taken here, in order of plan, table and row, commands are the host's to carry
//! out.
//!
//! # Rules
//! - A system is handed out once a frame, when all that it waits for is settled; its lease ends when it is settled.
//! - Structure stands still while something is leased: see [`Pull::is_leased`].
//! - Every system here is of another language: columns that it reads, others may read beside it.
//!
//! # Not here
//! Commands, conditions, retries; where work runs.

mod list;

use peristyle_jobs::Access as JobAccess;
use peristyle_memory::{Block, Memory, OutOfMemory};
use peristyle_world::{ComponentId, Entity, QueryState, ResourceId, SharedWorld, World, WorldError};

use crate::{
    Stage,
    access::{Access, Touch},
    error::ScheduleError,
    merge::take_marked,
    plan::{Node, Plan, Planned},
    preimage::Preimage,
    pull::list::{ExtraPlace, RangeList},
    ranges::{Item, Ranges},
    touched::Touched,
};

/// What rows a pulled system is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullShape {
    /// None: it runs once, and reaches what it declared by other ways.
    #[default]
    Once,
    /// Ranges, on all lanes at once, in any order.
    Rows,
    /// All chunks, for one call.
    Parts,
    /// All rows as one, for one call: copied in and out if they lie in several chunks.
    Whole,
}

/// A system that is pulled.
#[derive(Debug, Default)]
pub struct PullSystem {
    /// Its name.
    pub name: String,
    /// Its stage; [`Stage::Update`] if none.
    pub stage: Option<Stage>,
    /// Systems that it runs before.
    pub before: Vec<String>,
    /// Systems that it runs after.
    pub after: Vec<String>,
    /// Components that it touches, in the order in which descriptors have them.
    pub components: Vec<(ComponentId, JobAccess)>,
    /// Columns of the world that it touches, in the order in which descriptors have them.
    pub resources: Vec<(ResourceId, JobAccess)>,
    /// Which rows; none if it runs [once](PullShape::Once) and looks for itself.
    pub query: Option<QueryState>,
    /// What it is given.
    pub shape: PullShape,
    /// It has the world to itself.
    pub exclusive: bool,
    /// It sets despawn bits.
    pub despawns: bool,
    /// It is left out while its query has no rows: none that it was not run for, if that follows changes. Those with
    /// another shape than [`PullShape::Once`] always are.
    pub skip_if_empty: bool,
    /// Rows of calls that failed are as they were.
    pub atomic: bool,
}

/// Why a frame could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The plan cannot be made, or the world refused.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Systems and stages are fixed while a frame runs.
    #[error("a frame is running: wait until it is over")]
    FrameRunning,
    /// There is nothing to go on with.
    #[error("no frame is running")]
    NoFrame,
    /// The system has nothing to settle.
    #[error("system `{0}` is not running")]
    NotRunning(String),
    /// There is no system of that number.
    #[error("there is no system {0}")]
    NoSystem(u32),
    /// A system that is given rows says not which.
    #[error("system `{0}` is to be given rows: it needs a query")]
    NoQuery(String),
    /// A system uses a component that its query does not ask for, so its rows may lack it.
    #[error("system `{system}` uses component {}, which its query does not ask for", component.index())]
    NotAskedFor {
        /// The system's name.
        system: String,
        /// The component.
        component: ComponentId,
    },
    /// A system that sees all rows in one call uses a component that some of them may lack.
    #[error("system `{system}` sees all rows in one call: its query must ask for component {} by `all`", component.index())]
    MayBeMissing {
        /// The system's name.
        system: String,
        /// The component.
        component: ComponentId,
    },
    /// The memory is too large for offsets of 32 bits.
    #[error("the memory may have {0} bytes, descriptors reach 4 GiB")]
    TooLarge(u64),
}

impl From<WorldError> for PullError {
    fn from(error: WorldError) -> PullError {
        PullError::Schedule(error.into())
    }
}

impl From<OutOfMemory> for PullError {
    fn from(error: OutOfMemory) -> PullError {
        WorldError::from(error).into()
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The frame is over: [`Pull::end`] it.
    Done,
    /// Something has to be settled first.
    Wait,
    /// Run this, and settle it.
    Run(Run),
    /// Part of a stage is over: [`Pull::merge`], carry out commands, and go on.
    Merge,
}

/// A system that may run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub system: u32,
    /// Offset of its range list, 0 if it is given no rows.
    pub list: u32,
    /// Rows that it is given, or that its query has.
    pub rows: u64,
    /// Whether the descriptors are for one lane, one after the other.
    pub one_lane: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Settled,
}

struct Slot {
    system: PullSystem,
    access: Access,
    ranges: Ranges,
    /// Rows of a range; 0 for whole chunks.
    range_rows: usize,
    list: RangeList,
    preimages: Vec<Preimage>,
    extra: Extra,
    /// Whether it ran since the last merge.
    ran: bool,
    /// Whom it despawns when stages merge: taken from the bits when it settled, as rows may move from then on.
    doomed: Vec<Entity>,
}

/// JSON for the kernels of a system.
#[derive(Default)]
struct Extra {
    block: Option<Block>,
    /// What the block says, kept where nobody else writes.
    text: Vec<u8>,
    version: u32,
}

impl Extra {
    /// Its offset (0 if there is none), its bytes, and what changes with it.
    fn place(&self) -> ExtraPlace {
        let offset = self.block.as_ref().filter(|_| !self.text.is_empty()).map_or(0, |block| block.offset() as u32);
        ExtraPlace { offset, bytes: self.text.len() as u32, version: self.version }
    }

    fn set(&mut self, memory: &Memory, json: &[u8]) -> Result<(), PullError> {
        if self.text == json {
            return Ok(());
        }
        self.text.clear();
        self.version += 1;
        if self.block.as_ref().is_none_or(|block| block.bytes() < json.len() as u64) {
            self.block = None;
            self.block = Some(memory.allocate(json.len())?);
        }
        if let Some(block) = &self.block {
            list::write_bytes(block, json);
        }
        self.text.extend_from_slice(json);
        Ok(())
    }
}

/// A frame at work.
struct Frame {
    dt: f64,
    time: f64,
    serial: bool,
    segment: usize,
    merging: bool,
    running: usize,
}

/// How far systems are, by position in the plan. Its storage is kept from frame to frame.
#[derive(Default)]
struct Progress {
    states: Vec<State>,
    /// Positions that are settled, as bits.
    settled: Vec<u64>,
}

/// Systems, their plan, and the frame that is pulled.
pub struct Pull {
    stages: Vec<Stage>,
    /// By number; none of systems that were removed.
    slots: Vec<Option<Slot>>,
    plan: Option<Plan>,
    frame: Option<Frame>,
    progress: Progress,
    frames: u64,
}

impl Default for Pull {
    fn default() -> Pull {
        Pull {
            stages: Stage::ALL.to_vec(),
            slots: Vec::new(),
            plan: None,
            frame: None,
            progress: Progress::default(),
            frames: 0,
        }
    }
}

impl Pull {
    /// Sets which stages a frame has, in which order. All of them in [their order](Stage::ALL) unless told.
    ///
    /// # Errors
    /// [`PullError::FrameRunning`].
    pub fn set_stages(&mut self, stages: &[Stage]) -> Result<(), PullError> {
        self.unless_running()?;
        self.stages = stages.to_vec();
        self.plan = None;
        Ok(())
    }

    /// The stages of a frame.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Whether a system can be [added](Pull::add): for those who want to keep what they cannot add.
    ///
    /// # Errors
    /// [`PullError::FrameRunning`], [`PullError::NoQuery`], [`PullError::NotAskedFor`],
    /// [`PullError::MayBeMissing`], [`ScheduleError::DuplicateName`], [`ScheduleError::NoStage`].
    pub fn check(&self, system: &PullSystem) -> Result<(), PullError> {
        self.unless_running()?;
        if system.shape != PullShape::Once && system.query.is_none() {
            return Err(PullError::NoQuery(system.name.clone()));
        }
        if let (Some(query), true) = (&system.query, system.shape != PullShape::Once) {
            // An alternative of `any` may be missing from a table; everything else is there, or there is nothing to lease.
            // Columns that hold all rows in one have no place for rows without them.
            let spec = query.spec();
            for (component, _) in &system.components {
                let is_there = spec.all.iter().chain(&spec.changed).chain(&spec.added).any(|known| known == component);
                if !is_there && !spec.any.iter().flatten().any(|known| known == component) {
                    return Err(PullError::NotAskedFor { system: system.name.clone(), component: *component });
                }
                if !is_there && system.shape == PullShape::Whole {
                    return Err(PullError::MayBeMissing { system: system.name.clone(), component: *component });
                }
            }
        }
        if self.systems().any(|(_, slot)| slot.system.name == system.name) {
            return Err(ScheduleError::DuplicateName(system.name.clone()).into());
        }
        let stage = system.stage.unwrap_or(Stage::Update);
        if !self.stages.contains(&stage) {
            return Err(ScheduleError::NoStage { system: system.name.clone(), stage }.into());
        }
        Ok(())
    }

    /// Adds a system, and gives its number: systems are numbered from 0, and no number is given twice.
    ///
    /// # Errors
    /// As [`Pull::check`].
    pub fn add(&mut self, system: PullSystem) -> Result<u32, PullError> {
        self.check(&system)?;
        let mut access = Access::default();
        (access.despawns, access.exclusive) = (system.despawns, system.exclusive);
        let touch = |how: JobAccess| if how == JobAccess::Write { Touch::WRITE } else { Touch::LEND };
        system.components.iter().for_each(|(id, how)| access.component(*id, touch(*how)));
        system.resources.iter().for_each(|(id, how)| access.resource(*id, touch(*how)));
        if let Some(query) = &system.query {
            let spec = query.spec();
            spec.changed.iter().chain(&spec.added).for_each(|id| access.component(*id, Touch::LEND));
        }
        self.slots.push(Some(Slot {
            system,
            access,
            ranges: Ranges::default(),
            range_rows: 0,
            list: RangeList::default(),
            preimages: Vec::new(),
            extra: Extra::default(),
            ran: false,
            doomed: Vec::new(),
        }));
        self.plan = None;
        Ok(self.slots.len() as u32 - 1)
    }

    /// Removes a system, with its query and whatever was made for its calls. Its number is never given again.
    ///
    /// # Errors
    /// [`PullError::FrameRunning`], [`PullError::NoSystem`].
    pub fn remove(&mut self, system: u32) -> Result<(), PullError> {
        self.unless_running()?;
        let slot = self.slots.get_mut(system as usize).ok_or(PullError::NoSystem(system))?;
        slot.take().ok_or(PullError::NoSystem(system))?;
        self.plan = None;
        Ok(())
    }

    fn systems(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    /// Number of systems.
    pub fn len(&self) -> usize {
        self.systems().count()
    }

    /// Whether there is no system.
    pub fn is_empty(&self) -> bool {
        self.systems().next().is_none()
    }

    /// The name of a system.
    pub fn name_of(&self, system: u32) -> Option<&str> {
        Some(&self.slots.get(system as usize)?.as_ref()?.system.name)
    }

    /// The number of the system at a position of the plan.
    pub fn number_at(&self, position: usize) -> Option<u32> {
        Some(self.plan.as_ref()?.systems().get(position)?.node as u32)
    }

    /// The plan; made if there is none, or systems were added or removed.
    ///
    /// # Errors
    /// [`ScheduleError`]: why there is none.
    pub fn plan(&mut self, world: &World) -> Result<&Plan, PullError> {
        if self.plan.is_none() {
            let (numbers, nodes): (Vec<usize>, Vec<Node<'_>>) = self
                .systems()
                .map(|(number, Slot { system, access, .. })| {
                    let node = Node {
                        name: &system.name,
                        stage: system.stage.unwrap_or(Stage::Update),
                        before: &system.before,
                        after: &system.after,
                        access,
                    };
                    (number, node)
                })
                .unzip();
            let mut plan = Plan::in_stages(&nodes, &self.stages, world)?;
            plan.number(&numbers);
            self.plan = Some(plan);
        }
        Ok(self.plan.as_ref().expect("it was just made"))
    }

    /// Sets into ranges of about how many rows a system's rows are cut; 0 for whole chunks, as it is unless told.
    ///
    /// # Errors
    /// [`PullError::NoSystem`].
    pub fn set_range_rows(&mut self, system: u32, rows: usize) -> Result<(), PullError> {
        self.slot(system)?.range_rows = rows;
        Ok(())
    }

    /// Sets the JSON text that descriptors of a system name; no bytes for none. Of a system that was handed out, it must come
    /// before any lane has the ranges: what a text says may depend on the systems that ran before.
    ///
    /// # Errors
    /// [`PullError::NoSystem`], [`WorldError::OutOfMemory`].
    pub fn set_extra(&mut self, world: &World, system: u32, json: &[u8]) -> Result<(), PullError> {
        let slot = self.slot(system)?;
        slot.extra.set(world.memory(), json)?;
        slot.list.name_extra(slot.extra.place());
        Ok(())
    }

    fn slot(&mut self, system: u32) -> Result<&mut Slot, PullError> {
        self.slots.get_mut(system as usize).and_then(Option::as_mut).ok_or(PullError::NoSystem(system))
    }

    fn unless_running(&self) -> Result<(), PullError> {
        if self.frame.is_some() { Err(PullError::FrameRunning) } else { Ok(()) }
    }

    /// Whether a frame is running.
    pub fn is_in_frame(&self) -> bool {
        self.frame.is_some()
    }

    /// Whether rows are leased: structure must stand still.
    pub fn is_leased(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.running > 0)
            && self.systems().any(|(_, slot)| slot.list.is_leased())
    }

    fn position_of(&self, system: u32) -> Option<usize> {
        self.plan.as_ref()?.systems().iter().position(|planned| planned.node == system as usize)
    }

    fn is_running(&self, system: u32) -> bool {
        let position = self.frame.as_ref().and_then(|_| self.position_of(system));
        position.is_some_and(|position| self.progress.states[position] == State::Running)
    }

    /// Begins a frame and its tick; gives the tick's number. With `serial`, systems are handed out one by one.
    ///
    /// # Errors
    /// [`PullError::FrameRunning`], [`PullError::TooLarge`], [`ScheduleError`], [`WorldError::NestedTick`].
    pub fn begin(&mut self, world: &mut World, dt: f64, time: f64, serial: bool) -> Result<u64, PullError> {
        self.unless_running()?;
        let max_bytes = world.memory().max_bytes();
        if max_bytes > 1 << 32 {
            return Err(PullError::TooLarge(max_bytes));
        }
        let systems = self.plan(world)?.systems().len();
        let tick = world.begin_tick()?;
        self.frame = Some(Frame { dt, time, serial, segment: 0, merging: false, running: 0 });
        self.progress.begin(systems);
        Ok(tick)
    }

    /// What is to be done next.
    ///
    /// # Errors
    /// [`PullError::NoFrame`], [`WorldError::OutOfMemory`].
    pub fn next(&mut self, world: &World) -> Result<Next, PullError> {
        let Pull { slots, plan: Some(plan), frame: Some(frame), progress, frames, .. } = self else {
            return Err(PullError::NoFrame);
        };
        loop {
            if frame.merging {
                return Ok(Next::Merge);
            }
            let Some((stage, positions)) = plan.segments.get(frame.segment) else { return Ok(Next::Done) };
            if *stage == Stage::Startup && *frames > 0 {
                frame.segment += 1;
                continue;
            }
            for position in positions.clone() {
                let planned = &plan.systems()[position];
                let is_free =
                    planned.dependencies.iter().zip(&progress.settled).all(|(waits, done)| waits & !done == 0);
                if progress.states[position] != State::Waiting || !is_free {
                    continue;
                }
                if frame.serial && frame.running > 0 {
                    return Ok(Next::Wait);
                }
                let system = planned.node as u32;
                match planned_slot(slots, planned).start(world, frame, system)? {
                    Some(run) => {
                        progress.states[position] = State::Running;
                        frame.running += 1;
                        return Ok(Next::Run(run));
                    }
                    None => progress.settle(position),
                }
            }
            if frame.running > 0 {
                return Ok(Next::Wait);
            }
            // What was left out has nothing to be merged.
            let ran = plan.systems()[positions.clone()].iter().any(|planned| planned_slot(slots, planned).ran);
            frame.merging = ran;
            if !ran {
                frame.segment += 1;
            }
        }
    }

    /// Says that a system is over; `failed` are the positions of the descriptors whose calls failed. What the others did is
    /// published to whoever waits for changes; rows of failed ones all count as changed, or are restored if the system is
    /// atomic.
    ///
    /// # Errors
    /// [`PullError::NoFrame`], [`PullError::NotRunning`], [`PullError::NoSystem`].
    pub fn settle(&mut self, world: &mut World, system: u32, failed: &[u32]) -> Result<(), PullError> {
        let position = self.position_of(system);
        let is_running = self.is_running(system);
        let slot = self.slots.get_mut(system as usize).and_then(Option::as_mut).ok_or(PullError::NoSystem(system))?;
        let frame = self.frame.as_mut().ok_or(PullError::NoFrame)?;
        let Some(position) = position.filter(|_| is_running) else {
            return Err(PullError::NotRunning(slot.system.name.clone()));
        };
        slot.settle(world, failed);
        frame.running -= 1;
        self.progress.settle(position);
        Ok(())
    }

    /// Takes the despawn bits of the systems that ran since the last merge: appends who is to go to `doomed`, in order of
    /// plan, table and row. They are the caller's to despawn, the last first if it likes to move few rows.
    ///
    /// # Errors
    /// [`PullError::NoFrame`]; [`PullError::FrameRunning`] if something is still running.
    pub fn merge(&mut self, doomed: &mut Vec<Entity>) -> Result<(), PullError> {
        let (Some(plan), Some(frame)) = (&self.plan, &mut self.frame) else { return Err(PullError::NoFrame) };
        if frame.running > 0 {
            return Err(PullError::FrameRunning);
        }
        for planned in plan.systems() {
            let slot = planned_slot(&mut self.slots, planned);
            slot.ran = false;
            doomed.append(&mut slot.doomed);
        }
        if std::mem::take(&mut frame.merging) {
            frame.segment += 1;
        }
        Ok(())
    }

    /// Ends the frame and its tick. Systems that were not settled count as failed, those that were not handed out are left
    /// out.
    ///
    /// # Errors
    /// [`PullError::NoFrame`].
    pub fn end(&mut self, world: &mut World) -> Result<(), PullError> {
        if self.frame.take().is_none() {
            return Err(PullError::NoFrame);
        }
        for position in 0..self.progress.states.len() {
            if self.progress.states[position] == State::Running
                && let Some(planned) = self.plan.as_ref().and_then(|plan| plan.systems().get(position))
            {
                let slot = planned_slot(&mut self.slots, planned);
                let all: Vec<u32> = (0..slot.list.items().len().max(1) as u32).collect();
                slot.settle(world, &all);
            }
        }
        // Of a frame that broke off nobody is despawned.
        for slot in self.slots.iter_mut().flatten() {
            slot.ran = false;
            slot.doomed.clear();
        }
        self.frames += 1;
        world.end_tick()?;
        Ok(())
    }
}

/// The system at a place of the plan: no system is removed without its plan.
fn planned_slot<'a>(slots: &'a mut [Option<Slot>], planned: &Planned) -> &'a mut Slot {
    slots[planned.node].as_mut().expect("a plan has systems that are there")
}

impl Progress {
    fn begin(&mut self, systems: usize) {
        self.states.clear();
        self.states.resize(systems, State::Waiting);
        self.settled.clear();
        self.settled.resize(systems.div_ceil(64), 0);
    }

    fn settle(&mut self, position: usize) {
        self.states[position] = State::Settled;
        self.settled[position / 64] |= 1 << (position % 64);
    }
}

impl Slot {
    /// Makes the lease; none if the system is left out.
    fn start(&mut self, world: &World, frame: &Frame, number: u32) -> Result<Option<Run>, PullError> {
        self.list.clear();
        let mut rows = 0;
        if let Some(query) = &mut self.system.query {
            query.refresh(world);
            let query = &*query;
            rows = self.ranges.collect(query.chunks(world));
        }
        let shape = self.system.shape;
        if rows == 0 && (shape != PullShape::Once || self.system.skip_if_empty) {
            return Ok(None);
        }
        let mut run = Run { system: number, list: 0, rows: rows as u64, one_lane: shape != PullShape::Rows };
        if let (Some(query), true) = (&self.system.query, shape != PullShape::Once) {
            if self.range_rows == 0 || shape != PullShape::Rows {
                self.ranges.join();
            } else {
                self.ranges.cut(self.range_rows);
            }
            let touched = Touched {
                components: &self.system.components,
                query,
                despawns: self.system.despawns,
                is_atomic: self.system.atomic,
            };
            let call = list::Call {
                system: &self.system.name,
                dt: frame.dt,
                time: frame.time,
                whole: shape == PullShape::Whole,
                extra: self.extra.place(),
            };
            let (shared, resources) = (SharedWorld::new(world), &self.system.resources);
            self.list.make(shared, touched, resources, self.ranges.items(), call)?;
            if self.list.items().is_empty() {
                return Ok(None);
            }
            // Columns that the world has once are written by one lane at a time.
            run.one_lane |= self.system.resources.iter().any(|(_, how)| *how == JobAccess::Write);
            run.list = self.list.offset();
            run.rows = self.list.items().iter().map(|item| u64::from(item.rows)).sum();
            if self.system.atomic && !self.list.is_staged() {
                let items = self.list.items();
                self.preimages.resize_with(self.preimages.len().max(items.len()), Preimage::default);
                for (preimage, item) in self.preimages.iter_mut().zip(items) {
                    // SAFETY: the columns are those of rows of a live chunk, which nobody writes: by the plan they are this
                    // system's, and it has not been handed out yet.
                    unsafe { preimage.save(list::overwritten(SharedWorld::new(world), touched, item)) };
                }
            }
        }
        self.ran = true;
        Ok(Some(run))
    }

    /// Ends the lease.
    fn settle(&mut self, world: &mut World, failed: &[u32]) {
        let Some(query) = &self.system.query else { return };
        if !self.list.is_leased() {
            // It looked for itself. What made it run does not make it run again.
            if self.system.shape == PullShape::Once && failed.is_empty() && query.has_row_filter() {
                query.chunks(world).for_each(|chunk| query.clear(world, chunk, 0..chunk.rows()));
            }
            return;
        }
        let (system, items) = (&self.system, self.list.items());
        let touched =
            Touched { components: &system.components, query, despawns: system.despawns, is_atomic: system.atomic };
        let run = world.sequence() + 1;
        world.set_sequence(run);
        let shared = SharedWorld::new(world);
        let fails = |at: usize| match system.shape {
            PullShape::Rows | PullShape::Once => failed.contains(&(at as u32)),
            PullShape::Parts | PullShape::Whole => !failed.is_empty(),
        };
        if self.list.is_staged() {
            // SAFETY: the host settles what nobody runs any more, and the plan gave this system what it declared.
            unsafe { touched.scatter(shared, items, self.list.staging(), failed.is_empty()) };
        } else {
            for (at, item) in items.iter().enumerate() {
                if fails(at) && system.atomic {
                    // SAFETY: as above; the columns are those that were saved.
                    unsafe { self.preimages[at].restore(list::overwritten(shared, touched, item)) };
                }
                // SAFETY: as above.
                unsafe { touched.settle(shared, item.place(), !fails(at)) };
            }
        }
        for Item { chunk, .. } in items {
            for (component, how) in &system.components {
                if *how == JobAccess::Write {
                    shared.set_version(*chunk, *component, run);
                }
            }
        }
        if self.system.despawns {
            items.iter().for_each(|item| take_marked(world, item, &mut self.doomed));
        }
        self.list.settled();
    }
}
