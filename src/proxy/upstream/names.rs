//! Resolves the names of backends, at the start and again and again.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Upstream;
use super::url::Place;
use crate::net::Address;
use crate::net::resolve::{ResolveError, Resolver};

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(30);
/// After a round in which a backend has no address; doubled each time, up to [`INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long the start waits for the first round. A server that answers does so in
/// milliseconds; one that is down must not keep the guard from starting.
const FIRST_ROUND: Duration = Duration::from_secs(2);

/// What is known of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Fresh,
    /// The last round failed, and the addresses of an earlier one are in use.
    Stale,
    /// No round has found an address.
    Unresolved,
}

struct Name {
    backend: usize,
    host: String,
    port: u16,
    known: Known,
}

impl Upstream {
    /// Resolves the names now and every 30 seconds, on a thread of its own; there is none
    /// where no backend has a name. Returns once each name has been asked for, or two
    /// seconds have passed. A failure keeps the addresses that there were.
    ///
    /// # Errors
    ///
    /// If the system denies the thread.
    pub fn resolve_names(self: &Arc<Self>, resolver: Resolver) -> io::Result<()> {
        let backends = self.backends.iter().enumerate();
        let mut names: Vec<_> = backends
            .filter_map(|(backend, held)| match held.url.place() {
                Place::Address(_) => None,
                Place::Name { host, port } => Some(Name {
                    backend,
                    host: host.clone(),
                    port: *port,
                    known: Known::Nothing,
                }),
            })
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let upstream = Arc::clone(self);
        let (done, first_round) = sync_channel(1);
        std::thread::Builder::new()
            .name("resolver".into())
            .spawn(move || {
                let mut retry = FIRST_RETRY;
                loop {
                    for name in &mut names {
                        upstream.resolve(name, &resolver);
                    }
                    // Nobody waits for any round but the first.
                    let _ = done.try_send(());
                    let has_all = names.iter().all(|name| name.known != Known::Unresolved);
                    if has_all {
                        retry = FIRST_RETRY;
                        std::thread::sleep(INTERVAL);
                    } else {
                        std::thread::sleep(retry);
                        retry = (retry * 2).min(INTERVAL);
                    }
                }
            })?;
        // Late is not an error: until then the backend is as one that is down.
        let _ = first_round.recv_timeout(FIRST_ROUND);
        Ok(())
    }

    fn resolve(&self, name: &mut Name, resolver: &Resolver) {
        let shown = self.name(name.backend);
        match resolver.addresses(&name.host) {
            Ok(ips) => {
                name.known = Known::Fresh;
                let addresses: Vec<_> = ips
                    .into_iter()
                    .map(|ip| Address::Tcp(SocketAddr::new(ip, name.port)))
                    .collect();
                if self.publish(name.backend, &addresses) {
                    let mut list = String::new();
                    for address in &addresses {
                        let separator = if list.is_empty() { "" } else { "," };
                        let _ = write!(list, "{separator}{address}");
                    }
                    log::info!("backend_resolved backend={shown} addresses={list}");
                }
            }
            Err(error) => {
                let known = match name.known {
                    Known::Fresh | Known::Stale => Known::Stale,
                    Known::Nothing | Known::Unresolved => Known::Unresolved,
                };
                // A state that lasts is logged once.
                if known != name.known {
                    warn(shown, known, &error);
                }
                name.known = known;
            }
        }
    }

    /// Puts `addresses` in place, and tells whether they are others than before. A backend
    /// that moved is tried at once, however often it failed where it was.
    fn publish(&self, backend: usize, addresses: &[Address]) -> bool {
        let held = &self.backends[backend];
        let mut current = held
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Servers turn the order of several addresses to spread the load; take it as it is.
        let is_same_set = current.len() == addresses.len()
            && addresses.iter().all(|address| current.contains(address));
        *current = addresses.into();
        drop(current);
        if !is_same_set {
            held.health.succeeded();
        }
        !is_same_set
    }
}

fn warn(backend: &str, known: Known, error: &ResolveError) {
    if known == Known::Stale {
        log::warn!("backend_unresolved backend={backend} in_use=earlier reason=\"{error}\"");
    } else {
        log::warn!(
            "backend_unresolved backend={backend} in_use=none reason=\"{error}\" \
             (requests are answered with 502 until it resolves)"
        );
    }
}
