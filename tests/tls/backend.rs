//! A backend that tells what it got, and sends what it is asked for.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use sha2::{Digest as _, Sha256};

/// The running backend.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
}

impl Backend {
    /// `GET /N` is answered with N bytes of [`pattern`]; anything with a body with the
    /// body's length and checksum, and `X-Forwarded-Proto` as it came.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// `length` bytes that repeat in no power of two.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// The checksum of `bytes` in hexadecimal digits.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// `bytes` in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn serve(stream: TcpStream) {
    let mut out = stream.try_clone().expect("a clone");
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let field = |name: &str| {
            let mut fields = head.iter().filter_map(|line| line.split_once(": "));
            let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let length = field("content-length").map(|text| text.parse::<u64>().expect("a length"));
        let answer = if field("transfer-encoding").is_some() {
            let Some(body) = chunked(&mut stream) else {
                return;
            };
            format!("{} {}", body.len(), checksum(&body)).into_bytes()
        } else if let Some(length) = length {
            let mut digest = Sha256::new();
            let mut body = (&mut stream).take(length);
            let mut left = length;
            let mut buffer = vec![0; 64 * 1024];
            while left > 0 {
                let read = body.read(&mut buffer).unwrap_or(0);
                if read == 0 {
                    return;
                }
                digest.update(&buffer[..read]);
                left -= read as u64;
            }
            format!("{length} {}", hexadecimal(&digest.finalize())).into_bytes()
        } else {
            let path = head[0].split(' ').nth(1).unwrap_or_default();
            match path.trim_start_matches('/').parse() {
                Ok(length) => pattern(length),
                Err(_) => field("x-forwarded-proto").unwrap_or_default().into_bytes(),
            }
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if out.write_all(&[head.as_bytes(), &answer].concat()).is_err() {
            return;
        }
    }
}

/// A chunked body; `None` where it breaks off.
fn chunked(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let size = u64::from_str_radix(line.trim(), 16).expect("a size");
        let start = body.len();
        let read = stream.take(size + 2).read_to_end(&mut body);
        read.ok().filter(|&read| read as u64 == size + 2)?;
        body.truncate(body.len() - 2);
        if body.len() == start {
            return Some(body);
        }
    }
}
