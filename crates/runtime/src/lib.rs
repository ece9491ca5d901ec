//! What agents are for: apps that a host serves, and apps whose world is native.
//!
//! An [`AgentApp`] is an app whose modules live in a JavaScript agent: their states, actions and what they expose. A
//! [`Host`](peristyle_mirror::Host) serves them to its clients, beside modules in Rust. A [`PortTransport`] carries the
//! messages of the mirror protocol over a message port: a client in an agent follows a host here, or the other way round.
//!
//! ```
//! use peristyle_agents::{Cluster, Code};
//! use peristyle_mirror::{Client, ClientOptions, Host, SyncMode, block_on, transport::memory_pair};
//! use peristyle_runtime::{AgentApp, AppOptions};
//!
//! let code = Code::source("app.ts", r#"
//!     import { createWorkerApp, defineModule } from "peristyle";
//!
//!     class Counter {
//!         count: number = 0;
//!         increase(step = 1): number {
//!             this.count += step;
//!             return this.count;
//!         }
//!     }
//!     createWorkerApp({ providers: [defineModule(Counter, { name: "counter", state: ["count"], actions: ["increase"] })] });
//! "#);
//!
//! let cluster = Cluster::new()?;
//! let host = Host::builder().sync(SyncMode::Patch).build()?;
//! let app = AgentApp::start(&cluster, code, AppOptions::default(), &host)?;
//!
//! let (near, far) = memory_pair();
//! host.connect(near)?;
//! let client = Client::connect(far, ClientOptions::default())?;
//! assert_eq!(block_on(client.call::<u32>("counter", "increase", (2,)))?, 2);
//! assert_eq!(client.select(|state| state.get("counter")?.get("count")?.as_i64())?, Some(2));
//! # drop(app);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`AppRuntime`] runs an app of the package `peristyle` whose world is native: what `peristyle run` does.
//!
//! # Rules
//! - State lives where its actions run. Its text is made there, and passed on unread.
//! - What an agent does, hangs in or dies of concerns its own modules; everybody else goes on.
//!
//! # Not here
//! Engines (`peristyle-agents`), the protocol (`peristyle-mirror`).
#![deny(unsafe_code)]

mod app;
mod native;
mod package;
mod transport;

pub use crate::app::{AgentApp, AppError, AppOptions};
pub use crate::native::{AfterFrame, AppRuntime, AppRuntimeBuilder, FrameCount, Frames, RustContext, RustSystem};
pub use crate::package::Package;
pub use crate::transport::{PortOptions, PortTransport};
