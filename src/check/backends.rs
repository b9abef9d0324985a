//! Whether backends and origins can be connected to, and what answers there. They are sent
//! one HEAD without any secret. An origin that answers is then asked whether it takes the
//! gateway's secret, and whether it needs it.

use std::time::SystemTime;

use rustls::pki_types::ServerName;

use super::surroundings::Surroundings;
use super::unanswered::Place;
use super::{exposure, origin_secret};
use crate::auth::redaction::Redaction;
use crate::config::{Config, Origin, OwnListeners};
use crate::finding::{Finding, Level};
use crate::net::Address;
use crate::net::resolve::Resolver;
use crate::net::tls::TlsSession;
use crate::net::tls::certificates::{Facts, RENEWAL};
use crate::net::tls::client::TlsClient;
use crate::probe::answer::{self, Answer, Exchange};
use crate::probe::connection::Failure;
use crate::probe::right_secret::RightSecret;
use crate::proxy::upstream::BackendUrl;
use crate::rfc3339;

const BACKEND: &str = "BACKEND";
const ORIGIN: &str = "ORIGIN";
/// What a server answers that is asked in plain HTTP where it speaks TLS.
const BAD_REQUEST: u16 = 400;

/// All are asked side by side, so that several that do not answer take no longer than one.
///
/// `is_sound` tells of a variable whether what it holds is what was written.
pub(super) fn look(
    config: &Config,
    surroundings: &Surroundings,
    is_sound: &dyn Fn(&str) -> bool,
    findings: &mut Vec<Finding>,
) {
    let backends = config.backend.iter().flat_map(|backend| &backend.urls);
    let backends = backends.map(|url| (BACKEND, url, None));
    let origins = config.origin.iter().flat_map(|origin| {
        let urls = origin.urls.iter();
        urls.map(move |url| (ORIGIN, url, Some(origin)))
    });
    let is_sent = origin_secret::is_sent(config, is_sound);
    let secret = config.secrets.current.as_ref().filter(|_| is_sent);
    let redaction = Redaction::of(&config.secrets);
    let asked = |variable, url: &BackendUrl, origin: Option<&Origin>| {
        let mut found = Vec::new();
        if surroundings.has_no_network && url.host_name().is_some() {
            found.push(no_network(variable, url.name()));
            return found;
        }
        let session = || origin.and_then(|origin| session(origin.tls.as_ref()?, origin, url));
        if origin.is_some() && url.is_https() && session().is_none() {
            // Nothing goes there in the clear. Why there is no TLS is a fault that is said.
            return found;
        }
        let place = Place {
            variable,
            url,
            is_own: origin.is_some() && config.own_listeners.is_guarded(url),
            server_name: origin.and_then(|origin| server_name(origin, url)),
            redaction: &redaction,
        };
        let answered = one(&place, &config.own_listeners, &session, &mut found);
        if let (Some((address, root)), Some(origin), Some(secret)) = (answered, origin, secret) {
            let authority = url.authority();
            let asked = origin_secret::Asked {
                name: url.name(),
                right: RightSecret {
                    authority: origin.host.as_deref().unwrap_or(&authority),
                    path: origin_secret::ROOT,
                    header: &config.header,
                    secret,
                },
                address: &address,
                root: &root,
                session: &session,
                without_own: &|| {
                    let tls = origin.tls.as_ref().filter(|tls| tls.own().is_some())?;
                    self::session(&tls.without_own().ok()?, origin, url)
                },
            };
            found.push(asked.look());
        }
        found
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = backends
            .chain(origins)
            .map(|(variable, url, origin)| scope.spawn(move || asked(variable, url, origin)))
            .collect();
        for one in all {
            match one.join() {
                Ok(found) => findings.extend(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
}

fn no_network(variable: &str, name: &str) -> Finding {
    Finding::new(
        Level::Fault,
        variable,
        format_args!("{name}: the unit has no network (PrivateNetwork=yes), and cannot connect"),
        format_args!(
            "reach it at a Unix socket ({variable}=http://unix:/run/app/app.sock), or take the \
             drop-in no-network.conf away"
        ),
    )
}

/// The TLS towards an origin; `None` where it is plain.
fn session(tls: &TlsClient, origin: &Origin, url: &BackendUrl) -> Option<TlsSession> {
    let name = server_name(origin, url).filter(|_| url.is_https())?;
    tls.session(&name).ok()
}

/// Whose certificate an origin must show.
fn server_name(origin: &Origin, url: &BackendUrl) -> Option<ServerName<'static>> {
    let own = || ServerName::try_from(url.host_name()?).ok();
    origin.server_name.clone().or_else(own)
}

/// Returns where HTTP is spoken as it should be, and the answer there.
fn one(
    place: &Place<'_>,
    own_listeners: &OwnListeners,
    session: &dyn Fn() -> Option<TlsSession>,
    findings: &mut Vec<Finding>,
) -> Option<(Address, Answer)> {
    let Place {
        variable,
        url,
        redaction,
        ..
    } = *place;
    let name = url.name();
    let resolver = Resolver::default();
    let addresses = match url.addresses(&resolver) {
        Ok(addresses) => addresses,
        Err(error) => {
            findings.push(place.unresolved(&error));
            return None;
        }
    };
    if let Err(error) = own_listeners.leads_elsewhere(variable, url, &addresses) {
        // What shows without asking a server has been said by then.
        if url.known_addresses(&resolver).is_empty() {
            findings.push(Finding::of(Level::Fault, variable, error));
        }
        return None;
    }
    let request = format!(
        "HEAD / HTTP/1.1\r\nHost: {}\r\nUser-Agent: origin-guard/{} check\r\n\
         Connection: close\r\n\r\n",
        url.authority(),
        env!("CARGO_PKG_VERSION")
    );
    let mut failure = None;
    let mut answered = None;
    for address in &addresses {
        let Exchange {
            outcome,
            certificate,
            ..
        } = answer::ask(address, session(), request.as_bytes(), true);
        match outcome {
            Err(Failure::Connect(error)) => {
                failure.get_or_insert_with(|| place.unreachable(&error));
                continue;
            }
            Ok(answer) if url.is_https() || answer.status != BAD_REQUEST => {
                let server = answer.field("server").map(|server| redaction.shown(server));
                let server = server.map(|server| format!(" ({server})"));
                findings.push(Finding::note(
                    variable,
                    format_args!(
                        "{name} answers {}{}",
                        answer.status,
                        server.unwrap_or_default()
                    ),
                ));
                answered = Some(answer);
            }
            // Who speaks TLS answers at once, if only with an alert.
            outcome
                if !url.is_https()
                    && !matches!(outcome, Err(Failure::Late))
                    && answer::speaks_tls(address) =>
            {
                findings.push(place.speaks_tls());
            }
            Ok(_) => findings.push(Finding::note(variable, format_args!("{name} answers 400"))),
            Err(failure) => findings.push(place.failed(&failure, certificate.is_some())),
        }
        findings.extend(certificate.map(|facts| ends(name, &facts, redaction)));
        findings.extend(exposure::of(variable, name, address));
        return answered.map(|answer| (address.clone(), answer));
    }
    findings.extend(failure);
    None
}

fn ends(name: &str, facts: &Facts, redaction: &Redaction) -> Finding {
    let end = rfc3339::text(facts.not_after);
    if facts.not_after < SystemTime::now() + RENEWAL {
        return Finding::new(
            Level::Warning,
            ORIGIN,
            format_args!("{name}: its certificate ends at {end}"),
            "renew it at the origin",
        );
    }
    let names = facts.names_shown();
    Finding::note(
        ORIGIN,
        format_args!(
            "{name}: its certificate is for {}, issuer {}, until {end}",
            redaction.shown(&names),
            redaction.shown(&facts.issuer)
        ),
    )
}
