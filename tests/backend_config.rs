//! The variables of the backend: each fault is named, and `check` prints what is open.

mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};

use support::folder::Folder;
use support::{Guard, SECRET, command, complaints};

const BACKEND: (&str, &str) = ("BACKEND", "http://127.0.0.1:3000");

/// The exit status of `check`, and what it says on its two streams.
fn check(variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command()
        .args(["check", "--local"])
        .env("SHARED_SECRET", SECRET)
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    assert_eq!(text(stderr), "");
    let complaints = complaints(&stdout);
    (status.code(), text(stdout), complaints)
}

#[test]
fn each_fault_names_its_variable_and_the_remedy() {
    for (name, value, remedy) in [
        ("BACKEND", "127.0.0.1:3000", "write http://127.0.0.1:3000"),
        ("BACKEND", "https://app.example", "set ORIGIN"),
        (
            "BACKEND",
            "http://127.0.0.1:3000/api",
            "leave off what stands behind the port",
        ),
        ("BACKEND", "http://a:1,http://a:1", "name it once"),
        ("BACKEND", "http://unix:app.sock", "http://unix:/path"),
        ("PUBLIC_PATHS", "healthz", "does not begin with /"),
        ("PUBLIC_PATHS", "/a,/a", "name it once"),
        ("PUBLIC_PATHS", "/a?b", "write the path alone"),
        ("PUBLIC_PATHS", "/a b", "byte 3"),
        ("PUBLIC_PATHS", "/static/*", "byte for byte"),
        ("PUBLIC_PATHS", "/a,", "does not begin with /"),
        ("MAX_BODY_BYTES", "0", "leave it out for no limit"),
        ("MAX_BODY_BYTES", "10M", "digits alone"),
        ("BODY_TIMEOUT", "0", "0.5"),
        ("BACKEND_CONNECT_TIMEOUT", "soon", "0.5"),
        ("BACKEND_TIMEOUT", "-1", "0.5"),
        ("BACKEND_IDLE_TIMEOUT", "NaN", "0.5"),
        ("TUNNEL_IDLE_TIMEOUT", "1h", "0.5"),
        ("SECRET_HEADER", "Authorization", "choose another header"),
        ("SECRET_HEADER", "X_Forwarded_For", "choose another header"),
        ("SECRET_HEADER", "Content-Secret", "choose another header"),
    ] {
        let (status, _, errors) = check(&[BACKEND, (name, value)]);
        assert_eq!(status, Some(78), "{name}={value}: {errors}");
        let named = errors
            .lines()
            .find(|line| line.starts_with(&format!("fault: {name}: ")));
        assert!(
            named.is_some_and(|line| line.contains(remedy)),
            "{name}={value}: {errors}"
        );
    }
}

