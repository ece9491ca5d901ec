//! Jobs as systems declare them: what runs, what it reads and writes, and in which shape it gets its rows.

use std::sync::Arc;

use peristyle_jobs::{Access as JobAccess, ComponentShape, JobRunner, JobShape, PatchShape, ResourceShape};
use peristyle_world::{Component, ComponentId, QuerySpec, QueryState, ResourceId, SharedWorld, World};
use serde::Serialize;

use crate::{
    access::Touch,
    context::{ColumnComponent, Setup, Tick},
    error::ScheduleError,
    lease::{Extras, JobBody},
};

type Declare = Box<dyn FnOnce(&mut World, &mut Declared) + Send>;

/// A job, with what it reads and writes: a script, a kernel, a Rust function.
///
/// # Shapes
/// - *Row-wise*, unless told otherwise: called for ranges of rows, on all lanes at once, in place. Nothing that it does may
///   depend on where ranges begin and end. One that writes a resource's columns gets its ranges one after the other.
/// - [*Parts*](Job::parts): one call for all rows, a part for each chunk, in place.
/// - [*Whole*](Job::whole): one call for all rows as if they were one chunk. They are copied in, and out again unless the
///   query fits one chunk, which is lent in place.
///
/// # Components without columns
/// Of an opaque component the job gets copies, made by its `serde` ([`World::register_serde`]) when the job asks for them:
/// `snap.comps[id].values` in JavaScript, [`RustCall::value`](peristyle_jobs::RustCall::value) in Rust. One that it writes
/// it writes by patches: what it does to a copy and gives no patch of is not written.
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
    extra: Option<Extras>,
    shape: Shape,
    is_atomic: bool,
}

/// How a job gets its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    RowWise,
    Parts,
    Whole,
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
        let runner = Arc::new(runner);
        Job { runner, declare: Vec::new(), extra: None, shape: Shape::RowWise, is_atomic: false }
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

    /// The job is called once for all rows, with a part for each chunk. Nothing is copied.
    pub fn parts(mut self) -> Job {
        self.shape = Shape::Parts;
        self
    }

    /// The job is called once for all rows, which it sees as one. They are copied into staging columns and what it writes
    /// is copied back, marked rows as marked rows; rows that lie in one chunk are lent in place.
    pub fn whole(mut self) -> Job {
        self.shape = Shape::Whole;
        self
    }

    /// A call that fails leaves its rows as they were: values, marks, and despawn bits; also the resources that it writes.
    /// Without this, what it wrote stays, as changed rows.
    pub fn atomic(mut self) -> Job {
        self.is_atomic = true;
        self
    }

    /// Gives each call what `extra` returns for the tick: any value that can be serialised. It is asked once a frame, and
    /// calls of all ranges see the same value, which is parsed once by each agent as long as it stays the same.
    pub fn extra<E: Serialize>(mut self, extra: impl Fn(Tick) -> E + Send + Sync + 'static) -> Job {
        self.extra = Some(Extras::new(move |tick, out| serde_json::to_writer(out, &extra(tick))));
        self
    }

    pub(crate) fn build(self, system: &str, setup: &mut Setup<'_>) -> Result<JobBody, ScheduleError> {
        if self.shape == Shape::Parts && !self.runner.takes_parts() {
            let (system, job) = (system.to_owned(), self.runner.name().to_owned());
            return Err(ScheduleError::NoParts { system, job });
        }
        let Setup { world, access, consumer, .. } = setup;
        self.runner.check(world.memory()).map_err(|error| ScheduleError::Job { system: system.to_owned(), error })?;
        let mut declared = Declared::default();
        self.declare.into_iter().for_each(|declare| declare(world, &mut declared));
        let mut shape = JobShape { despawns: declared.despawns, ..JobShape::default() };
        for (id, how) in &mut declared.components {
            let info = world.components().info(*id);
            let opaque = !info.is_columnar();
            if opaque {
                let (system, component) = (system.to_owned(), info.name().to_owned());
                if !self.runner.takes_values() {
                    let job = self.runner.name().to_owned();
                    return Err(ScheduleError::OpaqueComponent { system, component, job });
                }
                if !info.has_serde() {
                    return Err(ScheduleError::NoSerde { system, component });
                }
                if *how == JobAccess::Write {
                    declared.patches.push(*id);
                    *how = JobAccess::Read;
                }
            }
            shape.components.push(ComponentShape {
                id: id.index(),
                name: info.name().to_owned(),
                fields: info.fields().to_vec(),
                access: *how,
                opaque,
            });
            // Values are read by Rust, and patches written when the stage ends.
            let touch = if opaque { Touch::READ } else { Touch::LEND };
            access.component(*id, if *how == JobAccess::Write { Touch::WRITE } else { touch });
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
        let resources = declared.resources.into_iter().map(|(id, _)| id).collect();
        let mut body = JobBody::new(system, self.runner, shape, declared.components, resources, query);
        (body.shape_of_calls, body.is_atomic, body.extra) = (self.shape, self.is_atomic, self.extra);
        Ok(body)
    }
}
