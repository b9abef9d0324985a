//! The floor under every relay: the same kind of loop as origin-guard's (one thread accepts
//! and deals out; workers have both sockets in an edge-triggered epoll set, and a pool of
//! their own, last in, first out), without checks, deadlines or buffers. It forwards small
//! requests without body, and answers with a Content-Length, as they come.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

const INBOX: Token = Token(usize::MAX);

struct Client {
    stream: TcpStream,
    /// The backend's connection that answers it.
    backend: Option<usize>,
}

struct Backend {
    stream: TcpStream,
    client: Option<usize>,
    /// Bytes of the answer that are yet to come.
    left: usize,
}

struct Worker {
    poll: Poll,
    backend_address: SocketAddr,
    /// A client is at the token of twice its place, a backend at that and one.
    clients: Vec<Option<Client>>,
    free_clients: Vec<usize>,
    backends: Vec<Option<Backend>>,
    free_backends: Vec<usize>,
    /// Connections to the backend that nobody uses, the last used one last.
    idle: Vec<usize>,
    buffer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let backend = std::env::var("BACKEND_PORT").expect("BACKEND_PORT");
    let backend = SocketAddr::from(([127, 0, 0, 1], backend.parse().expect("a port")));
    let listener = TcpListener::bind(peers::address())?;
    let workers = (0..thread::available_parallelism()?.get())
        .map(|_| start_worker(backend))
        .collect::<io::Result<Vec<_>>>()?;
    for (inbox, waker) in workers.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        inbox.send(TcpStream::from_std(stream)).expect("a worker");
        waker.wake()?;
    }
    Ok(())
}

fn start_worker(backend_address: SocketAddr) -> io::Result<(Sender<TcpStream>, Arc<Waker>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), INBOX)?);
    let (sender, inbox) = channel();
    let mut worker = Worker {
        poll,
        backend_address,
        clients: Vec::new(),
        free_clients: Vec::new(),
        backends: Vec::new(),
        free_backends: Vec::new(),
        idle: Vec::new(),
        buffer: vec![0; 16 * 1024],
    };
    thread::spawn(move || worker.run(&inbox).expect("epoll works"));
    Ok((sender, waker))
}

fn place<T>(table: &mut Vec<Option<T>>, free: &mut Vec<usize>) -> usize {
    free.pop().unwrap_or_else(|| {
        table.push(None);
        table.len() - 1
    })
}

impl Worker {
    fn run(&mut self, inbox: &Receiver<TcpStream>) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    INBOX => {
                        for stream in inbox.try_iter() {
                            self.accept(stream)?;
                        }
                    }
                    Token(token) if !event.is_readable() => _ = token,
                    Token(token) if token & 1 == 0 => self.on_client(token >> 1)?,
                    Token(token) => self.on_backend(token >> 1)?,
                }
            }
        }
    }

    fn accept(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let at = place(&mut self.clients, &mut self.free_clients);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(at << 1), both)?;
        self.clients[at] = Some(Client {
            stream,
            backend: None,
        });
        self.on_client(at)
    }

    /// A request, which is taken to come in one piece.
    fn on_client(&mut self, at: usize) -> io::Result<()> {
        let Some(client) = &mut self.clients[at] else {
            return Ok(());
        };
        let read = match client.stream.read(&mut self.buffer) {
            Ok(0) => 0,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => 0,
        };
        if read == 0 {
            self.clients[at] = None;
            self.free_clients.push(at);
            return Ok(());
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let parsed = httparse::Request::new(&mut fields).parse(&self.buffer[..read]);
        assert!(
            parsed.is_ok_and(|status| status.is_complete()),
            "a request comes in pieces"
        );
        let backend = match self.idle.pop() {
            Some(backend) => backend,
            None => self.connect()?,
        };
        if let Some(client) = &mut self.clients[at] {
            client.backend = Some(backend);
        }
        let connection = self.backends[backend].as_mut().expect("a connection");
        connection.client = Some(at);
        connection.stream.write_all(&self.buffer[..read])
    }

    /// On loopback that is done at once.
    fn connect(&mut self) -> io::Result<usize> {
        let stream = std::net::TcpStream::connect(self.backend_address)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        let at = place(&mut self.backends, &mut self.free_backends);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(at << 1 | 1), both)?;
        self.backends[at] = Some(Backend {
            stream,
            client: None,
            left: 0,
        });
        Ok(at)
    }

    fn on_backend(&mut self, at: usize) -> io::Result<()> {
        let Some(backend) = &mut self.backends[at] else {
            return Ok(());
        };
        let read = match backend.stream.read(&mut self.buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => 0,
        };
        if read == 0 {
            self.backends[at] = None;
            self.free_backends.push(at);
            self.idle.retain(|&idle| idle != at);
            return Ok(());
        }
        let bytes = &self.buffer[..read];
        if backend.left == 0 {
            backend.left = length(bytes);
        }
        backend.left -= read;
        let is_done = backend.left == 0;
        let client = if is_done {
            backend.client.take()
        } else {
            backend.client
        };
        if is_done {
            self.idle.push(at);
        }
        let Some(client) = client.and_then(|client| self.clients[client].as_mut()) else {
            return Ok(());
        };
        if is_done {
            client.backend = None;
        }
        // A client that is gone gets no answer.
        let _ = client.stream.write_all(bytes);
        Ok(())
    }
}

/// The length of the answer that `bytes` begin with.
fn length(bytes: &[u8]) -> usize {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        panic!("a head comes in pieces");
    };
    let body = head.headers.iter().find_map(|field| {
        let is_length = field.name.eq_ignore_ascii_case("content-length");
        is_length.then(|| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok())?
    });
    length + body.expect("a Content-Length")
}
