//! Jobs at work: the lease on their columns is made and settled here.
//!
//! A call is lent the rows of a range or a chunk where they lie, or staging columns that hold all rows. What it wrote is
//! published when it returned. A call that failed has its rows marked, or restored if its job is atomic.
//!
//! # Rules
//! - A lease ends with the call. Bits and columns are touched here before it and after it, never during.
//! - Storage is made when a run begins, on the frame's thread, and kept: a steady frame allocates nothing.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use peristyle_jobs::{
    Access as JobAccess, EntityLookup, Extra, JobCall, JobCallParts, JobError, JobRunner, JobShape, Lane, Lent,
    PatchSink, ValueLookup,
};
use peristyle_layout::{Entity, PatchBuffer, PatchKind, PatchRecord, Scalar, chunk::CHUNK_ROWS};
use peristyle_world::{
    ChunkRef, CommandBuffer, ComponentId, LentColumn, PatchError, PatchValue, QueryState, ResourceId, SharedWorld,
};

use crate::{
    check::{CheckReport, Checker, Copied, Difference, Finding, columns_of, resources_of},
    context::Tick,
    error::ScheduleError,
    job::Shape,
    preimage::Preimage,
    ranges::Item,
    rows::{AllCall, Cuts, RangeCall, RowBody},
    slot::Frame,
    staging::Staging,
    touched::{CHUNK_WORDS, Touched},
};

/// The values of `extra`, as text.
pub(crate) struct Extras {
    write: Box<dyn Fn(Tick, &mut Vec<u8>) -> serde_json::Result<()> + Send + Sync>,
    text: String,
    /// Changes with the text; 0 before the first.
    version: u64,
    /// What the next text is written to.
    next: Vec<u8>,
}

impl Extras {
    pub(crate) fn new(write: impl Fn(Tick, &mut Vec<u8>) -> serde_json::Result<()> + Send + Sync + 'static) -> Extras {
        Extras { write: Box::new(write), text: String::new(), version: 0, next: Vec::new() }
    }

    /// Asks for the tick's value.
    fn ask(&mut self, tick: Tick) -> serde_json::Result<()> {
        self.next.clear();
        (self.write)(tick, &mut self.next)?;
        if self.version == 0 || self.next != self.text.as_bytes() {
            let text = String::from_utf8(mem::take(&mut self.next)).expect("JSON is UTF-8");
            self.next = mem::replace(&mut self.text, text).into_bytes();
            self.version += 1;
        }
        Ok(())
    }

    fn given(&self) -> Extra<'_> {
        Extra { json: &self.text, version: self.version }
    }
}

/// A job at work.
pub(crate) struct JobBody {
    name: String,
    runner: Arc<dyn JobRunner>,
    shape: JobShape,
    pub(crate) shape_of_calls: Shape,
    pub(crate) is_atomic: bool,
    components: Vec<(ComponentId, JobAccess)>,
    resources: Vec<ResourceId>,
    query: QueryState,
    /// Whether it reads opaque components.
    takes_values: bool,
    /// The columns of all resources, found again each run: a resource may have been replaced.
    lent_resources: Idle<Lent>,
    pub(crate) extra: Option<Extras>,
    /// One for each lane, if the job is atomic.
    preimages: Vec<Mutex<Preimage>>,
    /// What one call for all rows needs. There is one such call at a time.
    all: Mutex<All>,
    /// Column bytes copied since somebody asked.
    copied: AtomicU64,
}

/// What calls for all rows need.
#[derive(Default)]
struct All {
    staging: Staging,
    parts: Idle<PartRows>,
    columns: Idle<Lent>,
    changed: Idle<Option<Lent>>,
    calls: Idle<JobCall<'static>>,
    /// Pending bits, so many words for each part.
    pending: Vec<u64>,
}

/// A vector of what names columns that were lent once: stale addresses, but for the time of a run.
struct Idle<T>(Vec<T>);

// SAFETY: they are only addresses; `JobBody` answers for what is done with them.
unsafe impl<T> Send for Idle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Idle<T> {}

impl<T> Default for Idle<T> {
    fn default() -> Idle<T> {
        Idle(Vec::new())
    }
}

/// The rows of one part beside its columns.
#[derive(Clone, Copy)]
struct PartRows {
    rows: usize,
    eids: Lent,
    despawn: Option<Lent>,
}

/// What a call is lent: so many columns and bitsets for each part.
struct Leased<'a> {
    parts: &'a [PartRows],
    columns: &'a mut [Lent],
    changed: &'a [Option<Lent>],
}

