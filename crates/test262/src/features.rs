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
        "a proposal (stage 3) that SpiderMonkey has only if it is asked for when it is built",
        "@(() => {}) class A {}",
    ),
    script(
        "tail-call-optimization",
        "no JavaScript engine but JavaScriptCore has it",
        "(function f(n) { 'use strict'; return n === 0 ? 0 : f(n - 1); })(1e6)",
    ),
    script(
        "iterator-chunking",
        "`Iterator.prototype.chunks` and `windows`, a proposal",
        "[1].values().chunks(1); [1].values().windows(1)",
    ),
    script("iterator-includes", "`Iterator.prototype.includes`, a proposal", "[1].values().includes(1)"),
    script("Iterator.prototype.join", "a proposal", "[1].values().join()"),
    script(
        "error-stack-accessor",
        "a proposal; SpiderMonkey's own accessor sets `stack` of whatever it is called on",
        "let refused = false;
         try { Object.getOwnPropertyDescriptor(Error.prototype, 'stack').set.call(Error.prototype, ''); }
         catch { refused = true; }
         if (!refused) throw new Error('the prototype was changed');",
    ),
    script(
        "legacy-regexp",
        "a proposal that SpiderMonkey has behind a preference",
        "class A extends RegExp {}
         let refused = false;
         try { A.$1; } catch { refused = true; }
         if (!refused) throw new Error('a subclass was answered');",
    ),
    script(
        "nonextensible-applies-to-private",
        "a change of the standard that SpiderMonkey has behind a preference",
        "class A { constructor(object) { return object; } }
         class B extends A { #a = 1; }
         let refused = false;
         try { new B(Object.preventExtensions({})); } catch { refused = true; }
         if (!refused) throw new Error('a private name was added');",
    ),
    script(
        "canonical-tz",
        "a proposal; time zones that were given are shown under their canonical names",
        "const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: 'Asia/Calcutta' }).resolvedOptions();
         if (timeZone !== 'Asia/Calcutta') throw new Error(timeZone);",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_stands_there_once_with_a_reason() {
        for (at, Missing { feature, reason, .. }) in MISSING.iter().enumerate() {
            assert!(!reason.is_empty() && MISSING[..at].iter().all(|other| other.feature != *feature), "{feature}");
        }
    }
}
