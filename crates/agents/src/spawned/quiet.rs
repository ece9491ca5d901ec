//! An agent that waits gives memory back: after a while in which nothing comes it collects its heap, and has the C library
//! return what was freed.
//!
//! # Rules
//! - Only a small heap is collected, which takes some milliseconds: a message that comes meanwhile waits so long.
//! - Only if there may be something to gain, and the less often the more often it was done: who has a task now and then is not
//!   made to collect for each.
//! - Compiled code stays.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use mozjs::context::JSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::JSGCParamKey;

/// How long nothing comes, the first time and at most.
const AFTER_MIN: Duration = Duration::from_millis(500);
const AFTER_MAX: Duration = Duration::from_secs(64);
/// The largest heap that is collected.
const HEAP_BYTES_MAX: u32 = 8 << 20;
/// The least time between two looks through the process's memory.
const BETWEEN_TRIMS: Duration = Duration::from_millis(100);
/// What the heap has to have grown by since.
const GROWN_BYTES_MIN: u32 = 256 << 10;

/// What an agent did in its quiet times.
#[derive(Debug)]
pub(crate) struct Quiet {
    after: Duration,
    /// Bytes that the last collection left; nothing before the first.
    left: Option<u32>,
    /// Whether this quiet time was used.
    used: bool,
    /// Since when there is something that the C library may give back.
    freed: Option<Instant>,
}

impl Default for Quiet {
    fn default() -> Quiet {
        Quiet { after: AFTER_MIN, left: None, used: false, freed: None }
    }
}

impl Quiet {
    /// After how long it is quiet, if that is still to be said.
    pub(crate) fn after(&self) -> Option<Duration> {
        if self.used { self.freed.map(|_| BETWEEN_TRIMS) } else { Some(self.after) }
    }

    /// Something came.
    pub(crate) fn broken(&mut self) {
        self.used = false;
    }

    /// Collects, if that may give something.
    ///
    /// # Safety
    /// `cx` is this thread's context, in the realm, between two tasks.
    pub(crate) unsafe fn give_memory_back(&mut self, cx: &mut JSContext) {
        if std::mem::replace(&mut self.used, true) {
            self.freed = self.freed.filter(|freed| !trimmed_since(*freed));
            return;
        }
        // SAFETY: as the caller answers; what is in use is rooted.
        unsafe {
            let raw = cx.raw_cx();
            let bytes = ja::JS_GetGCParameter(raw, JSGCParamKey::JSGC_BYTES);
            let grown = self.left.is_none_or(|left| bytes >= left.saturating_add(GROWN_BYTES_MIN));
            if !grown || bytes > HEAP_BYTES_MAX {
                return;
            }
            ja::PrepareForFullGC(raw);
            // A shrinking collection would throw compiled code away.
            ja::NonIncrementalGC(raw, ja::GCOptions::Normal, ja::GCReason::API);
            self.left = Some(ja::JS_GetGCParameter(raw, JSGCParamKey::JSGC_BYTES));
        }
        self.after = (self.after * 2).min(AFTER_MAX);
        self.freed = Some(Instant::now()).filter(|freed| !trimmed_since(*freed));
    }
}

/// Has the C library give back what was freed on any thread, which it keeps unless it is told; says whether that was done since
/// `freed`. It looks through all of its memory while others wait for it, so agents that are quiet at the same time leave it to
/// one of them, and look again later.
fn trimmed_since(freed: Instant) -> bool {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // Somebody is at it.
    let Ok(mut last) = LAST.try_lock() else { return false };
    if last.is_some_and(|last| last >= freed) {
        return true;
    }
    if last.is_some_and(|last| last.elapsed() < BETWEEN_TRIMS) {
        return false;
    }
    *last = Some(Instant::now());
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, on any thread.
    unsafe {
        libc::malloc_trim(0)
    };
    true
}
