//! Patches of jobs and systems: merged when the stage ends, in an order that depends on nobody's speed.

mod support;

use std::collections::BTreeMap;

use peristyle_jobs::{JobCall, JobError, Lane};
use peristyle_schedule::{Job, Mode, Scheduler, System};
use peristyle_world::{
    Component, Entity, PatchBytes, PatchError, PatchKind, PatchRecord, PatchValue, World, WorldError, WorldPatch,
};
use support::*;

#[derive(Component, serde::Serialize, serde::Deserialize, Debug, PartialEq, Clone)]
#[component(opaque)]
struct Note(String);

fn eids(call: &JobCall<'_>) -> Vec<Entity> {
    column::<u32>(&call.eids).iter().map(|index| call.entities.entity(*index)).collect()
}

fn patch(kind: PatchKind, entity: Entity, component: u32, value: PatchBytes<'_>) -> PatchRecord<'_> {
    PatchRecord { kind, entity, component, value }
}

/// Gives a patch of one kind or another for every third row whose turn it is.
fn mixed(c: u32, note: u32) -> impl Fn(&mut Lane, &JobCall<'_>) -> Result<(), JobError> {
    move |_, call| {
        for (x, entity) in column::<f32>(&call.columns[0]).iter().zip(eids(call)) {
            let n = (x.abs() + toil(10) * 0.0) as u32;
            if n % 3 != call.time as u32 {
                continue;
            }
            match n / 3 % 5 {
                0 => call.patch(&patch(PatchKind::Add, entity, c, PatchBytes::Packed(&n.to_le_bytes())))?,
                1 => call.patch(&patch(PatchKind::Destroy, entity, 0, PatchBytes::None))?,
                2 => call.patch(&patch(PatchKind::Set, entity, 0, PatchBytes::Packed(&(-*x).to_le_bytes())))?,
                3 => call.patch(&patch(PatchKind::Add, entity, note, PatchBytes::Text(&format!("\"{n}\""))))?,
                _ => call.patch(&patch(PatchKind::Remove, entity, 0, PatchBytes::None))?,
            }
        }
        Ok(())
    }
}

type Rows = BTreeMap<Entity, (Option<A>, Option<C>, Option<Note>)>;

/// Every entity's components, and the order of rows.
fn state(world: &mut World) -> (Rows, Vec<Entity>) {
    let mut order = Vec::new();
    world.query::<Entity>().for_each(world, |entity| order.push(entity));
    let of = |e: Entity| (world.get::<A>(e).ok(), world.get::<C>(e).ok(), world.get::<Note>(e).ok().cloned());
    (order.iter().map(|entity| (*entity, of(*entity))).collect(), order)
}

fn run_mixed(rows: usize, mode: Mode, workers: usize) -> (Rows, Vec<Entity>) {
    let mut world = world_of(rows);
    let (a, c, note) =
        (world.register::<A>().index(), world.register::<C>().index(), world.register_serde::<Note>().index());
    assert_eq!(a, 0);
    let mut scheduler = scheduler(world, mode, workers);
    let job = Job::new(Closure(mixed(c, note))).writes::<A>().patches::<C>().patches::<Note>().despawns();
    scheduler.add(System::new("mixed").job(job)).unwrap();
    // The first frame is measured; later ones are split where there are workers.
    for turn in 0..3 {
        let report = scheduler.run_frame(0.0, f64::from(turn)).unwrap();
        assert_eq!((report.failures, report.refused_patches, report.stale_commands), (0, 0, 0));
    }
    state(scheduler.world_mut())
}

#[test]
fn one_worker_or_many_give_the_same_world_to_the_order_of_rows() {
    // Beyond 65 536, so that no index fits into sixteen bits.
    let serial = run_mixed(75_000, Mode::Serial, 0);
    assert_eq!(serial.0.len(), 60_000);
    assert_eq!(serial.0.iter().filter(|(_, (a, ..))| a.is_some_and(|a| a.x < 0.0)).count(), 15_000);
    assert_eq!(serial.0.iter().filter(|(_, (a, ..))| a.is_none()).count(), 15_000);
    assert_eq!(serial.0.iter().filter(|(_, (_, c, _))| c.is_some()).count(), 15_000);
    assert!(serial.0.values().any(|(.., note)| *note == Some(Note("74996".into()))));
    for workers in [1, 3] {
        assert!(run_mixed(75_000, Mode::Parallel, workers) == serial, "{workers} workers");
    }
}

#[test]
fn rows_stay_where_they_are_until_the_stage_ends() {
    let mut world = world_of(1_000);
    let c = world.register::<C>().index();
    let mut scheduler = serial(world);
    let first = Job::new(Closure(move |_: &mut Lane, call: &JobCall<'_>| {
        eids(call).into_iter().try_for_each(|entity| {
            call.patch(&patch(PatchKind::Add, entity, c, PatchBytes::Packed(&1_u32.to_le_bytes())))
        })
    }));
    let log = Log::default();
    let seen = log.clone();
    let second = Job::new(Closure(move |_: &mut Lane, call: &JobCall<'_>| {
        seen.push(format!("{} rows", call.rows));
        Ok(())
    }));
    scheduler.add(System::new("first").job(first.reads::<A>().patches::<C>())).unwrap();
    scheduler.add(System::new("second").after("first").job(second.reads::<A>().without::<C>())).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["1000 rows"]);
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), [""; 0]);
}

