//! Commands: structural changes recorded now, merged later in a fixed order.
//!
//! A [`CommandBuffer`] can be filled anywhere, on any worker: it knows no world. Spawning gives a provisional handle at
//! once; it is rewritten inside command values when the buffer is merged. Values wait in one typed list a bundle type, so
//! a buffer that is used again allocates nothing once it has grown.

use std::any::{Any, TypeId};

use peristyle_layout::{Entity, GENERATION_MAX, INDEX_MAX};

use crate::{
    bundle::Bundle,
    component::Component,
    error::WorldError,
    hash::{NumberMap, TypeMap},
    world::World,
};

/// Number of the buffer of a world's observers.
const OBSERVERS: u32 = GENERATION_MAX;

/// Recorded structural changes.
#[derive(Default)]
pub struct CommandBuffer {
    id: u32,
    /// Sequence of the first spawn since the last merge. Sequences go on after a merge, so that a handle that was kept
    /// over it names nothing.
    first: u32,
    spawned: u32,
    commands: Vec<Command>,
    lists: Vec<Box<dyn ValueList>>,
    list_of: TypeMap<usize>,
}

enum Command {
    Spawn { entity: Entity, list: usize, value: usize },
    Insert { entity: Entity, list: usize, value: usize },
    Despawn(Entity),
    Remove { entity: Entity, remove: fn(&mut World, Entity) -> Result<(), WorldError> },
    SetParent { child: Entity, parent: Option<Entity> },
    Run(Box<dyn FnOnce(&mut World) + Send + Sync>),
}

