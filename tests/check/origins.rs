//! Whether an origin takes the gateway's secret, and lets nobody in without it: asked where the
//! gateway itself would send it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::authority::{Authority, Key};
use crate::checked::{Checked, Level::*};
use crate::mistakes::sound;
use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{Guard, SECRET, installed, skip};

const OTHER: &str = "another-secret-4f1c9a7be02d5386";

/// What `check` finds as a gateway in front of `origin`.
fn check(origin: &str, more: &[(&str, &str)], options: &[&str]) -> Checked {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = Folder::new(&format!("check-origins-{number}"));
    let keys = folder.write("keys.json", "{\"version\":1,\"keys\":[]}");
    let mut command = sound();
    command
        .env("LISTEN", "none")
        .env("GATEWAY_LISTEN", "127.0.0.1:0")
        .env("API_KEYS_FILE", &keys)
        .env("ORIGIN", origin)
        .envs(more.iter().copied());
    Checked::run(&mut command, options)
}

/// What is said of the secret, in notes.
fn notes(checked: &Checked) -> Vec<&str> {
    let what = |finding: &'_ Value| finding["what"].as_str().map(|what| what.contains("secret"));
    let findings = checked.findings().iter();
    findings
        .filter(|finding| finding["level"] == "note" && what(finding) == Some(true))
        .filter_map(|finding| finding["what"].as_str())
        .collect()
}

fn assert_notes(checked: &Checked, wanted: &str) {
    assert!(
        notes(checked).iter().any(|note| note.contains(wanted)),
        "{:#?}",
        checked.findings()
    );
}

/// The requests that a guard has seen, from its access log up to the one at the end.
fn requests(guard: &Guard) -> Vec<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    // One of an earlier call is in the log already.
    let end = format!("/the-end-{}-", NUMBER.fetch_add(1, Ordering::Relaxed));
    guard.ask(format!("GET {end} HTTP/1.1\r\nHost: x\r\n\r\n"));
    guard.wait_for_log(|line| line.contains(&end));
    let log = guard.log();
    assert!(!log.join("\n").contains(SECRET), "{log:#?}");
    let asked = log.iter().filter(|line| line.starts_with("request "));
    asked
        .filter(|line| !line.contains("/the-end"))
        .map(|line| line.split(" client=").next().unwrap_or(line).to_owned())
        .collect()
}

fn plain(secret: &str, more: &[(&str, &str)]) -> Guard {
    let variables = [("SHARED_SECRET", secret), ("ACCESS_LOG", "1")];
    Guard::with(&[&variables, more].concat())
}

/// The requests that fail2ban counts against whoever has sent them.
fn counted(guard: &Guard) -> usize {
    let log = guard.log().into_iter();
    log.filter(|line| line.starts_with("denied ") || line.starts_with("refused "))
        .filter(|line| !line.contains("/the-end"))
        .count()
}

