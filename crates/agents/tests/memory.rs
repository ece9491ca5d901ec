//! Memory stays where it is. One test: it measures the whole process.

mod support;

use std::thread;

use peristyle_jobs::Access::Write;
use peristyle_jobs::JobRunner;
use peristyle_layout::Scalar;
use support::{World, job_of, on_lane};

#[test]
fn memory_stays_where_it_is() {
    a_million_views_leave_the_memory_as_it_was();
    many_agents_in_turn_leave_nothing_behind();
    many_clusters_in_turn_on_one_lane_leave_nothing_behind();
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
    assert!(resident_kib() < before + 8 * 1024, "{before} KiB became {}", resident_kib());
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
        assert!(resident_kib() < before + 8 * 1024, "{before} KiB became {}", resident_kib());
    });
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
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
        assert!(resident_kib() < before + 12 * 1024, "{before} KiB became {}", resident_kib());
    });
}