#[test]
fn a_backend_that_is_the_guard_itself_is_a_fault() {
    for (listen, backend, other) in [
        ("0.0.0.0:8888", "http://127.0.0.1:8888", ("ACCESS_LOG", "0")),
        ("[::]:8888", "http://localhost:8888", ("ACCESS_LOG", "0")),
        ("", "http://127.0.0.1:8888", ("ACCESS_LOG", "0")),
        (
            "unix:/run/a.sock",
            "http://unix:/run/a.sock",
            ("ACCESS_LOG", "0"),
        ),
        (
            "127.0.0.1:8888",
            "http://127.0.0.1:9000,http://127.0.0.1:9100",
            ("ADMIN_LISTEN", "127.0.0.1:9100"),
        ),
        (
            "127.0.0.1:8888",
            "http://127.0.0.1:9000,http://127.0.0.1:9100",
            ("GATEWAY_LISTEN", "127.0.0.1:9100"),
        ),
    ] {
        let (status, _, errors) = check(&[("LISTEN", listen), ("BACKEND", backend), other]);
        assert_eq!(status, Some(78), "{listen} {backend}: {errors}");
        assert!(
            errors.contains("BACKEND: ") && errors.contains("is the guard itself"),
            "{errors}"
        );
    }
    let (status, _, errors) = check(&[("LISTEN", "127.0.0.1:8888"), BACKEND]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
}

/// Runs the program with a socket as `systemd-socket-activate` passes it, and returns its exit
/// status and what it says.
fn activated(
    socket: BorrowedFd<'_>,
    name: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).expect("inherited");
    // The shell passes it on as the third file, and its own process id.
    let line = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$GUARD\" \"$@\" 3<&\"$SOCKET\"";
    // A guard that starts all the same would run for ever.
    let output = std::process::Command::new("timeout")
        .args(["--signal=KILL", "30", "bash", "-c", line, "bash"])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LISTEN_FDNAMES", name)
        .env("SOCKET", socket.as_raw_fd().to_string())
        .env("GUARD", env!("CARGO_BIN_EXE_origin-guard"))
        .env("SHARED_SECRET", SECRET)
        .env("PLAINTEXT", "allow")
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

/// What `check --unit` finds as the unit's user, where a socket unit opens `address`.
fn within_unit(name: &str, address: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let surroundings = format!(
        r#"{{"sockets":[{{"unit":"a.socket","name":"{name}","address":"{address}"}}],
            "held":[],"has_no_network":false,"memory":null}}"#
    );
    let mut child = command()
        .args(["check", "--within-unit"])
        .env("SHARED_SECRET", SECRET)
        .env("PLAINTEXT", "allow")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(surroundings.as_bytes()).expect("passed on");
    drop(stdin);
    let output = child.wait_with_output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

/// Whether it is a fault of `variable` that `url` is the guard itself at `address`, said once.
#[track_caller]
fn assert_is_itself(said: &str, variable: &str, url: &str, address: &str) {
    let fault =
        format!("{variable}: {url} is the guard itself, which listens on {address} (socket unit)");
    assert_eq!(said.matches(&fault).count(), 1, "{fault}: {said}");
    assert_eq!(
        said.matches(&format!("{variable}: {url}")).count(),
        1,
        "{said}"
    );
}

#[test]
fn what_a_socket_unit_opens_is_no_place_to_forward_to() {
    // A gateway may forward to the guard that it is itself, and to nothing else of its own.
    for (name, kind, is_origin) in [
        ("plain", "", true),
        ("tls", "tls:", true),
        ("gateway", "", false),
        ("gateway-tls", "tls:", false),
        ("redirect", "redirect:", false),
        ("admin", "", false),
    ] {
        for (bound, host) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.2"),
            ("[::]:0", "localhost"),
        ] {
            let socket = TcpListener::bind(bound).expect("bound");
            let address = socket.local_addr().expect("an address");
            let place = format!("{host}:{}", address.port());
            let url = format!("http://{place}");
            let address = format!("{kind}{address}");
            for variable in ["BACKEND", "ORIGIN"] {
                // LISTEN has no part in it, and the gateway is there in each case.
                let variables = [
                    (variable, url.as_str()),
                    ("LISTEN", "127.0.0.1:0"),
                    ("GATEWAY_LISTEN", "127.0.0.1:0"),
                    ("ADMIN_ALLOW_REMOTE", "1"),
                ];
                let checks: [&[&str]; 3] = [&["check", "--local"], &["check"], &[]];
                let outcomes = if variable == "ORIGIN" && is_origin {
                    vec![activated(socket.as_fd(), name, checks[0], &variables)]
                } else {
                    let all = checks.iter();
                    let all = all.map(|check| activated(socket.as_fd(), name, check, &variables));
                    let opened = address.strip_prefix(kind).expect("its kind");
                    let unit = within_unit(name, opened, &variables);
                    all.chain([unit]).collect()
                };
                for (status, said) in outcomes {
                    if variable == "ORIGIN" && is_origin {
                        assert!(!said.contains("is the guard itself"), "{name}: {said}");
                    } else {
                        assert_eq!(status, Some(78), "{name} {variable}: {said}");
                        assert_is_itself(&said, variable, &place, &address);
                    }
                }
            }
        }
    }
}

