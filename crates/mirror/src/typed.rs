//! Values from Rust types and back, through serde.
//!
//! Everything that `serde_json` can say is said in the same form: structs are maps, unit variants text, other variants
//! maps of one key.

use std::cell::RefCell;

use serde::{
    Deserialize, Serialize,
    de::{self, IntoDeserializer, value::StrDeserializer},
    ser,
};

use crate::{
    json::{self, DEPTH_MAX, INTEGER_MAX},
    value::{List, Map, Text, Value},
};

/// Why a Rust value cannot be state, an argument or a result, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// An integer that a double does not hold; send it as text.
    #[error("{0} is beyond 2^53 - 1: send it as text")]
    Integer(String),
    /// A map's key that is no text.
    #[error("a key is neither text nor an integer")]
    Key,
    /// Lists and maps nested too deeply.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// Text that is no JSON.
    #[error(transparent)]
    Json(#[from] json::JsonError),
    /// The type refused, or its implementation of serde did.
    #[error("{0}")]
    Type(String),
}

impl ser::Error for ValueError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        ValueError::Type(message.to_string())
    }
}

impl de::Error for ValueError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        ValueError::Type(message.to_string())
    }
}

/// Makes a value of something serializable.
///
/// # Errors
/// If it has integers beyond 2^53 - 1, keys that are no text, is nested too deeply, or its serialization fails.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, ValueError> {
    value.serialize(Writer { depth: 0 })
}

/// As [`to_value`], but a [`Value`] is handed on as it is: nothing is copied, and it may be more than serde can carry.
pub(crate) fn value_of<T: Serialize + 'static>(value: &T) -> Result<Value, ValueError> {
    match (value as &dyn std::any::Any).downcast_ref::<Value>() {
        Some(value) => Ok(value.clone()),
        None => to_value(value),
    }
}

/// Reads a type out of a value.
///
/// # Errors
/// If the value has another shape.
pub fn from_value<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<T, ValueError> {
    T::deserialize(Read(value))
}

