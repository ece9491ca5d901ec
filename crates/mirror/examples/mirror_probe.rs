//! A client behind a line protocol: `mirror_probe [--url ws://...] [--extensions]`.
//!
//! Each line of the input is a JSON command; each is answered by one line `{"events":[...]}` with everything that happened
//! because of it, once settled. Alone, frames come from commands; with `--url`, from a host too, and a command is settled
//! when no call is left or nothing has arrived for a while.

#[path = "reference/probe.rs"]
mod probe;

use std::{
    io::{BufRead, Write},
    sync::{
        Arc,
        mpsc::{Receiver as Inbox, Sender, channel},
    },
    time::{Duration, Instant},
};

use peristyle_mirror::{
    Frame, Invalid, Receiver, Transport, TransportError, Value, parse_json,
    transport::{WebSocket, WebSocketOptions},
};
use probe::Probe;

/// After this long without a message, a host is taken to have said all.
const QUIET: Duration = Duration::from_millis(150);

/// How long the first state may take.
const OPENING: Duration = Duration::from_secs(5);

/// Hands what arrives to the thread that answers.
struct Forward(Sender<String>);

impl Receiver for Forward {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        // What is invalid is invalid again when the probe reads it.
        let _ = self.0.send(received.map_or_else(|_| "null".to_owned(), |frame| frame.text().to_string()));
    }

    fn closed(self: Arc<Self>, _: &TransportError) {}
}

struct Connection {
    socket: WebSocket,
    inbox: Inbox<String>,
}

struct Session {
    probe: Probe,
    start: Instant,
    extensions: bool,
    remote: Option<(String, tokio::runtime::Runtime)>,
    connection: Option<Connection>,
    /// What happened since the last answer.
    events: Vec<Value>,
}

impl Session {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Begins with a new client, and a new connection if there is a host.
    fn reset(&mut self) -> Result<(), TransportError> {
        self.probe = Probe::new(self.extensions);
        self.connection = None;
        if let Some((url, runtime)) = &self.remote {
            let (sender, inbox) = channel();
            let socket = runtime.block_on(WebSocket::connect(url, WebSocketOptions::client()))?;
            socket.subscribe(Arc::new(Forward(sender)))?;
            self.connection = Some(Connection { socket, inbox });
            let until = Instant::now() + OPENING;
            while !self.probe.is_ready() && Instant::now() < until && self.arrive(QUIET) {}
        }
        Ok(())
    }

    /// Takes in one message of the host's, if one arrives in time.
    fn arrive(&mut self, within: Duration) -> bool {
        let Some(connection) = &self.connection else { return false };
        let Ok(text) = connection.inbox.recv_timeout(within) else { return false };
        let now = self.now();
        let events = self.probe.receive(&text, now);
        self.events.extend(events);
        self.post();
        true
    }

    fn post(&mut self) {
        for frame in self.probe.posts.drain(..) {
            if let Some(connection) = &self.connection {
                // A host that is gone does not answer, which shows.
                let _ = connection.socket.post(&frame);
            }
        }
    }

    fn wait(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Looks at time-outs often enough to tell their order among messages.
            let slice = left.min(Duration::from_millis(2));
            if self.connection.is_none() {
                std::thread::sleep(left);
            } else if self.arrive(slice) {
                continue;
            }
            let events = self.probe.expire(self.now());
            self.events.extend(events);
            self.post();
        }
    }

    fn answer(&mut self, command: &Value) -> Result<Vec<Value>, TransportError> {
        let overdue = self.probe.expire(self.now());
        self.events.extend(overdue);
        match command.get("cmd").and_then(Value::as_str) {
            Some("reset") => self.reset()?,
            Some("wait") => {
                let ms = command.get("ms").and_then(Value::as_f64).unwrap_or(0.0);
                self.wait(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default());
            }
            _ => {}
        }
        let events = self.probe.command(command, self.now());
        self.events.extend(events);
        self.post();
        if command.get("cmd").and_then(Value::as_str) == Some("dispose") {
            self.connection = None;
        }
        if self.connection.is_some() {
            while self.arrive(Duration::ZERO) {}
            while self.probe.is_waiting() && self.arrive(QUIET) {}
        }
        Ok(std::mem::take(&mut self.events))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut url, mut extensions) = (None, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--url" => url = Some(args.next().ok_or("`--url` needs a URL")?),
            "--extensions" => extensions = true,
            _ => return Err(format!("`{arg}`: usage: mirror_probe [--url ws://...] [--extensions]").into()),
        }
    }
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let remote = match url {
        Some(url) => Some((url, runtime()?)),
        None => None,
    };
    let mut session = Session {
        probe: Probe::new(extensions),
        start: Instant::now(),
        extensions,
        remote,
        connection: None,
        events: Vec::new(),
    };
    session.reset()?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match parse_json(&line) {
            Ok(command) => {
                let events = Value::List(session.answer(&command)?.into_iter().collect());
                Value::Map([("events", events)].into_iter().collect())
            }
            Err(error) => Value::Map([("error", Value::from(error.to_string()))].into_iter().collect()),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
