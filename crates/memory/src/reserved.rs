//! The native region: address space that is reserved once and committed as it grows.

use std::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::{Region, RegionError};

/// Address space reserved from the operating system: the native memory.
///
/// It is aligned to 2 MiB and asks for huge pages. Reserving costs no memory; a page becomes resident when it is first
/// touched.
#[derive(Debug)]
pub struct Reserved {
    mapping: NonNull<u8>,
    mapping_bytes: usize,
    base: NonNull<u8>,
    max_bytes: u64,
    committed: AtomicU64,
}

// SAFETY: the mapping belongs to this value alone until it is dropped, and the committed size is atomic.
unsafe impl Send for Reserved {}
// SAFETY: as above; `grow` may run on several threads at once because `mprotect` of an already writable page and
// `fetch_max` are idempotent.
unsafe impl Sync for Reserved {}

const HUGE_PAGE: u64 = 2 << 20;
/// Committing in steps keeps the number of system calls small while a world grows; untouched pages cost nothing.
const COMMIT_STEP: u64 = 16 << 20;

impl Reserved {
    /// Reserves `max_bytes` of address space, rounded up to 2 MiB.
    ///
    /// # Errors
    /// [`RegionError::Reserve`] if the process may not have so many addresses.
    pub fn new(max_bytes: u64) -> Result<Reserved, RegionError> {
        let reserve = |source| RegionError::Reserve { bytes: max_bytes, source };
        let too_large = || reserve(std::io::ErrorKind::OutOfMemory.into());
        let max_bytes = max_bytes.max(1).checked_next_multiple_of(HUGE_PAGE).ok_or_else(too_large)?;
        let mapping_bytes =
            max_bytes.checked_add(HUGE_PAGE).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(too_large)?;
        // SAFETY: a fresh anonymous mapping at an address of the system's choice touches no existing memory.
        let mapping = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                mapping_bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(|error| reserve(error.into()))?;
        let mapping = NonNull::new(mapping.cast::<u8>()).ok_or_else(too_large)?;
        let padding = mapping.as_ptr().align_offset(HUGE_PAGE as usize);
        // SAFETY: `padding` is below 2 MiB, which the mapping has beyond `max_bytes`.
        let base = unsafe { mapping.add(padding) };
        // Advice only: without huge pages everything works, with more page faults.
        // SAFETY: the range lies in our own mapping.
        let _ = unsafe { mm::madvise(base.as_ptr().cast(), max_bytes as usize, Advice::LinuxHugepage) };
        Ok(Reserved { mapping, mapping_bytes, base, max_bytes, committed: AtomicU64::new(0) })
    }
}

// SAFETY: `base` is 2 MiB aligned inside a mapping that lives as long as `self`; `committed` is raised only after
// `mprotect` made those bytes accessible, and never lowered; anonymous pages are zero when first touched.
unsafe impl Region for Reserved {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn committed_bytes(&self) -> u64 {
        // Pairs with the release in `grow`: who sees the size sees accessible pages.
        self.committed.load(Ordering::Acquire)
    }

    fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    fn grow(&self, bytes: u64) -> Result<(), RegionError> {
        if bytes > self.max_bytes {
            return Err(RegionError::AboveMax { bytes, max_bytes: self.max_bytes });
        }
        if bytes <= self.committed_bytes() {
            return Ok(());
        }
        let target = bytes.next_multiple_of(COMMIT_STEP).min(self.max_bytes);
        // SAFETY: `target` is at most `max_bytes`, so the range lies in our own mapping.
        unsafe { mm::mprotect(self.base.as_ptr().cast(), target as usize, MprotectFlags::READ | MprotectFlags::WRITE) }
            .map_err(|error| RegionError::Commit { bytes, source: error.into() })?;
        self.committed.fetch_max(target, Ordering::Release);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever borrowed from it borrowed `self`. A failure leaks address space,
        // which is all that can be done about it here.
        let _ = unsafe { mm::munmap(self.mapping.as_ptr().cast(), self.mapping_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_keeps_the_base_and_gives_zeroed_bytes() {
        let region = Reserved::new(64 << 20).unwrap();
        let base = region.base();
        region.grow(1).unwrap();
        region.grow(40 << 20).unwrap();
        assert_eq!(region.base(), base);
        assert_eq!(base.as_ptr() as usize % (2 << 20), 0);
        let last = region.committed_bytes() as usize - 1;
        assert!(last >= (40 << 20) - 1);
        // SAFETY: both offsets are committed and nobody else knows the region.
        unsafe {
            assert_eq!((base.as_ptr().read(), base.as_ptr().add(last).read()), (0, 0));
            base.as_ptr().add(last).write(7);
            assert_eq!(base.as_ptr().add(last).read(), 7);
        }
    }

    #[test]
    fn growing_above_the_maximum_names_both_sizes() {
        let region = Reserved::new(2 << 20).unwrap();
        let error = region.grow(3 << 20).unwrap_err().to_string();
        assert!(error.contains("3145728") && error.contains("2097152"), "{error}");
        region.grow(2 << 20).unwrap();
    }

    #[test]
    fn an_impossible_reservation_is_an_error() {
        assert!(matches!(Reserved::new(u64::MAX), Err(RegionError::Reserve { .. })));
        assert!(matches!(Reserved::new(1 << 60), Err(RegionError::Reserve { .. })));
    }
}