/// Values of one bundle type that wait for the merge.
trait ValueList: Any + Send + Sync {
    fn spawn(&mut self, world: &mut World, entity: Entity, value: usize, map: &mut Mapping) -> Result<(), WorldError>;
    fn insert(&mut self, world: &mut World, entity: Entity, value: usize, map: &mut Mapping) -> Result<(), WorldError>;
    fn clear(&mut self);
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<B: Bundle> ValueList for Vec<Option<B>> {
    fn spawn(&mut self, world: &mut World, entity: Entity, value: usize, map: &mut Mapping) -> Result<(), WorldError> {
        let mut bundle = self[value].take().expect("each value is taken once");
        bundle.remap(&mut |entity| map.resolve(entity));
        world.place_reserved(entity, bundle)
    }
    fn insert(&mut self, world: &mut World, entity: Entity, value: usize, map: &mut Mapping) -> Result<(), WorldError> {
        let mut bundle = self[value].take().expect("each value is taken once");
        bundle.remap(&mut |entity| map.resolve(entity));
        world.insert(entity, bundle)
    }
    fn clear(&mut self) {
        Vec::clear(self);
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// From provisional handles to the entities they became: for each buffer, its first sequence and the entities from it on.
#[derive(Default)]
pub(crate) struct Mapping(NumberMap<(u32, Vec<Option<Entity>>)>);

impl Mapping {
    /// The entity of a handle; a provisional handle of another merge, or of a spawn that failed, stays as it is.
    fn resolve(&self, entity: Entity) -> Entity {
        if !entity.is_provisional() {
            return entity;
        }
        let spawned = self
            .0
            .get(&entity.generation())
            .and_then(|(first, spawned)| spawned.get(entity.index().checked_sub(*first)? as usize));
        spawned.copied().flatten().unwrap_or(entity)
    }
}

/// What a merge did.
#[derive(Debug, Default)]
pub struct Merged {
    /// Commands carried out.
    pub applied: usize,
    /// Commands whose entity had gone meanwhile.
    pub stale: usize,
    /// Errors of commands that could not be carried out for other reasons.
    pub errors: Vec<WorldError>,
}

impl CommandBuffer {
    /// An empty buffer. Buffers that are merged together have different numbers, below 2^20 - 1.
    ///
    /// # Panics
    /// If `id` is 2^20 - 1 or above.
    pub fn new(id: u32) -> CommandBuffer {
        assert!(id < OBSERVERS, "a command buffer's number is below 2^20 - 1");
        CommandBuffer { id, ..CommandBuffer::default() }
    }

    /// The buffer of a world's observers.
    pub(crate) fn of_observers() -> CommandBuffer {
        CommandBuffer { id: OBSERVERS, ..CommandBuffer::default() }
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Number of commands recorded.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    fn store<B: Bundle>(&mut self, bundle: B) -> (usize, usize) {
        let lists = &mut self.lists;
        let list = *self.list_of.entry(TypeId::of::<B>()).or_insert_with(|| {
            lists.push(Box::new(Vec::<Option<B>>::new()));
            lists.len() - 1
        });
        let values = self.lists[list].as_any().downcast_mut::<Vec<Option<B>>>().expect("lists are found by type");
        values.push(Some(bundle));
        (list, values.len() - 1)
    }

    /// Spawns an entity at the merge. Its provisional handle can be used in further commands and values until then.
    pub fn spawn<B: Bundle>(&mut self, bundle: B) -> Entity {
        let entity = Entity::provisional(self.id, self.first + self.spawned);
        self.spawned += 1;
        let (list, value) = self.store(bundle);
        self.commands.push(Command::Spawn { entity, list, value });
        entity
    }

    /// Gives an entity components, or replaces their values.
    pub fn insert<B: Bundle>(&mut self, entity: Entity, bundle: B) {
        let (list, value) = self.store(bundle);
        self.commands.push(Command::Insert { entity, list, value });
    }

    /// Takes a component from an entity.
    pub fn remove<C: Component>(&mut self, entity: Entity) {
        fn remove<C: Component>(world: &mut World, entity: Entity) -> Result<(), WorldError> {
            world.remove::<C>(entity).map(drop)
        }
        self.commands.push(Command::Remove { entity, remove: remove::<C> });
    }

    /// Despawns an entity and its children.
    pub fn despawn(&mut self, entity: Entity) {
        self.commands.push(Command::Despawn(entity));
    }

    /// Gives an entity a parent, or none.
    pub fn set_parent(&mut self, child: Entity, parent: Option<Entity>) {
        self.commands.push(Command::SetParent { child, parent });
    }

    /// Runs a function on the world at the merge.
    pub fn run(&mut self, run: impl FnOnce(&mut World) + Send + Sync + 'static) {
        self.commands.push(Command::Run(Box::new(run)));
    }

    /// What is recorded; the rest goes on as the same buffer.
    pub(crate) fn take(&mut self) -> CommandBuffer {
        let (id, first) = (self.id, self.next_first());
        std::mem::replace(self, CommandBuffer { id, first, ..CommandBuffer::default() })
    }

    fn next_first(&self) -> u32 {
        let next = self.first + self.spawned;
        if next > INDEX_MAX / 2 { 0 } else { next }
    }

    fn clear(&mut self) {
        self.commands.clear();
        self.first = self.next_first();
        self.spawned = 0;
        self.lists.iter_mut().for_each(|list| list.clear());
    }
}

impl World {
    /// Carries out the commands of `buffers`, buffer after buffer, and empties them.
    ///
    /// Every spawn of every buffer gets its entity first, in that order, so that values may hold entities of other
    /// buffers of the same merge. A command on such an entity has to come after its spawn. Commands on entities that have
    /// gone meanwhile, or have not come yet, are counted and dropped.
    ///
    /// # Panics
    /// If two buffers with spawns have the same number.
    pub fn merge<'a>(&mut self, buffers: impl IntoIterator<Item = &'a mut CommandBuffer>) -> Merged {
        let mut buffers: Vec<_> = buffers.into_iter().filter(|buffer| !buffer.is_empty()).collect();
        let (mut merged, mut mapping) = (Merged::default(), Mapping::default());
        for buffer in &buffers {
            if buffer.spawned == 0 {
                continue;
            }
            let spawned = (0..buffer.spawned).map(|_| self.reserve_entity().ok()).collect();
            let other = mapping.0.insert(buffer.id, (buffer.first, spawned));
            assert!(other.is_none(), "two command buffers of a merge have the number {}", buffer.id);
        }
        for buffer in &mut buffers {
            self.merge_one(buffer, &mut mapping, &mut merged);
            buffer.clear();
        }
        if let Err(error) = self.flush_observers() {
            merged.errors.push(error);
        }
        merged
    }

    fn merge_one(&mut self, buffer: &mut CommandBuffer, mapping: &mut Mapping, merged: &mut Merged) {
        for command in buffer.commands.drain(..) {
            let done = match command {
                Command::Spawn { entity, list, value } => match mapping.resolve(entity) {
                    unmapped if unmapped.is_provisional() => Err(WorldError::EntitiesExhausted),
                    entity => buffer.lists[list]
                        .spawn(self, entity, value, mapping)
                        .inspect_err(|_| self.entities.free(entity.index())),
                },
                Command::Insert { entity, list, value } => {
                    let entity = mapping.resolve(entity);
                    buffer.lists[list].insert(self, entity, value, mapping)
                }
                Command::Despawn(entity) => self.despawn(mapping.resolve(entity)),
                Command::Remove { entity, remove } => remove(self, mapping.resolve(entity)),
                Command::SetParent { child, parent } => {
                    self.set_parent(mapping.resolve(child), parent.map(|parent| mapping.resolve(parent)))
                }
                Command::Run(run) => {
                    run(self);
                    Ok(())
                }
            };
            match done {
                Ok(()) => merged.applied += 1,
                Err(WorldError::Stale(_) | WorldError::Missing { .. } | WorldError::Provisional(_)) => {
                    merged.stale += 1
                }
                Err(error) => merged.errors.push(error),
            }
        }
    }
}
