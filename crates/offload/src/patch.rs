//! Patches of a job over a world that is not Peristyle's own.
//!
//! They are records as everywhere ([`PatchRecord`](peristyle_layout::PatchRecord)), kept by the snapshot in order of rows
//! and given to the [`Source`](crate::Source) one by one when it is committed, after the columns. What cannot be applied is
//! reported; the others go on.

use peristyle_layout::{Entity, PatchBytes, PatchKind, PatchRecord};

/// What one patch does to an entity. Components have the numbers that they have in the job's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// Replaces the value of a component that the entity has, or those fields of it that are columns.
    Set {
        /// The component.
        component: u32,
        /// Its value.
        value: PatchBytes<'a>,
    },
    /// The same, also of an entity that has no such component yet.
    Add {
        /// The component.
        component: u32,
        /// Its value.
        value: PatchBytes<'a>,
    },
    /// Takes a component from the entity.
    Remove {
        /// The component.
        component: u32,
    },
    /// Despawns the entity.
    Destroy,
}

impl<'a> Change<'a> {
    /// What a record says.
    pub fn of(record: &PatchRecord<'a>) -> Change<'a> {
        let PatchRecord { kind, component, value, .. } = *record;
        match kind {
            PatchKind::Set => Change::Set { component, value },
            PatchKind::Add => Change::Add { component, value },
            PatchKind::Remove => Change::Remove { component },
            PatchKind::Destroy => Change::Destroy,
        }
    }

    /// The record that says it of an entity.
    pub fn record(self, entity: Entity) -> PatchRecord<'a> {
        let (kind, component, value) = match self {
            Change::Set { component, value } => (PatchKind::Set, component, value),
            Change::Add { component, value } => (PatchKind::Add, component, value),
            Change::Remove { component } => (PatchKind::Remove, component, PatchBytes::None),
            Change::Destroy => (PatchKind::Destroy, 0, PatchBytes::None),
        };
        PatchRecord { kind, entity, component, value }
    }

    /// The component, if it is about one.
    pub fn component(&self) -> Option<u32> {
        match self {
            Change::Set { component, .. } | Change::Add { component, .. } | Change::Remove { component } => {
                Some(*component)
            }
            Change::Destroy => None,
        }
    }
}

/// When a patch that was taken has its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// At once.
    Now,
    /// When the world can change next: whether it could is known then.
    Later,
}

/// Why one patch was not applied. The world is as it was before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchFault {
    /// The entity is gone.
    #[error("entity {0} is gone")]
    Gone(Entity),
    /// The entity lacks the component.
    #[error("entity {entity} has no component `{component}`")]
    Missing {
        /// The entity.
        entity: Entity,
        /// The component.
        component: String,
    },
    /// The job did not declare a component of that number.
    #[error("the job declared no component {0} to patch")]
    UnknownComponent(u32),
    /// The value is not as large as the component's columns are together.
    #[error("component `{component}` has values of {expected_bytes} bytes, the patch has {found_bytes}")]
    ValueBytes {
        /// The component.
        component: String,
        /// Bytes of its columns.
        expected_bytes: usize,
        /// Bytes in the patch.
        found_bytes: usize,
    },
    /// The component is described by columns, and the value is JSON.
    #[error("component `{0}` is described by columns: its value is packed, not JSON text")]
    NotText(String),
    /// The component is described by its `serde`, and the value is packed.
    #[error("component `{0}` is described by its serde: its value is JSON text, not packed")]
    NotPacked(String),
    /// The component's `serde` refused.
    #[error("component `{component}`: {message}")]
    Value {
        /// The component.
        component: String,
        /// Why.
        message: String,
    },
    /// Only some fields of the component are columns, so no value can be made of them.
    #[error(
        "component `{0}` cannot be added: not all of it is columns, and `Described::made_by` does not say what else"
    )]
    NotMade(String),
    /// The world takes no patches.
    #[error("this world takes no patches")]
    Unsupported,
}

impl PatchFault {
    /// Whether the patch came too late, and nothing is wrong with it otherwise.
    pub fn is_stale(&self) -> bool {
        matches!(self, PatchFault::Gone(_) | PatchFault::Missing { .. })
    }
}

/// One patch that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("patches[{index}]: {fault}")]
pub struct RefusedPatch {
    /// Its position among the patches of all calls, which are in order of rows.
    pub index: usize,
    /// The entity that it names.
    pub entity: Entity,
    /// Why.
    #[source]
    pub fault: PatchFault,
}

/// Refusals that a report keeps; more are only counted.
pub const REFUSALS_KEPT: usize = 256;

/// What became of the patches of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchCommit {
    /// Patches that were applied.
    pub applied: usize,
    /// Patches that wait until the world can change.
    pub deferred: usize,
    /// Patches whose entity had gone, or lacked the component. They are among the refused.
    pub stale: usize,
    /// Patches that were not applied.
    pub refused: usize,
    /// The first of these, at most [`REFUSALS_KEPT`].
    pub refusals: Vec<RefusedPatch>,
}

impl PatchCommit {
    /// Counts what became of one patch.
    pub fn count(&mut self, index: usize, entity: Entity, result: Result<Applied, PatchFault>) {
        match result {
            Ok(Applied::Now) => self.applied += 1,
            Ok(Applied::Later) => self.deferred += 1,
            Err(fault) => {
                self.refused += 1;
                self.stale += usize::from(fault.is_stale());
                if self.refusals.len() < REFUSALS_KEPT {
                    self.refusals.push(RefusedPatch { index, entity, fault });
                }
            }
        }
    }

    /// Forgets all, and keeps the room.
    pub(crate) fn clear(&mut self) {
        let mut refusals = std::mem::take(&mut self.refusals);
        refusals.clear();
        *self = PatchCommit { refusals, ..PatchCommit::default() };
    }
}
