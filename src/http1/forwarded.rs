//! Who the client is: the peer, or whom a trusted proxy speaks for.

use std::fmt;
use std::net::IpAddr;

use tiny_http::Request;

use super::fields::list;
use super::network::{Network, NetworkError, WideNetwork};
use crate::net::{Peer, UNIX_PEER};

/// A client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// An IP address, IPv4 never in its IPv6-mapped form.
    Ip(IpAddr),
    /// Whoever is at the other end of a Unix socket.
    Unix,
}

impl Client {
    fn of(peer: Peer) -> Self {
        if peer == UNIX_PEER {
            Self::Unix
        } else {
            Self::Ip(peer.ip().to_canonical())
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(to),
            Self::Unix => to.write_str("unix"),
        }
    }
}

impl Client {
    /// Its address, where it has one.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix => None,
        }
    }
}

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    unix: bool,
}

impl TrustedProxies {
    /// From a comma-separated list of addresses, networks (`10.0.0.0/8`) and `unix`.
    ///
    /// An IPv4-mapped member (`::ffff:10.0.0.0/104`) means the IPv4 network, because peers
    /// are compared in their canonical form.
    ///
    /// # Errors
    ///
    /// The member that is none of these.
    pub fn parse(list: &str) -> Result<Self, NetworkError> {
        let mut trusted = Self::default();
        for member in list
            .split(',')
            .map(str::trim)
            .filter(|member| !member.is_empty())
        {
            if member == "unix" {
                trusted.unix = true;
            } else {
                trusted.networks.push(Network::parse(member)?);
            }
        }
        Ok(trusted)
    }

    /// Those that hold so many addresses that a slip is likelier than a wish.
    pub fn wide(&self) -> impl Iterator<Item = WideNetwork> {
        self.networks.iter().filter_map(Network::wide)
    }

    /// Whether `client` is one of the proxies.
    #[must_use]
    pub fn trusts(&self, client: Client) -> bool {
        match client {
            Client::Unix => self.unix,
            Client::Ip(address) => self.networks.iter().any(|network| network.holds(address)),
        }
    }

