//! `origin-guard check --unit`: the unit's settings, not the shell's, as its own user.

use std::process::Output;

use crate::machine::Machine;
use crate::{SECRET_FILE, installed};

/// What it says, with standard error first, and its exit status.
fn check(machine: &Machine, options: &str) -> (Option<i32>, String) {
    // The shell's own variables would be faults.
    let line = format!("LISTEN=nonsense WORKERS=0 origin-guard check {options}");
    let Output {
        status,
        stdout,
        stderr,
    } = machine.try_sh(&line);
    let said = [stderr, stdout].concat();
    let said = String::from_utf8(said).expect("UTF-8");
    (status.code(), said)
}

fn check_unit(machine: &Machine) -> (Option<i32>, String) {
    check(machine, "--unit origin-guard.service")
}

fn drop_in(machine: &Machine, lines: &str) {
    machine.write(
        "/etc/systemd/system/origin-guard.service.d/test.conf",
        &format!("[Service]\n{lines}\n"),
    );
    machine.sh("systemctl daemon-reload");
}

fn assert_says(said: &(Option<i32>, String), status: i32, lines: &[&str]) {
    assert_eq!(said.0, Some(status), "{}", said.1);
    for line in lines {
        let holds = |found: &str| line.split("...").all(|part| found.contains(part));
        assert!(said.1.lines().any(holds), "{line}: {}", said.1);
    }
}

#[test]
fn a_unit_with_its_sockets_is_in_order_before_and_after_its_start() {
    let Some(machine) = installed() else { return };
    drop_in(&machine, "Environment=PLAINTEXT=allow \"PUBLIC_PATHS=\"");
    machine.sh("systemctl enable origin-guard.socket origin-guard.service");
    let said = check_unit(&machine);
    assert_says(
        &said,
        0,
        &["warning: origin-guard.socket: ...systemctl start"],
    );
    let free = check_unit(&machine).1;
    assert!(free.ends_with("1 warning\n"), "{free}");
    machine.sh("systemctl start origin-guard.socket origin-guard");
    for options in [
        "--unit origin-guard --strict",
        "--unit origin-guard --strict --local",
    ] {
        let said = check(&machine, options);
        assert_says(&said, 0, &["PLAINTEXT=allow", "MAX_CONNECTIONS=1000"]);
        assert!(said.1.ends_with("\nok\n"), "{}", said.1);
    }
    let said = check_unit(&machine);
    assert_says(
        &said,
        0,
        &["systemd opens 0.0.0.0:8888 (origin-guard.socket)"],
    );
    // An address that the socket unit has cannot be the service's, too.
    drop_in(&machine, "Environment=LISTEN=0.0.0.0:8888");
    let said = check_unit(&machine);
    let line = "LISTEN: ...0.0.0.0:8888 (origin-guard.socket) already...leave it out of LISTEN";
    assert_says(&said, 78, &[line, "1 fault"]);
    // systemd looks at the unit in the same way each time that it starts, and is silent.
    let journal = machine.journal();
    assert!(!journal.contains("warning: "), "{journal}");
    let (status, said) = check(&machine, "--unit none.service");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("no unit none.service"), "{said}");
}

#[test]
fn relative_paths_begin_where_the_unit_says() {
    let Some(machine) = installed() else { return };
    let settings = "Environment=LISTEN=127.0.0.1:9000 ALLOW_FROM_FILE=allowed";
    machine.write("/etc/origin-guard/allowed", "192.0.2.0/24\n");
    drop_in(&machine, settings);
    assert_says(
        &check_unit(&machine),
        78,
        &["ALLOW_FROM_FILE: ...No such file"],
    );
    let folder = "WorkingDirectory=-/etc/origin-guard";
    drop_in(&machine, &format!("{settings}\n{folder}"));
    assert_says(&check_unit(&machine), 0, &["ALLOW_FROM_FILE=allowed"]);
}

#[test]
fn what_the_service_listens_at_by_itself_is_in_order() {
    let Some(machine) = installed() else { return };
    let listen = "127.0.0.1:9000,unix:/run/origin-guard/own.sock";
    drop_in(&machine, &format!("Environment=LISTEN={listen}"));
    machine.sh("systemctl enable --now origin-guard");
    let said = check_unit(&machine);
    assert_says(
        &said,
        0,
        &[
            "127.0.0.1:9000 is the running service's",
            "unix:/run/origin-guard/own.sock is the running service's",
            "ok",
        ],
    );
    assert!(machine.path("/run/origin-guard/own.sock").exists());
    machine.sh("systemctl stop origin-guard");
    let said = check_unit(&machine);
    assert_says(&said, 0, &["own.sock is free", "ok"]);
    assert!(
        !machine.path("/run/origin-guard").exists(),
        "nothing is left"
    );
    // From the shell they are held by a guard that may be this one.
    machine.sh("systemctl start origin-guard");
    let from_shell = |listen: &str| {
        let secret = "SHARED_SECRET=a-secret-of-the-shell-0123456789";
        let said = machine.try_sh(&format!("{secret} LISTEN={listen} origin-guard check"));
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        (said.status.code(), text)
    };
    let held = "warning: LISTEN: 127.0.0.1:9000 and unix:/run/origin-guard/own.sock are held by a \
                running origin-guard (process ...): in order if that is this one...--local...--unit \
                origin-guard.service";
    assert_says(&from_shell(listen), 0, &[held, "1 warning"]);
    // Or by systemd, before the service is started.
    machine.sh("systemctl stop origin-guard; systemctl start origin-guard.socket");
    let held = "warning: LISTEN: 0.0.0.0:8888 is held by systemd for a socket unit: in order if \
                that is this guard's...list-sockets...--unit origin-guard.service";
    assert_says(&from_shell("0.0.0.0:8888"), 0, &[held]);
}

