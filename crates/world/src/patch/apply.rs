//! Applying changes: those of patches, and those of commands that remove and despawn.
//!
//! A change of values is carried out at once. A structural change whose outcome is known beforehand waits in a [`Bin`] with
//! others of its kind, component and table, until something else depends on it; then the bin's rows move together. What
//! others can see of it (the log of removals, the order in which indices are freed) is done in order of the changes.
//!
//! # Rules
//! - An entity in a bin is *held*: whatever names it next empties all bins first. So each is in one bin at most.
//! - Room for what is in bins was made when it got there; emptying them cannot fail.
//! - Whatever calls foreign code (observers, drops of opaque values) or touches families goes alone.

use std::ops::Range;

use peristyle_layout::{Entity, PatchBuffer, PatchKind, PatchRecord, chunk::CHUNK_ROWS, patch::HEADER_BYTES};
use peristyle_memory::bits;

use super::{
    PatchError, PatchReport,
    plan::{Plan, copy_value},
};
use crate::{
    commands::Mapping,
    component::ComponentId,
    entities::Place,
    error::WorldError,
    hierarchy::Parent,
    put::Addition,
    table::{Scratch, TableId},
    world::{BundleInfo, World},
};

/// Bins at once; more kinds of moves than this empty them. Each patch looks for its bin among these.
const BINS_MAX: usize = 32;
/// Moves below which rows go one by one, for looking up two tables costs as much as some rows; and so many more for each
/// [`CHUNKS_PER_ROW`] chunks whose blocks are looked up.
const GROUP_MIN: usize = 4;
const CHUNKS_PER_ROW: usize = 8;

/// Records, and what is known of the handles in them.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The records of all buffers that are applied together: bins outlive the borders between buffers, which depend on how
    /// work was divided.
    pub(crate) all: &'a [PatchBuffer],
    /// Which of them is applied now.
    pub(crate) current: usize,
    /// Provisional handles of this merge.
    pub(crate) mapping: Option<&'a Mapping>,
    /// The number of the command buffer.
    pub(crate) buffer: u32,
}

impl<'a> Source<'a> {
    /// The records that are applied now.
    #[inline(always)]
    fn records(&self) -> &'a PatchBuffer {
        &self.all[self.current]
    }

    #[inline]
    fn resolve(&self, entity: Entity) -> Entity {
        self.mapping.map_or(entity, |mapping| mapping.resolve(entity))
    }
}

/// A structural change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The packed value lies at this offset of the source.
    Add(ComponentId, usize),
    Remove(ComponentId),
    Destroy,
}

impl Change {
    fn key(self) -> (PatchKind, ComponentId) {
        match self {
            Change::Add(component, _) => (PatchKind::Add, component),
            Change::Remove(component) => (PatchKind::Remove, component),
            Change::Destroy => (PatchKind::Destroy, ComponentId(0)),
        }
    }
}

/// One held entity.
#[derive(Debug, Clone, Copy)]
struct Held {
    index: u32,
    /// Where its value lies: which records, and the byte there.
    source: u32,
    value: usize,
}

impl Held {
    /// Some bytes of its value.
    #[inline(always)]
    fn value<'a>(self, source: &Source<'a>, at: usize, bytes: usize) -> &'a [u8] {
        &source.all[self.source as usize].bytes()[self.value + at..][..bytes]
    }
}

/// Changes of one kind and component for entities of one table.
#[derive(Debug)]
struct Bin {
    kind: PatchKind,
    component: ComponentId,
    from: TableId,
    /// The table to which rows move; `from` if they go.
    to: TableId,
    held: Vec<Held>,
    /// Rows that it may still take without another look at what the table has room for.
    room: usize,
}

impl Bin {
    /// The room of a bin before anybody looked: rows that go need none.
    fn endless(&self) -> usize {
        if self.kind == PatchKind::Destroy { usize::MAX } else { 0 }
    }
}

