//! Patch records: the binary form of one change of a world.
//!
//! A record is a whole number of 8-byte words, little-endian:
//!
//! ```text
//! bytes 0 .. 8     bits 0-52 entity, 53-55 zero, 56-59 encoding, 60-63 kind
//! bytes 8 .. 12    component's number in the world, 0 for destroy
//! bytes 12 .. 16   bytes of the value
//! bytes 16 ..      the value, then zeroes up to a multiple of 8
//! ```
//!
//! A *packed* value holds the component's fields in order, each with the bytes of its scalar, nothing between. A *text*
//! is JSON, for components that have no columns.
//!
//! # Rules
//! - One change has one record: what could be written in two ways (padding, unused bits) is checked, so that decoding and
//!   encoding again gives the same bytes.
//! - Decoding is total: every sequence of bytes gives records or a [`PatchDecodeError`] with the offset of the record.
//!
//! # Not here
//! Whether entity and component exist and the value fits them: only a world knows.

use alloc::vec::Vec;
use core::fmt;

use crate::Entity;

/// Bytes of a record without a value.
pub const HEADER_BYTES: usize = 16;

/// What a patch does. The discriminants are part of the format: never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PatchKind {
    /// Replaces the value of a component that the entity has.
    Set = 1,
    /// Gives the entity a component, or replaces the value of the one it has.
    Add = 2,
    /// Takes a component from the entity.
    Remove = 3,
    /// Despawns the entity.
    Destroy = 4,
}

impl PatchKind {
    /// The name in the JSON form.
    pub const fn name(self) -> &'static str {
        match self {
            PatchKind::Set => "set",
            PatchKind::Add => "add",
            PatchKind::Remove => "remove",
            PatchKind::Destroy => "destroy",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<PatchKind> {
        [PatchKind::Set, PatchKind::Add, PatchKind::Remove, PatchKind::Destroy].into_iter().find(|k| k.name() == name)
    }

    /// Whether such a patch has a value.
    pub const fn has_value(self) -> bool {
        matches!(self, PatchKind::Set | PatchKind::Add)
    }
}

impl fmt::Display for PatchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a patch, as it lies in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchBytes<'a> {
    /// There is none.
    None,
    /// A columnar component's fields in order, tightly packed.
    Packed(&'a [u8]),
    /// An opaque component's value as JSON.
    Text(&'a str),
}

impl<'a> PatchBytes<'a> {
    /// The bytes.
    #[inline]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            PatchBytes::None => &[],
            PatchBytes::Packed(bytes) => bytes,
            PatchBytes::Text(text) => text.as_bytes(),
        }
    }

    const fn encoding(self) -> u64 {
        match self {
            PatchBytes::None => 0,
            PatchBytes::Packed(_) => 1,
            PatchBytes::Text(_) => 2,
        }
    }
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchRecord<'a> {
    /// What it does.
    pub kind: PatchKind,
    /// To which entity; may be provisional.
    pub entity: Entity,
    /// Which component; 0 for [`PatchKind::Destroy`].
    pub component: u32,
    /// Its new value; [`PatchBytes::None`] but for set and add.
    pub value: PatchBytes<'a>,
}

impl<'a> PatchRecord<'a> {
    /// The record's first two words.
    ///
    /// # Panics
    /// If the value has 2^32 bytes or more.
    #[inline]
    pub fn header(&self) -> [u64; 2] {
        let bytes = u32::try_from(self.value.bytes().len()).expect("a value is smaller than 4 GiB");
        let first = self.entity.to_bits() | self.value.encoding() << 56 | (self.kind as u64) << 60;
        [first, u64::from(self.component) | u64::from(bytes) << 32]
    }

