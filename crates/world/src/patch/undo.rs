//! Undoing patches: the inverse of each, kept while they are applied.
//!
//! # Identity
//! A handle names one entity for ever, so an entity that a patch destroyed does not come back under its old one: undoing
//! spawns another with the same components and values, and says which handle stands for which ([`Undone::restored`]).
//! Inverse patches, parents and entity fields of columnar values that go through the same undo are rewritten to the new
//! handle; handles elsewhere (in rows that the undo does not touch, in opaque values, with clients) stay stale. A restored
//! child comes last among its parent's children.
//!
//! # Not here
//! What observers did about the patches is not undone; undoing calls them as any change does.

use std::collections::HashMap;

use peristyle_layout::{Entity, PatchBuffer, PatchKind, PatchRecord};

use super::{PatchError, PatchReport, PatchValue, Patcher, Refused, Source, WorldPatch};
use crate::{
    component::ComponentId,
    hierarchy::{Children, Parent},
    world::World,
};

/// What undoes patches, newest last.
#[derive(Debug, Default)]
pub struct Undo {
    inverses: Vec<Inverse>,
    gaps: Vec<UndoGap>,
}

#[derive(Debug)]
enum Inverse {
    Patch(WorldPatch),
    /// A family, parents before children.
    Restore(Vec<Restored>),
}

#[derive(Debug)]
struct Restored {
    entity: Entity,
    parent: Option<Entity>,
    values: Vec<(ComponentId, PatchValue)>,
}

/// A value that cannot be brought back, for its opaque component has no registered `serde`, or that refused.
#[derive(Debug, thiserror::Error)]
#[error("entity {entity}: a value cannot be brought back: {error}")]
pub struct UndoGap {
    /// The entity.
    pub entity: Entity,
    /// Why.
    #[source]
    pub error: PatchError,
}

/// What an undo did.
#[derive(Debug, Default)]
pub struct Undone {
    /// Entities that were destroyed, and those that stand for them now.
    pub restored: Vec<(Entity, Entity)>,
    /// Inverses that could not be applied, by their position from the newest: something else changed the world meanwhile.
    pub refusals: Vec<Refused>,
}

impl Undo {
    /// Nothing to undo.
    pub fn new() -> Undo {
        Undo::default()
    }

    /// Number of changes that it undoes.
    pub fn len(&self) -> usize {
        self.inverses.len()
    }

    /// Whether there is nothing to undo.
    pub fn is_empty(&self) -> bool {
        self.inverses.is_empty()
    }

    /// Values that it cannot bring back.
    pub fn gaps(&self) -> &[UndoGap] {
        &self.gaps
    }

    /// A component's value as it is now.
    fn value(&mut self, world: &World, entity: Entity, component: ComponentId) -> Option<PatchValue> {
        world.patch_value(entity, component).map_err(|error| self.gaps.push(UndoGap { entity, error })).ok()
    }

    /// What undoes a patch that is about to be applied; none if it will be refused, or its values cannot be kept.
    fn inverse(&mut self, world: &World, record: &PatchRecord<'_>) -> Option<Inverse> {
        let entity = record.entity;
        if record.kind == PatchKind::Destroy {
            return world.is_alive(entity).then(|| Inverse::Restore(self.family(world, entity)));
        }
        let component = world.components().iter().nth(record.component as usize)?.id();
        let has = world.has_id(entity, component);
        Some(Inverse::Patch(match (record.kind, has) {
            (PatchKind::Set | PatchKind::Add, true) => {
                WorldPatch::Set { entity, component, value: self.value(world, entity, component)? }
            }
            (PatchKind::Add, false) => WorldPatch::Remove { entity, component },
            (PatchKind::Remove, true) => {
                WorldPatch::Add { entity, component, value: self.value(world, entity, component)? }
            }
            _ => return None,
        }))
    }

    fn family(&mut self, world: &World, entity: Entity) -> Vec<Restored> {
        let related = [world.components().id_of::<Parent>(), world.components().id_of::<Children>()];
        let mut members = vec![entity];
        let mut family = Vec::new();
        while let Some(&member) = members.get(family.len()) {
            members.extend_from_slice(world.children(member));
            let components = world.components().iter().map(|info| info.id());
            let kept = components.filter(|id| !related.contains(&Some(*id)) && world.has_id(member, *id));
            let values = kept.filter_map(|id| Some((id, self.value(world, member, id)?))).collect();
            family.push(Restored { entity: member, parent: world.parent(member), values });
        }
        family
    }
}

