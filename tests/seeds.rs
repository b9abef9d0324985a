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
    if named.is_none() {
        fs::remove_dir_all(&folder).expect("removed");
    }
}
