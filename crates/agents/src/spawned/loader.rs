//! Modules of a spawned agent: files, a bundle in memory, and `data:` URLs.
//!
//! Files are read and stripped once per cluster ([`Sources`](crate::source::Sources)); a bundle's modules are prepared when
//! the agent is spawned. A module's private value is its index in the agent's list: that is how hooks know who imports.
//!
//! Inside a bundle, relative specifiers are resolved against the importer's name and bare ones are names; a source alone is
//! a bundle of one, and what it does not have is a file relative to the working directory.
//!
//! # Rules
//! - Loading is synchronous: the hook answers before it returns, so promises of loading are settled at once. Evaluation need
//!   not be: a main module that awaits at its top level goes on in later tasks.
//! - What went wrong is kept beside the JavaScript exception, typed.

use std::collections::HashMap;
use std::ffi::CString;
use std::path::{Component, Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::conversions::jsstr_to_string;
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject, JSScript, ModuleType, PromiseState, Value};
use mozjs::jsval::{Int32Value, JSVal, StringValue, UndefinedValue};
use mozjs::rust::{CompileOptionsWrapper, error_info_from_exception_stack, transform_str_to_source_text};
use mozjs::{glue, rooted};

use super::Code;
use super::convert::Pending;
use super::realm::Realm;
use super::synthetic::text_module;
use crate::AgentError;
use crate::agent::{guarded, throw};
use crate::cluster::Shared;
use crate::modules::{Deeper, load_graph};
use crate::source::{self, Kind, Source};

/// How many imports may load one inside the other: loading recurses on the native stack.
const IMPORT_DEPTH_MAX: u32 = 256;
/// Extensions that a specifier may leave out.
const EXTENSIONS: [&str; 4] = ["ts", "js", "mts", "mjs"];

/// A compiled module.
pub(crate) struct Module {
    pub(super) source: Arc<Source>,
    pub(crate) object: Box<Heap<*mut JSObject>>,
}

/// What an agent's code consists of.
pub(crate) struct Library {
    pub(crate) main: Arc<Source>,
    /// Modules in memory, by normal path.
    modules: HashMap<PathBuf, Arc<Source>>,
    /// Whether what is not among them may be a file.
    files: bool,
}

impl Library {
    /// Reads and prepares a code's main module, and all modules of a bundle.
    pub(crate) fn new(shared: &Shared, code: Code) -> Result<Library, AgentError> {
        let one = |main: Arc<Source>, files| {
            let modules = HashMap::from([(main.path.clone(), main.clone())]);
            Library { main, modules, files }
        };
        match code {
            Code::File(path) => {
                let main = shared.sources.load(&source::locate(&path)?)?;
                Ok(Library { main, modules: HashMap::new(), files: true })
            }
            Code::Source { name, text } => Ok(one(Arc::new(source::prepare(&normal(Path::new(&name)), text)?), true)),
            Code::Bundle { main, modules } => {
                let mut prepared = HashMap::new();
                for (name, text) in modules {
                    let source = Arc::new(source::prepare(&normal(Path::new(&name)), text)?);
                    prepared.insert(source.path.clone(), source);
                }
                let main = normal(Path::new(&main));
                let main = prepared.get(&main).cloned().ok_or(AgentError::Missing { path: main })?;
                Ok(Library { main, modules: prepared, files: false })
            }
        }
    }

    /// A library with the same modules and another main one, named as an import of the main module would name it.
    pub(crate) fn entered_at(&self, shared: &Shared, specifier: &str) -> Result<Library, String> {
        let main = self.resolve(shared, &self.main, specifier)?.map_err(|error| error.to_string())?;
        Ok(Library { main, modules: self.modules.clone(), files: self.files })
    }

