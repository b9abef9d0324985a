//! A backend of large bodies: a GET is answered with a megabyte, and of anything else the
//! body is read to its end and answered then. A thread for each connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

fn main() -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n";
    let answer: Arc<[u8]> = [head.as_bytes(), &[b'x'; 1_000_000]].concat().into();
    for stream in TcpListener::bind(peers::address())?.incoming() {
        let (stream, answer) = (stream?, Arc::clone(&answer));
        stream.set_nodelay(true)?;
        // A client may break off.
        thread::spawn(move || serve(&stream, &answer).unwrap_or_default());
    }
    Ok(())
}

fn serve(mut stream: &TcpStream, answer: &[u8]) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut drain = vec![0; 64 * 1024];
    loop {
        let (mut line, mut is_get, mut left) = (String::new(), None, 0_u64);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            is_get.get_or_insert(line.starts_with("GET "));
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                left = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        while left > 0 {
            let most = drain.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = reader.read(&mut drain[..most])?;
            if read == 0 {
                return Ok(());
            }
            left -= read as u64;
        }
        if is_get == Some(true) {
            stream.write_all(answer)?;
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
}
