//! Row-wise, parts and whole jobs: what a call is lent, the same world whatever the shape, and what failures leave.

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use peristyle_jobs::{JobCall, JobError, RustJob};
use peristyle_schedule::{ByType, Job, Mode, ScheduleError, Scheduler, System, Where};
use peristyle_world::{Changed, Component, Entity, World};
use support::{A, B, C, Closure, column, scheduler, serial, threw, world_of};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct D {
    x: f64,
}

/// Four tables with an `A` each, of 40 000, 700, 3 and 16 384 rows: borders that lie on no word of a bitset.
fn ragged() -> World {
    let mut world = world_of(40_000);
    let a = |i: usize| A { x: 100_000.0 + i as f32 };
    world.spawn_batch((0..700).map(|i| (a(i), B { x: 1.0, y: i as f32 }))).unwrap();
    world.spawn_batch((0..3).map(|i| (a(i), C { n: 1 }))).unwrap();
    world.spawn_batch((0..16_384).map(|i| (a(i), D { x: 0.0 }))).unwrap();
    world.insert_columns::<C>(3, |c| c.n.copy_from_slice(&[10, 20, 30])).unwrap();
    world
}

const ROWS: usize = 40_000 + 700 + 3 + 16_384;

/// What somebody can see of a world: rows by entity, and who is told of changes.
#[derive(Debug, PartialEq)]
struct Seen {
    rows: Vec<(u32, u32)>,
    changed: Vec<u32>,
    despawned: u64,
}

/// Runs a job three frames in a world of its own; watches changes of `A` after the first.
fn seen(job: Job, mode: Mode, workers: usize, place: Where) -> Seen {
    let mut scheduler = scheduler(ragged(), mode, workers);
    let changed = Arc::new(Mutex::new(Vec::new()));
    scheduler.add(System::new("job").job(job).run_in(place)).unwrap();
    let told = Arc::clone(&changed);
    let watch = System::new("watch").each_with::<(Entity, &A), Changed<A>, _>(move |_| {
        move |range, (entity, _)| {
            if range.tick().number > 1 {
                told.lock().unwrap().push(entity.index());
            }
        }
    });
    scheduler.add(watch.after("job")).unwrap();
    let mut despawned = 0;
    for frame in 0..3 {
        let report = scheduler.run_frame(0.5, f64::from(frame)).unwrap();
        assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
        despawned += report.despawned;
    }
    let mut changed = std::mem::take(&mut *changed.lock().unwrap());
    changed.sort_unstable();
    Seen { rows: rows(&mut scheduler), changed, despawned }
}

fn rows(scheduler: &mut Scheduler) -> Vec<(u32, u32)> {
    let mut rows = Vec::new();
    let mut query = scheduler.world_mut().query::<(Entity, &A)>();
    query.for_each(scheduler.world_mut(), |(entity, a)| rows.push((entity.index(), a.x.to_bits())));
    rows.sort_unstable();
    rows
}

/// Moves every row, marks each third entity, despawns some.
fn step(call: &mut peristyle_jobs::RustCall<'_>) -> Result<(), JobError> {
    let (a, eids, dt) = (call.get_mut::<A>()?, call.eids(), call.dt() as f32);
    let (mut marks, mut despawns) = (call.marks("A")?, call.despawns()?);
    for (row, x) in a.x.iter_mut().enumerate() {
        *x += dt + eids[row] as f32;
        if eids[row].is_multiple_of(3) {
            marks.mark(row);
        }
        if eids[row] % 1_000 == 999 {
            despawns.mark(row);
        }
    }
    Ok(())
}

fn declared(job: Job) -> Job {
    job.writes::<A>().despawns()
}

