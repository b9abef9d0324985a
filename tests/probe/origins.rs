//! The six origins: guarded, an unguarded backend port, nginx with `if`, names that fold,
//! plain HTTP open beside https, an expired certificate.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::asked::{probe, probe_with, without_secret};
use crate::authority::{Authority, Issued, Key};
use crate::nginx::{Nginx, plain, tls};
use crate::recorder::{Recorder, answer};
use crate::support::folder::Folder;
use crate::support::php::Php;
use crate::support::port::HeldPort;
use crate::support::{Guard, PATIENCE, SECRET, installed, skip};

/// An application of PHP that asks for the secret itself.
const APPLICATION: &str = "<?php
if (!hash_equals('{right}', $_SERVER['HTTP_X_SHARED_SECRET'] ?? '')) {
    http_response_code(401);
    exit('denied');
}
echo 'let in';
";

fn localhost(name: &str) -> (Authority, Issued) {
    let authority = Authority::new(name);
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    (authority, issued)
}

/// A guard with TLS in front of `backend`, and its URL.
fn guarded(issued: &Issued, backend: &Recorder) -> (Guard, String) {
    let url = backend.url();
    let variables = [
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "tls:127.0.0.1:0"),
        ("BACKEND", &url),
    ];
    let guard = Guard::with(&[&variables[..], &issued.variables()].concat());
    let url = format!("https://localhost:{}/orders", guard.address.port());
    (guard, url)
}

/// Whether the origin answers 200 to a request with these header lines, asked by curl.
fn lets_in(url: &str, ca: Option<&Path>, lines: &[String]) -> bool {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url]);
    if let Some(ca) = ca {
        curl.arg("--cacert").arg(ca);
    }
    for line in lines {
        curl.args(["-H", line]);
    }
    let output = curl.output().expect("curl runs");
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(status.len() == 3 && status != "000", "{status:?}");
    status == "200"
}

/// The checks at the URL that get through and must not, as curl finds them.
fn holes_by_curl(url: &str, ca: Option<&Path>) -> Vec<&'static str> {
    let line = |name: &str, value: &str| format!("{name}: {value}");
    let right = line("X-Shared-Secret", SECRET);
    let wrong = line("X-Shared-Secret", "0123456789-wrong-0123456789-wrong");
    assert!(lets_in(url, ca, std::slice::from_ref(&right)));
    let cases: [(&str, Vec<String>); 8] = [
        ("no secret", vec![]),
        ("empty secret", vec!["X-Shared-Secret;".into()]),
        ("wrong secret", vec![wrong.clone()]),
        ("twice, right one first", vec![right.clone(), wrong.clone()]),
        ("twice, right one last", vec![wrong, right.clone()]),
        ("right one, and more behind it", vec![right + "more"]),
        ("as X_Shared_Secret", vec![line("X_Shared_Secret", SECRET)]),
        ("as X.Shared.Secret", vec![line("X.Shared.Secret", SECRET)]),
    ];
    let through = cases
        .into_iter()
        .filter(|(_, lines)| lets_in(url, ca, lines));
    through.map(|(check, _)| check).collect()
}

#[test]
fn a_guarded_origin_is_clean() {
    let (authority, issued) = localhost("probe-guarded");
    let backend = Recorder::start(&[&answer("200 OK", "the application")]);
    let (guard, url) = guarded(&issued, &backend);
    let closed = [HeldPort::new(), HeldPort::new()];
    let closed = closed.each_ref().map(ToString::to_string);
    let report = probe(
        &url,
        Some(&authority.certificate),
        &["--http-port", &closed[0], "--backend-ports", &closed[1]],
    );
    report.assert_clean();
    assert_eq!(report.of("right secret", "answer"), "200");
    assert_eq!(report.of("certificate", "verdict"), "ok");
    assert!(report.of("certificate", "detail").contains("for localhost"));
    let tells = report.of("tells: server", "detail");
    assert_eq!(tells, "origin-guard");
    for check in [&closed[0], &closed[1]] {
        let word = if *check == closed[0] {
            "plain HTTP"
        } else {
            "backend"
        };
        assert_eq!(
            report.of(&format!("{word} at port {check}"), "detail"),
            "closed"
        );
    }
    // Two requests held the right secret alone; the application saw neither it nor others.
    let arrived = backend.requests();
    assert_eq!(arrived.len(), 2, "{arrived:?}");
    assert!(arrived.iter().all(|request| !request.contains(SECRET)));
    let denied = || {
        let log = guard.log().into_iter();
        log.filter(|line| line.starts_with("denied ")).count()
    };
    let deadline = Instant::now() + PATIENCE;
    while report.json["denials"] != denied() {
        assert!(Instant::now() < deadline, "{} {}", denied(), report.json);
    }
    // Without the secret the same is found out, as far as it can be.
    without_secret(
        &url,
        Some(&authority.certificate),
        &["--http-port", &closed[0]],
    )
    .assert_clean();
}

