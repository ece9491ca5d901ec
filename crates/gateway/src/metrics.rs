//! What a gateway counts, as text for Prometheus.
//!
//! The format is version 0.0.4 of Prometheus' text exposition: a line `# TYPE`, then a line for each sample.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peristyle_replica::Topic;

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Refusal {
    Origin,
    Token,
    Path,
    Query,
    Upgrade,
    Clients,
    Sockets,
    Address,
    Handshake,
    Timeout,
    Malformed,
    Count,
}

/// Why a client was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Cut {
    Slow,
    Idle,
    Rate,
    Oversized,
    Malformed,
    Token,
    Forbidden,
    Count,
}

const REFUSALS: [&str; Refusal::Count as usize] = [
    "origin",
    "token",
    "path",
    "query",
    "upgrade",
    "clients",
    "sockets",
    "address",
    "handshake",
    "timeout",
    "malformed",
];
const CUTS: [&str; Cut::Count as usize] = ["slow", "idle", "rate", "oversized", "malformed", "token", "forbidden"];
const TOPICS: [Topic; 3] = Topic::ALL;

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn subtract(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sum of durations and how many they were.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    count: Counter,
    ns: Counter,
}

impl Durations {
    pub(crate) fn add(&self, took: Duration) {
        self.count.add(1);
        self.ns.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    fn seconds(&self) -> f64 {
        self.ns.get() as f64 / 1e9
    }
}

/// Clients that are here, for who waits until they have left.
#[derive(Debug, Default)]
struct Clients {
    count: Mutex<usize>,
    left: Condvar,
}

fn lock(count: &Mutex<usize>) -> MutexGuard<'_, usize> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client's place, until it is dropped.
pub(crate) struct Place(Arc<Metrics>);

impl Drop for Place {
    fn drop(&mut self) {
        let Clients { count, left } = &self.0.clients;
        *lock(count) -= 1;
        left.notify_all();
    }
}

/// What the network counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: Instant,
    pub(crate) requests: Counter,
    clients: Clients,
    pub(crate) connected: Counter,
    sent_messages: [Counter; TOPICS.len()],
    sent_bytes: [Counter; TOPICS.len()],
    received_messages: Counter,
    received_bytes: Counter,
    pub(crate) invalid: Counter,
    pub(crate) queued_bytes: Counter,
    refused: [Counter; Refusal::Count as usize],
    cut: [Counter; Cut::Count as usize],
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            started: Instant::now(),
            requests: Counter::default(),
            clients: Clients::default(),
            connected: Counter::default(),
            sent_messages: Default::default(),
            sent_bytes: Default::default(),
            received_messages: Counter::default(),
            received_bytes: Counter::default(),
            invalid: Counter::default(),
            queued_bytes: Counter::default(),
            refused: Default::default(),
            cut: Default::default(),
        }
    }

    /// Takes a place for a client, if fewer than so many are there.
    pub(crate) fn enter(self: &Arc<Self>, max: usize) -> Option<Place> {
        let mut clients = lock(&self.clients.count);
        if *clients >= max {
            return None;
        }
        *clients += 1;
        drop(clients);
        self.connected.add(1);
        Some(Place(self.clone()))
    }

    pub(crate) fn clients(&self) -> usize {
        *lock(&self.clients.count)
    }

    /// Waits until all clients have left, but not longer than so long.
    pub(crate) fn wait_until_left(&self, longest: Duration) {
        let Clients { count, left } = &self.clients;
        // Who is poisoned is closing, too.
        drop(left.wait_timeout_while(lock(count), longest, |clients| *clients > 0));
    }

    pub(crate) fn refuse(&self, why: Refusal) {
        self.refused[why as usize].add(1);
    }

    pub(crate) fn cut(&self, why: Cut) {
        self.cut[why as usize].add(1);
    }

    pub(crate) fn sent(&self, topic: Topic, bytes: usize) {
        self.sent_messages[topic as usize].add(1);
        self.sent_bytes[topic as usize].add(bytes as u64);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_messages.add(1);
        self.received_bytes.add(bytes as u64);
    }

    pub(crate) fn queued(&self, bytes: usize) {
        self.queued_bytes.add(bytes as u64);
    }

    pub(crate) fn unqueued(&self, bytes: usize) {
        self.queued_bytes.subtract(bytes as u64);
    }

    /// Writes all of it.
    pub(crate) fn write(&self, page: &mut Page) {
        page.value("uptime_seconds", "gauge", self.started.elapsed().as_secs_f64());
        page.value("http_requests_total", "counter", self.requests.get() as f64);
        page.value("clients", "gauge", self.clients() as f64);
        page.value("clients_connected_total", "counter", self.connected.get() as f64);
        page.value("queued_bytes", "gauge", self.queued_bytes.get() as f64);
        page.value("received_messages_total", "counter", self.received_messages.get() as f64);
        page.value("received_bytes_total", "counter", self.received_bytes.get() as f64);
        page.value("invalid_messages_total", "counter", self.invalid.get() as f64);
        let by_topic = |counters: &[Counter; TOPICS.len()]| {
            TOPICS.map(|topic| (topic.name(), counters[topic as usize].get() as f64))
        };
        page.labelled("sent_messages_total", "counter", "topic", by_topic(&self.sent_messages));
        page.labelled("sent_bytes_total", "counter", "topic", by_topic(&self.sent_bytes));
        let refused = REFUSALS.iter().zip(&self.refused).map(|(name, count)| (*name, count.get() as f64));
        page.labelled("refused_total", "counter", "reason", refused);
        let cut = CUTS.iter().zip(&self.cut).map(|(name, count)| (*name, count.get() as f64));
        page.labelled("cut_total", "counter", "reason", cut);
    }
}

