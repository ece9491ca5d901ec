//! The space that blocks are cut from in WebAssembly: the module's own heap, so that an offset is an address.
//!
//! Columns and everything else that Rust allocates share one memory. A block is refused when it would leave less than
//! [`HEADROOM`] to the rest, whose exhaustion nobody could answer.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use peristyle_layout::chunk::ALIGN;

use crate::{OutOfMemory, RegionError};

/// Bytes that are left to everything else.
const HEADROOM: usize = 256 << 10;

/// So many bytes of the heap for blocks.
pub(crate) struct Space {
    max_bytes: u64,
    used_bytes: AtomicU64,
}

impl Space {
    pub(crate) fn new(max_bytes: u64) -> Space {
        Space { max_bytes, used_bytes: AtomicU64::new(0) }
    }

    /// Cuts a block; gives its address, and its bytes, which are at least those that were asked for.
    pub(crate) fn allocate(&self, bytes: u64) -> Result<(NonNull<u8>, u64), OutOfMemory> {
        let used_bytes = self.used_bytes();
        let left = self.max_bytes.saturating_sub(used_bytes);
        let refuse = |source| OutOfMemory {
            asked_bytes: bytes,
            largest_free_bytes: left,
            used_bytes,
            max_bytes: self.max_bytes,
            source,
        };
        let rounded = bytes.max(1).checked_next_multiple_of(ALIGN as u64).filter(|rounded| *rounded <= left);
        let Some(rounded) = rounded else { return Err(refuse(None)) };
        let layout = layout(rounded).ok_or_else(|| refuse(None))?;
        // SAFETY: the layout has at least one byte.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) });
        let exhausted = || RegionError::Commit { bytes: rounded, source: std::io::ErrorKind::OutOfMemory.into() };
        let Some(ptr) = ptr else { return Err(refuse(Some(exhausted()))) };
        let mut headroom = Vec::<u8>::new();
        let is_left = headroom.try_reserve(HEADROOM).is_ok();
        // Or the compiler would leave the allocation out, as nobody uses it.
        if !is_left || std::hint::black_box(headroom).capacity() == 0 {
            // SAFETY: it was just given for this layout, and nobody else knows it.
            unsafe { dealloc(ptr.as_ptr(), layout) };
            return Err(refuse(Some(exhausted())));
        }
        self.used_bytes.fetch_add(rounded, Relaxed);
        Ok((ptr, rounded))
    }

    /// Takes back what `allocate` gave.
    pub(crate) fn free(&self, ptr: NonNull<u8>, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Relaxed);
        if let Some(layout) = layout(bytes) {
            // SAFETY: `allocate` gave the address for this layout, and the block that had it is gone.
            unsafe { dealloc(ptr.as_ptr(), layout) };
        }
    }

    pub(crate) fn offset_of(&self, ptr: NonNull<u8>) -> u64 {
        ptr.as_ptr() as u64
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    pub(crate) fn top_bytes(&self) -> u64 {
        self.used_bytes()
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

fn layout(bytes: u64) -> Option<Layout> {
    Layout::from_size_align(usize::try_from(bytes).ok()?, ALIGN).ok()
}
