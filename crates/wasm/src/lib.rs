//! The core as a WebAssembly module: one instance is one world.
//!
//! Every function of the table in `peristyle-abi` is an export of the same name, over numbers. The module imports nothing
//! but its memory (`env.memory`), calls nobody, and is entered by one thread: the one that made the instance. `cargo xtask
//! wasm` makes two builds of it, with shared memory (atomics) and without.
//!
//! # Rules
//! - `start` comes first, once.
//! - A panic puts its message where the header says, sets its word `broken`, and traps: the instance is of no use any more,
//!   and each later call traps too.
//! - When the heap is used up, `broken` says so.
//!
//! # Not here
//! Everything but the way in. Compiled for anything but WebAssembly this crate is empty.
#![cfg(target_arch = "wasm32")]

mod broken;

use std::cell::RefCell;

use peristyle_abi::{Core, answer, functions};
use peristyle_memory::Memory;

thread_local! {
    static CORE: RefCell<Option<Core>> = const { RefCell::new(None) };
}

/// Calls `f` with the core. A core that broke off in a call stays borrowed, so that nobody looks at it any more.
#[inline(always)]
fn with(f: impl FnOnce(&mut Core) -> f64) -> f64 {
    CORE.with_borrow_mut(|core| f(core.as_mut().expect("`start` comes first")))
}

/// Makes the world, whose columns may take `max_bytes` bytes. Gives the offset of the header, or -1 if there is no room.
// SAFETY: nothing else in the module has this name.
#[unsafe(no_mangle)]
pub extern "C" fn start(max_bytes: f64) -> f64 {
    let Ok(memory) = Memory::reserve(max_bytes as u64) else { return -1.0 };
    let Ok(mut core) = Core::on(memory) else { return -1.0 };
    let header = answer(&mut core, Core::header);
    broken::watch(header as usize, core.error_block());
    CORE.set(Some(core));
    header
}

macro_rules! export {
    ($($(#[doc = $doc:literal])* fn $name:ident($($argument:ident: $type:ident),*);)*) => {$(
        $(#[doc = $doc])*
        // SAFETY: names in the table are unique, and nothing else in the module has them.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($argument: $type),*) -> f64 {
            with(|core| answer(core, |core| core.$name($($argument),*)))
        }
    )*};
}

functions!(export);
