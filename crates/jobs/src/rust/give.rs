//! What a Rust job takes and gives by value: opaque components, and patches.

use peristyle_layout::{Entity, PatchBytes, PatchKind, PatchRecord};
use serde::{Serialize, de::DeserializeOwned};

use super::{AccessError, RustCall};
use crate::contract::JobError;

impl RustCall<'_> {
    /// A copy of the value that a row has of an opaque component. What is done to it stays here: a patch carries a new
    /// value back.
    ///
    /// ```
    /// use peristyle_jobs::RustJob;
    ///
    /// let job = RustJob::new("shout", |call| {
    ///     for row in 0..call.rows() {
    ///         let name: String = call.value("Name", row)?;
    ///         call.set("Name", call.entity(row), &name.to_uppercase())?;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// [`JobError::Access`] if the component is not declared or lies in columns; [`JobError::Value`] if its `serde`
    /// refused, or the value is no `T`.
    ///
    /// # Panics
    /// If there is no such row in this call.
    pub fn value<T: DeserializeOwned>(&self, component: &str, row: usize) -> Result<T, JobError> {
        let value = self.call.value(self.find(component)?.0, row)?;
        serde_json::from_value(value).map_err(|error| JobError::Value {
            component: component.to_owned(),
            entity: self.entity(row),
            message: error.to_string(),
        })
    }

    /// Gives a patch that replaces the value of an opaque component that the entity has.
    ///
    /// # Errors
    /// [`JobError::Value`] if the value has no JSON form; [`JobError::Patch`] if the job did not declare that it writes or
    /// patches the component.
    pub fn set(&self, component: &str, entity: Entity, value: &impl Serialize) -> Result<(), JobError> {
        self.give_text(PatchKind::Set, component, entity, value)
    }

    /// As [`RustCall::set`], also for an entity that has no such component yet.
    ///
    /// # Errors
    /// As there.
    pub fn add(&self, component: &str, entity: Entity, value: &impl Serialize) -> Result<(), JobError> {
        self.give_text(PatchKind::Add, component, entity, value)
    }

    /// Gives a patch that replaces the value of a component that the entity has and that lies in columns: its fields in
    /// order, little-endian, nothing between.
    ///
    /// # Errors
    /// [`JobError::Patch`] if the job did not declare that it writes or patches the component.
    pub fn set_packed(&self, component: &str, entity: Entity, value: &[u8]) -> Result<(), JobError> {
        self.patch(PatchKind::Set, component, entity, PatchBytes::Packed(value))
    }

    /// As [`RustCall::set_packed`], also for an entity that has no such component yet.
    ///
    /// # Errors
    /// As there.
    pub fn add_packed(&self, component: &str, entity: Entity, value: &[u8]) -> Result<(), JobError> {
        self.patch(PatchKind::Add, component, entity, PatchBytes::Packed(value))
    }

    /// Gives a patch that takes a component from an entity.
    ///
    /// # Errors
    /// As [`RustCall::set_packed`].
    pub fn remove(&self, component: &str, entity: Entity) -> Result<(), JobError> {
        self.patch(PatchKind::Remove, component, entity, PatchBytes::None)
    }

    /// Gives a patch that despawns an entity.
    ///
    /// # Errors
    /// [`JobError::Patch`] if the job did not declare that it despawns.
    pub fn destroy(&self, entity: Entity) -> Result<(), JobError> {
        let (kind, value) = (PatchKind::Destroy, PatchBytes::None);
        self.call.patch(&PatchRecord { kind, entity, component: 0, value })
    }

    fn give_text(
        &self,
        kind: PatchKind,
        component: &str,
        entity: Entity,
        value: &impl Serialize,
    ) -> Result<(), JobError> {
        let text = serde_json::to_string(value).map_err(|error| JobError::Value {
            component: component.to_owned(),
            entity,
            message: error.to_string(),
        })?;
        self.patch(kind, component, entity, PatchBytes::Text(&text))
    }

    fn patch(&self, kind: PatchKind, component: &str, entity: Entity, value: PatchBytes<'_>) -> Result<(), JobError> {
        let id = self.call.shape.component_id(component);
        let component = id.ok_or_else(|| AccessError::NotDeclared { name: component.to_owned() })?;
        self.call.patch(&PatchRecord { kind, entity, component, value })
    }
}