#[test]
fn a_redirect_to_https_is_no_hole() {
    let (authority, issued) = localhost("probe-redirect");
    let listen = "tls:127.0.0.1:0,redirect:127.0.0.1:0";
    let variables = [("SHARED_SECRET", SECRET), ("LISTEN", listen)];
    let guard = Guard::with(&[&variables[..], &issued.variables()].concat());
    let redirect = guard.second_address().port().to_string();
    let url = format!("https://localhost:{}/protected", guard.address.port());
    let report = probe(
        &url,
        Some(&authority.certificate),
        &["--http-port", &redirect],
    );
    report.assert_clean();
    let check = format!("plain HTTP at port {redirect}");
    assert_eq!(report.of(&check, "detail"), "sends to https");
}

#[test]
fn an_unguarded_backend_port_is_found_and_gets_no_secret() {
    let (authority, issued) = localhost("probe-backend");
    let backend = Recorder::start(&[&answer("200 OK", "the application")]);
    let (_guard, url) = guarded(&issued, &backend);
    let port = HeldPort::new();
    let closed = port.to_string();
    let ports = format!("{},{}", closed, backend.port());
    let report = probe(
        &url,
        Some(&authority.certificate),
        &["--http-port", &closed, "--backend-ports", &ports],
    );
    // Whether others reach a port of this machine cannot be told from here.
    let check = format!("backend at port {}", backend.port());
    assert_eq!(
        report.with("inconclusive"),
        [check.as_str()],
        "{:#}",
        report.json
    );
    assert!(report.of(&check, "detail").contains("ask from another"));
    assert_eq!(report.status, Some(2));
    let arrived = backend.requests();
    assert_eq!(arrived.len(), 3, "{arrived:?}");
    assert!(
        arrived.iter().all(|request| !request.contains(SECRET)),
        "{arrived:?}"
    );
    let direct = arrived.last().expect("a request").to_lowercase();
    assert!(!direct.contains("x-shared-secret"), "{direct}");
    // Only where it is named.
    probe(
        &url,
        Some(&authority.certificate),
        &["--http-port", &closed],
    )
    .assert_clean();
}

#[test]
fn nginx_with_if_is_held_against_curl() {
    if !installed("curl", "apt install curl") {
        return;
    }
    let (authority, issued) = localhost("probe-nginx");
    let ca = Some(&*authority.certificate);
    let guard = |condition: &str| {
        format!("if ($http_x_shared_secret {condition}) {{ return 403; }} return 200 in;")
    };
    let servers = [
        tls(&issued, &guard(&format!("!= \"{SECRET}\""))),
        tls(&issued, &guard(&format!("!~ \"{SECRET}\""))),
        tls(
            &issued,
            &format!(
                "underscores_in_headers on; {}",
                guard(&format!("!= \"{SECRET}\""))
            ),
        ),
    ];
    let Some(nginx) = Nginx::start("if", &servers) else {
        return;
    };
    let port = HeldPort::new();
    let closed = port.to_string();
    let mut all = Vec::new();
    for port in &nginx.ports {
        let url = format!("https://localhost:{port}/");
        let holes = holes_by_curl(&url, ca);
        let report = probe(&url, ca, &["--http-port", &closed]);
        report.assert_holes(&holes);
        all.extend(holes);
        // It tells its version in its pages and in Server.
        assert!(
            report
                .with("warning")
                .iter()
                .all(|check| check.starts_with("tells: "))
        );
        assert!(report.of("tells: server", "detail").starts_with("nginx/"));
        // 403 alone does not tell why.
        let blind = without_secret(&url, ca, &["--http-port", &closed]);
        assert_eq!(blind.status, Some(2), "{:#}", blind.json);
        assert!(blind.with("inconclusive").contains(&"no secret".to_owned()));
    }
    for hole in [
        "twice, right one first",
        "right one, and more behind it",
        "as X_Shared_Secret",
    ] {
        assert!(all.contains(&hole), "{hole}: {all:?}");
    }
}

