//! Frames in a warm pool allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use peristyle_jobs::{Lane, Pool};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duties are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn a_frame_allocates_nothing() {
    let mut pool = Pool::new(2).unwrap();
    // Every lane makes its value before anything is counted.
    let barrier = Barrier::new(3);
    let warm = |_: u32, lane: &mut Lane| {
        lane.local(|| 0_u32);
        barrier.wait();
    };
    pool.scope(|scope| scope.run(&warm, 3, 2).unwrap());
    let sum = AtomicU32::new(0);
    let work = |range: u32, lane: &mut Lane| {
        *lane.local(|| 0_u32) += range;
        sum.fetch_add(range, Ordering::Relaxed);
    };
    let mut frame = || {
        pool.scope(|scope| {
            let first = scope.open(&work, 16, 2).unwrap();
            scope.run(&work, 16, 1).unwrap();
            scope.wait_any();
            scope.wait(first).unwrap();
        });
    };
    frame();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..2000).for_each(|_| frame());
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_frame_allocates_nothing();
    println!("test a_frame_allocates_nothing ... ok");
}
