//! A frame: what one tick changed in a view, or all of it.
//!
//! ```text
//! u8 magic, u8 version, u8 kind = 1, u32 low half of the schema's hash
//! u8 flags: 1 snapshot, 2 hash, 4 rows leave, 8 rows enter, 16 rows change components, 32 input
//! varint tick
//! varint tick - base                    unless it is a snapshot: what the frame builds on
//! u64 hash                              if flagged: of the columns after the frame
//! varint input                          if flagged: the number of the last input of the client that is in it
//! varint rows                           all rows are below
//! leave: rows, then a bit for each: 1 destroyed, 0 left the view; padded to a byte
//! enter: rows, then for each its entity: zigzag varint of the difference to the one before + 1,
//!        then masks: until all rows have one: varint mask, varint rows - 1
//! change components: rows, then for each varint mask
//! varint components with changed rows   bit i is component i of the schema
//! for each component of the schema:
//!   if rows gained it (by entering or by their new mask): for each field a column of its codes, and in a snapshot, if it is
//!     predicted linearly, a column of the last differences
//!   if rows changed: rows (all: those that have it and did not gain it), then for each field a column of differences
//! ```
//!
//! Leaving comes before entering, so that a row may be left and entered in one frame. A snapshot starts from no rows.
//! Sets of rows and columns are in the form of `rows` and `pack`.

use crate::bytes::{BitWriter, put_varint, zigzag};
use crate::held::{Codes, Column, Held, bits};
use crate::pack::{self, Word};
use crate::rows::{self, RowSet};
use crate::schema::{KIND_FRAME, MAGIC, Schema, VERSION};

pub(crate) const SNAPSHOT: u8 = 1;
pub(crate) const HASH: u8 = 2;
pub(crate) const LEAVE: u8 = 4;
pub(crate) const ENTER: u8 = 8;
pub(crate) const REMASK: u8 = 16;
pub(crate) const INPUT: u8 = 32;
pub(crate) const FLAGS: u8 = 63;

/// What a frame says beside its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) tick: u64,
    /// What it builds on; none for a snapshot.
    pub(crate) base: Option<u64>,
    pub(crate) hash: bool,
    pub(crate) input: Option<u64>,
}

/// What changed in a view since a frame.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    /// Rows that leave, and whether their entity was destroyed.
    pub(crate) leave: Vec<(u32, bool)>,
    /// Rows that enter, with entity and mask.
    pub(crate) enter: Vec<(u32, u64, u32)>,
    /// Rows whose components change, with their mask.
    pub(crate) remask: Vec<(u32, u32)>,
    /// By component, the rows with other codes; rows that gain it may be among them.
    pub(crate) changed: Vec<RowSet>,
}

impl Changes {
    pub(crate) fn new(components: usize) -> Changes {
        Changes { changed: vec![RowSet::default(); components], ..Changes::default() }
    }
}

/// Buffers of an encoder, kept for their capacity.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    set: RowSet,
    gained: Vec<RowSet>,
    all: RowSet,
    narrow: Vec<u32>,
    wide: Vec<u64>,
}

/// Differences of either width go through the buffer of theirs.
trait Buffer: Word {
    fn of(scratch: &mut Scratch) -> &mut Vec<Self>;
}
impl Buffer for u32 {
    fn of(scratch: &mut Scratch) -> &mut Vec<u32> {
        &mut scratch.narrow
    }
}
impl Buffer for u64 {
    fn of(scratch: &mut Scratch) -> &mut Vec<u64> {
        &mut scratch.wide
    }
}

/// The codes that a frame goes to, by component and field.
pub(crate) type Next = [Vec<Codes>];

