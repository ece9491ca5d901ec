//! Native apps: an app file of the package `peristyle`, its world in this process.
//!
//! ```text
//!  app.ts ── import "peristyle" ──▶ the package's TypeScript ── functions of the ABI's table ──▶ Core ── World
//!     │                                  │ node:worker_threads                                    │
//!     └── scheduler ◀── drive.ts         ▼                                                        ▼ between two ticks
//!                          │           agents that run jobs ◀── one memory of the engine's ──▶  AfterFrame: feeds, figures
//!                          └── Control: pace, files that were written, spans
//! ```
//!
//! The app's TypeScript, its jobs and its `Worker`s are what they are in Node; only the core is reached otherwise.
//!
//! # Rules
//! - A world belongs to the agent that made it, and is touched on its thread alone. The first of an app is the one that Rust
//!   systems work on, and that [`AppRuntimeBuilder::after_frame`] sees.
//! - What Rust hands out runs between a system that is over and the next one, never beside a script's system.

mod control;
mod core;
mod kernels;
mod systems;

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use peristyle_agents::{AgentError, AgentHandle, AgentOptions, Cluster, Code, HostError, HostObject, MakeHostObject};
use peristyle_timeline::Timeline;
use peristyle_world::World;

pub(crate) use self::kernels::Kernels;
pub use self::systems::{RustContext, RustSystem};

use self::control::{Control, Watched};
use self::core::CoreObject;
use crate::package::Package;

/// What TypeScript calls to have a core, and what drives it; see `packages/peristyle/src/native/host.ts`.
const CORE: &str = "__peristyleCore";
const CONTROL: &str = "__peristyleControl";

/// Called after each frame of an app's first world, between two ticks, on the app's thread. What it refuses is an exception
/// of the app's.
pub type AfterFrame = Box<dyn FnMut(&mut World) -> Result<(), String> + Send>;

/// How an app's frames are run, if its main module exports a scheduler (`export default` or `export const scheduler`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frames {
    /// Frames a second: each has a `dt` of the Nth part of one. 60 unless told.
    pub hz: f64,
    /// Frames after which the app ends, also one that runs its frames itself. Never unless told.
    pub ticks: Option<u64>,
    /// Whether a frame waits until it is due. True unless told.
    pub waits: bool,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { hz: 60.0, ticks: None, waits: true }
    }
}

/// Runs apps of the package `peristyle` in this process.
///
/// ```no_run
/// use peristyle_agents::{AgentOptions, Cluster, Code};
/// use peristyle_runtime::{AppRuntime, RustSystem};
/// use peristyle_world::Component;
///
/// #[derive(Component, Clone, Copy)]
/// struct Velocity { x: f32, y: f32 }
///
/// let cluster = Cluster::new()?;
/// let mut moving = None;
/// let drag = RustSystem::new("drag", move |rust| {
///     let keep = 1.0 - 0.1 * rust.dt() as f32;
///     let world = rust.world();
///     moving.get_or_insert_with(|| world.query::<&mut Velocity>()).for_each(world, |v| {
///         (*v.x, *v.y) = (*v.x * keep, *v.y * keep);
///     });
/// });
/// let options = AgentOptions { heap_bytes: 4 << 30, ..AgentOptions::default() };
/// let app = AppRuntime::builder().system(drag.uses::<Velocity>()).spawn(&cluster, Code::file("app.ts"), options)?;
/// println!("{:?}", app.join().wait());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AppRuntime(());

impl AppRuntime {
    /// Nothing but the app.
    pub fn builder() -> AppRuntimeBuilder {
        AppRuntimeBuilder::default()
    }
}

/// Collects what an app runs with.
#[derive(Default)]
#[must_use = "nothing runs until `spawn`"]
pub struct AppRuntimeBuilder {
    frames: Frames,
    watch: bool,
    timeline: Timeline,
    frames_run: FrameCount,
    first: First,
}

/// How many frames an app has run, of all its worlds.
#[derive(Debug, Clone, Default)]
pub struct FrameCount(Arc<Counts>);

