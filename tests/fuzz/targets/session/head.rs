//! Heads and bodies as the backend reads them: an own reader, so that no fault of the
//! program's own parser hides itself.

use crate::backend::Seen;
use crate::input::SECRET;

/// What is left of a request's body.
pub enum Framing {
    Sized(usize),
    Chunked,
    Done,
}

/// Takes a head off the start of `input`, and says whether it asks for another protocol.
/// `None` where it is not whole.
pub fn take(input: &mut Vec<u8>) -> Option<(Seen, Framing, bool)> {
    let length = 4 + input.windows(4).position(|end| end == b"\r\n\r\n")?;
    let rest = input.split_off(length);
    let head = std::mem::replace(input, rest);
    let shown = head.escape_ascii();
    let mut lines = lines(&head[..length - 4]).into_iter();
    let line = lines.next().expect("a line");
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = words[..] else {
        panic!("a request line of another form: {shown}");
    };
    assert!(target.starts_with(b"/") || target == b"*", "{shown}");
    let (mut hosts, mut framings, mut upgrades) = (Vec::new(), Vec::new(), false);
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        assert!(
            !name.is_empty() && name.iter().all(u8::is_ascii_graphic),
            "{shown}"
        );
        assert!(
            value.iter().all(|&byte| byte >= b' ' || byte == b'\t'),
            "{shown}"
        );
        let folded: Vec<_> = name.iter().map(fold).collect();
        match folded.as_slice() {
            b"host" => hosts.push(value.to_vec()),
            b"content-length" | b"transfer-encoding" => {
                // Other spellings are one variable with these in CGI.
                assert!(name.is_ascii() && !name.contains(&b'_'), "{shown}");
                framings.push(framing(&folded, value));
            }
            b"x-shared-secret" => panic!("the secret's field arrives: {shown}"),
            b"upgrade" => {
                assert!(value.eq_ignore_ascii_case(b"websocket"), "{shown}");
                upgrades = true;
            }
            b"expect" | b"te" | b"trailer" | b"proxy" | b"keep-alive" => panic!("{shown}"),
            _ => {}
        }
    }
    let is_one_way = hosts.len() == 1 && framings.len() <= 1;
    assert!(is_one_way, "it can be read in two ways: {shown}");
    assert!(
        !contains(&head, SECRET.as_bytes())
            || contains(target, SECRET.as_bytes())
            || !contains(&head, b"x-shared-secret"),
        "{shown}"
    );
    let seen = Seen {
        method: String::from_utf8(method.to_vec()).expect("a token"),
        target: target.to_vec(),
        host: hosts.remove(0),
        ..Seen::default()
    };
    Some((seen, framings.pop().unwrap_or(Framing::Done), upgrades))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn fold(byte: &u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

/// Lines that CRLF ends; a bare CR or LF is a fault.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    for line in head.split(|&byte| byte == b'\n') {
        lines.push(line.strip_suffix(b"\r").unwrap_or(line));
    }
    let crlfs = head.windows(2).filter(|two| two == b"\r\n").count();
    assert_eq!(crlfs + 1, lines.len(), "a bare LF: {}", head.escape_ascii());
    assert!(lines.iter().all(|line| !line.contains(&b'\r')), "a bare CR");
    lines
}

fn framing(name: &[u8], value: &[u8]) -> Framing {
    if name == b"transfer-encoding" {
        assert_eq!(value, b"chunked");
        return Framing::Chunked;
    }
    let text = std::str::from_utf8(value).expect("digits");
    assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
    Framing::Sized(text.parse().expect("a length"))
}

impl Framing {
    /// Takes what there is of the body. Whether that is all of it.
    pub fn take(&mut self, input: &mut Vec<u8>, body: &mut Vec<u8>) -> bool {
        loop {
            match self {
                Self::Done => return true,
                Self::Sized(left) => {
                    let taken = input.len().min(*left);
                    body.extend(input.drain(..taken));
                    *left -= taken;
                    return *left == 0;
                }
                Self::Chunked => {
                    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
                        return false;
                    };
                    let size = std::str::from_utf8(&input[..end]).expect("digits");
                    let size = usize::from_str_radix(size, 16).expect("a size");
                    let whole = end + 2 + size + 2;
                    if input.len() < whole {
                        return false;
                    }
                    // No trailer of a request is passed on.
                    assert_eq!(input[whole - 2..whole], *b"\r\n", "behind a chunk");
                    body.extend_from_slice(&input[end + 2..whole - 2]);
                    input.drain(..whole);
                    if size == 0 {
                        *self = Self::Done;
                    }
                }
            }
        }
    }
}
