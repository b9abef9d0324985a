//! A request -> the bytes of what the handler answers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tiny_http::Request;

use crate::handler::{Answer, Handler};
use crate::http1::encode::print;
use crate::http1::error::RequestError;
use crate::http1::framing::KeepAlive;
use crate::http1::static_response;
use crate::net::{Peer, UNIX_PEER};

/// Lets the function answer `request`. A panic in it is a 500.
pub(crate) fn answer(
    handler: &dyn Handler,
    request: Request,
    is_head: bool,
    keep_alive: KeepAlive,
    out: &mut Vec<u8>,
) {
    let peer = request.remote_addr().copied();
    let start = out.len();
    let done = catch_unwind(AssertUnwindSafe(|| {
        match handler.answer(&request) {
            Answer::Static(answer) => static_response::copy(answer, is_head, keep_alive, out),
            Answer::Made(reply) => print(reply, is_head, keep_alive, out),
        }
        // Dropping a request that still has its writer makes it print a 500 into it.
        drop(request.into_writer());
    }));
    if done.is_err() {
        out.truncate(start);
        let panicked = RequestError::new(500, "panic");
        refuse(
            handler,
            &panicked,
            peer.unwrap_or(UNIX_PEER),
            is_head,
            keep_alive,
            out,
        );
    }
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
