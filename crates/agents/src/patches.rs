//! Patches that a job returns: from objects to records.
//!
//! A script made from the job's shape walks the returned list and writes records into one buffer; so fields are read by
//! compiled code, and only the finished bytes cross. It runs in the job's realm, which the job may have bent: the bytes
//! are decoded and judged like any others ([`JobCall::patch_bytes`]), so the worst that comes of it is a refused list.
//!
//! # Rules
//! - A list counts whole or not at all: what is wrong with a patch fails the call, and names its index and field.
//! - Values are read while the call's columns are still lent.

use std::fmt::Write;
use std::ptr;

use mozjs::context::JSContext;
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject};
use mozjs::jsval::{JSVal, UndefinedValue};
use mozjs::rooted;
use peristyle_jobs::{JobCall, JobShape};
use peristyle_layout::{Field, Scalar};

use crate::agent::{Failure, Roots, Thrown, drain, take_failure};
use crate::job::quoted;

/// Takes the patches that a handler returned, if it returned a list.
///
/// `encoder` keeps the script of the call's shape, made when it is first needed.
///
/// # Safety
/// The agent is entered and the context in its realm; `encoder` is traced where it lies.
pub(crate) unsafe fn take(
    cx: &mut JSContext,
    roots: &Roots,
    encoder: &Heap<JSVal>,
    call: &JobCall<'_>,
    value: &mut RootedGuard<'_, JSVal>,
) -> Result<(), Failure> {
    // SAFETY: as the caller answers; objects are rooted.
    let bytes = unsafe {
        let raw = cx.raw_cx();
        if !value.is_object() {
            return Ok(());
        }
        rooted!(in(raw) let mut object = value.to_object());
        let (mut array, mut length) = (false, 0);
        if !ja::IsArrayObject1(raw, object.handle().into(), &mut array)
            || (array && !ja::GetArrayLength(raw, object.handle().into(), &mut length))
        {
            return Err(take_failure(cx, roots));
        }
        if length == 0 {
            return Ok(());
        }
        if encoder.get().is_undefined() {
            rooted!(in(raw) let mut made = UndefinedValue());
            roots.evaluate(cx, &encoder_source(call.shape), c"peristyle:patches", &mut made)?;
            encoder.set(made.get());
        }
        let arguments = ja::HandleValueArray { length_: 1, elements_: &**value };
        rooted!(in(raw) let mut records = UndefinedValue());
        let nothing = ja::UndefinedHandleValue;
        if !ja::Call(raw, nothing, encoder.handle(), &arguments, records.handle_mut().into()) {
            return Err(take_failure(cx, roots));
        }
        // What getters of the patches enqueued belongs to this call.
        if !drain(cx) {
            return Err(take_failure(cx, roots));
        }
        object.set(if records.is_object() { records.to_object() } else { ptr::null_mut::<JSObject>() });
        if object.get().is_null() || !ja::IsArrayBufferObject(object.get()) {
            return Err(wrong("the list of patches cannot be read".into()));
        }
        let (mut length, mut shared, mut data) = (0, false, ptr::null_mut());
        ja::GetArrayBufferLengthAndData(object.get(), &mut length, &mut shared, &mut data);
        // Copied, for small buffers lie in the object, which the collector may move.
        if length == 0 { Vec::new() } else { std::slice::from_raw_parts(data, length).to_vec() }
    };
    call.patch_bytes(&bytes).map(drop).map_err(|error| wrong(error.to_string()))
}

fn wrong(message: String) -> Failure {
    Failure::Threw(Thrown { name: "TypeError".into(), message, stack: String::new() })
}

/// The script that gives a function from a list of patches to an `ArrayBuffer` of records.
fn encoder_source(shape: &JobShape) -> String {
    let mut components = String::new();
    for component in shape.patchable() {
        let (id, name) = (component.id, quoted(&component.name));
        let write = if component.opaque { format!("writeText({name})") } else { writer(&name, &component.fields) };
        let encoding = if component.opaque { 2 } else { 1 };
        let _ = writeln!(
            components,
            "  {{ const c = {{ id: {id}, encoding: {encoding}, write: {write} }}; \
             components.set({id}, c); if (!components.has({name})) components.set({name}, c); }}"
        );
    }
    format!("{ENCODER_HEAD}{components}{ENCODER_TAIL}")
}

