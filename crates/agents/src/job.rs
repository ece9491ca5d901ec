//! JavaScript jobs.
//!
//! A job is bound once per agent and shape: a small script, made from the shape, builds the objects that every call gets
//! and returns the function that puts a call's views into them and calls `handle`. So the objects keep their shape, the
//! calls keep their inline caches, and Rust calls one function.

use std::fmt::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use mozjs::context::JSContext;
use mozjs::conversions::Utf8Chars;
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject, JSTracer, PromiseState};
use mozjs::jsval::{DoubleValue, Int32Value, JSVal, ObjectValue, UndefinedValue};
use mozjs::rust::{CustomAutoRooter, RootedTraceableBox, Trace};
use mozjs::{glue, rooted};
use peristyle_jobs::{Access, Extra, JobCall, JobError, JobRunner, JobShape, Lane};
use peristyle_layout::Field;

use crate::AgentError;
use crate::agent::{Agent, Failure, Roots, Slot, Thrown, discard_tasks, drain, take_failure};
use crate::cluster::Handle;
use crate::lend::Loan;
use crate::{modules, patches, source};

/// A job in JavaScript or TypeScript, run by the agents of its cluster.
///
/// Made by [`Cluster::job`](crate::Cluster::job). A handle; clones are the same job.
#[derive(Clone)]
pub struct JsJob(Arc<Inner>);

struct Inner {
    name: String,
    path: PathBuf,
    cluster: Arc<Handle>,
}

impl JsJob {
    pub(crate) fn new(cluster: Arc<Handle>, path: &Path) -> Result<JsJob, AgentError> {
        JsJob::load(cluster, source::locate(path)?)
    }

    /// A job whose source the cluster has under `path`.
    pub(crate) fn load(cluster: Arc<Handle>, path: PathBuf) -> Result<JsJob, AgentError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Agent::new(&cluster.shared, false)?.load(&path)?;
        Ok(JsJob(Arc::new(Inner { name, path, cluster })))
    }

    /// The job's file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs `f` with this lane's agent of the job's cluster.
    fn with_agent<R>(&self, lane: &mut Lane, f: impl FnOnce(&mut Agent) -> Result<R, JobError>) -> Result<R, JobError> {
        let agents = lane.local::<Agents>(Agents::default);
        agents.of(&self.0.cluster).with(&self.0.cluster.shared, f)
    }
}

impl fmt::Debug for JsJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsJob").field(&self.0.path).finish()
    }
}

impl JobRunner for JsJob {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn prepare(&self, lane: &mut Lane) -> Result<(), JobError> {
        self.with_agent(lane, |agent| Ok(agent.load(&self.0.path)?))
    }

    fn run(&self, lane: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        self.with_agent(lane, |agent| agent.run(&self.0, call))
    }
}

/// A lane's agents, one for each cluster that it ran jobs of.
#[derive(Default)]
struct Agents(Vec<(Weak<Handle>, Rc<Slot>)>);

impl Agents {
    fn of(&mut self, cluster: &Arc<Handle>) -> &Rc<Slot> {
        let known = self.0.iter().position(|(known, _)| known.as_ptr() == Arc::as_ptr(cluster));
        let at = known.unwrap_or_else(|| {
            self.0.retain(|(known, _)| known.strong_count() != 0);
            self.0.push((Arc::downgrade(cluster), Rc::default()));
            self.0.len() - 1
        });
        &self.0[at].1
    }
}

/// A job in one agent, for one shape.
pub(crate) struct Bound {
    /// Weak: it only names the job, and its address stays taken.
    job: Weak<Inner>,
    shape: JobShape,
    roots: RootedTraceableBox<BoundRoots>,
    extra: Option<ParsedExtra>,
    /// Kept between calls, empty, for their capacity.
    arguments: Vec<JSVal>,
    buffers: Vec<*mut JSObject>,
}

/// The value of `extra` that was parsed last.
struct ParsedExtra {
    version: u64,
    text: String,
    /// Where the text lay when it was last given: only compared.
    from: *const str,
}

