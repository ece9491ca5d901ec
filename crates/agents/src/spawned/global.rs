//! The global object of spawned agents: its standard classes, and the globals of [`PARTS`], come when they are looked up.
//!
//! A part's globals are plain data properties once it was run; before that, every lookup, definition or deletion of one of
//! them runs the part first. So a script cannot tell, but by the clock.
//!
//! # Rules
//! - A part is run once: it is marked before it runs, so that it may look its own names up, and unmarked if it fails.
//! - Only the agent's own global has parts; other globals of its thread do not.

use std::collections::HashMap;
use std::ptr;
use std::slice;
use std::sync::LazyLock;

use mozjs::context::RawJSContext;
use mozjs::glue::AppendToIdVector;
use mozjs::jsapi as ja;
use mozjs::jsapi::{JSAtomState, JSClass, JSClassOps, JSObject, JSString, PropertyKey};
use mozjs::rooted;
use mozjs::rust::Runtime;

use super::realm::Realm;
use super::scripts::PARTS;
use crate::agent::guarded;

/// The class of an agent's global object.
pub(crate) static CLASS: JSClass = JSClass {
    name: c"Global".as_ptr(),
    flags: ja::JSCLASS_IS_GLOBAL
        | (ja::JSCLASS_GLOBAL_SLOT_COUNT & ja::JSCLASS_RESERVED_SLOTS_MASK) << ja::JSCLASS_RESERVED_SLOTS_SHIFT,
    cOps: &OPS,
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};

static OPS: JSClassOps = JSClassOps {
    addProperty: None,
    delProperty: None,
    enumerate: None,
    newEnumerate: Some(enumerate),
    resolve: Some(resolve),
    mayResolve: Some(may_resolve),
    finalize: None,
    call: None,
    construct: None,
    trace: Some(ja::JS_GlobalObjectTraceHook),
};

/// The parts by the names that they define.
static NAMES: LazyLock<HashMap<&'static [u8], usize>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for (at, part) in PARTS.iter().enumerate() {
        for name in part.globals {
            names.entry(name.as_bytes()).or_insert(at);
        }
    }
    names
});

const _: () = assert!(PARTS.len() <= 64);

/// The part that defines the property of this key.
///
/// # Safety
/// `raw` is this thread's context, alive; the key does not move meanwhile.
unsafe fn part_of(raw: *mut RawJSContext, key: PropertyKey) -> Option<usize> {
    if !key.is_string() {
        return None;
    }
    let mut length = 0;
    // SAFETY: the key is an atom, which is flat: nothing is allocated or collected here, and the characters stay.
    let name = unsafe {
        let text: *mut JSString = key.to_string();
        if !ja::JS_DeprecatedStringHasLatin1Chars(text) {
            return None;
        }
        let characters = ja::JS_GetLatin1StringCharsAndLength(raw, ptr::null(), text, &mut length);
        slice::from_raw_parts(characters, length)
    };
    NAMES.get(name).copied()
}

/// Defines the property if it is one of ours, or the engine's.
unsafe extern "C" fn resolve(
    raw: *mut RawJSContext,
    object: ja::HandleObject,
    key: ja::HandleId,
    resolved: *mut bool,
) -> bool {
    // SAFETY: called by the engine on the agent's thread, with rooted handles and a place to write to.
    unsafe {
        *resolved = false;
        if let Some(realm) = Realm::here().filter(|realm| realm.global() == object.get())
            && let Some(part) = part_of(raw, key.get())
        {
            return guarded(raw, |cx| {
                let _realm = ja::JSAutoRealm::new(cx.raw_cx(), realm.global());
                match realm.run_part(cx, part) {
                    Ok(ran) => {
                        *resolved = ran;
                        true
                    }
                    Err(_) => false,
                }
            });
        }
        ja::JS_ResolveStandardClass(raw, object, key, resolved)
    }
}

/// Whether [`resolve`] might define the property; without effects.
unsafe extern "C" fn may_resolve(names: *const JSAtomState, key: PropertyKey, object: *mut JSObject) -> bool {
    // SAFETY: called by the engine with a key that stays.
    unsafe {
        Runtime::get().is_none_or(|raw| part_of(raw.as_ptr(), key).is_some())
            || ja::JS_MayResolveStandardClass(names, key, object)
    }
}

/// Names what is not defined yet. All of it is not enumerable.
unsafe extern "C" fn enumerate(
    raw: *mut RawJSContext,
    object: ja::HandleObject,
    keys: ja::MutableHandleIdVector,
    enumerable_only: bool,
) -> bool {
    // SAFETY: called by the engine on the agent's thread, with rooted handles.
    unsafe {
        if let Some(realm) = Realm::here().filter(|realm| !enumerable_only && realm.global() == object.get()) {
            rooted!(in(raw) let mut text = ptr::null_mut::<JSString>());
            rooted!(in(raw) let mut key = ja::PropertyKey::default());
            for (at, part) in PARTS.iter().enumerate().filter(|(at, _)| !realm.has_part(*at)) {
                for name in part.globals.iter().filter(|name| NAMES.get(name.as_bytes()) == Some(&at)) {
                    text.set(ja::JS_AtomizeStringN(raw, name.as_ptr().cast(), name.len()));
                    if text.is_null()
                        || !ja::JS_StringToId(raw, text.handle().into(), key.handle_mut().into())
                        || !AppendToIdVector(keys, key.handle().into())
                    {
                        return false;
                    }
                }
            }
        }
        ja::JS_NewEnumerateStandardClasses(raw, object, keys, enumerable_only)
    }
}
