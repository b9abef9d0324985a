//! What one run came to, and what must hold for it.

use origin_guard::http1::response::Asked as AskedOfResponse;

use crate::answer::{self, Extent, Given};
use crate::asked::Asked;
use crate::backend::Seen;
use crate::input::Input;

pub struct Outcome {
    /// What reached the backend, in order.
    pub seen: Vec<Seen>,
    /// The bytes that the client was given.
    pub given: Vec<u8>,
}

impl Outcome {
    /// Checks it on its own. Returns the answers that the client was given.
    pub fn check(&self, input: &Input, asked: &[Asked], ends_in_head: bool) -> Vec<Given> {
        self.check_requests(input, asked);
        self.answers(asked, ends_in_head)
    }

    /// What has reached the backend was asked for and granted, in this order, and nothing
    /// twice but what was sent again on another connection.
    fn check_requests(&self, input: &Input, asked: &[Asked]) {
        let mut granted = asked.iter().filter(|asked| asked.granted).peekable();
        let mut last: Option<&Asked> = None;
        for seen in &self.seen {
            let next = loop {
                match granted.peek() {
                    Some(next) if is(seen, next) => {
                        last = granted.next();
                        break last;
                    }
                    _ if last.is_some_and(|last| last.idempotent && is(seen, last)) => break last,
                    Some(_) => _ = granted.next(),
                    None => break None,
                }
            };
            let next = next.unwrap_or_else(|| panic!("{seen:?} of {asked:?}"));
            assert!(
                next.is_whole || !seen.is_whole,
                "its body is cut short: {seen:?}"
            );
            if let Some(tunnel) = &seen.tunnel {
                assert!(next.upgrades, "{seen:?}");
                let sent = &input.client[next.end..];
                assert!(sent.starts_with(tunnel), "{seen:?}");
            }
        }
    }

    /// The answers in what the client was given.
    fn answers(&self, asked: &[Asked], ends_in_head: bool) -> Vec<Given> {
        let (mut all, mut at) = (Vec::new(), 0);
        let mut requests = asked.iter();
        let mut is_over = false;
        while at < self.given.len() {
            let rest = &self.given[at..];
            assert!(!is_over, "no request is answered: {}", rest.escape_ascii());
            let request = requests.clone().next();
            let of = AskedOfResponse {
                is_head: request.map_or(ends_in_head, |request| request.method == "HEAD"),
                upgrades: request.is_some_and(|request| request.upgrades),
            };
            let given = answer::one(rest, of)
                .unwrap_or_else(|reason| panic!("{reason}: {}", self.given.escape_ascii()));
            let Some(given) = given else {
                return all;
            };
            if given.status != 100 {
                let Extent::Ends(length) = given.extent else {
                    all.push(given);
                    return all;
                };
                at += length;
                if !answer::is_interim(&given) {
                    is_over = requests.next().is_none();
                }
                all.push(given);
            } else if let Extent::Ends(length) = given.extent {
                at += length;
            }
        }
        all
    }
}

/// Whether the backend has understood what the client has asked.
fn is(seen: &Seen, asked: &Asked) -> bool {
    let host = asked.host.as_deref();
    let body = if seen.is_whole {
        seen.body == asked.body
    } else {
        asked.body.starts_with(&seen.body)
    };
    body && seen.method == asked.method
        && seen.target == asked.target
        && host.is_none_or(|host| host == seen.host || host.is_empty())
}

/// The same answers. Where one breaks off, no more than its beginning is owed, and 502 is
/// as good if nothing of it has been sent; what follows is not compared, and `false` is
/// returned.
pub fn assert_same(whole: &[Given], split: &[Given]) -> bool {
    for number in 0..whole.len().max(split.len()) {
        let (one, other) = (whole.get(number), split.get(number));
        let is_open =
            |given: Option<&Given>| given.is_some_and(|given| given.extent == Extent::Open);
        let breaks_off = is_open(one) || is_open(other);
        let (Some(one), Some(other)) = (one, other) else {
            assert!(breaks_off, "whole {whole:#?}, split {split:#?}");
            return false;
        };
        if breaks_off && (one.is_bad_gateway() || other.is_bad_gateway()) {
            return false;
        }
        let is_prefix = |a: &Given, b: &Given| a.body.starts_with(&b.body);
        let same_body = if breaks_off {
            is_prefix(one, other) || is_prefix(other, one)
        } else {
            one.body == other.body
        };
        let same = same_body && one.status == other.status && one.fields == other.fields;
        assert!(same, "whole {whole:#?}, split {split:#?}");
        if breaks_off {
            return false;
        }
    }
    true
}

/// The backend has understood the same; in as many requests as both have where not
/// `all` are compared. One that `closes` behind an answer hears no more of a tunnel from
/// then on, so how much it has heard differs.
pub fn assert_same_requests(whole: &[Seen], split: &[Seen], all: bool, closes: bool) {
    let as_many = whole.len() == split.len();
    assert!(as_many || !all, "whole {whole:#?}, split {split:#?}");
    for (one, other) in whole.iter().zip(split) {
        let is_whole = one.is_whole && other.is_whole;
        let same = one.method == other.method
            && one.target == other.target
            && one.host == other.host
            && (!all || one.is_whole == other.is_whole && is_same_tunnel(one, other, closes))
            && (!is_whole || one.body == other.body);
        assert!(same, "whole {whole:#?}, split {split:#?}");
    }
}

fn is_same_tunnel(one: &Seen, other: &Seen, closes: bool) -> bool {
    match (&one.tunnel, &other.tunnel) {
        (Some(one), Some(other)) if closes => one.starts_with(other) || other.starts_with(one),
        (one, other) => one == other,
    }
}
