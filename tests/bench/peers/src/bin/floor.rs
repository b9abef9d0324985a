//! The floor: what the readiness loop alone costs. One thread accepts and deals the
//! connections out in turn; each worker reads once for every edge that epoll reports and
//! writes the bytes of `RESPONSE_FILE`, whatever was asked.

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

const INBOX: Token = Token(usize::MAX);

fn main() -> io::Result<()> {
    let path = std::env::var("RESPONSE_FILE").expect("RESPONSE_FILE");
    let response: Arc<[u8]> = std::fs::read(path)?.into();
    let listener = TcpListener::bind(peers::address())?;
    let workers = (0..thread::available_parallelism()?.get())
        .map(|_| start_worker(Arc::clone(&response)))
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

fn start_worker(response: Arc<[u8]>) -> io::Result<(Sender<TcpStream>, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), INBOX)?;
    let (sender, inbox) = channel();
    thread::spawn(move || work(poll, &inbox, &response).expect("epoll works"));
    Ok((sender, waker))
}

fn work(mut poll: Poll, inbox: &Receiver<TcpStream>, response: &[u8]) -> io::Result<()> {
    let mut events = Events::with_capacity(256);
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == INBOX {
                for mut stream in inbox.try_iter() {
                    let seat = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poll.registry()
                        .register(&mut stream, Token(seat), Interest::READABLE)?;
                    connections[seat] = Some(stream);
                }
                continue;
            }
            let Token(seat) = event.token();
            let Some(stream) = &mut connections[seat] else {
                continue;
            };
            let open = match stream.read(&mut buffer) {
                Ok(0) => false,
                Ok(_) => stream.write_all(response).is_ok(),
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if !open {
                connections[seat] = None;
                free.push(seat);
            }
        }
    }
}
