//! Rust functions as jobs, behind the same contract as those of other languages.
//!
//! A [`RustJob`] runs on whatever somebody leases: columns of a world, of staging buffers, of another ECS. It asks for
//! columns by name, and gets slices of what its system declared.
//!
//! # Rules
//! - A column is given out once to write, or any number of times to read, never both: [`RustCall`] keeps books. So slices
//!   may live as long as the call, and the job may hold many at once.
//! - What a job gets wrong (an undeclared component, another type) is an [`AccessError`], which fails its call.

mod give;

use std::fmt;

use peristyle_layout::{Entity, Scalar};
use peristyle_memory::Element;

use crate::contract::{Access, ComponentShape, JobCall, JobError, JobRunner, Lent};
use crate::lane::Lane;
use crate::wait::block_on;

type Run = Box<dyn Fn(&mut RustCall<'_>) -> Result<(), JobError> + Send + Sync>;
type RunParts = Box<dyn Fn(RustParts<'_>) -> Result<(), JobError> + Send + Sync>;

/// A job that is a Rust function.
///
/// ```
/// use peristyle_jobs::RustJob;
///
/// let job = RustJob::new("move", |call| {
///     let dt = call.dt() as f32;
///     let (v, x) = (call.column::<f32>("Velocity", "x")?, call.column_mut::<f32>("Position", "x")?);
///     x.iter_mut().zip(v).for_each(|(x, v)| *x += v * dt);
///     call.marks("Position")?.mark_all();
///     Ok(())
/// });
/// ```
pub struct RustJob {
    name: String,
    body: Body,
}

enum Body {
    Call(Run),
    Parts(RunParts),
}

impl RustJob {
    /// A job that is called for a range of rows, or for all as one whole.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&mut RustCall<'_>) -> Result<(), JobError> + Send + Sync + 'static,
    ) -> RustJob {
        RustJob { name: name.into(), body: Body::Call(Box::new(run)) }
    }

    /// A job that is called once for the parts of all chunks.
    pub fn parts(
        name: impl Into<String>,
        run: impl Fn(RustParts<'_>) -> Result<(), JobError> + Send + Sync + 'static,
    ) -> RustJob {
        RustJob { name: name.into(), body: Body::Parts(Box::new(run)) }
    }

    /// A job that is asynchronous: its lease settles when its future is done. The lane that runs it sleeps while the
    /// future waits, so such a system is best placed on a worker.
    ///
    /// ```
    /// use peristyle_jobs::RustJob;
    ///
    /// let job = RustJob::asynchronous("fetch", async |call| {
    ///     let answer = std::future::ready(42.0).await;
    ///     call.column_mut::<f64>("Answer", "value")?.fill(answer);
    ///     Ok(())
    /// });
    /// ```
    pub fn asynchronous<F>(name: impl Into<String>, run: F) -> RustJob
    where
        F: AsyncFn(&mut RustCall<'_>) -> Result<(), JobError> + Send + Sync + 'static,
    {
        RustJob::new(name, move |call| block_on(run(call)))
    }
}

impl fmt::Debug for RustJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RustJob").field(&self.name).finish()
    }
}

impl JobRunner for RustJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, _: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        match &self.body {
            Body::Call(run) => run(&mut RustCall::new(call, false)),
            Body::Parts(run) => run(RustParts::new(std::slice::from_ref(call))),
        }
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn takes_parts(&self) -> bool {
        matches!(self.body, Body::Parts(_))
    }

    fn run_parts(&self, _: &mut Lane, parts: &[JobCall<'_>]) -> Result<(), JobError> {
        match &self.body {
            Body::Parts(run) => run(RustParts::new(parts)),
            Body::Call(_) => Err(JobError::Load(format!("`{}` takes one part at a time", self.name))),
        }
    }
}

/// What a job asked for and cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessError {
    /// The system declared no such component or resource.
    NotDeclared {
        /// The name asked for.
        name: String,
    },
    /// It was only declared to be read.
    ReadOnly {
        /// The component or resource.
        name: String,
    },
    /// The component or resource has no such column.
    NoField {
        /// The component or resource.
        name: String,
        /// The field asked for.
        field: String,
    },
    /// The column holds another type, or the component other columns than the Rust type has.
    WrongType {
        /// The component or resource.
        name: String,
        /// The field.
        field: String,
        /// What the column holds.
        holds: Scalar,
        /// What was asked for.
        asked: Scalar,
    },
    /// Values were asked for of a component that lies in columns.
    NotOpaque {
        /// The component.
        name: String,
    },
    /// The component has another number of columns than the Rust type.
    WrongColumns {
        /// The component.
        name: String,
        /// Its columns.
        has: usize,
        /// Those of the type asked for.
        asked: usize,
    },
    /// The call gave out the column already: to write, or to read what is now to be written.
    InUse {
        /// The component or resource.
        name: String,
        /// The field, or `changed` or `despawn` for the bits.
        field: String,
    },
    /// The system did not declare that the job despawns.
    NoDespawn,
    /// A part was asked for a resource: those belong to all parts, see [`RustParts::resource`].
    OfAllParts {
        /// The resource.
        name: String,
    },
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessError::NotDeclared { name } => write!(f, "`{name}` is not declared by the system"),
            AccessError::ReadOnly { name } => write!(f, "`{name}` is declared to be read, not to be written"),
            AccessError::NoField { name, field } => write!(f, "`{name}` has no field `{field}`"),
            AccessError::WrongType { name, field, holds, asked } => {
                write!(f, "field `{field}` of `{name}` holds {holds}, not {asked}")
            }
            AccessError::NotOpaque { name } => write!(f, "`{name}` lies in columns: it has no values of its own"),
            AccessError::WrongColumns { name, has, asked } => {
                write!(f, "`{name}` has {has} columns, the type asked for has {asked}")
            }
            AccessError::InUse { name, field } => write!(f, "field `{field}` of `{name}` was given out already"),
            AccessError::NoDespawn => f.write_str("the system does not declare that the job despawns"),
            AccessError::OfAllParts { name } => write!(f, "resource `{name}` belongs to all parts: ask them, not one"),
        }
    }
}

