//! A steady tick allocates nothing, at either end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peristyle_replica::{
    ComponentView, Interest, Interpolation, Prediction, Publisher, PublisherOptions, ViewSpec, ViewWorld,
};
use peristyle_world::{ColumnReader, Component, World};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

fn a_steady_tick_allocates_nothing() {
    let mut world = World::new().unwrap();
    let entities: Vec<_> =
        world.spawn_batch((0..5000).map(|x| (Position { x: x as f32, y: 0.0 },))).unwrap().iter().collect();
    let position = ComponentView::of::<Position>().quantised("x", 0.01).quantised("y", 0.01);
    let interest = Interest::on("Position").within("x", 0.0, 4000.0);
    let spec = ViewSpec::new().with(position).interest(interest).bytes_per_tick(8000);
    let options = PublisherOptions { log_frames: 8, ..PublisherOptions::default() };
    let mut publisher = Publisher::new(&mut world, spec, options).unwrap();
    let clients: Vec<_> = (0..20).map(|_| publisher.connect()).collect();
    let mut mirror = ViewWorld::open(&publisher.take(clients[0]).unwrap()).unwrap();
    let mut between = Interpolation::of([("Position", "x")]);
    let mut prediction = Prediction::<f32>::new(World::new().unwrap());
    prediction.predict::<Position>(&mirror).unwrap();
    let mut query = world.query::<&mut Position>();
    let step = |world: &mut World, own, by: &f32| {
        let position = world.get::<Position>(own).unwrap();
        world.set(own, Position { x: position.x + by, ..position }).unwrap();
    };
    let mut own = None;
    let mut counted = 0;
    for tick in 1..300 {
        // Enough comes and goes over the border of what is shown.
        query.for_each(&mut world, |p| {
            *p.x += if tick % 2 == 0 { 3.0 } else { -3.0 };
            *p.y += 0.5;
        });
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        publisher.publish(ColumnReader::new(&mut world), tick);
        for client in &clients[1..] {
            while let Some(bytes) = publisher.take(*client) {
                assert!(Arc::strong_count(&bytes) > 1);
            }
        }
        while let Some(bytes) = publisher.take(clients[0]) {
            mirror.apply(&bytes).unwrap();
            between.advance(&mirror);
        }
        if let Some(own) = own {
            prediction.input(0.1, |world, by| step(world, own, by)).unwrap();
            prediction.reconcile(&mirror, tick.saturating_sub(4), |world, by| step(world, own, by)).unwrap();
        } else {
            own = prediction.follow(&mirror, entities[7]).unwrap();
        }
        if tick > 200 {
            counted += ALLOCATIONS.load(Ordering::Relaxed) - before;
        }
    }
    assert_eq!(counted, 0);
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_steady_tick_allocates_nothing();
    println!("test a_steady_tick_allocates_nothing ... ok");
}