    /// What `specifier` names in `importer`. The outer error says why it names nothing, the inner one what is wrong with
    /// what it names.
    fn resolve(
        &self,
        shared: &Shared,
        importer: &Source,
        specifier: &str,
    ) -> Result<Result<Arc<Source>, AgentError>, String> {
        if let Some(rest) = specifier.strip_prefix("data:") {
            return data(specifier, rest).map(Ok);
        }
        let path = match specifier.strip_prefix("file://") {
            Some(path) => PathBuf::from(unescape(path)?),
            None => {
                let relative = specifier.starts_with("./") || specifier.starts_with("../");
                let directory = importer.path.parent().unwrap_or(Path::new(""));
                let wanted = normal(&if relative { directory.join(specifier) } else { PathBuf::from(specifier) });
                if let Some(known) = self.bundled(&wanted) {
                    return Ok(Ok(known));
                }
                if !self.files {
                    return Err("the bundle has no such module".into());
                }
                source::resolve(&importer.path, specifier)?
            }
        };
        if !self.files {
            return Err("a bundle imports no files".into());
        }
        Ok(source::locate(&path).and_then(|path| shared.sources.load(&path)))
    }

    /// The file that `specifier` names in `importer`, whatever it is; `Err` says why there is none.
    pub(super) fn file(&self, importer: &Source, specifier: &str) -> Result<PathBuf, String> {
        if !self.files {
            return Err("a bundle imports no files".into());
        }
        source::resolve(&importer.path, specifier)
    }

    fn bundled(&self, wanted: &Path) -> Option<Arc<Source>> {
        let with = |extension: &str| {
            let mut name = wanted.to_owned().into_os_string();
            name.push(".");
            name.push(extension);
            self.modules.get(Path::new(&name))
        };
        self.modules.get(wanted).or_else(|| EXTENSIONS.into_iter().find_map(with)).cloned()
    }
}

