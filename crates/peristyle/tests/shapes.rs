//! TypeScript jobs of every shape on a world, through the scheduler.
#![cfg(feature = "agents")]

use peristyle::{
    Component, Entity, Job, Mode, Options, Scheduler, System, World,
    agents::{Cluster, JsJob},
    schedule::{Difference, Finding},
};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
}

#[derive(Component, Clone, Copy)]
struct Other {
    n: u32,
}

fn scheduler(mode: Mode, workers: usize) -> Scheduler {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..40_000).map(|i| (Position { x: i as f32 }, Velocity { x: 2.0 }))).unwrap();
    world.spawn_batch((0..77).map(|i| (Position { x: -1.0 }, Velocity { x: i as f32 }, Other { n: 0 }))).unwrap();
    Scheduler::new(world, Options { mode, workers, ..Options::default() }).unwrap()
}

fn job(source: &str) -> JsJob {
    Cluster::new().unwrap().job_from_source("test.job.ts", source).unwrap()
}

const STEP: &str = "
type Rows = { rows: number, comps: any, despawn: Uint8Array, eids: Int32Array };
function step({ rows, comps, despawn, eids }: Rows, dt: number, add: number): void {
  const { fields: { x }, changed } = comps.Position, v = comps.Velocity.fields.x;
  for (let row = 0; row < rows; row++) {
    x[row] += v[row] * dt + add;
    if (eids[row] % 3 === 0) changed[row >> 3] |= 1 << (row & 7);
    if (eids[row] % 5000 === 7) despawn[row >> 3] |= 1 << (row & 7);
  }
}
export async function handle({ snap, dt, extra }: { snap: Rows & { parts?: Rows[] }, dt: number, extra: { add: number } }) {
  await null;
  for (const part of snap.parts ?? [snap]) step(part, dt, extra.add);
}";

fn rows(scheduler: &mut Scheduler) -> Vec<(Entity, u32)> {
    let mut rows = Vec::new();
    let mut query = scheduler.world_mut().query::<(Entity, &Position)>();
    query.for_each(scheduler.world_mut(), |(entity, p)| rows.push((entity, p.x.to_bits())));
    rows
}

#[test]
fn an_asynchronous_typescript_job_makes_the_same_world_in_every_shape() {
    let outcome = |mode: Mode, workers: usize, shape: fn(Job) -> Job, checks: Option<u64>| {
        let mut scheduler = scheduler(mode, workers);
        scheduler.set_checks(checks);
        let job = Job::new(job(STEP)).writes::<Position>().reads::<Velocity>().despawns();
        #[derive(serde::Serialize)]
        struct Add {
            add: f32,
        }
        let job = job.extra(|tick| Add { add: tick.number as f32 });
        scheduler.add(System::new("step").job(shape(job))).unwrap();
        let despawned = (0..4)
            .map(|_| {
                let report = scheduler.run_frame(0.5, 0.0).unwrap();
                assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
                report.despawned
            })
            .sum::<u64>();
        assert_eq!(scheduler.take_check_reports(), []);
        (rows(&mut scheduler), despawned)
    };
    let expected = outcome(Mode::Serial, 0, |job| job, None);
    assert_eq!((expected.0.len(), expected.1), (40_068, 9));
    for (mode, workers) in [(Mode::Serial, 0), (Mode::Parallel, 1)] {
        for checks in [None, Some(1)] {
            for shape in [|job| job, Job::parts, Job::whole, Job::atomic, |job: Job| job.parts().atomic()] {
                assert_eq!(outcome(mode, workers, shape, checks), expected, "{mode:?}, {checks:?}");
            }
        }
    }
}

#[test]
fn a_typescript_job_that_throws_is_undone_if_it_is_atomic() {
    let source = "export function handle({ snap }: any) {
      for (const part of snap.parts ?? [snap]) {
        part.comps.Position.fields.x.fill(-5);
        part.comps.Position.changed.fill(255);
        part.despawn.fill(255);
      }
      throw new RangeError('no');
    }";
    for shape in [|job| job, Job::parts, Job::whole] {
        for atomic in [true, false] {
            let mut scheduler = scheduler(Mode::Serial, 0);
            let before = rows(&mut scheduler);
            let job = shape(Job::new(job(source)).writes::<Position>().despawns());
            let job = if atomic { job.atomic() } else { job };
            scheduler.add(System::new("job").job(job)).unwrap();
            let report = scheduler.run_frame(0.0, 0.0).unwrap();
            assert!(report.failures > 0);
            if atomic {
                assert_eq!((rows(&mut scheduler), report.despawned), (before, 0));
            } else {
                assert_eq!((rows(&mut scheduler).len(), report.despawned), (0, before.len() as u64));
            }
        }
    }
}

#[test]
fn a_check_finds_what_a_typescript_job_does_beside_its_work() {
    let found = |source: &str| {
        let mut scheduler = scheduler(Mode::Parallel, 1);
        scheduler.set_checks(Some(9));
        let job = Job::new(job(source)).writes::<Position>().reads::<Velocity>();
        scheduler.add(System::new("job").job(job)).unwrap();
        let findings = scheduler.run_frame(0.5, 0.0).unwrap().findings;
        let reports = scheduler.take_check_reports();
        assert_eq!(findings, reports.len() as u64);
        let mut query = scheduler.world_mut().query::<&Velocity>();
        let mut sum = 0.0;
        query.for_each(scheduler.world_mut(), |v| sum += f64::from(v.x));
        assert_eq!(sum, 80_000.0 + 77.0 * 38.0, "what is only read is as it was");
        reports.into_iter().map(|report| (report.system, report.finding)).collect::<Vec<_>>()
    };
    let writes = "export function handle({ snap }) { snap.comps.Velocity.fields.x[1] = -9; }";
    let read = Finding::WroteReadColumn { component: "Velocity".into(), field: "x".into() };
    assert_eq!(found(writes), [("job".into(), read)]);
    let column = Difference::Column { component: "Position".into(), field: "x".into() };
    let counts = "let calls = 0; export function handle({ snap }) { snap.comps.Position.fields.x.fill(++calls); }";
    assert_eq!(found(counts), [("job".into(), Finding::DependsOnRanges(column.clone()))]);
    let borders = "export function handle({ snap }) { snap.comps.Position.fields.x[0] = 1; }";
    assert_eq!(found(borders), [("job".into(), Finding::DependsOnRanges(column))]);
}
