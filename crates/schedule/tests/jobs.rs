//! The job contract as the scheduler keeps it, with runners that are Rust closures.

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
};

use peristyle_jobs::{Access, JobCall, JobError, JobRunner, Lane};
use peristyle_schedule::{Job, Mode, ScheduleError, Scheduler, System};
use peristyle_world::{Changed, Component, Entity, Field, Memory, Scalar, Without, World};
use serde_json::json;
use support::{A, B, C, Closure, Log, column, scheduler, serial, threw, toil, world_of};

#[derive(Component, Clone, Debug, PartialEq)]
#[component(opaque)]
struct Name(String);

fn job(run: impl Fn(&JobCall<'_>) -> Result<(), JobError> + Send + Sync + 'static) -> Job {
    Job::new(Closure(move |_: &mut Lane, call: &JobCall<'_>| run(call)))
}

fn full_world(rows: usize) -> World {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..rows).map(|i| (A { x: i as f32 }, B { x: 1.0, y: i as f32 }))).unwrap();
    world.insert_columns::<C>(3, |c| c.n.copy_from_slice(&[10, 20, 30])).unwrap();
    world
}

#[test]
fn a_job_that_cannot_work_on_a_world_is_refused_by_name() {
    struct Elsewhere;
    impl JobRunner for Elsewhere {
        fn name(&self) -> &str {
            "elsewhere"
        }
        fn check(&self, memory: &Memory) -> Result<(), JobError> {
            Err(JobError::Memory(format!("{} bytes are too many", memory.max_bytes())))
        }
        fn run(&self, _: &mut Lane, _: &JobCall<'_>) -> Result<(), JobError> {
            unreachable!("it was refused")
        }
    }
    let mut scheduler = serial(World::on(Memory::reserve(2 << 20).unwrap()));
    let error = scheduler.add(System::new("far").job(Job::new(Elsewhere).reads::<A>())).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "job `far` cannot reach its columns: 2097152 bytes are too many");
    assert!(matches!(error, ScheduleError::Job { error: JobError::Memory(_), .. }));
    assert_eq!(scheduler.run_frame(0.5, 0.0).unwrap().rows, 0);
}

