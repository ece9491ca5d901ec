//! Jobs that hang, outgrow their memory, panic or lose their worker while frames run: the call fails with a clear error,
//! the worker is replaced, the frame and the next ones go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use peristyle::agents::{Cluster, Limits};
use peristyle::jobs::{JobCall, JobError, JobRunner, Lane};
use peristyle::{Component, FrameReport, Job, JobFailure, Options, Scheduler, System, Where, World};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Count {
    n: u32,
}

/// How long a test waits for what is bound to come, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows enough for several ranges.
const ROWS: u32 = 100_000;

fn scheduler(workers: usize, deadline: Option<Duration>) -> Scheduler {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..ROWS).map(|n| (Count { n },))).unwrap();
    Scheduler::new(world, Options { workers, deadline, ..Options::default() }).unwrap()
}

/// A scheduler with one job in TypeScript that adds 1 to each row, and in its second frame does `mishap` where the row of
/// entity 0 is.
fn with_mishap(
    (workers, place): (usize, Where),
    deadline: Option<Duration>,
    limits: Limits,
    mishap: &str,
) -> (Cluster, Scheduler) {
    let source = format!(
        "export function handle({{ snap, time }}: any) {{
           const {{ n }} = snap.comps.Count.fields;
           if (time === 1 && n[0] === 1) {{ {mishap} }}
           for (let i = 0; i < snap.rows; i++) n[i]++;
           snap.comps.Count.changed.fill(255);
         }}"
    );
    let cluster = Cluster::with_limits(limits).unwrap();
    let job = cluster.job_from_source("mishap.ts", &source).unwrap();
    let mut scheduler = scheduler(workers, deadline);
    scheduler.add(System::new("count").job(Job::new(job).writes::<Count>()).run_in(place)).unwrap();
    (cluster, scheduler)
}

fn counts(scheduler: &mut Scheduler) -> Vec<u32> {
    let mut counts = Vec::new();
    let world = scheduler.world_mut();
    world.query::<&Count>().for_each(world, |count| counts.push(count.n));
    counts
}

/// Runs ten frames; gives what failed. All rows but those of the failed range count all frames.
fn ten_frames(scheduler: &mut Scheduler) -> JobFailure {
    let mut failures = Vec::new();
    for time in 0..10 {
        let FrameReport { failures: failed, .. } = scheduler.run_frame(0.0, f64::from(time)).unwrap();
        failures.extend(scheduler.take_failures());
        assert_eq!(failed as usize, if time == 1 { 1 } else { 0 }, "{failures:?}");
    }
    let [failure] = <[JobFailure; 1]>::try_from(failures).unwrap();
    let late = counts(scheduler).iter().zip(0..).filter(|(count, n)| **count == n + 9).count();
    let whole = counts(scheduler).iter().zip(0..).filter(|(count, n)| **count == n + 10).count();
    assert_eq!((late, late + whole), (failure.rows, ROWS as usize));
    failure
}

#[test]
fn a_job_that_hangs_is_stopped_and_the_frame_goes_on() {
    // Here, wherever it comes to, and on a worker.
    for at in [(0, Where::Split), (1, Where::Split), (2, Where::Split), (1, Where::Worker)] {
        let deadline = Some(Duration::from_secs(3));
        let (_cluster, mut scheduler) = with_mishap(at, deadline, Limits::default(), "for (;;);");
        let failure = ten_frames(&mut scheduler);
        assert_eq!(failure.error, JobError::Terminated("it overran its deadline of 3s".into()));
        assert_eq!((failure.system.as_str(), failure.tick), ("count", 2));
    }
}

#[test]
fn a_job_out_of_memory_fails_alone() {
    let limits = Limits { heap_bytes: 32 << 20, ..Limits::default() };
    let (_cluster, mut scheduler) =
        with_mishap((2, Where::Split), None, limits, "const kept = []; for (;;) kept.push({ a: {}, b: [1, 2, 3] });");
    let failure = ten_frames(&mut scheduler);
    assert_eq!(failure.error, JobError::Terminated("its heap grew beyond 33554432 bytes".into()));
}

/// Meets `mishap` once on a worker: rows are split, so that a worker has some.
struct OnWorker<F>(F, AtomicBool);

