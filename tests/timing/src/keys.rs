//! API keys that are not good: what the gateway does with each kind, in front of `ORIGIN` and
//! where a proxy asks.
//!
//! A sample is the bytes of a request, all of one length; what is measured is all that
//! happens from them to the answer.
//!
//! The places in memory that a text leads to depend on its digest, known or not, and one place
//! is a fraction of a nanosecond nearer than another. So the keys of one file differ from all
//! texts that there are, as any few texts do. That is no matter of their kind, so the file is
//! small enough for the nearest cache, and is drawn anew many times.

use std::fmt::Write as _;
use std::sync::Arc;

use dudect_bencher::rand::RngExt as _;
use dudect_bencher::{BenchRng, CtRunner};
use origin_guard::auth::secrets::{Digest, Secrets};
use origin_guard::handler::{Decision, Handler};
use origin_guard::handlers::edge::Edge;
use origin_guard::handlers::gateway::Gateway;
use origin_guard::handlers::guesses::Guesses;
use origin_guard::http1::forwarded::TrustedProxies;
use origin_guard::http1::request::{Outcome, read};
use origin_guard::http1::scan::Scan;
use origin_guard::keys::text::Key;
use origin_guard::keys::{Id, Keys};
use origin_guard::net::UNIX_PEER;

use crate::lots::{Measure, run_part, samples};

pub const ALL: [(&str, Measure); 10] = [
    // Equal inputs: what shows here is the noise of the measurement.
    ("/authorize: unknown key or another one", |runner, rng| {
        compare(runner, rng, gateway, Kind::Unknown);
    }),
    ("ORIGIN: unknown key or another one", |runner, rng| {
        compare(runner, rng, edge, Kind::Unknown);
    }),
    ("/authorize: unknown or revoked key", |runner, rng| {
        compare(runner, rng, gateway, Kind::Revoked);
    }),
    ("/authorize: unknown or expired key", |runner, rng| {
        compare(runner, rng, gateway, Kind::Expired);
    }),
    (
        "/authorize: unknown key or wrong checksum",
        |runner, rng| {
            compare(runner, rng, gateway, Kind::Checksum);
        },
    ),
    ("/authorize: unknown key or wrong letters", |runner, rng| {
        compare(runner, rng, gateway, Kind::Letters);
    }),
    ("ORIGIN: unknown or revoked key", |runner, rng| {
        compare(runner, rng, edge, Kind::Revoked);
    }),
    ("ORIGIN: unknown or expired key", |runner, rng| {
        compare(runner, rng, edge, Kind::Expired);
    }),
    ("ORIGIN: unknown key or wrong checksum", |runner, rng| {
        compare(runner, rng, edge, Kind::Checksum);
    }),
    ("ORIGIN: unknown key or wrong letters", |runner, rng| {
        compare(runner, rng, edge, Kind::Letters);
    }),
];

/// Keys that a file holds.
const KEYS: usize = 32;
/// Files of a class.
const FILES: usize = 100;
const SECRET: &str = "timing-secret-0123456789abcdef";
const LIMIT: usize = 65_536;

/// Why a key is not good.
#[derive(Clone, Copy)]
enum Kind {
    Unknown,
    Revoked,
    Expired,
    /// Well-formed but for its checksum.
    Checksum,
    /// As long as a key, with a letter that no key has.
    Letters,
}

