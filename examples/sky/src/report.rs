//! What a run of Sky did: a report with fixed keys, and the meter that measures ticks for it.
//!
//! A [`Meter`] takes one [`TickSample`] per tick. Durations of ticks go into a histogram of fixed size, made once:
//! recording allocates nothing, and a run of any length takes the same memory. A bucket is at most 1/128 as wide as
//! the durations in it, so a quantile is within 0.8 % of the truth; the maximum is exact.
//!
//! # Rules
//! - The books balance: `spawned - despawned = airborne`. See [`Report::balances`].
//! - The keys of the JSON form are part of the interface, in this order; every number in it is finite.
//! - Means and rates of a run without ticks are 0.

use std::fmt;

use serde::Serialize;

/// What a run did, or has done so far. Serialises to one JSON object with the field names as keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// Rows of the file.
    pub flights_read: u64,
    /// Those of them with an unknown airport.
    pub flights_skipped: u64,
    /// Flights spawned, those in the air at the start included.
    pub spawned: u64,
    /// Flights despawned.
    pub despawned: u64,
    /// Flights in the air now.
    pub airborne: u64,
    /// The most that were in the air after any tick.
    pub airborne_max: u64,
    /// Ticks run.
    pub ticks: u64,
    /// How long ticks took, in milliseconds of wall time.
    pub tick_ms: TickMs,
    /// Rows stepped per second of the wall time of jobs.
    pub rows_per_second: f64,
    /// Mean wall time per tick of jobs, in milliseconds.
    pub job_ms: f64,
    /// Mean wall time per tick of scheduling, in milliseconds.
    pub schedule_ms: f64,
    /// Mean wall time per tick of spawning and despawning, in milliseconds.
    pub structural_ms: f64,
    /// Threads of the worker pool.
    pub workers: usize,
    /// Threads that ran jobs, the frame's own included.
    pub lanes: usize,
    /// What moved the flights: `rust`, `ts` or a path.
    pub job: String,
    /// Peak resident memory of the process in bytes; 0 where the system does not say.
    pub memory_bytes: u64,
    /// Column bytes copied to run jobs.
    pub bytes_copied: u64,
    /// Simulated seconds that passed.
    pub sim_seconds: f64,
}

/// Quantiles of the durations of ticks in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct TickMs {
    /// Half of the ticks took no longer.
    pub p50: f64,
    /// 99 % of the ticks took no longer.
    pub p99: f64,
    /// No tick took longer.
    pub max: f64,
}

/// What one tick took, in nanoseconds of wall time.
#[derive(Debug, Clone, Copy, Default)]
pub struct TickSample {
    /// The whole tick.
    pub tick_ns: u64,
    /// Jobs, from the first one's start to the last one's end.
    pub job_ns: u64,
    /// Scheduling.
    pub schedule_ns: u64,
    /// Spawning and despawning.
    pub structural_ns: u64,
    /// Rows stepped.
    pub rows: u64,
}

/// Sums and a histogram of tick samples. Allocates when it is made and never after.
#[derive(Debug, Clone)]
pub struct Meter {
    ticks: u64,
    tick_max_ns: u64,
    sum: TickSample,
    /// Number of ticks by duration; see [`bucket`].
    buckets: Box<[u32]>,
}

impl Report {
    /// Whether every flight that was spawned is in the air or was despawned.
    pub fn balances(&self) -> bool {
        self.spawned.checked_sub(self.despawned) == Some(self.airborne)
    }

    /// The report as one line of JSON, without an end of line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has text keys, numbers and text")
    }
}

impl fmt::Display for Report {
    /// Several lines with units for people to read, without an end of line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Sky: {} of one folded day in {} ticks", clock(self.sim_seconds), grouped(self.ticks))?;
        writeln!(
            f,
            "  flights   {:>11} read       {:>11} skipped",
            grouped(self.flights_read),
            grouped(self.flights_skipped)
        )?;
        writeln!(f, "            {:>11} spawned    {:>11} despawned", grouped(self.spawned), grouped(self.despawned))?;
        writeln!(
            f,
            "            {:>11} in the air {:>11} at most",
            grouped(self.airborne),
            grouped(self.airborne_max)
        )?;
        writeln!(
            f,
            "  tick      {:>8.3} ms half     {:>8.3} ms 99 %     {:>8.3} ms longest",
            self.tick_ms.p50, self.tick_ms.p99, self.tick_ms.max
        )?;
        writeln!(
            f,
            "  of which  {:>8.3} ms jobs     {:>8.3} ms schedule {:>8.3} ms spawn and despawn (means)",
            self.job_ms, self.schedule_ms, self.structural_ms
        )?;
        writeln!(
            f,
            "  step      {:>11} rows/s     {:>11} bytes copied",
            grouped(self.rows_per_second.round() as u64),
            grouped(self.bytes_copied)
        )?;
        write!(
            f,
            "  on        {} {}, {} with the frame's own, job {}, {:.1} MiB resident at most",
            self.workers,
            if self.workers == 1 { "worker" } else { "workers" },
            lanes(self.lanes),
            self.job,
            self.memory_bytes as f64 / (1 << 20) as f64
        )
    }
}

