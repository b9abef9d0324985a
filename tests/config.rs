//! The command line and the environment: each fault named, with its exit status.

mod support;

use std::os::unix::fs::MetadataExt as _;
use std::process::Output;

use origin_guard::config::variables::{self, Form};
use origin_guard::notations::NOTATIONS;
use support::folder::Folder;
use support::{Guard, SECRET, command, complaints};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = command();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// What `check --local` prints of the configuration, and what it complains of.
fn check(variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let (status, output, errors) = run(&["check", "--local"], variables);
    assert_eq!(errors, "");
    let complaints = complaints(output.as_bytes());
    (status, output, complaints)
}

#[test]
fn every_faulty_variable_is_named_at_once() {
    let faulty = [
        ("SHARED_SECRET", "tr\u{e4}umerei-0123456789"),
        ("SECRET_HEADER", "X Secret"),
        ("LISTEN", "localhost"),
        ("WORKERS", "0"),
        ("MAX_CONNECTIONS", "many"),
        ("MAX_HEAD_BYTES", "99999999"),
        ("HEAD_TIMEOUT", "0"),
        ("IDLE_TIMEOUT", "-1"),
        ("WRITE_TIMEOUT", "NaN"),
        ("DRAIN_TIMEOUT", "soon"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("ACCESS_LOG", "yes"),
    ];
    for ((status, _, errors), label) in [
        (check(&faulty), "fault"),
        (run(&[], &faulty), "origin-guard"),
    ] {
        assert_eq!(status, Some(78), "{errors}");
        for (name, _) in faulty {
            let line = errors
                .lines()
                .find(|line| line.starts_with(&format!("{label}: {name}: ")));
            assert!(line.is_some(), "{name} is not named: {errors}");
        }
        assert!(errors.contains("byte 3"), "{errors}");
        assert!(!errors.contains("umerei"), "the secret shows: {errors}");
    }
}

#[test]
fn each_fault_says_what_to_do() {
    for (name, value, remedy) in [
        ("LISTEN", "8888", "ADDRESS:PORT"),
        ("LISTEN", "unix:relative", "absolute path"),
        ("LISTEN", "127.0.0.1:1,127.0.0.1:1", "twice"),
        (
            "LISTEN",
            "0.0.0.0:81,127.0.0.1:81",
            "leave 127.0.0.1:81 out",
        ),
        ("SECRET_HEADER", "Content-Length", "another header"),
        ("SECRET_HEADER", "Host", "another header"),
        ("SHARED_SECRET", " padded-0123456789", "space"),
        ("SHARED_SECRET", "two\nlines-0123456789", "line break"),
        ("HEAD_TIMEOUT", "1e300", "0.5"),
        ("HEAD_TIMEOUT", "5m", "such as 10, 0.5 or 75s"),
        ("HEAD_TIMEOUT", "1e3", "such as 10, 0.5 or 75s"),
        ("IDLE_TIMEOUT", "+5", "seconds, whole or with a fraction"),
        (
            "BACKEND_TIMEOUT",
            "40000000",
            "from 0.001 to 31536000 seconds",
        ),
        ("MAX_BODY_BYTES", "10M", "bytes, in digits alone"),
        ("MAX_BODY_BYTES", "+1", "such as 65536"),
        ("RATE_LIMIT", "5/500ms", "in a span of s, m, h or d"),
        ("RATE_LIMIT", "100/2d", "such as 100/1m"),
        ("RATE_LIMIT", "100/1m burst=1k", "digits alone, such as 20"),
        ("WORKERS", "257", "256"),
        ("WORKERS", "+4", "in digits alone"),
        ("MAX_HEAD_BYTES", "64k", "in digits alone, without a unit"),
        ("TRUSTED_PROXIES", "10.0.0.0/+8", "10.0.0.0/8"),
        ("SOCKET_GROUP", "+5", "a number"),
        ("SOCKET_MODE", "+660", "0660"),
        ("SOCKET_MODE", "rw", "0660"),
        ("SOCKET_MODE", "1777", "0777"),
        ("SOCKET_GROUP", "no-such-group", "groupadd"),
    ] {
        let base = [
            ("BACKEND", "http://127.0.0.1:1"),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ];
        let (status, _, errors) = check(&[&base[..], &[(name, value)]].concat());
        assert_eq!(status, Some(78), "{name}={value}: {errors}");
        let fault = format!("fault: {name}: ");
        let named = errors.lines().find(|line| line.starts_with(&fault));
        assert!(
            named.is_some_and(|line| line.contains(remedy)),
            "{name}={value}: {errors}"
        );
    }
}

#[test]
fn check_prints_the_effective_configuration_without_the_secret() {
    let variables = [
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "127.0.0.1:0"),
        ("IDLE_TIMEOUT", "0.5s"),
    ];
    let (status, output, errors) = check(&variables);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for line in [
        "LISTEN=127.0.0.1:0",
        "IDLE_TIMEOUT=0.5s",
        "MAX_CONNECTIONS=10000",
        "DRAIN_TIMEOUT=5",
    ] {
        assert!(
            output.lines().any(|found| found == line),
            "{line}: {output}"
        );
    }
    assert!(!output.contains(SECRET), "{output}");
}

