//! World patches: one change of one entity each, as values, as records and as JSON.
//!
//! A [`WorldPatch`] sets, adds or removes a component, or destroys an entity. Its compact form is a
//! [`PatchRecord`] in a [`PatchBuffer`], which jobs and rings carry; its JSON form is what JavaScript and files hold.
//! Commands carry records too and are applied by the same code (`apply`), so both fire observers, mark rows and report
//! what is stale alike.
//!
//! # Rules
//! - Patches take effect in their order. Those of the same kind, component and table move as a group where nobody can see
//!   a difference: an entity that a group holds back is never touched by a later patch, removals are logged in order, and
//!   whoever is observed, related or drops values goes alone. Only the order of rows in a table may differ from that of
//!   single calls; it depends on the list of patches alone.
//! - A patch that cannot be applied is reported with its index and changes nothing; the others go on.
//! - A value has every field of its component; a set asks for the component, an add makes it.
//! - Parents and children are made by [`World::set_parent`] alone.
//!
//! # Not here
//! Who may send which patch (`peristyle-jobs`), state patches of mirrors.

mod apply;
mod json;
mod plan;
mod serde;
mod undo;

use peristyle_layout::{Entity, PatchBuffer, PatchBytes, PatchDecodeError, PatchKind, PatchRecord};

use crate::{
    columnar::{self, Columnar},
    component::{Columns, Component, ComponentId},
    error::WorldError,
    world::World,
};

pub(crate) use apply::{Change, Patcher, Source};
pub use json::PatchJsonError;
pub(crate) use serde::SerdeFns;
pub use undo::{Undo, UndoGap, Undone};

/// One change of one entity.
#[derive(Debug, Clone, PartialEq)]
pub enum WorldPatch {
    /// Replaces the value of a component that the entity has. Counts as changed.
    Set {
        /// The entity.
        entity: Entity,
        /// The component.
        component: ComponentId,
        /// Its value.
        value: PatchValue,
    },
    /// Gives the entity a component, which counts as added, or replaces the value of the one that it has.
    Add {
        /// The entity.
        entity: Entity,
        /// The component.
        component: ComponentId,
        /// Its value.
        value: PatchValue,
    },
    /// Takes a component from the entity.
    Remove {
        /// The entity.
        entity: Entity,
        /// The component.
        component: ComponentId,
    },
    /// Despawns the entity and its children.
    Destroy {
        /// The entity.
        entity: Entity,
    },
}

/// The value of one component.
#[derive(Debug, Clone, PartialEq)]
pub enum PatchValue {
    /// A columnar component's fields in order, little-endian, nothing between.
    Packed(Vec<u8>),
    /// An opaque component's value, for its `serde`.
    Json(serde_json::Value),
}

impl PatchValue {
    /// The value of a columnar component.
    pub fn packed<C: Columnar>(value: C) -> PatchValue {
        PatchValue::Packed(columnar::pack(value))
    }

    fn of(bytes: PatchBytes<'_>) -> Result<PatchValue, serde_json::Error> {
        Ok(match bytes {
            PatchBytes::Text(text) => PatchValue::Json(serde_json::from_str(text)?),
            packed => PatchValue::Packed(packed.bytes().to_vec()),
        })
    }
}

impl WorldPatch {
    /// Sets a columnar component.
    pub fn set<C: Component<Storage = Columns<C>> + Columnar>(
        world: &mut World,
        entity: Entity,
        value: C,
    ) -> WorldPatch {
        let component = world.register::<C>();
        WorldPatch::Set { entity, component, value: PatchValue::packed(value) }
    }

    /// Adds a columnar component.
    pub fn add<C: Component<Storage = Columns<C>> + Columnar>(
        world: &mut World,
        entity: Entity,
        value: C,
    ) -> WorldPatch {
        let component = world.register::<C>();
        WorldPatch::Add { entity, component, value: PatchValue::packed(value) }
    }

    /// What it does.
    pub fn kind(&self) -> PatchKind {
        match self {
            WorldPatch::Set { .. } => PatchKind::Set,
            WorldPatch::Add { .. } => PatchKind::Add,
            WorldPatch::Remove { .. } => PatchKind::Remove,
            WorldPatch::Destroy { .. } => PatchKind::Destroy,
        }
    }

    /// To which entity.
    pub fn entity(&self) -> Entity {
        match self {
            WorldPatch::Set { entity, .. }
            | WorldPatch::Add { entity, .. }
            | WorldPatch::Remove { entity, .. }
            | WorldPatch::Destroy { entity } => *entity,
        }
    }

    /// Appends its record.
    pub fn write(&self, out: &mut PatchBuffer) {
        let value = |value: &PatchValue, f: &mut dyn FnMut(PatchBytes<'_>)| match value {
            PatchValue::Packed(bytes) => f(PatchBytes::Packed(bytes)),
            PatchValue::Json(json) => f(PatchBytes::Text(&json.to_string())),
        };
        match self {
            WorldPatch::Set { entity, component, value: v } => value(v, &mut |v| out.set(*entity, component.0, v)),
            WorldPatch::Add { entity, component, value: v } => value(v, &mut |v| out.add(*entity, component.0, v)),
            WorldPatch::Remove { entity, component } => out.remove(*entity, component.0),
            WorldPatch::Destroy { entity } => out.destroy(*entity),
        }
    }

