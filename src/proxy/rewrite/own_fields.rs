//! The fields that are not simply passed on: those that frame, those of one hop, and ours.
//!
//! CGI, WSGI, PHP and Rack fold the characters of a name: `X_Consumer`, `X.Consumer` and
//! `X-Consumer` are one variable there. So a field is known by its folded name, and any
//! spelling but its own is foreign.

use crate::http1::names::{CONSUMER, CONSUMER_METADATA, fold};

/// What a field is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: it passes.
    Plain,
    /// It frames the message or is for one hop; what is needed is printed anew.
    Settled,
    /// `Trailer`, which announces what may follow a chunked body.
    Trailer,
    /// It holds the secret or the API key.
    Credential,
    /// `X-Consumer` or `X-Consumer-Metadata`.
    Consumer,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// Any other `X-Forwarded-*`.
    XForwarded,
    /// `Forwarded` or `X-Real-IP`.
    Forwarded,
    /// `CDN-Loop` (RFC 8586).
    CdnLoop,
}

/// The names by which a field is known; a `*` stands for whatever follows.
const NAMES: [(&str, Kind); 21] = [
    ("Host", Kind::Settled),
    ("Content-Length", Kind::Settled),
    ("Transfer-Encoding", Kind::Settled),
    ("Connection", Kind::Settled),
    ("Upgrade", Kind::Settled),
    ("TE", Kind::Settled),
    ("Keep-Alive", Kind::Settled),
    // We answer it ourselves, with a 100.
    ("Expect", Kind::Settled),
    // CGI makes HTTP_PROXY of it, which libraries take for a setting (httpoxy).
    ("Proxy", Kind::Settled),
    ("Proxy-*", Kind::Settled),
    ("HTTP2-Settings", Kind::Settled),
    ("Trailer", Kind::Trailer),
    (CONSUMER, Kind::Consumer),
    (CONSUMER_METADATA, Kind::Consumer),
    ("X-Forwarded-For", Kind::ForwardedFor),
    ("X-Forwarded-Proto", Kind::ForwardedProto),
    ("X-Forwarded-Host", Kind::ForwardedHost),
    ("X-Forwarded-*", Kind::XForwarded),
    ("Forwarded", Kind::Forwarded),
    ("X-Real-IP", Kind::Forwarded),
    ("CDN-Loop", Kind::CdnLoop),
];

/// All lengths from here on share one slot.
const LONGEST: usize = 63;

/// The fields that are not simply passed on, for a quick look at each field of each head.
#[derive(Debug)]
pub struct OwnFields {
    names: Vec<Name>,
    /// Which of `names` begin with a byte, and which are of a length, a bit each.
    by_first: [u32; 256],
    by_length: [u32; LONGEST + 1],
}

#[derive(Debug)]
struct Name {
    spelling: Box<[u8]>,
    folded: Box<[u8]>,
    kind: Kind,
    is_prefix: bool,
}

/// A field as we know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) kind: Kind,
    /// Whether it is spelt as its name is, case aside.
    pub(super) is_own_spelling: bool,
}

impl OwnFields {
    /// `credentials` are the names of the fields that hold the secret or an API key.
    #[must_use]
    pub fn new(credentials: &[&str]) -> Self {
        let credentials = credentials.iter().map(|name| (*name, Kind::Credential));
        // The first that fits counts, so credentials go first.
        let names: Vec<_> = credentials.chain(NAMES).map(Name::new).collect();
        assert!(names.len() <= 32, "a bit of a u32 each");
        let (mut by_first, mut by_length) = ([0; 256], [0; LONGEST + 1]);
        for (bit, name) in names.iter().enumerate() {
            for byte in 0..=u8::MAX {
                if name.folded.first() == Some(&fold(byte)) {
                    by_first[usize::from(byte)] |= 1 << bit;
                }
            }
            let least = name.folded.len().min(LONGEST);
            let most = if name.is_prefix { LONGEST } else { least };
            for fits in &mut by_length[least..=most] {
                *fits |= 1 << bit;
            }
        }
        Self {
            names,
            by_first,
            by_length,
        }
    }

