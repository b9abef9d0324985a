//! One question to one server (RFC 1035; RFC 7766 over TCP).

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use super::response_code::ResponseCode;
use crate::random;

/// Bytes of a message before its question.
const HEADER: usize = 12;
/// What passes without fragments everywhere, and what we say that we take by EDNS.
const UDP_PAYLOAD: u16 = 1232;
/// Longest answer over UDP that is read; a server that sends more truncates.
const LARGEST_UDP: usize = 4096;
/// Most aliases that are followed, one to the next.
const MOST_ALIASES: usize = 16;

/// How servers are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// For one server, over UDP and over TCP each.
    pub(super) timeout: Duration,
    /// Else over UDP first.
    pub(super) always_tcp: bool,
    pub(super) edns0: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses of the kind; none where the name has others only.
    Addresses(Vec<IpAddr>),
    NoSuchName,
}

impl Answer {
    pub(super) fn into_addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Addresses(addresses) => addresses,
            Self::NoSuchName => Vec::new(),
        }
    }
}

/// Why a server gave no answer that can be used.
#[derive(Debug)]
pub enum QueryError {
    /// `resolv.conf` names no server that this machine can ask.
    NoServer,
    /// No name of the DNS: a part is longer than 63 bytes, or all of it than 255.
    BadName,
    /// Nothing came in time.
    TimedOut,
    /// The system's own error, such as "connection refused".
    Io(io::Error),
    /// The server cannot or will not answer.
    ServerFailure(RCODE),
    /// The answer cannot be read.
    Malformed,
}

impl fmt::Display for QueryError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer => to.write_str("resolv.conf names no server that can be asked"),
            Self::BadName => to.write_str("the name is longer than DNS allows"),
            Self::TimedOut => to.write_str("no name server answered in time"),
            Self::Io(error) => write!(to, "the name server cannot be asked: {error}"),
            Self::ServerFailure(code) => {
                write!(to, "the name server answered {}", ResponseCode(*code))
            }
            Self::Malformed => to.write_str("the name server's answer cannot be read"),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<io::Error> for QueryError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// Asks from a fresh port with a fresh id, which whoever would forge an answer has to guess
/// (RFC 5452).
pub(super) fn ask(
    server: SocketAddr,
    how: How,
    name: &str,
    kind: Kind,
) -> Result<Answer, QueryError> {
    let query = query(name, kind, how.edns0)?;
    if !how.always_tcp {
        let message = over_udp(server, how.timeout, &query)?;
        if !is_truncated(&message) {
            return read(&message, name, kind);
        }
    }
    let message = over_tcp(server, how.timeout, &query)?;
    if !answers(&message, &query) {
        return Err(QueryError::Malformed);
    }
    read(&message, name, kind)
}

fn over_udp(server: SocketAddr, timeout: Duration, query: &[u8]) -> Result<Vec<u8>, QueryError> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    // The kernel passes on what comes from this address alone.
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + timeout;
    let mut buffer = [0; LARGEST_UDP];
    loop {
        socket.set_read_timeout(Some(until(deadline)?))?;
        let length = socket.recv(&mut buffer)?;
        // What answers another question is late, or forged; the answer may still come.
        if answers(&buffer[..length], query) {
            return Ok(buffer[..length].to_vec());
        }
    }
}

fn over_tcp(server: SocketAddr, timeout: Duration, query: &[u8]) -> Result<Vec<u8>, QueryError> {
    let deadline = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(query.len()).map_err(|_| QueryError::BadName)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length, deadline)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    read_exact(&mut stream, &mut message, deadline)?;
    Ok(message)
}

fn until(deadline: Instant) -> Result<Duration, QueryError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(QueryError::TimedOut);
    }
    Ok(left)
}

fn read_exact(
    stream: &mut TcpStream,
    mut buffer: &mut [u8],
    deadline: Instant,
) -> Result<(), QueryError> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(until(deadline)?))?;
        match stream.read(buffer)? {
            0 => return Err(QueryError::Malformed),
            length => buffer = &mut buffer[length..],
        }
    }
    Ok(())
}

fn query(name: &str, kind: Kind, edns0: bool) -> Result<Vec<u8>, QueryError> {
    let mut id = [0; 2];
    random::fill(&mut id)?;
    let mut packet = Packet::new_query(u16::from_be_bytes(id));
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(|_| QueryError::BadName)?;
    let kind = match kind {
        Kind::A => TYPE::A,
        Kind::Aaaa => TYPE::AAAA,
    };
    let question = Question::new(name, kind.into(), CLASS::IN.into(), false);
    packet.questions.push(question);
    if edns0 {
        *packet.opt_mut() = Some(OPT {
            opt_codes: Vec::new(),
            udp_packet_size: UDP_PAYLOAD,
            version: 0,
        });
    }
    packet.build_bytes_vec().map_err(|_| QueryError::BadName)
}

