//! The objects behind `Atomics.Mutex`, `Atomics.Condition` and `ThreadLocal`, and what `web/locks.js` asks of Rust.
//!
//! An object of [`CLASS`] has its kind and what it is about: a view of one word of shared memory, or the number of a value
//! that each agent has for itself. A clone of it is another object about the same.
//!
//! # Rules
//! - Views in slots are made here: an `Int32Array` of one element over shared memory, which never moves or shrinks.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::JS::Scalar::Type as Scalar;
use mozjs::jsapi::{
    Heap, JSClass, JSObject, JSStructuredCloneReader, JSStructuredCloneWriter, JSTracer, Value as RawValue,
};
use mozjs::jsval::{BooleanValue, DoubleValue, Int32Value, JSVal, ObjectValue, UndefinedValue};
use mozjs::rust::{Trace, get_object_class};
use mozjs::{glue, rooted};

use super::convert::{Converted, Pending, done};
use super::inbox::Inbox;
use super::lock::{self, LockError, Owner};
use super::lot::{self, Queue, Rest, Sleeper, Waiter};
use super::natives::{Call, Native, native};
use super::realm::{Realm, throw_exception};
use super::scripts::LOCKS;
use crate::agent::throw;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Kind {
    Mutex = 0,
    Condition = 1,
    Local = 2,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Mutex, Kind::Condition, Kind::Local];

    fn of(number: i32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as i32 == number)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Mutex => "Atomics.Mutex",
            Kind::Condition => "Atomics.Condition",
            Kind::Local => "ThreadLocal",
        }
    }
}

/// Names these objects in serialised data.
pub(crate) const TAG: u32 = 0xFFFF_8010;

static CLASS: JSClass = JSClass {
    name: c"Shared".as_ptr(),
    flags: 2 << ja::JSCLASS_RESERVED_SLOTS_SHIFT,
    cOps: ptr::null(),
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};
const KIND_SLOT: u32 = 0;
const PAYLOAD_SLOT: u32 = 1;

/// What a realm keeps for its locks.
#[derive(Default)]
pub(crate) struct Locks {
    prototypes: [Heap<*mut JSObject>; 3],
    owner: OnceCell<Owner>,
    /// What waits for a task, by number.
    waits: RefCell<HashMap<u32, Arc<Waiter>>>,
    waits_before: Cell<u32>,
}

// SAFETY: every `Heap` in the struct is traced; the rest holds nothing of the engine.
unsafe impl Trace for Locks {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        for prototype in &self.prototypes {
            // SAFETY: the engine's tracer, handed on.
            unsafe { prototype.trace(tracer) };
        }
    }
}

impl Locks {
    /// What stands in the words of locks that this agent has.
    fn owner(&self, inbox: &Inbox) -> u32 {
        self.owner.get_or_init(|| Owner::new(inbox.domain())).word()
    }

    /// The next number of something that waits; never 0.
    fn next(&self) -> u32 {
        let next = self.waits_before.get().wrapping_add(1).max(1);
        self.waits_before.set(next);
        next
    }

    fn keep(&self, inbox: &Inbox, id: u32, waiter: Arc<Waiter>) {
        inbox.hold();
        self.waits.borrow_mut().insert(id, waiter);
    }

    /// A task has come for what waited.
    pub(crate) fn woken(&self, inbox: &Inbox, id: u32) {
        let known = self.waits.borrow_mut().remove(&id);
        if known.is_some() {
            inbox.release();
        }
    }

    /// Stops waiting; `false` if it was woken.
    fn cancel(&self, inbox: &Inbox, id: u32) -> bool {
        let left = self.waits.borrow().get(&id).is_some_and(lot::leave);
        if left {
            self.woken(inbox, id);
        }
        left
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for waiter in self.waits.borrow().values() {
            lot::leave(waiter);
        }
        // The owner goes next, and has others look again, for what this agent was woken for and never did.
    }
}

impl Realm {
    /// What stands in the words of locks that this agent has.
    pub(crate) fn owner(&self) -> u32 {
        self.locks.owner(&self.inbox)
    }
}

