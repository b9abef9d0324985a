//! The socket units that lead to a service.

use super::error::UnitError;
use super::systemctl::{self, Properties};
use crate::app::InheritedSockets;
use crate::check::surroundings::{self, Socket};
use crate::finding::{Finding, Level};
use crate::net::{Address, SocketAccess, try_bind};

const ASKED: &[&str] = &[
    "Id",
    "Triggers",
    "Listen",
    "FileDescriptorName",
    "SocketMode",
    "ActiveState",
    "UnitFileState",
];

/// A socket unit that is in use, or will be after the next start of the machine.
pub(super) struct SocketUnit(Properties);

/// Those of `service`, which is called `unit`.
pub(super) fn of(unit: &str, service: &Properties) -> Result<Vec<SocketUnit>, UnitError> {
    let names = systemctl::socket_units()?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let units = systemctl::show(&names, ASKED)?.into_iter().map(SocketUnit);
    let leads = |found: &SocketUnit| {
        let mut triggers = found.0.get("Triggers").split(' ');
        let mut required = service.get("Requires").split(' ');
        let is_required = required.any(|name| name == found.name());
        triggers.any(|name| name == unit)
            && (found.is_active() || found.is_enabled() || is_required)
    };
    Ok(units.filter(leads).collect())
}

impl SocketUnit {
    fn name(&self) -> &str {
        self.0.get("Id")
    }

    fn is_active(&self) -> bool {
        self.0.get("ActiveState") == "active"
    }

    /// Whether it starts with the machine.
    pub(super) fn is_enabled(&self) -> bool {
        self.0.get("UnitFileState").starts_with("enabled")
    }

    fn addresses(&self) -> impl Iterator<Item = Address> {
        let stream = self
            .0
            .all("Listen")
            .filter_map(|listen| listen.strip_suffix(" (Stream)"));
        stream.filter_map(|listen| match listen {
            path if path.starts_with('/') => Some(Address::Unix(path.into())),
            address => surroundings::address(address),
        })
    }

    /// What it opens, by what it leads to.
    pub(super) fn sockets(&self) -> impl Iterator<Item = Socket> {
        self.addresses().map(|address| Socket {
            unit: self.name().to_owned(),
            name: self.0.get("FileDescriptorName").to_owned(),
            address,
        })
    }

    /// What is wrong with it; without binding anything where it is `local`.
    pub(super) fn look(&self, local: bool, findings: &mut Vec<Finding>) {
        let name = self.name();
        let role = self.0.get("FileDescriptorName");
        findings.extend(InheritedSockets::doubt(role));
        let mode = u32::from_str_radix(self.0.get("SocketMode"), 8).unwrap_or(0);
        for address in self.addresses() {
            if mode & 0o002 != 0 && address.socket_addr().is_none() {
                findings.push(Finding::new(
                    Level::Warning,
                    name,
                    format_args!("everyone on this machine may connect to {address}"),
                    "set SocketMode=0660 and SocketGroup= to the group of your proxy in it",
                ));
            }
        }
        if self.is_active() {
            return;
        }
        let denied = self.addresses().filter(|_| !local).find_map(|address| {
            let error = try_bind(&address, SocketAccess::default(), address.is_ipv6()).err()?;
            let message = format!("{address}: {error}");
            Some(Finding::of(Level::Fault, name, message))
        });
        findings.push(denied.unwrap_or_else(|| {
            Finding::new(
                Level::Warning,
                name,
                "it is enabled and not started",
                format_args!("run: systemctl start {name}"),
            )
        }));
    }
}
