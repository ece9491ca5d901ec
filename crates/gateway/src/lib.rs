//! Worlds and hosts on the network.
//!
//! A [`Gateway`] serves any number of worlds ([`WorldFeed`]) and hosts of modules
//! ([`Host`](peristyle_mirror::Host)) to pages and programs, over one address. It runs on threads of its own, so any program
//! can have one with a call.
//!
//! ```
//! use peristyle_gateway::{FeedOptions, Gateway, WorldFeed};
//! use peristyle_replica::{ComponentView, ViewSpec};
//! use peristyle_world::{Component, World};
//!
//! #[derive(Component, Clone, Copy)]
//! struct Position { x: f32, y: f32 }
//!
//! let mut world = World::new()?;
//! world.spawn((Position { x: 1.0, y: 2.0 },))?;
//! let spec = ViewSpec::new().with(ComponentView::of::<Position>());
//! let feed = WorldFeed::new(&mut world, spec, FeedOptions::default())?;
//! let gateway = Gateway::builder().world(&feed).serve("127.0.0.1:0")?;
//! println!("watch {}", gateway.url());
//! for _ in 0..3 {
//!     world.begin_tick()?;
//!     world.end_tick()?;
//!     feed.publish(&mut world);
//! }
//! gateway.shutdown();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | address | what |
//! | --- | --- |
//! | `/ws/NAME`, `/ws` | a WebSocket: state and calls, the world, the timeline; see [`Subscription`](peristyle_replica::Subscription) for its query |
//! | `/healthz` | `ok` |
//! | `/metrics` | figures, as Prometheus reads them |
//! | what you add | documents, pages, directories |
//!
//! # Rules
//! - It listens on loopback unless told otherwise, and on other addresses only with a token or when told to let anybody in.
//! - Network tasks never touch a world. A client that does not read costs its world nothing: it falls out of the log, and
//!   goes on from a snapshot or is cut off.
//! - Everything a client can fill is bounded ([`Limits`]); what is refused or cut off is told why, and counted.
//!
//! # Not here
//! What messages mean: state and calls are `peristyle-mirror`'s, frames `peristyle-replica`'s.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod access;
mod addresses;
mod connection;
mod error;
mod feed;
mod gateway;
mod http;
mod limits;
mod link;
mod metrics;
mod patience;
mod socket;
mod tls;
mod trace;

pub use crate::access::{Grant, Modules};
pub use crate::error::GatewayError;
pub use crate::feed::{Every, FeedOptions, WorldFeed};
pub use crate::gateway::{Gateway, GatewayBuilder};
pub use crate::limits::Limits;
