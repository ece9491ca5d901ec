//! Systems: a name, a place in the frame, constraints, and a body.

use std::cell::UnsafeCell;

use peristyle_timeline::Timeline;
use peristyle_world::{ChunkFilter, QueryData, QueryFilter, World};

use crate::{
    Stage,
    access::Access,
    context::{Context, RangeContext, Setup, SystemKey, Tick},
    error::ScheduleError,
    job::Job,
    rows::{ChunkBody, EachBody, RowBody},
    slot::{BufferIds, Frame, Slot},
};

type Build = Box<dyn FnOnce(&str, &mut Setup<'_>) -> Result<Body, ScheduleError>>;
type Condition = Box<dyn FnMut(Tick) -> bool + Send>;
type IsEmpty = Box<dyn FnMut(&World) -> bool + Send>;
type IsEmptyOf = Box<dyn FnOnce(&mut World) -> IsEmpty>;

/// A function that runs once a frame, on one lane.
pub(crate) type Once = Box<dyn FnMut(&mut Context<'_>) + Send>;

/// A function that has the world to itself.
pub(crate) type Alone = Box<dyn FnMut(&mut World, Tick) + Send>;

/// What a system does.
pub(crate) enum Body {
    /// Runs once a frame, on one lane, which alone may reach the function then.
    Once(UnsafeCell<Once>),
    /// Runs on ranges of rows, on all lanes.
    Rows(Box<dyn RowBody>),
    /// Has the world to itself.
    Exclusive(Alone),
}

/// Where a system's work runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Where {
    /// Wherever it is done soonest: what the system costs is measured, and the ways are tried.
    #[default]
    Auto,
    /// On the frame's own thread.
    InPlace,
    /// On one worker, while the frame's own thread goes on with what is ready, or waits.
    Worker,
    /// On all lanes, the rows cut into ranges. What cannot be cut, or has too few rows, runs in place.
    Split,
}

/// A system, to be added to a [`Scheduler`](crate::Scheduler).
///
/// ```
/// use peristyle_schedule::{Stage, System};
/// use peristyle_world::Component;
///
/// #[derive(Component, Clone, Copy)]
/// struct Position { x: f32, y: f32 }
/// #[derive(Component, Clone, Copy)]
/// struct Velocity { x: f32, y: f32 }
///
/// let system = System::new("move").stage(Stage::Update).each_chunk::<(&mut Position, &Velocity)>(|range, (p, v)| {
///     let dt = range.tick().dt as f32;
///     for i in 0..range.rows() {
///         p.x[i] += v.x[i] * dt;
///         p.y[i] += v.y[i] * dt;
///     }
/// });
/// ```
pub struct System {
    pub(crate) name: String,
    pub(crate) stage: Stage,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    place: Where,
    build: Option<Build>,
    condition: Option<Condition>,
    is_empty: Option<IsEmptyOf>,
}

/// What a system said of itself; never changes.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) stage: Stage,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    pub(crate) access: Access,
    pub(crate) place: Where,
}

/// When a system runs.
pub(crate) enum Conditions {
    /// In every frame.
    Always,
    /// Never more: systems of the startup stage run in one frame only.
    Over,
    /// In frames for which these hold.
    If(Option<Condition>, Option<IsEmpty>),
}

impl Conditions {
    /// Whether they hold now.
    #[inline]
    pub(crate) fn hold(&mut self, frame: &Frame<'_>) -> bool {
        match self {
            Conditions::Always => true,
            Conditions::Over => false,
            Conditions::If(run_if, is_empty) => {
                run_if.as_mut().is_none_or(|condition| condition(frame.tick))
                    && !is_empty.as_mut().is_some_and(|is_empty| is_empty(frame.world))
            }
        }
    }
}

impl System {
    /// A system of that name, in [`Stage::Update`].
    pub fn new(name: impl Into<String>) -> System {
        System {
            name: name.into(),
            stage: Stage::Update,
            before: Vec::new(),
            after: Vec::new(),
            place: Where::Auto,
            build: None,
            condition: None,
            is_empty: None,
        }
    }

    /// Commands and despawns recorded until then are merged here.
    pub fn sync_point(name: impl Into<String>) -> System {
        System::new(name).exclusive(|_, _| {})
    }

    /// Puts it into a stage.
    pub fn stage(mut self, stage: Stage) -> System {
        self.stage = stage;
        self
    }

    /// Runs it before another system.
    pub fn before(mut self, name: impl Into<String>) -> System {
        self.before.push(name.into());
        self
    }

    /// Runs it after another system.
    pub fn after(mut self, name: impl Into<String>) -> System {
        self.after.push(name.into());
        self
    }

