//! What an agent has in memory, and what is done when it is too much.
//!
//! *In use* is what the engine counts: bytes of its garbage-collected heap, and bytes on the malloc heap that collected
//! things own (elements, characters, contents of buffers shared or not, WebAssembly memories), plus the texts of modules.
//!
//! ```text
//!          request ─▶ large? ── in use + request > limit / 16 * 19 ─▶ refused ──▶ an exception
//!             │                                                          │
//!             └─▶ every MiB: in use > mark ───────────▶ interrupt ◀──────┘
//!                                                           │
//!                                   collect everything; in use > limit? the agent ends
//! ```
//!
//! Garbage is no use: only what a full collection leaves ends an agent. The mark is where the next collection is worth its
//! time: three quarters of the limit, or an eighth of the limit above what the last one left.
//!
//! # Rules
//! - `admits` runs inside the allocator: it reads counters and sets flags, no more. The engine looks at an interrupt when it
//!   is safe to.
//! - Only large requests are refused, and none while the engine collects: what the engine asks for in places where it
//!   cannot fail is small.
//! - A request of more than half of the limit is refused if it does not fit, and that is all: its exception may be caught.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::OnceLock;

use mozjs::context::RawJSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::{GCReason, HeapState, JSGCParamKey, JSGCStatus, Value};
use mozjs::jsval::{JSVal, UndefinedValue};
use mozjs::{glue, rooted};

use super::Thrown;
use super::realm::Realm;
use crate::doors::{Guard, Request};

/// A request of this many bytes or more may be refused.
const LARGE_BYTES: usize = 1 << 20;
/// Bytes that are granted without a look at the counters.
const STEP_BYTES: usize = 1 << 20;

/// Limits up to this one are kept by collecting at once. Between the slices of a collection scripts add to its stack of
/// things to mark, which nobody counts: for a long chain of objects it has been seen to take half of the limit again. A heap
/// of this size is collected in some tens of milliseconds; larger ones are collected in slices all the same.
const UNSLICED_BYTES_MAX: usize = 128 << 20;

/// What an error is called for which even the showing failed.
const UNSHOWN: &str = "cannot be shown";

/// The meter of one agent; lives on its thread.
pub(crate) struct Meter {
    /// The context, while the meter measures.
    cx: Cell<*mut RawJSContext>,
    limit_bytes: usize,
    /// In use beyond which a collection is asked for.
    mark_bytes: Cell<usize>,
    /// Granted since the last look at the counters.
    granted_bytes: Cell<usize>,
    /// Pages granted to WebAssembly memories since the last collection of ours, and what the malloc heap had before: the
    /// engine counts pages of shared memories late.
    wasm_bytes: Cell<usize>,
    wasm_base_bytes: Cell<usize>,
    /// Texts of modules, which live as long as their agent.
    text_bytes: Cell<usize>,
    /// Atoms (names, and strings that are keys), at the last collection of ours: the engine does not count their table, which
    /// takes about as much as they do.
    atom_bytes: Cell<usize>,
    /// The largest request that was refused and is to count as if it had been granted.
    refused_bytes: Cell<usize>,
    /// A collection is to tell whether the agent may go on.
    in_doubt: Cell<bool>,
    /// Something was refused since the last task.
    refused: Cell<bool>,
    full: Cell<bool>,
}

