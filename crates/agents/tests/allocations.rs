//! A call allocates nothing on the Rust heap once its job is bound.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use peristyle_jobs::Access::{Read, Write};
use peristyle_layout::Scalar;
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
