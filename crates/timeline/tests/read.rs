//! Traces that are read, and those that cannot be.

use peristyle_timeline::gantt::{Select, SelectError, Trace, TraceError};
use peristyle_timeline::{Kind, Timeline};

const FRAME: &str =
    r#"{"ph":"X","pid":1,"tid":0,"ts":10,"dur":5.5,"name":"frame","cat":"frame","args":{"rows":3,"index":7}}"#;

fn error(text: &str) -> TraceError {
    Trace::read(text.as_bytes()).expect_err(text)
}

/// An event like `FRAME` with something else in it.
fn with(from: &str, to: &str) -> String {
    assert!(FRAME.contains(from));
    format!("[{FRAME},\n{}]", FRAME.replace(from, to))
}

#[test]
fn what_is_written_is_read() {
    let timeline = Timeline::new(2, 3);
    let names = ["frame", "odd \"name\" \\ <&>\nü"].map(|name| timeline.name(name));
    timeline.set_enabled(true);
    let frame = timeline.begin();
    for rows in 0..5 {
        let stamp = timeline.begin();
        timeline.end(1, Kind::Range, names[1], stamp, rows, 2 * rows);
    }
    timeline.end(0, Kind::Frame, names[0], frame, 10, 42);
    let mut bytes = Vec::new();
    timeline.write_chrome_trace(&mut bytes).unwrap();
    let trace = Trace::read(&bytes).unwrap();
    let lanes: Vec<_> = trace.lanes().iter().map(|lane| (lane.name.as_str(), lane.dropped)).collect();
    assert_eq!((lanes, trace.skipped()), (vec![("frame", 0), ("worker 1", 2)], 0));
    let [frame] = trace.lanes()[0].spans[..] else { panic!("{trace:?}") };
    assert_eq!((frame.kind, trace.name(frame.name), frame.rows, frame.index), (Kind::Frame, "frame", 10, 42));
    let ranges = &trace.lanes()[1].spans;
    assert_eq!(ranges.iter().map(|span| (span.rows, span.index)).collect::<Vec<_>>(), [(2, 4), (3, 6), (4, 8)]);
    assert!(ranges.iter().all(|span| trace.name(span.name) == "odd \"name\" \\ <&>\nü" && span.kind == Kind::Range));
    // The frame began before the first span that was not dropped.
    assert!(trace.frames()[0].number == 42 && !trace.frames()[0].is_complete);
}

#[test]
fn both_forms_are_read_and_an_array_need_not_be_closed() {
    let forms = [
        format!("[{FRAME}]"),
        format!("[{FRAME}"),
        format!("[\n{FRAME},\n"),
        format!("{{\"traceEvents\":[{FRAME}]}}"),
        format!(" {{\"a\":{{\"b\":[1,{{}}]}}, \"traceEvents\" : [ {FRAME} ] , \"otherData\":null }} \n"),
    ];
    for form in forms {
        let trace = Trace::read(form.as_bytes()).unwrap_or_else(|error| panic!("{form}: {error}"));
        let [frame] = trace.frames() else { panic!("{form}") };
        assert_eq!((frame.number, frame.start_ns, frame.end_ns, frame.is_complete), (7, 10_000, 15_500, true));
    }
    assert_eq!(Trace::read(b"[]").unwrap().frames(), []);
    assert_eq!(Trace::read(b"[]").unwrap().select(Select::All), Err(SelectError::NoFrames));
}

#[test]
fn events_of_others_are_left_out_and_counted() {
    let begin = r#"{"ph":"B","tid":0,"ts":1,"name":"x"}"#;
    let category = FRAME.replace("\"cat\":\"frame\"", "\"cat\":\"v8\"");
    let trace = Trace::read(format!("[{begin},{category},{FRAME}]").as_bytes()).unwrap();
    assert_eq!((trace.skipped(), trace.frames().len()), (2, 1));
}

