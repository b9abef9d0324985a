//! TLS over a socket (RFC 8446, RFC 5246), by rustls, without a buffer for a connection
//! at rest: the buffers are the thread's own.

pub mod certificates;
pub mod client;
pub mod client_certificates;
mod names;
pub mod server;
mod words;

use std::cell::RefCell;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{CertificateError, CommonState, Error, InvalidMessage};

use super::socket::{Read, Socket, Write};
use names::OtherName;
pub use words::PemFault;
pub(crate) use words::{Flaw, is_authority_itself};

/// Largest record with its header (RFC 8446, section 5.2), and room for more of them.
const INCOMING: usize = 36 * 1024;
/// Data that is encrypted at once.
const AT_ONCE: usize = 32 * 1024;
/// Its records' headers and tags, and a handshake message or two.
const OVERHEAD: usize = 1024;
/// A record costs the same however little it holds. Where records hold less than this on
/// average, less is read at once, so that whoever sends such records gets no more than a
/// share of the thread.
const SMALL_RECORD: usize = 256;
/// What is read at once of small records.
const INCOMING_SMALL: usize = 2 * 1024;

/// What a thread lends to the session whose turn it is.
struct Buffers {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        incoming: vec![0; INCOMING],
        outgoing: Vec::with_capacity(AT_ONCE + OVERHEAD),
    });
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// The first byte of a handshake record (RFC 8446, section 5.1), which begins no request.
pub const HANDSHAKE: u8 = 0x16;

/// One connection's TLS.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct TlsSession {
    connection: Connection,
    /// A part of a record.
    incoming: Vec<u8>,
    /// Data that has been decrypted and not been read.
    data: Vec<u8>,
    /// Records that the peer has not taken.
    outgoing: Vec<u8>,
    /// Whether anything has come.
    greeted: bool,
    /// How often it had changed which clients are let in, when this one was.
    admissions: u64,
    /// Whether the last records were small.
    small: bool,
    peer_closed: bool,
    /// Whether a read has told of the end, be it a failure.
    end_told: bool,
    closed: bool,
    failed: Option<TlsError>,
}

/// Why a connection speaks no TLS any more.
#[derive(Clone, Debug)]
pub enum TlsError {
    /// The peer's first byte begins no handshake: it speaks another protocol.
    NotTls,
    /// The peer begins a handshake at a port that speaks plain HTTP.
    NotPlain,
    /// The connection ended without a word, so that what came may not be whole.
    Truncated,
    /// What rustls says.
    Rustls(Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotTls => to.write_str("the peer does not speak TLS"),
            Self::NotPlain => to.write_str(
                "the peer speaks TLS and this address does not; write tls: before it, or send \
                 plain HTTP",
            ),
            Self::Truncated => to.write_str(
                "the connection was cut off inside of TLS, so that what came may not be whole",
            ),
            Self::Rustls(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected,
                presented,
            })) => OtherName {
                expected,
                presented,
            }
            .fmt(to),
            Self::Rustls(error) => words::Words(error).fmt(to),
        }
    }
}

impl TlsError {
    /// One word for the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        use rustls::CertificateError as Certificate;
        match self {
            Self::NotTls
            | Self::Rustls(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => "not_tls",
            Self::NotPlain => "not_plain",
            Self::Truncated => "truncated",
            Self::Rustls(Error::InvalidCertificate(why)) => match why {
                Certificate::Expired | Certificate::ExpiredContext { .. } => "expired_certificate",
                Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                    "certificate_not_valid_yet"
                }
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                    "certificate_of_another_name"
                }
                Certificate::UnknownIssuer => "unknown_issuer",
                Certificate::Revoked => "revoked_certificate",
                _ => "invalid_certificate",
            },
            Self::Rustls(Error::AlertReceived(_)) => "alert",
            Self::Rustls(_) => "protocol",
        }
    }
}

impl From<CertificateError> for TlsError {
    fn from(why: CertificateError) -> Self {
        Self::Rustls(Error::InvalidCertificate(why))
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotTls | Self::NotPlain | Self::Truncated => None,
            Self::Rustls(error) => Some(error),
        }
    }
}

