//! A view at its client: read-only columns that follow a host, whole ticks only.
//!
//! Rows are the view's: an entity keeps its row while it is in view. A row may be free; `entity(row)` tells. Per frame a
//! view-world says which rows were added, which removed and why, and has one bitset per component of the rows whose values
//! changed, so that a renderer touches only what moved.
//!
//! # Rules
//! - A frame is taken in whole or not at all: it is read to its end and checked before the first value is written.
//! - Fields and components that one side lacks are no error: what the host does not send is not there to be asked for, and
//!   what the client does not ask for is held and ignored.

use peristyle_layout::Scalar;
use peristyle_world::Entity;

use crate::bytes::{BitReader, Reader, unzigzag};
use crate::error::FrameError;
use crate::frame::{ENTER, FLAGS, HASH, INPUT, LEAVE, REMASK, SNAPSHOT};
use crate::held::{Codes, Held, bits};
use crate::lossy::differing;
use crate::pack;
use crate::packing::{self, Unpacker};
use crate::quantise::dequantise;
use crate::rows::{self, Read, RowSet};
use crate::schema::{Coding, FieldSchema, KIND_FRAME, Schema, header};

/// Rows of a view unless told otherwise: four million.
const ROWS_MAX: u32 = 1 << 22;

/// Why an entity is no longer in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It was despawned at the host.
    Destroyed,
    /// It lives, but lies outside of the view or lost a component that the view asks for.
    LeftView,
    /// A snapshot replaced everything and it was not in it, or the frame was lost that said why.
    Unknown,
}

/// An entity that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The entity.
    pub entity: Entity,
    /// The row that it had.
    pub row: u32,
    /// Why.
    pub why: Gone,
}

/// What a frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its tick.
    pub tick: u64,
    /// Whether it replaced everything.
    pub snapshot: bool,
    /// The number of this client's last input that the host had taken in, if it says so.
    pub input: Option<u64>,
}

/// A field's values by row.
#[derive(Debug, Clone)]
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    Bool(Vec<bool>),
}

mod sealed {
    pub trait Sealed {}
}

/// A type that a field's values can have: that of its scalar.
pub trait Value: sealed::Sealed + Copy + 'static {
    #[doc(hidden)]
    fn of(values: &AnyValues) -> Option<&[Self]>;
}

/// The values of a field of any type.
#[derive(Debug, Clone)]
pub struct AnyValues(Values);

macro_rules! values {
    ($($type:ty => $variant:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl Value for $type {
            fn of(values: &AnyValues) -> Option<&[$type]> {
                if let Values::$variant(values) = &values.0 { Some(values) } else { None }
            }
        }
    )*};
}
values!(f32 => F32, f64 => F64, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64,
    u64 => U64, bool => Bool);

impl AnyValues {
    fn new(scalar: Scalar) -> AnyValues {
        AnyValues(match scalar {
            Scalar::F32 => Values::F32(Vec::new()),
            Scalar::F64 => Values::F64(Vec::new()),
            Scalar::I8 => Values::I8(Vec::new()),
            Scalar::U8 => Values::U8(Vec::new()),
            Scalar::I16 => Values::I16(Vec::new()),
            Scalar::U16 => Values::U16(Vec::new()),
            Scalar::I32 => Values::I32(Vec::new()),
            Scalar::U32 => Values::U32(Vec::new()),
            Scalar::I64 => Values::I64(Vec::new()),
            Scalar::U64 => Values::U64(Vec::new()),
            Scalar::Bool => Values::Bool(Vec::new()),
        })
    }

    fn grow(&mut self, rows: usize) {
        macro_rules! each {
            ($($variant:ident),*) => {
                match &mut self.0 {
                    $(Values::$variant(values) => values.resize(values.len().max(rows), Default::default()),)*
                }
            };
        }
        each!(F32, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool)
    }

