//! Where it listens.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use super::{assert_all_are_named, mistake, sound};
use crate::checked::{Checked, Level::*};
use crate::support::folder::Folder;

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn addresses() {
    let folder = Folder::new("check-addresses");
    let path = |name: &str| format!("unix:{}/{name}", folder.path.display());
    folder.write("file", "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken = taken
        .local_addr()
        .map(|address| (taken, address.to_string()));
    let (_listener, taken) = taken.expect("an address");
    let own = format!("process {}", std::process::id());
    let listen = |value: &str, what: &str, remedy: &'static str| {
        mistake(&[("LISTEN", value)], Fault, "LISTEN", what, remedy)
    };
    let network = |name: &'static str, value: &str, remedy: &'static str| {
        mistake(&[(name, value)], Fault, name, "inside of a network", remedy)
    };
    let wide = |name: &'static str, value: &str, what: &str, remedy: &'static str| {
        mistake(&[(name, value)], Warning, name, what, remedy)
    };
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        path.to_str().expect("UTF-8").to_owned()
    };
    // A writer was interrupted inside of /24.
    let half = file("half", "198.51.100.0/24\n203.0.113.0/2", 0o644);
    let quarter = file("quarter", "198.51.100.0/24\n192.0.0.0/2\n", 0o644);
    let shared = file("shared", "198.51.100.0/24\n", 0o664);
    let mistakes = [
        listen(&taken, &own, "stop what listens there"),
        listen("192.0.2.1:8888", "192.0.2.1:8888", "`ip address`"),
        listen(
            &path(&"x".repeat(110)),
            "and a Unix socket at most",
            "choose a shorter one",
        ),
        listen(&path("none/socket"), "No such file", "make the folder"),
        listen(&path("file"), "not a socket is there", "remove it"),
        listen("unix:socket", "not an absolute path", "unix:/run/"),
        listen("localhost:8111", "not an address", "(0.0.0.0:8111, "),
        listen("8112", "not an address", "write ADDRESS:PORT (0.0.0.0:8112"),
        listen("127.0.0.1:81,127.0.0.1:81", "twice", "name it once"),
        listen(
            "0.0.0.0:81,127.0.0.1:81",
            "0.0.0.0:81 takes",
            "leave 127.0.0.1:81 out",
        ),
        listen(
            "tls:127.0.0.1:0",
            "no certificate",
            "set TLS_CERT and TLS_KEY",
        ),
        listen("none", "listens nowhere", "set GATEWAY_LISTEN"),
        listen(
            "tls://0.0.0.0:443",
            "not an address",
            "write tls:ADDRESS:PORT",
        ),
        listen(
            "https://[::]:8443",
            "not an address",
            "write tls:ADDRESS:PORT (tls:0.0.0.0:8443",
        ),
        listen("http://[::]:80", "not an address", "leave the scheme off"),
        mistake(
            &[("ADMIN_LISTEN", "9101")],
            Fault,
            "ADMIN_LISTEN",
            "not an address",
            "127.0.0.1:9101",
        ),
        mistake(
            &[("GATEWAY_LISTEN", "localhost:9102")],
            Fault,
            "GATEWAY_LISTEN",
            "not an address",
            "127.0.0.1:9102",
        ),
        mistake(
            &[("LISTEN", "0.0.0.0:0")],
            Warning,
            "LISTEN",
            "in the clear",
            "PLAINTEXT=allow",
        ),
        mistake(
            &[("LISTEN", ""), ("PORT", "3000")],
            Warning,
            "PORT",
            "no such variable",
            "LISTEN=0.0.0.0:3000",
        ),
        mistake(
            &[("ADMIN_LISTEN", "0.0.0.0:9123")],
            Fault,
            "ADMIN_LISTEN",
            "from other machines",
            "write 127.0.0.1:9123 or",
        ),
        mistake(
            &[("LISTEN", "127.0.0.1:1"), ("ADMIN_LISTEN", "127.0.0.1:1")],
            Fault,
            "ADMIN_LISTEN",
            "in LISTEN too",
            "an address of its own",
        ),
        mistake(
            &[("GATEWAY_LISTEN", "0.0.0.0:0")],
            Fault,
            "GATEWAY_LISTEN",
            "hold the secret",
            "loopback",
        ),
        mistake(
            &[("SOCKET_MODE", "rw")],
            Fault,
            "SOCKET_MODE",
            "not a mode",
            "0660",
        ),
        mistake(
            &[("SOCKET_MODE", "0666")],
            Warning,
            "SOCKET_MODE",
            "everyone",
            "SOCKET_GROUP",
        ),
        mistake(
            &[("SOCKET_GROUP", "no-such-group")],
            Fault,
            "SOCKET_GROUP",
            "no group",
            "groupadd",
        ),
        mistake(
            &[("TRUSTED_PROXIES", "10.0.0.0/33")],
            Fault,
            "TRUSTED_PROXIES",
            "10.0.0.0/33",
            "write some of these",
        ),
        network("TRUSTED_PROXIES", "10.1.2.3/8", "10.0.0.0/8 for"),
        network("ALLOW_FROM", "203.0.113.0/2", "such as 203.0.0.0/8"),
        network("PROXY_PROTOCOL", "2001:db8::1/32", "2001:db8::/32 for"),
        wide(
            "TRUSTED_PROXIES",
            "::/0",
            "::/0 holds all addresses of IPv6, and the X-Forwarded-For of each is believed",
            "write your proxies alone",
        ),
        wide(
            "PROXY_PROTOCOL",
            "10.0.0.0/8,64.0.0.0/2",
            "64.0.0.0/2 holds a quarter of all addresses of IPv4, and the PROXY header",
            "write your proxies alone",
        ),
        wide(
            "ALLOW_FROM",
            "192.0.2.1,0.0.0.0/0",
            "0.0.0.0/0 holds all addresses of IPv4, so that everyone may connect",
            "write the networks that are meant",
        ),
        wide(
            "ALLOW_FROM",
            "128.0.0.0/1",
            "128.0.0.0/1 holds half of all addresses of IPv4, which may all connect",
            "write the network that is meant",
        ),
        wide(
            "ALLOW_FROM_FILE",
            &quarter,
            "192.0.0.0/2 holds a quarter of all addresses of IPv4",
            "write the network that is meant",
        ),
        mistake(
            &[("ALLOW_FROM_FILE", &half)],
            Fault,
            "ALLOW_FROM_FILE",
            "line 2: \"203.0.113.0/2\" is an address inside",
            "such as 203.0.0.0/8",
        ),
        mistake(
            &[("ALLOW_FROM_FILE", &shared)],
            Warning,
            "ALLOW_FROM_FILE",
            "can be written by its group",
            "chmod go-w",
        ),
        mistake(
            &[("ALLOW_FROM", "10.0.0.0/33")],
            Fault,
            "ALLOW_FROM",
            "10.0.0.0/33",
            "write",
        ),
        mistake(
            &[("ALLOW_FROM_FILE", "/nowhere.txt")],
            Fault,
            "ALLOW_FROM_FILE",
            "No such file",
            "mend its path or mode",
        ),
        mistake(
            &[("PROXY_PROTOCOL", "lb.internal")],
            Fault,
            "PROXY_PROTOCOL",
            "lb.internal",
            "write some of these",
        ),
    ];
    assert_all_are_named(&mistakes);
}

#[test]
fn a_default_is_not_doubted_in_the_place_of_what_is_faulty() {
    for variables in [
        &[("LISTEN", "8888")][..],
        &[("LISTEN", "tls://0.0.0.0:443"), ("REQUIRE", "secret")],
        &[("MAX_CONNECTIONS", "10k")],
    ] {
        let checked = Checked::run(sound().envs(variables.iter().copied()), &[]);
        assert_eq!(checked.report["faults"], 1, "{:#?}", checked.findings());
        assert_eq!(checked.report["warnings"], 0, "{:#?}", checked.findings());
    }
}
