//! The worker pool: its threads, and what they do all day.
//!
//! A pool of `n` workers has `n + 1` lanes: the thread that runs frames is lane 0 and works too. The
//! frame's thread opens tasks in a [scope](Pool::scope) and helps with them; workers look at the board,
//! run what they can claim, spin for a while when there is nothing, then sleep.
//!
//! Beside frames, workers take [submitted](Pool::submit) tasks from a bounded queue.
//!
//! # Rules
//! - Only the frame's thread opens and closes tasks. `scope` takes the pool by `&mut`, so there is one
//!   such thread at a time.
//! - A worker that is retired or killed ends between two ranges, and starts its successor before it does: the pool never
//!   has fewer workers than it was asked for. What it ran is reported by whoever opened it.
//! - Whoever waits takes back what nobody has started. A pool whose workers all sleep, or never get a
//!   core, makes a frame no slower than running everything in place.
//! - A frame in a warm pool allocates nothing.
//!
//! # Not here
//! How work is cut into ranges, what may run side by side, and whether a split pays: the executor
//! decides that; it can ask how many workers are [awake](Pool::spinning).

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use peristyle_timeline::{Kind, NameId, Timeline, clock};

use crate::board::{Board, Ran, bits};
use crate::lane::{Lane, Locals, PoolToken};
use crate::queue::{Pending, Queue, Refused, queued};
use crate::sleep::{Dormitory, Parker, spin};
use crate::sync::{Arc, AtomicBool, Builder, Edge, JoinHandle, Ordering};
use crate::watch::{self, Watch};

/// How long an idle lane looks for work before it sleeps, where each lane has a core of its own. About
/// twice what it costs to wake a sleeper, so that waiting wrongly costs little more than sleeping
/// wrongly, and longer than what usually lies between two batches of a frame.
const SPIN_DEFAULT: Duration = Duration::from_micros(50);

/// How many submitted tasks wait at most, unless told otherwise.
const QUEUE_DEFAULT: usize = 1024;

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
    /// How many [submitted](Pool::submit) tasks wait at most: 1024 by default.
    pub queue: usize,
    /// How long one call of a job, or one submitted task, may take: see [`Lane::watched`]. None by default: what it stops
    /// depends on the machine.
    pub deadline: Option<Duration>,
}

impl PoolOptions {
    /// Returns the options of a pool of `workers` threads, with the defaults for the rest.
    pub fn new(workers: usize) -> PoolOptions {
        let spin = if workers < cores() { SPIN_DEFAULT } else { Duration::ZERO };
        PoolOptions { workers, spin, timeline: Timeline::off(), queue: QUEUE_DEFAULT, deadline: None }
    }
}

/// What becomes of tasks that wait when a pool is [closed](Pool::close).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// They are run first.
    Drain,
    /// They are cancelled.
    Cancel,
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
    /// Its drop ends the watchdog.
    _watchdog: Option<Sender<()>>,
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
    pub(crate) queue: Queue,
    /// By lane.
    watches: Vec<std::sync::Arc<Watch>>,
    /// The threads to join: a worker that is replaced adds its successor before it ends.
    threads: Mutex<Vec<JoinHandle<()>>>,
    replaced: AtomicUsize,
}

/// A handle to a pool's workers for other threads, while frames run.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

impl Supervisor {
    /// Kills a worker, named by its lane, from 1: what it runs is interrupted where that is possible (JavaScript and
    /// WebAssembly) and waited for where it is not, then its thread ends, with all values of its lane, and another takes
    /// its place. Returns at once.
    ///
    /// # Panics
    /// If no worker has that lane.
    pub fn kill(&self, lane: usize) {
        assert!((1..=self.0.workers).contains(&lane), "no worker has lane {lane}");
        self.0.watches[lane].kill();
        self.0.dormitory.wake_one(lane - 1);
    }

    /// Returns how many workers were replaced since the pool started.
    pub fn replaced(&self) -> usize {
        self.0.replaced.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("workers", &self.0.workers).field("replaced", &self.replaced()).finish()
    }
}

impl Pool {
    /// Starts a pool of `workers` threads with the default options.
    ///
    /// # Errors
    /// The operating system could not start a thread; those already started are stopped.
    pub fn new(workers: usize) -> io::Result<Pool> {
        Pool::with_options(PoolOptions::new(workers))
    }

    /// A pool without workers: everything runs on the thread that asks, with the same results.
    ///
    /// # Errors
    /// None: no thread is started.
    pub fn local() -> Pool {
        let options = PoolOptions::new(0);
        let timeline = options.timeline.clone();
        Pool { shared: Arc::new(Shared::new(options)), token: PoolToken::new(), timeline, _watchdog: None }
    }

    /// Starts a pool.
    ///
    /// # Errors
    /// The operating system could not start a thread; those already started are stopped.
    pub fn with_options(options: PoolOptions) -> io::Result<Pool> {
        let (workers, deadline, timeline) = (options.workers, options.deadline, options.timeline.clone());
        let shared = Arc::new(Shared::new(options));
        let watchdog = deadline.map(|deadline| watch::start_watchdog(shared.watches.clone(), deadline)).transpose()?;
        let pool = Pool { shared, token: PoolToken::new(), timeline, _watchdog: watchdog };
        (0..workers).try_for_each(|worker| start(&pool.shared, worker))?;
        Ok(pool)
    }

    /// Returns a handle by which other threads kill workers and count replacements.
    pub fn supervisor(&self) -> Supervisor {
        Supervisor(Arc::clone(&self.shared))
    }

