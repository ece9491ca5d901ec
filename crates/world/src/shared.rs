//! What schedulers reach while several systems work on one world: raw columns of chunks, and resources.
//!
//! Everything here leaves the question of who may touch what to the plan: each function that gives access is `unsafe`,
//! or gives a pointer.

use std::ops::Range;

use peristyle_layout::{Entity, Scalar};

use crate::{
    columnar::Columnar,
    component::{Columns, Component, ComponentId, SlicesMutOf, SlicesOf},
    error::WorldError,
    query::{At, QueryState},
    resources::{ColumnResource, ResourceId},
    table::{Table, TableId},
    track::Consumer,
    world::World,
};

/// One chunk of one table. Valid until the world's structure changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRef {
    pub(crate) table: TableId,
    pub(crate) position: u32,
    rows: u32,
}

impl ChunkRef {
    pub(crate) fn new(id: TableId, table: &Table, position: usize) -> ChunkRef {
        ChunkRef { table: id, position: position as u32, rows: table.chunk_rows(position) as u32 }
    }

    /// Rows in use.
    #[inline]
    pub fn rows(self) -> usize {
        self.rows as usize
    }

    /// The table's number.
    pub fn table_index(self) -> u32 {
        self.table.0
    }

    #[inline]
    pub(crate) fn at(self, world: &World) -> At<'_> {
        let table = world.tables.table(self.table);
        At { table, chunk: world.tables.chunk_at(table, self.position as usize) }
    }
}

/// A column of a chunk, from the row at which it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct LentColumn {
    /// The first element.
    pub ptr: *mut u8,
    /// The elements' type.
    pub scalar: Scalar,
}

/// A world that systems share while its structure stands still.
#[derive(Clone, Copy)]
pub struct SharedWorld<'w>(&'w World);

impl<'w> SharedWorld<'w> {
    /// Shares a world.
    pub fn new(world: &'w World) -> SharedWorld<'w> {
        SharedWorld(world)
    }

    /// The world. Reading components or resources through it is only right where nobody writes them.
    pub fn world(self) -> &'w World {
        self.0
    }

