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
    #[allow(clippy::vec_box, reason = "growing must not move two KiB a chunk")]
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

    /// Sets the bits of `bits`, some of one word. Nobody else writes the word now: ranges share none.
    #[inline]
    pub(crate) fn or(&self, chunk: usize, word: usize, bits: u64) {
        let pending = &self.chunks[chunk].words[word];
        let before = pending.load(Relaxed);
        pending.store(before | bits, Relaxed);
        if before == 0 && bits != 0 {
            self.summarise(chunk, word / WORD, 1 << (word % WORD));
        }
    }

    #[inline]
    fn summarise(&self, chunk: usize, summary: usize, bits: u64) {
        if self.chunks[chunk].summary[summary].fetch_or(bits, Relaxed) == 0 {
            self.dirty[chunk / WORD].fetch_or(1 << (chunk % WORD), Relaxed);
        }
    }

    /// Sets one row's bit. Nobody else writes any bit now: the world is borrowed mutably. So no operation has to be
    /// atomic, and none is left out, for whether a bit is a word's first cannot be guessed.
    #[inline]
    pub(crate) fn set(&self, chunk: usize, row: usize) {
        let or = |word: &AtomicU64, bit: usize| word.store(word.load(Relaxed) | 1 << (bit % WORD), Relaxed);
        let (pending, word) = (&self.chunks[chunk], row / WORD);
        or(&pending.words[word], row);
        or(&pending.summary[word / WORD], word);
        or(&self.dirty[chunk / WORD], chunk);
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

    /// Calls `f` with each word of the bits of `rows` that is not zero, and its number.
    #[inline(always)]
    pub(crate) fn for_each_word(&self, chunk: usize, rows: &Range<usize>, mut f: impl FnMut(usize, u64)) {
        let (pending, words) = (&self.chunks[chunk], words_of(rows));
        for summary in words_of(&words) {
            let present = pending.summary[summary].load(Relaxed) & word_mask(summary, &words);
            for_each_one(present, summary * WORD, |word| {
                let mut bits = pending.words[word].load(Relaxed);
                if word == words.start || word + 1 == words.end {
                    bits &= word_mask(word, rows);
                }
                f(word, bits);
            });
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

    /// The first chunk from `from` on that may have pending rows.
    #[inline]
    pub(crate) fn next_dirty(&self, from: usize) -> Option<usize> {
        let mut index = from / WORD;
        let mut chunks = self.dirty.get(index)?.load(Relaxed) & (u64::MAX << (from % WORD));
        while chunks == 0 {
            index += 1;
            chunks = self.dirty.get(index)?.load(Relaxed);
        }
        Some(index * WORD + chunks.trailing_zeros() as usize)
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

    fn dirty_chunks(track: &Track) -> Vec<usize> {
        std::iter::successors(track.next_dirty(0), |chunk| track.next_dirty(chunk + 1)).collect()
    }

    fn pending(track: &Track) -> BTreeSet<(usize, usize)> {
        let mut rows = BTreeSet::new();
        for chunk in dirty_chunks(track) {
            track.for_each_word(chunk, &(0..CHUNK_ROWS), |word, bits| {
                for_each_one(bits, word * WORD, |row| assert!(rows.insert((chunk, row))));
            });
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
                prop_assert_eq!(dirty_chunks(&track).len(), (0..3).filter(|c| model.iter().any(|(m, _)| m == c)).count());
            }
        }
    }
}