// Only numbers: nothing else is read by them.
#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl FrameCount {
    /// Those that are over.
    pub fn get(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Whether one began that is not over. An app that ended by itself meanwhile waits for what nothing will settle.
    pub fn is_running(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed) > self.get()
    }

    fn begin(&self) {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What an app's first world gets.
#[derive(Default)]
struct First {
    systems: Vec<RustSystem>,
    after_frame: Option<AfterFrame>,
}

impl AppRuntimeBuilder {
    /// Says how frames are run.
    pub fn frames(self, frames: Frames) -> Self {
        AppRuntimeBuilder { frames, ..self }
    }

    /// Loads jobs again between two frames when a file of theirs was written. The world stays as it is; if a job cannot be
    /// loaded, all go on as they were, and the error is printed. The main module and what it imports are not run again, as that
    /// would make another world: when one of them was written, the cluster's console is told that the app is to be restarted.
    pub fn watch(self, watch: bool) -> Self {
        AppRuntimeBuilder { watch, ..self }
    }

    /// Records frames and what lanes did in them: lane 0 is the app's thread, lane `n` its worker `n`.
    pub fn timeline(self, timeline: &Timeline) -> Self {
        AppRuntimeBuilder { timeline: timeline.clone(), ..self }
    }

    /// Counts frames, so that whoever runs the app can tell whether there were any.
    pub fn count_frames(self, count: &FrameCount) -> Self {
        AppRuntimeBuilder { frames_run: count.clone(), ..self }
    }

    /// Adds a system in Rust beside those of the app.
    pub fn system(mut self, system: RustSystem) -> Self {
        self.first.systems.push(system);
        self
    }

    /// Calls a function after each frame.
    pub fn after_frame(mut self, after: impl FnMut(&mut World) -> Result<(), String> + Send + 'static) -> Self {
        self.first.after_frame = Some(Box::new(after));
        self
    }

    /// Starts an app, in Node's manner. Options of the agent stay as they are, but for what `peristyle` is made of. Their
    /// `heap_bytes` bound its worlds too, of which each counts 256 MiB from the start: stacks of kernels, which take addresses
    /// and no memory until they are used.
    ///
    /// # Errors
    /// As [`Cluster::spawn`].
    pub fn spawn(self, cluster: &Cluster, code: Code, mut options: AgentOptions) -> Result<AgentHandle, AgentError> {
        let AppRuntimeBuilder { frames, watch, timeline, frames_run, first } = self;
        let package = Package::native();
        let kernels = package.kernels();
        let main = match &code {
            Code::File(path) => fs::canonicalize(path).ok(),
            _ => None,
        };
        let first = Arc::new(Mutex::new(Some(first)));
        let records = timeline.is_enabled();
        let make_core: MakeHostObject = Arc::new(move |context, arguments| {
            let max_bytes = arguments.first().map_or(Cluster::MEMORY_BYTES_MAX, |bytes| *bytes as u64);
            let memory = context.memory(max_bytes.min(Cluster::MEMORY_BYTES_MAX)).map_err(refused)?;
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let core = CoreObject::new(memory, first.unwrap_or_default(), timeline.clone(), frames_run.clone())?;
            Ok(Box::new(core) as Box<dyn HostObject>)
        });
        let make_control: MakeHostObject = Arc::new(move |context, _| {
            let watched = watch.then(|| Watched::new(context, &kernels, main.clone()));
            Ok(Box::new(Control::new(frames, watched, records)))
        });
        options.node.get_or_insert_default();
        options.host_objects.insert(CORE.to_owned(), make_core);
        options.host_objects.insert(CONTROL.to_owned(), make_control);
        options.loader = Some(Arc::new(package.and(options.loader)));
        cluster.spawn(code, options)
    }
}

impl fmt::Debug for AppRuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppRuntimeBuilder")
            .field("frames", &self.frames)
            .field("watch", &self.watch)
            .field("systems", &self.first.systems)
            .finish_non_exhaustive()
    }
}

fn refused(error: impl fmt::Display) -> HostError {
    HostError(error.to_string())
}
