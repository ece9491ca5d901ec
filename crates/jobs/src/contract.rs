//! The job contract: what a job declared, and what one call of it is lent.
//!
//! A job is a pure function of the rows it is lent. It never sees the world: a [`JobCall`] names columns by pointer,
//! and who makes it promises that they stay exclusive until [`JobRunner::run`] returns.
//!
//! # Rules
//! - Columns come in the order of the [`JobShape`]: components in order, each component's fields in order.
//! - A call covers rows of one chunk whose first row is a multiple of 512, or rows of staging columns, which hold those of
//!   many chunks one after the other; either way bitsets start on a byte.
//! - A job that takes parts gets one call for each chunk, all at once; they share what is not of their rows.
//! - Bit `i` of a bitset is row `i` of the call: byte `i >> 3`, mask `1 << (i & 7)`.
//! - Nothing of a call may be touched after `run` returned.

use std::{error, fmt, ops::Deref, ptr::NonNull};

use peristyle_layout::{Entity, Field, Scalar};
use peristyle_memory::Memory;

use crate::{Lane, Overrun, PatchSink, ValueLookup, rust::AccessError};

/// What a job may do with a component or resource. Writing implies reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// The job only reads.
    Read,
    /// The job reads and writes.
    Write,
}

/// One component as a job sees it: `snap.comps[id]` and `snap.comps[name]` in JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentShape {
    /// The component's number in this world.
    pub id: u32,
    /// The component's name.
    pub name: String,
    /// Its columns, in order.
    pub fields: Vec<Field>,
    /// What the job declared; of an opaque component it only reads, and writes are patches.
    pub access: Access,
    /// Whether it has no columns because its values are opaque: the call gives [copies](JobCall::value) of them.
    pub opaque: bool,
}

/// One columnar resource as a job sees it: `snap.res[name]` in JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceShape {
    /// The resource's name.
    pub name: String,
    /// Its columns, in order.
    pub fields: Vec<Field>,
    /// What the job declared.
    pub access: Access,
}

/// Everything a job declared. Made once when its system is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobShape {
    /// Components, in declared order.
    pub components: Vec<ComponentShape>,
    /// Columnar resources, in declared order.
    pub resources: Vec<ResourceShape>,
    /// Components that the job may set, add and remove by patches, beside those that it writes. They are not lent.
    pub patches: Vec<PatchShape>,
    /// Whether the job may set despawn bits, and destroy by patches.
    pub despawns: bool,
}

/// One component that a job may patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchShape {
    /// The component's number in this world.
    pub id: u32,
    /// The component's name.
    pub name: String,
    /// Its columns, in order.
    pub fields: Vec<Field>,
    /// Whether it has none because its values are opaque, and cross as JSON.
    pub opaque: bool,
}

/// One column, or one bitset as bytes, lent for one call.
#[derive(Debug, Clone, Copy)]
pub struct Lent {
    /// First element. Aligned to the element's size; never dereferenced when `len` is 0.
    pub ptr: NonNull<u8>,
    /// Number of elements (bytes for a bitset: a multiple of 8, padding bits included).
    pub len: u32,
    /// Element type; `U8` for a bitset.
    pub scalar: Scalar,
}

impl Lent {
    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.len as usize * self.scalar.size()
    }
}

/// Gives the handles of the rows of a call: `snap.entity(i)`.
pub trait EntityLookup: Sync {
    /// The live handle with that index.
    fn entity(&self, index: u32) -> Entity;
}

/// The value of `extra`, as JSON text.
#[derive(Debug, Clone, Copy)]
pub struct Extra<'a> {
    /// JSON text.
    pub json: &'a str,
    /// Changes whenever the text changes, so that a runner parses each value once.
    pub version: u64,
}

/// One call of a job on one range of rows: [`JobCallParts`] that somebody answered for.
pub struct JobCall<'a>(JobCallParts<'a>);

/// The parts of a [`JobCall`], to be turned into one by [`JobCall::lease`].
pub struct JobCallParts<'a> {
    /// What the job declared.
    pub shape: &'a JobShape,
    /// The memory that the columns lie in, if they lie in one: a kernel finds them by their offset there.
    pub memory: Option<&'a Memory>,
    /// Rows in this call: 1 to 16 384, and any number if the job wants its rows as one whole.
    pub rows: u32,
    /// `u32` entity index of each row. A job must not change them: what it is shown is a copy.
    pub eids: Lent,
    /// Handles of the rows.
    pub entities: &'a dyn EntityLookup,
    /// Values of the opaque components of the rows, if the shape has any.
    pub values: Option<&'a dyn ValueLookup>,
    /// Every field of every component, in order of the shape; `rows` elements each.
    pub columns: &'a [Lent],
    /// Per component: the bits to mark if it is written; the rows that changed if a `changed` filter only reads it; else
    /// nothing.
    pub changed: &'a [Option<Lent>],
    /// Bits to set for rows to despawn, if the shape says so.
    pub despawn: Option<Lent>,
    /// Every field of every resource, in order of the shape.
    pub resources: &'a [Lent],
    /// Simulated seconds of this tick.
    pub dt: f64,
    /// Simulated time of this tick in seconds.
    pub time: f64,
    /// The system's `extra` value for this tick.
    pub extra: Option<Extra<'a>>,
    /// Where patches go, if the job may give any. They count only if the call succeeds.
    pub patches: Option<&'a PatchSink>,
}

impl<'a> Deref for JobCall<'a> {
    type Target = JobCallParts<'a>;

    #[inline]
    fn deref(&self) -> &JobCallParts<'a> {
        &self.0
    }
}

