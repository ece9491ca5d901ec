//! Which entities live, and where their rows are.
//!
//! One 8-byte slot an index:
//!
//! ```text
//! 63 .. 44     43 .. 30   29 .. 0
//! generation   row        chunk (all ones: no row)
//! ```
//!
//! A freed index waits until the next tick begins before it is used again; a slot whose generations are used up never is.

use peristyle_layout::{Entity, GENERATION_MAX, INDEX_MAX};
use peristyle_memory::OutOfMemory;

use crate::{columnar::prefetch, error::WorldError};

/// Where an entity's row is. Valid until the world's structure changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of its chunk in the world.
    pub chunk: u32,
    /// Its row there.
    pub row: u32,
}

const CHUNK_BITS: u32 = 30;
const ROW_BITS: u32 = 14;
pub(crate) const NO_CHUNK: u32 = (1 << CHUNK_BITS) - 1;

const _: () = assert!(peristyle_layout::chunk::CHUNK_ROWS == 1 << ROW_BITS);

/// Bytes that are left to everything else when slots grow: in WebAssembly the heap ends where the memory does.
const HEADROOM: usize = 256 << 10;

#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Slot(u64);

impl Slot {
    #[inline]
    fn new(generation: u32, place: Place) -> Slot {
        Slot(
            u64::from(generation) << (ROW_BITS + CHUNK_BITS)
                | u64::from(place.row) << CHUNK_BITS
                | u64::from(place.chunk),
        )
    }
    #[inline]
    fn vacant(generation: u32) -> Slot {
        Slot::new(generation, Place { chunk: NO_CHUNK, row: 0 })
    }
    #[inline]
    fn generation(self) -> u32 {
        (self.0 >> (ROW_BITS + CHUNK_BITS)) as u32
    }
    #[inline]
    fn place(self) -> Place {
        Place { chunk: self.0 as u32 & NO_CHUNK, row: (self.0 >> CHUNK_BITS) as u32 & ((1 << ROW_BITS) - 1) }
    }
}

/// The slots of one world.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    slots: Vec<Slot>,
    /// May be used now.
    free: Vec<u32>,
    /// Freed since the tick began.
    resting: Vec<u32>,
    alive: usize,
}

