//! `peristyle demo`: runs a demonstration and prints its report.
//!
//! The arguments become a [`SkyConfig`]; the library's own functions read their values, so that the command line
//! refuses what the library refuses. A value that cannot be read ends in exit code 2 before anything is opened, what
//! goes wrong after that in exit code 1.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use peristyle_sky::{CheckReport, Hooks, JobKind, Limit, Loaded, Report, Serve, SkyConfig};

use crate::{data_dir, ending::Ending};

/// The demonstrations.
#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// Fly three million real flights, folded into one day, on every core.
    ///
    /// The flights are those of the npm package vega-datasets, which `./x setup` fetches. The data has no arrival
    /// times: a flight takes its distance at 460 miles an hour plus half an hour.
    Sky(Sky),
}

/// What to fly, how fast and how long.
#[derive(Debug, Args)]
pub(crate) struct Sky {
    /// Let ticks follow each other without waiting, serve nothing, and report once at the end.
    #[arg(long)]
    headless: bool,

    /// Where to serve the live page.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070", conflicts_with = "headless")]
    listen: SocketAddr,

    /// Let in only who knows this; needed to listen where other machines can reach it.
    #[arg(long, value_name = "TOKEN", conflicts_with = "headless")]
    token: Option<String>,

    /// Open the live page in the browser.
    #[arg(long, conflicts_with = "headless")]
    open: bool,

    /// Read flights-3m.parquet and airports.csv from here [default: PERISTYLE_DATA, else peristyle/data in the cache]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Simulated seconds per second; a tick moves the day by a sixtieth of it.
    #[arg(long, value_name = "X", default_value = "240", allow_negative_numbers = true, value_parser = peristyle_sky::parse_speed)]
    speed: f64,

    /// Time of day to start at.
    #[arg(long, value_name = "HH:MM", default_value = "00:00", value_parser = peristyle_sky::parse_start)]
    start: u32,

    /// Stop after so many seconds of wall time [default: one day if headless, else never].
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "ticks", value_parser = peristyle_sky::parse_seconds)]
    seconds: Option<f64>,

    /// Stop after so many ticks [default: as above; a day has 21 600 ticks at the default speed].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = peristyle_sky::parse_ticks)]
    ticks: Option<u64>,

    /// Threads of the worker pool [default: one less than there are cores, at least 1].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = peristyle_sky::parse_workers)]
    workers: Option<usize>,

    /// What moves the flights: rust, ts, or the path of a job module.
    #[arg(long, value_name = "rust|ts|PATH", default_value = "ts", value_parser = job)]
    job: JobKind,

    /// Write the timeline as a Chrome trace, which Perfetto opens.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// The most that the world's memory may grow to, such as 512M or 4GiB.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = peristyle_sky::parse_bytes)]
    memory_limit: Option<u64>,

    /// Check that the job is pure: it is lent copies of what it only reads, and its rows are cut at random borders.
    /// What it does besides is told on stderr, and the exit code is 1. Takes several times as long.
    #[arg(long)]
    check: bool,

    /// Print the report as one line of JSON, and nothing else on stdout.
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// Runs the demonstration to its end.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Demo::Sky(sky) => sky.run(),
        }
    }
}

impl Sky {
    fn run(self) -> ExitCode {
        let mut console = Console::new(self.json, self.open.then(|| self.token.clone()));
        let config = match self.config() {
            Ok(config) => config,
            Err(error) => return failed(error),
        };
        let result = peristyle_sky::run(&config, &mut console);
        console.clear();
        match result {
            Ok(report) => match (console.print(&report), console.ending.code()) {
                (Ok(()), _) if console.is_impure => ExitCode::FAILURE,
                // What has no end of its own is done when it is told to end.
                (Ok(()), Some(code)) if config.limit != Limit::Never => ExitCode::from(code),
                (Ok(()), _) => ExitCode::SUCCESS,
                (Err(error), _) => failed(format_args!("cannot print the report: {error}")),
            },
            Err(error) => failed(error),
        }
    }

