//! Critical paths, statistics and pictures of traces that are made by hand, so that what is right is known.

use peristyle_timeline::gantt::{Chart, Select, Stats, SystemStats, Trace, What};
use serde_json::{Value, json};

/// A trace of microseconds.
#[derive(Default)]
struct Made(Vec<Value>);

impl Made {
    fn lane(mut self, tid: u32, name: &str) -> Made {
        self.0.push(json!({"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": name}}));
        self
    }

    fn span(mut self, tid: u32, cat: &str, name: &str, from: u64, to: u64) -> Made {
        let index = if cat == "frame" { from / 100 } else { 0 };
        self.0.push(json!({
            "ph": "X", "pid": 1, "tid": tid, "ts": from, "dur": to - from, "name": name, "cat": cat,
            "args": {"rows": 512, "index": index},
        }));
        self
    }

    fn read(self) -> Trace {
        Trace::read(&serde_json::to_vec(&self.0).unwrap()).unwrap()
    }
}

/// One frame on two lanes.
///
/// ```text
///          100  105       110      120         130   135  136     150    152  160
/// frame    |    a         b              wait             c       commit      |
/// worker 1     wait         b   gc   b         b      wait
///                             115 118 125
/// ```
fn two_lanes() -> Made {
    Made::default()
        .lane(0, "frame")
        .lane(1, "worker 1")
        .span(0, "system", "a", 105, 110)
        .span(0, "range", "b", 110, 120)
        .span(0, "wait", "wait", 120, 136)
        .span(0, "stage", "update", 102, 136)
        .span(0, "system", "c", 136, 150)
        .span(0, "commit", "commit", 150, 152)
        .span(0, "stage", "late", 136, 152)
        .span(0, "frame", "frame", 100, 160)
        .span(1, "wait", "wait", 20, 111)
        .span(1, "gc", "gc", 115, 118)
        .span(1, "range", "b", 111, 125)
        .span(1, "range", "b", 125, 135)
        .span(1, "wait", "wait", 135, 190)
}

/// The steps of a path as text: what, lane, from, to, in microseconds.
fn path(chart: &Chart<'_>) -> Vec<String> {
    let name = |lane: usize, span: Option<usize>| {
        span.map_or("", |span| chart.trace().name(chart.trace().lanes()[lane].spans[span].name))
    };
    let steps = chart.path().iter().map(|step| {
        let what = match step.what {
            What::Work => name(step.lane, step.span),
            What::Wait => "wait",
            What::Scheduling => "scheduling",
        };
        format!("{what} on {} from {} to {}", step.lane, step.start_ns as f64 / 1e3, step.end_ns as f64 / 1e3)
    });
    steps.collect()
}

fn all(trace: &Trace) -> Chart<'_> {
    trace.chart(trace.select(Select::All).unwrap())
}

fn system<'s>(stats: &'s Stats, name: &str) -> &'s SystemStats {
    stats.systems.iter().find(|system| system.name == name).unwrap()
}

#[test]
fn the_critical_path_follows_what_was_waited_for_from_lane_to_lane() {
    let trace = two_lanes().read();
    assert_eq!(
        path(&all(&trace)),
        [
            "scheduling on 0 from 100 to 105",
            "a on 0 from 105 to 110",
            // The frame opened the task before it began its own range of it; the worker then took its time to wake up.
            "wait on 1 from 110 to 111",
            "b on 1 from 111 to 115",
            "gc on 1 from 115 to 118",
            "b on 1 from 118 to 125",
            "b on 1 from 125 to 135",
            "wait on 0 from 135 to 136",
            "c on 0 from 136 to 150",
            "commit on 0 from 150 to 152",
            "scheduling on 0 from 152 to 160",
        ]
    );
}

#[test]
fn a_worker_that_was_done_in_time_is_not_on_the_critical_path() {
    let trace = Made::default()
        .span(0, "range", "b", 110, 140)
        .span(0, "frame", "frame", 100, 150)
        .span(1, "range", "b", 111, 139)
        .read();
    assert_eq!(
        path(&all(&trace)),
        ["scheduling on 0 from 100 to 110", "b on 0 from 110 to 140", "scheduling on 0 from 140 to 150"]
    );
}

