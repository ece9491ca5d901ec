//! Readings that go from one thread to two others through one memory: the program of the guide "Share memory".

use std::thread;

use peristyle_memory::{
    Memory,
    mailbox::{MailboxOptions, Receiver, RecvError, Wait, mailbox_to_many},
};

/// Bytes of a reading: its time and three values, as `S.struct({ time: S.f64(), values: S.array(S.f32(), 3) })` lays it out.
const READING_BYTES: u32 = 24;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let memory = Memory::reserve(1 << 20)?;
    let (mut sender, receivers) = mailbox_to_many::<()>(&memory, MailboxOptions::new(64, READING_BYTES), 2)?;
    let threads: Vec<_> = receivers.into_iter().map(|receiver| thread::spawn(|| sum(receiver))).collect();

    for number in 0..1000_u32 {
        // The sender has the slot alone until it is published; a full mailbox waits for the slowest receiver.
        let mut slot = sender.claim(Wait::Forever)?;
        slot.bytes_mut()[..8].copy_from_slice(&f64::from(number).to_le_bytes());
        slot.bytes_mut()[8..12].copy_from_slice(&1.5_f32.to_le_bytes());
        slot.publish();
    }
    // Receivers get what was sent before, then a typed error.
    drop(sender);
    for thread in threads {
        println!("{}", thread.join().expect("no receiver panics"));
    }
    Ok(())
}

/// Reads messages where they lie, until the sender is gone.
fn sum(mut receiver: Receiver) -> String {
    let (mut count, mut sum) = (0, 0.0);
    loop {
        match receiver.recv(Wait::Forever) {
            Ok(message) => {
                let value = message.bytes()[8..12].try_into().expect("four bytes");
                sum += f32::from_le_bytes(value);
                count += 1;
            }
            Err(RecvError::Closed) => return format!("{count} readings, {sum} in all"),
            Err(error) => return error.to_string(),
        }
    }
}