/// A backend that answers everything with this status.
fn backend(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_secret_that_is_taken_is_said() {
    let alone = plain(SECRET, &[]);
    let checked = check(&format!("http://{}", alone.address), &[], &["--strict"]);
    checked.assert_is_ok();
    assert_notes(
        &checked,
        "takes this secret: GET /protected with it answers 200",
    );
    assert_eq!(
        requests(&alone),
        [
            "request method=HEAD path=/ status=404",
            "request method=GET path=/protected status=200",
            "request method=GET path=/protected status=401"
        ]
    );
    assert_eq!(counted(&alone), 1, "{:#?}", alone.log());

    // What the application says of the path is its own affair.
    let front = plain(SECRET, &[("BACKEND", &backend("404 Not Found"))]);
    let checked = check(&format!("http://{}", front.address), &[], &["--strict"]);
    checked.assert_is_ok();
    assert_notes(
        &checked,
        "GET / with it answers 404, and HEAD / without it 401",
    );
    // fail2ban counts what is denied.
    assert_eq!(
        requests(&front),
        [
            "request method=HEAD path=/ status=401",
            "request method=GET path=/ status=404"
        ]
    );

    // One that a rotation has made a previous one is taken too.
    let rotated = plain(OTHER, &[("SHARED_SECRET_PREVIOUS", SECRET)]);
    let checked = check(&format!("http://{}", rotated.address), &[], &[]);
    assert_notes(&checked, "takes this secret");
}

#[test]
fn a_secret_that_is_refused_is_a_fault_with_the_remedy() {
    let backend_of_all = backend("200 OK");
    let public = ("PUBLIC_PATHS", "/protected,/healthz");
    let guards = [
        (plain(OTHER, &[]), "/protected"),
        (plain(OTHER, &[("BACKEND", &backend_of_all)]), "/"),
        // A path that is open to all tells nothing.
        (plain(OTHER, &[("BACKEND", &backend_of_all), public]), "/"),
        (
            plain(SECRET, &[("SECRET_HEADER", "X-Other-Secret")]),
            "/protected",
        ),
    ];
    for (origin, path) in &guards {
        let checked = check(&format!("http://{}", origin.address), &[], &[]);
        checked.assert_finds(
            Fault,
            "ORIGIN",
            &format!("refuses this secret: GET {path} with it answers 401"),
            "the origin gets the new one first",
        );
        assert_eq!(checked.report["faults"], 1, "{:#?}", checked.findings());
        requests(origin);
    }
    // The application has credentials of its own.
    let own = plain(SECRET, &[("BACKEND", &backend("401 Unauthorized"))]);
    let checked = check(&format!("http://{}", own.address), &[], &[]);
    checked.assert_finds(
        Warning,
        "ORIGIN",
        "or what is behind it asks for credentials of its own",
        "compare both files",
    );
}

/// An application that looks at no secret, or at one path alone.
fn application(guarded: Option<&'static str>, status: &'static str) -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let own = listener.try_clone().expect("another handle");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
            let is_guarded = guarded.is_some_and(|path| head.contains(&format!(" {path} http")));
            let is_let_in = !is_guarded || head.contains(SECRET);
            let status = if is_let_in { status } else { "403 Forbidden" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, own)
}

#[test]
fn an_origin_that_needs_no_secret_is_named() {
    for (status, number) in [("200 OK", 200), ("404 Not Found", 404), ("302 Found", 302)] {
        let (url, _listener) = application(None, status);
        let checked = check(&url, &[], &[]);
        let remedy = format!("origin-guard probe {url}/that/path");
        checked.assert_finds(
            Warning,
            "ORIGIN",
            &format!(
                "answers without the secret, too: it is open to everybody on this machine (GET \
                 /protected answers {number} with it and {number} without it, HEAD / {number} \
                 without it)"
            ),
            &remedy,
        );
        checked.assert_finds(Warning, "ORIGIN", "it is open", "X-Shared-Secret");
        assert_eq!(notes(&checked), [""; 0]);
        assert_eq!(checked.report["warnings"], 1, "{:#?}", checked.findings());
    }
    // Of several the one at fault is named.
    let guarded = plain(SECRET, &[]);
    let (url, _listener) = application(None, "200 OK");
    let checked = check(&format!("http://{},{url}", guarded.address), &[], &[]);
    let remedy = format!("origin-guard probe {url}/that/path");
    checked.assert_finds(Warning, "ORIGIN", "it is open", &remedy);
    // From elsewhere everybody is everybody. A machine without a network has no such address.
    if let Some(address) = own_address() {
        let listen = format!("{address}:0");
        let backend = backend("200 OK");
        let public = ("PUBLIC_PATHS", "/,/protected");
        let front = plain(
            SECRET,
            &[("LISTEN", &listen), ("BACKEND", &backend), public],
        );
        let url = format!("http://{}", front.address);
        let checked = check(&url, &[("ORIGIN_PLAINTEXT", "allow")], &[]);
        let what = "it is open to everybody (GET /protected answers 200";
        checked.assert_finds(Warning, "ORIGIN", what, "X-Shared-Secret");
    }
}

#[test]
fn an_origin_that_lets_nobody_in_from_here_is_named() {
    let origin = plain(SECRET, &[("ALLOW_FROM", "192.0.2.1")]);
    let checked = check(&format!("http://{}", origin.address), &[], &[]);
    checked.assert_finds(
        Warning,
        "ORIGIN",
        "answers 403 with this secret and without it",
        "ALLOW_FROM there",
    );
}

