//! Entities: made, destroyed, found and moved.

use peristyle_world::{Entity, SharedWorld};

use crate::{
    core::{Core, nothing, place_number},
    define::offset,
    status::{Failure, Status},
};

/// What functions do is said in the [table](crate::functions).
#[allow(missing_docs)]
impl Core {
    #[inline]
    pub fn spawn(&mut self, table: u32) -> Result<f64, Failure> {
        self.unless_leased()?;
        let table = self.table_at(table)?;
        let (entity, place) = self.world.spawn_row(table)?;
        self.tell_place(place);
        self.tell_structure();
        Ok(entity.to_f64())
    }

    pub fn spawn_many(&mut self, table: u32, count: u32) -> Result<u32, Failure> {
        self.unless_leased()?;
        let id = self.table_at(table)?;
        let out = self.blocks.numbers_out(count as usize)?;
        let first = self.world.rows_of_table(id);
        let spawned = self.world.spawn_rows(id, count as usize)?;
        out.iter_mut().zip(spawned.iter()).for_each(|(out, entity)| *out = entity.to_f64());
        if count > 0 {
            self.tell_place(self.world.place_of_row(id, first));
        }
        self.tell_structure();
        Ok(count)
    }

    #[inline]
    pub fn destroy(&mut self, entity: f64) -> Result<(), Failure> {
        self.unless_leased()?;
        self.world.despawn(Core::handle(entity)?)?;
        self.tell_structure();
        Ok(())
    }

    pub fn destroy_many(&mut self, count: u32) -> Result<usize, Failure> {
        self.unless_leased()?;
        let listed = self.blocks.numbers_mut(0..count as usize)?;
        let destroyed = self.world.despawn_batch(listed.iter().filter_map(|number| Entity::from_f64(*number).ok()))?;
        self.tell_structure();
        Ok(destroyed)
    }

    #[inline]
    pub fn is_alive(&mut self, entity: f64) -> Result<bool, Failure> {
        Ok(Entity::from_f64(entity).is_ok_and(|entity| self.world.is_alive(entity)))
    }

    #[inline]
    pub fn locate(&mut self, entity: f64) -> Result<f64, Failure> {
        Ok(place_number(self.world.place(Core::handle(entity)?)?))
    }

    pub fn locate_many(&mut self, count: u32) -> Result<usize, Failure> {
        let mut found = 0;
        for number in self.blocks.numbers_mut(0..count as usize)? {
            let place = Entity::from_f64(*number).ok().and_then(|entity| self.world.place(entity).ok());
            *number = place.map_or(-1.0, place_number);
            found += usize::from(place.is_some());
        }
        Ok(found)
    }

    #[inline]
    pub fn relocate(&mut self, entity: f64, table: u32) -> Result<f64, Failure> {
        self.unless_leased()?;
        let (entity, table) = (Core::handle(entity)?, self.table_at(table)?);
        if !self.world.is_columnar_table(table) {
            let had = self.world.components_of_table(self.world.table_of_entity(entity)?);
            let known = self.world.components();
            if self
                .world
                .components_of_table(table)
                .iter()
                .any(|id| !had.contains(id) && !known.info(*id).is_columnar())
            {
                let text = "a component of that table is of a Rust type without columns: only Rust gives it";
                return Err(Failure::new(Status::BadArgument, text));
            }
        }
        let place = self.world.relocate(entity, table)?;
        self.tell_place(place);
        self.tell_structure();
        Ok(place_number(place))
    }

    pub fn entity(&mut self, index: u32) -> Result<f64, Failure> {
        match self.world.entity_at_index(index) {
            Some(entity) => Ok(entity.to_f64()),
            None => Err(Failure::new(Status::Stale, format!("no entity of index {index} lives"))),
        }
    }

    pub fn entity_records(&mut self) -> Result<f64, Failure> {
        #[cfg(target_arch = "wasm32")]
        let offset = self.world.entity_records() as usize;
        // Natively they lie on the heap of Rust, which is not the memory.
        #[cfg(not(target_arch = "wasm32"))]
        let offset = self.records.offset(&self.world)?;
        Ok(offset as f64)
    }

    pub fn handles(&mut self, chunk: u32, first: u32, rows: u32) -> Result<u32, Failure> {
        let at = self.world.chunk_at(chunk).ok_or_else(|| nothing("chunk", chunk))?;
        let end = first as usize + rows as usize;
        if end > at.rows() {
            let text = format!("rows {first} to {end} of chunk {chunk} are asked for, it has {}", at.rows());
            return Err(Failure::new(Status::BadArgument, text));
        }
        let out = self.blocks.numbers_out(rows as usize)?;
        let indices = &SharedWorld::new(&self.world).indices(at)[first as usize..end];
        out.iter_mut().zip(indices).for_each(|(out, index)| *out = self.world.entity(*index).to_f64());
        Ok(rows)
    }

    pub fn chunk(&mut self, chunk: u32) -> Result<usize, Failure> {
        let at = self.world.chunk_at(chunk).ok_or_else(|| nothing("chunk", chunk))?;
        let (shared, memory) = (SharedWorld::new(&self.world), self.world.memory());
        let components = shared.components_of(at);
        let fields: usize = components.iter().map(|id| self.world.components().info(*id).fields().len()).sum();
        let words = 6 + 3 * components.len() + fields;
        let mut out = self.blocks.words_out(words)?.iter_mut();
        let mut put = |word: u32| {
            if let Some(out) = out.next() {
                *out = word;
            }
        };
        put(at.table_index());
        put(at.rows() as u32);
        put(self.world.chunk_capacity(at) as u32);
        put(offset(memory, shared.eids(at, 0).cast_mut()));
        put(offset(memory, shared.despawn_bits(at, 0)));
        put(components.len() as u32);
        for id in components {
            put(id.index());
            put(shared.live_bits(at, *id, 0).map_or(0, |bits| offset(memory, bits)));
            put(self.world.components().info(*id).fields().len() as u32);
            shared.columns(at, *id, 0).for_each(|column| put(offset(memory, column.ptr)));
        }
        Ok(words)
    }

    pub fn begin_tick(&mut self) -> Result<f64, Failure> {
        Ok(self.world.begin_tick()? as f64)
    }

    pub fn end_tick(&mut self) -> Result<(), Failure> {
        if self.pull.is_in_frame() {
            return Err(Failure::new(Status::FrameRunning, "the tick is a frame's: it ends with the frame"));
        }
        Ok(self.world.end_tick()?)
    }
}
