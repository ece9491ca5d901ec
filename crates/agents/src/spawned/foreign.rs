//! Structured clones from and for outside of the process.
//!
//! Such bytes are written and read in the engine's different-process scope only, in which no value is an address. Nothing is
//! transferred, and neither memory nor modules are shared.
//!
//! # Rules
//! - What is read is checked before the engine sees it: whole words, a header of that scope, and no map of transferables.

use std::ffi::c_void;
use std::ptr;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{
    CloneDataPolicy, JSObject, JSStructuredCloneCallbacks, JSStructuredCloneReader, JSStructuredCloneWriter,
    StructuredCloneScope,
};
use mozjs::jsval::{JSVal, UndefinedValue};
use mozjs::rust::JSAutoStructuredCloneBufferWrapper;
use mozjs::{glue, rooted};

use super::clone::{CLONE_VERSION, UNSHARED, guarded, refuse_object, report};
use super::convert::{Converted, Pending, done};
use super::exception;
use super::natives::refuse;
use super::port::PostError;
use super::realm::{Realm, throw_clone_error};

const SCOPE: StructuredCloneScope = StructuredCloneScope::DifferentProcess;

/// The engine's words for the begin of serialised data, and for a map of transferables.
const HEADER_TAG: u32 = 0xFFF1_0000;
const TRANSFER_MAP_TAG: u32 = 0xFFFF_0200;

static CALLBACKS: JSStructuredCloneCallbacks = JSStructuredCloneCallbacks {
    read: Some(read_other),
    write: Some(write_other),
    reportError: Some(report),
    readTransfer: None,
    writeTransfer: None,
    freeTransfer: None,
    canTransfer: None,
    sabCloned: None,
};

/// Serialises a value for another process.
///
/// # Safety
/// `cx` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn write(cx: &mut JSContext, realm: &Realm, value: &RootedGuard<'_, JSVal>) -> Converted<Vec<u8>> {
    // SAFETY: as the caller answers; tables are static, values rooted, and the buffer lives until its bytes are copied.
    unsafe {
        let raw = cx.raw_cx();
        let buffer = JSAutoStructuredCloneBufferWrapper::new(SCOPE, &CALLBACKS);
        let data = &raw mut (*buffer.as_raw_ptr()).data_;
        rooted!(in(raw) let nothing = UndefinedValue());
        done(ja::JS_WriteStructuredClone(
            raw,
            value.handle().into(),
            data,
            SCOPE,
            &UNSHARED,
            &CALLBACKS,
            ptr::null_mut(),
            nothing.handle().into(),
        ))?;
        let length = glue::GetLengthOfJSStructuredCloneData(data);
        let max = realm.options.ports.message_bytes;
        if length as u64 > max {
            return refuse(cx, realm, &PostError::TooLarge { bytes: length as u64, max }).and(Err(Pending));
        }
        let mut bytes = vec![0; length];
        glue::CopyJSStructuredCloneData(data, bytes.as_mut_ptr());
        Ok(bytes)
    }
}

/// What is wrong with bytes before their values are looked at.
pub(crate) fn check(bytes: &[u8], max: u64) -> Result<(), String> {
    if bytes.len() as u64 > max {
        return Err(format!("{} bytes, the limit is {max}", bytes.len()));
    }
    if !bytes.len().is_multiple_of(8) {
        return Err(format!("{} bytes are no whole words of 8", bytes.len()));
    }
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    match (word(0), word(4)) {
        (Some(scope), Some(HEADER_TAG)) if scope == SCOPE as u32 => {}
        (Some(_), Some(HEADER_TAG)) => return Err("they were not written for another process (at byte 0)".into()),
        _ => return Err("they do not begin as a structured clone does (at byte 0)".into()),
    }
    match word(12) {
        Some(TRANSFER_MAP_TAG) => Err("they transfer something (at byte 8)".into()),
        Some(_) => Ok(()),
        None => Err("they end after the header (at byte 8)".into()),
    }
}

/// Reads what another process wrote. Bytes that passed [`check`] may still be anything: then a `DataCloneError` is pending.
///
/// # Safety
/// `cx` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn read(
    cx: &mut JSContext,
    realm: &Realm,
    bytes: &[u8],
    value: &mut RootedGuard<'_, JSVal>,
) -> Converted<()> {
    // SAFETY: as the caller answers. In this scope the engine takes no word for an address; it copies the bytes.
    unsafe {
        let raw = cx.raw_cx();
        let buffer = JSAutoStructuredCloneBufferWrapper::new(SCOPE, &CALLBACKS);
        let data = &raw mut (*buffer.as_raw_ptr()).data_;
        if !glue::WriteBytesToJSStructuredCloneData(bytes.as_ptr(), bytes.len(), data) {
            throw_clone_error(cx, realm, "no memory for the bytes");
            return Err(Pending);
        }
        let worked = ja::JS_ReadStructuredClone(
            raw,
            data,
            CLONE_VERSION,
            SCOPE,
            value.handle_mut().into(),
            &UNSHARED,
            &CALLBACKS,
            ptr::null_mut(),
        );
        if !worked && !ja::JS_IsExceptionPending(raw) && !realm.is_stopped() {
            throw_clone_error(cx, realm, "the bytes are no structured clone");
        }
        done(worked)
    }
}

unsafe extern "C" fn write_other(
    raw: *mut RawJSContext,
    writer: *mut JSStructuredCloneWriter,
    object: ja::HandleObject,
    _: *mut bool,
    _: *mut c_void,
) -> bool {
    guarded(raw, |cx, realm| {
        // SAFETY: called by the engine from its writer; its handle is rooted.
        if let Some(written) = unsafe { exception::write(cx, writer, object) } {
            return written;
        }
        refuse_object(cx, realm, object);
        false
    })
}

unsafe extern "C" fn read_other(
    raw: *mut RawJSContext,
    reader: *mut JSStructuredCloneReader,
    _: *const CloneDataPolicy,
    tag: u32,
    _: u32,
    _: *mut c_void,
) -> *mut JSObject {
    let mut object = ptr::null_mut();
    guarded(raw, |cx, realm| {
        if tag == exception::TAG {
            // SAFETY: called by the engine from its reader, in the agent's realm. The object is handed to the engine
            // before anything can collect.
            object = unsafe { exception::read(cx, realm, reader) };
        }
        !object.is_null()
    });
    object
}
