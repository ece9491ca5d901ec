//! The real data, read once a process.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{path::PathBuf, sync::OnceLock};

use peristyle_sky::{JobKind, Loaded, Position, Quiet, Simulation, SkyConfig, load};
use peristyle_timeline::Timeline;

/// Where `./x setup` puts the data.
pub fn data_dir() -> PathBuf {
    let named = std::env::var_os("PERISTYLE_DATA").map(PathBuf::from);
    named
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/peristyle/data")))
        .expect("PERISTYLE_DATA or HOME names where `./x setup` put the data")
}

/// A configuration with the real data.
pub fn config(job: JobKind) -> SkyConfig {
    SkyConfig { job, ..SkyConfig::new(data_dir()) }
}

/// The real flights.
pub fn loaded() -> &'static Loaded {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    LOADED.get_or_init(|| load(&config(JobKind::Rust), &mut Quiet).expect("`./x setup` has fetched the data"))
}

/// A simulation of the real flights.
pub fn simulation(config: &SkyConfig) -> Simulation {
    Simulation::new(config, loaded(), Timeline::off()).expect("Sky can be built")
}

/// Latitude, longitude, heading and progress of every flight, in order of rows.
pub fn positions(simulation: &mut Simulation) -> Vec<Position> {
    let mut query = simulation.world_mut().query::<&Position>();
    query.iter(simulation.world()).collect()
}
