//! What a run of Sky is asked to do, and what cannot be asked.
//!
//! A [`SkyConfig`] is plain values; [`SkyConfig::validate`] checks them all, and the `parse_` functions read single
//! ones from text, with the same checks, so that a command line and a program refuse the same things in the same words.
//!
//! # Rules
//! - A message says what was given and what would be accepted.
//! - Nothing is clamped in silence.

use std::path::{Path, PathBuf};

use crate::day::{DAY_SECONDS, TICK_SECONDS_MAX, TICKS_PER_SECOND};
use crate::live::Serve;

/// What a run of Sky does.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyConfig {
    /// Where the input lies; see [`DataFiles`](crate::DataFiles).
    pub data_dir: PathBuf,
    /// Simulated seconds per second; a tick moves the day by a sixtieth of it.
    pub speed: f64,
    /// The time of day at which the run starts, in whole seconds.
    pub start_seconds: u32,
    /// When the run ends.
    pub limit: Limit,
    /// Whether ticks follow each other without waiting; else there are sixty in a second and a report each second.
    pub headless: bool,
    /// Threads of the worker pool; `None` for one less than there are cores, and at least one.
    pub workers: Option<usize>,
    /// What moves the flights.
    pub job: JobKind,
    /// Where to write the timeline as a Chrome trace.
    pub trace: Option<PathBuf>,
    /// The most that the world's memory may grow to; `None` for the memory's own default.
    pub memory_bytes_max: Option<u64>,
    /// Whether the job is checked for purity, which takes several times as long. Findings go to
    /// [`Hooks::impure`](crate::Hooks::impure).
    pub check: bool,
    /// Where pages can watch the run; nowhere if `None`.
    pub serve: Option<Serve>,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Once the folded day has gone round: 21 600 ticks at the default speed.
    Day,
    /// After so many seconds of wall time.
    WallSeconds(f64),
    /// After so many ticks.
    Ticks(u64),
    /// Never: day after day.
    Never,
}

/// What moves the flights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobKind {
    /// The step in Rust.
    Rust,
    /// The TypeScript job that comes with Sky.
    Ts,
    /// A job module of the user's.
    Path(PathBuf),
}

/// What cannot be asked of a run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The speed is not a number of simulated seconds per second that a tick can be made of.
    #[error("the speed is {given}, expected simulated seconds per second above 0 and at most {max}")]
    Speed {
        /// What was given.
        given: String,
        /// The most that is accepted.
        max: f64,
    },
    /// The start is not a time of day.
    #[error("the start is {given}, expected a time of day from 00:00 to 23:59")]
    Start {
        /// What was given.
        given: String,
    },
    /// The wall time is not a duration.
    #[error("the wall time is {given}, expected seconds above 0")]
    WallSeconds {
        /// What was given.
        given: String,
    },
    /// The number of ticks is none.
    #[error("the number of ticks is {given}, expected a whole number, at least 1")]
    Ticks {
        /// What was given.
        given: String,
    },
    /// The number of workers is none, or more than a pool has.
    #[error("the number of workers is {given}, expected 1 to {max}")]
    Workers {
        /// What was given.
        given: String,
        /// The most that are accepted.
        max: usize,
    },
    /// The memory limit is not a size.
    #[error("the memory limit is {given}, expected bytes above 0 such as 536870912, 512M or 4GiB")]
    MemoryLimit {
        /// What was given.
        given: String,
    },
    /// There is no such job.
    #[error("the job {} is not a file, expected `rust`, `ts` or the path of a .js, .mjs or .ts module", path.display())]
    JobMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The trace has no directory to be written into.
    #[error("the trace cannot be written to {}: its directory does not exist", path.display())]
    TraceDirectoryMissing {
        /// Where it was to be written.
        path: PathBuf,
    },
}

/// Simulated seconds per second of a run that says nothing else.
pub(crate) const SPEED_DEFAULT: f64 = 240.0;

/// A tick must not move the day further than [`TICK_SECONDS_MAX`].
const SPEED_MAX: f64 = TICK_SECONDS_MAX * TICKS_PER_SECOND;

/// More threads than any machine has cores; far more would only fail later and less clearly.
const WORKERS_MAX: usize = 1_024;

impl SkyConfig {
    /// A run over one day from midnight at the default speed, headless, with the TypeScript job on every core.
    pub fn new(data_dir: impl Into<PathBuf>) -> SkyConfig {
        SkyConfig {
            data_dir: data_dir.into(),
            speed: SPEED_DEFAULT,
            start_seconds: 0,
            limit: Limit::Day,
            headless: true,
            workers: None,
            job: JobKind::Ts,
            trace: None,
            memory_bytes_max: None,
            check: false,
            serve: None,
        }
    }

