//! A transport from nothing but threads and bounded queues of text: the program of the guide "Write a transport".

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver as Queue, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use peristyle_mirror::{
    Client, ClientOptions, Frame, Host, Message, Receiver, State, Transport, TransportError, block_on, module,
};

// ANCHOR: transport
/// Texts that may wait at each end.
const ROOM: usize = 64;
/// A longer text is no message.
const BYTES_MAX: usize = 1 << 20;

/// One end of two queues of text, as a pipe or a serial line would have them.
struct Line {
    here: Arc<End>,
    there: Arc<End>,
    /// What arrives, until somebody subscribes.
    incoming: Mutex<Option<Queue<Arc<str>>>>,
}

/// What both sides know of an end.
struct End {
    /// Where its texts go; nothing once it is closed.
    out: Mutex<Option<SyncSender<Arc<str>>>>,
    receiver: Mutex<Option<Arc<dyn Receiver>>>,
    /// Whether somebody waits for room.
    has_refused: AtomicBool,
}

/// Two ends that hear each other.
fn line() -> (Line, Line) {
    let end = |out| Arc::new(End { out: Mutex::new(Some(out)), receiver: Mutex::default(), has_refused: false.into() });
    let (to_there, at_there) = sync_channel(ROOM);
    let (to_here, at_here) = sync_channel(ROOM);
    let (here, there) = (end(to_there), end(to_here));
    let line = |here: &Arc<End>, there: &Arc<End>, incoming| Line {
        here: here.clone(),
        there: there.clone(),
        incoming: Mutex::new(Some(incoming)),
    };
    (line(&here, &there, at_here), line(&there, &here, at_there))
}

impl End {
    fn send(&self, text: Arc<str>) -> Result<(), TransportError> {
        let out = self.out.lock().unwrap();
        out.as_ref().ok_or(TransportError::Closed)?.try_send(text).map_err(|error| match error {
            TrySendError::Full(_) => TransportError::Full,
            TrySendError::Disconnected(_) => TransportError::Closed,
        })
    }

    /// The receiver, to be called with no lock held: it may post from within.
    fn receiver(&self) -> Option<Arc<dyn Receiver>> {
        self.receiver.lock().unwrap().clone()
    }
}

impl Transport for Line {
    /// Never waits: what has no room is refused, and the sender decides what becomes of it.
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let sent = self.here.send(frame.text().clone());
        if sent != Err(TransportError::Full) {
            return sent;
        }
        // Said first, then tried again: who makes room from now on sees it.
        self.here.has_refused.store(true, SeqCst);
        self.here.send(frame.text().clone())
    }

    /// Hands over what arrives, one at a time and in order, on a thread of its own.
    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        let incoming = self.incoming.lock().unwrap().take().ok_or(TransportError::Subscribed)?;
        *self.here.receiver.lock().unwrap() = Some(receiver);
        let (here, there) = (self.here.clone(), self.there.clone());
        thread::spawn(move || {
            for text in incoming {
                if there.has_refused.swap(false, SeqCst)
                    && let Some(waiting) = there.receiver()
                {
                    waiting.writable();
                }
                let Some(receiver) = here.receiver() else { return };
                // Whatever the text is: a message, or the reason why it is none.
                receiver.receive(Message::parse(&text, BYTES_MAX).map(Frame::new));
            }
            if let Some(receiver) = here.receiver() {
                receiver.closed(&TransportError::Closed);
            }
        });
        Ok(())
    }

    /// Lets go of the receiver and closes this end. The other end's queue ends with it, which is how it learns.
    fn unsubscribe(&self) -> Result<(), TransportError> {
        let receiver = self.here.receiver.lock().unwrap().take();
        self.here.out.lock().unwrap().take();
        drop(receiver);
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.unsubscribe();
    }
}
// ANCHOR_END: transport

// ANCHOR: use
#[derive(Clone, State)]
struct Counter {
    count: i64,
}

#[module]
impl Counter {
    #[action]
    fn increase(&mut self, step: i64) -> i64 {
        self.count += step;
        self.count
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ours, theirs) = line();
    let host = Host::builder().module(Counter { count: 0 }).build()?;
    host.connect(ours)?;

    let client = Client::connect(theirs, ClientOptions::default())?;
    block_on(client.ready())?;
    let count: i64 = block_on(client.call("counter", "increase", (2,)))?;
    println!("increased to {count}, and the state is {}", client.state().unwrap_or_default());
    Ok(())
}
// ANCHOR_END: use
