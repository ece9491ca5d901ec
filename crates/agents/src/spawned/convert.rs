//! Between values of the engine and [`Value`]s.
//!
//! # Rules
//! - Reading runs getters and proxies of scripts. What they throw is passed on; what a value cannot stand for is a
//!   `DataCloneError`.

use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::conversions::{Utf8Chars, jsstr_to_string};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::JSObject;
use mozjs::jsapi::js::ESClass;
use mozjs::jsval::{
    BigIntValue, BooleanValue, DoubleValue, Int32Value, JSVal, NullValue, ObjectValue, StringValue, UndefinedValue,
};
use mozjs::rooted;
use mozjs::rust::IdVector;

use super::clone::is_port;
use super::exception::is_exception;
use super::locks;
use super::realm::{Realm, throw_clone_error};
use super::shared::{Handed, SharedBuffer};
use super::value::{DEPTH_MAX, SAFE_MAX, Value};
use crate::host::has_stack;

/// An exception is pending, or the agent was terminated.
#[derive(Debug)]
pub(crate) struct Pending;

pub(crate) type Converted<T> = Result<T, Pending>;

/// The engine's `false` and null as an error.
pub(crate) fn done(worked: bool) -> Converted<()> {
    if worked { Ok(()) } else { Err(Pending) }
}

/// Makes the engine's value of a value.
///
/// # Safety
/// `raw` is this thread's context, alive and in a realm.
pub(crate) unsafe fn to_js(raw: *mut RawJSContext, value: &Value, out: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
    // SAFETY: as the caller answers; everything that may move is rooted.
    unsafe {
        match value {
            Value::Null => out.set(NullValue()),
            Value::Bool(value) => out.set(BooleanValue(*value)),
            Value::Number(value) => out.set(DoubleValue(*value)),
            Value::Signed(value) => match i32::try_from(*value) {
                Ok(small) => out.set(Int32Value(small)),
                Err(_) if value.unsigned_abs() <= SAFE_MAX => out.set(DoubleValue(*value as f64)),
                Err(_) => big(ja::BigIntFromInt64(raw, *value), out)?,
            },
            Value::Unsigned(value) => match i32::try_from(*value) {
                Ok(small) => out.set(Int32Value(small)),
                Err(_) if *value <= SAFE_MAX => out.set(DoubleValue(*value as f64)),
                Err(_) => big(ja::BigIntFromUint64(raw, *value), out)?,
            },
            Value::Text(text) => text_to_js(raw, text, out)?,
            Value::Bytes(bytes) => {
                rooted!(in(raw) let array = ja::JS_NewUint8Array(raw, bytes.len()));
                done(!array.is_null())?;
                let mut shared = false;
                let data = ja::JS_GetArrayBufferViewData(array.get(), &mut shared, ptr::null());
                if !data.is_null() {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast::<u8>(), bytes.len());
                }
                out.set(ObjectValue(array.get()));
            }
            Value::Shared(shared) => shared.to_js(raw, out)?,
            Value::List(items) => {
                rooted!(in(raw) let array = ja::NewArrayObject1(raw, items.len()));
                done(!array.is_null())?;
                rooted!(in(raw) let mut item = UndefinedValue());
                for (at, value) in items.iter().enumerate() {
                    to_js(raw, value, &mut item)?;
                    let item = item.handle().into();
                    done(ja::JS_DefineElement(
                        raw,
                        array.handle().into(),
                        at as u32,
                        item,
                        ja::JSPROP_ENUMERATE as u32,
                    ))?;
                }
                out.set(ObjectValue(array.get()));
            }
            Value::Record(entries) => {
                rooted!(in(raw) let object = ja::JS_NewPlainObject(raw));
                done(!object.is_null())?;
                rooted!(in(raw) let mut item = UndefinedValue());
                for (key, value) in entries {
                    to_js(raw, value, &mut item)?;
                    let key: Vec<u16> = key.encode_utf16().collect();
                    let (object, item) = (object.handle().into(), item.handle().into());
                    let flags = ja::JSPROP_ENUMERATE as u32;
                    done(ja::JS_DefineUCProperty2(raw, object, key.as_ptr(), key.len(), item, flags))?;
                }
                out.set(ObjectValue(object.get()));
            }
            Value::Map(entries) => {
                rooted!(in(raw) let map = ja::NewMapObject(raw));
                done(!map.is_null())?;
                rooted!(in(raw) let mut key = UndefinedValue());
                rooted!(in(raw) let mut item = UndefinedValue());
                for (name, value) in entries {
                    to_js(raw, name, &mut key)?;
                    to_js(raw, value, &mut item)?;
                    done(ja::MapSet(raw, map.handle().into(), key.handle().into(), item.handle().into()))?;
                }
                out.set(ObjectValue(map.get()));
            }
        }
    }
    Ok(())
}