    /// Takes the values of `rows` from their codes.
    fn follow(&mut self, field: &FieldSchema, codes: &Codes, rows: &Rows<'_>) {
        macro_rules! take {
            ($values:expr, $width:ident, $value:expr) => {{
                let Codes::$width(column) = codes else { unreachable!("made by the schema") };
                let (values, codes, value) = ($values, &column.codes, $value);
                match rows {
                    Rows::First(count) => {
                        values[..*count].iter_mut().zip(codes).for_each(|(to, code)| *to = value(*code));
                    }
                    Rows::Listed(rows) => {
                        rows.iter().for_each(|row| values[*row as usize] = value(codes[*row as usize]))
                    }
                }
            }};
        }
        match (&mut self.0, field.coding) {
            (Values::F32(values), Coding::Quantised { step }) => {
                take!(values, Narrow, |code: u32| dequantise(code, step) as f32)
            }
            (Values::F64(values), Coding::Quantised { step }) => {
                take!(values, Narrow, |code: u32| dequantise(code, step))
            }
            (Values::F32(values), _) => take!(values, Narrow, f32::from_bits),
            (Values::F64(values), _) => take!(values, Wide, f64::from_bits),
            (Values::I8(values), _) => take!(values, Narrow, |code: u32| code as i8),
            (Values::U8(values), _) => take!(values, Narrow, |code: u32| code as u8),
            (Values::I16(values), _) => take!(values, Narrow, |code: u32| code as i16),
            (Values::U16(values), _) => take!(values, Narrow, |code: u32| code as u16),
            (Values::I32(values), _) => take!(values, Narrow, |code: u32| code as i32),
            (Values::U32(values), _) => take!(values, Narrow, |code: u32| code),
            (Values::I64(values), _) => take!(values, Wide, |code: u64| code as i64),
            (Values::U64(values), _) => take!(values, Wide, |code: u64| code),
            (Values::Bool(values), _) => take!(values, Narrow, |code: u32| code != 0),
        }
    }
}

/// Rows of a column.
enum Rows<'a> {
    /// All below a number.
    First(usize),
    /// Those in the list.
    Listed(&'a [u32]),
}

/// A column of a frame, of either width.
#[derive(Debug)]
enum Part {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Part {
    fn new(field: &FieldSchema) -> Part {
        if field.is_wide() { Part::Wide(Vec::new()) } else { Part::Narrow(Vec::new()) }
    }

    fn decode(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), FrameError> {
        match self {
            Part::Narrow(values) => pack::decode(reader, count, values),
            Part::Wide(values) => pack::decode(reader, count, values),
        }
    }
}

/// A component's part of a frame.
#[derive(Debug)]
struct ComponentPart {
    gained: Vec<u32>,
    starts: Vec<Part>,
    /// How the rows of a snapshot were moving, for fields that are predicted linearly.
    velocities: Vec<Option<Part>>,
    is_changed: bool,
    /// Whether all rows below `high` change, none of which is free.
    is_full: bool,
    changed: Vec<u32>,
    differences: Vec<Part>,
}

/// A frame as it was read, before it is taken in. Kept for its capacity.
#[derive(Debug, Default)]
struct Parsed {
    high: usize,
    leave: Vec<u32>,
    destroyed: Vec<bool>,
    enter: Vec<u32>,
    entities: Vec<u64>,
    masks: Vec<u32>,
    remask: Vec<u32>,
    new_masks: Vec<u32>,
    components: Vec<ComponentPart>,
}

/// How a frame starts.
pub(crate) struct FrameHead {
    schema: u32,
    flags: u8,
    pub(crate) tick: u64,
    /// What it builds on; none for a snapshot.
    pub(crate) base: Option<u64>,
    /// Whether a hash follows.
    pub(crate) hash: bool,
    input: bool,
}

impl FrameHead {
    fn read(reader: &mut Reader<'_>) -> Result<FrameHead, FrameError> {
        if header(reader)? != KIND_FRAME {
            return Err(FrameError::Invalid { offset: 2, what: "not a frame" });
        }
        let schema = reader.u32()?;
        let flags = reader.u8()?;
        if flags & !FLAGS != 0 {
            return Err(reader.invalid("unknown flags"));
        }
        let tick = reader.varint()?;
        let mut base = None;
        if flags & SNAPSHOT == 0 {
            let distance = reader.varint()?;
            base = Some(tick.checked_sub(distance).ok_or_else(|| reader.invalid("a base before tick 0"))?);
        }
        Ok(FrameHead { schema, flags, tick, base, hash: flags & HASH != 0, input: flags & INPUT != 0 })
    }
}

/// A view at its client.
#[derive(Debug)]
pub struct ViewWorld {
    schema: Schema,
    rows_max: u32,
    held: Held,
    values: Vec<Vec<AnyValues>>,
    /// None until the first snapshot.
    tick: Option<u64>,
    added: Vec<u32>,
    removed: Vec<Removed>,
    changed: Vec<RowSet>,
    parsed: Parsed,
    unpacker: Unpacker,
    /// A frame that was packed.
    unpacked: Vec<u8>,
    bytes_max: usize,
}

impl ViewWorld {
    /// An empty view-world for a stream that was opened with this message.
    ///
    /// # Errors
    /// [`FrameError`]: the message is no schema.
    pub fn open(schema: &[u8]) -> Result<ViewWorld, FrameError> {
        Ok(ViewWorld::with_schema(Schema::decode(schema)?))
    }

