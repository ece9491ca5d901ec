//! Bodies over rows: what runs on a range of a chunk, on any lane.

use std::ops::Range;

use peristyle_jobs::{JobError, Lane};
use peristyle_world::{
    ChunkFilter, ChunkRef, CommandBuffer, ComponentId, Query, QueryData, QueryFilter, QueryState, SharedWorld, World,
};

use crate::{
    context::{RangeContext, SystemKey, Tick},
    error::ScheduleError,
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

    /// Readies a run, beyond what the query needs.
    fn begin(&mut self, _: &World, _: Tick) -> Result<(), ScheduleError> {
        Ok(())
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
