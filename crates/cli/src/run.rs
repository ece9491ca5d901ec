//! `peristyle run`: runs a script as Node does, with `Worker` and `node:worker_threads`; and apps of the package `peristyle`.
//!
//! An app imports `peristyle` as in Node and in a page, and its world is native. If its main module exports a scheduler (by
//! default, or named `scheduler`), its frames are run here; one that runs its own does as in Node. The options of apps may
//! follow the script, as they are for it; `--` ends them. They are about frames: given to what runs none, they are an error.
//!
//! The script's agent may block. It sees no environment and reads no files (its modules apart) unless the arguments say so.
//! An error that nothing handles is printed with its place in the script, TypeScript or not, and the exit code is 1; else
//! it is the script's own. With a seed, the script and its workers take turns in virtual time, the same way on every run. What the script prints goes to stdout, its warnings and errors to stderr.

mod app;
mod serve;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, error::ErrorKind};
use peristyle_agents::{
    AgentError, AgentHandle, AgentOptions, Allowed, Cluster, Code, Deterministic, Exit, Level, NodeOptions, Stream,
};
use peristyle_runtime::{AppRuntime, FrameCount, Frames};
use peristyle_timeline::Timeline;

use self::{app::AppOptions, serve::Served};
use crate::ending::Ending;

/// Time between two looks whether an app was told to end.
const SIGNAL_PERIOD: Duration = Duration::from_millis(50);
/// Spans that a trace keeps of each lane: the newest.
const SPANS: usize = (1 << 16) - 1;

/// Which script, with what, and what it may reach.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The script (.ts, .mts, .js and .mjs are ES modules, .cjs is CommonJS) and its arguments, which process.argv shows from
    /// the third on. What follows the script is the script's, but for the options of apps: --ticks, --hz, --serve, --trace
    /// and --watch, up to a `--`.
    // One list: an argument that looks like an option of ours would be taken for it in front of a list of its own.
    #[arg(trailing_var_arg = true, required = true, value_name = "SCRIPT [ARGUMENTS]")]
    script: Vec<String>,
    /// Let the script see the environment: these variables, or all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 0.., require_equals = true)]
    allow_env: Option<Vec<String>>,
    /// Let node:fs read: these files and directories, or all.
    #[arg(long, value_name = "PATHS", value_delimiter = ',', num_args = 0.., require_equals = true)]
    allow_read: Option<Vec<PathBuf>>,
    /// MiB of JavaScript heap that the script may use, and each of its workers.
    #[arg(long, value_name = "MIB", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(4..=1 << 20))]
    max_heap: u64,
    /// Run deterministically: agents in turn, in an order that this number decides, in virtual time.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Write the turns that agents had to this file, one a line, to compare runs.
    #[arg(long, value_name = "FILE", requires = "seed")]
    turns: Option<PathBuf>,
    #[command(flatten)]
    app: AppOptions,
}

/// An option without a value allows everything.
fn allowed<T>(given: Option<Vec<T>>) -> Allowed<T> {
    match given {
        None => Allowed::Nothing,
        Some(names) if names.is_empty() => Allowed::Everything,
        Some(names) => Allowed::These(names),
    }
}

impl Run {
    /// Runs the script to its end.
    pub(crate) fn run(self) -> ExitCode {
        let (turns, seed) = (self.turns.clone(), self.seed);
        let Plan { code, options, app } = match self.plan() {
            Ok(plan) => plan,
            Err(error) => error.exit(),
        };
        let trace = match app.trace.as_deref().map(create_trace).transpose() {
            Ok(trace) => trace,
            Err(error) => return failed(&format!("error: {error}\n"), 1),
        };
        let (timeline, frames) = (timeline(&app), FrameCount::default());
        let served = app.serve.map(|address| Served::at(address, &timeline));
        let ending = Ending::default();
        let cluster = seed.map_or_else(Cluster::new, |seed| Cluster::deterministic(Deterministic::seed(seed)));
        let (exit, mut written) = match cluster {
            Ok(cluster) => {
                cluster.set_console(|level, text| print(stream_of(level), &format!("{text}\n")));
                let exit =
                    match runtime(&app, &timeline, served.clone()).count_frames(&frames).spawn(&cluster, code, options)
                    {
                        Ok(agent) => end_of(agent, &app, seed, &ending),
                        Err(error) => Exit::Failed(error),
                    };
                (exit, turns.map_or(Ok(()), |file| write_turns(&cluster, &file)))
            }
            Err(error) => (Exit::Failed(error), Ok(())),
        };
        if let Some(served) = served {
            served.end();
        }
        if let Some((file, out)) = trace {
            written = written.and(write_trace(&timeline, file, out));
        }
        let amiss = if ending.code().is_none() { amiss(&exit, &frames, &app) } else { None };
        let mut code = match (exit, ending.code()) {
            (Exit::Terminated(_), Some(code)) => ExitCode::from(code),
            (exit, _) => report(exit),
        };
        if let Some((why, amiss)) = amiss {
            code = failed(&why, amiss);
        }
        if let Err(error) = written {
            print(Stream::Stderr, &format!("error: {error}\n"));
            code = ExitCode::FAILURE;
        }
        // What was printed last may still lie in a buffer.
        let _ = io::stdout().flush();
        code
    }

