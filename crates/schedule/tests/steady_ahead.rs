//! A steady run of a scheduler that runs ahead allocates nothing, on any thread.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System as SystemAllocator},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use peristyle_memory::mailbox::Wait;
use peristyle_schedule::{Mode, RunAhead, RunAheadOptions, RunEnd, System};
use support::{A, scheduler, world_of};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are the same.
        unsafe { SystemAllocator.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { SystemAllocator.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are the same.
        unsafe { SystemAllocator.realloc(ptr, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Commands, ticks, copies, observation, waits and reports.
fn a_steady_run_allocates_nothing() {
    for (mode, workers) in [(Mode::Serial, 0), (Mode::Parallel, 1)] {
        let mut scheduler = scheduler(world_of(40_000), mode, workers);
        let step = System::new("step").each_chunk::<&mut A>(|_, a| a.x.iter_mut().for_each(|x| *x += 1.0));
        scheduler.add(step).unwrap();
        // A thread allocates when it begins, which on a busy machine may be late: until each worker has run something.
        while (1..scheduler.pool().lanes()).any(|lane| scheduler.pool().ranges_run(lane) == 0) {
            scheduler.run_frame(1.0, 0.0).unwrap();
        }
        let options = RunAheadOptions::new(3).observe::<A>().observers(2);
        let (mut ahead, mut observers) = RunAhead::start(scheduler, options).unwrap();
        let mut sum = 0.0;
        let mut run = |ticks: u64| {
            ahead.run(ticks, 1.0, 0.0).unwrap();
            for _ in 0..ticks {
                for observer in &mut observers {
                    observer.wait(1, Wait::Forever).unwrap();
                    let copy = observer.latest().unwrap();
                    sum += copy.column::<f32>("A", "x").unwrap()[17];
                    observer.release(1);
                }
            }
            assert_eq!(ahead.wait(Wait::Forever).unwrap().unwrap().end, RunEnd::Done);
        };
        run(100);
        let before = ALLOCATIONS.load(SeqCst);
        run(200);
        assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0, "{mode:?}");
        assert!(sum > 0.0);
    }
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_steady_run_allocates_nothing();
    println!("test a_steady_run_allocates_nothing ... ok");
}
