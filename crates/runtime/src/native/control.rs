//! What drives an app asks of the runtime: the pace, and files that were written.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use peristyle_agents::{HostContext, HostError, HostFunction, HostObject, Level};

use super::Frames;
use super::kernels::Kernels;

/// How often files are looked at. A look costs a system call for each module.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const FUNCTIONS: [HostFunction; 6] = [
    HostFunction { name: "hz", arguments: 0 },
    HostFunction { name: "ticks", arguments: 0 },
    HostFunction { name: "waits", arguments: 0 },
    HostFunction { name: "watches", arguments: 0 },
    HostFunction { name: "records", arguments: 0 },
    HostFunction { name: "changed", arguments: 0 },
];

/// See `packages/peristyle/src/native/host.ts`.
pub(super) struct Control {
    frames: Frames,
    /// None if files are not watched.
    watched: Option<Watched>,
    records: bool,
}

/// The files of an app.
pub(super) struct Watched {
    context: HostContext,
    kernels: Kernels,
    /// The main module, if it is a file.
    main: Option<PathBuf>,
    /// What the main module imports, itself included: read before any of it runs, and so before any job.
    own: BTreeSet<PathBuf>,
    looked: Instant,
}

impl Watched {
    pub(super) fn new(context: &HostContext, kernels: &Kernels, main: Option<PathBuf>) -> Watched {
        let own = context.files().into_iter().collect();
        Watched { context: context.clone(), kernels: kernels.clone(), main, own, looked: Instant::now() }
    }

    /// How many files that jobs may be made of were written since this was last asked, if it is time to look. What the app's
    /// own agent runs cannot be run again with the world kept: that is said.
    fn changed(&mut self) -> usize {
        if self.looked.elapsed() < LOOK_EVERY {
            return 0;
        }
        self.looked = Instant::now();
        let mut written = self.context.refresh();
        for path in written.iter().filter(|path| self.own.contains(*path)) {
            let text = format!(
                "peristyle: {} is part of the app itself, which goes on as it was started: run it again to see the change",
                path.display()
            );
            self.context.say(Level::Warn, &text);
        }
        // No job imports the main module; what else the app imports, jobs may import, too.
        written.retain(|path| self.main.as_ref() != Some(path));
        written.len() + self.kernels.refresh()
    }
}

impl Control {
    pub(super) fn new(frames: Frames, watched: Option<Watched>, records: bool) -> Control {
        Control { frames, watched, records }
    }
}

impl HostObject for Control {
    fn functions(&self) -> &[HostFunction] {
        &FUNCTIONS
    }

    fn call(&mut self, function: usize, _: &[f64]) -> Result<f64, HostError> {
        Ok(match function {
            0 => self.frames.hz,
            1 => self.frames.ticks.map_or(0.0, |ticks| ticks as f64),
            2 => f64::from(u8::from(self.frames.waits)),
            3 => f64::from(u8::from(self.watched.is_some())),
            4 => f64::from(u8::from(self.records)),
            _ => self.watched.as_mut().map_or(0, Watched::changed) as f64,
        })
    }
}
