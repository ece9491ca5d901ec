//! Jobs that are Rust closures, and components of a foreign world.
#![allow(dead_code)]

use std::{slice, sync::Arc};

use peristyle_jobs::{JobCall, JobError, JobRunner, Lane, Lent};
use peristyle_memory::Element;
use peristyle_offload::Columnar;

#[derive(Columnar, Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub x: f32,
    pub y: f32,
}

#[derive(Columnar, Clone, Copy, Debug, PartialEq)]
pub struct Velocity {
    pub x: f32,
    pub y: f32,
}

/// A runner that calls a closure.
#[derive(Clone)]
pub struct Closure(Arc<dyn Fn(&JobCall<'_>) -> Result<(), JobError> + Send + Sync>);

pub fn job(run: impl Fn(&JobCall<'_>) -> Result<(), JobError> + Send + Sync + 'static) -> Closure {
    Closure(Arc::new(run))
}

impl Closure {
    pub fn call(&self, call: &JobCall<'_>) -> Result<(), JobError> {
        (self.0)(call)
    }
}

impl JobRunner for Closure {
    fn name(&self) -> &str {
        "closure"
    }
    fn run(&self, _: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        (self.0)(call)
    }
}

/// A lent column, which this call alone has.
pub fn column<'a, E: Element>(lent: &Lent) -> &'a mut [E] {
    assert_eq!(lent.scalar, E::SCALAR);
    // SAFETY: tests use it during a call only, once for each column.
    unsafe { slice::from_raw_parts_mut(lent.ptr.as_ptr().cast(), lent.len as usize) }
}

/// Sets bit `row` of a lent bitset.
pub fn mark(lent: &Lent, row: usize) {
    // SAFETY: as above; a bitset is lent as bytes.
    let bytes = unsafe { slice::from_raw_parts_mut(lent.ptr.as_ptr(), lent.len as usize) };
    bytes[row >> 3] |= 1 << (row & 7);
}

/// What tests throw.
pub fn threw(message: &str) -> JobError {
    JobError::Threw { name: "Error".to_owned(), message: message.to_owned(), stack: String::new() }
}

/// Adds the velocity (columns 0 and 1) to the position (2 and 3) of every `step`th entity, by index, and marks those.
pub fn moving(step: u32) -> Closure {
    job(move |call| {
        let (indices, dt) = (column::<u32>(&call.eids), call.dt as f32);
        let (vx, vy) = (column::<f32>(&call.columns[0]), column::<f32>(&call.columns[1]));
        let (x, y) = (column::<f32>(&call.columns[2]), column::<f32>(&call.columns[3]));
        let marks = call.changed[1].as_ref().expect("positions are written");
        for row in (0..call.rows as usize).filter(|row| indices[*row] % step == 0) {
            x[row] += vx[row] * dt;
            y[row] += vy[row] * dt;
            mark(marks, row);
        }
        Ok(())
    })
}
