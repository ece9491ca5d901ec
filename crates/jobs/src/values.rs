//! Values of opaque components, as a call gives them: copies, by their `serde`, in the data model of JSON.
//!
//! What is no number has no column to be lent. A call makes a copy of a row's value when its job asks for it; what the job
//! does to the copy stays with the job, and a patch carries a new value back in the same form.
//!
//! # Rules
//! - Nothing is made for a job that asks for no value.
//! - A value names its entity, not its row: so it is the same in ranges, parts, wholes and trials of a check.

use peristyle_layout::Entity;
use serde_json::Value;

use crate::{AccessError, JobCall, JobError};

/// Gives the values of the opaque components of a call's rows.
pub trait ValueLookup: Sync {
    /// A copy of the value that an entity, one of the call's rows, has of a component of that number.
    ///
    /// # Errors
    /// Why the value has no such form, in words.
    fn value(&self, component: u32, entity: Entity) -> Result<Value, String>;

    /// Whether it wants to be told of copies that the job changed.
    fn watches(&self) -> bool {
        false
    }

    /// The job changed its copy of a value. Nothing comes of that but what a patch says.
    fn changed(&self, component: u32, entity: Entity) {
        let _ = (component, entity);
    }
}

impl JobCall<'_> {
    /// The entity of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn entity(&self, row: usize) -> Entity {
        assert!(row < self.eids.len as usize, "row {row} of {}", self.eids.len);
        // SAFETY: the lease makes the indices readable, and there are as many.
        self.entities.entity(unsafe { self.eids.ptr.cast::<u32>().add(row).read() })
    }

    /// A copy of the value that a row has of the opaque component of that position in the shape.
    ///
    /// # Errors
    /// [`JobError::Value`] if its `serde` refused; [`AccessError::NotOpaque`] if the component lies in columns.
    ///
    /// # Panics
    /// If there is no such component or row.
    pub fn value(&self, component: usize, row: usize) -> Result<Value, JobError> {
        let shape = &self.shape.components[component];
        let Some(values) = self.values.filter(|_| shape.opaque) else {
            return Err(AccessError::NotOpaque { name: shape.name.clone() }.into());
        };
        let entity = self.entity(row);
        let refused = |message| JobError::Value { component: shape.name.clone(), entity, message };
        values.value(shape.id, entity).map_err(refused)
    }
}
