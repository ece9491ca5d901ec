//! Measures what it costs to hand work to a worker that is awake.
//!
//! Prints nanoseconds, minimum and median of many runs: opening and waiting for a task of two empty
//! ranges, and `pos += vel * dt` over four arrays of 10 000 and 100 000 `f32`, in place and split.
//!
//! `cargo run -p peristyle-jobs --example handoff [RUNS]`

use std::cell::UnsafeCell;
use std::hint::black_box;

use peristyle_jobs::{Lane, Pool, Scope, Work, default_workers};
use peristyle_timeline::clock;

/// Rows per range are multiples of this, so that no two lanes share a cache line.
const ROWS_STEP: usize = 512;

struct Integrate {
    columns: [UnsafeCell<Vec<f32>>; 4],
    rows: usize,
    rows_per_range: usize,
}

// SAFETY: ranges are disjoint rows, each range runs once per task, and nothing else looks meanwhile.
unsafe impl Sync for Integrate {}

impl Integrate {
    fn new(rows: usize, ranges: usize) -> Integrate {
        let rows_per_range = rows.div_ceil(ranges).next_multiple_of(ROWS_STEP);
        let columns = [0.0, 0.0, 1.0, 2.0].map(|value| UnsafeCell::new(vec![value; rows]));
        Integrate { columns, rows, rows_per_range }
    }

    fn ranges(&self) -> u32 {
        self.rows.div_ceil(self.rows_per_range) as u32
    }

    fn step(&self, from: usize, to: usize) {
        let column = |i: usize| {
            // SAFETY: `from..to` lies within the columns, and this call has these rows for itself.
            unsafe { std::slice::from_raw_parts_mut((*self.columns[i].get()).as_mut_ptr().add(from), to - from) }
        };
        let (x, y, vx, vy) = (column(0), column(1), column(2), column(3));
        for (((x, y), vx), vy) in x.iter_mut().zip(y).zip(vx).zip(vy) {
            *x += *vx * (1.0 / 60.0);
            *y += *vy * (1.0 / 60.0);
        }
    }
}

impl Work for Integrate {
    fn run(&self, range: u32, _: &mut Lane) {
        let from = range as usize * self.rows_per_range;
        self.step(from, (from + self.rows_per_range).min(self.rows));
    }
}

struct Empty;

impl Work for Empty {
    fn run(&self, range: u32, _: &mut Lane) {
        black_box(range);
    }
}

fn measure(name: &str, runs: usize, mut f: impl FnMut()) {
    let ns_per_tick = clock::ns_per_tick();
    let mut ns: Vec<u64> = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = clock::now();
        f();
        ns.push(((clock::now() - start) as f64 * ns_per_tick) as u64);
    }
    ns.sort_unstable();
    println!("{name:<44} min {:>7} ns   median {:>7} ns   p90 {:>7} ns", ns[0], ns[runs / 2], ns[runs * 9 / 10]);
}

fn split(scope: &Scope<'_, '_>, work: &dyn Work, ranges: u32) {
    scope.run(work, ranges, 0).unwrap();
}

fn main() {
    let runs = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(20_000);
    let mut pool = Pool::new(default_workers()).unwrap();
    pool.wake(usize::MAX);
    measure("read the clock", runs, || ());
    measure("an empty scope", runs, || pool.scope(|_| ()));
    pool.scope(|scope| {
        measure("one empty range", runs, || split(scope, &Empty, 1));
        measure("two empty ranges", runs, || split(scope, &Empty, 2));
        // This thread takes no range: the whole way to a worker and back.
        if scope.lanes() > 1 {
            measure("one empty range, run by a worker", runs, || {
                let task = scope.open(&Empty, 1, 1).unwrap();
                while !scope.is_done(&task) {
                    std::hint::spin_loop();
                }
                scope.wait(task).unwrap();
            });
        }
        measure("a pause of the processor", runs, std::hint::spin_loop);
        let lanes = scope.lanes() as u32;
        for rows in [10_000, 100_000, 1_000_000] {
            let runs = (runs * 10_000 / rows).max(100);
            let whole = Integrate::new(rows, 1);
            measure(&format!("{rows} rows in place"), runs, || whole.step(0, rows));
            for parts in [lanes, 2 * lanes, 4 * lanes] {
                let work = Integrate::new(rows, parts as usize);
                let ranges = work.ranges();
                scope.wake(usize::MAX);
                measure(&format!("{rows} rows in {ranges} ranges"), runs, || split(scope, &work, ranges));
            }
        }
    });
    let ran: Vec<u64> = (0..pool.lanes()).map(|lane| pool.ranges_run(lane)).collect();
    println!("ranges run by each lane: {ran:?}");
}
