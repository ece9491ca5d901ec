//! State as a tree of plain values, persistent: a copy is cheap, and a change copies only what is on its path.
//!
//! A [`Value`] is what JSON can say. Lists and maps are chunked trees that copies share, so that what a patch does not
//! touch stays identical ([`Value::ptr_eq`]), and nothing is copied whole.
//!
//! # Rules
//! - Numbers are finite `f64`. What is not finite becomes null, and negative zero zero, as in JSON from JavaScript.
//! - Maps keep their keys sorted. No key is special, whatever it is called.
//! - Text is UTF-8, or, if it has lone surrogates (JSON can escape them), 16-bit units.

use std::{cmp::Ordering, fmt, sync::Arc};

use crate::{json, tree, tree::Tree};

/// Text of a value or a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Text {
    /// Well-formed text.
    Utf8(Arc<str>),
    /// Text with lone surrogates, which only 16-bit units can express.
    Wide(Arc<[u16]>),
}

impl Text {
    /// Returns the text, unless it is ill-formed.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Text::Utf8(text) => Some(text),
            Text::Wide(_) => None,
        }
    }

    pub(crate) fn from_units(units: &[u16]) -> Text {
        match String::from_utf16(units) {
            Ok(text) => Text::Utf8(text.into()),
            Err(_) => Text::Wide(units.into()),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::Utf8(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text::Utf8(text.into())
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Text {
        Text::Utf8(text)
    }
}

impl fmt::Display for Text {
    /// Ill-formed text is shown with replacement characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Utf8(text) => f.write_str(text),
            Text::Wide(units) => f.write_str(&String::from_utf16_lossy(units)),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A plain value.
#[derive(Clone, Default)]
pub enum Value {
    /// Null.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A finite number; see [`Value::number`].
    Number(f64),
    /// Text.
    String(Text),
    /// A list.
    List(List),
    /// Keys with values.
    Map(Map),
}

impl Value {
    /// A number; null if it is not finite, zero if it is negative zero.
    pub fn number(number: f64) -> Value {
        if number.is_finite() { Value::Number(number + 0.0) } else { Value::Null }
    }

    /// Whether both are the same: the same copy of a list or map, equal otherwise. Costs nothing.
    pub fn ptr_eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::String(Text::Utf8(a)), Value::String(Text::Utf8(b))) => Arc::ptr_eq(a, b) || a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.ptr_eq(b),
            (Value::Map(a), Value::Map(b)) => a.ptr_eq(b),
            _ => false,
        }
    }

    /// Returns the value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Returns an element, if this is a list that has it.
    pub fn at(&self, index: usize) -> Option<&Value> {
        self.as_list()?.get(index)
    }

    /// Returns the number, if this is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    /// Returns the number, if this is an integer of at most 53 bits.
    pub fn as_i64(&self) -> Option<i64> {
        let number = self.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= json::INTEGER_MAX as f64).then_some(number as i64)
    }

    /// Returns the truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// Returns the text, if this is well-formed text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { text.as_str() } else { None }
    }

    /// Returns the list, if this is one.
    pub fn as_list(&self) -> Option<&List> {
        if let Value::List(list) = self { Some(list) } else { None }
    }

    /// Returns the map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = self { Some(map) } else { None }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns the value as JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        json::write(self, &mut out);
        out
    }

    /// A 64-bit hash of the value, the same wherever it is computed: two mirrors that agree have the same.
    pub fn hash64(&self) -> u64 {
        // FNV-1a over the JSON text: keys are sorted and numbers have one form, so equal values have equal text.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.to_json().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }
}

impl PartialEq for Value {
    /// Deep equality. Shared parts are not looked into.
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => self.ptr_eq(other),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::number(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Number(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into())
    }
}

impl From<List> for Value {
    fn from(list: List) -> Value {
        Value::List(list)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Map(map)
    }
}

/// A persistent list of values. Reading and changing an element cost some steps of a shallow tree, copying nothing.
#[derive(Clone, Default)]
pub struct List(pub(crate) Tree<Value>);

impl List {
    /// An empty list.
    pub fn new() -> List {
        List::default()
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an element.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index)
    }

    /// Returns an element to change, after copying what others share on the way to it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Value> {
        self.0.get_mut(index)
    }

    /// Inserts before `index`.
    ///
    /// # Panics
    /// If `index` is beyond the length.
    pub fn insert(&mut self, index: usize, value: Value) {
        self.0.insert(index, value);
    }

    /// Appends an element.
    pub fn push(&mut self, value: Value) {
        self.0.push(value);
    }

    /// Removes and returns an element, if there is one; later elements move up.
    pub fn remove(&mut self, index: usize) -> Option<Value> {
        self.0.remove(index)
    }

    /// Keeps the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Iterates over the elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.iter()
    }

    /// Whether both are the same copy.
    pub fn ptr_eq(&self, other: &List) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl PartialEq for List {
    fn eq(&self, other: &List) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let mut equal = true;
        self.0.each_unshared(&other.0, |index| {
            equal = self.get(index) == other.get(index);
            equal
        });
        equal
    }
}

