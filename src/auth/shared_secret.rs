//! The plain function: what a request presents -> [`Verdict`].

use std::hint::black_box;
use std::sync::Arc;

use tiny_http::Request;

use crate::auth::secrets::Secrets;
use crate::http1::client_network::ClientNetwork;

/// The guard's judgement of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No secret is configured, so nobody can be let in.
    Misconfigured,
    /// The header is absent or empty.
    NoSecret,
    /// The header is wrong.
    InvalidSecret,
    /// The header is there more than once.
    RepeatedSecret,
    /// The header holds the current secret.
    Granted,
    /// The header holds one that rotation is to retire.
    GrantedByPrevious,
    /// The header is absent or empty, and the client's certificate is enough.
    GrantedByCertificate,
}

impl Verdict {
    /// Whether the request presents a secret that is accepted.
    #[must_use]
    pub fn is_granted(self) -> bool {
        matches!(
            self,
            Self::Granted | Self::GrantedByPrevious | Self::GrantedByCertificate
        )
    }
}

/// The verdict by a sum: 8 for several headers, 4 for an empty one, and what matches: 1
/// for the current secret, 2 for a previous one, 3 for one that is both. Several headers
/// are refused, whatever they hold.
static VERDICTS: [Verdict; 16] = verdicts(Verdict::NoSecret);

/// The same where a client's certificate is enough.
static VERDICTS_BY_CERTIFICATE: [Verdict; 16] = verdicts(Verdict::GrantedByCertificate);

const fn verdicts(without_secret: Verdict) -> [Verdict; 16] {
    let mut verdicts = [Verdict::InvalidSecret; 16];
    verdicts[1] = Verdict::Granted;
    verdicts[2] = Verdict::GrantedByPrevious;
    verdicts[3] = Verdict::Granted;
    let mut absent = 4;
    while absent < 8 {
        verdicts[absent] = without_secret;
        absent += 1;
    }
    let mut several = 8;
    while several < 16 {
        verdicts[several] = Verdict::RepeatedSecret;
        several += 1;
    }
    verdicts
}

/// Which header must hold one of which secrets.
pub struct Guard {
    header: String,
    secrets: Arc<Secrets>,
    /// Whether every client has presented a certificate that is enough.
    certificates_suffice: bool,
}

impl Guard {
    /// `header` is a field name; while there are no `secrets` every verdict is
    /// [`Verdict::Misconfigured`].
    #[must_use]
    pub fn new(header: &str, secrets: Arc<Secrets>) -> Self {
        Self {
            header: header.to_ascii_lowercase(),
            secrets,
            certificates_suffice: false,
        }
    }

    /// Lets requests without a secret in: TLS has verified the certificate of whoever sends
    /// one. A wrong secret is still wrong.
    #[must_use]
    pub fn where_certificates_suffice(self) -> Self {
        Self {
            certificates_suffice: true,
            ..self
        }
    }

    /// Judges a request.
    #[must_use]
    pub fn judge(&self, request: &Request) -> Verdict {
        self.judge_fields(name_values(request))
    }

    /// Judges by the names and values of header fields; a value holds no white space at
    /// its ends (RFC 9110, section 5.5). One with a byte past ASCII is not a secret.
    ///
    /// An absent header is compared like any other, and what is presented decides no
    /// branch, so that requests of the same shape take the same time. The use of a secret
    /// that grants is counted.
    #[must_use]
    pub fn judge_fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) -> Verdict {
        self.judge_by(fields, 1)
    }

    /// The same for a request that is not let in, whatever it presents; nothing is counted.
    #[must_use]
    pub fn recognizes<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) -> bool {
        self.judge_by(fields, 0).is_granted()
    }

    /// Notes that `client` has presented a previous secret in these fields.
    pub fn note_client<'f>(
        &self,
        mut fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        client: ClientNetwork,
    ) {
        if let Some((_, value)) = fields.find(|(name, _)| self.is_header(name)) {
            self.secrets.note_client(value, client);
        }
    }

    /// Notes that the secret in these fields came in the clear.
    pub fn note_leak<'f>(&self, mut fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
        if let Some((_, value)) = fields.find(|(name, _)| self.is_header(name)) {
            self.secrets.note_leak(value);
        }
    }

    /// Notes that `client` has presented a previous secret in a request.
    pub fn note_client_of(&self, request: &Request, client: ClientNetwork) {
        self.note_client(name_values(request), client);
    }

    /// Counts `uses`, 0 or 1, of the secret that grants.
    fn judge_by<'f>(
        &self,
        mut fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        uses: usize,
    ) -> Verdict {
        let (mut count, mut at) = (0, 0);
        for (index, (name, _)) in fields.clone().enumerate() {
            // Numbers that the compiler knows nothing of, so that it cannot branch.
            let found = black_box(usize::from(self.is_header(name)));
            count += found;
            at = at * (1 - found) + index * found;
        }
        // Without the header this is the value of another one, cut to length 0.
        let value = fields.nth(at).map_or(&b""[..], |(_, value)| value);
        let length = value.len() * black_box(count.min(1));
        let several = black_box(count / 2).min(1);
        // Several headers are no use of a secret, whatever the last one holds.
        let uses = black_box(uses & (1 - several));
        let found = self.secrets.matches_and_counts(value, length, uses);
        let Some(found) = found else {
            return Verdict::Misconfigured;
        };
        let absent = black_box(usize::from(length == 0));
        // What is chosen by the configuration alone tells nothing of the request.
        let verdicts = if self.certificates_suffice {
            &VERDICTS_BY_CERTIFICATE
        } else {
            &VERDICTS
        };
        verdicts[black_box(8 * several + 4 * absent + found)]
    }

    fn is_header(&self, name: &[u8]) -> bool {
        let wanted = self.header.as_bytes();
        name.len() == wanted.len()
            && name.iter().zip(wanted).fold(0, |differs, (byte, wanted)| {
                differs | (byte.to_ascii_lowercase() ^ wanted)
            }) == 0
    }
}

fn name_values(request: &Request) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    request.headers().iter().map(|field| {
        let name = field.field.as_str().as_bytes();
        (name, field.value.as_bytes())
    })
}
