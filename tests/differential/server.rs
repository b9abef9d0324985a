//! The servers: each records what it understands, a line for each request.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{PATIENCE, installed, skip};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential");
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/apps");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Tornado,
    Uvicorn,
    Gunicorn,
    Node,
    Php,
    Nginx,
}

/// A request as a server has understood it; names folded as CGI does it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// The length and the SHA-256 of the body, where the server has read it.
    pub(crate) body: Option<(u64, String)>,
}

impl Program {
    /// Whether it closes the connection at such a request, without an answer.
    pub(crate) fn closes_at(self, method: &str, target: &[u8]) -> bool {
        self == Self::Php && (method.contains('!') || !target.is_ascii())
    }
}

/// A running server; its processes are a group of their own.
pub(crate) struct Server {
    child: Child,
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    _port: HeldPort,
    record: PathBuf,
    _folder: Folder,
}

impl Server {
    /// `None`, with a visible line, where it is not installed.
    pub(crate) fn start(program: Program) -> Option<Self> {
        let is_there = match program {
            Program::Tornado | Program::Uvicorn | Program::Gunicorn => has_venv(),
            Program::Node => installed("node", "apt install nodejs"),
            Program::Php => installed("php", "apt install php-cli"),
            Program::Nginx => installed("nginx", "apt install nginx"),
        };
        if !is_there {
            return None;
        }
        let folder = Folder::new(&format!("differential-{program:?}"));
        let record = folder.path.join("record");
        fs::write(&record, "").expect("written");
        let port = HeldPort::new();
        let address = port.address;
        let mut child = command(program, address, &folder.path)
            .env("PORT", address.port().to_string())
            .env("RECORD", &record)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let end = child.try_wait().expect("its own child");
            assert!(end.is_none(), "{program:?} ends: {end:?}");
            assert!(Instant::now() < deadline, "{program:?} does not listen");
            std::thread::yield_now();
        }
        Some(Self {
            child,
            program,
            address,
            record,
            _port: port,
            _folder: folder,
        })
    }

    /// All that it has understood since the last [`Self::forget_records`].
    pub(crate) fn records(&self) -> Vec<Record> {
        parse(&fs::read(&self.record).expect("the records"))
    }

    pub(crate) fn forget_records(&self) {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).truncate(true).open(&self.record);
        file.expect("emptied");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn has_venv() -> bool {
    let is_there = Path::new(VENV).join("bin/uvicorn").is_file();
    if !is_there {
        skip(
            "needs Python's servers; python3 -m venv target/apps && \
             target/apps/bin/pip install -r tests/apps/requirements.txt",
        );
    }
    is_there
}

fn command(program: Program, address: SocketAddr, folder: &Path) -> Command {
    let port = address.port().to_string();
    let python = |name: &str| Command::new(format!("{VENV}/bin/{name}"));
    let mut command = match program {
        Program::Tornado | Program::Uvicorn | Program::Gunicorn => python(match program {
            Program::Tornado => "python",
            Program::Uvicorn => "uvicorn",
            _ => "gunicorn",
        }),
        Program::Node => Command::new("node"),
        Program::Php => Command::new("php"),
        Program::Nginx => Command::new("nginx"),
    };
    match program {
        Program::Tornado => command.arg(format!("{SOURCES}/tornado_app.py")),
        Program::Uvicorn => command
            .args(["--app-dir", SOURCES, "--port", &port, "--no-access-log"])
            .args(["--no-proxy-headers", "asgi_app:app"]),
        Program::Gunicorn => command
            .args(["--chdir", SOURCES, "--worker-class", "gthread"])
            .args([
                "--threads",
                "2",
                "--bind",
                &address.to_string(),
                "wsgi_app:app",
            ]),
        Program::Node => command.arg(format!("{SOURCES}/node_app.js")),
        Program::Php => command
            .args(["-S", &address.to_string()])
            .arg(format!("{SOURCES}/index.php")),
        Program::Nginx => {
            let config = folder.join("nginx.conf");
            fs::write(&config, nginx(address, folder)).expect("written");
            command.arg("-p").arg(folder).arg("-c").arg(config)
        }
    };
    command
}

/// It reads no body, and its log is the record.
fn nginx(address: SocketAddr, folder: &Path) -> String {
    let shown = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {shown}/{name};\n"))
        .concat();
    let names = [
        "host",
        "x_shared_secret",
        "x_consumer",
        "upgrade",
        "proxy",
        "te",
        "x_evil",
    ];
    let fields: Vec<_> = names
        .iter()
        .map(|name| format!("[\"{}\",\"$http_{name}\"]", name.replace('_', "-")))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {shown}/pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\n{temporary}\
         log_format record escape=json '{{\"status\":$status,\"method\":\"$request_method\",\
         \"target\":\"$request_uri\",\"fields\":[{}]}}';\n\
         access_log {shown}/record record;\n\
         server {{ listen {address}; location / {{ return 200; }} }}\n}}\n",
        fields.join(",")
    )
}

/// The records in `text`, up to its last whole line.
fn parse(text: &[u8]) -> Vec<Record> {
    let end = text.iter().rposition(|&byte| byte == b'\n');
    // nginx writes the bytes of a target as they came.
    let text = text[..end.map_or(0, |end| end + 1)].iter();
    let latin: String = text.map(|&byte| char::from(byte)).collect();
    let lines = latin.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    // What nginx itself refuses it has not taken.
    let taken = lines.filter(|line| line["status"].as_u64().is_none_or(|status| status == 200));
    taken.map(|line| record(&line)).collect()
}

/// The record that an answer is.
pub(crate) fn echoed(body: &[u8]) -> Record {
    record(&serde_json::from_slice(body).expect("JSON"))
}

fn record(line: &Value) -> Record {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let is_hex = line["sha256"].is_string();
    let bytes = |value: &Value| {
        let text = text(value);
        if is_hex {
            let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
            return (0..text.len()).step_by(2).map(digits).collect();
        }
        text.chars()
            .map(|byte| u8::try_from(byte).expect("Latin-1"))
            .collect::<Vec<u8>>()
    };
    let fields = line["fields"].as_array().expect("a list").iter();
    let fields = fields.map(|field| (folded(&bytes(&field[0])), bytes(&field[1])));
    Record {
        method: text(&line["method"]),
        target: bytes(&line["target"]),
        // nginx has an empty text in place of a field that is not there.
        fields: fields
            .filter(|(_, value)| is_hex || !value.is_empty())
            .collect(),
        body: is_hex.then(|| {
            (
                line["length"].as_u64().expect("a number"),
                text(&line["sha256"]),
            )
        }),
    }
}

fn folded(name: &[u8]) -> String {
    let fold = |&byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte.to_ascii_lowercase()),
        _ => '-',
    };
    name.iter().map(fold).collect()
}
