//! HTTP as the RFCs have it, over real sockets: the corpus, and what takes more than
//! one write to show.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use support::corpus::{self, Entry};
use support::{Answer, Guard, SECRET, granted_request};

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// What became of an input sent in pieces: the statuses, and whether the connection stayed.
fn outcome(guard: &Guard, entry: &Entry, piece: usize) -> Result<(), String> {
    let mut stream = guard.connect();
    for bytes in entry.input.chunks(piece) {
        // A guard that has answered and closed may reset what is still being sent.
        if stream.write_all(bytes).is_err() {
            break;
        }
    }
    let head = entry.input.starts_with(b"HEAD ");
    let options = entry.input.starts_with(b"OPTIONS ");
    let mut statuses = Vec::new();
    for expected in &entry.statuses {
        let Some(answer) = Answer::read(&mut stream, head) else {
            return Err(format!("closed after {statuses:?}, {expected} was to come"));
        };
        statuses.push(answer.status);
        fields(&answer, options)?;
        let last = statuses.len() == entry.statuses.len();
        let says_close = answer.header("connection") == Some("close");
        if says_close != (last && !entry.kept) {
            return Err(format!("{statuses:?}, Connection: close {says_close}"));
        }
    }
    if statuses != entry.statuses {
        return Err(format!("{statuses:?} for {:?}", entry.statuses));
    }
    if entry.kept {
        stream
            .write_all(granted_request().as_bytes())
            .map_err(|error| error.to_string())?;
        let answer = Answer::read(&mut stream, false).ok_or("closed instead of kept")?;
        return match answer.status {
            200 => Ok(()),
            other => Err(format!("{other} to a good request behind it")),
        };
    }
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) if rest.is_empty() => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset && rest.is_empty() => {
            Ok(())
        }
        end => Err(format!(
            "{end:?} and {:?} instead of the end",
            rest.escape_ascii().to_string()
        )),
    }
}

/// The fields that RFC 9110 demands of an answer (sections 6.6.1, 9.3.7, 11.6.1 and
/// 15.5.6), and the type of every body.
fn fields(answer: &Answer, to_options: bool) -> Result<(), String> {
    let status = answer.status;
    let json = answer.header("content-type") == Some("application/json");
    let allow = answer.header("allow").is_some();
    let challenge = answer.header("www-authenticate").is_some();
    let faultless = answer.header("date").is_some()
        && json == (status != 204)
        && allow == ([204, 405].contains(&status) || to_options && status == 200)
        && challenge == (status == 401);
    if faultless {
        return Ok(());
    }
    Err(format!("the fields of {answer:?}"))
}