/// What changes are applied with. All of it is empty between calls, and kept for its storage.
#[derive(Debug, Default)]
pub(crate) struct Patcher {
    /// By component.
    plans: Vec<Option<Plan>>,
    bins: Vec<Bin>,
    /// Bins in use.
    used: usize,
    /// The bin that was looked for last, by kind.
    last: [usize; 5],
    /// Bits by entity index.
    held: Vec<u64>,
    /// Entities of bins that go, in order of the changes.
    destroyed: Vec<Entity>,
    rows: Vec<u32>,
    scratch: Scratch,
}

/// A packed value for one entity.
struct PackedAddition<'a> {
    plan: &'a Plan,
    value: &'a [u8],
}

// SAFETY: a plan writes its component's fields, all of them.
unsafe impl Addition for PackedAddition<'_> {
    fn number(&self) -> u32 {
        !self.plan.component.0
    }
    fn components<'w>(&'w self, _: &'w [BundleInfo]) -> &'w [ComponentId] {
        std::slice::from_ref(&self.plan.component)
    }
    unsafe fn write(self, world: &World, place: Place) {
        let chunk = world.tables.chunk(place.chunk);
        let table = world.tables.table(chunk.table);
        let column = table.column(self.plan.component).expect("the table has the component");
        // SAFETY: the caller's duty.
        unsafe { self.plan.write(table.base(chunk, column), place.row as usize, self.value) };
    }
}

impl Patcher {
    /// Applies the records of a range of a source. `index` counts patches, for reports.
    pub(crate) fn apply(
        &mut self,
        world: &mut World,
        source: &Source<'_>,
        range: Range<usize>,
        index: &mut usize,
        report: &mut PatchReport,
    ) {
        let records = source.records();
        let (mut offset, mut number, mut usual) = (range.start, *index, 0);
        while offset < range.end {
            let Some((record, next)) = records.record_at(offset) else { break };
            if self.try_usual(world, source, &record, offset) {
                usual += 1;
            } else {
                self.unusual(world, source, &record, offset, number, report);
            }
            number += 1;
            offset = next;
        }
        report.applied += usual;
        *index = number;
    }

    // Not inlined: what is rare would take registers from what is not.
    #[inline(never)]
    fn unusual(
        &mut self,
        world: &mut World,
        source: &Source<'_>,
        record: &PatchRecord<'_>,
        offset: usize,
        number: usize,
        report: &mut PatchReport,
    ) {
        let result = self.record(world, source, record, offset);
        report.count(source.buffer, number, result);
    }

    /// Applies a patch if it is as most are: a value that is there is written, or a row joins a bin that there is. False if
    /// it is another, to which nothing was done.
    #[inline(always)]
    fn try_usual(&mut self, world: &mut World, source: &Source<'_>, record: &PatchRecord<'_>, offset: usize) -> bool {
        let (kind, entity) = (record.kind, record.entity);
        if entity.is_provisional() || self.is_held(entity.index()) {
            return false;
        }
        let Some(place) = world.entities.find(entity) else { return false };
        if kind.has_value() {
            let Some(Some(plan)) = self.plans.get(record.component as usize) else { return false };
            if !plan.is_plain(record.value, source.mapping.is_some()) {
                return false;
            }
            if let Some(base) = world.tables.reached(plan.reach, place.chunk) {
                if let Some(component) = world.tables.is_tracked(plan.reach)
                    && let Some(at) = world.find(entity, component)
                {
                    at.mark(None);
                }
                // SAFETY: the row is in use, the base is the component's in its chunk, and the world is borrowed mutably.
                unsafe { plan.write(base, place.row as usize, record.value.bytes()) };
                return true;
            }
            if kind == PatchKind::Set {
                return false;
            }
        }
        // No chunk has the number of an entity without a row.
        let Some(chunk) = world.tables.get_chunk(place.chunk) else { return false };
        let (last, component) = (self.last[kind as usize], ComponentId(record.component));
        let is_same = |bin: &Bin| (bin.kind, bin.component, bin.from) == (kind, component, chunk.table);
        let bins = &mut self.bins[..self.used];
        let bin = if bins.get(last).is_some_and(is_same) { Some(last) } else { bins.iter().position(is_same) };
        let Some(bin) = bin.filter(|bin| bins[*bin].room > 0) else { return false };
        bins[bin].room -= 1;
        self.hold(world, source, bin, entity, offset + HEADER_BYTES);
        true
    }

