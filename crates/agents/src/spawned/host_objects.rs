//! Objects of the host's: what a script calls of Rust as functions of numbers.
//!
//! ```text
//!  script                                       Rust
//!  globalThis.name(...numbers) ── make ──▶ Box<dyn HostObject>
//!      └─▶ { memory, f(...numbers), … } ── call(f, numbers) ──▶ one number, or an exception
//! ```
//!
//! A function carries the object it belongs to and its place in the object's list in its reserved slots, so it may be taken
//! off its object. The object's slot owns the Rust value, which goes when neither it nor one of its functions is reachable.
//!
//! # Rules
//! - A call neither collects nor runs scripts, so no call begins inside of another.
//! - Nothing is allocated for a call: its arguments lie on the stack.

use std::cell::RefCell;
use std::ffi::CString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{CallArgs, JSClass, JSClassOps, JSObject, Value as RawValue};
use mozjs::jsval::{DoubleValue, Int32Value, JSVal, ObjectValue, PrivateValue, UndefinedValue};
use mozjs::rust::get_object_class;
use mozjs::{glue, rooted};
use peristyle_memory::{Memory, RegionError};

use super::convert::{Converted, Pending, done};
use super::natives::{Call, native};
use super::realm::Realm;
use crate::AgentError;
use crate::agent::{guarded, throw};
use crate::cluster::Shared;
use crate::console::Level;
use crate::memory::{EngineRegion, Linear};

/// Most arguments of a host function.
const ARGUMENTS_MAX: usize = 16;
/// The reserved slots of a function: its object, and its place in the object's list.
const OBJECT_SLOT: usize = 0;
const PLACE_SLOT: usize = 1;

/// A function of a [`HostObject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFunction {
    /// The property that it is.
    pub name: &'static str,
    /// How many numbers it takes, at most 16. A script that gives fewer, or what is no number, sees a `TypeError`; more are ignored.
    pub arguments: usize,
}

/// Why a host function, or the making of a host object, failed: the script sees an `Error` with this message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(
    /// What is wrong, for people.
    pub String,
);

/// A Rust value that a script has as an object of functions of numbers.
///
/// It lives on its agent's thread, where it is called, one call at a time, and where it is dropped: when the script no longer
/// reaches it, in the middle of a collection, or when the agent ends.
pub trait HostObject: 'static {
    /// Its functions, always the same: their places are their numbers.
    fn functions(&self) -> &[HostFunction];

    /// Calls a function. A panic is an exception of the script's, too.
    ///
    /// # Errors
    /// [`HostError`]: an exception of the script's.
    fn call(&mut self, function: usize, arguments: &[f64]) -> Result<f64, HostError>;

    /// What the script has as `memory`: a shared `WebAssembly.Memory`. Asked once.
    fn memory(&self) -> Option<LentMemory> {
        None
    }
}

/// A memory of the engine's that a script is given as a whole.
#[derive(Debug, Clone)]
pub struct LentMemory(Memory);

impl LentMemory {
    /// Lends a memory that [`Cluster::memory`](crate::Cluster::memory) made; nothing for any other.
    ///
    /// # Safety
    /// The script, and whatever it posts the memory to, reads and writes all of it at any time and for as long as it likes.
    /// So who lends it answers that
    /// - no Rust code relies on what lies in its blocks but for values that may be anything (numbers of columns, bits),
    /// - and the script writes no row that Rust holds a reference into: it keeps to what the plan gives to each side.
    pub unsafe fn new(memory: &Memory) -> Option<LentMemory> {
        memory.region::<EngineRegion>().map(|_| LentMemory(memory.clone()))
    }

    /// The address of byte 0 of the `WebAssembly.Memory`, from which scripts count; blocks lie above.
    pub fn start(&self) -> ptr::NonNull<u8> {
        self.linear().start()
    }

    fn linear(&self) -> &Arc<Linear> {
        let region = self.0.region::<EngineRegion>();
        &region.expect("only such a memory is lent").0
    }
}

/// Makes the objects that a script asks for by name, on the agent's thread, from the numbers that it was given.
pub type MakeHostObject = Arc<dyn Fn(&HostContext, &[f64]) -> Result<Box<dyn HostObject>, HostError> + Send + Sync>;

/// What an object of the host's may ask of its agent's cluster; objects may keep it.
#[derive(Clone)]
pub struct HostContext(Arc<Shared>);

impl HostContext {
    /// As [`Cluster::memory`](crate::Cluster::memory).
    ///
    /// # Errors
    /// As there.
    pub fn memory(&self, max_bytes: u64) -> Result<Memory, RegionError> {
        crate::memory::new(&self.0.parent, max_bytes)
    }

