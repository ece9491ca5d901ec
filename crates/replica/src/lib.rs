//! Worlds mirrored as binary table deltas, at a cost that follows what changed.
//!
//! A host makes a [`View`] of a [`World`](peristyle_world::World): some components and fields of the entities that have
//! them. Each tick it publishes a frame, the difference to the tick before, encoded once for all clients that follow. A
//! client holds a [`ViewWorld`]: read-only columns that hold what the host has sent, in whole ticks.
//!
//! ```
//! use peristyle_replica::{ComponentView, View, ViewSpec, ViewWorld};
//! use peristyle_world::{ColumnReader, Component, World};
//!
//! #[derive(Component, Clone, Copy)]
//! struct Position { x: f32, y: f32 }
//!
//! let mut world = World::new()?;
//! let entity = world.spawn((Position { x: 1.0, y: 2.0 },))?;
//! let position = ComponentView::of::<Position>().quantised("x", 1.0 / 64.0).quantised("y", 1.0 / 64.0);
//! let mut view = View::new(&mut world, ViewSpec::new().with(position))?;
//!
//! let (mut schema, mut frame) = (Vec::new(), Vec::new());
//! view.schema().encode(&mut schema);
//! let mut mirror = ViewWorld::open(&schema)?;
//! view.publish(ColumnReader::new(&mut world), 1, None, &mut frame);
//! mirror.apply(&frame)?;
//! assert_eq!(mirror.column::<f32>("Position", "x"), Some(&[1.0][..]));
//!
//! world.set(entity, Position { x: 1.5, y: 2.0 })?;
//! frame.clear();
//! view.publish(ColumnReader::new(&mut world), 2, None, &mut frame);
//! mirror.apply(&frame)?;
//! assert_eq!(mirror.column::<f32>("Position", "x"), Some(&[1.5][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Publisher`] does this for many clients: it keeps a log that clients follow at their own pace, and that those who
//! come back go on from. Where frames may be lost, [`LossyViewWorld`] is the client's end.
//!
//! A [`ReplicaHost`] adds what a network needs: connections that choose their part of the world, send inputs and return.
//!
//! # The format
//! [`Schema::encode`] documents the message that opens a stream; `frame.rs`, `rows.rs` and `pack.rs` of this crate document
//! frames, byte by byte, `packing.rs` frames that are packed by zstd (feature `zstd`), and `wire.rs` requests.
//!
//! # Not here
//! Sockets, and who may see what: a frame is bytes.
#![warn(missing_docs)]

mod bytes;
mod error;
mod frame;
mod held;
mod host;
mod interpolate;
mod lossy;
mod pack;
mod packing;
mod predict;
mod publisher;
mod quantise;
mod rows;
mod schema;
mod spec;
mod typescript;
mod view;
mod view_world;
mod wire;

pub use crate::error::{FrameError, ViewError};
pub use crate::host::{ConnectionId, Input, ReceiveError, ReplicaHost};
pub use crate::interpolate::Interpolation;
pub use crate::lossy::{BASELINES_MAX, LossyViewWorld};
pub use crate::predict::{Correction, PredictError, Prediction};
pub use crate::publisher::{Bytes, ClientId, Publisher, PublisherOptions};
pub use crate::schema::{COMPONENTS_MAX, Coding, ComponentSchema, FieldSchema, MAGIC, Predictor, Schema, VERSION};
pub use crate::spec::{ComponentView, ViewSpec};
pub use crate::view::{Interest, View};
pub use crate::view_world::{AnyValues, Applied, Gone, Removed, Value, ViewWorld};
pub use crate::wire::{Answer, Request, Subscription, SubscriptionError, Topic};
