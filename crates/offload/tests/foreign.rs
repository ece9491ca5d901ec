//! What jobs on a `hecs` world can do beside marking rows: patches, parts, wholes, columns that are not the world's.

mod support;

use hecs::{Entity, World};
use peristyle_jobs::{JobError, Pool, RustCall, RustJob};
use peristyle_offload::{
    Columnar, Describe, Described, Field, JobSnapshotSpec, Offload, OffloadError, PatchFault, RefusedPatch, Scalar,
    SharedColumns, SpecError, Step, Way,
    hecs::{Hecs, Tables},
    pack,
};
use serde::{Deserialize, Serialize};
use support::{Position, Velocity, column, job};

const STEP: Step = Step { dt: 0.5, time: 3.0 };

#[derive(Columnar, Clone, Copy, Debug, PartialEq)]
struct Health {
    points: u32,
    is_poisoned: bool,
}

/// Of which jobs see the number only.
#[derive(Debug, PartialEq, Clone)]
struct Hull {
    wear: f32,
    name: String,
}

impl Describe for Hull {
    fn describe() -> Described<Hull> {
        peristyle_offload::columns!(Hull { wear })
    }
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Name(String);

fn spec() -> JobSnapshotSpec<Hecs> {
    JobSnapshotSpec::new().writes::<Position>()
}

fn tables(spec: JobSnapshotSpec<Hecs>) -> Tables {
    Tables::new(spec.build().unwrap())
}

fn rust(run: impl Fn(&mut RustCall<'_>) -> Result<(), JobError> + Send + Sync + 'static) -> RustJob {
    RustJob::new("job", run)
}

fn world(rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::new();
    let position = |i: usize| Position { x: i as f32, y: 0.0 };
    let spawn = |i: usize| match i % 2 {
        0 => world.spawn((position(i),)),
        _ => world.spawn((position(i), Velocity { x: 1.0, y: 0.0 }, Hull { wear: 0.0, name: format!("hull {i}") })),
    };
    let entities = (0..rows).map(spawn).collect();
    (world, entities)
}

const WAYS: [(Way, usize); 3] = [(Way::Copied, 0), (Way::Copied, 2), (Way::Transferred, 0)];

#[test]
fn patches_of_every_kind_are_applied_in_order_of_rows_after_the_columns() {
    for (way, workers) in WAYS {
        let (mut world, entities) = world(30_000);
        let job = rust(|call| {
            let (xs, mut marks) = (call.column_mut::<f32>("Position", "x")?, call.marks("Position")?);
            for (row, x) in xs.iter_mut().enumerate() {
                let (n, entity) = (*x as u32, call.entity(row));
                *x = -1.0;
                marks.mark(row);
                match n % 6 {
                    0 => call.set_packed("Position", entity, &pack(Position { x: 0.5, y: n as f32 }))?,
                    1 => call.set_packed("Hull", entity, &pack(n as f32))?,
                    2 => {
                        call.add_packed("Health", entity, &pack(Health { points: 1, is_poisoned: false }))?;
                        call.set_packed("Health", entity, &pack(Health { points: n, is_poisoned: true }))?;
                    }
                    3 => call.remove("Velocity", entity)?,
                    4 => call.add("Name", entity, &format!("ünï {n}"))?,
                    _ => call.destroy(entity)?,
                }
            }
            Ok(())
        });
        let spec = spec().patches::<Hull>().patches::<Health>().patches::<Velocity>();
        let mut tables = tables(spec.patches_as(Described::<Name>::by_serde()).despawns());
        let mut offload = Offload::new(tables.shape().clone(), job).with_way(way).unwrap();
        let mut pool = Pool::new(workers).unwrap();
        let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
        assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
        let patches = &report.commit.patches;
        assert_eq!((patches.applied, patches.refused, patches.deferred), (35_000, 0, 0), "{:?}", patches.refusals);
        for (n, entity) in entities.iter().enumerate() {
            let Ok(entity) = world.entity(*entity) else {
                assert_eq!(n % 6, 5);
                continue;
            };
            let position = *entity.get::<&Position>().unwrap();
            match n % 6 {
                0 => assert_eq!(position, Position { x: 0.5, y: n as f32 }),
                _ => assert_eq!(position, Position { x: -1.0, y: 0.0 }),
            }
            let hull = entity.get::<&Hull>().map(|hull| Hull::clone(&hull));
            let expected = Hull { wear: if n % 6 == 1 { n as f32 } else { 0.0 }, name: format!("hull {n}") };
            assert_eq!(hull, (n % 2 == 1).then_some(expected), "what is no column stays");
            let health = entity.get::<&Health>().map(|health| *health);
            assert_eq!(health, (n % 6 == 2).then_some(Health { points: n as u32, is_poisoned: true }));
            assert_eq!(entity.has::<Velocity>(), n % 2 == 1 && n % 6 != 3);
            let name = entity.get::<&Name>().map(|name| Name::clone(&name));
            assert_eq!(name, (n % 6 == 4).then(|| Name(format!("ünï {n}"))));
        }
        // The next frame starts without the last one's patches: one for each row that is left.
        let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
        assert_eq!((report.commit.patches.applied, report.commit.patches.refused), (25_000, 0));
    }
}

#[test]
fn what_cannot_be_applied_is_reported_and_the_others_go_on() {
    let (mut world, entities) = world(4);
    let job = rust(|call| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| call.entity(row));
        let x = pack(Position { x: 9.0, y: 9.0 });
        call.destroy(a)?;
        call.set_packed("Position", a, &x)?;
        call.remove("Health", b)?;
        call.set_packed("Position", b, &x[..4])?;
        call.set("Position", b, &"text")?;
        call.add_packed("Hull", d, &pack(1.0_f32))?;
        call.add_packed("Hull", b, &pack(1.0_f32))?;
        call.add("Name", c, &7)?;
        call.add_packed("Name", c, &[1])?;
        call.add_packed("Health", peristyle_offload::Entity::new(c.index(), c.generation() + 1), &[0; 5])?;
        call.set_packed("Position", c, &x)
    });
    let spec = spec().patches::<Hull>().patches::<Health>().patches_as(Described::<Name>::by_serde()).despawns();
    let mut tables = tables(spec);
    // Rows in the order of tables: 0 and 2, then 1 and 3.
    let rows = [0, 2, 1, 3].map(|row| entities[row]);
    let mut offload = Offload::new(tables.shape().clone(), job);
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(0).unwrap(), STEP).unwrap();
    assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
    let known = |entity: Entity| peristyle_offload::fold(entity.id(), (entity.to_bits().get() >> 32) as u32);
    let [a, b, c, d] = rows.map(known);
    let position = || "Position".to_owned();
    let refused = |index, entity, fault| RefusedPatch { index, entity, fault };
    let dead = peristyle_offload::Entity::new(c.index(), c.generation() + 1);
    let patches = &report.commit.patches;
    assert_eq!((patches.applied, patches.refused, patches.stale), (3, 8, 3));
    let text = |refused: &RefusedPatch| refused.to_string();
    assert!(text(&patches.refusals[0]).starts_with("patches[1]: entity "), "{}", text(&patches.refusals[0]));
    assert!(text(&patches.refusals[5]).contains("component `Name`: invalid type"), "{}", text(&patches.refusals[5]));
    let value_fault = patches.refusals[5].fault.clone();
    let expected = [
        refused(1, a, PatchFault::Gone(a)),
        refused(2, b, PatchFault::Missing { entity: b, component: "Health".into() }),
        refused(3, b, PatchFault::ValueBytes { component: position(), expected_bytes: 8, found_bytes: 4 }),
        refused(4, b, PatchFault::NotText(position())),
        refused(6, b, PatchFault::NotMade("Hull".into())),
        refused(7, c, value_fault),
        refused(8, c, PatchFault::NotPacked("Name".into())),
        refused(9, dead, PatchFault::Gone(dead)),
    ];
    assert_eq!(patches.refusals, expected);
    assert_eq!(world.get::<&Position>(rows[2]).unwrap().x, 9.0);
    assert_eq!(world.get::<&Hull>(rows[3]).unwrap().wear, 1.0, "{d}");
    assert!(!world.contains(rows[0]));
}

