//! Names of spans, each kept once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A name that a [`Timeline`](crate::Timeline) knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub(crate) u32);

#[derive(Default)]
struct Table {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

#[derive(Default)]
pub(crate) struct Names(Mutex<Table>);

impl Names {
    pub(crate) fn intern(&self, name: &str) -> NameId {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = table.ids.get(name) {
            return NameId(id);
        }
        let id = u32::try_from(table.names.len()).expect("fewer than 2^32 names");
        let name: Arc<str> = name.into();
        table.names.push(Arc::clone(&name));
        table.ids.insert(name, id);
        NameId(id)
    }

    /// Returns all names; the id is the index.
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names.clone()
    }
}