#[test]
fn a_unix_socket_of_a_socket_unit_is_no_place_to_forward_to() {
    let folder = Folder::new("own-socket");
    let (real, link) = (folder.path.join("run"), folder.path.join("link"));
    std::fs::create_dir(&real).expect("made");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    let path = real.join("guard.sock");
    let socket = UnixListener::bind(&path).expect("bound");
    // /var/run is /run.
    let place = format!("unix:{}", link.join("guard.sock").display());
    let url = format!("http://{place}");
    let address = format!("unix:{}", path.display());
    for (variable, name) in [
        ("BACKEND", "plain"),
        ("BACKEND", "gateway"),
        ("BACKEND", "admin"),
        ("ORIGIN", "gateway"),
        ("ORIGIN", "admin"),
    ] {
        let variables = [
            (variable, url.as_str()),
            ("LISTEN", "127.0.0.1:0"),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ];
        for arguments in [&["check"][..], &[]] {
            let (status, said) = activated(socket.as_fd(), name, arguments, &variables);
            assert_eq!(status, Some(78), "{name} {variable}: {said}");
            assert_is_itself(&said, variable, &place, &address);
        }
    }
}

#[test]
fn what_a_socket_unit_opens_in_the_clear_is_warned_of() {
    let (origin, plain) = (("ORIGIN", "http://127.0.0.1:1"), ("PLAINTEXT", ""));
    let variables = [origin, plain, ("LISTEN", "127.0.0.1:0")];
    for (name, address, warning) in [
        ("plain", "0.0.0.0:1", Some("LISTEN: the secret crosses")),
        (
            "gateway",
            "0.0.0.0:1",
            Some("GATEWAY_LISTEN: API keys cross"),
        ),
        ("gateway", "127.0.0.1:1", None),
        ("gateway-tls", "0.0.0.0:1", None),
    ] {
        let (_, said) = within_unit(name, address, &variables);
        match warning {
            Some(warning) => {
                let warning = format!("warning: {warning} the network in the clear to {address};");
                assert!(said.contains(&warning), "{name}: {said}");
            }
            None => assert!(!said.contains("in the clear"), "{name}: {said}"),
        }
    }
}

#[test]
fn check_prints_what_is_guarded_and_what_is_open() {
    let (status, output, errors) = check(&[
        (
            "BACKEND",
            "http://127.0.0.1:3000/, http://unix:/run/app.sock",
        ),
        ("PUBLIC_PATHS", "/healthz, /favicon.ico"),
        ("MAX_BODY_BYTES", "1000000"),
        ("PLAINTEXT", "allow"),
    ]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for line in [
        "open=GET and HEAD of /healthz, /favicon.ico, without a secret",
        "MAX_BODY_BYTES=1000000",
        "BODY_TIMEOUT=30",
        "BACKEND_CONNECT_TIMEOUT=2",
        "BACKEND_TIMEOUT=60",
        "BACKEND_IDLE_TIMEOUT=1.5",
        "TUNNEL_IDLE_TIMEOUT=3600",
    ] {
        assert!(
            output.lines().any(|found| found == line),
            "{line}: {output}"
        );
    }
    let (_, output, _) = check(&[BACKEND]);
    assert!(!output.contains("open="), "{output}");
}

#[test]
fn public_paths_without_a_backend_earn_a_warning() {
    let (status, output, errors) = check(&[("PUBLIC_PATHS", "/healthz")]);
    assert_eq!(status, Some(0));
    assert!(
        errors.contains("PUBLIC_PATHS: it opens nothing without BACKEND"),
        "{errors}"
    );
    assert!(!output.contains("open="), "{output}");
}

#[test]
fn a_name_that_is_not_resolved_is_a_warning_and_no_hindrance() {
    // No resolver knows a name of this domain (RFC 6761, section 6.4).
    let guard = Guard::with(&[
        ("SHARED_SECRET", SECRET),
        ("BACKEND", "http://app.invalid:3000"),
    ]);
    guard.wait_for_log(|line| {
        line.contains("backend_unresolved backend=app.invalid:3000 in_use=none")
    });
}
