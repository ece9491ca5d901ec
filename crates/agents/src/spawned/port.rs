//! Ports: two ends, each with a queue of what the other end posted.
//!
//! An end belongs to an agent (a `MessagePort` object owns it), to Rust ([`Port`]), or lies in a message on its way. A queue
//! stays with its end when that moves. Messages are taken in the order in which they were posted.
//!
//! # Rules
//! - Only an end's owner posts through it, so whoever found room in the other queue keeps it.
//! - Locks are taken in the order channel, inbox. What may hold ends (messages), run code of others (callbacks) or wake
//!   tasks (wakers) is dropped or called after the lock is released.
//! - A queue that Rust reads never holds a serialised message: Rust threads have no engine to read it with.
//! - A channel never holds one of its own ends: such a message is dropped, as the standard says.
//!
//! Two channels whose ends lie in each other's queues keep each other alive, unreachable: as in browsers, nothing finds them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::inbox::{Inbox, Task};
use super::message::{Message, Packet};
use super::turns::Turns;
use super::value::{Value, ValueError};

/// How much may lie in each queue of a port, and how large one message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortLimits {
    /// Bytes of one message, what it transfers included.
    pub message_bytes: u64,
    /// Messages that wait in one queue.
    pub queue_messages: usize,
    /// Bytes of all messages that wait in one queue.
    pub queue_bytes: u64,
}

impl Default for PortLimits {
    /// 256 MiB a message; a million messages and 1 GiB a queue.
    fn default() -> PortLimits {
        PortLimits { message_bytes: 256 << 20, queue_messages: 1 << 20, queue_bytes: 1 << 30 }
    }
}

/// Why a message was not posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The other end is closed.
    #[error("the port is closed")]
    Closed,
    /// The message is larger than the port's limit.
    #[error("a message of {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// Bytes of the message.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The other end has too many messages, or too many bytes of messages, that it did not take yet.
    #[error("the port is full: {messages} messages of {bytes} bytes wait")]
    Full {
        /// Messages that wait.
        messages: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// The value cannot cross.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The other end is closed, and its messages are taken.
    #[error("the port is closed")]
    Closed,
    /// Nothing came in time.
    #[error("nothing came in time")]
    Timeout,
    /// The agents of the deterministic cluster cannot go on; [`Cluster::run`](crate::Cluster::run) says why.
    #[error("the cluster's agents cannot go on")]
    Stuck,
}

/// What [`End::post`] says when it did not post.
pub(crate) enum Refused {
    Error(PostError, Packet),
    /// Rust reads there: the message must be a value.
    NeedsValue(Packet),
}

type Callback = dyn Fn(Message) + Send + Sync;
type Watcher = dyn Fn(PortEvent) + Send + Sync;

/// What happens to a port beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortEvent {
    /// After [`PostError::Full`]: there is room again.
    Room,
    /// The other end is closed: nothing will come any more.
    Closed,
}

/// Who takes an end's messages.
enum Reader {
    /// Nobody yet.
    None,
    Agent {
        inbox: Arc<Inbox>,
        id: u64,
    },
    Rust(Vec<Waker>),
    Callback {
        call: Arc<Callback>,
        busy: bool,
    },
}

struct Side {
    queue: VecDeque<Packet>,
    bytes: u64,
    reader: Reader,
    /// This end is closed.
    closed: bool,
    /// This end posts nothing any more.
    finished: bool,
    /// Whether this end holds its reader's inbox.
    holding: bool,
    /// Whether it never does.
    loose: bool,
    /// Told of room in the other queue, and of the other end's close.
    watcher: Option<Arc<Watcher>>,
    /// Whoever posts to this queue waits for room.
    is_awaited: bool,
}

impl Side {
    fn pop(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front()?;
        self.bytes -= packet.bytes();
        Some(packet)
    }
}

pub(crate) struct Channel {
    sides: Mutex<[Side; 2]>,
    arrived: Condvar,
    limits: PortLimits,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, [Side; 2]> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to tell that there is room in a side's queue, if somebody waits for it. Half of it is to be free: who was
    /// refused for one message has more.
    fn room_for(&self, sides: &mut [Side; 2], side: usize) -> Option<Arc<Watcher>> {
        let this = &mut sides[side];
        let free = this.queue.len() <= self.limits.queue_messages / 2 && this.bytes <= self.limits.queue_bytes / 2;
        if !this.is_awaited || !free {
            return None;
        }
        this.is_awaited = false;
        sides[1 - side].watcher.clone()
    }

