//! Colours and words that both forms of a chart share.
//!
//! Colours come in pairs, for light and for dark surroundings; a reader's browser chooses. Stages differ in hue and lie
//! close to each other in lightness, so that the critical path, drawn in the one warm colour, stands out. Systems of one
//! stage take turns in three shades of its colour.

use std::fmt::{self, Write};

use crate::Kind;

use super::chart::{Bar, Chart};

/// Name, light, dark.
const COLOURS: [(&str, u32, u32); 9] = [
    ("ground", 0xffffff, 0x15181d),
    ("band", 0xf4f5f7, 0x1b1f26),
    ("line", 0xdfe2e7, 0x2c323b),
    ("ink", 0x1f2530, 0xe4e7ec),
    ("faint", 0x69717f, 0x949dab),
    ("commit", 0x2f3744, 0xc9d0db),
    ("wait", 0xc3c9d2, 0x48515e),
    ("gc", 0xf2b705, 0xffcc33),
    ("critical", 0xe4531c, 0xff7a45),
];

/// Colours of stages, light and dark; if there are more stages they share them.
const STAGES: [(u32, u32); 6] = [
    (0x4678b4, 0x5f93d2),
    (0x35928a, 0x47ada3),
    (0x8568b5, 0xa389d3),
    (0x7e8f3c, 0x9bad55),
    (0x9a6d8a, 0xb888a7),
    (0x5f7389, 0x8096ae),
];

/// How far the shades of a stage's colour lie from it, towards the colour of text: what is written on them stays legible.
const SHADES: [(&str, f64); 3] = [("", 0.0), ("a", 0.22), ("b", 0.42)];

/// What else of an SVG has which colour, as selector, property and colour.
const RULES: [(&str, &str, &str); 12] = [
    (".ground", "fill", "ground"),
    (".band", "fill", "band"),
    (".line", "stroke", "line"),
    (".hatch", "stroke", "wait"),
    (".ink", "fill", "ink"),
    (".faint", "fill", "faint"),
    (".commit", "fill", "commit"),
    (".gc", "fill", "gc"),
    (".gc", "stroke", "ground"),
    (".on", "fill", "ground"),
    (".critical", "stroke", "critical"),
    (".share", "fill", "critical"),
];

/// All colours by name.
fn colours(dark: bool) -> Vec<(String, u32)> {
    let pick = |in_light, in_dark| if dark { in_dark } else { in_light };
    let (_, ink_light, ink_dark) = COLOURS[3];
    let ink = pick(ink_light, ink_dark);
    let mut colours: Vec<(String, u32)> =
        COLOURS.iter().map(|&(name, in_light, in_dark)| (name.to_owned(), pick(in_light, in_dark))).collect();
    for (stage, (in_light, in_dark)) in STAGES.into_iter().enumerate() {
        for (shade, share) in SHADES {
            colours.push((format!("s{stage}{shade}"), mixed(pick(in_light, in_dark), ink, share)));
        }
    }
    colours
}

/// A colour, moved by a share of the way to another.
fn mixed(from: u32, to: u32, share: f64) -> u32 {
    [16, 8, 0].into_iter().fold(0, |colour, shift| {
        let [from, to] = [from, to].map(|colour| f64::from(colour >> shift & 0xff));
        colour | ((from + (to - from) * share).round() as u32) << shift
    })
}

/// The rules of an SVG's style element. No variables, for not all viewers know them.
pub(super) fn svg_css(out: &mut String) {
    for dark in [false, true] {
        let colours = colours(dark);
        out.push_str(if dark { "@media(prefers-color-scheme:dark){" } else { "" });
        for (selector, property, name) in RULES {
            let colour = colours.iter().find(|(known, _)| known == name).map_or(0, |(_, colour)| *colour);
            let _ = write!(out, "{selector}{{{property}:#{colour:06x}}}");
        }
        for (name, colour) in &colours[COLOURS.len()..] {
            let _ = write!(out, ".{name}{{fill:#{colour:06x}}}");
        }
        out.push_str(if dark { "}" } else { "" });
    }
}

/// The colours as variables of a page.
pub(super) fn page_css(out: &mut String) {
    for (dark, before, after) in
        [(false, ":root{color-scheme:light dark;", "}"), (true, "@media(prefers-color-scheme:dark){:root{", "}}\n")]
    {
        out.push_str(before);
        for (name, colour) in colours(dark) {
            let _ = write!(out, "--{name}:#{colour:06x};");
        }
        out.push_str(after);
    }
}

/// The colour of a stage, and of the system in it that is number `turn`.
pub(super) fn stage_class(stage: Option<usize>, turn: usize) -> String {
    // What ran in no stage is drawn like the last ones.
    let stage = stage.unwrap_or(STAGES.len() - 1) % STAGES.len();
    format!("s{stage}{}", SHADES[turn % SHADES.len()].0)
}

/// The colour of a bar; none for what is not drawn as one.
pub(super) fn bar_class(chart: &Chart<'_>, bar: &Bar) -> Option<String> {
    match bar.span.kind {
        Kind::System | Kind::Range => Some(stage_class(bar.stage, chart.turn(bar.span.name))),
        Kind::Commit => Some("commit".into()),
        Kind::Wait => Some("wait".into()),
        Kind::Collection => Some("gc".into()),
        Kind::Frame | Kind::Stage => None,
    }
}

/// What a chart has of each kind, for its legend: class and text.
pub(super) fn legend(chart: &Chart<'_>) -> Vec<(String, String)> {
    let has = |kind: Kind| chart.bars.iter().any(|bar| bar.span.kind == kind);
    let mut entries: Vec<(String, String)> = Vec::new();
    for (index, name) in chart.stages.iter().enumerate() {
        if chart.bars.iter().any(|bar| bar.stage == Some(index)) {
            entries.push((stage_class(Some(index), 0), (*name).to_owned()));
        }
    }
    let kinds = [(Kind::Commit, "commit"), (Kind::Wait, "wait"), (Kind::Collection, "gc")];
    let words = ["commit", "wait", "garbage collection"];
    for ((kind, class), word) in kinds.into_iter().zip(words) {
        if has(kind) {
            entries.push((class.into(), word.into()));
        }
    }
    entries.push(("critical".into(), "critical path".into()));
    entries
}

/// One line that says what a chart shows.
pub(super) fn subtitle(chart: &Chart<'_>) -> String {
    let frames = chart.frames;
    let (first, last) = (frames[0].number, frames[frames.len() - 1].number);
    let which = if frames.len() == 1 { format!("frame {first}") } else { format!("frames {first} to {last}") };
    let time = chart.time_ns();
    let lanes = chart.trace.lanes.len();
    let plural = if lanes == 1 { "" } else { "s" };
    format!("{which} · {lanes} lane{plural} · {}", Duration(time.end - time.start))
}

/// A time in the unit that fits it.
pub(super) struct Duration(pub(super) u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0 as f64;
        match self.0 {
            ..1_000 => write!(f, "{} ns", self.0),
            1_000..1_000_000 => write!(f, "{:.1} µs", ns / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.2} ms", ns / 1e6),
            _ => write!(f, "{:.2} s", ns / 1e9),
        }
    }
}

/// Text as it may stand in XML and HTML, between tags and in attributes. What XML cannot hold at all is replaced.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' | '\r' => f.write_char(' ')?,
                '\0'..' ' | '\u{fffe}' | '\u{ffff}' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
