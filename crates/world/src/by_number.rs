//! Tables, chunks and rows by number, for hosts that know nothing else: JavaScript keeps views of chunks by their number,
//! and moves entities between tables that it found once.
//!
//! # Rules
//! - Everything made here has zero columns.
//! - Numbers of chunks are used again; [`World::layout_version`] says when what was known of them no longer holds.

use std::ops::Range;

use peristyle_layout::{Entity, chunk::CHUNK_ROWS};

use crate::{
    component::{ComponentId, ComponentInfo},
    entities::Place,
    error::WorldError,
    resources::ResourceId,
    shared::{ChunkRef, SharedWorld},
    table::TableId,
    world::{Spawned, World},
};

impl World {
    /// The component of that number.
    pub fn component_at(&self, index: u32) -> Option<&ComponentInfo> {
        self.components.iter().nth(index as usize)
    }

    /// The columns that the world has once and that have that number.
    pub fn column_resource_at(&self, index: u32) -> Option<ResourceId> {
        let id = ResourceId(index);
        self.resources.columns(id).map(|_| id)
    }

    /// The table of exactly these components, made if it is new.
    ///
    /// # Panics
    /// If a component is named twice.
    pub fn table_of_components(&mut self, components: &[ComponentId]) -> TableId {
        let mut sorted = components.to_vec();
        sorted.sort_unstable();
        assert!(sorted.is_sorted_by(|a, b| a < b), "a component is named twice");
        let known = &self.components;
        self.tables.find(&sorted, |id| known.info(id).clone())
    }

    /// The table of that number.
    pub fn table_at(&self, index: u32) -> Option<TableId> {
        ((index as usize) < self.tables.len()).then_some(TableId(index))
    }

    /// A table's components, ascending.
    pub fn components_of_table(&self, table: TableId) -> &[ComponentId] {
        self.tables.table(table).components()
    }

    /// Whether all components of a table lie in columns.
    pub fn is_columnar_table(&self, table: TableId) -> bool {
        self.tables.table(table).is_columnar()
    }

    /// Makes room for `rows` more rows, so that spawning them allocates nothing.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`].
    pub fn reserve_rows(&mut self, table: TableId, rows: usize) -> Result<(), WorldError> {
        self.entities.reserve(rows)?;
        Ok(self.tables.reserve(table, rows)?)
    }

    /// Spawns an entity whose columns are zero.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`].
    ///
    /// # Panics
    /// If a component of the table is opaque.
    pub fn spawn_row(&mut self, table: TableId) -> Result<(Entity, Place), WorldError> {
        let of = self.tables.table(table);
        assert!(of.is_columnar(), "only Rust makes values of opaque components");
        if !self.tables.has_room(table) {
            self.tables.reserve(table, 1)?;
        }
        let first = self.tables.table(table).rows();
        let chunk = self.tables.table(table).chunk_id(first / CHUNK_ROWS);
        let place = Place { chunk, row: (first % CHUNK_ROWS) as u32 };
        let entity = self.entities.allocate(place)?;
        self.tables.push_rows(table, 1);
        let (at, row) = (self.tables.chunk(chunk), place.row as usize);
        // SAFETY: the row is new and below the chunk's capacity, and `self` is borrowed mutably.
        unsafe {
            self.tables.table(table).zero_row(at, row);
            at.eids().add(row).write(entity.index());
        }
        self.tables.mark_added(table, first..first + 1);
        if self.is_observed(table) {
            let components: Box<[ComponentId]> = self.tables.table(table).components().into();
            self.notify_added(&components, entity);
            self.flush_observers()?;
        }
        Ok((entity, place))
    }

