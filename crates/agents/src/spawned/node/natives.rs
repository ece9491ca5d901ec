//! What the scripts of Node's modules can ask of Rust; `boot.js` checks arguments and gives them what they expect.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex};

use mozjs::context::RawJSContext;
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{JSObject, Value as RawValue};
use mozjs::jsval::{Int32Value, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::{CompileOptionsWrapper, EnvironmentChain, evaluate_script};
use serde::Deserialize;

use super::super::AgentOptions;
use super::super::clone;
use super::super::convert::{Converted, Pending, done, from_js, to_js};
use super::super::event_loop::{self, Start};
use super::super::foreign;
use super::super::loader;
use super::super::natives::{Native, give_worker, native};
use super::super::realm::throw_exception;
use super::super::scripts::Script;
use super::super::value::Value;
use super::host::perform;
use super::{MODULES, NodeOptions, NodeTool, Origin, Seat};

/// Adds these natives to a table.
///
/// # Safety
/// `raw` is this thread's context, in a realm.
pub(in super::super) unsafe fn define(raw: *mut RawJSContext, table: &RootedGuard<'_, *mut JSObject>) -> Converted<()> {
    const NATIVES: [(&std::ffi::CStr, Native, u32); 15] = [
        (c"nodeTools", tools, 5),
        (c"script", script, 1),
        (c"host", host, 2),
        (c"exit", exit, 1),
        (c"ticks", ticks, 0),
        (c"spawnNode", spawn, 3),
        (c"holdPort", hold_port, 2),
        (c"holdWorker", hold_worker, 2),
        (c"holdTimer", hold_timer, 2),
        (c"compile", compile, 2),
        (c"heapBytes", heap_bytes, 0),
        (c"promise", promise, 1),
        (c"evaluate", evaluate, 2),
        (c"serialize", serialize, 1),
        (c"deserialize", deserialize, 1),
    ];
    for (name, native, arguments) in NATIVES {
        // SAFETY: as the caller answers; natives are static functions that never unwind.
        let function =
            unsafe { ja::JS_DefineFunction(raw, table.handle().into(), name.as_ptr(), Some(native), arguments, 0) };
        done(!function.is_null())?;
    }
    Ok(())
}

/// `nodeTools(tools...)`: the functions of [`NodeTool`], in order.
unsafe extern "C" fn tools(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        for at in 0..NodeTool::Count as usize {
            call.realm.node.tools[at].set(call.get(at as u32));
        }
        Ok(())
    })
}

/// `script(name)`: what the script of a built-in module evaluates to; undefined if there is no such module.
unsafe extern "C" fn script(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let name = call.text(cx, 0);
        let Some(at) = MODULES.iter().position(|(known, ..)| *known == name) else { return Ok(()) };
        rooted!(in(raw) let mut value = UndefinedValue());
        // SAFETY: the context is in the agent's realm.
        unsafe { call.realm.shared.parent.scripts.run(cx, Script::of_node(at), &mut value)? };
        call.give(value.get());
        Ok(())
    })
}

/// `host(operation, arguments)`: `[true, answer]`, or `[false, what failed]`.
unsafe extern "C" fn host(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let operation = call.text(cx, 0);
        rooted!(in(raw) let arguments = call.get(1));
        rooted!(in(raw) let mut answer = UndefinedValue());
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            let arguments = match from_js(cx, call.realm, &arguments)? {
                Value::List(arguments) => arguments,
                _ => Vec::new(),
            };
            let both = match perform(call.realm, &operation, arguments) {
                Ok(answer) => vec![Value::Bool(true), answer],
                Err(failed) => vec![Value::Bool(false), failed.into_value()],
            };
            to_js(raw, &Value::List(both), &mut answer)?;
        }
        call.give(answer.get());
        Ok(())
    })
}

/// `exit(code)`: ends the agent here; does not return.
unsafe extern "C" fn exit(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if call.realm.node.exit.get().is_none() {
            call.realm.node.exit.set(Some(call.number(0) as i32));
        }
        // Without an exception no script can catch it.
        Err(Pending)
    })
}

/// `ticks()`: `process.nextTick` has work.
unsafe extern "C" fn ticks(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        call.realm.node.ticks.set(true);
        Ok(())
    })
}

/// `holdPort(port, holds)`: whether a listening port keeps its agent.
unsafe extern "C" fn hold_port(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        if let Some(port) = call.port(0) {
            port.end.keep(call.is_true(1));
        }
        Ok(())
    })
}

