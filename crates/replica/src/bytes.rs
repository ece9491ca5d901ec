//! Bytes in and out: little-endian numbers, varints, and streams of bits.
//!
//! A varint is LEB128: seven bits a byte, low ones first, the high bit saying that more follow; at most ten bytes. Signed
//! ones are zigzagged first (0, -1, 1, -2 .. as 0, 1, 2, 3 ..).

use crate::error::FrameError;

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads a frame from its start to its end, and knows where it is.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The error that what lies here is not what the format has.
    pub(crate) fn invalid(&self, what: &'static str) -> FrameError {
        FrameError::Invalid { offset: self.at, what }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        if count > self.left() {
            return Err(FrameError::Truncated { offset: self.at, missing: count - self.left() });
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, FrameError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.invalid("a varint of more than 64 bits"))
    }

    /// A varint that is at most `max`.
    pub(crate) fn bounded(&mut self, max: usize, what: &'static str) -> Result<usize, FrameError> {
        let at = self.at;
        let value = self.varint()?;
        if value > max as u64 { Err(FrameError::Invalid { offset: at, what }) } else { Ok(value as usize) }
    }

    pub(crate) fn text(&mut self, max: usize) -> Result<&'a str, FrameError> {
        let length = self.bounded(max, "a longer text than is allowed")?;
        let at = self.at;
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| FrameError::Invalid { offset: at, what: "a text that is not UTF-8" })
    }
}

/// Writes bits, low ones first, and fills the last byte with zeros.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    used: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> BitWriter<'a> {
        BitWriter { out, word: 0, used: 0 }
    }

    /// Writes the low `width` bits of `value`, at most 32; the others are 0.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(width <= 32 && (value >> width) == 0);
        self.word |= value << self.used;
        self.used += width;
        if self.used >= 32 {
            self.out.extend_from_slice(&(self.word as u32).to_le_bytes());
            self.word >>= 32;
            self.used -= 32;
        }
    }

    pub(crate) fn finish(self) {
        let bytes = (self.used as usize).div_ceil(8);
        self.out.extend_from_slice(&self.word.to_le_bytes()[..bytes]);
    }
}

/// Reads bits, low ones first; zeros beyond the end, which the caller checked before.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    word: u64,
    held: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, at: 0, word: 0, held: 0 }
    }

    /// The next `width` bits, at most 32.
    #[inline]
    pub(crate) fn take(&mut self, width: u32) -> u64 {
        if self.held < width {
            let mut bytes = [0; 4];
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            if let Some(next) = rest.first_chunk::<4>() {
                bytes = *next;
            } else {
                bytes[..rest.len()].copy_from_slice(rest);
            }
            self.word |= u64::from(u32::from_le_bytes(bytes)) << self.held;
            self.at += 4;
            self.held += 32;
        }
        let value = self.word & ((1 << width) - 1);
        self.word >>= width;
        self.held -= width;
        value
    }

    /// Whether more bits were taken than there are.
    pub(crate) fn is_over(&self) -> bool {
        self.at * 8 > self.bytes.len() * 8 + self.held as usize
    }

    /// Bytes that were begun.
    pub(crate) fn bytes_begun(&self) -> usize {
        (self.at * 8 - self.held as usize).div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_varint(&mut out, zigzag(signed));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(unzigzag(reader.varint().unwrap()), signed);
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn bits_come_back(values in prop::collection::vec((any::<u32>(), 0_u32..=32), 0..200)) {
            let mut out = Vec::new();
            let mut bits = BitWriter::new(&mut out);
            let mask = |value: u32, width: u32| u64::from(value) & ((1 << width) - 1);
            for (value, width) in &values {
                bits.put(mask(*value, *width), *width);
            }
            bits.finish();
            let total: u32 = values.iter().map(|(_, width)| width).sum();
            prop_assert_eq!(out.len(), total.div_ceil(8) as usize);
            let mut bits = BitReader::new(&out);
            for (value, width) in &values {
                prop_assert_eq!(bits.take(*width), mask(*value, *width));
            }
            prop_assert!(!bits.is_over());
            prop_assert_eq!(bits.bytes_begun(), out.len());
        }
    }

    #[test]
    fn an_endless_varint_is_an_error() {
        assert!(Reader::new(&[0xff; 20]).varint().is_err());
        assert!(Reader::new(&[0xff; 3]).varint().is_err());
        let mut bits = BitReader::new(&[1]);
        bits.take(9);
        assert!(bits.is_over());
    }
}
