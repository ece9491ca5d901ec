//! A chart as an SVG: one picture, no script.
//!
//! It is 1200 units wide. Bars too narrow to be seen are drawn as one with their neighbours of the same colour, so that
//! the size of the picture is bound by what can be seen in it, not by the number of spans.

use std::fmt::Write;

use crate::Kind;

use super::chart::{Bar, Chart};
use super::stats::{Stats, Times};
use super::style::{self, Duration, Escaped};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 104.0;
const RIGHT: f64 = 1176.0;
const TOP: f64 = 92.0;
/// From one lane to the next.
const LANE: f64 = 48.0;
const BAR: f64 = 28.0;
/// Height of a collection, at the foot of the range that it interrupted.
const GC: f64 = 9.0;
/// From a lane's top to the line of the critical path.
const PATH: f64 = 35.5;
/// From one line of the table to the next.
const LINE: f64 = 20.0;
/// Bars that are narrower are drawn together.
const SEEN: f64 = 0.6;
/// Ranges of a system that are closer share a label.
const JOINED: f64 = 1.5;
/// A character's width, of the bars' text.
const CHARACTER: f64 = 6.3;
/// Where the table's numbers end.
const COLUMNS: [f64; 4] = [560.0, 680.0, 800.0, 920.0];
/// Systems in the table at most; a page has all.
const SYSTEMS_MAX: usize = 20;

impl Chart<'_> {
    /// Draws the chart as an SVG document, under a title.
    pub fn svg(&self, title: &str) -> String {
        let time = self.time_ns();
        let scale = (RIGHT - LEFT) / (time.end - time.start).max(1) as f64;
        let lanes = self.trace.lanes.len();
        let mut picture = Picture { chart: self, out: String::new(), scale, bottom: TOP + lanes as f64 * LANE };
        let stats = Stats::new(self);
        let lines = stats.systems.len().min(SYSTEMS_MAX) + met(&stats).count();
        let height = picture.bottom + 78.0 + LINE * lines as f64;
        picture.open(title, height);
        picture.head(title);
        picture.frames();
        picture.axis();
        picture.lanes(&stats);
        picture.bars();
        picture.labels();
        picture.path();
        picture.table(&stats);
        picture.out.push_str("</svg>\n");
        picture.out
    }
}

struct Picture<'c, 't> {
    chart: &'c Chart<'t>,
    out: String,
    /// Units per nanosecond.
    scale: f64,
    /// Where lanes end and the axis begins.
    bottom: f64,
}

/// Writes to the picture's text, which cannot fail.
macro_rules! draw {
    ($picture:expr, $($arguments:tt)*) => {{ let _ = writeln!($picture.out, $($arguments)*); }};
}

impl Picture<'_, '_> {
    fn x(&self, ns: u64) -> f64 {
        LEFT + (ns - self.chart.time_ns().start) as f64 * self.scale
    }

    fn open(&mut self, title: &str, height: f64) {
        draw!(
            self,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\" \
             font-family=\"ui-sans-serif, system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\" \
             font-size=\"12\">",
            Escaped(title)
        );
        let mut css = String::new();
        style::svg_css(&mut css);
        css.push_str(
            ".n{font-variant-numeric:tabular-nums}.none{fill:none}.wait{fill:url(#wait)}.b{pointer-events:none;font-size:11px}",
        );
        draw!(self, "<style>{css}</style>");
        draw!(
            self,
            "<defs><pattern id=\"wait\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V5\" stroke-width=\"2\"/></pattern></defs>"
        );
        draw!(self, "<rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>");
    }

    fn head(&mut self, title: &str) {
        let subtitle = style::subtitle(self.chart);
        draw!(
            self,
            "<text class=\"ink\" x=\"24\" y=\"32\" font-size=\"16\" font-weight=\"600\">{}</text>",
            Escaped(title)
        );
        draw!(self, "<text class=\"faint\" x=\"24\" y=\"52\">{}</text>", Escaped(&subtitle));
        let entries = style::legend(self.chart);
        let width = |text: &str| 34.0 + text.chars().count() as f64 * 6.4;
        let mut x = RIGHT + 14.0 - entries.iter().map(|(_, text)| width(text)).sum::<f64>();
        for (class, text) in entries {
            match class.as_str() {
                "critical" => {
                    draw!(self, "<path class=\"critical\" fill=\"none\" stroke-width=\"3\" d=\"M{x:.1} 28h14\"/>")
                }
                _ => draw!(self, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"22\" width=\"12\" height=\"12\" rx=\"2\"/>"),
            }
            draw!(self, "<text class=\"ink\" x=\"{:.1}\" y=\"32\">{}</text>", x + 19.0, Escaped(&text));
            x += width(&text);
        }
    }

