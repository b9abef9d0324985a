//! What goes out for what came in, each way.

use proptest::prelude::*;

use super::*;
use crate::http1::edits::{AnswerEdits, Edits};
use crate::http1::framing::{BodyLength, KeepAlive};
use crate::http1::request::{Outcome, RequestHead, read};
use crate::http1::response::{Asked, ResponseOutcome, read_response};
use crate::http1::scan::Scan;
use crate::http1::version::Version;
use crate::net::{Peer, UNIX_PEER};

const LIMIT: usize = 65536;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn peer() -> Peer {
    "192.0.2.1:4000".parse().expect("a peer")
}

fn own() -> OwnFields {
    OwnFields::new(&["X-Shared-Secret"])
}

fn read_head<R>(bytes: &[u8], then: impl FnOnce(&RequestHead<'_, '_>) -> R) -> R {
    match read(bytes, &mut Scan::default(), LIMIT, then) {
        Outcome::Complete(made) => made,
        Outcome::Partial => panic!("{} is partial", bytes.escape_ascii()),
        Outcome::Refused(error) => panic!("{}: {error}", bytes.escape_ascii()),
    }
}

/// A way for a request to go, and what is printed for it.
struct Way {
    edits: Edits,
    peer: Peer,
    trusted: bool,
    host: HostRule<'static>,
}

const CLIENTS_HOST: HostRule<'static> = HostRule::Client {
    otherwise: "backend:3000",
};

impl Way {
    fn granted() -> Self {
        Self {
            edits: Edits::Granted,
            peer: peer(),
            trusted: false,
            host: CLIENTS_HOST,
        }
    }

    fn public() -> Self {
        Self {
            edits: Edits::Public,
            ..Self::granted()
        }
    }

    fn print(&self, head: &RequestHead<'_, '_>) -> Vec<u8> {
        let forwarding = Forwarding {
            own: &own(),
            peer: self.peer,
            proto: "https",
            trusted: self.trusted,
            loop_id: "og-1",
            host: self.host,
        };
        let mut out = b"before".to_vec();
        request_head(&mut out, head, &self.edits, &forwarding);
        out.split_off(b"before".len())
    }

    /// Forwards a GET with `fields`, and returns what becomes of them: all lines but the
    /// request line, Host, and what is the same for every request of this way.
    fn fields(&self, fields: &str) -> String {
        let bytes = format!("GET /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let out = read_head(bytes.as_bytes(), |head| self.print(head));
        let out = String::from_utf8(out).expect("UTF-8");
        let out = out
            .strip_prefix("GET /a HTTP/1.1\r\nHost: x\r\n")
            .expect("a start");
        out.strip_suffix("\r\n").expect("an end").to_owned()
    }

    /// The same, without what we add to a request that has nothing of it.
    fn rest(&self, fields: &str) -> String {
        let added = self.fields("");
        let out = self.fields(fields);
        out.strip_suffix(&added).unwrap_or(&out).to_owned()
    }
}

#[test]
fn a_request_is_printed_as_it_was_understood() {
    for (came, went) in [
        (
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n",
        ),
        (
            "\r\nPURGE /[a]|\u{e4}?b=50%&c HTTP/1.9\r\nA:  b\t\r\nhOST:x:80\r\nC:\r\n\r\n",
            "PURGE /[a]|\u{e4}?b=50%&c HTTP/1.1\r\nHost: x:80\r\nA: b\r\nC: \r\n",
        ),
        (
            "GET http://y.example?a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /?a HTTP/1.1\r\nHost: y.example\r\n",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n",
        ),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: backend:3000\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 005, 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding:, CHUNKED\r\nTrailer: A\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n",
        ),
    ] {
        let out = read_head(came.as_bytes(), |head| Way::granted().print(head));
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(out.starts_with(went), "{came:?} went as {out:?}");
        let rest = &out[went.len()..];
        assert!(
            rest.starts_with("X-Forwarded-For: 192.0.2.1\r\n"),
            "{came:?} and {rest:?}"
        );
        assert!(
            rest.ends_with("CDN-Loop: og-1\r\n\r\n"),
            "{came:?} and {rest:?}"
        );
    }
}

