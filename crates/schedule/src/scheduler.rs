//! The scheduler: a world, its systems, and frames.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use peristyle_jobs::{Pool, PoolOptions, default_workers};
use peristyle_timeline::{Kind, NameId, Timeline, clock};
use peristyle_world::{Entity, QuerySpec, QueryState, World};

use crate::{
    Mode, Plan, Stage, System,
    check::{CheckReport, Checker},
    context::Tick,
    cost::{Alarm, Books},
    error::{JobFailure, PatchFailure, ScheduleError},
    executor::{Load, Positions, Segment, SegmentTimes, Waves},
    merge::{Kept, Merged, merge},
    plan::Node,
    slot::{BufferIds, Crew, Frame, Groups, Slot, Slots},
    system::Conditions,
};

/// How a [`Scheduler`] works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads beside the frame's own: by default cores - 1, at least 1.
    pub workers: usize,
    /// How systems are run.
    pub mode: Mode,
    /// Where spans are recorded.
    pub timeline: Timeline,
    /// How long one call of a system over rows may take: JavaScript and WebAssembly are stopped then, a Rust function is
    /// waited for; both count as failures, and the frame goes on. None by default: what it stops depends on the machine.
    pub deadline: Option<Duration>,
    /// The seed of random borders, if jobs are [checked](Scheduler::set_checks): 0 by default in debug builds, else none.
    pub checks: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        let checks = cfg!(debug_assertions).then_some(0);
        let timeline = Timeline::off();
        Options { workers: default_workers(), mode: Mode::Parallel, timeline, deadline: None, checks }
    }
}

/// What a frame did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FrameReport {
    /// The tick's number.
    pub tick: u64,
    /// The whole frame, in nanoseconds.
    pub frame_ns: u64,
    /// Wall time in which systems over rows ran, in nanoseconds.
    pub jobs_ns: u64,
    /// Time of merges and of systems with the world to themselves, in nanoseconds.
    pub structural_ns: u64,
    /// Rows that systems over rows worked on.
    pub rows: u64,
    /// Column bytes that were copied so that jobs could run, in and out: none while every job works in place.
    pub bytes_copied: u64,
    /// Rows despawned by despawn bits.
    pub despawned: u64,
    /// Commands and patches whose entity had gone, or lacked the component.
    pub stale_commands: u64,
    /// Patches that were not applied, stale ones among them. See [`Scheduler::take_refused_patches`].
    pub refused_patches: u64,
    /// Calls of jobs that failed.
    pub failures: u64,
    /// Tasks handed to the pool: round trips to workers, at most.
    pub dispatches: u64,
    /// What checks of jobs found and had not found before.
    pub findings: u64,
}

/// A world with the systems that run on it.
///
/// ```
/// use peristyle_schedule::{Options, Scheduler, System};
/// use peristyle_world::{Component, World};
///
/// #[derive(Component, Clone, Copy)]
/// struct Position { x: f32 }
/// #[derive(Component, Clone, Copy)]
/// struct Velocity { x: f32 }
///
/// let mut world = World::new()?;
/// world.spawn_batch((0..10_000).map(|i| (Position { x: 0.0 }, Velocity { x: i as f32 })))?;
/// let mut scheduler = Scheduler::new(world, Options::default())?;
/// scheduler.add(System::new("move").each_chunk::<(&mut Position, &Velocity)>(|range, (position, velocity)| {
///     let dt = range.tick().dt as f32;
///     for (x, v) in position.x.iter_mut().zip(velocity.x) {
///         *x += v * dt;
///     }
/// }))?;
/// scheduler.run_frame(0.5, 0.0)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Scheduler {
    /// In order of the plan, once that is made.
    slots: Vec<Slot>,
    world: World,
    /// Knows the world again, for it can be exchanged by those who get it as `&mut`.
    known: QueryState,
    pool: Pool,
    mode: Mode,
    timeline: Timeline,
    names: Names,
    plan: Option<Plan>,
    /// Whether no system of the startup stage has yet to run.
    started_up: bool,
    buffer_ids: BufferIds,
    ns_per_tick: f64,
    started: Positions,
    done: Positions,
    doomed: Vec<Entity>,
    kept: Kept,
    alarm: Alarm,
    books: Books,
    waves: Waves,
    groups: Groups,
    checker: Option<Box<Checker>>,
}

struct Names {
    frame: NameId,
    commit: NameId,
    stages: [NameId; Stage::ALL.len()],
}

