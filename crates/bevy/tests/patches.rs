//! Patches, parts, wholes and columns of the user in a Bevy world.

use std::sync::{Arc, Mutex};

use bevy_app::{App, Update};
use bevy_ecs::prelude::*;
use peristyle_bevy::{
    Bevy, Columnar, Describe, Described, Field, JobSnapshot, JobSnapshotSpec, OffloadPool, OffloadStep, PatchCommit,
    PatchFault, RustCall, RustJob, Scalar, SharedColumns, Step, Tables, columns, offloaded, pack,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
#[component(storage = "SparseSet")]
struct Heat {
    value: f32,
}

#[derive(Component, Debug, PartialEq, Clone)]
struct Hull {
    wear: f32,
    name: String,
}

impl Describe for Hull {
    fn describe() -> Described<Hull> {
        columns!(Hull { wear })
    }
}

#[derive(Component, Debug, PartialEq, Clone)]
struct Note(String);

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Note, D::Error> {
        String::deserialize(deserializer).map(Note)
    }
}

/// The entities that a system saw change, and those that a system found hot.
#[derive(Resource, Default)]
struct Seen {
    moved: Vec<Entity>,
    hot: usize,
}

fn app() -> App {
    let mut app = App::new();
    app.insert_resource(OffloadPool::new(2).unwrap());
    app.insert_resource(OffloadStep(Step { dt: 0.5, time: 3.0 }));
    app.init_resource::<Seen>();
    app
}

/// Runs a frame at a time at which jobs do nothing: a system's first run sees all as changed.
fn first_frame(app: &mut App) {
    app.insert_resource(OffloadStep(Step { dt: 0.5, time: 0.0 }));
    app.update();
    app.insert_resource(OffloadStep(Step { dt: 0.5, time: 3.0 }));
}

fn spawn(app: &mut App, rows: usize) -> Vec<Entity> {
    let position = |i: usize| Position { x: i as f32, y: 0.0 };
    let spawn = |i: usize| match i % 2 {
        0 => app.world_mut().spawn(position(i)).id(),
        _ => {
            let hull = Hull { wear: 0.0, name: format!("hull {i}") };
            app.world_mut().spawn((position(i), Velocity { x: 1.0, y: 0.0 }, hull)).id()
        }
    };
    (0..rows).map(spawn).collect()
}

fn see(moved: Query<Entity, Changed<Position>>, hot: Query<&Heat>, mut seen: ResMut<Seen>) {
    seen.moved = moved.iter().collect();
    seen.moved.sort();
    seen.hot = hot.iter().count();
}

fn sorted(mut entities: Vec<Entity>) -> Vec<Entity> {
    entities.sort();
    entities
}

type Told = Arc<Mutex<Vec<PatchCommit>>>;

/// One patch or another for each row.
fn mixed() -> RustJob {
    RustJob::new("mixed", |call| {
        if call.time() == 0.0 {
            return Ok(());
        }
        let xs = call.column::<f32>("Position", "x")?;
        for (row, x) in xs.iter().enumerate() {
            let entity = call.entity(row);
            match *x as u32 % 6 {
                0 => call.set_packed("Position", entity, &pack(Position { x: -*x, y: 1.0 }))?,
                1 => call.set_packed("Hull", entity, &pack(*x))?,
                2 => call.add_packed("Heat", entity, &pack(*x))?,
                3 => call.remove("Velocity", entity)?,
                4 => call.add("Note", entity, &format!("ünï {x}"))?,
                _ => call.destroy(entity)?,
            }
        }
        Ok(())
    })
}

#[test]
fn patches_are_applied_at_the_sync_point_and_bevy_sees_them() {
    for pipelined in [false, true] {
        let mut app = app();
        let entities = spawn(&mut app, 30_000);
        let (told, sink) = (Told::default(), Told::default());
        let (reports, commits) = (told.clone(), sink.clone());
        let system = offloaded(mixed())
            .writes::<Position>()
            .patches::<Hull>()
            .patches::<Heat>()
            .patches::<Velocity>()
            .patches_as(Described::<Note>::by_serde())
            .despawns()
            .on_report(move |report| {
                assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
                reports.lock().unwrap().push(report.commit.patches.clone());
            })
            .on_patches(move |commit| commits.lock().unwrap().push(commit.clone()));
        app.add_systems(Update, (if pipelined { system.pipelined() } else { system }, see).chain());
        first_frame(&mut app);
        if pipelined {
            // Starts the job; the next run commits.
            app.update();
        }
        app.update();
        let commits = [told, sink].map(|commits| commits.lock().unwrap().last().cloned().unwrap());
        assert_eq!(commits[0], PatchCommit { deferred: 30_000, ..PatchCommit::default() });
        assert_eq!(commits[1], PatchCommit { applied: 30_000, ..PatchCommit::default() });
        let seen = app.world().resource::<Seen>();
        assert_eq!(seen.hot, 5_000, "a later system sees what was added");
        let set: Vec<_> = (0..30_000).step_by(6).map(|n| entities[n]).collect();
        assert_eq!(seen.moved, sorted(set));
        for (n, entity) in entities.iter().enumerate() {
            let Ok(entity) = app.world().get_entity(*entity) else {
                assert_eq!(n % 6, 5);
                continue;
            };
            let expected =
                if n % 6 == 0 { Position { x: -(n as f32), y: 1.0 } } else { Position { x: n as f32, y: 0.0 } };
            assert_eq!(entity.get::<Position>(), Some(&expected));
            let hull = Hull { wear: if n % 6 == 1 { n as f32 } else { 0.0 }, name: format!("hull {n}") };
            assert_eq!(entity.get::<Hull>(), (n % 2 == 1).then_some(&hull));
            assert_eq!(entity.get::<Heat>(), (n % 6 == 2).then_some(&Heat { value: n as f32 }));
            assert_eq!(entity.contains::<Velocity>(), n % 2 == 1 && n % 6 != 3);
            assert_eq!(entity.get::<Note>(), (n % 6 == 4).then(|| Note(format!("ünï {n}"))).as_ref());
        }
    }
}

