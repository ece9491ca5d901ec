//! What lending costs against sharing: a TypeScript job on lent columns, and the same job on `SharedArrayBuffer` views that
//! stay, by rows of a range.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin shared [-- TURNS]
//! ```
//!
//! One world of one chunk, of which a call covers all rows, so that a frame is one call on a range of that size. The job
//! that does nothing shows the cost of the views alone.

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

const EMPTY: &str = "export function handle() {}";

fn contestant(name: &str, rows: usize, source: &str, shared: bool) -> Contestant {
    // ANCHOR: shared
    let cluster = Cluster::new().expect("an engine");
    let mut world = World::on(cluster.memory(256 << 20).expect("addresses"));
    let rows_of = (0..rows).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: i as f32 }));
    world.spawn_batch(rows_of).expect("memory");
    let job = if shared {
        // SAFETY: the jobs write `Position`, in their calls only.
        unsafe { cluster.shared_job_from_source("bench.job.ts", source) }
    } else {
        cluster.job_from_source("bench.job.ts", source)
    };
    let job = Job::new(job.expect("the job loads")).reads::<Velocity>().writes::<Position>();
    // ANCHOR_END: shared
    let options = Options { workers: 0, mode: Mode::Serial, ..Options::default() };
    let mut scheduler = Scheduler::new(world, options).expect("threads");
    scheduler.add(System::new("job").job(job)).expect("the memory is the engine's");
    let mut time = 0.0;
    Contestant::new(name, move || {
        time += 1.0 / 60.0;
        let frame = scheduler.run_frame(1.0 / 60.0, time).expect("the frame runs");
        assert_eq!(frame.failures, 0, "{:?}", scheduler.take_failures());
    })
}

fn main() {
    let turns = turns(200);
    for rows in [512, 4_096, 16_384] {
        for (what, source) in [("pos += vel * dt", MOVE), ("nothing", EMPTY)] {
            let contestants = vec![contestant("shared", rows, source, true), contestant("lent", rows, source, false)];
            compare(&format!("{what} in TypeScript, {rows} rows a call"), turns, 1e3, "us", contestants);
        }
    }
}
