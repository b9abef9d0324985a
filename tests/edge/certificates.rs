//! An origin that cannot show that it is the origin is sent nothing.

use crate::authority::{Authority, Key};
use crate::both::{self, gateway, request};
use crate::scripted::{Backend, ok};
use crate::support::keys::KeyFile;
use crate::support::metrics::wait_for;
use crate::support::{Guard, SECRET};
use crate::tls_server::TlsServer;

const NAME: &str = "origin.example";

fn toward(keys: &KeyFile, server: &TlsServer, ca: &Authority, more: &[(&str, &str)]) -> Guard {
    let ca = ca.certificate.to_str().expect("UTF-8");
    let variables = [("ORIGIN_CA", ca), ("ORIGIN_SERVER_NAME", NAME)];
    gateway(keys, &server.url(), &[&variables, more].concat())
}

#[test]
fn an_origin_whose_certificate_is_not_believed_gets_nothing_of_a_request() {
    let keys = KeyFile::new("edge-certificates");
    let key = keys.add("alice", &[]);
    let (good, other) = (Authority::new("edge-good"), Authority::new("edge-other"));
    let of_another_name = good.issue(Key::EcdsaPkcs8, &["another.example"]);
    let of_nobody = other.issue(Key::EcdsaPkcs8, &[NAME]);
    let expired = good.issue_expired(NAME);
    for (issued, reason, told) in [
        (
            of_another_name,
            "certificate_of_another_name",
            "is for another.example, and not for origin.example",
        ),
        (
            of_nobody,
            "unknown_issuer",
            "was issued by an authority that is not trusted here",
        ),
        (expired, "expired_certificate", "has ended"),
    ] {
        let server = TlsServer::start(&issued, None);
        let watched = [("ADMIN_LISTEN", "127.0.0.1:0")];
        let mut gateway = toward(&keys, &server, &good, &watched);
        let admin = gateway.admin_before_gateway();
        for line in ["GET /", "POST /"] {
            let answer = gateway.ask(request(line, &key, "Content-Length: 0\r\n"));
            assert_eq!(answer.status, 502, "{reason}: {answer:?}");
            assert_eq!(answer.body, br#"{"error":"Bad gateway"}"#);
        }
        let line = gateway.wait_for_log(|line| line.contains("backend_failed"));
        assert!(line.contains("reason=tls"), "{line}");
        let detail = format!(" detail=\"{reason}\" error=\"the certificate {told}\"");
        assert!(line.ends_with(&detail), "{line}");
        let url = server.url();
        let origin = url.strip_prefix("https://").expect("a scheme");
        let counted = format!("backend_failures_total{{backend=\"{origin}\",reason=\"tls\"}} 2");
        wait_for(admin, &[counted]);
        assert!(server.connections() > 0 && server.received().is_empty());
    }
    // Or nothing would have come anyway.
    let server = TlsServer::start(&good.issue(Key::EcdsaPkcs8, &[NAME]), None);
    let gateway = toward(&keys, &server, &good, &[]);
    assert_eq!(gateway.ask(request("GET /", &key, "")).status, 200);
    assert!(server.received().contains(SECRET));
}

#[test]
fn an_origin_may_want_a_certificate_of_the_gateway() {
    let keys = KeyFile::new("edge-mutual");
    let key = keys.add("alice", &[]);
    let (of_origin, of_clients) = (
        Authority::new("edge-origin"),
        Authority::new("edge-clients"),
    );
    let server = TlsServer::start(
        &of_origin.issue(Key::EcdsaPkcs8, &[NAME]),
        Some(&of_clients),
    );
    let own = of_clients.issue(Key::EcdsaPkcs8, &["gateway.example"]);
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, own_key) = (path(&own.certificate), path(&own.key));
    let pair = [
        ("ORIGIN_CLIENT_CERT", &*certificate),
        ("ORIGIN_CLIENT_KEY", &*own_key),
    ];
    let gateway = toward(&keys, &server, &of_origin, &pair);
    assert_eq!(gateway.ask(request("GET /", &key, "")).status, 200);
    let received = server.received();
    assert!(received.contains(SECRET), "{received}");

    let without = toward(&keys, &server, &of_origin, &[]);
    assert_eq!(without.ask(request("GET /", &key, "")).status, 502);
    assert_eq!(server.received(), received);
    without.wait_for_log(|line| {
        line.ends_with(
            " detail=\"alert\" error=\"the other side wants a certificate (TLS alert \
             certificate_required, 116)\"",
        )
    });
}

/// The two halves of this binary as a pair: TLS both ways, by certificates of two authorities.
#[test]
fn a_guarded_origin_lets_in_the_gateway_with_its_certificate_alone() {
    let keys = KeyFile::new("edge-pair");
    let key = keys.add("alice", &[]);
    let (of_origin, of_clients) = (
        Authority::new("edge-pair-origin"),
        Authority::new("edge-pair-clients"),
    );
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    let clients = path(&of_clients.certificate);
    let asks = [
        ("TLS_CLIENT_CA", &*clients),
        ("TLS_CLIENT_NAMES", "gateway.example"),
    ];
    let origin = both::origin(&of_origin.issue(Key::EcdsaPkcs8, &[NAME]), &url, &asks);
    let origin_url = format!("https://{}", origin.address);
    let ca = path(&of_origin.certificate);
    let toward = |issued: Option<&crate::authority::Issued>| {
        let own = issued.map(|issued| (path(&issued.certificate), path(&issued.key)));
        let mut variables = vec![("ORIGIN_CA", &*ca), ("ORIGIN_SERVER_NAME", NAME)];
        if let Some((certificate, key)) = &own {
            variables.push(("ORIGIN_CLIENT_CERT", certificate));
            variables.push(("ORIGIN_CLIENT_KEY", key));
        }
        gateway(&keys, &origin_url, &variables)
    };
    let own = of_clients.issue(Key::EcdsaPkcs8, &["gateway.example"]);
    let trusted = toward(Some(&own));
    for _ in 0..3 {
        let answer = trusted.ask(request("GET /", &key, ""));
        assert_eq!((answer.status, &*answer.body), (200, &b"arrived"[..]));
    }
    // Another name of the same authority, the right name of another one, and none.
    let of_another_name = of_clients.issue(Key::EcdsaPkcs8, &["another.example"]);
    let of_nobody = of_origin.issue(Key::EcdsaPkcs8, &["gateway.example"]);
    for issued in [Some(&of_another_name), Some(&of_nobody), None] {
        let answer = toward(issued).ask(request("GET /", &key, ""));
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    origin.wait_for_log(|line| line.contains("denied reason=unknown_client_certificate"));
    origin.wait_for_log(|line| line.contains("denied reason=no_client_certificate"));
    assert_eq!(trusted.ask(request("GET /", &key, "")).status, 200);
}