impl Scheduler {
    /// Starts the workers for a world.
    ///
    /// # Errors
    /// [`ScheduleError::Threads`] if the system gives no thread.
    pub fn new(mut world: World, options: Options) -> Result<Scheduler, ScheduleError> {
        let Options { workers, mode, timeline, deadline, checks } = options;
        let pool =
            Pool::with_options(PoolOptions { timeline: timeline.clone(), deadline, ..PoolOptions::new(workers) })?;
        let names = Names {
            frame: timeline.name("frame"),
            commit: timeline.name("commit"),
            stages: Stage::ALL.map(|stage| timeline.name(stage.name())),
        };
        Ok(Scheduler {
            slots: Vec::new(),
            known: QueryState::new(&mut world, QuerySpec::default(), None),
            world,
            pool,
            mode,
            timeline,
            names,
            plan: None,
            started_up: true,
            buffer_ids: BufferIds::default(),
            ns_per_tick: clock::ns_per_tick(),
            started: Positions::default(),
            done: Positions::default(),
            doomed: Vec::new(),
            kept: Kept::default(),
            alarm: Alarm::default(),
            books: Books::default(),
            waves: Waves::default(),
            groups: Groups::default(),
            checker: checks.map(|seed| Box::new(Checker::new(seed))),
        })
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The world, between frames.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// The worker pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Where spans are recorded.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// How systems are run.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Has jobs checked from now on, with random borders from that seed, or not any more.
    ///
    /// A checked job is lent copies of what it only reads, and a row-wise one runs on copies of its rows first, cut at
    /// random borders: what writes a column that it does not declare to write, or depends on where ranges begin and end,
    /// is [reported](Scheduler::take_check_reports). The world is the same as without checks, frames take several times
    /// as long.
    pub fn set_checks(&mut self, seed: Option<u64>) {
        self.checker = seed.map(|seed| Box::new(Checker::new(seed)));
    }

    /// Takes what checks found since the last call, in order of ticks and systems: one report for each system and place,
    /// 64 at most.
    pub fn take_check_reports(&mut self) -> Vec<CheckReport> {
        self.checker.as_ref().map_or_else(Vec::new, |checker| checker.take())
    }

    /// Adds a system. Its setup runs now; the plan is made again when it is next needed.
    ///
    /// # Errors
    /// [`ScheduleError::DuplicateName`], [`ScheduleError::NoBody`], and what a job's declaration can get wrong. The
    /// scheduler is as before then.
    ///
    /// # Panics
    /// If the setup declares something twice that it writes.
    pub fn add(&mut self, system: System) -> Result<&mut Scheduler, ScheduleError> {
        if self.slots.iter().any(|slot| slot.declared.name == system.name) {
            return Err(ScheduleError::DuplicateName(system.name));
        }
        let slot = system.build(&mut self.world, &self.timeline, &mut self.buffer_ids)?;
        self.started_up &= slot.declared.stage != Stage::Startup;
        self.slots.push(slot);
        self.plan = None;
        Ok(self)
    }

    /// The plan, made now if systems were added since.
    ///
    /// # Errors
    /// [`ScheduleError::UnknownName`], [`ScheduleError::Cycle`], [`ScheduleError::WrongStage`].
    pub fn plan(&mut self) -> Result<&Plan, ScheduleError> {
        if self.plan.is_none() {
            let nodes: Vec<Node<'_>> = self.slots.iter().map(|slot| Node::new(&slot.declared)).collect();
            let plan = Plan::new(&nodes, &self.world)?;
            // From now on a slot's index is its position in the plan.
            let mut slots: Vec<Option<Slot>> = self.slots.drain(..).map(Some).collect();
            self.slots = plan.systems().iter().filter_map(|planned| slots[planned.node].take()).collect();
            self.started = Positions::none(self.slots.len());
            self.done = Positions::none(self.slots.len());
            self.waves.reserve(self.slots.len());
            self.groups.reserve(self.slots.len());
            self.plan = Some(plan);
        }
        Ok(self.plan.as_ref().expect("made above"))
    }

    /// Runs every stage once: one tick that moves the world by `dt` simulated seconds, at simulated time `time`.
    ///
    /// Calls of jobs that fail do not end the frame; see [`Scheduler::take_failures`].
    ///
    /// # Errors
    /// What keeps the plan from being made; [`WorldError::NestedTick`](peristyle_world::WorldError::NestedTick); what a
    /// merge met, out of memory foremost. The tick is ended then, what was recorded is merged, and the world can be used.
    ///
    /// # Panics
    /// If a Rust system panics, with its panic; the world is as after an error then. If the world was exchanged for
    /// another since the systems were added.
    pub fn run_frame(&mut self, dt: f64, time: f64) -> Result<FrameReport, ScheduleError> {
        self.plan()?;
        let began = clock::now();
        let stamp = self.timeline.begin();
        let tick = Tick { number: self.world.begin_tick()?, dt, time };
        let mut report = FrameReport { tick: tick.number, ..FrameReport::default() };
        let plan = self.plan.take().expect("made above");
        let result = catch_unwind(AssertUnwindSafe(|| self.run_stages(&plan, tick, &mut report)));
        self.plan = Some(plan);
        let ended = self.world.end_tick();
        result.unwrap_or_else(|panic| resume_unwind(panic))?;
        ended?;
        report.findings = self.checker.as_ref().map_or(0, |checker| checker.take_new());
        report.frame_ns = self.ns_since(began);
        self.timeline.end(0, Kind::Frame, self.names.frame, stamp, report.rows as u32, tick.number as u32);
        Ok(report)
    }

    fn ns_since(&self, ticks: u64) -> u64 {
        (clock::now().saturating_sub(ticks) as f64 * self.ns_per_tick) as u64
    }

    fn run_stages(&mut self, plan: &Plan, tick: Tick, report: &mut FrameReport) -> Result<(), ScheduleError> {
        self.started.clear();
        self.done.clear();
        if self.alarm.rings() {
            self.pool.wake(self.pool.workers());
        }
        for stage in plan.segments.chunk_by(|(a, _), (b, _)| a == b) {
            let (name, is_startup) = (stage[0].0, stage[0].0 == Stage::Startup);
            if is_startup && self.started_up {
                continue;
            }
            let stamp = self.timeline.begin();
            for (_, range) in stage {
                self.run_segment(plan, range.clone(), tick, report)?;
                if is_startup {
                    self.slots[range.clone()]
                        .iter_mut()
                        .for_each(|slot| slot.running().own.conditions = Conditions::Over);
                }
            }
            self.timeline.end(0, Kind::Stage, self.names.stages[name as usize], stamp, 0, 0);
        }
        self.started_up = true;
        Ok(())
    }

    fn run_segment(
        &mut self,
        plan: &Plan,
        range: Range<usize>,
        tick: Tick,
        report: &mut FrameReport,
    ) -> Result<(), ScheduleError> {
        // Panics if it is another world, of which the systems' declarations say nothing.
        self.known.refresh(&self.world);
        let began = clock::now();
        if self.slots[range.start].running().run_exclusive(&mut self.world, tick) {
            report.structural_ns += self.ns_since(began);
            return Ok(());
        }
        let sequence = self.world.sequence() + 1;
        self.world.set_sequence(sequence + range.len() as u64);
        // What was recorded until a panic or an error is carried out like the rest: bits and handles would be wrong later.
        let result = catch_unwind(AssertUnwindSafe(|| self.run_systems(plan, range.clone(), tick, sequence)));
        if let Ok(Ok(times)) = &result {
            report.jobs_ns += (times.jobs_ticks as f64 * self.ns_per_tick) as u64;
            report.rows += times.rows;
            report.bytes_copied += times.bytes_copied;
            report.dispatches += u64::from(times.dispatches);
        }
        let began = clock::now();
        let stamp = self.timeline.begin();
        let merged = match &result {
            Ok(Ok(times)) if !times.recorded => Ok(Merged::default()),
            _ => merge(&mut self.slots[range], &mut self.world, tick.number, &mut self.doomed, &mut self.kept),
        };
        result.unwrap_or_else(|panic| resume_unwind(panic))?;
        let merged = merged?;
        self.timeline.end(0, Kind::Commit, self.names.commit, stamp, merged.despawned as u32, 0);
        report.despawned += merged.despawned;
        report.stale_commands += merged.stale_commands;
        report.refused_patches += merged.refused_patches;
        report.failures += merged.failures;
        report.structural_ns += self.ns_since(began);
        Ok(())
    }

    fn run_systems(
        &mut self,
        plan: &Plan,
        range: Range<usize>,
        tick: Tick,
        sequence: u64,
    ) -> Result<SegmentTimes, ScheduleError> {
        let Scheduler {
            slots,
            world,
            pool,
            buffer_ids,
            started,
            done,
            mode,
            ns_per_tick,
            alarm,
            books,
            waves,
            groups,
            checker,
            ..
        } = self;
        let frame = Frame { world, tick, checker: checker.as_deref() };
        let mut crews = Crew::of(slots, groups);
        let crews = &mut crews;
        pool.scope(|scope| {
            let segment = Segment {
                plan,
                range,
                frame: &frame,
                lanes: if *mode == Mode::Serial { 1 } else { scope.lanes() },
                scope,
                slots: Slots::new(crews, scope),
                sequence,
                buffer_ids,
                ns_per_tick: *ns_per_tick,
                started,
                turn: 0,
                done,
                alarm,
                books,
                waves,
                grouping: None,
                times: SegmentTimes::default(),
                load: Load::default(),
            };
            segment.run()
        })
    }

    /// Takes the failures of jobs since the last call, oldest first; at most 64 are kept.
    pub fn take_failures(&mut self) -> Vec<JobFailure> {
        std::mem::take(&mut self.kept.failures)
    }

    /// Takes the patches that were not applied since the last call, oldest first; at most 64 are kept.
    pub fn take_refused_patches(&mut self) -> Vec<PatchFailure> {
        std::mem::take(&mut self.kept.patches)
    }

    /// Drops what lane 0 keeps for itself on this thread: frames will run on another, and this one ends.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn leave_thread(&mut self) {
        self.pool.drop_frame_values();
    }

    /// Gives the world back, and stops the workers.
    pub fn into_world(self) -> World {
        self.world
    }
}
