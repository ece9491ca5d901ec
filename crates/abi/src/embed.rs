//! What the Rust side of a host does beside the table: its own systems, and looks at the world.

use peristyle_schedule::PullSystem;
use peristyle_world::World;

use crate::{
    blocks::Word,
    core::Core,
    status::{Failure, Status},
};

impl Core {
    /// Does something to the world, and tells the header what became of its structure.
    ///
    /// # Panics
    /// If rows are leased.
    pub fn with_world<R>(&mut self, act: impl FnOnce(&mut World) -> R) -> R {
        assert!(!self.pull.is_leased(), "rows are leased: the world is not to be touched");
        // Also if it panics.
        struct Told<'a>(&'a mut Core);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                self.0.tell_structure();
            }
        }
        act(&mut Told(self).0.world)
    }

    /// Adds a system, as the table's `system` does, and gives its number.
    ///
    /// # Errors
    /// As there.
    pub fn add_system(&mut self, system: PullSystem) -> Result<u32, Failure> {
        if system.name.is_empty() {
            return Err(Failure::new(Status::BadText, "a system has a name"));
        }
        Ok(self.pull.add(system)?)
    }

    /// The name of a system.
    pub fn system_name(&self, number: u32) -> Option<&str> {
        self.pull.name_of(number)
    }

    /// A word of the header.
    pub fn word(&self, word: Word) -> u32 {
        self.blocks.get(word)
    }
}
