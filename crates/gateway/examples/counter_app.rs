//! An app in Rust that pages and programs follow: `counter_app [ADDRESS]`, the program of the guide "Mirror an app".

use peristyle_gateway::Gateway;
use peristyle_mirror::{Failure, Host, State, SyncMode, module};

// ANCHOR: module
/// What clients see: `{"counter":{"count":0,"label":"zero"}}`.
#[derive(Clone, State)]
struct Counter {
    count: i64,
    label: String,
}

/// What clients may call.
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
// ANCHOR_END: module

// ANCHOR: serve
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let host = Host::builder().sync(SyncMode::Patch).module(Counter { count: 0, label: "zero".into() }).build()?;
    let gateway = Gateway::builder().host(&host).serve(&*address)?;
    println!("{}", gateway.url());
    loop {
        std::thread::park();
    }
}
// ANCHOR_END: serve
