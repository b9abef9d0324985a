//! Writes what the fuzz targets begin with, a file for each input and a folder for each
//! target, where `FUZZ_SEEDS` says.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::corpus;

/// Answers of backends; two bytes before each say whether the request was a HEAD and
/// whether it asked for websocket.
const ANSWERS: [&str; 6] = [
    "\0\0HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: a\r\n\r\n",
    "\x01\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n",
    "\0\0HTTP/1.0 404 Not Found\r\nConnection: keep-alive, A\r\nA: b\r\n\r\n",
    "\0\x01HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "\0\0HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX_Shared_Secret: a\r\n\r\n",
    "\0\0HTTP/1.1 304 \r\nContent-Length: 5, 5\r\nSet-Cookie: a\r\n\r\n",
];

/// Sessions, as tests/fuzz/targets/session/input.rs reads them; `@` stands for the byte that
/// stands for the secret, and of a reply the byte that says that nothing is special.
const SESSIONS: [&str; 12] = [
    "GET /a HTTP/1.1\r\nHost: x\r\n@\r\n",
    "GET /a HTTP/1.1\r\nHost: x\r\n@\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /p HTTP/1.1\r\nHost: x\r\n\r\nHEAD /p?q HTTP/1.1\r\nHost: x\r\n@\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\n@Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: x\r\n@\r\n",
    "PUT /a HTTP/1.1\r\nHost: x\r\n@Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /p HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\n@Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "GET /ws HTTP/1.1\r\nHost: x\r\n@Connection: Upgrade\r\nUpgrade: websocket\r\n\r\ntunnel",
    "GET http://y/a?b HTTP/1.1\r\nHost: x\r\nX_Shared_Secret: s3cret\r\nTransfer_Encoding: chunked\r\n@Connection: A, close\r\nA: b\r\n\r\n",
    "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n@\r\nGET /b HTTP/1.0\r\n@\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n@\r\nDELETE /a HTTP/1.1\r\nHost: x\r\n@X-Forwarded-For: a\r\nForwarded: for=b\r\nProxy: c\r\n\r\n",
    "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n@\r\n",
];

/// What the backend says to their requests; the first byte says how: 1 closes, 2 is early.
const REPLIES: [&str; 10] = [
    "@HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "\x02HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "@HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nB: c\r\n\r\n",
    "\x01HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "@HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "@HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
    "@HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "\x01HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    "@HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na more",
    "\x01",
];

/// A session: how it is split, what the client sends, and four answers from `first` on.
fn session(split: [u8; 4], client: &[u8], first: usize) -> Vec<u8> {
    let mut bytes = [&split, client].concat();
    for reply in REPLIES.iter().cycle().skip(first).take(4) {
        bytes.extend([0, 0]);
        bytes.extend(reply.as_bytes());
    }
    bytes
}

fn write(folder: &Path, name: &str, input: &[u8]) {
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.join(name);
    fs::write(&path, input).expect("written");
    assert_eq!(fs::read(&path).expect("read back"), input);
}

#[test]
fn every_input_is_a_seed() {
    let named = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from);
    let folder = named.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("origin-guard-seeds-{}", std::process::id()))
    });
    for entry in corpus::entries() {
        let name = format!("line-{}", entry.line);
        write(&folder.join("head"), &name, &entry.input);
    }
    for (number, answer) in ANSWERS.into_iter().enumerate() {
        let name = format!("answer-{number}");
        write(&folder.join("response"), &name, answer.as_bytes());
    }
    for (number, client) in SESSIONS.into_iter().enumerate() {
        let client = client.replace('@', "\x01");
        for first in 0..REPLIES.len() {
            let end = u8::try_from(first % 3).expect("small");
            let tls = u8::from(first % 8 == 1);
            let input = session([end, 2, 6, tls], client.as_bytes(), first);
            let name = format!("session-{number}-{first}");
            write(&folder.join("session"), &name, &input);
        }
    }
    for entry in corpus::entries() {
        // A longer one would not fit into a socket's buffer.
        if entry.input.len() < 16_000 {
            let name = format!("line-{}", entry.line);
            let tls = u8::from(entry.line % 8 == 1);
            let input = session([1, 20, 5, tls], &entry.input, entry.line);
            write(&folder.join("session"), &name, &input);
        }
    }
    if named.is_none() {
        fs::remove_dir_all(&folder).expect("removed");
    }
}
