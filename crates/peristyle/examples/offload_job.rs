//! Ships whose systems are jobs in TypeScript and in Rust: the program of the guide "Offload a system".

use std::path::Path;

use peristyle::{Component, Job, Options, Scheduler, Stage, System, World, agents::Cluster, jobs::RustJob};

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

#[derive(Component, Clone, Copy)]
struct Fuel {
    left: f32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut world = World::new()?;
    let ship = |i: u16| {
        let i = f32::from(i);
        (Position { x: i, y: 0.0 }, Velocity { x: 0.0, y: 2.0 }, Fuel { left: 10.0 + i })
    };
    let ships: Vec<_> = world.spawn_batch((0..100).map(ship))?.iter().collect();
    let mut scheduler = Scheduler::new(world, Options::default())?;

    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/jobs");
    // ANCHOR: typescript
    let cluster = Cluster::new()?;
    let step = Job::new(cluster.job(jobs.join("move.job.ts"))?).reads::<Velocity>().writes::<Position>();
    scheduler.add(System::new("move").job(step))?;
    // ANCHOR_END: typescript

    // ANCHOR: patches
    let burn = Job::new(cluster.job(jobs.join("burn.job.ts"))?).writes::<Fuel>().despawns().extra(|_| 4.0);
    scheduler.add(System::new("burn").job(burn))?;
    // ANCHOR_END: patches

    // ANCHOR: rust
    let drag = RustJob::new("drag", |call| {
        let dt = call.dt() as f32;
        for y in call.column_mut::<f32>("Velocity", "y")? {
            *y -= *y * 0.1 * dt;
        }
        call.marks("Velocity")?.mark_all();
        Ok(())
    });
    scheduler.add(System::new("drag").stage(Stage::Late).job(Job::new(drag).writes::<Velocity>()))?;
    // ANCHOR_END: rust

    // ANCHOR: frames
    println!("update: {:?}", scheduler.plan()?.batches(Stage::Update));
    println!("late:   {:?}", scheduler.plan()?.batches(Stage::Late));
    for frame in 0..10 {
        scheduler.run_frame(0.5, f64::from(frame) * 0.5)?;
        // What a job threw, and which of its patches were refused; the frame went on without them.
        for failure in scheduler.take_failures() {
            eprintln!("{failure}");
        }
        for refused in scheduler.take_refused_patches() {
            eprintln!("{refused:?}");
        }
    }
    let world = scheduler.world();
    println!("{} of {} ships have fuel left", world.len(), ships.len());
    println!("the last is at y = {:.4}", world.get::<Position>(ships[99])?.y);
    // ANCHOR_END: frames
    Ok(())
}
