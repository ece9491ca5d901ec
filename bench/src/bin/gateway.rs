//! Worlds on the network: what one client of Sky costs at its peak, and how far a thousand clients of one world lag behind
//! it.
//!
//! ```sh
//! ./x bench gateway
//! cargo run -p peristyle-bench --bin gateway [-- sky | crowd]
//! ```
//!
//! *Sky*: the whole demonstration runs, its job in Rust, with one client that takes frames in as a program does. Encoding is
//! the time that the world's thread publishes for, sending what the network's thread computes; both as parts of one core.
//! Beside encoding stands a loop that copies two `f32` columns of as many rows, element by element.
//!
//! *Crowd*: clients are another process, of one thread, which reads and looks at each frame's tick. A frame's lag runs from
//! before it was published, so encoding is in it, until a client has all of it. Memory is what the server's process grows by
//! when the clients come, divided by their number.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peristyle_gateway::{Every, FeedOptions, Gateway, Limits, WorldFeed};
use peristyle_replica::{ComponentView, Predictor, Topic, ViewSpec, ViewWorld};
use peristyle_sky::{Hooks, JobKind, Limit, POSITION_ERROR, Serve, SkyConfig, TICKS_PER_UPDATE};
use peristyle_world::{Component, World};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            sky()?;
            println!();
            crowd()
        }
        ["sky"] => sky(),
        ["crowd"] => crowd(),
        ["clients", address, count] => clients(address.parse()?, count.parse()?),
        _ => Err("usage: gateway [sky | crowd]".into()),
    }
}

// ---- reading ----

/// A WebSocket's messages as a server sends them (RFC 6455, 5.2), read from pieces of any size.
#[derive(Default)]
struct Messages {
    head: [u8; 10],
    head_bytes: usize,
    left: u64,
    /// The first bytes of the message's own, in which a frame has its tick.
    start: [u8; START_BYTES],
    start_bytes: usize,
}

const START_BYTES: usize = 24;

impl Messages {
    /// Reads on; tells of each message that is whole by its first bytes.
    fn read(&mut self, mut bytes: &[u8], mut message: impl FnMut(&[u8])) {
        while let [first, rest @ ..] = bytes {
            if self.left == 0 {
                self.head[self.head_bytes] = *first;
                self.head_bytes += 1;
                bytes = rest;
                let needed = match self.head[1] {
                    _ if self.head_bytes < 2 => continue,
                    126 => 4,
                    127 => 10,
                    _ => 2,
                };
                if self.head_bytes < needed {
                    continue;
                }
                self.left = match self.head[1] {
                    126 | 127 => self.head[2..needed].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
                    length => u64::from(length),
                };
                (self.head_bytes, self.start_bytes) = (0, 0);
            } else {
                let (own, rest) = bytes.split_at(bytes.len().min(self.left as usize));
                let kept = own.len().min(START_BYTES - self.start_bytes);
                self.start[self.start_bytes..self.start_bytes + kept].copy_from_slice(&own[..kept]);
                self.start_bytes += kept;
                self.left -= own.len() as u64;
                bytes = rest;
                if self.left == 0 {
                    message(&self.start[..self.start_bytes]);
                }
            }
        }
    }
}

/// The tick of a frame, by its first bytes; none if the message is none: topic, magic, version, kind, schema, flags, tick.
fn tick_of(start: &[u8]) -> Option<u64> {
    if start.first() != Some(&(Topic::RenderState as u8)) || start.get(3) != Some(&1) {
        return None;
    }
    let digits = start.get(9..)?;
    let last = digits.iter().position(|byte| byte & 0x80 == 0)?;
    Some(digits[..=last].iter().rev().fold(0, |tick, &byte| tick << 7 | u64::from(byte & 0x7f)))
}

fn request(address: SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Asks for a WebSocket.
fn open(address: SocketAddr, path: &str) -> Result<BufReader<TcpStream>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request(address, path).as_bytes())?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 101") {
        return Err(format!("{path}: {line}").into());
    }
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    Ok(reader)
}

/// The next message's bytes.
fn next(reader: &mut impl Read, message: &mut Vec<u8>) -> std::io::Result<()> {
    let mut head = [0; 8];
    reader.read_exact(&mut head[..2])?;
    let length = match head[1] {
        length @ (126 | 127) => {
            let digits = if length == 126 { 2 } else { 8 };
            reader.read_exact(&mut head[..digits])?;
            head[..digits].iter().fold(0, |length, &byte| length << 8 | usize::from(byte))
        }
        length => usize::from(length),
    };
    message.resize(length, 0);
    reader.read_exact(message)
}

/// What a gateway counts, by sample.
fn metrics(address: SocketAddr) -> Result<HashMap<String, f64>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(sample).collect())
}

