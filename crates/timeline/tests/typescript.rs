//! A trace that the recorder in TypeScript wrote (`packages/peristyle/test/timeline.test.ts`), read and counted here.

use peristyle_timeline::gantt::{Select, Stats, Trace};

#[test]
fn a_trace_of_typescript_is_a_trace() {
    let trace = Trace::read(include_bytes!("../vectors/typescript.json")).unwrap();
    let chart = trace.chart(trace.select(Select::All).unwrap());
    let stats = Stats::new(&chart);
    assert_eq!((stats.frames.count, stats.frames.p50_ns, stats.numbers), (3, 10_000_000, (5, 7)));
    let physics = &stats.systems[0];
    assert_eq!((physics.name.as_str(), physics.stage.as_deref()), ("physics", Some("update")));
    assert_eq!((physics.count, physics.spans, physics.rows), (3, 6, 3072));
    assert_eq!((physics.p50_ns, physics.p99_ns), (5_600_000, 5_700_000));
    let svg = chart.svg("frames");
    assert!(svg.contains("&lt;view&gt; &amp; &quot;co&quot;"));
}
