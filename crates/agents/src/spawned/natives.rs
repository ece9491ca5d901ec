//! What `web.js` can ask of Rust.
//!
//! Only `web.js` has these functions; it checks arguments and gives them what they expect. A wrong argument gives nothing.

use std::ffi::CStr;
use std::ptr::{self, NonNull};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::conversions::jsstr_to_string;
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{CallArgs, Heap, JSObject, JSProtoKey, Value as RawValue};
use mozjs::jsval::{BooleanValue, DoubleValue, Int32Value, JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;

use super::clone::{self, PortBox, is_port, make_port, port_of, take_port};
use super::convert::{Converted, Pending, done, from_js, to_js};
use super::event_loop::Form;
use super::inbox::Task;
use super::message::{Content, Packet};
use super::port::{End, PostError, Refused};
use super::realm::{Phase, Realm, throw_exception};
use super::scripts::{PORTS, Part};
use super::value::Value;
use super::{Thrown, broadcast, encoding, event_loop, exception, foreign, loader, url};
use crate::agent::guarded;
use crate::console::Level;

pub(crate) type Native = unsafe extern "C" fn(*mut RawJSContext, u32, *mut RawValue) -> bool;

/// An object with all natives.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
pub(crate) unsafe fn table(raw: *mut RawJSContext, out: &mut RootedGuard<'_, *mut JSObject>) -> Converted<()> {
    const NATIVES: [(&CStr, Native, u32); 24] = [
        (c"inspect", inspect, 0),
        (c"print", print, 2),
        (c"now", now, 0),
        (c"setTimer", set_timer, 2),
        (c"clearTimer", clear_timer, 1),
        (c"channel", channel, 0),
        (c"isPort", is_a_port, 1),
        (c"post", post, 3),
        (c"clone", clone_value, 2),
        (c"listen", listen, 1),
        (c"unlisten", unlisten, 1),
        (c"closePort", close_port, 1),
        (c"receive", receive, 1),
        (c"settle", settle, 3),
        (c"started", started, 2),
        (c"uncaught", uncaught, 3),
        (c"close", close, 0),
        (c"spawn", spawn, 5),
        (c"terminate", terminate, 1),
        (c"cores", cores, 0),
        (c"locks", super::locks::locks, 0),
        (c"seed", seed, 0),
        (c"part", part, 1),
        (c"prototype", prototype, 2),
    ];
    // SAFETY: as the caller answers.
    unsafe {
        define(raw, &NATIVES, out)?;
        for others in
            [&encoding::NATIVES[..], &url::NATIVES, &broadcast::NATIVES, &exception::NATIVES, &loader::NATIVES]
        {
            add(raw, others, out)?;
        }
        super::node::define(raw, out)?;
        // The engine's own, whatever a script has put in its place: handlers are given what is ours.
        rooted!(in(raw) let mut proxy = ptr::null_mut::<JSObject>());
        done(ja::JS_GetClassObject(raw, JSProtoKey::JSProto_Proxy, proxy.handle_mut().into()))?;
        done(ja::JS_DefineProperty3(raw, out.handle().into(), c"Proxy".as_ptr(), proxy.handle().into(), 0))
    }
}

/// An object with some natives: name, function, number of arguments.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
pub(super) unsafe fn define(
    raw: *mut RawJSContext,
    natives: &[(&CStr, Native, u32)],
    out: &mut RootedGuard<'_, *mut JSObject>,
) -> Converted<()> {
    // SAFETY: as the caller answers.
    unsafe {
        out.set(ja::JS_NewPlainObject(raw));
        done(!out.is_null())?;
        add(raw, natives, out)
    }
}

/// # Safety
/// As for [`define`].
unsafe fn add(
    raw: *mut RawJSContext,
    natives: &[(&CStr, Native, u32)],
    to: &RootedGuard<'_, *mut JSObject>,
) -> Converted<()> {
    for (name, native, arguments) in natives {
        // SAFETY: as the caller answers; natives are static functions that never unwind.
        let function =
            unsafe { ja::JS_DefineFunction(raw, to.handle().into(), name.as_ptr(), Some(*native), *arguments, 0) };
        done(!function.is_null())?;
    }
    Ok(())
}

/// A native's call.
pub(crate) struct Call<'a> {
    pub(crate) realm: &'a Realm,
    arguments: CallArgs,
}

