//! Jobs of another language as bodies: the lease on their columns is made here.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    sync::Arc,
};

use peristyle_jobs::{
    Access as JobAccess, ComponentShape, EntityLookup, Extra, JobCall, JobCallParts, JobError, JobRunner, JobShape,
    Lane, Lent, PatchShape, PatchSink, ResourceShape,
};
use peristyle_layout::{Entity, Scalar, chunk::CHUNK_ROWS};
use peristyle_world::{Component, ComponentId, LentColumn, QuerySpec, QueryState, ResourceId, SharedWorld, World};

use crate::{
    access::Touch,
    context::{ColumnComponent, Setup, Tick},
    error::ScheduleError,
    rows::{RangeCall, RowBody},
};

type Declare = Box<dyn FnOnce(&mut World, &mut Declared) + Send>;
type ExtraOf = Box<dyn Fn(Tick) -> serde_json::Value + Send + Sync>;

/// A job of another language, with what it reads and writes.
///
/// ```
/// # use peristyle_jobs::{JobCall, JobError, JobRunner, Lane};
/// # use peristyle_schedule::{Job, System};
/// # use peristyle_world::Component;
/// # #[derive(Component, Clone, Copy)]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # struct Velocity { x: f32 }
/// # struct Script;
/// # impl JobRunner for Script {
/// #     fn name(&self) -> &str { "physics.job.ts" }
/// #     fn run(&self, _: &mut Lane, _: &JobCall<'_>) -> Result<(), JobError> { Ok(()) }
/// # }
/// # let script = Script;
/// let system = System::new("physics").job(Job::new(script).reads::<Velocity>().writes::<Position>());
/// ```
pub struct Job {
    runner: Arc<dyn JobRunner>,
    declare: Vec<Declare>,
    extra: Option<ExtraOf>,
}

#[derive(Default)]
struct Declared {
    components: Vec<(ComponentId, JobAccess)>,
    resources: Vec<(ResourceId, JobAccess)>,
    spec: QuerySpec,
    patches: Vec<ComponentId>,
    despawns: bool,
}

impl Declared {
    fn component(&mut self, id: ComponentId, access: JobAccess) {
        if !join(&mut self.components, id, access) {
            self.spec.all.push(id);
        }
    }
}

/// Adds to a list of what is touched, once each: writing implies reading. Gives whether it was there.
fn join<T: PartialEq>(list: &mut Vec<(T, JobAccess)>, id: T, access: JobAccess) -> bool {
    match list.iter_mut().find(|(known, _)| *known == id) {
        Some((_, known)) => {
            if access == JobAccess::Write {
                *known = access;
            }
            true
        }
        None => {
            list.push((id, access));
            false
        }
    }
}

impl Job {
    /// A job that touches nothing yet.
    pub fn new(runner: impl JobRunner + 'static) -> Job {
        Job { runner: Arc::new(runner), declare: Vec::new(), extra: None }
    }

    fn declare(mut self, declare: impl FnOnce(&mut World, &mut Declared) + Send + 'static) -> Job {
        self.declare.push(Box::new(declare));
        self
    }

    /// The job reads `C`, and sees rows that have it.
    pub fn reads<C: Component>(self) -> Job {
        self.declare(|world, declared| {
            let id = world.register::<C>();
            declared.component(id, JobAccess::Read);
        })
    }

    /// The job writes `C`, and sees rows that have it.
    pub fn writes<C: Component>(self) -> Job {
        self.declare(|world, declared| {
            let id = world.register::<C>();
            declared.component(id, JobAccess::Write);
        })
    }

    /// The job reads a component defined at run time.
    pub fn reads_id(self, id: ComponentId) -> Job {
        self.declare(move |_, declared| declared.component(id, JobAccess::Read))
    }

    /// The job writes a component defined at run time.
    pub fn writes_id(self, id: ComponentId) -> Job {
        self.declare(move |_, declared| declared.component(id, JobAccess::Write))
    }

    /// The job sees rows that have a `C`, which it does not touch.
    pub fn with<C: Component>(self) -> Job {
        self.declare(|world, declared| declared.spec.all.push(world.register::<C>()))
    }

    /// The job sees rows that have no `C`.
    pub fn without<C: Component>(self) -> Job {
        self.declare(|world, declared| declared.spec.none.push(world.register::<C>()))
    }

    /// The job is called for ranges in which a `C` changed since it saw them. If it only reads `C`, `changed` says which
    /// rows did; with several such filters, in which rows one of them did.
    pub fn changed<C: Component>(self) -> Job {
        self.declare(|world, declared| {
            let id = world.register::<C>();
            declared.component(id, JobAccess::Read);
            declared.spec.changed.push(id);
        })
    }

    /// The job reads columns that the world has once.
    pub fn reads_columns<C: ColumnComponent>(self) -> Job {
        self.reads_columns_named(C::NAME)
    }

    /// The job writes columns that the world has once.
    pub fn writes_columns<C: ColumnComponent>(self) -> Job {
        self.declare(|world, declared| {
            let id = world.column_resource_id(C::NAME);
            join(&mut declared.resources, id, JobAccess::Write);
        })
    }

