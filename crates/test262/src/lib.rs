//! test262, the conformance suite of ECMAScript, run on Peristyle's agents.
//!
//! A [`Checkout`] knows which files are tests and how each is run; [`serve`] runs them one after the other, each in an agent
//! of its own, as a process of its own asks for by lines of JSON; [`run`] is that process: it starts as many of those as it
//! is told to, gives each the next run, and makes a [`Report`]. So a test that takes its process down, or hangs where no
//! interrupt reaches it, fails alone.
//!
//! # Rules
//! - A run is a file in one [`Mode`]. Everything counts runs.
//! - A run is left out only for a feature of [`MISSING`], and only if the check that stands there shows that the engine
//!   lacks it.
//! - The engine is the cause of a failure only for what stands in `engine.json`, with a reason and a proof. Everything else
//!   is the host's fault until somebody shows that it is not.
//!
//! # Not here
//! `$262`, realms and agents: `peristyle_agents::test262`. Arguments, colours, exit codes: the command line.

#![forbid(unsafe_code)]

mod checkout;
mod engine;
mod features;
mod front_matter;
mod report;
mod supervisor;
mod worker;

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use checkout::{Checkout, TestFile};
pub use engine::{EngineFailure, engine_failures};
pub use features::{MISSING, Missing};
pub use front_matter::{FrontMatter, FrontMatterError, Negative, Phase, Reason};
pub use report::{Cause, Counts, Failure, Report};
pub use supervisor::{Options, Outcome, Progress, run};
pub use worker::{Why, run_one, serve};

/// How a test is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A script in sloppy mode.
    Sloppy,
    /// A script in strict mode.
    Strict,
    /// A module.
    Module,
    /// A script as it is, without harness.
    Raw,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Sloppy => "sloppy",
            Mode::Strict => "strict",
            Mode::Module => "module",
            Mode::Raw => "raw",
        })
    }
}

/// Why the suite cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// The directory is no checkout of test262.
    #[error("{} is no checkout of test262: it lacks {lacks}", path.display())]
    NoCheckout {
        /// The directory.
        path: PathBuf,
        /// What is not there.
        lacks: String,
    },
    /// There is nothing to run.
    #[error("{}", match filter {
        Some(filter) => format!("no test's path starts with {filter:?}"),
        None => "the checkout has no tests".to_owned(),
    })]
    NoTests {
        /// The filter that matches nothing.
        filter: Option<String>,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A test does not say how it is to be run.
    #[error("{path}:{error}")]
    FrontMatter {
        /// The file, below the checkout.
        path: String,
        /// What is wrong, and where.
        error: FrontMatterError,
    },
    /// A test includes what is not there.
    #[error("{path} includes {include:?}, which harness/ lacks")]
    Include {
        /// The file, below the checkout.
        path: String,
        /// What it includes.
        include: String,
    },
    /// The processes that run tests cannot be started, or do not answer.
    #[error("cannot run tests in a process of their own: {0}")]
    Process(String),
}