#[test]
fn the_last_of_several_workers_was_waited_for_and_gaps_between_its_ranges_count() {
    let trace = Made::default()
        .span(0, "wait", "wait", 110, 140)
        .span(0, "frame", "frame", 100, 140)
        .span(1, "range", "b", 111, 130)
        .span(2, "wait", "wait", 0, 112)
        .span(2, "range", "b", 113, 120)
        .span(2, "range", "b", 121, 139)
        .span(3, "range", "b", 111, 138)
        .read();
    assert_eq!(
        path(&all(&trace)),
        [
            "scheduling on 0 from 100 to 110",
            "wait on 2 from 110 to 112",
            "scheduling on 2 from 112 to 113",
            "b on 2 from 113 to 120",
            "scheduling on 2 from 120 to 121",
            "b on 2 from 121 to 139",
            "wait on 0 from 139 to 140",
        ]
    );
}

#[test]
fn of_two_spans_with_the_same_times_the_first_to_be_recorded_is_inside() {
    let trace = Made::default()
        .span(0, "gc", "gc", 100, 110)
        .span(0, "range", "b", 100, 110)
        .span(0, "frame", "frame", 100, 110)
        .read();
    assert_eq!(path(&all(&trace)), ["gc on 0 from 100 to 110"]);
}

#[test]
fn a_path_covers_its_frames_once_whatever_the_spans_are() {
    // A generator of its own, so that a failure can be run again.
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for _ in 0..300 {
        let mut made = Made::default();
        for frame in 0..3 {
            let from = frame * 100 + random(20);
            made = made.span(random(2) as u32, "frame", "frame", from, from + random(90));
        }
        for _ in 0..random(40) {
            let (cat, from) = (["system", "range", "wait", "gc", "commit", "stage"][random(6) as usize], random(320));
            made = made.span(random(4) as u32, cat, "x", from, from + random(50));
        }
        let trace = made.read();
        let chart = all(&trace);
        let mut steps = chart.path().iter().peekable();
        for frame in chart.frames() {
            let mut at = frame.start_ns;
            while let Some(step) =
                steps.next_if(|step| step.start_ns >= at && step.end_ns <= frame.end_ns && at < frame.end_ns)
            {
                assert!(step.start_ns == at && step.end_ns > at, "{step:?} at {at}");
                at = step.end_ns;
            }
            assert_eq!(at, frame.end_ns);
        }
        assert_eq!(steps.next(), None);
        let stats = Stats::new(&chart);
        let shares = stats.systems.iter().map(|system| system.critical_share);
        let sum: f64 = shares.chain(stats.rest.iter().map(|(_, rest)| rest.critical_share)).sum();
        assert!((sum - 1.0).abs() < 1e-9 || stats.frames.total_ns == 0, "{sum}");
    }
}

#[test]
fn systems_are_counted_by_frame() {
    let trace = two_lanes().read();
    let stats = Stats::new(&all(&trace));
    assert_eq!(stats.systems.iter().map(|system| &system.name[..]).collect::<Vec<_>>(), ["b", "c", "a"]);
    let b = system(&stats, "b");
    // Once in this frame, on both lanes: 10 and 14 and 10 microseconds.
    assert_eq!((b.count, b.spans, b.lanes, b.rows, b.total_ns, b.p50_ns), (1, 3, 2, 1536, 34_000, 34_000));
    assert_eq!((b.stage.as_deref(), system(&stats, "c").stage.as_deref()), (Some("update"), Some("late")));
    assert_eq!(b.critical_share, 21.0 / 60.0);
    let rest: Vec<_> =
        stats.rest.iter().map(|(name, rest)| (*name, rest.count, rest.total_ns, rest.critical_share)).collect();
    assert_eq!(
        rest,
        [
            ("commits", 1, 2_000, 2.0 / 60.0),
            ("collections", 1, 3_000, 3.0 / 60.0),
            ("waits of the frame", 1, 16_000, 2.0 / 60.0),
            ("scheduling", 1, 13_000, 13.0 / 60.0),
        ]
    );
    let lanes: Vec<_> = stats.lanes.iter().map(|lane| (&lane.name[..], lane.busy_ns)).collect();
    assert_eq!(lanes, [("frame", 31_000), ("worker 1", 24_000)]);
}

