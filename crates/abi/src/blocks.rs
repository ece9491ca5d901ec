//! The two blocks by which the core and its host talk: the header's words, and the scratch.
//!
//! # Rules
//! - Both belong to the core during a call, and to the host between calls: no two touch them at once.
//! - The header never moves. The scratch moves when it grows, and the header says where it is.

use std::{ops::Range, slice};

use peristyle_memory::{Block, Memory, OutOfMemory};

/// A word of the header: a `u32`, little-endian, at four times its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Word {
    /// Offset of the scratch block.
    Scratch,
    /// Bytes of the scratch block.
    ScratchBytes,
    /// Changes when a chunk was replaced or released: what was known of chunks by their numbers no longer holds.
    LayoutVersion,
    /// Offset of the message of the last error.
    ErrorText,
    /// Bytes of that message.
    ErrorBytes,
    /// The chunk of the row that was just made.
    Chunk,
    /// That row.
    Row,
    /// Entities alive.
    Entities,
    /// The system that is to run.
    System,
    /// Offset of its range list; 0 if it is given no rows.
    List,
    /// Rows that it is given.
    Rows,
    /// 1 if its descriptors are for one lane.
    OneLane,
    /// Removals that a reader missed.
    Missed,
    /// Why the core broke off: see [`Broken`].
    Broken,
}

/// Why the core broke off, in the header's word of that name; 0 while it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Broken {
    /// It panicked; the message is where that of errors is.
    Panic = 1,
    /// The heap is used up.
    Exhausted = 2,
}

impl Word {
    /// All words, in order, with their names in TypeScript.
    pub const ALL: [(Word, &'static str, &'static str); 14] = [
        (Word::Scratch, "scratch", "Offset of the scratch block. Calls that need more room move it."),
        (Word::ScratchBytes, "scratchBytes", "Bytes of the scratch block."),
        (
            Word::LayoutVersion,
            "layoutVersion",
            "Changes when a chunk was replaced or released: what was known of chunks by their numbers no longer holds. New \
             chunks do not change it.",
        ),
        (Word::ErrorText, "errorText", "Offset of the message of the last error, or of a panic."),
        (Word::ErrorBytes, "errorBytes", "Bytes of that message."),
        (Word::Chunk, "chunk", "The chunk of the row that `spawn`, `spawn_many` or `relocate` made."),
        (Word::Row, "row", "That row."),
        (Word::Entities, "entities", "Entities alive."),
        (Word::System, "system", "The system that `next` hands out."),
        (Word::List, "list", "Offset of its range list; 0 if it is given no rows."),
        (Word::Rows, "rows", "Rows that it is given, or that its query has."),
        (Word::OneLane, "oneLane", "1 if its descriptors are for one lane, one after the other."),
        (Word::Missed, "missed", "Removals that a reader missed."),
        (
            Word::Broken,
            "broken",
            "Why the core broke off: 1 if it panicked, 2 if the heap is used up; 0 while it did not.",
        ),
    ];
}

/// Bytes of a message; longer ones are cut.
const ERROR_BYTES: usize = 4096;
/// Bytes of the scratch to begin with: the handles of a full chunk.
const SCRATCH_BYTES: usize = 128 << 10;

/// The header and the message behind it, and the scratch.
pub(crate) struct Blocks {
    memory: Memory,
    header: Block,
    error: Block,
    scratch: Block,
}

/// A block of zeroed bytes.
pub(crate) fn zeroed(memory: &Memory, bytes: usize) -> Result<Block, OutOfMemory> {
    let block = memory.allocate(bytes)?;
    // SAFETY: the block is fresh, as large as it says, and nobody else knows it.
    unsafe { block.ptr().write_bytes(0, block.bytes() as usize) };
    Ok(block)
}

/// Bytes that the host wrote into the scratch, or may read from it.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes of scratch are named, it has {room}")]
pub(crate) struct BeyondScratch {
    bytes: u64,
    room: u64,
}

