//! The world: entities and their components, resources, ticks.

use std::{
    any::TypeId,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use peristyle_layout::{Entity, Field, chunk::CHUNK_ROWS};
use peristyle_memory::{Memory, RegionError, bits};

use crate::{
    bundle::{self, Bundle, ColumnarBundle},
    columnar::{Base, Columnar},
    component::{
        Columns, Component, ComponentId, Components, DefineError, RowMutOf, RowOf, SlicesMutOf, SlicesOf, Storage,
    },
    entities::{Entities, NO_CHUNK, Place},
    error::WorldError,
    hash::TypeMap,
    observers::Observers,
    patch::Patcher,
    put::Addition,
    removed::RemovedLogs,
    resources::{ColumnResource, ResourceId, Resources},
    table::{Chunk, TableId, Tables},
    track::Consumer,
};

/// A world of entities, held as columns in one linear memory.
///
/// ```
/// use peristyle_world::{Component, World};
///
/// #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// struct Position { x: f32, y: f32 }
///
/// let mut world = World::new()?;
/// let entity = world.spawn(Position { x: 1.0, y: 2.0 })?;
/// world.set(entity, Position { x: 3.0, y: 2.0 })?;
/// assert_eq!(world.get::<Position>(entity)?, Position { x: 3.0, y: 2.0 });
/// world.despawn(entity)?;
/// assert!(world.get::<Position>(entity).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct World {
    pub(crate) tables: Tables,
    pub(crate) entities: Entities,
    pub(crate) observers: Observers,
    pub(crate) removed: RemovedLogs,
    pub(crate) components: Components,
    pub(crate) resources: Resources,
    pub(crate) bundles: Vec<BundleInfo>,
    bundle_of: TypeMap<u32>,
    /// The bundle that was asked for last, and its number.
    bundle_last: Option<(TypeId, u32)>,
    /// The component of parents, once somebody has one.
    pub(crate) children: Option<ComponentId>,
    /// Tells worlds apart, so that a query is never used on another world than its own.
    pub(crate) id: u64,
    /// Entities that are to go, kept for its storage.
    doomed: Vec<Entity>,
    /// What patches are applied with, kept for its storage.
    pub(crate) patcher: Patcher,
    consumers: u32,
    tick: u64,
    in_tick: bool,
    sequence: u64,
}

/// Where a bundle's components go.
pub(crate) struct BundleInfo {
    /// In declared order.
    components: Box<[ComponentId]>,
    /// The table of exactly these components.
    table: TableId,
}

/// Most components of a bundle whose places fit on the stack.
const BASES: usize = 16;

/// Entities that were spawned together.
#[derive(Clone)]
pub struct Spawned<'w>(SpawnedRows<'w>);

#[derive(Clone)]
enum SpawnedRows<'w> {
    /// Consecutive rows of one table.
    Rows { world: &'w World, table: TableId, rows: Range<usize> },
    /// Observers may have moved their rows, or despawned them.
    Listed(Vec<Entity>),
}

impl Spawned<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            SpawnedRows::Rows { rows, .. } => rows.len(),
            SpawnedRows::Listed(entities) => entities.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entities, in the order of their values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entity> + '_ {
        (0..self.len()).map(|number| match &self.0 {
            SpawnedRows::Rows { world, table, rows } => world.entity_at(*table, rows.start + number),
            SpawnedRows::Listed(entities) => entities[number],
        })
    }
}

impl World {
    /// A world on a native memory of at most [`Memory::DEFAULT_MAX_BYTES`].
    ///
    /// # Errors
    /// [`RegionError`] if the process may not have so many addresses.
    pub fn new() -> Result<World, RegionError> {
        Ok(World::on(Memory::reserve(Memory::DEFAULT_MAX_BYTES)?))
    }

    /// A world on a memory of its own.
    pub fn on(memory: Memory) -> World {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        World {
            tables: Tables::new(memory),
            entities: Entities::default(),
            observers: Observers::default(),
            removed: RemovedLogs::default(),
            components: Components::default(),
            resources: Resources::default(),
            bundles: Vec::new(),
            bundle_of: TypeMap::default(),
            bundle_last: None,
            children: None,
            id: WORLDS.fetch_add(1, Relaxed),
            doomed: Vec::new(),
            patcher: Patcher::default(),
            consumers: 0,
            tick: 0,
            in_tick: false,
            sequence: 0,
        }
    }

