//! WebSocket, both sides: one text frame is one message.
//!
//! One task per connection reads and writes. It hands over all that has arrived, then writes all that was posted
//! meanwhile and flushes once: under load a system call carries many messages, and a lone message waits for nothing.
//!
//! # Rules
//! - At most [`WebSocketOptions::send_bytes_max`] wait to be written, or one message if it is larger.
//! - Who does not read what is sent to it is not read from.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_util::{Sink, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
        protocol::WebSocketConfig,
    },
};

use super::{Receiver, Transport, TransportError};
use crate::{
    lock,
    message::{Frame, Invalid, MESSAGE_BYTES_MAX, Message},
};

/// Messages that are handed over before what was posted is written.
const READ_BURST: usize = 256;

/// The read buffer. It is cleared before each read, found empty or not: 128 KiB, the default, take longer to clear than a
/// small message takes for all the rest.
const READ_BYTES: usize = 16 << 10;

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct WebSocketOptions {
    /// How large an arriving message may be. One that is up to four times as large is invalid; more ends the connection.
    pub message_bytes_max: usize,
    /// How many bytes may wait to be written.
    pub send_bytes_max: usize,
}

impl WebSocketOptions {
    /// For hosts, which take small messages from anybody.
    pub fn host() -> WebSocketOptions {
        WebSocketOptions { message_bytes_max: MESSAGE_BYTES_MAX, send_bytes_max: 4 << 20 }
    }

    /// For clients, which take whole states from the host that they chose: up to 64 MiB.
    pub fn client() -> WebSocketOptions {
        WebSocketOptions { message_bytes_max: 64 << 20, send_bytes_max: 4 << 20 }
    }

    fn config(&self) -> WebSocketConfig {
        let hard_max = self.message_bytes_max.saturating_mul(4);
        WebSocketConfig::default()
            .max_message_size(Some(hard_max))
            .max_frame_size(Some(hard_max))
            .read_buffer_size(READ_BYTES)
    }
}

/// One end of a WebSocket.
pub struct WebSocket {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    options: WebSocketOptions,
}

#[derive(Default)]
struct State {
    receiver: Option<Arc<dyn Receiver>>,
    outbox: VecDeque<Arc<Frame>>,
    outbox_bytes: usize,
    /// A message was refused: no reading until there is room.
    has_refused: bool,
    is_closing: bool,
    is_closed: Option<TransportError>,
    /// The task, while it sleeps.
    waker: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn failed(error: &tungstenite::Error) -> TransportError {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => TransportError::Closed,
        error => TransportError::Io(error.to_string()),
    }
}

impl WebSocket {
    /// Connects to `ws://HOST[:PORT][/PATH]`. Must be called within a tokio runtime, which runs the connection.
    ///
    /// # Errors
    /// If the URL is another, or the host cannot be reached or refuses.
    pub async fn connect(url: &str, options: WebSocketOptions) -> Result<WebSocket, TransportError> {
        let rest = url.strip_prefix("ws://").ok_or_else(|| TransportError::Io(format!("`{url}` is no ws:// URL")))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let has_port = authority.rsplit(']').next().is_some_and(|tail| tail.contains(':'));
        let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let config = Some(options.config());
        let (stream, _) =
            tokio_tungstenite::client_async_with_config(url, stream, config).await.map_err(|error| failed(&error))?;
        Ok(WebSocket::over(stream, options))
    }

    /// Accepts a connection, if `admits` takes the path (with its query) that it asks for; other paths get a 404. Must
    /// be called within a tokio runtime, which runs the connection.
    ///
    /// # Errors
    /// If the peer speaks something else, asks for another path, or goes away.
    pub async fn accept(
        stream: TcpStream,
        options: WebSocketOptions,
        admits: impl FnOnce(&str) -> bool + Unpin,
    ) -> Result<WebSocket, TransportError> {
        stream.set_nodelay(true)?;
        #[expect(clippy::result_large_err, reason = "the handshake's own type")]
        let check = |request: &Request, response: Response| {
            if admits(request.uri().path_and_query().map_or("", |path| path.as_str())) {
                return Ok(response);
            }
            let mut refusal = ErrorResponse::new(Some("no such path".to_owned()));
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            Err(refusal)
        };
        let config = Some(options.config());
        let stream = tokio_tungstenite::accept_hdr_async_with_config(stream, check, config)
            .await
            .map_err(|error| failed(&error))?;
        Ok(WebSocket::over(stream, options))
    }