    /// What is known of a component.
    #[inline]
    pub(crate) fn plan(&mut self, world: &mut World, component: u32) -> Result<&Plan, PatchError> {
        let at = component as usize;
        if self.plans.get(at).is_none_or(Option::is_none) {
            if at >= world.components.iter().len() {
                return Err(PatchError::UnknownComponent(component));
            }
            self.plans.resize_with(self.plans.len().max(at + 1), || None);
            self.plans[at] = Some(Plan::new(world, ComponentId(component)));
        }
        Ok(self.plans[at].as_ref().expect("made above"))
    }

    #[inline]
    fn record(
        &mut self,
        world: &mut World,
        source: &Source<'_>,
        record: &PatchRecord<'_>,
        offset: usize,
    ) -> Result<(), PatchError> {
        let entity = source.resolve(record.entity);
        if record.kind == PatchKind::Destroy {
            return Ok(self.change(world, source, entity, Change::Destroy)?);
        }
        let plan = self.plan(world, record.component)?;
        plan.check(world)?;
        let component = plan.component;
        if record.kind == PatchKind::Remove {
            return Ok(self.change(world, source, entity, Change::Remove(component))?);
        }
        let value = plan.check_value(world, record.value)?;
        if !plan.is_columnar() {
            self.flush(world, source);
            return world.patch_opaque(entity, component, record);
        }
        let mapped = match source.mapping {
            Some(mapping) => plan.remapped(value, |entity| mapping.resolve(entity)),
            None => None,
        };
        self.settle(world, source, entity);
        let place = world.entities.place(entity)?;
        let plan = self.plans[component.0 as usize].as_ref().expect("found above");
        let now = mapped.as_deref().unwrap_or(value);
        if let Some(base) = world.tables.reached(plan.reach, place.chunk) {
            if world.tables.is_tracked(plan.reach).is_some()
                && let Some(at) = world.find(entity, component)
            {
                at.mark(None);
            }
            // SAFETY: the row is in use, the base is the component's in its chunk, and the world is borrowed mutably.
            unsafe { plan.write(base, place.row as usize, now) };
            return Ok(());
        }
        if record.kind == PatchKind::Set {
            return Err(world.missing(entity, component).into());
        }
        if let Some(mapped) = &mapped {
            self.flush(world, source);
            let plan = self.plans[component.0 as usize].as_ref().expect("found above");
            return Ok(world.put(entity, PackedAddition { plan, value: mapped })?);
        }
        let value = offset + HEADER_BYTES;
        Ok(self.change_at(world, source, entity, place, Change::Add(component, value))?)
    }

    /// Carries out a structural change, or holds it back.
    ///
    /// # Errors
    /// As the world's own functions.
    #[inline]
    pub(crate) fn change(
        &mut self,
        world: &mut World,
        source: &Source<'_>,
        entity: Entity,
        change: Change,
    ) -> Result<(), WorldError> {
        self.settle(world, source, entity);
        let place = world.entities.place(entity)?;
        self.change_at(world, source, entity, place, change)
    }

    /// Whether a bin holds an entity.
    #[inline(always)]
    fn is_held(&self, index: u32) -> bool {
        let (word, bit) = (index as usize / bits::WORD, index as usize % bits::WORD);
        self.held.get(word).is_some_and(|word| word >> bit & 1 != 0)
    }

    /// Empties the bins if one holds the entity.
    #[inline]
    fn settle(&mut self, world: &mut World, source: &Source<'_>, entity: Entity) {
        if self.is_held(entity.index()) {
            self.flush(world, source);
        }
    }

    #[inline]
    fn change_at(
        &mut self,
        world: &mut World,
        source: &Source<'_>,
        entity: Entity,
        place: Place,
        change: Change,
    ) -> Result<(), WorldError> {
        let from = world.tables.chunk(place.chunk).table;
        let Some(bin) = self.bin(world, source, from, change) else {
            self.flush(world, source);
            return self.alone(world, source, entity, change);
        };
        self.hold(world, source, bin, entity, if let Change::Add(_, value) = change { value } else { 0 });
        Ok(())
    }

