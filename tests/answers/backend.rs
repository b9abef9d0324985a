//! A backend that sends the bytes that it is told to.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// How the backend's connection ends after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It stays open for the next request.
    Stay,
    /// FIN.
    Close,
    /// RST.
    Reset,
}

/// The answer of each path.
type Answers = Arc<Mutex<HashMap<String, (Vec<u8>, End)>>>;

/// The running backend.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    answers: Answers,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let answers = Answers::default();
        let requests = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (Arc::clone(&answers), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, count) = (Arc::clone(&shared), Arc::clone(&count));
                std::thread::spawn(move || serve(stream, &answers, &count));
            }
        });
        Self {
            address,
            answers,
            requests,
        }
    }

    /// Sets the answer of `path`.
    pub(crate) fn answer(&self, path: &str, bytes: &[u8], end: End) {
        let mut answers = self.answers.lock().expect("the answers");
        answers.insert(path.to_owned(), (bytes.to_vec(), end));
    }

    /// How many heads of requests have arrived.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }
}

fn serve(mut stream: TcpStream, answers: &Answers, requests: &AtomicUsize) {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        requests.fetch_add(1, SeqCst);
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = answers.lock().expect("the answers").get(path).cloned();
        let (bytes, end) = answer.unwrap_or_else(|| panic!("no answer for {path}"));
        // A guard that has seen enough hangs up.
        let _ = stream.write_all(&bytes);
        match end {
            End::Stay => {}
            End::Close => return,
            End::Reset => {
                set_socket_linger(&stream, Some(Duration::ZERO)).expect("set");
                return;
            }
        }
    }
}
