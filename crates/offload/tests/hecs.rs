//! Jobs on a `hecs` world.

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use hecs::{Entity, World};
use peristyle_jobs::{Access, JobError, Pool};
use peristyle_offload::{
    Columnar, Describe, Described, JobSnapshot, JobSnapshotSpec, Manner, Offload, SpecError, Step, Way, columns,
    hecs::{Hecs, Tables},
};
use support::{Position, Velocity, column, job, mark, moving, threw};

const STEP: Step = Step { dt: 0.5, time: 3.0 };

struct Frozen;

fn position(i: usize) -> Position {
    Position { x: i as f32, y: -(i as f32) }
}

/// Entities of four tables, and some of a fifth that has no velocity.
fn world(rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::new();
    let spawn = |i: usize| {
        let velocity = Velocity { x: 2.0, y: i as f32 };
        match i % 5 {
            0 => world.spawn((position(i), velocity)),
            1 => world.spawn((position(i), velocity, "a name".to_owned())),
            2 => world.spawn((velocity, position(i), 7_u64)),
            3 => world.spawn((position(i), velocity, 7_u64, "a name".to_owned())),
            _ => world.spawn((position(i),)),
        }
    };
    let entities = (0..rows).map(spawn).collect();
    (world, entities)
}

fn moving_spec() -> JobSnapshotSpec<Hecs> {
    JobSnapshotSpec::new().reads::<Velocity>().writes::<Position>()
}

fn tables(spec: JobSnapshotSpec<Hecs>) -> Tables {
    Tables::new(spec.build().unwrap())
}

fn taken(world: &mut World, tables: &mut Tables) -> JobSnapshot {
    let mut snapshot = JobSnapshot::new(tables.shape().clone());
    snapshot.take(&mut tables.of(world)).unwrap();
    snapshot
}

/// What a plain loop makes of the world.
fn step_by_hand(world: &mut World, step: u32) {
    for (entity, position, velocity) in world.query_mut::<(Entity, &mut Position, &Velocity)>() {
        if entity.id() % step == 0 {
            position.x += velocity.x * 0.5;
            position.y += velocity.y * 0.5;
        }
    }
}

fn positions(world: &World, entities: &[Entity]) -> Vec<Option<Position>> {
    entities.iter().map(|entity| world.get::<&Position>(*entity).ok().map(|position| *position)).collect()
}

#[test]
fn any_number_of_lanes_makes_of_it_what_a_loop_makes() {
    let (mut expected, _) = world(100_003);
    (0..3).for_each(|_| step_by_hand(&mut expected, 7));
    for (workers, way) in [(0, Way::Copied), (2, Way::Copied), (0, Way::Transferred), (2, Way::Transferred)] {
        let (mut world, entities) = world(100_003);
        let mut tables = tables(moving_spec());
        let offload = Offload::new(tables.shape().clone(), moving(7)).ferry_workers(workers);
        let mut offload = offload.with_way(way).unwrap();
        let mut pool = Pool::new(workers).unwrap();
        for _ in 0..3 {
            let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
            let moves = (0..100_003).filter(|i| i % 7 == 0 && i % 5 != 4).count();
            assert_eq!((report.way, report.rows, report.commit.written()), (way, 80_003, moves));
            assert_eq!((report.commit.stale(), report.run.failures.len()), (0, 0));
            assert!(report.run.ranges > 4, "{} ranges", report.run.ranges);
        }
        assert!(positions(&world, &entities) == positions(&expected, &entities), "{workers} workers, {way}");
    }
}

