//! What can go wrong before a gateway serves.

use std::io;
use std::net::SocketAddr;

/// Why a gateway does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A text is no address.
    #[error("`{0}` is no address to listen on, such as 127.0.0.1:7070")]
    Address(String),
    /// The network's threads cannot be started.
    #[error("cannot start the gateway's threads: {0}")]
    Threads(io::Error),
    /// Two worlds, or two hosts, have one name.
    #[error("two {what} are named `{name}`")]
    Twice {
        /// `worlds` or `hosts`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A name that cannot stand in an address.
    #[error("`{0}` is no name for a world or a host: letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// A path that is no path, or one that is taken.
    #[error("cannot serve at `{path}`: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// An empty token would let everybody in.
    #[error("a token must not be empty")]
    EmptyToken,
    /// A foreign network could reach a gateway that lets everybody in.
    #[error("{0} can be reached from other machines: set a token, or allow it without one")]
    Exposed(SocketAddr),
    /// The certificate or its key cannot be used.
    #[error("the certificate: {0}")]
    Certificate(String),
}
