//! Checked jobs: what is impure is reported by name, what is pure is not, and the world comes out the same.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use peristyle_jobs::{JobCall, JobError, RustCall, RustJob};
use peristyle_schedule::{ByType, CheckReport, Difference, Finding, Job, Mode, Scheduler, System};
use peristyle_world::{Changed, Entity, World};
use support::{A, B, C, Closure, column, scheduler, serial, threw};

fn world(rows: usize) -> World {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..rows).map(|i| (A { x: i as f32 }, B { x: 1.0, y: i as f32 }))).unwrap();
    world.insert_columns::<C>(3, |c| c.n.copy_from_slice(&[10, 20, 30])).unwrap();
    world
}

fn rust(run: impl Fn(&mut RustCall<'_>) -> Result<(), JobError> + Send + Sync + 'static) -> Job {
    Job::new(RustJob::new("job", run))
}

/// Runs a job some frames with checks; gives what they found.
fn found(rows: usize, job: Job) -> (Vec<CheckReport>, Scheduler) {
    let mut scheduler = serial(world(rows));
    scheduler.set_checks(Some(1));
    scheduler.add(System::new("job").job(job)).unwrap();
    let findings: u64 = (0..4).map(|_| scheduler.run_frame(0.5, 0.0).unwrap().findings).sum();
    let reports = scheduler.take_check_reports();
    assert_eq!(findings, reports.len() as u64);
    assert!(scheduler.take_check_reports().is_empty());
    (reports, scheduler)
}

fn findings(rows: usize, job: Job) -> Vec<Finding> {
    found(rows, job).0.into_iter().map(|report| report.finding).collect()
}

fn on_column(component: &str, field: &str) -> Difference {
    Difference::Column { component: component.into(), field: field.into() }
}

/// Writes 99 to an element of a column that is lent, whatever was declared.
fn scribble(columns: impl Fn(&JobCall<'_>) -> peristyle_jobs::Lent + Send + Sync + 'static, row: usize) -> Job {
    Job::new(Closure(move |_: &mut peristyle_jobs::Lane, call: &JobCall<'_>| {
        let column = column::<u32>(&columns(call));
        if column.len() > row {
            column[row] = 99.0_f32.to_bits();
        }
        Ok(())
    }))
}

#[test]
fn a_write_to_what_is_only_read_is_reported_and_does_no_harm() {
    for shape in ["row-wise", "whole", "staged"] {
        let rows = if shape == "staged" { 40_000 } else { 100 };
        let job = scribble(|call| call.columns[2], 7).writes::<A>().reads::<B>();
        let job = if shape == "row-wise" { job } else { job.whole() };
        let (reports, scheduler) = found(rows, job);
        let expected = Finding::WroteReadColumn { component: "B".into(), field: "y".into() };
        assert_eq!(reports.len(), 1, "{shape}: {reports:?}");
        assert_eq!((&reports[0].finding, reports[0].tick), (&expected, 1));
        assert_eq!(reports[0].entity, Some(scheduler.world().entity(7)));
        let text = reports[0].to_string();
        let entity = scheduler.world().entity(7).to_bits();
        let expected =
            format!("job `job` wrote field `y` of `B` of entity {entity} in tick 1, but declares to read it only");
        assert_eq!(text, expected);
        let b = scheduler.world().get::<B>(scheduler.world().entity(7)).unwrap();
        assert_eq!(b.y, 7.0, "it was lent a copy");
    }
}

#[test]
fn a_write_to_a_read_part_names_its_entity() {
    struct Parts;
    impl peristyle_jobs::JobRunner for Parts {
        fn name(&self) -> &str {
            "parts"
        }
        fn run(&self, _: &mut peristyle_jobs::Lane, _: &JobCall<'_>) -> Result<(), JobError> {
            unreachable!("it takes parts")
        }
        fn takes_parts(&self) -> bool {
            true
        }
        fn run_parts(&self, _: &mut peristyle_jobs::Lane, parts: &[JobCall<'_>]) -> Result<(), JobError> {
            column::<f32>(&parts[1].columns[0])[5] = -1.0;
            Ok(())
        }
    }
    let (reports, scheduler) = found(20_000, Job::new(Parts).reads::<A>().parts());
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].finding, Finding::WroteReadColumn { component: "A".into(), field: "x".into() });
    assert_eq!(reports[0].entity, Some(scheduler.world().entity(16_384 + 5)));
    assert_eq!(scheduler.world().get::<A>(scheduler.world().entity(16_389)).unwrap().x, 16_389.0);
}

