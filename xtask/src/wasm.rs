//! The core for Node and pages: both builds of `peristyle-wasm`, and the modules that the npm package carries them in.
//!
//! Shared memory needs a std with atomics, which no toolchain brings along compiled: it is built from its source, by the
//! first compiler that has it. Both builds use that compiler, so that they differ in their memory alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{root, succeed, target_dir};

/// Builds, shrinks and packs both.
pub(crate) fn build() -> bool {
    match run() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("x wasm: {error}");
            false
        }
    }
}

fn run() -> Result<(), String> {
    let out = target_dir("wasm");
    let rustc = compiler()?;
    for build in ["shared", "plain"] {
        let wasm = compile(rustc, build, &out.join(build))?;
        let to = out.join(format!("core.{build}.wasm"));
        fs::copy(&wasm, &to).map_err(|error| format!("cannot copy {}: {error}", wasm.display()))?;
    }
    let mut pack = Command::new("node");
    pack.args(["scripts/core.mjs"]).arg(&out).current_dir(root().join("packages/peristyle"));
    succeed(pack)
}

/// A compiler that has the sources of std: the toolchain's own or Debian's.
fn compiler() -> Result<&'static str, String> {
    let has_sources = |rustc: &&str| {
        let output = Command::new(rustc).args(["--print", "sysroot"]).output();
        output.is_ok_and(|output| {
            let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").exists()
        })
    };
    let known = ["rustc", "/usr/bin/rustc"].into_iter().find(has_sources);
    known.ok_or_else(|| {
        "no rustc with the sources of std: install Debian's rustc-web and rust-web-src, or rust-src".into()
    })
}

/// Compiles one build, and gives its file.
fn compile(rustc: &str, build: &str, target: &Path) -> Result<PathBuf, String> {
    let mut flags = vec![
        "-Clink-arg=--import-memory".to_owned(),
        // As much as 32 bits reach. Who makes the memory may give it less.
        "-Clink-arg=--max-memory=4294967296".into(),
        // `INITIAL_PAGES` of the npm package's `core/core.ts`.
        "-Clink-arg=--initial-memory=4194304".into(),
    ];
    if build == "shared" {
        flags.push("-Ctarget-feature=+atomics,+bulk-memory,+simd128".into());
        flags.push("-Clink-arg=--shared-memory".into());
    } else {
        flags.push("-Ctarget-feature=+bulk-memory,+simd128".into());
    }
    let linker = Path::new("/usr/lib/llvm-19/bin/wasm-ld");
    if linker.exists() {
        flags.push(format!("-Clinker={}", linker.display()));
    }
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--release", "-p", "peristyle-wasm", "--target", "wasm32-unknown-unknown"])
        .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
        .arg(target)
        .current_dir(root())
        .env("RUSTC", rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // Unstable options of a stable compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    succeed(cargo)?;
    Ok(target.join("wasm32-unknown-unknown/release/peristyle_wasm.wasm"))
}
