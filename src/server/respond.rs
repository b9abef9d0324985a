//! A request head -> the bytes of what the handler answers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::time::SystemTime;

use crate::handler::{AnswerKind, Decision, Handler};
use crate::http1::encode::print;
use crate::http1::error::RequestError;
use crate::http1::framing::KeepAlive;
use crate::http1::request::RequestHead;
use crate::http1::static_response;
use crate::net::Peer;

/// Lets the handler answer, and tells whether the request has presented a good
/// credential. A panic in it is a 500.
pub(crate) fn answer(
    handler: &dyn Handler,
    head: &RequestHead<'_, '_>,
    peer: Peer,
    keep_alive: KeepAlive,
    out: &mut Vec<u8>,
) -> bool {
    let is_head = head.method.is_head();
    let start = out.len();
    let done = catch_unwind(AssertUnwindSafe(|| match handler.decide(head, peer) {
        Decision::Respond(answer) => {
            let granted = answer.is_granted();
            match answer.response {
                AnswerKind::Static(response) => {
                    static_response::copy(response, SystemTime::now(), is_head, keep_alive, out);
                }
                AnswerKind::Made(reply) => print(reply, is_head, keep_alive, out),
            }
            granted
        }
        Decision::Forward(_) => {
            // There is no backend yet.
            let error = RequestError::new(502, "no_backend");
            refuse(handler, &error, peer, is_head, keep_alive, out);
            false
        }
    }));
    done.unwrap_or_else(|_| {
        out.truncate(start);
        let panicked = RequestError::new(500, "panic");
        refuse(handler, &panicked, peer, is_head, keep_alive, out);
        false
    })
}

/// Answers in place of the function.
pub(crate) fn refuse(
    handler: &dyn Handler,
    refusal: &RequestError,
    peer: Peer,
    is_head: bool,
    keep_alive: KeepAlive,
    out: &mut Vec<u8>,
) {
    print(handler.refuse(refusal, peer), is_head, keep_alive, out);
}
