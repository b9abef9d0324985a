//! Gateways that others make or run: how to have them send the secret.

use std::ffi::OsString;

use super::proxy::{self, PrintFault};
use super::template;
use super::values::HostName;

/// A gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostedGateway {
    /// As it calls itself.
    name: &'static str,
    sends: Sends,
}

/// Under which name it sends the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sends {
    /// Any but those that begin so, which it keeps to itself.
    AnyBut(&'static [&'static str]),
    /// Its own, and a secret of its own.
    Own,
}

impl HostedGateway {
    /// One that sets any header that does not begin with one of these.
    pub(super) const fn new(name: &'static str, reserved: &'static [&'static str]) -> Self {
        Self {
            name,
            sends: Sends::AnyBut(reserved),
        }
    }

    /// One that makes the secret and its header itself.
    pub(super) const fn with_own_secret(name: &'static str) -> Self {
        Self {
            name,
            sends: Sends::Own,
        }
    }

    /// The text of `file`, whose own part is `steps`, for an origin called `origin`.
    pub(super) fn text(
        self,
        file: &str,
        steps: &str,
        origin: Option<&HostName>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<String, PrintFault> {
        let (header, secret) = match self.sends {
            Sends::Own => (String::new(), ""),
            Sends::AnyBut(reserved) => {
                let header = proxy::secret_header(variable)?;
                let lower = header.lower();
                if let Some(reserved) = reserved.iter().find(|begin| lower.starts_with(**begin)) {
                    let fault = format!(
                        "{} sets no header that begins with {reserved}; choose another",
                        self.name
                    );
                    return Err(PrintFault::Variable("SECRET_HEADER", fault));
                }
                (
                    header.as_str().to_owned(),
                    include_str!("hosted/secret.txt"),
                )
            }
        };
        let text = [
            include_str!("hosted/begin.txt"),
            secret,
            steps,
            include_str!("hosted/end.txt"),
        ];
        let origin = origin.map_or_else(|| "origin.example".into(), ToString::to_string);
        Ok(template::fill(&text.concat(), |place| match place {
            "gateway" => Some(self.name.to_owned()),
            "file" => Some(file.to_owned()),
            "secret_header" => Some(header.clone()),
            "name" => Some(origin.clone()),
            _ => None,
        }))
    }
}
