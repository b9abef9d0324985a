//! Scripted backends and clients: each step of a test says what is sent, and what must
//! have come.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

use crate::support::port::HeldPort;
use crate::support::{Guard, PATIENCE, SECRET};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer has closed its side.
    Closed,
    /// It has reset the connection.
    Reset,
}

/// A head: its first line, and its fields with names in lower case.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field that must not be there twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn status(&self) -> u16 {
        assert!(self.line.starts_with("HTTP/1.1 "), "{self:?}");
        self.line[9..12].parse().expect("a status")
    }
}

/// How a body was framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// A whole message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) trailers: Vec<String>,
}

/// One end of a connection, with what it has read ahead.
#[derive(Debug)]
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    ahead: Vec<u8>,
}

impl<S: Read + Write> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Reads on. `Err` says how the connection ended.
    fn fill(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("after {} bytes: {error}", self.ahead.len()),
        }
    }

    /// The bytes up to the first `end`, with it.
    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.ahead.windows(end.len()).position(|at| at == end);
            if let Some(at) = found {
                return self.ahead.drain(..at + end.len()).collect();
            }
            if let Err(how) = self.fill() {
                panic!("{how:?} after {:?}", self.ahead.escape_ascii().to_string());
            }
        }
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            if let Err(how) = self.fill() {
                panic!("{how:?} after {} of {count} bytes", self.ahead.len());
            }
        }
        self.ahead.drain(..count).collect()
    }

    /// All that still comes, and how it ends.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(how) = self.fill() {
                return (std::mem::take(&mut self.ahead), how);
            }
        }
    }

    /// Requires that nothing comes but the end.
    pub(crate) fn ends(&mut self) -> End {
        let (rest, how) = self.rest();
        assert_eq!(rest.escape_ascii().to_string(), "");
        how
    }

    pub(crate) fn head(&mut self) -> Head {
        let text = String::from_utf8(self.until(b"\r\n\r\n")).expect("UTF-8");
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().expect("a line").to_owned();
        let fields = lines
            .map(|line| line.split_once(": ").expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Head { line, fields }
    }

    /// The next head; `None` where the connection ends before it.
    #[allow(dead_code, reason = "tests of the gateway use it")]
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        if self.ahead.is_empty() && self.fill().is_err() {
            return None;
        }
        Some(self.head())
    }

    /// A chunked body and its trailers.
    pub(crate) fn chunks(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")).expect("ASCII");
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's size");
            if size == 0 {
                break;
            }
            body.extend(self.take(size));
            assert_eq!(self.take(2), b"\r\n");
        }
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")).expect("UTF-8");
            match line.trim_end() {
                "" => return (body, trailers),
                line => trailers.push(line.to_owned()),
            }
        }
    }

    fn message(&mut self, head: Head, otherwise: Framing) -> Message {
        let chunked = head.field("transfer-encoding");
        let length = head.field("content-length");
        let mut trailers = Vec::new();
        let (framing, body) = match (chunked, length, otherwise) {
            (Some("chunked"), None, _) => {
                let (body, found) = self.chunks();
                trailers = found;
                (Framing::Chunked, body)
            }
            (None, Some(length), _) => {
                let length = length.parse().expect("a length");
                (Framing::Length, self.take(length))
            }
            (None, None, Framing::Close) => {
                let (body, how) = self.rest();
                assert_eq!(how, End::Closed, "{head:?}");
                (Framing::Close, body)
            }
            (None, None, _) => (Framing::None, Vec::new()),
            _ => panic!("two framings: {head:?}"),
        };
        Message {
            head,
            body,
            framing,
            trailers,
        }
    }

    /// A whole request.
    pub(crate) fn request(&mut self) -> Message {
        let head = self.head();
        self.message(head, Framing::None)
    }

    /// A whole answer, final or not, to a request that is not a HEAD.
    pub(crate) fn answer(&mut self) -> Message {
        let head = self.head();
        let never = matches!(head.status(), 100..=199 | 204 | 304);
        if never {
            return Message {
                head,
                body: Vec::new(),
                framing: Framing::None,
                trailers: Vec::new(),
            };
        }
        self.message(head, Framing::Close)
    }

    /// An answer with this status; returns the whole of it.
    pub(crate) fn answered(&mut self, status: u16) -> Message {
        let answer = self.answer();
        assert_eq!(answer.head.status(), status, "{answer:?}");
        answer
    }

    /// An answer of 200 with this body.
    pub(crate) fn answered_with(&mut self, body: &str) -> Message {
        let answer = self.answered(200);
        assert_eq!(answer.body.escape_ascii().to_string(), body, "{answer:?}");
        answer
    }
}

impl Peer<TcpStream> {
    /// Says that it sends no more.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("closed");
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("set");
    }

    /// Whether a byte, or the end, has come that was not read.
    pub(crate) fn has_more(&self) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        self.stream.set_nonblocking(true).expect("set");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("set");
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    pub(crate) fn try_clone(&self) -> Self {
        Self::new(self.stream.try_clone().expect("another handle"))
    }
}

