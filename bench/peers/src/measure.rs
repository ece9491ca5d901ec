//! Interleaved rounds over contestants, and the table of what they took.
//!
//! A *contestant* sets up once and then runs once per round; a *round* runs every contestant of a question
//! once, so that a machine that gets slower for a while slows all of them. Round zero warms up and
//! is dropped. A run times itself and returns seconds, so what it prepares or drops is not in the time.
//!
//! # Rules
//! - Every contestant of a question runs equally often, so their checks can be compared.
//! - A check that differs from the first contestant's is an error, not a number.

use std::fmt;
use std::time::Instant;

use crate::pages::Pages;

/// What a contestant is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The hand-written loop that the others are measured against.
    Limit,
    /// Printed beside the others, no ratio is taken to it.
    Note,
    /// Another entity component system.
    Peer,
    /// Peristyle.
    Own,
}

/// One way of doing the work of a question.
pub struct Contestant {
    name: String,
    role: Role,
    setup: Box<dyn FnOnce() -> Box<dyn Subject>>,
}

impl Contestant {
    /// `setup` makes the state, untimed; `run` does the work once and returns the seconds it took;
    /// `check` returns a number that is the same for all contestants after equally many runs, or `None` where
    /// the API cannot give it (say so in the name).
    pub fn new<S: 'static>(
        role: Role,
        name: &str,
        setup: impl FnOnce() -> S + 'static,
        run: impl FnMut(&mut S) -> f64 + 'static,
        check: impl FnMut(&mut S) -> Option<f64> + 'static,
    ) -> Self {
        Self { name: name.to_owned(), role, setup: Box::new(move || Box::new(State { state: setup(), run, check })) }
    }
}

trait Subject {
    fn run(&mut self) -> f64;
    fn check(&mut self) -> Option<f64>;
}

struct State<S, R, C> {
    state: S,
    run: R,
    check: C,
}

impl<S, R: FnMut(&mut S) -> f64, C: FnMut(&mut S) -> Option<f64>> Subject for State<S, R, C> {
    fn run(&mut self) -> f64 {
        (self.run)(&mut self.state)
    }

    fn check(&mut self) -> Option<f64> {
        (self.check)(&mut self.state)
    }
}

/// One table: what is asked, and who answers.
pub struct Question {
    /// Names the question on the command line and above its table.
    pub name: String,
    /// What one item is ("row", "entity", "system"); times are also given per item.
    pub item: &'static str,
    /// Items of one run.
    pub items: usize,
    /// Rounds that are counted.
    pub rounds: u32,
    /// In the order in which they run.
    pub contestants: Vec<Contestant>,
}

/// What one contestant took.
#[derive(Clone, Debug)]
pub struct Line {
    /// The contestant's name.
    pub name: String,
    /// The contestant's role.
    pub role: Role,
    /// Median seconds of one run.
    pub median_s: f64,
    /// Seconds of the fastest run.
    pub min_s: f64,
}

/// What all contestants of a question took.
#[derive(Clone, Debug)]
pub struct Report {
    /// The question's name.
    pub name: String,
    /// What one item is.
    pub item: &'static str,
    /// Items of one run.
    pub items: usize,
    /// In the order of the question.
    pub lines: Vec<Line>,
}

/// Two contestants came to different results, so their times cannot be compared.
#[derive(Debug)]
pub struct Mismatch {
    question: String,
    contestant: String,
    found: f64,
    expected: f64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { question, contestant, found, expected } = self;
        write!(f, "{question}: {contestant} came to {found}, the first contestant to {expected}")
    }
}

impl std::error::Error for Mismatch {}

