//! Runs a kernel written in Rust on a world: leaves in the wind.
//!
//! ```sh
//! cargo run -p peristyle-kernel-rust [-- LEAVES]
//! ```
//!
//! Compiles this package's library into WebAssembly whose memory is the world's, and lets it step the world for ten
//! simulated seconds.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use peristyle_agents::Cluster;
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
struct Gusts {
    x: f32,
    y: f32,
}

const DT: f64 = 1.0 / 60.0;
const GUSTS: usize = 7;

/// Compiles the kernel and gives its file.
///
/// Shared memory needs a `core` with atomics, which no toolchain brings along compiled: it takes the first compiler that
/// has the sources of it.
fn compile() -> Result<PathBuf> {
    let has_sources = |rustc: &&str| {
        let output = Command::new(rustc).args(["--print", "sysroot"]).output();
        output.is_ok_and(|output| {
            let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
        })
    };
    let rustc = ["rustc", "/usr/bin/rustc"].into_iter().find(has_sources);
    let rustc =
        rustc.ok_or("no rustc with the sources of core: install Debian's rustc-web and rust-web-src, or rust-src")?;
    let mut flags = vec![
        "-Ctarget-feature=+atomics,+bulk-memory,+simd128".to_owned(),
        "-Clink-arg=--import-memory".into(),
        "-Clink-arg=--shared-memory".into(),
        "-Clink-arg=--max-memory=4294967296".into(),
        "-Clink-arg=--export=__stack_pointer".into(),
    ];
    let linker = Path::new("/usr/lib/llvm-19/bin/wasm-ld");
    if linker.exists() {
        flags.push(format!("-Clinker={}", linker.display()));
    }
    // Beside what else cargo built, where the next run finds it.
    let exe = std::env::current_exe()?;
    let built = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let target = built.or(exe.parent()).ok_or("this program lies nowhere")?.join("wasm");
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--lib", "-p", env!("CARGO_PKG_NAME")])
        .args(["--target", "wasm32-unknown-unknown", "-Zbuild-std=core", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTC", rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // Unstable options of a stable compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        // Drops the texts of panics, which would be static data.
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("cargo failed: {status}").into());
    }
    Ok(target.join("wasm32-unknown-unknown/release/peristyle_kernel_rust.wasm"))
}

// ANCHOR: world
/// A world of leaves on a memory that the engine made, with the kernel that steps it; and the leaves.
fn leaves(count: usize) -> Result<(Scheduler, Vec<Entity>)> {
    let cluster = Cluster::new()?;
    // SAFETY: `src/lib.rs` writes what `peristyle_kernel` hands out, and has no static data.
    let kernel = unsafe { cluster.kernel(compile()?)? };
    let mut world = World::on(cluster.memory(Cluster::MEMORY_BYTES_MAX)?);
    let leaves = world.spawn_batch((0..count).map(leaf))?.iter().collect();
    world.insert_columns::<Gusts>(GUSTS, |gusts| {
        for (i, (x, y)) in gusts.x.iter_mut().zip(gusts.y).enumerate() {
            (*x, *y) = gust(i);
        }
    })?;
    let mut scheduler = Scheduler::new(world, Options::default())?;
    let job = Job::new(kernel).writes::<Position>().writes::<Velocity>().reads_columns::<Gusts>();
    scheduler.add(System::new("leaves").job(job))?;
    Ok((scheduler, leaves))
}
// ANCHOR_END: world

fn leaf(i: usize) -> (Position, Velocity) {
    (Position { x: i as f32 * 0.125, y: 0.0 }, Velocity { x: 0.0, y: (i % 5) as f32 })
}

fn gust(i: usize) -> (f32, f32) {
    (3.0 + i as f32 * 0.5, 1.0 - i as f32 * 0.25)
}

fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let (mut scheduler, _) = leaves(count)?;
    let (start, frames) = (Instant::now(), 600);
    for frame in 0..frames {
        scheduler.run_frame(DT, f64::from(frame) * DT)?;
        if let Some(failure) = scheduler.take_failures().into_iter().next() {
            return Err(failure.to_string().into());
        }
    }
    let per_row = start.elapsed().as_nanos() as f64 / (count.max(1) as f64 * f64::from(frames));
    println!("{count} leaves drifted for {frames} frames; {per_row:.2} ns a row and frame");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_steps_the_world_as_rust_would() {
        let count = 20_003;
        let (mut scheduler, leaves) = leaves(count).unwrap();
        let mut expected: Vec<_> = (0..count).map(leaf).collect();
        for frame in 0..10 {
            let report = scheduler.run_frame(DT, f64::from(frame) * DT).unwrap();
            assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
            for ((position, velocity), leaf) in expected.iter_mut().zip(&leaves) {
                let (x, y) = gust(leaf.index() as usize % GUSTS);
                let dt = DT as f32;
                velocity.x += (x - velocity.x) * (1.5 * dt);
                velocity.y += (y - velocity.y) * (1.5 * dt);
                position.x += velocity.x * dt;
                position.y += velocity.y * dt;
            }
        }
        for (leaf, (position, velocity)) in leaves.iter().zip(&expected) {
            assert_eq!(scheduler.world().get::<Position>(*leaf).unwrap(), *position);
            assert_eq!(scheduler.world().get::<Velocity>(*leaf).unwrap(), *velocity);
        }
    }
}
