//! A world on the network: published by whoever runs it, followed by clients.
//!
//! The world's thread calls [`WorldFeed::publish`] between two ticks; the network's tasks take what was published. They
//! share a lock on the frames, never the world.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peristyle_replica::{
    Bytes, ConnectionId, Input, PublisherOptions, ReceiveError, ReplicaHost, Topic, ViewError, ViewSpec,
};
use peristyle_world::World;
use tokio::sync::{Notify, watch};

use crate::metrics::{FeedMetrics, FeedSample};

/// How often a world is published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Every {
    /// Every so many ticks; 0 is 1.
    Ticks(u64),
    /// So often a second at most, of real time.
    PerSecond(f64),
}

/// How a world is published.
#[derive(Debug, Clone)]
pub struct FeedOptions {
    /// How often. Every tick unless told.
    pub every: Every,
    /// What is kept for clients that fall behind or come back. The prefix is the feed's own.
    pub publisher: PublisherOptions,
    /// Tells this run of the world from others; the time of its start unless told.
    pub epoch: Option<u64>,
}

impl Default for FeedOptions {
    fn default() -> FeedOptions {
        FeedOptions { every: Every::Ticks(1), publisher: PublisherOptions::default(), epoch: None }
    }
}

/// A world that clients can follow. A handle: clones are the same feed.
#[derive(Clone)]
pub struct WorldFeed(Arc<Shared>);

struct Shared {
    host: Mutex<ReplicaHost>,
    pace: Mutex<Pace>,
    every: Every,
    /// Publications for which frames are kept when nobody follows.
    log_frames: usize,
    epoch: u64,
    /// The world's thread wakes one task; that one wakes all clients.
    published: Notify,
    news: watch::Sender<u64>,
    metrics: FeedMetrics,
}

/// When the last publication was.
struct Pace {
    tick: Option<u64>,
    at: Option<Instant>,
    /// Publications since somebody followed.
    unwatched: usize,
}

impl std::fmt::Debug for WorldFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorldFeed").field("epoch", &self.0.epoch).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorldFeed {
    /// Makes a world known to clients, as `spec` shows it.
    ///
    /// # Errors
    /// [`ViewError`]: what the spec and the world disagree on.
    pub fn new(world: &mut World, spec: ViewSpec, options: FeedOptions) -> Result<WorldFeed, ViewError> {
        let epoch = options.epoch.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            // Below 2^53: clients count in doubles.
            now.map_or(1, |now| now.as_micros() as u64 & ((1 << 53) - 1))
        });
        let publisher = PublisherOptions { prefix: vec![Topic::RenderState as u8], ..options.publisher };
        let log_frames = publisher.log_frames;
        let host = ReplicaHost::new(world, spec, publisher, epoch)?;
        Ok(WorldFeed(Arc::new(Shared {
            host: Mutex::new(host),
            pace: Mutex::new(Pace { tick: None, at: None, unwatched: 0 }),
            every: options.every,
            log_frames,
            epoch,
            published: Notify::new(),
            news: watch::Sender::new(0),
            metrics: FeedMetrics::default(),
        })))
    }

    /// Publishes the world as it stands, if it is time; tells whether it was. Call it after each tick, on the world's thread.
    ///
    /// A world that nobody has followed for as long as its log reaches back is not looked at.
    ///
    /// # Panics
    /// If the world is another than the feed was made of.
    pub fn publish(&self, world: &mut World) -> bool {
        let shared = &*self.0;
        shared.metrics.ticks.add(1);
        let now = Instant::now();
        let tick = world.tick();
        let mut pace = lock(&shared.pace);
        if !pace.is_due(shared.every, tick, now) {
            return false;
        }
        let mut host = lock(&shared.host);
        if host.connections() > 0 {
            pace.unwatched = 0;
        } else if pace.unwatched >= shared.log_frames {
            return false;
        } else {
            pace.unwatched += 1;
        }
        (pace.tick, pace.at) = (Some(tick), Some(now));
        host.publish(world, tick);
        shared.metrics.frame_bytes.add(host.publisher().last_bytes() as u64);
        drop(host);
        shared.metrics.publish.add(now.elapsed());
        shared.published.notify_one();
        true
    }

    /// Says how long a tick took, for those who watch the metrics.
    pub fn record_tick(&self, took: Duration) {
        self.0.metrics.tick.add(took);
    }

    /// Hands out what clients did since the last call, in order of connection and number. Call it at a tick's start; the
    /// next publication tells each client which of its inputs are in it.
    pub fn inputs(&self, take: impl FnMut(Input)) {
        lock(&self.0.host).inputs(take);
    }

    /// Clients that follow.
    pub fn clients(&self) -> usize {
        lock(&self.0.host).connections()
    }

    /// Tells this run of the world from others.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// A hash of what the view of everything last published, as frames may carry it.
    pub fn hash(&self) -> u64 {
        lock(&self.0.host).publisher().view().hash()
    }

    pub(crate) fn open(&self, resume: Option<u64>) -> ConnectionId {
        lock(&self.0.host).open(resume.map(|tick| (self.0.epoch, tick)))
    }

    pub(crate) fn close(&self, connection: ConnectionId) {
        lock(&self.0.host).close(connection);
    }

    pub(crate) fn receive(&self, connection: ConnectionId, message: &[u8]) -> Result<(), ReceiveError> {
        let received = lock(&self.0.host).receive(connection, message);
        if matches!(received, Err(ReceiveError::Flooded { .. })) {
            self.0.metrics.inputs_dropped.add(1);
            return Ok(());
        }
        received
    }

    pub(crate) fn take(&self, connection: ConnectionId) -> Option<Bytes> {
        lock(&self.0.host).take(connection)
    }

    /// Why a client is not shown the part that it asked for, once.
    pub(crate) fn refusal(&self, connection: ConnectionId) -> Option<ViewError> {
        lock(&self.0.host).refusal(connection)
    }

    /// Changes with each publication.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Wakes clients whenever the world was published; never ends.
    pub(crate) async fn spread(self) {
        loop {
            self.0.published.notified().await;
            self.0.news.send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn sample(&self) -> FeedSample {
        let host = lock(&self.0.host);
        self.0.metrics.sample(host.connections(), host.behind_most(), host.snapshots())
    }
}

impl Pace {
    fn is_due(&self, every: Every, tick: u64, now: Instant) -> bool {
        let Some(last) = self.tick else { return true };
        if tick <= last {
            return false;
        }
        match every {
            Every::Ticks(ticks) => tick - last >= ticks.max(1),
            Every::PerSecond(rate) => {
                let period = 1.0 / rate.max(1e-3);
                self.at.is_none_or(|at| now.saturating_duration_since(at).as_secs_f64() >= period)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_are_published_at_their_pace() {
        let start = Instant::now();
        let pace = |tick| Pace { tick: Some(tick), at: Some(start), unwatched: 0 };
        assert!(Pace { tick: None, at: None, unwatched: 0 }.is_due(Every::Ticks(9), 0, start));
        assert!(!pace(4).is_due(Every::Ticks(1), 4, start));
        assert!(pace(4).is_due(Every::Ticks(0), 5, start));
        assert!(!pace(4).is_due(Every::Ticks(3), 6, start));
        assert!(pace(4).is_due(Every::Ticks(3), 7, start));
        assert!(!pace(4).is_due(Every::PerSecond(20.0), 5, start + Duration::from_millis(40)));
        assert!(pace(4).is_due(Every::PerSecond(20.0), 5, start + Duration::from_millis(51)));
    }
}
