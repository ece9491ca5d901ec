//! Types in documents; the form is described at [`Type`].
//!
//! The reader keeps the order of fields and goes at most [`NESTING_MAX`] deep. What has the wrong shape is the format's
//! error, with line and column where it has such; what has the right shape and the wrong meaning is found when the type is
//! compiled.

use alloc::string::String;
use core::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    ser::{self, SerializeMap},
};

use super::{
    NESTING_MAX,
    types::{Kind, Member, Struct, Type},
};

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Type, D::Error> {
        TypeReader { depth: 0 }.deserialize(deserializer)
    }
}

/// Reads a type below `depth` others.
#[derive(Clone, Copy)]
struct TypeReader {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for TypeReader {
    type Value = Type;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Type, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TypeReader {
    type Value = Type;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type: the name of a scalar, an array or a struct")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Type, E> {
        Ok(Type::named(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Type, A::Error> {
        Keys::read(map, self.depth, &TYPE_KEYS)?.into_type()
    }
}

/// The keys of an array or a struct.
const TYPE_KEYS: [&str; 5] = ["array", "len", "struct", "packed", "align"];
/// The keys of a field in a list.
const ENTRY_KEYS: [&str; 4] = ["name", "type", "at", "pad"];
/// The keys of a field in an object.
const VALUE_KEYS: [&str; 8] = ["type", "at", "pad", "array", "len", "struct", "packed", "align"];

/// The keys of an object, which may come in any order.
#[derive(Default)]
struct Keys {
    array: Option<Type>,
    len: Option<u64>,
    members: Option<Struct>,
    packed: Option<bool>,
    align: Option<u64>,
    name: Option<String>,
    ty: Option<Type>,
    at: Option<u64>,
    pad: Option<u64>,
}

/// Sets what is not set yet.
fn once<T, E: de::Error>(slot: &mut Option<T>, key: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(key)),
    }
}

impl Keys {
    fn read<'de, A: MapAccess<'de>>(
        mut map: A,
        depth: usize,
        known: &'static [&'static str],
    ) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = map.next_key::<String>()? {
            let Some(key) = known.iter().find(|known| **known == key) else {
                return Err(de::Error::unknown_field(&key, known));
            };
            match *key {
                "array" => once(&mut keys.array, key, map.next_value_seed(deeper(depth)?)?)?,
                "struct" => once(&mut keys.members, key, map.next_value_seed(FieldsReader(deeper(depth)?))?)?,
                "type" => once(&mut keys.ty, key, map.next_value_seed(TypeReader { depth })?)?,
                "name" => once(&mut keys.name, key, map.next_value()?)?,
                "len" => once(&mut keys.len, key, map.next_value()?)?,
                "packed" => once(&mut keys.packed, key, map.next_value()?)?,
                "align" => once(&mut keys.align, key, map.next_value()?)?,
                "at" => once(&mut keys.at, key, map.next_value()?)?,
                _ => once(&mut keys.pad, key, map.next_value()?)?,
            }
        }
        Ok(keys)
    }

    /// Refuses keys that do not belong to `what`.
    fn allow<E: de::Error>(&self, what: &str, allowed: &[&str]) -> Result<(), E> {
        let present = [
            ("array", self.array.is_some()),
            ("len", self.len.is_some()),
            ("struct", self.members.is_some()),
            ("packed", self.packed.is_some()),
            ("align", self.align.is_some()),
            ("name", self.name.is_some()),
            ("type", self.ty.is_some()),
            ("at", self.at.is_some()),
            ("pad", self.pad.is_some()),
        ];
        match present.into_iter().find(|(key, present)| *present && !allowed.contains(key)) {
            None => Ok(()),
            Some((key, _)) => Err(E::custom(format_args!("`{key}` does not belong to {what}"))),
        }
    }

