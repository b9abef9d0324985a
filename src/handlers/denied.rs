//! Who has been denied most, for the operator's page: in bounded memory, whoever floods.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::http1::client_network::ClientNetwork;
use crate::http1::forwarded::Client;

/// Clients that are told apart.
const MOST: usize = 32;
/// Longest path that is kept, in bytes.
const LONGEST_PATH: usize = 64;

/// A client that was denied.
#[derive(Clone, Debug)]
pub struct DeniedClient {
    /// Who it is.
    pub client: ClientNetwork,
    /// How often it was denied, at the most: it may have come in the place of another.
    pub denials: u64,
    /// Why, the last time.
    pub reason: &'static str,
    /// What it asked for then, printable ASCII, cut off; or where else it was denied.
    pub path: String,
    /// How long ago that was.
    pub last: Duration,
}

struct Entry {
    client: ClientNetwork,
    denials: u64,
    reason: &'static str,
    path: String,
    last: Instant,
}

static TABLE: Mutex<Table> = Mutex::new(Table(Vec::new()));

/// Those that were denied most often (the Space-Saving algorithm of Metwally, Agrawal and
/// El Abbadi): one that is not known takes the place of the one with the least denials, and
/// goes on from its count, so that who is denied often stays.
struct Table(Vec<Entry>);

impl Table {
    fn note(&mut self, client: ClientNetwork, reason: &'static str, path: &str, now: Instant) {
        let at = match self.0.iter().position(|entry| entry.client == client) {
            Some(at) => at,
            None if self.0.len() < MOST => {
                self.0.push(Entry {
                    client,
                    denials: 0,
                    reason,
                    path: String::with_capacity(LONGEST_PATH),
                    last: now,
                });
                self.0.len() - 1
            }
            None => {
                let least = (0..MOST).min_by_key(|&at| self.0[at].denials);
                least.unwrap_or_default()
            }
        };
        let entry = &mut self.0[at];
        entry.client = client;
        entry.denials += 1;
        entry.reason = reason;
        entry.path.clear();
        let shown = path.get(..LONGEST_PATH).unwrap_or(path);
        entry.path.push_str(shown);
        entry.last = now;
    }
}

/// Takes note of a denial; `path`, or what stands in its place, is printable ASCII. Nobody
/// waits here: where another thread is at it, the denial is left out.
pub(super) fn note(client: Client, reason: &'static str, path: &str) {
    if let Ok(mut table) = TABLE.try_lock() {
        table.note(ClientNetwork::of(client), reason, path, Instant::now());
    }
}

/// Who was denied most often, that one first.
#[must_use]
pub fn most_denied(now: Instant) -> Vec<DeniedClient> {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let clients = table.0.iter().map(|entry| DeniedClient {
        client: entry.client,
        denials: entry.denials,
        reason: entry.reason,
        path: entry.path.clone(),
        last: now.saturating_duration_since(entry.last),
    });
    let mut clients: Vec<_> = clients.collect();
    drop(table);
    clients.sort_by_key(|client| std::cmp::Reverse(client.denials));
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_does_not_push_out_who_is_denied_most_and_takes_no_memory() {
        let mut table = Table(Vec::new());
        let now = Instant::now();
        let client = |number: u32| ClientNetwork::of(Client::Ip(number.to_be_bytes().into()));
        let worst = client(7);
        for number in 0..100_000 {
            table.note(client(1000 + number), "no_secret", "/", now);
            if number % 10 == 0 {
                table.note(worst, "invalid_secret", &"x".repeat(300), now);
            }
        }
        assert_eq!(table.0.len(), MOST);
        let entry = table.0.iter().find(|entry| entry.client == worst);
        let entry = entry.expect("it is there");
        assert!(entry.denials >= 10_000, "{}", entry.denials);
        assert_eq!(
            (entry.reason, entry.path.len()),
            ("invalid_secret", LONGEST_PATH)
        );
    }
}
