//! What recording costs: nanoseconds a span, and Sky's frames with recording on against off.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin timeline [-- TURNS]
//! ```
//!
//! Sky's data is looked for where `PERISTYLE_DATA` says; without it that part is left out. One simulation flies, and
//! recording is turned on and off between short runs of frames, in an order that alternates, so that both see the same
//! flights, memory and machine. What counts is the ratio of the two that lie beside each other.

use std::{env, hint::black_box, path::PathBuf, time::Instant};

use peristyle_bench::{Contestant, compare, turns};
use peristyle_sky::{Hooks, JobKind, Limit, Loaded, Simulation, SkyConfig};
use peristyle_timeline::{Kind, Timeline, clock};

/// Spans that a frame of the first comparison records.
const SPANS: u32 = 1000;
/// Sky's frames in a row with the same setting.
const FRAMES: usize = 4;

fn loop_of(name: &str, mut body: impl FnMut(u32) + 'static) -> Contestant {
    Contestant::new(name, move || (0..SPANS).for_each(|span| body(black_box(span))))
}

fn recorder(enabled: bool) -> impl FnMut(u32) {
    let timeline = Timeline::new(2, (1 << 12) - 1);
    let name = timeline.name("span");
    timeline.set_enabled(enabled);
    move |span| {
        let stamp = timeline.begin();
        timeline.end(1, Kind::Range, name, stamp, span, span);
    }
}

/// As many spans, each of which begins where the one before ended.
fn chain() -> Contestant {
    let timeline = Timeline::new(2, (1 << 12) - 1);
    let name = timeline.name("span");
    timeline.set_enabled(true);
    Contestant::new("span after span, recording on", move || {
        let first = timeline.begin();
        let _ = (0..SPANS).fold(first, |stamp, span| timeline.next(1, Kind::Range, name, stamp, span, black_box(span)));
    })
}

fn spans(turns: usize) {
    let contestants = vec![
        loop_of("empty loop", |_| ()),
        loop_of("two readings of the clock", |_| {
            black_box(clock::now());
            black_box(clock::now());
        }),
        loop_of("span, recording off", recorder(false)),
        loop_of("span, recording on", recorder(true)),
        chain(),
    ];
    compare("one span", turns, f64::from(SPANS), "ns", contestants);
}

struct Quiet;

impl Hooks for Quiet {
    fn loading(&mut self, _: u64, _: u64) {}
    fn loaded(&mut self, _: &Loaded) {}
    fn report(&mut self, _: &peristyle_sky::Report) {}
    fn warn(&mut self, message: &str) {
        eprintln!("{message}");
    }
}

/// A flight of Sky at the peak, and its number of ticks.
struct Sky {
    simulation: Simulation,
    timeline: Timeline,
    ticks: u64,
}

impl Sky {
    fn new(job: JobKind) -> Option<Sky> {
        let data_dir = PathBuf::from(env::var_os("PERISTYLE_DATA")?);
        let config = SkyConfig {
            data_dir,
            speed: 240.0,
            start_seconds: 13 * 3600 + 1800,
            limit: Limit::Day,
            headless: true,
            workers: None,
            job,
            trace: None,
            memory_bytes_max: None,
            check: false,
            serve: None,
        };
        let loaded = peristyle_sky::load(&config, &mut Quiet).map_err(|error| eprintln!("{error}")).ok()?;
        let timeline = Timeline::new(1 + peristyle_jobs::default_workers(), (1 << 16) - 1);
        let simulation = Simulation::new(&config, &loaded, timeline.clone()).expect("Sky starts");
        Some(Sky { simulation, timeline, ticks: 0 })
    }

    /// Nanoseconds of a frame, over some frames.
    fn fly(&mut self, traced: bool) -> f64 {
        self.timeline.set_enabled(traced);
        let began = Instant::now();
        for _ in 0..FRAMES {
            self.ticks += 1;
            black_box(self.simulation.tick(self.ticks).expect("the memory suffices"));
        }
        began.elapsed().as_nanos() as f64 / FRAMES as f64
    }
}

/// Nanoseconds of a span, the best of some turns.
fn span_ns() -> f64 {
    let mut record = recorder(true);
    let turn = |_| {
        let began = Instant::now();
        (0..SPANS).for_each(&mut record);
        began.elapsed().as_nanos() as f64 / f64::from(SPANS)
    };
    (0..100).map(turn).fold(f64::INFINITY, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn sky(name: &str, job: JobKind, turns: usize) {
    let Some(mut sky) = Sky::new(job) else {
        println!("Sky, {name}: left out, for PERISTYLE_DATA names no data\n");
        return;
    };
    // Compiles the job, learns where to run it, touches the rings.
    (0..10).for_each(|turn| _ = sky.fly(turn % 2 == 0));
    let (mut off, mut on, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns {
        let first = sky.fly(turn % 2 == 0);
        let second = sky.fly(turn % 2 != 0);
        let (traced, untraced) = if turn % 2 == 0 { (first, second) } else { (second, first) };
        on.push(traced);
        off.push(untraced);
        ratios.push(traced / untraced);
    }
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    println!("Sky at the peak, {name}, {} lanes: milliseconds a frame", sky.simulation.workers() + 1);
    println!("  {:<36} {:>12} {:>12}", "", "median", "minimum");
    println!("  {:<36} {:>9.3} ms {:>9.3} ms", "recording off", median(off.clone()) / 1e6, least(&off) / 1e6);
    println!("  {:<36} {:>9.3} ms {:>9.3} ms", "recording on", median(on.clone()) / 1e6, least(&on) / 1e6);
    let spread = {
        let mut sorted = ratios.clone();
        sorted.sort_by(f64::total_cmp);
        (sorted[sorted.len() / 4], sorted[sorted.len() * 3 / 4])
    };
    println!(
        "  on of off: x{:.4} (median of {turns} pairs, half of them from x{:.4} to x{:.4}; minima x{:.4})",
        median(ratios),
        spread.0,
        spread.1,
        least(&on) / least(&off)
    );
    // Beside the ratio, for on a busy machine that says little: spans of a frame, times what one took at best.
    let spans: usize = sky.timeline.read().iter().map(|lane| lane.spans.len() + lane.dropped as usize).sum();
    let frames = (turns + 5) * FRAMES;
    let (spans, ns) = (spans as f64 / frames as f64, span_ns());
    println!("  {spans:.0} spans a frame, {ns:.1} ns each at best: {:.4} % of it\n", spans * ns / least(&off) * 100.0);
}

fn main() {
    let turns = turns(200);
    spans(turns);
    sky("Rust", JobKind::Rust, turns);
    sky("TypeScript", JobKind::Ts, turns);
}
