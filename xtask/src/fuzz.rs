//! Fuzzing: builds every target in `fuzz/src/bin` and lets libFuzzer run each for a while.
//!
//! What `cargo fuzz` would do, without installing it: the compiler's unstable flags for coverage and AddressSanitizer, for
//! which this toolchain is told to act as a nightly one. `fuzz/corpus/NAME` holds inputs to start from and is only read. An
//! input that fails is kept in the target directory, its path is printed, and every later run tries it again.
//!
//! A long run keeps inputs that reach new code, too, and the next one goes on from them. A brief run knows nothing of them,
//! and tries a number of inputs, not for a time: what it finds comes of a change, and hardly of the day or the machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{root, target_dir};

/// In `./x test`: enough to see that a target works and that no input that is kept fails.
const BRIEF_INPUTS: u32 = 10_000;
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

/// Runs each target with some thousand inputs, drawn alike each time.
pub(crate) fn brief() -> bool {
    passes(Length::Brief)
}

/// Runs each target for minutes.
pub(crate) fn long() -> bool {
    passes(Length::Long)
}

#[derive(Clone, Copy)]
enum Length {
    Brief,
    Long,
}

fn passes(length: Length) -> bool {
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
    succeeds(&mut build) && targets.iter().filter(|target| !fuzz(&directory, target, length)).count() == 0
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

fn fuzz(directory: &Path, name: &str, length: Length) -> bool {
    // What reaches new code is written to the first folder.
    let found = match length {
        Length::Brief => directory.join(format!("brief-{}-{name}", std::process::id())),
        Length::Long => directory.join("found").join(name),
    };
    let passed = fuzz_from(directory, &found, name, length);
    if let Length::Brief = length {
        let _ = fs::remove_dir_all(found);
    }
    passed
}

fn fuzz_from(directory: &Path, found: &Path, name: &str, length: Length) -> bool {
    let failures = directory.join("failures").join(name);
    if let Err(error) = fs::create_dir_all(found).and_then(|()| fs::create_dir_all(&failures)) {
        eprintln!("fuzz {name}: cannot make a directory in {}: {error}", directory.display());
        return false;
    }
    let binary = directory.join(TARGET).join("debug").join(name);
    let mut run = Command::new(&binary);
    run.arg(found).arg(&failures);
    let corpus = root().join("fuzz/corpus").join(name);
    if corpus.is_dir() {
        run.arg(&corpus);
    }
    let bound = match length {
        Length::Brief => format!("-runs={BRIEF_INPUTS}"),
        Length::Long => format!("-max_total_time={LONG_SECONDS}"),
    };
    eprintln!("fuzz {name}: {}", &bound[1..]);
    run.args(["-seed=1", "-verbosity=0", "-print_funcs=0", "-print_final_stats=1"])
        .arg(bound)
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", failures.display()));
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
