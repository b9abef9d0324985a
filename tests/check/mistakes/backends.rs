//! What is forwarded, and the limits.

use std::net::{SocketAddr, TcpListener};

use super::{Level, assert_all_are_named, mistake};
use crate::authority::{Authority, Key};
use crate::checked::Level::*;
use crate::support::folder::Folder;
use crate::support::port::HeldPort;
use crate::support::{Guard, SECRET};

#[test]
fn backends() {
    let one = |value: &str, level: Level, what: &str, remedy: &'static str| {
        mistake(&[("BACKEND", value)], level, "BACKEND", what, remedy)
    };
    let http = |address: SocketAddr| format!("http://127.0.0.1:{}", address.port());
    let open = [("SHARED_SECRET", SECRET), ("LISTEN", "0.0.0.0:0")];
    let (v4, v6) = (
        Guard::with(&open),
        Guard::with(&[open[0], ("LISTEN", "[::]:0")]),
    );
    let authority = Authority::new("check-backend");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let [certificate, key] = issued.variables();
    let tls = Guard::with(&[open[0], ("LISTEN", "tls:127.0.0.1:0"), certificate, key]);
    let folder = Folder::new("check-backend-socket");
    let unix = format!("unix:{}/socket", folder.path.display());
    let everyone = ("SOCKET_MODE", "0666");
    let _everyone_s = Guard::with(&[open[0], ("LISTEN", &unix), everyone]);
    let unix = format!("http://{unix}");
    let ssh = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at_ssh = http(ssh.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in ssh.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        }
    });
    let free = HeldPort::new();
    let own = free.address.to_string();
    let path = |paths: &str, what: &str, remedy: &'static str| {
        let variables = [("BACKEND", "http://127.0.0.1:1"), ("PUBLIC_PATHS", paths)];
        mistake(&variables, Fault, "PUBLIC_PATHS", what, remedy)
    };
    let mistakes = [
        one(
            "127.0.0.1:3000",
            Fault,
            "http://",
            "write http://127.0.0.1:3000",
        ),
        one("http://127.0.0.1:3000/api", Fault, "a path", "leave off"),
        one("https://app.example", Fault, "app.example", "set ORIGIN"),
        one(
            "http://127.0.0.1:",
            Fault,
            "no port",
            "write http://HOST:PORT",
        ),
        one(
            "http://admin:hunter2@a:1",
            Fault,
            "a user's name",
            "leave that off",
        ),
        one(
            "http://127.0.0.1:1",
            Warning,
            "takes no connection",
            "start the application",
        ),
        one(
            "http://unix:/nowhere.sock",
            Warning,
            "No such file",
            "start the application",
        ),
        one(
            &http(v4.address),
            Warning,
            "listens at 0.0.0.0:",
            "127.0.0.1",
        ),
        one(&http(v6.address), Warning, "listens at [::]:", "127.0.0.1"),
        one(&http(tls.address), Fault, "speaks TLS", "without TLS"),
        one(
            &unix,
            Warning,
            "everyone on this machine may connect",
            "chmod 660",
        ),
        one(&at_ssh, Fault, "not HTTP/1.1", "speaks HTTP/1.1"),
        mistake(
            &[("LISTEN", &own), ("BACKEND", &format!("http://{own}"))],
            Fault,
            "BACKEND",
            "the guard itself",
            "write where the backend listens",
        ),
        path("healthz", "does not begin with /", "/healthz"),
        path("/static/*", "a *", "write each path"),
        path("/a?b", "a ?", "write the path alone"),
        mistake(
            &[("PUBLIC_PATHS", "/healthz")],
            Warning,
            "PUBLIC_PATHS",
            "opens nothing",
            "set BACKEND",
        ),
    ];
    assert_all_are_named(&mistakes);
}

#[test]
fn limits() {
    let one = |name: &'static str, value: &str, remedy: &'static str| {
        mistake(&[(name, value)], Fault, name, value, remedy)
    };
    let forwarded = |name: &'static str, value: &str, remedy: &'static str| {
        let backend = ("BACKEND", "http://127.0.0.1:1");
        mistake(&[backend, (name, value)], Fault, name, value, remedy)
    };
    assert_all_are_named(&[
        one("WORKERS", "0", "write one in digits"),
        one("WORKERS", "2000", "write one in digits"),
        one("MAX_CONNECTIONS", "10k", "write one in digits"),
        one("MAX_HEAD_BYTES", "64K", "write one in digits"),
        one("HEAD_TIMEOUT", "10m", "such as 10, 0.5 or 75s"),
        one("IDLE_TIMEOUT", "75 seconds", "such as 10, 0.5 or 75s"),
        one("DRAIN_TIMEOUT", "0", "such as 10, 0.5 or 75s"),
        one("ACCESS_LOG", "yes", "write one of them"),
        forwarded("MAX_BODY_BYTES", "10M", "in digits alone"),
        forwarded("BACKEND_TIMEOUT", "1min", "such as 10, 0.5 or 75s"),
        mistake(
            &[("BACKEND_TIMEOUT", "30")],
            Warning,
            "BACKEND_TIMEOUT",
            "does nothing",
            "set BACKEND or ORIGIN",
        ),
        mistake(
            &[("WORKERS", "256")],
            Warning,
            "WORKERS",
            "share",
            "leave it out",
        ),
    ]);
}
