//! TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{assert_all_are_named, mistake};
use crate::authority::{Authority, Issued, Key};
use crate::checked::Level::*;
use crate::support::{SECRET, command};

/// What is left of a key that went through a variable or a form of one line. Where the label
/// should end is the key itself.
#[test]
fn nothing_of_a_key_that_has_lost_its_lines_is_told() {
    let authority = Authority::new("check-one-line");
    let good = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let text = fs::read_to_string(&good.key).expect("a key");
    let lines: Vec<_> = text.lines().collect();
    let held = lines[1];
    for (name, broken, what) in [
        ("spaces", lines.join(" "), "line breaks are lost"),
        ("escapes", lines.join("\\n"), "line breaks are lost"),
        (
            "begin",
            [lines[0], held].concat() + "\n",
            "line breaks are lost",
        ),
        ("end", [lines[0], held].join("\n"), "it is cut off"),
        (
            "letters",
            text.replace(held, &format!("{held}!")),
            "not base64",
        ),
    ] {
        let key = authority.folder.write(&format!("{name}.key"), &broken);
        for arguments in [&["check", "--local"][..], &[]] {
            let output = command()
                .args(arguments)
                .env("SHARED_SECRET", SECRET)
                .env("LISTEN", "tls:127.0.0.1:0")
                .env("TLS_CERT", &good.certificate)
                .env("TLS_KEY", &key)
                .output()
                .expect("runs");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).expect("UTF-8");
            assert_eq!(output.status.code(), Some(78), "{name}: {said}");
            assert!(said.contains(what) && said.contains("TLS_KEY"), "{said}");
            let bytes = held.bytes().map(|byte| byte.to_string());
            let numbers = bytes.collect::<Vec<_>>().join(", ");
            // Its first characters are the same in every key of the kind.
            for part in [&held[40..], &numbers[numbers.len() / 2..]] {
                assert!(!said.contains(part), "{name}: {said}");
            }
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn certificates() {
    let authority = Authority::new("check-tls");
    let good = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let other = authority.issue_as("other", Key::RsaPkcs8, "DNS:localhost", 60);
    let soon = authority.issue_as("soon", Key::EcdsaPkcs8, "DNS:localhost", 5);
    let expired = authority.issue_expired("localhost");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (chain, key) = (text(&good.certificate), text(&good.key));
    authority.openssl(&[
        &["pkey", "-in", &key, "-aes256", "-passout", "pass:x"],
        &["-out", &authority.path("encrypted.key")],
    ]);
    let read = |path: &std::path::Path| fs::read_to_string(path).expect("it");
    let both = read(&authority.certificate) + &read(&good.certificate);
    let reversed = text(&authority.folder.write("reversed.pem", &both));
    let nameless = authority.issue_as("nameless", Key::EcdsaPkcs8, "email:a@b.example", 60);
    let garbage = text(&authority.folder.write("garbage.pem", "no PEM\n"));
    let open_key = text(
        &authority
            .folder
            .write("open.key", &fs::read_to_string(&key).expect("it")),
    );
    fs::set_permissions(&open_key, fs::Permissions::from_mode(0o644)).expect("set");
    let pair = |certificate: &str, key: &str, level, subject, what: &str, remedy| {
        let variables = [
            ("LISTEN", "tls:127.0.0.1:0"),
            ("TLS_CERT", certificate),
            ("TLS_KEY", key),
        ];
        mistake(&variables, level, subject, what, remedy)
    };
    let of = |issued: &Issued, level, subject, what: &str, remedy| {
        pair(
            &text(&issued.certificate),
            &text(&issued.key),
            level,
            subject,
            what,
            remedy,
        )
    };
    let mistakes = [
        pair(
            "/nowhere.pem",
            &key,
            Fault,
            "TLS_CERT",
            "No such file",
            "mend its path",
        ),
        pair(
            &chain,
            "/nowhere.key",
            Fault,
            "TLS_KEY",
            "No such file",
            "mend its path",
        ),
        pair(
            &chain,
            &text(&other.key),
            Fault,
            "TLS_KEY",
            "does not go with its certificate",
            "in the same order",
        ),
        pair(
            &reversed,
            &key,
            Fault,
            "TLS_KEY",
            "does not go with its certificate",
            "own certificate first",
        ),
        of(
            &nameless,
            Warning,
            "TLS_CERT",
            "for no name",
            "subjectAltName",
        ),
        pair(
            &key,
            &chain,
            Fault,
            "TLS_CERT",
            "holds a key and no certificate",
            "swapped",
        ),
        pair(
            &chain,
            &chain,
            Fault,
            "TLS_KEY",
            "holds a certificate and no key",
            "swapped",
        ),
        pair(
            &garbage,
            &key,
            Fault,
            "TLS_CERT",
            "holds no certificate",
            "write the chain",
        ),
        pair(
            &chain,
            &garbage,
            Fault,
            "TLS_KEY",
            "holds no key",
            "write it in PEM",
        ),
        pair(
            &chain,
            &authority.path("encrypted.key"),
            Fault,
            "TLS_KEY",
            "is encrypted",
            "openssl pkey",
        ),
        pair(
            "chain.pem",
            &key,
            Fault,
            "TLS_CERT",
            "/chain.pem) cannot be read: No such file",
            "mend its path",
        ),
        pair(
            &chain,
            "",
            Fault,
            "TLS_KEY",
            "TLS_CERT names one file and TLS_KEY no file",
            "name the key",
        ),
        pair(
            &chain,
            &open_key,
            Warning,
            "TLS_KEY",
            "by everyone",
            "chmod 600",
        ),
        pair(
            &key,
            &key,
            Fault,
            "TLS_CERT",
            "a key and no cert",
            "swapped",
        ),
        pair(&chain, &chain, Fault, "TLS_KEY", "no key", "swapped"),
        of(&expired, Fault, "TLS_CERT", "ended at", "renew it"),
        of(&soon, Warning, "TLS_CERT", "ends at", "renew it"),
        mistake(
            &[("TLS_CERT", &chain), ("TLS_KEY", &key)],
            Warning,
            "TLS_CERT",
            "nothing uses it",
            "write tls: before one",
        ),
        mistake(
            &[
                ("LISTEN", "redirect:127.0.0.1:0"),
                ("TLS_CERT", &chain),
                ("TLS_KEY", &key),
            ],
            Fault,
            "LISTEN",
            "nothing listens there",
            "begins with tls:",
        ),
        mistake(
            &[("ACME_WEBROOT", "/var/lib/acme")],
            Fault,
            "ACME_WEBROOT",
            "no address answers for it",
            "redirect:0.0.0.0:80",
        ),
        mistake(
            &[
                ("LISTEN", "tls:127.0.0.1:0,redirect:127.0.0.1:0"),
                ("TLS_CERT", &chain),
                ("TLS_KEY", &key),
                ("ACME_WEBROOT", "/nowhere"),
            ],
            Warning,
            "ACME_WEBROOT",
            "/nowhere is not a folder",
            "mkdir -p /nowhere",
        ),
        mistake(
            &[("PLAINTEXT", "yes")],
            Fault,
            "PLAINTEXT",
            "is not the word allow",
            "write allow",
        ),
    ];
    assert_all_are_named(&mistakes);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn certificates_of_clients() {
    let authority = Authority::new("check-clients");
    let good = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let leaf = authority.issue_as("leaf", Key::EcdsaPkcs8, "DNS:gateway.example", 60);
    let ca = authority.path("ca.pem");
    let (ended, request) = (authority.path("ended.pem"), authority.path("ended.csr"));
    authority.openssl(&[
        &[
            "req",
            "-new",
            "-config",
            &authority.path("openssl.cnf"),
            "-nodes",
        ],
        &[
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            "/CN=ended",
        ],
        &["-addext", "basicConstraints=critical,CA:TRUE"],
        &["-keyout", &authority.path("ended.key"), "-out", &request],
    ]);
    authority.openssl(&[
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-days",
            "-1",
            "-copy_extensions",
            "copy",
        ],
        &["-signkey", &authority.path("ended.key"), "-out", &ended],
    ]);
    let list = |name: &str, next: &str| {
        let times = [
            "-crl_lastupdate",
            "20240101000000Z",
            "-crl_nextupdate",
            next,
        ];
        let path = authority.revocations_at(name, &[], &times);
        path.to_str().expect("UTF-8").to_owned()
    };
    let old = list("old.crl", "20240201000000Z");
    let clients = |variables: &[(&'static str, &str)], level, subject, what: &str, remedy| {
        let server = good.variables();
        let server = [
            ("LISTEN", "tls:127.0.0.1:0"),
            ("TLS_CERT", server[0].1),
            ("TLS_KEY", server[1].1),
        ];
        mistake(&[&server, variables].concat(), level, subject, what, remedy)
    };
    let names = ("TLS_CLIENT_NAMES", "gateway.example");
    let mistakes = [
        clients(
            &[("TLS_CLIENT_CA", &ended), names],
            Warning,
            "TLS_CLIENT_CA",
            "ends at",
            "ask its authority",
        ),
        clients(
            &[("TLS_CLIENT_CA", leaf.variables()[0].1), names],
            Warning,
            "TLS_CLIENT_CA",
            "not an authority's",
            "the authority that issues them",
        ),
        clients(
            &[("TLS_CLIENT_CA", &ca), names, ("TLS_CLIENT_CRL", &old)],
            Fault,
            "TLS_CLIENT_CRL",
            "every client is denied",
            "fetch it again",
        ),
        clients(
            &[("TLS_CLIENT_CA", &ca), names, ("TLS_CLIENT_CRL", &ca)],
            Fault,
            "TLS_CLIENT_CRL",
            "no list of revoked",
            "openssl crl",
        ),
        clients(
            &[names],
            Fault,
            "TLS_CLIENT_NAMES",
            "clients are not asked for a certificate",
            "TLS_CLIENT_CA",
        ),
        clients(
            &[("TLS_CLIENT_CA", &ca)],
            Warning,
            "TLS_CLIENT_CA",
            "every client with a certificate of this authority",
            "set TLS_CLIENT_NAMES",
        ),
        clients(
            &[("REQUIRE", "certificate")],
            Fault,
            "REQUIRE",
            "clients are not asked for a certificate",
            "set TLS_CLIENT_CA",
        ),
        clients(
            &[
                ("LISTEN", "tls:127.0.0.1:0,127.0.0.1:1"),
                ("TLS_CLIENT_CA", &ca),
                names,
                ("REQUIRE", "certificate"),
            ],
            Fault,
            "REQUIRE",
            "127.0.0.1:1 asks for no certificate",
            "write tls:",
        ),
        clients(
            &[("REQUIRE", "both")],
            Fault,
            "REQUIRE",
            "both",
            "write one of them",
        ),
    ];
    assert_all_are_named(&mistakes);
}