    /// What the field `name` is to us.
    pub(super) fn find(&self, name: &[u8]) -> Known {
        const PLAIN: Known = Known {
            kind: Kind::Plain,
            is_own_spelling: true,
        };
        let Some(&first) = name.first() else {
            return PLAIN;
        };
        let of_length = self.by_length[name.len().min(LONGEST)];
        let mut candidates = self.by_first[usize::from(first)] & of_length;
        while candidates != 0 {
            let candidate = &self.names[candidates.trailing_zeros() as usize];
            // Nearly always it is spelt just so, which is soon seen.
            let is_usual = name == &*candidate.spelling;
            if is_usual || candidate.fits(name) {
                return Known {
                    kind: candidate.kind,
                    is_own_spelling: is_usual || candidate.is_spelt(name),
                };
            }
            candidates &= candidates - 1;
        }
        PLAIN
    }
}

impl Name {
    fn new((name, kind): (&str, Kind)) -> Self {
        let prefix = name.strip_suffix('*');
        let name = prefix.unwrap_or(name).as_bytes();
        Self {
            spelling: name.into(),
            folded: name.iter().copied().map(fold).collect(),
            kind,
            is_prefix: prefix.is_some(),
        }
    }

    fn fits(&self, name: &[u8]) -> bool {
        (self.is_prefix || name.len() == self.folded.len())
            && name.len() >= self.folded.len()
            && name
                .iter()
                .zip(&*self.folded)
                .all(|(byte, wanted)| fold(*byte) == *wanted)
    }

    fn is_spelt(&self, name: &[u8]) -> bool {
        let (start, rest) = name.split_at(self.spelling.len());
        start.eq_ignore_ascii_case(&self.spelling)
            && rest
                .iter()
                .all(|byte| *byte == b'-' || byte.is_ascii_alphanumeric())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(own: &OwnFields, name: &str) -> (Kind, bool) {
        let known = own.find(name.as_bytes());
        (known.kind, known.is_own_spelling)
    }

    #[test]
    fn every_name_is_known_in_every_spelling() {
        let long = "X-".to_owned() + &"Long-".repeat(20);
        let own = OwnFields::new(&["X-Shared-Secret", "Api_Key", &long]);
        let credentials =
            ["X-Shared-Secret", "Api_Key", &long].map(|name| (name, Kind::Credential));
        let names = NAMES.iter().copied().chain(credentials);
        for (name, kind) in names {
            let name = &name.replace('*', "some-thing");
            assert_eq!(known(&own, name), (kind, true), "{name}");
            assert_eq!(known(&own, &name.to_uppercase()), (kind, true), "{name}");
            assert_eq!(known(&own, &name.to_lowercase()), (kind, true), "{name}");
            for other in "!#$%&'*+.^_`|~".chars() {
                let spelt = name.replace(['-', '_'], &other.to_string());
                let is_own = spelt.eq_ignore_ascii_case(name);
                assert_eq!(known(&own, &spelt), (kind, is_own), "{spelt}");
            }
        }
    }

    #[test]
    fn others_pass() {
        let own = OwnFields::new(&["X-Shared-Secret"]);
        for name in [
            "",
            "A",
            "Hos",
            "Hosts",
            "Accept",
            "Content-Type",
            "Content-Lengths",
            "Cookie",
            "User-Agent",
            "Proxies",
            "X-Forwarded",
            "X-Forwarder-For",
            "X-Shared-Secrets",
            "X-Shared-Secre",
            "XShared-Secret",
            "Xx-Shared-Secret",
            "X-Consumers",
            "T",
            "Te-",
            "Forwarded-",
            &"X".repeat(200),
        ] {
            assert_eq!(known(&own, name), (Kind::Plain, true), "{name}");
        }
    }
}
