//! What a job reads and writes, declared by types: the columns of its snapshot follow.

use std::any::TypeId;

use peristyle_jobs::{Access, ComponentShape, JobShape, PatchShape};
use peristyle_layout::Field;

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

/// Worlds in which components of `C` can be set, added and removed by patches.
pub trait Patches<C>: Backend {
    /// How that is done.
    fn patches(described: Described<C>) -> Self::Component;
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
    /// What is patched and maybe not lent.
    patched: Vec<Entry<B>>,
    with: Vec<B::Filter>,
    without: Vec<B::Filter>,
    despawns: bool,
    /// What was found wrong so far.
    error: Option<SpecError>,
}

impl<B: Backend> Default for JobSnapshotSpec<B> {
    fn default() -> JobSnapshotSpec<B> {
        JobSnapshotSpec::new()
    }
}

impl<B: Backend> JobSnapshotSpec<B> {
    /// A job that touches nothing yet.
    pub fn new() -> JobSnapshotSpec<B> {
        let (entries, patched, with, without) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        JobSnapshotSpec { entries, patched, with, without, despawns: false, error: None }
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

    /// The job reads what is described of a component; for types that do not [`Describe`] themselves. Of one that is
    /// described [by its `serde`](Described::by_serde) calls give copies of values; [patches](Self::patches_as) write it.
    pub fn reads_as<C: 'static>(self, described: Described<C>) -> JobSnapshotSpec<B>
    where
        B: Reads<C>,
    {
        let shape = shape_of(&described, Access::Read);
        self.entry(TypeId::of::<C>(), shape, || B::reads(described))
    }

    /// The job writes what is described of a component; its other fields stay as they are. It has to have columns: what is
    /// described by its `serde` is written by [patches](Self::patches_as).
    pub fn writes_as<C: 'static>(self, described: Described<C>) -> JobSnapshotSpec<B>
    where
        B: Writes<C>,
    {
        let shape = shape_of(&described, Access::Write);
        self.with_columns(&described).entry(TypeId::of::<C>(), shape, || B::writes(described))
    }

    /// The job may set, add and remove `C` by patches, as it may what it writes. Nothing of `C` is lent, and entities need
    /// not have one.
    pub fn patches<C: Describe>(self) -> JobSnapshotSpec<B>
    where
        B: Patches<C>,
    {
        self.patches_as(C::describe())
    }

    /// The job may patch what is described of a component: by columns, or [by its `serde`](Described::by_serde).
    pub fn patches_as<C: 'static>(mut self, described: Described<C>) -> JobSnapshotSpec<B>
    where
        B: Patches<C>,
    {
        let rust_type = TypeId::of::<C>();
        if self.patched.iter().all(|known| known.rust_type != rust_type) {
            let shape = shape_of(&described, Access::Write);
            self.patched.push(Entry { rust_type, shape, component: B::patches(described) });
        }
        self
    }

    /// Sees that a component that is written in place has columns.
    fn with_columns<C: 'static>(mut self, described: &Described<C>) -> JobSnapshotSpec<B> {
        if described.is_opaque() {
            self.error.get_or_insert(SpecError::NoColumns(described.name().to_owned()));
        }
        self
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
            Some(known) if known.shape.opaque != shape.opaque => {
                self.error.get_or_insert(SpecError::TwoForms(shape.name));
            }
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

    /// The job may set despawn bits, and destroy by patches.
    pub fn despawns(mut self) -> JobSnapshotSpec<B> {
        self.despawns = true;
        self
    }

    /// What was declared, checked.
    ///
    /// # Errors
    /// [`SpecError`] if names collide or cannot be used.
    pub fn build(self) -> Result<Declared<B>, SpecError> {
        let JobSnapshotSpec { entries, patched, with, without, despawns, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        let mut shape = JobShape { despawns, ..JobShape::default() };
        let (mut components, mut types) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for (id, entry) in entries.into_iter().enumerate() {
            check(&entry.shape, &shape)?;
            shape.components.push(ComponentShape { id: id as u32, ..entry.shape });
            components.push(entry.component);
            types.push(entry.rust_type);
        }
        let mut patches = Vec::new();
        for entry in patched {
            let known = types.iter().position(|known| *known == entry.rust_type);
            // What is written can be patched anyway.
            if known.is_some_and(|known| shape.components[known].access == Access::Write) {
                continue;
            }
            if known.is_none() {
                check(&entry.shape, &shape)?;
            }
            let id = known.unwrap_or(components.len() + patches.len()) as u32;
            let ComponentShape { name, fields, opaque, .. } = entry.shape;
            shape.patches.push(PatchShape { id, name, fields, opaque });
            patches.push((id, entry.component));
        }
        Ok(Declared { shape, components, patches, with, without })
    }
}

fn shape_of<C: 'static>(described: &Described<C>, access: Access) -> ComponentShape {
    let (name, opaque) = (described.name().to_owned(), described.is_opaque());
    // Whatever columns were added to a `serde`, values cross as a whole.
    let fields = if opaque { Vec::new() } else { described.fields().cloned().collect() };
    ComponentShape { id: 0, name, fields, access, opaque }
}

/// Checks a component's names, also against those before it.
fn check(component: &ComponentShape, before: &JobShape) -> Result<(), SpecError> {
    let ComponentShape { name, fields, .. } = component;
    let mut known = before.components.iter().map(|other| &other.name);
    if known.any(|other| other == name) || before.patches.iter().any(|other| other.name == *name) {
        return Err(SpecError::DuplicateName(name.clone()));
    }
    check_fields(name, fields)
}

/// Checks the names of columns.
pub(crate) fn check_fields(name: &str, fields: &[Field]) -> Result<(), SpecError> {
    for (position, field) in fields.iter().enumerate() {
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !field.name.starts_with(is_start) || !field.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(SpecError::ColumnName { component: name.to_owned(), column: field.name.clone() });
        }
        if fields[..position].iter().any(|other| other.name == field.name) {
            return Err(SpecError::DuplicateColumn { component: name.to_owned(), column: field.name.clone() });
        }
    }
    Ok(())
}

/// What a job declared, in the words of one entity component system.
pub struct Declared<B: Backend> {
    shape: JobShape,
    /// In the order of the shape.
    components: Vec<B::Component>,
    patches: Vec<(u32, B::Component)>,
    with: Vec<B::Filter>,
    without: Vec<B::Filter>,
}

/// What was declared, for who implements a [`Backend`].
pub struct DeclaredParts<B: Backend> {
    /// What the job is shown.
    pub shape: JobShape,
    /// Components that are lent, in the order of the shape.
    pub components: Vec<B::Component>,
    /// Components that are patched beside those that are written, by their number in the shape.
    pub patches: Vec<(u32, B::Component)>,
    /// What entities have to have.
    pub with: Vec<B::Filter>,
    /// What entities must not have.
    pub without: Vec<B::Filter>,
}

impl<B: Backend> Declared<B> {
    /// What the job is shown. Components are numbered from 0 in declared order.
    pub fn shape(&self) -> &JobShape {
        &self.shape
    }

    /// All of it, for who implements a [`Backend`].
    pub fn into_parts(self) -> DeclaredParts<B> {
        let Declared { shape, components, patches, with, without } = self;
        DeclaredParts { shape, components, patches, with, without }
    }
}