impl Meter {
    /// A meter that has seen no tick.
    pub fn new() -> Meter {
        Meter { ticks: 0, tick_max_ns: 0, sum: TickSample::default(), buckets: vec![0; bucket(u64::MAX) + 1].into() }
    }

    /// Adds one tick. Allocates nothing.
    pub fn record(&mut self, sample: TickSample) {
        self.ticks += 1;
        self.tick_max_ns = self.tick_max_ns.max(sample.tick_ns);
        self.sum.tick_ns = self.sum.tick_ns.saturating_add(sample.tick_ns);
        self.sum.job_ns = self.sum.job_ns.saturating_add(sample.job_ns);
        self.sum.schedule_ns = self.sum.schedule_ns.saturating_add(sample.schedule_ns);
        self.sum.structural_ns = self.sum.structural_ns.saturating_add(sample.structural_ns);
        self.sum.rows = self.sum.rows.saturating_add(sample.rows);
        let count = &mut self.buckets[bucket(sample.tick_ns)];
        *count = count.saturating_add(1);
    }

    /// The number of ticks recorded.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Fills in what the meter knows: `ticks`, `tick_ms`, `rows_per_second`, `job_ms`, `schedule_ms`, `structural_ms`.
    pub fn fill(&self, report: &mut Report) {
        let mean_ms = |sum_ns: u64| if self.ticks == 0 { 0.0 } else { ms(sum_ns) / self.ticks as f64 };
        report.ticks = self.ticks;
        report.tick_ms =
            TickMs { p50: ms(self.quantile_ns(0.50)), p99: ms(self.quantile_ns(0.99)), max: ms(self.tick_max_ns) };
        report.rows_per_second =
            if self.sum.job_ns == 0 { 0.0 } else { self.sum.rows as f64 / (self.sum.job_ns as f64 / 1e9) };
        report.job_ms = mean_ms(self.sum.job_ns);
        report.schedule_ms = mean_ms(self.sum.schedule_ns);
        report.structural_ms = mean_ms(self.sum.structural_ns);
    }

    /// The duration that this part of the ticks did not exceed, to the upper end of its bucket.
    fn quantile_ns(&self, part: f64) -> u64 {
        let wanted = (self.ticks as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if count > 0 && seen >= wanted {
                return bucket_end(index).min(self.tick_max_ns);
            }
        }
        self.tick_max_ns
    }
}

impl Default for Meter {
    fn default() -> Meter {
        Meter::new()
    }
}

/// The peak resident memory of this process in bytes, where the system says so (Linux).
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Buckets per doubling: durations below 128 ns have a bucket each, above that a doubling is divided into 128.
const BUCKETS_LOG2: u32 = 7;

/// The bucket of a duration: the position of its highest bit, and the seven bits after that.
fn bucket(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(BUCKETS_LOG2 + 1);
    ((u64::from(shift) << BUCKETS_LOG2) + (ns >> shift)) as usize
}

/// The greatest duration of a bucket.
fn bucket_end(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index >> BUCKETS_LOG2).saturating_sub(1);
    let start = (index - (shift << BUCKETS_LOG2)) << shift;
    start + ((1 << shift) - 1)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// A number with commas: `3,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Simulated seconds as hours, minutes and seconds.
fn clock(seconds: f64) -> String {
    let whole = seconds as u64;
    format!("{} h {:02} min {:02} s", whole / 3_600, whole / 60 % 60, whole % 60)
}

