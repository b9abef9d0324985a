//! What is printed for Prometheus and Grafana, run against a real Prometheus.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "tls/authority.rs"]
mod authority;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "relay/scripted.rs"]
mod scripted;
mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use authority::{Authority, Key};
use origin_guard::config::variables::VARIABLES;
use origin_guard::usage::{COMMANDS, Usage};
use scripted::{Backend, ok};
use serde_json::Value;
use support::folder::Folder;
use support::port::HeldPort;
use support::{Guard, PATIENCE, SECRET, command, granted_request, installed, page};

const PREVIOUS: &str = "previous-secret-4f1c9a7be02d5386";

fn print(name: &str) -> String {
    let output = command().args(["print", name]).output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn promtool(folder: &Folder, arguments: &[&str]) -> String {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).current_dir(&folder.path);
    let output = promtool.output().expect("runs");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(output.status.success(), "{said}");
    said
}

/// A Prometheus of this test's own, ended by pid when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _port: HeldPort,
    _folder: Folder,
}

impl Prometheus {
    /// One that asks `guard` every second, with the printed alerts.
    fn start(name: &str, guard: SocketAddr) -> Self {
        let folder = Folder::new(name);
        folder.write("alerts.yml", &print("alerts"));
        let config = folder.write(
            "prometheus.yml",
            &format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
                 rule_files: [alerts.yml]\n\
                 scrape_configs:\n  - job_name: origin-guard\n    static_configs:\n      \
                 - targets: [\"{guard}\"]\n"
            ),
        );
        let port = HeldPort::new();
        let data = config.parent().expect("a folder");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={}", port.address))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut started = Self {
            child,
            address: port.address,
            _port: port,
            _folder: folder,
        };
        let since = Instant::now();
        while started.query("1").is_none() {
            let ended = started.child.try_wait().expect("its own child");
            assert!(
                ended.is_none() && since.elapsed() < PATIENCE,
                "Prometheus does not start: {ended:?}"
            );
        }
        started
    }

    /// What its interface answers; `None` while it does not listen yet.
    fn ask(&self, line: &str, form: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!(
            "{line} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// What `query` finds now; a faulty one fails the test.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded = query.bytes().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
            text
        });
        let answer = self.ask("POST /api/v1/query", &format!("query={encoded}"))?;
        // Before it is ready it answers otherwise.
        let status = answer["status"].as_str()?;
        assert_eq!(status, "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every query of the dashboard, with what Grafana puts in its variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries = targets.map(|target| {
        let query = target["expr"].as_str().expect("a query");
        let query = query
            .replace("$__rate_interval", "20s")
            .replace("$job", "origin-guard")
            .replace("$instance", ".*");
        assert!(!query.contains('$'), "{query}");
        query
    });
    queries.collect()
}

#[test]
fn every_query_of_the_dashboard_finds_something_in_a_real_prometheus() {
    if !installed("prometheus", "apt install prometheus") {
        return;
    }
    let authority = Authority::new("prometheus");
    let issued = authority.issue(Key::EcdsaPkcs8, &["origin.example"]);
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    let folder = Folder::new("prometheus-secrets");
    let secrets = folder.write("secrets", &format!("{SECRET}\n{PREVIOUS}\n"));
    let guard = Guard::with(
        &[
            &[
                ("SHARED_SECRET_FILE", secrets.to_str().expect("UTF-8")),
                ("LISTEN", "127.0.0.1:0,tls:127.0.0.1:0"),
                ("BACKEND", &*url),
                ("ADMIN_LISTEN", "127.0.0.1:0"),
            ],
            &issued.variables()[..],
        ]
        .concat(),
    );
    let prometheus = Prometheus::start("prometheus", guard.address_of(2));
    let dashboard: Value = serde_json::from_str(&print("grafana")).expect("JSON");
    let said = dashboard["description"].as_str().expect("text");
    assert!(said.contains("not been tried in Grafana"), "{said}");
    let mut left = queries(&dashboard);
    assert!(left.len() > 15, "{left:#?}");
    let since = Instant::now();
    while !left.is_empty() {
        assert!(since.elapsed() < 2 * PATIENCE, "nothing for {left:#?}");
        guard.ask(granted_request());
        guard.ask("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        left.retain(|query| {
            let found = prometheus.query(query).unwrap_or_default();
            // A quantile of nothing is NaN.
            let is_number = |one: &Value| one["value"][1].as_str() != Some("NaN");
            found.is_empty() || !found.iter().any(is_number)
        });
    }
    // All that a panel's legend names is a label of what its query finds.
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let legend = target["legendFormat"].as_str().expect("text");
            let query = target["expr"].as_str().expect("a query");
            for name in legend.split("{{").skip(1) {
                let name = name.split("}}").next().expect("closed");
                assert!(
                    query.contains(&format!("by ({name}")) || query.contains(&format!(", {name}")),
                    "{query}: {name}"
                );
            }
        }
    }
    let since = Instant::now();
    let healthy = |rule: &Value| rule["health"] == "ok";
    loop {
        assert!(since.elapsed() < PATIENCE, "the alerts are not evaluated");
        let rules = prometheus.ask("GET /api/v1/rules", "").unwrap_or_default();
        let rules = rules["data"]["groups"][0]["rules"].as_array().cloned();
        if rules.is_some_and(|rules| rules.len() == 13 && rules.iter().all(healthy)) {
            break;
        }
    }
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}");
    assert_eq!(firing.map(|firing| firing.len()), Some(0));
}

