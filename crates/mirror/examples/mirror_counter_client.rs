//! A client in one page: `mirror_counter_client [ADDRESS]`, with `mirror_counter_host` running.

use std::net::TcpStream;

use peristyle_mirror::{
    Client, ClientOptions, block_on,
    transport::{Stream, StreamOptions},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let stream = Stream::tcp(TcpStream::connect(address)?, StreamOptions::client())?;
    let client = Client::connect(stream, ClientOptions::default())?;
    block_on(client.ready())?;
    println!("version {}: {}", client.version(), client.state().unwrap_or_default());

    // Told whenever the count changes, whoever changed it, until the watch is dropped.
    let _watch = client.watch(
        |state| state.get("counter").and_then(|counter| counter.get("count")?.as_i64()),
        |count, before| println!("the count is {count:?}, it was {before:?}"),
    );

    // A call resolves when the mirror has caught up with it. Where the module's type is at hand, `client.module` has its
    // methods with their types.
    let count: i64 = block_on(client.call("counter", "increase", (2,)))?;
    assert!(client.version() > 0);
    println!("increased to {count}");
    let error = block_on(client.call::<()>("counter", "rename", ("",))).unwrap_err();
    println!("refused: {error}");
    Ok(())
}
