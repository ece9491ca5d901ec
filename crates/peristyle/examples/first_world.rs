//! A world of a million entities, stepped sixty times: the program of the getting-started page.

use peristyle::{Component, Options, Scheduler, System, World};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut world = World::new()?;
    world.spawn_batch((0..1_000_000).map(|i| (Position { x: 0.0, y: 0.0 }, Velocity { x: i as f32, y: 1.0 })))?;

    let mut scheduler = Scheduler::new(world, Options::default())?;
    scheduler.add(System::new("move").each_chunk::<(&mut Position, &Velocity)>(|range, (position, velocity)| {
        let dt = range.tick().dt as f32;
        for i in 0..range.rows() {
            position.x[i] += velocity.x[i] * dt;
            position.y[i] += velocity.y[i] * dt;
        }
    }))?;

    for frame in 0..60 {
        scheduler.run_frame(1.0 / 60.0, f64::from(frame) / 60.0)?;
    }
    let mut positions = scheduler.world_mut().query::<&Position>();
    let sum: f32 = positions.iter(scheduler.world()).map(|position| position.y).sum();
    println!("a million entities moved {} up on average", sum / 1e6);
    Ok(())
}
