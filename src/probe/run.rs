//! Asks what is planned, within what may be sent where.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::pki_types::ServerName;

use super::answer::{Exchange, ask};
use super::args::ProbeArgs;
use super::check::{Check, Request};
use super::connection::Failure;
use super::judge::{Asked, explained, judge};
use super::report::{Finding, Report, Verdict};
use super::target::Target;
use super::{plan, tells};
use crate::auth::keygen;
use crate::auth::redaction::Redaction;
use crate::auth::secret_source::{self, Loaded};
use crate::auth::secrets::Text;
use crate::config::{ValueError, field_name};
use crate::http1::names::SHARED_SECRET;
use crate::net::Address;
use crate::net::tls::TlsError;
use crate::net::tls::certificates::{Facts, RENEWAL};
use crate::net::tls::client::{TlsClient, TlsClientError};
use crate::net::tls::server::PairFiles;

/// A certificate of our own, for an origin that wants one.
const CERT: &str = "ORIGIN_CLIENT_CERT";
const KEY: &str = "ORIGIN_CLIENT_KEY";

/// Why nothing can be asked.
#[derive(Debug)]
pub enum ProbeError {
    /// The secret cannot be had.
    Secret(secret_source::Error),
    /// The header cannot hold a secret: which option or variable names it, and why.
    Header(&'static str, ValueError),
    /// Whom to believe is not known, or what to present.
    Tls(TlsClientError),
    /// A certificate without its key, or the other way round.
    Unpaired,
    /// The system has no randomness.
    Random(io::Error),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(error) => error.fmt(to),
            Self::Header(name, error) => write!(to, "{name}: {error}"),
            Self::Tls(error) => error.fmt(to),
            Self::Unpaired => write!(to, "{CERT} and {KEY} go together; set both or neither"),
            Self::Random(error) => write!(to, "the system gives no random bytes: {error}"),
        }
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Secret(error) => Some(error),
            Self::Header(_, error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Random(error) => Some(error),
            Self::Unpaired => None,
        }
    }
}

/// Asks the origin. `variable` tells of `SECRET_HEADER`, `ORIGIN_CA` and the like where no
/// option does; `announce` hears what is about to be sent before anything is.
///
/// # Errors
///
/// Why nothing could be asked. Whatever the origin does is in the report.
pub fn run(
    args: &ProbeArgs,
    variable: impl Fn(&str) -> Option<OsString>,
    announce: impl FnOnce(&str),
) -> Result<Report, ProbeError> {
    let mut probe = Probe::new(args, variable)?;
    announce(&probe.announcement());
    let found = match args.resolve {
        Some(place) => Ok(vec![place.ip]),
        None => args.target.addresses(),
    };
    let addresses = match found {
        Ok(addresses) => addresses,
        Err(error) => {
            probe.find("address", "-", Verdict::Inconclusive, error.to_string());
            return Ok(probe.report(None, &[]));
        }
    };
    let (address, mut asked) = probe.ask_at_url(&addresses);
    if addresses.len() > 1 {
        let count = addresses.len();
        let detail = format!("one of {count} addresses of this name; probe the others by address");
        probe.find("address", "-", Verdict::Note, detail);
    }
    asked.extend(probe.ask_elsewhere(address.ip()));
    Ok(probe.report(Some(address), &asked))
}

struct Probe<'a> {
    args: &'a ProbeArgs,
    header: String,
    secret: Option<Text>,
    redaction: Redaction,
    /// What is presented in the place of a secret.
    random: String,
    /// For https.
    tls: Option<(TlsClient, ServerName<'static>)>,
    requests: usize,
    denials: usize,
    /// Where a request was not answered in time, so that no other is to wait there.
    silent: Vec<SocketAddr>,
    /// What is not an answer to a check.
    findings: Vec<Finding>,
}

impl<'a> Probe<'a> {
    fn new(
        args: &'a ProbeArgs,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ProbeError> {
        let (source, header) = match &args.header {
            Some(name) => ("--header", name.clone()),
            None => ("SECRET_HEADER", own_header(&variable)),
        };
        let header = field_name(&header).map_err(|error| ProbeError::Header(source, error))?;
        let loaded = match &args.secret_file {
            None => Loaded::default(),
            Some(path) => Loaded::from_file("--secret-file", path).map_err(ProbeError::Secret)?,
        };
        let host = args.target.host();
        let name = ServerName::try_from(host).ok();
        let tls = match name.filter(|_| args.target.is_https()) {
            None => None,
            Some(name) => {
                let path = |name: &str| {
                    let path = variable(name).filter(|path| !path.is_empty());
                    path.map(PathBuf::from)
                };
                let own = match (path(CERT), path(KEY)) {
                    (Some(certificate), Some(key)) => Some(PairFiles { certificate, key }),
                    (None, None) => None,
                    _ => return Err(ProbeError::Unpaired),
                };
                let authority = args.ca_file.clone().or_else(|| path("ORIGIN_CA"));
                let client = TlsClient::new(authority.as_deref(), own.as_ref());
                Some((client.map_err(ProbeError::Tls)?, name))
            }
        };
        let random = keygen::secret().map_err(ProbeError::Random)?;
        Ok(Self {
            args,
            header,
            redaction: Redaction::of(&loaded),
            secret: loaded.current,
            random: random.trim_end().to_owned(),
            tls,
            requests: 0,
            denials: 0,
            silent: Vec::new(),
            findings: Vec::new(),
        })
    }

