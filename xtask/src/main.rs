//! The project's own jobs, called by `./x`: test, bench, check, docs, wasm and fmt.
//!
//! Each is a list of named steps, run in order until one fails; a table at the end says how long each took.

mod docs;
mod engine;
mod fuzz;
mod limit;
mod wasm;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// One step of a job.
struct Step {
    name: &'static str,
    action: Action,
    /// Who takes longer hangs.
    limit: Duration,
}

/// Of a step, on a machine that is busy with others.
const LIMIT: Duration = Duration::from_mins(30);
/// Of a step that may have to compile all there is.
const LIMIT_OF_BUILDS: Duration = Duration::from_mins(60);
/// Of measurements and long checks.
const LIMIT_OF_LONG: Duration = Duration::from_hours(12);

enum Action {
    Run(Command),
    Check(fn() -> bool),
}

fn step(name: &'static str, program: &str, arguments: &[&str]) -> Step {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    Step { name, action: Action::Run(command), limit: LIMIT }
}

fn own(name: &'static str, check: fn() -> bool) -> Step {
    Step { name, action: Action::Check(check), limit: LIMIT }
}

/// Something in the live page's package.
fn live(name: &'static str, arguments: &[&str]) -> Step {
    step(name, "npm", arguments).within("packages/live")
}

/// Something in the packages for UI frameworks.
fn adapters(name: &'static str, arguments: &[&str]) -> Step {
    step(name, "npm", arguments).within("packages/adapters")
}

/// Something in the example that React shows.
fn react(name: &'static str, arguments: &[&str]) -> Step {
    step(name, "npm", arguments).within("examples/react")
}

/// A binary that was built.
fn built(name: &str) -> String {
    target_dir("debug").join(name).to_string_lossy().into_owned()
}

/// Something in the npm package.
fn npm(name: &'static str, arguments: &[&str]) -> Step {
    step(name, "npm", arguments).within("packages/peristyle")
}

/// One of the npm package's benches.
fn in_node(name: &'static str, script: &str) -> Step {
    step(name, "node", &[&format!("scripts/{script}.mjs")]).within("packages/peristyle")
}

fn cargo(name: &'static str, arguments: &[&str]) -> Step {
    step(name, "cargo", arguments)
}

impl Step {
    /// In a folder below the root.
    fn within(self, folder: &str) -> Step {
        self.with(|command| command.current_dir(root().join(folder)))
    }

    fn env(self, key: &str, value: &str) -> Step {
        self.with(|command| command.env(key, value))
    }

    fn limit(self, limit: Duration) -> Step {
        Step { limit, ..self }
    }

    fn with(mut self, change: impl FnOnce(&mut Command) -> &mut Command) -> Step {
        if let Action::Run(command) = &mut self.action {
            change(command);
        }
        self
    }