/// Whether `message` answers this very `query`: id, direction, and the question, which it
/// repeats; the case of its letters may differ.
fn answers(message: &[u8], query: &[u8]) -> bool {
    let name = query.get(HEADER..).unwrap_or_default();
    let Some(end) = name.iter().position(|&byte| byte == 0) else {
        return false;
    };
    // After the name come type and class, two bytes each.
    let question = HEADER..HEADER + end + 5;
    let [Some(repeated), Some(asked)] = [message, query].map(|bytes| bytes.get(question.clone()))
    else {
        return false;
    };
    let is_response = message[2] & 0x80 != 0;
    message[..2] == query[..2]
        && is_response
        && message[4..6] == [0, 1]
        && repeated.eq_ignore_ascii_case(asked)
}

fn is_truncated(message: &[u8]) -> bool {
    message[2] & 0x02 != 0
}

/// Reads a message that [`answers`] the question.
fn read(message: &[u8], name: &str, kind: Kind) -> Result<Answer, QueryError> {
    let packet = Packet::parse(message).map_err(|_| QueryError::Malformed)?;
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Answer::NoSuchName),
        code => return Err(QueryError::ServerFailure(code)),
    }
    let mut owner = Name::new(name).map_err(|_| QueryError::BadName)?;
    for _ in 0..MOST_ALIASES {
        let of_owner = || {
            let records = packet.answers.iter();
            records.filter(|record| record.class == CLASS::IN && record.name == owner)
        };
        let addresses: Vec<_> = of_owner()
            .filter_map(|record| match (&record.rdata, kind) {
                (RData::A(a), Kind::A) => Some(Ipv4Addr::from(a.address).into()),
                (RData::AAAA(aaaa), Kind::Aaaa) => Some(Ipv6Addr::from(aaaa.address).into()),
                _ => None,
            })
            .collect();
        let alias = of_owner().find_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        match alias {
            Some(alias) if addresses.is_empty() => owner = alias,
            _ => return Ok(Answer::Addresses(addresses)),
        }
    }
    Err(QueryError::Malformed)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::CNAME;

    use super::*;

    const HOW: How = How {
        timeout: Duration::from_secs(30),
        always_tcp: false,
        edns0: false,
    };

    /// A server on loopback that sends each of `replies` to the first question.
    fn server(replies: impl FnOnce(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("an address");
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            let (length, asker) = socket.recv_from(&mut buffer).expect("a question");
            for reply in replies(&buffer[..length]) {
                socket.send_to(&reply, asker).expect("sent");
            }
        });
        address
    }

    fn reply(query: &[u8], fill: impl FnOnce(&mut Packet)) -> Vec<u8> {
        let mut packet = Packet::parse(query).expect("a query").into_reply();
        fill(&mut packet);
        packet.build_bytes_vec_compressed().expect("a message")
    }

    fn record(owner: &'static str, data: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked(owner), CLASS::IN, 60, data)
    }

    fn a(address: [u8; 4]) -> RData<'static> {
        RData::A(Ipv4Addr::from(address).into())
    }

    fn found(address: [u8; 4]) -> Answer {
        Answer::Addresses(vec![Ipv4Addr::from(address).into()])
    }

    #[test]
    fn follows_aliases_to_the_addresses_of_the_kind() {
        let replies = |query: &[u8]| {
            vec![reply(query, |packet| {
                let alias = |to| RData::CNAME(CNAME(Name::new_unchecked(to)));
                packet.answers = vec![
                    record("real.example", a([192, 0, 2, 7])),
                    record("other.example", a([192, 0, 2, 8])),
                    record("app.example", alias("middle.example")),
                    record("real.example", RData::AAAA(Ipv6Addr::LOCALHOST.into())),
                    record("middle.example", alias("REAL.example")),
                ];
            })]
        };
        let answer = ask(server(replies), HOW, "APP.example", Kind::A).expect("an answer");
        assert_eq!(answer, found([192, 0, 2, 7]));
        let answer = ask(server(replies), HOW, "app.example", Kind::Aaaa).expect("an answer");
        assert_eq!(answer, Answer::Addresses(vec![Ipv6Addr::LOCALHOST.into()]));
    }

    #[test]
    fn passes_over_what_does_not_answer_the_question() {
        let replies = |query: &[u8]| {
            let good = reply(query, |packet| {
                packet.answers = vec![record("app.example", a([192, 0, 2, 7]))];
            });
            let forged = reply(query, |packet| {
                packet.answers = vec![record("app.example", a([192, 0, 2, 66]))];
            });
            let mut other_id = forged.clone();
            other_id[1] ^= 1;
            let mut other_name = forged.clone();
            other_name[HEADER + 1] = b'b';
            let mut other_kind = forged.clone();
            let kind = query.len() - 3;
            other_kind[kind] = 28;
            let mut no_response = forged.clone();
            no_response[2] &= 0x7f;
            let mut no_question = forged;
            no_question[5] = 0;
            vec![
                other_id,
                other_name,
                other_kind,
                no_response,
                no_question,
                Vec::new(),
                good,
            ]
        };
        let answer = ask(server(replies), HOW, "app.example", Kind::A).expect("an answer");
        assert_eq!(answer, found([192, 0, 2, 7]));
    }

    #[test]
    fn asks_again_over_tcp_where_the_answer_is_truncated() {
        // The same port for both; where it is taken for one, take the next.
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")) {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().expect("an address");
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            let (length, asker) = udp.recv_from(&mut buffer).expect("a question");
            let mut reply = reply(&buffer[..length], |packet| {
                packet.set_flags(PacketFlag::TRUNCATION);
                packet.answers = vec![record("app.example", a([192, 0, 2, 66]))];
            });
            // Cut in the middle of a record.
            reply.truncate(reply.len() - 3);
            udp.send_to(&reply, asker).expect("sent");
        });
        thread::spawn(move || {
            let (mut stream, _) = tcp.accept().expect("a connection");
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a length");
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query).expect("a question");
            let reply = reply(&query, |packet| {
                let many = (0..200).map(|last| record("app.example", a([192, 0, 2, last])));
                packet.answers = many.collect();
            });
            let length = u16::try_from(reply.len()).expect("a length").to_be_bytes();
            stream.write_all(&length[..1]).expect("sent");
            stream
                .write_all(&[&length[1..], &reply].concat())
                .expect("sent");
        });
        let answer = ask(address, HOW, "app.example", Kind::A).expect("an answer");
        assert_eq!(answer.into_addresses().len(), 200);
    }

    #[test]
    fn tells_what_went_wrong() {
        let rcode = |code| {
            let replies =
                move |query: &[u8]| vec![reply(query, |packet| *packet.rcode_mut() = code)];
            ask(server(replies), HOW, "app.example", Kind::A)
        };
        assert_eq!(
            rcode(RCODE::NameError).expect("an answer"),
            Answer::NoSuchName
        );
        let none = rcode(RCODE::NoError).expect("an answer");
        assert_eq!(none, Answer::Addresses(Vec::new()));
        for code in [RCODE::ServerFailure, RCODE::Refused] {
            assert!(matches!(rcode(code), Err(QueryError::ServerFailure(said)) if said == code));
        }
        let cut = |query: &[u8]| {
            let mut message = reply(query, |packet| {
                packet.answers = vec![record("app.example", a([192, 0, 2, 7]))];
            });
            message.pop();
            vec![message]
        };
        let cut = ask(server(cut), HOW, "app.example", Kind::A);
        assert!(matches!(cut, Err(QueryError::Malformed)), "{cut:?}");
        let silent = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = silent.local_addr().expect("an address");
        let how = How {
            timeout: Duration::from_millis(20),
            ..HOW
        };
        let late = ask(address, how, "app.example", Kind::A);
        assert!(matches!(late, Err(QueryError::TimedOut)), "{late:?}");
        drop(silent);
        let refused = ask(address, HOW, "app.example", Kind::A);
        assert!(matches!(refused, Err(QueryError::Io(_))), "{refused:?}");
        let long = "a".repeat(64);
        let long = ask(address, HOW, &long, Kind::A);
        assert!(matches!(long, Err(QueryError::BadName)), "{long:?}");
    }

    #[test]
    fn says_how_much_it_takes_where_edns_is_wanted() {
        let query = query("app.example", Kind::A, true).expect("a query");
        let packet = Packet::parse(&query).expect("a message");
        let opt = packet.opt().expect("an OPT record");
        assert_eq!(opt.udp_packet_size, UDP_PAYLOAD);
        assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    }

    proptest! {
        /// Whatever a server sends, it is read or refused.
        #[test]
        fn reads_any_bytes(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let query = query("a.b", Kind::A, false).expect("a query");
            let mut message = query.clone();
            message[2] |= 0x80;
            message.truncate(HEADER + 9);
            message.extend(tail);
            prop_assert!(answers(&message, &query));
            for count in 6..HEADER {
                message[count] = message.last().copied().unwrap_or_default() & 3;
            }
            let _ = read(&message, "a.b", Kind::A);
        }
    }
}