    /// The patch of a record. Its component may be unknown to the world: applying it says so.
    ///
    /// # Errors
    /// What is wrong with the JSON of a text.
    pub fn read(record: &PatchRecord<'_>) -> Result<WorldPatch, serde_json::Error> {
        let (entity, component) = (record.entity, ComponentId(record.component));
        Ok(match record.kind {
            PatchKind::Set => WorldPatch::Set { entity, component, value: PatchValue::of(record.value)? },
            PatchKind::Add => WorldPatch::Add { entity, component, value: PatchValue::of(record.value)? },
            PatchKind::Remove => WorldPatch::Remove { entity, component },
            PatchKind::Destroy => WorldPatch::Destroy { entity },
        })
    }
}

impl<'a> FromIterator<&'a WorldPatch> for PatchBuffer {
    fn from_iter<I: IntoIterator<Item = &'a WorldPatch>>(patches: I) -> PatchBuffer {
        let mut buffer = PatchBuffer::new();
        patches.into_iter().for_each(|patch| patch.write(&mut buffer));
        buffer
    }
}

/// Why one patch was not applied. The world is as it was before it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The world has no component of that number.
    #[error("the world has no component {0}")]
    UnknownComponent(u32),
    /// Only `set_parent` makes, changes and removes these.
    #[error("component `{0}` follows from the hierarchy: no patch changes it")]
    Reserved(String),
    /// The value is not as large as the component's fields are together.
    #[error("component `{component}` has values of {expected_bytes} bytes, the patch has {found_bytes}")]
    ValueBytes {
        /// The component.
        component: String,
        /// Bytes of its fields.
        expected_bytes: usize,
        /// Bytes in the patch.
        found_bytes: usize,
    },
    /// The component lies in columns, and the value is JSON.
    #[error("component `{0}` lies in columns: its value is packed, not JSON text")]
    NotText(String),
    /// The component is opaque, and the value is packed.
    #[error("component `{0}` is opaque: its value is JSON text, not packed")]
    NotPacked(String),
    /// The opaque component's `serde` is not known to the world.
    #[error("component `{0}` is opaque, and its serde is not registered: `register_serde` does it")]
    NoSerde(String),
    /// The opaque component's `serde` refused.
    #[error("component `{component}`: {message}")]
    Value {
        /// The component.
        component: String,
        /// Why.
        message: String,
    },
    /// The JSON form is no patch.
    #[error(transparent)]
    Json(#[from] PatchJsonError),
    /// The world refused: the entity is gone or provisional, lacks the component, or there is no memory.
    #[error(transparent)]
    World(#[from] WorldError),
}

impl PatchError {
    /// Whether the patch came too late, and nothing is wrong with it otherwise: its entity is gone or lacks the component.
    pub fn is_stale(&self) -> bool {
        matches!(
            self,
            PatchError::World(WorldError::Stale(_) | WorldError::Missing { .. } | WorldError::Provisional(_))
        )
    }
}

/// One patch that was not applied.
#[derive(Debug, thiserror::Error)]
#[error("patches[{index}]: {error}")]
pub struct Refused {
    /// The patch's position in its list, or in its command buffer among the patches.
    pub index: usize,
    /// The number of the command buffer that carried it; 0 if none did.
    pub buffer: u32,
    /// Why.
    #[source]
    pub error: PatchError,
}

/// Refusals that a report keeps; more are only counted.
pub const REFUSALS_KEPT: usize = 256;

/// What applying patches did.
#[derive(Debug, Default)]
pub struct PatchReport {
    /// Patches that were applied.
    pub applied: usize,
    /// Patches whose entity had gone, or lacked the component. They are among the refused.
    pub stale: usize,
    /// Patches that were not applied.
    pub refused: usize,
    /// The first of these, at most [`REFUSALS_KEPT`].
    pub refusals: Vec<Refused>,
}

impl PatchReport {
    fn count(&mut self, buffer: u32, index: usize, result: Result<(), PatchError>) {
        let Err(error) = result else { return self.applied += 1 };
        self.refused += 1;
        self.stale += usize::from(error.is_stale());
        if self.refusals.len() < REFUSALS_KEPT {
            self.refusals.push(Refused { index, buffer, error });
        }
    }
}

impl World {
    /// Applies patches in order.
    ///
    /// ```
    /// use peristyle_world::{Component, PatchBuffer, World, WorldPatch};
    ///
    /// #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// struct Health { points: u32 }
    ///
    /// let mut world = World::new()?;
    /// let (a, b) = (world.spawn(Health { points: 1 })?, world.spawn(())?);
    /// let mut patches = PatchBuffer::new();
    /// WorldPatch::set(&mut world, a, Health { points: 2 }).write(&mut patches);
    /// WorldPatch::set(&mut world, b, Health { points: 3 }).write(&mut patches);
    /// let report = world.apply_patches(&patches);
    /// assert_eq!(world.get::<Health>(a)?.points, 2);
    /// assert_eq!(report.refusals[0].to_string(), format!("patches[1]: entity {b} has no component `Health`"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply_patches(&mut self, patches: &PatchBuffer) -> PatchReport {
        let mut report = PatchReport::default();
        let mut patcher = std::mem::take(&mut self.patcher);
        let source = Source { all: std::slice::from_ref(patches), current: 0, mapping: None, buffer: 0 };
        patcher.apply(self, &source, 0..patches.bytes().len(), &mut 0, &mut report);
        patcher.flush(self, &source);
        self.patcher = patcher;
        report
    }

    /// Applies the patches in bytes that came from elsewhere.
    ///
    /// # Errors
    /// [`PatchDecodeError`] if they are no records; nothing is applied then.
    pub fn apply_patch_bytes(&mut self, bytes: &[u8]) -> Result<PatchReport, PatchDecodeError> {
        Ok(self.apply_patches(&PatchBuffer::from_bytes(bytes)?))
    }
}
