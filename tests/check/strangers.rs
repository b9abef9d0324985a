//! What strangers say, and what they never say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::authority::{Authority, Key};
use crate::checked::{Checked, Level::*};
use crate::mistakes::sound;
use crate::support::folder::{Folder, copy_program};
use crate::support::{Guard, PATIENCE, SECRET};

/// What `check` says in both forms, with the mark of an attack in no line of them.
fn assert_is_harmless(variables: &[(&str, &str)], escaped: &str) {
    let output = sound()
        .args(["check"])
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let json = Checked::run(sound().envs(variables.iter().copied()), &[]);
    let json: Vec<_> = json
        .findings()
        .iter()
        .map(|finding| finding["what"].as_str().expect("a text").to_owned())
        .collect();
    for said in [&text, &json.join("\n")] {
        assert!(said.contains(escaped), "{escaped}: {said:?}");
        let is_bad = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!said.contains(is_bad), "{said:?}");
        assert!(
            !said.lines().any(|line| line.starts_with("ok fake")),
            "{said}"
        );
    }
}

fn url(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn a_server_s_name_moves_no_cursor() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let backend = url(&listener);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(
                "HTTP/1.1 200 OK\r\nServer: a\u{9b}31mb\u{202e}c\r\nContent-Length: 0\r\n\r\n"
                    .as_bytes(),
            );
        }
    });
    assert_is_harmless(&[("BACKEND", &backend)], "a\\u{9b}31mb\\u{202e}c");
}

#[test]
fn what_holds_a_part_of_the_secret_is_left_out() {
    const PREVIOUS: &str = "Zq8vAbcdefGHij01";
    let authority = Authority::new("check-parts");
    let name = format!("{}.example", SECRET.to_uppercase());
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost", &name]);
    let [certificate, key] = issued.variables();
    let listen = ("LISTEN", "tls:127.0.0.1:0");
    let tls = Guard::with(&[("SHARED_SECRET", SECRET), listen, certificate, key]);
    let ca = authority.path("ca.pem");
    let keys = authority
        .folder
        .write("keys.json", "{\"version\":1,\"keys\":[]}");
    let servers = [
        SECRET.to_owned(),
        format!("pre{}", &SECRET[1..]),
        SECRET[4..12].to_uppercase(),
        format!("x{PREVIOUS}"),
    ];
    let origins = servers.map(|server| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = url(&listener);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 1024]);
                let answer = format!(
                    "HTTP/1.1 401 Unauthorized\r\nServer: {server}\r\nContent-Length: 0\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        url
    });
    let verified = format!("https://localhost:{}", tls.address.port());
    // Its name is in no certificate, which the error of TLS shows.
    let unverified = format!("https://127.0.0.1:{}", tls.address.port());
    let left_out = "(left out: it holds a part of the secret)";
    let origins = [&origins[..], &[verified, unverified]].concat();
    for origin in origins {
        for more in [&[][..], &["--json"]] {
            let mut check = sound();
            check
                .env("LISTEN", "none")
                .env("GATEWAY_LISTEN", "127.0.0.1:0")
                .env("SHARED_SECRET_PREVIOUS", PREVIOUS)
                .env("API_KEYS_FILE", &keys)
                .env("ORIGIN_CA", &ca)
                .env("ORIGIN", &origin);
            let output = check.arg("check").args(more).output().expect("runs");
            let said = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(said.contains(left_out), "{origin}: {said}");
            let said = said.to_lowercase();
            for part in [&SECRET[4..12], &PREVIOUS.to_lowercase()] {
                assert!(!said.contains(part), "{origin}: {said}");
            }
        }
    }
}

#[test]
fn a_process_s_name_begins_no_line() {
    let folder = Folder::new("check-comm");
    // The name of a process is that of its file.
    let path = folder.path.join("a\nok fake\u{1b}[1m");
    copy_program(env!("CARGO_BIN_EXE_origin-guard"), &path);
    let mut command = Command::new(&path);
    command
        .env_clear()
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "0.0.0.0:0")
        .stdout(Stdio::null());
    let guard = Guard::spawn(&mut command);
    let address = format!("127.0.0.1:{}", guard.address.port());
    let escaped = "a\\nok fake\\u{1b}[1m (process";
    assert_is_harmless(&[("LISTEN", &address)], escaped);
    assert_is_harmless(&[("BACKEND", &format!("http://{address}"))], escaped);
}

