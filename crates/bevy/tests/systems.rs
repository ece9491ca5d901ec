//! Offloaded systems in a schedule, as an application sees them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use bevy_app::{App, Update};
use bevy_ecs::{
    change_detection::ContiguousRef, entity_disabling::Disabled, error::BevyError, prelude::*, system::IntoSystem,
};
use peristyle_bevy::{Columnar, OffloadPool, OffloadStep, Offloaded, RustJob, Step, Way, columns, offloaded};

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

/// Kept in a sparse set.
#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
#[component(storage = "SparseSet")]
struct Heat {
    value: f32,
}

#[derive(Component)]
struct Frozen;

#[derive(Component)]
#[component(storage = "SparseSet")]
struct Docked;

/// What only some of a component is numbers of.
#[derive(Component)]
struct Hull {
    mass: f64,
    name: String,
}

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
#[component(summary_tick)]
struct Summed {
    n: u32,
}

/// The entities that a system saw change.
#[derive(Resource, Default)]
struct Seen(Vec<Entity>);

fn app() -> App {
    let mut app = App::new();
    app.insert_resource(OffloadPool::new(2).unwrap());
    app.insert_resource(OffloadStep(Step { dt: 0.5, time: 3.0 }));
    app
}

/// Entities of several tables; some have no velocity.
fn spawn(app: &mut App, rows: usize) -> Vec<Entity> {
    let world = app.world_mut();
    let row = |i: usize| (Position { x: i as f32, y: -(i as f32) }, Velocity { x: 2.0, y: i as f32 });
    (0..rows)
        .map(|i| {
            let (position, velocity) = row(i);
            match i % 5 {
                0 => world.spawn((position, velocity)).id(),
                1 => world.spawn((position, velocity, Hull { mass: 1.0, name: format!("ship {i}") })).id(),
                2 => world.spawn((velocity, position, Heat { value: i as f32 })).id(),
                3 => world.spawn((position, velocity, Frozen)).id(),
                _ => world.spawn(position).id(),
            }
        })
        .collect()
}

/// Moves every `step`th entity, by index, and marks it.
fn moving(step: u32) -> Offloaded {
    let job = RustJob::new("move", move |call| {
        let (vx, vy) = (call.column::<f32>("Velocity", "x")?, call.column::<f32>("Velocity", "y")?);
        let (x, y) = (call.column_mut::<f32>("Position", "x")?, call.column_mut::<f32>("Position", "y")?);
        let (mut moved, indices, dt) = (call.marks("Position")?, call.eids(), call.dt() as f32);
        for row in (0..call.rows()).filter(|row| indices[*row].is_multiple_of(step)) {
            x[row] += vx[row] * dt;
            y[row] += vy[row] * dt;
            moved.mark(row);
        }
        Ok(())
    });
    offloaded(job).reads::<Velocity>().writes::<Position>()
}

fn moving_in_place(step: u32) -> impl FnMut(Query<(Entity, &Velocity, &mut Position)>) {
    move |mut query| {
        for (entity, velocity, mut position) in &mut query {
            if entity.index_u32().is_multiple_of(step) {
                position.x += velocity.x * 0.5;
                position.y += velocity.y * 0.5;
            }
        }
    }
}

fn positions(app: &App, entities: &[Entity]) -> Vec<Option<Position>> {
    entities.iter().map(|entity| app.world().get::<Position>(*entity).copied()).collect()
}

#[test]
fn an_offloaded_system_does_what_one_in_place_does() {
    let (mut ours, mut theirs) = (app(), app());
    let entities = spawn(&mut ours, 60_003);
    assert_eq!(spawn(&mut theirs, 60_003), entities);
    ours.add_systems(Update, moving(7));
    theirs.add_systems(Update, moving_in_place(7));
    for _ in 0..3 {
        ours.update();
        theirs.update();
    }
    assert!(positions(&ours, &entities) == positions(&theirs, &entities));
}

