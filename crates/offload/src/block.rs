//! The memory of a snapshot: one allocation, laid out like a chunk of the world.
//!
//! ```text
//! | u64 handle x capacity | u32 index x capacity | column 0 | column 1 | ... | bitset 0 | bitset 1 | ... |
//! ```
//!
//! The capacity is a multiple of 512 rows, so every part starts on a cache line and so does every range; the gaps
//! between columns are those of [`column_offset`], for the same reason.
//!
//! # Rules
//! - Growth forgets what was there; nothing else allocates.
//! - A view is checked against its column's scalar: a wrong type gives none.

use std::{marker::PhantomData, ops::Range};

use peristyle_layout::{
    Scalar,
    chunk::{RANGE_ROWS, bitset_bytes, column_offset},
};
use peristyle_memory::Element;

use crate::error::SnapshotError;

/// The unit of allocation: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A column in a [`Block`].
#[derive(Debug, Clone, Copy)]
struct Part {
    scalar: Scalar,
    /// Bytes of a row of all parts before it.
    row_bytes: usize,
    /// Parts before it.
    parts: usize,
}

/// Columns and bitsets of one capacity.
pub(crate) struct Block {
    lines: Vec<Line>,
    capacity: usize,
    parts: Vec<Part>,
    /// Bytes of a row of all columns.
    row_bytes: usize,
    bitsets: usize,
}

impl Block {
    pub(crate) fn new(columns: impl IntoIterator<Item = Scalar>, bitsets: usize) -> Block {
        let mut row_bytes = 0;
        let parts: Vec<Part> = columns
            .into_iter()
            .enumerate()
            .map(|(parts, scalar)| {
                let part = Part { scalar, row_bytes, parts };
                row_bytes += scalar.size();
                part
            })
            .collect();
        Block { lines: Vec::new(), capacity: 0, parts, row_bytes, bitsets }
    }

    /// Makes room for `rows`; forgets what was there if that means to grow.
    pub(crate) fn reserve(&mut self, rows: usize) -> Result<(), SnapshotError> {
        if rows <= self.capacity {
            return Ok(());
        }
        // A world that grows row by row has its snapshot replaced some dozen times, not every frame.
        let capacity = rows.max(self.capacity + self.capacity / 2).next_multiple_of(RANGE_ROWS);
        let bytes = column_offset(capacity, self.row_bytes, self.parts.len()) + self.bitsets * bitset_bytes(capacity);
        let lines = bytes.div_ceil(size_of::<Line>());
        self.capacity = 0;
        self.lines = Vec::new();
        self.lines.try_reserve_exact(lines).map_err(|_| SnapshotError::OutOfMemory { rows, bytes })?;
        self.lines.resize(lines, Line([0; 64]));
        self.capacity = capacity;
        Ok(())
    }

    /// Zeroes all there is.
    pub(crate) fn clear(&mut self) {
        self.lines.fill(Line([0; 64]));
    }

    /// Where a column starts, in bytes.
    fn offset(&self, column: usize) -> usize {
        let Part { row_bytes, parts, .. } = self.parts[column];
        column_offset(self.capacity, row_bytes, parts)
    }

    fn bitset_offset(&self, bitset: usize) -> usize {
        assert!(bitset < self.bitsets, "there is no bitset {bitset}");
        column_offset(self.capacity, self.row_bytes, self.parts.len()) + bitset * bitset_bytes(self.capacity)
    }

    /// The address of the first byte: [`Block::column_at`] and [`Block::bits_at`] count from it.
    pub(crate) fn base(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    /// Where row `row` of a column is, in bytes, and its scalar. Up to the capacity that is inside of the allocation.
    pub(crate) fn column_at(&self, column: usize, row: usize) -> (usize, Scalar) {
        debug_assert!(row <= self.capacity);
        let scalar = self.parts[column].scalar;
        (self.offset(column) + row * scalar.size(), scalar)
    }

    /// Where the word of a bitset is that holds `row`'s bit, in bytes.
    pub(crate) fn bits_at(&self, bitset: usize, row: usize) -> usize {
        debug_assert!(row <= self.capacity);
        self.bitset_offset(bitset) + row / 64 * 8
    }

    pub(crate) fn column(&self, column: usize, rows: Range<usize>) -> ColumnRef<'_> {
        self.check(&rows);
        let (at, scalar) = self.column_at(column, rows.start);
        let ptr = self.lines.as_ptr().cast::<u8>().wrapping_add(at);
        ColumnRef { ptr, len: rows.len(), scalar, block: PhantomData }
    }

    pub(crate) fn column_mut(&mut self, column: usize, rows: Range<usize>) -> ColumnMut<'_> {
        self.check(&rows);
        let (at, scalar) = self.column_at(column, rows.start);
        let ptr = self.base().wrapping_add(at);
        ColumnMut { ptr, len: rows.len(), scalar, block: PhantomData }
    }

    /// Two columns at once.
    pub(crate) fn columns_mut(&mut self, columns: [usize; 2], rows: Range<usize>) -> [ColumnMut<'_>; 2] {
        assert_ne!(columns[0], columns[1], "the same column twice");
        self.check(&rows);
        let base = self.base();
        columns.map(|column| {
            let (at, scalar) = self.column_at(column, rows.start);
            ColumnMut { ptr: base.wrapping_add(at), len: rows.len(), scalar, block: PhantomData }
        })
    }

    fn check(&self, rows: &Range<usize>) {
        assert!(rows.start <= rows.end && rows.end <= self.capacity, "rows {rows:?} of {}", self.capacity);
    }

    /// The words of a bitset that hold the bits of the first `rows` rows.
    pub(crate) fn bits(&self, bitset: usize, rows: usize) -> &[u64] {
        self.check(&(0..rows));
        let ptr = self.lines.as_ptr().cast::<u8>().wrapping_add(self.bits_at(bitset, 0)).cast::<u64>();
        // SAFETY: a bitset has a bit for each row of the capacity, which `rows` is below; it starts on a cache line; its
        // bytes are initialised, of any pattern, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(ptr, rows.div_ceil(64)) }
    }

    /// As `bits`, to write.
    pub(crate) fn bits_mut(&mut self, bitset: usize, rows: usize) -> &mut [u64] {
        self.check(&(0..rows));
        let at = self.bits_at(bitset, 0);
        let ptr = self.base().wrapping_add(at).cast::<u64>();
        // SAFETY: as in `bits`, borrowed exclusively with `self`.
        unsafe { std::slice::from_raw_parts_mut(ptr, rows.div_ceil(64)) }
    }
}

