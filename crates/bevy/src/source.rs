//! A Bevy world as a source of rows.
//!
//! A job whose components and filters all live in tables has its rows table by table, as slices. If one of them is a
//! sparse set, rows are reached entity by entity, which is slower and works the same.

use std::{ops::Range, sync::Arc};

use bevy_ecs::{
    change_detection::Tick,
    component::{Component, ComponentId, Mutable, StorageType},
    entity::Entity,
    query::{FilteredAccess, QueryBuilder, QueryState},
    storage::{Table, TableId},
    system::Query,
    world::{FilteredEntityMut, World, unsafe_world_cell::UnsafeWorldCell},
};
use peristyle_jobs::JobShape;
use peristyle_offload::{
    Applied, Backend, Change, Column, ColumnMut, ColumnRef, Declared, DeclaredParts, Described, Filters, NoValues,
    OpaqueValue, PatchCommit, PatchFault, Patches, Placed, Reads, Segments, Source, Writes,
};

use crate::{
    patch::{Deferred, Handle, Patcher, Patchers, find},
    table::{PatchOnly, ReadOnly, ReadWrite, TableAccess, Values},
};

/// Bevy, as what can be declared of its worlds.
pub struct Bevy;

/// A declared component of a Bevy world, of any type.
pub struct BevyComponent {
    register: fn(&mut World) -> ComponentId,
    is_written: bool,
    values: Box<dyn Values>,
    patcher: Option<Arc<dyn Patcher>>,
}

/// A component that is asked for or ruled out.
pub struct BevyFilter(fn(&mut World) -> ComponentId);

impl Backend for Bevy {
    type Component = BevyComponent;
    type Filter = BevyFilter;
}

impl<C: Component> Reads<C> for Bevy {
    fn reads(described: Described<C>) -> BevyComponent {
        let values = Box::new(ReadOnly(described));
        BevyComponent { register: World::register_component::<C>, is_written: false, values, patcher: None }
    }
}

impl<C: Component<Mutability = Mutable>> Writes<C> for Bevy {
    fn writes(described: Described<C>) -> BevyComponent {
        let described = Arc::new(described);
        let (values, patcher) = (Box::new(ReadWrite(described.clone())), Some(described as _));
        BevyComponent { register: World::register_component::<C>, is_written: true, values, patcher }
    }
}

impl<C: Component<Mutability = Mutable>> Patches<C> for Bevy {
    fn patches(described: Described<C>) -> BevyComponent {
        let (values, patcher) = (Box::new(PatchOnly), Some(Arc::new(described) as _));
        BevyComponent { register: World::register_component::<C>, is_written: false, values, patcher }
    }
}

impl<C: Component> Filters<C> for Bevy {
    fn filter() -> BevyFilter {
        BevyFilter(World::register_component::<C>)
    }
}

type State = QueryState<FilteredEntityMut<'static, 'static>>;

/// Which tables of one Bevy world hold a job's rows. Kept from frame to frame.
pub struct Tables {
    shape: JobShape,
    components: Vec<(ComponentId, Box<dyn Values>)>,
    state: State,
    /// Whether all that was declared lives in tables.
    is_dense: bool,
    segments: Segments<TableId>,
    /// The rows, if not.
    entities: Vec<Entity>,
    patchers: Arc<Patchers>,
    deferred: Deferred,
}

