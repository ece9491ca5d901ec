//! Patches: one change each, applied in order, all of a message or none.
//!
//! A patch is `{op, path, value}` with the operations `add`, `replace` and `remove`. This is not RFC 6902: there is no
//! `move`, `copy`, `test` or `-`, and a path is a list of segments (or a JSON pointer).
//!
//! # Rules
//! - A segment's *form* is checked when it is made, its *fit* when the patch is applied. Forms that could reach a
//!   prototype in JavaScript (`__proto__`, `constructor`, `prototype`) cannot be made.
//! - Applying copies the containers on the path and nothing else.
//! - State cannot be grown deeper than two times [`DEPTH_MAX`](crate::DEPTH_MAX): values are bounded, and so are paths.

use std::fmt;

use crate::{
    json::DEPTH_MAX,
    value::{Text, Value},
};

/// The largest index of a JavaScript array.
const INDEX_MAX: u32 = u32::MAX - 1;

/// One step of a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Segment {
    /// A key, or an index in decimal.
    Key(Text),
    /// An index, or a key in decimal. At most 2^32 - 2.
    Index(u32),
}

impl Segment {
    /// A key; nothing if it is one that paths must not have.
    pub fn key(key: impl Into<Text>) -> Option<Segment> {
        let key = key.into();
        (!is_refused(&key)).then_some(Segment::Key(key))
    }

    /// The segment as a key.
    fn as_key(&self) -> Text {
        match self {
            Segment::Key(key) => key.clone(),
            Segment::Index(index) => Text::from(index.to_string()),
        }
    }

    /// The segment as an index: an integer, or canonical decimal.
    fn as_index(&self) -> Option<usize> {
        match self {
            Segment::Index(index) => Some(*index as usize),
            Segment::Key(key) => {
                let key = key.as_str()?;
                let canonical = key.bytes().all(|byte| byte.is_ascii_digit()) && (key == "0" || !key.starts_with('0'));
                let index = key.parse::<u32>().ok()?;
                (canonical && index <= INDEX_MAX).then_some(index as usize)
            }
        }
    }
}

/// Whether a key must not be in a path: in JavaScript it reaches prototypes.
pub(crate) fn is_refused(key: &Text) -> bool {
    matches!(key.as_str(), Some("__proto__" | "constructor" | "prototype"))
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Key(key) => key.fmt(f),
            Segment::Index(index) => index.fmt(f),
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Key(key) => key.fmt(f),
            Segment::Index(index) => fmt::Debug::fmt(index, f),
        }
    }
}

impl From<u32> for Segment {
    /// # Panics
    /// If the index is 2^32 - 1, which no array has.
    fn from(index: u32) -> Segment {
        assert!(index <= INDEX_MAX, "no array has an index {index}");
        Segment::Index(index)
    }
}

/// Reads a segment as it stands in JSON.
pub(crate) fn segment_of(value: &Value) -> Option<Segment> {
    match value {
        Value::String(text) => Segment::key(text.clone()),
        Value::Number(number) => {
            let in_range = number.fract() == 0.0 && (0.0..=f64::from(INDEX_MAX)).contains(number);
            in_range.then_some(Segment::Index(*number as u32))
        }
        _ => None,
    }
}

/// Reads a path as it stands in JSON: a list of segments, or a JSON pointer.
pub(crate) fn path_of(value: &Value) -> Option<Vec<Segment>> {
    match value {
        Value::List(segments) => segments.iter().map(segment_of).collect(),
        Value::String(Text::Utf8(pointer)) => pointer_segments(pointer),
        // Pointers with lone surrogates: the same rules over units.
        Value::String(Text::Wide(units)) => wide_pointer_segments(units),
        _ => None,
    }
}

fn pointer_segments(pointer: &str) -> Option<Vec<Segment>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let segment = |escaped: &str| {
        let mut key = String::with_capacity(escaped.len());
        let mut parts = escaped.split('~');
        key.push_str(parts.next().unwrap_or(""));
        for part in parts {
            let (char, rest) = match part.as_bytes().first() {
                Some(b'0') => ('~', &part[1..]),
                Some(b'1') => ('/', &part[1..]),
                _ => return None,
            };
            key.push(char);
            key.push_str(rest);
        }
        Segment::key(key)
    };
    pointer.strip_prefix('/')?.split('/').map(segment).collect()
}

fn wide_pointer_segments(units: &[u16]) -> Option<Vec<Segment>> {
    let (&first, rest) = units.split_first()?;
    if first != u16::from(b'/') {
        return None;
    }
    let segment = |escaped: &[u16]| {
        let (mut key, mut units) = (Vec::with_capacity(escaped.len()), escaped.iter().copied());
        while let Some(unit) = units.next() {
            key.push(match unit {
                0x7e => match units.next() {
                    Some(0x30) => 0x7e,
                    Some(0x31) => 0x2f,
                    _ => return None,
                },
                unit => unit,
            });
        }
        Segment::key(Text::from_units(&key))
    };
    rest.split(|&unit| unit == u16::from(b'/')).map(segment).collect()
}

