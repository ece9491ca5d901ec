//! Jobs that read opaque components of a foreign world: copies of values, by row, in all shapes of calls.

mod support;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use hecs::World;
use peristyle_jobs::{Access, AccessError, ComponentShape, JobError, Pool};
use peristyle_offload::{
    Column, ColumnMut, ColumnRef, Describe, Described, InPlace, JobSnapshot, JobSnapshotSpec, Manner, Offload,
    OffloadError, Placed, RustJob, SnapshotError, Source, SpecError, Step, Way, columns,
    hecs::{Hecs, Tables},
};
use peristyle_world::Component;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use support::{Position, Velocity, job};

#[derive(Debug, PartialEq, Clone)]
struct Name(String);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == "secret" {
            return Err(serde::ser::Error::custom("not to be told"));
        }
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        String::deserialize(deserializer).map(Name)
    }
}

/// Has numbers, and could cross either way.
#[derive(Serialize, Deserialize)]
struct Hull {
    wear: f64,
}

/// Lies in columns in Peristyle's own world.
#[derive(Component, Serialize, Deserialize, Clone, Copy)]
struct Tag {
    since: f32,
}

impl Describe for Hull {
    fn describe() -> Described<Hull> {
        columns!(Hull { wear })
    }
}

const STEP: Step = Step { dt: 0.5, time: 3.0 };

fn name_of(i: usize) -> String {
    format!("ünï {i}")
}

/// Two tables that take turns, both with names, and a third without.
fn world(rows: usize) -> World {
    let mut world = World::new();
    for i in 0..rows {
        let position = Position { x: i as f32, y: 0.0 };
        match i % 2 {
            0 => world.spawn((position, Name(name_of(i)))),
            _ => world.spawn((position, Name(name_of(i)), Velocity { x: 0.0, y: 0.0 })),
        };
    }
    world.spawn((Position { x: -1.0, y: 0.0 },));
    world
}

fn spec() -> JobSnapshotSpec<Hecs> {
    JobSnapshotSpec::new().reads::<Position>().reads_as(Described::<Name>::by_serde())
}

/// Sees that each name is that of its row, and patches it.
fn shout() -> RustJob {
    RustJob::parts("shout", |parts| {
        for mut part in parts {
            let xs = part.column::<f32>("Position", "x")?;
            for (row, x) in xs.iter().enumerate() {
                let name: String = part.value("Name", row)?;
                assert_eq!(name, name_of(*x as usize));
                part.set("Name", part.entity(row), &name.to_uppercase())?;
            }
        }
        Ok(())
    })
}

fn names(world: &mut World) -> Vec<(usize, String)> {
    let mut query = world.query::<(&Position, &Name)>();
    let mut names: Vec<_> = query.iter().map(|(position, name)| (position.x as usize, name.0.clone())).collect();
    names.sort();
    names
}

