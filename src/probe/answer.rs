//! A request -> its answer, as far as a verdict needs it.

use rustls::pki_types::ServerName;

use super::connection::{Connection, Failure};
use crate::http1::body::{ChunkedDecoder, Piece};
use crate::http1::response::{Asked, ResponseBody, ResponseOutcome, read_response};
use crate::http1::scan::Scan;
use crate::net::Address;
use crate::net::tls::certificates::Facts;
use crate::net::tls::client::TlsClient;
use crate::net::tls::{TlsError, TlsSession};

/// Longest head that is read, in bytes.
const HEAD: usize = 64 * 1024;
/// What is looked at of a body, in bytes.
const BODY: usize = 16 * 1024;
/// Interim answers (1xx) before the final one.
const INTERIM: usize = 8;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// Its start.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// One of this status, with nothing in it.
    #[cfg(test)]
    pub(crate) fn of(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Whether it asks for a bearer token (RFC 6750), as a gateway asks for an API key.
    pub(crate) fn asks_for_key(&self) -> bool {
        let challenge = self.field("www-authenticate").unwrap_or_default();
        let scheme = challenge.split([' ', ',']).next().unwrap_or_default();
        self.status == 401 && scheme.eq_ignore_ascii_case("Bearer")
    }

    /// The first value of the field `name`, which is in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What one exchange has come to.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) outcome: Result<Answer, Failure>,
    /// What the certificate says, where it was verified.
    pub(crate) certificate: Option<Facts>,
    /// Whether the whole request was sent.
    pub(crate) is_sent: bool,
}

impl Exchange {
    /// One that has failed before a request was sent.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self {
            outcome: Err(failure),
            certificate: None,
            is_sent: false,
        }
    }
}

/// Sends `request` over a connection of its own, and reads the answer.
pub(crate) fn ask(
    address: &Address,
    session: Option<TlsSession>,
    request: &[u8],
    is_head: bool,
) -> Exchange {
    match Connection::open(address, session) {
        Ok(connection) => ask_over(connection, request, is_head),
        Err(failure) => Exchange::failed(failure),
    }
}

/// The same over a connection that is there, over which nothing was sent yet.
pub(crate) fn ask_over(mut connection: Connection, request: &[u8], is_head: bool) -> Exchange {
    let outcome = connection
        .send(request)
        .and_then(|()| read(&mut connection, is_head));
    Exchange {
        outcome,
        certificate: connection.certificate(),
        is_sent: connection.is_sent(),
    }
}

/// Whether a handshake is answered with a record of TLS, whoever it believes.
pub(crate) fn speaks_tls(address: &Address) -> bool {
    let name = ServerName::try_from("localhost").expect("a name");
    let Ok(session) = TlsClient::believing_nobody().and_then(|client| client.session(&name)) else {
        return false;
    };
    let request = b"HEAD / HTTP/1.1\r\n\r\n";
    let Exchange { outcome, .. } = ask(address, Some(session), request, true);
    match outcome {
        Err(Failure::Tls(TlsError::Rustls(error))) => matches!(
            error,
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::AlertReceived(_)
                | rustls::Error::PeerIncompatible(_)
                | rustls::Error::NoApplicationProtocol
        ),
        _ => false,
    }
}

fn read(connection: &mut Connection, is_head: bool) -> Result<Answer, Failure> {
    let asked = Asked {
        is_head,
        upgrades: false,
    };
    let mut bytes = Vec::new();
    for _ in 0..INTERIM {
        let (answer, length, body) = read_head(connection, &mut bytes, asked)?;
        bytes.drain(..length);
        if answer.status >= 200 {
            let body = read_body(connection, bytes, body);
            return Ok(Answer { body, ..answer });
        }
    }
    Err(Failure::Malformed("interim_answers"))
}

fn read_head(
    connection: &mut Connection,
    bytes: &mut Vec<u8>,
    asked: Asked,
) -> Result<(Answer, usize, ResponseBody), Failure> {
    let mut scan = Scan::default();
    loop {
        let outcome = read_response(bytes, &mut scan, HEAD, asked, |head| {
            let fields = head.fields.iter().map(|field| {
                let value = String::from_utf8_lossy(field.value).into_owned();
                (field.name.to_ascii_lowercase(), value)
            });
            let answer = Answer {
                status: head.status,
                fields: fields.collect(),
                body: Vec::new(),
            };
            (answer, head.length, head.body)
        });
        match outcome {
            ResponseOutcome::Complete(read) => return Ok(read),
            ResponseOutcome::Malformed(error) => return Err(Failure::Malformed(error.reason)),
            ResponseOutcome::Partial => {}
        }
        match connection.read(bytes)? {
            0 if bytes.is_empty() => return Err(Failure::Closed),
            0 => return Err(Failure::Malformed("incomplete_head")),
            _ => {}
        }
    }
}

/// The start of the body. Where it breaks off or does not end, what has come is enough.
fn read_body(connection: &mut Connection, mut bytes: Vec<u8>, framing: ResponseBody) -> Vec<u8> {
    let wanted = match framing {
        ResponseBody::None => return Vec::new(),
        ResponseBody::Sized(length) => {
            usize::try_from(length).map_or(BODY, |length| length.min(BODY))
        }
        ResponseBody::Chunked | ResponseBody::UntilClose => BODY,
    };
    let mut decoder = (framing == ResponseBody::Chunked).then(ChunkedDecoder::default);
    let mut body = Vec::new();
    loop {
        match &mut decoder {
            None => body.append(&mut bytes),
            Some(decoder) => match decode(decoder, &bytes, &mut body) {
                Ok(false) => bytes.clear(),
                Ok(true) | Err(()) => return body,
            },
        }
        if body.len() >= wanted {
            body.truncate(wanted);
            return body;
        }
        match connection.read(&mut bytes) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return body,
        }
    }
}

/// Appends the data in `bytes` to `body`. `Ok(true)` at the end of the message.
fn decode(decoder: &mut ChunkedDecoder, bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, ()> {
    let mut at = 0;
    loop {
        let (used, piece) = decoder.next(&bytes[at..]).map_err(|_| ())?;
        at += used;
        match piece {
            Piece::Data(data) => body.extend_from_slice(data),
            Piece::NeedMore => return Ok(false),
            Piece::End => return Ok(true),
        }
    }
}
