//! A compiled struct.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::ops::Range;

use super::{Described, SchemaError, Type, compile};
use crate::{Field, Scalar, layout_hash};

/// Where everything in a struct lies; see the [module](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructLayout {
    pub(super) root: Node,
    pub(super) columns: Vec<Column>,
}

/// One scalar of a struct: a column when records are taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub(super) path: String,
    pub(super) field: Field,
    pub(super) offset: usize,
}

impl Column {
    /// Where it is in the struct, such as `vel[3].y`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The column's name, such as `vel_3_y`.
    pub fn name(&self) -> &str {
        &self.field.name
    }

    /// Its scalar.
    pub fn scalar(&self) -> Scalar {
        self.field.scalar
    }

    /// Whether it holds entity handles.
    pub fn is_entity(&self) -> bool {
        self.field.entity
    }

    /// Bytes from the record's start.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Its bytes in the record.
    pub(super) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.scalar().size()
    }
}

/// Where a scalar, an array or a struct lies in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the record's start.
    pub offset: usize,
    /// Bytes, a struct's padding included.
    pub size: usize,
    /// Alignment in bytes of its type. In a packed struct `offset` need not be a multiple of it.
    pub align: usize,
    /// What it is.
    pub shape: Shape,
    /// Its columns, as indices into [`StructLayout::columns`].
    pub columns: Range<usize>,
}

/// What lies at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One number, one `bool` or one entity.
    Scalar(Scalar),
    /// Elements that follow each other.
    Array {
        /// How many.
        len: usize,
        /// Bytes from one to the next.
        stride: usize,
    },
    /// Fields.
    Struct,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) columns: usize,
    pub(super) kind: NodeKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeKind {
    Scalar { scalar: Scalar, entity: bool },
    Array { element: Box<Node>, len: usize },
    Struct(Vec<NodeField>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeField {
    pub(super) name: String,
    /// From the start of the struct that it is a field of.
    pub(super) offset: usize,
    /// From the first column of the struct that it is a field of.
    pub(super) first_column: usize,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn scalar(scalar: Scalar, entity: bool) -> Node {
        Node { size: scalar.size(), align: scalar.size(), columns: 1, kind: NodeKind::Scalar { scalar, entity } }
    }

    pub(super) fn place(&self, offset: usize, first_column: usize) -> Place {
        let shape = match &self.kind {
            NodeKind::Scalar { scalar, .. } => Shape::Scalar(*scalar),
            NodeKind::Array { element, len } => Shape::Array { len: *len, stride: element.size },
            NodeKind::Struct(_) => Shape::Struct,
        };
        let columns = first_column..first_column + self.columns;
        Place { offset, size: self.size, align: self.align, shape, columns }
    }
}

impl StructLayout {
    /// Lays out a schema.
    ///
    /// # Errors
    /// [`SchemaError`], which names the field.
    pub fn compile(schema: &Type) -> Result<StructLayout, SchemaError> {
        let (root, columns) = compile::compile(schema)?;
        Ok(StructLayout { root, columns })
    }

    /// Lays out a Rust type's schema.
    ///
    /// # Errors
    /// [`SchemaError`], as for a schema written by hand: a struct can be empty, and `a.x` and `a_x` are the same column.
    pub fn of<T: Described>() -> Result<StructLayout, SchemaError> {
        StructLayout::compile(&T::describe())
    }

    /// Bytes of a record, padding included: also the distance from one record to the next.
    pub fn size(&self) -> usize {
        self.root.size
    }

    /// Alignment of a record in bytes. Reading and writing does without.
    pub fn align(&self) -> usize {
        self.root.align
    }

    /// Bytes of a record that belong to no column.
    pub fn padding(&self) -> usize {
        self.size() - self.columns.iter().map(|column| column.scalar().size()).sum::<usize>()
    }

    /// The columns, in order of declaration.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns as a component's fields.
    pub fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(|column| column.field.clone()).collect()
    }

    /// Hash of the columns, by which a component of these fields is known; offsets are not part of it.
    pub fn hash(&self) -> u64 {
        layout_hash(&self.fields())
    }
}
