//! A pair of ends in one process.
//!
//! Delivery is synchronous: `post` returns after the other end's receiver did. Values are persistent and never change, so
//! both sides may hold the same copy, as if each had its own; no text is made.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use super::{Receiver, Transport, TransportError};
use crate::{lock, message::Frame};

/// What waits at one end.
#[derive(Default)]
struct Inbox {
    receiver: Option<Arc<dyn Receiver>>,
    /// Messages from before there was a receiver.
    early: Vec<Arc<Frame>>,
    is_closed: bool,
}

/// How many messages wait for a receiver that has not subscribed yet.
const EARLY_MAX: usize = 1024;

/// One end of a pair.
pub struct Memory {
    here: Arc<Mutex<Inbox>>,
    there: Arc<Mutex<Inbox>>,
}

/// Makes two ends that are connected.
pub fn memory_pair() -> (Memory, Memory) {
    let (a, b) = <(Arc<Mutex<Inbox>>, Arc<Mutex<Inbox>>)>::default();
    (Memory { here: a.clone(), there: b.clone() }, Memory { here: b, there: a })
}

impl Transport for Memory {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let mut inbox = lock(&self.there);
        if inbox.is_closed {
            return Err(TransportError::Closed);
        }
        let Some(receiver) = inbox.receiver.clone() else {
            if inbox.early.len() == EARLY_MAX {
                return Err(TransportError::Full);
            }
            inbox.early.push(frame.clone());
            return Ok(());
        };
        drop(inbox);
        // A receiver that panics is no concern of the sender.
        let _ = catch_unwind(AssertUnwindSafe(|| receiver.receive(Ok(frame.clone()))));
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        loop {
            let mut inbox = lock(&self.here);
            if inbox.is_closed {
                return Err(TransportError::Closed);
            }
            if inbox.receiver.is_some() {
                return Err(TransportError::Subscribed);
            }
            let early = std::mem::take(&mut inbox.early);
            if early.is_empty() {
                inbox.receiver = Some(receiver.clone());
                break;
            }
            drop(inbox);
            early.into_iter().for_each(|frame| receiver.clone().receive(Ok(frame)));
        }
        // Whoever was refused for want of a receiver may try again.
        let there = lock(&self.there).receiver.clone();
        if let Some(there) = there {
            there.writable();
        }
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        for inbox in [&self.here, &self.there] {
            let mut inbox = lock(inbox);
            inbox.is_closed = true;
            inbox.early.clear();
        }
        let (here, there) = (lock(&self.here).receiver.take(), lock(&self.there).receiver.take());
        drop(here);
        if let Some(there) = there {
            there.closed(&TransportError::Closed);
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.unsubscribe();
    }
}
