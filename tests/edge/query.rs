//! A key in the query: it opens the door, and is seen by nobody behind it.

use crate::both::gateway;
use crate::scripted::{Backend, Head, ok};
use crate::support::keys::KeyFile;
use crate::support::{Answer, Guard};

struct Way {
    keys: KeyFile,
    key: String,
    backend: Backend,
    gateway: Guard,
}

fn start(name: &str) -> Way {
    let keys = KeyFile::new(name);
    let key = keys.add("alice", &[]);
    let backend = Backend::new();
    let variables = [("API_KEY_QUERY", "api_key"), ("ACCESS_LOG", "1")];
    let gateway = gateway(&keys, &backend.url(), &variables);
    Way {
        keys,
        key,
        backend,
        gateway,
    }
}

impl Way {
    fn request(&self, target: &str, fields: &str) -> String {
        let text = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        text.replace("{key}", &self.key)
    }

    /// What reaches the backend of a request that is granted, and what it is answered.
    fn passes(&self, target: &str, fields: &str, answer: &str) -> (Head, Answer) {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.gateway.ask(self.request(target, fields)));
            let (mut peer, head) = self.backend.accept_head();
            peer.send(answer);
            (head, asking.join().expect("an answer"))
        })
    }
}

#[test]
fn the_key_leaves_target_referer_and_log_in_every_spelling() {
    let way = start("edge-query");
    // The first letter of the key, percent-encoded, and the rest as it is.
    let encoded = format!("%6f{}", &way.key[1..]);
    let answer = ok("").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for (target, arrives) in [
        ("/a?api_key={key}", "/a"),
        ("/a?x=%20&api_key={key}&y=[1]", "/a?x=%20&y=[1]"),
        ("/a?api%5fkey={key}", "/a"),
        ("/a?%61%70%69%5F%6b%65%79={key}&b", "/a?b"),
        ("/a?b&api_key={encoded}", "/a?b"),
        (
            "/a?b=api_key&Api_Key=other&api_key={key}",
            "/a?b=api_key&Api_Key=other",
        ),
    ] {
        let target = target.replace("{encoded}", &encoded);
        let referer = "Referer: https://app.example/p?q=1&api_key={key}&r=2&%61pi_key={key}\r\n";
        let (head, _) = way.passes(&target, referer, &answer);
        assert_eq!(head.line, format!("GET {arrives} HTTP/1.1"), "{target}");
        let referer = "https://app.example/p?q=1&r=2";
        assert_eq!(head.field("referer"), Some(referer), "{target}");
        let text = format!("{head:?}");
        assert!(!text.contains(&way.key[3..]), "{target}: {text}");
    }
    for denied in ["/a?api_key={key}x", "/a?api_key={key}&api_key={key}"] {
        let request = way.request(denied, "Referer: https://a.example/?api_key={key}\r\n");
        assert_eq!(way.gateway.ask(request).status, 401, "{denied}");
    }
    way.gateway.wait_for_log(|line| line.contains("status=401"));
    let log = way.gateway.log().join("\n");
    assert!(log.contains("path=/a status=200"), "{log}");
    assert!(!log.contains(&way.key[3..]), "{log}");
    drop(way.keys);
}

#[test]
fn a_key_in_two_places_is_none() {
    let way = start("edge-query-twice");
    let other = way.keys.add("bob", &[]);
    for (target, fields) in [
        ("/?api_key={key}&api_key={key}", ""),
        ("/?api_key={key}&api%5Fkey={key}", ""),
        ("/?api_key={key}&api_key=", ""),
        ("/?api_key&api_key={key}", ""),
        ("/?api_key={key}", "Authorization: Bearer {key}\r\n"),
        ("/?api_key={key}", "Authorization: Bearer {other}\r\n"),
        ("/?api_key={key}", "Authorization: Basic eDp5\r\n"),
        ("/?api_key=", "Authorization: Bearer {key}\r\n"),
        ("/?api_key={key}&api_key={other}", ""),
        ("/#?api_key={key}", ""),
    ] {
        let (target, fields) = (
            target.replace("{other}", &other),
            fields.replace("{other}", &other),
        );
        let status = way.gateway.ask(way.request(&target, &fields)).status;
        assert_eq!(
            status,
            if target.contains('#') { 400 } else { 401 },
            "{target} {fields}"
        );
        assert!(way.backend.accepted().is_none(), "{target} {fields}");
    }
    for nothing in [
        "/",
        "/?api_key=",
        "/?api_key",
        "/?Api_Key={key}",
        "/?api_key2={key}",
    ] {
        let answer = way.gateway.ask(way.request(nothing, ""));
        assert_eq!(
            answer.body, br#"{"error":"No API key provided"}"#,
            "{nothing}"
        );
    }
}

#[test]
fn no_shared_cache_may_keep_the_answer() {
    let way = start("edge-query-private");
    let answer = |field: &str| {
        format!("HTTP/1.1 200 OK\r\n{field}Connection: close\r\nContent-Length: 0\r\n\r\n")
    };
    for (field, kept) in [
        ("", &["private"][..]),
        ("Cache-Control: public, max-age=60\r\n", &["private"]),
        ("Cache-Control: no-store\r\n", &["no-store", "private"]),
    ] {
        let (_, answer) = way.passes("/?api_key={key}", "", &answer(field));
        let values: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "cache-control")
            .collect();
        let values: Vec<_> = values.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, kept, "{field}");
    }
    // With a key in its header it is the origin's affair.
    let bearer = "Authorization: Bearer {key}\r\n";
    let (_, answer) = way.passes("/", bearer, &answer("Cache-Control: public\r\n"));
    assert_eq!(answer.header("cache-control"), Some("public"));
}

#[test]
fn without_the_variable_a_query_is_the_origins() {
    let keys = KeyFile::new("edge-query-off");
    let key = keys.add("alice", &[]);
    let backend = Backend::new();
    let gateway = gateway(&keys, &backend.url(), &[]);
    let target = format!("/?api_key={key}");
    let get = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(gateway.ask(get).status, 401);
    assert!(backend.accepted().is_none());
}
