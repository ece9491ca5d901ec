//! Who may connect, and what they may see and call.
//!
//! # Rules
//! - A page of another origin is refused, whatever token its user has: browsers send cookies and reach loopback for anyone.
//! - Tokens are compared in constant time, all of them, whichever fits.
//! - Without a token set, everybody whose origin is right has everything.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use peristyle_replica::Topic;
use subtle::{Choice, ConstantTimeEq};

/// Modules of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Modules {
    /// All there are.
    #[default]
    All,
    /// These.
    Only(Vec<String>),
}

impl Modules {
    /// These modules.
    pub fn only<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Modules {
        Modules::Only(names.into_iter().map(Into::into).collect())
    }

    /// Whether a module is among them.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Modules::All => true,
            Modules::Only(names) => names.iter().any(|known| known == name),
        }
    }
}

/// What a client may do. Everything unless told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it may follow.
    pub topics: Vec<Topic>,
    /// Modules whose state it sees.
    pub read: Modules,
    /// Modules whose methods it may call.
    pub call: Modules,
}

impl Default for Grant {
    fn default() -> Grant {
        Grant { topics: Topic::ALL.to_vec(), read: Modules::All, call: Modules::All }
    }
}

impl Grant {
    /// Sees everything, calls nothing.
    pub fn read_only() -> Grant {
        Grant { call: Modules::Only(Vec::new()), ..Grant::default() }
    }
}

/// Tokens, and what each grants.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    known: Vec<(String, Grant)>,
    /// What clients without a token may do; nothing if tokens are set and this is not.
    anonymous: Option<Grant>,
}

impl std::fmt::Debug for Tokens {
    // Tokens do not appear in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("known", &self.known.len()).field("anonymous", &self.anonymous).finish()
    }
}

impl Tokens {
    pub(crate) fn add(&mut self, token: String, grant: Grant) {
        self.known.push((token, grant));
    }

    pub(crate) fn allow_anonymous(&mut self, grant: Grant) {
        self.anonymous = Some(grant);
    }

    /// Whether somebody without a token is let in.
    pub(crate) fn anonymous(&self) -> Option<Grant> {
        if self.known.is_empty() {
            return Some(self.anonymous.clone().unwrap_or_default());
        }
        self.anonymous.clone()
    }

    pub(crate) fn are_set(&self) -> bool {
        !self.known.is_empty()
    }

    /// What a token grants; nothing if it is none.
    pub(crate) fn grant(&self, token: &str) -> Option<Grant> {
        let mut found = None;
        for (known, grant) in &self.known {
            let same: Choice = known.as_bytes().ct_eq(token.as_bytes());
            if bool::from(same) {
                found = Some(grant);
            }
        }
        found.cloned()
    }
}

/// The token of a request's header, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The origins whose pages may connect.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    /// `host:port` of the gateway's own pages.
    own: Vec<String>,
    /// Other origins, as `https://example.org`.
    allowed: Vec<String>,
    /// The gateway listens on all of its machine's addresses, and goes by whatever name it was asked for.
    any_host: bool,
    is_loopback: bool,
    is_secure: bool,
}

impl Origins {
    pub(crate) fn new(listening: SocketAddr, is_secure: bool, allowed: Vec<String>) -> Origins {
        let port = listening.port();
        let mut own = vec![listening.to_string()];
        if listening.ip().is_loopback() || listening.ip().is_unspecified() {
            own.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        let usual = if is_secure { 443 } else { 80 };
        if port == usual {
            let hosts: Vec<String> = own.iter().filter_map(|host| Some(host.rsplit_once(':')?.0.to_owned())).collect();
            own.extend(hosts);
        }
        let allowed = allowed.into_iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        let (any_host, is_loopback) = (listening.ip().is_unspecified(), listening.ip().is_loopback());
        Origins { own, allowed, any_host, is_loopback, is_secure }
    }

    /// Whether a request may be answered. Programs that are no browser send no origin, and are let pass.
    ///
    /// A page whose name was made to point here (DNS rebinding) names itself as host and origin: on loopback neither is
    /// one of ours.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else { return false };
        if self.allowed.contains(&origin) {
            return true;
        }
        let scheme = if self.is_secure { "https://" } else { "http://" };
        let Some(host) = origin.strip_prefix(scheme) else { return false };
        let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
        self.own.iter().any(|own| own == host) || (self.any_host && asked.as_deref() == Some(host))
    }
}

impl Origins {
    /// Whether a request without an origin, such as one for figures, was made in a name of ours: a page whose name was made
    /// to point to loopback is of the same origin as what it asks for.
    pub(crate) fn admit_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
        let host = host.to_ascii_lowercase();
        let of_allowed = |origin: &String| origin.split_once("://").is_some_and(|(_, allowed)| allowed == host);
        self.any_host || !self.is_loopback || self.own.contains(&host) || self.allowed.iter().any(of_allowed)
    }
}

/// Whether an address can be reached from other machines.
pub(crate) fn is_exposed(ip: IpAddr) -> bool {
    !ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn pages_of_other_origins_are_foreign() {
        let origins = Origins::new("127.0.0.1:7070".parse().unwrap(), false, vec!["https://Example.org/".into()]);
        let admits = |origin, host| origins.admit(&headers(&[("origin", origin), ("host", host)]));
        assert!(admits("http://localhost:7070", "localhost:7070"));
        assert!(admits("http://127.0.0.1:7070", "127.0.0.1:7070"));
        assert!(admits("https://example.org", "127.0.0.1:7070"));
        assert!(origins.admit(&headers(&[("host", "127.0.0.1:7070")])));
        for foreign in [
            "http://evil.org",
            "http://localhost:7071",
            "https://localhost:7070",
            "null",
            "http://localhost:7070.evil.org",
        ] {
            assert!(!admits(foreign, "127.0.0.1:7070"), "{foreign}");
        }
        // A name that was made to point to loopback.
        assert!(!admits("http://evil.org:7070", "evil.org:7070"));
    }

    #[test]
    fn on_all_addresses_the_name_that_was_asked_for_is_ours() {
        let origins = Origins::new("0.0.0.0:80".parse().unwrap(), false, Vec::new());
        let admits = |origin, host| origins.admit(&headers(&[("origin", origin), ("host", host)]));
        assert!(admits("http://sky.example", "sky.example"));
        assert!(admits("http://localhost", "localhost"));
        assert!(!admits("http://evil.org", "sky.example"));
    }

    #[test]
    fn tokens_grant_what_they_were_given() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.anonymous(), Some(Grant::default()));
        tokens.add("all".into(), Grant::default());
        tokens.add("look".into(), Grant::read_only());
        assert_eq!(tokens.anonymous(), None);
        assert_eq!(tokens.grant("look"), Some(Grant::read_only()));
        for wrong in ["", "al", "alll", "ALL"] {
            assert_eq!(tokens.grant(wrong), None);
        }
        tokens.allow_anonymous(Grant::read_only());
        assert_eq!(tokens.anonymous(), Some(Grant::read_only()));
        assert!(!format!("{tokens:?}").contains("look\""));
    }

    #[test]
    fn tokens_stand_in_a_header() {
        assert_eq!(bearer(&headers(&[("authorization", "Bearer abc")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "bearer abc")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
        assert_eq!(bearer(&headers(&[])), None);
    }
}