    /// As [`Cluster::refresh`](crate::Cluster::refresh).
    pub fn refresh(&self) -> Vec<PathBuf> {
        self.0.sources.refresh()
    }

    /// The module files that the cluster has read so far, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.sources.files()
    }

    /// Says something on the cluster's [console](crate::Cluster::set_console).
    pub fn say(&self, level: Level, text: &str) {
        self.0.console.print(level, text);
    }
}

impl fmt::Debug for HostContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostContext").finish_non_exhaustive()
    }
}

/// What an object's slot owns.
struct Owned {
    host: RefCell<Box<dyn HostObject>>,
    functions: Vec<HostFunction>,
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned").field("functions", &self.functions).finish_non_exhaustive()
    }
}

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
    name: c"HostObject".as_ptr(),
    flags: ja::JSCLASS_FOREGROUND_FINALIZE | (1 << ja::JSCLASS_RESERVED_SLOTS_SHIFT),
    cOps: &OPERATIONS,
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};

/// What an object owns; nothing for objects of other classes, and for one that is still being made.
///
/// # Safety
/// `object` is an object, and nothing has collected since it was read from a root; the result is not used after the object was
/// collected.
unsafe fn owned(object: *mut JSObject) -> Option<*mut Owned> {
    // SAFETY: as the caller answers; the slot of such an object is undefined, or what `make_object` put there.
    unsafe {
        if !ptr::eq(get_object_class(object), &CLASS) {
            return None;
        }
        let mut slot = UndefinedValue();
        glue::JS_GetReservedSlot(object, 0, &mut slot);
        slot.is_double().then(|| slot.to_private().cast_mut().cast::<Owned>())
    }
}

unsafe extern "C" fn finalize(_: *mut ja::GCContext, object: *mut JSObject) {
    // SAFETY: called by the engine, once, on the thread that owns the object; the slot owns the box.
    unsafe {
        if let Some(owned) = owned(object) {
            // It is the user's: no panic of theirs may enter the engine.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(owned))));
        }
    }
}

/// Defines the functions that make the objects which the agent's options name, on the realm's global.
///
/// # Safety
/// `cx` is this thread's context, in the realm, which is entered.
pub(super) unsafe fn define(cx: &mut JSContext, realm: &Realm) -> Result<(), AgentError> {
    for (at, name) in realm.options.host_objects.keys().enumerate() {
        // SAFETY: as the caller answers; objects are rooted.
        let defined = unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let global = realm.global());
            rooted!(in(raw) let mut function = UndefinedValue());
            make_function(raw, make, 0, name, &mut function).and_then(|()| {
                ja::SetFunctionNativeReserved(function.to_object(), PLACE_SLOT, &Int32Value(at as i32));
                set(raw, &global, name, &function, 0)
            })
        };
        defined.map_err(|failed| realm.failed(cx, failed))?;
    }
    Ok(())
}

/// A native function with two reserved slots, which are undefined.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
unsafe fn make_function(
    raw: *mut RawJSContext,
    native: super::natives::Native,
    arguments: usize,
    name: &str,
    out: &mut RootedGuard<'_, JSVal>,
) -> Converted<()> {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: as the caller answers; natives are static functions that never unwind, and a function made so has two slots.
    unsafe {
        let function = ja::NewFunctionWithReserved(raw, Some(native), arguments as u32, 0, name.as_ptr());
        done(!function.is_null())?;
        out.set(ObjectValue(ja::JS_GetFunctionObject(function)));
    }
    Ok(())
}

/// # Safety
/// `raw` is this thread's context, in the object's realm.
unsafe fn set(
    raw: *mut RawJSContext,
    object: &RootedGuard<'_, *mut JSObject>,
    name: &str,
    value: &RootedGuard<'_, JSVal>,
    flags: u32,
) -> Converted<()> {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: as the caller answers.
    done(unsafe { ja::JS_DefineProperty(raw, object.handle().into(), name.as_ptr(), value.handle().into(), flags) })
}

/// The numbers that a function was called with; what is none is the script's `TypeError`.
fn numbers<'a>(
    cx: &mut JSContext,
    arguments: &CallArgs,
    count: usize,
    name: &str,
    into: &'a mut [f64; ARGUMENTS_MAX],
) -> Converted<&'a [f64]> {
    let into = &mut into[..count.min(ARGUMENTS_MAX)];
    for (at, number) in into.iter_mut().enumerate() {
        let value = arguments.get(at as u32).get();
        *number = if value.is_int32() {
            value.to_int32().into()
        } else if value.is_double() {
            value.to_double()
        } else {
            throw(cx, &format!("{name} takes {count} numbers: argument {} is none", at + 1));
            return Err(Pending);
        };
    }
    Ok(into)
}