impl Blocks {
    pub(crate) fn new(memory: Memory) -> Result<Blocks, OutOfMemory> {
        let header = memory.allocate(Word::ALL.len() * 4)?;
        let error = memory.allocate(ERROR_BYTES)?;
        let scratch = memory.allocate(SCRATCH_BYTES)?;
        let blocks = Blocks { memory, header, error, scratch };
        for (word, _, _) in Word::ALL {
            blocks.set(word, 0);
        }
        blocks.set(Word::ErrorText, blocks.error.offset() as u32);
        blocks.tell_scratch();
        Ok(blocks)
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn header_offset(&self) -> u64 {
        self.header.offset()
    }

    #[inline]
    pub(crate) fn set(&self, word: Word, value: u32) {
        // SAFETY: the header has a word for each, and is the core's during a call.
        unsafe { self.header.ptr().cast::<u32>().add(word as usize).write(value) };
    }

    #[inline]
    pub(crate) fn get(&self, word: Word) -> u32 {
        // SAFETY: as in `set`.
        unsafe { self.header.ptr().cast::<u32>().add(word as usize).read() }
    }

    /// Puts a message where the header says.
    pub(crate) fn set_error(&self, text: &str) {
        let bytes = &text.as_bytes()[..text.floor_char_boundary(ERROR_BYTES)];
        // SAFETY: the block has as many bytes, and is the core's during a call.
        unsafe { self.error.ptr().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.set(Word::ErrorBytes, bytes.len() as u32);
    }

    /// Where messages are put, and how many bytes they may have.
    pub(crate) fn error_block(&self) -> (u64, u64) {
        (self.error.offset(), self.error.bytes())
    }

    fn tell_scratch(&self) {
        self.set(Word::Scratch, self.scratch.offset() as u32);
        self.set(Word::ScratchBytes, self.scratch.bytes() as u32);
    }

    /// Makes room in the scratch. What was in it is lost if there was less.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<u64, OutOfMemory> {
        if bytes as u64 > self.scratch.bytes() {
            self.scratch = self.memory.allocate(bytes.checked_next_power_of_two().unwrap_or(bytes))?;
            self.tell_scratch();
        }
        Ok(self.scratch.offset())
    }

    fn check(&self, bytes: usize) -> Result<(), BeyondScratch> {
        let room = self.scratch.bytes();
        if bytes as u64 <= room { Ok(()) } else { Err(BeyondScratch { bytes: bytes as u64, room }) }
    }

    /// What the host wrote.
    pub(crate) fn bytes(&self, bytes: usize) -> Result<&[u8], BeyondScratch> {
        self.check(bytes)?;
        // SAFETY: the scratch has as many bytes, all of memory that was written or zeroed, and is the core's during a call.
        Ok(unsafe { slice::from_raw_parts(self.scratch.ptr().as_ptr(), bytes) })
    }

    /// Words that the host wrote.
    pub(crate) fn words(&self, count: usize) -> Result<&[u32], BeyondScratch> {
        self.check(count.saturating_mul(4))?;
        // SAFETY: as above; blocks are 64-byte aligned.
        Ok(unsafe { slice::from_raw_parts(self.scratch.ptr().as_ptr().cast(), count) })
    }

    /// Numbers that the host wrote, or is to read.
    pub(crate) fn numbers_mut(&mut self, numbers: Range<usize>) -> Result<&mut [f64], BeyondScratch> {
        self.check(numbers.end.saturating_mul(8))?;
        // SAFETY: as above, exclusively by `&mut self`.
        Ok(unsafe {
            slice::from_raw_parts_mut(self.scratch.ptr().as_ptr().cast::<f64>().add(numbers.start), numbers.len())
        })
    }

    /// Room for so many words, for the host to read.
    pub(crate) fn words_out(&mut self, count: usize) -> Result<&mut [u32], OutOfMemory> {
        self.reserve(count.saturating_mul(4))?;
        // SAFETY: as above, exclusively by `&mut self`.
        Ok(unsafe { slice::from_raw_parts_mut(self.scratch.ptr().as_ptr().cast(), count) })
    }

    /// Room for so many numbers, for the host to read.
    pub(crate) fn numbers_out(&mut self, count: usize) -> Result<&mut [f64], OutOfMemory> {
        self.reserve(count.saturating_mul(8))?;
        // SAFETY: as above, exclusively by `&mut self`.
        Ok(unsafe { slice::from_raw_parts_mut(self.scratch.ptr().as_ptr().cast(), count) })
    }

    /// Room for so many bytes, for the host to read.
    pub(crate) fn bytes_out(&mut self, count: usize) -> Result<&mut [u8], OutOfMemory> {
        self.reserve(count)?;
        // SAFETY: as above, exclusively by `&mut self`.
        Ok(unsafe { slice::from_raw_parts_mut(self.scratch.ptr().as_ptr(), count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_header_are_numbered_in_order() {
        for (at, (word, ..)) in Word::ALL.into_iter().enumerate() {
            assert_eq!(word as usize, at);
        }
    }

    #[test]
    fn the_scratch_grows_and_refuses_what_lies_beyond_it() {
        let mut blocks = Blocks::new(Memory::reserve(16 << 20).unwrap()).unwrap();
        assert!(blocks.bytes(SCRATCH_BYTES).is_ok());
        assert!(blocks.bytes(SCRATCH_BYTES + 1).is_err() && blocks.words(usize::MAX).is_err());
        blocks.words_out(SCRATCH_BYTES).unwrap().fill(7);
        assert_eq!(blocks.words(SCRATCH_BYTES).unwrap()[SCRATCH_BYTES - 1], 7);
        assert!(blocks.reserve(1 << 40).is_err(), "the memory is smaller");
        assert_eq!(blocks.words(SCRATCH_BYTES).unwrap()[0], 7, "what was there is still there");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let blocks = Blocks::new(Memory::reserve(16 << 20).unwrap()).unwrap();
        blocks.set_error(&"ä".repeat(ERROR_BYTES));
        // SAFETY: the header has that word, and the test is the only one who knows it.
        let bytes = unsafe { blocks.header.ptr().cast::<u32>().add(Word::ErrorBytes as usize).read() };
        assert_eq!(bytes as usize, ERROR_BYTES);
        blocks.set_error(&format!("x{}", "ä".repeat(ERROR_BYTES)));
        // SAFETY: as above.
        let bytes = unsafe { blocks.header.ptr().cast::<u32>().add(Word::ErrorBytes as usize).read() };
        assert_eq!(bytes as usize, ERROR_BYTES - 1);
    }
}
