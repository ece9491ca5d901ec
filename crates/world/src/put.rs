//! Giving an entity components: the one way in which bundles, single components by number and patches do it.
//!
//! What differs is an [`Addition`]: which components, and how their values are written. Where the row goes, what is
//! marked and who is told is the same for all.

use peristyle_layout::Entity;

use crate::{
    component::ComponentId,
    entities::Place,
    error::WorldError,
    world::{BundleInfo, World},
};

/// Components and their values, for one entity.
///
/// # Safety
/// `write` writes every component that `components` names, and nothing else.
pub(crate) unsafe trait Addition {
    /// Under which tables remember where it leads: a bundle's number, or a component's from above.
    fn number(&self) -> u32;

    /// The components; `bundles` are the world's.
    fn components<'w>(&'w self, bundles: &'w [BundleInfo]) -> &'w [ComponentId];

    /// Writes the values.
    ///
    /// # Safety
    /// The row is in use, its table has the components, and holds no values of them: they were dropped or never were.
    /// Nobody else touches the row.
    unsafe fn write(self, world: &World, place: Place);
}

impl World {
    /// Gives an entity components, or replaces the values of those that it has.
    #[inline]
    pub(crate) fn put<A: Addition>(&mut self, entity: Entity, addition: A) -> Result<(), WorldError> {
        let from = self.entities.place(entity)?;
        let from_table = self.tables.chunk(from.chunk).table;
        let (known, added) = (&self.components, addition.components(&self.bundles));
        let to_table = self.tables.with(from_table, addition.number(), added, |id| known.info(id).clone());
        if from_table != to_table && !self.tables.has_room(to_table) {
            self.tables.reserve(to_table, 1)?;
        }
        // Values that are replaced go first, so that every value is written to a free place.
        let (chunk, table) = (self.tables.chunk(from.chunk), self.tables.table(from_table));
        let replaced = addition.components(&self.bundles).iter().filter_map(|component| table.column(*component));
        for column in replaced {
            // SAFETY: the row is in use, and the value is written again below.
            unsafe { self.tables.drop_value(chunk, column, from.row as usize) };
            table.mark_row(column, chunk.position, from.row as usize, None);
        }
        let place = if from_table == to_table { from } else { self.move_to(entity.index(), from, to_table) };
        let is_observed = from_table != to_table && self.is_observed(to_table);
        let added: Option<Vec<_>> = is_observed.then(|| {
            let had = self.tables.table(from_table);
            let components = addition.components(&self.bundles).iter().copied();
            components.filter(|id| had.column(*id).is_none()).collect()
        });
        // SAFETY: the row is in use and exclusively ours, and its values of these components were dropped or never were.
        unsafe { addition.write(self, place) };
        if let Some(added) = added {
            self.notify_added(&added, entity);
            self.flush_observers()?;
        }
        Ok(())
    }
}
