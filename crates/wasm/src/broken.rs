//! Why the core broke off: told through its memory, for after a trap nobody can be asked.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fmt::{self, Write},
    panic,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use peristyle_abi::{Broken, Word};

/// Address of the header, 0 before there is one.
static HEADER: AtomicUsize = AtomicUsize::new(0);
static TEXT: AtomicUsize = AtomicUsize::new(0);
static TEXT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// From now on, tells why the core breaks off by the header at that address and the message block.
pub(crate) fn watch(header: usize, (text, bytes): (u64, u64)) {
    HEADER.store(header, Relaxed);
    TEXT.store(text as usize, Relaxed);
    TEXT_BYTES.store(bytes as usize, Relaxed);
    panic::set_hook(Box::new(|panic| {
        let mut message = Message { at: 0 };
        // A message that is too long is cut.
        let _ = write!(message, "{panic}");
        tell(Word::ErrorBytes, message.at as u32);
        tell(Word::Broken, Broken::Panic as u32);
    }));
}

fn tell(word: Word, value: u32) {
    let header = HEADER.load(Relaxed);
    if header != 0 {
        // SAFETY: the header was given by the core and lives as long as the module; only the module's one thread writes it
        // during a call.
        unsafe { (header as *mut u32).add(word as usize).write(value) };
    }
}

/// The message block, from a byte on.
struct Message {
    at: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_BYTES.load(Relaxed) - self.at;
        let bytes = &text.as_bytes()[..text.floor_char_boundary(room)];
        // SAFETY: the block has that much room from `at` on, and lives as long as the module.
        unsafe { (TEXT.load(Relaxed) as *mut u8).add(self.at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.at += bytes.len();
        if bytes.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The system's allocator, which says when it has nothing left: who cannot go on without traps, and the host should know
/// why.
struct Telling;

#[global_allocator]
static ALLOCATOR: Telling = Telling;

impl Telling {
    fn told(ptr: *mut u8) -> *mut u8 {
        if ptr.is_null() {
            tell(Word::Broken, Broken::Exhausted as u32);
        }
        ptr
    }
}

// SAFETY: everything is the system allocator's; what it gave is not changed.
unsafe impl GlobalAlloc for Telling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duty.
        Telling::told(unsafe { System.alloc(layout) })
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duty.
        Telling::told(unsafe { System.alloc_zeroed(layout) })
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's duty.
        Telling::told(unsafe { System.realloc(ptr, layout, bytes) })
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(ptr, layout) };
    }
}
