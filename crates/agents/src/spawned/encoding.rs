//! Text to bytes and back, by the Encoding Standard: what `web/encoding.js` asks of Rust.
//!
//! A decoder keeps what is between two chunks of a stream, so it is an object of a class of ours, which owns it.
//!
//! # Rules
//! - Bytes of scripts are looked at only while nothing can collect or run a script; shared ones byte by byte, by atomics.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::CStr;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

use encoding_rs::{CoderResult, Decoder, DecoderResult, Encoding, REPLACEMENT};
use mozjs::context::RawJSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::{JSClass, JSClassOps, JSObject, Value as RawValue};
use mozjs::jsval::{ObjectValue, PrivateValue, UndefinedValue};
use mozjs::rust::get_object_class;
use mozjs::{glue, rooted};

use super::convert::{Pending, done, text_to_js, to_js};
use super::natives::{Call, Native, native};
use super::realm::throw_exception;
use super::value::Value;

pub(crate) const NATIVES: [(&CStr, Native, u32); 4] =
    [(c"encode", encode, 1), (c"encodeInto", encode_into, 2), (c"decoder", decoder, 3), (c"decode", decode, 3)];

static OPERATIONS: JSClassOps = JSClassOps {
    addProperty: None,
    delProperty: None,
    enumerate: None,
    newEnumerate: None,
    resolve: None,
    mayResolve: None,
    finalize: Some(finalize),
    call: None,
    construct: None,
    trace: None,
};

static CLASS: JSClass = JSClass {
    name: c"Decoder".as_ptr(),
    flags: ja::JSCLASS_FOREGROUND_FINALIZE | (1 << ja::JSCLASS_RESERVED_SLOTS_SHIFT),
    cOps: &OPERATIONS,
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};

/// What a decoder's object owns.
struct Decoding {
    encoding: &'static Encoding,
    fatal: bool,
    ignore_bom: bool,
    /// Between two chunks of a stream.
    stream: RefCell<Option<Decoder>>,
}

impl Decoding {
    /// Decodes a chunk; `None` if it is malformed and that is fatal.
    fn decode(&self, bytes: &[u8], more: bool) -> Option<String> {
        let mut stream = self.stream.borrow_mut();
        let mut decoder = stream.take().unwrap_or_else(|| match self.ignore_bom {
            true => self.encoding.new_decoder_without_bom_handling(),
            false => self.encoding.new_decoder_with_bom_removal(),
        });
        let mut text = String::new();
        if self.fatal {
            text.reserve(decoder.max_utf8_buffer_length_without_replacement(bytes.len())?);
            let (result, _) = decoder.decode_to_string_without_replacement(bytes, &mut text, !more);
            if result != DecoderResult::InputEmpty {
                return None;
            }
        } else {
            text.reserve(decoder.max_utf8_buffer_length(bytes.len())?);
            let (result, ..) = decoder.decode_to_string(bytes, &mut text, !more);
            debug_assert_eq!(result, CoderResult::InputEmpty);
        }
        if more {
            *stream = Some(decoder);
        }
        Some(text)
    }
}

/// What a decoder's object owns; nothing for other objects.
///
/// # Safety
/// `object` is an object, and nothing has collected since it was read from a root.
unsafe fn decoding_of<'a>(object: *mut JSObject) -> Option<&'a Decoding> {
    // SAFETY: as the caller answers; the slot of such an object is undefined, or what `decoder` put there.
    unsafe {
        if !ptr::eq(get_object_class(object), &CLASS) {
            return None;
        }
        let mut slot = UndefinedValue();
        glue::JS_GetReservedSlot(object, 0, &mut slot);
        if slot.is_undefined() { None } else { slot.to_private().cast::<Decoding>().as_ref() }
    }
}

unsafe extern "C" fn finalize(_: *mut ja::GCContext, object: *mut JSObject) {
    // SAFETY: called by the engine, once; the box came from `Box::into_raw`, and nobody has the object any more.
    unsafe {
        if let Some(decoding) = decoding_of(object) {
            drop(Box::from_raw(ptr::from_ref(decoding).cast_mut()));
        }
    }
}

/// Where bytes of a script lie.
struct Bytes {
    data: *mut u8,
    len: usize,
    shared: bool,
}

impl Bytes {
    /// The contents of a buffer, or what a view sees of one.
    ///
    /// # Safety
    /// `object` is an object, and nothing has collected since it was read from a root. The result is used before anything
    /// can collect or run a script.
    unsafe fn of(object: *mut JSObject) -> Option<Bytes> {
        let (mut len, mut shared, mut data) = (0usize, false, ptr::null_mut::<u8>());
        // SAFETY: as the caller answers.
        unsafe {
            if ja::JS_IsArrayBufferViewObject(object) {
                len = ja::JS_GetArrayBufferViewByteLength(object);
                data = ja::JS_GetArrayBufferViewData(object, &mut shared, ptr::null()).cast();
            } else if ja::IsArrayBufferObject(object) {
                ja::GetArrayBufferLengthAndData(object, &mut len, &mut shared, &mut data);
            } else if ja::IsSharedArrayBufferObject(object) {
                ja::GetSharedArrayBufferLengthAndData(object, &mut len, &mut shared, &mut data);
            } else {
                return None;
            }
        }
        Some(Bytes { data, len: if data.is_null() { 0 } else { len }, shared })
    }