impl std::error::Error for AccessError {}

/// What was given out, as bits.
#[derive(Default)]
struct Given {
    few: [u64; 4],
    many: Vec<u64>,
}

impl Given {
    fn get(&self, at: usize) -> bool {
        let (word, bit) = (at / 64, at % 64);
        let word = self.few.get(word).or_else(|| self.many.get(word.wrapping_sub(4)));
        word.is_some_and(|word| word >> bit & 1 != 0)
    }

    fn set(&mut self, at: usize) {
        let (word, bit) = (at / 64, at % 64);
        if word >= 4 {
            self.many.resize(self.many.len().max(word - 3), 0);
        }
        *self.few.get_mut(word).unwrap_or_else(|| &mut self.many[word - 4]) |= 1 << bit;
    }
}

/// One call, as a Rust job sees it. Slices live as long as the call, whatever else is asked for.
pub struct RustCall<'a> {
    call: &'a JobCall<'a>,
    /// Columns of components, then those of resources, then the bits of components, then those of despawns.
    read: Given,
    written: Given,
    /// Whether it is one of several, which share what is not of their rows.
    is_part: bool,
}

impl<'a> RustCall<'a> {
    fn new(call: &'a JobCall<'a>, is_part: bool) -> RustCall<'a> {
        RustCall { call, read: Given::default(), written: Given::default(), is_part }
    }

    /// Rows in this call.
    pub fn rows(&self) -> usize {
        self.call.rows as usize
    }

    /// Simulated seconds of this tick.
    pub fn dt(&self) -> f64 {
        self.call.dt
    }

    /// Simulated time of this tick in seconds.
    pub fn time(&self) -> f64 {
        self.call.time
    }

    /// The system's `extra` value, as JSON text.
    pub fn extra(&self) -> Option<&'a str> {
        self.call.extra.map(|extra| extra.json)
    }

    /// The entity of a row.
    ///
    /// # Panics
    /// If there is no such row in this call.
    pub fn entity(&self, row: usize) -> Entity {
        self.call.entities.entity(self.eids()[row])
    }

    /// The entity index of each row.
    pub fn eids(&self) -> &'a [u32] {
        // SAFETY: the lease makes them readable, and says that nobody writes them.
        unsafe { slice(&self.call.eids) }
    }

    /// The component of that name, and its number among the declared ones.
    fn find(&self, name: &str) -> Result<(usize, &'a ComponentShape), AccessError> {
        let mut components = self.call.shape.components.iter().enumerate();
        components
            .find(|(_, shape)| shape.name == name)
            .ok_or_else(|| AccessError::NotDeclared { name: name.to_owned() })
    }

    /// The number of a component's first column.
    fn first_column(&self, component: usize) -> usize {
        self.call.shape.components[..component].iter().map(|shape| shape.fields.len()).sum()
    }

    /// Takes a component's field, or all of them, as they are lent, to read or to write.
    fn take(&mut self, name: &str, field: Option<&str>, access: Access) -> Result<&'a [Lent], AccessError> {
        let (at, shape) = self.find(name)?;
        if access == Access::Write && shape.access == Access::Read {
            return Err(AccessError::ReadOnly { name: name.to_owned() });
        }
        let first = self.first_column(at);
        let fields = match field {
            None => 0..shape.fields.len(),
            Some(field) => {
                let at = shape.fields.iter().position(|known| &*known.name == field);
                let at = at.ok_or_else(|| AccessError::NoField { name: name.to_owned(), field: field.to_owned() })?;
                at..at + 1
            }
        };
        for at in fields.clone() {
            self.give(first + at, access, name, &shape.fields[at].name)?;
        }
        Ok(&self.call.columns[first + fields.start..first + fields.end])
    }

    fn give(&mut self, at: usize, access: Access, name: &str, field: &str) -> Result<(), AccessError> {
        if self.written.get(at) || (access == Access::Write && self.read.get(at)) {
            return Err(AccessError::InUse { name: name.to_owned(), field: field.to_owned() });
        }
        if access == Access::Write {
            self.written.set(at)
        } else {
            self.read.set(at)
        }
        Ok(())
    }

    /// A column to read, one element a row.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn column<T: Element>(&mut self, component: &str, field: &str) -> Result<&'a [T], AccessError> {
        let column = self.take(component, Some(field), Access::Read)?[0];
        check::<T>(&column, component, field)?;
        // SAFETY: the lease makes the column readable until the call ends, and nobody else writes it; by the books the
        // job itself does not.
        Ok(unsafe { slice(&column) })
    }

    /// A column to write, one element a row.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn column_mut<T: Element>(&mut self, component: &str, field: &str) -> Result<&'a mut [T], AccessError> {
        let column = self.take(component, Some(field), Access::Write)?[0];
        check::<T>(&column, component, field)?;
        // SAFETY: the lease makes the column the call's alone until it ends; by the books it is given out once.
        Ok(unsafe { slice_mut(&column) })
    }

    /// All columns of a component to read, in order, for who knows how they lie: see `ColumnsOf` of the scheduler.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn columns(&mut self, component: &str) -> Result<&'a [Lent], AccessError> {
        self.take(component, None, Access::Read)
    }

    /// All columns of a component to write, in order. They are given out once.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn columns_mut(&mut self, component: &str) -> Result<&'a [Lent], AccessError> {
        self.take(component, None, Access::Write)
    }

    /// A column of a columnar resource, to read.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn resource<T: Element>(&mut self, resource: &str, field: &str) -> Result<&'a [T], AccessError> {
        let column = self.take_resource(resource, field, Access::Read)?;
        check::<T>(&column, resource, field)?;
        // SAFETY: as in `column`.
        Ok(unsafe { slice(&column) })
    }

    /// A column of a columnar resource, to write.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn resource_mut<T: Element>(&mut self, resource: &str, field: &str) -> Result<&'a mut [T], AccessError> {
        let column = self.take_resource(resource, field, Access::Write)?;
        check::<T>(&column, resource, field)?;
        // SAFETY: as in `column_mut`.
        Ok(unsafe { slice_mut(&column) })
    }

    fn take_resource(&mut self, name: &str, field: &str, access: Access) -> Result<Lent, AccessError> {
        if self.is_part {
            return Err(AccessError::OfAllParts { name: name.to_owned() });
        }
        let resources = &self.call.shape.resources;
        let at = resources.iter().position(|shape| shape.name == name);
        let at = at.ok_or_else(|| AccessError::NotDeclared { name: name.to_owned() })?;
        if access == Access::Write && resources[at].access == Access::Read {
            return Err(AccessError::ReadOnly { name: name.to_owned() });
        }
        let column = resources[at].fields.iter().position(|known| &*known.name == field);
        let column = column.ok_or_else(|| AccessError::NoField { name: name.to_owned(), field: field.to_owned() })?;
        let column = resources[..at].iter().map(|shape| shape.fields.len()).sum::<usize>() + column;
        self.give(self.call.columns.len() + column, access, name, field)?;
        Ok(self.call.resources[column])
    }

    /// The bits that tell which rows of a written component changed.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn marks(&mut self, component: &str) -> Result<Marks<'a>, AccessError> {
        let (at, shape) = self.find(component)?;
        let bits = self.call.changed[at].filter(|_| shape.access == Access::Write);
        let bits = bits.ok_or_else(|| AccessError::ReadOnly { name: component.to_owned() })?;
        let given = self.call.columns.len() + self.call.resources.len() + at;
        self.give(given, Access::Write, component, "changed")?;
        // SAFETY: as in `column_mut`, for bits.
        Ok(Marks { bits: unsafe { slice_mut(&bits) }, rows: self.rows() })
    }

    /// The rows of a component that changed, of which a `changed` filter told: bit `i & 7` of byte `i >> 3`. None if the
    /// system has no such filter on it, or writes it.
    ///
    /// # Errors
    /// [`AccessError::NotDeclared`].
    pub fn changed(&self, component: &str) -> Result<Option<&'a [u8]>, AccessError> {
        let (at, shape) = self.find(component)?;
        let bits = self.call.changed[at].filter(|_| shape.access == Access::Read);
        // SAFETY: as in `column`: bits of what is only read are nobody's to write.
        Ok(bits.map(|bits| unsafe { slice(&bits) }))
    }

    /// The bits of rows that are to be despawned when the stage ends.
    ///
    /// # Errors
    /// [`AccessError::NoDespawn`], [`AccessError::InUse`].
    pub fn despawns(&mut self) -> Result<Marks<'a>, AccessError> {
        let bits = self.call.despawn.ok_or(AccessError::NoDespawn)?;
        let given = self.call.columns.len() + self.call.resources.len() + self.call.changed.len();
        self.give(given, Access::Write, "despawn", "despawn")?;
        // SAFETY: as in `column_mut`, for bits.
        Ok(Marks { bits: unsafe { slice_mut(&bits) }, rows: self.rows() })
    }
}