/// What an object is; nothing for objects of other classes.
///
/// # Safety
/// `object` is an object, and nothing has collected since it was read from a root.
pub(crate) unsafe fn kind_of(object: *mut JSObject) -> Option<Kind> {
    // SAFETY: as the caller answers; such an object's slot holds a small integer.
    unsafe {
        if !ptr::eq(get_object_class(object), &CLASS) {
            return None;
        }
        let mut kind = UndefinedValue();
        glue::JS_GetReservedSlot(object, KIND_SLOT, &mut kind);
        if kind.is_int32() { Kind::of(kind.to_int32()) } else { None }
    }
}

/// An object's view, or its number.
///
/// # Safety
/// As for [`kind_of`]; the object is of [`CLASS`]; the result is rooted before anything collects.
pub(crate) unsafe fn payload_of(object: *mut JSObject) -> JSVal {
    let mut payload = UndefinedValue();
    // SAFETY: as the caller answers.
    unsafe { glue::JS_GetReservedSlot(object, PAYLOAD_SLOT, &mut payload) };
    payload
}

/// Makes an object of a view or a number.
///
/// # Safety
/// `raw` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn make(
    raw: *mut RawJSContext,
    realm: &Realm,
    kind: Kind,
    payload: &RootedGuard<'_, JSVal>,
    out: &mut RootedGuard<'_, *mut JSObject>,
) -> Converted<()> {
    // SAFETY: as the caller answers; the prototype is traced where it lies.
    unsafe {
        if realm.locks.prototypes[kind as usize].get().is_null() {
            // It comes out of a message, before the script has looked for the class.
            realm.run_part(&mut JSContext::from_ptr(NonNull::new_unchecked(raw)), LOCKS)?;
        }
        let object = ja::JS_NewObjectWithGivenProto(raw, &CLASS, realm.locks.prototypes[kind as usize].handle());
        done(!object.is_null())?;
        ja::JS_SetReservedSlot(object, KIND_SLOT, &Int32Value(kind as i32));
        ja::JS_SetReservedSlot(object, PAYLOAD_SLOT, &payload.get());
        out.set(object);
    }
    Ok(())
}

/// A view of the word at `offset` of a `SharedArrayBuffer`.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
pub(crate) unsafe fn view(
    raw: *mut RawJSContext,
    buffer: ja::HandleObject,
    offset: usize,
    out: &mut RootedGuard<'_, JSVal>,
) -> Converted<()> {
    // SAFETY: as the caller answers.
    let view = unsafe { ja::JS_NewInt32ArrayWithBuffer(raw, buffer, offset, 1) };
    done(!view.is_null())?;
    out.set(ObjectValue(view));
    Ok(())
}

/// Writes an object into a clone.
///
/// # Safety
/// Called in the engine's hook for objects that it does not know, with its writer; the object is of `kind`, and rooted.
pub(crate) unsafe fn write(
    raw: *mut RawJSContext,
    writer: *mut JSStructuredCloneWriter,
    kind: Kind,
    object: ja::HandleObject,
) -> bool {
    // SAFETY: as the caller answers.
    unsafe {
        rooted!(in(raw) let payload = payload_of(object.get()));
        let header = ja::JS_WriteUint32PairUnchecked(writer, TAG, kind as u32);
        header
            && match kind {
                Kind::Mutex | Kind::Condition => ja::JS_WriteTypedArray(writer, payload.handle().into()),
                Kind::Local => ja::JS_WriteDouble(writer, payload.to_number()),
            }
    }
}

/// Reads an object from a clone; null if it fails.
///
/// # Safety
/// Called in the engine's hook for tags that it does not know, with its reader, after [`TAG`] was read with `kind`.
pub(crate) unsafe fn read(
    raw: *mut RawJSContext,
    realm: &Realm,
    reader: *mut JSStructuredCloneReader,
    kind: u32,
) -> *mut JSObject {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let Some(kind) = i32::try_from(kind).ok().and_then(Kind::of) else { return ptr::null_mut() };
        rooted!(in(raw) let mut payload = UndefinedValue());
        let mut number = 0.0;
        let worked = match kind {
            Kind::Mutex | Kind::Condition => ja::JS_ReadTypedArray(reader, payload.handle_mut().into()),
            Kind::Local => ja::JS_ReadDouble(reader, &mut number),
        };
        if !worked {
            return ptr::null_mut();
        }
        if kind == Kind::Local {
            payload.set(DoubleValue(number));
        }
        rooted!(in(raw) let mut object = ptr::null_mut::<JSObject>());
        match make(raw, realm, kind, &payload, &mut object) {
            Ok(()) => object.get(),
            Err(Pending) => ptr::null_mut(),
        }
    }
}