impl TlsSession {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            incoming: Vec::new(),
            data: Vec::new(),
            outgoing: Vec::new(),
            greeted: false,
            admissions: 0,
            small: false,
            peer_closed: false,
            end_told: false,
            closed: false,
            failed: None,
        }
    }

    /// The server's side.
    #[must_use]
    pub(super) fn server(connection: UnbufferedServerConnection, admissions: u64) -> Self {
        Self {
            admissions,
            ..Self::new(Connection::Server(connection))
        }
    }

    /// The client's side.
    #[must_use]
    pub fn client(connection: UnbufferedClientConnection) -> Self {
        Self::new(Connection::Client(connection))
    }

    /// What has been negotiated.
    #[must_use]
    pub fn state(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    /// Why it has failed, if it has.
    #[must_use]
    pub fn error(&self) -> Option<&TlsError> {
        self.failed.as_ref()
    }

    /// Whether the handshake is under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking() && self.failed.is_none()
    }

    /// Whether a read has something to tell that no event of the socket tells of: data, or
    /// that the peer has closed, or a failure.
    pub(super) fn is_readable(&self) -> bool {
        !self.data.is_empty() || self.ends() && !self.end_told
    }

    fn ends(&self) -> bool {
        self.peer_closed || self.failed.is_some()
    }

    /// Bytes of records that wait to be written.
    pub(super) fn unflushed(&self) -> usize {
        self.outgoing.len()
    }

    /// Bytes of memory that it holds beside itself.
    pub(super) fn held(&self) -> usize {
        self.incoming.len() + self.data.len() + self.outgoing.len()
    }

    /// Reads once, on through what is not data.
    pub(super) fn read(&mut self, socket: &mut Socket, buffer: &mut [u8]) -> Read {
        if !self.data.is_empty() {
            let count = self.data.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.data[..count]);
            if count == self.data.len() {
                self.data = Vec::new();
            } else {
                self.data.drain(..count);
            }
            return Read::Bytes(count);
        }
        self.end_told |= self.ends();
        if self.failed.is_some() {
            return Read::Failed(std::io::ErrorKind::InvalidData.into());
        }
        if self.peer_closed {
            return Read::End;
        }
        BUFFERS.with_borrow_mut(|buffers| self.read_records(socket, buffer, buffers))
    }

    fn read_records(
        &mut self,
        socket: &mut Socket,
        buffer: &mut [u8],
        buffers: &mut Buffers,
    ) -> Read {
        let held = self.incoming.len();
        buffers.incoming[..held].copy_from_slice(&self.incoming);
        let end = if self.small {
            // A record that has begun is read to its end.
            INCOMING.min(held + INCOMING_SMALL)
        } else {
            INCOMING
        };
        let count = match socket.read(&mut buffers.incoming[held..end]) {
            Read::Bytes(count) => count,
            Read::End => {
                self.failed = Some(TlsError::Truncated);
                return Read::Failed(std::io::ErrorKind::UnexpectedEof.into());
            }
            other => return other,
        };
        if !std::mem::replace(&mut self.greeted, true)
            && matches!(self.connection, Connection::Server(_))
            && buffers.incoming[0] != HANDSHAKE
        {
            self.failed = Some(TlsError::NotTls);
            return Read::Failed(std::io::ErrorKind::InvalidData.into());
        }
        let mut sink = Sink {
            buffer,
            filled: 0,
            rest: &mut self.data,
        };
        let incoming = &mut buffers.incoming[..held + count];
        let driven = match &mut self.connection {
            Connection::Server(connection) => drive(connection, incoming, &mut sink, None),
            Connection::Client(connection) => drive(connection, incoming, &mut sink, None),
        };
        let filled = sink.filled;
        self.small = count < driven.records * SMALL_RECORD;
        self.incoming = buffers.incoming[driven.consumed..held + count].to_vec();
        self.outgoing.extend_from_slice(&driven.outgoing);
        self.peer_closed |= driven.peer_closed;
        if let Some(error) = driven.error {
            self.failed = Some(TlsError::Rustls(error));
        }
        let flushed = self.flush(socket);
        if let Some(TlsError::Rustls(_)) = &self.failed
            && filled == 0
        {
            return Read::Failed(std::io::ErrorKind::InvalidData.into());
        }
        match flushed {
            _ if filled > 0 => Read::Bytes(filled),
            Write::Failed(error) => Read::Failed(error),
            Write::Bytes(_) if self.peer_closed => Read::End,
            Write::Bytes(_) => Read::Nothing,
        }
    }

    /// Encrypts and writes until all is taken or the peer takes no more.
    pub(super) fn write(&mut self, socket: &mut Socket, bytes: &[u8]) -> Write {
        if self.failed.is_some() {
            return Write::Failed(std::io::ErrorKind::InvalidData.into());
        }
        let mut taken = 0;
        while taken < bytes.len() {
            match self.flush(socket) {
                Write::Failed(error) => return Write::Failed(error),
                Write::Bytes(_) if !self.outgoing.is_empty() => break,
                Write::Bytes(_) => {}
            }
            let piece = &bytes[taken..bytes.len().min(taken + AT_ONCE)];
            let written = BUFFERS.with_borrow_mut(|buffers| {
                buffers.outgoing.clear();
                let encrypted = self.encrypt(Wanted::Data(piece), &mut buffers.outgoing);
                (encrypted, self.send(socket, &buffers.outgoing))
            });
            match written {
                (_, Write::Failed(error)) => return Write::Failed(error),
                (true, Write::Bytes(_)) => taken += piece.len(),
                (false, Write::Bytes(_)) if self.failed.is_some() => {
                    return Write::Failed(std::io::ErrorKind::InvalidData.into());
                }
                // The handshake is under way; what it waits for comes with a read.
                (false, Write::Bytes(_)) => break,
            }
        }
        Write::Bytes(taken)
    }

    /// Appends the records that are `wanted` to `out`, or what the handshake has to say
    /// first. `true` where they are in it.
    fn encrypt(&mut self, wanted: Wanted<'_>, out: &mut Vec<u8>) -> bool {
        let mut sink = Sink {
            buffer: &mut [],
            filled: 0,
            rest: &mut self.data,
        };
        // rustls knows the part of a message that it has seen, and looks for it there.
        let incoming = &mut self.incoming[..];
        let encrypt = Some(Encrypt { wanted, out });
        let driven = match &mut self.connection {
            Connection::Server(connection) => drive(connection, incoming, &mut sink, encrypt),
            Connection::Client(connection) => drive(connection, incoming, &mut sink, encrypt),
        };
        self.incoming.drain(..driven.consumed);
        self.peer_closed |= driven.peer_closed;
        if let Some(error) = driven.error {
            self.failed = Some(TlsError::Rustls(error));
        }
        driven.encrypted
    }

    /// Writes `records`, and keeps what the peer does not take.
    fn send(&mut self, socket: &mut Socket, records: &[u8]) -> Write {
        let written = socket.write(records);
        if let Write::Bytes(sent) = written {
            self.outgoing.extend_from_slice(&records[sent..]);
        }
        written
    }

    /// Writes the records that wait.
    pub(super) fn flush(&mut self, socket: &mut Socket) -> Write {
        if self.outgoing.is_empty() || !socket.is_writable() {
            return Write::Bytes(0);
        }
        let written = socket.write(&self.outgoing);
        if let Write::Bytes(sent) = written {
            self.outgoing.drain(..sent);
            if self.outgoing.is_empty() {
                self.outgoing = Vec::new();
            }
        }
        written
    }

    /// Tells the peer that nothing more comes, once.
    pub(super) fn close_notify(&mut self, socket: &mut Socket) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if self.failed.is_none() {
            let mut records = Vec::new();
            self.encrypt(Wanted::CloseNotify, &mut records);
            self.outgoing.extend_from_slice(&records);
        }
        // Whether the peer takes it is its own business.
        let _ = self.flush(socket);
    }
}

