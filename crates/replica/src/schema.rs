//! What a view shows: components and fields by name, each with its coding and its predictor.
//!
//! A schema goes over the wire once, when a stream opens. Names and layout hashes say what is what; numbers are positions
//! in this schema and mean nothing elsewhere.

use peristyle_layout::Scalar;

use crate::bytes::{Reader, put_varint};
use crate::error::FrameError;

/// First byte of every message of this format.
pub const MAGIC: u8 = 0xD7;
/// Version of the format.
pub const VERSION: u8 = 1;
/// Components of a view: bits of a mask.
pub const COMPONENTS_MAX: usize = 32;
/// Fields of a component in a view.
pub(crate) const FIELDS_MAX: usize = 1024;
/// Bytes of a name.
const NAME_MAX: usize = 1024;

/// How a field's values become integers on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Coding {
    /// Bit for bit.
    Exact,
    /// Rounded to multiples of `step`, as 32-bit integers; what lies beyond 2^31 steps is held at the border, and NaN is
    /// taken for the lower one. The error is at most half a step, plus the rounding of the result to the field's own
    /// type, in every tick: integers are sent, so that it never adds up.
    Quantised {
        /// The distance of two values.
        step: f64,
    },
}

/// What a value is expected to be, so that only the difference is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Predictor {
    /// Nothing is expected: values are sent as they are.
    None,
    /// The value that was sent last.
    #[default]
    Hold,
    /// The value that was sent last plus the difference of the last two. For integers and quantised fields; a float that is
    /// sent exactly is held.
    Linear,
}

/// A field of a component in a view.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSchema {
    /// Its flattened name.
    pub name: String,
    /// Its type.
    pub scalar: Scalar,
    /// How it is coded.
    pub coding: Coding,
    /// What is expected of it.
    pub predictor: Predictor,
}

impl FieldSchema {
    /// Whether codes have 64 bits.
    pub(crate) fn is_wide(&self) -> bool {
        self.coding == Coding::Exact && self.scalar.size() == 8
    }

    /// Whether codes are bits of floats, whose differences mean nothing.
    pub(crate) fn is_bits(&self) -> bool {
        self.coding == Coding::Exact && matches!(self.scalar, Scalar::F32 | Scalar::F64)
    }

    /// Whether the differences of codes are expected to go on.
    pub(crate) fn is_linear(&self) -> bool {
        self.predictor == Predictor::Linear && !self.is_bits()
    }
}

/// A component in a view.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentSchema {
    /// Its name.
    pub name: String,
    /// The hash of all its fields in the host's world.
    pub layout_hash: u64,
    /// Whether every entity of the view has it.
    pub required: bool,
    /// The fields that the view shows.
    pub fields: Vec<FieldSchema>,
}

/// What a view shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    components: Vec<ComponentSchema>,
    hash: u64,
}

impl Schema {
    /// A schema of these components, at most [`COMPONENTS_MAX`].
    pub(crate) fn new(components: Vec<ComponentSchema>) -> Schema {
        let mut schema = Schema { components, hash: 0 };
        let mut bytes = Vec::new();
        schema.encode_components(&mut bytes);
        schema.hash = fnv(&bytes);
        schema
    }

    /// Its components; a number of a component is its position here.
    pub fn components(&self) -> &[ComponentSchema] {
        &self.components
    }

    /// Which component has that name.
    pub fn component(&self, name: &str) -> Option<usize> {
        self.components.iter().position(|component| component.name == name)
    }

