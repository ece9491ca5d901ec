//! The JSON form of patches: `{ "kind", "eid", "cid", "value" }`.
//!
//! `eid` is the handle's integer, `cid` the component's number or name. The value of a columnar component is an object
//! with every field by its path: `{ "pos": { "x": 1 } }`, `{ "pos.x": 1 }` and `{ "pos_x": 1 }` are the same, as are
//! `{ "values": [1, 2] }` and `{ "values_0": 1, "values_1": 2 }`; a component with one field takes the bare number too.
//! What JSON has no numbers for are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`. No entity is `null` or 0.

use peristyle_layout::{Entity, Field, PatchBuffer, PatchKind, Scalar};
use serde_json::{Map, Value};

use super::{PatchError, PatchReport, PatchValue, REFUSALS_KEPT, Refused, WorldPatch};
use crate::{
    columnar::flattened,
    component::{ComponentId, ComponentInfo},
    world::World,
};

/// Why a JSON value is no patch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchJsonError {
    /// A patch is an object.
    #[error("a patch is an object, not {0}")]
    NotAnObject(&'static str),
    /// Something is missing.
    #[error("the patch has no `{0}`")]
    Missing(&'static str),
    /// There is no such kind.
    #[error("`{0}` is no kind of patch (set, add, remove, destroy)")]
    UnknownKind(String),
    /// `eid` is no handle.
    #[error("`eid` is {0}, which is not an entity handle")]
    NotAnEntity(String),
    /// The world has no such component.
    #[error("the world has no component {0}")]
    UnknownComponent(String),
    /// A field of the component has no value.
    #[error("component `{component}`: the value has no field `{field}`")]
    MissingField {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
    /// The component has no such field.
    #[error("component `{component}` has no field `{field}`")]
    UnknownField {
        /// The component.
        component: String,
        /// The field's path.
        field: String,
    },
    /// A field has two values.
    #[error("component `{component}`: the value has field `{field}` twice")]
    DuplicateField {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
    /// A field's value is not of its type, or beyond its range.
    #[error("component `{component}`: field `{field}` is {scalar}, which {found} is not")]
    FieldType {
        /// The component.
        component: String,
        /// The field.
        field: String,
        /// The field's type.
        scalar: Scalar,
        /// What was found.
        found: String,
    },
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value's text for a message, cut where it gets long.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => type_name(value).to_owned(),
        small => small.to_string().chars().take(60).collect(),
    }
}

impl WorldPatch {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`PatchJsonError`], which names the field.
    pub fn from_json(world: &World, json: &Value) -> Result<WorldPatch, PatchJsonError> {
        let object = json.as_object().ok_or_else(|| PatchJsonError::NotAnObject(type_name(json)))?;
        let part = |name: &'static str| object.get(name).ok_or(PatchJsonError::Missing(name));
        let kind = part("kind")?;
        let known = kind.as_str().and_then(PatchKind::from_name);
        let kind = known.ok_or_else(|| PatchJsonError::UnknownKind(shown(kind).trim_matches('"').to_owned()))?;
        let eid = part("eid")?;
        let entity = eid.as_f64().and_then(|eid| Entity::from_f64(eid).ok());
        let entity = entity.ok_or_else(|| PatchJsonError::NotAnEntity(shown(eid)))?;
        if kind == PatchKind::Destroy {
            return Ok(WorldPatch::Destroy { entity });
        }
        let cid = part("cid")?;
        let info = match cid {
            Value::String(name) => world.components().by_name(name),
            number => number.as_u64().and_then(|number| world.components().iter().nth(usize::try_from(number).ok()?)),
        };
        let info = info.ok_or_else(|| PatchJsonError::UnknownComponent(shown(cid)))?;
        let component = info.id();
        if kind == PatchKind::Remove {
            return Ok(WorldPatch::Remove { entity, component });
        }
        let value = part("value")?;
        let value =
            if info.is_columnar() { PatchValue::Packed(packed(info, value)?) } else { PatchValue::Json(value.clone()) };
        Ok(match kind {
            PatchKind::Set => WorldPatch::Set { entity, component, value },
            _ => WorldPatch::Add { entity, component, value },
        })
    }

    /// The JSON form, with the component by name and a columnar value's fields by their flattened names.
    ///
    /// # Errors
    /// [`PatchError::UnknownComponent`], [`PatchError::ValueBytes`], [`PatchError::NotText`], [`PatchError::NotPacked`].
    pub fn to_json(&self, world: &World) -> Result<Value, PatchError> {
        let mut json = Map::new();
        json.insert("kind".into(), self.kind().name().into());
        json.insert("eid".into(), self.entity().to_bits().into());
        let (component, value) = match self {
            WorldPatch::Set { component, value, .. } | WorldPatch::Add { component, value, .. } => {
                (component, Some(value))
            }
            WorldPatch::Remove { component, .. } => (component, None),
            WorldPatch::Destroy { .. } => return Ok(json.into()),
        };
        let info = info_of(world, *component)?;
        json.insert("cid".into(), info.name().into());
        if let Some(value) = value {
            json.insert("value".into(), unpacked(info, value)?);
        }
        Ok(json.into())
    }
}

fn info_of(world: &World, component: ComponentId) -> Result<&ComponentInfo, PatchError> {
    world.components().iter().nth(component.0 as usize).ok_or(PatchError::UnknownComponent(component.0))
}

/// The packed form of a columnar component's value.
fn packed(info: &ComponentInfo, value: &Value) -> Result<Vec<u8>, PatchJsonError> {
    let fields = info.fields();
    let name = || info.name().to_owned();
    let mut found: Vec<Option<&Value>> = vec![None; fields.len()];
    match value {
        Value::Object(_) | Value::Array(_) => {
            find_fields("", value, &mut |path, value| {
                let Some(at) = fields.iter().position(|field| field.name == path) else {
                    return Err(PatchJsonError::UnknownField { component: name(), field: path.to_owned() });
                };
                match found[at].replace(value) {
                    None => Ok(()),
                    Some(_) => Err(PatchJsonError::DuplicateField { component: name(), field: path.to_owned() }),
                }
            })?;
        }
        bare if fields.len() == 1 => found[0] = Some(bare),
        Value::Null if fields.is_empty() => {}
        _ => {}
    }
    let mut packed = Vec::new();
    for (field, value) in fields.iter().zip(found) {
        let value =
            value.ok_or_else(|| PatchJsonError::MissingField { component: name(), field: field.name.clone() })?;
        pack_field(field, value, &mut packed).ok_or_else(|| PatchJsonError::FieldType {
            component: name(),
            field: field.name.clone(),
            scalar: field.scalar,
            found: shown(value),
        })?;
    }
    Ok(packed)
}

/// Calls `f` with each value that is neither object nor array, and its flattened name.
fn find_fields<'v>(
    prefix: &str,
    value: &'v Value,
    f: &mut impl FnMut(&str, &'v Value) -> Result<(), PatchJsonError>,
) -> Result<(), PatchJsonError> {
    match value {
        Value::Object(parts) => parts.iter().try_for_each(|(name, value)| {
            let name: String =
                name.chars().filter(|c| *c != ']').map(|c| if "[.".contains(c) { '_' } else { c }).collect();
            find_fields(&flattened(prefix, &name), value, f)
        }),
        Value::Array(elements) => {
            // A component that is an array itself has the name that its columns have.
            let prefix = if prefix.is_empty() { "values" } else { prefix };
            (0..).zip(elements).try_for_each(|(index, value): (usize, _)| {
                find_fields(&flattened(prefix, &index.to_string()), value, f)
            })
        }
        leaf => f(prefix, leaf),
    }
}

/// Appends a field's value; none if it is not of the field's type.
fn pack_field(field: &Field, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let float = || match value {
        Value::String(text) if text == "NaN" => Some(f64::NAN),
        Value::String(text) if text == "Infinity" => Some(f64::INFINITY),
        Value::String(text) if text == "-Infinity" => Some(f64::NEG_INFINITY),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    // JavaScript writes an integer as it likes.
    let whole = || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0);
    let signed = || value.as_i64().or_else(|| whole().map(|number| number as i64));
    let unsigned = || value.as_u64().or_else(|| whole().filter(|number| *number >= 0.0).map(|number| number as u64));
    if field.entity {
        let entity = match value {
            Value::Null => 0.0,
            number if number.as_f64() == Some(0.0) => 0.0,
            number => Entity::from_f64(number.as_f64()?).ok()?.to_f64(),
        };
        out.extend(entity.to_le_bytes());
        return Some(());
    }
    match field.scalar {
        Scalar::F32 => {
            let (wide, narrow) = (float()?, float()? as f32);
            // Beyond the range it would silently be another value.
            out.extend((wide.is_finite() == narrow.is_finite()).then_some(narrow)?.to_le_bytes());
        }
        Scalar::F64 => out.extend(float()?.to_le_bytes()),
        Scalar::I8 => out.extend(i8::try_from(signed()?).ok()?.to_le_bytes()),
        Scalar::U8 => out.extend(u8::try_from(unsigned()?).ok()?.to_le_bytes()),
        Scalar::I16 => out.extend(i16::try_from(signed()?).ok()?.to_le_bytes()),
        Scalar::U16 => out.extend(u16::try_from(unsigned()?).ok()?.to_le_bytes()),
        Scalar::I32 => out.extend(i32::try_from(signed()?).ok()?.to_le_bytes()),
        Scalar::U32 => out.extend(u32::try_from(unsigned()?).ok()?.to_le_bytes()),
        Scalar::I64 => out.extend(signed()?.to_le_bytes()),
        Scalar::U64 => out.extend(unsigned()?.to_le_bytes()),
        Scalar::Bool => out.push(u8::from(value.as_bool()?)),
    }
    Some(())
}

/// The JSON form of a component's value.
fn unpacked(info: &ComponentInfo, value: &PatchValue) -> Result<Value, PatchError> {
    let name = || info.name().to_owned();
    let mut bytes = match value {
        PatchValue::Packed(bytes) if info.is_columnar() => &bytes[..],
        PatchValue::Json(json) if !info.is_columnar() => return Ok(json.clone()),
        PatchValue::Packed(_) => return Err(PatchError::NotPacked(name())),
        PatchValue::Json(_) => return Err(PatchError::NotText(name())),
    };
    let expected_bytes = info.fields().iter().map(|field| field.scalar.size()).sum();
    if bytes.len() != expected_bytes {
        return Err(PatchError::ValueBytes { component: name(), expected_bytes, found_bytes: bytes.len() });
    }
    let mut object = Map::new();
    for field in info.fields() {
        let (value, rest) = bytes.split_at(field.scalar.size());
        bytes = rest;
        object.insert(field.name.clone(), unpack_field(field, value));
    }
    Ok(object.into())
}

/// The JSON of a scalar's bytes.
fn unpack_field(field: &Field, bytes: &[u8]) -> Value {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(wide);
    let float = |number: f64| match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    };
    if field.entity {
        return Entity::from_f64(f64::from_bits(bits)).map_or(Value::Null, |entity| entity.to_bits().into());
    }
    match field.scalar {
        Scalar::F32 => float(f64::from(f32::from_bits(bits as u32))),
        Scalar::F64 => float(f64::from_bits(bits)),
        Scalar::I8 => (bits as i8).into(),
        Scalar::I16 => (bits as i16).into(),
        Scalar::I32 => (bits as i32).into(),
        Scalar::I64 => (bits as i64).into(),
        Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 => bits.into(),
        Scalar::Bool => (bits != 0).into(),
    }
}

impl World {
    /// Applies a JSON list of patches in order. What is no patch of this world (an unknown component, a field of the wrong
    /// type) is refused like a patch that cannot be applied, with its index; the others go on.
    ///
    /// # Errors
    /// If the text is no JSON list; nothing is applied then.
    pub fn apply_patches_json(&mut self, text: &str) -> Result<PatchReport, serde_json::Error> {
        let list: Vec<Value> = serde_json::from_str(text)?;
        let (mut buffer, mut indices, mut bad) = (PatchBuffer::new(), Vec::new(), Vec::new());
        for (index, json) in list.iter().enumerate() {
            match WorldPatch::from_json(self, json) {
                Ok(patch) => {
                    patch.write(&mut buffer);
                    indices.push(index);
                }
                Err(error) => bad.push(Refused { index, buffer: 0, error: error.into() }),
            }
        }
        let mut report = self.apply_patches(&buffer);
        report.refusals.iter_mut().for_each(|refused| refused.index = indices[refused.index]);
        report.refused += bad.len();
        report.refusals.extend(bad);
        report.refusals.sort_by_key(|refused| refused.index);
        report.refusals.truncate(REFUSALS_KEPT);
        Ok(report)
    }
}
