//! Each transport with a host and a client over it, and what happens when it fails.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use peristyle_mirror::{
    CallError, Client, ClientOptions, Failure, Frame, Host, HostOptions, Invalid, Live, Message, Receiver, State,
    SyncMode, Transport, TransportError, Value, block_on, module, parse_json, sleep,
    transport::{Broadcast, BroadcastHub, BroadcastOptions, memory_pair},
};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, State)]
struct Counter {
    count: u64,
    text: String,
}

#[module]
impl Counter {
    #[action]
    fn increase(&mut self, step: u64) -> u64 {
        self.count += step;
        self.count
    }

    #[action]
    fn panic(&mut self) {
        self.count += 1;
        panic!("no way");
    }

    #[action]
    async fn never(_this: Live<Self>) -> Result<(), Failure> {
        std::future::pending().await
    }

    #[action]
    async fn panic_later(this: Live<Self>) -> Result<(), Failure> {
        sleep(Duration::from_millis(1)).await;
        this.update(|counter| {
            counter.count += 1;
            panic!("not even later")
        })
    }
}

fn host() -> Host {
    host_with(HostOptions::default())
}

fn host_with(options: HostOptions) -> Host {
    let counter = Counter { count: 0, text: String::new() };
    Host::builder().sync(SyncMode::Patch).options(options).module(counter).build().unwrap()
}

fn add(host: &Host, step: u64) {
    let add = |counter: &mut Counter| {
        counter.count += step;
        Ok::<_, Failure>(())
    };
    host.update(add).unwrap();
}

fn count(client: &Client) -> u64 {
    client.select(|state| state.get("counter").and_then(|counter| counter.get("count")?.as_i64())).unwrap().unwrap()
        as u64
}

/// A client's life over any transport.
fn check(host: &Host, client: &Client) {
    block_on(client.ready()).unwrap();
    let counter = client.module::<Counter>();
    let before = count(client);
    assert_eq!(block_on(counter.increase(2)).unwrap(), before + 2);
    assert_eq!(count(client), before + 2);
    assert_eq!(Some(host.state().0), client.state());
    let error = block_on(counter.panic()).unwrap_err();
    assert_eq!((error.name(), error.to_string()), ("Error", "Remote worker error: no way".into()));
    let error = block_on(counter.panic_later()).unwrap_err();
    assert_eq!(error.to_string(), "Remote worker error: not even later");
    assert_eq!(block_on(counter.increase(1)).unwrap(), before + 3);
}

/// A receiver that keeps what it hears.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<Result<Value, Invalid>>>,
    closed: Mutex<Option<TransportError>>,
    changed: Condvar,
}

impl Receiver for Ear {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        self.heard.lock().unwrap().push(received.map(|frame| parse_json(frame.text()).unwrap()));
        self.changed.notify_all();
    }

    fn closed(self: Arc<Self>, error: &TransportError) {
        *self.closed.lock().unwrap() = Some(error.clone());
        self.changed.notify_all();
    }
}

impl Ear {
    #[cfg(any(feature = "sockets", feature = "websocket"))]
    fn until_closed(&self) -> TransportError {
        let closed = self.closed.lock().unwrap();
        let (closed, _) = self.changed.wait_timeout_while(closed, PATIENCE, |closed| closed.is_none()).unwrap();
        closed.clone().expect("the transport closes")
    }

    fn take(&self, count: usize) -> Vec<Result<Value, Invalid>> {
        let heard = self.heard.lock().unwrap();
        let (mut heard, _) = self.changed.wait_timeout_while(heard, PATIENCE, |heard| heard.len() < count).unwrap();
        std::mem::take(&mut *heard)
    }
}

fn message(text: &str) -> Arc<Frame> {
    Frame::new(Message::parse(text, 1 << 20).unwrap())
}

