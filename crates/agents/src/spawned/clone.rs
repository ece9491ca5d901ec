//! Structured clone between agents, and the class behind `MessagePort`.
//!
//! A `MessagePort` is an object of [`CLASS`] whose slot holds a [`PortBox`], or nothing once the port was transferred. The
//! prototype, and all that users see, comes from `web.js`.
//!
//! # Rules
//! - Everything is written in same-process scope, and read from memory only: what comes from outside of the process never
//!   gets here.
//! - The engine takes transferables last, after all else was written, one after the other. What could fail then is checked
//!   when it begins, by a [probe](Writing::probe) that stands before a list of several: so all are taken, or none.
//! - A message that transfers is measured before the engine takes anything, by a [rule](Writing::rule) that is written after
//!   the value: one that is too large leaves its sender everything.
//! - What the engine does not know (`DOMException`, `WebAssembly.Module`) is written by hooks; a module lies beside the bytes.
//! - A port's box is owned by one thing at a time: the object's slot, a clone's bytes, or a new object's slot.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{
    CloneDataPolicy, JSClass, JSClassOps, JSObject, JSStructuredCloneCallbacks, JSStructuredCloneReader,
    JSStructuredCloneWriter, StructuredCloneScope, TransferableOwnership,
};
use mozjs::jsval::{JSVal, ObjectValue, PrivateValue, UndefinedValue};
use mozjs::rust::{JSAutoStructuredCloneBufferWrapper, get_object_class};
use mozjs::{glue, rooted};

use super::convert::{Converted, Pending, done};
use super::locks;
use super::message::{Cloned, Packet};
use super::port::{End, PostError, Room};
use super::realm::{Realm, throw_clone_error};
use super::scripts::PORTS;
use super::wasm_module::WasmModule;
use super::{exception, natives};

/// The engine's only version of the format.
pub(crate) const CLONE_VERSION: u32 = 8;
/// Names ports in serialised data: the first number that the engine leaves to hosts.
const PORT_TAG: u32 = 0xFFFF_8001;
/// Names a probe, which carries nothing.
const PROBE_TAG: u32 = 0xFFFF_8002;
/// Names a rule, which carries nothing.
const RULE_TAG: u32 = 0xFFFF_8003;
/// Names a module; its data is the module's number in the message.
const MODULE_TAG: u32 = 0xFFFF_8004;
/// What the engine writes after a rule's object was seen: the rule, and the end of the list.
const RULE_BYTES: u64 = 16;
/// Bytes of a message that is nothing but a buffer that it transfers, without the buffer, at most.
const SOLE_BYTES: u64 = 64;

static SHARED: CloneDataPolicy =
    CloneDataPolicy { allowIntraClusterClonableSharedObjects_: true, allowSharedMemoryObjects_: true };
pub(crate) static UNSHARED: CloneDataPolicy =
    CloneDataPolicy { allowIntraClusterClonableSharedObjects_: false, allowSharedMemoryObjects_: false };

static CALLBACKS: JSStructuredCloneCallbacks = JSStructuredCloneCallbacks {
    read: Some(read_other),
    write: Some(write_other),
    reportError: Some(report),
    readTransfer: Some(read_transfer),
    writeTransfer: Some(write_transfer),
    freeTransfer: Some(free_transfer),
    canTransfer: Some(can_transfer),
    sabCloned: None,
};

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
    name: c"MessagePort".as_ptr(),
    flags: ja::JSCLASS_FOREGROUND_FINALIZE | (1 << ja::JSCLASS_RESERVED_SLOTS_SHIFT),
    cOps: &OPERATIONS,
    spec: ptr::null(),
    ext: ptr::null(),
    oOps: ptr::null(),
};

/// What a `MessagePort` owns.
pub(crate) struct PortBox {
    pub(crate) end: End,
    /// Names the port in its agent's tasks; never used again.
    pub(crate) id: u64,
    /// A closed port cannot be transferred.
    pub(crate) closed: Cell<bool>,
}

impl PortBox {
    fn new(end: End) -> Box<PortBox> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Box::new(PortBox { end, id: NEXT.fetch_add(1, Ordering::Relaxed), closed: Cell::new(false) })
    }
}

