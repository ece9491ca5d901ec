//! A flood of connections does not reach the world: who watches it misses nothing.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peristyle_gateway::{Gateway, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use common::{Moving, Watcher, metric, open};

/// Attempts in all, and at a time.
const ATTEMPTS: usize = 10_000;
const AT_A_TIME: usize = 100;

/// One attempt; each kind wants something else.
async fn attempt(address: std::net::SocketAddr, kind: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request = match kind % 5 {
        0 => return Ok(()),
        1 => format!("GET /ws HTTP/1.1\r\nhost: x\r\norigin: http://evil.org\r\n{upgrade}\r\n"),
        2 => "\u{0}\u{1}\u{2} not http at all\r\n\r\n".to_owned(),
        3 => format!("GET /ws?topics=render.state HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n"),
        _ => "GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
    };
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 64];
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_misses_nothing_while_thousands_knock() {
    let mut moving = Moving::new(200);
    let feed = moving.feed();
    let limits = Limits { clients: 16, ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    moving.tick(&feed);
    let mut socket = open(address, "/ws?topics=render.state").await;
    let mut watcher = Watcher::default();
    watcher.until(&mut socket, 1).await;

    let next = Arc::new(AtomicUsize::new(0));
    let knocking: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let next = next.clone();
            tokio::spawn(async move {
                loop {
                    let kind = next.fetch_add(1, Ordering::Relaxed);
                    if kind >= ATTEMPTS {
                        return;
                    }
                    // A refusal is an answer, too.
                    let _ = attempt(address, kind).await;
                }
            })
        })
        .collect();
    let mut tick = 1;
    while !knocking.iter().all(tokio::task::JoinHandle::is_finished) {
        moving.tick(&feed);
        tick += 1;
        watcher.until(&mut socket, tick).await;
        assert_eq!(watcher.hash(), feed.hash());
    }
    for task in knocking {
        task.await.unwrap();
    }
    assert_eq!(watcher.snapshots, 1, "every tick came as a frame of its own");
    assert!(metric(address, r#"peristyle_refused_total{reason="origin"}"#).await > 0.0);
}
