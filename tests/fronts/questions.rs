//! What a proxy asks the guard, and what becomes of an answer that is not a verdict.

use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;

use crate::failing::assert_unavailable;
use crate::front::{Front, Proxy, Setup, guard_at};
use crate::relay::Relay;
use crate::support::{Guard, PATIENCE, SECRET};

const TOO_LARGE: &str = r#"{"error":"Request header fields too large"}"#;

with_each_proxy! {
    the_question_has_its_own_target_and_no_cookies
    heads_of_twenty_kilobytes_pass
    two_hundred_fields_pass
    every_method_passes
    a_guard_on_loopback_is_asked
    targets_pass_as_they_came
    what_is_no_verdict_opens_nothing
    what_is_there_goes_on
}

with_each!([nginx Nginx caddy Caddy] a_refused_head_is_refused_as_that);

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

fn secret() -> String {
    format!("X-Shared-Secret: {SECRET}\r\n")
}

fn the_question_has_its_own_target_and_no_cookies(proxy: Proxy) {
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    let behind = front.folder.0.join("behind.sock");
    let _guard = guard_at(&behind, &[("SHARED_SECRET", SECRET)]);
    let relay = Relay::start(&front.socket(), behind);
    let fields = format!(
        "{}Cookie: biscuit\r\nReferer: http://elsewhere/\r\n",
        secret()
    );
    assert_eq!(front.ask(request("/granted?a=b", &fields)).status, 200);
    let seen = front.seen().pop().expect("a request");
    assert_eq!(seen.target(), "/granted?a=b");
    assert_eq!(seen.field("cookie"), Some("biscuit"), "the backend's own");
    let asked = relay.asked();
    let line = asked.lines().next().expect("a request line");
    assert_eq!(line.split(' ').nth(1), Some("/verify"), "{line}");
    assert!(
        !asked.contains("biscuit") && !asked.contains("elsewhere"),
        "{asked}"
    );
}

fn heads_of_twenty_kilobytes_pass(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let cookies: Vec<_> = (0..3)
        .map(|_| "c=".to_owned() + &"x".repeat(7000))
        .collect();
    let fields = format!("{}Cookie: {}\r\n", secret(), cookies.join("\r\nCookie: "));
    let answer = front.ask(request("/granted", &fields));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        front
            .ask(request("/forbidden", &fields.replace(SECRET, "x")))
            .status,
        401
    );
    assert_eq!(front.seen().len(), 1);
}

fn two_hundred_fields_pass(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let others: Vec<_> = (0..200)
        .map(|number| format!("A-{number}: {number}\r\n"))
        .collect();
    let fields = secret() + &others.concat();
    assert_eq!(front.ask(request("/granted", &fields)).status, 200);
    assert_eq!(front.seen()[0].field("a-199"), Some("199"));
    // A second one anywhere among them is found.
    let fields = fields + &secret();
    assert_eq!(front.ask(request("/forbidden", &fields)).status, 401);
    assert_eq!(front.seen().len(), 1);
}

fn every_method_passes(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let mut methods = vec!["PROPFIND", "PURGE", "REPORT", "MKCOL", "LOCK", "QUERY"];
    if proxy == Proxy::Envoy {
        // Envoy 1.40 has no QUERY: its own 400.
        methods.pop();
    }
    for method in &methods {
        let asking =
            |fields: &str| format!("{method} /granted HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let answer = front.ask(asking(&secret()));
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        let seen = front.seen().pop().expect("a request");
        assert_eq!(seen.line, format!("{method} /granted HTTP/1.1"));
        assert_eq!(front.ask(asking("")).status, 401, "{method}");
    }
    assert_eq!(front.seen().len(), methods.len());
}

fn a_guard_on_loopback_is_asked(proxy: Proxy) {
    let guard = Guard::start();
    let setup = Setup {
        guard: Some(guard.address),
        ..Setup::default()
    };
    let Some(front) = Front::start(proxy, &setup) else {
        return;
    };
    assert_eq!(front.ask(request("/granted", &secret())).status, 200);
    assert_eq!(front.ask(request("/forbidden", "")).status, 401);
    drop(guard);
    assert_unavailable(&front.ask(request("/forbidden", &secret())));
    assert_eq!(front.seen().len(), 1);
}

/// nginx and Caddy pass the fields on to the guard, which takes as many as it takes.
fn a_refused_head_is_refused_as_that(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    let fields = secret() + &"A: b\r\n".repeat(900);
    let answer = front.ask(request("/forbidden", &fields));
    assert_eq!(answer.status, 431, "{answer:?}");
    assert_eq!(String::from_utf8_lossy(&answer.body), TOO_LARGE);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(front.seen().is_empty());
}

fn targets_pass_as_they_came(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    for target in [
        "/granted?ids[]=1",
        "/granted?a|b",
        "/granted?{\"a\":1}",
        "/granted?50%",
        "/granted?a=%2F%zz^`<>",
        "/granted/[]/{}",
        "/granted/a|b^c",
        "/granted//a/./b/../c",
        "/granted/%2e%2E/%2f",
        "/granted?",
        "/granted;a=b?c;d",
    ] {
        let answer = front.ask(request(target, &secret()));
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let seen = front.seen().pop().expect("a request");
        if proxy == Proxy::Caddy {
            // Go's net/url encodes some of these in a path, where it means the same.
            assert_eq!(as_go_has_it(seen.target()), as_go_has_it(target));
        } else {
            assert_eq!(seen.target(), target);
        }
        let answer = front.ask(request(target, ""));
        assert_eq!(answer.status, 401, "{target}: {answer:?}");
    }
}

fn as_go_has_it(target: &str) -> String {
    let codes = [
        ("[", "%5B"),
        ("]", "%5D"),
        ("{", "%7B"),
        ("}", "%7D"),
        ("|", "%7C"),
        ("^", "%5E"),
    ];
    let path_ends = target.find('?').unwrap_or(target.len());
    let (path, query) = target.split_at(path_ends);
    let encoded = |path: String, (sign, code): &(&str, &str)| path.replace(sign, code);
    codes.iter().fold(path.to_owned(), encoded) + query
}

fn what_is_no_verdict_opens_nothing(proxy: Proxy) {
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    // Where it listens, /verify is not found.
    let listen = format!("unix:{}", front.socket().display());
    let mut variables = vec![
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "none"),
        ("GATEWAY_LISTEN", &listen),
    ];
    variables.extend(proxy.socket_group());
    let _guard = Guard::with(&variables);
    let answer = front.ask(request("/forbidden", &secret()));
    if proxy == Proxy::Envoy {
        // It takes whatever is no 2xx and no 5xx for a denial.
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.body, br#"{"error":"Not found"}"#);
    } else {
        assert_unavailable(&answer);
    }
    assert!(front.seen().is_empty());
}

/// The file stands beside what the proxy has, and takes nothing from it.
fn what_is_there_goes_on(proxy: Proxy) {
    if proxy == Proxy::Envoy {
        // It reads one file.
        return;
    }
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    assert_eq!(front.ask(request("/granted", &secret())).status, 200);
    let beside = front.folder.0.join("beside.sock");
    let mut stream = UnixStream::connect(beside).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
        .write_all(request("/", "Connection: close\r\n").as_bytes())
        .expect("sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.ends_with("beside"),
        "{said}"
    );
}
