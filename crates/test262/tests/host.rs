//! The host that tests see, by tests of our own in the form of the suite: `tests/suite` is laid out as a checkout is.

use std::path::Path;
use std::time::Duration;

use peristyle_test262::{Checkout, Mode, TestFile, run_one};

fn suite() -> Checkout {
    Checkout::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite")).unwrap()
}

/// Runs all tests below a directory, in all their modes: each passes.
#[track_caller]
fn pass(directory: &str) {
    let suite = suite();
    let files = suite.tests(&[directory.to_owned()]).unwrap();
    assert!(!files.is_empty());
    for file in files {
        for mode in file.modes() {
            let outcome = run_one(&suite, &file.path, *mode, Duration::from_secs(60)).unwrap();
            assert_eq!(outcome.map_err(|why| why.message), Ok(()), "{} ({mode})", file.path);
        }
    }
}

#[test]
fn the_host_object() {
    pass("host/");
}

#[test]
fn agents_that_tests_start() {
    pass("agents/");
}

#[test]
fn modules() {
    pass("modules/");
}

#[test]
fn modes_and_what_is_thrown_on_purpose() {
    pass("modes/");
}

#[test]
fn what_the_engine_does_wrong() {
    // What proves entries of `engine.json`: it passes as long as the engine is wrong.
    pass("engine/");
}

#[test]
fn each_test_runs_in_the_modes_that_it_names() {
    let modes: Vec<(String, Vec<Mode>)> = suite()
        .tests(&["modes/".into()])
        .unwrap()
        .iter()
        .map(|file: &TestFile| (file.path.clone(), file.modes().to_vec()))
        .collect();
    let expected = [
        ("modes/both.js", vec![Mode::Sloppy, Mode::Strict]),
        ("modes/parse-error.js", vec![Mode::Sloppy, Mode::Strict]),
        ("modes/raw.js", vec![Mode::Raw]),
        ("modes/runtime-error.js", vec![Mode::Sloppy, Mode::Strict]),
        ("modes/sloppy.js", vec![Mode::Sloppy]),
        ("modes/strict.js", vec![Mode::Strict]),
    ];
    assert_eq!(modes, expected.map(|(path, modes)| (path.to_owned(), modes)));
}

#[test]
fn what_fails_says_why() {
    let suite = suite();
    let not_done = "nothing was left to do, and it was not done";
    let over = "it took longer than the time limit";
    let mut cases = vec![
        ("agent-throws", "Test262Error: afterwards (in agents: TypeError: in the agent)"),
        ("done-and-throws", "RangeError: afterwards"),
        ("harness", "RangeError: broken in the harness"),
        ("loops", over),
        ("loops-in-microtasks", over),
        ("never-done", not_done),
        ("pending", not_done),
        ("says-so", "by itself"),
        ("throws", "Test262Error: a number: expected 2, found 1"),
        ("throws-no-error", "object: null"),
        ("throws-nothing", "expected TypeError (runtime), but it threw nothing"),
        ("throws-something-else", "expected TypeError (runtime), but RangeError: no"),
        ("throws-too-late", "expected SyntaxError (parse), but SyntaxError: no"),
        ("timer-throws", "RangeError: in a task"),
        ("waits-for-agent", over),
    ];
    for file in suite.tests(&["failing/".into()]).unwrap() {
        let name = file.path.trim_start_matches("failing/").trim_end_matches(".js");
        let at = cases.iter().position(|(known, _)| *known == name).expect(name);
        let (_, expected) = cases.swap_remove(at);
        // Those that end by themselves have all the time that they need.
        let limit = if expected == over { Duration::from_millis(200) } else { Duration::from_secs(60) };
        let outcome = run_one(&suite, &file.path, file.modes()[0], limit).unwrap();
        assert_eq!(outcome.unwrap_err().message, expected, "{name}");
    }
    assert_eq!(cases, []);
}
