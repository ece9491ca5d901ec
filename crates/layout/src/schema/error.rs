//! What can be wrong with a schema, a path and a record.

use alloc::string::String;
use core::fmt;

use super::{ALIGN_MAX, COLUMNS_MAX, NAME_BYTES_MAX, NESTING_MAX, SIZE_MAX, Value};
use crate::Scalar;

/// Why a schema cannot be compiled. Paths are those of the schema, an array's element being `[]`; the outermost struct's
/// is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// A record has to be a struct.
    NotAStruct,
    /// Nothing is called that.
    UnknownScalar {
        /// The field.
        path: String,
        /// What its type is said to be.
        name: String,
    },
    /// A struct has no fields.
    EmptyStruct {
        /// The struct.
        path: String,
    },
    /// An array has no elements.
    EmptyArray {
        /// The array.
        path: String,
    },
    /// A name is not an identifier, or longer than [`NAME_BYTES_MAX`].
    BadName {
        /// The struct.
        path: String,
        /// The field's name.
        name: String,
    },
    /// Two fields of a struct have the same name.
    DuplicateName {
        /// The field.
        path: String,
    },
    /// Two fields flatten to the same column: `a.x` and `a_x` are both `a_x`.
    SameColumn {
        /// The column.
        column: String,
        /// The field that comes first.
        first: String,
        /// The other field.
        second: String,
    },
    /// A path is longer than [`NAME_BYTES_MAX`].
    LongPath {
        /// Its beginning.
        path: String,
    },
    /// A field lies where another field or explicit padding is.
    Overlap {
        /// The field.
        path: String,
        /// Its offset in its struct.
        offset: u64,
        /// The other field; none if it is padding.
        other: Option<String>,
    },
    /// A field's own offset is not a multiple of its alignment; in a packed struct it need not be.
    Misaligned {
        /// The field.
        path: String,
        /// Its offset in its struct.
        offset: u64,
        /// Its alignment.
        align: u64,
    },
    /// An alignment is not a power of two, or larger than [`ALIGN_MAX`].
    BadAlign {
        /// The struct.
        path: String,
        /// The alignment.
        align: u64,
    },
    /// Arrays and structs are nested deeper than [`NESTING_MAX`].
    TooDeep {
        /// Where.
        path: String,
    },
    /// Something is larger than [`SIZE_MAX`].
    TooLarge {
        /// What.
        path: String,
    },
    /// Something flattens to more than [`COLUMNS_MAX`] columns.
    TooManyColumns {
        /// What.
        path: String,
    },
}

/// Why a path names nothing in a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// It is not names with `.` between them and indices in brackets.
    Syntax {
        /// The path.
        path: String,
        /// The byte at which it stops making sense.
        at: usize,
    },
    /// There is no field of that name.
    NoField {
        /// Where it was looked for; empty for the outermost struct.
        within: String,
        /// The name.
        name: String,
    },
    /// An index is not below the array's length.
    NoElement {
        /// The array.
        within: String,
        /// The index.
        index: u64,
        /// The array's length.
        len: usize,
    },
    /// An index was asked of what is no array.
    NotAnArray {
        /// What is no array.
        within: String,
    },
    /// A field was asked of what is no struct.
    NotAStruct {
        /// What is no struct.
        within: String,
    },
}

/// Why records cannot be read or written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RecordError {
    /// The path names nothing.
    Path(PathError),
    /// The path names an array or a struct.
    NotAScalar {
        /// The path.
        path: String,
    },
    /// The record ends too early.
    TooShort {
        /// The first field that does not fit; empty if only padding behind the last one is missing.
        path: String,
        /// Where the record ends.
        offset: usize,
        /// Bytes that are missing there: to the end of the field, or of the record if it is read as a whole.
        missing_bytes: usize,
    },
    /// The bytes are not a whole number of records.
    PartialRecord {
        /// How many bytes there are.
        bytes: usize,
        /// Bytes of a record.
        size: usize,
    },
    /// A column's bytes are not those of as many rows as there are records.
    ColumnBytes {
        /// The column's path.
        path: String,
        /// Bytes of that many rows.
        expected: usize,
        /// How many bytes there are.
        found: usize,
    },
    /// There are not as many values as columns.
    ValueCount {
        /// The number of columns.
        expected: usize,
        /// The number of values.
        found: usize,
    },
    /// A `bool` for a number, or a number for a `bool`.
    WrongType {
        /// The field.
        path: String,
        /// Its scalar.
        expected: Scalar,
        /// The value's.
        found: Scalar,
    },
    /// The field cannot hold the value.
    OutOfRange {
        /// The field.
        path: String,
        /// Its scalar.
        expected: Scalar,
        /// The value.
        value: Value,
    },
}

