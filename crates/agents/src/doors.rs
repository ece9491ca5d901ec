//! The doors through which the engine gets memory: where a thread can be told no.
//!
//! The engine asks for memory in three ways: by functions of its own for arenas (`moz_arena_*`, everything on its malloc
//! heap: contents of buffers, characters of strings, tables), by `mmap` (its garbage-collected heap, elements of large
//! arrays), and by `mprotect` (pages of WebAssembly memories, which are reserved first). Those functions are defined here
//! and do what the system does, after asking the [`Guard`] of the thread, if it has one. A guard that says no makes the
//! request fail as if memory were short, which the engine turns into an exception.
//!
//! No counter after the fact can replace this: a single `new Uint8Array(1e9).fill(1)` asks nobody in between.
//!
//! # Rules
//! - A thread without a guard pays for one load of a thread-local, and gets what the system gives.
//! - Nothing here allocates, locks or unwinds: it runs inside the allocator.
//! - Collections are never refused: a collector that cannot go on ends the process. A guard sees to that.
//! - The pages of compiled code change between writable and executable: these are no requests.
//!
//! # Not here
//! `free`: what is in use is known by the engine's own counters (see `spawned/meter.rs`).

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_void, off_t, size_t};

/// A request for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// A block of the malloc heap.
    Heap(usize),
    /// Bytes for a block beyond those that it has.
    Growth(usize),
    /// Pages that are mapped.
    Pages(usize),
    /// Pages of a WebAssembly memory.
    Wasm(usize),
}

/// Who decides about a thread's requests.
pub(crate) trait Guard {
    /// Whether a request is granted. Called inside the allocator: must not allocate, lock or unwind.
    fn admits(&self, request: Request) -> bool;
}

thread_local! {
    static GUARD: Cell<Option<*const dyn Guard>> = const { Cell::new(None) };
    /// The engine is being initialised on this thread.
    static INITIALISING: Cell<bool> = const { Cell::new(false) };
}

/// Where compiled code of the process lies, once it is reserved.
static CODE_START: AtomicUsize = AtomicUsize::new(0);
static CODE_END: AtomicUsize = AtomicUsize::new(0);
/// The engine reserves more than this for code (in bytes), and less for anything else while it is initialised.
const CODE_BYTES_MIN: usize = 64 << 20;

/// While a guard stands at this thread's doors.
pub(crate) struct Guarded(());

impl Guarded {
    /// # Safety
    /// The guard outlives the result, which is dropped on this thread.
    pub(crate) unsafe fn by(guard: &(dyn Guard + 'static)) -> Guarded {
        GUARD.set(Some(ptr::from_ref(guard)));
        Guarded(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        GUARD.set(None);
    }
}

/// Initialises the engine, and remembers where its code will lie.
pub(crate) fn watch_initialisation<R>(initialise: impl FnOnce() -> R) -> R {
    keep();
    INITIALISING.set(true);
    let result = initialise();
    INITIALISING.set(false);
    result
}

/// A reference to the doors, so that the linker meets them before the engine's own, which it then leaves out.
#[inline(never)]
fn keep() {
    std::hint::black_box(moz_create_arena_with_params as *const () as usize);
}

fn admits(request: Request) -> bool {
    // SAFETY: a guard that is set lives, and is this thread's.
    GUARD.get().is_none_or(|guard| unsafe { (*guard).admits(request) })
}

/// # Safety
/// As `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn moz_arena_malloc(_: size_t, bytes: size_t) -> *mut c_void {
    if !admits(Request::Heap(bytes)) {
        return ptr::null_mut();
    }
    // SAFETY: as the caller answers.
    unsafe { libc::malloc(bytes) }
}

/// # Safety
/// As `calloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn moz_arena_calloc(_: size_t, count: size_t, bytes: size_t) -> *mut c_void {
    if !admits(Request::Heap(count.saturating_mul(bytes))) {
        return ptr::null_mut();
    }
    // SAFETY: as the caller answers.
    unsafe { libc::calloc(count, bytes) }
}

/// # Safety
/// As `realloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn moz_arena_realloc(_: size_t, block: *mut c_void, bytes: size_t) -> *mut c_void {
    // SAFETY: the caller's block is one of `malloc`, or null.
    let has = if block.is_null() { 0 } else { unsafe { libc::malloc_usable_size(block) } };
    if !admits(Request::Growth(bytes.saturating_sub(has))) {
        return ptr::null_mut();
    }
    // SAFETY: as the caller answers.
    unsafe { libc::realloc(block, bytes) }
}

/// # Safety
/// As `memalign`.
#[unsafe(no_mangle)]
unsafe extern "C" fn moz_arena_memalign(_: size_t, alignment: size_t, bytes: size_t) -> *mut c_void {
    if !admits(Request::Heap(bytes)) {
        return ptr::null_mut();
    }
    // SAFETY: as the caller answers.
    unsafe { libc::memalign(alignment, bytes) }
}

/// # Safety
/// As `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn moz_arena_free(_: size_t, block: *mut c_void) {
    // SAFETY: as the caller answers.
    unsafe { libc::free(block) }
}

/// The engine's arenas are one: the system's heap.
#[unsafe(no_mangle)]
extern "C" fn moz_create_arena_with_params(_: *mut c_void) -> size_t {
    0
}

#[unsafe(no_mangle)]
extern "C" fn moz_dispose_arena(_: size_t) {}

/// The program's `mmap`, which it takes before the C library's.
///
/// # Safety
/// As `mmap`.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut c_void,
    bytes: size_t,
    access: c_int,
    flags: c_int,
    file: c_int,
    offset: off_t,
) -> *mut c_void {
    let writable = access == libc::PROT_READ | libc::PROT_WRITE;
    if writable && flags & libc::MAP_FIXED == 0 && !admits(Request::Pages(bytes)) {
        // SAFETY: the thread's own error number.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return libc::MAP_FAILED;
    }
    // SAFETY: the system call, as the caller asked for it.
    let mapped = unsafe { libc::syscall(libc::SYS_mmap, address, bytes, access, flags, file, offset) };
    if mapped != -1 && bytes >= CODE_BYTES_MIN && INITIALISING.get() {
        CODE_START.store(mapped as usize, Ordering::Relaxed);
        CODE_END.store(mapped as usize + bytes, Ordering::Relaxed);
    }
    mapped as *mut c_void
}

/// The program's `mprotect`, which it takes before the C library's.
///
/// # Safety
/// As `mprotect`.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn mprotect(address: *mut c_void, bytes: size_t, access: c_int) -> c_int {
    // Relaxed: set before there were agents.
    let code = CODE_START.load(Ordering::Relaxed)..CODE_END.load(Ordering::Relaxed);
    let commits = access == libc::PROT_READ | libc::PROT_WRITE && !code.contains(&(address as usize));
    if commits && !admits(Request::Wasm(bytes)) {
        // SAFETY: the thread's own error number.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return -1;
    }
    // SAFETY: the system call, as the caller asked for it.
    unsafe { libc::syscall(libc::SYS_mprotect, address, bytes, access) as c_int }
}
