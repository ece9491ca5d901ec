//! One connection of a host: what waits to be sent.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    message::{Frame, Message},
    transport::Transport,
};

/// Something to send.
pub(super) enum Outgoing {
    /// State: gives way to a snapshot when there is too much of it.
    Change(Arc<Frame>),
    /// A snapshot, to be made when it is sent. Changes published until then are in it.
    Snapshot { sync_id: Option<u64> },
    /// Anything else.
    Other(Arc<Frame>),
}

pub(super) struct Connection {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) view: usize,
    pub(super) outbox: VecDeque<Outgoing>,
    pub(super) outbox_max: usize,
    /// The number of changes in the outbox.
    changes: usize,
    /// Snapshots to be made in the outbox: changes published until then are in them.
    snapshots: usize,
    /// Calls whose results were not sent yet.
    pub(super) in_flight: usize,
    /// The transport has no room.
    pub(super) is_blocked: bool,
    /// How often the transport said that it has room.
    pub(super) wakeups: u64,
    /// Somebody posts from the outbox.
    pub(super) is_draining: bool,
}

impl Connection {
    pub(super) fn new(transport: Arc<dyn Transport>, view: usize, outbox_max: usize) -> Connection {
        Connection {
            transport,
            view,
            outbox: VecDeque::new(),
            outbox_max,
            changes: 0,
            snapshots: 0,
            in_flight: 0,
            is_blocked: false,
            wakeups: 0,
            // Nothing is posted before the transport is subscribed to.
            is_draining: true,
        }
    }

    pub(super) fn push(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Change(frame) => self.push_change(frame),
            other => {
                self.snapshots += usize::from(matches!(other, Outgoing::Snapshot { .. }));
                self.outbox.push_back(other);
            }
        }
    }

    /// Queues a change, unless a snapshot will have it.
    pub(super) fn push_change(&mut self, frame: Arc<Frame>) {
        if self.snapshots > 0 {
            return;
        }
        self.outbox.push_back(Outgoing::Change(frame));
        self.changes += 1;
        if self.changes > self.outbox_max {
            self.coalesce(None);
        }
    }

    /// Puts a snapshot, to be made later, in the place of all changes that wait.
    pub(super) fn coalesce(&mut self, sync_id: Option<u64>) {
        let (mut place, mut asked) = (None, sync_id);
        let mut kept = VecDeque::with_capacity(self.outbox.len());
        for outgoing in self.outbox.drain(..) {
            match outgoing {
                Outgoing::Other(frame) => kept.push_back(Outgoing::Other(frame)),
                Outgoing::Change(frame) => {
                    place.get_or_insert(kept.len());
                    if let Message::State(state) = frame.message() {
                        asked = asked.or(state.sync_id);
                    }
                }
                Outgoing::Snapshot { sync_id } => {
                    place.get_or_insert(kept.len());
                    asked = asked.or(sync_id);
                }
            }
        }
        // Without anything that waited, what waits first may already count on the lost change.
        kept.insert(place.unwrap_or(0), Outgoing::Snapshot { sync_id: asked });
        (self.outbox, self.changes, self.snapshots) = (kept, 0, 1);
    }

    /// Takes the next thing to send.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let outgoing = self.outbox.pop_front()?;
        match &outgoing {
            Outgoing::Change(_) => self.changes -= 1,
            Outgoing::Snapshot { .. } => self.snapshots -= 1,
            Outgoing::Other(_) => {}
        }
        Some(outgoing)
    }

    /// Puts back what could not be sent for want of room.
    pub(super) fn put_back(&mut self, frame: Arc<Frame>) {
        if matches!(frame.message(), Message::State(_)) {
            if self.snapshots == 0 {
                self.outbox.push_front(Outgoing::Change(frame));
                self.changes += 1;
                return;
            }
            // A snapshot behind results that count on this would come too late.
            self.coalesce_front();
        } else {
            self.outbox.push_front(Outgoing::Other(frame));
        }
    }

    fn coalesce_front(&mut self) {
        let at = self.outbox.iter().position(|outgoing| matches!(outgoing, Outgoing::Snapshot { .. }));
        if let Some(snapshot) = at.and_then(|at| self.outbox.remove(at)) {
            self.outbox.push_front(snapshot);
        }
    }
}
