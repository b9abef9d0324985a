//! The heads of a backend: no bytes make their parser panic, reading them in two pieces
//! comes to what reading them at once does, and what is printed for the client reads as
//! what was understood.

#![no_main]

use libfuzzer_sys::fuzz_target;
use origin_guard::http1::edits::AnswerEdits;
use origin_guard::http1::framing::KeepAlive;
use origin_guard::http1::response::{
    Asked, ResponseBody, ResponseHead, ResponseOutcome, read_response,
};
use origin_guard::http1::scan::Scan;
use origin_guard::http1::version::Version;
use origin_guard::proxy::rewrite::{ClientBody, ClientSide, OwnFields, response_head};

const LIMIT: usize = 65536;

fn seen(bytes: &[u8], scan: &mut Scan, asked: Asked) -> ResponseOutcome<(usize, Vec<u8>)> {
    read_response(bytes, scan, LIMIT, asked, |head| {
        (head.length, printed(head, asked))
    })
}

fn printed(head: &ResponseHead<'_, '_>, asked: Asked) -> Vec<u8> {
    let own = OwnFields::new(&["X-Shared-Secret"]);
    let client = ClientSide {
        version: Version::Http11,
        is_head: asked.is_head,
        keep_alive: KeepAlive::Keep,
        own: &own,
        edits: &AnswerEdits::default(),
        date: "Sun, 06 Nov 1994 08:49:37 GMT",
    };
    let mut out = Vec::new();
    let body = response_head(&mut out, head, &client);
    if out.is_empty() {
        assert_eq!(head.status, 100);
        return out;
    }
    let again = read_response(&out, &mut Scan::default(), 2 * LIMIT, asked, |again| {
        assert_eq!((again.length, again.status), (out.len(), head.status));
        assert_eq!(again.reason, head.reason);
        let same = match body {
            ClientBody::None => again.body == ResponseBody::None,
            ClientBody::Sized(length) => again.body == ResponseBody::Sized(length),
            ClientBody::Chunked => again.body == ResponseBody::Chunked,
            ClientBody::UntilClose => false,
        };
        assert!(same, "{body:?} as {:?}", again.body);
    });
    // An answer of most fields may gain some.
    let is_full = head.fields.len() > 250;
    assert!(
        is_full || matches!(again, ResponseOutcome::Complete(())),
        "{again:?}"
    );
    out
}

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (is_head, upgrades, bytes) = input;
    let asked = Asked { is_head, upgrades };
    let whole = seen(bytes, &mut Scan::default(), asked);
    let mut scan = Scan::default();
    let first = seen(&bytes[..bytes.len() / 2], &mut scan, asked);
    let split = match first {
        ResponseOutcome::Partial => seen(bytes, &mut scan, asked),
        decided => decided,
    };
    assert_eq!(split, whole);
});