/// Seconds that the network's threads of this process have computed.
fn network_seconds() -> Result<f64, Failure> {
    let mut ns = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == "peristyle-net" {
            let times = std::fs::read_to_string(path.join("schedstat"))?;
            ns += times.split(' ').next().unwrap_or_default().parse::<f64>()?;
        }
    }
    Ok(ns / 1e9)
}

// ---- one client of Sky ----

/// Updates before anything is measured, and seconds of measuring.
const SKY_UPDATES_FIRST: usize = 40;
const SKY_SECONDS: f64 = 10.0;

struct Served(mpsc::Sender<String>);

impl Hooks for Served {
    fn serving(&mut self, url: &str) {
        let _ = self.0.send(url.to_owned());
    }
}

fn sky() -> Result<(), Failure> {
    let data = std::env::var("PERISTYLE_DATA").map_err(|_| "PERISTYLE_DATA says where the flights are: see ./x")?;
    let serve = Serve { listen: "127.0.0.1:0".parse()?, token: None };
    let config = SkyConfig {
        start_seconds: (13 * 60 + 40) * 60,
        speed: 60.0,
        limit: Limit::WallSeconds(600.0),
        headless: false,
        job: JobKind::Rust,
        serve: Some(serve),
        ..SkyConfig::new(data)
    };
    let (told, serving) = mpsc::channel();
    // It ends with the process.
    std::thread::spawn(move || peristyle_sky::run(&config, &mut Served(told)).map_err(|error| eprintln!("{error}")));
    let url = serving.recv()?;
    let address: SocketAddr = url.trim_start_matches("http://").trim_end_matches('/').parse()?;

    let mut reader = open(address, "/ws?topics=render.state")?;
    let (mut message, mut view) = (Vec::new(), None::<ViewWorld>);
    // Rows that moved, bytes of their frames, and frames.
    let mut take = |view: &mut Option<ViewWorld>| -> Result<Option<(usize, usize)>, Failure> {
        next(&mut reader, &mut message)?;
        match (message.first(), &mut *view) {
            (Some(1), Some(view)) if message.get(3) != Some(&0) => {
                let is_whole = view.apply(&message[1..])?.snapshot;
                let moved = view.changed(0).iter().map(|rows| rows.count_ones() as usize).sum::<usize>();
                Ok((!is_whole).then_some((moved, message.len())))
            }
            (Some(1), None) => {
                *view = Some(ViewWorld::open(&message[1..])?);
                Ok(None)
            }
            _ => Ok(None),
        }
    };
    let mut updates = 0;
    while updates < SKY_UPDATES_FIRST {
        updates += usize::from(take(&mut view)?.is_some());
    }
    let (before, network_before, began) = (metrics(address)?, network_seconds()?, Instant::now());
    let (mut updates, mut rows, mut bytes) = (0, 0, 0);
    while began.elapsed().as_secs_f64() < SKY_SECONDS {
        if let Some((moved, length)) = take(&mut view)? {
            (updates, rows, bytes) = (updates + 1, rows + moved, bytes + length);
        }
    }
    let (after, network_after, seconds) = (metrics(address)?, network_seconds()?, began.elapsed().as_secs_f64());
    let by = |sample: &str| after.get(sample).unwrap_or(&0.0) - before.get(sample).unwrap_or(&0.0);
    let published = by("peristyle_world_publish_seconds_count{world=\"sky\"}").max(1.0);
    let encode = by("peristyle_world_publish_seconds_sum{world=\"sky\"}");
    let send = network_after - network_before;
    let moved = rows / updates.max(1);
    let copy = copy_seconds(moved);
    let airborne = view.as_ref().map_or(0, ViewWorld::len);

    println!("Sky at its peak, {airborne} in the air, {POSITION_ERROR} degree, one client, over {seconds:.1} s");
    println!(
        "  ticks      {:8.1} a second (60 wanted), an update each {TICKS_PER_UPDATE}",
        by("peristyle_world_ticks_total{world=\"sky\"}") / seconds
    );
    println!("  updates    {:8.1} a second (20 wanted)", updates as f64 / seconds);
    println!(
        "  encoding   {:8.2} ms an update, {:.1} times a copy of two columns ({:.2} ms)",
        encode / published * 1e3,
        encode / published / copy,
        copy * 1e3
    );
    println!("  sending    {:8.2} ms an update", send / published * 1e3);
    println!(
        "  both       {:8.1} % of one core, {:.1} % at 20 updates a second (10 % at most wanted)",
        (encode + send) / seconds * 100.0,
        (encode + send) / published * 2000.0
    );
    println!(
        "  bytes      {:8.2} per moving row and update, {moved} of them (3 at most wanted)",
        bytes as f64 / rows.max(1) as f64
    );
    Ok(())
}

