//! Asks what is planned, in its order, and gathers what is found.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::answer::{self, Answer, Exchange};
use super::args::ProbeArgs;
use super::check::Check;
use super::connection::Failure;
use super::judge::{Asked, explained, judge};
use super::report::{Finding, Report};
use super::rules::Rule;
use super::sender::{ProbeError, Sender};
use super::target::Target;
use super::{plan, tells};
use crate::net::Address;
use crate::net::resolve::ResolveError;
use crate::net::tls::certificates::{Facts, RENEWAL};
use crate::rfc3339;

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
    let mut probe = Probe {
        args,
        sender: Sender::new(args, variable)?,
        forecast: 0,
        requests: 0,
        denials: 0,
        silent: Vec::new(),
        findings: Vec::new(),
    };
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
    sender: Sender<'a>,
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
        let label = check.label(&self.sender.header);
        self.find(&label, Rule::LeftOut, why.to_owned());
    }

    fn at_url(&self) -> Vec<Check> {
        plan::at_url(self.sender.has_secret())
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
        let is_safe = first.is_some_and(|address| self.sender.may_send_secret(address));
        let at_url = self.at_url().into_iter();
        let at_url = at_url.filter(|&check| self.sender.left_out(check, is_safe).is_none());
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
        let is_safe = self.sender.may_send_secret(address);
        let mut asked: Vec<Asked> = Vec::new();
        let mut certificate = None;
        let mut stop: Option<&str> = None;
        for check in self.at_url() {
            if let Some(why) = stop.or_else(|| self.sender.left_out(check, is_safe)) {
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
                let Some(next) = next.filter(|&next| self.sender.may_send_secret(next) == is_safe)
                else {
                    break;
                };
                address = next;
                exchange = self.exchange(check, address, is_safe);
            }
            if asked.is_empty() && self.speaks_tls(&exchange.outcome, address) {
                let why = "this port speaks TLS, and the URL is plain HTTP";
                self.skip(check, why);
                stop = Some(why);
                continue;
            }
            certificate = certificate.or(exchange.certificate);
            match &exchange.outcome {
                Err(failure) if failure.is_unverifiable() => {
                    let why = "the certificate cannot be verified, so nothing is sent there";
                    let detail = explained(failure, &self.sender.by_hand(Some(address)));
                    let detail = self.sender.redaction.shown(&detail).to_owned();
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

    /// Whether TLS is spoken at `address`, where the URL is plain HTTP and `outcome` is none of
    /// an HTTP server that takes that. It is said once.
    fn speaks_tls(&mut self, outcome: &Result<Answer, Failure>, address: SocketAddr) -> bool {
        let is_doubtful = match outcome {
            // nginx and others answer so.
            Ok(answer) => answer.status == 400,
            Err(failure) => matches!(failure, Failure::Malformed(_) | Failure::Closed),
        };
        let speaks =
            is_doubtful && !self.target().is_https() && answer::speaks_tls(&Address::Tcp(address));
        if speaks {
            let url = self.target().text().replacen("http:", "https:", 1);
            let detail = format!("this port speaks TLS; probe {url}");
            self.find("transport", Rule::SpeaksTls, detail);
        }
        speaks
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
            let label = check.label(&self.sender.header);
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

    fn send(
        &mut self,
        check: Check,
        address: SocketAddr,
        authority: &str,
        is_https: bool,
        is_safe: bool,
    ) -> Exchange {
        let sender = &self.sender;
        let exchange = sender.send(check, address, authority, is_https, is_safe);
        if matches!(exchange.outcome, Err(Failure::Late)) {
            self.silent.push(address);
        }
        let is_denied = |answer: &Answer| matches!(answer.status, 401 | 403 | 429);
        self.requests += usize::from(exchange.is_sent);
        self.denials += usize::from(exchange.outcome.as_ref().is_ok_and(is_denied));
        exchange
    }

    fn judge_certificate(&mut self, facts: &Facts) {
        let end = rfc3339::text(facts.not_after);
        let names = facts.names_shown();
        let names = self.sender.redaction.shown(&names);
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
        for tell in tells::of(answers, &self.sender.redaction) {
            let (rule, detail) = if tell.is_loose {
                let more = "it tells attackers which known faults to try; hide it";
                (Rule::TellsVersion, format!("{}; {more}", tell.text))
            } else {
                (Rule::TellsName, tell.text)
            };
            self.find(&format!("tells: {}", tell.place), rule, detail);
        }
        let is_here = address.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let mut findings = judge(
            asked,
            &self.sender.header,
            is_here,
            &self.sender.by_hand(address),
        );
        findings.append(&mut self.findings);
        Report {
            url: self.target().text().to_owned(),
            address: address.map(|address| address.to_string()),
            header: self.sender.header,
            forecast: self.forecast,
            requests: self.requests,
            denials: self.denials,
            findings,
            json: self.args.json,
        }
    }
}
