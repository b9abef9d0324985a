//! Certificates that are renewed while the guard serves.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::authority::{Authority, Issued, Key};
use crate::client::TlsClient;
use crate::support::health;
use crate::support::metrics::{metrics, value, wait_for};
use crate::support::{Answer, Guard, PATIENCE, SECRET, command, complaints, granted_request};

/// Puts the files of `issued` at `chain` and `key` by renaming, the certificate first.
fn install(issued: &Issued, chain: &Path, key: &Path) {
    put(&issued.certificate, chain);
    put(&issued.key, key);
}

fn put(from: &Path, to: &Path) {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).expect("copied");
    fs::rename(&fresh, to).expect("renamed");
}

fn start(chain: &Path, key: &Path, more: &[(&str, &str)]) -> Guard {
    let variables = [
        &[
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "tls:127.0.0.1:0"),
            ("TLS_CERT", chain.to_str().expect("UTF-8")),
            ("TLS_KEY", key.to_str().expect("UTF-8")),
        ][..],
        more,
    ];
    Guard::with(&variables.concat())
}

fn presented(guard: &Guard, authority: &Authority) -> CertificateDer<'static> {
    let mut client = TlsClient::plain(guard, authority);
    client.handshake().expect("a handshake");
    let chain = client.tls.peer_certificates().expect("a chain");
    chain[0].clone().into_owned()
}

fn wait_until_presented(guard: &Guard, authority: &Authority, issued: &Issued) {
    let wanted = CertificateDer::from_pem_file(&issued.certificate).expect("a certificate");
    let deadline = Instant::now() + PATIENCE;
    while presented(guard, authority) != wanted {
        assert!(Instant::now() < deadline, "{:#?}", guard.log());
    }
}

fn failures(guard: &Guard) -> usize {
    let is_failure = |line: &&String| line.contains("certificates_reload_failed");
    guard.log().iter().filter(is_failure).count()
}

struct Files {
    authority: Authority,
    chain: std::path::PathBuf,
    key: std::path::PathBuf,
    first: Issued,
    second: Issued,
}

fn files(name: &str) -> Files {
    let authority = Authority::new(name);
    let (chain, key) = (
        authority.folder.path.join("chain.pem"),
        authority.folder.path.join("key.pem"),
    );
    let first = authority.issue_as("first", Key::EcdsaPkcs8, "DNS:localhost", 60);
    let second = authority.issue_as("second", Key::EcdsaPkcs8, "DNS:localhost", 60);
    install(&first, &chain, &key);
    Files {
        authority,
        chain,
        key,
        first,
        second,
    }
}

#[test]
fn renamed_files_are_presented_soon_and_as_a_pair() {
    let Files {
        authority,
        chain,
        key,
        first,
        second,
    } = files("renamed");
    let guard = start(&chain, &key, &[]);
    wait_until_presented(&guard, &authority, &first);
    install(&second, &chain, &key);
    wait_until_presented(&guard, &authority, &second);
    guard.wait_for_log(|line| line.contains("certificates_reloaded changed=true"));
    // Half of a renewal is waited out, without an error.
    put(&first.certificate, &chain);
    guard.signal(Signal::HUP);
    assert_eq!(presented(&guard, &authority), presented(&guard, &authority));
    put(&first.key, &key);
    wait_until_presented(&guard, &authority, &first);
    assert_eq!(failures(&guard), 0);
}

/// As all other files, those of TLS may be named from the folder where the guard starts.
#[test]
fn relative_paths_begin_where_the_guard_starts() {
    let Files {
        authority,
        chain,
        key,
        first,
        second,
    } = files("relative");
    let folder = &authority.folder.path;
    let challenges = folder.join("webroot/.well-known/acme-challenge");
    fs::create_dir_all(&challenges).expect("a folder");
    fs::write(challenges.join("token"), "proof").expect("written");
    let mut command = command();
    command.current_dir(folder).envs([
        ("SHARED_SECRET", SECRET),
        ("LISTEN", "tls:127.0.0.1:0,redirect:127.0.0.1:0"),
        ("TLS_CERT", "chain.pem"),
        ("TLS_KEY", "./key.pem"),
        ("ACME_WEBROOT", "webroot"),
    ]);
    let guard = Guard::spawn(&mut command);
    wait_until_presented(&guard, &authority, &first);
    install(&second, &chain, &key);
    wait_until_presented(&guard, &authority, &second);
    let challenge = "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(guard.second_address()).expect("connects");
    stream.write_all(challenge.as_bytes()).expect("sent");
    let answer = Answer::read(&mut stream, false).expect("an answer");
    assert_eq!((answer.status, &*answer.body), (200, &b"proof"[..]));
}

