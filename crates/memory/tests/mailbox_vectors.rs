//! The bytes of a mailbox, which TypeScript compares with its own: `vectors/mailbox.json`.
//!
//! `PERISTYLE_MAILBOX_VECTORS=write cargo test -p peristyle-memory --test mailbox_vectors` writes it after a change.

use peristyle_memory::{
    Memory,
    mailbox::{MailboxOptions, Wait, mailbox_to_many},
};

#[test]
fn a_mailbox_has_the_bytes_of_the_vector() {
    let memory = Memory::reserve(1 << 20).unwrap();
    let (mut sender, mut receivers) = mailbox_to_many::<()>(&memory, MailboxOptions::new(5, 12), 2).unwrap();
    for message in 1..=4_u8 {
        let bytes: Vec<u8> = (0..12).map(|i| 16 * message + i).collect();
        sender.send(&bytes, Wait::Never).unwrap();
    }
    assert_eq!(receivers[0].release(2), 2);
    assert_eq!(receivers[1].release(1), 1);
    // 192 bytes of words, 64 for each receiver, and 8 slots of 64.
    let block = sender.block().ptr();
    // SAFETY: the block is at least that long and lives as long as the sender, every byte of it was written when it was
    // made, and no other thread has the mailbox.
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 192 + 2 * 64 + 8 * 64) };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("{{ \"hex\": \"{hex}\" }}\n");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/mailbox.json");
    if std::env::var_os("PERISTYLE_MAILBOX_VECTORS").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors")).unwrap();
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap());
}
