//! Why an operation on a world failed.

use peristyle_layout::Entity;
use peristyle_memory::OutOfMemory;

/// Why an operation on a world failed. The world is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The entity was despawned, or never was.
    #[error("entity {0} does not live (any more)")]
    Stale(Entity),
    /// A command made the handle, and commands have not been merged yet.
    #[error("entity {0} is provisional until commands are merged")]
    Provisional(Entity),
    /// The entity has no such component.
    #[error("entity {entity} has no component `{component}`")]
    Missing {
        /// The entity.
        entity: Entity,
        /// The component's name.
        component: String,
    },
    /// The world's memory is used up.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// All 2^31 indices are in use.
    #[error("no entity index is left: 2^31 are in use or retired")]
    EntitiesExhausted,
    /// A tick has begun and not ended.
    #[error("a tick is running: end it before the next begins")]
    NestedTick,
    /// No tick has begun.
    #[error("no tick is running")]
    NoTick,
    /// There is no such resource.
    #[error("the world has no resource `{0}`")]
    NoResource(String),
    /// An entity cannot be its own ancestor.
    #[error("entity {child} is an ancestor of {parent}: it cannot become its child")]
    Cycle {
        /// The entity that was to become a child.
        child: Entity,
        /// The entity that was to become its parent.
        parent: Entity,
    },
}
