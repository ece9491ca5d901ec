//! Sets of rows on the wire.
//!
//! ```text
//! u8 mode
//!   0 all      the rows that both sides know to be meant
//!   1 bits     one bit for each of `high` rows, low ones first, padded to a byte
//!   2 gaps     varint count, then for each row the distance to the one after its predecessor, Rice-coded with parameter
//!              k = mode >> 2: the quotient by 2^k in ones and a zero, then k bits; padded to a byte
//!   3 runs     varint count of runs, for each: varint distance to the row after the run before, varint rows - 1
//! ```
//!
//! The mode takes the two low bits of its byte. The shortest form is chosen, by an estimate that never looks at rows one
//! by one.

use std::ops::Range;

use peristyle_memory::bits::{WORD, for_each_one};

use crate::bytes::{BitReader, BitWriter, Reader, put_varint};
use crate::error::FrameError;

/// Rows that a frame is about. All set bits lie in `span`, so that an empty set of a million rows costs nothing to clear
/// or to look through.
#[derive(Debug, Default, Clone)]
pub(crate) struct RowSet {
    words: Vec<u64>,
    span: Range<usize>,
}

impl PartialEq for RowSet {
    fn eq(&self, other: &RowSet) -> bool {
        let words = 0..self.words.len().max(other.words.len());
        words.into_iter().all(|at| self.word(at) == other.word(at))
    }
}

impl RowSet {
    /// Makes room for rows below `high`.
    pub(crate) fn grow(&mut self, high: usize) {
        let words = high.div_ceil(WORD);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    #[inline]
    fn include(&mut self, words: Range<usize>) {
        self.span =
            if self.span.is_empty() { words } else { self.span.start.min(words.start)..self.span.end.max(words.end) };
    }

    #[inline]
    pub(crate) fn set(&mut self, row: usize) {
        self.words[row / WORD] |= 1 << (row % WORD);
        self.include(row / WORD..row / WORD + 1);
    }

    /// Sets rows from `first` on: those whose bit is set.
    #[inline]
    pub(crate) fn set_bits(&mut self, first: usize, bits: u64) {
        if bits == 0 {
            return;
        }
        let (word, shift) = (first / WORD, first % WORD);
        self.words[word] |= bits << shift;
        let beyond = bits >> 1 >> (WORD - 1 - shift);
        if beyond != 0 {
            self.words[word + 1] |= beyond;
        }
        self.include(word..word + 1 + usize::from(beyond != 0));
    }

    /// Sets `rows`, as many as a word has.
    #[inline]
    pub(crate) fn set_block(&mut self, first: usize) {
        let (word, shift) = (first / WORD, first % WORD);
        self.words[word] |= u64::MAX << shift;
        if shift > 0 {
            self.words[word + 1] |= u64::MAX >> (WORD - shift);
        }
        self.include(word..word + 1 + usize::from(shift > 0));
    }

    /// Sets the rows below `high`.
    pub(crate) fn set_first(&mut self, high: usize) {
        self.words[..high / WORD].fill(u64::MAX);
        if !high.is_multiple_of(WORD) {
            self.words[high / WORD] |= (1 << (high % WORD)) - 1;
        }
        self.include(0..high.div_ceil(WORD));
    }

    #[inline]
    pub(crate) fn unset(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / WORD) {
            *word &= !(1 << (row % WORD));
        }
    }

    #[inline]
    pub(crate) fn has(&self, row: usize) -> bool {
        self.word(row / WORD) >> (row % WORD) & 1 != 0
    }