#[test]
fn names_that_fold_in_an_application_are_found() {
    if !installed("curl", "apt install curl") {
        return;
    }
    let Some(php) = Php::start(&APPLICATION.replace("{right}", SECRET)) else {
        return;
    };
    let url = format!("http://{}/", php.address);
    let holes = holes_by_curl(&url, None);
    assert!(holes.contains(&"as X_Shared_Secret"), "{holes:?}");
    let report = probe(&url, None, &[]);
    report.assert_holes(&holes);
    assert!(
        report.of("tells: x-powered-by", "detail").contains("PHP/8")
            || report.with("warning").is_empty()
    );
}

#[test]
fn plain_http_that_is_open_beside_https_is_found_and_gets_no_secret() {
    let (authority, issued) = localhost("probe-plain");
    let ca = Some(&*authority.certificate);
    let guard =
        format!("if ($http_x_shared_secret != \"{SECRET}\") {{ return 401; }} return 200 in;");
    let servers = [
        tls(&issued, &guard),
        plain("return 200 open;"),
        plain(&guard),
        plain("return 301 https://localhost$request_uri;"),
        plain("return 444;"),
        plain("return 404;"),
    ];
    let Some(nginx) = Nginx::start("plain", &servers) else {
        return;
    };
    let url = format!("https://localhost:{}/", nginx.ports[0]);
    let doubled = "twice, right one first";
    for (port, verdict) in nginx.ports[1..]
        .iter()
        .zip(["hole", "warning", "ok", "ok", "ok"])
    {
        let report = probe(&url, ca, &["--http-port", &port.to_string()]);
        let check = format!("plain HTTP at port {port}");
        assert_eq!(report.of(&check, "verdict"), verdict, "{:#}", report.json);
        let others: Vec<_> = report
            .with("hole")
            .into_iter()
            .filter(|hole| *hole != check)
            .collect();
        assert!(others.is_empty() || others == [doubled], "{others:?}");
    }
    let seen = nginx.seen("https");
    let in_clear: Vec<_> = seen
        .iter()
        .filter(|line| line.starts_with("http|"))
        .collect();
    assert_eq!(in_clear.len(), 5, "{seen:?}");
    assert!(
        in_clear.iter().all(|line| !line.contains(SECRET)),
        "{in_clear:?}"
    );
    // Or it would not have been seen anyway.
    assert!(
        seen.iter()
            .any(|line| line.starts_with("https|") && line.contains(SECRET))
    );
}

/// A certificate for `localhost` that was good in January 2025.
fn ended(authority: &Authority) -> Issued {
    let path = |name: &str| authority.path(name);
    authority.folder.write("index.txt", "");
    authority.folder.write(
        "sign.cnf",
        &format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={}\nrand_serial=yes\nnew_certs_dir={}\n\
             default_md=sha256\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n",
            path("index.txt"),
            authority.folder.path.display()
        ),
    );
    let (key, request, certificate) = (path("ended.key"), path("ended.csr"), path("ended.pem"));
    authority.openssl(&[
        &["req", "-new", "-config", &path("openssl.cnf"), "-nodes"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["-subj", "/CN=test", "-keyout", &key, "-out", &request],
        &["-addext", "subjectAltName=DNS:localhost"],
    ]);
    authority.openssl(&[
        &["ca", "-batch", "-notext", "-config", &path("sign.cnf")],
        &["-cert", &path("ca.pem"), "-keyfile", &path("ca.key")],
        &["-in", &request, "-out", &certificate],
        &[
            "-startdate",
            "20250101000000Z",
            "-enddate",
            "20250201000000Z",
        ],
    ]);
    Issued {
        certificate: certificate.into(),
        key: key.into(),
    }
}

