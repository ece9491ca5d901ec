//! What came out: counts, in total and by directory, and what failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::{Mode, engine};

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The engine fails it: it stands in the list, with a proof.
    Engine,
    /// The host fails it, as far as is known.
    Host,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The test, below `test/`.
    pub path: String,
    /// Its mode.
    pub mode: Mode,
    /// Whose fault it is.
    pub cause: Cause,
    /// What happened.
    pub message: String,
}

/// How many runs did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// Did what they were to do.
    pub passed: u64,
    /// Did not.
    pub failed: u64,
    /// Were left out, for a feature that the engine lacks.
    pub skipped: u64,
    /// Failed by the host's fault.
    pub host_failures: u64,
}

/// What came out. As JSON, an object with the counts, `directories`, `failures`, `missing_features` and `stale`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All runs.
    #[serde(flatten)]
    pub counts: Counts,
    /// By directory below `test/`.
    pub directories: BTreeMap<String, Counts>,
    /// What failed, in order of paths.
    pub failures: Vec<Failure>,
    /// Features for which runs were left out, and how many.
    pub missing_features: BTreeMap<String, u64>,
    /// Tests that the engine is said to fail, but passed in every run.
    pub stale: BTreeSet<String>,
}

impl Report {
    /// Counts a run that was left out for a feature.
    pub(crate) fn skipped(&mut self, path: &str, feature: &str) {
        self.count(path, |counts| counts.skipped += 1);
        *self.missing_features.entry(feature.to_owned()).or_default() += 1;
    }

    /// Counts a run.
    pub(crate) fn ran(&mut self, path: &str, mode: Mode, failed: Option<String>) {
        let is_known = engine::known(path).is_some();
        let Some(message) = failed else {
            if is_known {
                self.stale.insert(path.to_owned());
            }
            return self.count(path, |counts| counts.passed += 1);
        };
        let cause = if is_known { Cause::Engine } else { Cause::Host };
        self.count(path, |counts| {
            counts.failed += 1;
            counts.host_failures += u64::from(cause == Cause::Host);
        });
        self.failures.push(Failure { path: path.to_owned(), mode, cause, message });
    }

    fn count(&mut self, path: &str, count: impl Fn(&mut Counts)) {
        for counts in [&mut self.counts, self.directories.entry(directory(path).to_owned()).or_default()] {
            counts.total += 1;
            count(counts);
        }
    }

    pub(crate) fn finish(&mut self) {
        self.failures.sort_by(|one, other| (&one.path, one.mode).cmp(&(&other.path, other.mode)));
        let failures = &self.failures;
        self.stale.retain(|path| failures.binary_search_by(|failure| failure.path.cmp(path)).is_err());
    }
}

/// The directory that a test is counted in: its first two levels, three below `language` and `staging`, whose second level
/// is a kind of things.
fn directory(path: &str) -> &str {
    let levels = if path.starts_with("language/") || path.starts_with("staging/") { 3 } else { 2 };
    let slashes = path.match_indices('/').map(|(at, _)| at);
    // The file's own name is no level.
    slashes.take(levels).last().map_or("", |at| &path[..at])
}

/// The table: a line for each directory, then the sum.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.directories.keys().map(String::len).chain([9]).max().unwrap_or(9);
        writeln!(
            f,
            "| {:width$} | {:>8} | {:>8} | {:>8} | {:>8} | {:>8} |",
            "directory", "runs", "passed", "failed", "by host", "skipped"
        )?;
        writeln!(f, "|{0:-<1$}|---------:|---------:|---------:|---------:|---------:|", "", width + 2)?;
        let mut line = |name: &str, counts: &Counts| {
            let Counts { total, passed, failed, skipped, host_failures } = counts;
            writeln!(
                f,
                "| {name:width$} | {total:>8} | {passed:>8} | {failed:>8} | {host_failures:>8} | {skipped:>8} |"
            )
        };
        for (name, counts) in &self.directories {
            line(name, counts)?;
        }
        line("**all**", &self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_by_directory() {
        for (path, expected) in [
            ("built-ins/Atomics/wait/a.js", "built-ins/Atomics"),
            ("built-ins/Atomics/a.js", "built-ins/Atomics"),
            ("language/expressions/dynamic-import/b/a.js", "language/expressions/dynamic-import"),
            ("language/module-code/a.js", "language/module-code"),
            ("harness/a.js", "harness"),
            ("a.js", ""),
        ] {
            assert_eq!(directory(path), expected, "{path}");
        }
    }
    fn listed() -> &'static str {
        &engine::engine_failures()[0].paths[0]
    }

    #[test]
    fn the_engine_is_to_blame_for_what_is_listed_and_nothing_else() {
        let mut report = Report::default();
        report.ran("harness/z.js", Mode::Strict, Some("wrong".into()));
        report.ran(listed(), Mode::Module, Some("wrong".into()));
        report.ran("harness/a.js", Mode::Sloppy, None);
        report.skipped("harness/b.js", "a feature");
        report.finish();
        let expected = Counts { total: 4, passed: 1, failed: 2, skipped: 1, host_failures: 1 };
        assert_eq!(report.counts, expected);
        let causes: Vec<_> = report.failures.iter().map(|failure| (failure.path.as_str(), failure.cause)).collect();
        assert_eq!(causes, [("harness/z.js", Cause::Host), (listed(), Cause::Engine)]);
        assert_eq!(report.directories["harness"].total, 3);
    }

    #[test]
    fn what_is_listed_and_never_fails_is_stale() {
        let mut report = Report::default();
        report.ran(listed(), Mode::Module, None);
        let mut again = report.clone();
        report.finish();
        assert_eq!(report.stale.iter().map(String::as_str).collect::<Vec<_>>(), [listed()]);
        again.ran(listed(), Mode::Module, Some("wrong".into()));
        again.finish();
        assert_eq!(again.stale.len(), 0);
    }
}
