//! The modules that agents may import from `peristyle`: the sources of the npm package, as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Names the sources below `packages/peristyle/src`.
macro_rules! sources {
    ($($path:literal)*) => {
        [$((concat!("peristyle/", $path), include_str!(concat!("../../../packages/peristyle/src/", $path)))),*]
    };
}

/// What `peristyle` gives agents.
const INDEX: &str = r#"
export * from "./peristyle/app/index.js";
export * from "./peristyle/client/mirror/client.js";
export * from "./peristyle/client/transports/memory.js";
export * from "./peristyle/client/transports/post-message.js";
"#;

static MODULES: LazyLock<Arc<BTreeMap<String, String>>> = LazyLock::new(|| {
    let sources = sources! {
        "app/agent.ts"
        "app/host.ts"
        "app/index.ts"
        "app/modules.ts"
        "app/tracker.ts"
        "client/mirror/client.ts"
        "client/mirror/message.ts"
        "client/mirror/patch.ts"
        "client/transports/memory.ts"
        "client/transports/post-message.ts"
        "client/transports/transport.ts"
    };
    let index = ("peristyle.mjs", INDEX);
    let modules = sources.into_iter().chain([index]).map(|(name, text)| (name.to_owned(), text.to_owned()));
    Arc::new(modules.collect())
});

/// Modules for [`AgentOptions::modules`](peristyle_agents::AgentOptions::modules), which let an agent import `peristyle`:
/// `defineModule` and `createWorkerApp`; `createWorkerClient` and its transports over memory and `postMessage`.
pub fn modules() -> Arc<BTreeMap<String, String>> {
    MODULES.clone()
}