#[test]
fn percentiles_are_times_that_were_met() {
    let mut made = Made::default();
    for frame in 0..200u64 {
        // 1 to 200 microseconds, in an order of their own.
        let (from, took) = (frame * 1000, frame * 77 % 200 + 1);
        made = made.span(0, "system", "a", from, from + took).span(0, "frame", "frame", from, from + took);
        if frame < 3 {
            made = made.span(1, "system", "rare", from, from + frame);
        }
    }
    let trace = made.read();
    let stats = Stats::new(&all(&trace));
    let a = system(&stats, "a");
    assert_eq!((a.count, a.total_ns, a.p50_ns, a.p99_ns), (200, 20_100_000, 100_000, 198_000));
    assert_eq!((a.critical_share, stats.frames.p99_ns), (1.0, 198_000));
    let rare = system(&stats, "rare");
    assert_eq!((rare.count, rare.p50_ns, rare.p99_ns, rare.critical_share), (3, 1_000, 2_000, 0.0));
    let one = Stats::new(&trace.chart(trace.select(Select::Last(1)).unwrap()));
    assert_eq!((system(&one, "a").count, system(&one, "a").p50_ns), (1, 124_000));
    assert!(one.systems.iter().all(|system| system.name != "rare"));
}

#[test]
fn statistics_are_told_as_text_and_as_json() {
    let trace = two_lanes().read();
    let stats = Stats::new(&all(&trace));
    let text = stats.to_string();
    let b = text.lines().find(|line| line.starts_with("b ")).unwrap();
    let words: Vec<_> = b.split_whitespace().collect();
    assert_eq!(words, ["b", "update", "1", "0.034", "0.034", "0.034", "35.0", "%"]);
    assert!(text.ends_with("busy: frame 52 %, worker 1 40 %"), "{text}");
    let json: Value = serde_json::from_str(&stats.to_json()).unwrap();
    assert_eq!((&json["first_frame"], &json["frames"]["total_ms"]), (&json!(1), &json!(0.06)));
    assert_eq!(
        json["systems"][0],
        json!({
            "name": "b", "stage": "update", "count": 1, "spans": 3, "rows": 1536, "lanes": 2,
            "total_ms": 0.034, "p50_ms": 0.034, "p99_ms": 0.034, "critical_share": 0.35,
        })
    );
    assert_eq!(json["rest"][1]["name"], "collections");
    assert_eq!(json["lanes"][1]["busy_ms"], 0.024);
}

