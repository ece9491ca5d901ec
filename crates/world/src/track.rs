//! Change tracking: which rows each consumer has yet to see.
//!
//! Nothing is cleared by the clock, because consumers run at different rates. Each subscription (one consumer's
//! interest in one component's changes or additions) has a *pending* bit for every row of every table with that
//! component. Writers set it, the consumer clears it after it has dealt with the row.
//!
//! Bits are found top down, so that an idle world costs nothing to scan:
//!
//! ```text
//! dirty    one bit a chunk      64 chunks (1 Mi rows) a word
//! summary  one bit a word       4 words a chunk
//! words    one bit a row        256 words a chunk
//! ```
//!
//! # Rules
//! - A set bit implies its summary bit, and that its chunk's dirty bit. The reverse may fail for a moment after clearing.
//! - Writers of different ranges run at once: rows share no word between ranges (512 rows are 8 words), summary and dirty
//!   bits are shared and set by `fetch_or`.
//! - A consumer runs only when no writer of the component does: a `changed` filter counts as a read in the plan. So
//!   relaxed operations suffice; what orders them is what orders the systems.

use std::{
    ops::Range,
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use peristyle_layout::chunk::CHUNK_ROWS;
use peristyle_memory::bits::{WORD, for_each_one, word_mask, words_of};

use crate::component::ComponentId;

const WORDS: usize = CHUNK_ROWS / WORD;
const SUMMARY_WORDS: usize = WORDS / WORD;

/// Somebody who sees changes: a system, a publisher, a watcher. It does not see the changes that it made itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer(pub(crate) u32);

/// What a subscription waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The component's value was written, or the component was added.
    Changed,
    /// The component was added, or the entity spawned with it.
    Added,
}

/// One subscription, in the world's list. It ends when whoever holds the strong count is gone.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) id: u32,
    pub(crate) component: ComponentId,
    pub(crate) event: Event,
    pub(crate) consumer: Consumer,
    pub(crate) holder: Weak<()>,
}

/// The pending bits of one chunk.
#[derive(Debug)]
struct Pending {
    summary: [AtomicU64; SUMMARY_WORDS],
    words: [AtomicU64; WORDS],
}

impl Pending {
    fn new() -> Box<Pending> {
        Box::new(Pending {
            summary: [const { AtomicU64::new(0) }; SUMMARY_WORDS],
            words: [const { AtomicU64::new(0) }; WORDS],
        })
    }

    fn is_empty(&self) -> bool {
        self.summary.iter().all(|word| word.load(Relaxed) == 0)
    }
}

/// One subscription's bits for one table.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) subscription: Subscription,
    chunks: Vec<Box<Pending>>,
    dirty: Vec<AtomicU64>,
}

impl Track {
    /// Bits for a table with the given rows in use in each chunk, all of them pending.
    pub(crate) fn new(subscription: Subscription, chunk_rows: impl Iterator<Item = usize>) -> Track {
        let mut track = Track { subscription, chunks: Vec::new(), dirty: Vec::new() };
        for (chunk, rows) in chunk_rows.enumerate() {
            track.ensure_chunks(chunk + 1);
            track.fill(chunk, 0..rows);
        }
        track
    }

    /// Makes room for that many chunks.
    pub(crate) fn ensure_chunks(&mut self, chunks: usize) {
        while self.chunks.len() < chunks {
            self.chunks.push(Pending::new());
        }
        while self.dirty.len() * WORD < chunks {
            self.dirty.push(AtomicU64::new(0));
        }
    }

    /// Sets the bits of `bits` in one word.
    #[inline]
    pub(crate) fn or(&self, chunk: usize, word: usize, bits: u64) {
        if bits == 0 {
            return;
        }
        let pending = &self.chunks[chunk];
        if pending.words[word].fetch_or(bits, Relaxed) == 0 {
            self.summarise(chunk, word / WORD, 1 << (word % WORD));
        }
    }

    #[inline]
    fn summarise(&self, chunk: usize, summary: usize, bits: u64) {
        if self.chunks[chunk].summary[summary].fetch_or(bits, Relaxed) == 0 {
            self.dirty[chunk / WORD].fetch_or(1 << (chunk % WORD), Relaxed);
        }
    }

    #[inline]
    pub(crate) fn set(&self, chunk: usize, row: usize) {
        self.or(chunk, row / WORD, 1 << (row % WORD));
    }

    /// Sets the bits of `rows`.
    pub(crate) fn fill(&self, chunk: usize, rows: Range<usize>) {
        let pending = &self.chunks[chunk];
        let words = words_of(&rows);
        let full = rows.start.div_ceil(WORD)..rows.end / WORD;
        if let Some(last) = words.clone().last() {
            for border in [words.start, last].into_iter().filter(|word| !full.contains(word)) {
                pending.words[border].fetch_or(word_mask(border, &rows), Relaxed);
            }
        }
        // Ranges share no word, so nobody else writes these now.
        for word in pending.words.get(full).into_iter().flatten() {
            word.store(u64::MAX, Relaxed);
        }
        for summary in words_of(&words) {
            self.summarise(chunk, summary, word_mask(summary, &words));
        }
    }

