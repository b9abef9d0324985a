//! Records as no good client sends them, by tlslite-ng.

use std::path::Path;
use std::process::Command;

use crate::client::TlsClient;
use crate::localhost;
use crate::support::{SECRET, granted_request, skip};

#[test]
fn no_records_take_the_server_down() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tlslite/bin/python");
    if !python.exists() {
        return skip(
            "needs tlslite-ng; run: python3 -m venv target/tlslite && target/tlslite/bin/pip \
             install tlslite-ng==0.8.2",
        );
    }
    let (authority, guard) = localhost("odd-records", &[("WORKERS", "1")]);
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/records.py"))
        .args([&guard.address.port().to_string(), SECRET])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{:#?}", guard.log());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    let lines = guard.log();
    assert!(
        !lines.iter().any(|line| line.contains("panic")),
        "{lines:#?}"
    );
    let mut client = TlsClient::plain(&guard, &authority);
    assert_eq!(client.ask(granted_request()).status, 200);
}