#[test]
fn change_detection_sees_the_committed_rows_and_no_others() {
    let mut app = app();
    let entities = spawn(&mut app, 5000);
    app.init_resource::<Seen>();
    let watch =
        |query: Query<Entity, Changed<Position>>, untouched: Query<(), Changed<Velocity>>, mut seen: ResMut<Seen>| {
            seen.0 = query.iter().collect();
            seen.0.sort();
            assert!(seen.0.len() == 5000 || untouched.is_empty(), "what is only read does not change");
        };
    app.add_systems(Update, (moving(7), watch).chain());
    app.update();
    assert_eq!(app.world().resource::<Seen>().0.len(), 5000, "all were added");
    for _ in 0..3 {
        app.update();
        let moves =
            |entity: &Entity| entity.index_u32().is_multiple_of(7) && app.world().get::<Velocity>(*entity).is_some();
        let mut moved: Vec<Entity> = entities.iter().copied().filter(moves).collect();
        moved.sort();
        assert_eq!(app.world().resource::<Seen>().0, moved);
    }
}

#[test]
fn whole_tables_know_that_they_changed() {
    let mut app = app();
    app.world_mut().spawn(Summed { n: 1 });
    let job = RustJob::new("count", |call| {
        let n = call.column_mut::<u32>("Summed", "n")?;
        n[0] += 1;
        if call.time() > 3.0 {
            call.marks("Summed")?.mark(0);
        }
        Ok(())
    });
    app.init_resource::<Seen>();
    let watch = |query: Query<Ref<Summed>>, mut seen: ResMut<Seen>, entities: Query<Entity, With<Summed>>| {
        let changed = query
            .contiguous_iter()
            .unwrap()
            .any(|table| ContiguousRef::split(table).1.summary_tick_is_changed() == Some(true));
        seen.0 = if changed { entities.iter().collect() } else { Vec::new() };
    };
    app.add_systems(Update, (offloaded(job).writes::<Summed>(), watch).chain());
    for (time, expected) in [(3.0, 1), (3.0, 0), (4.0, 1), (3.0, 0)] {
        app.insert_resource(OffloadStep(Step { dt: 0.1, time }));
        app.update();
        assert_eq!(app.world().resource::<Seen>().0.len(), expected, "the first frame is the spawn's");
    }
}

#[test]
fn sparse_sets_are_read_and_written_too() {
    let mut app = app();
    let entities = spawn(&mut app, 103);
    app.world_mut().entity_mut(entities[7]).insert(Docked);
    let job = RustJob::new("cool", |call| {
        let (heat, x) = (call.column_mut::<f32>("Heat", "value")?, call.column::<f32>("Position", "x")?);
        let mut cooled = call.marks("Heat")?;
        for row in 0..call.rows() {
            assert_eq!(heat[row], x[row]);
            heat[row] = -1.0;
            if call.eids()[row] % 2 == 0 && call.time() > 3.0 {
                cooled.mark(row);
            }
        }
        Ok(())
    });
    app.init_resource::<Seen>();
    let watch = |query: Query<Entity, Changed<Heat>>, mut seen: ResMut<Seen>| seen.0 = query.iter().collect();
    let cool = offloaded(job).reads::<Position>().writes::<Heat>().without::<Docked>();
    app.add_systems(Update, (cool, watch).chain());
    app.update();
    app.insert_resource(OffloadStep(Step { dt: 0.5, time: 4.0 }));
    app.update();
    for (i, entity) in entities.iter().enumerate() {
        let Some(heat) = app.world().get::<Heat>(*entity) else { continue };
        let written = entity.index_u32() % 2 == 0 && i != 7;
        assert_eq!(heat.value, if written { -1.0 } else { i as f32 }, "{i}");
        assert_eq!(app.world().resource::<Seen>().0.contains(entity), written, "{i}");
    }
}

#[test]
fn filters_and_disabled_entities_are_not_shown() {
    let mut app = app();
    let entities = spawn(&mut app, 50);
    app.world_mut().entity_mut(entities[0]).insert(Disabled);
    let rows = Arc::new(AtomicUsize::new(0));
    let seen = rows.clone();
    let job = RustJob::new("look", move |call| {
        seen.fetch_add(call.rows(), SeqCst);
        call.marks("Position")?.mark_all();
        Ok(())
    });
    app.add_systems(Update, offloaded(job).writes::<Position>().with::<Velocity>().without::<Frozen>());
    app.update();
    assert_eq!(rows.load(SeqCst), 29, "50, without 10 that stand, 10 frozen, and one disabled");
}