/// A string of the engine.
///
/// # Safety
/// As for [`to_js`].
pub(crate) unsafe fn text_to_js(raw: *mut RawJSContext, text: &str, out: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
    let chars = Utf8Chars::from(text);
    // SAFETY: as the caller answers; the characters live until the call returns, which copies them.
    unsafe {
        let string = ja::JS_NewStringCopyUTF8N(raw, &*chars);
        done(!string.is_null())?;
        out.set(StringValue(&*string));
    }
    Ok(())
}

fn big(value: *mut ja::BigInt, out: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
    done(!value.is_null())?;
    // SAFETY: just made, and rooted before anything can collect.
    out.set(unsafe { BigIntValue(&*value) });
    Ok(())
}

/// Makes a value of the engine's.
///
/// # Safety
/// `cx` is this thread's context, alive and in the realm of `realm`.
pub(crate) unsafe fn from_js(cx: &mut JSContext, realm: &Realm, value: &RootedGuard<'_, JSVal>) -> Converted<Value> {
    // SAFETY: as the caller answers.
    unsafe { Reader { realm, open: Vec::new(), left: realm.options.ports.message_bytes }.read(cx, value) }
}

struct Reader<'a> {
    realm: &'a Realm,
    /// Objects that are being read, by address; they are rooted by who reads them, but may move: so they are looked at
    /// through where they are rooted.
    open: Vec<*const *mut JSObject>,
    /// Bytes that the value may still take: an array may claim any length.
    left: u64,
}

