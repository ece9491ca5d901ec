//! Snapshots of a world that is at hand, without a schedule.

use bevy_ecs::{entity::Entity, prelude::*};
use peristyle_bevy::{Bevy, Columnar, JobSnapshot, JobSnapshotSpec, Tables};

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component)]
struct Frozen;

#[derive(Component)]
#[component(storage = "SparseSet")]
struct Docked;

fn spawned(rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::new();
    let entities = world.spawn_batch((0..rows).map(|i| Position { x: i as f32, y: 0.0 })).collect();
    (world, entities)
}

fn changed(world: &mut World) -> Vec<Entity> {
    let mut entities: Vec<_> = world.query_filtered::<Entity, Changed<Position>>().iter(world).collect();
    entities.sort();
    entities
}

/// Trap: a commit onto an entity that died meanwhile, whose index and row another may have by now.
#[test]
fn the_dead_are_skipped_and_the_moved_are_found_and_marked() {
    for sparse in [false, true] {
        let (mut world, entities) = spawned(10);
        let spec = JobSnapshotSpec::<Bevy>::new().writes::<Position>().without::<Frozen>();
        let spec = if sparse { spec.without::<Docked>() } else { spec };
        let mut tables = Tables::new(spec.build().unwrap(), &mut world);
        let mut snapshot = JobSnapshot::new(tables.shape().clone());
        snapshot.take(&mut tables.of(&mut world)).unwrap();
        assert_eq!(snapshot.handles(), entities.iter().map(|entity| entity.to_bits()).collect::<Vec<_>>());
        let row = snapshot.entity(3);
        assert_eq!((row.index(), row.is_provisional()), (entities[3].index_u32(), false));
        snapshot.column_mut::<f32>("Position", "x").unwrap().iter_mut().for_each(|x| *x += 100.0);
        (0..10).filter(|row| *row != 7).for_each(|row| assert!(snapshot.mark("Position", row)));

        // 1 dies, and its index is used again; the last takes its row. 2 goes out of reach, 3 to another table.
        let heir = world.despawn_no_free(entities[1]).unwrap();
        assert!(heir.index_u32() == entities[1].index_u32() && heir != entities[1]);
        world.spawn_at(heir, Position { x: -1.0, y: -1.0 }).unwrap();
        world.entity_mut(entities[2]).insert(Frozen);
        world.entity_mut(entities[3]).insert(Name::new("moved"));
        world.clear_trackers();

        let report = snapshot.commit(&mut tables.of(&mut world)).clone();
        assert_eq!((report.written(), report.stale()), (7, 2), "sparse: {sparse}");
        let mut expected: Vec<_> = [0, 3, 4, 5, 6, 8, 9].map(|i: usize| entities[i]).into();
        expected.sort();
        assert_eq!(changed(&mut world), expected, "sparse: {sparse}");
        for (i, entity) in entities.iter().enumerate().filter(|(i, _)| *i != 1) {
            let x = i as f32 + if expected.contains(entity) { 100.0 } else { 0.0 };
            assert_eq!(*world.get::<Position>(*entity).unwrap(), Position { x, y: 0.0 });
        }
        assert_eq!(world.get::<Position>(heir).unwrap().x, -1.0);
        world.clear_trackers();
        assert_eq!(snapshot.commit(&mut tables.of(&mut world)).written(), 0);
        assert_eq!(changed(&mut world), [], "nothing is written twice");
    }
}

#[test]
fn despawning_moves_rows_after_the_writes() {
    let (mut world, entities) = spawned(6);
    let spec = JobSnapshotSpec::<Bevy>::new().writes::<Position>().despawns();
    let mut tables = Tables::new(spec.build().unwrap(), &mut world);
    let mut snapshot = JobSnapshot::new(tables.shape().clone());
    let job = peristyle_bevy::RustJob::new("reap", |call| {
        call.column_mut::<f32>("Position", "x")?.iter_mut().for_each(|x| *x += 100.0);
        let mut despawns = call.despawns()?;
        despawns.mark(0);
        despawns.mark(2);
        call.marks("Position")?.mark_all();
        Ok(())
    });
    let mut pool = peristyle_jobs::Pool::new(0).unwrap();
    let mut source = tables.of(&mut world);
    for (rows, despawned) in [(6, 2), (4, 2)] {
        snapshot.take(&mut source).unwrap();
        pool.scope(|scope| _ = snapshot.run(&job, scope, Default::default(), None, Default::default()));
        assert_eq!(snapshot.run_report().failures, []);
        let report = snapshot.commit(&mut source);
        assert_eq!((report.written(), report.stale(), report.despawned), (rows, 0, despawned));
        // The same source again, after structure changed through it.
        assert!(snapshot.mark("Position", 0));
        assert_eq!(snapshot.commit(&mut source).components[0].stale, 1, "row 0 is gone");
    }
    let left: Vec<f32> = entities.iter().filter_map(|entity| Some(world.get::<Position>(*entity)?.x)).collect();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|x| *x > 200.0 && *x < 300.0), "{left:?}");
}

#[test]
#[should_panic(expected = "Encountered a mismatched World")]
fn another_world_is_refused() {
    let (mut world, _) = spawned(1);
    let mut tables = Tables::new(JobSnapshotSpec::<Bevy>::new().writes::<Position>().build().unwrap(), &mut world);
    let mut snapshot = JobSnapshot::new(tables.shape().clone());
    let _ = snapshot.take(&mut tables.of(&mut World::new()));
}
