//! The worker pool: its threads, and what they do all day.
//!
//! A pool of `n` workers has `n + 1` lanes: the thread that runs frames is lane 0 and works too. The
//! frame's thread opens tasks in a [scope](Pool::scope) and helps with them; workers look at the board,
//! run what they can claim, spin for a while when there is nothing, then sleep.
//!
//! # Rules
//! - Only the frame's thread opens and closes tasks. `scope` takes the pool by `&mut`, so there is one
//!   such thread at a time.
//! - Whoever waits takes back what nobody has started. A pool whose workers all sleep, or never get a
//!   core, makes a frame no slower than running everything in place.
//! - A frame in a warm pool allocates nothing.
//!
//! # Not here
//! How work is cut into ranges, what may run side by side, and whether a split pays: the executor
//! decides that; it can ask how many workers are [awake](Pool::spinning).

use std::fmt;
use std::io;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use peristyle_timeline::{Kind, NameId, Timeline, clock};

use crate::board::{Board, Ran, bits};
use crate::lane::{Lane, Locals, PoolToken};
use crate::sleep::{Dormitory, Parker, spin};
use crate::sync::{Arc, AtomicBool, Builder, Edge, JoinHandle, Ordering};

/// How long an idle lane looks for work before it sleeps, where each lane has a core of its own. About
/// twice what it costs to wake a sleeper, so that waiting wrongly costs little more than sleeping
/// wrongly, and longer than what usually lies between two batches of a frame.
const SPIN_DEFAULT: Duration = Duration::from_micros(50);

/// How a [`Pool`] is made.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Threads beside the frame's own. With 0 the frame's thread does everything.
    pub workers: usize,
    /// How long an idle lane looks for work before it sleeps. 50 microseconds by default, and 0 if
    /// there are more lanes than cores, where spinning would take the core from who has work.
    pub spin: Duration,
    /// Where the time is recorded that lanes wait: the frame's thread for workers, workers for work.
    pub timeline: Timeline,
}

impl PoolOptions {
    /// Returns the options of a pool of `workers` threads, with the default spin and no timeline.
    pub fn new(workers: usize) -> PoolOptions {
        let spin = if workers < cores() { SPIN_DEFAULT } else { Duration::ZERO };
        PoolOptions { workers, spin, timeline: Timeline::off() }
    }
}

/// Returns how many workers a pool has unless told otherwise: one per core beside the frame's own
/// thread, at least one.
pub fn default_workers() -> usize {
    (cores() - 1).max(1)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads that run jobs beside the thread that runs frames.
///
/// Dropping the pool stops the workers and waits for them; each drops its lane's values first. The
/// values of lane 0 are dropped too if the pool is dropped on the thread that ran its scopes; else they
/// live until that thread ends, or runs the first scope of another pool.
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
    pub(crate) token: PoolToken,
    /// A handle of lane 0's own, lent to each scope's lane: to clone one writes to a line that all lanes read.
    pub(crate) timeline: Timeline,
    workers: Vec<JoinHandle<()>>,
}

/// What the frame's thread and the workers share.
pub(crate) struct Shared {
    pub(crate) board: Board,
    pub(crate) dormitory: Dormitory,
    /// Where the frame's thread sleeps when it waits for workers.
    pub(crate) frame: CachePadded<Parker>,
    pub(crate) spin_ticks: u64,
    pub(crate) timeline: Timeline,
    pub(crate) wait_name: NameId,
    workers: usize,
    /// Set once, by `stop`.
    stop: AtomicBool,
}

impl Pool {
    /// Starts a pool of `workers` threads with the default options.
    ///
    /// # Errors
    /// The operating system could not start a thread; those already started are stopped.
    pub fn new(workers: usize) -> io::Result<Pool> {
        Pool::with_options(PoolOptions::new(workers))
    }

