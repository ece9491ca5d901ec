//! State of modules, and how it tells what changed.
//!
//! A module's state is a struct of fields that each say what changed since they were last published. Plain serde values
//! are compared with what was published; [`StateList`] and [`StateMap`] keep a record of what was touched, so that their
//! cost follows the change and not their size.
//!
//! # Rules
//! - A copy of the state is made before each change, to go back to if the change fails. Copies of the collections here
//!   cost nothing; copies of plain fields cost what cloning them costs.
//! - [`State::record`] leaves `published` equal to what [`State::to_value`] would give, and has recorded the patches that
//!   lead there.

use std::{borrow::Borrow, collections::BTreeSet};

use serde::Serialize;

use crate::{
    diff::{Changes, check, check_key, diff},
    patch::{Op, Segment},
    tree::Tree,
    typed::{ValueError, field_key, value_of},
    value::{Text, Value},
};

/// Something that a host publishes. Usually derived: `#[derive(State)]`.
pub trait State: Clone + Send + 'static {
    /// Returns the whole.
    ///
    /// # Errors
    /// If JSON cannot say it.
    fn to_value(&self) -> Result<Value, ValueError>;

    /// Records what changed since `published` was up to date, and brings it up to date.
    ///
    /// # Errors
    /// If JSON cannot say it. What was published and recorded may then be half way.
    fn record(&mut self, published: &mut Value, changes: &mut Changes) -> Result<(), ValueError>;
}

/// Records a plain value by comparing it with what was published.
///
/// # Errors
/// If JSON cannot say it.
pub fn record_plain<T: Serialize + 'static>(
    value: &T,
    published: &mut Value,
    changes: &mut Changes,
) -> Result<(), ValueError> {
    let value = value_of(value)?;
    let before = changes.patches.len();
    diff(published, &value, changes)?;
    // If nothing differs, what was published stays, and with it the identity of its parts.
    if changes.patches.len() > before {
        *published = value;
    }
    Ok(())
}

/// Records a field of a struct; used by derived code.
///
/// # Errors
/// If `record` fails.
pub fn record_field(
    key: &'static str,
    published: &mut Value,
    changes: &mut Changes,
    record: impl FnOnce(&mut Value, &mut Changes) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    let Value::Map(map) = published else { return Err(ValueError::Type("a module's state is a map".into())) };
    let key = field_key(key);
    // Changed where it is: a host holds what was published alone, unless a snapshot is on its way.
    let Some(value) = map.get_mut(&key) else { return Err(ValueError::Type(format!("there is no field `{key}`"))) };
    changes.below(Segment::Key(key), |changes| record(value, changes))
}

/// A plain serde value as state of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plain<T>(pub T);

impl<T: Serialize + Clone + Send + 'static> State for Plain<T> {
    fn to_value(&self) -> Result<Value, ValueError> {
        value_of(&self.0)
    }

    fn record(&mut self, published: &mut Value, changes: &mut Changes) -> Result<(), ValueError> {
        record_plain(&self.0, published, changes)
    }
}

/// How a list was changed, with the elements as they were at that moment.
#[derive(Clone, Debug)]
enum ListOp<T> {
    Set(usize, T),
    Insert(usize, T),
    Remove(usize),
}

/// A persistent list that records which elements were touched.
///
/// Elements are serde values. One that was touched is compared with what was published, so only its changed fields
/// cross.
#[derive(Clone)]
pub struct StateList<T> {
    items: Tree<T>,
    /// Elements touched since the last entry of `ops`, by their present indices; may have an index twice.
    touched: Vec<usize>,
    ops: Vec<ListOp<T>>,
    /// The whole list is other than it was.
    replaced: bool,
}

impl<T> Default for StateList<T> {
    fn default() -> Self {
        StateList { items: Tree::default(), touched: Vec::new(), ops: Vec::new(), replaced: false }
    }
}

