//! Snapshots that move to a worker and back, and what happens if they do not.

mod support;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use hecs::World;
use peristyle_jobs::{JobCall, JobError, JobRunner, Lane, Pool};
use peristyle_offload::{
    Column, ColumnMut, ColumnRef, Ferry, FerryError, JobSnapshot, JobSnapshotSpec, Manner, Offload, OffloadError,
    Placed, SnapshotError, Source, Step, Way,
    hecs::{Hecs, Tables},
};
use support::{Position, Velocity, column, job, mark};

const STEP: Step = Step { dt: 0.5, time: 3.0 };
/// Longer than anything here takes; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(60);

fn world(rows: usize) -> (World, Tables) {
    let mut world = World::new();
    world.spawn_batch((0..rows).map(|_| (Position { x: 0.0, y: 0.0 }, Velocity { x: 1.0, y: 2.0 }))).for_each(drop);
    let spec = JobSnapshotSpec::<Hecs>::new().reads::<Velocity>().writes::<Position>();
    (world, Tables::new(spec.build().unwrap()))
}

/// Adds one to every position and marks it.
fn add_one() -> support::Closure {
    job(|call| {
        column::<f32>(&call.columns[2]).iter_mut().for_each(|x| *x += 1.0);
        (0..call.rows as usize).for_each(|row| mark(call.changed[1].as_ref().unwrap(), row));
        Ok(())
    })
}

fn sum(world: &mut World) -> f32 {
    world.query_mut::<&Position>().into_iter().map(|position| position.x).sum()
}

#[test]
fn the_same_buffers_and_the_same_thread_serve_every_frame() {
    let (mut world, mut tables) = world(5000);
    let (threads, buffers) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(Mutex::new(BTreeSet::new())));
    let (on, at) = (threads.clone(), buffers.clone());
    let runner = job(move |call| {
        on.lock().unwrap().insert(format!("{:?}", thread::current().id()));
        at.lock().unwrap().insert(call.columns[2].ptr.as_ptr() as usize);
        Ok(())
    });
    let mut offload = Offload::new(tables.shape().clone(), runner).with_way(Way::Transferred).unwrap();
    for _ in 0..10 {
        offload.start(&mut tables.of(&mut world), STEP).unwrap();
        assert!(offload.is_away() && offload.report().is_none());
        offload.finish(&mut tables.of(&mut world)).unwrap();
    }
    let threads = threads.lock().unwrap();
    assert_eq!((threads.len(), buffers.lock().unwrap().len()), (1, 1), "no worker is started per job, no buffer made");
    assert!(!threads.contains(&format!("{:?}", thread::current().id())), "it is another thread");
}

#[test]
fn the_world_may_change_while_a_snapshot_is_away() {
    let (mut world, mut tables) = world(1000);
    let mut offload = Offload::new(tables.shape().clone(), add_one());
    offload.start(&mut tables.of(&mut world), STEP).unwrap();
    assert!(
        matches!(offload.start(&mut tables.of(&mut world), STEP), Err(OffloadError::Away(job)) if job == "closure")
    );
    let dead: Vec<_> = world.query_mut::<hecs::Entity>().into_iter().take(10).collect();
    dead.iter().for_each(|entity| world.despawn(*entity).unwrap());
    world.spawn_batch((0..20).map(|_| (Position { x: 0.0, y: 0.0 }, Velocity { x: 1.0, y: 2.0 }))).for_each(drop);
    let report = offload.finish(&mut tables.of(&mut world)).unwrap();
    assert_eq!((report.rows, report.commit.written(), report.commit.stale()), (1000, 990, 10));
    assert_eq!((sum(&mut world), world.len()), (990.0, 1010), "who came meanwhile is not touched");
    assert!(matches!(offload.finish(&mut tables.of(&mut world)), Err(OffloadError::Ferry(FerryError::Idle))));
}

#[test]
fn a_job_that_panics_gives_the_buffers_back() {
    let (mut world, mut tables) = world(100);
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let runner = job(move |call| {
        mark(call.changed[1].as_ref().unwrap(), 0);
        column::<f32>(&call.columns[2])[0] += 1.0;
        assert!(!failing.load(SeqCst), "as told");
        Ok(())
    });
    let mut offload = Offload::new(tables.shape().clone(), runner).atomic().with_way(Way::Transferred).unwrap();
    let mut pool = Pool::new(0).unwrap();
    let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    assert_eq!((report.run.failures.len(), report.commit.written()), (1, 0));
    assert_eq!(sum(&mut world), 0.0);
    fails.store(false, SeqCst);
    let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    assert_eq!((report.run.failures.len(), report.commit.written()), (0, 1));
    assert_eq!(sum(&mut world), 1.0);
}

