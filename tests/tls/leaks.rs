//! A secret or a key that came in the clear: what the operator is told, and until when.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use crate::authority::{Authority, Key};
use crate::support::folder::Folder;
use crate::support::health;
use crate::support::keys::KeyFile;
use crate::support::metrics::{self, wait_for};
use crate::support::port::HeldPort;
use crate::support::{Answer, Guard, PATIENCE, SECRET};

const FRESH: &str = "fresh-secret-0f3b7c19d2e84a56";

/// A guard with both halves, whose last listener is a redirect.
struct Setup {
    guard: Guard,
    redirect: SocketAddr,
    admin: SocketAddr,
    folder: Folder,
    keys: KeyFile,
    key: String,
    _port: HeldPort,
}

impl Setup {
    fn new(name: &str) -> Self {
        let authority = Authority::new(name);
        let issued = authority.issue(Key::EcdsaPkcs8, &["one.test"]);
        let folder = Folder::new(&format!("{name}-secrets"));
        let secrets = folder.write("secrets", SECRET);
        let keys = KeyFile::new(&format!("{name}-keys"));
        let key = keys.add("alice", &[]);
        let port = HeldPort::new();
        let listen = format!("tls:{},redirect:127.0.0.1:0", port.address);
        let variables = [
            ("SHARED_SECRET_FILE", secrets.to_str().expect("UTF-8")),
            ("LISTEN", &*listen),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("API_KEYS_FILE", keys.text()),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        let guard = Guard::with(&[&variables, &issued.variables()[..]].concat());
        Self {
            redirect: guard.address_of(3),
            admin: guard.second_address(),
            guard,
            folder,
            keys,
            key,
            _port: port,
        }
    }

    /// Sends this field in the clear.
    fn leak(&self, field: &str) {
        let mut stream = TcpStream::connect(self.redirect).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET / HTTP/1.1\r\nHost: one.test\r\n{field}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 403);
    }

    fn status(&self) -> Value {
        serde_json::from_str(&metrics::get(self.admin, "/status")).expect("JSON")
    }

    /// The problems, as `/status`, the page and `health` have them.
    fn problems(&self) -> Vec<String> {
        let status = self.status();
        let health = health::line(self.admin);
        let page = metrics::get(self.admin, "/");
        for said in [&status.to_string(), &health, &page] {
            for held in [SECRET, FRESH, &self.key] {
                assert!(!said.contains(held), "{said}");
            }
        }
        let problems = status["problems"].as_array().expect("a list");
        let problems = problems.iter().map(|problem| {
            let problem = problem.as_str().expect("text");
            let (beginning, _) = problem.split_once("first ").unwrap_or((problem, ""));
            assert!(page.contains(beginning), "{beginning}: {page}");
            assert!(health.contains(beginning), "{beginning}: {health}");
            problem.to_owned()
        });
        problems.collect()
    }

    /// Waits until the file that has changed is read; then what are the problems?
    fn problems_after(&self, is_read: impl Fn(&Value) -> bool) -> Vec<String> {
        let since = Instant::now();
        while !is_read(&self.status()) {
            assert!(since.elapsed() < PATIENCE, "{}", self.status());
        }
        self.problems()
    }
}

#[test]
fn a_leaked_secret_is_a_problem_until_it_is_good_no_more() {
    let setup = Setup::new("leaked-secret");
    assert_eq!(setup.problems(), Vec::<String>::new());
    let gauge = |count: u32| format!("leaked_credentials{{what=\"secret\"}} {count}");
    wait_for(setup.admin, &[gauge(0)]);
    setup.leak(&format!("X-Shared-Secret: {SECRET}"));
    let problems = setup.problems();
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(
        problem.starts_with("The current secret came in plain HTTP (first "),
        "{problem}"
    );
    assert!(
        problem.contains("Replace it (origin-guard secret rotate)"),
        "{problem}"
    );
    let leaked = setup.status()["secrets"]["used"][0]["leaked_at"].clone();
    assert!(leaked.is_number(), "{leaked}");
    wait_for(setup.admin, &[gauge(1)]);
    // The old one is still good.
    setup
        .folder
        .write("secrets", &format!("{FRESH}\n{SECRET}\n"));
    let are = |count: usize| {
        move |status: &Value| status["secrets"]["used"].as_array().map(Vec::len) == Some(count)
    };
    let problems = setup.problems_after(are(2));
    assert!(
        problems.len() == 1
            && problems[0].starts_with("The previous secret came in plain HTTP (first ")
            && problems[0].contains("End the rotation (origin-guard secret finish)"),
        "{problems:?}"
    );
    let used = setup.status()["secrets"]["used"].clone();
    assert_eq!(used[1]["leaked_at"], leaked, "{used}");
    assert!(used[0]["leaked_at"].is_null(), "{used}");
    wait_for(setup.admin, &[gauge(1)]);
    setup.folder.write("secrets", FRESH);
    assert_eq!(setup.problems_after(are(1)), Vec::<String>::new());
    wait_for(setup.admin, &[gauge(0)]);
}

#[test]
fn a_leaked_key_is_a_problem_until_it_is_revoked() {
    let setup = Setup::new("leaked-key");
    let gauge = |count: u32| format!("leaked_credentials{{what=\"key\"}} {count}");
    let id = setup.keys.id(&setup.key);
    setup.leak(&format!("Authorization: Bearer {}", setup.key));
    let line = setup
        .guard
        .wait_for_log(|line| line.contains("leaked what=key"));
    assert!(line.contains(&format!(" key={id} ")), "{line}");
    let problems = setup.problems();
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    let wanted = format!("know them: {id}. Revoke them (origin-guard keys revoke)");
    assert!(problem.contains(&wanted), "{problem}");
    assert_eq!(setup.status()["leaked_keys"], 1);
    wait_for(setup.admin, &[gauge(1)]);
    setup.keys.must(&["revoke", &id]);
    let problems = setup.problems_after(|status| status["leaked_keys"] == 0);
    assert_eq!(problems, Vec::<String>::new());
    wait_for(setup.admin, &[gauge(0)]);
    // One that is revoked already is no problem any more; it is logged all the same.
    setup.leak(&format!("Authorization: Bearer {}", setup.key));
    assert_eq!(setup.problems(), Vec::<String>::new());
}
