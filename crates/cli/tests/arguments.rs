//! What the command refuses, in which words, and with which exit code.

use std::process::{Command, Output};

fn peristyle(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peristyle"))
        .args(arguments)
        .env_remove("PERISTYLE_DATA")
        .output()
        .expect("the binary can be started")
}

/// The message, after checking that stdout is empty and that the exit code is `code`.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = peristyle(arguments);
    let message = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed to stdout");
    assert!(!message.contains("panicked"), "{message}");
    message
}

#[test]
fn bad_values_name_their_argument_and_what_is_expected() {
    for (argument, value, reason) in [
        ("--speed", "0", "the speed is 0, expected"),
        ("--speed", "-240", "the speed is -240, expected"),
        ("--speed", "NaN", "the speed is NaN, expected"),
        ("--speed", "fast", "the speed is fast, expected"),
        ("--speed", "1e9", "above 0 and at most 216000"),
        ("--start", "24:00", "from 00:00 to 23:59"),
        ("--start", "noon", "the start is noon"),
        ("--seconds", "0", "the wall time is 0, expected seconds above 0"),
        ("--seconds", "-1", "the wall time is -1"),
        ("--ticks", "0", "the number of ticks is 0, expected a whole number, at least 1"),
        ("--ticks", "1.5", "the number of ticks is 1.5"),
        ("--workers", "0", "the number of workers is 0, expected 1 to 1024"),
        ("--workers", "-2", "the number of workers is -2"),
        ("--memory-limit", "0", "the memory limit is 0, expected bytes above 0"),
        ("--memory-limit", "lots", "the memory limit is lots"),
    ] {
        let message = refused(&["demo", "sky", argument, value], 2);
        assert!(message.contains(&format!("'{argument} <")) && message.contains(reason), "{message}");
    }
}

#[test]
fn both_limits_at_once_are_refused() {
    let message = refused(&["demo", "sky", "--seconds", "1", "--ticks", "1"], 2);
    assert!(message.contains("--seconds") && message.contains("--ticks"), "{message}");
}

#[test]
fn unknown_words_are_usage_errors() {
    refused(&["demo", "sea"], 2);
    refused(&["demo", "sky", "--fast"], 2);
    refused(&[], 2);
}

#[test]
fn what_is_not_there_ends_the_run_with_what_to_do() {
    let message = refused(&["demo", "sky", "--headless", "--json", "--data", "nowhere"], 1);
    assert!(message.starts_with("error: no data: the directory nowhere does not exist (`./x setup`"), "{message}");
    let message = refused(&["demo", "sky", "--headless", "--data", "nowhere", "--job", "no.job.ts"], 1);
    assert!(message.starts_with("error: the job no.job.ts is not a file"), "{message}");
}

#[test]
fn the_doctor_says_that_data_is_missing() {
    let output = peristyle(&["doctor", "--data", "nowhere"]);
    let text = String::from_utf8(output.stdout).expect("lines are UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|line| line.starts_with("missing  data")), "{text}");
    assert!(text.lines().any(|line| line.contains("cores")), "{text}");
}
