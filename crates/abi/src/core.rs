//! The core: a world and what hosts of other languages need around it.

use std::collections::BTreeMap;

use peristyle_layout::{Entity, chunk::CHUNK_ROWS};
use peristyle_memory::{Block, Memory, OutOfMemory};
use peristyle_schedule::Pull;
use peristyle_world::{ComponentId, Place, QueryState, RemovalsOf, ResourceId, TableId, World};

use crate::{
    blocks::{Blocks, Word, zeroed},
    mirrors::Mirror,
    status::{Failure, Status},
    table::HASH,
};

/// A world, its systems, queries and mirrors, behind the functions of [`functions!`](crate::functions). One host at a time.
pub struct Core {
    pub(crate) blocks: Blocks,
    pub(crate) world: World,
    pub(crate) pull: Pull,
    /// By number; none if it was dropped, or became a system's.
    pub(crate) queries: Vec<Option<QueryState>>,
    /// Numbers of queries that were dropped.
    pub(crate) free_queries: Vec<u32>,
    pub(crate) removals: Vec<RemovalsOf>,
    /// By number; none if it was dropped.
    pub(crate) mirrors: Vec<Option<Mirror>>,
    /// What the host has of the memory, by offset.
    given: BTreeMap<u64, Block>,
    /// Kept for its storage.
    pub(crate) entities: Vec<Entity>,
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) records: crate::records::Records,
}

impl Core {
    /// A core with an empty world on a memory of its own, of at most 4 GiB: offsets have 32 bits.
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is no room for the blocks by which it talks.
    pub fn on(memory: Memory) -> Result<Core, OutOfMemory> {
        Ok(Core {
            blocks: Blocks::new(memory.clone())?,
            world: World::on(memory),
            pull: Pull::default(),
            queries: Vec::new(),
            free_queries: Vec::new(),
            removals: Vec::new(),
            mirrors: Vec::new(),
            given: BTreeMap::new(),
            entities: Vec::new(),
            #[cfg(not(target_arch = "wasm32"))]
            records: Default::default(),
        })
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The world, to define or spawn what the host's Rust side brings along. Not while a frame runs.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Puts what went wrong where the header says, and gives its number.
    #[cold]
    pub fn fail(&mut self, failure: &Failure) -> f64 {
        self.blocks.set_error(&failure.text);
        // What failed half-way may have made room, and replaced a chunk for it.
        self.tell_structure();
        // Who could answer for a memory that is used up did.
        self.blocks.set(Word::Broken, 0);
        failure.status.number()
    }

    /// Offset of the message of the last error, and room there: for whoever has to say why the core broke off.
    pub fn error_block(&self) -> (u64, u64) {
        self.blocks.error_block()
    }

    /// Refuses while rows are leased.
    #[inline]
    pub(crate) fn unless_leased(&self) -> Result<(), Failure> {
        if self.pull.is_leased() {
            return Err(Failure::new(
                Status::Leased,
                "rows are leased to jobs: entities come, go and move when the stage is over (use commands)",
            ));
        }
        Ok(())
    }

    /// Tells the header what changes with structure.
    #[inline]
    pub(crate) fn tell_structure(&self) {
        self.blocks.set(Word::LayoutVersion, self.world.layout_version());
        self.blocks.set(Word::Entities, self.world.len() as u32);
        #[cfg(not(target_arch = "wasm32"))]
        self.records.expire();
    }

    #[inline]
    pub(crate) fn tell_place(&self, place: Place) {
        self.blocks.set(Word::Chunk, place.chunk);
        self.blocks.set(Word::Row, place.row);
    }

    #[inline]
    pub(crate) fn handle(number: f64) -> Result<Entity, Failure> {
        Entity::from_f64(number).map_err(|error| Failure::new(Status::Stale, error.to_string()))
    }

    pub(crate) fn component(&self, number: u32) -> Result<ComponentId, Failure> {
        let info = self.world.component_at(number);
        info.map(|info| info.id()).ok_or_else(|| nothing("component", number))
    }

    pub(crate) fn resource(&self, number: u32) -> Result<ResourceId, Failure> {
        self.world.column_resource_at(number).ok_or_else(|| nothing("resource", number))
    }

    #[inline]
    pub(crate) fn table_at(&self, number: u32) -> Result<TableId, Failure> {
        self.world.table_at(number).ok_or_else(|| nothing("table", number))
    }
}

/// Setup. What functions do is said in the [table](crate::functions).
#[allow(missing_docs)]
impl Core {
    pub fn abi_hash(&mut self) -> Result<f64, Failure> {
        Ok(HASH as f64)
    }

    pub fn header(&mut self) -> Result<f64, Failure> {
        Ok(self.blocks.header_offset() as f64)
    }

    pub fn scratch(&mut self, bytes: f64) -> Result<f64, Failure> {
        Ok(self.blocks.reserve(bytes as usize)? as f64)
    }

    pub fn memory_used(&mut self) -> Result<f64, Failure> {
        Ok(self.blocks.memory().used_bytes() as f64)
    }

    pub fn allocate(&mut self, bytes: f64) -> Result<f64, Failure> {
        let block = zeroed(self.blocks.memory(), bytes as usize)?;
        let offset = block.offset();
        self.given.insert(offset, block);
        Ok(offset as f64)
    }

    pub fn release(&mut self, offset: f64) -> Result<(), Failure> {
        match self.given.remove(&(offset as u64)) {
            Some(_) => Ok(()),
            None => Err(Failure::new(Status::BadArgument, format!("nothing was allocated at offset {offset}"))),
        }
    }
}

/// There is nothing of that number.
#[cold]
pub(crate) fn nothing(what: &str, number: u32) -> Failure {
    Failure::new(Status::BadArgument, format!("there is no {what} {number}"))
}

/// A place as one number.
#[inline]
pub(crate) fn place_number(place: Place) -> f64 {
    f64::from(place.chunk) * CHUNK_ROWS as f64 + f64::from(place.row)
}