#[test]
fn the_same_world_whatever_the_shape_the_workers_and_the_place() {
    let row_wise = || declared(Job::new(RustJob::new("step", step)));
    let parts =
        || declared(Job::new(RustJob::parts("step", |mut parts| parts.try_for_each(|mut part| step(&mut part)))));
    let expected = seen(row_wise(), Mode::Serial, 0, Where::Auto);
    assert_eq!(expected.despawned, ROWS as u64 / 1_000);
    assert_eq!(expected.rows.len(), ROWS - ROWS / 1_000);
    assert!(expected.changed.len() > 2 * (ROWS - ROWS / 1_000) / 3 - 3, "{}", expected.changed.len());
    for (mode, workers) in [(Mode::Serial, 0), (Mode::Parallel, 0), (Mode::Parallel, 2)] {
        for place in [Where::Auto, Where::InPlace, Where::Worker, Where::Split] {
            assert_eq!(seen(row_wise(), mode, workers, place), expected, "row-wise, {mode:?}, {workers}, {place:?}");
            assert_eq!(seen(parts().parts(), mode, workers, place), expected, "parts, {mode:?}, {workers}, {place:?}");
            let whole = seen(row_wise().whole(), mode, workers, place);
            assert_eq!(whole, expected, "whole, {mode:?}, {workers}, {place:?}");
            let atomic = seen(row_wise().whole().atomic(), mode, workers, place);
            assert_eq!(atomic, expected, "atomic, {mode:?}, {workers}, {place:?}");
        }
    }
}

#[test]
fn a_whole_job_sees_all_rows_as_one_and_in_place_if_they_lie_in_one_chunk() {
    for (world, rows, copied) in [(ragged(), ROWS, true), (world_of(16_384), 16_384, false), (world_of(1), 1, false)] {
        let calls = Arc::new(AtomicU32::new(0));
        let mut scheduler = serial(world);
        let count = Arc::clone(&calls);
        let job = RustJob::new("whole", move |call| {
            assert_eq!(call.rows(), rows);
            count.fetch_add(1, SeqCst);
            let (a, eids) = (call.get_mut::<A>()?, call.eids());
            // Only one that sees all rows in order can number them.
            for (row, x) in a.x.iter_mut().enumerate() {
                assert_eq!(eids[row] as usize, row);
                *x = row as f32;
            }
            Ok(())
        });
        scheduler.add(System::new("job").job(Job::new(job).writes::<A>().whole())).unwrap();
        for _ in 0..2 {
            let report = scheduler.run_frame(0.0, 0.0).unwrap();
            assert_eq!((report.failures, report.rows), (0, rows as u64), "{:?}", scheduler.take_failures());
            // Index and value in, value out.
            assert_eq!(report.bytes_copied, if copied { rows as u64 * 12 } else { 0 });
        }
        assert_eq!(calls.load(SeqCst), 2);
        let world = scheduler.world();
        assert!((0..rows as u32).all(|at| world.get::<A>(world.entity(at)).unwrap().x == at as f32));
    }
}

#[test]
fn parts_are_all_chunks_in_one_call_where_they_lie() {
    let calls = Arc::new(AtomicU32::new(0));
    let mut scheduler = scheduler(ragged(), Mode::Parallel, 1);
    let count = Arc::clone(&calls);
    let job = RustJob::parts("sum", move |mut parts| {
        count.fetch_add(1, SeqCst);
        assert_eq!((parts.len(), parts.rows()), (6, ROWS));
        // Two passes: a sum over all parts, then each is given it.
        let mut sum = 0.0;
        for at in 0..parts.len() {
            sum += parts.part(at).get::<A>()?.x.iter().map(|x| f64::from(*x)).sum::<f64>();
        }
        let mut all: Vec<_> = (&mut parts).collect();
        assert!(parts.is_empty());
        let columns: Result<Vec<_>, _> = all.iter_mut().map(|part| part.get_mut::<A>()).collect();
        for a in columns? {
            a.x.fill(sum as f32);
        }
        parts.resource_mut::<u32>("C", "n")?[0] += 1;
        Ok(())
    });
    scheduler.add(System::new("job").job(Job::new(job).writes::<A>().writes_columns::<C>().parts())).unwrap();
    let sum: f64 = rows(&mut scheduler).iter().map(|(_, x)| f64::from(f32::from_bits(*x))).sum();
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!((report.failures, report.bytes_copied), (0, 0), "{:?}", scheduler.take_failures());
    assert_eq!(calls.load(SeqCst), 1);
    assert_eq!(scheduler.world().columns::<C>().unwrap().n, [11, 20, 30]);
    assert!(rows(&mut scheduler).iter().all(|(_, x)| f32::from_bits(*x) == sum as f32));
}

