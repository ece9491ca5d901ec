//! The eleven scalar types a column can hold.

use core::fmt;

/// The element type of a column.
///
/// The discriminants are part of the layout hash and of the wire format: never renumber them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scalar {
    /// 32-bit IEEE 754 float.
    F32 = 1,
    /// 64-bit IEEE 754 float.
    F64 = 2,
    /// Signed 8-bit integer.
    I8 = 3,
    /// Unsigned 8-bit integer.
    U8 = 4,
    /// Signed 16-bit integer.
    I16 = 5,
    /// Unsigned 16-bit integer.
    U16 = 6,
    /// Signed 32-bit integer.
    I32 = 7,
    /// Unsigned 32-bit integer.
    U32 = 8,
    /// Signed 64-bit integer: a `BigInt` in JavaScript, and slow there.
    I64 = 9,
    /// Unsigned 64-bit integer: a `BigInt` in JavaScript, and slow there.
    U64 = 10,
    /// One byte, 0 or 1; a job sees it as `Uint8Array`. Any other byte reads as true.
    Bool = 11,
}

impl Scalar {
    /// Every scalar, in order of its discriminant.
    pub const ALL: [Scalar; 11] = [
        Scalar::F32,
        Scalar::F64,
        Scalar::I8,
        Scalar::U8,
        Scalar::I16,
        Scalar::U16,
        Scalar::I32,
        Scalar::U32,
        Scalar::I64,
        Scalar::U64,
        Scalar::Bool,
    ];

    /// Size of one element in bytes, which is its alignment too: 1, 2, 4 or 8.
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Scalar::I8 | Scalar::U8 | Scalar::Bool => 1,
            Scalar::I16 | Scalar::U16 => 2,
            Scalar::F32 | Scalar::I32 | Scalar::U32 => 4,
            Scalar::F64 | Scalar::I64 | Scalar::U64 => 8,
        }
    }

    /// The name used in schemas: `f32` to `bool`.
    pub const fn name(self) -> &'static str {
        match self {
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
            Scalar::I8 => "i8",
            Scalar::U8 => "u8",
            Scalar::I16 => "i16",
            Scalar::U16 => "u16",
            Scalar::I32 => "i32",
            Scalar::U32 => "u32",
            Scalar::I64 => "i64",
            Scalar::U64 => "u64",
            Scalar::Bool => "bool",
        }
    }

    /// The scalar of that schema name.
    pub fn from_name(name: &str) -> Option<Scalar> {
        Scalar::ALL.into_iter().find(|scalar| scalar.name() == name)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_sizes_are_powers_of_two() {
        for scalar in Scalar::ALL {
            assert_eq!(Scalar::from_name(scalar.name()), Some(scalar));
            assert!(scalar.size().is_power_of_two() && scalar.size() <= 8);
        }
        assert_eq!(Scalar::from_name("f16"), None);
    }
}
