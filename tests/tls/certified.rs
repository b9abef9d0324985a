//! Clients that have to present a certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};

use crate::authority::{Authority, Issued, Key};
use crate::backend::Backend;
use crate::client::{TlsClient, config};
use crate::guard;
use crate::support::metrics::wait_for;
use crate::support::{Answer, Guard, SECRET, command, complaints, granted_request};

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

struct Setup {
    authority: Authority,
    server: Issued,
    gateway: Issued,
    other: Issued,
}

fn setup(name: &str) -> Setup {
    let authority = Authority::new(name);
    let names = "DNS:Gateway.test,URI:spiffe://test/gateway";
    Setup {
        server: authority.issue(Key::EcdsaPkcs8, &["localhost"]),
        gateway: authority.issue_as("gateway", Key::EcdsaPkcs8, names, 60),
        other: authority.issue_as("other", Key::RsaPkcs8, "DNS:other.test", 60),
        authority,
    }
}

impl Setup {
    fn guard(&self, more: &[(&str, &str)]) -> Guard {
        let ca = self.authority.path("ca.pem");
        guard(&self.server, &[&[("TLS_CLIENT_CA", &*ca)], more].concat())
    }

    fn config(
        &self,
        version: &'static SupportedProtocolVersion,
        own: &Issued,
    ) -> Arc<ClientConfig> {
        Arc::new(config(&self.authority, &[version], Some(own)))
    }

    fn client(&self, guard: &Guard, own: &Issued) -> TlsClient {
        TlsClient::connect(guard, &self.config(BOTH[1], own), "localhost")
    }
}

/// Asks, and returns the answer's status or what ended the connection.
fn ask(client: &mut TlsClient) -> Result<u16, String> {
    use std::io::{Read as _, Write as _};
    client
        .write_all(granted_request().as_bytes())
        .and_then(|()| client.flush())
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match client.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            Ok(_) => return Err("the end".into()),
            Err(error) => return Err(error.to_string()),
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    Ok(text[9..12].parse().expect("a status"))
}

fn denied(guard: &Guard, reason: &str) {
    let wanted = format!("denied reason={reason} client=127.0.0.1 ");
    guard.wait_for_log(|line| line.starts_with(&wanted));
}

#[test]
fn without_one_of_the_authority_nobody_gets_in() {
    let setup = setup("certified");
    let stranger = Authority::new("stranger");
    let strange = stranger.issue_as("strange", Key::EcdsaPkcs8, "DNS:gateway.test", 60);
    let of_authority = Issued {
        certificate: setup.authority.path("ca.pem").into(),
        key: setup.authority.path("ca.key").into(),
    };
    for version in BOTH {
        let guard = setup.guard(&[("TLS_CLIENT_NAMES", "gateway.test")]);
        let connect = |config: Arc<ClientConfig>| TlsClient::connect(&guard, &config, "localhost");
        let mut client = connect(setup.config(version, &setup.gateway));
        assert_eq!(ask(&mut client), Ok(200), "{version:?}");

        let mut client = connect(Arc::new(config(&setup.authority, &[version], None)));
        let error = ask(&mut client).expect_err("refused");
        assert!(
            error.contains("CertificateRequired"),
            "{version:?}: {error}"
        );
        denied(&guard, "no_client_certificate");

        // A client that looks at what the server asks for would present nothing.
        let mut client = connect(setup.config(version, &setup.other));
        let error = ask(&mut client).expect_err("refused");
        assert!(error.contains("AccessDenied"), "{version:?}: {error}");
        denied(&guard, "unknown_client_certificate");
        // Who has the right authority and another name is told what to look at.
        guard.wait_for_log(|line| {
            line.ends_with(
                "error=\"the certificate is for none of the names that are let in \
                 (TLS_CLIENT_NAMES)\"",
            )
        });
        drop(guard);

        let guard = setup.guard(&[]);
        let connect = |config: Arc<ClientConfig>| TlsClient::connect(&guard, &config, "localhost");
        let mut client = connect(setup.config(version, &strange));
        let error = ask(&mut client).expect_err("refused");
        assert!(error.contains("UnknownCA"), "{version:?}: {error}");
        denied(&guard, "unknown_client_certificate");
        // The authority's own: the client is who has to show another one.
        let mut client = connect(setup.config(version, &of_authority));
        ask(&mut client).expect_err("refused");
        guard.wait_for_log(|line| {
            line.starts_with("denied reason=unknown_client_certificate ")
                && line.contains("its owner has to show one that is none (CA:FALSE)")
        });
        let mut client = connect(setup.config(version, &setup.other));
        assert_eq!(ask(&mut client), Ok(200), "{version:?}");
    }
}