    /// Bytes of the whole record, a multiple of 8.
    #[inline]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.value.bytes().len().next_multiple_of(8)
    }

    /// Reads the record at `offset`, and gives the offset of the next.
    ///
    /// # Errors
    /// [`PatchDecodeError`].
    #[inline]
    pub fn decode(bytes: &'a [u8], offset: usize) -> Result<(PatchRecord<'a>, usize), PatchDecodeError> {
        let at = offset as u64;
        let left = bytes.get(offset..).unwrap_or_default();
        let missing =
            |needed: u64| PatchDecodeError::Truncated { offset: at, missing_bytes: needed - left.len() as u64 };
        let Some((header, rest)) = left.split_first_chunk::<HEADER_BYTES>() else {
            return Err(missing(HEADER_BYTES as u64));
        };
        let (first, second) = words(header);
        let kind = match first >> 60 {
            1 => PatchKind::Set,
            2 => PatchKind::Add,
            3 => PatchKind::Remove,
            4 => PatchKind::Destroy,
            kind => return Err(PatchDecodeError::UnknownKind { offset: at, kind: kind as u8 }),
        };
        let (encoding, entity) = ((first >> 56 & 0xf) as u8, first & ((1 << 56) - 1));
        // A wrong number of bits is no safe integer either, and is refused with the rest.
        let Ok(entity) = Entity::from_bits(entity) else {
            return Err(PatchDecodeError::Entity { offset: at, bits: entity });
        };
        let (component, length) = (second as u32, second >> 32);
        // In 64 bits, for where `usize` has 32 the sum may not fit.
        let padded = length.next_multiple_of(8);
        if (rest.len() as u64) < padded {
            return Err(missing(HEADER_BYTES as u64 + padded));
        }
        let (padded, length) = (padded as usize, length as usize);
        let (value, padding) = rest[..padded].split_at(length);
        let value = match encoding {
            0 if length == 0 => PatchBytes::None,
            0 => return Err(PatchDecodeError::Value { offset: at, kind }),
            1 => PatchBytes::Packed(value),
            2 => match core::str::from_utf8(value) {
                Ok(text) => PatchBytes::Text(text),
                Err(_) => return Err(PatchDecodeError::Text { offset: at }),
            },
            encoding => return Err(PatchDecodeError::UnknownEncoding { offset: at, encoding }),
        };
        if kind.has_value() != (encoding != 0) {
            return Err(PatchDecodeError::Value { offset: at, kind });
        }
        if kind == PatchKind::Destroy && component != 0 || !is_zero(padding) {
            return Err(PatchDecodeError::Unused { offset: at });
        }
        Ok((PatchRecord { kind, entity, component, value }, offset + HEADER_BYTES + padded))
    }
}

/// Whether fewer than eight bytes are all zero.
#[inline]
fn is_zero(padding: &[u8]) -> bool {
    padding.is_empty() || padding.iter().fold(0, |all, byte| all | byte) == 0
}

/// The two words of a header.
#[inline(always)]
fn words(header: &[u8; HEADER_BYTES]) -> (u64, u64) {
    let all = u128::from_le_bytes(*header);
    (all as u64, (all >> 64) as u64)
}

/// Why bytes are no patch records. `offset` is where the record starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatchDecodeError {
    /// The bytes end too early.
    Truncated {
        /// Where the record starts.
        offset: u64,
        /// So many bytes more are needed.
        missing_bytes: u64,
    },
    /// There is no such kind.
    UnknownKind {
        /// Where the record starts.
        offset: u64,
        /// The kind's number.
        kind: u8,
    },
    /// There is no such encoding of values.
    UnknownEncoding {
        /// Where the record starts.
        offset: u64,
        /// The encoding's number.
        encoding: u8,
    },
    /// The number is no entity handle.
    Entity {
        /// Where the record starts.
        offset: u64,
        /// The number.
        bits: u64,
    },
    /// A value is missing, or is there and should not be.
    Value {
        /// Where the record starts.
        offset: u64,
        /// The patch's kind.
        kind: PatchKind,
    },
    /// A text is not UTF-8.
    Text {
        /// Where the record starts.
        offset: u64,
    },
    /// Bytes that mean nothing are not zero.
    Unused {
        /// Where the record starts.
        offset: u64,
    },
}

impl fmt::Display for PatchDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatchDecodeError::Truncated { offset, missing_bytes } => {
                write!(f, "the patch at byte {offset} ends {missing_bytes} bytes too early")
            }
            PatchDecodeError::UnknownKind { offset, kind } => {
                write!(f, "the patch at byte {offset} is of the unknown kind {kind}")
            }
            PatchDecodeError::UnknownEncoding { offset, encoding } => {
                write!(f, "the patch at byte {offset} has a value of the unknown encoding {encoding}")
            }
            PatchDecodeError::Entity { offset, bits } => {
                write!(f, "the patch at byte {offset} names {bits}, which is not an entity handle")
            }
            PatchDecodeError::Value { offset, kind } if kind.has_value() => {
                write!(f, "the patch at byte {offset} ({kind}) has no value")
            }
            PatchDecodeError::Value { offset, kind } => {
                write!(f, "the patch at byte {offset} ({kind}) has a value")
            }
            PatchDecodeError::Text { offset } => write!(f, "the text of the patch at byte {offset} is not UTF-8"),
            PatchDecodeError::Unused { offset } => {
                write!(f, "the patch at byte {offset} has bytes that should be zero and are not")
            }
        }
    }
}

impl core::error::Error for PatchDecodeError {}

/// Patch records, one after the other. Emptied and filled again, it allocates nothing once it has grown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchBuffer {
    bytes: Vec<u8>,
    records: usize,
}

