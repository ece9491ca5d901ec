//! `peristyle demo sky` on the network: where it listens, who may come, and what it says when it cannot.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio_tungstenite::tungstenite::Message;

fn sky(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peristyle"));
    command.args(["demo", "sky", "--job", "rust", "--start", "03:00"]).args(arguments);
    command
}

/// The message of a run that ends before it serves.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = sky(arguments).output().expect("the binary can be started");
    let message = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty() && !message.contains("panicked"), "{message}");
    message
}

/// A run that serves, until it is dropped.
struct Serving {
    child: Child,
    /// `host:port`.
    address: String,
    stderr: BufReader<std::process::ChildStderr>,
    /// Tells the watchdog that it is over.
    _over: mpsc::Sender<()>,
}

impl Serving {
    fn start(mut command: Command) -> Serving {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started");
        // Whatever waits for one that hangs finds that it ended.
        let (over, is_over) = mpsc::channel();
        let pid = child.id().to_string();
        thread::spawn(move || {
            if is_over.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-9", &pid]).status();
            }
        });
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(stderr.read_line(&mut line).expect("it is text") > 0, "it ended");
        }
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        Serving { child, address: address.to_owned(), stderr, _over: over }
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

/// Follows a world until it says goodbye, and asks for its end once there is something to see: gives close code and reason.
fn goodbye(serving: &Serving, signal: Signal) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads can be started");
    runtime.block_on(async {
        let url = format!("ws://{}/ws?topics=render.state", serving.address);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("it lets us in");
        let mut signal = Some(signal);
        loop {
            match socket.next().await.expect("it says goodbye").expect("it is no error") {
                Message::Close(close) => {
                    let close = close.expect("it says why");
                    return (close.code.into(), close.reason.to_string());
                }
                Message::Binary(_) => {
                    let Some(signal) = signal.take() else { continue };
                    kill_process(Pid::from_child(&serving.child), signal).expect("it runs");
                }
                _ => {}
            }
        }
    })
}

#[test]
fn who_watches_is_told_goodbye_when_it_is_told_to_end() {
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ended.json");
    let to_trace = ["--trace", trace.to_str().expect("a UTF-8 path")];
    let _ = fs::remove_file(&trace);
    for (signal, more, code) in [
        // Without an end of its own it is done when it is told.
        (Signal::INT, &to_trace[..], 0),
        (Signal::TERM, &["--ticks", "1000000"], 143),
    ] {
        let mut serving = Serving::start(sky(&[&["--listen", "127.0.0.1:0"], more].concat()));
        assert_eq!(goodbye(&serving, signal), (1001, "the gateway shuts down".into()));
        let status = serving.child.wait().expect("it ends");
        let mut told = String::new();
        serving.stderr.read_to_string(&mut told).expect("it is text");
        assert_eq!((status.code(), &*told), (Some(code), ""));
    }
    let trace = fs::read_to_string(trace).expect("the trace was written");
    assert!(serde_json::from_str::<serde_json::Value>(&trace).is_ok());
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_listens_where_it_is_told_and_lets_in_who_knows_the_token() {
    let serving = Serving::start(sky(&["--listen", "127.0.0.1:0", "--token", "sesame"]));
    assert!(serving.address.starts_with("127.0.0.1:"));
    let page = serving.get("/", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("cross-origin-embedder-policy: require-corp"), "{page}");
    assert!(serving.get("/api/report", "").starts_with("HTTP/1.1 401"));
    let report = serving.get("/api/report", "authorization: Bearer sesame\r\n");
    assert!(report.starts_with("HTTP/1.1 200") && report.contains("application/json"), "{report}");
}

#[test]
fn addresses_that_cannot_be_served_are_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let message = refused(&["--listen", &address], 1);
    assert!(message.starts_with(&format!("error: cannot listen on {address}: ")), "{message}");
    let message = refused(&["--listen", "0.0.0.0:0"], 1);
    assert!(message.contains("0.0.0.0:0 can be reached from other machines: set a token"), "{message}");
    let message = refused(&["--listen", "localhost"], 2);
    assert!(message.contains("'--listen <ADDR>'"), "{message}");
    assert!(refused(&["--token", "", "--listen", "127.0.0.1:0"], 1).contains("a token must not be empty"));
    assert!(refused(&["--headless", "--listen", "127.0.0.1:0"], 2).contains("--headless"));
    assert!(refused(&["--headless", "--open"], 2).contains("--headless"));
}

#[test]
#[cfg(target_os = "linux")]
fn open_hands_the_address_to_the_desktop_with_the_token_behind_the_hash() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("opener-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the directory is writable");
    let told = directory.join("told");
    let opener = directory.join("xdg-open");
    fs::write(&opener, format!("#!/bin/sh\necho \"$1\" > '{0}.new' && mv '{0}.new' '{0}'\n", told.display()))
        .expect("the file is writable");
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("its rights can be set");
    let _ = fs::remove_file(&told);
    let mut command = sky(&["--listen", "127.0.0.1:0", "--open", "--token", "a b"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", directory.display()));
    let serving = Serving::start(command);
    let began = Instant::now();
    let address = loop {
        if let Ok(address) = fs::read_to_string(&told) {
            break address;
        }
        assert!(began.elapsed() < LIMIT, "the opener was not called");
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(address.trim(), format!("http://{}/#token=a%20b", serving.address));
    drop(serving);
    fs::remove_dir_all(directory).expect("it is this test's own");

    // Where nothing opens pages it says so, and serves.
    let mut command = sky(&["--listen", "127.0.0.1:0", "--open"]);
    command.env("PATH", "/nowhere");
    let mut serving = Serving::start(command);
    let mut line = String::new();
    serving.stderr.read_line(&mut line).expect("it is text");
    assert!(line.starts_with("warning: cannot open the page with xdg-open"), "{line}");
    assert!(serving.get("/healthz", "").ends_with("ok\n"));
}