impl fmt::Debug for RustCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RustCall").field(&self.call).finish()
    }
}

/// One bit a row, to set.
#[derive(Debug)]
pub struct Marks<'a> {
    bits: &'a mut [u8],
    rows: usize,
}

impl Marks<'_> {
    /// Marks a row.
    ///
    /// # Panics
    /// If there is no such row in this call.
    #[inline]
    pub fn mark(&mut self, row: usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.bits[row >> 3] |= 1 << (row & 7);
    }

    /// Marks all rows.
    pub fn mark_all(&mut self) {
        self.bits.fill(0xff);
    }
}

/// All parts of one call, one a chunk.
///
/// As an iterator it gives each part once; so a job may hold all parts at the same time.
#[derive(Debug)]
pub struct RustParts<'a> {
    calls: &'a [JobCall<'a>],
    /// Keeps the books of the resources, which all parts share; its columns are never asked for.
    shared: RustCall<'a>,
}

impl<'a> RustParts<'a> {
    fn new(calls: &'a [JobCall<'a>]) -> RustParts<'a> {
        RustParts { calls, shared: RustCall::new(&calls[0], false) }
    }

    /// Simulated seconds of this tick.
    pub fn dt(&self) -> f64 {
        self.shared.dt()
    }

    /// Simulated time of this tick in seconds.
    pub fn time(&self) -> f64 {
        self.shared.time()
    }

    /// The system's `extra` value, as JSON text.
    pub fn extra(&self) -> Option<&'a str> {
        self.shared.extra()
    }

    /// A column of a columnar resource, to read.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn resource<T: Element>(&mut self, resource: &str, field: &str) -> Result<&'a [T], AccessError> {
        self.shared.resource(resource, field)
    }

    /// A column of a columnar resource, to write.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn resource_mut<T: Element>(&mut self, resource: &str, field: &str) -> Result<&'a mut [T], AccessError> {
        self.shared.resource_mut(resource, field)
    }

    /// Number of parts that are left.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Rows of all parts that are left.
    pub fn rows(&self) -> usize {
        self.calls.iter().map(|call| call.rows as usize).sum()
    }

    /// One part, for as long as no other is asked for: to walk the parts several times.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part(&mut self, at: usize) -> RustCall<'_> {
        RustCall::new(&self.calls[at], true)
    }
}

