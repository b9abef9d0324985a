//! Crowds that connect and reset, against few places and few files: who has proven itself
//! stays, because there always is somebody else to go.

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::peers::{assert_granted, reset};
use crate::support::{Guard, SECRET};

const PEERS: usize = 6;
/// Resets of each of them.
const RESETS: usize = 3000;

fn proven_connections_stay(files: &str, most: &str, workers: &str) {
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -n {files}; exec \"$0\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_origin-guard")])
        .env_clear()
        .envs([
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "127.0.0.1:0"),
            ("MAX_CONNECTIONS", most),
            ("WORKERS", workers),
        ]);
    let guard = Guard::spawn(&mut command);
    let mut proven = [guard.connect(), guard.connect()];
    let ask = |proven: &mut [TcpStream]| {
        for stream in proven {
            assert_granted(stream);
        }
    };
    ask(&mut proven);
    let gone = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PEERS {
            scope.spawn(|| {
                for _ in 0..RESETS {
                    // The queue may be full.
                    if let Ok(stream) = TcpStream::connect(guard.address) {
                        reset(stream);
                    }
                }
                gone.fetch_add(1, SeqCst);
            });
        }
        while gone.load(SeqCst) < PEERS {
            ask(&mut proven);
        }
    });
    ask(&mut proven);
    let mut newcomer = guard.connect();
    assert_granted(&mut newcomer);
}

#[test]
fn few_places_at_four_workers() {
    proven_connections_stay("1000", "12", "4");
}

#[test]
fn few_places_at_two_workers() {
    proven_connections_stay("1000", "25", "2");
}

#[test]
fn few_files() {
    proven_connections_stay("75", "500", "1");
}
