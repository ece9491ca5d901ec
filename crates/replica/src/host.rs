//! A world's mirror as its clients see it: views by interest, connections, inputs.
//!
//! A [`ReplicaHost`] belongs to whoever runs the world. Connections belong to whoever runs the network; the two meet in
//! [`ReplicaHost::open`], [`receive`](ReplicaHost::receive) and [`take`](ReplicaHost::take), none of which touches the
//! world. What clients ask for is carried out by the next [`publish`](ReplicaHost::publish), which does.
//!
//! # Rules
//! - Clients with the same interest share a view, and so its frames; views that nobody follows are dropped, but the one of
//!   everything.
//! - A client that wants to see another part goes on with a snapshot of that part, so it can tell what it shows by the
//!   frames alone.
//! - Everything a client can fill is bounded: inputs that wait, and requests are at most one interest.

use std::collections::BTreeMap;
use std::sync::Arc;

use peristyle_world::{ColumnReader, World};

use crate::error::{FrameError, ViewError};
use crate::publisher::{Bytes, ClientId, Publisher, PublisherOptions};
use crate::spec::ViewSpec;
use crate::view::Interest;
#[cfg(doc)]
use crate::wire::Subscription;
use crate::wire::{Answer, Request};

/// Inputs of one client that wait for a tick at most.
const INPUTS_MAX: usize = 256;
/// Views at once at most: each is a look at what changed.
const VIEWS_MAX: usize = 64;

/// Names a connection. Names are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// Something a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Whose.
    pub connection: ConnectionId,
    /// As the client counts.
    pub number: u64,
    /// In a form that client and systems agree on.
    pub bytes: Vec<u8>,
}

/// Why a message of a client was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The connection is not known, or closed.
    #[error("the connection is closed")]
    Closed,
    /// The message is no request.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// As many inputs wait as may.
    #[error("{waiting} inputs wait for a tick, no more may")]
    Flooded {
        /// How many.
        waiting: usize,
    },
}

#[derive(Debug)]
struct Connection {
    view: usize,
    client: ClientId,
    wants: Option<Option<Interest>>,
    inputs: Vec<Input>,
    /// The number of the last input that was handed out, and the last that was answered.
    taken: u64,
    answered: u64,
    answer: Option<Answer>,
    refused: Option<ViewError>,
    unpacks: bool,
}

/// A world's mirror, and all who follow it.
#[derive(Debug)]
pub struct ReplicaHost {
    spec: ViewSpec,
    options: PublisherOptions,
    epoch: u64,
    /// The first shows everything that the spec does.
    views: Vec<Option<(Option<Interest>, Publisher)>>,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
}

impl ReplicaHost {
    /// A mirror of a world. `epoch` tells this host from others that had its address before: a client that returns with
    /// another starts anew.
    ///
    /// # Errors
    /// [`ViewError`]: what the spec and the world disagree on.
    pub fn new(
        world: &mut World,
        spec: ViewSpec,
        options: PublisherOptions,
        epoch: u64,
    ) -> Result<ReplicaHost, ViewError> {
        let all = Publisher::new(world, spec.clone(), options.clone())?;
        let views = vec![Some((None, all))];
        Ok(ReplicaHost { spec, options, epoch, views, connections: BTreeMap::new(), opened: 0 })
    }

    /// What a returning client must say.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The view of everything.
    pub fn publisher(&self) -> &Publisher {
        &self.views[0].as_ref().expect("the view of everything stays").1
    }

    /// Opens a connection that keeps order. With the epoch and tick of the frame that it had last, a client that returns
    /// takes what it missed.
    pub fn open(&mut self, resume: Option<(u64, u64)>) -> ConnectionId {
        let resume = resume.filter(|(epoch, _)| *epoch == self.epoch);
        let publisher = &mut self.views[0].as_mut().expect("the view of everything stays").1;
        let client = match resume {
            Some((_, tick)) => publisher.resume(tick),
            None => publisher.connect(),
        };
        self.opened += 1;
        let id = ConnectionId(self.opened);
        let connection = Connection {
            view: 0,
            client,
            wants: None,
            inputs: Vec::new(),
            taken: 0,
            answered: 0,
            answer: None,
            refused: None,
            unpacks: false,
        };
        self.connections.insert(id, connection);
        id
    }

    /// Sends a connection its frames packed by zstd from now on, as it asked for it: see [`Subscription::packed`].
    pub fn pack(&mut self, connection: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&connection) else { return };
        connection.unpacks = true;
        if let Some((_, publisher)) = &mut self.views[connection.view] {
            publisher.pack(connection.client);
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, connection: ConnectionId) {
        if let Some(Connection { view, client, .. }) = self.connections.remove(&connection) {
            self.leave(view, client);
        }
    }

    fn leave(&mut self, view: usize, client: ClientId) {
        let Some((_, publisher)) = &mut self.views[view] else { return };
        publisher.disconnect(client);
        if view != 0 && publisher.clients() == 0 {
            self.views[view] = None;
        }
    }

