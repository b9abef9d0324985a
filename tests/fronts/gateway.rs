//! The whole way: API key in at the gateway's proxy, shared secret out, and in at the
//! origin's.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use crate::backend::Seen;
use crate::failing::{Stop, assert_unavailable};
use crate::front::{Front, Proxy, Role, Setup};
use crate::names;
use crate::passing::assert_denied;
use crate::smuggling;
use crate::support::keys::KeyFile;
use crate::support::php::{Php, SHOWS_VARIABLES};
use crate::support::{Answer, Guard, PATIENCE, SECRET, installed};

const ABSENT: &str = r#"{"error":"No API key provided"}"#;
const INVALID: &str = r#"{"error":"Invalid API key"}"#;
const MISCONFIGURED: &str = r#"{"error":"Server configuration error"}"#;
const ASKS: &str = "Bearer";
const ERRS: &str = r#"Bearer error="invalid_token""#;
const UPGRADE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// What each of the proxies could take for a variable of its own.
const METADATA: &str =
    r#"{"plan":"gold","a":"{http.request.host}","b":"%[src]","c":"$host ${host}","d":[1,{}]}"#;

with_each_gateway! {
    a_key_decides
    a_consumer_at_its_limit_is_told_when_to_come_again
    who_guesses_is_told_to_wait_and_a_good_key_never_is
    other_headers_hold_key_and_secret
    no_answer_of_the_origin_shows_the_secret
    no_answer_to_trace_shows_the_secret
    what_folds_to_our_names_never_arrives
    what_a_client_forges_never_arrives
    without_the_guard_nothing_passes
    nothing_is_smuggled_past_the_gateway
    the_whole_way_to_a_backend
    the_whole_way_to_the_guard_itself
    keys_change_under_load
}

/// A gateway, and a guard with keys that it asks.
struct Gateway {
    front: Front,
    guard: Guard,
    keys: KeyFile,
}

impl Gateway {
    fn start(proxy: Proxy, role: Role, test: &str) -> Option<Self> {
        let setup = Setup {
            role,
            ..Setup::default()
        };
        Self::start_with(proxy, &setup, test)
    }

    fn start_with(proxy: Proxy, setup: &Setup, test: &str) -> Option<Self> {
        let front = Front::start(proxy, setup)?;
        let keys = KeyFile::new(&format!("gateway-{test}-{}", proxy.program()));
        keys.add("nobody", &[]);
        let listen = format!("unix:{}", front.socket().display());
        let mut variables = vec![
            ("SHARED_SECRET", SECRET),
            ("GATEWAY_LISTEN", &listen),
            ("API_KEYS_FILE", keys.text()),
            ("TRUSTED_PROXIES", "unix"),
        ];
        variables.extend(proxy.socket_group());
        variables.extend(&setup.headers);
        let guard = Guard::with(&variables);
        guard.wait_for_log(|line| line.contains(&format!("listening address={listen}")));
        Some(Self { front, guard, keys })
    }

    fn ask(&self, target: &str, fields: &str) -> Answer {
        self.front.ask(request(target, fields))
    }

    /// Asks until the answer has `status`; after a 401 not before the guard has read its keys
    /// again, because many invalid ones would be taken for guesses.
    fn ask_until(&self, status: u16, fields: &str) {
        let reloads = || {
            let log = self.guard.log();
            let is_reload = |line: &&String| line.contains("keys_reloaded");
            log.iter().filter(is_reload).count()
        };
        let since = Instant::now();
        loop {
            let before = reloads();
            let found = self.ask("/granted", fields).status;
            if found == status {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "never {status} with {fields}");
            while found == 401 && reloads() == before {
                assert!(since.elapsed() < PATIENCE, "never {status} with {fields}");
                std::thread::yield_now();
            }
        }
    }

    /// Makes a key that the guard knows, and returns the field that presents it.
    fn key(&self, consumer: &str, options: &[&str]) -> String {
        let fields = bearer(&self.keys.add(consumer, options));
        self.ask_until(200, &fields);
        fields
    }
}

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

fn assert_forwarded_for(seen: &Seen, consumer: &str) {
    let all: Vec<_> = seen
        .fields
        .iter()
        .filter(|(name, _)| name == "x-consumer")
        .collect();
    assert_eq!(all.len(), 1, "{seen:?}");
    assert_eq!(seen.field("x-consumer"), Some(consumer), "{seen:?}");
    assert_eq!(seen.field("authorization"), None, "{seen:?}");
}