    /// Puts an entity into a bin with room, and does what others can see of it.
    #[inline(always)]
    fn hold(&mut self, world: &mut World, source: &Source<'_>, bin: usize, entity: Entity, value: usize) {
        let index = entity.index();
        let (word, bit) = (index as usize / bits::WORD, index as usize % bits::WORD);
        if self.held.len() <= word {
            self.held.resize(word + 1, 0);
        }
        self.held[word] |= 1 << bit;
        let Bin { kind, component, from, held, .. } = &mut self.bins[bin];
        held.push(Held { index, source: source.current as u32, value });
        if *kind == PatchKind::Destroy {
            self.destroyed.push(entity);
        }
        if world.removed.is_empty() {
            return;
        }
        match kind {
            PatchKind::Remove => world.removed.push(*component, entity),
            PatchKind::Destroy => {
                let gone = world.tables.table(*from).components();
                gone.iter().for_each(|component| world.removed.push(*component, entity));
            }
            _ => {}
        }
    }

    /// The bin of a change, with room for one more in the table that its rows move to; none if the change goes alone.
    #[inline]
    fn bin(&mut self, world: &mut World, source: &Source<'_>, from: TableId, change: Change) -> Option<usize> {
        let (kind, component) = change.key();
        let is_same = |bin: &Bin| (bin.kind, bin.component, bin.from) == (kind, component, from);
        let last = self.last[kind as usize];
        let found = if last < self.used && is_same(&self.bins[last]) {
            last
        } else {
            let known = self.bins[..self.used].iter().position(is_same);
            let found = known.or_else(|| self.new_bin(world, source, from, change))?;
            self.last[kind as usize] = found;
            found
        };
        let bin = &mut self.bins[found];
        if bin.room == 0 {
            return self.make_room(world, found);
        }
        bin.room -= 1;
        Some(found)
    }

    /// Sees to room for one more row of a bin.
    fn make_room(&mut self, world: &mut World, number: usize) -> Option<usize> {
        let to = self.bins[number].to;
        // Bins that lead to one table share its room.
        let sharing = || self.bins[..self.used].iter().filter(|bin| bin.kind != PatchKind::Destroy && bin.to == to);
        let wanted = sharing().map(|bin| bin.held.len()).sum::<usize>() + 1;
        if world.tables.room(to) < wanted && world.tables.reserve(to, wanted).is_err() {
            // Alone it may find the room that rows in bins will leave.
            return None;
        }
        let is_alone = sharing().count() == 1;
        self.bins[number].room = if is_alone { world.tables.room(to) - wanted } else { 0 };
        Some(number)
    }

    #[cold]
    fn new_bin(&mut self, world: &mut World, source: &Source<'_>, from: TableId, change: Change) -> Option<usize> {
        let (kind, component) = change.key();
        let table = world.tables.table(from);
        let to = match change {
            Change::Add(..) => {
                let known = &world.components;
                world.tables.with(from, !component.0, &[component], |id| known.info(id).clone())
            }
            Change::Remove(_) => {
                let column = table.column(component).filter(|column| !table.drops(Some(*column)))?;
                let known = &world.components;
                world.tables.without(from, column, |id| known.info(id).clone())
            }
            Change::Destroy => {
                let parent = world.components.id_of::<Parent>();
                let is_related = [parent, world.children].into_iter().flatten().any(|id| table.column(id).is_some());
                if is_related || table.drops(None) {
                    return None;
                }
                from
            }
        };
        if world.is_observed(from) || world.is_observed(to) {
            return None;
        }
        if self.used == BINS_MAX {
            self.flush(world, source);
        }
        if self.used == self.bins.len() {
            self.bins.push(Bin { kind, component, from, to, held: Vec::new(), room: 0 });
        }
        // What others have room for is shared from now on.
        self.bins[..self.used].iter_mut().filter(|bin| bin.to == to).for_each(|bin| bin.room = bin.endless());
        let bin = &mut self.bins[self.used];
        (bin.kind, bin.component, bin.from, bin.to) = (kind, component, from, to);
        bin.room = bin.endless();
        self.used += 1;
        Some(self.used - 1)
    }