    /// What a trusted proxy says that the client asked for: `X-Forwarded-Uri`, a path
    /// with its query.
    #[must_use]
    pub fn forwarded_uri<'a>(&self, request: &'a Request) -> Option<&'a str> {
        let peer = Client::of(request.remote_addr().copied().unwrap_or(UNIX_PEER));
        if !self.trusts(peer) {
            return None;
        }
        let mut fields = request.headers().iter().rev();
        let field = fields.find(|field| field.field.equiv("X-Forwarded-Uri"))?;
        Some(field.value.as_str())
    }

    /// The client of a connection that no request is known of.
    #[must_use]
    pub fn peer(peer: Peer) -> Client {
        Client::of(peer)
    }

    /// The peer, or where that is trusted the last address of `X-Forwarded-For` that is
    /// not; where all are, the first of them.
    #[must_use]
    pub fn client(&self, request: &Request) -> Client {
        let peer = request.remote_addr().copied().unwrap_or(UNIX_PEER);
        let fields = request.headers().iter().map(|field| {
            let name = field.field.as_str().as_bytes();
            (name, field.value.as_bytes())
        });
        self.client_of(peer, self.trusts(Client::of(peer)), fields)
    }

    /// The client that a trusted proxy names; `None` where none is named.
    #[must_use]
    pub fn named_client(&self, request: &Request) -> Option<Client> {
        let peer = request.remote_addr().copied().unwrap_or(UNIX_PEER);
        Some(self.client(request)).filter(|&client| client != Client::of(peer))
    }

    /// The same as [`Self::client`] from the names and values of header fields. `is_believed` says whether the
    /// peer's word counts: it does where the peer is trusted, and where it presented the
    /// right secret, because then it is the gateway.
    #[must_use]
    pub fn client_of<'f>(
        &self,
        peer: Peer,
        is_believed: bool,
        fields: impl DoubleEndedIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Client {
        let mut client = Client::of(peer);
        if !is_believed {
            return client;
        }
        let values = fields
            .rev()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"x-forwarded-for"))
            .map(|(_, value)| value);
        // RFC 9110, section 5.6.1.2: empty members of a list count for nothing.
        for member in values.flat_map(|value| list(value).rev()) {
            // What a trusted proxy did not write as an address says nothing of a client.
            let Some(address) = forwarded_address(member) else {
                break;
            };
            client = Client::Ip(address.to_canonical());
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// An address as proxies write it: bare, `[v6]`, or with a port.
fn forwarded_address(member: &[u8]) -> Option<IpAddr> {
    let member = std::str::from_utf8(member).ok()?;
    let bare = || member.parse().ok();
    let with_port = || {
        member
            .parse::<std::net::SocketAddr>()
            .ok()
            .map(|peer| peer.ip())
    };
    let bracketed = || member.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use tiny_http::{Header, TestRequest};

    use super::*;

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut request = TestRequest::new().with_remote_addr(peer.parse().expect("a peer"));
        for value in forwarded {
            let header = Header::from_bytes("x-forwarded-for", *value).expect("ASCII");
            request = request.with_header(header);
        }
        let trusted = TrustedProxies::parse(trusted).expect("a list");
        trusted.client(&request.into()).to_string()
    }

    #[test]
    fn believes_trusted_proxies_alone() {
        let peer = "10.1.2.3:4000";
        assert_eq!(client("", peer, &["203.0.113.7"]), "10.1.2.3");
        assert_eq!(client("10.0.0.0/8", peer, &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("11.0.0.0/8", peer, &["203.0.113.7"]), "10.1.2.3");
        assert_eq!(client("0.0.0.0/0", peer, &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("unix", "0.0.0.0:0", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "0.0.0.0:0", &["203.0.113.7"]), "unix");
        assert_eq!(
            client("::1", "[::1]:80", &["[2001:db8::1]:99"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn takes_the_last_address_that_is_not_trusted() {
        let peer = "10.1.2.3:4000";
        let trusted = "10.0.0.0/8";
        assert_eq!(
            client(trusted, peer, &["198.51.100.1, 203.0.113.7"]),
            "203.0.113.7"
        );
        assert_eq!(
            client(trusted, peer, &["198.51.100.1", "203.0.113.7, 10.9.9.9"]),
            "203.0.113.7"
        );
        assert_eq!(client(trusted, peer, &["10.8.8.8, 10.9.9.9"]), "10.8.8.8");
        assert_eq!(
            client(trusted, peer, &["203.0.113.7, nonsense, 10.9.9.9"]),
            "10.9.9.9"
        );
    }

    #[test]
    fn reads_ipv4_mapped_networks_as_ipv4() {
        let forwarded = &["203.0.113.7"];
        for (trusted, peer, named) in [
            ("::ffff:10.0.0.0/104", "10.1.2.3:4000", "203.0.113.7"),
            (
                "::ffff:10.0.0.0/104",
                "[::ffff:10.1.2.3]:4000",
                "203.0.113.7",
            ),
            ("::ffff:10.0.0.0/104", "11.1.2.3:4000", "11.1.2.3"),
            ("::ffff:a01:203", "10.1.2.3:4000", "203.0.113.7"),
            ("::ffff:10.1.2.3/128", "10.1.2.4:4000", "10.1.2.4"),
            ("::ffff:0:0/96", "10.1.2.3:4000", "203.0.113.7"),
            ("::/0", "10.1.2.3:4000", "10.1.2.3"),
        ] {
            assert_eq!(client(trusted, peer, forwarded), named, "{trusted} {peer}");
        }
        let wide = "::ffff:10.0.0.0/95";
        assert_eq!(
            TrustedProxies::parse(wide).expect_err("a fault"),
            NetworkError::WiderThanIpv4(wide.to_owned())
        );
    }

    #[test]
    fn passes_over_empty_members() {
        let trusted = "10.0.0.0/8";
        for forwarded in [
            &["203.0.113.7,"][..],
            &["203.0.113.7, , "],
            &[", ,203.0.113.7"],
            &["203.0.113.7", ""],
            &["203.0.113.7", " ,\t"],
            &["203.0.113.7,,10.9.9.9,"],
        ] {
            assert_eq!(
                client(trusted, "10.1.2.3:4000", forwarded),
                "203.0.113.7",
                "{forwarded:?}"
            );
        }
    }

    #[test]
    fn names_what_is_no_network() {
        for bad in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0",
            "proxy.example",
            "10.0.0.0/-1",
        ] {
            let list = format!("127.0.0.1, {bad}");
            assert_eq!(
                TrustedProxies::parse(&list).expect_err("a fault"),
                NetworkError::NotANetwork(bad.to_owned())
            );
        }
    }

    #[test]
    fn believes_the_gateway_that_presented_the_secret() {
        let trusted = TrustedProxies::parse("10.0.0.0/8").expect("a list");
        let fields: [(&[u8], &[u8]); 3] = [
            (b"X-Forwarded-For", b"198.51.100.1"),
            (b"x-forwarded-for", b"203.0.113.7, 10.9.9.9"),
            (b"X_Forwarded_For", b"192.0.2.9"),
        ];
        let peer = "192.0.2.1:4000".parse().expect("a peer");
        let client = |is_believed| {
            let client = trusted.client_of(peer, is_believed, fields.into_iter());
            client.to_string()
        };
        assert_eq!(client(true), "203.0.113.7");
        assert_eq!(client(false), "192.0.2.1");
    }
}
