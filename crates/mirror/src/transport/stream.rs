//! Byte streams: TCP, Unix sockets, and the pipes of child processes.
//!
//! A message is its length in bytes (`u32`, little-endian), then its JSON text. Two threads serve a connection: one reads
//! and hands over, one writes what was posted.
//!
//! # Rules
//! - At most [`StreamOptions::send_bytes_max`] wait to be written, or one message if it is larger; while there is no room
//!   for what was refused, nothing is read.
//! - A length beyond [`StreamOptions::message_bytes_max`] is skipped over and told as invalid, and nothing is allocated
//!   for it: the connection goes on.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Child, ChildStdin, ChildStdout},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{Receiver, Transport, TransportError};
use crate::{
    lock,
    message::{Frame, Invalid, MESSAGE_BYTES_MAX, Message},
};

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// How large an arriving message may be.
    pub message_bytes_max: usize,
    /// How many bytes may wait to be written.
    pub send_bytes_max: usize,
}

impl StreamOptions {
    /// For hosts, which take small messages from anybody.
    pub fn host() -> StreamOptions {
        StreamOptions { message_bytes_max: MESSAGE_BYTES_MAX, send_bytes_max: 4 << 20 }
    }

    /// For clients, which take whole states from the host that they chose: up to 64 MiB.
    pub fn client() -> StreamOptions {
        StreamOptions { message_bytes_max: 64 << 20, send_bytes_max: 4 << 20 }
    }
}

/// One end of a byte stream.
pub struct Stream {
    shared: Arc<Shared>,
}

type Close = Box<dyn Fn() + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    /// Something to write, room, a receiver, or the end.
    changed: Condvar,
    options: StreamOptions,
    /// Makes reads and writes under way return.
    close: Close,
}

#[derive(Default)]
struct State {
    receiver: Option<Arc<dyn Receiver>>,
    outbox: VecDeque<Arc<Frame>>,
    outbox_bytes: usize,
    has_refused: bool,
    /// This end wants no more.
    is_closing: bool,
    is_closed: Option<TransportError>,
}

impl Shared {
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, once.
    fn end(&self, error: TransportError) {
        let mut state = lock(&self.state);
        if state.is_closed.is_some() {
            return;
        }
        state.is_closed = Some(error.clone());
        state.outbox.clear();
        let receiver = state.receiver.take();
        self.changed.notify_all();
        drop(state);
        (self.close)();
        if let Some(receiver) = receiver {
            receiver.closed(&error);
        }
    }
}

impl Stream {
    /// Serves a TCP connection.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn tcp(stream: TcpStream, options: StreamOptions) -> io::Result<Stream> {
        stream.set_nodelay(true)?;
        let (reader, writer) = (stream.try_clone()?, stream.try_clone()?);
        let close = move || {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        };
        Stream::over(reader, writer, Box::new(close), options)
    }

    /// Serves a connection of a Unix socket.
    ///
    /// # Errors
    /// If the system refuses.
    #[cfg(unix)]
    pub fn unix(stream: std::os::unix::net::UnixStream, options: StreamOptions) -> io::Result<Stream> {
        let (reader, writer) = (stream.try_clone()?, stream.try_clone()?);
        let close = move || {
            let _ = stream.shutdown(Shutdown::Both);
        };
        Stream::over(reader, writer, Box::new(close), options)
    }

    /// Serves this process's standard input and output, as the child of a [`ChildTransport`]. Nothing else may print.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn stdio(options: StreamOptions) -> io::Result<Stream> {
        Stream::over(io::stdin(), io::stdout(), Box::new(|| ()), options)
    }

    /// Serves a reader and a writer. `close` makes reads and writes that are under way return, if anything can.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        close: Box<dyn Fn() + Send + Sync>,
        options: StreamOptions,
    ) -> io::Result<Stream> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), options, close });
        let of_reader = shared.clone();
        std::thread::Builder::new().name("mirror-read".into()).spawn(move || {
            let error = read(&of_reader, reader).map_or_else(TransportError::from, |()| TransportError::Closed);
            of_reader.end(error);
        })?;
        let of_writer = shared.clone();
        std::thread::Builder::new().name("mirror-write".into()).spawn(move || {
            let error = write(&of_writer, writer).map_or_else(TransportError::from, |()| TransportError::Closed);
            of_writer.end(error);
        })?;
        Ok(Stream { shared })
    }
}

