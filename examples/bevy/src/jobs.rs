//! The jobs. Anything that runs jobs can stand here: these are Rust functions; a JavaScript module takes the place of one
//! where `drift` is made, and the line that registers it stays as it is.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use peristyle_bevy::{Report, RustJob, pack};
use peristyle_jobs::JobRunner;

use crate::{Leak, SHORE, WORN};

/// Moves the boats that are under way, and marks them.
///
/// A runner of another language is made and returned here instead.
pub fn drift() -> impl JobRunner {
    RustJob::new("drift", |call| {
        let (vx, vy) = (call.column::<f32>("Velocity", "x")?, call.column::<f32>("Velocity", "y")?);
        let (x, y) = (call.column_mut::<f32>("Position", "x")?, call.column_mut::<f32>("Position", "y")?);
        let (mut moved, dt) = (call.marks("Position")?, call.dt() as f32);
        for row in 0..call.rows() {
            if vx[row] != 0.0 || vy[row] != 0.0 {
                x[row] += vx[row] * dt;
                y[row] += vy[row] * dt;
                moved.mark(row);
            }
        }
        Ok(())
    })
}

/// Wears the hulls of boats that are under way; their names are not its business. Those that are worn leak: a patch gives
/// them what they have not got yet.
pub fn wear() -> impl JobRunner {
    RustJob::new("wear", |call| {
        let (vx, wear) = (call.column::<f32>("Velocity", "x")?, call.column_mut::<f32>("Hull", "wear")?);
        let (mut worn, dt) = (call.marks("Hull")?, call.dt() as f32);
        for row in (0..call.rows()).filter(|row| vx[*row] != 0.0) {
            wear[row] += vx[row].abs() * dt;
            worn.mark(row);
            if wear[row] > WORN {
                call.add_packed("Leak", call.entity(row), &pack(Leak { litres: wear[row] - WORN }))?;
            }
        }
        Ok(())
    })
}

/// Takes away the boats that left the lake.
pub fn sink() -> impl JobRunner {
    RustJob::new("sink", |call| {
        let (x, mut sunk) = (call.column::<f32>("Position", "x")?, call.despawns()?);
        (0..call.rows()).filter(|row| x[*row].abs() > SHORE).for_each(|row| sunk.mark(row));
        Ok(())
    })
}

/// Prints what a system did in its first frames.
pub fn tell(name: &'static str) -> impl Fn(&Report<'_>) + Send + Sync {
    let frames = AtomicU32::new(0);
    move |report| {
        if frames.fetch_add(1, Relaxed) < 3 {
            let (rows, calls) = (report.rows, report.run.ranges);
            println!("{name}: {rows} rows, {}, in {calls} calls; {} committed", report.way, report.commit.written());
        }
        for failure in &report.run.failures {
            eprintln!("{name}: rows {:?} failed: {}", failure.rows, failure.error);
        }
    }
}
