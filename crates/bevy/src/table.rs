//! Columns of Bevy's tables as slices.
//!
//! # Rules
//! - Who makes a [`TableAccess`] answers for access to the component in the tables that it names, as declared to Bevy's
//!   scheduler; slices live for one call.

use std::{ops::Range, panic::Location, sync::Arc};

use bevy_ecs::{
    change_detection::Tick,
    component::{Component, ComponentId, Mutable},
    storage::Table,
    world::FilteredEntityMut,
};
use peristyle_offload::{AHEAD, ColumnMut, ColumnRef, Described, OpaqueValue, prefetch};

/// One component of a table, for one call.
#[derive(Clone, Copy)]
pub(crate) struct TableAccess<'w> {
    table: &'w Table,
    component: ComponentId,
}

impl<'w> TableAccess<'w> {
    /// # Safety
    /// For as long as this lives:
    /// - `component` is that of the [`Values`] that it is given to;
    /// - nobody writes the component in this table, and if rows are scattered or marked, nobody reads it either.
    pub(crate) unsafe fn new(table: &'w Table, component: ComponentId) -> TableAccess<'w> {
        TableAccess { table, component }
    }

    /// The column's values.
    ///
    /// # Safety
    /// Its values are `C`s.
    unsafe fn values<C>(&self) -> (*mut C, usize) {
        // SAFETY: the caller's duty.
        let cells = unsafe { self.table.get_data_slice_for::<C>(self.component) };
        let cells = cells.expect("a matched table has the component");
        // A cell is laid out as what is in it, and gives it to who answers for access.
        (cells.as_ptr().cast_mut().cast(), cells.len())
    }

    /// Marks rows of a snapshot as changed, of which the table's first is `first`.
    pub(crate) fn mark(self, rows: &[u32], first: u32, tick: Tick) {
        let ticks = self.table.get_changed_ticks_slice_for(self.component).expect("a matched table has the component");
        for (at, &row) in rows.iter().enumerate() {
            if let Some(&soon) = rows.get(at + AHEAD) {
                prefetch(ticks.as_ptr().wrapping_add((soon - first) as usize));
            }
            // SAFETY: `new` was promised that nobody else has this component of this table.
            unsafe { *ticks[(row - first) as usize].get() = tick };
        }
        if let Some(summary) = self.table.get_summary_tick(self.component)
            && !rows.is_empty()
        {
            summary.set(tick);
        }
        if let Some(Some(places)) = self.table.get_changed_by_slice_for(self.component).into_option() {
            let caller = Location::caller();
            for &row in rows {
                // SAFETY: as above.
                unsafe { *places[(row - first) as usize].get() = caller };
            }
        }
    }
}

/// What is done to the values of one component, whatever its type; called for some thousand rows at once.
pub(crate) trait Values: Send + Sync {
    /// Copies rows of a table.
    fn gather(&self, field: usize, access: TableAccess<'_>, rows: Range<usize>, out: ColumnMut<'_>);
    /// Copies one entity's value.
    fn gather_one(&self, field: usize, entity: &FilteredEntityMut<'_, '_>, out: ColumnMut<'_>);
    /// Copies values of rows of a table that are described by their `serde`.
    fn values(&self, access: TableAccess<'_>, rows: Range<usize>, out: &mut [OpaqueValue]);
    /// Copies one entity's value that is described by its `serde`.
    fn value_one(&self, entity: &FilteredEntityMut<'_, '_>) -> OpaqueValue;
    /// Writes rows of a table, of which the first is row `first` of the snapshot.
    fn scatter(&self, field: usize, access: TableAccess<'_>, rows: &[u32], first: u32, column: ColumnRef<'_>);
    /// Writes one entity's value, and marks it as changed.
    fn scatter_one(&self, field: usize, entity: &mut FilteredEntityMut<'_, '_>, row: u32, column: ColumnRef<'_>);
}

const NOT_MATCHED: &str = "a matched entity has the component";

/// A component that is only read.
pub(crate) struct ReadOnly<C>(pub(crate) Described<C>);
/// A component that is written.
pub(crate) struct ReadWrite<C>(pub(crate) Arc<Described<C>>);
/// A component that is only patched: no column of it is reached.
pub(crate) struct PatchOnly;

fn gather<C: Component>(
    described: &Described<C>,
    field: usize,
    access: TableAccess<'_>,
    rows: Range<usize>,
    out: ColumnMut<'_>,
) {
    described.gather(field, &read::<C>(access)[rows], out);
}

fn values<C: Component>(
    described: &Described<C>,
    access: TableAccess<'_>,
    rows: Range<usize>,
    out: &mut [OpaqueValue],
) {
    out.iter_mut().zip(&read::<C>(access)[rows]).for_each(|(out, value)| *out = described.value(value));
}

/// The column's values, to read. `access` is to the component `C`.
fn read<'w, C: Component>(access: TableAccess<'w>) -> &'w [C] {
    // SAFETY: `new` was promised that the component is this one.
    let (values, len) = unsafe { access.values::<C>() };
    // SAFETY: the table has `len` values there, which `new` was promised nobody writes meanwhile.
    unsafe { std::slice::from_raw_parts(values, len) }
}

fn gather_one<C: Component>(
    described: &Described<C>,
    field: usize,
    entity: &FilteredEntityMut<'_, '_>,
    out: ColumnMut<'_>,
) {
    let value = entity.get::<C>().expect(NOT_MATCHED);
    described.gather(field, std::slice::from_ref(value), out);
}

fn value_one<C: Component>(described: &Described<C>, entity: &FilteredEntityMut<'_, '_>) -> OpaqueValue {
    described.value(entity.get::<C>().expect(NOT_MATCHED))
}

impl<C: Component> Values for ReadOnly<C> {
    fn gather(&self, field: usize, access: TableAccess<'_>, rows: Range<usize>, out: ColumnMut<'_>) {
        gather(&self.0, field, access, rows, out);
    }
    fn gather_one(&self, field: usize, entity: &FilteredEntityMut<'_, '_>, out: ColumnMut<'_>) {
        gather_one(&self.0, field, entity, out);
    }
    fn values(&self, access: TableAccess<'_>, rows: Range<usize>, out: &mut [OpaqueValue]) {
        values(&self.0, access, rows, out);
    }
    fn value_one(&self, entity: &FilteredEntityMut<'_, '_>) -> OpaqueValue {
        value_one(&self.0, entity)
    }
    fn scatter(&self, _: usize, _: TableAccess<'_>, _: &[u32], _: u32, _: ColumnRef<'_>) {
        unreachable!("a component that is only read is not written");
    }
    fn scatter_one(&self, _: usize, _: &mut FilteredEntityMut<'_, '_>, _: u32, _: ColumnRef<'_>) {
        unreachable!("a component that is only read is not written");
    }
}

impl<C: Component<Mutability = Mutable>> Values for ReadWrite<C> {
    fn gather(&self, field: usize, access: TableAccess<'_>, rows: Range<usize>, out: ColumnMut<'_>) {
        gather(&self.0, field, access, rows, out);
    }
    fn gather_one(&self, field: usize, entity: &FilteredEntityMut<'_, '_>, out: ColumnMut<'_>) {
        gather_one(&self.0, field, entity, out);
    }
    fn values(&self, access: TableAccess<'_>, rows: Range<usize>, out: &mut [OpaqueValue]) {
        values(&self.0, access, rows, out);
    }
    fn value_one(&self, entity: &FilteredEntityMut<'_, '_>) -> OpaqueValue {
        value_one(&self.0, entity)
    }
    fn scatter(&self, field: usize, access: TableAccess<'_>, rows: &[u32], first: u32, column: ColumnRef<'_>) {
        // SAFETY: `new` was promised that the component is this one.
        let (values, len) = unsafe { access.values::<C>() };
        // SAFETY: the table has `len` values there, which `new` was promised nobody else has meanwhile.
        let values = unsafe { std::slice::from_raw_parts_mut(values, len) };
        self.0.scatter(field, values, rows, first, column);
    }
    fn scatter_one(&self, field: usize, entity: &mut FilteredEntityMut<'_, '_>, row: u32, column: ColumnRef<'_>) {
        let mut value = entity.get_mut::<C>().expect(NOT_MATCHED);
        self.0.scatter(field, std::slice::from_mut(&mut *value), &[row], row, column);
    }
}

impl Values for PatchOnly {
    fn gather(&self, _: usize, _: TableAccess<'_>, _: Range<usize>, _: ColumnMut<'_>) {
        unreachable!("a component that is only patched is not read");
    }
    fn gather_one(&self, _: usize, _: &FilteredEntityMut<'_, '_>, _: ColumnMut<'_>) {
        unreachable!("a component that is only patched is not read");
    }
    fn values(&self, _: TableAccess<'_>, _: Range<usize>, _: &mut [OpaqueValue]) {
        unreachable!("a component that is only patched is not read");
    }
    fn value_one(&self, _: &FilteredEntityMut<'_, '_>) -> OpaqueValue {
        unreachable!("a component that is only patched is not read");
    }
    fn scatter(&self, _: usize, _: TableAccess<'_>, _: &[u32], _: u32, _: ColumnRef<'_>) {
        unreachable!("a component that is only patched has no column to write");
    }
    fn scatter_one(&self, _: usize, _: &mut FilteredEntityMut<'_, '_>, _: u32, _: ColumnRef<'_>) {
        unreachable!("a component that is only patched has no column to write");
    }
}