impl<T: Clone> StateList<T> {
    /// An empty list.
    pub fn new() -> StateList<T> {
        StateList::default()
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an element.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index)
    }

    /// Returns an element to change.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let item = self.items.get_mut(index)?;
        if !self.replaced && self.touched.last() != Some(&index) {
            self.touched.push(index);
        }
        Some(item)
    }

    /// Iterates over the elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.items.iter()
    }

    /// Appends an element.
    pub fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    /// Inserts before `index`.
    ///
    /// # Panics
    /// If `index` is beyond the length.
    pub fn insert(&mut self, index: usize, item: T) {
        self.flush();
        self.items.insert(index, item.clone());
        self.log(ListOp::Insert(index, item));
    }

    /// Removes and returns an element, if there is one; later elements move up.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        if index >= self.len() {
            return None;
        }
        self.flush();
        let item = self.items.remove(index)?;
        self.log(ListOp::Remove(index));
        Some(item)
    }

    /// Replaces all elements.
    pub fn replace(&mut self, items: impl IntoIterator<Item = T>) {
        self.items = items.into_iter().collect();
        self.touched.clear();
        self.ops.clear();
        self.replaced = true;
    }

    /// Writes touched elements into the log, before indices move.
    fn flush(&mut self) {
        self.touched.sort_unstable();
        self.touched.dedup();
        for index in std::mem::take(&mut self.touched) {
            if let Some(item) = self.items.get(index) {
                self.ops.push(ListOp::Set(index, item.clone()));
            }
        }
    }

    fn log(&mut self, op: ListOp<T>) {
        if self.replaced {
            return;
        }
        self.ops.push(op);
        // As many changes as that are dearer than the list.
        if self.ops.len() > 2 * self.len() + 64 {
            self.ops.clear();
            self.replaced = true;
        }
    }
}

impl<T> FromIterator<T> for StateList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        StateList { items: items.into_iter().collect(), ..StateList::default() }
    }
}

impl<T: Serialize + Clone + Send + Sync + 'static> State for StateList<T> {
    fn to_value(&self) -> Result<Value, ValueError> {
        Ok(Value::List(crate::List(self.items.iter().map(value_of).collect::<Result<_, _>>()?)))
    }

    fn record(&mut self, published: &mut Value, changes: &mut Changes) -> Result<(), ValueError> {
        if self.touched.is_empty() && self.ops.is_empty() && !self.replaced {
            return Ok(());
        }
        if let (false, Value::List(list)) = (self.replaced, &mut *published) {
            self.flush();
            for op in std::mem::take(&mut self.ops) {
                match op {
                    ListOp::Set(index, item) => {
                        let value = value_of(&item)?;
                        let old = list.get(index).cloned().unwrap_or_default();
                        let before = changes.patches.len();
                        changes.below(Segment::Index(index as u32), |changes| diff(&old, &value, changes))?;
                        if let (true, Some(slot)) = (changes.patches.len() > before, list.get_mut(index)) {
                            *slot = value;
                        }
                    }
                    ListOp::Insert(index, item) => {
                        let value = value_of(&item)?;
                        check(&value, changes.path.len() + 1)?;
                        list.insert(index, value.clone());
                        changes.below(Segment::Index(index as u32), |changes| changes.push(Op::Add(value)));
                    }
                    ListOp::Remove(index) => {
                        list.remove(index);
                        changes.below(Segment::Index(index as u32), |changes| changes.push(Op::Remove));
                    }
                }
            }
            return Ok(());
        }
        (self.touched, self.ops, self.replaced) = (Vec::new(), Vec::new(), false);
        let value = self.to_value()?;
        if value != *published {
            check(&value, changes.path.len())?;
            changes.push(Op::Replace(value.clone()));
            *published = value;
        }
        Ok(())
    }
}

/// A persistent map from text to serde values that records which entries were touched.
#[derive(Clone)]
pub struct StateMap<T> {
    entries: Tree<(Text, T)>,
    touched: BTreeSet<Text>,
    replaced: bool,
}

impl<T> Default for StateMap<T> {
    fn default() -> Self {
        StateMap { entries: Tree::default(), touched: BTreeSet::new(), replaced: false }
    }
}

impl<T: Clone> StateMap<T> {
    /// An empty map.
    pub fn new() -> StateMap<T> {
        StateMap::default()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, key: &Text) -> Result<usize, usize> {
        let at = self.entries.partition_point(|(other, _)| other < key);
        match self.entries.get(at) {
            Some((other, _)) if other == key => Ok(at),
            _ => Err(at),
        }
    }