#[test]
fn hosts_are_the_clients_or_the_origins() {
    let way = Way {
        host: HostRule::Own("origin.example"),
        ..Way::granted()
    };
    let bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let out = String::from_utf8(read_head(bytes, |head| way.print(head))).expect("UTF-8");
    assert!(out.contains("\r\nHost: origin.example\r\n"), "{out}");
    assert!(out.contains("\r\nX-Forwarded-Host: x\r\n"), "{out}");
    assert_eq!(out.matches("Host: x").count(), 1, "{out}");
}

#[test]
fn what_is_for_one_hop_or_ours_does_not_pass() {
    for way in [Way::granted(), Way::public()] {
        for field in [
            "X-Shared-Secret: a",
            "x-shared-secret: a",
            "X_Shared_Secret: a",
            "X.Consumer: a",
            "X_Consumer-Metadata: a",
            "X-Forwarded_For: a",
            "X_Forwarded_Proto: http",
            "X-Forwarded~Anything: a",
            "X_Real_IP: a",
            "CDN_Loop: a",
            "Transfer_Encoding: chunked",
            "Content_Length: 5",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Trailer: A",
            "Proxy: http://a",
            "Proxy-Authorization: a",
            "Proxy-Connection: keep-alive",
            "Proxy_Anything: a",
            "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            "Upgrade: h2c",
            "Connection: keep-alive",
            "Connection: A\r\nA: b",
            "a: b\r\nConnection: foo,\tA\r\nConnection: bar",
        ] {
            assert_eq!(way.rest(&format!("{field}\r\n")), "", "{field}");
        }
    }
}

#[test]
fn what_is_not_ours_passes_where_the_secret_came() {
    let kept = "A: b\r\na: c\r\nCookie: d\r\nAuthorization: e\r\nContent-Type: f\r\nVia: g\r\n\
                X-Consumer: h\r\nx-consumer-metadata: {}\r\nForwarded: for=i\r\nX-Real-IP: j\r\n\
                X-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /k\r\nX_Other: l\r\n";
    assert_eq!(Way::granted().rest(kept), kept);
    let public = "User-Agent: a\r\nAccept: b\r\nAccept-Encoding: c\r\nRange: bytes=0-\r\n\
                  If-None-Match: \"d\"\r\nIf-Range: e\r\nOrigin: f\r\n";
    assert_eq!(Way::public().rest(&format!("{kept}{public}")), public);
    let trusted = Way {
        trusted: true,
        ..Way::public()
    };
    let forwarded = "X-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /k\r\n";
    assert_eq!(
        trusted.rest(&format!("{kept}{public}")),
        format!("{forwarded}{public}")
    );
}

#[test]
fn connection_names_nothing_away_that_is_needed() {
    let fields = "X-Consumer: a\r\nCookie: b\r\nAuthorization: c\r\nContent-Type: d\r\nA: e\r\n";
    let names = "Connection: X-Consumer, cookie, Authorization, CONTENT-TYPE, Host, a, CDN-Loop, \
                 X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Shared-Secret\r\n";
    let kept = "X-Consumer: a\r\nCookie: b\r\nAuthorization: c\r\nContent-Type: d\r\n";
    for order in [format!("{fields}{names}"), format!("{names}{fields}")] {
        assert_eq!(Way::granted().rest(&order), kept);
    }
}

#[test]
fn the_gateways_word_on_who_asked_is_believed_and_a_clients_is_not() {
    let ours = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: x\r\n\
                CDN-Loop: og-1\r\n";
    let said = "X-Forwarded-For: 203.0.113.7,, unknown ,\r\nX-Forwarded-Proto: http\r\n\
                X-Forwarded-Host: public.example:8443\r\nx-forwarded-for: [2001:db8::1]:99\r\n";
    let believed = "X-Forwarded-For: 203.0.113.7, unknown, [2001:db8::1]:99, 192.0.2.1\r\n\
                    X-Forwarded-Proto: http\r\nX-Forwarded-Host: public.example:8443\r\n\
                    CDN-Loop: og-1\r\n";
    let trusted = Way {
        trusted: true,
        ..Way::public()
    };
    assert_eq!(Way::granted().fields(said), believed);
    assert_eq!(trusted.fields(said), believed);
    assert_eq!(Way::public().fields(said), ours);
    for way in [Way::granted(), Way::public(), trusted] {
        assert_eq!(way.fields(""), ours);
        for faulty in [
            "X-Forwarded-Proto: http, https\r\n",
            "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: http\r\n",
            "X-Forwarded-Proto:\r\n",
            "X-Forwarded-Proto: ://\r\n",
            "X-Forwarded-Host: a, b\r\n",
            "X-Forwarded-Host: a/b\r\n",
            "X-Forwarded-Host:\r\n",
            "X-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n",
            "X-Forwarded-For:\r\n",
            "X-Forwarded-For: ,\t,\r\n",
        ] {
            assert_eq!(way.fields(faulty), ours, "{faulty}");
        }
    }
}

