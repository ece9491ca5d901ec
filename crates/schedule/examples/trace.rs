//! Records what ran where and writes it as a Chrome trace: `trace [FILE]`, the program of the guide "Trace".

use std::{fs::File, io::BufWriter};

use peristyle_schedule::{Options, Scheduler, System};
use peristyle_timeline::Timeline;
use peristyle_world::{Component, World};

#[derive(Component, Clone, Copy)]
struct Heat(f32);

#[derive(Component, Clone, Copy)]
struct Mass(f32);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "trace.json".to_owned());
    let mut world = World::new()?;
    world.spawn_batch((0..400_000).map(|i| (Heat(i as f32), Mass(1.0))))?;

    // ANCHOR: record
    // A lane for each worker, and one for the frame's own thread.
    let workers = 1;
    let timeline = Timeline::new(workers + 1, 4096);
    timeline.set_enabled(true);
    let mut scheduler = Scheduler::new(world, Options { workers, timeline: timeline.clone(), ..Options::default() })?;
    // ANCHOR_END: record

    scheduler.add(System::new("cool").each::<(&mut Heat, &Mass)>(|range, (heat, mass)| {
        *heat.0 -= heat.0.sqrt() * range.tick().dt as f32 / mass.0;
    }))?;
    scheduler.add(System::new("evaporate").after("cool").each::<(&Heat, &mut Mass)>(|range, (heat, mass)| {
        *mass.0 *= 1.0 - (heat.0 * 1e-9).tanh() * range.tick().dt as f32;
    }))?;
    for frame in 0..20 {
        scheduler.run_frame(1.0 / 60.0, f64::from(frame) / 60.0)?;
    }

    // ANCHOR: write
    timeline.write_chrome_trace(BufWriter::new(File::create(&file)?))?;
    // ANCHOR_END: write
    println!("20 frames are in {file}");
    Ok(())
}
