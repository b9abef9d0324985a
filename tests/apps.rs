//! The guard in front of real applications: each is reached as if it were not there, but
//! for the secret. With `APPS_DIRECT=1` it is not there.

#[path = "apps/app.rs"]
mod app;
#[path = "apps/cases.rs"]
mod cases;
#[path = "apps/client.rs"]
mod client;
#[path = "apps/pattern.rs"]
mod pattern;
mod support;

use std::io::Read as _;

use app::{Program, Way};
use client::Body;

#[test]
fn tornado() {
    let Some(way) = Way::to(Program::Tornado) else {
        return;
    };
    // The document's own request.
    let (head, body) = way.client().ask("GET", "/protected", "");
    assert_eq!(
        (head.status, body.as_slice()),
        (200, &br#"{"message": "Access granted"}"#[..])
    );
    cases::everything(&way);
    cases::websockets(&way);
}

#[test]
fn starlette_behind_uvicorn() {
    let Some(way) = Way::to(Program::Uvicorn) else {
        return;
    };
    cases::everything(&way);
    cases::websockets(&way);
}

#[test]
fn flask_behind_gunicorn() {
    let Some(way) = Way::to(Program::Gunicorn) else {
        return;
    };
    cases::everything(&way);
}

#[test]
fn flask_behind_gunicorn_by_a_unix_socket() {
    let Some(way) = Way::by_socket(Program::Gunicorn) else {
        return;
    };
    cases::everything(&way);
}

#[test]
fn node() {
    let Some(way) = Way::to(Program::Node) else {
        return;
    };
    cases::everything(&way);
    let mut client = way.client();

    let (_, body) = client.ask("GET", "/json?", "");
    assert!(String::from_utf8_lossy(&body).contains("\"/json?\""));

    client.send("GET", "/hints", "", &Body::None);
    let hints = client.head("GET");
    assert_eq!(hints.status, 103);
    assert_eq!(
        hints.value("link"),
        Some("</style.css>; rel=preload; as=style")
    );
    assert_eq!(client.receive("GET").1, b"hinted");

    client.send("GET", "/trailers", "TE: trailers\r\n", &Body::None);
    let head = client.head("GET");
    let mut body = client.body(&head);
    let mut text = String::new();
    body.read_to_string(&mut text).expect("the body");
    assert_eq!(text, "body");
    assert_eq!(body.trailers, [("x-checksum".to_owned(), "abc".to_owned())]);

    // The answer comes before the body, most of which is never sent.
    let mut client = way.client();
    client.write(client::head("POST", "/refuse", "", &Body::Sized(50_000_000)).as_bytes());
    client.send_body(&Body::Sized(100_000));
    let (head, body) = client.receive("POST");
    assert_eq!((head.status, body.as_slice()), (403, &b"no"[..]));
}

#[test]
fn node_takes_a_gigabyte() {
    let Some(way) = Way::to(Program::Node) else {
        return;
    };
    cases::large_uploads(&way);
}

#[test]
fn php() {
    let Some(way) = Way::to(Program::Php) else {
        return;
    };
    // A process of its server may accept one more connection before it runs a script that
    // waits for what comes by that one.
    cases::one_after_the_other(&way);
}

#[test]
fn php_by_fastcgi_behind_nginx() {
    let Some(way) = Way::to(Program::PhpCgi) else {
        return;
    };
    cases::everything(&way);
}

#[test]
fn files_of_nginx() {
    let Some(way) = Way::to_files(cases::write_files) else {
        return;
    };
    cases::files(&way);
}
