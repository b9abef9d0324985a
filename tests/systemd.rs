//! The unit and the socket unit on a real systemd, booted in a container of its own.
//!
//! What is installed is what `make install` places; traffic stays in the container's
//! own network namespace.

#[allow(dead_code, reason = "tests/tls.rs uses all of it")]
#[path = "tls/authority.rs"]
mod authority;
#[path = "systemd/checks.rs"]
mod checks;
#[allow(dead_code, reason = "tests/tls.rs uses all of it")]
#[path = "tls/client.rs"]
mod client;
#[path = "systemd/load.rs"]
mod load;
#[path = "systemd/machine.rs"]
mod machine;
mod support;

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Instant, UNIX_EPOCH};

use authority::{Authority, Key};
use client::TlsClient;
use load::Load;
use machine::Machine;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use support::folder::{Folder, copy_program};
use support::{Answer, PATIENCE, installed as installed_program, page};

const SECRET_FILE: &str = "/etc/origin-guard/shared-secret";
const GATEWAY_SOCKET: &str = "/run/origin-guard-gateway.sock";
const OLD: &str = "old-secret-4f1c9a7be02d5386";
const NEW: &str = "new-secret-4f1c9a7be02d5386";

/// A machine with binary, units and a secret, as the README installs them.
fn installed() -> Option<Machine> {
    let machine = Machine::boot()?;
    machine.install();
    machine.sh("mkdir -p /etc/origin-guard");
    write_secrets(&machine, OLD);
    Some(machine)
}

/// Like an operator: a fresh file that takes the old one's place.
fn write_secrets(machine: &Machine, text: &str) {
    machine.sh(&format!(
        "umask 077; printf '%s\n' '{text}' > {SECRET_FILE}.new && mv {SECRET_FILE}.new {SECRET_FILE}"
    ));
}

fn status(machine: &Machine, secret: &str) -> u16 {
    machine.within_network(|| {
        let mut stream = load::connect().expect("connects");
        load::ask(&mut stream, secret).expect("an answer").status
    })
}

fn main_pid(machine: &Machine) -> String {
    machine.show("MainPID")
}

