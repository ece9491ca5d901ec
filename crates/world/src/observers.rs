//! Hooks and observers: functions called when a component is added to or removed from an entity.
//!
//! They see the world as it is (after an addition, before a removal) and record commands, which are carried out when the
//! operation that called them is done.

use std::sync::Arc;

use peristyle_layout::Entity;

use crate::{
    commands::CommandBuffer,
    component::{Component, ComponentId},
    error::WorldError,
    table::TableId,
    world::World,
};

/// Called with the world, the entity, and a buffer for what is to be done about it.
pub type Observer = dyn Fn(&World, Entity, &mut CommandBuffer) + Send + Sync;

#[derive(Default)]
struct PerComponent {
    on_add: Vec<Arc<Observer>>,
    on_remove: Vec<Arc<Observer>>,
}

/// The observers of one world.
pub(crate) struct Observers {
    by_component: Vec<PerComponent>,
    deferred: CommandBuffer,
    flushing: bool,
}

impl Default for Observers {
    fn default() -> Observers {
        Observers { by_component: Vec::new(), deferred: CommandBuffer::of_observers(), flushing: false }
    }
}

impl Observers {
    fn of(&self, component: ComponentId) -> Option<&PerComponent> {
        self.by_component.get(component.0 as usize)
    }

    fn of_mut(&mut self, component: ComponentId) -> &mut PerComponent {
        let index = component.0 as usize;
        if self.by_component.len() <= index {
            self.by_component.resize_with(index + 1, PerComponent::default);
        }
        &mut self.by_component[index]
    }
}

impl World {
    /// Calls `observer` after a `C` was added to an entity, be it by spawning. A replaced value is no addition.
    pub fn on_add<C: Component>(
        &mut self,
        observer: impl Fn(&World, Entity, &mut CommandBuffer) + Send + Sync + 'static,
    ) {
        let component = self.register::<C>();
        self.observers.of_mut(component).on_add.push(Arc::new(observer));
    }

    /// Calls `observer` before a `C` is removed from an entity, be it by despawning; the value can still be read.
    pub fn on_remove<C: Component>(
        &mut self,
        observer: impl Fn(&World, Entity, &mut CommandBuffer) + Send + Sync + 'static,
    ) {
        let component = self.register::<C>();
        self.observers.of_mut(component).on_remove.push(Arc::new(observer));
    }

    /// Whether any component of a table is observed.
    #[inline]
    pub(crate) fn is_observed(&self, table: TableId) -> bool {
        !self.observers.by_component.is_empty()
            && self.tables.table(table).components().iter().any(|component| self.observers.of(*component).is_some())
    }

    pub(crate) fn notify_added(&mut self, components: &[ComponentId], entity: Entity) {
        self.notify(components, entity, |observers| &observers.on_add);
    }

    pub(crate) fn notify_removed(&mut self, components: &[ComponentId], entity: Entity) {
        self.notify(components, entity, |observers| &observers.on_remove);
    }

    fn notify(
        &mut self,
        components: &[ComponentId],
        entity: Entity,
        which: impl Fn(&PerComponent) -> &Vec<Arc<Observer>>,
    ) {
        let mut deferred = std::mem::take(&mut self.observers.deferred);
        for component in components {
            for observer in self.observers.of(*component).map(&which).into_iter().flatten() {
                observer(self, entity, &mut deferred);
            }
        }
        self.observers.deferred = deferred;
    }

    /// Carries out what observers recorded, and what that makes them record.
    #[inline]
    pub(crate) fn flush_observers(&mut self) -> Result<(), WorldError> {
        if self.observers.flushing || self.observers.deferred.is_empty() {
            return Ok(());
        }
        self.observers.flushing = true;
        let mut first_error = None;
        while !self.observers.deferred.is_empty() {
            let mut buffer = self.observers.deferred.take();
            let merged = self.merge([&mut buffer]);
            first_error = first_error.or(merged.errors.into_iter().next());
        }
        self.observers.flushing = false;
        first_error.map_or(Ok(()), Err)
    }
}