/// The authorities of clients, and what of theirs is revoked.
#[test]
fn relative_paths_name_who_may_connect() {
    let authority = Authority::new("relative-clients");
    let server = authority.issue(Key::EcdsaPkcs8, &["localhost"]);
    let check = |folder: &Path, variables: &[(&str, &str)]| {
        let mut check = command();
        check.current_dir(folder).args(["check", "--local"]).envs([
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "tls:127.0.0.1:0"),
            ("TLS_CLIENT_NAMES", "a.test"),
        ]);
        let output = check.envs(server.variables()).envs(variables.to_vec());
        let output = output.output().expect("runs");
        (output.status.code(), complaints(&output.stdout))
    };
    let ca = [("TLS_CLIENT_CA", "ca.pem")];
    let (status, errors) = check(&authority.folder.path, &ca);
    assert_eq!(status, Some(0), "{errors}");
    let (status, errors) = check(Path::new("/"), &ca);
    assert_eq!(status, Some(78), "{errors}");
    assert!(
        errors.contains("TLS_CLIENT_CA: ca.pem (/ca.pem) cannot be read: No such file"),
        "{errors}"
    );
}

/// certbot's `live/` holds links to `../../archive/`, lego's and others' likewise.
#[test]
fn turned_links_are_followed() {
    let Files {
        authority,
        first,
        second,
        ..
    } = files("links");
    let (chain, key) = (
        authority.path("live-chain.pem"),
        authority.path("live-key.pem"),
    );
    let link = |to: &Path, at: &str| {
        let fresh = format!("{at}.new");
        symlink(to, &fresh).expect("a link");
        fs::rename(&fresh, at).expect("turned");
    };
    link(&first.certificate, &chain);
    link(&first.key, &key);
    let guard = start(chain.as_ref(), key.as_ref(), &[]);
    wait_until_presented(&guard, &authority, &first);
    link(&second.key, &key);
    link(&second.certificate, &chain);
    wait_until_presented(&guard, &authority, &second);
}

/// Kubernetes turns one link, `..data`, to a new folder.
#[test]
fn a_folder_that_is_swapped_is_read_again() {
    let Files {
        authority,
        first,
        second,
        ..
    } = files("folder");
    let root = Path::new(&authority.path("mount")).to_owned();
    for (version, issued) in [("..1", &first), ("..2", &second)] {
        fs::create_dir_all(root.join(version)).expect("a folder");
        put(&issued.certificate, &root.join(version).join("tls.crt"));
        put(&issued.key, &root.join(version).join("tls.key"));
    }
    symlink("..1", root.join("..data")).expect("a link");
    symlink("..data/tls.crt", root.join("tls.crt")).expect("a link");
    symlink("..data/tls.key", root.join("tls.key")).expect("a link");
    let guard = start(&root.join("tls.crt"), &root.join("tls.key"), &[]);
    wait_until_presented(&guard, &authority, &first);
    symlink("..2", root.join("..data_tmp")).expect("a link");
    fs::rename(root.join("..data_tmp"), root.join("..data")).expect("turned");
    wait_until_presented(&guard, &authority, &second);
}

