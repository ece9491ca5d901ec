//! One client: what it asked for, what it may do, and the task that serves it.
//!
//! The task writes all that waits, flushes once, then sleeps until there is something to read or to write. While a client
//! does not take what it is sent it is not read from either; its world's log goes on without it, and it continues from a
//! snapshot, or is cut off.
//!
//! # Close codes
//! | code | meaning | come back? |
//! | --- | --- | --- |
//! | 1001 | the gateway, or the host, goes away | yes |
//! | 1009 | a message that is too large | yes |
//! | 4400 | a message that has no meaning | no |
//! | 4401 | no token, or a wrong one | no |
//! | 4403 | a topic that the token does not grant | no |
//! | 4408 | too slow, or silent for too long | yes |
//! | 4429 | too many messages | yes |

use std::sync::Arc;
use std::time::Instant;

use peristyle_mirror::{Frame, Host, Message, RemoteError, ResultMessage, TransportError};
use peristyle_replica::{ConnectionId, Subscription, Topic};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, error::CapacityError};

use crate::access::{Grant, Modules};
use crate::addresses::AddressPlace;
use crate::feed::WorldFeed;
use crate::gateway::{Shared, closed};
use crate::limits::Rate;
use crate::link::Link;
use crate::metrics::{Cut, Place};
use crate::socket::{Sent, Socket};
use crate::trace::TraceFeed;

/// What there is under one name.
#[derive(Clone, Default)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) world: Option<WorldFeed>,
    pub(crate) host: Option<Host>,
    pub(crate) trace: Option<TraceFeed>,
}

impl Offer {
    /// What clients must say to go on where they were: the host says it, where there is one.
    fn epoch(&self) -> u64 {
        let of_host = self.host.as_ref().map(Host::epoch);
        of_host.or(self.world.as_ref().map(WorldFeed::epoch)).unwrap_or_default()
    }
}

/// What clients are told when the gateway ends.
const GOODBYE: &str = "the gateway shuts down";

/// Why a client's connection ends.
enum End {
    /// It closed, or the network did.
    Gone,
    Cut(Cut, String),
    /// What it follows goes away.
    Left(&'static str),
}

impl End {
    fn close(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            End::Gone => return None,
            End::Left(reason) => (1001, (*reason).to_owned()),
            End::Cut(cut, reason) => (code(*cut), reason.clone()),
        };
        // A reason has at most 123 bytes.
        let end = (0..=reason.len().min(123)).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
        Some(CloseFrame { code: CloseCode::from(code), reason: reason[..end].to_owned().into() })
    }
}

fn code(cut: Cut) -> u16 {
    match cut {
        Cut::Slow | Cut::Idle => 4408,
        Cut::Rate => 4429,
        Cut::Oversized => 1009,
        Cut::Token => 4401,
        Cut::Forbidden => 4403,
        Cut::Malformed | Cut::Count => 4400,
    }
}

/// The first message of a client that is a browser, which cannot send headers.
#[derive(Deserialize)]
#[serde(tag = "type", rename = "auth")]
struct Auth {
    token: String,
}

/// A client that was let in.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) offer: Offer,
    pub(crate) subscription: Subscription,
    /// What it may do; nothing until it has said its token.
    pub(crate) grant: Option<Grant>,
    /// Its place among the gateway's clients, as long as it is served.
    pub(crate) _place: Place,
    /// Its place among the connections of its address.
    pub(crate) _of_address: Option<AddressPlace>,
}

impl Client {
    /// Serves the client until one of the two has enough.
    pub(crate) async fn serve(self, mut socket: Socket) {
        let shared = self.shared.clone();
        let end = match self.admit(&mut socket).await {
            Ok(grant) => self.follow(&mut socket, grant).await,
            Err(end) => end,
        };
        if let End::Cut(cut, _) = &end {
            shared.metrics.cut(*cut);
        }
        if let Some(close) = end.close() {
            // Who does not listen is not waited for.
            let _ = timeout(shared.limits.goodbye, socket.close(close)).await;
        }
    }

    /// Waits for a token, if one is needed, and checks what it grants.
    async fn admit(&self, socket: &mut Socket) -> Result<Grant, End> {
        let grant = match &self.grant {
            Some(grant) => grant.clone(),
            None => {
                let mut closing = self.shared.closing.subscribe();
                tokio::select! {
                    told = timeout(self.shared.limits.handshake, self.token(socket)) => {
                        told.unwrap_or_else(|_| Err(End::Cut(Cut::Token, "no token came".into())))?
                    }
                    () = closed(&mut closing) => return Err(End::Left(GOODBYE)),
                }
            }
        };
        let refused = self.subscription.topics.iter().find(|topic| !grant.topics.contains(topic));
        match refused {
            None => Ok(grant),
            Some(topic) => Err(End::Cut(Cut::Forbidden, format!("the token does not grant {}", topic.name()))),
        }
    }

