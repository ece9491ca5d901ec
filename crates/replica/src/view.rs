//! A view at its host: what it watches in the world, and the frames that it makes of that.
//!
//! A view is one consumer of the world's changes, whatever the number of its clients: what did not change is not looked
//! at. It has a dense row space of its own. Once per tick [`View::publish`] finds who entered and left, turns the changed
//! values into codes, and makes one frame, which all clients that follow share.
//!
//! # Rules
//! - `held` is what was sent; `next` is what the world was at the last publication. A row differs between the two only if
//!   its bit in `changes.changed` is set.
//! - What decides on membership (components, interest) is looked at again for an entity only when one of these changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use peristyle_memory::bits::{WORD, for_each_one};
use peristyle_world::{
    ChunkRef, ColumnReader, ColumnSlice, ComponentId, Entity, QuerySpec, QueryState, RemovalsOf, RowRef, World,
};

use crate::error::ViewError;
use crate::frame::{self, Changes, Head, Scratch};
use crate::held::{Codes, Held};
use crate::quantise::quantise;
use crate::rows::RowSet;
use crate::schema::{Coding, FieldSchema, Schema};
use crate::spec::ViewSpec;

/// No row of the view.
const NONE: u32 = u32::MAX;

/// Fields that an interest may bound.
pub(crate) const LIMITS_MAX: usize = 4;

/// Bounds on up to four fields of one component: only entities within all of them are shown. A rectangle is two of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Interest {
    component: String,
    limits: Vec<(String, f64, f64)>,
}

impl Interest {
    /// No bounds yet, on fields of this component, which must be in the view and not optional.
    pub fn on(component: &str) -> Interest {
        Interest { component: component.to_owned(), limits: Vec::new() }
    }

    /// The component.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Field, least and end of each bound.
    pub fn limits(&self) -> &[(String, f64, f64)] {
        &self.limits
    }

    /// Shows only entities whose field is at least `least` and below `end`.
    pub fn within(mut self, field: &str, least: f64, end: f64) -> Interest {
        self.limits.push((field.to_owned(), least, end));
        self
    }
}

/// An interest, found in a world.
#[derive(Debug)]
struct Bounds {
    /// Of the schema.
    component: usize,
    /// World field, least, end.
    limits: Vec<(usize, f64, f64)>,
}

/// A component as it is watched.
#[derive(Debug)]
struct Watched {
    id: ComponentId,
    /// Rows whose values changed.
    changed: QueryState,
    /// World field of each field of the schema.
    fields: Vec<usize>,
    priority: f32,
    /// Priority that waiting rows have gained.
    waiting: f32,
    /// Where the next rows come from while bytes are short.
    cursor: usize,
    /// Bits of a row, as they were last.
    row_bits: f32,
}

/// A view at its host.
#[derive(Debug)]
pub struct View {
    schema: Schema,
    spec: ViewSpec,
    watched: Vec<Watched>,
    /// All components that decide on membership, ascending, and those that must be absent.
    reads: Vec<ComponentId>,
    without: Vec<ComponentId>,
    added: Vec<QueryState>,
    removed: Vec<RemovalsOf>,
    everybody: QueryState,
    interest: Option<Bounds>,
    /// By table.
    table_masks: Vec<Option<u32>>,
    /// By entity index.
    row_of: Vec<u32>,
    /// By row: as the world is, where `held` is as it was sent.
    entities: Vec<u64>,
    masks: Vec<u32>,
    free: BinaryHeap<Reverse<u32>>,
    next: Vec<Vec<Codes>>,
    held: Held,
    changes: Changes,
    candidates: Vec<Entity>,
    must_rescan: bool,
    pieces: Vec<Piece>,
    scratch: Scratch,
    /// By component, rows that wait for the next tick because bytes are short.
    postponed: Vec<RowSet>,
    /// Components, the most urgent first.
    order: Vec<usize>,
    /// Rows that there is room for in `next` and `changes`.
    room: usize,
    /// The last tick that was published.
    tick: Option<u64>,
    frames: u64,
}