/// Whether an object is a `MessagePort`, transferred or not.
///
/// # Safety
/// `object` is an object, and nothing has collected since it was read from a root.
pub(crate) unsafe fn is_port(object: *mut JSObject) -> bool {
    // SAFETY: as the caller answers.
    unsafe { ptr::eq(get_object_class(object), &CLASS) }
}

/// What a port owns; nothing for other objects, and for ports that were transferred.
///
/// # Safety
/// As for [`is_port`]; the result is not used after the object was collected or transferred.
pub(crate) unsafe fn port_of<'a>(object: *mut JSObject) -> Option<&'a PortBox> {
    // SAFETY: as the caller answers; the slot of such an object is undefined, or what `make_port` put there.
    unsafe {
        if !is_port(object) {
            return None;
        }
        let mut slot = UndefinedValue();
        glue::JS_GetReservedSlot(object, 0, &mut slot);
        if slot.is_undefined() { None } else { slot.to_private().cast::<PortBox>().as_ref() }
    }
}

/// Takes what a port owns.
///
/// # Safety
/// As for [`port_of`]; no reference to the box is in use.
pub(crate) unsafe fn take_port(object: *mut JSObject) -> Option<Box<PortBox>> {
    // SAFETY: as the caller answers; the box came from `Box::into_raw`, and the slot forgets it.
    unsafe {
        let known: *const PortBox = port_of(object)?;
        ja::JS_SetReservedSlot(object, 0, &UndefinedValue());
        Some(Box::from_raw(known.cast_mut()))
    }
}

/// Gives a port another end.
///
/// # Safety
/// As for [`take_port`]; the port was not transferred.
pub(crate) unsafe fn give_end(object: *mut JSObject, end: End) {
    // SAFETY: as the caller answers; the slot owns the box from here on.
    unsafe {
        drop(take_port(object));
        ja::JS_SetReservedSlot(object, 0, &PrivateValue(Box::into_raw(PortBox::new(end)).cast()));
    }
}

/// Makes a `MessagePort` of an end.
///
/// # Safety
/// `raw` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn make_port(
    raw: *mut RawJSContext,
    realm: &Realm,
    end: End,
    out: &mut RootedGuard<'_, *mut JSObject>,
) -> Converted<()> {
    // SAFETY: as the caller answers; the prototype is traced where it lies. The slot owns the box from here on.
    unsafe {
        let object = ja::JS_NewObjectWithGivenProto(raw, &CLASS, realm.port_prototype());
        done(!object.is_null())?;
        out.set(object);
        let port = Box::into_raw(PortBox::new(end));
        ja::JS_SetReservedSlot(object, 0, &PrivateValue(port.cast()));
    }
    Ok(())
}

unsafe extern "C" fn finalize(_: *mut ja::GCContext, object: *mut JSObject) {
    // Whoever watches the other end is told: no panic of theirs may enter the engine.
    // SAFETY: called by the engine, once, on the thread that owns the object. Dropping an end locks, but calls no engine.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { take_port(object) })));
}

/// What the callbacks of one write know.
struct Writing {
    /// The port that posts, which cannot be transferred through itself; 0 for none.
    source: u64,
    channels: Vec<usize>,
    /// Where the object is rooted whose turn to be transferred comes first.
    probe: *const *mut JSObject,
    /// Where the transfer list is rooted.
    list: *const *mut JSObject,
    /// Where the object is rooted that is written last, and where the message goes: then its size is known.
    rule: *const *mut JSObject,
    room: Option<Room>,
    /// Bytes that it transfers.
    moved: u64,
    /// Bytes of the message, once they were measured.
    measured: Option<u64>,
    modules: Vec<WasmModule>,
}

impl Writing {
    /// Writes the rule, if there is room for what was written before it.
    ///
    /// # Safety
    /// Called by the engine during the write, with its writer.
    unsafe fn measure(&mut self, cx: &mut JSContext, realm: &Realm, writer: *mut JSStructuredCloneWriter) -> bool {
        // SAFETY: as the caller answers.
        unsafe {
            self.measured = written_bytes(cx, writer).map(|bytes| bytes + RULE_BYTES + self.moved);
            match self.room.as_ref().zip(self.measured).map(|(room, bytes)| room.check(bytes)) {
                None | Some(Ok(()) | Err(PostError::Closed)) => ja::JS_WriteUint32PairUnchecked(writer, RULE_TAG, 0),
                Some(Err(error)) => natives::refuse(cx, realm, &error).is_ok(),
            }
        }
    }
}

