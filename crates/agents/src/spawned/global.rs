//! The global object of spawned agents: its standard classes, and what our scripts define, come when they are looked up.
//!
//! A script's globals are plain data properties once it was run; before that, every lookup, definition or deletion of one of
//! them runs the script first. So a script cannot tell, but by the clock.
//!
//! # Rules
//! - A script is run once: it is marked before it runs, so that it may look its own names up, and unmarked if it fails.
//! - Only the agent's own global has them; other globals of its thread do not.

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

use super::realm::{Realm, SCRIPT_STACK_BYTES, needs_stack};
use super::scripts::{PARTS, WEB_GLOBALS};
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

/// What defines a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Definer {
    /// `web.js`.
    Web,
    /// The part at this place in [`PARTS`].
    Part(usize),
}

/// The scripts by the names that they define.
static NAMES: LazyLock<HashMap<&'static [u8], Definer>> = LazyLock::new(|| {
    let mut names: HashMap<_, _> = WEB_GLOBALS.iter().map(|name| (name.as_bytes(), Definer::Web)).collect();
    for (at, part) in PARTS.iter().enumerate() {
        for name in part.globals {
            names.entry(name.as_bytes()).or_insert(Definer::Part(at));
        }
    }
    names
});

// A bit each.
const _: () = assert!(PARTS.len() < 64);

/// What defines the property of this key.
///
/// # Safety
/// `raw` is this thread's context, alive; the key does not move meanwhile.
unsafe fn definer(raw: *mut RawJSContext, key: PropertyKey) -> Option<Definer> {
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
            && let Some(definer) = definer(raw, key.get())
        {
            let has_run = match definer {
                Definer::Web => realm.has_web(),
                Definer::Part(at) => realm.has_part(at),
            };
            // Before anything is defined: what is there is not looked up here again. With room for the calls to where the script
            // is run, which asks again.
            if !has_run && !guarded(raw, |cx| needs_stack(cx, SCRIPT_STACK_BYTES * 3 / 2).is_ok()) {
                return false;
            }
            // What a script adds to may be the engine's, which the script cannot look up while it is being looked up.
            if !ja::JS_ResolveStandardClass(raw, object, key, resolved) {
                return false;
            }
            return guarded(raw, |cx| {
                let _realm = ja::JSAutoRealm::new(cx.raw_cx(), realm.global());
                let ran = match definer {
                    Definer::Web => realm.run_web(cx),
                    Definer::Part(at) => realm.run_part(cx, at),
                };
                ran.map(|ran| *resolved |= ran).is_ok()
            });
        }
        ja::JS_ResolveStandardClass(raw, object, key, resolved)
    }
}

/// Whether [`resolve`] might define the property; without effects.
unsafe extern "C" fn may_resolve(names: *const JSAtomState, key: PropertyKey, object: *mut JSObject) -> bool {
    // SAFETY: called by the engine with a key that stays.
    unsafe {
        Runtime::get().is_none_or(|raw| definer(raw.as_ptr(), key).is_some())
            || ja::JS_MayResolveStandardClass(names, key, object)
    }
}

/// Names what is not defined yet.
unsafe extern "C" fn enumerate(
    raw: *mut RawJSContext,
    object: ja::HandleObject,
    keys: ja::MutableHandleIdVector,
    enumerable_only: bool,
) -> bool {
    // SAFETY: called by the engine on the agent's thread, with rooted handles.
    unsafe {
        let realm = Realm::here().filter(|realm| realm.global() == object.get());
        // Of ours only some of `web.js` are enumerable; the engine lists them once they are there.
        if let Some(realm) = realm.filter(|realm| !realm.has_web())
            && !guarded(raw, |cx| {
                let _realm = ja::JSAutoRealm::new(cx.raw_cx(), realm.global());
                realm.run_web(cx).is_ok()
            })
        {
            return false;
        }
        if let Some(realm) = realm.filter(|_| !enumerable_only) {
            rooted!(in(raw) let mut text = ptr::null_mut::<JSString>());
            rooted!(in(raw) let mut key = PropertyKey::default());
            for (at, part) in PARTS.iter().enumerate().filter(|(at, _)| !realm.has_part(*at)) {
                for name in part.globals.iter().filter(|name| NAMES.get(name.as_bytes()) == Some(&Definer::Part(at))) {
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
