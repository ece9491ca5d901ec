//! How a chunk lies in its block.
//!
//! ```text
//! | u32 entity index x capacity | column 0 | column 1 | ... | bitset 0 | bitset 1 | ... |
//! ```
//!
//! `capacity` is a power of two from [`FIRST_ROWS`] to [`CHUNK_ROWS`], so a column of any scalar is a whole number of
//! cache lines and its offset is `capacity x bytes of a row before it`, plus one [`STAGGER`] for each column before it.

/// Rows of a full-sized chunk: the unit of work, of change tracking and of mirroring.
pub const CHUNK_ROWS: usize = 16_384;
/// Rows of a table's first chunk when it is made; it doubles up to [`CHUNK_ROWS`].
pub const FIRST_ROWS: usize = 64;
/// Borders of ranges lie on multiples of this many rows, so that no two workers share a cache line of a column or of a
/// bitset: 512 bits are 64 bytes.
pub const RANGE_ROWS: usize = 512;
/// Alignment of blocks and columns in bytes: one cache line.
pub const ALIGN: usize = 64;

/// Bytes between the end of a column and the next one.
///
/// Full-sized columns are multiples of 4 KiB. Without a gap the same row of every column would have the same low twelve
/// address bits, and a load of one column would wait for the store to another (4K aliasing).
pub const STAGGER: usize = 5 * ALIGN;

/// Bytes of a bitset with one bit for each of `capacity` rows, padded to a cache line.
#[inline]
pub const fn bitset_bytes(capacity: usize) -> usize {
    let bytes = capacity / 8;
    if bytes < ALIGN { ALIGN } else { bytes }
}

/// Offset in bytes of a column in a chunk of `capacity` rows.
///
/// `row_bytes` is the size of a row of all columns before it (the entity index included), `columns` their number.
#[inline]
pub const fn column_offset(capacity: usize, row_bytes: usize, columns: usize) -> usize {
    capacity * row_bytes + columns * STAGGER
}

/// The size of a table's chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a row over all columns, the 4-byte entity index included.
    pub row_bytes: usize,
    /// Number of columns, the entity index included.
    pub columns: usize,
    /// Number of bitsets.
    pub bitsets: usize,
}

impl Geometry {
    /// Offset in bytes of a bitset.
    #[inline]
    pub const fn bitset_offset(&self, capacity: usize, bitset: usize) -> usize {
        column_offset(capacity, self.row_bytes, self.columns) + bitset * bitset_bytes(capacity)
    }

    /// Bytes of the whole block.
    #[inline]
    pub const fn block_bytes(&self, capacity: usize) -> usize {
        self.bitset_offset(capacity, self.bitsets)
    }
}

const _: () = {
    assert!(FIRST_ROWS.is_power_of_two() && CHUNK_ROWS.is_power_of_two());
    assert!(FIRST_ROWS.is_multiple_of(ALIGN) && RANGE_ROWS == 8 * ALIGN);
    assert!(STAGGER.is_multiple_of(ALIGN) && !STAGGER.is_multiple_of(4096));
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_aligned_at_every_capacity() {
        let geometry = Geometry { row_bytes: 4 + 1 + 2 + 8, columns: 4, bitsets: 3 };
        let mut capacity = FIRST_ROWS;
        while capacity <= CHUNK_ROWS {
            for (row_bytes, columns) in [(4, 1), (5, 2), (7, 3), (15, 4)] {
                assert_eq!(column_offset(capacity, row_bytes, columns) % ALIGN, 0);
            }
            for bitset in 0..=geometry.bitsets {
                assert_eq!(geometry.bitset_offset(capacity, bitset) % ALIGN, 0);
            }
            capacity *= 2;
        }
    }
}
