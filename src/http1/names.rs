//! Names of header fields that this program sets itself.

/// The gateway's field that names the consumer.
pub const CONSUMER: &str = "X-Consumer";
/// The gateway's field that holds the consumer's metadata, compact JSON in ASCII.
pub const CONSUMER_METADATA: &str = "X-Consumer-Metadata";
/// The field that repeats the body of a denial.
pub const GUARD_BODY: &str = "X-Guard-Body";

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