#[test]
fn a_write_to_a_read_resource_is_reported() {
    let job = scribble(|call| call.resources[0], 2).reads::<A>().reads_columns::<C>();
    let (reports, scheduler) = found(10, job);
    let expected = Finding::WroteReadResource { resource: "C".into(), field: "n".into(), row: 2 };
    assert_eq!(reports.iter().map(|report| &report.finding).collect::<Vec<_>>(), [&expected]);
    assert_eq!(scheduler.world().columns::<C>().unwrap().n, [10, 20, 30]);
}

#[test]
fn what_depends_on_borders_is_reported() {
    // Two rows can be cut in one place only, and a chunk in very many.
    for rows in [2, 100, 16_384, 40_000] {
        // Each row gets the one before it: none at the first of a range.
        let job = rust(|call| {
            let x = call.get_mut::<A>()?.x;
            (1..x.len()).rev().for_each(|row| x[row] = x[row - 1]);
            Ok(())
        });
        assert_eq!(findings(rows, job.writes::<A>()), [Finding::DependsOnRanges(on_column("A", "x"))], "{rows} rows");
        // The number of rows.
        let job = rust(|call| {
            let rows = call.rows() as f32;
            call.get_mut::<A>()?.x.fill(rows);
            Ok(())
        });
        assert_eq!(findings(rows, job.writes::<A>()), [Finding::DependsOnRanges(on_column("A", "x"))], "{rows} rows");
        // Marks, despawn bits, failures.
        let job = rust(|call| call.marks("A").map(|mut marks| marks.mark(0)).map_err(JobError::from));
        let marks = Difference::Marks { component: "A".into() };
        assert_eq!(findings(rows, job.writes::<A>()), [Finding::DependsOnRanges(marks)], "{rows} rows");
    }
    let job = rust(|call| if call.rows() < 100 { Err(threw("few")) } else { Ok(()) });
    let (reports, mut scheduler) = found(100, job.writes::<A>());
    assert_eq!(reports[0].finding, Finding::DependsOnRanges(Difference::Failure));
    assert!(scheduler.take_failures().is_empty(), "a trial's failure is no failure");
    let job = rust(|call| call.despawns().map(|mut bits| bits.mark(0)).map_err(JobError::from));
    assert_eq!(findings(50, job.reads::<A>().despawns())[0], Finding::DependsOnRanges(Difference::Despawns));
    let (reports, _) = found(
        100,
        rust(|call| call.resource_mut::<u32>("C", "n").map(|n| n[0] += 1).map_err(JobError::from))
            .reads::<A>()
            .writes_columns::<C>(),
    );
    let resource = Difference::Resource { resource: "C".into(), field: "n".into() };
    assert_eq!(reports[0].finding, Finding::DependsOnRanges(resource));
    let text = "job `job` depends on where ranges begin and end, or on earlier calls: field `n` of resource `C` differs \
                with other borders in tick 1";
    assert_eq!(reports[0].to_string(), text);
}

#[test]
fn what_a_job_kept_from_earlier_calls_is_reported() {
    let calls = AtomicU32::new(0);
    let job = rust(move |call| {
        let count = calls.fetch_add(1, SeqCst) as f32;
        call.get_mut::<A>()?.x.fill(count);
        Ok(())
    });
    assert_eq!(findings(100, job.writes::<A>()), [Finding::DependsOnRanges(on_column("A", "x"))]);
}