    /// An empty view-world for a known schema.
    pub fn with_schema(schema: Schema) -> ViewWorld {
        let part = |component: &crate::ComponentSchema| ComponentPart {
            gained: Vec::new(),
            starts: component.fields.iter().map(Part::new).collect(),
            velocities: component.fields.iter().map(|field| field.is_linear().then(|| Part::new(field))).collect(),
            is_changed: false,
            is_full: false,
            changed: Vec::new(),
            differences: component.fields.iter().map(Part::new).collect(),
        };
        let components = schema.components();
        let values = components
            .iter()
            .map(|component| component.fields.iter().map(|field| AnyValues::new(field.scalar)).collect());
        ViewWorld {
            rows_max: ROWS_MAX,
            held: Held::new(&schema),
            values: values.collect(),
            tick: None,
            added: Vec::new(),
            removed: Vec::new(),
            changed: vec![RowSet::default(); components.len()],
            parsed: Parsed { components: components.iter().map(part).collect(), ..Parsed::default() },
            unpacker: Unpacker::default(),
            unpacked: Vec::new(),
            bytes_max: packing::BYTES_MAX,
            schema,
        }
    }

    /// Allows so many rows; more are refused. 4 194 304 unless told.
    pub fn set_rows_max(&mut self, rows: u32) {
        self.rows_max = rows;
    }

    /// Allows packed frames to unpack to so many bytes; longer ones are refused. 64 MiB unless told.
    pub fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// What it shows.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The tick that it shows; none before the first snapshot.
    pub fn tick(&self) -> Option<u64> {
        self.tick
    }

    /// Rows that may be in use: all are below. The length of every column.
    pub fn rows(&self) -> usize {
        self.held.high()
    }

    /// Entities in view.
    pub fn len(&self) -> usize {
        self.held.live.count()
    }

    /// Whether nobody is in view.
    pub fn is_empty(&self) -> bool {
        self.held.live.is_empty()
    }

    /// The entity of a row; none if the row is free.
    pub fn entity(&self, row: usize) -> Option<Entity> {
        self.held.entity(row)
    }

    /// The rows in use as bits: bit `i` of word `w` is row `64 * w + i`.
    pub fn live(&self) -> &[u64] {
        self.held.live.words()
    }

    /// The rows that have a component of the schema, as bits.
    ///
    /// # Panics
    /// If the schema has no such component.
    pub fn has(&self, component: usize) -> &[u64] {
        self.held.has[component].words()
    }

    /// The rows whose values of a component the last frame changed or brought, as bits.
    ///
    /// # Panics
    /// If the schema has no such component.
    pub fn changed(&self, component: usize) -> &[u64] {
        self.changed[component].words()
    }

    /// Rows that the last frame added.
    pub fn added(&self) -> &[u32] {
        &self.added
    }

    /// Entities that the last frame removed.
    pub fn removed(&self) -> &[Removed] {
        &self.removed
    }

    /// A field's values by row, [`rows`](ViewWorld::rows) of them; none if the host sends no such field, or another type.
    /// Where a row is free or lacks the component, the value means nothing.
    pub fn column<T: Value>(&self, component: &str, field: &str) -> Option<&[T]> {
        let (component, field) = self.find(component, field)?;
        T::of(&self.values[component][field]).map(|values| &values[..self.rows()])
    }

    /// The integers of a quantised field by row, and the step that they are multiples of: for who scales them in a shader.
    pub fn steps(&self, component: &str, field: &str) -> Option<(&[u32], f64)> {
        let (component, field) = self.find(component, field)?;
        match (&self.held.columns[component][field], self.schema.components()[component].fields[field].coding) {
            (Codes::Narrow(column), Coding::Quantised { step }) => Some((&column.codes, step)),
            _ => None,
        }
    }

    fn find(&self, component: &str, field: &str) -> Option<(usize, usize)> {
        let component = self.schema.component(component)?;
        let fields = &self.schema.components()[component].fields;
        Some((component, fields.iter().position(|known| known.name == field)?))
    }

