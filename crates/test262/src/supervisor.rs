//! The side that has tests run: processes, one for each job, and a report.
//!
//! Each job's thread owns a process, gives it the next run, and waits for the answer. A process that dies, or does not
//! answer in time, fails the run that it had, and another one takes its place.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::worker::{Answer, Request};
use crate::{Checkout, MISSING, Mode, Report, SuiteError, TestFile};

/// How long a process may take beyond a test's time limit: it stops the test itself, and needs time for that.
const GRACE: Duration = Duration::from_secs(20);
/// Runs after which a process is replaced: what leaks in one does not grow for ever.
const RUNS_MAX: usize = 5_000;

/// How tests are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tests by the beginnings of their paths; all, if there are none.
    pub filters: Vec<String>,
    /// How many tests run at once.
    pub jobs: NonZeroUsize,
    /// How often everything is run.
    pub repeat: NonZeroUsize,
    /// Wall time after which a test is stopped.
    pub time_limit: Duration,
}

/// What came out of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was to do.
    Passed,
    /// It did not; what happened.
    Failed(String),
    /// It was left out, for this feature.
    Skipped(&'static str),
}

/// Told of each run, as it ends: how many ended, of how many, and how this one did.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, &Outcome);

/// Runs tests. `command` makes the command of a process that [serves](crate::serve) the same checkout with the same limit.
///
/// # Errors
/// [`SuiteError`]; a test that fails is none.
pub fn run(
    checkout: &Checkout,
    options: &Options,
    command: &(dyn Fn() -> Command + Sync),
    progress: Progress<'_>,
) -> Result<Report, SuiteError> {
    let files = checkout.tests(&options.filters)?;
    let patience = options.time_limit + GRACE;
    let mut first = Process::start(command)?;
    let missing = missing(&files, &mut first, patience)?;
    drop(first);
    let mut runs: Vec<(&TestFile, Mode)> = Vec::new();
    let mut left_out: Vec<(&TestFile, &'static str)> = Vec::new();
    for file in &files {
        let lacks = missing.iter().find(|lacks| file.matter.features.iter().any(|feature| feature == **lacks));
        match lacks {
            Some(lacks) => left_out.extend(file.modes().iter().map(|_| (file, *lacks))),
            None => runs.extend(file.modes().iter().map(|mode| (file, *mode))),
        }
    }
    let repeat = options.repeat.get();
    let (total, mut done) = ((runs.len() + left_out.len()) * repeat, 0);
    let mut report = Report::default();
    let mut tell = |report: &mut Report, file: &TestFile, mode: Option<Mode>, outcome: Outcome| {
        done += 1;
        progress(done, total, &outcome);
        match (outcome, mode) {
            (Outcome::Skipped(feature), _) => report.skipped(&file.path, feature),
            (Outcome::Passed, Some(mode)) => report.ran(&file.path, mode, None),
            (Outcome::Failed(message), Some(mode)) => report.ran(&file.path, mode, Some(message)),
            (_, None) => {}
        }
    };
    for (file, feature) in (0..repeat).flat_map(|_| left_out.iter()) {
        tell(&mut report, file, None, Outcome::Skipped(feature));
    }
    let (next, given_up) = (AtomicUsize::new(0), AtomicBool::new(false));
    let count = runs.len() * repeat;
    let (results, ended) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..options.jobs.get().min(count) {
            let (results, next, given_up, runs) = (results.clone(), &next, &given_up, &runs);
            scope.spawn(move || {
                let mut process = None;
                while !given_up.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let (file, mode) = runs[at % runs.len()];
                    let outcome = one(&mut process, command, file, mode, patience);
                    if results.send((file, mode, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut failed = None;
        for (file, mode, outcome) in ended {
            match outcome {
                Ok(outcome) => tell(&mut report, file, Some(mode), outcome),
                Err(error) => {
                    given_up.store(true, Ordering::Relaxed);
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    })?;
    report.finish();
    Ok(report)
}

/// The features of these files that the engine lacks.
fn missing(files: &[TestFile], process: &mut Process, patience: Duration) -> Result<Vec<&'static str>, SuiteError> {
    let mut lacks = Vec::new();
    for (at, missing) in MISSING.iter().enumerate() {
        if !files.iter().any(|file| file.matter.features.iter().any(|feature| feature == missing.feature)) {
            continue;
        }
        let answer = process.ask(&Request::Check(at), patience);
        let answer = answer.map_err(|why| SuiteError::Process(format!("the check for {}: {why}", missing.feature)))?;
        if answer.failed.is_some() {
            lacks.push(missing.feature);
        }
    }
    Ok(lacks)
}

/// Has one test run; `process` is there afterwards if it is still fit.
fn one(
    process: &mut Option<Process>,
    command: &(dyn Fn() -> Command + Sync),
    file: &TestFile,
    mode: Mode,
    patience: Duration,
) -> Result<Outcome, SuiteError> {
    let mut fit = match process.take() {
        Some(fit) => fit,
        None => Process::start(command)?,
    };
    match fit.ask(&Request::Run { path: file.path.clone(), mode }, patience) {
        Ok(answer) => {
            fit.runs += 1;
            if !answer.last && fit.runs < RUNS_MAX {
                *process = Some(fit);
            }
            Ok(answer.failed.map_or(Outcome::Passed, Outcome::Failed))
        }
        Err(why) => Ok(Outcome::Failed(why)),
    }
}

/// A process that runs tests. Dropping it ends it.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    runs: usize,
}

impl Process {
    fn start(command: &(dyn Fn() -> Command + Sync)) -> Result<Process, SuiteError> {
        let failed = |error: std::io::Error| SuiteError::Process(error.to_string());
        let mut child = command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let input = child.stdin.take();
        let Some(output) = child.stdout.take() else { return Err(SuiteError::Process("it has no output".into())) };
        let (lines, answers) = mpsc::channel();
        let read = move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if lines.send(line).is_err() {
                    return;
                }
            }
        };
        // It ends with the process.
        thread::Builder::new().name("answers".into()).spawn(read).map_err(failed)?;
        Ok(Process { child, input, answers, runs: 0 })
    }

    /// Asks for something; the error says what became of the process.
    fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer, String> {
        let mut line = serde_json::to_string(request).map_err(|error| error.to_string())?;
        line.push('\n');
        // If it cannot be written, the process has ended: its status says more.
        let _ = self.input.as_mut().map(|input| input.write_all(line.as_bytes()).and_then(|()| input.flush()));
        match self.answers.recv_timeout(patience) {
            Ok(line) => serde_json::from_str(&line).map_err(|error| format!("the process answered {line:?}: {error}")),
            Err(RecvTimeoutError::Timeout) => Err("the process did not answer in time, and was ended".into()),
            Err(RecvTimeoutError::Disconnected) => Err(match self.child.wait() {
                Ok(status) => format!("the process died: {status}"),
                Err(error) => format!("the process died: {error}"),
            }),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The input's end is the word to end. It has nothing to lose, so nobody waits for an orderly one.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
