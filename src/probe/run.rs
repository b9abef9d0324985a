//! Asks what is planned, within what may be sent where.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::pki_types::ServerName;

use super::answer::{Answer, Exchange, ask_over};
use super::args::ProbeArgs;
use super::check::{Check, Request};
use super::connection::{Connection, Failure};
use super::judge::{Asked, explained, judge};
use super::report::{Finding, Report};
use super::rules::Rule;
use super::target::Target;
use super::{plan, tells};
use crate::auth::keygen;
use crate::auth::redaction::Redaction;
use crate::auth::secret_source::{self, Loaded};
use crate::auth::secrets::Text;
use crate::config::{ValueError, field_name};
use crate::http1::names::SHARED_SECRET;
use crate::net::Address;
use crate::net::resolve::ResolveError;
use crate::net::tls::TlsError;
use crate::net::tls::certificates::{Facts, RENEWAL};
use crate::net::tls::client::{TlsClient, TlsClientError};
use crate::net::tls::server::PairFiles;
use crate::rfc3339;

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
    Tls(Option<&'static str>, TlsClientError),
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
            Self::Tls(Some(name), error) => write!(to, "{name}: {error}"),
            Self::Tls(None, error) => error.fmt(to),
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
            Self::Tls(_, error) => Some(error),
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
    let found = match args.resolve {
        Some(place) => Ok(vec![place.ip]),
        None => args.target.addresses(),
    };
    let addresses = match found {
        Ok(addresses) => addresses,
        Err(error) => {
            probe.has_no_address(&error);
            return Ok(probe.report(None, &[]));
        }
    };
    announce(&probe.announcement(&addresses));
    let (address, mut asked) = probe.ask_at_url(&addresses);
    if addresses.len() > 1 {
        let count = addresses.len();
        let detail = format!("one of {count} addresses of this name; ask the others by --resolve");
        probe.find("address", Rule::SeveralAddresses, detail);
    }
    asked.extend(probe.ask_elsewhere(address.ip()));
    probe.skip_what_is_not_asked_for();
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
    /// How many requests are announced.
    forecast: usize,
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
        let tls = match args.target.tls_name() {
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
                let client = client.map_err(|error| {
                    let named = match (&error, &args.ca_file) {
                        (TlsClientError::Roots(_) | TlsClientError::NoRootsIn(_), Some(_)) => {
                            Some("--ca-file")
                        }
                        (TlsClientError::Roots(_) | TlsClientError::NoRootsIn(_), None) => {
                            Some("ORIGIN_CA")
                        }
                        _ => None,
                    };
                    ProbeError::Tls(named, error)
                })?;
                Some((client, name.clone()))
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
            forecast: 0,
            requests: 0,
            denials: 0,
            silent: Vec::new(),
            findings: Vec::new(),
        })
    }

    fn target(&self) -> &'a Target {
        &self.args.target
    }

    /// What is found apart from the answer to a check.
    fn find(&mut self, check: &str, rule: Rule, detail: String) {
        self.findings.push(Finding {
            check: check.to_owned(),
            answer: "-".to_owned(),
            verdict: rule.verdict(),
            detail,
        });
    }

    fn skip(&mut self, check: Check, why: &str) {
        let label = check.label(&self.header);
        self.find(&label, Rule::LeftOut, why.to_owned());
    }

    fn at_url(&self) -> Vec<Check> {
        plan::at_url(self.secret.is_some())
    }

    fn elsewhere(&self) -> Vec<Check> {
        let beside = Some(self.args.http_port)
            .filter(|&port| self.target().is_https() && port != self.args.port());
        plan::elsewhere(beside, &self.args.backend_ports)
    }

    /// What is about to be sent, and how many of it may count against this address. More is
    /// never sent; less is, where a port is closed or the origin has had enough of it.
    fn announcement(&mut self, addresses: &[IpAddr]) -> String {
        let first = addresses.first().map(|&ip| (ip, self.args.port()).into());
        let is_safe = first.is_some_and(|address| self.may_send_secret(address));
        let at_url = self.at_url().into_iter();
        let at_url = at_url.filter(|&check| self.left_out(check, is_safe).is_none());
        let all = at_url.chain(self.elsewhere());
        let (right, denied): (Vec<_>, Vec<_>) = all.partition(|check| check.is_right());
        let forecast = right.len() + denied.len();
        let place = self.args.resolve;
        let place = place.map_or_else(String::new, |place| format!(" at {}", place.ip));
        let denials = match right.len() {
            0 => "all of them may be denied".to_owned(),
            _ => format!(
                "at most {} of them are denied, or all if the origin refuses the secret",
                denied.len()
            ),
        };
        self.forecast = forecast;
        format!(
            "probing {}{place}: at most {forecast} requests; {denials}. A denial is a 401 or the \
             like in the origin's log, and fail2ban, if it reads that log, may ban this address",
            self.target().text(),
        )
    }

    /// Nothing can be asked.
    fn has_no_address(&mut self, error: &ResolveError) {
        let detail = format!(
            "{error}; look at the name, or give the origin's address: --resolve 203.0.113.7"
        );
        self.find("address", Rule::NoAddress, detail);
        for check in self.at_url().into_iter().chain(self.elsewhere()) {
            self.skip(check, "no address");
        }
        self.skip_what_is_not_asked_for();
    }

    /// What the command line or the URL leaves out. What is asked at the URL and left out is
    /// among its checks.
    fn skip_what_is_not_asked_for(&mut self) {
        let skip = |check: &str, why: &str| (check.to_owned(), why.to_owned());
        let mut skipped = Vec::new();
        if !self.target().is_https() {
            skipped.push(skip(
                "plain HTTP beside https",
                "the URL is plain HTTP itself",
            ));
            skipped.push(skip("certificate", "the URL is plain HTTP"));
        } else if !self
            .findings
            .iter()
            .any(|finding| finding.check == "certificate")
        {
            skipped.push(skip("certificate", "no certificate was verified"));
        }
        if self.args.backend_ports.is_empty() {
            skipped.push(skip("backend ports", "none is named by --backend-ports"));
        }
        for (check, why) in skipped {
            self.find(&check, Rule::LeftOut, why);
        }
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
        for check in self.at_url() {
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
                    let detail = explained(failure, &self.by_hand(Some(address)));
                    let detail = self.redaction.shown(&detail).to_owned();
                    self.find("certificate", Rule::CertificateFaulty, detail);
                    self.skip(check, why);
                    stop = Some(why);
                    continue;
                }
                Err(Failure::Connect(_) | Failure::Tls(_)) if asked.is_empty() => {
                    stop = Some("the first request got no answer");
                }
                Err(Failure::Connect(_)) => {
                    stop = Some("the origin takes no more connections from here");
                }
                Ok(answer) if answer.status == 429 => {
                    stop = Some("the origin answers 429: it had too many requests from here");
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
            self.find("transport", Rule::PlainUrl, detail.into());
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
            true if !is_safe => {
                Some("the secret is sent only over https, or where the URL is a loopback address")
            }
            _ if check.needs_hyphen() && !self.header.contains('-') => {
                Some("the name of the header has no hyphen")
            }
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
            self.find(&label, Rule::NotAsked, detail);
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
        let session = match self.tls.as_ref().filter(|_| is_https) {
            Some((client, name)) => match client.session(name) {
                Ok(session) => Some(session),
                Err(error) => return Exchange::failed(Failure::Tls(TlsError::Rustls(error))),
            },
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
            return Exchange::failed(Failure::Malformed("no_secret"));
        };
        let open = if check.needs_secret() {
            Connection::open_for_secret
        } else {
            Connection::open
        };
        let exchange = match open(&Address::Tcp(address), session) {
            Ok(connection) => ask_over(connection, &bytes, check.is_head()),
            Err(failure) => Exchange::failed(failure),
        };
        if matches!(exchange.outcome, Err(Failure::Late)) {
            self.silent.push(address);
        }
        let is_denied = |answer: &Answer| matches!(answer.status, 401 | 403 | 429);
        self.requests += usize::from(exchange.is_sent);
        self.denials += usize::from(exchange.outcome.as_ref().is_ok_and(is_denied));
        exchange
    }

    /// The command that shows the TLS at `address`.
    fn by_hand(&self, address: Option<SocketAddr>) -> String {
        let place = address.map_or_else(|| self.target().authority(), |at| at.to_string());
        let named = match self.target().tls_name() {
            Some(ServerName::DnsName(name)) => format!(" -servername {}", name.as_ref()),
            _ => String::new(),
        };
        format!("openssl s_client -connect {place}{named}")
    }

    fn judge_certificate(&mut self, facts: &Facts) {
        let end = rfc3339::text(facts.not_after);
        let names = facts.names_shown();
        let names = self.redaction.shown(&names);
        let (rule, more) = if facts.not_after < SystemTime::now() + RENEWAL {
            (Rule::CertificateEndsSoon, "; renew it")
        } else {
            (Rule::CertificateGood, "")
        };
        let detail = format!("for {names}, verified, ends {end}{more}");
        self.find("certificate", rule, detail);
    }

    fn report(mut self, address: Option<SocketAddr>, asked: &[Asked]) -> Report {
        let answers = asked.iter().filter_map(|asked| asked.outcome.as_ref().ok());
        for tell in tells::of(answers, &self.redaction) {
            let (rule, detail) = if tell.is_loose {
                let more = "it tells attackers which known faults to try; hide it";
                (Rule::TellsVersion, format!("{}; {more}", tell.text))
            } else {
                (Rule::TellsName, tell.text)
            };
            self.find(&format!("tells: {}", tell.place), rule, detail);
        }
        let is_here = address.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let mut findings = judge(asked, &self.header, is_here, &self.by_hand(address));
        findings.append(&mut self.findings);
        Report {
            url: self.target().text().to_owned(),
            address: address.map(|address| address.to_string()),
            header: self.header,
            forecast: self.forecast,
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
