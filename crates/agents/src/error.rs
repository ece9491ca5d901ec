//! Why a job could not be made.

use std::path::PathBuf;
use std::{error, fmt};

use peristyle_jobs::JobError;

use crate::kernel::KernelError;

/// Why a cluster, an agent or a job could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentError {
    /// The JavaScript engine could not be started on this thread.
    Engine(String),
    /// There is no such file.
    Missing {
        /// The file as it was asked for.
        path: PathBuf,
    },
    /// The file is there but cannot be used.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is not JavaScript, TypeScript that can be stripped, or JSON.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u32,
        /// Column in UTF-16 units, from 1.
        column: u32,
        /// What is wrong there.
        message: String,
    },
    /// An import cannot be resolved.
    Import {
        /// The importing file.
        importer: PathBuf,
        /// Line of the import, from 1.
        line: u32,
        /// Column of the import in UTF-16 units, from 1.
        column: u32,
        /// What it asked for.
        specifier: String,
        /// Why it cannot have it.
        reason: String,
    },
    /// The module exports neither a function `handle` nor a default function.
    NoHandle {
        /// The module.
        path: PathBuf,
    },
    /// The module threw while it was evaluated.
    Threw {
        /// The error's `name`, or the type of the thrown value.
        name: String,
        /// The error's message, or the thrown value as text.
        message: String,
        /// The stack, one frame a line.
        stack: String,
    },
    /// The module awaits at its top level what nothing will settle.
    Unsettled {
        /// The module.
        path: PathBuf,
    },
    /// The WebAssembly module is no kernel.
    Kernel {
        /// The module.
        path: PathBuf,
        /// What is wrong with it.
        error: KernelError,
    },
    /// The module was stopped while it was evaluated.
    Terminated(String),
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentError::Engine(why) => write!(f, "cannot start the JavaScript engine: {why}"),
            AgentError::Missing { path } => write!(f, "{}: no such file", path.display()),
            AgentError::Unreadable { path, reason } => write!(f, "{}: {reason}", path.display()),
            AgentError::Syntax { path, line, column, message } => {
                write!(f, "{}:{line}:{column}: {message}", path.display())
            }
            AgentError::Import { importer, line, column, specifier, reason } => {
                write!(f, "{}:{line}:{column}: cannot import {specifier:?}: {reason}", importer.display())
            }
            AgentError::NoHandle { path } => {
                write!(f, "{}: exports neither a function `handle` nor a default function", path.display())
            }
            AgentError::Threw { name, message, stack } => {
                write!(f, "{name}: {message}")?;
                stack.lines().try_for_each(|line| write!(f, "\n    at {line}"))
            }
            AgentError::Unsettled { path } => {
                write!(f, "{}: awaits at its top level what nothing will settle", path.display())
            }
            AgentError::Kernel { path, error } => write!(f, "{}: {error}", path.display()),
            AgentError::Terminated(why) => write!(f, "was stopped while it was loaded: {why}"),
        }
    }
}

impl error::Error for AgentError {}

impl From<AgentError> for JobError {
    fn from(error: AgentError) -> JobError {
        match error {
            AgentError::Threw { name, message, stack } => JobError::Threw { name, message, stack },
            AgentError::Terminated(why) => JobError::Terminated(why),
            other => JobError::Load(other.to_string()),
        }
    }
}
