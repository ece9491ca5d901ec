//! Sky on the network: its world, its clock and its airports, for pages that watch.
//!
//! The clock is a module whose calls run at the start of a tick. Between changes of pace a page counts time itself, by the
//! ticks that it sees: nothing is published while time just passes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peristyle_gateway::{Every, FeedOptions, Gateway, WorldFeed};
use peristyle_mirror::{Failure, Host, HostOptions, State, SyncMode, module};
use peristyle_replica::{ComponentView, Predictor, ViewSpec};
use peristyle_timeline::Timeline;
use peristyle_world::World;
use serde::Serialize;

use crate::{
    airports::Airports,
    config::parse_speed,
    day::TICKS_PER_SECOND,
    report::Report,
    simulation::{Flight, Position},
    sky::SkyError,
};

/// Where a run is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What clients must know.
    pub token: Option<String>,
}

/// The most that a shown position is wrong by, in degrees: a tenth of a kilometre.
pub const POSITION_ERROR: f64 = 0.001;
/// Ticks between two publications: 20 a second.
pub const TICKS_PER_UPDATE: u64 = 3;

/// Updates between two that carry a hash of everything, by which mirrors prove that they equal the world: ten seconds'.
const UPDATES_PER_HASH: u64 = 200;

/// The pace of simulated time, and since when.
#[derive(Debug, Clone, State)]
pub struct Clock {
    /// The tick at which the pace last changed.
    pub tick: u64,
    /// Simulated seconds at that tick.
    pub seconds: f64,
    /// Simulated seconds per second.
    pub speed: f64,
    /// Ticks per second while time passes.
    pub ticks_per_second: f64,
    /// Whether time stands still.
    pub paused: bool,
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure { name: "RangeError".into(), message: error.to_string() }
}

#[module]
impl Clock {
    /// Lets time stand still.
    #[action]
    fn pause(&mut self) {
        self.paused = true;
    }

    /// Lets time pass.
    #[action]
    fn resume(&mut self) {
        self.paused = false;
    }

    /// Lets time pass at so many simulated seconds per second; returns it.
    #[action]
    fn set_speed(&mut self, speed: f64) -> Result<f64, Failure> {
        self.speed = parse_speed(&speed.to_string()).map_err(refused)?;
        Ok(self.speed)
    }

    /// Does nothing: for who measures the way.
    #[action]
    fn ping(&mut self) {}
}

/// An airport, for who shows it.
#[derive(Debug, Clone, Serialize)]
struct Place {
    iata: String,
    city: String,
    latitude: f64,
    longitude: f64,
}

/// The airports, by the index that flights name them by.
#[derive(Clone, State)]
struct Places {
    list: Vec<Place>,
}

#[module(name = "airports")]
impl Places {}

/// A run that is served.
pub(crate) struct Live {
    gateway: Gateway,
    feed: WorldFeed,
    host: Host,
    report: Arc<Mutex<String>>,
    pace: Clock,
}

impl Live {
    pub(crate) fn start(
        serve: &Serve,
        world: &mut World,
        airports: &Airports,
        timeline: &Timeline,
        seconds: f64,
        speed: f64,
    ) -> Result<Live, SkyError> {
        let position = ComponentView::of::<Position>()
            .quantised("latitude", POSITION_ERROR)
            .quantised("longitude", POSITION_ERROR)
            .predicted("latitude", Predictor::Linear)
            .predicted("longitude", Predictor::Linear)
            .hidden("heading")
            .hidden("progress");
        let flight = ComponentView::of::<Flight>();
        let spec = ViewSpec::new().with(position).with(flight).hash_every(UPDATES_PER_HASH);
        let options = FeedOptions { every: Every::Ticks(TICKS_PER_UPDATE), ..FeedOptions::default() };
        let feed = WorldFeed::new(world, spec, options)?;
        let pace = Clock { tick: 0, seconds, speed, ticks_per_second: TICKS_PER_SECOND, paused: false };
        let place = |index: u16| Place {
            iata: airports.iata(index).unwrap_or_default().to_owned(),
            city: airports.city(index).unwrap_or_default().to_owned(),
            latitude: airports.latitude()[usize::from(index)],
            longitude: airports.longitude()[usize::from(index)],
        };
        let places = Places { list: (0..airports.len() as u16).map(place).collect() };
        let host = Host::builder()
            .sync(SyncMode::Patch)
            .queued_module(pace.clone())
            .module(places)
            .options(HostOptions { epoch: Some(feed.epoch()), ..HostOptions::default() })
            .build()?;
        let report = Arc::new(Mutex::new("{}".to_owned()));
        let told = report.clone();
        let gateway = Gateway::builder()
            .named_world("sky", &feed)
            .named_host("sky", &host)
            .named_timeline("sky", timeline)
            .live_page()
            .document("/api/report", move || told.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let gateway = match &serve.token {
            Some(token) => gateway.token(token),
            None => gateway,
        };
        Ok(Live { gateway: gateway.serve(serve.listen)?, feed, host, report, pace })
    }

    /// Where a browser finds it.
    pub(crate) fn url(&self) -> String {
        self.gateway.url()
    }

    /// Runs the calls that came, before tick `tick` of a run that stands at `seconds`; gives the pace from now on.
    pub(crate) fn pace(&mut self, tick: u64, seconds: f64) -> &Clock {
        if self.host.run_calls(tick).is_empty() {
            return &self.pace;
        }
        let before = (self.pace.speed, self.pace.paused);
        let changed = self.host.update(|clock: &mut Clock| {
            if (clock.speed, clock.paused) != before {
                (clock.tick, clock.seconds) = (tick - 1, seconds);
            }
            Ok(clock.clone())
        });
        if let Ok(pace) = changed {
            self.pace = pace;
        }
        &self.pace
    }

    /// Shows the world after a tick that took so long.
    pub(crate) fn publish(&self, world: &mut World, took: Duration) {
        self.feed.record_tick(took);
        self.feed.publish(world);
    }

    pub(crate) fn report(&self, report: &Report) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report.to_json();
    }
}