/// `locks()`: an object with the natives of locks.
pub(crate) unsafe extern "C" fn locks(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    const NATIVES: [(&CStr, Native, u32); 15] = [
        (c"make", make_new, 1),
        (c"payload", payload, 2),
        (c"prototypes", prototypes, 3),
        (c"owner", owner, 0),
        (c"canBlock", can_block, 0),
        (c"lock", lock_now, 2),
        (c"wake", wake, 1),
        (c"wait", wait, 3),
        (c"notify", notify, 2),
        (c"lockLater", lock_later, 1),
        (c"waitLater", wait_later, 2),
        (c"cancel", cancel, 1),
        (c"waitWord", wait_word, 4),
        (c"waitWordLater", wait_word_later, 3),
        (c"notifyWord", notify_word, 3),
    ];
    native(raw, argc, vp, |_, call| {
        // SAFETY: the context is in the agent's realm; natives are static functions that never unwind.
        unsafe {
            rooted!(in(raw) let table = ja::JS_NewPlainObject(raw));
            done(!table.is_null())?;
            for (name, native, arguments) in NATIVES {
                let function =
                    ja::JS_DefineFunction(raw, table.handle().into(), name.as_ptr(), Some(native), arguments, 0);
                done(!function.is_null())?;
            }
            call.give(ObjectValue(table.get()));
        }
        Ok(())
    })
}

/// `make(kind)`: a new object.
unsafe extern "C" fn make_new(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    static NEXT_LOCAL: AtomicU32 = AtomicU32::new(1);
    native(raw, argc, vp, |_, call| {
        let Some(kind) = Kind::of(call.number(0) as i32) else { return Ok(()) };
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            rooted!(in(raw) let mut payload = DoubleValue(0.0));
            rooted!(in(raw) let mut object = ptr::null_mut::<JSObject>());
            if kind == Kind::Local {
                payload.set(DoubleValue(NEXT_LOCAL.fetch_add(1, Ordering::Relaxed).into()));
            } else {
                rooted!(in(raw) let buffer = ja::NewSharedArrayBuffer(raw, size_of::<u32>()));
                done(!buffer.is_null())?;
                view(raw, buffer.handle().into(), 0, &mut payload)?;
            }
            make(raw, call.realm, kind, &payload, &mut object)?;
            call.give(ObjectValue(object.get()));
        }
        Ok(())
    })
}

/// `payload(object, kind)`: the view or the number; a `TypeError` for what is not of this kind.
unsafe extern "C" fn payload(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(asked) = Kind::of(call.number(1) as i32) else { return Ok(()) };
        // SAFETY: the engine roots arguments.
        unsafe {
            match call.object(0).filter(|object| kind_of(*object) == Some(asked)) {
                Some(object) => call.give(payload_of(object)),
                None => {
                    throw(cx, &format!("not an {}", asked.name()));
                    return Err(Pending);
                }
            }
        }
        Ok(())
    })
}

/// `prototypes(mutex, condition, local)`: what objects made from now on inherit from.
unsafe extern "C" fn prototypes(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        for (at, prototype) in call.realm.locks.prototypes.iter().enumerate() {
            if let Some(object) = call.object(at as u32) {
                prototype.set(object);
            }
        }
        Ok(())
    })
}

/// `owner()`: what stands in the words of locks that this agent has.
unsafe extern "C" fn owner(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.give(Int32Value(call.realm.owner() as i32));
        Ok(())
    })
}

/// `canBlock()`
unsafe extern "C" fn can_block(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.give(BooleanValue(call.realm.options.may_block));
        Ok(())
    })
}

/// The type of a typed array's elements.
///
/// # Safety
/// `object` is an object, and nothing has collected since it was read from a root.
unsafe fn element_type(object: *mut JSObject) -> Option<Scalar> {
    // SAFETY: as the caller answers.
    unsafe { ja::JS_IsTypedArrayObject(object).then(|| ja::JS_GetArrayBufferViewType(object)) }
}

