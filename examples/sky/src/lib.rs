//! Sky: three million real flights of 2001, folded into one day, as entities of one world.
//!
//! [`load`] reads two files of the npm package `vega-datasets` into [`Airports`] and a [`Timetable`]; a flight is
//! spawned when it departs, moved along its great circle by [`step`] or by the TypeScript job [`FLY_JOB_SOURCE`],
//! and despawned when it arrives. [`Report`] says what a run did.
//!
//! # Rules
//! - Every day is the same: who is in the air is a function of the time of day alone.
//! - `spawned - despawned = airborne`, at any moment.
//! - [`step`] and the TypeScript job make the same arithmetic decisions: who has arrived is bit-equal, where a flight
//!   is agrees to 0.001 degree.
//!
//! # Not here
//! The command line is `peristyle-cli`; fetching the data is `./x setup`. The data has no arrival times, so an arrival
//! is computed from the distance and says nothing about what happened in 2001.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod sky;

mod airports;
mod config;
mod data;
mod day;
mod guard;
mod live;
mod report;
mod route;
mod run;
mod simulation;
mod timetable;

pub use airports::{AirportError, Airports};
pub use config::{
    ConfigError, JobKind, Limit, SkyConfig, parse_bytes, parse_job, parse_seconds, parse_speed, parse_start,
    parse_ticks, parse_workers,
};
pub use data::{AIRPORTS_FILE, DataError, DataFiles, FLIGHTS_FILE, VEGA_DATASETS_DIR};
pub use day::{DAY_SECONDS, TICK_SECONDS_MAX, TICKS_PER_SECOND, fold};
pub use live::{POSITION_ERROR, Serve, TICKS_PER_UPDATE};
pub use peristyle_schedule::CheckReport;
pub use report::{Meter, Report, TickMs, TickSample, peak_resident_bytes};
pub use route::{
    AirportColumns, FlightColumns, Place, PositionColumns, Route, RouteColumns, flying_elapsed, flying_total, place,
    step,
};
pub use run::run;
pub use simulation::{Airport, Flight, Position, ScheduledFlight, Simulation};
pub use sky::{Hooks, Loaded, Quiet, SkyError, load};
pub use timetable::{FlightRow, Skipped, Timetable, TimetableError, airborne_at, departures, flying_seconds};

/// The TypeScript job that moves the flights, as it stands in `jobs/fly.job.ts`.
pub const FLY_JOB_SOURCE: &str = include_str!("../jobs/fly.job.ts");

/// The file name that [`FLY_JOB_SOURCE`] is reported under.
pub const FLY_JOB_NAME: &str = "fly.job.ts";
