//! docs/comparison.md: the lines that it shows, run, and its table held against them.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "probe/recorder.rs"]
mod recorder;
#[path = "comparison/server.rs"]
mod server;
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use recorder::{Recorder, answer};
use server::{Kind, Server};
use support::{PATIENCE, say};

/// What stands for the secret in the page.
const RIGHT: &str = "the-secret-of-the-gateway";

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/comparison.md");
    std::fs::read_to_string(path).expect("readable")
}

/// The cells of the first table, a row each.
fn rows(page: &str) -> Vec<Vec<String>> {
    let (_, section) = page.split_once("## What gets through").expect("a section");
    let section = section.split("\n#").next().expect("its text");
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let cells = lines.map(|line| {
        let line = line.trim_matches(['|', ' ']);
        line.split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    });
    cells.skip(2).collect()
}

/// The header lines of the request that a row is about; `None` where nothing is asked.
fn lines(row: &str) -> Vec<String> {
    let field = |name: &str, value: &str| format!("{name}: {value}");
    let own = |value: &str| field("X-Shared-Secret", value);
    let right = own(RIGHT);
    match row {
        "the right secret" => vec![right],
        "no secret" | "no secret, where none is configured" => vec![],
        "a wrong secret" => vec![own("wrong-0123456789")],
        "an empty secret" | "an empty secret, where none is configured" => vec![own("")],
        "twice, the right one first" => vec![right, own("wrong")],
        "twice, the right one last" => vec![own("wrong"), right],
        "a wrong one and the right one in one field, with a comma" => {
            vec![own(&format!("wrong, {RIGHT}"))]
        }
        "the right one, and more behind it" => vec![own(&format!("{RIGHT}-more"))],
        "`X_Shared_Secret` alone" => vec![field("X_Shared_Secret", RIGHT)],
        "`X_Shared_Secret` beside the right one" => vec![right, field("X_Shared_Secret", "client")],
        "`X.Shared.Secret` beside the right one" => vec![right, field("X.Shared.Secret", "client")],
        other => panic!("the test does not know {other:?}"),
    }
}

/// What becomes of such a request, in the words of the table.
fn outcome(address: SocketAddr, backend: &Recorder, lines: &[String]) -> &'static str {
    let before = backend.requests().len();
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for line in lines {
        request.extend([line, "\r\n"]);
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let arrived = &backend.requests()[before..];
    assert!(arrived.len() < 2, "{arrived:?}");
    let Some(arrived) = arrived.first() else {
        assert!(
            !text.starts_with(b"HTTP/1.1 200"),
            "{}",
            text.escape_ascii()
        );
        return "refused";
    };
    assert!(!arrived.contains(RIGHT), "the secret arrives: {arrived}");
    let is_beside = lines.len() == 2 && lines.iter().any(|line| line.ends_with(": client"));
    match is_beside {
        true if arrived.to_lowercase().contains(": client\r\n") => "passed on",
        true => "dropped",
        false => "let in",
    }
}

#[test]
fn the_table_says_what_they_do() {
    let page = page();
    let rows = rows(&page);
    assert!(rows.len() > 10, "{rows:?}");
    let backend = Recorder::start(&[&answer("200 OK", "the application")]);
    for (column, kind) in [Kind::Guard, Kind::Nginx, Kind::Caddy, Kind::Haproxy]
        .into_iter()
        .enumerate()
    {
        match kind.version() {
            None => continue,
            Some(version) if !page.contains(&version) => {
                say(&format!(
                    "docs/comparison.md does not speak of {version}: not compared"
                ));
                continue;
            }
            Some(_) => {}
        }
        let lines_of_page = server::block(&page, kind.language());
        let start = |secret: &str| {
            let text = lines_of_page
                .replace(RIGHT, secret)
                .replace("127.0.0.1:3000", &backend.address.to_string());
            Server::start(kind, &text)
        };
        let configured = start(RIGHT).expect("it starts");
        let unconfigured = start("");
        for row in &rows {
            let server = if row[0].ends_with("where none is configured") {
                unconfigured.as_ref()
            } else {
                Some(&configured)
            };
            let found = server.map_or("does not start", |server| {
                outcome(server.address, &backend, &lines(&row[0]))
            });
            assert_eq!(row[column + 1], found, "{kind:?}: {}", row[0]);
        }
    }
}