/// Waits until `done` holds.
fn wait_until(machine: &Machine, what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(
            since.elapsed() < PATIENCE,
            "not in time: {what}\n{}",
            machine.journal()
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_service_installs_starts_and_is_ready() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl enable --now origin-guard");
    // `start` returns after READY=1, so nobody has to wait.
    assert_eq!(status(&machine, OLD), 200);
    assert_eq!(status(&machine, NEW), 401);
    assert_eq!(machine.show("ActiveState"), "active");
    assert_eq!(machine.show("DynamicUser"), "yes");
    wait_until(&machine, "a status", || {
        machine.show("StatusText").contains("granted=")
    });
    let journal = machine.sh("journalctl -u origin-guard -o json --output-fields=PRIORITY,MESSAGE");
    let of = |event: &str| {
        let line = journal.lines().find(|line| line.contains(event));
        line.unwrap_or_else(|| panic!("no {event} in {journal}"))
            .to_owned()
    };
    assert!(of("listening address").contains(r#""PRIORITY":"6""#));
    assert!(of("denied reason=invalid_secret").contains(r#""PRIORITY":"4""#));
    assert!(!journal.contains(OLD), "the secret is in the journal");
}

#[test]
fn the_readme_installs_it_and_rotates_the_secret() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    let binary = machine.path("/root/origin-guard");
    copy_program(env!("CARGO_BIN_EXE_origin-guard"), binary);
    let type_in = |line: &String| machine.sh(&format!("cd /root && {line}"));
    let install = page::commands("docs/operations.md", "## Under systemd", "vm# ");
    assert!(install.len() > 8, "{install:?}");
    for line in &install {
        type_in(line);
    }
    let secret = || {
        type_in(&format!("head -n 1 {SECRET_FILE}"))
            .trim()
            .to_owned()
    };
    let old = secret();
    assert_eq!(status(&machine, &old), 200);
    assert_eq!(machine.show("PrivateNetwork"), "yes");

    let rotate = page::commands("docs/operations.md", "### Rotate the secret", "vm# ");
    assert_eq!(rotate.len(), 4, "{rotate:?}");
    type_in(&rotate[0]);
    let new = type_in(&rotate[1]).trim().to_owned();
    assert_eq!(new, secret());
    assert_eq!(
        [&old, &new].map(|secret| status(&machine, secret)),
        [200; 2]
    );
    let told = type_in(&rotate[2]);
    assert!(told.contains("2 previous: 1 request, last "), "{told}");
    assert!(type_in(&"origin-guard health".to_owned()).starts_with("healthy: "));
    // An hour is not over.
    let early = machine.try_sh(&rotate[3]);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(
        !early.status.success() && said.contains(" ago by "),
        "{said}"
    );
    assert_eq!(status(&machine, &old), 200);
    type_in(&rotate[3].replace(" finish ", " finish --quiet-for 0s "));
    assert_eq!(
        [&old, &new].map(|secret| status(&machine, secret)),
        [401, 200]
    );
}

/// systemd chooses the user of the service, so that nobody knows it beforehand.
#[test]
fn finish_believes_the_service_at_a_loopback_port() {
    let Some(machine) = installed() else { return };
    machine.sh("mkdir -p /etc/systemd/system/origin-guard.service.d");
    machine.sh(
        "printf '[Service]\\nEnvironment=ADMIN_LISTEN=127.0.0.1:9100\\n' \
         > /etc/systemd/system/origin-guard.service.d/admin.conf",
    );
    write_secrets(&machine, &format!("{NEW}\n{OLD}"));
    machine.sh("systemctl daemon-reload && systemctl start origin-guard");
    assert_eq!(status(&machine, NEW), 200);
    let user = machine.show("UID");
    assert!(
        user.parse::<u32>().is_ok_and(|user| user > 0),
        "{user} is chosen by systemd"
    );
    let finish =
        format!("origin-guard secret finish {SECRET_FILE} --admin 127.0.0.1:9100 --quiet-for 0s");
    let said = machine.try_sh(&finish);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("1 previous secret removed"), "{said}");
}

#[test]
fn the_readme_opens_the_gateway_s_door() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl start origin-guard.socket origin-guard");
    let typed: Vec<_> = page::commands("docs/keys.md", "## Be the gateway", "vm# ")
        .iter()
        .map(|line| machine.sh(line))
        .collect();
    let key = typed.iter().find(|said| said.starts_with("og_"));
    let key = key.expect("a key").trim();
    let ask = |key: &str| {
        use std::io::Write as _;
        let mut stream = machine.connect_unix(GATEWAY_SOCKET);
        let request = "GET /authorize HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer";
        write!(stream, "{request} {key}\r\n\r\n").expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    };
    let answer = ask(key);
    assert_eq!(answer.header("x-shared-secret"), Some(OLD), "{answer:?}");
    assert_eq!(answer.header("x-consumer"), Some("alice"));
    // Who may ask learns the secret: root and the proxy's group.
    let access = machine.sh(&format!("stat -c '%a %U %G' {GATEWAY_SOCKET}"));
    assert_eq!(access.trim(), "660 root www-data");
    assert!(!machine.journal().contains("everyone on this machine"));
    // When it was used last, the service writes into the folder that systemd has made, and
    // root finds it there.
    let list = "origin-guard keys list --json --file /etc/origin-guard/keys.json";
    wait_until(&machine, "a use", || {
        machine.sh(list).contains("\"uses\":1")
    });
    machine.sh("test -f /var/lib/origin-guard/keys.json.uses");
    // A change by root's command reaches the service, which has a user of its own.
    machine.sh("origin-guard keys rm alice --file /etc/origin-guard/keys.json");
    wait_until(&machine, "the key's end", || ask(key).status == 401);
}

#[test]
fn the_exposure_is_small_and_smaller_without_a_network() {
    let Some(machine) = installed() else { return };
    let exposure = || {
        machine.sh("systemctl daemon-reload");
        let said = machine.sh("systemd-analyze security --no-pager origin-guard.service");
        let line = said.lines().last().expect("a line").to_owned();
        let figure = line.split("service: ").nth(1).expect("a figure");
        let figure = figure.split(' ').next().expect("a figure").parse::<f64>();
        figure.unwrap_or_else(|_| panic!("{line}"))
    };
    let alone = exposure();
    machine.take_the_network_away();
    let without = exposure();
    support::say(&format!(
        "exposure: {alone} alone, {without} without a network"
    ));
    assert!(alone <= 1.2, "{alone}");
    assert!(
        without <= 0.3,
        "{without} {}",
        machine.sh("systemd-analyze security --no-pager origin-guard.service | grep ✗")
    );
    // And it works like that, on the sockets that systemd opened.
    machine.sh("systemctl start origin-guard.socket");
    assert_eq!(status(&machine, OLD), 200);
    assert_eq!(machine.show("PrivateNetwork"), "yes");
    wait_until(&machine, "a look at itself", || {
        machine.show("StatusText").contains("granted=1")
    });
}

#[test]
fn in_front_of_a_unix_socket_it_needs_no_network() {
    let Some(machine) = installed() else { return };
    machine.sh("systemd-run --unit=demo -p UMask=0000 \
                origin-guard demo-backend unix:/run/demo.sock");
    wait_until(&machine, "a backend", || {
        machine.path("/run/demo.sock").exists()
    });
    machine.sh(
        "origin-guard print unit --backend http://unix:/run/demo.sock \
                | sed 's|/usr/local/bin/|'$(dirname $(command -v origin-guard))'/|' \
                > /etc/systemd/system/origin-guard.service",
    );
    machine.take_the_network_away();
    machine.sh("systemctl daemon-reload && systemctl start origin-guard.socket origin-guard");
    let answer = machine.within_network(|| {
        let mut stream = load::connect().expect("connects");
        load::ask(&mut stream, OLD).expect("an answer")
    });
    assert_eq!(answer.status, 200, "{}", machine.journal());
    let reached = String::from_utf8(answer.body).expect("JSON");
    assert!(
        reached.contains("/protected") && !reached.contains(OLD),
        "{reached}"
    );
    assert_eq!(status(&machine, NEW), 401);
    assert_eq!(machine.show("PrivateNetwork"), "yes");
    assert_eq!(machine.show("MemoryMax"), (256 << 20).to_string());
    let said = machine.sh("systemd-analyze security --no-pager origin-guard.service | tail -n 1");
    let figure = said
        .split("service: ")
        .nth(1)
        .and_then(|said| said.split(' ').next());
    let figure: f64 = figure
        .and_then(|figure| figure.parse().ok())
        .expect("a figure");
    assert!(figure <= 0.3, "{said}");
}

#[test]
fn a_thousand_reloads_lose_no_request() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl start origin-guard.socket origin-guard");
    let pid = main_pid(&machine);
    let load = Load::start(&machine, 4, OLD);
    for _ in 0..1000 {
        machine.sh("systemctl reload origin-guard");
    }
    load.some_more();
    let report = load.stop();
    assert_eq!(report.lost, Vec::<String>::new());
    assert_eq!(main_pid(&machine), pid);
    let journal = machine.journal();
    assert!(journal.contains("reloaded number="), "{journal}");
    support::say(&format!(
        "1000 reloads, {} requests, none lost",
        report.answered
    ));
}

#[test]
fn a_hundred_restarts_lose_no_request_and_refuse_no_connection() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl start origin-guard.socket origin-guard");
    let load = Load::start(&machine, 8, OLD);
    for _ in 0..100 {
        let before = main_pid(&machine);
        machine.sh("systemctl restart origin-guard");
        assert_ne!(main_pid(&machine), before);
    }
    load.some_more();
    let report = load.stop();
    assert_eq!(report.lost, Vec::<String>::new());
    assert!(report.said_close > 0, "an answer says that it is the last");
    support::say(&format!(
        "100 restarts, {} requests, {} asked again on a new connection, none lost",
        report.answered, report.retried
    ));
}