    /// Whether a side could post a message of `bytes` bytes.
    fn check(&self, side: usize, bytes: u64) -> Result<(), PostError> {
        let sides = self.lock();
        if sides[side].closed || sides[1 - side].closed {
            return Err(PostError::Closed);
        }
        check(&sides[1 - side], &self.limits, bytes)
    }
}

/// Makes a side hold its agent's inbox exactly while a message may still come to a listener.
fn settle(sides: &mut [Side; 2], side: usize) {
    let over = sides[side].loose || sides[side].closed || sides[1 - side].closed || sides[1 - side].finished;
    let this = &mut sides[side];
    let Reader::Agent { inbox, .. } = &this.reader else { return };
    match (this.holding, !over) {
        (false, true) => inbox.hold(),
        (true, false) => inbox.release(),
        _ => return,
    }
    this.holding = !over;
}

/// One end of a channel. Its drop closes it.
pub(crate) struct End {
    channel: Arc<Channel>,
    side: usize,
}

impl End {
    /// Both ends of a new channel.
    pub(crate) fn pair(limits: PortLimits) -> (End, End) {
        let side = || Side {
            queue: VecDeque::new(),
            bytes: 0,
            reader: Reader::None,
            closed: false,
            finished: false,
            holding: false,
            loose: false,
            watcher: None,
            is_awaited: false,
        };
        let channel = Arc::new(Channel { sides: Mutex::new([side(), side()]), arrived: Condvar::new(), limits });
        (End { channel: channel.clone(), side: 0 }, End { channel, side: 1 })
    }

    /// What names the channel.
    pub(crate) fn channel(&self) -> *const Channel {
        Arc::as_ptr(&self.channel)
    }

