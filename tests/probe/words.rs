//! What the probe says: of what it is about to do, of what it has left out, of what is wrong
//! and what to do, and the same as its page does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::asked::{Report, probe, probe_with, without_secret};
use crate::authority::{Authority, Issued, Key};
use crate::recorder::{Recorder, answer};
use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{Guard, PATIENCE, SECRET, command, installed};

/// The number before `word` in what was announced.
fn announced(report: &Report, before: &str) -> u64 {
    let (_, behind) = report.errors.split_once(before).expect("announced");
    let number = behind.split(' ').next().expect("a number");
    number.parse().expect("a number")
}

/// A run of the probe at a URL.
type Run<'a> = &'a dyn Fn(&str) -> Report;

/// What a guard has counted of requests: let in, denied.
fn counted(guard: &Guard) -> (u64, u64) {
    let request = "GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let mut stream = std::net::TcpStream::connect(guard.second_address()).expect("connects");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    let answer = crate::support::Answer::read(&mut stream, false).expect("an answer");
    let status: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let requests = &status["requests"];
    let number = |name: &str| requests[name].as_u64().expect("a number");
    (number("let_in"), number("denied"))
}

#[test]
fn the_forecast_holds_at_a_real_origin_and_the_end_tells_what_was_sent() {
    let start = |header: &str| {
        Guard::with(&[
            ("SHARED_SECRET", SECRET),
            ("SECRET_HEADER", header),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
        ])
    };
    let wrong = crate::support::folder::Folder::new("probe-wrong");
    let wrong = wrong.write("secret", "another-secret-0123456789abcdef\n");
    let wrong = wrong.to_str().expect("UTF-8");
    let right: Run<'_> = &|url| probe(url, None, &[]);
    let refused: Run<'_> = &|url| without_secret(url, None, &["--secret-file", wrong]);
    let none: Run<'_> = &|url| without_secret(url, None, &[]);
    let bare: Run<'_> = &|url| probe(url, None, &["--header", "Token"]);
    for (header, run, sent, denied) in [
        ("X-Shared-Secret", right, 11, 9),
        ("X-Shared-Secret", refused, 11, 11),
        ("X-Shared-Secret", none, 5, 5),
        ("Token", bare, 9, 7),
    ] {
        let guard = start(header);
        let report = run(&format!("http://{}/protected", guard.address));
        assert_eq!(report.requests(), sent, "{:#}", report.json);
        assert_eq!(report.json["denials"], denied, "{:#}", report.json);
        // Nothing hinders it, so the most is what comes.
        assert_eq!(announced(&report, "at most "), sent, "{}", report.errors);
        assert_eq!(report.json["requests_at_most"], sent);
        let since = Instant::now();
        while counted(&guard) != (sent - denied, denied) {
            let counted = counted(&guard);
            assert!(since.elapsed() < PATIENCE, "{counted:?}: {:#}", report.json);
        }
    }
}

#[test]
fn fewer_are_sent_than_announced_and_never_more() {
    let authority = Authority::new("probe-forecast");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let listen = ("LISTEN", "tls:127.0.0.1:0");
    let admin = ("ADMIN_LISTEN", "127.0.0.1:0");
    let variables = [("SHARED_SECRET", SECRET), listen, admin];
    let guard = Guard::with(&[&variables[..], &issued.variables()].concat());
    let url = format!("https://localhost:{}/protected", guard.address.port());
    let closed = [HeldPort::new(), HeldPort::new()].map(|port| (port.to_string(), port));
    let ports = [
        "--http-port",
        &*closed[0].0,
        "--backend-ports",
        &*closed[1].0,
    ];
    let report = probe(&url, Some(&authority.certificate), &ports);
    assert_eq!(announced(&report, "at most "), 13, "{}", report.errors);
    assert_eq!(report.requests(), 11, "{:#}", report.json);
    assert_eq!(report.json["denials"], 9);
    // Who is not believed is sent nothing, and has nothing in its log.
    let other = Authority::new("probe-forecast-other");
    let report = probe(&url, Some(&other.certificate), &ports);
    assert_eq!(report.requests(), 0, "{:#}", report.json);
    // Who ends it after two is not asked for more.
    let answers = ["200 OK", "429 Too Many Requests"].map(|status| answer(status, ""));
    let limited = Recorder::start(&answers.each_ref().map(String::as_str));
    let report = probe(&limited.url(), None, &[]);
    assert_eq!(announced(&report, "at most "), 11, "{}", report.errors);
    assert_eq!(report.requests(), 2);
    assert_eq!(report.json["denials"], 1);
    assert_eq!(limited.requests().len(), 2);
}

