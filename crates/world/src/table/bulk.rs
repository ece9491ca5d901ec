//! Rows that move together: column by column, so that what is known of two tables is looked up once a column and not
//! once a row.
//!
//! Rows are counted from their table's first. Nothing here calls foreign code: opaque values move and are never dropped.

use std::ops::Range;

use peristyle_layout::chunk::CHUNK_ROWS;
use peristyle_memory::bits;

use super::{Chunk, FieldColumn, Location, Table, TableId, Tables};
use crate::entities::Place;

/// Lists that are used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Which of a table's last rows leave.
    tail: Vec<u64>,
    /// From which row a hole at which row is filled.
    fills: Vec<(u32, u32)>,
}

/// Where a row is in its chunk.
#[inline(always)]
fn within(row: usize) -> usize {
    row % CHUNK_ROWS
}

/// Calls `f` for each run of pairs of rows that lie in one chunk each, with the positions of these.
#[inline(always)]
fn for_each_run<T>(
    pairs: &[T],
    rows: impl Fn(usize, &T) -> (usize, usize),
    mut f: impl FnMut(Range<usize>, usize, usize),
) {
    let chunks = |number: usize| {
        let (from, to) = rows(number, &pairs[number]);
        (from / CHUNK_ROWS, to / CHUNK_ROWS)
    };
    let mut start = 0;
    while start < pairs.len() {
        let (from, to) = chunks(start);
        let mut end = start + 1;
        while end < pairs.len() && chunks(end) == (from, to) {
            end += 1;
        }
        f(start..end, from, to);
        start = end;
    }
}

/// Copies elements of `size` bytes between columns.
///
/// # Safety
/// `pairs` gives elements of that size of both columns, and nobody else touches them. An element that is written is not
/// read later.
#[inline(always)]
unsafe fn copy_elements(size: usize, from: *const u8, to: *mut u8, pairs: impl Iterator<Item = (usize, usize)>) {
    /// # Safety
    /// As above, for elements of `T`.
    #[inline(always)]
    unsafe fn copy<T>(from: *const u8, to: *mut u8, pairs: impl Iterator<Item = (usize, usize)>) {
        for (f, t) in pairs {
            // SAFETY: the caller's duty.
            unsafe { to.cast::<T>().add(t).write(from.cast::<T>().add(f).read()) };
        }
    }
    // SAFETY: the caller's duty; the size is one of the four that scalars have.
    unsafe {
        match size {
            1 => copy::<u8>(from, to, pairs),
            2 => copy::<u16>(from, to, pairs),
            4 => copy::<u32>(from, to, pairs),
            _ => copy::<u64>(from, to, pairs),
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

    /// Appends copies of `rows` of a table to another, which has room, as [`Tables::move_row`] does row by row: pending
    /// bits go along, and components that only the new table has count as added and are the caller's to write. Gives the
    /// first new row. The old rows are the caller's to remove.
    pub(crate) fn move_rows(&mut self, from: TableId, rows: &[u32], to: TableId) -> usize {
        debug_assert!(from != to && self.room(to) >= rows.len());
        let first = self.table(to).rows;
        self.tables[to.0 as usize].rows += rows.len();
        let (source, target) = (self.table(from), self.table(to));
        let pair = |number: usize, row: &u32| (*row as usize, first + number);
        let within_chunks = |run: Range<usize>| run.map(|n| (within(rows[n] as usize), within(first + n)));
        for (to_column, component) in target.components.iter().enumerate() {
            let Some(from_column) = source.column(*component) else {
                for track in &target.tracks[to_column] {
                    for_each_chunk(first..first + rows.len(), |position, rows| track.fill(position, rows));
                }
                continue;
            };
            for_each_run(rows, pair, |run, f, t| {
                let (f_chunk, t_chunk) = (self.chunk_at(source, f), self.chunk_at(target, t));
                match (source.locations[from_column], target.locations[to_column]) {
                    (Location::Columnar { .. }, Location::Columnar { .. }) => {
                        for (f, t) in source.fields(from_column).iter().zip(target.fields(to_column)) {
                            let (f_at, t_at) = (source.element(f_chunk, f, 0), target.element(t_chunk, t, 0));
                            // SAFETY: the rows are below their chunks' capacities, in different tables, and `self` is
                            // borrowed mutably.
                            unsafe { copy_elements(f.scalar.size(), f_at, t_at, within_chunks(run.clone())) };
                        }
                    }
                    (Location::Opaque(f), Location::Opaque(t)) => {
                        for (f_row, t_row) in within_chunks(run) {
                            let to = &t_chunk.opaque[t as usize];
                            // SAFETY: the old row's value moves into the new row, which holds none.
                            unsafe { f_chunk.opaque[f as usize].move_values(f_row, to, t_row, 1) };
                        }
                    }
                    _ => unreachable!("a component is columnar or opaque in every table"),
                }
            });
            for track in &target.tracks[to_column] {
                let Some(pending) = source.track(from_column, track.subscription.id) else { continue };
                for (number, row) in rows.iter().enumerate() {
                    if pending.get(*row as usize / CHUNK_ROWS, within(*row as usize)) {
                        track.set((first + number) / CHUNK_ROWS, within(first + number));
                    }
                }
            }
        }
        for_each_run(rows, pair, |run, f, t| {
            let (f_at, t_at) = (self.chunk_at(source, f).eids().cast(), self.chunk_at(target, t).eids().cast());
            // SAFETY: as above, for the entity indices.
            unsafe { copy_elements(size_of::<u32>(), f_at, t_at, within_chunks(run)) };
        });
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
        let Scratch { tail, fills } = scratch;
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
        let pair = |_: usize, fill: &(u32, u32)| (fill.0 as usize, fill.1 as usize);
        for_each_run(fills, pair, |run, f, t| {
            let (f_chunk, t_chunk): (&Chunk, &Chunk) = (self.chunk_at(table, f), self.chunk_at(table, t));
            let rows = || fills[run.clone()].iter().map(|(f, t)| (within(*f as usize), within(*t as usize)));
            for column in table.all_columns() {
                let (f_at, t_at) = (table.element(f_chunk, column, 0), table.element(t_chunk, column, 0));
                // SAFETY: rows of this table, of which those read are the last and those written are not; `self` is borrowed
                // mutably.
                unsafe { copy_elements(column.scalar.size(), f_at, t_at, rows()) };
            }
            for (from, to) in f_chunk.opaque.iter().zip(&t_chunk.opaque) {
                for (f_row, t_row) in rows() {
                    // SAFETY: the last row's value moves into the hole, whose value is gone.
                    unsafe { from.move_values(f_row, to, t_row, 1) };
                }
            }
            for (_, t_row) in rows() {
                // SAFETY: the row is in use, and so has its index.
                let index = unsafe { t_chunk.eids().add(t_row).read() };
                moved(index, Place { chunk: table.chunk_id(t), row: t_row as u32 });
            }
        });
        if table.is_tracked {
            for track in table.tracks.iter().flatten() {
                for &(from, to) in fills.iter() {
                    let (from, to) = (from as usize, to as usize);
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
