//! Modules of a spawned agent: files, a bundle in memory, `data:` URLs, and what the host provides.
//!
//! A specifier is looked up in the import map, then the host's loader is asked, then it names a file, or a module in memory.
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

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
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
use url::Url;

use super::Code;
use super::convert::{Pending, text_to_js};
use super::host_modules::HostModules;
use super::natives::{Native, native};
use super::node;
use super::realm::{Realm, Tool, throw_exception};
use super::synthetic::text_module;
use crate::AgentError;
use crate::agent::{guarded, throw};
use crate::cluster::Shared;
use crate::modules::{Deeper, load_graph};
use crate::source::{self, COMPILED, EXTENSIONS, Format, Kind, Source};

/// How many imports may load one inside the other: loading recurses on the native stack.
const IMPORT_DEPTH_MAX: u32 = 256;

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
    host: Arc<HostModules>,
}

impl Library {
    /// Reads and prepares a code's main module, and all modules of a bundle.
    pub(crate) fn new(shared: &Shared, code: Code, host: HostModules) -> Result<Library, AgentError> {
        let host = Arc::new(host);
        match code {
            Code::File(path) => {
                let main = shared.sources.load(&source::locate(&path)?)?;
                Ok(Library { main, modules: HashMap::new(), files: true, host })
            }
            Code::Source { name, text } => {
                let mut main = shared.sources.prepare(&normal(Path::new(&name)), text)?;
                // It imports as a file of the working directory would.
                let place = std::env::current_dir().ok().filter(|_| main.path.is_relative());
                if let Some(url) = place.and_then(|place| Url::from_file_path(place.join(&main.path)).ok()) {
                    main = Arc::new(Source { url: url.into(), ..Source::clone(&main) });
                }
                let modules = HashMap::from([(main.path.clone(), main.clone())]);
                Ok(Library { main, modules, files: true, host })
            }
            Code::Bundle { main, modules } => {
                let mut prepared = HashMap::new();
                for (name, text) in modules {
                    let source = shared.sources.prepare(&normal(Path::new(&name)), text)?;
                    prepared.insert(source.path.clone(), source);
                }
                let main = normal(Path::new(&main));
                let main = prepared.get(&main).cloned().ok_or(AgentError::Missing { path: main })?;
                Ok(Library { main, modules: prepared, files: false, host })
            }
        }
    }

    /// Adds modules that all others may import by their names.
    pub(crate) fn add(&mut self, shared: &Shared, modules: &BTreeMap<String, String>) -> Result<(), AgentError> {
        for (name, text) in modules {
            let path = normal(Path::new(name));
            if !self.modules.contains_key(&path) {
                self.modules.insert(path.clone(), shared.sources.prepare(&path, text.clone())?);
            }
        }
        Ok(())
    }

    /// A library with the same modules and another main one: what a worker's URL names in a module.
    pub(crate) fn entered_at(
        &self,
        shared: &Shared,
        importer: &Source,
        url: &str,
        (line, column): (u32, u32),
    ) -> Result<Library, AgentError> {
        // A name alone is a relative URL here, other than in an import; but a host may have given it a meaning.
        let is_name = !url.starts_with(['.', '/']) && Url::parse(url).is_err();
        let beside = is_name.then(|| self.resolve(shared, importer, &format!("./{url}")).ok()).flatten();
        let found = beside.map_or_else(|| self.resolve(shared, importer, url), Ok);
        let main = found.map_err(|reason| AgentError::Import {
            importer: importer.path.clone(),
            line,
            column,
            specifier: url.chars().take(256).collect(),
            reason,
        })??;
        Ok(Library { main, modules: self.modules.clone(), files: self.files, host: self.host.clone() })
    }

    /// A library with the same modules and a main one that is a text: an ES module, or a CommonJS script.
    pub(crate) fn with_text(&self, text: &str, is_module: bool) -> Result<Library, AgentError> {
        let directory = self.main.path.parent().unwrap_or(Path::new(""));
        let name = directory.join(if is_module { "[worker eval].mjs" } else { "[worker eval].cjs" });
        let main = source::prepare(&name, text.to_owned())?;
        Ok(Library { main: Arc::new(main), modules: self.modules.clone(), files: self.files, host: self.host.clone() })
    }

