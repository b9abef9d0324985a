//! Requests that are generated, and what must come of each.

use crate::random::Random;
use crate::support::SECRET;

const METHODS: [&str; 14] = [
    "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY",
    "PURGE", "M-SEARCH", "g!t",
];
/// Parts of targets. None is `/f`, the start of what must not arrive.
const PARTS: [&[u8]; 15] = [
    b"a",
    b"B",
    b"%20",
    b"%2f",
    b"%e4",
    b"..",
    b".",
    b"/",
    b"//",
    b"~!$&'()*+,;=",
    b":@",
    b"?",
    b"&x=y",
    b"?x=%3f",
    b"index.php",
];
/// Those that servers refuse, some of them.
const RARE_PARTS: [&[u8]; 7] = [
    b"%00",
    b"[{|}]",
    b"^`\"\\",
    b"<>",
    b"\xc3\xa4",
    b"\xff\xfe",
    b"\x80",
];
/// Spellings of fields that CGI cannot tell from our own.
const FOREIGN: [&str; 8] = [
    "X_Shared_Secret",
    "X.Shared.Secret",
    "x-shared_secret",
    "X_Consumer",
    "X_Forwarded_For",
    "X.Real.IP",
    "Transfer_Encoding",
    "Content_Length",
];
/// Fields that end at the guard.
const DROPPED: [&str; 6] = [
    "Proxy: evil",
    "Keep-Alive: evil",
    "TE: trailers, evil",
    "Proxy-Connection: evil",
    "Connection: X-Evil\r\nX-Evil: evil",
    "Upgrade: h2c-evil\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: evil",
];

/// What must come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The backend gets it.
    Granted,
    /// 401, and the connection may go on.
    Denied,
    /// It ends the connection, and may have reached the backend in part.
    Refused,
}

/// One request, and what the backend must make of it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) fate: Fate,
    pub(crate) method: &'static str,
    pub(crate) target: Vec<u8>,
    pub(crate) host: String,
    /// Values of X-Consumer in its own spelling.
    pub(crate) consumers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// The bytes on the wire.
    pub(crate) bytes: Vec<u8>,
}

impl Request {
    /// The `number` is in the target, so that no two are equal.
    pub(crate) fn generate(number: usize, random: &mut Random) -> Self {
        let fate = match random.below(20) {
            0..=15 => Fate::Granted,
            16..=18 => Fate::Denied,
            _ => Fate::Refused,
        };
        let start = if fate == Fate::Granted { 'g' } else { 'f' };
        let mut target = format!("/{start}{number}/").into_bytes();
        for _ in 0..random.below(8) {
            let is_rare = random.once_in(12);
            target.extend(if is_rare {
                random.one_of(&RARE_PARTS)
            } else {
                random.one_of(&PARTS)
            });
        }
        if target.iter().position(|&byte| byte == b'?') == Some(target.len() - 1) {
            // ASGI cannot tell an empty query from none.
            target.push(b'q');
        }
        let mut request = Self {
            fate,
            method: random.one_of(&METHODS),
            target,
            host: format!("host{}.example", random.below(9)),
            consumers: Vec::new(),
            body: Vec::new(),
            bytes: Vec::new(),
        };
        request.print(random);
        request
    }

