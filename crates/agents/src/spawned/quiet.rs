//! An agent that waits gives memory back: after a while in which nothing comes it collects its heap, and has the C library
//! return what was freed.
//!
//! # Rules
//! - Only a small heap is collected, which takes some milliseconds: a message that comes meanwhile waits so long.
//! - Only if there may be something to gain, and the less often the more often it was done: who has a task now and then is not
//!   made to collect for each.
//! - Compiled code stays.

use std::time::Duration;

use mozjs::context::JSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::JSGCParamKey;

/// How long nothing comes, the first time and at most.
const AFTER_MIN: Duration = Duration::from_millis(500);
const AFTER_MAX: Duration = Duration::from_secs(64);
/// The largest heap that is collected.
const HEAP_BYTES_MAX: u32 = 8 << 20;
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
}

impl Default for Quiet {
    fn default() -> Quiet {
        Quiet { after: AFTER_MIN, left: None, used: false }
    }
}

impl Quiet {
    /// After how long it is quiet, if that is still to be said.
    pub(crate) fn after(&self) -> Option<Duration> {
        (!self.used).then_some(self.after)
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
        self.used = true;
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
        // The C library keeps what was freed, on every thread, unless it is told.
        #[cfg(target_env = "gnu")]
        // SAFETY: it may be called at any time, on any thread.
        unsafe {
            libc::malloc_trim(0)
        };
    }
}
