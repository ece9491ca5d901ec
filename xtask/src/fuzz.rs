//! Fuzzing: builds every target in `fuzz/src/bin` and lets libFuzzer run each for a while.
//!
//! What `cargo fuzz` would do, without installing it: the compiler's unstable flags for coverage and AddressSanitizer, for
//! which this toolchain is told to act as a nightly one. Inputs that reach new code are kept in the target directory, so
//! that a long run helps the short ones; `fuzz/corpus/NAME` holds inputs to start from and is only read. An input that
//! fails is kept in the target directory too, its path is printed, and every later run tries it again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{root, target_dir};

/// In `./x test`: enough to see that a target works and that no input that is kept fails.
const BRIEF_SECONDS: u32 = 4;
/// In `./x check fuzz`.
const LONG_SECONDS: u32 = 120;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Coverage that guides libFuzzer: counters in place, the addresses that they belong to, and compared values.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Zsanitizer=address";

/// The longest input in bytes: what matters is found in short ones, of which more fit in the time.
const INPUT_BYTES_MAX: u32 = 4096;
/// An input that takes longer counts as a failure.
const INPUT_SECONDS_MAX: u32 = 20;
/// So does one with which the target needs more memory than this.
const MEMORY_MIB_MAX: u32 = 2048;

/// Runs each target for a few seconds.
pub(crate) fn brief() -> bool {
    passes(BRIEF_SECONDS)
}

/// Runs each target for minutes.
pub(crate) fn long() -> bool {
    passes(LONG_SECONDS)
}

fn passes(seconds: u32) -> bool {
    let targets = match targets() {
        Ok(targets) => targets,
        Err(error) => {
            eprintln!("cannot list fuzz/src/bin: {error}");
            return false;
        }
    };
    let directory = target_dir("fuzz");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--bins", "--target", TARGET, "--target-dir"]).arg(&directory);
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS).current_dir(root().join("fuzz"));
    // Every target runs, whatever the one before it did.
    succeeds(&mut build) && targets.iter().filter(|target| !fuzz(&directory, target, seconds)).count() == 0
}

/// The names of the targets, in order.
fn targets() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/src/bin"))? {
        let path = entry?.path();
        if let (Some("rs"), Some(name)) = (extension(&path), path.file_stem()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn fuzz(directory: &Path, name: &str, seconds: u32) -> bool {
    let found = directory.join("found").join(name);
    let failures = directory.join("failures").join(name);
    if let Err(error) = fs::create_dir_all(&found).and_then(|()| fs::create_dir_all(&failures)) {
        eprintln!("fuzz {name}: cannot make a directory in {}: {error}", directory.display());
        return false;
    }
    let binary = directory.join(TARGET).join("debug").join(name);
    let mut run = Command::new(&binary);
    run.arg(&found).arg(&failures);
    let corpus = root().join("fuzz/corpus").join(name);
    if corpus.is_dir() {
        run.arg(&corpus);
    }
    run.args(["-seed=1", "-verbosity=0", "-print_funcs=0", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", failures.display()));
    eprintln!("fuzz {name}: {seconds} s");
    // It tells a lot, of which only the end of a failed run matters to somebody.
    let output = match run.output() {
        Ok(output) => output,
        Err(error) => return cannot_start(&run, &error),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let inputs = told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        eprintln!("fuzz {name}: {} inputs, none of which fails", inputs.map_or("?", str::trim));
        return true;
    }
    eprint!("{told}");
    match newest(&failures) {
        Some(input) => eprintln!("fuzz {name}: FAILED; again with: {} {}", binary.display(), input.display()),
        None => eprintln!("fuzz {name}: FAILED without an input; see above"),
    }
    false
}

/// The file that was written last.
fn newest(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let dated =
        entries.filter_map(|entry| Some((entry.metadata().and_then(|data| data.modified()).ok()?, entry.path())));
    dated.max().map(|(_, path)| path)
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => cannot_start(command, &error),
    }
}

fn cannot_start(command: &Command, error: &io::Error) -> bool {
    eprintln!("cannot start {}: {error}", command.get_program().display());
    false
}
