//! One view, many clients: a shared log of frames, and each client's place in it.
//!
//! A frame is encoded once, into bytes that all clients share. Publishing does nothing per client: who follows on an
//! ordered connection has a place in the log and takes what comes after it. Who falls behind the log's bound starts again
//! from a snapshot, so that a client that never reads costs nothing. Who comes back with the tick that it last had is given
//! what it missed, while the log has it.
//!
//! Clients on a transport that loses or reorders frames follow another way, see [`Publisher::connect_lossy`].
//!
//! # Rules
//! - The log is bounded in frames and bytes; a frame in it is never changed.
//! - Buffers go round: a frame that the log dropped and no client holds is the next one's buffer.

use std::collections::VecDeque;
use std::sync::Arc;

use peristyle_world::{ColumnReader, World};

use crate::error::ViewError;
use crate::lossy::{Baselines, LossyClient};
use crate::packing::Packer;
use crate::schema::Schema;
use crate::spec::ViewSpec;
use crate::view::View;

/// Bytes of a message, shared by all that are to send it.
pub type Bytes = Arc<Vec<u8>>;

/// What a [`Publisher`] keeps.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// Frames in the log at most: how far a client may fall behind, or be away, before it starts again. 128 unless told.
    pub log_frames: usize,
    /// Bytes in the log at most. 16 MiB unless told.
    pub log_bytes: usize,
    /// Ticks between two baselines for lossy clients. 4 unless told.
    pub baseline_every: u64,
    /// Bytes that each message on an ordered connection starts with, such as the topic of a connection that carries
    /// several. Nothing unless told.
    pub prefix: Vec<u8>,
}

impl Default for PublisherOptions {
    fn default() -> PublisherOptions {
        PublisherOptions { log_frames: 128, log_bytes: 16 << 20, baseline_every: 4, prefix: Vec::new() }
    }
}

/// Names a client of a publisher. Names are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

#[derive(Debug)]
struct Client {
    id: ClientId,
    follows: Follows,
    /// Whether it takes packed frames.
    unpacks: bool,
}

#[derive(Debug)]
enum Follows {
    /// Takes the schema first, then a snapshot.
    FromStart,
    /// Takes a snapshot next.
    FromSnapshot,
    /// Takes the frame of that number next.
    Log(u64),
    Lossy(LossyClient),
}

#[derive(Debug)]
struct Logged {
    tick: u64,
    bytes: Bytes,
    /// Packed, if somebody asked for it and it is shorter.
    packed: Option<Bytes>,
}

/// Publishes a view to its clients.
#[derive(Debug)]
pub struct Publisher {
    view: View,
    options: PublisherOptions,
    schema: Bytes,
    log: VecDeque<Logged>,
    /// Number of the log's first frame.
    first: u64,
    log_bytes: usize,
    /// The snapshot of the last tick, if somebody asked for it.
    snapshot: Option<Bytes>,
    packed_snapshot: Option<Bytes>,
    packer: Packer,
    clients: Vec<Client>,
    connected: u64,
    snapshots: u64,
    baselines: Baselines,
    spare: Vec<Bytes>,
}

impl Publisher {
    /// Publishes a view of a world.
    ///
    /// # Errors
    /// [`ViewError`]: what the spec and the world disagree on.
    pub fn new(world: &mut World, spec: ViewSpec, options: PublisherOptions) -> Result<Publisher, ViewError> {
        let view = View::new(world, spec)?;
        let mut schema = options.prefix.clone();
        view.schema().encode(&mut schema);
        Ok(Publisher {
            baselines: Baselines::new(view.schema()),
            view,
            options,
            schema: Arc::new(schema),
            log: VecDeque::new(),
            first: 0,
            log_bytes: 0,
            snapshot: None,
            packed_snapshot: None,
            packer: Packer::default(),
            clients: Vec::new(),
            connected: 0,
            snapshots: 0,
            spare: Vec::new(),
        })
    }