/// Where and when a call runs.
#[derive(Clone, Copy)]
struct Place<'a> {
    world: SharedWorld<'a>,
    tick: Tick,
    checker: Option<&'a Checker>,
    /// Where patches go, if the job declared any.
    patches: Option<&'a PatchSink>,
    /// Where values go that the job changed, if that is looked at.
    watch: Option<&'a Watch>,
}

/// Copies of opaque values that a job changed: component and entity.
type Watch = Mutex<Vec<(u32, Entity)>>;

/// Columns of a call that fit on the stack.
const COLUMNS: usize = 64;

/// What a call asks the world for.
struct Lookup<'a> {
    world: SharedWorld<'a>,
    components: &'a [(ComponentId, JobAccess)],
    watch: Option<&'a Watch>,
}

impl EntityLookup for Lookup<'_> {
    fn entity(&self, index: u32) -> Entity {
        self.world.entity(index)
    }
}

impl ValueLookup for Lookup<'_> {
    fn value(&self, component: u32, entity: Entity) -> Result<serde_json::Value, String> {
        let id = self.components.iter().find(|(id, _)| id.index() == component);
        let (id, _) = id.ok_or_else(|| "the job did not declare it".to_owned())?;
        // The plan keeps those away who write the component, and structure stands still.
        match self.world.world().patch_value(entity, *id) {
            Ok(PatchValue::Json(value)) => Ok(value),
            Ok(PatchValue::Packed(_)) => Err("it lies in columns".to_owned()),
            Err(PatchError::Value { message, .. }) => Err(message),
            Err(error) => Err(error.to_string()),
        }
    }

    fn watches(&self) -> bool {
        self.watch.is_some()
    }

    fn changed(&self, component: u32, entity: Entity) {
        if let Some(watch) = self.watch {
            lock(watch).push((component, entity));
        }
    }
}

fn lent(ptr: *mut u8, len: usize, scalar: Scalar) -> Lent {
    Lent { ptr: NonNull::new(ptr).expect("columns are not at address 0"), len: len as u32, scalar }
}

