//! A run of Sky: ticks until the limit, and the report.

use std::{
    fs::File,
    io::BufWriter,
    path::Path,
    time::{Duration, Instant},
};

use peristyle_schedule::FrameReport;
use peristyle_timeline::Timeline;

use crate::{
    config::{Limit, SkyConfig},
    day::TICKS_PER_SECOND,
    live::Live,
    report::{Meter, Report, TickSample, peak_resident_bytes},
    simulation::Simulation,
    sky::{Hooks, Loaded, SkyError, load},
};

/// Spans kept for each lane: some four seconds of the peak on two lanes, and 8 MiB.
const SPANS_PER_LANE: usize = (1 << 18) - 1;
/// Spans kept for pages that watch: more than two updates of them.
const SPANS_PER_LANE_SHOWN: usize = (1 << 12) - 1;
/// Reports and warnings come at most once in this time.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// Runs Sky: reads the input, flies until the limit, writes the trace if one is asked for.
///
/// # Errors
/// The first [`SkyError`] there is. A job that fails is no error: it is counted, and told to [`Hooks::warn`].
pub fn run(config: &SkyConfig, hooks: &mut dyn Hooks) -> Result<Report, SkyError> {
    let loaded = load(config, hooks)?;
    let spans = match (&config.trace, &config.serve) {
        (Some(_), _) => SPANS_PER_LANE,
        (None, Some(_)) => SPANS_PER_LANE_SHOWN,
        (None, None) => 0,
    };
    let lanes = 1 + config.workers.unwrap_or_else(peristyle_jobs::default_workers);
    let timeline = if spans > 0 { Timeline::new(lanes, spans) } else { Timeline::off() };
    timeline.set_enabled(spans > 0);
    let mut simulation = Simulation::new(config, &loaded, timeline.clone())?;
    let live = match &config.serve {
        Some(serve) => {
            let (seconds, speed) = (simulation.seconds(), config.speed);
            Some(Live::start(serve, simulation.world_mut(), &loaded.airports, &timeline, seconds, speed)?)
        }
        None => None,
    };
    if let Some(live) = &live {
        hooks.serving(&live.url());
    }
    let mut run = Run::new(config, loaded, simulation, live);
    run.fly(hooks)?;
    // Clients do not wait for the trace.
    drop(run.live.take());
    if let Some(path) = &config.trace {
        write_trace(&timeline, path).map_err(|source| SkyError::Trace { path: path.clone(), source })?;
    }
    Ok(run.report())
}

fn write_trace(timeline: &Timeline, path: &Path) -> std::io::Result<()> {
    timeline.write_chrome_trace(BufWriter::new(File::create(path)?))
}

struct Run<'a> {
    config: &'a SkyConfig,
    simulation: Simulation,
    live: Option<Live>,
    meter: Meter,
    airborne_max: u64,
    flights_read: u64,
    flights_skipped: u64,
    failures: u64,
    /// When the first tick began.
    began: Instant,
    reported: Instant,
    warned: Option<Instant>,
}

