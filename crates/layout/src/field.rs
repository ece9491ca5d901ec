//! Fields: a component's flattened columns, and the hash that says that two layouts are the same.

use alloc::string::String;

use crate::Scalar;

/// One flattened field of a component: one column.
///
/// A nested field `pos.x` is named `pos_x`, an array element `values[0]` is named `values_0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// Flattened name, unique within its component; a valid JavaScript identifier.
    pub name: String,
    /// Element type of the column.
    pub scalar: Scalar,
    /// The column holds entity handles as `f64`; commands rewrite provisional ones in it.
    pub entity: bool,
}

impl Field {
    /// A field that holds plain numbers.
    pub fn new(name: impl Into<String>, scalar: Scalar) -> Field {
        Field { name: name.into(), scalar, entity: false }
    }

    /// A field that holds an entity handle as `f64`.
    pub fn entity(name: impl Into<String>) -> Field {
        Field { name: name.into(), scalar: Scalar::F64, entity: true }
    }
}

/// Hashes a component's fields in order: FNV-1a, 64 bit, over name, a zero byte, the scalar's discriminant and the
/// entity flag of each.
///
/// In files and on wires a component is its name and this hash.
pub fn layout_hash(fields: &[Field]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for field in fields {
        field.name.bytes().for_each(&mut eat);
        eat(0);
        eat(field.scalar as u8);
        eat(u8::from(field.entity));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_tells_name_type_and_order_apart() {
        let x = || Field::new("x", Scalar::F32);
        let y = || Field::new("y", Scalar::F32);
        let base = layout_hash(&[x(), y()]);
        assert_eq!(base, layout_hash(&[x(), y()]));
        assert_ne!(base, layout_hash(&[y(), x()]));
        assert_ne!(base, layout_hash(&[x(), Field::new("y", Scalar::F64)]));
        assert_ne!(layout_hash(&[Field::new("e", Scalar::F64)]), layout_hash(&[Field::entity("e")]));
    }

    #[test]
    fn hash_of_nothing_is_the_published_offset_basis() {
        assert_eq!(layout_hash(&[]), 0xcbf2_9ce4_8422_2325);
    }
}
