//! `peristyle gantt` and `peristyle stats`: a trace as a picture, and as numbers.
//!
//! A trace that was cut short is refused unless `--partial` is given: lanes are written one after another, so a picture
//! of the rest could lack whole lanes without looking odd.

use std::{
    fmt::Display,
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use peristyle_timeline::gantt::{Chart, Select, SelectError, Stats, Trace, TraceError};

/// Frames that a picture shows unless told.
const FRAMES_SHOWN: usize = 5;

/// Draw frames of a trace as a Gantt chart: what ran where, when, and what it waited for.
#[derive(Debug, Args)]
pub(crate) struct Gantt {
    #[command(flatten)]
    input: Input,

    /// Where to write it; the ending says what it is: .svg (a picture) or .html (a page to zoom into).
    #[arg(short, long, value_name = "FILE", value_parser = output)]
    output: Output,

    /// What stands over it [default: the name of the trace's file].
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Print the statistics of these frames too.
    #[arg(long)]
    stats: bool,
}

/// Count what systems took: how often, in total, half and 99 % of the times, and on the critical path.
#[derive(Debug, Args)]
pub(crate) struct StatsOf {
    #[command(flatten)]
    input: Input,

    /// Print them as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Which frames of which trace.
#[derive(Debug, Args)]
struct Input {
    /// A Chrome trace, as `peristyle demo sky --trace` writes it.
    #[arg(value_name = "TRACE")]
    trace: PathBuf,

    /// Frames by number: A..B leaves B out, A..=B does not.
    #[arg(long, value_name = "A..B", allow_hyphen_values = true, value_parser = numbers, group = "choice")]
    frames: Option<Range<u64>>,

    /// One frame by number.
    #[arg(long, value_name = "N", allow_negative_numbers = true, group = "choice")]
    frame: Option<u64>,

    /// So many frames at the end.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..), group = "choice")]
    last: Option<u32>,

    /// The longest frame, with one on either side.
    #[arg(long, group = "choice")]
    slowest: bool,

    /// Take a trace that was cut short until there.
    #[arg(long)]
    partial: bool,
}

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
enum GanttError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}{}", path.display(), hint(source))]
    Trace { path: PathBuf, source: TraceError },
    #[error("{}: {source}", path.display())]
    Select { path: PathBuf, source: SelectError },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot print the statistics: {0}")]
    Print(io::Error),
}

fn hint(error: &TraceError) -> &'static str {
    match error {
        TraceError::Truncated { .. } => " (`--partial` takes what is there)",
        _ => "",
    }
}

impl Gantt {
    pub(crate) fn run(self) -> ExitCode {
        exit(self.draw())
    }

    fn draw(self) -> Result<(), GanttError> {
        let Gantt { input, output, title, stats } = self;
        let trace = input.read()?;
        let chart = input.chart(&trace, Select::Last(FRAMES_SHOWN))?;
        let title = title.unwrap_or_else(|| file_name(&input.trace));
        let (path, text) = match output {
            Output::Svg(path) => (path, chart.svg(&title)),
            Output::Html(path) => (path, chart.html(&title)),
        };
        fs::write(&path, text).map_err(|source| GanttError::Write { path, source })?;
        if stats { print(Stats::new(&chart)) } else { Ok(()) }
    }
}

impl StatsOf {
    pub(crate) fn run(self) -> ExitCode {
        exit(self.count())
    }

    fn count(self) -> Result<(), GanttError> {
        let trace = self.input.read()?;
        let stats = Stats::new(&self.input.chart(&trace, Select::All)?);
        if self.json { print(stats.to_json()) } else { print(stats) }
    }
}

impl Input {
    fn read(&self) -> Result<Trace, GanttError> {
        let path = || self.trace.clone();
        let bytes = fs::read(&self.trace).map_err(|source| GanttError::Read { path: path(), source })?;
        let read =
            if self.partial { Trace::read_until_cut(&bytes) } else { Trace::read(&bytes).map(|trace| (trace, None)) };
        let (trace, cut) = read.map_err(|source| GanttError::Trace { path: path(), source })?;
        if let Some(cut) = cut {
            warn(format_args!("{cut}; what follows is not shown"));
        }
        match trace.skipped() {
            0 => {}
            skipped => warn(format_args!("{skipped} events are of no kind that peristyle writes, and left out")),
        }
        Ok(trace)
    }

    fn chart<'t>(&self, trace: &'t Trace, default: Select) -> Result<Chart<'t>, GanttError> {
        let which = if let Some(numbers) = self.frames.clone() {
            Select::Numbers(numbers)
        } else if let Some(number) = self.frame {
            Select::Numbers(number..number.saturating_add(1))
        } else if let Some(count) = self.last {
            Select::Last(count as usize)
        } else if self.slowest {
            Select::Slowest(1)
        } else {
            default
        };
        let frames = trace.select(which).map_err(|source| GanttError::Select { path: self.trace.clone(), source })?;
        if trace.frames()[frames.clone()].iter().any(|frame| !frame.is_complete) {
            warn("older spans of some of these frames were dropped");
        }
        Ok(trace.chart(frames))
    }
}

/// What to write, and where.
#[derive(Debug, Clone, PartialEq)]
enum Output {
    Svg(PathBuf),
    Html(PathBuf),
}

fn output(text: &str) -> Result<Output, String> {
    let path = PathBuf::from(text);
    match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
        Some("svg") => Ok(Output::Svg(path)),
        Some("html" | "htm") => Ok(Output::Html(path)),
        _ => Err("the name must end in .svg or .html".to_owned()),
    }
}

fn numbers(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("the frames are {text}, expected two whole numbers as A..B or A..=B");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (to, is_inclusive) = to.strip_prefix('=').map_or((to, false), |to| (to, true));
    let (from, to) = (from.parse::<u64>().map_err(|_| wrong())?, to.parse::<u64>().map_err(|_| wrong())?);
    let to = if is_inclusive { to.saturating_add(1) } else { to };
    if from < to { Ok(from..to) } else { Err(format!("there are no frames in {text}")) }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn print(what: impl Display) -> Result<(), GanttError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}").and_then(|()| out.flush()).map_err(GanttError::Print)
}

fn warn(message: impl Display) {
    let _ = writeln!(io::stderr(), "warning: {message}");
}

fn exit(result: Result<(), GanttError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_given_with_or_without_the_last() {
        assert_eq!(numbers("3..5"), Ok(3..5));
        assert_eq!(numbers("3..=5"), Ok(3..6));
        for wrong in ["3", "..5", "3..", "a..b", "-1..3", "3...5", "1.5..2"] {
            assert!(numbers(wrong).is_err_and(|message| message.contains(wrong)), "{wrong}");
        }
        assert_eq!(numbers("5..5"), Err("there are no frames in 5..5".to_owned()));
    }

    #[test]
    fn the_ending_says_what_is_written() {
        assert_eq!(output("a/b.SVG"), Ok(Output::Svg("a/b.SVG".into())));
        assert_eq!(output("b.html"), Ok(Output::Html("b.html".into())));
        assert!(output("b.png").is_err() && output("svg").is_err());
    }
}
