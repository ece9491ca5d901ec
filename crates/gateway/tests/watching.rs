//! What clients see of worlds and hosts.

mod common;

use std::sync::{Arc, Mutex};

use futures_util::SinkExt;
use peristyle_gateway::{Every, FeedOptions, Gateway, Limits};
use peristyle_mirror::transport::{WebSocket, WebSocketOptions};
use peristyle_mirror::{Client, ClientOptions, Host, State, SyncMode, module};
use peristyle_replica::{Interest, PublisherOptions, Request, Topic};
use peristyle_timeline::{Kind, Timeline};
use tokio_tungstenite::tungstenite::Message;

use common::{Moving, Watcher, close_of, next, open, say};

const WORLD: &str = "/ws?topics=render.state";

#[derive(Clone, State)]
struct Counter {
    count: i64,
}

#[module]
impl Counter {
    #[action]
    fn increase(&mut self, step: i64) -> i64 {
        self.count += step;
        self.count
    }
}

fn counter() -> Host {
    Host::builder().sync(SyncMode::Patch).module(Counter { count: 0 }).build().unwrap()
}

fn request(request: &Request) -> Message {
    let mut bytes = vec![Topic::RenderState as u8];
    request.encode(&mut bytes);
    Message::Binary(bytes.into())
}

#[tokio::test]
async fn clients_see_the_world_as_it_is_tick_by_tick() {
    let mut moving = Moving::new(3);
    let feed = moving.feed();
    let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0").unwrap();
    moving.tick(&feed);
    let mut sockets = [open(gateway.address(), WORLD).await, open(gateway.address(), WORLD).await];
    let mut watchers = [Watcher::default(), Watcher::default()];
    for tick in 1..20 {
        for (watcher, socket) in watchers.iter_mut().zip(&mut sockets) {
            watcher.until(socket, tick).await;
            assert_eq!(watcher.column("y"), [tick as f32; 3]);
            assert_eq!(watcher.column("x"), [0.0, 1.0, 2.0]);
            assert_eq!(watcher.hash(), feed.hash());
        }
        moving.tick(&feed);
    }
    assert!(watchers.iter().all(|watcher| (watcher.schemas, watcher.snapshots) == (1, 1)));
    assert!(watchers.iter().all(|watcher| watcher.epoch == Some(feed.epoch())));
    assert_eq!((gateway.clients(), feed.clients()), (2, 2));
}

#[tokio::test]
async fn a_client_that_returns_takes_what_it_missed() {
    let mut moving = Moving::new(3);
    let feed = moving.feed_with(FeedOptions {
        publisher: PublisherOptions { log_frames: 8, ..PublisherOptions::default() },
        ..FeedOptions::default()
    });
    let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0").unwrap();
    moving.tick(&feed);
    let mut watcher = Watcher::default();
    let mut socket = open(gateway.address(), WORLD).await;
    watcher.until(&mut socket, 1).await;
    drop(socket);
    for _ in 0..5 {
        moving.tick(&feed);
    }
    let epoch = watcher.epoch.unwrap();
    let mut socket = open(gateway.address(), &format!("{WORLD}&epoch={epoch}&tick=1")).await;
    watcher.until(&mut socket, 6).await;
    assert_eq!((watcher.schemas, watcher.snapshots), (1, 1), "frames, not a snapshot");
    assert_eq!(watcher.hash(), feed.hash());
    drop(socket);
    // Longer away than the log reaches back, while somebody else watches; and once from another run of the host.
    let mut other = Watcher::default();
    let mut watching = open(gateway.address(), WORLD).await;
    other.until(&mut watching, 6).await;
    for _ in 0..12 {
        moving.tick(&feed);
    }
    let mut socket = open(gateway.address(), &format!("{WORLD}&epoch={epoch}&tick=6")).await;
    watcher.until(&mut socket, 18).await;
    assert_eq!((watcher.schemas, watcher.snapshots), (1, 2));
    let mut socket = open(gateway.address(), &format!("{WORLD}&epoch={}&tick=18", epoch + 1)).await;
    let mut other = Watcher::default();
    other.until(&mut socket, 18).await;
    assert_eq!((other.schemas, other.snapshots), (1, 1));
}

