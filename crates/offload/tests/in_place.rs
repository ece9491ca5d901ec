//! The same declarations on Peristyle's own world: no copy, no commit.

mod support;

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use peristyle_offload::{Describe, InPlace, JobSnapshotSpec, SpecError, Way};
use peristyle_schedule::{Options, Scheduler, Stage, System};
use peristyle_world::{Changed, Component, Entity, World};
use support::moving;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy)]
struct Frozen {
    since: f32,
}

fn world(rows: usize) -> World {
    let mut world = World::new().unwrap();
    let row = |i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 2.0, y: i as f32 });
    world.spawn_batch((0..rows).map(row)).unwrap();
    world.spawn_batch((0..100).map(|i| (row(i), Frozen { since: 1.0 }))).unwrap();
    world
}

#[test]
fn a_job_reaches_the_columns_where_they_lie() {
    let world = world(40_000);
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let (lent, moves) = (addresses.clone(), moving(7));
    let runner = support::job(move |call| {
        lent.lock().unwrap().push((call.columns[2].ptr.as_ptr() as usize, call.rows as usize));
        moves.call(call)
    });
    assert_eq!(JobSnapshotSpec::<InPlace>::WAY, Way::InPlace);
    let spec = JobSnapshotSpec::<InPlace>::new().reads::<Velocity>().writes::<Position>().without::<Frozen>();
    let mut scheduler = Scheduler::new(world, Options { workers: 2, ..Options::default() }).unwrap();
    scheduler.add(System::new("move").job(spec.into_job(runner).unwrap())).unwrap();
    let changed = Arc::new(Mutex::new(0));
    let seen = changed.clone();
    let watch = System::new("watch").stage(Stage::Late).each_with::<&Position, Changed<Position>, _>(move |_| {
        move |range, _| *seen.lock().unwrap() += u32::from(range.tick().number > 1)
    });
    scheduler.add(watch).unwrap();
    for time in [0.0, 0.5, 1.0] {
        scheduler.run_frame(0.5, time).unwrap();
    }
    assert!(scheduler.take_failures().is_empty());
    let mut world = scheduler.into_world();
    let mut columns = Vec::new();
    world.query::<&Position>().for_each_chunk(&mut world, |position| columns.push(position.x.as_ptr_range()));
    let calls = addresses.lock().unwrap();
    assert_eq!(calls.iter().map(|(_, rows)| rows).sum::<usize>(), 3 * 40_000);
    for (first, rows) in calls.iter() {
        let inside =
            |column: &Range<*const f32>| *first >= column.start as usize && first + 4 * rows <= column.end as usize;
        assert!(columns.iter().any(inside), "the job was lent the world's own column");
    }
    assert_eq!(*changed.lock().unwrap(), 2 * 40_000_u32.div_ceil(7), "the rows that the job marked");
    let mut query = world.query::<(Entity, &Position, &Velocity, Option<&Frozen>)>();
    for (entity, position, velocity, frozen) in query.iter(&world) {
        let steps = if frozen.is_none() && entity.index() % 7 == 0 { 3.0 } else { 0.0 };
        // Whole and half numbers below 2^24: exact.
        assert_eq!(position.y, velocity.y * 0.5 * steps, "{entity}");
    }
}

#[test]
fn names_are_checked_as_for_copies() {
    let spec = JobSnapshotSpec::<InPlace>::new().reads::<Position>();
    let described = Velocity::describe().named("Position");
    let error = spec.writes_as(described).into_job(moving(1)).err();
    assert_eq!(error, Some(SpecError::DuplicateName("Position".to_owned())));
}
