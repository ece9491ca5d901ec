//! What a gateway refuses, with which status or close code, and that it counts it.

mod common;

use std::time::Duration;

use futures_util::SinkExt;
use peristyle_gateway::{Gateway, GatewayError, Grant, Limits, Modules};
use peristyle_mirror::{Host, HostOptions, State, SyncMode, module};
use peristyle_replica::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use common::{Moving, PATIENCE, Watcher, close_of, get, metric, next, open, open_with, raw, refusal, say};

const WORLD: &str = "/ws?topics=render.state";

#[derive(Clone, State)]
struct Secret {
    token: String,
}

#[module]
impl Secret {
    #[action]
    fn rotate(&mut self, token: String) {
        self.token = token;
    }
}

#[derive(Clone, State)]
struct Clock {
    paused: bool,
}

#[module]
impl Clock {
    #[action]
    fn pause(&mut self) -> bool {
        self.paused = true;
        true
    }
}

fn host() -> Host {
    let secret = Secret { token: "initial".into() };
    Host::builder().sync(SyncMode::Patch).module(secret).module(Clock { paused: false }).build().unwrap()
}

#[tokio::test]
async fn requests_without_a_place_get_a_status() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    assert_eq!(refusal(address, "/ws/nothing", &[]).await, 404);
    assert_eq!(refusal(address, "/ws?topics=nothing", &[]).await, 400);
    assert_eq!(refusal(address, "/ws?epoch=1", &[]).await, 400);
    assert_eq!(refusal(address, WORLD, &[("origin", "http://evil.org")]).await, 403);
    assert_eq!(refusal(address, WORLD, &[("sec-websocket-version", "8")]).await, 426);
    assert!(get(address, "/ws", "").await.starts_with("HTTP/1.1 426"));
    assert!(get(address, "/nothing", "").await.starts_with("HTTP/1.1 404"));
    assert!(open_with(address, WORLD, &[("origin", &format!("http://{address}"))]).await.is_ok());
    for (reason, count) in [("origin", 1.0), ("path", 2.0), ("query", 2.0), ("upgrade", 2.0)] {
        let sample = format!("peristyle_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(metric(address, &sample).await, count, "{reason}");
    }
}

#[tokio::test]
async fn a_token_opens_in_a_header_or_as_the_first_message() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    let gateway = Gateway::builder().world(&feed).token("right").serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    moving.tick(&feed);

    assert_eq!(refusal(address, WORLD, &[("authorization", "Bearer wrong")]).await, 401);
    let mut socket = open_with(address, WORLD, &[("authorization", "Bearer right")]).await.unwrap();
    Watcher::default().until(&mut socket, 1).await;

    let mut socket = open(address, WORLD).await;
    say(&mut socket, r#"{"type":"auth","token":"right"}"#).await;
    Watcher::default().until(&mut socket, 1).await;

    for first in [r#"{"type":"auth","token":"wrong"}"#, r#"{"type":"sync","id":1}"#, "{"] {
        let mut socket = open(address, WORLD).await;
        say(&mut socket, first).await;
        assert_eq!(close_of(&mut socket).await, (4401, "not authorised".into()), "{first}");
    }

    assert!(get(address, "/healthz", "").await.ends_with("\r\n\r\nok\n"));
    let refused = get(address, "/metrics", "").await;
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("www-authenticate: Bearer"), "{refused}");
    assert!(get(address, "/metrics", "authorization: Bearer right\r\n").await.contains("peristyle_clients "));
}

#[tokio::test]
async fn a_token_is_not_waited_for_for_ever() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    let limits = Limits { handshake: Duration::from_secs(1), ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).token("right").limits(limits).serve("127.0.0.1:0").unwrap();
    let mut silent = open(gateway.address(), WORLD).await;
    assert_eq!(close_of(&mut silent).await, (4401, "no token came".into()));
}

