//! The entities' records where jobs see them: a copy in the memory, for hosts whose heap is not part of it.
//!
//! Handles of a job's rows are made of it. It is made when it is asked for, if entities came or went since: while rows are
//! leased none do, so nobody reads it then.

use std::cell::Cell;

use peristyle_memory::{Block, OutOfMemory};
use peristyle_world::World;

/// Bytes of a record.
const RECORD_BYTES: usize = 8;
/// Bytes of the first copy's block; later ones have twice as many as are needed.
const BLOCK_BYTES_MIN: usize = 4096;

/// The copy.
#[derive(Default)]
pub(crate) struct Records {
    block: Option<Block>,
    is_fresh: Cell<bool>,
}

impl Records {
    /// Entities came or went.
    pub(crate) fn expire(&self) {
        self.is_fresh.set(false);
    }

    /// Offset of the copy.
    pub(crate) fn offset(&mut self, world: &World) -> Result<u64, OutOfMemory> {
        let bytes = world.entity_record_count() * RECORD_BYTES;
        if let Some(block) = self.block.as_ref().filter(|_| self.is_fresh.get()) {
            return Ok(block.offset());
        }
        if self.block.as_ref().is_none_or(|block| block.bytes() < bytes as u64) {
            self.block = None;
        }
        let block = match self.block.take() {
            Some(block) => block,
            None => world.memory().allocate((bytes * 2).max(BLOCK_BYTES_MIN))?,
        };
        // SAFETY: the world has as many records of that size, the block as many bytes, which nobody reads now: a lane is told
        // where the copy is with each lease, and nothing is leased when entities come or go.
        unsafe {
            let to = block.ptr().as_ptr().cast::<u64>();
            to.copy_from_nonoverlapping(world.entity_records(), bytes / RECORD_BYTES);
        }
        self.is_fresh.set(true);
        Ok(self.block.insert(block).offset())
    }
}

#[cfg(test)]
mod tests {
    use peristyle_memory::Memory;

    use super::*;

    #[test]
    fn the_copy_follows_the_world_when_it_is_asked_for() {
        let memory = Memory::reserve(64 << 20).unwrap();
        let base = memory.base();
        let mut world = World::on(memory);
        let mut records = Records::default();
        let generation = |offset: u64, index: u32| {
            // SAFETY: the offset is that of the copy, which has a record for the index.
            let record = unsafe { base.add(offset as usize + index as usize * RECORD_BYTES).cast::<u64>().read() };
            (record >> 44) as u32
        };
        let (first, second) = (world.spawn(()).unwrap(), world.spawn(()).unwrap());
        let offset = records.offset(&world).unwrap();
        assert_eq!(generation(offset, second.index()), second.generation());
        world.despawn(first).unwrap();
        assert_eq!(generation(records.offset(&world).unwrap(), first.index()), first.generation(), "nobody said so");
        records.expire();
        assert_ne!(generation(records.offset(&world).unwrap(), first.index()), first.generation());
        let many: Vec<_> = (0..5_000).map(|_| world.spawn(()).unwrap()).collect();
        records.expire();
        let grown = records.offset(&world).unwrap();
        assert!(many.iter().all(|entity| generation(grown, entity.index()) == entity.generation()));
    }
}
