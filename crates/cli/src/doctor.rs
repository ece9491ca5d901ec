//! `peristyle doctor`: says what this machine has and what it lacks, one line each, and what to do about it.
//!
//! A line is *ok*, *slow* (works, but less well than it could) or *missing*. Something missing that the demonstrations
//! need makes the exit code 1; what only other parts need is named with the part. Nothing is changed or installed.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::Args;
use rustix::process::{Resource, getrlimit};

use peristyle_agents::Cluster;
use peristyle_sky::DataFiles;

use crate::data_dir;

/// Where to look.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Look for the data here [default: PERISTYLE_DATA, else peristyle/data in the cache].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Doctor {
    /// Looks and prints.
    pub(crate) fn run(self) -> ExitCode {
        let checks = self.checks();
        let mut out = io::stdout().lock();
        let printed = checks.iter().try_for_each(|check| writeln!(out, "{check}")).and_then(|()| out.flush());
        if printed.is_err() || checks.iter().any(|check| check.state == State::Missing && check.needed) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn checks(self) -> Vec<Check> {
        vec![
            cores(),
            memory(),
            huge_pages(),
            address_space(),
            overcommit(),
            engine(),
            data(self.data),
            program("node", "Node", "the JavaScript packages; install Node 20 or newer, such as Debian's nodejs"),
            program("npm", "npm", "fetching the data by `./x setup`; it comes with Node, or as Debian's npm"),
        ]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Slow,
    Missing,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
struct Check {
    state: State,
    /// Whether the demonstrations need it.
    needed: bool,
    name: &'static str,
    /// What was found, and unless that is fine, what to do.
    text: String,
}

impl Check {
    fn ok(name: &'static str, text: impl Into<String>) -> Check {
        Check { state: State::Ok, needed: true, name, text: text.into() }
    }

    fn slow(name: &'static str, text: impl Into<String>) -> Check {
        Check { state: State::Slow, needed: true, name, text: text.into() }
    }

    fn missing(name: &'static str, text: impl Into<String>) -> Check {
        Check { state: State::Missing, needed: true, name, text: text.into() }
    }

    fn optional(self) -> Check {
        Check { needed: false, ..self }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Slow => "slow",
            State::Missing => "missing",
        };
        write!(f, "{state:<8} {:<14} {}", self.name, self.text)
    }
}

/// What Sky's world and engine take at the peak, with room to spare.
const MEMORY_BYTES_MIN: u64 = 1 << 30;

/// The address space that a world's memory (4 GiB when nothing else is said) and the engine (below 3 GiB) reserve.
const ADDRESS_SPACE_BYTES_MIN: u64 = 7 << 30;

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(count) if count.get() > 1 => Check::ok("cores", count.to_string()),
        Ok(_) => Check::slow("cores", "1; jobs run one after another"),
        Err(error) => Check::slow("cores", format!("the system does not say ({error}); `--workers N` sets the pool")),
    }
}

/// Starts the engine and loads a job, as a run does.
fn engine() -> Check {
    let source = "export function handle({ snap }: { snap: unknown }): void { void snap; }";
    match Cluster::new().and_then(|cluster| cluster.job_from_source("doctor.job.ts", source)) {
        Ok(_) => Check::ok("engine", "SpiderMonkey starts and loads a TypeScript job"),
        Err(error) => Check::missing("engine", format!("{error}; `--job rust` does without")),
    }
}

fn memory() -> Check {
    let (total, available) = match fs::read_to_string("/proc/meminfo") {
        Ok(text) => (meminfo_bytes(&text, "MemTotal:"), meminfo_bytes(&text, "MemAvailable:")),
        Err(_) => (None, None),
    };
    match (total, available) {
        (Some(total), Some(available)) => {
            let text = format!("{} of which {} are available", gib(total), gib(available));
            if available >= MEMORY_BYTES_MIN {
                Check::ok("memory", text)
            } else {
                Check::missing("memory", format!("{text}; Sky wants {}: end other programs", gib(MEMORY_BYTES_MIN)))
            }
        }
        _ => Check::ok("memory", "the system does not say"),
    }
}