impl<F: Fn(&mut Lane) + Send + Sync> JobRunner for OnWorker<F> {
    fn name(&self) -> &str {
        "on-worker"
    }
    fn run(&self, lane: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        // Long enough that a worker comes before all is done.
        thread::sleep(Duration::from_nanos(u64::from(call.rows) * 20));
        if lane.index() > 0 && !self.1.swap(true, Ordering::Relaxed) {
            (self.0)(lane);
        }
        Ok(())
    }
}

/// Runs frames until a worker met its mishap; gives what failed.
fn until_met(mishap: impl Fn(&mut Lane) + Send + Sync + 'static, deadline: Option<Duration>) -> JobFailure {
    let mut scheduler = scheduler(1, deadline);
    let runner = OnWorker(mishap, AtomicBool::new(false));
    scheduler.add(System::new("work").job(Job::new(runner).writes::<Count>()).run_in(Where::Split)).unwrap();
    let began = Instant::now();
    let failure = loop {
        assert!(began.elapsed() < PATIENCE, "no worker got a range");
        scheduler.run_frame(0.0, 0.0).unwrap();
        if let Some(failure) = scheduler.take_failures().pop() {
            break failure;
        }
    };
    for _ in 0..20 {
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0);
    }
    failure
}

#[test]
fn a_rust_job_that_panics_costs_its_worker_not_the_frame() {
    let failure = until_met(|_| panic!("no more"), None);
    assert_eq!(failure.error, JobError::Panicked("no more".into()));
}

#[test]
fn a_rust_job_that_overruns_is_waited_for_and_told() {
    let deadline = Duration::from_secs(1);
    let failure = until_met(move |_| thread::sleep(deadline * 2), Some(deadline));
    assert!(matches!(failure.error, JobError::Overran(overrun) if overrun.deadline == deadline), "{failure}");
}

#[test]
fn a_worker_killed_in_the_middle_of_a_frame_is_replaced() {
    let cluster = Cluster::new().unwrap();
    // Says when it has begun to hang; only the kill ends it.
    let source = "
        export function handle({ snap, extra }: any) {
          const { n } = snap.comps.Count.fields;
          if (extra.hang) { console.log('hangs'); for (;;); }
          for (let i = 0; i < snap.rows; i++) n[i]++;
        }";
    let job = cluster.job_from_source("hang.ts", source).unwrap();
    let (hangs, hung) = mpsc::channel();
    cluster.set_console(move |_, _| hangs.send(thread::current().name().unwrap_or_default().to_owned()).unwrap());
    let mut scheduler = scheduler(1, None);
    let hang = Arc::new(AtomicBool::new(false));
    let told = hang.clone();
    let extra = move |_| serde_json::json!({ "hang": told.load(Ordering::Relaxed) });
    let job = Job::new(job).writes::<Count>().extra(extra);
    scheduler.add(System::new("hang").job(job).run_in(Where::Split)).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    hang.store(true, Ordering::Relaxed);
    let supervisor = scheduler.pool().supervisor();
    let frame = thread::spawn(move || {
        let report = scheduler.run_frame(0.0, 0.0).unwrap();
        (report, scheduler)
    });
    // The frame's own thread hangs until the worker does, which is killed; then both are ended wherever they hang, until
    // the frame is over.
    let began = Instant::now();
    while hung.recv_timeout(PATIENCE).expect("the worker gets a range") != "peristyle-1" {}
    while !frame.is_finished() {
        supervisor.kill(1);
        if supervisor.replaced() > 0 {
            cluster.interrupt_all();
        }
        // A word may come before the loop that it speaks of, so all is done again if none comes.
        let _ = hung.recv_timeout(Duration::from_millis(5));
        assert!(began.elapsed() < PATIENCE, "the frame does not end");
    }
    let (report, mut scheduler) = frame.join().unwrap();
    let failures = scheduler.take_failures();
    assert_eq!(report.failures as usize, failures.len());
    let reasons = ["its worker was killed", "interrupted"].map(|reason| JobError::Terminated(reason.into()));
    assert!(!failures.is_empty() && failures.iter().all(|failure| reasons.contains(&failure.error)), "{failures:?}");
    assert!(supervisor.replaced() > 0);
    hang.store(false, Ordering::Relaxed);
    let before = counts(&mut scheduler);
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0);
    assert!(counts(&mut scheduler).iter().zip(before).all(|(after, before)| *after == before + 1));
}