    /// Checks every value, and that a job of the user's and the trace's directory exist.
    ///
    /// # Errors
    /// The first [`ConfigError`] there is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_speed(self.speed, || self.speed.to_string())?;
        if self.start_seconds >= DAY_SECONDS as u32 {
            return Err(ConfigError::Start { given: format!("second {} of the day", self.start_seconds) });
        }
        match self.limit {
            Limit::WallSeconds(seconds) => check_seconds(seconds, || seconds.to_string())?,
            Limit::Ticks(0) => return Err(ConfigError::Ticks { given: "0".to_owned() }),
            Limit::Day | Limit::Ticks(_) | Limit::Never => {}
        }
        if let Some(workers) = self.workers
            && !(1..=WORKERS_MAX).contains(&workers)
        {
            return Err(ConfigError::Workers { given: workers.to_string(), max: WORKERS_MAX });
        }
        if self.memory_bytes_max == Some(0) {
            return Err(ConfigError::MemoryLimit { given: "0".to_owned() });
        }
        if let JobKind::Path(path) = &self.job
            && !path.is_file()
        {
            return Err(ConfigError::JobMissing { path: path.clone() });
        }
        if let Some(path) = &self.trace
            && let Some(directory) = path.parent()
            && directory != Path::new("")
            && !directory.is_dir()
        {
            return Err(ConfigError::TraceDirectoryMissing { path: path.clone() });
        }
        Ok(())
    }

    /// Simulated seconds that a tick moves the day by.
    pub fn tick_seconds(&self) -> f64 {
        self.speed / TICKS_PER_SECOND
    }

    /// Simulated time after `ticks` ticks, in seconds since the midnight before the start.
    ///
    /// Made by one multiplication, so that a run of many days gathers no rounding.
    pub fn seconds_after(&self, ticks: u64) -> f64 {
        f64::from(self.start_seconds) + ticks as f64 * self.tick_seconds()
    }

    /// The number of ticks after which the run ends, unless wall time ends it.
    pub fn ticks_max(&self) -> Option<u64> {
        match self.limit {
            Limit::Day => Some((DAY_SECONDS / self.tick_seconds()).ceil() as u64),
            Limit::Ticks(ticks) => Some(ticks),
            Limit::WallSeconds(_) | Limit::Never => None,
        }
    }
}

impl JobKind {
    /// The name that the report gives: `rust`, `ts` or the path.
    pub fn name(&self) -> String {
        match self {
            JobKind::Rust => "rust".to_owned(),
            JobKind::Ts => "ts".to_owned(),
            JobKind::Path(path) => path.display().to_string(),
        }
    }
}

/// Reads a speed in simulated seconds per second.
///
/// # Errors
/// [`ConfigError::Speed`] unless it is above 0 and at most 216 000.
pub fn parse_speed(text: &str) -> Result<f64, ConfigError> {
    let speed = text.parse().unwrap_or(f64::NAN);
    check_speed(speed, || text.to_owned())?;
    Ok(speed)
}

/// Reads a wall time in seconds.
///
/// # Errors
/// [`ConfigError::WallSeconds`] unless it is finite and above 0.
pub fn parse_seconds(text: &str) -> Result<f64, ConfigError> {
    let seconds = text.parse().unwrap_or(f64::NAN);
    check_seconds(seconds, || text.to_owned())?;
    Ok(seconds)
}

/// Reads a number of ticks.
///
/// # Errors
/// [`ConfigError::Ticks`] unless it is a whole number above 0.
pub fn parse_ticks(text: &str) -> Result<u64, ConfigError> {
    let ticks = text.parse().ok().filter(|&ticks| ticks > 0);
    ticks.ok_or_else(|| ConfigError::Ticks { given: text.to_owned() })
}

/// Reads a number of workers.
///
/// # Errors
/// [`ConfigError::Workers`] unless it is from 1 to 1 024.
pub fn parse_workers(text: &str) -> Result<usize, ConfigError> {
    let workers = text.parse().ok().filter(|workers| (1..=WORKERS_MAX).contains(workers));
    workers.ok_or_else(|| ConfigError::Workers { given: text.to_owned(), max: WORKERS_MAX })
}

/// Reads a time of day `HH:MM` as seconds of the day.
///
/// # Errors
/// [`ConfigError::Start`] unless it is from 00:00 to 23:59, two digits each.
pub fn parse_start(text: &str) -> Result<u32, ConfigError> {
    let part = |part: &str, below: u32| match (part.len(), part.bytes().all(|byte| byte.is_ascii_digit())) {
        (2, true) => part.parse::<u32>().ok().filter(|&value| value < below),
        _ => None,
    };
    text.split_once(':')
        .and_then(|(hours, minutes)| Some((part(hours, 24)? * 60 + part(minutes, 60)?) * 60))
        .ok_or_else(|| ConfigError::Start { given: text.to_owned() })
}

/// Reads a size in bytes: a whole number, and `K`, `M`, `G` or `T` for powers of 1 024, with or without `iB` or `B`.
///
/// # Errors
/// [`ConfigError::MemoryLimit`] unless it is above 0 and fits 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64, ConfigError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        "t" | "tb" | "tib" => Some(40),
        _ => None,
    };
    shift
        .and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| ConfigError::MemoryLimit { given: text.to_owned() })
}