impl View {
    /// A view of a world. It shows nothing until it is first [published](View::publish).
    ///
    /// # Errors
    /// [`ViewError`]: what the spec and the world disagree on.
    pub fn new(world: &mut World, spec: ViewSpec) -> Result<View, ViewError> {
        let schema = spec.schema(world)?;
        let id = |world: &World, name: &str| {
            let info = world.components().by_name(name);
            info.map(|info| info.id()).ok_or_else(|| ViewError::Unknown(name.to_owned()))
        };
        let consumer = world.consumer();
        let mut watched = Vec::new();
        for (component, said) in schema.components().iter().zip(&spec.components) {
            let id = id(world, &component.name)?;
            let query = QuerySpec { changed: vec![id], ..QuerySpec::default() };
            let in_world = world.components().info(id).fields();
            let field = |field: &FieldSchema| in_world.iter().position(|known| known.name == field.name);
            let fields: Vec<usize> = component.fields.iter().filter_map(field).collect();
            let row_bits = component.fields.iter().map(|field| field.scalar.size() as f32 * 8.0).sum();
            watched.push(Watched {
                id,
                changed: QueryState::new(world, query, Some(consumer)),
                fields,
                priority: said.priority,
                waiting: 0.0,
                cursor: 0,
                row_bits,
            });
        }
        let without = spec.without.iter().map(|name| id(world, name)).collect::<Result<Vec<_>, _>>()?;
        let mut reads: Vec<ComponentId> = watched.iter().map(|watched| watched.id).chain(without.clone()).collect();
        reads.sort_unstable();
        let added = reads.iter().map(|id| {
            let query = QuerySpec { added: vec![*id], ..QuerySpec::default() };
            QueryState::new(world, query, Some(consumer))
        });
        let added = added.collect();
        let required = schema.components().iter().zip(&watched).filter(|(component, _)| component.required);
        let all = required.map(|(_, watched)| watched.id).collect();
        let components = watched.len();
        let mut view = View {
            removed: reads.iter().map(|id| world.removals_of(*id)).collect(),
            everybody: QueryState::new(world, QuerySpec { all, ..QuerySpec::default() }, Some(consumer)),
            held: Held::new(&schema),
            next: schema.components().iter().map(|c| c.fields.iter().map(Codes::new).collect()).collect(),
            schema,
            watched,
            reads,
            without,
            added,
            interest: None,
            table_masks: Vec::new(),
            row_of: Vec::new(),
            entities: Vec::new(),
            masks: Vec::new(),
            free: BinaryHeap::new(),
            changes: Changes::new(components),
            candidates: Vec::new(),
            must_rescan: false,
            pieces: Vec::new(),
            scratch: Scratch::default(),
            postponed: vec![RowSet::default(); components],
            order: Vec::new(),
            room: 0,
            tick: None,
            frames: 0,
            spec,
        };
        if let Some(interest) = view.spec.interest.clone() {
            view.interest = Some(view.bounds(world, &interest)?);
        }
        Ok(view)
    }

    /// What it shows.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The components whose columns it reads, ascending: what a system that publishes it declares.
    pub fn reads(&self) -> &[ComponentId] {
        &self.reads
    }

    /// Entities in view.
    pub fn len(&self) -> usize {
        self.entities.len() - self.free.len()
    }

    /// Whether nobody is in view.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last tick that was published.
    pub fn tick(&self) -> Option<u64> {
        self.tick
    }

    /// Shows other entities from the next publication on. Looks at each once.
    ///
    /// # Errors
    /// [`ViewError`]; the interest is as before then.
    pub fn set_interest(&mut self, world: &World, interest: Option<Interest>) -> Result<(), ViewError> {
        self.interest = interest.as_ref().map(|interest| self.bounds(world, interest)).transpose()?;
        self.spec.interest = interest;
        self.must_rescan = true;
        Ok(())
    }