    /// Has a worker run `task` when no frame needs it; waits while the queue is full. Without workers the task runs here and
    /// now.
    ///
    /// ```
    /// let pool = peristyle_jobs::Pool::new(1)?;
    /// let sum = pool.submit(|_| (1..=4).sum::<u32>()).unwrap();
    /// assert_eq!(sum.wait(), Ok(10));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// A task that submits to the pool that runs it should not wait: with all workers waiting nobody makes room.
    ///
    /// # Errors
    /// [`Refused`], with the task, if the pool was closed.
    pub fn submit<F, R>(&self, task: F) -> Result<Pending<R>, Refused<F>>
    where
        F: FnOnce(&mut Lane) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.enqueue(task, true)
    }

    /// As [`submit`](Pool::submit), but does not wait.
    ///
    /// # Errors
    /// [`Refused`], with the task, if the queue is full or the pool was closed.
    pub fn try_submit<F, R>(&self, task: F) -> Result<Pending<R>, Refused<F>>
    where
        F: FnOnce(&mut Lane) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.enqueue(task, false)
    }

    fn enqueue<F, R>(&self, task: F, blocks: bool) -> Result<Pending<R>, Refused<F>>
    where
        F: FnOnce(&mut Lane) -> R + Send + 'static,
        R: Send + 'static,
    {
        if self.shared.workers == 0 {
            let (task, pending) = queued(task);
            let mut lane = self.shared.lane(0, self.timeline.clone(), self.token.take_locals());
            task.run(&mut lane);
            self.keep_lane(&mut lane);
            return Ok(pending);
        }
        let pending = self.shared.queue.push(task, blocks)?;
        self.shared.dormitory.wake(1);
        Ok(pending)
    }

    /// Puts lane 0's values back, or drops them if they are in doubt.
    pub(crate) fn keep_lane(&self, lane: &mut Lane) {
        if !lane.is_retired() {
            self.token.keep_locals(std::mem::take(&mut lane.locals));
        }
    }

    /// Stops the workers after the tasks that they run, and before that runs or cancels those that wait, as asked. Dropping
    /// a pool cancels.
    pub fn close(self, how: Close) {
        self.shared.queue.close();
        if how == Close::Drain {
            let mut lane = self.shared.lane(0, self.timeline.clone(), self.token.take_locals());
            while let Some(task) = self.shared.queue.pop() {
                task.run(&mut lane);
            }
            self.keep_lane(&mut lane);
        }
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

    /// Drops the values of lane 0 that live on this thread, for frames that will run on another. They would live until
    /// this thread ends, and be dropped among its own storage.
    pub fn drop_frame_values(&mut self) {
        self.token.drop_locals();
    }

    /// Wakes up to `count` sleeping workers, which then look for work: for a frame's start, so that its
    /// first tasks find them awake. Some microseconds for each worker woken.
    pub fn wake(&self, count: usize) {
        self.shared.dormitory.wake(count);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.queue.cancel();
        self.shared.stop();
        // A worker that is replaced adds its successor before it ends, so that none is left when none is found.
        while let Some(thread) = self.shared.take_thread() {
            // A worker ends with a panic only if a value of its lane panicked when dropped. The panic
            // hook has told; there is nothing left to protect.
            let _ = thread.join();
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
        let PoolOptions { workers, spin, timeline, queue, deadline } = options;
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
            queue: Queue::new(queue),
            watches: (0..=workers).map(|_| std::sync::Arc::new(Watch::new(deadline))).collect(),
            threads: Mutex::default(),
            replaced: AtomicUsize::new(0),
        }
    }

    /// Lane `index`, with these values.
    pub(crate) fn lane(&self, index: usize, timeline: Timeline, locals: Locals) -> Lane {
        Lane::new(index as u32, timeline, locals, self.watches[index].clone())
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Whether the workers are to end.
    fn is_stopped(&self) -> bool {
        // Acquire: pairs with the Release in `stop`.
        self.stop.load(Ordering::Acquire)
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

    /// What worker `worker` does until the pool stops, or it is to be replaced.
    pub(crate) fn work(&self, worker: usize) {
        let mut lane = self.lane(worker + 1, self.timeline.clone(), Locals::default());
        let watch = &self.watches[worker + 1];
        // The slot that last had work. While it is looked at directly, a task that opens there again is
        // seen by one cache miss instead of two.
        let mut recent = 0;
        while !self.is_stopped() && !lane.is_retired() && !watch.take_killed() {
            if self.run_open(&mut lane, &mut recent) {
                continue;
            }
            if let Some(task) = self.queue.pop() {
                task.run(&mut lane);
                continue;
            }
            let has_work = || {
                self.board.has_range(recent)
                    || self.board.has_work()
                    || self.queue.has_task()
                    || self.is_stopped()
                    || watch.is_killed()
            };
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
            if lane.is_retired() {
                break;
            }
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
                // Another lane takes the rest.
                Ran::One if lane.is_retired() => return true,
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

/// Starts the thread of worker `worker`.
fn start(shared: &Arc<Shared>, worker: usize) -> io::Result<()> {
    let name = format!("peristyle-{}", worker + 1);
    let work = {
        let shared = Arc::clone(shared);
        move || {
            loop {
                // Only the end of a lane's value can panic here; the hook has told, and the next one has new values.
                let _ = catch_unwind(AssertUnwindSafe(|| shared.work(worker)));
                if shared.is_stopped() {
                    return;
                }
                shared.replaced.fetch_add(1, Ordering::Release);
                // Without a thread for a successor this one goes on in its place.
                if start(&shared, worker).is_ok() {
                    return;
                }
            }
        }
    };
    let thread = Builder::new().name(name).spawn(work)?;
    shared.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    Ok(())
}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    #[cfg(not(loom))]
    send_and_sync::<Pool>();
    send_and_sync::<Shared>();
};