    /// The memory that holds the columns.
    pub fn memory(&self) -> &Memory {
        self.tables.memory()
    }

    /// Number of living entities.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether nothing lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Components.

    /// The component types.
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// The number of `C`, registering it if it is new.
    ///
    /// # Panics
    /// If another type is registered under `C`'s name, or one was defined with other columns.
    pub fn register<C: Component>(&mut self) -> ComponentId {
        self.components.register::<C>()
    }

    /// Gives a component that was [defined](World::define) at run time its Rust type, which has the same name and columns.
    ///
    /// # Errors
    /// [`DefineError`]: there is none, or it is another.
    pub fn adopt<C: Component>(&mut self) -> Result<ComponentId, DefineError> {
        self.components.adopt::<C>()
    }

    /// Defines a columnar component that has no Rust type.
    ///
    /// # Errors
    /// [`DefineError`] if the name is taken or a field's name is unusable.
    pub fn define(&mut self, name: &str, fields: Vec<Field>) -> Result<ComponentId, DefineError> {
        self.components.define(name, fields)
    }

    /// A new consumer of changes.
    pub fn consumer(&mut self) -> Consumer {
        self.consumers += 1;
        Consumer(self.consumers)
    }

    /// The number of a bundle type.
    #[inline]
    fn bundle<B: Bundle>(&mut self) -> u32 {
        let key = bundle::key::<B>();
        match self.bundle_last {
            Some((last, bundle)) if last == key => bundle,
            _ => self.other_bundle::<B>(),
        }
    }

    fn other_bundle<B: Bundle>(&mut self) -> u32 {
        let key = bundle::key::<B>();
        let known = self.bundle_of.get(&key).copied();
        let bundle = known.unwrap_or_else(|| self.new_bundle::<B>());
        self.bundle_last = Some((key, bundle));
        bundle
    }

    #[cold]
    fn new_bundle<B: Bundle>(&mut self) -> u32 {
        let components = bundle::components_of::<B>(&mut self.components);
        let mut sorted = components.to_vec();
        sorted.sort_unstable();
        let known = &self.components;
        let table = self.tables.find(&sorted, |id| known.info(id).clone());
        let bundle = u32::try_from(self.bundles.len()).expect("fewer than 2^32 bundle types");
        self.bundles.push(BundleInfo { components, table });
        self.bundle_of.insert(bundle::key::<B>(), bundle);
        bundle
    }

    fn table_of(&self, bundle: u32) -> TableId {
        self.bundles[bundle as usize].table
    }

    /// Calls `f` with where the columns of a bundle start in a chunk that has them all.
    #[inline(always)]
    fn with_bases<B: Bundle, R>(&self, chunk: u32, bundle: u32, f: impl FnOnce(&[Base]) -> R) -> R {
        let chunk = self.tables.chunk(chunk);
        let table = self.tables.table(chunk.table);
        let components = &*self.bundles[bundle as usize].components;
        let base = |component: &ComponentId| {
            table.base(chunk, table.column(*component).expect("the table has the bundle's components"))
        };
        if B::COUNT <= BASES {
            let mut bases = [Base { ptr: std::ptr::null_mut(), capacity: 0 }; BASES];
            bases[..B::COUNT].iter_mut().zip(components).for_each(|(out, component)| *out = base(component));
            f(&bases[..B::COUNT])
        } else {
            f(&components.iter().map(base).collect::<Vec<_>>())
        }
    }

    // Spawning.

    /// Spawns an entity.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`].
    ///
    /// # Panics
    /// If a component is twice in the bundle.
    pub fn spawn<B: Bundle>(&mut self, bundle: B) -> Result<Entity, WorldError> {
        let entity = self.reserve_entity()?;
        match self.place_reserved(entity, bundle) {
            Ok(()) => self.flush_observers().map(|()| entity),
            Err(error) => {
                self.entities.free(entity.index());
                Err(error)
            }
        }
    }

    /// An entity that lives but has no row yet; [`World::place_reserved`] must follow.
    pub(crate) fn reserve_entity(&mut self) -> Result<Entity, WorldError> {
        self.entities.allocate(Place { chunk: NO_CHUNK, row: 0 })
    }