/// Appends a frame, and moves `held` on to where it leads. Rows in `changes` ascend within their lists.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    schema: &Schema,
    held: &mut Held,
    head: Head,
    changes: &Changes,
    next: &Next,
    scratch: &mut Scratch,
) {
    let Head { tick, base, hash, input } = head;
    out.extend_from_slice(&[MAGIC, VERSION, KIND_FRAME]);
    out.extend_from_slice(&(schema.hash() as u32).to_le_bytes());
    let flags = [
        (SNAPSHOT, base.is_none()),
        (HASH, hash),
        (LEAVE, !changes.leave.is_empty()),
        (ENTER, !changes.enter.is_empty()),
        (REMASK, !changes.remask.is_empty()),
        (INPUT, input.is_some()),
    ];
    let flags = flags.iter().fold(0, |flags, (flag, is_set)| if *is_set { flags | flag } else { flags });
    out.push(flags);
    put_varint(out, tick);
    if let Some(base) = base {
        put_varint(out, tick - base);
    }
    let hash_at = out.len();
    if hash {
        out.extend_from_slice(&[0; 8]);
    }
    if let Some(input) = input {
        put_varint(out, input);
    }
    let high = held.high();
    put_varint(out, high as u64);
    let components = schema.components().len();
    scratch.gained.resize(components, RowSet::default());
    for gained in &mut scratch.gained {
        gained.clear();
        gained.grow(high);
    }
    scratch.set.grow(high);
    encode_structure(out, held, changes, high, scratch);

    let has_changed = |component: &usize| changes.changed[*component].exceeds(&scratch.gained[*component]);
    let changed = (0..components).filter(has_changed).fold(0_u32, |mask, component| mask | 1 << component);
    put_varint(out, changed.into());
    for component in 0..components {
        let gained = std::mem::take(&mut scratch.gained[component]);
        let fields = &schema.components()[component].fields;
        let columns = fields.iter().zip(&mut held.columns[component]).zip(&next[component]);
        if !gained.is_empty() {
            for ((field, codes), next) in columns {
                match (codes, next) {
                    (Codes::Narrow(codes), Codes::Narrow(next)) => {
                        start(out, codes, next, &gained, base.is_none(), field.is_bits(), scratch);
                    }
                    (Codes::Wide(codes), Codes::Wide(next)) => {
                        start(out, codes, next, &gained, base.is_none(), field.is_bits(), scratch);
                    }
                    _ => unreachable!("both are made by the schema"),
                }
            }
        }
        if changed >> component & 1 != 0 {
            let (all, set) = (&mut scratch.all, &mut scratch.set);
            all.assign_difference(&held.has[component], &gained);
            set.assign_difference(&changes.changed[component], &gained);
            rows::encode(out, set, Some(all), high);
            let set = std::mem::take(&mut scratch.set);
            let columns = fields.iter().zip(&mut held.columns[component]).zip(&next[component]);
            for ((field, codes), next) in columns {
                match (codes, next) {
                    (Codes::Narrow(codes), Codes::Narrow(next)) => {
                        advance(out, codes, &next.codes, &set, high, field.is_bits(), scratch);
                    }
                    (Codes::Wide(codes), Codes::Wide(next)) => {
                        advance(out, codes, &next.codes, &set, high, field.is_bits(), scratch);
                    }
                    _ => unreachable!("both are made by the schema"),
                }
            }
            scratch.set = set;
        }
        scratch.gained[component] = gained;
    }
    if hash {
        out[hash_at..hash_at + 8].copy_from_slice(&held.hash().to_le_bytes());
    }
}

/// Who leaves, enters and changes components.
fn encode_structure(out: &mut Vec<u8>, held: &mut Held, changes: &Changes, high: usize, scratch: &mut Scratch) {
    let Scratch { set, gained, .. } = scratch;
    let mut encode_rows = |out: &mut Vec<u8>, rows: &mut dyn Iterator<Item = u32>| {
        set.clear();
        rows.for_each(|row| set.set(row as usize));
        rows::encode(out, set, None, high);
    };
    if !changes.leave.is_empty() {
        encode_rows(out, &mut changes.leave.iter().map(|(row, _)| *row));
        let mut reasons = BitWriter::new(out);
        changes.leave.iter().for_each(|(_, destroyed)| reasons.put(u64::from(*destroyed), 1));
        reasons.finish();
        changes.leave.iter().for_each(|(row, _)| held.leave(*row as usize));
    }
    if !changes.enter.is_empty() {
        encode_rows(out, &mut changes.enter.iter().map(|(row, ..)| *row));
        let mut expected = 0;
        for (_, entity, _) in &changes.enter {
            put_varint(out, zigzag((*entity as i64).wrapping_sub(expected)));
            expected = *entity as i64 + 1;
        }
        for run in changes.enter.chunk_by(|a, b| a.2 == b.2) {
            put_varint(out, run[0].2.into());
            put_varint(out, run.len() as u64 - 1);
        }
        for (row, entity, mask) in &changes.enter {
            held.enter(*row as usize, *entity, *mask);
            bits(*mask).for_each(|component| gained[component].set(*row as usize));
        }
    }
    if !changes.remask.is_empty() {
        encode_rows(out, &mut changes.remask.iter().map(|(row, _)| *row));
        for (row, mask) in &changes.remask {
            put_varint(out, (*mask).into());
            let new = mask & !held.masks[*row as usize];
            bits(new).for_each(|component| gained[component].set(*row as usize));
            held.set_mask(*row as usize, *mask);
        }
    }
}

/// Appends the codes of rows that start, and holds them; in a snapshot with how they were moving.
fn start<W: Buffer>(
    out: &mut Vec<u8>,
    codes: &mut Column<W>,
    next: &Column<W>,
    rows: &RowSet,
    is_snapshot: bool,
    is_bits: bool,
    scratch: &mut Scratch,
) {
    let buffer = W::of(scratch);
    buffer.clear();
    rows.for_each(|row| {
        buffer.push(next.codes[row]);
        codes.codes[row] = next.codes[row];
    });
    pack::encode(out, buffer, is_bits);
    if is_snapshot && !codes.velocity.is_empty() {
        buffer.clear();
        rows.for_each(|row| {
            buffer.push(next.velocity[row]);
            codes.velocity[row] = next.velocity[row];
        });
        pack::encode(out, buffer, false);
    }
}

/// Appends the differences of rows that change, and moves them on.
fn advance<W: Buffer>(
    out: &mut Vec<u8>,
    codes: &mut Column<W>,
    next: &[W],
    rows: &RowSet,
    high: usize,
    is_bits: bool,
    scratch: &mut Scratch,
) {
    let buffer = W::of(scratch);
    codes.advance(rows, high, next, buffer);
    pack::encode(out, buffer, is_bits);
}
