//! Copies of chosen columns, one for each slot of the ring.
//!
//! A copy is a block of the world's memory: a column of entity handles, then the chosen columns in order, each on cache
//! lines of its own, `capacity` rows long, where [`column_offset`] says. Whoever else reads the ring finds it by the slot; see
//! [`Observer::block`](super::Observer::block).
//!
//! # Rules
//! - A block is written through `&mut Copied`, read through `&Copied`, and told to nobody else but by the slot, whose
//!   readers keep the mailbox's rules. So the borrow of the slot is the borrow of the bytes.

use std::{any::type_name, fmt, ptr, sync::Arc};

use peristyle_layout::{Entity, Field, Scalar, chunk::FIRST_ROWS, chunk::column_offset};
use peristyle_memory::{Block, Element, Memory, OutOfMemory};
use peristyle_world::{ComponentId, QuerySpec, QueryState, SharedWorld, World};

use super::{ObserveError, RunAheadError};
use crate::{
    FrameReport,
    context::{ColumnComponent, Tick},
    error::ScheduleError,
};

/// Bytes of what a slot says of its copy.
pub(crate) const DESCRIPTOR_BYTES: usize = 48;

/// What went wrong in a tick.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TickFailure {
    /// The frame ended with an error.
    #[error(transparent)]
    Error(ScheduleError),
    /// A system panicked, or the world was exchanged for another; this is what the panic said.
    #[error("panicked: {0}")]
    Panic(String),
    /// The tick ran, but the memory has no room for its copy, which has no rows.
    #[error("no room for a copy of the columns: {0}")]
    Copy(OutOfMemory),
}

/// Columns that were asked for.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// All of a type's.
    All(fn(&mut World) -> ComponentId),
    /// Some of a component's.
    Some(String, Vec<String>),
}

impl Choice {
    pub(crate) fn of<C: ColumnComponent>() -> Choice {
        Choice::All(World::register::<C>)
    }

    pub(crate) fn named(component: &str, fields: &[&str]) -> Choice {
        Choice::Some(component.to_owned(), fields.iter().map(|field| (*field).to_owned()).collect())
    }
}

/// A column that is copied.
#[derive(Debug)]
pub(crate) struct ChosenColumn {
    component: ComponentId,
    component_name: String,
    /// Its place among the component's columns.
    index: usize,
    field: Field,
    /// Bytes of a row of all columns of the copy before this one.
    row_bytes_before: usize,
}

/// The columns of each copy, but for that of handles.
#[derive(Debug)]
pub(crate) struct Chosen(Vec<ChosenColumn>);

impl Chosen {
    /// The number and type of a column.
    pub(crate) fn find(&self, component: &str, field: &str) -> Result<(usize, Scalar), ObserveError> {
        let is_it = |column: &ChosenColumn| column.component_name == component && column.field.name == field;
        match self.0.iter().position(is_it) {
            Some(number) => Ok((number, self.0[number].field.scalar)),
            None => Err(ObserveError::NoColumn { component: component.to_owned(), field: field.to_owned() }),
        }
    }

    /// Bytes of a row of all columns, that of handles included.
    fn row_bytes(&self) -> usize {
        self.0.last().map_or(HANDLE_BYTES, |last| last.row_bytes_before + last.field.scalar.size())
    }

    /// Where a column starts in a copy.
    fn offset(&self, number: usize, capacity: usize) -> usize {
        column_offset(capacity, self.0[number].row_bytes_before, number + 1)
    }

    /// Bytes of a copy.
    fn bytes(&self, capacity: usize) -> usize {
        column_offset(capacity, self.row_bytes(), self.0.len() + 1)
    }

    fn push(&mut self, world: &World, component: ComponentId, index: usize) -> Result<(), RunAheadError> {
        let info = world.components().info(component);
        let (component_name, field) = (info.name().to_owned(), info.fields()[index].clone());
        if self.0.iter().any(|column| (column.component, column.index) == (component, index)) {
            return Err(RunAheadError::Twice { component: component_name, field: field.name });
        }
        let row_bytes_before = self.row_bytes();
        self.0.push(ChosenColumn { component, component_name, index, field, row_bytes_before });
        Ok(())
    }
}

const HANDLE_BYTES: usize = Scalar::F64.size();