    /// What `specifier` names in `importer`. The outer error says why it names nothing, the inner one what is wrong with
    /// what it names.
    fn resolve(
        &self,
        shared: &Shared,
        importer: &Source,
        specifier: &str,
    ) -> Result<Result<Arc<Source>, AgentError>, String> {
        let mapped = self.host.mapped(specifier, &importer.url)?;
        let specifier = mapped.as_deref().unwrap_or(specifier);
        if let Some(url) = self.host.resolve(specifier, &importer.url)? {
            return Ok(self.host.load(&url));
        }
        if let Some(rest) = specifier.strip_prefix("data:") {
            return data(specifier, rest).map(Ok);
        }
        if let Some(known) = self.modules.values().find(|module| module.url == specifier) {
            return Ok(Ok(known.clone()));
        }
        let (specifier, query) = queried(specifier, &importer.url);
        let path = match specifier.strip_prefix("file://") {
            Some(path) => PathBuf::from(unescape(path)?),
            None => {
                let in_memory = specifier.strip_prefix("source:///").map(unescape).transpose()?;
                let specifier = in_memory.as_deref().unwrap_or(specifier);
                let relative = specifier.starts_with("./") || specifier.starts_with("../");
                let directory = importer.path.parent().unwrap_or(Path::new(""));
                let wanted = normal(&if relative { directory.join(specifier) } else { PathBuf::from(specifier) });
                if let Some(known) = self.bundled(&wanted) {
                    return Ok(Ok(known));
                }
                if !self.files {
                    return Err("the bundle has no such module".into());
                }
                let missed = |_: &String| {
                    let wanted = source::candidates(&importer.path, specifier);
                    shared.sources.miss(wanted.iter().map(|path| normal(path)));
                };
                source::resolve(&importer.path, specifier).inspect_err(missed)?
            }
        };
        if !self.files {
            return Err("a bundle imports no files".into());
        }
        let located = source::locate(&path).inspect_err(|_| shared.sources.miss([path.clone()]));
        let found = located.and_then(|path| shared.sources.load(&path));
        Ok(found.map(|source| match query {
            None => source,
            Some(query) => with_query(&source, query),
        }))
    }

    /// The URL that `specifier` stands for in `importer`, whether there is such a module or not: `import.meta.resolve`.
    fn url(&self, importer: &Source, specifier: &str) -> Result<String, String> {
        let mapped = self.host.mapped(specifier, &importer.url)?;
        let specifier = mapped.as_deref().unwrap_or(specifier);
        if let Some(url) = self.host.resolve(specifier, &importer.url)? {
            return Ok(url);
        }
        if let Ok(url) = Url::parse(specifier) {
            return Ok(url.into());
        }
        if specifier.starts_with("./") || specifier.starts_with("../") || specifier.starts_with('/') {
            let joined = Url::parse(&importer.url).and_then(|base| base.join(specifier));
            return joined.map(String::from).map_err(|error| format!("it cannot be joined: {error}"));
        }
        match self.bundled(Path::new(specifier)) {
            Some(known) => Ok(known.url.clone()),
            None => Err("a bare name that nothing maps".into()),
        }
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
        // TypeScript names what it will be compiled to.
        let typed = || {
            let (_, written) =
                COMPILED.into_iter().find(|(compiled, _)| wanted.extension() == Some(compiled.as_ref()))?;
            self.modules.get(&wanted.with_extension(written))
        };
        self.modules.get(wanted).or_else(|| EXTENSIONS.into_iter().find_map(with)).or_else(typed).cloned()
    }
}

/// The query by which a module and all that it imports from files by relative names are loaded once more.
const AFRESH: &str = "afresh=";

/// A specifier of a file without its query, and the query: its own, or that of an importer that is loaded afresh.
fn queried<'a>(specifier: &'a str, importer: &'a str) -> (&'a str, Option<&'a str>) {
    let is_url = specifier.starts_with("file://");
    let is_relative = specifier.starts_with("./") || specifier.starts_with("../");
    if !is_url && !is_relative {
        return (specifier, None);
    }
    if let Some((file, query)) = specifier.split_once('?') {
        return (file, Some(query));
    }
    let inherited = importer.split_once('?').map(|(_, query)| query).filter(|query| query.starts_with(AFRESH));
    (specifier, inherited.filter(|_| is_relative))
}

