//! The variables of TLS.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::net::Address;
use crate::net::tls::certificates::RENEWAL;
use crate::net::tls::client_certificates::ClientFiles;
use crate::net::tls::server::{PairFiles, TlsServer};
use crate::rfc3339;
use crate::shell;
use crate::shown_path::ShownPath;

use super::InheritedRoles;
use super::error::ValueError;
use super::gateway::Gateway;
use super::own_listeners::Role;
use super::reader::Reader;

const CERT: &str = "TLS_CERT";
const KEY: &str = "TLS_KEY";
const CLIENT_CA: &str = "TLS_CLIENT_CA";
const CLIENT_NAMES: &str = "TLS_CLIENT_NAMES";
const CLIENT_CRL: &str = "TLS_CLIENT_CRL";
const REQUIRE: &str = "REQUIRE";
const WEBROOT: &str = "ACME_WEBROOT";
const PLAINTEXT: &str = "PLAINTEXT";

/// How long before a list of revoked certificates ends a warning says so. It is made anew
/// once a week or oftener.
const LIST_RENEWAL: Duration = Duration::from_secs(86_400);

/// What is wrong with the files of TLS.
#[derive(Debug)]
enum TlsFault {
    Unpaired(usize, usize),
    Missing(Address),
    Several,
    NoAuthority,
    Require(String),
    PlainBeside(Address),
    PlainSocketUnit,
    MissingForSocketUnit,
    MissingForRedirect,
    NoRedirect,
    Plaintext(String),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpaired(certificates, keys) => write!(
                to,
                "{CERT} names {} and {KEY} {}; name the key of each certificate, in the same order",
                files(*certificates),
                files(*keys)
            ),
            Self::Missing(address) => write!(
                to,
                "{address} speaks TLS and there is no certificate; set {CERT} and {KEY}"
            ),
            Self::MissingForSocketUnit => write!(
                to,
                "a socket unit opens an address that speaks TLS, and there is no certificate; \
                 set {CERT} and {KEY}"
            ),
            Self::MissingForRedirect => write!(
                to,
                "redirect: sends clients to the names of a certificate, and there is none; set \
                 {CERT} and {KEY}"
            ),
            Self::NoRedirect => {
                to.write_str("no address answers for it; write redirect:0.0.0.0:80 into LISTEN")
            }
            Self::Plaintext(text) => {
                write!(
                    to,
                    "{text:?} is not the word allow; write allow, or leave it out"
                )
            }
            Self::Several => {
                to.write_str("it takes one file; put the certificates of all authorities into that")
            }
            Self::NoAuthority => {
                write!(
                    to,
                    "clients are not asked for a certificate; set {CLIENT_CA}"
                )
            }
            Self::Require(text) => {
                write!(
                    to,
                    "{text:?} is neither secret nor certificate; write one of them"
                )
            }
            Self::PlainBeside(address) => write!(
                to,
                "{address} asks for no certificate, and so would let everyone in; write tls: \
                 before each address of LISTEN"
            ),
            Self::PlainSocketUnit => to.write_str(
                "a socket unit opens a plain address, which asks for no certificate, and so \
                 would let everyone in; write FileDescriptorName=tls into it",
            ),
        }
    }
}

/// So many of them.
fn files(count: usize) -> String {
    match count {
        0 => "no file".to_owned(),
        1 => "one file".to_owned(),
        _ => format!("{count} files"),
    }
}

impl std::error::Error for TlsFault {}