    /// Reads them, which copies what other agents may write meanwhile.
    ///
    /// # Safety
    /// As for [`Bytes::of`].
    unsafe fn read(&self) -> Cow<'_, [u8]> {
        if self.len == 0 {
            return Cow::Borrowed(&[]);
        }
        // SAFETY: as the caller answers: `len` bytes, this agent's alone unless they are shared.
        unsafe {
            if self.shared {
                let byte = |at| AtomicU8::from_ptr(self.data.add(at)).load(Ordering::Relaxed);
                return Cow::Owned((0..self.len).map(byte).collect());
            }
            Cow::Borrowed(slice::from_raw_parts(self.data, self.len))
        }
    }

    /// Writes what fits.
    ///
    /// # Safety
    /// As for [`Bytes::of`].
    unsafe fn write(&self, bytes: &[u8]) {
        let len = bytes.len().min(self.len);
        // SAFETY: as the caller answers: `len` bytes or more, this agent's alone unless they are shared.
        unsafe {
            if !self.shared {
                return ptr::copy_nonoverlapping(bytes.as_ptr(), self.data, len);
            }
            for (at, byte) in bytes[..len].iter().enumerate() {
                AtomicU8::from_ptr(self.data.add(at)).store(*byte, Ordering::Relaxed);
            }
        }
    }
}

/// `encode(text)`: a `Uint8Array`.
unsafe extern "C" fn encode(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let bytes = Value::Bytes(call.text(cx, 0).into_bytes());
        rooted!(in(raw) let mut array = UndefinedValue());
        // SAFETY: the context is in the agent's realm.
        unsafe { to_js(raw, &bytes, &mut array)? };
        call.give(array.get());
        Ok(())
    })
}

/// `encodeInto(text, array)`: `[units of the text that were read, bytes that were written]`.
unsafe extern "C" fn encode_into(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let text = call.text(cx, 0);
        // SAFETY: the array is an argument, which the engine roots; nothing collects until it is written.
        let (read, written) = unsafe {
            let Some(bytes) = call.object(1).and_then(|array| Bytes::of(array)) else { return Ok(()) };
            let written = text.floor_char_boundary(bytes.len);
            bytes.write(&text.as_bytes()[..written]);
            (text[..written].encode_utf16().count(), written)
        };
        give(raw, call, &Value::List(vec![Value::Number(read as f64), Value::Number(written as f64)]))
    })
}

fn give(raw: *mut RawJSContext, call: &Call<'_>, value: &Value) -> Result<(), Pending> {
    rooted!(in(raw) let mut given = UndefinedValue());
    // SAFETY: natives run in the agent's realm.
    unsafe { to_js(raw, value, &mut given)? };
    call.give(given.get());
    Ok(())
}

/// `decoder(label, fatal, ignoreBOM)`: `[the encoding's name, a decoder]`; nothing for a label that names none.
unsafe extern "C" fn decoder(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let encoding = Encoding::for_label(call.text(cx, 0).as_bytes()).filter(|encoding| *encoding != REPLACEMENT);
        let Some(encoding) = encoding else { return Ok(()) };
        let flag = |at| call.get(at).is_boolean() && call.get(at).to_boolean();
        let decoding = Decoding { encoding, fatal: flag(1), ignore_bom: flag(2), stream: RefCell::new(None) };
        rooted!(in(raw) let mut name = UndefinedValue());
        // SAFETY: the context is in the agent's realm; values are rooted. The slot owns the box from here on.
        unsafe {
            rooted!(in(raw) let object = ja::JS_NewObject(raw, &CLASS));
            done(!object.is_null())?;
            ja::JS_SetReservedSlot(
                object.get(),
                0,
                &PrivateValue(Box::into_raw(Box::new(decoding)).cast_const().cast()),
            );
            text_to_js(raw, &encoding.name().to_ascii_lowercase(), &mut name)?;
            rooted!(in(raw) let list = ja::NewArrayObject1(raw, 2));
            done(!list.is_null())?;
            let flags = ja::JSPROP_ENUMERATE as u32;
            done(ja::JS_DefineElement(raw, list.handle().into(), 0, name.handle().into(), flags))?;
            done(ja::JS_DefineElement2(raw, list.handle().into(), 1, object.handle().into(), flags))?;
            call.give(ObjectValue(list.get()));
        }
        Ok(())
    })
}

/// `decode(decoder, bytes, more)`: the text of a chunk; throws a `TypeError` for what is malformed, if that is fatal.
unsafe extern "C" fn decode(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let more = call.get(2).is_boolean() && call.get(2).to_boolean();
        // SAFETY: arguments are rooted by the engine; decoding neither collects nor runs a script.
        let text = unsafe {
            let Some(decoding) = call.object(0).and_then(|object| decoding_of(object)) else { return Ok(()) };
            match call.object(1).map(|object| Bytes::of(object)) {
                Some(Some(bytes)) => decoding.decode(&bytes.read(), more),
                Some(None) => {
                    throw_exception(
                        cx,
                        call.realm,
                        "TypeError",
                        "TextDecoder.decode: the input is neither a buffer nor a view",
                    );
                    return Err(Pending);
                }
                None => decoding.decode(&[], more),
            }
        };
        let Some(text) = text else {
            throw_exception(cx, call.realm, "TypeError", "TextDecoder.decode: the bytes are malformed");
            return Err(Pending);
        };
        give(raw, call, &Value::Text(text))
    })
}
