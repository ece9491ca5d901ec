//! The text messages of one client, as a transport of its mirror host.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peristyle_mirror::{Frame, Invalid, Receiver, Transport, TransportError};
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// The host's end of a client. The client's task takes what is posted and hands over what arrives.
pub(crate) struct Link {
    state: Mutex<State>,
    posted: Notify,
    bytes_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    receiver: Option<Arc<dyn Receiver>>,
    outbox: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// A message was refused: the host is told when there is room.
    has_refused: bool,
    /// The host has left.
    is_left: bool,
    is_closed: bool,
}

impl Link {
    pub(crate) fn new(bytes_max: usize, metrics: Arc<Metrics>) -> Arc<Link> {
        Arc::new(Link { state: Mutex::default(), posted: Notify::new(), bytes_max, metrics })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to send, or for the host to leave.
    pub(crate) async fn posted(&self) {
        self.posted.notified().await;
    }

    /// The next message to send.
    pub(crate) fn take(&self) -> Option<Arc<Frame>> {
        let mut state = self.lock();
        let frame = state.outbox.pop_front()?;
        state.bytes -= frame.text().len();
        self.metrics.unqueued(frame.text().len());
        let has_room = state.has_refused && state.bytes <= self.bytes_max / 2;
        if has_room {
            state.has_refused = false;
            let receiver = state.receiver.clone();
            drop(state);
            if let Some(receiver) = receiver {
                receiver.writable();
            }
        }
        Some(frame)
    }

    /// Whether the host has left, and everything that it said was taken.
    pub(crate) fn is_left(&self) -> bool {
        let state = self.lock();
        state.is_left && state.outbox.is_empty()
    }

    /// Hands over what arrived.
    pub(crate) fn deliver(&self, received: Result<Arc<Frame>, Invalid>) {
        let receiver = self.lock().receiver.clone();
        if let Some(receiver) = receiver {
            receiver.receive(received);
        }
    }

    /// Says something to the client that its host did not.
    pub(crate) fn say(&self, frame: Arc<Frame>) {
        let mut state = self.lock();
        self.push(&mut state, frame);
    }

    fn push(&self, state: &mut State, frame: Arc<Frame>) {
        let bytes = frame.text().len();
        state.bytes += bytes;
        self.metrics.queued(bytes);
        state.outbox.push_back(frame);
        self.posted.notify_one();
    }

    /// The client is gone.
    pub(crate) fn close(&self, error: &TransportError) {
        let mut state = self.lock();
        state.is_closed = true;
        state.outbox.clear();
        self.metrics.unqueued(std::mem::take(&mut state.bytes));
        let receiver = state.receiver.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.closed(error);
        }
    }
}

impl Transport for Link {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let mut state = self.lock();
        if state.is_closed || state.is_left {
            return Err(TransportError::Closed);
        }
        if state.bytes > 0 && state.bytes + frame.text().len() > self.bytes_max {
            state.has_refused = true;
            return Err(TransportError::Full);
        }
        self.push(&mut state, frame.clone());
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(TransportError::Closed);
        }
        if state.receiver.is_some() {
            return Err(TransportError::Subscribed);
        }
        state.receiver = Some(receiver);
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        let mut state = self.lock();
        state.is_left = true;
        let receiver = state.receiver.take();
        drop(state);
        drop(receiver);
        self.posted.notify_one();
        Ok(())
    }
}