impl Call<'_> {
    pub(crate) fn get(&self, at: u32) -> JSVal {
        self.arguments.get(at).get()
    }

    pub(crate) fn object(&self, at: u32) -> Option<*mut JSObject> {
        let value = self.get(at);
        value.is_object().then(|| value.to_object())
    }

    pub(crate) fn number(&self, at: u32) -> f64 {
        let value = self.get(at);
        if value.is_int32() {
            return value.to_int32().into();
        }
        if value.is_double() { value.to_double() } else { 0.0 }
    }

    pub(crate) fn is_true(&self, at: u32) -> bool {
        let value = self.get(at);
        value.is_boolean() && value.to_boolean()
    }

    pub(crate) fn text(&self, cx: &JSContext, at: u32) -> String {
        let value = self.get(at);
        if !value.is_string() {
            return String::new();
        }
        // SAFETY: the engine roots arguments; nothing collects in between.
        unsafe { NonNull::new(value.to_string()).map(|text| jsstr_to_string(cx, text)).unwrap_or_default() }
    }

    pub(crate) fn port(&self, at: u32) -> Option<&PortBox> {
        // SAFETY: the engine roots arguments.
        self.object(at).and_then(|object| unsafe { port_of(object) })
    }

    pub(crate) fn give(&self, value: JSVal) {
        self.arguments.rval().set(value);
    }
}

/// Runs a native's body; a panic or no realm is an exception.
pub(crate) fn native(
    raw: *mut RawJSContext,
    argc: u32,
    vp: *mut RawValue,
    body: impl FnOnce(&mut JSContext, &Call<'_>) -> Converted<()>,
) -> bool {
    guarded(raw, |cx| {
        // SAFETY: the engine calls natives with their arguments, on the agent's thread and in its realm.
        let (arguments, realm) = unsafe { (CallArgs::from_vp(vp, argc), Realm::here()) };
        arguments.rval().set(UndefinedValue());
        match realm {
            Some(realm) => body(cx, &Call { realm, arguments }).is_ok(),
            None => {
                crate::agent::throw(cx, "no agent runs here");
                false
            }
        }
    })
}

/// `part(name)`: runs a part of the web's scripts that has not run yet; whether it did.
unsafe extern "C" fn part(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        // SAFETY: the context is in the agent's realm.
        let ran = Part::place(&call.text(cx, 0)).map_or(Ok(false), |at| unsafe { call.realm.run_part(cx, at) })?;
        call.give(BooleanValue(ran));
        Ok(())
    })
}

/// `prototype(which, prototype)`: of ports (0) or of exceptions (1).
unsafe extern "C" fn prototype(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let Some(prototype) = call.object(1) {
            call.realm.keep_prototype(call.number(0) == 1.0, prototype);
        }
        Ok(())
    })
}

/// `print(level, text)`
unsafe extern "C" fn print(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let level = Level::from_index(call.number(0) as i32);
        call.realm.shared.console.print(level, &call.text(cx, 1));
        Ok(())
    })
}

/// `inspect()`: what `inspect.js` evaluates to.
unsafe extern "C" fn inspect(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let mut inspector = UndefinedValue());
        // SAFETY: the context is in the agent's realm.
        unsafe { call.realm.inspector(cx, &mut inspector)? };
        call.give(inspector.get());
        Ok(())
    })
}

/// `now()`: milliseconds since the agent was spawned.
unsafe extern "C" fn now(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.give(call.realm.now_ms());
        Ok(())
    })
}

/// `cores()`
unsafe extern "C" fn cores(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        call.give(DoubleValue(cores as f64));
        Ok(())
    })
}

/// `seed()`: four words of the agent's own, in a deterministic cluster.
unsafe extern "C" fn seed(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let Some(seat) = call.realm.inbox.seat() else { return Ok(()) };
        let (one, other) = seat.seed();
        let words = [one as i32, (one >> 32) as i32, other as i32, (other >> 32) as i32].map(Int32Value);
        // SAFETY: the context is in the agent's realm; what is in the list needs no root.
        unsafe {
            let contents = ja::HandleValueArray { length_: words.len(), elements_: words.as_ptr() };
            rooted!(in(raw) let list = ja::NewArrayObject(raw, &contents));
            done(!list.is_null())?;
            call.give(ObjectValue(list.get()));
        }
        Ok(())
    })
}