#[test]
fn peers_are_named_by_address_and_unix_ones_not_at_all() {
    for (peer, named) in [
        ("192.0.2.1:1", "192.0.2.1"),
        ("255.10.0.100:1", "255.10.0.100"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ("[2001:db8::1]:1", "2001:db8::1"),
    ] {
        let way = Way {
            peer: peer.parse().expect("a peer"),
            ..Way::granted()
        };
        let line = format!("X-Forwarded-For: {named}\r\n");
        assert!(
            way.fields("").starts_with(&line),
            "{peer}: {}",
            way.fields("")
        );
    }
    let unix = Way {
        peer: UNIX_PEER,
        ..Way::granted()
    };
    assert!(unix.fields("").starts_with("X-Forwarded-Proto"));
    assert!(
        unix.fields("X-Forwarded-For: a\r\n")
            .starts_with("X-Forwarded-For: a\r\nX-Forwarded-Proto")
    );
    assert!(
        unix.fields("X-Forwarded-For: ,\r\n")
            .starts_with("X-Forwarded-Proto")
    );
}

#[test]
fn websocket_alone_is_upgraded_to() {
    let asks = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: a\r\n";
    let goes = "Sec-WebSocket-Key: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(Way::granted().rest(asks), goes);
    assert_eq!(Way::public().rest(asks), "");
    for asks in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\n",
    ] {
        assert_eq!(Way::granted().rest(asks), "", "{asks}");
    }
    for line in ["POST / HTTP/1.1", "GET / HTTP/1.0"] {
        let bytes =
            format!("{line}\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert!(
            !read_head(bytes.as_bytes(), |head| head.upgrades_to_websocket),
            "{line}"
        );
    }
    let body = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                Content-Length: 5\r\n\r\n";
    assert!(!read_head(body.as_bytes(), |head| head.upgrades_to_websocket));
}

#[test]
fn loops_are_seen_and_every_hop_is_kept() {
    let is_loop = |fields: &str| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        read_head(bytes.as_bytes(), |head| is_loop(head, "og-1"))
    };
    for (fields, wanted) in [
        ("", false),
        ("CDN-Loop: og-1\r\n", true),
        ("cdn-loop: a, OG-1 ;b=c\r\n", true),
        ("CDN-Loop: a\r\nCDN-Loop: og-1\r\n", true),
        ("CDN-Loop: og-2, og-10, a;og-1\r\n", false),
        ("Via: og-1\r\n", false),
    ] {
        assert_eq!(is_loop(fields), wanted, "{fields}");
    }
    for way in [Way::granted(), Way::public()] {
        let out = way.fields("CDN-Loop: a;b=\"c,d\"\r\ncdn-loop:\r\ncdn-loop: e\r\n");
        assert!(out.ends_with("CDN-Loop: a;b=\"c,d\", e, og-1\r\n"), "{out}");
    }
}

#[test]
fn a_public_request_has_no_body() {
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        assert_eq!(Way::public().rest(&format!("{field}\r\n")), "", "{field}");
    }
}

/// What goes out to a client for the head of an answer.
fn answer(
    came: &str,
    version: Version,
    is_head: bool,
    keep_alive: KeepAlive,
) -> (String, ClientBody) {
    let asked = Asked {
        is_head,
        upgrades: true,
    };
    let read = read_response(
        came.as_bytes(),
        &mut Scan::default(),
        LIMIT,
        asked,
        |head| {
            let client = ClientSide {
                version,
                is_head,
                keep_alive,
                own: &own(),
                edits: &AnswerEdits::default(),
                date: DATE,
            };
            let mut out = Vec::new();
            let body = response_head(&mut out, head, &client);
            (String::from_utf8(out).expect("UTF-8"), body)
        },
    );
    match read {
        ResponseOutcome::Complete(printed) => printed,
        other => panic!("{came:?}: {other:?}"),
    }
}