/// Bytes that a writer has written.
///
/// The engine has no function that tells. Its writer begins with its output: the context, then the data. The context is
/// compared; were it another, the size would be found out only after the transfer.
///
/// # Safety
/// The writer is one of this context, in use.
unsafe fn written_bytes(cx: &mut JSContext, writer: *mut JSStructuredCloneWriter) -> Option<u64> {
    #[repr(C)]
    struct Output {
        context: *mut RawJSContext,
        data: ja::JSStructuredCloneData,
    }
    let output = writer.cast::<Output>();
    // SAFETY: the writer is larger than this and its first word can be read; the data is looked at only if that word is the
    // context, as in every build of this engine. The function only reads it.
    unsafe {
        let known = (&raw const (*output).context).read() == cx.raw_cx();
        known.then(|| glue::GetLengthOfJSStructuredCloneData(&raw mut (*output).data) as u64)
    }
}

/// Serialises a value and takes what `transfer` (an array, or undefined) lists.
///
/// # Safety
/// `cx` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn write(
    cx: &mut JSContext,
    realm: &Realm,
    value: &RootedGuard<'_, JSVal>,
    transfer: &RootedGuard<'_, JSVal>,
    source: Option<&PortBox>,
) -> Converted<Packet> {
    let scope = StructuredCloneScope::SameProcess;
    // SAFETY: as the caller answers; tables are static, values rooted, and `writing` outlives the call.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let list = if transfer.is_object() { transfer.to_object() } else { ptr::null_mut() });
        rooted!(in(raw) let mut probe = ptr::null_mut::<JSObject>());
        rooted!(in(raw) let mut probed = transfer.get());
        rooted!(in(raw) let mut rule = ptr::null_mut::<JSObject>());
        rooted!(in(raw) let mut written = value.get());
        let (mut moved, mut room) = (0, None);
        if !list.is_null() {
            moved = moved_bytes(raw, transfer)?;
            check_transfer(cx, realm, list.handle().into())?;
            let mut length = 0;
            done(ja::GetArrayLength(raw, list.handle().into(), &mut length))?;
            if length > 1 {
                probe.set(ja::JS_NewObjectWithGivenProto(raw, &CLASS, realm.port_prototype()));
                done(!probe.is_null())?;
                probed.set(ObjectValue(after(raw, probe.handle().into(), list.handle().into(), length)?));
            }
            if let Some(source) = source.filter(|_| length == 1)
                && is_sole(raw, value, list.handle().into())?
            {
                // Its size is known before.
                match source.end.room().check(moved + SOLE_BYTES) {
                    Ok(()) | Err(PostError::Closed) => {}
                    Err(error) => return natives::refuse(cx, realm, &error).and(Err(Pending)),
                }
            } else if length > 0
                && let Some(source) = source
            {
                room = Some(source.end.room());
                rule.set(ja::JS_NewObjectWithGivenProto(raw, &CLASS, realm.port_prototype()));
                done(!rule.is_null())?;
                rooted!(in(raw) let pair = ja::NewArrayObject1(raw, 2));
                done(!pair.is_null())?;
                let flags = ja::JSPROP_ENUMERATE as u32;
                done(ja::JS_DefineElement(raw, pair.handle().into(), 0, value.handle().into(), flags))?;
                done(ja::JS_DefineElement2(raw, pair.handle().into(), 1, rule.handle().into(), flags))?;
                written.set(ObjectValue(pair.get()));
            }
        }
        let wrapped = !rule.is_null();
        let mut writing = Writing {
            source: source.map_or(0, |source| source.id),
            channels: Vec::new(),
            probe: &raw const *probe,
            list: &raw const *list,
            rule: &raw const *rule,
            room,
            moved,
            measured: None,
            modules: Vec::new(),
        };
        let buffer = JSAutoStructuredCloneBufferWrapper::new(scope, &CALLBACKS);
        let data = &raw mut (*buffer.as_raw_ptr()).data_;
        let policy = if realm.shares_memory() { &SHARED } else { &UNSHARED };
        let worked = ja::JS_WriteStructuredClone(
            raw,
            written.handle().into(),
            data,
            scope,
            policy,
            &CALLBACKS,
            (&raw mut writing).cast(),
            probed.handle().into(),
        );
        done(worked)?;
        // The engine keeps the closure for `freeTransfer`, which does not use it; but it must not dangle.
        (*data).closure_ = ptr::null_mut();
        let bytes = writing.measured.unwrap_or_else(|| glue::GetLengthOfJSStructuredCloneData(data) as u64 + moved);
        let Writing { channels, modules, .. } = writing;
        Ok(Packet::cloned(Cloned { buffer, channels, modules, wrapped }, bytes))
    }
}