    fn target(&self) -> &'a Target {
        &self.args.target
    }

    fn find(&mut self, check: &str, answer: &str, verdict: Verdict, detail: String) {
        self.findings.push(Finding {
            check: check.to_owned(),
            answer: answer.to_owned(),
            verdict,
            detail,
        });
    }

    fn at_url(&self) -> Vec<Check> {
        let has_secret = self.secret.is_some();
        let mut checks = plan::at_url(&self.header, has_secret);
        checks.retain(|check| has_secret || !check.needs_secret());
        checks
    }

    fn elsewhere(&self) -> Vec<Check> {
        let beside = Some(self.args.http_port).filter(|_| self.target().is_https());
        plan::elsewhere(beside, &self.args.backend_ports)
    }

    fn announcement(&self) -> String {
        let all = self.at_url().into_iter().chain(self.elsewhere());
        let (right, denied): (Vec<_>, Vec<_>) = all.partition(|check| check.is_right());
        let place = self.args.resolve;
        let place = place.map_or_else(String::new, |place| format!(" at {}", place.ip));
        format!(
            "probing {}{place}: {} requests, of which {} are meant to be denied; each is a 401 or \
             the like in the origin's log, and fail2ban, if it reads that log, may ban this \
             address",
            self.target().text(),
            right.len() + denied.len(),
            denied.len()
        )
    }

    /// Asks at the URL, at the first of `addresses` that takes a connection. Returns that
    /// one, and what the checks have come to.
    fn ask_at_url(&mut self, addresses: &[IpAddr]) -> (SocketAddr, Vec<Asked>) {
        let port = self.args.port();
        let mut addresses = addresses.iter().map(|&ip| SocketAddr::new(ip, port));
        // A name has at least one.
        let mut address = addresses.next().unwrap_or_else(|| ([0; 4], port).into());
        let is_safe = self.may_send_secret(address);
        let mut asked: Vec<Asked> = Vec::new();
        let mut certificate = None;
        let mut stop: Option<&str> = None;
        for check in plan::at_url(&self.header, self.secret.is_some()) {
            if let Some(why) = stop.or_else(|| self.left_out(check, is_safe)) {
                self.skip(check, why);
                continue;
            }
            if self.is_silent(check, address) {
                continue;
            }
            let mut exchange = self.exchange(check, address, is_safe);
            // Only the first one looks for an address.
            while asked.is_empty() && matches!(exchange.outcome, Err(Failure::Connect(_))) {
                let next = addresses.next();
                let Some(next) = next.filter(|&next| self.may_send_secret(next) == is_safe) else {
                    break;
                };
                address = next;
                exchange = self.exchange(check, address, is_safe);
            }
            certificate = certificate.or(exchange.certificate);
            match &exchange.outcome {
                Err(failure) if failure.is_unverifiable() => {
                    let why = "the certificate cannot be verified, so nothing is sent there";
                    self.find("certificate", "-", Verdict::Fault, explained(failure));
                    self.skip(check, why);
                    stop = Some(why);
                    continue;
                }
                Err(Failure::Connect(_) | Failure::Tls(_)) if asked.is_empty() => {
                    // All others would come to the same.
                    asked.push(Asked {
                        check,
                        outcome: exchange.outcome,
                    });
                    break;
                }
                Err(Failure::Connect(_)) => {
                    stop = Some("the origin takes no more connections of us");
                }
                Ok(answer) if answer.status == 429 => {
                    stop = Some("the origin has had enough of us");
                }
                _ => {}
            }
            asked.push(Asked {
                check,
                outcome: exchange.outcome,
            });
        }
        if let Some(facts) = certificate {
            self.judge_certificate(&facts);
        }
        if !is_safe {
            let detail = "plain HTTP: whoever is on the way reads the secret; serve https";
            self.find("transport", "-", Verdict::Fault, detail.into());
        }
        (address, asked)
    }

    /// Whether nobody on the way could read the secret. A name that merely leads to this
    /// machine leads elsewhere as soon as DNS says so.
    fn may_send_secret(&self, address: SocketAddr) -> bool {
        let is_loopback = address.ip().to_canonical().is_loopback();
        self.target().is_https() || self.target().is_local() && is_loopback
    }

    /// Why a check is left out, if it is.
    fn left_out(&self, check: Check, is_safe: bool) -> Option<&'static str> {
        match check.needs_secret() {
            true if self.secret.is_none() => Some("needs --secret-file"),
            true if !is_safe => Some("the right secret goes over https alone"),
            _ => None,
        }
    }

    fn ask_elsewhere(&mut self, ip: IpAddr) -> Vec<Asked> {
        let checks = self.elsewhere().into_iter();
        checks
            .filter_map(|check| {
                let port = match check {
                    Check::PlainHttp(port) | Check::Backend(port) => port,
                    _ => self.args.port(),
                };
                let address = SocketAddr::new(ip, port);
                if self.is_silent(check, address) {
                    return None;
                }
                let authority = self.target().authority_at(port);
                let exchange = self.send(check, address, &authority, false, false);
                Some(Asked {
                    check,
                    outcome: exchange.outcome,
                })
            })
            .collect()
    }

    /// Whether a request to `address` would only wait as one before it did. Then nothing can
    /// be told of `check`, and that is said.
    fn is_silent(&mut self, check: Check, address: SocketAddr) -> bool {
        let is_silent = self.silent.contains(&address);
        if is_silent {
            let label = check.label(&self.header);
            let detail = format!("not asked: {address} did not answer the request before");
            self.find(&label, "-", Verdict::Inconclusive, detail);
        }
        is_silent
    }

    fn exchange(&mut self, check: Check, address: SocketAddr, is_safe: bool) -> Exchange {
        let authority = self.target().authority();
        self.send(
            check,
            address,
            &authority,
            self.target().is_https(),
            is_safe,
        )
    }

    /// Sends the request of `check`. The right secret is in it only where that `is_safe`.
    fn send(
        &mut self,
        check: Check,
        address: SocketAddr,
        authority: &str,
        is_https: bool,
        is_safe: bool,
    ) -> Exchange {
        let failed = |failure| Exchange {
            outcome: Err(failure),
            certificate: None,
        };
        let session = match self.tls.as_ref().filter(|_| is_https) {
            Some((client, name)) => match client.session(name) {
                Ok(session) => Some(session),
                Err(error) => return failed(Failure::Tls(TlsError::Rustls(error))),
            },
            None if is_https => return failed(Failure::Malformed("no_name_for_tls")),
            None => None,
        };
        let request = Request {
            path: self.target().path(),
            authority,
            header: &self.header,
            secret: self.secret.as_ref().filter(|_| is_safe),
            random: &self.random,
        };
        let Some(bytes) = request.bytes(check) else {
            return failed(Failure::Malformed("no_secret"));
        };
        let exchange = ask(&Address::Tcp(address), session, &bytes, check.is_head());
        if matches!(exchange.outcome, Err(Failure::Late)) {
            self.silent.push(address);
        }
        let is_sent = match &exchange.outcome {
            Err(failure) => !failure.is_before_request(),
            Ok(_) => true,
        };
        self.requests += usize::from(is_sent);
        self.denials += usize::from(is_sent && !check.is_right());
        exchange
    }

    fn skip(&mut self, check: Check, why: &str) {
        let label = check.label(&self.header);
        self.find(&label, "-", Verdict::Skipped, why.to_owned());
    }

    fn judge_certificate(&mut self, facts: &Facts) {
        let end = httpdate::fmt_http_date(facts.not_after);
        let names = facts.names.join(" ");
        let names = self.redaction.shown(&names);
        let (verdict, more) = if facts.not_after < SystemTime::now() + RENEWAL {
            (Verdict::Warning, "; renew it")
        } else {
            (Verdict::Ok, "")
        };
        let detail = format!("for {names}, verified, ends {end}{more}");
        self.find("certificate", "-", verdict, detail);
    }

    fn report(mut self, address: Option<SocketAddr>, asked: &[Asked]) -> Report {
        let answers = asked.iter().filter_map(|asked| asked.outcome.as_ref().ok());
        for tell in tells::of(answers, &self.redaction) {
            let (verdict, detail) = if tell.is_loose {
                let more = "it tells whoever looks for known faults where to begin";
                (Verdict::Warning, format!("{}; {more}", tell.text))
            } else {
                (Verdict::Note, tell.text)
            };
            self.find(&format!("tells: {}", tell.place), "-", verdict, detail);
        }
        let is_here = address.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let mut findings = judge(asked, &self.header, is_here);
        findings.append(&mut self.findings);
        Report {
            url: self.target().text().to_owned(),
            address: address.map(|address| address.to_string()),
            header: self.header,
            requests: self.requests,
            denials: self.denials,
            findings,
            json: self.args.json,
        }
    }
}

fn own_header(variable: &impl Fn(&str) -> Option<OsString>) -> String {
    let name = variable("SECRET_HEADER").filter(|name| !name.is_empty());
    name.map_or_else(
        || SHARED_SECRET.into(),
        |name| name.to_string_lossy().trim().to_owned(),
    )
}