#[test]
fn a_call_is_shown_what_was_declared() {
    let (mut world, entities) = world(11);
    let handles: Vec<u64> = entities.iter().map(|entity| entity.to_bits().get()).collect();
    let calls = Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    let spec = moving_spec().reads::<Position>().with::<u64>().without::<String>();
    let mut tables = tables(spec);
    let runner = job(move |call| {
        called.fetch_add(1, SeqCst);
        let shape: Vec<_> = call.shape.components.iter().map(|c| (c.id, c.name.as_str(), c.access)).collect();
        assert_eq!(shape, [(0, "Velocity", Access::Read), (1, "Position", Access::Write)]);
        assert_eq!((call.rows, call.columns.len(), call.dt, call.time), (2, 4, 0.5, 3.0));
        assert_eq!(column::<u32>(&call.eids), [2, 7]);
        assert_eq!((call.entities.entity(7).index(), call.entities.entity(2).index()), (7, 2));
        assert_eq!(column::<f32>(&call.columns[1]), [2.0, 7.0]);
        assert_eq!(column::<f32>(&call.columns[3]), [-2.0, -7.0]);
        assert!(call.changed[0].is_none() && call.despawn.is_none());
        assert_eq!(column::<u8>(call.changed[1].as_ref().unwrap()), [0; 8]);
        Ok(())
    });
    let snapshot = taken(&mut world, &mut tables);
    assert_eq!(snapshot.handles(), [handles[2], handles[7]]);
    assert_eq!(snapshot.column::<f32>("Position", "x"), Some(&[2.0, 7.0][..]));
    assert_eq!(snapshot.column::<f64>("Position", "x"), None);
    assert_eq!(snapshot.column::<f32>("Position", "z"), None);
    let mut offload = Offload::new(tables.shape().clone(), runner);
    offload.run(&mut tables.of(&mut world), &mut Pool::new(1).unwrap(), STEP).unwrap();
    assert_eq!(calls.load(SeqCst), 1);
}

#[test]
fn no_rows_are_no_call() {
    let mut world = World::new();
    let mut tables = tables(moving_spec());
    let mut offload = Offload::new(tables.shape().clone(), job(|_| panic!("called")));
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(1).unwrap(), STEP).unwrap();
    assert_eq!((report.rows, report.run.ranges, report.run.failures.len()), (0, 0, 0));
}

#[test]
fn only_marked_rows_are_written() {
    let (mut world, entities) = world(10);
    let mut tables = tables(moving_spec());
    let mut snapshot = taken(&mut world, &mut tables);
    snapshot.column_mut::<f32>("Position", "x").unwrap().fill(99.0);
    assert!(snapshot.mark("Position", 1) && !snapshot.mark("Velocity", 1) && !snapshot.mark("Mass", 1));
    assert!(snapshot.column_mut::<f32>("Velocity", "x").is_none(), "it is only read");
    let marked = Entity::from_bits(snapshot.handles()[1]).unwrap();
    let report = snapshot.commit(&mut tables.of(&mut world)).clone();
    assert_eq!((report.components.len(), &*report.components[0].name), (1, "Position"));
    assert_eq!((report.written(), report.stale()), (1, 0));
    let written: Vec<_> = entities.iter().filter(|e| world.get::<&Position>(**e).unwrap().x == 99.0).copied().collect();
    assert_eq!(written, [marked]);
    assert_eq!(snapshot.commit(&mut tables.of(&mut world)).written(), 0, "a commit takes the marks away");
}

