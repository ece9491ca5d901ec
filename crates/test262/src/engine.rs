//! What the engine itself fails, each with its reason and a proof that the host has no part in it: `engine.json`.

use std::sync::LazyLock;

use serde::Deserialize;

/// Tests that the engine fails for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFailure {
    /// What the engine does wrong.
    pub reason: String,
    /// How to see it without this host: what the standard says, and what the engine does in a bare script.
    pub proof: String,
    /// The tests, below `test/`. One that ends in a slash stands for all tests of a directory.
    pub paths: Vec<String>,
}

/// The list.
///
/// # Panics
/// If the list that was built in is no such list, which a test shows.
pub fn engine_failures() -> &'static [EngineFailure] {
    static LIST: LazyLock<Vec<EngineFailure>> =
        LazyLock::new(|| serde_json::from_str(include_str!("engine.json")).expect("engine.json is such a list"));
    &LIST
}

/// Why the engine fails a test, if it is known to.
pub(crate) fn known(path: &str) -> Option<&'static EngineFailure> {
    let names = |known: &String| if known.ends_with('/') { path.starts_with(known.as_str()) } else { path == known };
    engine_failures().iter().find(|failure| failure.paths.iter().any(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_a_reason_a_proof_and_paths_and_stands_there_once() {
        let mut seen = Vec::new();
        for failure in engine_failures() {
            assert!(failure.reason.len() > 10 && failure.proof.len() > 10 && !failure.paths.is_empty(), "{failure:?}");
            for path in &failure.paths {
                assert!(!path.starts_with("test/") && !seen.contains(&path), "{path}");
                seen.push(path);
            }
        }
    }
}
