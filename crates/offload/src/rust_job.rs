//! A Rust function as a job: typed columns by name, without unsafe code.

use std::{cell::Cell, slice};

use peristyle_jobs::{JobCall, JobError, JobRunner, Lane, Lent};
use peristyle_memory::Element;

/// A Rust function over the rows of a call.
///
/// ```
/// use peristyle_offload::RustJob;
///
/// let job = RustJob::new("move", |rows| {
///     let (velocity, position) = (rows.read::<f32>("Velocity", "x")?, rows.write::<f32>("Position", "x")?);
///     let dt = rows.dt() as f32;
///     for row in 0..rows.len() {
///         if velocity[row] != 0.0 {
///             position[row] += velocity[row] * dt;
///             rows.mark("Position", row)?;
///         }
///     }
///     Ok(())
/// });
/// ```
pub struct RustJob<F> {
    name: String,
    run: F,
}

impl<F: Fn(&Rows<'_>) -> Result<(), JobError> + Send + Sync> RustJob<F> {
    /// A job that calls `run` for each range of rows.
    pub fn new(name: impl Into<String>, run: F) -> RustJob<F> {
        RustJob { name: name.into(), run }
    }
}

impl<F: Fn(&Rows<'_>) -> Result<(), JobError> + Send + Sync> JobRunner for RustJob<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, _: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        (self.run)(&Rows { call, read: Cell::new(0), written: Cell::new(0) })
    }
}

/// The rows of one call. Each column is taken to write once, or to read any number of times.
pub struct Rows<'c> {
    call: &'c JobCall<'c>,
    /// Bits of the columns that were taken to read.
    read: Cell<u128>,
    /// Bits of the columns that were taken to write.
    written: Cell<u128>,
}

impl<'c> Rows<'c> {
    /// Number of rows.
    #[allow(clippy::len_without_is_empty, reason = "a call has rows")]
    pub fn len(&self) -> usize {
        self.call.rows as usize
    }

    /// Simulated seconds of this frame.
    pub fn dt(&self) -> f64 {
        self.call.dt
    }

    /// Simulated time in seconds.
    pub fn time(&self) -> f64 {
        self.call.time
    }

    /// The text of `extra`, if the system gives one.
    pub fn extra(&self) -> Option<&'c str> {
        self.call.extra.map(|extra| extra.json)
    }

    /// The entity index of each row.
    pub fn indices(&self) -> &'c [u32] {
        // SAFETY: indices are lent for the call and written by nobody.
        unsafe { slice::from_raw_parts(self.call.eids.ptr.as_ptr().cast(), self.call.eids.len as usize) }
    }

    /// A column to read.
    ///
    /// # Errors
    /// There is no such column of `E` among the declared ones, or it was taken to write.
    pub fn read<E: Element>(&self, component: &str, field: &str) -> Result<&'c [E], JobError> {
        let (column, lent) = self.find::<E>(component, field)?;
        if self.written.get() & column != 0 {
            return Err(wrong(format!("column `{component}.{field}` was taken to write")));
        }
        self.read.set(self.read.get() | column);
        // SAFETY: the column is lent for the call, with that scalar; nobody writes it: it was not taken to write, and will
        // not be.
        Ok(unsafe { slice::from_raw_parts(lent.ptr.as_ptr().cast(), lent.len as usize) })
    }

    /// A column to write. Rows count as changed when they are [marked](Rows::mark).
    ///
    /// # Errors
    /// There is no such column of `E` among those declared to be written, or it was taken already.
    pub fn write<E: Element>(&self, component: &str, field: &str) -> Result<&'c mut [E], JobError> {
        self.bits(component)?;
        let (column, lent) = self.find::<E>(component, field)?;
        if (self.written.get() | self.read.get()) & column != 0 {
            return Err(wrong(format!("column `{component}.{field}` was taken already")));
        }
        self.written.set(self.written.get() | column);
        // SAFETY: the column is lent to this call alone, to write, with that scalar; it was not taken before and will not
        // be again, and there is one `Rows` for a call.
        Ok(unsafe { slice::from_raw_parts_mut(lent.ptr.as_ptr().cast(), lent.len as usize) })
    }

    /// Marks a row of a written component as changed.
    ///
    /// # Errors
    /// The component was not declared to be written, or there is no such row.
    pub fn mark(&self, component: &str, row: usize) -> Result<(), JobError> {
        self.set(self.bits(component)?, row)
    }

    /// Marks all rows of a written component as changed.
    ///
    /// # Errors
    /// The component was not declared to be written.
    pub fn mark_all(&self, component: &str) -> Result<(), JobError> {
        let bits = self.bits(component)?;
        // SAFETY: the bits are lent to this call alone, to write; no reference to them is ever made.
        unsafe { bits.ptr.as_ptr().write_bytes(0xff, bits.len as usize) };
        Ok(())
    }

    /// Has the entity of a row despawned.
    ///
    /// # Errors
    /// The job did not declare that it despawns, or there is no such row.
    pub fn despawn(&self, row: usize) -> Result<(), JobError> {
        self.set(self.call.despawn.ok_or_else(|| wrong("the job did not declare that it despawns".to_owned()))?, row)
    }

    fn set(&self, bits: Lent, row: usize) -> Result<(), JobError> {
        if row >= self.len() {
            return Err(wrong(format!("row {row} of {}", self.len())));
        }
        debug_assert!(row >> 3 < bits.len as usize);
        // SAFETY: a bitset has a bit for each row of the call; it is lent to this call alone, to write; no reference to it
        // is ever made.
        unsafe { *bits.ptr.as_ptr().add(row >> 3) |= 1 << (row & 7) };
        Ok(())
    }

    fn bits(&self, component: &str) -> Result<Lent, JobError> {
        let position = self.call.shape.components.iter().position(|shape| shape.name == component);
        let written = position.filter(|at| self.call.shape.components[*at].access == peristyle_jobs::Access::Write);
        let bits = written.and_then(|at| self.call.changed[at]);
        bits.ok_or_else(|| wrong(format!("component `{component}` was not declared to be written")))
    }

    /// A column as a bit, and where it is.
    fn find<E: Element>(&self, component: &str, field: &str) -> Result<(u128, Lent), JobError> {
        let missing = || wrong(format!("there is no column `{component}.{field}` among the declared ones"));
        let mut column = 0;
        for shape in &self.call.shape.components {
            if shape.name == component {
                column += shape.fields.iter().position(|known| known.name == field).ok_or_else(missing)?;
                let lent = self.call.columns[column];
                if lent.scalar != E::SCALAR {
                    let (is, asked) = (lent.scalar, E::SCALAR);
                    return Err(wrong(format!("column `{component}.{field}` is of {is}, not of {asked}")));
                }
                let bit = 1_u128.checked_shl(column as u32);
                return bit.map(|bit| (bit, lent)).ok_or_else(|| wrong("a Rust job has up to 128 columns".to_owned()));
            }
            column += shape.fields.len();
        }
        Err(missing())
    }
}

fn wrong(message: String) -> JobError {
    JobError::Threw { name: "ColumnError".to_owned(), message, stack: String::new() }
}
