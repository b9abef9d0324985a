//! `redirect:` addresses, plaintext that is warned of, and sockets of socket units.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Instant;

use crate::authority::{Authority, Key};
use crate::guard;
use crate::support::metrics::wait_for;
use crate::support::port::HeldPort;
use crate::support::{Guard, PATIENCE, SECRET, command, complaints, installed};

/// A guard with TLS first and a redirect second; what is asked of the second.
struct Setup {
    guard: Guard,
    _port: HeldPort,
}

impl Setup {
    fn new(name: &str, more: &[(&str, &str)]) -> Self {
        let authority = Authority::new(name);
        let issued = authority.issue(Key::EcdsaPkcs8, &["one.test", "*.two.test"]);
        let port = HeldPort::new();
        let listen = format!("tls:{},redirect:127.0.0.1:0", port.address);
        let variables = [("LISTEN", &*listen), ("ADMIN_LISTEN", "127.0.0.1:0")];
        let guard = guard(&issued, &[&variables, more].concat());
        Self { guard, _port: port }
    }

    fn ask(&self, request: &str) -> crate::support::Answer {
        use std::io::Write as _;
        let address = self.guard.address_of(2);
        let mut stream = std::net::TcpStream::connect(address).expect("connects");
        stream
            .set_read_timeout(Some(crate::support::PATIENCE))
            .expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        let is_head = request.starts_with("HEAD");
        crate::support::Answer::read(&mut stream, is_head).expect("an answer")
    }

    /// Waits until so many requests are counted under each verdict and status.
    fn wait_for_counts(&self, counts: &[(&str, u16, usize)]) {
        let lines = counts.iter().map(|(verdict, status, count)| {
            format!("requests_total{{verdict=\"{verdict}\",status=\"{status}\"}} {count}")
        });
        wait_for(self.guard.second_address(), &lines.collect::<Vec<_>>());
    }

    fn get(&self, host: &str, target: &str, fields: &str) -> crate::support::Answer {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ))
    }
}

#[test]
fn who_asks_for_a_name_of_ours_is_sent_to_https_and_others_are_not() {
    let setup = Setup::new("redirect", &[]);
    let wanted = "address=redirect:127.0.0.1:";
    setup.guard.wait_for_log(|line| line.contains(wanted));
    let (mut redirected, mut misdirected) = (0, 0);
    for (host, target, location) in [
        ("one.test", "/a?b=c", Some("https://one.test/a?b=c")),
        ("ONE.test:80", "/", Some("https://one.test/")),
        ("one.test.", "/", Some("https://one.test/")),
        (
            "a.two.test:8080",
            "/[x]|\"",
            Some("https://a.two.test/[x]|\""),
        ),
        ("one.test", "http://one.test/p", Some("https://one.test/p")),
        ("one.test", "/\u{e4}", Some("https://one.test/%C3%A4")),
        ("two.test", "/", None),
        ("a.b.two.test", "/", None),
        ("other.test", "/", None),
        ("one.test.evil.test", "/", None),
        ("127.0.0.1", "/", None),
        ("[::1]", "/", None),
    ] {
        let answer = setup.get(host, target, "");
        let got = answer.header("location").map(str::to_owned);
        // The port is that of the listener with TLS, which is not 443 here.
        let port = format!(":{}", setup.guard.address.port());
        let got = got.map(|got| got.replacen(&port, "", 1));
        assert_eq!(got.as_deref(), location, "{host} {target}");
        let status = if location.is_some() {
            redirected += 1;
            308
        } else {
            misdirected += 1;
            421
        };
        assert_eq!(answer.status, status, "{host} {target}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let answer = setup.ask("POST /x HTTP/1.1\r\nHost: one.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.status, 308);
    assert_eq!(setup.ask("GET / HTTP/1.0\r\n\r\n").status, 421);
    assert_eq!(
        setup.get("one.test", "/healthz", "").status,
        308,
        "nothing is served"
    );
    setup.wait_for_counts(&[
        ("redirected", 308, redirected + 2),
        ("misdirected", 421, misdirected + 1),
        ("leaked", 403, 0),
    ]);
}

#[test]
fn an_address_that_a_certificate_is_for_is_a_name_of_ours() {
    let authority = Authority::new("redirect-ip");
    let names = "DNS:one.test,DNS:192.0.2.7,IP:127.0.0.1,IP:2001:db8::1";
    let issued = authority.issue_as("ip", Key::EcdsaPkcs8, names, 60);
    let port = HeldPort::new();
    let listen = format!("tls:{},redirect:127.0.0.1:0", port.address);
    let variables = [("LISTEN", &*listen), ("ADMIN_LISTEN", "127.0.0.1:0")];
    let setup = Setup {
        guard: guard(&issued, &variables),
        _port: port,
    };
    let at = setup.guard.address.port();
    for (host, name) in [
        ("127.0.0.1", Some("127.0.0.1")),
        ("127.0.0.1:80", Some("127.0.0.1")),
        ("[2001:db8::1]", Some("[2001:db8::1]")),
        ("[2001:DB8:0::1]:80", Some("[2001:db8::1]")),
        ("one.test", Some("one.test")),
        ("127.0.0.2", None),
        ("[::1]", None),
        ("[::ffff:127.0.0.1]", None),
        // What stands there as a DNS name is no address to any client.
        ("192.0.2.7", None),
    ] {
        let answer = setup.get(host, "/a", "");
        let location = name.map(|name| format!("https://{name}:{at}/a"));
        assert_eq!(answer.header("location"), location.as_deref(), "{host}");
        assert_eq!(answer.status, if name.is_some() { 308 } else { 421 });
    }
    let shown = "one.test 192.0.2.7 127.0.0.1 2001:db8::1";
    let variables = [&[("LISTEN", &*listen)], &issued.variables()[..]].concat();
    let output = command()
        .args(["check", "--local"])
        .env("SHARED_SECRET", SECRET)
        .envs(variables)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(shown), "{said}");
    let page = crate::support::metrics::get(setup.guard.second_address(), "/");
    for name in shown.split(' ') {
        assert!(page.contains(name), "{name}: {page}");
    }
}

