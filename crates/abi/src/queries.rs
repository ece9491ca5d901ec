//! Queries, what changed, and what was removed.

use peristyle_layout::chunk::CHUNK_ROWS;
use peristyle_world::{ChunkRef, ComponentId, QuerySpec, QueryState};

use crate::{
    blocks::Word,
    core::{Core, nothing},
    status::{Failure, Status},
};

/// Words of 64 bits in the bits of a chunk.
const CHUNK_WORDS: usize = CHUNK_ROWS / 64;

/// What functions do is said in the [table](crate::functions).
#[allow(missing_docs)]
impl Core {
    fn chunk_rows(&self, chunk: u32, first: u32, rows: u32) -> Result<(ChunkRef, std::ops::Range<usize>), Failure> {
        let at = self.world.chunk_at(chunk).ok_or_else(|| nothing("chunk", chunk))?;
        let range = first as usize..first as usize + rows as usize;
        if range.end > at.rows() {
            let text = format!("rows {range:?} of chunk {chunk} are named, it has {}", at.rows());
            return Err(Failure::new(Status::BadArgument, text));
        }
        Ok((at, range))
    }

    #[inline]
    pub fn mark(&mut self, chunk: u32, component: u32, first: u32, rows: u32) -> Result<(), Failure> {
        let (at, range) = self.chunk_rows(chunk, first, rows)?;
        let component = self.component(component)?;
        self.world.mark_rows(at, component, range);
        Ok(())
    }

    pub fn query(&mut self, words: u32) -> Result<usize, Failure> {
        let words = self.blocks.words(words as usize)?.to_vec();
        let mut words = words.into_iter();
        let short = || Failure::new(Status::BadArgument, "the list of a query ends too early");
        let mut list = || -> Result<Vec<ComponentId>, Failure> {
            let count = words.next().ok_or_else(short)?;
            (0..count).map(|_| self.component(words.next().ok_or_else(short)?)).collect()
        };
        let (all, any, none, changed, added) = (list()?, list()?, list()?, list()?, list()?);
        let any = if any.is_empty() { Vec::new() } else { vec![any] };
        let spec = QuerySpec { all, any, none, optional: Vec::new(), changed, added };
        let state = QueryState::new(&mut self.world, spec, None);
        // Numbers of dropped queries are used again; those that systems took are not.
        let number = self.free_queries.pop().unwrap_or(self.queries.len() as u32) as usize;
        if number == self.queries.len() {
            self.queries.push(None);
        }
        self.queries[number] = Some(state);
        Ok(number)
    }

    pub fn query_drop(&mut self, query: u32) -> Result<(), Failure> {
        self.query_mut(query)?;
        self.queries[query as usize] = None;
        self.free_queries.push(query);
        Ok(())
    }

    fn query_mut(&mut self, query: u32) -> Result<&mut QueryState, Failure> {
        self.queries.get_mut(query as usize).and_then(Option::as_mut).ok_or_else(|| nothing("query", query))
    }

    pub fn chunks(&mut self, query: u32) -> Result<usize, Failure> {
        self.query_mut(query)?;
        let state = self.queries[query as usize].as_mut().expect("it was just found");
        state.refresh(&self.world);
        let count = state.chunks(&self.world).count();
        let out = self.blocks.words_out(count * 2)?;
        for (out, chunk) in out.chunks_exact_mut(2).zip(state.chunks(&self.world)) {
            out[0] = self.world.chunk_number(chunk);
            out[1] = chunk.rows() as u32;
        }
        Ok(count)
    }

    pub fn query_rows(&mut self, query: u32) -> Result<usize, Failure> {
        self.query_mut(query)?;
        let state = self.queries[query as usize].as_mut().expect("it was just found");
        state.refresh(&self.world);
        let mut rows = 0;
        for chunk in state.chunks(&self.world) {
            if state.has_row_filter() {
                state.for_each_pending(&self.world, chunk, |_, bits| rows += bits.count_ones() as usize);
            } else {
                rows += chunk.rows();
            }
        }
        Ok(rows)
    }

    pub fn pending(&mut self, query: u32, chunk: u32) -> Result<u32, Failure> {
        self.query_mut(query)?;
        let at = self.world.chunk_at(chunk).ok_or_else(|| nothing("chunk", chunk))?;
        let state = self.queries[query as usize].as_mut().expect("it was just found");
        state.refresh(&self.world);
        let out = self.blocks.words_out(CHUNK_WORDS * 2)?;
        out.fill(0);
        let mut pending = 0;
        let mut put = |word: usize, bits: u64| {
            (out[word * 2], out[word * 2 + 1]) = (bits as u32, (bits >> 32) as u32);
            pending += bits.count_ones();
        };
        if state.has_row_filter() {
            state.for_each_pending(&self.world, at, &mut put);
        } else {
            let rows = 0..at.rows();
            peristyle_memory::bits::words_of(&rows)
                .for_each(|word| put(word, peristyle_memory::bits::word_mask(word, &rows)));
        }
        Ok(pending)
    }

    pub fn clear_pending(&mut self, query: u32, chunk: u32, first: u32, rows: u32) -> Result<(), Failure> {
        self.query_mut(query)?;
        let (at, range) = self.chunk_rows(chunk, first, rows)?;
        let state = self.queries[query as usize].as_mut().expect("it was just found");
        state.refresh(&self.world);
        state.clear(&self.world, at, range);
        Ok(())
    }

    pub fn removals(&mut self, component: u32) -> Result<usize, Failure> {
        let component = self.component(component)?;
        self.removals.push(self.world.removals_of(component));
        Ok(self.removals.len() - 1)
    }

    pub fn removals_read(&mut self, cursor: u32) -> Result<usize, Failure> {
        let reader = self.removals.get_mut(cursor as usize).ok_or_else(|| nothing("cursor", cursor))?;
        self.entities.clear();
        let missed = match reader.read(&self.world, |entity| self.entities.push(entity)) {
            Ok(()) => 0,
            Err(behind) => u32::try_from(behind.missed).unwrap_or(u32::MAX),
        };
        self.blocks.set(Word::Missed, missed);
        self.list_entities()
    }

    /// Lists the entities that were collected.
    pub(crate) fn list_entities(&mut self) -> Result<usize, Failure> {
        let out = self.blocks.numbers_out(self.entities.len())?;
        out.iter_mut().zip(&self.entities).for_each(|(out, entity)| *out = entity.to_f64());
        Ok(self.entities.len())
    }
}