/// The same file as another module: one of its own for each query. Errors name the file.
fn with_query(source: &Source, query: &str) -> Arc<Source> {
    let mut path = source.path.clone().into_os_string();
    path.push("?");
    path.push(query);
    Arc::new(Source { path: path.into(), url: format!("{}?{query}", source.url), ..source.clone() })
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
    let format = match kind.split(';').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "text/javascript" | "application/javascript" => Format::JavaScript,
        "text/typescript" | "application/typescript" => Format::TypeScript,
        json if json == "application/json" || json == "text/json" || json.ends_with("+json") => Format::Json,
        other => return Err(format!("a data: URL of type {other:?} is no module")),
    };
    let text = match base64 {
        true => String::from_utf8(decode_base64(&unescape(body)?).ok_or("its base64 is wrong")?)
            .map_err(|_| "its bytes are not UTF-8")?,
        false => unescape(body)?,
    };
    let source = source::prepare_as(Path::new(url), text, format).map_err(|error| error.to_string())?;
    Ok(Arc::new(Source { url: url.to_owned(), ..source }))
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
    let stands_for = source.kind == Kind::Common;
    let name = if stands_for { c"peristyle:common".to_owned() } else { source.name.clone() };
    let options = CompileOptionsWrapper::new(cx, name, 1);
    let mut text = transform_str_to_source_text(if stands_for { node::COMMON } else { &source.text });
    // SAFETY: the context is in the agent's realm; options and text live until the call returns, which copies the text.
    let module = unsafe {
        match source.kind {
            Kind::Script => ja::CompileModule1(cx.raw_cx(), options.ptr, &mut text),
            Kind::Json => ja::CompileJsonModule1(cx.raw_cx(), options.ptr, &mut text),
            Kind::Common | Kind::Builtin => ja::CompileModule1(cx.raw_cx(), options.ptr, &mut text),
        }
    };
    if module.is_null() {
        return Err(syntax_error(cx, realm, &source.path));
    }
    let mut modules = realm.modules.borrow_mut();
    if source.kind != Kind::Json {
        // SAFETY: a source text module just made; nothing collects before it is in the list.
        unsafe { ja::SetModulePrivate(module, &Int32Value(modules.len() as i32)) };
    }
    modules.push(Module { source: source.clone(), object: Heap::boxed(module) });
    // The engine keeps texts and names, and so do we; it does not count them.
    realm.meter.keep_text(3 * (source.text.len() + source.path.as_os_str().len()));
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
                    if !realm.is_bare() {
                        // What the engine threw lacks the place that users want.
                        ja::JS_ClearPendingException(raw);
                        let name = if matches!(error, AgentError::Syntax { .. }) { "SyntaxError" } else { "TypeError" };
                        throw_exception(cx, realm, name, &error.to_string());
                    } else if !ja::JS_IsExceptionPending(raw) {
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
    // Files of any kind are not for scripts to read: those of the conformance suite alone have them as modules.
    if kind == ModuleType::Text && realm.is_bare() {
        return text_module(cx, realm, &importer, &specifier).map_err(refuse)?;
    }
    let in_bundle = || realm.library.bundled(&normal(Path::new(&specifier))).is_some();
    let source = match node::builtin(&specifier).filter(|_| specifier.starts_with("node:") || !in_bundle()) {
        Some(name) => match known_source(realm, &format!("node:{name}")) {
            Some(source) => source,
            None => {
                node::module(cx, realm, name).and_then(|source| source.ok_or_else(|| refuse(node::unknown(name))))?
            }
        },
        None => realm.library.resolve(&realm.shared, &importer, &specifier).map_err(refuse)??,
    };
    match (kind, source.kind) {
        (ModuleType::JSON, Kind::Json) | (ModuleType::JavaScript, Kind::Script | Kind::Common | Kind::Builtin) => {}
        (ModuleType::JavaScript, _) => return Err(refuse("JSON is imported with { type: \"json\" }".into())),
        (ModuleType::JSON, _) => return Err(refuse("the file is not JSON".into())),
        _ => return Err(refuse("only JavaScript, TypeScript and JSON are imported".into())),
    }
    if realm.import_depth.get() > IMPORT_DEPTH_MAX {
        return Err(refuse(format!("imports nest more than {IMPORT_DEPTH_MAX} deep")));
    }
    find_or_compile(cx, realm, &source)
}

