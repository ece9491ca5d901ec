//! Snapshots of a `hecs` world.
//!
//! ```
//! use peristyle_jobs::{JobCall, JobError, JobRunner, Lane, Pool};
//! use peristyle_offload::{Columnar, JobSnapshotSpec, Offload, Step, hecs::{Hecs, Tables}};
//!
//! #[derive(Columnar, Clone, Copy)]
//! struct Position { x: f32 }
//!
//! # struct Nothing;
//! # impl JobRunner for Nothing {
//! #     fn name(&self) -> &str { "nothing" }
//! #     fn run(&self, _: &mut Lane, _: &JobCall<'_>) -> Result<(), JobError> { Ok(()) }
//! # }
//! # let job = Nothing;
//! let mut world = hecs::World::new();
//! world.spawn((Position { x: 1.0 }, "a name"));
//!
//! let mut tables = Tables::new(JobSnapshotSpec::<Hecs>::new().writes::<Position>().build()?);
//! let mut offload = Offload::new(tables.shape().clone(), job);
//! let mut pool = Pool::new(1)?;
//! let report = offload.run(&mut tables.of(&mut world), &mut pool, Step { dt: 0.1, time: 0.0 })?;
//! assert_eq!((report.rows, report.commit.written()), (1, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;

use hecs::{Archetype, Component, Entity, EntityRef, World};
use peristyle_jobs::JobShape;
use peristyle_layout::{Entity as Handle, GENERATION_MAX};

use crate::{
    block::{ColumnMut, ColumnRef},
    describe::Described,
    patch::{Applied, Change, PatchFault},
    segments::Segments,
    source::{Column, NoValues, Placed, Source},
    spec::{Backend, Declared, DeclaredParts, Filters, Patches, Reads, Writes},
    values::OpaqueValue,
};

/// `hecs`, as what can be declared of its worlds.
pub struct Hecs;

/// A declared component of a `hecs` world, of any type.
pub struct HecsComponent(Box<dyn Access>);

