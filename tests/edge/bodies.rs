//! Large bodies through both halves, in each direction.

use std::io::{Read as _, Write as _};

use crate::both::{Both, request};
use crate::scripted::{Backend, Peer, noise, ok};
use crate::support::Answer;

/// A gigabyte, in pieces of a prime length.
const LENGTH: usize = 1_000_000_007;
const PIECE: usize = 1_000_003;

/// Reads `LENGTH` bytes, which must be `piece` again and again.
fn receive(piece: &[u8], mut read: impl FnMut(&mut [u8])) {
    let (mut count, mut buffer) = (0, vec![0; PIECE]);
    while count < LENGTH {
        let most = (LENGTH - count).min(PIECE);
        read(&mut buffer[..most]);
        assert!(buffer[..most] == piece[..most], "after {count} bytes");
        count += most;
    }
}

fn send(piece: &[u8], mut write: impl FnMut(&[u8])) {
    let mut left = LENGTH;
    while left > 0 {
        let most = left.min(piece.len());
        write(&piece[..most]);
        left -= most;
    }
}

#[test]
fn a_gigabyte_passes_both_halves_in_each_direction() {
    let backend = Backend::new();
    let both = Both::start("bodies", &backend.url());
    let piece = noise(PIECE);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut peer, head) = backend.accept_head();
            assert_eq!(head.field("content-length"), Some(&*LENGTH.to_string()));
            assert_eq!(head.field("x-consumer"), Some("alice"));
            receive(&piece, |to| to.copy_from_slice(&peer.take(to.len())));
            peer.send(ok("up"));
            download(&mut peer, &backend, &piece);
        });
        let mut client = both.client();
        let length = format!("Content-Length: {LENGTH}\r\n");
        let post = request("POST /up", &both.key, &length);
        client.write_all(post.as_bytes()).expect("sent");
        send(&piece, |piece| client.write_all(piece).expect("sent"));
        assert_eq!(
            Answer::read(&mut client, false).expect("an answer").body,
            b"up"
        );

        let get = both.get("/down", "");
        client.write_all(get.as_bytes()).expect("sent");
        let answer = Answer::read(&mut client, true).expect("an answer");
        assert_eq!(answer.header("content-length"), Some(&*LENGTH.to_string()));
        receive(&piece, |to| client.read_exact(to).expect("the body"));
    });
    // Or the test has measured how much memory a machine has.
    for guard in [&both.gateway, &both.origin] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", guard.pid()));
        let status = status.expect("readable");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.expect("a peak").trim().trim_end_matches(" kB");
        let peak: u64 = peak.parse().expect("a number");
        assert!(peak < 128 * 1024, "{peak} kB");
    }
}

fn download(peer: &mut Peer, backend: &Backend, piece: &[u8]) {
    let answer = |peer: &mut Peer| {
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
        ));
        send(piece, |piece| peer.send(piece));
    };
    // The second request comes by the same connection, unless it has rested for too long.
    if peer.try_head().is_some() {
        return answer(peer);
    }
    let (mut peer, _) = backend.accept_head();
    answer(&mut peer);
}