fn a_key_decides(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "decides") else {
        return;
    };
    let alice = gateway.key("alice", &["--metadata", METADATA]);
    let last = || gateway.front.seen().pop().expect("a request");
    for fields in [alice.clone(), alice.replace("Bearer", "bEARER")] {
        assert_eq!(gateway.ask("/granted?a=b", &fields).status, 200, "{fields}");
        assert_eq!(last().field("x-shared-secret"), Some(SECRET));
        assert_eq!(last().field("host"), Some("origin.example"));
        assert_forwarded_for(&last(), "alice");
        let metadata = last()
            .field("x-consumer-metadata")
            .expect("some")
            .to_owned();
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&metadata), value(METADATA), "{metadata}");
    }
    // As much as there can be.
    let long = format!("{{\"note\":\"{}\"}}", "x".repeat(4096 - 11));
    let carol = gateway.key("carol", &["--metadata", &long]);
    assert_eq!(gateway.ask("/granted", &carol).status, 200);
    assert_eq!(last().field("x-consumer-metadata"), Some(&*long));
    // The metadata are added where the start of the body is already there.
    let posting = "POST /granted HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n";
    let answer = gateway
        .front
        .ask(format!("{posting}{carol}\r\n{}", "x".repeat(20_000)));
    assert_eq!((answer.status, last().body), (200, 20_000), "{answer:?}");
    let bob = gateway.key("bob", &[]);
    assert_eq!(gateway.ask("/granted", &bob).status, 200);
    assert_forwarded_for(&last(), "bob");
    assert_eq!(last().field("x-consumer-metadata"), None);

    let count = gateway.front.seen().len();
    let secret = format!("X-Shared-Secret: {SECRET}\r\n");
    for (fields, body, challenge) in [
        ("", ABSENT, ASKS),
        ("Authorization:\r\n", ABSENT, ASKS),
        (&secret, ABSENT, ASKS),
        ("Authorization: Bearer wrong\r\n", INVALID, ERRS),
        ("Authorization: Basic Ym9iOmJvYg==\r\n", INVALID, ERRS),
        (&bob.replace("og_", "og_a"), INVALID, ERRS),
        (&bob.to_uppercase(), INVALID, ERRS),
    ] {
        let answer = gateway.ask("/forbidden", fields);
        assert_denied(&answer, 401, body, Some(challenge), fields);
    }
    for fields in [bob.repeat(2), format!("{alice}{bob}")] {
        let answer = gateway.ask("/forbidden", &fields);
        // nginx does not even ask.
        let status = if proxy == Proxy::Nginx { 400 } else { 401 };
        assert_eq!(answer.status, status, "{fields}: {answer:?}");
    }
    assert_eq!(gateway.front.seen().len(), count);
}

fn a_consumer_at_its_limit_is_told_when_to_come_again(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "limited") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    let alice = bearer(&gateway.keys.add("alice", &["--rate", "1/1h"]));
    gateway.ask_until(200, &alice);
    let count = gateway.front.seen().len();
    let answer = gateway.ask("/forbidden", &alice);
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body, br#"{"error":"Too many requests"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let seconds = answer.header("retry-after").expect("when");
    assert!((1..=3600).contains(&seconds.parse::<u32>().expect("a number")));
    let policy = answer.header("ratelimit-policy");
    assert_eq!(policy, Some("\"consumer\";q=1;w=3600"));
    let left = format!("\"consumer\";r=0;t={seconds}");
    assert_eq!(answer.header("ratelimit"), Some(&*left));
    assert_eq!(gateway.front.seen().len(), count);
    assert_eq!(gateway.ask("/granted", &bob).status, 200);
}

fn who_guesses_is_told_to_wait_and_a_good_key_never_is(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "guessing") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    // Whatever a client says of itself, it is whom the proxy sees.
    let guess = |number: usize| {
        let fields = format!("X-Forwarded-For: 203.0.113.{number}\r\n{}", bearer("og_x"));
        gateway.ask("/forbidden", &fields)
    };
    // The minute may end in between once.
    let answer = (0..42).map(guess).find(|answer| answer.status != 401);
    let answer = answer.expect("42 invalid keys are answered as such");
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body, br#"{"error":"Too many requests"}"#);
    let seconds = answer.header("retry-after").expect("when");
    assert!((1..=60).contains(&seconds.parse::<u32>().expect("a number")));
    for _ in 0..30 {
        assert_eq!(gateway.ask("/granted", &bob).status, 200);
    }
}

