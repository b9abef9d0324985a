//! What two parsers could read in two ways, and names that fold to ours, through both
//! halves: nothing reaches the backend that the gateway has not granted.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use crate::backend::{Backend, Seen};
use crate::both::Both;
use crate::support::SECRET;
use crate::support::corpus::unescape;

/// Behind each input, so that no reading of it leaves anyone waiting.
const TAIL: &str = "GET /forbidden-tail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// What can stand in a field's name beside letters and digits (RFC 9110, section 5.6.2).
const SIGNS: &str = "!#$%&'*+.^_`|~";

const OWN: [&str; 9] = [
    "X-Shared-Secret",
    "X-Consumer",
    "X-Consumer-Metadata",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Real-IP",
];

fn start(name: &str) -> (Backend, Both) {
    let backend = Backend::start();
    let both = Both::start(name, &format!("http://{}", backend.address));
    (backend, both)
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if let Some(behind) = rest.strip_prefix(old.as_bytes()) {
            replaced.extend(new.as_bytes());
            rest = behind;
        } else {
            replaced.push(first);
            rest = &rest[1..];
        }
    }
    replaced
}

/// Sends the input and what follows it, and reads until there is no more.
fn exchange(both: &Both, input: &[u8]) {
    let mut client = both.client();
    let sent = [input, TAIL.repeat(40).as_bytes()].concat();
    // It may have closed before all is sent.
    let _ = client.write_all(&sent);
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = client.read(&mut bytes) {
        if bytes[..read].windows(5).any(|window| window == b" 101 ") {
            // The echo in a tunnel ends when the client does.
            client.close_notify();
            let _ = client.socket.shutdown(Shutdown::Write);
        }
    }
}

#[test]
fn nothing_is_smuggled_past_both_halves() {
    let (backend, both) = start("smuggling");
    let mut most = 0;
    let lines = include_str!("../fronts/smuggling.txt").lines();
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in entries {
        let mut columns = line.splitn(3, " | ");
        let mut column = || columns.next().expect("three columns");
        let (may_reach, name, input) = (column(), column(), column());
        most += may_reach.parse::<usize>().expect("a number");
        count += 1;
        let input = unescape(input);
        let input = replaced(&input, "X-Shared-Secret", "Authorization");
        let input = replaced(
            &input,
            &format!(": {SECRET}"),
            &format!(": Bearer {}", both.key),
        );
        exchange(&both, &replaced(&input, SECRET, &both.key));
        check(&backend.seen(), most, name, &both.key);
    }
    assert!(count >= 100, "{count} entries");
    assert_eq!(both.ask("/granted/last", "").status, 200);
    let seen = backend.seen();
    check(&seen, most + 1, "the end", &both.key);
    // Or nothing would have come for another reason.
    assert!(seen.len() > 10, "{} reached the backend", seen.len());
}

fn check(seen: &[Seen], most: usize, name: &str, key: &str) {
    assert!(seen.len() <= most, "{name}: {:#?}", seen.last());
    for seen in seen {
        assert!(seen.target().starts_with("/granted"), "{name}: {seen:#?}");
        assert_eq!(seen.fault, None, "{name}: {seen:#?}");
        let text = format!("{seen:?}");
        assert!(
            !text.contains(SECRET) && !text.contains(key),
            "{name}: {text}"
        );
        assert_eq!(seen.field("x-consumer"), Some("alice"), "{name}: {text}");
    }
}

#[test]
fn no_spelling_of_our_names_gets_through() {
    let (backend, both) = start("aliases");
    let mut client = both.client();
    for sign in SIGNS.chars().map(String::from) {
        let spellings = OWN.iter().flat_map(|name| {
            let last = name.rfind('-').expect("a hyphen");
            let mut in_the_last = (*name).to_owned();
            in_the_last.replace_range(last..=last, &sign);
            let everywhere = name.replace('-', &sign);
            [everywhere, name.replacen('-', &sign, 1), in_the_last]
        });
        let forged = |name: &str| [name, ": forged\r\n"].concat();
        let fields: String = spellings.map(|name| forged(&name)).collect();
        let own: String = OWN.iter().map(|name| forged(name)).collect();
        for fields in [&fields, &own, &(own.clone() + &fields)] {
            let answer = client.ask(both.get("/granted", fields));
            assert_eq!(answer.status, 200, "{fields}");
            let seen = backend.seen().pop().expect("a request");
            assert!(!format!("{seen:?}").contains("forged"), "{seen:?}");
            for (name, _) in &seen.fields {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                assert!(name.bytes().all(is_plain), "{name} in {seen:?}");
            }
        }
    }
}

#[test]
fn the_key_is_looked_for_in_its_own_spelling_and_dropped_in_every_other() {
    let backend = Backend::start();
    let url = format!("http://{}", backend.address);
    let header = [("API_KEY_HEADER", "X-API-Key")];
    let both = Both::with("key-header", &url, &header, &[]);
    let ask = |fields: &str| {
        let request = format!("GET /granted HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        both.client().ask(request).status
    };
    let key = &both.key;
    for name in ["X_API_Key", "X.API.Key", "X-API_Key", "Authorization"] {
        assert_eq!(ask(&format!("{name}: {key}\r\n")), 401, "{name}");
        assert_eq!(ask(&format!("{name}: Bearer {key}\r\n")), 401, "{name}");
    }
    assert!(backend.seen().is_empty());
    let other = "og_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaa";
    let spelt = format!("x-api-key: {key}\r\nX_API_Key: {other}\r\nX.Api.Key: {other}\r\n");
    // Authorization is the client's and the origin's own affair then.
    assert_eq!(ask(&(spelt + "Authorization: Basic eDp5\r\n")), 200);
    let seen = backend.seen().pop().expect("a request");
    assert_eq!(seen.field("authorization"), Some("Basic eDp5"));
    let text = format!("{seen:?}");
    assert!(
        !text.contains(key.as_str()) && !text.contains(other),
        "{text}"
    );
}