#[test]
fn what_is_no_trace_is_refused() {
    assert_eq!(error(" \n"), TraceError::Empty);
    for text in ["{}", "{\"events\":[]}", "3", "\"trace\"", "null"] {
        assert_eq!(error(text), TraceError::NotATrace, "{text}");
    }
    for (text, at) in [
        ("<svg>", 0),
        ("[}", 1),
        ("[{\"ph\":\"M\" \"name\"}]", 11),
        ("{\"traceEvents\":3}", 15),
        ("{\"a\":1,,}", 7),
        ("{\"a\" 1}", 5),
        ("[,]", 1),
        ("{\"traceEvents\":[]} x", 19),
        ("[{\"ph\":\"M\",\"name\":\"\u{1}\"}]", 19),
    ] {
        match error(text) {
            TraceError::Json { offset, .. } => assert_eq!(offset, at, "{text}: {}", error(text)),
            other => panic!("{text}: {other}"),
        }
    }
    let deep = "[{\"args\":".to_owned() + &"{\"args\":".repeat(100_000);
    assert!(error(&deep).to_string().contains("recursion limit"), "nesting is bounded");
    assert!(matches!(Trace::read(b"[{\"ph\":\"\xff\"}]"), Err(TraceError::Json { .. })), "text is UTF-8");
}

#[test]
fn a_trace_that_is_cut_short_is_told_from_a_whole_one_at_every_byte() {
    let whole =
        format!("{{\"traceEvents\":[{FRAME},\n{}],\"otherData\":{{}}}}", FRAME.replace("\"index\":7", "\"index\":8"));
    let second = whole.rfind("{\"ph\"").unwrap();
    for end in 1..whole.len() {
        let cut = &whole.as_bytes()[..end];
        // Events count once they are whole.
        let events = u64::from(end > FRAME.len() + 15) + u64::from(end >= second + FRAME.len());
        let expected = TraceError::Truncated { offset: end as u64, events };
        assert_eq!(Trace::read(cut), Err(expected.clone()), "{}", &whole[..end]);
        let (trace, error) = Trace::read_until_cut(cut).unwrap();
        assert_eq!((trace.frames().len() as u64, error), (events, Some(expected)));
    }
    assert_eq!(Trace::read_until_cut(whole.as_bytes()).unwrap().1, None);
    // An event that is cut is no legal end of an open array either.
    let cut = &format!("[{FRAME}")[..FRAME.len() - 3];
    assert_eq!(error(cut), TraceError::Truncated { offset: cut.len() as u64, events: 0 });
    let message = error(cut).to_string();
    assert!(message.contains(&format!("ends at byte {}, after 0 whole events", cut.len())), "{message}");
}

#[test]
fn missing_fields_are_named() {
    for (from, field) in [
        ("\"ph\":\"X\",", "ph"),
        ("\"tid\":0,", "tid"),
        ("\"ts\":10,", "ts"),
        ("\"dur\":5.5,", "dur"),
        ("\"name\":\"frame\",", "name"),
        ("\"cat\":\"frame\",", "cat"),
    ] {
        let offset = FRAME.len() as u64 + 3;
        assert_eq!(error(&with(from, "")), TraceError::Missing { event: 1, offset, field });
    }
    let unnamed = r#"[{"ph":"M","tid":0,"name":"thread_name","args":{}}]"#;
    assert_eq!(error(unnamed), TraceError::Missing { event: 0, offset: 1, field: "args.name" });
}

