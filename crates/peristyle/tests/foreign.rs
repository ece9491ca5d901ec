//! TypeScript jobs on a `hecs` world: patches, parts, wholes, and columns that are not the world's.

use hecs::{Entity, World};
use peristyle::agents::{Cluster, JsJob};
use peristyle::jobs::{JobError, Pool};
use peristyle_offload::{
    Columnar, Described, Field, JobSnapshotSpec, Offload, PatchFault, Scalar, SharedColumns, Step, Way,
    hecs::{Hecs, Tables},
};
use serde::{Deserialize, Serialize};

#[derive(Columnar, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Columnar, Clone, Copy, Debug, PartialEq)]
struct Health {
    points: u32,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Name {
    first: String,
    serial: u64,
}

fn world(rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::new();
    let spawn = |i: usize| match i % 2 {
        0 => world.spawn((Position { x: i as f32, y: 0.0 },)),
        _ => world.spawn((Position { x: i as f32, y: 0.0 }, Health { points: 9 })),
    };
    let entities = (0..rows).map(spawn).collect();
    (world, entities)
}

fn job(source: &str) -> JsJob {
    Cluster::new().unwrap().job_from_source("foreign.ts", source).unwrap()
}

fn tables() -> Tables {
    let spec = JobSnapshotSpec::<Hecs>::new().writes::<Position>().patches::<Health>();
    Tables::new(spec.patches_as(Described::<Name>::by_serde()).despawns().build().unwrap())
}

const STEP: Step = Step { dt: 0.5, time: 3.0 };

#[test]
fn a_job_returns_patches_of_every_kind() {
    let source = "
        export const handle = ({ snap, eids, cols }: any) => eids.map((eid: number, i: number) => {
            const n = cols.Position[i].x;
            if (eid !== snap.entity(i)) throw new Error('handles');
            switch (n % 5) {
                case 0: return { kind: 'set', eid, cid: 'Position', value: { x: -n, y: n } };
                case 1: return { kind: 'add', eid, cid: 'Health', value: { points: n } };
                case 2: return { kind: 'add', eid, cid: 'Name', value: { first: `ünï ${n}`, serial: 2n ** 64n - 1n } };
                case 3: return { kind: 'remove', eid, cid: 'Health' };
                default: return { kind: 'destroy', eid };
            }
        });";
    for (way, workers) in [(Way::Copied, 0), (Way::Copied, 2), (Way::Transferred, 0)] {
        let (mut world, entities) = world(20_000);
        let mut tables = tables();
        let mut offload = Offload::new(tables.shape().clone(), job(source)).with_way(way).unwrap();
        let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(workers).unwrap(), STEP).unwrap();
        assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
        let patches = &report.commit.patches;
        // Half of those that are to lose their health have none.
        assert_eq!((patches.applied, patches.refused, patches.stale), (18_000, 2_000, 2_000));
        let missing =
            |fault: &PatchFault| matches!(fault, PatchFault::Missing { component, .. } if component == "Health");
        assert!(patches.refusals.iter().all(|refused| missing(&refused.fault)), "{:?}", patches.refusals[0]);
        for (n, entity) in entities.iter().enumerate() {
            let Ok(entity) = world.entity(*entity) else {
                assert_eq!(n % 5, 4);
                continue;
            };
            let x = if n % 5 == 0 { -(n as f32) } else { n as f32 };
            assert_eq!(entity.get::<&Position>().unwrap().x, x);
            let points = entity.get::<&Health>().map(|health| health.points);
            let expected = match n % 5 {
                1 => Some(n as u32),
                3 => None,
                _ => (n % 2 == 1).then_some(9),
            };
            assert_eq!(points, expected);
            let name = entity.get::<&Name>().map(|name| Name::clone(&name));
            assert_eq!(name, (n % 5 == 2).then(|| Name { first: format!("ünï {n}"), serial: u64::MAX }));
        }
    }
}

#[test]
fn a_component_that_was_not_declared_fails_the_call_and_a_dead_entity_does_not() {
    let (mut world, entities) = world(10);
    let source = "
        export const handle = ({ snap, extra }: any) => [
            { kind: 'set', eid: snap.entity(0) + 2 ** 32, cid: 'Position', value: { x: 1, y: 1 } },
            { kind: 'set', eid: snap.entity(0), cid: extra, value: { x: 1, y: 1 } },
        ];";
    let run = |world: &mut World, cid: &'static str| {
        let mut tables = tables();
        let mut offload = Offload::new(tables.shape().clone(), job(source)).extra(move |_| cid);
        let report = offload.run(&mut tables.of(world), &mut Pool::new(0).unwrap(), STEP).unwrap();
        (report.run.failures.first().map(|failure| failure.error.clone()), report.commit.patches.clone())
    };
    let (error, patches) = run(&mut world, "Position");
    assert_eq!((error, patches.applied, patches.stale), (None, 1, 1));
    assert_eq!(world.get::<&Position>(entities[0]).unwrap().x, 1.0);
    let (error, patches) = run(&mut world, "Nothing");
    let named = |error: &JobError| error.to_string().contains("patches[1]: cid is \"Nothing\"");
    assert!(error.as_ref().is_some_and(named) && patches.applied == 0, "{error:?}");
}

