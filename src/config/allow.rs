//! Which peers `LISTEN` takes connections from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::net::Address;
use crate::server::AllowList;

use super::error::ValueError;
use super::own_listeners::Role;
use super::reader::Reader;

const LIST: &str = "ALLOW_FROM";
const FILE: &str = "ALLOW_FROM_FILE";

/// Both variables are set.
#[derive(Debug)]
struct Both;

impl fmt::Display for Both {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the networks are also in {LIST}; keep one of the two")
    }
}

impl std::error::Error for Both {}

impl Reader<'_> {
    /// `None` where everybody may connect. `listen` is where the list holds.
    pub(super) fn allow_from(&mut self, listen: &[Address]) -> Option<Arc<AllowList>> {
        let list = self.allow_list()?;
        let name = if list.path().is_some() { FILE } else { LIST };
        self.look_for_this_machine(name, &list, listen);
        Some(list)
    }

    /// Says whether the list shuts this machine out: its own checks and proxies.
    fn look_for_this_machine(&mut self, name: &str, list: &AllowList, listen: &[Address]) {
        let inherited = self.inherited.open(Role::Origin);
        let listen: Vec<_> = listen.iter().chain(inherited).cloned().collect();
        let mut shut_out = Vec::new();
        for address in &listen {
            let Some(at) = address.socket_addr() else {
                continue;
            };
            let own = own_peers(address, at, &listen);
            let denied = own.into_iter();
            let denied = denied.filter(|&ip| !list.allows(SocketAddr::new(ip, 1)));
            if !at.ip().is_loopback() {
                shut_out.extend(denied);
                continue;
            }
            for ip in denied {
                self.warn(
                    name,
                    format_args!(
                        "only this machine can connect to {address}, from {ip}, which is not in \
                         the list, so that nobody is let in there; add {ip}"
                    ),
                );
            }
        }
        shut_out.sort_unstable();
        shut_out.dedup();
        if !shut_out.is_empty() {
            let shown: Vec<_> = shut_out.iter().map(ToString::to_string).collect();
            let (shown, verb) = (shown.join(","), if shown.len() == 1 { "is" } else { "are" });
            self.note(
                name,
                format_args!(
                    "{shown} {verb} not in the list, so that curl, a health check or a proxy on \
                     this machine is denied at LISTEN; if one should connect, add {shown}"
                ),
            );
        }
    }

    fn allow_list(&mut self) -> Option<Arc<AllowList>> {
        let list = self.value(LIST, |text| match text {
            "" => Ok(None),
            text => AllowList::parse(text)
                .map(Some)
                .map_err(|error| ValueError::Other(error.into())),
        });
        let file = self.value(FILE, |text| Ok(text.to_owned()));
        if file.is_empty() {
            for warning in list.iter().flat_map(AllowList::warnings) {
                self.warn(LIST, warning);
            }
            return list.map(Arc::new);
        }
        if self.is_set(LIST) {
            self.fault(FILE, Both);
            return None;
        }
        match AllowList::open(PathBuf::from(file)) {
            Ok(list) => {
                for warning in list.warnings() {
                    self.warn(FILE, warning);
                }
                self.effective
                    .push(("allowed_networks", list.count().to_string()));
                Some(Arc::new(list))
            }
            Err(fault) => {
                self.fault(FILE, fault);
                None
            }
        }
    }
}

/// Whom a process of this machine connects as to `address`, which is at `at`.
fn own_peers(address: &Address, at: SocketAddr, all: &[Address]) -> Vec<IpAddr> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() && address.is_v6_only(all) => vec![v6],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v4, v6],
        ip => vec![ip],
    }
}