    /// Whether a message of `bytes` bytes could be posted now.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), PostError> {
        self.channel.check(self.side, bytes)
    }

    /// Tells the same, also once the end has moved.
    pub(crate) fn room(&self) -> Room {
        Room { channel: self.channel.clone(), side: self.side }
    }

    /// Whether the other end's messages must be values.
    pub(crate) fn is_read_by_rust(&self) -> bool {
        matches!(self.channel.lock()[1 - self.side].reader, Reader::Rust(_) | Reader::Callback { .. })
    }

    /// Posts a message to the other end.
    pub(crate) fn post(&self, packet: Packet) -> Result<(), Refused> {
        if packet.carries(self.channel()) {
            return Ok(());
        }
        let mut sides = self.channel.lock();
        if sides[self.side].closed || sides[1 - self.side].closed {
            drop(sides);
            return Err(Refused::Error(PostError::Closed, packet));
        }
        let side = &mut sides[1 - self.side];
        if let Err(error) = check(side, &self.channel.limits, packet.bytes()) {
            drop(sides);
            return Err(Refused::Error(error, packet));
        }
        if matches!(side.reader, Reader::Rust(_) | Reader::Callback { .. }) && !packet.is_value() {
            return Err(Refused::NeedsValue(packet));
        }
        side.bytes += packet.bytes();
        side.queue.push_back(packet);
        match &mut side.reader {
            Reader::None => {}
            Reader::Agent { inbox, id } => {
                // Without the lock: whom it wakes wants it at once. If the reader changes meanwhile, the new one was told of
                // what is in the queue.
                let (inbox, id) = (inbox.clone(), *id);
                drop(sides);
                drop(inbox.push(Task::Port(id)));
            }
            Reader::Rust(wakers) => {
                let wakers = std::mem::take(wakers);
                drop(sides);
                self.channel.arrived.notify_all();
                wakers.iter().for_each(Waker::wake_by_ref);
            }
            Reader::Callback { .. } => self.call_back(sides, 1 - self.side),
        }
        Ok(())
    }

    /// Hands a side's messages to its callback, one at a time and in order, whichever threads post.
    fn call_back<'a>(&'a self, mut sides: MutexGuard<'a, [Side; 2]>, side: usize) {
        match &mut sides[side].reader {
            Reader::Callback { busy, .. } if !*busy => *busy = true,
            _ => return,
        }
        /// A callback that panics must not silence the port.
        struct Idle<'a>(&'a Channel, usize);
        impl Drop for Idle<'_> {
            fn drop(&mut self) {
                if let Reader::Callback { busy, .. } = &mut self.0.lock()[self.1].reader {
                    *busy = false;
                }
            }
        }
        loop {
            let this = &mut sides[side];
            let Reader::Callback { call, busy } = &mut this.reader else { return };
            let call = call.clone();
            let Some(packet) = this.queue.pop_front() else {
                *busy = false;
                // Who closed the other end meanwhile left this to be told after the messages.
                let watcher = if sides[1 - side].closed { sides[side].watcher.take() } else { None };
                drop(sides);
                watcher.inspect(|watcher| watcher(PortEvent::Closed));
                return;
            };
            this.bytes -= packet.bytes();
            let watcher = self.channel.room_for(&mut sides, side);
            drop(sides);
            watcher.inspect(|watcher| watcher(PortEvent::Room));
            let idle = Idle(&self.channel, side);
            if let Some(message) = packet.into_message() {
                call(message);
            }
            std::mem::forget(idle);
            sides = self.channel.lock();
        }
    }

    /// Takes the oldest message.
    pub(crate) fn take(&self) -> Option<Packet> {
        let mut sides = self.channel.lock();
        let packet = sides[self.side].pop()?;
        let watcher = self.channel.room_for(&mut sides, self.side);
        drop(sides);
        watcher.inspect(|watcher| watcher(PortEvent::Room));
        Some(packet)
    }

    /// Says that what was refused waits for room.
    fn await_room(&self) {
        let mut sides = self.channel.lock();
        sides[1 - self.side].is_awaited = true;
        let watcher = self.channel.room_for(&mut sides, 1 - self.side);
        drop(sides);
        watcher.inspect(|watcher| watcher(PortEvent::Room));
    }

    /// Whether nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        let sides = self.channel.lock();
        sides[self.side].closed || (sides[1 - self.side].closed && sides[self.side].queue.is_empty())
    }

    /// An agent takes messages from now on: one task for each that is there, and for each that comes.
    pub(crate) fn listen(&self, inbox: &Arc<Inbox>, id: u64) {
        let mut sides = self.channel.lock();
        if matches!(sides[self.side].reader, Reader::Agent { .. }) {
            return;
        }
        sides[self.side].reader = Reader::Agent { inbox: inbox.clone(), id };
        // One task more tells of an end that is gone.
        let gone = usize::from(sides[1 - self.side].closed);
        for _ in 0..sides[self.side].queue.len() + gone {
            drop(inbox.push(Task::Port(id)));
        }
        settle(&mut sides, self.side);
    }

    /// Says whether this end keeps the agent that listens, as it does unless told.
    pub(crate) fn keep(&self, keeps: bool) {
        let mut sides = self.channel.lock();
        sides[self.side].loose = !keeps;
        settle(&mut sides, self.side);
    }

    /// Nobody takes messages for now: they wait.
    pub(crate) fn unlisten(&self) {
        let mut sides = self.channel.lock();
        let side = &mut sides[self.side];
        if let Reader::Agent { inbox, .. } = &side.reader
            && side.holding
        {
            inbox.release();
        }
        side.holding = false;
        let reader = std::mem::replace(&mut side.reader, Reader::None);
        drop(sides);
        drop(reader);
    }

    /// Rust takes messages from now on. Gives what lies there, which Rust may not be able to read;
    /// [`give_back`](End::give_back) takes it again.
    pub(crate) fn move_to_rust(&self) -> VecDeque<Packet> {
        self.unlisten();
        let mut sides = self.channel.lock();
        let side = &mut sides[self.side];
        side.reader = Reader::Rust(Vec::new());
        side.bytes = 0;
        std::mem::take(&mut side.queue)
    }

    /// Puts messages before those that came meanwhile. Nobody has taken one: the end is still being moved.
    pub(crate) fn give_back(&self, packets: impl DoubleEndedIterator<Item = Packet>) {
        let mut sides = self.channel.lock();
        let side = &mut sides[self.side];
        for packet in packets.rev() {
            side.bytes += packet.bytes();
            side.queue.push_front(packet);
        }
    }

    /// Says that this end posts nothing any more; it still receives.
    pub(crate) fn finish(&self) {
        let mut sides = self.channel.lock();
        sides[self.side].finished = true;
        settle(&mut sides, 1 - self.side);
    }

    /// Closes this end. What the other end has not taken yet, it still gets.
    pub(crate) fn close(&self) {
        self.unlisten();
        let mut sides = self.channel.lock();
        if std::mem::replace(&mut sides[self.side].closed, true) {
            return;
        }
        let queue = std::mem::take(&mut sides[self.side].queue);
        sides[self.side].bytes = 0;
        settle(&mut sides, 1 - self.side);
        let wakers = match &mut sides[1 - self.side].reader {
            Reader::Agent { inbox, id } => {
                drop(inbox.push(Task::Port(*id)));
                Vec::new()
            }
            Reader::Rust(wakers) => std::mem::take(wakers),
            _ => Vec::new(),
        };
        let is_busy = matches!(sides[1 - self.side].reader, Reader::Callback { busy: true, .. });
        let watcher = if is_busy { None } else { sides[1 - self.side].watcher.take() };
        let own = sides[self.side].watcher.take();
        drop(sides);
        drop(own);
        watcher.inspect(|watcher| watcher(PortEvent::Closed));
        self.channel.arrived.notify_all();
        wakers.iter().for_each(Waker::wake_by_ref);
        bury(queue);
    }
}