    /// Whether it succeeded.
    fn run(self) -> bool {
        limit::within(self.limit, self.name, || match self.action {
            Action::Check(check) => check(),
            Action::Run(mut command) => match command.status() {
                Ok(status) => status.success(),
                Err(error) => {
                    eprintln!("cannot start {:?}: {error}", command.get_program());
                    false
                }
            },
        })
    }
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    // Cargo sets this when it builds; a binary started from elsewhere still finds its sources.
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder below the target directory for what is built with other flags than the one profile.
pub(crate) fn target_dir(tool: &str) -> PathBuf {
    let base = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    base.join(tool)
}

/// Runs a command of a check; says why it failed.
pub(crate) fn succeed(mut command: Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed: {status}")),
        Err(error) => Err(format!("cannot start {program}: {error}")),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (job, rest) = match arguments.split_first() {
        Some((job, rest)) => (job.as_str(), rest),
        None => ("", &arguments[..]),
    };
    let steps = match job {
        "test" => from(test(), rest),
        "bench" => bench(rest),
        "check" => check(rest),
        "fmt" => Some(fmt(&["fmt", "--all"])),
        "wasm" => Some(vec![npm_packages(), wasm_step()]),
        "docs" => Some(vec![npm_packages(), wasm_step(), rust_docs(), site()]),
        _ => None,
    };
    let Some(steps) = steps else {
        eprintln!(
            "usage: ./x test [STEP] | bench [peers | schedule | javascript | timeline | placement | shared | kernel | patches | agents\n\
             | locks | terminate | snapshots | mailbox_bench | run_ahead_bench | replica_bench | core | mirror | gateway | npm]\n\
             | check [asan | loom | random | fuzz] | docs | wasm | fmt"
        );
        return ExitCode::from(2);
    };
    run(job, steps)
}

/// Where the Bevy plugin and its example live: a workspace of its own, like the peers' bench.
const BEVY: &str = "crates/bevy";

fn fmt(arguments: &[&str]) -> Vec<Step> {
    vec![
        cargo("format", arguments),
        cargo("format of the peers' bench", arguments).within("bench/peers"),
        cargo("format of the Bevy plugin", arguments).within(BEVY),
        cargo("format of the fuzz targets", arguments).within("fuzz"),
    ]
}

/// Installs what a lock file names: from the cache what is there, the rest from a registry that may be asked again.
const CI: [&str; 6] = ["ci", "--prefer-offline", "--fetch-retries=5", "--no-audit", "--no-fund", "--loglevel=error"];

/// What the npm package is built and tested with.
fn npm_packages() -> Step {
    npm("packages of the npm package", &CI)
}

/// The core for Node and pages.
fn wasm_step() -> Step {
    own("the core in WebAssembly", wasm::build)
}

/// What rustdoc says of the workspace: a check, and a part of the site.
fn rust_docs() -> Step {
    cargo("documentation", &["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings")
}

/// The documentation's site, after what rustdoc made.
fn site() -> Step {
    own("the documentation's site", docs::build)
}

/// All steps, or those from the one of this name on: for who has mended it. None if there is none.
fn from(mut steps: Vec<Step>, names: &[String]) -> Option<Vec<Step>> {
    if let [name, ..] = names {
        let first = steps.iter().position(|step| step.name == name)?;
        steps.drain(..first);
    }
    Some(steps)
}

/// What CI runs, in the order in which it fails fastest.
fn test() -> Vec<Step> {
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let mut steps = fmt(&["fmt", "--all", "--check"]);
    steps.extend([
        own("one engine", engine::is_built_once),
        // With the features of the tests, or all would be linked twice.
        cargo("build", &["build", "--workspace", "--all-targets", "--features", "peristyle-replica/zstd"])
            .limit(LIMIT_OF_BUILDS),
        cargo("lints", &lints).limit(LIMIT_OF_BUILDS),
        // The same random cases in each run, so that what fails here fails again; `./x check random` draws new ones.
        cargo("tests", &["test", "--workspace", "--tests", "--features", "peristyle-replica/zstd", "--no-fail-fast"])
            .env("PROPTEST_RNG_SEED", "1")
            .limit(LIMIT_OF_BUILDS),
        cargo("examples in the documentation", &["test", "--workspace", "--doc"]),
        rust_docs(),
        cargo("lints of the Bevy plugin", &lints).within(BEVY),
        cargo("tests of the Bevy plugin", &["test", "--workspace"]).within(BEVY),
        cargo("example of the Bevy plugin", &["run", "--quiet", "-p", "bevy-offload"]).within(BEVY),
        npm_packages(),
        wasm_step(),
        npm("types of the npm package", &["run", "--silent", "check"]),
        npm("tests of the npm package", &["test", "--silent"]),
        step("the core in a browser", "node", &["--test", "test/browser/core.mjs"]).within("packages/peristyle"),
        npm("build of the npm package", &["run", "--silent", "build"]),
        npm("size of the npm package", &["run", "--silent", "size"]),
        npm("the npm package in an empty project", &["run", "--silent", "test:pack"]),
        step("snippets of the documentation's site", "node", &["docs/site/check.mjs"]),
        site(),
        adapters("packages of the adapters", &CI),
        adapters("types of the adapters", &["run", "--silent", "check"]),
        adapters("build of the adapters", &["run", "--silent", "build"]),
        adapters("the adapters in a browser", &["test", "--silent"]),
        react("packages of the example in React", &CI),
        react("types of the example in React", &["run", "--silent", "check"]),
        react("the example in React in a browser", &["test", "--silent"]),
        live("packages of the live page", &CI),
        live("types of the live page", &["run", "--silent", "check"]),
        live("whether the live page is what its sources make", &["run", "--silent", "fresh"]),
        live("the live page in a browser", &["test", "--silent"]).env("PERISTYLE_BIN", &built("peristyle")),
        own("fuzz targets, briefly", fuzz::brief),
    ]);
    steps
}

/// Ours, the peers and the hand-written limit side by side: all, or one of them.
fn bench(names: &[String]) -> Option<Vec<Step>> {
    let measured = |name, bin| (bin, cargo(name, &["run", "--quiet", "-p", "peristyle-bench", "--bin", bin]));
    let example =
        |name, package, example| (example, cargo(name, &["run", "--quiet", "-p", package, "--example", example]));
    let all = [
        ("peers", cargo("against peers", &["run", "--quiet"]).within("bench/peers")),
        measured("frames on one and on two lanes", "schedule"),
        measured("jobs in TypeScript", "javascript"),
        measured("recording what ran where", "timeline"),
        measured("where systems run", "placement"),
        measured("lent columns against shared ones", "shared"),
        measured("WebAssembly kernels against native loops", "kernel"),
        measured("patches", "patches"),
        measured("spawned agents beside worker_threads", "agents"),
        measured("locks between agents", "locks"),
        measured("terminating agents", "terminate"),
        (
            "snapshots",
            cargo("snapshots of a Bevy world", &["bench", "--profile", "dev", "--bench", "snapshot"]).within(BEVY),
        ),
        example("mailboxes against a bare futex", "peristyle-memory", "mailbox_bench"),
        example("ticks ahead", "peristyle-schedule", "run_ahead_bench"),
        example("mirrors of worlds", "peristyle-replica", "replica_bench"),
        ("core", in_node("the way into the core", "bench-core")),
        ("mirror", cargo("mirrors of state", &["bench", "--profile", "dev", "-p", "peristyle-mirror"])),
        measured("worlds on the network", "gateway"),
        ("gateway", cargo("the live page's server", &["build", "--quiet", "-p", "peristyle-cli"])),
        ("gateway", npm_packages()),
        ("gateway", npm("build of the npm package", &["run", "--silent", "build"])),
        ("gateway", live("packages of the live page", &CI)),
        (
            "gateway",
            live("the live page and its client", &["run", "--silent", "bench"])
                .env("PERISTYLE_BIN", &built("peristyle")),
        ),
        ("npm", npm_packages()),
        ("npm", wasm_step()),
        ("npm", npm("build of the npm package", &["run", "--silent", "build"])),
        ("npm", step("peers of the npm package", "npm", &CI).within("packages/bench")),
        ("npm", in_node("worlds and jobs in many processes", "bench-processes")),
        ("npm", in_node("worlds and jobs against peers", "bench-world")),
        ("npm", in_node("pools against a peer", "bench-pool")),
        ("npm", npm("kernels, and a client that takes updates in", &["run", "--silent", "bench"])),
    ];
    choose(all, names)
}

/// The steps of those names, or all; none if a name is unknown.
fn choose<const N: usize>(all: [(&str, Step); N], names: &[String]) -> Option<Vec<Step>> {
    if names.iter().any(|name| !all.iter().any(|(known, _)| known == name)) {
        return None;
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    Some(all.into_iter().filter(|(name, _)| wanted(name)).map(|(_, step)| step.limit(LIMIT_OF_LONG)).collect())
}

/// The crates that hold unsafe code and no foreign code.
const CORE: [&str; 9] = [
    "peristyle-layout",
    "peristyle-memory",
    "peristyle-timeline",
    "peristyle-world",
    "peristyle-jobs",
    "peristyle-schedule",
    "peristyle-offload",
    "peristyle-replica",
    "peristyle-abi",
];

/// What takes too long, or needs other flags than the one profile.
fn check(names: &[String]) -> Option<Vec<Step>> {
    let packages: Vec<&str> = CORE.iter().flat_map(|name| ["-p", name]).collect();
    let target_dir = |tool: &str| target_dir(tool).to_string_lossy().into_owned();
    let asan = {
        let directory = target_dir("asan");
        let mut arguments = vec!["test", "--tests", "--target", "x86_64-unknown-linux-gnu", "--target-dir", &directory];
        arguments.extend(&packages);
        // The compile-fail tests start a compiler of their own, with other flags.
        arguments.extend(["--", "--skip", "compile_fail"]);
        cargo("AddressSanitizer", &arguments)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env("PROPTEST_CASES", "64")
    };
    let loom = {
        let directory = target_dir("loom");
        cargo("loom", &["test", "-p", "peristyle-jobs", "-p", "peristyle-memory", "--lib", "--target-dir", &directory])
            .env("RUSTFLAGS", "--cfg loom")
            .env("LOOM_MAX_PREEMPTIONS", "3")
    };
    let random = {
        let mut arguments = vec!["test", "--tests"];
        arguments.extend(&packages);
        cargo("long random tests", &arguments).env("PROPTEST_CASES", "20000").env("PERISTYLE_CLONE_RUNS", "200")
    };
    let fuzz = own("fuzz targets", fuzz::long);
    choose([("asan", asan), ("loom", loom), ("random", random), ("fuzz", fuzz)], names)
}

fn run(job: &str, steps: Vec<Step>) -> ExitCode {
    let mut times: Vec<(&str, Duration, bool)> = Vec::new();
    for step in steps {
        let name = step.name;
        eprintln!("x {job}: {name}");
        let began = Instant::now();
        let passed = step.run();
        times.push((name, began.elapsed(), passed));
        if !passed {
            break;
        }
    }
    let passed = times.iter().all(|(_, _, passed)| *passed);
    for (name, time, passed) in &times {
        let minutes = time.as_secs_f64() / 60.0;
        eprintln!("x {job}: {minutes:6.2} min  {name}{}", if *passed { "" } else { "  FAILED" });
    }
    let total: Duration = times.iter().map(|(_, time, _)| *time).sum();
    eprintln!("x {job}: {:6.2} min  in all: {}", total.as_secs_f64() / 60.0, if passed { "passed" } else { "failed" });
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