#[test]
fn parts_and_a_whole_see_all_rows_and_columns_of_the_user() {
    let source = "
        export function handle({ snap }: any) {
            const { wind } = snap.res.Weather, parts = snap.parts ?? [snap];
            snap.res.Calls.n[0] += 1;
            snap.res.Calls.n[1] += parts.length;
            let rows = 0;
            for (const part of parts) {
                const { x } = part.comps.Position.fields;
                for (let i = 0; i < part.rows; i++) x[i] += wind[0];
                part.comps.Position.changed.fill(255);
                rows += part.rows;
            }
            if (rows !== snap.rows) throw new Error('rows');
            return [{ kind: 'set', eid: parts.at(-1).entity(0), cid: 'Position', value: { x: 0, y: 7 } }];
        }";
    for whole in [false, true] {
        let (mut world, entities) = world(40_000);
        let weather = SharedColumns::new("Weather", vec![Field::new("wind", Scalar::F64)], 1).unwrap();
        let calls = SharedColumns::new("Calls", vec![Field::new("n", Scalar::U32)], 2).unwrap();
        weather.lock().column_mut::<f64>("wind").unwrap()[0] = 0.5;
        let mut tables = tables();
        let offload = Offload::new(tables.shape().clone(), job(source)).reads_columns(&weather).unwrap();
        let offload = offload.writes_columns(&calls).unwrap();
        let mut offload = if whole { offload.whole() } else { offload.parts() };
        let mut pool = Pool::new(1).unwrap();
        for _ in 0..2 {
            let report = offload.run(&mut tables.of(&mut world), &mut pool, STEP).unwrap();
            assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
            assert_eq!((report.run.ranges, report.commit.patches.applied), (1, 1));
        }
        assert_eq!(calls.lock().column::<u32>("n").unwrap(), if whole { [2, 2] } else { [2, 6] });
        let patched = |n: usize| world.get::<&Position>(entities[n]).unwrap().y == 7.0;
        // Rows are those of one table, then of the other.
        assert!(if whole { patched(0) } else { patched((32_768 - 20_000) * 2 + 1) });
        assert_eq!(world.get::<&Position>(entities[8]).unwrap().x, 9.0);
    }
}

#[test]
fn a_job_sees_what_is_no_column_as_copies_and_writes_it_by_patches() {
    let source = "
        export const handle = ({ snap, eids, cols }: any) => eids.flatMap((eid: number, i: number) => {
            const name = snap.comps.Name.values[i];
            if (cols.Name[i] !== name) throw new Error('two copies');
            const kept = name.serial;
            name.serial = 0;
            return name.first === 'odd' ? [{ kind: 'set', eid, cid: 'Name', value: { first: 'seen', serial: kept } }] : [];
        });";
    let tables = || {
        let spec = JobSnapshotSpec::<Hecs>::new().reads::<Position>().reads_as(Described::<Name>::by_serde());
        Tables::new(spec.patches_as(Described::<Name>::by_serde()).build().unwrap())
    };
    for (way, workers) in [(Way::Copied, 0), (Way::Copied, 2), (Way::Transferred, 0)] {
        let mut world = World::new();
        let spawn = |i: usize| {
            let first = if i.is_multiple_of(2) { "even" } else { "odd" };
            world.spawn((Position { x: i as f32, y: 0.0 }, Name { first: first.into(), serial: u64::MAX - i as u64 }))
        };
        let entities: Vec<_> = (0..2_000).map(spawn).collect();
        let mut tables = tables();
        let mut offload = Offload::new(tables.shape().clone(), job(source)).with_way(way).unwrap();
        let report = offload.run(&mut tables.of(&mut world), &mut Pool::new(workers).unwrap(), STEP).unwrap();
        assert!(report.run.failures.is_empty(), "{:?}", report.run.failures);
        assert_eq!(report.commit.patches.applied, 1_000);
        for (n, entity) in entities.iter().enumerate() {
            let name = Name::clone(&world.get::<&Name>(*entity).unwrap());
            // What the job did to its copy is nobody's, all digits came back, and only patches were written.
            let first = if n % 2 == 0 { "even" } else { "seen" };
            assert_eq!(name, Name { first: first.into(), serial: u64::MAX - n as u64 });
        }
    }
}
