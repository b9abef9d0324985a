//! A backend that records every request that reaches it, and takes no request that two
//! parsers could read in two ways.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// A request at the backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Method, target and version.
    pub(crate) line: String,
    /// Names in lower case, values trimmed, in order.
    pub(crate) fields: Vec<(String, String)>,
    /// Bytes of its body so far.
    pub(crate) body: u64,
    /// What is wrong with it, if anything.
    pub(crate) fault: Option<String>,
}

impl Seen {
    /// The value of the field `name` (lower case), if it is there.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The request target.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Listens on a port of its own until the process ends.
///
/// Its answer depends on the target. One with `accel` in it is led elsewhere by a field that
/// nginx obeys; one with `events` gets a head and two events, each event after a
/// [`Backend::go_on`]; one with `refuse-upgrade` gets no tunnel.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    /// How often it was told to go on.
    steps: Mutex<usize>,
    stepped: Condvar,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// All that has reached it so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("records").clone()
    }

    /// Lets it send the next event.
    pub(crate) fn go_on(&self) {
        *self.state.steps.lock().expect("a count") += 1;
        self.state.stepped.notify_all();
    }
}

fn serve(stream: &TcpStream, state: &State) {
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader) {
        let request = read_request(&head);
        let index = {
            let mut seen = state.seen.lock().expect("records");
            seen.push(request.clone());
            seen.len() - 1
        };
        let note = |body: Result<u64, String>| {
            let seen = &mut state.seen.lock().expect("records")[index];
            match body {
                Ok(body) => seen.body = body,
                Err(fault) => seen.fault = Some(fault),
            }
        };
        if request.fault.is_some() {
            return;
        }
        // A proxy may end a request in its body, when its client has.
        let Some(body) = read_body(&request, &mut reader) else {
            return;
        };
        let faulty = body.is_err();
        note(body.clone());
        let upgrades = request.field("upgrade").is_some();
        let mut stream = stream;
        if upgrades && !request.target().contains("refuse-upgrade") {
            // RFC 6455, section 1.3, for the key of that section.
            let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                             Connection: Upgrade\r\n\
                             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            if stream.write_all(switching.as_bytes()).is_ok() {
                // Whoever is gone gets no echo.
                let _ = std::io::copy(&mut reader, &mut stream);
            }
            return;
        }
        if request.target().contains("events") {
            send_events(stream, state);
            return;
        }
        let status = if upgrades {
            "426 Upgrade Required"
        } else {
            "200 OK"
        };
        let text = format!("backend took {}", body.unwrap_or_default());
        let length = text.len();
        let text = if request.line.starts_with("HEAD ") {
            ""
        } else {
            text.as_str()
        };
        let led = match request.target() {
            "/granted/accel" => "X-Accel-Redirect: /_origin_gateway\r\n",
            "/granted/accel-slowly" => {
                "X-Accel-Redirect: /_origin_gateway\r\nX-Accel-Limit-Rate: 1\r\n"
            }
            _ => "",
        };
        let answer = format!("HTTP/1.1 {status}\r\n{led}Content-Length: {length}\r\n\r\n{text}");
        if faulty || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A head and two events, each when somebody says so.
fn send_events(mut stream: &TcpStream, state: &State) {
    let parts = [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        "9\r\ndata: 1\n\n\r\n",
        "9\r\ndata: 2\n\n\r\n0\r\n\r\n",
    ];
    let mut steps = state.steps.lock().expect("a count");
    for (number, part) in parts.iter().enumerate() {
        while *steps < number {
            steps = state.stepped.wait(steps).expect("a count");
        }
        // A proxy that is gone gets no more.
        if stream.write_all(part.as_bytes()).is_err() {
            return;
        }
    }
}

/// Up to the empty line, or `None` where the connection ends before a first byte.
fn read_head(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match reader.read_until(b'\n', &mut head) {
            Ok(0) | Err(_) if head.is_empty() => return None,
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Some(head)
}

fn read_request(head: &[u8]) -> Seen {
    let mut seen = Seen::default();
    match parse(head, &mut seen) {
        Ok(()) => seen,
        Err(fault) => Seen {
            line: head.escape_ascii().to_string(),
            fault: Some(fault),
            ..seen
        },
    }
}

fn parse(head: &[u8], seen: &mut Seen) -> Result<(), String> {
    let text = String::from_utf8_lossy(head);
    let text = text.strip_suffix("\r\n\r\n").ok_or("ends in its head")?;
    let mut lines = text.split("\r\n");
    seen.line = lines.next().unwrap_or_default().into();
    if seen.line.split(' ').count() != 3 || text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err("is malformed".into());
    }
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a field without a colon")?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("white space in the name {name:?}"));
        }
        seen.fields
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let count = |name: &str| {
        seen.fields
            .iter()
            .filter(|(field, _)| field == name)
            .count()
    };
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    let chunked = seen
        .field("transfer-encoding")
        .is_none_or(|coding| coding.eq_ignore_ascii_case("chunked"));
    let number = seen.field("content-length").is_none_or(|length| {
        length.bytes().all(|byte| byte.is_ascii_digit()) && length.parse::<u64>().is_ok()
    });
    if lengths + codings > 1 || !chunked || !number {
        return Err("is framed in more than one way".into());
    }
    // A tunnel of anything else could hold requests that no guard has seen.
    if seen
        .field("upgrade")
        .is_some_and(|upgrade| !upgrade.eq_ignore_ascii_case("websocket"))
    {
        return Err("upgrades to something else than a WebSocket".into());
    }
    // RFC 9110, section 7.6.1: what it names is dropped on the way.
    let options = seen.field("connection").unwrap_or_default().split(',');
    for option in options.map(str::trim).filter(|option| !option.is_empty()) {
        if !["close", "keep-alive", "upgrade"]
            .iter()
            .any(|known| option.eq_ignore_ascii_case(known))
        {
            return Err(format!("a Connection that names {option}"));
        }
    }
    Ok(())
}

/// Its length; `None` where the connection ends in it.
fn read_body(request: &Seen, reader: &mut impl BufRead) -> Option<Result<u64, String>> {
    if let Some(length) = request.field("content-length") {
        let length = length.parse().expect("checked");
        return skip(reader, length).map(Ok);
    }
    if request.field("transfer-encoding").is_none() {
        return Some(Ok(0));
    }
    let mut sum = 0;
    loop {
        let line = read_line(reader)?;
        let digits = line.split(';').next().unwrap_or_default();
        let Ok(size) = u64::from_str_radix(digits, 16) else {
            return Some(Err(format!("a chunk of the size {line:?}")));
        };
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Some(Ok(sum));
        }
        sum += skip(reader, size)?;
        if !read_line(reader)?.is_empty() {
            return Some(Err("a chunk longer than it says".into()));
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}

fn skip(reader: &mut impl BufRead, length: u64) -> Option<u64> {
    let skipped = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    (skipped.ok()? == length).then_some(length)
}
