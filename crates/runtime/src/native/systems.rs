//! Systems in Rust beside those of an app.

use std::fmt;

use peristyle_schedule::{PullSystem, Stage};
use peristyle_world::{Component, DefineError, World};

/// What a Rust system is called with.
pub struct RustContext<'a> {
    world: &'a mut World,
    dt: f64,
    time: f64,
}

impl RustContext<'_> {
    /// The app's world. Components that the app did not define are not to be put on its entities.
    pub fn world(&mut self) -> &mut World {
        self.world
    }

    /// Simulated seconds of this frame.
    pub fn dt(&self) -> f64 {
        self.dt
    }

    /// Simulated time of this frame, in seconds.
    pub fn time(&self) -> f64 {
        self.time
    }
}

impl fmt::Debug for RustContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustContext").field("dt", &self.dt).field("time", &self.time).finish_non_exhaustive()
    }
}

type Run = Box<dyn FnMut(&mut RustContext<'_>) + Send>;
type Adopt = fn(&mut World) -> Result<(), DefineError>;

/// A system in Rust. It runs on the app's thread in its place of the app's plan, and has the world to itself meanwhile.
pub struct RustSystem {
    name: String,
    stage: Stage,
    before: Vec<String>,
    after: Vec<String>,
    uses: Vec<Adopt>,
    run: Run,
}

impl RustSystem {
    /// A system of the stage `update`.
    pub fn new(name: impl Into<String>, run: impl FnMut(&mut RustContext<'_>) + Send + 'static) -> RustSystem {
        let (before, after, uses) = (Vec::new(), Vec::new(), Vec::new());
        RustSystem { name: name.into(), stage: Stage::Update, before, after, uses, run: Box::new(run) }
    }

    /// Puts it into another stage.
    pub fn stage(self, stage: Stage) -> RustSystem {
        RustSystem { stage, ..self }
    }

    /// Runs it before a system of its stage.
    pub fn before(mut self, system: impl Into<String>) -> RustSystem {
        self.before.push(system.into());
        self
    }

    /// Runs it after a system of its stage.
    pub fn after(mut self, system: impl Into<String>) -> RustSystem {
        self.after.push(system.into());
        self
    }

    /// Says that it uses a component of the app's, which must have been defined with the type's name and columns when the
    /// app's plan is made.
    pub fn uses<C: Component>(mut self) -> RustSystem {
        self.uses.push(|world| world.adopt::<C>().map(drop));
        self
    }

    /// Gives the app's components their types. The error names the system.
    pub(super) fn adopt(&self, world: &mut World) -> Result<(), String> {
        let adopted = self.uses.iter().try_for_each(|adopt| adopt(world));
        adopted.map_err(|error| format!("system `{}` of Rust: {error}", self.name))
    }

    /// As the plan has it.
    pub(super) fn planned(&self) -> PullSystem {
        PullSystem {
            name: self.name.clone(),
            stage: Some(self.stage),
            before: self.before.clone(),
            after: self.after.clone(),
            exclusive: true,
            ..PullSystem::default()
        }
    }

    pub(super) fn run(&mut self, world: &mut World, dt: f64, time: f64) {
        (self.run)(&mut RustContext { world, dt, time });
    }
}

impl fmt::Debug for RustSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustSystem").field("name", &self.name).field("stage", &self.stage).finish_non_exhaustive()
    }
}