    fn bounds(&self, world: &World, interest: &Interest) -> Result<Bounds, ViewError> {
        let unknown = || ViewError::Unknown(interest.component.clone());
        let component = self.schema.component(&interest.component).ok_or_else(unknown)?;
        if !self.schema.components()[component].required {
            return Err(ViewError::OptionalInterest(interest.component.clone()));
        }
        if interest.limits.len() > LIMITS_MAX {
            return Err(ViewError::TooManyBounds { bounds: interest.limits.len(), max: LIMITS_MAX });
        }
        let fields = world.components().info(self.watched[component].id).fields();
        let limit = |(name, least, end): &(String, f64, f64)| match fields.iter().position(|field| field.name == *name)
        {
            Some(field) => Ok((field, *least, *end)),
            None => Err(ViewError::NoField { component: interest.component.clone(), field: name.clone() }),
        };
        Ok(Bounds { component, limits: interest.limits.iter().map(limit).collect::<Result<_, _>>()? })
    }

    /// Looks at what changed in the world, and appends the frame that leads there from the last one; the first frame is a
    /// snapshot. `input` is told to the clients as the number of their last input that is in it.
    ///
    /// # Panics
    /// If the reader is not of the world that the view was made of, or may not read [`View::reads`]; if `tick` is not
    /// above the last one.
    pub fn publish(&mut self, reader: ColumnReader<'_>, tick: u64, input: Option<u64>, out: &mut Vec<u8>) {
        assert!(self.tick.is_none_or(|last| last < tick), "tick {tick} after {:?}", self.tick);
        self.changes.leave.clear();
        self.changes.enter.clear();
        self.changes.remask.clear();
        self.find_candidates(reader);
        self.place_candidates(reader);
        for component in 0..self.watched.len() {
            self.take_changes(reader, component);
        }
        let base = self.tick;
        self.frames += 1;
        let hash = self.spec.hash_every > 0 && self.frames.is_multiple_of(self.spec.hash_every);
        self.postpone();
        let View { schema, held, changes, next, scratch, .. } = self;
        frame::encode(out, schema, held, Head { tick, base, hash, input }, changes, next, scratch);
        for (changed, postponed) in self.changes.changed.iter_mut().zip(&mut self.postponed) {
            changed.clear();
            std::mem::swap(changed, postponed);
            changed.grow(self.room);
        }
        self.tick = Some(tick);
    }

    /// Appends a frame of all that was published: what a client starts with, or starts again with.
    pub fn snapshot(&self, input: Option<u64>, out: &mut Vec<u8>) {
        let mut changes = Changes::new(self.watched.len());
        let mut next: Vec<Vec<Codes>> = self.held.columns.clone();
        self.held.live.for_each(|row| {
            changes.enter.push((row as u32, self.held.entities[row], self.held.masks[row]));
        });
        next.iter_mut().flatten().for_each(|codes| codes.grow(self.held.high()));
        let mut held = Held::new(&self.schema);
        held.grow(self.held.high());
        let head = Head { tick: self.tick.unwrap_or(0), base: None, hash: self.spec.hash_every > 0, input };
        frame::encode(out, &self.schema, &mut held, head, &changes, &next, &mut Scratch::default());
    }

    /// What was sent.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// A hash of everything that was sent: equal to [`ViewWorld::hash`](crate::ViewWorld::hash) after the same frame.
    pub fn hash(&self) -> u64 {
        self.held.hash()
    }

    // Who is in view.