    /// The view.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The view, to change its interest.
    pub fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// How many clients follow.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many snapshots clients were given, first ones included.
    pub fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// Bytes of the newest frame in the log; 0 if there is none.
    pub fn last_bytes(&self) -> usize {
        self.log.back().map_or(0, |logged| logged.bytes.len())
    }

    /// Publishes a tick: one frame, whatever the number of clients.
    ///
    /// # Panics
    /// As [`View::publish`].
    pub fn publish(&mut self, reader: ColumnReader<'_>, tick: u64) {
        (self.snapshot, self.packed_snapshot) = (None, None);
        let mut bytes = self.spare.pop().unwrap_or_default();
        let out = Arc::make_mut(&mut bytes);
        out.clear();
        out.extend_from_slice(&self.options.prefix);
        self.view.publish(reader, tick, None, out);
        self.log_bytes += bytes.len();
        self.log.push_back(Logged { tick, bytes, packed: None });
        while self.log.len() > self.options.log_frames || self.log_bytes > self.options.log_bytes {
            let Some(Logged { bytes, packed, .. }) = self.log.pop_front() else { break };
            self.first += 1;
            self.log_bytes -= bytes.len();
            packed.into_iter().chain([bytes]).for_each(|bytes| self.recycle(bytes));
        }
        let lossy = self.clients.iter().any(|client| matches!(client.follows, Follows::Lossy(_)));
        self.baselines.published(&self.view, tick, lossy, self.options.baseline_every);
    }

    /// Keeps a buffer that nobody else holds.
    fn recycle(&mut self, mut bytes: Bytes) {
        const SPARE_MAX: usize = 8;
        if self.spare.len() < SPARE_MAX && Arc::get_mut(&mut bytes).is_some() {
            self.spare.push(bytes);
        }
    }

    /// Lets a client follow on a connection that keeps order and loses nothing: it [takes](Publisher::take) the schema, a
    /// snapshot, then frame after frame.
    pub fn connect(&mut self) -> ClientId {
        self.add(Follows::FromStart)
    }

    /// Lets a client follow again that had the frame of `tick` last, on a connection as above: it takes what it missed, or
    /// a snapshot if the log has forgotten that. It has the schema.
    pub fn resume(&mut self, tick: u64) -> ClientId {
        let after = self.log.iter().position(|logged| logged.tick == tick).map(|at| self.first + at as u64 + 1);
        self.add(after.map_or(Follows::FromSnapshot, Follows::Log))
    }

    /// Lets a client follow on a transport that may lose, repeat or reorder frames: it takes the schema of
    /// [`Publisher::lossy_schema`] on its own, then in each tick one frame that builds on a tick that it
    /// [acknowledged](Publisher::acknowledge), or a snapshot before that. Its end is a
    /// [`LossyViewWorld`](crate::LossyViewWorld).
    pub fn connect_lossy(&mut self) -> ClientId {
        self.add(Follows::Lossy(LossyClient::default()))
    }

    fn add(&mut self, follows: Follows) -> ClientId {
        self.connected += 1;
        let id = ClientId(self.connected);
        self.clients.push(Client { id, follows, unpacks: false });
        id
    }

    /// Sends a client its frames packed by zstd from now on, where that is shorter: it said that it unpacks them. On lossy
    /// transports, and without the feature `zstd`, frames go as they are.
    pub fn pack(&mut self, client: ClientId) {
        if let Some(client) = self.find(client) {
            client.unpacks = true;
        }
    }

    /// Forgets a client.
    pub fn disconnect(&mut self, client: ClientId) {
        self.clients.retain(|known| known.id != client);
    }

    /// The schema that lossy clients are told: without linear prediction, which needs every frame.
    pub fn lossy_schema(&self) -> &Schema {
        self.baselines.schema()
    }

