//! Commands: structural changes recorded now, merged later in a fixed order.
//!
//! A [`CommandBuffer`] can be filled anywhere, on any worker: it knows no world. Spawning gives a provisional handle at
//! once; it is rewritten inside command values when the buffer is merged. Values wait in one typed list a bundle type, or
//! as patch records, so a buffer that is used again allocates nothing once it has grown.
//!
//! Patches, removals and despawns are applied by one piece of code (`patch::apply`), which moves rows in groups where the
//! outcome is the same; typed values go through [`World::insert`], which shares `put` with it.

use std::{
    any::{Any, TypeId},
    ops::Range,
};

use peristyle_layout::{Entity, GENERATION_MAX, INDEX_MAX, PatchBuffer};

use crate::{
    bundle::Bundle,
    component::{Component, ComponentId},
    error::WorldError,
    hash::{NumberMap, TypeMap},
    patch::{Change, PatchReport, Patcher, Refused, Source, WorldPatch},
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
    /// What [`Command::Patches`] are.
    patches: PatchBuffer,
    lists: Vec<Box<dyn ValueList>>,
    list_of: TypeMap<usize>,
}

enum Command {
    Spawn {
        entity: Entity,
        list: usize,
        value: usize,
    },
    Insert {
        entity: Entity,
        list: usize,
        value: usize,
    },
    Set {
        entity: Entity,
        list: usize,
        value: usize,
        set: SetValue,
    },
    Despawn(Entity),
    Remove {
        entity: Entity,
        component: fn(&World) -> Option<ComponentId>,
        name: &'static str,
    },
    /// Consecutive records, by their bytes.
    Patches(Range<usize>),
    SetParent {
        child: Entity,
        parent: Option<Entity>,
    },
    Run(Box<dyn FnOnce(&mut World) + Send + Sync>),
}

