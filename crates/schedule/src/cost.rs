//! Where a system's rows run: in place, or split over the lanes.
//!
//! Handing rows to other lanes pays only above some amount of work, which depends on the machine and on who else uses it.
//! So it is tried, and its books are kept: each split run earns what it took less than the same rows take in place, or
//! loses what it took more. Once there are losses that no earnings cover, the system goes back to one lane, for so long
//! that all losses together are a small share of the time, and then tries again. So a lane that lost its core in the
//! middle of a range, which costs a thousand short runs, is forgiven where splitting earns more than that; where cores are
//! busy all the time nearly everything runs in place.

use peristyle_layout::chunk::RANGE_ROWS;

/// Below this much work nobody else can start before it is done.
const SPLIT_NS_MIN: f64 = 1_500.0;
/// Above this much work it pays to wake a sleeping worker, which takes some 50 microseconds.
const WAKE_NS_MIN: f64 = 100_000.0;
/// A range is at least this much work, for each costs some 100 nanoseconds: streams of memory start anew.
const RANGE_NS_MIN: f64 = 7_000.0;
/// The most ranges a lane gets, so that one that is late leaves little undone.
const RANGES_A_LANE_MAX: f64 = 8.0;
/// A range's work is at least this many times what calling it costs.
const CALL_SHARE: f64 = 8.0;
/// Runs in place that are measured before anything is split.
const LEARNING_RUNS: u32 = 4;
/// A sample in place that is this many times dearer than the others met something else.
const OUTLIER: f64 = 4.0;
/// Split runs between two in place, which keep that estimate young.
const SPLIT_RUNS: u32 = 128;
/// What a try may lose before it is over: as much as is lost while workers wake up.
const LOSS_NS_MAX: f64 = 20_000.0;
/// What can be earned for later: some losses of a time slice.
const EARNED_NS_MAX: f64 = 10e6;
/// The share of the time that may be lost.
const LOSS_SHARE: f64 = 0.04;
/// The longest time in place before the next try.
const PAUSE_NS_MAX: f64 = 1e9;

/// The most ranges that a run is divided into on so many lanes; one more than planned, for what rounding leaves.
pub(crate) fn ranges_max(lanes: usize) -> usize {
    if lanes < 2 { 1 } else { lanes * RANGES_A_LANE_MAX as usize + 1 }
}

/// How the rows of one run are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Division {
    /// All here, chunk by chunk.
    InPlace,
    /// The same, for want of a lane that is awake.
    Asleep,
    /// Into ranges of about `range_rows`, with `wake` sleeping workers woken.
    Split { range_rows: usize, wake: usize },
}

/// The books of a way to run things that may be quicker than in place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    /// What it has earned, below 0 lost.
    earned_ns: f64,
    /// Work that is done in place before the next try.
    pause_ns: f64,
    /// Tries in a row that earned nothing.
    failed: i32,
}

impl Books {
    /// Whether `work_ns` of work is to be done in place, for the last tries lost too much.
    pub(crate) fn pauses(&mut self, work_ns: f64) -> bool {
        let pauses = self.pause_ns > 0.0;
        if pauses {
            self.pause_ns -= work_ns;
        }
        pauses
    }

    /// Takes in what a run took less than in place.
    pub(crate) fn record(&mut self, earned_ns: f64) {
        self.earned_ns = (self.earned_ns + earned_ns).min(EARNED_NS_MAX);
        if self.earned_ns > LOSS_NS_MAX {
            self.failed = 0;
        } else if self.earned_ns < -LOSS_NS_MAX {
            let pause_ns = -self.earned_ns / LOSS_SHARE * 2_f64.powi(self.failed);
            self.pause_ns = pause_ns.min(PAUSE_NS_MAX);
            self.failed = (self.failed + 1).min(16);
            self.earned_ns = 0.0;
        }
    }
}

/// What one system has cost so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    /// What a row costs in place, and how often that was measured.
    in_place_ns: f64,
    in_place_runs: u32,
    /// Split runs since the last one in place.
    split_runs: u32,
    /// What splitting earns.
    books: Books,
}

impl Cost {
    /// Decides how `rows` rows run now, on so many lanes of which `awake` others look for work. Calling one range costs
    /// about `call_ns`.
    pub(crate) fn divide(&mut self, rows: usize, lanes: usize, awake: usize, call_ns: f64) -> Division {
        let work_ns = self.in_place_ns(rows);
        if lanes < 2 || rows <= RANGE_ROWS || self.in_place_runs < LEARNING_RUNS || work_ns < SPLIT_NS_MIN {
            return Division::InPlace;
        }
        if self.books.pauses(work_ns) {
            return Division::InPlace;
        }
        let range_rows = self.range_rows(rows, lanes, call_ns);
        if range_rows >= rows || self.split_runs >= SPLIT_RUNS {
            return Division::InPlace;
        }
        let wake = if work_ns >= WAKE_NS_MIN { lanes - 1 } else { 0 };
        if awake.max(wake) == 0 { Division::Asleep } else { Division::Split { range_rows, wake } }
    }

