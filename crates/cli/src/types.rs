//! `peristyle types`: writes TypeScript declarations of what a world on the network shows.

use std::{
    fmt::Display,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use futures_util::StreamExt;
use peristyle_replica::{FrameError, Schema, Topic};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

/// How long a server may take to say what it shows.
const PATIENCE: Duration = Duration::from_secs(10);

/// Declare the components of a world in TypeScript, as its gateway shows them.
#[derive(Debug, Args)]
pub(crate) struct Types {
    /// Where the world is, such as http://127.0.0.1:7070/ or ws://127.0.0.1:7070/ws/sky
    #[arg(value_name = "URL")]
    url: String,

    /// What the gateway wants to hear.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Write to a file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
enum TypesError {
    #[error("is no address of a world: expected http:// or ws://")]
    Url,
    #[error("is no token")]
    Token,
    #[error("cannot be asked: {0}")]
    Socket(#[from] Box<tungstenite::Error>),
    #[error("refused: {0}")]
    Refused(String),
    #[error("said nothing for {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("shows no world")]
    NoWorld,
    #[error("says something else than what it shows: {0}")]
    Schema(#[from] FrameError),
    #[error("cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl Types {
    pub(crate) fn run(self) -> ExitCode {
        let asked = schema(&self.url, self.token.as_deref());
        let schema = match asked {
            Ok(schema) => schema,
            Err(error) => {
                let code = if matches!(error, TypesError::Url | TypesError::Token) { 2 } else { 1 };
                return failed(format_args!("{} {error}", self.url), code);
            }
        };
        let text = schema.to_typescript();
        let written = match &self.output {
            Some(path) => fs::write(path, text),
            None => io::stdout().lock().write_all(text.as_bytes()),
        };
        match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(TypesError::Write(error), 1),
        }
    }
}

/// The address of the WebSocket of a world.
fn address(url: &str) -> Result<String, TypesError> {
    let (scheme, rest) = url.split_once("://").ok_or(TypesError::Url)?;
    if !matches!(scheme, "ws" | "http") || rest.is_empty() || rest.starts_with('/') {
        return Err(TypesError::Url);
    }
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = if path.is_empty() { "ws" } else { path };
    Ok(format!("ws://{host}/{path}?topics={}", Topic::RenderState.name()))
}

/// Asks a gateway what a world shows.
fn schema(url: &str, token: Option<&str>) -> Result<Schema, TypesError> {
    let socket = |error| TypesError::Socket(Box::new(error));
    let mut request = address(url)?.into_client_request().map_err(|_| TypesError::Url)?;
    if let Some(token) = token {
        let header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| TypesError::Token)?;
        request.headers_mut().insert("authorization", header);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = async {
        let (mut stream, _) = connect_async(request).await.map_err(socket)?;
        while let Some(message) = stream.next().await {
            match message.map_err(socket)? {
                Message::Binary(bytes) => return Ok(Schema::decode(Topic::split(&bytes)?.1)?),
                Message::Close(Some(close)) => return Err(TypesError::Refused(close.reason.to_string())),
                _ => {}
            }
        }
        Err(TypesError::NoWorld)
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(TypesError::Silent)) })
}

fn failed(error: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_pages_and_of_worlds_are_taken() {
        let address = |url| address(url).ok();
        let world = |url: &str| Some(format!("{url}?topics=render.state"));
        assert_eq!(address("http://127.0.0.1:7070/"), world("ws://127.0.0.1:7070/ws"));
        assert_eq!(address("http://127.0.0.1:7070"), world("ws://127.0.0.1:7070/ws"));
        assert_eq!(address("ws://host/ws/sky?x=y#z"), world("ws://host/ws/sky"));
        for none in ["127.0.0.1:7070", "ftp://host/", "ws:///ws", ""] {
            assert_eq!(address(none), None, "{none}");
        }
    }
}