/// What one world's feed counts.
#[derive(Debug, Default)]
pub(crate) struct FeedMetrics {
    pub(crate) ticks: Counter,
    pub(crate) tick: Durations,
    pub(crate) publish: Durations,
    pub(crate) frame_bytes: Counter,
    pub(crate) inputs_dropped: Counter,
}

/// One world's samples at a moment.
pub(crate) struct FeedSample {
    pub(crate) ticks: u64,
    pub(crate) tick_seconds: (f64, u64),
    pub(crate) publish_seconds: (f64, u64),
    pub(crate) frame_bytes: u64,
    pub(crate) inputs_dropped: u64,
    pub(crate) connections: usize,
    pub(crate) behind: usize,
    pub(crate) snapshots: u64,
}

impl FeedMetrics {
    pub(crate) fn sample(&self, connections: usize, behind: usize, snapshots: u64) -> FeedSample {
        FeedSample {
            ticks: self.ticks.get(),
            tick_seconds: (self.tick.seconds(), self.tick.count()),
            publish_seconds: (self.publish.seconds(), self.publish.count()),
            frame_bytes: self.frame_bytes.get(),
            inputs_dropped: self.inputs_dropped.get(),
            connections,
            behind,
            snapshots,
        }
    }
}

/// Writes the samples of all worlds.
pub(crate) fn write_feeds(page: &mut Page, feeds: &[(String, FeedSample)]) {
    let of = |value: fn(&FeedSample) -> f64| feeds.iter().map(move |(name, sample)| (name.as_str(), value(sample)));
    page.labelled("world_ticks_total", "counter", "world", of(|sample| sample.ticks as f64));
    page.labelled("world_tick_seconds_sum", "counter", "world", of(|sample| sample.tick_seconds.0));
    page.labelled("world_tick_seconds_count", "counter", "world", of(|sample| sample.tick_seconds.1 as f64));
    page.labelled("world_publish_seconds_sum", "counter", "world", of(|sample| sample.publish_seconds.0));
    page.labelled("world_publish_seconds_count", "counter", "world", of(|sample| sample.publish_seconds.1 as f64));
    page.labelled("world_frame_bytes_total", "counter", "world", of(|sample| sample.frame_bytes as f64));
    page.labelled("world_clients", "gauge", "world", of(|sample| sample.connections as f64));
    page.labelled("world_frames_behind", "gauge", "world", of(|sample| sample.behind as f64));
    page.labelled("world_snapshots_total", "counter", "world", of(|sample| sample.snapshots as f64));
    page.labelled("world_inputs_dropped_total", "counter", "world", of(|sample| sample.inputs_dropped as f64));
}

/// A page of samples.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# TYPE peristyle_{name} {kind}");
    }

    fn value(&mut self, name: &str, kind: &str, value: f64) {
        self.head(name, kind);
        let _ = writeln!(self.0, "peristyle_{name} {value}");
    }

    pub(crate) fn labelled<'a>(
        &mut self,
        name: &str,
        kind: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind);
        for (of, value) in samples {
            // Names of worlds and hosts need no escapes.
            let _ = writeln!(self.0, "peristyle_{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}
