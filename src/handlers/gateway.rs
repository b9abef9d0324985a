//! The gateway's listener: `/authorize` and all below it, and `/healthz`.
//!
//! A proxy at the edge asks here about each request, and takes from the answer what it
//! forwards: the secret and who the consumer is.

use std::sync::Arc;

use tiny_http::{Header, Method, Request};

use super::api_key::{self, Presented, presented};
use super::counters as shared;
use super::guesses::Guesses;
use super::request_log::{self, counted, path, respond};
use crate::auth::secrets::Secrets;
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::names;
use crate::http1::request::RequestHead;
pub use crate::keys::KeyVerdict;
use crate::keys::{Exceeded, Id, Keys};
use crate::net::Peer;
use crate::net::tls::TlsError;

/// What answers at the gateway's listener.
pub struct Gateway {
    /// The field that holds the key: `Authorization` with the scheme `Bearer` (RFC 6750,
    /// section 2.1), or another one with the key alone.
    pub key_header: String,
    /// The field that holds the secret.
    pub secret_header: String,
    /// The keys, where a file of them is configured.
    pub keys: Option<Arc<Keys>>,
    /// The secrets, with the text of the current one.
    pub secrets: Arc<Secrets>,
    /// Who presents invalid keys.
    pub guesses: Guesses,
    /// Whose word on the client counts.
    pub trusted_proxies: TrustedProxies,
    /// Whether every request is logged.
    pub access_log: bool,
}

/// A verdict, and what an answer or a log line needs beside it.
struct Judged {
    verdict: KeyVerdict,
    id: Option<Id>,
    /// Which limit the consumer has come to.
    exceeded: Option<Exceeded>,
    /// What a granted request is to be forwarded with.
    fields: Vec<Header>,
}

impl From<KeyVerdict> for Judged {
    fn from(verdict: KeyVerdict) -> Self {
        Self {
            verdict,
            id: None,
            exceeded: None,
            fields: Vec::new(),
        }
    }
}

impl Gateway {
    /// The plain function: a request -> its answer.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Answer {
        let answer = self.route(request);
        if self.access_log {
            request_log::log_request(request, &answer, &self.trusted_proxies);
        }
        answer
    }

    fn route(&self, request: &Request) -> Answer {
        match path(request) {
            "/healthz" => request_log::healthz(request),
            "*" if *request.method() == Method::Options => {
                counted(&shared::OPTIONS, &reply::OPTIONS_ANY)
            }
            path if request_log::is_at_or_below(path, "/authorize") => self.authorize(request),
            _ => counted(&shared::NOT_FOUND, &reply::NOT_FOUND_NO_STORE),
        }
    }

    fn authorize(&self, request: &Request) -> Answer {
        let Judged {
            verdict,
            id,
            exceeded,
            fields,
        } = self.judge(request);
        if let Some(exceeded) = exceeded {
            api_key::limit_counter(exceeded).increment();
            request_log::log_limited(request, exceeded, id, &self.trusted_proxies);
            return Answer::from(reply::too_many_for_proxy(exceeded)).granted();
        }
        if verdict != KeyVerdict::Granted {
            let trusted = &self.trusted_proxies;
            // Who asks is a proxy, trusted or not; the client is whom it names.
            let client = trusted.named_client(request);
            let guessing = client.and_then(|client| self.guesses.note(verdict, client, trusted));
            if let Some(exceeded) = guessing {
                api_key::limit_counter(exceeded).increment();
                request_log::log_guessing(request, id, trusted);
                return Answer::from(reply::too_many_for_proxy(exceeded));
            }
            request_log::log_denial(request, verdict.reason(), id, trusted);
        }
        api_key::count(verdict);
        reply::key_verdict(verdict, fields)
    }

    /// A text that is presented is always judged by the index, which takes as long for
    /// one that it does not know.
    fn judge(&self, request: &Request) -> Judged {
        let (Some(keys), Some(secret)) = (&self.keys, self.secrets.current()) else {
            return KeyVerdict::Misconfigured.into();
        };
        let fields = request.headers().iter();
        let fields = fields.map(|field| {
            let name = field.field.as_str().as_str();
            (name, field.value.as_str().as_bytes())
        });
        let presented = match presented(&self.key_header, fields) {
            Presented::Nothing => return KeyVerdict::NoKey.into(),
            Presented::Nonsense => return KeyVerdict::Malformed.into(),
            Presented::Text(text) => text,
        };
        keys.judge(presented, |judgement| {
            let mut judged = Judged::from(judgement.verdict);
            judged.id = judgement.id;
            if judgement.verdict == KeyVerdict::Granted {
                if let Err(exceeded) = judgement.admit() {
                    judged.exceeded = Some(exceeded);
                    return judged;
                }
                let granted = [
                    (self.secret_header.as_str(), secret.as_str()),
                    (names::CONSUMER, judgement.consumer()),
                    (names::CONSUMER_METADATA, judgement.metadata()),
                ];
                let granted = granted.into_iter().filter(|(_, value)| !value.is_empty());
                let fields = granted.map(|(name, value)| reply::data_field(name, value));
                match fields.collect() {
                    Some(fields) => judged.fields = fields,
                    // Each value was looked at when it was loaded.
                    None => judged.verdict = KeyVerdict::Misconfigured,
                }
            }
            judged
        })
    }
}

impl Handler for Gateway {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        respond(head, peer, |request| self.answer(request))
    }

    fn refuse(&self, refusal: &RequestError, peer: Peer) -> Reply {
        request_log::refuse(refusal, peer, &self.trusted_proxies)
    }

    fn tls_failed(&self, error: &TlsError, peer: Peer) {
        request_log::log_tls_failure(error, peer);
    }

    fn failed(&self, status: u16) -> Reply {
        reply::refusal(status)
    }
}