/// Trap: buffers transferred to a worker and never sent back; a job that hangs and leaves no defined world.
#[test]
fn a_job_that_hangs_is_given_up_and_never_committed() {
    let (mut world, mut tables) = world(100);
    let (release, released) = mpsc::channel::<()>();
    let (ending, ended) = mpsc::channel();
    let (released, calls) = (Mutex::new(released), AtomicUsize::new(0));
    let runner = job(move |call| {
        let hangs = calls.fetch_add(1, SeqCst) == 0;
        if hangs {
            released.lock().unwrap().recv().unwrap();
        }
        column::<f32>(&call.columns[2]).fill(if hangs { 1000.0 } else { 1.0 });
        (0..call.rows as usize).for_each(|row| mark(call.changed[1].as_ref().unwrap(), row));
        if hangs {
            ending.send(()).unwrap();
        }
        Ok(())
    });
    let offload = Offload::new(tables.shape().clone(), runner).patience(Duration::from_millis(20));
    let mut offload = offload.with_way(Way::Transferred).unwrap();
    let mut pool = Pool::new(0).unwrap();
    let error = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap_err();
    assert!(matches!(error, OffloadError::Ferry(FerryError::Overdue(_))), "{error}");
    assert_eq!((sum(&mut world), offload.is_away()), (0.0, false), "the world is as it was");
    let mut offload = offload.patience(LONG);
    let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    assert_eq!((report.commit.written(), sum(&mut world)), (100, 100.0), "another worker goes on");
    release.send(()).unwrap();
    ended.recv().unwrap();
    offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    assert_eq!(sum(&mut world), 100.0, "what it wrote too late is nobody's");
}

#[test]
fn a_worker_that_ends_is_told_and_a_new_one_is_as_good() {
    /// Takes its thread with it when it is dropped there.
    struct Deadly(Arc<Barrier>);
    impl JobRunner for Deadly {
        fn name(&self) -> &str {
            "deadly"
        }
        fn run(&self, _: &mut Lane, _: &JobCall<'_>) -> Result<(), JobError> {
            self.0.wait();
            self.0.wait();
            Ok(())
        }
    }
    impl Drop for Deadly {
        fn drop(&mut self) {
            panic!("the worker goes down");
        }
    }
    let (mut world, mut tables) = world(10);
    let snapshot = |world: &mut World, tables: &mut Tables| {
        let mut snapshot = JobSnapshot::new(tables.shape().clone());
        snapshot.take(&mut tables.of(world)).unwrap();
        snapshot
    };
    let mut ferry = Ferry::new(0).unwrap();
    assert!(matches!(ferry.land(LONG), Err(FerryError::Idle)) && matches!(ferry.try_land(), Err(FerryError::Idle)));
    let barrier = Arc::new(Barrier::new(2));
    let runner: Arc<dyn JobRunner> = Arc::new(Deadly(barrier.clone()));
    ferry.send(snapshot(&mut world, &mut tables), &runner, STEP, None, Manner::default()).unwrap();
    barrier.wait();
    assert!(ferry.try_land().unwrap().is_none() && ferry.is_away());
    let extra = Some(("7".to_owned(), 1));
    let refused = ferry.send(snapshot(&mut world, &mut tables), &runner, STEP, extra, Manner::default()).unwrap_err();
    assert_eq!((refused.snapshot.rows(), refused.extra.as_deref(), refused.lost), (10, Some("7"), false));
    // The worker has the last hold on the runner now.
    drop(runner);
    barrier.wait();
    assert!(matches!(ferry.land(LONG), Err(FerryError::Lost)));
    let runner: Arc<dyn JobRunner> = Arc::new(add_one());
    let refused = ferry.send(snapshot(&mut world, &mut tables), &runner, STEP, None, Manner::default()).unwrap_err();
    assert!(refused.lost && refused.to_string() == "the worker has ended");
    drop(ferry);
    let mut ferry = Ferry::new(0).unwrap();
    ferry.send(*refused.snapshot, &runner, STEP, None, Manner::default()).unwrap();
    let mut landed = ferry.land(LONG).unwrap();
    assert_eq!(landed.snapshot.commit(&mut tables.of(&mut world)).written(), 10);
    assert_eq!(sum(&mut world), 10.0);
}

#[test]
fn more_rows_than_memory_are_an_error_and_no_rows() {
    struct Endless;
    impl Source for Endless {
        fn count(&mut self) -> usize {
            usize::MAX
        }
        fn ids(&mut self, _: Range<usize>, _: &mut [u32], _: &mut [u64]) {
            unreachable!("too many")
        }
        fn gather(&mut self, _: Column, _: Range<usize>, _: ColumnMut<'_>) {}
        fn place(&mut self, _: &[u32], _: &[u64], _: &mut Placed) {}
        fn scatter(&mut self, _: Column, _: &Placed, _: &[u64], _: ColumnRef<'_>) {}
        fn despawn(&mut self, _: u64) -> bool {
            false
        }
    }
    let (_, tables) = world(0);
    let mut snapshot = JobSnapshot::new(tables.shape().clone());
    assert_eq!(snapshot.take(&mut Endless), Err(SnapshotError::TooManyRows(usize::MAX)));
    assert_eq!(snapshot.rows(), 0);
}