    /// Clears the bits of `rows`.
    pub(crate) fn clear(&self, chunk: usize, rows: Range<usize>) {
        let pending = &self.chunks[chunk];
        let words = words_of(&rows);
        let full = rows.start.div_ceil(WORD)..rows.end / WORD;
        // Ranges share no word, and no writer runs, so nobody else writes these words now; summaries are shared.
        let clear = |word: usize| {
            let left = pending.words[word].load(Relaxed) & !word_mask(word, &rows);
            pending.words[word].store(left, Relaxed);
            left == 0
        };
        for summary in words_of(&words) {
            let present = pending.summary[summary].load(Relaxed) & word_mask(summary, &words);
            let whole = present & word_mask(summary, &full);
            for_each_one(whole, summary * WORD, |word| pending.words[word].store(0, Relaxed));
            let mut emptied = whole;
            for_each_one(present & !whole, summary * WORD, |word| emptied |= u64::from(clear(word)) << (word % WORD));
            if emptied != 0 {
                pending.summary[summary].fetch_and(!emptied, Relaxed);
            }
        }
        self.tidy(chunk);
    }

    /// Takes the dirty bit from a chunk without pending rows.
    fn tidy(&self, chunk: usize) {
        if self.chunks[chunk].is_empty() {
            self.dirty[chunk / WORD].fetch_and(!(1 << (chunk % WORD)), Relaxed);
        }
    }

    #[inline]
    pub(crate) fn get(&self, chunk: usize, row: usize) -> bool {
        self.chunks[chunk].words[row / WORD].load(Relaxed) >> (row % WORD) & 1 != 0
    }

    #[inline]
    pub(crate) fn clear_row(&self, chunk: usize, row: usize) {
        let (pending, word) = (&self.chunks[chunk], row / WORD);
        let mask = 1 << (row % WORD);
        let before = pending.words[word].load(Relaxed);
        if before & mask == 0 {
            return;
        }
        pending.words[word].store(before & !mask, Relaxed);
        if before == mask {
            let summary = &pending.summary[word / WORD];
            let left = summary.load(Relaxed) & !(1 << (word % WORD));
            summary.store(left, Relaxed);
            if left == 0 {
                self.tidy(chunk);
            }
        }
    }

    /// The bits of one word.
    #[inline]
    pub(crate) fn word(&self, chunk: usize, word: usize) -> u64 {
        self.chunks[chunk].words[word].load(Relaxed)
    }

    /// The words that have bits, as bits of one word: `summary` covers rows `4096 * summary ..`.
    #[inline]
    pub(crate) fn summary(&self, chunk: usize, summary: usize) -> u64 {
        self.chunks[chunk].summary[summary].load(Relaxed)
    }

    /// The chunks that may have pending rows, in order.
    pub(crate) fn dirty_chunks(&self) -> impl Iterator<Item = usize> + '_ {
        self.dirty.iter().enumerate().flat_map(|(index, word)| {
            let mut left = word.load(Relaxed);
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * WORD + bit)
            })
        })
    }
}

/// Number of summary words of a chunk.
pub(crate) const fn summary_words() -> usize {
    SUMMARY_WORDS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn track() -> Track {
        let subscription = Subscription {
            id: 0,
            component: ComponentId(0),
            event: Event::Changed,
            consumer: Consumer(0),
            holder: Weak::new(),
        };
        let mut track = Track::new(subscription, std::iter::empty());
        track.ensure_chunks(3);
        track
    }

    fn pending(track: &Track) -> BTreeSet<(usize, usize)> {
        let mut rows = BTreeSet::new();
        for chunk in track.dirty_chunks() {
            for summary in 0..SUMMARY_WORDS {
                for_each_one(track.summary(chunk, summary), summary * WORD, |word| {
                    for_each_one(track.word(chunk, word), word * WORD, |row| assert!(rows.insert((chunk, row))));
                });
            }
        }
        rows
    }

    #[derive(Debug, Clone)]
    enum Op {
        Set(usize, usize),
        ClearRow(usize, usize),
        Fill(usize, usize, usize),
        Clear(usize, usize, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (chunk, row) = (0..3_usize, 0..CHUNK_ROWS);
        prop_oneof![
            (chunk.clone(), row.clone()).prop_map(|(c, r)| Op::Set(c, r)),
            (chunk.clone(), row.clone()).prop_map(|(c, r)| Op::ClearRow(c, r)),
            (chunk.clone(), row.clone(), 0..700_usize).prop_map(|(c, r, n)| Op::Fill(c, r, n)),
            (chunk, row, 0..9000_usize).prop_map(|(c, r, n)| Op::Clear(c, r, n)),
        ]
    }

    proptest! {
        /// Whatever is done, the rows found top down are those of a plain set.
        #[test]
        fn hierarchy_finds_exactly_the_pending_rows(ops in prop::collection::vec(op(), 1..60)) {
            let (track, mut model) = (track(), BTreeSet::new());
            for op in ops {
                match op {
                    Op::Set(c, r) => { track.set(c, r); model.insert((c, r)); }
                    Op::ClearRow(c, r) => { track.clear_row(c, r); model.remove(&(c, r)); }
                    Op::Fill(c, r, n) => {
                        let rows = r..(r + n).min(CHUNK_ROWS);
                        track.fill(c, rows.clone());
                        model.extend(rows.map(|row| (c, row)));
                    }
                    Op::Clear(c, r, n) => {
                        let rows = r..(r + n).min(CHUNK_ROWS);
                        track.clear(c, rows.clone());
                        model.retain(|(chunk, row)| *chunk != c || !rows.contains(row));
                    }
                }
                prop_assert_eq!(&pending(&track), &model);
                prop_assert_eq!(track.dirty_chunks().count(), (0..3).filter(|c| model.iter().any(|(m, _)| m == c)).count());
            }
        }
    }
}
