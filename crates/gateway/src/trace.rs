//! Timeline events for pages that draw them.
//!
//! A message of the topic `trace` is its byte (2) and a JSON object:
//!
//! ```text
//! { "lanes": 2, "now": microseconds, "spans": [[lane, kind, name, begin, duration, rows], ..] }
//! ```
//!
//! Times are microseconds since the process began to measure. `kind` is a word of [`peristyle_timeline::Kind`]. Spans of a
//! message ended after all those of the message before; a client that was away has missed some.

use peristyle_replica::Topic;
use peristyle_timeline::{Timeline, clock};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Bytes;

/// Time between two messages.
const PERIOD: Duration = Duration::from_millis(250);
/// Spans of a message; older ones are left out.
const SPANS_MAX: usize = 4096;

#[derive(Serialize)]
struct Message<'a> {
    lanes: usize,
    now: f64,
    spans: Vec<(usize, &'static str, &'a str, f64, f64, u32)>,
}

/// A timeline that clients can watch.
#[derive(Clone)]
pub(crate) struct TraceFeed {
    timeline: Timeline,
    news: Arc<watch::Sender<Bytes>>,
}

impl TraceFeed {
    pub(crate) fn new(timeline: Timeline) -> TraceFeed {
        TraceFeed { timeline, news: Arc::new(watch::Sender::new(Bytes::new())) }
    }

    pub(crate) fn news(&self) -> watch::Receiver<Bytes> {
        self.news.subscribe()
    }

    /// Tells watchers what happened, while there are some; never ends.
    pub(crate) async fn spread(self) {
        let mut seen = clock::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            if self.news.receiver_count() == 0 {
                seen = clock::now();
                continue;
            }
            if let Some(message) = self.message(&mut seen) {
                self.news.send_replace(message);
            }
        }
    }

    /// What ended since `seen`; nothing if nothing did.
    fn message(&self, seen: &mut u64) -> Option<Bytes> {
        let lanes = self.timeline.read();
        let us_per_tick = clock::ns_per_tick() / 1000.0;
        let mut spans: Vec<_> =
            lanes.iter().flat_map(|lane| lane.spans.iter().map(move |span| (lane.lane, span))).collect();
        spans.retain(|(_, span)| span.end > *seen);
        spans.sort_unstable_by_key(|(_, span)| span.end);
        let newest = spans.last()?.1.end;
        let skipped = spans.len().saturating_sub(SPANS_MAX);
        let names: Vec<_> =
            spans[skipped..].iter().map(|(_, span)| self.timeline.name_text(span.name).unwrap_or_default()).collect();
        let us = |ticks: u64| (ticks as f64 * us_per_tick * 10.0).round() / 10.0;
        let described = spans[skipped..].iter().zip(&names).map(|((lane, span), name)| {
            (*lane, span.kind.as_str(), &**name, us(span.start), us(span.end.saturating_sub(span.start)), span.rows)
        });
        let message = Message { lanes: self.timeline.lanes(), now: us(clock::now()), spans: described.collect() };
        *seen = newest;
        let mut bytes = vec![Topic::Trace as u8];
        serde_json::to_writer(&mut bytes, &message).ok()?;
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use peristyle_timeline::Kind;
    use serde_json::Value;

    use super::*;

    #[test]
    fn spans_are_told_once() {
        let timeline = Timeline::new(2, 64);
        let name = timeline.name("fly");
        timeline.set_enabled(true);
        let stamp = timeline.begin();
        timeline.end(1, Kind::System, name, stamp, 7, 0);
        let feed = TraceFeed::new(timeline.clone());
        let mut seen = 0;
        let message = feed.message(&mut seen).unwrap();
        assert_eq!(message[0], 2);
        let json: Value = serde_json::from_slice(&message[1..]).unwrap();
        assert_eq!(json["lanes"], 2);
        let span = &json["spans"][0];
        assert_eq!((&span[0], &span[1], &span[2], &span[5]), (&1.into(), &"system".into(), &"fly".into(), &7.into()));
        assert!(span[3].as_f64().unwrap() <= json["now"].as_f64().unwrap());
        assert_eq!(feed.message(&mut seen), None);
        let stamp = timeline.begin();
        timeline.end(0, Kind::Frame, name, stamp, 0, 0);
        let json: Value = serde_json::from_slice(&feed.message(&mut seen).unwrap()[1..]).unwrap();
        assert_eq!(json["spans"].as_array().unwrap().len(), 1);
    }
}
