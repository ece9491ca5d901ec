//! Mailboxes between threads: order, bounds, who waits for whom, and how ends are told.

use std::{
    sync::{Barrier, mpsc},
    thread,
    time::Duration,
};

use peristyle_memory::{
    Memory,
    mailbox::{
        MailboxError, MailboxOptions, Receiver, RecvError, SendError, Sender, Wait, layout, mailbox, mailbox_to_many,
    },
};

/// Long enough that no test gets there unless something is wrong.
const LONG: Wait = Wait::AtMost(Duration::from_secs(60));
const SHORT: Wait = Wait::AtMost(Duration::from_millis(1));

fn memory() -> Memory {
    Memory::reserve(4 << 20).unwrap()
}

fn options(capacity: u32) -> MailboxOptions {
    MailboxOptions::new(capacity, 8)
}

fn one(capacity: u32) -> (Sender, Receiver) {
    mailbox(&memory(), options(capacity)).unwrap()
}

fn many(capacity: u32, receivers: u32) -> (Sender, Vec<Receiver>) {
    mailbox_to_many(&memory(), options(capacity), receivers).unwrap()
}

fn send(sender: &mut Sender, value: u64, wait: Wait) -> Result<u32, SendError> {
    sender.send(&value.to_le_bytes(), wait)
}

fn recv(receiver: &mut Receiver, wait: Wait) -> Result<u64, RecvError> {
    receiver.recv(wait).map(|message| value(message.bytes()))
}

