//! Whether the addresses can be listened at: each is bound and closed again.

use super::surroundings::Surroundings;
use crate::app::InheritedSockets;
use crate::config::Config;
use crate::finding::{Finding, Level};
use crate::net::{Address, BindError, try_bind};

const SOCKET_UNIT: &str = "socket unit";
/// What this program is called in /proc.
const OWN_NAME: &str = "origin-guard";

/// `is_sound` tells of a variable whether what it holds is what was written.
pub(super) fn look(
    config: &Config,
    surroundings: &Surroundings,
    is_sound: &dyn Fn(&str) -> bool,
    findings: &mut Vec<Finding>,
) {
    for socket in &surroundings.sockets {
        match InheritedSockets::judge(&socket.name, &socket.address, config) {
            Ok(()) => findings.push(Finding::note(
                SOCKET_UNIT,
                format_args!("systemd opens {}", socket.name()),
            )),
            Err(error) => findings.push(Finding::of(Level::Fault, SOCKET_UNIT, error)),
        }
    }
    let roles = surroundings.roles();
    let gives_way = !config.listen_is_set && (roles.plain || roles.tls);
    let listen = config.listen.iter().chain(&config.redirect);
    let listen = listen.filter(|_| !gives_way).map(|at| ("LISTEN", at));
    let gateway = config.gateway.iter().flat_map(|gateway| &gateway.listen);
    let gateway = gateway.map(|at| ("GATEWAY_LISTEN", at));
    let admin = config.admin_listen.iter().map(|at| ("ADMIN_LISTEN", at));
    let all: Vec<_> = listen.chain(gateway).chain(admin).collect();
    let addresses: Vec<_> = all.iter().map(|(_, address)| (*address).clone()).collect();
    for (variable, address) in all {
        if !is_sound(variable) {
            continue;
        }
        findings.push(if let Some(socket) = surroundings.socket_at(address) {
            Finding::new(
                Level::Fault,
                variable,
                format_args!("systemd opens {} already", socket.name()),
                format_args!("leave it out of {variable}"),
            )
        } else if surroundings.has_no_network && address.socket_addr().is_some() {
            Finding::new(
                Level::Fault,
                variable,
                format_args!(
                    "{address}: the unit has no network (PrivateNetwork=yes), and nobody can \
                     connect"
                ),
                "let systemd open it: origin-guard print socket",
            )
        } else if surroundings.holds(address) {
            Finding::note(variable, format_args!("{address} is the running service's"))
        } else {
            let v6_only = address.is_v6_only(&addresses);
            match try_bind(address, config.socket_access, v6_only) {
                Ok(()) => Finding::note(variable, format_args!("{address} is free")),
                Err(error) => denied(variable, address, &error),
            }
        });
    }
}

fn denied(variable: &str, address: &Address, error: &BindError) -> Finding {
    let mut finding = Finding::of(Level::Fault, variable, format_args!("{address}: {error}"));
    if error.holder().is_some_and(|holder| holder.name == OWN_NAME) {
        "it runs already: add --local to look at everything else, stop it, or ask about the \
         service that it is of: origin-guard check --unit origin-guard.service"
            .clone_into(&mut finding.remedy);
    }
    finding
}