    /// A lossy client says that it took in the frame of `tick`.
    pub fn acknowledge(&mut self, client: ClientId, tick: u64) {
        if let Some(Client { follows: Follows::Lossy(lossy), .. }) = self.find(client) {
            lossy.acknowledge(tick);
        }
    }

    fn find(&mut self, client: ClientId) -> Option<&mut Client> {
        // Clients are in order of their names.
        let at = self.clients.binary_search_by_key(&client, |known| known.id).ok()?;
        Some(&mut self.clients[at])
    }

    /// What a client is to be sent next; none if it has everything, or is not known.
    pub fn take(&mut self, client: ClientId) -> Option<Bytes> {
        let at = self.clients.binary_search_by_key(&client, |known| known.id).ok()?;
        self.next(at)
    }

    /// Hands out what clients are to be sent, client after client: to each one message after the other, until it has
    /// everything or `send` says that it takes no more now. Costs less than [`take`](Publisher::take) for each.
    ///
    /// A message that was handed out counts as sent, also if `send` wants no more after it.
    pub fn drain(&mut self, mut send: impl FnMut(ClientId, Bytes) -> bool) {
        for at in 0..self.clients.len() {
            let id = self.clients[at].id;
            while let Some(bytes) = self.next(at)
                && send(id, bytes)
            {}
        }
    }

    /// What the client at a place in the list is to be sent next.
    #[inline]
    fn next(&mut self, at: usize) -> Option<Bytes> {
        let (first, end) = (self.first, self.first + self.log.len() as u64);
        let unpacks = self.clients[at].unpacks;
        match &mut self.clients[at].follows {
            follows @ Follows::FromStart => {
                *follows = Follows::FromSnapshot;
                Some(self.schema.clone())
            }
            Follows::Log(next) if *next == end => None,
            Follows::Log(next) if *next >= first => {
                let Logged { bytes, packed, .. } = &mut self.log[(*next - first) as usize];
                *next += 1;
                Some(if unpacks {
                    packed_once(packed, bytes, &mut self.packer, &mut self.spare)
                } else {
                    bytes.clone()
                })
            }
            Follows::Lossy(lossy) => self.baselines.take(&self.view, lossy),
            // Nothing was published yet, or it fell behind.
            follows => {
                self.view.tick()?;
                *follows = Follows::Log(end);
                self.snapshots += 1;
                let snapshot = self.snapshot();
                let Publisher { packed_snapshot, packer, spare, .. } = self;
                Some(if unpacks { packed_once(packed_snapshot, &snapshot, packer, spare) } else { snapshot })
            }
        }
    }

    /// How many frames a client has yet to take.
    pub fn behind(&self, client: ClientId) -> usize {
        let Ok(at) = self.clients.binary_search_by_key(&client, |known| known.id) else { return 0 };
        match &self.clients[at].follows {
            Follows::Log(next) => (self.first + self.log.len() as u64 - next) as usize,
            Follows::Lossy(_) => 0,
            Follows::FromStart | Follows::FromSnapshot => 1,
        }
    }

    /// The snapshot of the last tick, made once for all who want it.
    fn snapshot(&mut self) -> Bytes {
        let (view, prefix) = (&self.view, &self.options.prefix);
        let snapshot = self.snapshot.get_or_insert_with(|| {
            let mut bytes = prefix.clone();
            view.snapshot(None, &mut bytes);
            Arc::new(bytes)
        });
        snapshot.clone()
    }
}

/// A frame as clients take it that unpack: packed once, and as it is if that is not shorter.
fn packed_once(packed: &mut Option<Bytes>, frame: &Bytes, packer: &mut Packer, spare: &mut Vec<Bytes>) -> Bytes {
    let packed = packed.get_or_insert_with(|| {
        let mut bytes = spare.pop().unwrap_or_default();
        let out = Arc::make_mut(&mut bytes);
        out.clear();
        if packer.pack(frame, out) { bytes } else { frame.clone() }
    });
    packed.clone()
}