/// Trap: a commit onto an entity that died meanwhile, whose index and row another may have by now.
#[test]
fn the_dead_are_skipped_and_the_moved_are_found() {
    let (mut world, entities) = world(20);
    let mut tables = tables(moving_spec().without::<Frozen>());
    let mut snapshot = taken(&mut world, &mut tables);
    let rows = snapshot.rows();
    for (row, x) in snapshot.column_mut::<f32>("Position", "x").unwrap().iter_mut().enumerate() {
        *x = 1000.0 + row as f32;
    }
    (0..rows).for_each(|row| assert!(snapshot.mark("Position", row)));
    // One dies and its index is used again; another fills its row. One goes to another table, one is out of reach there,
    // one loses what was declared.
    world.despawn(entities[0]).unwrap();
    let heir = world.spawn((position(0), Velocity { x: 0.0, y: 0.0 }));
    assert_eq!((heir.id(), heir == entities[0]), (entities[0].id(), false));
    world.insert_one(entities[5], 1_u16).unwrap();
    world.insert_one(entities[10], Frozen).unwrap();
    world.remove_one::<Velocity>(entities[1]).unwrap();
    let report = snapshot.commit(&mut tables.of(&mut world)).clone();
    assert_eq!((report.written(), report.stale()), (rows - 3, 3));
    let row_of = |entity: Entity| snapshot.handles().iter().position(|handle| *handle == entity.to_bits().get());
    assert_eq!(world.get::<&Position>(heir).unwrap().x, 0.0, "nobody's row");
    assert_eq!(
        (world.get::<&Position>(entities[10]).unwrap().x, world.get::<&Position>(entities[1]).unwrap().x),
        (10.0, 1.0)
    );
    for entity in entities.iter().copied().filter(|e| ![0, 1, 10].contains(&e.id()) && e.id() % 5 != 4) {
        let expected = 1000.0 + row_of(entity).unwrap() as f32;
        assert_eq!(world.get::<&Position>(entity).unwrap().x, expected, "{entity:?}");
    }
}

/// Trap: entity ids that collide past 65 536.
#[test]
fn seventy_thousand_entities_have_as_many_ids() {
    let mut world = World::new();
    world.spawn_batch((0..70_000).map(|i| (position(i), Velocity { x: 1.0, y: 0.0 }))).for_each(drop);
    let mut tables = tables(moving_spec());
    let snapshot = taken(&mut world, &mut tables);
    assert_eq!(snapshot.indices().iter().collect::<BTreeSet<_>>().len(), 70_000);
    assert_eq!(snapshot.handles().iter().collect::<BTreeSet<_>>().len(), 70_000);
    let mut offload = Offload::new(
        tables.shape().clone(),
        job(|call| {
            for (row, index) in column::<u32>(&call.eids).iter().enumerate() {
                assert_eq!(call.entities.entity(*index).index(), *index);
                column::<f32>(&call.columns[2])[row] = *index as f32 + 0.5;
                mark(call.changed[1].as_ref().unwrap(), row);
            }
            Ok(())
        }),
    );
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(2).unwrap(), STEP).unwrap();
    assert_eq!(report.run.failures, []);
    for (entity, position) in world.query_mut::<(Entity, &Position)>() {
        assert_eq!(position.x, entity.id() as f32 + 0.5);
    }
}

/// Trap: changed marks lost because two workers share a byte.
#[test]
fn no_mark_is_lost_between_lanes() {
    let (mut world, _) = world(200_000);
    let mut tables = tables(moving_spec());
    let borders = Arc::new(Mutex::new(Vec::new()));
    let seen = borders.clone();
    let runner = job(move |call| {
        let marks = call.changed[1].as_ref().unwrap();
        seen.lock().unwrap().push((marks.ptr.as_ptr() as usize, marks.len as usize, call.rows));
        (0..call.rows as usize).for_each(|row| mark(marks, row));
        Ok(())
    });
    let mut offload = Offload::new(tables.shape().clone(), runner);
    let mut pool = Pool::new(3).unwrap();
    for _ in 0..20 {
        borders.lock().unwrap().clear();
        let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
        assert_eq!((report.commit.written(), report.run.failures.len()), (160_000, 0));
        let mut borders = borders.lock().unwrap().clone();
        borders.sort_unstable();
        assert_eq!(borders.iter().map(|(_, _, rows)| rows).sum::<u32>(), 160_000);
        assert!(borders.len() > 8 && borders.iter().all(|(start, _, rows)| start % 64 == 0 && *rows <= 16_384));
        assert!(borders.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "bitsets overlap");
    }
}

