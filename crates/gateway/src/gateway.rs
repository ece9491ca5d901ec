//! A gateway: what it serves, where it listens, and how it ends.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peristyle_mirror::Host;
use peristyle_timeline::Timeline;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::access::{Grant, Origins, Tokens, is_exposed};
use crate::addresses::{AddressPlace, Addresses};
use crate::connection::Offer;
use crate::error::GatewayError;
use crate::feed::WorldFeed;
use crate::http::router;
use crate::limits::Limits;
use crate::metrics::{Metrics, Refusal};
use crate::tls::Tls;
use crate::trace::TraceFeed;

/// What the network's tasks share.
pub(crate) struct Shared {
    pub(crate) offers: Vec<Offer>,
    pub(crate) limits: Limits,
    pub(crate) tokens: Tokens,
    pub(crate) origins: Origins,
    pub(crate) is_isolated: bool,
    pub(crate) metrics: Arc<Metrics>,
    /// Becomes true once.
    pub(crate) closing: watch::Sender<bool>,
}

/// A document that is made when it is asked for.
pub(crate) type Document = Arc<dyn Fn() -> String + Send + Sync>;

/// A file in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaticPage {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: &'static [u8],
}

/// What is served beside worlds and hosts.
#[derive(Default)]
pub(crate) struct Routes {
    pub(crate) documents: Vec<(String, Document)>,
    pub(crate) pages: Vec<(String, StaticPage)>,
    pub(crate) directories: Vec<(String, PathBuf)>,
}

/// Collects what a gateway serves.
#[derive(Default)]
#[must_use = "a builder serves nothing until `serve`"]
pub struct GatewayBuilder {
    names: Vec<String>,
    worlds: BTreeMap<String, WorldFeed>,
    hosts: BTreeMap<String, Host>,
    timelines: BTreeMap<String, Timeline>,
    routes: Routes,
    limits: Limits,
    tokens: Tokens,
    origins: Vec<String>,
    is_unisolated: bool,
    may_be_exposed: bool,
    threads: usize,
    tls: Option<(Vec<u8>, Vec<u8>)>,
    error: Option<GatewayError>,
}

/// The name of what is served at `/ws`, and by its name at `/ws/default`, unless it is given another.
const DEFAULT_NAME: &str = "default";

impl GatewayBuilder {
    fn fail(&mut self, error: GatewayError) {
        self.error.get_or_insert(error);
    }

