//! What was in columns before a call wrote them, so that a call that fails leaves them as they were.

use std::ptr::copy_nonoverlapping;

use peristyle_jobs::Lent;

/// Bytes of some columns, one after the other. Its storage is kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct Preimage(Vec<u64>);

impl Preimage {
    /// Makes room for so many bytes in `columns` columns.
    pub(crate) fn reserve(&mut self, bytes: usize, columns: usize) {
        let words = bytes.div_ceil(8) + columns;
        self.0.reserve(words.saturating_sub(self.0.len()));
    }

    /// Saves columns.
    ///
    /// # Safety
    /// They are readable, and nobody writes them meanwhile.
    pub(crate) unsafe fn save(&mut self, columns: impl Iterator<Item = Lent>) {
        self.0.clear();
        for column in columns {
            let (at, bytes) = (self.0.len(), column.bytes());
            self.0.resize(at + bytes.div_ceil(8), 0);
            // SAFETY: the source is the caller's word; the target has just been made as large.
            unsafe { copy_nonoverlapping(column.ptr.as_ptr(), self.0[at..].as_mut_ptr().cast(), bytes) };
        }
    }

    /// Writes the same columns back.
    ///
    /// # Safety
    /// They are those that were saved, writable, and nobody else touches them meanwhile.
    pub(crate) unsafe fn restore(&self, columns: impl Iterator<Item = Lent>) {
        let mut at = 0;
        for column in columns {
            let bytes = column.bytes();
            let saved = &self.0[at..at + bytes.div_ceil(8)];
            // SAFETY: the target is the caller's word; the source holds as many bytes.
            unsafe { copy_nonoverlapping(saved.as_ptr().cast(), column.ptr.as_ptr(), bytes) };
            at += saved.len();
        }
    }
}