/// A path in quotes, or words for the outermost struct.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the outermost struct"),
            path => write!(f, "`{path}`"),
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::NotAStruct => f.write_str("the outermost type has to be a struct"),
            SchemaError::UnknownScalar { path, name } => {
                write!(f, "{}: `{}` is no type, expected ", At(path), name.escape_debug())?;
                Scalar::ALL.iter().try_for_each(|scalar| write!(f, "{scalar}, "))?;
                f.write_str("entity, an array or a struct")
            }
            SchemaError::EmptyStruct { path } => write!(f, "{} has no fields", At(path)),
            SchemaError::EmptyArray { path } => write!(f, "{} is an array without elements", At(path)),
            SchemaError::BadName { path, name } => write!(
                f,
                "{}: `{}` is not a name for a field (letters, digits and _ , no digit first, at most {NAME_BYTES_MAX})",
                At(path),
                name.escape_debug()
            ),
            SchemaError::DuplicateName { path } => write!(f, "two fields are called {}", At(path)),
            SchemaError::SameColumn { column, first, second } => {
                write!(f, "`{first}` and `{second}` are both the column `{column}`")
            }
            SchemaError::LongPath { path } => {
                write!(f, "a path is longer than {NAME_BYTES_MAX} bytes: {}...", At(path))
            }
            SchemaError::Overlap { path, offset, other: Some(other) } => {
                write!(f, "{} at {offset} overlaps {}", At(path), At(other))
            }
            SchemaError::Overlap { path, offset, other: None } => {
                write!(f, "{} at {offset} overlaps padding", At(path))
            }
            SchemaError::Misaligned { path, offset, align } => {
                write!(f, "{} at {offset} is not aligned to {align} bytes", At(path))
            }
            SchemaError::BadAlign { path, align } => {
                write!(f, "{}: the alignment {align} is not a power of two of at most {ALIGN_MAX}", At(path))
            }
            SchemaError::TooDeep { path } => write!(f, "{} is nested deeper than {NESTING_MAX}", At(path)),
            SchemaError::TooLarge { path } => write!(f, "{} is larger than {SIZE_MAX} bytes", At(path)),
            SchemaError::TooManyColumns { path } => write!(f, "{} is more than {COLUMNS_MAX} columns", At(path)),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::Syntax { path, at } => write!(f, "`{}` is not a path: see byte {at}", path.escape_debug()),
            PathError::NoField { within, name } => write!(f, "{} has no field `{name}`", At(within)),
            PathError::NoElement { within, index, len } => {
                write!(f, "{} has {len} elements, there is none at {index}", At(within))
            }
            PathError::NotAnArray { within } => write!(f, "{} is not an array", At(within)),
            PathError::NotAStruct { within } => write!(f, "{} is not a struct", At(within)),
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Path(error) => error.fmt(f),
            RecordError::NotAScalar { path } => write!(f, "{} is not a scalar", At(path)),
            RecordError::TooShort { path, offset, missing_bytes } if path.is_empty() => {
                write!(f, "the record ends at byte {offset}, {missing_bytes} too early, in the padding at its end")
            }
            RecordError::TooShort { path, offset, missing_bytes } => {
                write!(f, "the record ends at byte {offset}, {missing_bytes} too early, before the end of `{path}`")
            }
            RecordError::PartialRecord { bytes, size } => {
                write!(f, "{bytes} bytes are not a whole number of records of {size} bytes")
            }
            RecordError::ColumnBytes { path, expected, found } => {
                write!(f, "the column of `{path}` has {found} bytes, expected {expected}")
            }
            RecordError::ValueCount { expected, found } => write!(f, "there are {found} values for {expected} columns"),
            RecordError::WrongType { path, expected, found } => {
                write!(f, "`{path}` is {expected}, the value is {found}")
            }
            RecordError::OutOfRange { path, expected, value } => {
                write!(f, "`{path}` is {expected}, which cannot hold {value}")
            }
        }
    }
}

impl core::error::Error for SchemaError {}
impl core::error::Error for PathError {}
impl core::error::Error for RecordError {}

impl From<PathError> for RecordError {
    fn from(error: PathError) -> RecordError {
        RecordError::Path(error)
    }
}