#[test]
fn a_changed_filter_tells_whole_jobs_and_parts_which_rows() {
    for whole in [true, false] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut scheduler = serial(ragged());
        let told = Arc::clone(&seen);
        let look = move |call: &mut peristyle_jobs::RustCall<'_>| {
            let (bits, eids) = (call.changed("A")?.expect("there is a filter"), call.eids());
            let rows = (0..call.rows()).filter(|row| bits[row >> 3] >> (row & 7) & 1 != 0);
            told.lock().unwrap().extend(rows.map(|row| eids[row]));
            Ok(())
        };
        let job = if whole {
            Job::new(RustJob::new("look", look)).whole()
        } else {
            Job::new(RustJob::parts("look", move |mut parts| parts.try_for_each(|mut part| look(&mut part)))).parts()
        };
        scheduler.add(System::new("job").job(job.changed::<A>())).unwrap();
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()).len(), ROWS);
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert!(seen.lock().unwrap().is_empty());
        // In the last rows of a chunk, the first of the next, and in tables after it.
        let some = [3, 16_383, 16_384, 39_999, 40_000, 40_699, 40_702, 40_703, ROWS as u32 - 1];
        for index in some {
            let entity = scheduler.world().entity(index);
            scheduler.world_mut().set(entity, A { x: 0.0 }).unwrap();
        }
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(*seen.lock().unwrap(), some, "whole: {whole}");
    }
}

#[test]
fn what_is_no_taker_of_parts_is_refused() {
    let mut scheduler = serial(world_of(1));
    let runner = Closure(|_: &mut peristyle_jobs::Lane, _: &JobCall<'_>| Ok(()));
    let error = scheduler.add(System::new("a").job(Job::new(runner).reads::<A>().parts())).err().unwrap();
    assert!(matches!(error, ScheduleError::NoParts { .. }));
    assert_eq!(error.to_string(), "job `a` is to take all parts at once, but `closure` takes one at a time");
    let rust = RustJob::new("one", |_| Ok(()));
    assert!(scheduler.add(System::new("b").job(Job::new(rust).reads::<A>().parts())).is_err());
    scheduler.run_frame(0.0, 0.0).unwrap();
}

#[test]
fn an_extra_without_json_form_is_an_error_of_the_frame() {
    let mut scheduler = serial(world_of(1));
    let job = Job::new(RustJob::new("x", |_| Ok(()))).reads::<A>();
    let job = job.extra(|_| std::collections::BTreeMap::from([((1, 2), 3)]));
    scheduler.add(System::new("job").job(job)).unwrap();
    let error = scheduler.run_frame(0.0, 0.0).unwrap_err().to_string();
    assert!(error.starts_with("the extra value of job `job` cannot be serialised: "), "{error}");
}

#[test]
fn extra_is_any_serialisable_value_asked_once_a_frame() {
    #[derive(serde::Serialize)]
    struct Wind {
        from: &'static str,
        knots: f32,
    }
    let (asked, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut scheduler = scheduler(ragged(), Mode::Parallel, 2);
    let told = Arc::clone(&seen);
    let run = Closure(move |_: &mut peristyle_jobs::Lane, call: &JobCall<'_>| {
        let extra = call.extra.unwrap();
        told.lock().unwrap().push((extra.json.to_owned(), extra.version));
        Ok(())
    });
    let count = Arc::clone(&asked);
    let job = Job::new(run).writes::<A>().extra(move |tick| {
        count.fetch_add(1, SeqCst);
        Wind { from: "west", knots: (tick.number / 2) as f32 }
    });
    scheduler.add(System::new("job").job(job)).unwrap();
    for _ in 0..4 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    assert_eq!(asked.load(SeqCst), 4);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.len() >= 4 * 6, "{}", seen.len());
    seen.dedup();
    let of = |knots: &str, version| (format!("{{\"from\":\"west\",\"knots\":{knots}}}"), version);
    assert_eq!(seen, [of("0.0", 1), of("1.0", 2), of("2.0", 3)]);
}

