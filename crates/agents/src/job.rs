//! JavaScript jobs.
//!
//! A job is bound once per agent and shape: a small script, made from the shape, builds the objects that every call gets
//! and returns the function that puts a call's views into them and calls `handle`. So the objects keep their shape, the
//! calls keep their inline caches, and Rust calls one function.
//!
//! A job that takes parts is bound once more: its `snap.parts` holds one object for each chunk, made when there first are
//! so many chunks, and Rust calls a function for each part before it calls the job.

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
use peristyle_jobs::{Access, Extra, JobCall, JobError, JobRunner, JobShape, Lane, Lent};
use peristyle_layout::Field;
use peristyle_memory::Memory;

use crate::AgentError;
use crate::agent::{Agent, Failure, NO_CALLS, RealmKind, Roots, Slot, Thrown, discard_tasks, drain, take_failure};
use crate::attach::{Attached, attach, engine_memory, out_of_reach};
use crate::cluster::Handle;
use crate::lend::Loan;
use crate::memory::Linear;
use crate::{modules, patches, source, values};

/// A job in JavaScript or TypeScript, run by the agents of its cluster.
///
/// Made by [`Cluster::job`](crate::Cluster::job). A handle; clones are the same job.
#[derive(Clone)]
pub struct JsJob(Arc<Inner>);

struct Inner {
    name: String,
    path: PathBuf,
    /// Shared jobs get views that stay, on memories that the engine made; others are lent their columns.
    realm: RealmKind,
    cluster: Arc<Handle>,
}

impl JsJob {
    pub(crate) fn new(cluster: Arc<Handle>, path: &Path, realm: RealmKind) -> Result<JsJob, AgentError> {
        JsJob::load(cluster, source::locate(path)?, realm)
    }

    /// A job whose source the cluster has under `path`.
    pub(crate) fn load(cluster: Arc<Handle>, path: PathBuf, realm: RealmKind) -> Result<JsJob, AgentError> {
        let name = source::file_name(&path);
        Agent::new(&cluster.shared, realm, false)?.load(&path)?;
        Ok(JsJob(Arc::new(Inner { name, path, realm, cluster })))
    }

    /// The job's file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether the job gets shared views instead of lent ones: [`Cluster::shared_job`](crate::Cluster::shared_job).
    pub fn is_shared(&self) -> bool {
        self.0.realm == RealmKind::Shared
    }

    /// The memory that a shared job works on.
    fn memory<'a>(&self, memory: Option<&'a Memory>) -> Result<Option<&'a Arc<Linear>>, JobError> {
        match self.0.realm {
            RealmKind::Lent => Ok(None),
            RealmKind::Shared => engine_memory(memory, "a shared job").map(|(_, linear)| Some(linear)),
        }
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
        with_agent(lane, &self.0.cluster, self.0.realm, |agent| Ok(agent.load(&self.0.path)?))
    }

    fn check(&self, memory: &Memory) -> Result<(), JobError> {
        self.memory(Some(memory)).map(drop)
    }

    fn run(&self, lane: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        let linear = self.memory(call.memory)?;
        with_agent(lane, &self.0.cluster, self.0.realm, |agent| {
            agent.run(&self.0, linear, std::slice::from_ref(call), false)
        })
    }

    fn takes_values(&self) -> bool {
        true
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn run_parts(&self, lane: &mut Lane, parts: &[JobCall<'_>]) -> Result<(), JobError> {
        let linear = self.memory(parts[0].memory)?;
        with_agent(lane, &self.0.cluster, self.0.realm, |agent| agent.run(&self.0, linear, parts, true))
    }

    fn reaches_memory(&self) -> bool {
        self.is_shared()
    }
}

/// A lane's agents, one for each cluster and kind of realm that it ran jobs of.
#[derive(Default)]
struct Agents(Vec<(Weak<Handle>, RealmKind, Rc<Slot>)>);

impl Agents {
    fn of(&mut self, cluster: &Arc<Handle>, realm: RealmKind) -> &Rc<Slot> {
        let is = |(known, kind, _): &(Weak<Handle>, _, _)| known.as_ptr() == Arc::as_ptr(cluster) && *kind == realm;
        let at = self.0.iter().position(is).unwrap_or_else(|| {
            self.0.retain(|(known, ..)| known.strong_count() != 0);
            self.0.push((Arc::downgrade(cluster), realm, Rc::default()));
            self.0.len() - 1
        });
        &self.0[at].2
    }
}

/// Runs `f` with this lane's agent of a cluster.
pub(crate) fn with_agent<R>(
    lane: &mut Lane,
    cluster: &Arc<Handle>,
    realm: RealmKind,
    f: impl FnOnce(&mut Agent) -> Result<R, JobError>,
) -> Result<R, JobError> {
    let slot = lane.local::<Agents>(Agents::default).of(cluster, realm).clone();
    let is_new = !slot.is_open();
    slot.with(&cluster.shared, realm, |agent| {
        if is_new {
            lane.stopped_by(&agent.roots.control);
        }
        agent.roots.collections.record_on(lane);
        f(agent)
    })
}

/// Where the views of a call come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Lent,
    /// A memory as the agent knows it. What of a call does not lie there is lent: bits that a filter found.
    Shared(&'a Attached, &'a Linear),
}