#[test]
fn a_name_is_one_of_dns_in_any_case_or_a_uri() {
    let setup = setup("names-certified");
    for (names, is_good) in [
        ("gateway.test", true),
        ("GATEWAY.TEST, other.example", true),
        ("spiffe://test/gateway", true),
        ("spiffe://test/gatewa", false),
        ("spiffe://test/gateway/", false),
        ("test", false),
        (".test", false),
        ("*.test", false),
    ] {
        let guard = setup.guard(&[("TLS_CLIENT_NAMES", names)]);
        let mut client = setup.client(&guard, &setup.gateway);
        assert_eq!(ask(&mut client).is_ok(), is_good, "{names}");
    }
}

#[test]
fn nothing_is_resumed_there() {
    let setup = setup("resumed");
    let guard = setup.guard(&[]);
    for version in BOTH {
        let config = setup.config(version, &setup.gateway);
        for _ in 0..3 {
            let mut client = TlsClient::connect(&guard, &config, "localhost");
            assert_eq!(ask(&mut client), Ok(200));
            assert_eq!(
                client.tls.handshake_kind(),
                Some(HandshakeKind::Full),
                "{version:?}"
            );
        }
    }
}

#[test]
fn the_secret_is_needed_beside_the_certificate() {
    let setup = setup("both");
    let guard = setup.guard(&[]);
    let mut client = setup.client(&guard, &setup.gateway);
    let answer = client.ask("GET /protected HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 401);
}

#[test]
fn require_certificate_lets_the_secret_be_missing_and_not_wrong() {
    let setup = setup("alone");
    let backend = Backend::start();
    for backend in [None, Some(backend.url())] {
        let mut more = vec![("REQUIRE", "certificate"), ("ADMIN_LISTEN", "127.0.0.1:0")];
        more.extend(backend.iter().map(|url| ("BACKEND", &**url)));
        let guard = setup.guard(&more);
        let mut client = setup.client(&guard, &setup.gateway);
        for (field, status) in [
            (String::new(), 200),
            (format!("X-Shared-Secret: {SECRET}\r\n"), 200),
            ("X-Shared-Secret: wrong\r\n".into(), 401),
            ("X-Shared-Secret: \r\n".into(), 200),
            (
                format!("X-Shared-Secret: {SECRET}\r\nX-Shared-Secret: {SECRET}\r\n"),
                401,
            ),
        ] {
            let head = format!("GET /protected HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
            let answer: Answer = client.ask(head);
            assert_eq!(answer.status, status, "{field} {backend:?}");
        }
        let counts = [("none", 2), ("current", 1), ("previous", 0)]
            .map(|(secret, count)| format!("secret_used_total{{secret=\"{secret}\"}} {count}"));
        wait_for(guard.second_address(), &counts);
        let mut client = TlsClient::plain(&guard, &setup.authority);
        ask(&mut client).expect_err("refused without a certificate");
    }
}

#[test]
fn what_makes_no_sense_is_said_with_its_remedy() {
    let setup = setup("senseless");
    let ca = setup.authority.path("ca.pem");
    let leaf = setup.server.key.to_str().expect("UTF-8");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("REQUIRE", "certificate")],
            "REQUIRE: clients are not asked for a certificate; set TLS_CLIENT_CA",
        ),
        (
            &[("REQUIRE", "nothing")],
            "REQUIRE: \"nothing\" is neither secret nor certificate",
        ),
        (
            &[("TLS_CLIENT_NAMES", "a.test")],
            "TLS_CLIENT_NAMES: clients are not asked for a certificate",
        ),
        (
            &[("TLS_CLIENT_CRL", &ca)],
            "TLS_CLIENT_CRL: clients are not asked for a certificate",
        ),
        (
            &[("TLS_CLIENT_CA", "ca.pem")],
            "/ca.pem) cannot be read: No such file",
        ),
        (
            &[("TLS_CLIENT_CA", leaf)],
            "holds no certificate of an authority",
        ),
        (
            &[("TLS_CLIENT_CA", &ca), ("TLS_CLIENT_CRL", &ca)],
            "holds no list of revoked",
        ),
        (
            &[
                ("TLS_CLIENT_CA", &ca),
                ("REQUIRE", "certificate"),
                ("LISTEN", "tls:127.0.0.1:0,127.0.0.1:1"),
            ],
            "REQUIRE: 127.0.0.1:1 asks for no certificate",
        ),
    ];
    for (variables, wanted) in cases {
        let output = command()
            .args(["check", "--local"])
            .env("SHARED_SECRET", SECRET)
            .env("LISTEN", "tls:127.0.0.1:0")
            .envs(setup.server.variables())
            .envs(variables.iter().copied())
            .output()
            .expect("runs");
        let errors = complaints(&output.stdout);
        assert_eq!(output.status.code(), Some(78), "{wanted}: {errors}");
        assert!(errors.contains(wanted), "{wanted}: {errors}");
    }
}

