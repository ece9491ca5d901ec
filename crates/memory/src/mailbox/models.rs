//! loom models of the mailbox: every interleaving of few steps.
//!
//! Each model also runs with one of its orderings weakened, and must then fail: that shows that the model notices, and
//! that the ordering is needed. Slots are loom's cells, so a slot that is written while it is read, or read before it is
//! seen to be written, fails.

use std::time::Duration;

use loom::thread;

use super::{MailboxOptions, Receiver, RecvError, SendError, Sender, Wait, mailbox_to_many};
use crate::{
    Memory,
    sync::{
        Edge::{Consume, Leave, Left, Publish, Release, Reuse, Sleep},
        weak::model,
    },
};

/// A mailbox whose numbers wrap around after its first message.
fn wrapping(capacity: u32, receivers: u32) -> (Sender<u32>, Vec<Receiver<u32>>) {
    let memory = Memory::reserve(1 << 20).unwrap();
    let options = MailboxOptions { first: u32::MAX, spin: Duration::ZERO, ..MailboxOptions::new(capacity, 4) };
    mailbox_to_many(&memory, options, receivers).unwrap()
}

fn send(sender: &mut Sender<u32>, value: u32, wait: Wait) -> Result<(), SendError> {
    let mut claim = sender.claim(wait)?;
    *claim.value_mut() = value;
    claim.bytes_mut().copy_from_slice(&value.to_le_bytes());
    claim.publish();
    Ok(())
}

fn recv(receiver: &mut Receiver<u32>, wait: Wait) -> Result<u32, RecvError> {
    let message = receiver.recv(wait)?;
    assert_eq!(message.bytes(), message.value().to_le_bytes());
    Ok(*message.value())
}

/// Sends without sleeping.
fn send_busily(sender: &mut Sender<u32>, value: u32) {
    while let Err(SendError::Full { .. }) = send(sender, value, Wait::Never) {
        thread::yield_now();
    }
}

/// Receives without sleeping.
fn recv_busily(receiver: &mut Receiver<u32>) -> u32 {
    loop {
        match recv(receiver, Wait::Never) {
            Ok(value) => return value,
            Err(error) => assert!(matches!(error, RecvError::Empty { .. }), "{error}"),
        }
        thread::yield_now();
    }
}

/// Two messages go through one slot.
fn a_slot_is_used_again() {
    let (mut sender, mut receivers) = wrapping(1, 1);
    let other = thread::spawn(move || (1..=2).for_each(|value| send_busily(&mut sender, value)));
    assert_eq!((recv_busily(&mut receivers[0]), recv_busily(&mut receivers[0])), (1, 2));
    other.join().unwrap();
}

/// The slot of one message is written again after both receivers released it.
fn the_slowest_of_two_decides() {
    let (mut sender, mut receivers) = wrapping(1, 2);
    let mut second = receivers.pop().unwrap();
    let other = thread::spawn(move || assert_eq!(recv_busily(&mut second), 1));
    send_busily(&mut sender, 1);
    assert_eq!(recv_busily(&mut receivers[0]), 1);
    match send(&mut sender, 2, Wait::Never) {
        Ok(()) => assert_eq!(recv_busily(&mut receivers[0]), 2),
        Err(error) => assert_eq!(error, SendError::Full { receiver: 1, capacity: 1 }),
    }
    other.join().unwrap();
}

/// Both sides sleep whenever they can, and must be woken.
fn nobody_sleeps_through() {
    let (mut sender, mut receivers) = wrapping(1, 1);
    let other = thread::spawn(move || {
        (1..=2).for_each(|value| send(&mut sender, value, Wait::Forever).unwrap());
    });
    let receiver = &mut receivers[0];
    assert_eq!((recv(receiver, Wait::Forever), recv(receiver, Wait::Forever)), (Ok(1), Ok(2)));
    other.join().unwrap();
}

/// The sender leaves after a message: a receiver that may sleep gets the message, then the news.
fn the_last_message_comes_before_the_end() {
    let (mut sender, mut receivers) = wrapping(2, 1);
    let other = thread::spawn(move || send(&mut sender, 7, Wait::Never).unwrap());
    let receiver = &mut receivers[0];
    assert_eq!((recv(receiver, Wait::Forever), recv(receiver, Wait::Forever)), (Ok(7), Err(RecvError::Closed)));
    other.join().unwrap();
}

/// A receiver looks at a message and leaves without releasing it: the sender that waits for it goes on, with the slot or
/// the news.
fn a_receiver_leaves() {
    let (mut sender, mut receivers) = wrapping(1, 2);
    let second = receivers.pop().unwrap();
    send(&mut sender, 1, Wait::Never).unwrap();
    let other = thread::spawn(move || {
        assert_eq!(second.get(0).map(|message| *message.value()), Some(1));
        drop(second);
    });
    assert_eq!(receivers[0].release(1), 1);
    assert_eq!(send(&mut sender, 2, Wait::Forever), Ok(()));
    assert_eq!(recv(&mut receivers[0], Wait::Never), Ok(2));
    other.join().unwrap();
}

/// A sender that waits for room is told to stop.
fn an_interrupt_ends_waiting() {
    let (mut sender, receivers) = wrapping(1, 1);
    send(&mut sender, 1, Wait::Never).unwrap();
    let interrupt = sender.interrupt();
    let other = thread::spawn(move || assert_eq!(send(&mut sender, 2, Wait::Forever), Err(SendError::Interrupted)));
    interrupt.raise();
    other.join().unwrap();
    drop(receivers);
}

#[test]
fn slots_are_used_again() {
    model(None, a_slot_is_used_again);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn slots_without_publish() {
    model(Publish, a_slot_is_used_again);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn slots_without_consume() {
    model(Consume, a_slot_is_used_again);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn slots_without_release() {
    model(Release, a_slot_is_used_again);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn slots_without_reuse() {
    model(Reuse, a_slot_is_used_again);
}

#[test]
fn the_slowest_decides() {
    model(None, the_slowest_of_two_decides);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_slowest_without_reuse() {
    model(Reuse, the_slowest_of_two_decides);
}

#[test]
fn sleepers_are_woken() {
    model(None, nobody_sleeps_through);
}

#[test]
#[should_panic(expected = "deadlock")]
fn sleepers_without_fences() {
    model(Sleep, nobody_sleeps_through);
}

#[test]
fn the_end_comes_last() {
    model(None, the_last_message_comes_before_the_end);
}

// A sender's last publication passed a fence, which does for its end what `Leave` does for a receiver's below.

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn the_end_without_left() {
    model(Left, the_last_message_comes_before_the_end);
}

#[test]
#[should_panic(expected = "deadlock")]
fn the_end_without_fences() {
    model(Sleep, the_last_message_comes_before_the_end);
}

#[test]
fn receivers_may_leave() {
    model(None, a_receiver_leaves);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn leaving_without_leave() {
    model(Leave, a_receiver_leaves);
}

#[test]
#[should_panic(expected = "deadlock")]
fn leaving_without_fences() {
    model(Sleep, a_receiver_leaves);
}

#[test]
fn interrupts_wake() {
    model(None, an_interrupt_ends_waiting);
}

#[test]
#[should_panic(expected = "deadlock")]
fn interrupts_without_fences() {
    model(Sleep, an_interrupt_ends_waiting);
}
