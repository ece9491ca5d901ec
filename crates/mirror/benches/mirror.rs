//! What publishing, following and calling cost.
//!
//! `cargo bench -p peristyle-mirror --features websocket`. Contestants take turns, so that all meet the same machine.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use peristyle_mirror::{
    Client, ClientOptions, Failure, Frame, Host, Message, Receiver, State, StateList, SyncMode, Transport,
    TransportError, module, transport::memory_pair,
};

/// A turn is at least this long.
const TURN: Duration = Duration::from_millis(2);

#[derive(Clone, State)]
struct Counter {
    count: i64,
    label: String,
}

#[module]
impl Counter {
    #[action]
    fn increase(&mut self, step: i64) -> i64 {
        self.count += step;
        self.count
    }
}

#[derive(Clone, serde::Serialize)]
struct Item {
    id: u32,
    x: i32,
    y: i32,
}

#[derive(Clone, State)]
struct Items {
    #[state(tracked)]
    items: StateList<Item>,
}

#[module(name = "list")]
impl Items {}

/// An end that hands over text, as a socket would, and counts its bytes.
#[derive(Clone, Default)]
struct TextEnd {
    there: Arc<Mutex<Option<Arc<dyn Receiver>>>>,
    here: Arc<Mutex<Option<Arc<dyn Receiver>>>>,
    bytes: Arc<Mutex<usize>>,
}

fn text_pair() -> (TextEnd, TextEnd) {
    let a = TextEnd::default();
    let b = TextEnd { there: a.here.clone(), here: a.there.clone(), bytes: a.bytes.clone() };
    (a, b)
}

impl Transport for TextEnd {
    fn post(&self, frame: &Arc<Frame>) -> Result<(), TransportError> {
        let receiver = self.there.lock().unwrap().clone();
        let text = frame.text();
        *self.bytes.lock().unwrap() = text.len();
        if let Some(receiver) = receiver {
            receiver.receive(Message::parse(text, 1 << 26).map(Frame::new));
        }
        Ok(())
    }

    fn subscribe(&self, receiver: Arc<dyn Receiver>) -> Result<(), TransportError> {
        *self.here.lock().unwrap() = Some(receiver);
        Ok(())
    }

    fn unsubscribe(&self) -> Result<(), TransportError> {
        *self.here.lock().unwrap() = None;
        Ok(())
    }
}

struct Contestant {
    name: String,
    run: Box<dyn FnMut()>,
    turns: Vec<f64>,
}

fn contestant(name: impl Into<String>, run: impl FnMut() + 'static) -> Contestant {
    Contestant { name: name.into(), run: Box::new(run), turns: Vec::new() }
}

/// Lets contestants take turns, and prints nanoseconds of a run: median, minimum, and their ratio to the first's.
fn compare(title: &str, turns: usize, mut contestants: Vec<Contestant>) {
    for _ in 0..turns {
        for contestant in &mut contestants {
            (contestant.run)();
            let (start, mut runs) = (Instant::now(), 0.0);
            while start.elapsed() < TURN {
                (contestant.run)();
                runs += 1.0;
            }
            contestant.turns.push(start.elapsed().as_nanos() as f64 / runs);
        }
    }
    println!("{title}");
    let mut first = None;
    for contestant in &mut contestants {
        contestant.turns.sort_by(f64::total_cmp);
        let (median, minimum) = (contestant.turns[contestant.turns.len() / 2], contestant.turns[0]);
        let base = *first.get_or_insert((median, minimum));
        println!(
            "  {:<44} {:>12.0} ns {:>12.0} ns   x{:.2} (minima x{:.2})",
            contestant.name,
            median,
            minimum,
            median / base.0,
            minimum / base.1
        );
    }
    println!();
}

fn followed(host: &Host, transport: (impl Transport + 'static, impl Transport + 'static)) -> Client {
    let client = Client::connect(transport.1, ClientOptions::default()).unwrap();
    host.connect(transport.0).unwrap();
    client
}

fn counter(turns: usize) {
    let host = |clients: usize| {
        let builder = Host::builder().sync(SyncMode::Patch);
        let host = builder.module(Counter { count: 0, label: "zero".into() }).build().unwrap();
        let clients: Vec<Client> = (0..clients).map(|_| followed(&host, memory_pair())).collect();
        (host, clients)
    };
    let published = |clients: usize| {
        let (host, clients) = host(clients);
        contestant(format!("published to {} clients", clients.len()), move || {
            for _ in 0..100 {
                let add = |counter: &mut Counter| {
                    counter.count += 1;
                    Ok::<_, Failure>(())
                };
                host.update(add).unwrap();
            }
            assert!(clients.iter().all(|client| client.version() == host.state().1));
        })
    };
    let called = {
        let (host, clients) = host(1);
        let proxy = clients[0].module::<Counter>();
        contestant("called by a client, and published to it", move || {
            for _ in 0..100 {
                peristyle_mirror::block_on(proxy.increase(1)).unwrap();
            }
            assert_eq!(clients[0].version(), host.state().1);
        })
    };
    compare("100 counter actions in memory", turns, vec![published(1), published(0), published(10), called]);
}

