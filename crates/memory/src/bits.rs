//! Bitsets as 64-bit words: bit `i` is bit `i % 64` of word `i / 64`.
//!
//! On little-endian memory this is the byte order that jobs use: byte `i >> 3`, mask `1 << (i & 7)`.

use std::ops::Range;

/// Bits in a word.
pub const WORD: usize = 64;

/// The mask of the bits of `word` that lie in `rows`.
///
/// ```
/// use peristyle_memory::bits::word_mask;
/// assert_eq!(word_mask(0, &(0..64)), u64::MAX);
/// assert_eq!(word_mask(1, &(0..66)), 0b11);
/// assert_eq!(word_mask(0, &(62..70)), 0b11 << 62);
/// assert_eq!(word_mask(3, &(0..64)), 0);
/// ```
#[inline]
pub fn word_mask(word: usize, rows: &Range<usize>) -> u64 {
    let first = word * WORD;
    let start = rows.start.saturating_sub(first);
    let end = rows.end.saturating_sub(first).min(WORD);
    if start >= end {
        return 0;
    }
    (u64::MAX >> (WORD - (end - start))) << start
}

/// Words that hold the bits of `rows`.
#[inline]
pub fn words_of(rows: &Range<usize>) -> Range<usize> {
    if rows.is_empty() { 0..0 } else { rows.start / WORD..rows.end.div_ceil(WORD) }
}

/// Sets bit `row`.
///
/// # Panics
/// If `row` is beyond `words`.
#[inline]
pub fn set(words: &mut [u64], row: usize) {
    words[row / WORD] |= 1 << (row % WORD);
}

/// Reads bit `row`.
///
/// # Panics
/// If `row` is beyond `words`.
#[inline]
pub fn get(words: &[u64], row: usize) -> bool {
    words[row / WORD] >> (row % WORD) & 1 != 0
}

/// 64 bits from bit `first` on; those beyond `words` are 0.
#[inline]
fn load(words: &[u64], first: usize) -> u64 {
    let (word, shift) = (first / WORD, first % WORD);
    let at = |word: usize| words.get(word).copied().unwrap_or(0);
    if shift == 0 { at(word) } else { at(word) >> shift | at(word + 1) << (WORD - shift) }
}

/// Copies `count` bits of `from`, from bit `from_first` on, over those of `to` from bit `to_first` on.
///
/// ```
/// let mut to = [u64::MAX, 0];
/// peristyle_memory::bits::copy(&[0b1011], 0, &mut to, 62, 4);
/// assert_eq!(to, [u64::MAX, 0b10]);
/// ```
///
/// # Panics
/// If they are more than `to` has.
pub fn copy(from: &[u64], from_first: usize, to: &mut [u64], to_first: usize, count: usize) {
    let mut done = 0;
    while done < count {
        let (word, shift) = ((to_first + done) / WORD, (to_first + done) % WORD);
        let bits = (WORD - shift).min(count - done);
        let mask = (u64::MAX >> (WORD - bits)) << shift;
        to[word] = to[word] & !mask | (load(from, from_first + done) << shift) & mask;
        done += bits;
    }
}

/// Calls `f` with each set bit of `word`, lowest first, offset by `first`.
#[inline]
pub fn for_each_one(mut word: u64, first: usize, mut f: impl FnMut(usize)) {
    while word != 0 {
        f(first + word.trailing_zeros() as usize);
        word &= word - 1;
    }
}

/// The set bits of `words`, lowest first.
pub fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, &word)| {
        std::iter::successors(Some(word), |word| Some(word & (word - 1)))
            .take_while(|word| *word != 0)
            .map(move |word| index * WORD + word.trailing_zeros() as usize)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_cover_exactly_their_rows(start in 0_usize..300, len in 0_usize..300) {
            let rows = start..start + len;
            let mut words = [0_u64; 16];
            for word in words_of(&rows) {
                words[word] |= word_mask(word, &rows);
            }
            prop_assert_eq!(ones(&words).collect::<Vec<_>>(), rows.clone().collect::<Vec<_>>());
            prop_assert!((0..words.len()).filter(|w| !words_of(&rows).contains(w)).all(|w| word_mask(w, &rows) == 0));
        }
    }

    #[test]
    fn bit_order_is_the_byte_order_of_jobs() {
        let mut words = [0_u64; 2];
        for row in [0, 9, 63, 64, 127] {
            set(&mut words, row);
            assert!(get(&words, row));
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for row in 0..128 {
            assert_eq!(bytes[row >> 3] & (1 << (row & 7)) != 0, get(&words, row));
        }
        let mut seen = Vec::new();
        for_each_one(words[0], 0, |row| seen.push(row));
        assert_eq!(seen, [0, 9, 63]);
    }
}
