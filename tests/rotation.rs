//! Secrets: where they come from, and their rotation under load.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use rustix::process::Signal;
use support::folder::Folder;
use support::keys::KeyFile;
use support::{Answer, Guard, command, complaints, installed};

const OLD: &str = "old-secret-4f1c9a7be02d5386";
const NEW: &str = "new-secret-4f1c9a7be02d5386-longer";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn presenting(secret: &str) -> String {
    format!("GET /protected HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: {secret}\r\n\r\n")
}

fn statuses(guard: &Guard) -> [u16; 2] {
    [OLD, NEW].map(|secret| guard.ask(presenting(secret)).status)
}

/// Reloads, for the `number`th time, and waits until it has happened.
fn reload(guard: &Guard, number: usize) {
    guard.signal(Signal::HUP);
    let event = format!("reloaded number={number} ");
    guard.wait_for_log(|line| line.starts_with(&event));
}

/// Ends the load when dropped, also where an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What `origin-guard check` complains of, which must come to an end with `status`.
fn check(variables: &[(&str, &str)], status: i32) -> String {
    let mut check = Command::new("timeout");
    let output = check
        .args(["30", env!("CARGO_BIN_EXE_origin-guard"), "check", "--local"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    complaints(&output.stdout)
}

fn fault(variables: &[(&str, &str)]) -> String {
    check(variables, 78)
}

/// Asks until the statuses of [`OLD`] and [`NEW`] are `wanted`.
fn wait_for_statuses(guard: &Guard, wanted: [u16; 2]) {
    let since = Instant::now();
    while statuses(guard) != wanted {
        assert!(since.elapsed() < support::PATIENCE, "never {wanted:?}");
        std::thread::yield_now();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("runs");
    assert!(made.success(), "{made:?}");
}

#[test]
fn a_file_holds_the_current_secret_and_others() {
    let folder = Folder::new("file");
    let file = folder.write("secrets", &format!("{NEW}\r\n\n{OLD}\n"));
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    assert_eq!(statuses(&guard), [200, 200]);
    assert_eq!(guard.ask(presenting(&OLD[1..])).status, 401);
}

#[test]
fn the_environment_holds_a_previous_one() {
    let guard = Guard::with(&[("SHARED_SECRET", NEW), ("SHARED_SECRET_PREVIOUS", OLD)]);
    assert_eq!(statuses(&guard), [200, 200]);
}

#[test]
fn a_credential_is_found_by_itself() {
    let folder = Folder::new("credential");
    folder.write("shared-secret", OLD);
    let guard = Guard::with(&[("CREDENTIALS_DIRECTORY", text(&folder.path))]);
    assert_eq!(statuses(&guard), [200, 401]);
}

#[test]
fn faults_name_source_line_and_byte_and_never_the_content() {
    let folder = Folder::new("faults");
    let good = folder.write("good", OLD);
    let faulty = folder.write("faulty", &format!("{NEW}\nsecret\u{e4}here-0123456\n"));
    let empty = folder.write("empty", "\n\n");
    let good = ("SHARED_SECRET_FILE", text(&good));

    let both = fault(&[("SHARED_SECRET", NEW), good]);
    assert!(
        both.contains("SHARED_SECRET:") && both.contains("SHARED_SECRET_FILE"),
        "{both}"
    );
    let alone = fault(&[("SHARED_SECRET_PREVIOUS", OLD)]);
    assert!(alone.contains("SHARED_SECRET_PREVIOUS"), "{alone}");
    let line = fault(&[("SHARED_SECRET_FILE", text(&faulty))]);
    assert!(line.contains("line 2") && line.contains("byte 7"), "{line}");
    assert!(!line.contains("here"), "{line}");
    let empty = fault(&[("SHARED_SECRET_FILE", text(&empty))]);
    assert!(empty.contains("holds no secret"), "{empty}");
    let missing = fault(&[("SHARED_SECRET_FILE", "/nonexistent/secret")]);
    assert!(missing.contains("/nonexistent/secret"), "{missing}");
    let folder_of_none = fault(&[good, ("SHARED_SECRET", NEW), ("LISTEN", "nowhere")]);
    assert!(
        folder_of_none.contains("LISTEN"),
        "all at once: {folder_of_none}"
    );
}

#[test]
fn a_previous_secret_beside_a_file_is_told_to_move_into_the_file() {
    let folder = Folder::new("previous");
    let file = folder.write("shared-secret", &format!("{NEW}\n"));
    let credentials = ("CREDENTIALS_DIRECTORY", text(&folder.path));
    for source in [("SHARED_SECRET_FILE", text(&file)), credentials] {
        let said = fault(&[source, ("SHARED_SECRET_PREVIOUS", OLD)]);
        let remedy = format!("below the current one in {}", text(&file));
        assert!(said.contains(&remedy), "{said}");
        assert!(!said.contains("set SHARED_SECRET to"), "{said}");
        assert!(!said.contains(OLD), "{said}");
    }
    // Who does as it says is right.
    fs::write(&file, format!("{NEW}\n{OLD}\n")).expect("written");
    check(&[("SHARED_SECRET_FILE", text(&file))], 0);
}

#[test]
fn a_faulty_file_leaves_the_secrets_that_were() {
    let folder = Folder::new("kept");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    folder.write("secrets", "");
    guard.signal(Signal::HUP);
    let line = guard.wait_for_log(|line| line.starts_with("reload_failed "));
    assert!(line.contains(text(&file)), "{line}");
    assert_eq!(statuses(&guard), [200, 401]);
    folder.write("secrets", NEW);
    reload(&guard, 2);
    assert_eq!(statuses(&guard), [401, 200]);
}

#[test]
fn a_file_that_everyone_can_read_earns_a_warning() {
    let folder = Folder::new("open");
    let file = folder.write("secrets", OLD);
    set_mode(&file, 0o644);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    let remedy = format!("chmod 600 {}", text(&file));
    guard.wait_for_log(|line| line.starts_with("warning ") && line.contains(&remedy));
}

#[test]
fn a_file_that_everyone_can_write_is_refused() {
    let folder = Folder::new("writable");
    let file = folder.write("secrets", OLD);
    for mode in [0o602, 0o622, 0o666] {
        set_mode(&file, mode);
        let said = fault(&[("SHARED_SECRET_FILE", text(&file))]);
        let remedy = format!("chmod 600 {}", text(&file));
        assert!(said.contains(&remedy), "{mode:o}: {said}");
    }
    set_mode(&file, 0o600);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    folder.write("secrets", NEW);
    set_mode(&file, 0o622);
    guard.wait_for_log(|line| line.starts_with("reload_failed ") && line.contains("chmod 600"));
    assert_eq!(statuses(&guard), [200, 401]);
    // The remedy is seen by itself.
    set_mode(&file, 0o600);
    wait_for_statuses(&guard, [401, 200]);
}

#[test]
fn a_comment_is_no_secret() {
    const COMMENT: &str = "# old, remove after Friday";
    let folder = Folder::new("comment");
    let file = folder.write(
        "secrets",
        &format!("{COMMENT}\n#\n{NEW}\n# \u{e4}lter\n{OLD}\n"),
    );
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    assert_eq!(statuses(&guard), [200, 200]);
    assert_eq!(guard.ask(presenting(COMMENT)).status, 401);
    assert_eq!(guard.ask(presenting("#")).status, 401);
    // Comments alone are no secret.
    let file = folder.write("comments", "# one\n# two\n");
    let said = fault(&[("SHARED_SECRET_FILE", text(&file))]);
    assert!(said.contains("holds no secret"), "{said}");
}

#[test]
fn a_line_that_is_no_secret_is_refused_with_its_number_and_a_remedy() {
    let folder = Folder::new("lines");
    for (line, remedy) in [
        (
            "SHARED_SECRET=hush-0123456789abcdef",
            "write the value alone",
        ),
        ("export hush=0123456789abcdef", "write the value alone"),
        ("<<<<<<< hush", "resolve the merge"),
        ("=======", "resolve the merge"),
        (">>>>>>> hush", "resolve the merge"),
        ("{", "looks like JSON"),
        ("{\"secret\": \"hush\"}", "looks like JSON"),
        ("\"secret\": \"hush\",", "looks like JSON"),
        ("secret: hush", "looks like YAML"),
        ("- hush", "looks like YAML"),
        ("---", "looks like YAML"),
        ("\"hush-0123456789abcdef\"", "remove them"),
        ("'hush-0123456789abcdef'", "remove them"),
        ("-----BEGIN PRIVATE KEY-----", "looks like a PEM file"),
        (NEW, "repeats the secret of line 2"),
        (" hush", "with a space"),
        ("\u{feff}hush", "byte order mark"),
    ] {
        let file = folder.write("secrets", &format!("# a comment\n{NEW}\n\n{line}\n{OLD}\n"));
        let said = fault(&[("SHARED_SECRET_FILE", text(&file))]);
        let place = format!("SHARED_SECRET_FILE: {}, line 4: ", text(&file));
        assert!(
            said.contains(&place) && said.contains(remedy),
            "{line}: {said}"
        );
        assert!(
            !said.contains("hush") && !said.contains("0123456789"),
            "{line}: {said}"
        );
    }
    let file = folder.write("marked", &format!("\u{feff}{NEW}\n"));
    let said = fault(&[("SHARED_SECRET_FILE", text(&file))]);
    assert!(
        said.contains("line 1: ") && said.contains("byte order mark"),
        "{said}"
    );
    // Base64 ends with one `=` or two.
    for secret in ["c2VjcmV0LXNlY3JldC1zZWM=", "c2VjcmV0LXNlY3JldC1zZWNyZQ=="] {
        let file = folder.write("base64", secret);
        let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
        assert_eq!(guard.ask(presenting(secret)).status, 200);
    }
}

#[test]
fn quotes_and_placeholders_earn_warnings() {
    let warned = |variables: &[(&str, &str)], wanted: &str| {
        let said = check(variables, 0);
        assert!(
            said.lines()
                .any(|line| line.starts_with("warning: ") && line.contains(wanted)),
            "{variables:?}: {said}"
        );
    };
    let quoted = format!("\"{OLD}\"");
    warned(
        &[("SHARED_SECRET", &quoted)],
        "SHARED_SECRET: it is in quotes",
    );
    let both = [("SHARED_SECRET", NEW), ("SHARED_SECRET_PREVIOUS", &quoted)];
    warned(&both, "SHARED_SECRET_PREVIOUS: it is in quotes");
    let assigned = format!("SHARED_SECRET={OLD}");
    warned(&[("SHARED_SECRET", &assigned)], "looks like an assignment");
    let same = [("SHARED_SECRET", OLD), ("SHARED_SECRET_PREVIOUS", OLD)];
    warned(&same, "SHARED_SECRET_PREVIOUS: it is the same");
    let folder = Folder::new("placeholders");
    for placeholder in [
        "changeme",
        "Change_Me",
        "secret",
        "password123",
        "your-secret-here",
    ] {
        warned(&[("SHARED_SECRET", placeholder)], "well-known placeholder");
        let file = folder.write("secrets", placeholder);
        warned(
            &[("SHARED_SECRET_FILE", text(&file))],
            "line 1: it is a well-known placeholder",
        );
    }
    warned(&[("SHARED_SECRET", "${SHARED_SECRET_OF_MINE}")], "template");
    let local = [("SHARED_SECRET", NEW), ("LISTEN", "127.0.0.1:8888")];
    assert_eq!(check(&local, 0), "");
}

#[test]
fn what_is_no_regular_file_is_named_and_holds_nothing_up() {
    let folder = Folder::new("irregular");
    let fifo = folder.path.join("fifo");
    make_fifo(&fifo);
    let socket = folder.path.join("socket");
    let _listener = UnixListener::bind(&socket).expect("bound");
    for (path, kind) in [
        (fifo.as_path(), "a FIFO"),
        (folder.path.as_path(), "a folder"),
        (Path::new("/dev/zero"), "a device"),
        (Path::new("/dev/tty"), "a device"),
        (socket.as_path(), "a socket"),
    ] {
        let said = fault(&[("SHARED_SECRET_FILE", text(path))]);
        let named = format!("SHARED_SECRET_FILE: {} is {kind}", text(path));
        assert!(said.contains(&named), "{kind}: {said}");
    }
    // The same while it runs, and it reads on.
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    fs::rename(&fifo, &file).expect("renamed");
    guard.signal(Signal::HUP);
    guard.wait_for_log(|line| line.starts_with("reload_failed ") && line.contains("is a FIFO"));
    assert_eq!(statuses(&guard), [200, 401]);
    folder.write("secrets", NEW);
    wait_for_statuses(&guard, [401, 200]);
}

#[test]
fn a_changed_file_is_read_without_a_signal() {
    let folder = Folder::new("unsignalled");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    folder.write("secrets", &format!("{NEW}\n{OLD}\n"));
    wait_for_statuses(&guard, [200, 200]);
    guard.wait_for_log(|line| line.starts_with("reloaded source=") && line.contains("secrets=2"));
    // Written in place, as an editor may.
    fs::write(&file, NEW).expect("written");
    wait_for_statuses(&guard, [401, 200]);
    fs::remove_file(&file).expect("removed");
    guard.wait_for_log(|line| line.starts_with("reload_failed ") && line.contains("No such file"));
    assert_eq!(statuses(&guard), [401, 200]);
    folder.write("secrets", OLD);
    wait_for_statuses(&guard, [200, 401]);
    let failed = |line: &&String| line.starts_with("reload_failed ");
    assert_eq!(guard.log().iter().filter(failed).count(), 1, "told once");
}

/// Kubernetes mounts a folder whose files are links into `..data`, itself a link to a
/// folder with a timestamp for a name, and turns `..data` by renaming.
#[test]
fn a_swap_of_kubernetes_is_seen() {
    let folder = Folder::new("kubernetes");
    let mount = &folder.path;
    let publish = |stamp: &str, secret: &str| {
        fs::create_dir(mount.join(stamp)).expect("a folder");
        let file = mount.join(stamp).join("secret");
        fs::write(&file, secret).expect("written");
        set_mode(&file, 0o600);
        symlink(stamp, mount.join("..data_tmp")).expect("linked");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("turned");
    };
    publish("..2026_11_25_20_00_00.1", OLD);
    symlink("..data/secret", mount.join("secret")).expect("linked");
    let file = mount.join("secret");
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    assert_eq!(statuses(&guard), [200, 401]);
    publish("..2026_11_25_20_01_00.2", NEW);
    fs::remove_dir_all(mount.join("..2026_11_25_20_00_00.1")).expect("removed");
    wait_for_statuses(&guard, [401, 200]);
}

/// The tracer of a guard, ended by pid when dropped: what is traced cannot end while a
/// call of it is held up.
struct Tracer(rustix::process::Pid);

impl Tracer {
    fn of(guard: &Guard) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", guard.pid())).expect("there");
        let pid = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"))
            .and_then(|pid| pid.trim().parse().ok())
            .and_then(rustix::process::Pid::from_raw);
        Self(pid.expect("is traced"))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
    }
}

/// The system call that opens the secret file is held up for minutes, as on a network's
/// file system that hangs; the keys are read all the same, by themselves and at SIGHUP.
#[test]
fn a_secret_file_that_hangs_does_not_keep_a_revoked_key_good() {
    if !installed("strace", "apt install strace") {
        return;
    }
    let keys = KeyFile::new("hangs");
    let file = keys.folder.write("secrets", OLD);
    let key = keys.add("acme", &[]);
    let mut traced = Command::new("strace");
    traced
        // The tracer is a grandchild: what is killed in the end is the guard.
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-P", text(&file)])
        .args(["-e", "trace=open,openat", "-e"])
        .arg("inject=open,openat:delay_enter=300000000:when=2+")
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .env("SHARED_SECRET_FILE", &file)
        .env("LISTEN", "none")
        .env("GATEWAY_LISTEN", "127.0.0.1:0")
        .env("API_KEYS_FILE", &keys.path);
    let guard = Guard::spawn(&mut traced);
    let _tracer = Tracer::of(&guard);
    let status = |key: &str| {
        let request =
            format!("GET /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
        guard.ask(request).status
    };
    let wait_for = |key: &str, wanted: u16| {
        let since = Instant::now();
        while status(key) != wanted {
            assert!(since.elapsed() < support::PATIENCE, "never {wanted}");
            std::thread::yield_now();
        }
    };
    assert_eq!(status(&key), 200);
    // strace counts the calls of each thread: the second one of the secrets' thread hangs.
    reload(&guard, 1);
    keys.folder.write("secrets", NEW);
    guard.signal(Signal::HUP);
    keys.must(&["revoke", &keys.id(&key)]);
    wait_for(&key, 401);
    // A later signal finds the secrets' thread still held up.
    let next = keys.add("next", &[]);
    guard.signal(Signal::HUP);
    wait_for(&next, 200);
    let reloaded =
        |line: &String| line.starts_with("reloaded ") || line.starts_with("reload_failed ");
    let log = guard.log();
    assert_eq!(
        log.iter().filter(|line| reloaded(line)).count(),
        1,
        "{log:?}"
    );
}

#[test]
fn rotation_under_load_refuses_no_good_request() {
    let folder = Folder::new("rotation");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file)), ("WORKERS", "2")]);
    // What the gateway sends; it changes while both are accepted.
    let gateway_has_new = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = guard.connect();
                while !done.load(SeqCst) {
                    let secret = if gateway_has_new.load(SeqCst) {
                        NEW
                    } else {
                        OLD
                    };
                    stream
                        .write_all(presenting(secret).as_bytes())
                        .expect("sent");
                    let answer = Answer::read(&mut stream, false).expect("an answer");
                    assert_eq!(answer.status, 200);
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        let _stop = Stop(&done);
        let some_more = || {
            let (before, since) = (answered.load(SeqCst), Instant::now());
            while answered.load(SeqCst) < before + 200 {
                assert!(since.elapsed() < support::PATIENCE, "no answers");
                std::thread::yield_now();
            }
        };
        some_more();
        folder.write("secrets", &format!("{NEW}\n{OLD}\n"));
        reload(&guard, 1);
        some_more();
        gateway_has_new.store(true, SeqCst);
        // Every request under way with the old one is answered after this many more.
        some_more();
        folder.write("secrets", NEW);
        reload(&guard, 2);
        some_more();
        // A storm of signals, each of which reloads or joins one that waits.
        for _ in 0..1000 {
            guard.signal(Signal::HUP);
        }
        some_more();
    });
    assert_eq!(statuses(&guard), [401, 200]);
}