impl Tables {
    /// Tables of what was declared, in that world.
    pub fn new(declared: Declared<Bevy>, world: &mut World) -> Tables {
        let DeclaredParts { shape, components: declared, patches, with, without } = declared.into_parts();
        let mut components = Vec::with_capacity(declared.len());
        let with: Vec<_> = with.into_iter().map(|BevyFilter(register)| register(world)).collect();
        let without: Vec<_> = without.into_iter().map(|BevyFilter(register)| register(world)).collect();
        let mut builder = QueryBuilder::<FilteredEntityMut<'static, 'static>>::new(world);
        let mut patchers = Patchers::default();
        for (id, component) in patches {
            component.patcher.into_iter().for_each(|patcher| patchers.add(id, patcher));
        }
        for (number, BevyComponent { register, is_written, values, patcher }) in (0..).zip(declared) {
            patcher.into_iter().for_each(|patcher| patchers.add(number, patcher));
            let id = register(builder.world_mut());
            if is_written {
                builder.mut_id(id)
            } else {
                builder.ref_id(id)
            };
            components.push((id, values));
        }
        with.into_iter().for_each(|id| _ = builder.with_id(id));
        without.into_iter().for_each(|id| _ = builder.without_id(id));
        let state = builder.build();
        let access = state.component_access();
        let mut used =
            components.iter().map(|(id, _)| *id).chain(access.with_filters()).chain(access.without_filters());
        let in_table =
            |id| world.components().get_info(id).is_some_and(|info| info.storage_type() == StorageType::Table);
        let is_dense = used.all(in_table);
        drop(used);
        Tables {
            shape,
            components,
            is_dense,
            state,
            segments: Segments::default(),
            entities: Vec::new(),
            patchers: Arc::new(patchers),
            deferred: Deferred::default(),
        }
    }

    /// What the job is shown.
    pub fn shape(&self) -> &JobShape {
        &self.shape
    }

    /// The world as a source of rows.
    ///
    /// # Panics
    /// If it is another world than the one that these tables were made for.
    pub fn of<'a>(&'a mut self, world: &'a mut World) -> BevySource<'a> {
        self.state.validate_world(world.id());
        let this_run = world.change_tick();
        BevySource { tables: self, reach: Reach::World(world), this_run, stands_still: false }
    }

    /// The world as a source of rows, of which only what was declared is reached. Patches and despawns wait for
    /// [`Tables::apply`].
    ///
    /// # Panics
    /// If it is another world than the one that these tables were made for.
    ///
    /// # Safety
    /// During `'a` nobody conflicts with [`Tables::access`].
    pub(crate) unsafe fn of_cell<'a>(&'a mut self, world: UnsafeWorldCell<'a>, this_run: Tick) -> BevySource<'a> {
        self.state.validate_world(world.id());
        BevySource { tables: self, reach: Reach::Cell(world), this_run, stands_still: false }
    }

    /// What the job reaches.
    pub(crate) fn access(&self) -> &FilteredAccess {
        self.state.component_access()
    }

    /// Applies what waits for it; tells what became of patches, if there were any.
    pub(crate) fn apply(&mut self, world: &mut World) -> Option<PatchCommit> {
        self.deferred.apply(&self.patchers, world)
    }

    /// What waits, for somebody else to apply; none if nothing does.
    pub(crate) fn take_deferred(&mut self) -> Option<(Deferred, Arc<Patchers>)> {
        let deferred = (!self.deferred.is_empty()).then(|| std::mem::take(&mut self.deferred))?;
        Some((deferred, self.patchers.clone()))
    }
}

/// How the world is held.
enum Reach<'a> {
    World(&'a mut World),
    Cell(UnsafeWorldCell<'a>),
}

/// A Bevy world as a source of rows.
pub struct BevySource<'a> {
    tables: &'a mut Tables,
    reach: Reach<'a>,
    this_run: Tick,
    /// Whether every entity is where `count` found it. Nothing else changes structure while this has the world, so a
    /// commit through the same source need not look.
    stands_still: bool,
}

impl BevySource<'_> {
    /// The tables, and the world that they are of. What is reached through it is what was declared, as `of_cell` was
    /// promised or `&mut World` allows.
    fn parts(&mut self) -> (&mut Tables, UnsafeWorldCell<'_>) {
        let cell = match &mut self.reach {
            Reach::World(world) => world.as_unsafe_world_cell(),
            Reach::Cell(cell) => *cell,
        };
        (self.tables, cell)
    }
}

/// The table of that number.
///
/// # Safety
/// Of the table's columns, only those are reached to which the cell gives access.
unsafe fn table(cell: UnsafeWorldCell<'_>, id: TableId) -> Option<&Table> {
    // SAFETY: the caller's duty.
    unsafe { cell.storages() }.tables.get(id)
}

