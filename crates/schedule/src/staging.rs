//! Staging columns: the rows of all chunks one after the other, for jobs that want them as one whole.
//!
//! They lie in the world's own memory, as a chunk's columns do, so that every kind of job can be lent them. They are kept
//! from frame to frame, and grow by half.

use std::ptr::copy_nonoverlapping;

use peristyle_layout::{
    Scalar,
    chunk::{Geometry, RANGE_ROWS, column_offset},
};
use peristyle_memory::{Block, Memory, OutOfMemory, bits};

/// Columns and bitsets for some number of rows.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    block: Option<Block>,
    /// Rows that fit, a multiple of 512.
    capacity: usize,
    geometry: Option<Geometry>,
    /// The scalars of the columns; the entity indices are the first.
    scalars: Vec<Scalar>,
}

impl Staging {
    /// Makes room for `rows` rows of some columns and bitsets.
    pub(crate) fn reserve(
        &mut self,
        memory: &Memory,
        rows: usize,
        scalars: impl Iterator<Item = Scalar>,
        bitsets: usize,
    ) -> Result<(), OutOfMemory> {
        if rows <= self.capacity {
            return Ok(());
        }
        if self.scalars.is_empty() {
            self.scalars.push(Scalar::U32);
            self.scalars.extend(scalars);
        }
        let row_bytes = self.scalars.iter().map(|scalar| scalar.size()).sum();
        let geometry = Geometry { row_bytes, columns: self.scalars.len(), bitsets };
        let capacity = rows.max(self.capacity + self.capacity / 2).next_multiple_of(RANGE_ROWS);
        // The old block goes first, so that the two never lie in memory at once.
        (self.block, self.capacity) = (None, 0);
        self.block = Some(memory.allocate(geometry.bitset_offset(capacity, bitsets))?);
        (self.capacity, self.geometry) = (capacity, Some(geometry));
        Ok(())
    }

    fn at(&self, offset: usize) -> *mut u8 {
        let block = self.block.as_ref().expect("room was made");
        debug_assert!(offset as u64 <= block.bytes());
        block.ptr().as_ptr().wrapping_add(offset)
    }

    /// The columns and their scalars; that of the entity indices comes first.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (*mut u8, Scalar)> + '_ {
        let mut row_bytes = 0;
        self.scalars.iter().enumerate().map(move |(index, scalar)| {
            let at = self.at(column_offset(self.capacity, row_bytes, index));
            row_bytes += scalar.size();
            (at, *scalar)
        })
    }

    /// The words of a bitset.
    pub(crate) fn bitset(&self, bitset: usize) -> *mut u64 {
        let geometry = self.geometry.as_ref().expect("room was made");
        self.at(geometry.bitset_offset(self.capacity, bitset)).cast()
    }
}

/// Copies `rows` elements of a column.
///
/// # Safety
/// Both are valid for so many elements, and do not overlap; nobody else touches them.
pub(crate) unsafe fn copy_column(from: *const u8, to: *mut u8, rows: usize, scalar: Scalar) -> u64 {
    let bytes = rows * scalar.size();
    // SAFETY: the caller's duty.
    unsafe { copy_nonoverlapping(from, to, bytes) };
    bytes as u64
}

/// Copies `rows` bits of a bitset, from bit `from_first` on, over those from bit `to_first` on.
///
/// # Safety
/// Both hold the words of these bits; they do not overlap, and nobody else touches them.
pub(crate) unsafe fn copy_bits(from: *const u64, from_first: usize, to: *mut u64, to_first: usize, rows: usize) {
    let words = |first: usize| (first + rows).div_ceil(64);
    // SAFETY: the caller's duty.
    let (from, to) = unsafe {
        (std::slice::from_raw_parts(from, words(from_first)), std::slice::from_raw_parts_mut(to, words(to_first)))
    };
    bits::copy(from, from_first, to, to_first, rows);
}