    /// A hash of everything in view: equal to [`View::hash`](crate::View::hash) after the same frame.
    pub fn hash(&self) -> u64 {
        self.held.hash()
    }

    /// How a frame starts.
    pub(crate) fn head(frame: &[u8]) -> Result<FrameHead, FrameError> {
        FrameHead::read(&mut Reader::new(frame))
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Shows a state that was held before, as it was in `tick`.
    pub(crate) fn rewind(&mut self, tick: u64, state: &Held) {
        self.held.clone_from(state);
        self.tick = Some(tick);
        let high = self.held.high();
        for (component, schema) in self.schema.components().iter().enumerate() {
            for (field, schema) in schema.fields.iter().enumerate() {
                let values = &mut self.values[component][field];
                values.grow(high);
                values.follow(schema, &self.held.columns[component][field], &Rows::First(high));
            }
        }
    }

    /// Shows nothing, as at first.
    pub(crate) fn reset(&mut self) {
        self.held = Held::new(&self.schema);
        self.tick = None;
    }

    /// Says what was added, removed and changed since another state.
    pub(crate) fn compare(&mut self, before: &Held) {
        let ViewWorld { held, added, removed, changed, .. } = self;
        added.clear();
        removed.clear();
        for row in 0..held.high().max(before.high()) {
            let entity = |held: &Held| held.entities.get(row).copied().unwrap_or(0);
            if entity(before) == entity(held) {
                continue;
            }
            let was = before.entity(row).map(|entity| Removed { entity, row: row as u32, why: Gone::Unknown });
            removed.extend(was);
            if entity(held) != 0 {
                added.push(row as u32);
            }
        }
        for (component, changed) in changed.iter_mut().enumerate() {
            differing(before, held, component, changed);
        }
    }

    /// Takes in a frame.
    ///
    /// # Errors
    /// [`FrameError`]. Everything is as before then; but after [`FrameError::Hash`] the values of the frame are in, and only
    /// a snapshot is taken next.
    pub fn apply(&mut self, frame: &[u8]) -> Result<Applied, FrameError> {
        if !packing::is_packed(frame) {
            return self.apply_plain(frame);
        }
        let mut unpacked = std::mem::take(&mut self.unpacked);
        let applied = self.unpacker.unpack(frame, self.bytes_max, &mut unpacked);
        let applied = applied.and_then(|()| self.apply_plain(&unpacked));
        self.unpacked = unpacked;
        applied
    }

    fn apply_plain(&mut self, frame: &[u8]) -> Result<Applied, FrameError> {
        let mut reader = Reader::new(frame);
        let FrameHead { schema: found, flags, tick, base, input, .. } = FrameHead::read(&mut reader)?;
        let known = self.schema.hash() as u32;
        if found != known {
            return Err(FrameError::Schema { found, known });
        }
        let snapshot = base.is_none();
        if let Some(base) = base.filter(|base| self.tick != Some(*base)) {
            return Err(FrameError::Gap { tick, base, have: self.tick.unwrap_or(0) });
        }
        let hash = if flags & HASH != 0 { Some(reader.u64()?) } else { None };
        let input = if input { Some(reader.varint()?) } else { None };
        self.parse(&mut reader, flags)?;
        if reader.left() != 0 {
            return Err(reader.invalid("bytes after the end of the frame"));
        }
        self.commit(snapshot);
        self.tick = Some(tick);
        if let Some(sent) = hash {
            let found = self.held.hash();
            if found != sent {
                self.tick = None;
                return Err(FrameError::Hash { tick, found, sent });
            }
        }
        Ok(Applied { tick, snapshot, input })
    }

    /// Reads the rest of a frame and checks it against what is held.
    fn parse(&mut self, reader: &mut Reader<'_>, flags: u8) -> Result<(), FrameError> {
        const NOT_FREE: &str = "an entity enters a row that is another's";
        let ViewWorld { schema, parsed, held, rows_max, .. } = self;
        let snapshot = flags & SNAPSHOT != 0;
        let rows = reader.varint()?;
        if rows > u64::from(*rows_max) {
            return Err(FrameError::TooManyRows { rows, max: *rows_max });
        }
        // Every row of a snapshot enters, which takes a byte at least; else rows grow by those that enter.
        let (high, known) = (rows as usize, held.high());
        if !snapshot && (high < known || high - known > reader.left()) {
            return Err(reader.invalid("rows that no entity enters"));
        }
        parsed.high = high;
        let no_rows = |reader: &mut Reader<'_>, flag: u8, list: &mut Vec<u32>| {
            list.clear();
            if flags & flag == 0 {
                return Ok(());
            }
            match rows::decode(reader, high, list)? {
                Read::All => Err(reader.invalid("rows that are not named")),
                Read::Listed => Ok(()),
            }
        };
        no_rows(reader, LEAVE, &mut parsed.leave)?;
        let is_live = |row: u32| !snapshot && held.live.has(row as usize);
        if !parsed.leave.iter().all(|row| is_live(*row)) {
            return Err(reader.invalid("a free row is left"));
        }
        let mut reasons = BitReader::new(reader.take(parsed.leave.len().div_ceil(8))?);
        parsed.destroyed.clear();
        parsed.destroyed.extend(parsed.leave.iter().map(|_| reasons.take(1) == 1));
        no_rows(reader, ENTER, &mut parsed.enter)?;
        let is_left = |row: u32| parsed.leave.binary_search(&row).is_ok();
        if parsed.enter.iter().any(|row| is_live(*row) && !is_left(*row)) {
            return Err(reader.invalid(NOT_FREE));
        }
        parsed.entities.clear();
        let mut expected = 0_i64;
        for _ in 0..parsed.enter.len() {
            let entity = expected.wrapping_add(unzigzag(reader.varint()?));
            let is_entity = (0..1 << 53).contains(&entity) && Entity::from_f64(entity as f64).is_ok();
            if !is_entity {
                return Err(reader.invalid("not an entity"));
            }
            parsed.entities.push(entity as u64);
            expected = entity + 1;
        }
        let components = schema.components();
        let known = if components.len() == 32 { u32::MAX } else { (1 << components.len()) - 1 };
        let mask = |reader: &mut Reader<'_>| match reader.varint()? {
            mask if mask != 0 && mask <= known.into() => Ok(mask as u32),
            _ => Err(reader.invalid("components that the schema does not have")),
        };
        parsed.masks.clear();
        while parsed.masks.len() < parsed.enter.len() {
            let value = mask(reader)?;
            let left = parsed.enter.len() - parsed.masks.len();
            let run = 1 + reader.bounded(left - 1, "more masks than entities")?;
            parsed.masks.resize(parsed.masks.len() + run, value);
        }
        no_rows(reader, REMASK, &mut parsed.remask)?;
        if !parsed.remask.iter().all(|row| is_live(*row) && !is_left(*row)) {
            return Err(reader.invalid("a row changes components that is not in view"));
        }
        parsed.new_masks.clear();
        for _ in 0..parsed.remask.len() {
            parsed.new_masks.push(mask(reader)?);
        }
        let changed = reader.varint()?;
        if changed & !u64::from(known) != 0 {
            return Err(reader.invalid("changes of components that the schema does not have"));
        }
        // Rows that gain each component: those that enter and those with other masks, ascending.
        for part in &mut parsed.components {
            part.gained.clear();
        }
        let entering = parsed.enter.iter().zip(&parsed.masks).map(|(row, mask)| (*row, *mask));
        let remasked = parsed.remask.iter().zip(&parsed.new_masks);
        let remasked = remasked.map(|(row, mask)| (*row, mask & !held.masks[*row as usize]));
        for (row, mask) in entering.chain(remasked) {
            bits(mask).for_each(|component| parsed.components[component].gained.push(row));
        }
        let has_remasked = !parsed.remask.is_empty();
        for (component, part) in parsed.components.iter_mut().enumerate() {
            if has_remasked {
                part.gained.sort_unstable();
            }
            for (start, velocity) in part.starts.iter_mut().zip(&mut part.velocities) {
                start.decode(reader, part.gained.len())?;
                if let Some(velocity) = velocity.as_mut().filter(|_| snapshot) {
                    velocity.decode(reader, part.gained.len())?;
                }
            }
            part.is_changed = changed >> component & 1 != 0;
            part.is_full = false;
            part.changed.clear();
            if !part.is_changed {
                continue;
            }
            let has = &held.has[component];
            let is_gained = |row: u32| !part.gained.is_empty() && part.gained.binary_search(&row).is_ok();
            let loses = |row: u32| match parsed.remask.binary_search(&row) {
                Ok(at) => parsed.new_masks[at] >> component & 1 == 0,
                Err(_) => is_left(row),
            };
            let stays = |row: u32| !snapshot && has.has(row as usize) && !loses(row) && !is_gained(row);
            let count = match rows::decode(reader, high, &mut part.changed)? {
                Read::All
                    if !snapshot
                        && parsed.leave.is_empty()
                        && !has_remasked
                        && part.gained.is_empty()
                        && has.is_full(high) =>
                {
                    part.is_full = true;
                    high
                }
                Read::All => {
                    if !snapshot {
                        has.for_each(|row| {
                            if stays(row as u32) {
                                part.changed.push(row as u32);
                            }
                        });
                    }
                    part.changed.len()
                }
                Read::Listed if part.changed.iter().all(|row| stays(*row)) => part.changed.len(),
                Read::Listed => return Err(reader.invalid("a row changes that lacks the component")),
            };
            for difference in &mut part.differences {
                difference.decode(reader, count)?;
            }
        }
        Ok(())
    }