#[test]
fn each_shape_and_way_of_call_gives_the_value_of_each_row() {
    let shapes: [fn(Offload) -> Offload; 3] = [|ranges| ranges, Offload::parts, Offload::whole];
    for way in [Way::Copied, Way::Transferred] {
        for shape in shapes {
            let mut world = world(40_000);
            let mut tables = Tables::new(spec().patches_as(Described::<Name>::by_serde()).build().unwrap());
            let mut offload = shape(Offload::new(tables.shape().clone(), shout()).with_way(way).unwrap());
            let mut pool = Pool::new(2).unwrap();
            let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
            assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
            assert_eq!((report.rows, report.commit.patches.applied), (40_000, 40_000));
            let shouted = |i: usize| (i, name_of(i).to_uppercase());
            assert_eq!(names(&mut world), (0..40_000).map(shouted).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_shape_says_what_is_opaque_and_who_declares_nothing_pays_nothing() {
    let declared = spec().build().unwrap();
    let name = ComponentShape { id: 1, name: "Name".into(), fields: Vec::new(), access: Access::Read, opaque: true };
    assert_eq!(declared.shape().components[1], name);
    let both = Described::<Hull>::by_serde().column("wear", |hull| hull.wear, |hull, wear| hull.wear = wear);
    let declared_both = JobSnapshotSpec::<Hecs>::new().reads_as(both).build().unwrap();
    assert_eq!(declared_both.shape().components[0].fields, [], "values cross as a whole");
    assert!(!declared.shape().components[0].opaque);
    let counted = Arc::new(AtomicUsize::new(0));
    struct Counted(Arc<AtomicUsize>);
    impl Serialize for Counted {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.0.fetch_add(1, SeqCst) as u64)
        }
    }
    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Counted, D::Error> {
            u64::deserialize(deserializer).map(|_| Counted(Arc::default()))
        }
    }
    let mut world = World::new();
    (0..10).for_each(|_| _ = world.spawn((Position { x: 0.0, y: 0.0 }, Counted(counted.clone()))));
    let mut take = |spec: JobSnapshotSpec<Hecs>| {
        let mut tables = Tables::new(spec.build().unwrap());
        let mut snapshot = JobSnapshot::new(tables.shape().clone());
        snapshot.take(&mut tables.of(&mut world)).unwrap();
        assert_eq!(snapshot.rows(), 10);
        (snapshot.value("Counted", 9).is_some(), counted.load(SeqCst))
    };
    let reads = || JobSnapshotSpec::new().reads::<Position>();
    assert_eq!(take(reads().patches_as(Described::<Counted>::by_serde())), (false, 0));
    assert_eq!(take(reads().reads_as(Described::<Counted>::by_serde())), (true, 10));
}

#[test]
fn values_are_those_of_when_the_snapshot_was_taken_and_follow_their_entities_after() {
    let mut world = world(100);
    let mut tables = Tables::new(spec().patches_as(Described::<Name>::by_serde()).build().unwrap());
    let mut offload = Offload::new(tables.shape().clone(), shout());
    let mut pool = Pool::new(0).unwrap();
    // Entities die, and others take their indices: rows are in no order then.
    let dead: Vec<_> = world.query_mut::<hecs::Entity>().with::<&Name>().into_iter().step_by(7).collect();
    dead.iter().for_each(|entity| world.despawn(*entity).unwrap());
    let alive = 100 - dead.len();
    (200..205).for_each(|i| _ = world.spawn((Position { x: i as f32, y: 0.0 }, Name(name_of(i)))));
    let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
    assert_eq!((report.rows, report.commit.patches.applied), (alive + 5, alive + 5));
    // They die, and change, while a snapshot is away.
    world.query_mut::<(&Position, &mut Name)>().into_iter().for_each(|(at, name)| name.0 = name_of(at.x as usize));
    offload.start(&mut tables.of(&mut world), STEP).unwrap();
    let dead: Vec<_> = world.query_mut::<hecs::Entity>().with::<&Name>().into_iter().take(10).collect();
    dead.iter().for_each(|entity| world.despawn(*entity).unwrap());
    world.query_mut::<&mut Name>().into_iter().for_each(|name| name.0 = "meanwhile".into());
    let report = offload.finish(&mut tables.of(&mut world)).unwrap();
    assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
    let patches = &report.commit.patches;
    assert_eq!((patches.applied, patches.stale), (alive - 5, 10));
    assert!(names(&mut world).iter().all(|(i, name)| *name == name_of(*i).to_uppercase()));
}

#[test]
fn a_value_that_cannot_cross_fails_the_call_that_asks_and_no_other() {
    let mut world = world(20_000);
    let secret = world.spawn((Position { x: -2.0, y: 0.0 }, Name("secret".into())));
    let mut tables = Tables::new(spec().build().unwrap());
    let reading =
        RustJob::new("read", |call| (0..call.rows()).try_for_each(|row| call.value::<String>("Name", row).map(drop)));
    let mut offload = Offload::new(tables.shape().clone(), reading);
    let mut pool = Pool::new(1).unwrap();
    let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    assert_eq!(report.run.failures.len(), 1);
    assert!(report.run.ranges > 1);
    let JobError::Value { component, entity, message } = &report.run.failures[0].error else {
        panic!("{:?}", report.run.failures)
    };
    assert_eq!((&**component, entity.index(), &**message), ("Name", secret.id(), "not to be told"));
    // Who asks for columns as values, or for values of another type, is told so.
    let wrong = RustJob::new("wrong", |call| match call.value::<String>("Position", 0) {
        Err(JobError::Access(AccessError::NotOpaque { name })) if name == "Position" => {
            call.value::<u32>("Name", 0).map(drop)
        }
        other => panic!("{other:?}"),
    });
    let mut offload = Offload::new(tables.shape().clone(), wrong).whole();
    let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
    let error = &report.run.failures[0].error;
    assert!(matches!(error, JobError::Value { component, .. } if component == "Name"), "{error}");
}

#[test]
fn a_runner_that_takes_columns_only_is_refused() {
    let mut world = world(3);
    let mut tables = Tables::new(spec().build().unwrap());
    let mut pool = Pool::new(0).unwrap();
    for way in [Way::Copied, Way::Transferred] {
        let kernel = job(|_| panic!("it is not called"));
        let mut offload = Offload::new(tables.shape().clone(), kernel).with_way(way).unwrap();
        let error = offload.run(&mut tables.of(&mut world), &mut pool, STEP).map(drop).unwrap_err();
        let OffloadError::NoValues { job, component } = &error else { panic!("{error}") };
        assert_eq!((&**job, &**component), ("closure", "Name"));
        assert!(!offload.is_away());
    }
    // A snapshot that is run by hand has no error to give but the calls'.
    let mut snapshot = JobSnapshot::new(tables.shape().clone());
    snapshot.take(&mut tables.of(&mut world)).unwrap();
    let kernel = job(|_| panic!("it is not called"));
    pool.scope(|scope| _ = snapshot.run(&kernel, scope, STEP, None, Manner::default()));
    let error = &snapshot.run_report().failures[0].error;
    assert!(matches!(error, JobError::Load(why) if why.contains("`closure`") && why.contains("`Name`")), "{error}");
}

#[test]
fn a_source_without_values_is_refused() {
    struct ColumnsOnly;
    impl Source for ColumnsOnly {
        fn count(&mut self) -> usize {
            1
        }
        fn ids(&mut self, _: Range<usize>, indices: &mut [u32], handles: &mut [u64]) {
            indices.fill(0);
            handles.fill(0);
        }
        fn gather(&mut self, _: Column, _: Range<usize>, _: ColumnMut<'_>) {}
        fn place(&mut self, _: &[u32], _: &[u64], _: &mut Placed) {}
        fn scatter(&mut self, _: Column, _: &Placed, _: &[u64], _: ColumnRef<'_>) {}
        fn despawn(&mut self, _: u64) -> bool {
            false
        }
    }
    let mut snapshot = JobSnapshot::new(spec().build().unwrap().shape().clone());
    assert_eq!(snapshot.take(&mut ColumnsOnly), Err(SnapshotError::NoValues { component: "Name".into() }));
    assert_eq!((snapshot.rows(), snapshot.value("Name", 0)), (0, None));
}

#[test]
fn an_opaque_component_is_written_by_patches_and_declared_in_one_form() {
    let refused = |spec: JobSnapshotSpec<Hecs>| spec.build().map(drop).unwrap_err();
    let error = refused(spec().writes_as(Described::<Name>::by_serde()));
    assert_eq!(error, SpecError::NoColumns("Name".into()));
    assert!(error.to_string().contains("patch it"), "{error}");
    let hull = || JobSnapshotSpec::<Hecs>::new().reads_as(Described::<Hull>::by_serde());
    assert_eq!(refused(hull().reads::<Hull>()), SpecError::TwoForms("Hull".into()));
    assert_eq!(refused(hull().writes::<Hull>()), SpecError::TwoForms("Hull".into()));
    let own = JobSnapshotSpec::<InPlace>::new().reads_as(Described::<Tag>::by_serde());
    let error = own.into_job(RustJob::new("job", |_| Ok(()))).map(drop).unwrap_err();
    assert_eq!(error, SpecError::InColumns("Tag".into()));
}