    /// Bands behind every other frame, and what each took.
    fn frames(&mut self) {
        for (index, frame) in self.chart.frames.iter().enumerate() {
            let (x, width) = (self.x(frame.start_ns), frame.ns() as f64 * self.scale);
            if index % 2 == 0 {
                let (y, height) = (TOP - 26.0, self.bottom - TOP + 26.0);
                draw!(self, "<rect class=\"band\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>");
            }
            let text = format!("{} · {}", frame.number, Duration(frame.ns()));
            if width > text.chars().count() as f64 * CHARACTER + 10.0 {
                let (x, y) = (x + 6.0, TOP - 12.0);
                draw!(self, "<text class=\"faint n\" x=\"{x:.1}\" y=\"{y}\" font-size=\"11\">{text}</text>");
            }
        }
    }

    fn axis(&mut self) {
        let time = self.chart.time_ns();
        let step = tick_ns((time.end - time.start) as f64 / 12.0);
        let y = self.bottom;
        draw!(self, "<path class=\"line\" d=\"M{LEFT} {y}H{RIGHT}\"/>");
        let (unit, decimals) = if step >= 1_000_000 { (1e6, 0) } else { (1e6, decimals(step)) };
        for tick in (0..=(time.end - time.start) / step).map(|tick| tick * step) {
            let x = self.x(time.start + tick);
            let text = format!("{:.decimals$}", tick as f64 / unit);
            let ms = if tick == 0 { " ms" } else { "" };
            draw!(self, "<path class=\"line\" d=\"M{x:.1} {TOP}V{:.1}\" stroke-width=\".6\"/>", y + 5.0);
            let y = y + 19.0;
            draw!(
                self,
                "<text class=\"faint n\" x=\"{x:.1}\" y=\"{y}\" font-size=\"11\" text-anchor=\"middle\">{text}{ms}</text>"
            );
        }
    }

    fn lanes(&mut self, stats: &Stats) {
        for (index, lane) in stats.lanes.iter().enumerate() {
            let y = TOP + index as f64 * LANE;
            let name: String = shortened(&lane.name, 12);
            draw!(self, "<text class=\"ink\" x=\"24\" y=\"{}\">{}</text>", y + 14.0, Escaped(&name));
            let busy = lane.busy_share * 100.0;
            draw!(self, "<text class=\"faint n\" x=\"24\" y=\"{}\" font-size=\"11\">{busy:.0} % busy</text>", y + 29.0);
        }
    }

    fn bars(&mut self) {
        // What encloses comes first, so collections are drawn over the ranges that they interrupted.
        let mut narrow: Option<(String, usize, f64, f64, usize)> = None;
        for bar in &self.chart.bars {
            let Some(class) = style::bar_class(self.chart, bar) else { continue };
            let (x, end) = (self.x(bar.span.start_ns), self.x(bar.span.end_ns));
            let is_narrow = end - x < SEEN && bar.span.kind != Kind::Collection;
            if let Some((known, lane, _, until, count)) = &mut narrow {
                if is_narrow && *known == class && *lane == bar.lane && x - *until < SEEN {
                    (*until, *count) = (end, *count + 1);
                    continue;
                }
                self.narrow(&mut narrow);
            }
            if is_narrow {
                narrow = Some((class, bar.lane, x, end, 1));
            } else {
                self.bar(bar, &class, x, end);
            }
        }
        self.narrow(&mut narrow);
    }

    /// Draws what was too narrow to be drawn one by one.
    fn narrow(&mut self, narrow: &mut Option<(String, usize, f64, f64, usize)>) {
        let Some((class, lane, x, end, count)) = narrow.take() else { return };
        let (y, width) = (TOP + lane as f64 * LANE, (end - x).max(SEEN));
        let (y, height) = if class == "wait" { (y + 7.0, BAR - 14.0) } else { (y, BAR) };
        draw!(
            self,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"><title>{count} short spans</title></rect>"
        );
    }