#[test]
fn who_sends_clients_to_https_is_not_sent_the_secret() {
    let authority = Authority::new("check-origins-redirect");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let [certificate, key] = issued.variables();
    let listen = ("LISTEN", "tls:127.0.0.1:0,redirect:127.0.0.1:0");
    let guard = plain(SECRET, &[listen, certificate, key]);
    let port = guard.second_address().port();
    for (host, what) in [
        (
            "localhost",
            "sends every request to https (HEAD / answers 308)",
        ),
        ("127.0.0.1", "does not serve this name in plain HTTP"),
    ] {
        let checked = check(&format!("http://{host}:{port}"), &[], &[]);
        checked.assert_finds(Fault, "ORIGIN", what, "ORIGIN=https://");
        checked.assert_finds(Fault, "ORIGIN", "was not sent the secret", "https://");
    }
    let leaked = guard
        .log()
        .into_iter()
        .filter(|line| line.contains("leaked"));
    assert_eq!(leaked.count(), 0);
}

#[test]
fn an_origin_that_is_this_guard_s_own_listener_is_in_order_before_the_start() {
    let held = HeldPort::new();
    let address = held.address.to_string();
    let checked = check(&held.url(), &[("LISTEN", &address)], &["--strict"]);
    let is_said = |finding: &Value| {
        finding["what"]
            .as_str()
            .is_some_and(|what| what.contains("is this guard's own LISTEN"))
    };
    let complaints = checked.complaints();
    assert!(
        complaints
            .iter()
            .all(|finding| finding["subject"] == "LISTEN"),
        "{complaints:#?}"
    );
    assert!(checked.findings().iter().any(is_said), "{checked:#?}");
}

#[test]
fn the_path_that_is_asked_is_one_that_needs_the_secret() {
    for (guarded, wanted) in [
        ("/", "GET / with it answers 200, and HEAD / without it 403"),
        (
            "/protected",
            "GET /protected with it answers 200, and without it 403",
        ),
    ] {
        let (url, _listener) = application(Some(guarded), "200 OK");
        let checked = check(&url, &[], &["--strict"]);
        checked.assert_is_ok();
        assert_notes(&checked, wanted);
    }
    // A guard whose paths are partly open asks at the others.
    let backend = backend("200 OK");
    let public = ("PUBLIC_PATHS", "/protected");
    let front = plain(SECRET, &[("BACKEND", &backend), public]);
    let checked = check(&format!("http://{}", front.address), &[], &["--strict"]);
    checked.assert_is_ok();
    assert_notes(&checked, "GET / with it answers 200");
}

#[test]
fn who_may_connect_to_a_socket_is_let_in_without_an_alarm() {
    let folder = Folder::new("check-origins-socket");
    let path = folder.path.join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).expect("set");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let checked = check(
        &format!("http://unix:{}", path.display()),
        &[],
        &["--strict"],
    );
    checked.assert_is_ok();
    assert_notes(&checked, "everybody who may connect to this socket");
}

#[test]
fn an_origin_that_goes_by_the_gateway_s_certificate_is_not_open() {
    let authority = Authority::new("check-origins-mutual");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let own = authority.issue(Key::EcdsaPkcs8, &["gateway.example"]);
    let [certificate, key] = issued.variables();
    let ca = authority.path("ca.pem");
    let mutual = [
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "tls:127.0.0.1:0"),
        certificate,
        key,
        ("TLS_CLIENT_CA", &ca),
        ("TLS_CLIENT_NAMES", "gateway.example"),
    ];
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (shown, shown_key) = (text(&own.certificate), text(&own.key));
    let gateway = [
        ("ORIGIN_CA", &*ca),
        ("ORIGIN_CLIENT_CERT", &*shown),
        ("ORIGIN_CLIENT_KEY", &*shown_key),
    ];
    let backend = backend("200 OK");
    for (more, wanted) in [
        (
            &[("REQUIRE", "certificate"), ("BACKEND", &*backend)][..],
            "lets this gateway's certificate in, with the secret or without it, and nobody",
        ),
        (&[], "takes this secret"),
    ] {
        let origin = Guard::with(&[&mutual, more].concat());
        let url = format!("https://localhost:{}", origin.address.port());
        let checked = check(&url, &gateway, &["--strict"]);
        checked.assert_is_ok();
        assert_notes(&checked, wanted);
        // Who has no certificate is told in plain words, and what to set.
        let checked = check(&url, &gateway[..1], &[]);
        checked.assert_finds(
            Fault,
            "ORIGIN",
            "the other side wants a certificate",
            "set ORIGIN_CLIENT_CERT and ORIGIN_CLIENT_KEY",
        );
    }
}

