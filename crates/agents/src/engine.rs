//! The engine of the process, and the parent runtime that outlives all agents.
//!
//! SpiderMonkey is initialised once per process and never shut down: it cannot be initialised again. The parent runtime
//! lives on a control thread of its own. Every child runtime holds the [`Parent`], so the parent is destroyed after the
//! last of them, on its own thread, whatever is dropped first.
//!
//! # Rules
//! - Nothing runs in the parent runtime; it only gives birth.
//! - When the process ends, the engine is shut down if no runtime is left; else (a pool in a static, `process::exit` from a
//!   worker) the process leaves before static destructors run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use mozjs::jsapi::{JS_SetGlobalJitCompilerOption, JSJitCompilerOption, SetStackFormat, StackFormat};
use mozjs::rust::{JSEngine, JSEngineHandle, ParentRuntime, Runtime};

use crate::AgentError;
use crate::spawned::Compiled;

static ENGINE: OnceLock<Result<JSEngineHandle, String>> = OnceLock::new();
static PARENT: Mutex<Weak<Parent>> = Mutex::new(Weak::new());
/// Living runtimes, the parent included, or [`ENDED`]. Counted up before one is made, down after it is destroyed.
static RUNTIMES: AtomicUsize = AtomicUsize::new(0);
/// The engine was shut down, as the process ends.
const ENDED: usize = usize::MAX;

/// Counts a runtime for as long as it lives.
pub(crate) struct Counted(());

impl Counted {
    pub(crate) fn new() -> Result<Counted, AgentError> {
        let more = |count| (count != ENDED).then(|| count + 1);
        match RUNTIMES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) {
            Ok(_) => Ok(Counted(())),
            Err(_) => Err(AgentError::Engine("the process is ending".into())),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        RUNTIMES.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The parent runtime's control thread.
pub(crate) struct Parent {
    asks: Option<Sender<Sender<ParentRuntime>>>,
    thread: Option<JoinHandle<()>>,
    /// What spawned agents run first, compiled.
    pub(crate) scripts: Compiled,
}

impl Parent {
    /// The parent that lives now, or a new one.
    pub(crate) fn shared() -> Result<Arc<Parent>, AgentError> {
        let mut shared = PARENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = shared.upgrade() {
            return Ok(parent);
        }
        let parent = Arc::new(Parent::start()?);
        *shared = Arc::downgrade(&parent);
        Ok(parent)
    }

    fn start() -> Result<Parent, AgentError> {
        let (asks, asked) = mpsc::channel::<Sender<ParentRuntime>>();
        let (ready, started) = mpsc::channel();
        let control = move || {
            let engine = ENGINE.get_or_init(|| {
                let engine = JSEngine::init().map_err(|error| format!("{error:?}"))?;
                let handle = engine.handle();
                // Its drop would shut the engine down for good: that is left to the end of the process.
                std::mem::forget(engine);
                at_exit();
                Ok(handle)
            });
            let engine = match engine {
                Ok(engine) => engine.clone(),
                Err(why) => return drop(ready.send(Err(AgentError::Engine(why.clone())))),
            };
            let _counted = match Counted::new() {
                Ok(counted) => counted,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let mut parent = Runtime::new(engine);
            set_up(&mut parent);
            if ready.send(Ok(())).is_err() {
                return;
            }
            while let Ok(answer) = asked.recv() {
                // Who asked may have gone; the ticket then just dies.
                let _ = answer.send(parent.prepare_for_new_child());
            }
        };
        let thread = thread::Builder::new()
            .name("peristyle-agents".into())
            .stack_size(4 << 20)
            .spawn(control)
            .map_err(|error| AgentError::Engine(format!("no control thread: {error}")))?;
        let parent = Parent { asks: Some(asks), thread: Some(thread), scripts: Compiled::new() };
        match started.recv() {
            Ok(Ok(())) => Ok(parent),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(AgentError::Engine("its control thread panicked".into())),
        }
    }

    /// A ticket for one child runtime.
    pub(crate) fn ticket(&self) -> Result<ParentRuntime, AgentError> {
        let gone = || AgentError::Engine("its control thread has ended".into());
        let (answer, ticket) = mpsc::channel();
        self.asks.as_ref().ok_or_else(gone)?.send(answer).map_err(|_| gone())?;
        ticket.recv().map_err(|_| gone())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // While its runtime is counted, the engine is not shut down.
        self.scripts.clear();
        // The channel's end is the word to end.
        drop(self.asks.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Calls of a function, or turns of a loop, before the engine compiles stubs for its operations. The default is 10, which
/// code that runs once soon reaches; the stubs that our own start-up would need took an agent 0.6 ms.
const WARM_UP: u32 = 60;

/// Sets what the engine keeps per process or in the parent.
///
/// Spectre mitigations are turned off: scripts are code that the host's user chose and sit in the address space of the host
/// anyway; jobs have no clock and no shared memory to measure with, spawned agents have both. They cost a masked index per
/// column access.
fn set_up(parent: &mut Runtime) {
    use JSJitCompilerOption::*;
    let cx = parent.cx();
    for option in [
        JSJITCOMPILER_SPECTRE_INDEX_MASKING,
        JSJITCOMPILER_SPECTRE_OBJECT_MITIGATIONS,
        JSJITCOMPILER_SPECTRE_STRING_MITIGATIONS,
        JSJITCOMPILER_SPECTRE_VALUE_MASKING,
        JSJITCOMPILER_SPECTRE_JIT_TO_CXX_CALLS,
    ] {
        // SAFETY: the context is this thread's own and alive; no job code has been compiled in this runtime.
        unsafe { JS_SetGlobalJitCompilerOption(cx.raw_cx(), option, 0) };
    }
    // SAFETY: as above.
    unsafe { JS_SetGlobalJitCompilerOption(cx.raw_cx(), JSJITCOMPILER_BASELINE_INTERPRETER_WARMUP_TRIGGER, WARM_UP) };
    // SAFETY: as above; no stack has been captured. Children ask their parent for the format.
    unsafe { SetStackFormat(cx.raw_cx(), StackFormat::V8) };
}

/// Sees to it that the process ends well. The engine's static destructors must not run while its helper threads do, nor
/// under a live runtime: the first is a race that ends in `SIGSEGV`, the second is one for sure.
fn at_exit() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        }
        extern "C" fn end(status: c_int, _: *mut c_void) {
            let idle = RUNTIMES.compare_exchange(0, ENDED, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            // SAFETY: without a runtime nothing uses the engine, and from now on none can be made. Else the process leaves
            // at once; Rust's own streams were flushed before handlers run.
            unsafe {
                if idle {
                    mozjs::jsapi::JS_ShutDown();
                } else {
                    libc::fflush(std::ptr::null_mut());
                    libc::_exit(status);
                }
            }
        }
        // SAFETY: the handler is a static function and its argument is not used. Registered after the engine's own static
        // objects were made, it runs before they are destroyed.
        unsafe { on_exit(end, std::ptr::null_mut()) };
    }
}
