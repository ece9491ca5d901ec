//! Whole runs of `peristyle demo sky` on the real data that `./x setup` fetched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn sky(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peristyle"))
        .args(["demo", "sky", "--headless"])
        .args(arguments)
        .output()
        .expect("the binary can be started")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

/// A path of this run's own.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

fn job_file(name: &str, source: &str) -> PathBuf {
    let path = path(&format!("{name}.job.ts"));
    fs::write(&path, source).expect("the directory is writable");
    path
}

#[test]
fn json_is_one_line_with_the_keys_and_books_that_balance() {
    let output = sky(&["--ticks", "30", "--start", "13:30", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1, "{out}");
    let report: serde_json::Value = serde_json::from_str(out).expect("the line is JSON");
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} is a number in {out}"));
    assert_eq!(number("flights_read"), 3e6);
    assert_eq!(number("spawned") - number("despawned"), number("airborne"));
    assert_eq!((number("ticks"), number("sim_seconds"), number("bytes_copied")), (30.0, 120.0, 0.0));
    assert_eq!(report["job"], "ts");
    assert!(number("lanes") <= number("workers") + 1.0 && number("airborne_max") >= number("airborne"));
    for key in ["flights_skipped", "rows_per_second", "job_ms", "schedule_ms", "structural_ms", "memory_bytes"] {
        number(key);
    }
    assert!(["p50", "p99", "max"].iter().all(|key| report["tick_ms"][key].is_f64()), "{out}");
}

#[test]
fn the_trace_has_job_spans_on_every_lane_at_the_peak() {
    let file = path("trace.json");
    // Where splitting was tried while others had the cores, the job runs in place for longer than a run takes.
    let run = || {
        let output = sky(&["--ticks", "40", "--start", "13:40", "--trace", file.to_str().expect("a UTF-8 path")]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let trace = fs::read(&file).expect("the trace is there");
        fs::remove_file(&file).expect("it is this test's own");
        let trace: serde_json::Value = serde_json::from_slice(&trace).expect("JSON");
        trace.as_array().or_else(|| trace["traceEvents"].as_array()).cloned().expect("a Chrome trace")
    };
    let is_split = |events: &Vec<serde_json::Value>| {
        let is_job = |event: &serde_json::Value| event["name"] == "fly" && event["cat"] == "range";
        [0, 1].iter().all(|lane| events.iter().any(|event| is_job(event) && event["tid"] == *lane))
    };
    let events = (0..10).map(|_| run()).find(is_split).expect("a run with jobs on both lanes");
    assert!(events.iter().any(|event| event["cat"] == "wait" && event["tid"] == 1), "the worker waits for work too");
}

#[test]
fn a_job_that_throws_is_told_and_the_run_goes_on() {
    let job = job_file("cli-throws", "export function handle(): void {\n  throw new TypeError('no wings');\n}\n");
    let output = sky(&["--ticks", "3", "--job", job.to_str().expect("a UTF-8 path"), "--json"]);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("TypeError: no wings") && told.contains("cli-throws.job.ts:2:"), "{told}");
    assert!(told.contains("calls of the job failed in 3 ticks"), "{told}");
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn a_check_names_what_a_job_does_beside_its_work() {
    let run =
        |arguments: &[&str]| sky(&[&["--ticks", "3", "--start", "13:40", "--json", "--check"], arguments].concat());
    let output = run(&[]);
    assert!(output.status.success() && output.stderr.is_empty(), "the job of Sky is pure: {}", text(&output.stderr));
    let source = "export function handle({ snap }: any): void {\n  snap.comps.Flight.fields.delay[2] = 30000;\n\
                  snap.comps.Position.fields.progress.fill(snap.rows);\n}\n";
    let job = job_file("cli-impure", source);
    let output = run(&["--job", job.to_str().expect("a UTF-8 path")]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("job `fly` wrote field `delay` of `Flight`"), "{told}");
    assert!(told.contains("job `fly` depends on where ranges begin and end, or on earlier calls"), "{told}");
    assert!(told.contains("field `progress` of `Position`"), "{told}");
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn a_job_that_is_wrong_ends_the_run_before_it_begins() {
    let syntax = job_file("cli-syntax", "export function handle(): void {\n  const wings: number = ;\n}\n");
    for (job, expected) in
        [(syntax.as_path(), "cli-syntax.job.ts:2:25"), (Path::new("nowhere.job.ts"), "nowhere.job.ts")]
    {
        let output = sky(&["--ticks", "3", "--job", job.to_str().expect("a UTF-8 path"), "--json"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(output.stdout.is_empty() && told.contains(expected) && !told.contains("panicked"), "{told}");
    }
}

#[test]
fn a_memory_limit_that_is_too_small_names_what_was_asked_and_left() {
    let output = sky(&["--job", "rust", "--memory-limit", "16M"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("out of memory: a block of") && told.contains("16777216"), "{told}");
}
