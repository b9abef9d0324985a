//! What is open already, because a socket unit or the running service has opened it.

use std::io::{self, Read};

use serde_json::{Value, json};

use crate::app::InheritedSockets;
use crate::config::InheritedRoles;
use crate::net::Address;
use crate::systemd::InheritedSocket;

/// A socket that systemd opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// Its unit; empty where that is not known.
    pub(super) unit: String,
    /// Its `FileDescriptorName=`.
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: Address,
}

impl Socket {
    /// Its address, and the unit that opens it.
    pub(super) fn name(&self) -> String {
        match self.unit.as_str() {
            "" => self.address.to_string(),
            unit => format!("{} ({unit})", self.address),
        }
    }
}

/// What is open already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// By socket units.
    pub(super) sockets: Vec<Socket>,
    /// By the running service.
    pub(super) held: Vec<Address>,
    /// Whether the unit reaches nobody by TCP.
    pub(super) has_no_network: bool,
    /// What the unit may use of memory, in bytes.
    pub(super) memory: Option<u64>,
}

impl Surroundings {
    /// Those that this process was started with.
    pub(super) fn inherited(sockets: &[InheritedSocket]) -> Self {
        let socket = |socket: &InheritedSocket| {
            Some(Socket {
                unit: String::new(),
                name: socket.name.clone(),
                address: socket.socket.address()?,
            })
        };
        Self {
            sockets: sockets.iter().filter_map(socket).collect(),
            ..Self::default()
        }
    }

    /// What the sockets lead to.
    pub(super) fn roles(&self) -> InheritedRoles {
        let sockets = self.sockets.iter();
        InheritedSockets::roles_of(
            sockets.map(|socket| (&*socket.name, Some(socket.address.clone()))),
        )
    }

    /// The unit that opens `address`, where one does.
    pub(super) fn socket_at(&self, address: &Address) -> Option<&Socket> {
        let mut sockets = self.sockets.iter();
        sockets.find(|socket| is_same_place(&socket.address, address))
    }

    /// Whether the running service listens at `address`.
    pub(super) fn holds(&self, address: &Address) -> bool {
        let mut held = self.held.iter();
        held.any(|held| is_same_place(held, address))
    }

    /// As JSON, for [`Self::read`].
    pub(super) fn json(&self) -> String {
        let socket = |socket: &Socket| {
            json!({
                "unit": socket.unit,
                "name": socket.name,
                "address": socket.address.to_string(),
            })
        };
        json!({
            "sockets": self.sockets.iter().map(socket).collect::<Vec<_>>(),
            "held": self.held.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "has_no_network": self.has_no_network,
            "memory": self.memory,
        })
        .to_string()
    }

    pub(super) fn read(from: impl Read) -> io::Result<Self> {
        let passed: Value = serde_json::from_reader(from)?;
        let read = || {
            let sockets = passed.get("sockets")?.as_array()?.iter();
            let socket = |value: &Value| {
                Some(Socket {
                    unit: value.get("unit")?.as_str()?.to_owned(),
                    name: value.get("name")?.as_str()?.to_owned(),
                    address: address(value.get("address")?.as_str()?)?,
                })
            };
            let held = passed.get("held")?.as_array()?.iter();
            Some(Self {
                sockets: sockets.map(socket).collect::<Option<_>>()?,
                held: held
                    .map(|held| address(held.as_str()?))
                    .collect::<Option<_>>()?,
                has_no_network: passed.get("has_no_network")?.as_bool()?,
                memory: passed.get("memory")?.as_u64(),
            })
        };
        read().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// As an [`Address`] displays that names no kind of TCP.
pub(super) fn address(text: &str) -> Option<Address> {
    match text.strip_prefix("unix:") {
        Some(path) => Some(Address::Unix(path.into())),
        None => text.parse().ok().map(Address::Tcp),
    }
}

fn is_same_place(one: &Address, other: &Address) -> bool {
    match (one.socket_addr(), other.socket_addr()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_passed_on() {
        let socket = |name: &str, at: &str| Socket {
            unit: "a.socket".to_owned(),
            name: name.to_owned(),
            address: address(at).expect("an address"),
        };
        let known = Surroundings {
            sockets: vec![socket("tls", "[::]:443"), socket("admin", "unix:/run/a b")],
            held: vec![address("0.0.0.0:8888").expect("an address")],
            has_no_network: true,
            memory: Some(64),
        };
        let read = Surroundings::read(known.json().as_bytes()).expect("its own");
        assert_eq!(read, known);
        let tls = Address::Tls("[::]:443".parse().expect("an address"));
        assert!(read.socket_at(&tls).is_some() && !read.holds(&tls));
        assert!(Surroundings::read(&b"{}"[..]).is_err());
    }
}
