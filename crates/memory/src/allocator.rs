//! Which bytes of a region are free: best fit over a sorted list of gaps.
//!
//! Offsets only, no memory is touched. Gaps never touch each other nor the top: freeing merges. A world has few blocks
//! (one a chunk), so a sorted `Vec` searched in order beats a tree, and reuses its storage.

use peristyle_layout::chunk::ALIGN;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    offset: u64,
    bytes: u64,
}

/// Free lists of one region of at most `max` bytes.
#[derive(Debug)]
pub(crate) struct Allocator {
    /// Sorted by offset, all below `top`.
    gaps: Vec<Gap>,
    /// Everything from here up has never been used, or is free again.
    top: u64,
    max: u64,
}

impl Allocator {
    pub(crate) fn new(max: u64) -> Allocator {
        Allocator { gaps: Vec::new(), top: 0, max }
    }

    /// Rounds a request up to what it takes.
    pub(crate) fn rounded(bytes: u64) -> Option<u64> {
        bytes.max(1).checked_next_multiple_of(ALIGN as u64)
    }

    /// Cuts `bytes` (rounded already) from the smallest gap that holds them, else from the top.
    pub(crate) fn allocate(&mut self, bytes: u64) -> Option<u64> {
        let best = self.gaps.iter().enumerate().filter(|(_, gap)| gap.bytes >= bytes).min_by_key(|(_, gap)| gap.bytes);
        if let Some((index, gap)) = best.map(|(index, gap)| (index, *gap)) {
            if gap.bytes == bytes {
                self.gaps.remove(index);
            } else {
                self.gaps[index] = Gap { offset: gap.offset + bytes, bytes: gap.bytes - bytes };
            }
            return Some(gap.offset);
        }
        let offset = self.top;
        let top = offset.checked_add(bytes).filter(|top| *top <= self.max)?;
        self.top = top;
        Some(offset)
    }

    /// Takes back what `allocate` gave.
    pub(crate) fn free(&mut self, offset: u64, bytes: u64) {
        let index = self.gaps.partition_point(|gap| gap.offset < offset);
        debug_assert!(offset + bytes <= self.top);
        debug_assert!(self.gaps.get(index).is_none_or(|next| offset + bytes <= next.offset));
        let mut gap = Gap { offset, bytes };
        if self.gaps.get(index).is_some_and(|next| next.offset == offset + bytes) {
            gap.bytes += self.gaps.remove(index).bytes;
        }
        match index.checked_sub(1).map(|before| &mut self.gaps[before]) {
            Some(before) if before.offset + before.bytes == offset => {
                before.bytes += gap.bytes;
                gap = *before;
                if gap.offset + gap.bytes == self.top {
                    self.top = gap.offset;
                    self.gaps.remove(index - 1);
                }
            }
            _ if gap.offset + gap.bytes == self.top => self.top = gap.offset,
            _ => self.gaps.insert(index, gap),
        }
    }

    /// End of the highest block in use.
    pub(crate) fn top(&self) -> u64 {
        self.top
    }

    /// Bytes in blocks.
    pub(crate) fn used(&self) -> u64 {
        self.top - self.gaps.iter().map(|gap| gap.bytes).sum::<u64>()
    }

    /// Largest block that could still be given.
    pub(crate) fn largest_free(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.bytes).max().unwrap_or(0).max(self.max - self.top)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Random traffic against a plain list of blocks: no overlap, exact accounting, and everything merges back.
        #[test]
        fn blocks_never_overlap_and_merge_back(ops in prop::collection::vec((any::<bool>(), 1_u64..2000, any::<usize>()), 1..300)) {
            let mut allocator = Allocator::new(64 << 10);
            let mut blocks: Vec<(u64, u64)> = Vec::new();
            for (is_free, bytes, pick) in ops {
                if is_free && !blocks.is_empty() {
                    let (offset, bytes) = blocks.swap_remove(pick % blocks.len());
                    allocator.free(offset, bytes);
                } else {
                    let bytes = Allocator::rounded(bytes).unwrap();
                    let largest = allocator.largest_free();
                    match allocator.allocate(bytes) {
                        Some(offset) => {
                            prop_assert_eq!(offset % ALIGN as u64, 0);
                            prop_assert!(offset + bytes <= 64 << 10);
                            prop_assert!(blocks.iter().all(|&(o, b)| offset + bytes <= o || o + b <= offset));
                            blocks.push((offset, bytes));
                        }
                        None => prop_assert!(largest < bytes),
                    }
                }
                prop_assert_eq!(allocator.used(), blocks.iter().map(|block| block.1).sum::<u64>());
            }
            for (offset, bytes) in blocks {
                allocator.free(offset, bytes);
            }
            prop_assert_eq!((allocator.top(), allocator.gaps.len()), (0, 0));
        }
    }
}
