//! A call allocates nothing on the Rust heap once its job is bound.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use peristyle_agents::Cluster;
use peristyle_jobs::Access::{Read, Write};
use peristyle_layout::Scalar;
use peristyle_schedule::{Job, Mode, Options, Scheduler};
use peristyle_world::Component;
use support::{World, job_of, on_lane};

struct Counting;

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

// SAFETY: everything is handed to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller answers.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller answers.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_steady_call_allocates_nothing() {
    let text = "
        export async function handle({ snap, extra }) {
          const { x } = snap.comps.P.fields;
          for (let i = 0; i < snap.rows; i++) x[i] += extra.by;
          x[0] = snap.entity(0) + snap.eids[0];
          snap.comps.P.changed[0] |= 1;
          await 0;
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = World::new(512)
        .component(1, "P", Write, &[("x", Scalar::F32)])
        .component(2, "V", Read, &[("x", Scalar::F32)])
        .resource("R", 10, &[("a", Scalar::F64)])
        .despawns()
        .with_extra("{\"by\":1}");
    on_lane(|lane| {
        (0..10).for_each(|_| world.run(lane, &job).unwrap());
        let before = COUNT.get();
        (0..10_000).for_each(|_| world.run(lane, &job).unwrap());
        assert_eq!(COUNT.get() - before, 0);
    });
}

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
}

#[derive(Component, Clone, Copy)]
struct Velocity {
    x: f32,
}

#[test]
fn a_steady_call_on_the_engines_memory_allocates_nothing() {
    let cluster = Cluster::new().unwrap();
    let text = "export function handle({ snap, extra }) { snap.comps.Position.fields.x[0] += snap.comps.Velocity.fields.x[0] + extra; }";
    let kernel = r#"(module
      (import "env" "memory" (memory 1 65536 shared))
      (func (export "handle") (param i32) (f64.store offset=0 (i32.load offset=28 (local.get 0)) (f64.const 0))))"#;
    // SAFETY: the job writes its own first row, the kernel its own despawn bits.
    let (shared, kernel) = unsafe {
        let shared = cluster.shared_job_from_source("shared.ts", text).unwrap();
        (shared, cluster.kernel_from_bytes("kernel.wasm", &wat::parse_str(kernel).unwrap()).unwrap())
    };
    let mut world = peristyle_world::World::on(cluster.memory(64 << 20).unwrap());
    world.spawn_batch((0..100).map(|_| (Position { x: 0.0 }, Velocity { x: 1.0 }))).unwrap();
    let options = Options { workers: 0, mode: Mode::Serial, ..Options::default() };
    let mut scheduler = Scheduler::new(world, options).unwrap();
    let with = |job: Job| job.writes::<Position>().reads::<Velocity>().despawns().extra(|_| serde_json::json!(1));
    scheduler.add(peristyle_schedule::System::new("shared").job(with(Job::new(shared)))).unwrap();
    scheduler.add(peristyle_schedule::System::new("kernel").job(with(Job::new(kernel)))).unwrap();
    let mut frames = |count: u32| {
        for _ in 0..count {
            assert_eq!(scheduler.run_frame(0.5, 1.0).unwrap().failures, 0);
        }
    };
    frames(10);
    let before = COUNT.get();
    frames(10_000);
    assert_eq!(COUNT.get() - before, 0);
}
