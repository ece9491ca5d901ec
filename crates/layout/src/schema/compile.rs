//! From a type to where everything lies.
//!
//! Two walks: the first measures, inside out, and refuses what is wrong; the second lists the columns, whose number is
//! known and bounded by then. Both recurse at most [`NESTING_MAX`](super::NESTING_MAX) deep, because types do.

use alloc::{borrow::ToOwned, boxed::Box, collections::BTreeSet, string::String, vec::Vec};
use core::fmt::Write;

use super::{
    ALIGN_MAX, COLUMNS_MAX, NAME_BYTES_MAX, SIZE_MAX, SchemaError,
    layout::{Column, Node, NodeField, NodeKind},
    types::{Kind, Member, Struct, Type},
};
use crate::{Field, Scalar};

/// The tree and the columns of a record.
pub(super) fn compile(schema: &Type) -> Result<(Node, Vec<Column>), SchemaError> {
    let root = measure(schema, &mut String::new())?;
    if !matches!(root.kind, NodeKind::Struct(_)) {
        return Err(SchemaError::NotAStruct);
    }
    let mut columns = Columns { path: String::new(), name: String::new(), columns: Vec::with_capacity(root.columns) };
    columns.list(&root, 0)?;
    let columns = columns.columns;
    let mut sorted: Vec<&Column> = columns.iter().collect();
    // Stable: of two columns with one name, the one that comes first stays first.
    sorted.sort_by_key(|column| column.name());
    match sorted.windows(2).find(|pair| pair[0].name() == pair[1].name()) {
        Some(pair) => Err(SchemaError::SameColumn {
            column: pair[0].name().to_owned(),
            first: pair[0].path().to_owned(),
            second: pair[1].path().to_owned(),
        }),
        None => Ok((root, columns)),
    }
}

/// Measures a type that lies at `path`, which is the same again when this returns without an error.
fn measure(ty: &Type, path: &mut String) -> Result<Node, SchemaError> {
    match &ty.kind {
        Kind::Scalar(scalar) => Ok(Node::scalar(*scalar, false)),
        Kind::Entity => Ok(Node::scalar(Scalar::F64, true)),
        Kind::Array { element, len } => measure_array(element, *len, path),
        Kind::Struct(fields) => measure_struct(fields, path),
        Kind::Unknown(name) => Err(SchemaError::UnknownScalar { path: path.clone(), name: clip(name) }),
        Kind::TooDeep => Err(SchemaError::TooDeep { path: path.clone() }),
    }
}

fn measure_array(element: &Type, len: u64, path: &mut String) -> Result<Node, SchemaError> {
    let element = within(path, "[]", |path| measure(element, path))?;
    if len == 0 {
        return Err(SchemaError::EmptyArray { path: path.clone() });
    }
    // An element is at least one column.
    let columns = usize::try_from(len).ok().and_then(|len| element.columns.checked_mul(len));
    let Some(columns) = columns.filter(|columns| *columns <= COLUMNS_MAX) else {
        return Err(SchemaError::TooManyColumns { path: path.clone() });
    };
    let size = bounded(element.size as u64 * len, path)?;
    let (align, len) = (element.align, len as usize);
    Ok(Node { size, align, columns, kind: NodeKind::Array { element: Box::new(element), len } })
}

fn measure_struct(fields: &Struct, path: &mut String) -> Result<Node, SchemaError> {
    let own_align = fields.align.unwrap_or(1);
    if !own_align.is_power_of_two() || own_align > ALIGN_MAX as u64 {
        return Err(SchemaError::BadAlign { path: path.clone(), align: own_align });
    }
    let mut names = BTreeSet::new();
    let mut nodes: Vec<NodeField> = Vec::new();
    let mut pads: Vec<(usize, usize)> = Vec::new();
    let (mut end, mut size, mut align, mut columns) = (0_u64, 0_u64, own_align as usize, 0);
    for member in &fields.members {
        let (name, ty, at) = match member {
            Member::Field { name, ty, at } => (name, ty, *at),
            Member::Pad(bytes) => {
                let start = end as usize;
                end = bounded(end.saturating_add(*bytes), path)? as u64;
                pads.push((start, end as usize));
                size = size.max(end);
                continue;
            }
        };
        if !is_identifier(name) {
            return Err(SchemaError::BadName { path: path.clone(), name: clip(name) });
        }
        let joint = if path.is_empty() { "" } else { "." };
        let node = within(path, joint, |path| {
            within(path, name, |path| {
                if !names.insert(name.as_str()) {
                    return Err(SchemaError::DuplicateName { path: path.clone() });
                }
                let node = measure(ty, path)?;
                let field_align = if fields.packed { 1 } else { node.align as u64 };
                let offset = at.unwrap_or_else(|| end.next_multiple_of(field_align));
                end = bounded(offset.saturating_add(node.size as u64), path)? as u64;
                if !offset.is_multiple_of(field_align) {
                    return Err(SchemaError::Misaligned { path: path.clone(), offset, align: field_align });
                }
                align = align.max(field_align as usize);
                Ok(NodeField { name: name.clone(), offset: offset as usize, first_column: columns, node })
            })
        })?;
        size = size.max(end);
        columns += node.node.columns;
        if columns > COLUMNS_MAX {
            return Err(SchemaError::TooManyColumns { path: path.clone() });
        }
        nodes.push(node);
    }
    if nodes.is_empty() {
        return Err(SchemaError::EmptyStruct { path: path.clone() });
    }
    refuse_overlap(&nodes, &pads, path)?;
    let size = bounded(size.next_multiple_of(align as u64), path)?;
    Ok(Node { size, align, columns, kind: NodeKind::Struct(nodes) })
}

