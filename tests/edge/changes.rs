//! Secrets and keys that change while both halves serve.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use crate::authority::{Authority, Key};
use crate::both::{self, Both, NAME, request};
use crate::scripted::{Backend, ok};
use crate::support::folder::Folder;
use crate::support::keys::KeyFile;
use crate::support::{Guard, PATIENCE};

const OLD: &str = "the-old-secret-0123456789-abcdefghij";
const NEW: &str = "the-new-secret-9876543210-abcdefghij";

/// A backend that answers everything.
fn served() -> String {
    let backend = Backend::new();
    let url = backend.url();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("arrived"));
        }
    });
    url
}

/// Runs `change` while clients ask one after the other, and returns how often they were
/// answered; each answer must be a 200.
fn under_load(gateway: &Guard, key: &str, change: impl FnOnce()) -> usize {
    let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let answer = gateway.ask(request("GET /", key, ""));
                    assert_eq!(answer.status, 200, "{answer:?}");
                    count.fetch_add(1, SeqCst);
                }
            });
        }
        // They are under way on both sides of each change.
        let end = End(&over);
        wait_for_more(&count);
        change();
        wait_for_more(&count);
        drop(end);
    });
    count.into_inner()
}

/// Ends the load, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn wait_for_more(count: &AtomicUsize) {
    let (since, before) = (Instant::now(), count.load(SeqCst));
    while count.load(SeqCst) < before + 50 {
        assert!(since.elapsed() < PATIENCE, "no answers");
        std::thread::yield_now();
    }
}

#[test]
fn the_secret_is_rotated_on_both_sides_and_no_request_is_refused() {
    let folder = Folder::new("edge-rotation");
    let of_origin = folder.write("origin", OLD);
    let of_gateway = folder.write("gateway", OLD);
    let authority = Authority::new("edge-rotation");
    let issued = authority.issue(Key::EcdsaPkcs8, &[NAME]);
    let keys = KeyFile::new("edge-rotation-keys");
    let key = keys.add("alice", &[]);
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (origin_file, gateway_file) = (path(&of_origin), path(&of_gateway));
    let variables = [("SHARED_SECRET", ""), ("SHARED_SECRET_FILE", &*origin_file)];
    let origin = both::origin(&issued, &served(), &variables);
    let url = format!("https://{}", origin.address);
    let ca = path(&authority.certificate);
    let variables = [
        ("SHARED_SECRET", ""),
        ("SHARED_SECRET_FILE", &gateway_file),
        ("ORIGIN_CA", &ca),
        ("ORIGIN_SERVER_NAME", NAME),
    ];
    let gateway = both::gateway(&keys, &url, &variables);
    let reloaded = |guard: &Guard, count: usize| {
        let since = Instant::now();
        let is_reloaded = |line: &String| line.contains("reloaded ");
        while guard.log().iter().filter(|line| is_reloaded(line)).count() < count {
            assert!(since.elapsed() < PATIENCE, "{:#?}", guard.log());
            std::thread::yield_now();
        }
    };
    under_load(&gateway, &key, || {
        // First the origin takes both, then the gateway sends the new one, then the
        // origin drops the old one.
        folder.write("origin", &format!("{NEW}\n{OLD}\n"));
        reloaded(&origin, 1);
        folder.write("gateway", &format!("{NEW}\n"));
        reloaded(&gateway, 1);
        folder.write("origin", &format!("{NEW}\n"));
        reloaded(&origin, 2);
    });
}

#[test]
fn keys_are_rotated_revoked_and_expire_under_load_and_others_notice_nothing() {
    let both = Both::with(
        "changes",
        &served(),
        &[("GATEWAY_LISTEN", "127.0.0.1:0")],
        &[],
    );
    let status = |key: &str| both.gateway.ask(request("GET /", key, "")).status;
    // Many invalid keys from one address are answered with 429.
    let wait_for = |key: &str, wanted: bool| {
        let since = Instant::now();
        while (status(key) == 200) != wanted {
            assert!(since.elapsed() < PATIENCE, "never {wanted}");
            std::thread::yield_now();
        }
    };
    let bob = both.keys.add("bob", &[]);
    wait_for(&bob, true);
    let mut fresh = String::new();
    under_load(&both.gateway, &both.key, || {
        let id = both.keys.id(&bob);
        fresh = both.keys.must(&["rotate", &id, "--overlap", "1h"]);
        wait_for(fresh.trim_end(), true);
        assert_eq!(status(&bob), 200);
        both.keys.must(&["revoke", &id]);
        wait_for(&bob, false);
        let short = both.keys.add("carol", &["--expires", "4s"]);
        wait_for(&short, true);
        wait_for(&short, false);
        both.keys.must(&["rm", "bob"]);
        wait_for(fresh.trim_end(), false);
    });
}