#[test]
fn what_is_declared_is_what_bevy_knows() {
    let mut world = World::new();
    let mut access = |system: &mut dyn System<In = (), Out = ()>| system.initialize(&mut world);
    let ours = access(&mut IntoSystem::into_system(moving(1).without::<Frozen>()));
    let other = access(&mut IntoSystem::into_system(moving(1).without::<Frozen>()));
    let reads_velocity = access(&mut IntoSystem::into_system(|_: Query<&Velocity>| ()));
    let writes_velocity = access(&mut IntoSystem::into_system(|_: Query<&mut Velocity>| ()));
    let reads_position = access(&mut IntoSystem::into_system(|_: Query<&Position>| ()));
    let frozen = access(&mut IntoSystem::into_system(|_: Query<&mut Position, With<Frozen>>| ()));
    let hull = access(&mut IntoSystem::into_system(|_: Query<&mut Hull>| ()));
    let step = access(&mut IntoSystem::into_system(|_: ResMut<OffloadStep>| ()));
    assert!(ours.is_shared() && ours.is_compatible(&reads_velocity));
    assert!(ours.is_compatible(&frozen) && ours.is_compatible(&hull), "disjoint by filter, or by component");
    for conflicting in [&other, &writes_velocity, &reads_position, &step] {
        assert!(!ours.is_compatible(conflicting));
    }
}

#[test]
fn systems_that_conflict_take_turns() {
    let mut app = app();
    let entities = spawn(&mut app, 20_000);
    // Bevy may order them as it likes, not run them together: both orders give the same sums.
    app.add_systems(Update, (moving(1), moving_in_place(1), moving(1)));
    (0..5).for_each(|_| app.update());
    for (i, entity) in entities.iter().enumerate().filter(|(i, _)| i % 5 != 4) {
        assert_eq!(app.world().get::<Position>(*entity).unwrap().x, i as f32 + 15.0);
    }
}

#[test]
fn despawn_bits_are_honoured_at_the_next_sync_point() {
    let mut app = app();
    let entities = spawn(&mut app, 100);
    let job = RustJob::new("reap", |call| {
        let mut despawns = call.despawns()?;
        (0..call.rows()).filter(|row| call.eids()[*row] % 3 == 0).for_each(|row| despawns.mark(row));
        Ok(())
    });
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = reports.clone();
    let reap = offloaded(job).reads::<Position>().despawns();
    let reap =
        reap.on_report(move |report| told.lock().unwrap().push((report.way, report.rows, report.commit.despawned)));
    let left = entities.iter().filter(|entity| entity.index_u32() % 3 != 0).count();
    let check = move |query: Query<&Position>| assert_eq!(query.iter().count(), left);
    app.add_systems(Update, (reap, check).chain());
    app.update();
    app.update();
    assert_eq!(*reports.lock().unwrap(), [(Way::Copied, 100, 100 - left), (Way::Copied, left, 0)]);
}

/// Traps: a commit onto an entity that died meanwhile; and one onto an entity that other systems may have by then.
#[test]
fn a_pipelined_system_commits_in_the_next_frame_to_who_is_still_there() {
    let mut app = app();
    let entities = spawn(&mut app, 1000);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = reports.clone();
    let system = moving(1).without::<Frozen>().pipelined().on_report(move |report| {
        told.lock().unwrap().push((report.way, report.commit.written(), report.commit.stale()));
    });
    app.add_systems(Update, system);
    let before = positions(&app, &entities);
    app.update();
    assert_eq!(positions(&app, &entities), before, "the first frame only starts");
    // Ten die, and their rows and indices are taken by others; ten freeze; ten go to another table.
    let world = app.world_mut();
    for i in 0..10 {
        world.despawn(entities[i * 5]);
        world.entity_mut(entities[100 + i * 5]).insert(Frozen);
        world.entity_mut(entities[200 + i * 5]).insert(Hull { mass: 1.0, name: String::new() });
    }
    let heirs: Vec<Entity> =
        (0..10).map(|_| world.spawn((Position { x: -1.0, y: -1.0 }, Velocity { x: 1.0, y: 1.0 })).id()).collect();
    app.update();
    assert_eq!(*reports.lock().unwrap(), [(Way::Transferred, 580, 20)]);
    for (i, (now, was)) in positions(&app, &entities).iter().zip(&before).enumerate() {
        let moves = i % 5 < 3 && !(100..150).contains(&i) || (100..150).contains(&i) && [1, 2].contains(&(i % 5));
        match (now, was) {
            (None, _) => assert!(i < 50 && i % 5 == 0, "{i}"),
            (Some(now), Some(was)) => assert_eq!(now.x, was.x + if moves { 1.0 } else { 0.0 }, "{i}"),
            (Some(_), None) => unreachable!("all had a position"),
        }
    }
    assert!(positions(&app, &heirs).iter().all(|position| *position == Some(Position { x: -1.0, y: -1.0 })));
}