/// What scripts call to have an object.
unsafe extern "C" fn make(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    // The result takes the place of the function, which is looked at first.
    // SAFETY: called by the engine with its arguments; the function was made by `define`.
    let (arguments, at) = unsafe {
        let arguments = CallArgs::from_vp(vp, argc);
        (arguments, (*ja::GetFunctionNativeReserved(arguments.callee(), PLACE_SLOT)).to_int32())
    };
    native(raw, argc, vp, |cx, call| {
        let Some((name, make)) = call.realm.options.host_objects.iter().nth(at as usize) else { return Ok(()) };
        let mut room = [0.0; ARGUMENTS_MAX];
        let numbers = numbers(cx, &arguments, argc as usize, name, &mut room)?;
        match make(&HostContext(call.realm.shared.clone()), numbers) {
            // SAFETY: the context is in the agent's realm.
            Ok(host) => unsafe { make_object(raw, call, host) },
            Err(error) => {
                throw_error(raw, &error);
                Err(Pending)
            }
        }
    })
}

fn throw_error(raw: *mut RawJSContext, error: &HostError) {
    let message = CString::new(error.0.replace('\0', "\u{fffd}")).unwrap_or_default();
    // SAFETY: the context is this thread's, in the agent's realm; both texts end with a NUL.
    unsafe { ja::JS_ReportErrorUTF8(raw, c"%s".as_ptr(), message.as_ptr()) };
}

/// # Safety
/// `raw` is this thread's context, in the agent's realm.
unsafe fn make_object(raw: *mut RawJSContext, call: &Call<'_>, host: Box<dyn HostObject>) -> Converted<()> {
    let functions = host.functions().to_vec();
    let memory = host.memory();
    // SAFETY: as the caller answers; everything that may move is rooted. The slot owns the box from when it is set.
    unsafe {
        rooted!(in(raw) let object = ja::JS_NewObject(raw, &CLASS));
        done(!object.is_null())?;
        let owned = Box::into_raw(Box::new(Owned { host: RefCell::new(host), functions: functions.clone() }));
        ja::JS_SetReservedSlot(object.get(), 0, &PrivateValue(owned.cast()));
        let flags = ja::JSPROP_ENUMERATE as u32;
        rooted!(in(raw) let mut value = UndefinedValue());
        for (place, function) in functions.iter().enumerate() {
            make_function(raw, call_function, function.arguments, function.name, &mut value)?;
            // Read of its root only now: making the function may have moved the object.
            ja::SetFunctionNativeReserved(value.to_object(), OBJECT_SLOT, &ObjectValue(object.get()));
            ja::SetFunctionNativeReserved(value.to_object(), PLACE_SLOT, &Int32Value(place as i32));
            set(raw, &object, function.name, &value, flags)?;
        }
        if let Some(memory) = memory {
            done(memory.linear().object(raw, &mut value))?;
            set(raw, &object, "memory", &value, flags)?;
        }
        call.give(ObjectValue(object.get()));
    }
    Ok(())
}

/// A function of an object.
unsafe extern "C" fn call_function(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    guarded(raw, |cx| {
        // SAFETY: called by the engine with its arguments; the function was made by `make_object`, so its slots hold an object
        // that owns a box, which the function keeps, and a place in that object's list.
        let (arguments, owned, place) = unsafe {
            let arguments = CallArgs::from_vp(vp, argc);
            let callee = arguments.callee();
            let object = (*ja::GetFunctionNativeReserved(callee, OBJECT_SLOT)).to_object();
            let place = (*ja::GetFunctionNativeReserved(callee, PLACE_SLOT)).to_int32() as usize;
            match owned(object) {
                Some(owned) => (arguments, &*owned, place),
                None => return false,
            }
        };
        let HostFunction { name, arguments: count } = owned.functions[place];
        let mut room = [0.0; ARGUMENTS_MAX];
        let Ok(numbers) = numbers(cx, &arguments, count, name, &mut room) else { return false };
        // It was not borrowed: a call runs no script that could call again.
        match owned.host.borrow_mut().call(place, numbers) {
            Ok(number) => {
                arguments.rval().set(number_value(number));
                true
            }
            Err(error) => {
                throw_error(raw, &error);
                false
            }
        }
    })
}

/// A number as scripts have it; small whole numbers as such, which compiled code likes better.
fn number_value(number: f64) -> JSVal {
    let whole = number as i32;
    let is_whole = f64::from(whole) == number && (whole != 0 || number.is_sign_positive());
    if is_whole { Int32Value(whole) } else { DoubleValue(number) }
}