/// A path without `.` and `..`, as far as it goes.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// The module in a `data:` URL.
fn data(url: &str, rest: &str) -> Result<Arc<Source>, String> {
    let (kind, body) = rest.split_once(',').ok_or("a data: URL without a comma")?;
    let (kind, base64) = match kind.strip_suffix(";base64") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let extension = match kind.split(';').next().unwrap_or_default() {
        "text/javascript" | "application/javascript" => "mjs",
        "application/json" => "json",
        other => return Err(format!("a data: URL of type {other:?} is no module")),
    };
    let text = match base64 {
        true => String::from_utf8(decode_base64(&unescape(body)?).ok_or("its base64 is wrong")?)
            .map_err(|_| "its bytes are not UTF-8")?,
        false => unescape(body)?,
    };
    // The URL is what names the module; its extension says how to read it.
    let path = PathBuf::from(format!("{url}#.{extension}"));
    source::prepare(&path, text).map(Arc::new).map_err(|error| error.to_string())
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err("a percent sign without two digits".into()),
        }
    }
    String::from_utf8(bytes).map_err(|_| "its bytes are not UTF-8".into())
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=');
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in digits {
        let digit = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Loads and links the main module and begins to evaluate it; `promise` settles when that is done.
///
/// # Safety
/// `cx` is this thread's context, in the realm of `realm`.
pub(crate) unsafe fn begin(
    cx: &mut JSContext,
    realm: &Realm,
    promise: &mut RootedGuard<'_, JSVal>,
) -> Result<(), AgentError> {
    let main = realm.library.main.clone();
    // SAFETY: as the caller answers; everything that may move is rooted.
    unsafe {
        let raw = cx.raw_cx();
        rooted!(in(raw) let mut module = ptr::null_mut::<JSObject>());
        match find_or_compile(cx, realm, &main) {
            Ok(found) => module.set(found),
            Err(error) => {
                ja::JS_ClearPendingException(raw);
                return Err(error);
            }
        }
        rooted!(in(raw) let mut loading = ptr::null_mut::<JSObject>());
        let failed = |cx: &mut JSContext| realm.failure.take().unwrap_or_else(|| failure(cx, realm));
        if !ja::LoadRequestedModules1(
            raw,
            module.handle().into(),
            ja::UndefinedHandleValue,
            loading.handle_mut().into(),
        ) {
            return Err(failed(cx));
        }
        if ja::GetPromiseState(loading.handle().into()) != PromiseState::Fulfilled {
            rooted!(in(raw) let mut reason = UndefinedValue());
            glue::JS_GetPromiseResult(loading.handle().into(), reason.handle_mut().into());
            let _ = ja::SetAnyPromiseIsHandled(raw, loading.handle().into());
            realm.unhandled.borrow_mut().clear();
            return Err(match realm.failure.take() {
                Some(error) => error,
                None => realm.describe(cx, reason.handle()).into(),
            });
        }
        if !ja::ModuleLink(raw, module.handle().into()) {
            let error = syntax_error(cx, realm, &main.path);
            ja::JS_ClearPendingException(raw);
            return Err(error);
        }
        realm.namespace.set(ja::GetModuleNamespace(raw, module.handle().into()));
        if !ja::ModuleEvaluate(raw, module.handle().into(), promise.handle_mut().into()) {
            return Err(failed(cx));
        }
    }
    Ok(())
}

fn failure(cx: &mut JSContext, realm: &Realm) -> AgentError {
    match realm.failure(cx, Pending) {
        Some(thrown) => thrown.into(),
        None => AgentError::Terminated(realm.why()),
    }
}

/// The current realm's module of this name, if it has one; not rooted.
pub(super) fn module_named(cx: &mut JSContext, realm: &Realm, path: &Path) -> Option<*mut JSObject> {
    // SAFETY: the context is in a realm; globals are compared, and nothing collects meanwhile.
    unsafe {
        let global = ja::CurrentGlobalOrNull(cx.raw_cx());
        let modules = realm.modules.borrow();
        let mut objects = modules.iter().filter(|module| module.source.path == path).map(|module| module.object.get());
        objects.find(|object| ja::GetNonCCWObjectGlobal(*object) == global)
    }
}

/// The current realm's module of a source; not rooted. What cannot be compiled leaves its exception pending.
pub(super) fn find_or_compile(
    cx: &mut JSContext,
    realm: &Realm,
    source: &Arc<Source>,
) -> Result<*mut JSObject, AgentError> {
    if let Some(known) = module_named(cx, realm, &source.path) {
        return Ok(known);
    }
    let options = CompileOptionsWrapper::new(cx, source.name.clone(), 1);
    let mut text = transform_str_to_source_text(&source.text);
    // SAFETY: the context is in the agent's realm; options and text live until the call returns, which copies the text.
    let module = unsafe {
        match source.kind {
            Kind::Script => ja::CompileModule1(cx.raw_cx(), options.ptr, &mut text),
            Kind::Json => ja::CompileJsonModule1(cx.raw_cx(), options.ptr, &mut text),
        }
    };
    if module.is_null() {
        return Err(syntax_error(cx, realm, &source.path));
    }
    let mut modules = realm.modules.borrow_mut();
    if source.kind == Kind::Script {
        // SAFETY: a source text module just made; nothing collects before it is in the list.
        unsafe { ja::SetModulePrivate(module, &Int32Value(modules.len() as i32)) };
    }
    modules.push(Module { source: source.clone(), object: Heap::boxed(module) });
    Ok(module)
}

/// The exception of a failed compilation or link, which stays pending.
fn syntax_error(cx: &mut JSContext, realm: &Realm, path: &Path) -> AgentError {
    // SAFETY: the context is alive and in the agent's realm.
    unsafe {
        if !ja::JS_IsExceptionPending(cx.raw_cx()) {
            return AgentError::Terminated(realm.why());
        }
        rooted!(in(cx.raw_cx()) let mut value = UndefinedValue());
        rooted!(in(cx.raw_cx()) let mut pending = UndefinedValue());
        let is_known = ja::JS_GetPendingException(cx.raw_cx(), pending.handle_mut().into());
        // Takes the exception away.
        let (path, line, column, message) = match error_info_from_exception_stack(cx, value.handle_mut()) {
            Some(info) if info.filename.is_empty() => (path.to_owned(), info.line, info.col, info.message),
            Some(info) => (info.filename.into(), info.line, info.col, info.message),
            None => (path.to_owned(), 1, 1, "cannot be compiled".into()),
        };
        if is_known {
            ja::JS_SetPendingException(cx.raw_cx(), pending.handle().into(), ja::ExceptionStackBehavior::Capture);
        }
        AgentError::Syntax { path, line, column, message }
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
            let Some(realm) = Realm::here() else {
                throw(cx, "no agent runs here");
                return ja::FinishLoadingImportedModuleFailedWithPendingException(raw, payload);
            };
            let _deeper = Deeper::new(&realm.import_depth);
            let dynamic = payload.get().is_object() && {
                rooted!(in(raw) let asked = payload.get().to_object());
                ja::IsPromiseObject(asked.handle().into())
            };
            match import(cx, realm, referrer, request, (line, { column._base })) {
                Ok(module) => {
                    rooted!(in(raw) let module = module);
                    // What is not to be evaluated needs no imports.
                    let in_full = dynamic && !ja::ModuleRequestIsSourcePhase(raw, request);
                    if in_full && !load_graph(cx, &realm.unhandled, module.handle().into()) {
                        // Its parts were loaded for this import, which tells of it.
                        drop(realm.failure.take());
                        return ja::FinishLoadingImportedModuleFailedWithPendingException(raw, payload);
                    }
                    ja::FinishLoadingImportedModule(raw, referrer, request, payload, module.handle().into(), true)
                }
                Err(AgentError::Terminated(_)) => false,
                Err(error) => {
                    // A module that cannot be compiled threw what the standard says.
                    if !ja::JS_IsExceptionPending(raw) {
                        throw(cx, &error.to_string());
                    }
                    // Whoever imports dynamically is told by its promise.
                    if !dynamic {
                        realm.failure.borrow_mut().get_or_insert(error);
                    }
                    ja::FinishLoadingImportedModuleFailedWithPendingException(raw, payload)
                }
            }
        }
    })
}

