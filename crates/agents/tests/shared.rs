//! Shared jobs: views that stay, on a world whose memory the engine made.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use peristyle_agents::{AgentError, Cluster, JsJob};
use peristyle_jobs::{Access, JobError};
use peristyle_layout::Scalar;
use peristyle_memory::RegionError;
use peristyle_schedule::{Job, Mode, Options, ScheduleError, Scheduler, System};
use peristyle_world::{Changed, Component, Entity, World};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Total {
    n: i32,
}

fn shared(cluster: &Cluster, source: &str) -> Result<JsJob, AgentError> {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let name = format!("shared-{}.job.ts", NAMES.fetch_add(1, Ordering::Relaxed));
    // SAFETY: the sources below write what their calls give them and use no view of an earlier call but for the same rows.
    unsafe { cluster.shared_job_from_source(&name, source) }
}

fn spawn(world: &mut World, rows: usize) -> Vec<Entity> {
    world.spawn_batch((0..rows).map(|i| Position { x: i as f32, y: 1.0 })).unwrap().iter().collect()
}

fn world(cluster: &Cluster, rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::on(cluster.memory(256 << 20).unwrap());
    let entities = spawn(&mut world, rows);
    (world, entities)
}

fn scheduler(world: World, workers: usize) -> Scheduler {
    let mode = if workers == 0 { Mode::Serial } else { Mode::Parallel };
    Scheduler::new(world, Options { workers, mode, ..Options::default() }).unwrap()
}

#[track_caller]
fn frame(scheduler: &mut Scheduler) {
    let report = scheduler.run_frame(0.5, 1.0).unwrap();
    assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
}

#[test]
fn a_shared_job_writes_the_worlds_own_columns_and_its_marks_and_despawns_count() {
    let cluster = Cluster::new().unwrap();
    let job = shared(
        &cluster,
        "export function handle({ snap, dt, extra }) {
           const { x, y } = snap.comps.Position.fields;
           if (!snap.shared || !(x.buffer instanceof SharedArrayBuffer)) throw new Error('not shared');
           for (let i = 0; i < snap.rows; i++) x[i] += y[i] * dt;
           if (snap.eids[0] !== extra.first) return;
           snap.comps.Position.changed[0] |= 2;
           snap.despawn[0] |= 8;
         }",
    );
    let (world, entities) = world(&cluster, 40_000);
    let mut scheduler = scheduler(world, 0);
    let first = entities[0].index();
    let job =
        Job::new(job.unwrap()).writes::<Position>().despawns().extra(move |_| serde_json::json!({ "first": first }));
    scheduler.add(System::new("job").job(job)).unwrap();
    let changed = Arc::new(Mutex::new(Vec::new()));
    let seen = changed.clone();
    let watch = System::new("watch").after("job").each_with::<(Entity, &Position), Changed<Position>, _>(move |_| {
        move |_, (entity, _)| seen.lock().unwrap().push(entity)
    });
    scheduler.add(watch).unwrap();
    frame(&mut scheduler);
    assert_eq!(scheduler.world().get::<Position>(entities[1]).unwrap(), Position { x: 1.5, y: 1.0 });
    assert_eq!(scheduler.world().get::<Position>(entities[39_999]).unwrap(), Position { x: 39_999.5, y: 1.0 });
    assert!(!scheduler.world().is_alive(entities[3]) && scheduler.world().is_alive(entities[4]));
    changed.lock().unwrap().clear();
    frame(&mut scheduler);
    // The row that went was replaced by the table's last.
    assert_eq!(*changed.lock().unwrap(), [entities[1]]);
}

#[test]
fn views_are_the_same_from_call_to_call_and_show_what_rust_wrote_in_between() {
    let cluster = Cluster::new().unwrap();
    let job = shared(
        &cluster,
        "let kept;
         export function handle({ snap }) {
           const { x, y } = snap.comps.Position.fields;
           y[0] = kept === undefined ? -1 : kept === x ? kept[0] : -2;
           kept = x;
         }",
    );
    let (world, entities) = world(&cluster, 100);
    let mut scheduler = scheduler(world, 0);
    scheduler.add(System::new("job").job(Job::new(job.unwrap()).writes::<Position>())).unwrap();
    for (x, y) in [(3.0, -1.0), (7.0, 7.0), (9.0, 9.0)] {
        scheduler.world_mut().set(entities[0], Position { x, y: 0.0 }).unwrap();
        frame(&mut scheduler);
        assert_eq!(scheduler.world().get::<Position>(entities[0]).unwrap(), Position { x, y });
    }
}

#[test]
fn several_lanes_count_in_one_element_with_atomics() {
    let cluster = Cluster::new().unwrap();
    let job = shared(
        &cluster,
        "export function handle({ snap }) {
           const { n } = snap.res.Total;
           for (let i = 0; i < snap.rows; i++) Atomics.add(n, 0, 1);
         }",
    );
    let (mut world, _) = world(&cluster, 100_000);
    world.insert_columns::<Total>(1, |total| total.n[0] = 5).unwrap();
    let mut scheduler = scheduler(world, 3);
    let job = Job::new(job.unwrap()).reads::<Position>().reads_columns::<Total>();
    scheduler.add(System::new("job").job(job)).unwrap();
    // Where rows run is measured.
    let mut frames = 0;
    while frames < 10 || cluster.agents() == 1 {
        frame(&mut scheduler);
        frames += 1;
        assert!(frames < 1_000, "only one lane ran");
    }
    assert_eq!(scheduler.world().columns::<Total>().unwrap().n[0], 100_000 * frames + 5);
}

