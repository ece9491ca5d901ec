//! Looking at the ticks of a scheduler that runs ahead.

use std::sync::Arc;

use peristyle_layout::Scalar;
use peristyle_memory::{
    Block,
    mailbox::{Receiver, RecvError, Wait},
};

use super::copies::{Chosen, Copied, TickCopy};

/// Why a column of a copy cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// It was not chosen.
    #[error("column `{field}` of component `{component}` is not observed")]
    NoColumn {
        /// The component.
        component: String,
        /// The column.
        field: String,
    },
    /// It holds something else.
    #[error("column `{field}` of component `{component}` holds {scalar}, not {asked}")]
    WrongType {
        /// The component.
        component: String,
        /// The column.
        field: String,
        /// What it holds.
        scalar: Scalar,
        /// The Rust type that was asked for.
        asked: &'static str,
    },
}

/// Sees every tick of a scheduler that [runs ahead](super::RunAhead), in order. It holds up to N + 1 of them, any of which
/// it may look at, until it releases the oldest; then the runner has room for another.
///
/// Dropped, the runner waits for it no more.
#[derive(Debug)]
pub struct Observer {
    ring: Receiver<Copied>,
    chosen: Arc<Chosen>,
}

impl Observer {
    pub(crate) fn new(ring: Receiver<Copied>, chosen: Arc<Chosen>) -> Observer {
        Observer { ring, chosen }
    }

    /// Waits until at least `copies` copies are held, and gives how many are.
    ///
    /// # Errors
    /// [`RecvError::Beyond`] for more than N + 1; [`RecvError::Empty`], as `wait` allows; [`RecvError::Closed`] if the
    /// runner ended and fewer are held; [`RecvError::Died`].
    pub fn wait(&mut self, copies: u32, wait: Wait) -> Result<u32, RecvError> {
        self.ring.wait(copies, wait)
    }

    /// Where the ring of copies lies, for whoever else works on the memory: a
    /// [mailbox](peristyle_memory::mailbox::layout) of messages of 48 bytes, little-endian:
    ///
    /// ```text
    ///   0  u64  number of the tick
    ///   8  f64  dt
    ///  16  f64  time
    ///  24  u64  offset in the memory of the copy; says nothing if there are no rows
    ///  32  u32  rows
    ///  36  u32  capacity of each column, in rows
    ///  40  u32  columns, that of handles included
    ///  44  u32  0, or 1 if the tick failed
    /// ```
    ///
    /// A copy is a column of `f64` handles, then the chosen columns in order, each at the
    /// [offset](peristyle_layout::chunk::column_offset) that columns of a chunk of that capacity have. It stays while the
    /// message is held.
    pub fn block(&self) -> &Block {
        self.ring.block()
    }

    /// Copies that are held now; more may come at any time.
    pub fn held(&self) -> u32 {
        self.ring.held().unwrap_or(0)
    }

    /// Copy `nth` of those that are held, the oldest of which is 0.
    pub fn get(&self, nth: u32) -> Option<TickCopy<'_>> {
        TickCopy::new(self.ring.get(nth)?.value(), &self.chosen)
    }

    /// The newest copy that is held.
    pub fn latest(&self) -> Option<TickCopy<'_>> {
        self.get(self.held().checked_sub(1)?)
    }

    /// The copy of tick `number`, if that is held.
    pub fn tick(&self, number: u64) -> Option<TickCopy<'_>> {
        // Ticks have consecutive numbers, unless the world itself was given more between two runs.
        (0..self.held()).rev().filter_map(|nth| self.get(nth)).find(|copy| copy.tick().number == number)
    }

    /// Releases the oldest `copies` copies, or all that are held if these are fewer; gives how many it released.
    pub fn release(&mut self, copies: u32) -> u32 {
        self.ring.release(copies)
    }

    /// Releases the copies of ticks before `number`; gives how many.
    pub fn release_before(&mut self, number: u64) -> u32 {
        let old = (0..self.held()).take_while(|nth| self.get(*nth).is_some_and(|copy| copy.tick().number < number));
        let old = old.count() as u32;
        self.release(old)
    }
}
