//! A host in one page: `mirror_counter_host [ADDRESS]`, then run `mirror_counter_client` as often as you like.

use std::net::TcpListener;

use peristyle_mirror::{
    Failure, Host, State, SyncMode, module,
    transport::{Stream, StreamOptions},
};

/// What clients see: `{"counter":{"count":0,"label":"zero"}}`.
#[derive(Clone, State)]
struct Counter {
    count: i64,
    label: String,
}

/// What clients may call: `counter.increase(step)`, `counter.rename(label)`.
#[module]
impl Counter {
    #[action]
    fn increase(&mut self, step: Option<i64>) -> i64 {
        self.count += step.unwrap_or(1);
        self.count
    }

    #[action]
    fn rename(&mut self, label: String) -> Result<(), Failure> {
        self.label = label;
        if self.label.is_empty() {
            // Undone: nobody ever sees the empty label.
            return Err(Failure::error("a label has some text"));
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let host = Host::builder().sync(SyncMode::Patch).module(Counter { count: 0, label: "zero".into() }).build()?;
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        host.connect(Stream::tcp(stream?, StreamOptions::host())?)?;
    }
    Ok(())
}
