//! The head parser: no bytes make it panic, reading them in two pieces comes to what
//! reading them at once does, and the backend reads what was understood.

#![no_main]

use libfuzzer_sys::fuzz_target;
use origin_guard::http1::edits::Edits;
use origin_guard::http1::framing::BodyLength;
use origin_guard::http1::request::{Outcome, RequestHead, read};
use origin_guard::http1::scan::Scan;
use origin_guard::net::UNIX_PEER;
use origin_guard::proxy::rewrite::{Forwarding, HostRule, OwnFields, request_head};

const LIMIT: usize = 65536;

fn seen(bytes: &[u8], scan: &mut Scan) -> Outcome<(usize, Vec<u8>)> {
    read(bytes, scan, LIMIT, |head| {
        let _ = head.to_request(UNIX_PEER);
        (head.length, printed(head))
    })
}

fn printed(head: &RequestHead<'_, '_>) -> Vec<u8> {
    let own = OwnFields::new(&["X-Shared-Secret"]);
    let forwarding = Forwarding {
        own: &own,
        peer: UNIX_PEER,
        proto: "http",
        trusted: false,
        loop_id: "og",
        host: HostRule::Client { otherwise: "x" },
    };
    let mut out = Vec::new();
    // One that is too long is refused by check_forwardable.
    if head.check_forwardable().is_err() || head.refusal.is_some() {
        return out;
    }
    for edits in [Edits::Public, Edits::Granted] {
        out.clear();
        request_head(&mut out, head, &edits, &forwarding);
        let again = read(&out, &mut Scan::default(), 2 * LIMIT, |again| {
            assert_eq!((again.length, again.method), (out.len(), head.method));
            assert_eq!(again.target.path_and_query, head.target.path_and_query);
            assert_eq!(again.host, head.host.or(Some(b"x")));
            let is_bare = matches!(edits, Edits::Public) || head.upgrades_to_websocket;
            let body = if is_bare { BodyLength::None } else { head.body };
            assert_eq!(again.body, body);
            assert!(own_names(again).all(|name| !name.eq_ignore_ascii_case("x_shared_secret")));
            assert!(own_names(again).all(|name| !name.eq_ignore_ascii_case("x-shared-secret")));
        });
        // A request of most fields may gain some.
        let is_full = head.fields.len() > 250;
        assert!(
            is_full || matches!(again, Outcome::Complete(())),
            "{again:?}"
        );
    }
    out
}

fn own_names<'h>(head: &'h RequestHead<'_, '_>) -> impl Iterator<Item = &'h str> {
    head.fields.iter().map(|field| field.name)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = seen(bytes, &mut Scan::default());
    let mut scan = Scan::default();
    let first = seen(&bytes[..bytes.len() / 2], &mut scan);
    let split = match first {
        Outcome::Partial => seen(bytes, &mut scan),
        decided => decided,
    };
    assert_eq!(split, whole);
});
