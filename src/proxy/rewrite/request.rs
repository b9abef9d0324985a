//! The head of a request for a backend.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;

use super::nominations::Nominations;
use super::own_fields::{Kind, OwnFields};
use super::write::{content_length, field, number};
use crate::http1::edits::Edits;
use crate::http1::fields::{Field, list};
use crate::http1::framing::BodyLength;
use crate::http1::names::{CONSUMER, CONSUMER_METADATA};
use crate::http1::query;
use crate::http1::request::RequestHead;
use crate::http1::target::is_host;
use crate::net::{Peer, UNIX_PEER};

/// Whose name the backend is asked for.
#[derive(Clone, Copy, Debug)]
pub enum HostRule<'a> {
    /// The client's; `otherwise` where HTTP/1.0 sent none.
    Client {
        /// An authority.
        otherwise: &'a str,
    },
    /// The backend's own, an authority.
    Own(&'a str),
}

/// What a request is forwarded under.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The fields that are not simply passed on.
    pub own: &'a OwnFields,
    /// Who sent it.
    pub peer: Peer,
    /// How it came: `http` or `https`.
    pub proto: &'static str,
    /// Whether the peer is a trusted proxy, whose word on the client is believed although
    /// it presented no secret.
    pub trusted: bool,
    /// Our own cdn-id (RFC 8586), a token.
    pub loop_id: &'a str,
    /// Whose name the backend is asked for.
    pub host: HostRule<'a>,
}

/// What we say of a request beside its fields.
const OWN_BYTES: usize = 512;

/// Appends the head of the request for the backend to `out`. Nothing can fail: what could
/// has been refused by then.
pub fn request_head(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    edits: &Edits,
    forwarding: &Forwarding<'_>,
) {
    out.reserve(head.length + OWN_BYTES);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let key_parameter = match edits {
        Edits::Consumer(consumer) => consumer.key_parameter.as_deref(),
        Edits::Granted | Edits::Public => None,
    };
    let target = without(&head.target.path_and_query, key_parameter);
    out.extend_from_slice(&target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = match forwarding.host {
        HostRule::Client { otherwise } => head.host.unwrap_or(otherwise.as_bytes()),
        HostRule::Own(host) => host.as_bytes(),
    };
    field(out, b"Host", host);
    let is_public = matches!(edits, Edits::Public);
    let is_granted = matches!(edits, Edits::Granted);
    let mut origin = Origin {
        is_believed: is_granted || forwarding.trusted,
        fields: head.fields,
        ..Origin::default()
    };
    let nominations = Nominations::of(head.fields);
    for Field { name, value } in head.fields {
        let known = forwarding.own.find(name.as_bytes());
        if !known.is_own_spelling {
            continue;
        }
        let passes = match known.kind {
            Kind::Plain => !nominations.drop(name) && (!is_public || is_public_field(name)),
            Kind::Consumer | Kind::Forwarded => is_granted,
            Kind::XForwarded => origin.is_believed,
            Kind::ForwardedFor | Kind::ForwardedProto | Kind::ForwardedHost | Kind::CdnLoop => {
                origin.note(known.kind, value);
                false
            }
            Kind::Settled | Kind::Trailer | Kind::Credential => false,
        };
        if passes && name.eq_ignore_ascii_case("referer") {
            field(out, name.as_bytes(), &without(value, key_parameter));
        } else if passes {
            field(out, name.as_bytes(), value);
        }
    }
    if let Edits::Consumer(consumer) = edits {
        field(
            out,
            consumer.secret_header.as_bytes(),
            consumer.answer.secret().unwrap_or_default().as_bytes(),
        );
        field(out, CONSUMER.as_bytes(), consumer.consumer.as_bytes());
        if !consumer.metadata.is_empty() {
            field(
                out,
                CONSUMER_METADATA.as_bytes(),
                consumer.metadata.as_bytes(),
            );
        }
    }
    framing(out, head, is_public);
    origin.print(out, head.host, forwarding);
    out.extend_from_slice(b"\r\n");
}

/// A target or a URI without the parameter that holds the API key.
fn without<'t>(target: &'t [u8], parameter: Option<&str>) -> Cow<'t, [u8]> {
    let taken = parameter.and_then(|name| query::take(target, name.as_bytes()));
    taken.map_or(Cow::Borrowed(target), |taken| Cow::Owned(taken.rest))
}