    /// The job reads columns of that name that the world has once.
    pub fn reads_columns_named(self, name: &str) -> Job {
        let name = name.to_owned();
        self.declare(move |world, declared| {
            let id = world.column_resource_id(&name);
            join(&mut declared.resources, id, JobAccess::Read);
        })
    }

    /// The job may set, add and remove `C` by patches, as it may what it [writes](Job::writes). Nothing of `C` is lent, and
    /// its rows need not have one: patches are applied when the stage ends, so they are in nobody's way.
    pub fn patches<C: Component>(self) -> Job {
        self.declare(|world, declared| declared.patches.push(world.register::<C>()))
    }

    /// As [`Job::patches`], for a component defined at run time.
    pub fn patches_id(self, id: ComponentId) -> Job {
        self.declare(move |_, declared| declared.patches.push(id))
    }

    /// The job may set despawn bits, and destroy by patches.
    pub fn despawns(self) -> Job {
        self.declare(|_, declared| declared.despawns = true)
    }

    /// Gives each call what `extra` returns for the tick.
    pub fn extra(mut self, extra: impl Fn(Tick) -> serde_json::Value + Send + Sync + 'static) -> Job {
        self.extra = Some(Box::new(extra));
        self
    }

    pub(crate) fn build(self, system: &str, setup: &mut Setup<'_>) -> Result<JobBody, ScheduleError> {
        let Setup { world, access, consumer, .. } = setup;
        let mut declared = Declared::default();
        self.declare.into_iter().for_each(|declare| declare(world, &mut declared));
        let mut shape = JobShape { despawns: declared.despawns, ..JobShape::default() };
        for (id, how) in &declared.components {
            let info = world.components().info(*id);
            if !info.is_columnar() {
                let (system, component) = (system.to_owned(), info.name().to_owned());
                return Err(ScheduleError::OpaqueComponent { system, component });
            }
            shape.components.push(ComponentShape {
                id: id.index(),
                name: info.name().to_owned(),
                fields: info.fields().to_vec(),
                access: *how,
            });
            access.component(*id, if *how == JobAccess::Write { Touch::WRITE } else { Touch::LEND });
        }
        for (id, how) in &declared.resources {
            let name = world.resource_name(*id).to_owned();
            let columns = SharedWorld::new(world).column_resource(*id);
            let fields = columns
                .map(|columns| columns.fields().to_vec())
                .ok_or_else(|| ScheduleError::NoColumns { system: system.to_owned(), resource: name.clone() })?;
            shape.resources.push(ResourceShape { name, fields, access: *how });
            access.resource(*id, if *how == JobAccess::Write { Touch::WRITE } else { Touch::LEND });
        }
        for id in declared.patches {
            let is_written = declared.components.contains(&(id, JobAccess::Write));
            if is_written || shape.patches.iter().any(|known| known.id == id.index()) {
                continue;
            }
            let info = world.components().info(id);
            let (name, fields, opaque) = (info.name().to_owned(), info.fields().to_vec(), !info.is_columnar());
            shape.patches.push(PatchShape { id: id.index(), name, fields, opaque });
        }
        access.despawns |= declared.despawns;
        let query = QueryState::new(world, declared.spec, Some(*consumer));
        Ok(JobBody {
            name: system.to_owned(),
            runner: self.runner,
            shape,
            components: declared.components,
            resources: declared.resources.into_iter().map(|(id, _)| id).collect(),
            query,
            lent_resources: Vec::new(),
            extra: self.extra,
            extra_json: None,
            extra_version: 0,
        })
    }
}

/// A job at work.
pub(crate) struct JobBody {
    name: String,
    runner: Arc<dyn JobRunner>,
    shape: JobShape,
    components: Vec<(ComponentId, JobAccess)>,
    resources: Vec<ResourceId>,
    query: QueryState,
    /// The columns of all resources, found again each run: a resource may have been replaced.
    lent_resources: Vec<SendLent>,
    extra: Option<ExtraOf>,
    extra_json: Option<(serde_json::Value, String)>,
    extra_version: u64,
}

/// A lent column, remembered between the begin and the calls of one run.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct SendLent(Lent);

// SAFETY: it is only an address; `JobBody::run` answers for what is done with it.
unsafe impl Send for SendLent {}
// SAFETY: as above.
unsafe impl Sync for SendLent {}

impl SendLent {
    fn as_lent(list: &[SendLent]) -> &[Lent] {
        // SAFETY: `SendLent` is a transparent wrapper of `Lent`.
        unsafe { std::slice::from_raw_parts(list.as_ptr().cast(), list.len()) }
    }
}

/// Columns of a call that fit on the stack.
const COLUMNS: usize = 64;

struct Lookup<'a>(SharedWorld<'a>);

impl EntityLookup for Lookup<'_> {
    fn entity(&self, index: u32) -> Entity {
        self.0.entity(index)
    }
}

fn lent(ptr: *mut u8, len: usize, scalar: Scalar) -> Lent {
    Lent { ptr: NonNull::new(ptr).expect("columns are not at address 0"), len: len as u32, scalar }
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
    fn as_slice(&self) -> &[T] {
        if self.many.is_empty() { &self.few[..self.len] } else { &self.many }
    }
}