/// Whether a value is the buffer that the list transfers first.
///
/// # Safety
/// `raw` is this thread's context, in a realm; the list is an array without getters, and not empty.
unsafe fn is_sole(raw: *mut RawJSContext, value: &RootedGuard<'_, JSVal>, list: ja::HandleObject) -> Converted<bool> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        rooted!(in(raw) let mut first = UndefinedValue());
        done(ja::JS_GetElement(raw, list, 0, first.handle_mut().into()))?;
        let both = value.is_object() && first.is_object();
        Ok(both && ptr::eq(value.to_object(), first.to_object()) && ja::IsArrayBufferObject(value.to_object()))
    }
}

/// Puts an array of the same elements in the place of a transfer list, so that reading it runs nobody's code any more. What
/// is no object stays.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
pub(crate) unsafe fn own_list(raw: *mut RawJSContext, list: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
    if !list.is_object() {
        return Ok(());
    }
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        rooted!(in(raw) let given = list.to_object());
        rooted!(in(raw) let own = ja::NewArrayObject1(raw, 0));
        done(!own.is_null())?;
        let mut length = 0;
        done(ja::GetArrayLength(raw, given.handle().into(), &mut length))?;
        rooted!(in(raw) let mut item = UndefinedValue());
        for at in 0..length {
            done(ja::JS_GetElement(raw, given.handle().into(), at, item.handle_mut().into()))?;
            let flags = ja::JSPROP_ENUMERATE as u32;
            done(ja::JS_DefineElement(raw, own.handle().into(), at, item.handle().into(), flags))?;
        }
        list.set(ObjectValue(own.get()));
    }
    Ok(())
}

/// A list that begins with `first`; not rooted.
///
/// # Safety
/// `raw` is this thread's context, in a realm; `rest` is an array of `length` elements without getters.
unsafe fn after(
    raw: *mut RawJSContext,
    first: ja::HandleObject,
    rest: ja::HandleObject,
    length: u32,
) -> Converted<*mut JSObject> {
    let flags = ja::JSPROP_ENUMERATE as u32;
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        rooted!(in(raw) let list = ja::NewArrayObject1(raw, length as usize + 1));
        done(!list.is_null())?;
        done(ja::JS_DefineElement2(raw, list.handle().into(), 0, first, flags))?;
        rooted!(in(raw) let mut item = UndefinedValue());
        for at in 0..length {
            done(ja::JS_GetElement(raw, rest, at, item.handle_mut().into()))?;
            done(ja::JS_DefineElement(raw, list.handle().into(), at + 1, item.handle().into(), flags))?;
        }
        Ok(list.get())
    }
}