    /// Everybody of whom something changed that decides on being in view.
    fn find_candidates(&mut self, reader: ColumnReader<'_>) {
        let world = reader.world();
        let candidates = &mut self.candidates;
        candidates.clear();
        for removed in &mut self.removed {
            self.must_rescan |= removed.read(world.world(), |entity| candidates.push(entity)).is_err();
        }
        if self.must_rescan {
            // The log forgot who went: everybody in view is asked.
            let in_view = self.entities.iter().filter(|entity| **entity != 0);
            candidates.extend(in_view.filter_map(|entity| Entity::from_f64(*entity as f64).ok()));
        }
        for added in &mut self.added {
            added.refresh(world.world());
            for chunk in added.chunks(world.world()) {
                let indices = world.indices(chunk);
                added.for_each_pending(world.world(), chunk, |word, bits| {
                    for_each_one(bits, word * WORD, |row| candidates.push(world.world().entity(indices[row])));
                });
                added.clear(world.world(), chunk, 0..chunk.rows());
            }
        }
        self.everybody.refresh(world.world());
        if std::mem::take(&mut self.must_rescan) {
            for chunk in self.everybody.chunks(world.world()) {
                candidates.extend(world.indices(chunk).iter().map(|index| world.world().entity(*index)));
            }
        } else if let Some(bounds) = &self.interest {
            let watched = &mut self.watched[bounds.component];
            watched.changed.refresh(world.world());
            for chunk in watched.changed.chunks(world.world()) {
                let columns = bounds.columns(reader, chunk, watched.id);
                let indices = world.indices(chunk);
                watched.changed.for_each_pending(world.world(), chunk, |word, bits| {
                    for_each_one(bits, word * WORD, |row| {
                        let index = indices[row];
                        let is_shown = self.row_of.get(index as usize).is_some_and(|row| *row != NONE);
                        if bounds.contain(&columns, row) != is_shown {
                            candidates.push(world.world().entity(index));
                        }
                    });
                });
            }
        }
    }

    /// Lets each candidate in or out, or gives it other components, as the world is now.
    fn place_candidates(&mut self, reader: ColumnReader<'_>) {
        let candidates = std::mem::take(&mut self.candidates);
        for &entity in &candidates {
            let at = reader.world().row_of(entity);
            let mask = at.map_or(0, |at| self.mask(reader, at));
            let index = entity.index() as usize;
            let row = self.row_of.get(index).copied().unwrap_or(NONE);
            let is_its = row != NONE && self.entities[row as usize] == entity.to_bits();
            match (is_its, mask, at) {
                (true, 0, _) => self.leave(row, at.is_none()),
                (true, _, Some(at)) if self.masks[row as usize] != mask => {
                    let before = std::mem::replace(&mut self.masks[row as usize], mask);
                    for lost in crate::held::bits(before & !mask) {
                        self.changes.changed[lost].unset(row as usize);
                    }
                    let gained = mask & !before;
                    self.changes.remask.push((row, mask));
                    self.read_row(reader, at, row, gained);
                }
                (false, 1.., Some(at)) => {
                    if row != NONE {
                        // Another entity had this index, and nobody said yet that it is gone.
                        self.leave(row, true);
                    }
                    self.enter(reader, entity, at, mask);
                }
                _ => {}
            }
        }
        self.candidates = candidates;
        // A row that an entity left and another entered is named in both lists; within each, rows are named once.
        self.changes.leave.sort_unstable();
        self.changes.enter.sort_unstable();
        self.changes.remask.sort_unstable();
    }

    /// Which components of the view an entity shows; 0 if it is not in view.
    fn mask(&mut self, reader: ColumnReader<'_>, at: RowRef) -> u32 {
        let table = at.chunk.table_index() as usize;
        if self.table_masks.len() <= table {
            self.table_masks.resize(table + 1, None);
        }
        let mask = match self.table_masks[table] {
            Some(mask) => mask,
            None => {
                let has = reader.world().components_of(at.chunk);
                let mask = self.mask_of(has);
                self.table_masks[table] = Some(mask);
                mask
            }
        };
        match &self.interest {
            Some(bounds) if mask != 0 => {
                let columns = bounds.columns(reader, at.chunk, self.watched[bounds.component].id);
                if bounds.contain(&columns, at.row) { mask } else { 0 }
            }
            _ => mask,
        }
    }

    fn mask_of(&self, has: &[ComponentId]) -> u32 {
        let has = |id: &ComponentId| has.binary_search(id).is_ok();
        if self.without.iter().any(has) {
            return 0;
        }
        let mut mask = 0;
        for (at, (watched, component)) in self.watched.iter().zip(self.schema.components()).enumerate() {
            if has(&watched.id) {
                mask |= 1 << at;
            } else if component.required {
                return 0;
            }
        }
        mask
    }

