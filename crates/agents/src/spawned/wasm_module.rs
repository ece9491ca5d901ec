//! Compiled WebAssembly that agents share.
//!
//! The engine's `WebAssembly.Module` objects refer to a counted C++ object that any thread may hold; an agent makes an object
//! of its own of it, without compiling again. The crate of the engine binds neither the count nor the methods (and binds the
//! function that gives it with the wrong convention), so they are spelled out here, from `js/public/WasmModule.h`.
//!
//! # Rules
//! - A [`WasmModule`] holds one count, which it gives back when it is dropped.

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi as ja;
use mozjs::jsapi::JSObject;

/// `JS::WasmModule`: a table of virtual functions, then the count of its references.
#[repr(C)]
struct Shared {
    table: *const Table,
    count: AtomicUsize,
}

/// The virtual functions, in the order of their declaration. A virtual destructor has two places in the table of the
/// Itanium ABI, which all targets of this engine but Windows use: it destroys, or destroys and frees.
#[repr(C)]
struct Table {
    destroy: unsafe extern "C" fn(*mut Shared),
    _destroy_and_free: unsafe extern "C" fn(*mut Shared),
    create_object: unsafe extern "C" fn(*const Shared, *mut RawJSContext) -> *mut JSObject,
}

/// What `JS::GetWasmModule` returns: a `RefPtr`, whose destructor makes C++ return it in memory of the caller. So does Rust
/// with a struct of more than two words, of which only the first is written.
#[repr(C)]
struct Returned([MaybeUninit<*mut Shared>; 3]);

unsafe extern "C" {
    #[link_name = "\u{1}_ZN2JS13GetWasmModuleENS_6HandleIP8JSObjectEE"]
    fn get_wasm_module(object: ja::HandleObject) -> Returned;
}

/// A compiled module.
pub(crate) struct WasmModule(NonNull<Shared>);

// SAFETY: the header says that references may be held and dropped by any thread, and all methods are thread-safe.
unsafe impl Send for WasmModule {}
// SAFETY: as above.
unsafe impl Sync for WasmModule {}

impl WasmModule {
    /// What a `WebAssembly.Module` refers to; nothing for other objects.
    ///
    /// # Safety
    /// The handle is rooted, and the caller is on its object's thread.
    pub(crate) unsafe fn of(object: ja::HandleObject) -> Option<WasmModule> {
        // SAFETY: as the caller answers; the function is called for such objects only, and writes the first word.
        unsafe {
            if !ja::IsWasmModuleObject(object) {
                return None;
            }
            // The reference that it counts is ours.
            NonNull::new(get_wasm_module(object).0[0].assume_init()).map(WasmModule)
        }
    }

    /// A `WebAssembly.Module` of the current realm; not rooted. Null with an exception pending if there is none.
    pub(crate) fn object(&self, cx: &mut JSContext) -> *mut JSObject {
        // SAFETY: the object lives while we count; the context is this thread's, in a realm.
        unsafe { ((*self.0.as_ref().table).create_object)(self.0.as_ptr(), cx.raw_cx()) }
    }
}

impl Drop for WasmModule {
    fn drop(&mut self) {
        // SAFETY: we hold a count, so the object lives. The last to give one back has seen what all others did (the
        // ordering), destroys the object, and frees it as the engine does, whose allocator is the system's.
        unsafe {
            if self.0.as_ref().count.fetch_sub(1, Ordering::AcqRel) == 1 {
                ((*self.0.as_ref().table).destroy)(self.0.as_ptr());
                libc::free(self.0.as_ptr().cast());
            }
        }
    }
}