/// Where data goes that has been decrypted: into the caller's buffer, and what does not
/// fit is kept.
struct Sink<'a> {
    buffer: &'a mut [u8],
    filled: usize,
    rest: &'a mut Vec<u8>,
}

impl Sink<'_> {
    fn take(&mut self, data: &[u8]) {
        let fits = data.len().min(self.buffer.len() - self.filled);
        self.buffer[self.filled..self.filled + fits].copy_from_slice(&data[..fits]);
        self.filled += fits;
        self.rest.extend_from_slice(&data[fits..]);
    }
}

/// What is to be encrypted.
enum Wanted<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

struct Encrypt<'a> {
    wanted: Wanted<'a>,
    out: &'a mut Vec<u8>,
}

/// What going through records has come to.
#[derive(Default)]
struct Driven {
    consumed: usize,
    /// How many records there were, about.
    records: usize,
    /// Handshake messages and alerts for the peer.
    outgoing: Vec<u8>,
    peer_closed: bool,
    encrypted: bool,
    error: Option<Error>,
}

/// Both sides of rustls alike.
trait Records {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// Whether it has something for the peer.
    fn has_to_send(&self) -> bool;
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_to_send(&self) -> bool {
        self.wants_write()
    }
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_to_send(&self) -> bool {
        self.wants_write()
    }
}

