//! A ring of patch records in a memory, from one writer to one reader.
//!
//! ```text
//! word 0    words written, ever (the writer's)       own cache line
//! word 8    words read, ever (the reader's)          own cache line
//! word 16   records refused because the ring was full
//! word 24   1 once the writer is gone, 2 once the reader is
//! word 32.. the records' words, word `n` at `n % capacity`
//! ```
//!
//! A record may go round the end: the reader copies whole records out before it looks at them. So what lies in the ring
//! can be anything, by a fault or by the will of another that shares the memory, and is judged by the decoder of
//! [`PatchRecord`](peristyle_layout::PatchRecord) alone.
//!
//! # Rules
//! - A record is published whole or not at all.
//! - Nothing is overwritten or dropped in silence: a full ring refuses the record and counts it, or the writer waits.
//! - All words are atomics, for the other side may run at the same time; `written` is stored with release after the words
//!   and loaded with acquire before them, and `read` the other way round.
//! - After it was made, neither side allocates; [`PatchReader::read`] grows its buffer to what it holds at most.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::*, fence},
    },
    thread::{self, Thread},
};

use peristyle_layout::{PatchBuffer, PatchDecodeError, PatchRecord};

use crate::{Block, Memory, OutOfMemory};

const WRITTEN: usize = 0;
const READ: usize = 8;
const REFUSED: usize = 16;
const GONE: usize = 24;
const FIRST: usize = 32;

const WRITER_GONE: u64 = 1;
const READER_GONE: u64 = 2;

/// Turns that a waiting writer spins before it parks: some microseconds, what a reader at work needs to make room.
const SPINS: u32 = 1_000;

struct Shared {
    block: Block,
    /// A power of two.
    capacity_words: u64,
    /// The writer, while it is parked or about to.
    waiting: Mutex<Option<Thread>>,
}

impl Shared {
    #[inline(always)]
    fn word(&self, word: usize) -> &AtomicU64 {
        debug_assert!((word as u64) < FIRST as u64 + self.capacity_words);
        // SAFETY: the block has `FIRST + capacity_words` words and lives as long as `self`; it is 64-byte aligned, and its
        // words are reached as atomics only.
        unsafe { &*self.block.ptr().cast::<AtomicU64>().as_ptr().add(word) }
    }

    #[inline(always)]
    fn slot(&self, word: u64) -> &AtomicU64 {
        self.word(FIRST + (word & (self.capacity_words - 1)) as usize)
    }

    fn leave(&self, who: u64) {
        // Release pairs with the acquire of whoever finds the other gone: what it did last is seen.
        self.word(GONE).fetch_or(who, Release);
        self.wake_writer();
    }

    fn wake_writer(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = waiting {
            writer.unpark();
        }
    }
}

/// Makes a ring of at least `bytes` bytes in a memory: the end that writes and the end that reads. Each may go to a thread
/// of its own.
///
/// # Errors
/// [`OutOfMemory`].
///
/// # Panics
/// If `bytes` is above 2^40.
pub fn patch_ring(memory: &Memory, bytes: usize) -> Result<(PatchWriter, PatchReader), OutOfMemory> {
    assert!(bytes as u64 <= 1 << 40, "a ring of {bytes} bytes is beyond reason");
    let capacity_words = bytes.div_ceil(8).next_power_of_two().max(8) as u64;
    let block = memory.allocate((FIRST + capacity_words as usize) * 8)?;
    let shared = Arc::new(Shared { block, capacity_words, waiting: Mutex::new(None) });
    for word in [WRITTEN, READ, REFUSED, GONE] {
        // Relaxed: nobody else knows the ring yet.
        shared.word(word).store(0, Relaxed);
    }
    let writer = PatchWriter { shared: shared.clone(), written: 0, read: 0 };
    Ok((writer, PatchReader { shared, read: 0, staging: Vec::new() }))
}

/// Why a record did not go into a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is no room until the reader has read. The refusal is counted, and the reader can tell.
    #[error("the ring is full: a patch of {record_bytes} bytes, room for {free_bytes}")]
    Full {
        /// Size of the record.
        record_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// The record is larger than the whole ring.
    #[error("a patch of {record_bytes} bytes can never fit into a ring of {capacity_bytes}")]
    TooLarge {
        /// Size of the record.
        record_bytes: u64,
        /// Size of the ring.
        capacity_bytes: u64,
    },
    /// The reader is gone: nobody will make room.
    #[error("the ring's reader is gone")]
    Closed,
}

/// The end of a ring that writes.
pub struct PatchWriter {
    shared: Arc<Shared>,
    /// Own copy of what is published.
    written: u64,
    /// What the reader had read when it was last asked.
    read: u64,
}

