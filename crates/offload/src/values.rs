//! The values of opaque components that a snapshot has for its job: copies, by their `serde`, made when it is taken.
//!
//! # Rules
//! - Only a job that declared to read an opaque component pays: others have no list here, and no value is made.
//! - A value that its `serde` refused is kept as the reason, which fails the call that asks for it, and no other.

use std::ops::Range;

use peristyle_jobs::JobShape;
use serde_json::Value;

use crate::error::SnapshotError;

/// The value of an opaque component in the data model of JSON, or why its `serde` refused, in words.
pub type OpaqueValue = Result<Value, String>;

/// One list of values per opaque component, each of all rows.
#[derive(Default)]
pub(crate) struct Values(Vec<Opaque>);

struct Opaque {
    /// Position of the component among the declared ones.
    component: usize,
    /// The component's number in the shape.
    id: u32,
    rows: Vec<OpaqueValue>,
}

impl Values {
    /// Lists for what a shape declares.
    pub(crate) fn new(shape: &JobShape) -> Values {
        let opaque = shape.components.iter().enumerate().filter(|(_, component)| component.opaque);
        Values(opaque.map(|(component, shape)| Opaque { component, id: shape.id, rows: Vec::new() }).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops all values, and has room for as many rows.
    pub(crate) fn reset(&mut self, rows: usize) -> Result<(), SnapshotError> {
        for opaque in &mut self.0 {
            opaque.rows.clear();
            let bytes = rows.saturating_mul(size_of::<OpaqueValue>());
            opaque.rows.try_reserve_exact(rows).map_err(|_| SnapshotError::OutOfMemory { rows, bytes })?;
            opaque.rows.resize_with(rows, || Ok(Value::Null));
        }
        Ok(())
    }

    /// Has `gather` put values of some rows of each component in their place.
    pub(crate) fn gather(
        &mut self,
        rows: Range<usize>,
        mut gather: impl FnMut(usize, &mut [OpaqueValue]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        self.0.iter_mut().try_for_each(|opaque| gather(opaque.component, &mut opaque.rows[rows.clone()]))
    }

    /// The value of a row of the component of that number in the shape; none if there is no such component or row.
    pub(crate) fn get(&self, component: u32, row: usize) -> Option<&OpaqueValue> {
        self.0.iter().find(|opaque| opaque.id == component)?.rows.get(row)
    }
}