fn huge_pages() -> Check {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    match chosen(&text) {
        Some(state @ ("always" | "madvise")) => Check::ok("huge pages", format!("transparent, {state}")),
        Some(state) => Check::slow(
            "huge pages",
            format!("transparent, {state}; `echo madvise > /sys/kernel/mm/transparent_hugepage/enabled` as root"),
        ),
        None => Check::slow("huge pages", "this system has no transparent huge pages"),
    }
}

fn address_space() -> Check {
    match getrlimit(Resource::As).current {
        None => Check::ok("address space", "not limited"),
        Some(limit) if limit >= ADDRESS_SPACE_BYTES_MIN => {
            Check::ok("address space", format!("limited to {}", gib(limit)))
        }
        Some(limit) => Check::missing(
            "address space",
            format!(
                "limited to {}, a world and the engine reserve {}: raise `ulimit -v`, or give `--memory-limit`",
                gib(limit),
                gib(ADDRESS_SPACE_BYTES_MIN)
            ),
        ),
    }
}

fn overcommit() -> Check {
    match fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default().trim() {
        "0" => Check::ok("overcommit", "heuristic"),
        "1" => Check::ok("overcommit", "always"),
        "2" => Check::slow(
            "overcommit",
            "never: memory counts when it is committed, so a run may end early; `sysctl vm.overcommit_memory=0` as root",
        ),
        _ => Check::ok("overcommit", "the system does not say"),
    }
}

fn data(argument: Option<PathBuf>) -> Check {
    let dir = match data_dir::resolve(argument, |name| std::env::var_os(name)) {
        Ok(dir) => dir,
        Err(error) => return Check::missing("data", error.to_string()),
    };
    match DataFiles::find(&dir) {
        Ok(files) => Check::ok("data", format!("{} and {}", sized(&files.flights), sized(&files.airports))),
        Err(error) => Check::missing("data", error.to_string()),
    }
}

/// A program on the path, by the version that it prints.
fn program(command: &str, name: &'static str, needed_for: &str) -> Check {
    let output = Command::new(command).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let version = output.ok().filter(|output| output.status.success()).and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().next().map(|line| line.trim().trim_start_matches('v').to_owned())
    });
    match version {
        Some(version) => Check::ok(name, version),
        None => Check::missing(name, format!("needed for {needed_for}")),
    }
    .optional()
}

/// A value of /proc/meminfo, which is in units of 1 024 bytes.
fn meminfo_bytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The choice in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(chosen, _)| chosen)
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

fn sized(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(metadata) => format!("{} ({:.1} MiB)", path.display(), metadata.len() as f64 / (1 << 20) as f64),
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_texts_are_read() {
        let text = "MemTotal:       24105000 kB\nMemFree: 1 kB\nMemAvailable:   1048576 kB\n";
        assert_eq!(meminfo_bytes(text, "MemAvailable:"), Some(1 << 30));
        assert_eq!(meminfo_bytes(text, "SwapTotal:"), None);
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn lines_are_aligned() {
        assert_eq!(Check::ok("cores", "2").to_string(), "ok       cores          2");
        assert_eq!(Check::missing("data", "none").to_string(), "missing  data           none");
    }

    #[test]
    fn a_program_that_is_not_there_is_missing_but_not_needed_to_run() {
        let check = program("peristyle-has-no-such-program", "thing", "a test");
        assert_eq!(check, Check::missing("thing", "needed for a test").optional());
    }

    #[test]
    fn data_that_is_not_there_is_missing() {
        let check = data(Some("nowhere".into()));
        assert_eq!((check.state, check.needed), (State::Missing, true));
        assert!(check.text.contains("`./x setup` fetches the data"), "{}", check.text);
    }
}