/// How long a loop takes to copy two columns of so many rows.
fn copy_seconds(rows: usize) -> f64 {
    let (from, mut to) = ([vec![1_f32; rows], vec![2_f32; rows]], [vec![0_f32; rows], vec![0_f32; rows]]);
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let began = Instant::now();
            for (from, to) in from.iter().zip(&mut to) {
                for (from, to) in from.iter().zip(to.iter_mut()) {
                    *to = *from;
                }
            }
            black_box(&to);
            began.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

// ---- a thousand clients ----

const CLIENTS: usize = 1000;
const ROWS: usize = 10_000;
const TICKS_PER_SECOND: u32 = 60;
/// Ticks between two updates: ten a second.
const TICKS_EACH: u64 = 6;
const UPDATE: Duration = Duration::from_millis(100);
const CROWD_SECONDS: u32 = 10;

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

fn micros_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64)
}

/// Bytes of memory that this process has.
fn resident_bytes() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// A world that turns, and its feed.
struct Turning {
    world: World,
    feed: WorldFeed,
    query: peristyle_world::Query<&'static mut Position>,
}

impl Turning {
    fn new() -> Result<Turning, Failure> {
        let mut world = World::new()?;
        for at in 0..ROWS {
            world.spawn((Position { x: (at as f32).sqrt() + 1.0, y: 0.0 },))?;
        }
        let mut position = ComponentView::of::<Position>();
        for field in ["x", "y"] {
            position = position.quantised(field, 0.001).predicted(field, Predictor::Linear);
        }
        let options = FeedOptions { every: Every::Ticks(TICKS_EACH), ..FeedOptions::default() };
        let feed = WorldFeed::new(&mut world, ViewSpec::new().with(position), options)?;
        let query = world.query::<&mut Position>();
        Ok(Turning { world, feed, query })
    }

    /// A tick; gives it and when it was published, if it was.
    fn tick(&mut self) -> Result<Option<(u64, u64)>, Failure> {
        let tick = self.world.begin_tick()?;
        self.query.for_each(&mut self.world, |position| {
            let (x, y) = (*position.x, *position.y);
            let (sin, cos) = (0.4 / (1.0 + x.hypot(y))).sin_cos();
            (*position.x, *position.y) = (cos * x - sin * y, sin * x + cos * y);
        });
        self.world.end_tick()?;
        let now = micros_now();
        Ok(self.feed.publish(&mut self.world).then_some((tick, now)))
    }