    /// Takes in what was parsed; nothing of it can fail.
    fn commit(&mut self, snapshot: bool) {
        let ViewWorld { schema, parsed, held, values, added, removed, changed, .. } = self;
        added.clear();
        removed.clear();
        let entity = |bits: u64| Entity::from_f64(bits as f64);
        let gone = |held: &Held, row: u32, why: Gone| {
            entity(held.entities[row as usize]).ok().map(|entity| Removed { entity, row, why })
        };
        if snapshot {
            held.live.for_each(|row| removed.extend(gone(held, row as u32, Gone::Unknown)));
            held.clear();
        }
        for (row, destroyed) in parsed.leave.iter().zip(&parsed.destroyed) {
            removed.extend(gone(held, *row, if *destroyed { Gone::Destroyed } else { Gone::LeftView }));
            held.leave(*row as usize);
        }
        held.grow(parsed.high);
        let high = held.high();
        values.iter_mut().flatten().for_each(|values| values.grow(high));
        for ((row, entity), mask) in parsed.enter.iter().zip(&parsed.entities).zip(&parsed.masks) {
            held.enter(*row as usize, *entity, *mask);
        }
        added.extend_from_slice(&parsed.enter);
        for (row, mask) in parsed.remask.iter().zip(&parsed.new_masks) {
            held.set_mask(*row as usize, *mask);
        }
        if snapshot {
            // Who was there before and is there again was not removed.
            removed.retain(|gone| {
                let now = held.entities.get(gone.row as usize);
                now.is_none_or(|now| *now != gone.entity.to_bits())
            });
        }
        for (component, part) in parsed.components.iter().enumerate() {
            let changed = &mut changed[component];
            changed.clear();
            changed.grow(high);
            part.gained.iter().chain(&part.changed).for_each(|row| changed.set(*row as usize));
            if part.is_full {
                changed.set_first(high);
            }
            for (field, schema) in schema.components()[component].fields.iter().enumerate() {
                let (codes, values) = (&mut held.columns[component][field], &mut values[component][field]);
                match (&mut *codes, &part.starts[field], &part.differences[field]) {
                    (Codes::Narrow(column), Part::Narrow(starts), Part::Narrow(differences)) => {
                        take_in(column, part, starts, differences);
                    }
                    (Codes::Wide(column), Part::Wide(starts), Part::Wide(differences)) => {
                        take_in(column, part, starts, differences);
                    }
                    _ => unreachable!("all are made by the schema"),
                }
                match (&mut *codes, &part.velocities[field]) {
                    (Codes::Narrow(column), Some(Part::Narrow(by))) if snapshot => set(&mut column.velocity, part, by),
                    (Codes::Wide(column), Some(Part::Wide(by))) if snapshot => set(&mut column.velocity, part, by),
                    _ => {}
                }
                values.follow(schema, codes, &Rows::Listed(&part.gained));
                if part.is_changed {
                    let rows = if part.is_full { Rows::First(high) } else { Rows::Listed(&part.changed) };
                    values.follow(schema, codes, &rows);
                }
            }
        }
    }
}

fn take_in<W: pack::Word>(column: &mut crate::held::Column<W>, part: &ComponentPart, starts: &[W], differences: &[W]) {
    set(&mut column.codes, part, starts);
    if part.is_full {
        column.follow_all(differences);
    } else if part.is_changed {
        part.changed.iter().zip(differences).for_each(|(row, by)| column.follow(*row as usize, *by));
    }
}

/// Sets the rows that gain a component.
fn set<W: Copy>(column: &mut [W], part: &ComponentPart, values: &[W]) {
    part.gained.iter().zip(values).for_each(|(row, value)| column[*row as usize] = *value);
}