impl PatchWriter {
    /// Appends a record, or refuses.
    ///
    /// # Errors
    /// [`RingError`]; the ring is as before but for the count of refusals.
    #[inline]
    pub fn try_push(&mut self, record: &PatchRecord<'_>) -> Result<(), RingError> {
        let words = (record.bytes() / 8) as u64;
        if self.free_words() < words {
            self.make_room(words).inspect_err(|_| {
                // Relaxed: a count, which orders nothing.
                self.shared.word(REFUSED).fetch_add(1, Relaxed);
            })?;
        }
        self.write(record, words);
        Ok(())
    }

    /// Appends a record; waits for the reader while there is no room.
    ///
    /// # Errors
    /// [`RingError::TooLarge`], [`RingError::Closed`].
    pub fn push(&mut self, record: &PatchRecord<'_>) -> Result<(), RingError> {
        let words = (record.bytes() / 8) as u64;
        let mut spins = 0;
        while self.free_words() < words {
            match self.make_room(words) {
                Ok(()) => break,
                Err(RingError::Full { .. }) if spins < SPINS => {
                    spins += 1;
                    std::hint::spin_loop();
                }
                Err(RingError::Full { .. }) => self.park(words),
                Err(error) => return Err(error),
            }
        }
        self.write(record, words);
        Ok(())
    }

    /// Bytes that the ring can hold.
    pub fn capacity_bytes(&self) -> u64 {
        self.shared.capacity_words * 8
    }

    #[inline(always)]
    fn free_words(&self) -> u64 {
        // Saturating: another that shares the memory may have written any number, which costs room or order, no more.
        self.shared.capacity_words.saturating_sub(self.written.wrapping_sub(self.read))
    }

    /// Looks at what the reader has read.
    #[cold]
    fn make_room(&mut self, words: u64) -> Result<(), RingError> {
        if words > self.shared.capacity_words {
            return Err(RingError::TooLarge { record_bytes: words * 8, capacity_bytes: self.capacity_bytes() });
        }
        if self.shared.word(GONE).load(Acquire) & READER_GONE != 0 {
            return Err(RingError::Closed);
        }
        // Acquire pairs with the reader's release: it has copied the words that are written over next.
        self.read = self.shared.word(READ).load(Acquire);
        match self.free_words() {
            free if free >= words => Ok(()),
            free => Err(RingError::Full { record_bytes: words * 8, free_bytes: free * 8 }),
        }
    }

