//! The variables of the gateway's door.

use std::path::Path;
use std::sync::Arc;

use crate::handlers::responses as reply;
use crate::keys::commands::FILE;
use crate::keys::{Keys, Opened};
use crate::net::Address;

use super::{Reader, addresses, field_name};

const LISTEN: &str = "GATEWAY_LISTEN";
const HEADER: &str = "API_KEY_HEADER";

/// What the environment asks for at the gateway's door.
pub struct Gateway {
    /// `GATEWAY_LISTEN`: Unix sockets and loopback addresses.
    pub listen: Vec<Address>,
    /// `API_KEY_HEADER`.
    pub key_header: String,
    /// The keys of `API_KEYS_FILE`, where it is set.
    pub keys: Option<Arc<Keys>>,
}

impl Reader<'_> {
    /// `None` where there is no such listener. `secret_header` is what it answers with;
    /// `inherited` says that a socket unit opens it.
    pub(super) fn gateway(&mut self, secret_header: &str, inherited: bool) -> Option<Gateway> {
        let is_set = (self.variable)(LISTEN).is_some_and(|text| !text.is_empty());
        let listen = self.value(LISTEN, "", local_addresses);
        if !is_set && !inherited {
            return None;
        }
        let key_header = self.value(HEADER, "Authorization", |name| {
            field_name(name)?;
            if name.eq_ignore_ascii_case(secret_header) {
                return Err(format!(
                    "{name} is the secret's header too; a key and the secret need one each"
                ));
            }
            Ok(name.to_owned())
        });
        if reply::is_own_field(secret_header) {
            self.fault(
                "SECRET_HEADER",
                format!("the gateway's answers use {secret_header} themselves; choose another"),
            );
        }
        let keys = self.keys();
        Some(Gateway {
            listen,
            key_header,
            keys,
        })
    }

    fn keys(&mut self) -> Option<Arc<Keys>> {
        let Some(path) = (self.variable)(FILE).filter(|path| !path.is_empty()) else {
            self.warnings.push(format!(
                "{FILE} is not set: every request for /authorize is answered with 500; \
                 set it to the file that `origin-guard keys add` makes"
            ));
            return None;
        };
        let path = Path::new(&path);
        match Keys::open(path) {
            Ok(Opened { keys, warning }) => {
                self.effective.push((FILE, path.display().to_string()));
                self.effective.push(("keys", keys.len().to_string()));
                self.warnings
                    .extend(warning.map(|warning| format!("{FILE}: {warning}")));
                Some(Arc::new(keys))
            }
            Err(fault) => {
                self.fault(FILE, fault);
                None
            }
        }
    }
}

/// Addresses that only this machine reaches.
fn local_addresses(list: &str) -> Result<Vec<Address>, String> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let addresses = addresses(list)?;
    match addresses.iter().find(|address| !address.is_local()) {
        None => Ok(addresses),
        Some(open) => Err(format!(
            "{open} can be reached from other machines, and the answers of this door hold \
             the secret; write unix:/path or a loopback address such as 127.0.0.1:8889"
        )),
    }
}
