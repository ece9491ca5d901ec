//! Patches from a JavaScript job to the world: the example of the older contract, and what goes wrong on the way.
#![cfg(feature = "agents")]

use std::{fs, path::PathBuf};

use peristyle::{
    Component, Entity, Job, Mode, Options, Scheduler, System, World,
    agents::{Cluster, JsJob},
};

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Pos {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Vel {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Health {
    points: u32,
}

/// A job file, removed in the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("peristyle-{}-{name}.job.ts", std::process::id()));
        fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn job(name: &str, text: &str) -> (File, Cluster, JsJob) {
    let file = File::new(name, text);
    let cluster = Cluster::new().unwrap();
    let job = cluster.job(&file.0).unwrap();
    (file, cluster, job)
}

fn world(rows: usize) -> World {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..rows).map(|i| (Pos { x: i as f32, y: 0.0 }, Vel { x: 1.0, y: i as f32 }))).unwrap();
    world
}

fn scheduler(world: World, workers: usize, mode: Mode) -> Scheduler {
    Scheduler::new(world, Options { workers, mode, ..Options::default() }).unwrap()
}

fn rows(world: &mut World) -> Vec<(Entity, Option<Pos>, Option<Health>)> {
    let mut all = Vec::new();
    world.query::<Entity>().for_each(world, |entity| all.push(entity));
    all.into_iter().map(|e| (e, world.get::<Pos>(e).ok(), world.get::<Health>(e).ok())).collect()
}

#[test]
fn the_physics_of_the_older_contract_moves_everybody() {
    let (_file, _cluster, js) = job(
        "physics",
        "export function handle({ eids, cols, dt, extra }) {
             return eids.flatMap((eid, i) => {
                 const p = cols[extra.POS][i], v = cols[extra.VEL][i];
                 return p && v ? [{ kind: 'set', eid, cid: extra.POS, value: { x: p.x + v.x * dt, y: p.y + v.y * dt } }] : [];
             });
         }",
    );
    let mut world = world(70_000);
    let ids = (world.register::<Pos>().index(), world.register::<Vel>().index());
    let mut scheduler = scheduler(world, 1, Mode::Parallel);
    let job = Job::new(js).reads::<Vel>().writes::<Pos>();
    let job = job.extra(move |_| serde_json::json!({ "POS": ids.0, "VEL": ids.1 }));
    scheduler.add(System::new("physics").job(job)).unwrap();
    for _ in 0..2 {
        let report = scheduler.run_frame(0.5, 0.0).unwrap();
        assert_eq!((report.failures, report.refused_patches), (0, 0), "{:?}", scheduler.take_failures());
    }
    let all = rows(scheduler.world_mut());
    for (i, (entity, pos, _)) in all.iter().enumerate() {
        assert_eq!((entity.index() as usize, *pos), (i, Some(Pos { x: i as f32 + 1.0, y: i as f32 })));
    }
}

fn mixed(workers: usize, mode: Mode) -> Vec<(Entity, Option<Pos>, Option<Health>)> {
    let (_file, _cluster, js) = job(
        &format!("mixed-{workers}"),
        "export default async ({ eids, cols }) => eids.map((eid, i) => {
             switch (cols.Pos[i].x % 4) {
                 case 0: return { kind: 'add', eid, cid: 'Health', value: { points: cols.Pos[i].x } };
                 case 1: return { kind: 'destroy', eid };
                 case 2: return { kind: 'remove', eid, cid: 'Pos' };
                 default: return { kind: 'set', eid, cid: 'Pos', value: { x: -1, y: -1 } };
             }
         });",
    );
    let mut scheduler = scheduler(world(40_000), workers, mode);
    let job = Job::new(js).writes::<Pos>().patches::<Health>().despawns();
    scheduler.add(System::new("mixed").job(job)).unwrap();
    let report = scheduler.run_frame(0.5, 0.0).unwrap();
    assert_eq!((report.failures, report.refused_patches), (0, 0), "{:?}", scheduler.take_failures());
    rows(scheduler.world_mut())
}

#[test]
fn structural_patches_give_the_same_world_on_one_worker_or_many() {
    let serial = mixed(0, Mode::Serial);
    assert_eq!(serial.len(), 30_000);
    assert_eq!(serial.iter().filter(|row| row.2.is_some()).count(), 10_000);
    assert_eq!(serial.iter().filter(|row| row.1.is_none()).count(), 10_000);
    assert_eq!(serial.iter().filter(|row| row.1 == Some(Pos { x: -1.0, y: -1.0 })).count(), 10_000);
    for workers in [1, 2] {
        assert!(mixed(workers, Mode::Parallel) == serial, "{workers} workers");
    }
}

#[test]
fn a_patch_for_somebody_who_is_gone_is_reported_and_the_frame_goes_on() {
    let (_file, _cluster, js) = job(
        "gone",
        "export const handle = ({ eids: [a, b] }) => [{ kind: 'destroy', eid: a }, { kind: 'set', eid: a, cid: 'Pos', value: { x: 0, y: 0 } },
             { kind: 'set', eid: b, cid: 'Pos', value: { x: 9, y: 9 } }];",
    );
    let mut scheduler = scheduler(world(2), 0, Mode::Serial);
    scheduler.add(System::new("late").job(Job::new(js).writes::<Pos>().despawns())).unwrap();
    let report = scheduler.run_frame(0.5, 0.0).unwrap();
    assert_eq!((report.failures, report.refused_patches, report.stale_commands), (0, 1, 1));
    let refused = scheduler.take_refused_patches();
    assert_eq!(refused[0].system, "late");
    assert!(refused[0].to_string().contains("patches[1]"), "{}", refused[0]);
    assert_eq!(rows(scheduler.world_mut())[0].1, Some(Pos { x: 9.0, y: 9.0 }));
}

#[test]
fn a_list_with_a_wrong_patch_fails_its_call_by_name_and_changes_nothing() {
    let (_file, _cluster, js) = job(
        "wrong",
        "export const handle = ({ eids }) => [{ kind: 'destroy', eid: eids[0] }, { kind: 'set', eid: eids[1], cid: 'Vel', value: {} }];",
    );
    let mut scheduler = scheduler(world(2), 0, Mode::Serial);
    scheduler.add(System::new("wrong").job(Job::new(js).writes::<Pos>().reads::<Vel>().despawns())).unwrap();
    assert_eq!(scheduler.run_frame(0.5, 0.0).unwrap().failures, 1);
    let failure = scheduler.take_failures()[0].to_string();
    let expected = "patches[1]: cid is \"Vel\", which the job did not declare that it writes or patches";
    assert!(failure.contains(expected), "{failure}");
    assert_eq!(scheduler.world().len(), 2);
}
