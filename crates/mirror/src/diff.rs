//! What changed between two values, as patches.
//!
//! What both share is not looked into, so the cost follows the change. Members that went are `remove`s, new ones `add`s.
//! Lists are compared after setting aside what is equal at their beginnings and ends; what is left over is `remove`d from
//! its end or `add`ed, never expressed by the `length` of the array, which clients may refuse.
//!
//! # Rules
//! - Applying the patches to the old value gives the new one.
//! - A key that paths must not have is an error, wherever it stands in what is new: state with such a key could not be
//!   patched later.

use crate::{
    json::DEPTH_MAX,
    patch::{Op, Patch, Segment, is_refused},
    typed::ValueError,
    value::{List, Map, Text, Value},
};

/// Patches in the making, with the path at which they are made.
#[derive(Debug, Default)]
pub struct Changes {
    pub(crate) path: Vec<Segment>,
    pub(crate) patches: Vec<Patch>,
}

impl Changes {
    pub(crate) fn push(&mut self, op: Op) {
        self.patches.push(Patch { op, path: self.path.as_slice().into() });
    }

    /// Records one level below.
    pub(crate) fn below<R>(&mut self, segment: Segment, record: impl FnOnce(&mut Changes) -> R) -> R {
        self.path.push(segment);
        let result = record(self);
        self.path.pop();
        result
    }

    fn key<R>(&mut self, key: &Text, record: impl FnOnce(&mut Changes) -> R) -> R {
        self.below(Segment::Key(key.clone()), record)
    }
}

/// Levels that a message has around a patch's value.
const ENVELOPE: usize = 3;

/// Fails if `value`, at a path of `above` segments, could not be published: if a key anywhere in it must not be in a path,
/// or if it is nested so deeply that peers would refuse the message.
pub(crate) fn check(value: &Value, above: usize) -> Result<(), ValueError> {
    check_levels(value, DEPTH_MAX.saturating_sub(above + ENVELOPE))
}

fn check_levels(value: &Value, levels: usize) -> Result<(), ValueError> {
    if !matches!(value, Value::List(_) | Value::Map(_)) {
        return Ok(());
    }
    let below = levels.checked_sub(1).ok_or(ValueError::Depth)?;
    match value {
        Value::List(list) => list.iter().try_for_each(|value| check_levels(value, below)),
        Value::Map(map) => map.iter().try_for_each(|(key, value)| {
            check_key(key)?;
            check_levels(value, below)
        }),
        _ => Ok(()),
    }
}

pub(crate) fn check_key(key: &Text) -> Result<(), ValueError> {
    if is_refused(key) {
        return Err(ValueError::Type(format!("state must not have a key `{key}`")));
    }
    Ok(())
}

/// Records what makes `new` of `old`.
pub(crate) fn diff(old: &Value, new: &Value, changes: &mut Changes) -> Result<(), ValueError> {
    match (old, new) {
        _ if old.ptr_eq(new) => Ok(()),
        (Value::Map(old), Value::Map(new)) => diff_maps(old, new, changes),
        (Value::List(old), Value::List(new)) => diff_lists(old, new, changes),
        _ => {
            check(new, changes.path.len())?;
            changes.push(Op::Replace(new.clone()));
            Ok(())
        }
    }
}

fn diff_maps(old: &Map, new: &Map, changes: &mut Changes) -> Result<(), ValueError> {
    let mut result = Ok(());
    let same_keys = old.each_unshared_pair(new, |key, old, new| {
        if result.is_ok() && !old.ptr_eq(new) {
            result = changes.key(key, |changes| diff(old, new, changes));
        }
    });
    if same_keys {
        return result;
    }
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        if order.is_lt() {
            let Some((key, _)) = old.next() else { continue };
            changes.key(key, |changes| changes.push(Op::Remove));
        } else if order.is_gt() {
            let Some((key, value)) = new.next() else { continue };
            check_key(key)?;
            check(value, changes.path.len() + 1)?;
            changes.key(key, |changes| changes.push(Op::Add(value.clone())));
        } else if let (Some((key, old)), Some((_, new))) = (old.next(), new.next()) {
            changes.key(key, |changes| diff(old, new, changes))?;
        }
    }
}

