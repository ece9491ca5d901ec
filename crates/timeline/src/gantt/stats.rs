//! What systems and the rest took in the frames of a chart, as numbers, text and JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::Kind;

use super::chart::Chart;
use super::path::What;

/// How often something was done, and how long it took. Percentiles are by nearest rank: one of the times that were met.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// All of them together, in nanoseconds.
    pub total_ns: u64,
    /// Half of them took at most this long.
    pub p50_ns: u64,
    /// Of a hundred, 99 took at most this long.
    pub p99_ns: u64,
    /// Share of the frames' critical paths, from 0 to 1.
    pub critical_share: f64,
}

/// What a system took. Its count is of runs: of frames that it ran in. A run's time is that of all its ranges, on whatever
/// lanes, collections in them included; its share of the critical path is without collections.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemStats {
    /// Its name.
    pub name: String,
    /// The stage that it ran in, if the trace tells.
    pub stage: Option<String>,
    /// Of its runs.
    pub times: Times,
    /// Spans of all runs: one for each range, or chunk in it.
    pub spans: u64,
    /// Rows of all runs.
    pub rows: u64,
    /// Lanes that took part in at least one run.
    pub lanes: u64,
    /// The how manieth of its stage it is.
    pub(super) turn: usize,
}

impl std::ops::Deref for SystemStats {
    type Target = Times;

    fn deref(&self) -> &Times {
        &self.times
    }
}

/// How much of the frames' time a lane did something.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneStats {
    /// Its name.
    pub name: String,
    /// Systems and commits, in nanoseconds.
    pub busy_ns: u64,
    /// Of the frames' time, from 0 to 1.
    pub busy_share: f64,
}

/// Statistics of the frames of a chart.
///
/// The shares of the critical path of all systems and of [`Stats::rest`] sum up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Of whole frames; their share is 1.
    pub frames: Times,
    /// Numbers of the first and the last frame.
    pub numbers: (u64, u64),
    /// The systems, by total time, longest first.
    pub systems: Vec<SystemStats>,
    /// The rest, by what it is: commits, garbage collections, waits of the frame's lane, scheduling.
    pub rest: Vec<(&'static str, Times)>,
    /// The lanes.
    pub lanes: Vec<LaneStats>,
}

/// What is counted beside systems, as it is called.
const COMMIT: &str = "commits";
const COLLECTION: &str = "collections";
const WAIT: &str = "waits of the frame";
const SCHEDULING: &str = "scheduling";

