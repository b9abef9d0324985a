//! `origin-guard demo-backend` tells what reached it.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::folder::Folder;
use support::{Answer, Guard, PATIENCE, SECRET, command, granted_request};

/// The running backend, ended when dropped.
struct Demo {
    child: Child,
    address: SocketAddr,
}

impl Demo {
    fn start() -> Self {
        let mut child = command()
            .args(["demo-backend", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("http://").expect("a URL");
        let address = address.parse().expect("an address");
        Self { child, address }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_answers_with_what_reached_it() {
    let demo = Demo::start();
    let mut stream = TcpStream::connect(demo.address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    for (body, framing) in [
        ("hello", "Content-Length: 5\r\n\r\nhello"),
        ("", "\r\n"),
        (
            "hello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let head = "POST /a/b?c=d HTTP/1.1\r\nHost: test\r\nX-One: 1\r\nX-One: 2\r\n";
        stream
            .write_all(format!("{head}{framing}").as_bytes())
            .expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let reached: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(reached["method"], "POST");
        assert_eq!(reached["target"], "/a/b?c=d");
        assert_eq!(reached["body_bytes"], json!(body.len()));
        let fields = reached["fields"].as_array().expect("a list");
        assert_eq!(
            fields[..3],
            [json!("Host: test"), json!("X-One: 1"), json!("X-One: 2")]
        );
    }
}

#[test]
fn it_listens_at_a_unix_socket() {
    let folder = Folder::new("demo");
    let path = folder.path.join("demo.sock");
    let address = format!("unix:{}", path.display());
    let mut child = command()
        .args(["demo-backend", &address])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, format!("http://{address}\n"));
    let url = line.trim();
    let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("BACKEND", url)]);
    let answer = guard.ask(granted_request());
    let reached: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(reached["target"], "/protected");
    child.kill().expect("ended");
    child.wait().expect("its own child");
}

#[test]
fn it_listens_on_loopback_alone() {
    for (address, status, said) in [
        ("0.0.0.0:0", 64, "127.0.0.1:3000"),
        ("192.0.2.1:3000", 64, "127.0.0.1:3000"),
        ("localhost", 64, "127.0.0.1:3000"),
        ("--port", 64, "--help"),
    ] {
        let output = command()
            .args(["demo-backend", address])
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{address}: {errors}");
        assert!(errors.contains(said), "{address}: {errors}");
    }
    let demo = Demo::start();
    let taken = demo.address.to_string();
    let output = command()
        .args(["demo-backend", &taken])
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&taken), "{errors}");
}
