//! The scripts that make a spawned agent's realm what it is.
//!
//! `inspect.js` formats values, `web.js` holds what running an agent needs. Everything else is a *part*: a script in `web/`
//! that evaluates to a function, which gets the internals of `web.js` and returns the globals that it defines, by name.

use std::ffi::CStr;

/// A script of ours.
pub(crate) struct Script {
    /// What stacks show; frames of `peristyle:` are left out of errors.
    pub(crate) name: &'static CStr,
    pub(crate) text: &'static str,
}

pub(crate) const INSPECT: Script = Script { name: c"peristyle:inspect", text: include_str!("../inspect.js") };
pub(crate) const WEB: Script = Script { name: c"peristyle:web", text: include_str!("web.js") };

/// Run before the parts, where agents take turns.
pub(crate) const DETERMINISTIC: Script =
    Script { name: c"peristyle:deterministic", text: include_str!("web/deterministic.js") };

/// In the order in which they are run.
pub(crate) const PARTS: [Script; 2] = [
    Script { name: c"peristyle:performance", text: include_str!("web/performance.js") },
    Script { name: c"peristyle:locks", text: include_str!("web/locks.js") },
];