    async fn token(&self, socket: &mut Socket) -> Result<Grant, End> {
        let unauthorised = || End::Cut(Cut::Token, "not authorised".into());
        while let Some(message) = socket.next().await {
            match message {
                Ok(tungstenite::Message::Text(text)) => {
                    let auth: Auth = serde_json::from_str(&text).map_err(|_| unauthorised())?;
                    return self.shared.tokens.grant(&auth.token).ok_or_else(unauthorised);
                }
                Ok(tungstenite::Message::Binary(_)) => return Err(unauthorised()),
                Ok(_) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(End::Gone)
    }

    async fn follow(&self, socket: &mut Socket, grant: Grant) -> End {
        let wants = |topic| self.subscription.topics.contains(&topic);
        let offer = &self.offer;
        let world = offer.world.clone().filter(|_| wants(Topic::RenderState));
        let host = offer.host.clone().filter(|_| wants(Topic::ProcessState));
        let trace = offer.trace.clone().filter(|_| wants(Topic::Trace));
        let view = world.map(|feed| {
            let resume = self.subscription.resume.filter(|(epoch, _)| *epoch == offer.epoch());
            View { news: feed.news(), connection: feed.open(resume.map(|(_, tick)| tick)), feed }
        });
        let link = host.as_ref().map(|_| Link::new(self.shared.limits.queue_bytes, self.shared.metrics.clone()));
        let now = Instant::now();
        let mut session = Session {
            socket,
            shared: &self.shared,
            rate: Rate::new(self.shared.limits.messages_per_second, now),
            heard: now,
            has_spoken: self.grant.is_none(),
            grant,
            view,
            link: link.clone(),
            trace: trace.map(|trace| trace.news()),
        };
        if let (Some(host), Some(link)) = (&host, &link) {
            let connected = match &session.grant.read {
                Modules::All => host.connect(link.clone()),
                Modules::Only(names) => {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    host.connect_within(link.clone(), &names)
                }
            };
            if connected.is_err() {
                return End::Left("the host goes away");
            }
        }
        let end = match session.greet(offer.epoch(), host.is_some()).await {
            Ok(()) => session.run().await,
            Err(end) => end,
        };
        if let Some(link) = link {
            link.close(&TransportError::Closed);
        }
        end
    }
}

fn failed(error: &tungstenite::Error) -> End {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            End::Cut(Cut::Oversized, format!("a message of {size} bytes, of which {max_size} are allowed"))
        }
        tungstenite::Error::Protocol(error) => End::Cut(Cut::Malformed, error.to_string()),
        tungstenite::Error::Utf8(error) => End::Cut(Cut::Malformed, error.to_string()),
        _ => End::Gone,
    }
}

/// A client's view of a world.
struct View {
    feed: WorldFeed,
    connection: ConnectionId,
    news: watch::Receiver<u64>,
}

impl Drop for View {
    fn drop(&mut self) {
        self.feed.close(self.connection);
    }
}

struct Session<'a> {
    socket: &'a mut Socket,
    shared: &'a Shared,
    grant: Grant,
    view: Option<View>,
    link: Option<Arc<Link>>,
    trace: Option<watch::Receiver<tungstenite::Bytes>>,
    rate: Rate,
    /// When it last said anything.
    heard: Instant,
    /// Whether its first message has come.
    has_spoken: bool,
}