    /// The scalar columns of a component in a chunk, from `row` on; none if the table has no such component or it is
    /// opaque.
    pub fn columns(self, chunk: ChunkRef, component: ComponentId, row: usize) -> impl Iterator<Item = LentColumn> + 'w {
        let At { table, chunk } = chunk.at(self.0);
        let fields = table.column(component).map_or(&[][..], |column| table.fields(column));
        fields.iter().map(move |field| LentColumn { ptr: table.element(chunk, field, row), scalar: field.scalar })
    }

    /// The entity indices of a chunk, from `row` on.
    pub fn eids(self, chunk: ChunkRef, row: usize) -> *const u32 {
        chunk.at(self.0).chunk.eids().wrapping_add(row)
    }

    /// Writes the handles of a chunk's entities to `out`, row by row, as the integers that entity-valued columns hold.
    ///
    /// # Panics
    /// If `out` is not as long as the chunk has rows.
    pub fn copy_handles(self, chunk: ChunkRef, out: &mut [f64]) {
        assert_eq!(out.len(), chunk.rows(), "one handle a row");
        let eids = chunk.at(self.0).chunk.eids();
        for (row, out) in out.iter_mut().enumerate() {
            // SAFETY: the row is in use, and entity indices are written through `&mut World` only.
            let index = unsafe { eids.add(row).read() };
            *out = self.0.entities.handle(index).to_f64();
        }
    }

    /// The live bits of a component in a chunk, from `row`, a multiple of 64, on.
    pub fn live_bits(self, chunk: ChunkRef, component: ComponentId, row: usize) -> Option<*mut u64> {
        let At { table, chunk } = chunk.at(self.0);
        Some(table.bitset(chunk, Some(table.column(component)?)).wrapping_add(row / 64))
    }

    /// The despawn bits of a chunk, from `row`, a multiple of 64, on.
    pub fn despawn_bits(self, chunk: ChunkRef, row: usize) -> *mut u64 {
        let At { table, chunk } = chunk.at(self.0);
        table.bitset(chunk, None).wrapping_add(row / 64)
    }

    /// Publishes the live bits of `rows` to every other consumer, and zeroes them.
    ///
    /// # Safety
    /// The caller leased these rows of the component to write, and nobody touches their live bits any more.
    pub unsafe fn settle(self, chunk: ChunkRef, component: ComponentId, rows: Range<usize>, writer: Consumer) {
        let At { table, chunk } = chunk.at(self.0);
        if let Some(column) = table.column(component) {
            // SAFETY: the caller's duty.
            unsafe { table.settle(chunk, column, rows, Some(writer)) };
        }
    }

    /// Records that run `sequence` of a system wrote a component of a chunk.
    pub fn set_version(self, chunk: ChunkRef, component: ComponentId, sequence: u64) {
        let At { table, chunk } = chunk.at(self.0);
        if let Some(column) = table.column(component) {
            table.set_version(chunk, column, sequence);
        }
    }

    /// The number of the last run of a system that wrote a component of a chunk; 0 if none did.
    pub fn version(self, chunk: ChunkRef, component: ComponentId) -> u64 {
        let At { table, chunk } = chunk.at(self.0);
        table.column(component).map_or(0, |column| table.version(chunk, column))
    }

    /// Copies a query's pending bits of `rows`, which start on a multiple of 64, to `out`.
    pub fn copy_pending(self, query: &QueryState, chunk: ChunkRef, rows: Range<usize>, out: &mut [u64]) {
        query.copy_pending(self.0, chunk, rows, out);
    }

    /// The handle of a living index.
    pub fn entity(self, index: u32) -> Entity {
        self.0.entity(index)
    }

    /// A resource, to read.
    ///
    /// # Safety
    /// Nobody has it to write during `'w`.
    pub unsafe fn resource<R: Send + Sync + 'static>(self) -> Option<&'w R> {
        // SAFETY: the caller's duty.
        unsafe { self.0.resources.get_unchecked() }
    }

    /// A resource, to write.
    ///
    /// # Safety
    /// Nobody else has it during `'w`.
    pub unsafe fn resource_mut<R: Send + Sync + 'static>(self) -> Option<&'w mut R> {
        // SAFETY: the caller's duty.
        unsafe { self.0.resources.get_mut_unchecked() }
    }

    /// Columns that the world has once, to read.
    ///
    /// # Safety
    /// Nobody writes them during `'w`.
    pub unsafe fn resource_columns<C: Component<Storage = Columns<C>> + Columnar>(self) -> Option<SlicesOf<'w, C>> {
        let columns = self.0.resources.columns_of::<C>()?;
        // SAFETY: the columns are `C`'s; the caller answers for access.
        Some(unsafe { C::slices(columns.base(), 0..columns.rows()) })
    }

    /// Columns that the world has once, to write.
    ///
    /// # Safety
    /// Nobody else touches them during `'w`.
    pub unsafe fn resource_columns_mut<C: Component<Storage = Columns<C>> + Columnar>(
        self,
    ) -> Option<SlicesMutOf<'w, C>> {
        let columns = self.0.resources.columns_of::<C>()?;
        // SAFETY: as above.
        Some(unsafe { C::slices_mut(columns.base(), 0..columns.rows()) })
    }

    /// Columns that the world has once.
    pub fn column_resource(self, id: ResourceId) -> Option<&'w ColumnResource> {
        self.0.resources.columns(id)
    }
}

impl World {
    /// The number under which plans know a resource's type.
    pub fn resource_id<R: Send + Sync + 'static>(&mut self) -> ResourceId {
        self.resources.register::<R>()
    }

    /// The number under which plans know columns of that name.
    pub fn column_resource_id(&mut self, name: &str) -> ResourceId {
        self.resources.register_columns(name)
    }

    /// The name of a resource.
    ///
    /// # Panics
    /// If the number is another world's.
    pub fn resource_name(&self, id: ResourceId) -> &str {
        self.resources.name(id)
    }

    /// Despawns the rows whose despawn bits are set, in the tables of a query. Gives how many there were.
    ///
    /// Bits stand for rows, and despawning moves rows: where several queries had bits set, use
    /// [`World::despawn_marked_rows_of`] for all at once.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`] if an observer's command failed.
    pub fn despawn_marked_rows(&mut self, query: &QueryState) -> Result<usize, WorldError> {
        self.despawn_marked_rows_of([query])
    }

    /// Despawns the rows whose despawn bits are set, in the tables of some queries. Gives how many there were; a row that
    /// several queries have counts once.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`] if an observer's command failed.
    pub fn despawn_marked_rows_of<'q>(
        &mut self,
        queries: impl IntoIterator<Item = &'q QueryState>,
    ) -> Result<usize, WorldError> {
        self.despawn_marked(queries.into_iter().flat_map(|query| query.tables().iter().copied()))
    }
}