impl<'a> Run<'a> {
    fn new(config: &'a SkyConfig, loaded: Loaded, simulation: Simulation, live: Option<Live>) -> Run<'a> {
        let now = Instant::now();
        Run {
            config,
            airborne_max: simulation.airborne(),
            simulation,
            live,
            meter: Meter::new(),
            flights_read: loaded.timetable.rows_read(),
            flights_skipped: loaded.timetable.skipped().flights,
            failures: 0,
            began: now,
            reported: now,
            warned: None,
        }
    }

    fn fly(&mut self, hooks: &mut dyn Hooks) -> Result<(), SkyError> {
        while !self.is_over() && !hooks.is_over() {
            let Some(frame) = self.tick()? else {
                std::thread::sleep(Duration::from_secs_f64(1.0 / TICKS_PER_SECOND));
                continue;
            };
            if frame.findings > 0 {
                self.simulation.take_check_reports().iter().for_each(|found| hooks.impure(found));
            }
            if frame.failures > 0 {
                self.warn(hooks);
            }
            if !self.config.headless {
                if self.reported.elapsed() >= REPORT_PERIOD {
                    self.reported = Instant::now();
                    let report = self.report();
                    self.live.iter().for_each(|live| live.report(&report));
                    hooks.report(&report);
                }
                self.wait_for_next_tick();
            }
        }
        if self.failures > 0 {
            hooks.warn(&format!("{} calls of the job failed in {} ticks", self.failures, self.meter.ticks()));
        }
        Ok(())
    }

    /// Runs a tick, unless time stands still.
    fn tick(&mut self) -> Result<Option<FrameReport>, SkyError> {
        let tick = self.meter.ticks() + 1;
        let Some(live) = &mut self.live else {
            let began = Instant::now();
            let frame = self.simulation.tick(tick)?;
            self.record(&frame, began.elapsed());
            return Ok(Some(frame));
        };
        let pace = live.pace(tick, self.simulation.seconds());
        if pace.paused {
            // What is late is not caught up with.
            self.began = Instant::now() - Duration::from_secs_f64(self.meter.ticks() as f64 / TICKS_PER_SECOND);
            return Ok(None);
        }
        let began = Instant::now();
        let seconds = pace.seconds + (tick - pace.tick) as f64 * pace.speed / TICKS_PER_SECOND;
        let frame = self.simulation.tick_to(seconds)?;
        live.publish(self.simulation.world_mut(), began.elapsed());
        self.record(&frame, began.elapsed());
        Ok(Some(frame))
    }

    fn is_over(&self) -> bool {
        match (self.config.limit, self.config.ticks_max()) {
            (Limit::WallSeconds(seconds), _) => self.began.elapsed().as_secs_f64() >= seconds,
            (_, ticks) => ticks.is_some_and(|ticks| self.meter.ticks() >= ticks),
        }
    }

    fn record(&mut self, frame: &FrameReport, took: Duration) {
        self.airborne_max = self.airborne_max.max(self.simulation.airborne());
        self.failures += frame.failures;
        self.meter.record(TickSample {
            tick_ns: took.as_nanos() as u64,
            job_ns: frame.jobs_ns,
            schedule_ns: frame.frame_ns.saturating_sub(frame.jobs_ns + frame.structural_ns),
            structural_ns: frame.structural_ns,
            rows: frame.rows,
        });
    }

    /// Tells of failed jobs, once a second at most.
    fn warn(&mut self, hooks: &mut dyn Hooks) {
        if self.warned.is_some_and(|warned| warned.elapsed() < REPORT_PERIOD) {
            return;
        }
        self.warned = Some(Instant::now());
        if let Some(failure) = self.simulation.take_failures().last() {
            hooks.warn(&format!("{failure}\n({} calls have failed so far)", self.failures));
        }
    }

    /// Waits until the next sixtieth of a second, or not at all if the run is late.
    fn wait_for_next_tick(&self) {
        let due = self.began + Duration::from_secs_f64(self.meter.ticks() as f64 / TICKS_PER_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    fn report(&self) -> Report {
        let mut report = Report {
            flights_read: self.flights_read,
            flights_skipped: self.flights_skipped,
            spawned: self.simulation.spawned(),
            despawned: self.simulation.despawned(),
            airborne: self.simulation.airborne(),
            airborne_max: self.airborne_max,
            workers: self.simulation.workers(),
            lanes: self.simulation.lanes(),
            job: self.config.job.name(),
            memory_bytes: peak_resident_bytes().unwrap_or(0),
            bytes_copied: self.simulation.bytes_copied(),
            sim_seconds: self.simulation.seconds() - f64::from(self.config.start_seconds),
            ..Report::default()
        };
        self.meter.fill(&mut report);
        report
    }
}
