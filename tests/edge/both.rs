//! Both halves, with TLS in front of each.

use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::Value;

use crate::authority::{Authority, Issued, Key};
use crate::scripted::Backend;
use crate::support::folder::Folder;
use crate::support::keys::KeyFile;
use crate::support::metrics::{self, wait_for};
use crate::support::{Answer, Guard, SECRET, command};
use crate::tls_client::{self, TlsClient};

/// The name that both halves show a certificate of.
pub(crate) const NAME: &str = "localhost";

/// A gateway and an origin, and a key of the consumer alice.
pub(crate) struct Both {
    _authority: Authority,
    pub(crate) keys: KeyFile,
    pub(crate) key: String,
    pub(crate) gateway: Guard,
    pub(crate) origin: Guard,
    config: Arc<ClientConfig>,
}

/// The origin's half in front of the backend at `url`.
pub(crate) fn origin(issued: &Issued, url: &str, more: &[(&str, &str)]) -> Guard {
    let variables = [
        &[
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "tls:127.0.0.1:0"),
            ("BACKEND", url),
        ],
        &issued.variables()[..],
        more,
    ];
    Guard::with(&variables.concat())
}

/// The gateway's half in front of what listens at these URLs.
pub(crate) fn gateway(keys: &KeyFile, urls: &str, more: &[(&str, &str)]) -> Guard {
    keys.gateway(&[&[("ORIGIN", urls)], more].concat())
}

impl Both {
    pub(crate) fn start(name: &str, backend: &str) -> Self {
        Self::with(name, backend, &[], &[])
    }

    /// With more variables of the gateway and of the origin.
    pub(crate) fn with(
        name: &str,
        backend: &str,
        of_gateway: &[(&str, &str)],
        of_origin: &[(&str, &str)],
    ) -> Self {
        let authority = Authority::new(&format!("edge-{name}"));
        let issued = authority.issue(Key::EcdsaPkcs8, &[NAME]);
        let keys = KeyFile::new(&format!("edge-{name}"));
        let key = keys.add("alice", &["--metadata", r#"{"plan":"pro"}"#]);
        let origin = origin(&issued, backend, of_origin);
        let url = format!("https://{}", origin.address);
        let variables = [
            &[
                ("GATEWAY_LISTEN", "tls:127.0.0.1:0"),
                ("ORIGIN_CA", authority.certificate.to_str().expect("UTF-8")),
                ("ORIGIN_SERVER_NAME", NAME),
            ],
            &issued.variables()[..],
            of_gateway,
        ];
        let gateway = gateway(&keys, &url, &variables.concat());
        let config = tls_client::config(&authority, &[&rustls::version::TLS13], None);
        Self {
            _authority: authority,
            keys,
            key,
            gateway,
            origin,
            config: Arc::new(config),
        }
    }

    /// A client of the gateway.
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::connect(&self.gateway, &self.config, NAME)
    }

    /// One that goes past the gateway.
    pub(crate) fn straight(&self) -> TlsClient {
        TlsClient::connect(&self.origin, &self.config, NAME)
    }

    /// A GET by alice, with more field lines.
    pub(crate) fn get(&self, target: &str, fields: &str) -> String {
        request(&format!("GET {target}"), &self.key, fields)
    }

    /// Asks by alice on a fresh connection.
    pub(crate) fn ask(&self, target: &str, fields: &str) -> Answer {
        self.client().ask(self.get(target, fields))
    }
}

/// A request with `key`; its body follows.
pub(crate) fn request(line: &str, key: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {key}\r\n{fields}\r\n")
}

#[test]
fn an_origin_that_refuses_the_secret_is_told_to_the_operator() {
    let mut both = Both::with(
        "refused",
        "http://127.0.0.1:1",
        &[("ADMIN_LISTEN", "127.0.0.1:0")],
        &[("SHARED_SECRET", "another-secret-4f1c9a7be02d5386")],
    );
    let admin = both.gateway.admin_before_gateway();
    // The client gets the origin's own answer.
    for _ in 0..2 {
        assert_eq!(both.ask("/", "").status, 401);
    }
    let logged = both
        .gateway
        .wait_for_log(|line| line.contains("origin_refused_secret"));
    assert!(!logged.contains(SECRET), "{logged}");
    // A secret that is new at one of the two alone would be refused again.
    assert!(logged.contains("secret rotate FILE --stdin"), "{logged}");
    let origin = format!("backend=\"{}\"", both.origin.address);
    let counted = [
        format!("backend_failures_total{{{origin},reason=\"secret_refused\"}} 2"),
        format!("backend_responses_total{{{origin},class=\"4xx\"}} 2"),
        "requests_total{verdict=\"key_granted\",status=\"forwarded\"} 2".to_owned(),
    ];
    wait_for(admin, &counted);
    // It is a problem at every place where the operator looks, and no fault of health.
    let health = command()
        .args(["health", "--admin", &admin.to_string()])
        .output()
        .expect("runs");
    let problem = format!(
        "The origin {} refuses the secret (2 times in the last 10 min, the last ",
        both.origin.address
    );
    let said = String::from_utf8_lossy(&health.stdout);
    assert!(health.status.success() && said.contains(&problem), "{said}");
    let status = metrics::get(admin, "/status");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["ok"], true);
    let problems = status["problems"].as_array().expect("a list");
    let first = problems[0].as_str().expect("text");
    assert!(first.starts_with(&problem), "{status}");
    let origin = &status["backends"][0];
    assert_eq!(origin["secret_refused_last_10_minutes"], 2, "{status}");
    let page = metrics::get(admin, "/");
    assert!(page.contains("1 problem<"), "{page}");
    assert!(page.contains(">refuses the secret: 2 times in"), "{page}");
    assert!(!page.contains(">works<"), "{page}");
}

#[test]
fn a_public_path_of_the_origin_tells_nothing_of_the_secret() {
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send("HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let folder = Folder::new("edge-public-path");
    let secrets = folder.write("secrets", "another-secret-4f1c9a7be02d5386\n");
    let of_origin = [
        ("SHARED_SECRET", ""),
        ("SHARED_SECRET_FILE", secrets.to_str().expect("UTF-8")),
        ("PUBLIC_PATHS", "/open"),
    ];
    let of_gateway = [("ADMIN_LISTEN", "127.0.0.1:0")];
    let mut both = Both::with("public-path", &url, &of_gateway, &of_origin);
    let admin = both.gateway.admin_before_gateway();
    let refused_now = || {
        let status: Value = serde_json::from_str(&metrics::get(admin, "/status")).expect("JSON");
        status["backends"][0]["secret_refused_now"].clone()
    };
    assert_eq!(both.ask("/closed?1", "").status, 401);
    // Whoever reads the status has seen the answer counted.
    let origin = format!("backend=\"{}\"", both.origin.address);
    let answers = |class: &str, count: u32| {
        let line = format!("backend_responses_total{{{origin},class=\"{class}\"}} {count}");
        wait_for(admin, &[line]);
    };
    answers("4xx", 1);
    assert_eq!(refused_now(), true);
    assert_eq!(both.ask("/open", "").status, 302);
    answers("3xx", 1);
    assert_eq!(refused_now(), true, "everybody is let in there");

    std::fs::write(&secrets, format!("{SECRET}\n")).expect("written");
    both.origin.signal(rustix::process::Signal::HUP);
    both.origin
        .wait_for_log(|line| line.contains("reloaded") && line.contains("secrets"));
    assert_eq!(both.ask("/closed?2", "").status, 302);
    answers("3xx", 2);
    assert_eq!(refused_now(), false);
}