#[test]
fn an_origin_that_cannot_be_asked_is_described_in_plain_words() {
    // Whoever may not connect is let go before TLS begins.
    let authority = Authority::new("check-origins-words");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let [certificate, key] = issued.variables();
    let ca = authority.path("ca.pem");
    let listen = ("LISTEN", "tls:127.0.0.1:0");
    let denying = ("ALLOW_FROM", "192.0.2.1");
    let secret = ("SHARED_SECRET", SECRET);
    let origin = Guard::with(&[secret, listen, certificate, key, denying]);
    let port = origin.address.port();
    let checked = check(
        &format!("https://localhost:{port}"),
        &[("ORIGIN_CA", &ca)],
        &[],
    );
    checked.assert_finds(
        Fault,
        "ORIGIN",
        "closes the connection before TLS is agreed on",
        &format!("openssl s_client -connect localhost:{port} -servername localhost"),
    );
    checked.assert_finds(Fault, "ORIGIN", "before TLS", "look whether ALLOW_FROM");

    let down = HeldPort::new();
    let checked = check(&down.url(), &[], &[]);
    let remedy = format!("start the guard at {}", down.address);
    checked.assert_finds(Warning, "ORIGIN", "takes no connection", &remedy);
    let checked = check("http://unix:/nowhere.sock", &[], &[]);
    checked.assert_finds(
        Warning,
        "ORIGIN",
        "No such file",
        "start the guard at unix:",
    );

    let stranger = Authority::new("check-origins-words-other");
    let trusting = [secret, listen, certificate, key];
    let origin = Guard::with(&trusting);
    let url = format!("https://localhost:{}", origin.address.port());
    let checked = check(&url, &[("ORIGIN_CA", &stranger.path("ca.pem"))], &[]);
    let what = "issued by an authority that is not trusted here";
    checked.assert_finds(Fault, "ORIGIN", what, "set ORIGIN_CA");
    let url = url.replace("https", "http");
    let checked = check(&url, &[], &[]);
    let remedy = format!("write https://localhost:{}", origin.address.port());
    checked.assert_finds(Fault, "ORIGIN", "speaks TLS", &remedy);
}

#[test]
fn what_tells_nothing_is_said_to_tell_nothing() {
    let none = Guard::with(&[("ACCESS_LOG", "1")]);
    let checked = check(&format!("http://{}", none.address), &[], &[]);
    assert_notes(
        &checked,
        "cannot be told: GET /protected with it answers 500",
    );
    assert_eq!(checked.report["faults"], 0, "{:#?}", checked.findings());

    let down = HeldPort::new();
    let checked = check(&down.url(), &[], &[]);
    checked.assert_finds(Warning, "ORIGIN", "takes no connection", "start");
    assert_eq!(notes(&checked), [""; 0]);
}

#[test]
fn inside_tls_the_secret_goes_to_a_verified_origin_alone() {
    let authority = Authority::new("check-origins-ca");
    let stranger = Authority::new("check-origins-stranger");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let [certificate, key] = issued.variables();
    let tls = [
        ("SHARED_SECRET", SECRET),
        ("ACCESS_LOG", "1"),
        ("LISTEN", "tls:127.0.0.1:0,127.0.0.1:0"),
        certificate,
        key,
    ];
    let mut origin = Guard::with(&tls);
    let url = format!("https://localhost:{}", origin.address.port());
    // The plain one is there to ask for the log's end.
    origin.address = origin.second_address();
    let (ca, other) = (authority.path("ca.pem"), stranger.path("ca.pem"));

    let checked = check(&url, &[("ORIGIN_CA", &other)], &[]);
    checked.assert_finds(Fault, "ORIGIN", "localhost", "set ORIGIN_CA");
    assert_eq!(notes(&checked), [""; 0]);
    assert_eq!(requests(&origin), [""; 0], "nothing arrives");

    let checked = check(&url, &[("ORIGIN_CA", &ca)], &["--local"]);
    assert_eq!(notes(&checked), [""; 0]);
    assert_eq!(requests(&origin), [""; 0], "nobody is asked");

    let checked = check(&url, &[("ORIGIN_CA", &ca)], &["--strict"]);
    checked.assert_is_ok();
    assert_notes(&checked, "takes this secret");
    assert_eq!(requests(&origin).len(), 3);

    let secret = [("ORIGIN_CA", &*ca), ("SHARED_SECRET", OTHER)];
    let checked = check(&url, &secret, &[]);
    checked.assert_finds(Fault, "ORIGIN", "refuses this secret", "rotate");
}

