//! Memory stays where it is. One test: it measures the whole process.

mod support;

use std::thread;
use std::time::Duration;

use peristyle_agents::Cluster;
use peristyle_jobs::Access::Write;
use peristyle_jobs::JobRunner;
use peristyle_layout::Scalar;
use peristyle_schedule::{Job, Options, Scheduler, System};
use peristyle_world::Component;
use support::{World, job_of, on_lane};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
}

#[test]
fn memory_stays_where_it_is() {
    a_million_views_leave_the_memory_as_it_was();
    many_agents_in_turn_leave_nothing_behind();
    many_clusters_in_turn_on_one_lane_leave_nothing_behind();
    worlds_on_the_engines_memories_leave_no_addresses_behind();
}

fn world() -> World {
    World::new(512).component(1, "P", Write, &[("x", Scalar::F32)])
}

fn many_agents_in_turn_leave_nothing_behind() {
    let (_files, cluster, job) = job_of("export function handle() {}");
    let job = job.unwrap();
    let one = || thread::scope(|scope| scope.spawn(|| on_lane(|lane| job.prepare(lane)).unwrap()).join().unwrap());
    (0..20).for_each(|_| one());
    let before = resident_kib();
    (0..60).for_each(|_| one());
    settles_below(before + 8 * 1024, before);
    assert_eq!(cluster.agents(), 0);
}

fn a_million_views_leave_the_memory_as_it_was() {
    let (_files, _cluster, job) = job_of("export function handle({ snap }) { snap.eids; }");
    let job = job.unwrap();
    let mut world = world().despawns();
    on_lane(|lane| {
        (0..50_000).for_each(|_| world.run(lane, &job).unwrap());
        let before = resident_kib();
        (0..300_000).for_each(|_| world.run(lane, &job).unwrap());
        settles_below(before + 8 * 1024, before);
    });
}

/// The engine gives memory back on threads of its own, which on a busy machine come late.
#[track_caller]
fn settles_below(bound_kib: u64, before_kib: u64) {
    let is_below = (0..1000).any(|_| {
        let is_below = resident_kib() < bound_kib;
        if !is_below {
            thread::sleep(Duration::from_millis(10));
        }
        is_below
    });
    assert!(is_below, "{before_kib} KiB became {}", resident_kib());
}

fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn many_clusters_in_turn_on_one_lane_leave_nothing_behind() {
    on_lane(|lane| {
        let mut one = || {
            let (_files, _cluster, job) = job_of("export function handle() {}");
            job.unwrap().prepare(lane).unwrap();
        };
        (0..30).for_each(|_| one());
        let before = resident_kib();
        (0..90).for_each(|_| one());
        settles_below(before + 12 * 1024, before);
    });
}

fn worlds_on_the_engines_memories_leave_no_addresses_behind() {
    let cluster = Cluster::new().unwrap();
    let module = r#"(module (import "env" "memory" (memory 1 65536 shared)) (func (export "handle") (param i32)))"#;
    // SAFETY: the kernel does nothing.
    let job = unsafe { cluster.kernel_from_bytes("empty.wasm", &wat::parse_str(module).unwrap()) }.unwrap();
    let one = || {
        let mut world = peristyle_world::World::on(cluster.memory(Cluster::MEMORY_BYTES_MAX).unwrap());
        world.spawn((Position { x: 1.0 },)).unwrap();
        let mut scheduler = Scheduler::new(world, Options { workers: 1, ..Options::default() }).unwrap();
        scheduler.add(System::new("kernel").job(Job::new(job.clone()).writes::<Position>())).unwrap();
        assert_eq!(scheduler.run_frame(0.5, 0.0).unwrap().failures, 0);
    };
    (0..10).for_each(|_| one());
    let (resident, addresses) = (resident_kib(), status_kib("VmSize:"));
    (0..40).for_each(|_| one());
    settles_below(resident + 8 * 1024, resident);
    // Each takes 4 GiB of addresses.
    assert!(status_kib("VmSize:") < addresses + (4 << 20), "{addresses} KiB became {}", status_kib("VmSize:"));
}