/// Checks what the engine would find wrong with a transfer list only after it took a part of it.
///
/// # Safety
/// `cx` is this thread's context, in the realm of `realm`; the list is an array without getters.
unsafe fn check_transfer(cx: &mut JSContext, realm: &Realm, list: ja::HandleObject) -> Converted<()> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut item = UndefinedValue());
        let mut length = 0;
        done(ja::GetArrayLength(raw, list, &mut length))?;
        for at in 0..length {
            done(ja::JS_GetElement(raw, list, at, item.handle_mut().into()))?;
            if !item.is_object() {
                continue;
            }
            rooted!(in(raw) let object = item.to_object());
            let mut bound = false;
            let wrong = if is_port(object.get()) {
                let open = port_of(object.get()).is_some_and(|port| !port.closed.get());
                (!open).then_some("a port in the transfer list is closed or was transferred")
            } else if !ja::IsArrayBufferObject(object.get()) {
                None
            } else if ja::IsDetachedArrayBufferObject(object.get()) {
                Some("a buffer in the transfer list is detached")
            } else {
                done(ja::HasDefinedArrayBufferDetachKey(raw, object.handle().into(), &mut bound))?;
                bound.then_some("the buffer of a WebAssembly memory cannot be transferred")
            };
            if let Some(wrong) = wrong {
                throw_clone_error(cx, realm, wrong);
                return Err(Pending);
            }
        }
    }
    Ok(())
}

/// Bytes that a transfer list moves.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
pub(crate) unsafe fn moved_bytes(raw: *mut RawJSContext, transfer: &RootedGuard<'_, JSVal>) -> Converted<u64> {
    let mut bytes = 0;
    if !transfer.is_object() {
        return Ok(0);
    }
    // SAFETY: as the caller answers; the list is an array of `web.js`, without getters.
    unsafe {
        rooted!(in(raw) let list = transfer.to_object());
        rooted!(in(raw) let mut item = UndefinedValue());
        let mut length = 0;
        done(ja::GetArrayLength(raw, list.handle().into(), &mut length))?;
        for at in 0..length {
            done(ja::JS_GetElement(raw, list.handle().into(), at, item.handle_mut().into()))?;
            if item.is_object() && ja::IsArrayBufferObject(item.to_object()) {
                bytes += ja::GetArrayBufferByteLength(item.to_object()) as u64;
            }
        }
    }
    Ok(bytes)
}

/// Reads a clone. `ports` becomes an array of the ports that came with it.
///
/// # Safety
/// `cx` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn read(
    cx: &mut JSContext,
    realm: &Realm,
    cloned: &Cloned,
    value: &mut RootedGuard<'_, JSVal>,
    ports: &mut RootedGuard<'_, JSVal>,
) -> Converted<()> {
    // SAFETY: as the caller answers. The data was written by this process, and nobody else reads it meanwhile.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let list = ja::NewArrayObject1(raw, 0));
        done(!list.is_null())?;
        // The callbacks root through this address, which the root keeps current.
        let mut reading = ReadingRoot { list: &raw const *list, count: 0, modules: &raw const cloned.modules };
        let policy = if realm.shares_memory() { &SHARED } else { &UNSHARED };
        let worked = ja::JS_ReadStructuredClone(
            raw,
            &raw const (*cloned.buffer.as_raw_ptr()).data_,
            CLONE_VERSION,
            StructuredCloneScope::SameProcess,
            value.handle_mut().into(),
            policy,
            &CALLBACKS,
            (&raw mut reading).cast(),
        );
        ports.set(ObjectValue(list.get()));
        done(worked)?;
        if cloned.wrapped {
            rooted!(in(raw) let pair = value.to_object());
            done(ja::JS_GetElement(raw, pair.handle().into(), 0, value.handle_mut().into()))?;
        }
        Ok(())
    }
}

/// What the callbacks of one read know: where the array of ports is rooted, and the message's modules.
struct ReadingRoot {
    list: *const *mut JSObject,
    count: u32,
    modules: *const Vec<WasmModule>,
}

/// Runs a callback of the engine's. No panic may enter the engine: it fails the callback instead.
pub(crate) fn guarded(raw: *mut RawJSContext, body: impl FnOnce(&mut JSContext, &Realm) -> bool) -> bool {
    crate::agent::guarded(raw, |cx| {
        // SAFETY: the engine calls back on the agent's thread, while the realm lives.
        match unsafe { Realm::here() } {
            Some(realm) => body(cx, realm),
            None => false,
        }
    })
}

