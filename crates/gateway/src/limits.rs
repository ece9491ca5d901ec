//! Bounds of what clients may take.

use std::time::Duration;

use peristyle_mirror::MESSAGE_BYTES_MAX;

/// Bounds of a gateway. What exceeds one is refused, or cut off with a reason, and counted.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once that are no WebSocket, or not yet. 1 024 unless told.
    pub sockets: usize,
    /// WebSocket clients at once. 2 048 unless told.
    pub clients: usize,
    /// Connections at once that come from one address (with IPv6: from one network of 64 bits), clients included. 1 024
    /// unless told. Behind a proxy all come from the proxy's.
    pub per_address: usize,
    /// Bytes of a message that a client sends. 1 MiB unless told.
    pub message_bytes: usize,
    /// Messages a second that a client sends, over some seconds. 1 000 unless told.
    pub messages_per_second: u32,
    /// Bytes of text that wait for a client before its host is told to hold back. 1 MiB unless told.
    pub queue_bytes: usize,
    /// How long a client may take nothing of what it is sent before it is cut off. A slow one that goes on reading stays,
    /// however long a message takes. 15 s unless told.
    pub stall: Duration,
    /// How long a client may be silent, pings unanswered included. 45 s unless told; pings go out three times as often.
    pub idle: Duration,
    /// How long a client may take to send its request, and its token. 10 s unless told.
    pub handshake: Duration,
    /// How long a client that is told why it is cut off may take to hear it, and how long a gateway that shuts down waits
    /// for its clients to go. 2 s unless told.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sockets: 1024,
            clients: 2048,
            per_address: 1024,
            message_bytes: MESSAGE_BYTES_MAX,
            messages_per_second: 1000,
            queue_bytes: 1 << 20,
            stall: Duration::from_secs(15),
            idle: Duration::from_secs(45),
            handshake: Duration::from_secs(10),
            goodbye: Duration::from_secs(2),
        }
    }
}

/// A bucket that fills at a rate and holds four seconds of it.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: f64,
    left: f64,
    since: std::time::Instant,
}

impl Rate {
    /// Messages that may come at once, in seconds of the rate.
    const BURST_SECONDS: f64 = 4.0;

    pub(crate) fn new(per_second: u32, now: std::time::Instant) -> Rate {
        let per_second = f64::from(per_second.max(1));
        Rate { per_second, left: per_second * Rate::BURST_SECONDS, since: now }
    }

    /// Takes one; `false` if there is none.
    pub(crate) fn take(&mut self, now: std::time::Instant) -> bool {
        let gained = now.saturating_duration_since(self.since).as_secs_f64() * self.per_second;
        self.left = (self.left + gained).min(self.per_second * Rate::BURST_SECONDS);
        self.since = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_rate_allows_a_burst_and_then_its_pace() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        assert_eq!((0..100).filter(|_| rate.take(start)).count(), 40);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| rate.take(later)).count(), 5);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| rate.take(much_later)).count(), 40);
    }
}