#[test]
fn keygen_prints_fresh_secrets_that_can_be_used() {
    let fresh = || {
        let output = command().arg("keygen").output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("ASCII")
    };
    let (one, other) = (fresh(), fresh());
    assert_ne!(one, other);
    assert_eq!(one.trim_end().len(), 43, "256 bits in base64url");
    let guard = Guard::with(&[("SHARED_SECRET", one.trim_end())]);
    assert_eq!(guard.ask(presenting(one.trim_end())).status, 200);
}

#[test]
fn no_secret_can_be_read_from_the_outside() {
    let folder = Folder::new("outside");
    let file = folder.write("secrets", OLD);
    let guard = Guard::with(&[("SHARED_SECRET_FILE", text(&file))]);
    assert_eq!(statuses(&guard), [200, 401]);
    let process = PathBuf::from(format!("/proc/{}", guard.pid()));
    for name in ["cmdline", "environ", "status"] {
        let shown = fs::read(process.join(name)).expect("readable by root and the owner");
        let found = shown
            .windows(OLD.len())
            .any(|window| window == OLD.as_bytes());
        assert!(!found, "{name}");
    }
    assert!(!guard.log().join("\n").contains(OLD));
    reload(&guard, 1);
    assert!(!guard.log().join("\n").contains(OLD));
}

#[test]
fn an_address_of_a_guard_that_is_none_is_named_with_one_that_is() {
    for (written, meant) in [
        ("localhost:9100", "127.0.0.1:9100"),
        ("9101", "127.0.0.1:9101"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_origin-guard"))
            .args(["health", "--admin", written])
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(meant), "{said}");
        assert!(!said.contains("0.0.0.0"), "{said}");
    }
    let folder = Folder::new("relative-admin");
    let output = Command::new(env!("CARGO_BIN_EXE_origin-guard"))
        .args(["health", "--admin", "unix:./admin.sock"])
        .current_dir(&folder.path)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let meant = format!("as in unix:{}/admin.sock", text(&folder.path));
    assert!(!output.status.success() && said.contains(&meant), "{said}");
}
