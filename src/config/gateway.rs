//! The variables of the gateway's listener.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::http1::names::{self, is_own_field};
use crate::keys::use_file::{self, STATE_DIRECTORY};
use crate::keys::{Keys, Limits, Opened, Rate};
use crate::net::Address;

use super::cors;
use super::error::ValueError;
use super::reader::Reader;
use super::values::{addresses, count, field_name};

const LISTEN: &str = "GATEWAY_LISTEN";
const FILE: &str = "API_KEYS_FILE";

/// What the environment asks for at the gateway's listener.
pub struct Gateway {
    /// `GATEWAY_LISTEN`: Unix sockets and loopback addresses.
    pub listen: Vec<Address>,
    /// `API_KEY_HEADER`.
    pub key_header: String,
    /// `API_KEY_QUERY`: the parameter that may hold the key.
    pub key_parameter: Option<Arc<str>>,
    /// `CORS_ORIGINS`.
    pub cors_origins: Vec<String>,
    /// The keys of `API_KEYS_FILE`, where it is set.
    pub keys: Option<Arc<Keys>>,
    /// Where it is written down which of them are used.
    pub key_uses: Option<PathBuf>,
}

impl Reader<'_> {
    /// `None` where there is no such listener. `secret_header` is what it answers with;
    /// `inherited` says that a socket unit opens it, `forwards` that the secret leaves
    /// towards an origin alone.
    pub(super) fn gateway(
        &mut self,
        secret_header: &str,
        inherited: bool,
        forwards: bool,
    ) -> Option<Gateway> {
        let is_set = self.is_set(LISTEN);
        let listen = self.value(LISTEN, |list| {
            if forwards {
                addresses(list)
            } else {
                local_addresses(list)
            }
        });
        if forwards && !is_set && !inherited {
            self.warn(
                "ORIGIN",
                "nothing is forwarded there without GATEWAY_LISTEN; set it, or leave ORIGIN out",
            );
        }
        // They are looked at where they do nothing, too: every fault is named at once.
        let key_header = self.value("API_KEY_HEADER", field_name);
        let key_parameter = self.value("API_KEY_QUERY", |name| match name {
            "" => Ok(None),
            name if is_parameter(name) => Ok(Some(name.into())),
            _ => Err(ValueError::NotAParameter(name.to_owned())),
        });
        let cors_origins = self.value("CORS_ORIGINS", |list| {
            cors::origins(list).map_err(|error| ValueError::Other(error.into()))
        });
        let limits = self.limits_of_consumers();
        if !is_set && !inherited {
            return None;
        }
        if names::folded(&key_header) == names::folded(secret_header) {
            let fault = ValueError::NameOfSecret(key_header.clone());
            self.fault("API_KEY_HEADER", fault);
        }
        if forwards {
            // Authorization is where a key belongs.
            let is_usual = key_header.eq_ignore_ascii_case("Authorization");
            if let Some(like) = names::meaning_for_backends(&key_header).filter(|_| !is_usual) {
                self.header_fault("API_KEY_HEADER", &key_header, like);
            }
            if let Some(like) = names::meaning_for_backends(secret_header) {
                self.header_fault("SECRET_HEADER", secret_header, like);
            }
        }
        if is_own_field(secret_header) {
            let fault = ValueError::NameOfAnswers(secret_header.to_owned());
            self.fault("SECRET_HEADER", fault);
        }
        for (name, is_set) in [
            ("MAX_CONCURRENT", limits.most_under_way.is_some()),
            ("API_KEY_QUERY", key_parameter.is_some()),
            ("CORS_ORIGINS", !cors_origins.is_empty()),
        ] {
            if is_set && !forwards {
                self.fault(name, ValueError::NeedsOrigin);
            }
        }
        let keys = self.keys(limits, forwards);
        let key_uses = keys.as_ref().map(|keys| self.key_uses(keys.path()));
        Some(Gateway {
            listen,
            key_header,
            key_parameter,
            cors_origins,
            keys,
            key_uses,
        })
    }

    fn limits_of_consumers(&mut self) -> Limits {
        let rate = self.value("RATE_LIMIT", |text| match text {
            "" => Ok(None),
            text => Rate::parse(text)
                .map(Some)
                .map_err(|error| ValueError::Rate(text.to_owned(), error)),
        });
        let most_under_way = self.value("MAX_CONCURRENT", |text| match text {
            "" => Ok(None),
            text => count(text, 1, 1_000_000).map(Some),
        });
        Limits {
            rate,
            most_under_way: most_under_way.and_then(|most| u32::try_from(most).ok()),
        }
    }

    /// It starts all the same.
    fn no_keys(&mut self, forwards: bool) {
        let inherited = &self.inherited;
        let serves_more = inherited.plain
            || inherited.tls
            || inherited.unknown
            || (self.variable)("LISTEN").is_none_or(|list| list != "none");
        let what = match (forwards, serves_more) {
            (false, _) => "every request for /authorize",
            (true, true) => "every request at GATEWAY_LISTEN",
            (true, false) => "every request",
        };
        let fault = format!(
            "it is not set, so {what} is answered with 500; set it to the file that \
             `origin-guard keys add` makes"
        );
        if serves_more {
            self.warn(FILE, fault);
        } else {
            self.broken(FILE, fault);
        }
    }

    fn key_uses(&mut self, keys: &Path) -> PathBuf {
        let state = (self.variable)(STATE_DIRECTORY).and_then(|list| list.into_string().ok());
        let path = use_file::path(keys, state.as_deref());
        self.effective
            .push(("key_uses", path.display().to_string()));
        path
    }

    fn keys(&mut self, limits: Limits, forwards: bool) -> Option<Arc<Keys>> {
        let Some(path) = (self.variable)(FILE).filter(|path| !path.is_empty()) else {
            self.no_keys(forwards);
            return None;
        };
        let path = Path::new(&path);
        match Keys::open_with(path, limits) {
            Ok(Opened { keys, warning }) => {
                self.effective.push((FILE, path.display().to_string()));
                self.effective.push(("keys", keys.len().to_string()));
                if let Some(warning) = warning {
                    self.warn(FILE, warning);
                }
                Some(Arc::new(keys))
            }
            Err(fault) => {
                self.fault(FILE, fault);
                None
            }
        }
    }
}

/// Whether a query can hold a parameter of this name as it is.
fn is_parameter(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().all(is_plain)
}

/// Addresses that only this machine reaches.
fn local_addresses(list: &str) -> Result<Vec<Address>, ValueError> {
    let addresses = addresses(list).map_err(ValueError::of_this_machine)?;
    match addresses.iter().find(|address| !address.is_local()) {
        None => Ok(addresses),
        Some(open) => Err(ValueError::RemoteGateway(open.clone())),
    }
}