/// `holdWorker(number, holds)`: whether a worker keeps the agent that started it.
unsafe extern "C" fn hold_worker(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let released = match call.realm.workers.borrow_mut().get_mut(&(call.number(0) as u64)) {
            Some(worker) => worker.keep(&call.realm.inbox, call.is_true(1)),
            None => None,
        };
        drop(released);
        Ok(())
    })
}

/// `holdTimer(id, holds)`: whether a timer that is set keeps its agent.
unsafe extern "C" fn hold_timer(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let due = call.realm.timers.borrow().get(&(call.number(0) as u32)).copied();
        if let Some(due) = due {
            call.realm.inbox.keep(due, call.is_true(1));
        }
        Ok(())
    })
}

/// `heapBytes()`: bytes of the agent's collected heap, garbage included.
unsafe extern "C" fn heap_bytes(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        // SAFETY: the context is alive.
        let bytes = unsafe { ja::JS_GetGCParameter(raw, ja::JSGCParamKey::JSGC_BYTES) };
        call.give(mozjs::jsval::DoubleValue(bytes.into()));
        Ok(())
    })
}

/// `serialize(value)`: a structured clone as bytes; a `DataCloneError` for what has none.
unsafe extern "C" fn serialize(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let value = call.get(0));
        rooted!(in(raw) let mut bytes = UndefinedValue());
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            let written = foreign::write(cx, call.realm, &value)?;
            to_js(raw, &Value::Bytes(written), &mut bytes)?;
        }
        call.give(bytes.get());
        Ok(())
    })
}

/// `deserialize(bytes)`: the value of a structured clone; a `DataCloneError` if the bytes are none.
unsafe extern "C" fn deserialize(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let argument = call.get(0));
        rooted!(in(raw) let mut value = UndefinedValue());
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            let Value::Bytes(bytes) = from_js(cx, call.realm, &argument)? else { return Ok(()) };
            if let Err(reason) = foreign::check(&bytes, call.realm.options.ports.message_bytes) {
                let message = format!("the bytes are no structured clone: {reason}");
                throw_exception(cx, call.realm, "DataCloneError", &message);
                return Err(Pending);
            }
            foreign::read(cx, call.realm, &bytes, &mut value)?;
        }
        call.give(value.get());
        Ok(())
    })
}

/// `promise(promise)`: `[its state, its result]`, for those who show it.
unsafe extern "C" fn promise(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |_, call| {
        let Some(object) = call.object(0) else { return Ok(()) };
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            rooted!(in(raw) let promise = object);
            if !ja::IsPromiseObject(promise.handle().into()) {
                return Ok(());
            }
            let (state, settled) = match ja::GetPromiseState(promise.handle().into()) {
                ja::PromiseState::Pending => ("pending", false),
                ja::PromiseState::Fulfilled => ("fulfilled", true),
                ja::PromiseState::Rejected => ("rejected", true),
            };
            rooted!(in(raw) let mut both = UndefinedValue());
            to_js(raw, &Value::List(vec![Value::Text(state.into())]), &mut both)?;
            rooted!(in(raw) let mut result = UndefinedValue());
            if settled {
                mozjs::glue::JS_GetPromiseResult(promise.handle().into(), result.handle_mut().into());
            }
            rooted!(in(raw) let list = both.to_object());
            let flags = ja::JSPROP_ENUMERATE as u32;
            done(ja::JS_DefineElement(raw, list.handle().into(), 1, result.handle().into(), flags))?;
            call.give(both.get());
        }
        Ok(())
    })
}

/// `compile(text, path)`: a CommonJS module's function.
unsafe extern "C" fn compile(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let (text, path) = (call.text(cx, 0), call.text(cx, 1));
        let name = CString::new(path.replace('\0', "\u{fffd}")).unwrap_or_default();
        let options = CompileOptionsWrapper::new(cx, name, 1);
        let names = [c"exports", c"require", c"module", c"__filename", c"__dirname"].map(|name| name.as_ptr());
        let scopes = EnvironmentChain::new(cx, ja::JS::SupportUnscopables::No);
        // SAFETY: the context is in the agent's realm; options, names, scopes and text live until the call returns, which
        // copies the text.
        unsafe {
            let count = names.len() as u32;
            let body = text.as_ptr().cast();
            let function = ja::CompileFunctionUtf8(
                raw,
                scopes.get(),
                options.ptr,
                ptr::null(),
                count,
                names.as_ptr(),
                body,
                text.len(),
            );
            done(!function.is_null())?;
            rooted!(in(raw) let function = function);
            // So that what it imports dynamically is found from where it is.
            if let Some(at) = loader::index_of(call.realm, Path::new(&path)) {
                let script = ja::JS_GetFunctionScript(raw, function.handle().into());
                done(!script.is_null())?;
                ja::SetScriptPrivate(script, &Int32Value(at));
            }
            call.give(ObjectValue(ja::JS_GetFunctionObject(function.get())));
        }
        Ok(())
    })
}