    fn name(&mut self, name: &str) -> String {
        let is_name = |name: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !name.is_empty() && name.bytes().all(is_part) && !name.bytes().all(|byte| byte == b'.')
        };
        if !is_name(name) {
            self.fail(GatewayError::Name(name.to_owned()));
        }
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        name.to_owned()
    }

    /// Serves a world at `/ws`.
    pub fn world(self, feed: &WorldFeed) -> Self {
        self.named_world(DEFAULT_NAME, feed)
    }

    /// Serves a world at `/ws/NAME`. What is named first is at `/ws` too.
    pub fn named_world(mut self, name: &str, feed: &WorldFeed) -> Self {
        let name = self.name(name);
        if self.worlds.insert(name.clone(), feed.clone()).is_some() {
            self.fail(GatewayError::Twice { what: "worlds", name });
        }
        self
    }

    /// Serves modules at `/ws`, beside the world there.
    pub fn host(self, host: &Host) -> Self {
        self.named_host(DEFAULT_NAME, host)
    }

    /// Serves modules at `/ws/NAME`.
    pub fn named_host(mut self, name: &str, host: &Host) -> Self {
        let name = self.name(name);
        if self.hosts.insert(name.clone(), host.clone()).is_some() {
            self.fail(GatewayError::Twice { what: "hosts", name });
        }
        self
    }

    /// Shows a timeline at `/ws`, beside the world there.
    pub fn timeline(self, timeline: &Timeline) -> Self {
        self.named_timeline(DEFAULT_NAME, timeline)
    }

    /// Shows a timeline at `/ws/NAME`.
    pub fn named_timeline(mut self, name: &str, timeline: &Timeline) -> Self {
        let name = self.name(name);
        if self.timelines.insert(name.clone(), timeline.clone()).is_some() {
            self.fail(GatewayError::Twice { what: "timelines", name });
        }
        self
    }

    fn path(&mut self, path: &str) -> String {
        let Routes { documents, pages, directories } = &self.routes;
        let mut taken = documents.iter().map(|(known, _)| known).chain(pages.iter().map(|(known, _)| known));
        let is_taken = taken.any(|known| known == path) || directories.iter().any(|(known, _)| known == path);
        let why = if !path.starts_with('/') {
            "a path starts with `/`"
        } else if path.contains(['{', '}', '*', '?', '#']) {
            "a path has no `{`, `}`, `*`, `?` or `#`"
        } else if ["/ws", "/metrics", "/healthz"].contains(&path) || path.starts_with("/ws/") {
            "the path is the gateway's own"
        } else if is_taken {
            "the path is taken"
        } else {
            return path.to_owned();
        };
        self.fail(GatewayError::Path { path: path.to_owned(), why });
        path.to_owned()
    }

    /// Serves a JSON document that is made anew for each request, such as `/api/report`.
    pub fn document(mut self, path: &str, make: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let path = self.path(path);
        self.routes.documents.push((path, Arc::new(make)));
        self
    }

    /// Serves the live page at `/`: what is first named, as it moves. It is one file, and asks nobody else for anything.
    pub fn live_page(self) -> Self {
        self.page("/", "text/html; charset=utf-8", include_bytes!("../page/live.html"))
    }

    /// Serves a file in memory.
    pub fn page(mut self, path: &str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        let path = self.path(path);
        self.routes.pages.push((path, StaticPage { media_type, bytes }));
        self
    }

    /// Serves the files of a directory under a path that is not `/`. Nothing above the directory is reached.
    pub fn directory(mut self, path: &str, directory: impl Into<PathBuf>) -> Self {
        let path = self.path(path.trim_end_matches('/'));
        self.routes.directories.push((path, directory.into()));
        self
    }

    /// Bounds what clients may take.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets in who knows a token, for everything.
    pub fn token(self, token: &str) -> Self {
        self.token_for(token, Grant::default())
    }

    /// Lets in who knows a token, for what is granted.
    pub fn token_for(mut self, token: &str, grant: Grant) -> Self {
        if token.is_empty() {
            self.fail(GatewayError::EmptyToken);
        }
        self.tokens.add(token.to_owned(), grant);
        self
    }

    /// Lets in who knows no token, for what is granted. Without any token everybody may do everything.
    pub fn anonymous(mut self, grant: Grant) -> Self {
        self.tokens.allow_anonymous(grant);
        self.may_be_exposed = true;
        self
    }

    /// Lets pages of another origin connect, such as `https://example.org`; also what a proxy in front goes by.
    pub fn origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// Whether pages are cross-origin isolated, which they need for shared memory, and which keeps them from embedding what
    /// others serve without saying so. True unless told.
    pub fn isolated(mut self, is_isolated: bool) -> Self {
        self.is_unisolated = !is_isolated;
        self
    }

    /// Threads of the network. 1 unless told: the cores are the world's.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Serves `https://` and `wss://` with a certificate chain and its key, both PEM.
    pub fn tls(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls = Some((certificates.into(), key.into()));
        self
    }

    /// Listens, and serves until the result is dropped or [shut down](Gateway::shutdown). Port 0 is any free port.
    ///
    /// # Errors
    /// [`GatewayError`]: the first thing that was asked for and cannot be, or why the address cannot be listened on. An
    /// address that others can reach needs a token, or [`anonymous`](GatewayBuilder::anonymous).
    pub fn serve(mut self, address: impl ToSocketAddrs + std::fmt::Debug) -> Result<Gateway, GatewayError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let text = format!("{address:?}");
        let address = address.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let address = address.ok_or_else(|| GatewayError::Address(text.trim_matches('"').to_owned()))?;
        if is_exposed(address.ip()) && !self.tokens.are_set() && !self.may_be_exposed {
            return Err(GatewayError::Exposed(address));
        }
        let tls = self.tls.take().map(|(certificates, key)| Tls::new(&certificates, &key)).transpose()?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(self.threads.max(1)).thread_name("peristyle-net").enable_all();
        let runtime = runtime.build().map_err(GatewayError::Threads)?;
        let bind = |source| GatewayError::Bind { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener).map_err(bind)?
        };
        let address = listener.local_addr().map_err(bind)?;
        let is_secure = tls.is_some();
        let routes = std::mem::take(&mut self.routes);
        let shared = Arc::new(self.share(address, is_secure));
        for offer in &shared.offers {
            offer.world.iter().for_each(|feed| drop(runtime.spawn(feed.clone().spread())));
            offer.trace.iter().for_each(|trace| drop(runtime.spawn(trace.clone().spread())));
        }
        let router = router(shared.clone(), routes);
        runtime.spawn(accept(listener, tls, router, shared.clone()));
        Ok(Gateway { address, is_secure, shared, runtime: Some(runtime) })
    }

    pub(crate) fn share(self, address: SocketAddr, is_secure: bool) -> Shared {
        let offer = |name: &String| Offer {
            name: name.clone(),
            world: self.worlds.get(name).cloned(),
            host: self.hosts.get(name).cloned(),
            trace: self.timelines.get(name).cloned().map(TraceFeed::new),
        };
        Shared {
            offers: self.names.iter().map(offer).collect(),
            limits: self.limits,
            tokens: self.tokens,
            origins: Origins::new(address, is_secure, self.origins),
            is_isolated: !self.is_unisolated,
            metrics: Arc::new(Metrics::new()),
            closing: watch::Sender::new(false),
        }
    }
}