/// What a patch does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Sets a key, or inserts before an index.
    Add(Value),
    /// Replaces what is there.
    Replace(Value),
    /// Removes what is there; later elements of a list move up.
    Remove,
}

/// One change of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// What it does.
    pub op: Op,
    /// Where, from the root. An empty path is the root itself.
    pub path: Box<[Segment]>,
}

/// Why a patch does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// A step of the path is not there, or what the patch replaces or removes is not.
    #[error("{0:?} is not there")]
    Missing(Vec<Segment>),
    /// A step of the path leads into something that is neither list nor map.
    #[error("{0:?} is neither a list nor a map")]
    Scalar(Vec<Segment>),
    /// A segment that is no index leads into a list.
    #[error("{0:?} is no index")]
    NotAnIndex(Vec<Segment>),
    /// An index is beyond a list's end.
    #[error("{0:?} is out of range")]
    OutOfRange(Vec<Segment>),
    /// The path is longer than state can be deep.
    #[error("the path has more than {DEPTH_MAX} segments")]
    TooLong,
    /// After the last patch the state is no map.
    #[error("the state's root would be no map")]
    Root,
}

/// How patches are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// Whether `replace` of a list's `length` by a smaller integer truncates it.
    pub(crate) length: bool,
}

/// Applies patches in order; returns the new state.
///
/// # Errors
/// If one does not fit, or the final root is no map.
pub fn apply(state: &Value, patches: &[Patch]) -> Result<Value, PatchError> {
    let mut state = state.clone();
    apply_in_place(&mut state, patches, Extensions::default())?;
    Ok(state)
}

/// Applies patches in order to the state, all or none: on failure the state is what it was.
///
/// Containers that nobody else holds are changed where they are, which is why failure is undone step by step instead of
/// by going back to a copy: with a copy in hand, every container on a path would have to be copied.
pub(crate) fn apply_in_place(state: &mut Value, patches: &[Patch], extensions: Extensions) -> Result<(), PatchError> {
    if patches.iter().any(|patch| patch.path.is_empty()) {
        *state = apply_with_roots(state, patches, extensions)?;
        return Ok(());
    }
    if patches.iter().any(|patch| patch.path.len() > DEPTH_MAX) {
        return Err(PatchError::TooLong);
    }
    let mut inverses = Vec::with_capacity(patches.len());
    let applied = apply_run(state, patches, 0, extensions, &mut inverses);
    if applied.is_err() {
        for (patch, inverse) in patches.iter().zip(inverses).rev() {
            undo(state, patch, inverse);
        }
    }
    applied
}

/// Applies patches whose paths agree in their first `depth` segments, which lead to `container`. Neighbours that go on
/// alike share the way: a change of many fields of many objects in one list finds the list once and each object once.
fn apply_run(
    container: &mut Value,
    patches: &[Patch],
    depth: usize,
    extensions: Extensions,
    inverses: &mut Vec<Inverse>,
) -> Result<(), PatchError> {
    let goes_on = |patch: &Patch| patch.path.len() > depth + 1;
    for run in patches.chunk_by(|a, b| goes_on(a) && goes_on(b) && a.path[depth] == b.path[depth]) {
        let Some(patch) = run.first() else { continue };
        let step = &patch.path[depth];
        if goes_on(patch) {
            let inner = child(container, step).map_err(|fault| fault(patch.path[..=depth].to_vec()))?;
            apply_run(inner, run, depth + 1, extensions, inverses)?;
        } else {
            let set = set(container, step, &patch.op, extensions);
            inverses.push(set.map_err(|fault| fault(patch.path.to_vec()))?);
        }
    }
    Ok(())
}

/// As above for patches some of which concern the root, which may be absent or anything in between.
fn apply_with_roots(state: &Value, patches: &[Patch], extensions: Extensions) -> Result<Value, PatchError> {
    let mut root = Some(state.clone());
    for patch in patches {
        if patch.path.is_empty() {
            root = match &patch.op {
                Op::Add(value) | Op::Replace(value) => Some(value.clone()),
                Op::Remove => None,
            };
        } else {
            let root = root.as_mut().ok_or_else(|| PatchError::Scalar(Vec::new()))?;
            if patch.path.len() > DEPTH_MAX {
                return Err(PatchError::TooLong);
            }
            // The state before is at hand, so nothing is undone.
            apply_run(root, std::slice::from_ref(patch), 0, extensions, &mut Vec::new())?;
        }
    }
    root.filter(|root| root.as_map().is_some()).ok_or(PatchError::Root)
}

/// What undoes a patch, at the patch's own path.
enum Inverse {
    /// It was not there.
    Remove,
    /// It was another.
    Replace(Value),
    /// It was there.
    Insert(Value),
    /// The list was longer.
    Extend(Vec<Value>),
}

