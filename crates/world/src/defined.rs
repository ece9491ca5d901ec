//! Components by number: those defined at run time have no Rust type to be named by.
//!
//! A value is reached field by field, in the order in which the fields were defined. Everything here works on columnar
//! components that have a Rust type too.

use peristyle_layout::Entity;
use peristyle_memory::Element;

use crate::{
    component::ComponentId,
    entities::Place,
    error::WorldError,
    put::Addition,
    world::{BundleInfo, Located, Spawned, World},
};

/// A component whose columns are zero.
struct Zeroed(ComponentId);

// SAFETY: the component's columns are all that a columnar component has.
unsafe impl Addition for Zeroed {
    fn number(&self) -> u32 {
        // Bundles are numbered from below, single components from above.
        !self.0.0
    }
    fn components<'w>(&'w self, _: &'w [BundleInfo]) -> &'w [ComponentId] {
        std::slice::from_ref(&self.0)
    }
    unsafe fn write(self, world: &World, place: Place) {
        let (chunk, row) = (world.tables.chunk(place.chunk), place.row as usize);
        let table = world.tables.table(chunk.table);
        let column = table.column(self.0).expect("the table has the component");
        // SAFETY: the caller's duty.
        unsafe { table.zero(chunk, column, row..row + 1) };
    }
}

impl World {
    /// Spawns `count` entities with the given components, whose columns are zero.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`]; nothing is spawned then.
    ///
    /// # Panics
    /// If a component is opaque or named twice.
    pub fn spawn_ids(&mut self, components: &[ComponentId], count: usize) -> Result<Spawned<'_>, WorldError> {
        let mut sorted = components.to_vec();
        sorted.sort_unstable();
        assert!(sorted.is_sorted_by(|a, b| a < b), "a component is named twice");
        sorted.iter().for_each(|component| self.assert_columnar(*component));
        let known = &self.components;
        let id = self.tables.find(&sorted, |id| known.info(id).clone());
        self.spawn_rows(id, count)
    }

    /// Gives an entity a component, whose columns are zero. Does nothing if it has it.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::OutOfMemory`].
    ///
    /// # Panics
    /// If the component is opaque.
    pub fn insert_id(&mut self, entity: Entity, component: ComponentId) -> Result<(), WorldError> {
        self.assert_columnar(component);
        if self.find(entity, component).is_some() {
            return Ok(());
        }
        self.put(entity, Zeroed(component))
    }

    /// Takes a component from an entity.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`], [`WorldError::OutOfMemory`].
    pub fn remove_id(&mut self, entity: Entity, component: ComponentId) -> Result<(), WorldError> {
        let name = self.components.info(component).shared_name();
        self.remove_found(entity, Some(component), &name)
    }

    /// Whether the entity lives and has the component.
    pub fn has_id(&self, entity: Entity, component: ComponentId) -> bool {
        self.find(entity, component).is_some()
    }

    /// One field of an entity's component.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    ///
    /// # Panics
    /// If there is no such field or it is not of type `T`.
    pub fn get_field<T: Element>(&self, entity: Entity, component: ComponentId, field: usize) -> Result<T, WorldError> {
        let (_, element) = self.field::<T>(entity, component, field)?;
        // SAFETY: the row is in use, and `&self` keeps writers away.
        Ok(unsafe { element.read() })
    }

    /// Replaces one field of an entity's component. Counts as changed.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    ///
    /// # Panics
    /// If there is no such field or it is not of type `T`.
    pub fn set_field<T: Element>(
        &mut self,
        entity: Entity,
        component: ComponentId,
        field: usize,
        value: T,
    ) -> Result<(), WorldError> {
        let (at, element) = self.field::<T>(entity, component, field)?;
        at.mark(None);
        // SAFETY: the row is in use, and `&mut self` keeps everybody else away.
        unsafe { element.write(value) };
        Ok(())
    }

    fn field<T: Element>(
        &self,
        entity: Entity,
        component: ComponentId,
        field: usize,
    ) -> Result<(Located<'_>, *mut T), WorldError> {
        let info = self.components.info(component);
        let Some(at) = self.find(entity, component) else { return Err(self.why_not(entity, info.name())) };
        let scalar = info.fields()[field].scalar;
        assert_eq!(scalar, T::SCALAR, "field {field} of component `{}`", info.name());
        let element = at.table.element(at.chunk, &at.table.fields(at.column)[field], at.row).cast();
        Ok((at, element))
    }

    fn assert_columnar(&self, component: ComponentId) {
        let info = self.components.info(component);
        assert!(info.is_columnar(), "component `{}` is opaque: only Rust makes its values", info.name());
    }
}