/// The bits of so many rows.
fn lent_bits(bits: *mut u64, rows: usize) -> Lent {
    lent(bits.cast(), rows.div_ceil(64) * 8, Scalar::U8)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A list that lives on the stack while it is short.
struct Few<T: Copy, const N: usize> {
    few: [T; N],
    len: usize,
    many: Vec<T>,
}

impl<T: Copy, const N: usize> Few<T, N> {
    fn new(filler: T) -> Few<T, N> {
        Few { few: [filler; N], len: 0, many: Vec::new() }
    }
    fn push(&mut self, value: T) {
        if self.len < N {
            self.few[self.len] = value;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(value);
        }
        self.len += 1;
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        if self.many.is_empty() { &mut self.few[..self.len] } else { &mut self.many }
    }
}

impl JobBody {
    pub(crate) fn new(
        name: &str,
        runner: Arc<dyn JobRunner>,
        shape: JobShape,
        components: Vec<(ComponentId, JobAccess)>,
        resources: Vec<ResourceId>,
        query: QueryState,
    ) -> JobBody {
        JobBody {
            name: name.to_owned(),
            runner,
            takes_values: shape.components.iter().any(|component| component.opaque),
            shape,
            shape_of_calls: Shape::RowWise,
            is_atomic: false,
            components,
            resources,
            query,
            lent_resources: Idle::default(),
            extra: None,
            preimages: Vec::new(),
            all: Mutex::default(),
            copied: AtomicU64::new(0),
        }
    }

    fn touched(&self) -> Touched<'_> {
        Touched {
            components: &self.components,
            query: &self.query,
            despawns: self.shape.despawns,
            is_atomic: self.is_atomic,
        }
    }

    fn written(&self) -> impl Iterator<Item = ComponentId> {
        self.components.iter().filter(|(_, how)| *how == JobAccess::Write).map(|(component, _)| *component)
    }

    fn columns_len(&self) -> usize {
        self.shape.components.iter().map(|component| component.fields.len()).sum()
    }

    /// Readies storage for what failed calls of some rows would overwrite.
    fn reserve_preimages(&mut self, rows: usize, lanes: usize) {
        self.preimages.resize_with(lanes.max(self.preimages.len()), Mutex::default);
        let columns = self.shape.components.iter().filter(|component| component.access == JobAccess::Write);
        let row_bytes: usize = columns.flat_map(|c| &c.fields).map(|field| field.scalar.size()).sum();
        let resources: usize = self.lent_resources.0.iter().map(Lent::bytes).sum();
        let columns = (self.columns_len() + 1) * rows.div_ceil(CHUNK_ROWS) + self.lent_resources.0.len();
        let bytes = rows * row_bytes + rows / 8 + resources;
        let preimages = self.preimages.iter_mut();
        preimages.for_each(|preimage| {
            preimage.get_mut().unwrap_or_else(PoisonError::into_inner).reserve(bytes, columns);
        });
    }

    /// What is lent of some rows of a chunk, which start on a multiple of 64. `pending` holds their pending bits, if there
    /// is a `changed` filter.
    fn lend(
        &self,
        world: SharedWorld<'_>,
        (chunk, first, rows): (ChunkRef, usize, usize),
        pending: *mut u64,
        mut column: impl FnMut(Lent),
        mut changed: impl FnMut(Option<Lent>),
    ) -> PartRows {
        for (component, how) in &self.components {
            for LentColumn { ptr, scalar } in world.columns(chunk, *component, first) {
                column(lent(ptr, rows, scalar));
            }
            changed(match how {
                JobAccess::Write => world.live_bits(chunk, *component, first).map(|bits| lent_bits(bits, rows)),
                JobAccess::Read if self.touched().tells_changed(*component) => Some(lent_bits(pending, rows)),
                JobAccess::Read => None,
            });
        }
        PartRows {
            rows,
            eids: lent(world.eids(chunk, first).cast_mut().cast(), rows, Scalar::U32),
            despawn: self.shape.despawns.then(|| lent_bits(world.despawn_bits(chunk, first), rows)),
        }
    }

    /// One part as a call.
    ///
    /// # Safety
    /// As [`JobCall::lease`].
    unsafe fn lease<'a>(
        &'a self,
        leased: &'a Leased<'_>,
        part: usize,
        lookup: &'a Lookup<'_>,
        resources: &'a [Lent],
        place: Place<'a>,
    ) -> JobCall<'a> {
        let PartRows { rows, eids, despawn } = leased.parts[part];
        let (columns, bitsets) = (self.columns_len(), self.components.len());
        // SAFETY: the caller's duty; lengths follow the shape, from which the lists were made.
        unsafe {
            JobCall::lease(JobCallParts {
                shape: &self.shape,
                memory: Some(place.world.world().memory()),
                rows: rows as u32,
                eids,
                entities: lookup,
                values: self.takes_values.then_some(lookup as _),
                columns: &leased.columns[part * columns..][..columns],
                changed: &leased.changed[part * bitsets..][..bitsets],
                despawn,
                resources,
                dt: place.tick.dt,
                time: place.tick.time,
                extra: self.extra.as_ref().map(Extras::given),
                patches: place.patches,
            })
        }
    }

    /// Runs a call with a sink for its patches, which are recorded if it succeeds.
    fn with_patches(
        &self,
        commands: &mut CommandBuffer,
        run: impl FnOnce(Option<&PatchSink>) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        if !self.shape.patches_anything() {
            return run(None);
        }
        commands.record_patches(|records| {
            let mark = records.mark();
            let sink = PatchSink::new(mem::take(records));
            let result = run(Some(&sink));
            *records = sink.into_records();
            if result.is_err() {
                records.truncate(mark);
            }
            result
        })
    }

    /// Runs a call on what it was leased: checked if that is asked for, and undone if it fails and `saves`.
    ///
    /// # Safety
    /// What is leased is the system's by the plan and no other call's, as [`JobCall::lease`] asks.
    unsafe fn call(
        &self,
        place: Place<'_>,
        leased: &mut Leased<'_>,
        calls: &mut Vec<JobCall<'static>>,
        saves: bool,
        lane: &mut Lane,
    ) -> Result<(), JobError> {
        let mut preimage = saves.then(|| lock(&self.preimages[lane.index() as usize]));
        if let Some(preimage) = &mut preimage {
            // SAFETY: the caller's duty; the lease has not begun.
            unsafe { preimage.save(self.overwritten(leased)) };
        }
        // SAFETY: the caller's duty.
        let result = unsafe {
            // What reaches the memory itself has no use for copies elsewhere.
            match place.checker.filter(|_| !self.runner.reaches_memory()) {
                Some(checker) => self.checked_call(place, checker, leased, calls, lane),
                None => self.plain_call(place, leased, &self.lent_resources.0, calls, lane),
            }
        };
        if let (Some(preimage), Err(_)) = (&preimage, &result) {
            // SAFETY: the caller's duty; the lease is over.
            unsafe { preimage.restore(self.overwritten(leased)) };
        }
        result
    }

    /// What a call may overwrite, but for the bits of marks.
    fn overwritten<'a>(&'a self, leased: &'a Leased<'_>) -> impl Iterator<Item = Lent> + use<'a> {
        let columns = leased.columns.iter().zip(columns_of(&self.shape).cycle());
        let resources = self.lent_resources.0.iter().zip(resources_of(&self.shape));
        let written = columns.chain(resources).filter(|(_, (_, _, access))| *access == JobAccess::Write);
        written.map(|(column, _)| *column).chain(leased.parts.iter().filter_map(|part| part.despawn))
    }

    /// # Safety
    /// As [`JobBody::call`].
    unsafe fn plain_call(
        &self,
        place: Place<'_>,
        leased: &Leased<'_>,
        resources: &[Lent],
        calls: &mut Vec<JobCall<'static>>,
        lane: &mut Lane,
    ) -> Result<(), JobError> {
        let lookup = Lookup { world: place.world, components: &self.components, watch: place.watch };
        if self.shape_of_calls != Shape::Parts {
            // SAFETY: the caller's duty.
            let call = unsafe { self.lease(leased, 0, &lookup, resources, place) };
            return caught(|| self.runner.run(lane, &call));
        }
        let mut parts = recycled(mem::take(calls));
        for part in 0..leased.parts.len() {
            // SAFETY: the caller's duty; parts are different rows.
            parts.push(unsafe { self.lease(leased, part, &lookup, resources, place) });
        }
        let result = caught(|| self.runner.run_parts(lane, &parts));
        *calls = recycled(parts);
        result
    }

    /// As [`JobBody::plain_call`], with copies of what is only read, and, if the job is row-wise, after a trial on copies of
    /// all columns.
    ///
    /// # Safety
    /// As [`JobBody::call`].
    unsafe fn checked_call(
        &self,
        place: Place<'_>,
        checker: &Checker,
        leased: &mut Leased<'_>,
        calls: &mut Vec<JobCall<'static>>,
        lane: &mut Lane,
    ) -> Result<(), JobError> {
        let is_read = |(_, _, access): (&str, &str, JobAccess)| access == JobAccess::Read;
        let mut resources = self.lent_resources.0.clone();
        // SAFETY: the caller's duty; the lease has not begun.
        let trial =
            (self.shape_of_calls == Shape::RowWise).then(|| unsafe { self.try_out(place, checker, leased, lane) });
        let mut copies = Vec::new();
        let columns = leased.columns.iter_mut().zip(columns_of(&self.shape).cycle());
        for (column, names) in columns.chain(resources.iter_mut().zip(resources_of(&self.shape))) {
            if is_read(names) {
                // SAFETY: as above.
                let mut copy = unsafe { Copied::of(column) };
                let original = mem::replace(column, copy.lend_all());
                copies.push((original, copy));
            }
        }
        let before = place.patches.map_or(0, |patches| patches.with(PatchBuffer::len));
        let watch = Watch::default();
        let watched = Place { watch: Some(&watch), ..place };
        // SAFETY: the caller's duty; the copies live until after the call.
        let result = unsafe { self.plain_call(watched, leased, &resources, calls, lane) };
        if result.is_ok() {
            self.report_unwritten(place, checker, watch.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        // SAFETY: the lease is over; what was lent may be read, and nobody writes it.
        unsafe {
            let mut copies = copies.into_iter();
            let columns = leased.columns.iter_mut().zip(columns_of(&self.shape).cycle()).enumerate();
            for (at, (column, (component, field, _))) in columns.filter(|(_, (_, names))| is_read(*names)) {
                let Some((original, copy)) = copies.next() else { break };
                *column = original;
                if let Some(row) = copy.first_difference(&original) {
                    let (component, field) = (component.to_owned(), field.to_owned());
                    let part = leased.parts[at / self.columns_len()];
                    self.report(place, checker, Finding::WroteReadColumn { component, field }, Some((&part, row)));
                }
            }
            let read = resources_of(&self.shape).filter(|names| is_read(*names));
            for ((original, copy), (resource, field, _)) in copies.zip(read) {
                if let Some(row) = copy.first_difference(&original) {
                    let (resource, field) = (resource.to_owned(), field.to_owned());
                    self.report(place, checker, Finding::WroteReadResource { resource, field, row }, None);
                }
            }
            if let Some(trial) = trial {
                self.compare(place, checker, leased, &trial, result.is_err());
                if let (Some(patches), true) = (place.patches, result.is_ok() && !trial.failed) {
                    patches.with(|patches| self.compare_patches(place, checker, patches.iter().skip(before), &trial));
                }
            }
        }
        result
    }

    fn report(&self, place: Place<'_>, checker: &Checker, finding: Finding, row: Option<(&PartRows, usize)>) {
        let entity = row.map(|(part, row)| {
            // SAFETY: the entity indices of leased rows are readable, and written by nobody while structure stands still.
            place.world.entity(unsafe { part.eids.ptr.as_ptr().cast::<u32>().add(row).read() })
        });
        checker.report(CheckReport { system: self.name.clone(), tick: place.tick.number, finding, entity });
    }

    /// Reports copies of values that the job changed without a patch that says so.
    fn report_unwritten(&self, place: Place<'_>, checker: &Checker, changed: Vec<(u32, Entity)>) {
        let is_patched = |component: u32, entity: Entity| {
            let of_it = |patch: &PatchRecord<'_>| {
                patch.entity == entity && (patch.component == component || patch.kind == PatchKind::Destroy)
            };
            place.patches.is_some_and(|patches| patches.with(|patches| patches.iter().any(|patch| of_it(&patch))))
        };
        for (component, entity) in changed.into_iter().filter(|(component, entity)| !is_patched(*component, *entity)) {
            let Some(shape) = self.shape.components.iter().find(|shape| shape.id == component) else { continue };
            let finding = Finding::ChangedValue { component: shape.name.clone() };
            let (system, tick) = (self.name.clone(), place.tick.number);
            checker.report(CheckReport { system, tick, finding, entity: Some(entity) });
        }
    }

    /// Runs the job on copies of its rows, cut at random borders; gives what came of it.
    ///
    /// # Safety
    /// What is leased may be read, and nobody writes it.
    unsafe fn try_out(&self, place: Place<'_>, checker: &Checker, leased: &Leased<'_>, lane: &mut Lane) -> Trial {
        let part = leased.parts[0];
        // A trial's patches are not for the world.
        let discarded = PatchSink::default();
        let place = Place { patches: place.patches.map(|_| &discarded), ..place };
        // SAFETY: the caller's duty.
        let mut trial = unsafe {
            Trial {
                columns: leased.columns.iter().map(|column| Copied::of(column)).collect(),
                marks: leased.changed.iter().map(|bits| bits.map(|bits| Copied::of(&bits))).collect(),
                despawn: part.despawn.map(|bits| Copied::of(&bits)),
                resources: self.lent_resources.0.iter().map(|column| Copied::of(column)).collect(),
                patches: PatchBuffer::new(),
                failed: false,
            }
        };
        // SAFETY: as above.
        let first_eid = unsafe { part.eids.ptr.as_ptr().cast::<u32>().read() };
        for border in checker.borders(place.tick.number, first_eid, part.rows).windows(2) {
            let (first, rows) = (border[0], border[1] - border[0]);
            let eids = part.eids.ptr.as_ptr().wrapping_add(first * 4);
            let mut columns: Vec<Lent> = trial.columns.iter_mut().map(|copy| copy.lend(first..first + rows)).collect();
            // Bits begin with the range's first row.
            let mut cut = |bits: &Copied| bits.cut(first, rows);
            let mut marks: Vec<_> = trial.marks.iter().map(|bits| bits.as_ref().map(&mut cut)).collect();
            let mut despawn = trial.despawn.as_ref().map(&mut cut);
            let changed: Vec<_> = marks.iter_mut().map(|bits| bits.as_mut().map(Copied::lend_all)).collect();
            let rows_of =
                PartRows { rows, eids: lent(eids, rows, Scalar::U32), despawn: despawn.as_mut().map(Copied::lend_all) };
            let leased = Leased { parts: &[rows_of], columns: &mut columns, changed: &changed };
            let resources: Vec<Lent> = trial.resources.iter_mut().map(Copied::lend_all).collect();
            // SAFETY: all are copies that live until after the call, but for the entity indices, which nobody writes.
            let result = unsafe { self.plain_call(place, &leased, &resources, &mut Vec::new(), lane) };
            for (all, part) in trial.marks.iter_mut().zip(marks).chain([(&mut trial.despawn, despawn)]) {
                if let (Some(all), Some(part)) = (all, part) {
                    all.paste(&part, first, rows);
                }
            }
            trial.failed |= result.is_err();
            if trial.failed {
                break;
            }
        }
        trial.patches = discarded.into_records();
        trial
    }

    /// Reports the first entity to which a call gave other patches than its trial. Patches of one entity have an order.
    fn compare_patches<'p>(
        &self,
        place: Place<'_>,
        checker: &Checker,
        patches: impl Iterator<Item = PatchRecord<'p>>,
        trial: &Trial,
    ) {
        let (mut given, mut tried): (Vec<_>, Vec<_>) = (patches.collect(), trial.patches.iter().collect());
        given.sort_by_key(|patch| patch.entity.to_bits());
        tried.sort_by_key(|patch| patch.entity.to_bits());
        let Some(at) = (0..given.len().max(tried.len())).find(|at| given.get(*at) != tried.get(*at)) else { return };
        let entity = [given.get(at), tried.get(at)].into_iter().flatten().map(|patch| patch.entity).min();
        let (system, finding) = (self.name.clone(), Finding::DependsOnRanges(Difference::Patches));
        checker.report(CheckReport { system, tick: place.tick.number, finding, entity });
    }

    /// Reports where a call did not do the same as its trial.
    ///
    /// # Safety
    /// As [`JobBody::try_out`].
    unsafe fn compare(&self, place: Place<'_>, checker: &Checker, leased: &Leased<'_>, trial: &Trial, failed: bool) {
        let part = leased.parts[0];
        let report = |difference, row: Option<usize>| {
            self.report(place, checker, Finding::DependsOnRanges(difference), row.map(|row| (&part, row)));
        };
        if failed || trial.failed {
            if failed != trial.failed {
                report(Difference::Failure, None);
            }
            return;
        }
        let written = |(_, _, access): &(&str, &str, JobAccess)| *access == JobAccess::Write;
        let columns = leased.columns.iter().zip(&trial.columns).zip(columns_of(&self.shape));
        for ((column, copy), (component, field, _)) in columns.filter(|(_, names)| written(names)) {
            // SAFETY: the caller's duty.
            if let Some(row) = unsafe { copy.first_difference(column) } {
                let (component, field) = (component.to_owned(), field.to_owned());
                report(Difference::Column { component, field }, Some(row));
            }
        }
        let bitsets = leased.changed.iter().zip(&trial.marks).zip(&self.shape.components);
        for ((bits, copy), component) in bitsets.filter(|(_, component)| component.access == JobAccess::Write) {
            let (Some(bits), Some(copy)) = (bits, copy) else { continue };
            // SAFETY: as above.
            if let Some(row) = unsafe { copy.first_different_bit(bits, part.rows) } {
                report(Difference::Marks { component: component.name.clone() }, Some(row));
            }
        }
        if let (Some(bits), Some(copy)) = (part.despawn, &trial.despawn)
            // SAFETY: as above.
            && let Some(row) = unsafe { copy.first_different_bit(&bits, part.rows) }
        {
            report(Difference::Despawns, Some(row));
        }
        let resources = self.lent_resources.0.iter().zip(&trial.resources).zip(resources_of(&self.shape));
        for ((column, copy), (resource, field, _)) in resources.filter(|(_, names)| written(names)) {
            // SAFETY: as above.
            if unsafe { copy.first_difference(column) }.is_some() {
                let (resource, field) = (resource.to_owned(), field.to_owned());
                report(Difference::Resource { resource, field }, None);
            }
        }
    }

    /// Runs and settles a range, or a chunk, where it lies.
    ///
    /// # Safety
    /// As [`RowBody::run`].
    unsafe fn run_item(
        &self,
        place: Place<'_>,
        item: (ChunkRef, usize, usize),
        lane: &mut Lane,
    ) -> Result<(), JobError> {
        let (chunk, first, rows) = item;
        // What a `changed` filter found, for components that the job only reads.
        let mut pending = [0_u64; CHUNK_WORDS];
        if self.query.has_row_filter() {
            place.world.copy_pending(&self.query, chunk, first..first + rows, &mut pending);
            if pending[..rows.div_ceil(64)].iter().all(|word| *word == 0) {
                return Ok(());
            }
        }
        let filler = lent_bits(pending.as_mut_ptr(), rows);
        let mut columns = Few::<Lent, COLUMNS>::new(filler);
        let mut changed = Few::<Option<Lent>, COLUMNS>::new(None);
        let part = self.lend(
            place.world,
            item,
            pending.as_mut_ptr(),
            |column| columns.push(column),
            |bits| changed.push(bits),
        );
        let leased = &mut Leased { parts: &[part], columns: columns.as_mut_slice(), changed: changed.as_mut_slice() };
        // SAFETY: the columns and bits are those of rows of a live chunk, which stays while structure stands still. By the
        // caller's word the plan gave this system what it declared and no other call has these rows: written columns and
        // bits are ours alone; read ones are written by nobody, and lending conflicts with Rust readers in the plan.
        // Resources that are written are so by one call at a time, see `cuts`. Ranges start on words of bitsets.
        let result = unsafe { self.call(place, leased, &mut Vec::new(), self.is_atomic, lane) };
        // SAFETY: the lease is over; the rest is the caller's duty.
        unsafe { self.touched().settle(place.world, item, result.is_ok()) };
        result
    }

    /// Runs all chunks in one call, each a part.
    ///
    /// # Safety
    /// As [`RowBody::run_all`].
    unsafe fn run_parts(&self, place: Place<'_>, items: &[Item], lane: &mut Lane) -> Result<(), JobError> {
        let All { parts, columns, changed, calls, pending, .. } = &mut *lock(&self.all);
        parts.0.clear();
        columns.0.clear();
        changed.0.clear();
        for (at, item) in items.iter().enumerate() {
            let mut bits = NonNull::<u64>::dangling().as_ptr();
            if self.query.has_row_filter() {
                let words = &mut pending[at * CHUNK_WORDS..][..CHUNK_WORDS];
                place.world.copy_pending(&self.query, item.chunk, item.range(), words);
                bits = words.as_mut_ptr();
            }
            let part = self.lend(
                place.world,
                item.place(),
                bits,
                |column| columns.0.push(column),
                |bits| changed.0.push(bits),
            );
            parts.0.push(part);
        }
        let leased = &mut Leased { parts: &parts.0, columns: &mut columns.0, changed: &changed.0 };
        // SAFETY: as in `run_item`, for whole chunks, each leased once.
        let result = unsafe { self.call(place, leased, &mut calls.0, self.is_atomic, lane) };
        for item in items {
            // SAFETY: as there.
            unsafe { self.touched().settle(place.world, item.place(), result.is_ok()) };
        }
        result
    }

    /// Runs all chunks in one call on staging columns.
    ///
    /// # Safety
    /// As [`RowBody::run_all`].
    unsafe fn run_staged(&self, place: Place<'_>, items: &[Item], lane: &mut Lane) -> Result<(), JobError> {
        let All { staging, columns, changed, .. } = &mut *lock(&self.all);
        let (world, rows) = (place.world, items.iter().map(|item| item.rows as usize).sum::<usize>());
        // SAFETY: staging is this call's alone and has room for so many rows, see `begin`; of the world it reads what the
        // plan gave this system, before the lease begins.
        self.count_copied(unsafe { self.touched().gather(world, items, rows, staging) });
        let mut lent_columns = staging.columns().map(|(ptr, scalar)| lent(ptr, rows, scalar));
        let eids = lent_columns.next().expect("entity indices come first");
        columns.0.clear();
        columns.0.extend(lent_columns);
        changed.0.clear();
        let bits = |bitset| lent_bits(staging.bitset(bitset), rows);
        changed.0.extend(self.components.iter().enumerate().map(|(bitset, (component, how))| {
            (*how == JobAccess::Write || self.touched().tells_changed(*component)).then(|| bits(bitset))
        }));
        let despawn = self.shape.despawns.then(|| bits(self.components.len()));
        let part = PartRows { rows, eids, despawn };
        let leased = &mut Leased { parts: &[part], columns: &mut columns.0, changed: &changed.0 };
        // SAFETY: staging columns are this call's alone. Nothing has to be saved: what fails is not copied back.
        let result = unsafe { self.call(place, leased, &mut Vec::new(), false, lane) };
        // SAFETY: the lease is over; written columns of the world are this system's by the plan.
        self.count_copied(unsafe { self.touched().scatter(world, items, staging, result.is_ok()) });
        result
    }

    fn count_copied(&self, bytes: u64) {
        // Relaxed: the frame's thread asks when the run is over, which orders it.
        self.copied.fetch_add(bytes, Relaxed);
    }
}