#[tokio::test]
async fn tokens_grant_topics_and_modules() {
    let mut moving = Moving::new(1);
    let (feed, host) = (moving.feed(), host());
    let guest =
        Grant { topics: vec![Topic::ProcessState], read: Modules::only(["clock"]), call: Modules::only(["clock"]) };
    let gateway = Gateway::builder().world(&feed).host(&host).token("chief").token_for("guest", guest);
    let gateway = gateway.serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    let guest = [("authorization", "Bearer guest")];

    let mut socket = open_with(address, "/ws?topics=process.state,render.state", &guest).await.unwrap();
    assert_eq!(close_of(&mut socket).await, (4403, "the token does not grant render.state".into()));

    let mut socket = open_with(address, "/ws", &guest).await.unwrap();
    say(&mut socket, r#"{"type":"call","id":1,"module":"secret","method":"rotate","args":["x"]}"#).await;
    say(&mut socket, r#"{"type":"call","id":2,"module":"clock","method":"pause","args":[]}"#).await;
    let mut told = Vec::new();
    while told.iter().filter(|text: &&String| text.contains(r#""result""#)).count() < 2 {
        told.push(next(&mut socket).await.into_text().unwrap().to_string());
    }
    let all = told.join("\n");
    assert!(all.contains("the token does not grant calls of module `secret`"), "{all}");
    assert!(all.contains(r#""id":2,"#) && all.contains(r#""value":true"#), "{all}");
    assert!(all.contains(r#""paused""#) && !all.contains("initial"), "state that it may not read: {all}");
    assert_eq!(host.read(|secret: &Secret| secret.token.clone()).unwrap(), "initial");

    let mut socket = open_with(address, "/ws", &[("authorization", "Bearer chief")]).await.unwrap();
    while !next(&mut socket).await.into_text().unwrap().contains("initial") {}
}

/// What a client of `/ws` is told until a text has a word.
async fn told_until(socket: &mut common::Socket, word: &str) -> String {
    let mut told = String::new();
    while !told.contains(word) {
        told += &next(socket).await.into_text().unwrap();
    }
    told
}

#[tokio::test]
async fn grants_hold_where_whole_states_are_sent_and_where_a_host_hides_modules() {
    let modules = || Host::builder().module(Secret { token: "initial".into() }).module(Clock { paused: false });
    let whole = modules().build().unwrap();
    let partial = modules().sync(SyncMode::Patch).sections(&["clock"]).build().unwrap();
    let guest = Grant { read: Modules::only(["clock"]), ..Grant::default() };
    let curious = Grant { read: Modules::only(["clock", "secret"]), ..Grant::default() };
    let gateway = Gateway::builder().host(&whole).named_host("partial", &partial);
    let gateway = gateway.token_for("guest", guest).token_for("curious", curious).serve("127.0.0.1:0").unwrap();
    let open = async |path, token| open_with(gateway.address(), path, &[("authorization", token)]).await.unwrap();

    let mut socket = open("/ws", "Bearer guest").await;
    let first = told_until(&mut socket, "clock").await;
    // What it may call it may still not read.
    say(&mut socket, r#"{"type":"call","id":1,"module":"secret","method":"rotate","args":["changed"]}"#).await;
    say(&mut socket, r#"{"type":"call","id":2,"module":"clock","method":"pause","args":[]}"#).await;
    let then = told_until(&mut socket, r#""id":2"#).await;
    assert_eq!(whole.read(|secret: &Secret| secret.token.clone()).unwrap(), "changed");
    assert!(!first.contains("initial") && !then.contains("changed"), "{first}\n{then}");
    assert!(then.contains(r#""state":{"clock":{"paused":true}}"#), "whole states, as the host sends them: {then}");

    let mut socket = open("/ws/partial", "Bearer curious").await;
    let first = told_until(&mut socket, "clock").await;
    assert!(!first.contains("initial"), "no token grants what the host does not publish: {first}");
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let options = HostOptions { calls_max: 2, ..HostOptions::default() };
    // Its calls wait for a tick.
    let host = Host::builder().queued_module(Clock { paused: false }).options(options).build().unwrap();
    let gateway = Gateway::builder().host(&host).serve("127.0.0.1:0").unwrap();
    let mut socket = open(gateway.address(), "/ws").await;
    for id in 1..=3 {
        say(&mut socket, &format!(r#"{{"type":"call","id":{id},"module":"clock","method":"pause","args":[]}}"#)).await;
    }
    let told = told_until(&mut socket, r#""id":3"#).await;
    assert!(told.contains("2 calls are in flight already"), "{told}");
    assert_eq!(host.run_calls(1).len(), 2);
    told_until(&mut socket, r#""id":2"#).await;
}

#[tokio::test]
async fn messages_without_a_meaning_end_the_connection_or_are_left_alone() {
    let mut moving = Moving::new(1);
    let (feed, host) = (moving.feed(), host());
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).host(&host).limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    for bytes in [&b""[..], b"\x09", b"\x01", b"\x01\xff\xff\xff", b"\x02x"] {
        let mut socket = open(address, WORLD).await;
        socket.send(Message::Binary(bytes.to_vec().into())).await.unwrap();
        assert_eq!(close_of(&mut socket).await.0, 4400, "{bytes:?}");
    }
    let mut socket = open(address, WORLD).await;
    socket.send(Message::Binary(vec![1; 1001].into())).await.unwrap();
    let (code, reason) = close_of(&mut socket).await;
    assert_eq!((code, reason.contains("1001 bytes")), (1009, true), "{reason}");
    // Text that is no message is the mirror's business: it is left alone.
    let mut socket = open(address, "/ws").await;
    say(&mut socket, "{\"type\":").await;
    say(&mut socket, r#"{"type":"call","id":1,"module":"clock","method":"pause","args":[]}"#).await;
    while !next(&mut socket).await.into_text().unwrap().contains("result") {}
    assert_eq!(metric(address, "peristyle_invalid_messages_total").await, 1.0);
    assert_eq!(metric(address, r#"peristyle_cut_total{reason="malformed"}"#).await, 5.0);
    assert_eq!(metric(address, r#"peristyle_cut_total{reason="oversized"}"#).await, 1.0);
}

#[tokio::test]
async fn who_talks_too_much_is_cut_off() {
    let host = host();
    let limits = Limits { messages_per_second: 1, ..Limits::default() };
    let gateway = Gateway::builder().host(&host).limits(limits).serve("127.0.0.1:0").unwrap();
    let mut socket = open(gateway.address(), "/ws").await;
    for id in 1..=8 {
        say(&mut socket, &format!(r#"{{"type":"sync","id":{id}}}"#)).await;
    }
    assert_eq!(close_of(&mut socket).await, (4429, "more than 1 messages a second".into()));
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_cut_off() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    // Who is awake answers one of the pings of two seconds; who is not is gone soon after he was told.
    let limits = Limits { idle: Duration::from_secs(2), goodbye: Duration::from_millis(50), ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    // One that answers pings stays; a half-open one, which answers nothing, goes.
    let mut alive = open(address, WORLD).await;
    let mut half_open = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {WORLD} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    half_open.write_all(request.as_bytes()).await.unwrap();
    let looking = async {
        let mut answer = Vec::new();
        half_open.read_to_end(&mut answer).await.unwrap();
        assert!(answer.windows(2).any(|code| code == 4408_u16.to_be_bytes()));
        assert_eq!(metric(address, r#"peristyle_cut_total{reason="idle"}"#).await, 1.0);
        // Its place is free a moment after its socket is shut.
        while gateway.clients() != 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let answering = async { while !matches!(next(&mut alive).await, Message::Close(_)) {} };
    tokio::select! {
        looked = timeout(PATIENCE, looking) => looked.expect("a half-open one goes"),
        () = answering => panic!("who answers pings was cut off"),
    }
}

#[tokio::test]
async fn places_are_bounded() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    let limits = Limits { clients: 2, sockets: 2, handshake: Duration::from_secs(2), ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    let first = open(address, WORLD).await;
    let _second = open(address, WORLD).await;
    assert_eq!(refusal(address, WORLD, &[]).await, 503);
    drop(first);
    let left = async {
        while gateway.clients() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, left).await.expect("who left gives its place back");
    let _third = open(address, WORLD).await;
    // Requests that never end hold a place, but not for long.
    let full = async {
        loop {
            let half = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
            let turned_away = raw(address, "GET /healthz HTTP/1.1\r\nconnection: close\r\nhost: x\r\n\r\n").await;
            if turned_away.starts_with("HTTP/1.1 503") {
                return half;
            }
        }
    };
    let half = timeout(PATIENCE, full).await.expect("there is no place for a third");
    for mut socket in half {
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
    }
    timeout(PATIENCE, async { while !get(address, "/healthz", "").await.ends_with("ok\n") {} }).await.expect("a place");
    assert!(metric(address, r#"peristyle_refused_total{reason="sockets"}"#).await >= 1.0);
}

#[tokio::test]
async fn an_address_has_its_share_of_places() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    let limits = Limits { per_address: 2, ..Limits::default() };
    let gateway = Gateway::builder().world(&feed).limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    // One that became a WebSocket, and one that says nothing.
    let watching = open(address, WORLD).await;
    let silent = TcpStream::connect(address).await.unwrap();
    assert!(get(address, "/healthz", "").await.starts_with("HTTP/1.1 429"));
    // Others have theirs.
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
    drop(silent);
    timeout(PATIENCE, async { while !get(address, "/healthz", "").await.ends_with("ok\n") {} }).await.expect("a place");
    assert!(metric(address, r#"peristyle_refused_total{reason="address"}"#).await >= 1.0);
    drop(watching);
}

#[tokio::test]
async fn requests_that_are_none_and_requests_that_never_end_are_counted() {
    let limits = Limits { handshake: Duration::from_secs(2), ..Limits::default() };
    let gateway = Gateway::builder().limits(limits).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    let answer = raw(address, "\u{0}\u{1} no request\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let _ = half.read_to_end(&mut Vec::new()).await;
    assert_eq!(metric(address, r#"peristyle_refused_total{reason="malformed"}"#).await, 1.0);
    assert_eq!(metric(address, r#"peristyle_refused_total{reason="timeout"}"#).await, 1.0);
}

#[tokio::test]
async fn nothing_above_a_directory_is_reached() {
    let root = std::env::temp_dir().join(format!("peristyle-gateway-{}", std::process::id()));
    std::fs::create_dir_all(root.join("public")).unwrap();
    std::fs::write(root.join("secret.txt"), "secret").unwrap();
    std::fs::write(root.join("public/page.html"), "<p>page").unwrap();
    let gateway = Gateway::builder().directory("/files/", root.join("public")).serve("127.0.0.1:0").unwrap();
    let address = gateway.address();
    let page = get(address, "/files/page.html", "").await;
    assert!(page.contains("text/html") && page.ends_with("<p>page"), "{page}");
    for header in ["cross-origin-opener-policy: same-origin", "cross-origin-embedder-policy: require-corp", "nosniff"] {
        assert!(page.contains(header), "{header} in {page}");
    }
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/..%2fsecret.txt",
        "/files//etc/passwd",
        "/../secret.txt",
    ] {
        let answer = get(address, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 40") && !answer.contains("secret\n"), "{path}: {answer}");
        assert!(!answer.ends_with("secret"), "{path}");
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn pages_need_not_be_isolated_and_documents_are_made_anew() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let report = move || format!("{{\"asked\":{}}}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let gateway =
        Gateway::builder().isolated(false).document("/api/report", report).page("/", "text/html", b"<p>hello");
    let gateway = gateway.serve("127.0.0.1:0").unwrap();
    let page = get(gateway.address(), "/", "").await;
    assert!(page.ends_with("<p>hello") && !page.contains("cross-origin"), "{page}");
    assert!(get(gateway.address(), "/api/report", "").await.ends_with("{\"asked\":0}"));
    let second = get(gateway.address(), "/api/report", "").await;
    assert!(second.contains("application/json") && second.ends_with("{\"asked\":1}"), "{second}");
    // A page whose name was made to point here is of the same origin as what it asks for.
    let rebound =
        raw(gateway.address(), "GET /api/report HTTP/1.1\r\nhost: evil.org\r\nconnection: close\r\n\r\n").await;
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
}

#[test]
fn what_cannot_be_served_is_told_at_once() {
    let mut moving = Moving::new(1);
    let feed = moving.feed();
    let error = |builder: peristyle_gateway::GatewayBuilder| builder.serve("127.0.0.1:0").unwrap_err().to_string();
    assert!(error(Gateway::builder().named_world("a/b", &feed)).contains("`a/b` is no name"));
    assert_eq!(error(Gateway::builder().world(&feed).world(&feed)), "two worlds are named `default`");
    assert_eq!(error(Gateway::builder().token("")), "a token must not be empty");
    assert_eq!(error(Gateway::builder().page("x", "", b"")), "cannot serve at `x`: a path starts with `/`");
    assert_eq!(
        error(Gateway::builder().document("/metrics", String::new)),
        "cannot serve at `/metrics`: the path is the gateway's own"
    );
    let twice = Gateway::builder().page("/a", "", b"").page("/a", "", b"");
    assert_eq!(error(twice), "cannot serve at `/a`: the path is taken");
    assert!(error(Gateway::builder().tls("nothing", "nothing")).starts_with("the certificate: "));
    let taken = Gateway::builder().serve("127.0.0.1:0").unwrap();
    let address = taken.address();
    let refused = Gateway::builder().serve(address).unwrap_err();
    assert!(
        matches!(&refused, GatewayError::Bind { .. }) && refused.to_string().contains(&address.to_string()),
        "{refused}"
    );
    assert!(matches!(Gateway::builder().serve("nowhere").unwrap_err(), GatewayError::Address(_)));
    assert!(matches!(Gateway::builder().serve("0.0.0.0:0").unwrap_err(), GatewayError::Exposed(_)));
    assert!(Gateway::builder().token("x").serve("0.0.0.0:0").is_ok());
    assert!(Gateway::builder().anonymous(Grant::read_only()).serve("0.0.0.0:0").is_ok());
}
