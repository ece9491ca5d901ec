//! What drives an app asks of the runtime: the pace, and files that were written.

use std::time::{Duration, Instant};

use peristyle_agents::{HostContext, HostError, HostFunction, HostObject};

use super::Frames;

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
    files: Option<HostContext>,
    looked: Instant,
    records: bool,
}

impl Control {
    pub(super) fn new(frames: Frames, files: Option<HostContext>, records: bool) -> Control {
        Control { frames, files, looked: Instant::now(), records }
    }

    /// How many files were written since this was last asked, if it is time to look.
    fn changed(&mut self) -> usize {
        match &self.files {
            Some(files) if self.looked.elapsed() >= LOOK_EVERY => {
                self.looked = Instant::now();
                files.refresh().len()
            }
            _ => 0,
        }
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
            3 => f64::from(u8::from(self.files.is_some())),
            4 => f64::from(u8::from(self.records)),
            _ => self.changed() as f64,
        })
    }
}
