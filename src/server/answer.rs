//! A [`Response`](tiny_http::Response) -> bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tiny_http::{HTTPVersion, Request};

use super::head::{Persistence, Refusal};
use super::{Answer, Peer, Reply, Service, prepared};

/// Lets the function answer `request`. A panic in it is a 500.
pub(crate) fn answer(
    service: &dyn Service,
    request: Request,
    is_head: bool,
    persistence: Persistence,
    out: &mut Vec<u8>,
) {
    let peer = request.remote_addr().copied();
    let start = out.len();
    let done = catch_unwind(AssertUnwindSafe(|| {
        match service.answer(&request) {
            Answer::Prepared(answer) => prepared::copy(answer, is_head, persistence, out),
            Answer::Made(reply) => print(reply, is_head, persistence, out),
        }
        // Dropping a request that still has its writer makes it print a 500 into it.
        drop(request.into_writer());
    }));
    if done.is_err() {
        out.truncate(start);
        let panicked = Refusal::new(500, "panic");
        refuse(
            service,
            &panicked,
            peer.unwrap_or(super::UNIX_PEER),
            is_head,
            persistence,
            out,
        );
    }
}

/// Answers in place of the function.
pub(crate) fn refuse(
    service: &dyn Service,
    refusal: &Refusal,
    peer: Peer,
    is_head: bool,
    persistence: Persistence,
    out: &mut Vec<u8>,
) {
    print(service.refuse(refusal, peer), is_head, persistence, out);
}

/// `Response` drops every Connection field that it is given, and gives a 204 a
/// Content-Length, which RFC 9110, section 8.6, forbids; both are mended in its bytes.
pub(super) fn print(reply: Reply, is_head: bool, persistence: Persistence, out: &mut Vec<u8>) {
    let start = out.len();
    let no_content = reply.status_code() == 204;
    // The request's fields are kept from it: by TE it would choose a chunked body.
    reply
        .raw_print(&mut *out, HTTPVersion(1, 1), &[], is_head, None)
        .expect("a Vec takes every write");
    if no_content {
        splice(out, start, b"Content-Length: 0\r\n", b"");
    }
    let connection: &[u8] = match persistence {
        Persistence::Keep => return,
        Persistence::KeepSaid => b"\r\nConnection: keep-alive\r\n",
        Persistence::Close => b"\r\nConnection: close\r\n",
    };
    splice(out, start, b"\r\n", connection);
}

/// Replaces the first `old` after `start` by `new`.
fn splice(out: &mut Vec<u8>, start: usize, old: &[u8], new: &[u8]) {
    let found = out[start..]
        .windows(old.len())
        .position(|window| window == old);
    if let Some(at) = found {
        let at = start + at;
        out.splice(at..at + old.len(), new.iter().copied());
    }
}