/// What came of a job on copies of its rows.
struct Trial {
    columns: Vec<Copied>,
    marks: Vec<Option<Copied>>,
    despawn: Option<Copied>,
    resources: Vec<Copied>,
    patches: PatchBuffer,
    failed: bool,
}

impl RowBody for JobBody {
    fn query(&self) -> &QueryState {
        &self.query
    }

    fn query_mut(&mut self) -> &mut QueryState {
        &mut self.query
    }

    fn for_each_written(&self, f: &mut dyn FnMut(ComponentId)) {
        self.written().for_each(f);
    }

    fn cuts(&self) -> Cuts {
        let writes_resource = self.shape.resources.iter().any(|resource| resource.access == JobAccess::Write);
        match self.shape_of_calls {
            Shape::RowWise if !writes_resource => Cuts::Ranges,
            Shape::RowWise => Cuts::Chunks,
            Shape::Parts | Shape::Whole => Cuts::Never,
        }
    }

    fn begin(&mut self, frame: &Frame<'_>, chunks: &[ChunkRef], lanes: usize) -> Result<(), ScheduleError> {
        if let Some(extra) = &mut self.extra {
            extra.ask(frame.tick).map_err(|source| ScheduleError::Extra { system: self.name.clone(), source })?;
        }
        self.lent_resources.0.clear();
        for (id, shape) in self.resources.iter().zip(&self.shape.resources) {
            let columns = SharedWorld::new(frame.world).column_resource(*id);
            // Columns may have been replaced by others of the same name since the job was added.
            let columns = columns
                .filter(|columns| columns.fields() == shape.fields)
                .ok_or_else(|| ScheduleError::NoColumns { system: self.name.clone(), resource: shape.name.clone() })?;
            let rows = columns.rows();
            self.lent_resources.0.extend(columns.columns().map(|(ptr, scalar)| lent(ptr, rows, scalar)));
        }
        let rows: usize = chunks.iter().map(|chunk| chunk.rows()).sum();
        if self.is_atomic {
            self.reserve_preimages(
                if self.shape_of_calls == Shape::Parts { rows } else { rows.min(CHUNK_ROWS) },
                lanes,
            );
        }
        let (columns, bitsets) = (self.columns_len(), self.components.len());
        let all = self.all.get_mut().unwrap_or_else(PoisonError::into_inner);
        match self.shape_of_calls {
            Shape::Parts => {
                let room = |len: usize, wanted: usize| wanted.saturating_sub(len);
                all.parts.0.reserve(room(all.parts.0.len(), chunks.len()));
                all.calls.0.reserve(chunks.len());
                all.columns.0.reserve(room(all.columns.0.len(), chunks.len() * columns));
                all.changed.0.reserve(room(all.changed.0.len(), chunks.len() * bitsets));
                if self.query.has_row_filter() {
                    all.pending.resize(all.pending.len().max(chunks.len() * CHUNK_WORDS), 0);
                }
            }
            Shape::Whole if chunks.len() > 1 => {
                let scalars = self.shape.components.iter().flat_map(|c| &c.fields).map(|field| field.scalar);
                let memory = frame.world.memory();
                all.staging.reserve(memory, rows, scalars, bitsets + 1).map_err(peristyle_world::WorldError::from)?;
            }
            Shape::RowWise | Shape::Whole => {}
        }
        Ok(())
    }

