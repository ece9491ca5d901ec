//! Values of any scalar.

use core::fmt;

use crate::Scalar;

/// A value together with its scalar. Nothing is lost: 64-bit integers are held as such.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the variants are the scalars")]
pub enum Value {
    F32(f32),
    F64(f64),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Bool(bool),
}

/// Why a value cannot become one of another scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// One of them is `bool`, the other is a number.
    WrongType,
    /// The scalar has no such number.
    OutOfRange,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueError::WrongType => "a bool is not a number",
            ValueError::OutOfRange => "the scalar cannot hold the value",
        })
    }
}

impl core::error::Error for ValueError {}

macro_rules! numbers {
    ($($scalar:ident $type:ty),*) => {
        impl Value {
            /// Its scalar.
            pub const fn scalar(self) -> Scalar {
                match self {
                    $(Value::$scalar(_) => Scalar::$scalar,)*
                    Value::Bool(_) => Scalar::Bool,
                }
            }

            /// Reads `scalar.size()` little-endian bytes.
            pub(super) fn from_le(scalar: Scalar, bytes: &[u8]) -> Value {
                match scalar {
                    $(Scalar::$scalar => {
                        let mut own = [0; size_of::<$type>()];
                        own.copy_from_slice(bytes);
                        Value::$scalar(<$type>::from_le_bytes(own))
                    })*
                    Scalar::Bool => Value::Bool(bytes[0] != 0),
                }
            }

            /// Writes `scalar.size()` little-endian bytes.
            pub(super) fn to_le(self, bytes: &mut [u8]) {
                match self {
                    $(Value::$scalar(value) => bytes.copy_from_slice(&value.to_le_bytes()),)*
                    Value::Bool(value) => bytes[0] = u8::from(value),
                }
            }
        }

        impl fmt::Display for Value {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Value::$scalar(value) => value.fmt(f),)*
                    Value::Bool(value) => value.fmt(f),
                }
            }
        }

        $(impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::$scalar(value)
            }
        })*
    };
}

numbers!(F32 f32, F64 f64, I8 i8, U8 u8, I16 i16, U16 u16, I32 i32, U32 u32, I64 i64, U64 u64);

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

/// A number of any scalar.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Value {
    fn number(self) -> Option<Number> {
        Some(match self {
            Value::F32(value) => Number::Float(value.into()),
            Value::F64(value) => Number::Float(value),
            Value::I8(value) => Number::Integer(value.into()),
            Value::U8(value) => Number::Integer(value.into()),
            Value::I16(value) => Number::Integer(value.into()),
            Value::U16(value) => Number::Integer(value.into()),
            Value::I32(value) => Number::Integer(value.into()),
            Value::U32(value) => Number::Integer(value.into()),
            Value::I64(value) => Number::Integer(value.into()),
            Value::U64(value) => Number::Integer(value.into()),
            Value::Bool(_) => return None,
        })
    }

    /// The same value as a `scalar`.
    ///
    /// An integer becomes any integer or float that holds it exactly, a float any integer that equals it. An `f64` is
    /// rounded to `f32` as a typed array of JavaScript does it, unless it is finite and beyond what `f32` reaches.
    ///
    /// # Errors
    /// [`ValueError`] if there is no such value.
    pub fn fit(self, scalar: Scalar) -> Result<Value, ValueError> {
        if self.scalar() == scalar {
            return Ok(self);
        }
        let number = self.number().ok_or(ValueError::WrongType)?;
        let integer = || number.integer().ok_or(ValueError::OutOfRange);
        Ok(match scalar {
            Scalar::F32 => Value::F32(number.single().ok_or(ValueError::OutOfRange)?),
            Scalar::F64 => Value::F64(number.double().ok_or(ValueError::OutOfRange)?),
            Scalar::I8 => Value::I8(narrow(integer()?)?),
            Scalar::U8 => Value::U8(narrow(integer()?)?),
            Scalar::I16 => Value::I16(narrow(integer()?)?),
            Scalar::U16 => Value::U16(narrow(integer()?)?),
            Scalar::I32 => Value::I32(narrow(integer()?)?),
            Scalar::U32 => Value::U32(narrow(integer()?)?),
            Scalar::I64 => Value::I64(narrow(integer()?)?),
            Scalar::U64 => Value::U64(narrow(integer()?)?),
            Scalar::Bool => return Err(ValueError::WrongType),
        })
    }
}

fn narrow<T: TryFrom<i128>>(integer: i128) -> Result<T, ValueError> {
    T::try_from(integer).map_err(|_| ValueError::OutOfRange)
}

impl Number {
    fn integer(self) -> Option<i128> {
        match self {
            Number::Integer(integer) => Some(integer),
            // A cast saturates, and makes 0 of what is not a number; neither equals the float again.
            Number::Float(float) => Some(float as i128).filter(|integer| *integer as f64 == float),
        }
    }

    fn double(self) -> Option<f64> {
        match self {
            Number::Integer(integer) => Some(integer as f64).filter(|float| *float as i128 == integer),
            Number::Float(float) => Some(float),
        }
    }

    fn single(self) -> Option<f32> {
        match self {
            Number::Integer(integer) => Some(integer as f32).filter(|float| *float as i128 == integer),
            Number::Float(float) => Some(float as f32).filter(|single| single.is_finite() || !float.is_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_fit_where_they_are_exact() {
        assert_eq!(Value::U64(255).fit(Scalar::U8), Ok(Value::U8(255)));
        assert_eq!(Value::U64(256).fit(Scalar::U8), Err(ValueError::OutOfRange));
        assert_eq!(Value::I8(-1).fit(Scalar::U64), Err(ValueError::OutOfRange));
        assert_eq!(Value::I64(i64::MIN).fit(Scalar::F64), Ok(Value::F64(-9_223_372_036_854_775_808.0)));
        assert_eq!(Value::U64(u64::MAX).fit(Scalar::F64), Err(ValueError::OutOfRange));
        assert_eq!(Value::U64(u64::MAX).fit(Scalar::I64), Err(ValueError::OutOfRange));
        assert_eq!(Value::I32(16_777_217).fit(Scalar::F32), Err(ValueError::OutOfRange));
        assert_eq!(Value::I32(16_777_216).fit(Scalar::F32), Ok(Value::F32(16_777_216.0)));
    }

    #[test]
    fn floats_fit_integers_that_equal_them_and_round_to_f32() {
        assert_eq!(Value::F64(-3.0).fit(Scalar::I8), Ok(Value::I8(-3)));
        assert_eq!(Value::F64(0.1).fit(Scalar::F32), Ok(Value::F32(0.1)));
        assert_eq!(Value::F64(f64::INFINITY).fit(Scalar::F32), Ok(Value::F32(f32::INFINITY)));
        assert_eq!(Value::F64(1e300).fit(Scalar::F32), Err(ValueError::OutOfRange));
        for odd in [0.5, f64::NAN, f64::INFINITY, 1.8446744073709552e19, -1.0] {
            assert_eq!(Value::F64(odd).fit(Scalar::U64), Err(ValueError::OutOfRange), "{odd}");
        }
    }

    #[test]
    fn a_bool_is_not_a_number() {
        assert_eq!(Value::Bool(true).fit(Scalar::U8), Err(ValueError::WrongType));
        assert_eq!(Value::U8(1).fit(Scalar::Bool), Err(ValueError::WrongType));
    }
}
