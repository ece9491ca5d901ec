//! Why a snapshot cannot be declared, taken or sent.

use peristyle_layout::INDEX_MAX;

use crate::ferry::FerryError;

/// Why what a job declared makes no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two components, or two resources, have the same name.
    #[error("two components or resources are named `{0}`: describe one of them under another name")]
    DuplicateName(String),
    /// Two columns of a component have the same name.
    #[error("component `{component}` has two columns named `{column}`")]
    DuplicateColumn {
        /// The component.
        component: String,
        /// The column.
        column: String,
    },
    /// A name that scripts could not use.
    #[error("component `{component}`: `{column}` is no name for a column (letters, digits and _ , no digit first)")]
    ColumnName {
        /// The component.
        component: String,
        /// The column.
        column: String,
    },
    /// A component that is not described by columns was declared to be written in place.
    #[error(
        "component `{0}` is described by its serde: jobs can read copies of it and patch it, not write it in place"
    )]
    NoColumns(String),
    /// A component was declared to be read by its `serde`, and to be read or written by its columns.
    #[error("component `{0}` is declared by its serde and by its columns: jobs are lent one of them")]
    TwoForms(String),
    /// A component was declared by its `serde` to be read in a world where it lies in columns that jobs reach.
    #[error("component `{0}` lies in columns in this world: declare those, not its serde")]
    InColumns(String),
    /// Columns beside the rows have the same name as others that the job has.
    #[error("two resources are named `{0}`")]
    DuplicateResource(String),
    /// Columns could not be made.
    #[error("columns `{name}`: {error}")]
    Columns {
        /// Their name.
        name: String,
        /// Why.
        error: SnapshotError,
    },
}

/// Why a snapshot could not be taken. It is empty then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The buffers could not be had.
    #[error("no memory for a snapshot of {rows} rows ({bytes} bytes)")]
    OutOfMemory {
        /// Rows of the source.
        rows: usize,
        /// Bytes asked for.
        bytes: usize,
    },
    /// A source has more rows than a snapshot counts.
    #[error("a source of {0} rows: a snapshot has fewer than 2^32")]
    TooManyRows(usize),
    /// A source does not give values of opaque components.
    #[error("component `{component}` is described by its serde: this source gives no values, only columns")]
    NoValues {
        /// The component.
        component: String,
    },
    /// An entity's index has no place in a handle.
    #[error("entity index {index} at row {row}: jobs know indices up to {INDEX_MAX}")]
    Index {
        /// The index.
        index: u32,
        /// Its row.
        row: usize,
    },
}

/// Why a frame of an offloaded system failed. The world is as it was, but for what the error says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OffloadError {
    /// The snapshot could not be taken.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What was declared makes no snapshot.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The snapshot did not come back.
    #[error(transparent)]
    Ferry(#[from] FerryError),
    /// A worker thread could not be started.
    #[error("cannot start a worker thread: {0}")]
    Threads(#[from] std::io::Error),
    /// `extra` could not be serialised.
    #[error("job `{job}`: `extra` cannot be serialised: {error}")]
    Extra {
        /// The job.
        job: String,
        /// Why.
        error: serde_json::Error,
    },
    /// A job is to take all rows in parts that takes one call at a time only.
    #[error("job `{0}` is to take all parts at once, but takes one at a time")]
    NoParts(String),
    /// A job is to read an opaque component that can be shown columns only.
    #[error("job `{job}`: it cannot be shown component `{component}`, which is described by its serde, not by columns")]
    NoValues {
        /// The job.
        job: String,
        /// The component.
        component: String,
    },
    /// In place was asked for, of a world that has to be copied.
    #[error("job `{0}`: this world cannot be worked on in place")]
    NotInPlace(String),
    /// A snapshot is away already.
    #[error("job `{0}`: its snapshot has not come back yet")]
    Away(String),
}