#[test]
fn a_certificate_that_cannot_be_verified_is_reported_and_nothing_is_sent() {
    let authority = Authority::new("probe-expired");
    let other = Authority::new("probe-other");
    let port = HeldPort::new();
    let closed = port.to_string();
    for (issued, reason) in [
        (ended(&authority), "it ended 2025-02-01T00:00:00Z"),
        (
            authority.issue(Key::EcdsaPkcs8, &["another.example"]),
            "the certificate is for another.example, and not for localhost",
        ),
        (
            other.issue(Key::EcdsaPkcs8, &["localhost"]),
            "its issuer is not trusted",
        ),
    ] {
        let Some(nginx) = Nginx::start("expired", &[tls(&issued, "return 200 open;")]) else {
            return;
        };
        let url = format!("https://localhost:{}/", nginx.ports[0]);
        let report = probe(
            &url,
            Some(&authority.certificate),
            &["--http-port", &closed],
        );
        assert_eq!(report.status, Some(1), "{:#}", report.json);
        assert_eq!(report.with("fault"), ["certificate"]);
        assert_eq!(report.with("hole"), [""; 0]);
        let detail = report.of("certificate", "detail");
        assert!(detail.contains(reason), "{detail}");
        assert_eq!(report.of("right secret", "verdict"), "skipped");
        // What is sent is the request to the plain port, which nothing takes.
        assert_eq!(report.requests(), 0);
        assert_eq!(nginx.seen("https"), [""; 0]);
    }
}

#[test]
fn a_stranger_at_a_port_of_loopback_gets_no_secret() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let mut stranger = Command::new("setpriv");
    stranger
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .envs([("SHARED_SECRET", SECRET), ("LISTEN", "127.0.0.1:0")]);
    let stranger = Guard::spawn(&mut stranger);
    let report = probe(&format!("http://{}/protected", stranger.address), None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    for (check, verdict) in [
        ("right secret", "inconclusive"),
        ("twice, right one first", "inconclusive"),
        ("wrong secret", "ok"),
    ] {
        assert_eq!(report.of(check, "verdict"), verdict, "{:#}", report.json);
    }
    let detail = report.of("right secret", "detail");
    assert!(detail.contains("user 65534 listens there"), "{detail}");
    // Had it come, it would have been let in.
    assert_eq!(report.of("right secret", "answer"), "not asked");
}

#[test]
fn a_plain_url_beyond_this_machine_gets_no_secret() {
    for (program, package) in [("unshare", "util-linux"), ("ip", "iproute2")] {
        if !installed(program, &format!("apt install {package}, and be root")) {
            return;
        }
    }
    let folder = crate::support::folder::Folder::new("probe-far");
    let secret = crate::asked::secret_file(&folder);
    // By a name that stands for loopback as well.
    for asked in [
        "http://192.0.2.7:8888/protected",
        "http://localhost:8888/protected --resolve 192.0.2.7",
    ] {
        let script = format!(
            "rm -f log; ip link set lo up && ip address add 192.0.2.7/32 dev lo && \
             SHARED_SECRET={SECRET} LISTEN=192.0.2.7:8888 ACCESS_LOG=1 {guard} 2>log & \
             until grep -q listening log 2>/dev/null; do sleep 0.05; done; \
             {guard} probe {asked} --secret-file {secret}; status=$?; \
             for _ in $(seq 600); do [ $(grep -c status= log) -ge 4 ] && break; sleep 0.05; done; \
             exit $status",
            guard = env!("CARGO_BIN_EXE_origin-guard"),
            secret = secret.display()
        );
        let output = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", &script])
            .current_dir(&folder.path)
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .output()
            .expect("starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("plain HTTP: whoever is on the way reads the secret"),
            "{said}"
        );
        assert!(
            said.contains(
                "the secret is sent only over https, or where the URL is a loopback address"
            ),
            "{said}"
        );
        // What is left out is not announced, either.
        let announced = "at most 4 requests; all of them may be denied";
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(announced), "{errors}");
        assert!(
            said.contains("\n4 requests sent, 4 of them denied"),
            "{said}"
        );
        let log = std::fs::read_to_string(folder.path.join("log")).expect("a log");
        assert!(
            log.contains("status=401") && !log.contains("status=200"),
            "{log}"
        );
    }
}

