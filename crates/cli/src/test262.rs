//! `peristyle test262`: runs test262, the conformance suite of ECMAScript, on the agents.
//!
//! Exit code 0 means that nothing failed but what the engine itself is known to fail; 1 that something else did, or that it
//! could not be run; 2 that it was asked wrongly.

use std::{
    fs::File,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use peristyle_test262::{Cause, Checkout, Options, Outcome, Report, SuiteError, run, serve};

/// Failures that are printed at most; the JSON report has all.
const FAILURES_SHOWN: usize = 200;

/// Run a checkout of tc39/test262, each test in a realm of its own.
#[derive(Debug, Args)]
pub(crate) struct Test262 {
    /// The checkout: a directory with harness/ and test/.
    #[arg(value_name = "CHECKOUT")]
    checkout: PathBuf,

    /// Only tests whose path below test/ starts with this; may be given several times.
    #[arg(long = "filter", value_name = "PREFIX")]
    filters: Vec<String>,

    /// How many tests run at once [default: one for each core].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = jobs)]
    jobs: Option<NonZeroUsize>,

    /// How often everything is run.
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = repeat)]
    repeat: NonZeroUsize,

    /// Write the report as JSON; - for standard output, and nothing else there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Wall time after which a test is stopped and fails, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120", allow_negative_numbers = true, value_parser = seconds)]
    time_limit: Duration,

    /// Run tests that are asked for on standard input.
    #[arg(long, hide = true)]
    serve: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Test262Error {
    #[error(transparent)]
    Suite(#[from] SuiteError),
    #[error("cannot find this program again: {0}")]
    Program(io::Error),
    #[error("cannot serve: {0}")]
    Serve(io::Error),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot print the report: {0}")]
    Print(io::Error),
}

impl Test262 {
    pub(crate) fn run(self) -> ExitCode {
        match self.report() {
            Ok(passed) => {
                if passed {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Whether nothing failed by the host's fault.
    fn report(self) -> Result<bool, Test262Error> {
        let checkout = Checkout::open(&self.checkout)?;
        if self.serve {
            serve(&checkout, self.time_limit, io::stdin().lock(), io::stdout()).map_err(Test262Error::Serve)?;
            return Ok(true);
        }
        let program = std::env::current_exe().map_err(Test262Error::Program)?;
        let limit = self.time_limit.as_secs_f64().to_string();
        let root = checkout.root().to_owned();
        let command = || {
            let mut command = Command::new(&program);
            command.args(["test262", "--serve", "--time-limit", &limit, "--"]).arg(&root);
            command
        };
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let options = Options {
            filters: self.filters,
            jobs: self.jobs.unwrap_or(cores),
            repeat: self.repeat,
            time_limit: self.time_limit,
        };
        // Made before the first test: a report that cannot be written should be known now.
        let to_stdout = self.json.as_deref() == Some(Path::new("-"));
        let file = match &self.json {
            Some(path) if !to_stdout => {
                let write = |source| Test262Error::Write { path: path.clone(), source };
                Some((path, File::create(path).map_err(write)?))
            }
            _ => None,
        };
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}") {
            bar.set_style(style);
        }
        let mut failed = 0;
        let report = run(&checkout, &options, &command, &mut |done, total, outcome| {
            failed += u64::from(matches!(outcome, Outcome::Failed(_)));
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            bar.set_message(format!("{failed} failed"));
        });
        bar.finish_and_clear();
        let report = report?;
        if let Some((path, mut file)) = file {
            let write = |source| Test262Error::Write { path: path.clone(), source };
            json(&report, &mut file).map_err(write)?;
        }
        print(&report, to_stdout).map_err(Test262Error::Print)?;
        Ok(report.counts.host_failures == 0)
    }
}

fn print(report: &Report, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        return json(report, &mut out);
    }
    for failure in report.failures.iter().take(FAILURES_SHOWN) {
        let cause = match failure.cause {
            Cause::Engine => "engine",
            Cause::Host => "host",
        };
        writeln!(out, "failed ({cause}): {} ({}): {}", failure.path, failure.mode, failure.message)?;
    }
    if report.failures.len() > FAILURES_SHOWN {
        writeln!(out, "and {} more", report.failures.len() - FAILURES_SHOWN)?;
    }
    for path in &report.stale {
        writeln!(out, "passed, but is said to fail: {path}")?;
    }
    if !report.failures.is_empty() || !report.stale.is_empty() {
        writeln!(out)?;
    }
    write!(out, "{report}")?;
    if !report.missing_features.is_empty() {
        let features = report.missing_features.iter().map(|(feature, runs)| format!("{feature} ({runs})"));
        writeln!(out, "\nskipped, as the engine lacks: {}", features.collect::<Vec<_>>().join(", "))?;
    }
    out.flush()
}

fn json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)?;
    out.flush()
}

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let wrong = || format!("the number of jobs is {text}, expected 1 to 1024");
    text.parse().ok().filter(|jobs: &NonZeroUsize| jobs.get() <= 1024).ok_or_else(wrong)
}

fn repeat(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("the number of repetitions is {text}, expected a whole number, at least 1"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("the time limit is {text}, expected seconds above 0 and at most 86400");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if seconds > 0.0 && seconds <= 86_400.0 { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}