impl From<Vec<Value>> for List {
    fn from(values: Vec<Value>) -> List {
        List(values.into())
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> List {
        List(values.into_iter().collect())
    }
}

/// A persistent map from text to values, sorted by key.
#[derive(Clone, Default)]
pub struct Map(Tree<(Text, Value)>);

impl Map {
    /// An empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// Makes a map of entries in any order. Of several entries with one key the last counts.
    pub fn from_entries(mut entries: Vec<(Text, Value)>) -> Map {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            // Sorting is stable, so the last of equal keys comes last; keep that one.
            entries.dedup_by(|later, earlier| {
                let equal = later.0 == earlier.0;
                if equal {
                    earlier.1 = std::mem::take(&mut later.1);
                }
                equal
            });
        }
        Map(entries.into())
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, compare: impl Fn(&Text) -> Ordering) -> Result<usize, usize> {
        let at = self.0.partition_point(|(key, _)| compare(key) == Ordering::Less);
        match self.0.get(at) {
            Some((key, _)) if compare(key) == Ordering::Equal => Ok(at),
            _ => Err(at),
        }
    }

    fn find_str(&self, wanted: &str) -> Result<usize, usize> {
        self.find(|key| match key {
            Text::Utf8(key) => (**key).cmp(wanted),
            // As the order of the variants has it.
            Text::Wide(_) => Ordering::Greater,
        })
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find_str(key).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// Returns the value of a key that may be ill-formed text.
    pub fn get_text(&self, key: &Text) -> Option<&Value> {
        self.find(|other| other.cmp(key)).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// Returns the value of a key to change, after copying what others share on the way to it.
    pub fn get_mut(&mut self, key: &Text) -> Option<&mut Value> {
        let at = self.find(|other| other.cmp(key)).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Sets the value of a key, new or not; returns the value before.
    pub fn insert(&mut self, key: Text, value: Value) -> Option<Value> {
        match self.find(|other| other.cmp(&key)) {
            Ok(at) => self.0.get_mut(at).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Removes a key; returns its value.
    pub fn remove(&mut self, key: &Text) -> Option<Value> {
        let at = self.find(|other| other.cmp(key)).ok()?;
        self.0.remove(at).map(|(_, value)| value)
    }

    /// Iterates over the entries, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Value)> {
        let entries: tree::Iter<'_, _> = self.0.iter();
        entries.map(|(key, value)| (key, value))
    }

    /// Whether both are the same copy.
    pub fn ptr_eq(&self, other: &Map) -> bool {
        self.0.ptr_eq(&other.0)
    }

    /// Calls `visit` with the entries of both maps whose leaves are not shared, if the maps have the same keys there;
    /// returns whether they have.
    pub(crate) fn each_unshared_pair(&self, other: &Map, mut visit: impl FnMut(&Text, &Value, &Value)) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if let (Some(a), Some(b)) = (self.0.as_slice(), other.0.as_slice()) {
            if !a.iter().zip(b).all(|(a, b)| a.0 == b.0) {
                return false;
            }
            a.iter().zip(b).for_each(|(a, b)| visit(&a.0, &a.1, &b.1));
            return true;
        }
        let mut same_keys = true;
        self.0.each_unshared(&other.0, |index| {
            if let (Some((a_key, _)), Some((b_key, _))) = (self.0.get(index), other.0.get(index)) {
                same_keys = a_key == b_key;
            }
            same_keys
        });
        if same_keys {
            self.0.each_unshared(&other.0, |index| {
                if let (Some((key, a)), Some((_, b))) = (self.0.get(index), other.0.get(index)) {
                    visit(key, a, b);
                }
                true
            });
        }
        same_keys
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let mut equal = true;
        self.0.each_unshared(&other.0, |index| {
            equal = self.0.get(index) == other.0.get(index);
            equal
        });
        equal
    }
}

impl<K: Into<Text>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Map {
        Map::from_entries(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_three_words() {
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let entry = |key: &str, number: i32| (Text::from(key), Value::from(number));
        let map = Map::from_entries(vec![entry("b", 1), entry("a", 2), entry("b", 3), entry("a", 4)]);
        assert_eq!(Value::Map(map).to_json(), r#"{"a":4,"b":3}"#);
    }

    #[test]
    fn what_is_not_on_the_path_stays_identical() {
        let old = json::parse(r#"{"a":{"x":1},"b":{"y":[1,2,3]}}"#).unwrap();
        let mut new = old.clone();
        let Value::Map(map) = &mut new else { unreachable!() };
        map.insert("a".into(), Value::Null);
        assert!(old.get("b").unwrap().ptr_eq(new.get("b").unwrap()));
        assert!(!old.ptr_eq(&new));
        assert_eq!(old.to_json(), r#"{"a":{"x":1},"b":{"y":[1,2,3]}}"#);
    }
}
