//! Clusters, lanes and threads come and go in any order.

mod support;

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use peristyle_agents::{Cluster, JsJob};
use peristyle_jobs::Access::Write;
use peristyle_jobs::{Lane, Pool, Work};
use peristyle_layout::Scalar;
use peristyle_schedule::{Job, Options, Scheduler, System};
use peristyle_world::Component;
use support::{Files, World, job_of, on_lane};

const COUNT: &str = "let calls = 0; export function handle({ snap }) { snap.comps.P.fields.x[0] = ++calls; }";

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
}

fn world() -> World {
    World::new(512).component(1, "P", Write, &[("x", Scalar::F32)])
}

#[test]
fn several_lanes_run_one_job_at_once() {
    struct Ranges(JsJob, Vec<Mutex<World>>, AtomicU64);
    impl Work for Ranges {
        fn run(&self, range: u32, lane: &mut Lane) {
            self.2.fetch_or(1 << lane.index(), Ordering::Relaxed);
            self.1[range as usize].lock().unwrap().run(lane, &self.0).unwrap();
        }
    }
    let text = "export function handle({ snap }) { const { x } = snap.comps.P.fields; for (let k = 0; k < 100; k++) for (let i = 0; i < snap.rows; i++) x[i] += 1; }";
    let (_files, cluster, job) = job_of(text);
    let work = Ranges(job.unwrap(), (0..64).map(|_| Mutex::new(world())).collect(), AtomicU64::new(0));
    let mut pool = Pool::new(3).unwrap();
    for _ in 0..20 {
        pool.scope(|scope| scope.run(&work, 64, 3)).unwrap();
    }
    assert!(work.1.iter().all(|world| world.lock().unwrap().columns[0].get::<f32>().iter().all(|x| *x == 2000.0)));
    assert!(cluster.agents() as u32 >= work.2.load(Ordering::Relaxed).count_ones());
    drop(pool);
    assert_eq!(cluster.agents(), 0, "a pool takes its agents along");
}

#[test]
fn each_lane_has_an_agent_of_its_own() {
    let (_files, _cluster, job) = job_of(COUNT);
    let job = job.unwrap();
    for _ in 0..2 {
        let mut world = world();
        on_lane(|lane| (0..3).for_each(|_| world.run(lane, &job).unwrap()));
        assert_eq!(world.columns[0].get::<f32>()[0], 3.0);
    }
}

#[test]
fn two_clusters_live_on_one_thread() {
    let (_files, one, a) = job_of(COUNT);
    let (_files, two, b) = job_of(COUNT);
    let (a, b) = (a.unwrap(), b.unwrap());
    let mut world = world();
    let (mut first, mut second) = (Pool::new(0).unwrap(), Pool::new(0).unwrap());
    first.scope(|scope| scope.with_lane(|lane| world.run(lane, &a))).unwrap();
    first.scope(|scope| scope.with_lane(|lane| world.run(lane, &b))).unwrap();
    second.scope(|scope| scope.with_lane(|lane| world.run(lane, &a))).unwrap();
    assert_eq!((one.agents(), two.agents()), (2, 1));
    drop(first);
    assert_eq!((one.agents(), two.agents()), (1, 0));
    second.scope(|scope| scope.with_lane(|lane| world.run(lane, &a))).unwrap();
    assert_eq!(world.columns[0].get::<f32>()[0], 2.0);
}

#[test]
fn clusters_are_dropped_before_and_after_their_lanes() {
    for _ in 0..10 {
        let (_files, cluster, job) = job_of(COUNT);
        let job = job.unwrap();
        let mut pool = Pool::new(1).unwrap();
        let mut world = world();
        pool.scope(|scope| scope.with_lane(|lane| world.run(lane, &job))).unwrap();
        drop(cluster);
        pool.scope(|scope| scope.with_lane(|lane| world.run(lane, &job))).unwrap();
        drop(job);
        drop(pool);

        let (_files, cluster, job) = job_of(COUNT);
        let mut pool = Pool::new(1).unwrap();
        pool.scope(|scope| scope.with_lane(|lane| world.run(lane, &job.unwrap()))).unwrap();
        drop(pool);
        assert_eq!(cluster.agents(), 0);
    }
}

