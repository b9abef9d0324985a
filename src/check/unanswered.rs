//! Why a backend or an origin gives no answer, in the words of who runs it: a backend is an
//! application, mostly on this machine; an origin is mostly a guard on another.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use rustls::pki_types::ServerName;

use crate::auth::redaction::Redaction;
use crate::finding::{Finding, Level};
use crate::net::tls::TlsError;
use crate::probe::connection::Failure;
use crate::proxy::upstream::BackendUrl;

/// Who was asked.
pub(super) struct Place<'a> {
    /// The variable that names it.
    pub(super) variable: &'a str,
    pub(super) url: &'a BackendUrl,
    /// Whether it is a `LISTEN` of the guard that is looked at.
    pub(super) is_own: bool,
    /// Whose certificate an origin must show; `None` of a backend.
    pub(super) server_name: Option<ServerName<'static>>,
    /// For what it says of itself.
    pub(super) redaction: &'a Redaction,
}

impl Place<'_> {
    fn is_origin(&self) -> bool {
        self.variable == "ORIGIN"
    }

    /// The one of two remedies that fits.
    fn remedy(&self, of_backend: impl Display, of_origin: impl Display) -> String {
        if self.is_origin() {
            of_origin.to_string()
        } else {
            of_backend.to_string()
        }
    }

    fn finding(&self, level: Level, what: impl Display, remedy: impl Display) -> Finding {
        Finding::new(level, self.variable, what, remedy)
    }

    /// Its name leads to no address.
    pub(super) fn unresolved(&self, error: &dyn Display) -> Finding {
        let host = self.url.host_name().unwrap_or_default();
        self.finding(
            Level::Warning,
            format_args!("{}: {error}", self.url.name()),
            format_args!(
                "write a name that this machine resolves (it is asked by: getent hosts {host}), \
                 or an address"
            ),
        )
    }

    /// Nobody takes a connection there.
    pub(super) fn unreachable(&self, error: &io::Error) -> Finding {
        let name = self.url.name();
        let is_free = matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::NotFound
        );
        if self.is_own && is_free {
            let what = format_args!("{name} is this guard's own LISTEN, which is not started yet");
            return Finding::note(self.variable, what);
        }
        let remedy = match error.kind() {
            ErrorKind::PermissionDenied => {
                "let the user that runs origin-guard connect, as one of the socket's group \
                 (SupplementaryGroups=)"
                    .to_owned()
            }
            ErrorKind::ConnectionRefused | ErrorKind::NotFound if self.url.is_local() => self
                .remedy(
                    "start the application, or write where it listens",
                    format_args!("start the guard at {name}, or write where the origin listens"),
                ),
            ErrorKind::ConnectionRefused => self.remedy(
                "start the application, or write where it listens",
                format_args!(
                    "start the guard at {name}, look at the firewall of that machine, or write \
                     where the origin listens"
                ),
            ),
            _ => self.remedy(
                "look at the address, and at the firewalls on the way",
                format_args!(
                    "look whether {name} is the origin's address, whether that machine runs, and \
                     whether its firewall lets this one in"
                ),
            ),
        };
        let what = format_args!("{name} takes no connection: {error}");
        self.finding(Level::Warning, what, remedy)
    }

    /// It is sent plain HTTP and wants TLS.
    pub(super) fn speaks_tls(&self) -> Finding {
        self.finding(
            Level::Fault,
            format_args!("{} speaks TLS, and is sent plain HTTP", self.url.name()),
            self.remedy(
                "write where it listens without TLS, or for an origin behind a network set \
                 ORIGIN=https://... and GATEWAY_LISTEN",
                format_args!("write https://{}", self.url.name()),
            ),
        )
    }

    /// It takes a connection, and gives no answer. `is_agreed` says that TLS was agreed on.
    pub(super) fn failed(&self, failure: &Failure, is_agreed: bool) -> Finding {
        let name = self.url.name();
        // Whether a connection that is closed at once ends or is reset is chance.
        let is_closed = matches!(failure, Failure::Closed | Failure::Tls(TlsError::Truncated));
        if is_closed && self.url.is_https() && !is_agreed {
            return self.finding(
                Level::Fault,
                format_args!("{name} closes the connection before TLS is agreed on"),
                format_args!(
                    "look whether ALLOW_FROM or a firewall there lets this machine in, and \
                     whether TLS is spoken at {name}: {}",
                    self.by_hand()
                ),
            );
        }
        let look = self.remedy(
            "look at the application",
            format_args!("look at the log of the guard at {name}"),
        );
        let (level, what, remedy) = match failure {
            Failure::Tls(error) => return self.no_tls(error),
            Failure::Late => (
                Level::Warning,
                format!("{name} takes a connection and answers nothing"),
                look,
            ),
            Failure::Closed => (
                Level::Warning,
                format!("{name} closes the connection without an answer"),
                self.remedy(
                    "look at the application, and whether it speaks HTTP/1.1 there",
                    format_args!(
                        "look whether ALLOW_FROM or a firewall there lets this machine in, and \
                         whether HTTP/1.1 is spoken at {name}"
                    ),
                ),
            ),
            Failure::Malformed(reason) => (
                Level::Fault,
                format!(
                    "{name} answers what is not HTTP/1.1 ({})",
                    reason.replace('_', " ")
                ),
                self.remedy(
                    "write where the application speaks HTTP/1.1",
                    "write where the origin speaks HTTP/1.1",
                ),
            ),
            Failure::Connect(error) | Failure::System(error) => {
                (Level::Warning, format!("{name}: {error}"), look)
            }
            Failure::Doubtful(doubt) => (Level::Warning, format!("{name}: {}", doubt.who()), look),
        };
        self.finding(level, what, remedy)
    }

    /// TLS cannot be agreed on, or the certificate not be verified.
    fn no_tls(&self, error: &TlsError) -> Finding {
        let by_hand = self.by_hand();
        let remedy = match error.reason() {
            "unknown_issuer" => {
                "set ORIGIN_CA to the certificate of the authority that issued it".to_owned()
            }
            "certificate_of_another_name" => {
                "set ORIGIN_SERVER_NAME to a name that its certificate holds".to_owned()
            }
            "expired_certificate" => "renew it at the origin".to_owned(),
            "certificate_not_valid_yet" => "look at the clocks of both machines".to_owned(),
            "not_tls" => "write http://, if it is on this machine, or the port where it speaks TLS"
                .to_owned(),
            "alert" => format!(
                "where it wants a certificate of this gateway, set ORIGIN_CLIENT_CERT and \
                 ORIGIN_CLIENT_KEY; look at it with: {by_hand}"
            ),
            _ => format!("look at it with: {by_hand}"),
        };
        // It may hold the names in the certificate.
        let error = error.to_string();
        let what = format_args!("{}: {}", self.url.name(), self.redaction.shown(&error));
        self.finding(Level::Fault, what, remedy)
    }

    /// How to look at its TLS by hand.
    fn by_hand(&self) -> String {
        let named = match &self.server_name {
            Some(ServerName::DnsName(name)) => format!(" -servername {}", name.as_ref()),
            _ => String::new(),
        };
        format!("openssl s_client -connect {}{named}", self.url.name())
    }
}
