//! Finding a place by its path.
//!
//! ```text
//! path = "" | name step*        step = "." name | "[" index "]"
//! ```

use alloc::borrow::ToOwned;

use super::{PathError, Place, StructLayout, compile::is_identifier, layout::NodeKind};

impl StructLayout {
    /// Where `path` lies: a field (`pos.x`), an element (`vel[3]`), or the whole record (the empty path).
    ///
    /// # Errors
    /// [`PathError`] if it is not a path or names nothing.
    pub fn place(&self, path: &str) -> Result<Place, PathError> {
        let (mut node, mut offset, mut column) = (&self.root, 0, 0);
        let mut at = 0;
        while at < path.len() {
            let syntax = |at: usize| PathError::Syntax { path: path.to_owned(), at };
            let within = || path[..at].to_owned();
            let rest = &path[at..];
            if let Some(inner) = rest.strip_prefix('[') {
                let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
                let after = at + 1 + digits;
                if digits == 0 || !path[after..].starts_with(']') {
                    return Err(syntax(after));
                }
                let NodeKind::Array { element, len } = &node.kind else {
                    return Err(PathError::NotAnArray { within: within() });
                };
                // What is beyond 64 bits is beyond every array too.
                let index: u64 = inner[..digits].parse().unwrap_or(u64::MAX);
                if index >= *len as u64 {
                    return Err(PathError::NoElement { within: within(), index, len: *len });
                }
                offset += index as usize * element.size;
                column += index as usize * element.columns;
                node = element;
                at = after + 1;
            } else {
                let start = match (at, rest.strip_prefix('.')) {
                    (0, None) => 0,
                    (1.., Some(_)) => at + 1,
                    _ => return Err(syntax(at)),
                };
                let len = path[start..].find(['.', '[']).unwrap_or(path.len() - start);
                let name = &path[start..start + len];
                if !is_identifier(name) {
                    return Err(syntax(start));
                }
                let NodeKind::Struct(fields) = &node.kind else {
                    return Err(PathError::NotAStruct { within: within() });
                };
                let Some(field) = fields.iter().find(|field| field.name == name) else {
                    return Err(PathError::NoField { within: within(), name: name.to_owned() });
                };
                offset += field.offset;
                column += field.first_column;
                node = &field.node;
                at = start + len;
            }
        }
        Ok(node.place(offset, column))
    }
}
