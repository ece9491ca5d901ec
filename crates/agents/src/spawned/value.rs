//! Values that belong to no engine: what crosses between Rust and an agent.
//!
//! | Rust (serde) | JavaScript |
//! |---|---|
//! | `()`, unit structs, `None` | `null`; also from `undefined` |
//! | `bool`, strings, `char` | boolean, string |
//! | integers that are safe, floats | number |
//! | other integers of 64 bits | BigInt |
//! | [`SharedBuffer`](super::SharedBuffer), or bytes from there | `SharedArrayBuffer` |
//! | [`SharedMutex`](super::SharedMutex), [`SharedCondition`](super::SharedCondition) | `Atomics.Mutex`, `Atomics.Condition` |
//! | bytes (`serde_bytes` and the like) | `Uint8Array`; also from an `ArrayBuffer` or any other view |
//! | sequences, tuples | array; also from a `Set`, and numbers from a `Uint8Array` |
//! | structs, maps with string keys | object |
//! | other maps | `Map` |
//! | enums | as `serde_json` has them: `"Unit"`, `{ Newtype: value }`, `{ Tuple: [..] }`, `{ Struct: {..} }` |
//!
//! From JavaScript a `Date` is its milliseconds, an `Error` its `name`, `message` and `stack`; a property that is `undefined`
//! is left out. Functions, symbols and cycles cannot cross, nor what nests deeper than [`DEPTH_MAX`].

use std::fmt::Display;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, Unexpected, VariantAccess, Visitor,
};
use serde::ser;
use serde::{Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use super::shared::{self, Handed};

/// How deep a value that comes from JavaScript may nest.
pub(crate) const DEPTH_MAX: u32 = 512;
/// The largest integer that a number stands for without doubt.
pub(crate) const SAFE_MAX: u64 = (1 << 53) - 1;

/// A value that cannot cross between Rust and JavaScript, or is not of the type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    pub(crate) fn new(message: impl Display) -> ValueError {
        ValueError(message.to_string())
    }
}

impl ser::Error for ValueError {
    fn custom<T: Display>(message: T) -> ValueError {
        ValueError::new(message)
    }
}

impl de::Error for ValueError {
    fn custom<T: Display>(message: T) -> ValueError {
        ValueError::new(message)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    /// Not a safe integer, when it comes from JavaScript.
    Signed(i64),
    Unsigned(u64),
    Text(String),
    Bytes(Vec<u8>),
    /// Shared memory, and locks in it.
    Shared(Handed),
    List(Vec<Value>),
    /// An object.
    Record(Vec<(String, Value)>),
    /// A `Map`.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// The value of something that serde knows.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Value, ValueError> {
        value.serialize(ToValue)
    }

    /// As what serde knows.
    pub(crate) fn to<T: DeserializeOwned>(self) -> Result<T, ValueError> {
        T::deserialize(self)
    }

    /// Bytes that it takes, roughly: what limits count.
    pub(crate) fn bytes(&self) -> u64 {
        let inside: u64 = match self {
            Value::Text(text) => text.len() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(items) => items.iter().map(Value::bytes).sum(),
            Value::Record(entries) => entries.iter().map(|(key, value)| key.len() as u64 + value.bytes()).sum(),
            Value::Map(entries) => entries.iter().map(|(key, value)| key.bytes() + value.bytes()).sum(),
            _ => 0,
        };
        8 + inside
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(value) => Unexpected::Float(*value),
            Value::Signed(value) => Unexpected::Signed(*value),
            Value::Unsigned(value) => Unexpected::Unsigned(*value),
            Value::Text(text) => Unexpected::Str(text),
            Value::Bytes(bytes) => Unexpected::Bytes(bytes),
            Value::Shared(_) => Unexpected::Other("shared memory"),
            Value::List(_) => Unexpected::Seq,
            Value::Record(_) | Value::Map(_) => Unexpected::Map,
        }
    }
}

/// Makes values of what serde knows.
struct ToValue;

