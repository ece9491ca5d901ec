//! What a job touches of rows, and what is done with it before and after a call: copied to where all rows lie as one, and
//! back; published as changed.

use peristyle_jobs::Access as JobAccess;
use peristyle_layout::chunk::CHUNK_ROWS;
use peristyle_world::{ChunkRef, ComponentId, QueryState, SharedWorld};

use crate::{
    ranges::Item,
    staging::{Staging, copy_bits, copy_column},
};

/// Words of the bits of a chunk.
pub(crate) const CHUNK_WORDS: usize = CHUNK_ROWS / 64;

/// The components of a job, and the query that gives it rows.
#[derive(Clone, Copy)]
pub(crate) struct Touched<'a> {
    pub(crate) components: &'a [(ComponentId, JobAccess)],
    pub(crate) query: &'a QueryState,
    pub(crate) despawns: bool,
    pub(crate) is_atomic: bool,
}

impl Touched<'_> {
    fn written(self) -> impl Iterator<Item = ComponentId> {
        self.components.iter().filter(|(_, how)| *how == JobAccess::Write).map(|(component, _)| *component)
    }

    /// Whether a component that is only read has a `changed` filter.
    pub(crate) fn tells_changed(self, component: ComponentId) -> bool {
        self.query.spec().changed.contains(&component)
    }

    /// Publishes what a call did to some rows.
    ///
    /// # Safety
    /// The rows were leased to this system, and are no more.
    pub(crate) unsafe fn settle(
        self,
        world: SharedWorld<'_>,
        (chunk, first, rows): (ChunkRef, usize, usize),
        is_ok: bool,
    ) {
        for component in self.written() {
            if !is_ok {
                // A job that failed may have written rows that it did not mark; one that is atomic wrote none.
                // An alternative of `any` may be missing.
                let Some(live) = world.live_bits(chunk, component, first) else { continue };
                let marks = if self.is_atomic { 0 } else { u64::MAX };
                // SAFETY: the lease is over; the words are those of these rows.
                unsafe { std::slice::from_raw_parts_mut(live, rows.div_ceil(64)) }.fill(marks);
            }
            // SAFETY: this call leased these rows to write, and the lease is over.
            unsafe { world.settle(chunk, component, first..first + rows, self.query.consumer()) };
        }
        if is_ok {
            self.query.clear(world.world(), chunk, first..first + rows);
        }
    }

    /// Copies rows into staging columns, and readies the bits. Gives the bytes of columns that were copied.
    ///
    /// # Safety
    /// Staging has room for them and is nobody else's; the plan gave this system what it declared.
    pub(crate) unsafe fn gather(self, world: SharedWorld<'_>, items: &[Item], rows: usize, staging: &Staging) -> u64 {
        for (bitset, (component, how)) in self.components.iter().enumerate() {
            if *how == JobAccess::Write || self.tells_changed(*component) {
                // SAFETY: the words of these rows, which nobody else touches.
                unsafe { staging.bitset(bitset).write_bytes(0, rows.div_ceil(64)) };
            }
        }
        let (mut at, mut copied) = (0, 0);
        for item in items {
            let (chunk, first, rows) = item.place();
            let mut columns = staging.columns();
            let mut copy = |from: *const u8| {
                let (to, scalar) = columns.next().expect("staging was made for these columns");
                // SAFETY: a column of so many rows of a chunk, and as many elements of staging from `at` on.
                copied += unsafe { copy_column(from, to.wrapping_add(at * scalar.size()), rows, scalar) };
            };
            copy(world.eids(chunk, first).cast());
            for (component, _) in self.components {
                world.columns(chunk, *component, first).for_each(|column| copy(column.ptr));
            }
            let mut pending = [0_u64; CHUNK_WORDS];
            if self.query.has_row_filter() {
                world.copy_pending(self.query, chunk, item.range(), &mut pending);
            }
            for (bitset, (component, how)) in self.components.iter().enumerate() {
                if *how == JobAccess::Read && self.tells_changed(*component) {
                    // SAFETY: as above, for bits.
                    unsafe { copy_bits(pending.as_ptr(), 0, staging.bitset(bitset), at, rows) };
                }
            }
            if self.despawns {
                let bits = world.despawn_bits(chunk, first);
                // SAFETY: as above, for bits.
                unsafe { copy_bits(bits, 0, staging.bitset(self.components.len()), at, rows) };
            }
            at += rows;
        }
        copied
    }

    /// Copies what was written back, and publishes the rows that were marked. What an atomic job did is dropped if it
    /// failed. Gives the bytes of columns that were copied.
    ///
    /// # Safety
    /// As [`Touched::gather`]; the lease is over.
    pub(crate) unsafe fn scatter(self, world: SharedWorld<'_>, items: &[Item], staging: &Staging, is_ok: bool) -> u64 {
        if !is_ok && self.is_atomic {
            return 0;
        }
        let (mut at, mut copied) = (0, 0);
        for item in items {
            let (chunk, first, rows) = item.place();
            let mut columns = staging.columns().skip(1);
            for (bitset, (component, how)) in self.components.iter().enumerate() {
                for to in world.columns(chunk, *component, first) {
                    let (from, scalar) = columns.next().expect("staging was made for these columns");
                    if *how == JobAccess::Write {
                        // SAFETY: as in `gather`, the other way round.
                        copied += unsafe { copy_column(from.wrapping_add(at * scalar.size()), to.ptr, rows, scalar) };
                    }
                }
                if let (JobAccess::Write, Some(live)) = (how, world.live_bits(chunk, *component, first)) {
                    // SAFETY: as above, for bits.
                    unsafe { copy_bits(staging.bitset(bitset), at, live, 0, rows) };
                }
            }
            if self.despawns {
                let bits = world.despawn_bits(chunk, first);
                // SAFETY: as above.
                unsafe { copy_bits(staging.bitset(self.components.len()), at, bits, 0, rows) };
            }
            // SAFETY: the caller's duty.
            unsafe { self.settle(world, item.place(), is_ok) };
            at += rows;
        }
        copied
    }
}
