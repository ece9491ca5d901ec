//! One client: what it asked for, what it may do, and the task that serves it.
//!
//! The task writes all that waits, flushes once, then sleeps until there is something to read or to write. While a client
//! does not take what it is sent it is not read from either; its world's log goes on without it, and it continues from a
//! snapshot, or is cut off. One that had to be waited for is listened to before it is sent more: it may have left.
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

use std::io;
use std::sync::Arc;

use peristyle_mirror::{Frame, Host, Message, RemoteError, ResultMessage, TransportError};
use peristyle_replica::{ConnectionId, Subscription, Topic};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, error::CapacityError};

use crate::access::{Grant, Modules};
use crate::addresses::AddressPlace;
use crate::feed::WorldFeed;
use crate::gateway::{Shared, closed};
use crate::limits::Rate;
use crate::link::Link;
use crate::metrics::{Cut, Place};
use crate::socket::{Sent, Socket, Stream};
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
    pub(crate) async fn serve(self, mut socket: Socket<impl Stream>) {
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
    async fn admit(&self, socket: &mut Socket<impl Stream>) -> Result<Grant, End> {
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

    async fn token(&self, socket: &mut Socket<impl Stream>) -> Result<Grant, End> {
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

    async fn follow(&self, socket: &mut Socket<impl Stream>, grant: Grant) -> End {
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
            rate: Rate::new(self.shared.limits.messages_per_second, now.into_std()),
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
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            End::Cut(Cut::Slow, "too slow: nothing was taken for too long".into())
        }
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

struct Session<'a, S> {
    socket: &'a mut Socket<S>,
    shared: &'a Shared,
    grant: Grant,
    view: Option<View>,
    link: Option<Arc<Link>>,
    trace: Option<watch::Receiver<tungstenite::Bytes>>,
    rate: Rate,
    /// When it last said anything, or took what had waited for it.
    heard: Instant,
    /// Whether its first message has come.
    has_spoken: bool,
}

impl<S: Stream> Session<'_, S> {
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
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            let is_behind = match self.write().await {
                Ok(is_behind) => is_behind,
                Err(end) => return end,
            };
            if self.link.as_ref().is_some_and(|link| link.is_left()) {
                return End::Left("the host goes away");
            }
            tokio::select! {
                // The client before its news, and what is rare before what is always there for one that is behind.
                biased;
                () = closed(&mut closing) => return End::Left(GOODBYE),
                _ = pings.tick() => {
                    if self.heard.elapsed() > self.shared.limits.idle {
                        return End::Cut(Cut::Idle, "silent for too long".into());
                    }
                    if let Err(error) = self.socket.ping().await {
                        return failed(&error);
                    }
                }
                message = self.socket.next() => {
                    let Some(message) = message else { return End::Gone };
                    if let Err(end) = message.map_err(|error| failed(&error)).and_then(|message| self.take(message)) {
                        return end;
                    }
                }
                () = changed(self.trace.as_mut()) => {
                    if let Err(end) = self.write_trace().await {
                        return end;
                    }
                }
                () = posted(&self.link) => {}
                () = changed(self.view.as_mut().map(|view| &mut view.news)) => {}
                () = std::future::ready(()), if is_behind => {}
            }
        }
    }

    /// Writes what waits, until the client had to be waited for; tells whether there may be more.
    async fn write(&mut self) -> Result<bool, End> {
        let taken = self.socket.taken();
        let mut wrote = true;
        while wrote && self.socket.taken() == taken {
            wrote = false;
            while self.socket.taken() == taken
                && let Some(frame) = self.link.as_ref().and_then(|link| link.take())
            {
                self.feed(Topic::ProcessState, Sent::Text(frame)).await?;
                wrote = true;
            }
            // One frame, then whatever was said meanwhile: a client that catches up still gets its answers.
            let shown = self.view.as_ref().and_then(|view| view.feed.take(view.connection));
            if let Some(bytes) = shown {
                self.feed(Topic::RenderState, Sent::World(bytes)).await?;
                wrote = true;
            }
        }
        if let Some(View { feed, connection, .. }) = &self.view
            && let Some(error) = feed.refusal(*connection)
        {
            return Err(End::Cut(Cut::Malformed, error.to_string()));
        }
        self.socket.flush().await.map_err(|error| failed(&error))?;
        if let Some(taken) = self.socket.taken() {
            self.heard = self.heard.max(taken);
        }
        Ok(wrote)
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
        self.socket.feed(sent).await.map_err(|error| failed(&error))
    }

    /// Takes a message of the client in.
    fn take(&mut self, message: tungstenite::Message) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        self.shared.metrics.received(message.len());
        if !self.rate.take(now.into_std()) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peristyle_mirror::{State, module};
    use peristyle_replica::{ComponentView, ViewSpec};
    use peristyle_world::{Component, World};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::feed::FeedOptions;
    use crate::gateway::{Gateway, GatewayBuilder};

    /// Bytes that the network holds, and that a slow client reads in a second.
    const STEP: usize = 64 << 10;
    /// Bytes of the state: more than a minute's.
    const STATE: usize = 100 * STEP;

    #[derive(Clone, State)]
    struct Text {
        text: String,
        said: u32,
    }

    #[module]
    impl Text {
        #[action]
        fn say(&mut self) {
            self.said += 1;
        }
    }

    fn large_host() -> GatewayBuilder {
        let host = Host::builder().module(Text { text: "x".repeat(STATE), said: 0 }).build().unwrap();
        Gateway::builder().host(&host)
    }

    /// A client, and the task that serves it.
    fn connect(builder: GatewayBuilder) -> (Arc<Shared>, DuplexStream, tokio::task::JoinHandle<()>) {
        let shared = Arc::new(builder.share("127.0.0.1:7070".parse().unwrap(), false));
        let (near, far) = duplex(STEP);
        let client = Client {
            shared: shared.clone(),
            offer: shared.offers[0].clone(),
            subscription: Subscription::parse("topics=render.state,process.state").unwrap(),
            grant: Some(Grant::default()),
            _place: shared.metrics.enter(1).unwrap(),
            _of_address: None,
        };
        let limits = shared.limits.clone();
        let serving = tokio::spawn(async move { client.serve(Socket::new(near, &limits).await).await });
        (shared, far, serving)
    }

    /// Reads a second's bytes, and takes a second for it.
    async fn read(far: &mut DuplexStream) -> usize {
        tokio::time::sleep(Duration::from_secs(1)).await;
        far.read(&mut [0; STEP]).await.unwrap()
    }

    fn cuts(shared: &Shared) -> String {
        let mut page = crate::metrics::Page::default();
        shared.metrics.write(&mut page);
        let text = page.text();
        text.lines().filter(|line| line.starts_with("peristyle_cut_total{") && !line.ends_with(" 0")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_but_steadily_gets_all_of_it_and_stays() {
        let (shared, mut far, _serving) = connect(large_host());
        let began = Instant::now();
        let mut read_bytes = 0;
        while read_bytes < STATE {
            let bytes = read(&mut far).await;
            assert!(bytes > 0, "cut off after {read_bytes} bytes: {}", cuts(&shared));
            read_bytes += bytes;
        }
        assert!(began.elapsed() > shared.limits.idle, "it took longer than anything may be silent for");
        // Then it is asked whether it is there, and is heard.
        let mut rest = Vec::new();
        while !rest.ends_with(&[0x89, 0]) {
            assert_ne!(far.read_buf(&mut rest).await.unwrap(), 0, "cut off: {}", cuts(&shared));
        }
        far.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
        let asked = far.read(&mut [0; 2]).await.unwrap();
        assert_eq!((asked, cuts(&shared)), (2, String::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_within_a_message_is_cut_off() {
        let (shared, mut far, serving) = connect(large_host());
        for _ in 0..30 {
            assert!(read(&mut far).await > 0);
        }
        let stopped = Instant::now();
        serving.await.unwrap();
        assert_eq!(cuts(&shared), "peristyle_cut_total{reason=\"slow\"} 1");
        // Time does not pass by itself here.
        assert_eq!(stopped.elapsed().as_secs(), (shared.limits.stall + shared.limits.goodbye).as_secs());
        drop(far);
    }

    #[derive(Component, Clone, Copy)]
    struct Mixed {
        bits: u32,
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_catches_up_is_listened_to() {
        let mut world = World::new().unwrap();
        let entities: Vec<_> = (0..STEP as u32).map(|row| world.spawn((Mixed { bits: row },)).unwrap()).collect();
        let spec = ViewSpec::new().with(ComponentView::of::<Mixed>());
        let feed = WorldFeed::new(&mut world, spec, FeedOptions::default()).unwrap();
        let (shared, mut far, serving) = connect(Gateway::builder().world(&feed));
        let _spreading = tokio::spawn(feed.clone().spread());
        while !serving.is_finished() {
            let tick = world.begin_tick().unwrap() as u32;
            for (row, &entity) in (0_u32..).zip(&entities) {
                let bits = (row ^ tick.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
                world.set(entity, Mixed { bits }).unwrap();
            }
            world.end_tick().unwrap();
            assert!(feed.publish(&mut world) && world.tick() < 50, "it is not listened to");
            read(&mut far).await;
            if tick == 10 {
                // A message without a meaning.
                far.write_all(&[0x82, 0x81, 0, 0, 0, 0, 9]).await.unwrap();
            }
        }
        assert_eq!(cuts(&shared), "peristyle_cut_total{reason=\"malformed\"} 1");
    }
}