    /// Gives a reserved entity its row.
    pub(crate) fn place_reserved<B: Bundle>(&mut self, entity: Entity, value: B) -> Result<(), WorldError> {
        let bundle = self.bundle::<B>();
        let table = self.table_of(bundle);
        if !self.tables.has_room(table) {
            self.tables.reserve(table, 1)?;
        }
        let first = self.tables.table(table).rows();
        let (chunk, row) = self.tables.push_row(table);
        self.entities.moved(entity.index(), Place { chunk, row: row as u32 });
        self.with_bases::<B, _>(chunk, bundle, |bases| {
            // SAFETY: the row is new and in the chunk; the bases are the declared components'.
            unsafe { value.write(bases, row) };
        });
        // SAFETY: as above.
        unsafe { self.tables.chunk(chunk).eids().add(row).write(entity.index()) };
        self.tables.mark_added(table, first..first + 1);
        if self.is_observed(table) {
            let components: Box<[ComponentId]> = self.tables.table(table).components().into();
            self.notify_added(&components, entity);
        }
        Ok(())
    }

    /// Spawns one entity for each bundle.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`]; bundles until then are spawned.
    pub fn spawn_batch<B: Bundle>(&mut self, bundles: impl IntoIterator<Item = B>) -> Result<Spawned<'_>, WorldError> {
        let bundle = self.bundle::<B>();
        let table = self.table_of(bundle);
        let mut values = bundles.into_iter().fuse();
        let first_row = self.tables.table(table).rows();
        let (least, _) = values.size_hint();
        self.tables.reserve(table, least)?;
        self.entities.reserve(least)?;
        let mut result = Ok(());
        while let Some(first) = values.next() {
            if !self.tables.has_room(table)
                && let Err(error) = self.tables.reserve(table, values.size_hint().0 + 1)
            {
                result = Err(error.into());
                break;
            }
            let rows = self.tables.table(table).rows();
            let (chunk, start) = (self.tables.table(table).chunk_id(rows / CHUNK_ROWS), rows % CHUNK_ROWS);
            let end = self.tables.chunk(chunk).capacity.min(start + self.entities.room());
            if start == end {
                result = Err(WorldError::EntitiesExhausted);
                break;
            }
            let end = self.with_bases::<B, _>(chunk, bundle, |bases| {
                let mut written = Written { chunk: self.tables.chunk(chunk), rows: start..start };
                let mut next = Some(first);
                while let Some(value) = next {
                    // SAFETY: the row is new and below the chunk's capacity; the bases are the declared components'.
                    unsafe { value.write(bases, written.rows.end) };
                    written.rows.end += 1;
                    next = if written.rows.end < end { values.next() } else { None };
                }
                written.keep()
            });
            self.name_rows(table, chunk, start..end);
        }
        self.spawned(table, first_row, result)
    }

    /// Takes rows that were just written behind a table's last into use, and gives them their entities, for which there
    /// is room.
    pub(crate) fn name_rows(&mut self, table: TableId, chunk: u32, rows: Range<usize>) {
        // SAFETY: the rows are below the chunk's capacity, and `self` is borrowed mutably.
        let indices =
            unsafe { std::slice::from_raw_parts_mut(self.tables.chunk(chunk).eids().add(rows.start), rows.len()) };
        self.entities.allocate_run(chunk, rows.start, indices);
        self.tables.push_rows(table, rows.len());
    }

    /// Makes room for `count` more entities of `B`, so that spawning them allocates nothing.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`].
    pub fn reserve<B: Bundle>(&mut self, count: usize) -> Result<(), WorldError> {
        let bundle = self.bundle::<B>();
        self.tables.reserve(self.table_of(bundle), count)?;
        self.entities.reserve(count)
    }

    /// Spawns `count` entities and lets `fill` write their columns in place: it is called for each run of rows with the
    /// columns and the number of the run's first entity among them. Columns hold arbitrary values until it writes them.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`]; nothing is spawned then.
    pub fn spawn_fill<B: ColumnarBundle>(
        &mut self,
        count: usize,
        mut fill: impl FnMut(B::SlicesMut<'_>, usize),
    ) -> Result<Spawned<'_>, WorldError> {
        let bundle = self.bundle::<B>();
        let table = self.table_of(bundle);
        if self.entities.room() < count {
            return Err(WorldError::EntitiesExhausted);
        }
        self.tables.reserve(table, count)?;
        self.entities.reserve(count)?;
        let first_row = self.tables.table(table).rows();
        let mut done = 0;
        while done < count {
            let at = first_row + done;
            let chunk = self.tables.table(table).chunk_id(at / CHUNK_ROWS);
            let start = at % CHUNK_ROWS;
            let rows = start..start + (CHUNK_ROWS - start).min(count - done);
            self.with_bases::<B, _>(chunk, bundle, |bases| {
                // SAFETY: the rows are new, below the chunk's capacity, and `self` is borrowed mutably. Memory of a region
                // is initialised bytes, and any bytes are values of the columns' elements.
                fill(unsafe { B::slices_mut(bases, rows.clone()) }, done);
            });
            done += rows.len();
            self.name_rows(table, chunk, rows);
        }
        self.spawned(table, first_row, Ok(()))
    }

    /// Marks, notifies and names the rows that were just added to a table.
    pub(crate) fn spawned(
        &mut self,
        table: TableId,
        first_row: usize,
        result: Result<(), WorldError>,
    ) -> Result<Spawned<'_>, WorldError> {
        let rows = self.tables.table(table).rows() - first_row;
        self.tables.mark_added(table, first_row..first_row + rows);
        if !self.is_observed(table) {
            result?;
            return Ok(Spawned(SpawnedRows::Rows { world: self, table, rows: first_row..first_row + rows }));
        }
        let entities: Vec<Entity> = (first_row..first_row + rows).map(|row| self.entity_at(table, row)).collect();
        let components: Box<[ComponentId]> = self.tables.table(table).components().into();
        for entity in &entities {
            self.notify_added(&components, *entity);
        }
        self.flush_observers()?;
        result?;
        Ok(Spawned(SpawnedRows::Listed(entities)))
    }

    /// The entity of a row in use, counted from its table's first.
    fn entity_at(&self, table: TableId, row: usize) -> Entity {
        let table = self.tables.table(table);
        assert!(row < table.rows(), "the row is in use");
        let chunk = self.tables.chunk_at(table, row / CHUNK_ROWS);
        // SAFETY: the row is in use, and the world is borrowed.
        self.entities.handle(unsafe { chunk.eids().add(row % CHUNK_ROWS).read() })
    }

    // Despawning.

    /// Despawns an entity and its children.
    ///
    /// # Errors
    /// [`WorldError::Stale`] if it does not live; [`WorldError::OutOfMemory`] if an observer's command failed.
    #[inline]
    pub fn despawn(&mut self, entity: Entity) -> Result<(), WorldError> {
        let place = self.entities.place(entity)?;
        self.despawn_family(entity, place);
        self.flush_observers()
    }

    /// Despawns every entity that still lives, and their children. Gives how many of those named did.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`] if an observer's command failed.
    pub fn despawn_batch(&mut self, entities: impl IntoIterator<Item = Entity>) -> Result<usize, WorldError> {
        let mut despawned = 0;
        for entity in entities {
            if let Ok(place) = self.entities.place(entity) {
                self.despawn_family(entity, place);
                despawned += 1;
            }
        }
        self.flush_observers()?;
        Ok(despawned)
    }

    #[inline]
    fn despawn_family(&mut self, entity: Entity, place: Place) {
        match self.children {
            None => self.despawn_one(entity, place),
            Some(children) => self.despawn_related(entity, place, children),
        }
    }

    /// Descendants first, each after its own. A loop, for a family may be deeper than the stack.
    fn despawn_related(&mut self, entity: Entity, place: Place, children: ComponentId) {
        self.leave_parent(entity);
        if self.tables.table(self.tables.chunk(place.chunk).table).column(children).is_none() {
            return self.despawn_one(entity, place);
        }
        let mut family = vec![entity];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(self.take_children(parent));
            next += 1;
        }
        for member in family.into_iter().rev() {
            if let Ok(place) = self.entities.place(member) {
                self.despawn_one(member, place);
            }
        }
    }

    #[inline]
    fn despawn_one(&mut self, entity: Entity, place: Place) {
        let table = self.tables.chunk(place.chunk).table;
        if self.is_observed(table) {
            let components: Box<[ComponentId]> = self.tables.table(table).components().into();
            self.notify_removed(&components, entity);
        }
        if !self.removed.is_empty() {
            for component in self.tables.table(table).components() {
                self.removed.push(*component, entity);
            }
        }
        self.remove_row(place, true);
        self.entities.free(entity.index());
    }

    /// Removes a row, and says where the row that filled the hole is now.
    #[inline]
    pub(crate) fn remove_row(&mut self, place: Place, drop_values: bool) {
        if let Some(moved) = self.tables.remove_row(place.chunk, place.row as usize, drop_values) {
            self.entities.moved(moved, place);
        }
    }

    /// Appends the entities of a table whose despawn bits are set, and zeroes the bits.
    fn take_marked(&self, table: TableId, doomed: &mut Vec<Entity>) {
        let table = self.tables.table(table);
        for position in 0..table.chunk_count() {
            let (chunk, rows) = (self.tables.chunk_at(table, position), 0..table.chunk_rows(position));
            for word in bits::words_of(&rows) {
                // SAFETY: the word lies in the despawn bits, and the only caller borrows the world mutably.
                let marked = unsafe { std::mem::take(&mut *table.bitset(chunk, None).add(word)) };
                bits::for_each_one(marked & bits::word_mask(word, &rows), word * bits::WORD, |row| {
                    // SAFETY: the row is in use.
                    doomed.push(self.entities.handle(unsafe { chunk.eids().add(row).read() }));
                });
            }
        }
    }

    /// Despawns the entities whose despawn bits are set in some tables, and zeroes the bits. Gives how many there were.
    ///
    /// All are collected before the first goes: a family that goes with one of them moves other rows about. The last goes
    /// first, so that few rows move to fill a hole that is one of theirs soon.
    pub(crate) fn despawn_marked(&mut self, tables: impl IntoIterator<Item = TableId>) -> Result<usize, WorldError> {
        let mut doomed = std::mem::take(&mut self.doomed);
        tables.into_iter().for_each(|table| self.take_marked(table, &mut doomed));
        let marked = doomed.len();
        for entity in doomed.drain(..).rev() {
            // Whoever has no place went with its parent.
            if let Ok(place) = self.entities.place(entity) {
                self.despawn_family(entity, place);
            }
        }
        self.doomed = doomed;
        self.flush_observers()?;
        Ok(marked)
    }

    // One entity.

    /// Whether the entity lives.
    pub fn is_alive(&self, entity: Entity) -> bool {
        self.entities.place(entity).is_ok()
    }

    /// Whether the entity lives and has a `C`.
    pub fn has<C: Component>(&self, entity: Entity) -> bool {
        self.locate::<C>(entity).is_ok()
    }

    /// The table, chunk, column and row of an entity's `C`.
    #[inline]
    fn locate<C: Component>(&self, entity: Entity) -> Result<Located<'_>, WorldError> {
        let component = self.components.id_of::<C>();
        match component.and_then(|component| self.find(entity, component)) {
            Some(located) => Ok(located),
            None => Err(self.why_not(entity, C::NAME)),
        }
    }

    /// Where an entity's component is, if it lives and has it.
    #[inline(always)]
    pub(crate) fn find(&self, entity: Entity, component: ComponentId) -> Option<Located<'_>> {
        let place = self.entities.find(entity)?;
        // No chunk has the number of an entity without a row.
        let chunk = self.tables.get_chunk(place.chunk)?;
        let table = self.tables.table(chunk.table);
        Some(Located { table, chunk, column: table.column(component)?, row: place.row as usize })
    }

    /// The table, the position of the chunk in it and the row of an entity, if it lives.
    #[inline]
    pub(crate) fn place_of(&self, entity: Entity) -> Option<(&crate::table::Table, usize, usize)> {
        let place = self.entities.find(entity)?;
        let chunk = self.tables.get_chunk(place.chunk)?;
        Some((self.tables.table(chunk.table), chunk.position, place.row as usize))
    }

    /// Why [`World::find`] found nothing.
    #[cold]
    pub(crate) fn why_not(&self, entity: Entity, component: &str) -> WorldError {
        match self.entities.place(entity) {
            Ok(_) => WorldError::Missing { entity, component: component.to_owned() },
            Err(error) => error,
        }
    }

    /// An entity's `C`: the value if it lies in columns, else a reference.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    #[inline]
    pub fn get<C: Component>(&self, entity: Entity) -> Result<RowOf<'_, C>, WorldError> {
        let at = self.locate::<C>(entity)?;
        // SAFETY: the row is in use, and `&self` keeps writers away.
        Ok(unsafe { C::Storage::row(at.base(), at.row) })
    }

    /// An entity's `C`, to write. Counts as changed.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    #[inline]
    pub fn get_mut<C: Component>(&mut self, entity: Entity) -> Result<RowMutOf<'_, C>, WorldError> {
        let at = self.locate::<C>(entity)?;
        at.mark(None);
        // SAFETY: the row is in use, and `&mut self` keeps everybody else away.
        Ok(unsafe { C::Storage::row_mut(at.base(), at.row) })
    }

    /// Replaces an entity's `C`. Counts as changed.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    #[inline]
    pub fn set<C: Component>(&mut self, entity: Entity, value: C) -> Result<(), WorldError> {
        let at = self.locate::<C>(entity)?;
        at.mark(None);
        // SAFETY: the row is in use, and `&mut self` keeps everybody else away.
        unsafe { C::Storage::replace(value, at.base(), at.row) };
        Ok(())
    }

    /// Gives an entity components, or replaces the values of those that it has.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::OutOfMemory`].
    pub fn insert<B: Bundle>(&mut self, entity: Entity, bundle: B) -> Result<(), WorldError> {
        // A bundle's components are registered even if nobody gets them.
        let number = self.bundle::<B>();
        self.put(entity, BundleAddition { number, bundle })
    }

    /// Moves an entity's row to another table, which has room. Values of components that only the old table has are gone
    /// already, those of components that only the new table has are the caller's to write.
    #[inline]
    pub(crate) fn move_to(&mut self, index: u32, from: Place, to_table: TableId) -> Place {
        let (chunk, row) = self.tables.push_row(to_table);
        let place = Place { chunk, row: row as u32 };
        self.tables.move_row((from.chunk, from.row as usize), (chunk, row));
        self.remove_row(from, false);
        self.entities.moved(index, place);
        place
    }

    /// Takes a component from an entity.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`], [`WorldError::OutOfMemory`].
    pub fn remove<C: Component>(&mut self, entity: Entity) -> Result<(), WorldError> {
        let component = self.components.id_of::<C>();
        self.remove_found(entity, component, C::NAME)
    }

    pub(crate) fn remove_found(
        &mut self,
        entity: Entity,
        component: Option<ComponentId>,
        name: &str,
    ) -> Result<(), WorldError> {
        let Some(at) = component.and_then(|component| self.find(entity, component)) else {
            return Err(self.why_not(entity, name));
        };
        let (from_table, column) = (at.table.id, at.column);
        let component = at.table.components()[column];
        let known = &self.components;
        let to_table = self.tables.without(from_table, column, |id| known.info(id).clone());
        if !self.tables.has_room(to_table) {
            self.tables.reserve(to_table, 1)?;
        }
        let from = self.entities.place(entity)?;
        if self.is_observed(from_table) {
            self.notify_removed(&[component], entity);
        }
        self.removed.push(component, entity);
        // SAFETY: the row is in use and removed below; its other values move first.
        unsafe { self.tables.drop_value(self.tables.chunk(from.chunk), column, from.row as usize) };
        self.move_to(entity.index(), from, to_table);
        self.flush_observers()
    }

    /// The handle of a living entity's index, as a job sees it in `snap.eids`.
    ///
    /// # Panics
    /// If no entity ever had that index.
    pub fn entity(&self, index: u32) -> Entity {
        self.entities.handle(index)
    }

    // Resources.

    /// Puts a resource into the world, and gives the one that it replaces.
    pub fn insert_resource<R: Send + Sync + 'static>(&mut self, value: R) -> Option<R> {
        self.resources.insert(value)
    }

    /// Takes a resource out of the world.
    pub fn remove_resource<R: Send + Sync + 'static>(&mut self) -> Option<R> {
        self.resources.remove()
    }

    /// A resource, if it is there.
    pub fn resource<R: Send + Sync + 'static>(&self) -> Option<&R> {
        // SAFETY: `&self` keeps writers away.
        unsafe { self.resources.get_unchecked() }
    }

    /// A resource, to write.
    pub fn resource_mut<R: Send + Sync + 'static>(&mut self) -> Option<&mut R> {
        // SAFETY: `&mut self` keeps everybody else away.
        unsafe { self.resources.get_mut_unchecked() }
    }

    /// Makes columns that the world has once, named like the component `C`, and lets `fill` write them; they are zero
    /// before. Columns of that name are replaced.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`].
    pub fn insert_columns<C: Component<Storage = Columns<C>> + Columnar>(
        &mut self,
        rows: usize,
        fill: impl FnOnce(SlicesMutOf<'_, C>),
    ) -> Result<ResourceId, WorldError> {
        let mut fields = Vec::with_capacity(C::COLUMNS);
        C::fields("", &mut fields);
        let columns = ColumnResource::new(self.memory(), fields.into(), rows, Some(TypeId::of::<C>()))?;
        // SAFETY: the columns are new and `C`'s; nobody else knows them.
        fill(unsafe { C::slices_mut(columns.base(), 0..rows) });
        Ok(self.resources.set_columns(C::NAME, columns))
    }

    /// Makes columns that the world has once and that have no Rust type; all zero. Columns of that name are replaced.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`].
    pub fn define_columns(&mut self, name: &str, fields: Vec<Field>, rows: usize) -> Result<ResourceId, WorldError> {
        let columns = ColumnResource::new(self.memory(), fields.into(), rows, None)?;
        Ok(self.resources.set_columns(name, columns))
    }

    /// The columns of `C` that the world has once.
    pub fn columns<C: Component<Storage = Columns<C>> + Columnar>(&self) -> Option<SlicesOf<'_, C>> {
        let columns = self.resources.columns_of::<C>()?;
        // SAFETY: the columns are `C`'s, and `&self` keeps writers away.
        Some(unsafe { C::slices(columns.base(), 0..columns.rows()) })
    }

    /// The columns of `C` that the world has once, to write.
    pub fn columns_mut<C: Component<Storage = Columns<C>> + Columnar>(&mut self) -> Option<SlicesMutOf<'_, C>> {
        let columns = self.resources.columns_of::<C>()?;
        // SAFETY: the columns are `C`'s, and `&mut self` keeps everybody else away.
        Some(unsafe { C::slices_mut(columns.base(), 0..columns.rows()) })
    }

    // Ticks.

    /// Begins a tick: indices that were freed in the last one may be used again.
    ///
    /// # Errors
    /// [`WorldError::NestedTick`] if one is running.
    pub fn begin_tick(&mut self) -> Result<u64, WorldError> {
        if self.in_tick {
            return Err(WorldError::NestedTick);
        }
        self.in_tick = true;
        self.tick += 1;
        self.entities.begin_tick();
        self.tables.prune();
        Ok(self.tick)
    }

    /// Ends a tick.
    ///
    /// # Errors
    /// [`WorldError::NoTick`] if none is running.
    pub fn end_tick(&mut self) -> Result<(), WorldError> {
        if !std::mem::replace(&mut self.in_tick, false) {
            return Err(WorldError::NoTick);
        }
        Ok(())
    }

    /// Ticks that have begun.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The number of the last run of a system; versions of chunks are such numbers.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Says that systems ran, up to run `sequence`.
    pub fn set_sequence(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }
}