/// Writes all, marks and despawns some, then fails where `A` was `poison`.
fn failing(poison: f32) -> impl Fn(&mut peristyle_jobs::RustCall<'_>) -> Result<(), JobError> + Copy {
    move |call| {
        let (a, mut marks, mut despawns) = (call.get_mut::<A>()?, call.marks("A")?, call.despawns()?);
        let fails = a.x.contains(&poison);
        a.x.iter_mut().for_each(|x| *x = -1.0 - *x);
        marks.mark(0);
        despawns.mark(0);
        if fails { Err(threw("poison")) } else { Ok(()) }
    }
}

#[test]
fn what_fails_is_restored_if_it_is_atomic_and_stays_if_not() {
    for shape in ["row-wise", "parts", "whole", "one chunk whole"] {
        for (mode, workers) in [(Mode::Serial, 0), (Mode::Parallel, 1)] {
            for atomic in [true, false] {
                let poison = 20_000.0;
                let world = if shape == "one chunk whole" { world_of(16_000) } else { ragged() };
                let poison = if shape == "one chunk whole" { 10.0 } else { poison };
                let mut scheduler = scheduler(world, mode, workers);
                let before = rows(&mut scheduler);
                let run = failing(poison);
                let job = match shape {
                    "row-wise" => declared(Job::new(RustJob::new("x", run))),
                    "parts" => declared(Job::new(RustJob::parts("x", move |mut parts| {
                        parts.try_for_each(|mut part| run(&mut part))
                    })))
                    .parts(),
                    _ => declared(Job::new(RustJob::new("x", run))).whole(),
                };
                let job = if atomic { job.atomic() } else { job };
                let changed = Arc::new(AtomicU32::new(0));
                scheduler.add(System::new("job").job(job)).unwrap();
                let count = Arc::clone(&changed);
                let watch = System::new("watch")
                    .each_with::<&A, Changed<A>, _>(move |_| move |_, _| _ = count.fetch_add(1, SeqCst));
                scheduler.add(watch.before("job")).unwrap();
                let report = scheduler.run_frame(0.0, 0.0).unwrap();
                let what = format!("{shape}, {mode:?}, atomic: {atomic}");
                assert_eq!(report.failures, 1, "{what}");
                let failure = &scheduler.take_failures()[0];
                let after = rows(&mut scheduler);
                // The rows of the call that failed, for which the others are as if there had been no failure.
                let failed = match shape {
                    "row-wise" => 16_384..32_768,
                    "one chunk whole" => 0..16_000,
                    _ => 0..ROWS as u32,
                };
                assert_eq!(failure.rows, failed.len(), "{what}");
                let expected = |index: u32, x: f32| {
                    let kept = failed.contains(&index) && atomic;
                    // Parts after the failure are not reached.
                    let reached = shape != "parts" || index < 32_768;
                    if kept || !reached { x } else { -1.0 - x }
                };
                let lost: Vec<u32> = before
                    .iter()
                    .map(|(index, _)| *index)
                    .filter(|i| after.binary_search_by_key(i, |r| r.0).is_err())
                    .collect();
                for (index, x) in &before {
                    if let Ok(at) = after.binary_search_by_key(index, |row| row.0) {
                        let want = expected(*index, f32::from_bits(*x));
                        assert_eq!(f32::from_bits(after[at].1), want, "{what}, entity {index}");
                    }
                }
                let first_rows: &[u32] = match (shape, atomic) {
                    ("row-wise", true) => &[0, 32_768, 40_000, 40_700, 40_703],
                    ("row-wise", false) => &[0, 16_384, 32_768, 40_000, 40_700, 40_703],
                    (_, true) => &[],
                    ("parts", false) => &[0, 16_384],
                    (_, false) => &[0],
                };
                assert_eq!(lost, first_rows, "{what}");
                // Marks: none of what was restored, all rows of what failed and was not.
                changed.store(0, SeqCst);
                scheduler.set_mode(Mode::Serial);
                let alive =
                    |range: std::ops::Range<u32>| after.iter().filter(|row| range.contains(&row.0)).count() as u32;
                scheduler.run_frame(0.0, 0.0).unwrap();
                let marked = if atomic { 0 } else { alive(failed.clone()) };
                assert_eq!(changed.load(SeqCst), marked, "{what}: the marked first rows went");
            }
        }
    }
}

