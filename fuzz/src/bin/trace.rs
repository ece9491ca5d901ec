//! Reads any bytes as a trace, and draws what comes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peristyle_timeline::gantt::{Select, Stats, Trace};

fuzz_target!(|data: &[u8]| {
    let Ok((trace, _)) = Trace::read_until_cut(data) else { return };
    let Ok(frames) = trace.select(Select::All) else { return };
    let chart = trace.chart(frames);
    let _ = (Stats::new(&chart).to_json(), chart.svg("fuzz"), chart.html("fuzz"));
});