#[test]
fn what_the_documentation_has_typed_is_what_both_take() {
    let folder = Folder::new("metrics-typed");
    let typed = page::commands("docs/operations.md", "## Metrics", "vm# ");
    assert_eq!(typed.len(), 2, "{typed:?}");
    for line in typed {
        let line = line.replace("/etc/prometheus/", "");
        let binary = Path::new(env!("CARGO_BIN_EXE_origin-guard"));
        let output = Command::new("/bin/sh")
            .args(["-c", &line])
            .env("PATH", binary.parent().expect("a folder"))
            .current_dir(&folder.path)
            .output()
            .expect("runs");
        assert!(output.status.success(), "{line}: {output:?}");
    }
    let held = |name: &str| std::fs::read_to_string(folder.path.join(name)).expect("there");
    assert_eq!(held("origin-guard.yml"), print("alerts"));
    assert_eq!(held("origin-guard.json"), print("grafana"));
}

/// A series of each alert that makes it fire, by promtool's notation: a start, what each
/// minute adds, and how often.
const FIRING: [(&str, &[&str]); 13] = [
    (
        "OriginGuardDown",
        &["up{job=\"origin-guard\",instance=\"a\"} 0x900"],
    ),
    (
        "OriginGuardRestarts",
        &["process_start_time_seconds{job=\"origin-guard\",instance=\"a\"} 0+60x900"],
    ),
    (
        "OriginGuardNoSecret",
        &[
            "origin_guard_requests_total{verdict=\"misconfigured\",status=\"500\",instance=\"a\"} 0+1x900",
        ],
    ),
    (
        "OriginGuardSecretLeaked",
        &["origin_guard_leaked_credentials{what=\"secret\",instance=\"a\"} 1x900"],
    ),
    (
        "OriginGuardKeyLeaked",
        &["origin_guard_leaked_credentials{what=\"key\",instance=\"a\"} 3x900"],
    ),
    (
        "OriginGuardReloadFailed",
        &["origin_guard_last_reload_successful{file=\"keys\",instance=\"a\"} 0x900"],
    ),
    (
        "OriginGuardGatewayLockedOut",
        &[
            "origin_guard_requests_total{verdict=\"invalid_secret\",status=\"401\",instance=\"a\"} 0+60x900",
            "origin_guard_requests_total{verdict=\"granted\",status=\"forwarded\",instance=\"a\"} 7x900",
        ],
    ),
    (
        "OriginGuardManyDenials",
        &[
            "origin_guard_requests_total{verdict=\"no_key\",status=\"401\",instance=\"a\"} 0+900x900",
        ],
    ),
    (
        "OriginGuardPreviousSecretInUse",
        &["origin_guard_secret_used_total{secret=\"previous\",instance=\"a\"} 0+1x12000"],
    ),
    (
        "OriginGuardBackendFails",
        &[
            "origin_guard_backend_failures_total{backend=\"b\",reason=\"reset\",instance=\"a\"} 0+6x900",
            "origin_guard_backend_responses_total{backend=\"b\",class=\"2xx\",instance=\"a\"} 0+60x900",
        ],
    ),
    (
        "OriginGuardFull",
        &["origin_guard_connections_closed_total{reason=\"shed\",instance=\"a\"} 0+1x900"],
    ),
    (
        "OriginGuardSlow",
        &[
            "origin_guard_added_seconds_bucket{le=\"0.05\",instance=\"a\"} 0+90x900",
            "origin_guard_added_seconds_bucket{le=\"1\",instance=\"a\"} 0+100x900",
            "origin_guard_added_seconds_bucket{le=\"+Inf\",instance=\"a\"} 0+100x900",
        ],
    ),
    (
        "OriginGuardCertificateEnds",
        &[
            "origin_guard_certificate_not_after_timestamp_seconds{certificate=\"c\",instance=\"a\"} 1000000x900",
        ],
    ),
];