/// A function that writes a value's fields from a byte on, and gives the byte behind them.
fn writer(component: &str, fields: &[Field]) -> String {
    let bytes: usize = fields.iter().map(|field| field.scalar.size()).sum();
    let mut body = String::new();
    let mut at = 0;
    for field in fields {
        let name = quoted(&field.name);
        let put = if field.entity { "entity" } else { field.scalar.name() };
        let _ = write!(body, " {put}(at + {at}, pick(value, {name}), i, {component}, {name});");
        at += field.scalar.size();
    }
    let bare = match fields {
        [only] => quoted(&only.name),
        _ => "undefined".to_owned(),
    };
    format!(
        "(at, given, i) => {{ const value = whole(given, i, {component}, {bare}); room(at + {bytes});{body} return at + {bytes}; }}"
    )
}

const ENCODER_HEAD: &str = r#"(function () {
  "use strict";
  const kinds = { __proto__: null, set: 1, add: 2, remove: 3, destroy: 4 };
  let buffer = new ArrayBuffer(4096), view = new DataView(buffer);
  const room = (end) => {
    if (end <= buffer.byteLength) return;
    const larger = new ArrayBuffer(Math.max(end, 2 * buffer.byteLength));
    new Uint8Array(larger).set(new Uint8Array(buffer));
    buffer = larger;
    view = new DataView(buffer);
  };
  const show = (value) => {
    switch (typeof value) {
      case "string": return JSON.stringify(value.length > 60 ? value.slice(0, 60) + "…" : value);
      case "bigint": return `${value}n`;
      case "object": return value === null ? "null" : Array.isArray(value) ? "an array" : "an object";
      case "function": return "a function";
      case "symbol": return "a symbol";
      default: return String(value);
    }
  };
  const fail = (i, what) => { throw new TypeError(`patches[${i}]: ${what}`); };
  const wrong = (i, component, field, type, value) =>
    value === undefined
      ? fail(i, `the value of component ${show(component)} has no field ${show(field)}`)
      : fail(i, `field ${show(field)} of component ${show(component)} is ${type}, which ${show(value)} is not`);
  // A field by its flattened name, or by its path: `pos_x` is also `pos.x` of nested objects.
  const pick = (value, name) => {
    const direct = value[name];
    if (direct !== undefined) return direct;
    for (let at = name.indexOf("_"); at > 0; at = name.indexOf("_", at + 1)) {
      const part = value[name.slice(0, at)];
      if (typeof part === "object" && part !== null) {
        const found = pick(part, name.slice(at + 1));
        if (found !== undefined) return found;
      }
    }
    return undefined;
  };
  const whole = (value, i, component, only) => {
    if (Array.isArray(value)) return { values: value };
    if (typeof value === "object" && value !== null) return value;
    if (only !== undefined && value !== undefined) return { [only]: value };
    return fail(i, `the value of component ${show(component)} is ${show(value)}, not an object with its fields`);
  };
  const number = (value, i, component, field, type) => {
    if (typeof value !== "number") wrong(i, component, field, type, value);
    return value;
  };
  const whole_number = (value, low, high, i, component, field, type) => {
    if (!Number.isInteger(value) || value < low || value > high) wrong(i, component, field, type, value);
    return value;
  };
  const big = (value, as, i, component, field, type) => {
    const wide = Number.isSafeInteger(value) ? BigInt(value) : value;
    if (typeof wide !== "bigint" || as(64, wide) !== wide) wrong(i, component, field, type, value);
    return wide;
  };
  const isHandle = (value) => {
    const high = Math.floor(value / 4294967296);
    return Number.isSafeInteger(value) && high >= 1 && value - high * 4294967296 < 2147483648;
  };
  const f32 = (at, v, i, c, f) => view.setFloat32(at, number(v, i, c, f, "f32"), true);
  const f64 = (at, v, i, c, f) => view.setFloat64(at, number(v, i, c, f, "f64"), true);
  const i8 = (at, v, i, c, f) => view.setInt8(at, whole_number(v, -128, 127, i, c, f, "i8"));
  const u8 = (at, v, i, c, f) => view.setUint8(at, whole_number(v, 0, 255, i, c, f, "u8"));
  const i16 = (at, v, i, c, f) => view.setInt16(at, whole_number(v, -32768, 32767, i, c, f, "i16"), true);
  const u16 = (at, v, i, c, f) => view.setUint16(at, whole_number(v, 0, 65535, i, c, f, "u16"), true);
  const i32 = (at, v, i, c, f) => view.setInt32(at, whole_number(v, -2147483648, 2147483647, i, c, f, "i32"), true);
  const u32 = (at, v, i, c, f) => view.setUint32(at, whole_number(v, 0, 4294967295, i, c, f, "u32"), true);
  const i64 = (at, v, i, c, f) => view.setBigInt64(at, big(v, BigInt.asIntN, i, c, f, "i64"), true);
  const u64 = (at, v, i, c, f) => view.setBigUint64(at, big(v, BigInt.asUintN, i, c, f, "u64"), true);
  const bool = (at, v, i, c, f) => {
    if (typeof v !== "boolean" && v !== 0 && v !== 1) wrong(i, c, f, "bool", v);
    view.setUint8(at, v ? 1 : 0);
  };
  const entity = (at, v, i, c, f) => {
    if (v !== null && v !== 0 && !isHandle(v)) wrong(i, c, f, "an entity handle", v);
    view.setFloat64(at, v ?? 0, true);
  };
  // A `BigInt` keeps its digits.
  const digits = (key, value) => (typeof value === "bigint" ? JSON.rawJSON(String(value)) : value);
  const stringify = (value) => {
    try {
      return JSON.stringify(value);
    } catch {
      return JSON.stringify(value, digits);
    }
  };
  const writeText = (component) => (at, value, i) => {
    const text = stringify(value);
    if (text === undefined) fail(i, `the value of component ${show(component)} is ${show(value)}, which JSON does not have`);
    room(at + 3 * text.length);
    for (const character of text) {
      const code = character.codePointAt(0);
      if (code < 0x80) view.setUint8(at++, code);
      else if (code < 0x800) {
        view.setUint8(at++, 0xc0 | (code >> 6));
        view.setUint8(at++, 0x80 | (code & 63));
      } else if (code < 0x10000) {
        view.setUint8(at++, 0xe0 | (code >> 12));
        view.setUint8(at++, 0x80 | ((code >> 6) & 63));
        view.setUint8(at++, 0x80 | (code & 63));
      } else {
        view.setUint8(at++, 0xf0 | (code >> 18));
        view.setUint8(at++, 0x80 | ((code >> 12) & 63));
        view.setUint8(at++, 0x80 | ((code >> 6) & 63));
        view.setUint8(at++, 0x80 | (code & 63));
      }
    }
    return at;
  };
  const components = new Map();