/// Goes through the records in `incoming` to their end, and encrypts where that is
/// wanted and possible.
fn drive<C: Records>(
    connection: &mut C,
    incoming: &mut [u8],
    sink: &mut Sink<'_>,
    mut encrypt: Option<Encrypt<'_>>,
) -> Driven {
    let mut driven = Driven::default();
    loop {
        // After a failure the alert goes out, and nothing that follows is looked at: rustls
        // does not expect to fail twice.
        if driven.error.is_some() && !connection.has_to_send() {
            return driven;
        }
        let UnbufferedStatus { discard, state } =
            connection.process(&mut incoming[driven.consumed..]);
        let mut discard = discard;
        driven.records += usize::from(discard > 0);
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(Ok(record)) = traffic.next_record() {
                    discard += record.discard;
                    driven.records += 1;
                    // What follows a failure means nothing.
                    if driven.error.is_none() {
                        sink.take(record.payload);
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                let out = match &mut encrypt {
                    Some(encrypt) => &mut *encrypt.out,
                    None => &mut driven.outgoing,
                };
                append(out, OVERHEAD, |room| match message.encode(room) {
                    Err(EncodeError::InsufficientSize(needed)) => Err(needed),
                    done => Ok(done.unwrap_or_default()),
                });
            }
            // It goes out with what else is in `outgoing`.
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                if let Some(Encrypt { wanted, out }) = encrypt.take() {
                    let data = match wanted {
                        Wanted::Data(data) => data,
                        Wanted::CloseNotify => &[],
                    };
                    let mut exhausted = false;
                    append(out, data.len() + OVERHEAD, |room| {
                        let written = match wanted {
                            Wanted::Data(data) => traffic.encrypt(data, room),
                            Wanted::CloseNotify => traffic.queue_close_notify(room),
                        };
                        match written {
                            Err(EncryptError::InsufficientSize(needed)) => Err(needed),
                            Err(EncryptError::EncryptExhausted) => {
                                exhausted = true;
                                Ok(0)
                            }
                            Ok(written) => Ok(written),
                        }
                    });
                    driven.encrypted = !exhausted;
                }
                driven.consumed += discard;
                return driven;
            }
            Ok(ConnectionState::PeerClosed) => driven.peer_closed = true,
            Ok(_) => {
                driven.consumed += discard;
                return driven;
            }
            Err(error) => {
                if driven.error.is_some() {
                    driven.consumed += discard;
                    return driven;
                }
                driven.error = Some(error);
            }
        }
        driven.consumed += discard;
    }
}

/// Appends what `write` writes into the room that it is given, `least` bytes at first.
fn append(
    out: &mut Vec<u8>,
    least: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, InsufficientSizeError>,
) {
    let start = out.len();
    out.resize(start + least, 0);
    loop {
        match write(&mut out[start..]) {
            Ok(written) => return out.truncate(start + written),
            Err(InsufficientSizeError { required_size }) => out.resize(start + required_size, 0),
        }
    }
}