/// Makes copies.
#[derive(Debug)]
pub(crate) struct Copier {
    /// The rows that have all observed components; none if nothing is observed.
    query: Option<QueryState>,
    chosen: Arc<Chosen>,
}

impl Copier {
    pub(crate) fn new(world: &mut World, choices: &[Choice]) -> Result<Copier, RunAheadError> {
        let (mut chosen, mut all) = (Chosen(Vec::new()), Vec::new());
        for choice in choices {
            let component = match choice {
                Choice::All(register) => register(world),
                Choice::Some(name, _) => {
                    let info = world.components().by_name(name);
                    info.ok_or_else(|| RunAheadError::NoComponent(name.clone()))?.id()
                }
            };
            let info = world.components().info(component);
            if !info.is_columnar() {
                return Err(RunAheadError::Opaque(info.name().to_owned()));
            }
            match choice {
                Choice::All(_) => {
                    (0..info.fields().len()).try_for_each(|index| chosen.push(world, component, index))?;
                }
                Choice::Some(name, fields) => {
                    for field in fields {
                        let index =
                            info.fields().iter().position(|known| known.name == *field).ok_or_else(|| {
                                RunAheadError::NoField { component: name.clone(), field: field.clone() }
                            })?;
                        chosen.push(world, component, index)?;
                    }
                }
            }
            if !all.contains(&component) {
                all.push(component);
            }
        }
        let query = (!all.is_empty()).then(|| QueryState::new(world, QuerySpec { all, ..QuerySpec::default() }, None));
        Ok(Copier { query, chosen: Arc::new(chosen) })
    }

    pub(crate) fn chosen(&self) -> &Arc<Chosen> {
        &self.chosen
    }

    /// Copies the columns as they are now. Whatever ends it early, the copy has no rows then.
    ///
    /// # Panics
    /// If the world is another than it was made for.
    pub(crate) fn copy(&mut self, world: &World, to: &mut Copied) -> Result<(), OutOfMemory> {
        (to.rows, to.columns) = (0, self.chosen.0.len() + 1);
        let Some(query) = &mut self.query else { return Ok(()) };
        query.refresh(world);
        let rows = query.chunks(world).map(|chunk| chunk.rows()).sum();
        let Some(block) = to.reserve(world.memory(), rows, &self.chosen)? else { return Ok(()) };
        let (base, capacity, shared) = (block.ptr().as_ptr(), to.capacity, SharedWorld::new(world));
        let mut first = 0;
        for chunk in query.chunks(world) {
            // SAFETY: the block begins with the column of handles, which has room for `rows` of them, any bytes are `f64`s,
            // and nobody else reaches it while there is a `&mut Copied`.
            let handles = unsafe { std::slice::from_raw_parts_mut(base.cast::<f64>().add(first), chunk.rows()) };
            shared.copy_handles(chunk, handles);
            for (number, column) in self.chosen.0.iter().enumerate() {
                let from = shared.columns(chunk, column.component, 0).nth(column.index);
                let from = from.expect("the query asks for the component");
                let size = column.field.scalar.size();
                // SAFETY: the column's first `chunk.rows()` elements are in use, and nobody writes them, for there is a `&World`
                // and no tick runs. The copy's column, of the same scalar, has room for `rows` of them, and is nobody else's;
                // its block is no part of a chunk.
                unsafe {
                    let to = base.add(self.chosen.offset(number, capacity) + first * size);
                    ptr::copy_nonoverlapping(from.ptr.cast_const(), to, chunk.rows() * size);
                }
            }
            first += chunk.rows();
        }
        to.rows = rows;
        Ok(())
    }
}

/// A copy, in its slot of the ring.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    tick: Tick,
    /// None before the slot's first tick.
    outcome: Option<Result<FrameReport, TickFailure>>,
    block: Option<Block>,
    capacity: usize,
    /// Written rows.
    rows: usize,
    columns: usize,
}

impl Copied {
    /// Makes sure of a block for so many rows.
    fn reserve(&mut self, memory: &Memory, rows: usize, chosen: &Chosen) -> Result<Option<&Block>, OutOfMemory> {
        if rows > self.capacity {
            // The old one first, so that the new one may take its place.
            (self.block, self.capacity) = (None, 0);
            let capacity = rows.next_power_of_two().max(FIRST_ROWS);
            self.block = Some(memory.allocate(chosen.bytes(capacity))?);
            self.capacity = capacity;
        }
        Ok(self.block.as_ref())
    }

