//! What a TypeScript job costs: against the same loop on arrays of its own, against an idle frame, and on two lanes.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin javascript [-- TURNS]
//! ```

use peristyle_agents::Cluster;
use peristyle_bench::{Contestant, compare, turns};
use peristyle_schedule::{Job, Mode, Options, Scheduler, System};
use peristyle_world::{Component, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy)]
struct Velocity {
    x: f32,
    y: f32,
}

const MOVE: &str = "
export function handle({ snap, dt }) {
  const { x, y } = snap.comps.Position.fields, v = snap.comps.Velocity.fields, vx = v.x, vy = v.y, rows = snap.rows;
  for (let i = 0; i < rows; i++) {
    x[i] += vx[i] * dt;
    y[i] += vy[i] * dt;
  }
}";

/// The same loop on plain typed arrays that the job's module made itself, in pieces of a chunk's size.
const MOVE_OWN: &str = "
const CHUNK = 16384;
let pieces = [];
function make(rows) {
  for (; rows > 0; rows -= CHUNK) {
    const n = Math.min(rows, CHUNK);
    pieces.push({ n, x: new Float32Array(n), y: new Float32Array(n), vx: new Float32Array(n).fill(1), vy: new Float32Array(n).fill(2) });
  }
}
function step({ n, x, y, vx, vy }, dt) {
  for (let i = 0; i < n; i++) {
    x[i] += vx[i] * dt;
    y[i] += vy[i] * dt;
  }
}
export function handle({ extra, dt }) {
  if (pieces.length === 0) make(extra.rows);
  for (const piece of pieces) step(piece, dt);
}";

/// Arithmetic enough that memory does not matter.
const HEAVY: &str = "
export function handle({ snap }) {
  const { x, y } = snap.comps.Position.fields, rows = snap.rows;
  for (let i = 0; i < rows; i++) {
    let a = x[i], b = y[i];
    for (let n = 0; n < 40; n++) {
      a = a * 0.99 + b * 0.01;
      b = b * 0.98 - a * 0.02;
    }
    x[i] = a;
    y[i] = b;
  }
}";

const EMPTY: &str = "export function handle() {}";

fn world(rows: usize) -> World {
    let mut world = World::new().expect("addresses");
    let rows_of = (0..rows).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: i as f32 }));
    world.spawn_batch(rows_of).expect("memory");
    world
}

fn frames(mut scheduler: Scheduler) -> impl FnMut() {
    let mut time = 0.0;
    move || {
        time += 1.0 / 60.0;
        let frame = scheduler.run_frame(1.0 / 60.0, time).expect("the frame runs");
        assert_eq!(frame.failures, 0, "{:?}", scheduler.take_failures());
    }
}

fn job(name: &str, rows: usize, mode: Mode, workers: usize, source: &str, extra_rows: Option<usize>) -> Contestant {
    let mut scheduler = Scheduler::new(world(rows), Options { workers, mode, ..Options::default() }).expect("threads");
    let job =
        Cluster::new().and_then(|cluster| cluster.job_from_source("bench.job.ts", source)).expect("the job loads");
    let mut job = Job::new(job).reads::<Velocity>().writes::<Position>();
    if let Some(rows) = extra_rows {
        job = job.extra(move |_| serde_json::json!({ "rows": rows }));
    }
    scheduler.add(System::new("job").job(job)).expect("names differ");
    Contestant::new(name, frames(scheduler))
}

fn idle() -> Contestant {
    let scheduler = Scheduler::new(world(1), Options { workers: 1, ..Options::default() }).expect("threads");
    Contestant::new("a frame without systems", frames(scheduler))
}

fn main() {
    let turns = turns(100);
    compare(
        "offloading an empty job",
        turns,
        1e3,
        "us",
        vec![idle(), job("an empty TypeScript job, 1 row", 1, Mode::Parallel, 1, EMPTY, None)],
    );
    for rows in [10_000, 100_000, 1_000_000] {
        let contestants = vec![
            job("loop on its own typed arrays", 1, Mode::Serial, 1, MOVE_OWN, Some(rows)),
            job("job on lent columns, one agent", rows, Mode::Serial, 1, MOVE, None),
            job("job on lent columns, two lanes", rows, Mode::Parallel, 1, MOVE, None),
        ];
        compare(&format!("pos += vel * dt in TypeScript, {rows} rows"), turns, 1e3, "us", contestants);
    }
    for rows in [1_000, 4_000, 10_000, 30_000, 100_000, 300_000] {
        let contestants = vec![
            job("serial mode", rows, Mode::Serial, 1, HEAVY, None),
            job("two lanes", rows, Mode::Parallel, 1, HEAVY, None),
        ];
        compare(&format!("40 rounds of arithmetic in TypeScript, {rows} rows"), turns / 2, 1e3, "us", contestants);
    }
}
