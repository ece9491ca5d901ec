//! Publishing as a system: it declares what it reads, and runs beside what does not write that.

use std::sync::{Arc, Mutex};

use peristyle::replica::{ComponentView, Publisher, PublisherOptions, ViewSpec, ViewWorld};
use peristyle::{Component, Options, Scheduler, Stage, System, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
}

#[test]
fn a_publisher_is_a_system_with_declared_reads() {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..50_000).map(|x| (Position { x: x as f32 },))).unwrap();
    let spec = ViewSpec::new().with(ComponentView::of::<Position>());
    let publisher = Publisher::new(&mut world, spec, PublisherOptions::default()).unwrap();
    let publisher = Arc::new(Mutex::new(publisher));
    let mut scheduler = Scheduler::new(world, Options { workers: 2, ..Options::default() }).unwrap();
    let move_one = System::new("move").stage(Stage::Late).each::<&mut Position>(|range, position| {
        *position.x += range.tick().dt as f32;
    });
    scheduler.add(move_one).unwrap();
    let shared = Arc::clone(&publisher);
    let publish = System::new("publish").stage(Stage::Late).after("move").run(move |setup| {
        let reads = shared.lock().unwrap().view().reads().to_vec();
        let reads = setup.reads_components(&reads);
        move |context| {
            let tick = context.tick().number;
            shared.lock().unwrap().publish(context.column_reader(&reads), tick);
        }
    });
    scheduler.add(publish).unwrap();
    let client = publisher.lock().unwrap().connect();
    let mut mirror = ViewWorld::open(&publisher.lock().unwrap().take(client).unwrap()).unwrap();
    for tick in 1..20_u64 {
        scheduler.run_frame(0.5, 0.0).unwrap();
        let frame = publisher.lock().unwrap().take(client).unwrap();
        assert_eq!(mirror.apply(&frame).unwrap().tick, tick);
        let x = mirror.column::<f32>("Position", "x").unwrap();
        assert!(x.iter().zip(0..).all(|(x, row)| *x == row as f32 + tick as f32 * 0.5));
    }
}
