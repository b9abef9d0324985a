//! What the guard itself listens at, by variables and by socket units: what it forwards must
//! not come back there.

use std::error::Error;
use std::fmt;

use crate::net::Address;
use crate::net::resolve::Resolver;
use crate::proxy::upstream::BackendUrl;

/// What a listener leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What is guarded, in plain HTTP or TLS.
    Origin,
    /// The gateway, in plain HTTP or TLS.
    Gateway,
    /// To https.
    Redirect,
    /// The page, the metrics and the status.
    Admin,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnListener {
    /// The variable that opens it, or the socket unit.
    opened_by: &'static str,
    role: Role,
    address: Address,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct OwnListeners(Vec<OwnListener>);

/// Why nothing is forwarded to a place: what listens there is the guard itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopError {
    /// The place, as [`BackendUrl::name`] has it.
    name: String,
    own: OwnListener,
    /// Whether the variable names origins.
    is_origin: bool,
}

impl fmt::Display for LoopError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            own,
            is_origin,
        } = self;
        let what = if *is_origin { "origin" } else { "backend" };
        write!(
            to,
            "{name} is the guard itself, which listens on {} ({}); write where the {what} listens",
            own.address, own.opened_by
        )
    }
}

impl Error for LoopError {}

impl OwnListeners {
    /// Those that variables open, and those of socket units.
    pub(super) fn new<const N: usize>(
        variables: [(&'static str, Role, &[Address]); N],
        inherited: &[(Role, Address)],
    ) -> Self {
        let own = |opened_by, role, address: &Address| OwnListener {
            opened_by,
            role,
            address: address.clone(),
        };
        let variables = variables
            .into_iter()
            .flat_map(|(variable, role, addresses)| {
                addresses
                    .iter()
                    .map(move |address| own(variable, role, address))
            });
        let inherited = inherited.iter();
        let inherited = inherited.map(|(role, address)| own("socket unit", *role, address));
        Self(variables.chain(inherited).collect())
    }

    /// Whether requests to `url`, which `variable` names, come back to the guard at one of
    /// `addresses`.
    ///
    /// # Errors
    ///
    /// If they do. A gateway may forward to the guard that it is itself, which forwards on.
    pub fn leads_elsewhere(
        &self,
        variable: &str,
        url: &BackendUrl,
        addresses: &[Address],
    ) -> Result<(), LoopError> {
        let is_origin = variable == "ORIGIN";
        let mut receivers = addresses.iter().filter_map(|wanted| self.receiver(wanted));
        match receivers.find(|own| !(is_origin && own.role == Role::Origin)) {
            None => Ok(()),
            Some(own) => Err(LoopError {
                name: url.name().to_owned(),
                own: own.clone(),
                is_origin,
            }),
        }
    }

    /// Whether `url` is what the guard guards.
    #[must_use]
    pub fn is_guarded(&self, url: &BackendUrl) -> bool {
        let known = url.known_addresses(&Resolver::default());
        let mut receivers = known.iter().filter_map(|wanted| self.receiver(wanted));
        receivers.any(|own| own.role == Role::Origin)
    }

    /// Where a connection to `wanted` arrives: at what is bound to just that, else at a
    /// wildcard, that of IPv4 first.
    fn receiver(&self, wanted: &Address) -> Option<&OwnListener> {
        let reached = self.0.iter().filter(|own| wanted.leads_to(&own.address));
        reached.min_by_key(|own| {
            let address = own.address.socket_addr();
            address.map(|own| (own.ip().is_unspecified(), own.is_ipv6()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn who_shares_a_port_is_told_apart() {
        let listen = [tcp("0.0.0.0:88")];
        let listeners = OwnListeners::new(
            [("LISTEN", Role::Origin, &listen[..])],
            &[(Role::Gateway, tcp("[::]:88"))],
        );
        for (url, is_loop) in [
            ("http://127.0.0.1:88", false),
            ("http://[::1]:88", true),
            ("http://localhost:88", true),
            ("http://127.0.0.1:89", false),
        ] {
            let url = &BackendUrl::parse_origins(url).expect("a URL")[0];
            let addresses = match url.name() {
                // Whatever hosts(5) says of it here.
                "localhost:88" => vec![tcp("127.0.0.1:88"), tcp("[::1]:88")],
                _ => url.known_addresses(&Resolver::default()),
            };
            let found = listeners.leads_elsewhere("ORIGIN", url, &addresses);
            assert_eq!(found.is_err(), is_loop, "{}", url.name());
            let found = listeners.leads_elsewhere("BACKEND", url, &addresses);
            assert_eq!(found.is_err(), url.name() != "127.0.0.1:89");
        }
    }
}