#[test]
fn a_call_is_lent_what_was_declared_in_that_order() {
    let log = Log::default();
    let mut scheduler = serial(full_world(700));
    let told = log.clone();
    let run = job(move |call| {
        let names: Vec<_> = call.shape.components.iter().map(|c| (c.name.as_str(), c.access)).collect();
        assert_eq!(names, [("B", Access::Read), ("A", Access::Write)]);
        assert_eq!(call.shape.components[0].fields.iter().map(|field| &*field.name).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((call.shape.resources[0].name.as_str(), call.shape.resources[0].access), ("C", Access::Read));
        assert_eq!((call.rows, call.columns.len(), call.resources.len()), (700, 3, 1));
        let (b_y, a_x) = (column::<f32>(&call.columns[1]), column::<f32>(&call.columns[2]));
        let (eids, resource) = (column::<u32>(&call.eids), column::<u32>(&call.resources[0]));
        assert_eq!((b_y.len(), eids.len(), resource), (700, 700, &mut [10, 20, 30][..]));
        assert!((0..700).all(|i| b_y[i] == i as f32 && call.entities.entity(eids[i]).index() == eids[i]));
        a_x[5] = b_y[699] + call.dt as f32 + call.time as f32;
        // Bits of what is written: none are set yet, and only marked rows count.
        assert!(call.changed[0].is_none() && call.despawn.is_none());
        let bits = column::<u8>(call.changed[1].as_ref().unwrap());
        assert!(bits.len() == 11 * 8 && bits.iter().all(|byte| *byte == 0));
        bits[0] |= 1 << 5;
        told.push(format!("{:?}", call.extra.map(|extra| (extra.json.to_owned(), extra.version))));
        Ok(())
    });
    let run = run.reads::<B>().writes::<A>().reads_columns::<C>().reads::<A>();
    let run = run.extra(|tick| json!({ "half": tick.number / 2 }));
    scheduler.add(System::new("job").job(run)).unwrap();
    let changes = log.clone();
    let watch = System::new("watch").each_with::<(Entity, &A), Changed<A>, _>(move |_| {
        move |range, (entity, row)| {
            if range.tick().number > 1 {
                changes.push(format!("{} {}", entity.index(), row.x));
            }
        }
    });
    scheduler.add(watch.after("job")).unwrap();
    for time in [10.0, 20.0, 30.0] {
        scheduler.run_frame(0.5, time).unwrap();
    }
    let extra = |half, version| format!("{:?}", Some((format!("{{\"half\":{half}}}"), version)));
    assert_eq!(
        log.take(),
        [extra(0, 1), extra(1, 2), "5 719.5".to_owned(), extra(1, 2), "5 729.5".to_owned()],
        "extra has a new version when its value is new"
    );
}

#[test]
fn with_and_without_restrict_and_are_not_lent() {
    let calls = Arc::new(AtomicU32::new(0));
    let mut world = full_world(10);
    world.spawn(A { x: 0.0 }).unwrap();
    world.spawn((A { x: 0.0 }, B { x: 0.0, y: 0.0 }, C { n: 0 })).unwrap();
    let mut scheduler = serial(world);
    let count = Arc::clone(&calls);
    let run = job(move |call| {
        assert_eq!((call.rows, call.columns.len()), (10, 1));
        count.fetch_add(1, SeqCst);
        Ok(())
    });
    scheduler.add(System::new("job").job(run.reads::<A>().with::<B>().without::<C>())).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn columns_that_the_world_has_once_can_be_written_and_exchanged() {
    let mut scheduler = serial(full_world(1));
    let run = job(|call| {
        assert_eq!((call.resources.len(), call.shape.resources[0].access), (1, Access::Write));
        column::<u32>(&call.resources[0]).iter_mut().for_each(|n| *n += 1);
        Ok(())
    });
    // Declared twice, lent once.
    scheduler.add(System::new("job").job(run.reads::<A>().reads_columns::<C>().writes_columns::<C>())).unwrap();
    let shape = scheduler.plan().unwrap().to_string();
    assert_eq!(shape, "update\n  0 job\n");
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(scheduler.world().columns::<C>().unwrap().n, [11, 21, 31]);
    scheduler.world_mut().insert_columns::<C>(5, |c| c.n.fill(7)).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(scheduler.world().columns::<C>().unwrap().n, [8; 5]);
    scheduler.world_mut().define_columns("C", vec![Field::new("m", Scalar::F64)], 5).unwrap();
    let error = scheduler.run_frame(0.0, 0.0).unwrap_err();
    assert_eq!(error.to_string(), "job `job` uses resource `C`, but the world has no such columns");
    scheduler.world_mut().insert_columns::<C>(1, |c| c.n.fill(1)).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(scheduler.world().columns::<C>().unwrap().n, [2]);
}

#[test]
fn despawn_bits_of_a_job() {
    let mut scheduler = serial(world_of(100));
    let run = job(|call| {
        let bits = column::<u8>(call.despawn.as_ref().unwrap());
        assert_eq!(bits.len(), 16);
        // Padding counts for nothing.
        bits.fill(0b1000_0001);
        Ok(())
    });
    scheduler.add(System::new("job").job(run.reads::<A>().despawns())).unwrap();
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().despawned, 25);
    assert_eq!(scheduler.world().len(), 75);
}

#[test]
fn a_changed_filter_calls_for_ranges_with_changes_and_says_which_rows() {
    let (log, mut scheduler) = (Log::default(), serial(world_of(40_000)));
    let told = log.clone();
    let run = job(move |call| {
        let bits = column::<u8>(call.changed[0].as_ref().unwrap());
        let eids = column::<u32>(&call.eids);
        let rows: Vec<u32> =
            (0..call.rows as usize).filter(|i| bits[i >> 3] >> (i & 7) & 1 != 0).map(|i| eids[i]).collect();
        told.push(match rows.len() {
            0..10 => format!("{rows:?} of {}", call.rows),
            some => format!("{some} of {}", call.rows),
        });
        Ok(())
    });
    scheduler.add(System::new("job").job(run.changed::<A>())).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["16384 of 16384", "16384 of 16384", "7232 of 7232"]);
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert!(log.take().is_empty());
    for index in [3, 20_000, 20_001] {
        let entity = scheduler.world().entity(index);
        scheduler.world_mut().set(entity, A { x: 0.0 }).unwrap();
    }
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["[3] of 16384", "[20000, 20001] of 16384"]);
}