/// The query over all that was declared.
///
/// # Safety
/// Nobody conflicts with its access, and nothing else here has a reference to a component.
unsafe fn query<'a>(
    state: &'a State,
    cell: UnsafeWorldCell<'a>,
    tick: Tick,
) -> Query<'a, 'a, FilteredEntityMut<'static, 'static>> {
    // SAFETY: the caller's duty; `of` and `of_cell` saw that the world is the right one.
    unsafe { state.query_unchecked_manual_with_ticks(cell, tick, tick) }
}

const NOT_MATCHED: &str = "a matched table is there";

impl Source for BevySource<'_> {
    fn count(&mut self) -> usize {
        self.stands_still = true;
        let (tables, cell) = self.parts();
        tables.state.update_archetypes_unsafe_world_cell(cell);
        if tables.is_dense {
            tables.segments.clear();
            for id in tables.state.matched_tables() {
                // SAFETY: no column is reached.
                let table = unsafe { table(cell, id) }.expect(NOT_MATCHED);
                tables.segments.push(id, table.entity_count() as usize);
            }
            return tables.segments.rows();
        }
        tables.entities.clear();
        for id in tables.state.matched_archetypes() {
            let archetype = cell.archetypes().get(id).expect("a matched archetype is there");
            tables.entities.extend(archetype.entities().iter().map(|entity| entity.id()));
        }
        tables.entities.len()
    }

    fn ids(&mut self, rows: Range<usize>, indices: &mut [u32], handles: &mut [u64]) {
        fn copy(entities: &[Entity], indices: &mut [u32], handles: &mut [u64]) {
            for ((index, handle), entity) in indices.iter_mut().zip(handles).zip(entities) {
                (*index, *handle) = (entity.index_u32(), entity.to_bits());
            }
        }
        let (tables, cell) = self.parts();
        if !tables.is_dense {
            return copy(&tables.entities[rows], indices, handles);
        }
        tables.segments.for_each(rows, |id, of_table, out| {
            // SAFETY: no column is reached.
            let table = unsafe { table(cell, id) }.expect(NOT_MATCHED);
            copy(&table.entities()[of_table], &mut indices[out.clone()], &mut handles[out]);
        });
    }

    fn gather(&mut self, column: Column, rows: Range<usize>, mut out: ColumnMut<'_>) {
        let this_run = self.this_run;
        let (tables, cell) = self.parts();
        let (component, values) = &tables.components[column.component];
        if tables.is_dense {
            tables.segments.for_each(rows, |id, of_table, of_out| {
                // SAFETY: the component was declared, so by `parts` we have access to it in matched tables; it is the one
                // that `values` was registered for; the access ends with the call.
                let access = unsafe { TableAccess::new(table(cell, id).expect(NOT_MATCHED), *component) };
                values.gather(column.field, access, of_table, out.rows(of_out));
            });
            return;
        }
        // SAFETY: by `parts` we have access to all that was declared; this is the only reference.
        let mut query = unsafe { query(&tables.state, cell, this_run) };
        for (row, entity) in tables.entities[rows].iter().enumerate() {
            let entity = query.get_mut(*entity).expect("structure stands still while a snapshot is taken");
            values.gather_one(column.field, &entity, out.rows(row..row + 1));
        }
    }

    fn values(&mut self, component: usize, rows: Range<usize>, out: &mut [OpaqueValue]) -> Result<(), NoValues> {
        let this_run = self.this_run;
        let (tables, cell) = self.parts();
        let (component, typed) = &tables.components[component];
        if tables.is_dense {
            tables.segments.for_each(rows, |id, of_table, of_out| {
                // SAFETY: as in `gather`.
                let access = unsafe { TableAccess::new(table(cell, id).expect(NOT_MATCHED), *component) };
                typed.values(access, of_table, &mut out[of_out]);
            });
            return Ok(());
        }
        // SAFETY: as in `gather`.
        let mut query = unsafe { query(&tables.state, cell, this_run) };
        for (out, entity) in out.iter_mut().zip(&tables.entities[rows]) {
            let entity = query.get_mut(*entity).expect("structure stands still while a snapshot is taken");
            *out = typed.value_one(&entity);
        }
        Ok(())
    }

    fn begin_commit(&mut self) {
        let (tables, cell) = self.parts();
        tables.state.update_archetypes_unsafe_world_cell(cell);
    }

    fn place(&mut self, changed: &[u32], handles: &[u64], placed: &mut Placed) {
        if self.stands_still && self.tables.is_dense {
            placed.stayed.extend_from_slice(changed);
            return;
        }
        let this_run = self.this_run;
        let (tables, cell) = self.parts();
        // SAFETY: as in `gather`. No component is reached.
        let query = unsafe { query(&tables.state, cell, this_run) };
        let mut elsewhere = |row: u32| {
            if Entity::try_from_bits(handles[row as usize]).is_some_and(|entity| query.contains(entity)) {
                placed.moved.push(row);
            } else {
                placed.stale += 1;
            }
        };
        if !tables.is_dense {
            changed.iter().for_each(|row| elsewhere(*row));
            return;
        }
        tables.segments.for_each_run(changed, |id, first, rows| {
            // SAFETY: no column is reached.
            let entities = unsafe { table(cell, id) }.map_or(&[][..], Table::entities);
            for &row in rows {
                let is_there = |entity: &Entity| entity.to_bits() == handles[row as usize];
                if entities.get((row - first) as usize).is_some_and(is_there) {
                    placed.stayed.push(row);
                } else {
                    elsewhere(row);
                }
            }
        });
    }

    fn scatter(&mut self, column: Column, placed: &Placed, handles: &[u64], values: ColumnRef<'_>) {
        let this_run = self.this_run;
        let (tables, cell) = self.parts();
        let (component, typed) = &tables.components[column.component];
        tables.segments.for_each_run(&placed.stayed, |id, first, rows| {
            // SAFETY: as in `gather`; the component was declared to be written.
            let access = unsafe { TableAccess::new(table(cell, id).expect(NOT_MATCHED), *component) };
            typed.scatter(column.field, access, rows, first, values);
        });
        if placed.moved.is_empty() {
            return;
        }
        // SAFETY: as in `gather`; slices of tables ended with their calls.
        let mut query = unsafe { query(&tables.state, cell, this_run) };
        for &row in &placed.moved {
            let mut entity = query.get_mut(Entity::from_bits(handles[row as usize])).expect("it was just found");
            typed.scatter_one(column.field, &mut entity, row, values);
        }
    }

    fn mark(&mut self, component: usize, placed: &Placed, _: &[u64]) {
        let this_run = self.this_run;
        let (tables, cell) = self.parts();
        let component = tables.components[component].0;
        // Who moved was marked as it was written.
        tables.segments.for_each_run(&placed.stayed, |id, first, rows| {
            // SAFETY: as in `scatter`.
            unsafe { TableAccess::new(table(cell, id).expect(NOT_MATCHED), component) }.mark(rows, first, this_run);
        });
    }

    fn patch(&mut self, entity: Handle, change: Change<'_>) -> Result<Applied, PatchFault> {
        match &mut self.reach {
            Reach::World(world) => {
                let found = find(world.entities(), entity).ok_or(PatchFault::Gone(entity))?;
                self.stands_still = false;
                self.tables.patchers.apply(world, found, entity, change)
            }
            Reach::Cell(cell) => {
                let found = find(cell.entities(), entity).ok_or(PatchFault::Gone(entity))?;
                self.tables.deferred.patch(found, &change.record(entity));
                Ok(Applied::Later)
            }
        }
    }

    fn despawn(&mut self, handle: u64) -> bool {
        let Some(entity) = Entity::try_from_bits(handle) else { return false };
        match &mut self.reach {
            Reach::World(world) => {
                self.stands_still = false;
                world.try_despawn(entity).is_ok()
            }
            Reach::Cell(cell) => {
                let lives = cell.get_entity(entity).is_ok();
                if lives {
                    self.tables.deferred.despawn(entity);
                }
                lives
            }
        }
    }

    fn entity(handle: u64) -> Handle {
        known_as(Entity::from_bits(handle))
    }
}

/// An entity as jobs know it. Bevy keeps an index as what is left of 2^32 - 1.
pub(crate) fn known_as(entity: Entity) -> Handle {
    peristyle_offload::fold(entity.index_u32(), entity.generation().to_bits())
}