impl Meter {
    pub(crate) fn new(limit_bytes: u64) -> Meter {
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX).min(usize::MAX / 2);
        Meter {
            cx: Cell::new(ptr::null_mut()),
            limit_bytes,
            mark_bytes: Cell::new(limit_bytes / 4 * 3),
            granted_bytes: Cell::new(0),
            wasm_bytes: Cell::new(0),
            wasm_base_bytes: Cell::new(0),
            text_bytes: Cell::new(0),
            atom_bytes: Cell::new(0),
            refused_bytes: Cell::new(0),
            in_doubt: Cell::new(false),
            refused: Cell::new(false),
            full: Cell::new(false),
        }
    }

    /// Begins to measure; `false` if the engine's counters are not where they were.
    ///
    /// # Safety
    /// `raw` is this thread's context, in a realm, and lives until [`stop`](Meter::stop).
    pub(crate) unsafe fn start(&self, raw: *mut RawJSContext) -> bool {
        // SAFETY: as the caller answers; callbacks are static functions that never unwind.
        unsafe {
            if COUNTERS.get_or_init(|| Counters::find(raw)).is_none() {
                return false;
            }
            self.cx.set(raw);
            // For built-ins that allocate many small things and never look at an interrupt. Alone it would be no limit: the
            // engine collects again and again before it gives up.
            let heap = u32::try_from(self.limit_bytes / 8 * 9).unwrap_or(u32::MAX);
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_MAX_BYTES, heap);
            // The collected heap grows by a MiB of pages; asked for on this thread, each is seen.
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_MIN_EMPTY_CHUNK_COUNT, 0);
            // In MiB: garbage on the malloc heap is collected before it comes near the mark.
            let base = (self.limit_bytes >> 22).clamp(1, 38) as u32;
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_MALLOC_THRESHOLD_BASE, base);
            // The engine counts what things in the nursery own when they leave it; they may own eight times its size.
            let nursery = (self.limit_bytes >> 6).clamp(256 << 10, 4 << 20) as u32;
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_MAX_NURSERY_BYTES, nursery);
            if self.limit_bytes <= UNSLICED_BYTES_MAX {
                ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_INCREMENTAL_GC_ENABLED, 0);
            }
            ja::JS_SetGCCallback(raw, Some(collected), ptr::null_mut());
            // Fails only if memory is short; then other looks have to do.
            let _ = ja::AddGCNurseryCollectionCallback(raw, Some(nursery_collected), ptr::null_mut());
            ja::SetOutOfMemoryCallback(raw, Some(out_of_memory), ptr::null_mut());
        }
        true
    }

    /// Ends measuring: the runtime is about to go.
    pub(crate) fn stop(&self) {
        self.cx.set(ptr::null_mut());
    }

    /// What no request that may be refused exceeds. The rest of the quarter that is allowed is for what nobody counts: the
    /// nursery, compiled code, stacks.
    fn ceiling_bytes(&self) -> usize {
        self.limit_bytes / 16 * 19
    }

    /// Whether the agent outgrew its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.full.get()
    }

    /// Bytes in use; 0 if nothing is measured.
    fn used_bytes(&self) -> usize {
        let raw = self.cx.get();
        let Some(counters) = COUNTERS.get().and_then(Option::as_ref).filter(|_| !raw.is_null()) else { return 0 };
        // SAFETY: this thread's context, alive.
        let (heap, malloc) = unsafe { (counters.heap.read(raw), counters.malloc.read(raw)) };
        let malloc = malloc.max(self.wasm_base_bytes.get() + self.wasm_bytes.get());
        heap + malloc + self.text_bytes.get() + self.atom_bytes.get()
    }

    /// A task begins.
    pub(crate) fn begin(&self) {
        self.refused.set(false);
    }

    /// Nothing handled this. Memory that was refused to a script that does not expect it is the end of its agent: `true`.
    pub(crate) fn ends_with(&self, thrown: &Thrown) -> bool {
        let ends = self.refused.get() && (thrown.message.contains("out of memory") || thrown.message.contains(UNSHOWN));
        if ends {
            self.full.set(true);
        }
        ends
    }

    /// Counts the text of a module.
    pub(crate) fn keep_text(&self, bytes: usize) {
        self.text_bytes.set(self.text_bytes.get() + bytes);
        self.note();
    }

    /// Asks for a decision if much is in use.
    fn note(&self) {
        if self.used_bytes() > self.mark_bytes.get() {
            self.doubt();
        }
    }

    /// Asks for a decision.
    fn doubt(&self) {
        let raw = self.cx.get();
        if !raw.is_null() && !self.in_doubt.replace(true) {
            // SAFETY: this thread's context, alive. Of the two ways to ask, this one takes no lock.
            unsafe { ja::JS_RequestInterruptCallbackCanWait(raw) };
        }
    }

    /// Decides whether the agent may go on, if that is in doubt.
    ///
    /// # Safety
    /// Called on the agent's thread, where the engine may collect.
    pub(crate) unsafe fn decide(&self) -> bool {
        let raw = self.cx.get();
        if self.full.get() || raw.is_null() || !self.in_doubt.get() {
            return !self.full.get();
        }
        let refused = self.refused_bytes.take();
        // The engine may have collected meanwhile.
        if self.used_bytes() + refused > self.mark_bytes.get() {
            // SAFETY: as the caller answers.
            unsafe { self.collect(raw) };
            let used = self.used_bytes();
            self.mark_bytes.set((self.limit_bytes / 4 * 3).max(used + self.limit_bytes / 8));
            self.full.set(used + refused > self.limit_bytes);
        }
        self.in_doubt.set(false);
        !self.full.get()
    }

    /// # Safety
    /// As for [`decide`](Meter::decide).
    unsafe fn collect(&self, raw: *mut RawJSContext) {
        // SAFETY: as the caller answers; the context is in the agent's realm. Trimming has no conditions.
        unsafe {
            ja::JS_GC(raw, GCReason::API);
            libc::malloc_trim(0);
            if let Some(Some(counters)) = COUNTERS.get() {
                self.atom_bytes.set(counters.heap.read(raw).saturating_sub(counters.zone.read(raw)));
            }
        }
        self.wasm_bytes.set(0);
        self.wasm_base_bytes.set(0);
    }
}

