//! The sockets of a socket unit, by what they lead to.

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener};

use crate::config::{Config, InheritedRoles, Role};
use crate::finding::{Finding, Level};
use crate::net::{Address, Inherited};
use crate::systemd::InheritedSocket;

/// The `FileDescriptorName=` of sockets, by what they lead to. Any other leads to the
/// origin, in plain HTTP.
const PLAIN: &str = "plain";
const TLS: &str = "tls";
const GATEWAY: &str = "gateway";
const GATEWAY_TLS: &str = "gateway-tls";
const REDIRECT: &str = "redirect";
const ADMIN: &str = "admin";

/// Sockets of a socket unit, by what they lead to.
#[derive(Default)]
pub struct InheritedSockets {
    pub(super) origin: Vec<Inherited>,
    pub(super) admin: Vec<Inherited>,
    pub(super) gateway: Vec<Inherited>,
    pub(super) redirect: Vec<Inherited>,
    /// What is likely a mistake.
    pub warnings: Vec<Finding>,
}

impl InheritedSockets {
    /// Sorts them by name.
    ///
    /// # Errors
    ///
    /// If TLS is to be spoken at a Unix socket.
    pub fn sort(sockets: Vec<InheritedSocket>) -> Result<Self, InheritedError> {
        let mut sorted = Self::default();
        for InheritedSocket { name, socket } in sockets {
            match name.as_str() {
                ADMIN => sorted.admin.push(socket),
                GATEWAY => sorted.gateway.push(socket),
                GATEWAY_TLS => sorted
                    .gateway
                    .push(over_tcp(socket, &name, Inherited::Tls)?),
                TLS => sorted.origin.push(over_tcp(socket, &name, Inherited::Tls)?),
                REDIRECT => sorted
                    .redirect
                    .push(over_tcp(socket, &name, Inherited::Redirect)?),
                _ => {
                    sorted.warnings.extend(Self::doubt(&name));
                    sorted.origin.push(socket);
                }
            }
        }
        Ok(sorted)
    }

    /// Whether one of them leads to the operator's listener.
    #[must_use]
    pub fn have_admin(&self) -> bool {
        !self.admin.is_empty()
    }

    /// The warning where a `FileDescriptorName=` leads to nothing of its own.
    #[must_use]
    pub fn doubt(name: &str) -> Option<Finding> {
        // systemd's own names are that of the unit, and these.
        const OWN: [&str; 5] = ["", PLAIN, "connection", "stored", "unknown"];
        let is_role = [ADMIN, GATEWAY, GATEWAY_TLS, TLS, REDIRECT].contains(&name);
        let is_known = is_role || OWN.contains(&name) || name.ends_with(".socket");
        (!is_known).then(|| {
            Finding::new(
                Level::Warning,
                "socket unit",
                format_args!("FileDescriptorName={name} is unknown, so plain HTTP is served there"),
                format_args!(
                    "write {PLAIN}, {TLS}, {GATEWAY}, {GATEWAY_TLS}, {REDIRECT} or {ADMIN}"
                ),
            )
        })
    }

    /// What the configuration has to know of them.
    #[must_use]
    pub fn roles(&self) -> InheritedRoles {
        let named = |name| {
            move |socket: &Inherited| {
                let name = match (name, socket) {
                    (PLAIN, Inherited::Tls(_)) => TLS,
                    (GATEWAY, Inherited::Tls(_)) => GATEWAY_TLS,
                    _ => name,
                };
                (name, socket.address())
            }
        };
        let origin = self.origin.iter().map(named(PLAIN));
        let gateway = self.gateway.iter().map(named(GATEWAY));
        let redirect = self.redirect.iter().map(named(REDIRECT));
        let admin = self.admin.iter().map(named(ADMIN));
        Self::roles_of(origin.chain(gateway).chain(redirect).chain(admin))
    }

    /// The same of sockets by their `FileDescriptorName=` and address.
    pub fn roles_of<'a>(
        sockets: impl Iterator<Item = (&'a str, Option<Address>)>,
    ) -> InheritedRoles {
        let mut roles = InheritedRoles::default();
        for (name, address) in sockets {
            let (role, kind): (_, fn(SocketAddr) -> Address) = match name {
                ADMIN => {
                    roles.admin = true;
                    (Role::Admin, Address::Tcp)
                }
                GATEWAY => {
                    roles.gateway = true;
                    (Role::Gateway, Address::Tcp)
                }
                GATEWAY_TLS => {
                    roles.gateway = true;
                    roles.gateway_tls = true;
                    (Role::Gateway, Address::Tls)
                }
                TLS => {
                    roles.tls = true;
                    (Role::Origin, Address::Tls)
                }
                REDIRECT => {
                    roles.redirect = true;
                    (Role::Redirect, Address::Redirect)
                }
                _ => {
                    roles.plain = true;
                    (Role::Origin, Address::Tcp)
                }
            };
            let address = address.map(|address| address.socket_addr().map_or(address, kind));
            roles
                .addresses
                .extend(address.map(|address| (role, address)));
        }
        roles
    }

    /// What is wrong with where sockets listen, by their `FileDescriptorName=` and address.
    ///
    /// # Errors
    ///
    /// If one can be reached from where it must not be, or is not TCP where that is needed.
    pub fn judge(name: &str, address: &Address, config: &Config) -> Result<(), InheritedError> {
        let open = address.socket_addr().filter(|_| !address.is_local());
        match (name, open) {
            (GATEWAY, Some(open)) if config.origin.is_none() => {
                Err(InheritedError::RemoteGateway(open))
            }
            (ADMIN, Some(open)) if !config.admin_allow_remote => {
                Err(InheritedError::RemoteAdmin(open))
            }
            (TLS | GATEWAY_TLS | REDIRECT, _) if address.socket_addr().is_none() => {
                Err(InheritedError::NotTcp(name.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// A socket of TCP as another kind.
fn over_tcp(
    socket: Inherited,
    name: &str,
    kind: fn(TcpListener) -> Inherited,
) -> Result<Inherited, InheritedError> {
    match socket {
        Inherited::Tcp(socket) => Ok(kind(socket)),
        _ => Err(InheritedError::NotTcp(name.to_owned())),
    }
}

/// Why an inherited socket is not served.
#[derive(Debug)]
pub enum InheritedError {
    /// The gateway's can be reached from other machines.
    RemoteGateway(SocketAddr),
    /// The operator's can be reached from other machines.
    RemoteAdmin(SocketAddr),
    /// A Unix socket is to speak TLS, or to redirect.
    NotTcp(String),
}

impl fmt::Display for InheritedError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoteGateway(address) => write!(
                to,
                "the socket unit with FileDescriptorName={GATEWAY} listens on {address}, which \
                 other machines can reach, and its answers hold the secret; set its \
                 ListenStream= to a path or to a loopback address, or set ORIGIN, if this guard \
                 should forward requests itself"
            ),
            Self::NotTcp(name) => write!(
                to,
                "a Unix socket has FileDescriptorName={name}, which is for TCP; set its \
                 ListenStream= to an address and a port"
            ),
            Self::RemoteAdmin(address) => write!(
                to,
                "the socket unit with FileDescriptorName={ADMIN} listens on {address}, which \
                 other machines can reach; set its ListenStream= to a path or to a loopback \
                 address, or set ADMIN_ALLOW_REMOTE=1"
            ),
        }
    }
}

impl Error for InheritedError {}