#[test]
fn a_drop_in_s_mistakes_are_named() {
    let Some(machine) = installed() else { return };
    machine
        .sh("sysctl -qw net.ipv4.ip_unprivileged_port_start=1024; systemctl enable origin-guard");
    machine.write("/etc/default/guard", "export ACCESS_LOG=1\n");
    drop_in(
        &machine,
        "Environment=MAX_CONECTIONS=5 \"LISTEN=127.0.0.1:80\" SHARED_SECRET_PREVIOUS=hush\n\
         EnvironmentFile=/etc/default/guard\nMemoryMax=20M\nLimitNOFILE=512",
    );
    assert_says(
        &check_unit(&machine),
        78,
        &[
            "warning: MAX_CONECTIONS: ...did you mean MAX_CONNECTIONS?",
            "fault: LISTEN: 127.0.0.1:80: Permission denied...print socket",
            "warning: SHARED_SECRET_PREVIOUS: ...which every user can read...LoadCredential",
            "warning: EnvironmentFile: /etc/default/guard, line 1: ...without export",
            "warning: MAX_CONNECTIONS: 1000 ...the limit is 512...LimitNOFILE=",
            "warning: MAX_CONNECTIONS: ...past 20 MiB...MemoryMax=",
        ],
    );
    drop_in(&machine, "EnvironmentFile=/etc/default/none");
    machine.write(
        "/etc/systemd/system/origin-guard.service.d/later.conf",
        "[Unit]\n",
    );
    assert_says(
        &check_unit(&machine),
        78,
        &[
            "fault: EnvironmentFile: /etc/default/none cannot be read...write it",
            "warning: origin-guard.service: ...have changed...systemctl daemon-reload",
        ],
    );
    drop_in(&machine, "DynamicUser=no\nUser=nobody-is-called-so");
    assert_says(&check_unit(&machine), 78, &["status=217 USER...useradd"]);
    drop_in(&machine, "ExecStart=\nExecStart=/opt/none");
    assert_says(&check_unit(&machine), 78, &["/opt/none...install -m 0755"]);
}

#[test]
fn a_credential_that_is_missing_is_named() {
    let Some(machine) = installed() else { return };
    machine.sh(&format!("rm {SECRET_FILE}; systemctl enable origin-guard"));
    let said = check_unit(&machine);
    let line = "fault: LoadCredential: the credential shared-secret: \
                /etc/origin-guard/shared-secret cannot be read...keygen";
    assert_says(&said, 78, &[line]);
    assert!(!said.1.contains("SHARED_SECRET: "), "{}", said.1);
    // And one that holds something else is looked at as the service finds it.
    machine.write(SECRET_FILE, "SHARED_SECRET=hush\n");
    machine.sh(&format!("chmod 644 {SECRET_FILE}"));
    let said = check_unit(&machine);
    let line = "warning: LoadCredential: ...can be read by everyone...chmod 600";
    assert_says(&said, 78, &[line]);
    assert_says(
        &said,
        78,
        &["line 1: it looks like an assignment...write the value alone"],
    );
    assert!(!said.1.contains("hush"), "{}", said.1);
}

#[test]
fn a_file_that_the_service_s_user_cannot_read_is_named() {
    let Some(machine) = installed() else { return };
    machine.write("/etc/guard/keys.json", "{\"version\":1,\"keys\":[]}");
    machine.sh("chmod 600 /etc/guard/keys.json; systemctl enable origin-guard");
    drop_in(
        &machine,
        "Environment=GATEWAY_LISTEN=127.0.0.1:9001 API_KEYS_FILE=/etc/guard/keys.json\n\
         Environment=LISTEN=none",
    );
    // Root can; the service's user cannot.
    let line = "fault: API_KEYS_FILE: /etc/guard/keys.json cannot be read: Permission \
                denied...mend its path or mode";
    assert_says(&check_unit(&machine), 78, &[line]);
    machine.sh("chmod 644 /etc/guard/keys.json");
    assert_says(
        &check_unit(&machine),
        0,
        &["warning: API_KEYS_FILE: ...by everyone"],
    );
}

