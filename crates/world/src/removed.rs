//! Removals: a bounded log a component, read through a cursor.
//!
//! A removed row is gone, so it cannot carry a bit. The log keeps the newest [`LOG_ENTITIES`] removals; a reader that
//! falls further behind is told how many it missed.

use std::{collections::VecDeque, marker::PhantomData};

use peristyle_layout::Entity;

use crate::{
    component::{Component, ComponentId},
    world::World,
};

/// Removals that are remembered for each component.
pub const LOG_ENTITIES: usize = 65_536;

#[derive(Debug, Default)]
struct Log {
    entities: VecDeque<Entity>,
    /// Removals before the first remembered one.
    dropped: u64,
}

/// The logs of one world; only components that somebody reads have one.
#[derive(Debug, Default)]
pub(crate) struct RemovedLogs(Vec<Option<Log>>);

impl RemovedLogs {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, component: ComponentId, entity: Entity) {
        if let Some(Some(log)) = self.0.get_mut(component.0 as usize) {
            if log.entities.len() == LOG_ENTITIES {
                log.entities.pop_front();
                log.dropped += 1;
            }
            log.entities.push_back(entity);
        }
    }

    /// Starts a component's log if there is none, and gives the place after its newest removal.
    pub(crate) fn follow(&mut self, component: ComponentId) -> u64 {
        let index = component.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        let log = self.0[index].get_or_insert_with(Log::default);
        log.dropped + log.entities.len() as u64
    }

    /// Calls `f` with each removal from `next` on, and sets that behind the last.
    pub(crate) fn read(&self, component: ComponentId, next: &mut u64, f: impl FnMut(Entity)) -> Result<(), FellBehind> {
        let Some(Some(log)) = self.0.get(component.0 as usize) else { return Ok(()) };
        if *next < log.dropped {
            let missed = log.dropped - *next;
            *next = log.dropped;
            return Err(FellBehind { missed });
        }
        let first = (*next - log.dropped) as usize;
        log.entities.range(first..).copied().for_each(f);
        *next = log.dropped + log.entities.len() as u64;
        Ok(())
    }
}

/// A place in the log of removals of `C`. See [`World::removals`].
#[derive(Debug, Clone)]
pub struct Removals<C> {
    component: ComponentId,
    next: u64,
    marker: PhantomData<fn() -> C>,
}

/// A reader of removals was too slow: this many are forgotten. What is still remembered comes with the next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} removals are forgotten: the reader fell behind")]
pub struct FellBehind {
    /// Removals that nobody can tell about any more.
    pub missed: u64,
}

impl World {
    /// Starts to read removals of `C`, from now on.
    pub fn removals<C: Component>(&mut self) -> Removals<C> {
        let component = self.register::<C>();
        Removals { component, next: self.removed.follow(component), marker: PhantomData }
    }
}

impl<C: Component> Removals<C> {
    /// Calls `f` with each entity that lost its `C` since the last call, despawned ones included, oldest first.
    ///
    /// # Errors
    /// [`FellBehind`] if the log has forgotten some; `f` is not called then, and the next call goes on with the oldest
    /// that is remembered.
    pub fn read(&mut self, world: &World, f: impl FnMut(Entity)) -> Result<(), FellBehind> {
        world.removed.read(self.component, &mut self.next, f)
    }
}
