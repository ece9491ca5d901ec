//! A frame of a steady Bevy world allocates nothing for its snapshots, copied or pipelined.
//!
//! Trap: snapshot buffers allocated every frame.

use std::{
    alloc::{GlobalAlloc, Layout, System as SystemAllocator},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use bevy_ecs::{prelude::*, system::IntoSystem};
use peristyle_bevy::{Columnar, OffloadPool, RustJob, offloaded};

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

#[derive(Component, Columnar, Clone, Copy)]
struct Position {
    x: f32,
}

#[derive(Component, Columnar, Clone, Copy)]
#[component(storage = "SparseSet")]
struct Heat {
    value: f32,
}

fn a_steady_frame_allocates_nothing() {
    for (pipelined, sparse) in [(false, false), (false, true), (true, false)] {
        let mut world = World::new();
        // All of it runs on this thread: a worker's own start would be counted.
        world.insert_resource(OffloadPool::new(0).unwrap());
        world.spawn_batch((0..30_000).map(|i| (Position { x: i as f32 }, Heat { value: 0.0 }))).for_each(drop);
        let job = RustJob::new("move", |call| {
            call.column_mut::<f32>("Position", "x")?.iter_mut().for_each(|x| *x += 1.0);
            call.marks("Position")?.mark_all();
            Ok(())
        });
        let system = offloaded(job).writes::<Position>();
        let system = if pipelined { system.pipelined() } else { system };
        let mut system = IntoSystem::into_system(if sparse { system.reads::<Heat>() } else { system });
        system.initialize(&mut world);
        let mut frames = |frames: usize| (0..frames).for_each(|_| system.run((), &mut world).unwrap());
        frames(10);
        let before = ALLOCATIONS.load(SeqCst);
        frames(20);
        assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0, "pipelined: {pipelined}, sparse: {sparse}");
        // What a pipelined system started last is not committed yet.
        let steps = if pipelined { 29.0 } else { 30.0 };
        let moved = world.query::<&Position>().iter(&world).enumerate().all(|(i, at)| at.x == i as f32 + steps);
        assert!(moved, "pipelined: {pipelined}, sparse: {sparse}");
    }
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_steady_frame_allocates_nothing();
    println!("test a_steady_frame_allocates_nothing ... ok");
}