/// The same of a guard that does well.
const QUIET: [&str; 15] = [
    "up{job=\"origin-guard\",instance=\"a\"} 1x900",
    "process_start_time_seconds{job=\"origin-guard\",instance=\"a\"} 60x900",
    "origin_guard_requests_total{verdict=\"misconfigured\",status=\"500\",instance=\"a\"} 3x900",
    "origin_guard_leaked_credentials{what=\"secret\",instance=\"a\"} 0x900",
    "origin_guard_leaked_credentials{what=\"key\",instance=\"a\"} 0x900",
    "origin_guard_last_reload_successful{file=\"keys\",instance=\"a\"} 1x900",
    "origin_guard_requests_total{verdict=\"invalid_secret\",status=\"401\",instance=\"a\"} 0+60x900",
    "origin_guard_requests_total{verdict=\"granted\",status=\"forwarded\",instance=\"a\"} 0+1x900",
    "origin_guard_secret_used_total{secret=\"previous\",instance=\"a\"} 9x12000",
    "origin_guard_backend_failures_total{backend=\"b\",reason=\"reset\",instance=\"a\"} 0+1x900",
    "origin_guard_backend_responses_total{backend=\"b\",class=\"2xx\",instance=\"a\"} 0+60x900",
    "origin_guard_connections_closed_total{reason=\"shed\",instance=\"a\"} 5x900",
    "origin_guard_added_seconds_bucket{le=\"0.05\",instance=\"a\"} 0+100x900",
    "origin_guard_added_seconds_bucket{le=\"+Inf\",instance=\"a\"} 0+100x900",
    "origin_guard_certificate_not_after_timestamp_seconds{certificate=\"c\",instance=\"a\"} 9000000x900",
];

#[test]
fn each_alert_fires_where_it_should_and_nowhere_else() {
    if !installed("promtool", "apt install prometheus") {
        return;
    }
    let folder = Folder::new("promtool");
    let alerts = print("alerts");
    folder.write("alerts.yml", &alerts);
    let said = promtool(&folder, &["check", "rules", "alerts.yml"]);
    assert!(said.contains("13 rules found"), "{said}");
    let mut tests = "rule_files: [alerts.yml]\nevaluation_interval: 5m\ntests:\n".to_owned();
    let series = |tests: &mut String, all: &[&str]| {
        *tests += "  - interval: 1m\n    input_series:\n";
        for line in all {
            let (series, values) = line.rsplit_once(' ').expect("values");
            let _ = writeln!(
                tests,
                "      - series: '{series}'\n        values: '{values}'"
            );
        }
    };
    for (alert, all) in FIRING {
        assert!(alerts.contains(&format!("alert: {alert}\n")), "{alert}");
        series(&mut tests, all);
        // One series, so one alert; which labels it has is promtool's to compare, and the
        // texts are not.
        let at = if alert == "OriginGuardPreviousSecretInUse" {
            "195h"
        } else {
            "10h"
        };
        let _ = writeln!(
            tests,
            "    promql_expr_test:\n      - expr: 'count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})'\n        \
             eval_time: {at}\n        exp_samples: [{{ labels: '{{}}', value: 1 }}]"
        );
    }
    series(&mut tests, &QUIET);
    tests += "    promql_expr_test:\n      - expr: 'count(ALERTS)'\n        eval_time: 10h\n        exp_samples: []\n";
    folder.write("tests.yml", &tests);
    promtool(&folder, &["test", "rules", "tests.yml"]);
    assert_eq!(alerts.matches("- alert: ").count(), FIRING.len());
}

/// Text of an alert: what stands behind `name`, on one line.
fn annotation(alert: &str, name: &str) -> String {
    let (_, text) = alert.split_once(&format!(" {name}: ")).expect("there");
    let lines = text.lines().skip_while(|line| *line == ">-");
    let lines = lines.map(str::trim);
    // Both are the last of what an alert has, and each begins a line.
    let lines = lines.take_while(|line| !line.is_empty() && !line.starts_with("description:"));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_alert_says_in_plain_words_what_is_wrong_and_what_to_do() {
    const PROGRAMS: [&str; 3] = ["systemctl", "journalctl", "top"];
    let alerts = print("alerts");
    let mut count = 0;
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().expect("a name");
        let (summary, text) = (
            annotation(alert, "summary"),
            annotation(alert, "description"),
        );
        assert!(summary.contains("{{ $labels.instance }}"), "{name}");
        // What is wrong or likely, and then what to do.
        let sentences = text.matches(". ").count() + text.matches(": ").count();
        assert!(sentences > 1 && text.ends_with('.'), "{name}: {text}");
        let commands: Vec<_> = text.split('`').skip(1).step_by(2).collect();
        for typed in &commands {
            let own = typed.strip_prefix("origin-guard ");
            let is_own = |own: &str| {
                let known = |usage: &Usage| own.starts_with(usage.command);
                COMMANDS.iter().any(known)
            };
            let program = typed.split(' ').next().expect("a word");
            assert!(
                own.map_or(PROGRAMS.contains(&program), is_own),
                "{name}: {typed}"
            );
        }
        let words = text.split(|letter: char| !(letter.is_ascii_uppercase() || letter == '_'));
        let variables: Vec<_> = words
            .filter(|word| word.contains('_') && word.len() > 1)
            .collect();
        for variable in &variables {
            let is_known = VARIABLES.iter().any(|known| known.name == *variable);
            assert!(is_known, "{name}: {variable}");
        }
        assert!(commands.len() + variables.len() > 0, "{name}: {text}");
        count += 1;
    }
    assert_eq!(count, FIRING.len());
    let (_, locked_out) = alerts.split_once("GatewayLockedOut\n").expect("there");
    let text = annotation(locked_out, "description");
    for step in [
        "has to send the first line of the origin's secret file",
        "`origin-guard secret rotate FILE --stdin`",
    ] {
        assert!(text.contains(step), "{text}");
    }
}
