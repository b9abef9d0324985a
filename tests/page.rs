//! The operator's page, in a real Chromium: what it shows, how it looks, and that nothing
//! which comes from elsewhere becomes markup.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "tls/authority.rs"]
mod authority;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "relay/scripted.rs"]
mod scripted;
mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use authority::{Authority, Key};
use scripted::{Backend, ok};
use serde_json::Value;
use support::browser::{Browser, Scheme};
use support::folder::Folder;
use support::keys::KeyFile;
use support::port::HeldPort;
use support::{Answer, Guard, PATIENCE, SECRET, command, granted_request, page};

fn ask(admin: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(admin).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    Answer::read(&mut stream, request.starts_with("HEAD ")).expect("an answer")
}

fn get(admin: SocketAddr, path: &str) -> Answer {
    ask(
        admin,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
}

fn html(admin: SocketAddr) -> String {
    String::from_utf8(get(admin, "/").body).expect("UTF-8")
}

fn denied(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

#[test]
fn no_other_page_frames_it_or_reads_it_and_it_loads_nothing() {
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("ADMIN_LISTEN", "127.0.0.1:0")]);
    let admin = guard.second_address();
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let answer = get(admin, "/");
        assert_eq!(answer.status, 200);
        let policy = answer.header("content-security-policy").expect("a policy");
        let (before, rest) = policy.split_once("style-src 'nonce-").expect("a nonce");
        let (nonce, behind) = rest.split_once("'; ").expect("a nonce");
        assert_eq!(before, "default-src 'none'; ");
        assert_eq!(
            behind,
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let body = String::from_utf8(answer.body.clone()).expect("UTF-8");
        assert_eq!(body.matches(nonce).count(), 1, "for the style alone");
        assert!(body.contains(&format!("<style nonce=\"{nonce}\">")));
        nonces.push(nonce.to_owned());
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-type", "text/html; charset=utf-8"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert_ne!(nonces[0], nonces[1]);
    for path in ["/", "/status"] {
        let rebound = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        assert_eq!(ask(admin, &rebound).status, 421);
        let post = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(ask(admin, &post).status, 405);
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(ask(admin, &head).status, 200);
    }
    // Where clients come in it is not.
    assert_eq!(guard.ask(denied("/", "")).status, 404);
    assert_eq!(guard.ask(denied("/status", "")).status, 404);
}

#[test]
fn status_tells_of_secrets_without_showing_one() {
    const PREVIOUS: &str = "previous-secret-4f1c9a7be02d5386";
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("SHARED_SECRET_PREVIOUS", PREVIOUS),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let admin = guard.second_address();
    let by = |secret: &str, client: &str| {
        let fields = format!("X-Shared-Secret: {secret}\r\nX-Forwarded-For: {client}\r\n");
        assert_eq!(guard.ask(denied("/protected", &fields)).status, 200);
    };
    guard.assert_serves();
    for _ in 0..3 {
        by(PREVIOUS, "203.0.113.7");
    }
    by(PREVIOUS, "2001:db8:1:2:3::4");
    // Twice is no use of it, and neither is a wrong one.
    let twice = format!("X-Shared-Secret: {PREVIOUS}\r\nX-Shared-Secret: {PREVIOUS}\r\n");
    assert_eq!(guard.ask(denied("/protected", &twice)).status, 401);
    assert_eq!(
        guard
            .ask(denied("/protected", "X-Shared-Secret: wrong\r\n"))
            .status,
        401
    );
    let answer = get(admin, "/status");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let text = String::from_utf8(answer.body).expect("UTF-8");
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let used = &status["secrets"]["used"];
    assert_eq!(used[0]["requests"], 1, "{text}");
    assert_eq!(used[1]["requests"], 4, "{text}");
    assert_eq!(
        used[0]["clients"].as_array().map(Vec::len),
        Some(0),
        "{text}"
    );
    let clients = used[1]["clients"].as_array().expect("a list");
    let of = |at: usize| {
        (
            clients[at]["client"].as_str(),
            clients[at]["requests"].as_u64(),
        )
    };
    assert_eq!(of(0), (Some("203.0.113.7"), Some(3)));
    assert_eq!(of(1), (Some("2001:db8:1:2::/64"), Some(1)));
    assert_eq!(clients.len(), 2);
    assert_eq!(status["requests"]["let_in"], 5, "{text}");
    assert_eq!(status["requests"]["denied"], 2, "{text}");
    for shown in [text, html(admin)] {
        assert!(
            !shown.contains(SECRET) && !shown.contains(PREVIOUS),
            "{shown}"
        );
    }
}

/// The paths of all members: `secrets.used[].requests`.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if at.is_empty() { "" } else { "." };
                paths(member, &format!("{at}{dot}{name}"), found);
            }
        }
        // Of what is not there nothing is told.
        Value::Array(elements) if elements.is_empty() => {}
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for element in elements {
                paths(element, &format!("{at}[]"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

/// The same as the table in docs/operations.md has them.
fn documented() -> BTreeSet<String> {
    let section = page::commands("docs/operations.md", "### The same as JSON", "| `");
    let mut found = BTreeSet::new();
    for row in section {
        let (names, text) = row.split_once(" | ").expect("two columns");
        let names = names.trim_end_matches('`').split("`, `");
        for name in names {
            if name.ends_with("[]") {
                let members = text.split('`').skip(1).step_by(2);
                found.extend(members.map(|member| format!("{name}.{member}")));
            } else {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// What stands behind each heading of the page is under this name in `/status`.
const SECTIONS: [(&str, &str); 8] = [
    ("Since the start", "requests"),
    ("Requests a second", "rates"),
    ("Shared secrets", "secrets"),
    ("Backends", "backends"),
    ("Certificates", "certificates"),
    ("Verdicts", "verdicts"),
    ("Denied clients", "denied_clients"),
    ("Connections", "connections"),
];

#[test]
fn status_has_all_that_the_page_shows_by_the_names_of_its_table() {
    const PREVIOUS: &str = "previous-secret-4f1c9a7be02d5386";
    let authority = Authority::new("status");
    // It ends so soon that this is a problem.
    let names = "DNS:origin.example,DNS:b.example";
    let issued = authority.issue_as("soon", Key::EcdsaPkcs8, names, 5);
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    let guard = Guard::with(
        &[
            &[
                ("SHARED_SECRET", SECRET),
                ("SHARED_SECRET_PREVIOUS", PREVIOUS),
                ("LISTEN", "127.0.0.1:0,tls:127.0.0.1:0"),
                ("BACKEND", &*url),
                ("ADMIN_LISTEN", "127.0.0.1:0"),
            ],
            &issued.variables()[..],
        ]
        .concat(),
    );
    let admin = guard.address_of(2);
    let fields = format!("X-Shared-Secret: {PREVIOUS}\r\n");
    assert_eq!(guard.ask(denied("/", &fields)).status, 200);
    assert_eq!(guard.ask(denied("/guessed", "")).status, 401);
    let since = Instant::now();
    let (status, names) = loop {
        let status: Value = serde_json::from_slice(&get(admin, "/status").body).expect("JSON");
        let mut names = BTreeSet::new();
        paths(&status, "", &mut names);
        // A rate is between two samples, and a connection is closed once both sides say so.
        if names == documented() {
            break (status, names);
        }
        assert!(
            since.elapsed() < PATIENCE,
            "not documented or not there: {:#?}",
            names
                .symmetric_difference(&documented())
                .collect::<Vec<_>>()
        );
    };
    assert!(names.len() > 40, "{names:?}");
    assert_eq!(status["verdicts"][0]["requests"], 1, "{status}");
    assert_eq!(status["backends"][0]["answers"][0]["class"], "2xx");
    assert_eq!(status["backends"][0]["answers"][0]["answers"], 1);
    let certificate = &status["certificates"][0];
    let names = serde_json::json!(["origin.example", "b.example"]);
    assert_eq!(certificate["names"], names);
    assert_eq!(
        certificate["file"],
        *issued.certificate.to_str().expect("UTF-8")
    );
    let left = certificate["ends_in_seconds"].as_f64().expect("a number");
    assert!((4.0 * 86_400.0..6.0 * 86_400.0).contains(&left), "{left}");
    let problem = status["problems"][0].as_str().expect("text");
    assert!(problem.ends_with(". Renew it."), "{problem}");
    let client = &status["denied_clients"][0];
    assert_eq!(client["path"], "/guessed");
    assert_eq!(client["reason"], "no_secret");
    assert_eq!(client["client"], "127.0.0.1");
    assert!(
        status["connections"]["accepted"].as_u64() >= Some(2),
        "{status}"
    );
    let page = html(admin);
    let headings = page.split("<h2>").skip(1);
    let headings: Vec<_> = headings
        .map(|rest| rest.split("</h2>").next().expect("closed"))
        .collect();
    assert_eq!(headings.len(), SECTIONS.len(), "{headings:?}");
    for heading in headings {
        let section = SECTIONS.iter().find(|(shown, _)| *shown == heading);
        let (_, name) = section.unwrap_or_else(|| panic!("{heading} is in no table"));
        assert!(!status[name].is_null(), "{name}");
    }
    for held in [SECRET, PREVIOUS] {
        assert!(!status.to_string().contains(held), "{status}");
    }
}

/// An origin whose secret is mended, or whose gateway got another one, is no problem any
/// more; what it did stays to be read.
#[test]
fn an_origin_that_refused_the_secret_and_is_mended_is_told_of_in_the_past() {
    const OTHER: &str = "another-secret-4f1c9a7be02d5386";
    let folder = Folder::new("page-mended");
    let of_origin = folder.write("origin", OTHER);
    let of_gateway = folder.write("gateway", SECRET);
    let origin = Guard::with(&[("SHARED_SECRET_FILE", of_origin.to_str().expect("UTF-8"))]);
    let keys = KeyFile::new("page-mended-keys");
    let key = keys.add("alice", &[]);
    let url = format!("http://{}", origin.address);
    let mut gateway = Guard::with(&[
        ("SHARED_SECRET_FILE", of_gateway.to_str().expect("UTF-8")),
        ("LISTEN", "none"),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
        ("API_KEYS_FILE", keys.text()),
        ("ORIGIN", &url),
    ]);
    let admin = gateway.admin_before_gateway();
    let asked = || {
        let fields = format!("Authorization: Bearer {key}\r\n");
        gateway.ask(denied("/protected", &fields)).status
    };
    let told = |times: u64, is_now: bool| {
        let status: Value = serde_json::from_slice(&get(admin, "/status").body).expect("JSON");
        let backend = &status["backends"][0];
        assert_eq!(backend["secret_refused_last_10_minutes"], times, "{status}");
        assert_eq!(backend["secret_refused_now"], is_now, "{status}");
        assert!(
            backend["secret_refused_seconds_ago"].is_number(),
            "{status}"
        );
        let problems = status["problems"].as_array().expect("a list");
        assert_eq!(problems.len(), usize::from(is_now), "{status}");
        let page = html(admin);
        for (shown, is_shown) in [
            ("class=\"bad\">refuses the secret: ", is_now),
            ("class=\"quiet\">refused the secret earlier: ", !is_now),
            (">works<", !is_now),
            (">in order<", !is_now),
            (">1 problem<", is_now),
        ] {
            assert_eq!(page.contains(shown), is_shown, "{shown}: {page}");
        }
        for held in [SECRET, OTHER] {
            assert!(!page.contains(held) && !status.to_string().contains(held));
        }
    };
    assert_eq!(asked(), 401);
    told(1, true);
    let browser = Browser::start("page-mended");
    let shown = |wanted: &str| {
        let Some(browser) = &browser else { return };
        browser.open(&format!("http://{admin}/"));
        let text = browser.run("return document.body.innerText");
        let text = text.as_str().expect("text");
        assert!(text.contains(wanted), "{wanted}: {text}");
        assert_eq!(browser.console(), Vec::<String>::new());
    };
    shown("refuses the secret: once in the last 10 min, the last ");
    // The origin is given the gateway's secret.
    folder.write("origin", SECRET);
    origin.wait_for_log(|line| line.contains("reloaded ") && line.contains("changed=true"));
    told(1, true);
    assert_eq!(asked(), 200);
    told(1, false);
    shown("refused the secret earlier: once in the last 10 min");
    // It refuses again, until the gateway is given the origin's: no request has shown yet
    // that this one is right, and none that it is wrong.
    folder.write("origin", OTHER);
    let since = Instant::now();
    while asked() == 200 {
        assert!(since.elapsed() < PATIENCE, "the origin reads no file again");
    }
    told(2, true);
    shown("refuses the secret: 2 times in the last 10 min, the last ");
    folder.write("gateway", OTHER);
    gateway.wait_for_log(|line| line.contains("reloaded ") && line.contains("changed=true"));
    told(2, false);
    shown("refused the secret earlier: 2 times in the last 10 min, the last ");
    assert_eq!(asked(), 200);
    told(2, false);
}

/// A backend that has failed and is well again is not called broken until a request
/// happens to reach it.
#[test]
fn a_backend_whose_rest_is_over_is_to_be_tried_again() {
    let port = HeldPort::new();
    let url = port.url();
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("BACKEND", &url),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let admin = guard.second_address();
    let backend = || {
        let answer = get(admin, "/status").body;
        let status: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(status["ok"], true);
        status["backends"][0].clone()
    };
    let health = || {
        let output = command()
            .args(["health", "--admin", &admin.to_string()])
            .output()
            .expect("runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(backend()["state"], "works");
    assert_eq!(guard.ask(granted_request()).status, 502);
    let since = Instant::now();
    let tried = loop {
        let backend = backend();
        assert!(backend["failing_for_seconds"].is_number(), "{backend}");
        if backend["state"] == "to_be_tried" {
            break backend;
        }
        assert_eq!(backend["state"], "fails");
        assert!(since.elapsed() < PATIENCE, "{backend}");
    };
    assert!(tried["left_alone_for_seconds"].is_null(), "{tried}");
    let said = health();
    assert!(said.contains("is to be tried again"), "{said}");
    assert!(html(admin).contains("to be tried again"));
    let revived = Backend::at(port);
    revived.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("back"));
        }
    });
    assert_eq!(guard.ask(granted_request()).status, 200);
    assert_eq!(backend()["state"], "works");
    assert!(!health().contains("backend"));
}

#[test]
fn a_backend_that_is_left_alone_shows_for_how_long() {
    let gone = HeldPort::new();
    let there = Backend::new();
    let urls = format!("{},{}", gone.url(), there.url());
    there.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("hello"));
        }
    });
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("BACKEND", &urls),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let since = Instant::now();
    loop {
        assert_eq!(guard.ask(granted_request()).status, 200);
        let answer = get(guard.second_address(), "/status").body;
        let status: Value = serde_json::from_slice(&answer).expect("JSON");
        let backend = &status["backends"][0];
        if backend["state"] == "left_alone" {
            let left = backend["left_alone_for_seconds"].as_f64();
            assert!(left.is_some_and(|left| left <= 30.0), "{backend}");
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{backend}");
    }
}

#[test]
fn it_shows_how_the_guard_does_at_any_width_and_in_both_colours() {
    let Some(browser) = Browser::start("page") else {
        return;
    };
    let authority = Authority::new("page");
    let issued = authority.issue(Key::EcdsaPkcs8, &["origin.example"]);
    let dead = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        socket.local_addr().expect("bound")
    };
    let guard = Guard::with(
        &[
            &[
                ("SHARED_SECRET", SECRET),
                ("SHARED_SECRET_PREVIOUS", "previous-secret-4f1c9a7be02d5386"),
                ("LISTEN", "127.0.0.1:0,tls:127.0.0.1:0"),
                ("BACKEND", &*format!("http://{dead}")),
                ("ADMIN_LISTEN", "127.0.0.1:0"),
            ],
            &issued.variables()[..],
        ]
        .concat(),
    );
    let admin = guard.address_of(2);
    assert_eq!(guard.ask(granted_request()).status, 502);
    assert_eq!(guard.ask(denied("/a", "")).status, 401);
    browser.open(&format!("http://{admin}/"));
    // It loads itself again, and has drawn what it has counted.
    browser.wait_for(
        "return [...document.querySelectorAll('polyline')].every(\
           line => line.points.numberOfItems > 2)",
    );
    let text = browser.run("return document.body.innerText");
    let text = text.as_str().expect("text");
    for shown in [
        "Requests a second",
        "requests let in",
        "Shared secrets",
        "previous",
        &dead.to_string(),
        "has failed for",
        "origin.example",
        "no secret",
        "127.0.0.1",
        "/a",
        "connections open",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (scheme, background) in [
        (Scheme::Light, "rgb(246, 246, 244)"),
        (Scheme::Dark, "rgb(17, 17, 16)"),
    ] {
        for width in [400, 1200] {
            browser.look(width, scheme);
            let overflow = browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(overflow, 0, "{width} {scheme:?}");
            let colour = browser.run("return getComputedStyle(document.body).backgroundColor");
            assert_eq!(colour, background, "the style has the nonce");
            browser.save_picture(&folder.join(format!("page-{width}-{scheme:?}.png")));
        }
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn hostile_names_stay_text() {
    const MARKUP: &str = "<img/src=x/onerror=document.title=1><script>document.title=2</script>";
    let folder = Folder::new("page-<u>&\"'");
    let secrets = folder.write("<img src=x onerror=alert(1)>", SECRET);
    let backend = format!(
        "http://unix:{}/<svg onload=alert(1)>\"'&",
        folder.path.display()
    );
    let guard = Guard::with(&[
        ("SHARED_SECRET_FILE", secrets.to_str().expect("UTF-8")),
        ("BACKEND", &backend),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let admin = guard.second_address();
    for (path, client) in [
        (format!("/{MARKUP}"), "203.0.113.7"),
        ("/\"'><iframe/srcdoc=x>".to_owned(), "203.0.113.8"),
        (format!("/?{MARKUP}"), "203.0.113.9"),
        (
            "/</td></table></style><style>*{display:none}".replace(' ', ""),
            "203.0.113.10",
        ),
        (format!("/{}", "\u{202e}\u{feff}<u>"), "203.0.113.11"),
        // No address: the peer is named.
        ("/x".to_owned(), "<script>alert(1)</script>"),
    ] {
        let fields = format!("X-Forwarded-For: {client}\r\n");
        assert_eq!(guard.ask(denied(&path, &fields)).status, 401, "{path}");
    }
    guard.ask(granted_request());
    let text = html(admin);
    for forbidden in [
        "<img",
        "<script",
        "<svg onload",
        "<iframe",
        "<u>",
        "\u{202e}",
        "alert(1)<",
    ] {
        assert!(!text.contains(forbidden), "{forbidden}: {text}");
    }
    assert_eq!(text.matches("<style").count(), 1, "{text}");
    assert!(
        text.contains("&lt;img/src=x/onerror=document.title=1&gt;"),
        "{text}"
    );
    assert!(
        !text.contains("&lt;script&gt;alert(1)"),
        "no field's value is shown: {text}"
    );
    let Some(browser) = Browser::start("page-hostile") else {
        return;
    };
    browser.open(&format!("http://{admin}/"));
    let made = browser.run(
        "return [document.title, document.scripts.length, document.images.length, \
           document.querySelectorAll('iframe, u, svg[onload]').length]",
    );
    assert_eq!(made, serde_json::json!(["origin-guard", 0, 0, 0]));
    let shown =
        browser.run("return document.body.innerText.includes('<img src=x onerror=alert(1)>')");
    assert_eq!(shown, true, "it is shown as what it is");
    browser.look(400, Scheme::Light);
    let overflow = browser
        .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(overflow, 0, "no name makes the page wider than the window");
    assert_eq!(browser.console(), Vec::<String>::new());
}