/// `setTimer(id, milliseconds)`
pub(super) unsafe extern "C" fn set_timer(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let (id, delay) = (call.number(0) as u32, call.number(1));
        // A cast saturates, and takes what is no number for 0.
        if let Ok(due) = call.realm.inbox.push_in((delay * 1e6) as u64, Task::Timer(id)) {
            call.realm.timers.borrow_mut().insert(id, due);
        }
        Ok(())
    })
}

/// `clearTimer(id)`
unsafe extern "C" fn clear_timer(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let due = call.realm.timers.borrow_mut().remove(&(call.number(0) as u32));
        if let Some(due) = due {
            call.realm.inbox.cancel(due);
        }
        Ok(())
    })
}

/// `channel()`: two entangled ports.
unsafe extern "C" fn channel(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let (one, other) = End::pair(call.realm.options.ports);
        rooted!(in(raw) let mut port = ptr::null_mut::<JSObject>());
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            rooted!(in(raw) let list = ja::NewArrayObject1(raw, 2));
            done(!list.is_null())?;
            for (at, end) in [one, other].into_iter().enumerate() {
                make_port(raw, call.realm, end, &mut port)?;
                let flags = ja::JSPROP_ENUMERATE as u32;
                done(ja::JS_DefineElement2(raw, list.handle().into(), at as u32, port.handle().into(), flags))?;
            }
            call.give(ObjectValue(list.get()));
        }
        Ok(())
    })
}

/// `isPort(value)`
unsafe extern "C" fn is_a_port(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        // SAFETY: the engine roots arguments.
        let answer = call.object(0).is_some_and(|object| unsafe { is_port(object) });
        call.give(BooleanValue(answer));
        Ok(())
    })
}

/// `post(port, value, transfer)`: to a port that was closed or transferred, nothing but the transfer happens.
unsafe extern "C" fn post(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let value = call.get(1));
        rooted!(in(raw) let mut transfer = call.get(2));
        // SAFETY: the context is in the agent's realm. The port is an argument, which the engine roots. Its box stays until
        // the value is written, as reading a list of our own runs no script; after that it is asked for again.
        unsafe {
            clone::own_list(raw, &mut transfer)?;
            let Some(port) = call.port(0) else {
                return clone::write(cx, call.realm, &value, &transfer, None).map(drop);
            };
            let moved = clone::moved_bytes(raw, &transfer)?;
            match port.end.check(moved) {
                Ok(()) | Err(PostError::Closed) => {}
                Err(error) => return refuse(cx, call.realm, &error),
            }
            let packet = if port.end.is_read_by_rust() {
                value_packet(cx, call.realm, &value, &transfer, port)?
            } else {
                clone::write(cx, call.realm, &value, &transfer, Some(port))?
            };
            // Writing ran code of the script, which may have given the port away.
            let Some(port) = call.port(0) else { return Ok(()) };
            match port.end.post(packet) {
                Ok(()) | Err(Refused::Error(PostError::Closed, _)) => Ok(()),
                Err(Refused::Error(error, _)) => refuse(cx, call.realm, &error),
                Err(Refused::NeedsValue(packet)) => {
                    // The other end went to Rust meanwhile.
                    let packet = to_value(cx, call.realm, packet)?;
                    let Some(port) = call.port(0) else { return Ok(()) };
                    drop(port.end.post(packet));
                    Ok(())
                }
            }
        }
    })
}

pub(crate) fn refuse(cx: &mut JSContext, realm: &Realm, error: &PostError) -> Converted<()> {
    let name = match error {
        PostError::TooLarge { .. } => "DataCloneError",
        _ => "QuotaExceededError",
    };
    throw_exception(cx, realm, name, &error.to_string());
    Err(Pending)
}

