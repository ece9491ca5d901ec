//! `peristyle gantt` and `peristyle stats`, on traces of Sky and on broken ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn peristyle(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_peristyle")).args(arguments).output().expect("the binary can be started")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

/// Runs the command, which must succeed, and gives what it printed.
fn done(arguments: &[&str]) -> String {
    let output = peristyle(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// The message, after checking that stdout is empty and that the exit code is `code`.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = peristyle(arguments);
    let message = text(&output.stderr).to_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty() && !message.contains("panicked"), "{message}");
    message
}

fn path(name: &str) -> String {
    let name = format!("{}-{name}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).to_str().expect("a UTF-8 path").to_owned()
}

fn file(name: &str, contents: &str) -> String {
    fs::write(path(name), contents).expect("the directory is writable");
    path(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).expect("the file was written")
}

/// Three frames, of 10, 20 and 10 microseconds.
fn three_frames() -> String {
    let span = |cat: &str, name: &str, index: u32, from: u32, took: u32| {
        format!(
            r#"{{"ph":"X","pid":1,"tid":0,"ts":{from},"dur":{took},"name":"{name}","cat":"{cat}","args":{{"rows":1,"index":{index}}}}}"#
        )
    };
    let mut events = Vec::new();
    for (index, from, took) in [(7, 0, 10), (8, 10, 20), (9, 30, 10)] {
        events.push(span("system", "fly", 0, from, took / 2));
        events.push(span("frame", "frame", index, from, took));
    }
    format!("{{\"traceEvents\":[{}]}}", events.join(","))
}

#[test]
fn a_run_of_sky_becomes_a_picture_a_page_and_numbers() {
    let litter = "
        export function handle({ snap }) {
          const kept = [];
          for (let i = 0; i < snap.rows; i++) kept.push({ i, text: `row ${i}` });
        }";
    let job: PathBuf = file("litter.job.js", litter).into();
    let (trace, svg, html) = (path("litter.json"), path("litter.svg"), path("litter.html"));
    let job = job.to_str().expect("a UTF-8 path");
    done(&["demo", "sky", "--headless", "--ticks", "20", "--start", "13:40", "--job", job, "--trace", &trace]);

    let told = done(&["gantt", &trace, "-o", &svg, "--frames", "11..=20", "--title", "Litter", "--stats"]);
    let picture = read("litter.svg");
    for expected in
        [">Litter<", ">fly<", ">depart<", ">frame<", ">worker 1<", ">update<", ">garbage collection<", ">nursery gc"]
    {
        assert!(picture.contains(expected), "{expected} is not in the picture");
    }
    assert!(picture.contains("id=\"critical-path\""));
    assert!(told.lines().any(|line| line.starts_with("fly ")), "{told}");

    done(&["gantt", &trace, "-o", &html, "--last", "3"]);
    let page = read("litter.html");
    assert!(page.contains("\"nursery gc\"") && page.contains("frames 18 to 20"), "{page}");

    let stats: serde_json::Value = serde_json::from_str(&done(&["stats", &trace, "--json"])).expect("one line of JSON");
    assert_eq!((&stats["first_frame"], &stats["last_frame"]), (&1.into(), &20.into()));
    let rest = stats["rest"].as_array().expect("an array");
    assert!(rest.iter().any(|rest| rest["name"] == "collections" && rest["count"].as_u64() > Some(0)), "{stats}");
    let systems = stats["systems"].as_array().expect("an array");
    let fly = systems.iter().find(|system| system["name"] == "fly").expect("fly ran");
    assert!(fly["count"] == 20 && fly["stage"] == "update" && fly["p50_ms"].as_f64() <= fly["p99_ms"].as_f64());
    for file in [trace, svg, html] {
        fs::remove_file(file).expect("it is this test's own");
    }
}

#[test]
fn frames_are_chosen_by_number_from_the_end_or_as_the_slowest() {
    let trace = file("three.json", &three_frames());
    let frames = |choice: &[&str]| {
        let stats = done(&[&["stats", &trace, "--json"], choice].concat());
        let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
        (stats["first_frame"].as_u64().expect("a number"), stats["last_frame"].as_u64().expect("a number"))
    };
    assert_eq!(frames(&[]), (7, 9));
    assert_eq!(frames(&["--frame", "8"]), (8, 8));
    assert_eq!(frames(&["--frames", "7..9"]), (7, 8));
    assert_eq!(frames(&["--frames", "7..=8"]), (7, 8));
    assert_eq!(frames(&["--last", "2"]), (8, 9));
    assert_eq!(frames(&["--slowest"]), (7, 9));
    let table = done(&["stats", &trace]);
    assert!(table.contains("0.005     0.010     50.0 %"), "{table}");
}

#[test]
fn what_is_asked_wrongly_is_a_usage_error() {
    let trace = file("asked.json", &three_frames());
    let svg = path("asked.svg");
    for (arguments, reason) in [
        (&["-o", "x.png"][..], "must end in .svg or .html"),
        (&[], "--output <FILE>"),
        (&["-o", &svg, "--frames", "3"], "the frames are 3, expected two whole numbers as A..B"),
        (&["-o", &svg, "--frames", "5..5"], "there are no frames in 5..5"),
        (&["-o", &svg, "--frame", "-1"], "invalid value '-1' for '--frame <N>'"),
        (&["-o", &svg, "--frames", "-1..3"], "the frames are -1..3, expected"),
        (&["-o", &svg, "--last", "0"], "--last"),
        (&["-o", &svg, "--frame", "1", "--slowest"], "cannot be used with"),
    ] {
        let message = refused(&[&["gantt", &trace], arguments].concat(), 2);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn a_trace_that_cannot_be_read_is_told_with_the_place() {
    let whole = three_frames();
    let cases = [
        ("empty", String::new(), "the trace is empty"),
        ("text", "frames".to_owned(), "no JSON at byte 1"),
        ("other", "{\"nodes\":[]}".to_owned(), "neither an array of events nor an object with `traceEvents`"),
        ("none", "[]".to_owned(), "the trace has no frames"),
        ("field", whole.replacen("\"dur\":10,", "", 1), "event 1 (at byte 114) has no `dur`"),
        ("time", whole.replacen("\"ts\":10,", "\"ts\":-10,", 1), "`ts` is -10, expected microseconds from 0 to 2^53"),
        ("cut", whole[..300].to_owned(), "ends at byte 300, after 2 whole events (`--partial` takes what is there)"),
    ];
    for (name, contents, reason) in cases {
        let trace = file(&format!("broken-{name}.json"), &contents);
        let svg = path(&format!("broken-{name}.svg"));
        let message = refused(&["gantt", &trace, "-o", &svg], 1);
        assert!(message.starts_with("error: ") && message.contains(&trace) && message.contains(reason), "{message}");
        assert!(!Path::new(&svg).exists(), "nothing is written");
    }
    let trace = file("whole.json", &whole);
    assert!(refused(&["stats", "nowhere.json"], 1).contains("cannot read nowhere.json"));
    let message = refused(&["stats", &trace, "--frame", "10"], 1);
    assert!(message.contains("there is no frame from 10 up to 10: the trace has 7 to 9"), "{message}");
    assert!(refused(&["gantt", &trace, "-o", "nowhere/x.svg"], 1).contains("cannot write nowhere/x.svg"));
}

#[test]
fn a_trace_that_was_cut_is_drawn_until_there_if_asked() {
    let whole = three_frames();
    let cut = file("cut.json", &whole[..whole.len() - 10]);
    let output = peristyle(&["gantt", &cut, "-o", &path("cut.svg"), "--partial"]);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.starts_with("warning: the trace is cut short") && told.contains("after 5 whole events"), "{told}");
    assert!(read("cut.svg").contains("frames 7 to 8"));
}
