//! Access by component number for those who copy columns out of the world: publishers of mirrors, exporters.
//!
//! # Not here
//! Writing. What comes in from outside goes through commands, patches and `set_field`.

use std::slice;

use peristyle_layout::{Entity, Scalar};

use crate::{
    component::ComponentId,
    query::{At, QueryState},
    removed::FellBehind,
    shared::{ChunkRef, LentColumn, SharedWorld},
    world::World,
};

/// A column of a chunk, or part of one, by type. A `bool` column is bytes, of which any but 0 is true.
#[derive(Debug, Clone, Copy)]
pub enum ColumnSlice<'w> {
    /// `f32`.
    F32(&'w [f32]),
    /// `f64`.
    F64(&'w [f64]),
    /// `i8`.
    I8(&'w [i8]),
    /// `u8`.
    U8(&'w [u8]),
    /// `i16`.
    I16(&'w [i16]),
    /// `u16`.
    U16(&'w [u16]),
    /// `i32`.
    I32(&'w [i32]),
    /// `u32`.
    U32(&'w [u32]),
    /// `i64`.
    I64(&'w [i64]),
    /// `u64`.
    U64(&'w [u64]),
    /// `bool`.
    Bool(&'w [u8]),
}

/// Where a living entity's row is. Valid until the world's structure changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef {
    /// Its chunk.
    pub chunk: ChunkRef,
    /// Its row there.
    pub row: usize,
}

/// The right to read columns of some components, for as long as nobody writes them.
#[derive(Clone, Copy)]
pub struct ColumnReader<'w> {
    world: SharedWorld<'w>,
    /// Ascending; all components if none.
    only: Option<&'w [ComponentId]>,
}

impl<'w> ColumnReader<'w> {
    /// Reads all columns of a world that nobody else has.
    pub fn new(world: &'w mut World) -> ColumnReader<'w> {
        ColumnReader { world: SharedWorld::new(world), only: None }
    }

    /// Reads columns of the components in `only`, which ascend.
    ///
    /// # Safety
    /// Nobody writes these components during `'w`, and the world's structure stands still.
    pub unsafe fn shared(world: SharedWorld<'w>, only: &'w [ComponentId]) -> ColumnReader<'w> {
        ColumnReader { world, only: Some(only) }
    }

    /// The world, without its columns.
    pub fn world(self) -> SharedWorld<'w> {
        self.world
    }

    /// The scalar columns of a component in a chunk; none if the table has no such component or it is opaque.
    ///
    /// # Panics
    /// If the component is not among those to be read.
    pub fn columns(self, chunk: ChunkRef, component: ComponentId) -> impl Iterator<Item = ColumnSlice<'w>> + 'w {
        let declared = self.only.is_none_or(|only| only.binary_search(&component).is_ok());
        assert!(declared, "component {component} was not declared to be read");
        // SAFETY: nobody writes what was declared, by `shared`'s duty; or the world is borrowed exclusively.
        unsafe { self.world.column_slices(chunk, component) }
    }
}

impl<'w> SharedWorld<'w> {
    /// Where an entity's row is; none if it does not live.
    #[inline]
    pub fn row_of(self, entity: Entity) -> Option<RowRef> {
        let (table, position, row) = self.world().place_of(entity)?;
        Some(RowRef { chunk: ChunkRef::new(table.id, table, position), row })
    }

    /// The components of a chunk's table, ascending.
    pub fn components_of(self, chunk: ChunkRef) -> &'w [ComponentId] {
        chunk.at(self.world()).table.components()
    }

    /// The entity indices of a chunk's rows.
    pub fn indices(self, chunk: ChunkRef) -> &'w [u32] {
        // SAFETY: a chunk's indices are initialised up to its rows, and change only with the world's structure, which stands
        // still while the world is shared.
        unsafe { slice::from_raw_parts(self.eids(chunk, 0), chunk.rows()) }
    }

    /// The scalar columns of a component in a chunk; none if the table has no such component or it is opaque.
    ///
    /// # Safety
    /// Nobody writes the component during `'w`.
    pub unsafe fn column_slices(
        self,
        chunk: ChunkRef,
        component: ComponentId,
    ) -> impl Iterator<Item = ColumnSlice<'w>> + 'w {
        let rows = chunk.rows();
        self.columns(chunk, component, 0).map(move |LentColumn { ptr, scalar }| {
            macro_rules! typed {
                ($($scalar:ident),*) => {
                    match scalar {
                        // SAFETY: a column has `rows` initialised elements of its scalar, aligned; the caller answers for
                        // writers.
                        $(Scalar::$scalar => ColumnSlice::$scalar(unsafe { slice::from_raw_parts(ptr.cast(), rows) }),)*
                    }
                };
            }
            typed!(F32, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool)
        })
    }
}

impl QueryState {
    /// Calls `f` with each word of pending bits of a chunk that is not zero, and its number: bit `i` is row
    /// `64 * word + i`. For queries with a row filter.
    pub fn for_each_pending(&self, world: &World, chunk: ChunkRef, f: impl FnMut(usize, u64)) {
        let at: At<'_> = chunk.at(world);
        self.for_each_pending_word(at, &(0..chunk.rows()), f);
    }
}

/// A place in the log of removals of a component. See [`World::removals_of`].
#[derive(Debug, Clone)]
pub struct RemovalsOf {
    component: ComponentId,
    next: u64,
}

impl World {
    /// Starts to read removals of a component, from now on.
    pub fn removals_of(&mut self, component: ComponentId) -> RemovalsOf {
        RemovalsOf { component, next: self.removed.follow(component) }
    }
}

impl RemovalsOf {
    /// Calls `f` with each entity that lost the component since the last call, despawned ones included, oldest first.
    ///
    /// # Errors
    /// [`FellBehind`] if the log has forgotten some; `f` is not called then, and the next call goes on with the oldest
    /// that is remembered.
    pub fn read(&mut self, world: &World, f: impl FnMut(Entity)) -> Result<(), FellBehind> {
        world.removed.read(self.component, &mut self.next, f)
    }
}
