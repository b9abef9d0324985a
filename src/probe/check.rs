//! What is asked: which secret goes under which name, and the bytes of the request.

use zeroize::Zeroizing;

use crate::auth::secrets::Text;

/// What a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The right secret, as the gateway sends it; everything else is held against this.
    Right,
    /// The same at the end: whether the origin still listens to us.
    RightAgain,
    /// No secret.
    Nothing,
    /// No secret at the end.
    NothingAgain,
    /// HEAD without a secret.
    NothingInHead,
    /// The header without a value.
    Empty,
    /// Random bytes.
    Wrong,
    /// The header twice, the right secret first.
    RightThenWrong,
    /// The header twice, the right secret last.
    WrongThenRight,
    /// The right secret, and more behind it.
    RightAndMore,
    /// The right secret in a header that CGI cannot tell from ours: `X_Shared_Secret`.
    Underscores,
    /// The same with dots: `X.Shared.Secret`.
    Dots,
    /// No secret, over plain HTTP beside https.
    PlainHttp(u16),
    /// No secret, to the backend directly.
    Backend(u16),
}

impl Check {
    /// What it is called, for the header `name`.
    pub(super) fn label(self, name: &str) -> String {
        match self {
            Self::Right => "right secret".into(),
            Self::RightAgain => "right secret, at the end".into(),
            Self::Nothing => "no secret".into(),
            Self::NothingAgain => "no secret, at the end".into(),
            Self::NothingInHead => "no secret, HEAD".into(),
            Self::Empty => "empty secret".into(),
            Self::Wrong => "wrong secret".into(),
            Self::RightThenWrong => "twice, right one first".into(),
            Self::WrongThenRight => "twice, right one last".into(),
            Self::RightAndMore => "right one, and more behind it".into(),
            Self::Underscores => format!("as {}", folded(name, "_")),
            Self::Dots => format!("as {}", folded(name, ".")),
            Self::PlainHttp(port) => format!("plain HTTP at port {port}"),
            Self::Backend(port) => format!("backend at port {port}"),
        }
    }

    /// Whether it holds the right secret.
    pub(super) fn needs_secret(self) -> bool {
        matches!(
            self,
            Self::Right
                | Self::RightAgain
                | Self::RightThenWrong
                | Self::WrongThenRight
                | Self::RightAndMore
                | Self::Underscores
                | Self::Dots
        )
    }

    /// Whether the origin is to let it in.
    pub(super) fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::RightAgain)
    }

    /// Whether it says nothing where the header's name has no hyphen.
    pub(super) fn needs_hyphen(self) -> bool {
        matches!(self, Self::Underscores | Self::Dots)
    }

    pub(super) fn is_head(self) -> bool {
        self == Self::NothingInHead
    }
}

/// What the requests have in common.
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    pub(super) authority: &'a str,
    pub(super) header: &'a str,
    /// Only where it may be sent.
    pub(super) secret: Option<&'a Text>,
    /// Random bytes in its place.
    pub(super) random: &'a str,
}

impl Request<'_> {
    /// The bytes for `check`. `None` where it needs the right secret, and that may not be
    /// sent.
    pub(super) fn bytes(&self, check: Check) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.secret.map(|secret| secret.as_str());
        if check.needs_secret() && secret.is_none() {
            return None;
        }
        let (right, wrong) = (secret.unwrap_or_default(), self.random);
        let name = self.header;
        let (under, dots) = (folded(name, "_"), folded(name, "."));
        let more = Zeroizing::new([right, wrong].concat());
        let fields: &[(&str, &str)] = match check {
            Check::Right | Check::RightAgain => &[(name, right)],
            Check::Nothing
            | Check::NothingAgain
            | Check::NothingInHead
            | Check::PlainHttp(_)
            | Check::Backend(_) => &[],
            Check::Empty => &[(name, "")],
            Check::Wrong => &[(name, wrong)],
            Check::RightThenWrong => &[(name, right), (name, wrong)],
            Check::WrongThenRight => &[(name, wrong), (name, right)],
            Check::RightAndMore => &[(name, &more)],
            Check::Underscores => &[(&under, right)],
            Check::Dots => &[(&dots, right)],
        };
        let method = if check.is_head() { "HEAD" } else { "GET" };
        // Of its final capacity from the start: growing would leave copies behind.
        let room = 512 + self.path.len() + self.authority.len();
        let room = room
            + fields
                .iter()
                .fold(0, |sum, (name, value)| sum + name.len() + value.len() + 4);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let mut push = |text: &str| bytes.extend_from_slice(text.as_bytes());
        for text in [
            method,
            " ",
            self.path,
            " HTTP/1.1\r\nHost: ",
            self.authority,
        ] {
            push(text);
        }
        push(concat!(
            "\r\nUser-Agent: origin-guard-probe/",
            env!("CARGO_PKG_VERSION"),
            "\r\nAccept: */*\r\nConnection: close\r\n"
        ));
        for (name, value) in fields {
            for text in [name, ": ", value, "\r\n"] {
                push(text);
            }
        }
        push("\r\n");
        Some(bytes)
    }
}

/// The name with another sign for each hyphen.
pub(super) fn folded(name: &str, sign: &str) -> String {
    name.replace('-', sign)
}