#[test]
fn what_is_left_out_is_listed_with_its_reason() {
    let guard = Guard::start();
    let url = format!("http://{}/protected", guard.address);
    let report = without_secret(&url, None, &["--header", "Token"]);
    for (check, why) in [
        ("right secret", "needs --secret-file"),
        ("as Token", "needs --secret-file"),
        ("plain HTTP beside https", "the URL is plain HTTP itself"),
        ("certificate", "the URL is plain HTTP"),
        ("backend ports", "none is named by --backend-ports"),
    ] {
        assert_eq!(report.of(check, "verdict"), "skipped", "{check}");
        assert_eq!(report.of(check, "detail"), why, "{check}");
    }
    let report = probe(&url, None, &["--header", "Token"]);
    let why = report.of("as Token", "detail");
    assert_eq!(why, "the name of the header has no hyphen");
    // Where nothing can be asked all is left out.
    let report = probe("https://no-such-host.invalid/", None, &[]);
    assert_eq!(report.with("inconclusive"), ["address"]);
    let skipped = report.with("skipped");
    assert_eq!(skipped.len(), 14, "{skipped:?}");
    assert!(skipped.contains(&"plain HTTP at port 80".to_owned()));
    let findings = report.json["findings"].as_array().expect("findings");
    for finding in findings {
        let detail = finding["detail"].as_str().expect("text");
        let is_short = finding["verdict"] != "skipped" || detail.len() < 70;
        assert!(is_short && !detail.contains('\n'), "{detail}");
    }
}

#[test]
fn each_error_has_a_next_step() {
    let report = probe("https://no-such-host.invalid/", None, &[]);
    let said = report.of("address", "detail");
    assert!(said.contains("--resolve 203.0.113.7"), "{said}");
    let closed = HeldPort::new();
    let said = probe(&closed.url(), None, &[]).of("right secret", "detail");
    assert!(
        said.contains("; does the origin run, and is this"),
        "{said}"
    );
    for (status, step) in [
        ("500 Internal Server Error", "look at its log"),
        ("403 Forbidden", "ask from the gateway's address"),
        ("400 Bad Request", "probe a path that answers 200"),
        ("429 Too Many Requests", "try again later"),
    ] {
        let origin = Recorder::start(&[&answer(status, "")]);
        let said = probe(&origin.url(), None, &[]).of("right secret", "detail");
        assert!(said.contains(step), "{status}: {said}");
    }
    let ends = Recorder::start(&[""]);
    let said = probe(&ends.url(), None, &[]).of("right secret", "detail");
    assert!(said.contains("; look at the origin's log"), "{said}");
    let open = Recorder::start(&[&answer("200 OK", "")]);
    let said = probe(&open.url(), None, &[]).of("no secret", "detail");
    assert!(said.contains("; have the origin check it"), "{said}");
}

/// What `openssl req -x509` makes by itself is the certificate of an authority.
#[test]
fn an_authority_s_own_certificate_is_told_in_plain_words() {
    let folder = Folder::new("probe-own-authority");
    let [certificate, key] = ["own.pem", "own.key"].map(|name| folder.path.join(name));
    let make = |more: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-nodes",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(more)
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key);
        let made = openssl.output().expect("runs");
        assert!(made.status.success(), "{made:?}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    };
    let ask = || {
        let guard = Guard::with(&[
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "tls:127.0.0.1:0"),
            ("TLS_CERT", certificate.to_str().expect("UTF-8")),
            ("TLS_KEY", key.to_str().expect("UTF-8")),
        ]);
        let url = format!("https://localhost:{}/protected", guard.address.port());
        let closed = HeldPort::new().to_string();
        probe(&url, Some(&certificate), &["--http-port", &closed])
    };
    if !installed("openssl", "apt install openssl") {
        return;
    }
    make(&[]);
    let said = ask().of("certificate", "detail");
    for part in [
        "it is one of an authority (basicConstraints=CA:TRUE)",
        "basicConstraints=critical,CA:FALSE",
        "--ca-file",
    ] {
        assert!(said.contains(part), "{said}");
    }
    for part in ["CaUsedAsEndEntity", "Other", "HOST:PORT"] {
        assert!(!said.contains(part), "{said}");
    }
    // The remedy is one.
    make(&["-addext", "basicConstraints=critical,CA:FALSE"]);
    let report = ask();
    assert_eq!(
        report.of("certificate", "verdict"),
        "ok",
        "{:#}",
        report.json
    );
}

/// A guard that presents this certificate, and its URL.
fn guard_with(issued: &Issued) -> (Guard, String) {
    let variables = [("SHARED_SECRET", SECRET), ("LISTEN", "tls:127.0.0.1:0")];
    let guard = Guard::with(&[&variables[..], &issued.variables()].concat());
    let url = format!("https://localhost:{}/protected", guard.address.port());
    (guard, url)
}