#[test]
fn an_atomic_job_that_writes_a_resource_has_it_restored_and_runs_one_range_at_a_time() {
    let busy = Arc::new(AtomicU32::new(0));
    let mut scheduler = scheduler(ragged(), Mode::Parallel, 2);
    let job = RustJob::new("count", move |call| {
        assert_eq!(busy.fetch_add(1, SeqCst), 0, "two calls write one resource");
        let (n, rows) = (call.resource_mut::<u32>("C", "n")?, call.rows() as u32);
        n[0] += rows;
        support::toil(200);
        busy.fetch_sub(1, SeqCst);
        if rows == 3 { Err(JobError::Failed("three rows".into())) } else { Ok(()) }
    });
    let job = Job::new(job).writes::<A>().writes_columns::<C>().atomic();
    scheduler.add(System::new("job").job(job).run_in(Where::Split)).unwrap();
    for frame in 1..=8 {
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 1);
        assert_eq!(scheduler.take_failures()[0].error.to_string(), "three rows");
        assert_eq!(scheduler.world().columns::<C>().unwrap().n, [10 + frame * (ROWS as u32 - 3), 20, 30]);
    }
}

#[test]
fn an_atomic_failure_keeps_despawn_bits_of_systems_before_it() {
    let mut scheduler = serial(world_of(100));
    let first = System::new("a first").each_chunk_with::<&A, (), _>(|setup| {
        let despawn = setup.despawns();
        move |range, _| range.despawn(&despawn, 7)
    });
    scheduler.add(first).unwrap();
    let job = RustJob::new("clears", |call| {
        call.despawns()?.mark_all();
        Err(threw("after all were marked"))
    });
    scheduler.add(System::new("b job").job(Job::new(job).reads::<A>().despawns().atomic())).unwrap();
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().despawned, 1);
    assert!(!scheduler.world().is_alive(scheduler.world().entity(7)) && scheduler.world().len() == 99);
}