    /// Takes a WebSocket over that is open already, and runs it on the present tokio runtime.
    pub fn over<S>(stream: WebSocketStream<S>, options: WebSocketOptions) -> WebSocket
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::new(Shared { state: Mutex::default(), options });
        let mut task = Task { shared: shared.clone(), stream, is_flushed: true };
        tokio::spawn(async move {
            let error = poll_fn(|context| task.poll(context)).await;
            let mut state = lock(&task.shared.state);
            state.is_closed = Some(error.clone());
            state.outbox.clear();
            let receiver = state.receiver.take();
            drop(state);
            if let Some(receiver) = receiver {
                receiver.closed(&error);
            }
        });
        WebSocket { shared }
    }
}

impl Transport for WebSocket {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let bytes = frame.text().len();
        let mut state = lock(&self.shared.state);
        if state.is_closing || state.is_closed.is_some() {
            return Err(TransportError::Closed);
        }
        if state.outbox_bytes > 0 && state.outbox_bytes + bytes > self.shared.options.send_bytes_max {
            state.has_refused = true;
            return Err(TransportError::Full);
        }
        state.outbox_bytes += bytes;
        state.outbox.push_back(frame.clone());
        state.wake();
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        let mut state = lock(&self.shared.state);
        if let Some(error) = &state.is_closed {
            return Err(error.clone());
        }
        if state.receiver.is_some() {
            return Err(TransportError::Subscribed);
        }
        state.receiver = Some(receiver);
        state.wake();
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        let mut state = lock(&self.shared.state);
        state.is_closing = true;
        let receiver = state.receiver.take();
        state.wake();
        drop(state);
        drop(receiver);
        Ok(())
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let _ = self.unsubscribe();
    }
}

/// The connection's task.
struct Task<S> {
    shared: Arc<Shared>,
    stream: WebSocketStream<S>,
    is_flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Task<S> {
    /// Reads and writes what can be; ready with the reason when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<TransportError> {
        loop {
            let more = match self.read(context) {
                Ok(more) => more,
                Err(error) => return Poll::Ready(error),
            };
            if let Err(error) = self.write(context) {
                return Poll::Ready(failed(&error));
            }
            let mut state = lock(&self.shared.state);
            let has_room = state.outbox_bytes <= self.shared.options.send_bytes_max / 2;
            if state.has_refused && has_room {
                state.has_refused = false;
                let receiver = state.receiver.clone();
                drop(state);
                if let Some(receiver) = receiver {
                    receiver.writable();
                }
                continue;
            }
            if state.is_closing && state.outbox.is_empty() && self.is_flushed {
                drop(state);
                // Whether the peer hears of it or not, it is over.
                return Pin::new(&mut self.stream).poll_close(context).map(|_| TransportError::Closed);
            }
            if more {
                // Others of this thread get their turn.
                drop(state);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
    }

    /// Hands over what arrived; returns whether there may be more.
    fn read(&mut self, context: &mut Context<'_>) -> Result<bool, TransportError> {
        for _ in 0..READ_BURST {
            let receiver = {
                let state = lock(&self.shared.state);
                if state.has_refused {
                    return Ok(false);
                }
                if state.is_closing {
                    None
                } else if let Some(receiver) = &state.receiver {
                    Some(receiver.clone())
                } else {
                    // What arrives before there is a receiver stays in the socket.
                    return Ok(false);
                }
            };
            let message = match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => return Err(TransportError::Closed),
                Poll::Ready(Some(Err(error))) => return Err(failed(&error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            let received = match &message {
                tungstenite::Message::Text(text) => Message::parse(text, self.shared.options.message_bytes_max),
                tungstenite::Message::Binary(_) => Err(Invalid::NotText),
                // Answers to pings wait in the stream to be flushed.
                _ => {
                    self.is_flushed = false;
                    continue;
                }
            };
            if let Some(receiver) = receiver {
                receiver.receive(received.map(Frame::new));
            }
        }
        Ok(true)
    }

    /// Writes what was posted.
    fn write(&mut self, context: &mut Context<'_>) -> Result<(), tungstenite::Error> {
        loop {
            if lock(&self.shared.state).outbox.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            let frame = {
                let mut state = lock(&self.shared.state);
                let frame = state.outbox.pop_front();
                state.outbox_bytes -= frame.as_ref().map_or(0, |frame| frame.text().len());
                frame
            };
            if let Some(frame) = frame {
                self.is_flushed = false;
                Pin::new(&mut self.stream).start_send(tungstenite::Message::text(&**frame.text()))?;
            }
        }
        if !self.is_flushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.is_flushed = true;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }
}