    #[inline]
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// The bits, from row 0 on.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn clear(&mut self) {
        self.words[self.span.clone()].fill(0);
        self.span = 0..0;
    }

    pub(crate) fn count(&self) -> usize {
        self.words[self.span.clone()].iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words[self.span.clone()].iter().all(|word| *word == 0)
    }

    #[inline]
    pub(crate) fn for_each(&self, mut f: impl FnMut(usize)) {
        for at in self.span.clone() {
            for_each_one(self.words[at], at * WORD, &mut f);
        }
    }

    /// Calls `f` with runs of rows, in order: of whole words as long as they are, of others row by row.
    #[inline]
    pub(crate) fn for_each_run(&self, mut f: impl FnMut(Range<usize>)) {
        let mut at = self.span.start;
        while at < self.span.end {
            let whole = self.words[at..self.span.end].iter().take_while(|word| **word == u64::MAX).count();
            if whole > 0 {
                f(at * WORD..(at + whole) * WORD);
                at += whole;
            } else {
                for_each_one(self.words[at], at * WORD, |row| f(row..row + 1));
                at += 1;
            }
        }
    }

    /// Whether it is the rows below `high`, all of them.
    pub(crate) fn is_full(&self, high: usize) -> bool {
        let (whole, rest) = (high / WORD, high % WORD);
        self.words.len() >= high.div_ceil(WORD)
            && self.words[..whole].iter().all(|word| *word == u64::MAX)
            && (rest == 0 || self.words[whole] == (1 << rest) - 1)
    }

    /// Becomes the rows of `set` without those of `without`.
    pub(crate) fn assign_difference(&mut self, set: &RowSet, without: &RowSet) {
        self.clear();
        self.grow(set.words.len() * WORD);
        for at in set.span.clone() {
            self.words[at] = set.words[at] & !without.word(at);
        }
        self.span = set.span.clone();
    }

    /// Whether some row of it is not in `without`.
    pub(crate) fn exceeds(&self, without: &RowSet) -> bool {
        self.span.clone().any(|at| self.words[at] & !without.word(at) != 0)
    }

    /// Keeps `count` rows, those from row `from` on first, going round at the end; moves the others to `rest`. Gives the row
    /// to go on from.
    pub(crate) fn keep(&mut self, from: usize, count: usize, rest: &mut RowSet) -> usize {
        rest.clear();
        rest.grow(self.words.len() * WORD);
        let (mut after, mut before) = (0, 0);
        self.for_each(|row| if row < from { before += 1 } else { after += 1 });
        let (mut keep_after, mut keep_before) = (count.min(after), count.saturating_sub(after).min(before));
        let (mut rest_after, mut rest_before) = (None, None);
        for at in self.span.clone() {
            for_each_one(self.words[at], at * WORD, |row| {
                let left = if row < from { &mut keep_before } else { &mut keep_after };
                if *left > 0 {
                    *left -= 1;
                } else {
                    rest.set(row);
                    let first = if row < from { &mut rest_before } else { &mut rest_after };
                    first.get_or_insert(row);
                }
            });
            self.words[at] &= !rest.words[at];
        }
        rest_after.or(rest_before).unwrap_or(0)
    }
}

const ALL: u8 = 0;
const BITS: u8 = 1;
const GAPS: u8 = 2;
const RUNS: u8 = 3;

/// Appends `rows`, all below `high`. Where they equal `all`, only that is said.
pub(crate) fn encode(out: &mut Vec<u8>, rows: &RowSet, all: Option<&RowSet>, high: usize) {
    if all.is_some_and(|all| rows == all) {
        out.push(ALL);
        return;
    }
    let (mut count, mut runs, mut carry) = (0_usize, 0_usize, 0);
    for at in rows.span.clone() {
        let word = rows.words[at];
        count += word.count_ones() as usize;
        runs += (word & !(word << 1 | carry)).count_ones() as usize;
        carry = word >> 63;
    }
    // The distances of `count` rows add up to at most `high`; 2^k near 0.7 of their mean is best for random rows.
    let k = ((high as f64 / count.max(1) as f64) * 0.7).max(1.0).log2().round() as u32;
    let gaps_bits = count * (k as usize + 1) + (high >> k) + 16;
    let (runs_bits, bits_bits) = (runs * 18 + 16, high);
    if runs_bits < gaps_bits.min(bits_bits) {
        out.push(RUNS);
        put_varint(out, runs as u64);
        let (mut open, mut next) = (None, 0_usize);
        let mut end_run = |out: &mut Vec<u8>, start: usize, end: usize| {
            put_varint(out, (start - next) as u64);
            put_varint(out, (end - start - 1) as u64);
            next = end;
        };
        rows.for_each(|row| match open {
            Some((start, end)) if end == row => open = Some((start, row + 1)),
            before => {
                if let Some((start, end)) = before {
                    end_run(out, start, end);
                }
                open = Some((row, row + 1));
            }
        });
        if let Some((start, end)) = open {
            end_run(out, start, end);
        }
    } else if gaps_bits < bits_bits || count == 0 {
        out.push(GAPS | (k as u8) << 2);
        put_varint(out, count as u64);
        let mut bits = BitWriter::new(out);
        let mut next = 0;
        rows.for_each(|row| {
            let gap = (row - next) as u64;
            let mut ones = gap >> k;
            while ones >= 31 {
                bits.put((1 << 31) - 1, 31);
                ones -= 31;
            }
            bits.put((1 << ones) - 1, ones as u32 + 1);
            bits.put(gap & ((1 << k) - 1), k);
            next = row + 1;
        });
        bits.finish();
    } else {
        out.push(BITS);
        let start = out.len();
        let words = 0..high.div_ceil(WORD);
        words.for_each(|at| out.extend_from_slice(&rows.word(at).to_le_bytes()));
        out.truncate(start + high.div_ceil(8));
    }
}

/// What a set of rows was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// All that are meant.
    All,
    /// The rows in the list.
    Listed,
}