/// A job in one agent, for one shape.
pub(crate) struct Bound {
    /// Weak: it only names the job, and its address stays taken.
    job: Weak<Inner>,
    shape: JobShape,
    /// Whether it takes all parts in one call.
    is_parts: bool,
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
    /// What puts the views of a part into its object, if the job takes parts.
    put: Heap<JSVal>,
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
            self.put.trace(tracer);
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

    /// Runs one call, of one part or of all; a shared job's on an engine's memory.
    fn run(
        &mut self,
        job: &Arc<Inner>,
        linear: Option<&Arc<Linear>>,
        calls: &[JobCall<'_>],
        is_parts: bool,
    ) -> Result<(), JobError> {
        self.is_here()?;
        let Agent { bound, attached, roots, host, .. } = self;
        let roots: &Roots = roots;
        // SAFETY: no other context wrapper of this thread is in use here; the context lives as long as the host.
        let mut cx = unsafe { host.context() };
        // SAFETY: handed to guards that are dropped here, before the host.
        let raw = unsafe { cx.raw_cx() };
        // SAFETY: this is the agent's thread, and its roots are boxed.
        let _entered = unsafe { roots.enter(raw) };
        let _realm = ja::JSAutoRealm::new(raw, roots.global.get());
        // SAFETY: the agent is entered and the context in its realm, which is a shared job's if there is a memory.
        let (bound, source) = unsafe {
            let source = match linear {
                None => Source::Lent,
                Some(linear) => {
                    let out = calls.iter().find_map(|call| out_of_reach(linear, call));
                    match (out, attach(raw, attached, linear)) {
                        (Some(error), _) => return Err(error),
                        (None, Some(attached)) => Source::Shared(attached, linear),
                        (None, None) => return Err(take_failure(&mut cx, roots).into()),
                    }
                }
            };
            (bind(&mut cx, roots, bound, job, calls[0].shape, is_parts)?, source)
        };
        bound.give_extra(&mut cx, roots, calls[0].extra)?;
        let result = bound.run(&mut cx, roots, source, calls);
        // A job may have caught what it was told of a value that could not be given: it fails all the same.
        match (roots.refused.take(), result) {
            (Some(error), Ok(()) | Err(Failure::Threw(_))) => Err(error),
            (_, result) => Ok(result?),
        }
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
    is_parts: bool,
) -> Result<&'a mut Bound, JobError> {
    // Shapes are compared, not their addresses: an address may be another shape's by now.
    let is_known =
        |bound: &Bound| bound.job.as_ptr() == Arc::as_ptr(job) && bound.is_parts == is_parts && bound.shape == *shape;
    if let Some(at) = all.iter().position(is_known) {
        return Ok(&mut all[at]);
    }
    // SAFETY: as the caller answers; values are rooted.
    let bound_roots = unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut function = UndefinedValue());
        handler(cx, roots, &job.path, &mut function)?;
        rooted!(in(raw) let mut binder = UndefinedValue());
        let source = if is_parts { parts_binder_source(shape, job.realm) } else { binder_source(shape, job.realm) };
        roots.evaluate(cx, &source, c"peristyle:job", &mut binder)?;
        let mut rooter =
            CustomAutoRooter::new(vec![function.get(), roots.entity.get(), roots.eids.get(), roots.values.get()]);
        let arguments = rooter.root(raw);
        let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
        rooted!(in(raw) let mut invoke = UndefinedValue());
        let nothing = ja::UndefinedHandleValue;
        if !ja::Call(raw, nothing, binder.handle().into(), &arguments, invoke.handle_mut().into()) {
            return Err(take_failure(cx, roots).into());
        }
        let bound_roots = RootedTraceableBox::new(BoundRoots {
            invoke: Heap::default(),
            put: Heap::default(),
            extra: Heap::default(),
            encoder: Heap::default(),
        });
        bound_roots.encoder.set(UndefinedValue());
        if is_parts {
            // The binder gave both functions.
            rooted!(in(raw) let both = invoke.to_object());
            for (at, heap) in [&bound_roots.put, &bound_roots.invoke].into_iter().enumerate() {
                if !ja::JS_GetElement(raw, both.handle().into(), at as u32, invoke.handle_mut().into()) {
                    return Err(take_failure(cx, roots).into());
                }
                heap.set(invoke.get());
            }
        } else {
            bound_roots.invoke.set(invoke.get());
        }
        bound_roots
    };
    all.retain(|bound| bound.job.strong_count() != 0);
    all.push(Bound {
        job: Arc::downgrade(job),
        shape: shape.clone(),
        is_parts,
        roots: bound_roots,
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

    /// Gives the job views of the columns of all parts, runs the handler and what it enqueued, and takes back what was
    /// lent.
    fn run(
        &mut self,
        cx: &mut JSContext,
        roots: &Roots,
        source: Source<'_>,
        calls: &[JobCall<'_>],
    ) -> Result<(), Failure> {
        // SAFETY: handed to guards that are dropped here.
        let raw = unsafe { cx.raw_cx() };
        let mut buffers = CustomAutoRooter::new(mem::take(&mut self.buffers));
        let mut buffers = buffers.root(raw);
        let mut arguments = CustomAutoRooter::new(mem::take(&mut self.arguments));
        let mut arguments = arguments.root(raw);
        let result = {
            // SAFETY: the agent's realm is entered until after this block.
            let mut loan = unsafe { Loan::new(raw, &mut buffers) };
            self.lend(cx, roots, source, calls, &mut loan, &mut arguments)
                .and_then(|()| self.call(cx, roots, calls, &arguments))
        };
        arguments.clear();
        self.arguments = mem::take(&mut *arguments);
        self.buffers = mem::take(&mut *buffers);
        result
    }

    /// Lends columns, and makes the arguments of the function that calls the handler. Views of parts are put into their
    /// objects.
    fn lend(
        &self,
        cx: &mut JSContext,
        roots: &Roots,
        source: Source<'_>,
        calls: &[JobCall<'_>],
        loan: &mut Loan<'_, '_>,
        arguments: &mut Vec<JSVal>,
    ) -> Result<(), Failure> {
        // SAFETY: nothing else uses the context meanwhile.
        let raw = unsafe { cx.raw_cx() };
        let mut view = |lent: Option<&Lent>| match lent {
            None => Some(UndefinedValue()),
            Some(lent) => {
                // SAFETY: `JobCall::lease` was promised that it stays allocated, exclusive and writable during the call,
                // which outlives the loan. What is shared was asked for by `Cluster::shared_job`.
                let view = unsafe {
                    match source {
                        Source::Lent => loan.view(lent),
                        Source::Shared(attached, linear) => {
                            attached.view(raw, linear, lent).unwrap_or_else(|| loan.view(lent))
                        }
                    }
                };
                (!view.is_null()).then(|| ObjectValue(view))
            }
        };
        let rows: i64 = calls.iter().map(|call| i64::from(call.rows)).sum();
        let mut first = 0;
        let call = &calls[0];
        if self.is_parts {
            for (at, call) in calls.iter().enumerate() {
                arguments.clear();
                arguments.extend([whole(at as i64), whole(first), whole(i64::from(call.rows))]);
                for lent in of_rows(call) {
                    arguments.push(view(lent).ok_or_else(|| take_failure(cx, roots))?);
                }
                first += i64::from(call.rows);
                // SAFETY: the context is in the agent's realm; the arguments are rooted by the caller.
                unsafe {
                    let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
                    rooted!(in(raw) let mut value = UndefinedValue());
                    let (nothing, put) = (ja::UndefinedHandleValue, self.roots.put.handle());
                    if !ja::Call(raw, nothing, put, &arguments, value.handle_mut().into()) {
                        return Err(take_failure(cx, roots));
                    }
                }
            }
            arguments.clear();
        }
        let extra = self.roots.extra.get();
        arguments.extend([whole(rows), DoubleValue(call.dt), DoubleValue(call.time), extra]);
        if self.is_parts {
            arguments.push(whole(calls.len() as i64));
        } else {
            for lent in of_rows(call) {
                arguments.push(view(lent).ok_or_else(|| take_failure(cx, roots))?);
            }
        }
        for lent in call.resources {
            arguments.push(view(Some(lent)).ok_or_else(|| take_failure(cx, roots))?);
        }
        Ok(())
    }

    /// Calls the handler, with its arguments rooted, and drains what it enqueued.
    fn call(
        &self,
        cx: &mut JSContext,
        roots: &Roots,
        calls: &[JobCall<'_>],
        arguments: &[JSVal],
    ) -> Result<(), Failure> {
        roots.calls.set(ptr::slice_from_raw_parts(calls.as_ptr().cast(), calls.len()));
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
                    Ok(()) => patches::take(cx, roots, &self.roots.encoder, &calls[0], &mut value)
                        .and_then(|()| values::compare(cx, roots)),
                    failed => failed,
                },
                failed => failed,
            }
        };
        roots.calls.set(NO_CALLS);
        roots.watched.borrow_mut().clear();
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

/// A whole number, as the engine likes it best: loops to an `int32` compile to less.
fn whole(number: i64) -> JSVal {
    i32::try_from(number).map_or(DoubleValue(number as f64), Int32Value)
}

/// What a part is lent of its rows: columns, then the bits of components, then those of despawns.
fn of_rows<'a>(call: &'a JobCall<'_>) -> impl Iterator<Item = Option<&'a Lent>> {
    let bits = call.changed.iter().chain([&call.despawn]).map(Option::as_ref);
    call.columns.iter().map(Some).chain(bits)
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
fn binder_source(shape: &JobShape, realm: RealmKind) -> String {
    let shared = realm == RealmKind::Shared;
    let mut script = Binder::default();
    let comps = script.components(shape, "0");
    let (lists, writes) = lists_of(shape);
    script.put("snap.despawn");
    let resources = script.resources(shape);
    let Binder { made, parameters, puts, resets } = script;
    format!(
        r#"(function (handle, entity, takeEids, takeValues) {{
{TOOLS}{made}  let eids;
  const snap = {{
    shared: {shared},
    rows: 0,
    get eids() {{ return eids ?? (eids = takeEids()); }},
    comps: freeze({{{comps} }}),
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
{resets}{puts}    return handle(new Input(dt, time, extra));
  }};
}})"#
    )
}

/// The properties of `cols`, and what `writes` holds: the lists of the older contract.
fn lists_of(shape: &JobShape) -> (String, String) {
    let (mut lists, mut writes) = (String::new(), String::new());
    for (at, component) in shape.components.iter().enumerate() {
        let values = match component.opaque {
            true => format!("() => c{at}.values"),
            false => patches::values_of(&format!("f{at}"), &component.fields),
        };
        let _ = write!(
            lists,
            " get [{id}]() {{ return lists[{at}] ?? (lists[{at}] = ({values})()); }}, get [{name}]() {{ return this[{id}]; }},",
            id = component.id,
            name = quoted(&component.name)
        );
        // What is opaque is written by patches alone.
        if component.access == Access::Write || shape.patches.iter().any(|patched| patched.id == component.id) {
            let _ = write!(writes, "{}, ", component.id);
        }
    }
    (lists, writes)
}

/// As [`binder_source`], for a job that takes parts: gives [put, invoke]. Rust calls the first for each part with (part,
/// first row, rows, columns…, changed bits…, despawn bits), then the second with (rows, dt, time, extra, parts, resources…).
fn parts_binder_source(shape: &JobShape, realm: RealmKind) -> String {
    let shared = realm == RealmKind::Shared;
    let mut part = Binder::default();
    let comps = part.components(shape, "at");
    part.put("part.despawn");
    let mut script = Binder::default();
    let resources = script.resources(shape);
    let Binder { made: made_part, parameters: part_parameters, puts: part_puts, resets } = part;
    let Binder { made, parameters, puts, .. } = script;
    format!(
        r#"(function (handle, entity, takeEids, takeValues) {{
{TOOLS}{made}  let all, parts = freeze([]);
  const known = [];
  const make = (at) => {{
{made_part}    let eids, first = 0, count = 0;
    const part = {{
      rows: 0,
      get eids() {{ return eids ?? (eids = (all ?? (all = takeEids())).subarray(first, first + count)); }},
      comps: freeze({{{comps} }}),
      despawn: undefined,
      entity: (row) => entity(row, at),
    }};
    fix(part, ["comps", "entity"]);
    const put = (from, rows{part_parameters}) => {{
      eids = undefined;
      first = from;
      count = part.rows = rows;
{resets}{part_puts}    }};
    return {{ part, put }};
  }};
  const snap = {{ shared: {shared}, rows: 0, parts, res: freeze({{{resources} }}) }};
  fix(snap, ["shared", "res"]);
  return [
    function put(at, first, rows{part_parameters}) {{
      (known[at] ?? (known[at] = make(at))).put(first, rows{part_parameters});
    }},
    function invoke(rows, dt, time, extra, count{parameters}) {{
      all = undefined;
      if (parts.length !== count) {{
        const list = [];
        for (let at = 0; at < count; at++) list[at] = known[at].part;
        parts = freeze(list);
      }}
      snap.rows = rows;
      snap.parts = parts;
{puts}      return handle({{ snap, dt, time, extra }});
    }},
  ];
}})"#
    )
}

