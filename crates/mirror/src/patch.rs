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

/// Applies patches in order to `state`, which is absent if nothing; returns the new state.
///
/// # Errors
/// If one does not fit, or the final root is no map. The old state is what it was.
pub fn apply(state: &Value, patches: &[Patch]) -> Result<Value, PatchError> {
    apply_with(state, patches, Extensions::default())
}

pub(crate) fn apply_with(state: &Value, patches: &[Patch], extensions: Extensions) -> Result<Value, PatchError> {
    let mut root = Some(state.clone());
    for patch in patches {
        if patch.path.is_empty() {
            root = match &patch.op {
                Op::Add(value) | Op::Replace(value) => Some(value.clone()),
                Op::Remove => None,
            };
        } else {
            let root = root.as_mut().ok_or_else(|| PatchError::Scalar(Vec::new()))?;
            apply_below(root, patch, extensions)?;
        }
    }
    root.filter(|root| root.as_map().is_some()).ok_or(PatchError::Root)
}

/// Applies one patch whose path is not empty. On failure, containers on the path may have been copied, nothing else.
pub(crate) fn apply_below(root: &mut Value, patch: &Patch, extensions: Extensions) -> Result<(), PatchError> {
    let path = &patch.path[..];
    if path.len() > DEPTH_MAX {
        return Err(PatchError::TooLong);
    }
    let Some((last, steps)) = path.split_last() else { return Err(PatchError::Root) };
    let mut container = root;
    for (at, step) in steps.iter().enumerate() {
        container = child(container, step).map_err(|fault| fault(path[..=at].to_vec()))?;
    }
    set(container, last, &patch.op, extensions).map_err(|fault| fault(path.to_vec()))
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

fn set(container: &mut Value, last: &Segment, op: &Op, extensions: Extensions) -> Result<(), Fault> {
    match container {
        Value::List(list) => {
            if let (true, Segment::Key(Text::Utf8(key)), Op::Replace(value)) = (extensions.length, last, op)
                && &**key == "length"
            {
                let len = value.as_i64().and_then(|len| usize::try_from(len).ok());
                let len = len.filter(|&len| len <= list.len()).ok_or(PatchError::OutOfRange as Fault)?;
                list.truncate(len);
                return Ok(());
            }
            let index = last.as_index().ok_or(PatchError::NotAnIndex as Fault)?;
            match op {
                Op::Add(value) if index <= list.len() => list.insert(index, value.clone()),
                Op::Add(_) => return Err(PatchError::OutOfRange),
                Op::Replace(value) => *list.get_mut(index).ok_or(PatchError::OutOfRange as Fault)? = value.clone(),
                Op::Remove => drop(list.remove(index).ok_or(PatchError::OutOfRange as Fault)?),
            }
        }
        Value::Map(map) => match op {
            Op::Add(value) => drop(map.insert(last.as_key(), value.clone())),
            Op::Replace(value) => {
                *map.get_mut(&last.as_key()).ok_or(PatchError::Missing as Fault)? = value.clone();
            }
            Op::Remove => drop(map.remove(&last.as_key()).ok_or(PatchError::Missing as Fault)?),
        },
        _ => return Err(PatchError::Scalar),
    }
    Ok(())
}