#[test]
fn views_reach_what_the_memory_grew_by() {
    let cluster = Cluster::new().unwrap();
    let text = "export function handle({ snap }) { snap.comps.Position.fields.y.fill(2); }";
    let job = shared(&cluster, text).unwrap();
    let (world, before) = world(&cluster, 1_000);
    let base = world.memory().base();
    let mut scheduler = scheduler(world, 1);
    scheduler.add(System::new("job").job(Job::new(job).writes::<Position>())).unwrap();
    frame(&mut scheduler);
    let world = scheduler.world_mut();
    // Further than what is committed at first.
    let between = world.memory().allocate(150 << 20).unwrap();
    let after = spawn(world, 50_000);
    drop(between);
    frame(&mut scheduler);
    let world = scheduler.world();
    assert_eq!(world.memory().base(), base);
    let y = |entity| world.get::<Position>(entity).unwrap().y;
    assert!(before.iter().chain(&after).all(|entity| y(*entity) == 2.0));
}

#[test]
fn what_only_a_filter_found_is_seen_by_the_job() {
    let cluster = Cluster::new().unwrap();
    let text = "export function handle({ snap }) {
      const { changed } = snap.comps.Position;
      const { n } = snap.res.Total;
      n[0] = 0;
      for (let i = 0; i < snap.rows; i++) if (changed[i >> 3] & (1 << (i & 7))) n[0] += snap.comps.Position.fields.x[i];
    }";
    let job = shared(&cluster, text).unwrap();
    let (mut world, entities) = world(&cluster, 100);
    world.insert_columns::<Total>(1, |_| ()).unwrap();
    let mut scheduler = scheduler(world, 0);
    scheduler.add(System::new("job").job(Job::new(job).changed::<Position>().writes_columns::<Total>())).unwrap();
    frame(&mut scheduler);
    assert_eq!(scheduler.world().columns::<Total>().unwrap().n[0], 99 * 50);
    scheduler.world_mut().set(entities[5], Position { x: 44.0, y: 0.0 }).unwrap();
    frame(&mut scheduler);
    assert_eq!(scheduler.world().columns::<Total>().unwrap().n[0], 44);
}

#[test]
fn another_memory_is_refused_when_the_system_is_added_and_when_it_runs() {
    let cluster = Cluster::new().unwrap();
    let job = shared(&cluster, "export function handle() {}").unwrap();
    assert!(job.is_shared());
    let mut elsewhere = scheduler(World::new().unwrap(), 0);
    let refused = elsewhere.add(System::new("shared system").job(Job::new(job.clone()).writes::<Position>()));
    match refused.map(drop) {
        Err(ScheduleError::Job { system, error: JobError::Memory(why) }) => {
            assert_eq!(system, "shared system");
            assert!(why.contains("Cluster::memory"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // A call says it, too: not everybody who makes one asks before.
    let mut elsewhere = support::World::new(512).component(1, "Position", Access::Write, &[("x", Scalar::F32)]);
    let result = support::on_lane(|lane| elsewhere.run(lane, &job));
    assert!(matches!(result, Err(JobError::Memory(_))), "{result:?}");
}

#[test]
fn only_shared_jobs_have_shared_memory_and_nothing_that_waits() {
    let cluster = Cluster::new().unwrap();
    let check = "
      const has = [typeof SharedArrayBuffer, typeof Atomics, typeof WebAssembly, typeof globalThis.Atomics?.waitAsync];
      let waits = 'no';
      try { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); waits = 'yes'; } catch {}
      if (has.concat(waits).join() !== EXPECTED) throw new Error(has.concat(waits).join());
      export function handle() {}";
    let lent = check.replace("EXPECTED", "'undefined,undefined,undefined,undefined,no'");
    cluster.job_from_source("lent.ts", &lent).unwrap();
    shared(&cluster, &check.replace("EXPECTED", "'function,object,undefined,undefined,no'")).unwrap();
}

#[test]
fn memories_are_bounded_and_outlive_their_cluster() {
    let cluster = Cluster::new().unwrap();
    let error = cluster.memory(Cluster::MEMORY_BYTES_MAX + 1).unwrap_err();
    assert!(matches!(error, RegionError::AboveMax { .. }), "{error}");
    let largest = cluster.memory(Cluster::MEMORY_BYTES_MAX).unwrap();
    assert_eq!(largest.max_bytes(), Cluster::MEMORY_BYTES_MAX);
    let small = cluster.memory(1).unwrap();
    drop(cluster);
    let block = small.allocate(65_536).unwrap();
    assert_eq!((small.max_bytes(), block.ptr().as_ptr().addr() % 64), (65_536, 0));
    // Offsets are those of the engine's memory, where the stacks of kernels come first.
    assert_eq!(block.offset(), 256 << 20);
    assert!(small.allocate(1).is_err());
    let high = largest.allocate(Cluster::MEMORY_BYTES_MAX as usize).unwrap();
    // SAFETY: the block has these bytes and nobody else knows it.
    unsafe {
        let last = high.ptr().add(high.bytes() as usize - 1);
        assert_eq!(last.read(), 0);
        last.write(1);
        assert_eq!(last.read(), 1);
    }
}