    fn leave(&mut self, row: u32, destroyed: bool) {
        let entity = std::mem::replace(&mut self.entities[row as usize], 0);
        self.masks[row as usize] = 0;
        self.row_of[entity as u32 as usize & (peristyle_layout::INDEX_MAX as usize)] = NONE;
        self.free.push(Reverse(row));
        // Whoever entered in this very frame was never told.
        self.changes.leave.push((row, destroyed));
        self.changes.changed.iter_mut().for_each(|changed| changed.unset(row as usize));
    }

    fn enter(&mut self, reader: ColumnReader<'_>, entity: Entity, at: RowRef, mask: u32) {
        let row = match self.free.pop() {
            Some(Reverse(row)) => row,
            None => {
                let row = self.entities.len() as u32;
                self.entities.push(0);
                self.masks.push(0);
                let high = self.entities.len();
                if high > self.room {
                    // By doubling, as each growth looks at every column.
                    let room = high.next_power_of_two();
                    self.room = room;
                    self.next.iter_mut().flatten().for_each(|codes| codes.grow(room));
                    self.changes.changed.iter_mut().for_each(|changed| changed.grow(room));
                }
                row
            }
        };
        self.entities[row as usize] = entity.to_bits();
        self.masks[row as usize] = mask;
        let index = entity.index() as usize;
        if self.row_of.len() <= index {
            self.row_of.resize((index + 1).next_power_of_two(), NONE);
        }
        self.row_of[index] = row;
        self.changes.enter.push((row, entity.to_bits(), mask));
        self.read_row(reader, at, row, mask);
    }

    /// Reads the codes of a row that starts to show some components.
    fn read_row(&mut self, reader: ColumnReader<'_>, at: RowRef, row: u32, components: u32) {
        for component in crate::held::bits(components) {
            let watched = &self.watched[component];
            for (position, slice) in reader.columns(at.chunk, watched.id).enumerate() {
                let Some(field) = watched.fields.iter().position(|field| *field == position) else { continue };
                let schema = &self.schema.components()[component].fields[field];
                let mut none = RowSet::default();
                write_codes(
                    schema,
                    slice,
                    &mut self.next[component][field],
                    None,
                    &mut none,
                    &[Piece { from: at.row as u32, to: row, rows: 1 }],
                );
            }
        }
    }

    // What changed of them.

    /// Turns pending values of a component into codes.
    fn take_changes(&mut self, reader: ColumnReader<'_>, component: usize) {
        let world = reader.world();
        if self.held.high() < self.entities.len() {
            self.held.grow(self.entities.len());
        }
        let View { watched, row_of, pieces, next, held, changes, schema, .. } = self;
        let watched = &mut watched[component];
        let changed = &mut changes.changed[component];
        watched.changed.refresh(world.world());
        for chunk in watched.changed.chunks(world.world()) {
            let indices = world.indices(chunk);
            pieces.clear();
            watched.changed.for_each_pending(world.world(), chunk, |word, bits| {
                find_rows(indices, row_of, word, bits, pieces);
            });
            for (position, slice) in reader.columns(chunk, watched.id).enumerate() {
                let Some(field) = watched.fields.iter().position(|field| *field == position) else { continue };
                let (codes, sent) = (&mut next[component][field], &held.columns[component][field]);
                write_codes(&schema.components()[component].fields[field], slice, codes, Some(sent), changed, pieces);
            }
            watched.changed.clear(world.world(), chunk, 0..chunk.rows());
        }
    }

