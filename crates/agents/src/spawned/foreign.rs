//! Structured clones from and for outside of the process.
//!
//! Such bytes are written and read in the engine's different-process scope only, in which no value is an address. Nothing is
//! transferred, and neither memory nor modules are shared.
//!
//! # Rules
//! - What is read is checked before the engine sees it: whole words, a header of that scope, no map of transferables, and
//!   lengths that the bytes have: the engine makes room for what a length claims before it looks for it.

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
/// Words up to this tag are numbers.
const FLOAT_MAX_TAG: u32 = 0xFFF0_0000;
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

/// What is wrong with bytes, as far as that can be told without an engine. A resizable buffer may not claim to grow beyond
/// `max` bytes either.
pub(crate) fn check(bytes: &[u8], max: u64) -> Result<(), String> {
    if bytes.len() as u64 > max {
        return Err(format!("{} bytes, the limit is {max}", bytes.len()));
    }
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole words of 8", bytes.len()));
    }
    let word = |at: usize| words.get(at).map(|word| u64::from_le_bytes(*word));
    // A word is a tag and 32 bits of data, or belongs to the one before it.
    let pair = |at| word(at).map(|word| ((word >> 32) as u32, word as u32));
    match pair(0) {
        Some((HEADER_TAG, scope)) if scope == SCOPE as u32 => {}
        Some((HEADER_TAG, _)) => return Err("they were not written for another process (at byte 0)".into()),
        _ => return Err("they do not begin as a structured clone does (at byte 0)".into()),
    }
    match pair(1) {
        Some((TRANSFER_MAP_TAG, _)) => return Err("they transfer something (at byte 8)".into()),
        Some(_) => {}
        None => return Err("they end after the header (at byte 8)".into()),
    }
    let mut at = 1;
    while let Some((tag, data)) = pair(at) {
        let length = |at| word(at).ok_or_else(|| format!("they end within a length (at byte {})", 8 * at));
        // Words that follow, and belong to this one.
        let follow = match tag {
            // A number, or an offset.
            0..=FLOAT_MAX_TAG => 0,
            tags::STRING | tags::STRING_OBJECT => {
                // Bit 30 is for an address.
                if data & 1 << 30 != 0 {
                    return Err(format!("a text that is elsewhere (at byte {})", 8 * at));
                }
                let (units, wide) = (u64::from(data & ((1 << 30) - 1)), data >> 31 == 0);
                (units << u32::from(wide)).div_ceil(8)
            }
            tags::DATE | tags::NUMBER_OBJECT | tags::TYPED_ARRAY | tags::DATA_VIEW => 1,
            tags::BIGINT | tags::BIGINT_OBJECT => u64::from(data & !(1 << 31)),
            tags::ARRAY_BUFFER => length(at + 1)?.div_ceil(8).saturating_add(1),
            tags::RESIZABLE_ARRAY_BUFFER => {
                if length(at + 2)? > max {
                    return Err(format!("a buffer that may grow beyond the limit of {max} bytes (at byte {})", 8 * at));
                }
                length(at + 1)?.div_ceil(8).saturating_add(2)
            }
            tags::REGEXP | exception::TAG => 0,
            tags::NULL..=tags::INT32 | tags::ARRAY..=tags::OBJECT | tags::BOOLEAN_OBJECT | tags::BACK_REFERENCE => 0,
            tags::MAP..=tags::END_OF_KEYS | tags::SAVED_FRAME | tags::ERROR => 0,
            _ => return Err(format!("no value of another process has the tag {tag:#x} (at byte {})", 8 * at)),
        };
        let left = (words.len() - at - 1) as u64;
        if follow > left {
            return Err(format!("a value of {follow} words, of which {left} are there (at byte {})", 8 * at));
        }
        at += 1 + follow as usize;
    }
    Ok(())
}