/// Reads a set of rows below `high` into `rows`, ascending.
pub(crate) fn decode(reader: &mut Reader<'_>, high: usize, rows: &mut Vec<u32>) -> Result<Read, FrameError> {
    const BEYOND: &str = "a row beyond the view's";
    rows.clear();
    let mode = reader.u8()?;
    match mode & 3 {
        ALL if mode == ALL => return Ok(Read::All),
        BITS if mode == BITS => {
            let bytes = reader.take(high.div_ceil(8))?;
            for (index, byte) in bytes.iter().enumerate() {
                for_each_one(u64::from(*byte), index * 8, |row| rows.push(row as u32));
            }
            if rows.last().is_some_and(|last| *last as usize >= high) {
                return Err(reader.invalid(BEYOND));
            }
        }
        GAPS => {
            let k = u32::from(mode >> 2);
            if k > 32 {
                return Err(reader.invalid("rows coded with too many bits"));
            }
            let count = reader.bounded(high, "more rows than the view has")?;
            let rest = reader.clone().take(reader.left())?;
            let mut bits = BitReader::new(rest);
            let mut next = 0_u64;
            for _ in 0..count {
                let mut gap = 0_u64;
                while bits.take(1) == 1 {
                    gap += 1;
                    // Ones do not end for ever: beyond the end there are zeros.
                }
                gap = (gap << k) | bits.take(k);
                let row = next + gap;
                if row >= high as u64 || bits.is_over() {
                    return Err(reader.invalid(BEYOND));
                }
                rows.push(row as u32);
                next = row + 1;
            }
            reader.take(bits.bytes_begun())?;
        }
        RUNS if mode == RUNS => {
            let mut next = 0_usize;
            for _ in 0..reader.bounded(high, "more runs than the view has rows")? {
                let start = next + reader.bounded(high - next, BEYOND)?;
                let length = 1 + reader.bounded(high, BEYOND)?;
                if start + length > high {
                    return Err(reader.invalid(BEYOND));
                }
                next = start + length;
                rows.extend(start as u32..next as u32);
            }
        }
        _ => return Err(reader.invalid("an unknown form of rows")),
    }
    Ok(Read::Listed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(rows: &BTreeSet<usize>, high: usize) -> RowSet {
        let mut set = RowSet::default();
        set.grow(high);
        rows.iter().for_each(|row| set.set(*row));
        set
    }

    fn there_and_back(rows: &BTreeSet<usize>, high: usize) -> usize {
        let mut out = Vec::new();
        encode(&mut out, &set(rows, high), None, high);
        let (mut reader, mut read) = (Reader::new(&out), Vec::new());
        assert_eq!(decode(&mut reader, high, &mut read).unwrap(), Read::Listed);
        assert_eq!(reader.left(), 0, "mode {}", out[0]);
        assert!(read.iter().map(|row| *row as usize).eq(rows.iter().copied()));
        for cut in 0..out.len() {
            assert!(decode(&mut Reader::new(&out[..cut]), high, &mut read).is_err() || out[0] & 3 == GAPS);
        }
        out.len()
    }

    proptest! {
        #[test]
        fn rows_come_back(high in 1_usize..3000, rows in prop::collection::btree_set(0_usize..3000, 0..300)) {
            there_and_back(&rows.into_iter().filter(|row| *row < high).collect(), high);
        }

        #[test]
        fn runs_come_back(high in 1_usize..3000, runs in prop::collection::vec((0_usize..3000, 1_usize..400), 0..6)) {
            let rows = runs.iter().flat_map(|(start, length)| *start..start + length).filter(|row| *row < high).collect();
            there_and_back(&rows, high);
        }

        #[test]
        fn hostile_rows_are_errors_or_in_bounds(bytes: Vec<u8>, high in 0_usize..500) {
            let mut rows = Vec::new();
            if decode(&mut Reader::new(&bytes), high, &mut rows).is_ok() {
                prop_assert!(rows.iter().all(|row| (*row as usize) < high));
                prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }

    #[test]
    fn sparse_rows_take_about_a_byte_and_dense_ones_a_bit() {
        let spread =
            |step: usize| (0..10_000).filter(|row| row * 7919 % 10_000 < 10_000 / step).collect::<BTreeSet<_>>();
        let sparse = spread(100);
        assert!(there_and_back(&sparse, 10_000) <= sparse.len() * 115 / 100 + 4);
        assert!(there_and_back(&spread(2), 10_000) <= 1251);
        assert!(there_and_back(&(100..9000).collect(), 10_000) <= 8);
        let all = set(&(0..100).collect(), 100);
        let mut out = Vec::new();
        encode(&mut out, &all, Some(&all), 100);
        assert_eq!(out, [ALL]);
    }

    #[test]
    fn runs_are_whole_words_and_single_rows_in_order() {
        let mut set = RowSet::default();
        set.grow(5 * WORD);
        set.set_bits(WORD - 2, 0b1011);
        set.set_block(2 * WORD);
        set.set_block(3 * WORD);
        set.set_bits(4 * WORD, 1);
        set.set_bits(5 * WORD - 1, 1);
        let mut runs = Vec::new();
        set.for_each_run(|run| runs.push(run));
        let single = |row: usize| row..row + 1;
        let whole = 2 * WORD..4 * WORD;
        assert_eq!(
            runs,
            [single(WORD - 2), single(WORD - 1), single(WORD + 1), whole, single(4 * WORD), single(5 * WORD - 1)]
        );
        assert_eq!(set.count(), 2 * WORD + 5);
    }
}