impl Stats {
    /// Counts what a chart shows.
    pub fn new(chart: &Chart<'_>) -> Stats {
        let frames_ns = sum(chart.frames.iter().map(|frame| frame.ns()));
        let critical = Critical::new(chart);
        let share = |ns: u64| if frames_ns == 0 { 0.0 } else { ns as f64 / frames_ns as f64 };
        let times =
            |samples: &mut Vec<u64>, critical_ns| Times { critical_share: share(critical_ns), ..times(samples) };

        let mut systems = BTreeMap::<u32, System>::new();
        let mut rest: [(&'static str, Vec<u64>); 3] = [COMMIT, COLLECTION, WAIT].map(|name| (name, Vec::new()));
        let mut busy = vec![0; chart.trace.lanes.len()];
        for bar in &chart.bars {
            let Some(frame) = bar.frame else { continue };
            let span = bar.span;
            let ns = span.end_ns - span.start_ns;
            match span.kind {
                Kind::System | Kind::Range => {
                    add(&mut busy[bar.lane], ns);
                    let system = systems.entry(span.name).or_default();
                    system.stage = system.stage.or(bar.stage);
                    add(system.runs.entry(frame).or_default(), ns);
                    system.lanes.insert(bar.lane);
                    system.spans += 1;
                    add(&mut system.rows, span.rows);
                }
                Kind::Commit => {
                    add(&mut busy[bar.lane], ns);
                    rest[0].1.push(ns);
                }
                Kind::Collection => rest[1].1.push(ns),
                Kind::Wait if bar.lane == chart.frames[frame].lane => rest[2].1.push(ns),
                Kind::Wait | Kind::Frame | Kind::Stage => {}
            }
        }
        // Work that began before its frame is no run of it, but can be on its critical path.
        critical.systems.keys().for_each(|name| _ = systems.entry(*name).or_default());
        let mut systems: Vec<SystemStats> = systems
            .into_iter()
            .map(|(name, system)| SystemStats {
                name: chart.trace.name(name).to_owned(),
                stage: system.stage.map(|stage| chart.stages[stage].to_owned()),
                times: times(
                    &mut system.runs.into_values().collect(),
                    critical.systems.get(&name).copied().unwrap_or(0),
                ),
                spans: system.spans,
                rows: system.rows,
                lanes: system.lanes.len() as u64,
                turn: chart.turn(name),
            })
            .collect();
        systems.sort_by(|a, b| b.total_ns.cmp(&a.total_ns).then_with(|| a.name.cmp(&b.name)));
        let rest = rest.into_iter().zip([critical.commit, critical.collection, critical.wait]);
        let mut rest: Vec<_> =
            rest.map(|((name, mut samples), critical_ns)| (name, times(&mut samples, critical_ns))).collect();
        rest.push((SCHEDULING, times(&mut critical.scheduling.clone(), sum(critical.scheduling.iter().copied()))));
        let lanes = chart.trace.lanes.iter().zip(busy).map(|(lane, busy_ns)| LaneStats {
            name: lane.name.clone(),
            busy_ns,
            busy_share: share(busy_ns),
        });
        let first_and_last = |numbers: &[u64]| (numbers[0], numbers[numbers.len() - 1]);
        Stats {
            frames: times(&mut chart.frames.iter().map(|frame| frame.ns()).collect(), frames_ns),
            numbers: first_and_last(&chart.frames.iter().map(|frame| frame.number).collect::<Vec<_>>()),
            systems,
            rest,
            lanes: lanes.collect(),
        }
    }

    /// The statistics as one line of JSON, times in milliseconds.
    pub fn to_json(&self) -> String {
        use serde_json::{Value, json};
        let times = |times: &Times| {
            json!({
                "count": times.count,
                "total_ms": ms(times.total_ns),
                "p50_ms": ms(times.p50_ns),
                "p99_ms": ms(times.p99_ns),
                "critical_share": times.critical_share,
            })
        };
        let with = |mut object: Value, members: Value| {
            if let (Value::Object(object), Value::Object(members)) = (&mut object, members) {
                object.extend(members);
            }
            object
        };
        let systems = self.systems.iter().map(|system| {
            let own = json!({
                "name": system.name,
                "stage": system.stage,
                "spans": system.spans,
                "rows": system.rows,
                "lanes": system.lanes,
            });
            with(own, times(&system.times))
        });
        let rest = self.rest.iter().map(|(name, rest)| with(json!({ "name": name }), times(rest)));
        let lanes = self
            .lanes
            .iter()
            .map(|lane| json!({ "name": lane.name, "busy_ms": ms(lane.busy_ns), "busy_share": lane.busy_share }));
        json!({
            "first_frame": self.numbers.0,
            "last_frame": self.numbers.1,
            "frames": times(&self.frames),
            "systems": systems.collect::<Vec<_>>(),
            "rest": rest.collect::<Vec<_>>(),
            "lanes": lanes.collect::<Vec<_>>(),
        })
        .to_string()
    }
}

impl fmt::Display for Stats {
    /// As a table, times in milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.systems.iter().map(|system| system.name.chars().count()).max().unwrap_or(0);
        let width = width.clamp(WAIT.len(), 40);
        let line = |f: &mut fmt::Formatter<'_>, name: &str, stage: &str, times: &Times| {
            let Times { count, total_ns, p50_ns, p99_ns, critical_share } = *times;
            let [total, p50, p99] = [total_ns, p50_ns, p99_ns].map(ms);
            let share = critical_share * 100.0;
            writeln!(f, "{name:<width$}  {stage:<8} {count:>8} {total:>12.3} {p50:>9.3} {p99:>9.3} {share:>8.1} %")
        };
        let head = ["count", "total ms", "p50 ms", "p99 ms", "critical"];
        let [count, total, p50, p99, critical] = head;
        writeln!(f, "{:<width$}  {:<8} {count:>8} {total:>12} {p50:>9} {p99:>9} {critical:>10}", "", "stage")?;
        line(f, "frames", "", &self.frames)?;
        for system in &self.systems {
            line(f, &system.name, system.stage.as_deref().unwrap_or(""), &system.times)?;
        }
        self.rest.iter().try_for_each(|(name, rest)| line(f, name, "", rest))?;
        let mut busy = String::new();
        for lane in &self.lanes {
            let comma = if busy.is_empty() { "" } else { ", " };
            write!(busy, "{comma}{} {:.0} %", lane.name, lane.busy_share * 100.0)?;
        }
        write!(f, "busy: {busy}")
    }
}

#[derive(Default)]
struct System {
    stage: Option<usize>,
    /// Nanoseconds by frame.
    runs: BTreeMap<usize, u64>,
    lanes: std::collections::BTreeSet<usize>,
    spans: u64,
    rows: u64,
}

/// What of the critical paths is whose, in nanoseconds.
#[derive(Default)]
struct Critical {
    systems: BTreeMap<u32, u64>,
    commit: u64,
    collection: u64,
    wait: u64,
    /// By frame.
    scheduling: Vec<u64>,
}

impl Critical {
    fn new(chart: &Chart<'_>) -> Critical {
        let mut critical = Critical { scheduling: vec![0; chart.frames.len()], ..Critical::default() };
        let mut frame = 0;
        for step in &chart.path {
            while step.start_ns >= chart.frames[frame].end_ns && frame + 1 < chart.frames.len() {
                frame += 1;
            }
            let span = step.span.map(|span| chart.trace.lanes[step.lane].spans[span]);
            match (step.what, span.map(|span| (span.kind, span.name))) {
                (What::Wait, _) => critical.wait += step.ns(),
                (What::Work, Some((Kind::Commit, _))) => critical.commit += step.ns(),
                (What::Work, Some((Kind::Collection, _))) => critical.collection += step.ns(),
                (What::Work, Some((_, name))) => *critical.systems.entry(name).or_default() += step.ns(),
                (What::Scheduling, _) | (What::Work, None) => critical.scheduling[frame] += step.ns(),
            }
        }
        critical
    }
}

fn times(samples: &mut [u64]) -> Times {
    samples.sort_unstable();
    let rank = |percent: usize| {
        let rank = (samples.len() * percent).div_ceil(100).max(1);
        samples.get(rank - 1).copied().unwrap_or(0)
    };
    Times {
        count: samples.len() as u64,
        total_ns: sum(samples.iter().copied()),
        p50_ns: rank(50),
        p99_ns: rank(99),
        critical_share: 0.0,
    }
}

/// Adds what a file says: as large as it can get, should that be nonsense.
fn add(total: &mut u64, more: u64) {
    *total = total.saturating_add(more);
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