impl Call<'_> {
    /// The word of an argument that is a view of shared memory.
    fn word(&self, at: u32) -> Option<&AtomicU32> {
        let view = self.object(at)?;
        // SAFETY: the engine roots arguments, and the view its buffer, whose memory is shared: it does not move, and is
        // aligned and long enough for the view's one element. Everybody else uses it by atomics, or through the engine.
        unsafe {
            let mut shared = false;
            if element_type(view) != Some(Scalar::Int32) || ja::JS_GetTypedArrayLength(view) == 0 {
                return None;
            }
            let data = ja::JS_GetArrayBufferViewData(view, &mut shared, ptr::null()).cast::<u32>();
            if shared && !data.is_null() { Some(AtomicU32::from_ptr(data)) } else { None }
        }
    }
}

/// Throws what a lock says. A stop throws nothing: nobody can catch it.
fn refused(cx: &mut JSContext, realm: &Realm, error: LockError) -> Pending {
    match error {
        LockError::Stopped | LockError::TimedOut => {}
        LockError::Recursive => throw_exception(cx, realm, "InvalidStateError", "this agent has the lock already"),
        LockError::Abandoned => throw_exception(cx, realm, "OperationError", &error.to_string()),
    }
    Pending
}

/// `lock(cells, milliseconds)`: whether it was to be had in time.
unsafe extern "C" fn lock_now(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(word) = call.word(0) else { return Ok(()) };
        let (me, limit) = (call.realm.owner(), call.number(1));
        let sleeper = Sleeper::Agent(call.realm.inbox.clone());
        let locked = if limit > 0.0 {
            match lock::lock(word, me, &sleeper, sleeper.in_ms(limit)) {
                Err(LockError::TimedOut) => Ok(false),
                other => other.map(|()| true),
            }
        } else {
            lock::try_lock(word, me)
        };
        call.give(BooleanValue(locked.map_err(|error| refused(cx, call.realm, error))?));
        Ok(())
    })
}

/// `wake(cells)`: the lock was given back, and somebody waits.
unsafe extern "C" fn wake(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let Some(word) = call.word(0) {
            lock::wake(word);
        }
        Ok(())
    })
}

/// `wait(condition, cells, milliseconds)`: whether it was notified in time.
unsafe extern "C" fn wait(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let (Some(condition), Some(word)) = (call.word(0), call.word(1)) else { return Ok(()) };
        let sleeper = Sleeper::Agent(call.realm.inbox.clone());
        let until = sleeper.in_ms(call.number(2));
        let notified = lock::wait(condition, word, call.realm.owner(), &sleeper, until);
        call.give(BooleanValue(notified.map_err(|error| refused(cx, call.realm, error))?));
        Ok(())
    })
}

/// `notify(condition, count)`: how many were woken.
unsafe extern "C" fn notify(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let woken = call.word(0).map_or(0, |word| lock::notify(word, call.number(1) as usize));
        call.give(DoubleValue(woken as f64));
        Ok(())
    })
}

/// `lockLater(cells)`: the number of a task that comes when the lock may be free; 0 if it may be so now.
unsafe extern "C" fn lock_later(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        call.give(Int32Value(0));
        let (Some(word), realm) = (call.word(0), call.realm) else { return Ok(()) };
        let Some(parks) = lock::contend_later(word).map_err(|error| refused(cx, realm, error))? else { return Ok(()) };
        let id = realm.locks.next();
        if let Some(waiter) = lot::park_task(Queue::lock(word), &realm.inbox, id, || parks(word)) {
            realm.locks.keep(&realm.inbox, id, waiter);
            call.give(DoubleValue(id.into()));
        }
        Ok(())
    })
}

/// `waitLater(condition, cells)`: gives the lock back; the number of a task that comes when the condition is notified.
unsafe extern "C" fn wait_later(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let (Some(condition), Some(word)) = (call.word(0), call.word(1)) else { return Ok(()) };
        let (realm, queue) = (call.realm, Queue::of(condition.as_ptr().addr()));
        let id = realm.locks.next();
        if let Some(waiter) = lot::park_task(queue, &realm.inbox, id, || true) {
            realm.locks.keep(&realm.inbox, id, waiter);
        }
        lock::unlock(word);
        call.give(DoubleValue(id.into()));
        Ok(())
    })
}