thread_local!(static DYING: RefCell<Option<Vec<VecDeque<Packet>>>> = const { RefCell::new(None) });

/// Drops messages. They may hold ends, whose queues hold messages with ends, and so on, as deep as a script likes: inner
/// queues are left to the outermost call.
fn bury(queue: VecDeque<Packet>) {
    if queue.is_empty() {
        return;
    }
    let mut queue = Some(queue);
    // When the thread ends there is no list any more, and what is left is dropped where it is.
    let outermost = DYING.try_with(|dying| match &mut *dying.borrow_mut() {
        Some(list) => {
            list.extend(queue.take());
            false
        }
        none => {
            *none = Some(Vec::new());
            true
        }
    });
    drop(queue);
    if outermost != Ok(true) {
        return;
    }
    while let Some(next) = DYING.with(|dying| {
        let mut dying = dying.borrow_mut();
        let next = dying.as_mut().and_then(Vec::pop);
        if next.is_none() {
            *dying = None;
        }
        next
    }) {
        drop(next);
    }
}

/// What an end of this side could post.
pub(crate) struct Room {
    channel: Arc<Channel>,
    side: usize,
}

impl Room {
    /// Whether a message of `bytes` bytes could be posted now.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), PostError> {
        self.channel.check(self.side, bytes)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

fn check(side: &Side, limits: &PortLimits, bytes: u64) -> Result<(), PostError> {
    if bytes > limits.message_bytes {
        return Err(PostError::TooLarge { bytes, max: limits.message_bytes });
    }
    if side.queue.len() >= limits.queue_messages || side.bytes.saturating_add(bytes) > limits.queue_bytes {
        return Err(PostError::Full { messages: side.queue.len(), bytes: side.bytes });
    }
    Ok(())
}

/// Rust's end of a message port. Dropping it closes it.
///
/// What an agent posts to it is converted in that agent; what Rust posts, in the agent that receives it.
pub struct Port(pub(crate) End);

impl Port {
    /// Two ends that Rust has both; either can be sent to an agent by [`Port::post_with`].
    pub fn pair(limits: PortLimits) -> (Port, Port) {
        let (one, other) = End::pair(limits);
        (Port::new(one), Port::new(other))
    }

    /// Takes over an end whose queue holds values only.
    pub(crate) fn new(end: End) -> Port {
        let packets = end.move_to_rust();
        end.give_back(packets.into_iter());
        Port(end)
    }

    /// Posts a value; as an agent's `postMessage` does.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn post<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), PostError> {
        self.post_with(value, Vec::new()).map_err(|(error, _)| error)
    }

    /// Posts a value and ports, which the receiver finds as `event.ports`.
    ///
    /// # Errors
    /// [`PostError`], with the ports.
    pub fn post_with<T: Serialize + ?Sized>(&self, value: &T, ports: Vec<Port>) -> Result<(), (PostError, Vec<Port>)> {
        let value = match Value::of(value) {
            Ok(value) => value,
            Err(error) => return Err((error.into(), ports)),
        };
        let ends = ports.into_iter().map(Port::into_end).collect();
        match self.0.post(Packet::value(value, ends)) {
            Ok(()) | Err(Refused::NeedsValue(_)) => Ok(()),
            Err(Refused::Error(error, packet)) => {
                if matches!(error, PostError::Full { .. }) {
                    self.0.await_room();
                }
                Err((error, packet.into_message().map_or_else(Vec::new, |message| message.ports)))
            }
        }
    }

    fn into_end(self) -> End {
        self.0.unread();
        self.0
    }

