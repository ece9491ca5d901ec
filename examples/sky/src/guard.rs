//! Turns a panic of a file reader into an error.
//!
//! The Parquet reader checks most of what a damaged file can say, but not all: some bytes make it panic. Input must
//! never do that to us, so the calls that decode run guarded. A guarded panic is not printed: the first guarded call
//! puts a panic hook before the one that is there, which keeps silent for threads that are inside of a guarded call
//! and passes everything else on.
//!
//! # Rules
//! - What a guarded call worked on is dropped after a panic, never used again.
//! - Only readers of files run guarded. A panic of our own code means that an invariant is broken, and must be seen.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `decode`; gives the text of its panic if there is one.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                earlier(panic);
            }
        }));
    });
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(false);
    result.map_err(|payload| text(payload.as_ref()))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "the reader gave up".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_text() {
        assert_eq!(guarded(|| 7), Ok(7));
        assert_eq!(guarded(|| -> u8 { panic!("byte {}", 3) }), Err("byte 3".to_owned()));
        assert_eq!(guarded(|| -> u8 { panic!("short") }), Err("short".to_owned()));
        assert_eq!(guarded(|| 8), Ok(8));
    }
}