impl<'a> Iterator for RustParts<'a> {
    type Item = RustCall<'a>;

    fn next(&mut self) -> Option<RustCall<'a>> {
        let (first, rest) = self.calls.split_first()?;
        self.calls = rest;
        Some(RustCall::new(first, true))
    }
}

fn check<T: Element>(column: &Lent, name: &str, field: &str) -> Result<(), AccessError> {
    if column.scalar == T::SCALAR {
        return Ok(());
    }
    let (name, field) = (name.to_owned(), field.to_owned());
    Err(AccessError::WrongType { name, field, holds: column.scalar, asked: T::SCALAR })
}

/// # Safety
/// `lent` is readable as `T`s during `'a`, and nobody writes it.
unsafe fn slice<'a, T: Element>(lent: &Lent) -> &'a [T] {
    debug_assert!(lent.scalar.size() == size_of::<T>() && lent.ptr.cast::<T>().is_aligned());
    if lent.len == 0 {
        return &[];
    }
    // SAFETY: the caller's duty; any bits are a `T`.
    unsafe { std::slice::from_raw_parts(lent.ptr.as_ptr().cast(), lent.len as usize) }
}

/// # Safety
/// `lent` is writable as `T`s during `'a`, and nobody else touches it.
unsafe fn slice_mut<'a, T: Element>(lent: &Lent) -> &'a mut [T] {
    debug_assert!(lent.scalar.size() == size_of::<T>() && lent.ptr.cast::<T>().is_aligned());
    if lent.len == 0 {
        return &mut [];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(lent.ptr.as_ptr().cast(), lent.len as usize) }
}