    /// How `rows` rows run on all lanes because somebody wants it so.
    pub(crate) fn divide_always(&self, rows: usize, lanes: usize, call_ns: f64) -> Division {
        let even = rows.div_ceil(lanes).next_multiple_of(RANGE_ROWS);
        let learned = if self.in_place_ns > 0.0 { self.range_rows(rows, lanes, call_ns) } else { even };
        let range_rows = learned.clamp(RANGE_ROWS, even);
        if lanes < 2 || range_rows >= rows {
            return Division::InPlace;
        }
        Division::Split { range_rows, wake: lanes - 1 }
    }

    /// Large enough that calls are cheap; beyond that, one or several a lane.
    fn range_rows(&self, rows: usize, lanes: usize, call_ns: f64) -> usize {
        let lane_ns = self.in_place_ns(rows) / lanes as f64;
        let ranges = (lane_ns / RANGE_NS_MIN).floor().clamp(1.0, RANGES_A_LANE_MAX);
        let range_ns = (lane_ns / ranges).max(CALL_SHARE * call_ns);
        ((range_ns / self.in_place_ns) as usize).next_multiple_of(RANGE_ROWS)
    }

    /// Takes in what a run cost.
    pub(crate) fn record(&mut self, division: Division, rows: usize, ns: f64) {
        match division {
            _ if rows == 0 => {}
            Division::Split { .. } => {
                self.split_runs += 1;
                self.books.record(self.in_place_ns(rows) - ns);
            }
            Division::InPlace | Division::Asleep => self.record_in_place(ns / rows as f64),
        }
    }

    /// Follows cheaper samples quickly and dearer ones slowly, for what makes a run slow is mostly others.
    fn record_in_place(&mut self, ns_per_row: f64) {
        let known = self.in_place_ns;
        self.in_place_ns = match self.in_place_runs {
            0 => ns_per_row,
            _ if ns_per_row < known => (known + ns_per_row) / 2.0,
            LEARNING_RUNS.. => known + (ns_per_row.min(known * OUTLIER) - known) / 8.0,
            _ => known + (ns_per_row - known) / 8.0,
        };
        self.in_place_runs = self.in_place_runs.saturating_add(1);
        self.split_runs = 0;
    }

    /// What a run of that many rows costs in place.
    pub(crate) fn in_place_ns(&self, rows: usize) -> f64 {
        self.in_place_ns * rows as f64
    }
}

/// Units that a lane gets of what goes out in one dispatch, and the least work of one.
const UNITS_A_LANE: f64 = 4.0;
const UNIT_NS_MIN: f64 = 2_000.0;
/// Below this much work of small systems together nobody else is asked.
const GROUP_NS_MIN: f64 = 10_000.0;

/// How small systems that are ready at once are handed out together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grouping {
    /// Systems follow each other on one lane until they make up this much work. One with more work is not small.
    pub(crate) unit_ns: f64,
    /// Sleeping workers to wake.
    pub(crate) wake: usize,
    /// Whether groups are opened; if not, small systems run in place.
    pub(crate) opens: bool,
}

impl Grouping {
    /// No system is small.
    pub(crate) const NONE: Grouping = Grouping { unit_ns: 0.0, wake: 0, opens: false };
}

/// Decides how `work_ns` of systems that may run anywhere go out, on so many lanes of which `awake` others look for work;
/// none if that is not worth a thought.
pub(crate) fn group(books: &mut Books, work_ns: f64, lanes: usize, awake: usize) -> Option<Grouping> {
    let wake = if work_ns >= WAKE_NS_MIN { lanes - 1 } else { 0 };
    if lanes < 2 || work_ns < GROUP_NS_MIN || awake.max(wake) == 0 {
        return None;
    }
    let unit_ns = (work_ns / lanes as f64 / UNITS_A_LANE).max(UNIT_NS_MIN);
    Some(Grouping { unit_ns, wake, opens: !books.pauses(work_ns) })
}

/// When to wake workers for many small systems, none of which is worth it alone.
///
/// A worker that was woken looks for work for a while, and stays awake for as long as it finds some. So waking pays at the
/// start of a frame with enough work for it, and where short frames follow each other without a pause. Where they do not,
/// it was for nothing, and is tried ever more rarely.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// Work that was, or might have been split, in the last frame, since the last alarm, and of that what was split.
    frame_ns: f64,
    since_ns: f64,
    split_ns: f64,
    /// So much has to be missed before the next alarm.
    patience_ns: f64,
}

/// The longest patience.
const PATIENCE_NS_MAX: f64 = 200.0 * WAKE_NS_MIN;

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { frame_ns: 0.0, since_ns: 0.0, split_ns: 0.0, patience_ns: WAKE_NS_MIN }
    }
}

impl Alarm {
    /// Takes in how a system's rows were run.
    pub(crate) fn record(&mut self, division: Division, work_ns: f64) {
        match division {
            Division::InPlace => return,
            Division::Asleep => {}
            Division::Split { .. } => self.split_ns += work_ns,
        }
        self.frame_ns += work_ns;
        self.since_ns += work_ns;
    }