#[test]
fn a_component_that_is_not_all_columns_is_added_by_who_says_what_the_rest_is() {
    let (mut world, entities) = world(1);
    let hull = Hull::describe().made_by(|| Hull { wear: 0.0, name: "new".to_owned() });
    let mut tables = tables(JobSnapshotSpec::new().reads::<Position>().patches_as(hull));
    let job = rust(|call| call.add_packed("Hull", call.entity(0), &2.5_f32.to_le_bytes()));
    let mut offload = Offload::new(tables.shape().clone(), job);
    offload.run(&mut tables.of(&mut world), &mut Pool::new(0).unwrap(), STEP).unwrap();
    assert_eq!(*world.get::<&Hull>(entities[0]).unwrap(), Hull { wear: 2.5, name: "new".to_owned() });
}

#[test]
fn an_entity_that_is_no_row_can_be_patched_and_a_stale_one_of_its_index_cannot() {
    let (mut world, _) = world(2);
    let old = world.spawn((Name("old".into()),));
    world.despawn(old).unwrap();
    let young = world.spawn((Name("young".into()),));
    assert_eq!(young.id(), old.id());
    let job = rust(move |call| {
        for entity in [old, young] {
            let entity = peristyle_offload::fold(entity.id(), (entity.to_bits().get() >> 32) as u32);
            call.set("Name", entity, &"patched")?;
        }
        // What a command buffer makes names nobody here.
        call.set("Name", peristyle_offload::Entity::provisional(0, young.id()), &"patched")
    });
    let mut tables = tables(JobSnapshotSpec::new().reads::<Position>().patches_as(Described::<Name>::by_serde()));
    let mut offload = Offload::new(tables.shape().clone(), job).whole();
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(0).unwrap(), STEP).unwrap();
    assert_eq!((report.commit.patches.applied, report.commit.stale()), (1, 2));
    assert_eq!(*world.get::<&Name>(young).unwrap(), Name("patched".into()));
}

