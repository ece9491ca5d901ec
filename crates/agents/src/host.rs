//! A thread's runtime.
//!
//! A thread has at most one SpiderMonkey runtime, a child of the [`Parent`]. Agents of different clusters on one thread are
//! realms in it.
//!
//! # Rules
//! - A runtime is made, used and destroyed on its own thread.
//! - When the thread ends before its lanes are dropped (a frame's thread keeps its lane in a thread-local), the agents of
//!   the thread close first, while the engine's own thread-locals still live: see [`Here`].

use std::cell::{Cell, RefCell};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::glue::{CreateJobQueue, DeleteJobQueue, JobQueueTraps, RustJobQueue};
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSGCParamKey, JSObject};
use mozjs::rust::{RootedTraceableBox, Runtime, ThreadSafeJSContext};

use crate::agent::{self, Slot};
use crate::engine::{Counted, Parent};
use crate::{AgentError, modules};

/// Stack left to what cannot check for its end: our natives, the collector, system calls.
const STACK_RESERVE_BYTES: usize = 256 << 10;
/// Stack that the engine keeps from scripts, for itself.
const SCRIPT_RESERVE_BYTES: usize = 110 << 10;
/// Stack given to JavaScript at most, in bytes: main threads may have no limit.
const STACK_BYTES_MAX: usize = 16 << 20;
/// The least stack worth starting on, in bytes.
const STACK_BYTES_MIN: usize = 128 << 10;
/// Largest young generation, in bytes. Calls make short-lived views and little else; the default is sixteen times that.
const NURSERY_BYTES_MAX: u32 = 4 << 20;
/// MiB of the old generation after which a collection starts. Detached buffers are all that a steady job leaves there;
/// they would fill three times as much by default, on every lane.
const GARBAGE_MIB: u32 = 8;
/// Milliseconds of a slice of a collection. By default a collection runs at once: 15 ms, which a frame would feel.
const SLICE_MS: u32 = 1;

/// One thread's runtime.
pub(crate) struct Host {
    runtime: ManuallyDrop<Runtime>,
    queue: *mut RustJobQueue,
    cx: NonNull<RawJSContext>,
    /// After the runtime.
    _counted: Counted,
    /// Last: the parent outlives its children.
    _parent: Arc<Parent>,
}

// The lowest address that scripts of this thread may use of its stack.
thread_local!(static FLOOR: Cell<usize> = const { Cell::new(0) });
thread_local!(static HERE: Here = const { Here { host: RefCell::new(Weak::new()), agents: RefCell::new(Vec::new()) } });

/// What this thread runs, weakly. Its destructor is registered after those of the engine's own thread-locals, and
/// destructors run in reverse: agents that are still open when the thread ends are closed before the engine's state goes.
struct Here {
    host: RefCell<Weak<Host>>,
    agents: RefCell<Vec<Weak<Slot>>>,
}

impl Drop for Here {
    fn drop(&mut self) {
        for agent in self.agents.take() {
            if let Some(agent) = agent.upgrade() {
                agent.close();
            }
        }
    }
}

impl Host {
    /// This thread's runtime, or a new one.
    pub(crate) fn of_this_thread(parent: &Arc<Parent>) -> Result<Rc<Host>, AgentError> {
        thread_local!(static ROOTED: Cell<bool> = const { Cell::new(false) });
        if !ROOTED.replace(true) {
            // Registers the destructor of the engine's root set, before the one of `HERE`.
            drop(RootedTraceableBox::from_box(Heap::<*mut JSObject>::boxed(ptr::null_mut())));
        }
        let ended = |_| AgentError::Engine("this thread is ending".into());
        if let Some(host) = HERE.try_with(|here| here.host.borrow().upgrade()).map_err(ended)? {
            return Ok(host);
        }
        let host = Rc::new(Host::start(parent)?);
        HERE.try_with(|here| *here.host.borrow_mut() = Rc::downgrade(&host)).map_err(ended)?;
        Ok(host)
    }

    /// Closes `agent` when this thread ends, if it is open then.
    pub(crate) fn watch(agent: &Rc<Slot>) {
        // An ending thread has no runtime to watch.
        let _ = HERE.try_with(|here| {
            let mut agents = here.agents.borrow_mut();
            agents.retain(|agent| agent.strong_count() != 0);
            agents.push(Rc::downgrade(agent));
        });
    }

