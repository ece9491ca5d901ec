//! What a WebAssembly kernel costs: against the same loop in native Rust for the same instruction set, on columns of the
//! same memory, and against the loop in TypeScript.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin kernel [-- TURNS]
//! ```
//!
//! The kernel is made of WebAssembly text with 128-bit SIMD, four rows an instruction, eight a turn; the native loops are vectorised by
//! the compiler with the 128 bits of SSE2, which is what the baseline of x86-64 has.

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

/// `pos += vel * dt`, and twenty rounds of arithmetic, of which memory is no part.
#[derive(Clone, Copy, PartialEq)]
enum Loop {
    Move,
    Heavy,
}

const ROUNDS: u32 = 20;

const MOVE_TS: &str = "
export function handle({ snap, dt }) {
  const { x, y } = snap.comps.Position.fields, v = snap.comps.Velocity.fields, vx = v.x, vy = v.y, rows = snap.rows;
  for (let i = 0; i < rows; i++) {
    x[i] += vx[i] * dt;
    y[i] += vy[i] * dt;
  }
}";

/// The kernel as a module. Columns: x and y are group 0, vx and vy group 1; a group's record has 24 bytes, a column's 16.
/// Worlds end on a multiple of eight rows, and ranges do.
fn module(which: Loop) -> Vec<u8> {
    let column = |group: u32, column: u32| {
        format!(
            "(i32.load offset={} (i32.load offset={} (i32.load offset=32 (local.get $d))))",
            column * 16,
            group * 24 + 12
        )
    };
    // `$p += $q * $dt`, eight rows at a time, from `$p` to `$end`.
    let add = |at: u32| {
        format!(
            "(v128.store offset={at} (local.get $p) (f32x4.add (v128.load offset={at} (local.get $p))
               (f32x4.mul (v128.load offset={at} (local.get $q)) (local.get $dt))))"
        )
    };
    let each = |p: String, q: String, body: String| {
        format!(
            "(local.set $p {p}) (local.set $q {q})
             (local.set $end (i32.add (local.get $p) (i32.shl (i32.load offset=4 (local.get $d)) (i32.const 2))))
             (loop $next
               {body}
               (local.set $p (i32.add (local.get $p) (i32.const 32)))
               (local.set $q (i32.add (local.get $q) (i32.const 32)))
               (br_if $next (i32.lt_u (local.get $p) (local.get $end))))"
        )
    };
    let round = "
      (local.set $a (f32x4.add (f32x4.mul (local.get $a) (local.get $k)) (f32x4.mul (local.get $b) (local.get $l))))
      (local.set $b (f32x4.sub (f32x4.mul (local.get $b) (local.get $m)) (f32x4.mul (local.get $a) (local.get $n))))";
    let rounds = |at: u32| {
        format!(
            "(local.set $a (v128.load offset={at} (local.get $p))) (local.set $b (v128.load offset={at} (local.get $q)))
             {}
             (v128.store offset={at} (local.get $p) (local.get $a)) (v128.store offset={at} (local.get $q) (local.get $b))",
            round.repeat(ROUNDS as usize)
        )
    };
    let body = match which {
        Loop::Move => {
            let add = || format!("{} {}", add(0), add(16));
            each(column(0, 0), column(1, 0), add()) + &each(column(0, 1), column(1, 1), add())
        }
        Loop::Heavy => each(column(0, 0), column(0, 1), rounds(0) + &rounds(16)),
    };
    let text = format!(
        r#"(module
          (import "env" "memory" (memory 1 65536 shared))
          (func (export "handle") (param $d i32)
            (local $p i32) (local $q i32) (local $end i32) (local $dt v128) (local $a v128) (local $b v128)
            (local $k v128) (local $l v128) (local $m v128) (local $n v128)
            (local.set $k (f32x4.splat (f32.const 0.99))) (local.set $l (f32x4.splat (f32.const 0.01)))
            (local.set $m (f32x4.splat (f32.const 0.98))) (local.set $n (f32x4.splat (f32.const 0.02)))
            (local.set $dt (f32x4.splat (f32.demote_f64 (f64.load offset=8 (local.get $d)))))
            {body}))"#
    );
    wat::parse_str(text).expect("the kernel is well-formed")
}

