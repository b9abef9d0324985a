//! Between a proxy and the guard: counts the connections of the proxy, and keeps what it asks.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Listens until the process ends.
pub(crate) struct Relay {
    count: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    /// Passes on what comes at `at` to the socket `to`, and back.
    pub(crate) fn start(at: &Path, to: PathBuf) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let listener = UnixListener::bind(at).expect("a socket");
        let everyone = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(at, everyone).expect("its own file");
        let count = Arc::new(AtomicUsize::new(0));
        let asked = Arc::<Mutex<Vec<u8>>>::default();
        let (shared, all) = (Arc::clone(&count), Arc::clone(&asked));
        std::thread::spawn(move || {
            for proxy in listener.incoming().map_while(Result::ok) {
                shared.fetch_add(1, SeqCst);
                let guard = UnixStream::connect(&to).expect("the guard");
                let (from_guard, to_proxy) = (clone(&guard), clone(&proxy));
                let kept = Arc::clone(&all);
                std::thread::spawn(move || copy(&proxy, &guard, Some(&kept)));
                std::thread::spawn(move || copy(&from_guard, &to_proxy, None));
            }
        });
        Self { count, asked }
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// All that the proxy has sent.
    pub(crate) fn asked(&self) -> String {
        String::from_utf8_lossy(&self.asked.lock().expect("bytes")).into_owned()
    }
}

fn clone(stream: &UnixStream) -> UnixStream {
    stream.try_clone().expect("a clone")
}

fn copy(mut from: &UnixStream, mut to: &UnixStream, kept: Option<&Mutex<Vec<u8>>>) {
    let mut bytes = [0; 16384];
    // Either end may be gone; then so is the other.
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if let Some(kept) = kept {
            kept.lock().expect("bytes").extend(&bytes[..read]);
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