fn value(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// The word of a mailbox at an offset, as whoever else works on the memory finds it.
fn word(sender: &Sender, at: usize) -> u32 {
    // SAFETY: the word lies in the mailbox's block, and is reached atomically as it is everywhere.
    let word = unsafe { std::sync::atomic::AtomicU32::from_ptr(sender.block().ptr().as_ptr().add(at).cast()) };
    word.load(std::sync::atomic::Ordering::SeqCst)
}

fn set_word(sender: &Sender, at: usize, value: u32) {
    // SAFETY: as in `word`.
    let word = unsafe { std::sync::atomic::AtomicU32::from_ptr(sender.block().ptr().as_ptr().add(at).cast()) };
    word.store(value, std::sync::atomic::Ordering::SeqCst);
}

#[test]
fn messages_arrive_in_order_however_sides_wait() {
    for (capacity, spin_us) in [(1, 0), (1, 20), (3, 0), (64, 20)] {
        let options = MailboxOptions { spin: Duration::from_micros(spin_us), ..options(capacity) };
        let (mut sender, mut receiver) = mailbox::<()>(&memory(), options).unwrap();
        let other = thread::spawn(move || {
            for number in 0..20_000 {
                assert_eq!(send(&mut sender, number, LONG), Ok(number as u32));
            }
        });
        for number in 0..20_000 {
            assert_eq!(recv(&mut receiver, LONG), Ok(number));
        }
        other.join().unwrap();
        assert_eq!(recv(&mut receiver, LONG), Err(RecvError::Closed));
    }
}

#[test]
fn numbers_wrap_around_whatever_the_capacity() {
    for capacity in [1, 2, 3, 5, 8] {
        let options = MailboxOptions { first: u32::MAX - 2, ..options(capacity) };
        let (mut sender, mut receivers) = mailbox_to_many::<u64>(&memory(), options, 2).unwrap();
        for round in 0..10 {
            for nth in 0..capacity {
                let mut claim = sender.claim(Wait::Never).unwrap();
                let sent = u64::from(round * capacity + nth);
                claim.bytes_mut().copy_from_slice(&sent.to_le_bytes());
                *claim.value_mut() = sent;
                assert_eq!(claim.publish(), (u32::MAX - 2).wrapping_add(sent as u32));
            }
            assert!(sender.is_full().unwrap());
            for receiver in &mut receivers {
                assert_eq!(receiver.held(), Ok(capacity));
                for nth in 0..capacity {
                    let (message, sent) = (receiver.get(nth).unwrap(), u64::from(round * capacity + nth));
                    assert_eq!((value(message.bytes()), *message.value()), (sent, sent));
                    assert_eq!(message.number(), (u32::MAX - 2).wrapping_add(sent as u32));
                }
                assert!(receiver.get(capacity).is_none());
                assert_eq!(receiver.release(u32::MAX), capacity);
            }
        }
        assert_eq!(sender.next(), (u32::MAX - 2).wrapping_add(10 * capacity));
    }
}

#[test]
fn a_full_mailbox_refuses_or_blocks_as_asked() {
    let (mut sender, mut receiver) = one(2);
    send(&mut sender, 1, Wait::Never).unwrap();
    send(&mut sender, 2, Wait::Never).unwrap();
    let full = Err(SendError::Full { receiver: 0, capacity: 2 });
    assert_eq!(send(&mut sender, 3, Wait::Never), full);
    assert_eq!(send(&mut sender, 3, SHORT), full);
    let other = thread::spawn(move || send(&mut sender, 3, Wait::Forever).map(|_| sender));
    // What was refused has left no trace, what waits comes next.
    assert_eq!((1..=3).map(|_| recv(&mut receiver, LONG).unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    let mut sender = other.join().unwrap().unwrap();
    assert_eq!(recv(&mut receiver, Wait::Never), Err(RecvError::Empty { held: 0, asked: 1 }));
    assert_eq!(recv(&mut receiver, SHORT), Err(RecvError::Empty { held: 0, asked: 1 }));
    send(&mut sender, 4, Wait::Never).unwrap();
    assert_eq!(receiver.wait(2, SHORT), Err(RecvError::Empty { held: 1, asked: 2 }));
    assert_eq!(receiver.wait(3, Wait::Forever), Err(RecvError::Beyond { asked: 3, capacity: 2 }));
}

#[test]
fn a_claim_that_is_dropped_sends_nothing() {
    let (mut sender, mut receiver) = one(1);
    sender.claim(Wait::Never).unwrap().bytes_mut().fill(9);
    assert_eq!(receiver.held(), Ok(0));
    send(&mut sender, 1, Wait::Never).unwrap();
    assert_eq!(recv(&mut receiver, Wait::Never), Ok(1));
}

#[test]
fn short_messages_are_filled_up_and_long_ones_refused() {
    let (mut sender, mut receiver) = one(1);
    sender.send(&[0xff; 8], Wait::Never).unwrap();
    recv(&mut receiver, Wait::Never).unwrap();
    sender.send(&[1, 2], Wait::Never).unwrap();
    assert_eq!(receiver.recv(Wait::Never).unwrap().bytes(), [1, 2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sender.send(&[0; 9], Wait::Never), Err(SendError::TooLong { bytes: 9, slot_bytes: 8 }));
}

#[test]
fn held_messages_stay_while_the_sender_runs_ahead() {
    let (mut sender, mut receiver) = one(4);
    let other = thread::spawn(move || (0..100).for_each(|number| _ = send(&mut sender, number, LONG).unwrap()));
    for oldest in 0..=96 {
        assert_eq!(receiver.wait(4, LONG), Ok(4));
        // Any of them, in any order, as often as one likes.
        for nth in [2, 0, 3, 1, 3] {
            assert_eq!(value(receiver.get(nth).unwrap().bytes()), oldest + u64::from(nth));
        }
        receiver.release(1);
    }
    other.join().unwrap();
    // Three are left, which can be had though the sender is gone.
    assert_eq!(receiver.wait(4, LONG), Err(RecvError::Closed));
    assert_eq!(receiver.held(), Ok(3));
    assert_eq!(recv(&mut receiver, Wait::Never), Ok(97));
}

#[test]
fn each_of_many_sees_everything_and_the_slowest_decides() {
    let (mut sender, receivers) = many(4, 3);
    let (go, gate) = mpsc::channel::<()>();
    let mut gate = Some(gate);
    let others: Vec<_> = receivers
        .into_iter()
        .map(|mut receiver| {
            // Receiver 1 is slow: it does not begin before it is told.
            let gate = (receiver.index() == 1).then(|| gate.take().unwrap());
            thread::spawn(move || {
                if let Some(gate) = gate {
                    gate.recv().unwrap();
                }
                (0..5_000).for_each(|number| assert_eq!(recv(&mut receiver, LONG), Ok(number)));
                assert_eq!(recv(&mut receiver, LONG), Err(RecvError::Closed));
            })
        })
        .collect();
    (0..4).for_each(|number| _ = send(&mut sender, number, LONG).unwrap());
    // However far the others are, receiver 1 holds all four.
    assert!(matches!(send(&mut sender, 4, SHORT), Err(SendError::Full { capacity: 4, .. })));
    go.send(()).unwrap();
    (4..5_000).for_each(|number| _ = send(&mut sender, number, LONG).unwrap());
    drop(sender);
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn who_leaves_is_waited_for_no_more() {
    let (mut sender, mut receivers) = many(1, 2);
    send(&mut sender, 1, Wait::Never).unwrap();
    let second = receivers.pop().unwrap();
    assert_eq!(recv(&mut receivers[0], Wait::Never), Ok(1));
    assert_eq!(send(&mut sender, 2, Wait::Never), Err(SendError::Full { receiver: 1, capacity: 1 }));
    let other = thread::spawn(move || {
        send(&mut sender, 2, Wait::Forever).unwrap();
        send(&mut sender, 3, Wait::Forever)
    });
    drop(second);
    assert_eq!(receivers[0].wait(1, LONG), Ok(1));
    // The last one leaves with a message unread: the sender that waits for it is told.
    drop(receivers);
    assert_eq!(other.join().unwrap(), Err(SendError::Closed));
}

#[test]
fn a_dead_receiver_is_told_of_once() {
    let (mut sender, mut receivers) = many(2, 3);
    for receiver in [receivers.remove(2), receivers.remove(0)] {
        let died = thread::spawn(move || {
            let _receiver = receiver;
            panic!("a receiver dies, as the test wants");
        });
        assert!(died.join().is_err());
    }
    assert_eq!(send(&mut sender, 1, Wait::Never), Err(SendError::Died { receiver: 0 }));
    assert_eq!(send(&mut sender, 1, Wait::Never), Err(SendError::Died { receiver: 2 }));
    assert_eq!(send(&mut sender, 1, Wait::Never), Ok(0));
    assert_eq!(recv(&mut receivers[0], Wait::Never), Ok(1));
    drop(receivers);
    assert_eq!(send(&mut sender, 2, Wait::Never), Err(SendError::Closed));
}

#[test]
fn a_dying_sender_wakes_its_receivers_after_its_messages() {
    let (mut sender, receivers) = many(2, 2);
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for mut receiver in receivers {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                assert_eq!(recv(&mut receiver, Wait::Forever), Ok(1));
                assert_eq!(recv(&mut receiver, Wait::Forever), Err(RecvError::Died));
                assert_eq!(recv(&mut receiver, Wait::Never), Err(RecvError::Died));
            });
        }
        let dying = scope.spawn(|| {
            barrier.wait();
            send(&mut sender, 1, Wait::Never).unwrap();
            let _sender = sender;
            panic!("a sender dies, as the test wants");
        });
        assert!(dying.join().is_err());
    });
}

#[test]
fn an_interrupt_stops_claims_until_it_is_cleared() {
    let (mut sender, mut receiver) = one(1);
    send(&mut sender, 1, Wait::Never).unwrap();
    let interrupt = sender.interrupt();
    let other = thread::spawn(move || (send(&mut sender, 2, Wait::Forever), sender));
    interrupt.raise();
    let (stopped, mut sender) = other.join().unwrap();
    assert_eq!(stopped, Err(SendError::Interrupted));
    // With room too.
    assert_eq!(recv(&mut receiver, Wait::Never), Ok(1));
    assert_eq!(send(&mut sender, 2, Wait::Never), Err(SendError::Interrupted));
    assert!(interrupt.is_raised());
    interrupt.clear();
    assert_eq!(send(&mut sender, 2, Wait::Never), Ok(1));
}

#[test]
fn bad_numbers_are_named() {
    let make = |capacity, slot_bytes, receivers| {
        let made = mailbox_to_many::<()>(&memory(), MailboxOptions::new(capacity, slot_bytes), receivers);
        made.map(|_| ()).unwrap_err().to_string()
    };
    assert!(make(0, 8, 1).contains("not 0"));
    assert!(make((1 << 30) + 1, 8, 1).contains("not 1073741825"));
    assert!(make(1, u32::MAX, 1).contains("not 4294967295"));
    assert!(make(1, 8, 0).contains("1 to 32 receivers, not 0"));
    assert!(make(1, 8, 33).contains("1 to 32 receivers, not 33"));
    let large = mailbox::<()>(&memory(), MailboxOptions::new(1 << 30, 1 << 30));
    assert!(matches!(large, Err(MailboxError::OutOfMemory(_))));
}

#[test]
fn words_are_where_the_layout_says() {
    let memory = memory();
    let _other = memory.allocate(100).unwrap();
    let options = MailboxOptions { first: 7, ..MailboxOptions::new(3, 10) };
    let (mut sender, mut receivers) = mailbox_to_many::<()>(&memory, options, 2).unwrap();
    let head = [0, 4, 8, 12, 16, 20, 24, 28].map(|at| word(&sender, at));
    assert_eq!(head, [u32::from_le_bytes(*b"pmbx"), 1, 3, 4, 10, 64, 2, 320]);
    sender.send(&[5; 10], Wait::Never).unwrap();
    sender.send(&[6; 10], Wait::Never).unwrap();
    receivers[1].release(1);
    let at = |number: u32| layout::first_slot_at(2) + 64 * (number as usize & 3);
    // SAFETY: message 8 is held by both receivers, and its bytes lie in the block.
    let bytes = unsafe { std::slice::from_raw_parts(sender.block().ptr().as_ptr().add(at(8)), 10) };
    assert_eq!(bytes, [6; 10]);
    assert_eq!((word(&sender, layout::TAIL_AT), word(&sender, 192), word(&sender, 192 + 64)), (9, 7, 8));
    sender.interrupt().raise();
    assert_eq!(word(&sender, layout::INTERRUPT_AT), 1);
    drop(receivers.remove(0));
    assert_eq!((word(&sender, layout::DEPARTED_AT), word(&sender, layout::receiver_state_at(0))), (1, 1));
    let (memory_offset, block) = (sender.block().offset(), sender.block().ptr());
    assert_eq!(memory.base().as_ptr() as u64 + memory_offset, block.as_ptr() as u64);
}

#[test]
fn words_that_make_no_sense_are_told_and_not_believed() {
    let (mut sender, mut receiver) = one(2);
    set_word(&sender, layout::TAIL_AT, 3);
    let corrupt = RecvError::Corrupt { tail: 3, head: 0, capacity: 2 };
    assert_eq!(receiver.held(), Err(corrupt));
    assert_eq!(recv(&mut receiver, Wait::Forever), Err(corrupt));
    assert!(receiver.get(0).is_none());
    set_word(&sender, layout::TAIL_AT, 0);
    (0..2).for_each(|number| _ = send(&mut sender, number, Wait::Never).unwrap());
    set_word(&sender, layout::head_at(0), 4);
    let corrupt = SendError::Corrupt { receiver: 0, head: 4, tail: 2, capacity: 2 };
    assert_eq!(send(&mut sender, 2, Wait::Forever), Err(corrupt));
}

#[test]
fn a_killed_agent_is_buried_by_its_words() {
    let (mut sender, mut receivers) = many(2, 2);
    // What whoever ends a receiver's agent does in its place, as the layout says.
    set_word(&sender, layout::receiver_state_at(1), layout::STATE_DIED);
    set_word(&sender, layout::DEPARTED_AT, 1);
    assert_eq!(send(&mut sender, 1, Wait::Never), Err(SendError::Died { receiver: 1 }));
    (0..2).for_each(|number| _ = send(&mut sender, number, Wait::Never).unwrap());
    assert_eq!(recv(&mut receivers[0], Wait::Never), Ok(0));
    assert_eq!(send(&mut sender, 2, Wait::Never), Ok(2));
}

#[test]
fn the_block_outlives_neither_side_and_is_given_back() {
    let memory = memory();
    let (sender, receiver) = mailbox::<()>(&memory, options(4)).unwrap();
    drop(sender);
    assert!(memory.used_bytes() > 0);
    drop(receiver);
    assert_eq!(memory.used_bytes(), 0);
}
