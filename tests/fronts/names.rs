//! Names that a backend reads as those which a gateway and its proxy vouch for.
//!
//! CGI, WSGI, PHP and Rack make a variable of a field's name, and fold characters on the way:
//! `X.Consumer` and `X_Consumer` are `X-Consumer` there.

use crate::backend::Seen;
use crate::front::{Front, Proxy, Setup};
use crate::support::SECRET;
use crate::support::php::{Php, SHOWS_VARIABLES};

/// What can stand in a field's name beside letters and digits (RFC 9110, section 5.6.2).
const SIGNS: &str = "!#$%&'*+-.^_`|~";

/// What proxies and the guard set or strip.
const OWN: [&str; 10] = [
    "X-Shared-Secret",
    "X-Consumer",
    "X-Consumer-Metadata",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Real-IP",
];

with_each_proxy! {
    what_folds_to_our_names_never_arrives
    what_the_gateway_says_arrives_and_php_reads_nothing_else
    the_exempt_path_takes_nobody_s_word
    other_headers_hold_the_secret
}

/// For each sign, fields whose names hold it in one place or in all.
pub(crate) fn forged_in_every_spelling() -> impl Iterator<Item = String> {
    let foreign = SIGNS.chars().filter(|sign| *sign != '-');
    foreign.map(|sign| {
        let sign = sign.to_string();
        let names = OWN.iter().flat_map(|name| {
            let last = name.rfind('-').expect("a hyphen");
            let mut in_the_last = (*name).to_owned();
            in_the_last.replace_range(last..=last, &sign);
            let mut spellings = vec![
                name.replace('-', &sign),
                name.replacen('-', &sign, 1),
                in_the_last,
            ];
            spellings.dedup();
            spellings
        });
        names.map(|name| [&name, ": forged\r\n"].concat()).collect()
    })
}

/// The names as they are, without the secret's.
pub(crate) fn forged_in_their_own() -> String {
    let forged = OWN[1..].iter().map(|name| format!("{name}: forged\r\n"));
    forged.collect::<String>() + "Forwarded: for=forged\r\n"
}

pub(crate) fn assert_nothing_forged(seen: &Seen) {
    let text = format!("{seen:?}");
    assert!(!text.contains("forged"), "{text}");
}

/// No name is one of ours but for a sign.
pub(crate) fn assert_only_their_own(seen: &Seen) {
    for (name, _) in &seen.fields {
        let folded: String = name
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let is_own = OWN.iter().any(|own| own.eq_ignore_ascii_case(&folded));
        assert!(!is_own || folded == *name, "{name} in {seen:?}");
    }
}

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

fn secret() -> String {
    format!("X-Shared-Secret: {SECRET}\r\n")
}

fn what_folds_to_our_names_never_arrives(proxy: Proxy) {
    let Some((front, _guard)) = Front::guarded(proxy) else {
        return;
    };
    for fields in forged_in_every_spelling() {
        let answer = front.ask(request("/granted", &format!("{fields}{}", secret())));
        assert_eq!(answer.status, 200, "{fields}: {answer:?}");
        let seen = front.seen().pop().expect("a request");
        assert_nothing_forged(&seen);
        assert_only_their_own(&seen);
        // The secret in another spelling opens nothing, and is not passed on.
        let secrets = fields.replace("forged", SECRET);
        let before = front.seen().len();
        assert_eq!(
            front.ask(request("/forbidden", &secrets)).status,
            401,
            "{fields}"
        );
        assert_eq!(front.seen().len(), before);
        let both = format!("{secrets}{}", secret());
        assert_eq!(
            front.ask(request("/granted", &both)).status,
            200,
            "{fields}"
        );
        assert_eq!(front.seen().len(), before + 1);
    }
}

fn what_the_gateway_says_arrives_and_php_reads_nothing_else(proxy: Proxy) {
    let Some(php) = Php::start(SHOWS_VARIABLES) else {
        return;
    };
    let setup = Setup {
        backend: Some(php.address),
        ..Setup::default()
    };
    let Some((front, _guard)) = Front::guarded_with(proxy, &setup) else {
        return;
    };
    let said = format!(
        "X-Consumer: alice\r\nX-Consumer-Metadata: {{\"plan\":1}}\r\n{}",
        secret()
    );
    for fields in forged_in_every_spelling() {
        for fields in [format!("{fields}{said}"), format!("{said}{fields}")] {
            let read = php.variables(&front.ask(request("/granted", &fields)));
            assert_eq!(read["HTTP_X_CONSUMER"], "alice", "{fields}");
            assert_eq!(read["HTTP_X_CONSUMER_METADATA"], "{\"plan\":1}", "{fields}");
            assert!(!read.to_string().contains("forged"), "{fields}: {read}");
            assert!(!read.to_string().contains(SECRET), "{fields}: {read}");
        }
    }
    // Or PHP would have read nothing anyway.
    let straight = php.ask(&request("/", "X.Consumer: forged\r\n"));
    assert_eq!(php.variables(&straight)["HTTP_X_CONSUMER"], "forged");
}

fn the_exempt_path_takes_nobody_s_word(proxy: Proxy) {
    let setup = Setup {
        health: true,
        ..Setup::default()
    };
    let Some((front, _guard)) = Front::guarded_with(proxy, &setup) else {
        return;
    };
    for fields in forged_in_every_spelling() {
        let fields = format!("{}{}{fields}", forged_in_their_own(), secret());
        assert_eq!(
            front.ask(request("/healthz", &fields)).status,
            200,
            "{fields}"
        );
        let seen = front.seen().pop().expect("a request");
        assert_nothing_forged(&seen);
        assert_only_their_own(&seen);
    }
}

fn other_headers_hold_the_secret(proxy: Proxy) {
    let headers = vec![("SECRET_HEADER", "X-Azure-FDID")];
    let setup = Setup {
        headers: headers.clone(),
        ..Setup::default()
    };
    let Some(front) = Front::start(proxy, &setup) else {
        return;
    };
    let variables = [vec![("SHARED_SECRET", SECRET)], headers].concat();
    let _guard = front.guard_with(&variables);
    let fields = format!("x-azure-fdid: {SECRET}\r\n");
    assert_eq!(front.ask(request("/granted", &fields)).status, 200);
    for fields in [fields.repeat(2), fields.replace('-', "_"), secret()] {
        let answer = front.ask(request("/forbidden", &fields));
        assert_eq!(answer.status, 401, "{fields}: {answer:?}");
    }
    assert_eq!(front.seen().len(), 1);
}