    /// What is spawned.
    fn plan(self) -> Result<Plan, clap::Error> {
        let mut arguments = self.script.into_iter();
        let script = arguments.next().unwrap_or_default();
        let (app, arguments) = self.app.take(arguments.collect())?;
        if self.seed.is_some() && (app.serve.is_some() || app.watch) {
            let why = "a run with --seed is the same each time: --serve and --watch would change it\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, why));
        }
        let node = NodeOptions {
            arguments,
            env: allowed(self.allow_env),
            read: allowed(self.allow_read),
            read_option: "--allow-read".into(),
            output: Some(std::sync::Arc::new(print)),
        };
        let options = AgentOptions {
            heap_bytes: self.max_heap << 20,
            node: Some(node),
            may_block: true,
            ..AgentOptions::default()
        };
        Ok(Plan { code: Code::file(script), options, app })
    }
}

/// What is spawned, and how its frames are run.
struct Plan {
    code: Code,
    options: AgentOptions,
    app: AppOptions,
}

/// A timeline, which records if a trace is asked for, or a page watches: a lane for each worker that there may be, and one for the app.
fn timeline(app: &AppOptions) -> Timeline {
    if app.trace.is_none() && app.serve.is_none() {
        return Timeline::off();
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let timeline = Timeline::new(cores + 1, SPANS);
    timeline.set_enabled(app.trace.is_some());
    timeline
}

/// Waits for the end of a script's agent. One that is served or recorded ends in good order when it is told to end; one with a
/// seed has its turns from who waits for it, and no signals.
fn end_of(mut agent: AgentHandle, app: &AppOptions, seed: Option<u64>, ending: &Ending) -> Exit {
    let is_told = seed.is_none() && (app.serve.is_some() || app.trace.is_some());
    if !is_told {
        return agent.join().wait();
    }
    if let Err(error) = ending.listen() {
        print(Stream::Stderr, &format!("warning: cannot listen for Ctrl-C: {error}\n"));
    }
    loop {
        match agent.join().wait_timeout(SIGNAL_PERIOD) {
            Ok(exit) => return exit,
            Err(running) => agent = *running,
        }
        if ending.code().is_some() {
            agent.terminate();
        }
    }
}

fn runtime(app: &AppOptions, timeline: &Timeline, served: Option<Served>) -> peristyle_runtime::AppRuntimeBuilder {
    let defaults = Frames::default();
    let waits = app.ticks.is_none() || app.hz.is_some() || app.serve.is_some();
    let frames = Frames { hz: app.hz.unwrap_or(defaults.hz), ticks: app.ticks, waits };
    let runtime = AppRuntime::builder().frames(frames).watch(app.watch).timeline(timeline);
    match served {
        Some(served) => runtime.after_frame(move |world| served.publish(world)),
        None => runtime,
    }
}

/// Makes a trace's file before anything runs: an hour's frames are not to be lost to a wrong path.
fn create_trace(file: &Path) -> Result<(&Path, fs::File), String> {
    fs::File::create(file).map(|out| (file, out)).map_err(|error| unwritable(file, &error))
}

fn write_trace(timeline: &Timeline, file: &Path, out: fs::File) -> Result<(), String> {
    let mut out = io::BufWriter::new(out);
    timeline.write_chrome_trace(&mut out).and_then(|()| out.flush()).map_err(|error| unwritable(file, &error))
}

fn unwritable(file: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", file.display())
}

/// Writes what agents had the turn for, in order.
fn write_turns(cluster: &Cluster, file: &Path) -> Result<(), String> {
    let turns = cluster.interleaving().map_err(|error| error.to_string())?;
    let lines: String = turns.iter().map(|turn| format!("{turn}\n")).collect();
    fs::write(file, lines).map_err(|error| unwritable(file, &error))
}

fn stream_of(level: Level) -> Stream {
    match level {
        Level::Warn | Level::Error => Stream::Stderr,
        _ => Stream::Stdout,
    }
}

/// Writes what a script prints. Nobody is told when nobody reads.
fn print(stream: Stream, text: &str) {
    let _ = match stream {
        Stream::Stdout => io::stdout().lock().write_all(text.as_bytes()),
        Stream::Stderr => io::stderr().lock().write_all(text.as_bytes()),
    };
}

/// Why an app that ended without an error did not do what was asked for, and the exit code for it.
fn amiss(exit: &Exit, frames: &FrameCount, app: &AppOptions) -> Option<(String, u8)> {
    if *exit == Exit::Finished && frames.is_running() {
        // Node's code for a main module that waits in vain.
        return Some((
            "Warning: the app ended within a frame: a system waits for what nothing will settle\n".into(),
            13,
        ));
    }
    let options = app.given();
    let is_well = matches!(exit, Exit::Finished | Exit::Exited(0));
    if !is_well || options.is_empty() || frames.get() > 0 {
        return None;
    }
    let why = "export a scheduler from the main module (`export default scheduler`), or call its `runFrame`";
    Some((format!("error: no frame was run, for which {} was given: {why}\n", options.join(" and ")), 1))
}

fn failed(text: &str, code: u8) -> ExitCode {
    print(Stream::Stderr, text);
    ExitCode::from(code)
}

/// The exit code of an end; says on stderr what no script could say.
fn report(exit: Exit) -> ExitCode {
    match exit {
        Exit::Finished | Exit::Closed => ExitCode::SUCCESS,
        // The system keeps the lowest byte.
        Exit::Exited(code) => ExitCode::from(code as u8),
        Exit::Terminated(why) => failed(&format!("error: the script was stopped: {why}\n"), 1),
        // Node's code for it.
        Exit::Failed(error @ AgentError::Unsettled { .. }) => failed(&format!("Warning: {error}\n"), 13),
        Exit::Failed(error @ AgentError::Syntax { .. }) => failed(&format!("Uncaught SyntaxError: {error}\n"), 1),
        Exit::Failed(error @ AgentError::Threw { .. }) => failed(&format!("Uncaught {error}\n"), 1),
        Exit::Failed(error) => failed(&format!("error: {error}\n"), 1),
        other => failed(&format!("error: the script ended in an unknown way: {other:?}\n"), 1),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        run: Run,
    }

    fn node(arguments: &[&str]) -> NodeOptions {
        let only = Only::try_parse_from(["run"].iter().chain(arguments)).expect("they can be parsed");
        only.run.plan().expect("they can be parsed").options.node.expect("it is Node's manner")
    }

    #[test]
    fn nothing_is_allowed_unless_asked() {
        let node = node(&["a.ts", "--allow-read", "x"]);
        assert_eq!((node.env, node.read), (Allowed::Nothing, Allowed::Nothing));
        assert_eq!(node.arguments, ["--allow-read", "x"], "what follows the script is the script's");
    }

    #[test]
    fn turns_are_written_of_runs_with_a_seed() {
        assert!(Only::try_parse_from(["run", "--turns", "x", "a.ts"]).is_err());
        let only = Only::try_parse_from(["run", "--seed", "7", "--turns", "x", "a.ts"]).expect("they can be parsed");
        assert_eq!((only.run.seed, only.run.turns), (Some(7), Some("x".into())));
    }

    #[test]
    fn all_or_some_can_be_allowed() {
        let all = node(&["--allow-env", "--allow-read", "a.ts"]);
        assert_eq!((all.env, all.read), (Allowed::Everything, Allowed::Everything));
        let some = node(&["--allow-env=HOME,LANG", "--allow-read=/a,b", "a.ts", "1"]);
        assert_eq!(some.env, Allowed::These(vec!["HOME".into(), "LANG".into()]));
        assert_eq!(some.read, Allowed::These(vec!["/a".into(), "b".into()]));
        assert_eq!(some.arguments, ["1"]);
    }
}
