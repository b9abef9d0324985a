//! The unit for systemd, alone or in front of a backend.

use std::fmt::{self, Display};

use super::template;
use crate::proxy::upstream::{BackendUrl, BackendUrlError};

/// The backend that the unit names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitBackend(Vec<BackendUrl>);

/// Why a backend cannot be in the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnitBackendError {
    Url(BackendUrlError),
    /// A byte that has a meaning in a unit.
    Byte(char),
}

impl Display for UnitBackendError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(to),
            Self::Byte(byte) => write!(
                to,
                "{byte:?} has a meaning in a unit; give the socket a plain path"
            ),
        }
    }
}

impl std::error::Error for UnitBackendError {}

impl UnitBackend {
    /// From what `BACKEND` takes.
    pub(super) fn parse(list: &str) -> Result<Self, UnitBackendError> {
        let urls = BackendUrl::parse_list(list).map_err(UnitBackendError::Url)?;
        let mut letters = urls.iter().flat_map(|url| url.name().chars());
        match letters.find(|&letter| !letter.is_ascii_graphic() || "\"'\\,".contains(letter)) {
            Some(letter) => Err(UnitBackendError::Byte(letter)),
            None => Ok(Self(urls)),
        }
    }
}

/// The unit's text; `backend` is what it stands in front of, if anything.
pub(super) fn text(template: &str, backend: Option<&UnitBackend>) -> String {
    template::fill(template, |place| {
        let in_front = backend.is_some();
        Some(match place {
            "backend" => backend.map(lines).unwrap_or_default(),
            // A connection that is forwarded has a second one to the backend, and both have
            // buffers in the kernel that grow with the distance.
            "memory" => if in_front { "256M" } else { "64M" }.to_owned(),
            "files" => if in_front { "8192" } else { "4096" }.to_owned(),
            _ => return None,
        })
    })
}

fn lines(UnitBackend(urls): &UnitBackend) -> String {
    // A specifier of systemd.unit(5) begins with a percent sign.
    let urls: Vec<_> = urls
        .iter()
        .map(|url| format!("http://{}", url.name().replace('%', "%%")))
        .collect();
    let list = urls.join(",");
    let has_socket = list.contains("http://unix:");
    let mut lines = format!("# What it stands in front of.\nEnvironment=BACKEND={list}\n");
    if has_socket {
        lines += "# The group that may connect to the backend's socket, where not everyone may.\n\
                  #SupplementaryGroups=\n";
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "{{backend}}MemoryMax={{memory}}\n";

    fn fitted(list: &str) -> Result<String, String> {
        let backend = UnitBackend::parse(list).map_err(|error| error.to_string())?;
        Ok(text(TEMPLATE, Some(&backend)))
    }

    #[test]
    fn names_the_backend_as_systemd_reads_it() {
        assert_eq!(text(TEMPLATE, None), "MemoryMax=64M\n");
        for (list, line) in [
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
            (
                "http://a:1, http://[fe80::1%2]:3",
                "http://a:1,http://[fe80::1%%2]:3",
            ),
            ("http://unix:/run/app.sock", "http://unix:/run/app.sock"),
        ] {
            let text = fitted(list).expect(list);
            let line = format!("\nEnvironment=BACKEND={line}\n");
            assert!(text.contains(&line), "{text}");
            assert!(text.contains("MemoryMax=256M"), "{text}");
            assert_eq!(text.contains("SupplementaryGroups"), list.contains("unix:"));
        }
        for list in [
            "127.0.0.1:3000",
            "http://unix:/run/a b",
            "http://unix:/run/a\"b",
            "http://unix:/run/a\\nb",
            "http://unix:/run/\u{e4}",
        ] {
            assert!(fitted(list).is_err(), "{list}");
        }
    }
}
