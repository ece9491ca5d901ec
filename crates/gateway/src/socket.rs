//! One client's WebSocket.
//!
//! Small messages are collected in a buffer and go out together. Large ones, which many clients are sent, are written from
//! where they lie: a buffer of each client's own would be copied to, and stay as large as the largest of them.
//!
//! # Rules
//! - A message that was begun is ended before anything else is written, also if who sent it stopped waiting.

use std::io::IoSlice;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use peristyle_mirror::Frame;
use peristyle_replica::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::limits::Limits;
use crate::patience::Patient;

/// Bytes of the buffers, of which each client has two; messages that are no longer than this are small.
const BUFFER_BYTES: usize = 4 << 10;

/// What a client is sent.
#[derive(Debug)]
pub(crate) enum Sent {
    /// State, or an answer.
    Text(Arc<Frame>),
    /// A part of the world's stream.
    World(Bytes),
    /// Timeline events.
    Trace(tungstenite::Bytes),
}

impl Sent {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Sent::Text(frame) => frame.text().as_bytes(),
            Sent::World(bytes) => bytes,
            Sent::Trace(bytes) => bytes,
        }
    }

    /// A copy, for the buffer.
    fn message(&self) -> Message {
        match self {
            Sent::Text(frame) => Message::text(&**frame.text()),
            Sent::World(bytes) => Message::binary(bytes.to_vec()),
            Sent::Trace(bytes) => Message::Binary(bytes.clone()),
        }
    }

    /// What stands before the bytes (RFC 6455, 5.2): a whole message, as a server sends it, without a mask.
    fn head(&self) -> ([u8; 10], usize) {
        let bytes = self.bytes().len();
        let mut head = [0; 10];
        head[0] = if matches!(self, Sent::Text(_)) { 0x81 } else { 0x82 };
        match bytes {
            0..=125 => {
                head[1] = bytes as u8;
                (head, 2)
            }
            126..=0xffff => {
                head[1] = 126;
                head[2..4].copy_from_slice(&(bytes as u16).to_be_bytes());
                (head, 4)
            }
            _ => {
                head[1] = 127;
                head[2..].copy_from_slice(&(bytes as u64).to_be_bytes());
                (head, 10)
            }
        }
    }
}

/// A message that was begun.
struct Begun {
    sent: Sent,
    /// Bytes that were written, those before the message's own included.
    written: usize,
}

/// What a client is connected by.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A client's WebSocket.
pub(crate) struct Socket<S> {
    frames: WebSocketStream<Patient<S>>,
    begun: Option<Begun>,
}

impl<S: Stream> Socket<S> {
    /// A connection that became a WebSocket.
    pub(crate) async fn new(stream: S, limits: &Limits) -> Socket<S> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes))
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES);
        let stream = Patient::new(stream, limits.stall);
        let frames = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Socket { frames, begun: None }
    }

    /// When the client last took something that had waited for it.
    pub(crate) fn taken(&self) -> Option<Instant> {
        self.frames.get_ref().taken()
    }

    /// The next message of the client; none when it is gone.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        self.frames.next().await
    }

    /// Sends a message, or keeps it for the next [`flush`](Socket::flush).
    pub(crate) async fn feed(&mut self, sent: Sent) -> Result<(), tungstenite::Error> {
        self.end().await?;
        if sent.bytes().len() <= BUFFER_BYTES {
            return self.frames.feed(sent.message()).await;
        }
        self.frames.flush().await?;
        self.begun = Some(Begun { sent, written: 0 });
        self.end().await
    }

    /// Asks whether somebody is there.
    pub(crate) async fn ping(&mut self) -> Result<(), tungstenite::Error> {
        self.end().await?;
        self.frames.feed(Message::Ping(tungstenite::Bytes::new())).await
    }

    pub(crate) async fn flush(&mut self) -> Result<(), tungstenite::Error> {
        self.end().await?;
        self.frames.flush().await
    }

    /// Says goodbye, and waits until the client did, however long it takes.
    pub(crate) async fn close(&mut self, close: CloseFrame) -> Result<(), tungstenite::Error> {
        self.frames.get_mut().wait_for_ever();
        self.end().await?;
        self.frames.send(Message::Close(Some(close))).await?;
        while let Some(Ok(_)) = self.frames.next().await {}
        Ok(())
    }

    /// Writes the rest of what was begun.
    async fn end(&mut self) -> Result<(), tungstenite::Error> {
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let stream = self.frames.get_mut();
        let (head, head_bytes) = begun.sent.head();
        let bytes = begun.sent.bytes();
        while begun.written < head_bytes + bytes.len() {
            let head = &head[begun.written.min(head_bytes)..head_bytes];
            let bytes = &bytes[begun.written.saturating_sub(head_bytes)..];
            let written = stream.write_vectored(&[IoSlice::new(head), IoSlice::new(bytes)]).await?;
            if written == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
            }
            begun.written += written;
        }
        self.begun = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_how_long_a_message_is() {
        let head = |bytes: usize| {
            let (head, length) = Sent::World(Arc::new(vec![0; bytes])).head();
            head[..length].to_vec()
        };
        assert_eq!(head(0), [0x82, 0]);
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(0xffff), [0x82, 126, 0xff, 0xff]);
        assert_eq!(head(0x1_0000), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
