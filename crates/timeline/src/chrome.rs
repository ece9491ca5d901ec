//! The Chrome trace format: JSON objects with a phase (`ph`), read by Perfetto.
//!
//! Written here are metadata (`M`: names and order of tracks), complete events (`X`: a span) and
//! instants (`i`: spans were dropped). Numbers are written by hand and text is escaped by hand; the
//! tests parse the result with a JSON parser.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use crate::{LaneSpans, clock};

/// The one process of a trace.
const PID: u32 = 1;

pub(crate) fn write(out: impl Write, lanes: &[LaneSpans], names: &[Arc<str>], lane_count: usize) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let us_per_tick = clock::ns_per_tick() / 1000.0;
    let origin = lanes.iter().flat_map(|lane| &lane.spans).map(|span| span.start).min().unwrap_or(0);
    let us = |ticks: u64| ticks.saturating_sub(origin) as f64 * us_per_tick;

    writeln!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    write!(out, "{{\"ph\":\"M\",\"pid\":{PID},\"name\":\"process_name\",\"args\":{{\"name\":\"peristyle\"}}}}")?;
    for lane in 0..lane_count {
        let name = LaneName(lane);
        write!(out, ",\n{{\"ph\":\"M\",\"pid\":{PID},\"tid\":{lane},\"name\":\"thread_name\",")?;
        write!(out, "\"args\":{{\"name\":\"{name}\"}}}}")?;
        write!(out, ",\n{{\"ph\":\"M\",\"pid\":{PID},\"tid\":{lane},\"name\":\"thread_sort_index\",")?;
        write!(out, "\"args\":{{\"sort_index\":{lane}}}}}")?;
    }
    for LaneSpans { lane, spans, dropped } in lanes {
        if *dropped > 0 {
            let ts = us(spans.iter().map(|span| span.start).min().unwrap_or(origin));
            write!(out, ",\n{{\"ph\":\"i\",\"s\":\"t\",\"pid\":{PID},\"tid\":{lane},\"ts\":{ts:.3},")?;
            write!(out, "\"name\":\"dropped {dropped} older spans\",\"args\":{{\"dropped\":{dropped}}}}}")?;
        }
        for span in spans {
            let name = Escaped(names.get(span.name.0 as usize).map_or("?", |name| name));
            let (ts, end, kind) = (us(span.start), us(span.end), span.kind.as_str());
            let dur = (end - ts).max(0.0);
            write!(out, ",\n{{\"ph\":\"X\",\"pid\":{PID},\"tid\":{lane},\"ts\":{ts:.3},\"dur\":{dur:.3},")?;
            write!(out, "\"name\":\"{name}\",\"cat\":\"{kind}\",")?;
            write!(out, "\"args\":{{\"rows\":{},\"index\":{}}}}}", span.rows, span.detail)?;
        }
    }
    write!(out, "\n],\"otherData\":{{\"dropped_spans\":{{")?;
    for (i, LaneSpans { lane, dropped, .. }) in lanes.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(out, "{comma}\"{}\":{dropped}", LaneName(*lane))?;
    }
    writeln!(out, "}}}}}}")?;
    out.flush()
}

struct LaneName(usize);

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("frame"),
            worker => write!(f, "worker {worker}"),
        }
    }
}

/// Text as the inside of a JSON string.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