    /// The oldest message that has come, if one has.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn try_receive(&self) -> Result<Option<Message>, ReceiveError> {
        match self.0.take().and_then(Packet::into_message) {
            Some(message) => Ok(Some(message)),
            None if self.0.is_over() => Err(ReceiveError::Closed),
            None => Ok(None),
        }
    }

    /// The next message: a future, or [`Receive::wait`] for a thread.
    pub fn receive(&self) -> Receive<'_> {
        Receive { port: self, turns: None }
    }

    /// Hands what comes, and what has come, to `callback`: one message at a time, in order, on the thread that posts.
    pub fn on_message(&self, callback: impl Fn(Message) + Send + Sync + 'static) {
        let mut sides = self.0.channel.lock();
        let call: Arc<Callback> = Arc::new(callback);
        let old = match &mut sides[self.0.side].reader {
            // Whoever is busy with the old callback goes on with the new one.
            Reader::Callback { call: old, .. } => {
                let old = std::mem::replace(old, call);
                Reader::Callback { call: old, busy: false }
            }
            reader => std::mem::replace(reader, Reader::Callback { call, busy: false }),
        };
        self.0.call_back(sides, self.0.side);
        if let Reader::Rust(wakers) = &old {
            wakers.iter().for_each(Waker::wake_by_ref);
        }
        drop(old);
    }

    /// Tells `watcher` of room after a refusal, on the thread that makes it, and of the other end's close, after all messages
    /// that go to a callback. It is told once of a close, also of one that has been, and forgotten with it.
    pub fn on_event(&self, watcher: impl Fn(PortEvent) + Send + Sync + 'static) {
        let watcher: Arc<Watcher> = Arc::new(watcher);
        let mut sides = self.0.channel.lock();
        let is_over = sides[self.0.side].closed || sides[1 - self.0.side].closed;
        let old = if is_over { None } else { sides[self.0.side].watcher.replace(watcher.clone()) };
        drop(sides);
        drop(old);
        if is_over {
            watcher(PortEvent::Closed);
        }
    }

    /// Closes the port. What was posted before, the other end still gets.
    pub fn close(&self) {
        self.0.close();
    }

    /// Says that nothing will be posted any more: a listener at the other end no longer keeps its agent running.
    pub fn finish(&self) {
        self.0.finish();
    }
}

impl End {
    /// On its way: nobody reads.
    fn unread(&self) {
        let mut sides = self.channel.lock();
        let reader = std::mem::replace(&mut sides[self.side].reader, Reader::None);
        drop(sides);
        drop(reader);
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("waiting", &self.0.channel.lock()[self.0.side].queue.len()).finish()
    }
}

/// The next message of a [`Port`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Receive<'a> {
    pub(crate) port: &'a Port,
    /// Agents that run only while somebody waits.
    pub(crate) turns: Option<Arc<Turns>>,
}

impl fmt::Debug for Receive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").field("port", self.port).finish_non_exhaustive()
    }
}

impl Receive<'_> {
    /// Waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn wait(self) -> Result<Message, ReceiveError> {
        self.wait_until(None)
    }

    /// Waits for it, but no longer than this.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn wait_timeout(self, limit: Duration) -> Result<Message, ReceiveError> {
        self.wait_until(Some(Instant::now() + limit))
    }

    fn wait_until(self, until: Option<Instant>) -> Result<Message, ReceiveError> {
        let End { channel, side } = &self.port.0;
        if let Some(turns) = &self.turns {
            let is_over = || {
                let sides = channel.lock();
                !sides[*side].queue.is_empty() || sides[*side].closed || sides[1 - *side].closed
            };
            let ran = match until {
                None => turns.drive(is_over),
                Some(_) => turns.run(None),
            };
            if ran.is_err() && !is_over() {
                return Err(ReceiveError::Stuck);
            }
        }
        let mut sides = channel.lock();
        loop {
            let this = &mut sides[*side];
            if let Some(packet) = this.pop() {
                let watcher = channel.room_for(&mut sides, *side);
                if let Some(watcher) = watcher {
                    drop(sides);
                    watcher(PortEvent::Room);
                    sides = channel.lock();
                }
                if let Some(message) = packet.into_message() {
                    return Ok(message);
                }
                continue;
            }
            if sides[*side].closed || sides[1 - *side].closed {
                return Err(ReceiveError::Closed);
            }
            sides = match until {
                None => channel.arrived.wait(sides).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ReceiveError::Timeout);
                    }
                    channel.arrived.wait_timeout(sides, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Future for Receive<'_> {
    type Output = Result<Message, ReceiveError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let End { channel, side } = &self.port.0;
        let mut sides = channel.lock();
        // The waker is left behind under the lock that a poster takes.
        if sides[*side].queue.is_empty() && !sides[*side].closed && !sides[1 - *side].closed {
            if let Reader::Rust(wakers) = &mut sides[*side].reader {
                wakers.retain(|known| !known.will_wake(cx.waker()));
                wakers.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        drop(sides);
        match self.port.try_receive() {
            Ok(Some(message)) => Poll::Ready(Ok(message)),
            Err(error) => Poll::Ready(Err(error)),
            // Another thread took it.
            Ok(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
