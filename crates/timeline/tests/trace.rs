//! What is recorded, and what the Chrome trace says of it.

use std::thread;

use peristyle_timeline::{Kind, Span, Stamp, Timeline, clock};
use serde_json::Value;

fn trace(timeline: &Timeline) -> Value {
    let mut text = Vec::new();
    timeline.write_chrome_trace(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn events<'a>(trace: &'a Value, phase: &str) -> Vec<&'a Value> {
    trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == phase).collect()
}

#[test]
fn off_records_nothing() {
    let timeline = Timeline::new(1, 8);
    let name = timeline.name("a");
    let stamp = timeline.begin();
    assert_eq!(stamp, Stamp::OFF);
    timeline.set_enabled(true);
    timeline.end(0, Kind::System, name, stamp, 1, 2);
    timeline.set_enabled(false);
    let stamp = timeline.begin();
    timeline.end(0, Kind::System, name, stamp, 1, 2);
    assert!(timeline.read().iter().all(|lane| lane.spans.is_empty() && lane.dropped == 0));
    assert!(events(&trace(&timeline), "X").is_empty());
}

#[test]
fn a_timeline_without_lanes_stays_silent() {
    let timeline = Timeline::off();
    timeline.set_enabled(true);
    let stamp = timeline.begin();
    timeline.end(0, Kind::Frame, timeline.name("frame"), stamp, 0, 0);
    assert!(events(&trace(&timeline), "X").is_empty());
}

#[test]
fn a_timeline_that_is_off_for_good_knows_nothing() {
    let timeline = Timeline::default();
    assert_eq!((timeline.lanes(), timeline.is_enabled(), timeline.read()), (0, false, vec![]));
    assert_eq!(timeline.name_text(timeline.name("a")), None);
}

#[test]
fn the_next_span_begins_where_the_last_ended() {
    let timeline = Timeline::new(1, 8);
    let name = timeline.name("a");
    assert_eq!(timeline.next(0, Kind::Range, name, Stamp::OFF, 0, 0), Stamp::OFF);
    timeline.set_enabled(true);
    // What began while recording was off is not recorded, what comes after it is.
    let first = timeline.next(0, Kind::Range, name, Stamp::OFF, 1, 0);
    let second = timeline.next(0, Kind::Range, name, first, 2, 0);
    timeline.end(0, Kind::Range, name, second, 3, 0);
    let spans = timeline.read().remove(0).spans;
    assert_eq!(spans.iter().map(|span| span.rows).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((spans[0].start, spans[1].start), (first.ticks(), second.ticks()));
    assert_eq!(spans[0].end, spans[1].start);
}

#[test]
fn names_are_interned() {
    let timeline = Timeline::new(1, 8);
    let (a, b) = (timeline.name("a"), timeline.name("b"));
    assert_ne!(a, b);
    assert_eq!(timeline.clone().name("a"), a);
    assert_eq!(timeline.name_text(b).as_deref(), Some("b"));
}

#[test]
fn spans_stand_on_the_track_of_their_lane() {
    let timeline = Timeline::new(3, 8);
    let odd = "odd \"name\" \\ with\nlines\u{1}, ü";
    let names = ["frame 1", "physics", odd].map(|name| timeline.name(name));
    timeline.set_enabled(true);
    thread::scope(|scope| {
        for (lane, name) in names.into_iter().enumerate() {
            let timeline = timeline.clone();
            scope.spawn(move || {
                let kind = [Kind::Frame, Kind::Range, Kind::Wait][lane];
                let stamp = timeline.begin();
                timeline.end(lane, kind, name, stamp, 512 * lane as u32, u32::MAX);
            });
        }
    });
    let trace = trace(&timeline);
    let tracks: Vec<_> = events(&trace, "M")
        .into_iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| (event["tid"].as_u64().unwrap(), event["args"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(tracks, [(0, "frame"), (1, "worker 1"), (2, "worker 2")]);
    let spans = events(&trace, "X");
    assert_eq!(spans.len(), 3);
    for (lane, span) in spans.into_iter().enumerate() {
        assert_eq!(span["tid"], lane);
        assert_eq!(span["name"], ["frame 1", "physics", odd][lane]);
        assert_eq!(span["cat"], ["frame", "range", "wait"][lane]);
        assert_eq!(span["args"]["rows"], 512 * lane);
        assert_eq!(span["args"]["index"], u32::MAX);
        assert!(span["ts"].as_f64().unwrap() >= 0.0 && span["dur"].as_f64().unwrap() >= 0.0);
    }
}

#[test]
fn times_are_microseconds_from_the_first_span() {
    let timeline = Timeline::new(1, 8);
    timeline.set_enabled(true);
    let (name, start) = (timeline.name("a"), clock::now());
    let ms = (1e6 / clock::ns_per_tick()) as u64;
    let span = |from: u64, to: u64| Span { kind: Kind::System, name, start: from, end: to, rows: 0, detail: 0 };
    timeline.record(0, span(start, start + ms));
    timeline.record(0, span(start + 2 * ms, start + 5 * ms));
    let trace = trace(&timeline);
    let times: Vec<_> = events(&trace, "X").iter().map(|e| (e["ts"].as_f64(), e["dur"].as_f64())).collect();
    let near = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs() <= wanted * 0.01;
    assert!(near(times[0].0, 0.0) && near(times[0].1, 1000.0), "{times:?}");
    assert!(near(times[1].0, 2000.0) && near(times[1].1, 3000.0), "{times:?}");
}

#[test]
fn overflow_keeps_the_newest_and_says_how_many_went() {
    let timeline = Timeline::new(2, 4);
    let name = timeline.name("a");
    timeline.set_enabled(true);
    for i in 0..10 {
        let stamp = timeline.begin();
        timeline.end(1, Kind::Commit, name, stamp, i, 0);
    }
    let trace = trace(&timeline);
    let rows: Vec<_> = events(&trace, "X").iter().map(|event| event["args"]["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [6, 7, 8, 9]);
    assert_eq!(trace["otherData"]["dropped_spans"]["worker 1"], 6);
    assert_eq!(trace["otherData"]["dropped_spans"]["frame"], 0);
    let dropped = events(&trace, "i");
    assert_eq!((dropped.len(), &dropped[0]["args"]["dropped"], &dropped[0]["tid"]), (1, &6.into(), &1.into()));
    timeline.clear();
    assert!(timeline.read().iter().all(|lane| lane.spans.is_empty() && lane.dropped == 0));
}

#[test]
fn a_lane_that_does_not_exist_is_ignored() {
    let timeline = Timeline::new(1, 4);
    timeline.set_enabled(true);
    let stamp = timeline.begin();
    timeline.end(1, Kind::System, timeline.name("a"), stamp, 0, 0);
    assert!(timeline.read()[0].spans.is_empty());
}