impl PatchBuffer {
    /// No records.
    pub const fn new() -> PatchBuffer {
        PatchBuffer { bytes: Vec::new(), records: 0 }
    }

    /// Takes in records made elsewhere.
    ///
    /// # Errors
    /// [`PatchDecodeError`] of the first record that is none; nothing is taken then.
    pub fn from_bytes(bytes: &[u8]) -> Result<PatchBuffer, PatchDecodeError> {
        let mut buffer = PatchBuffer::new();
        buffer.append(bytes)?;
        Ok(buffer)
    }

    /// Appends records made elsewhere, and gives their number.
    ///
    /// # Errors
    /// As [`PatchBuffer::from_bytes`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<usize, PatchDecodeError> {
        let (mut records, mut offset) = (0, 0);
        while offset < bytes.len() {
            offset = PatchRecord::decode(bytes, offset)?.1;
            records += 1;
        }
        self.bytes.extend_from_slice(bytes);
        self.records += records;
        Ok(records)
    }

    /// Appends a record.
    ///
    /// # Panics
    /// If the value has 2^32 bytes or more, or is there where it should not be, or the reverse.
    #[inline]
    pub fn push(&mut self, record: &PatchRecord<'_>) {
        let has_value = record.value != PatchBytes::None;
        assert!(has_value == record.kind.has_value(), "set and add have a value, remove and destroy have none");
        assert!(record.kind != PatchKind::Destroy || record.component == 0, "destroy names no component");
        let [first, second] = record.header();
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&first.to_le_bytes());
        header[8..].copy_from_slice(&second.to_le_bytes());
        let value = record.value.bytes();
        self.bytes.reserve(HEADER_BYTES + value.len() + 7);
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(&[0; 7][..value.len().next_multiple_of(8) - value.len()]);
        self.records += 1;
    }

    /// Appends a patch that sets a component's value.
    #[inline]
    pub fn set(&mut self, entity: Entity, component: u32, value: PatchBytes<'_>) {
        self.push(&PatchRecord { kind: PatchKind::Set, entity, component, value });
    }

    /// Appends a patch that gives an entity a component.
    #[inline]
    pub fn add(&mut self, entity: Entity, component: u32, value: PatchBytes<'_>) {
        self.push(&PatchRecord { kind: PatchKind::Add, entity, component, value });
    }

    /// Appends a patch that takes a component from an entity.
    #[inline]
    pub fn remove(&mut self, entity: Entity, component: u32) {
        self.push(&PatchRecord { kind: PatchKind::Remove, entity, component, value: PatchBytes::None });
    }

    /// Appends a patch that despawns an entity.
    #[inline]
    pub fn destroy(&mut self, entity: Entity) {
        self.push(&PatchRecord { kind: PatchKind::Destroy, entity, component: 0, value: PatchBytes::None });
    }

    /// The records' bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there is no record.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The records.
    pub fn iter(&self) -> impl Iterator<Item = PatchRecord<'_>> {
        let mut offset = 0;
        core::iter::from_fn(move || {
            let (record, next) = self.record_at(offset)?;
            offset = next;
            Some(record)
        })
    }

    /// The record at a byte where one begins, and where the next begins; none at the end.
    ///
    /// Nothing is checked again: there are only whole records in a buffer. At another byte the result is arbitrary.
    #[inline]
    pub fn record_at(&self, offset: usize) -> Option<(PatchRecord<'_>, usize)> {
        let (header, rest) = self.bytes.get(offset..)?.split_first_chunk::<HEADER_BYTES>()?;
        let (first, second) = words(header);
        let kind = match first >> 60 {
            1 => PatchKind::Set,
            2 => PatchKind::Add,
            3 => PatchKind::Remove,
            _ => PatchKind::Destroy,
        };
        let value = rest.get(..(second >> 32) as usize)?;
        let value = match first >> 56 & 0xf {
            0 => PatchBytes::None,
            1 => PatchBytes::Packed(value),
            _ => PatchBytes::Text(core::str::from_utf8(value).ok()?),
        };
        let entity = Entity::from_bits_unchecked(first & ((1 << 53) - 1));
        let next = offset + HEADER_BYTES + value.bytes().len().next_multiple_of(8);
        Some((PatchRecord { kind, entity, component: second as u32, value }, next))
    }

    /// Where the buffer ends now, for [`PatchBuffer::truncate`].
    pub fn mark(&self) -> PatchMark {
        PatchMark { bytes: self.bytes.len(), records: self.records }
    }

    /// Takes back what was appended since `mark`.
    pub fn truncate(&mut self, mark: PatchMark) {
        self.bytes.truncate(mark.bytes);
        self.records = self.records.min(mark.records);
    }

    /// Forgets all records and keeps the storage.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
    }
}