/// `evaluate(text, name)`: runs a classic script in the global scope.
unsafe extern "C" fn evaluate(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let (text, name) = (call.text(cx, 0), call.text(cx, 1));
        let name = CString::new(name.replace('\0', "\u{fffd}")).unwrap_or_default();
        let options = CompileOptionsWrapper::new(cx, name, 1);
        rooted!(in(raw) let global = call.realm.global());
        rooted!(in(raw) let mut nothing = UndefinedValue());
        evaluate_script(cx, global.handle(), &text, nothing.handle_mut(), options).map_err(|()| Pending)
    })
}

/// How a worker of `node:worker_threads` is started.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    /// A path or URL; or text.
    script: String,
    /// Whether `script` is text: a CommonJS script, or `"module"`.
    eval: Option<String>,
    name: String,
    arguments: Option<Vec<String>>,
    /// The environment; without one the parent's, copied or shared.
    env: Option<BTreeMap<String, String>>,
    shares_env: bool,
    /// MiB.
    heap: Option<f64>,
    /// MiB.
    stack: Option<f64>,
}

/// The least heap, in MiB, that an agent can start in.
const HEAP_MIB_MIN: f64 = 4.0;
/// The least stack, in MiB.
const STACK_MIB_MIN: f64 = 1.0;

/// `spawnNode(asked, first, transfer)`: starts a worker that finds `first` as its first message; `[its number, the port to
/// it]`.
unsafe extern "C" fn spawn(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let realm = call.realm;
        rooted!(in(raw) let asked = call.get(0));
        rooted!(in(raw) let first = call.get(1));
        rooted!(in(raw) let mut transfer = call.get(2));
        // SAFETY: the context is in the agent's realm; values are rooted.
        let (asked, first) = unsafe {
            clone::own_list(raw, &mut transfer)?;
            let asked = from_js(cx, realm, &asked)?.to::<Asked>();
            (asked, clone::write(cx, realm, &first, &transfer, None)?)
        };
        let refuse = |cx: &mut mozjs::context::JSContext, name: &str, why: String| {
            throw_exception(cx, realm, name, &why);
            Pending
        };
        let asked = asked.map_err(|error| refuse(cx, "TypeError", error.to_string()))?;
        let library = match &asked.eval {
            Some(kind) => realm.library.with_text(&asked.script, kind == "module"),
            None => realm.library.entered_at(&realm.shared, &realm.library.main, &asked.script, (1, 1)),
        };
        let env = match asked.env {
            Some(env) => Arc::new(Mutex::new(env)),
            None if asked.shares_env => realm.node.seat.env.clone(),
            None => Arc::new(Mutex::new(super::lock(&realm.node.seat.env).clone())),
        };
        let mut node = realm.options.node.clone().unwrap_or_default();
        if let Some(arguments) = asked.arguments {
            node.arguments = arguments;
        }
        let bytes = |mib: f64, least: f64| (mib.max(least) * f64::from(1 << 20)) as u64;
        let options = AgentOptions {
            name: asked.name,
            heap_bytes: asked
                .heap
                .map_or(realm.options.heap_bytes, |mib| bytes(mib, HEAP_MIB_MIN).min(realm.options.heap_bytes)),
            stack_bytes: asked.stack.map_or(realm.options.stack_bytes, |mib| {
                usize::try_from(bytes(mib, STACK_MIB_MIN)).unwrap_or(usize::MAX).min(realm.options.stack_bytes)
            }),
            node: Some(NodeOptions { ..node }),
            ..realm.options.clone()
        };
        let seat = Seat { origin: Origin::NodeWorker, thread: 0, env };
        let start = Start { library, options, seat, first: Some(first) };
        let started = event_loop::start_worker(realm, start);
        let (id, end) = started.map_err(|error| refuse(cx, "DataCloneError", error.to_string()))?;
        // SAFETY: the context is in the agent's realm.
        unsafe { give_worker(raw, call, id, end) }
    })
}
