//! `https://` and `wss://`.

use tokio::net::TcpStream;

use crate::error::GatewayError;

#[cfg(feature = "tls")]
mod with {
    use std::sync::Arc;

    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{self, ServerConfig};
    use tokio_rustls::{TlsAcceptor, server::TlsStream};

    use super::{GatewayError, TcpStream};

    /// Opens connections with a certificate.
    #[derive(Clone)]
    pub(crate) struct Tls(TlsAcceptor);

    impl Tls {
        pub(crate) fn new(certificates: &[u8], key: &[u8]) -> Result<Tls, GatewayError> {
            let failed = |error: &dyn std::fmt::Display| GatewayError::Certificate(error.to_string());
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
                .collect::<Result<_, _>>()
                .map_err(|error| failed(&format_args!("its chain is no PEM: {error}")))?;
            if chain.is_empty() {
                return Err(failed(&"there is none in its file"));
            }
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| failed(&format_args!("its key cannot be read: {error}")))?;
            let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => failed(&"its key is that of another certificate"),
                    error => failed(&error),
                })?;
            Ok(Tls(TlsAcceptor::from(Arc::new(config))))
        }

        pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
            self.0.accept(stream).await
        }
    }
}

#[cfg(not(feature = "tls"))]
mod with {
    use super::{GatewayError, TcpStream};

    /// Nobody can make one.
    #[derive(Clone)]
    pub(crate) enum Tls {}

    impl Tls {
        pub(crate) fn new(_: &[u8], _: &[u8]) -> Result<Tls, GatewayError> {
            Err(GatewayError::Certificate("this build lacks the feature `tls`".into()))
        }

        pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TcpStream> {
            let _ = &stream;
            match *self {}
        }
    }
}

pub(crate) use with::Tls;
