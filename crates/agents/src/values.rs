//! Values of opaque components in a job's realm: `snap.comps[id].values`.
//!
//! A list of plain values, one a row, made when a job first asks for it in a call; what it does to them is its own affair.
//! They cross as `serde` has them, from Rust's values to the engine's without a text between, by the table of
//! [`value`](crate::spawned::value), within what JSON has: so a patch carries back what `values` showed.
//!
//! # Rules
//! - A call fails whose values could not be made, also if its job caught what it was told: a snapshot is whole.
//! - A check gets a second list that the job does not see, and is told where the first one differs from it after the call.

use std::ptr;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{CallArgs, Heap, JSObject, JSTracer, Value as EngineValue};
use mozjs::jsval::{JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::{CustomAutoRooter, Trace};
use peristyle_jobs::{JobCall, JobError};

use crate::agent::{Failure, Roots, guarded, take_failure, throw};
use crate::spawned::convert::to_js;
use crate::spawned::value::Value;

/// Values that a job was given in a checked call.
pub(crate) struct Watched {
    component: usize,
    part: usize,
    /// Boxed: the collector's barriers know a heap pointer by its address.
    given: Box<Heap<*mut JSObject>>,
    /// The same values, which the job does not have.
    kept: Box<Heap<*mut JSObject>>,
}

// SAFETY: both are traced.
unsafe impl Trace for Watched {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the engine's tracer, handed on.
        unsafe {
            self.given.trace(tracer);
            self.kept.trace(tracer);
        }
    }
}

/// `snap.comps[id].values`: the values of component number `arguments[0]` of part `arguments[1]`.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn values(raw: *mut RawJSContext, argc: u32, vp: *mut EngineValue) -> bool {
    guarded(raw, |cx| {
        // SAFETY: the engine calls natives with their arguments, which are read before anything can collect. The call lives
        // while the pointer to it is set; objects are rooted, or traced where they lie.
        unsafe {
            let arguments = CallArgs::from_vp(vp, argc);
            let [component, part] = [0, 1].map(|at| number(arguments.get(at).get()));
            let Some((roots, call)) = Roots::of(raw).and_then(|roots| Some((roots, roots.parts()?.get(part)?))) else {
                throw(cx, "snap.comps: the call has ended");
                return false;
            };
            rooted!(in(raw) let mut given = ptr::null_mut::<JSObject>());
            if !list(cx, roots, call, component, &mut given) {
                return false;
            }
            if call.values.is_some_and(|values| values.watches()) {
                rooted!(in(raw) let mut kept = ptr::null_mut::<JSObject>());
                if !list(cx, roots, call, component, &mut kept) {
                    return false;
                }
                let (given, kept) = (Heap::boxed(given.get()), Heap::boxed(kept.get()));
                roots.watched.borrow_mut().push(Watched { component, part, given, kept });
            }
            arguments.rval().set(ObjectValue(given.get()));
        }
        true
    })
}

fn number(value: JSVal) -> usize {
    if value.is_int32() { value.to_int32() as usize } else { usize::MAX }
}

/// Makes the list of a component's values; `false` with an exception if that fails.
///
/// # Safety
/// `cx` is this thread's context, alive and in the agent's realm.
unsafe fn list(
    cx: &mut JSContext,
    roots: &Roots,
    call: &JobCall<'_>,
    component: usize,
    out: &mut RootedGuard<'_, *mut JSObject>,
) -> bool {
    // SAFETY: as the caller answers; everything that may move is rooted.
    unsafe {
        let raw = cx.raw_cx();
        out.set(ja::NewArrayObject1(raw, call.rows as usize));
        if out.get().is_null() {
            return false;
        }
        rooted!(in(raw) let mut item = UndefinedValue());
        for row in 0..call.rows {
            let value = match call.value(component, row as usize) {
                Ok(value) => value,
                Err(error) => return refuse(cx, roots, error),
            };
            let value = match Value::of(&value) {
                Ok(value) => value,
                Err(error) => return refuse(cx, roots, unfit(call, component, row, error.to_string())),
            };
            let flags = ja::JSPROP_ENUMERATE as u32;
            if to_js(raw, &value, &mut item).is_err()
                || !ja::JS_DefineElement(raw, out.handle().into(), row, item.handle().into(), flags)
            {
                return false;
            }
        }
    }
    true
}

fn unfit(call: &JobCall<'_>, component: usize, row: u32, message: String) -> JobError {
    let component = call.shape.components[component].name.clone();
    JobError::Value { component, entity: call.entity(row as usize), message }
}

/// Throws, and has the call fail with the error itself.
fn refuse(cx: &mut JSContext, roots: &Roots, error: JobError) -> bool {
    throw(cx, &error.to_string());
    roots.refused.borrow_mut().get_or_insert(error);
    false
}

/// From (given, kept) to the rows that differ. What cannot be read any more differs.
const DIFFERENT_ROWS: &str = r#"(function (given, kept) {
  "use strict";
  const same = (a, b) => {
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
    const keys = Reflect.ownKeys(b);
    if (Array.isArray(a) !== Array.isArray(b) || Reflect.ownKeys(a).length !== keys.length) return false;
    return keys.every((key) => Object.hasOwn(a, key) && same(a[key], b[key]));
  };
  const rows = [];
  for (let row = 0; row < kept.length; row++) {
    try {
      if (same(given[row], kept[row])) continue;
    } catch {}
    rows.push(row);
  }
  return rows;
})"#;

/// Tells who checks which values the job changed.
pub(crate) fn compare(cx: &mut JSContext, roots: &Roots) -> Result<(), Failure> {
    let count = roots.watched.borrow().len();
    if count == 0 {
        return Ok(());
    }
    // SAFETY: the agent is entered and the context in its realm while a call ends; values are rooted or traced where they
    // lie, and the list is not borrowed while anything can collect.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut function = UndefinedValue());
        roots.evaluate(cx, DIFFERENT_ROWS, c"peristyle:values", &mut function)?;
        for at in 0..count {
            let (component, part, both) = {
                let watched = &roots.watched.borrow()[at];
                let both = [watched.given.get(), watched.kept.get()].map(ObjectValue);
                (watched.component, watched.part, both)
            };
            let mut rooter = CustomAutoRooter::new(both.to_vec());
            let arguments = rooter.root(raw);
            let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
            rooted!(in(raw) let mut rows = UndefinedValue());
            let (nothing, compare) = (ja::UndefinedHandleValue, function.handle().into());
            if !ja::Call(raw, nothing, compare, &arguments, rows.handle_mut().into()) {
                return Err(take_failure(cx, roots));
            }
            rooted!(in(raw) let rows = rows.to_object());
            let mut length = 0;
            if !ja::GetArrayLength(raw, rows.handle().into(), &mut length) {
                return Err(take_failure(cx, roots));
            }
            for index in 0..length {
                rooted!(in(raw) let mut row = UndefinedValue());
                if !ja::JS_GetElement(raw, rows.handle().into(), index, row.handle_mut().into()) {
                    return Err(take_failure(cx, roots));
                }
                let call = roots.parts().and_then(|parts| parts.get(part));
                if let Some((call, values)) = call.and_then(|call| Some((call, call.values?))) {
                    let id = call.shape.components[component].id;
                    values.changed(id, call.entity(number(row.get()).min(call.rows as usize - 1)));
                }
            }
        }
    }
    Ok(())
}