fn list(turns: usize) {
    let changed = |len: u32, as_text: bool| {
        let items: StateList<Item> = (0..len).map(|id| Item { id, x: 0, y: 0 }).collect();
        let host = Host::builder().sync(SyncMode::Patch).module(Items { items }).build().unwrap();
        let ends = text_pair();
        let bytes = ends.0.bytes.clone();
        let client = if as_text { followed(&host, ends) } else { followed(&host, memory_pair()) };
        let mut start = 0;
        let mut change = move || {
            start += 7;
            let touch = |items: &mut Items| {
                for k in 0..100_u32 {
                    let at = (start + k * 97) as usize % items.items.len();
                    let item = items.items.get_mut(at).ok_or_else(|| Failure::error("no such item"))?;
                    (item.x, item.y) = (item.x + 1, item.y - 1);
                }
                Ok::<_, Failure>(())
            };
            host.update(touch).unwrap();
            assert_eq!(client.version(), host.state().1);
        };
        change();
        let bytes = *bytes.lock().unwrap();
        let size = if as_text { format!(", as text of {bytes} bytes") } else { ", in memory".into() };
        contestant(format!("100 of {len} changed{size}"), change)
    };
    let contestants =
        vec![changed(10_000, true), changed(20_000, true), changed(10_000, false), changed(20_000, false)];
    compare("A list of objects, host and client", turns, contestants);
}

#[cfg(feature = "websocket")]
mod network {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use peristyle_mirror::transport::{WebSocket, WebSocketOptions};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Serves a host over WebSocket on a thread of its own.
    fn serve() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            runtime().block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let builder = Host::builder().sync(SyncMode::Patch);
                let host = builder.module(Echo { calls: 0 }).build().unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let socket = WebSocket::accept(stream, WebSocketOptions::host(), |_| true).await.unwrap();
                    host.connect(socket).unwrap();
                }
            });
        });
        address
    }

    #[derive(Clone, State)]
    struct Echo {
        calls: u32,
    }

    #[module]
    impl Echo {
        #[action]
        fn echo(&self, value: f64) -> f64 {
            value
        }
    }

    /// A raw echo of 64 bytes, with blocking sockets or tokio's.
    fn echo_server(is_async: bool) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            if is_async {
                stream.set_nonblocking(true).unwrap();
                runtime().block_on(async move {
                    let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
                    while stream.read_exact(&mut bytes).await.is_ok() && stream.write_all(&bytes).await.is_ok() {}
                });
            } else {
                while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
            }
        });
        address
    }

    fn percentile(samples: &mut [f64], part: f64) -> f64 {
        samples.sort_by(f64::total_cmp);
        samples[((samples.len() - 1) as f64 * part) as usize]
    }

    pub fn calls(turns: usize) {
        let runtime = runtime();
        let address = serve();
        let client = runtime.block_on(async {
            let socket = WebSocket::connect(&format!("ws://{address}/"), WebSocketOptions::client()).await.unwrap();
            let client = Client::connect(socket, ClientOptions::default()).unwrap();
            client.ready().await.unwrap();
            client
        });
        let proxy = client.module::<Echo>();
        let mut blocking = TcpStream::connect(echo_server(false)).unwrap();
        blocking.set_nodelay(true).unwrap();
        let mut raw = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(echo_server(true)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        });
        let mut samples = [Vec::new(), Vec::new(), Vec::new()];
        let mut rates = Vec::new();
        for _ in 0..turns {
            for _ in 0..500 {
                let mut bytes = [0; 64];
                let start = Instant::now();
                blocking.write_all(&bytes).unwrap();
                blocking.read_exact(&mut bytes).unwrap();
                samples[0].push(start.elapsed().as_nanos() as f64);
            }
            runtime.block_on(async {
                for _ in 0..500 {
                    let mut bytes = [0; 64];
                    let start = Instant::now();
                    raw.write_all(&bytes).await.unwrap();
                    raw.read_exact(&mut bytes).await.unwrap();
                    samples[1].push(start.elapsed().as_nanos() as f64);
                }
                for _ in 0..500 {
                    let start = Instant::now();
                    proxy.echo(1.0).await.unwrap();
                    samples[2].push(start.elapsed().as_nanos() as f64);
                }
                let start = Instant::now();
                for _ in 0..50 {
                    let calls: Vec<_> = (0..100).map(|n| proxy.echo(f64::from(n))).collect();
                    for call in calls {
                        call.await.unwrap();
                    }
                }
                rates.push(5_000.0 / start.elapsed().as_secs_f64());
            });
        }
        println!("Calls over WebSocket, beside a raw echo of 64 bytes over TCP");
        let names = ["echo, blocking sockets", "echo, tokio", "call"];
        let base = percentile(&mut samples[0], 0.5);
        for (name, samples) in names.iter().zip(&mut samples) {
            let (p50, p99) = (percentile(samples, 0.5), percentile(samples, 0.99));
            println!("  {name:<44} p50 {:>6.1} us  p99 {:>6.1} us   x{:.2}", p50 / 1e3, p99 / 1e3, p50 / base);
        }
        rates.sort_by(f64::total_cmp);
        let (median, best) = (rates[rates.len() / 2], rates[rates.len() - 1]);
        println!("  100 calls in flight: {median:.0} a second, {best:.0} at best\n");
    }
}

fn main() {
    // Cargo passes `--bench`; a number is a number of turns, a name one of the questions.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let turns = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(60);
    let asked = |name: &str| {
        let mut names = args.iter().filter(|arg| ["counter", "list", "calls"].contains(&arg.as_str())).peekable();
        names.peek().is_none() || names.any(|arg| arg == name)
    };
    if asked("counter") {
        counter(turns);
    }
    if asked("list") {
        list(turns);
    }
    #[cfg(feature = "websocket")]
    if asked("calls") {
        network::calls(turns);
    }
}