/// What a bound job keeps of the engine.
pub(crate) struct BoundRoots {
    invoke: Heap<JSVal>,
    extra: Heap<JSVal>,
    /// See [`patches::take`]; undefined until it is needed.
    encoder: Heap<JSVal>,
}

// SAFETY: all values are traced.
unsafe impl Trace for BoundRoots {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the engine's tracer, handed on.
        unsafe {
            self.invoke.trace(tracer);
            self.extra.trace(tracer);
            self.encoder.trace(tracer);
        }
    }
}

impl Agent {
    /// Loads the module of a job and checks that it has a handler.
    fn load(&self, path: &Path) -> Result<(), AgentError> {
        // SAFETY: no other context wrapper of this thread is in use here.
        let mut cx = unsafe { self.host.context() };
        // SAFETY: the context is alive, and in the realm while the value is used.
        unsafe {
            let raw = cx.raw_cx();
            let _entered = self.roots.enter(raw);
            let _realm = ja::JSAutoRealm::new(raw, self.roots.global.get());
            rooted!(in(raw) let mut function = UndefinedValue());
            handler(&mut cx, &self.roots, path, &mut function)
        }
    }

    /// Runs one call.
    fn run(&mut self, job: &Arc<Inner>, call: &JobCall<'_>) -> Result<(), JobError> {
        if !self.host.is_here() {
            return Err(JobError::Load("the lane left the thread of its agent".into()));
        }
        let Agent { bound, roots, host } = self;
        let roots: &Roots = roots;
        // SAFETY: no other context wrapper of this thread is in use here; the context lives as long as the host.
        let mut cx = unsafe { host.context() };
        // SAFETY: handed to guards that are dropped here, before the host.
        let raw = unsafe { cx.raw_cx() };
        // SAFETY: this is the agent's thread, and its roots are boxed.
        let _entered = unsafe { roots.enter(raw) };
        let _realm = ja::JSAutoRealm::new(raw, roots.global.get());
        // SAFETY: the agent is entered and the context in its realm.
        let bound = unsafe { bind(&mut cx, roots, bound, job, call.shape)? };
        bound.give_extra(&mut cx, roots, call.extra)?;
        Ok(bound.run(&mut cx, roots, call)?)
    }
}

/// The function that a module exports.
///
/// # Safety
/// The agent is entered and the context in its realm.
unsafe fn handler(
    cx: &mut JSContext,
    roots: &Roots,
    path: &Path,
    function: &mut RootedGuard<'_, JSVal>,
) -> Result<(), AgentError> {
    // SAFETY: as the caller answers; objects are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut namespace = ptr::null_mut::<JSObject>());
        modules::evaluate(cx, roots, path, namespace.handle_mut())?;
        for name in [c"handle", c"default"] {
            if !ja::JS_GetProperty(raw, namespace.handle().into(), name.as_ptr(), function.handle_mut().into()) {
                return Err(take_failure(cx, roots).into());
            }
            if function.is_object() && ja::IsCallable(function.to_object()) {
                return Ok(());
            }
        }
    }
    Err(AgentError::NoHandle { path: path.to_owned() })
}

/// The job as it is bound for a shape; bound now if it is not yet.
///
/// # Safety
/// The agent is entered and the context in its realm.
unsafe fn bind<'a>(
    cx: &mut JSContext,
    roots: &Roots,
    all: &'a mut Vec<Bound>,
    job: &Arc<Inner>,
    shape: &JobShape,
) -> Result<&'a mut Bound, JobError> {
    // Shapes are compared, not their addresses: an address may be another shape's by now.
    if let Some(at) = all.iter().position(|bound| bound.job.as_ptr() == Arc::as_ptr(job) && bound.shape == *shape) {
        return Ok(&mut all[at]);
    }
    // SAFETY: as the caller answers; values are rooted.
    let invoke = unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut function = UndefinedValue());
        handler(cx, roots, &job.path, &mut function)?;
        rooted!(in(raw) let mut binder = UndefinedValue());
        roots.evaluate(cx, &binder_source(shape), c"peristyle:job", &mut binder)?;
        let mut rooter = CustomAutoRooter::new(vec![function.get(), roots.entity.get(), roots.eids.get()]);
        let arguments = rooter.root(raw);
        let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
        rooted!(in(raw) let mut invoke = UndefinedValue());
        let nothing = ja::UndefinedHandleValue;
        if !ja::Call(raw, nothing, binder.handle().into(), &arguments, invoke.handle_mut().into()) {
            return Err(take_failure(cx, roots).into());
        }
        let invoke_root = RootedTraceableBox::new(BoundRoots {
            invoke: Heap::default(),
            extra: Heap::default(),
            encoder: Heap::default(),
        });
        invoke_root.encoder.set(UndefinedValue());
        invoke_root.invoke.set(invoke.get());
        invoke_root
    };
    all.retain(|bound| bound.job.strong_count() != 0);
    all.push(Bound {
        job: Arc::downgrade(job),
        shape: shape.clone(),
        roots: invoke,
        extra: None,
        arguments: Vec::new(),
        buffers: Vec::new(),
    });
    Ok(all.last_mut().expect("just pushed"))
}

