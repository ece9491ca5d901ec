//! How the rows of one run are cut: into items, each of one chunk, and items into ranges, each for one lane.

use std::ops::Range;

use peristyle_layout::chunk::RANGE_ROWS;
use peristyle_world::ChunkRef;

/// Rows of one chunk: what a body is called for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) chunk: ChunkRef,
    pub(crate) first: u32,
    pub(crate) rows: u32,
}

impl Item {
    pub(crate) fn range(self) -> Range<usize> {
        self.first as usize..(self.first + self.rows) as usize
    }

    /// Chunk, first row and number of rows.
    pub(crate) fn place(self) -> (ChunkRef, usize, usize) {
        (self.chunk, self.first as usize, self.rows as usize)
    }
}

/// The rows of one run. Keeps what it has while a run is as the last one: neither storage nor lines that other lanes
/// have in their caches are written again.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    chunks: Vec<ChunkRef>,
    rows: usize,
    items: Vec<Item>,
    /// Where each range's items end.
    ends: Vec<u32>,
    /// How the chunks were cut: into ranges of so many rows; 0 if they have yet to be.
    cut: usize,
}

impl Ranges {
    /// Takes in which chunks the next run is about; gives the number of their rows.
    pub(crate) fn collect(&mut self, chunks: impl Iterator<Item = ChunkRef>) -> usize {
        let (mut count, mut rows, mut same) = (0, 0, true);
        for chunk in chunks {
            rows += chunk.rows();
            if self.chunks.get(count) != Some(&chunk) {
                self.chunks.truncate(count);
                self.chunks.push(chunk);
                same = false;
            }
            count += 1;
        }
        if !same || count < self.chunks.len() {
            self.chunks.truncate(count);
            (self.rows, self.cut) = (rows, 0);
        }
        rows
    }

    /// Makes room for cuts into that many ranges.
    #[inline]
    pub(crate) fn reserve(&mut self, ranges: usize) {
        let items = ranges + self.chunks.len();
        self.items.reserve(items.saturating_sub(self.items.len()));
        self.ends.reserve(ranges.saturating_sub(self.ends.len()));
    }

    /// All in one range, chunk by chunk.
    pub(crate) fn join(&mut self) {
        self.cut(self.rows);
    }

    /// Cuts into ranges of about `range_rows`: whole chunks together, and chunks on multiples of 512 rows.
    pub(crate) fn cut(&mut self, range_rows: usize) {
        if self.cut == range_rows {
            return;
        }
        let Ranges { chunks, items, ends, cut, .. } = self;
        *cut = range_rows;
        items.clear();
        ends.clear();
        let mut left = range_rows;
        for chunk in chunks.iter().copied() {
            let mut first = 0;
            while first < chunk.rows() {
                let rows = left.next_multiple_of(RANGE_ROWS).min(chunk.rows() - first);
                items.push(Item { chunk, first: first as u32, rows: rows as u32 });
                first += rows;
                left = left.saturating_sub(rows);
                if left == 0 {
                    ends.push(items.len() as u32);
                    left = range_rows;
                }
            }
        }
        if ends.last().map_or(0, |end| *end as usize) < items.len() {
            ends.push(items.len() as u32);
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The chunks, in order.
    pub(crate) fn chunks(&self) -> &[ChunkRef] {
        &self.chunks
    }

    /// All items, in order of table and row.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The items of a range.
    pub(crate) fn of(&self, range: usize) -> &[Item] {
        let start = if range == 0 { 0 } else { self.ends[range - 1] };
        &self.items[start as usize..self.ends[range] as usize]
    }
}

#[cfg(test)]
mod tests {
    use peristyle_world::{Component, World};

    use super::*;

    #[derive(Component, Clone, Copy)]
    struct A {
        x: f32,
    }
    #[derive(Component, Clone, Copy)]
    struct B {
        x: f32,
    }

    /// Three tables of 40 000, 700 and 3 rows.
    fn ranges(world: &mut World) -> Ranges {
        world.spawn_batch((0..40_000).map(|_| A { x: 0.0 })).unwrap();
        world.spawn_batch((0..700).map(|_| (A { x: 0.0 }, B { x: 0.0 }))).unwrap();
        #[derive(Component, Clone, Copy)]
        struct C {
            x: f32,
        }
        world.spawn_batch((0..3).map(|_| (A { x: 0.0 }, C { x: 0.0 }))).unwrap();
        let mut query = world.query::<&A>();
        query.state_mut().refresh(world);
        let mut ranges = Ranges::default();
        assert_eq!(ranges.collect(query.state().chunks(world)), 40_703);
        ranges
    }

    #[test]
    fn every_cut_covers_every_row_once_in_order_and_on_borders() {
        let mut world = World::new().unwrap();
        let mut ranges = ranges(&mut world);
        for range_rows in [1, 512, 1000, 5_120, 16_384, 30_000, 40_703, 1 << 30] {
            ranges.cut(range_rows);
            let mut next = (None, 0);
            for item in (0..ranges.len()).flat_map(|range| ranges.of(range)) {
                if next.0 != Some(item.chunk) {
                    assert!(next.0.is_none_or(|chunk: ChunkRef| chunk.rows() == next.1 && chunk < item.chunk));
                    next = (Some(item.chunk), 0);
                }
                assert_eq!(item.first as usize, next.1);
                assert!(item.first.is_multiple_of(512) && item.rows > 0);
                next.1 += item.rows as usize;
            }
            assert_eq!(ranges.items().iter().map(|item| item.rows).sum::<u32>(), 40_703);
            assert_eq!(next.1, 3, "the last chunk is whole");
            let most = (0..ranges.len()).map(|range| ranges.of(range).iter().map(|item| item.rows).sum::<u32>()).max();
            assert!(most.unwrap() as usize <= range_rows.next_multiple_of(512) + 512);
        }
        ranges.join();
        assert_eq!((ranges.len(), ranges.of(0).len()), (1, 5));
    }
}