#[test]
fn a_job_that_fails_fails_its_system_unless_it_is_reported() {
    static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn keep(error: BevyError, _: bevy_ecs::error::ErrorContext) {
        ERRORS.lock().unwrap().push(error.to_string());
    }
    let failing = || {
        let job = RustJob::new("failing", |call| {
            call.column_mut::<f32>("Position", "x")?[0] = 99.0;
            call.marks("Position")?.mark(0);
            call.column_mut::<f32>("Velocity", "x")?;
            Ok(())
        });
        offloaded(job).writes::<Position>().reads::<Velocity>()
    };
    for (atomic, reported) in [(false, false), (true, false), (true, true)] {
        let mut app = app();
        let entities = spawn(&mut app, 3);
        app.set_error_handler(keep);
        let calls = Arc::new(AtomicUsize::new(0));
        let failed = calls.clone();
        let system = if atomic { failing().atomic() } else { failing() };
        if reported {
            let system = system.on_report(move |report| _ = failed.fetch_add(report.run.failures.len(), SeqCst));
            app.add_systems(Update, system);
        } else {
            app.add_systems(Update, system);
        }
        app.update();
        let changed = positions(&app, &entities).iter().flatten().filter(|position| position.x == 99.0).count();
        assert_eq!(changed, usize::from(!atomic), "the marked row is committed, unless the system is atomic");
        let errors = std::mem::take(&mut *ERRORS.lock().unwrap());
        if reported {
            // One row each of three tables: they are one range.
            assert_eq!((calls.load(SeqCst), errors.len()), (1, 0));
        } else {
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains("offloaded system `failing`: 1 of 1 calls failed"), "{errors:?}");
            assert!(errors[0].contains("`Velocity` is declared to be read, not to be written"), "{errors:?}");
        }
    }
}

#[test]
fn names_that_collide_fail_the_system_with_both_named() {
    static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn keep(error: BevyError, _: bevy_ecs::error::ErrorContext) {
        ERRORS.lock().unwrap().push(error.to_string());
    }
    let mut app = app();
    app.set_error_handler(keep);
    let described = columns!(Hull { mass }).named("Position");
    app.add_systems(Update, moving(1).reads_as(described));
    app.update();
    assert!(
        ERRORS.lock().unwrap()[0].contains("offloaded system `move`: two components or resources are named `Position`")
    );
}

#[test]
fn fields_that_are_not_described_stay_as_they_are() {
    let mut app = app();
    let entities = spawn(&mut app, 10);
    let job = RustJob::new("load", |call| {
        call.column_mut::<f64>("Hull", "mass")?.iter_mut().for_each(|mass| *mass += 1.5);
        call.marks("Hull")?.mark_all();
        Ok(())
    });
    app.add_systems(Update, offloaded(job).writes_as(columns!(Hull { mass })));
    app.update();
    let hull = app.world().get::<Hull>(entities[6]).unwrap();
    assert_eq!((hull.mass, &*hull.name), (2.5, "ship 6"));
}

/// Trap: entity ids that collide past 65 536.
#[test]
fn seventy_thousand_entities_have_as_many_ids() {
    let mut app = app();
    spawn(&mut app, 70_000);
    let seen = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let told = seen.clone();
    let job = RustJob::new("look", move |call| {
        told.lock().unwrap().extend(call.eids());
        Ok(())
    });
    app.add_systems(Update, offloaded(job).reads::<Position>());
    app.update();
    let expected: std::collections::BTreeSet<u32> =
        app.world_mut().query_filtered::<Entity, With<Position>>().iter(app.world()).map(Entity::index_u32).collect();
    assert_eq!(expected.len(), 70_000);
    assert!(*seen.lock().unwrap() == expected);
}