#[test]
fn what_was_not_declared_and_what_a_failed_call_gave_does_not_count() {
    let (mut world, _) = world(20_000);
    // One range fails after it gave patches, one gives what it may not.
    let job = rust(|call| {
        call.set_packed("Position", call.entity(0), &pack(Position { x: -5.0, y: 0.0 }))?;
        match call.eids()[0] {
            0 => Err(JobError::Failed("no".into())),
            _ => call.set_packed("Velocity", call.entity(0), &[0; 8]),
        }
    });
    let mut tables = tables(spec().reads::<Velocity>());
    let mut offload = Offload::new(tables.shape().clone(), job);
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(2).unwrap(), STEP).unwrap();
    assert_eq!((report.run.failures.len(), report.commit.patches.applied), (report.run.ranges, 0));
    let refused = |error: &JobError| matches!(error, JobError::Patch { message, .. } if message.contains("`Velocity`"));
    assert!(report.run.failures.iter().any(|failure| refused(&failure.error)), "{:?}", report.run.failures);
    assert_eq!(world.query_mut::<&Position>().into_iter().filter(|position| position.x < 0.0).count(), 0);

    let spec = JobSnapshotSpec::<Hecs>::new();
    let error = spec.writes_as(Described::<Name>::by_serde()).build().map(drop).unwrap_err();
    assert_eq!(error, SpecError::NoColumns("Name".into()));
}

