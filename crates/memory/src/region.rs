//! Where a memory's bytes come from.

use std::{any::Any, ptr::NonNull};

/// One growable range of bytes at a fixed address.
///
/// # Safety
/// For as long as the region lives: `base` is 64-byte aligned and never changes; the first `committed_bytes` bytes are
/// readable and writable and belong to the region alone; `committed_bytes` never shrinks; bytes are zero when they are
/// first committed.
pub unsafe trait Region: Any + Send + Sync {
    /// Address of the first byte.
    fn base(&self) -> NonNull<u8>;
    /// Where the base lies in the linear memory that scripts and kernels know: what their offsets count from is so many bytes
    /// below it.
    fn origin(&self) -> u64 {
        0
    }
    /// Bytes that can be used now.
    fn committed_bytes(&self) -> u64;
    /// Bytes that it can grow to.
    fn max_bytes(&self) -> u64;
    /// Commits at least `bytes` bytes in all. Does nothing if it is that large already.
    ///
    /// # Errors
    /// [`RegionError`] if `bytes` is above [`Region::max_bytes`] or the system refuses; nothing has changed then.
    fn grow(&self, bytes: u64) -> Result<(), RegionError>;
}

/// Why a region could not be made or grown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The system has no such range of addresses.
    #[error("cannot reserve {bytes} bytes of address space: {source}")]
    Reserve {
        /// Bytes asked for.
        bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no memory for addresses that were reserved.
    #[error("cannot commit {bytes} bytes: {source}")]
    Commit {
        /// Bytes asked for, in all.
        bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// More was asked for than the region may ever have.
    #[error("{bytes} bytes are more than the memory's maximum of {max_bytes}")]
    AboveMax {
        /// Bytes asked for, in all.
        bytes: u64,
        /// The maximum.
        max_bytes: u64,
    },
}
