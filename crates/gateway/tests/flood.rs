//! A flood of connections does not reach the world: it ticks as before, and who watches it misses nothing.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use peristyle_gateway::{Gateway, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use common::{Moving, Watcher, metric, open};

/// Attempts in all, and at a time.
const ATTEMPTS: usize = 10_000;
const AT_A_TIME: usize = 100;
/// Time between two ticks of the world.
const PERIOD: Duration = Duration::from_millis(20);

/// One attempt; each kind wants something else.
async fn attempt(address: SocketAddr, kind: usize) -> std::io::Result<()> {
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
async fn a_world_keeps_its_pace_and_its_watchers_while_thousands_knock() {
    let mut moving = Moving::new(200);
    let feed = moving.feed();
    let limits = Limits { clients: 16, ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    moving.tick(&feed);
    let mut socket = open(address, "/ws?topics=render.state").await;
    let mut watcher = Watcher::default();
    watcher.until(&mut socket, 1).await;

    let is_over = Arc::new(AtomicBool::new(false));
    let world = {
        let (feed, is_over) = (feed.clone(), is_over.clone());
        std::thread::spawn(move || {
            let began = Instant::now();
            let mut ticks = 0;
            while !is_over.load(Ordering::Relaxed) {
                moving.tick(&feed);
                ticks += 1;
                std::thread::sleep((began + PERIOD * ticks).saturating_duration_since(Instant::now()));
            }
            (ticks, began.elapsed())
        })
    };
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
    // Frame by frame: a view takes none that does not follow the one before.
    let mut tick = 1;
    while !knocking.iter().all(tokio::task::JoinHandle::is_finished) {
        tick += 1;
        watcher.until(&mut socket, tick).await;
    }
    for task in knocking {
        task.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let (ticks, took) = world.join().unwrap();
    watcher.until(&mut socket, 1 + u64::from(ticks)).await;
    assert_eq!((watcher.hash(), watcher.column("y")[0]), (feed.hash(), (1 + ticks) as f32));
    assert_eq!(watcher.snapshots, 1, "every tick came as a frame of its own");
    // A world that a flood could hold up would stand still for all of it: half of its ticks is far from either.
    let due = took.as_secs_f64() / PERIOD.as_secs_f64();
    assert!(f64::from(ticks) > due / 2.0, "{ticks} ticks, where {due:.0} were due");
    for reason in ["origin", "path", "malformed"] {
        let sample = format!("peristyle_refused_total{{reason=\"{reason}\"}}");
        assert!(metric(address, &sample).await > 0.0, "{reason}");
    }
}