fn diff_lists(old: &List, new: &List, changes: &mut Changes) -> Result<(), ValueError> {
    let index = |index: usize| Segment::Index(index as u32);
    if old.len() == new.len() {
        let mut result = Ok(());
        old.0.each_unshared(&new.0, |at| {
            if let (Some(old), Some(new)) = (old.get(at), new.get(at)) {
                result = changes.below(index(at), |changes| diff(old, new, changes));
            }
            result.is_ok()
        });
        return result;
    }
    let both = old.len().min(new.len());
    let mut start = both;
    old.0.each_unshared(&new.0, |at| {
        let equal = old.get(at) == new.get(at);
        if !equal {
            start = at;
        }
        equal
    });
    let ends_equal = |back: &usize| old.get(old.len() - 1 - back) == new.get(new.len() - 1 - back);
    let end = (0..both - start).take_while(ends_equal).count();
    // The middles: `shared` elements that are changed in place, then what one of the lists has more.
    let shared = both - start - end;
    for at in start..start + shared {
        if let (Some(old), Some(new)) = (old.get(at), new.get(at)) {
            changes.below(index(at), |changes| diff(old, new, changes))?;
        }
    }
    for at in (start + shared..old.len() - end).rev() {
        changes.below(index(at), |changes| changes.push(Op::Remove));
    }
    for at in start + shared..new.len() - end {
        let value = new.get(at).cloned().unwrap_or_default();
        check(&value, changes.path.len() + 1)?;
        changes.below(index(at), |changes| changes.push(Op::Add(value)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json, patch};

    #[track_caller]
    fn patches(old: &str, new: &str) -> Vec<Patch> {
        let wrap = |text: &str| Value::Map([("v", json::parse(text).unwrap())].into_iter().collect());
        let (old, new) = (wrap(old), wrap(new));
        let mut changes = Changes::default();
        diff(&old, &new, &mut changes).unwrap();
        assert_eq!(patch::apply(&old, &changes.patches).unwrap(), new);
        changes.patches
    }

    #[test]
    fn a_change_is_as_small_as_it_is() {
        assert_eq!(patches("1", "1").len(), 0);
        assert_eq!(patches("1", "2").len(), 1);
        assert_eq!(patches("[1,2,3]", "[1,2,3,4]").len(), 1);
        assert_eq!(patches("[1,2,3,4]", "[1,3,4]").len(), 1);
        assert_eq!(patches("[1,2,3,4]", "[0,1,2,3,4]").len(), 1);
        assert_eq!(patches("[1,1,1]", "[1,1]").len(), 1);
        assert_eq!(patches("[{\"x\":1,\"y\":2}]", "[{\"x\":2,\"y\":2}]")[0].path.len(), 3);
        assert_eq!(patches("[1,2,3,4,5]", "[9]").len(), 5);
        assert_eq!(patches("{\"a\":1,\"b\":2,\"d\":5}", "{\"b\":3,\"c\":4,\"d\":5}").len(), 3);
        assert_eq!(patches("{\"a\":[]}", "{\"a\":{}}").len(), 1);
        assert_eq!(patches("[]", "[1,2,3]").len(), 3);
    }

    #[test]
    fn any_two_values_are_bridged() {
        // Small random documents, compared pairwise.
        let mut seed = 7_u64;
        let mut next = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        fn document(next: &mut impl FnMut(u64) -> u64, depth: u64) -> String {
            let mut parts = |open: char, close: char, keyed: bool| {
                let parts: Vec<String> = (0..next(6))
                    .map(|at| {
                        let key = if keyed { format!("\"k{at}{}\":", next(2)) } else { String::new() };
                        key + &document(next, depth + 1)
                    })
                    .collect();
                format!("{open}{}{close}", parts.join(","))
            };
            match depth {
                0 | 1 => parts('[', ']', false),
                2 => parts('{', '}', true),
                _ => next(3).to_string(),
            }
        }
        let documents: Vec<String> = (0..60).map(|_| document(&mut next, 0)).collect();
        for old in &documents {
            for new in &documents {
                patches(old, new);
            }
        }
    }

    #[test]
    fn keys_that_paths_must_not_have_are_refused() {
        let (old, new) = (json::parse("{}").unwrap(), json::parse(r#"{"a":[{"__proto__":1}]}"#).unwrap());
        assert!(diff(&old, &new, &mut Changes::default()).is_err());
    }
}
