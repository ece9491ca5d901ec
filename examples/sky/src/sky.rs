//! A run of Sky, from its files to its report.
//!
//! Loading comes first and can fail in many ways; nothing is spawned before all of the input is known to be good. A
//! run talks to whoever started it through [`Hooks`]; it prints nothing itself.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use peristyle_agents::AgentError;
use peristyle_gateway::GatewayError;
use peristyle_mirror::HostError;
use peristyle_replica::ViewError;
use peristyle_schedule::{CheckReport, ScheduleError};
use peristyle_world::{RegionError, WorldError};

use crate::{
    airports::{AirportError, Airports},
    config::{ConfigError, SkyConfig},
    data::{DataError, DataFiles},
    report::Report,
    timetable::{Timetable, TimetableError},
};

/// The input of a run.
#[derive(Debug)]
pub struct Loaded {
    /// Every airport of the file.
    pub airports: Airports,
    /// Every flight whose airports are known.
    pub timetable: Timetable,
    /// How long reading took.
    pub took: Duration,
}

/// What a run tells while it goes on. Every method may be left out.
pub trait Hooks {
    /// So many rows of the timetable have been read.
    fn loading(&mut self, rows: u64, rows_total: u64) {
        let _ = (rows, rows_total);
    }

    /// The input has been read.
    fn loaded(&mut self, loaded: &Loaded) {
        let _ = loaded;
    }

    /// The run is served, here.
    fn serving(&mut self, url: &str) {
        let _ = url;
    }

    /// Where the run stands; called once a second unless it is headless.
    fn report(&mut self, report: &Report) {
        let _ = report;
    }

    /// Whether to end now, before the limit; asked before each tick. The run is reported as far as it came.
    fn is_over(&mut self) -> bool {
        false
    }

    /// A check of the job found something, for the first time.
    fn impure(&mut self, found: &CheckReport) {
        self.warn(&found.to_string());
    }

    /// Something that the run goes on in spite of, such as a job that throws.
    fn warn(&mut self, message: &str) {
        let _ = message;
    }
}

/// Hooks that do nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Hooks for Quiet {}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SkyError {
    /// The run was asked for something that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The input is not there.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The airports could not be read.
    #[error(transparent)]
    Airports(#[from] AirportError),
    /// The timetable could not be read.
    #[error(transparent)]
    Timetable(#[from] TimetableError),
    /// The world's memory could not be reserved.
    #[error(transparent)]
    Memory(#[from] RegionError),
    /// The world refused, foremost because its memory is used up.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The systems could not be scheduled.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The job could not be loaded.
    #[error(transparent)]
    Agents(#[from] AgentError),
    /// The run cannot be served.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The world cannot be shown.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The modules cannot be hosted.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The trace could not be written.
    #[error("cannot write the trace {}: {source}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Checks the configuration and reads the input that it names.
///
/// # Errors
/// The first [`SkyError`] there is; the configuration is checked before any file is opened.
pub fn load(config: &SkyConfig, hooks: &mut dyn Hooks) -> Result<Loaded, SkyError> {
    config.validate()?;
    let started = Instant::now();
    let files = DataFiles::find(&config.data_dir)?;
    let airports = Airports::read(&files.airports)?;
    let timetable = Timetable::read(&files.flights, &airports, &mut |rows, total| hooks.loading(rows, total))?;
    let loaded = Loaded { airports, timetable, took: started.elapsed() };
    hooks.loaded(&loaded);
    Ok(loaded)
}