impl Bound {
    /// Parses `extra` if it is not the one parsed last.
    fn give_extra(&mut self, cx: &mut JSContext, roots: &Roots, extra: Option<Extra<'_>>) -> Result<(), JobError> {
        let Some(extra) = extra else {
            if self.extra.take().is_some() {
                self.roots.extra.set(UndefinedValue());
            }
            return Ok(());
        };
        // Two systems may run one job with values of their own, each with its version 1: the text decides unless it lies
        // where the known one lay.
        if let Some(known) = &mut self.extra
            && known.version == extra.version
            && (ptr::eq(known.from, extra.json) || known.text == extra.json)
        {
            known.from = extra.json;
            return Ok(());
        }
        self.extra = None;
        // SAFETY: the context is in the agent's realm; values are rooted.
        unsafe {
            let raw = cx.raw_cx();
            let text = Utf8Chars::from(extra.json);
            rooted!(in(raw) let text = ja::JS_NewStringCopyUTF8N(raw, &*text));
            rooted!(in(raw) let mut value = UndefinedValue());
            if text.is_null() || !ja::JS_ParseJSON1(raw, text.handle().into(), value.handle_mut().into()) {
                return Err(match take_failure(cx, roots) {
                    Failure::Threw(Thrown { name, message, .. }) => {
                        JobError::Threw { name, message: format!("extra: {message}"), stack: String::new() }
                    }
                    stopped => stopped.into(),
                });
            }
            let arguments = ja::HandleValueArray { length_: 1, elements_: &*value };
            rooted!(in(raw) let mut frozen = UndefinedValue());
            let nothing = ja::UndefinedHandleValue;
            if !ja::Call(raw, nothing, roots.freeze.handle(), &arguments, frozen.handle_mut().into()) {
                return Err(take_failure(cx, roots).into());
            }
            self.roots.extra.set(frozen.get());
        }
        self.extra = Some(ParsedExtra { version: extra.version, text: extra.json.into(), from: extra.json });
        Ok(())
    }

    /// Lends the call's columns, runs the handler and what it enqueued, and takes the columns back.
    fn run(&mut self, cx: &mut JSContext, roots: &Roots, call: &JobCall<'_>) -> Result<(), Failure> {
        // SAFETY: handed to guards that are dropped here.
        let raw = unsafe { cx.raw_cx() };
        let mut buffers = CustomAutoRooter::new(mem::take(&mut self.buffers));
        let mut buffers = buffers.root(raw);
        let mut arguments = CustomAutoRooter::new(mem::take(&mut self.arguments));
        let mut arguments = arguments.root(raw);
        let extra = self.roots.extra.get();
        arguments.extend([Int32Value(call.rows as i32), DoubleValue(call.dt), DoubleValue(call.time), extra]);
        let columns = call.columns.iter().map(Some);
        let bits = call.changed.iter().chain([&call.despawn]).map(Option::as_ref);
        let resources = call.resources.iter().map(Some);
        let result = {
            // SAFETY: the agent's realm is entered until after this block.
            let mut loan = unsafe { Loan::new(raw, &mut buffers) };
            let mut lent = true;
            for column in columns.chain(bits).chain(resources) {
                let Some(column) = column else {
                    arguments.push(UndefinedValue());
                    continue;
                };
                // SAFETY: `JobCall::lease` was promised that it stays allocated, exclusive and writable during the call,
                // which outlives the loan.
                let view = unsafe { loan.view(column) };
                if view.is_null() {
                    lent = false;
                    break;
                }
                arguments.push(ObjectValue(view));
            }
            if lent { self.call(cx, roots, call, &arguments) } else { Err(take_failure(cx, roots)) }
        };
        arguments.clear();
        self.arguments = mem::take(&mut *arguments);
        self.buffers = mem::take(&mut *buffers);
        result
    }