#[test]
fn the_picture_has_every_lane_and_system_and_marks_the_rest() {
    let trace = two_lanes().read();
    let svg = all(&trace).svg("a & <b>");
    let elements = xml(&svg);
    let titles: Vec<&str> =
        elements.iter().filter(|element| element.name == "title").map(|element| &element.text[..]).collect();
    for title in [
        "a · update · 5.0 µs · on the critical path",
        "b · update · 10.0 µs · 512 rows, range 0",
        "b · update · 14.0 µs · 512 rows, range 0 · on the critical path",
        "c · late · 14.0 µs · on the critical path",
        "wait · 16.0 µs · for b on worker 1 · on the critical path",
        "gc · 3.0 µs · on the critical path",
        "commit · 2.0 µs · 512 entities despawned · on the critical path",
        "critical path",
    ] {
        assert!(titles.contains(&title), "{title} is not in {titles:?}");
    }
    let texts: Vec<&str> =
        elements.iter().filter(|element| element.name == "text").map(|element| &element.text[..]).collect();
    for text in [
        "a & <b>",
        "frame",
        "worker 1",
        "52 % busy",
        "update",
        "late",
        "commit",
        "wait",
        "garbage collection",
        "1 · 60.0 µs",
        "a",
        "b",
        "c",
    ] {
        assert!(texts.contains(&text), "{text} is not in {texts:?}");
    }
    let classes = |class: &str| elements.iter().filter(|element| element.attribute("class") == Some(class)).count();
    // One each in the legend and in the table.
    assert_eq!((classes("gc"), classes("commit"), classes("wait")), (3, 3, 5));
    // Stages have colours of their own, and systems of a stage shades.
    assert!(classes("s0") > 0 && classes("s0a") > 0 && classes("s1") > 0, "{elements:?}");
    let path = elements.iter().find(|element| element.attribute("id") == Some("critical-path")).unwrap();
    // Down to the worker's lane and up again.
    assert_eq!(path.attribute("d").unwrap().matches('L').count(), 2, "{path:?}");
}

#[test]
fn names_cannot_break_out_of_the_picture_or_the_page() {
    let evil = "</title></svg><script>alert(1)</script>\"'&\u{0}\u{1b}\u{ffff}--]]>";
    let trace = Made::default()
        .lane(0, evil)
        .span(0, "stage", evil, 100, 150)
        .span(0, "system", evil, 100, 140)
        .span(0, "frame", evil, 100, 150)
        .read();
    let chart = all(&trace);
    let (svg, html) = (chart.svg(evil), chart.html(evil));
    let elements = xml(&svg);
    assert!(elements.iter().all(|element| element.name != "script"));
    assert!(elements.iter().any(|element| {
        element.text.starts_with("</title></svg><script>alert(1)</script>\"'&\u{fffd}\u{fffd}\u{fffd}--]]> ·")
    }));
    assert_eq!(html.matches("<script").count(), 2, "the page's own");
    assert_eq!(html.matches("</script").count(), 2, "the page's own");
}

#[test]
fn the_page_holds_what_the_picture_shows_and_needs_no_network() {
    let trace = two_lanes().read();
    let html = all(&trace).html("two lanes");
    let data = html.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["ns"], &data["lanes"]), (&json!(60_000), &json!(["frame", "worker 1"])));
    assert_eq!((&data["stages"], &data["frames"]), (&json!(["update", "late"]), &json!([[1, 0, 60_000]])));
    let names = data["names"].as_array().unwrap();
    let bars = data["bars"].as_array().unwrap();
    let of_kind = |kind: &str| bars.iter().filter(|bar| bar[2] == kind).collect::<Vec<_>>();
    assert_eq!((of_kind("system").len(), of_kind("range").len(), of_kind("wait").len()), (2, 3, 3));
    // Lane, class, kind, name, stage, from, for, rows, index, critical, awaited.
    let name = |text: &str| names.iter().position(|name| name == text).unwrap();
    assert_eq!(*of_kind("gc")[0], json!([1, "gc", "gc", name("gc"), null, 15_000, 3_000, 512, 0, 3_000, null]));
    assert_eq!(*of_kind("range")[0], json!([0, "s0a", "range", name("b"), 0, 10_000, 10_000, 512, 0, 0, null]));
    // Cut to the frame.
    assert_eq!(*of_kind("wait")[1], json!([1, "wait", "wait", name("wait"), null, 0, 11_000, 512, 0, 1_000, null]));
    assert_eq!(of_kind("wait")[0][10], "for b on worker 1");
    let path = data["path"].as_array().unwrap();
    assert_eq!((path.len(), &path[2]), (11, &json!([1, "waking up", 10_000, 1_000])));
    for outside in ["http:", "https:", "src=", "href=", "url(", "import", "fetch("] {
        assert!(!html.contains(outside), "{outside}");
    }
    for used in ["wheel", "pointerdown", "pointermove", "keydown", "prefers-color-scheme:dark"] {
        assert!(html.contains(used), "{used}");
    }
}