    fn print(&mut self, random: &mut Random) {
        let is_old = random.once_in(12);
        let version = if is_old { "1.0" } else { "1.1" };
        let authority = if !is_old && random.once_in(10) {
            // The authority wins over Host (RFC 9112, section 3.2.2).
            format!("http://{}", self.host)
        } else {
            String::new()
        };
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let host = if authority.is_empty() {
            self.host.as_str()
        } else {
            "other.example"
        };
        lines.push(format!("{}:{} {host}", spelt("Host", random), space(random)).into());
        self.credential(&mut lines, random);
        self.other_fields(&mut lines, random);
        if is_old {
            lines.push(b"Connection: keep-alive".into());
        }
        let body = self.framing(is_old, &mut lines, random);
        self.refuse(&mut lines, random);
        let mut bytes = format!("{} {authority}", self.method).into_bytes();
        bytes.extend(&self.target);
        bytes.extend(format!(" HTTP/{version}\r\n").as_bytes());
        for line in lines {
            bytes.extend(line);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        self.bytes = bytes;
    }

    fn credential(&self, lines: &mut Vec<Vec<u8>>, random: &mut Random) {
        let name = spelt("X-Shared-Secret", random);
        let (before, behind) = (space(random), space(random));
        let right = format!("{name}:{before}{SECRET}{behind}");
        match self.fate {
            Fate::Denied => match random.below(6) {
                0 => {}
                1 => lines.push(format!("{name}: wrong").into()),
                2 => lines.extend([right.clone().into(), right.into()]),
                3 => lines.push(format!("X_Shared_Secret: {SECRET}").into()),
                4 => lines.push(format!("{name}: {SECRET},{SECRET}").into()),
                _ => lines.push(format!("{name}: {}", SECRET.to_uppercase()).into()),
            },
            Fate::Granted | Fate::Refused => {
                let at = random.below(lines.len() + 1);
                lines.insert(at, right.into());
            }
        }
    }

    fn other_fields(&mut self, lines: &mut Vec<Vec<u8>>, random: &mut Random) {
        for number in 0..random.below(4) {
            match random.below(5) {
                0 => lines.push(format!("{}: evil", random.one_of(&FOREIGN)).into()),
                1 => lines.push(random.one_of(&DROPPED).into()),
                2 => {
                    let consumer = format!("consumer-{number}");
                    lines.push(format!("{}: {consumer}", spelt("X-Consumer", random)).into());
                    self.consumers.push(consumer);
                }
                3 => lines.push([&b"X-Raw: \xe4\xff"[..], b"\t\"\\"].concat()),
                _ => lines.push(format!("X-Other-{number}:{}a b", space(random)).into()),
            }
        }
    }

    /// Adds the fields of the body, and returns the body as it goes out.
    fn framing(&mut self, is_old: bool, lines: &mut Vec<Vec<u8>>, random: &mut Random) -> Vec<u8> {
        let needs_length = matches!(self.method, "POST" | "PUT" | "PATCH" | "QUERY");
        if !needs_length && !random.once_in(6) {
            return Vec::new();
        }
        let length = match random.below(8) {
            0 => 0,
            1..=5 => random.below(300),
            6 => random.below(5_000),
            _ => random.below(40_000),
        };
        self.body = (0..length)
            .map(|_| random.one_of(b"abc\r\n0\0\xff /"))
            .collect();
        if random.once_in(8) && !is_old {
            lines.push(format!("{}: 100-continue", spelt("Expect", random)).into());
        }
        // What a denied request says of its body in chunks, nobody reads.
        if is_old || self.fate == Fate::Denied || random.once_in(2) {
            lines.push(
                format!(
                    "{}:{}{length}",
                    spelt("Content-Length", random),
                    space(random)
                )
                .into(),
            );
            return self.body.clone();
        }
        lines.push(
            format!(
                "{}: {}",
                spelt("Transfer-Encoding", random),
                random.one_of(&["chunked", "Chunked"])
            )
            .into(),
        );
        let (mut chunks, mut rest) = (Vec::new(), self.body.as_slice());
        while !rest.is_empty() {
            let size = 1 + random.below(rest.len());
            let extension = random.one_of(&["", ";a=b", ";a=\"b\"", ""]);
            let zeros = random.one_of(&["", "", "000"]);
            chunks.extend(format!("{zeros}{size:X}{extension}\r\n").as_bytes());
            chunks.extend(&rest[..size]);
            chunks.extend(b"\r\n");
            rest = &rest[size..];
        }
        chunks.extend(b"0\r\n");
        if random.once_in(4) {
            chunks.extend(b"X-Consumer: evil\r\nX-Trailer: evil\r\n");
        }
        chunks.extend(b"\r\n");
        chunks
    }

    /// Makes a request that must be refused what it is.
    fn refuse(&mut self, lines: &mut Vec<Vec<u8>>, random: &mut Random) {
        if self.fate != Fate::Refused {
            return;
        }
        let faulty: &[u8] = match random.below(9) {
            0 => b"X-Folded: a\r\n b",
            1 => b"X-Folded: a\r\n\tX-Shared-Secret: b",
            2 => b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            3 => b"Content-Length: 1\r\nContent-Length: 2",
            4 => b"X-Space : a",
            5 => b"X-Bare: a\nX-Line: b",
            6 => b"X-Bare: a\rb",
            7 => b"Transfer-Encoding: gzip, chunked",
            _ => b"Host: again.example",
        };
        let at = random.below(lines.len() + 1);
        lines.insert(at, faulty.into());
    }
}

/// A name in another case.
fn spelt(name: &str, random: &mut Random) -> String {
    match random.below(3) {
        0 => name.to_owned(),
        1 => name.to_lowercase(),
        _ => name.to_uppercase(),
    }
}

fn space(random: &mut Random) -> &'static str {
    random.one_of(&["", " ", " ", "\t", "  \t "])
}
