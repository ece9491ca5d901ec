//! What lending costs: `cargo run -p peristyle-agents --example lend_cost`.
//!
//! Prints the time of an empty call, of `pos += vel * dt` over four `f32` columns that are lent or that the engine keeps,
//! the time that an agent takes to start and the memory that it holds.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use peristyle_agents::Cluster;
use peristyle_jobs::Access::{Read, Write};
use peristyle_jobs::{JobRunner, Lane};
use peristyle_layout::Scalar;
use support::{Files, World, on_lane};

const LENT: &str = "
    export function handle({ snap, dt }) {
      const { x, y } = snap.comps.Position.fields;
      const { dx, dy } = snap.comps.Velocity.fields;
      const rows = snap.rows;
      for (let i = 0; i < rows; i++) {
        x[i] += dx[i] * dt;
        y[i] += dy[i] * dt;
      }
    }";

/// The same loop on arrays that the engine keeps, all in one call without columns.
const KEPT: &str = "
    // Staggered like columns of a chunk: whole pages between arrays would make loads wait for stores.
    const make = (_, at) => new Float32Array(new ArrayBuffer(65536 + 4096), 320 * at, 16384).fill(1);
    const x = make(0, 0), y = make(0, 1), dx = make(0, 2), dy = make(0, 3);
    export function handle({ dt, extra }) {
      const rows = extra.rows;
      for (let i = 0; i < rows; i++) {
        x[i] += dx[i] * dt;
        y[i] += dy[i] * dt;
      }
    }";

fn world(rows: usize) -> World {
    let fields = |x, y| [(x, Scalar::F32), (y, Scalar::F32)];
    let mut world = World::new(rows).component(1, "Position", Write, &fields("x", "y")).component(
        2,
        "Velocity",
        Read,
        &fields("dx", "dy"),
    );
    world.columns.iter_mut().for_each(|column| column.get_mut::<f32>().fill(1.0));
    world
}

/// The least and the median time of one of `count` runs, over 30 batches.
fn time(count: u32, mut run: impl FnMut()) -> (f64, f64) {
    let mut batches: Vec<f64> = (0..30)
        .map(|_| {
            let begun = Instant::now();
            (0..count).for_each(|_| run());
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(count)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    (batches[0], batches[batches.len() / 2])
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}

fn main() {
    let files = Files::with(&[
        ("empty.ts", "export function handle() {}"),
        ("lent.ts", LENT),
        ("kept.ts", KEPT),
        ("more.ts", "export function handle({ snap }) { snap.comps.Position.changed[0] = 1; snap.eids[0]; }"),
    ]);
    let begun = Instant::now();
    let cluster = Cluster::new().unwrap();
    println!("cluster: {:?}", begun.elapsed());
    let begun = Instant::now();
    let empty = cluster.job(files.path("empty.ts")).unwrap();
    println!("a job made (runtime, realm, strip, compile, check): {:?}", begun.elapsed());
    let lent = cluster.job(files.path("lent.ts")).unwrap();
    let kept = cluster.job(files.path("kept.ts")).unwrap();
    let more = cluster.job(files.path("more.ts")).unwrap();

    on_lane(|lane: &mut Lane| {
        let begun = Instant::now();
        empty.prepare(lane).unwrap();
        println!("first prepare on a lane (runtime, realm, module): {:?}", begun.elapsed());

        let mut none = World::new(512);
        let mut two = World::new(512).component(1, "P", Write, &[("x", Scalar::F32)]).component(
            2,
            "V",
            Read,
            &[("x", Scalar::F32)],
        );
        let mut four = world(512);
        let fields: Vec<(String, Scalar)> = (0..10).map(|i| (format!("f{i}"), Scalar::F32)).collect();
        let fields: Vec<(&str, Scalar)> = fields.iter().map(|(name, scalar)| (name.as_str(), *scalar)).collect();
        let mut twenty = World::new(512).component(1, "A", Write, &fields).component(2, "B", Read, &fields).resource(
            "R",
            5,
            &fields[..3],
        );
        for (what, world) in [
            ("no column", &mut none),
            ("2 columns + 1 bitset", &mut two),
            ("4 columns + 1 bitset", &mut four),
            ("23 columns + 1 bitset", &mut twenty),
        ] {
            let (least, median) = time(2000, || world.run(lane, &empty).unwrap());
            println!("empty call, {what}: {least:.0} ns least, {median:.0} ns median");
        }
        let (least, median) = time(2000, || four.run(lane, &more).unwrap());
        println!("empty call with snap.eids, 512 rows: {least:.0} ns least, {median:.0} ns median");

        for rows in [512u32, 4096, 16384] {
            let count = (16384 * 20) / rows;
            let mut world = world(rows as usize);
            let mut keeping = World::new(rows as usize).with_extra(&format!("{{\"rows\":{rows}}}"));
            // Warm both up to the same tier.
            time(count, || world.run(lane, &lent).unwrap());
            time(count, || keeping.run(lane, &kept).unwrap());
            let (mut lent_ns, mut kept_ns) = ((f64::MAX, f64::MAX), (f64::MAX, f64::MAX));
            for _ in 0..3 {
                let per_row = |(least, median): (f64, f64)| (least / f64::from(rows), median / f64::from(rows));
                let min = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.min(b.1));
                lent_ns = min(lent_ns, per_row(time(count, || world.run(lane, &lent).unwrap())));
                kept_ns = min(kept_ns, per_row(time(count, || keeping.run(lane, &kept).unwrap())));
            }
            println!(
                "{rows} rows: lent {:.3} ns/row ({:.3} median), kept {:.3} ({:.3}), ratio {:.3} ({:.3})",
                lent_ns.0,
                lent_ns.1,
                kept_ns.0,
                kept_ns.1,
                lent_ns.0 / kept_ns.0,
                lent_ns.1 / kept_ns.1
            );
            black_box(world.columns[0].get::<f32>()[0]);
        }
        // Long enough for every kind of collection: memory must stay where it is.
        let mut four = world(512);
        let begun = Instant::now();
        let before = resident_kib();
        let mut times: Vec<Duration> = (0..1_000_000)
            .map(|_| {
                let one = Instant::now();
                four.run(lane, &empty).unwrap();
                one.elapsed()
            })
            .collect();
        let (took, after) = (begun.elapsed(), resident_kib());
        times.sort();
        let [.., fifth, fourth, third, second, longest] = times[..] else { return };
        println!("a million calls: {took:?}; resident {before} KiB before, {after} KiB after (times included)");
        println!("  the longest: {longest:?} {second:?} {third:?} {fourth:?} {fifth:?}, p99.99 {:?}", times[999_900]);
    });

    let before = resident_kib();
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let lent = lent.clone();
            let (ready, wait) = std::sync::mpsc::channel();
            let (go, stay) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                on_lane(|lane| {
                    let begun = Instant::now();
                    lent.prepare(lane).unwrap();
                    let took = begun.elapsed();
                    let mut world = world(16384);
                    (0..100).for_each(|_| world.run(lane, &lent).unwrap());
                    ready.send(took).unwrap();
                    let _ = stay.recv();
                });
            });
            (thread, wait.recv().unwrap(), go)
        })
        .collect();
    let after = resident_kib();
    let mut starts: Vec<Duration> = threads.iter().map(|(_, took, _)| *took).collect();
    starts.sort();
    println!(
        "16 agents: started in {:?} (median), {} KiB resident each (world of 272 KiB included)",
        starts[8],
        (after - before) / 16
    );
    for (thread, _, go) in threads {
        drop(go);
        thread.join().unwrap();
    }
}
