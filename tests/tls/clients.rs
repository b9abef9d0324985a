//! The clients that people have: openssl, curl, Python, Node, Java.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::authority::{Authority, Key};
use crate::backend::{Backend, checksum, pattern};
use crate::support::{Guard, SECRET, granted_request, installed, path_of};
use crate::{guard, localhost};

fn said(output: &Output) -> String {
    let text = [&*output.stdout, &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn s_client(guard: &Guard, authority: &Authority, more: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &guard.address.to_string()])
        .args([
            "-CAfile",
            &authority.path("ca.pem"),
            "-verify_return_error",
            "-ign_eof",
        ])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = child.stdin.take().expect("piped");
    // One whose handshake fails reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    said(&child.wait_with_output().expect("its end"))
}

#[test]
fn openssl_s_client() {
    let (authority, guard) = localhost("openssl", &[]);
    let closing = granted_request().replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let more = [version, "-servername", "localhost", "-alpn", "http/1.1"];
        let text = s_client(&guard, &authority, &more, &closing);
        assert!(text.contains(r#"{"message":"Access granted"}"#), "{text}");
        assert!(text.contains(name), "{text}");
        assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
        assert!(text.contains("Verification: OK"), "{text}");
        // It ends with close_notify, which s_client tells of so.
        assert!(text.contains("closed"), "{text}");
    }
    let text = s_client(&guard, &authority, &["-alpn", "h2"], "");
    assert!(text.contains("no application protocol"), "{text}");
    for version in ["-tls1", "-tls1_1"] {
        let more = [version, "-cipher", "DEFAULT:@SECLEVEL=0"];
        let text = s_client(&guard, &authority, &more, "");
        assert!(text.contains("SSL alert number"), "{text}");
    }
}

#[test]
fn openssl_resumes_by_its_ticket() {
    let (authority, guard) = localhost("openssl-ticket", &[]);
    let session = authority.path("session");
    let closing = granted_request().replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for version in ["-tls1_2", "-tls1_3"] {
        let first = s_client(
            &guard,
            &authority,
            &[version, "-sess_out", &session],
            &closing,
        );
        assert!(first.contains("New, TLSv1"), "{first}");
        let second = s_client(
            &guard,
            &authority,
            &[version, "-sess_in", &session],
            &closing,
        );
        assert!(second.contains("Reused, TLSv1"), "{second}");
    }
}

#[test]
fn curl() {
    if !installed("curl", "run: apt-get install curl") {
        return;
    }
    let backend = Backend::start();
    let (authority, alone) = localhost("curl", &[]);
    let (other, front) = localhost("curl-front", &[("BACKEND", &backend.url())]);
    let curl = |guard: &Guard, authority: &Authority, path: &str, more: &[&str]| {
        let url = format!("https://localhost:{}{path}", guard.address.port());
        let output = Command::new("curl")
            .args([
                "-sS",
                "--noproxy",
                "*",
                "--cacert",
                &authority.path("ca.pem"),
            ])
            .args([
                "--resolve",
                &format!("localhost:{}:127.0.0.1", guard.address.port()),
            ])
            .args(["-H", &format!("X-Shared-Secret: {SECRET}")])
            .args(more)
            .arg(url)
            .output()
            .expect("curl runs");
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"], &["--http2"]] {
        let body = curl(&alone, &authority, "/protected", version);
        assert_eq!(body, br#"{"message":"Access granted"}"#, "{version:?}");
    }
    let body = pattern(5_000_000);
    let file = authority.path("body");
    std::fs::write(&file, &body).expect("written");
    let answer = curl(&front, &other, "/up", &["-T", &file]);
    assert_eq!(answer, format!("5000000 {}", checksum(&body)).into_bytes());
    assert_eq!(curl(&front, &other, "/5000000", &[]), body);
}

#[test]
fn python() {
    if !installed("python3", "run: apt-get install python3") {
        return;
    }
    let backend = Backend::start();
    let (authority, guard) = localhost("python", &[("BACKEND", &backend.url())]);
    run(
        "python3",
        Path::new("tests/tls/client.py"),
        &guard,
        &authority,
    );
}

#[test]
fn node() {
    let program = if path_of("nodejs").is_some() {
        "nodejs"
    } else {
        "node"
    };
    if !installed(program, "run: apt-get install nodejs") {
        return;
    }
    let backend = Backend::start();
    let (authority, guard) = localhost("node", &[("BACKEND", &backend.url())]);
    run(
        program,
        Path::new("tests/tls/client.js"),
        &guard,
        &authority,
    );
}

fn run(program: &str, script: &Path, guard: &Guard, authority: &Authority) {
    let output = Command::new(program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg(guard.address.port().to_string())
        .args([&authority.path("ca.pem"), SECRET])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}

#[test]
fn java() {
    // A JDK compiles the file; a JRE alone does not.
    if path_of("javac").is_none() {
        return crate::support::say(
            "SKIPPED: needs a JDK; run: apt-get install default-jdk-headless",
        );
    }
    let authority = Authority::new("java");
    let issued = authority.issue(Key::RsaPkcs8, &["localhost"]);
    let guard = guard(&issued, &[]);
    run(
        "java",
        Path::new("tests/tls/Client.java"),
        &guard,
        &authority,
    );
}

#[test]
fn sslyze_finds_what_mozilla_calls_intermediate() {
    let sslyze = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tlslite/bin/sslyze");
    if !sslyze.exists() {
        return crate::support::skip(
            "needs sslyze; run: python3 -m venv target/tlslite && target/tlslite/bin/pip install \
             sslyze",
        );
    }
    let (_authority, guard) = localhost("sslyze", &[]);
    let output = Command::new(sslyze)
        .arg("--mozilla_config=intermediate")
        .arg(guard.address.to_string())
        .output()
        .expect("sslyze runs");
    let text = said(&output);
    let found: Vec<_> = text
        .lines()
        .skip_while(|line| !line.contains("COMPLIANCE AGAINST TLS CONFIGURATION"))
        .filter_map(|line| line.trim().strip_prefix("* "))
        // No authority of the web has issued it, nor is it for the address.
        .filter(|line| {
            !line.starts_with("certificate_path_validation")
                && !line.starts_with("certificate_hostname_validation")
        })
        .collect();
    assert!(
        text.contains("COMPLIANCE AGAINST TLS CONFIGURATION"),
        "{text}"
    );
    assert!(found.is_empty(), "{found:#?}");
}