#[test]
fn a_failed_range_keeps_its_marked_rows_or_none() {
    for atomic in [false, true] {
        let (mut world, entities) = world(40_000);
        let before = positions(&world, &entities);
        let mut tables = tables(moving_spec().despawns());
        let runner = job(|call| {
            let indices = column::<u32>(&call.eids);
            column::<f32>(&call.columns[2])[..4].fill(-1.0);
            mark(call.changed[1].as_ref().unwrap(), 3);
            mark(call.despawn.as_ref().unwrap(), 4);
            match indices[0] {
                0 => Err(threw("enough")),
                _ => panic!("{} is too much", call.rows),
            }
        });
        let offload = Offload::new(tables.shape().clone(), runner);
        let mut offload = if atomic { offload.atomic() } else { offload };
        let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(1).unwrap(), STEP).unwrap();
        let failures = &report.run.failures;
        assert!(report.run.ranges == failures.len() && failures.len() > 2);
        assert!(failures.windows(2).all(|pair| pair[0].rows.end == pair[1].rows.start), "in order");
        assert_eq!((failures[0].rows.start, &failures[0].error), (0, &threw("enough")));
        assert!(matches!(&failures[1].error, JobError::Panicked(text) if text.ends_with("is too much")));
        let expected = if atomic { 0 } else { failures.len() };
        assert_eq!((report.commit.written(), report.commit.despawned), (expected, expected));
        let changed = positions(&world, &entities).iter().zip(&before).filter(|(now, was)| now != was).count();
        assert_eq!(changed, 2 * expected, "as many written as despawned, and nothing else");
    }
}

#[test]
fn despawn_bits_are_honoured_after_writes_and_once() {
    let (mut world, entities) = world(50);
    let mut tables = tables(moving_spec().despawns());
    let mut snapshot = taken(&mut world, &mut tables);
    let runner = job(|call| {
        let bits = call.despawn.as_ref().unwrap();
        (0..call.rows as usize).step_by(2).for_each(|row| mark(bits, row));
        // Padding beyond the last row is nobody's.
        column::<u8>(bits)[bits.len as usize - 1] |= 0x80;
        (0..call.rows as usize).for_each(|row| mark(call.changed[1].as_ref().unwrap(), row));
        Ok(())
    });
    Pool::new(0).unwrap().scope(|scope| _ = snapshot.run(&runner, scope, STEP, None, Manner::default()));
    let gone = Entity::from_bits(snapshot.handles()[2]).unwrap();
    world.despawn(gone).unwrap();
    let report = snapshot.commit(&mut tables.of(&mut world)).clone();
    assert_eq!((report.components[0].written, report.components[0].stale), (39, 1));
    assert_eq!((report.despawned, report.despawned_stale), (19, 1));
    assert_eq!(entities.iter().filter(|entity| world.contains(**entity)).count(), 30);
}

#[test]
fn extra_is_serialised_once_a_frame_and_has_a_version() {
    let (mut world, _) = world(60_000);
    let mut tables = tables(moving_spec());
    let (made, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(BTreeSet::new())));
    let (making, seeing) = (made.clone(), seen.clone());
    let runner = job(move |call| {
        let extra = call.extra.unwrap();
        seeing.lock().unwrap().insert((extra.version, extra.json.to_owned()));
        Ok(())
    });
    for way in [Way::Copied, Way::Transferred] {
        made.store(0, SeqCst);
        seen.lock().unwrap().clear();
        let making = making.clone();
        let offload = Offload::new(tables.shape().clone(), runner.clone()).extra(move |step| {
            making.fetch_add(1, SeqCst);
            ("half", step.time.floor() / 2.0)
        });
        let mut offload = offload.with_way(way).unwrap();
        let mut pool = Pool::new(1).unwrap();
        for time in [0.0, 2.0, 2.5, 4.0] {
            let report = offload.run(&mut tables.of(&mut world), &mut pool, Step { dt: 0.1, time }).unwrap();
            assert!(report.run.ranges > 1 && report.run.failures.is_empty());
        }
        let expected = [(1, "[\"half\",0.0]"), (2, "[\"half\",1.0]"), (3, "[\"half\",2.0]")];
        let expected = expected.map(|(version, json)| (version, json.to_owned()));
        assert!(made.load(SeqCst) == 4 && seen.lock().unwrap().iter().eq(&expected), "{way}: {seen:?}");
    }
}

