//! The PROXY protocol, versions 1 and 2, by which a load balancer that forwards TCP says
//! whose connection it forwards (haproxy.org, proxy-protocol.txt).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::decimal::decimal;

/// Longest header of version 1 with its end, in bytes (section 2.1).
const LONGEST_V1: usize = 107;
const BEGIN_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// A header of version 2 before its addresses.
const FIXED_V2: usize = 16;
/// Longest header that is read, in bytes: what load balancers add to the addresses is
/// some hundred.
pub const LONGEST: usize = 4096;

/// What the bytes that a connection begins with come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The header has not come whole.
    Partial,
    /// A header of this many bytes. `None` where the load balancer speaks for itself, as
    /// when it looks whether the server is there, or does not know for whom.
    Complete(usize, Option<SocketAddr>),
    /// No header.
    Malformed(Malformed),
}

/// Why the bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They begin otherwise.
    Missing,
    /// The end does not come in time.
    TooLong,
    /// A part of it is not what it has to be.
    Part(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => to.write_str(
                "no PROXY protocol header comes first; have the load balancer send one, or leave \
                 its address out of PROXY_PROTOCOL",
            ),
            Self::TooLong => to.write_str("the PROXY protocol header is too long"),
            Self::Part(part) => write!(to, "the PROXY protocol header has a faulty {part}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Reads the header. The outcome depends on the bytes alone, never on how they were split.
#[must_use]
pub fn read(bytes: &[u8]) -> Outcome {
    let begins = |with: &[u8]| {
        let length = with.len().min(bytes.len());
        bytes[..length] == with[..length]
    };
    let read = if begins(BEGIN_V1) {
        read_v1(bytes)
    } else if begins(SIGNATURE_V2) {
        read_v2(bytes)
    } else {
        Err(Malformed::Missing)
    };
    match read {
        Ok(None) => Outcome::Partial,
        // No client has it, and here it stands for a Unix socket.
        Ok(Some((_, Some(source)))) if source.port() == 0 && source.ip().is_unspecified() => {
            Outcome::Malformed(Malformed::Part("source"))
        }
        Ok(Some((length, source))) => Outcome::Complete(length, source),
        Err(malformed) => Outcome::Malformed(malformed),
    }
}

type Read = Result<Option<(usize, Option<SocketAddr>)>, Malformed>;

fn read_v1(bytes: &[u8]) -> Read {
    let shown = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = shown.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_V1 {
            Ok(None)
        } else {
            Err(Malformed::TooLong)
        };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Malformed::Part("line"))?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Some((end + 2, None)));
    }
    let mut address = |part| {
        let text = words.next().unwrap_or_default();
        let address = match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        };
        address.ok_or(Malformed::Part(part))
    };
    if !matches!(family, "TCP4" | "TCP6") {
        return Err(Malformed::Part("family"));
    }
    let source = address("source")?;
    address("destination")?;
    let mut port = |part| {
        let text = words.next().unwrap_or_default();
        decimal::<u16>(text).ok_or(Malformed::Part(part))
    };
    let source_port = port("source port")?;
    port("destination port")?;
    if words.next().is_some() {
        return Err(Malformed::Part("end"));
    }
    let source = SocketAddr::new(source, source_port);
    Ok(Some((end + 2, Some(source))))
}

fn read_v2(bytes: &[u8]) -> Read {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_V2) else {
        return Ok(None);
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_V2 + length > LONGEST {
        return Err(Malformed::TooLong);
    }
    if command >> 4 != 2 {
        return Err(Malformed::Part("version"));
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(None);
    };
    let source = match (command & 0xf, family) {
        (1, 0x11) => Some(address_v4(rest)?),
        (1, 0x21) => Some(address_v6(rest)?),
        // LOCAL: whatever the addresses are, they mean nothing. Nor does a family that is
        // not TCP over IP say anything of the client (section 2.2).
        (0 | 1, _) => None,
        _ => return Err(Malformed::Part("command")),
    };
    Ok(Some((FIXED_V2 + length, source)))
}

