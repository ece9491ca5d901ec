//! A world's memory made by the engine: a shared `WebAssembly.Memory`, as a [`Region`].
//!
//! ```text
//! start                    base
//! | stack 0 | stack 1 | ... | blocks of the world: columns, bitsets, what kernels hold ... | not committed ... |
//! ```
//!
//! The engine reserves the maximum when the memory is made and commits it in place, so neither address ever changes. What
//! keeps the memory is its structured clone: it belongs to no thread and no runtime, and every agent that needs the memory
//! reads it.
//!
//! # Rules
//! - Making and growing need an engine's context. Each borrows a runtime on a thread of its own, which ends: the thread that
//!   asks may have none, or may be in the middle of a call.
//! - Kernels' [`Stack`]s lie below everything else. One that overflows meets its guard, then other stacks, then the end of
//!   addresses, where the engine traps; it never meets a column.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::{Handle, RootedGuard};
use mozjs::jsapi as ja;
use mozjs::jsapi::{
    CloneDataPolicy, JSObject, JSStructuredCloneCallbacks, OnNewGlobalHookOption, StructuredCloneScope,
};
use mozjs::jsval::{JSVal, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::{
    CompileOptionsWrapper, JSAutoStructuredCloneBufferWrapper, RealmOptions, SIMPLE_GLOBAL_CLASS, evaluate_script,
};
use peristyle_layout::chunk::ALIGN;
use peristyle_memory::{Memory, Region, RegionError};

use crate::AgentError;
use crate::engine::Parent;
use crate::host::Host;

/// Bytes of a page of WebAssembly memory.
pub(crate) const PAGE_BYTES: u64 = 65_536;
/// Where WebAssembly's addresses end.
pub(crate) const ADDRESSES_BYTES: u64 = 1 << 32;
/// Stack of a kernel, in bytes.
pub(crate) const STACK_BYTES: u64 = 256 << 10;
/// Addresses below a stack that nobody else uses, in bytes.
const GUARD_BYTES: u64 = 256 << 10;
/// Stacks of a memory: one for each instance of a kernel. They cost a sixteenth of the addresses, and pages when touched.
pub(crate) const STACKS: usize = 512;
/// Bytes below the world's blocks.
const RESERVED_BYTES: u64 = STACKS as u64 * (STACK_BYTES + GUARD_BYTES);
/// Growing takes a thread and a runtime, some 1 ms. Committed bytes cost nothing until they are touched.
const GROW_STEP_BYTES: u64 = 64 << 20;
/// Stack of a thread that makes or grows a memory, in bytes.
const THREAD_STACK_BYTES: usize = 1 << 20;

/// The most bytes that a world on an engine's memory can have.
pub(crate) const MAX_BYTES: u64 = ADDRESSES_BYTES - RESERVED_BYTES;

/// A shared `WebAssembly.Memory`.
pub(crate) struct Linear {
    object: Mutex<Cloned>,
    /// Address of the memory's byte 0.
    start: NonNull<u8>,
    /// Bytes from `start` that can be used.
    committed: AtomicU64,
    max_bytes: u64,
    /// Bit `i & 63` of word `i >> 6` is set while stack `i` is free.
    free_stacks: Mutex<[u64; STACKS / 64]>,
    parent: Arc<Parent>,
}

// SAFETY: the address is that of a mapping that the clone keeps; the clone is used by one thread at a time, and any thread
// may read or drop one.
unsafe impl Send for Linear {}
// SAFETY: as above, behind locks and atomics.
unsafe impl Sync for Linear {}

impl Linear {
    /// Makes a memory whose blocks may take `max_bytes` bytes, rounded up to pages.
    pub(crate) fn new(parent: &Arc<Parent>, max_bytes: u64) -> Result<Linear, RegionError> {
        if max_bytes > MAX_BYTES {
            return Err(RegionError::AboveMax { bytes: max_bytes, max_bytes: MAX_BYTES });
        }
        let max_bytes = RESERVED_BYTES + max_bytes.max(1).next_multiple_of(PAGE_BYTES);
        let (initial, maximum) = (RESERVED_BYTES / PAGE_BYTES, max_bytes / PAGE_BYTES);
        let script = format!("new WebAssembly.Memory({{ initial: {initial}, maximum: {maximum}, shared: true }})");
        let made = in_realm(parent, |realm| {
            rooted!(in(realm.raw) let mut object = UndefinedValue());
            realm.evaluate(&script, &mut object)?;
            let (start, bytes) = realm.extent(&object)?;
            Ok((Cloned::new(realm.raw, &object)?, Address(start), bytes))
        });
        let reserve = |why: String| RegionError::Reserve { bytes: max_bytes, source: io::Error::other(why) };
        let (object, start, bytes) = made.map_err(reserve)?;
        // Advice only, as for native memories: without huge pages everything works, with more page faults.
        // Stacks do without: each would take one.
        // SAFETY: the engine reserved the maximum from `start` on, which is on a page, and the clone keeps it.
        let _ = unsafe {
            let base = start.0.as_ptr().add(RESERVED_BYTES as usize);
            libc::madvise(base.cast(), (max_bytes - RESERVED_BYTES) as usize, libc::MADV_HUGEPAGE)
        };
        Ok(Linear {
            object: Mutex::new(object),
            start: start.0,
            committed: AtomicU64::new(bytes),
            max_bytes,
            free_stacks: Mutex::new([u64::MAX; STACKS / 64]),
            parent: parent.clone(),
        })
    }

    /// Bytes from byte 0 that can be used now.
    pub(crate) fn committed(&self) -> u64 {
        // Pairs with the release in `grow`: who sees the size sees accessible pages.
        self.committed.load(Ordering::Acquire)
    }

    /// Address of byte 0. Never changes.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Most pages that the memory can have.
    pub(crate) fn max_pages(&self) -> u64 {
        self.max_bytes / PAGE_BYTES
    }

    /// Offset of `bytes` bytes at `ptr` from byte 0, if blocks of this memory may lie there.
    #[inline]
    pub(crate) fn offset(&self, ptr: NonNull<u8>, bytes: usize) -> Option<u32> {
        let offset = (ptr.as_ptr().addr() as u64).checked_sub(self.start.as_ptr().addr() as u64)?;
        let within = offset >= RESERVED_BYTES && offset.checked_add(bytes as u64)? <= self.committed();
        // Committed bytes are at most 4 GiB, so an offset of at least one byte fits.
        within.then(|| u32::try_from(offset).ok()).flatten()
    }

    /// The `WebAssembly.Memory` as an object of the agent that runs.
    ///
    /// # Safety
    /// `raw` is this thread's context, alive and in a realm with shared memory.
    pub(crate) unsafe fn object(&self, raw: *mut RawJSContext, object: &mut RootedGuard<'_, JSVal>) -> bool {
        let clone = self.object.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: as the caller answers.
        unsafe { clone.read(raw, object) }
    }

    /// A stack that nobody else has, if one is left.
    pub(crate) fn stack(self: &Arc<Linear>) -> Option<Stack> {
        let mut free = self.free_stacks.lock().unwrap_or_else(PoisonError::into_inner);
        let word = free.iter().position(|word| *word != 0)?;
        let bit = free[word].trailing_zeros();
        free[word] &= !(1 << bit);
        let stack = Stack { linear: self.clone(), index: word as u32 * 64 + bit };
        stack.set_canary();
        Some(stack)
    }

    fn grow(&self, bytes: u64) -> Result<(), RegionError> {
        let commit = |why: String| RegionError::Commit { bytes, source: io::Error::other(why) };
        let wanted = RESERVED_BYTES.checked_add(bytes).filter(|wanted| *wanted <= self.max_bytes);
        let wanted = wanted.ok_or(RegionError::AboveMax { bytes, max_bytes: self.max_bytes - RESERVED_BYTES })?;
        if wanted <= self.committed() {
            return Ok(());
        }
        let pages = wanted.next_multiple_of(GROW_STEP_BYTES).min(self.max_bytes) / PAGE_BYTES;
        // A kernel may have grown it, too.
        let script = format!(
            "(memory) => {{ const less = {pages} - memory.buffer.byteLength / {PAGE_BYTES}; less > 0 && memory.grow(less); }}"
        );
        let grown = in_realm(&self.parent, |realm| {
            rooted!(in(realm.raw) let mut object = UndefinedValue());
            // SAFETY: the realm is entered and has shared memory.
            if !unsafe { self.object(realm.raw, &mut object) } {
                return Err(realm.failure());
            }
            realm.call(&script, &object)?;
            let (start, bytes) = realm.extent(&object)?;
            if start != self.start { Err("the engine moved the memory".into()) } else { Ok(bytes) }
        });
        self.committed.fetch_max(grown.map_err(commit)?, Ordering::Release);
        Ok(())
    }
}

/// A memory made by the engine; see [`Cluster::memory`](crate::Cluster::memory).
pub(crate) fn new(parent: &Arc<Parent>, max_bytes: u64) -> Result<Memory, RegionError> {
    Ok(Memory::on(EngineRegion(Arc::new(Linear::new(parent, max_bytes)?))))
}

/// The engine's memory as the region of a [`Memory`].
pub(crate) struct EngineRegion(pub(crate) Arc<Linear>);

// SAFETY: the base is aligned as the memory's byte 0 is, to 64 bytes (checked where that address is read), as the bytes
// below it are a multiple of that; it lies inside of a mapping that the clone keeps and that the engine never moves; sizes only grow, and only after the
// engine committed the pages, which are zero then. What lies below the base belongs to nobody's blocks. Agents reach the
// bytes too: only those of jobs that Rust asked for by `unsafe`, whose contract leaves the region what it promises.
unsafe impl Region for EngineRegion {
    fn base(&self) -> NonNull<u8> {
        // SAFETY: the reserved bytes are committed from the start.
        unsafe { self.0.start.add(RESERVED_BYTES as usize) }
    }

    fn origin(&self) -> u64 {
        RESERVED_BYTES
    }

    fn committed_bytes(&self) -> u64 {
        self.0.committed() - RESERVED_BYTES
    }

    fn max_bytes(&self) -> u64 {
        self.0.max_bytes - RESERVED_BYTES
    }

    fn grow(&self, bytes: u64) -> Result<(), RegionError> {
        self.0.grow(bytes)
    }
}

/// The stack of one instance of a kernel.
///
/// It is free again when this is dropped. An instance drops it on its agent's own thread, and is borrowed by the call that
/// runs on it: so that call has returned by then, be it because the engine stopped it.
pub(crate) struct Stack {
    linear: Arc<Linear>,
    index: u32,
}

/// What lies at the low end of a stack while nothing overran it.
const CANARY: u64 = 0x7065_7269_7374_796c;

impl Stack {
    /// Offset of its first byte.
    fn low(&self) -> u64 {
        u64::from(self.index) * (STACK_BYTES + GUARD_BYTES) + GUARD_BYTES
    }

    /// Offset of the byte after its last: where the stack pointer starts.
    pub(crate) fn top(&self) -> u32 {
        (self.low() + STACK_BYTES) as u32
    }

    fn canary(&self) -> &AtomicU64 {
        // SAFETY: the address is 8-byte aligned, committed from the start, and kept by `linear`. Who else reaches it (a
        // kernel that overflows, in this thread or another) is no Rust code.
        unsafe { self.linear.start.add(self.low() as usize).cast::<AtomicU64>().as_ref() }
    }

    fn set_canary(&self) {
        self.canary().store(CANARY, Ordering::Relaxed);
    }

    /// Whether something overran the low end since this was last asked.
    pub(crate) fn was_overrun(&self) -> bool {
        let overrun = self.canary().load(Ordering::Relaxed) != CANARY;
        if overrun {
            self.set_canary();
        }
        overrun
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut free = self.linear.free_stacks.lock().unwrap_or_else(PoisonError::into_inner);
        free[self.index as usize / 64] |= 1 << (self.index % 64);
    }
}

/// A value that was serialised within the process, and can be read by any of its agents.
struct Cloned(JSAutoStructuredCloneBufferWrapper);

// SAFETY: a clone of an object without transferables belongs to no thread; its shared memory is counted atomically.
unsafe impl Send for Cloned {}

static NO_CALLBACKS: JSStructuredCloneCallbacks = JSStructuredCloneCallbacks {
    read: None,
    write: None,
    reportError: None,
    readTransfer: None,
    writeTransfer: None,
    freeTransfer: None,
    canTransfer: None,
    sabCloned: None,
};
static SHARED_OBJECTS: CloneDataPolicy =
    CloneDataPolicy { allowIntraClusterClonableSharedObjects_: true, allowSharedMemoryObjects_: true };
/// The engine's only version of the format.
const CLONE_VERSION: u32 = 8;

impl Cloned {
    fn new(raw: *mut RawJSContext, value: &RootedGuard<'_, JSVal>) -> Result<Cloned, String> {
        let scope = StructuredCloneScope::SameProcess;
        // SAFETY: the context is alive and in a realm, the value rooted, the tables static.
        unsafe {
            let buffer = JSAutoStructuredCloneBufferWrapper::new(scope, &NO_CALLBACKS);
            let data = &raw mut (*buffer.as_raw_ptr()).data_;
            let nothing = ja::UndefinedHandleValue;
            let value = value.handle().into();
            let written = ja::JS_WriteStructuredClone(
                raw,
                value,
                data,
                scope,
                &SHARED_OBJECTS,
                &NO_CALLBACKS,
                ptr::null_mut(),
                nothing,
            );
            if written { Ok(Cloned(buffer)) } else { Err("the memory cannot be cloned".into()) }
        }
    }

    /// # Safety
    /// `raw` is this thread's context, alive and in a realm with shared memory.
    unsafe fn read(&self, raw: *mut RawJSContext, value: &mut RootedGuard<'_, JSVal>) -> bool {
        // SAFETY: the data was written by this process; without transferables it can be read any number of times.
        unsafe {
            let data = &raw const (*self.0.as_raw_ptr()).data_;
            let scope = StructuredCloneScope::SameProcess;
            let (value, closure) = (value.handle_mut().into(), ptr::null_mut());
            ja::JS_ReadStructuredClone(raw, data, CLONE_VERSION, scope, value, &SHARED_OBJECTS, &NO_CALLBACKS, closure)
        }
    }
}

/// An address on its way from one thread to another.
struct Address(NonNull<u8>);

// SAFETY: it is only a number until it is used, and who uses it answers for that.
unsafe impl Send for Address {}

/// A plain realm with shared memory, entered.
struct BareRealm {
    raw: *mut RawJSContext,
    global: *const *mut JSObject,
}

/// Runs `f` in a realm that is made for it, on a thread and in a runtime made for it.
fn in_realm<R: Send>(
    parent: &Arc<Parent>,
    f: impl FnOnce(&BareRealm) -> Result<R, String> + Send,
) -> Result<R, String> {
    let run = || {
        let host = Host::of_this_thread(parent).map_err(|error: AgentError| error.to_string())?;
        // SAFETY: this thread's only use of its context; everything that may move is rooted.
        unsafe {
            let mut cx = host.context();
            let raw = cx.raw_cx();
            let options = shared_realm_options();
            let hook = OnNewGlobalHookOption::FireOnNewGlobalHook;
            rooted!(in(raw) let global =
                ja::JS_NewGlobalObject(raw, &SIMPLE_GLOBAL_CLASS, ptr::null_mut(), hook, &*options));
            if global.is_null() {
                return Err("the realm cannot be made".into());
            }
            let _realm = ja::JSAutoRealm::new(raw, global.get());
            f(&BareRealm { raw, global: &*global })
        }
    };
    let name = "peristyle-memory".to_owned();
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(name).stack_size(THREAD_STACK_BYTES);
        let thread = builder.spawn_scoped(scope, run).map_err(|error| error.to_string())?;
        thread.join().unwrap_or_else(|_| Err("its thread panicked".into()))
    })
}

