//! What a message costs, beside a futex used by hand, in turns in one run.
//!
//! `cargo run -p peristyle-memory --example mailbox_bench [-- TURNS [free | busy]]`
//!
//! - *Stream*: one thread publishes, another receives, both as fast as they can.
//! - *Round trip*: a message there and one back, both sides asleep in between (no spinning), against two words and a
//!   futex each, the least that can do it.
//! - *Busy machine*: as many spinning threads as twice the cores beside; round trips of sides that may spin against sides
//!   that never do. Not to be run with a real-time priority, which the spinning threads would have too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use peristyle_memory::{
    Memory,
    mailbox::{MailboxOptions, Receiver, Sender, Wait, mailbox},
};
use rustix::thread::futex;

const STREAMED: u32 = 200_000;
const TRIPS: u32 = 2_000;
/// No spinning.
const ASLEEP: Option<Duration> = Some(Duration::ZERO);

fn pair(memory: &Memory, spin: Option<Duration>) -> (Sender, Receiver) {
    let options = MailboxOptions::new(64, 8);
    let spin = spin.unwrap_or(options.spin);
    mailbox(memory, MailboxOptions { spin, ..options }).expect("a small mailbox")
}

/// Nanoseconds a message.
fn stream(memory: &Memory) -> f64 {
    let (mut sender, mut receiver) = pair(memory, None);
    let start = Instant::now();
    let other = thread::spawn(move || {
        for number in 0..STREAMED {
            sender.send(&number.to_le_bytes(), Wait::Forever).expect("a receiver");
        }
    });
    for _ in 0..STREAMED {
        receiver.recv(Wait::Forever).expect("a sender");
    }
    let ns = start.elapsed().as_nanos() as f64 / f64::from(STREAMED);
    other.join().expect("no panic");
    ns
}

/// Nanoseconds a round trip through two mailboxes.
fn round_trip(memory: &Memory, spin: Option<Duration>, trips: u32) -> f64 {
    let ((mut there, mut far), (mut back, mut near)) = (pair(memory, spin), pair(memory, spin));
    let other = thread::spawn(move || {
        while far.recv(Wait::Forever).is_ok() {
            back.send(&[], Wait::Forever).expect("a receiver");
        }
    });
    let mut trip = || {
        there.send(&[], Wait::Forever).expect("a receiver");
        near.recv(Wait::Forever).expect("a sender");
    };
    (0..trips / 10).for_each(|_| trip());
    let start = Instant::now();
    (0..trips).for_each(|_| trip());
    let ns = start.elapsed().as_nanos() as f64 / f64::from(trips);
    drop(there);
    other.join().expect("no panic");
    ns
}

/// Nanoseconds a round trip over two bare words.
fn bare_round_trip(trips: u32) -> f64 {
    fn signal(word: &AtomicU32, value: u32) {
        word.store(value, SeqCst);
        let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
    }
    fn await_value(word: &AtomicU32, value: u32) {
        loop {
            let seen = word.load(SeqCst);
            if seen == value {
                return;
            }
            let _ = futex::wait(word, futex::Flags::PRIVATE, seen, None);
        }
    }
    let words = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let (far, all) = (words.clone(), trips + trips / 10);
    let other = thread::spawn(move || {
        for number in 1..=all {
            await_value(&far[0], number);
            signal(&far[1], number);
        }
    });
    let trip = |number| {
        signal(&words[0], number);
        await_value(&words[1], number);
    };
    (1..=trips / 10).for_each(trip);
    let start = Instant::now();
    (trips / 10 + 1..=all).for_each(trip);
    let ns = start.elapsed().as_nanos() as f64 / f64::from(trips);
    other.join().expect("no panic");
    ns
}

/// Runs `f` beside spinning threads.
fn beside_spinners<R>(spinners: usize, f: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..spinners {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    std::hint::spin_loop();
                }
            });
        }
        let result = f();
        stop.store(true, SeqCst);
        result
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs all contestants in turns, and gives the median of each.
fn in_turns<const N: usize>(turns: usize, contestants: [&dyn Fn() -> f64; N]) -> [f64; N] {
    let mut taken = [const { Vec::new() }; N];
    for _ in 0..turns {
        taken.iter_mut().zip(contestants).for_each(|(taken, contestant)| taken.push(contestant()));
    }
    taken.map(median)
}

/// On a machine that has two cores for it.
fn free(memory: &Memory, turns: usize) {
    let [streamed] = in_turns(turns, [&|| stream(memory)]);
    println!("stream       {streamed:>9.1} ns a message: {:.2} M a second", 1e3 / streamed);
    let [bare, asleep, spun] = in_turns(
        turns,
        [&|| bare_round_trip(TRIPS), &|| round_trip(memory, ASLEEP, TRIPS), &|| round_trip(memory, None, TRIPS)],
    );
    println!("round trip   {bare:>9.0} ns  bare futex");
    println!("             {asleep:>9.0} ns  mailbox, asleep    x{:.2} of the bare futex", asleep / bare);
    println!("             {spun:>9.0} ns  mailbox, spinning  x{:.2} of the bare futex", spun / bare);
}

/// On a machine with more to do than cores.
fn busy(memory: &Memory, turns: usize) {
    let spinners = 2 * thread::available_parallelism().map_or(1, usize::from);
    let [asleep, spun] = beside_spinners(spinners, || {
        in_turns(turns, [&|| round_trip(memory, ASLEEP, TRIPS), &|| round_trip(memory, None, TRIPS)])
    });
    println!("busy machine {asleep:>9.0} ns  mailbox, asleep    ({spinners} spinning threads)");
    println!("             {spun:>9.0} ns  mailbox, spinning  x{:.2} of the parked rate", asleep / spun);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let turns = arguments.next().map_or(15, |turns| turns.parse().expect("the first argument is a number of turns"));
    let part = arguments.next();
    let memory = Memory::reserve(64 << 20).expect("64 MiB of addresses");
    if part.as_deref() != Some("busy") {
        free(&memory, turns);
    }
    if part.as_deref() != Some("free") {
        busy(&memory, turns);
    }
}