    fn bar(&mut self, bar: &Bar, class: &str, x: f64, end: f64) {
        let title = describe(self.chart, bar);
        let y = TOP + bar.lane as f64 * LANE;
        let (y, height) = match bar.span.kind {
            Kind::Wait => (y + 7.0, BAR - 14.0),
            Kind::Collection => (y + BAR - GC, GC),
            _ => (y, BAR),
        };
        // A hair of ground between neighbours tells them apart.
        let width = if end - x > 3.0 { end - x - 0.7 } else { (end - x).max(SEEN) };
        let corner = if width > 6.0 { " rx=\"2\"" } else { "" };
        draw!(
            self,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"{corner}><title>{}</title></rect>",
            Escaped(&title)
        );
    }

    /// The names of systems, once for ranges of one system that follow each other.
    fn labels(&mut self) {
        let mut group: Option<(usize, u32, f64, f64)> = None;
        let chart = self.chart;
        for bar in chart.bars.iter().filter(|bar| bar.span.kind.is_system()) {
            let (name, x, end) = (bar.span.name, self.x(bar.span.start_ns), self.x(bar.span.end_ns));
            match &mut group {
                Some((lane, known, _, until)) if *lane == bar.lane && *known == name && x - *until < JOINED => {
                    *until = end
                }
                _ => self.label(group.replace((bar.lane, name, x, end))),
            }
        }
        self.label(group);
    }

    fn label(&mut self, group: Option<(usize, u32, f64, f64)>) {
        let Some((lane, name, x, end)) = group else { return };
        let name = self.chart.trace.name(name);
        let room = ((end - x - 10.0) / CHARACTER).floor() as usize;
        if room < name.chars().count().min(4) {
            return;
        }
        let (text, x, y) = (shortened(name, room), x + 6.0, TOP + lane as f64 * LANE + 15.0);
        draw!(self, "<text class=\"on b\" x=\"{x:.1}\" y=\"{y}\">{}</text>", Escaped(&text));
    }

    /// The critical path: a line under the bars that are on it, from lane to lane.
    fn path(&mut self) {
        let mut line = String::new();
        let mut end = None;
        for step in &self.chart.path {
            let (from, to) = (self.x(step.start_ns), self.x(step.end_ns));
            let y = TOP + step.lane as f64 * LANE + PATH;
            match end {
                Some((at, lane, ns)) if lane == step.lane && ns == step.start_ns && at == y => {}
                Some((_, _, ns)) if ns == step.start_ns => {
                    let _ = write!(line, "L{from:.1} {y}");
                }
                _ => {
                    let _ = write!(line, "M{from:.1} {y}");
                }
            }
            end = Some((y, step.lane, step.end_ns));
            // Points closer than can be seen are left out; the next one draws over them.
            if to - from >= SEEN / 2.0 {
                let _ = write!(line, "H{to:.1}");
            }
        }
        draw!(
            self,
            "<path id=\"critical-path\" class=\"critical\" fill=\"none\" stroke-width=\"3\" stroke-linejoin=\"round\" \
             d=\"{line}\"><title>critical path</title></path>"
        );
    }

    fn table(&mut self, stats: &Stats) {
        let mut y = self.bottom + 56.0;
        for (x, text) in COLUMNS.into_iter().zip(["count", "total ms", "p50 ms", "p99 ms"]) {
            draw!(self, "<text class=\"faint\" x=\"{x}\" y=\"{y}\" font-size=\"11\" text-anchor=\"end\">{text}</text>");
        }
        for (x, text) in [(LEFT, "system"), (360.0, "stage"), (960.0, "of the critical path")] {
            draw!(self, "<text class=\"faint\" x=\"{x}\" y=\"{y}\" font-size=\"11\">{text}</text>");
        }
        for (index, system) in stats.systems.iter().enumerate().take(SYSTEMS_MAX) {
            y += LINE;
            let left = stats.systems.len() - index;
            if index + 1 == SYSTEMS_MAX && left > 1 {
                draw!(self, "<text class=\"faint\" x=\"{LEFT}\" y=\"{y}\">and {left} more</text>");
                break;
            }
            let stage = self.chart.stages.iter().position(|stage| Some(*stage) == system.stage.as_deref());
            let class = style::stage_class(stage, system.turn);
            self.line(y, &class, &system.name, system.stage.as_deref().unwrap_or("–"), &system.times);
        }
        for ((name, times), class) in met(stats) {
            y += LINE;
            self.line(y, class, name, "", times);
        }
    }

