//! The side that runs tests: in a process of its own, one after the other.
//!
//! Requests and answers are lines of JSON on standard input and output. The process ends when its input does.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use peristyle_agents::Cluster;
use peristyle_agents::test262::{Test, TestEnd, TestPhase};
use serde::{Deserialize, Serialize};

use crate::{Checkout, FrontMatter, MISSING, Mode, Phase, SuiteError};

/// What a process is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Run this test in this mode.
    Run { path: String, mode: Mode },
    /// Check for this feature, by its place in [`MISSING`].
    Check(usize),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Why it failed, if it did.
    pub(crate) failed: Option<String>,
    /// The process is not fit for another run, and ends.
    pub(crate) last: bool,
}

/// Answers requests until there are none.
///
/// # Errors
/// What cannot be read or written, and what is no request.
pub fn serve(checkout: &Checkout, time_limit: Duration, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    // Kept alive so that the engine's parent runtime is made once.
    let _parent = Cluster::new().map_err(|error| invalid(error.to_string()))?;
    for line in input.lines() {
        let end = match serde_json::from_str(&line?)? {
            Request::Run { path, mode } => {
                run_one(checkout, &path, mode, time_limit).map_err(|error| invalid(error.to_string()))?
            }
            Request::Check(at) => {
                let missing = MISSING.get(at).ok_or_else(|| invalid(format!("no feature {at}")))?;
                let test = Test {
                    harness: Vec::new(),
                    path: checkout.root().join("harness/assert.js"),
                    text: missing.check.to_owned(),
                    goal: missing.goal,
                    is_async: false,
                    may_block: true,
                    time_limit,
                };
                judge(&FrontMatter::default(), run(test))
            }
        };
        let last = matches!(&end, Err(Why { is_lasting: true, .. }));
        let answer = Answer { failed: end.err().map(|why| why.message), last };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
        if last {
            break;
        }
    }
    Ok(())
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// For a person.
    pub message: String,
    /// The agent could not be ended: its thread is still there.
    pub is_lasting: bool,
}

/// Runs one test in this process; the inner result says whether it passed.
///
/// # Errors
/// What is wrong with the file.
pub fn run_one(
    checkout: &Checkout,
    path: &str,
    mode: Mode,
    time_limit: Duration,
) -> Result<Result<(), Why>, SuiteError> {
    let (file, test) = checkout.prepare(path, mode, time_limit)?;
    Ok(judge(&file.matter, run(test)))
}

fn run(test: Test) -> TestEnd {
    match Cluster::new() {
        Ok(cluster) => cluster.run_test(test),
        Err(error) => TestEnd::Broken(error.to_string()),
    }
}

/// Whether a test that ended so did what it was to do.
fn judge(matter: &FrontMatter, end: TestEnd) -> Result<(), Why> {
    let fail = |message: String| Err(Why { message, is_lasting: false });
    match (end, &matter.negative) {
        (TestEnd::Completed, None) => Ok(()),
        (TestEnd::Completed, Some(negative)) => {
            fail(format!("expected {} ({}), but it threw nothing", negative.name, negative.phase))
        }
        (TestEnd::Threw { phase, name, message }, Some(negative)) => {
            let expected = match negative.phase {
                Phase::Parse => TestPhase::Parse,
                Phase::Resolution => TestPhase::Resolution,
                Phase::Runtime => TestPhase::Runtime,
            };
            if phase == expected && name == negative.name {
                return Ok(());
            }
            let threw = threw(phase, &name, &message);
            fail(format!("expected {} ({}), but {threw}", negative.name, negative.phase))
        }
        (TestEnd::Threw { phase, name, message }, None) => fail(threw(phase, &name, &message)),
        (TestEnd::Failed(message), _) => fail(message),
        (TestEnd::Silent, _) => fail("nothing was left to do, and it was not done".into()),
        (TestEnd::TimedOut, _) => fail("it took longer than the time limit".into()),
        (TestEnd::Stuck, _) => Err(Why { message: "it cannot be stopped".into(), is_lasting: true }),
        (TestEnd::Broken(why), _) => fail(why),
        (other, _) => fail(format!("{other:?}")),
    }
}

fn threw(phase: TestPhase, name: &str, message: &str) -> String {
    let at = match phase {
        TestPhase::Harness => " in the harness",
        TestPhase::Parse => " (parse)",
        TestPhase::Resolution => " (resolution)",
        TestPhase::Runtime => "",
    };
    format!("{name}: {message}{at}")
}