    /// Whether the frame that begins is to wake workers.
    pub(crate) fn rings(&mut self) -> bool {
        let frame_ns = std::mem::take(&mut self.frame_ns);
        let missed_ns = self.since_ns - self.split_ns;
        if frame_ns < WAKE_NS_MIN && missed_ns < self.patience_ns {
            return false;
        }
        let paid = self.split_ns > missed_ns;
        self.patience_ns = if paid { WAKE_NS_MIN } else { (self.patience_ns * 2.0).min(PATIENCE_NS_MAX) };
        (self.since_ns, self.split_ns) = (0.0, 0.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 100_000;

    fn learned(in_place: f64) -> Cost {
        let mut cost = Cost::default();
        (0..LEARNING_RUNS).for_each(|_| cost.record(Division::InPlace, ROWS, in_place * 1e5));
        cost
    }

    /// Runs so often with what `cost_ns` gives for each way; gives how often was split, and the time of all.
    fn run(cost: &mut Cost, runs: usize, mut cost_ns: impl FnMut(bool) -> f64) -> (usize, f64) {
        let (mut splits, mut total) = (0, 0.0);
        for _ in 0..runs {
            let division = cost.divide(ROWS, 2, 1, 50.0);
            let is_split = division != Division::InPlace;
            let ns = cost_ns(is_split);
            splits += usize::from(is_split);
            total += ns;
            cost.record(division, ROWS, ns);
        }
        (splits, total)
    }

    #[test]
    fn takes_the_cheaper_way_and_tries_the_other_for_a_small_share_of_the_time() {
        for (in_place, split) in [(1e5, 0.6e5), (1e5, 1.1e5), (1e5, 3e5), (1e5, 40e5)] {
            let mut cost = learned(in_place / 1e5);
            let (splits, total) = run(&mut cost, 20_000, |is_split| if is_split { split } else { in_place });
            let best = 20_000.0 * in_place.min(split);
            assert!(total < best * 1.02, "{splits} splits, {} of the best", total / best);
            assert!((2..19_998).contains(&splits), "{splits}: both ways are tried");
        }
    }

    #[test]
    fn lanes_that_lose_their_core_are_forgiven_if_splitting_pays_all_the_same() {
        // 3 microseconds in place, 1.8 split, but each so many runs one takes a time slice more.
        for (gap, best) in [(200, 3e3), (2_000, 3e3), (20_000, 1.8e3 + 3e6 / 20_000.0)] {
            let (mut cost, mut splits) = (learned(0.03), 0);
            let (count, total) = run(&mut cost, 2_000_000, |is_split| {
                splits += usize::from(is_split);
                if !is_split {
                    3e3
                } else if splits % gap == 0 {
                    3e6
                } else {
                    1.8e3
                }
            });
            assert!(total < 2e6 * best * 1.06, "gap {gap}: {} of the best, {count} splits", total / 2e6 / best);
        }
    }

    #[test]
    fn comes_back_to_splitting_when_the_machine_is_idle_again() {
        let mut cost = learned(1.0);
        run(&mut cost, 10_000, |is_split| if is_split { 40e5 } else { 1e5 });
        let (splits, _) = run(&mut cost, 30_000, |is_split| if is_split { 0.5e5 } else { 1e5 });
        assert!(splits > 19_000, "{splits}");
    }

    #[test]
    fn ranges_lie_on_borders_and_small_or_sleepy_work_stays() {
        let mut cost = learned(1.0);
        match cost.divide(ROWS, 2, 1, 50.0) {
            Division::Split { range_rows, wake } => {
                assert!(range_rows.is_multiple_of(RANGE_ROWS));
                assert_eq!(wake, 1);
            }
            other => panic!("100 us of work are worth splitting: {other:?}"),
        }
        assert_eq!(cost.divide(1_000, 2, 1, 50.0), Division::InPlace);
        assert_eq!(cost.divide(50_000, 2, 0, 50.0), Division::Asleep);
        assert_eq!(cost.divide(ROWS, 1, 0, 50.0), Division::InPlace);
        assert_eq!(cost.divide(10_000, 2, 1, 3_000.0), Division::InPlace, "a call would cost too much of its range");
    }

    #[test]
    fn alarms_follow_the_work_and_grow_rare_when_they_are_for_nothing() {
        let split = Division::Split { range_rows: 512, wake: 0 };
        let alarms = |division_of: &dyn Fn(bool) -> Division, work_ns: f64| {
            let (mut alarm, mut rung, mut awake) = (Alarm::default(), 0, false);
            for _ in 0..10_000 {
                awake |= alarm.rings();
                rung += usize::from(awake);
                alarm.record(division_of(awake), work_ns);
                awake = false;
            }
            rung
        };
        assert_eq!(alarms(&|_| Division::InPlace, 1e6), 0, "nothing to split");
        assert!(alarms(&|_| Division::Asleep, 3e3) < 15, "small frames with pauses");
        assert!(alarms(&|_| Division::Asleep, 2e5) > 9_990, "large frames");
        assert_eq!(alarms(&|_| split, 3e3), 0, "nobody sleeps");
    }
}
