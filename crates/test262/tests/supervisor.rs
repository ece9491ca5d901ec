//! Processes that run tests and die: the run that each had fails, the others go on. The processes are shells.

#![cfg(unix)]

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use peristyle_test262::{Cause, Checkout, Options, Outcome, Report, SuiteError, run};

/// Runs the tests of a directory of `tests/suite`, each process being a shell that runs this script.
fn with(script: &str, directory: &str, repeat: usize) -> Result<(Report, Vec<Outcome>), SuiteError> {
    let checkout = Checkout::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite")).unwrap();
    let options = Options {
        filters: vec![directory.to_owned()],
        jobs: NonZeroUsize::MIN,
        repeat: NonZeroUsize::new(repeat).unwrap(),
        time_limit: Duration::from_secs(60),
    };
    let command = || {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let mut outcomes = Vec::new();
    let report = run(&checkout, &options, &command, &mut |_, _, outcome| outcomes.push(outcome.clone()))?;
    Ok((report, outcomes))
}

#[test]
fn what_a_process_had_when_it_died_fails_and_the_rest_is_run() {
    let script = r#"read a; echo '{"failed":null,"last":false}'; read b; kill -9 $$"#;
    let (report, outcomes) = with(script, "modes/", 1).unwrap();
    let died = Outcome::Failed("the process died: signal: 9 (SIGKILL)".into());
    let turns = [Outcome::Passed, died.clone()];
    assert_eq!(outcomes, turns.iter().cycle().take(9).cloned().collect::<Vec<_>>());
    assert_eq!(
        (report.counts.total, report.counts.passed, report.counts.failed, report.counts.host_failures),
        (9, 5, 4, 4)
    );
    assert!(report.failures.iter().all(|failure| failure.cause == Cause::Host && failure.message.contains("SIGKILL")));
}

#[test]
fn a_process_that_says_that_it_is_done_is_replaced() {
    let script = r#"read a; echo '{"failed":"odd","last":true}'"#;
    let (report, _) = with(script, "modes/strict", 3).unwrap();
    assert_eq!((report.counts.total, report.counts.failed), (3, 3));
    assert!(report.failures.iter().all(|failure| failure.message == "odd"));
}

#[test]
fn nonsense_is_a_failure_of_the_run() {
    let (report, _) = with("while read a; do echo nonsense; done", "modes/strict", 1).unwrap();
    assert!(report.failures[0].message.starts_with("the process answered \"nonsense\""), "{report:?}");
}

#[test]
fn what_the_engine_lacks_is_left_out_only_if_its_check_fails() {
    // The first request is the check.
    let lacks =
        r#"read a; echo '{"failed":"no","last":false}'; while read a; do echo '{"failed":null,"last":false}'; done"#;
    let has = r#"while read a; do echo '{"failed":null,"last":false}'; done"#;
    let (report, outcomes) = with(lacks, "lacking/", 2).unwrap();
    assert_eq!((report.counts.total, report.counts.skipped, report.counts.passed), (4, 4, 0));
    assert_eq!(outcomes, vec![Outcome::Skipped("ShadowRealm"); 4]);
    assert_eq!(report.missing_features["ShadowRealm"], 4);
    let (report, _) = with(has, "lacking/", 1).unwrap();
    assert_eq!((report.counts.total, report.counts.skipped, report.counts.passed), (2, 0, 2));
}

#[test]
fn processes_that_cannot_be_started_end_it() {
    let checkout = Checkout::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite")).unwrap();
    let one = NonZeroUsize::MIN;
    let options =
        Options { filters: vec!["modes/".into()], jobs: one, repeat: one, time_limit: Duration::from_secs(1) };
    let error = run(&checkout, &options, &|| Command::new("/nowhere/at/all"), &mut |_, _, _| {}).unwrap_err();
    assert!(error.to_string().starts_with("cannot run tests in a process of their own: "), "{error}");
}