#[test]
fn a_picture_of_many_spans_stays_small() {
    let mut made = Made::default();
    for start in (1000..100_000).step_by(3) {
        made = made.span(0, "range", "b", start, start + 2);
    }
    let trace = made.span(0, "frame", "frame", 1000, 100_000).read();
    let svg = all(&trace).svg("many");
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    assert!(xml(&svg).iter().any(|element| element.text.ends_with("short spans")));
}

#[test]
fn whatever_can_be_read_can_be_drawn() {
    let whole = serde_json::to_vec(&two_lanes().0).unwrap();
    let mut drawn = 0;
    for seed in 0..4000usize {
        // Some digits of some number become others, or the text ends early.
        let mut bytes = whole.clone();
        for turn in 0..1 + seed % 4 {
            let at = (seed * 7919 + turn * 104_729) % bytes.len();
            if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                *digit = b"0123456789e.-"[(seed + turn) % 13];
            }
        }
        bytes.truncate(whole.len() - seed % 3 * (seed % 97));
        let Ok((trace, _)) = Trace::read_until_cut(&bytes) else { continue };
        let Ok(frames) = trace.select(Select::Numbers(0..u64::MAX)) else { continue };
        let chart = trace.chart(frames);
        xml(&chart.svg("changed"));
        assert!(chart.html("changed").ends_with("</html>\n") && !Stats::new(&chart).to_json().is_empty());
        drawn += 1;
    }
    assert!(drawn > 1000, "{drawn}");
}

#[test]
fn a_frame_without_time_can_be_drawn() {
    let trace = Made::default().span(0, "frame", "frame", 100, 100).read();
    let chart = all(&trace);
    assert_eq!(path(&chart), [""; 0]);
    xml(&chart.svg("nothing"));
    assert!(!chart.svg("nothing").contains("NaN") && !chart.svg("nothing").contains("inf"));
    assert_eq!(Stats::new(&chart).frames.count, 1);
}

#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    /// What it contains directly.
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }
}

/// The elements of an XML document, which may have no comments, declarations and the like.
///
/// Panics if it is not well-formed.
fn xml(text: &str) -> Vec<Element> {
    let unescaped = |text: &str| {
        assert!(!text.contains(['<', '>']) && text.chars().all(|c| c >= ' ' || c == '\n'), "{text:?}");
        let mut parts = text.split('&');
        let mut plain = parts.next().unwrap().to_owned();
        for part in parts {
            let (entity, rest) = part.split_once(';').unwrap_or_else(|| panic!("a bare & in {text}"));
            plain.push(match entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "#39" => '\'',
                _ => panic!("&{entity};"),
            });
            plain.push_str(rest);
        }
        plain
    };
    let (mut elements, mut open) = (Vec::<Element>::new(), Vec::<usize>::new());
    let mut rest = text.trim_end();
    while let Some((before, tag)) = rest.split_once('<') {
        match open.last() {
            Some(&inside) => elements[inside].text.push_str(&unescaped(before)),
            None => assert!(before.is_empty() && elements.is_empty(), "{before:?} outside of the one element"),
        }
        let (tag, after) = tag.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(elements[open.pop().expect("something is open")].name, name);
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut inside) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes: Vec<(String, String)> = Vec::new();
        while let Some((name, after)) = inside.split_once("=\"") {
            let (value, after) = after.split_once('"').unwrap();
            assert!(attributes.iter().all(|(known, _)| known != name), "{name} twice");
            attributes.push((name.to_owned(), unescaped(value)));
            inside = after.trim_start();
        }
        assert!(inside.is_empty() && name.chars().all(char::is_alphanumeric), "{tag}");
        if !is_empty {
            open.push(elements.len());
        }
        elements.push(Element { name: name.to_owned(), attributes, text: String::new() });
    }
    assert!(open.is_empty() && rest.is_empty(), "{open:?} left open, then {rest:?}");
    elements
}
