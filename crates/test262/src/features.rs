//! Features of the suite that this engine lacks, each with a check that says so.
//!
//! A name in a test's `features` that stands here leaves the test out, but only if its check fails in the engine that runs:
//! once the engine has the feature, its tests are run, whatever stands here.

use peristyle_agents::test262::Goal;

/// A feature that the engine lacks.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Missing {
    /// Its name in `features.txt` of the suite.
    pub feature: &'static str,
    /// What is known about it.
    pub reason: &'static str,
    /// What the check is evaluated as.
    pub goal: Goal,
    /// Throws, or cannot be parsed, in an engine without the feature.
    pub check: &'static str,
}

const fn script(feature: &'static str, reason: &'static str, check: &'static str) -> Missing {
    Missing { feature, reason, goal: Goal::Script, check }
}

/// Features that the engine lacks.
pub const MISSING: &[Missing] = &[
    script(
        "immutable-arraybuffer",
        "a proposal (stage 3) that SpiderMonkey builds in nightly versions only",
        "new ArrayBuffer(1).transferToImmutable()",
    ),
    script(
        "await-dictionary",
        "`Promise.allKeyed` and `allSettledKeyed`, a proposal that SpiderMonkey has not",
        "Promise.allKeyed({}); Promise.allSettledKeyed({})",
    ),
    script("ShadowRealm", "a proposal that SpiderMonkey builds in nightly versions only", "new ShadowRealm()"),
    script("import-defer", "a proposal (stage 3): not parsed", "() => import.defer('./a.js')"),
    script(
        "decorators",
        "a proposal (stage 3) that SpiderMonkey has behind a flag when it is built",
        "@(() => {}) class A {}",
    ),
];