type Done = Result<Value, ValueError>;

impl Serializer for ToValue {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    fn serialize_bool(self, value: bool) -> Done {
        Ok(Value::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Done {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Done {
        Ok(Value::Signed(value))
    }
    fn serialize_i128(self, value: i128) -> Done {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => Ok(Value::Signed(value)),
            (_, Ok(value)) => Ok(Value::Unsigned(value)),
            _ => Err(ValueError::new(format_args!("{value} has more than 64 bits"))),
        }
    }
    fn serialize_u8(self, value: u8) -> Done {
        self.serialize_u64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Done {
        self.serialize_u64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Done {
        self.serialize_u64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Done {
        Ok(Value::Unsigned(value))
    }
    fn serialize_u128(self, value: u128) -> Done {
        let narrow = u64::try_from(value);
        narrow.map(Value::Unsigned).map_err(|_| ValueError::new(format_args!("{value} has more than 64 bits")))
    }
    fn serialize_f32(self, value: f32) -> Done {
        Ok(Value::Number(value.into()))
    }
    fn serialize_f64(self, value: f64) -> Done {
        Ok(Value::Number(value))
    }
    fn serialize_char(self, value: char) -> Done {
        Ok(Value::Text(value.into()))
    }
    fn serialize_str(self, value: &str) -> Done {
        Ok(Value::Text(value.into()))
    }
    fn serialize_bytes(self, value: &[u8]) -> Done {
        Ok(Value::Bytes(value.into()))
    }
    fn serialize_none(self) -> Done {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Done {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Done {
        Ok(Value::Text(variant.into()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Done {
        if name == shared::NAME
            && let Some(handed) = shared::take()
        {
            return Ok(Value::Shared(handed));
        }
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        tagged(Some(variant), value.serialize(self)?)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Items, ValueError> {
        // A length is a hint that may be wrong.
        Ok(Items { variant: None, items: Vec::with_capacity(len.unwrap_or(0).min(1 << 12)) })
    }
    fn serialize_tuple(self, len: usize) -> Result<Items, ValueError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items, ValueError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Items, ValueError> {
        Ok(Items { variant: Some(variant), items: Vec::new() })
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Entries, ValueError> {
        Ok(Entries { entries: Vec::new(), key: None })
    }
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields, ValueError> {
        Ok(Fields { variant: None, fields: Vec::new() })
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Fields, ValueError> {
        Ok(Fields { variant: Some(variant), fields: Vec::new() })
    }
}

fn tagged(variant: Option<&'static str>, value: Value) -> Done {
    Ok(match variant {
        Some(variant) => Value::Record(vec![(variant.into(), value)]),
        None => value,
    })
}

struct Items {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.items.push(value.serialize(ToValue)?);
        Ok(())
    }

    fn done(self) -> Done {
        tagged(self.variant, Value::List(self.items))
    }
}

macro_rules! items {
    ($($of:ident $push:ident;)*) => { $(
        impl ser::$of for Items {
            type Ok = Value;
            type Error = ValueError;
            fn $push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
                self.push(value)
            }
            fn end(self) -> Done {
                self.done()
            }
        }
    )* };
}
items! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

struct Entries {
    entries: Vec<(Value, Value)>,
    key: Option<Value>,
}

impl ser::SerializeMap for Entries {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = Some(key.serialize(ToValue)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = self.key.take().ok_or_else(|| ValueError::new("a map gave a value without a key"))?;
        self.entries.push((key, value.serialize(ToValue)?));
        Ok(())
    }

    fn end(self) -> Done {
        if !self.entries.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
            return Ok(Value::Map(self.entries));
        }
        let entries = self.entries.into_iter().filter_map(|(key, value)| match key {
            Value::Text(key) => Some((key, value)),
            _ => None,
        });
        Ok(Value::Record(entries.collect()))
    }
}

struct Fields {
    variant: Option<&'static str>,
    fields: Vec<(String, Value)>,
}

impl Fields {
    fn push<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), ValueError> {
        self.fields.push((key.into(), value.serialize(ToValue)?));
        Ok(())
    }
}

macro_rules! fields {
    ($($of:ident)*) => { $(
        impl ser::$of for Fields {
            type Ok = Value;
            type Error = ValueError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), ValueError> {
                self.push(key, value)
            }
            fn end(self) -> Done {
                tagged(self.variant, Value::Record(self.fields))
            }
        }
    )* };
}
fields!(SerializeStruct SerializeStructVariant);

impl<'de> IntoDeserializer<'de, ValueError> for Value {
    type Deserializer = Value;

    fn into_deserializer(self) -> Value {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(value) => {
                // Scripts have one kind of number: a whole one is what an integer type asks for, and float types take it.
                let whole = value.trunc() == value && value.abs() <= SAFE_MAX as f64;
                match whole && (value != 0.0 || value.is_sign_positive()) {
                    true if value < 0.0 => visitor.visit_i64(value as i64),
                    true => visitor.visit_u64(value as u64),
                    false => visitor.visit_f64(value),
                }
            }
            Value::Signed(value) => visitor.visit_i64(value),
            Value::Unsigned(value) => visitor.visit_u64(value),
            Value::Text(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::Shared(Handed::Buffer(buffer)) => visitor.visit_byte_buf(buffer.to_vec()),
            // As a port: it is not what can be told in other words.
            Value::Shared(_) => visitor.visit_unit(),
            Value::List(items) => visit_list(items, visitor),
            Value::Record(entries) => visit_entries(entries.into_iter(), visitor),
            Value::Map(entries) => visit_entries(entries.into_iter(), visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Value::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Value::Shared(handed) if name == shared::NAME => {
                shared::hand(handed);
                visitor.visit_unit()
            }
            other if name == shared::NAME => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
            other => visitor.visit_newtype_struct(other),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Value::Text(variant) => visitor.visit_enum(Tagged { variant, value: None }),
            Value::Record(mut entries) if entries.len() == 1 => {
                let (variant, value) = entries.remove(0);
                visitor.visit_enum(Tagged { variant, value: Some(value) })
            }
            other => Err(de::Error::invalid_type(other.unexpected(), &"a string or an object with one property")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Value::Shared(Handed::Buffer(buffer)) => Value::Bytes(buffer.to_vec()).deserialize_seq(visitor),
            Value::Bytes(bytes) => {
                let mut items = SeqDeserializer::new(bytes.into_iter());
                let result = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(result)
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct map struct identifier ignored_any
    }
}

fn visit_list<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, ValueError> {
    let mut items = SeqDeserializer::new(items.into_iter());
    let result = visitor.visit_seq(&mut items)?;
    items.end()?;
    Ok(result)
}

fn visit_entries<'de, K, V>(entries: impl Iterator<Item = (K, Value)>, visitor: V) -> Result<V::Value, ValueError>
where
    K: IntoDeserializer<'de, ValueError>,
    V: Visitor<'de>,
{
    let mut entries = MapDeserializer::new(entries);
    let result = visitor.visit_map(&mut entries)?;
    entries.end()?;
    Ok(result)
}

/// An enum's variant and what is in it.
struct Tagged {
    variant: String,
    value: Option<Value>,
}

impl<'de> EnumAccess<'de> for Tagged {
    type Error = ValueError;
    type Variant = Content;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content), ValueError> {
        let variant = seed.deserialize(self.variant.into_deserializer())?;
        Ok((variant, Content(self.value)))
    }
}

struct Content(Option<Value>);

impl<'de> VariantAccess<'de> for Content {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(other) => Err(de::Error::invalid_type(other.unexpected(), &"a unit variant")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ValueError> {
        seed.deserialize(self.0.unwrap_or(Value::Null))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.0.unwrap_or(Value::Null).deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.0.unwrap_or(Value::Null).deserialize_map(visitor)
    }
}
