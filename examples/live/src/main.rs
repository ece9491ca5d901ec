//! A swarm that pages can watch: `cargo run -p peristyle-live-example`, then open the address.
use std::time::Duration;

use peristyle::gateway::{FeedOptions, Gateway, WorldFeed};
use peristyle::replica::{ComponentView, ViewSpec};
use peristyle::{Component, Options, Scheduler, System, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut world = World::new()?;
    for at in 0..20_000 {
        world.spawn((Position { x: (at as f32).sqrt(), y: 0.0 },))?;
    }
    let mut scheduler = Scheduler::new(world, Options::default())?;
    scheduler.add(System::new("turn").each::<&mut Position>(|_, position| {
        let (x, y) = (*position.x, *position.y);
        let (sin, cos) = (0.4 / (1.0 + x.hypot(y))).sin_cos();
        (*position.x, *position.y) = (cos * x - sin * y, sin * x + cos * y);
    }))?;
    let spec =
        ViewSpec::new().with(ComponentView::of::<Position>().quantised("x", 0.01).quantised("y", 0.01)).hash_every(100);
    let feed = WorldFeed::new(scheduler.world_mut(), spec, FeedOptions::default())?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7071".into());
    let gateway = Gateway::builder().world(&feed).live_page().serve(&*address)?;
    println!("watch it at {}", gateway.url());
    loop {
        scheduler.run_frame(1.0 / 30.0, 0.0)?;
        feed.publish(scheduler.world_mut());
        std::thread::sleep(Duration::from_millis(33));
    }
}