#[test]
fn nonsense_is_named_with_what_was_expected() {
    for (from, to, field, found) in [
        ("\"ts\":10", "\"ts\":-1", "ts", "-1"),
        ("\"ts\":10", "\"ts\":1e300", "ts", "1e300"),
        ("\"ts\":10", "\"ts\":\"soon\"", "ts", "\"soon\""),
        ("\"dur\":5.5", "\"dur\":-0.001", "dur", "-0.001"),
        ("\"dur\":5.5", "\"dur\":null", "dur", "null"),
        ("\"tid\":0", "\"tid\":1.5", "tid", "1.5"),
        ("\"name\":\"frame\"", "\"name\":{}", "name", "an object"),
        ("\"cat\":\"frame\"", "\"cat\":[1]", "cat", "an array"),
        ("\"rows\":3", "\"rows\":-3", "rows", "-3"),
        ("\"index\":7", "\"index\":true", "index", "a truth value"),
    ] {
        let TraceError::Field { event: 1, field: named, found: shown, .. } = error(&with(from, to)) else {
            panic!("{to}: {}", error(&with(from, to)))
        };
        let same = shown == found || shown.parse::<f64>().is_ok_and(|shown| Ok(shown) == found.parse());
        assert!(named == field && same, "{to}: {}", error(&with(from, to)));
    }
    let message = error(&with("\"dur\":5.5", "\"dur\":-2")).to_string();
    let offset = FRAME.len() + 3;
    assert_eq!(message, format!("event 1 (at byte {offset}): `dur` is -2, expected microseconds from 0 to 2^53"));
    assert_eq!(error("[3]").to_string(), "event 0 (at byte 1): `event` is 3, expected an object");
    // The parser itself refuses what is no number of its own.
    assert!(matches!(error(&with("\"ts\":10", "\"ts\":1e999")), TraceError::Json { .. }));
}

#[test]
fn lanes_are_bounded() {
    let events: Vec<_> = (0..1026).map(|lane| FRAME.replace("\"tid\":0", &format!("\"tid\":{lane}"))).collect();
    assert_eq!(Trace::read(format!("[{}]", events[..1025].join(",")).as_bytes()).unwrap().lanes().len(), 1025);
    assert!(matches!(error(&format!("[{}]", events.join(","))), TraceError::TooManyLanes { event: 1025, .. }));
}

#[test]
fn frames_are_chosen_and_those_with_dropped_spans_only_by_number() {
    let frame = |number: u64, dur: u64| {
        format!(
            r#"{{"ph":"X","tid":0,"ts":{},"dur":{dur},"name":"frame","cat":"frame","args":{{"index":{number}}}}}"#,
            number * 100
        )
    };
    let frames: Vec<_> = (3..9).map(|number| frame(number, if number == 6 { 90 } else { 50 })).collect();
    let dropped = r#"{"ph":"i","s":"t","tid":1,"ts":450,"name":"dropped 9 older spans","args":{"dropped":9}}"#;
    let whole = Trace::read(format!("[{}]", frames.join(",")).as_bytes()).unwrap();
    let trace = Trace::read(format!("[{dropped},{}]", frames.join(",")).as_bytes()).unwrap();
    let numbers = |trace: &Trace, which: Select| {
        let chosen = trace.select(which)?;
        Ok::<_, SelectError>(trace.frames()[chosen].iter().map(|frame| frame.number).collect::<Vec<_>>())
    };
    assert_eq!(numbers(&whole, Select::All).unwrap(), [3, 4, 5, 6, 7, 8]);
    assert_eq!(numbers(&trace, Select::All).unwrap(), [5, 6, 7, 8]);
    assert_eq!(numbers(&trace, Select::Last(2)).unwrap(), [7, 8]);
    assert_eq!(numbers(&trace, Select::Last(100)).unwrap(), [5, 6, 7, 8]);
    assert_eq!(numbers(&trace, Select::Slowest(0)).unwrap(), [6]);
    assert_eq!(numbers(&trace, Select::Slowest(2)).unwrap(), [5, 6, 7, 8]);
    assert_eq!(numbers(&trace, Select::Numbers(2..5)).unwrap(), [3, 4]);
    let none = SelectError::NoSuchFrames { from: 10, to: 11, first: 3, last: 8 };
    assert_eq!(numbers(&trace, Select::Numbers(10..12)), Err(none));
    let all_dropped = dropped.replace("450", "4500");
    let trace = Trace::read(format!("[{all_dropped},{}]", frames.join(",")).as_bytes()).unwrap();
    assert_eq!(numbers(&trace, Select::All), Err(SelectError::NoneComplete { dropped: 9 }));
}
