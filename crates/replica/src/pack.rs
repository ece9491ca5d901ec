//! Columns of differences on the wire.
//!
//! ```text
//! u8 form << 6 | width
//!   0 range   zigzag varint of the least difference, then each difference less that, `width` bits
//!   1 bits    u8 shift, then each pattern of bits shifted down by that, `width` bits
//!   2 runs    until all rows are there: zigzag varint of a difference, varint of rows - 1
//! ```
//!
//! A width of 0 stands for 64 bits in wide columns of the second form, and otherwise says that nothing follows: all are
//! equal. Values of `width` bits lie one after the other, low bits first, padded to a byte.

use crate::bytes::{BitReader, BitWriter, Reader, put_varint, unzigzag, zigzag};
use crate::error::FrameError;

/// A code, or a difference of codes: 32 or 64 bits.
pub(crate) trait Word: Copy + Default + Eq {
    const BITS: u32;
    fn less(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    /// As the signed number that it is as a difference.
    fn signed(self) -> i64;
    fn from_signed(value: i64) -> Self;
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
    /// The least and the greatest of some differences.
    fn range(values: &[Self]) -> (i64, i64);
}

macro_rules! word {
    ($type:ty, $signed:ty) => {
        impl Word for $type {
            const BITS: u32 = <$type>::BITS;
            #[inline(always)]
            fn less(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline(always)]
            fn signed(self) -> i64 {
                (self as $signed).into()
            }
            #[inline(always)]
            fn from_signed(value: i64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                self.into()
            }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                bits as $type
            }
            #[inline(always)]
            fn range(values: &[Self]) -> (i64, i64) {
                let (mut least, mut most) = (<$signed>::MAX, <$signed>::MIN);
                for value in values {
                    least = least.min(*value as $signed);
                    most = most.max(*value as $signed);
                }
                (least.into(), most.into())
            }
        }
    };
}
word!(u32, i32);
word!(u64, i64);

const RANGE: u8 = 0;
const BITS: u8 = 1;
const RUNS: u8 = 2;

/// How many neighbours are compared before a look at the sum.
const RUNS_BLOCK: usize = 256;

const fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Appends differences, patterns of bits if they are `bits`.
pub(crate) fn encode<W: Word>(out: &mut Vec<u8>, values: &[W], bits: bool) {
    if values.is_empty() {
        return;
    }
    if bits {
        let all = values.iter().fold(W::default(), |all, value| all.or(*value)).bits();
        let shift = if all == 0 { 0 } else { all.trailing_zeros() };
        let width = width_of(all >> shift);
        out.push(BITS << 6 | (width & 63) as u8);
        out.push(shift as u8 | if width == 64 { 0x80 } else { 0 });
        return put_all(out, values, width, |value| value.bits() >> shift);
    }
    let (least, most) = W::range(values);
    let width = width_of(most.wrapping_sub(least) as u64);
    let runs_max = values.len() * width as usize / 24;
    if runs_max > 0 {
        // Looked for only as long as runs would be shorter; by blocks without an end in between, which become vectors.
        let mut runs = 1;
        let pairs = values.chunks(RUNS_BLOCK).zip(values[1..].chunks(RUNS_BLOCK));
        let is_shorter = pairs.into_iter().all(|(left, right)| {
            runs += left.iter().zip(right).map(|(a, b)| u32::from(a != b)).sum::<u32>() as usize;
            runs < runs_max
        });
        if is_shorter {
            return encode_runs(out, values);
        }
    }
    if width == 64 {
        // Differences of every size: no range is worth naming.
        out.push(BITS << 6);
        out.push(0x80);
        return put_all(out, values, 64, |value| value.bits());
    }
    out.push(RANGE << 6 | width as u8);
    put_varint(out, zigzag(least));
    let least = W::from_signed(least);
    put_all(out, values, width, |value| value.less(least).bits());
}

fn encode_runs<W: Word>(out: &mut Vec<u8>, values: &[W]) {
    out.push(RUNS << 6);
    for run in values.chunk_by(|a, b| a == b) {
        put_varint(out, zigzag(run[0].signed()));
        put_varint(out, run.len() as u64 - 1);
    }
}

#[inline(always)]
fn put_all<W: Word>(out: &mut Vec<u8>, values: &[W], width: u32, code: impl Fn(&W) -> u64) {
    match width {
        0 => {}
        8 => out.extend(values.iter().map(|value| code(value) as u8)),
        16 => out.extend(values.iter().flat_map(|value| (code(value) as u16).to_le_bytes())),
        32 => out.extend(values.iter().flat_map(|value| (code(value) as u32).to_le_bytes())),
        64 => out.extend(values.iter().flat_map(|value| code(value).to_le_bytes())),
        _ => {
            if width < 32 {
                return put_narrow(out, values, width, code);
            }
            let mut bits = BitWriter::new(out);
            for code in values.iter().map(code) {
                bits.put(code & u64::from(u32::MAX), 32);
                bits.put(code >> 32, width - 32);
            }
            bits.finish();
        }
    }
}