    /// Says which tick it is of, and how that went; gives whether it went well.
    pub(crate) fn conclude(
        &mut self,
        tick: Tick,
        outcome: Result<FrameReport, TickFailure>,
        copying: Result<(), TickFailure>,
    ) -> bool {
        self.tick = tick;
        // What failed first is told.
        let outcome = outcome.and_then(|report| copying.map(|()| report));
        let is_ok = outcome.is_ok();
        self.outcome = Some(outcome);
        is_ok
    }

    /// What the slot says of it.
    pub(crate) fn descriptor(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut out = [0; DESCRIPTOR_BYTES];
        let is_failed = !self.outcome.as_ref().is_some_and(Result::is_ok);
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.tick.number.to_le_bytes());
        put(8, &self.tick.dt.to_le_bytes());
        put(16, &self.tick.time.to_le_bytes());
        put(24, &self.block.as_ref().map_or(0, Block::offset).to_le_bytes());
        put(32, &(self.rows as u32).to_le_bytes());
        put(36, &(self.capacity as u32).to_le_bytes());
        put(40, &(self.columns as u32).to_le_bytes());
        put(44, &u32::from(is_failed).to_le_bytes());
        out
    }

    /// The first `rows` elements of a column.
    ///
    /// # Safety
    /// A column of `E` starts at `offset` of the block.
    unsafe fn elements<E: Element>(&self, offset: usize) -> &[E] {
        let Some(block) = self.block.as_ref().filter(|_| self.rows > 0) else { return &[] };
        // SAFETY: `copy` wrote the first `rows` elements of each column, every bit pattern of which is an `E`, aligned to 64
        // bytes. The block is written through `&mut self` only, so not while the result lives.
        unsafe { std::slice::from_raw_parts(block.ptr().as_ptr().add(offset).cast(), self.rows) }
    }
}

/// A tick that an observer holds: how it went, and the columns that were chosen, as they were after it.
#[derive(Clone, Copy)]
pub struct TickCopy<'a> {
    copied: &'a Copied,
    outcome: &'a Result<FrameReport, TickFailure>,
    chosen: &'a Chosen,
}

impl<'a> TickCopy<'a> {
    /// None if the slot holds no tick, which is so before it is published only.
    pub(crate) fn new(copied: &'a Copied, chosen: &'a Chosen) -> Option<TickCopy<'a>> {
        Some(TickCopy { copied, outcome: copied.outcome.as_ref()?, chosen })
    }

    /// The tick.
    pub fn tick(&self) -> Tick {
        self.copied.tick
    }

    /// What it did, or what went wrong.
    ///
    /// # Errors
    /// [`TickFailure`]; the columns are those of the world as it was left then.
    pub fn outcome(&self) -> Result<FrameReport, &'a TickFailure> {
        self.outcome.as_ref().copied()
    }

    /// Rows: entities that had all observed components.
    pub fn rows(&self) -> usize {
        self.copied.rows
    }

    /// The entities, row by row, as the integers that JavaScript and entity-valued columns hold.
    pub fn handles(&self) -> &'a [f64] {
        // SAFETY: the column of handles, which are `f64`, starts at 0.
        unsafe { self.copied.elements(0) }
    }

    /// The entity of a row; none if there is no such row.
    pub fn entity(&self, row: usize) -> Option<Entity> {
        Entity::from_f64(*self.handles().get(row)?).ok()
    }

    /// A column, row by row, by its component's name and its own flattened name.
    ///
    /// # Errors
    /// [`ObserveError::NoColumn`] if it was not chosen, [`ObserveError::WrongType`] if it holds no `E`.
    pub fn column<E: Element>(&self, component: &str, field: &str) -> Result<&'a [E], ObserveError> {
        let (number, scalar) = self.chosen.find(component, field)?;
        if scalar != E::SCALAR {
            let (component, field) = (component.to_owned(), field.to_owned());
            return Err(ObserveError::WrongType { component, field, scalar, asked: type_name::<E>() });
        }
        // SAFETY: a column of that scalar, which is `E`'s, starts there.
        Ok(unsafe { self.copied.elements(self.chosen.offset(number, self.copied.capacity)) })
    }
}

impl fmt::Debug for TickCopy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TickCopy").field("tick", &self.tick()).field("rows", &self.rows()).finish_non_exhaustive()
    }
}