#[test]
fn a_certificate_for_another_name_tells_for_which() {
    let authority = Authority::new("probe-names");
    let many: Vec<_> = (0..40).map(|number| format!("n{number}.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let secret = format!("{}.example", &SECRET[..20]);
    for (names, said) in [
        (
            &["*.example.com", "www.example.org"][..],
            "the certificate is for *.example.com, www.example.org, and not for localhost; write \
             the name that it is for, or have one issued for this name",
        ),
        (
            &many,
            "n3.example, n4.example and 35 more, and not for localhost; ",
        ),
        (&[&*secret], "(left out: it holds a part of the secret)"),
    ] {
        let issued = authority.issue(Key::EcdsaPkcs8, names);
        let (_guard, url) = guard_with(&issued);
        let report = probe(&url, Some(&authority.certificate), &[]);
        assert_eq!(report.of("certificate", "verdict"), "fault");
        let detail = report.of("certificate", "detail");
        assert!(detail.contains(said), "{detail}");
        assert!(detail.len() < 400, "{detail}");
        // So does check, where the gateway is to send its secret.
        let check = command()
            .args(["check", "--json"])
            .env("SHARED_SECRET", SECRET)
            .env("LISTEN", "none")
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("ORIGIN", url.trim_end_matches("/protected"))
            .env("ORIGIN_CA", &authority.certificate)
            .output()
            .expect("runs");
        let said = said.split(';').next().expect("text");
        let told = String::from_utf8_lossy(&check.stdout);
        assert!(told.contains(said), "{said}: {told}");
        assert!(!told.contains("DnsName("), "{told}");
    }
    // A certificate that is verified tells as few.
    let names = [&["localhost"][..], &many].concat();
    let issued = authority.issue_as(
        "many",
        Key::EcdsaPkcs8,
        &names
            .join(",")
            .replace(',', ",DNS:")
            .replacen("", "DNS:", 1),
        60,
    );
    let (_guard, url) = guard_with(&issued);
    let report = probe_with(&url, Some(&authority.certificate), &[], &[]);
    let detail = report.of("certificate", "detail");
    let said =
        "for localhost, n0.example, n1.example, n2.example, n3.example and 36 more, verified";
    assert!(detail.starts_with(said), "{detail}");
}

#[test]
fn a_faulty_url_is_named_with_what_is_wrong_and_an_example() {
    for (url, wrong) in [
        ("", "is empty"),
        ("origin.example/orders", "does not begin with https://"),
        ("https:/origin.example", "does not begin with https://"),
        ("ftp://origin.example/", "has another scheme than https://"),
        ("https://", "names no host"),
        ("https:///orders", "names no host"),
        ("https://:8443/", "names no host"),
        ("https://a.example:0/", "port that is not from 1 to 65535"),
        ("https://a.example:x/", "port that is not from 1 to 65535"),
        ("https://::1/", "[2001:db8::7]"),
        ("https://a_.-b/", "neither a name nor an address"),
        ("https://1.2.3/", "neither a name nor an address"),
        ("https://a b/", "neither a name nor an address"),
        ("https://a.0x1f/", "no certificate can be issued for"),
        ("https://a,b/", "a comma in its host"),
        ("https://a,https://b/", "a comma in its host"),
        ("https://me:hunter2@a/", "a user's name before an @"),
        ("http://unix:/run/a.sock", "a Unix socket"),
        ("https://a/b c", "byte 12"),
        ("https://a/b#c", "byte 12"),
    ] {
        let output = command().args(["probe", url]).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{url}: {said}");
        assert!(said.contains(wrong), "{url}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        let example = ["https://origin.example/orders", "%20 for a space"];
        assert!(
            example.iter().any(|example| said.contains(example)),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn its_page_has_the_table_that_the_verdicts_are_taken_from() {
    let page = std::fs::read_to_string("docs/probe.md").expect("readable");
    let table = origin_guard::probe::table();
    assert!(
        page.contains(&table),
        "docs/probe.md, What it says: the table should be\n{table}"
    );
    // Plain HTTP beside https, as the program itself takes it.
    for line in [
        "| plain HTTP at `--http-port`, no secret | 2xx | `hole` | 1 |",
        "so that a gateway could send the secret there | `warning` | 0 |",
        "| a URL of `http://` | it is not a loopback address that the URL names | `fault` | 1 |",
    ] {
        assert!(table.contains(line), "{line}");
    }
}

#[test]
fn its_page_has_the_names_of_its_json() {
    let page = std::fs::read_to_string("docs/probe.md").expect("readable");
    let (_, table) = page.split_once("`--json` prints").expect("the names");
    let report = without_secret("https://no-such-host.invalid/", None, &[]);
    let finding = report.json["findings"][0].as_object().expect("an object");
    let names = report.json.as_object().expect("an object").keys();
    let mut documented: Vec<_> = table.split('`').skip(1).step_by(2).collect();
    documented.retain(|name| !name.contains('"') && *name != "skipped");
    let mut names: Vec<_> = names.chain(finding.keys()).map(String::as_str).collect();
    names.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, names);
}
