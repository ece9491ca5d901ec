//! The struct compiler: what a struct is made of, where each part lies, and records read and written by it.
//!
//! A [`Type`] says what a struct is made of: scalars, entities, fixed arrays, nested structs, explicit padding. It
//! comes from code, from a Rust type ([`Described`]) or from a document (feature `serde`, [`Type`]).
//! [`StructLayout::compile`] checks it and computes two views of the same struct:
//!
//! - the *record*: size, alignment and the offset of every path (`pos.x`, `vel[3].y`) in packed, array-of-structs bytes;
//! - the *columns*: one for each scalar in order of declaration, named by its path (`pos_x`, `vel_3_y`).
//!
//! ```
//! use peristyle_layout::{Scalar, schema::{ByteOrder, Struct, StructLayout, Type, Value}};
//!
//! let point = Struct::new().field("x", Scalar::F32).field("y", Scalar::F32);
//! let body = Struct::new().field("alive", Scalar::Bool).field("at", point.clone()).field("trail", Type::array(point, 2));
//! let layout = StructLayout::compile(&body.into())?;
//!
//! assert_eq!((layout.size(), layout.align()), (28, 4));
//! assert_eq!(layout.place("trail[1].y")?.offset, 24);
//! let names: Vec<&str> = layout.columns().iter().map(|column| column.name()).collect();
//! assert_eq!(names, ["alive", "at_x", "at_y", "trail_0_x", "trail_0_y", "trail_1_x", "trail_1_y"]);
//!
//! let mut record = [0; 28];
//! layout.set(&mut record, "at.y", Value::F32(1.5), ByteOrder::Big)?;
//! assert_eq!(record[8..12], 1.5_f32.to_be_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//! - A struct is laid out as C does it: each field at a multiple of its alignment, the size a multiple of the largest.
//!   [`Struct::packed`], [`Struct::align`], [`Struct::pad`] and [`Struct::field_at`] say otherwise.
//! - An entity is an `f64` that holds the handle's integer, in records as in columns.
//! - A schema may come from anywhere: it is bounded in depth ([`NESTING_MAX`]), columns ([`COLUMNS_MAX`]), bytes
//!   ([`SIZE_MAX`]) and names ([`NAME_BYTES_MAX`]), and nothing is allocated for columns before their number is known.
//! - A name is a letter or `_`, then letters, digits and `_` (ASCII), so that every column is a JavaScript identifier.
//!
//! # Not here
//! Unions, bit fields, strings and pointers: what a column cannot hold.

mod compile;
mod described;
#[cfg(feature = "serde")]
mod document;
mod error;
mod layout;
mod path;
mod records;
mod types;
mod value;

pub use described::Described;
pub use error::{PathError, RecordError, SchemaError};
pub use layout::{Column, Place, Shape, StructLayout};
#[cfg(feature = "derive")]
pub use peristyle_derive::Described;
pub use records::ByteOrder;
pub use types::{Struct, Type};
pub use value::{Value, ValueError};

/// How deep arrays and structs may be nested in each other, the outermost struct included.
pub const NESTING_MAX: usize = 32;
/// The most columns that a struct may flatten to.
pub const COLUMNS_MAX: usize = 16_384;
/// The most bytes of a struct, so that offsets are positive 32-bit integers on every host.
pub const SIZE_MAX: usize = i32::MAX as usize;
/// The most bytes of a column's path, such as `vel[3].y`, and of a field's name.
pub const NAME_BYTES_MAX: usize = 255;
/// The largest alignment that can be asked for: a page.
pub const ALIGN_MAX: usize = 4096;
