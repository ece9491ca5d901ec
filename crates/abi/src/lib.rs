//! The core ABI: a world, its plan and its mirrors, as one table of functions over numbers.
//!
//! Hosts of other languages have no Rust types. They call the functions of [`functions!`] on a [`Core`] with numbers, and
//! find columns, lists and texts by their offsets in its memory. From that one table are made: the exports of the
//! WebAssembly build, the functions of a realm in the native runtime ([`FUNCTIONS`]), the types of the TypeScript layer
//! ([`typescript`]), and a hash that both sides compare ([`HASH`]).
//!
//! ```
//! use peristyle_abi::{Core, FUNCTIONS};
//! use peristyle_memory::Memory;
//!
//! let mut core = Core::on(Memory::reserve(64 << 20)?)?;
//! let spawn = FUNCTIONS.iter().find(|function| function.name == "spawn").expect("it is in the table");
//! let (table, alive) = (0.0, |core: &mut Core| core.world_mut().len());
//! assert!((spawn.call)(&mut core, &[table]) < 0.0, "there is no table yet");
//! assert_eq!(alive(&mut core), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//! - The core never calls out, and never waits: the host pulls.
//! - Nothing crosses per row: lists cross, and columns are reached where they lie.
//! - Texts and lists cross in one *scratch* block, from its start. What does not fit into a result stands in the words of
//!   the *header* ([`Word`]).
//! - A negative result is a [`Status`]; its message lies where the header says. Nothing has changed then.
//! - Values of JavaScript stay in JavaScript: here they are entities and numbers of components.
//!
//! # Not here
//! Commands, hooks and conditions (the host's), threads, WebAssembly's exports (`peristyle-wasm`).
#![warn(missing_docs)]

mod blocks;
mod core;
mod define;
mod embed;
mod entities;
mod frames;
mod mirrors;
mod queries;
#[cfg(not(target_arch = "wasm32"))]
mod records;
mod status;
mod table;
mod typescript;

pub use crate::blocks::{Broken, Word};
pub use crate::core::Core;
pub use crate::status::{Failure, Status};
pub use crate::table::{Answer, Argument, FUNCTIONS, Function, HASH, answer};
pub use crate::typescript::typescript;