#[test]
fn a_crash_under_load_refuses_no_connection() {
    let Some(machine) = installed() else { return };
    machine.sh("systemctl start origin-guard.socket origin-guard");
    let load = Load::start(&machine, 4, OLD);
    let mut recoveries = Vec::new();
    for _ in 0..10 {
        load.some_more();
        let pid = main_pid(&machine);
        let killed = machine.sh(&format!("date +%s%3N; kill -KILL {pid}"));
        let killed: u128 = killed.trim().parse().expect("milliseconds");
        // This connection is made while nobody accepts.
        assert_eq!(status(&machine, OLD), 200);
        let now = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        recoveries.push(now.saturating_sub(killed));
        assert_ne!(main_pid(&machine), pid);
    }
    load.some_more();
    let report = load.stop();
    assert_eq!(report.lost, Vec::<String>::new());
    recoveries.sort_unstable();
    support::say(&format!(
        "from SIGKILL to the next 200: {} ms (median), {} ms at most",
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1]
    ));
}

#[test]
fn the_watchdog_ends_what_hangs() {
    let Some(machine) = installed() else { return };
    machine.write(
        "/etc/systemd/system/origin-guard.service.d/soon.conf",
        "[Service]\nWatchdogSec=2\n",
    );
    machine.sh("systemctl daemon-reload; systemctl start origin-guard.socket origin-guard");
    let pid = main_pid(&machine);
    machine.sh(&format!("kill -STOP {pid}"));
    // It waits in the backlog until there is somebody.
    assert_eq!(status(&machine, OLD), 200);
    assert_ne!(main_pid(&machine), pid);
    let journal = machine.journal();
    assert!(journal.contains("Watchdog timeout"), "{journal}");
}