fn what_a_client_forges_never_arrives(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "forges") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    let names = ["X-Shared-Secret", "X-Consumer", "X-Consumer-Metadata"];
    let forged = |name: &str| format!("{name}: forged\r\n");
    let cases = [
        names.map(forged).concat(),
        names.map(|name| forged(name).repeat(2)).concat(),
        names.map(|name| forged(&name.to_uppercase())).concat(),
        names.map(|name| forged(&name.replace('-', "_"))).concat(),
        names
            .map(|name| forged(&name.replacen('-', "_", 1)))
            .concat(),
        forged("X-Shared_Secret") + &forged("X-Consumer_Metadata"),
        names
            .map(|name| format!("Connection: {name}\r\n{}", forged(name)))
            .concat(),
        format!("Connection: close, {}\r\n", names.join(", ")),
        format!("Connection: Upgrade, {}\r\n{UPGRADE}", names.join(",")),
    ];
    for fields in &cases {
        let before = gateway.front.seen().len();
        let target = "/granted/refuse-upgrade";
        let answer = gateway.ask(target, &format!("{fields}{bob}"));
        assert!([200, 426].contains(&answer.status), "{fields}: {answer:?}");
        let seen = gateway.front.seen();
        assert_eq!(seen.len(), before + 1);
        assert_forwarded_for(&seen[before], "bob");
        let text = format!("{:?}", seen[before]);
        assert!(!text.contains("forged"), "{fields}: {text}");
        // Without a key they are worth nothing.
        let answer = gateway.ask("/forbidden", fields);
        assert_denied(&answer, 401, ABSENT, Some(ASKS), fields);
        assert_eq!(gateway.front.seen().len(), before + 1);
    }
}

fn other_headers_hold_key_and_secret(proxy: Proxy) {
    let setup = Setup {
        role: Role::Gateway,
        headers: vec![
            ("SECRET_HEADER", "X-Azure-FDID"),
            ("API_KEY_HEADER", "X-Api-Key"),
        ],
        ..Setup::default()
    };
    let Some(gateway) = Gateway::start_with(proxy, &setup, "headers") else {
        return;
    };
    let bob = format!("X-Api-Key: {}\r\n", gateway.keys.add("bob", &[]));
    gateway.ask_until(200, &bob);
    let forged = "X-Azure-FDID: forged\r\nAuthorization: Basic eDp5\r\n";
    assert_eq!(
        gateway.ask("/granted", &format!("{forged}{bob}")).status,
        200
    );
    let seen = gateway.front.seen().pop().expect("a request");
    assert_eq!(seen.field("x-azure-fdid"), Some(SECRET), "{seen:?}");
    assert_eq!(seen.field("x-consumer"), Some("bob"), "{seen:?}");
    assert_eq!(seen.field("x-api-key"), None, "{seen:?}");
    // It is the application's where it holds no key.
    assert_eq!(seen.field("authorization"), Some("Basic eDp5"), "{seen:?}");
    let before = gateway.front.seen().len();
    for fields in ["", "X-Api-Key: wrong\r\n", &bob.repeat(2)] {
        let answer = gateway.ask("/forbidden", fields);
        assert_eq!(answer.status, 401, "{fields}: {answer:?}");
    }
    assert_eq!(gateway.front.seen().len(), before);
}

/// All that a proxy says to a request, up to the end of the connection.
fn all_said(gateway: &Gateway, request: &str) -> String {
    let mut stream = gateway.front.connect();
    stream.write_all(request.as_bytes()).expect("sent");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("an end");
    String::from_utf8_lossy(&said).into_owned()
}

