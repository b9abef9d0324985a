//! Networks of addresses: `10.0.0.0/8`, `2001:db8::/32`, or an address alone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decimal::decimal;

/// Shorter prefixes are doubted: a /8 is the largest block that anybody has of IPv4, and
/// of IPv6 nobody has a /16.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// The addresses that have the first bits of one in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.address, self.prefix)
    }
}

/// A network that is hardly meant. Displays as itself and how much it holds:
/// `0.0.0.0/1 holds half of all addresses of IPv4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WideNetwork(Network);

impl WideNetwork {
    /// Whether it holds every address of its family.
    #[must_use]
    pub fn holds_all(&self) -> bool {
        self.0.prefix == 0
    }
}

impl fmt::Display for WideNetwork {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(network) = self;
        write!(to, "{} holds ", network.whole())?;
        match network.prefix {
            0 => to.write_str("all")?,
            1 => to.write_str("half of all")?,
            2 => to.write_str("a quarter of all")?,
            3 => to.write_str("an eighth of all")?,
            prefix => write!(to, "1/{} of all", 1_u32 << prefix)?,
        }
        let version = if network.address.is_ipv4() { 4 } else { 6 };
        write!(to, " addresses of IPv{version}")
    }
}

/// Why a member of a list is not a network. Displays as the message for the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// The member is not an address, a network or `unix`.
    NotANetwork(String),
    /// The member's address has bits that its prefix leaves out; and the network.
    HostBits(String, String),
    /// The same of a network that is too wide to be meant, so that the prefix is at fault.
    WideHostBits(String, WideNetwork),
    /// The member begins in the IPv4-mapped range and is wider than that range.
    WiderThanIpv4(String),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANetwork(member) => write!(
                to,
                "{member:?} is neither an IP address, a network such as 10.0.0.0/8, nor unix; \
                 write some of these"
            ),
            Self::HostBits(member, network) => write!(
                to,
                "{member:?} is an address inside of a network; write {network} for the network, \
                 or the address without the prefix"
            ),
            Self::WideHostBits(member, network) => write!(
                to,
                "{member:?} is an address inside of a network, and {network}; write the prefix that \
                 is meant, such as {}",
                network.0.narrowed()
            ),
            Self::WiderThanIpv4(member) => write!(
                to,
                "{member:?} holds more than all of IPv4; write 0.0.0.0/0 for all of IPv4, \
                 or a prefix of 96 or more"
            ),
        }
    }
}

impl std::error::Error for NetworkError {}

/// Bits before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

impl Network {
    pub(super) fn parse(text: &str) -> Result<Self, NetworkError> {
        let network = Self::read(text).ok_or_else(|| NetworkError::NotANetwork(text.to_owned()))?;
        let canonical = network.address.to_canonical();
        let is_mapped = network.address.is_ipv6() && canonical.is_ipv4();
        let network = if is_mapped {
            let prefix = network.prefix.checked_sub(MAPPED_PREFIX);
            Self {
                address: canonical,
                prefix: prefix.ok_or_else(|| NetworkError::WiderThanIpv4(text.to_owned()))?,
            }
        } else {
            network
        };
        // A file that is cut off inside of 10.1.0.0/16 would let 10.1.0.0/1 in.
        let whole = network.whole();
        if whole.address != network.address {
            let text = text.to_owned();
            return Err(match whole.wide() {
                Some(_) => NetworkError::WideHostBits(text, WideNetwork(network)),
                None => NetworkError::HostBits(text, whole.to_string()),
            });
        }
        Ok(network)
    }

    fn read(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(decimal::<u8>(prefix)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(widest);
        (prefix <= widest).then_some(Self { address, prefix })
    }

    /// The same from its first address on, whose bits behind the prefix are 0.
    fn whole(&self) -> Self {
        let prefix = u32::from(self.prefix);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Self { address, ..*self }
    }

    /// The network around its address that is the widest one not to be doubted.
    fn narrowed(&self) -> Self {
        let prefix = if self.address.is_ipv4() {
            WIDEST_V4
        } else {
            WIDEST_V6
        };
        Self { prefix, ..*self }.whole()
    }

    /// Where it holds so many addresses that a slip is likelier than a wish.
    pub(super) fn wide(&self) -> Option<WideNetwork> {
        let is_wide = match self.address {
            IpAddr::V4(_) => self.prefix < WIDEST_V4,
            // All of the private addresses, and of those of a link, are what they are.
            IpAddr::V6(address) => {
                self.prefix < WIDEST_V6
                    && !address.is_unique_local()
                    && !address.is_unicast_link_local()
            }
        };
        is_wide.then_some(WideNetwork(*self))
    }

    pub(super) fn holds(&self, address: IpAddr) -> bool {
        let same_bits = match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        same_bits >= u32::from(self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(text: &str) -> Option<String> {
        let network = Network::parse(text).expect(text);
        network.wide().map(|network| network.to_string())
    }

    #[test]
    fn prefixes_that_are_far_too_short_are_doubted() {
        for (text, shown) in [
            ("0.0.0.0/0", "0.0.0.0/0 holds all addresses of IPv4"),
            (
                "128.0.0.0/1",
                "128.0.0.0/1 holds half of all addresses of IPv4",
            ),
            (
                "64.0.0.0/2",
                "64.0.0.0/2 holds a quarter of all addresses of IPv4",
            ),
            (
                "10.0.0.0/7",
                "10.0.0.0/7 holds 1/128 of all addresses of IPv4",
            ),
            ("::ffff:0:0/96", "0.0.0.0/0 holds all addresses of IPv4"),
            ("::/0", "::/0 holds all addresses of IPv6"),
            (
                "2000::/3",
                "2000::/3 holds an eighth of all addresses of IPv6",
            ),
            (
                "2000::/15",
                "2000::/15 holds 1/32768 of all addresses of IPv6",
            ),
        ] {
            assert_eq!(doubt(text).as_deref(), Some(shown), "{text}");
        }
        for text in [
            "10.0.0.0/8",
            "2001::/16",
            "fc00::/7",
            "fd00::/8",
            "fe80::/10",
            "::1",
        ] {
            assert_eq!(doubt(text), None, "{text}");
        }
    }

    #[test]
    fn a_short_prefix_with_bits_behind_it_is_the_fault() {
        for (text, remedy) in [
            ("10.1.2.3/1", "10.0.0.0/8"),
            ("203.0.113.0/2", "203.0.0.0/8"),
            ("2001:db8::/3", "2001::/16"),
        ] {
            let fault = Network::parse(text).expect_err(text).to_string();
            assert!(fault.ends_with(&format!("such as {remedy}")), "{fault}");
        }
        let fault = Network::parse("10.1.2.3/8")
            .expect_err("a fault")
            .to_string();
        assert!(
            fault.contains("write 10.0.0.0/8 for the network"),
            "{fault}"
        );
    }
}