#[test]
fn parts_come_in_one_call_and_a_whole_as_one_part() {
    for ((way, workers), whole) in WAYS.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let (mut world, entities) = world(40_000);
        let parts = RustJob::parts("parts", move |parts| {
            // All parts at once, and what each sees of the others.
            let mut parts: Vec<RustCall<'_>> = parts.collect();
            let rows: Vec<usize> = parts.iter().map(RustCall::rows).collect();
            assert_eq!(rows, if whole { vec![40_000] } else { vec![16_384, 16_384, 7_232] });
            let mut sum = 0.0;
            for part in &mut parts {
                sum += part.column::<f32>("Position", "y")?.iter().map(|y| f64::from(*y)).sum::<f64>();
                let (x, mut marks) = (part.column_mut::<f32>("Position", "x")?, part.marks("Position")?);
                x.iter_mut().for_each(|x| *x += 1.0);
                marks.mark_all();
            }
            let last = parts.last().map(|part| part.entity(part.rows() - 1));
            assert_eq!(sum, 0.0);
            parts[0].set_packed("Position", last.unwrap(), &pack(Position { x: -1.0, y: -1.0 }))
        });
        let mut tables = tables(spec());
        let offload = Offload::new(tables.shape().clone(), parts).with_way(way).unwrap();
        let mut offload = if whole { offload.whole() } else { offload.parts() };
        let mut pool = Pool::new(workers).unwrap();
        let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
        assert_eq!((report.run.ranges, &*report.run.failures), (1, &[][..]));
        assert_eq!((report.commit.written(), report.commit.patches.applied), (40_000, 1));
        let x = |n: usize| world.get::<&Position>(entities[n]).unwrap().x;
        assert_eq!([x(0), x(1), x(20_000), x(39_998), x(39_999)], [1.0, 2.0, 20_001.0, 39_999.0, -1.0]);
    }
    let (mut world, _) = world(10);
    let mut tables = tables(spec());
    let mut offload = Offload::new(tables.shape().clone(), job(|_| Ok(()))).parts();
    let error = offload.run(&mut tables.of(&mut world), &mut Pool::new(0).unwrap(), STEP).map(drop).unwrap_err();
    assert!(matches!(&error, OffloadError::NoParts(job) if job == "closure"), "{error}");
}

#[test]
fn an_atomic_call_of_all_rows_that_fails_leaves_the_world_as_it_was() {
    for parts in [true, false] {
        let (mut world, entities) = world(20_000);
        let totals = SharedColumns::new("Totals", vec![Field::new("n", Scalar::F64)], 4).unwrap();
        totals.lock().column_mut::<f64>("n").unwrap().fill(3.0);
        let failing = RustJob::parts("failing", |mut parts| {
            parts.resource_mut::<f64>("Totals", "n")?.fill(9.0);
            for mut part in parts {
                part.column_mut::<f32>("Position", "x")?.fill(7.0);
                part.marks("Position")?.mark_all();
                part.destroy(part.entity(0))?;
            }
            Err(JobError::Failed("in the end".into()))
        });
        let mut tables = tables(spec().despawns());
        let offload = Offload::new(tables.shape().clone(), failing).writes_columns(&totals).unwrap().atomic();
        let mut offload = if parts { offload.parts() } else { offload.whole() };
        let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(1).unwrap(), STEP).unwrap();
        assert_eq!(report.run.failures[0].rows, 0..20_000);
        assert_eq!((report.commit.written(), report.commit.despawned), (0, 0));
        assert_eq!(world.get::<&Position>(entities[9]).unwrap().x, 9.0);
        assert_eq!(totals.lock().column::<f64>("n").unwrap(), [3.0; 4]);
    }
}