fn address_v4(bytes: &[u8]) -> Result<SocketAddr, Malformed> {
    let addresses = bytes.first_chunk::<12>();
    let [a, b, c, d, _, _, _, _, high, low, _, _] = addresses.ok_or(Malformed::Part("length"))?;
    let address = Ipv4Addr::new(*a, *b, *c, *d);
    let port = u16::from_be_bytes([*high, *low]);
    Ok(SocketAddr::new(address.into(), port))
}

fn address_v6(bytes: &[u8]) -> Result<SocketAddr, Malformed> {
    let short = Malformed::Part("length");
    let addresses = bytes.first_chunk::<36>().ok_or(short)?;
    let source = addresses.first_chunk::<16>().ok_or(short)?;
    let port = u16::from_be_bytes([addresses[32], addresses[33]]);
    Ok(SocketAddr::new(Ipv6Addr::from(*source).into(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [SIGNATURE_V2, &[command, family], &length, rest].concat()
    }

    #[test]
    fn good_headers_tell_the_source() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        v6[15] = 7;
        v6[32..34].copy_from_slice(&[0x30, 0x39]);
        let cases: [(Vec<u8>, Option<&str>); 9] = [
            (
                b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n".to_vec(),
                Some("203.0.113.7:12345"),
            ),
            (
                b"PROXY TCP6 2001::7 ::1 12345 80\r\n".to_vec(),
                Some("[2001::7]:12345"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN anything at all\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("203.0.113.7:12345")),
            (
                v2(0x21, 0x11, &[&v4[..], b"\x04\0\x01x"].concat()),
                Some("203.0.113.7:12345"),
            ),
            (v2(0x21, 0x21, &v6), Some("[2001::7]:12345")),
            (v2(0x20, 0x00, b""), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ];
        for (bytes, source) in cases {
            let source = source.map(|text| text.parse().expect("an address"));
            let wanted = Outcome::Complete(bytes.len(), source);
            assert_eq!(read(&bytes), wanted, "{}", bytes.escape_ascii());
            let more = [&bytes[..], b"GET /"].concat();
            assert_eq!(read(&more), wanted);
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Outcome::Partial, "{end}");
            }
        }
    }

    #[test]
    fn others_are_malformed() {
        let cases: [&[u8]; 17] = [
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"PROXY\tTCP4",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 12345\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80 1\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 +1 80\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 80\r\n",
            b"PROXY TCP4 2001::7 ::1 1 80\r\n",
            b"PROXY TCP6 203.0.113.7 10.0.0.1 1 80\r\n",
            b"PROXY TCP5 203.0.113.7 10.0.0.1 1 80\r\n",
            b"PROXY TCP4  203.0.113.7 10.0.0.1 1 80\r\n",
            b"PROXY TCP4 0.0.0.0 10.0.0.1 0 80\r\n",
            &[b'P', b'R', b'O', b'X', b'Y', b' ', 0xff, b'\r', b'\n'],
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
            b"\r\n\r\n\0\r\nQUIT\n\x22\x11\0\x0c............",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b...........",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        ];
        for bytes in cases {
            let outcome = read(bytes);
            assert!(
                matches!(outcome, Outcome::Malformed(_)),
                "{}",
                bytes.escape_ascii()
            );
        }
        let long = [BEGIN_V1, &[b'x'; 200]].concat();
        assert_eq!(read(&long), Outcome::Malformed(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn splits_change_nothing(
            version in 0..3_usize,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let begin = [b"", BEGIN_V1, SIGNATURE_V2][version];
            let bytes = [begin, &bytes].concat();
            let whole = read(&bytes);
            for end in 0..bytes.len() {
                let part = read(&bytes[..end]);
                if part != Outcome::Partial {
                    prop_assert_eq!(part, whole);
                }
            }
        }
    }
}