#[test]
fn what_cannot_be_applied_is_told_and_changes_nothing() {
    let mut app = app();
    let entities = spawn(&mut app, 2);
    let gone = app.world_mut().spawn_empty().id();
    app.world_mut().despawn(gone);
    let told = Told::default();
    let (at_commit, at_sync) = (told.clone(), told.clone());
    let job = RustJob::new("wrong", move |call| {
        if call.time() == 0.0 {
            return Ok(());
        }
        let [a, b] = [0, 1].map(|row| call.entity(row));
        call.set_packed("Velocity", a, &[0; 8])?;
        call.set_packed("Position", a, &[1])?;
        call.set_packed("Hull", b, &pack(7.0_f32))?;
        call.add_packed("Hull", a, &pack(7.0_f32))?;
        call.add("Note", b, &5)?;
        call.destroy(peristyle_bevy::Entity::new(gone.index_u32(), 1))?;
        call.destroy(b)?;
        call.remove("Hull", b)
    });
    let system = offloaded(job).writes::<Position>().patches::<Velocity>().patches::<Hull>();
    let system = system.patches_as(Described::<Note>::by_serde()).despawns();
    let system = system.on_report(move |report| {
        assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
        at_commit.lock().unwrap().push(report.commit.patches.clone());
    });
    app.add_systems(
        Update,
        (system.on_patches(move |commit| at_sync.lock().unwrap().push(commit.clone())), see).chain(),
    );
    first_frame(&mut app);
    told.lock().unwrap().clear();
    app.update();
    let told = told.lock().unwrap();
    assert_eq!((told[0].deferred, told[0].refused, told[0].stale), (7, 1, 1));
    assert_eq!(told[0].refusals[0].index, 5);
    assert_eq!((told[1].applied, told[1].refused, told[1].stale), (2, 5, 2));
    let faults: Vec<_> = told[1].refusals.iter().map(|refused| &refused.fault).collect();
    assert!(matches!(faults[0], PatchFault::Missing { component, .. } if component == "Velocity"));
    assert!(matches!(faults[1], PatchFault::ValueBytes { expected_bytes: 8, found_bytes: 1, .. }));
    assert_eq!(faults[2], &PatchFault::NotMade("Hull".into()));
    assert!(matches!(faults[3], PatchFault::Value { component, .. } if component == "Note"));
    assert!(matches!(faults[4], PatchFault::Gone(_)));
    assert_eq!(*app.world().get::<Position>(entities[0]).unwrap(), Position { x: 0.0, y: 0.0 });
    assert!(app.world().get_entity(entities[1]).is_err());
    assert_eq!(app.world().resource::<Seen>().moved, [], "what was refused is no change");
}

/// A name that jobs do not find in a table.
#[derive(Component, Debug, PartialEq, Clone)]
#[component(storage = "SparseSet")]
struct Label(String);

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            "secret" => Err(serde::ser::Error::custom("not to be told")),
            text => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Label, D::Error> {
        String::deserialize(deserializer).map(Label)
    }
}

