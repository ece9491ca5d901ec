//! ES modules of one agent.
//!
//! Each agent compiles a file once, from the cluster's [`Sources`](crate::source::Sources), and keeps the module for ever.
//! A module's private value is its index in the agent's list: that is how hooks know who imports.
//!
//! # Rules
//! - Loading is synchronous: the hook answers before it returns, so promises of loading are settled at once.
//! - What went wrong is kept beside the JavaScript exception, typed, for who asked for the module.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::conversions::jsstr_to_string;
use mozjs::gc::MutableHandleObject;
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject, JSScript, ModuleType, PromiseState, Value};
use mozjs::jsval::{Int32Value, JSVal, StringValue, UndefinedValue};
use mozjs::rust::{CompileOptionsWrapper, error_info_from_exception_stack, transform_str_to_source_text};
use mozjs::{glue, rooted};

use crate::AgentError;
use crate::agent::{Roots, drain, guarded, take_failure, throw};
use crate::source::{self, Kind, Source};

/// How many imports may load one inside the other: loading recurses on the native stack.
const IMPORT_DEPTH_MAX: u32 = 256;

/// A compiled module.
pub(crate) struct Module {
    source: Arc<Source>,
    pub(crate) object: Box<Heap<*mut JSObject>>,
}

/// Loads, links and evaluates the module at a canonical path; `namespace` is its namespace object.
///
/// The context is in the agent's realm, and the agent is entered.
pub(crate) fn evaluate(
    cx: &mut JSContext,
    roots: &Roots,
    path: &Path,
    mut namespace: MutableHandleObject,
) -> Result<(), AgentError> {
    roots.failure.take();
    let module = find_or_compile(cx, roots, path)?;
    let unsettled = || AgentError::Unsettled { path: path.to_owned() };
    // SAFETY: the context is alive and in the agent's realm, everything that may move is rooted, and the handles given
    // point to those roots.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let module = module);
        rooted!(in(raw) let mut promise = ptr::null_mut::<JSObject>());
        rooted!(in(raw) let mut value = UndefinedValue());
        let undefined = ja::UndefinedHandleValue;
        if !ja::LoadRequestedModules1(raw, module.handle().into(), undefined, promise.handle_mut().into()) {
            return Err(roots.failure.take().unwrap_or_else(|| take_failure(cx, roots).into()));
        }
        match ja::GetPromiseState(promise.handle().into()) {
            PromiseState::Fulfilled => {}
            PromiseState::Pending => return Err(unsettled()),
            PromiseState::Rejected => {
                glue::JS_GetPromiseResult(promise.handle().into(), value.handle_mut().into());
                let _ = ja::SetAnyPromiseIsHandled(raw, promise.handle().into());
                roots.unhandled.borrow_mut().clear();
                let described = || roots.rejection(cx, value.handle()).into();
                return Err(roots.failure.take().unwrap_or_else(described));
            }
        }
        if !ja::ModuleLink(raw, module.handle().into()) {
            return Err(pending_syntax_error(cx, roots, path));
        }
        if !ja::ModuleEvaluate(raw, module.handle().into(), value.handle_mut().into()) {
            return Err(take_failure(cx, roots).into());
        }
        if !value.is_object() {
            return Err(unsettled());
        }
        promise.set(value.to_object());
        if !drain(cx) {
            return Err(take_failure(cx, roots).into());
        }
        match ja::GetPromiseState(promise.handle().into()) {
            PromiseState::Fulfilled => {}
            PromiseState::Pending => return Err(unsettled()),
            PromiseState::Rejected => {
                glue::JS_GetPromiseResult(promise.handle().into(), value.handle_mut().into());
                let _ = ja::SetAnyPromiseIsHandled(raw, promise.handle().into());
                roots.unhandled.borrow_mut().clear();
                return Err(roots.rejection(cx, value.handle()).into());
            }
        }
        namespace.set(ja::GetModuleNamespace(raw, module.handle().into()));
        if namespace.get().is_null() {
            return Err(take_failure(cx, roots).into());
        }
    }
    Ok(())
}