    /// Pins where it runs. Without workers, and in [serial mode](crate::Mode::Serial), everything runs in place; a system
    /// that has the world to itself always does.
    pub fn run_in(mut self, place: Where) -> System {
        self.place = place;
        self
    }

    /// Runs it only in ticks for which `condition` holds. What it would have seen waits for it.
    pub fn run_if(mut self, condition: impl FnMut(Tick) -> bool + Send + 'static) -> System {
        self.condition = Some(Box::new(condition));
        self
    }

    /// Skips it while no row matches. Systems over rows do so by themselves.
    pub fn skip_if_empty<D: QueryData + 'static, F: ChunkFilter + 'static>(mut self) -> System {
        self.is_empty = Some(Box::new(|world| {
            let mut query = world.query_filtered::<D, F>();
            Box::new(move |world| query.count(world) == 0)
        }));
        self
    }

    fn body(mut self, build: impl FnOnce(&str, &mut Setup<'_>) -> Result<Body, ScheduleError> + 'static) -> System {
        self.build = Some(Box::new(build));
        self
    }

    /// Runs once a frame: `setup` declares what the system touches and returns what is run.
    pub fn run<Call>(self, setup: impl FnOnce(&mut Setup<'_>) -> Call + 'static) -> System
    where
        Call: FnMut(&mut Context<'_>) + Send + 'static,
    {
        self.body(|_, system| Ok(Body::Once(UnsafeCell::new(Box::new(setup(system))))))
    }

    /// Runs with the world to itself; commands recorded until then are merged before.
    pub fn exclusive(self, call: impl FnMut(&mut World, Tick) + Send + 'static) -> System {
        self.body(|_, system| {
            system.access.exclusive = true;
            Ok(Body::Exclusive(Box::new(call)))
        })
    }

    /// Runs on slices of every matching chunk, on all lanes at once.
    pub fn each_chunk<D: QueryData + 'static>(
        self,
        call: impl Fn(&mut RangeContext<'_>, D::Slices<'_>) + Send + Sync + 'static,
    ) -> System {
        self.each_chunk_with::<D, (), _>(|_| call)
    }

    /// As [`System::each_chunk`], with filters, and a setup that declares what else is touched.
    pub fn each_chunk_with<D, F, Call>(self, setup: impl FnOnce(&mut Setup<'_>) -> Call + 'static) -> System
    where
        D: QueryData + 'static,
        F: ChunkFilter + 'static,
        Call: Fn(&mut RangeContext<'_>, D::Slices<'_>) + Send + Sync + 'static,
    {
        self.body(|_, system| {
            let query = system.declare_query::<D, F>();
            Ok(Body::Rows(Box::new(ChunkBody { query, call: setup(system) })))
        })
    }

    /// Runs on every matching row, on all lanes at once.
    pub fn each<D: QueryData + 'static>(
        self,
        call: impl Fn(&mut RangeContext<'_>, D::Row<'_>) + Send + Sync + 'static,
    ) -> System {
        self.each_with::<D, (), _>(|_| call)
    }

    /// As [`System::each`], with filters, and a setup that declares what else is touched.
    pub fn each_with<D, F, Call>(self, setup: impl FnOnce(&mut Setup<'_>) -> Call + 'static) -> System
    where
        D: QueryData + 'static,
        F: QueryFilter + 'static,
        Call: Fn(&mut RangeContext<'_>, D::Row<'_>) + Send + Sync + 'static,
    {
        self.body(|_, system| {
            let query = system.declare_query::<D, F>();
            Ok(Body::Rows(Box::new(EachBody { query, call: setup(system) })))
        })
    }

    /// Runs a job: on ranges of rows, on all lanes at once, unless it asks for another shape.
    pub fn job(self, job: Job) -> System {
        self.body(|name, system| Ok(Body::Rows(Box::new(job.build(name, system)?))))
    }

    /// Runs the setup.
    pub(crate) fn build(
        self,
        world: &mut World,
        timeline: &Timeline,
        buffer_ids: &mut BufferIds,
    ) -> Result<Slot, ScheduleError> {
        let Some(build) = self.build else { return Err(ScheduleError::NoBody(self.name)) };
        let (mut access, consumer, key) = (Access::default(), world.consumer(), SystemKey::new());
        let body = build(&self.name, &mut Setup { world, access: &mut access, consumer, system: key })?;
        let conditions = match (self.condition, self.is_empty.map(|make| make(world))) {
            (None, None) => Conditions::Always,
            (run_if, is_empty) => Conditions::If(run_if, is_empty),
        };
        let System { name, stage, before, after, place, .. } = self;
        let declared = Declared { name, stage, before, after, access, place };
        Slot::new(declared, conditions, body, key, timeline, buffer_ids)
    }
}
