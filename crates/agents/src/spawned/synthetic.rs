//! Modules that no text is compiled for: texts themselves (`with { type: "text" }`).
//!
//! They stand in the agent's list beside the others, under names that no file has.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mozjs::context::JSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject};
use mozjs::jsval::UndefinedValue;
use mozjs::rooted;

use super::convert::text_to_js;
use super::loader::{Module, module_named};
use super::realm::Realm;
use crate::AgentError;
use crate::source::{self, Kind, Source};

/// The module whose default export is a file's text; not rooted. The outer error says why the specifier names nothing.
pub(super) fn text_module(
    cx: &mut JSContext,
    realm: &Realm,
    importer: &Source,
    specifier: &str,
) -> Result<Result<*mut JSObject, AgentError>, String> {
    let path = realm.library.file(importer, specifier)?;
    let name = Path::new("text:").join(path.strip_prefix("/").unwrap_or(&path));
    if let Some(known) = module_named(cx, realm, &name) {
        return Ok(Ok(known));
    }
    Ok(source::read_text(&path).and_then(|text| {
        // SAFETY: the context is in one of the agent's realms; the value is rooted.
        let module = unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let mut value = UndefinedValue());
            match text_to_js(raw, &text, &mut value) {
                Ok(()) => ja::CreateDefaultExportSyntheticModule(raw, value.handle().into()),
                Err(_) => std::ptr::null_mut(),
            }
        };
        keep(realm, name, module)
    }))
}

/// Puts a module into the agent's list.
pub(super) fn keep(realm: &Realm, name: PathBuf, module: *mut JSObject) -> Result<*mut JSObject, AgentError> {
    if module.is_null() {
        return Err(AgentError::Unreadable { path: name, reason: "no module can be made of it".into() });
    }
    let shown = CString::new(name.to_string_lossy().as_bytes()).unwrap_or_default();
    let source = Source { path: name, name: shown, url: String::new(), text: String::new(), kind: Kind::Json };
    realm.modules.borrow_mut().push(Module { source: Arc::new(source), object: Heap::boxed(module) });
    Ok(module)
}
