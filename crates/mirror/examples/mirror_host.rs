//! The reference app over WebSocket: `mirror_host --listen 127.0.0.1:PORT`.
//!
//! Rooms are paths: `/patch/ROOM`, `/snapshot/ROOM` (how changes are published), `/sections/ROOM` (patches of the
//! sections `counter` and `list`). A room starts with its first connection and is gone after its last.

#[path = "reference/app.rs"]
mod app;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use peristyle_mirror::{
    Frame, Host, Invalid, Receiver, Transport, TransportError,
    transport::{WebSocket, WebSocketOptions},
};

type Rooms = Arc<Mutex<HashMap<String, Host>>>;

/// The kind of a room, if a path names one.
fn kind(path: &str) -> Option<&str> {
    let (kind, room) = path.strip_prefix('/')?.split_once('/')?;
    (!room.is_empty() && app::builder(kind).is_some()).then_some(kind)
}

/// A connection that empties its room when it goes.
struct InRoom {
    socket: WebSocket,
    rooms: Rooms,
    path: String,
}

/// What a connection's host hears, and the room after it.
struct Leaving {
    host: Arc<dyn Receiver>,
    rooms: Rooms,
    path: String,
}

impl Receiver for Leaving {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        self.host.clone().receive(received);
    }

    fn writable(self: Arc<Self>) {
        self.host.clone().writable();
    }

    fn closed(self: Arc<Self>, error: &TransportError) {
        self.host.clone().closed(error);
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.get(&self.path).is_some_and(|host| host.connections() == 0) {
            rooms.remove(&self.path);
        }
    }
}

impl Transport for InRoom {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        self.socket.post(frame)
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        let leaving = Leaving { host: receiver, rooms: self.rooms.clone(), path: self.path.clone() };
        self.socket.subscribe(Arc::new(leaving))
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        self.socket.unsubscribe()
    }
}

async fn serve(stream: tokio::net::TcpStream, rooms: Rooms) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut path = String::new();
    let admits = |asked: &str| {
        path = asked.split('?').next().unwrap_or_default().to_owned();
        kind(&path).is_some()
    };
    let socket = WebSocket::accept(stream, WebSocketOptions::host(), admits).await?;
    let builder = kind(&path).and_then(app::builder).ok_or("no such room")?;
    // Held while the connection is made, so that the room is not given up in between.
    let mut in_use = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    let host = match in_use.get(&path) {
        Some(host) => host.clone(),
        None => in_use.entry(path.clone()).or_insert(builder.build()?).clone(),
    };
    host.connect(InRoom { socket, rooms: rooms.clone(), path })?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut listen = "127.0.0.1:0".to_owned();
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--listen", Some(address)) => listen = address,
            _ => return Err(format!("`{arg}`: usage: mirror_host --listen 127.0.0.1:PORT").into()),
        }
    }
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let rooms = Rooms::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let rooms = rooms.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, rooms).await {
                        eprintln!("a connection failed: {error}");
                    }
                });
            }
            // Out of file descriptors, most likely: others have to go first.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
