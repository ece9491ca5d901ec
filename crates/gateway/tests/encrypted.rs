//! `https://` and `wss://`, spoken by a client that trusts only the tests' authority.

mod common;

use std::sync::Arc;
use std::time::Duration;

use peristyle_gateway::{Gateway, GatewayError, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;

use common::{Moving, Watcher, next_of, raw};

const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");

/// Opens a connection that trusts these authorities.
async fn connect(gateway: &Gateway, authorities: &[&[u8]], name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn get(gateway: &Gateway, path: &str) -> String {
    let mut stream = connect(gateway, &[AUTHORITY], "localhost").await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gateway.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A sample of the metrics.
async fn refused(gateway: &Gateway, reason: &str) -> String {
    let text = get(gateway, "/metrics").await;
    let sample = format!("peristyle_refused_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)).expect("a sample").to_owned()
}

#[tokio::test]
async fn pages_and_worlds_come_encrypted_to_who_trusts_the_certificate() {
    let mut moving = Moving::new(3);
    let feed = moving.feed();
    let gateway = Gateway::builder().world(&feed).tls(CERTIFICATE, KEY).serve("127.0.0.1:0").unwrap();
    assert_eq!(gateway.url(), format!("https://{}/", gateway.address()));
    assert!(get(&gateway, "/healthz").await.ends_with("\r\n\r\nok\n"));

    moving.tick(&feed);
    let stream = connect(&gateway, &[AUTHORITY], "127.0.0.1").await.unwrap();
    let url = format!("wss://{}/ws?topics=render.state", gateway.address());
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    let mut watcher = Watcher::default();
    while watcher.view.as_ref().and_then(|view| view.tick()) != Some(1) {
        watcher.take(next_of(&mut socket).await);
    }
    assert_eq!((watcher.column("y"), watcher.hash()), (&[1.0; 3][..], feed.hash()));

    assert!(connect(&gateway, &[], "localhost").await.is_err(), "nobody else vouches for it");
    assert!(connect(&gateway, &[AUTHORITY], "example.org").await.is_err(), "it is of another name");
}

#[tokio::test]
async fn who_speaks_no_tls_is_turned_away_and_counted() {
    let limits = Limits { handshake: Duration::from_secs(2), ..Limits::default() };
    let gateway = Gateway::builder().tls(CERTIFICATE, KEY).limits(limits).serve("127.0.0.1:0").unwrap();
    let answer = raw(gateway.address(), "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!answer.contains("ok"), "{answer}");
    let mut silent = TcpStream::connect(gateway.address()).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "who says nothing is not waited for");
    assert_eq!(refused(&gateway, "handshake").await, "1");
    assert_eq!(refused(&gateway, "timeout").await, "1");
}

#[test]
fn certificates_that_cannot_be_used_are_told_before_anything_is_served() {
    let error = |chain: &[u8], key: &[u8]| match Gateway::builder().tls(chain, key).serve("127.0.0.1:0") {
        Err(GatewayError::Certificate(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(b"nothing", KEY), "there is none in its file");
    assert_eq!(error(KEY, KEY), "there is none in its file");
    assert!(error(&CERTIFICATE[..200], KEY).starts_with("its chain is no PEM: "));
    assert!(error(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KEY).len() > 10);
    assert!(error(CERTIFICATE, b"").starts_with("its key cannot be read: "));
    assert!(error(CERTIFICATE, CERTIFICATE).starts_with("its key cannot be read: "));
    // A chain, and the key of another certificate.
    assert_eq!(error(AUTHORITY, KEY), "its key is that of another certificate");
}