/// A file of keys that are all revoked or all expired, and their texts.
fn keys(kind: Kind) -> (Arc<Keys>, Vec<String>) {
    let mut file = String::from("{\"version\":1,\"keys\":[");
    let mut texts = Vec::new();
    let end = match kind {
        Kind::Expired => "expires",
        _ => "revoked",
    };
    for number in 0..KEYS {
        let key = Key::fresh().expect("randomness");
        let digest = key.digest();
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(
            file,
            "{comma}\n{{\"id\":\"{}\",\"digest\":\"",
            Id::of(&digest)
        );
        for byte in digest {
            let _ = write!(file, "{byte:02x}");
        }
        // What is sent along of a good key must not be what betrays another one.
        let _ = write!(
            file,
            "\",\"consumer\":\"consumer-{number}\",\"created\":\"2020-01-01T00:00:00Z\",\
             \"{end}\":\"2021-01-01T00:00:00Z\",\"metadata\":{{\"note\":\"{}\"}}}}",
            "x".repeat(1000)
        );
        texts.push(String::from_utf8(key.as_bytes().to_vec()).expect("ASCII"));
    }
    file.push_str("]}");
    let path = std::env::temp_dir().join(format!("origin-guard-timing-{}", std::process::id()));
    std::fs::write(&path, file).expect("written");
    let keys = Keys::open(&path).expect("a file of keys").keys;
    std::fs::remove_file(&path).expect("removed");
    (Arc::new(keys), texts)
}

fn gateway(keys: Arc<Keys>, secrets: Arc<Secrets>) -> Box<dyn Handler> {
    Box::new(Gateway {
        key_header: "Authorization".into(),
        secret_header: "X-Shared-Secret".into(),
        keys: Some(keys),
        secrets,
        guesses: Guesses::default(),
        trusted_proxies: TrustedProxies::default(),
        access_log: false,
    })
}

fn edge(keys: Arc<Keys>, secrets: Arc<Secrets>) -> Box<dyn Handler> {
    Box::new(Edge {
        key_header: "Authorization".into(),
        key_parameter: None,
        cors_origins: Vec::new(),
        secret_header: "X-Shared-Secret".into(),
        keys: Some(keys),
        secrets,
        guesses: Guesses::default(),
        trusted_proxies: TrustedProxies::default(),
        access_log: false,
    })
}

fn secrets() -> Arc<Secrets> {
    // What is counted is counted as in the program.
    origin_guard::status::start();
    let current = Some(SECRET.to_owned().into());
    Arc::new(Secrets::with_text(
        vec![Digest::of(SECRET.as_bytes())],
        current,
    ))
}

fn compare(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    handler: fn(Arc<Keys>, Arc<Secrets>) -> Box<dyn Handler>,
    kind: Kind,
) {
    let secrets = secrets();
    for _ in 0..FILES {
        let (keys, texts) = keys(kind);
        let handler = handler(keys, Arc::clone(&secrets));
        let measured = |request: &Vec<u8>| decide(&*handler, request);
        run_part(
            samples().div_ceil(FILES),
            runner,
            rng,
            measured,
            |side, rng| {
                let kind = if side { kind } else { Kind::Unknown };
                let key = presented(kind, &texts, rng);
                format!("GET /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n")
                    .into_bytes()
            },
        );
    }
}

#[inline(never)]
fn decide(handler: &dyn Handler, request: &[u8]) -> Outcome<u16> {
    read(request, &mut Scan::default(), LIMIT, |head| {
        match handler.decide(head, UNIX_PEER) {
            Decision::Respond(answer) => answer.status(),
            Decision::Forward { .. } => panic!("no key here is good"),
        }
    })
}

/// A key of this kind; all are drawn and written in the same way.
fn presented(kind: Kind, texts: &[String], rng: &mut BenchRng) -> String {
    let known = &texts[rng.random_range(0..texts.len())];
    let fresh = Key::fresh().expect("randomness");
    let mut text = match kind {
        Kind::Revoked | Kind::Expired => known.as_bytes().to_vec(),
        Kind::Checksum | Kind::Letters | Kind::Unknown => fresh.as_bytes().to_vec(),
    };
    match kind {
        Kind::Checksum => text[41] = if text[41] == b'a' { b'b' } else { b'a' },
        Kind::Letters => text[5] = b'1',
        Kind::Revoked | Kind::Expired | Kind::Unknown => {}
    }
    String::from_utf8(text).expect("ASCII")
}
