//! A tick at the peak allocates nothing on the Rust heap.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use peristyle_sky::{JobKind, SkyConfig};
use support::{config, simulation};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator; counting touches no memory of its blocks.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's duties are the same.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn a_tick_at_the_peak_allocates_nothing() {
    for job in [JobKind::Rust, JobKind::Ts] {
        // From 13:00 over the peak at 13:40, twice: what is allocated once, on the way up, is there the second time.
        let name = job.name();
        let mut sky = simulation(&SkyConfig { start_seconds: 13 * 3_600, speed: 1_440.0, ..config(job) });
        let day = 3_600;
        for tick in 1..=200 {
            sky.tick(tick).unwrap();
        }
        let mut allocated = Vec::new();
        for tick in 1..=200 {
            let before = ALLOCATIONS.load(Relaxed);
            let frame = sky.tick(day + tick).unwrap();
            allocated.push(ALLOCATIONS.load(Relaxed) - before);
            assert_eq!(frame.failures, 0);
        }
        // Tick 100 is 13:40.
        assert_eq!(allocated[60..140], [0; 80], "{name}");
    }
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_tick_at_the_peak_allocates_nothing();
    println!("test a_tick_at_the_peak_allocates_nothing ... ok");
}