/// Codes of less than 32 bits, as [`BitWriter`] writes them: 32 of them are whole words, which go out at once.
#[inline(always)]
fn put_narrow<W: Word>(out: &mut Vec<u8>, values: &[W], width: u32, code: impl Fn(&W) -> u64) {
    const GROUP: usize = 32;
    let mut bytes = [0_u8; GROUP * 4];
    out.reserve((values.len() * width as usize).div_ceil(8));
    for group in values.chunks(GROUP) {
        let (mut word, mut used, mut at) = (0_u64, 0, 0);
        for value in group {
            word |= code(value) << used;
            used += width;
            if used >= 32 {
                bytes[at..at + 4].copy_from_slice(&(word as u32).to_le_bytes());
                at += 4;
                word >>= 32;
                used -= 32;
            }
        }
        // Only the last group leaves bits over.
        let rest = (used as usize).div_ceil(8);
        bytes[at..at + rest].copy_from_slice(&word.to_le_bytes()[..rest]);
        out.extend_from_slice(&bytes[..at + rest]);
    }
}

/// Reads `count` differences into `values`.
pub(crate) fn decode<W: Word>(reader: &mut Reader<'_>, count: usize, values: &mut Vec<W>) -> Result<(), FrameError> {
    values.clear();
    if count == 0 {
        return Ok(());
    }
    let head = reader.u8()?;
    let width = u32::from(head & 63);
    match head >> 6 {
        BITS => {
            let shift = reader.u8()?;
            let width = if shift & 0x80 != 0 { 64 } else { width };
            let shift = u32::from(shift & 0x7f);
            if width + shift > W::BITS {
                return Err(reader.invalid("a column of more bits than its values have"));
            }
            take_all(reader, count, width, values, |code| W::from_bits(code << shift))
        }
        RANGE => {
            let least = W::from_signed(unzigzag(reader.varint()?));
            if width > W::BITS {
                return Err(reader.invalid("a column of more bits than its values have"));
            }
            take_all(reader, count, width, values, |code| least.plus(W::from_bits(code)))
        }
        RUNS if width == 0 => {
            while values.len() < count {
                let value = W::from_signed(unzigzag(reader.varint()?));
                let run = 1 + reader.bounded(count - values.len() - 1, "a run beyond the column")?;
                values.resize(values.len() + run, value);
            }
            Ok(())
        }
        _ => Err(reader.invalid("an unknown form of column")),
    }
}

#[inline(always)]
fn take_all<W: Word>(
    reader: &mut Reader<'_>,
    count: usize,
    width: u32,
    values: &mut Vec<W>,
    value: impl Fn(u64) -> W,
) -> Result<(), FrameError> {
    let bytes = reader.take((count * width as usize).div_ceil(8))?;
    match width {
        0 => values.resize(count, value(0)),
        8 => values.extend(bytes.iter().map(|byte| value(u64::from(*byte)))),
        16 => values.extend(bytes.as_chunks().0.iter().map(|code| value(u16::from_le_bytes(*code).into()))),
        32 => values.extend(bytes.as_chunks().0.iter().map(|code| value(u32::from_le_bytes(*code).into()))),
        64 => values.extend(bytes.as_chunks().0.iter().map(|code| value(u64::from_le_bytes(*code)))),
        _ => {
            let mut bits = BitReader::new(bytes);
            if width < 32 {
                values.extend((0..count).map(|_| value(bits.take(width))));
            } else {
                values.extend((0..count).map(|_| value(bits.take(32) | bits.take(width - 32) << 32)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back<W: Word + std::fmt::Debug>(values: &[W], bits: bool) -> usize {
        let mut out = Vec::new();
        encode(&mut out, values, bits);
        let (mut reader, mut read) = (Reader::new(&out), Vec::<W>::new());
        decode(&mut reader, values.len(), &mut read).unwrap();
        assert_eq!(reader.left(), 0);
        assert_eq!(read, values);
        out.len()
    }

    proptest! {
        #[test]
        fn columns_come_back(
            values in prop::collection::vec(any::<u64>(), 0..200), shift in 0_u32..64, bits: bool, repeat in 1_usize..20,
        ) {
            let values: Vec<u64> =
                values.into_iter().flat_map(|v| std::iter::repeat_n(((v as i64) >> shift) as u64, repeat)).collect();
            there_and_back(&values, bits);
            let narrow: Vec<u32> = values.iter().map(|value| *value as u32).collect();
            there_and_back(&narrow, bits);
            let low: Vec<u32> = values.iter().map(|value| (*value as u32) << (shift % 32)).collect();
            there_and_back(&low, true);
        }

        #[test]
        fn hostile_columns_are_errors_or_columns(bytes: Vec<u8>, count in 0_usize..300) {
            let (mut narrow, mut wide) = (Vec::<u32>::new(), Vec::<u64>::new());
            if decode(&mut Reader::new(&bytes), count, &mut narrow).is_ok() {
                prop_assert_eq!(narrow.len(), count);
            }
            if decode(&mut Reader::new(&bytes), count, &mut wide).is_ok() {
                prop_assert_eq!(wide.len(), count);
            }
        }
    }

    #[test]
    fn small_differences_take_few_bits() {
        let within = |range: i32| (0..1000).map(|i| (i * 7919 % (2 * range + 1) - range) as u32).collect::<Vec<_>>();
        assert_eq!(there_and_back(&within(63), false), 877);
        assert_eq!(there_and_back(&within(64), false), 1002);
        assert_eq!(there_and_back(&[5_u32; 1000], false), 2);
        assert!(there_and_back(&[[3_u32; 500], [9; 500]].concat(), false) <= 8);
    }
}