    /// Takes rows out of `changes` that do not fit the bytes of a tick.
    fn postpone(&mut self) {
        let Some(bytes) = self.spec.bytes_per_tick else { return };
        let structure = self.changes.leave.len() * 2 + self.changes.enter.len() * 8;
        let mut bits_left = (bytes.saturating_sub(structure) * 8) as f32;
        let weight = |component: &usize| self.watched[*component].priority + self.watched[*component].waiting;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..self.watched.len());
        order.sort_unstable_by(|a, b| weight(b).total_cmp(&weight(a)).then(a.cmp(b)));
        for &component in &order {
            let (watched, changed) = (&mut self.watched[component], &mut self.changes.changed[component]);
            let count = changed.count();
            // A row costs its codes, which are seldom more than half of the fields' bits, and its place.
            let row_bits = watched.row_bits / 2.0 + 8.0;
            let fit = ((bits_left / row_bits).max(0.0) as usize).min(count);
            bits_left -= fit as f32 * row_bits;
            if fit == count {
                watched.waiting = 0.0;
            } else {
                watched.cursor = changed.keep(watched.cursor, fit, &mut self.postponed[component]);
                watched.waiting += watched.priority;
            }
        }
        self.order = order;
    }
}

impl Bounds {
    /// The columns that the limits are on, in a chunk.
    fn columns<'w>(
        &self,
        reader: ColumnReader<'w>,
        chunk: ChunkRef,
        component: ComponentId,
    ) -> [Option<ColumnSlice<'w>>; LIMITS_MAX] {
        let mut columns = [None; LIMITS_MAX];
        for (column, (field, ..)) in columns.iter_mut().zip(&self.limits) {
            *column = reader.columns(chunk, component).nth(*field);
        }
        columns
    }

    fn contain(&self, columns: &[Option<ColumnSlice<'_>>; LIMITS_MAX], row: usize) -> bool {
        self.limits.iter().zip(columns).all(|((_, least, end), column)| {
            let value = column.as_ref().map_or(f64::NAN, |column| value_at(column, row));
            value >= *least && value < *end
        })
    }
}

/// A value as a float, for comparison.
fn value_at(column: &ColumnSlice<'_>, row: usize) -> f64 {
    match column {
        ColumnSlice::F32(values) => values[row].into(),
        ColumnSlice::F64(values) => values[row],
        ColumnSlice::I8(values) => values[row].into(),
        ColumnSlice::U8(values) | ColumnSlice::Bool(values) => values[row].into(),
        ColumnSlice::I16(values) => values[row].into(),
        ColumnSlice::U16(values) => values[row].into(),
        ColumnSlice::I32(values) => values[row].into(),
        ColumnSlice::U32(values) => values[row].into(),
        ColumnSlice::I64(values) => values[row] as f64,
        ColumnSlice::U64(values) => values[row] as f64,
    }
}

/// Whether each number is one more than the one before.
#[inline]
fn is_run(numbers: &[u32; WORD]) -> bool {
    // All of them, with no early end: so the loop is compiled to vector instructions.
    let differences = numbers.iter().zip(0..).map(|(number, at)| number.wrapping_sub(at) ^ numbers[0]);
    differences.fold(0, |all, difference| all | difference) == 0
}

/// Changed rows of a chunk that lie together in the view too, at most as many as a word has.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// The first one's row in the chunk.
    from: u32,
    /// Its row in the view.
    to: u32,
    rows: u32,
}

/// Sorts the changed rows of a word into pieces.
#[inline]
fn find_rows(indices: &[u32], row_of: &[u32], word: usize, bits: u64, pieces: &mut Vec<Piece>) {
    let first = word * WORD;
    let row = |index: u32| row_of.get(index as usize).copied().unwrap_or(NONE);
    if bits == u64::MAX
        && let Some(block) = indices[first..].first_chunk::<WORD>()
        && let start = row(block[0])
        && start != NONE
    {
        // Entities that were spawned together lie together: then no row has to be looked up one by one.
        let rows = row_of[block[0] as usize..].first_chunk::<WORD>().filter(|_| is_run(block));
        let is_block = match rows {
            Some(rows) => is_run(rows),
            None => block.iter().zip(0..).all(|(index, offset)| row(*index) == start.wrapping_add(offset)),
        };
        if is_block {
            return pieces.push(Piece { from: first as u32, to: start, rows: WORD as u32 });
        }
    }
    // Where some have come and gone, neighbours are neighbours still, mostly.
    let mut piece = Piece { from: 0, to: 0, rows: 0 };
    for_each_one(bits, first, |at| {
        let (at, row) = (at as u32, row(indices[at]));
        if piece.rows > 0 && at == piece.from + piece.rows && row == piece.to.wrapping_add(piece.rows) {
            piece.rows += 1;
            return;
        }
        if piece.rows > 0 {
            pieces.push(piece);
        }
        piece = Piece { from: at, to: row, rows: u32::from(row != NONE) };
    });
    if piece.rows > 0 {
        pieces.push(piece);
    }
}

