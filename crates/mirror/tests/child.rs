//! A host in a child process, followed over its standard input and output. The child is this very program.

use std::process::{Command, Stdio};

use peristyle_mirror::{
    CallError, Client, ClientOptions, Failure, Host, State, SyncMode, block_on, module,
    transport::{ChildTransport, Stream, StreamOptions},
};

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

    /// Ends the process in the middle of a call.
    #[action]
    fn exit(&mut self) -> Result<(), Failure> {
        std::process::exit(3)
    }
}

fn serve() {
    let host = Host::builder().sync(SyncMode::Patch).module(Counter { count: 0 }).build().unwrap();
    host.connect(Stream::stdio(StreamOptions::host()).unwrap()).unwrap();
    while host.connections() > 0 {
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

fn main() {
    if std::env::args().any(|arg| arg == "--serve") {
        return serve();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let transport = ChildTransport::new(child, StreamOptions::client()).unwrap();
    let client = Client::connect(transport, ClientOptions::default()).unwrap();
    block_on(client.ready()).unwrap();
    let counter = client.module::<Counter>();
    assert_eq!(block_on(counter.increase(2)), Ok(2));
    assert_eq!(block_on(counter.increase(3)), Ok(5));
    assert_eq!(client.state().unwrap().to_json(), r#"{"counter":{"count":5}}"#);
    // A child that ends is heard of, and the last state stays.
    assert!(matches!(block_on(counter.exit()), Err(CallError::Transport(_))));
    assert_eq!(client.version(), 2);
    println!("a child process is followed until it ends: ok");
}