#[test]
fn columns_of_the_user_are_read_by_all_calls_and_written_by_one_after_the_other() {
    for (way, workers) in WAYS {
        let (mut world, entities) = world(30_000);
        let wind = SharedColumns::new("Wind", vec![Field::new("x", Scalar::F32)], 2).unwrap();
        let totals = SharedColumns::new("Totals", vec![Field::new("n", Scalar::U64)], 1).unwrap();
        wind.lock().column_mut::<f32>("x").unwrap().copy_from_slice(&[10.0, 20.0]);
        let blow = rust(|call| {
            let (wind, x) = (call.resource::<f32>("Wind", "x")?, call.column_mut::<f32>("Position", "x")?);
            x.iter_mut().for_each(|x| *x += wind[*x as usize % 2]);
            assert!(call.resource_mut::<f32>("Wind", "x").is_err());
            call.marks("Position").map(|mut marks| marks.mark_all())?;
            Ok(())
        });
        let add = rust(|call| {
            let rows = call.rows() as u64;
            let total = call.resource_mut::<u64>("Totals", "n")?;
            // Lost updates would show: this takes a while.
            let before = total[0];
            (0..1_000).for_each(|n| total[0] = std::hint::black_box(before + n));
            total[0] = before + rows;
            Ok(())
        });
        let mut tables = tables(spec());
        let offload = |job| Offload::new(tables.shape().clone(), job).with_way(way).unwrap();
        let mut blow = offload(blow).reads_columns(&wind).unwrap();
        let mut add = offload(add).writes_columns(&totals).unwrap().reads_columns(&wind).unwrap();
        assert_eq!(add.shape().resources.len(), 2);
        let mut pool = Pool::new(workers).unwrap();
        for _ in 0..2 {
            for offload in [&mut blow, &mut add] {
                let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
                assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
            }
            wind.lock().column_mut::<f32>("x").unwrap().fill(0.0);
        }
        assert_eq!(totals.lock().column::<u64>("n").unwrap(), [60_000]);
        let x = |n: usize| world.get::<&Position>(entities[n]).unwrap().x;
        assert_eq!([x(0), x(1)], [10.0, 21.0]);
        let again = SharedColumns::new("Wind", Vec::new(), 0).unwrap();
        assert_eq!(blow.reads_columns(&again).map(drop).unwrap_err(), SpecError::DuplicateResource("Wind".into()));
    }
}

#[test]
fn two_jobs_that_lock_the_same_columns_in_parallel_take_turns() {
    let columns = ["A", "B"].map(|name| SharedColumns::new(name, vec![Field::new("n", Scalar::U64)], 1).unwrap());
    let threads = [[0, 1], [1, 0]].map(|order| {
        let columns = columns.clone();
        std::thread::spawn(move || {
            let (mut world, _) = world(10);
            let mut tables = tables(spec());
            let job = rust(|call| {
                for name in ["A", "B"] {
                    call.resource_mut::<u64>(name, "n")?[0] += 1;
                }
                Ok(())
            });
            let offload = Offload::new(tables.shape().clone(), job);
            let mut offload =
                order.into_iter().fold(offload, |offload, at| offload.writes_columns(&columns[at]).unwrap());
            let mut pool = Pool::new(0).unwrap();
            for _ in 0..500 {
                offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(columns.each_ref().map(|columns| columns.lock().column::<u64>("n").unwrap()[0]), [1_000; 2]);
}

#[test]
fn a_job_of_the_contract_finds_the_columns_in_the_call() {
    let (mut world, _) = world(10);
    let wind = SharedColumns::new("Wind", vec![Field::new("x", Scalar::F32)], 0).unwrap();
    let job = job(|call| {
        assert_eq!((call.resources.len(), call.resources[0].len), (1, 0));
        assert!(column::<f32>(&call.resources[0]).is_empty());
        Ok(())
    });
    let mut tables = tables(spec());
    let mut offload = Offload::new(tables.shape().clone(), job).reads_columns(&wind).unwrap();
    let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(0).unwrap(), STEP).unwrap();
    assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
}
