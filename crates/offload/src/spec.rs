//! What a job reads and writes, declared by types: the columns of its snapshot follow.

use std::any::TypeId;

use peristyle_jobs::{Access, ComponentShape, JobShape};

use crate::{
    describe::{Describe, Described},
    error::SpecError,
};

/// An entity component system, as what can be declared of its worlds.
pub trait Backend: Sized {
    /// A declared component, of any type: how its values are reached in a world.
    type Component;
    /// A component that is asked for, or ruled out, and not touched.
    type Filter;
}

/// Worlds that have components of `C`, to read.
pub trait Reads<C>: Backend {
    /// How they are reached.
    fn reads(described: Described<C>) -> Self::Component;
}

/// Worlds that have components of `C`, to write.
pub trait Writes<C>: Backend {
    /// How they are reached.
    fn writes(described: Described<C>) -> Self::Component;
}

/// Worlds whose entities can be chosen by whether they have a `C`.
pub trait Filters<C>: Backend {
    /// How that is seen.
    fn filter() -> Self::Filter;
}

struct Entry<B: Backend> {
    rust_type: TypeId,
    shape: ComponentShape,
    component: B::Component,
}

/// Builds a snapshot's columns from what its job reads and writes.
///
/// ```
/// # #[cfg(feature = "hecs")] {
/// use peristyle_offload::{Columnar, JobSnapshotSpec, hecs::Hecs};
///
/// #[derive(Columnar, Clone, Copy)]
/// struct Position { x: f32, y: f32 }
/// #[derive(Columnar, Clone, Copy)]
/// struct Velocity { x: f32, y: f32 }
///
/// let declared = JobSnapshotSpec::<Hecs>::new().reads::<Velocity>().writes::<Position>().build()?;
/// assert_eq!(declared.shape().components[1].fields[0].name, "x");
/// # }
/// # Ok::<(), peristyle_offload::SpecError>(())
/// ```
#[must_use = "a declaration is built"]
pub struct JobSnapshotSpec<B: Backend> {
    entries: Vec<Entry<B>>,
    with: Vec<B::Filter>,
    without: Vec<B::Filter>,
    despawns: bool,
}

impl<B: Backend> Default for JobSnapshotSpec<B> {
    fn default() -> JobSnapshotSpec<B> {
        JobSnapshotSpec::new()
    }
}

impl<B: Backend> JobSnapshotSpec<B> {
    /// A job that touches nothing yet.
    pub fn new() -> JobSnapshotSpec<B> {
        JobSnapshotSpec { entries: Vec::new(), with: Vec::new(), without: Vec::new(), despawns: false }
    }

    /// The job reads `C`, and sees entities that have it.
    pub fn reads<C: Describe>(self) -> JobSnapshotSpec<B>
    where
        B: Reads<C>,
    {
        self.reads_as(C::describe())
    }

    /// The job writes `C`, which implies reading, and sees entities that have it.
    pub fn writes<C: Describe>(self) -> JobSnapshotSpec<B>
    where
        B: Writes<C>,
    {
        self.writes_as(C::describe())
    }

    /// The job reads what is described of a component; for types that do not [`Describe`] themselves.
    pub fn reads_as<C: 'static>(self, described: Described<C>) -> JobSnapshotSpec<B>
    where
        B: Reads<C>,
    {
        let shape = shape_of(&described, Access::Read);
        self.entry(TypeId::of::<C>(), shape, || B::reads(described))
    }

    /// The job writes what is described of a component; its other fields stay as they are.
    pub fn writes_as<C: 'static>(self, described: Described<C>) -> JobSnapshotSpec<B>
    where
        B: Writes<C>,
    {
        let shape = shape_of(&described, Access::Write);
        self.entry(TypeId::of::<C>(), shape, || B::writes(described))
    }

    /// A component is declared once: one that is read and written is written, where it was first declared.
    fn entry(
        mut self,
        rust_type: TypeId,
        shape: ComponentShape,
        component: impl FnOnce() -> B::Component,
    ) -> JobSnapshotSpec<B> {
        match self.entries.iter_mut().find(|entry| entry.rust_type == rust_type) {
            None => self.entries.push(Entry { rust_type, shape, component: component() }),
            Some(known) if known.shape.access == Access::Read && shape.access == Access::Write => {
                *known = Entry { rust_type, shape, component: component() };
            }
            Some(_) => {}
        }
        self
    }

    /// The job sees entities that have a `C`, which it does not touch.
    pub fn with<C>(mut self) -> JobSnapshotSpec<B>
    where
        B: Filters<C>,
    {
        self.with.push(B::filter());
        self
    }

    /// The job sees entities that have no `C`.
    pub fn without<C>(mut self) -> JobSnapshotSpec<B>
    where
        B: Filters<C>,
    {
        self.without.push(B::filter());
        self
    }

    /// The job may set despawn bits.
    pub fn despawns(mut self) -> JobSnapshotSpec<B> {
        self.despawns = true;
        self
    }

    /// What was declared, checked.
    ///
    /// # Errors
    /// [`SpecError`] if names collide or cannot be used.
    pub fn build(self) -> Result<Declared<B>, SpecError> {
        let JobSnapshotSpec { entries, with, without, despawns } = self;
        let mut shape = JobShape { despawns, ..JobShape::default() };
        let mut components = Vec::with_capacity(entries.len());
        for (id, entry) in entries.into_iter().enumerate() {
            check(&entry.shape, &shape)?;
            shape.components.push(ComponentShape { id: id as u32, ..entry.shape });
            components.push(entry.component);
        }
        Ok(Declared { shape, components, with, without })
    }
}

fn shape_of<C: 'static>(described: &Described<C>, access: Access) -> ComponentShape {
    ComponentShape { id: 0, name: described.name().to_owned(), fields: described.fields().cloned().collect(), access }
}

/// Checks a component's names, also against those before it.
fn check(component: &ComponentShape, before: &JobShape) -> Result<(), SpecError> {
    let ComponentShape { name, fields, .. } = component;
    if before.components.iter().any(|other| other.name == *name) {
        return Err(SpecError::DuplicateName(name.clone()));
    }
    for (position, field) in fields.iter().enumerate() {
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !field.name.starts_with(is_start) || !field.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(SpecError::ColumnName { component: name.clone(), column: field.name.clone() });
        }
        if fields[..position].iter().any(|other| other.name == field.name) {
            return Err(SpecError::DuplicateColumn { component: name.clone(), column: field.name.clone() });
        }
    }
    Ok(())
}

/// What a job declared, in the words of one entity component system.
pub struct Declared<B: Backend> {
    shape: JobShape,
    /// In the order of the shape.
    components: Vec<B::Component>,
    with: Vec<B::Filter>,
    without: Vec<B::Filter>,
}

impl<B: Backend> Declared<B> {
    /// What the job is shown. Components are numbered from 0 in declared order.
    pub fn shape(&self) -> &JobShape {
        &self.shape
    }

    /// Components in the order of the shape, then filters with and without: for who implements a [`Backend`].
    pub fn into_parts(self) -> (JobShape, Vec<B::Component>, Vec<B::Filter>, Vec<B::Filter>) {
        (self.shape, self.components, self.with, self.without)
    }
}