    /// Sleeps until the reader has read something, or is gone.
    fn park(&mut self, words: u64) {
        *self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
        // Pairs with the reader's fence: either it sees that somebody waits, or what it read is seen here.
        fence(SeqCst);
        if matches!(self.make_room(words), Err(RingError::Full { .. })) {
            thread::park();
        }
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    #[inline(always)]
    fn write(&mut self, record: &PatchRecord<'_>, words: u64) {
        let mut at = self.written;
        // Relaxed: the release below publishes the words.
        let mut put = |word: u64| {
            self.shared.slot(at).store(word, Relaxed);
            at = at.wrapping_add(1);
        };
        let [first, second] = record.header();
        put(first);
        put(second);
        let (whole, rest) = record.value.bytes().as_chunks::<8>();
        whole.iter().for_each(|bytes| put(u64::from_le_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            put(u64::from_le_bytes(last));
        }
        self.written = self.written.wrapping_add(words);
        // Release: who sees the number sees the words.
        self.shared.word(WRITTEN).store(self.written, Release);
    }
}

impl Drop for PatchWriter {
    fn drop(&mut self) {
        self.shared.leave(WRITER_GONE);
    }
}

/// The end of a ring that reads.
pub struct PatchReader {
    shared: Arc<Shared>,
    /// Own copy of what is published.
    read: u64,
    /// Kept for its storage.
    staging: Vec<u8>,
}

impl PatchReader {
    /// Moves all records that are there to the end of `out`, and gives their number.
    ///
    /// # Errors
    /// [`PatchDecodeError`] if another that shares the memory wrote no records; all that was there is dropped then.
    pub fn read(&mut self, out: &mut PatchBuffer) -> Result<usize, PatchDecodeError> {
        // Acquire pairs with the writer's release.
        let written = self.shared.word(WRITTEN).load(Acquire);
        let count = written.wrapping_sub(self.read).min(self.shared.capacity_words);
        if count == 0 {
            return Ok(0);
        }
        self.staging.resize(count as usize * 8, 0);
        let (bytes, _) = self.staging.as_chunks_mut::<8>();
        let first = self.read & (self.shared.capacity_words - 1);
        let until_end = (self.shared.capacity_words - first).min(count) as usize;
        let (before, after) = bytes.split_at_mut(until_end);
        for (start, part) in [(FIRST + first as usize, before), (FIRST, after)] {
            // Relaxed: the acquire above ordered them.
            part.iter_mut().enumerate().for_each(|(n, out)| {
                *out = self.shared.word(start + n).load(Relaxed).to_le_bytes();
            });
        }
        self.read = written;
        // Release: the words were copied before the writer may write over them.
        self.shared.word(READ).store(written, Release);
        // Pairs with the fence of a writer that is about to park.
        fence(SeqCst);
        self.shared.wake_writer();
        out.append(&self.staging)
    }

    /// Records refused so far because the ring was full: what a reader that was too slow has not seen.
    pub fn refused(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        self.shared.word(REFUSED).load(Relaxed)
    }

    /// Whether the writer is gone. What it wrote last can still be read.
    pub fn is_closed(&self) -> bool {
        self.shared.word(GONE).load(Acquire) & WRITER_GONE != 0
    }
}

impl Drop for PatchReader {
    fn drop(&mut self) {
        self.shared.leave(READER_GONE);
    }
}

#[cfg(test)]
mod tests {
    use peristyle_layout::{Entity, PatchBytes, PatchKind};

    use super::*;

    fn set(index: u32, value: &[u8]) -> PatchRecord<'_> {
        PatchRecord {
            kind: PatchKind::Set,
            entity: Entity::new(index, 1),
            component: 2,
            value: PatchBytes::Packed(value),
        }
    }

    fn ring(bytes: usize) -> (PatchWriter, PatchReader) {
        patch_ring(&Memory::reserve(16 << 20).unwrap(), bytes).unwrap()
    }

    #[test]
    fn records_come_out_in_order_however_often_they_go_round_the_end() {
        let (mut writer, mut reader) = ring(256);
        let (mut out, mut expected) = (PatchBuffer::new(), PatchBuffer::new());
        for index in 0..1_000_u32 {
            let value = [index as u8; 21];
            let record = set(70_000 + index, &value[..index as usize % 22]);
            writer.try_push(&record).unwrap();
            expected.push(&record);
            if index % 3 == 2 {
                assert_eq!(reader.read(&mut out), Ok(3));
            }
        }
        assert_eq!(reader.read(&mut out), Ok(1));
        assert_eq!(reader.read(&mut out), Ok(0));
        assert_eq!(out, expected);
        assert_eq!(reader.refused(), 0);
    }

    #[test]
    fn a_full_ring_refuses_by_name_and_the_reader_knows_how_often() {
        let (mut writer, mut reader) = ring(64);
        let record = set(1, &[1; 8]);
        writer.try_push(&record).unwrap();
        writer.try_push(&record).unwrap();
        let full = RingError::Full { record_bytes: 24, free_bytes: 16 };
        assert_eq!(writer.try_push(&record), Err(full));
        assert_eq!(writer.try_push(&record), Err(full));
        assert_eq!(reader.refused(), 2);
        let mut out = PatchBuffer::new();
        assert_eq!(reader.read(&mut out), Ok(2));
        writer.try_push(&record).unwrap();
        let large = [0; 64];
        let too_large = RingError::TooLarge { record_bytes: 80, capacity_bytes: 64 };
        assert_eq!(writer.try_push(&set(1, &large)), Err(too_large));
        assert_eq!(writer.push(&set(1, &large)), Err(too_large));
    }

    #[test]
    fn a_writer_that_waits_loses_nothing() {
        const COUNT: u32 = 50_000;
        let (mut writer, mut reader) = ring(512);
        let written = std::thread::spawn(move || {
            for index in 0..COUNT {
                writer.push(&set(index, &index.to_le_bytes())).unwrap();
            }
        });
        let (mut out, mut next) = (PatchBuffer::new(), 0);
        while next < COUNT {
            out.clear();
            reader.read(&mut out).unwrap();
            for record in out.iter() {
                assert_eq!((record.entity.index(), record.value.bytes()), (next, &next.to_le_bytes()[..]));
                next += 1;
            }
        }
        written.join().unwrap();
        assert!(reader.is_closed());
        assert_eq!(reader.refused(), 0);
    }

    #[test]
    fn a_waiting_writer_is_told_that_the_reader_is_gone() {
        let (mut writer, reader) = ring(64);
        let waits = std::thread::spawn(move || {
            loop {
                if let Err(error) = writer.push(&set(1, &[1; 8])) {
                    return error;
                }
            }
        });
        drop(reader);
        assert_eq!(waits.join().unwrap(), RingError::Closed);
    }

    #[test]
    fn what_another_wrote_into_the_ring_is_an_error_and_no_harm() {
        let (mut writer, mut reader) = ring(64);
        writer.try_push(&set(1, &[1; 8])).unwrap();
        reader.shared.slot(0).store(u64::MAX, Relaxed);
        let mut out = PatchBuffer::new();
        assert!(matches!(reader.read(&mut out), Err(PatchDecodeError::UnknownKind { offset: 0, .. })));
        assert!(out.is_empty());
        reader.shared.word(WRITTEN).store(u64::MAX, Relaxed);
        assert!(reader.read(&mut out).is_err());
        reader.shared.word(READ).store(1 << 40, Relaxed);
        let _ = writer.try_push(&set(1, &[1; 8]));
    }
}