/// Runs `question`, its rounds multiplied by `effort`.
///
/// # Errors
/// [`Mismatch`] if a contestant's check differs from the first one's.
pub fn measure(question: Question, effort: f64) -> Result<Report, Mismatch> {
    Pages::Recycled.apply();
    let rounds = ((f64::from(question.rounds) * effort) as u32).max(1);
    let mut names = Vec::new();
    let mut subjects = Vec::new();
    for contestant in question.contestants {
        names.push((contestant.name, contestant.role));
        subjects.push((contestant.setup)());
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds as usize); subjects.len()];
    for round in 0..=rounds {
        for (subject, times) in subjects.iter_mut().zip(&mut times) {
            let seconds = subject.run();
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    let mut expected = None;
    for (subject, (name, _)) in subjects.iter_mut().zip(&names) {
        let Some(found) = subject.check() else { continue };
        let expected = *expected.get_or_insert(found);
        if (found - expected).abs() > expected.abs() * 1e-9 {
            return Err(Mismatch { question: question.name, contestant: name.clone(), found, expected });
        }
    }
    let lines = names.into_iter().zip(times).map(|((name, role), mut times)| {
        times.sort_by(f64::total_cmp);
        Line { name, role, median_s: times[times.len() / 2], min_s: times[0] }
    });
    Ok(Report { name: question.name, item: question.item, items: question.items, lines: lines.collect() })
}

impl Report {
    /// Returns the smallest median among contestants of `role`, in seconds.
    pub fn best(&self, role: Role) -> Option<f64> {
        let medians = self.lines.iter().filter(|line| line.role == role).map(|line| line.median_s);
        medians.min_by(f64::total_cmp)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let width = width.max(self.name.chars().count());
        let per_item = format!("per {}", self.item);
        writeln!(
            f,
            "{:width$}  {:>10}  {:>10}  {:>10}  {:>8}  {:>9}",
            self.name, "median", "min", per_item, "x limit", "x peer"
        )?;
        let ratio = |line: &Line, role| match self.best(role) {
            Some(best) if line.role != Role::Note => format!("{:.2}", line.median_s / best),
            _ => "-".to_owned(),
        };
        for line in &self.lines {
            writeln!(
                f,
                "{:width$}  {:>10}  {:>10}  {:>10}  {:>8}  {:>9}",
                line.name,
                time(line.median_s),
                time(line.min_s),
                time(line.median_s / self.items as f64),
                ratio(line, Role::Limit),
                ratio(line, Role::Peer),
            )?;
        }
        Ok(())
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.3} s"),
        s if s >= 1e-3 => format!("{:.3} ms", s * 1e3),
        s if s >= 1e-6 => format!("{:.2} us", s * 1e6),
        s => format!("{:.2} ns", s * 1e9),
    }
}

/// Returns the seconds that `f` took.
#[inline(always)]
pub fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// Returns the seconds that one of `times` calls of `f` took, timed together: for work that is not
/// much longer than reading the clock.
#[inline(always)]
pub fn seconds_each(times: u32, mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        f();
    }
    start.elapsed().as_secs_f64() / f64::from(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(second: f64) -> Question {
        let contestant = |result: f64| {
            Contestant::new(
                Role::Peer,
                "any",
                || 0,
                |runs| {
                    f64::from({
                        *runs += 1;
                        *runs
                    })
                },
                move |runs| Some(f64::from(*runs) * result),
            )
        };
        Question {
            name: "question".to_owned(),
            item: "run",
            items: 1,
            rounds: 4,
            contestants: vec![contestant(1.0), contestant(second)],
        }
    }

    #[test]
    fn drops_the_warm_up_and_reports_median_and_minimum() {
        let report = measure(question(1.0), 1.0).expect("equal results");
        // Runs 2 to 5 took as many seconds as their number.
        assert_eq!((report.lines[0].median_s, report.lines[0].min_s), (4.0, 2.0));
    }

    #[test]
    fn contestants_that_differ_are_an_error() {
        let mismatch = measure(question(1.5), 1.0).expect_err("different results");
        assert_eq!(mismatch.to_string(), "question: any came to 7.5, the first contestant to 5");
    }
}
