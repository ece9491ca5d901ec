//! Bodies over rows: what runs on a range of a chunk, on any lane.

use std::ops::Range;

use peristyle_jobs::{JobError, Lane};
use peristyle_world::{
    ChunkFilter, ChunkRef, CommandBuffer, ComponentId, Query, QueryData, QueryFilter, QueryState, SharedWorld,
};

use crate::{
    check::Checker,
    context::{RangeContext, SystemKey, Tick},
    error::ScheduleError,
    ranges::Item,
    slot::Frame,
};

/// One range to run a body on.
pub(crate) struct RangeCall<'a> {
    pub(crate) world: SharedWorld<'a>,
    pub(crate) tick: Tick,
    pub(crate) chunk: ChunkRef,
    /// Starts on a multiple of 512.
    pub(crate) rows: Range<usize>,
    pub(crate) commands: &'a mut CommandBuffer,
    pub(crate) system: SystemKey,
    pub(crate) checker: Option<&'a Checker>,
}

/// All rows of a run, for a body that takes them in one call.
pub(crate) struct AllCall<'a> {
    pub(crate) world: SharedWorld<'a>,
    pub(crate) tick: Tick,
    /// Whole chunks, in order.
    pub(crate) items: &'a [Item],
    pub(crate) commands: &'a mut CommandBuffer,
    pub(crate) checker: Option<&'a Checker>,
}

/// How a body's rows may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cuts {
    /// Into ranges, for many lanes.
    Ranges,
    /// Into chunks, one after the other on one lane.
    Chunks,
    /// Not at all: it takes all in one call.
    Never,
}

impl<'a> RangeCall<'a> {
    fn into_context(self) -> RangeContext<'a> {
        RangeContext {
            despawn: self.world.despawn_bits(self.chunk, self.rows.start),
            world: self.world,
            tick: self.tick,
            rows: self.rows,
            commands: self.commands,
            system: self.system,
        }
    }
}

/// A system's work on rows.
pub(crate) trait RowBody: Send + Sync {
    fn query(&self) -> &QueryState;

    fn query_mut(&mut self) -> &mut QueryState;

    /// Calls `f` with each component that it writes.
    fn for_each_written(&self, f: &mut dyn FnMut(ComponentId));

    /// How its rows may be cut.
    fn cuts(&self) -> Cuts {
        Cuts::Ranges
    }

    /// Readies a run on these chunks and so many lanes, beyond what the query needs.
    fn begin(&mut self, _: &Frame<'_>, _: &[ChunkRef], _: usize) -> Result<(), ScheduleError> {
        Ok(())
    }

    /// Column bytes that runs since the last call copied.
    fn take_copied(&mut self) -> u64 {
        0
    }

    /// Roughly what a call costs beside its rows, in nanoseconds.
    fn call_ns(&self) -> f64 {
        50.0
    }

    /// Runs one range and settles it: what it wrote is marked for every other consumer, what it saw is cleared for this.
    ///
    /// # Safety
    /// The plan gave this system what it declared; no other call has these rows.
    unsafe fn run(&self, call: RangeCall<'_>, lane: &mut Lane) -> Result<(), JobError>;

    /// Runs and settles all rows in one call, if they can be cut [never](Cuts::Never).
    ///
    /// # Safety
    /// As [`RowBody::run`].
    unsafe fn run_all(&self, _: AllCall<'_>, _: &mut Lane) -> Result<(), JobError> {
        unreachable!("a body whose rows are cut is called for ranges")
    }
}

/// A Rust function over slices.
pub(crate) struct ChunkBody<D: QueryData, F: QueryFilter, Call> {
    pub(crate) query: Query<D, F>,
    pub(crate) call: Call,
}

impl<D, F, Call> RowBody for ChunkBody<D, F, Call>
where
    D: QueryData + 'static,
    F: ChunkFilter + 'static,
    Call: Fn(&mut RangeContext<'_>, D::Slices<'_>) + Send + Sync,
{
    fn query(&self) -> &QueryState {
        self.query.state()
    }
    fn query_mut(&mut self) -> &mut QueryState {
        self.query.state_mut()
    }
    fn for_each_written(&self, f: &mut dyn FnMut(ComponentId)) {
        self.query.writes().iter().copied().for_each(f);
    }
    unsafe fn run(&self, call: RangeCall<'_>, _: &mut Lane) -> Result<(), JobError> {
        let (world, chunk, rows) = (call.world.world(), call.chunk, call.rows.clone());
        let mut context = call.into_context();
        // SAFETY: the caller's duty; ranges start on multiples of 512.
        unsafe { self.query.slices_shared(world, chunk, rows, &mut |slices| (self.call)(&mut context, slices)) };
        Ok(())
    }
}

/// A Rust function over rows.
pub(crate) struct EachBody<D: QueryData, F: QueryFilter, Call> {
    pub(crate) query: Query<D, F>,
    pub(crate) call: Call,
}

impl<D, F, Call> RowBody for EachBody<D, F, Call>
where
    D: QueryData + 'static,
    F: QueryFilter + 'static,
    Call: Fn(&mut RangeContext<'_>, D::Row<'_>) + Send + Sync,
{
    fn query(&self) -> &QueryState {
        self.query.state()
    }
    fn query_mut(&mut self) -> &mut QueryState {
        self.query.state_mut()
    }
    fn for_each_written(&self, f: &mut dyn FnMut(ComponentId)) {
        self.query.writes().iter().copied().for_each(f);
    }
    unsafe fn run(&self, call: RangeCall<'_>, _: &mut Lane) -> Result<(), JobError> {
        let (world, chunk, rows) = (call.world.world(), call.chunk, call.rows.clone());
        let mut context = call.into_context();
        // SAFETY: as for slices.
        unsafe { self.query.rows_shared(world, chunk, rows, &mut |row| (self.call)(&mut context, row)) };
        Ok(())
    }
}
