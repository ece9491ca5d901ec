//! Prints what a million entities of (position, velocity) take, tracking included, and how far fresh worlds of them are
//! apart: `cargo run -p peristyle-world --example footprint`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use peristyle_world::{Changed, Component, World};

const ROWS: usize = 1_000_000;
const WORLDS: usize = 20;

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

/// Counts the bytes of the heap.
struct Counting;

static HEAP_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP_BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HEAP_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's duties are the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn world() -> World {
    let mut world = World::new().expect("address space");
    let rows = (0..ROWS).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 1.0, y: 2.0 }));
    world.spawn_batch(rows).expect("memory");
    world
}

/// Median seconds of a step.
fn step(world: &mut World) -> f64 {
    let mut moving = world.query::<(&mut Position, &Velocity)>();
    let mut times: Vec<f64> = (0..30)
        .map(|_| {
            let start = Instant::now();
            moving.for_each_chunk(world, |(p, v)| {
                for (((x, y), vx), vy) in p.x.iter_mut().zip(p.y).zip(v.x).zip(v.y) {
                    *x += vx * 0.015625;
                    *y += vy * 0.015625;
                }
            });
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let before = HEAP_BYTES.load(Relaxed);
    let mut first = world();
    let mut changed = first.query_filtered::<&Position, Changed<Position>>();
    changed.for_each(&mut first, |_| {});
    let (memory, heap) = (first.memory().used_bytes() as usize, HEAP_BYTES.load(Relaxed) - before);
    let per_entity = |bytes: usize| bytes as f64 / ROWS as f64;
    println!(
        "{ROWS} entities of (pos, vel), one consumer of changes: {:.2} bytes each ({:.2} in the memory, {:.2} on the heap)",
        per_entity(memory + heap),
        per_entity(memory),
        per_entity(heap)
    );

    // All at once, so that each has pages of its own; in turns, so that a slow moment slows all.
    let mut worlds: Vec<World> = (0..WORLDS).map(|_| world()).collect();
    let mut best = [f64::INFINITY; WORLDS];
    for _ in 0..5 {
        for (best, world) in best.iter_mut().zip(&mut worlds) {
            *best = best.min(step(world));
        }
    }
    best.sort_by(f64::total_cmp);
    println!(
        "{WORLDS} fresh worlds, pos += vel * dt: {:.1} us to {:.1} us, {:.3}x apart",
        best[0] * 1e6,
        best[WORLDS - 1] * 1e6,
        best[WORLDS - 1] / best[0]
    );
}
