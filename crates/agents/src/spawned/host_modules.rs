//! Modules that the host provides, and what the host says that specifiers stand for.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use super::import_map::ImportMap;
use crate::AgentError;
use crate::source::{self, Format, Source};

/// What a module is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleFormat {
    /// JavaScript.
    JavaScript,
    /// TypeScript; its types are stripped.
    TypeScript,
    /// JSON, imported `with { type: "json" }`.
    Json,
}

/// A module's text, from a [`ModuleLoader`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedModule {
    /// What the text is written in.
    pub format: ModuleFormat,
    /// The text.
    pub text: String,
}

/// Why a [`ModuleLoader`] has no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(
    /// What is wrong, for people.
    pub String,
);

/// Gives agents modules that are neither files nor in memory: of schemes and names that the host chooses.
///
/// Both functions are called on the importing agent's thread, which waits for them; a worker's main module is asked for on the
/// thread of the agent that starts the worker. Each URL is loaded once for an agent and its workers.
pub trait ModuleLoader: Send + Sync {
    /// The absolute URL that names the module meant by `specifier` in the module at the URL `importer`; `None` if it is none of
    /// this loader's.
    ///
    /// Asked for bare names and absolute URLs. A relative specifier in one of the loader's own modules was joined with that
    /// module's URL before.
    ///
    /// # Errors
    /// [`LoadError`]: the import fails, and nobody else is asked.
    fn resolve(&self, specifier: &str, importer: &str) -> Result<Option<String>, LoadError>;

    /// The module at a URL that [`resolve`](ModuleLoader::resolve) gave.
    ///
    /// # Errors
    /// [`LoadError`]: the import fails.
    fn load(&self, url: &str) -> Result<LoadedModule, LoadError>;
}

/// What the host provides for an agent and its workers.
#[derive(Default)]
pub(crate) struct HostModules {
    map: Option<Arc<ImportMap>>,
    loader: Option<Arc<dyn ModuleLoader>>,
    /// By URL.
    loaded: Mutex<HashMap<String, Arc<Source>>>,
}

impl fmt::Debug for HostModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostModules").field("map", &self.map).finish_non_exhaustive()
    }
}

impl HostModules {
    pub(crate) fn new(map: Option<Arc<ImportMap>>, loader: Option<Arc<dyn ModuleLoader>>) -> HostModules {
        HostModules { map, loader, loaded: Mutex::default() }
    }

    /// What the import map gives for a specifier.
    pub(crate) fn mapped(&self, specifier: &str, importer: &str) -> Result<Option<String>, String> {
        self.map.as_ref().map_or(Ok(None), |map| map.resolve(specifier, importer))
    }

    /// The URL of the loader's module of that name, if it is one of the loader's.
    pub(crate) fn resolve(&self, specifier: &str, importer: &str) -> Result<Option<String>, String> {
        let Some(loader) = &self.loader else { return Ok(None) };
        let is_relative = ["/", "./", "../"].iter().any(|begin| specifier.starts_with(begin));
        if !is_relative {
            return loader.resolve(specifier, importer).map_err(|error| error.to_string());
        }
        if !self.loaded.lock().unwrap_or_else(PoisonError::into_inner).contains_key(importer) {
            return Ok(None);
        }
        let joined = Url::parse(importer).and_then(|base| base.join(specifier));
        let joined = joined.map_err(|error| format!("it cannot be joined with {importer:?}: {error}"))?;
        loader.resolve(joined.as_str(), importer).map_err(|error| error.to_string())
    }

    /// The loader's module at a URL.
    pub(crate) fn load(&self, url: &str) -> Result<Arc<Source>, AgentError> {
        let lock = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(url) {
            return Ok(known.clone());
        }
        let path = PathBuf::from(url);
        // The lock is not held: a loader may take its time, and may import in agents of its own.
        let loaded = self.loader.as_ref().map(|loader| loader.load(url));
        let loaded = loaded.unwrap_or_else(|| Err(LoadError("nothing loads it".into())));
        let LoadedModule { format, text } =
            loaded.map_err(|error| AgentError::Unreadable { path: path.clone(), reason: error.to_string() })?;
        let format = match format {
            ModuleFormat::JavaScript => Format::JavaScript,
            ModuleFormat::TypeScript => Format::TypeScript,
            ModuleFormat::Json => Format::Json,
        };
        let source = Arc::new(Source { url: url.to_owned(), ..source::prepare_as(&path, text, format)? });
        // Another agent may have been faster; all take the first.
        Ok(lock().entry(url.to_owned()).or_insert(source).clone())
    }
}