#[test]
fn a_fault_that_stays_ends_the_attempts_and_is_named() {
    let Some(machine) = installed() else { return };
    write_secrets(&machine, "");
    let started = machine.try_sh("systemctl start origin-guard");
    assert!(!started.status.success());
    wait_until(&machine, "a unit that has failed", || {
        machine.show("ActiveState") == "failed"
    });
    let journal = machine.journal();
    assert!(journal.contains("holds no secret"), "{journal}");
    write_secrets(&machine, OLD);
    machine.sh("systemctl reset-failed origin-guard; systemctl start origin-guard");
    assert_eq!(status(&machine, OLD), 200);
}

/// Certificates for `localhost`, where certbot would put them.
struct Renewals<'a> {
    machine: &'a Machine,
    authority: Authority,
}

impl<'a> Renewals<'a> {
    /// Where certbot keeps what it has got for `origin.example`, and where its hooks are.
    const LINEAGE: &'static str = "/etc/letsencrypt/live/origin.example";
    const HOOK: &'static str = "/etc/letsencrypt/renewal-hooks/deploy/origin-guard";

    fn new(machine: &'a Machine, name: &str) -> Self {
        machine.sh("mkdir -p /etc/letsencrypt/renewal-hooks/deploy");
        Self {
            machine,
            authority: Authority::new(name),
        }
    }

    /// Puts a fresh certificate there, and returns it.
    fn issue(&self, file: &str) -> Vec<u8> {
        let issued = self
            .authority
            .issue_as(file, Key::EcdsaPkcs8, "DNS:localhost", 60);
        for (path, name) in [
            (&issued.certificate, "fullchain.pem"),
            (&issued.key, "privkey.pem"),
        ] {
            let text = std::fs::read_to_string(path).expect("a file");
            self.machine
                .write(&format!("{}/{name}", Self::LINEAGE), &text);
        }
        let certificate = CertificateDer::from_pem_file(&issued.certificate);
        certificate.expect("a certificate").to_vec()
    }

    /// The same, and runs the hook as certbot does.
    fn renew(&self, file: &str) -> Vec<u8> {
        let certificate = self.issue(file);
        let (lineage, hook) = (Self::LINEAGE, Self::HOOK);
        self.machine
            .sh(&format!("RENEWED_LINEAGE={lineage} {hook}"));
        certificate
    }

