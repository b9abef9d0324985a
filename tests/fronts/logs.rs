//! What a proxy's own log says of a request, and what it must not.

use std::time::Instant;

use crate::front::{Front, Proxy, Setup};
use crate::support::{PATIENCE, SECRET};

with_each_proxy! {
    the_log_says_that_the_guard_is_down
}

// nginx logs no fields.
with_each!([caddy Caddy haproxy Haproxy envoy Envoy] no_log_shows_the_secret);

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// Waits until the log has a line with all of `parts`.
fn wait_for(front: &Front, parts: &[&str]) {
    let since = Instant::now();
    let is_there = |log: &str| {
        let mut lines = log.lines();
        lines.any(|line| parts.iter().all(|part| line.contains(part)))
    };
    while !is_there(&front.log()) {
        assert!(
            since.elapsed() < PATIENCE,
            "no {parts:?} in {}",
            front.log()
        );
        std::thread::yield_now();
    }
}

fn the_log_says_that_the_guard_is_down(proxy: Proxy) {
    let Some(front) = Front::start(proxy, &Setup::default()) else {
        return;
    };
    let fields = format!("X-Shared-Secret: {SECRET}\r\n");
    assert_eq!(front.ask(request("/forbidden", &fields)).status, 503);
    let parts: &[&str] = match proxy {
        Proxy::Nginx => &["guard.sock", "failed"],
        Proxy::Caddy => &["\"level\":\"error\"", "\"status\":503", "/forbidden"],
        Proxy::Haproxy => &[" 503 ", "/forbidden"],
        Proxy::Envoy => &[" 503 UAEX ", "/forbidden"],
    };
    wait_for(&front, parts);
    assert!(!front.log().contains(SECRET), "{}", front.log());
}

fn no_log_shows_the_secret(proxy: Proxy) {
    // As much as a proxy's file lets it log.
    let changes = match proxy {
        Proxy::Caddy => vec![("level ERROR".to_owned(), "level INFO".to_owned())],
        Proxy::Envoy => vec![(
            "default_value: 500, runtime_key".to_owned(),
            "default_value: 0, runtime_key".to_owned(),
        )],
        Proxy::Nginx | Proxy::Haproxy => Vec::new(),
    };
    let setup = Setup {
        changes,
        ..Setup::default()
    };
    let Some((front, _guard)) = Front::guarded_with(proxy, &setup) else {
        return;
    };
    let mut asked = 0;
    let names = [
        "X-Shared-Secret",
        "x-shared-SECRET",
        "X_Shared_Secret",
        "X.Shared.Secret",
    ];
    for name in names {
        for value in [SECRET.to_owned(), format!("{SECRET}x")] {
            front.ask(request("/granted", &format!("{name}: {value}\r\n")));
            asked += 1;
        }
    }
    let since = Instant::now();
    let lines = || {
        front
            .log()
            .lines()
            .filter(|line| line.contains("/granted"))
            .count()
    };
    while lines() < asked {
        assert!(since.elapsed() < PATIENCE, "{}", front.log());
        std::thread::yield_now();
    }
    assert!(!front.log().contains(SECRET), "{}", front.log());
    // A line for each, and none for the question to the guard.
    assert_eq!(lines(), asked, "{}", front.log());
    assert!(!front.log().contains("HTTPCLIENT"), "{}", front.log());
    assert!(!front.log().contains("/verify"), "{}", front.log());
}
