//! Rust types that a column can hold.

use std::fmt::{self, Debug};

use peristyle_layout::{
    Scalar,
    schema::{Described, Type},
};

mod sealed {
    pub trait Sealed {}
}

/// A Rust type with the size, alignment and bits of a [`Scalar`], for which every bit pattern is a value.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + Debug + Send + Sync + 'static {
    /// The scalar of a column of this type.
    const SCALAR: Scalar;
}

/// A `bool` column's element: a byte of which 0 is false and anything else, which a script may have written, true.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// The value.
    #[inline]
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    #[inline]
    fn from(value: bool) -> Bool {
        Bool(u8::from(value))
    }
}

impl From<Bool> for bool {
    #[inline]
    fn from(value: Bool) -> bool {
        value.get()
    }
}

impl Described for Bool {
    fn describe() -> Type {
        Scalar::Bool.into()
    }
}

impl PartialEq for Bool {
    fn eq(&self, other: &Bool) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Bool {}

impl fmt::Debug for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.get(), f)
    }
}

macro_rules! elements {
    ($($type:ty => $scalar:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const SCALAR: Scalar = Scalar::$scalar;
        }
        const _: () = assert!(size_of::<$type>() == Scalar::$scalar.size() && align_of::<$type>() <= size_of::<$type>());
    )*};
}

elements!(f32 => F32, f64 => F64, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64, Bool => Bool);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_byte_but_zero_is_true() {
        assert!(!Bool(0).get() && Bool(1).get() && Bool(255).get());
        assert_eq!(Bool(7), Bool::from(true));
    }
}
