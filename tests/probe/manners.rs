//! How the probe behaves: what it announces, what it sends, when it stops, how it ends.

use crate::asked::{probe, secret_file, without_secret};
use crate::authority::{Authority, Key};
use crate::recorder::{Recorder, answer};
use crate::support::folder::Folder;
use crate::support::{Guard, SECRET, command};

#[test]
fn it_announces_what_it_sends_and_names_itself() {
    let denied = answer("401 Unauthorized", "");
    let origin = Recorder::start(&[&answer("200 OK", "in"), &denied]);
    let others: Vec<_> = (0..18).map(|_| Recorder::start(&[&denied])).collect();
    let ports: Vec<_> = others.iter().map(Recorder::port).collect();
    let report = probe(&origin.url(), None, &["--backend-ports", &ports.join(",")]);
    let arrived = origin.requests();
    let elsewhere: Vec<_> = others.iter().flat_map(Recorder::requests).collect();
    let all = [arrived.clone(), elsewhere.clone()].concat();
    assert!(all.len() <= 30, "{}", all.len());
    assert_eq!(report.requests(), all.len() as u64);
    let version = env!("CARGO_PKG_VERSION");
    for request in &all {
        let is_read = request.starts_with("GET / ") || request.starts_with("HEAD / ");
        assert!(is_read, "{request}");
        let agent = format!("\r\nUser-Agent: origin-guard-probe/{version}\r\n");
        assert!(request.contains(&agent), "{request}");
    }
    assert!(
        elsewhere
            .iter()
            .all(|request| !request.to_lowercase().contains("secret"))
    );
    let right = format!("\r\nX-Shared-Secret: {SECRET}\r\n\r\n");
    let right = all.iter().filter(|request| request.ends_with(&right));
    let right = right
        .filter(|request| request.matches("X-Shared-Secret").count() == 1)
        .count();
    assert_eq!(right, 2);
    let announced = format!(
        "at most {} requests; at most {} of them are denied, or all if the origin refuses",
        all.len(),
        all.len() - 2
    );
    assert!(report.errors.contains(&announced), "{}", report.errors);
    // It has refused the secret at the end.
    assert_eq!(report.json["denials"], all.len() - 1);
    assert!(report.errors.contains("fail2ban"), "{}", report.errors);
    // The last one was refused, so that nothing in between is a pass but a clear 401.
    assert_eq!(report.with("inconclusive"), ["right secret, at the end"]);
    assert_eq!(report.status, Some(2));
}

#[test]
fn being_shut_out_is_no_pass() {
    let (granted, denied) = (answer("200 OK", "in"), answer("401 Unauthorized", ""));
    let (forbidden, limited) = (
        answer("403 Forbidden", ""),
        answer("429 Too Many Requests", ""),
    );
    // Forbidden from some request on, the right secret too.
    let origin = Recorder::start(&[&granted, &denied, &denied, &forbidden]);
    let report = probe(&origin.url(), None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(report.with("hole"), [""; 0]);
    for check in ["empty secret", "wrong secret", "as X_Shared_Secret"] {
        assert_eq!(report.of(check, "verdict"), "inconclusive", "{check}");
    }
    // Forbidden all the way, and the right secret is let in at the end: that is a denial.
    let answers = [&[&*granted][..], &[&*forbidden; 9], &[&*granted]].concat();
    probe(&Recorder::start(&answers).url(), None, &[]).assert_clean();
    // Whoever has had enough is left alone.
    let origin = Recorder::start(&[&granted, &denied, &limited]);
    let report = probe(&origin.url(), None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
    assert_eq!(origin.requests().len(), 3);
    assert_eq!(report.of("wrong secret", "verdict"), "skipped");
    // Nobody is there.
    let closed = crate::support::port::HeldPort::new();
    let report = without_secret(&closed.url(), None, &[]);
    assert_eq!(
        (report.status, report.requests()),
        (Some(2), 0),
        "{:#}",
        report.json
    );
    let report = without_secret("https://no-such-host.invalid/", None, &[]);
    assert_eq!(report.status, Some(2), "{:#}", report.json);
}

#[test]
fn answers_that_say_nothing_are_inconclusive() {
    for (status, code) in [
        ("404 Not Found", 2),
        ("302 Found", 2),
        ("503 Service Unavailable", 2),
    ] {
        let origin = Recorder::start(&[&answer(status, "")]);
        let report = probe(&origin.url(), None, &[]);
        assert_eq!(report.status, Some(code), "{status}: {:#}", report.json);
        assert_eq!(report.with("hole"), [""; 0], "{status}");
    }
    // A path that the application does not have, behind the check.
    let (missing, denied) = (answer("404 Not Found", ""), answer("401 Unauthorized", ""));
    let answers = [&[&*missing][..], &[&*denied; 9], &[&*missing]].concat();
    probe(&Recorder::start(&answers).url(), None, &[]).assert_clean();
    // Everybody is let in.
    let report = probe(&Recorder::start(&[&answer("200 OK", "")]).url(), None, &[]);
    assert_eq!(report.with("hole").len(), 9, "{:#}", report.json);
    // The secret is another one.
    let report = probe(&Recorder::start(&[&denied]).url(), None, &[]);
    assert_eq!(report.status, Some(1), "{:#}", report.json);
    assert_eq!(
        report.with("fault"),
        ["right secret", "right secret, at the end"]
    );
}

#[test]
fn an_origin_that_echoes_the_secret_does_not_have_it_printed() {
    let echo = format!(
        "HTTP/1.1 200 OK\r\nServer: {}{SECRET}\r\nX-Powered-By: {SECRET}/1.2\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(60)
    );
    // The helper looks for the secret in all that is said.
    let report = probe(&Recorder::start(&[&echo]).url(), None, &[]);
    let detail = report.of("tells: x-powered-by", "detail");
    let left_out = "(left out: it holds a part of the secret); it tells";
    assert!(detail.starts_with(left_out), "{detail}");
    // A part of it in any case is enough.
    let part = SECRET[4..12].to_uppercase();
    let echo = format!(
        "HTTP/1.1 200 OK\r\nServer: pre{part}\r\nVia: pre{}\r\nContent-Length: 0\r\n\r\n",
        &SECRET[1..]
    );
    let report = probe(&Recorder::start(&[&echo]).url(), None, &[]);
    for check in ["tells: server", "tells: via"] {
        let detail = report.of(check, "detail");
        assert_eq!(detail, "(left out: it holds a part of the secret)");
    }
    // So it is in a certificate.
    let authority = Authority::new("probe-parts");
    let name = format!("{}.example", SECRET.to_uppercase());
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost", &name]);
    let [certificate, key] = issued.variables();
    let listen = ("LISTEN", "tls:127.0.0.1:0");
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), listen, certificate, key]);
    let url = format!("https://localhost:{}/protected", guard.address.port());
    let report = probe(&url, Some(&authority.certificate), &[]);
    let detail = report.of("certificate", "detail");
    assert!(detail.starts_with("for (left out: "), "{detail}");
}

