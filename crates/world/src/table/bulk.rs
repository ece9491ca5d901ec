//! Rows that move together: column by column, so that what is known of two tables is looked up once a column and not
//! once a row.
//!
//! Rows are counted from their table's first. Where a table's blocks lie is looked up once a group: all its chunks are of
//! one size, so a column starts at the same offset in each, and a list of rows is all that is read again for each column.
//! Nothing here calls foreign code: opaque values move and are never dropped.

use std::ops::Range;

use peristyle_layout::chunk::{CHUNK_ROWS, column_offset};
use peristyle_memory::bits;

use super::{FieldColumn, Location, Table, TableId, Tables};
use crate::entities::Place;

/// Lists that are used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Which of a table's last rows leave.
    tail: Vec<u64>,
    /// From which row a hole at which row is filled.
    fills: Vec<(u32, u32)>,
    from: Blocks,
    to: Blocks,
}

/// The blocks of a table's chunks, in order.
#[derive(Debug, Default)]
struct Blocks(Vec<*mut u8>);

// SAFETY: the list is filled and emptied within one call, so addresses never go from one thread to another.
unsafe impl Send for Blocks {}
// SAFETY: as above.
unsafe impl Sync for Blocks {}

impl Blocks {
    /// An element of a column that starts at byte `at` of each block.
    #[inline(always)]
    fn element<T>(&self, at: usize, row: usize) -> *mut T {
        self.0[row / CHUNK_ROWS].wrapping_add(at).cast::<T>().wrapping_add(within(row))
    }
}

/// Where a row is in its chunk.
#[inline(always)]
fn within(row: usize) -> usize {
    row % CHUNK_ROWS
}

/// Copies elements of `size` bytes between columns that start at these bytes of their blocks.
///
/// # Safety
/// The blocks are those of live chunks in which such columns start there; they have the rows, and nobody else touches
/// these. What is written is not read.
#[inline]
unsafe fn copy_column(
    size: usize,
    from: (&Blocks, usize),
    to: (&Blocks, usize),
    rows: impl Iterator<Item = (usize, usize)>,
) {
    /// # Safety
    /// As above, for elements of `T`.
    #[inline(always)]
    unsafe fn copy<T>(from: (&Blocks, usize), to: (&Blocks, usize), rows: impl Iterator<Item = (usize, usize)>) {
        for (f, t) in rows {
            // SAFETY: the caller's duty.
            unsafe { to.0.element::<T>(to.1, t).write(from.0.element::<T>(from.1, f).read()) };
        }
    }
    // SAFETY: the caller's duty; the size is one of the four that scalars have.
    unsafe {
        match size {
            1 => copy::<u8>(from, to, rows),
            2 => copy::<u16>(from, to, rows),
            4 => copy::<u32>(from, to, rows),
            _ => copy::<u64>(from, to, rows),
        }
    }
}

impl Table {
    /// The scalar columns, the entity index among them.
    fn all_columns(&self) -> impl Iterator<Item = &FieldColumn> {
        self.by_size.iter().flatten()
    }
}

impl Tables {
    /// Where a row in use is, counted from its table's first.
    #[inline]
    pub(crate) fn row_of(&self, place: Place) -> u32 {
        (self.chunk(place.chunk).position * CHUNK_ROWS) as u32 + place.row
    }

    /// Where a row is.
    #[inline]
    pub(crate) fn place_of(&self, table: TableId, row: usize) -> Place {
        Place { chunk: self.table(table).chunk_id(row / CHUNK_ROWS), row: within(row) as u32 }
    }

    /// Rows that a table can take without asking for memory.
    pub(crate) fn room(&self, id: TableId) -> usize {
        let table = self.table(id);
        let capacity: usize = match table.chunks[..] {
            [] => 0,
            [only] => self.chunk(only).capacity,
            ref chunks => chunks.len() * CHUNK_ROWS,
        };
        capacity - table.rows
    }

    /// The capacity of a table's chunks; there is one.
    fn capacity(&self, table: &Table) -> usize {
        self.chunk_at(table, 0).capacity
    }

    fn blocks(&self, table: &Table, out: &mut Blocks) {
        out.0.clear();
        out.0.extend(table.chunks.iter().map(|chunk| self.chunk(*chunk).ptr()));
    }