/// The options of a realm that has shared memory.
pub(crate) fn shared_realm_options() -> RealmOptions {
    let mut options = RealmOptions::default();
    options.creationOptions_.sharedMemoryAndAtomics_ = true;
    options.creationOptions_.defineSharedArrayBufferConstructor_ = true;
    options
}

impl BareRealm {
    fn evaluate(&self, script: &str, value: &mut RootedGuard<'_, JSVal>) -> Result<(), String> {
        // SAFETY: the context is this thread's, no other wrapper is in use, and the global is rooted by `in_realm`.
        unsafe {
            let mut cx = JSContext::from_ptr(NonNull::new_unchecked(self.raw));
            let global = Handle::from_raw(ja::Handle::from_marked_location(self.global));
            let options = CompileOptionsWrapper::new(&cx, c"peristyle:memory".to_owned(), 1);
            evaluate_script(&mut cx, global, script, value.handle_mut(), options).map_err(|()| self.failure())
        }
    }

    /// Evaluates a script to a function and calls that with a value.
    fn call(&self, script: &str, value: &RootedGuard<'_, JSVal>) -> Result<(), String> {
        rooted!(in(self.raw) let mut function = UndefinedValue());
        self.evaluate(script, &mut function)?;
        let arguments = ja::HandleValueArray { length_: 1, elements_: &**value };
        rooted!(in(self.raw) let mut result = UndefinedValue());
        // SAFETY: the context is alive and in the realm; values are rooted.
        let called = unsafe {
            let (this, function) = (ja::UndefinedHandleValue, function.handle().into());
            ja::Call(self.raw, this, function, &arguments, result.handle_mut().into())
        };
        if called { Ok(()) } else { Err(self.failure()) }
    }

