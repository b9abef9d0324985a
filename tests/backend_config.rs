//! The variables of the backend: each fault is named, and `check` prints what is open.

mod support;

use std::process::Output;

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

#[test]
fn an_inherited_socket_that_is_the_backend_is_found_at_the_start() {
    use std::os::fd::AsRawFd as _;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = socket.local_addr().expect("an address").port();
    // The shell passes the socket on as the third file, and its own process id.
    let line = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$GUARD\" 3<&\"$SOCKET\"";
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("inherited");
    let output = std::process::Command::new("bash")
        .args(["-c", line])
        .env_clear()
        .env("SOCKET", socket.as_raw_fd().to_string())
        .env("GUARD", env!("CARGO_BIN_EXE_origin-guard"))
        .env("SHARED_SECRET", SECRET)
        .env("BACKEND", format!("http://127.0.0.1:{port}"))
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("it is the guard itself"), "{errors}");
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
