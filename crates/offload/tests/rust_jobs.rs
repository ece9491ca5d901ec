//! Rust functions as jobs on snapshots. What they are refused, `peristyle-jobs` tests.

mod support;

use hecs::World;
use peristyle_jobs::{JobError, Pool};
use peristyle_offload::{
    JobSnapshotSpec, Offload, RustCall, RustJob, Step,
    hecs::{Hecs, Tables},
};
use support::{Position, Velocity};

/// What a job's function gives on three rows.
fn result(run: impl Fn(&mut RustCall<'_>) -> Result<(), JobError> + Send + Sync + 'static) -> Result<(), String> {
    let mut world = World::new();
    world.spawn_batch((0..3).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: 2.0 }))).for_each(drop);
    let spec = JobSnapshotSpec::<Hecs>::new().reads::<Velocity>().writes::<Position>();
    let mut tables = Tables::new(spec.build().unwrap());
    let mut offload = Offload::new(tables.shape().clone(), RustJob::new("job", run)).extra(|_| [1, 2]);
    let step = Step { dt: 0.5, time: 2.0 };
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(0).unwrap(), step).unwrap();
    report.run.failures.first().map_or(Ok(()), |failure| Err(failure.error.to_string()))
}

#[test]
fn columns_and_time_are_there_by_name() {
    let run = |call: &mut RustCall<'_>| {
        let (vx, vx_again) = (call.column::<f32>("Velocity", "x")?, call.column::<f32>("Velocity", "x")?);
        let (x, y) = (call.column_mut::<f32>("Position", "x")?, call.column::<f32>("Position", "y")?);
        assert_eq!((vx, vx_again, &*x, y), (&[1.0; 3][..], &[1.0; 3][..], &[0.0, 1.0, 2.0][..], &[0.0; 3][..]));
        assert_eq!((call.rows(), call.dt(), call.time(), call.extra()), (3, 0.5, 2.0, Some("[1,2]")));
        assert_eq!((call.eids(), call.entity(2).index()), (&[0, 1, 2][..], 2));
        call.marks("Position")?.mark_all();
        Ok(())
    };
    assert_eq!(result(run), Ok(()));
}

#[test]
fn what_a_job_gets_wrong_fails_its_call() {
    let told = |run: fn(&mut RustCall<'_>) -> Result<(), JobError>| result(run).unwrap_err();
    let error = told(|call| {
        call.marks("Velocity")?.mark_all();
        Ok(())
    });
    assert_eq!(error, "`Velocity` is declared to be read, not to be written");
    let error = told(|call| {
        call.despawns()?.mark_all();
        Ok(())
    });
    assert_eq!(error, "the system does not declare that the job despawns");
    let error = told(|call| {
        call.marks("Position")?.mark(3);
        Ok(())
    });
    assert!(error.contains("row 3 of 3"), "{error}");
}