    /// Returns an entry.
    pub fn get(&self, key: impl Into<Text>) -> Option<&T> {
        let at = self.find(&key.into()).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// Returns an entry to change.
    pub fn get_mut(&mut self, key: impl Into<Text>) -> Option<&mut T> {
        let key = key.into();
        let at = self.find(&key).ok()?;
        self.touched.insert(key);
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Sets an entry, new or not; returns the one before.
    pub fn insert(&mut self, key: impl Into<Text>, value: T) -> Option<T> {
        let key = key.into();
        self.touched.insert(key.clone());
        match self.find(&key) {
            Ok(at) => self.entries.get_mut(at).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: impl Into<Text>) -> Option<T> {
        let key = key.into();
        let at = self.find(&key).ok()?;
        self.touched.insert(key);
        self.entries.remove(at).map(|(_, value)| value)
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = StateMap { replaced: true, ..StateMap::default() };
    }

    /// Iterates over the entries, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &T)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

impl<T: Serialize + Clone + Send + Sync + 'static> State for StateMap<T> {
    fn to_value(&self) -> Result<Value, ValueError> {
        let entry = |(key, value): &(Text, T)| Ok((key.clone(), value_of(value)?));
        Ok(Value::Map(self.entries.iter().map(entry).collect::<Result<_, ValueError>>()?))
    }

    fn record(&mut self, published: &mut Value, changes: &mut Changes) -> Result<(), ValueError> {
        let touched = std::mem::take(&mut self.touched);
        if let (false, Value::Map(map)) = (std::mem::take(&mut self.replaced), &mut *published) {
            for key in touched {
                let new = match self.find(&key).ok().and_then(|at| self.entries.get(at)) {
                    Some((_, value)) => Some(value_of(value)?),
                    None => None,
                };
                let old = map.get_text(&key).cloned();
                let before = changes.patches.len();
                changes.below(Segment::Key(key.clone()), |changes| match (&old, &new) {
                    (Some(old), Some(new)) => diff(old, new, changes),
                    (Some(_), None) => {
                        changes.push(Op::Remove);
                        Ok(())
                    }
                    (None, Some(new)) => {
                        check_key(&key)?;
                        check(new, changes.path.len())?;
                        changes.push(Op::Add(new.clone()));
                        Ok(())
                    }
                    (None, None) => Ok(()),
                })?;
                if changes.patches.len() > before {
                    match new {
                        Some(new) => drop(map.insert(key, new)),
                        None => drop(map.remove(key.borrow())),
                    }
                }
            }
            return Ok(());
        }
        let value = self.to_value()?;
        let before = changes.patches.len();
        diff(published, &value, changes)?;
        if changes.patches.len() > before {
            *published = value;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch;

    #[derive(Clone, serde::Serialize)]
    struct Item {
        id: usize,
        x: i32,
    }

    fn root(value: Value) -> Value {
        Value::Map([("v", value)].into_iter().collect())
    }

    /// Records a change and checks that patches and published value agree with the state.
    #[track_caller]
    fn check<S: State>(state: &mut S, published: &mut Value) -> usize {
        let before = root(published.clone());
        let mut changes = Changes::default();
        changes.below(Segment::key("v").unwrap(), |changes| state.record(published, changes)).unwrap();
        assert_eq!(*published, state.to_value().unwrap());
        assert_eq!(patch::apply(&before, &changes.patches).unwrap(), root(published.clone()));
        changes.patches.len()
    }

    #[test]
    fn a_list_publishes_what_was_touched() {
        let mut seed = 3_u64;
        let mut next = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below.max(1)
        };
        let mut list: StateList<Item> = (0..200).map(|id| Item { id, x: 0 }).collect();
        let mut published = list.to_value().unwrap();
        for round in 0..300 {
            for _ in 0..next(6) {
                let len = list.len();
                match next(5) {
                    0 => list.insert(next(len + 1), Item { id: round, x: 1 }),
                    1 => drop(list.remove(next(len))),
                    2 if round % 50 == 0 => list.replace((0..next(100)).map(|id| Item { id, x: 7 })),
                    _ => {
                        if let Some(item) = list.get_mut(next(len)) {
                            item.x += 1;
                        }
                    }
                }
            }
            check(&mut list, &mut published);
        }
        assert_eq!(check(&mut list, &mut published), 0);
        let item = list.get_mut(3).unwrap();
        item.x = -1;
        list.get_mut(5).unwrap();
        assert_eq!(check(&mut list, &mut published), 1);
    }

    #[test]
    fn a_map_publishes_what_was_touched() {
        let mut map: StateMap<Item> = StateMap::new();
        let mut published = map.to_value().unwrap();
        map.insert("a", Item { id: 1, x: 1 });
        map.insert("b", Item { id: 2, x: 2 });
        map.insert("gone", Item { id: 3, x: 3 });
        map.remove("gone");
        assert_eq!(check(&mut map, &mut published), 2);
        map.get_mut("a").unwrap().x = 5;
        map.remove("b");
        assert_eq!(check(&mut map, &mut published), 2);
        map.clear();
        map.insert("c", Item { id: 4, x: 4 });
        assert_eq!(check(&mut map, &mut published), 2);
        map.insert("__proto__", Item { id: 4, x: 4 });
        assert!(map.record(&mut published, &mut Changes::default()).is_err());
    }
}