/// Pure in every respect, of every shape, on any number of lanes: nothing is found, and the world is as without checks.
#[test]
fn a_pure_job_is_left_alone() {
    let outcome = |checks: bool, workers: usize, shape: &str| {
        let mut scheduler = scheduler(world(30_000), Mode::Parallel, workers);
        scheduler.set_checks(checks.then_some(3));
        let step = |call: &mut RustCall<'_>| {
            let (a, b, eids) = (call.get_mut::<A>()?, call.get::<B>()?, call.eids());
            let (mut marks, mut despawns) = (call.marks("A")?, call.despawns()?);
            let add = call.resource::<u32>("C", "n").map_or(0, |n| n[0]);
            for (row, eid) in eids.iter().enumerate() {
                a.x[row] = a.x[row] * 0.5 + b.y[row] + add as f32;
                if eid.is_multiple_of(3) {
                    marks.mark(row);
                }
                if eid % 500 == 1 {
                    despawns.mark(row);
                }
            }
            Ok(())
        };
        let job = match shape {
            "parts" => {
                Job::new(RustJob::parts("x", move |mut parts| parts.try_for_each(|mut part| step(&mut part)))).parts()
            }
            "whole" => rust(step).whole(),
            _ => rust(step),
        };
        scheduler.add(System::new("job").job(job.writes::<A>().reads::<B>().reads_columns::<C>().despawns())).unwrap();
        let look = rust(|call| {
            assert!(call.changed("A")?.is_some());
            Ok(())
        });
        scheduler.add(System::new("look").job(look.changed::<A>()).after("job")).unwrap();
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let watch =
            System::new("watch").each_with::<&A, Changed<A>, _>(move |_| move |_, _| _ = counted.fetch_add(1, SeqCst));
        scheduler.add(watch.after("job")).unwrap();
        for _ in 0..3 {
            assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0, "{:?}", scheduler.take_failures());
        }
        assert_eq!(scheduler.take_check_reports(), [], "{shape}");
        let mut rows = Vec::new();
        let mut query = scheduler.world_mut().query::<(Entity, &A)>();
        query.for_each(scheduler.world_mut(), |(entity, a)| rows.push((entity, a.x.to_bits())));
        (rows, count.load(SeqCst))
    };
    for shape in ["row-wise", "whole"] {
        let expected = outcome(false, 0, shape);
        assert_eq!(outcome(true, 0, shape), expected, "{shape}");
        assert_eq!(outcome(true, 2, shape), expected, "{shape}");
    }
}

#[test]
fn findings_do_not_depend_on_who_found_them() {
    let of = |workers: usize| {
        let mut scheduler = scheduler(world(60_000), Mode::Parallel, workers);
        scheduler.set_checks(Some(5));
        for name in ["b", "a", "c"] {
            let job = scribble(|call| call.columns[0], 3).reads::<A>();
            scheduler.add(System::new(name).job(job)).unwrap();
        }
        scheduler.run_frame(0.0, 0.0).unwrap();
        scheduler.take_check_reports().into_iter().map(|report| report.to_string()).collect::<Vec<_>>()
    };
    let expected = of(0);
    assert_eq!(expected.len(), 3);
    assert!(expected[0].contains("job `a`"), "{expected:?}");
    assert_eq!(of(3), expected);
}

#[test]
fn without_checks_nothing_is_copied_or_found() {
    let calls = Arc::new(AtomicU32::new(0));
    let mut scheduler = serial(world(100));
    scheduler.set_checks(None);
    let count = Arc::clone(&calls);
    let job = rust(move |_| {
        count.fetch_add(1, SeqCst);
        Ok(())
    });
    scheduler.add(System::new("job").job(job.writes::<A>())).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(calls.load(SeqCst), 1);
    assert_eq!(scheduler.take_check_reports(), []);
}

#[test]
fn patches_that_depend_on_borders_are_reported_and_others_are_not() {
    let patches = |every: bool| {
        rust(move |call| {
            // The first row of each range, or every third entity wherever it lies, in an order of the range's own.
            let rows = (0..call.rows()).rev();
            let chosen = rows.filter(|row| if every { call.eids()[*row].is_multiple_of(3) } else { *row == 0 });
            chosen.into_iter().try_for_each(|row| {
                let value = [call.eids()[row] as f32, 1.0].map(f32::to_le_bytes).concat();
                call.set_packed("B", call.entity(row), &value)
            })
        })
    };
    assert!(findings(1_000, patches(true).reads::<A>().patches::<B>()).is_empty());
    let (reports, _) = found(1_000, patches(false).reads::<A>().patches::<B>());
    assert!(!reports.is_empty());
    for report in reports {
        assert_eq!(report.finding, Finding::DependsOnRanges(Difference::Patches));
        assert!(report.entity.is_some() && report.to_string().contains("the patches of entity"), "{report}");
    }
}