/// A request of a public path loses its body, and opens no tunnel.
fn framing(out: &mut Vec<u8>, head: &RequestHead<'_, '_>, is_public: bool) {
    match head.body {
        _ if is_public => {}
        _ if head.upgrades_to_websocket => {
            out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
        }
        BodyLength::None => {}
        BodyLength::Sized(length) => content_length(out, length),
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// What a request keeps that nobody checked.
fn is_public_field(name: &str) -> bool {
    let name = name.as_bytes();
    let begins = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
    is(b"user-agent")
        || is(b"accept")
        || begins(b"accept-")
        || is(b"range")
        || begins(b"if-")
        || is(b"origin")
}

/// Who asked, and the way that the request took.
#[derive(Default)]
struct Origin<'h, 'b> {
    /// Whether what the peer says of it counts.
    is_believed: bool,
    fields: &'h [Field<'b>],
    has_forwarded_for: bool,
    has_loop: bool,
    /// The values of the fields that may come once alone.
    proto: Once<'b>,
    host: Once<'b>,
}

/// The value of a field that may come once.
#[derive(Clone, Copy, Default)]
enum Once<'b> {
    #[default]
    Absent,
    Value(&'b [u8]),
    Repeated,
}

impl<'b> Once<'b> {
    fn note(&mut self, value: &'b [u8]) {
        *self = match self {
            Self::Absent => Self::Value(value),
            Self::Value(_) | Self::Repeated => Self::Repeated,
        };
    }

    fn value(self) -> Option<&'b [u8]> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

impl<'b> Origin<'_, 'b> {
    fn note(&mut self, kind: Kind, value: &'b [u8]) {
        match kind {
            Kind::ForwardedFor => self.has_forwarded_for = true,
            Kind::CdnLoop => self.has_loop = true,
            Kind::ForwardedProto => self.proto.note(value),
            Kind::ForwardedHost => self.host.note(value),
            _ => {}
        }
    }

    fn print(&self, out: &mut Vec<u8>, asked: Option<&[u8]>, forwarding: &Forwarding<'_>) {
        let believed = |value: Option<&'b [u8]>| value.filter(|_| self.is_believed);
        self.print_forwarded_for(out, forwarding.peer);
        let proto = believed(self.proto.value()).filter(|proto| is_scheme(proto));
        field(
            out,
            b"X-Forwarded-Proto",
            proto.unwrap_or(forwarding.proto.as_bytes()),
        );
        let host = believed(self.host.value()).filter(|host| is_host(host));
        let host = host.filter(|host| !host.is_empty()).or(asked);
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            field(out, b"X-Forwarded-Host", host);
        }
        self.print_loop(out, forwarding.loop_id);
    }

    fn print_forwarded_for(&self, out: &mut Vec<u8>, peer: Peer) {
        let start = out.len();
        out.extend_from_slice(b"X-Forwarded-For: ");
        let mut has_members = false;
        if self.has_forwarded_for && self.is_believed {
            for member in self.values("x-forwarded-for").flat_map(list) {
                separate(out, has_members);
                out.extend_from_slice(member);
                has_members = true;
            }
        }
        if peer != UNIX_PEER {
            separate(out, has_members);
            address(out, peer.ip().to_canonical());
        } else if !has_members {
            out.truncate(start);
            return;
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 8586, section 2: nothing that is there is changed, and ours comes last.
    fn print_loop(&self, out: &mut Vec<u8>, loop_id: &str) {
        out.extend_from_slice(b"CDN-Loop: ");
        if self.has_loop {
            for value in self.values("cdn-loop").filter(|value| !value.is_empty()) {
                out.extend_from_slice(value);
                separate(out, true);
            }
        }
        out.extend_from_slice(loop_id.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields.iter();
        let fields = fields.filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value)
    }
}

fn separate(out: &mut Vec<u8>, has_members: bool) {
    if has_members {
        out.extend_from_slice(b", ");
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(out, first);
            for octet in rest {
                out.push(b'.');
                number(out, octet);
            }
        }
        IpAddr::V6(address) => write!(out, "{address}").expect("a Vec takes every write"),
    }
}

/// A scheme (RFC 3986, section 3.1): nothing that two parsers read in two ways.
fn is_scheme(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}
