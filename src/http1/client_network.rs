//! Who a client is where many are counted: an address of IPv4, a network of IPv6, in one
//! number that fits into an atomic.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::forwarded::Client;

/// A client's address; of IPv6 the /64, which one host commands (RFC 4291, section 2.5.4).
///
/// The number is that of the network. IPv4 and Unix sockets are numbers of `0000::/16`, where
/// no network of IPv6 is but the one of loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(u64);

const UNIX: u64 = 1;
const LOOPBACK: u64 = 2;
const IPV4: u64 = 1 << 32;

impl ClientNetwork {
    /// The network of `client`.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self(match client {
            Client::Unix => UNIX,
            Client::Ip(IpAddr::V4(address)) => IPV4 | u64::from(address.to_bits()),
            Client::Ip(IpAddr::V6(address)) => {
                let network = address.to_bits() >> 64;
                u64::try_from(network)
                    .ok()
                    .filter(|&network| network != 0)
                    .unwrap_or(LOOPBACK)
            }
        })
    }

    /// The number, never 0.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// From a number that [`ClientNetwork::to_bits`] has returned; 0 is none.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            UNIX => to.write_str("unix"),
            LOOPBACK => Ipv6Addr::LOCALHOST.fmt(to),
            bits if bits >> 32 == 1 => {
                let address = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
                Ipv4Addr::from_bits(address).fmt(to)
            }
            bits => write!(to, "{}/64", Ipv6Addr::from_bits(u128::from(bits) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_shown_as_what_it_is() {
        for (client, shown) in [
            ("203.0.113.7", "203.0.113.7"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("::1", "::1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ] {
            let client = Client::Ip(client.parse().expect("an address"));
            let network = ClientNetwork::of(client);
            assert_eq!(network.to_string(), shown);
            assert_eq!(ClientNetwork::from_bits(network.to_bits()), Some(network));
        }
        assert_eq!(ClientNetwork::of(Client::Unix).to_string(), "unix");
        assert_eq!(ClientNetwork::from_bits(0), None);
    }
}
