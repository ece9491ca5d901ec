//! The named parts of a frame.

use std::fmt;

/// A part of the frame. Stages run in this order; commands are merged between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Once, at the beginning of the first frame.
    Startup,
    /// The simulation's step.
    Update,
    /// What follows from the step.
    Late,
    /// What shows the world: drawing, publishing.
    Render,
    /// What tidies up.
    Cleanup,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 5] = [Stage::Startup, Stage::Update, Stage::Late, Stage::Render, Stage::Cleanup];

    /// Its lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Startup => "startup",
            Stage::Update => "update",
            Stage::Late => "late",
            Stage::Render => "render",
            Stage::Cleanup => "cleanup",
        }
    }

    /// The stage of that name.
    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