/// A bundle for one entity.
struct BundleAddition<B> {
    number: u32,
    bundle: B,
}

// SAFETY: a bundle's components are those that it declared, and it writes those.
unsafe impl<B: Bundle> Addition for BundleAddition<B> {
    #[inline]
    fn number(&self) -> u32 {
        self.number
    }
    #[inline]
    fn components<'w>(&'w self, bundles: &'w [BundleInfo]) -> &'w [ComponentId] {
        &bundles[self.number as usize].components
    }
    #[inline]
    unsafe fn write(self, world: &World, place: Place) {
        world.with_bases::<B, _>(place.chunk, self.number, |bases| {
            // SAFETY: the caller's duties.
            unsafe { self.bundle.write(bases, place.row as usize) };
        });
    }
}

/// Rows that are written and not in use yet: values of an iterator that panics are dropped.
struct Written<'w> {
    chunk: &'w Chunk,
    rows: Range<usize>,
}

impl Written<'_> {
    /// Leaves the rows to be taken into use, and gives the end of them.
    fn keep(self) -> usize {
        std::mem::ManuallyDrop::new(self).rows.end
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        // SAFETY: the rows hold values of every component of their table, and nobody else knows of them.
        self.rows.clone().for_each(|row| unsafe { self.chunk.drop_values(row) });
    }
}

/// Where an entity's component is.
pub(crate) struct Located<'w> {
    pub(crate) table: &'w crate::table::Table,
    pub(crate) chunk: &'w crate::table::Chunk,
    pub(crate) column: usize,
    pub(crate) row: usize,
}

impl Located<'_> {
    #[inline]
    pub(crate) fn base(&self) -> Base {
        self.table.base(self.chunk, self.column)
    }

    #[inline]
    pub(crate) fn mark(&self, writer: Option<Consumer>) {
        self.table.mark_row(self.column, self.chunk.position, self.row, writer);
    }
}
