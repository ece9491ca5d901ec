//! Merging: what the systems of a segment recorded is carried out, in an order that does not depend on who ran where.

use std::sync::PoisonError;

use peristyle_world::{CommandBuffer, Entity, SharedWorld, World};

use crate::{
    error::{JobFailure, PatchFailure, ScheduleError},
    slot::Slot,
};

/// What went wrong in merges and runs, until somebody takes it.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) failures: Vec<JobFailure>,
    pub(crate) patches: Vec<PatchFailure>,
}

/// Failures of a kind that are kept until somebody takes them; more are only counted.
const FAILURES_KEPT: usize = 64;

/// What a merge did.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) despawned: u64,
    pub(crate) stale_commands: u64,
    pub(crate) refused_patches: u64,
    pub(crate) failures: u64,
}

/// Carries out what the systems of a segment recorded: despawn bits, then commands and patches, both in order of the plan,
/// then of rows.
///
/// Bits name rows, and commands move rows, so bits come first. All are read before the first row goes, for a family that
/// goes with one moves rows of other tables. `doomed` is empty, and kept for its storage.
pub(crate) fn merge(
    slots: &mut [Slot],
    world: &mut World,
    tick: u64,
    doomed: &mut Vec<Entity>,
    kept: &mut Kept,
) -> Result<Merged, ScheduleError> {
    let mut merged = Merged::default();
    let mut recorded = false;
    for slot in slots.iter_mut() {
        let running = slot.running();
        if !std::mem::take(&mut running.run.ran) {
            continue;
        }
        recorded |= running.buffers().any(|buffer| !buffer.is_empty());
        if running.own.despawns {
            running.ranges.items().iter().for_each(|item| take_marked(world, item, doomed));
        }
        let failed = running.failures.get_mut().unwrap_or_else(PoisonError::into_inner);
        if failed.count > 0 {
            merged.failures += std::mem::take(&mut failed.count);
            let first = std::mem::take(&mut failed.kept);
            let room = FAILURES_KEPT.saturating_sub(kept.failures.len());
            let system = &slot.declared.name;
            kept.failures.extend(first.into_iter().take(room).map(|(rows, error)| JobFailure {
                system: system.clone(),
                tick,
                rows,
                error,
            }));
        }
    }
    merged.despawned = doomed.len() as u64;
    // The last first, so that few rows move to fill a hole that is one of theirs soon.
    let despawned = world.despawn_batch(doomed.drain(..).rev());
    if recorded {
        let buffers = slots.iter_mut().flat_map(|slot| slot.running().buffers());
        let report = world.merge(buffers.filter(|buffer: &&mut CommandBuffer| !buffer.is_empty()));
        merged.stale_commands = report.stale as u64;
        merged.refused_patches = report.refused as u64;
        let room = FAILURES_KEPT.saturating_sub(kept.patches.len());
        for refused in report.refusals.into_iter().take(room) {
            let gave = |slot: &mut Slot| slot.running().buffers().any(|buffer| buffer.id() == refused.buffer);
            let Some(at) = slots.iter_mut().position(gave) else { continue };
            let (system, index, error) = (slots[at].declared.name.clone(), refused.index, refused.error);
            kept.patches.push(PatchFailure { system, tick, index, error });
        }
        if let Some(error) = report.errors.into_iter().next() {
            return Err(error.into());
        }
    }
    despawned?;
    Ok(merged)
}

/// Takes the despawn bits of some rows, and adds the entities whose bits were set.
pub(crate) fn take_marked(world: &mut World, item: &crate::ranges::Item, doomed: &mut Vec<Entity>) {
    let shared = SharedWorld::new(world);
    let rows = item.rows as usize;
    let bits = shared.despawn_bits(item.chunk, item.first as usize);
    let eids = shared.eids(item.chunk, item.first as usize);
    for word in 0..rows.div_ceil(64) {
        // SAFETY: the world is borrowed exclusively and its structure is that of the run, so the chunk is there, and the
        // word lies in its despawn bits.
        let mut left = unsafe { std::mem::take(&mut *bits.add(word)) };
        if rows - word * 64 < 64 {
            left &= (1 << (rows % 64)) - 1;
        }
        while left != 0 {
            let row = word * 64 + left.trailing_zeros() as usize;
            left &= left - 1;
            // SAFETY: as above; the row is in use, and so has its index.
            doomed.push(shared.entity(unsafe { eids.add(row).read() }));
        }
    }
}