#[test]
fn without_tls_nothing_goes_to_an_origin_that_is_to_speak_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("set");
    let url = format!("https://localhost:{port}");
    let checked = check(&url, &[("ORIGIN_CA", "/nowhere.pem")], &[]);
    checked.assert_finds(Fault, "ORIGIN_CA", "No such file", "mend its path");
    assert_eq!(notes(&checked), [""; 0]);
    let nobody = listener.accept().expect_err("nobody");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

/// An address of this machine that is no loopback one; nothing is sent to the other one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

#[test]
fn in_the_clear_the_secret_goes_where_the_operator_allows_it() {
    // A machine without a network has no such address.
    let Some(address) = own_address() else {
        return;
    };
    let listen = format!("{address}:0");
    let origin = plain(SECRET, &[("LISTEN", &listen)]);
    let url = format!("http://{}", origin.address);
    let checked = check(&url, &[], &[]);
    checked.assert_finds(Fault, "ORIGIN", "in the clear", "ORIGIN_PLAINTEXT=allow");
    assert_eq!(notes(&checked), [""; 0]);
    let asked = requests(&origin);
    assert!(
        !asked.iter().any(|line| line.contains("/protected")),
        "{asked:?}"
    );
    let checked = check(&url, &[("ORIGIN_PLAINTEXT", "allow")], &[]);
    assert_notes(&checked, "takes this secret");
}

#[test]
fn nothing_is_sent_where_what_says_whom_to_trust_is_at_fault() {
    let origin = plain(SECRET, &[]);
    let url = format!("http://{}", origin.address);
    for (name, value, what, remedy) in [
        ("ORIGIN_CA", "  ", "spaces alone", "leave the variable out"),
        (
            "ORIGIN_CLIENT_KEY",
            " ",
            "spaces alone",
            "leave the variable out",
        ),
        (
            "ORIGIN_CLIENT_CERT",
            "/nowhere.pem",
            "go together",
            "both or neither",
        ),
        (
            "ORIGIN_SERVER_NAME",
            "bad name",
            "neither a DNS name",
            "certificate",
        ),
        ("ORIGIN_HOST", "bad name", "neither keep", "write one"),
    ] {
        let checked = check(&url, &[(name, value)], &[]);
        checked.assert_finds(Fault, name, what, remedy);
        assert_eq!(notes(&checked), [""; 0], "{name}");
        let asked = requests(&origin);
        assert!(
            !asked.iter().any(|line| line.contains("/protected")),
            "{name}: {asked:?}"
        );
    }
}

/// A guard that another user runs.
fn of_a_stranger(listen: &str) -> Guard {
    let mut stranger = Command::new("setpriv");
    stranger
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .envs([("SHARED_SECRET", SECRET), ("ACCESS_LOG", "1")])
        .env("LISTEN", listen);
    Guard::spawn(&mut stranger)
}

fn can_be_another_user() -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("needs root, to become another user");
        return false;
    }
    installed("setpriv", "apt install util-linux")
}

#[test]
fn a_stranger_at_the_origin_s_socket_gets_no_secret() {
    if !can_be_another_user() {
        return;
    }
    let folder = Folder::new("check-origins-gift");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder.path, open).expect("set");
    let socket = format!("unix:{}/origin.sock", folder.path.display());
    let stranger = of_a_stranger(&socket);
    let checked = check(&format!("http://{socket}"), &[], &[]);
    let what = "was not sent the secret: user 65534 listens";
    checked.assert_finds(Warning, "ORIGIN", what, "ss -lxnp");
    assert_eq!(notes(&checked), [""; 0]);
    let log = stranger.log().join("\n");
    assert!(!log.contains("path=/protected"), "{log}");
}

#[test]
fn a_stranger_at_the_origin_s_port_gets_no_secret() {
    if !can_be_another_user() {
        return;
    }
    let stranger = of_a_stranger("127.0.0.1:0");
    let port = stranger.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let checked = check(&format!("http://{host}:{port}"), &[], &[]);
        let what = "was not sent the secret: user 65534 listens";
        checked.assert_finds(Warning, "ORIGIN", what, "look whose it is");
        assert_eq!(notes(&checked), [""; 0], "{host}");
    }
    let asked = requests(&stranger);
    assert!(
        !asked.iter().any(|line| line.contains("/protected")),
        "{asked:?}"
    );
}