    fn take_copied(&mut self) -> u64 {
        mem::take(self.copied.get_mut())
    }

    fn call_ns(&self) -> f64 {
        3_000.0
    }

    unsafe fn run(&self, call: RangeCall<'_>, lane: &mut Lane) -> Result<(), JobError> {
        let RangeCall { world, tick, checker, chunk, rows, commands, .. } = call;
        self.with_patches(commands, |patches| {
            let place = Place { world, tick, checker, patches, watch: None };
            // SAFETY: the caller's duty.
            unsafe { self.run_item(place, (chunk, rows.start, rows.len()), lane) }
        })
    }

    unsafe fn run_all(&self, call: AllCall<'_>, lane: &mut Lane) -> Result<(), JobError> {
        let AllCall { world, tick, items, commands, checker } = call;
        self.with_patches(commands, |patches| {
            let place = Place { world, tick, checker, patches, watch: None };
            // SAFETY: the caller's duty.
            unsafe {
                match (self.shape_of_calls, items) {
                    (Shape::Parts, _) => self.run_parts(place, items, lane),
                    (_, [item]) => self.run_item(place, item.place(), lane),
                    _ => self.run_staged(place, items, lane),
                }
            }
        })
    }
}

/// The storage of an emptied vector, for calls of another lifetime.
fn recycled<'a>(mut calls: Vec<JobCall<'_>>) -> Vec<JobCall<'a>> {
    calls.clear();
    // Collecting in place keeps the allocation.
    calls.into_iter().map(|_| -> JobCall<'a> { unreachable!("the vector is empty") }).collect()
}

/// A runner that panics fails its call as one whose job throws: the lease is settled all the same.
fn caught(run: impl FnOnce() -> Result<(), JobError>) -> Result<(), JobError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(JobError::Panicked(message(&*payload))))
}

/// The text of a panic, if it had one.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without text").to_owned()
}
