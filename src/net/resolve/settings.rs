//! The file of resolv.conf(5).

use std::fs;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};

use super::query::How;

const PORT: u16 = 53;
/// As resolv.conf(5) bounds them, without a word.
const MOST_SERVERS: usize = 3;
const MOST_NDOTS: u32 = 15;
const LONGEST_TIMEOUT: u32 = 30;
const MOST_ATTEMPTS: u32 = 5;

/// Whom to ask, how, and for which names.
#[derive(Debug)]
pub(super) struct Settings {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with as many dots is asked for as it is before the search list is used.
    ndots: usize,
    rotate: bool,
    pub(super) attempts: usize,
    pub(super) asks_for_v6: bool,
    pub(super) how: How,
}

impl Settings {
    /// Reads the file; a line that is not understood counts for nothing, as in glibc.
    pub(super) fn parse(file: &[u8]) -> Self {
        let (config, _) = Config::parse_with_errors(file);
        let servers = config.get_nameservers_or_local();
        let servers = servers.iter().take(MOST_SERVERS).filter_map(server);
        let mut search: Vec<_> = config
            .get_last_search_or_domain()
            .map(ToOwned::to_owned)
            .collect();
        if config.get_search().is_none() && config.get_domain().is_none() {
            search.extend(config.get_system_domain());
        }
        Self {
            servers: servers.collect(),
            search,
            ndots: config.ndots.min(MOST_NDOTS) as usize,
            rotate: config.rotate,
            attempts: config.attempts.clamp(1, MOST_ATTEMPTS) as usize,
            asks_for_v6: !config.no_aaaa,
            how: How {
                timeout: Duration::from_secs(config.timeout.clamp(1, LONGEST_TIMEOUT).into()),
                always_tcp: config.use_vc,
                edns0: config.edns0,
            },
        }
    }

    /// The names to ask for, in this order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let below = |domain: &String| match domain.trim_matches('.') {
            "" => name.to_owned(),
            domain => format!("{name}.{domain}"),
        };
        let mut candidates: Vec<_> = self.search.iter().map(below).collect();
        let dots = name.bytes().filter(|&byte| byte == b'.').count();
        let at = if dots >= self.ndots {
            0
        } else {
            candidates.len()
        };
        candidates.insert(at, name.to_owned());
        candidates
    }

    /// The servers in the order of this attempt.
    pub(super) fn servers(&self, attempt: usize) -> impl Iterator<Item = SocketAddr> {
        let first = if self.rotate { attempt } else { 0 };
        let count = self.servers.len();
        (0..count).map(move |at| self.servers[(first + at) % count])
    }
}

/// `None` where the scope names no interface of this machine.
fn server(address: &ScopedIp) -> Option<SocketAddr> {
    match address {
        ScopedIp::V4(address) => Some((*address, PORT).into()),
        ScopedIp::V6(address, None) => Some((IpAddr::from(*address), PORT).into()),
        ScopedIp::V6(address, Some(scope)) => {
            let index = || {
                let file = fs::read_to_string(format!("/sys/class/net/{scope}/ifindex")).ok()?;
                file.trim().parse().ok()
            };
            let scope = scope.parse().ok().or_else(index)?;
            Some(SocketAddrV6::new(*address, PORT, 0, scope).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_manual_names() {
        let settings = Settings::parse(
            b"; a comment\n\
              nameserver 192.0.2.1\n\
              nameserver nonsense\n\
              nameserver 2001:db8::1\n\
              nameserver 192.0.2.3\n\
              nameserver 192.0.2.4\n\
              domain ignored.example\n\
              search one.example two.example\n\
              options ndots:20 timeout:99 attempts:9 rotate use-vc edns0 no-aaaa unknown\n",
        );
        let order = |attempt| {
            let servers = settings.servers(attempt);
            servers
                .map(|server| server.ip().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(order(0), ["192.0.2.1", "2001:db8::1", "192.0.2.3"]);
        assert_eq!(order(1), ["2001:db8::1", "192.0.2.3", "192.0.2.1"]);
        assert_eq!(settings.ndots, 15);
        assert_eq!(settings.how.timeout, Duration::from_secs(30));
        assert_eq!(settings.attempts, 5);
        assert!(settings.how.always_tcp && settings.how.edns0 && !settings.asks_for_v6);
        assert_eq!(
            settings.candidates("app"),
            ["app.one.example", "app.two.example", "app"]
        );
    }

    #[test]
    fn asks_the_machine_itself_by_default() {
        let settings = Settings::parse(b"");
        let servers: Vec<_> = settings.servers(1).map(|server| server.ip()).collect();
        assert!(servers.iter().all(IpAddr::is_loopback) && servers.len() == 2);
        assert_eq!(settings.how.timeout, Duration::from_secs(5));
        assert_eq!(settings.attempts, 2);
    }

    #[test]
    fn searches_by_the_count_of_dots() {
        let settings = Settings::parse(b"search example. .\noptions ndots:2\n");
        assert_eq!(settings.candidates("a"), ["a.example", "a", "a"]);
        assert_eq!(settings.candidates("a.b"), ["a.b.example", "a.b", "a.b"]);
        assert_eq!(
            settings.candidates("a.b.c")[..2],
            ["a.b.c", "a.b.c.example"]
        );
        assert_eq!(settings.candidates("a."), ["a"]);
        let settings = Settings::parse(b"domain example\n");
        assert_eq!(settings.candidates("a"), ["a.example", "a"]);
    }
}
