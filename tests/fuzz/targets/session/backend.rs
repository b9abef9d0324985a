//! A backend that reads as naively as a backend may, takes nothing but what can be read in
//! one way, and answers by a script.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::answer::{self, Extent};
use crate::head::{self, Framing};
use crate::input::Answer;

/// One request as the backend has understood it.
#[derive(Clone, Default)]
pub struct Seen {
    pub method: String,
    pub target: Vec<u8>,
    pub host: Vec<u8>,
    pub body: Vec<u8>,
    pub is_whole: bool,
    /// What came through the tunnel that it was answered with.
    pub tunnel: Option<Vec<u8>>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let (target, host, body) = (shown(&self.target), shown(&self.host), shown(&self.body));
        write!(
            to,
            "{} {target} at {host}, whole: {}, ",
            self.method, self.is_whole
        )?;
        write!(
            to,
            "{body}, tunnel: {:?}",
            self.tunnel.as_deref().map(shown)
        )
    }
}

/// The request that a connection is at.
struct Current {
    number: usize,
    framing: Framing,
    upgrades: bool,
    is_answered: bool,
}

struct Connection {
    stream: UnixStream,
    /// Bytes that have come and are not understood yet.
    input: Vec<u8>,
    current: Option<Current>,
    /// The number of the request that a tunnel answers.
    tunnel: Option<usize>,
    /// What is to be sent yet, the last piece first.
    sending: Vec<Vec<u8>>,
    closes: bool,
    is_closed: bool,
}

/// What answers by the script of one input.
pub struct Backend<'a> {
    listener: &'a UnixListener,
    answers: &'a [Answer],
    piece: usize,
    connections: Vec<Connection>,
    /// Whether it has closed a connection since the last [`Self::send`].
    acted: bool,
    /// All requests that have reached it, in order.
    pub seen: Vec<Seen>,
}

impl<'a> Backend<'a> {
    pub fn new(listener: &'a UnixListener, answers: &'a [Answer], piece: usize) -> Self {
        Self {
            listener,
            answers,
            piece,
            connections: Vec::new(),
            acted: false,
            seen: Vec::new(),
        }
    }

    /// Takes what has come.
    pub fn receive(&mut self) {
        while waits(self.listener) {
            let (stream, _) = self.listener.accept().expect("one that waits");
            stream.set_nonblocking(true).expect("a mode");
            self.connections.push(Connection {
                stream,
                input: Vec::new(),
                current: None,
                tunnel: None,
                sending: Vec::new(),
                closes: false,
                is_closed: false,
            });
        }
        let (answers, piece) = (&mut self.answers, self.piece);
        for connection in &mut self.connections {
            if !connection.is_closed {
                connection.receive();
                connection.understand(&mut self.seen, answers, piece);
                self.acted |= connection.is_closed;
            }
        }
    }

    /// Sends one piece on each connection. `false` where it has done nothing that the other
    /// end could hear of.
    pub fn send(&mut self) -> bool {
        let mut acted = std::mem::take(&mut self.acted);
        for connection in &mut self.connections {
            acted |= connection.send();
        }
        acted
    }
}

/// Whether a connection waits. Accepting costs several times as much where none does.
fn waits(listener: &UnixListener) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    let now = Timespec::default();
    poll(&mut asked, Some(&now)).expect("it polls") == 1
}

impl Connection {
    fn receive(&mut self) {
        let mut bytes = [0; 16384];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count @ 1..) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => return self.close(),
            }
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        // The other end may be gone.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn send(&mut self) -> bool {
        if self.is_closed {
            return false;
        }
        let Some(piece) = self.sending.pop() else {
            return false;
        };
        let sent = self.stream.write_all(&piece);
        if sent.is_err() || self.closes && self.sending.is_empty() {
            self.close();
        }
        true
    }

    /// Goes through what has come, and begins to answer.
    fn understand(&mut self, seen: &mut Vec<Seen>, answers: &mut &[Answer], piece: usize) {
        loop {
            if let Some(number) = self.tunnel {
                let tunnel = seen[number].tunnel.get_or_insert_default();
                return tunnel.append(&mut self.input);
            }
            let Some(mut current) = self.current.take() else {
                let Some((request, framing, upgrades)) = head::take(&mut self.input) else {
                    return;
                };
                let is_free = self.sending.is_empty() && !self.closes;
                assert!(is_free, "a request comes before the last one is answered");
                self.current = Some(Current {
                    number: seen.len(),
                    framing,
                    upgrades,
                    is_answered: false,
                });
                seen.push(request);
                continue;
            };
            let is_early = answers.first().is_some_and(|answer| answer.early);
            if is_early && !current.is_answered {
                current.is_answered = true;
                self.answer(&current, seen, answers, piece);
            }
            if self.tunnel.is_some() {
                continue;
            }
            if !current
                .framing
                .take(&mut self.input, &mut seen[current.number].body)
            {
                self.current = Some(current);
                return;
            }
            seen[current.number].is_whole = true;
            if !current.is_answered {
                self.answer(&current, seen, answers, piece);
            }
        }
    }

    fn answer(
        &mut self,
        current: &Current,
        seen: &mut [Seen],
        answers: &mut &[Answer],
        piece: usize,
    ) {
        let Some((answer, others)) = answers.split_first() else {
            return self.close();
        };
        *answers = others;
        let seen = &mut seen[current.number];
        let extent = answer::extent(&answer.bytes, seen.method == "HEAD", current.upgrades);
        if extent == Extent::Tunnel {
            self.tunnel = Some(current.number);
            seen.is_whole = true;
        }
        // What is behind the answer comes with its last byte, or what it is taken for would
        // depend on whether the next request has been sent by then.
        let cut = match extent {
            Extent::Ends(length) => length.saturating_sub(1),
            Extent::Tunnel | Extent::Open => answer.bytes.len(),
        };
        let mut rest = answer.bytes.as_slice();
        let mut left = cut;
        self.sending.clear();
        while left > piece && rest.len() > piece {
            let (now, later) = rest.split_at(piece);
            self.sending.push(now.to_vec());
            rest = later;
            left -= piece;
        }
        self.sending.push(rest.to_vec());
        self.sending.reverse();
        self.closes = answer.closes;
    }
}
