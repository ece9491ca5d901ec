//! Parents and children. Despawning an entity despawns its children.

use peristyle_derive::Component;
use peristyle_layout::Entity;

use crate::{error::WorldError, world::World};

/// The entity's parent. Only [`World::set_parent`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Component)]
pub struct Parent(Option<Entity>);

/// The entity's children, in the order in which they came. Only [`World::set_parent`] makes it.
#[derive(Debug, Default, Component)]
#[component(opaque)]
pub struct Children(Vec<Entity>);

impl World {
    /// Makes `child` a child of `parent`, or of nobody.
    ///
    /// # Errors
    /// [`WorldError::Stale`] if one of them does not live, [`WorldError::Cycle`] if `child` is `parent` or an ancestor of
    /// it, [`WorldError::OutOfMemory`].
    pub fn set_parent(&mut self, child: Entity, parent: Option<Entity>) -> Result<(), WorldError> {
        self.entities.place(child)?;
        if let Some(parent) = parent {
            self.entities.place(parent)?;
            let mut ancestor = Some(parent);
            while let Some(current) = ancestor {
                if current == child {
                    return Err(WorldError::Cycle { child, parent });
                }
                ancestor = self.parent(current);
            }
        }
        let Some(parent) = parent else {
            self.leave_parent(child);
            return match self.remove::<Parent>(child) {
                Ok(()) | Err(WorldError::Missing { .. }) => Ok(()),
                Err(error) => Err(error),
            };
        };
        // What may fail comes first, so that a failure leaves both lists as they were.
        self.children = Some(self.register::<Children>());
        if !self.has::<Children>(parent) {
            self.insert(parent, Children::default())?;
        }
        let old = self.parent(child);
        self.insert(child, Parent(Some(parent)))?;
        self.forget_child(old, child);
        self.get_mut::<Children>(parent)?.0.push(child);
        Ok(())
    }

    /// The entity's parent, if it lives and has one.
    pub fn parent(&self, child: Entity) -> Option<Entity> {
        self.get::<Parent>(child).ok().and_then(|parent| parent.0)
    }

    /// The entity's children, in the order in which they came.
    pub fn children(&self, parent: Entity) -> &[Entity] {
        self.get::<Children>(parent).map_or(&[], |children| &children.0)
    }

    /// Takes an entity from its parent's list.
    pub(crate) fn leave_parent(&mut self, child: Entity) {
        self.forget_child(self.parent(child), child);
    }

    fn forget_child(&mut self, parent: Option<Entity>, child: Entity) {
        // A parent without a list is being despawned, and its list was taken.
        if let Some(Ok(children)) = parent.map(|parent| self.get_mut::<Children>(parent)) {
            children.0.retain(|other| *other != child);
        }
    }

    /// Takes the children of an entity that is about to be despawned.
    pub(crate) fn take_children(&mut self, parent: Entity) -> Vec<Entity> {
        self.get_mut::<Children>(parent).map(|children| std::mem::take(&mut children.0)).unwrap_or_default()
    }
}