/// What a module of this name was made of, if the realm has it.
fn known_source(realm: &Realm, path: &str) -> Option<Arc<Source>> {
    let modules = realm.modules.borrow();
    modules.iter().find(|module| module.source.path == Path::new(path)).map(|module| module.source.clone())
}

/// The place of a module in the realm's list.
pub(crate) fn index_of(realm: &Realm, path: &Path) -> Option<i32> {
    let at = realm.modules.borrow().iter().position(|module| module.source.path == path)?;
    i32::try_from(at).ok()
}

/// What a specifier names, in a file or in none.
pub(crate) fn named(realm: &Realm, importer: &Path, specifier: &str) -> Result<Arc<Source>, String> {
    let main = &realm.library.main;
    let from = Source {
        path: if importer.as_os_str().is_empty() { main.path.clone() } else { importer.to_owned() },
        name: main.name.clone(),
        url: source::file_url(if importer.as_os_str().is_empty() { &main.path } else { importer }),
        text: String::new(),
        kind: Kind::Common,
    };
    // The main module may be a text that lies nowhere.
    if Path::new(specifier) == main.path {
        return Ok(main.clone());
    }
    realm.library.resolve(&realm.shared, &from, specifier)?.map_err(|error| error.to_string())
}

/// The module that stacks call `name`; the main one if there is none.
pub(crate) fn importer_called(realm: &Realm, name: &str) -> Arc<Source> {
    let modules = realm.modules.borrow();
    let found = modules.iter().find(|module| module.source.name.to_bytes() == name.as_bytes());
    found.map_or_else(|| realm.library.main.clone(), |module| module.source.clone())
}

pub(crate) const NATIVES: [(&CStr, Native, u32); 1] = [(c"resolve", resolve, 2)];

/// `resolve(module, specifier)`: `import.meta.resolve` of the module with that number; a `TypeError` if it stands for nothing.
unsafe extern "C" fn resolve(raw: *mut RawJSContext, argc: u32, vp: *mut Value) -> bool {
    native(raw, argc, vp, |cx, call| {
        let specifier = call.text(cx, 1);
        let importer = importer_of(call.realm, call.get(0)).unwrap_or_else(|| call.realm.library.main.clone());
        match call.realm.library.url(&importer, &specifier) {
            Ok(url) => {
                rooted!(in(raw) let mut text = UndefinedValue());
                // SAFETY: the context is in the agent's realm.
                unsafe { text_to_js(raw, &url, &mut text)? };
                call.give(text.get());
                Ok(())
            }
            Err(reason) => {
                let specifier: String = specifier.chars().take(256).collect();
                throw_exception(cx, call.realm, "TypeError", &format!("cannot resolve {specifier:?}: {reason}"));
                Err(Pending)
            }
        }
    })
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
            let found = Realm::here().and_then(|realm| Some((realm, importer_of(realm, private.get())?)));
            let Some((realm, source)) = found else {
                throw(cx, "import.meta outside a module");
                return false;
            };
            rooted!(in(raw) let mut value = UndefinedValue());
            match node::meta(cx, realm, &source, &mut value) {
                Ok(None) => {}
                Ok(Some(name)) => {
                    let flags = ja::JSPROP_ENUMERATE as u32;
                    return ja::JS_DefineProperty(raw, meta, name.as_ptr(), value.handle().into(), flags);
                }
                Err(error) => {
                    realm.throw(cx, error);
                    return false;
                }
            }
            rooted!(in(raw) let mut resolver = UndefinedValue());
            if realm.use_tool(cx, Tool::Resolver, &[private.get()], &mut resolver).is_err() {
                return false;
            }
            let flags = ja::JSPROP_ENUMERATE as u32;
            if !ja::JS_DefineProperty(raw, meta, c"resolve".as_ptr(), resolver.handle().into(), flags) {
                return false;
            }
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
