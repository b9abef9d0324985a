//! The gateway: API keys and the origin.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{assert_all_are_named, mistake, sound};
use crate::authority::{Authority, Key};
use crate::checked::{Checked, Level::*};
use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{Guard, SECRET};

/// What does nothing yet is looked at, so that the next start has no new faults.
#[test]
fn the_variables_of_a_gateway_are_looked_at_without_one() {
    let faulty = [
        ("RATE_LIMIT", "fast"),
        ("MAX_CONCURRENT", "none"),
        ("CORS_ORIGINS", "*"),
        ("API_KEY_HEADER", "X Key"),
        ("API_KEY_QUERY", "a&b"),
    ];
    let mut command = sound();
    command.envs(faulty);
    let checked = Checked::run(&mut command, &["--local"]);
    for (name, _) in faulty {
        let is_fault =
            |found: &serde_json::Value| found["subject"] == name && found["level"] == "fault";
        assert!(
            checked.findings().iter().any(is_fault),
            "{name}: {:#?}",
            checked.findings()
        );
    }
    // Those that are right are said to do nothing, and are no reason not to start.
    let mut command = sound();
    command
        .env("RATE_LIMIT", "100/1m")
        .env("API_KEY_HEADER", "X-Key");
    let checked = Checked::run(&mut command, &["--local"]);
    for name in ["RATE_LIMIT", "API_KEY_HEADER"] {
        checked.assert_finds(Warning, name, "does nothing without GATEWAY_LISTEN", "set");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn gateways() {
    let folder = Folder::new("check-gateway");
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        path.to_str().expect("UTF-8").to_owned()
    };
    let keys = file("keys.json", "{\"version\":1,\"keys\":[]}", 0o600);
    let broken = file("broken.json", "{\"keys\":[}", 0o600);
    let open = file("open.json", "{\"version\":1,\"keys\":[]}", 0o666);
    let gateway = |variables: &[(&'static str, &str)], level, subject, what: &str, remedy| {
        let own = [("GATEWAY_LISTEN", "127.0.0.1:0"), ("API_KEYS_FILE", &*keys)];
        mistake(&[&own, variables].concat(), level, subject, what, remedy)
    };
    let authority = Authority::new("check-origin");
    let stranger = Authority::new("check-stranger");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let [certificate, key] = issued.variables();
    let secret = ("SHARED_SECRET", SECRET);
    let tls = Guard::with(&[secret, ("LISTEN", "tls:127.0.0.1:0"), certificate, key]);
    let named = format!("https://localhost:{}", tls.address.port());
    let numbered = format!("https://{}", tls.address);
    let (ca, other) = (authority.path("ca.pem"), stranger.path("ca.pem"));
    let expired = authority.issue_expired("client");
    let ended = expired.certificate.to_str().expect("UTF-8").to_owned();
    let own_key = ("ORIGIN_CLIENT_KEY", expired.key.to_str().expect("UTF-8"));
    let (origin, trusted) = (("ORIGIN", &*named), ("ORIGIN_CA", &*ca));
    let file_key = issued.key.to_str().expect("UTF-8").to_owned();
    let file = ("ORIGIN_CLIENT_KEY", &*file_key);
    let held = HeldPort::new();
    let plain = Guard::start();
    let plain = format!("https://{}", plain.address);
    let mistakes = [
        mistake(
            &[("GATEWAY_LISTEN", "127.0.0.1:0")],
            Warning,
            "API_KEYS_FILE",
            "not set",
            "keys add",
        ),
        gateway(
            &[("API_KEYS_FILE", "/nowhere")],
            Fault,
            "API_KEYS_FILE",
            "No such",
            "keys add",
        ),
        gateway(
            &[("API_KEYS_FILE", &broken)],
            Fault,
            "API_KEYS_FILE",
            "line 1",
            "mend",
        ),
        gateway(
            &[("API_KEYS_FILE", &open)],
            Fault,
            "API_KEYS_FILE",
            "everyone",
            "chmod 600",
        ),
        gateway(
            &[("API_KEY_HEADER", "X_Shared.Secret")],
            Fault,
            "API_KEY_HEADER",
            "holds the secret already",
            "another header for the key",
        ),
        gateway(
            &[origin, trusted, ("ORIGIN_CLIENT_CERT", &file_key), file],
            Fault,
            "ORIGIN_CLIENT_CERT",
            "a key and no certificate",
            "swapped",
        ),
        gateway(
            &[("ORIGIN", "http://127.0.0.1:1"), trusted],
            Warning,
            "ORIGIN_CA",
            "does nothing without TLS",
            "write https://",
        ),
        gateway(
            &[
                ("ORIGIN", "http://127.0.0.1:1"),
                ("ORIGIN_PLAINTEXT", "allow"),
            ],
            Warning,
            "ORIGIN_PLAINTEXT",
            "does nothing",
            "leave it out",
        ),
        gateway(
            &[("ADMIN_ALLOW_REMOTE", "1")],
            Warning,
            "ADMIN_ALLOW_REMOTE",
            "does nothing without ADMIN_LISTEN",
            "set ADMIN_LISTEN",
        ),
        gateway(
            &[("SOCKET_MODE", "0600")],
            Warning,
            "SOCKET_MODE",
            "does nothing without a Unix socket",
            "leave it out",
        ),
        gateway(
            &[
                ("GATEWAY_LISTEN", &held.address.to_string()),
                ("ORIGIN", &held.url()),
            ],
            Fault,
            "ORIGIN",
            "is the guard itself, which listens on",
            "write where the origin listens",
        ),
        gateway(
            &[
                ("LISTEN", "none"),
                ("ORIGIN", "http://127.0.0.1:1"),
                ("BACKEND", "http://127.0.0.1:1"),
            ],
            Warning,
            "BACKEND",
            "does nothing with LISTEN=none",
            "write an address",
        ),
        gateway(
            &[("RATE_LIMIT", "fast")],
            Fault,
            "RATE_LIMIT",
            "not a rate",
            "100/1m",
        ),
        gateway(
            &[("ORIGIN", "http://192.0.2.1:80")],
            Fault,
            "ORIGIN",
            "in the clear",
            "write https://",
        ),
        gateway(
            &[("ORIGIN", "http://127.0.0.1:1"), ("CORS_ORIGINS", "*")],
            Fault,
            "CORS_ORIGINS",
            "every page",
            "name the origins",
        ),
        gateway(
            &[("CORS_ORIGINS", "https://a.example")],
            Fault,
            "CORS_ORIGINS",
            "ORIGIN",
            "set",
        ),
        gateway(
            &[("ORIGIN", "http://127.0.0.1:1"), ("ORIGIN_PLAINTEXT", "1")],
            Fault,
            "ORIGIN_PLAINTEXT",
            "is not the word allow",
            "write allow",
        ),
        gateway(
            &[("ORIGIN", &named), ("ORIGIN_CA", &other)],
            Fault,
            "ORIGIN",
            "localhost",
            "set ORIGIN_CA",
        ),
        gateway(
            &[("ORIGIN", &numbered), ("ORIGIN_CA", &ca)],
            Fault,
            "ORIGIN",
            "127.0.0.1",
            "set ORIGIN_SERVER_NAME",
        ),
        gateway(
            &[("ORIGIN", &plain), ("ORIGIN_CA", &ca)],
            Fault,
            "ORIGIN",
            "127.0.0.1",
            "",
        ),
        gateway(
            &[("ORIGIN", &named), ("ORIGIN_CA", "/nowhere.pem")],
            Fault,
            "ORIGIN_CA",
            "No such file",
            "mend its path",
        ),
        gateway(
            &[origin, trusted, ("ORIGIN_CLIENT_CERT", &ended), own_key],
            Fault,
            "ORIGIN_CLIENT_CERT",
            "it ended at",
            "renew it",
        ),
        gateway(
            &[origin, trusted, ("ORIGIN_CLIENT_CERT", &ended)],
            Fault,
            "ORIGIN_CLIENT_CERT",
            "go together",
            "set both or neither",
        ),
        mistake(
            &[("ORIGIN", "http://127.0.0.1:1")],
            Warning,
            "ORIGIN",
            "without GATEWAY_LISTEN",
            "set it",
        ),
        mistake(
            &[("ORIGIN_HOST", "origin.example")],
            Warning,
            "ORIGIN_HOST",
            "does nothing without ORIGIN",
            "set ORIGIN",
        ),
        mistake(
            &[("RATE_LIMIT", "100/1m")],
            Warning,
            "RATE_LIMIT",
            "does nothing without GATEWAY_LISTEN",
            "set GATEWAY_LISTEN",
        ),
    ];
    assert_all_are_named(&mistakes);
}