    /// A hash of everything in it: FNV-1a, 64 bit, over its encoded components.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Appends the message that opens a stream:
    ///
    /// ```text
    /// u8 magic, u8 version, u8 kind = 0, u64 schema hash, varint components, for each:
    ///   text name, u64 layout hash, u8 required, varint fields, for each:
    ///     text name, u8 scalar, u8 coding (0 exact, 1 quantised), [f64 step], u8 predictor (0 none, 1 hold, 2 linear)
    /// ```
    ///
    /// A text is a varint of its bytes and UTF-8.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[MAGIC, VERSION, KIND_SCHEMA]);
        out.extend_from_slice(&self.hash.to_le_bytes());
        self.encode_components(out);
    }

    fn encode_components(&self, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>, text: &str| {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        };
        put_varint(out, self.components.len() as u64);
        for component in &self.components {
            text(out, &component.name);
            out.extend_from_slice(&component.layout_hash.to_le_bytes());
            out.push(u8::from(component.required));
            put_varint(out, component.fields.len() as u64);
            for field in &component.fields {
                text(out, &field.name);
                out.push(field.scalar as u8);
                match field.coding {
                    Coding::Exact => out.push(0),
                    Coding::Quantised { step } => {
                        out.push(1);
                        out.extend_from_slice(&step.to_le_bytes());
                    }
                }
                out.push(field.predictor as u8);
            }
        }
    }

    /// Reads the message that opens a stream.
    ///
    /// # Errors
    /// [`FrameError`], with the place in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Schema, FrameError> {
        let mut reader = Reader::new(bytes);
        if header(&mut reader)? != KIND_SCHEMA {
            return Err(reader.invalid("not a schema"));
        }
        let hash = reader.u64()?;
        let count = reader.bounded(COMPONENTS_MAX, "more components than a view has")?;
        let mut components = Vec::with_capacity(count);
        for _ in 0..count {
            components.push(decode_component(&mut reader)?);
        }
        if reader.left() != 0 {
            return Err(reader.invalid("bytes after the end of the schema"));
        }
        let schema = Schema::new(components);
        if schema.hash != hash {
            return Err(FrameError::Invalid { offset: 3, what: "a hash that is not the schema's" });
        }
        let twice = |at: usize| schema.components[..at].iter().any(|other| other.name == schema.components[at].name);
        if (0..count).any(twice) {
            return Err(FrameError::Invalid { offset: 11, what: "a component that is there twice" });
        }
        Ok(schema)
    }
}

pub(crate) const KIND_SCHEMA: u8 = 0;
pub(crate) const KIND_FRAME: u8 = 1;

/// Reads magic and version, and gives the kind.
pub(crate) fn header(reader: &mut Reader<'_>) -> Result<u8, FrameError> {
    if reader.u8()? != MAGIC {
        return Err(FrameError::Invalid { offset: 0, what: "not a message of this format" });
    }
    let found = reader.u8()?;
    if found != VERSION {
        return Err(FrameError::Version { found, known: VERSION });
    }
    reader.u8()
}

fn decode_component(reader: &mut Reader<'_>) -> Result<ComponentSchema, FrameError> {
    let name = reader.text(NAME_MAX)?.to_owned();
    let layout_hash = reader.u64()?;
    let required = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(reader.invalid("neither required nor optional")),
    };
    let count = reader.bounded(FIELDS_MAX, "more fields than a component of a view has")?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = reader.text(NAME_MAX)?.to_owned();
        let scalar = reader.u8()?;
        let scalar = Scalar::ALL
            .into_iter()
            .find(|known| *known as u8 == scalar)
            .ok_or_else(|| reader.invalid("an unknown scalar"))?;
        let coding = match reader.u8()? {
            0 => Coding::Exact,
            1 => {
                let step = f64::from_bits(reader.u64()?);
                if !(step.is_finite() && step > 0.0 && matches!(scalar, Scalar::F32 | Scalar::F64)) {
                    return Err(reader.invalid("a quantisation that cannot be"));
                }
                Coding::Quantised { step }
            }
            _ => return Err(reader.invalid("an unknown coding")),
        };
        let predictor = match reader.u8()? {
            0 => Predictor::None,
            1 => Predictor::Hold,
            2 => Predictor::Linear,
            _ => return Err(reader.invalid("an unknown predictor")),
        };
        fields.push(FieldSchema { name, scalar, coding, predictor });
    }
    Ok(ComponentSchema { name, layout_hash, required, fields })
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
