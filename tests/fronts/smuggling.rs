//! The corpus of `smuggling.txt`: what two parsers could read in two ways, and ways
//! around the guard. Nothing reaches the backend that the guard has not granted.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use crate::backend::Seen;
use crate::front::{Front, Proxy, Setup};
use crate::support::corpus::unescape;
use crate::support::{Guard, SECRET};

/// Behind each input, so that no reading of it leaves a proxy waiting.
const TAIL: &str = "GET /forbidden-tail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

with_each_proxy! {
    nothing_is_smuggled
    nothing_is_smuggled_around_the_exempt_path
    nothing_is_smuggled_while_the_guard_is_down
    the_exempt_path_is_open_and_only_that
}

struct Entry {
    line: usize,
    name: String,
    most: usize,
    input: Vec<u8>,
}

fn entries() -> Vec<Entry> {
    let lines = include_str!("smuggling.txt").lines().enumerate();
    let entries: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let mut columns = line.splitn(3, " | ");
            let mut column = || columns.next().expect("three columns");
            Entry {
                line: index + 1,
                most: column().parse().expect("a number"),
                name: column().to_owned(),
                input: unescape(column()),
            }
        })
        .collect();
    assert!(entries.len() >= 100, "{} entries", entries.len());
    entries
}

fn secret() -> String {
    format!("X-Shared-Secret: {SECRET}")
}

/// Sends the input, and reads until the proxy has nothing more to say.
fn exchange(front: &Front, entry: &Entry) {
    let mut stream = front.connect();
    let sent = [entry.input.as_slice(), TAIL.repeat(40).as_bytes()].concat();
    // It may have closed before all is sent.
    let _ = stream.write_all(&sent);
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => {
                if bytes[..read].windows(5).any(|window| window == b" 101 ") {
                    // The echo in a tunnel ends when the client does.
                    let _ = stream.shutdown(Shutdown::Write);
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("line {}, {}: {error}", entry.line, entry.name),
        }
    }
}

fn is_exempt(seen: &Seen) -> bool {
    let reading = seen.line.starts_with("GET ") || seen.line.starts_with("HEAD ");
    let path = seen.target().split('?').next();
    reading && path == Some("/healthz") && !seen.target().contains("forbidden") && seen.body == 0
}

/// The corpus with an API key in place of the secret.
pub(crate) fn run_past_the_gateway(front: &Front, key: &str) {
    let steps = [
        ("X-Shared-Secret".to_owned(), "Authorization".to_owned()),
        (format!(": {SECRET}"), format!(": Bearer {key}")),
        (SECRET.to_owned(), key.to_owned()),
    ];
    let entries = entries().into_iter().map(|entry| Entry {
        input: steps.iter().fold(entry.input, |input, (old, new)| {
            replace(&input, old.as_bytes(), new.as_bytes())
        }),
        ..entry
    });
    let bearer = format!("Authorization: Bearer {key}");
    run(front, entries, &bearer, |entry| entry.most, |_| false);
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if let Some(behind) = rest.strip_prefix(old) {
            replaced.extend(new);
            rest = behind;
        } else {
            replaced.push(first);
            rest = &rest[1..];
        }
    }
    replaced
}

/// Plays `entries`, each of which may have `most` reach the backend beside what is
/// `exempt`; then a good request with `field`. Returns how many have reached it.
fn run(
    front: &Front,
    entries: impl IntoIterator<Item = Entry>,
    field: &str,
    most: impl Fn(&Entry) -> usize,
    exempt: impl Fn(&Seen) -> bool,
) -> usize {
    // Summed up, because a request may reach the backend after its client has an answer.
    let mut may_reach = front.seen().len();
    for entry in entries {
        exchange(front, &entry);
        may_reach += most(&entry);
        let seen = front.seen();
        let guarded: Vec<_> = seen.iter().filter(|seen| !exempt(seen)).collect();
        let granted = guarded
            .iter()
            .all(|seen| seen.target().starts_with("/granted"));
        assert!(
            granted && guarded.len() <= may_reach,
            "line {}, {}: {:#?}",
            entry.line,
            entry.name,
            guarded.last()
        );
    }
    // Whatever came late; and the proxy is in order still.
    front.ask(format!(
        "GET /granted/last HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"
    ));
    let seen = front.seen();
    for seen in seen.iter().filter(|seen| !exempt(seen)) {
        assert!(seen.target().starts_with("/granted"), "{seen:?}");
    }
    seen.len()
}

fn nothing_is_smuggled(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let reached = run(&front, entries(), &secret(), |entry| entry.most, |_| false);
    // Or the backend would have seen nothing for another reason.
    assert!(reached > 10, "{reached} reached the backend");
}

fn exempting(proxy: Proxy) -> Option<(Front, Guard)> {
    let setup = Setup {
        health: true,
        ..Setup::default()
    };
    Front::guarded_with(proxy, &setup)
}

fn nothing_is_smuggled_around_the_exempt_path(proxy: Proxy) {
    let Some((front, _guard)) = exempting(proxy) else {
        return;
    };
    run(&front, entries(), &secret(), |entry| entry.most, is_exempt);
}

fn nothing_is_smuggled_while_the_guard_is_down(proxy: Proxy) {
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    assert_eq!(run(&front, entries(), &secret(), |_| 0, |_| false), 0);
}

fn the_exempt_path_is_open_and_only_that(proxy: Proxy) {
    let Some((front, _guard)) = exempting(proxy) else {
        return;
    };
    let ask = |line: &str, fields: &str| {
        front
            .ask(format!("{line} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
            .status
    };
    assert_eq!(ask("GET /healthz", ""), 200);
    assert_eq!(ask("HEAD /healthz", ""), 200);
    let hidden = format!("X-Shared-Secret: {SECRET}\r\nX_Shared_Secret: {SECRET}\r\n");
    assert_eq!(ask("GET /healthz", &hidden), 200);
    let seen = front.seen();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.iter().all(is_exempt), "{seen:?}");
    assert_eq!(ask("GET /healthz/", ""), 401);
    assert_eq!(ask("GET /health", ""), 401);
    assert!([401, 403].contains(&ask("DELETE /healthz", "")));
    assert_eq!(front.seen().len(), 3);
}
