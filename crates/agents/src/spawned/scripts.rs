//! The scripts that make a spawned agent's realm what it is.
//!
//! `web.js` holds what an agent needs that says who listens, and posts. Everything else is a *part*: a script in `web/` that
//! evaluates to a function, which gets the internals of `web.js`, adds to them and returns the globals that it defines, by
//! name. A part is run when one of those names is first looked up (see [`global`](super::global)), or when another script asks
//! the internals for what it adds; `web.js` when one of its names is, or when Rust first needs one of its tools: an agent that
//! does neither runs no script of ours.
//!
//! A script is compiled once, completely and without keeping its text, to a stencil: immutable data that every runtime makes
//! its own functions from. Stencils belong to the parent runtime, as they hold strings of the engine's. Functions of ours
//! show as native code.

use std::ffi::CStr;
use std::ptr;
use std::sync::OnceLock;

use mozjs::context::JSContext;
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{DelazificationOption, InstantiateOptions};
use mozjs::jsval::JSVal;
use mozjs::rooted;
use mozjs::rust::{CompileOptionsWrapper, Stencil, transform_str_to_source_text};

use super::convert::{Converted, Pending, done};
use super::node;

/// A script of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// What stacks show; frames of `peristyle:` are left out of errors.
    name: &'static CStr,
    text: &'static str,
    /// Its place among all scripts.
    at: usize,
}

/// A script that defines globals.
pub(crate) struct Part {
    pub(crate) name: &'static CStr,
    pub(crate) text: &'static str,
    /// The names that it defines: all of them, as looking up another one does not run it.
    pub(crate) globals: &'static [&'static str],
}

pub(crate) const INSPECT: Script = Script { name: c"peristyle:inspect", text: include_str!("../inspect.js"), at: 0 };
pub(crate) const WEB: Script = Script { name: c"peristyle:web", text: include_str!("web.js"), at: 1 };

/// The globals that `web.js` defines, all of them.
pub(crate) const WEB_GLOBALS: [&str; 14] = [
    "self",
    "name",
    "postMessage",
    "close",
    "onmessage",
    "onmessageerror",
    "onerror",
    "onunhandledrejection",
    "addEventListener",
    "removeEventListener",
    "dispatchEvent",
    "reportError",
    "structuredClone",
    "queueMicrotask",
];

/// At most 63. A name belongs to the first that has it.
pub(crate) static PARTS: [Part; 14] = [
    Part {
        name: c"peristyle:performance",
        text: include_str!("web/performance.js"),
        globals: &["performance", "navigator"],
    },
    Part {
        name: c"peristyle:locks",
        text: include_str!("web/locks.js"),
        // The engine's own object, to which the script adds.
        globals: &["Atomics", "ThreadLocal"],
    },
    // Run before all else where agents take turns, and nowhere else.
    Part { name: c"peristyle:deterministic", text: include_str!("web/deterministic.js"), globals: &[] },
    Part {
        name: c"peristyle:encoding",
        text: include_str!("web/encoding.js"),
        globals: &["TextEncoder", "TextDecoder", "atob", "btoa"],
    },
    Part { name: c"peristyle:url", text: include_str!("web/url.js"), globals: &["URL", "URLSearchParams"] },
    Part {
        name: c"peristyle:abort",
        text: include_str!("web/abort.js"),
        globals: &["AbortController", "AbortSignal", "CustomEvent"],
    },
    Part { name: c"peristyle:broadcast", text: include_str!("web/broadcast.js"), globals: &["BroadcastChannel"] },
    Part { name: c"peristyle:exceptions", text: include_str!("web/exceptions.js"), globals: &["DOMException"] },
    Part {
        name: c"peristyle:events",
        text: include_str!("web/events.js"),
        globals: &["Event", "EventTarget", "MessageEvent", "ErrorEvent", "PromiseRejectionEvent"],
    },
    Part { name: c"peristyle:ports", text: include_str!("web/ports.js"), globals: &["MessagePort", "MessageChannel"] },
    Part { name: c"peristyle:workers", text: include_str!("web/workers.js"), globals: &["Worker"] },
    Part {
        name: c"peristyle:timers",
        text: include_str!("web/timers.js"),
        globals: &["setTimeout", "setInterval", "clearTimeout", "clearInterval"],
    },
    Part { name: c"peristyle:console", text: include_str!("web/console.js"), globals: &["console"] },
    Part { name: c"peristyle:collections", text: include_str!("web/collections.js"), globals: &[] },
];
/// Places of parts that Rust runs.
pub(crate) const LOCKS: usize = 1;
pub(crate) const DETERMINISTIC: usize = 2;
pub(crate) const EXCEPTIONS: usize = 7;
pub(crate) const EVENTS: usize = 8;
pub(crate) const PORTS: usize = 9;