impl JobBody {
    fn written(&self) -> impl Iterator<Item = ComponentId> {
        self.components.iter().filter(|(_, how)| *how == JobAccess::Write).map(|(component, _)| *component)
    }
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

    fn begin(&mut self, world: &World, tick: Tick) -> Result<(), ScheduleError> {
        if let Some(extra) = &self.extra {
            let value = extra(tick);
            if self.extra_json.as_ref().is_none_or(|(known, _)| *known != value) {
                self.extra_version += 1;
                let json = value.to_string();
                self.extra_json = Some((value, json));
            }
        }
        self.lent_resources.clear();
        for (id, shape) in self.resources.iter().zip(&self.shape.resources) {
            let columns = SharedWorld::new(world).column_resource(*id);
            // Columns may have been replaced by others of the same name since the job was added.
            let columns = columns
                .filter(|columns| columns.fields() == shape.fields)
                .ok_or_else(|| ScheduleError::NoColumns { system: self.name.clone(), resource: shape.name.clone() })?;
            let rows = columns.rows();
            self.lent_resources.extend(columns.columns().map(|(ptr, scalar)| SendLent(lent(ptr, rows, scalar))));
        }
        Ok(())
    }

    fn call_ns(&self) -> f64 {
        3_000.0
    }

    unsafe fn run(&self, call: RangeCall<'_>, lane: &mut Lane) -> Result<(), JobError> {
        let RangeCall { world, chunk, ref rows, tick, commands, .. } = call;
        let (first, count) = (rows.start, rows.len());
        let words = count.div_ceil(64);
        let bitset = |bits: *mut u64| lent(bits.cast(), words * 8, Scalar::U8);
        // What a `changed` filter found, for components that the job only reads.
        let mut pending = [0_u64; CHUNK_ROWS / 64];
        if self.query.has_row_filter() {
            world.copy_pending(&self.query, chunk, rows.clone(), &mut pending);
            if pending[..words].iter().all(|word| *word == 0) {
                return Ok(());
            }
        }
        let eids = lent(world.eids(chunk, first).cast_mut().cast(), count, Scalar::U32);
        let mut columns = Few::<Lent, COLUMNS>::new(eids);
        let mut changed = Few::<Option<Lent>, COLUMNS>::new(None);
        for (component, how) in &self.components {
            for LentColumn { ptr, scalar } in world.columns(chunk, *component, first) {
                columns.push(lent(ptr, count, scalar));
            }
            changed.push(match how {
                JobAccess::Write => world.live_bits(chunk, *component, first).map(bitset),
                JobAccess::Read if self.query.spec().changed.contains(component) => Some(bitset(pending.as_mut_ptr())),
                JobAccess::Read => None,
            });
        }
        let entities = Lookup(world);
        let extra = self.extra_json.as_ref().map(|(_, json)| Extra { json, version: self.extra_version });
        let result = commands.record_patches(|records| {
            let mark = records.mark();
            let sink = PatchSink::new(std::mem::take(records));
            // SAFETY: the columns and bits are those of `rows` of a live chunk, which stays while structure stands still. By
            // the caller's word the plan gave this system what it declared and no other call has these rows: written columns
            // and bits are ours alone; read ones are written by nobody, and lending conflicts with Rust readers in the plan.
            // Ranges start on words of bitsets. Lengths follow the shape, from which the lists were made.
            let leased = unsafe {
                JobCall::lease(JobCallParts {
                    shape: &self.shape,
                    rows: count as u32,
                    eids,
                    entities: &entities,
                    columns: columns.as_slice(),
                    changed: changed.as_slice(),
                    despawn: self.shape.despawns.then(|| bitset(world.despawn_bits(chunk, first))),
                    resources: SendLent::as_lent(&self.lent_resources),
                    dt: tick.dt,
                    time: tick.time,
                    extra,
                    patches: self.shape.patches_anything().then_some(&sink),
                })
            };
            // A runner that panics fails its call as one whose job throws: the lease is settled all the same.
            let result = catch_unwind(AssertUnwindSafe(|| self.runner.run(lane, &leased)))
                .unwrap_or_else(|payload| Err(JobError::Panicked(message(&*payload))));
            *records = sink.into_records();
            if result.is_err() {
                records.truncate(mark);
            }
            result
        });
        for component in self.written() {
            if result.is_err() {
                // A job that failed may have written rows that it did not mark.
                let live = world.live_bits(chunk, component, first).expect("a matched table has its components");
                // SAFETY: the lease is over; the words are those of this range.
                unsafe { std::slice::from_raw_parts_mut(live, words) }.fill(u64::MAX);
            }
            // SAFETY: this call leased these rows to write, and the lease is over.
            unsafe { world.settle(chunk, component, rows.clone(), self.query.consumer()) };
        }
        if result.is_ok() {
            self.query.clear(world.world(), chunk, rows.clone());
        }
        result
    }
}

/// The text of a panic, if it had one.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without text").to_owned()
}