unsafe extern "C" fn write_other(
    raw: *mut RawJSContext,
    writer: *mut JSStructuredCloneWriter,
    object: ja::HandleObject,
    _: *mut bool,
    closure: *mut c_void,
) -> bool {
    guarded(raw, |cx, realm| {
        // SAFETY: called by the engine during `write`, whose `writing` the closure is; its handle is rooted.
        unsafe {
            let Some(writing) = closure.cast::<Writing>().as_mut() else { return false };
            if object.get() == *writing.rule {
                return writing.measure(cx, realm, writer);
            }
            if let Some(kind) = locks::kind_of(object.get()) {
                return locks::write(raw, writer, kind, object);
            }
            if let Some(written) = exception::write(cx, writer, object) {
                return written;
            }
            if let Some(module) = WasmModule::of(object) {
                writing.modules.push(module);
                return ja::JS_WriteUint32PairUnchecked(writer, MODULE_TAG, writing.modules.len() as u32 - 1);
            }
        }
        refuse_object(cx, realm, object);
        false
    })
}

/// Throws what is wrong with an object that no clone can hold.
pub(crate) fn refuse_object(cx: &mut JSContext, realm: &Realm, object: ja::HandleObject) {
    // SAFETY: the engine's handle is rooted.
    let what = match unsafe { (is_port(object.get()), ja::IsCallable(object.get())) } {
        (true, _) => "a MessagePort can only be transferred: it must be in the transfer list",
        (_, true) => "a function cannot be cloned",
        _ => "an object of this kind cannot be cloned",
    };
    throw_clone_error(cx, realm, what);
}

unsafe extern "C" fn read_other(
    raw: *mut RawJSContext,
    reader: *mut JSStructuredCloneReader,
    _: *const CloneDataPolicy,
    tag: u32,
    data: u32,
    closure: *mut c_void,
) -> *mut JSObject {
    let mut object = ptr::null_mut();
    guarded(raw, |cx, realm| {
        // SAFETY: called by the engine during `read`, whose `reading` the closure is, in the agent's realm. The object is
        // handed to the engine before anything can collect.
        object = unsafe {
            match tag {
                exception::TAG => exception::read(cx, realm, reader),
                locks::TAG => locks::read(raw, realm, reader, data),
                RULE_TAG => ja::JS_NewPlainObject(raw),
                MODULE_TAG => {
                    let modules = closure.cast::<ReadingRoot>().as_ref().and_then(|reading| reading.modules.as_ref());
                    let module = modules.and_then(|modules| modules.get(data as usize));
                    module.map_or(ptr::null_mut(), |module| module.object(cx))
                }
                _ => ptr::null_mut(),
            }
        };
        !object.is_null()
    });
    object
}

pub(crate) unsafe extern "C" fn report(raw: *mut RawJSContext, error: u32, _: *mut c_void, message: *const c_char) {
    guarded(raw, |cx, realm| {
        let what = match error {
            ja::JS_SCERR_TRANSFERABLE => "an object in the transfer list cannot be transferred",
            ja::JS_SCERR_DUP_TRANSFERABLE => "an object is in the transfer list twice",
            ja::JS_SCERR_SHMEM_TRANSFERABLE => "shared memory is cloned, not transferred",
            ja::JS_SCERR_TYPED_ARRAY_DETACHED => "a buffer is detached",
            ja::JS_SCERR_WASM_NO_TRANSFER => "the buffer of a WebAssembly memory cannot be transferred",
            ja::JS_SCERR_RECURSION => "it nests too deep",
            ja::JS_SCERR_NOT_CLONABLE | ja::JS_SCERR_NOT_CLONABLE_WITH_COOP_COEP => {
                "shared memory cannot leave this agent"
            }
            _ => "it cannot be cloned",
        };
        if message.is_null() {
            throw_clone_error(cx, realm, what);
        } else {
            // SAFETY: the engine's text ends with a NUL.
            let more = unsafe { CStr::from_ptr(message) }.to_string_lossy();
            throw_clone_error(cx, realm, &format!("{what}: {more}"));
        }
        true
    });
}