"#;

const ENCODER_TAIL: &str = r#"  return (patches) => {
    let at = 0;
    for (let i = 0; i < patches.length; i++) {
      const patch = patches[i];
      if (typeof patch !== "object" || patch === null) fail(i, `${show(patch)} is no patch`);
      const kind = kinds[patch.kind];
      if (kind === undefined) fail(i, `kind is ${show(patch.kind)}, not "set", "add", "remove" or "destroy"`);
      const eid = patch.eid;
      if (!isHandle(eid)) fail(i, `eid is ${show(eid)}, which is not an entity handle`);
      const high = Math.floor(eid / 4294967296);
      room(at + 16);
      let id = 0, encoding = 0, end = at + 16;
      if (kind !== 4) {
        const component = components.get(patch.cid);
        if (component === undefined) {
          fail(i, `cid is ${show(patch.cid)}, which the job did not declare that it writes or patches`);
        }
        id = component.id;
        if (kind !== 3) {
          encoding = component.encoding;
          end = component.write(end, patch.value, i);
        }
      }
      const next = end + (-end & 7);
      room(next);
      for (let pad = end; pad < next; pad++) view.setUint8(pad, 0);
      view.setUint32(at, eid - high * 4294967296, true);
      view.setUint32(at + 4, high + (encoding << 24) + kind * 268435456, true);
      view.setUint32(at + 8, id, true);
      view.setUint32(at + 12, end - at - 16, true);
      at = next;
    }
    return buffer.slice(0, at);
  };
})()"#;

/// The parts of a binding script that make `cols`: by component, the script of a function that makes its list of values.
pub(crate) fn values_of(object: &str, fields: &[Field]) -> String {
    let (mut columns, mut parts) = (String::new(), String::new());
    for (at, field) in fields.iter().enumerate() {
        let name = quoted(&field.name);
        let _ = write!(columns, " const a{at} = {object}[{name}];");
        let value = if field.scalar == Scalar::Bool { format!("a{at}[i] !== 0") } else { format!("a{at}[i]") };
        let _ = write!(parts, " [{name}]: {value},");
    }
    format!(
        "() => {{{columns} const list = new Array(snap.rows); \
         for (let i = 0; i < list.length; i++) list[i] = {{{parts} }}; return list; }}"
    )
}