impl Part {
    /// The place of the part that is called so, after `peristyle:`.
    pub(crate) fn place(name: &str) -> Option<usize> {
        PARTS.iter().position(|part| part.name.to_bytes().strip_prefix(b"peristyle:") == Some(name.as_bytes()))
    }

    /// The script of the part at this place in [`PARTS`].
    pub(crate) fn script(at: usize) -> Script {
        let Part { name, text, .. } = PARTS[at];
        Script { name, text, at: at + 2 }
    }
}

impl Script {
    /// The script of Node's module at this place in their table; after them comes `boot.js`.
    pub(crate) fn of_node(at: usize) -> Script {
        let (name, text) = node::MODULES.get(at).map_or(node::BOOT, |(_, name, text)| (name, text));
        Script { name, text, at: PARTS.len() + 2 + at }
    }
}

/// All scripts of ours.
const COUNT: usize = PARTS.len() + 2 + node::MODULES.len() + 1;

/// Compiled scripts. They are to be gone before the engine is shut down.
pub(crate) struct Compiled([OnceLock<Stencil>; COUNT]);

// SAFETY: a stencil that was parsed completely and holds no source never changes; its count of references is atomic.
unsafe impl Sync for Compiled {}

impl Compiled {
    pub(crate) const fn new() -> Compiled {
        Compiled([const { OnceLock::new() }; COUNT])
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|stencil| drop(stencil.take()));
    }

    /// Evaluates a script.
    ///
    /// # Safety
    /// `cx` is this thread's context, in a realm, which is entered.
    pub(crate) unsafe fn run(
        &self,
        cx: &mut JSContext,
        script: Script,
        value: &mut RootedGuard<'_, JSVal>,
    ) -> Converted<()> {
        let known = &self.0[script.at];
        let stencil = match known.get() {
            Some(stencil) => stencil,
            None => {
                // Two agents may both come here; the later result is dropped.
                // SAFETY: as the caller answers.
                let stencil = unsafe { compile(cx, script)? };
                known.get_or_init(|| stencil)
            }
        };
        let options = InstantiateOptions {
            skipFilenameValidation: false,
            hideScriptFromDebugger: false,
            deferDebugMetadata: false,
            eagerDelazificationStrategy_: DelazificationOption::ParseEverythingEagerly,
            eagerBaselineStrategy_: ja::EagerBaselineOption::None,
        };
        // SAFETY: as the caller answers; the stencil lives as long as it lies here, the script holds what it needs of it.
        unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let script = ja::InstantiateGlobalStencil(raw, &options, **stencil, ptr::null_mut()));
            done(!script.is_null())?;
            done(ja::JS_ExecuteScript(raw, script.handle().into(), value.handle_mut().into()))
        }
    }
}

/// # Safety
/// As for [`Compiled::run`].
unsafe fn compile(cx: &mut JSContext, script: Script) -> Converted<Stencil> {
    let options = CompileOptionsWrapper::new(cx, script.name.to_owned(), 1);
    let mut text = transform_str_to_source_text(script.text);
    // SAFETY: as the caller answers; options and text live until the call returns, and the options are ours to change.
    let stencil = unsafe {
        (*options.ptr)._base.discardSource = true;
        (*options.ptr)._base.eagerDelazificationStrategy_ = DelazificationOption::ParseEverythingEagerly;
        Stencil::from_raw(ja::CompileGlobalScriptToStencil(cx.raw_cx(), options.ptr, &mut text))
    };
    if stencil.is_null() { Err(Pending) } else { Ok(stencil) }
}
