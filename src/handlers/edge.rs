//! As the gateway, in front of an origin: every request needs a good API key; it is
//! forwarded without the key, with the secret and who the consumer is.

use std::sync::Arc;

use super::api_key::{self, Presented, presented};
use super::cors;
use super::counters::{self as shared, REQUESTS};
use super::guesses::Guesses;
use super::request_log::{self, respond};
use crate::auth::secrets::Secrets;
use crate::handler::{Answer, Decision, Handler};
use crate::handlers::responses as reply;
use crate::http1::edits::{AnswerEdits, ConsumerFields, CorsFields, Edits};
use crate::http1::encode::Reply;
use crate::http1::error::RequestError;
use crate::http1::forwarded::TrustedProxies;
use crate::http1::query;
use crate::http1::request::RequestHead;
use crate::keys::{Exceeded, Id, KeyVerdict, Keys};
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
    /// The parameter of the query that may hold the key.
    pub key_parameter: Option<Arc<str>>,
    /// Whose pages may read the answers (`CORS_ORIGINS`).
    pub cors_origins: Vec<String>,
    /// The field that is to hold the secret.
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

impl Edge {
    /// A text that is presented is always judged by the index, which takes as long for
    /// one that it does not know.
    fn judge(
        &self,
        head: &RequestHead<'_, '_>,
        cors: Option<CorsFields>,
    ) -> Result<ConsumerFields, Denied> {
        let (Some(keys), Some(secret)) = (&self.keys, self.secrets.current()) else {
            return Err(Denied::Key(KeyVerdict::Misconfigured, None));
        };
        let target = &head.target.path_and_query;
        let parameter = self.key_parameter.as_ref();
        let in_query = parameter.and_then(|name| query::take(target, name.as_bytes()));
        let fields = head.fields.iter().map(|field| (field.name, field.value));
        let in_field = presented(&self.key_header, fields);
        let values = in_query.as_ref().map_or(&[][..], |taken| &taken.values);
        let presented = match (in_field, values) {
            (in_field, []) => in_field,
            (Presented::Nothing, [value]) if value.is_empty() => Presented::Nothing,
            (Presented::Nothing, [value]) => Presented::Text(value),
            // Of two keys the origin could be told of another one than is judged.
            _ => Presented::Nonsense,
        };
        let text = match presented {
            Presented::Nothing => return Err(Denied::Key(KeyVerdict::NoKey, None)),
            Presented::Nonsense => return Err(Denied::Key(KeyVerdict::Malformed, None)),
            Presented::Text(text) => text,
        };
        keys.judge(text, |judgement| {
            if judgement.verdict != KeyVerdict::Granted {
                return Err(Denied::Key(judgement.verdict, judgement.id));
            }
            let admitted = judgement.admit();
            let permit = admitted.map_err(|exceeded| Denied::Limit(exceeded, judgement.id))?;
            Ok(ConsumerFields {
                secret_header: self.secret_header.clone(),
                consumer: judgement.consumer().to_owned(),
                metadata: judgement.metadata().to_owned(),
                key_parameter: self.key_parameter.clone(),
                answer: AnswerEdits {
                    secret: Some(secret),
                    is_private: !values.is_empty(),
                    cors,
                    held: permit.map(|permit| Arc::new(permit) as Arc<dyn Send + Sync>),
                },
            })
        })
    }

    fn deny(
        &self,
        head: &RequestHead<'_, '_>,
        peer: Peer,
        denied: Denied,
        cors: Option<&CorsFields>,
    ) -> Decision {
        respond(head, peer, |request| {
            let trusted = &self.trusted_proxies;
            let answer = match denied {
                Denied::Key(verdict, id) => {
                    let client = trusted.client(request);
                    if let Some(exceeded) = self.guesses.note(verdict, client, trusted) {
                        api_key::limit_counter(exceeded).increment();
                        request_log::log_guessing(request, id, trusted);
                        Answer::from(reply::too_many(exceeded))
                    } else {
                        request_log::log_denial(request, verdict.reason(), id, trusted);
                        api_key::count(verdict);
                        Answer::from(reply::key_denial(verdict))
                    }
                }
                Denied::Limit(exceeded, id) => {
                    api_key::limit_counter(exceeded).increment();
                    request_log::log_limited(request, exceeded, id, trusted);
                    Answer::from(reply::too_many(exceeded)).granted()
                }
            };
            let answer = match cors {
                None => answer,
                Some(cors) => answer.with_fields(|reply| cors::with_fields(reply, cors)),
            };
            if self.access_log {
                request_log::log_request(request, &answer, trusted);
            }
            answer
        })
    }
}

/// Why a request is not forwarded.
#[derive(Clone, Copy)]
enum Denied {
    Key(KeyVerdict, Option<Id>),
    Limit(Exceeded, Option<Id>),
}

impl Handler for Edge {
    fn decide(&self, head: &RequestHead<'_, '_>, peer: Peer) -> Decision {
        let (access_log, trusted) = (self.access_log, &self.trusted_proxies);
        let refused = request_log::refuse_unforwardable(head, peer, access_log, trusted);
        if let Some(refused) = refused {
            return refused;
        }
        let cors = cors::fields(head, &self.cors_origins);
        let preflight = cors.as_ref().and_then(|cors| cors::preflight(head, cors));
        if let Some(answer) = preflight {
            shared::OPTIONS.increment();
            return request_log::respond_with(head, peer, answer.into(), access_log, trusted);
        }
        match self.judge(head, cors.clone()) {
            Ok(fields) => {
                let entry =
                    || request_log::forwarded_entry(head, peer, false, &self.trusted_proxies);
                Decision::Forward {
                    edits: Edits::Consumer(Box::new(fields)),
                    entry: self.access_log.then(|| Box::new(entry())),
                    counter: &KEY_FORWARDED,
                }
            }
            Err(denied) => self.deny(head, peer, denied, cors.as_ref()),
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