unsafe extern "C" fn can_transfer(
    raw: *mut RawJSContext,
    object: ja::Handle<*mut JSObject>,
    same_process: *mut bool,
    closure: *mut c_void,
) -> bool {
    guarded(raw, |_, _| {
        // SAFETY: called by the engine during `write`, whose `writing` the closure is; the handle is rooted.
        unsafe {
            *same_process = true;
            let Some(writing) = closure.cast::<Writing>().as_ref() else { return false };
            let port = port_of(object.get());
            object.get() == *writing.probe || port.is_some_and(|port| !port.closed.get() && port.id != writing.source)
        }
    })
}

unsafe extern "C" fn write_transfer(
    raw: *mut RawJSContext,
    object: ja::Handle<*mut JSObject>,
    closure: *mut c_void,
    tag: *mut u32,
    ownership: *mut TransferableOwnership,
    content: *mut *mut c_void,
    extra: *mut u64,
) -> bool {
    guarded(raw, |cx, realm| {
        // SAFETY: called by the engine during `write`, whose `writing` the closure is, with valid places to write to. No
        // script runs from here on until the list is taken.
        unsafe {
            let Some(writing) = closure.cast::<Writing>().as_mut() else { return false };
            if object.get() == *writing.probe {
                *tag = PROBE_TAG;
                *ownership = TransferableOwnership::SCTAG_TMO_CUSTOM;
                *content = ptr::null_mut();
                *extra = 0;
                return check_transfer(cx, realm, ja::Handle::from_marked_location(writing.list)).is_ok();
            }
            let Some(port) = take_port(object.get()) else { return false };
            realm.forget_port(&port);
            writing.channels.push(port.end.channel().addr());
            *tag = PORT_TAG;
            *ownership = TransferableOwnership::SCTAG_TMO_CUSTOM;
            *content = Box::into_raw(port).cast();
            *extra = 0;
            true
        }
    })
}

unsafe extern "C" fn read_transfer(
    raw: *mut RawJSContext,
    _: *mut JSStructuredCloneReader,
    _: *const CloneDataPolicy,
    tag: u32,
    content: *mut c_void,
    _: u64,
    closure: *mut c_void,
    out: ja::MutableHandleObject,
) -> bool {
    guarded(raw, |cx, realm| {
        if tag == PROBE_TAG {
            // SAFETY: called by the engine in the agent's realm, with a valid place to write to.
            unsafe {
                *out.ptr = ja::JS_NewPlainObject(raw);
                return !(*out.ptr).is_null();
            }
        }
        if tag != PORT_TAG || content.is_null() {
            return false;
        }
        // SAFETY: called by the engine during `read`, whose `reading` the closure is. The content is the box that
        // `write_transfer` gave. The engine frees it if this fails, so the object owns it only once nothing can.
        unsafe {
            let Some(reading) = closure.cast::<ReadingRoot>().as_mut() else { return false };
            if realm.run_part(cx, PORTS).is_err() {
                return false;
            }
            rooted!(in(raw) let object = ja::JS_NewObjectWithGivenProto(raw, &CLASS, realm.port_prototype()));
            if object.is_null() {
                return false;
            }
            let list = ja::Handle::from_marked_location(reading.list);
            let flags = ja::JSPROP_ENUMERATE as u32;
            if !ja::JS_DefineElement2(raw, list, reading.count, object.handle().into(), flags) {
                return false;
            }
            reading.count += 1;
            ja::JS_SetReservedSlot(object.get(), 0, &PrivateValue(content.cast_const()));
            *out.ptr = object.get();
            true
        }
    })
}

unsafe extern "C" fn free_transfer(tag: u32, _: TransferableOwnership, content: *mut c_void, _: u64, _: *mut c_void) {
    if tag == PORT_TAG
        && let Some(content) = NonNull::new(content)
    {
        // As in `finalize`.
        // SAFETY: the box that `write_transfer` gave, which nobody read. Dropping it calls no engine.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(content.cast::<PortBox>().as_ptr()) })));
    }
}

/// Forgets the pending exception; `false` if there is none, as the agent was terminated.
pub(crate) fn forgive(cx: &mut JSContext) -> bool {
    // SAFETY: the context is alive.
    unsafe {
        let pending = ja::JS_IsExceptionPending(cx.raw_cx());
        ja::JS_ClearPendingException(cx.raw_cx());
        pending
    }
}
