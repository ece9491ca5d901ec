//! Runs a kernel written in C on a world: sparks that fall, bounce and burn out.
//!
//! ```sh
//! cargo run -p peristyle-kernel-c [-- SPARKS]
//! ```
//!
//! Compiles `kernel.c` with clang into WebAssembly whose memory is the world's, and lets it step the world until the last
//! spark is gone.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use peristyle_agents::{Cluster, WasmJob};
use peristyle_schedule::{Job, Options, Scheduler, System};
use peristyle_world::{Component, Entity, World};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Life {
    seconds: f32,
}

const DT: f64 = 1.0 / 60.0;

/// A kernel without static data, whose stack pointer the host sets.
const PLAIN: [&str; 1] = ["-Wl,--export=__stack_pointer"];

/// Compiles a kernel and gives its file, which lies beside this program.
fn compile(source: &str, flags: &[&str]) -> Result<PathBuf> {
    let llvm = Path::new("/usr/lib/llvm-19/bin");
    let clang = if llvm.join("clang").exists() { llvm.join("clang") } else { "clang".into() };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let module = std::env::current_exe()?.with_extension(format!("{}{}.wasm", source, flags.len()));
    let status = Command::new(&clang)
        .args("--target=wasm32 -std=c11 -O3 -Wall -Wextra -mbulk-memory -matomics -msimd128 -nostdlib".split(' '))
        .arg("-Wl,--no-entry,--import-memory,--shared-memory,--max-memory=4294967296")
        .args(flags)
        .arg("-I")
        .arg(here.join("../../crates/kernel/include"))
        .arg(here.join(source))
        .arg("-o")
        .arg(&module)
        // Where clang finds wasm-ld.
        .env("PATH", format!("{}:{}", llvm.display(), std::env::var("PATH").unwrap_or_default()))
        .status()
        .map_err(|error| format!("cannot start {}: {error}", clang.display()))?;
    if status.success() { Ok(module) } else { Err(format!("clang failed: {status}").into()) }
}

/// A world of sparks on a memory that the engine made, with the kernel that steps it; and the sparks.
fn sparks(count: usize) -> Result<(Scheduler, Vec<Entity>)> {
    let cluster = Cluster::new()?;
    // SAFETY: `kernel.c` writes rows of the three columns that its system declares as written below, their bits, and the
    // despawn bits; it has no static data.
    let kernel: WasmJob = unsafe { cluster.kernel(compile("kernel.c", &PLAIN)?)? };
    let mut world = World::on(cluster.memory(Cluster::MEMORY_BYTES_MAX)?);
    let sparks = world.spawn_batch((0..count).map(spark))?.iter().collect();
    let mut scheduler = Scheduler::new(world, Options::default())?;
    let job = Job::new(kernel).writes::<Position>().writes::<Velocity>().writes::<Life>().despawns();
    scheduler.add(System::new("sparks").job(job))?;
    Ok((scheduler, sparks))
}

/// One spark; all differ, none needs chance.
fn spark(i: usize) -> (Position, Velocity, Life) {
    let angle = i as f32 * 2.399_963;
    let speed = 2.0 + (i % 13) as f32 * 0.5;
    let velocity = Velocity { x: speed * angle.cos(), y: speed * angle.sin() };
    (Position { x: 0.0, y: 5.0 }, velocity, Life { seconds: 0.5 + (i % 100) as f32 * 0.01 })
}

fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let (mut scheduler, _) = sparks(count)?;
    let (start, mut frames, mut rows) = (Instant::now(), 0, 0);
    while !scheduler.world().is_empty() {
        let report = scheduler.run_frame(DT, f64::from(frames) * DT)?;
        if let Some(failure) = scheduler.take_failures().into_iter().next() {
            return Err(failure.to_string().into());
        }
        frames += 1;
        rows += report.rows;
    }
    let per_row = start.elapsed().as_nanos() as f64 / rows.max(1) as f64;
    println!("{count} sparks burnt out after {frames} frames; {per_row:.2} ns a row and frame");
    Ok(())
}

#[cfg(test)]
mod tests {
    use peristyle_agents::{AgentError, KernelError};
    use peristyle_schedule::Mode;

    use super::*;

    /// A kernel with static data, which lies in a block of its instance.
    const POSITION_INDEPENDENT: [&str; 3] = ["-fPIC", "-fvisibility=hidden", "-Wl,--experimental-pic,-shared"];

    /// What the kernel does, in Rust.
    fn step((position, velocity, life): &mut (Position, Velocity, Life)) {
        let dt = DT as f32;
        velocity.y += -9.81 * dt;
        position.x += velocity.x * dt;
        position.y += velocity.y * dt;
        if position.y < 0.0 {
            position.y = 0.0;
            velocity.y *= -0.5;
        }
        life.seconds -= dt;
    }

    #[test]
    fn the_kernel_steps_the_world_as_rust_would() {
        // No multiple of four, and more than a chunk.
        let count = 20_003;
        let (mut scheduler, entities) = sparks(count).unwrap();
        let mut expected: Vec<_> = (0..count).map(spark).collect();
        for frame in 0..45 {
            let report = scheduler.run_frame(DT, f64::from(frame) * DT).unwrap();
            assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
            expected.iter_mut().for_each(step);
        }
        let world = scheduler.world();
        let mut alive = 0;
        for (entity, (position, velocity, life)) in entities.iter().zip(&expected) {
            assert_eq!(world.is_alive(*entity), life.seconds > 0.0);
            if world.is_alive(*entity) {
                alive += 1;
                assert_eq!(world.get::<Position>(*entity).unwrap(), *position);
                assert_eq!(world.get::<Velocity>(*entity).unwrap(), *velocity);
            }
        }
        assert!(alive > 0 && alive < count && alive == world.len());
    }

    #[test]
    fn static_data_needs_a_position_independent_kernel() {
        let cluster = Cluster::new().unwrap();
        // SAFETY: `table.c` writes the rows of `Life`, its stack and its static data.
        let kernel = |flags: &[&str]| unsafe { cluster.kernel(compile("table.c", flags).unwrap()) };
        match kernel(&PLAIN).map(drop) {
            Err(AgentError::Kernel { error: KernelError::FixedData { segment, .. }, .. }) => {
                assert!(segment.contains("data"), "{segment}");
            }
            other => panic!("{other:?}"),
        }
        let mut world = World::on(cluster.memory(64 << 20).unwrap());
        let entities: Vec<_> = world.spawn_batch((0..10).map(|_| Life { seconds: 0.0 })).unwrap().iter().collect();
        // One lane, as each has an instance of its own, with its own data.
        let options = Options { workers: 0, mode: Mode::Serial, ..Options::default() };
        let mut scheduler = Scheduler::new(world, options).unwrap();
        let job = Job::new(kernel(&POSITION_INDEPENDENT).unwrap()).writes::<Life>();
        scheduler.add(System::new("table").job(job)).unwrap();
        for frame in 0..3 {
            let report = scheduler.run_frame(DT, 0.0).unwrap();
            assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
            for (row, entity) in entities.iter().enumerate() {
                let expected = [1.5, 2.5, 4.0, 8.0][(row + frame) % 4];
                assert_eq!(scheduler.world().get::<Life>(*entity).unwrap().seconds, expected);
            }
        }
    }
}
