//! Whether the addresses can be listened at: each is bound and closed again.

use super::running::Held;
use super::surroundings::Surroundings;
use crate::app::InheritedSockets;
use crate::config::Config;
use crate::finding::{Finding, Level};
use crate::net::{Address, try_bind};

const SOCKET_UNIT: &str = "socket unit";

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
    let is_served = |variable: &str, address: &Address| {
        let has_port = address.socket_addr().is_none_or(|at| at.port() != 0);
        variable != "ADMIN_LISTEN" && is_sound(variable) && has_port
    };
    let served = all.iter().filter(|(variable, at)| is_served(variable, at));
    let served: Vec<_> = served.map(|(_, at)| (*at).clone()).collect();
    let mut held = Held::default();
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
                Err(error) if held.note(variable, address, &error) => continue,
                Err(error) => {
                    Finding::of(Level::Fault, variable, format_args!("{address}: {error}"))
                }
            }
        });
    }
    held.report(&served, findings);
}
