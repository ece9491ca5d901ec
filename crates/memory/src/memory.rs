//! A memory shared by everything that holds a block of it.

use std::{fmt, ptr::NonNull, sync::Arc};

#[cfg(not(target_arch = "wasm32"))]
use crate::{Region, Reserved};
use crate::{RegionError, space::Space};

/// One linear memory. Cloning gives another handle to the same memory.
#[derive(Clone)]
pub struct Memory(Arc<Space>);

/// The memory has no room for a block. Nothing has changed; freeing blocks makes room.
#[derive(Debug, thiserror::Error)]
#[error(
    "out of memory: a block of {asked_bytes} bytes was asked for, the largest that is left is {largest_free_bytes} \
     ({used_bytes} of {max_bytes} bytes are in use)"
)]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub asked_bytes: u64,
    /// The largest block that could still be given.
    pub largest_free_bytes: u64,
    /// Bytes in blocks.
    pub used_bytes: u64,
    /// The memory's maximum.
    pub max_bytes: u64,
    /// What the system said, if it refused memory below the maximum.
    #[source]
    pub source: Option<RegionError>,
}

impl Memory {
    /// The default maximum: 4 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 4 << 30;

    /// Reserves a native memory of at most `max_bytes` bytes. In WebAssembly it is the module's own, of which blocks may
    /// take as many.
    ///
    /// # Errors
    /// [`RegionError::Reserve`] if the process may not have so many addresses.
    pub fn reserve(max_bytes: u64) -> Result<Memory, RegionError> {
        #[cfg(not(target_arch = "wasm32"))]
        return Ok(Memory::on(Reserved::new(max_bytes)?));
        #[cfg(target_arch = "wasm32")]
        return Ok(Memory(Arc::new(Space::new(max_bytes))));
    }

    /// A memory on another region.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn on(region: impl Region + 'static) -> Memory {
        Memory(Arc::new(Space::new(Box::new(region))))
    }

    /// Cuts a block of at least `bytes` bytes, 64-byte aligned. Its content is arbitrary.
    ///
    /// # Errors
    /// [`OutOfMemory`]; the memory is as before.
    pub fn allocate(&self, bytes: usize) -> Result<Block, OutOfMemory> {
        let (ptr, bytes) = self.0.allocate(bytes as u64)?;
        Ok(Block { memory: self.clone(), ptr, bytes })
    }

    /// Address of offset 0. Never changes.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn base(&self) -> NonNull<u8> {
        self.0.region().base()
    }

    /// The region that the memory is on, if it is an `R`: how those who make regions know theirs again.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn region<R: Region>(&self) -> Option<&R> {
        let region: &dyn std::any::Any = self.0.region();
        region.downcast_ref()
    }

    /// Offset of an address in the memory: what JavaScript and kernels know it by. It counts from the base, if the region has
    /// no other [origin](crate::Region::origin).
    pub fn offset_of(&self, address: NonNull<u8>) -> u64 {
        self.0.offset_of(address)
    }

    /// Whether both are handles to the same memory.
    pub fn is(&self, other: &Memory) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes in blocks now.
    pub fn used_bytes(&self) -> u64 {
        self.0.used_bytes()
    }

    /// End of the highest block in use; in WebAssembly, where blocks lie among others' memory, the bytes in use.
    pub fn top_bytes(&self) -> u64 {
        self.0.top_bytes()
    }

    /// Most bytes that blocks may take.
    pub fn max_bytes(&self) -> u64 {
        self.0.max_bytes()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("used_bytes", &self.used_bytes()).field("max_bytes", &self.max_bytes()).finish()
    }
}

/// 64-byte-aligned bytes of a [`Memory`], given back when dropped. It keeps its memory alive.
pub struct Block {
    memory: Memory,
    ptr: NonNull<u8>,
    bytes: u64,
}

// SAFETY: a block is a range of addresses nobody else was given; it makes no reference into it by itself.
unsafe impl Send for Block {}
// SAFETY: as above: `&Block` only tells where the bytes are.
unsafe impl Sync for Block {}

impl Block {
    /// The first byte. Valid for reads and writes of [`Block::bytes`] bytes while the block lives.
    #[inline]
    pub fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Size in bytes, a multiple of 64.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Offset of the first byte; see [`Memory::offset_of`].
    pub fn offset(&self) -> u64 {
        self.memory.0.offset_of(self.ptr)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.memory.0.free(self.ptr, self.bytes);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}+{})", self.offset(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustion_names_what_was_asked_and_left_and_is_recovered_from() {
        let memory = Memory::reserve(2 << 20).unwrap();
        let kept = memory.allocate(1 << 20).unwrap();
        let freed = memory.allocate(512 << 10).unwrap();
        let error = memory.allocate(1 << 20).unwrap_err();
        assert_eq!((error.asked_bytes, error.largest_free_bytes), (1 << 20, 512 << 10));
        assert_eq!((error.used_bytes, error.max_bytes), (1536 << 10, 2 << 20));
        drop(freed);
        let again = memory.allocate(1 << 20).unwrap();
        assert_eq!(again.offset(), 1 << 20);
        assert_eq!(memory.used_bytes(), 2 << 20);
        drop((kept, again));
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn a_memory_knows_its_region_again() {
        let memory = Memory::reserve(2 << 20).unwrap();
        assert_eq!(memory.region::<Reserved>().map(|region| region.base()), Some(memory.base()));
        assert!(memory.is(&memory.clone()) && !memory.is(&Memory::reserve(2 << 20).unwrap()));
    }

    #[test]
    fn a_block_outlives_its_memory_handle() {
        let block = Memory::reserve(2 << 20).unwrap().allocate(100).unwrap();
        assert_eq!(block.bytes(), 128);
        // SAFETY: the block is 128 bytes and nobody else knows it.
        unsafe {
            block.ptr().add(127).write(3);
            assert_eq!(block.ptr().add(127).read(), 3);
        }
    }
}
