//! The linear memory of a world.
//!
//! A [`Memory`] is one range of addresses whose base never moves. [`Block`]s of 64-byte-aligned bytes are cut from it;
//! columns and bitsets lie in blocks. Where the bytes come from is a [`Region`]: here [`Reserved`] address space,
//! elsewhere a memory that a JavaScript engine made. Compiled to WebAssembly, the memory is the module's own, and offsets
//! are addresses.
//!
//! On top of it, [`mailbox`] passes messages between threads, and to whoever else works on the memory.
//!
//! # Rules
//! - A block stays where it is until it is dropped; growth moves nothing.
//! - The bytes of a block are raw: who turns them into `&T` or `&mut T` names the phase that makes this exclusive.
//! - Exhaustion is [`OutOfMemory`], which names what was asked and what is left, and changes nothing.
//!
//! Patch records go from one thread to another through a ring in the memory ([`patch_ring`]), which never loses one in
//! silence.
//!
//! # Not here
//! Chunks and tables (`peristyle-world`), leases (`peristyle-jobs`).

#[cfg(not(target_arch = "wasm32"))]
mod allocator;
pub mod bits;
mod element;
#[cfg(not(target_arch = "wasm32"))]
pub mod mailbox;
mod memory;
mod region;
#[cfg(not(target_arch = "wasm32"))]
mod reserved;
mod ring;
#[cfg_attr(target_arch = "wasm32", path = "space_wasm.rs")]
mod space;
#[cfg(not(target_arch = "wasm32"))]
mod sync;

pub use element::{Bool, Element};
pub use memory::{Block, Memory, OutOfMemory};
pub use region::{Region, RegionError};
#[cfg(not(target_arch = "wasm32"))]
pub use reserved::Reserved;
pub use ring::{PatchReader, PatchWriter, RingError, patch_ring};