    fn into_type<E: de::Error>(self) -> Result<Type, E> {
        if self.members.is_some() {
            self.allow("a struct", &["struct", "packed", "align"])?;
        }
        if let Some(mut fields) = self.members {
            fields.packed = self.packed.unwrap_or_default();
            fields.align = self.align;
            return Ok(fields.into());
        }
        self.allow("an array", &["array", "len"])?;
        let element = self.array.ok_or_else(|| E::custom("a type in an object needs `array` or `struct`"))?;
        Ok(Type::array(element, self.len.ok_or_else(|| E::missing_field("len"))?))
    }

    /// Adds what an entry of a list, or a value of an object under `name`, says.
    fn add_to<E: de::Error>(mut self, name: Option<String>, fields: Struct) -> Result<Struct, E> {
        if let Some(bytes) = self.pad {
            self.allow("padding", &["pad"])?;
            return Ok(fields.pad(bytes));
        }
        let name = self.name.take().or(name).ok_or_else(|| E::missing_field("name"))?;
        if self.ty.is_some() {
            self.allow("`type`", &["type", "at"])?;
        }
        match self.ty.take() {
            Some(ty) => Ok(fields.member(name, ty, self.at)),
            None if self.array.is_none() && self.members.is_none() => Err(E::missing_field("type")),
            None => Ok(fields.member(name, self.into_type()?, None)),
        }
    }
}

fn deeper<E: de::Error>(depth: usize) -> Result<TypeReader, E> {
    match depth + 1 {
        depth @ ..=NESTING_MAX => Ok(TypeReader { depth }),
        _ => Err(E::custom(format_args!("types are nested deeper than {NESTING_MAX}"))),
    }
}

/// Reads the fields of a struct, whose types the reader reads.
struct FieldsReader(TypeReader);

impl<'de> DeserializeSeed<'de> for FieldsReader {
    type Value = Struct;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Struct, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldsReader {
    type Value = Struct;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields: a list, or an object in order")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Struct, A::Error> {
        let mut fields = Struct::new();
        while let Some(keys) = list.next_element_seed(EntryReader(self.0))? {
            fields = keys.add_to(None, fields)?;
        }
        Ok(fields)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Struct, A::Error> {
        let mut fields = Struct::new();
        while let Some(name) = map.next_key::<String>()? {
            fields = map.next_value_seed(ValueReader(self.0))?.add_to(Some(name), fields)?;
        }
        Ok(fields)
    }
}

/// Reads a field in a list.
struct EntryReader(TypeReader);

impl<'de> DeserializeSeed<'de> for EntryReader {
    type Value = Keys;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keys, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntryReader {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field: an object with `name` and `type`, or with `pad`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
        Keys::read(map, self.0.depth, &ENTRY_KEYS)
    }
}

/// Reads a field in an object: a type, or an object that says more.
struct ValueReader(TypeReader);

impl<'de> DeserializeSeed<'de> for ValueReader {
    type Value = Keys;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keys, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field: a type, or an object with `type` and `at`, or with `pad`")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Keys, E> {
        Ok(Keys { ty: Some(Type::named(name)), ..Keys::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
        Keys::read(map, self.0.depth, &VALUE_KEYS)
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            Kind::Scalar(scalar) => serializer.serialize_str(scalar.name()),
            Kind::Entity => serializer.serialize_str("entity"),
            Kind::Unknown(name) => serializer.serialize_str(name),
            Kind::TooDeep => Err(ser::Error::custom(format_args!("types are nested deeper than {NESTING_MAX}"))),
            Kind::Array { element, len } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("array", element)?;
                map.serialize_entry("len", len)?;
                map.end()
            }
            Kind::Struct(fields) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("struct", &fields.members)?;
                if fields.packed {
                    map.serialize_entry("packed", &true)?;
                }
                if let Some(align) = fields.align {
                    map.serialize_entry("align", &align)?;
                }
                map.end()
            }
        }
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Member::Pad(bytes) => map.serialize_entry("pad", bytes)?,
            Member::Field { name, ty, at } => {
                map.serialize_entry("name", name)?;
                map.serialize_entry("type", ty)?;
                if let Some(at) = at {
                    map.serialize_entry("at", at)?;
                }
            }
        }
        map.end()
    }
}
