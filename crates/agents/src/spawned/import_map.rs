//! Import maps, as the HTML standard has them: what specifiers stand for, for all modules or for some.
//!
//! # Not here
//! `integrity`, which is for what comes by network, is read over.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use url::Url;

/// Specifiers and what they stand for. Cheap to clone? No: share it in [`AgentOptions`](super::AgentOptions), which does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportMap {
    imports: Entries,
    /// Those with the longest prefixes first.
    scopes: Vec<(String, Entries)>,
}

/// Normal specifiers, with the address of each, or none where the map forbids it. In descending order, so that of two
/// prefixes the longer one is found first.
type Entries = Vec<(String, Option<String>)>;

/// Why a text is no import map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportMapError {
    /// It is no JSON.
    #[error("an import map is JSON: {0}")]
    Json(String),
    /// A part of it is no object.
    #[error("{0} of an import map is no object")]
    NoObject(&'static str),
    /// The address that it is relative to is no absolute URL.
    #[error("the base {0:?} of an import map is no URL")]
    Base(String),
    /// The prefix of a scope is no URL.
    #[error("the scope {0:?} of an import map is no URL")]
    Scope(String),
}

impl ImportMap {
    /// Reads a map. `base` is the URL that relative addresses in it are relative to, as `file:///srv/app/`.
    ///
    /// An address that is no URL, or does not end with a slash where its specifier does, forbids its specifier.
    ///
    /// # Errors
    /// [`ImportMapError`].
    pub fn parse(json: &str, base: &str) -> Result<ImportMap, ImportMapError> {
        let base = Url::parse(base).map_err(|_| ImportMapError::Base(base.into()))?;
        let map = serde_json::from_str(json).map_err(|error| ImportMapError::Json(error.to_string()))?;
        let Value::Object(map) = map else { return Err(ImportMapError::NoObject("the whole")) };
        let imports = match map.get("imports") {
            None => Entries::new(),
            Some(Value::Object(imports)) => entries(imports, &base),
            Some(_) => return Err(ImportMapError::NoObject("the part \"imports\"")),
        };
        let mut scopes = Vec::new();
        match map.get("scopes") {
            None => {}
            Some(Value::Object(given)) => {
                for (prefix, imports) in given {
                    let Value::Object(imports) = imports else { return Err(ImportMapError::NoObject("a scope")) };
                    let prefix = base.join(prefix).map_err(|_| ImportMapError::Scope(prefix.clone()))?;
                    scopes.push((String::from(prefix), entries(imports, &base)));
                }
            }
            Some(_) => return Err(ImportMapError::NoObject("the part \"scopes\"")),
        }
        scopes.sort_by(|(a, _), (b, _)| descending(a, b));
        Ok(ImportMap { imports, scopes })
    }

    /// What `specifier` stands for in the module at `importer`; nothing if the map does not say. The error says why the map
    /// forbids it.
    pub(crate) fn resolve(&self, specifier: &str, importer: &str) -> Result<Option<String>, String> {
        let url = match Url::parse(importer) {
            Ok(base) => url_like(specifier, &base),
            Err(_) => Url::parse(specifier).ok(),
        };
        let normal = url.as_ref().map_or(specifier, Url::as_str);
        for (prefix, entries) in &self.scopes {
            if (importer == prefix || (prefix.ends_with('/') && importer.starts_with(prefix)))
                && let Some(found) = find(entries, normal, url.as_ref())?
            {
                return Ok(Some(found));
            }
        }
        find(&self.imports, normal, url.as_ref())
    }
}

/// A specifier as a URL: absolute, or visibly relative.
fn url_like(specifier: &str, base: &Url) -> Option<Url> {
    if ["/", "./", "../"].iter().any(|begin| specifier.starts_with(begin)) {
        return base.join(specifier).ok();
    }
    Url::parse(specifier).ok()
}

/// By UTF-16 code units, the greatest first.
fn descending(a: &str, b: &str) -> Ordering {
    b.encode_utf16().cmp(a.encode_utf16())
}

fn entries(given: &Map<String, Value>, base: &Url) -> Entries {
    let mut entries = Entries::new();
    for (specifier, address) in given {
        if specifier.is_empty() {
            continue;
        }
        let normal = url_like(specifier, base).map_or_else(|| specifier.clone(), String::from);
        let address = address.as_str().and_then(|address| url_like(address, base)).map(String::from);
        let address = address.filter(|address| !specifier.ends_with('/') || address.ends_with('/'));
        entries.push((normal, address));
    }
    entries.sort_by(|(a, _), (b, _)| descending(a, b));
    entries
}