    fn start(parent: &Arc<Parent>) -> Result<Host, AgentError> {
        if Runtime::get().is_some() {
            return Err(AgentError::Engine("this thread already runs SpiderMonkey for somebody else".into()));
        }
        let (quota, base) = stack()?;
        FLOOR.set(base.saturating_sub(quota - SCRIPT_RESERVE_BYTES));
        let ticket = parent.ticket()?;
        let counted = Counted::new()?;
        // SAFETY: the parent outlives the child: the host holds it and drops it last. This thread has no runtime.
        let mut runtime = unsafe { Runtime::create_with_parent(ticket) };
        static TRAPS: JobQueueTraps = JobQueueTraps {
            getHostDefinedData: Some(no_host_data),
            getHostDefinedGlobal: Some(no_host_global),
            runJobs: Some(run_no_jobs),
            traceNonGCThingMicroTask: Some(trace_no_task),
        };
        // SAFETY: the table is static; the queue is deleted after the runtime.
        let queue = unsafe { CreateJobQueue(&TRAPS) };
        let cx = runtime.cx();
        // SAFETY: `cx` is this thread's live context. The callbacks are static functions that never unwind and find their
        // state by the context's private pointer, which is null or points to the roots of the agent that runs. The quota
        // was measured on this thread.
        let cx = unsafe {
            let raw = cx.raw_cx();
            ja::JS_SetNativeStackQuota(raw, quota, quota - (10 << 10), quota - SCRIPT_RESERVE_BYTES);
            ja::SetJobQueue(raw, queue.cast());
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_MAX_NURSERY_BYTES, NURSERY_BYTES_MAX);
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_ALLOCATION_THRESHOLD, GARBAGE_MIB);
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_INCREMENTAL_GC_ENABLED, 1);
            ja::JS_SetGCParameter(raw, JSGCParamKey::JSGC_SLICE_TIME_BUDGET_MS, SLICE_MS);
            // Kernels are small: compiled once and well, they are as fast in their first call as in any other, and nothing
            // is left to threads of the engine's own.
            (*ja::ContextOptionsRef(raw)).set_wasmBaseline_(false);
            ja::JS_SetGCCallback(raw, Some(agent::collected), ptr::null_mut());
            ja::SetGCSliceCallback(raw, Some(agent::slice));
            // Fails only if memory is short; then these collections are not seen.
            let _ = ja::AddGCNurseryCollectionCallback(raw, Some(agent::nursery), ptr::null_mut());
            ja::JS_AddInterruptCallback(raw, Some(agent::interrupted));
            ja::SetPromiseRejectionTrackerCallback(raw, Some(agent::rejected), ptr::null_mut());
            let rt = ja::JS_GetRuntime(raw);
            ja::SetModuleLoadHook(rt, Some(modules::load_hook));
            ja::SetModuleMetadataHook(rt, Some(modules::meta_hook));
            NonNull::new_unchecked(raw)
        };
        Ok(Host { runtime: ManuallyDrop::new(runtime), queue, cx, _counted: counted, _parent: parent.clone() })
    }

    /// The thread's context.
    ///
    /// # Safety
    /// No other `JSContext` of this thread is in use while the result is.
    pub(crate) unsafe fn context(&self) -> JSContext {
        debug_assert!(self.is_here());
        // SAFETY: the pointer is the live context of this host's runtime; the caller answers for uniqueness.
        unsafe { JSContext::from_ptr(self.cx) }
    }

    /// Whether the calling thread is this host's.
    pub(crate) fn is_here(&self) -> bool {
        Runtime::get() == Some(self.cx)
    }

    /// Asks for interrupts from other threads.
    pub(crate) fn remote(&self) -> ThreadSafeJSContext {
        self.runtime.thread_safe_js_context()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: dropped once, here; all agents, which hold the roots, are gone, as each holds the host. The queue came
        // from `CreateJobQueue` and its runtime is gone.
        unsafe {
            ManuallyDrop::drop(&mut self.runtime);
            DeleteJobQueue(self.queue);
        }
    }
}

/// Bytes of this thread's stack that JavaScript may use, counted from its base, and where that is.
fn stack() -> Result<(usize, usize), AgentError> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut lowest, mut size) = (ptr::null_mut(), 0usize);
    // SAFETY: the calls get valid out-pointers; the attributes are initialised by the first, read by the second if that
    // succeeded, and destroyed by the third.
    let known = unsafe {
        libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 && {
            let known = libc::pthread_attr_getstack(attributes.as_ptr(), &mut lowest, &mut size) == 0;
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            known
        }
    };
    if !known {
        return Err(AgentError::Engine("this thread's stack has no known bounds".into()));
    }
    // The engine counts from the thread's base, so what the caller already uses counts too.
    let quota = size.saturating_sub(STACK_RESERVE_BYTES).min(STACK_BYTES_MAX);
    if quota < STACK_BYTES_MIN {
        let least = STACK_BYTES_MIN + STACK_RESERVE_BYTES;
        return Err(AgentError::Engine(format!("this thread's stack has {size} bytes, an agent needs {least}")));
    }
    Ok((quota, lowest.addr() + size))
}

/// Whether scripts of this thread have at least so much stack left.
pub(crate) fn has_stack(bytes: usize) -> bool {
    let here = 0_u8;
    (&raw const here).addr() >= FLOOR.get().saturating_add(bytes)
}

unsafe extern "C" fn no_host_data(
    _: *mut RawJSContext,
    _: ja::MutableHandle<*mut JSObject>,
    _: ja::MutableHandle<*mut JSObject>,
) -> bool {
    true
}

unsafe extern "C" fn no_host_global(_: *mut RawJSContext, _: ja::MutableHandle<*mut JSObject>) -> bool {
    true
}

unsafe extern "C" fn run_no_jobs(_: *mut RawJSContext) {}

unsafe extern "C" fn trace_no_task(_: *mut ja::JSTracer, _: *mut ja::Value) {}