/// `cancel(number)`: waits no more; whether it had not been woken.
unsafe extern "C" fn cancel(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.give(BooleanValue(call.realm.locks.cancel(&call.realm.inbox, call.number(0) as u32)));
        Ok(())
    })
}

/// An element that `Atomics.wait` takes, and where it lies.
struct Element<'a> {
    word: Wide<'a>,
    address: usize,
}

enum Wide<'a> {
    Narrow(&'a AtomicU32),
    Wide(&'a AtomicU64),
}

impl Element<'_> {
    fn holds(&self, expected: i64) -> bool {
        match self.word {
            Wide::Narrow(word) => word.load(Ordering::SeqCst) as i32 as i64 == expected,
            Wide::Wide(word) => word.load(Ordering::SeqCst) as i64 == expected,
        }
    }
}

impl Call<'_> {
    /// The element of a view that is argument `at`, at the index that follows; nothing if the view is not over shared memory.
    fn element(&self, at: u32) -> Option<Element<'_>> {
        let view = self.object(at)?;
        let index = self.number(at + 1) as usize;
        // SAFETY: as in `word`; the index is within the view, whose elements are aligned.
        unsafe {
            let wide = match element_type(view)? {
                Scalar::Int32 => false,
                Scalar::BigInt64 => true,
                _ => return None,
            };
            if index >= ja::JS_GetTypedArrayLength(view) {
                return None;
            }
            let mut shared = false;
            let data = ja::JS_GetArrayBufferViewData(view, &mut shared, ptr::null()).cast::<u8>();
            if !shared || data.is_null() {
                return None;
            }
            let data = data.add(index * if wide { size_of::<u64>() } else { size_of::<u32>() });
            let word = match wide {
                true => Wide::Wide(AtomicU64::from_ptr(data.cast())),
                false => Wide::Narrow(AtomicU32::from_ptr(data.cast())),
            };
            Some(Element { word, address: data.addr() })
        }
    }

    /// A number or a BigInt that fits.
    fn integer(&self, at: u32) -> i64 {
        let value = self.get(at);
        let mut integer = self.number(at) as i64;
        if value.is_bigint() {
            // SAFETY: the engine roots arguments; the call collects nothing.
            unsafe { ja::BigIntIsInt64(value.to_bigint(), &mut integer) };
        }
        integer
    }
}

/// `waitWord(view, index, expected, milliseconds)`: 0 if it was woken, 1 if not in time, 2 if the element is another one.
unsafe extern "C" fn wait_word(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let Some(element) = call.element(0) else { return Ok(()) };
        let (expected, sleeper) = (call.integer(2), Sleeper::Agent(call.realm.inbox.clone()));
        let until = sleeper.in_ms(call.number(3));
        let rest = lot::park(Queue::of(element.address), &sleeper, until, || element.holds(expected), || ());
        call.give(Int32Value(match rest {
            Rest::Woken => 0,
            Rest::TimedOut => 1,
            Rest::Invalid => 2,
            Rest::Stopped => return Err(Pending),
        }));
        Ok(())
    })
}

/// `waitWordLater(view, index, expected)`: the number of a task that comes when the element is notified; 0 if it is another
/// one.
unsafe extern "C" fn wait_word_later(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.give(Int32Value(0));
        let Some(element) = call.element(0) else { return Ok(()) };
        let (realm, expected) = (call.realm, call.integer(2));
        let id = realm.locks.next();
        if let Some(waiter) = lot::park_task(Queue::of(element.address), &realm.inbox, id, || element.holds(expected)) {
            realm.locks.keep(&realm.inbox, id, waiter);
            call.give(DoubleValue(id.into()));
        }
        Ok(())
    })
}

/// `notifyWord(view, index, count)`: how many were woken.
unsafe extern "C" fn notify_word(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let woken = call.element(0).map_or(0, |element| lot::unpark(element.address, call.number(2) as usize));
        call.give(DoubleValue(woken as f64));
        Ok(())
    })
}