fn no_answer_of_the_origin_shows_the_secret(proxy: Proxy) {
    const AGAINST: &str = "        # An origin cannot lead nginx to another location, nor set its \
                           limits.\n        proxy_ignore_headers X-Accel-Redirect X-Accel-Expires \
                           X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;\n";
    let whole = Setup {
        role: Role::Gateway,
        ..Setup::default()
    };
    let mut setups = vec![whole.clone()];
    if proxy == Proxy::Nginx {
        // Led to the location that asks the guard, all the same.
        setups.push(Setup {
            changes: vec![(AGAINST.to_owned(), String::new())],
            ..whole
        });
    }
    for (number, setup) in setups.iter().enumerate() {
        let Some(gateway) = Gateway::start_with(proxy, setup, &format!("led-{number}")) else {
            return;
        };
        let bob = gateway.key("bob", &[]);
        let fields = format!("{bob}Connection: close\r\n");
        let target = ["/granted/accel-slowly", "/granted/accel"][number];
        let said = all_said(&gateway, &request(target, &fields));
        assert!(!said.contains(SECRET), "{said}");
        assert!(!said.to_ascii_lowercase().contains("x-consumer"), "{said}");
        assert_eq!(said.contains("backend took 0"), number == 0, "{said}");
    }
}

fn no_answer_to_trace_shows_the_secret(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "trace") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    let before = gateway.front.seen().len();
    let tracing = format!("TRACE /granted HTTP/1.1\r\nHost: x\r\n{bob}Connection: close\r\n\r\n");
    let said = all_said(&gateway, &tracing);
    assert!(said.starts_with("HTTP/1.1 405 "), "{said}");
    assert_eq!(gateway.front.seen().len(), before);
}

fn what_folds_to_our_names_never_arrives(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "folds") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    for fields in names::forged_in_every_spelling() {
        let fields = format!("{}{fields}{bob}", names::forged_in_their_own());
        let answer = gateway.ask("/granted", &fields);
        assert_eq!(answer.status, 200, "{fields}: {answer:?}");
        let seen = gateway.front.seen().pop().expect("a request");
        assert_forwarded_for(&seen, "bob");
        names::assert_nothing_forged(&seen);
        names::assert_only_their_own(&seen);
    }
    let Some(php) = Php::start(SHOWS_VARIABLES) else {
        return;
    };
    let setup = Setup {
        role: Role::GatewayInClearTo(php.address),
        ..Setup::default()
    };
    let gateway = Gateway::start_with(proxy, &setup, "php").expect("installed");
    let bob = gateway.key("bob", &[]);
    for fields in names::forged_in_every_spelling() {
        let fields = format!("{}{fields}{bob}", names::forged_in_their_own());
        let read = php.variables(&gateway.front.ask(request("/granted", &fields)));
        assert_eq!(read["HTTP_X_CONSUMER"], "bob", "{fields}");
        assert_eq!(read["HTTP_X_SHARED_SECRET"], SECRET, "{fields}");
        assert!(!read.to_string().contains("forged"), "{fields}: {read}");
    }
}

fn without_the_guard_nothing_passes(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "down") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    let Gateway { front, guard, keys } = gateway;
    let before = front.seen().len();
    drop(guard);
    assert_unavailable(&front.ask(request("/forbidden", &bob)));
    assert_unavailable(&front.ask(request("/forbidden", "")));
    // One without keys is no better.
    let listen = format!("unix:{}", front.socket().display());
    let mut variables = vec![("SHARED_SECRET", SECRET), ("GATEWAY_LISTEN", &listen)];
    variables.extend(proxy.socket_group());
    let guard = Guard::with(&variables);
    guard.wait_for_log(|line| line.contains(&format!("listening address={listen}")));
    let answer = front.ask(request("/forbidden", &bob));
    assert_denied(&answer, 500, MISCONFIGURED, None, "no keys configured");
    assert_eq!(front.seen().len(), before);
    drop(keys);
}

fn nothing_is_smuggled_past_the_gateway(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "smuggled") else {
        return;
    };
    let bob = gateway.key("bob", &[]);
    let key = bob
        .trim_end()
        .strip_prefix("Authorization: Bearer ")
        .expect("it");
    smuggling::run_past_the_gateway(&gateway.front, key);
    for seen in gateway.front.seen() {
        assert_forwarded_for(&seen, "bob");
        assert!(!format!("{seen:?}").contains(key), "{seen:?}");
    }
}