fn one_job(rows: usize, job: impl FnOnce(&mut World) -> Job) -> Scheduler {
    let mut world = world_of(rows);
    let job = job(&mut world);
    let mut scheduler = serial(world);
    scheduler.add(System::new("job").job(job)).unwrap();
    scheduler
}

#[test]
fn what_was_not_declared_fails_the_call_and_none_of_its_patches_counts() {
    let cases: [(PatchKind, u32, &str); 4] = [
        (PatchKind::Set, 1, "patches[0]: the job did not declare that it writes or patches component `B`"),
        (PatchKind::Remove, 2, "patches[0]: the job did not declare that it writes or patches component 2"),
        (PatchKind::Add, 99, "patches[0]: the job did not declare that it writes or patches component 99"),
        (PatchKind::Destroy, 0, "patches[0]: the job did not declare that it despawns"),
    ];
    for (kind, component, expected) in cases {
        let mut scheduler = one_job(10, |world| {
            assert_eq!((world.register::<B>().index(), world.register::<C>().index()), (1, 2));
            let entities: Vec<Entity> = state(world).1;
            for entity in entities {
                world.insert(entity, B { x: 0.0, y: 0.0 }).unwrap();
            }
            Job::new(Closure(move |_: &mut Lane, call: &JobCall<'_>| {
                let entity = eids(call)[0];
                call.patch(&patch(PatchKind::Remove, entity, 0, PatchBytes::None))?;
                let value = if kind.has_value() { PatchBytes::Packed(&[0; 8]) } else { PatchBytes::None };
                call.patch(&patch(kind, entity, component, value))
            }))
            .writes::<A>()
            .reads::<B>()
        });
        let report = scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(report.failures, 1);
        assert_eq!(scheduler.take_failures()[0].error.to_string(), expected);
        assert!(state(scheduler.world_mut()).0.values().all(|(a, ..)| a.is_some()));
    }
}

#[test]
fn bytes_are_taken_whole_or_not_at_all() {
    let mut scheduler = one_job(4, |_| {
        Job::new(Closure(|_: &mut Lane, call: &JobCall<'_>| {
            let mut records = peristyle_world::PatchBuffer::new();
            let entities = eids(call);
            records.destroy(entities[0]);
            records.destroy(entities[1]);
            let cut = &records.bytes()[..31];
            let error = call.patch_bytes(cut).unwrap_err().to_string();
            assert_eq!(error, "patches[1]: the patch at byte 16 ends 1 bytes too early");
            assert_eq!(call.patch_bytes(records.bytes()), Ok(2));
            Ok(())
        }))
        .reads::<A>()
        .despawns()
    });
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!((report.failures, report.refused_patches), (0, 0), "{:?}", scheduler.take_failures());
    assert_eq!(scheduler.world().len(), 2);
}

#[test]
fn patches_that_come_too_late_or_do_not_fit_are_counted_and_named_with_their_system() {
    let mut scheduler = one_job(3, |world| {
        let c = world.register::<C>().index();
        Job::new(Closure(move |_: &mut Lane, call: &JobCall<'_>| {
            let entities = eids(call);
            call.patch(&patch(PatchKind::Destroy, entities[0], 0, PatchBytes::None))?;
            call.patch(&patch(PatchKind::Add, entities[0], c, PatchBytes::Packed(&[0; 4])))?;
            call.patch(&patch(PatchKind::Add, entities[1], c, PatchBytes::Packed(&[0; 3])))?;
            call.patch(&patch(PatchKind::Add, entities[2], c, PatchBytes::Packed(&[7, 0, 0, 0])))
        }))
        .reads::<A>()
        .patches::<C>()
        .despawns()
    });
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!((report.refused_patches, report.stale_commands, report.failures), (2, 1, 0));
    let refused = scheduler.take_refused_patches();
    assert!(matches!(&refused[0].error, PatchError::World(WorldError::Stale(_))));
    assert!(refused[0].to_string().starts_with("`job` gave patches[1] in tick 1, which was not applied: entity 0v1"));
    assert!(matches!(&refused[1].error, PatchError::ValueBytes { expected_bytes: 4, found_bytes: 3, .. }));
    let values: Vec<_> = state(scheduler.world_mut()).0.into_values().map(|(_, c, _)| c).collect();
    assert_eq!(values, [None, Some(C { n: 7 })]);
    assert!(scheduler.take_refused_patches().is_empty());
}

#[test]
fn a_rust_system_gives_patches_among_its_commands() {
    let mut world = world_of(3);
    let all = state(&mut world).1;
    let (a, c) = (world.register::<A>(), world.register::<C>());
    let mut scheduler = serial(world);
    let system = System::new("system").run(move |_| {
        move |context| {
            let commands = context.commands();
            let new = commands.spawn(A { x: 5.0 });
            commands.patch(&WorldPatch::Add { entity: new, component: c, value: PatchValue::packed(C { n: 1 }) });
            commands.patch(&WorldPatch::Remove { entity: all[0], component: a });
        }
    });
    scheduler.add(system).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    let rows = state(scheduler.world_mut()).0;
    assert_eq!(rows.len(), 4);
    assert!(rows.values().any(|row| row.0 == Some(A { x: 5.0 }) && row.1 == Some(C { n: 1 })));
    assert_eq!(rows.values().filter(|row| row.0.is_none()).count(), 1);
}