/// Tags of values, from the engine's `StructuredDataType`, that it writes for another process.
mod tags {
    pub(super) const NULL: u32 = 0xFFFF_0000;
    pub(super) const INT32: u32 = NULL + 3;
    pub(super) const STRING: u32 = NULL + 4;
    pub(super) const DATE: u32 = NULL + 5;
    pub(super) const REGEXP: u32 = NULL + 6;
    pub(super) const ARRAY: u32 = NULL + 7;
    pub(super) const OBJECT: u32 = NULL + 8;
    pub(super) const BOOLEAN_OBJECT: u32 = NULL + 10;
    pub(super) const STRING_OBJECT: u32 = NULL + 11;
    pub(super) const NUMBER_OBJECT: u32 = NULL + 12;
    pub(super) const BACK_REFERENCE: u32 = NULL + 13;
    pub(super) const MAP: u32 = NULL + 17;
    pub(super) const END_OF_KEYS: u32 = NULL + 19;
    pub(super) const SAVED_FRAME: u32 = NULL + 22;
    pub(super) const BIGINT: u32 = NULL + 29;
    pub(super) const BIGINT_OBJECT: u32 = NULL + 30;
    pub(super) const ARRAY_BUFFER: u32 = NULL + 31;
    pub(super) const TYPED_ARRAY: u32 = NULL + 32;
    pub(super) const DATA_VIEW: u32 = NULL + 33;
    pub(super) const ERROR: u32 = NULL + 34;
    pub(super) const RESIZABLE_ARRAY_BUFFER: u32 = NULL + 35;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pairs: &[(u32, u32)]) -> Vec<u8> {
        pairs.iter().flat_map(|&(tag, data)| (u64::from(tag) << 32 | u64::from(data)).to_le_bytes()).collect()
    }

    #[test]
    fn lengths_are_what_is_there() {
        let header = (HEADER_TAG, SCOPE as u32);
        let check = |pairs: &[(u32, u32)]| check(&bytes(&[&[header], pairs].concat()), 4096);
        for pairs in [
            &[(tags::NULL, 0)][..],
            &[(0x4008_0000, 0)],
            &[(tags::STRING, 1 << 31 | 8), (u32::MAX, u32::MAX)],
            &[(tags::STRING, 4), (u32::MAX, u32::MAX)],
            &[(tags::BIGINT, 1 << 31 | 1), (u32::MAX, u32::MAX)],
            &[(tags::ARRAY_BUFFER, 0), (0, 9), (u32::MAX, 0), (u32::MAX, 0)],
            &[(tags::RESIZABLE_ARRAY_BUFFER, 0), (0, 1), (0, 4096), (u32::MAX, 0)],
            &[(tags::TYPED_ARRAY, 1), (u32::MAX, u32::MAX), (tags::ARRAY_BUFFER, 0), (0, 0), (0, 0)],
            &[(tags::DATE, 0), (0xFFF8_0000, 0)],
            // An array may claim any length: its holes take no room.
            &[(tags::ARRAY, u32::MAX), (tags::END_OF_KEYS, 0)],
        ] {
            assert_eq!(check(pairs), Ok(()), "{pairs:x?}");
        }
        for (pairs, at) in [
            (&[(tags::STRING, 1 << 31 | 9), (0, 0)][..], 8),
            (&[(tags::STRING, 5), (0, 0)], 8),
            (&[(tags::STRING, 1 << 30), (0, 0)], 8),
            (&[(tags::BIGINT, 2), (0, 0)], 8),
            (&[(tags::NULL, 0), (tags::ARRAY_BUFFER, 0)], 24),
            (&[(tags::ARRAY_BUFFER, 0), (0, 8)], 8),
            (&[(tags::ARRAY_BUFFER, 0), (u32::MAX, u32::MAX)], 8),
            (&[(tags::RESIZABLE_ARRAY_BUFFER, 0), (0, 0), (0, 4097)], 8),
            (&[(tags::TYPED_ARRAY, 1)], 8),
            (&[(tags::NULL + 27, 0)], 8),
            (&[(tags::NULL, 0), (0xFFFF_8001, 0)], 16),
        ] {
            let error = check(pairs).unwrap_err();
            assert!(error.ends_with(&format!("(at byte {at})")), "{pairs:x?}: {error}");
        }
    }
}