    /// Appends copies of `rows` of a table to another, which has room, as [`Tables::move_row`] does row by row: pending
    /// bits go along, and components that only the new table has count as added and are the caller's to write. Gives the
    /// first new row. The old rows are the caller's to remove.
    pub(crate) fn move_rows(&mut self, from: TableId, rows: &[u32], to: TableId, scratch: &mut Scratch) -> usize {
        debug_assert!(from != to && self.room(to) >= rows.len());
        let first = self.table(to).rows;
        self.tables[to.0 as usize].rows += rows.len();
        let (source, target) = (self.table(from), self.table(to));
        let pairs = || rows.iter().zip(first..).map(|(from, to)| (*from as usize, to));
        let Scratch { from: f_blocks, to: t_blocks, .. } = scratch;
        self.blocks(source, f_blocks);
        self.blocks(target, t_blocks);
        let (f_capacity, t_capacity) = (self.capacity(source), self.capacity(target));
        let copy = |f: &FieldColumn, t: &FieldColumn| {
            let f_at = column_offset(f_capacity, f.row_bytes_before, f.columns_before);
            let t_at = column_offset(t_capacity, t.row_bytes_before, t.columns_before);
            // SAFETY: the columns' offsets in chunks of these capacities; the rows are below them, in different tables, and
            // `self` is borrowed mutably.
            unsafe { copy_column(f.scalar.size(), (f_blocks, f_at), (t_blocks, t_at), pairs()) };
        };
        copy(&FieldColumn::INDEX, &FieldColumn::INDEX);
        for (to_column, component) in target.components.iter().enumerate() {
            let Some(from_column) = source.column(*component) else {
                for track in &target.tracks[to_column] {
                    for_each_chunk(first..first + rows.len(), |position, rows| track.fill(position, rows));
                }
                continue;
            };
            match (source.locations[from_column], target.locations[to_column]) {
                (Location::Columnar { .. }, Location::Columnar { .. }) => {
                    let fields = source.fields(from_column).iter().zip(target.fields(to_column));
                    fields.for_each(|(f, t)| copy(f, t));
                }
                (Location::Opaque(f), Location::Opaque(t)) => {
                    for (f_row, t_row) in pairs() {
                        let from = &self.chunk_at(source, f_row / CHUNK_ROWS).opaque[f as usize];
                        let to = &self.chunk_at(target, t_row / CHUNK_ROWS).opaque[t as usize];
                        // SAFETY: the old row's value moves into the new row, which holds none.
                        unsafe { from.move_values(within(f_row), to, within(t_row), 1) };
                    }
                }
                _ => unreachable!("a component is columnar or opaque in every table"),
            }
            for track in &target.tracks[to_column] {
                let Some(pending) = source.track(from_column, track.subscription.id) else { continue };
                for (f_row, t_row) in pairs() {
                    if pending.get(f_row / CHUNK_ROWS, within(f_row)) {
                        track.set(t_row / CHUNK_ROWS, within(t_row));
                    }
                }
            }
        }
        f_blocks.0.clear();
        t_blocks.0.clear();
        first
    }

    /// Removes rows, each named once, whose opaque values moved or need no drop: holes are filled with the table's last
    /// rows, as few as possible. Calls `moved` with the entity index and the place of each row that moved.
    pub(crate) fn remove_rows(
        &mut self,
        id: TableId,
        rows: &[u32],
        scratch: &mut Scratch,
        mut moved: impl FnMut(u32, Place),
    ) {
        let Scratch { tail, fills, from: blocks, .. } = scratch;
        let table = &mut self.tables[id.0 as usize];
        let old_rows = table.rows;
        table.rows -= rows.len();
        let left = table.rows;
        tail.clear();
        tail.resize(rows.len().div_ceil(bits::WORD), 0);
        rows.iter().filter(|row| **row as usize >= left).for_each(|row| bits::set(tail, *row as usize - left));
        let stay = (left..old_rows).filter(|row| !bits::get(tail, row - left)).map(|row| row as u32);
        fills.clear();
        fills.extend(stay.zip(rows.iter().copied().filter(|row| (*row as usize) < left)));
        let table = self.table(id);
        let pairs = || fills.iter().map(|(from, to)| (*from as usize, *to as usize));
        self.blocks(table, blocks);
        let capacity = self.capacity(table);
        for column in table.all_columns() {
            let at = column_offset(capacity, column.row_bytes_before, column.columns_before);
            // SAFETY: the column's offset in chunks of this capacity; rows below it, of which those read are the last and
            // those written are not; `self` is borrowed mutably.
            unsafe { copy_column(column.scalar.size(), (blocks, at), (blocks, at), pairs()) };
        }
        for opaque in 0..table.opaque.len() {
            for (f_row, t_row) in pairs() {
                let from = &self.chunk_at(table, f_row / CHUNK_ROWS).opaque[opaque];
                let to = &self.chunk_at(table, t_row / CHUNK_ROWS).opaque[opaque];
                // SAFETY: the last row's value moves into the hole, whose value is gone.
                unsafe { from.move_values(within(f_row), to, within(t_row), 1) };
            }
        }
        for (_, row) in pairs() {
            // SAFETY: the index is the block's first column; the row is in use, and so has one.
            let index = unsafe { blocks.element::<u32>(0, row).read() };
            moved(index, Place { chunk: table.chunk_id(row / CHUNK_ROWS), row: within(row) as u32 });
        }
        blocks.0.clear();
        if table.is_tracked {
            for track in table.tracks.iter().flatten() {
                for (from, to) in pairs() {
                    if track.get(from / CHUNK_ROWS, within(from)) {
                        track.set(to / CHUNK_ROWS, within(to));
                    } else {
                        track.clear_row(to / CHUNK_ROWS, within(to));
                    }
                }
                for_each_chunk(left..old_rows, |position, rows| track.clear(position, rows));
            }
        }
        if table.chunks.len() > table.chunk_count() + 1 {
            self.release_last(id);
        }
    }
}

/// Calls `f` with the part of `rows` in each chunk.
fn for_each_chunk(rows: Range<usize>, mut f: impl FnMut(usize, Range<usize>)) {
    let mut start = rows.start;
    while start < rows.end {
        let end = rows.end.min((start / CHUNK_ROWS + 1) * CHUNK_ROWS);
        f(start / CHUNK_ROWS, within(start)..within(start) + (end - start));
        start = end;
    }
}