    /// What the guard presents at port 443.
    fn presented(&self) -> Vec<u8> {
        self.machine.within_network(|| {
            let socket = TcpStream::connect("127.0.0.1:443").expect("connects");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut client = TlsClient::over(socket, &self.authority);
            let answer = client.ask("GET /protected HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(answer.status, 401);
            client.tls.peer_certificates().expect("a chain")[0].to_vec()
        })
    }
}

#[test]
fn port_443_comes_from_a_socket_unit_and_a_renewal_restarts_nothing() {
    let Some(machine) = installed() else { return };
    let renewals = Renewals::new(&machine, "systemd");
    let first = renewals.issue("first");
    let typed = page::commands("docs/tls.md", "## Under systemd", "vm# ");
    assert_eq!(typed.len(), 8, "{typed:?}");
    for line in &typed {
        machine.sh(line);
    }
    let access = machine.sh("stat -Lc '%a %U:%G' /etc/origin-guard/tls/privkey.pem");
    assert_eq!(access.trim(), "640 root:origin-guard-tls");
    assert_eq!(renewals.presented(), first);
    // `check --local` before the start does not know the socket, and says nothing of it.
    let journal = machine.journal();
    assert!(
        journal.contains("\nok\n") && !journal.contains("warning: "),
        "{journal}"
    );
    let process = machine.show("MainPID");
    let second = renewals.renew("second");
    wait_until(&machine, "the renewed certificate", || {
        renewals.presented() == second
    });
    assert_eq!(machine.show("MainPID"), process);
}

#[test]
fn certificates_that_are_credentials_are_renewed_by_a_restart() {
    let Some(machine) = installed() else { return };
    let renewals = Renewals::new(&machine, "credentials");
    let first = renewals.issue("first");
    let typed = page::commands("docs/tls.md", "### With systemd's credentials", "vm# ");
    assert_eq!(typed.len(), 6, "{typed:?}");
    for line in &typed {
        machine.sh(line);
    }
    assert_eq!(renewals.presented(), first);
    let process = machine.show("MainPID");
    let second = renewals.renew("second");
    // The socket waits until the service is there again.
    assert_eq!(renewals.presented(), second);
    assert_ne!(machine.show("MainPID"), process);
}

#[test]
fn a_port_that_is_denied_names_the_socket_unit() {
    let Some(machine) = installed() else { return };
    let output = machine.try_sh(
        "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024; setpriv --reuid=65534 \
         --regid=65534 --clear-groups env LISTEN=127.0.0.1:80 SHARED_SECRET=0123456789abcdef \
         origin-guard",
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let remedy = "let systemd open it: origin-guard print socket --role plain";
    assert!(
        said.contains("Permission denied") && said.contains(remedy),
        "{said}"
    );
}

#[test]
fn unix_sockets_and_one_for_the_operator_are_inherited() {
    let Some(machine) = installed() else { return };
    machine.write(
        "/etc/systemd/system/origin-guard.socket.d/unix.conf",
        "[Socket]\nListenStream=\nListenStream=/run/origin-guard.sock\nSocketGroup=www-data\n",
    );
    machine.write(
        "/etc/systemd/system/origin-guard-admin.socket",
        "[Socket]\nListenStream=/run/origin-guard-admin.sock\nFileDescriptorName=admin\n\
         Service=origin-guard.service\n",
    );
    machine.sh("systemctl daemon-reload; \
         systemctl start origin-guard.socket origin-guard-admin.socket origin-guard");
    let ask = |socket: &str, path: &str| {
        use std::io::Write as _;
        let mut stream = machine.connect_unix(socket);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
        Answer::read(&mut stream, false).expect("an answer")
    };
    assert_eq!(ask("/run/origin-guard.sock", "/protected").status, 401);
    assert_eq!(ask("/run/origin-guard.sock", "/metrics").status, 404);
    let metrics = ask("/run/origin-guard-admin.sock", "/metrics");
    assert_eq!(metrics.status, 200);
    let text = String::from_utf8(metrics.body).expect("UTF-8");
    let counted = "origin_guard_requests_total{verdict=\"no_secret\",status=\"401\"} 1\n";
    assert!(text.contains(counted), "{text}");
    let access = machine.sh("stat -c '%a %G' /run/origin-guard.sock");
    assert_eq!(access.trim(), "660 www-data");
    // systemd's default for a socket unit is 0666.
    let journal = machine.journal();
    let warned = |socket: &str| {
        let warning = format!("everyone on this machine may connect to {socket};");
        journal.contains(&warning)
    };
    assert!(warned("/run/origin-guard-admin.sock"), "{journal}");
    assert!(!warned("/run/origin-guard.sock"), "{journal}");
}

#[test]
fn the_socket_unit_says_how_to_replace_its_address() {
    let Some(machine) = installed() else { return };
    // What its comment shows is what `systemctl edit` is given.
    let unit = machine.sh("origin-guard print socket");
    let (_, example) = unit.split_once("#   [Socket]").expect("an example");
    let example = example.lines().map_while(|line| match line {
        "" => Some(String::new()),
        line => line.strip_prefix("#   ").map(str::to_owned),
    });
    let example = example.collect::<Vec<_>>().join("\n");
    machine.write(
        "/etc/systemd/system/origin-guard.socket.d/override.conf",
        &format!("[Socket]{example}\n"),
    );
    machine.sh("systemctl daemon-reload; systemctl start origin-guard.socket origin-guard");
    let listening = machine.sh("systemctl show --value -p Listen origin-guard.socket");
    assert_eq!(listening.trim(), "/run/origin-guard.sock (Stream)");
    wait_until(&machine, "an address in the log", || {
        machine
            .journal()
            .contains("listening address=unix:/run/origin-guard.sock")
    });
    assert!(
        !machine.journal().contains("listening address=0.0.0.0"),
        "{}",
        machine.journal()
    );
}

#[test]
fn the_service_makes_sockets_in_its_own_folder() {
    let Some(machine) = installed() else { return };
    machine.write(
        "/etc/systemd/system/origin-guard.service.d/listen.conf",
        "[Service]\nEnvironment=LISTEN=unix:/run/origin-guard/origin.sock\n",
    );
    machine.sh("systemctl daemon-reload; systemctl start origin-guard");
    let mut stream = machine.connect_unix("/run/origin-guard/origin.sock");
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    assert_eq!(
        Answer::read(&mut stream, false).expect("an answer").status,
        200
    );
    let access = machine.sh("stat -c %a /run/origin-guard/origin.sock");
    assert_eq!(access.trim(), "660");
}

#[test]
fn a_missing_secret_is_the_status_that_the_unit_names() {
    let Some(machine) = installed() else { return };
    machine.sh(&format!("rm {SECRET_FILE}"));
    assert!(
        !machine
            .try_sh("systemctl start origin-guard")
            .status
            .success()
    );
    let journal = machine.journal();
    assert!(journal.contains("status=243/CREDENTIALS"), "{journal}");
    assert!(
        machine
            .sh("origin-guard print unit")
            .contains("status=243/CREDENTIALS")
    );
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"));
    assert!(page.expect("readable").contains("status=243/CREDENTIALS"));
}

#[test]
fn a_socket_that_does_not_listen_is_refused() {
    if !installed_program("systemd-socket-activate", "apt install systemd") {
        return;
    }
    let folder = Folder::new("activate");
    let path = folder.path.join("socket");
    let mut activator = Command::new("systemd-socket-activate")
        .arg("-a")
        .arg("-l")
        .arg(&path)
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let since = Instant::now();
    let _connection = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(_) => assert!(since.elapsed() < PATIENCE, "nothing listens"),
        }
        std::thread::yield_now();
    };
    // It is handed the connection itself, and says so.
    let lines = BufReader::new(activator.stderr.take().expect("piped")).lines();
    let said = lines
        .map_while(Result::ok)
        .find(|line| line.contains("origin-guard:"));
    activator.kill().expect("its own child");
    activator.wait().expect("its own child");
    let said = said.expect("a line");
    assert!(
        said.contains("it does not listen") && said.contains("Accept=no"),
        "{said}"
    );
}