#[test]
fn ranges_without_changes_are_no_call() {
    let calls = Arc::new(AtomicU32::new(0));
    let mut scheduler = scheduler(world_of(16_000), Mode::Parallel, 1);
    let count = Arc::clone(&calls);
    let run = job(move |call| {
        toil(call.rows * 40);
        assert!(column::<u8>(call.changed[0].as_ref().unwrap()).iter().any(|byte| *byte != 0));
        count.fetch_add(1, SeqCst);
        Ok(())
    });
    scheduler.add(System::new("job").job(run.changed::<A>())).unwrap();
    for frame in 0..40 {
        calls.store(0, SeqCst);
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0);
        assert!(frame == 0 || calls.load(SeqCst) == 1);
        let entity = scheduler.world().entity(frame * 300);
        scheduler.world_mut().set(entity, A { x: 0.0 }).unwrap();
    }
}

#[test]
fn zero_rows_are_no_call() {
    let mut scheduler = serial(world_of(0));
    scheduler.add(System::new("job").job(job(|_| panic!("there are no rows")).writes::<A>())).unwrap();
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!((report.rows, report.failures), (0, 0));
}

#[test]
fn what_jobs_cannot_reach_is_an_error() {
    let mut world = world_of(1);
    world.spawn(Name("x".into())).unwrap();
    let mut scheduler = serial(world);
    let error = scheduler.add(System::new("a").job(job(|_| Ok(())).reads::<Name>())).err().unwrap();
    assert_eq!(error.to_string(), "job `a` uses component `Name`, which is opaque, but `closure` reaches columns only");
    let error = scheduler.add(System::new("b").job(job(|_| Ok(())).reads::<A>().reads_columns::<C>())).err().unwrap();
    assert!(matches!(error, ScheduleError::NoColumns { .. }));
    assert_eq!(error.to_string(), "job `b` uses resource `C`, but the world has no such columns");
    // As a filter it is fine, and the world goes on.
    scheduler.add(System::new("c").job(job(|_| Ok(())).reads::<A>().without::<Name>())).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
}

/// Fails on the second of three chunks; how it fails is up to `fail`.
fn failing(mode: Mode, fail: fn() -> Result<(), JobError>) -> (Scheduler, Log) {
    let (log, mut scheduler) = (Log::default(), scheduler(full_world(40_000), mode, 1));
    let run = job(move |call| {
        let x = column::<f32>(&call.columns[0]);
        let eids = column::<u32>(&call.eids);
        x.fill(1.0);
        if eids[0] == 16_384 {
            return fail();
        }
        // In the others one row is marked.
        column::<u8>(call.changed[0].as_ref().unwrap())[0] |= 1;
        Ok(())
    });
    scheduler.add(System::new("job").job(run.writes::<A>())).unwrap();
    let told = log.clone();
    let watch = System::new("watch").each_with::<(Entity, &A), Changed<A>, _>(move |_| {
        let count = AtomicU32::new(0);
        move |range, (entity, row)| {
            if range.tick().number > 1 {
                assert_eq!(row.x, 1.0);
                count.fetch_add(1, SeqCst);
                if !(16_384..32_768).contains(&entity.index()) {
                    told.push(format!("{}", entity.index()));
                }
                told.push("one");
            }
        }
    });
    scheduler.add(watch.after("job")).unwrap();
    (scheduler, log)
}

#[test]
fn a_failed_call_keeps_what_it_wrote_as_marked_rows_and_the_frame_goes_on() {
    for mode in [Mode::Serial, Mode::Parallel] {
        let (mut scheduler, log) = failing(mode, || Err(threw("second chunk")));
        scheduler.run_frame(0.0, 0.0).unwrap();
        let failures = scheduler.take_failures();
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].to_string(), "job `job` failed on 16384 rows in tick 1: Error: second chunk");
        assert!(scheduler.take_failures().is_empty());
        let report = scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!((report.failures, report.rows), (1, 40_000 + 32_768 + 7_232));
        let mut seen = log.take();
        seen.retain(|what| what != "one");
        assert_eq!(seen, ["0", "32768"], "of the other calls just the marked rows");
    }
}

