//! The npm package `peristyle` as agents import it: its sources, as they are, by the entry points that its manifest names.
//!
//! A module's URL is `peristyle:///` and its path below `src`; the stacks that users see leave such frames out.
//!
//! # Rules
//! - A source is read, and its types are stripped, when an agent first imports it: what an app does not import costs nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use peristyle_agents::{LoadError, LoadedModule, ModuleFormat, ModuleLoader};
use serde::Deserialize;

use crate::native::Kernels;

/// Paths below `src`, in order, and texts.
const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
const MANIFEST: &str = include_str!("../../../packages/peristyle/package.json");
const SCHEME: &str = "peristyle:///";
/// What `peristyle` is for an app that runs here.
const NATIVE: &str = "native/index.ts";
/// How the package asks for a module and all that it imports as one text, to start workers with.
const BUNDLE: &str = "?bundle";

/// What `peristyle` is for an app that a host serves: it has no world.
const HOSTED: (&str, &str) = (
    "hosted.ts",
    r#"
export * from "./app/index.js";
export * from "./client/mirror/client.js";
export * from "./client/transports/memory.js";
export * from "./client/transports/post-message.js";
"#,
);

/// How the package asks for the bytes of a kernel: followed by its URL.
const KERNEL: &str = "kernel?";

/// What the manifest says of an entry point.
#[derive(Deserialize)]
struct Export {
    types: String,
}

#[derive(Deserialize)]
struct Manifest {
    exports: BTreeMap<String, Export>,
}

/// Paths below `src` by specifier.
static ENTRIES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let manifest: Manifest = serde_json::from_str(MANIFEST).expect("the package's manifest has exports with types");
    let entry = |(name, export): (String, Export)| {
        let path = export.types.trim_start_matches("./dist/").trim_end_matches(".d.ts");
        (format!("peristyle{}", name.trim_start_matches('.')), format!("{path}.ts"))
    };
    manifest.exports.into_iter().map(entry).collect()
});

/// Lets agents import `peristyle` and what lies below it: [`AgentOptions::loader`](peristyle_agents::AgentOptions::loader).
#[derive(Clone)]
pub struct Package {
    /// What `peristyle` itself is.
    index: &'static str,
    /// Nothing where there is no world for them.
    kernels: Option<Kernels>,
    next: Option<Arc<dyn ModuleLoader>>,
}

impl Package {
    /// The package as an app has it whose modules a host serves ([`AgentApp`](crate::AgentApp)): `peristyle` gives
    /// `defineModule` and `createWorkerApp`, `createWorkerClient` and its transports over memory and `postMessage`.
    pub fn hosted() -> Package {
        Package { index: HOSTED.0, kernels: None, next: None }
    }

    /// The package as an app has it that runs here ([`AppRuntime`](crate::AppRuntime)): all of it.
    pub fn native() -> Package {
        Package { index: NATIVE, kernels: Some(Kernels::default()), next: None }
    }

    /// The kernels that apps name.
    pub(crate) fn kernels(&self) -> Kernels {
        self.kernels.clone().unwrap_or_default()
    }

    /// Asks another loader for what is not the package's.
    pub fn and(self, next: Option<Arc<dyn ModuleLoader>>) -> Package {
        Package { next, ..self }
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package").field("index", &self.index).finish_non_exhaustive()
    }
}

fn source(path: &str) -> Option<&'static str> {
    if path == HOSTED.0 {
        return Some(HOSTED.1);
    }
    SOURCES.binary_search_by_key(&path, |(name, _)| name).ok().map(|at| SOURCES[at].1)
}

impl ModuleLoader for Package {
    fn resolve(&self, specifier: &str, importer: &str) -> Result<Option<String>, LoadError> {
        if let Some(path) = specifier.strip_prefix(SCHEME) {
            if let Some(module) = path.strip_suffix(BUNDLE) {
                let module = self.resolve(&format!("{SCHEME}{module}"), importer)?;
                return Ok(module.map(|url| url + BUNDLE));
            }
            if self.kernels.is_some() && path.starts_with(KERNEL) {
                return Ok(Some(specifier.to_owned()));
            }
            // TypeScript names what it will be compiled to.
            let typed = path.strip_suffix(".js").map(|stem| format!("{stem}.ts"));
            let known = [Some(path.to_owned()), typed].into_iter().flatten().find(|path| source(path).is_some());
            let none = || LoadError(format!("the package peristyle has no module {path:?}"));
            return known.ok_or_else(none).map(|path| Some(format!("{SCHEME}{path}")));
        }
        if specifier == "peristyle" {
            return Ok(Some(format!("{SCHEME}{}", self.index)));
        }
        if !specifier.starts_with("peristyle/") {
            return self.next.as_ref().map_or(Ok(None), |next| next.resolve(specifier, importer));
        }
        match ENTRIES.get(specifier) {
            Some(path) => Ok(Some(format!("{SCHEME}{path}"))),
            None => {
                let names: Vec<_> = ENTRIES.keys().map(String::as_str).collect();
                Err(LoadError(format!("peristyle has no such entry point; there are {}", names.join(", "))))
            }
        }
    }

    fn load(&self, url: &str) -> Result<LoadedModule, LoadError> {
        let nothing = || LoadError("the package peristyle has no such module".into());
        if let Some(module) = url.strip_suffix(BUNDLE).filter(|url| url.starts_with(SCHEME)) {
            // Workers import as their parents do, so a text that imports the module is all they need.
            let text = format!("export default {:?};", format!("import {module:?};"));
            return Ok(LoadedModule { format: ModuleFormat::JavaScript, text });
        }
        let path = url.strip_prefix(SCHEME);
        if let (Some(kernels), Some(kernel)) = (&self.kernels, path.and_then(|path| path.strip_prefix(KERNEL))) {
            return Ok(LoadedModule { format: ModuleFormat::JavaScript, text: kernels.module(kernel)? });
        }
        match (path, &self.next) {
            (Some(path), _) => {
                let text = source(path).ok_or_else(nothing)?.to_owned();
                Ok(LoadedModule { format: ModuleFormat::TypeScript, text })
            }
            (None, Some(next)) => next.load(url),
            (None, None) => Err(nothing()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_are_those_of_the_manifest() {
        let package = Package::hosted();
        for (specifier, path) in ENTRIES.iter().filter(|(specifier, _)| *specifier != "peristyle") {
            let url = package.resolve(specifier, "").unwrap().unwrap();
            assert_eq!(url, format!("{SCHEME}{path}"));
            assert!(package.load(&url).is_ok(), "{specifier} is {path}, which is no source");
        }
        assert!(package.load(&package.resolve("peristyle", "").unwrap().unwrap()).is_ok());
        let refused = package.resolve("peristyle/nothing", "").unwrap_err().to_string();
        assert!(refused.contains("peristyle/client"), "{refused}");
        assert_eq!(package.resolve("peristyles", ""), Ok(None));
    }

    #[test]
    fn modules_name_each_other_as_compiled() {
        let package = Package::hosted();
        let found = package.resolve("peristyle:///client/index.js", "").unwrap();
        assert_eq!(found.as_deref(), Some("peristyle:///client/index.ts"));
        assert!(package.resolve("peristyle:///client/nothing.js", "").is_err());
        let bundle = package.resolve("peristyle:///client/index.js?bundle", "").unwrap().unwrap();
        assert_eq!(bundle, "peristyle:///client/index.ts?bundle");
        let text = r#"export default "import \"peristyle:///client/index.ts\";";"#;
        assert_eq!(package.load(&bundle).unwrap().text, text);
    }
}