#[test]
fn a_short_secret_earns_a_warning() {
    let (status, _, errors) = check(&[("SHARED_SECRET", "fifteen-bytes-.")]);
    assert_eq!(status, Some(0));
    assert!(
        errors.contains("shorter than 16 bytes") && !errors.contains("fifteen"),
        "{errors}"
    );
    let variables = [
        ("SHARED_SECRET", "sixteen-bytes-.."),
        ("PLAINTEXT", "allow"),
    ];
    let (_, _, errors) = check(&variables);
    assert_eq!(errors, "");
}

#[test]
fn an_address_in_use_is_named() {
    let guard = Guard::start();
    let address = guard.address.to_string();
    let (status, _, errors) = run(&[], &[("SHARED_SECRET", SECRET), ("LISTEN", &address)]);
    assert_eq!(status, Some(1), "{errors}");
    assert!(errors.contains(&address), "{errors}");
}

#[test]
fn a_faulty_command_line_is_named_and_points_to_help() {
    for arguments in [
        &["serv"][..],
        &["--lisen"],
        &["-x"],
        &["check", "again"],
        &["check", "--port=1"],
    ] {
        let (status, output, errors) = run(arguments, &[]);
        assert_eq!(
            (status, output.as_str()),
            (Some(64), ""),
            "{arguments:?}: {errors}"
        );
        assert!(errors.contains("--help"), "{errors}");
    }
    let (_, _, errors) = run(&["serv"], &[]);
    assert!(errors.contains("serv"), "{errors}");
    let (_, _, errors) = run(&["--lisen"], &[]);
    assert!(errors.contains("--lisen"), "{errors}");
}

