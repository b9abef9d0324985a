//! nginx with servers of a test's own, which logs what arrives.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::authority::Issued;
use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{PATIENCE, installed, path_of};

/// A running nginx, ended by pid when dropped.
pub(crate) struct Nginx {
    process: Child,
    folder: Folder,
    /// Where its servers listen, in order.
    pub(crate) ports: Vec<HeldPort>,
}

/// A server that speaks TLS by `issued`; `body` stands in it.
pub(crate) fn tls(issued: &Issued, body: &str) -> String {
    format!(
        "listen 127.0.0.1:PORT ssl; ssl_certificate {}; ssl_certificate_key {}; {body}",
        issued.certificate.display(),
        issued.key.display()
    )
}

/// A server that speaks plain HTTP.
pub(crate) fn plain(body: &str) -> String {
    format!("listen 127.0.0.1:PORT; {body}")
}

impl Nginx {
    /// Starts it; `None` where it is not installed.
    pub(crate) fn start(name: &str, servers: &[String]) -> Option<Self> {
        for program in ["nginx", "openssl", "curl"] {
            if !installed(program, &format!("apt install {program}")) {
                return None;
            }
        }
        let folder = Folder::new(&format!("nginx-{name}"));
        let mut ports = Vec::new();
        let mut text = String::from(
            "daemon off; pid nginx.pid; error_log stderr; worker_processes 1;\n\
             events {}\n\
             http {\n\
             log_format seen '$scheme|$request|$http_user_agent|$http_x_shared_secret';\n\
             access_log seen.log seen;\n\
             client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; \
             uwsgi_temp_path t; scgi_temp_path t;\n",
        );
        for server in servers {
            let port = HeldPort::new();
            let server = server.replace("PORT", &port.to_string());
            text.extend(["server { ", &server, " }\n"]);
            ports.push(port);
        }
        text += "}\n";
        let config = folder.write("nginx.conf", &text);
        let log = fs::File::create(folder.path.join("log")).expect("a log");
        let process = Command::new(path_of("nginx").expect("installed"))
            .arg("-p")
            .arg(&folder.path)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut nginx = Self {
            process,
            folder,
            ports,
        };
        nginx.wait();
        Some(nginx)
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for port in &self.ports {
            while TcpStream::connect(port.address).is_err() {
                let ended = self.process.try_wait().expect("its own child");
                let log = fs::read_to_string(self.folder.path.join("log")).unwrap_or_default();
                assert!(ended.is_none() && Instant::now() < deadline, "{log}");
                std::thread::yield_now();
            }
        }
    }

    /// What has arrived, a request a line: scheme, request line, agent, secret. A request is
    /// logged after it is answered, so this waits for one of its own at the first server,
    /// which is left out.
    pub(crate) fn seen(&self, scheme: &str) -> Vec<String> {
        let (own, url) = (
            "the-test-itself",
            format!("{scheme}://localhost:{}/", self.ports[0]),
        );
        let asked = Command::new("curl")
            .args(["-sk", "-o", "/dev/null", "-A", own, &url])
            .status();
        assert!(asked.expect("curl runs").success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(self.folder.path.join("seen.log")).unwrap_or_default();
            let (own, others): (Vec<_>, Vec<_>) = log.lines().partition(|line| line.contains(own));
            if !own.is_empty() {
                return others.into_iter().map(str::to_owned).collect();
            }
            assert!(Instant::now() < deadline, "it is not logged: {log}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it.
        crate::support::signal(&self.process, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}