#[test]
fn revoked_unknown_and_outdated_deny() {
    let setup = setup("revoked");
    let authority = &setup.authority;
    let stranger = Authority::new("revoked-stranger");
    let times = [
        "-crl_lastupdate",
        "20240101000000Z",
        "-crl_nextupdate",
        "20240201000000Z",
    ];
    let cases: [(&Path, bool, bool); 4] = [
        (&authority.revocations("none.crl", &[]), true, true),
        (
            &authority.revocations("other.crl", &[&setup.other]),
            true,
            false,
        ),
        (
            &authority.revocations_at("old.crl", &[], &times),
            false,
            false,
        ),
        (&stranger.revocations("strange.crl", &[]), false, false),
    ];
    for (list, gateway, other) in cases {
        let guard = setup.guard(&[("TLS_CLIENT_CRL", list.to_str().expect("UTF-8"))]);
        for (own, is_good) in [(&setup.gateway, gateway), (&setup.other, other)] {
            let mut client = setup.client(&guard, own);
            assert_eq!(ask(&mut client).is_ok(), is_good, "{list:?}");
        }
        if !other {
            denied(&guard, "unknown_client_certificate");
        }
    }
}

#[test]
fn who_no_longer_passes_is_cut_off_after_a_reload() {
    let setup = setup("cut");
    let authority = &setup.authority;
    let backend = Backend::start();
    for backend in [None, Some(backend.url())] {
        let list = authority.revocations("cut.crl", &[]);
        let mut more = vec![("TLS_CLIENT_CRL", list.to_str().expect("UTF-8"))];
        more.extend(backend.iter().map(|url| ("BACKEND", &**url)));
        let guard = setup.guard(&more);
        let mut gateway = setup.client(&guard, &setup.gateway);
        let mut other = setup.client(&guard, &setup.other);
        let head =
            format!("GET /7 HTTP/1.1\r\nHost: localhost\r\nX-Shared-Secret: {SECRET}\r\n\r\n");
        let wanted = if backend.is_some() { 200 } else { 404 };
        assert_eq!(gateway.ask(&head).status, wanted);
        assert_eq!(other.ask(&head).status, wanted);
        authority.revocations("cut.crl", &[&setup.other]);
        guard.wait_for_log(|line| line.contains("certificates_reloaded changed=true"));
        assert_eq!(ask(&mut other), Err("the end".into()), "with close_notify");
        denied(&guard, "unknown_client_certificate");
        assert_eq!(gateway.ask(&head).status, wanted);
        ask(&mut setup.client(&guard, &setup.other)).expect_err("refused");
    }
}

#[test]
fn the_gateway_asks_for_none() {
    let setup = setup("gateway-certified");
    let guard = setup.guard(&[("LISTEN", "none"), ("GATEWAY_LISTEN", "tls:127.0.0.1:0")]);
    let mut client = TlsClient::plain(&guard, &setup.authority);
    let answer = client.ask("GET /authorize HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 500, "it has no keys");
}