impl Reader<'_> {
    fn refuse<T>(&self, cx: &mut JSContext, why: &str) -> Converted<T> {
        throw_clone_error(cx, self.realm, why);
        Err(Pending)
    }

    /// Counts what a value takes, as [`Value::bytes`] does.
    fn spend(&mut self, cx: &mut JSContext, bytes: u64) -> Converted<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let max = self.realm.options.ports.message_bytes;
                self.refuse(cx, &format!("a message of more than {max} bytes"))
            }
        }
    }

    unsafe fn read(&mut self, cx: &mut JSContext, value: &RootedGuard<'_, JSVal>) -> Converted<Value> {
        let value: JSVal = value.get();
        self.spend(cx, 8)?;
        if value.is_object() {
            // SAFETY: as the caller answers.
            unsafe {
                rooted!(in(cx.raw_cx()) let object = value.to_object());
                return self.object(cx, &object);
            }
        }
        if value.is_string() {
            // SAFETY: the caller keeps it rooted.
            self.spend(cx, unsafe { ja::JS_GetStringLength(value.to_string()) } as u64)?;
            // SAFETY: the caller keeps it rooted; nothing collects in between.
            let text = unsafe { ptr::NonNull::new(value.to_string()).map(|text| jsstr_to_string(cx, text)) };
            return Ok(Value::Text(text.unwrap_or_default()));
        }
        if value.is_int32() {
            return Ok(Value::Number(value.to_int32().into()));
        }
        if value.is_double() {
            return Ok(Value::Number(value.to_double()));
        }
        if value.is_boolean() {
            return Ok(Value::Bool(value.to_boolean()));
        }
        if value.is_null_or_undefined() {
            return Ok(Value::Null);
        }
        if value.is_bigint() {
            let (mut signed, mut unsigned) = (0i64, 0u64);
            // SAFETY: a BigInt that the caller keeps rooted; neither call collects.
            unsafe {
                let value = value.to_bigint();
                if ja::BigIntIsInt64(value, &mut signed) {
                    return Ok(Value::Signed(signed));
                }
                if ja::BigIntIsUint64(value, &mut unsigned) {
                    return Ok(Value::Unsigned(unsigned));
                }
            }
            return self.refuse(cx, "a BigInt of more than 64 bits cannot cross to Rust");
        }
        self.refuse(cx, "a symbol cannot cross to Rust")
    }

    unsafe fn object(&mut self, cx: &mut JSContext, object: &RootedGuard<'_, *mut JSObject>) -> Converted<Value> {
        if self.open.len() >= DEPTH_MAX as usize || !has_stack(0) {
            return self.refuse(cx, &format!("what nests more than {DEPTH_MAX} deep cannot cross to Rust"));
        }
        // SAFETY: the pointers point to roots of callers that have not returned.
        if self.open.iter().any(|known| unsafe { **known } == object.get()) {
            return self.refuse(cx, "a cycle cannot cross to Rust");
        }
        self.open.push(&raw const **object);
        // SAFETY: as the caller answers.
        let result = unsafe { self.contents(cx, object) };
        self.open.pop();
        result
    }

    unsafe fn contents(&mut self, cx: &mut JSContext, object: &RootedGuard<'_, *mut JSObject>) -> Converted<Value> {
        // SAFETY: as the caller answers; everything that may move is rooted; bytes are copied before anything can collect.
        unsafe {
            let raw = cx.raw_cx();
            if is_port(object.get()) {
                return Ok(Value::Null);
            }
            if let Some(kind) = locks::kind_of(object.get()) {
                return match Handed::of(cx, self.realm, kind, object)? {
                    Some(handed) => Ok(Value::Shared(handed)),
                    None => self.refuse(cx, "a ThreadLocal cannot cross to Rust"),
                };
            }
            if ja::JS_IsArrayBufferViewObject(object.get()) {
                let (mut shared, bytes) = (false, ja::JS_GetArrayBufferViewByteLength(object.get()));
                self.spend(cx, bytes as u64)?;
                let data = ja::JS_GetArrayBufferViewData(object.get(), &mut shared, ptr::null()).cast::<u8>();
                return Ok(Value::Bytes(copy(data, bytes, shared)));
            }
            let mut class = ESClass::Other;
            done(ja::GetBuiltinClass(raw, object.handle().into(), &mut class))?;
            if is_exception(object.get()) {
                class = ESClass::Error;
            }
            rooted!(in(raw) let mut value = UndefinedValue());
            match class {
                ESClass::Array => {
                    let mut length = 0;
                    done(ja::GetArrayLength(raw, object.handle().into(), &mut length))?;
                    let mut items = Vec::new();
                    for at in 0..length {
                        done(ja::JS_GetElement(raw, object.handle().into(), at, value.handle_mut().into()))?;
                        items.push(self.read(cx, &value)?);
                        if at % 4096 == 4095 && self.realm.is_stopped() {
                            return Err(Pending);
                        }
                    }
                    Ok(Value::List(items))
                }
                ESClass::ArrayBuffer => {
                    let (bytes, mut shared) = (ja::GetArrayBufferByteLength(object.get()), false);
                    self.spend(cx, bytes as u64)?;
                    let data = ja::GetArrayBufferData(object.get(), &mut shared, ptr::null());
                    Ok(Value::Bytes(copy(data, bytes, shared)))
                }
                ESClass::SharedArrayBuffer => {
                    value.set(ObjectValue(object.get()));
                    Ok(Value::Shared(Handed::Buffer(SharedBuffer::of(cx, self.realm, &value)?)))
                }
                ESClass::Date => {
                    let mut time = f64::NAN;
                    done(ja::DateGetMsecSinceEpoch(raw, object.handle().into(), &mut time))?;
                    Ok(Value::Number(time))
                }
                ESClass::Map => Ok(Value::Map(self.list(cx, object, true)?.into_iter().filter_map(pair).collect())),
                ESClass::Set => Ok(Value::List(self.list(cx, object, false)?)),
                ESClass::Number | ESClass::String | ESClass::Boolean | ESClass::BigInt => {
                    done(ja::Unbox(raw, object.handle().into(), value.handle_mut().into()))?;
                    self.read(cx, &value)
                }
                ESClass::Error => {
                    let mut fields = Vec::new();
                    for name in [c"name", c"message", c"stack"] {
                        let (object, value_mut) = (object.handle().into(), value.handle_mut().into());
                        done(ja::JS_GetProperty(raw, object, name.as_ptr(), value_mut))?;
                        fields.push((name.to_string_lossy().into_owned(), self.read(cx, &value)?));
                    }
                    Ok(Value::Record(fields))
                }
                ESClass::Object | ESClass::Arguments => self.record(cx, object),
                _ if ja::IsCallable(object.get()) => self.refuse(cx, "a function cannot cross to Rust"),
                // As for structured clone: proxies, weak collections, promises, iterators.
                _ => self.refuse(cx, "this kind of object cannot cross to Rust"),
            }
        }
    }

    /// Own enumerable properties with string keys.
    unsafe fn record(&mut self, cx: &mut JSContext, object: &RootedGuard<'_, *mut JSObject>) -> Converted<Value> {
        // SAFETY: as the caller answers; everything that may move is rooted.
        unsafe {
            let raw = cx.raw_cx();
            if ja::IsCallable(object.get()) {
                return self.refuse(cx, "a function cannot cross to Rust");
            }
            let mut keys = IdVector::new(cx);
            done(ja::GetPropertyKeys(raw, object.handle().into(), ja::JSITER_OWNONLY, keys.handle_mut()))?;
            let mut entries = Vec::new();
            for at in 0..keys.len() {
                rooted!(in(raw) let key = keys[at]);
                rooted!(in(raw) let mut name = UndefinedValue());
                rooted!(in(raw) let mut value = UndefinedValue());
                done(ja::JS_GetPropertyById(
                    raw,
                    object.handle().into(),
                    key.handle().into(),
                    value.handle_mut().into(),
                ))?;
                if value.is_undefined() {
                    continue;
                }
                done(ja::JS_IdToValue(raw, key.get(), name.handle_mut().into()))?;
                rooted!(in(raw) let text = ja::ToStringSlow(raw, name.handle().into()));
                let text = ptr::NonNull::new(text.get()).ok_or(Pending)?;
                self.spend(cx, ja::JS_GetStringLength(text.as_ptr()) as u64)?;
                let name = jsstr_to_string(cx, text);
                entries.push((name, self.read(cx, &value)?));
            }
            Ok(Value::Record(entries))
        }
    }

    /// The entries of a `Map`, as lists of two, or the values of a `Set`.
    unsafe fn list(
        &mut self,
        cx: &mut JSContext,
        object: &RootedGuard<'_, *mut JSObject>,
        of_map: bool,
    ) -> Converted<Vec<Value>> {
        // SAFETY: as the caller answers; everything that may move is rooted.
        unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let subject = ObjectValue(object.get()));
            rooted!(in(raw) let mut list = UndefinedValue());
            self.realm.entries(raw, &subject, of_map, &mut list)?;
            match self.read(cx, &list)? {
                Value::List(items) => Ok(items),
                _ => Err(Pending),
            }
        }
    }
}

fn pair(entry: Value) -> Option<(Value, Value)> {
    match entry {
        Value::List(items) => <[Value; 2]>::try_from(items).ok().map(|[key, value]| (key, value)),
        _ => None,
    }
}

/// # Safety
/// `bytes` bytes at `data` can be read, unless it is null.
unsafe fn copy(data: *const u8, bytes: usize, shared: bool) -> Vec<u8> {
    if data.is_null() || bytes == 0 {
        return Vec::new();
    }
    if shared {
        // Other agents may write meanwhile: each byte is what it was at some time.
        // SAFETY: as the caller answers; who else writes there does so without Rust, or by atomics.
        return (0..bytes).map(|at| unsafe { AtomicU8::from_ptr(data.add(at).cast_mut()).load(Relaxed) }).collect();
    }
    // SAFETY: as the caller answers; unshared memory is this agent's alone.
    unsafe { slice::from_raw_parts(data, bytes).to_vec() }
}
