//! Clusters: what all agents of a world share.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use mozjs::rust::ThreadSafeJSContext;
use peristyle_jobs::{Stop, StopReason};
use peristyle_memory::{Memory, RegionError};

use crate::AgentError;
use crate::agent::RealmKind;
use crate::console::{Console, Level};
use crate::engine::Parent;
use crate::job::JsJob;
use crate::kernel::WasmJob;
use crate::memory;
use crate::source::Sources;
use crate::spawned::{Broadcasts, Helper, Pool, Turns};

/// What one call, or the loading of one module, may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a thread's collected JavaScript heap, after a collection, beyond which the call that runs is stopped.
    /// Contents of `ArrayBuffer`s and of large arrays do not count. 256 MiB unless told.
    pub heap_bytes: u64,
    /// Wall time after which a call is stopped, measured coarsely: up to a quarter more passes. `None` unless told: what
    /// it stops depends on the machine.
    pub call_time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { heap_bytes: 256 << 20, call_time: None }
    }
}

/// The agents of one world and what they share: sources, console, limits.
///
/// A handle; clones are the same cluster. Agents keep what they need of it alive, so handles, lanes and jobs may be
/// dropped in any order.
#[derive(Clone)]
pub struct Cluster(pub(crate) Arc<Handle>);

impl Cluster {
    /// A cluster with the default [`Limits`]. Starts the engine if nothing else of this process has.
    ///
    /// # Errors
    /// [`AgentError::Engine`].
    pub fn new() -> Result<Cluster, AgentError> {
        Cluster::with_limits(Limits::default())
    }

    /// A cluster with these limits.
    ///
    /// # Errors
    /// [`AgentError::Engine`].
    pub fn with_limits(limits: Limits) -> Result<Cluster, AgentError> {
        Cluster::make(limits, None)
    }

    pub(crate) fn make(limits: Limits, turns: Option<Arc<Turns>>) -> Result<Cluster, AgentError> {
        let parent = Parent::shared()?;
        let shared = Arc::new_cyclic(|shared| Shared {
            sources: Sources::default(),
            console: Console::default(),
            broadcasts: Broadcasts::default(),
            _watchdog: limits.call_time.map(|limit| watch(shared.clone(), limit)),
            limits,
            running: Mutex::default(),
            turns,
            parent,
            pool: Pool::default(),
        });
        Ok(Cluster(Arc::new(Handle { shared, helper: Helper::default() })))
    }

    /// The job that a module exports, as `handle` or by default.
    ///
    /// Reads, strips, compiles, links and evaluates the module and all it imports, in a realm made for it and thrown away:
    /// what a job's file has wrong shows here, not in its first call. `console` is silent meanwhile.
    ///
    /// A cluster reads each file once: a file that changed later is read by a new cluster, or after [`Cluster::refresh`].
    ///
    /// # Errors
    /// [`AgentError`], by kind.
    pub fn job(&self, path: impl AsRef<Path>) -> Result<JsJob, AgentError> {
        JsJob::new(self.0.clone(), path.as_ref(), RealmKind::Lent)
    }

    /// As [`Cluster::job`], with a source that is no file: `name` is what errors show, and its extension says what the
    /// source is. Relative imports start at the working directory.
    ///
    /// # Errors
    /// [`AgentError`], by kind; [`AgentError::Unreadable`] if the cluster has another source of that name.
    pub fn job_from_source(&self, name: &str, source: &str) -> Result<JsJob, AgentError> {
        self.0.shared.sources.insert(Path::new(name), source)?;
        JsJob::load(self.0.clone(), name.into(), RealmKind::Lent)
    }

    /// Looks at the module files that this cluster has read, or tried to: gives the paths, in order, of those that were written
    /// or came since they were read or this was last called. Who loads them from now on reads them anew; what was loaded before stays as it is.
    pub fn refresh(&self) -> Vec<PathBuf> {
        self.0.shared.sources.refresh()
    }

    /// A memory made by the engine, for worlds whose jobs are [shared](Cluster::shared_job) or [kernels](Cluster::kernel):
    /// a shared `WebAssembly.Memory` whose blocks take at most `max_bytes` bytes, rounded up to 64 KiB.
    /// [`MEMORY_BYTES_MAX`](Cluster::MEMORY_BYTES_MAX) is the most it can be; addresses are reserved, not memory.
    ///
    /// It lives as long as a world or an agent uses it, which may be longer than its cluster; any cluster's jobs can run
    /// on it. Growing it takes some 1 ms each 64 MiB.
    ///
    /// # Errors
    /// [`RegionError::AboveMax`]; [`RegionError::Reserve`] if the engine refuses.
    pub fn memory(&self, max_bytes: u64) -> Result<Memory, RegionError> {
        memory::new(&self.0.shared.parent, max_bytes)
    }