/// No byte is two fields', nor a field's and explicit padding.
fn refuse_overlap(fields: &[NodeField], pads: &[(usize, usize)], path: &str) -> Result<(), SchemaError> {
    let taken = fields.iter().map(|field| (field.offset, field.offset + field.node.size, Some(&*field.name)));
    let pads = pads.iter().filter(|(start, end)| start < end).map(|(start, end)| (*start, *end, None));
    let mut taken: Vec<(usize, usize, Option<&str>)> = taken.chain(pads).collect();
    taken.sort_by_key(|(start, _, _)| *start);
    let full = |name: &str| if path.is_empty() { name.to_owned() } else { alloc::format!("{path}.{name}") };
    // What reaches furthest so far: two pads may overlap each other, and then both count.
    let mut furthest = (0, 0, None);
    for next in taken {
        if next.0 < furthest.1 {
            let overlap = match (furthest, next) {
                ((_, _, other), (offset, _, Some(field))) => Some((offset, field, other)),
                ((offset, _, Some(field)), _) => Some((offset, field, None)),
                _ => None,
            };
            if let Some((offset, field, other)) = overlap {
                return Err(SchemaError::Overlap { path: full(field), offset: offset as u64, other: other.map(full) });
            }
        }
        if next.1 > furthest.1 {
            furthest = next;
        }
    }
    Ok(())
}

/// Calls `inner` with `part` at the end of `path`; takes it off again.
fn within<T>(
    path: &mut String,
    part: &str,
    inner: impl FnOnce(&mut String) -> Result<T, SchemaError>,
) -> Result<T, SchemaError> {
    let len = path.len();
    path.push_str(part);
    let result = inner(path);
    path.truncate(len);
    result
}

fn bounded(bytes: u64, path: &str) -> Result<usize, SchemaError> {
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= SIZE_MAX)
        .ok_or_else(|| SchemaError::TooLarge { path: path.to_owned() })
}

pub(super) fn is_identifier(name: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_start)
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// What of an unusable name is worth repeating.
fn clip(name: &str) -> String {
    name.chars().take(NAME_BYTES_MAX).collect()
}

struct Columns {
    path: String,
    name: String,
    columns: Vec<Column>,
}

impl Columns {
    /// Lists the columns of a node that lies `offset` bytes behind the record's start.
    fn list(&mut self, node: &Node, offset: usize) -> Result<(), SchemaError> {
        match &node.kind {
            NodeKind::Scalar { scalar, entity } => {
                let field = Field { name: self.name.clone(), scalar: *scalar, entity: *entity };
                self.columns.push(Column { path: self.path.clone(), field, offset });
                Ok(())
            }
            NodeKind::Array { element, len } => (0..*len).try_for_each(|index| {
                self.below(format_args!("[{index}]"), format_args!("_{index}"), element, offset + index * element.size)
            }),
            NodeKind::Struct(fields) => fields.iter().try_for_each(|field| {
                let (dot, line) = if self.path.is_empty() { ("", "") } else { (".", "_") };
                let name = &field.name;
                let offset = offset + field.offset;
                self.below(format_args!("{dot}{name}"), format_args!("{line}{name}"), &field.node, offset)
            }),
        }
    }

    fn below(
        &mut self,
        path: core::fmt::Arguments<'_>,
        name: core::fmt::Arguments<'_>,
        node: &Node,
        offset: usize,
    ) -> Result<(), SchemaError> {
        let (path_len, name_len) = (self.path.len(), self.name.len());
        // Writing to a string does not fail.
        let _ = self.path.write_fmt(path).and_then(|()| self.name.write_fmt(name));
        if self.path.len() > NAME_BYTES_MAX {
            self.path.truncate(NAME_BYTES_MAX);
            return Err(SchemaError::LongPath { path: self.path.clone() });
        }
        self.list(node, offset)?;
        self.path.truncate(path_len);
        self.name.truncate(name_len);
        Ok(())
    }
}
