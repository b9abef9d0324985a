//! As the gateway, in front of an origin: every request needs a good API key; it is
//! forwarded without the key, with the secret and who the consumer is.

use std::sync::Arc;

use super::api_key::{self, Presented, presented};
use super::counters::{self as shared, REQUESTS};
use super::request_log::{self, counted, respond};
use crate::auth::secrets::Secrets;
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::edits::{ConsumerFields, Edits};
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::request::RequestHead;
use crate::keys::{Id, KeyVerdict, Keys};
use crate::metrics::declare_counters;
use crate::net::Peer;
use crate::net::tls::TlsError;

declare_counters! {
    pub(super) COUNTERS:
    KEY_FORWARDED = REQUESTS r#"verdict="key_granted",status="forwarded""#;
}

/// What decides on the requests of consumers.
pub struct Edge {
    /// The field that holds the key; see [`super::gateway::Gateway::key_header`].
    pub key_header: String,
    /// The field that is to hold the secret.
    pub secret_header: String,
    /// The keys, where a file of them is configured.
    pub keys: Option<Arc<Keys>>,
    /// The secrets, with the text of the current one.
    pub secrets: Arc<Secrets>,
    /// Whose word on the client counts.
    pub trusted_proxies: TrustedProxies,
    /// Whether every request is logged.
    pub access_log: bool,
}

impl Edge {
    /// A text that is presented is always judged by the index, which takes as long for
    /// one that it does not know.
    fn judge(
        &self,
        head: &RequestHead<'_, '_>,
    ) -> Result<ConsumerFields, (KeyVerdict, Option<Id>)> {
        let (Some(keys), Some(secret)) = (&self.keys, self.secrets.current()) else {
            return Err((KeyVerdict::Misconfigured, None));
        };
        let fields = head.fields.iter().map(|field| (field.name, field.value));
        let text = match presented(&self.key_header, fields) {
            Presented::Nothing => return Err((KeyVerdict::NoKey, None)),
            Presented::Nonsense => return Err((KeyVerdict::Malformed, None)),
            Presented::Text(text) => text,
        };
        keys.judge(text, |judgement| match judgement.verdict {
            KeyVerdict::Granted => Ok(ConsumerFields {
                secret_header: self.secret_header.clone(),
                secret,
                consumer: judgement.consumer.to_owned(),
                metadata: judgement.metadata.to_owned(),
            }),
            verdict => Err((verdict, judgement.id)),
        })
    }

    fn answer(&self, head: &RequestHead<'_, '_>, peer: Peer, answer: Answer) -> Decision {
        respond(head, peer, |request| {
            if self.access_log {
                request_log::log_request(request, &answer, &self.trusted_proxies);
            }
            answer
        })
    }
}

impl Handler for Edge {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        if let Err(error) = head.check_forwardable() {
            if head.method.is_trace() {
                let answer = counted(&shared::METHOD_NOT_ALLOWED, &reply::TRACE_NOT_ALLOWED);
                return self.answer(head, peer, answer);
            }
            return Decision::Respond(self.refuse(&error, peer).into());
        }
        match self.judge(head) {
            Ok(fields) => {
                KEY_FORWARDED.increment();
                let entry =
                    || request_log::forwarded_entry(head, peer, false, &self.trusted_proxies);
                let entry = self.access_log.then(|| Box::new(entry()));
                Decision::Forward(Edits::Consumer(Box::new(fields)), entry)
            }
            Err((verdict, id)) => {
                api_key::counter(verdict).increment();
                respond(head, peer, |request| {
                    let trusted = &self.trusted_proxies;
                    request_log::log_denial(request, verdict.reason(), id, trusted);
                    let answer = Answer::from(reply::key_denial(verdict));
                    if self.access_log {
                        request_log::log_request(request, &answer, trusted);
                    }
                    answer
                })
            }
        }
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