    /// The most bytes that a [memory](Cluster::memory) can have: 4 GiB less the stacks of kernels.
    pub const MEMORY_BYTES_MAX: u64 = memory::MAX_BYTES;

    /// As [`Cluster::job`], for a job that gets *shared* views: `snap.shared` is true, the typed arrays of one range of rows
    /// are the same from call to call, each lies on a `SharedArrayBuffer`, and its realm has `Atomics` (but nothing that
    /// waits). Such a call costs less than one that is lent its columns, the more so the fewer rows it has.
    ///
    /// It runs on worlds on a [memory](Cluster::memory) made by the engine; elsewhere adding its system fails, and so does
    /// a call, with [`JobError::Memory`](peristyle_jobs::JobError::Memory).
    ///
    /// # Safety
    /// Nothing is taken back when a call ends, and through `buffer` each view reaches the whole memory. So the module, and
    /// all that it imports, is trusted with this, in every call and for as long as a cluster's agent lives:
    /// - It writes nothing but the rows, bits and resources that a call gave it, and nothing that was declared as read.
    /// - Views that it keeps after a call settled (or that a call made which was stopped) it uses again only in later calls,
    ///   and there only for elements that the later call was given, too.
    ///
    /// Rust holds references into columns in the phases in which the plan gives them to Rust systems, and while a world is
    /// borrowed between frames. A job that writes there at such a time is a data race, which is undefined behaviour. Two
    /// calls of a job that write one element by `Atomics` race with nobody but each other: that is what they are for.
    ///
    /// # Errors
    /// As [`Cluster::job`].
    pub unsafe fn shared_job(&self, path: impl AsRef<Path>) -> Result<JsJob, AgentError> {
        JsJob::new(self.0.clone(), path.as_ref(), RealmKind::Shared)
    }

    /// As [`Cluster::shared_job`], with a source that is no file, as in [`Cluster::job_from_source`].
    ///
    /// # Safety
    /// As for [`Cluster::shared_job`].
    ///
    /// # Errors
    /// As [`Cluster::job_from_source`].
    pub unsafe fn shared_job_from_source(&self, name: &str, source: &str) -> Result<JsJob, AgentError> {
        self.0.shared.sources.insert(Path::new(name), source)?;
        JsJob::load(self.0.clone(), name.into(), RealmKind::Shared)
    }

    /// The job that a WebAssembly module exports as `handle`, to run on worlds on a [memory](Cluster::memory) made by the
    /// engine: see [kernels](crate#kernels). Reads, checks and compiles the file; each agent compiles it again for itself.
    ///
    /// # Safety
    /// A kernel reaches the whole memory. The module is trusted to write, in a call, nothing but what its descriptor names
    /// and lets it write, its own stack, and its own static data.
    ///
    /// # Errors
    /// [`AgentError::Missing`], [`AgentError::Unreadable`], [`AgentError::Kernel`], [`AgentError::Engine`].
    pub unsafe fn kernel(&self, path: impl AsRef<Path>) -> Result<WasmJob, AgentError> {
        WasmJob::from_file(self.0.clone(), path.as_ref())
    }

    /// As [`Cluster::kernel`], of a module's bytes; `name` is what errors show.
    ///
    /// # Safety
    /// As for [`Cluster::kernel`].
    ///
    /// # Errors
    /// [`AgentError::Kernel`], [`AgentError::Engine`].
    pub unsafe fn kernel_from_bytes(&self, name: &str, bytes: &[u8]) -> Result<WasmJob, AgentError> {
        WasmJob::new(self.0.clone(), name.into(), bytes.into())
    }

    /// Stops every call, and every loading of a module, that runs now. Each ends with [`JobError::Terminated`] or
    /// [`AgentError::Terminated`]; the agents stay usable.
    ///
    /// [`JobError::Terminated`]: peristyle_jobs::JobError::Terminated
    pub fn interrupt_all(&self) {
        for control in self.0.shared.controls() {
            control.interrupt(control.seen(), Why::Asked);
        }
    }

    /// Hands what jobs print to `sink` instead of stderr. It runs on the thread that prints, in the middle of the job, and
    /// lives as long as the cluster or until another one takes its place.
    pub fn set_console(&self, sink: impl Fn(Level, &str) + Send + Sync + 'static) {
        self.0.shared.console.set(Arc::new(sink));
    }

    /// How many agents live.
    pub fn agents(&self) -> usize {
        self.0.shared.controls().len()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("agents", &self.agents()).field("limits", &self.0.shared.limits).finish()
    }
}

/// What clusters and jobs hold: once the last of them is gone, nobody can run the cluster's jobs, and lanes may let its
/// agents go.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) helper: Helper,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(turns) = &self.shared.turns {
            turns.open_for_good();
        }
        self.shared.pool.close();
    }
}

