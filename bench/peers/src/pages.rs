//! Whether large allocations get pages that this process used before.
//!
//! glibc decides by thresholds that it moves as the program runs, which halves or doubles what filling a new world
//! takes, from one order of contestants to another. So every question fixes them.

/// What a large allocation gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Memory that was freed before, without page faults: a program that has run for a while.
    Recycled,
    /// New pages, whose first touch faults: a program that starts.
    Fresh,
}

impl Pages {
    /// Makes it so for the allocations that follow, until memory is freed again in the case of `Fresh`; without effect where the allocator is not glibc's.
    pub fn apply(self) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        {
            let (map_from_bytes, trim_from_bytes) = match self {
                // The largest value that glibc takes, and one that is never reached.
                Self::Recycled => (32 << 20, i32::MAX),
                Self::Fresh => (128 << 10, 128 << 10),
            };
            // SAFETY: the calls set numbers of the allocator and give back what is free, under its own lock.
            unsafe {
                libc::mallopt(libc::M_MMAP_THRESHOLD, map_from_bytes);
                libc::mallopt(libc::M_TRIM_THRESHOLD, trim_from_bytes);
                if self == Self::Fresh {
                    libc::malloc_trim(0);
                }
            }
        }
    }
}
