//! The linear memory of a world.
//!
//! A [`Memory`] is one range of addresses whose base never moves. [`Block`]s of 64-byte-aligned bytes are cut from it;
//! columns and bitsets lie in blocks. Where the bytes come from is a [`Region`]: here [`Reserved`] address space,
//! elsewhere a memory that a JavaScript engine made.
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

mod allocator;
pub mod bits;
mod element;
pub mod mailbox;
mod memory;
mod region;
mod ring;
mod sync;

pub use element::{Bool, Element};
pub use memory::{Block, Memory, OutOfMemory};
pub use region::{Region, RegionError, Reserved};
pub use ring::{PatchReader, PatchWriter, RingError, patch_ring};