#[test]
fn what_a_rust_job_gets_wrong_is_told_by_name() {
    let error = |run: fn(&mut peristyle_jobs::RustCall<'_>) -> Result<(), JobError>| {
        let mut world = World::new().unwrap();
        world.spawn((A { x: 0.0 }, B { x: 0.0, y: 0.0 })).unwrap();
        world.insert_columns::<C>(1, |c| c.n.fill(1)).unwrap();
        let mut scheduler = serial(world);
        let job = Job::new(RustJob::new("x", run)).reads::<A>().writes::<B>().reads_columns::<C>();
        scheduler.add(System::new("job").job(job)).unwrap();
        scheduler.run_frame(0.0, 0.0).unwrap();
        scheduler.take_failures().pop().map_or_else(String::new, |failure| failure.error.to_string())
    };
    assert_eq!(error(|call| call.get::<D>().map(drop).map_err(JobError::from)), "`D` is not declared by the system");
    assert_eq!(
        error(|call| call.get_mut::<A>().map(drop).map_err(JobError::from)),
        "`A` is declared to be read, not to be written"
    );
    assert_eq!(
        error(|call| call.marks("A").map(drop).map_err(JobError::from)),
        "`A` is declared to be read, not to be written"
    );
    assert_eq!(error(|call| call.column::<f32>("A", "y").map(drop).map_err(JobError::from)), "`A` has no field `y`");
    assert_eq!(
        error(|call| call.column::<f64>("A", "x").map(drop).map_err(JobError::from)),
        "field `x` of `A` holds f32, not f64"
    );
    assert_eq!(
        error(|call| call.despawns().map(drop).map_err(JobError::from)),
        "the system does not declare that the job despawns"
    );
    assert_eq!(
        error(|call| call.resource::<u32>("A", "x").map(drop).map_err(JobError::from)),
        "`A` is not declared by the system"
    );
    assert_eq!(
        error(|call| call.resource_mut::<u32>("C", "n").map(drop).map_err(JobError::from)),
        "`C` is declared to be read, not to be written"
    );
    let twice = |call: &mut peristyle_jobs::RustCall<'_>| {
        let (_kept, _again) = (call.column_mut::<f32>("B", "y")?, call.column::<f32>("B", "x")?);
        call.get::<B>()?;
        Ok(())
    };
    assert_eq!(error(twice), "field `y` of `B` was given out already");
    assert_eq!(
        error(|call| {
            let (_x, _y) = (call.get::<A>()?, call.get::<A>()?);
            Ok(())
        }),
        "",
        "reads are free"
    );
}

#[test]
fn a_component_of_that_name_with_other_columns_is_refused() {
    use peristyle_world::{Field, Scalar};
    let wrong = |fields: Vec<Field>| {
        let mut world = World::new().unwrap();
        let id = world.define("A", fields).unwrap();
        let entity = world.spawn(C { n: 0 }).unwrap();
        world.insert_id(entity, id).unwrap();
        let mut scheduler = serial(world);
        let job = RustJob::new("x", |call| call.get::<A>().map(drop).map_err(JobError::from));
        scheduler.add(System::new("job").job(Job::new(job).reads_id(id))).unwrap();
        scheduler.run_frame(0.0, 0.0).unwrap();
        scheduler.take_failures()[0].error.to_string()
    };
    assert_eq!(wrong(vec![Field::new("x", Scalar::F64)]), "field `x` of `A` holds f64, not f32");
    let two = vec![Field::new("x", Scalar::F32), Field::new("y", Scalar::F32)];
    assert_eq!(wrong(two), "`A` has 2 columns, the type asked for has 1");
}

#[test]
fn nested_components_are_given_by_type() {
    #[derive(peristyle_world::Columnar, Clone, Copy)]
    struct Point {
        x: f32,
        y: f64,
    }
    #[derive(Component, Clone, Copy)]
    struct Path {
        id: u32,
        points: [Point; 2],
    }
    let mut world = World::new().unwrap();
    let point = |x, y| Point { x, y };
    world.spawn_batch((0..20_000).map(|i| Path { id: i, points: [point(1.0, 2.0), point(3.0, 4.0)] })).unwrap();
    let mut scheduler = serial(world);
    let job = RustJob::new("x", |call| {
        let path = call.get_mut::<Path>()?;
        for row in 0..path.id.len() {
            path.points[1].y[row] += f64::from(path.points[0].x[row]) + f64::from(path.id[row]);
        }
        Ok(())
    });
    scheduler.add(System::new("job").job(Job::new(job).writes::<Path>().whole())).unwrap();
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0, "{:?}", scheduler.take_failures());
    let world = scheduler.world();
    for index in [0, 16_384, 19_999] {
        let path = world.get::<Path>(world.entity(index)).unwrap();
        assert_eq!((path.points[0].y, path.points[1].y), (2.0, 5.0 + f64::from(index)));
    }
}

