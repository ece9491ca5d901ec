//! A heap column of opaque values in one chunk.
//!
//! It owns its buffer, not the values: the table knows how many rows hold one and drops them.

use std::{alloc::Layout, ptr::NonNull};

use crate::component::OpaqueType;

#[derive(Debug)]
pub(crate) struct OpaqueColumn {
    ptr: NonNull<u8>,
    value: OpaqueType,
    capacity: usize,
}

impl OpaqueColumn {
    pub(crate) fn new(value: OpaqueType, capacity: usize) -> OpaqueColumn {
        let layout = buffer_layout(value, capacity);
        let ptr = if layout.size() == 0 {
            NonNull::without_provenance(layout.align().try_into().expect("an alignment is not zero"))
        } else {
            // SAFETY: the size is not zero.
            NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
        };
        OpaqueColumn { ptr, value, capacity }
    }

    pub(crate) fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    pub(crate) fn at(&self, row: usize) -> *mut u8 {
        debug_assert!(row < self.capacity);
        self.ptr.as_ptr().wrapping_add(row * self.value.layout.size())
    }

    /// Drops the value in `row`.
    ///
    /// # Safety
    /// `row` holds a value that nobody uses, now or later.
    pub(crate) unsafe fn drop_value(&self, row: usize) {
        if let Some(drop) = self.value.drop {
            // SAFETY: the caller vouches for the value, and `drop` is its type's.
            unsafe { drop(self.at(row)) }
        }
    }

    /// Moves `rows` values between rows of columns of the same type.
    ///
    /// # Safety
    /// The `rows` rows from `from_row` hold values that count as moved afterwards; those from `to_row` in `to` hold none
    /// and do not overlap them.
    pub(crate) unsafe fn move_values(&self, from_row: usize, to: &OpaqueColumn, to_row: usize, rows: usize) {
        if rows == 0 {
            return;
        }
        // SAFETY: both ranges lie in their buffers and, by the caller's word, do not overlap.
        unsafe { to.at(to_row).copy_from_nonoverlapping(self.at(from_row), rows * self.value.layout.size()) }
    }
}

fn buffer_layout(value: OpaqueType, capacity: usize) -> Layout {
    let size = value.layout.size().checked_mul(capacity).expect("a chunk's values fit the address space");
    Layout::from_size_align(size, value.layout.align()).expect("a chunk's values fit the address space")
}

impl Drop for OpaqueColumn {
    fn drop(&mut self) {
        let layout = buffer_layout(self.value, self.capacity);
        if layout.size() != 0 {
            // SAFETY: `new` allocated it with this layout.
            unsafe { std::alloc::dealloc(self.ptr.as_ptr(), layout) }
        }
    }
}
