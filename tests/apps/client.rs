//! A client over raw sockets, which sees every byte that it is sent.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::pattern::Pattern;
use crate::support::{PATIENCE, SECRET};

/// One client. It connects anew where the last answer has ended its connection.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    /// How often it has connected.
    pub(crate) connections: usize,
}

/// What a request brings.
pub(crate) enum Body {
    None,
    Sized(u64),
    /// In chunks of different lengths.
    Chunked(u64),
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Names in lower case, in order.
    pub(crate) fields: Vec<(String, String)>,
    is_bodiless: bool,
}

impl Head {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "{name} is there more than once: {self:?}");
        values.first().copied()
    }
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            connections: 0,
        }
    }

    fn stream(&mut self) -> &mut BufReader<TcpStream> {
        let (address, connections) = (self.address, &mut self.connections);
        self.stream.get_or_insert_with(|| {
            *connections += 1;
            let stream = TcpStream::connect(address).expect("connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
            stream.set_nodelay(true).expect("no delay");
            BufReader::new(stream)
        })
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream().get_mut().write_all(bytes).expect("sent");
    }

    /// Sends a request with the secret, and `fields`, lines that end in CR LF.
    pub(crate) fn send(&mut self, method: &str, target: &str, fields: &str, body: &Body) {
        self.write(head(method, target, fields, body).as_bytes());
        self.send_body(body);
    }

    pub(crate) fn send_body(&mut self, body: &Body) {
        let stream = self.stream().get_mut();
        match *body {
            Body::None => {}
            Body::Sized(length) => {
                std::io::copy(&mut Pattern::of(length), stream).expect("sent");
            }
            Body::Chunked(length) => {
                let mut pattern = Pattern::of(length);
                let mut chunk = vec![0; 70_000];
                for size in [1, 10_007, 4096, 65_536, 333, 70_000].into_iter().cycle() {
                    let read = pattern.fill(&mut chunk[..size]);
                    if read == 0 {
                        break;
                    }
                    let size = format!("{read:x}\r\n");
                    let chunk = [size.as_bytes(), &chunk[..read], b"\r\n"].concat();
                    stream.write_all(&chunk).expect("sent");
                }
                stream.write_all(b"0\r\n\r\n").expect("sent");
            }
        }
    }

    /// The next head, 1xx included. `method` is that of the request.
    pub(crate) fn head(&mut self, method: &str) -> Head {
        let stream = self.stream();
        let line = line(stream);
        let mut parts = line.splitn(3, ' ');
        assert!(
            matches!(parts.next(), Some("HTTP/1.1" | "HTTP/1.0")),
            "{line:?}"
        );
        let status = parts.next().and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{line:?}"));
        let fields = fields(stream);
        let is_bodiless = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
        Head {
            status,
            fields,
            is_bodiless,
        }
    }

    /// The body of the answer with `head`.
    pub(crate) fn body(&mut self, head: &Head) -> BodyReader<'_> {
        let chunked = head.value("transfer-encoding") == Some("chunked");
        let length = head.value("content-length");
        let length = length.map(|length| length.parse().expect("a length"));
        assert!(!(chunked && length.is_some()), "both framings: {head:?}");
        let left = if head.is_bodiless {
            Left::Sized(0)
        } else if chunked {
            Left::Chunk(0)
        } else {
            length.map_or(Left::UntilClose, Left::Sized)
        };
        let closes = head
            .values("connection")
            .iter()
            .any(|value| value.eq_ignore_ascii_case("close"));
        let closes = closes || left == Left::UntilClose;
        BodyReader {
            client: self,
            left,
            closes,
            trailers: Vec::new(),
        }
    }

    /// The next final head and its whole body.
    pub(crate) fn receive(&mut self, method: &str) -> (Head, Vec<u8>) {
        let mut head = self.head(method);
        while head.status < 200 {
            head = self.head(method);
        }
        let mut body = Vec::new();
        self.body(&head).read_to_end(&mut body).expect("the body");
        (head, body)
    }

    /// A request without body, and its answer.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &str) -> (Head, Vec<u8>) {
        self.send(method, target, fields, &Body::None);
        self.receive(method)
    }
}

/// The head of a request with the secret.
pub(crate) fn head(method: &str, target: &str, fields: &str, body: &Body) -> String {
    let framing = match body {
        // PHP and others want a length where a method may have a body.
        Body::None if matches!(method, "POST" | "PUT" | "PATCH") => "Content-Length: 0\r\n".into(),
        Body::None => String::new(),
        Body::Sized(length) => format!("Content-Length: {length}\r\n"),
        Body::Chunked(_) => "Transfer-Encoding: chunked\r\n".into(),
    };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: app.example\r\nX-Shared-Secret: {SECRET}\r\n\
         {fields}{framing}\r\n"
    )
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line");
    let text = line.strip_suffix("\r\n");
    text.unwrap_or_else(|| panic!("no line: {line:?}"))
        .to_owned()
}

fn fields(stream: &mut BufReader<TcpStream>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream);
        if line.is_empty() {
            return fields;
        }
        let (name, value) = line.split_once(':').expect("a field");
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Sized(u64),
    /// Of this chunk; 0 is between two.
    Chunk(u64),
    UntilClose,
    Nothing,
}

/// A body as it arrives.
pub(crate) struct BodyReader<'c> {
    client: &'c mut Client,
    left: Left,
    closes: bool,
    /// The fields behind a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Read for BodyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let stream = self.client.stream();
        if self.left == Left::Chunk(0) {
            let size = line(stream);
            let size = size.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).expect("a size");
            self.left = Left::Chunk(size);
            if size == 0 {
                self.trailers = fields(stream);
                self.left = Left::Nothing;
            }
        }
        let most = match self.left {
            Left::Sized(left) | Left::Chunk(left) => buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX)),
            Left::UntilClose => buffer.len(),
            Left::Nothing => 0,
        };
        let read = if most == 0 {
            0
        } else {
            stream.read(&mut buffer[..most])?
        };
        let count = read as u64;
        match &mut self.left {
            Left::Sized(left) if *left > 0 => {
                assert!(read > 0, "the body breaks off");
                *left -= count;
            }
            Left::Chunk(left) => {
                assert!(read > 0, "the body breaks off");
                *left -= count;
                if *left == 0 {
                    assert_eq!(line(stream), "");
                }
            }
            _ => {}
        }
        if read == 0 && !buffer.is_empty() && self.closes {
            self.client.stream = None;
        }
        Ok(read)
    }
}
