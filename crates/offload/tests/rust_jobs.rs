//! Rust functions as jobs: what they can take, and what they are told if they cannot.

mod support;

use hecs::World;
use peristyle_jobs::{JobError, Pool};
use peristyle_offload::{
    JobSnapshotSpec, Offload, Rows, RustJob, Step,
    hecs::{Hecs, Tables},
};
use support::{Position, Velocity};

/// What a job's function gives on three rows.
fn result(run: impl Fn(&Rows<'_>) -> Result<(), JobError> + Send + Sync + 'static) -> Result<(), String> {
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
    let run = |rows: &Rows<'_>| {
        let (vx, vx_again) = (rows.read::<f32>("Velocity", "x")?, rows.read::<f32>("Velocity", "x")?);
        let (x, y) = (rows.write::<f32>("Position", "x")?, rows.read::<f32>("Position", "y")?);
        assert_eq!((vx, vx_again, &*x, y), (&[1.0; 3][..], &[1.0; 3][..], &[0.0, 1.0, 2.0][..], &[0.0; 3][..]));
        assert_eq!((rows.len(), rows.dt(), rows.time(), rows.extra()), (3, 0.5, 2.0, Some("[1,2]")));
        assert_eq!(rows.indices(), [0, 1, 2]);
        rows.mark_all("Position")
    };
    assert_eq!(result(run), Ok(()));
}

#[test]
fn a_column_is_taken_to_write_once() {
    let told = |run: fn(&Rows<'_>) -> Result<(), JobError>| result(run).unwrap_err();
    assert_eq!(
        told(|rows| rows.write::<f32>("Position", "x").and(rows.write::<f32>("Position", "x")).map(drop)),
        "ColumnError: column `Position.x` was taken already"
    );
    assert_eq!(
        told(|rows| rows.read::<f32>("Position", "x").and(rows.write::<f32>("Position", "x").map(drop))),
        "ColumnError: column `Position.x` was taken already"
    );
    assert_eq!(
        told(|rows| rows.write::<f32>("Position", "x").and(rows.read::<f32>("Position", "x").map(drop))),
        "ColumnError: column `Position.x` was taken to write"
    );
}

#[test]
fn what_was_not_declared_is_refused_by_name() {
    let told = |run: fn(&Rows<'_>) -> Result<(), JobError>| result(run).unwrap_err();
    let missing = "ColumnError: there is no column `Mass.x` among the declared ones";
    assert_eq!(told(|rows| rows.read::<f32>("Mass", "x").map(drop)), missing);
    let missing = "ColumnError: there is no column `Position.z` among the declared ones";
    assert_eq!(told(|rows| rows.read::<f32>("Position", "z").map(drop)), missing);
    let wrong = "ColumnError: column `Position.x` is of f32, not of u32";
    assert_eq!(told(|rows| rows.read::<u32>("Position", "x").map(drop)), wrong);
    let read_only = "ColumnError: component `Velocity` was not declared to be written";
    assert_eq!(told(|rows| rows.write::<f32>("Velocity", "x").map(drop)), read_only);
    assert_eq!(told(|rows| rows.mark("Velocity", 0)), read_only);
    assert_eq!(told(|rows| rows.mark_all("Velocity")), read_only);
    assert_eq!(told(|rows| rows.mark("Position", 3)), "ColumnError: row 3 of 3");
    assert_eq!(told(|rows| rows.despawn(0)), "ColumnError: the job did not declare that it despawns");
}