/// A message for Rust. What is in the transfer list is checked first and taken last, as the engine does it.
///
/// # Safety
/// The context is in the agent's realm; `transfer` is an array without getters, or undefined.
unsafe fn value_packet(
    cx: &mut JSContext,
    realm: &Realm,
    value: &RootedGuard<'_, JSVal>,
    transfer: &RootedGuard<'_, JSVal>,
    source: &PortBox,
) -> Converted<Packet> {
    // SAFETY: as the caller answers; everything that may move is rooted.
    unsafe {
        let raw = cx.raw_cx();
        let (source, room) = (source.id, source.end.room());
        let converted = from_js(cx, realm, value)?;
        match room.check(converted.bytes()) {
            Ok(()) | Err(PostError::Closed) => {}
            Err(error) => return refuse(cx, realm, &error).and(Err(Pending)),
        }
        if !transfer.is_object() {
            return Ok(Packet::value(converted, Vec::new()));
        }
        // The engine's own rules decide what can be transferred: an empty message takes the list, or refuses.
        rooted!(in(raw) let nothing = UndefinedValue());
        rooted!(in(raw) let list = transfer.to_object());
        let mut length = 0;
        done(ja::GetArrayLength(raw, list.handle().into(), &mut length))?;
        rooted!(in(raw) let mut item = UndefinedValue());
        rooted!(in(raw) let others = ja::NewArrayObject1(raw, 0));
        done(!others.is_null())?;
        let (mut others_count, mut ports) = (0, Vec::new());
        for at in 0..length {
            done(ja::JS_GetElement(raw, list.handle().into(), at, item.handle_mut().into()))?;
            let object = if item.is_object() { Some(item.to_object()) } else { None };
            match object.and_then(|object| port_of(object)) {
                Some(port) if !port.closed.get() && port.id != source => {
                    if ports.iter().any(|(known, _)| *known == port.id) {
                        super::realm::throw_clone_error(cx, realm, "an object is in the transfer list twice");
                        return Err(Pending);
                    }
                    ports.push((port.id, at));
                }
                _ => {
                    let flags = ja::JSPROP_ENUMERATE as u32;
                    let item = item.handle().into();
                    done(ja::JS_DefineElement(raw, others.handle().into(), others_count, item, flags))?;
                    others_count += 1;
                }
            }
        }
        rooted!(in(raw) let others = ObjectValue(others.get()));
        drop(clone::write(cx, realm, &nothing, &others, None)?);
        let mut ends = Vec::new();
        for (_, at) in ports {
            done(ja::JS_GetElement(raw, list.handle().into(), at, item.handle_mut().into()))?;
            if let Some(port) = take_port(item.to_object()) {
                realm.forget_port(&port);
                make_readable(cx, realm, &port.end)?;
                ends.push(port.end);
            }
        }
        Ok(Packet::value(converted, ends))
    }
}

/// Turns what waits at an end that goes to Rust into values.
///
/// # Safety
/// The context is in the agent's realm.
unsafe fn make_readable(cx: &mut JSContext, realm: &Realm, end: &End) -> Converted<()> {
    let mut converted = Vec::new();
    for packet in end.move_to_rust() {
        // SAFETY: as the caller answers.
        match unsafe { to_value(cx, realm, packet) } {
            Ok(packet) => converted.push(packet),
            // What Rust cannot have it does not get; a stop ends everything.
            Err(Pending) if clone::forgive(cx) => {}
            Err(Pending) => return Err(Pending),
        }
    }
    end.give_back(converted.into_iter());
    Ok(())
}

/// A structured clone as a message for Rust.
///
/// # Safety
/// The context is in the agent's realm.
unsafe fn to_value(cx: &mut JSContext, realm: &Realm, packet: Packet) -> Converted<Packet> {
    let cloned = match packet.content {
        Content::Value(value, ends) => return Ok(Packet::value(value, ends)),
        Content::Clone(cloned) => cloned,
    };
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut value = UndefinedValue());
        rooted!(in(raw) let mut ports = UndefinedValue());
        clone::read(cx, realm, &cloned, &mut value, &mut ports)?;
        let converted = from_js(cx, realm, &value)?;
        rooted!(in(raw) let list = ports.to_object());
        let mut length = 0;
        done(ja::GetArrayLength(raw, list.handle().into(), &mut length))?;
        let mut ends = Vec::new();
        for at in 0..length {
            rooted!(in(raw) let mut item = UndefinedValue());
            done(ja::JS_GetElement(raw, list.handle().into(), at, item.handle_mut().into()))?;
            if let Some(port) = take_port(item.to_object()) {
                make_readable(cx, realm, &port.end)?;
                ends.push(port.end);
            }
        }
        Ok(Packet::value(converted, ends))
    }
}