impl Guard for Meter {
    fn admits(&self, request: Request) -> bool {
        let (bytes, is_large) = match request {
            Request::Heap(bytes) | Request::Growth(bytes) => (bytes, bytes >= LARGE_BYTES),
            Request::Pages(bytes) | Request::Wasm(bytes) => (bytes, true),
        };
        let granted = self.granted_bytes.get().saturating_add(bytes);
        if granted < STEP_BYTES && !is_large {
            self.granted_bytes.set(granted);
            return true;
        }
        let raw = self.cx.get();
        if raw.is_null() {
            return true;
        }
        // SAFETY: reads the state of this thread's runtime.
        match unsafe { ja::RuntimeHeapState() } {
            HeapState::Idle => {}
            // All that grows much in a collection is its stack of things to mark. It can do without, only slower, and has
            // been seen to take half as much as the heap that it marks.
            HeapState::MajorCollecting if matches!(request, Request::Growth(_)) => {
                return bytes < (self.limit_bytes / 16).max(LARGE_BYTES);
            }
            _ => return true,
        }
        self.granted_bytes.set(0);
        let wanted = self.used_bytes().saturating_add(bytes);
        // What takes more than half of the limit at once is asked for knowingly: no reason to end its agent.
        let is_huge = bytes > self.limit_bytes / 2;
        if is_large && wanted > if is_huge { self.limit_bytes } else { self.ceiling_bytes() } {
            self.refused.set(true);
            if !is_huge {
                self.refused_bytes.set(self.refused_bytes.get().max(bytes));
                self.doubt();
            }
            return false;
        }
        if let (Request::Wasm(bytes), Some(Some(counters))) = (request, COUNTERS.get()) {
            if self.wasm_bytes.get() == 0 {
                // SAFETY: this thread's context, alive.
                self.wasm_base_bytes.set(unsafe { counters.malloc.read(raw) });
            }
            self.wasm_bytes.set(self.wasm_bytes.get() + bytes);
        }
        if wanted > self.mark_bytes.get() {
            self.doubt();
        }
        true
    }
}

/// The engine's counters of bytes.
struct Counters {
    /// The collected heap of the runtime.
    heap: Counter,
    /// The collected heap of the current realm's zone, which is all but atoms.
    zone: Counter,
    /// What collected things own on the malloc heap.
    malloc: Counter,
}

static COUNTERS: OnceLock<Option<Counters>> = OnceLock::new();

/// A native getter that does nothing but read a counter, so that it can be called at any time on a runtime's thread.
struct Counter(unsafe extern "C" fn(*mut RawJSContext, u32, *mut Value) -> bool);

impl Counter {
    /// # Safety
    /// `raw` is this thread's context, alive.
    unsafe fn read(&self, raw: *mut RawJSContext) -> usize {
        // Where a native finds its callee, which its result replaces, and `this`.
        let mut frame = [UndefinedValue(); 2];
        // SAFETY: as the caller answers; the frame of a call without arguments.
        let is_told = unsafe { (self.0)(raw, 0, frame.as_mut_ptr()) };
        if is_told && frame[0].is_number() { frame[0].to_number() as usize } else { 0 }
    }
}