    /// One line of the table.
    fn line(&mut self, y: f64, class: &str, name: &str, stage: &str, times: &Times) {
        let (x, top) = (LEFT - 18.0, y - 9.0);
        draw!(self, "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"10\" height=\"10\" rx=\"2\"/>");
        draw!(self, "<text class=\"ink\" x=\"{LEFT}\" y=\"{y}\">{}</text>", Escaped(&shortened(name, 38)));
        draw!(self, "<text class=\"faint\" x=\"360\" y=\"{y}\">{}</text>", Escaped(&shortened(stage, 22)));
        let ms = |ns: u64| format!("{:.3}", ns as f64 / 1e6);
        let cells = [times.count.to_string(), ms(times.total_ns), ms(times.p50_ns), ms(times.p99_ns)];
        for (x, text) in COLUMNS.into_iter().zip(cells) {
            draw!(self, "<text class=\"ink n\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{text}</text>");
        }
        let (share, width) = (times.critical_share * 100.0, times.critical_share * 130.0);
        let (x, top) = (968.0 + width, y - 8.0);
        draw!(self, "<rect class=\"share\" x=\"960\" y=\"{top}\" width=\"{width:.1}\" height=\"8\" rx=\"1\"/>");
        draw!(self, "<text class=\"ink n\" x=\"{x:.1}\" y=\"{y}\">{share:.1} %</text>");
    }
}

/// What there was beside systems, with its colour.
fn met(stats: &Stats) -> impl Iterator<Item = (&(&'static str, Times), &'static str)> {
    stats.rest.iter().zip(["commit", "gc", "wait", "none"]).filter(|((_, times), _)| times.count > 0)
}

/// What a bar is, in one line.
fn describe(chart: &Chart<'_>, bar: &Bar) -> String {
    let mut text = chart.trace.name(bar.span.name).to_owned();
    if let Some(stage) = bar.stage {
        let _ = write!(text, " · {}", chart.stages[stage]);
    }
    let _ = write!(text, " · {}", Duration(bar.span.end_ns - bar.span.start_ns));
    match bar.span.kind {
        Kind::Range => {
            let _ = write!(text, " · {} rows, range {}", bar.span.rows, bar.span.index);
        }
        Kind::Commit => {
            let _ = write!(text, " · {} entities despawned", bar.span.rows);
        }
        Kind::Wait => {
            if let Some(awaited) = chart.awaited(bar) {
                let _ = write!(text, " · {awaited}");
            }
        }
        _ => {}
    }
    if bar.critical_ns > 0 {
        text.push_str(" · on the critical path");
    }
    text
}

/// At most so many characters of a text, with an ellipsis if some were left out.
fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    text.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
}

/// The round number (1, 2 or 5 times a power of ten) of nanoseconds that is at least `ns`.
fn tick_ns(ns: f64) -> u64 {
    let power = 10f64.powf(ns.max(1.0).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= ns).unwrap_or(10.0);
    (factor * power) as u64
}

/// Decimals that milliseconds need to tell multiples of `step_ns` apart.
fn decimals(step_ns: u64) -> usize {
    (0..6).find(|decimals| step_ns.is_multiple_of(10u64.pow(6 - decimals))).unwrap_or(6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_labelled_exactly() {
        assert_eq!(
            [0.0, 1.0, 1.5, 3.0, 70.0, 1_000_000.0, 2.1e6].map(tick_ns),
            [1, 1, 2, 5, 100, 1_000_000, 5_000_000]
        );
        assert_eq!([1, 20, 500, 1_000, 200_000, 1_000_000].map(decimals), [6, 5, 4, 3, 1, 0]);
    }

    #[test]
    fn long_names_end_in_an_ellipsis() {
        assert_eq!(["physics", "äöüß", ""].map(|name| shortened(name, 4)), ["phy…", "äöüß", ""]);
    }
}
