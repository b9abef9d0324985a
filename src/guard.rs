//! The plain function: what a request presents -> [`Verdict`].

use std::sync::Arc;

use tiny_http::Request;

use crate::secret::Secrets;

/// The guard's judgement of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No secret is configured, so nobody can be let in.
    Misconfigured,
    /// The header is absent or empty.
    NoSecret,
    /// The header is wrong, or there more than once.
    InvalidSecret,
    /// The header holds the current secret.
    Granted,
    /// The header holds one that rotation is to retire.
    GrantedByPrevious,
}

/// Which header must hold one of which secrets.
pub struct Guard {
    header: String,
    secrets: Arc<Secrets>,
}

impl Guard {
    /// `header` is a field name; while there are no `secrets` every verdict is
    /// [`Verdict::Misconfigured`].
    #[must_use]
    pub fn new(header: &str, secrets: Arc<Secrets>) -> Self {
        Self {
            header: header.to_ascii_lowercase(),
            secrets,
        }
    }

    /// Judges by the request's header fields, whose values hold no white space at
    /// their ends (RFC 9110, section 5.5).
    ///
    /// An absent header is compared like any other, and what is presented decides no
    /// branch, so that requests of the same shape take the same time.
    #[must_use]
    pub fn judge(&self, request: &Request) -> Verdict {
        let fields = request.headers();
        let (mut count, mut at) = (0_usize, 0_usize);
        for (index, field) in fields.iter().enumerate() {
            let found = usize::from(self.is_header(field.field.as_str().as_bytes()));
            count += found;
            at = at * (1 - found) + index * found;
        }
        let value = fields
            .get(at)
            .map_or(&b""[..], |field| field.value.as_bytes());
        let presented = [b"", value][count.min(1)];
        let Some(found) = self.secrets.find(presented) else {
            return Verdict::Misconfigured;
        };
        let absent = usize::from(presented.is_empty());
        // By `absent`, then by the match. Two headers are wrong, whatever they hold.
        [
            [
                Verdict::InvalidSecret,
                Verdict::Granted,
                Verdict::GrantedByPrevious,
            ],
            [Verdict::NoSecret; 3],
            [Verdict::InvalidSecret; 3],
        ][if count > 1 { 2 } else { absent }][found as usize]
    }

    fn is_header(&self, name: &[u8]) -> bool {
        let wanted = self.header.as_bytes();
        name.len() == wanted.len()
            && name.iter().zip(wanted).fold(0, |differs, (byte, wanted)| {
                differs | (byte.to_ascii_lowercase() ^ wanted)
            }) == 0
    }
}