/// The lease settles with the future, which another thread completes.
#[test]
fn an_asynchronous_job_settles_with_its_future() {
    use std::{
        future::poll_fn,
        task::{Poll, Waker},
    };
    #[derive(Default)]
    struct Mail {
        answer: Option<f32>,
        waker: Option<Waker>,
    }
    for place in [Where::InPlace, Where::Worker] {
        let mail = Arc::new(Mutex::new(Mail::default()));
        let mut scheduler = scheduler(world_of(10), Mode::Parallel, 1);
        let asked = Arc::clone(&mail);
        let job = RustJob::asynchronous("fetch", async move |call: &mut peristyle_jobs::RustCall<'_>| {
            let a = call.get_mut::<A>()?;
            let answer = poll_fn(|context| {
                let mut mail = asked.lock().unwrap();
                mail.waker = Some(context.waker().clone());
                mail.answer.take().map_or(Poll::Pending, Poll::Ready)
            });
            a.x.fill(answer.await);
            if a.x[0] < 0.0 { Err(JobError::Failed("negative".into())) } else { Ok(()) }
        });
        scheduler.add(System::new("job").job(Job::new(job).writes::<A>()).run_in(place)).unwrap();
        for (answer, failures) in [(5.0, 0), (-6.0, 1)] {
            let post = Arc::clone(&mail);
            let courier = std::thread::spawn(move || {
                // The call asks first: the answer comes while it waits.
                loop {
                    let mut mail = post.lock().unwrap();
                    if let Some(waker) = mail.waker.take() {
                        mail.answer = Some(answer);
                        break waker.wake();
                    }
                    drop(mail);
                    std::thread::yield_now();
                }
            });
            assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, failures);
            courier.join().unwrap();
            assert_eq!(scheduler.world().get::<A>(scheduler.world().entity(9)).unwrap().x, answer);
        }
    }
}

#[test]
fn staging_that_does_not_fit_is_an_error_and_the_world_goes_on() {
    use peristyle_memory::Memory;
    let mut world = World::on(Memory::reserve(2 << 20).unwrap());
    world.spawn_batch((0..100_000).map(|i| D { x: f64::from(i) })).unwrap();
    let mut scheduler = serial(world);
    let job = RustJob::new("x", |call| call.get_mut::<D>().map(|d| d.x.fill(1.0)).map_err(JobError::from));
    scheduler.add(System::new("job").job(Job::new(job).writes::<D>().whole())).unwrap();
    let error = scheduler.run_frame(0.0, 0.0).unwrap_err().to_string();
    assert!(error.contains("out of memory"), "{error}");
    let world = scheduler.world();
    assert_eq!(world.get::<D>(world.entity(5)).unwrap().x, 5.0);
}

#[test]
fn columns_of_calls_read_through_the_contract_are_the_same_as_by_type() {
    let mut scheduler = serial(world_of(600));
    let run = Closure(|_: &mut peristyle_jobs::Lane, call: &JobCall<'_>| {
        assert!(column::<f32>(&call.columns[0]).iter().enumerate().all(|(row, x)| *x == row as f32 + 1.0));
        Ok(())
    });
    let job = RustJob::new("x", |call| {
        call.column_mut::<f32>("A", "x")?.iter_mut().for_each(|x| *x += 1.0);
        Ok(())
    });
    scheduler.add(System::new("a").job(Job::new(job).writes::<A>())).unwrap();
    scheduler.add(System::new("b").job(Job::new(run).reads::<A>()).after("a")).unwrap();
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0);
}