/// What agents keep of their cluster.
pub(crate) struct Shared {
    pub(crate) sources: Sources,
    pub(crate) console: Console,
    pub(crate) broadcasts: Broadcasts,
    /// Its drop ends the watchdog.
    _watchdog: Option<Sender<()>>,
    pub(crate) limits: Limits,
    running: Mutex<Vec<Weak<Control>>>,
    /// By which spawned agents take turns.
    pub(crate) turns: Option<Arc<Turns>>,
    pub(crate) parent: Arc<Parent>,
    /// Spawned agents that wait for something to run.
    pub(crate) pool: Pool,
}

impl Shared {
    /// Registers a new agent.
    pub(crate) fn register(&self, remote: ThreadSafeJSContext) -> Arc<Control> {
        let control = Arc::new(Control {
            sequence: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            why: AtomicU8::new(0),
            deadline_ns: AtomicU64::new(0),
            remote,
        });
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|control| control.strong_count() != 0);
        running.push(Arc::downgrade(&control));
        control
    }

    fn controls(&self) -> Vec<Arc<Control>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Why an agent is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Why {
    Asked = 0,
    TooLong = 1,
    Overran = 2,
    Killed = 3,
}

/// What other threads know of an agent: which entry runs, and whether to stop it.
pub(crate) struct Control {
    /// Entries begun and ended: odd while the agent runs.
    sequence: AtomicU64,
    /// The sequence number of the entry to stop. Naming it keeps a late word from stopping the next entry.
    stop: AtomicU64,
    why: AtomicU8,
    /// The deadline that was overrun, if that is why.
    deadline_ns: AtomicU64,
    remote: ThreadSafeJSContext,
}

impl Control {
    /// The agent's thread enters the agent. Only that thread changes the sequence.
    pub(crate) fn begin(&self) {
        // Release, paired with the acquire in `seen`: who sees the number stops this entry or none.
        self.sequence.store(self.sequence.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The agent's thread leaves it.
    pub(crate) fn end(&self) {
        self.sequence.store(self.sequence.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    fn seen(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Stops entry `sequence` if it still runs.
    fn interrupt(&self, sequence: u64, why: Why) {
        if sequence % 2 == 1 {
            self.why.store(why as u8, Ordering::Relaxed);
            // Release, paired with the acquire in `must_stop`, publishes `why`; the engine's own request comes after.
            self.stop.store(sequence, Ordering::Release);
            self.remote.request_interrupt_callback();
        }
    }

    /// Asked by the agent's thread, in the interrupt callback.
    pub(crate) fn must_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire) == self.sequence.load(Ordering::Relaxed)
    }

    pub(crate) fn why(&self) -> Why {
        let why = self.why.load(Ordering::Relaxed);
        [Why::TooLong, Why::Overran, Why::Killed].into_iter().find(|known| *known as u8 == why).unwrap_or(Why::Asked)
    }

    /// The deadline that was overrun.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_nanos(self.deadline_ns.load(Ordering::Relaxed))
    }
}

impl Stop for Control {
    fn entry(&self) -> u64 {
        self.seen()
    }

    fn stop(&self, entry: u64, reason: StopReason) {
        let why = match reason {
            StopReason::Overran(deadline) => {
                self.deadline_ns.store(deadline.as_nanos() as u64, Ordering::Relaxed);
                Why::Overran
            }
            StopReason::Killed => Why::Killed,
        };
        self.interrupt(entry, why);
    }
}

/// Starts the thread that stops entries longer than `limit`. It looks four times per limit, so that calls read no clock.
fn watch(shared: Weak<Shared>, limit: Duration) -> Sender<()> {
    let (alive, ended) = mpsc::channel();
    let turn = (limit / 4).max(Duration::from_millis(1));
    let watchdog = move || {
        let mut since: HashMap<*const Control, (u64, Instant)> = HashMap::new();
        while ended.recv_timeout(turn) == Err(RecvTimeoutError::Timeout) {
            let Some(shared) = shared.upgrade() else { return };
            let controls = shared.controls();
            drop(shared);
            since.retain(|known, _| controls.iter().any(|control| Arc::as_ptr(control) == *known));
            for control in controls {
                let sequence = control.seen();
                let known = since.entry(Arc::as_ptr(&control)).or_insert((sequence, Instant::now()));
                if known.0 != sequence {
                    *known = (sequence, Instant::now());
                } else if known.1.elapsed() >= limit {
                    control.interrupt(sequence, Why::TooLong);
                }
            }
        }
    };
    // Without a thread there is no limit, as on a machine that cannot start one no agent would live anyway.
    let _ = thread::Builder::new().name("peristyle-watchdog".into()).spawn(watchdog);
    alive
}
