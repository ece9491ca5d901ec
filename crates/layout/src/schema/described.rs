//! Schemas of Rust types.

use super::Type;
use crate::{Entity, Scalar};

/// A Rust type that can be a field of a schema. Derive it for structs; components derive it by themselves.
///
/// For a struct that is `#[repr(C)]`, holds no entities and derives this, every offset of the schema's layout is that of
/// the Rust struct. Without `#[repr(C)]` the compiler orders fields as it likes; the schema keeps the order in which they
/// are declared.
///
/// ```
/// use peristyle_layout::schema::{Described, StructLayout};
///
/// #[derive(Described)]
/// #[repr(C)]
/// struct Body {
///     alive: bool,
///     pos: [f64; 3],
/// }
///
/// let layout = StructLayout::of::<Body>()?;
/// assert_eq!(layout.place("pos")?.offset, std::mem::offset_of!(Body, pos));
/// assert_eq!(layout.columns()[3].name(), "pos_2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no schema",
    note = "a schema is made of numbers, `bool`, `Option<Entity>`, fixed arrays and structs that derive `Described`"
)]
pub trait Described {
    /// The schema of a value of this type.
    fn describe() -> Type;
}

macro_rules! scalars {
    ($($type:ty => $scalar:ident),*) => {$(
        impl Described for $type {
            fn describe() -> Type {
                Scalar::$scalar.into()
            }
        }
    )*};
}

scalars!(f32 => F32, f64 => F64, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64,
    bool => Bool);

impl Described for Option<Entity> {
    fn describe() -> Type {
        Type::entity()
    }
}

impl<T: Described, const N: usize> Described for [T; N] {
    fn describe() -> Type {
        Type::array(T::describe(), N as u64)
    }
}
