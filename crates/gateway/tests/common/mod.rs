//! A world to watch, and a client that speaks frames.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peristyle_gateway::{FeedOptions, WorldFeed};
use peristyle_replica::{Answer, ComponentView, Topic, ViewSpec, ViewWorld};
use peristyle_world::{Component, Entity, World};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long a test waits for what is bound to come, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Component, Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub x: f32,
    pub y: f32,
}

/// A world of moving rows.
pub struct Moving {
    pub world: World,
    pub entities: Vec<Entity>,
}

impl Moving {
    pub fn new(rows: usize) -> Moving {
        let mut world = World::new().unwrap();
        let spawn = |row| world.spawn((Position { x: row as f32, y: 0.0 },)).unwrap();
        let entities = (0..rows).map(spawn).collect();
        Moving { world, entities }
    }

    pub fn feed(&mut self) -> WorldFeed {
        self.feed_with(FeedOptions::default())
    }

    pub fn feed_with(&mut self, options: FeedOptions) -> WorldFeed {
        WorldFeed::new(&mut self.world, ViewSpec::new().with(ComponentView::of::<Position>()), options).unwrap()
    }

    /// Moves all rows, and publishes.
    pub fn tick(&mut self, feed: &WorldFeed) {
        let tick = self.world.begin_tick().unwrap() as f32;
        for (row, &entity) in self.entities.iter().enumerate() {
            self.world.set(entity, Position { x: row as f32, y: tick }).unwrap();
        }
        self.world.end_tick().unwrap();
        assert!(feed.publish(&mut self.world));
    }

    /// Moves the first three rows, and publishes.
    pub fn nudge(&mut self, feed: &WorldFeed) {
        let tick = self.world.begin_tick().unwrap() as f32;
        for &entity in self.entities.iter().take(3) {
            self.world.set(entity, Position { x: 0.0, y: tick }).unwrap();
        }
        self.world.end_tick().unwrap();
        assert!(feed.publish(&mut self.world));
    }

    /// Moves all rows in ways that do not pack well, and publishes.
    pub fn scatter(&mut self, feed: &WorldFeed) {
        let tick = self.world.begin_tick().unwrap() as u32;
        for (row, &entity) in (0_u32..).zip(&self.entities) {
            let mixed = (row ^ tick.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
            self.world.set(entity, Position { x: row as f32, y: (mixed >> 8) as f32 }).unwrap();
        }
        self.world.end_tick().unwrap();
        feed.publish(&mut self.world);
    }
}

pub type Socket = WebSocketStream<TcpStream>;

/// Asks for a WebSocket, with headers.
pub async fn open_with(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> tungstenite::Result<Socket> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Ok(client_async(request, stream).await?.0)
}

pub async fn open(address: SocketAddr, path: &str) -> Socket {
    open_with(address, path, &[]).await.unwrap()
}

/// The status with which a WebSocket is refused.
pub async fn refusal(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> u16 {
    match open_with(address, path, headers).await {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{:?}", other.map(drop)),
    }
}

/// The next text or binary message; pings are answered.
pub async fn next(socket: &mut Socket) -> Message {
    next_of(socket).await
}

/// The same, whatever the socket goes over.
pub async fn next_of<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Message {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("a message comes");
        match message.expect("the socket is open").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

/// Reads to the end, and gives its close code and reason.
pub async fn close_of(socket: &mut Socket) -> (u16, String) {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("an end comes") {
            Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), close.reason.to_string()),
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error}"),
            None => panic!("no close frame"),
        }
    }
}

pub async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

/// A client's mirror of a world.
#[derive(Default)]
pub struct Watcher {
    pub view: Option<ViewWorld>,
    pub snapshots: usize,
    pub schemas: usize,
    pub epoch: Option<u64>,
    pub answered: Option<u64>,
}

impl Watcher {
    /// Takes messages until the world's `y` is that of a tick, which must not be left out.
    pub async fn until(&mut self, socket: &mut Socket, tick: u64) {
        let now = |view: &Option<ViewWorld>| view.as_ref().and_then(ViewWorld::tick);
        while now(&self.view) < Some(tick) {
            self.take(next(socket).await);
        }
        assert_eq!(now(&self.view), Some(tick));
    }

    pub fn take(&mut self, message: Message) {
        match message {
            Message::Text(text) => {
                let message: serde_json::Value = serde_json::from_str(&text).unwrap();
                if message["type"] == "ready" {
                    self.epoch = message["epoch"].as_u64();
                }
            }
            Message::Binary(bytes) => {
                let (topic, rest) = Topic::split(&bytes).unwrap();
                if topic != Topic::RenderState {
                    return;
                }
                if let Ok(Some(answer)) = Answer::decode(rest) {
                    self.answered = Some(answer.input);
                    return;
                }
                match &mut self.view {
                    Some(view) if rest[2] != 0 => self.snapshots += usize::from(view.apply(rest).unwrap().snapshot),
                    _ => {
                        self.view = Some(ViewWorld::open(rest).unwrap());
                        self.schemas += 1;
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn column(&self, field: &str) -> &[f32] {
        self.view.as_ref().unwrap().column::<f32>("Position", field).unwrap()
    }

    pub fn hash(&self) -> u64 {
        self.view.as_ref().unwrap().hash()
    }
}

/// Sends bytes as they are, and reads the answer to its end.
pub async fn raw(address: SocketAddr, request: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    timeout(PATIENCE, raw_over(stream, request)).await.expect("an answer ends")
}

/// The same over a connection.
pub async fn raw_over(mut stream: TcpStream, request: &str) -> String {
    let mut answer = Vec::new();
    // Who is turned away may find the connection reset: what came before that is the answer.
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks for a path.
pub async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n")).await
}

/// The value of a sample in the metrics.
pub async fn metric(address: SocketAddr, sample: &str) -> f64 {
    let text = get(address, "/metrics", "").await;
    let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {sample} in {text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}