#[test]
fn an_answer_is_framed_for_its_client() {
    use ClientBody::{Chunked, None, Sized, UntilClose};
    use KeepAlive::{Close, Keep, KeepSaid};
    use Version::{Http10, Http11};
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    for (came, version, keep_alive, framed, body) in [
        (length, Http11, Keep, "Content-Length: 5\r\n", Sized(5)),
        (
            chunked,
            Http11,
            Keep,
            "Transfer-Encoding: chunked\r\n",
            Chunked,
        ),
        (
            open,
            Http11,
            Keep,
            "Transfer-Encoding: chunked\r\n",
            Chunked,
        ),
        (
            length,
            Http11,
            Close,
            "Content-Length: 5\r\nConnection: close\r\n",
            Sized(5),
        ),
        (
            length,
            Http10,
            KeepSaid,
            "Content-Length: 5\r\nConnection: keep-alive\r\n",
            Sized(5),
        ),
        (
            chunked,
            Http10,
            KeepSaid,
            "Connection: close\r\n",
            UntilClose,
        ),
        (open, Http10, KeepSaid, "Connection: close\r\n", UntilClose),
    ] {
        let wanted = format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\n{framed}\r\n");
        assert_eq!(
            answer(came, version, false, keep_alive),
            (wanted, body),
            "{came}"
        );
    }
    for (came, framed) in [(length, "Content-Length: 5\r\n"), (chunked, ""), (open, "")] {
        let wanted = format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\n{framed}\r\n");
        assert_eq!(
            answer(came, Http11, true, Keep),
            (wanted.clone(), None),
            "{came}"
        );
        let (came, wanted) = (came.replace("200", "304"), wanted.replace("200", "304"));
        assert_eq!(answer(&came, Http11, false, Keep), (wanted, None), "{came}");
        let came = came.replace("304", "204");
        let wanted = format!("HTTP/1.1 204 OK\r\nDate: {DATE}\r\n\r\n");
        assert_eq!(answer(&came, Http11, false, Keep), (wanted, None), "{came}");
    }
}

#[test]
fn interim_answers_pass_but_for_ours() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: keep-alive\r\n\r\n";
    let wanted = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned();
    let close = KeepAlive::Close;
    let none = (String::new(), ClientBody::None);
    assert_eq!(
        answer(hints, Version::Http11, false, close),
        (wanted, ClientBody::None)
    );
    assert_eq!(answer(hints, Version::Http10, false, close), none);
    let ours = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(answer(ours, Version::Http11, false, close), none);
    let tunnel = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nA: b\r\n\
                  Connection: Upgrade\r\nSec-WebSocket-Accept: c\r\n\r\n";
    let wanted = "HTTP/1.1 101 Switching Protocols\r\nA: b\r\nSec-WebSocket-Accept: c\r\n\
                  Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let wanted = (wanted.to_owned(), ClientBody::None);
    assert_eq!(
        answer(tunnel, Version::Http11, false, KeepAlive::Keep),
        wanted
    );
}

#[test]
fn an_answer_keeps_what_is_the_backends_and_loses_what_is_for_one_hop() {
    let kept = "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\nServer: a\r\nSet-Cookie: b\r\n\
                Set-Cookie: c\r\nStrict-Transport-Security: d\r\nAlt-Svc: e\r\n\
                Content-Encoding: gzip\r\nX-Forwarded-Anything: f\r\nX-Accel-Buffering: no\r\n";
    let lost = "Keep-Alive: timeout=5\r\nUpgrade: h2,h2c\r\nConnection: upgrade, Gone, set-cookie2\r\n\
                Gone: a\r\nProxy-Authenticate: b\r\nX-Shared-Secret: c\r\nX_SHARED_SECRET: d\r\n\
                Transfer_Encoding: chunked\r\nTrailer: e\r\nTE: f\r\nSet-Cookie2: g\r\n";
    let came = format!("HTTP/1.1 404 \r\n{lost}{kept}Content-Length: 0\r\n\r\n");
    let wanted = format!("HTTP/1.1 404 \r\n{kept}Content-Length: 0\r\n\r\n");
    let printed = answer(&came, Version::Http11, false, KeepAlive::Keep);
    assert_eq!(printed, (wanted, ClientBody::Sized(0)));
    let chunked = "HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (out, _) = answer(chunked, Version::Http11, false, KeepAlive::Keep);
    assert!(out.contains("\r\nTrailer: A\r\n"), "{out}");
    let (out, _) = answer(chunked, Version::Http10, false, KeepAlive::Close);
    assert!(!out.contains("Trailer"), "{out}");
}