#[test]
fn who_lets_the_gateway_s_addresses_in_alone_cannot_be_judged_from_elsewhere() {
    let (authority, issued) = localhost("probe-allowed");
    let allow = [("SHARED_SECRET", SECRET), ("ALLOW_FROM", "192.0.2.1")];
    let plain = Guard::with(&allow);
    let report = probe(&format!("http://{}/protected", plain.address), None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(report.with("fault"), [""; 0]);
    assert_eq!(report.of("no secret", "answer"), "403");

    let listen = [("LISTEN", "tls:127.0.0.1:0")];
    let variables = [&allow[..], &listen, &issued.variables()].concat();
    let tls = Guard::with(&variables);
    let url = format!("https://localhost:{}/protected", tls.address.port());
    let report = probe(&url, Some(&authority.certificate), &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(report.json["result"], "inconclusive");
    assert_eq!(report.requests(), 0, "no handshake has ended");
    let detail = report.of("right secret", "detail");
    assert!(
        detail.contains("ALLOW_FROM") || detail.contains("without an answer"),
        "{detail}"
    );
}

#[test]
fn an_origin_that_wants_a_certificate_is_shown_one() {
    let (authority, issued) = localhost("probe-mutual");
    let own = authority.issue(Key::EcdsaPkcs8, &["gateway.example"]);
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (ca, cert, key) = (
        path(&authority.certificate),
        path(&own.certificate),
        path(&own.key),
    );
    let listen = [
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "tls:127.0.0.1:0"),
        ("TLS_CLIENT_CA", &ca),
        ("TLS_CLIENT_NAMES", "gateway.example"),
    ];
    let guard = Guard::with(&[&listen[..], &issued.variables()].concat());
    let url = format!("https://localhost:{}/protected", guard.address.port());
    let port = HeldPort::new();
    let closed = port.to_string();
    let ports = ["--http-port", &closed];
    let without = probe(&url, Some(&authority.certificate), &ports);
    assert_eq!(without.status, Some(2), "{:#}", without.json);
    let detail = without.of("right secret", "detail");
    assert!(detail.contains("set ORIGIN_CLIENT_CERT"), "{detail}");
    let pair = [("ORIGIN_CLIENT_CERT", &*cert), ("ORIGIN_CLIENT_KEY", &*key)];
    probe_with(&url, Some(&authority.certificate), &ports, &pair).assert_clean();
    let output = crate::support::command()
        .args(["probe", &url])
        .env("ORIGIN_CLIENT_CERT", &cert)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(78));
}

/// A connection is taken and nothing is said.
#[test]
fn what_does_not_speak_http_is_inconclusive() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address: SocketAddr = silent.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in silent.incoming().map_while(Result::ok) {
            let mut stream: TcpStream = stream;
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let report = without_secret(&format!("http://{address}/"), None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(report.of("no secret", "answer"), "no HTTP");
}

/// It is said once, and so is where to ask.
#[test]
fn plain_http_to_a_port_of_tls_is_told_to_be_https() {
    let (authority, issued) = localhost("probe-plain-to-tls");
    let backend = Recorder::start(&[&answer("200 OK", "")]);
    let (guard, https) = guarded(&issued, &backend);
    let url = format!("http://{}/protected", guard.address);
    for report in [probe(&url, None, &[]), without_secret(&url, None, &[])] {
        assert_eq!(report.status, Some(2), "{:#}", report.json);
        let findings = report.json["findings"].as_array().expect("findings");
        let told = findings
            .iter()
            .filter(|finding| finding["verdict"] != "skipped");
        let told: Vec<_> = told.map(|finding| &finding["detail"]).collect();
        let wanted = format!(
            "this port speaks TLS; probe https://{}/protected",
            guard.address
        );
        assert_eq!(told, [&wanted], "{:#}", report.json);
    }
    // There it can be probed.
    let report = probe(&https, Some(&authority.certificate), &[]);
    assert_eq!(
        report.of("right secret", "verdict"),
        "ok",
        "{:#}",
        report.json
    );
}

#[test]
fn a_gateway_is_told_to_be_no_origin() {
    let folder = Folder::new("probe-gateway");
    let keys = folder.write("keys.json", "{\"version\":1,\"keys\":[]}");
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "none"),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("ORIGIN", "http://127.0.0.1:1"),
        ("API_KEYS_FILE", keys.to_str().expect("UTF-8")),
    ]);
    let url = format!("http://{}/", guard.address);
    let told =
        "it asks for an API key (WWW-Authenticate: Bearer), so it is a gateway and no origin";
    let report = probe(&url, None, &[]);
    let detail = report.of("right secret", "detail");
    assert!(detail.starts_with(told), "{:#}", report.json);
    assert_eq!(report.status, Some(1), "{:#}", report.json);
    let report = without_secret(&url, None, &[]);
    let detail = report.of("no secret", "detail");
    assert!(detail.contains(told), "{:#}", report.json);
}