/// Sets a component to a value of a list.
type SetValue = fn(&mut dyn ValueList, usize, &mut World, Entity, &mut Mapping) -> Result<(), WorldError>;

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
    pub(crate) fn resolve(&self, entity: Entity) -> Entity {
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
    /// Commands and patches carried out.
    pub applied: usize,
    /// Commands and patches whose entity had gone meanwhile, or lacked the component.
    pub stale: usize,
    /// Patches that were not carried out, stale ones among them.
    pub refused: usize,
    /// The first of these; see [`REFUSALS_KEPT`](crate::REFUSALS_KEPT).
    pub refusals: Vec<Refused>,
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

    /// The number that tells it from others of a merge.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Number of commands and patches recorded.
    pub fn len(&self) -> usize {
        let runs = self.commands.iter().filter(|command| matches!(command, Command::Patches(_))).count();
        self.commands.len() - runs + self.patches.len()
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

    /// Replaces the value of a component that the entity has.
    pub fn set<C: Component>(&mut self, entity: Entity, value: C) {
        fn set<C: Component>(
            list: &mut dyn ValueList,
            value: usize,
            world: &mut World,
            entity: Entity,
            map: &mut Mapping,
        ) -> Result<(), WorldError> {
            let values = list.as_any().downcast_mut::<Vec<Option<C>>>().expect("lists are found by type");
            let mut value = values[value].take().expect("each value is taken once");
            value.remap(&mut |entity| map.resolve(entity));
            world.set(entity, value)
        }
        let (list, value) = self.store(value);
        self.commands.push(Command::Set { entity, list, value, set: set::<C> });
    }

    /// Takes a component from an entity.
    pub fn remove<C: Component>(&mut self, entity: Entity) {
        let component = |world: &World| world.components().id_of::<C>();
        self.commands.push(Command::Remove { entity, component, name: C::NAME });
    }

    /// Records a patch.
    pub fn patch(&mut self, patch: &WorldPatch) {
        self.record_patches(|patches| patch.write(patches));
    }

    /// Records the patches that `record` appends to the list it is given. What was in the list before has to stay.
    pub fn record_patches<R>(&mut self, record: impl FnOnce(&mut PatchBuffer) -> R) -> R {
        let start = self.patches.bytes().len();
        let result = record(&mut self.patches);
        let end = self.patches.bytes().len();
        match self.commands.last_mut() {
            _ if end <= start => {}
            Some(Command::Patches(bytes)) => bytes.end = end,
            _ => self.commands.push(Command::Patches(start..end)),
        }
        result
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
        self.patches.clear();
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
        let mut patcher = std::mem::take(&mut self.patcher);
        let mut report = PatchReport::default();
        // Taken out, for what one buffer holds back may be carried out while another is read.
        let records: Vec<PatchBuffer> = buffers.iter_mut().map(|buffer| std::mem::take(&mut buffer.patches)).collect();
        for (current, buffer) in buffers.iter_mut().enumerate() {
            self.merge_one(buffer, (&records, current), &mut mapping, &mut patcher, &mut merged, &mut report);
        }
        patcher.flush(self, &Source { all: &records, current: 0, mapping: None, buffer: 0 });
        for (buffer, patches) in buffers.iter_mut().zip(records) {
            buffer.patches = patches;
            buffer.clear();
        }
        self.patcher = patcher;
        merged.applied += report.applied;
        merged.stale += report.stale;
        (merged.refused, merged.refusals) = (report.refused, report.refusals);
        if let Err(error) = self.flush_observers() {
            merged.errors.push(error);
        }
        merged
    }

    fn merge_one(
        &mut self,
        buffer: &mut CommandBuffer,
        (all, current): (&[PatchBuffer], usize),
        mapping: &mut Mapping,
        patcher: &mut Patcher,
        merged: &mut Merged,
        report: &mut PatchReport,
    ) {
        let CommandBuffer { id, commands, lists, .. } = buffer;
        let mut patch = 0;
        for command in commands.drain(..) {
            let source = Source { all, current, mapping: Some(mapping), buffer: *id };
            let done = match command {
                Command::Patches(range) => {
                    patcher.apply(self, &source, range, &mut patch, report);
                    continue;
                }
                Command::Despawn(entity) => patcher.change(self, &source, mapping.resolve(entity), Change::Destroy),
                Command::Remove { entity, component, name } => {
                    let entity = mapping.resolve(entity);
                    match component(self) {
                        Some(component) => patcher.change(self, &source, entity, Change::Remove(component)),
                        None => Err(self.why_not(entity, name)),
                    }
                }
                other => {
                    patcher.flush(self, &source);
                    self.carry_out(other, lists, mapping)
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

    /// Carries out a command that is no patch.
    fn carry_out(
        &mut self,
        command: Command,
        lists: &mut [Box<dyn ValueList>],
        mapping: &mut Mapping,
    ) -> Result<(), WorldError> {
        match command {
            Command::Spawn { entity, list, value } => match mapping.resolve(entity) {
                unmapped if unmapped.is_provisional() => Err(WorldError::EntitiesExhausted),
                entity => {
                    lists[list].spawn(self, entity, value, mapping).inspect_err(|_| self.entities.free(entity.index()))
                }
            },
            Command::Insert { entity, list, value } => {
                let entity = mapping.resolve(entity);
                lists[list].insert(self, entity, value, mapping)
            }
            Command::Set { entity, list, value, set } => {
                let entity = mapping.resolve(entity);
                set(&mut *lists[list], value, self, entity, mapping)
            }
            Command::SetParent { child, parent } => {
                self.set_parent(mapping.resolve(child), parent.map(|parent| mapping.resolve(parent)))
            }
            Command::Run(run) => {
                run(self);
                Ok(())
            }
            Command::Despawn(_) | Command::Remove { .. } | Command::Patches(_) => {
                unreachable!("changes that are patches too are applied with them")
            }
        }
    }
}
