//! Ends that are asked for from outside: Ctrl-C (SIGINT) and SIGTERM.
//!
//! Who listens looks now and then, and ends in good order: says goodbye, writes what it has. A second signal ends the process at
//! once, for whoever does not want to wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Whether the end was asked for. A handle: clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending(Arc<AtomicU8>);

impl Ending {
    /// From now on the first signal does not end the process but is kept.
    pub(crate) fn listen(&self) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let [mut interrupts, mut terminations] = {
            let _entered = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        let ending = self.clone();
        let listening = async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupts.recv() => exit_code(SignalKind::interrupt()),
                    _ = terminations.recv() => exit_code(SignalKind::terminate()),
                }
            };
            ending.0.store(next().await, Ordering::Release);
            std::process::exit(next().await.into());
        };
        std::thread::Builder::new().name("peristyle-signals".into()).spawn(move || runtime.block_on(listening))?;
        Ok(())
    }

    /// The exit code of a process that a signal ended before it was done, if one did.
    pub(crate) fn code(&self) -> Option<u8> {
        // Pairs with the store on the thread of signals; nothing else is passed by it.
        Some(self.0.load(Ordering::Acquire)).filter(|code| *code != 0)
    }
}

/// What shells say of a process that a signal ended.
fn exit_code(kind: SignalKind) -> u8 {
    128 + kind.as_raw_value() as u8
}