    fn config(self) -> Result<SkyConfig, data_dir::NoDataDirectory> {
        Ok(SkyConfig {
            data_dir: data_dir::resolve(self.data, |name| std::env::var_os(name))?,
            speed: self.speed,
            start_seconds: self.start,
            limit: match (self.seconds, self.ticks) {
                (Some(seconds), _) => Limit::WallSeconds(seconds),
                (None, Some(ticks)) => Limit::Ticks(ticks),
                (None, None) if self.headless => Limit::Day,
                (None, None) => Limit::Never,
            },
            headless: self.headless,
            workers: self.workers,
            job: self.job,
            trace: self.trace,
            memory_bytes_max: self.memory_limit,
            check: self.check,
            serve: (!self.headless).then_some(Serve { listen: self.listen, token: self.token }),
        })
    }
}

/// Prints what a run tells.
struct Console {
    json: bool,
    /// Whether to open the live page, and with which token.
    open: Option<Option<String>>,
    bar: ProgressBar,
    /// Whether a check of the job found something.
    is_impure: bool,
    ending: Ending,
}

impl Console {
    fn new(json: bool, open: Option<Option<String>>) -> Console {
        let target =
            if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("reading flights {wide_bar} {human_pos} of {human_len}");
        let bar = ProgressBar::with_draw_target(None, target);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Console { json, open, bar, is_impure: false, ending: Ending::default() }
    }

    fn open_page(&mut self, url: &str) {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(opener).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if let Err(error) = opened {
            self.warn(&format!("cannot open the page with {opener}: {error}"));
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn print(&self, report: &Report) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", report.to_json())?
        } else {
            writeln!(out, "{report}")?
        }
        out.flush()
    }
}

impl Hooks for Console {
    fn loading(&mut self, rows: u64, rows_total: u64) {
        self.bar.set_length(rows_total);
        self.bar.set_position(rows);
    }

    fn loaded(&mut self, loaded: &Loaded) {
        self.clear();
        let skipped = loaded.timetable.skipped();
        if skipped.flights > 0 {
            self.warn(&skipped_message(skipped));
        }
        // Reading can be ended at any time, a run ends between two ticks.
        if let Err(error) = self.ending.listen() {
            self.warn(&format!("cannot listen for Ctrl-C: {error}"));
        }
    }

    fn serving(&mut self, url: &str) {
        let _ = writeln!(io::stderr(), "watch Sky at {url} (Ctrl-C ends it)");
        match &self.open {
            None => {}
            Some(None) => self.open_page(url),
            // Behind the hash, which browsers keep to themselves.
            Some(Some(token)) => self.open_page(&format!("{url}#token={}", escaped(token))),
        }
    }

    fn is_over(&mut self) -> bool {
        self.ending.code().is_some()
    }

    fn impure(&mut self, found: &CheckReport) {
        self.is_impure = true;
        self.warn(&found.to_string());
    }

    fn warn(&mut self, message: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "warning: {message}");
        });
    }
}

/// Text as it stands in an address: letters and digits as they are.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Unknown codes that a warning lists.
const CODES_SHOWN: usize = 10;

fn skipped_message(skipped: &peristyle_sky::Skipped) -> String {
    let mut codes: Vec<_> = skipped.by_code.iter().collect();
    codes.sort_by_key(|&(code, &count)| (std::cmp::Reverse(count), code));
    let mut shown: Vec<String> =
        codes.iter().take(CODES_SHOWN).map(|(code, count)| format!("{code} ({count})")).collect();
    if codes.len() > CODES_SHOWN || skipped.other_codes > 0 {
        shown.push("others".to_owned());
    }
    format!("{} flights were skipped, their airports are not known: {}", skipped.flights, shown.join(", "))
}

fn job(text: &str) -> Result<JobKind, std::convert::Infallible> {
    Ok(peristyle_sky::parse_job(text))
}

fn failed(error: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use peristyle_sky::Skipped;

    use super::*;

    #[test]
    fn skipped_flights_are_named_by_code_most_frequent_first() {
        let by_code = BTreeMap::from([("AAA".to_owned(), 1), ("BBB".to_owned(), 5)]);
        let mut skipped = Skipped { flights: 6, by_code, other_codes: 0 };
        let message = "6 flights were skipped, their airports are not known: BBB (5), AAA (1)";
        assert_eq!(skipped_message(&skipped), message);
        skipped.other_codes = 3;
        assert_eq!(skipped_message(&skipped), format!("{message}, others"));
    }
}