#[test]
fn a_runner_that_panics_fails_its_call() {
    let (mut scheduler, _) = failing(Mode::Serial, || panic!("in the runner"));
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(report.failures, 1);
    assert_eq!(scheduler.take_failures()[0].error, JobError::Panicked("in the runner".into()));
}

#[test]
fn all_rows_of_a_failed_call_are_marked() {
    let seen = Arc::new(AtomicU32::new(0));
    let mut scheduler = serial(world_of(1_000));
    let failing = job(|_| Err(threw("always")));
    scheduler.add(System::new("job").job(failing.writes::<A>())).unwrap();
    let count = Arc::clone(&seen);
    let watch =
        System::new("watch").each_with::<&A, Changed<A>, _>(move |_| move |_, _| _ = count.fetch_add(1, SeqCst));
    scheduler.add(watch.after("job")).unwrap();
    for frames in 1..4 {
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(seen.load(SeqCst), frames * 1_000);
    }
}

#[test]
fn failures_are_counted_when_there_are_too_many_to_keep() {
    let mut scheduler = serial(world_of(20 * 16_384));
    scheduler.add(System::new("job").job(job(|_| Err(threw("always"))).writes::<A>())).unwrap();
    for _ in 0..20 {
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 20);
    }
    assert_eq!(scheduler.take_failures().len(), 64);
}

/// While a column is lent no Rust system reads it, and jobs that read it may run side by side.
#[test]
fn lent_columns_are_not_read_by_rust() {
    let (lent, read) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let overlapped = Arc::new(AtomicBool::new(false));
    let mut scheduler = scheduler(world_of(60_000), Mode::Parallel, 3);
    for name in ["job 1", "job 2"] {
        let (lent, read, overlapped) = (Arc::clone(&lent), Arc::clone(&read), Arc::clone(&overlapped));
        let run = job(move |_| {
            lent.fetch_add(1, SeqCst);
            toil(5_000);
            overlapped.fetch_or(read.load(SeqCst) > 0, SeqCst);
            lent.fetch_sub(1, SeqCst);
            Ok(())
        });
        scheduler.add(System::new(name).job(run.reads::<A>())).unwrap();
    }
    for name in ["a reader", "k reader", "z reader"] {
        let (lent, read, overlapped) = (Arc::clone(&lent), Arc::clone(&read), Arc::clone(&overlapped));
        let system = System::new(name).each_chunk::<&A>(move |_, _| {
            read.fetch_add(1, SeqCst);
            toil(5_000);
            overlapped.fetch_or(lent.load(SeqCst) > 0, SeqCst);
            read.fetch_sub(1, SeqCst);
        });
        scheduler.add(system).unwrap();
    }
    for _ in 0..60 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    assert!(!overlapped.load(SeqCst));
}

#[test]
fn ranges_of_a_job_cover_every_row_once_on_borders() {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let mut scheduler = scheduler(world_of(50_000), Mode::Parallel, 3);
    let got = Arc::clone(&rows);
    let run = job(move |call| {
        let eids = column::<u32>(&call.eids);
        toil(eids.len() as u32 * 40);
        assert!(call.rows as usize <= 16_384 && eids[0].is_multiple_of(512));
        got.lock().unwrap().push(eids[0]..eids[0] + call.rows);
        Ok(())
    });
    scheduler.add(System::new("job").job(run.writes::<A>())).unwrap();
    for _ in 0..20 {
        scheduler.run_frame(0.0, 0.0).unwrap();
        let mut ranges = std::mem::take(&mut *rows.lock().unwrap());
        ranges.sort_by_key(|range| range.start);
        assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, 50_000));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
    }
}

#[test]
fn a_filter_on_tables_is_no_lease() {
    let mut scheduler = serial(full_world(1));
    let run = job(|_| Ok(()));
    scheduler.add(System::new("job").job(run.reads::<A>().with::<B>())).unwrap();
    scheduler.add(System::new("rust").each_with::<&mut B, Without<C>, _>(|_| |_, _| ())).unwrap();
    assert_eq!(scheduler.plan().unwrap().systems()[1].batch, 0);
}