/// Takes a patch back that was the last one applied.
fn undo(root: &mut Value, patch: &Patch, inverse: Inverse) {
    let Some((last, steps)) = patch.path.split_last() else { return };
    let mut container = root;
    for step in steps {
        let Ok(next) = child(container, step) else { return };
        container = next;
    }
    match container {
        Value::List(list) => {
            let index = last.as_index();
            match (inverse, index) {
                (Inverse::Remove, Some(index)) => drop(list.remove(index)),
                (Inverse::Replace(old), Some(index)) => {
                    if let Some(slot) = list.get_mut(index) {
                        *slot = old;
                    }
                }
                (Inverse::Insert(old), Some(index)) => list.insert(index, old),
                (Inverse::Extend(old), _) => old.into_iter().for_each(|value| list.push(value)),
                _ => {}
            }
        }
        Value::Map(map) => match inverse {
            Inverse::Remove => drop(map.remove(&last.as_key())),
            Inverse::Replace(old) | Inverse::Insert(old) => drop(map.insert(last.as_key(), old)),
            Inverse::Extend(_) => {}
        },
        _ => {}
    }
}

type Fault = fn(Vec<Segment>) -> PatchError;

fn child<'a>(container: &'a mut Value, step: &Segment) -> Result<&'a mut Value, Fault> {
    match container {
        Value::List(list) => {
            let index = step.as_index().ok_or(PatchError::NotAnIndex as Fault)?;
            list.get_mut(index).ok_or(PatchError::Missing as Fault)
        }
        Value::Map(map) => match step {
            Segment::Key(key) => map.get_mut(key),
            Segment::Index(_) => map.get_mut(&step.as_key()),
        }
        .ok_or(PatchError::Missing as Fault),
        _ => Err(PatchError::Scalar),
    }
}

fn set(container: &mut Value, last: &Segment, op: &Op, extensions: Extensions) -> Result<Inverse, Fault> {
    match container {
        Value::List(list) => {
            if let (true, Segment::Key(Text::Utf8(key)), Op::Replace(value)) = (extensions.length, last, op)
                && &**key == "length"
            {
                let len = value.as_i64().and_then(|len| usize::try_from(len).ok());
                let len = len.filter(|&len| len <= list.len()).ok_or(PatchError::OutOfRange as Fault)?;
                let old = list.iter().skip(len).cloned().collect();
                list.truncate(len);
                return Ok(Inverse::Extend(old));
            }
            let index = last.as_index().ok_or(PatchError::NotAnIndex as Fault)?;
            match op {
                Op::Add(value) if index <= list.len() => {
                    list.insert(index, value.clone());
                    Ok(Inverse::Remove)
                }
                Op::Add(_) => Err(PatchError::OutOfRange),
                Op::Replace(value) => {
                    let slot = list.get_mut(index).ok_or(PatchError::OutOfRange as Fault)?;
                    Ok(Inverse::Replace(std::mem::replace(slot, value.clone())))
                }
                Op::Remove => list.remove(index).map(Inverse::Insert).ok_or(PatchError::OutOfRange),
            }
        }
        Value::Map(map) => {
            let owned;
            let key = match last {
                Segment::Key(key) => key,
                Segment::Index(_) => {
                    owned = last.as_key();
                    &owned
                }
            };
            match op {
                Op::Add(value) => Ok(map.insert(key.clone(), value.clone()).map_or(Inverse::Remove, Inverse::Replace)),
                Op::Replace(value) => {
                    let slot = map.get_mut(key).ok_or(PatchError::Missing as Fault)?;
                    Ok(Inverse::Replace(std::mem::replace(slot, value.clone())))
                }
                Op::Remove => map.remove(key).map(Inverse::Insert).ok_or(PatchError::Missing),
            }
        }
        _ => Err(PatchError::Scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn patch(op: Op, path: &[&str]) -> Patch {
        let segment = |step: &&str| match step.parse() {
            Ok(index) => Segment::Index(index),
            Err(_) => Segment::key(*step).unwrap(),
        };
        Patch { op, path: path.iter().map(segment).collect() }
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let before = r#"{"a":{"x":1,"y":2},"l":[1,2,3,4,5]}"#;
        let number = |number: i32| Value::from(number);
        let patches = [
            patch(Op::Add(number(9)), &["a", "z"]),
            patch(Op::Add(number(9)), &["a", "x"]),
            patch(Op::Replace(number(8)), &["a", "y"]),
            patch(Op::Remove, &["a", "x"]),
            patch(Op::Add(number(7)), &["l", "0"]),
            patch(Op::Remove, &["l", "3"]),
            patch(Op::Replace(number(6)), &["l", "1"]),
            patch(Op::Replace(number(2)), &["l", "length"]),
            patch(Op::Remove, &["nothing"]),
        ];
        let extensions = Extensions { length: true };
        for len in 1..=patches.len() {
            let mut state = json::parse(before).unwrap();
            let held = state.clone();
            let mut applied = patches[..len].to_vec();
            applied.push(patch(Op::Remove, &["nothing"]));
            assert!(apply_in_place(&mut state, &applied, extensions).is_err());
            assert_eq!(state.to_json(), before);
            assert_eq!(held.to_json(), before);
        }
        let mut state = json::parse(before).unwrap();
        apply_in_place(&mut state, &patches[..8], extensions).unwrap();
        assert_eq!(state.to_json(), r#"{"a":{"y":8,"z":9},"l":[7,6]}"#);
    }
}