#[tokio::test]
async fn state_calls_and_world_share_a_connection() {
    let mut moving = Moving::new(2);
    let (feed, host) = (moving.feed(), counter());
    let gateway = Gateway::builder().world(&feed).host(&host).serve("127.0.0.1:0").unwrap();
    moving.tick(&feed);
    let mut socket = open(gateway.address(), "/ws?topics=process.state,render.state").await;
    let mut watcher = Watcher::default();
    watcher.until(&mut socket, 1).await;
    assert_eq!(watcher.epoch, Some(host.epoch()), "the host says the epoch");
    say(&mut socket, r#"{"type":"call","id":1,"module":"counter","method":"increase","args":[5]}"#).await;
    let mut told = Vec::new();
    while !told.iter().any(|text: &String| text.contains("result")) {
        match next(&mut socket).await {
            Message::Text(text) => told.push(text.to_string()),
            message => watcher.take(message),
        }
    }
    assert!(told.iter().any(|text| text.contains(r#""value":5"#)), "{told:?}");
    // It goes on where it was, by the epoch that the host told.
    moving.tick(&feed);
    drop(socket);
    let epoch = host.epoch();
    let mut socket =
        open(gateway.address(), &format!("/ws?topics=process.state,render.state&epoch={epoch}&tick=1")).await;
    watcher.until(&mut socket, 2).await;
    assert_eq!((watcher.schemas, watcher.snapshots), (1, 1));
}

#[tokio::test]
async fn a_mirror_client_needs_to_know_nothing_of_worlds() {
    let mut moving = Moving::new(1);
    let (feed, host) = (moving.feed(), counter());
    let gateway = Gateway::builder().world(&feed).named_host("app", &host).serve("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws/app", gateway.address());
    let transport = WebSocket::connect(&url, WebSocketOptions::client()).await.unwrap();
    let client = Client::connect(transport, ClientOptions::default()).unwrap();
    client.ready().await.unwrap();
    assert_eq!(client.module::<Counter>().increase(3).await.unwrap(), 3);
    assert_eq!(host.read(|counter: &Counter| counter.count).unwrap(), 3);
}

#[tokio::test]
async fn clients_choose_a_part_and_say_what_they_do() {
    let mut moving = Moving::new(10);
    let feed = moving.feed();
    let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0").unwrap();
    moving.tick(&feed);
    let mut socket = open(gateway.address(), WORLD).await;
    let mut watcher = Watcher::default();
    watcher.until(&mut socket, 1).await;
    let part = Interest::on("Position").within("x", 2.0, 5.0);
    socket.send(request(&Request::Interest(Some(part)))).await.unwrap();
    socket.send(request(&Request::Input { number: 1, bytes: b"up".to_vec() })).await.unwrap();
    let inputs = Mutex::new(Vec::new());
    // Until both have arrived.
    while watcher.answered.is_none() || watcher.view.as_ref().unwrap().len() != 3 {
        feed.inputs(|input| inputs.lock().unwrap().push((input.number, input.bytes)));
        moving.tick(&feed);
        let tick = moving.world.tick();
        watcher.until(&mut socket, tick).await;
        if !inputs.lock().unwrap().is_empty() && watcher.answered.is_none() {
            watcher.take(next(&mut socket).await);
        }
    }
    assert_eq!(*inputs.lock().unwrap(), [(1, b"up".to_vec())]);
    assert_eq!(watcher.answered, Some(1));
    // A part that cannot be is refused in words.
    socket.send(request(&Request::Interest(Some(Interest::on("Nothing"))))).await.unwrap();
    let closing = async {
        loop {
            // Not `tick`: once nobody watches, nothing is published.
            moving.scatter(&feed);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = closing => unreachable!(),
        (code, reason) = close_of(&mut socket) => {
            assert_eq!(code, 4400);
            assert!(reason.contains("Nothing"), "{reason}");
        }
    }
}

#[tokio::test]
async fn who_does_not_read_goes_on_from_a_snapshot() {
    let mut moving = Moving::new(20_000);
    let feed = moving.feed_with(FeedOptions {
        publisher: PublisherOptions { log_frames: 4, ..PublisherOptions::default() },
        ..FeedOptions::default()
    });
    let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0").unwrap();
    moving.tick(&feed);
    let mut socket = open(gateway.address(), WORLD).await;
    let mut watcher = Watcher::default();
    watcher.until(&mut socket, 1).await;
    // Until the buffers of the system are full, and the log has gone on.
    while common::metric(gateway.address(), r#"peristyle_world_frames_behind{world="default"}"#).await <= 4.0 {
        moving.scatter(&feed);
    }
    let tick = moving.world.tick();
    watcher.until(&mut socket, tick).await;
    assert!(watcher.snapshots > 1);
    assert_eq!(watcher.hash(), feed.hash());
}

#[tokio::test]
async fn who_does_not_read_for_too_long_is_cut_off() {
    let mut moving = Moving::new(20_000);
    let feed = moving.feed();
    let [stall, goodbye] = [50, 20_000].map(std::time::Duration::from_millis);
    let limits = Limits { stall, goodbye, ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).limits(limits).serve("127.0.0.1:0").unwrap();
    let mut socket = open(gateway.address(), WORLD).await;
    while common::metric(gateway.address(), r#"peristyle_cut_total{reason="slow"}"#).await < 1.0 {
        moving.scatter(&feed);
    }
    // What was begun comes to its end, then it is told why.
    let (code, reason) = close_of(&mut socket).await;
    assert_eq!((code, reason.starts_with("too slow: ")), (4408, true), "{reason}");
    let left = async {
        while feed.clients() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, left).await.expect("who was cut off follows nothing");
}

#[tokio::test]
async fn the_timeline_is_told_to_who_asks() {
    let timeline = Timeline::new(1, 64);
    timeline.set_enabled(true);
    let name = timeline.name("fly");
    let gateway = Gateway::builder().timeline(&timeline).serve("127.0.0.1:0").unwrap();
    let mut socket = open(gateway.address(), "/ws?topics=trace").await;
    let recording = async {
        loop {
            let stamp = timeline.begin();
            timeline.end(0, Kind::System, name, stamp, 1, 0);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = recording => unreachable!(),
        message = next(&mut socket) => {
            let bytes = message.into_data();
            assert_eq!(bytes[0], Topic::Trace as u8);
            let json: serde_json::Value = serde_json::from_slice(&bytes[1..]).unwrap();
            assert_eq!(json["spans"][0][2], "fly");
        }
    }
}

#[tokio::test]
async fn a_world_that_nobody_follows_is_not_looked_at() {
    let mut moving = Moving::new(1);
    let feed = moving.feed_with(FeedOptions {
        publisher: PublisherOptions { log_frames: 2, ..PublisherOptions::default() },
        every: Every::Ticks(2),
        ..FeedOptions::default()
    });
    let mut step = || {
        moving.world.begin_tick().unwrap();
        moving.world.end_tick().unwrap();
        feed.publish(&mut moving.world)
    };
    let published: Vec<bool> = (0..8).map(|_| step()).collect();
    assert_eq!(published, [true, false, true, false, false, false, false, false]);
    let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0").unwrap();
    let mut socket = open(gateway.address(), WORLD).await;
    let _greeting = next(&mut socket).await;
    assert!(step() || step());
}

#[tokio::test]
async fn a_gateway_says_goodbye() {
    let mut moving = Moving::new(1);
    let (feed, host) = (moving.feed(), counter());
    let gateway = Gateway::builder().world(&feed).named_host("app", &host).page("/own", "text/html", b"goodbye's own");
    let gateway = gateway.serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    let mut watching = open(address, WORLD).await;
    let mut calling = open(address, "/ws/app").await;
    let _greetings = (next(&mut watching).await, next(&mut calling).await);
    host.dispose().unwrap();
    assert_eq!(close_of(&mut calling).await, (1001, "the host goes away".into()));
    let ended = tokio::task::spawn_blocking(move || gateway.shutdown());
    assert_eq!(close_of(&mut watching).await, (1001, "the gateway shuts down".into()));
    ended.await.unwrap();
    // Its port may be somebody else's by now, who has no such page.
    if let Ok(stream) = tokio::net::TcpStream::connect(address).await {
        let request = format!("GET /own HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let answer = tokio::time::timeout(common::PATIENCE, common::raw_over(stream, &request)).await;
        assert!(!answer.is_ok_and(|answer| answer.contains("goodbye's own")));
    }
    assert_eq!(feed.clients(), 0);
}

#[tokio::test]
async fn a_gateway_does_not_wait_for_tokens_when_it_ends() {
    let gateway = Gateway::builder().host(&counter()).token("x").serve("127.0.0.1:0").unwrap();
    let mut unknown = open(gateway.address(), "/ws").await;
    let ended = tokio::task::spawn_blocking(move || gateway.shutdown());
    assert_eq!(close_of(&mut unknown).await, (1001, "the gateway shuts down".into()));
    ended.await.unwrap();
}

#[tokio::test]
async fn large_and_small_messages_keep_their_order() {
    // Frames of 20 000 scattered rows go from where they lie, those of three rows, answers and states by the buffer.
    let mut moving = Moving::new(20_000);
    let (feed, host) = (moving.feed(), counter());
    let gateway = Gateway::builder().world(&feed).host(&host).serve("127.0.0.1:0").unwrap();
    let mut socket = open(gateway.address(), "/ws?topics=process.state,render.state").await;
    let mut watcher = Watcher::default();
    let mut counts = Vec::new();
    for call in 1..=20 {
        if call % 2 == 0 {
            moving.scatter(&feed);
        } else {
            moving.nudge(&feed);
        }
        say(
            &mut socket,
            &format!(r#"{{"type":"call","id":{call},"module":"counter","method":"increase","args":[1]}}"#),
        )
        .await;
        let tick = moving.world.tick();
        while watcher.view.as_ref().and_then(|view| view.tick()) != Some(tick) || counts.len() < call {
            match next(&mut socket).await {
                Message::Text(text) if text.contains(r#""result""#) => {
                    let message: serde_json::Value = serde_json::from_str(&text).unwrap();
                    counts.push(message["value"].as_u64().unwrap() as usize);
                }
                Message::Text(_) => {}
                message => watcher.take(message),
            }
        }
        assert_eq!(watcher.hash(), feed.hash());
    }
    assert_eq!(counts, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_gateway_may_be_dropped_anywhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = Arc::new(Gateway::builder().serve("127.0.0.1:0").unwrap());
    runtime.block_on(async move { drop(gateway) });
}
