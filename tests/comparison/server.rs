//! The four servers, with the lines of the page.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{PATIENCE, command, installed, path_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Guard,
    Nginx,
    Caddy,
    Haproxy,
}

impl Kind {
    /// What its block in the page begins with.
    pub(crate) fn language(self) -> &'static str {
        match self {
            Self::Guard => "sh",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// Its name and version as the page writes them; `None` where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let (program, argument, name) = match self {
            Self::Guard => return Some("origin-guard".into()),
            Self::Nginx => ("nginx", "-v", "nginx"),
            Self::Caddy => ("caddy", "version", "Caddy"),
            Self::Haproxy => ("haproxy", "-v", "HAProxy"),
        };
        if !installed(program, &format!("apt install {program}")) {
            return None;
        }
        let output = Command::new(path_of(program)?).arg(argument).output();
        let output = output.expect("runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_version = |word: &&str| word.split('.').count() == 3;
        let words = said.split([' ', '/', '\n', '-']);
        let version = words
            .map(|word| word.trim_start_matches('v'))
            .find(is_version);
        Some(format!("{name} {}", version.expect("a version")))
    }
}

/// The block of the page in this language.
pub(crate) fn block(page: &str, language: &str) -> String {
    let begin = format!("```{language}\n");
    let (_, block) = page.split_once(&begin).expect("a block");
    block.split_once("```").expect("its end").0.to_owned()
}

/// A running server, ended by pid when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    _port: HeldPort,
    _folder: Folder,
}

impl Server {
    /// Starts it with these lines; `None` where it does not take them.
    pub(crate) fn start(kind: Kind, lines: &str) -> Option<Self> {
        let port = HeldPort::new();
        let address = port.address;
        let lines = lines.replace("127.0.0.1:8080", &address.to_string());
        let folder = Folder::new(&format!("comparison-{kind:?}-{}", address.port()));
        let mut command = command_for(kind, &lines, &folder);
        let log = std::fs::File::create(folder.path.join("log")).expect("a log");
        let process = command
            .current_dir(&folder.path)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut server = Self {
            process,
            address,
            _port: port,
            _folder: folder,
        };
        server.listens().then_some(server)
    }

    /// Waits until it listens; `false` where it ends instead.
    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if self.process.try_wait().expect("its own child").is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::yield_now();
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            crate::support::signal(&self.process, rustix::process::Signal::TERM);
            let _ = self.process.wait();
        }
    }
}

fn command_for(kind: Kind, lines: &str, folder: &Folder) -> Command {
    let program = |name: &str| Command::new(path_of(name).expect("installed"));
    match kind {
        Kind::Guard => {
            let mut guard = command();
            let words = lines.split_whitespace();
            guard.envs(words.filter_map(|word| word.split_once('=')));
            guard
        }
        Kind::Nginx => {
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary
                .map(|name| format!("{name}_temp_path t;"))
                .concat();
            let text = format!(
                "daemon off; pid nginx.pid; error_log stderr; worker_processes 1; events {{}}\n\
                 http {{ access_log off; {temporary}\n{lines} }}\n"
            );
            let mut nginx = program("nginx");
            nginx.arg("-p").arg(&folder.path);
            nginx.arg("-c").arg(folder.write("nginx.conf", &text));
            nginx
        }
        Kind::Caddy => {
            let text = format!("{{\n\tadmin off\n\tauto_https off\n}}\n{lines}");
            let mut caddy = program("caddy");
            caddy.args(["run", "--adapter", "caddyfile", "--config"]);
            caddy.arg(folder.write("Caddyfile", &text));
            caddy.env("HOME", &folder.path);
            caddy
        }
        Kind::Haproxy => {
            let times = "timeout connect 5s\ntimeout client 30s\ntimeout server 30s";
            let text = format!("defaults\nmode http\n{times}\n{lines}");
            let mut haproxy = program("haproxy");
            haproxy.arg("-f").arg(folder.write("haproxy.cfg", &text));
            haproxy
        }
    }
}