/// What is asked again and again, for what no event tells of.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A backend that listens, and does nothing by itself.
pub(crate) struct Backend {
    listener: TcpListener,
    address: SocketAddr,
    port: HeldPort,
}

impl Backend {
    pub(crate) fn new() -> Self {
        Self::at(HeldPort::new())
    }

    pub(crate) fn at(port: HeldPort) -> Self {
        let listener = TcpListener::bind(port.address).expect("bound");
        Self::with(listener, port)
    }

    /// One at a free port of `ip`, which stays closed at `other`.
    pub(crate) fn alone_at(ip: IpAddr, other: IpAddr) -> Self {
        let (listener, port) = HeldPort::beside_listener(ip, other);
        Self::with(listener, port)
    }

    fn with(listener: TcpListener, port: HeldPort) -> Self {
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("an address");
        Self {
            listener,
            address,
            port,
        }
    }

    /// Listens no longer: whoever connects is refused as long as its port is held.
    pub(crate) fn stop(self) -> HeldPort {
        let Self {
            listener,
            address,
            port,
        } = self;
        drop(listener);
        // A process that another test starts has the listener too until its program runs.
        eventually("the end of a listener", || {
            TcpStream::connect(address).is_err().then_some(())
        });
        port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection, if one has come.
    pub(crate) fn accepted(&self) -> Option<Peer> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).expect("set");
        Some(Peer::new(patient(stream)))
    }

    pub(crate) fn accept(&self) -> Peer {
        eventually("a connection to the backend", || self.accepted())
    }

    /// Accepts a connection and reads the head of its first request.
    pub(crate) fn accept_head(&self) -> (Peer, Head) {
        let mut peer = self.accept();
        let head = peer.head();
        (peer, head)
    }

    /// Serves each connection on a thread of its own until it ends.
    pub(crate) fn serve(self, serve: impl Fn(Peer) + Send + Sync + Clone + 'static) {
        self.listener.set_nonblocking(false).expect("set");
        std::thread::spawn(move || {
            for stream in self.listener.incoming().map_while(Result::ok) {
                let serve = serve.clone();
                std::thread::spawn(move || serve(Peer::new(patient(stream))));
            }
        });
    }
}

/// A backend that takes no connection, and refuses none: its backlog is full.
pub(crate) struct Silent {
    address: SocketAddr,
    _listener: OwnedFd,
    _held: Vec<TcpStream>,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
        listen(&listener, 0).expect("listens");
        let address = getsockname(&listener).expect("an address");
        let address = SocketAddr::try_from(address).expect("TCP");
        let mut held = Vec::new();
        let short = Duration::from_millis(300);
        while let Ok(stream) = TcpStream::connect_timeout(&address, short) {
            held.push(stream);
            assert!(held.len() < 100, "it has no bound");
        }
        Self {
            address,
            _listener: listener,
            _held: held,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Which of two backends a connection comes to.
pub(crate) fn accept_either(first: &Backend, second: &Backend) -> (usize, Peer) {
    eventually("a connection to either backend", || {
        let found = first.accepted().map(|peer| (0, peer));
        found.or_else(|| second.accepted().map(|peer| (1, peer)))
    })
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

pub(crate) fn accept_unix(listener: &UnixListener) -> Peer<UnixStream> {
    let (stream, _) = listener.accept().expect("accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Peer::new(stream)
}

/// A path for a socket, of this test alone.
pub(crate) fn socket_path(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("relay-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

pub(crate) fn unix_url(path: &Path) -> String {
    format!("http://unix:{}", path.display())
}

/// A guard in front of these backends, with one worker, so that there is one pool.
pub(crate) fn guard_for(urls: &str, more: &[(&str, &str)]) -> Guard {
    let mut variables = vec![
        ("SHARED_SECRET", SECRET),
        ("BACKEND", urls),
        ("WORKERS", "1"),
    ];
    variables.extend_from_slice(more);
    Guard::with(&variables)
}

/// What a guard needs so that its `/metrics` can be read, at its second address.
pub(crate) const WATCHED: (&str, &str) = ("ADMIN_LISTEN", "127.0.0.1:0");

/// The line of `/metrics` that counts exchanges that ended for this reason.
pub(crate) fn broken(reason: &str, count: u32) -> String {
    format!("exchanges_broken_total{{reason=\"{reason}\"}} {count}")
}

/// A backend with a guard in front of it.
pub(crate) fn pair(more: &[(&str, &str)]) -> (Backend, Guard) {
    let backend = Backend::new();
    let guard = guard_for(&backend.url(), more);
    (backend, guard)
}

pub(crate) fn client(guard: &Guard) -> Peer {
    Peer::new(patient(guard.connect()))
}

/// A request with the right secret: its first line, and further field lines.
pub(crate) fn granted(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: test\r\nX-Shared-Secret: {SECRET}\r\n{fields}\r\n")
}

pub(crate) fn get(path: &str) -> String {
    granted(&format!("GET {path} HTTP/1.1"), "")
}

/// An answer by `Content-Length`.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Bytes in which nothing repeats that a buffer's size divides.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