    /// One change by itself, while no bin holds anything.
    fn alone(
        &mut self,
        world: &mut World,
        source: &Source<'_>,
        entity: Entity,
        change: Change,
    ) -> Result<(), WorldError> {
        match change {
            Change::Add(component, value) => {
                let plan = self.plans[component.0 as usize].as_ref().expect("an addition has a plan");
                let value = &source.records().bytes()[value..][..plan.bytes];
                world.put(entity, PackedAddition { plan, value })
            }
            Change::Remove(component) => world.remove_id(entity, component),
            Change::Destroy => world.despawn(entity),
        }
    }

    /// Empties the bins. `source` has the records that they were filled from.
    #[inline]
    pub(crate) fn flush(&mut self, world: &mut World, source: &Source<'_>) {
        if self.used > 0 {
            self.flush_bins(world, source);
        }
    }

    fn flush_bins(&mut self, world: &mut World, source: &Source<'_>) {
        for number in 0..self.used {
            let held = std::mem::take(&mut self.bins[number].held);
            let chunks = world.tables.table(self.bins[number].from).chunk_count();
            if held.len() < GROUP_MIN + chunks / CHUNKS_PER_ROW {
                held.iter().for_each(|held| self.move_one(world, source, number, *held));
            } else {
                self.move_group(world, source, number, &held);
            }
            for held in &held {
                self.held[held.index as usize / bits::WORD] = 0;
            }
            self.bins[number].held = held;
            self.bins[number].held.clear();
        }
        self.used = 0;
        for entity in self.destroyed.drain(..) {
            world.entities.free(entity.index());
        }
    }

    /// Moves one row of a bin.
    fn move_one(&mut self, world: &mut World, source: &Source<'_>, number: usize, held: Held) {
        let Bin { kind, component, to, .. } = self.bins[number];
        let from = world.entities.place_at(held.index);
        if kind == PatchKind::Destroy {
            return world.remove_row(from, true);
        }
        let place = world.move_to(held.index, from, to);
        if kind == PatchKind::Add {
            let plan = self.plans[component.0 as usize].as_ref().expect("an addition has a plan");
            let addition = PackedAddition { plan, value: held.value(source, 0, plan.bytes) };
            // SAFETY: the row is new, its table has the component, and the world is borrowed mutably.
            unsafe { addition.write(world, place) };
        }
    }

    /// Moves the rows of a bin.
    fn move_group(&mut self, world: &mut World, source: &Source<'_>, number: usize, held: &[Held]) {
        let Patcher { plans, bins, rows, scratch, .. } = self;
        let Bin { kind, component, from, to, .. } = bins[number];
        let World { tables, entities, .. } = world;
        rows.clear();
        rows.extend(held.iter().map(|held| tables.row_of(entities.place_at(held.index))));
        if kind != PatchKind::Destroy {
            let first = tables.move_rows(from, rows, to, scratch);
            if kind == PatchKind::Add {
                let plan = plans[component.0 as usize].as_ref().expect("an addition has a plan");
                let table = tables.table(to);
                let column = table.column(component).expect("the table was found by it");
                let mut done = 0;
                while done < held.len() {
                    let (position, start) = ((first + done) / CHUNK_ROWS, (first + done) % CHUNK_ROWS);
                    let run = &held[done..held.len().min(done + CHUNK_ROWS - start)];
                    let base = table.base(tables.chunk_at(table, position), column);
                    for field in &plan.fields {
                        let to = field.start(base);
                        for (row, held) in (start..).zip(run) {
                            let from = held.value(source, field.at, field.size).as_ptr();
                            // SAFETY: the value lies in the source; the row is new, below the chunk's capacity, and the
                            // world is borrowed mutably.
                            unsafe { copy_value(from, to.wrapping_add(row * field.size), field.size) };
                        }
                    }
                    done += run.len();
                }
            }
            for (row, held) in (first..).zip(held) {
                entities.moved(held.index, tables.place_of(to, row));
            }
        }
        tables.remove_rows(from, rows, scratch, |index, place| entities.moved(index, place));
    }
}

impl World {
    /// Why an entity that lives has no component.
    #[cold]
    pub(super) fn missing(&self, entity: Entity, component: ComponentId) -> WorldError {
        self.why_not(entity, self.components.info(component).name())
    }
}