#[test]
fn a_service_without_a_network_reaches_nobody_by_tcp() {
    let Some(machine) = installed() else { return };
    machine.take_the_network_away();
    drop_in(
        &machine,
        "Environment=LISTEN=127.0.0.1:9000 BACKEND=http://127.0.0.1:3000",
    );
    assert_says(
        &check_unit(&machine),
        78,
        &[
            "LISTEN: 127.0.0.1:9000: the unit has no network...origin-guard print socket",
            "BACKEND: 127.0.0.1:3000: the unit has no network...http://unix:/run/",
        ],
    );
    // As another user it says that root is needed.
    let said = machine.try_sh(
        "setpriv --reuid=65534 --regid=65534 --clear-groups \
         origin-guard check --unit origin-guard.service",
    );
    let errors = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{errors}");
    assert!(errors.contains("run this as root"), "{errors}");
}

#[test]
fn socket_units_that_lead_elsewhere_are_named() {
    let Some(machine) = installed() else { return };
    for (name, listen) in [
        ("odd", "127.0.0.1:7001"),
        ("gateway", "0.0.0.0:7002"),
        ("admin", "/run/odd-admin.sock"),
    ] {
        machine.write(
            &format!("/etc/systemd/system/test-{name}.socket"),
            &format!(
                "[Socket]\nListenStream={listen}\nFileDescriptorName={name}\n\
                 Service=origin-guard.service\n"
            ),
        );
        machine.sh(&format!(
            "systemctl daemon-reload; systemctl start test-{name}.socket"
        ));
    }
    assert_says(
        &check_unit(&machine),
        78,
        &[
            "warning: socket unit: FileDescriptorName=odd is unknown...write plain, tls",
            "fault: socket unit: ...listens on 0.0.0.0:7002...to a loopback address",
            "warning: test-admin.socket: everyone...unix:/run/odd-admin.sock...SocketMode=0660",
            "warning: API_KEYS_FILE: it is not set...keys add",
            "note: socket unit: systemd opens 127.0.0.1:7001 (test-odd.socket)",
        ],
    );
}

#[test]
fn an_origin_that_a_socket_unit_opens_for_the_guard_is_named_and_not_served() {
    let Some(machine) = installed() else { return };
    machine.write(
        "/etc/systemd/system/test-gateway.socket",
        "[Socket]\nListenStream=127.0.0.1:7003\nFileDescriptorName=gateway\n\
         Service=origin-guard.service\n",
    );
    drop_in(&machine, "Environment=ORIGIN=http://localhost:7003");
    machine.sh("systemctl start test-gateway.socket");
    let fault =
        "ORIGIN: localhost:7003 is the guard itself...127.0.0.1:7003 (socket unit)...origin";
    let said = check_unit(&machine);
    assert_says(&said, 78, &[&format!("fault: {fault}")]);
    // Nothing has connected there, which would have started it.
    assert_eq!(machine.show("ActiveState"), "inactive");
    let started = machine.try_sh("systemctl start origin-guard");
    assert!(!started.status.success());
    let journal = machine.journal();
    let is_said = journal
        .lines()
        .any(|line| line.contains("ORIGIN: localhost:7003 is the guard"));
    assert!(is_said && journal.contains("status=78"), "{journal}");
}

#[test]
fn what_a_unit_names_is_not_run_as_root() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl enable origin-guard");
    for program in ["systemd-run", "systemctl"] {
        machine.write(
            &format!("/opt/evil/{program}"),
            "#!/bin/sh\ntouch /run/evil\n",
        );
    }
    machine.sh("chmod 755 /opt/evil/*");
    let odd = "unix:/run/origin-guard/a \"$b\\`c.sock";
    let quoted = r#"LISTEN=unix:/run/origin-guard/a \"$b\\`c.sock"#;
    drop_in(
        &machine,
        &format!(
            "Environment=PATH=/opt/evil:/usr/bin:/bin DBUS_SYSTEM_BUS_ADDRESS=unix:path=/none\n\
             Environment=\"{quoted}\""
        ),
    );
    let said = check_unit(&machine);
    assert_says(&said, 0, &[&format!("{odd} is free"), "ok"]);
    assert!(!machine.path("/run/evil").exists());
    let left = machine.sh("ls /run");
    assert!(!left.contains("origin-guard-check"), "{left}");
    // Nor is what another unit starts.
    machine.write(
        "/etc/systemd/system/other.service",
        "[Service]\nRootDirectory=/\nExecStart=/opt/evil/systemctl\n",
    );
    machine.sh("systemctl daemon-reload");
    let (status, said) = check(&machine, "--unit other");
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("other.service starts /opt/evil/systemctl, which is not origin-guard"),
        "{said}"
    );
    assert!(!machine.path("/run/evil").exists());
}

#[test]
fn a_file_of_variables_that_is_none_is_not_waited_for() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl enable origin-guard; mkfifo /run/variables");
    for (path, kind) in [("/run/variables", "a FIFO"), ("/dev/zero", "a device")] {
        drop_in(&machine, &format!("EnvironmentFile={path}"));
        let line = format!("fault: EnvironmentFile: {path} is {kind}; name a regular file");
        assert_says(&check_unit(&machine), 78, &[&line]);
    }
}