impl Reader<'_> {
    /// What TLS listeners answer with, where there are files for it.
    pub(super) fn tls(
        &mut self,
        listen: &[Address],
        gateway: &[Address],
        admin: &[Address],
        redirect: &[Address],
    ) -> Option<Arc<TlsServer>> {
        let certificates = self.value(CERT, |list| Ok(paths(list)));
        let keys = self.value(KEY, |list| Ok(paths(list)));
        let clients = self.client_files();
        if self.is_faulty(CERT) || self.is_faulty(KEY) {
            return None;
        }
        if certificates.len() != keys.len() {
            self.fault(KEY, TlsFault::Unpaired(certificates.len(), keys.len()));
            return None;
        }
        let listener = listen
            .iter()
            .chain(gateway)
            .chain(admin)
            .find(|address| address.is_tls());
        if certificates.is_empty() {
            if let Some(address) = listener {
                self.fault("LISTEN", TlsFault::Missing(address.clone()));
            } else if self.inherited.tls || self.inherited.gateway_tls {
                self.fault(CERT, TlsFault::MissingForSocketUnit);
            } else if self.inherited.redirect || !redirect.is_empty() {
                self.fault(CERT, TlsFault::MissingForRedirect);
            }
            return None;
        }
        let InheritedRoles {
            tls,
            gateway_tls,
            unknown,
            ..
        } = self.inherited;
        let inherits = tls || gateway_tls || unknown;
        let is_unknown = ["LISTEN", "GATEWAY_LISTEN", "ADMIN_LISTEN"]
            .iter()
            .any(|name| self.is_faulty(name));
        if listener.is_none() && !inherits && !is_unknown {
            self.warn(
                CERT,
                "no address of LISTEN, GATEWAY_LISTEN or ADMIN_LISTEN begins with tls:, so nothing \
                 uses it; write tls: before one, or leave it out",
            );
        }
        let files = certificates.into_iter().zip(keys);
        let files: Vec<_> = files
            .map(|(certificate, key)| PairFiles { certificate, key })
            .collect();
        match TlsServer::read(files.clone(), clients) {
            Ok(server) => {
                self.warn_of_ends(&server);
                Some(Arc::new(server))
            }
            Err(error) => {
                self.fault(error.variable(&files), error);
                None
            }
        }
    }

    /// `ACME_WEBROOT`.
    pub(super) fn acme_webroot(&mut self, redirect: &[Address]) -> Option<PathBuf> {
        let paths = self.value(WEBROOT, |list| Ok(paths(list)));
        let webroot = paths.first().cloned();
        if let Some(folder) = webroot.as_ref().filter(|folder| !folder.is_dir()) {
            self.warn(
                WEBROOT,
                format_args!(
                    "{} is not a folder that is there, so that no challenge is answered; write the \
                     one that certbot is given as --webroot-path, or make it: mkdir -p {}",
                    ShownPath(folder),
                    shell::word(&folder.to_string_lossy())
                ),
            );
        }
        let redirects = !redirect.is_empty() || self.inherited.redirect;
        if webroot.is_some() && !redirects && !self.is_faulty("LISTEN") {
            self.fault(WEBROOT, TlsFault::NoRedirect);
        }
        webroot
    }

    /// Warns of what other machines can reach without TLS.
    pub(super) fn warn_of_plaintext(
        &mut self,
        listen: &[Address],
        gateway: Option<&Gateway>,
        forwards: bool,
    ) {
        let allowed = self.value(PLAINTEXT, |text| match text {
            "" => Ok(false),
            "allow" => Ok(true),
            _ => {
                let fault = TlsFault::Plaintext(text.to_owned());
                Err(ValueError::Other(Box::new(fault)))
            }
        });
        if allowed {
            return;
        }
        let is_open = |address: &&Address| !address.is_tls() && !address.is_local();
        let remedy = format!(
            "write tls: before it and set {CERT} and {KEY}, listen at 127.0.0.1 behind a proxy, \
             or set {PLAINTEXT}=allow"
        );
        let inherited = self.inherited.open(Role::Origin).cloned();
        if let Some(address) = listen.iter().chain(&inherited).find(is_open) {
            self.warn(
                "LISTEN",
                format_args!("the secret crosses the network in the clear to {address}; {remedy}"),
            );
        }
        let gateway = gateway.filter(|_| forwards);
        let inherited = self.inherited.open(Role::Gateway).filter(|_| forwards);
        let inherited = inherited.cloned();
        let gateway = gateway.map_or(&[][..], |gateway| &gateway.listen);
        if let Some(address) = gateway.iter().chain(&inherited).find(is_open) {
            self.warn(
                "GATEWAY_LISTEN",
                format_args!("API keys cross the network in the clear to {address}; {remedy}"),
            );
        }
    }

    /// Whose certificates clients have to present, where that is asked.
    fn client_files(&mut self) -> Option<ClientFiles> {
        let authorities = self.value(CLIENT_CA, |list| Ok(paths(list)));
        let names = self.value(CLIENT_NAMES, |list| Ok(members(list)));
        let revocations = self.value(CLIENT_CRL, |list| Ok(paths(list)));
        let [authorities] = &authorities[..] else {
            if !authorities.is_empty() {
                self.fault(CLIENT_CA, TlsFault::Several);
            }
            for (name, is_set) in [
                (CLIENT_NAMES, !names.is_empty()),
                (CLIENT_CRL, !revocations.is_empty()),
            ] {
                if is_set && authorities.is_empty() {
                    self.fault(name, TlsFault::NoAuthority);
                }
            }
            return None;
        };
        if names.is_empty() {
            self.warn(
                CLIENT_CA,
                format_args!(
                    "every client with a certificate of this authority is let in; set \
                     {CLIENT_NAMES}, unless it issues certificates to you alone"
                ),
            );
        }
        Some(ClientFiles {
            authorities: authorities.clone(),
            names,
            revocations,
        })
    }

    /// `REQUIRE=certificate`: whether a client's certificate is enough without the secret.
    pub(super) fn requires_certificate_alone(&mut self, listen: &[Address]) -> bool {
        let alone = self.value(REQUIRE, |text| match text {
            "secret" => Ok(false),
            "certificate" => Ok(true),
            _ => {
                let fault = TlsFault::Require(text.to_owned());
                Err(ValueError::Other(Box::new(fault)))
            }
        });
        if !alone {
            return false;
        }
        if !self.is_set(CLIENT_CA) {
            self.fault(REQUIRE, TlsFault::NoAuthority);
        }
        if let Some(plain) = listen.iter().find(|address| !address.is_tls()) {
            self.fault(REQUIRE, TlsFault::PlainBeside(plain.clone()));
        }
        if self.inherited.plain {
            self.fault(REQUIRE, TlsFault::PlainSocketUnit);
        }
        true
    }

    fn warn_of_ends(&mut self, server: &TlsServer) {
        let now = SystemTime::now();
        for pair in server.pairs() {
            let facts = &pair.facts;
            let names = facts.names.join(" ");
            let end = rfc3339::text(facts.not_after);
            self.effective.push((
                "certificate",
                format!("{names} issuer {} until {end}", facts.issuer),
            ));
            if !facts.is_named {
                let path = pair.path.display();
                self.warn(
                    CERT,
                    format!(
                        "{path} is for no name, and clients that verify it refuse it; have it \
                         issued for the name that they ask for (as its subjectAltName)"
                    ),
                );
            }
            if facts.not_after < now + RENEWAL {
                let path = pair.path.display();
                self.warn(CERT, format!("{path} ends at {end}; renew it"));
            }
            if let Some(warning) = &pair.warning {
                self.warn(KEY, warning);
            }
            if facts.not_before > now {
                let path = pair.path.display();
                let start = rfc3339::text(facts.not_before);
                self.warn(
                    CERT,
                    format!("{path} is not valid before {start}; look at the clock"),
                );
            }
        }
        for end in server.client_ends() {
            if end.is_leaf {
                let path = end.path.display();
                self.warn(
                    CLIENT_CA,
                    format!(
                        "a certificate in {path} is not an authority's (CA:FALSE), so that it lets \
                         no client in; name the certificate of the authority that issues them"
                    ),
                );
            }
            let (path, at) = (end.path.display(), rfc3339::text(end.at));
            if end.is_list && end.at <= now {
                self.broken(
                    CLIENT_CRL,
                    format!("{path} ended at {at}, and every client is denied; fetch it again"),
                );
            } else if end.is_list && end.at < now + LIST_RENEWAL {
                self.warn(
                    CLIENT_CRL,
                    format!("{path} ends at {at}, and denies every client then; fetch it again"),
                );
            } else if !end.is_list && end.at < now + RENEWAL {
                self.warn(
                    CLIENT_CA,
                    format!(
                        "a certificate in {path} ends at {at}; ask its authority for a new one"
                    ),
                );
            }
        }
    }
}

fn members(list: &str) -> Vec<String> {
    let members = list.split(',').map(str::trim);
    let members = members.filter(|member| !member.is_empty());
    members.map(str::to_owned).collect()
}

fn paths(list: &str) -> Vec<PathBuf> {
    members(list).into_iter().map(PathBuf::from).collect()
}
