//! Names -> addresses, by hosts(5) and resolv.conf(5).
//!
//! getaddrinfo(3) is not used: a static glibc loads the host's modules for it, and fails
//! where they are of another version, or are not there.

mod hosts;
mod query;
mod response_code;
mod settings;

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use query::{Answer, Kind, QueryError};
use settings::Settings;

/// Resolves names on the calling thread, which waits for the servers.
#[derive(Clone, Debug)]
pub struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
}

/// Why a name has no address.
#[derive(Debug)]
pub enum ResolveError {
    /// `/etc/hosts` does not hold the name, and the servers know no address of it.
    NotFound,
    /// No server gave an answer; this is what the last one did.
    NoAnswer(QueryError),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => to.write_str("no address is known for the name"),
            Self::NoAnswer(error) => error.fmt(to),
        }
    }
}

impl std::error::Error for ResolveError {}

impl Default for Resolver {
    /// By `/etc/hosts` and `/etc/resolv.conf`.
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

impl Resolver {
    /// Every address of `name`, at least one; IPv4 first. Both files are read anew.
    ///
    /// # Errors
    ///
    /// If the name has no address, or no server answers within the times that
    /// `resolv.conf` gives.
    pub fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let known = self.known_addresses(name);
        if !known.is_empty() {
            return Ok(known);
        }
        let settings = fs::read(&self.resolv_conf).unwrap_or_default();
        ask_for_each_candidate(&Settings::parse(&settings), name)
    }

    /// The addresses of `name` for which no server has to be asked; none where one has to.
    #[must_use]
    pub fn known_addresses(&self, name: &str) -> Vec<IpAddr> {
        // A file that is missing or cannot be read says nothing, as resolv.conf(5) has it.
        let hosts = fs::read(&self.hosts).unwrap_or_default();
        let addresses = hosts::addresses(&hosts, name);
        if addresses.is_empty() && is_localhost(name) {
            return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        addresses
    }
}

/// Whether `name` is `localhost` or below it: its addresses are known without asking
/// (RFC 6761, section 6.3).
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next();
    last.is_some_and(|label| label.eq_ignore_ascii_case("localhost"))
}

fn ask_for_each_candidate(settings: &Settings, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let mut failure = None;
    for candidate in settings.candidates(name) {
        match ask_for_both_kinds(settings, &candidate) {
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => return Ok(addresses),
            // The name exists, perhaps, but this server does not say so.
            Err(error @ (QueryError::ServerFailure(_) | QueryError::Malformed)) => {
                failure = Some(error);
            }
            // A server that cannot be reached will not answer for the next candidate.
            Err(error) => return Err(ResolveError::NoAnswer(error)),
        }
    }
    Err(failure.map_or(ResolveError::NotFound, ResolveError::NoAnswer))
}

/// The addresses of both families; an error where one that matters is not known.
fn ask_for_both_kinds(settings: &Settings, name: &str) -> Result<Vec<IpAddr>, QueryError> {
    let v4 = ask_each_server(settings, name, Kind::A);
    if matches!(v4, Ok(Answer::NoSuchName)) || !settings.asks_for_v6 {
        return v4.map(Answer::into_addresses);
    }
    let v6 = ask_each_server(settings, name, Kind::Aaaa);
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok([v4.into_addresses(), v6.into_addresses()].concat()),
        (Ok(Answer::Addresses(known)), Err(_)) | (Err(_), Ok(Answer::Addresses(known)))
            if !known.is_empty() =>
        {
            Ok(known)
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn ask_each_server(settings: &Settings, name: &str, kind: Kind) -> Result<Answer, QueryError> {
    let mut failure = QueryError::NoServer;
    for attempt in 0..settings.attempts {
        for server in settings.servers(attempt) {
            match query::ask(server, settings.how, name, kind) {
                Ok(answer) => return Ok(answer),
                Err(error @ QueryError::BadName) => return Err(error),
                Err(error) => failure = error,
            }
        }
    }
    Err(failure)
}