/// The key of a struct's field, made once for all values of the struct that are made in a row.
pub(crate) fn field_key(name: &'static str) -> Text {
    thread_local! {
        /// Keys made lately, by where their names are.
        static KEYS: RefCell<[Option<(&'static str, Text)>; 64]> = const { RefCell::new([const { None }; 64]) };
    }
    KEYS.with_borrow_mut(|keys| {
        // Names of one struct lie close together, at any distance.
        let slot = &mut keys[(name.as_ptr() as usize).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58];
        match slot {
            Some((known, key)) if std::ptr::eq(*known, name) => key.clone(),
            _ => slot.insert((name, Text::from(name))).1.clone(),
        }
    })
}

#[derive(Clone, Copy)]
struct Writer {
    depth: usize,
}

impl Writer {
    fn deeper(self) -> Result<Writer, ValueError> {
        if self.depth == DEPTH_MAX { Err(ValueError::Depth) } else { Ok(Writer { depth: self.depth + 1 }) }
    }
}

struct WriteList {
    writer: Writer,
    items: Vec<Value>,
    variant: Option<&'static str>,
}

struct WriteMap {
    writer: Writer,
    entries: Vec<(Text, Value)>,
    key: Option<Text>,
    variant: Option<&'static str>,
}

fn wrapped(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Map([(variant, value)].into_iter().collect()),
        None => value,
    }
}

impl ser::Serializer for Writer {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = WriteList;
    type SerializeTuple = WriteList;
    type SerializeTupleStruct = WriteList;
    type SerializeTupleVariant = WriteList;
    type SerializeMap = WriteMap;
    type SerializeStruct = WriteMap;
    type SerializeStructVariant = WriteMap;

    fn serialize_bool(self, value: bool) -> Result<Value, ValueError> {
        Ok(Value::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Result<Value, ValueError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<Value, ValueError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<Value, ValueError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<Value, ValueError> {
        if value.unsigned_abs() > INTEGER_MAX {
            return Err(ValueError::Integer(value.to_string()));
        }
        Ok(Value::number(value as f64))
    }
    fn serialize_u8(self, value: u8) -> Result<Value, ValueError> {
        self.serialize_u64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<Value, ValueError> {
        self.serialize_u64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<Value, ValueError> {
        self.serialize_u64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<Value, ValueError> {
        if value > INTEGER_MAX {
            return Err(ValueError::Integer(value.to_string()));
        }
        Ok(Value::number(value as f64))
    }
    fn serialize_f32(self, value: f32) -> Result<Value, ValueError> {
        Ok(Value::number(value.into()))
    }
    fn serialize_f64(self, value: f64) -> Result<Value, ValueError> {
        Ok(Value::number(value))
    }
    fn serialize_char(self, value: char) -> Result<Value, ValueError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<Value, ValueError> {
        Ok(Value::from(value))
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::List(value.iter().map(|&byte| Value::from(u32::from(byte))).collect()))
    }
    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ValueError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, ValueError> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Value, ValueError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        Ok(wrapped(Some(variant), value.serialize(self.deeper()?)?))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<WriteList, ValueError> {
        // The length is the type's claim; a bound keeps a wrong one from taking memory.
        Ok(WriteList { writer: self.deeper()?, items: Vec::with_capacity(len.unwrap_or(0).min(4096)), variant: None })
    }
    fn serialize_tuple(self, len: usize) -> Result<WriteList, ValueError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<WriteList, ValueError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<WriteList, ValueError> {
        Ok(WriteList { variant: Some(variant), ..self.deeper()?.serialize_seq(Some(len))? })
    }
    fn serialize_map(self, len: Option<usize>) -> Result<WriteMap, ValueError> {
        let entries = Vec::with_capacity(len.unwrap_or(0).min(4096));
        Ok(WriteMap { writer: self.deeper()?, entries, key: None, variant: None })
    }
    fn serialize_struct(self, _: &'static str, len: usize) -> Result<WriteMap, ValueError> {
        self.serialize_map(Some(len))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<WriteMap, ValueError> {
        Ok(WriteMap { variant: Some(variant), ..self.deeper()?.serialize_map(Some(len))? })
    }
}

impl WriteList {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.items.push(value.serialize(self.writer)?);
        Ok(())
    }

    fn finish(self) -> Value {
        wrapped(self.variant, Value::List(self.items.into()))
    }
}

impl ser::SerializeSeq for WriteList {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl ser::SerializeTuple for WriteList {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleStruct for WriteList {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleVariant for WriteList {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl WriteMap {
    fn finish(self) -> Value {
        wrapped(self.variant, Value::Map(Map::from_entries(self.entries)))
    }
}

impl ser::SerializeMap for WriteMap {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = Some(match key.serialize(self.writer)? {
            Value::String(key) => key,
            Value::Bool(key) => Text::from(if key { "true" } else { "false" }),
            number @ Value::Number(_) if number.as_i64().is_some() => Text::from(number.to_json()),
            _ => return Err(ValueError::Key),
        });
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = self.key.take().ok_or(ValueError::Key)?;
        self.entries.push((key, value.serialize(self.writer)?));
        Ok(())
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl ser::SerializeStruct for WriteMap {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), ValueError> {
        self.entries.push((field_key(key), value.serialize(self.writer)?));
        Ok(())
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl ser::SerializeStructVariant for WriteMap {
    type Ok = Value;
    type Error = ValueError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), ValueError> {
        ser::SerializeStruct::serialize_field(self, key, value)
    }
    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

impl Serialize for Text {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Text::Utf8(text) => serializer.serialize_str(text),
            Text::Wide(_) => Err(ser::Error::custom("text with lone surrogates")),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => match self.as_i64() {
                Some(integer) => serializer.serialize_i64(integer),
                None => serializer.serialize_f64(*number),
            },
            Value::String(text) => text.serialize(serializer),
            Value::List(list) => serializer.collect_seq(list.iter()),
            Value::Map(map) => serializer.collect_map(map.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> de::Visitor<'de> for AnyValue {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a plain value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::number(value as f64))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::number(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::number(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Value>()? {
            items.push(item);
        }
        Ok(Value::List(items.into()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            entries.push((Text::from(key), value));
        }
        Ok(Value::Map(Map::from_entries(entries)))
    }
}

/// A value that serde reads.
#[derive(Clone, Copy)]
struct Read<'a>(&'a Value);

impl<'a> Read<'a> {
    fn text(text: &'a Text) -> Result<&'a str, ValueError> {
        text.as_str().ok_or_else(|| ValueError::Type("text with lone surrogates".into()))
    }
}

impl<'de> IntoDeserializer<'de, ValueError> for Read<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Read<'de> {
    type Error = ValueError;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match self.0.as_i64() {
                Some(integer @ 0..) => visitor.visit_u64(integer as u64),
                Some(integer) => visitor.visit_i64(integer),
                None => visitor.visit_f64(*number),
            },
            Value::String(text) => visitor.visit_borrowed_str(Read::text(text)?),
            Value::List(list) => visit_list(list, visitor),
            Value::Map(map) => visit_map(map, visitor),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(Read::text(text)?.into_deserializer()),
            Value::Map(map) if map.len() == 1 => {
                let (key, value) = map.iter().next().ok_or(ValueError::Key)?;
                visitor.visit_enum(ReadEnum(Read::text(key)?, value))
            }
            _ => Err(ValueError::Type("expected the name of a variant, or a map of one key".into())),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

fn visit_list<'de, V: de::Visitor<'de>>(list: &'de List, visitor: V) -> Result<V::Value, ValueError> {
    let mut access = de::value::SeqDeserializer::new(list.iter().map(Read));
    let value = visitor.visit_seq(&mut access)?;
    access.end()?;
    Ok(value)
}

fn visit_map<'de, V: de::Visitor<'de>>(map: &'de Map, visitor: V) -> Result<V::Value, ValueError> {
    if map.iter().any(|(key, _)| key.as_str().is_none()) {
        return Err(ValueError::Type("a key with lone surrogates".into()));
    }
    let entries = map.iter().filter_map(|(key, value)| key.as_str().map(|key| (ReadKey(key), Read(value))));
    let mut access = de::value::MapDeserializer::new(entries);
    let value = visitor.visit_map(&mut access)?;
    access.end()?;
    Ok(value)
}

/// A key that serde reads: text, which is also how integers and truth values are written there.
struct ReadKey<'a>(&'a str);

impl<'de> IntoDeserializer<'de, ValueError> for ReadKey<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed_keys {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.0.parse() {
                Ok(key) => visitor.$visit(key),
                Err(_) => visitor.visit_borrowed_str(self.0),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for ReadKey<'de> {
    type Error = ValueError;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_borrowed_str(self.0)
    }

    parsed_keys! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

struct ReadEnum<'a>(&'a str, &'a Value);

impl<'de> de::EnumAccess<'de> for ReadEnum<'de> {
    type Error = ValueError;
    type Variant = ReadVariant<'de>;
    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, ReadVariant<'de>), ValueError> {
        let name: StrDeserializer<'_, ValueError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, ReadVariant(self.1)))
    }
}

struct ReadVariant<'a>(&'a Value);

impl<'de> de::VariantAccess<'de> for ReadVariant<'de> {
    type Error = ValueError;
    fn unit_variant(self) -> Result<(), ValueError> {
        Deserialize::deserialize(Read(self.0))
    }
    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, ValueError> {
        seed.deserialize(Read(self.0))
    }
    fn tuple_variant<V: de::Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        de::Deserializer::deserialize_any(Read(self.0), visitor)
    }
    fn struct_variant<V: de::Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        de::Deserializer::deserialize_any(Read(self.0), visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Shape {
        Dot,
        Circle(f64),
        Box { width: u8, height: Option<i32> },
        Line(i8, i8),
    }

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Drawing {
        name: String,
        shapes: Vec<Shape>,
        layers: BTreeMap<u32, char>,
        locked: bool,
        unit: (),
    }

    #[test]
    fn types_come_back_in_the_form_of_serde_json() {
        let drawing = Drawing {
            name: "a \"b\"".into(),
            shapes: vec![
                Shape::Dot,
                Shape::Circle(1.5),
                Shape::Box { width: 3, height: None },
                Shape::Box { width: 3, height: Some(-9) },
                Shape::Line(-1, 1),
            ],
            layers: [(1, 'x'), (20, 'é')].into(),
            locked: true,
            unit: (),
        };
        let value = to_value(&drawing).unwrap();
        assert_eq!(from_value::<Drawing>(&value).unwrap(), drawing);
        let text = serde_json::to_string(&drawing).unwrap();
        assert_eq!(json::parse(&text).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(to_value(&value).unwrap(), value);
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert!(matches!(to_value(&(1_u64 << 53)), Err(ValueError::Integer(_))));
        assert!(matches!(to_value(&BTreeMap::from([((1, 2), 3)])), Err(ValueError::Key)));
        #[derive(serde::Serialize)]
        struct Nested(Vec<Nested>);
        let deep = (0..DEPTH_MAX).fold(Nested(vec![]), |nested, _| Nested(vec![nested]));
        assert!(matches!(to_value(&deep), Err(ValueError::Depth)));
        assert!(from_value::<u8>(&Value::from(300)).is_err());
    }
}