/// The module of a file; not rooted.
fn find_or_compile(cx: &mut JSContext, roots: &Roots, path: &Path) -> Result<*mut JSObject, AgentError> {
    if let Some(known) = roots.modules.borrow().iter().find(|module| module.source.path == path) {
        return Ok(known.object.get());
    }
    let source = roots.shared.sources.load(path)?;
    let options = CompileOptionsWrapper::new(cx, source.name.clone(), 1);
    let mut text = transform_str_to_source_text(&source.text);
    // SAFETY: the context is in the agent's realm; options and text live until the call returns, which copies the text.
    let module = unsafe {
        match source.kind {
            Kind::Script => ja::CompileModule1(cx.raw_cx(), options.ptr, &mut text),
            Kind::Json => ja::CompileJsonModule1(cx.raw_cx(), options.ptr, &mut text),
            Kind::Common | Kind::Builtin => {
                let reason = "a CommonJS module, which jobs cannot import".into();
                return Err(AgentError::Unreadable { path: source.path.clone(), reason });
            }
        }
    };
    if module.is_null() {
        return Err(pending_syntax_error(cx, roots, path));
    }
    let mut modules = roots.modules.borrow_mut();
    if source.kind == Kind::Script {
        // SAFETY: a source text module just made; nothing collects before it is in the list.
        unsafe { ja::SetModulePrivate(module, &Int32Value(modules.len() as i32)) };
    }
    modules.push(Module { source, object: Heap::boxed(module) });
    Ok(module)
}

/// The pending exception of a failed compilation or link.
fn pending_syntax_error(cx: &mut JSContext, roots: &Roots, path: &Path) -> AgentError {
    // SAFETY: the context is alive and in the agent's realm.
    unsafe {
        if !ja::JS_IsExceptionPending(cx.raw_cx()) {
            return take_failure(cx, roots).into();
        }
        rooted!(in(cx.raw_cx()) let mut value = UndefinedValue());
        match error_info_from_exception_stack(cx, value.handle_mut()) {
            Some(info) => AgentError::Syntax {
                path: if info.filename.is_empty() { path.to_owned() } else { info.filename.into() },
                line: info.line,
                column: info.col,
                message: info.message,
            },
            None => {
                AgentError::Syntax { path: path.to_owned(), line: 1, column: 1, message: "cannot be compiled".into() }
            }
        }
    }
}

/// The engine's question for an imported module.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn load_hook(
    raw: *mut RawJSContext,
    referrer: ja::Handle<*mut JSScript>,
    request: ja::Handle<*mut JSObject>,
    _host_defined: ja::Handle<Value>,
    payload: ja::Handle<Value>,
    line: u32,
    column: ja::ColumnNumberOneOrigin,
) -> bool {
    guarded(raw, |cx| {
        // SAFETY: called by the engine, on the agent's thread and in its realm, with rooted handles.
        unsafe {
            let Some(roots) = Roots::of(raw) else {
                throw(cx, "no agent runs here");
                return ja::FinishLoadingImportedModuleFailedWithPendingException(raw, payload);
            };
            let _deeper = Deeper::new(&roots.import_depth);
            match import(cx, roots, referrer, request, (line, { column._base })) {
                Ok(module) => {
                    rooted!(in(raw) let module = module);
                    if payload.get().is_object() {
                        rooted!(in(raw) let asked = payload.get().to_object());
                        if ja::IsPromiseObject(asked.handle().into())
                            && !load_graph(cx, &roots.unhandled, module.handle().into())
                        {
                            return ja::FinishLoadingImportedModuleFailedWithPendingException(raw, payload);
                        }
                    }
                    ja::FinishLoadingImportedModule(raw, referrer, request, payload, module.handle().into(), true)
                }
                Err(AgentError::Terminated(_)) => false,
                Err(error) => {
                    throw(cx, &error.to_string());
                    roots.failure.borrow_mut().get_or_insert(error);
                    ja::FinishLoadingImportedModuleFailedWithPendingException(raw, payload)
                }
            }
        }
    })
}

/// Counts hooks inside hooks: finishing one import loads the imports of the module it brought.
pub(crate) struct Deeper<'a>(&'a Cell<u32>);