fn find(entries: &Entries, normal: &str, url: Option<&Url>) -> Result<Option<String>, String> {
    // Of special schemes only, paths have a meaning that prefixes may follow.
    let may_have_prefix =
        url.is_none_or(|url| matches!(url.scheme(), "http" | "https" | "ws" | "wss" | "ftp" | "file"));
    for (key, address) in entries {
        let rest = match normal.strip_prefix(key.as_str()) {
            Some("") => None,
            Some(rest) if key.ends_with('/') && may_have_prefix => Some(rest),
            _ => continue,
        };
        let forbidden = || format!("the import map forbids {key:?}");
        let address = address.as_ref().ok_or_else(forbidden)?;
        let Some(rest) = rest else { return Ok(Some(address.clone())) };
        let joined = Url::parse(address).and_then(|base| base.join(rest)).map_err(|_| forbidden())?;
        if !joined.as_str().starts_with(address.as_str()) {
            return Err(format!("it leaves {address:?}, which the import map gives for {key:?}"));
        }
        return Ok(Some(joined.into()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> ImportMap {
        let json = r#"{
            "imports": {
                "a": "./a.mjs", "a/": "./dir/", "a/b/": "https://b.test/", "./rel.mjs": "./other.mjs",
                "https://x.test/": "./vendor/", "null": null, "bare": "bare", "slash/": "./no-slash", "": "./empty.mjs"
            },
            "scopes": { "./scope/": { "a": "./scoped.mjs" }, "./scope/deep/": { "a": "./deep.mjs" }, "one.mjs": { "a": "./one-a.mjs" } }
        }"#;
        ImportMap::parse(json, "file:///app/").unwrap()
    }

    #[test]
    fn specifiers_stand_for_addresses() {
        let map = map();
        for (specifier, importer, expected) in [
            ("a", "file:///app/main.mjs", Some("file:///app/a.mjs")),
            ("a/x.mjs", "file:///app/main.mjs", Some("file:///app/dir/x.mjs")),
            ("a/b/x.mjs", "file:///app/main.mjs", Some("https://b.test/x.mjs")),
            ("./rel.mjs", "file:///app/main.mjs", Some("file:///app/other.mjs")),
            ("../rel.mjs", "file:///app/scope/x.mjs", Some("file:///app/other.mjs")),
            ("./rel.mjs", "file:///app/scope/x.mjs", None),
            ("https://x.test/y.mjs", "file:///app/main.mjs", Some("file:///app/vendor/y.mjs")),
            ("a", "file:///app/scope/x.mjs", Some("file:///app/scoped.mjs")),
            ("a", "file:///app/scope/deep/x.mjs", Some("file:///app/deep.mjs")),
            ("a", "file:///app/one.mjs", Some("file:///app/one-a.mjs")),
            ("a/x.mjs", "file:///app/scope/x.mjs", Some("file:///app/dir/x.mjs")),
            ("unknown", "file:///app/main.mjs", None),
        ] {
            assert_eq!(map.resolve(specifier, importer), Ok(expected.map(str::to_owned)), "{specifier} in {importer}");
        }
        for forbidden in ["null", "bare", "slash/x", "a/../../escape.mjs"] {
            assert!(map.resolve(forbidden, "file:///app/main.mjs").is_err(), "{forbidden}");
        }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let parse = |json| ImportMap::parse(json, "file:///").unwrap_err();
        assert!(matches!(parse("{"), ImportMapError::Json(_)));
        assert_eq!(parse("[]"), ImportMapError::NoObject("the whole"));
        assert_eq!(parse(r#"{"imports": 1}"#), ImportMapError::NoObject("the part \"imports\""));
        assert_eq!(parse(r#"{"scopes": []}"#), ImportMapError::NoObject("the part \"scopes\""));
        assert_eq!(parse(r#"{"scopes": {"a": 1}}"#), ImportMapError::NoObject("a scope"));
        assert_eq!(parse(r#"{"scopes": {"https://:": {}}}"#), ImportMapError::Scope("https://:".into()));
        assert_eq!(ImportMap::parse("{}", "x").unwrap_err(), ImportMapError::Base("x".into()));
    }
}
