//! A real application, and the way to it: through the guard, or straight to it where
//! `APPS_DIRECT=1` is set, to tell whose fault a failure is.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::client::Client;
use crate::support::port::HeldPort;
use crate::support::{Guard, PATIENCE, SECRET, installed, skip};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps");
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/apps");

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Tornado,
    Uvicorn,
    Gunicorn,
    Node,
    Php,
    /// PHP behind php-cgi and nginx.
    PhpCgi,
    Nginx,
}

/// A running application; its processes are a group of their own, which ends when this is
/// dropped.
pub(crate) struct App {
    child: Child,
    /// Its address without the guard.
    pub(crate) address: SocketAddr,
    _port: HeldPort,
    folder: PathBuf,
}

impl App {
    /// Starts it, and waits until it accepts. `None`, with a visible line, where it is not
    /// installed.
    pub(crate) fn start(program: Program, prepare: impl FnOnce(&Path)) -> Option<Self> {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let is_there = match program {
            Program::Tornado | Program::Uvicorn | Program::Gunicorn => has_venv(),
            Program::Node => installed("node", "apt install nodejs"),
            Program::Php => installed("php", "apt install php-cli"),
            Program::PhpCgi => {
                installed("php-cgi", "apt install php-cgi")
                    && installed("nginx", "apt install nginx")
            }
            Program::Nginx => installed("nginx", "apt install nginx"),
        };
        if !is_there {
            return None;
        }
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("origin-guard-apps-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        prepare(&folder);
        let port = HeldPort::new();
        let address = port.address;
        let child = command(program, address, &folder)
            .env("PORT", address.port().to_string())
            .env("TOKENS", &folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("starts");
        let mut app = Self {
            child,
            address,
            _port: port,
            folder,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let end = app.child.try_wait().expect("its own child");
            assert!(end.is_none(), "{program:?} ends: {end:?}");
            assert!(Instant::now() < deadline, "{program:?} does not listen");
            std::thread::yield_now();
        }
        Some(app)
    }

    /// The Unix socket that gunicorn listens at beside its port.
    fn socket(&self) -> PathBuf {
        self.folder.join("app.sock")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
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
    let of_venv = |name: &str| Command::new(format!("{VENV}/bin/{name}"));
    let port = address.port().to_string();
    match program {
        Program::Tornado => {
            let mut command = of_venv("python");
            command.arg(format!("{SOURCES}/tornado_app.py"));
            command
        }
        Program::Uvicorn => {
            let mut command = of_venv("uvicorn");
            command
                .args(["--app-dir", SOURCES, "--port", &port, "--no-access-log"])
                .arg("starlette_app:app");
            command
        }
        Program::Gunicorn => {
            let mut command = of_venv("gunicorn");
            command
                .args([
                    "--chdir",
                    SOURCES,
                    "--worker-class",
                    "gthread",
                    "--threads",
                    "8",
                ])
                .args(["--bind", &address.to_string(), "--bind"])
                .arg(format!("unix:{}", folder.join("app.sock").display()))
                .arg("flask_app:app");
            command
        }
        Program::Node => {
            let mut command = Command::new("node");
            command.arg(format!("{SOURCES}/node_app.js"));
            command
        }
        Program::Php => {
            let mut command = Command::new("php");
            command
                .args(["-d", "post_max_size=0", "-S", &address.to_string()])
                .arg(format!("{SOURCES}/index.php"))
                .env("PHP_CLI_SERVER_WORKERS", "4");
            command
        }
        Program::PhpCgi => {
            // All names of fields reach CGI, which folds them.
            let location = format!(
                "underscores_in_headers on;\nignore_invalid_headers off;\n\
                 client_max_body_size 0;\nlocation / {{\n\
                 fastcgi_pass unix:{}/cgi.sock;\nfastcgi_buffering off;\n\
                 fastcgi_param SCRIPT_FILENAME {SOURCES}/index.php;\n\
                 fastcgi_param REQUEST_METHOD $request_method;\n\
                 fastcgi_param REQUEST_URI $request_uri;\n\
                 fastcgi_param QUERY_STRING $query_string;\n\
                 fastcgi_param CONTENT_TYPE $content_type;\n\
                 fastcgi_param CONTENT_LENGTH $content_length;\n}}\n",
                folder.display()
            );
            let config = nginx_config(address, folder, &location);
            let mut command = Command::new("sh");
            // It ends with nginx, which takes the place of the shell.
            let script = "setpriv --pdeathsig TERM \
                          php-cgi -d post_max_size=0 -b \"$0/cgi.sock\" & \
                          while ! [ -S \"$0/cgi.sock\" ]; do :; done; \
                          exec nginx -p \"$0\" -c \"$1\"";
            command
                .args(["-c", script])
                .arg(folder)
                .arg(config)
                .env("PHP_FCGI_CHILDREN", "4");
            command
        }
        Program::Nginx => {
            let root = format!("root {}/www;", folder.display());
            let config = nginx_config(address, folder, &root);
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(config);
            command
        }
    }
}

/// Writes a configuration of nginx with one server, in which `body` stands.
fn nginx_config(address: SocketAddr, folder: &Path, body: &str) -> PathBuf {
    let config = folder.join("nginx.conf");
    let shown = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {shown}/{name};\n"))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {shown}/pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\naccess_log off;\n{temporary}\
         server {{ listen {address}; {body} }}\n}}\n"
    );
    fs::write(&config, text).expect("written");
    config
}

/// The way to an application.
pub(crate) struct Way {
    /// The application.
    pub(crate) app: App,
    /// `None` where it is straight.
    pub(crate) guard: Option<Guard>,
    pub(crate) address: SocketAddr,
}

impl Way {
    /// To `program`, by TCP.
    pub(crate) fn to(program: Program) -> Option<Self> {
        Self::with(program, |_| {}, |app| format!("http://{}", app.address))
    }

    /// The same by its Unix socket.
    pub(crate) fn by_socket(program: Program) -> Option<Self> {
        Self::with(
            program,
            |_| {},
            |app| format!("http://unix:{}", app.socket().display()),
        )
    }

    /// To nginx, in whose folder `www` `prepare` writes.
    pub(crate) fn to_files(prepare: impl FnOnce(&Path)) -> Option<Self> {
        let prepare = |folder: &Path| {
            let www = folder.join("www");
            fs::create_dir(&www).expect("a folder");
            prepare(&www);
        };
        Self::with(Program::Nginx, prepare, |app| {
            format!("http://{}", app.address)
        })
    }

    fn with(
        program: Program,
        prepare: impl FnOnce(&Path),
        backend: impl FnOnce(&App) -> String,
    ) -> Option<Self> {
        let app = App::start(program, prepare)?;
        // A connection of PHP's server belongs to one of its processes, which does one thing
        // at a time: a request on a kept one would wait for a slow answer to another one.
        let idle = match program {
            Program::Php => "0.001",
            _ => "1.5",
        };
        let guard = (!is_direct()).then(|| {
            Guard::with(&[
                ("SHARED_SECRET", SECRET),
                ("BACKEND", &backend(&app)),
                ("PUBLIC_PATHS", "/public"),
                ("BACKEND_IDLE_TIMEOUT", idle),
            ])
        });
        let address = guard.as_ref().map_or(app.address, |guard| guard.address);
        Some(Self {
            app,
            guard,
            address,
        })
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(self.address)
    }
}

fn is_direct() -> bool {
    std::env::var("APPS_DIRECT").as_deref() == Ok("1")
}