#[test]
fn trailers_pass_unless_they_frame_route_or_set_cookies() {
    let print = |raw: &str| {
        let mut out = Vec::new();
        trailers(&mut out, raw.as_bytes(), &own(), None);
        String::from_utf8(out).expect("UTF-8")
    };
    assert_eq!(print(""), "0\r\n\r\n");
    let raw = "A:b\r\nSet-Cookie: c\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
               Host: d\r\nConnection: close\r\nX-Shared-Secret: e\r\nLocation: /f\r\nTrailer: g\r\n\
               Content_Length: 5\r\nDigest: h\r\n";
    assert_eq!(print(raw), "0\r\nA: b\r\nDigest: h\r\n\r\n");
}

/// Names that are ours or frame, in one spelling or another, and others.
fn name() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "X-Shared-Secret",
        "X-Consumer",
        "X-Consumer-Metadata",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "Forwarded",
        "X-Real-IP",
        "CDN-Loop",
        "Keep-Alive",
        "Proxy-Authorization",
        "TE",
        "Accept",
        "Cookie",
        "A",
    ]);
    let folds = prop::sample::select(vec!["-", "_", ".", "~"]);
    (names, folds).prop_map(|(name, fold)| name.replace('-', fold))
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "a",
        "a, b",
        "close",
        "x-consumer",
        "http",
        "[::1]",
        ",",
        "\u{e4}",
    ])
    .prop_map(str::to_owned)
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET /?a[]=|",
        "POST /",
        "OPTIONS *",
        "QUERY http://y/z",
        "HEAD /\u{e4}",
    ]);
    let framing = prop::sample::select(vec![
        "",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
    ]);
    let connection = prop::collection::vec(name(), 0..3);
    let fields = prop::collection::vec((name(), value()), 0..12);
    (line, framing, connection, fields).prop_map(|(line, framing, connection, fields)| {
        let connection = match connection.join(", ") {
            options if options.is_empty() => options,
            options => format!("Connection: {options}\r\n"),
        };
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let fields = lines.concat();
        format!("{line} HTTP/1.1\r\nHost: x\r\n{framing}{connection}{fields}\r\n").into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_backend_reads_what_we_understood(bytes in request(), is_public: bool, trusted: bool) {
        let way = Way {
            edits: if is_public { Edits::Public } else { Edits::Granted },
            trusted,
            ..Way::granted()
        };
        read_head(&bytes, |came| {
            let out = way.print(came);
            read_head(&out, |went| {
                assert_eq!(went.length, out.len());
                assert_eq!((went.method, &went.target.path_and_query, went.host),
                           (came.method, &came.target.path_and_query, came.host));
                let is_tunnel = came.upgrades_to_websocket && !is_public;
                assert_eq!(went.upgrades_to_websocket, is_tunnel);
                let body = if is_public || is_tunnel { BodyLength::None } else { came.body };
                assert_eq!(went.body, body);
                assert!(is_loop(went, "og-1"));
                let once = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "cdn-loop"];
                for name in once {
                    let same = went.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
                    assert_eq!(same.count(), 1, "{name}");
                }
                for field in went.fields {
                    let folded: String = field.name.to_ascii_lowercase().replace(['_', '.', '~'], "-");
                    assert_ne!(folded, "x-shared-secret");
                    let is_ours = folded.starts_with("x-consumer") || folded.starts_with("x-forwarded")
                        || folded == "x-real-ip" || folded == "cdn-loop";
                    assert!(!is_ours || folded.eq_ignore_ascii_case(field.name), "{}", field.name);
                    assert!(!is_public || !folded.starts_with("x-consumer"), "{}", field.name);
                }
            });
        });
    }
}