    /// Spawns `count` entities whose columns are zero, in consecutive rows.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`]; nothing is spawned then.
    ///
    /// # Panics
    /// If a component of the table is opaque.
    pub fn spawn_rows(&mut self, table: TableId, count: usize) -> Result<Spawned<'_>, WorldError> {
        assert!(self.is_columnar_table(table), "only Rust makes values of opaque components");
        if self.entities.room() < count {
            return Err(WorldError::EntitiesExhausted);
        }
        self.entities.reserve(count)?;
        self.tables.reserve(table, count)?;
        let first_row = self.tables.table(table).rows();
        let mut done = 0;
        while done < count {
            let at = first_row + done;
            let (of, start) = (self.tables.table(table), at % CHUNK_ROWS);
            let chunk = of.chunk_id(at / CHUNK_ROWS);
            let rows = start..start + (CHUNK_ROWS - start).min(count - done);
            for column in 0..of.components().len() {
                // SAFETY: the rows are new and below the chunk's capacity.
                unsafe { of.zero(self.tables.chunk(chunk), column, rows.clone()) };
            }
            done += rows.len();
            self.name_rows(table, chunk, rows);
        }
        self.spawned(table, first_row, Ok(()))
    }

    /// Rows in use of a table.
    pub fn rows_of_table(&self, table: TableId) -> usize {
        self.tables.table(table).rows()
    }

    /// Where a row of a table is, counted from the table's first.
    ///
    /// # Panics
    /// If the table has no room for it.
    pub fn place_of_row(&self, table: TableId, row: usize) -> Place {
        Place { chunk: self.tables.table(table).chunk_id(row / CHUNK_ROWS), row: (row % CHUNK_ROWS) as u32 }
    }

    /// Where the records of all indices lie, 8 bytes each with the generation in the upper 20 bits: for hosts that share
    /// the heap. Valid until entities are spawned.
    pub fn entity_records(&self) -> *const u64 {
        self.entities.records()
    }

    /// How many records there are.
    pub fn entity_record_count(&self) -> usize {
        self.entities.record_count()
    }

    /// The handle of a living entity, by its index.
    pub fn entity_at_index(&self, index: u32) -> Option<Entity> {
        self.entities.living(index)
    }

    /// Where an entity's row is.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Provisional`].
    #[inline]
    pub fn place(&self, entity: Entity) -> Result<Place, WorldError> {
        self.entities.place(entity)
    }

    /// The table of an entity.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Provisional`].
    pub fn table_of_entity(&self, entity: Entity) -> Result<TableId, WorldError> {
        Ok(self.tables.chunk(self.entities.place(entity)?.chunk).table)
    }

    /// Moves an entity to another table. Components that it did not have are zero, those that the table lacks are gone.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::OutOfMemory`].
    ///
    /// # Panics
    /// If a component that it did not have is opaque.
    pub fn relocate(&mut self, entity: Entity, table: TableId) -> Result<Place, WorldError> {
        let from = self.entities.place(entity)?;
        let from_table = self.tables.chunk(from.chunk).table;
        if from_table == table {
            return Ok(from);
        }
        // Both lists of components are short and sorted; going through them again and again costs less than a list of those
        // that come or go, which needs the heap.
        let has = self.tables.table(table);
        for component in has.components() {
            if !has.is_columnar() && self.tables.table(from_table).column(*component).is_none() {
                let info = self.components.info(*component);
                assert!(info.is_columnar(), "component `{}` is opaque: only Rust makes its values", info.name());
            }
        }
        if !self.tables.has_room(table) {
            self.tables.reserve(table, 1)?;
        }
        if self.is_observed(from_table) {
            self.notify_removed(&self.tables.missing(from_table, table), entity);
        }
        let (had, has) = (self.tables.table(from_table), self.tables.table(table));
        for (column, component) in had.components().iter().enumerate() {
            if has.column(*component).is_none() {
                // SAFETY: the row is in use and removed below; its other values move first.
                unsafe { self.tables.drop_value(self.tables.chunk(from.chunk), column, from.row as usize) };
                self.removed.push(*component, entity);
            }
        }
        let place = self.move_to(entity.index(), from, table);
        let (had, has) = (self.tables.table(from_table), self.tables.table(table));
        let (chunk, row) = (self.tables.chunk(place.chunk), place.row as usize);
        for (column, component) in has.components().iter().enumerate() {
            if had.column(*component).is_none() {
                // SAFETY: the row is in use and exclusively ours.
                unsafe { has.zero_value(chunk, column, row) };
            }
        }
        if self.is_observed(table) {
            self.notify_added(&self.tables.missing(table, from_table), entity);
        }
        self.flush_observers()?;
        self.entities.place(entity)
    }

    /// The chunk of that number, if there is one.
    #[inline]
    pub fn chunk_at(&self, number: u32) -> Option<ChunkRef> {
        let chunk = self.tables.get_chunk(number)?;
        Some(ChunkRef::new(chunk.table, self.tables.table(chunk.table), chunk.position))
    }

    /// The number of a chunk.
    pub fn chunk_number(&self, chunk: ChunkRef) -> u32 {
        self.tables.table(chunk.table).chunk_id(chunk.position as usize)
    }

    /// Rows that a chunk has room for.
    pub fn chunk_capacity(&self, chunk: ChunkRef) -> usize {
        chunk.at(self).chunk.capacity
    }

    /// Changes, one up, whenever a chunk is replaced (a table's first, until it is full-sized) or released: what was known
    /// of any chunk by its number must be asked for again. New chunks do not change it, so growth of a full table does
    /// not.
    pub fn layout_version(&self) -> u32 {
        self.tables.layout_version
    }

    /// Counts rows of a component as changed. Does nothing if the chunk has no such component.
    ///
    /// # Panics
    /// If the rows are not all in the chunk.
    pub fn mark_rows(&mut self, chunk: ChunkRef, component: ComponentId, rows: Range<usize>) {
        let at = chunk.at(self);
        assert!(rows.end <= at.table.chunk_rows(at.chunk.position), "rows in use are marked");
        if let Some(column) = at.table.column(component)
            && !rows.is_empty()
        {
            at.table.mark(column, at.chunk.position, rows, None);
        }
    }
}

impl SharedWorld<'_> {
    /// The chunk of that number, if there is one.
    pub fn chunk_at(self, number: u32) -> Option<ChunkRef> {
        self.world().chunk_at(number)
    }
}
