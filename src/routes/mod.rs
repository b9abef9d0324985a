//! Which paths a door serves: plain functions `&Request -> Response`.

pub mod admin;
pub mod origin;

use tiny_http::{Method, Request};

/// The methods of what can only be read.
const READING: &str = "GET, HEAD";

/// Longest path that a log line shows, in bytes.
const SHOWN: usize = 256;

/// The path, without the query, which may hold what no log should.
fn path(request: &Request) -> &str {
    let url = request.url();
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// The path for a log line: printable ASCII without spaces, and short.
fn shown_path(request: &Request) -> String {
    path(request)
        .bytes()
        .take(SHOWN)
        .map(|byte| {
            if byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}

fn is_reading(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
}
