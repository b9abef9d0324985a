//! Names of header fields that this program sets itself.

/// The field that holds the secret, where `SECRET_HEADER` names no other.
pub const SHARED_SECRET: &str = "X-Shared-Secret";
/// The gateway's field that names the consumer.
pub const CONSUMER: &str = "X-Consumer";
/// The gateway's field that holds the consumer's metadata, compact JSON in ASCII.
pub const CONSUMER_METADATA: &str = "X-Consumer-Metadata";
/// The field that repeats the body of a denial.
pub const GUARD_BODY: &str = "X-Guard-Body";

/// The scheme of the challenge with which a guard denies (RFC 9110, section 11.6.1).
const SCHEME: &[u8] = b"Shared-Secret";

/// Whether a value of `WWW-Authenticate` is a guard's.
#[must_use]
pub(crate) fn is_own_challenge(value: &[u8]) -> bool {
    let scheme = value.split(|&byte| byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// The fields that answers hold already, and those that `tiny_http::Response` keeps to
/// itself.
const OF_ANSWERS: [&str; 14] = [
    CONSUMER,
    CONSUMER_METADATA,
    GUARD_BODY,
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Date",
    "Server",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "WWW-Authenticate",
    "Allow",
];

/// Whether answers use the field `name` themselves.
#[must_use]
pub fn is_own_field(name: &str) -> bool {
    OF_ANSWERS.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// The name as programs behind a backend may fold it: CGI, WSGI, PHP and Rack turn what is
/// no letter or digit into one sign, and letter case does not count.
#[must_use]
pub fn folded(name: &str) -> String {
    name.bytes().map(fold).map(char::from).collect()
}

/// The same for one byte of a name.
pub(crate) const fn fold(byte: u8) -> u8 {
    const FOLDED: [u8; 256] = {
        let mut table = [b'-'; 256];
        let mut byte = 0;
        while byte < 128u8 {
            if byte.is_ascii_alphanumeric() {
                table[byte as usize] = byte.to_ascii_lowercase();
            }
            byte += 1;
        }
        table
    };
    FOLDED[byte as usize]
}

/// What a backend may take a field called `name` for, if it is one that must reach it as
/// the client or the guard sent it.
#[must_use]
pub fn meaning_for_backends(name: &str) -> Option<&'static str> {
    const MEANINGS: [&str; 22] = [
        "Host",
        "Authorization",
        "Cookie",
        "Accept",
        "User-Agent",
        "Origin",
        "Range",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "Proxy",
        "Forwarded",
        "X-Real-IP",
        "CDN-Loop",
        "Date",
        "Via",
        CONSUMER,
        CONSUMER_METADATA,
    ];
    const PREFIXES: [&str; 5] = [
        "Content-",
        "X-Forwarded-",
        "If-",
        "Proxy-",
        "Sec-WebSocket-",
    ];
    let name = folded(name);
    let is = |known: &&str| name == folded(known);
    let begins = |known: &&str| name.starts_with(&folded(known));
    let known = MEANINGS.iter().find(|known| is(known));
    known
        .or_else(|| PREFIXES.iter().find(|known| begins(known)))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_folds_to_one_with_a_meaning_has_it() {
        for (name, meaning) in [
            ("host", Some("Host")),
            ("X_Forwarded.For", Some("X-Forwarded-")),
            ("content_length", Some("Content-")),
            ("X-Consumer", Some(CONSUMER)),
            ("x_consumer.metadata", Some(CONSUMER_METADATA)),
            ("X-Shared-Secret", None),
            ("X-Consumer-Key", None),
            ("X-Azure-FDID", None),
            ("Contents", None),
        ] {
            assert_eq!(meaning_for_backends(name), meaning, "{name}");
        }
    }
}
