//! Handshakes: versions, keys, names, protocols, tickets.

use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion};

use crate::authority::{Authority, Key};
use crate::client::{TlsClient, config};
use crate::support::{Guard, SECRET, granted_request};
use crate::{guard, localhost};

const BOTH: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn each_kind_of_key_serves_in_both_versions() {
    let authority = Authority::new("keys");
    for key in [
        Key::EcdsaPkcs8,
        Key::EcdsaSec1,
        Key::P384Pkcs8,
        Key::RsaPkcs8,
        Key::RsaPkcs1,
        Key::Ed25519Pkcs8,
    ] {
        let issued = authority.issue(key, &["localhost"]);
        let guard = guard(&issued, &[]);
        for version in BOTH {
            let config = Arc::new(config(&authority, &[version], None));
            let mut client = TlsClient::connect(&guard, &config, "localhost");
            let answer = client.ask(granted_request());
            assert_eq!(answer.status, 200, "{key:?} {version:?}");
            assert_eq!(client.tls.protocol_version(), Some(version.version));
        }
    }
}

#[test]
fn the_name_chooses_the_certificate_and_the_first_one_is_for_the_others() {
    let authority = Authority::new("names");
    let one = authority.issue(Key::EcdsaPkcs8, &["one.test", "localhost"]);
    let two = authority.issue(Key::RsaPkcs8, &["two.test", "*.two.test"]);
    let join =
        |a: &std::path::Path, b: &std::path::Path| format!("{},{}", a.display(), b.display());
    let certificates = join(&one.certificate, &two.certificate);
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "tls:127.0.0.1:0"),
        ("TLS_CERT", &certificates),
        ("TLS_KEY", &join(&one.key, &two.key)),
    ]);
    let config = Arc::new(config(&authority, &BOTH, None));
    for (name, is_good) in [
        ("one.test", true),
        ("ONE.test", true),
        ("two.test", true),
        ("a.two.test", true),
        ("localhost", true),
        // The first one answers, and is not for it.
        ("a.b.two.test", false),
        ("three.test", false),
    ] {
        let mut client = TlsClient::connect(&guard, &config, name);
        let made = client.handshake();
        assert_eq!(made.is_ok(), is_good, "{name}: {made:?}");
        if let Err(error) = made {
            assert!(error.to_string().contains("certificate"), "{name}: {error}");
            assert!(error.to_string().contains("one.test"), "{name}: {error}");
        }
    }
}

#[test]
fn a_client_that_offers_other_protocols_alone_gets_the_alert() {
    let (authority, guard) = localhost("alpn", &[]);
    for (offered, chosen) in [
        (&[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])),
        (&[b"h2", b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
        (&[b"h2"], None),
    ] {
        let mut config = config(&authority, &BOTH, None);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let mut client = TlsClient::connect(&guard, &Arc::new(config), "localhost");
        let made = client.handshake();
        if offered == [b"h2"] {
            let error = made.expect_err("refused").to_string();
            assert!(error.contains("NoApplicationProtocol"), "{error}");
            continue;
        }
        made.expect("a handshake");
        assert_eq!(client.tls.alpn_protocol(), chosen, "{offered:?}");
        assert_eq!(client.ask(granted_request()).status, 200);
    }
    guard.wait_for_log(|line| line.contains("tls_failed") && line.contains("peer=127.0.0.1"));
}

#[test]
fn clients_resume_by_tickets_in_both_versions() {
    let (authority, guard) = localhost("tickets", &[]);
    for version in BOTH {
        let config = Arc::new(config(&authority, &[version], None));
        for kind in [
            HandshakeKind::Full,
            HandshakeKind::Resumed,
            HandshakeKind::Resumed,
        ] {
            let mut client = TlsClient::connect(&guard, &config, "localhost");
            assert_eq!(client.ask(granted_request()).status, 200);
            assert_eq!(client.tls.handshake_kind(), Some(kind), "{version:?}");
        }
    }
}

#[test]
fn the_newest_version_is_chosen() {
    let (authority, guard) = localhost("versions", &[]);
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut client = TlsClient::connect(&guard, &config, "localhost");
    assert_eq!(client.ask(granted_request()).status, 200);
    assert_eq!(
        client.tls.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
}