#[test]
fn opaque_components_are_read_as_copies_and_patched() {
    for (pipelined, sparse) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut app = app();
        let spawn = |i: usize| match i % 2 {
            0 => app.world_mut().spawn((Note(format!("ünï {i}")), Label(format!("l {i}")))).id(),
            _ => app.world_mut().spawn((Note(format!("ünï {i}")), Label(format!("l {i}")), Heat { value: 0.0 })).id(),
        };
        let entities: Vec<_> = (0..20_000).map(spawn).collect();
        let component = if sparse { "Label" } else { "Note" };
        let job = RustJob::new("shout", move |call| {
            if call.time() == 0.0 {
                return Ok(());
            }
            for row in 0..call.rows() {
                let text: String = call.value(component, row)?;
                call.set(component, call.entity(row), &text.to_uppercase())?;
            }
            Ok(())
        });
        let system = match sparse {
            false => offloaded(job).reads_as(Described::<Note>::by_serde()).patches_as(Described::<Note>::by_serde()),
            true => offloaded(job).reads_as(Described::<Label>::by_serde()).patches_as(Described::<Label>::by_serde()),
        };
        let told = Told::default();
        let sink = told.clone();
        let system = system.on_patches(move |commit| sink.lock().unwrap().push(commit.clone()));
        app.add_systems(Update, if pipelined { system.pipelined() } else { system });
        first_frame(&mut app);
        app.update();
        if pipelined {
            app.update();
        }
        assert_eq!(told.lock().unwrap()[0], PatchCommit { applied: 20_000, ..PatchCommit::default() });
        for (i, entity) in entities.iter().enumerate() {
            let entity = app.world().entity(*entity);
            let (note, label) = (format!("ünï {i}"), format!("l {i}"));
            let (note, label) = if sparse { (note, label.to_uppercase()) } else { (note.to_uppercase(), label) };
            assert_eq!((entity.get::<Note>(), entity.get::<Label>()), (Some(&Note(note)), Some(&Label(label))));
        }
    }
}

#[test]
fn a_value_that_cannot_cross_is_named_with_its_entity() {
    let mut app = app();
    app.world_mut().spawn(Label("told".into()));
    let secret = app.world_mut().spawn(Label("secret".into())).id();
    let job =
        RustJob::new("read", |call| (0..call.rows()).try_for_each(|row| call.value::<String>("Label", row).map(drop)));
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let system = offloaded(job).reads_as(Described::<Label>::by_serde());
    app.add_systems(
        Update,
        system.on_report(move |report| {
            sink.lock().unwrap().extend(report.run.failures.iter().map(|failure| failure.error.clone()));
        }),
    );
    app.update();
    let told = told.lock().unwrap();
    let [peristyle_jobs::JobError::Value { component, entity, message }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&**component, entity.index(), &**message), ("Label", secret.index_u32(), "not to be told"));
}

#[test]
fn a_world_at_hand_is_patched_at_once() {
    let mut world = World::new();
    let entities: Vec<_> = (0..10).map(|i| world.spawn(Position { x: i as f32, y: 0.0 }).id()).collect();
    let spec = JobSnapshotSpec::<Bevy>::new().writes::<Position>().patches::<Heat>().despawns();
    let mut tables = Tables::new(spec.build().unwrap(), &mut world);
    let mut snapshot = JobSnapshot::new(tables.shape().clone());
    snapshot.take(&mut tables.of(&mut world)).unwrap();
    let job = RustJob::new("heat", |call| {
        call.add_packed("Heat", call.entity(3), &pack(1.0_f32))?;
        call.add_packed("Heat", call.entity(3), &pack(2.0_f32))?;
        call.destroy(call.entity(4))
    });
    let mut pool = peristyle_jobs::Pool::new(0).unwrap();
    pool.scope(|scope| _ = snapshot.run(&job, scope, Step::default(), None, Default::default()));
    let report = snapshot.commit(&mut tables.of(&mut world));
    assert_eq!((report.patches.applied, report.patches.deferred, report.patches.refused), (3, 0, 0));
    assert_eq!(world.get::<Heat>(entities[3]), Some(&Heat { value: 2.0 }));
    assert!(world.get_entity(entities[4]).is_err());
}

#[test]
fn all_rows_come_in_one_call_in_parts_or_as_a_whole_with_columns_of_the_user() {
    for whole in [false, true] {
        let mut app = app();
        let entities = spawn(&mut app, 40_000);
        let wind = SharedColumns::new("Wind", vec![Field::new("x", Scalar::F32)], 1).unwrap();
        let calls = SharedColumns::new("Calls", vec![Field::new("parts", Scalar::U32)], 1).unwrap();
        wind.lock().column_mut::<f32>("x").unwrap()[0] = 5.0;
        let job = RustJob::parts("blow", |mut parts| {
            let (wind, count) = (parts.resource::<f32>("Wind", "x")?[0], parts.len() as u32);
            parts.resource_mut::<u32>("Calls", "parts")?[0] += count;
            let mut parts: Vec<RustCall<'_>> = parts.collect();
            for part in &mut parts {
                part.column_mut::<f32>("Position", "x")?.iter_mut().for_each(|x| *x += wind);
                part.marks("Position")?.mark_all();
            }
            Ok(())
        });
        let system = offloaded(job).writes::<Position>().reads_columns(&wind).writes_columns(&calls);
        app.add_systems(Update, if whole { system.whole() } else { system.parts() });
        app.update();
        // Two tables of 20 000 rows are contiguous in a snapshot.
        assert_eq!(calls.lock().column::<u32>("parts").unwrap(), [if whole { 1 } else { 3 }]);
        wind.lock().column_mut::<f32>("x").unwrap()[0] = -5.0;
        app.update();
        for (i, entity) in entities.iter().enumerate() {
            assert_eq!(app.world().get::<Position>(*entity).unwrap().x, i as f32);
        }
    }
}