    /// Calls the handler, with its arguments rooted, and drains what it enqueued.
    fn call(&self, cx: &mut JSContext, roots: &Roots, call: &JobCall<'_>, arguments: &[JSVal]) -> Result<(), Failure> {
        roots.call.set(ptr::from_ref(call).cast());
        // SAFETY: the context is in the agent's realm; values are rooted.
        let result = unsafe {
            let raw = cx.raw_cx();
            let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
            rooted!(in(raw) let mut value = UndefinedValue());
            let (nothing, function) = (ja::UndefinedHandleValue, self.roots.invoke.handle());
            let mut result = Ok(());
            if !ja::Call(raw, nothing, function, &arguments, value.handle_mut().into()) {
                result = Err(take_failure(cx, roots));
            }
            match &result {
                Err(Failure::Terminated(_)) => discard_tasks(cx),
                _ if !drain(cx) => result = Err(take_failure(cx, roots)),
                _ => {}
            }
            match result {
                Ok(()) => match finish(cx, roots, &mut value) {
                    Ok(()) => patches::take(cx, roots, &self.roots.encoder, call, &mut value),
                    failed => failed,
                },
                failed => failed,
            }
        };
        roots.call.set(ptr::null());
        roots.unhandled.borrow_mut().clear();
        if !roots.eids_buffer.get().is_null() {
            // SAFETY: the context is in the agent's realm; the buffer is traced where it lies. It is an ordinary buffer,
            // whose detachment does not fail; were it to, the job would keep a copy.
            let _ = unsafe { ja::DetachArrayBuffer(cx.raw_cx(), roots.eids_buffer.handle()) };
            roots.eids_buffer.set(ptr::null_mut());
        }
        result
    }
}

/// Looks at what the handler returned, once nothing is left to run; `value` becomes what a promise was fulfilled with.
///
/// # Safety
/// The agent is entered and the context in its realm.
unsafe fn finish(cx: &mut JSContext, roots: &Roots, value: &mut RootedGuard<'_, JSVal>) -> Result<(), Failure> {
    let error =
        |message: String| Err(Failure::Threw(Thrown { name: "TypeError".into(), message, stack: String::new() }));
    // SAFETY: as the caller answers; objects are rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut object = ptr::null_mut::<JSObject>());
        if value.is_object() {
            object.set(value.to_object());
            if ja::IsPromiseObject(object.handle().into()) {
                match ja::GetPromiseState(object.handle().into()) {
                    PromiseState::Pending => {
                        return error("handle returned a promise that nothing in this call settles".into());
                    }
                    state => {
                        glue::JS_GetPromiseResult(object.handle().into(), value.handle_mut().into());
                        if state == PromiseState::Rejected {
                            return Err(roots.rejection(cx, value.handle()));
                        }
                    }
                }
            }
        }
        let lost = roots.unhandled.borrow().first().map(|promise| promise.get());
        if let Some(promise) = lost {
            object.set(promise);
            glue::JS_GetPromiseResult(object.handle().into(), value.handle_mut().into());
            return Err(roots.rejection(cx, value.handle()));
        }
    }
    Ok(())
}