#[test]
fn an_origin_that_echoes_the_secret_does_not_have_it_shown() {
    let folder = Folder::new("echo");
    let secret = "nginx/1.2345678901234567890";
    let file = folder.write("secret", secret);
    let page = answer("200 OK", &format!("you sent {secret}"));
    let echo = page.replacen(
        "\r\n",
        &format!("\r\nServer: {secret}\r\nVia: {secret}\r\n"),
        1,
    );
    let origin = Recorder::start(&[&echo]);
    for more in [&[][..], &["--json"]] {
        let mut probe = crate::support::command();
        probe
            .args(["probe", &origin.url(), "--secret-file"])
            .arg(&file)
            .args(more);
        let output = probe.output().expect("runs");
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(
            shown.contains("tells: server") && !shown.contains(secret),
            "{shown}"
        );
    }
}

/// How many lines say this, and what they are.
fn lines(report: &crate::asked::Report, part: &str) -> usize {
    let findings = report.json["findings"].as_array().expect("findings");
    let detail =
        |finding: &&serde_json::Value| finding["detail"].as_str().expect("a text").contains(part);
    findings.iter().filter(detail).count()
}

#[test]
fn who_cannot_be_asked_at_all_is_one_line() {
    let closed = HeldPort::new();
    let report = probe(&closed.url(), None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_one_line_but_what_is_skipped(&report, &["right secret"]);
    let plain = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = plain.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer("400 Bad Request", "").as_bytes());
        }
    });
    let (authority, _issued) = localhost("probe-no-tls");
    let url = format!("https://localhost:{port}/");
    let report = probe(
        &url,
        Some(&authority.certificate),
        &["--http-port", &closed.to_string()],
    );
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(lines(&report, "TLS"), 1, "{:#}", report.json);
    let plain_http = format!("plain HTTP at port {closed}");
    assert_one_line_but_what_is_skipped(&report, &["right secret", &plain_http]);
    // A handshake is no request.
    assert_eq!(report.requests(), 0);
}

fn assert_one_line_but_what_is_skipped(report: &crate::asked::Report, told: &[&str]) {
    let findings = report.json["findings"].as_array().expect("findings");
    let others = findings
        .iter()
        .filter(|finding| finding["verdict"] != "skipped");
    let others: Vec<_> = others.map(|finding| &finding["check"]).collect();
    assert_eq!(others, told, "{:#}", report.json);
    let skipped = report.with("skipped");
    for check in [
        "no secret",
        "as X.Shared.Secret",
        "right secret, at the end",
    ] {
        assert!(skipped.contains(&check.to_owned()), "{check}: {skipped:?}");
        let why = report.of(check, "detail");
        assert_eq!(why, "the first request got no answer");
    }
}

#[test]
fn a_400_and_a_403_to_the_right_secret_say_nothing() {
    for (status, part) in [
        ("400 Bad Request", "answers 200 with the secret"),
        ("403 Forbidden", "gateway's address"),
    ] {
        let origin = Recorder::start(&[&answer(status, "")]);
        let report = probe(&origin.url(), None, &[]);
        assert_eq!(report.status, Some(2), "{:#}", report.json);
        assert_eq!(report.with("ok"), [""; 0], "{:#}", report.json);
        assert!(lines(&report, part) > 1, "{:#}", report.json);
        assert_eq!(lines(&report, "--secret-file"), 0, "{:#}", report.json);
    }
}

#[test]
fn holes_have_a_remedy_and_are_counted_in_words() {
    let folder = Folder::new("words");
    let file = folder.write("secret", SECRET);
    let origin = Recorder::start(&[&answer("200 OK", "")]);
    let probe = crate::support::command()
        .args(["probe", &origin.url(), "--secret-file"])
        .arg(&file)
        .output()
        .expect("runs");
    let table = String::from_utf8(probe.stdout).expect("UTF-8");
    assert!(table.contains("\n9 holes"), "{table}");
    // They have one cause, and one remedy.
    let told = |part: &str| table.matches(part).count();
    assert_eq!(told("nothing is checked at all"), 1, "{table}");
    assert_eq!(told("have the origin check it"), 1, "{table}");
    assert_eq!(told("let in, because nothing is checked"), 8, "{table}");
    assert_eq!(told("has this header twice"), 0, "{table}");
}

