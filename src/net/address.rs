//! Where to listen, or to connect.

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket without the NUL behind it, in bytes (unix(7)).
pub const LONGEST_UNIX_PATH: usize = 107;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `ADDR:PORT`.
    Tcp(SocketAddr),
    /// `tls:ADDR:PORT`: TCP that speaks TLS.
    Tls(SocketAddr),
    /// `redirect:ADDR:PORT`: TCP where clients are sent to https.
    Redirect(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Address {
    /// The address of TCP.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) | Self::Redirect(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The same at another port, as the system has chosen it.
    pub(super) fn at(&self, address: SocketAddr) -> Self {
        match self {
            Self::Tls(_) => Self::Tls(address),
            Self::Redirect(_) => Self::Redirect(address),
            _ => Self::Tcp(address),
        }
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether it is one of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.socket_addr().is_some_and(|address| address.is_ipv6())
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let address = self.socket_addr();
        address.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    /// Whether it is `[::]` and takes IPv6 alone, because `0.0.0.0` with the same port is
    /// among `all` (`IPV6_V6ONLY`, ipv6(7)).
    #[must_use]
    pub fn is_v6_only(&self, all: &[Self]) -> bool {
        let wildcard = |address: SocketAddr| address.ip().is_unspecified();
        self.socket_addr().is_some_and(|own| {
            let is_v4 = |other: SocketAddr| {
                other.is_ipv4() && wildcard(other) && other.port() == own.port()
            };
            let mut others = all.iter().filter_map(Self::socket_addr);
            own.is_ipv6() && wildcard(own) && own.port() != 0 && others.any(is_v4)
        })
    }

    /// Whether who connects here arrives at a socket that is bound to `listener`.
    #[must_use]
    pub fn leads_to(&self, listener: &Self) -> bool {
        match (self, listener) {
            (Self::Unix(path), Self::Unix(own)) => is_same_file(path, own),
            _ => match (self.socket_addr(), listener.socket_addr()) {
                (Some(wanted), Some(own)) => {
                    wanted.port() == own.port() && reaches(wanted.ip(), own.ip())
                }
                _ => false,
            },
        }
    }

    /// Whether something that listens at `other` keeps this from being bound, as far as the
    /// two addresses tell.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self == other || self.takes(other, &[]) || other.takes(self, &[])
    }

    /// Whether it takes what is sent to `other`, so that only one of the two can be listened
    /// at. `all` are those that are listened at.
    #[must_use]
    pub fn takes(&self, other: &Self, all: &[Self]) -> bool {
        let (Some(own), Some(wanted)) = (self.socket_addr(), other.socket_addr()) else {
            return false;
        };
        let takes_family =
            own.is_ipv6() == wanted.is_ipv6() || own.is_ipv6() && !self.is_v6_only(all);
        let takes_address = own == wanted || own.ip().is_unspecified() && takes_family;
        own.port() == wanted.port() && own.port() != 0 && takes_address
    }
}

/// Whether a connection to `wanted` arrives at a socket that is bound to `own`.
fn reaches(wanted: IpAddr, own: IpAddr) -> bool {
    let (wanted, own) = (wanted.to_canonical(), own.to_canonical());
    if wanted == own {
        return true;
    }
    // Connecting to 0.0.0.0 or [::] is connecting to loopback (ip(7)).
    if wanted.is_unspecified() {
        return own.is_loopback() || own.is_unspecified();
    }
    // A socket that is bound to [::] takes IPv4 too. An address is this machine's if it can
    // be bound to; a sandbox without a network says no to all, and has no such loop.
    own.is_unspecified()
        && (own.is_ipv6() || wanted.is_ipv4())
        && (wanted.is_loopback() || UdpSocket::bind((wanted, 0)).is_ok())
}

/// Whether both paths are one, also where a folder has two names (`/var/run` is `/run`). The
/// file itself need not be there.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent()?.canonicalize().ok();
    one == other
        || one.file_name() == other.file_name()
            && folder(one).is_some_and(|one| folder(other) == Some(one))
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(to),
            Self::Tls(address) => write!(to, "tls:{address}"),
            Self::Redirect(address) => write!(to, "redirect:{address}"),
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn both_wildcards_of_a_port_share_it() {
        let both = [tcp("0.0.0.0:443"), tcp("[::]:443")];
        assert!(both[1].is_v6_only(&both) && !both[0].is_v6_only(&both));
        assert!(!both[0].takes(&both[1], &both) && !both[1].takes(&both[0], &both));
        let others = [tcp("0.0.0.0:80"), tcp("[::]:443"), tcp("127.0.0.1:443")];
        assert!(!others[1].is_v6_only(&others));
        assert!(others[1].takes(&others[2], &others));
        assert!(!others[2].takes(&others[1], &others));
        let any = [tcp("0.0.0.0:0"), tcp("[::]:0")];
        assert!(!any[1].is_v6_only(&any) && !any[0].takes(&any[1], &any));
    }

    #[test]
    fn a_folder_may_have_two_names() {
        let folder = std::env::temp_dir().join(format!("address-{}", std::process::id()));
        let (real, link) = (folder.join("run"), folder.join("link"));
        std::fs::create_dir_all(&real).expect("made");
        std::os::unix::fs::symlink("run", &link).expect("linked");
        let unix = |path: PathBuf| Address::Unix(path);
        let listener = unix(real.join("a"));
        for (path, is_it) in [
            (link.join("a"), true),
            (real.join("../run/a"), true),
            (link.join("b"), false),
            (folder.join("missing/a"), false),
        ] {
            assert_eq!(unix(path.clone()).leads_to(&listener), is_it, "{path:?}");
        }
        assert!(!listener.leads_to(&tcp("127.0.0.1:1")));
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
