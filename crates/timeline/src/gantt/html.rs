//! A chart as a page: the same picture on a canvas, to zoom and to ask. One file, no network.

use std::fmt::Write;

use serde_json::{Value, json};

use super::chart::Chart;
use super::path::What;
use super::stats::{Stats, Times};
use super::style::{self, Duration, Escaped};

impl Chart<'_> {
    /// Draws the chart as an HTML document, under a title.
    ///
    /// Wheel, dragging and keys zoom and move; what the pointer is over is told. All spans are in it, so its size grows
    /// with their number: some 40 bytes each.
    pub fn html(&self, title: &str) -> String {
        let mut page = String::new();
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n",
            Escaped(title)
        );
        style::page_css(&mut page);
        page.push_str(include_str!("page.css"));
        let _ = write!(
            page,
            "</style>\n<header><div><h1>{}</h1><p>{}</p></div><ul>",
            Escaped(title),
            Escaped(&style::subtitle(self))
        );
        for (class, text) in style::legend(self) {
            let _ = write!(page, "<li><i class=\"{class}\" style=\"--c:var(--{class})\"></i>{}</li>", Escaped(&text));
        }
        let help = "Wheel or + and − zoom, dragging or ← and → move, 0 shows all, [ and ] go from frame to frame.";
        let _ = write!(
            page,
            "</ul></header>\n<main><canvas id=\"chart\" tabindex=\"0\" role=\"img\" aria-label=\"{help}\"></canvas>\
             <output id=\"tip\" hidden></output></main>\n<p class=\"help\">{help}</p>\n"
        );
        table(&mut page, self);
        // In a script element only `<` could end it.
        let data = self.data().to_string().replace('<', "\\u003c");
        let _ = write!(page, "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n");
        page.push_str(include_str!("page.js"));
        page.push_str("</script>\n</html>\n");
        page
    }

    /// What the page's script draws; times are nanoseconds from the chart's begin.
    fn data(&self) -> Value {
        let time = self.time_ns();
        let from = |ns: u64| ns - time.start;
        let lanes: Vec<&str> = self.trace.lanes.iter().map(|lane| lane.name.as_str()).collect();
        let frames = self.frames.iter().map(|frame| json!([frame.number, from(frame.start_ns), frame.ns()]));
        let bars = self.bars.iter().filter_map(|bar| {
            let (class, span) = (style::bar_class(self, bar)?, bar.span);
            let took = span.end_ns - span.start_ns;
            let (name, kind, stage) = (span.name, span.kind.as_str(), bar.stage);
            Some(json!([
                bar.lane,
                class,
                kind,
                name,
                stage,
                from(span.start_ns),
                took,
                span.rows,
                span.index,
                bar.critical_ns,
                self.awaited(bar)
            ]))
        });
        let path = self.path.iter().map(|step| {
            let what = match step.what {
                What::Work => "work",
                What::Wait => "waking up",
                What::Scheduling => "scheduling",
            };
            json!([step.lane, what, from(step.start_ns), step.ns()])
        });
        json!({
            "ns": time.end - time.start,
            "lanes": lanes,
            "names": self.trace.names,
            "stages": self.stages,
            "frames": frames.collect::<Vec<_>>(),
            "bars": bars.collect::<Vec<_>>(),
            "path": path.collect::<Vec<_>>(),
        })
    }
}

/// The statistics, as a table.
fn table(page: &mut String, chart: &Chart<'_>) {
    let stats = Stats::new(chart);
    page.push_str(
        "<table><thead><tr><th>system</th><th>stage</th><th>count</th><th>total</th><th>p50</th><th>p99</th>\
         <th>of the critical path</th></tr></thead><tbody>\n",
    );
    let mut row = |class: &str, name: &str, stage: &str, times: &Times| {
        let Times { count, total_ns, p50_ns, p99_ns, critical_share } = *times;
        let [total, p50, p99] = [total_ns, p50_ns, p99_ns].map(Duration);
        let share = critical_share * 100.0;
        let _ = writeln!(
            page,
            "<tr><td><i class=\"{class}\" style=\"--c:var(--{class})\"></i>{}</td><td>{}</td><td>{count}</td>\
             <td>{total}</td><td>{p50}</td><td>{p99}</td>\
             <td><b style=\"width:{:.2}em\"></b>{share:.1} %</td></tr>",
            Escaped(name),
            Escaped(stage),
            share / 12.0
        );
    };
    for system in &stats.systems {
        let stage = chart.stages.iter().position(|stage| Some(*stage) == system.stage.as_deref());
        let class = style::stage_class(stage, system.turn);
        row(&class, &system.name, system.stage.as_deref().unwrap_or("–"), &system.times);
    }
    for ((name, times), class) in stats.rest.iter().zip(["commit", "gc", "wait", "none"]) {
        row(class, name, "", times);
    }
    row("none", "frames", "", &stats.frames);
    page.push_str("</tbody></table>\n");
}
