//! `tiny_http::Server` with a pool of four threads, as its documentation shows.

use std::sync::Arc;
use std::thread;

use peers::Secret;
use tiny_http::{Header, Response, Server};

fn main() {
    let secret = Arc::new(Secret::from_environment());
    let server = Arc::new(Server::http(peers::address()).expect("listens"));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (server, secret) = (Arc::clone(&server), Arc::clone(&secret));
            thread::spawn(move || serve(&server, &secret))
        })
        .collect();
    for thread in threads {
        thread.join().expect("a thread that serves");
    }
}

fn serve(server: &Server, secret: &Secret) {
    loop {
        let request = server.recv().expect("a request");
        let presented = request
            .headers()
            .iter()
            .find(|header| header.field.equiv("X-Shared-Secret"))
            .map(|header| header.value.as_bytes());
        let (status, body) = secret.judge(presented);
        let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("a header");
        let response = Response::from_string(body)
            .with_status_code(status)
            .with_header(header("Content-Type", "application/json"))
            .with_header(header("Cache-Control", "no-store"));
        // A client that has gone is not a fault.
        let _ = request.respond(response);
    }
}