#[test]
fn memory() {
    let host = host();
    let (near, far) = memory_pair();
    host.connect(near).unwrap();
    let client = Client::connect(far, ClientOptions::default()).unwrap();
    check(&host, &client);
    // A host that ends is heard of, by calls as by those to come.
    let pending = client.module::<Counter>().never();
    host.dispose().unwrap();
    assert_eq!(block_on(pending), Err(CallError::Transport(TransportError::Closed)));
    assert!(matches!(block_on(client.module::<Counter>().increase(1)), Err(CallError::Transport(_))));
    assert_eq!(count(&client), 3);
}

#[test]
fn a_receiver_that_panics_harms_nobody() {
    struct Panics;
    impl Receiver for Panics {
        fn receive(self: Arc<Self>, _: Result<Arc<Frame>, Invalid>) {
            panic!("a receiver's own fault");
        }
        fn closed(self: Arc<Self>, _: &TransportError) {}
    }
    let (near, far) = memory_pair();
    far.subscribe(Arc::new(Panics)).unwrap();
    assert_eq!(near.post(&message(r#"{"type":"ready"}"#)), Ok(()));
    assert_eq!(far.subscribe(Arc::new(Panics)), Err(TransportError::Subscribed));
}

#[test]
fn observers_that_panic_harm_nobody() {
    let host = host();
    let (near, far) = memory_pair();
    host.connect(near).unwrap();
    let client = Client::connect(far, ClientOptions::default()).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let counter = told.clone();
    client.subscribe(|_, _| panic!("a listener's own fault")).forget();
    client.watch(|_| -> u8 { panic!("a selector's own fault") }, |_, _| ()).forget();
    let count = |state: &Value| state.get("counter").and_then(|counter| counter.get("count")).cloned();
    client.watch(count, |_, _| panic!("a watch's own fault")).forget();
    let last = client.watch(count, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    check(&host, &client);
    assert_eq!(told.load(Ordering::Relaxed), 2);
    drop(last);
    add(&host, 1);
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[test]
fn calls_time_out_and_are_aborted() {
    let host = host();
    let (near, far) = memory_pair();
    host.connect(near).unwrap();
    let options = ClientOptions { request_timeout: Some(Duration::from_millis(5)), ..ClientOptions::default() };
    let client = Client::connect(far, options).unwrap();
    let error = block_on(client.module::<Counter>().never()).unwrap_err();
    assert_eq!(error.to_string(), "Worker call timed out after 5ms.");
    let abort = peristyle_mirror::Abort::default();
    let options = peristyle_mirror::CallOptions { timeout: None, abort: Some(abort.clone()) };
    let call = client.call_with::<Value>("counter", "never", (), options);
    std::thread::spawn(move || abort.abort());
    assert_eq!(block_on(call), Err(CallError::Aborted));
}

#[test]
fn more_calls_than_allowed_are_refused() {
    let host = host_with(HostOptions { calls_max: 3, ..HostOptions::default() });
    let (near, far) = memory_pair();
    host.connect(near).unwrap();
    let client = Client::connect(far, ClientOptions::default()).unwrap();
    let counter = client.module::<Counter>();
    let pending: Vec<_> = (0..3).map(|_| counter.never()).collect();
    let error = block_on(counter.increase(1)).unwrap_err();
    assert_eq!(error.to_string(), "Remote worker error: 3 calls are in flight already");
    // Others are not concerned.
    let (near, far) = memory_pair();
    host.connect(near).unwrap();
    check(&host, &Client::connect(far, ClientOptions::default()).unwrap());
    drop(pending);
}

#[test]
fn queued_calls_run_in_order_of_connection_and_carry_the_tick() {
    let counter = Counter { count: 0, text: String::new() };
    let host = Host::builder().sync(SyncMode::Patch).queued_module(counter).build().unwrap();
    let ears: Vec<_> = (0..2)
        .map(|_| {
            let (near, far) = memory_pair();
            host.connect(near).unwrap();
            let ear = Arc::new(Ear::default());
            far.subscribe(ear.clone()).unwrap();
            ear.take(2);
            (far, ear)
        })
        .collect();
    let call =
        |id: u32| message(&format!(r#"{{"type":"call","id":{id},"module":"counter","method":"increase","args":[1]}}"#));
    for (connection, id) in [(1, 1), (0, 1), (1, 2), (0, 2)] {
        ears[connection].0.post(&call(id)).unwrap();
    }
    assert!(ears.iter().all(|(_, ear)| ear.take(0).is_empty()));
    let ran = host.run_calls(7);
    assert_eq!(
        ran.iter().map(|ran| (ran.connection, ran.call.id)).collect::<Vec<_>>(),
        [(0, 1), (0, 2), (1, 1), (1, 2)]
    );
    let results: Vec<_> =
        ears[0].1.take(6).into_iter().flatten().filter(|message| message.get("id").is_some()).collect();
    assert_eq!(results[1].to_json(), r#"{"id":2,"stateVersion":2,"tick":7,"type":"result","value":2}"#);
    assert!(host.run_calls(8).is_empty());
}

#[test]
fn broadcast() {
    let hub = BroadcastHub::new();
    let peer = |name: &str, target: Option<&str>, token: Option<&str>| {
        let options = BroadcastOptions {
            peer_id: Some(name.into()),
            target_peer_id: target.map(str::to_owned),
            auth_token: token.map(str::to_owned),
            ..BroadcastOptions::default()
        };
        Broadcast::new(&hub, options)
    };
    let host = host();
    host.connect(peer("host", None, Some("secret"))).unwrap();
    let join =
        |name: &str| Client::connect(peer(name, Some("host"), Some("secret")), ClientOptions::default()).unwrap();
    let first = join("a");
    // It came after the first snapshot, and asks when it hears of a change.
    add(&host, 5);
    check(&host, &first);
    let second = join("b");
    add(&host, 1);
    check(&host, &second);
    // Without the token a call goes unheard.
    let stranger = Client::connect(peer("c", Some("host"), None), ClientOptions::default()).unwrap();
    let call = stranger.call_with::<u64>(
        "counter",
        "increase",
        (100,),
        peristyle_mirror::CallOptions { timeout: Some(Duration::from_millis(5)), abort: None },
    );
    assert!(matches!(block_on(call), Err(CallError::TimedOut(_))));
    assert_eq!(count(&first), count(&second));
}

#[test]
fn broadcast_answers_go_to_who_asked() {
    let hub = BroadcastHub::new();
    let host = host();
    host.connect(Broadcast::new(
        &hub,
        BroadcastOptions { peer_id: Some("host".into()), ..BroadcastOptions::default() },
    ))
    .unwrap();
    let ears = ["a", "b"].map(|name| {
        let options = BroadcastOptions { peer_id: Some(name.into()), ..BroadcastOptions::default() };
        let end = Broadcast::new(&hub, options);
        let ear = Arc::new(Ear::default());
        end.subscribe(ear.clone()).unwrap();
        (end, ear)
    });
    ears[0].0.post(&message(r#"{"type":"sync","id":41}"#)).unwrap();
    let state = ears[0].1.take(1).remove(0).unwrap();
    assert_eq!(state.get("syncId"), None);
    // The other peer heard the question, and nothing of the answer.
    assert_eq!(ears[1].1.take(0).len(), 1);
    ears[1].0.post(&message(r#"{"type":"call","id":41,"module":"counter","method":"increase","args":[1]}"#)).unwrap();
    let heard: Vec<_> = ears[1].1.take(2).into_iter().map(Result::unwrap).collect();
    assert_eq!(heard[1].to_json(), r#"{"id":41,"stateVersion":1,"type":"result","value":1}"#);
    assert_eq!(ears[0].1.take(0).len(), 2);
    // From other contexts, envelopes come as text.
    hub.inject(r#"{"type":"cosystem:worker","channel":"cosystem:worker","source":"x","target":"a","message":{"type":"ready"}}"#);
    assert_eq!(ears[0].1.take(0).len(), 1);
    assert_eq!(ears[1].1.take(0).len(), 0);
    hub.inject(
        r#"{"type":"cosystem:worker","channel":"cosystem:worker","source":"x","target":"a","message":{"type":"huh"}}"#,
    );
    assert_eq!(ears[0].1.take(0), [Err(Invalid::UnknownType)]);
    for text in [
        "5",
        "no json",
        r#"{"type":"other","channel":"cosystem:worker","source":"x","message":{"type":"ready"}}"#,
        r#"{"type":"cosystem:worker","channel":"other","source":"x","message":{"type":"ready"}}"#,
        r#"{"type":"cosystem:worker","channel":"cosystem:worker","source":"a","target":"a","message":{"type":"ready"}}"#,
    ] {
        hub.inject(text);
        assert_eq!(ears[0].1.take(0), [], "{text}");
    }
}

#[test]
fn a_client_that_does_not_read_gets_a_snapshot_instead_of_what_waits() {
    /// Takes nothing until it is opened.
    #[derive(Default)]
    struct Gate {
        taken: Mutex<Vec<Value>>,
        is_open: AtomicUsize,
        receiver: Mutex<Option<Arc<dyn Receiver>>>,
    }
    impl Transport for Gate {
        fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
            if self.is_open.load(Ordering::Relaxed) == 0 {
                return Err(TransportError::Full);
            }
            self.taken.lock().unwrap().push(parse_json(frame.text()).unwrap());
            Ok(())
        }
        fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
            *self.receiver.lock().unwrap() = Some(receiver);
            Ok(())
        }
        fn unsubscribe(&self) -> Result<(), TransportError> {
            Ok(())
        }
    }
    let host = host_with(HostOptions { outbox_max: 10, extensions: false, ..HostOptions::default() });
    let gate = Arc::new(Gate::default());
    host.connect(gate.clone()).unwrap();
    (0..1000).for_each(|_| add(&host, 1));
    let receiver = gate.receiver.lock().unwrap().clone().unwrap();
    let call = r#"{"type":"call","id":1,"module":"counter","method":"increase","args":[1]}"#;
    receiver.clone().receive(Ok(message(call)));
    gate.is_open.store(1, Ordering::Relaxed);
    receiver.writable();
    let taken = std::mem::take(&mut *gate.taken.lock().unwrap());
    let told: Vec<String> = taken.iter().map(Value::to_json).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], r#"{"type":"ready"}"#);
    assert_eq!(
        told[1],
        r#"{"state":{"counter":{"count":1001,"text":""}},"sync":"snapshot","type":"state","version":1001}"#
    );
    assert_eq!(told[2], r#"{"id":1,"stateVersion":1001,"type":"result","value":1001}"#);
    add(&host, 1);
    assert_eq!(gate.taken.lock().unwrap()[0].get("version"), Some(&Value::from(1002)));
}

#[test]
fn a_change_that_could_not_be_posted_is_made_up_for() {
    /// Loses one message.
    struct Breaks(Mutex<Vec<Value>>, AtomicUsize);
    impl Transport for Breaks {
        fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
            if self.1.fetch_add(1, Ordering::Relaxed) == 2 {
                return Err(TransportError::Io("broken".into()));
            }
            self.0.lock().unwrap().push(parse_json(frame.text()).unwrap());
            Ok(())
        }
        fn subscribe(&self, _: Arc<dyn Receiver>) -> Result<(), TransportError> {
            Ok(())
        }
        fn unsubscribe(&self) -> Result<(), TransportError> {
            Ok(())
        }
    }
    let host = host();
    let end = Arc::new(Breaks(Mutex::default(), AtomicUsize::new(0)));
    host.connect(end.clone()).unwrap();
    add(&host, 1);
    add(&host, 1);
    let versions = |taken: &[Value]| -> Vec<(String, i64)> {
        let states = taken.iter().filter(|message| message.get("version").is_some());
        states
            .map(|state| (state.get("sync").unwrap().to_json(), state.get("version").unwrap().as_i64().unwrap()))
            .collect()
    };
    let expected = [("\"snapshot\"".to_owned(), 0), ("\"snapshot\"".to_owned(), 1), ("\"patch\"".to_owned(), 2)];
    assert_eq!(versions(&end.0.lock().unwrap()), expected);
}

#[test]
fn failures_of_ending_are_all_told() {
    struct Stays;
    impl Transport for Stays {
        fn post(&self, _: &Arc<Frame>) -> Result<(), TransportError> {
            Ok(())
        }
        fn subscribe(&self, _: Arc<dyn Receiver>) -> Result<(), TransportError> {
            Ok(())
        }
        fn unsubscribe(&self) -> Result<(), TransportError> {
            Err(TransportError::Io("stays".into()))
        }
    }
    let counter = Counter { count: 0, text: String::new() };
    let builder = Host::builder().module(counter).on_dispose(|| Err("will not end".into()));
    let host = builder.serve(Stays).unwrap();
    let error = host.dispose().unwrap_err();
    assert_eq!(error.to_string(), "Worker host disposal failed: stays; will not end");
    assert_eq!(host.dispose(), Err(error));
    assert!(host.connect(Stays).is_err());
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| add(&host, 1))).unwrap_err();
}

#[cfg(feature = "sockets")]
mod sockets {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use peristyle_mirror::transport::{Stream, StreamOptions};

    use super::*;

    fn tcp() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn tcp_streams() {
        let host = host();
        let (near, far) = tcp();
        host.connect(Stream::tcp(near, StreamOptions::host()).unwrap()).unwrap();
        let client =
            Client::connect(Stream::tcp(far, StreamOptions::client()).unwrap(), ClientOptions::default()).unwrap();
        check(&host, &client);
        let pending = client.module::<Counter>().never();
        host.dispose().unwrap();
        assert!(matches!(block_on(pending), Err(CallError::Transport(_))));
    }

    #[cfg(unix)]
    #[test]
    fn unix_streams() {
        let host = host();
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        host.connect(Stream::unix(near, StreamOptions::host()).unwrap()).unwrap();
        let client =
            Client::connect(Stream::unix(far, StreamOptions::client()).unwrap(), ClientOptions::default()).unwrap();
        check(&host, &client);
    }

    #[test]
    fn what_a_peer_sends_is_bounded_and_its_end_is_told() {
        let (near, mut far) = tcp();
        let options = StreamOptions { message_bytes_max: 100, ..StreamOptions::host() };
        let end = Stream::tcp(near, options).unwrap();
        let ear = Arc::new(Ear::default());
        end.subscribe(ear.clone()).unwrap();
        let frame = |text: &[u8]| [&(text.len() as u32).to_le_bytes(), text].concat();
        far.write_all(&frame(&[b' '; 101])).unwrap();
        far.write_all(&frame(b"\xff")).unwrap();
        far.write_all(&frame(br#"{"type":"ready"}"#)).unwrap();
        let heard = ear.take(3);
        assert_eq!(heard[0], Err(Invalid::TooLarge { bytes: 101, max: 100 }));
        assert_eq!(heard[1], Err(Invalid::NotText));
        assert!(heard[2].is_ok());
        // It goes in the middle of a message that claims to be large.
        far.write_all(&[100, 0, 0, 0, b'{']).unwrap();
        drop(far);
        assert!(matches!(ear.until_closed(), TransportError::Io(_)));
        assert!(end.post(&message(r#"{"type":"ready"}"#)).is_err());
    }

    #[test]
    fn a_socket_that_is_not_read_costs_bounded_memory_and_catches_up() {
        let host = host();
        let (near, mut far) = tcp();
        let options = StreamOptions { send_bytes_max: 1 << 16, ..StreamOptions::host() };
        host.connect(Stream::tcp(near, options).unwrap()).unwrap();
        let (other_near, other_far) = memory_pair();
        host.connect(other_near).unwrap();
        let other = Client::connect(other_far, ClientOptions::default()).unwrap();
        const CHANGES: u64 = 3_000;
        for n in 0..CHANGES {
            let change = |counter: &mut Counter| {
                counter.text = format!("{n}").repeat(1 << 10);
                Ok::<_, Failure>(())
            };
            host.update(change).unwrap();
        }
        assert_eq!(other.version(), CHANGES);
        // All that waited is a few messages; the last of them is the present state.
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut messages, mut version) = (0, 0);
        while version < CHANGES {
            let mut length = [0; 4];
            far.read_exact(&mut length).unwrap();
            let mut text = vec![0; u32::from_le_bytes(length) as usize];
            far.read_exact(&mut text).unwrap();
            if let Message::State(state) = Message::parse_bytes(&text, 1 << 26).unwrap() {
                assert!(state.version == version + 1 || state.state.is_some());
                version = state.version;
            }
            messages += 1;
        }
        assert!(messages < CHANGES, "{messages} messages");
    }
}

#[cfg(feature = "websocket")]
mod websocket {
    use peristyle_mirror::transport::{WebSocket, WebSocketOptions};
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn pair(options: WebSocketOptions) -> (WebSocket, WebSocket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/room?x=1", listener.local_addr().unwrap());
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            WebSocket::accept(stream, options, |path| path == "/room?x=1").await.unwrap()
        };
        let connect = async { WebSocket::connect(&url, WebSocketOptions::client()).await.unwrap() };
        tokio::join!(accept, connect)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn web_sockets() {
        let host = host();
        let (near, far) = pair(WebSocketOptions::host()).await;
        host.connect(near).unwrap();
        let client = Client::connect(far, ClientOptions::default()).unwrap();
        let (checked, following) = (host.clone(), client.clone());
        tokio::task::spawn_blocking(move || check(&checked, &following)).await.unwrap();
        let pending = client.module::<Counter>().never();
        host.dispose().unwrap();
        assert!(matches!(pending.await, Err(CallError::Transport(_))));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_paths_and_other_speakers_are_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            WebSocket::accept(stream, WebSocketOptions::host(), |path| path == "/here").await.err()
        };
        let url = format!("ws://{address}/there");
        let connect = WebSocket::connect(&url, WebSocketOptions::client());
        let (accepted, connected) = tokio::join!(accept, connect);
        assert!(accepted.is_some());
        assert!(connected.err().unwrap().to_string().contains("404"));
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            WebSocket::accept(stream, WebSocketOptions::host(), |_| true).await.err()
        };
        let speak = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"\x16\x03\x01 hello there, this is no HTTP\r\n\r\n").await.unwrap();
        };
        assert!(tokio::join!(accept, speak).0.is_some());
        assert!(WebSocket::connect("http://x/", WebSocketOptions::client()).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_message_that_is_too_large_is_invalid_and_one_that_is_absurd_ends_it() {
        let (near, far) = pair(WebSocketOptions { message_bytes_max: 100, ..WebSocketOptions::host() }).await;
        let ear = Arc::new(Ear::default());
        near.subscribe(ear.clone()).unwrap();
        let call = |bytes: usize| {
            message(&format!(r#"{{"type":"call","id":1,"module":"m","method":"f","args":["{}"]}}"#, "x".repeat(bytes)))
        };
        far.post(&call(10)).unwrap();
        far.post(&call(200)).unwrap();
        far.post(&call(10)).unwrap();
        let heard = tokio::task::spawn_blocking({
            let ear = ear.clone();
            move || ear.take(3)
        });
        let heard = heard.await.unwrap();
        assert!(heard[0].is_ok() && heard[2].is_ok());
        assert!(matches!(heard[1], Err(Invalid::TooLarge { .. })));
        far.post(&call(2000)).unwrap();
        tokio::task::spawn_blocking(move || ear.until_closed()).await.unwrap();
        assert!(near.post(&call(10)).is_err());
    }
}