fn the_whole_way_to_a_backend(proxy: Proxy) {
    let setup = Setup {
        tls: true,
        ..Setup::default()
    };
    let Some(origin) = Front::start(proxy, &setup) else {
        return;
    };
    let _guard = origin.guard();
    let authority = origin.folder.file("fullchain.pem");
    let role = Role::GatewayTo(origin.address, authority.clone());
    let gateway = Gateway::start(proxy, role, "whole").expect("installed, as the origin is");
    let alice = gateway.key("alice", &["--metadata", METADATA]);

    let body = vec![b'x'; 1 << 20];
    let length = body.len();
    let posting =
        format!("POST /granted HTTP/1.1\r\nHost: x\r\n{alice}Content-Length: {length}\r\n\r\n");
    let answer = gateway.front.ask([posting.as_bytes(), &body].concat());
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = origin.seen().pop().expect("a request");
    assert_eq!(seen.body, length as u64);
    assert_forwarded_for(&seen, "alice");
    assert!(seen.field("x-consumer-metadata").is_some(), "{seen:?}");

    let mut stream = gateway.front.connect();
    let upgrading = request(
        "/granted",
        &format!("{alice}Connection: Upgrade\r\n{UPGRADE}"),
    );
    stream.write_all(upgrading.as_bytes()).expect("sent");
    assert_eq!(
        Answer::read(&mut stream, true).expect("an answer").status,
        101
    );
    stream.write_all(b"\x81\x05hello").expect("sent");
    let mut echo = [0; 7];
    stream.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"\x81\x05hello");

    // Around the gateway.
    let before = origin.seen().len();
    let answer = gateway.ask("/forbidden", "");
    assert_denied(&answer, 401, ABSENT, Some(ASKS), "no key");
    if installed("curl", "apt install curl") {
        assert_eq!(straight_to(&origin, &authority, &alice), "401");
    }
    assert_eq!(origin.seen().len(), before);
}

/// The status of what the origin answers to a client with an API key alone.
fn straight_to(origin: &Front, authority: &str, field: &str) -> String {
    let port = origin.address.port();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--output",
            "/dev/null",
        ])
        .args(["--cacert", authority, "--header", field.trim_end()])
        .args(["--resolve", &format!("origin.example:{port}:127.0.0.1")])
        .args(["--write-out", "%{http_code}"])
        .arg(format!("https://origin.example:{port}/forbidden"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("ASCII")
}

fn the_whole_way_to_the_guard_itself(proxy: Proxy) {
    let origin = Guard::start();
    let role = Role::GatewayInClearTo(origin.address);
    let Some(gateway) = Gateway::start(proxy, role, "itself") else {
        return;
    };
    let alice = bearer(&gateway.keys.add("alice", &["--metadata", METADATA]));
    let since = Instant::now();
    loop {
        let answer = gateway.ask("/protected", &alice);
        if answer.status == 200 {
            assert_eq!(answer.body, br#"{"message":"Access granted"}"#);
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{answer:?}");
    }
    let straight = origin.ask(request("/protected", &alice));
    assert_eq!(straight.status, 401);
}

fn keys_change_under_load(proxy: Proxy) {
    let Some(gateway) = Gateway::start(proxy, Role::Gateway, "load") else {
        return;
    };
    let (steady, leaving) = (gateway.key("steady", &[]), gateway.key("leaving", &[]));
    let rotating = gateway.keys.add("rotating", &[]);
    gateway.ask_until(200, &bearer(&rotating));
    let id = |field: &str| {
        let key = field.trim_end().rsplit(' ').next().expect("a key");
        gateway.keys.id(key)
    };
    let done = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    let answer = gateway.ask("/granted", &steady);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        let _stop = Stop(&done);
        // Revoked: out, and it stays out.
        gateway.keys.must(&["revoke", &id(&leaving)]);
        gateway.ask_until(401, &leaving);
        // Rotated: both are good, then the new one alone.
        let fresh = gateway
            .keys
            .must(&["rotate", &id(&rotating), "--overlap", "3s"]);
        let fresh = bearer(fresh.trim_end());
        gateway.ask_until(200, &fresh);
        gateway.ask_until(401, &bearer(&rotating));
        assert_eq!(gateway.ask("/granted", &fresh).status, 200);
        assert_denied(
            &gateway.ask("/forbidden", &leaving),
            401,
            INVALID,
            Some(ERRS),
            "revoked",
        );
        gateway.guard.wait_for_log(|line| {
            line.contains("reason=revoked") && line.contains("client=127.0.0.1")
        });
        let (before, since) = (answered.load(SeqCst), Instant::now());
        while answered.load(SeqCst) < before + 100 {
            assert!(since.elapsed() < PATIENCE, "no answers");
            std::thread::yield_now();
        }
    });
    assert!(
        gateway
            .front
            .seen()
            .iter()
            .all(|seen| seen.target() == "/granted")
    );
}