#[test]
fn every_input_of_the_corpus_is_answered_as_the_rfcs_have_it() {
    let mut guard = Guard::start();
    let entries = corpus::entries();
    assert!(entries.len() >= 150, "{} entries", entries.len());
    let mut faults = Vec::new();
    for entry in &entries {
        if let Err(fault) = outcome(&guard, entry, usize::MAX) {
            faults.push(format!("line {}, {}: {fault}", entry.line, entry.name));
        }
        guard.assert_serves();
    }
    assert!(guard.is_running());
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn an_input_in_single_bytes_is_answered_alike() {
    let guard = Guard::start();
    let entries = corpus::entries();
    let short = entries.iter().filter(|entry| entry.input.len() <= 400);
    let faults: Vec<_> = short
        .filter_map(|entry| {
            let fault = outcome(&guard, entry, 1).err()?;
            Some(format!("line {}, {}: {fault}", entry.line, entry.name))
        })
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn a_head_may_be_as_large_as_configured_and_no_larger() {
    for limit in [1024, 65536] {
        let text = limit.to_string();
        let guard = Guard::with(&[("SHARED_SECRET", SECRET), ("MAX_HEAD_BYTES", &text)]);
        for (length, status) in [(limit, 200), (limit + 1, 431)] {
            let start = granted_request();
            let start = start.strip_suffix("\r\n").expect("an empty line");
            let filling = "a".repeat(length - start.len() - "A: \r\n\r\n".len());
            let request = format!("{start}A: {filling}\r\n\r\n");
            assert_eq!(request.len(), length);
            assert_eq!(guard.ask(request).status, status, "{length} of {limit}");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let guard = Guard::start();
    let mut stream = guard.connect();
    let request = |number| {
        let secret = if number % 3 == 0 { SECRET } else { "wrong" };
        format!("GET /protected HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {secret}\r\n\r\n")
    };
    let requests: Vec<_> = (0..500).map(request).collect();
    stream
        .write_all(requests.concat().as_bytes())
        .expect("sent");
    for number in 0..500 {
        let status = if number % 3 == 0 { 200 } else { 401 };
        assert_eq!(
            Answer::read(&mut stream, false).expect("an answer").status,
            status,
            "{number}"
        );
    }
}

#[test]
fn a_slow_reader_gets_every_answer() {
    const REQUESTS: usize = 200_000;
    let guard = Guard::start();
    let mut stream = guard.connect();
    let mut sender = stream.try_clone().expect("a clone");
    std::thread::scope(|scope| {
        // More than all buffers on the way hold: it ends only once the answers are read.
        scope.spawn(move || {
            let requests = [PLAIN, HEALTH].concat().repeat(500);
            for _ in 0..REQUESTS / 1000 {
                sender.write_all(requests.as_bytes()).expect("sent");
            }
        });
        // The guard stops reading, and serves others meanwhile.
        guard.assert_serves();
        let mut reader = std::io::BufReader::new(&mut stream);
        for number in 0..REQUESTS {
            let answer = Answer::read(&mut reader, false).expect("an answer");
            assert_eq!(answer.status, [404, 200][number % 2], "{number}");
        }
    });
}

#[test]
fn a_half_closed_connection_is_answered_and_closed() {
    let guard = Guard::start();
    for (sent, statuses) in [
        (granted_request(), vec![200]),
        (granted_request().repeat(3), vec![200, 200, 200]),
        ("GET / HT".to_owned(), vec![400]),
        (format!("{PLAIN}GET"), vec![404, 400]),
        (String::new(), vec![]),
        // RFC 9112, section 2.2: an empty line where a request may begin is ignored.
        ("\r\n".to_owned(), vec![]),
        (format!("{PLAIN}\r\n"), vec![404]),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc".to_owned(),
            vec![404],
        ),
    ] {
        let mut stream = guard.connect();
        stream.write_all(sent.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        for status in statuses {
            assert_eq!(
                Answer::read(&mut stream, false).expect("an answer").status,
                status,
                "{sent}"
            );
        }
        assert!(Answer::read(&mut stream, false).is_none(), "{sent}");
    }
}

#[test]
fn a_body_that_comes_late_is_dropped_and_the_connection_stays() {
    let guard = Guard::start();
    let mut stream = guard.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        .expect("sent");
    assert_eq!(
        Answer::read(&mut stream, false).expect("at once").status,
        404
    );
    stream.write_all(b"abc").expect("sent");
    guard.assert_serves();
    stream.write_all(b"def").expect("sent");
    stream
        .write_all(granted_request().as_bytes())
        .expect("sent");
    assert_eq!(Answer::read(&mut stream, false).expect("kept").status, 200);
}

#[test]
fn a_body_that_get_or_head_promises_ends_the_connection_whether_it_comes_or_not() {
    let guard = Guard::start();
    for method in ["GET", "HEAD"] {
        let request = format!(
            "{method} /verify HTTP/1.1\r\nHost: x\r\nX-Shared-Secret: {SECRET}\r\n\
             Content-Length: 30\r\n\r\n"
        );
        // A proxy's next request would be the body of the last.
        for behind in ["", &granted_request()] {
            let mut stream = guard.connect();
            stream.write_all(request.as_bytes()).expect("sent");
            let answer = Answer::read(&mut stream, method == "HEAD").expect("at once");
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("connection"), Some("close"));
            stream.write_all(behind.as_bytes()).expect("sent");
            assert!(Answer::read(&mut stream, false).is_none(), "{method}");
        }
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let guard = Guard::start();
    let get = guard.ask(granted_request());
    let mut stream = guard.connect();
    let request = granted_request().replace("GET", "HEAD");
    stream
        .write_all(request.repeat(2).as_bytes())
        .expect("sent");
    for _ in 0..2 {
        let head = Answer::read(&mut stream, true).expect("an answer");
        assert_eq!(head.status, 200);
        for field in ["content-length", "content-type", "cache-control"] {
            assert_eq!(head.header(field), get.header(field), "{field}");
        }
    }
}

#[test]
fn a_204_has_no_length() {
    let answer = Guard::start().ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (204, None)
    );
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[test]
fn http_1_0_is_told_that_the_connection_stays() {
    let guard = Guard::start();
    let answer = guard.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    let answer = guard.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn listens_on_several_addresses_and_replaces_only_a_dead_socket_file() {
    let path = std::env::temp_dir().join(format!("origin-guard-{}.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket file that is dead"));
    let listen = format!("127.0.0.1:0,[::1]:0,{address}");
    let mut guard = Guard::with(&[("SHARED_SECRET", SECRET), ("LISTEN", &listen)]);
    guard.assert_serves();
    let v6 = guard.wait_for_log(|line| line.starts_with("listening address=[::1]:"));
    let mut streams: Vec<Box<dyn ReadWrite>> = vec![
        Box::new(
            TcpStream::connect(v6.trim_start_matches("listening address=")).expect("connects"),
        ),
        Box::new(UnixStream::connect(&path).expect("connects")),
    ];
    for stream in &mut streams {
        stream
            .write_all(granted_request().as_bytes())
            .expect("sent");
        assert_eq!(Answer::read(stream, false).expect("an answer").status, 200);
    }

    let mut second = support::command();
    let output = second.env("LISTEN", &address).output().expect("runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(&address),
        "{output:?}"
    );
    guard.assert_serves();
    guard.signal(rustix::process::Signal::TERM);
    assert!(guard.wait().success());
    assert!(!path.exists(), "its own socket file is gone");

    std::fs::write(&path, "precious").expect("a file");
    let output = support::command()
        .env("LISTEN", &address)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    std::fs::remove_file(&path).expect("removed");
}

trait ReadWrite: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> ReadWrite for T {}