impl Counters {
    /// Takes the getters from the object in which the engine shows its counters. They are the same in all runtimes.
    ///
    /// # Safety
    /// `raw` is this thread's context, in a realm.
    unsafe fn find(raw: *mut RawJSContext) -> Option<Counters> {
        // SAFETY: as the caller answers; the object is rooted.
        unsafe {
            rooted!(in(raw) let shown = ja::js::gc::NewMemoryInfoObject(raw));
            if shown.is_null() {
                ja::JS_ClearPendingException(raw);
                return None;
            }
            rooted!(in(raw) let mut zone = UndefinedValue());
            let (object, to) = (shown.handle().into(), zone.handle_mut().into());
            if !ja::JS_GetProperty(raw, object, c"zone".as_ptr(), to) || !zone.is_object() {
                ja::JS_ClearPendingException(raw);
                return None;
            }
            rooted!(in(raw) let zone = zone.to_object());
            let getter = |object: ja::HandleObject, name: &CStr| {
                rooted!(in(raw) let mut found = ja::PropertyDescriptor::default());
                let mut is_none = true;
                let found = found.handle_mut().into();
                let is_known = ja::JS_GetOwnPropertyDescriptor(raw, object, name.as_ptr(), found, &mut is_none);
                let function = (*found.ptr).getter_;
                if !is_known || is_none || function.is_null() {
                    return None;
                }
                let mut native: JSVal = UndefinedValue();
                glue::JS_GetReservedSlot(function, NATIVE_SLOT, &mut native);
                if !native.is_double() {
                    return None;
                }
                // A native's address is kept as a private value; the engine says whether it was one.
                let address = native.to_private();
                let native: ja::JSNative = std::mem::transmute::<*const c_void, ja::JSNative>(address);
                native.filter(|_| ja::JS_IsNativeFunction(function, native)).map(Counter)
            };
            let (runtime, zone) = (shown.handle().into(), zone.handle().into());
            let (heap, malloc) = (getter(runtime, c"gcBytes")?, getter(runtime, c"mallocBytes")?);
            let counters = Counters { heap, malloc, zone: getter(zone, c"gcBytes")? };
            ja::SetProcessLargeAllocationFailureCallback(Some(make_room));
            Some(counters)
        }
    }
}

/// The slot in which the engine's function objects keep the address of their native.
const NATIVE_SLOT: u32 = 1;

/// A collection has ended: what it left may be too much.
unsafe extern "C" fn collected(_: *mut RawJSContext, status: JSGCStatus, _: GCReason, _: *mut c_void) {
    if status == JSGCStatus::JSGC_END {
        // SAFETY: called by the engine on the agent's thread.
        if let Some(realm) = unsafe { Realm::here() } {
            realm.meter.note();
        }
    }
}

/// What left the nursery is counted now.
unsafe extern "C" fn nursery_collected(
    _: *mut RawJSContext,
    progress: ja::GCNurseryProgress,
    _: GCReason,
    _: *mut c_void,
) {
    if progress == ja::GCNurseryProgress::GC_NURSERY_COLLECTION_END {
        // SAFETY: called by the engine on the agent's thread.
        if let Some(realm) = unsafe { Realm::here() } {
            realm.meter.note();
        }
    }
}

/// A request was refused, here or by the system.
unsafe extern "C" fn out_of_memory(_: *mut RawJSContext, _: *mut c_void) {
    // SAFETY: called by the engine on the agent's thread.
    if let Some(realm) = unsafe { Realm::here() } {
        realm.meter.refused.set(true);
        realm.meter.note();
    }
}

/// The engine asks for room before it tries a very large request again. Called on any thread, where it may collect.
unsafe extern "C" fn make_room() {
    // SAFETY: called by the engine; the thread has a realm or none.
    if let Some(realm) = unsafe { Realm::here() } {
        let raw = realm.meter.cx.get();
        // SAFETY: as above; this thread's context.
        if !raw.is_null() && unsafe { ja::RuntimeHeapState() } == HeapState::Idle {
            // SAFETY: as above.
            unsafe { realm.meter.collect(raw) };
        }
    }
}
