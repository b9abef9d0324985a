//! The plain function: what a request presents -> [`Verdict`].

use std::hint::black_box;

use tiny_http::Request;

use crate::secret::Secret;

/// The guard's judgement of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No secret is configured, so nobody can be let in.
    Misconfigured,
    /// The header is absent or empty.
    NoSecret,
    /// The header is wrong, or there more than once.
    InvalidSecret,
    /// The header is right.
    Granted,
}

/// By 4 for several headers, plus 2 for an empty one, plus 1 for a right one. Several
/// are wrong, whatever they hold.
static VERDICTS: [Verdict; 8] = [
    Verdict::InvalidSecret,
    Verdict::Granted,
    Verdict::NoSecret,
    Verdict::NoSecret,
    Verdict::InvalidSecret,
    Verdict::InvalidSecret,
    Verdict::InvalidSecret,
    Verdict::InvalidSecret,
];

/// Which header must hold which secret.
pub struct Guard {
    header: String,
    secret: Option<Secret>,
}

impl Guard {
    /// `header` is a field name; without a `secret` every verdict is
    /// [`Verdict::Misconfigured`].
    #[must_use]
    pub fn new(header: &str, secret: Option<Secret>) -> Self {
        Self {
            header: header.to_ascii_lowercase(),
            secret,
        }
    }

    /// Judges by the request's header fields, whose values hold no white space at
    /// their ends (RFC 9110, section 5.5).
    ///
    /// An absent header is compared like any other, and what is presented decides no
    /// branch, so that requests of the same shape take the same time.
    #[must_use]
    pub fn judge(&self, request: &Request) -> Verdict {
        let Some(secret) = &self.secret else {
            return Verdict::Misconfigured;
        };
        let fields = request.headers();
        let (mut count, mut at) = (0, 0);
        for (index, field) in fields.iter().enumerate() {
            // Numbers that the compiler knows nothing of, so that it cannot branch.
            let found = black_box(usize::from(self.is_header(field.field.as_str().as_bytes())));
            count += found;
            at = at * (1 - found) + index * found;
        }
        // Without the header it is another one's value, cut to nothing.
        let value = fields
            .get(at)
            .map_or(&b""[..], |field| field.value.as_bytes());
        let length = value.len() * black_box(count.min(1));
        let right = secret.matches(value, length);
        let absent = black_box(usize::from(length == 0));
        let several = black_box(count / 2).min(1);
        VERDICTS[black_box(4 * several + 2 * absent + right)]
    }

    fn is_header(&self, name: &[u8]) -> bool {
        let wanted = self.header.as_bytes();
        name.len() == wanted.len()
            && name.iter().zip(wanted).fold(0, |differs, (byte, wanted)| {
                differs | (byte.to_ascii_lowercase() ^ wanted)
            }) == 0
    }
}
