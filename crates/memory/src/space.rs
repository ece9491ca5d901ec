//! The space that blocks are cut from: a region and the list of what is free of it.

use std::{
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{OutOfMemory, Region, allocator::Allocator};

/// A region, and what is free of it.
pub(crate) struct Space {
    region: Box<dyn Region>,
    allocator: Mutex<Allocator>,
}

impl Space {
    pub(crate) fn new(region: Box<dyn Region>) -> Space {
        let allocator = Mutex::new(Allocator::new(region.max_bytes()));
        Space { region, allocator }
    }

    fn allocator(&self) -> MutexGuard<'_, Allocator> {
        self.allocator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn region(&self) -> &dyn Region {
        &*self.region
    }

    /// Cuts a block; gives its address, and its bytes, which are at least those that were asked for.
    pub(crate) fn allocate(&self, bytes: u64) -> Result<(NonNull<u8>, u64), OutOfMemory> {
        let mut allocator = self.allocator();
        let refuse = |allocator: &Allocator, source| OutOfMemory {
            asked_bytes: bytes,
            largest_free_bytes: allocator.largest_free(),
            used_bytes: allocator.used(),
            max_bytes: self.max_bytes(),
            source,
        };
        let Some(rounded) = Allocator::rounded(bytes) else { return Err(refuse(&allocator, None)) };
        let Some(offset) = allocator.allocate(rounded) else { return Err(refuse(&allocator, None)) };
        if let Err(error) = self.region.grow(offset + rounded) {
            allocator.free(offset, rounded);
            return Err(refuse(&allocator, Some(error)));
        }
        // SAFETY: the region has just committed `offset + rounded` bytes from its base on.
        let ptr = unsafe { self.region.base().add(offset as usize) };
        Ok((ptr, rounded))
    }

    /// Takes back what `allocate` gave.
    pub(crate) fn free(&self, ptr: NonNull<u8>, bytes: u64) {
        let offset = self.distance(ptr);
        self.allocator().free(offset, bytes);
    }

    fn distance(&self, ptr: NonNull<u8>) -> u64 {
        (ptr.as_ptr() as usize - self.region.base().as_ptr() as usize) as u64
    }

    pub(crate) fn offset_of(&self, ptr: NonNull<u8>) -> u64 {
        self.region.origin() + self.distance(ptr)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.allocator().used()
    }

    pub(crate) fn top_bytes(&self) -> u64 {
        self.allocator().top()
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.region.max_bytes()
    }
}