/// Rows of a column, to read.
#[derive(Clone, Copy)]
pub struct ColumnRef<'a> {
    ptr: *const u8,
    len: usize,
    scalar: Scalar,
    block: PhantomData<&'a [u8]>,
}

/// Rows of a column, to write.
pub struct ColumnMut<'a> {
    ptr: *mut u8,
    len: usize,
    scalar: Scalar,
    block: PhantomData<&'a mut [u8]>,
}

impl<'a> ColumnRef<'a> {
    /// A column of one row, whose little-endian bytes are the first of `word`.
    pub(crate) fn one(word: &'a u64, scalar: Scalar) -> ColumnRef<'a> {
        ColumnRef { ptr: std::ptr::from_ref(word).cast(), len: 1, scalar, block: PhantomData }
    }

    /// The elements' type.
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }
    /// The rows, if they are `E`s.
    #[inline]
    pub fn of<E: Element>(self) -> Option<&'a [E]> {
        if E::SCALAR != self.scalar {
            return None;
        }
        // SAFETY: `Block` makes one from rows inside of its allocation that are borrowed for `'a`; columns start on cache
        // lines, rows are whole elements of that scalar, and any bytes are an `E`. `one` makes one of a word that is
        // borrowed for `'a`, which has room for one element of any scalar.
        Some(unsafe { std::slice::from_raw_parts(self.ptr.cast(), self.len) })
    }
}

impl<'a> ColumnMut<'a> {
    /// The elements' type.
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }
    /// The rows, if they are `E`s.
    #[inline]
    pub fn of<E: Element>(self) -> Option<&'a mut [E]> {
        if E::SCALAR != self.scalar {
            return None;
        }
        // SAFETY: as for `ColumnRef`; the rows are borrowed exclusively, for two columns never overlap.
        Some(unsafe { std::slice::from_raw_parts_mut(self.ptr.cast(), self.len) })
    }
    /// Some of the rows.
    ///
    /// # Panics
    /// If they are not among these.
    pub fn rows(&mut self, rows: Range<usize>) -> ColumnMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.len, "rows {rows:?} of {}", self.len);
        let ptr = self.ptr.wrapping_add(rows.start * self.scalar.size());
        ColumnMut { ptr, len: rows.len(), scalar: self.scalar, block: PhantomData }
    }
}

/// Asks for the cache line at an address, which need not be one, where the machine can be asked.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_side_by_side_on_cache_lines() {
        let mut block = Block::new([Scalar::U64, Scalar::U32, Scalar::Bool, Scalar::F64], 2);
        block.reserve(700).unwrap();
        let rows = 0..700;
        block.column_mut(0, rows.clone()).of::<u64>().unwrap().fill(u64::MAX);
        block.column_mut(1, rows.clone()).of::<u32>().unwrap().fill(7);
        block.column_mut(3, rows.clone()).of::<f64>().unwrap().fill(1.5);
        block.bits_mut(0, 700).fill(u64::MAX);
        block.bits_mut(1, 700).fill(0);
        let [three, one] = block.columns_mut([3, 1], rows.clone());
        three.of::<f64>().unwrap()[699] = 2.5;
        one.of::<u32>().unwrap()[0] = 8;
        assert!(block.column(0, rows.clone()).of::<u64>().unwrap().iter().all(|&value| value == u64::MAX));
        assert_eq!(block.column(1, 0..2).of::<u32>().unwrap(), [8, 7]);
        assert_eq!(block.column(3, 698..700).of::<f64>().unwrap(), [1.5, 2.5]);
        assert!(block.bits(0, 700).iter().all(|&word| word == u64::MAX) && block.bits(1, 700) == [0; 11]);
        for column in 0..4 {
            assert_eq!(block.column_at(column, 512).0 % 64, 0);
        }
        let starts = [block.base() as usize, block.bits_at(0, 512), block.bits_at(1, 0)];
        assert!(starts.iter().all(|start| start.is_multiple_of(64)));
    }

    #[test]
    fn a_wrong_type_gives_nothing() {
        let mut block = Block::new([Scalar::F32], 0);
        block.reserve(1).unwrap();
        assert!(block.column(0, 0..1).of::<u32>().is_none() && block.column_mut(0, 0..1).of::<i32>().is_none());
        assert!(block.column(0, 0..1).of::<f32>().is_some());
    }

    #[test]
    fn more_than_there_is_leaves_an_empty_block() {
        let mut block = Block::new([Scalar::F64], 1);
        block.reserve(100).unwrap();
        assert!(matches!(block.reserve(usize::MAX >> 8), Err(SnapshotError::OutOfMemory { .. })));
        assert_eq!(block.capacity, 0);
        block.reserve(100).unwrap();
    }
}
