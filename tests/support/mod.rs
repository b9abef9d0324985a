//! What the tests share: the real binary on a port of its own, raw HTTP over a
//! real socket, and a visible line for what cannot be tested here.
#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test crates")]

pub mod browser;
pub mod corpus;
pub mod folder;
pub mod health;
pub mod keys;
pub mod metrics;
pub mod page;
pub mod php;
pub mod port;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

/// The secret that [`Guard::start`] configures.
pub const SECRET: &str = "kq7-vtz2mwd9-lxrb4nhs8-cpj3yfg6-u";

/// How long a test waits for what must happen before it calls it a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running `origin-guard`, killed by pid when dropped.
pub struct Guard {
    child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    /// The address of its first listener.
    pub address: SocketAddr,
}

/// The binary under test, with nothing of this process's environment that it reads.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_origin-guard"));
    command.env_clear();
    command
}

impl Guard {
    /// Starts it with [`SECRET`] on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::with(&[("SHARED_SECRET", SECRET)])
    }

    /// Starts it with these variables; `LISTEN` is `127.0.0.1:0` unless it is among them.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command
            .env("LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied());
        Self::spawn(&mut command)
    }

    /// Starts `command`, which must come to run `origin-guard` with its stderr.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = without_time(&line).to_owned();
                shared.0.lock().expect("log").push(line);
                shared.1.notify_all();
            }
        });
        let mut guard = Self {
            child,
            log,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        let line = guard.wait_for_log(|line| line.contains("listening address="));
        let text = line.split("address=").nth(1).expect("an address").trim();
        if let Some(address) = address(text) {
            guard.address = address;
        }
        guard
    }

    /// The address of its second listener.
    pub fn second_address(&self) -> SocketAddr {
        self.address_of(1)
    }

    /// The address of its listener with this number, from 0.
    pub fn address_of(&self, number: usize) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listening: Vec<_> = self
                .log()
                .iter()
                .filter_map(|line| Some(line.split_once("listening address=")?.1.to_owned()))
                .collect();
            if let Some(address) = listening.get(number) {
                return self::address(address.trim()).expect("an address");
            }
            assert!(Instant::now() < deadline, "only {listening:?}");
            std::thread::yield_now();
        }
    }

    /// Where `ADMIN_LISTEN` is open, which is first where `LISTEN` is none. From now on
    /// `address` is that of the gateway.
    pub fn admin_before_gateway(&mut self) -> SocketAddr {
        let gateway = self.second_address();
        std::mem::replace(&mut self.address, gateway)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a log line satisfies `wanted`, and returns it.
    pub fn wait_for_log(&self, wanted: impl Fn(&str) -> bool) -> String {
        let (lines, more) = &*self.log;
        let deadline = Instant::now() + PATIENCE;
        let mut lines = lines.lock().expect("log");
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no such line in the log: {lines:#?}");
            lines = more.wait_timeout(lines, left).expect("log").0;
        }
    }

    /// All that it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.0.lock().expect("log").clone()
    }

    /// Sends a signal by pid.
    pub fn signal(&self, signal: rustix::process::Signal) {
        self::signal(&self.child, signal);
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its own child").is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("its own child")
    }

    /// A fresh connection, with a read timeout of [`PATIENCE`].
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        hear_of_resets(&stream);
        stream
    }

    /// Sends `request` on a fresh connection and reads one answer.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    }

    /// A good request, answered as the contract has it.
    pub fn assert_serves(&self) {
        let answer = self.ask(granted_request());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, br#"{"message":"Access granted"}"#);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of a listener as the log names it.
fn address(text: &str) -> Option<SocketAddr> {
    let kinds = ["tls:", "redirect:"];
    let stripped = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    stripped.unwrap_or(text).parse().ok()
}

/// A line of the log without the time that it begins with outside the journal
/// (RFC 3339, in UTC).
pub fn without_time(line: &str) -> &str {
    const FORM: &str = "0000-00-00T00:00:00.000Z";
    match line.split_once(' ') {
        Some((time, event)) if has_form(time, FORM) => event,
        _ => line,
    }
}

/// Whether `text` is `form` with a digit where that has `0`.
pub fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                _ => byte == form,
            })
}

/// Sends a signal by pid. After SIGSTOP all its threads have stopped: kill(2) returns
/// before that.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("signalled");
    let since = Instant::now();
    while signal == rustix::process::Signal::STOP && !has_stopped(child.id()) {
        assert!(since.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
}

/// Whether all threads of a process have stopped (proc(5), `stat`, the field `state`).
fn has_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, None | Some(b'T'))
    })
}

/// `GET /protected` with the right secret.
pub fn granted_request() -> String {
    format!("GET /protected HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: {SECRET}\r\n\r\n")
}

/// One HTTP response.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values trimmed, in order.
    pub headers: Vec<(String, String)>,
    /// The body, of the length that `Content-Length` gives.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one response; `None` where the connection ends before its first byte.
    /// `head` says that it answers HEAD and has no body.
    pub fn read(stream: &mut impl Read, head: bool) -> Option<Self> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                Ok(_) => {
                    assert!(text.is_empty(), "ends in a head: {}", text.escape_ascii());
                    return None;
                }
                // So a read with a timeout ends where the test is stopped for a moment
                // (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error)
                    if text.is_empty() && error.kind() == std::io::ErrorKind::ConnectionReset =>
                {
                    return None;
                }
                Err(error) => panic!("after {:?}: {error}", text.escape_ascii().to_string()),
            }
        }
        let text = String::from_utf8(text).expect("ASCII");
        let mut lines = text.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line");
        assert!(status_line.starts_with("HTTP/1.1 "), "{status_line}");
        let status = status_line[9..12].parse().expect("a status");
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let mut body = vec![0; if head { 0 } else { length }];
        stream.read_exact(&mut body).expect("the body");
        Some(Self {
            status,
            headers,
            body,
        })
    }

    /// The value of the field `name` (lower case), if it is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(field, _)| field == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice");
        value
    }
}

/// The faults and warnings that `check` has printed, a line each.
pub fn complaints(stdout: &[u8]) -> String {
    let text = String::from_utf8_lossy(stdout);
    let is_complaint = |line: &&str| line.starts_with("fault: ") || line.starts_with("warning: ");
    let complaints = text.lines().filter(is_complaint);
    complaints.flat_map(|line| [line, "\n"]).collect()
}

/// Has the kernel ask every second whether the peer is there still. A reset is sent once, and
/// where a crowd fills the queue of the loopback device (`netdev_max_backlog`) it is
/// lost: who only reads would never hear of it.
pub fn hear_of_resets(stream: &TcpStream) {
    let second = Duration::from_secs(1);
    sockopt::set_tcp_keepidle(stream, second).expect("set");
    sockopt::set_tcp_keepintvl(stream, second).expect("set");
    sockopt::set_socket_keepalive(stream, true).expect("set");
}

/// A line on the real stderr: libtest captures what the macros print.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says what is not tested here, and fails under `REQUIRE_ALL=1`.
pub fn skip(why: &str) {
    let line = format!("SKIPPED: {why}");
    assert!(std::env::var("REQUIRE_ALL").as_deref() != Ok("1"), "{line}");
    say(&line);
}

/// Where `program` is, if it is installed.
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Whether `program` can be run; where it cannot, says so on the real stderr with
/// the remedy, and fails under `REQUIRE_ALL=1`.
pub fn installed(program: &str, remedy: &str) -> bool {
    let found = path_of(program).is_some();
    if !found {
        skip(&format!("needs {program}; {remedy}"));
    }
    found
}
