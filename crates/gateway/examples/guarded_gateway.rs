//! A world and an app behind a gateway that lets in who may: the program of the guide "Limits and security".

use std::time::Duration;

use peristyle_gateway::{FeedOptions, Gateway, GatewayError, Grant, Limits, Modules, WorldFeed};
use peristyle_mirror::{Host, State, module};
use peristyle_replica::{ComponentView, Topic, ViewSpec};
use peristyle_world::{Component, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Clone, State)]
struct Clock {
    is_paused: bool,
}

#[module]
impl Clock {
    #[action]
    fn pause(&mut self) {
        self.is_paused = true;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut world = World::new()?;
    world.spawn((Position { x: 1.0, y: 2.0 },))?;
    // ANCHOR: exposed
    let spec = ViewSpec::new().with(ComponentView::of::<Position>());
    let feed = WorldFeed::new(&mut world, spec, FeedOptions::default())?;
    let host = Host::builder().module(Clock { is_paused: false }).build()?;

    // Who can be reached by other machines needs a token, or has to say that anybody may come.
    let refused = Gateway::builder().world(&feed).host(&host).serve("0.0.0.0:0");
    if let Err(error @ GatewayError::Exposed(_)) = refused {
        println!("{error}");
    }
    // ANCHOR_END: exposed

    // ANCHOR: guarded
    let viewer = Grant { topics: vec![Topic::RenderState, Topic::ProcessState], ..Grant::read_only() };
    let operator = Grant { call: Modules::only(["clock"]), ..Grant::default() };
    let limits = Limits {
        clients: 100,
        per_address: 10,
        message_bytes: 16 << 10,
        messages_per_second: 50,
        idle: Duration::from_secs(30),
        ..Limits::default()
    };
    let gateway = Gateway::builder()
        .world(&feed)
        .host(&host)
        .token_for("seen by many", viewer)
        .token_for("known to few", operator)
        .origin("https://example.org")
        .limits(limits)
        .serve("127.0.0.1:0")?;
    println!("{} clients at {}", gateway.clients(), gateway.address().ip());
    gateway.shutdown();
    // ANCHOR_END: guarded
    Ok(())
}