#[test]
fn the_header_is_the_one_that_is_named() {
    let origin = Recorder::start(&[&answer("401 Unauthorized", "")]);
    let folder = Folder::new("probe-header");
    let secret = secret_file(&folder);
    let run = |arguments: &[&str], variable: &str| {
        let output = command()
            .args(["probe", &origin.url(), "--secret-file"])
            .arg(&secret)
            .args(arguments)
            .env("SECRET_HEADER", variable)
            .output()
            .expect("runs");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("UTF-8"),
        )
    };
    let (_, said) = run(&[], "X-Azure-FDID");
    assert!(
        said.contains("header X-Azure-FDID\n") && said.contains("as X_Azure_FDID"),
        "{said}"
    );
    let (_, said) = run(&["--header", "Token"], "X-Azure-FDID");
    assert!(
        said.contains("header Token\n") && said.contains("the name of the header has no hyphen"),
        "{said}"
    );
    let sent = origin.requests().join("");
    assert!(sent.contains("\r\nX-Azure-FDID: ") && sent.contains("\r\nToken: "));
    assert_eq!(run(&["--header", "A B"], "").0, Some(78));
    assert_eq!(run(&[], "Host").0, Some(78));
}

#[test]
fn a_table_says_it_to_people() {
    let guard = Guard::start();
    let folder = Folder::new("probe-table");
    let url = format!("http://{}/protected", guard.address);
    let output = command()
        .args(["probe", &url, "--secret-file"])
        .arg(secret_file(&folder))
        .output()
        .expect("runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        &format!(
            "{url} (127.0.0.1:{}), header X-Shared-Secret\n",
            guard.address.port()
        ),
        "ok       right secret                   200  let in\n",
        "ok       no secret                      401  denied\n",
        "\n11 requests sent, 9 of them denied (401, 403 or 429); 3 checks skipped\n",
        "\nnothing got through that must not\n",
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
}

#[test]
fn what_is_wrong_with_the_command_is_said() {
    let folder = Folder::new("probe-usage");
    let bad = folder.write("bad", "SHARED_SECRET=x\n");
    let bad = bad.to_str().expect("UTF-8");
    for (arguments, status, said) in [
        (&["probe"][..], 64, "needs a URL"),
        (
            &["probe", "origin.example"],
            64,
            "https://origin.example/orders",
        ),
        (&["probe", "https://a/", "https://b/"], 64, "one URL"),
        (
            &["probe", "https://a/", "--backend-ports", "0"],
            64,
            "not a port",
        ),
        (
            &["probe", "https://a/", "--backend-ports", "443"],
            64,
            "own port",
        ),
        (
            &["probe", "https://a:8443/", "--http-port", "8443"],
            64,
            "--http-port: 8443 is the URL's own port",
        ),
        (
            &["probe", "https://a/", "--http-port", "x"],
            64,
            "not a port",
        ),
        (
            &["probe", "https://a/", "--resolve", "a.example"],
            64,
            "203.0.113.7:8443",
        ),
        (
            &[
                "probe",
                "https://a/",
                "--resolve",
                "[::1]:8443",
                "--backend-ports",
                "8443",
            ],
            64,
            "own port",
        ),
        (&["probe", "https://a/", "--no"], 64, "--no"),
        (
            &["probe", "http://127.0.0.1:1/", "--secret-file", "/nowhere"],
            78,
            "--secret-file",
        ),
        (
            &["probe", "http://127.0.0.1:1/", "--secret-file", bad],
            78,
            "line 1",
        ),
    ] {
        let output = command().args(arguments).output().expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {errors}"
        );
        assert!(errors.contains(said), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty());
    }
}