#[test]
fn extra_that_cannot_be_serialised_is_an_error_and_the_world_as_it_was() {
    let (mut world, entities) = world(10);
    let before = positions(&world, &entities);
    let mut tables = tables(moving_spec());
    let offload = Offload::new(tables.shape().clone(), moving(1));
    let mut offload = offload.extra(|step| std::collections::BTreeMap::from([((step.time as u8, 1), 2)]));
    let mut pool = Pool::new(0).unwrap();
    for _ in 0..2 {
        let error = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap_err().to_string();
        assert!(error.starts_with("job `closure`: `extra` cannot be serialised"), "{error}");
    }
    assert_eq!(positions(&world, &entities), before);
}

/// A component with more than numbers, of which a job sees some.
struct Hull {
    pos: Position,
    docked: bool,
    name: String,
}

impl Describe for Hull {
    fn describe() -> Described<Hull> {
        columns!(Hull { pos.x, docked })
    }
}

#[test]
fn fields_that_are_not_described_stay_as_they_are() {
    let mut world = World::new();
    let ship = world.spawn((Hull { pos: position(4), docked: true, name: "Argo".to_owned() }, [1_u8, 2]));
    let bytes = Described::<[u8; 2]>::new().named("Bytes").column("second", |b: &[u8; 2]| b[1], |b, n| b[1] = n);
    let mut tables = tables(JobSnapshotSpec::new().writes::<Hull>().writes_as(bytes));
    let mut snapshot = taken(&mut world, &mut tables);
    assert_eq!(snapshot.column::<f32>("Hull", "pos_x"), Some(&[4.0][..]));
    assert_eq!(snapshot.column::<u8>("Bytes", "second"), Some(&[2][..]));
    snapshot.column_mut::<f32>("Hull", "pos_x").unwrap()[0] = 5.0;
    snapshot.column_mut::<peristyle_memory::Bool>("Hull", "docked").unwrap()[0] = false.into();
    snapshot.column_mut::<u8>("Bytes", "second").unwrap()[0] = 9;
    assert!(snapshot.mark("Hull", 0) && snapshot.mark("Bytes", 0));
    assert_eq!(snapshot.commit(&mut tables.of(&mut world)).written(), 2);
    let (hull, bytes) = (world.get::<&Hull>(ship).unwrap(), world.get::<&[u8; 2]>(ship).unwrap());
    assert_eq!((hull.pos, hull.docked, &*hull.name, *bytes), (Position { x: 5.0, y: -4.0 }, false, "Argo", [1, 9]));
}

#[test]
fn names_that_collide_or_cannot_be_used_are_refused() {
    #[derive(Columnar, Clone, Copy)]
    struct Other {
        a_b: f32,
        a: Inner,
    }
    #[derive(Columnar, Clone, Copy)]
    struct Inner {
        b: f32,
    }
    let spec = || JobSnapshotSpec::<Hecs>::new();
    let component = "Other".to_owned();
    let error = spec().reads::<Other>().build().err();
    assert_eq!(error, Some(SpecError::DuplicateColumn { component, column: "a_b".to_owned() }));
    let error = spec().reads::<Position>().reads_as(Velocity::describe().named("Position")).build().err();
    assert_eq!(error, Some(SpecError::DuplicateName("Position".to_owned())));
    let bad = Described::<u8>::new().column("1st", |n: &u8| *n, |n, value| *n = value);
    let (component, column) = ("u8".to_owned(), "1st".to_owned());
    assert_eq!(spec().reads_as(bad).build().err(), Some(SpecError::ColumnName { component, column }));
}