impl World {
    /// Applies patches in order, one by one, and keeps what undoes them.
    ///
    /// Values of opaque components without a registered `serde` cannot be kept: [`Undo::gaps`] names them. A patch that
    /// would replace or take such a value is applied all the same.
    pub fn apply_patches_keeping(&mut self, patches: &PatchBuffer, undo: &mut Undo) -> PatchReport {
        let (mut report, mut patcher) = (PatchReport::default(), std::mem::take(&mut self.patcher));
        let source = Source { all: std::slice::from_ref(patches), current: 0, mapping: None, buffer: 0 };
        let (mut offset, mut index) = (0, 0);
        while let Some((record, next)) = patches.record_at(offset) {
            let (gaps, applied) = (undo.gaps.len(), report.applied);
            let inverse = undo.inverse(self, &record);
            patcher.apply(self, &source, offset..next, &mut index, &mut report);
            patcher.flush(self, &source);
            if report.applied > applied {
                undo.inverses.extend(inverse);
            } else {
                undo.gaps.truncate(gaps);
            }
            offset = next;
        }
        self.patcher = patcher;
        report
    }

    /// Undoes patches: their inverses are applied, the newest first.
    pub fn undo(&mut self, undo: Undo) -> Undone {
        let (mut undone, mut stands_for) = (Undone::default(), HashMap::new());
        for (index, inverse) in undo.inverses.into_iter().rev().enumerate() {
            let result = match inverse {
                Inverse::Patch(patch) => self.apply_inverse(patch, &stands_for),
                Inverse::Restore(family) => self.restore(family, &mut stands_for, &mut undone.restored),
            };
            if let Err(error) = result {
                undone.refusals.push(Refused { index, buffer: 0, error });
            }
        }
        undone
    }

    fn restore(
        &mut self,
        family: Vec<Restored>,
        stands_for: &mut HashMap<Entity, Entity>,
        restored: &mut Vec<(Entity, Entity)>,
    ) -> Result<(), PatchError> {
        for member in &family {
            let new = self.spawn(())?;
            stands_for.insert(member.entity, new);
            restored.push((member.entity, new));
        }
        // Values may name any member, so they come when all have their handles. What fails keeps nothing else back.
        let mut result = Ok(());
        for member in family {
            let entity = member.entity;
            for (component, value) in member.values {
                let added = self.apply_inverse(WorldPatch::Add { entity, component, value }, stands_for);
                result = result.and(added);
            }
            if let Some(parent) = member.parent {
                let now = |entity: Entity| stands_for.get(&entity).copied().unwrap_or(entity);
                result = result.and(self.set_parent(now(entity), Some(now(parent))).map_err(PatchError::from));
            }
        }
        result
    }

    /// Applies one patch whose handles may have been replaced.
    fn apply_inverse(&mut self, patch: WorldPatch, stands_for: &HashMap<Entity, Entity>) -> Result<(), PatchError> {
        let now = |entity: Entity| stands_for.get(&entity).copied().unwrap_or(entity);
        let mut patcher = Patcher::default();
        let mut value_now = |world: &mut World, component: ComponentId, value: PatchValue| match value {
            PatchValue::Packed(bytes) => {
                let remapped = patcher.plan(world, component.0).ok().and_then(|plan| plan.remapped(&bytes, now));
                PatchValue::Packed(remapped.unwrap_or(bytes))
            }
            json => json,
        };
        let patch = match patch {
            WorldPatch::Set { entity, component, value } => {
                WorldPatch::Set { entity: now(entity), component, value: value_now(self, component, value) }
            }
            WorldPatch::Add { entity, component, value } => {
                WorldPatch::Add { entity: now(entity), component, value: value_now(self, component, value) }
            }
            WorldPatch::Remove { entity, component } => WorldPatch::Remove { entity: now(entity), component },
            destroy => destroy,
        };
        let mut report = self.apply_patches(&[patch].iter().collect());
        report.refusals.pop().map_or(Ok(()), |refused| Err(refused.error))
    }
}