/// Whether an entity has a component.
#[derive(Clone, Copy)]
pub struct HecsFilter {
    of_archetype: fn(&Archetype) -> bool,
    of_entity: fn(&EntityRef<'_>) -> bool,
}

impl HecsFilter {
    fn of<C: Component>() -> HecsFilter {
        HecsFilter { of_archetype: |archetype| archetype.has::<C>(), of_entity: |entity| entity.has::<C>() }
    }
}

/// What is done to the values of one component; called once for some thousand rows.
trait Access: Send + Sync {
    fn filter(&self) -> HecsFilter;
    fn gather(&self, field: usize, archetype: &Archetype, rows: Range<usize>, out: ColumnMut<'_>);
    /// Copies values that are described by their `serde`.
    fn values(&self, archetype: &Archetype, rows: Range<usize>, out: &mut [OpaqueValue]);
    fn scatter(&self, field: usize, archetype: &Archetype, rows: &[u32], first: u32, column: ColumnRef<'_>);
    fn scatter_one(&self, field: usize, entity: EntityRef<'_>, row: u32, column: ColumnRef<'_>);
    /// Applies a patch to a living entity.
    fn patch(&self, world: &mut World, entity: Entity, of: Handle, change: Change<'_>) -> Result<(), PatchFault>;
}

const NOT_MATCHED: &str = "a matched table has its components";

impl<C: Component> Access for Described<C> {
    fn filter(&self) -> HecsFilter {
        HecsFilter::of::<C>()
    }
    fn gather(&self, field: usize, archetype: &Archetype, rows: Range<usize>, out: ColumnMut<'_>) {
        let values = archetype.get::<&C>().expect(NOT_MATCHED);
        Described::gather(self, field, &values[rows], out);
    }
    fn values(&self, archetype: &Archetype, rows: Range<usize>, out: &mut [OpaqueValue]) {
        let values = archetype.get::<&C>().expect(NOT_MATCHED);
        out.iter_mut().zip(&values[rows]).for_each(|(out, value)| *out = self.value(value));
    }
    fn scatter(&self, field: usize, archetype: &Archetype, rows: &[u32], first: u32, column: ColumnRef<'_>) {
        let mut values = archetype.get::<&mut C>().expect(NOT_MATCHED);
        Described::scatter(self, field, &mut values, rows, first, column);
    }
    fn scatter_one(&self, field: usize, entity: EntityRef<'_>, row: u32, column: ColumnRef<'_>) {
        let mut value = entity.get::<&mut C>().expect(NOT_MATCHED);
        Described::scatter(self, field, std::slice::from_mut(&mut *value), &[row], row, column);
    }
    fn patch(&self, world: &mut World, entity: Entity, of: Handle, change: Change<'_>) -> Result<(), PatchFault> {
        match change {
            Change::Set { value, .. } => {
                let mut known = world.get::<&mut C>(entity).map_err(|_| self.missing(of))?;
                self.set(&mut known, value)
            }
            Change::Add { value, .. } => {
                if let Ok(mut known) = world.get::<&mut C>(entity) {
                    return self.set(&mut known, value);
                }
                world.insert_one(entity, self.make(value)?).map_err(|_| PatchFault::Gone(of))
            }
            Change::Remove { .. } => world.remove_one::<C>(entity).map(drop).map_err(|_| self.missing(of)),
            Change::Destroy => world.despawn(entity).map_err(|_| PatchFault::Gone(of)),
        }
    }
}

impl Backend for Hecs {
    type Component = HecsComponent;
    type Filter = HecsFilter;
}

impl<C: Component> Reads<C> for Hecs {
    fn reads(described: Described<C>) -> HecsComponent {
        HecsComponent(Box::new(described))
    }
}

impl<C: Component> Writes<C> for Hecs {
    fn writes(described: Described<C>) -> HecsComponent {
        HecsComponent(Box::new(described))
    }
}

impl<C: Component> Patches<C> for Hecs {
    fn patches(described: Described<C>) -> HecsComponent {
        HecsComponent(Box::new(described))
    }
}

impl<C: Component> Filters<C> for Hecs {
    fn filter() -> HecsFilter {
        HecsFilter::of::<C>()
    }
}

/// Which tables of a `hecs` world hold a job's rows. Kept from frame to frame.
pub struct Tables {
    shape: JobShape,
    components: Vec<HecsComponent>,
    /// What is only patched, by number.
    patches: Vec<(u32, HecsComponent)>,
    with: Vec<HecsFilter>,
    without: Vec<HecsFilter>,
    /// Positions of archetypes, which a world never removes.
    segments: Segments<u32>,
}

impl Tables {
    /// Tables of what was declared.
    pub fn new(declared: Declared<Hecs>) -> Tables {
        let DeclaredParts { shape, components, patches, mut with, without } = declared.into_parts();
        with.extend(components.iter().map(|component| component.0.filter()));
        Tables { shape, components, patches, with, without, segments: Segments::default() }
    }

    /// What the job is shown.
    pub fn shape(&self) -> &JobShape {
        &self.shape
    }

    /// A world as a source of rows. Each commit has to be to the world of which the snapshot was taken.
    pub fn of<'a>(&'a mut self, world: &'a mut World) -> HecsSource<'a> {
        HecsSource { tables: self, world, stands_still: false }
    }

    fn matches(&self, archetype: &Archetype) -> bool {
        self.with.iter().all(|filter| (filter.of_archetype)(archetype))
            && !self.without.iter().any(|filter| (filter.of_archetype)(archetype))
    }

    fn matches_entity(&self, entity: &EntityRef<'_>) -> bool {
        self.with.iter().all(|filter| (filter.of_entity)(entity))
            && !self.without.iter().any(|filter| (filter.of_entity)(entity))
    }
}

/// A `hecs` world as a source of rows.
pub struct HecsSource<'a> {
    tables: &'a mut Tables,
    world: &'a mut World,
    /// Whether every entity is where `count` found it. Nothing else changes structure while this has the world, so a
    /// commit through the same source need not look.
    stands_still: bool,
}

impl HecsSource<'_> {
    fn archetype(&self, position: u32) -> Option<&Archetype> {
        self.world.archetypes().nth(position as usize)
    }
}

impl Source for HecsSource<'_> {
    fn count(&mut self) -> usize {
        self.stands_still = true;
        let mut segments = std::mem::take(&mut self.tables.segments);
        segments.clear();
        for (position, archetype) in self.world.archetypes().enumerate() {
            if self.tables.matches(archetype) {
                segments.push(position as u32, archetype.len() as usize);
            }
        }
        self.tables.segments = segments;
        self.tables.segments.rows()
    }

