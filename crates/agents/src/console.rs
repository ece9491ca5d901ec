//! `console`: what a job prints.
//!
//! Formatting happens in JavaScript (`inspect.js`), bounded; here a line meets the cluster's sink.

use std::sync::{Arc, PoisonError, RwLock};

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// `console.debug`
    Debug,
    /// `console.log`
    Log,
    /// `console.info`
    Info,
    /// `console.warn`
    Warn,
    /// `console.error`
    Error,
}

impl Level {
    pub(crate) fn from_index(index: i32) -> Level {
        match index {
            0 => Level::Debug,
            2 => Level::Info,
            3 => Level::Warn,
            4 => Level::Error,
            _ => Level::Log,
        }
    }
}

/// Takes what jobs print, on the thread that prints it.
pub(crate) type Sink = dyn Fn(Level, &str) + Send + Sync;

/// A cluster's sink.
pub(crate) struct Console(RwLock<Arc<Sink>>);

impl Default for Console {
    fn default() -> Console {
        Console(RwLock::new(Arc::new(|_, text| eprintln!("{text}"))))
    }
}

impl Console {
    pub(crate) fn set(&self, sink: Arc<Sink>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = sink;
    }

    /// Hands a line over; no lock is held while the sink runs.
    pub(crate) fn print(&self, level: Level, text: &str) {
        let sink = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        sink(level, text);
    }
}