    /// Takes in a request of a client, without its topic.
    ///
    /// # Errors
    /// [`ReceiveError`]; the connection goes on.
    pub fn receive(&mut self, connection: ConnectionId, message: &[u8]) -> Result<(), ReceiveError> {
        let at = self.connections.get_mut(&connection).ok_or(ReceiveError::Closed)?;
        match Request::decode(message)? {
            Request::Acknowledge { tick } => {
                if let Some((_, publisher)) = &mut self.views[at.view] {
                    publisher.acknowledge(at.client, tick);
                }
            }
            Request::Interest(interest) => at.wants = Some(interest),
            Request::Input { number, bytes } => {
                if at.inputs.len() >= INPUTS_MAX {
                    return Err(ReceiveError::Flooded { waiting: at.inputs.len() });
                }
                // Inputs that are repeated because they might have been lost are taken once.
                let last = at.inputs.last().map_or(at.taken, |input| input.number);
                if number > last {
                    at.inputs.push(Input { connection, number, bytes });
                }
            }
        }
        Ok(())
    }

    /// Hands out the inputs that came since the last call, in order of connection and number: at a tick's start, for the
    /// systems. The next publication tells each client which of its are in it.
    pub fn inputs(&mut self, mut take: impl FnMut(Input)) {
        for connection in self.connections.values_mut() {
            for input in connection.inputs.drain(..) {
                connection.taken = input.number;
                take(input);
            }
        }
    }

    /// Carries out what clients want to see, and publishes a tick.
    ///
    /// # Panics
    /// If the world is another than the host was made of, or `tick` is not above the last one.
    pub fn publish(&mut self, world: &mut World, tick: u64) {
        self.carry_out(world);
        for (_, publisher) in self.views.iter_mut().flatten() {
            publisher.publish(ColumnReader::new(world), tick);
        }
        for connection in self.connections.values_mut() {
            if connection.taken > connection.answered {
                connection.answered = connection.taken;
                connection.answer = Some(Answer { tick, input: connection.taken });
            }
        }
    }

    /// Moves clients to the views that they want.
    fn carry_out(&mut self, world: &mut World) {
        let wants: Vec<(ConnectionId, Option<Interest>)> =
            self.connections.iter_mut().filter_map(|(id, connection)| Some((*id, connection.wants.take()?))).collect();
        for (id, interest) in wants {
            let known = self.views.iter().position(|view| view.as_ref().is_some_and(|(of, _)| *of == interest));
            let view = match known {
                Some(view) => Ok(view),
                None => self.add_view(world, interest),
            };
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            match view {
                Ok(view) if view == connection.view => {}
                Ok(view) => {
                    let (before, client) = (connection.view, connection.client);
                    if let Some((_, publisher)) = &mut self.views[view] {
                        connection.view = view;
                        connection.client = publisher.connect();
                        if connection.unpacks {
                            publisher.pack(connection.client);
                        }
                    }
                    self.leave(before, client);
                }
                Err(error) => connection.refused = Some(error),
            }
        }
    }

    fn add_view(&mut self, world: &mut World, interest: Option<Interest>) -> Result<usize, ViewError> {
        if self.views.iter().flatten().count() >= VIEWS_MAX {
            return Err(ViewError::TooManyViews { max: VIEWS_MAX });
        }
        let mut spec = self.spec.clone();
        spec.interest = interest.clone();
        let publisher = Publisher::new(world, spec, self.options.clone())?;
        let free = self.views.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            self.views.push(None);
            self.views.len() - 1
        });
        self.views[at] = Some((interest, publisher));
        Ok(at)
    }

    /// Why a connection's last wish to see another part was not granted, once.
    pub fn refusal(&mut self, connection: ConnectionId) -> Option<ViewError> {
        self.connections.get_mut(&connection)?.refused.take()
    }

    /// What a connection is to be sent next, with the [prefix](PublisherOptions::prefix); none if it has everything.
    pub fn take(&mut self, connection: ConnectionId) -> Option<Bytes> {
        let connection = self.connections.get_mut(&connection)?;
        let (_, publisher) = self.views[connection.view].as_mut()?;
        if let Some(bytes) = publisher.take(connection.client) {
            return Some(bytes);
        }
        // After the frame that it speaks of.
        let answer = connection.answer.take()?;
        let mut bytes = self.options.prefix.clone();
        answer.encode(&mut bytes);
        Some(Arc::new(bytes))
    }

    /// How many frames the connection that is furthest behind has yet to take.
    pub fn behind_most(&self) -> usize {
        self.connections.keys().map(|&connection| self.behind(connection)).max().unwrap_or(0)
    }

    /// How many snapshots were given, first ones included, by the views that there are.
    pub fn snapshots(&self) -> u64 {
        self.views.iter().flatten().map(|(_, publisher)| publisher.snapshots()).sum()
    }

    /// How many frames a connection has yet to take.
    pub fn behind(&self, connection: ConnectionId) -> usize {
        let Some(connection) = self.connections.get(&connection) else { return 0 };
        self.views[connection.view].as_ref().map_or(0, |(_, publisher)| publisher.behind(connection.client))
    }
}