impl<'a> Deeper<'a> {
    pub(crate) fn new(depth: &'a Cell<u32>) -> Deeper<'a> {
        depth.set(depth.get() + 1);
        Deeper(depth)
    }
}

impl Drop for Deeper<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Loads what a dynamically imported module imports, which the engine leaves to its host. On failure an exception is
/// pending.
///
/// # Safety
/// The context is in the agent's realm and `module` is rooted.
#[expect(clippy::vec_box, reason = "the collector's barriers know a heap pointer by its address")]
pub(crate) unsafe fn load_graph(
    cx: &mut JSContext,
    unhandled: &RefCell<Vec<Box<Heap<*mut JSObject>>>>,
    module: ja::Handle<*mut JSObject>,
) -> bool {
    // SAFETY: as the caller answers; everything else is rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut promise = ptr::null_mut::<JSObject>());
        if !ja::LoadRequestedModules1(raw, module, ja::UndefinedHandleValue, promise.handle_mut().into()) {
            return false;
        }
        if ja::GetPromiseState(promise.handle().into()) == PromiseState::Fulfilled {
            return true;
        }
        rooted!(in(raw) let mut reason = UndefinedValue());
        glue::JS_GetPromiseResult(promise.handle().into(), reason.handle_mut().into());
        let _ = ja::SetAnyPromiseIsHandled(raw, promise.handle().into());
        unhandled.borrow_mut().retain(|unhandled| unhandled.get() != promise.get());
        ja::JS_SetPendingException(raw, reason.handle().into(), ja::ExceptionStackBehavior::Capture);
        false
    }
}

/// The module that a request names; not rooted.
///
/// # Safety
/// As the engine calls [`load_hook`].
unsafe fn import(
    cx: &mut JSContext,
    roots: &Roots,
    referrer: ja::Handle<*mut JSScript>,
    request: ja::Handle<*mut JSObject>,
    (line, column): (u32, u32),
) -> Result<*mut JSObject, AgentError> {
    // SAFETY: handles are rooted by the engine; the specifier is used before anything can collect.
    let (specifier, kind, importer) = unsafe {
        let raw = cx.raw_cx();
        let specifier = NonNull::new(ja::GetModuleRequestSpecifier(raw, request));
        let specifier = specifier.map(|specifier| jsstr_to_string(cx, specifier)).unwrap_or_default();
        rooted!(in(raw) let mut private = UndefinedValue());
        if !referrer.get().is_null() {
            glue::JS_GetScriptPrivate(referrer.get(), private.handle_mut().into());
        }
        (specifier, ja::GetModuleRequestType(raw, request), importer_of(roots, private.get()))
    };
    let Some(importer) = importer else {
        let importer = "(code without a file)".into();
        let reason = "only modules import".into();
        return Err(AgentError::Import { importer, line, column, specifier, reason });
    };
    let refuse = |reason: String| AgentError::Import {
        importer: importer.path.clone(),
        line,
        column,
        specifier: specifier.clone(),
        reason,
    };
    let path = source::resolve(&importer.path, &specifier).map_err(refuse)?;
    let json = path.extension().is_some_and(|extension| extension == "json");
    match kind {
        ModuleType::JSON if json => {}
        ModuleType::JavaScript if !json => {}
        ModuleType::JavaScript => return Err(refuse("JSON is imported with { type: \"json\" }".into())),
        ModuleType::JSON => return Err(refuse("the file is not JSON".into())),
        _ => return Err(refuse("only JavaScript, TypeScript and JSON are imported".into())),
    }
    if roots.import_depth.get() > IMPORT_DEPTH_MAX {
        return Err(refuse(format!("imports nest more than {IMPORT_DEPTH_MAX} deep")));
    }
    find_or_compile(cx, roots, &path)
}

fn importer_of(roots: &Roots, private: JSVal) -> Option<Arc<Source>> {
    let at = if private.is_int32() { usize::try_from(private.to_int32()).ok()? } else { return None };
    roots.modules.borrow().get(at).map(|module| module.source.clone())
}

/// Fills `import.meta`.
///
/// # Safety
/// For the engine to call.
pub(crate) unsafe extern "C" fn meta_hook(
    raw: *mut RawJSContext,
    module: ja::Handle<*mut JSObject>,
    meta: ja::Handle<*mut JSObject>,
) -> bool {
    guarded(raw, |cx| {
        // SAFETY: called by the engine, on the agent's thread and in its realm, with rooted handles.
        unsafe {
            rooted!(in(raw) let mut private = UndefinedValue());
            glue::JS_GetModulePrivate(module.get(), private.handle_mut().into());
            let Some(source) = Roots::of(raw).and_then(|roots| importer_of(roots, private.get())) else {
                throw(cx, "import.meta outside a module");
                return false;
            };
            let url = CString::new(source.url.as_str()).unwrap_or_default();
            let url = ja::JS_NewStringCopyZ(raw, url.as_ptr());
            if url.is_null() {
                return false;
            }
            rooted!(in(raw) let url = StringValue(&*url));
            ja::JS_DefineProperty(raw, meta, c"url".as_ptr(), url.handle().into(), ja::JSPROP_ENUMERATE as u32)
        }
    })
}
