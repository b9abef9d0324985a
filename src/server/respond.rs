//! A request head -> the bytes of what the handler answers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::time::SystemTime;

use crate::handler::{Answer, AnswerKind, Decision, Handler};
use crate::http1::encode::Reply;
pub(crate) use crate::http1::encode::print;
use crate::http1::error::RequestError;
use crate::http1::framing::KeepAlive;
use crate::http1::request::RequestHead;
use crate::http1::static_response;
use crate::net::Peer;

/// Lets the handler decide. A panic in it is a 500.
pub(crate) fn decide(
    handler: &dyn Handler,
    head: &RequestHead<'_, '_>,
    peer: Peer,
) -> Result<Decision, RequestError> {
    catch_unwind(AssertUnwindSafe(|| handler.decide(head, peer)))
        .map_err(|_| RequestError::new(500, "panic"))
}

/// Appends the bytes of an answer.
pub(crate) fn print_answer(
    answer: Answer,
    is_head: bool,
    keep_alive: KeepAlive,
    out: &mut Vec<u8>,
) {
    match answer.response {
        AnswerKind::Static(response) => {
            static_response::copy(response, SystemTime::now(), is_head, keep_alive, out);
        }
        AnswerKind::Made(reply) => print(reply, is_head, keep_alive, out),
    }
}

/// Answers in place of the function; returns the bytes of the body.
pub(crate) fn refuse(
    handler: &dyn Handler,
    refusal: &RequestError,
    peer: Peer,
    is_head: bool,
    keep_alive: KeepAlive,
    out: &mut Vec<u8>,
) -> u64 {
    let reply = handler.refuse(refusal, peer);
    let bytes = body_bytes(&reply, is_head);
    print(reply, is_head, keep_alive, out);
    bytes
}

/// How many bytes of a body go with an answer.
pub(crate) fn body_bytes(reply: &Reply, is_head: bool) -> u64 {
    let length = reply.data_length().filter(|_| !is_head);
    length.unwrap_or_default() as u64
}