    /// Ticks at the world's pace while `goes_on` says so; gives publications.
    fn run(&mut self, mut goes_on: impl FnMut(u32) -> bool) -> Result<Vec<(u64, u64)>, Failure> {
        let (began, mut ticks, mut published) = (Instant::now(), 0, Vec::new());
        while goes_on(ticks) {
            published.extend(self.tick()?);
            ticks += 1;
            let due = began + Duration::from_secs(1) * ticks / TICKS_PER_SECOND;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(published)
    }
}

fn crowd() -> Result<(), Failure> {
    let mut turning = Turning::new()?;
    let limits = Limits { clients: CLIENTS + 8, per_address: CLIENTS + 8, ..Limits::default() };
    let gateway = Gateway::builder().world(&turning.feed).limits(limits).serve("127.0.0.1:0")?;
    let address = gateway.address();
    // With one client the log fills, and what is made once is made.
    let mut first = open(address, "/ws?topics=render.state")?;
    let following = std::thread::spawn(move || std::io::copy(&mut first, &mut std::io::sink()));
    for _ in 0..140 * TICKS_EACH {
        turning.tick()?;
    }
    turning.run(|ticks| ticks < TICKS_PER_SECOND)?;
    let resident_before = resident_bytes()?;

    let mut child = Command::new(std::env::current_exe()?)
        .args(["clients", &address.to_string(), &CLIENTS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut told = BufReader::new(child.stdout.take().ok_or("no output")?);
    let (arrived, arriving) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        let read = told.read_line(&mut line);
        let _ = arrived.send(read.is_ok() && line.trim() == "here");
        (told, line)
    });
    // They come while the world ticks.
    let mut all_are_here = None;
    turning.run(|_| {
        all_are_here = arriving.try_recv().ok();
        all_are_here.is_none()
    })?;
    if all_are_here != Some(true) {
        return Err("the clients did not come".into());
    }
    turning.run(|ticks| ticks < TICKS_PER_SECOND)?;
    let (network_before, publish_before) = (network_seconds()?, metrics(address)?);
    let began = Instant::now();
    let published = turning.run(|ticks| ticks < CROWD_SECONDS * TICKS_PER_SECOND)?;
    let took = began.elapsed().as_secs_f64();
    let (network, publish_after) = (network_seconds()? - network_before, metrics(address)?);
    let resident_after = resident_bytes()?;
    let by = |sample: &str| publish_after.get(sample).unwrap_or(&0.0) - publish_before.get(sample).unwrap_or(&0.0);
    let sent = by("peristyle_sent_bytes_total{topic=\"render.state\"}");

    // What is on its way arrives, then the clients are told when each tick was published.
    turning.run(|ticks| ticks < TICKS_PER_SECOND)?;
    let mut input = child.stdin.take().ok_or("no input")?;
    for (tick, micros) in &published {
        writeln!(input, "{tick} {micros}")?;
    }
    drop(input);
    let (mut told, _) = reading.join().map_err(|_| "the reader failed")?;
    let mut text = String::new();
    told.read_to_string(&mut text)?;
    child.wait()?;
    let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [samples, p50, p99, most] = figures[..] else { return Err(format!("the clients said {text:?}").into()) };

    let interval = UPDATE.as_secs_f64() * 1e3;
    println!("{CLIENTS} clients of a world of {ROWS} moving rows, {} updates a second, over {took:.1} s", 1.0 / 0.1);
    println!(
        "  ticks      {:8.1} a second ({TICKS_PER_SECOND} wanted)",
        f64::from(CROWD_SECONDS * TICKS_PER_SECOND) / took
    );
    println!("  received   {samples:8} of {} frames", published.len() * CLIENTS);
    println!(
        "  lag        {p50:8.1} ms half, {p99:.1} ms 99 % ({:.2} of an interval, 1 at most wanted), {most:.1} ms longest",
        p99 / interval
    );
    println!("  sending    {:8.1} % of one core, {:.1} MB/s", network / took * 100.0, sent / took / 1e6);
    let per_client = (resident_after - resident_before) / CLIENTS as f64 / 1024.0;
    println!("  memory     {per_client:8.1} KiB a client (64 at most wanted)");
    let frame = sent / (published.len() * (CLIENTS + 1)) as f64;
    println!("  frames     {frame:8.0} bytes, {:.2} a row", frame / ROWS as f64);
    drop(gateway);
    let _ = following.join();
    Ok(())
}

/// The clients: says `here` when all have the world, then reads until it is told when ticks were published, and says how
/// many frames came and how late half, 99 in 100 and the last of them were, in milliseconds.
fn clients(address: SocketAddr, count: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let received = runtime.block_on(async {
        let (arrived, mut arriving) = tokio::sync::mpsc::unbounded_channel();
        let received = std::rc::Rc::new(std::cell::RefCell::new(Vec::with_capacity(count * 200)));
        let tasks = tokio::task::LocalSet::new();
        for _ in 0..count {
            let (arrived, received) = (arrived.clone(), received.clone());
            tasks.spawn_local(async move {
                let followed =
                    follow(address, arrived, &mut |tick| received.borrow_mut().push((tick, micros_now()))).await;
                followed.map_err(|error| eprintln!("a client: {error}"))
            });
        }
        let published = tasks
            .run_until(async {
                for _ in 0..count {
                    arriving.recv().await;
                }
                println!("here");
                let reading = std::thread::spawn(|| std::io::read_to_string(std::io::stdin()));
                while !reading.is_finished() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                reading.join().map_err(|_| "the reader failed")?.map_err(Failure::from)
            })
            .await?;
        let published: HashMap<u64, u64> = published
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(tick, micros)| Some((tick.parse().ok()?, micros.parse().ok()?)))
            .collect();
        let received = received.borrow();
        let lag = |&(tick, at): &(u64, u64)| Some(at.saturating_sub(*published.get(&tick)?) as f64 / 1e3);
        Ok::<Vec<f64>, Failure>(received.iter().filter_map(lag).collect())
    })?;
    let mut lags = received;
    lags.sort_by(f64::total_cmp);
    let quantile = |part: f64| lags.get(((lags.len() as f64 * part) as usize).min(lags.len().saturating_sub(1)));
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| quantile(part).copied().unwrap_or(f64::NAN));
    println!("{} {p50} {p99} {most}", lags.len());
    Ok(())
}

/// Follows the world, and tells of each frame's tick.
async fn follow(
    address: SocketAddr,
    arrived: tokio::sync::mpsc::UnboundedSender<()>,
    frame: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    thread_local! {
        static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; 256 << 10]);
    }
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request(address, "/ws?topics=render.state").as_bytes()).await?;
    // Byte by byte: what follows the answer's end is the first message's.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    let mut arrived = Some(arrived);
    let mut messages = Messages::default();
    loop {
        stream.readable().await?;
        let read = BUFFER.with_borrow_mut(|buffer| -> std::io::Result<usize> {
            let read = stream.try_read(buffer)?;
            messages.read(&buffer[..read], |start| {
                if let Some(tick) = tick_of(start) {
                    arrived.take().map(|arrived| arrived.send(()));
                    frame(tick);
                }
            });
            Ok(read)
        });
        match read {
            Ok(0) => return Err("the gateway closed".into()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