/// Waits until the gateway closes.
pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
    // Its sender lives as long as what is shared.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Takes connections until the gateway closes.
async fn accept(listener: TcpListener, tls: Option<Tls>, router: Router, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.limits.sockets));
    let addresses = Addresses::default();
    let mut closing = shared.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed(&mut closing) => return,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, mostly: others have to go first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(of_address) = addresses.enter(peer.ip(), shared.limits.per_address) else {
            shared.metrics.refuse(Refusal::Address);
            tokio::spawn(turn_away(stream, "429 Too Many Requests"));
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            shared.metrics.refuse(Refusal::Sockets);
            tokio::spawn(turn_away(stream, "503 Service Unavailable"));
            continue;
        };
        // Latency matters more than a few packets.
        let _ = stream.set_nodelay(true);
        let (router, shared, tls) = (router.clone(), shared.clone(), tls.clone());
        tokio::spawn(async move {
            let _place = place;
            match tls {
                None => serve_connection(stream, of_address, router, &shared).await,
                Some(tls) => match tokio::time::timeout(shared.limits.handshake, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve_connection(stream, of_address, router, &shared).await,
                    Ok(Err(_)) => shared.metrics.refuse(Refusal::Handshake),
                    Err(_) => shared.metrics.refuse(Refusal::Timeout),
                },
            }
        });
    }
}

/// Says that there is no room, to whoever listens.
async fn turn_away(mut stream: TcpStream, status: &str) {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = tokio::time::timeout(Duration::from_millis(100), stream.write_all(answer.as_bytes())).await;
}

/// Answers requests on one connection, until it becomes a WebSocket.
async fn serve_connection<S>(stream: S, of_address: AddressPlace, router: Router, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut closing = shared.closing.subscribe();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(shared.limits.handshake).max_buf_size(64 << 10);
    let router = TowerToHyperService::new(router);
    // A WebSocket outlives the connection's task, and keeps its place among those of its address.
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(of_address.clone());
        router.call(request)
    });
    let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Err(error) if error.is_timeout() => shared.metrics.refuse(Refusal::Timeout),
        Err(error) if error.is_parse() => shared.metrics.refuse(Refusal::Malformed),
        // Who goes away in the middle is nobody's error.
        _ => {}
    }
}

/// A gateway that serves. Dropping it shuts it down.
pub struct Gateway {
    address: SocketAddr,
    is_secure: bool,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).field("clients", &self.clients()).finish()
    }
}

impl Gateway {
    /// Begins to collect what a gateway serves.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a browser finds it.
    pub fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("{scheme}://{address}/")
    }

    /// WebSocket clients that are connected.
    pub fn clients(&self) -> usize {
        self.shared.metrics.clients()
    }

    /// Takes no more clients, says goodbye to those there are, waits for them for [`Limits::goodbye`], and ends.
    pub fn shutdown(mut self) {
        self.close();
    }

    fn close(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.shared.closing.send_replace(true);
        self.shared.metrics.wait_until_left(self.shared.limits.goodbye);
        // Also where nothing may block, as in a task of another runtime.
        runtime.shutdown_background();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.close();
    }
}