#[test]
fn an_origin_behind_its_gateway_s_name_is_asked_at_its_own_address() {
    let authority = Authority::new("probe-resolve");
    let issued = authority.issue(Key::EcdsaPkcs8, &["origin.invalid"]);
    let backend = Recorder::start(&[&answer("200 OK", "the application")]);
    let (guard, _) = guarded(&issued, &backend);
    let port = HeldPort::new();
    let closed = port.to_string();
    let at = guard.address.to_string();
    let ca = Some(&*authority.certificate);
    let more = ["--resolve", &at, "--http-port", &closed];
    let report = probe("https://origin.invalid/orders", ca, &more);
    report.assert_clean();
    assert_eq!(report.json["address"], at);
    assert!(
        report.errors.contains(" at 127.0.0.1: "),
        "{}",
        report.errors
    );
    let detail = report.of("certificate", "detail");
    assert!(detail.contains("for origin.invalid, verified"), "{detail}");
    let arrived = backend.requests();
    assert_eq!(arrived.len(), 2, "{arrived:?}");
    for request in &arrived {
        assert!(
            request.contains("\r\nHost: origin.invalid\r\n"),
            "{request}"
        );
    }
    // The port is the URL's where none is named.
    let url = format!("https://origin.invalid:{}/orders", guard.address.port());
    let more = ["--resolve", "127.0.0.1", "--http-port", &closed];
    probe(&url, ca, &more).assert_clean();
    // The certificate has to be for the URL's host all the same.
    let more = ["--resolve", &at, "--http-port", &closed];
    let report = probe("https://another.invalid/", ca, &more);
    assert_eq!(report.with("fault"), ["certificate"], "{:#}", report.json);
    assert_eq!(report.requests(), 0);
    // Loopback hears the secret without TLS where the URL says so, not where a name merely
    // leads there.
    let plain = Guard::start();
    let at = plain.address.to_string();
    let report = probe("http://localhost/protected", None, &["--resolve", &at]);
    report.assert_clean();
    let report = probe("http://origin.invalid/protected", None, &["--resolve", &at]);
    assert_eq!(report.with("fault"), ["transport"], "{:#}", report.json);
    let detail = report.of("right secret", "detail");
    assert_eq!(
        detail,
        "the secret is sent only over https, or where the URL is a loopback address"
    );
}

#[test]
fn whom_to_believe_is_told_by_an_option_or_the_variable() {
    let (authority, issued) = localhost("probe-ca");
    let other = Authority::new("probe-ca-other");
    let backend = Recorder::start(&[&answer("200 OK", "the application")]);
    let (_guard, url) = guarded(&issued, &backend);
    let port = HeldPort::new();
    let closed = port.to_string();
    let more = ["--http-port", &*closed];
    let [right, wrong] = [&authority, &other].map(|authority| {
        let path = authority.certificate.to_str();
        ("ORIGIN_CA", path.expect("UTF-8"))
    });
    probe_with(&url, None, &more, &[right]).assert_clean();
    probe_with(&url, Some(&authority.certificate), &more, &[wrong]).assert_clean();
    let report = probe_with(&url, Some(&other.certificate), &more, &[right]);
    assert_eq!(report.with("fault"), ["certificate"], "{:#}", report.json);
    assert!(report.of("certificate", "detail").contains("--ca-file"));
}

/// Each request there would wait as long as the first.
#[test]
fn a_port_that_stays_silent_is_asked_once() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = silent.local_addr().expect("an address");
    let port = address.port().to_string();
    let (authority, _issued) = localhost("probe-silent");
    let accepted = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&accepted);
    std::thread::spawn(move || {
        for stream in silent.incoming().map_while(Result::ok) {
            kept.lock().expect("connections").push(stream);
        }
    });
    let report = probe(
        &format!("https://localhost:{port}/"),
        Some(&authority.certificate),
        &["--http-port", &HeldPort::new().to_string()],
    );
    assert_eq!(accepted.lock().expect("connections").len(), 1);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(report.json["result"], "inconclusive");
    assert_eq!(report.with("inconclusive").len(), 11, "{:#}", report.json);
    assert_eq!(report.of("right secret", "answer"), "silence");
    for check in ["no secret", "right secret, at the end"] {
        let detail = report.of(check, "detail");
        assert!(detail.contains("not asked: "), "{check}: {detail}");
    }
}