impl Entities {
    /// A new handle whose row is at `place`.
    #[inline]
    pub(crate) fn allocate(&mut self, place: Place) -> Result<Entity, WorldError> {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            let generation = slot.generation();
            *slot = Slot::new(generation, place);
            self.alive += 1;
            return Ok(Entity::new(index, generation));
        }
        let index = self.slots.len() as u32;
        if index > INDEX_MAX {
            return Err(WorldError::EntitiesExhausted);
        }
        if self.slots.len() == self.slots.capacity() {
            self.reserve(1)?;
        }
        self.slots.push(Slot::new(1, place));
        self.alive += 1;
        Ok(Entity::new(index, 1))
    }

    /// Makes room for `count` more slots. Grows by an eighth, not by doubling: eight bytes an entity are most of what a
    /// small entity costs, and moving the list moves page tables, not pages.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`] if the heap is used up, or would be by the next small thing.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<(), WorldError> {
        let missing = count.saturating_sub(self.free.len() + self.slots.capacity() - self.slots.len());
        if missing > 0 {
            let room = self.slots.capacity() - self.slots.len();
            let more = room + missing.max(self.slots.len() / 8).max(64);
            let mut headroom = Vec::<u8>::new();
            let enough = self.slots.try_reserve_exact(more).is_ok() && headroom.try_reserve(HEADROOM).is_ok();
            // Or the compiler would leave the allocation out, as nobody uses it.
            drop(std::hint::black_box(headroom));
            if !enough {
                self.slots.shrink_to(self.slots.len() + room);
                let used_bytes = (self.slots.capacity() * size_of::<Slot>()) as u64;
                return Err(WorldError::OutOfMemory(OutOfMemory {
                    asked_bytes: ((self.slots.len() + more) * size_of::<Slot>()) as u64,
                    largest_free_bytes: 0,
                    used_bytes,
                    max_bytes: used_bytes,
                    source: None,
                }));
            }
        }
        Ok(())
    }

    /// Names the rows of a run, which starts at `first_row` of `chunk`, and writes their indices to `indices`.
    ///
    /// # Panics
    /// If there is no [`Entities::room`] for as many, or no memory, which [`Entities::reserve`] asks for.
    pub(crate) fn allocate_run(&mut self, chunk: u32, first_row: usize, indices: &mut [u32]) {
        assert!(self.room() >= indices.len(), "whoever names a run has looked for room");
        let recycled = indices.len().min(self.free.len());
        let (recycled, fresh) = indices.split_at_mut(recycled);
        let mut row = first_row as u32;
        for out in recycled {
            let index = self.free.pop().expect("as many are free");
            let slot = &mut self.slots[index as usize];
            *slot = Slot::new(slot.generation(), Place { chunk, row });
            *out = index;
            row += 1;
        }
        self.reserve(fresh.len()).expect("whoever names a run has reserved slots, or has memory");
        let first = self.slots.len() as u32;
        self.slots.extend((0..fresh.len() as u32).map(|i| Slot::new(1, Place { chunk, row: row + i })));
        fresh.iter_mut().zip(first..).for_each(|(out, index)| *out = index);
        self.alive += indices.len();
    }

    /// How many more entities there can be.
    pub(crate) fn room(&self) -> usize {
        self.free.len() + (INDEX_MAX as usize + 1 - self.slots.len())
    }

    /// Where an entity's row is, if it lives. The chunk is [`NO_CHUNK`] while it has no row yet.
    #[inline(always)]
    pub(crate) fn find(&self, entity: Entity) -> Option<Place> {
        let slot = self.slots.get(entity.index() as usize)?;
        // The whole upper half is compared: no slot has the provisional bit in its generation.
        (u64::from(slot.generation()) == entity.to_bits() >> u32::BITS).then(|| slot.place())
    }

    /// Asks for the cache line of an entity's slot.
    #[inline(always)]
    pub(crate) fn prefetch(&self, entity: Entity) {
        prefetch(self.slots.as_ptr().wrapping_add(entity.index() as usize));
    }

    /// Where a living entity's row is.
    #[inline]
    pub(crate) fn place(&self, entity: Entity) -> Result<Place, WorldError> {
        match self.find(entity) {
            Some(place) if place.chunk != NO_CHUNK => Ok(place),
            _ => Err(absent(entity)),
        }
    }

    /// Where the row of a living index is.
    #[inline]
    pub(crate) fn place_at(&self, index: u32) -> Place {
        self.slots[index as usize].place()
    }

    /// The handle of a living index.
    #[inline]
    pub(crate) fn handle(&self, index: u32) -> Entity {
        Entity::new(index, self.slots[index as usize].generation())
    }

    /// The slots.
    pub(crate) fn records(&self) -> *const u64 {
        self.slots.as_ptr().cast()
    }

    /// How many slots there are.
    pub(crate) fn record_count(&self) -> usize {
        self.slots.len()
    }

    /// The handle of an index, if it lives and has a row.
    pub(crate) fn living(&self, index: u32) -> Option<Entity> {
        let slot = self.slots.get(index as usize)?;
        (slot.place().chunk != NO_CHUNK).then(|| Entity::new(index, slot.generation()))
    }

    /// Says where the row of a living index is now.
    #[inline]
    pub(crate) fn moved(&mut self, index: u32, place: Place) {
        let slot = &mut self.slots[index as usize];
        *slot = Slot::new(slot.generation(), place);
    }

    /// Ends a living index.
    #[inline]
    pub(crate) fn free(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let generation = slot.generation();
        self.alive -= 1;
        if generation == GENERATION_MAX {
            // Generation 0 is nobody's: the slot retires.
            *slot = Slot::vacant(0);
        } else {
            *slot = Slot::vacant(generation + 1);
            self.resting.push(index);
        }
    }

    /// Lets the indices that were freed in the last tick be used again.
    pub(crate) fn begin_tick(&mut self) {
        self.free.append(&mut self.resting);
    }

    pub(crate) fn len(&self) -> usize {
        self.alive
    }
}

/// Why an entity has no place.
#[cold]
pub(crate) fn absent(entity: Entity) -> WorldError {
    if entity.is_provisional() { WorldError::Provisional(entity) } else { WorldError::Stale(entity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { chunk: 3, row: 16_383 };

    #[test]
    fn a_freed_index_rests_for_the_tick_and_comes_back_as_another_entity() {
        let mut entities = Entities::default();
        let first = entities.allocate(PLACE).unwrap();
        assert_eq!(entities.place(first).unwrap(), PLACE);
        entities.free(first.index());
        assert!(matches!(entities.place(first), Err(WorldError::Stale(_))));
        assert_ne!(entities.allocate(PLACE).unwrap().index(), first.index());
        entities.begin_tick();
        let again = entities.allocate(PLACE).unwrap();
        assert_eq!(again.index(), first.index());
        assert_ne!(again, first);
        assert!(entities.place(first).is_err() && entities.place(again).is_ok());
    }

    #[test]
    fn a_slot_with_no_generations_left_retires() {
        let mut entities = Entities::default();
        let mut entity = entities.allocate(PLACE).unwrap();
        entities.slots[0] = Slot::new(GENERATION_MAX, PLACE);
        entity = Entity::new(entity.index(), GENERATION_MAX);
        assert!(entities.place(entity).is_ok());
        entities.free(0);
        entities.begin_tick();
        assert!(entities.place(entity).is_err());
        assert_eq!(entities.allocate(PLACE).unwrap().index(), 1);
    }
}