#[test]
fn a_certificate_s_name_begins_no_line() {
    let authority = Authority::new("check-names");
    // One of the same length is put into its place in the DER, and the key signs it again.
    let path = |name: &str| authority.path(name);
    authority.folder.write(
        "names.cnf",
        "[req]\ndistinguished_name=dn\n[dn]\n[v3]\nsubjectAltName=DER:30:16:82:14:65:76:69:6c:0d:0a:6f:6b:20:66:61:6b:65:1b:5b:33:31:6d:07:7f\n",
    );
    authority.openssl(&[
        &[
            "req",
            "-x509",
            "-config",
            &path("names.cnf"),
            "-extensions",
            "v3",
            "-nodes",
        ],
        &[
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-days",
            "60",
        ],
        &[
            "-subj",
            "/CN=a",
            "-keyout",
            &path("names.key"),
            "-out",
            &path("names.pem"),
        ],
    ]);
    let (certificate, key) = (path("names.pem"), path("names.key"));
    let variables = [
        ("LISTEN", "tls:127.0.0.1:0"),
        ("TLS_CERT", &*certificate),
        ("TLS_KEY", &*key),
    ];
    let output = sound()
        .args(["check"])
        .envs(variables)
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.contains("evil\\r\\nok fake\\u{1b}[31m\\u{7}\\u{7f}"),
        "{text:?}"
    );
    assert!(
        !text.contains(|letter: char| letter.is_control() && letter != '\n'),
        "{text:?}"
    );
    let checked = Checked::run(sound().envs(variables), &[]);
    let shown = checked.report["configuration"].to_string();
    assert!(shown.contains("evil\\\\r"), "{shown}");
}

#[test]
fn backends_that_never_answer_are_waited_for_side_by_side() {
    let silent: Vec<_> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("bound"))
        .collect();
    let urls: Vec<_> = silent.iter().map(url).collect();
    let mut command = sound();
    command
        .args(["check", "--json"])
        .env("BACKEND", urls.join(","));
    let child = command.stdout(Stdio::piped()).spawn().expect("runs");
    let mut streams: Vec<_> = silent.iter().map(accept).collect();
    for stream in &mut streams {
        // None has been given up while the next one is waited for.
        stream.set_nonblocking(true).expect("set");
        let mut request = Vec::new();
        let end = stream.read_to_end(&mut request).expect_err("no end");
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
    }
    drop((streams, silent));
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(said.matches("without an answer").count(), 3, "{said}");
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("set");
    let since = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(since.elapsed() < PATIENCE, "nobody connects");
        std::thread::yield_now();
    }
}

#[test]
fn roots_that_are_a_fifo_or_a_device_are_not_waited_for() {
    let folder = Folder::new("check-roots");
    let fifo = folder.path.join("fifo").display().to_string();
    let made = Command::new("mkfifo").arg(&fifo).status().expect("runs");
    assert!(made.success());
    for (path, kind) in [(&*fifo, "a FIFO"), ("/dev/zero", "a device")] {
        let mut command = sound();
        command
            .env("ORIGIN", "https://127.0.0.1:1")
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("SSL_CERT_FILE", path);
        let checked = Checked::run(&mut command, &[]);
        checked.assert_finds(Fault, "ORIGIN", kind, "name a regular file");
    }
}

#[test]
fn what_answers_by_itself_is_said() {
    let notes = |variables: &[(&str, &str)]| {
        let checked = Checked::run(sound().envs(variables.iter().copied()), &[]);
        let all = checked.findings().iter();
        let all = all.filter(|finding| finding["subject"] == "BACKEND");
        all.map(|finding| finding["what"].to_string())
            .collect::<String>()
    };
    assert!(notes(&[]).contains("by itself, at /protected and /verify"));
    let guard = Guard::start();
    let backend = format!("http://{}", guard.address);
    assert!(!notes(&[("BACKEND", &backend)]).contains("by itself"));
}
