//! Lending Rust's memory to a call.
//!
//! One plain `ArrayBuffer` per column, over just the leased rows, and one typed array on it. The engine neither frees nor
//! counts that memory. When the [`Loan`] is dropped every buffer is detached: whatever view a job kept has length 0.
//!
//! # Rules
//! - A buffer is in the loan before its view exists, so nothing is lent that would not be taken back.
//! - Columns never share a buffer: through a view's `buffer` a job reaches what it declared, no more.
//! - A buffer that cannot be detached aborts the process: its memory would stay reachable.
//!
//! # Cost
//! A buffer and its view cost some 0.1 us. Buffers live in the old generation of the collector (they have finalizers), 96
//! bytes each.

use std::process;

use mozjs::context::RawJSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::JSObject;
use mozjs::rust::CustomAutoRooterGuard;
use peristyle_jobs::Lent;
use peristyle_layout::Scalar;

/// What one call was lent, until it is dropped.
pub(crate) struct Loan<'a, 'r> {
    cx: *mut RawJSContext,
    buffers: &'a mut CustomAutoRooterGuard<'r, Vec<*mut JSObject>>,
}

impl<'a, 'r> Loan<'a, 'r> {
    /// A loan that keeps its buffers in `buffers`, which is empty.
    ///
    /// # Safety
    /// - `cx` is this thread's context, alive and in the realm of the job until the loan is dropped.
    pub(crate) unsafe fn new(
        cx: *mut RawJSContext,
        buffers: &'a mut CustomAutoRooterGuard<'r, Vec<*mut JSObject>>,
    ) -> Self {
        debug_assert!(buffers.is_empty());
        Loan { cx, buffers }
    }

    /// Lends a column; null if the engine is out of memory, with an exception pending. The result is not rooted.
    ///
    /// # Safety
    /// - What `lent` describes stays allocated, exclusive and writable until the loan is dropped.
    pub(crate) unsafe fn view(&mut self, lent: &Lent) -> *mut JSObject {
        debug_assert_eq!(lent.ptr.as_ptr().addr() % lent.scalar.size(), 0);
        // SAFETY: the context is alive and in a realm. The memory outlives the buffer's attachment: the caller keeps it
        // until the loan is dropped, which detaches the buffer.
        let buffer =
            unsafe { ja::NewArrayBufferWithUserOwnedContents(self.cx, lent.bytes(), lent.ptr.as_ptr().cast()) };
        if buffer.is_null() {
            return buffer;
        }
        self.buffers.push(buffer);
        let rooted: *const *mut JSObject = &self.buffers[self.buffers.len() - 1];
        // SAFETY: as above; the handle points into the rooted vector, which does not grow during the call. Offset 0 is
        // aligned and the elements fill the buffer exactly.
        unsafe { typed_array(self.cx, lent.scalar, ja::Handle::from_marked_location(rooted), 0, lent.len) }
    }
}

/// A typed array of `length` elements from an offset of `buffer` on; null if there is no memory for it, with an exception
/// pending. The result is not rooted.
///
/// # Safety
/// - `cx` is this thread's context, alive and in the buffer's realm; `buffer` is rooted.
pub(crate) unsafe fn typed_array(
    cx: *mut RawJSContext,
    scalar: Scalar,
    buffer: ja::HandleObject,
    offset: usize,
    length: u32,
) -> *mut JSObject {
    let length = i64::from(length);
    // SAFETY: as the caller answers. What does not fit or is not aligned is an exception.
    unsafe {
        match scalar {
            Scalar::F32 => ja::JS_NewFloat32ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::F64 => ja::JS_NewFloat64ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::I8 => ja::JS_NewInt8ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::U8 | Scalar::Bool => ja::JS_NewUint8ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::I16 => ja::JS_NewInt16ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::U16 => ja::JS_NewUint16ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::I32 => ja::JS_NewInt32ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::U32 => ja::JS_NewUint32ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::I64 => ja::JS_NewBigInt64ArrayWithBuffer(cx, buffer, offset, length),
            Scalar::U64 => ja::JS_NewBigUint64ArrayWithBuffer(cx, buffer, offset, length),
        }
    }
}

impl Drop for Loan<'_, '_> {
    fn drop(&mut self) {
        for at in 0..self.buffers.len() {
            let buffer: *const *mut JSObject = &self.buffers[at];
            // SAFETY: the context is alive and in the job's realm; the handle points into the rooted vector. A script may
            // have detached the buffer already by `transfer`, which copies; detaching twice does nothing.
            let detached = unsafe { ja::DetachArrayBuffer(self.cx, ja::Handle::from_marked_location(buffer)) };
            if !detached {
                eprintln!("peristyle: a lent buffer cannot be detached");
                process::abort();
            }
        }
        self.buffers.clear();
    }
}