/// `clone(value, transfer)`: `structuredClone`.
unsafe extern "C" fn clone_value(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let mut value = call.get(0));
        rooted!(in(raw) let mut transfer = call.get(1));
        rooted!(in(raw) let mut ports = UndefinedValue());
        // SAFETY: the context is in the agent's realm.
        unsafe {
            clone::own_list(raw, &mut transfer)?;
            let packet = clone::write(cx, call.realm, &value, &transfer, None)?;
            if let Content::Clone(cloned) = packet.content {
                clone::read(cx, call.realm, &cloned, &mut value, &mut ports)?;
            }
        }
        call.give(value.get());
        Ok(())
    })
}

/// `listen(port)`: messages are delivered from now on.
unsafe extern "C" fn listen(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let (Some(object), Some(port)) = (call.object(0), call.port(0)) {
            call.realm.ports.borrow_mut().insert(port.id, Heap::boxed(object));
            port.end.listen(&call.realm.inbox, port.id);
        }
        Ok(())
    })
}

/// `unlisten(port)`: messages wait from now on.
unsafe extern "C" fn unlisten(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let Some(port) = call.port(0) {
            call.realm.forget_port(port);
        }
        Ok(())
    })
}

/// `closePort(port)`
unsafe extern "C" fn close_port(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let Some(port) = call.port(0) {
            port.closed.set(true);
            call.realm.forget_port(port);
            port.end.close();
        }
        Ok(())
    })
}

/// `receive(port)`: the oldest message as `[message]`, if there is one.
unsafe extern "C" fn receive(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let Some(packet) = call.port(0).and_then(|port| port.end.take()) else { return Ok(()) };
        rooted!(in(raw) let mut value = UndefinedValue());
        rooted!(in(raw) let mut ports = UndefinedValue());
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            open(cx, call.realm, packet, &mut value, &mut ports)?;
            let contents = ja::HandleValueArray { length_: 1, elements_: &*value };
            rooted!(in(raw) let list = ja::NewArrayObject(raw, &contents));
            done(!list.is_null())?;
            call.give(ObjectValue(list.get()));
        }
        Ok(())
    })
}

/// Makes the engine's value of a message, and an array of its ports.
///
/// # Safety
/// The context is in the agent's realm.
pub(crate) unsafe fn open(
    cx: &mut JSContext,
    realm: &Realm,
    packet: Packet,
    value: &mut RootedGuard<'_, JSVal>,
    ports: &mut RootedGuard<'_, JSVal>,
) -> Converted<()> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        match packet.content {
            Content::Clone(cloned) => clone::read(cx, realm, &cloned, value, ports),
            Content::Value(sent, ends) => {
                to_js(raw, &sent, value)?;
                rooted!(in(raw) let list = ja::NewArrayObject1(raw, 0));
                done(!list.is_null())?;
                rooted!(in(raw) let mut port = ptr::null_mut::<JSObject>());
                for (at, end) in ends.into_iter().enumerate() {
                    realm.run_part(cx, PORTS)?;
                    make_port(raw, realm, end, &mut port)?;
                    let flags = ja::JSPROP_ENUMERATE as u32;
                    done(ja::JS_DefineElement2(raw, list.handle().into(), at as u32, port.handle().into(), flags))?;
                }
                ports.set(ObjectValue(list.get()));
                Ok(())
            }
        }
    }
}