    fn ids(&mut self, rows: Range<usize>, indices: &mut [u32], handles: &mut [u64]) {
        self.tables.segments.for_each(rows, |table, of_table, out| {
            let ids = &self.archetype(table).expect(NOT_MATCHED).ids()[of_table];
            indices[out.clone()].copy_from_slice(ids);
            for (handle, &id) in handles[out].iter_mut().zip(ids) {
                // SAFETY: ids in a table are those of living entities.
                *handle = unsafe { self.world.find_entity_from_id(id) }.to_bits().get();
            }
        });
    }

    fn gather(&mut self, column: Column, rows: Range<usize>, mut out: ColumnMut<'_>) {
        let component = &self.tables.components[column.component].0;
        self.tables.segments.for_each(rows, |table, of_table, of_out| {
            let archetype = self.archetype(table).expect(NOT_MATCHED);
            component.gather(column.field, archetype, of_table, out.rows(of_out));
        });
    }

    fn values(&mut self, component: usize, rows: Range<usize>, out: &mut [OpaqueValue]) -> Result<(), NoValues> {
        let component = &self.tables.components[component].0;
        self.tables.segments.for_each(rows, |table, of_table, of_out| {
            component.values(self.archetype(table).expect(NOT_MATCHED), of_table, &mut out[of_out]);
        });
        Ok(())
    }

    fn place(&mut self, changed: &[u32], handles: &[u64], placed: &mut Placed) {
        if self.stands_still {
            placed.stayed.extend_from_slice(changed);
            return;
        }
        self.tables.segments.for_each_run(changed, |table, first, rows| {
            let ids = self.archetype(table).map_or(&[][..], Archetype::ids);
            for &row in rows {
                let handle = handles[row as usize];
                let Some(entity) = Entity::from_bits(handle) else {
                    placed.stale += 1;
                    continue;
                };
                if ids.get((row - first) as usize) == Some(&entity.id()) && self.world.contains(entity) {
                    placed.stayed.push(row);
                } else if self.world.entity(entity).is_ok_and(|entity| self.tables.matches_entity(&entity)) {
                    placed.moved.push(row);
                } else {
                    placed.stale += 1;
                }
            }
        });
    }

    fn scatter(&mut self, column: Column, placed: &Placed, handles: &[u64], values: ColumnRef<'_>) {
        let component = &self.tables.components[column.component].0;
        self.tables.segments.for_each_run(&placed.stayed, |table, first, rows| {
            let archetype = self.archetype(table).expect(NOT_MATCHED);
            component.scatter(column.field, archetype, rows, first, values);
        });
        for &row in &placed.moved {
            let entity = Entity::from_bits(handles[row as usize]).and_then(|entity| self.world.entity(entity).ok());
            component.scatter_one(column.field, entity.expect("it was just found"), row, values);
        }
    }

    fn patch(&mut self, entity: Handle, change: Change<'_>) -> Result<Applied, PatchFault> {
        let found = find(self.world, entity).ok_or(PatchFault::Gone(entity))?;
        self.stands_still = false;
        let Some(component) = change.component() else {
            self.world.despawn(found).map_err(|_| PatchFault::Gone(entity))?;
            return Ok(Applied::Now);
        };
        let patched = self.tables.patches.iter().find(|(id, _)| *id == component).map(|(_, access)| access);
        let access = patched.or_else(|| self.tables.components.get(component as usize));
        let access = access.ok_or(PatchFault::UnknownComponent(component))?;
        access.0.patch(self.world, found, entity, change)?;
        Ok(Applied::Now)
    }

    fn despawn(&mut self, handle: u64) -> bool {
        self.stands_still = false;
        Entity::from_bits(handle).is_some_and(|entity| self.world.despawn(entity).is_ok())
    }
}

/// The living entity that jobs know by this handle. Its generation may be one of those of which jobs see the same
/// remainder.
fn find(world: &World, entity: Handle) -> Option<Entity> {
    if entity.is_provisional() {
        return None;
    }
    let first = u64::from(entity.generation() - 1);
    let generations = (first..=u64::from(u32::MAX)).step_by(GENERATION_MAX as usize);
    let mut handles =
        generations.filter_map(|generation| Entity::from_bits(generation << 32 | u64::from(entity.index())));
    handles.find(|handle| world.contains(*handle))
}
