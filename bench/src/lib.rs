//! Contestants that take turns, and the table of what they took.
//!
//! Each turn runs frames for some milliseconds and gives the mean of a frame, so that all contestants meet the same
//! machine. On a machine where others work too, only the minima say what a program costs.

use std::time::{Duration, Instant};

/// A contestant's turn is at least this long, after a tenth of it to warm up.
const TURN: Duration = Duration::from_millis(2);

/// Something that does the work of one frame when called.
pub struct Contestant {
    name: String,
    /// Gives what it took, if that is not all of the call.
    frame: Box<dyn FnMut() -> Option<Duration>>,
    /// Mean nanoseconds of a frame in each turn.
    turns: Vec<f64>,
    /// All time and frames, turns with hiccups included.
    total_ns: f64,
    frames: f64,
}

impl Contestant {
    /// A contestant whose frame is `frame`.
    pub fn new(name: impl Into<String>, mut frame: impl FnMut() + 'static) -> Contestant {
        Contestant::with(name.into(), move || {
            frame();
            None
        })
    }

    /// A contestant whose frame says itself how long its work took: what it prepares or puts back does not count.
    pub fn timed(name: impl Into<String>, mut frame: impl FnMut() -> Duration + 'static) -> Contestant {
        Contestant::with(name.into(), move || Some(frame()))
    }

    fn with(name: String, frame: impl FnMut() -> Option<Duration> + 'static) -> Contestant {
        Contestant { name, frame: Box::new(frame), turns: Vec::new(), total_ns: 0.0, frames: 0.0 }
    }

    /// Runs frames for a turn.
    fn turn(&mut self) {
        let start = Instant::now();
        while start.elapsed() < TURN / 10 {
            (self.frame)();
        }
        let (start, mut frames, mut own) = (Instant::now(), 0.0, None);
        let ns = loop {
            if let Some(took) = (self.frame)() {
                *own.get_or_insert(Duration::ZERO) += took;
            }
            frames += 1.0;
            let elapsed = start.elapsed();
            if elapsed >= TURN {
                break own.unwrap_or(elapsed).as_nanos() as f64;
            }
        };
        self.turns.push(ns / frames);
        self.total_ns += ns;
        self.frames += frames;
    }
}

/// Runs all contestants in `turns` turns, and prints what a frame took, in `per` nanoseconds, with the ratio to the first
/// contestant's. Gives median and minimum of each, in nanoseconds.
pub fn compare(title: &str, turns: usize, per: f64, unit: &str, mut contestants: Vec<Contestant>) -> Vec<[f64; 2]> {
    for _ in 0..turns {
        contestants.iter_mut().for_each(Contestant::turn);
    }
    println!("{title}");
    println!("  {:<36} {:>12} {:>12} {:>12}   of the first", "", "median", "minimum", "mean");
    let (mut first, mut taken) = (None, Vec::new());
    for contestant in &mut contestants {
        contestant.turns.sort_by(f64::total_cmp);
        let median = contestant.turns[contestant.turns.len() / 2];
        let (minimum, mean) = (contestant.turns[0], contestant.total_ns / contestant.frames);
        taken.push([median, minimum]);
        let base = *first.get_or_insert((median, minimum, mean));
        println!(
            "  {:<36} {:>9.2} {unit} {:>9.2} {unit} {:>9.2} {unit}   x{:.2} (minima x{:.2}, means x{:.2})",
            contestant.name,
            median / per,
            minimum / per,
            mean / per,
            median / base.0,
            minimum / base.1,
            mean / base.2
        );
    }
    println!();
    taken
}

/// The number of turns that the command line asks for, or `default`.
///
/// # Panics
/// If the first argument is no number.
pub fn turns(default: usize) -> usize {
    std::env::args().nth(1).map_or(default, |turns| turns.parse().expect("the argument is a number of turns"))
}