/// The script that binds a handler to a shape: from (handle, entity, eids) to the function that Rust calls with
/// (rows, dt, time, extra, columns…, changed bits…, despawn bits, resources…).
///
/// The objects of `snap` are made once. Jobs cannot add to them or replace them; their views change with every call.
fn binder_source(shape: &JobShape) -> String {
    let mut script = Binder::default();
    let (mut names, mut numbers, mut resources) = (String::new(), String::new(), String::new());
    let (mut lists, mut writes) = (String::new(), String::new());
    for (at, component) in shape.components.iter().enumerate() {
        script.fields(&format!("f{at}"), &component.fields);
        script.make(&format!("const c{at} = {{ fields: f{at}, changed: undefined }}; fix(c{at}, [\"fields\"]);"));
        names += &format!(" [{}]: c{at},", quoted(&component.name));
        numbers += &format!(" {}: c{at},", component.id);
        let list =
            format!("lists[{at}] ?? (lists[{at}] = ({})())", patches::values_of(&format!("f{at}"), &component.fields));
        lists += &format!(" get [{}]() {{ return {list}; }},", component.id);
        lists += &format!(" get [{}]() {{ return this[{}]; }},", quoted(&component.name), component.id);
        if component.access == Access::Write {
            writes += &format!("{}, ", component.id);
        }
    }
    for at in 0..shape.components.len() {
        script.put(&format!("c{at}.changed"));
    }
    script.put("snap.despawn");
    for (at, resource) in shape.resources.iter().enumerate() {
        script.fields(&format!("r{at}"), &resource.fields);
        resources += &format!(" [{}]: r{at},", quoted(&resource.name));
    }
    let Binder { made, parameters, puts } = script;
    format!(
        r#"(function (handle, entity, takeEids) {{
  "use strict";
  const {{ defineProperty, freeze, seal }} = Object;
  const fix = (object, names) => {{
    for (const name of names) defineProperty(object, name, {{ writable: false }});
    seal(object);
  }};
{made}  let eids;
  const snap = {{
    shared: false,
    rows: 0,
    get eids() {{ return eids ?? (eids = takeEids()); }},
    comps: freeze({{{names}{numbers} }}),
    res: freeze({{{resources} }}),
    despawn: undefined,
    entity,
  }};
  fix(snap, ["shared", "comps", "res", "entity"]);
  let handles, lists = [];
  const cols = freeze({{{lists} }}), writes = freeze([{writes}]);
  const takeHandles = () => {{
    const list = new Array(snap.rows);
    for (let i = 0; i < list.length; i++) list[i] = entity(i);
    return list;
  }};
  // The lists of the older contract are made when a job asks for them.
  class Input {{
    constructor(dt, time, extra) {{
      this.snap = snap;
      this.dt = dt;
      this.time = time;
      this.extra = extra;
    }}
    get eids() {{ return handles ?? (handles = takeHandles()); }}
    get cols() {{ return cols; }}
    get writes() {{ return writes; }}
  }}
  return function invoke(rows, dt, time, extra{parameters}) {{
    eids = handles = undefined;
    if (lists.length > 0) lists = [];
    snap.rows = rows;
{puts}    return handle(new Input(dt, time, extra));
  }};
}})"#
    )
}

/// The parts of a binding script that grow with the shape.
#[derive(Default)]
struct Binder {
    made: String,
    parameters: String,
    puts: String,
}

impl Binder {
    fn make(&mut self, statement: &str) {
        let _ = writeln!(self.made, "  {statement}");
    }

    /// The next view goes to `target`.
    fn put(&mut self, target: &str) {
        let view = format!("v{}", self.puts.lines().count());
        let _ = write!(self.parameters, ", {view}");
        let _ = writeln!(self.puts, "    {target} = {view};");
    }

    /// An object that holds one view per field; the next views go there.
    fn fields(&mut self, object: &str, fields: &[Field]) {
        let names = fields.iter().map(|field| format!(" [{}]: undefined,", quoted(&field.name)));
        self.make(&format!("const {object} = seal({{{} }});", names.collect::<String>()));
        for field in fields {
            self.put(&format!("{object}[{}]", quoted(&field.name)));
        }
    }
}

/// A JavaScript string literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            '\0'..'\x20' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(literal, "\\u{{{:x}}}", u32::from(character));
            }
            _ => literal.push(character),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a\"b\\\n\u{2028}ü"), "\"a\\\"b\\\\\\u{a}\\u{2028}ü\"");
    }
}
