//! An answer before the body has come: what real clients make of it.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::peers::{assert_ends, eventually};
use crate::support::folder::Folder;
use crate::support::{Answer, Guard, granted_request, installed, path_of};

const UPLOAD: usize = 5_000_000;

/// Runs a client that is to say `answered` once for each of its uploads.
fn assert_answered(command: &mut Command, times: usize) {
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.matches("answered").count(), times, "{text}\n{faults}");
}

#[test]
fn pythons_http_client_reads_an_answer_that_comes_before_its_body() {
    if !installed("python3", "apt-get install python3") {
        return;
    }
    let guard = Guard::start();
    let client = r#"
import http.client, sys
for turn in range(20):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request("POST", "/protected", body=b"a" * int(sys.argv[2]))
    answer = connection.getresponse()
    assert answer.status == 401 and b"No secret provided" in answer.read()
    print("answered")
    connection.close()
"#;
    let mut command = Command::new("python3");
    command.args(["-c", client, &guard.address.port().to_string()]);
    assert_answered(command.arg(UPLOAD.to_string()), 20);
}

#[test]
fn nodes_fetch_reads_an_answer_that_comes_before_its_body() {
    if !installed("node", "apt-get install nodejs") {
        return;
    }
    let guard = Guard::start();
    let client = r#"
const [port, size] = process.argv.slice(1);
const body = "a".repeat(Number(size));
(async () => {
  for (let turn = 0; turn < 20; turn++) {
    const answer = await fetch(`http://127.0.0.1:${port}/protected`, { method: "POST", body });
    const text = await answer.text();
    if (answer.status !== 401 || !text.includes("No secret provided")) throw new Error(text);
    console.log("answered");
  }
})().catch((error) => { console.error(error, error.cause); process.exit(1); });
"#;
    let mut command = Command::new("node");
    command.args(["-e", client, &guard.address.port().to_string()]);
    assert_answered(command.arg(UPLOAD.to_string()), 20);
}

/// An nginx, ended by pid.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers on this signal, and not on SIGKILL.
        crate::support::signal(&self.0, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn nginx_that_streams_uploads_and_reuses_connections_gets_every_answer() {
    if !installed("nginx", "apt-get install nginx") {
        return;
    }
    let guard = Guard::start();
    let folder = Folder::new("early-answers");
    let socket = folder.path.join("nginx.sock");
    let listen = socket.display();
    let configuration = format!(
        "daemon off; pid nginx.pid; error_log error.log; worker_processes 1; user root;
         events {{ worker_connections 256; }}
         http {{
           access_log off; client_max_body_size 0;
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;
           upstream guard {{ server {}; keepalive 16; }}
           server {{
             listen unix:{listen};
             location / {{
               proxy_pass http://guard; proxy_http_version 1.1; proxy_request_buffering off;
               proxy_set_header Connection \"\"; proxy_next_upstream off;
             }}
           }}
         }}",
        guard.address
    );
    folder.write("nginx.conf", &configuration);
    let nginx = Nginx(
        Command::new(path_of("nginx").expect("installed"))
            .args(["-c", "nginx.conf", "-e", "error.log", "-p"])
            .arg(&folder.path)
            .stderr(Stdio::null())
            .spawn()
            .expect("starts"),
    );
    let connect = || std::os::unix::net::UnixStream::connect(&socket);
    eventually("nginx listens", || connect().is_ok());
    let body = vec![b'a'; UPLOAD];
    for turn in 0..60 {
        let mut stream = connect().expect("connects");
        let head = format!(
            "POST /protected HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        // nginx, too, may answer and close before it has read everything.
        let _ = stream.write_all(&body);
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 401, "upload {turn}: {answer:?}");
        let mut stream = connect().expect("connects");
        stream
            .write_all(granted_request().as_bytes())
            .expect("sent");
        let answer = Answer::read(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 200, "after upload {turn}: {answer:?}");
    }
    drop(nginx);
    let log = std::fs::read_to_string(folder.path.join("error.log")).unwrap_or_default();
    assert!(!log.contains("[error]"), "{log}");
}

/// No limit in bytes, as long as they come.
#[test]
fn an_upload_of_any_length_is_read_off_after_its_answer() {
    const LENGTH: usize = 300_000_000;
    let guard = Guard::start();
    let mut stream = guard.connect();
    let head = format!("POST /protected HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let piece = vec![b'a'; 1_000_000];
    for _ in 0..LENGTH / piece.len() {
        stream.write_all(&piece).expect("read off");
    }
    let answer = Answer::read(&mut stream, false).expect("an answer");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_ends(&mut stream);
}