/// What binding scripts begin with.
const TOOLS: &str = r#"  "use strict";
  const { defineProperty, freeze, seal } = Object;
  const fix = (object, names) => {
    for (const name of names) defineProperty(object, name, { writable: false });
    seal(object);
  };
"#;

/// The parts of a binding script that grow with the shape.
#[derive(Default)]
struct Binder {
    made: String,
    parameters: String,
    puts: String,
    /// What forgets the last call's values.
    resets: String,
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

    /// The objects of all components of part `part`, a script; their views and bits come next. Gives the properties of
    /// `comps`.
    fn components(&mut self, shape: &JobShape, part: &str) -> String {
        let (mut names, mut numbers) = (String::new(), String::new());
        for (at, component) in shape.components.iter().enumerate() {
            self.fields(&format!("f{at}"), &component.fields);
            let mut values = String::new();
            if component.opaque {
                self.make(&format!("let w{at};"));
                let _ = writeln!(self.resets, "    w{at} = undefined;");
                values = format!(" get values() {{ return w{at} ?? (w{at} = takeValues({at}, {part})); }},");
            }
            self.make(&format!(
                "const c{at} = {{ fields: f{at}, changed: undefined,{values} }}; fix(c{at}, [\"fields\"]);"
            ));
            names += &format!(" [{}]: c{at},", quoted(&component.name));
            numbers += &format!(" {}: c{at},", component.id);
        }
        for at in 0..shape.components.len() {
            self.put(&format!("c{at}.changed"));
        }
        names + &numbers
    }

    /// The objects of all resources, whose views come next. Gives the properties of `res`.
    fn resources(&mut self, shape: &JobShape) -> String {
        let mut names = String::new();
        for (at, resource) in shape.resources.iter().enumerate() {
            self.fields(&format!("r{at}"), &resource.fields);
            names += &format!(" [{}]: r{at},", quoted(&resource.name));
        }
        names
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