fn world(cluster: &Cluster, rows: usize) -> World {
    assert_eq!(rows % 8, 0);
    let mut world = World::on(cluster.memory(1 << 30).expect("addresses"));
    let rows_of = (0..rows).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: i as f32 }));
    world.spawn_batch(rows_of).expect("memory");
    world
}

fn contestant(name: &str, rows: usize, lanes: usize, add: impl FnOnce(&Cluster) -> System) -> Contestant {
    let mode = if lanes == 1 { Mode::Serial } else { Mode::Parallel };
    let cluster = Cluster::new().expect("an engine");
    let options = Options { workers: lanes - 1, mode, ..Options::default() };
    let mut scheduler = Scheduler::new(world(&cluster, rows), options).expect("threads");
    scheduler.add(add(&cluster)).expect("the system fits the world");
    let mut time = 0.0;
    Contestant::new(name, move || {
        time += 1.0 / 60.0;
        let frame = scheduler.run_frame(1.0 / 60.0, time).expect("the frame runs");
        assert_eq!(frame.failures, 0, "{:?}", scheduler.take_failures());
    })
}

fn native(which: Loop, rows: usize) -> Contestant {
    contestant("native Rust", rows, 1, |_| match which {
        Loop::Move => System::new("move").each_chunk::<(&mut Position, &Velocity)>(|range, (position, velocity)| {
            let dt = range.tick().dt as f32;
            for (x, vx) in position.x.iter_mut().zip(velocity.x) {
                *x += vx * dt;
            }
            for (y, vy) in position.y.iter_mut().zip(velocity.y) {
                *y += vy * dt;
            }
        }),
        Loop::Heavy => System::new("heavy").each_chunk::<(&mut Position, &Velocity)>(|_, (position, _)| {
            for (x, y) in position.x.iter_mut().zip(position.y) {
                let (mut a, mut b) = (*x, *y);
                for _ in 0..ROUNDS {
                    a = a * 0.99 + b * 0.01;
                    b = b * 0.98 - a * 0.02;
                }
                (*x, *y) = (a, b);
            }
        }),
    })
}

fn kernel(which: Loop, rows: usize) -> Contestant {
    contestant("WebAssembly kernel", rows, 1, |cluster| {
        // SAFETY: the module writes the columns of `Position`, whose rows are a multiple of eight.
        let job = unsafe { cluster.kernel_from_bytes("bench.wasm", &module(which)) }.expect("it is a kernel");
        System::new("kernel").job(Job::new(job).writes::<Position>().reads::<Velocity>())
    })
}

fn typescript(rows: usize) -> Contestant {
    contestant("TypeScript job, lent columns", rows, 1, |cluster| {
        let job = cluster.job_from_source("bench.job.ts", MOVE_TS).expect("the job loads");
        System::new("job").job(Job::new(job).writes::<Position>().reads::<Velocity>())
    })
}

fn main() {
    let turns = turns(200);
    for rows in [16_384, 131_072, 1_048_576] {
        let contestants = vec![native(Loop::Move, rows), kernel(Loop::Move, rows), typescript(rows)];
        compare(&format!("pos += vel * dt, {rows} rows, one lane"), turns, 1e3, "us", contestants);
    }
    for rows in [16_384, 1_048_576] {
        let contestants = vec![native(Loop::Heavy, rows), kernel(Loop::Heavy, rows)];
        compare(&format!("{ROUNDS} rounds of arithmetic, {rows} rows, one lane"), turns / 2, 1e3, "us", contestants);
    }
}