/// The module that a request names; not rooted.
///
/// # Safety
/// As the engine calls [`load_hook`].
unsafe fn import(
    cx: &mut JSContext,
    realm: &Realm,
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
        (specifier, ja::GetModuleRequestType(raw, request), importer_of(realm, private.get()))
    };
    // Code without a module (what Rust evaluates) imports as the main module does.
    let importer = importer.unwrap_or_else(|| realm.library.main.clone());
    let refuse = |reason: String| AgentError::Import {
        importer: importer.path.clone(),
        line,
        column,
        specifier: specifier.chars().take(256).collect(),
        reason,
    };
    #[cfg(feature = "test262")]
    if specifier == super::test262::MODULE_SOURCE
        && let Some(module) = super::test262::module_source(cx, realm)
    {
        return module;
    }
    if kind == ModuleType::Text {
        return text_module(cx, realm, &importer, &specifier).map_err(refuse)?;
    }
    let source = realm.library.resolve(&realm.shared, &importer, &specifier).map_err(refuse)??;
    match (kind, source.kind) {
        (ModuleType::JSON, Kind::Json) | (ModuleType::JavaScript, Kind::Script) => {}
        (ModuleType::JavaScript, _) => return Err(refuse("JSON is imported with { type: \"json\" }".into())),
        (ModuleType::JSON, _) => return Err(refuse("the file is not JSON".into())),
        _ => return Err(refuse("only JavaScript, TypeScript, JSON and texts are imported".into())),
    }
    if realm.import_depth.get() > IMPORT_DEPTH_MAX {
        return Err(refuse(format!("imports nest more than {IMPORT_DEPTH_MAX} deep")));
    }
    find_or_compile(cx, realm, &source)
}

fn importer_of(realm: &Realm, private: JSVal) -> Option<Arc<Source>> {
    let at = if private.is_int32() { usize::try_from(private.to_int32()).ok()? } else { return None };
    realm.modules.borrow().get(at).map(|module| module.source.clone())
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
            let Some(source) = Realm::here().and_then(|realm| importer_of(realm, private.get())) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normal() {
        for (path, expected) in [("./a/../b.ts", "b.ts"), ("a/./b", "a/b"), ("../../x", "x"), ("/a/../../b", "/b")] {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn data_urls_hold_modules() {
        let text = |url: &str| data(url, url.strip_prefix("data:").unwrap()).map(|source| source.text.clone());
        assert_eq!(text("data:text/javascript,export%20default%201").unwrap(), "export default 1");
        assert_eq!(text("data:text/javascript;base64,ZXhwb3J0IGRlZmF1bHQgMQ==").unwrap(), "export default 1");
        assert_eq!(text("data:text/javascript;charset=utf-8,1").unwrap(), "1");
        assert!(text("data:text/javascript;base64,?").is_err());
        assert!(text("data:text/html,<p>").is_err());
        assert!(text("data:text/javascript,%f").is_err());
        assert!(text("data:text/javascript").is_err());
    }
}