/// Reads what moves the flights: `rust`, `ts`, or else a path, which [`SkyConfig::validate`] looks at.
pub fn parse_job(text: &str) -> JobKind {
    match text {
        "rust" => JobKind::Rust,
        "ts" => JobKind::Ts,
        path => JobKind::Path(path.into()),
    }
}

fn check_speed(speed: f64, given: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if speed > 0.0 && speed <= SPEED_MAX { Ok(()) } else { Err(ConfigError::Speed { given: given(), max: SPEED_MAX }) }
}

fn check_seconds(seconds: f64, given: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if seconds > 0.0 && seconds.is_finite() { Ok(()) } else { Err(ConfigError::WallSeconds { given: given() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejects(change: impl FnOnce(&mut SkyConfig)) -> String {
        let mut config = SkyConfig::new("data");
        change(&mut config);
        config.validate().expect_err("the configuration is wrong").to_string()
    }

    #[test]
    fn the_default_is_one_day_of_21_600_ticks() {
        let config = SkyConfig::new("data");
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.ticks_max(), Some(21_600));
        assert_eq!(config.seconds_after(21_600), 86_400.0);
    }

    #[test]
    fn a_day_takes_as_many_ticks_as_the_speed_says() {
        let at = |speed| SkyConfig { speed, ..SkyConfig::new("data") }.ticks_max();
        assert_eq!(at(8_640.0), Some(600));
        assert_eq!(at(216_000.0), Some(24));
        assert_eq!(at(1.0), Some(5_184_000));
        assert_eq!(SkyConfig { limit: Limit::WallSeconds(1.0), ..SkyConfig::new("data") }.ticks_max(), None);
    }

    #[test]
    fn each_value_out_of_range_is_refused_by_name() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 216_000.5] {
            let message = rejects(|config| config.speed = speed);
            assert!(message.starts_with(&format!("the speed is {speed}, ")), "{message}");
        }
        assert!(rejects(|config| config.start_seconds = 86_400).starts_with("the start is"));
        assert!(rejects(|config| config.limit = Limit::WallSeconds(f64::NAN)).starts_with("the wall time is NaN"));
        assert!(rejects(|config| config.limit = Limit::Ticks(0)).starts_with("the number of ticks is 0"));
        assert_eq!(rejects(|config| config.workers = Some(0)), "the number of workers is 0, expected 1 to 1024");
        assert!(rejects(|config| config.workers = Some(9_999)).starts_with("the number of workers is 9999"));
        assert!(rejects(|config| config.memory_bytes_max = Some(0)).starts_with("the memory limit is 0"));
        assert!(
            rejects(|config| config.job = JobKind::Path("no.ts".into())).starts_with("the job no.ts is not a file")
        );
        assert!(rejects(|config| config.trace = Some("no/where.json".into())).contains("no/where.json"));
    }

    #[test]
    fn text_is_read_with_the_same_checks() {
        assert_eq!(parse_speed("240"), Ok(240.0));
        assert_eq!(parse_speed("0.5"), Ok(0.5));
        for text in ["0", "-3", "nan", "inf", "fast", ""] {
            assert!(matches!(parse_speed(text), Err(ConfigError::Speed { given, .. }) if given == text));
            assert!(matches!(parse_seconds(text), Err(ConfigError::WallSeconds { given }) if given == text));
        }
        assert_eq!((parse_ticks("7"), parse_workers("1024")), (Ok(7), Ok(1_024)));
        for text in ["0", "-1", "1.5", "many", "", "99999999999999999999"] {
            assert_eq!(parse_ticks(text), Err(ConfigError::Ticks { given: text.to_owned() }));
            assert_eq!(parse_workers(text), Err(ConfigError::Workers { given: text.to_owned(), max: 1_024 }));
        }
        assert_eq!(parse_job("rust"), JobKind::Rust);
        assert_eq!(parse_job("ts"), JobKind::Ts);
        assert_eq!(parse_job("./ts"), JobKind::Path("./ts".into()));
    }

    #[test]
    fn a_start_is_a_time_of_day() {
        assert_eq!(parse_start("00:00"), Ok(0));
        assert_eq!(parse_start("23:59"), Ok(86_340));
        for text in ["24:00", "12:60", "12", "1:00", "12:5", "-1:00", "+1:00", "12:00:00", "", ":"] {
            assert_eq!(parse_start(text), Err(ConfigError::Start { given: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(parse_bytes("4096"), Ok(4_096));
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        assert_eq!(parse_bytes("4 GiB"), Ok(4 << 30));
        assert_eq!(parse_bytes("1kb"), Ok(1_024));
        for text in ["0", "", "M", "1.5G", "-1", "1X", "99999999T", "99999999999999999999"] {
            assert_eq!(parse_bytes(text), Err(ConfigError::MemoryLimit { given: text.to_owned() }), "{text}");
        }
    }
}
