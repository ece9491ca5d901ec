//! What every host of a Peristyle world agrees on: scalars, columns, structs, chunk geometry, entity bits and patch records.
//!
//! Everything here is plain arithmetic on numbers, so that Rust, JavaScript and WebAssembly can compute the same
//! offsets. All memory is little-endian; only packed records ([`schema`]) can be read and written in either order.
//!
//! # Rules
//! - A chunk is one block. Field columns lie in it one after the other, each 64-byte aligned, then the bitsets.
//! - Offsets depend on the chunk's capacity alone ([`chunk::Geometry`]), never on the rows in use.
//! - A struct flattens to the same columns wherever its schema comes from: a Rust type, a document, or code.
//!
//! # Not here
//! Memory itself (`peristyle-memory`) and tables (`peristyle-world`).
#![no_std]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod chunk;
pub mod descriptor;
mod entity;
#[cfg(feature = "alloc")]
mod field;
#[cfg(feature = "alloc")]
pub mod patch;
mod scalar;
#[cfg(feature = "alloc")]
pub mod schema;

pub use entity::{Entity, GENERATION_MAX, INDEX_MAX, InvalidEntity};
#[cfg(feature = "alloc")]
pub use field::{Field, layout_hash};
#[cfg(feature = "alloc")]
pub use patch::{PatchBuffer, PatchBytes, PatchDecodeError, PatchKind, PatchRecord};
pub use scalar::Scalar;

#[cfg(not(target_endian = "little"))]
compile_error!("Peristyle's columns are little-endian; this target is not");