/// A place in a [`PatchBuffer`] between two records.
#[derive(Debug, Clone, Copy)]
pub struct PatchMark {
    bytes: usize,
    records: usize,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn entity() -> Entity {
        Entity::new(70_000, 3)
    }

    fn one(f: impl FnOnce(&mut PatchBuffer)) -> Vec<u8> {
        let mut buffer = PatchBuffer::new();
        f(&mut buffer);
        buffer.bytes().to_vec()
    }

    #[test]
    fn records_of_every_kind_come_back_as_they_were() {
        let mut buffer = PatchBuffer::new();
        buffer.set(entity(), 7, PatchBytes::Packed(&[1, 2, 3]));
        buffer.add(Entity::provisional(5, 9), u32::MAX, PatchBytes::Text("{\"ü\":1}"));
        buffer.add(entity(), 0, PatchBytes::Packed(&[]));
        buffer.remove(entity(), 8);
        buffer.destroy(Entity::new(crate::INDEX_MAX, crate::GENERATION_MAX));
        let records: Vec<_> = buffer.iter().collect();
        assert_eq!(records.len(), buffer.len());
        let mut again = PatchBuffer::new();
        records.iter().for_each(|record| again.push(record));
        assert_eq!(again, buffer);
        assert_eq!(PatchBuffer::from_bytes(buffer.bytes()), Ok(buffer));
    }

    #[test]
    fn every_cut_names_the_record_that_it_hits() {
        let bytes = one(|buffer| {
            buffer.destroy(entity());
            buffer.set(entity(), 7, PatchBytes::Packed(&[1; 9]));
        });
        assert_eq!(bytes.len(), 16 + 32);
        for end in (1..16).chain(17..48) {
            let start = if end < 16 { 0 } else { 16 };
            let needed = match end {
                0..16 => 16,
                16..32 => 32,
                _ => 48,
            };
            let expected = PatchDecodeError::Truncated { offset: start, missing_bytes: (needed - end) as u64 };
            assert_eq!(PatchBuffer::from_bytes(&bytes[..end]), Err(expected), "{end}");
        }
    }

    #[test]
    fn what_is_no_record_is_named_with_its_offset() {
        let good = one(|buffer| buffer.destroy(entity()));
        let check = |at: usize, byte: u8, expected: PatchDecodeError| {
            let mut bytes = good.repeat(2);
            bytes[16 + at] = byte;
            assert_eq!(PatchBuffer::from_bytes(&bytes), Err(expected));
            assert!(expected.to_string().contains("byte 16"), "{expected}");
        };
        let offset = 16;
        check(7, 0x00, PatchDecodeError::UnknownKind { offset, kind: 0 });
        check(7, 0xf0, PatchDecodeError::UnknownKind { offset, kind: 15 });
        check(7, 0x13, PatchDecodeError::UnknownEncoding { offset, encoding: 3 });
        check(7, 0x41, PatchDecodeError::Value { offset, kind: PatchKind::Destroy });
        check(7, 0x10, PatchDecodeError::Value { offset, kind: PatchKind::Set });
        check(4, 0x00, PatchDecodeError::Entity { offset, bits: 70_000 });
        check(6, 0x20, PatchDecodeError::Entity { offset, bits: entity().to_bits() | 1 << 53 });
        check(8, 0x01, PatchDecodeError::Unused { offset });
        check(12, 0x08, PatchDecodeError::Truncated { offset, missing_bytes: 8 });
        check(15, 0xff, PatchDecodeError::Truncated { offset, missing_bytes: 0xff00_0000 });
        let mut text = one(|buffer| buffer.set(entity(), 1, PatchBytes::Text("abc")));
        text[18] = 0xff;
        assert_eq!(PatchBuffer::from_bytes(&text), Err(PatchDecodeError::Text { offset: 0 }));
        text[18] = b'c';
        text[19] = 1;
        assert_eq!(PatchBuffer::from_bytes(&text), Err(PatchDecodeError::Unused { offset: 0 }));
    }

    #[test]
    fn a_failed_append_takes_nothing_and_a_mark_brings_back_what_was() {
        let mut buffer = PatchBuffer::new();
        buffer.destroy(entity());
        let (before, mark) = (buffer.clone(), buffer.mark());
        let mut bad = before.bytes().repeat(2);
        bad.pop();
        assert!(buffer.append(&bad).is_err());
        assert_eq!(buffer, before);
        assert_eq!(buffer.append(before.bytes()), Ok(1));
        assert_eq!(buffer.len(), 2);
        buffer.truncate(mark);
        assert_eq!(buffer, before);
    }
}