#[test]
fn a_thread_may_end_before_its_pool() {
    let (_files, cluster, job) = job_of(COUNT);
    let job = job.unwrap();
    for _ in 0..5 {
        let job = job.clone();
        let pool = thread::spawn(move || {
            let mut pool = Pool::new(1).unwrap();
            let mut world = world();
            pool.scope(|scope| scope.with_lane(|lane| world.run(lane, &job))).unwrap();
            pool
        });
        // Its lane 0 lies in a thread-local of the thread that ended.
        let pool = pool.join().unwrap();
        assert_eq!(cluster.agents(), 0);
        drop(pool);
    }
}

/// Ends the process in the way that the variable names; run by the test below in processes of its own.
#[test]
fn end() {
    let Ok(way) = std::env::var("PERISTYLE_TEST_END") else { return };
    let files = Files::with(&[("a.ts", COUNT), ("endless.ts", "export function handle() { for (;;); }")]);
    let cluster = Cluster::new().unwrap();
    let job = cluster.job(files.path("a.ts")).unwrap();
    let endless = cluster.job(files.path("endless.ts")).unwrap();
    let mut pool = Pool::new(1).unwrap();
    pool.scope(|scope| scope.with_lane(|lane| world().run(lane, &job))).unwrap();
    let memory = cluster.memory(1 << 20).unwrap();
    println!("before the end");
    match way.as_str() {
        "tidy" => drop((pool, job, endless, cluster, memory)),
        "leak" => std::mem::forget((pool, job, endless, cluster, memory)),
        "exit" => std::process::exit(7),
        "exit-other" => {
            thread::spawn(|| std::process::exit(7)).join().unwrap();
        }
        "exit-running" => {
            thread::spawn(move || on_lane(|lane| World::new(1).run(lane, &endless)));
            thread::sleep(std::time::Duration::from_millis(100));
            std::process::exit(7);
        }
        "leak-running" => {
            thread::spawn(move || on_lane(|lane| World::new(1).run(lane, &endless)));
            thread::sleep(std::time::Duration::from_millis(100));
            std::mem::forget((pool, cluster));
        }
        "exit-kernel" => {
            let module = r#"(module (import "env" "memory" (memory 1 65536 shared))
              (func (export "handle") (param i32) (loop $for (br $for))))"#;
            // SAFETY: the kernel touches nothing.
            let kernel = unsafe { cluster.kernel_from_bytes("endless", &wat::parse_str(module).unwrap()) }.unwrap();
            thread::spawn(move || {
                let mut world = peristyle_world::World::on(memory);
                world.spawn((Position { x: 0.0 },)).unwrap();
                let mut scheduler = Scheduler::new(world, Options { workers: 0, ..Options::default() }).unwrap();
                scheduler.add(System::new("endless").job(Job::new(kernel).reads::<Position>())).unwrap();
                scheduler.run_frame(0.5, 0.0)
            });
            thread::sleep(std::time::Duration::from_millis(100));
            std::process::exit(7);
        }
        "panic" => panic!("as asked"),
        other => panic!("{other}"),
    }
}

#[test]
fn processes_end_well_however_they_end() {
    for (way, code) in [
        ("tidy", 0),
        ("leak", 0),
        ("exit", 7),
        ("exit-other", 7),
        ("exit-running", 7),
        ("leak-running", 0),
        ("exit-kernel", 7),
        ("panic", 101),
    ] {
        for threads in ["1", "2"] {
            for _ in 0..5 {
                let output = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "end", "--nocapture", "--test-threads", threads])
                    .env("PERISTYLE_TEST_END", way)
                    .output()
                    .unwrap();
                let text = String::from_utf8_lossy(&output.stdout);
                assert_eq!(
                    output.status.code(),
                    Some(code),
                    "{way}: {text} {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                assert!(text.contains("before the end"), "{way}: {text}");
            }
        }
    }
}