#[test]
fn a_credential_in_the_clear_is_refused_and_said() {
    let setup = Setup::new("leaked", &[]);
    let field = format!("X-Shared-Secret: {SECRET}\r\n");
    let answer = setup.get("one.test", "/", &field);
    assert_eq!(answer.status, 403);
    assert_eq!(answer.body, br#"{"error":"Use https"}"#);
    let line = setup
        .guard
        .wait_for_log(|line| line.contains("leaked what=secret"));
    assert!(
        line.contains("replace the secret") && !line.contains(SECRET),
        "{line}"
    );
    assert_eq!(
        setup
            .get("one.test", "/", "X-Shared-Secret: wrong\r\n")
            .status,
        308
    );
    setup.wait_for_counts(&[("leaked", 403, 1), ("redirected", 308, 1)]);
}

#[test]
fn who_asks_for_challenges_without_end_does_not_fill_the_log() {
    let webroot = std::env::temp_dir().join(format!("origin-guard-flood-{}", std::process::id()));
    let folder = webroot.join(".well-known/acme-challenge");
    fs::create_dir_all(folder.join("folder")).expect("a folder");
    let setup = Setup::new(
        "acme-flood",
        &[("ACME_WEBROOT", webroot.to_str().expect("UTF-8"))],
    );
    let get = |token: &str| {
        let path = format!("/.well-known/acme-challenge/{token}");
        assert_eq!(setup.get("other.test", &path, "").status, 404);
    };
    // No file has such a name, and nobody has to look for it.
    get(&"a".repeat(256));
    let since = Instant::now();
    let is_limited = || {
        let log = setup.guard.log();
        log.iter()
            .any(|line| line.starts_with("failures_left_out "))
    };
    while !is_limited() {
        assert!(since.elapsed() < PATIENCE, "{:#?}", setup.guard.log());
        get("folder");
    }
    let log = setup.guard.log().join("\n");
    assert!(log.contains("challenge_unreadable token=folder"), "{log}");
    assert!(!log.contains("token=a"), "{log}");
    drop(setup);
    let _ = fs::remove_dir_all(&webroot);
}

#[test]
fn challenges_are_served_from_the_webroot_and_nothing_else_is() {
    let webroot = std::env::temp_dir().join(format!("origin-guard-acme-{}", std::process::id()));
    let folder = webroot.join(".well-known/acme-challenge");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(webroot.join("secret"), "secret").expect("written");
    fs::write(folder.join("token-_1"), "token.print").expect("written");
    fs::write(folder.join("large"), vec![b'x'; 5000]).expect("written");
    fs::write(folder.join("with.dot"), "x").expect("written");
    fs::create_dir_all(folder.join("folder")).expect("a folder");
    symlink(webroot.join("secret"), folder.join("link")).expect("a link");
    let setup = Setup::new(
        "acme",
        &[("ACME_WEBROOT", webroot.to_str().expect("UTF-8"))],
    );
    let get = |path: &str| setup.get("other.test", path, "");
    let answer = get("/.well-known/acme-challenge/token-_1");
    assert_eq!((answer.status, &*answer.body), (200, &b"token.print"[..]));
    assert_eq!(get("/.well-known/acme-challenge/token-_1?a").status, 200);
    for name in [
        "missing",
        "large",
        "with.dot",
        "folder",
        "link",
        "",
        "../secret",
        "..%2fsecret",
    ] {
        let answer = get(&format!("/.well-known/acme-challenge/{name}"));
        assert_eq!(answer.status, 404, "{name}");
    }
    for path in ["/secret", "/.well-known/secret", "/../secret"] {
        assert_eq!(get(path).status, 421, "{path}");
    }
    let file = folder.join("link").display().to_string();
    setup.guard.wait_for_log(|line| {
        line.contains("challenge_unreadable token=link ")
            && line.contains(&file)
            && line.contains("has to be a file that the user that runs origin-guard can read")
    });
    setup.wait_for_counts(&[
        ("challenge", 200, 2),
        ("challenge", 404, 8),
        ("misdirected", 421, 3),
    ]);
    drop(setup);
    let _ = fs::remove_dir_all(&webroot);
}

fn check(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = command()
        .args(["check", "--local"])
        .env("SHARED_SECRET", SECRET)
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    (output.status.code(), complaints(&output.stdout))
}

#[test]
fn plaintext_beyond_this_machine_is_warned_of_unless_it_is_allowed() {
    for (listen, warns) in [
        ("0.0.0.0:8888", true),
        ("[::]:8888", true),
        ("192.0.2.1:80,127.0.0.1:81", true),
        ("127.0.0.1:8888", false),
        ("[::1]:8888", false),
        ("unix:/run/x.sock", false),
    ] {
        let (status, errors) = check(&[("LISTEN", listen)]);
        assert_eq!(status, Some(0), "{errors}");
        let said = errors.contains("LISTEN: the secret crosses the network in the clear");
        assert_eq!(said, warns, "{listen}: {errors}");
        let (_, errors) = check(&[("LISTEN", listen), ("PLAINTEXT", "allow")]);
        assert!(!errors.contains("in the clear"), "{listen}: {errors}");
    }
    // The default is not an exception.
    assert!(check(&[]).1.contains("to 0.0.0.0:8888"));
    let (status, errors) = check(&[("PLAINTEXT", "yes")]);
    assert_eq!(status, Some(78), "{errors}");
}

#[test]
fn what_cannot_redirect_is_said() {
    let (status, errors) = check(&[("LISTEN", "127.0.0.1:1,redirect:127.0.0.1:2")]);
    assert_eq!(status, Some(78));
    assert!(
        errors.contains("TLS_CERT: redirect: sends clients to the names"),
        "{errors}"
    );
    let (_, errors) = check(&[("LISTEN", "redirect:127.0.0.1:2")]);
    assert!(
        errors.contains("LISTEN: redirect: sends clients to https"),
        "{errors}"
    );
    let (_, errors) = check(&[("ADMIN_LISTEN", "redirect:127.0.0.1:2")]);
    assert!(errors.contains("can be in LISTEN alone"), "{errors}");
    let (_, errors) = check(&[("ACME_WEBROOT", "/srv")]);
    assert!(
        errors.contains("ACME_WEBROOT: no address answers for it"),
        "{errors}"
    );
}

#[test]
fn sockets_of_socket_units_have_roles() {
    if !installed("systemd-socket-activate", "run: apt-get install systemd") {
        return;
    }
    let authority = Authority::new("inherited");
    let issued = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let ports = [HeldPort::new(), HeldPort::new(), HeldPort::new()];
    let [plain, tls, redirect] = ports.each_ref().map(|port| port.address);
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg("--fdname=odd:tls:redirect");
    for address in [plain, tls, redirect] {
        activate.args(["-l", &address.to_string()]);
    }
    for (name, value) in issued.variables() {
        activate.args(["-E", &format!("{name}={value}")]);
    }
    activate.args(["-E", &format!("SHARED_SECRET={SECRET}")]);
    activate.arg(env!("CARGO_BIN_EXE_origin-guard"));
    // It starts the guard with the first connection.
    let first = std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        while std::net::TcpStream::connect(plain).is_err() {
            assert!(std::time::Instant::now() < deadline, "nothing listens");
            std::thread::yield_now();
        }
    });
    let mut guard = Guard::spawn(&mut activate);
    first.join().expect("connected");
    guard.wait_for_log(|line| line.contains("FileDescriptorName=odd is unknown"));
    guard.wait_for_log(|line| line.contains(&format!("listening address=tls:{tls}")));
    guard.wait_for_log(|line| line.contains(&format!("listening address=redirect:{redirect}")));
    guard.address = tls;
    let mut client = crate::client::TlsClient::plain(&guard, &authority);
    assert_eq!(client.ask(crate::support::granted_request()).status, 200);
    guard.address = redirect;
    let answer = guard.ask("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.header("location"), Some("https://localhost/a"));
    guard.address = plain;
    guard.assert_serves();
}
