//! `peristyle test262` on tests of our own in the form of the suite: what it prints, the JSON report, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../test262/tests/suite")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peristyle"))
        .arg("test262")
        .args(arguments)
        .output()
        .expect("the binary can be started")
}

/// Runs tests of `suite`; the exit code, what was printed, and what was complained about.
fn on_suite(arguments: &[&str]) -> (Option<i32>, String, String) {
    let suite = suite();
    let arguments: Vec<_> = [suite.to_str().expect("a path that is text")].iter().chain(arguments).copied().collect();
    let output = run(&arguments);
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_passes_is_a_table_and_exit_code_0() {
    let (code, out, err) = on_suite(&["--filter", "modes/", "--filter", "test/host/", "--jobs", "3"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let line = |name: &str| -> Vec<String> {
        let line = out.lines().find(|line| line.starts_with(&format!("| {name} "))).unwrap_or_else(|| panic!("{out}"));
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    assert_eq!(line("directory")[2..7], ["runs", "passed", "failed", "by host", "skipped"]);
    assert_eq!(line("modes")[2..7], ["9", "9", "0", "0", "0"]);
    let all = line("**all**");
    assert!(all[2] == all[3] && all[4..7] == ["0", "0", "0"], "{out}");
}

#[test]
fn failures_are_named_and_are_exit_code_1() {
    let (code, out, _) = on_suite(&["--filter", "failing/throws"]);
    assert_eq!(code, Some(1));
    let expected = "failed (host): failing/throws.js (strict): Test262Error: a number: expected 2, found 1";
    assert!(out.lines().any(|line| line == expected), "{out}");
}

#[test]
fn the_json_report_has_counts_directories_and_failures() {
    let (code, out, err) = on_suite(&[
        "--filter",
        "failing/says-so.js",
        "--filter",
        "failing/throws.js",
        "--filter",
        "modes/",
        "--filter",
        "lacking/",
        "--repeat",
        "2",
        "--json",
        "-",
    ]);
    assert_eq!(code, Some(1), "{err}");
    let report: Value = serde_json::from_str(&out).expect("one line of JSON and nothing else");
    let counts = |value: &Value| {
        ["total", "passed", "failed", "skipped", "host_failures"].map(|key| value[key].as_u64().expect("a number"))
    };
    assert_eq!(counts(&report), [26, 18, 4, 4, 4]);
    assert_eq!(counts(&report["directories"]["failing"]), [4, 0, 4, 0, 4]);
    assert_eq!(counts(&report["directories"]["modes"]), [18, 18, 0, 0, 0]);
    assert_eq!(counts(&report["directories"]["lacking"]), [4, 0, 0, 4, 0]);
    let failures = report["failures"].as_array().expect("a list");
    let expected = serde_json::json!({
        "path": "failing/says-so.js", "mode": "strict", "cause": "host", "message": "by itself",
    });
    assert_eq!((failures.len(), &failures[0]), (4, &expected));
    assert_eq!(report["missing_features"]["ShadowRealm"], 4);
}

#[test]
fn what_takes_too_long_is_stopped_and_fails() {
    let (code, out, _) = on_suite(&["--filter", "failing/loops", "--time-limit", "0.2"]);
    assert_eq!(code, Some(1));
    for test in ["failing/loops-in-microtasks.js", "failing/loops.js"] {
        let expected = format!("failed (host): {test} (strict): it took longer than the time limit");
        assert!(out.lines().any(|line| line == expected), "{out}");
    }
}

#[test]
fn the_json_report_goes_to_a_file_beside_the_table() {
    let path = std::env::temp_dir().join(format!("peristyle-test262-{}.json", std::process::id()));
    let (code, out, _) = on_suite(&["--filter", "modes/", "--json", path.to_str().expect("a path that is text")]);
    let written = std::fs::read(&path);
    let _ = std::fs::remove_file(&path);
    let report: Value = serde_json::from_slice(&written.expect("it was written")).expect("JSON");
    assert_eq!((code, report["passed"].as_u64()), (Some(0), Some(9)));
    assert!(out.starts_with("| directory"), "{out}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let refused = |arguments: &[&str], code: i32, reason: &str| {
        let output = run(arguments);
        let message = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(reason) && !message.contains("panicked"), "{message}");
        assert!(output.stdout.is_empty());
    };
    let suite = suite();
    let suite = suite.to_str().expect("a path that is text");
    refused(&[], 2, "CHECKOUT");
    refused(&["/nowhere/at/all"], 1, "/nowhere/at/all is no checkout of test262: it lacks harness/assert.js");
    refused(&[suite, "--filter", "built-ins/"], 1, "no test's path starts with \"built-ins/\"");
    refused(&[suite, "--fast"], 2, "--fast");
    refused(&[suite, "--jobs", "0"], 2, "the number of jobs is 0, expected 1 to 1024");
    refused(&[suite, "--repeat", "-1"], 2, "the number of repetitions is -1, expected a whole number, at least 1");
    refused(&[suite, "--time-limit", "0"], 2, "the time limit is 0, expected seconds above 0");
    refused(&[suite, "--json", "/nowhere/at/all.json"], 1, "cannot write /nowhere/at/all.json");
}
