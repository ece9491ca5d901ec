//! Patches of jobs in a Bevy world: what a record does to a typed component, and what waits until the world can change.
//!
//! A system may not change the world's structure while it runs, so the patches of its job wait with its despawns, in the
//! order in which they were given, for the next sync point. What cannot be applied then is told, and the others go on.

use std::sync::Arc;

use bevy_ecs::{
    change_detection::DetectChangesMut,
    component::{Component, Mutable},
    entity::{Entities, Entity, EntityIndex},
    world::World,
};
use peristyle_offload::{Applied, Change, Described, PatchBuffer, PatchCommit, PatchFault, PatchRecord};

use crate::source::known_as;

/// An entity as jobs know it.
pub(crate) type Handle = peristyle_offload::Entity;

/// Applies patches to one component, whatever its type.
pub(crate) trait Patcher: Send + Sync {
    /// Applies a patch to a living entity, which jobs know by `of`.
    fn patch(&self, world: &mut World, entity: Entity, of: Handle, change: Change<'_>) -> Result<(), PatchFault>;
}

impl<C: Component<Mutability = Mutable>> Patcher for Described<C> {
    fn patch(&self, world: &mut World, entity: Entity, of: Handle, change: Change<'_>) -> Result<(), PatchFault> {
        let mut entity = world.get_entity_mut(entity).map_err(|_| PatchFault::Gone(of))?;
        match change {
            Change::Set { value, .. } => {
                let mut known = entity.get_mut::<C>().ok_or_else(|| self.missing(of))?;
                // What is refused is no change.
                let result = self.set(known.bypass_change_detection(), value);
                if result.is_ok() {
                    known.set_changed();
                }
                result
            }
            Change::Add { component, value } if entity.contains::<C>() => {
                let id = entity.id();
                self.patch(world, id, of, Change::Set { component, value })
            }
            Change::Add { value, .. } => {
                entity.insert(self.make(value)?);
                Ok(())
            }
            Change::Remove { .. } => match entity.take::<C>() {
                Some(_) => Ok(()),
                None => Err(self.missing(of)),
            },
            Change::Destroy => {
                entity.despawn();
                Ok(())
            }
        }
    }
}

/// Who applies patches, by the component's number in the job's shape.
#[derive(Default)]
pub(crate) struct Patchers(Vec<(u32, Arc<dyn Patcher>)>);

impl Patchers {
    pub(crate) fn add(&mut self, component: u32, patcher: Arc<dyn Patcher>) {
        self.0.push((component, patcher));
    }

    fn of(&self, component: u32) -> Result<&dyn Patcher, PatchFault> {
        let found = self.0.iter().find(|(known, _)| *known == component);
        found.map(|(_, patcher)| &**patcher).ok_or(PatchFault::UnknownComponent(component))
    }

    /// Applies one patch.
    pub(crate) fn apply(
        &self,
        world: &mut World,
        entity: Entity,
        of: Handle,
        change: Change<'_>,
    ) -> Result<Applied, PatchFault> {
        match change.component() {
            Some(component) => self.of(component)?.patch(world, entity, of, change)?,
            None => world.try_despawn(entity).map_err(|_| PatchFault::Gone(of))?,
        }
        Ok(Applied::Now)
    }
}

/// The living entity that jobs know by this handle.
pub(crate) fn find(entities: &Entities, entity: Handle) -> Option<Entity> {
    let found = entities.resolve_from_index(EntityIndex::from_raw_u32(entity.index())?);
    (entities.contains_spawned(found) && known_as(found) == entity).then_some(found)
}

/// What waits until the world can change.
#[derive(Default)]
pub(crate) struct Deferred {
    records: PatchBuffer,
    /// Whom they patch, as Bevy knows them.
    entities: Vec<Entity>,
    despawned: Vec<Entity>,
}

impl Deferred {
    pub(crate) fn despawn(&mut self, entity: Entity) {
        self.despawned.push(entity);
    }

    pub(crate) fn patch(&mut self, entity: Entity, record: &PatchRecord<'_>) {
        self.records.push(record);
        self.entities.push(entity);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entities.is_empty() && self.despawned.is_empty()
    }

    /// Applies all of it, patches first; tells what became of them, if there were any.
    pub(crate) fn apply(&mut self, patchers: &Patchers, world: &mut World) -> Option<PatchCommit> {
        let mut commit = (!self.entities.is_empty()).then(PatchCommit::default);
        if let Some(commit) = &mut commit {
            for (index, (record, entity)) in self.records.iter().zip(self.entities.drain(..)).enumerate() {
                let applied = patchers.apply(world, entity, record.entity, Change::of(&record));
                commit.count(index, record.entity, applied);
            }
            self.records.clear();
        }
        self.despawned.drain(..).for_each(|entity| _ = world.try_despawn(entity));
        commit
    }
}
