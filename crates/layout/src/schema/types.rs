//! What a struct is made of.
//!
//! Types are trees whose depth is bounded while they are made: what would be deeper than
//! [`NESTING_MAX`](super::NESTING_MAX) is dropped and remembered as such, so that no tree is too deep to walk, to copy
//! or to drop. That and everything else that is wrong with a type is said when it is compiled.

use alloc::{borrow::ToOwned, boxed::Box, string::String, vec::Vec};

use super::NESTING_MAX;
use crate::Scalar;

/// The type of a field, or of a whole record.
///
/// # As a document
/// With the feature `serde` a type can be read from JSON (or another format) and written as such. A type is
///
/// | JSON | is |
/// |---|---|
/// | `"f32"`, `"f64"`, `"i8"` to `"u64"`, `"bool"` | that scalar |
/// | `"entity"` | an entity handle |
/// | `{"array": type, "len": 3}` | a fixed array |
/// | `{"struct": fields}` | a struct, laid out as C does it |
/// | `{"struct": fields, "packed": true}` | a struct without padding between fields |
/// | `{"struct": fields, "align": 16}` | a struct that is aligned to at least 16 bytes |
///
/// where fields are a list of
///
/// | JSON | is |
/// |---|---|
/// | `{"name": "x", "type": type}` | a field |
/// | `{"name": "x", "type": type, "at": 8}` | a field at an offset of its own |
/// | `{"pad": 4}` | bytes that nothing uses |
///
/// or, shorter, an object `{"x": type, "_": {"pad": 4}, "y": {"type": type, "at": 8}}`, whose order counts; a pad's key
/// is dropped. A type is written with lists, which no tool reorders.
///
/// ```
/// # use peristyle_layout::schema::{StructLayout, Type};
/// let text = r#"{"struct": {"pos": {"struct": {"x": "f32", "y": "f32"}}, "vel": {"array": "f64", "len": 2}}}"#;
/// let schema: Type = serde_json::from_str(text)?;
/// assert_eq!(StructLayout::compile(&schema)?.place("vel[1]")?.offset, 16);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    pub(super) kind: Kind,
    /// Arrays and structs on the longest way down, this one included.
    depth: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Entity,
    Array {
        element: Box<Type>,
        len: u64,
    },
    Struct(Struct),
    /// A name that is no scalar's.
    Unknown(String),
    /// What lay here was nested too deep.
    TooDeep,
}

impl Type {
    fn leaf(kind: Kind) -> Type {
        Type { kind, depth: 0 }
    }

    fn nested(kind: Kind, depth: usize) -> Type {
        if depth > NESTING_MAX { Type::leaf(Kind::TooDeep) } else { Type { kind, depth } }
    }

    /// An entity handle: an `f64` that holds its integer, 0 for none.
    pub fn entity() -> Type {
        Type::leaf(Kind::Entity)
    }

    /// The type of that schema name: a scalar's, or `entity`. A name that is neither is refused when it is compiled.
    pub fn named(name: &str) -> Type {
        match (Scalar::from_name(name), name) {
            (Some(scalar), _) => scalar.into(),
            (None, "entity") => Type::entity(),
            (None, _) => Type::leaf(Kind::Unknown(name.to_owned())),
        }
    }

    /// A fixed array of `len` elements.
    pub fn array(element: impl Into<Type>, len: u64) -> Type {
        let element = element.into();
        let depth = element.depth + 1;
        Type::nested(Kind::Array { element: Box::new(element), len }, depth)
    }
}

impl From<Scalar> for Type {
    fn from(scalar: Scalar) -> Type {
        Type::leaf(Kind::Scalar(scalar))
    }
}

impl From<Struct> for Type {
    fn from(fields: Struct) -> Type {
        let depth = fields.depth + 1;
        Type::nested(Kind::Struct(fields), depth)
    }
}

/// Fields in order, and how they are laid out: as C does it if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Struct {
    pub(super) members: Vec<Member>,
    pub(super) packed: bool,
    pub(super) align: Option<u64>,
    /// That of the deepest field.
    depth: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member {
    Field { name: String, ty: Type, at: Option<u64> },
    Pad(u64),
}

impl Struct {
    /// A struct without fields, to which they are added.
    pub fn new() -> Struct {
        Struct::default()
    }

    /// Adds a field, behind what was added before.
    pub fn field(self, name: impl Into<String>, ty: impl Into<Type>) -> Struct {
        self.member(name.into(), ty.into(), None)
    }

    /// Adds a field `offset` bytes behind the struct's start. The next field follows it.
    pub fn field_at(self, name: impl Into<String>, ty: impl Into<Type>, offset: u64) -> Struct {
        self.member(name.into(), ty.into(), Some(offset))
    }

    pub(super) fn member(mut self, name: String, ty: Type, at: Option<u64>) -> Struct {
        self.depth = self.depth.max(ty.depth);
        self.members.push(Member::Field { name, ty, at });
        self
    }

    /// Adds bytes that no field uses, behind what was added before.
    pub fn pad(mut self, bytes: u64) -> Struct {
        self.members.push(Member::Pad(bytes));
        self
    }

    /// Leaves no padding between fields nor behind the last one. What nested structs are like is theirs to say.
    pub fn packed(mut self) -> Struct {
        self.packed = true;
        self
    }

    /// Aligns the struct to at least `bytes`, a power of two, and makes its size a multiple of it.
    pub fn align(mut self, bytes: u64) -> Struct {
        self.align = Some(bytes);
        self
    }
}