#[test]
fn a_pair_that_stays_mismatched_is_an_error_and_the_old_one_serves_on() {
    let Files {
        authority,
        chain,
        key,
        first,
        second,
    } = files("mismatched");
    let guard = start(&chain, &key, &[("ADMIN_LISTEN", "127.0.0.1:0")]);
    put(&second.certificate, &chain);
    let line = guard.wait_for_log(|line| line.contains("certificates_reload_failed"));
    assert!(line.contains("does not go with its certificate"), "{line}");
    assert!(line.contains("key.pem"), "{line}");
    wait_until_presented(&guard, &authority, &first);
    // It is set once the log has the line.
    let gauge = |value| format!("last_reload_successful{{file=\"certificates\"}} {value}");
    wait_for(guard.second_address(), &[gauge(0)]);
    let wanted = format!("The file {} (TLS_KEY) is faulty", key.display());
    health::wait_for(guard.second_address(), &wanted);
    put(&second.key, &key);
    wait_until_presented(&guard, &authority, &second);
    wait_for(guard.second_address(), &[gauge(1)]);
}

#[test]
fn an_expired_certificate_is_refused_and_the_old_one_serves_on() {
    let Files {
        authority,
        chain,
        key,
        first,
        ..
    } = files("expired");
    let guard = start(&chain, &key, &[("ADMIN_LISTEN", "127.0.0.1:0")]);
    let expired = authority.issue_expired("localhost");
    install(&expired, &chain, &key);
    guard.signal(Signal::HUP);
    let line = guard.wait_for_log(|line| line.contains("certificates_reload_failed"));
    assert!(
        line.contains("ended at") && line.contains("renew it"),
        "{line}"
    );
    wait_until_presented(&guard, &authority, &first);
    let name = chain.to_str().expect("UTF-8");
    let end = metric(
        &guard,
        &format!(r#"certificate_not_after_timestamp_seconds{{certificate="{name}"}}"#),
    );
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock")
        .as_secs_f64();
    assert!((59.0..=60.1).contains(&((end - now) / 86_400.0)), "{end}");
    // At the start it is an error that names file and remedy.
    let output = crate::support::command()
        .args(["check", "--local"])
        .env("SHARED_SECRET", SECRET)
        .env("LISTEN", "tls:127.0.0.1:0")
        .envs(expired.variables())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(78));
    let errors = complaints(&output.stdout);
    assert!(
        errors.contains("TLS_CERT: ") && errors.contains("renew it"),
        "{errors}"
    );
}

#[test]
fn a_certificate_that_ends_soon_earns_a_warning() {
    let authority = Authority::new("soon");
    for (days, warns) in [(13, true), (15, false)] {
        let file = format!("soon-{days}");
        let issued = authority.issue_as(&file, Key::EcdsaPkcs8, "DNS:localhost", days);
        let output = crate::support::command()
            .args(["check", "--local"])
            .env("SHARED_SECRET", SECRET)
            .env("LISTEN", "tls:127.0.0.1:0")
            .envs(issued.variables())
            .output()
            .expect("runs");
        let errors = complaints(&output.stdout);
        assert!(output.status.success(), "{errors}");
        assert_eq!(errors.contains("renew it"), warns, "{errors}");
        let shown = String::from_utf8_lossy(&output.stdout);
        let line = "certificate=localhost issuer CN=Authority soon until ";
        assert!(shown.contains(line), "{shown}");
    }
}

fn metric(guard: &Guard, series: &str) -> f64 {
    value(&metrics(guard.second_address()), series)
}

#[test]
fn renewals_under_load_lose_no_request() {
    let Files {
        authority,
        chain,
        key,
        first,
        second,
    } = files("load");
    let guard = start(&chain, &key, &[]);
    let (authority, guard) = (Arc::new(authority), Arc::new(guard));
    let (done, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let threads: Vec<_> = (0..2)
        .map(|keeps| {
            let (authority, guard) = (Arc::clone(&authority), Arc::clone(&guard));
            let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut client = TlsClient::plain(&guard, &authority);
                while !done.load(SeqCst) {
                    let answer: Answer = client.ask(granted_request());
                    assert_eq!(answer.status, 200);
                    asked.fetch_add(1, SeqCst);
                    if keeps == 0 {
                        client = TlsClient::plain(&guard, &authority);
                    }
                }
            })
        })
        .collect();
    for issued in [&second, &first, &second] {
        install(issued, &chain, &key);
        wait_until_presented(&guard, &authority, issued);
    }
    done.store(true, SeqCst);
    for thread in threads {
        thread.join().expect("no request is lost");
    }
    assert!(asked.load(SeqCst) > 0);
}