/// Writes the codes of some rows to `next`, and sets the bits of those that differ from what was sent.
fn write_codes(
    field: &FieldSchema,
    values: ColumnSlice<'_>,
    next: &mut Codes,
    sent: Option<&Codes>,
    changed: &mut RowSet,
    pieces: &[Piece],
) {
    macro_rules! write {
        ($width:ident, $values:expr, $code:expr) => {{
            let Codes::$width(next) = next else { unreachable!("made by the schema") };
            let sent = sent.map(|sent| match sent {
                Codes::$width(sent) => sent.codes.as_slice(),
                _ => unreachable!("made by the schema"),
            });
            write_rows($values, &mut next.codes, sent, changed, pieces, $code)
        }};
    }
    match (values, field.coding) {
        (ColumnSlice::F32(values), Coding::Quantised { step }) => {
            let inverse = 1.0 / step;
            write!(Narrow, values, |value: f32| quantise(value.into(), inverse))
        }
        (ColumnSlice::F64(values), Coding::Quantised { step }) => {
            let inverse = 1.0 / step;
            write!(Narrow, values, |value: f64| quantise(value, inverse))
        }
        (ColumnSlice::F32(values), _) => write!(Narrow, values, f32::to_bits),
        (ColumnSlice::F64(values), _) => write!(Wide, values, f64::to_bits),
        (ColumnSlice::I8(values), _) => write!(Narrow, values, |value: i8| value as u32),
        (ColumnSlice::U8(values), _) => write!(Narrow, values, u32::from),
        (ColumnSlice::Bool(values), _) => write!(Narrow, values, |value: u8| u32::from(value != 0)),
        (ColumnSlice::I16(values), _) => write!(Narrow, values, |value: i16| value as u32),
        (ColumnSlice::U16(values), _) => write!(Narrow, values, u32::from),
        (ColumnSlice::I32(values), _) => write!(Narrow, values, |value: i32| value as u32),
        (ColumnSlice::U32(values), _) => write!(Narrow, values, |value| value),
        (ColumnSlice::I64(values), _) => write!(Wide, values, |value: i64| value as u64),
        (ColumnSlice::U64(values), _) => write!(Wide, values, |value| value),
    }
}

#[inline(always)]
fn write_rows<T: Copy, W: crate::pack::Word>(
    values: &[T],
    next: &mut [W],
    sent: Option<&[W]>,
    changed: &mut RowSet,
    pieces: &[Piece],
    code: impl Fn(T) -> W,
) {
    for &Piece { from, to, rows } in pieces {
        let (from, to, rows) = (from as usize, to as usize, rows as usize);
        let (values, next) = (&values[from..from + rows], &mut next[to..to + rows]);
        next.iter_mut().zip(values).for_each(|(next, value)| *next = code(*value));
        let Some(sent) = sent else { continue };
        let pairs = next.iter().zip(&sent[to..to + rows]);
        if rows < WORD {
            changed
                .set_bits(to, pairs.zip(0..).fold(0, |bits, ((next, sent), at)| bits | u64::from(next != sent) << at));
        } else if pairs.fold(W::default(), |all, (next, sent)| all.or(next.xor(*sent))) != W::default() {
            changed.set_block(to);
        }
    }
}