impl<'a> JobCall<'a> {
    /// Leases the columns in `parts` to one call.
    ///
    /// # Safety
    /// While the call lives:
    /// - every [`Lent`] points to `len` readable elements, aligned to their size, that stay allocated;
    /// - written columns, `changed` bits of written components and `despawn` are writable, and nobody else reads or writes
    ///   them; read columns are written by nobody, and no Rust reference to any lent column is used (a JavaScript job
    ///   cannot be kept from writing what it only declared to read);
    /// - `columns`, `changed` and `resources` have the lengths that `shape` gives.
    pub unsafe fn lease(parts: JobCallParts<'a>) -> JobCall<'a> {
        let fields = |components: &[ComponentShape]| components.iter().map(|c| c.fields.len()).sum::<usize>();
        debug_assert_eq!(parts.columns.len(), fields(&parts.shape.components));
        debug_assert_eq!(parts.changed.len(), parts.shape.components.len());
        debug_assert_eq!(
            parts.resources.len(),
            parts.shape.resources.iter().map(|resource| resource.fields.len()).sum::<usize>()
        );
        JobCall(parts)
    }
}

impl fmt::Debug for JobCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobCall").field("rows", &self.rows).field("dt", &self.dt).field("time", &self.time).finish()
    }
}

/// Runs calls of one job. Shared by all lanes.
pub trait JobRunner: Send + Sync {
    /// The job's name for messages: a file name or the system's name.
    fn name(&self) -> &str;

    /// Readies `lane`, so that the first call there does not pay for it: an engine is started, modules are loaded.
    ///
    /// # Errors
    /// What kept the job from being loaded on that lane.
    fn prepare(&self, lane: &mut Lane) -> Result<(), JobError> {
        let _ = lane;
        Ok(())
    }

    /// Whether the job can work on columns in `memory`: asked when its system is added to a world.
    ///
    /// # Errors
    /// [`JobError::Memory`] says which memory it needs. Calls fail in the same way.
    fn check(&self, memory: &Memory) -> Result<(), JobError> {
        let _ = memory;
        Ok(())
    }

    /// Whether calls reach into the memory that columns lie in, so that copies of columns elsewhere are no use to them.
    fn reaches_memory(&self) -> bool {
        false
    }

    /// Runs one call on the thread of `lane`.
    ///
    /// # Errors
    /// [`JobError`]; what the job wrote until then stays, and its rows count as changed.
    fn run(&self, lane: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError>;

    /// Whether the job can be shown values of opaque components. Others reach columns only.
    fn takes_values(&self) -> bool {
        false
    }

    /// Whether [`run_parts`](JobRunner::run_parts) can be called.
    fn takes_parts(&self) -> bool {
        false
    }

    /// Runs one call for all chunks at once, each a part with rows of its own. There is at least one; shape, resources,
    /// time and `extra` are the same in all.
    ///
    /// # Errors
    /// As [`run`](JobRunner::run), for the rows of all parts.
    fn run_parts(&self, lane: &mut Lane, parts: &[JobCall<'_>]) -> Result<(), JobError> {
        let _ = (lane, parts);
        Err(JobError::Load(format!("`{}` takes one part at a time", self.name())))
    }
}

/// Why a job's call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// The job threw.
    Threw {
        /// The error's `name`, or the type of the thrown value.
        name: String,
        /// The error's message, or the thrown value as text.
        message: String,
        /// The stack, one frame a line, with the positions of the job's own source.
        stack: String,
    },
    /// The job could not be loaded on this lane.
    Load(String),
    /// The job cannot reach columns where they lie: it says which memory it needs.
    Memory(String),
    /// All stacks that the memory has for kernels are taken by other instances of kernels: one for each kernel, shape and
    /// lane. They are free again when kernels and lanes go.
    NoStack {
        /// How many there are.
        stacks: usize,
    },
    /// The job was stopped before it returned.
    Terminated(String),
    /// A Rust job panicked.
    Panicked(String),
    /// The job gave a patch that it may not give. None of the call's patches is applied.
    Patch {
        /// Its position among the call's patches.
        index: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The value of an opaque component could not be given to the job: its `serde` refused.
    Value {
        /// The component.
        component: String,
        /// Whose value it is.
        entity: Entity,
        /// Why.
        message: String,
    },
    /// What nothing could stop ran longer than its deadline, and was waited for: what it did is done.
    Overran(Overrun),
    /// A Rust job asked for what it was not lent.
    Access(AccessError),
    /// A Rust job gave up, in its own words.
    Failed(String),
}

impl From<AccessError> for JobError {
    fn from(error: AccessError) -> JobError {
        JobError::Access(error)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Threw { name, message, stack } => {
                write!(f, "{name}: {message}")?;
                stack.lines().try_for_each(|line| write!(f, "\n    at {line}"))
            }
            JobError::Load(message) => write!(f, "cannot be loaded: {message}"),
            JobError::Memory(why) => write!(f, "cannot reach its columns: {why}"),
            JobError::NoStack { stacks } => {
                write!(f, "cannot be linked: the memory's {stacks} stacks are all taken by other kernels")
            }
            JobError::Terminated(why) => write!(f, "was stopped: {why}"),
            JobError::Panicked(message) => write!(f, "panicked: {message}"),
            JobError::Value { component, entity, message } => {
                write!(f, "the value of component `{component}` of entity {entity} cannot cross: {message}")
            }
            JobError::Overran(Overrun { took, deadline }) => {
                write!(f, "ran {took:?}, longer than its deadline of {deadline:?}, and was waited for")
            }
            JobError::Access(error) => error.fmt(f),
            JobError::Failed(message) => message.fmt(f),
            JobError::Patch { index, message } => write!(f, "patches[{index}]: {message}"),
        }
    }
}

impl error::Error for JobError {}
