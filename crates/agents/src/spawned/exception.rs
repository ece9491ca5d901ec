//! `DOMException`s: objects of a class of ours, so that a clone of one is one.
//!
//! An exception's name, message and stack are strings in its slots. Its prototype, and all that users see, comes from
//! `web/exceptions.js`.

use std::ffi::CStr;
use std::ptr;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{JSClass, JSObject, JSString, JSStructuredCloneReader, JSStructuredCloneWriter, Value as RawValue};
use mozjs::jsval::{JSVal, ObjectValue, StringValue, UndefinedValue};
use mozjs::rust::get_object_class;
use mozjs::{glue, rooted};

use super::convert::{Converted, Pending, done};
use super::natives::{Native, native};
use super::realm::Realm;
use super::scripts::EXCEPTIONS;

/// Names exceptions in serialised data.
pub(crate) const TAG: u32 = 0xFFFF_8005;

/// Name, message, stack.
const PARTS: u32 = 3;

static CLASS: JSClass = JSClass {
    name: c"DOMException".as_ptr(),
    flags: PARTS << ja::JSCLASS_RESERVED_SLOTS_SHIFT,
    cOps: ptr::null(),
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};

pub(crate) const NATIVES: [(&CStr, Native, u32); 2] =
    [(c"exception", exception, 3), (c"exceptionPart", exception_part, 2)];

/// Whether an object is a `DOMException`.
///
/// # Safety
/// `object` is an object, and nothing has collected since it was read from a root.
pub(crate) unsafe fn is_exception(object: *mut JSObject) -> bool {
    // SAFETY: as the caller answers.
    unsafe { ptr::eq(get_object_class(object), &CLASS) }
}

/// One of an exception's strings.
///
/// # Safety
/// As for [`is_exception`].
unsafe fn part(object: *mut JSObject, at: u32) -> Option<JSVal> {
    // SAFETY: as the caller answers; objects of the class have these slots.
    unsafe {
        if at >= PARTS || !is_exception(object) {
            return None;
        }
        let mut value = UndefinedValue();
        glue::JS_GetReservedSlot(object, at, &mut value);
        Some(value)
    }
}

/// Makes an exception of strings.
///
/// # Safety
/// `raw` is this thread's context, in the realm of `realm`.
unsafe fn make(
    raw: *mut RawJSContext,
    realm: &Realm,
    parts: [&RootedGuard<'_, JSVal>; PARTS as usize],
    out: &mut RootedGuard<'_, *mut JSObject>,
) -> Converted<()> {
    // SAFETY: as the caller answers; the prototype is traced where it lies.
    unsafe {
        out.set(ja::JS_NewObjectWithGivenProto(raw, &CLASS, realm.exception_prototype()));
        done(!out.is_null())?;
        for (at, part) in parts.into_iter().enumerate() {
            ja::JS_SetReservedSlot(out.get(), at as u32, &part.get());
        }
    }
    Ok(())
}

/// `exception(name, message, stack)`
unsafe extern "C" fn exception(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        rooted!(in(raw) let name = call.get(0));
        rooted!(in(raw) let message = call.get(1));
        rooted!(in(raw) let stack = call.get(2));
        rooted!(in(raw) let mut made = ptr::null_mut::<JSObject>());
        // SAFETY: the context is in the agent's realm.
        unsafe { make(raw, call.realm, [&name, &message, &stack], &mut made)? };
        call.give(ObjectValue(made.get()));
        Ok(())
    })
}

/// `exceptionPart(exception, at)`: its name, message or stack; throws a `TypeError` for what is none.
unsafe extern "C" fn exception_part(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        // SAFETY: the engine roots arguments.
        let found = call.object(0).and_then(|object| unsafe { part(object, call.number(1) as u32) });
        match found {
            Some(found) => call.give(found),
            None => {
                super::realm::throw_exception(cx, call.realm, "TypeError", "this is no DOMException");
                return Err(Pending);
            }
        }
        Ok(())
    })
}

/// Writes an exception; nothing for other objects.
///
/// # Safety
/// Called by the engine from its writer, with a rooted handle.
pub(crate) unsafe fn write(
    cx: &mut JSContext,
    writer: *mut JSStructuredCloneWriter,
    object: ja::HandleObject,
) -> Option<bool> {
    // SAFETY: as the caller answers; strings are rooted.
    unsafe {
        if !is_exception(object.get()) {
            return None;
        }
        let raw = cx.raw_cx();
        let mut worked = ja::JS_WriteUint32PairUnchecked(writer, TAG, 0);
        for at in 0..PARTS {
            let value = part(object.get(), at)?;
            rooted!(in(raw) let mut text = ja::JS_GetEmptyString(raw));
            if value.is_string() {
                text.set(value.to_string());
            }
            worked = worked && ja::JS_WriteString(writer, text.handle().into());
        }
        Some(worked)
    }
}

/// Reads an exception; not rooted, null if that failed.
///
/// # Safety
/// Called by the engine from its reader, in the realm of `realm`.
pub(crate) unsafe fn read(cx: &mut JSContext, realm: &Realm, reader: *mut JSStructuredCloneReader) -> *mut JSObject {
    // SAFETY: as the caller answers; everything that may move is rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut name = UndefinedValue());
        rooted!(in(raw) let mut message = UndefinedValue());
        rooted!(in(raw) let mut stack = UndefinedValue());
        rooted!(in(raw) let mut text = ptr::null_mut::<JSString>());
        for at in 0..PARTS {
            if !ja::JS_ReadString(reader, text.handle_mut().into()) || text.is_null() {
                return ptr::null_mut();
            }
            let part = StringValue(&*text.get());
            match at {
                0 => name.set(part),
                1 => message.set(part),
                _ => stack.set(part),
            }
        }
        rooted!(in(raw) let mut made = ptr::null_mut::<JSObject>());
        let prototype = realm.run_part(cx, EXCEPTIONS);
        match prototype.and_then(|_| make(raw, realm, [&name, &message, &stack], &mut made)) {
            Ok(()) => made.get(),
            Err(Pending) => ptr::null_mut(),
        }
    }
}
