//! A [`Response`] -> bytes.

use std::io::Cursor;

use tiny_http::{HTTPVersion, Response};

use super::framing::KeepAlive;

/// A whole response in memory.
pub type Reply = Response<Cursor<Vec<u8>>>;

/// `Response` drops every Connection field that it is given, and gives a 204 a
/// Content-Length, which RFC 9110, section 8.6, forbids; both are mended in its bytes.
pub(crate) fn print(reply: Reply, is_head: bool, keep_alive: KeepAlive, out: &mut Vec<u8>) {
    let start = out.len();
    let no_content = reply.status_code() == 204;
    // The request's fields are kept from it: by TE it would choose a chunked body.
    reply
        .raw_print(&mut *out, HTTPVersion(1, 1), &[], is_head, None)
        .expect("a Vec takes every write");
    if no_content {
        splice(out, start, b"Content-Length: 0\r\n", b"");
    }
    let connection: &[u8] = match keep_alive {
        KeepAlive::Keep => return,
        KeepAlive::KeepSaid => b"\r\nConnection: keep-alive\r\n",
        KeepAlive::Close => b"\r\nConnection: close\r\n",
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