impl Session<'_> {
    /// Says where a client can go on later. A host says it itself.
    async fn greet(&mut self, epoch: u64, is_hosted: bool) -> Result<(), End> {
        if is_hosted || self.view.is_none() {
            return Ok(());
        }
        let ready = Frame::new(Message::Ready(peristyle_mirror::Ready { epoch: Some(epoch) }));
        self.feed(Topic::ProcessState, Sent::Text(ready)).await
    }

    async fn run(&mut self) -> End {
        let mut closing = self.shared.closing.subscribe();
        let mut pings = tokio::time::interval(self.shared.limits.idle / 3);
        pings.reset();
        loop {
            if let Err(end) = self.write().await {
                return end;
            }
            if self.link.as_ref().is_some_and(|link| link.is_left()) {
                return End::Left("the host goes away");
            }
            tokio::select! {
                message = self.socket.next() => {
                    let Some(message) = message else { return End::Gone };
                    if let Err(end) = message.map_err(|error| failed(&error)).and_then(|message| self.take(message)) {
                        return end;
                    }
                }
                () = posted(&self.link) => {}
                () = changed(self.view.as_mut().map(|view| &mut view.news)) => {}
                () = changed(self.trace.as_mut()) => {
                    if let Err(end) = self.write_trace().await {
                        return end;
                    }
                }
                _ = pings.tick() => {
                    if self.heard.elapsed() > self.shared.limits.idle {
                        return End::Cut(Cut::Idle, "silent for too long".into());
                    }
                    if let Err(end) = self.within("a ping", async |socket| socket.ping().await).await {
                        return end;
                    }
                }
                () = closed(&mut closing) => return End::Left(GOODBYE),
            }
        }
    }

    /// Writes all that waits.
    async fn write(&mut self) -> Result<(), End> {
        loop {
            let mut wrote = false;
            while let Some(frame) = self.link.as_ref().and_then(|link| link.take()) {
                self.feed(Topic::ProcessState, Sent::Text(frame)).await?;
                wrote = true;
            }
            // One frame, then whatever was said meanwhile: a client that catches up still gets its answers.
            let shown = self.view.as_ref().and_then(|view| view.feed.take(view.connection));
            if let Some(bytes) = shown {
                self.feed(Topic::RenderState, Sent::World(bytes)).await?;
                wrote = true;
            }
            if !wrote {
                break;
            }
        }
        if let Some(View { feed, connection, .. }) = &self.view
            && let Some(error) = feed.refusal(*connection)
        {
            return Err(End::Cut(Cut::Malformed, error.to_string()));
        }
        self.flush().await
    }

    async fn write_trace(&mut self) -> Result<(), End> {
        let message = self.trace.as_mut().map(|trace| trace.borrow_and_update().clone());
        match message {
            Some(message) if !message.is_empty() => self.feed(Topic::Trace, Sent::Trace(message)).await,
            _ => Ok(()),
        }
    }

    async fn feed(&mut self, topic: Topic, sent: Sent) -> Result<(), End> {
        self.shared.metrics.sent(topic, sent.bytes().len());
        self.within(Topic::name(topic), async |socket| socket.feed(sent).await).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        self.within("what it was sent", async |socket| socket.flush().await).await
    }

    /// Does something that waits for the client, but not for long.
    async fn within(
        &mut self,
        what: &str,
        act: impl AsyncFnOnce(&mut Socket) -> Result<(), tungstenite::Error>,
    ) -> Result<(), End> {
        match timeout(self.shared.limits.stall, act(self.socket)).await {
            Ok(done) => done.map_err(|error| failed(&error)),
            Err(_) => Err(End::Cut(Cut::Slow, format!("too slow: {what} waited for too long"))),
        }
    }

    /// Takes a message of the client in.
    fn take(&mut self, message: tungstenite::Message) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        self.shared.metrics.received(message.len());
        if !self.rate.take(now) {
            let most = self.shared.limits.messages_per_second;
            return Err(End::Cut(Cut::Rate, format!("more than {most} messages a second")));
        }
        match message {
            tungstenite::Message::Text(text) => self.take_text(&text),
            tungstenite::Message::Binary(bytes) => return self.take_binary(&bytes),
            tungstenite::Message::Close(_) => return Err(End::Gone),
            _ => {}
        }
        Ok(())
    }

    fn take_text(&mut self, text: &str) {
        // Who is let in without a token may still say one.
        if !std::mem::replace(&mut self.has_spoken, true) && serde_json::from_str::<Auth>(text).is_ok() {
            return;
        }
        let Some(link) = &self.link else { return };
        let received = Message::parse(text, self.shared.limits.message_bytes);
        match &received {
            Ok(Message::Call(call)) if !self.grant.call.contains(call.module.as_str().unwrap_or_default()) => {
                let error = RemoteError {
                    name: "ForbiddenError".into(),
                    message: format!("the token does not grant calls of module `{}`", call.module),
                    stack: None,
                };
                let refusal = ResultMessage { id: call.id, state_version: None, outcome: Err(error), tick: None };
                return link.say(Frame::new(Message::Result(refusal)));
            }
            Ok(_) => {}
            Err(_) => self.shared.metrics.invalid.add(1),
        }
        link.deliver(received.map(Frame::new));
    }

    fn take_binary(&self, bytes: &[u8]) -> Result<(), End> {
        let malformed = |error: &dyn std::fmt::Display| End::Cut(Cut::Malformed, error.to_string());
        let (topic, request) = Topic::split(bytes).map_err(|error| malformed(&error))?;
        match (&self.view, topic) {
            (Some(view), Topic::RenderState) => {
                view.feed.receive(view.connection, request).map_err(|error| malformed(&error))
            }
            _ => Err(malformed(&format_args!("no {} on this connection", topic.name()))),
        }
    }
}

async fn posted(link: &Option<Arc<Link>>) {
    match link {
        Some(link) => link.posted().await,
        None => std::future::pending().await,
    }
}

/// Waits for news; for ever if there is nobody to tell any.
async fn changed<T>(news: Option<&mut watch::Receiver<T>>) {
    if let Some(news) = news
        && news.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
