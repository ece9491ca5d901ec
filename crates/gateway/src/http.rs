//! What is asked for over HTTP, WebSocket upgrades included.
//!
//! # Rules
//! - A WebSocket is refused before the upgrade, with a status: 403 for a page of another origin, 401 for a wrong token, 404
//!   for an unknown name, 400 for a query without a meaning, 503 when there are too many clients.
//! - `/metrics` and what lies under `/api` want a token where tokens are set, and a host name of ours on loopback.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use peristyle_replica::Subscription;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower_http::services::ServeDir;

use crate::access::bearer;
use crate::addresses::AddressPlace;
use crate::connection::{Client, Offer};
use crate::gateway::{Routes, Shared};
use crate::metrics::{Page, Refusal, write_feeds};
use crate::socket::Socket;

/// What a client is told when it is not served.
struct Refused {
    status: StatusCode,
    why: Refusal,
    text: String,
}

/// Everything that a gateway answers to.
pub(crate) fn router(shared: Arc<Shared>, routes: Routes) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/ws", get(async |State(shared): State<Arc<Shared>>, request| upgrade(&shared, None, request)))
        .route(
            "/ws/{name}",
            get(async |State(shared): State<Arc<Shared>>, Path(name): Path<String>, request| {
                upgrade(&shared, Some(&name), request)
            }),
        );
    for (path, document) in routes.documents {
        router = router.route(
            &path,
            get(async move |State(shared): State<Arc<Shared>>, headers: HeaderMap| {
                shared.guard(&headers).map(|()| ([(header::CONTENT_TYPE, "application/json")], document()))
            }),
        );
    }
    for (path, page) in routes.pages {
        router = router.route(&path, get(async move || ([(header::CONTENT_TYPE, page.media_type)], page.bytes)));
    }
    for (path, directory) in routes.directories {
        router = router.nest_service(&path, ServeDir::new(directory));
    }
    router
        .fallback(async |State(shared): State<Arc<Shared>>, request: Request| {
            shared.refuse(Refusal::Path, StatusCode::NOT_FOUND, format!("there is nothing at {}", request.uri().path()))
        })
        .layer(middleware::from_fn_with_state(shared.clone(), with_headers))
        .with_state(shared)
}

/// Counts a request, and tells browsers to keep its page apart from others.
async fn with_headers(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response<Body> {
    shared.metrics.requests.add(1);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    if shared.is_isolated {
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    response
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        let mut response = (self.status, format!("{}\n", self.text)).into_response();
        if self.why == Refusal::Token {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl Shared {
    fn refuse(&self, why: Refusal, status: StatusCode, text: impl Into<String>) -> Refused {
        self.metrics.refuse(why);
        Refused { status, why, text: text.into() }
    }

    /// Lets those who may read figures and documents pass.
    fn guard(&self, headers: &HeaderMap) -> Result<(), Refused> {
        if !self.origins.admit_host(headers) {
            return Err(self.refuse(Refusal::Origin, StatusCode::FORBIDDEN, "the host of this request is not ours"));
        }
        let is_known = bearer(headers).is_some_and(|token| self.tokens.grant(token).is_some());
        if is_known || self.tokens.anonymous().is_some() {
            return Ok(());
        }
        Err(self.refuse(Refusal::Token, StatusCode::UNAUTHORIZED, "not authorised"))
    }
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> impl IntoResponse {
    shared.guard(&headers)?;
    let mut page = Page::default();
    shared.metrics.write(&mut page);
    let worlds = shared.offers.iter().filter_map(|offer| Some((offer.name.clone(), offer.world.as_ref()?.sample())));
    write_feeds(&mut page, &worlds.collect::<Vec<_>>());
    let hosts =
        shared.offers.iter().filter_map(|offer| Some((&*offer.name, offer.host.as_ref()?.connections() as f64)));
    page.labelled("host_clients", "gauge", "host", hosts);
    Ok::<_, Refused>(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page.text()))
}

/// Answers a request for a WebSocket, and serves it.
fn upgrade(shared: &Arc<Shared>, name: Option<&str>, mut request: Request) -> Result<Response<Body>, Refused> {
    if !shared.origins.admit(request.headers()) {
        return Err(shared.refuse(Refusal::Origin, StatusCode::FORBIDDEN, "pages of this origin may not connect"));
    }
    let grant = match bearer(request.headers()) {
        Some(token) => match shared.tokens.grant(token) {
            None if shared.tokens.are_set() => {
                return Err(shared.refuse(Refusal::Token, StatusCode::UNAUTHORIZED, "not authorised"));
            }
            grant => grant.or_else(|| shared.tokens.anonymous()),
        },
        None => shared.tokens.anonymous(),
    };
    let offer = match name {
        None => shared.offers.first(),
        Some(name) => shared.offers.iter().find(|offer| offer.name == name),
    };
    let Some(offer) = offer else {
        let text = format!("there is no world and no host `{}`", name.unwrap_or_default());
        return Err(shared.refuse(Refusal::Path, StatusCode::NOT_FOUND, text));
    };
    let subscription = Subscription::parse(request.uri().query().unwrap_or_default())
        .map_err(|error| shared.refuse(Refusal::Query, StatusCode::BAD_REQUEST, error.to_string()))?;
    let accept = accept_key(request.headers())
        .map_err(|what| shared.refuse(Refusal::Upgrade, StatusCode::UPGRADE_REQUIRED, what))?;
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        let text = "this connection cannot become a WebSocket";
        return Err(shared.refuse(Refusal::Upgrade, StatusCode::UPGRADE_REQUIRED, text));
    };
    let Some(place) = shared.metrics.enter(shared.limits.clients) else {
        let text = format!("{} clients are here, no more may come", shared.limits.clients);
        return Err(shared.refuse(Refusal::Clients, StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let client = Client {
        shared: shared.clone(),
        offer: Offer::clone(offer),
        subscription,
        grant,
        _place: place,
        _of_address: request.extensions_mut().remove::<AddressPlace>(),
    };
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = Socket::new(TokioIo::new(upgraded), &client.shared.limits).await;
        client.serve(socket).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The answer to a WebSocket's key (RFC 6455, 4.2), or what the request lacks.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    let has = |name: HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err("this address is for WebSockets");
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err("only version 13 of WebSocket is spoken here");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("the request has no WebSocket key")?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| "the WebSocket key has no meaning")
}
