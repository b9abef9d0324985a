//! Between a proxy and the guard: counts the connections of the proxy.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Listens until the process ends.
pub(crate) struct Relay(Arc<AtomicUsize>);

impl Relay {
    /// Passes on what comes at `at` to the socket `to`, and back.
    pub(crate) fn start(at: &Path, to: PathBuf) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let listener = UnixListener::bind(at).expect("a socket");
        let everyone = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(at, everyone).expect("its own file");
        let count = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&count);
        std::thread::spawn(move || {
            for proxy in listener.incoming().map_while(Result::ok) {
                shared.fetch_add(1, SeqCst);
                let guard = UnixStream::connect(&to).expect("the guard");
                let (from_guard, to_proxy) = (clone(&guard), clone(&proxy));
                std::thread::spawn(move || copy(&proxy, &guard));
                std::thread::spawn(move || copy(&from_guard, &to_proxy));
            }
        });
        Self(count)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn clone(stream: &UnixStream) -> UnixStream {
    stream.try_clone().expect("a clone")
}

fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    // Either end may be gone; then so is the other.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}