/// Reads a length; nothing if the stream ends before it.
fn read_length(reader: &mut impl Read) -> io::Result<Option<usize>> {
    let mut length = [0_u8; 4];
    let mut filled = 0;
    while filled < length.len() {
        match reader.read(&mut length[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(u32::from_le_bytes(length) as usize))
}

/// Reads messages until the stream ends.
fn read(shared: &Shared, reader: impl Read) -> io::Result<()> {
    let mut reader = io::BufReader::with_capacity(1 << 16, reader);
    let mut bytes = Vec::new();
    loop {
        let mut state = lock(&shared.state);
        while state.is_closed.is_none() && !state.is_closing && (state.receiver.is_none() || state.has_refused) {
            state = shared.wait(state);
        }
        if state.is_closed.is_some() || state.is_closing {
            return Ok(());
        }
        drop(state);
        let Some(length) = read_length(&mut reader)? else { return Ok(()) };
        let max = shared.options.message_bytes_max;
        let received = if length > max {
            let skipped = io::copy(&mut reader.by_ref().take(length as u64), &mut io::sink())?;
            if skipped < length as u64 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(Invalid::TooLarge { bytes: length, max })
        } else {
            bytes.clear();
            // Grows with what arrives, not with what the length claims.
            reader.by_ref().take(length as u64).read_to_end(&mut bytes)?;
            if bytes.len() < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Message::parse_bytes(&bytes, max)
        };
        let receiver = lock(&shared.state).receiver.clone();
        if let Some(receiver) = receiver {
            receiver.receive(received.map(Frame::new));
        }
    }
}

/// Writes what is posted until this end is closed.
fn write(shared: &Shared, writer: impl Write) -> io::Result<()> {
    let mut writer = io::BufWriter::with_capacity(1 << 16, writer);
    loop {
        let mut state = lock(&shared.state);
        while state.outbox.is_empty() {
            if state.is_closed.is_some() || state.is_closing {
                drop(state);
                return writer.flush();
            }
            if !writer.buffer().is_empty() {
                drop(state);
                writer.flush()?;
                state = lock(&shared.state);
                continue;
            }
            state = shared.wait(state);
        }
        let Some(frame) = state.outbox.pop_front() else { continue };
        drop(state);
        let text = frame.text().as_bytes();
        // `post` has refused what is longer.
        writer.write_all(&(text.len() as u32).to_le_bytes())?;
        writer.write_all(text)?;
        let mut state = lock(&shared.state);
        state.outbox_bytes -= text.len().min(state.outbox_bytes);
        if state.has_refused && state.outbox_bytes <= shared.options.send_bytes_max / 2 {
            state.has_refused = false;
            let receiver = state.receiver.clone();
            shared.changed.notify_all();
            drop(state);
            if let Some(receiver) = receiver {
                receiver.writable();
            }
        }
    }
}

impl Transport for Stream {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let bytes = frame.text().len();
        if u32::try_from(bytes).is_err() {
            return Err(TransportError::TooLarge { bytes, max: u32::MAX as usize });
        }
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
        self.shared.changed.notify_all();
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
        self.shared.changed.notify_all();
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        let mut state = lock(&self.shared.state);
        state.is_closing = true;
        let receiver = state.receiver.take();
        self.shared.changed.notify_all();
        drop(state);
        drop(receiver);
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.unsubscribe();
    }
}

/// The pipes of a child process, which ends with its transport.
pub struct ChildTransport {
    stream: Stream,
    child: Mutex<Child>,
}

impl ChildTransport {
    /// Takes over a child that was started with its standard input and output piped.
    ///
    /// # Errors
    /// If they are not piped, or the system refuses.
    pub fn new(mut child: Child, options: StreamOptions) -> io::Result<ChildTransport> {
        let pipes: (Option<ChildStdout>, Option<ChildStdin>) = (child.stdout.take(), child.stdin.take());
        let (Some(output), Some(input)) = pipes else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the child's input and output are not piped"));
        };
        let stream = Stream::over(output, input, Box::new(|| ()), options)?;
        Ok(ChildTransport { stream, child: Mutex::new(child) })
    }
}

impl Transport for ChildTransport {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        self.stream.post(frame)
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        self.stream.subscribe(receiver)
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        self.stream.unsubscribe()
    }
}

impl Drop for ChildTransport {
    fn drop(&mut self) {
        let _ = self.stream.unsubscribe();
        let mut child = lock(&self.child);
        // It may have ended by itself; either way it is waited for, so that no process is left behind.
        let _ = child.kill();
        let _ = child.wait();
    }
}