    /// Address and bytes of a memory.
    fn extent(&self, memory: &RootedGuard<'_, JSVal>) -> Result<(NonNull<u8>, u64), String> {
        rooted!(in(self.raw) let object = memory.to_object());
        rooted!(in(self.raw) let mut buffer = UndefinedValue());
        // SAFETY: the context is alive and in the realm; objects are rooted.
        let (start, bytes) = unsafe {
            if !buffer_of(self.raw, object.handle().into(), &mut buffer) {
                return Err(self.failure());
            }
            extent(buffer.to_object())
        };
        let start = NonNull::new(start).ok_or("the memory has no address")?;
        if !start.as_ptr().addr().is_multiple_of(ALIGN) {
            return Err(format!("the memory lies at {start:?}, which is not aligned to {ALIGN} bytes"));
        }
        Ok((start, bytes))
    }

    /// What was thrown, as text.
    fn failure(&self) -> String {
        rooted!(in(self.raw) let mut thrown = UndefinedValue());
        // SAFETY: the context is alive and in the realm; values are rooted.
        unsafe {
            if !ja::JS_GetPendingException(self.raw, thrown.handle_mut().into()) {
                return "the engine is out of memory".into();
            }
            ja::JS_ClearPendingException(self.raw);
            rooted!(in(self.raw) let text = ja::ToStringSlow(self.raw, thrown.handle().into()));
            let cx = JSContext::from_ptr(NonNull::new_unchecked(self.raw));
            NonNull::new(text.get())
                .map(|text| mozjs::conversions::jsstr_to_string(&cx, text))
                .unwrap_or_else(|| "the engine refused".into())
        }
    }
}

/// The `SharedArrayBuffer` that a memory has now.
///
/// # Safety
/// `raw` is this thread's context, alive and in the object's realm.
pub(crate) unsafe fn buffer_of(
    raw: *mut RawJSContext,
    memory: ja::HandleObject,
    buffer: &mut RootedGuard<'_, JSVal>,
) -> bool {
    // SAFETY: as the caller answers.
    unsafe { ja::JS_GetProperty(raw, memory, c"buffer".as_ptr(), buffer.handle_mut().into()) && buffer.is_object() }
}

/// Address and length of a `SharedArrayBuffer`.
///
/// # Safety
/// `buffer` is one.
pub(crate) unsafe fn extent(buffer: *mut JSObject) -> (*mut u8, u64) {
    let (mut bytes, mut shared, mut start) = (0usize, false, ptr::null_mut::<u8>());
    // SAFETY: as the caller answers; nothing collects.
    unsafe { ja::GetSharedArrayBufferLengthAndData(buffer, &mut bytes, &mut shared, &mut start) };
    (start, bytes as u64)
}