#[test]
fn help_and_version_are_words_too() {
    for (word, option) in [("help", "--help"), ("version", "--version")] {
        let [by_word, by_option] = [word, option].map(|argument| {
            let output = support::command().arg(argument).output().expect("runs");
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            output.stdout
        });
        assert!(!by_word.is_empty() && by_word == by_option, "{word}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for flag in ["--help", "-h"] {
        let (status, output, _) = run(&[flag], &[]);
        assert_eq!(status, Some(0));
        for name in [
            "SHARED_SECRET",
            "SECRET_HEADER",
            "LISTEN",
            "TRUSTED_PROXIES",
            "DRAIN_TIMEOUT",
            "GATEWAY_LISTEN",
            "API_KEY_HEADER",
            "API_KEYS_FILE",
            "keys rotate ID",
            "demo-backend",
            "check",
        ] {
            assert!(output.contains(name), "{name}");
        }
    }
    for flag in ["--version", "-V"] {
        let version = format!("origin-guard {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(run(&[flag], &[]), (Some(0), version, String::new()));
    }
}

#[test]
fn the_files_that_it_carries_are_listed_and_printed() {
    let (status, list, _) = run(&["print"], &[]);
    assert_eq!(status, Some(0));
    for line in list.lines() {
        let name = line.split(' ').next().expect("a name");
        let (status, text, faults) = run(&["print", name], &[]);
        assert_eq!((status, faults.as_str()), (Some(0), ""), "{name}");
        // JSON has no comments.
        let says = text.starts_with(['#', '-', '.'])
            || text.contains(&format!("by `origin-guard print {name}`"));
        assert!(says, "{name} says what it is: {text}");
    }
    let (status, text, faults) = run(&["print", "mail"], &[]);
    assert_eq!((status, text.as_str()), (Some(64), ""));
    assert!(faults.contains("\"mail\"") && faults.contains("origin-guard print"));
}

#[test]
fn a_misspelt_variable_earns_a_warning_that_names_the_right_one() {
    for (written, meant) in [
        ("SHARED_SECERT", "SHARED_SECRET"),
        ("LISTEN_ADDRESS", "LISTEN"),
        ("max_conections", "MAX_CONNECTIONS"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("TLS_CERTIFICATE", "TLS_CERT"),
        ("ADMIN_ADDRESS", "ADMIN_LISTEN"),
    ] {
        let variables = [
            ("SHARED_SECRET", SECRET),
            ("PLAINTEXT", "allow"),
            (written, "hush-0123456789abcdef"),
        ];
        let (status, _, errors) = check(&variables);
        assert_eq!(status, Some(0), "{errors}");
        let wanted = format!("warning: {written}: origin-guard has no such variable; ");
        assert_eq!(errors, format!("{wanted}did you mean {meant}?\n"));
    }
    let foreign = [
        ("SHARED_SECRET", SECRET),
        ("PLAINTEXT", "allow"),
        ("PATH", "/bin"),
        ("LISTEN_FDS", "0"),
        ("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        ("LOG_LEVEL", "info"),
        ("ORIGINAL_PATH", "/bin"),
        ("API_KEY", "hush-0123456789abcdef"),
    ];
    assert_eq!(check(&foreign).2, "");
}

#[test]
fn the_table_of_variables_is_what_help_and_the_documentation_say() {
    let (_, help, _) = run(&["--help"], &[]);
    for line in help.lines() {
        assert!(line.len() <= 96, "{line}");
    }
    for variable in variables::VARIABLES {
        let line = format!("  {:<22} {}", variable.name, variable.help);
        assert!(help.lines().any(|found| found == line), "{line}");
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(page).expect("readable");
    assert!(page == variables::markdown(), "make docs writes it anew");
}

#[test]
fn values_are_written_as_the_documentation_says() {
    let base = [
        ("BACKEND", "http://127.0.0.1:1"),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
    ];
    let is_of = |form: Form, notation: &str| match form {
        Form::Seconds => notation == "duration",
        Form::Bytes => notation == "size",
        Form::Rate => notation == "rate",
        Form::Networks => notation == "network",
        _ => false,
    };
    // tests/cli.rs holds spans against the options that take them.
    for notation in NOTATIONS.iter().filter(|notation| notation.name != "span") {
        let all = variables::VARIABLES.iter();
        let names: Vec<_> = all
            .filter(|variable| is_of(variable.form, notation.name))
            .map(|variable| variable.name)
            .collect();
        assert!(!names.is_empty(), "{}", notation.name);
        for (values, is_taken) in [(notation.taken, true), (notation.refused, false)] {
            for (name, value) in names
                .iter()
                .flat_map(|name| values.iter().map(move |value| (*name, *value)))
            {
                let (_, _, complaints) = check(&[&base[..], &[(name, value)]].concat());
                let fault = format!("fault: {name}: ");
                let is_refused = complaints.lines().any(|line| line.starts_with(&fault));
                assert_ne!(is_refused, is_taken, "{name}={value}: {complaints}");
            }
        }
    }
}

#[test]
fn check_prints_every_variable_that_has_a_value() {
    let folder = Folder::new("every");
    let keys = folder.path.join("keys.json").display().to_string();
    let variables = [
        ("SHARED_SECRET", SECRET),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("API_KEYS_FILE", &keys),
    ];
    let added = run(&["keys", "add", "alice"], &variables);
    assert_eq!(added.0, Some(0), "{added:?}");
    let (_, output, _) = check(&variables);
    // The table names no variable that nobody reads.
    for variable in variables::VARIABLES {
        let shown = matches!(variable.form, Form::Secret) || variable.name == "SHARED_SECRET_FILE";
        let start = format!("{}=", variable.name);
        let found = output.lines().any(|line| line.starts_with(&start));
        assert_eq!(found, !shown, "{}: {output}", variable.name);
    }
}

#[test]
fn headers_that_mean_something_else_hold_neither_secret_nor_key() {
    let gateway = [
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "none"),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
    ];
    let origin = [gateway.as_slice(), &[("ORIGIN", "http://127.0.0.1:1")]].concat();
    let cases: [(&[_], &str, &str); 6] = [
        (&gateway, "SECRET_HEADER", "Authorization"),
        (&gateway, "API_KEY_HEADER", "X_Shared.Secret"),
        (&origin, "SECRET_HEADER", "Cookie"),
        (&origin, "SECRET_HEADER", "Transfer.Encoding"),
        (&origin, "API_KEY_HEADER", "X_Consumer"),
        (&origin, "API_KEY_HEADER", "CDN-Loop"),
    ];
    for (variables, name, header) in cases {
        let variables = [variables, &[(name, header)]].concat();
        let (status, _, errors) = check(&variables);
        assert_eq!(status, Some(78), "{name}={header}: {errors}");
        assert!(errors.contains(header), "{name}={header}: {errors}");
    }
}

#[test]
fn serve_is_a_command() {
    let mut command = command();
    command.arg("serve").env("LISTEN", "127.0.0.1:0");
    command.env("SHARED_SECRET", SECRET);
    Guard::spawn(&mut command).assert_serves();
}

#[test]
fn a_full_disk_is_named() {
    for arguments in [
        &["print", "unit"][..],
        &["print"],
        &["keygen"],
        &["check", "--local"],
        &["--help"],
    ] {
        let full = std::fs::File::create("/dev/full").expect("opened");
        let output = command()
            .args(arguments)
            .env("SHARED_SECRET", SECRET)
            .stdout(full)
            .output()
            .expect("runs");
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(
            errors.contains("standard output") && errors.contains("No space left"),
            "{arguments:?}: {errors}"
        );
    }
}

#[test]
fn a_unix_path_is_as_long_as_the_system_allows() {
    let folder = Folder::new("long");
    let length = 107 - folder.path.as_os_str().len() - 1;
    let longest = folder.path.join("s".repeat(length));
    let longest = format!("unix:{}", longest.display());
    let too_long = format!("{longest}s");
    for name in ["LISTEN", "ADMIN_LISTEN", "GATEWAY_LISTEN"] {
        let (status, _, errors) = check(&[(name, &too_long)]);
        assert_eq!(status, Some(78), "{errors}");
        assert!(errors.contains(name) && errors.contains("107"), "{errors}");
    }
    // What `check` passes can be bound.
    Guard::with(&[("LISTEN", &longest)]);
}

#[test]
fn sockets_are_the_owner_s_and_the_group_s() {
    let folder = Folder::new("access");
    let path = folder.path.join("socket");
    let listen = format!("unix:{}", path.display());
    let mode = || std::fs::metadata(&path).expect("a socket").mode() & 0o777;
    let guard = Guard::with(&[("LISTEN", &listen)]);
    assert_eq!(mode(), 0o660);
    drop(guard);
    std::fs::remove_file(&path).expect("removed");
    let guard = Guard::with(&[
        ("LISTEN", &listen),
        ("SOCKET_MODE", "0666"),
        ("SOCKET_GROUP", "daemon"),
    ]);
    assert_eq!(mode(), 0o666);
    guard.wait_for_log(|line| line.starts_with("warning SOCKET_MODE: 0666 lets everyone"));
    let groups = std::fs::read_to_string("/etc/group").expect("readable");
    let daemon = groups.lines().find(|line| line.starts_with("daemon:"));
    let id = daemon.and_then(|line| line.split(':').nth(2));
    let group = std::fs::metadata(&path)
        .expect("a socket")
        .gid()
        .to_string();
    assert_eq!(id, Some(group.as_str()));
}

#[test]
fn more_workers_than_cores_earn_a_warning() {
    let (status, _, errors) = check(&[("WORKERS", "256"), ("SHARED_SECRET", SECRET)]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(errors.contains("WORKERS: 256 threads share"), "{errors}");
}

#[test]
fn both_wildcards_of_a_port_are_listened_at() {
    let free = std::net::TcpListener::bind("[::]:0").expect("bound");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let listen = format!("0.0.0.0:{port},[::]:{port}");
    let mut guard = Guard::with(&[("SHARED_SECRET", SECRET), ("LISTEN", &listen)]);
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        guard.address = address.parse().expect("an address");
        guard.assert_serves();
    }
    drop(guard);
    // Alone the wildcard of IPv6 takes IPv4, too.
    let mut guard = Guard::with(&[("SHARED_SECRET", SECRET), ("LISTEN", "[::]:0")]);
    guard.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    guard.assert_serves();
}

#[test]
fn what_another_listener_takes_is_named() {
    for (variables, name, said) in [
        (
            &[("LISTEN", "[::]:81,127.0.0.1:81")][..],
            "LISTEN: ",
            "[::]:81 takes what is sent to 127.0.0.1:81 too; leave 127.0.0.1:81 out",
        ),
        (
            &[("ADMIN_LISTEN", "127.0.0.1:8888")],
            "ADMIN_LISTEN: ",
            "0.0.0.0:8888 takes what is sent to 127.0.0.1:8888 too",
        ),
        (
            &[
                ("LISTEN", "0.0.0.0:81,[::]:81"),
                ("ADMIN_LISTEN", "[::1]:81"),
            ],
            "ADMIN_LISTEN: ",
            "[::]:81 takes",
        ),
    ] {
        let (status, _, errors) = check(variables);
        assert_eq!(status, Some(78), "{variables:?}: {errors}");
        let line = errors.lines().find(|line| line.contains(name));
        assert!(line.is_some_and(|line| line.contains(said)), "{errors}");
    }
}

/// `check` names who has the address, and so does the start.
#[test]
fn an_address_that_is_taken_is_named_with_its_holder() {
    let folder = Folder::new("config-taken");
    let path = folder.path.join("socket");
    let _unix = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = tcp.local_addr().expect("an address").port();
    let name = std::fs::read_to_string("/proc/self/comm").expect("readable");
    let holder = format!("by {} (process {})", name.trim(), std::process::id());
    for listen in [
        format!("127.0.0.1:{port}"),
        // A wildcard takes the port of every address.
        format!("0.0.0.0:{port}"),
        format!("unix:{}", path.display()),
    ] {
        let variables = [("SHARED_SECRET", SECRET), ("LISTEN", &*listen)];
        let (status, _, errors) = run(&[], &variables);
        assert_eq!(status, Some(1), "{errors}");
        let line = errors.lines().find(|line| line.contains("failed "));
        let line = line.unwrap_or_else(|| panic!("no failure in {errors}"));
        for named in [&*listen, &*holder, "; stop what listens there, or choose"] {
            assert!(line.contains(named), "{named}: {line}");
        }
    }
}