    /// Starts a pool.
    ///
    /// # Errors
    /// The operating system could not start a thread; those already started are stopped.
    pub fn with_options(options: PoolOptions) -> io::Result<Pool> {
        let workers = options.workers;
        let timeline = options.timeline.clone();
        let shared = Arc::new(Shared::new(options));
        let mut pool = Pool { shared, token: PoolToken::new(), timeline, workers: Vec::with_capacity(workers) };
        for worker in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let name = format!("peristyle-{}", worker + 1);
            pool.workers.push(Builder::new().name(name).spawn(move || shared.work(worker))?);
        }
        Ok(pool)
    }

    /// Returns the number of worker threads.
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Returns the number of threads that run jobs: the workers and the frame's own.
    pub fn lanes(&self) -> usize {
        self.shared.workers + 1
    }

    /// Returns how many workers are awake: they look for work, or run some. A task opened now reaches
    /// those that look within some hundred nanoseconds. One relaxed load.
    #[inline]
    pub fn spinning(&self) -> usize {
        self.shared.spinning()
    }

    /// Returns how many ranges `lane` ran since the pool started.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn ranges_run(&self, lane: usize) -> u64 {
        self.shared.board.ranges_run(lane)
    }

    /// Wakes up to `count` sleeping workers, which then look for work: for a frame's start, so that its
    /// first tasks find them awake. Some microseconds for each worker woken.
    pub fn wake(&self, count: usize) {
        self.shared.dormitory.wake(count);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A worker ends with a panic only if a value of its lane panicked when dropped. The panic
            // hook has told; there is nothing left to protect.
            let _ = worker.join();
        }
        self.token.drop_locals();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers()).field("spinning", &self.spinning()).finish()
    }
}

impl Shared {
    pub(crate) fn new(options: PoolOptions) -> Shared {
        let PoolOptions { workers, spin, timeline } = options;
        let spin_ticks = if spin.is_zero() { 0 } else { (spin.as_nanos() as f64 / clock::ns_per_tick()) as u64 };
        Shared {
            board: Board::new(workers + 1),
            dormitory: Dormitory::new(workers),
            frame: CachePadded::new(Parker::new()),
            spin_ticks,
            wait_name: timeline.name("wait"),
            timeline,
            workers,
            stop: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(crate) fn spinning(&self) -> usize {
        self.workers.saturating_sub(self.dormitory.sleepers())
    }

    pub(crate) fn lanes(&self) -> usize {
        self.workers + 1
    }

    /// Tells the workers to end.
    pub(crate) fn stop(&self) {
        // Release: pairs with the Acquire in `work`. The fence in `wake` orders it before the look for
        // sleepers.
        self.stop.store(true, Ordering::Release);
        self.dormitory.wake(usize::MAX);
    }

    /// Puts the frame's thread to sleep until `done`, which a worker brings about by a last range.
    pub(crate) fn sleep_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.frame.announce();
            if done() {
                self.frame.cancel();
            } else {
                self.frame.sleep();
            }
        }
    }

    /// What worker `worker` does until the pool stops.
    pub(crate) fn work(&self, worker: usize) {
        let mut lane = Lane::new(worker as u32 + 1, self.timeline.clone(), Locals::default());
        // Acquire: pairs with the Release in `stop`.
        let stopped = || self.stop.load(Ordering::Acquire);
        // The slot that last had work. While it is looked at directly, a task that opens there again is
        // seen by one cache miss instead of two.
        let mut recent = 0;
        while !stopped() {
            if self.run_open(&mut lane, &mut recent) {
                continue;
            }
            let has_work = || self.board.has_range(recent) || self.board.has_work() || stopped();
            let stamp = self.timeline.begin();
            let slept = !spin(self.spin_ticks, has_work);
            if slept {
                self.dormitory.sleep(worker, has_work);
            }
            self.timeline.end(worker + 1, Kind::Wait, self.wait_name, stamp, 0, u32::from(slept));
        }
        // Here and not in a destructor of the thread: values may need the thread's own storage.
        drop(lane);
    }

    /// Runs ranges of open tasks until none is left, those of slot `recent` first; returns whether there
    /// were any.
    fn run_open(&self, lane: &mut Lane, recent: &mut usize) -> bool {
        let mut ran_any = self.run_slot(*recent, lane);
        for slot in bits(self.board.open_slots()) {
            if self.run_slot(slot, lane) {
                *recent = slot;
                ran_any = true;
            }
        }
        ran_any
    }

    /// Runs ranges of `slot` until none is left; returns whether there were any.
    pub(crate) fn run_slot(&self, slot: usize, lane: &mut Lane) -> bool {
        let mut ran_any = false;
        loop {
            match self.board.run_one(slot, lane) {
                Ran::Nothing => return ran_any,
                Ran::One => ran_any = true,
                Ran::Last => {
                    // The count of done ranges is published; the frame's thread may have announced a
                    // sleep before it saw that.
                    Edge::Sleep.fence();
                    self.frame.wake();
                    return true;
                }
            }
        }
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    #[cfg(not(loom))]
    send_and_sync::<Pool>();
    send_and_sync::<Shared>();
};