/// `settle(number, worked, value)`: answers a call of Rust's.
unsafe extern "C" fn settle(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let asked = call.realm.asked.borrow_mut().remove(&(call.number(0) as u32));
        let Some(asked) = asked else { return Ok(()) };
        rooted!(in(raw) let value = call.get(2));
        let worked = call.get(1).is_boolean() && call.get(1).to_boolean();
        // SAFETY: the context is in the agent's realm.
        let answer = unsafe {
            if worked {
                let converted = match asked.form {
                    Form::Value => from_js(cx, call.realm, &value),
                    Form::Clone => foreign::write(cx, call.realm, &value).map(Value::Bytes),
                };
                match converted {
                    Ok(value) => Ok(value),
                    Err(failed) => Err(call.realm.failure(cx, failed)),
                }
            } else {
                Err(Some(call.realm.describe(cx, value.handle())))
            }
        };
        match answer {
            Ok(value) => asked.answer(Ok(value)),
            Err(Some(thrown)) => asked.answer(Err(thrown.into())),
            // Terminated: dropping it says so.
            Err(None) => return Err(Pending),
        }
        Ok(())
    })
}

/// `started(worked, error)`: the main module was evaluated.
unsafe extern "C" fn started(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let realm = call.realm;
        if realm.phase.get() != Phase::Starting {
            return Ok(());
        }
        if call.get(0).is_boolean() && call.get(0).to_boolean() {
            event_loop::is_running(realm);
        } else {
            rooted!(in(raw) let value = call.get(1));
            let thrown = realm.describe(cx, value.handle());
            realm.meter.ends_with(&thrown);
            realm.failure.borrow_mut().get_or_insert(thrown.into());
            realm.phase.set(Phase::Closing);
        }
        Ok(())
    })
}

/// `uncaught(name, message, stack, rejected)`: `rejected` is true for a promise that nothing handled.
unsafe extern "C" fn uncaught(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let thrown = Thrown::new(&call.text(cx, 0), &call.text(cx, 1), &call.text(cx, 2));
        let rejected = call.get(3).is_boolean() && call.get(3).to_boolean();
        if rejected {
            call.realm.unhandled_rejection(thrown)
        } else {
            call.realm.uncaught(thrown)
        }
        Ok(())
    })
}

/// `close()`: the agent ends after this task.
unsafe extern "C" fn close(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.realm.phase.set(Phase::Closing);
        Ok(())
    })
}

/// `spawn(url, name, caller, line, column)`: starts a worker; `[its number, the port to it]`. `caller` is the module whose
/// relative URLs are meant, by the name that stacks show.
unsafe extern "C" fn spawn(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let (specifier, name, caller) = (call.text(cx, 0), call.text(cx, 1), call.text(cx, 2));
        let place = (call.number(3) as u32, call.number(4) as u32);
        let (id, end) = match event_loop::spawn_worker(call.realm, &specifier, name, &caller, place) {
            Ok(started) => started,
            Err(error) => {
                throw_exception(cx, call.realm, "NotSupportedError", &error.to_string());
                return Err(Pending);
            }
        };
        // SAFETY: the context is in the agent's realm.
        unsafe { give_worker(raw, call, id, end) }
    })
}

/// Gives a worker that was started: `[its number, the port to it]`.
///
/// # Safety
/// `raw` is this thread's context, in the agent's realm.
pub(crate) unsafe fn give_worker(raw: *mut RawJSContext, call: &Call<'_>, id: u64, end: End) -> Converted<()> {
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        rooted!(in(raw) let mut port = ptr::null_mut::<JSObject>());
        make_port(raw, call.realm, end, &mut port)?;
        rooted!(in(raw) let number = DoubleValue(id as f64));
        rooted!(in(raw) let list = ja::NewArrayObject1(raw, 0));
        done(!list.is_null())?;
        let flags = ja::JSPROP_ENUMERATE as u32;
        done(ja::JS_DefineElement(raw, list.handle().into(), 0, number.handle().into(), flags))?;
        done(ja::JS_DefineElement2(raw, list.handle().into(), 1, port.handle().into(), flags))?;
        call.give(ObjectValue(list.get()));
    }
    Ok(())
}

/// `terminate(number)`: stops a worker.
unsafe extern "C" fn terminate(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let Some(worker) = call.realm.workers.borrow().get(&(call.number(0) as u64)) {
            worker.control.stop("terminated");
        }
        Ok(())
    })
}