fn lanes(count: usize) -> String {
    if count == 1 { "1 lane".to_owned() } else { format!("{count} lanes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(tick_ns: u64) -> TickSample {
        TickSample { tick_ns, job_ns: 500_000, schedule_ns: 2_000, structural_ns: 1_000, rows: 1_000 }
    }

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        for ns in (0..100_000).chain([1_000_000_007, u64::MAX - 1, u64::MAX]) {
            let index = bucket(ns);
            let end = bucket_end(index);
            assert!(end >= ns && (end - ns) as f64 <= ns as f64 / 128.0, "{ns} in bucket {index} up to {end}");
            assert!(end == u64::MAX || bucket(end + 1) == index + 1, "{ns}");
        }
    }

    #[test]
    fn quantiles_are_within_a_bucket_and_the_maximum_is_exact() {
        let mut meter = Meter::new();
        for tick in 1..=1_000 {
            meter.record(sample(tick * 10_000));
        }
        let mut report = Report::default();
        meter.fill(&mut report);
        assert_eq!(report.ticks, 1_000);
        assert!((report.tick_ms.p50 / 5.0 - 1.0).abs() < 0.008, "{:?}", report.tick_ms);
        assert!((report.tick_ms.p99 / 9.9 - 1.0).abs() < 0.008, "{:?}", report.tick_ms);
        assert_eq!(report.tick_ms.max, 10.0);
        assert!((report.job_ms - 0.5).abs() < 1e-12);
        assert!((report.rows_per_second - 2_000_000.0).abs() < 1e-6);
    }

    #[test]
    fn one_tick_is_all_its_quantiles_and_none_is_zero() {
        let mut meter = Meter::new();
        let mut report = Report::default();
        meter.fill(&mut report);
        assert_eq!(report, Report::default());
        meter.record(sample(1_234_567));
        meter.fill(&mut report);
        assert_eq!(report.tick_ms, TickMs { p50: 1.234_567, p99: 1.234_567, max: 1.234_567 });
    }

    #[test]
    fn the_json_form_is_one_line_with_the_agreed_keys_in_order() {
        let report = Report { job: "ts".to_owned(), ..Report::default() };
        assert_eq!(
            report.to_json(),
            "{\"flights_read\":0,\"flights_skipped\":0,\"spawned\":0,\"despawned\":0,\"airborne\":0,\"airborne_max\":0,\
             \"ticks\":0,\"tick_ms\":{\"p50\":0.0,\"p99\":0.0,\"max\":0.0},\"rows_per_second\":0.0,\"job_ms\":0.0,\
             \"schedule_ms\":0.0,\"structural_ms\":0.0,\"workers\":0,\"lanes\":0,\"job\":\"ts\",\"memory_bytes\":0,\
             \"bytes_copied\":0,\"sim_seconds\":0.0}"
        );
    }

    #[test]
    fn the_books_balance_or_not() {
        let books = |spawned, despawned, airborne| Report { spawned, despawned, airborne, ..Report::default() };
        assert!(books(5, 2, 3).balances());
        assert!(!books(5, 2, 2).balances());
        assert!(!books(2, 5, 0).balances());
    }

    #[test]
    fn the_text_form_is_aligned() {
        let report = Report {
            flights_read: 3_000_000,
            spawned: 3_008_706,
            despawned: 3_000_000,
            airborne: 8_706,
            airborne_max: 410_123,
            ticks: 21_600,
            tick_ms: TickMs { p50: 3.21, p99: 12.345, max: 20.0 },
            rows_per_second: 98_765_432.1,
            job_ms: 2.5,
            schedule_ms: 0.012,
            structural_ms: 0.4,
            workers: 1,
            lanes: 2,
            job: "ts".to_owned(),
            memory_bytes: 300 << 20,
            sim_seconds: 86_400.0,
            ..Report::default()
        };
        let expected = "\
Sky: 24 h 00 min 00 s of one folded day in 21,600 ticks
  flights     3,000,000 read                 0 skipped
              3,008,706 spawned      3,000,000 despawned
                  8,706 in the air     410,123 at most
  tick         3.210 ms half       12.345 ms 99 %       20.000 ms longest
  of which     2.500 ms jobs        0.012 ms schedule    0.400 ms spawn and despawn (means)
  step       98,765,432 rows/s               0 bytes copied
  on        1 worker, 2 lanes with the frame's own, job ts, 300.0 MiB resident at most";
        assert_eq!(report.to_string(), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn peak_memory_is_known_on_linux() {
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
