//! `origin-guard secret`: the whole rotation of two guards under load, and what each step
//! refuses.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "relay/scripted.rs"]
mod scripted;
mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use scripted::{Backend, ok};
use support::folder::Folder;
use support::keys::{KeyFile, Said};
use support::port::HeldPort;
use support::{Answer, Guard, PATIENCE, command, installed, skip};

/// Another user.
const NOBODY: u32 = 65534;
const OLD: &str = "the-old-secret-0123456789-abcdefghij";

/// Runs `origin-guard secret` with these arguments and this standard input.
fn secret_with(input: &str, arguments: &[&str]) -> Said {
    let mut secret = command();
    secret
        .arg("secret")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = secret.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that fails first takes none.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("ends").into()
}

fn secret(arguments: &[&str]) -> Said {
    secret_with("", arguments)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn first_line(path: &Path) -> String {
    let held = fs::read_to_string(path).expect("readable");
    held.lines().next().expect("a line").to_owned()
}

fn presenting(secret: &str) -> String {
    format!("GET /protected HTTP/1.1\r\nHost: test\r\nX-Shared-Secret: {secret}\r\n\r\n")
}

/// Runs it until it says `wanted` on stdout or stderr.
fn until(arguments: &[&str], wanted: &str) -> Said {
    let since = Instant::now();
    loop {
        let said = secret(arguments);
        if said.out.contains(wanted) || said.err.contains(wanted) {
            return said;
        }
        assert!(since.elapsed() < PATIENCE, "never {wanted:?}: {said:#?}");
    }
}

/// Ends the load, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// A gateway and an origin in front of a backend, each with a file and an operator's
/// listener of its own.
struct Halves {
    _folder: Folder,
    /// The folder of the origin's file.
    of_origin: PathBuf,
    of_gateway: PathBuf,
    origin: Guard,
    gateway: Guard,
    origin_admin: String,
    gateway_admin: String,
    _keys: KeyFile,
    key: String,
    answered: AtomicUsize,
}

impl Halves {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let of_origin = folder.path.join("origin");
        fs::create_dir(&of_origin).expect("a folder");
        let file = of_origin.join("shared-secret");
        fs::write(&file, format!("# of the origin\n{OLD}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        let of_gateway = folder.write("gateway", OLD);
        let backend = Backend::new();
        let url = backend.url();
        backend.serve(|mut peer| {
            while peer.try_head().is_some() {
                peer.send(ok("arrived"));
            }
        });
        let origin = Guard::with(&[
            ("SHARED_SECRET_FILE", text(&file)),
            ("BACKEND", &url),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
        ]);
        let keys = KeyFile::new(&format!("{name}-keys"));
        let key = keys.add("alice", &[]);
        let gateway_admin = format!("unix:{}", text(&folder.path.join("admin.sock")));
        let mut gateway = Guard::with(&[
            ("SHARED_SECRET_FILE", text(&of_gateway)),
            ("LISTEN", "none"),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("ORIGIN", &format!("http://{}", origin.address)),
            ("API_KEYS_FILE", keys.text()),
            ("ADMIN_LISTEN", &gateway_admin),
        ]);
        // The first one is the operator's.
        gateway.address = gateway.second_address();
        Self {
            _folder: folder,
            of_origin,
            of_gateway,
            origin_admin: origin.second_address().to_string(),
            origin,
            gateway,
            gateway_admin,
            _keys: keys,
            key,
            answered: AtomicUsize::new(0),
        }
    }

    /// One request of the consumer, through both.
    fn ask(&self) -> Answer {
        self.gateway.ask(self.request())
    }

    fn request(&self) -> String {
        format!(
            "GET / HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {}\r\n\r\n",
            self.key
        )
    }

    fn status(&self) -> [&str; 4] {
        let file = text(&self.of_origin);
        ["status", file, "--admin", &self.origin_admin]
    }

    fn finish<'a>(&'a self, quiet: &'a str) -> [&'a str; 6] {
        let (file, admin) = (text(&self.of_origin), &self.origin_admin);
        ["finish", file, "--admin", admin, "--quiet-for", quiet]
    }

    /// Runs `steps` while four clients ask one request after the other; each must be
    /// answered with 200.
    fn under_load(&self, steps: impl FnOnce()) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut stream = self.gateway.connect();
                    let request = self.request();
                    while !over.load(SeqCst) {
                        stream.write_all(request.as_bytes()).expect("sent");
                        let answer = Answer::read(&mut stream, false).expect("an answer");
                        assert_eq!(answer.status, 200, "{answer:?}");
                        self.answered.fetch_add(1, SeqCst);
                    }
                });
            }
            let end = End(&over);
            self.some_more();
            steps();
            self.some_more();
            drop(end);
        });
    }

    /// Waits for answers to requests that come after now.
    fn some_more(&self) {
        let (since, before) = (Instant::now(), self.answered.load(SeqCst));
        while self.answered.load(SeqCst) < before + 50 {
            assert!(since.elapsed() < PATIENCE, "no answers");
            std::thread::yield_now();
        }
    }
}

#[test]
fn two_guards_rotate_under_load_and_no_request_is_refused() {
    let halves = Halves::start("secret-load");
    let (of_origin, of_gateway) = (text(&halves.of_origin), text(&halves.of_gateway));
    let refused = |arguments: &[&str], why: &str| {
        let said = secret(arguments);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    };
    let until_gone = |what: &str| {
        let since = Instant::now();
        while secret(&halves.status()).out.contains(what) {
            assert!(since.elapsed() < PATIENCE, "{what} for ever");
        }
    };
    let mut new = String::new();
    halves.under_load(|| {
        // The origin takes both.
        let said = secret(&["rotate", of_origin, "--print"]);
        assert_eq!(said.status, Some(0), "{said:?}");
        new = said.out.trim_end().to_owned();
        assert_eq!(new.len(), 43, "256 bits in base64url");
        assert!(said.err.contains("systemctl restart"), "{said:?}");
        let said = until(&halves.status(), "2 previous: ");
        assert_eq!(said.status, Some(0), "{said:?}");
        until(&halves.status(), "      by 127.0.0.1: ");
        halves.some_more();
        // Too early: the gateway sends the previous one.
        refused(&halves.finish("0s"), "no guard has seen the current secret");
        refused(
            &halves.finish("1h"),
            " ago by 127.0.0.1; it may go once nobody has used it for 1 h",
        );
        // The gateway sends the new one.
        let said = secret_with(&format!("{new}\n"), &["rotate", of_gateway, "--stdin"]);
        assert_eq!((said.status, &*said.out), (Some(0), ""), "{said:?}");
        until_gone("1 current: 0 requests");
        // The gateway tells of its own file.
        let of_its_own = ["status", of_gateway, "--admin", &halves.gateway_admin];
        let said = until(&of_its_own, "sends the current secret and checks none");
        assert_eq!(said.status, Some(0), "{said:?}");
        halves.some_more();
        // An hour is a long time, and the previous one goes after a second.
        refused(&halves.finish("1h"), "saw it ");
        until(&halves.finish("1s"), "1 previous secret removed");
        until(
            &["finish", of_gateway, "--admin", &halves.gateway_admin],
            "1 previous secret removed",
        );
        until_gone("previous");
    });
    for (secret, status) in [(OLD, 401), (&*new, 200)] {
        assert_eq!(halves.origin.ask(presenting(secret)).status, status);
    }
    let file = halves.of_origin.join("shared-secret");
    let held = fs::read_to_string(&file).expect("readable");
    assert_eq!(held, format!("# of the origin\n{new}\n"));
    assert_eq!(first_line(&halves.of_gateway), new);
    let mode = fs::metadata(&file).expect("there").mode() & 0o7777;
    assert_eq!(mode, 0o640, "it has the mode of the old one");
    for log in [halves.origin.log(), halves.gateway.log()] {
        let log = log.join("\n");
        assert!(!log.contains(OLD) && !log.contains(&new), "{log}");
    }
}

#[test]
fn a_gateway_that_rotates_first_is_told_so_and_how_to_mend_it() {
    let halves = Halves::start("secret-gateway-first");
    let (of_origin, of_gateway) = (text(&halves.of_origin), text(&halves.of_gateway));
    let admin = &*halves.gateway_admin;
    let rotate = |variables: &[(&str, &str)]| {
        let mut rotate = command();
        rotate.args(["secret", "rotate", of_gateway]);
        let said: Said = rotate
            .envs(variables.iter().copied())
            .output()
            .expect("runs")
            .into();
        said
    };
    let until_answered = |status: u16| {
        let since = Instant::now();
        while halves.ask().status != status {
            assert!(since.elapsed() < PATIENCE, "never {status}");
        }
    };
    until_answered(200);
    // Where the guard is known it is not done.
    let said = rotate(&[("ADMIN_LISTEN", admin)]);
    assert_eq!(said.status, Some(1), "{said:?}");
    for part in [
        "is a gateway",
        "the origin's file first",
        "--stdin",
        "--force",
    ] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    assert_eq!(first_line(&halves.of_gateway), OLD);
    let said = secret(&["rotate", of_gateway, "--admin", admin]);
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.err.contains("is a gateway"), "{said:?}");
    assert_eq!(first_line(&halves.of_gateway), OLD);
    // Where it is not known it is done, and what that means is said.
    let said = rotate(&[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let mend = "If this is the file of a gateway instead, the origin refuses";
    assert!(said.err.contains(mend), "{said:?}");
    until_answered(401);
    let said = secret(&["status", of_gateway, "--admin", admin]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let refused = format!(
        "its origin {} has refused the secret of ",
        halves.origin.address
    );
    assert!(said.out.contains(&refused), "{said:?}");
    let health = || {
        let health = command().args(["health", "--admin", admin]).output();
        let said: Said = health.expect("runs").into();
        said.out
    };
    assert!(health().contains("refuses the secret"), "{}", health());
    // The previous one is the one that is good, so it does not go.
    let said = secret(&["finish", of_gateway, "--admin", admin, "--quiet-for", "0s"]);
    assert_eq!(said.status, Some(1), "{said:?}");
    for part in [&*refused, "put the gateway's secret into the origin's file"] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    // Waiting does not mend it.
    assert!(!said.err.contains("try again later"), "{said:?}");
    let held = fs::read_to_string(&halves.of_gateway).expect("readable");
    assert!(held.contains(OLD));
    let new = first_line(&halves.of_gateway);
    let said = secret_with(&new, &["rotate", of_origin, "--stdin"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    until_answered(200);
    // All places say that it is over, though it was a moment ago.
    assert!(!health().contains("refuses the secret"), "{}", health());
    let said = secret(&["status", of_gateway, "--admin", admin]);
    assert!(!said.out.contains("refused"), "{said:?}");
}

#[test]
fn a_gateway_that_is_rotated_by_force_is_told_the_steps_of_a_gateway() {
    let halves = Halves::start("secret-gateway-force");
    let of_gateway = text(&halves.of_gateway);
    let admin = &*halves.gateway_admin;
    let said = secret(&["rotate", of_gateway, "--force", "--admin", admin]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let known = format!("the guard at {admin} is a gateway: it sends the new secret");
    let status = format!("secret status {of_gateway} --admin {admin}");
    let at_origin = "At the origin, put the new secret first in its file";
    let mut rest = &*said.err;
    for part in [&*known, at_origin, "rotate FILE --stdin", &status] {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{part}, in this order: {said:?}"));
        rest = &rest[at..];
    }
    for part in [
        "Set the new secret at the gateway",
        "If this is the file of",
    ] {
        assert!(!said.err.contains(part), "{part}: {said:?}");
    }
    // The first step mends what the gateway's requests meet.
    let new = first_line(&halves.of_gateway);
    let said = secret_with(&new, &["rotate", text(&halves.of_origin), "--stdin"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let since = Instant::now();
    while halves.ask().status != 200 || halves.origin.ask(presenting(&new)).status != 200 {
        assert!(since.elapsed() < PATIENCE, "never 200");
    }
}

#[test]
fn a_guard_that_is_named_to_rotate_and_is_silent_is_warned_of() {
    let folder = Folder::new("secret-silent");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    let said = secret(&["rotate", text(&file), "--admin", "127.0.0.1:1"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let warned = "warning: the guard at 127.0.0.1:1 ";
    assert!(said.err.contains(warned), "{said:?}");
    let next = format!("secret finish {} --admin 127.0.0.1:1", text(&file));
    assert!(said.err.contains(&next), "{said:?}");
}

#[test]
fn finish_says_which_guard_is_to_be_asked() {
    let halves = Halves::start("secret-which-guard");
    let (of_origin, of_gateway) = (text(&halves.of_origin), text(&halves.of_gateway));
    let (origin, gateway) = (&*halves.origin_admin, &*halves.gateway_admin);
    let rotate = command()
        .args(["secret", "rotate", of_origin, "--print"])
        .env("ADMIN_LISTEN", origin)
        .output()
        .expect("runs");
    let said: Said = rotate.into();
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(!said.err.contains("a gateway instead"), "{said:?}");
    let said = secret_with(&said.out, &["rotate", of_gateway, "--stdin"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    for (file, guard, why) in [
        (of_origin, gateway, "is a gateway and reads another file ("),
        (of_gateway, origin, " reads another file ("),
    ] {
        let said = secret(&["finish", file, "--admin", guard, "--quiet-for", "0s"]);
        assert_eq!(said.status, Some(1), "{said:?}");
        for part in [why, "ask the guard whose file this is, by its ADMIN_LISTEN"] {
            assert!(said.err.contains(part), "{part}: {said:?}");
        }
        // To wait is no help.
        assert!(!said.err.contains("try again later"), "{said:?}");
    }
    // A gateway knows nothing of who else sends it, and that is said.
    let finish = ["finish", of_gateway, "--admin", gateway];
    let said = until(&finish, "1 previous secret removed");
    let told = "is a gateway: it sends the current secret and checks none";
    assert!(said.err.contains(told), "{said:?}");
}

#[test]
fn a_secret_is_shown_by_its_file_alone_unless_it_is_to_be_printed() {
    let folder = Folder::new("secret-shown");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    let said = secret(&["rotate", text(&file)]);
    assert_eq!((said.status, &*said.out), (Some(0), ""), "{said:?}");
    let fresh = first_line(&file);
    assert_ne!(fresh, OLD);
    assert!(
        !said.err.contains(&fresh) && !said.err.contains(OLD),
        "{said:?}"
    );
    // Once more would be a mistake as a rule.
    let said = secret(&["rotate", text(&file)]);
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(
        said.err.contains("under way") && said.err.contains("--force"),
        "{said:?}"
    );
    assert_eq!(first_line(&file), fresh, "it is as it was");
    let said = secret(&["rotate", text(&file), "--force", "--print"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.out.trim_end(), first_line(&file));
    let said = secret(&["finish", text(&file), "--force"]);
    assert!(said.err.contains("2 previous secrets removed"), "{said:?}");
    let said = secret(&["finish", text(&file), "--force"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("nothing to remove"), "{said:?}");
}

#[test]
fn the_next_steps_can_be_copied() {
    let folder = Folder::new("secret-next");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    let guard = Guard::with(&[
        ("SHARED_SECRET_FILE", text(&file)),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let admin = guard.second_address().to_string();
    let rotate = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut rotate = command();
        rotate.args(["secret", "rotate", text(&file), "--force"]);
        rotate.args(arguments).envs(variables.iter().copied());
        let input = folder.write("input", "another-secret-0123456789abcdef\n");
        rotate.stdin(fs::File::open(input).expect("readable"));
        let said: Said = rotate.output().expect("runs").into();
        assert_eq!(said.status, Some(0), "{said:?}");
        said.err
    };
    let line = |said: &str, step: &str| {
        let lines = said
            .lines()
            .filter_map(|line| line.split_once("origin-guard secret "));
        let mut commands = lines.map(|(_, command)| command.to_owned());
        let found = commands.find(|command| command.starts_with(step));
        found.unwrap_or_else(|| panic!("no {step} in {said}"))
    };
    let mut said = rotate(&[], &[("ADMIN_LISTEN", &admin)]);
    for step in ["status", "finish"] {
        let wanted = format!("{step} {} --admin {admin}", text(&file));
        assert_eq!(line(&said, step), wanted);
    }
    // Just after a change the guard has not looked yet, as a rule; it does so by itself.
    let copied = line(&said, "status");
    let arguments: Vec<_> = copied.split(' ').collect();
    let since = Instant::now();
    loop {
        let told = secret(&arguments);
        assert_eq!(told.status, Some(0), "{told:?}");
        if told.out.contains("it has not read the file as it is now") {
            assert!(
                told.out.contains("wait two seconds and ask again"),
                "{told:?}"
            );
            assert!(!told.out.contains("restart"), "{told:?}");
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{told:?}");
        secret(&["finish", text(&file), "--force"]);
        said = rotate(&[], &[("ADMIN_LISTEN", &admin)]);
    }
    assert_eq!(line(&said, "status"), copied);
    until(&arguments, "2 previous: ");
    if Path::new("/run/origin-guard/admin.sock").exists() {
        return skip("a guard of this machine is found without --admin");
    }
    for arguments in [&[][..], &["--stdin"]] {
        let said = rotate(arguments, &[]);
        let wanted = format!("finish {} --admin ADDRESS", text(&file));
        assert_eq!(line(&said, "finish"), wanted);
        let explained =
            "for ADDRESS write what the guard's ADMIN_LISTEN holds, such as 127.0.0.1:9100";
        assert!(said.contains(explained), "{said}");
    }
}

#[test]
fn of_two_that_rotate_at_once_one_does() {
    let folder = Folder::new("secret-twice");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    let done = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| secret(&["rotate", text(&file)]).status))
            .collect();
        let all = all.into_iter().map(|one| one.join().expect("no panic"));
        all.filter(|status| *status == Some(0)).count()
    });
    assert_eq!(done, 1);
    assert_eq!(fs::read_to_string(&file).expect("there").lines().count(), 2);
}

#[test]
fn what_is_wrong_is_named_with_its_remedy_and_nothing_changes() {
    let folder = Folder::new("secret-faults");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    let faulty = folder.write(
        "faulty",
        &format!("{OLD}\nSHARED_SECRET=hush-0123456789abcdef\n"),
    );
    let open = folder.write("open", OLD);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).expect("set");
    let missing = folder.path.join("missing");
    let file = text(&file);
    let cases: [(&str, &[&str], i32, &str); 14] = [
        ("", &["rotate"], 64, "SHARED_SECRET_FILE"),
        ("", &["rotate", text(&missing)], 1, "origin-guard keygen >"),
        (
            "",
            &["rotate", text(&faulty)],
            78,
            "line 2: it looks like an assignment",
        ),
        ("", &["rotate", text(&open)], 78, "chmod 600"),
        ("short\n", &["rotate", file, "--stdin"], 1, "16 bytes"),
        (
            "one-0123456789abcdef\ntwo\n",
            &["rotate", file, "--stdin"],
            1,
            "one line",
        ),
        (
            " a-secret-0123456789",
            &["rotate", file, "--stdin", "--force"],
            1,
            "standard input: it begins or ends with a space",
        ),
        (
            "",
            &["rotate", file, "--quiet-for", "1h"],
            64,
            "does not take --quiet-for",
        ),
        ("", &["rotate", file, "--admin", "here"], 64, "ADDRESS:PORT"),
        ("", &["status", file], 64, "--admin ADDRESS"),
        ("", &["status", file, "--admin", "here"], 64, "ADDRESS:PORT"),
        (
            "",
            &[
                "finish",
                file,
                "--quiet-for",
                "soon",
                "--admin",
                "127.0.0.1:1",
            ],
            64,
            "1h",
        ),
        ("", &["forget", file], 64, "unknown command"),
        ("", &["rotate", file, OLD], 64, "too many"),
    ];
    for (input, arguments, status, named) in cases {
        let said = secret_with(input, arguments);
        assert_eq!(said.status, Some(status), "{arguments:?}: {said:?}");
        assert!(said.err.contains(named), "{arguments:?}: {said:?}");
        assert!(
            !said.err.contains(OLD) && !said.err.contains("hush"),
            "{said:?}"
        );
        assert_eq!(said.out, "", "{arguments:?}");
    }
    assert_eq!(fs::read_to_string(file).expect("there"), format!("{OLD}\n"));
    let left: Vec<_> = fs::read_dir(&folder.path).expect("there").collect();
    assert_eq!(left.len(), 3, "no lock is left behind: {left:?}");
}

#[test]
fn a_secret_that_is_there_already_is_not_added_again() {
    let folder = Folder::new("secret-there");
    let before = format!("# mine\n{OLD}\n");
    let file = folder.write("secrets", &before);
    let rotate = |input: &str, force: &[&str]| {
        secret_with(
            input,
            &[&["rotate", text(&file), "--stdin"], force].concat(),
        )
    };
    let said = rotate(OLD, &[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.contains("there is nothing to do"), "{said:?}");
    assert_eq!(fs::read_to_string(&file).expect("there"), before);
    // Also in the middle of a rotation, of which it is the second time.
    let new = "the-new-secret-0123456789-abcdefghij";
    for _ in 0..2 {
        let said = rotate(new, &[]);
        assert_eq!(said.status, Some(0), "{said:?}");
    }
    let held = format!("# mine\n{new}\n{OLD}\n");
    assert_eq!(fs::read_to_string(&file).expect("there"), held);
    for force in [&[][..], &["--force"]] {
        let said = rotate(OLD, force);
        assert_eq!(said.status, Some(1), "{said:?}");
        let named = format!(
            "standard input: {} holds this secret already as a previous one, on line 3; to make",
            text(&file)
        );
        assert!(said.err.contains(&named), "{said:?}");
    }
    assert_eq!(fs::read_to_string(&file).expect("there"), held);
}

#[test]
fn a_secret_of_the_environment_is_told_how_to_move() {
    for action in ["rotate", "status", "finish"] {
        let output = command()
            .args(["secret", action])
            .env("SHARED_SECRET", OLD)
            .output();
        let said: Said = output.expect("runs").into();
        assert_eq!(said.status, Some(64), "{said:?}");
        for part in [
            "the secret is in SHARED_SECRET",
            "> /etc/origin-guard/shared-secret",
            "SHARED_SECRET_PREVIOUS",
        ] {
            assert!(said.err.contains(part), "{part}: {said:?}");
        }
        assert!(!said.err.contains(OLD), "{said:?}");
    }
}

#[test]
fn another_file_with_the_same_relative_name_is_another_file() {
    let folder = Folder::new("secret-relative");
    folder.write("secret", OLD);
    let fake = folder.path.join("fake");
    fs::create_dir(&fake).expect("made");
    fs::write(fake.join("secret"), "a-secret-of-others-0123456789").expect("written");
    fs::set_permissions(fake.join("secret"), fs::Permissions::from_mode(0o600)).expect("set");
    let mut guard = command();
    guard
        .current_dir(&folder.path)
        .env("SHARED_SECRET_FILE", "secret")
        .env("ADMIN_LISTEN", "127.0.0.1:0");
    let guard = Guard::spawn(&mut guard);
    let admin = guard.second_address().to_string();
    let status = |folder: &Path| -> Said {
        let mut status = command();
        status
            .current_dir(folder)
            .args(["secret", "status", "secret", "--admin", &admin]);
        status.output().expect("runs").into()
    };
    let said = status(&fake);
    assert_eq!(said.status, Some(1), "{said:?}");
    let named = format!("reads another file ({})", text(&folder.path.join("secret")));
    assert!(said.err.contains(&named), "{said:?}");
    let said = status(&folder.path);
    assert_eq!(said.status, Some(0), "{said:?}");
}

#[test]
fn who_may_not_change_a_file_is_told_who_may() {
    if !rustix::process::geteuid().is_root() || !installed("setpriv", "apt install util-linux") {
        skip("only root can run this as another user");
        return;
    }
    let folder = Folder::new("secret-denied");
    let file = folder.write("secrets", OLD);
    chown(&file, Some(NOBODY), Some(NOBODY)).expect("root");
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755)).expect("set");
    let keys = folder.path.join("keys.json");
    for arguments in [
        &["secret", "rotate", text(&file)][..],
        &["keys", "add", "acme", "--file", text(&keys)],
    ] {
        let nobody = NOBODY.to_string();
        let mut denied = Command::new("setpriv");
        denied
            .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
            .arg(env!("CARGO_BIN_EXE_origin-guard"))
            .args(arguments);
        let said: Said = denied.output().expect("runs").into();
        assert_eq!(said.status, Some(1), "{said:?}");
        let named = format!(
            "Permission denied (os error 13) to user {NOBODY}: {} has mode 0755, user 0, group 0; \
             run the same command as root: sudo origin-guard",
            text(&folder.path)
        );
        assert!(said.err.contains(&named), "{arguments:?}: {said:?}");
    }
}

#[test]
fn finish_wants_to_hear_it_from_every_guard() {
    let folder = Folder::new("secret-guards");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    // systemd's credential is a copy that is made at the start.
    let credential = folder.write("shared-secret", &format!("{OLD}\n"));
    let copy = || fs::copy(&file, &credential).expect("copied");
    copy();
    let start = || {
        Guard::with(&[
            ("CREDENTIALS_DIRECTORY", text(&folder.path)),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
        ])
    };
    let finish = |guards: &[&str]| {
        let mut arguments = vec!["finish", text(&file), "--quiet-for", "0s"];
        for guard in guards {
            arguments.extend(["--admin", guard]);
        }
        secret(&arguments)
    };
    let stays = |said: Said, why: &str| {
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(
            said.err.contains(why) && said.err.contains("--force"),
            "{said:?}"
        );
        let held = fs::read_to_string(&file).expect("there");
        assert!(held.contains(OLD), "{said:?}");
    };
    let guard = start();
    let admin = guard.second_address().to_string();
    assert_eq!(secret(&["rotate", text(&file)]).status, Some(0));
    stays(finish(&[&admin]), "has not read the file as it is now");
    let said = secret(&["status", text(&file), "--admin", &admin]);
    let wanted = "it has not read the file as it is now: systemd hands it over at a start";
    assert!(said.out.contains(wanted), "{said:?}");
    // The guard sees what systemd would hand it anew.
    copy();
    guard.wait_for_log(|line| line.starts_with("reloaded ") && line.contains("secrets=2"));
    let fresh = first_line(&file);
    stays(finish(&[&admin]), "no guard has seen the current secret");
    // All that is against it is named at once.
    assert_eq!(guard.ask(presenting(OLD)).status, 200);
    let said = secret(&[
        "finish",
        text(&file),
        "--quiet-for",
        "1h",
        "--admin",
        &admin,
    ]);
    for why in ["no guard has seen the current", "saw it", "has run for"] {
        assert!(said.err.contains(why), "{why}: {said:?}");
    }
    assert_eq!(guard.ask(presenting(&fresh)).status, 200);
    // Nobody listens at the second one, and the third is not an operator's listener.
    let closed = HeldPort::new();
    let address = closed.address.to_string();
    stays(finish(&[&admin, &address]), "cannot be reached");
    let wrong = guard.address.to_string();
    stays(finish(&[&admin, &wrong]), "this is not its ADMIN_LISTEN");
    let elsewhere = Guard::with(&[
        ("SHARED_SECRET_FILE", text(&folder.write("another", OLD))),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let another = elsewhere.second_address().to_string();
    stays(finish(&[&admin, &another]), "reads another file (");
    // Its counts are of other secrets.
    let said = secret(&["status", text(&file), "--admin", &another]);
    assert_eq!(said.status, Some(1), "{said:?}");
    let wanted = format!(
        "the guard at {another} reads another file ({}); ask the guard whose file this is",
        text(&folder.path.join("another"))
    );
    assert!(said.err.contains(&wanted), "{said:?}");
    assert!(!said.out.contains("current: "), "{said:?}");
    let fixed = Guard::with(&[("SHARED_SECRET", OLD), ("ADMIN_LISTEN", "127.0.0.1:0")]);
    let address_of_fixed = fixed.second_address().to_string();
    stays(finish(&[&address_of_fixed]), "from its environment");
    // One that cannot be asked does not hide what another one says.
    let said = secret(&[
        "status",
        text(&file),
        "--admin",
        &address,
        "--admin",
        &admin,
    ]);
    assert!(
        said.status == Some(1) && said.err.contains("cannot be reached"),
        "{said:?}"
    );
    assert!(said.out.contains("running for"), "{said:?}");
    let list = format!("{admin},{address}");
    stays(finish(&[&list]), "cannot be reached");
    let said = finish(&[&admin]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(
        fs::read_to_string(&file).expect("there"),
        format!("{fresh}\n")
    );
}

#[test]
fn health_tells_in_one_line_and_by_its_status() {
    let health = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut health = command();
        health.arg("health").args(arguments);
        let said: Said = health
            .envs(variables.iter().copied())
            .output()
            .expect("runs")
            .into();
        said
    };
    let guard = Guard::with(&[("SHARED_SECRET", OLD), ("ADMIN_LISTEN", "127.0.0.1:0")]);
    let admin = guard.second_address().to_string();
    for said in [
        health(&["--admin", &admin], &[]),
        health(&[], &[("ADMIN_LISTEN", &admin)]),
    ] {
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(
            said.out.starts_with("healthy: ") && said.out.lines().count() == 1,
            "{said:?}"
        );
        assert_eq!(said.err, "");
    }
    let unhealthy = |said: Said, why: &str| {
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.out.starts_with("unhealthy: "), "{said:?}");
        assert!(
            said.out.contains(why) && said.out.lines().count() == 1,
            "{said:?}"
        );
    };
    // Nothing can be let in.
    let bare = Guard::with(&[("ADMIN_LISTEN", "127.0.0.1:0")]);
    let admin = bare.second_address().to_string();
    unhealthy(health(&["--admin", &admin], &[]), "No secret is configured");
    let keyless = Guard::with(&[
        ("SHARED_SECRET", OLD),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let of_keyless = keyless.second_address().to_string();
    unhealthy(
        health(&["--admin", &of_keyless], &[]),
        "No file of API keys",
    );
    // Where the same guard speaks TLS, too, it is asked in the clear.
    let both = format!("tls:127.0.0.1:1,{}", guard.second_address());
    assert_eq!(health(&[], &[("ADMIN_LISTEN", &both)]).status, Some(0));
    drop(bare);
    unhealthy(health(&["--admin", &admin], &[]), "cannot be reached");
    unhealthy(health(&["--admin", "tls:127.0.0.1:1"], &[]), "speaks TLS");
    let said = health(&[], &[]);
    assert_eq!(said.status, Some(64), "{said:?}");
    assert!(said.err.contains("ADMIN_LISTEN"), "{said:?}");
    // Each guard that is named has its line, and one that is not well makes the end.
    let first = guard.second_address();
    let third = HeldPort::new();
    let list = format!("{first},{of_keyless},{}", third.address);
    let said = health(&["--admin", &list], &[]);
    assert_eq!(said.status, Some(1), "{said:?}");
    let lines: Vec<_> = said.out.lines().collect();
    for (line, beginning) in lines.iter().zip([
        format!("healthy: {first} answers, "),
        format!("unhealthy: the guard at {of_keyless} answers: No file of API keys"),
        format!(
            "unhealthy: the guard at {} cannot be reached: ",
            third.address
        ),
    ]) {
        assert!(line.starts_with(&beginning), "{beginning}: {said:?}");
    }
    assert_eq!(lines.len(), 3, "{said:?}");
    let by_variable = health(&[], &[("ADMIN_LISTEN", &list)]);
    assert_eq!(by_variable.out.lines().count(), 3, "{by_variable:?}");
    // Each says what to do.
    for (line, remedy) in lines[1..].iter().zip([
        "Set API_KEYS_FILE.",
        "; look whether it runs (systemctl status origin-guard)",
    ]) {
        assert!(line.contains(remedy), "{remedy}: {line}");
    }
    let missing = health(&["--admin", "unix:/nowhere/admin.sock"], &[]);
    unhealthy(missing, "whether its ADMIN_LISTEN has this address");
    let clients = guard.address.to_string();
    unhealthy(health(&["--admin", &clients], &[]), "; name that address");
    // What answers something else, or nothing.
    let backend = Backend::new();
    let url = backend.url();
    let address = url.strip_prefix("http://").expect("a URL").to_owned();
    backend.serve(|mut peer| {
        while peer.try_head().is_some() {
            peer.send(ok("hello"));
        }
    });
    unhealthy(health(&["--admin", &address], &[]), "no guard");
}

#[test]
fn more_than_a_secret_on_standard_input_is_refused() {
    let folder = Folder::new("long");
    let file = folder.write("secrets", OLD);
    for input in [
        "x7".repeat(2049),
        format!("{}{}", "y3".repeat(20), " ".repeat(5000)),
    ] {
        let said = secret_with(&input, &["rotate", text(&file), "--stdin"]);
        assert!(
            said.status == Some(1) && said.err.contains("4096 bytes"),
            "{said:?}"
        );
        assert_eq!(fs::read_to_string(&file).expect("readable"), OLD);
    }
}

#[test]
fn the_file_behind_a_link_is_named() {
    let folder = Folder::new("link");
    let file = folder.write("secrets", OLD);
    let link = folder.path.join("link");
    symlink(&file, &link).expect("linked");
    let said = secret(&["rotate", text(&link)]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let named = format!("is a link; the file is {}", text(&file));
    assert!(said.err.contains(&named) && link.is_symlink(), "{said:?}");
}

#[test]
fn who_accepts_no_connection_is_not_waited_for() {
    let folder = Folder::new("secret-full-backlog");
    let path = folder.path.join("a.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    rustix::net::listen(&listener, 0).expect("a short backlog");
    let mut waiting = Vec::new();
    while let Ok(stream) = mio::net::UnixStream::connect(&path) {
        waiting.push(stream);
    }
    let mut health = Command::new("timeout");
    health.args([
        "60",
        env!("CARGO_BIN_EXE_origin-guard"),
        "health",
        "--admin",
    ]);
    let said: Said = health
        .arg(format!("unix:{}", path.display()))
        .output()
        .expect("runs")
        .into();
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.contains("does not answer within 5 s"), "{said:?}");
}

#[test]
fn a_secret_in_memory_is_for_no_other_process() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let folder = Folder::new("secret-memory");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    let keys = KeyFile::new("secret-memory-keys");
    let nobody = NOBODY.to_string();
    for arguments in [
        &["secret", "rotate", "--stdin", text(&file)][..],
        &["keys", "verify", "--file", keys.text()],
    ] {
        let mut child = Command::new("setpriv")
            .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
            .arg(env!("CARGO_BIN_EXE_origin-guard"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // It waits for its input. What must not be dumped belongs to root (proc(5)).
        let process = format!("/proc/{}", child.id());
        let since = Instant::now();
        let owner = loop {
            let comm = fs::read_to_string(format!("{process}/comm")).expect("it runs");
            let wchan = fs::read_to_string(format!("{process}/syscall")).unwrap_or_default();
            if comm.trim() == "origin-guard" && wchan.starts_with("0 0x0 ") {
                break fs::metadata(format!("{process}/mem"))
                    .expect("it runs")
                    .uid();
            }
            assert!(since.elapsed() < PATIENCE, "{arguments:?}: {comm} {wchan}");
            std::thread::yield_now();
        };
        drop(child.stdin.take());
        child.wait().expect("ends");
        assert_eq!(owner, 0, "{arguments:?}");
    }
}

/// A guard that another user has started, with secrets of its own.
fn guard_of_nobody(credentials: &Folder, admin: &str) -> Guard {
    let nobody = NOBODY.to_string();
    let mut stranger = Command::new("setpriv");
    stranger
        .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_origin-guard"))
        .env_clear()
        .env("CREDENTIALS_DIRECTORY", &credentials.path)
        .env("LISTEN", "127.0.0.1:0")
        .env("ADMIN_LISTEN", admin);
    Guard::spawn(&mut stranger)
}

#[test]
fn finish_believes_no_listener_of_a_stranger() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    if !installed("setpriv", "apt install util-linux") {
        return;
    }
    let folder = Folder::new("secret-strangers");
    let file = folder.write("secrets", &format!("{OLD}\n"));
    assert_eq!(secret(&["rotate", text(&file)]).status, Some(0));
    // It says that its second secret is never used.
    let theirs = Folder::new("secret-theirs");
    let held = theirs.write("shared-secret", &format!("{OLD}-2\n{OLD}-3\n"));
    for path in [&theirs.path, &held] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root");
    }
    let ask_with_current = |guard: &Guard| {
        assert_eq!(guard.ask(presenting(&format!("{OLD}-2"))).status, 200);
    };
    let finish =
        |admin: &str| secret(&["finish", text(&file), "--quiet-for", "0s", "--admin", admin]);
    let stays = |said: Said| {
        assert_eq!(said.status, Some(1), "{said:?}");
        for named in ["may be somebody else's", "user 65534", "unix:", "--force"] {
            assert!(said.err.contains(named), "{named}: {said:?}");
        }
        let held = fs::read_to_string(&file).expect("there");
        assert!(held.contains(OLD), "{said:?}");
    };
    let stranger = guard_of_nobody(&theirs, "127.0.0.1:0");
    ask_with_current(&stranger);
    let admin = stranger.second_address().to_string();
    stays(finish(&admin));
    // The kernel takes this for the same address.
    let port = stranger.second_address().port();
    stays(finish(&format!("[::ffff:127.0.0.1]:{port}")));
    // What only tells is told, with the doubt.
    let said = secret(&["status", text(&file), "--admin", &admin]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.out.contains("may be somebody else's"), "{said:?}");
    let health = command()
        .args(["health", "--admin", &admin])
        .output()
        .expect("runs");
    let health: Said = health.into();
    assert_eq!(health.status, Some(0), "{health:?}");
    assert!(health.out.contains("user 65534 listens"), "{health:?}");
    // Where everyone may make a socket, its owner counts.
    let socket = format!("unix:{}/a.sock", theirs.path.display());
    let at_socket = guard_of_nobody(&theirs, &socket);
    ask_with_current(&at_socket);
    stays(finish(&socket));
    // A link of root's does not make that folder root's gift, nor does one behind another,
    // nor one to a folder that is a gift, where everyone may put the link.
    let links = Granted::new("origin-guard-links");
    chown(&links.0, Some(0), Some(0)).expect("root");
    let granted = Granted::new("origin-guard-test");
    for (name, target) in [("first", &theirs.path), ("second", &links.0.join("first"))] {
        let link = links.0.join(name);
        symlink(target, &link).expect("linked");
        stays(finish(&format!("unix:{}/a.sock", link.display())));
    }
    let in_gift = guard_of_nobody(&theirs, &format!("unix:{}/b.sock", granted.0.display()));
    ask_with_current(&in_gift);
    symlink(&granted.0, theirs.path.join("gift")).expect("linked");
    let third = links.0.join("third");
    symlink(theirs.path.join("gift"), &third).expect("linked");
    stays(finish(&format!("unix:{}/b.sock", third.display())));
    // Root has put this folder there for that user.
    let socket = format!("unix:{}/a.sock", granted.0.display());
    let of_folder = guard_of_nobody(&theirs, &socket);
    ask_with_current(&of_folder);
    // Root's own link there is as good.
    symlink(&granted.0, links.0.join("gift")).expect("linked");
    let through_link = format!("unix:{}/gift/a.sock", links.0.display());
    let said = finish(&through_link);
    assert_eq!(said.status, Some(0), "{said:?}");
    // Who owns the file can end a rotation anyway.
    assert_eq!(secret(&["rotate", text(&file)]).status, Some(0));
    chown(&file, Some(NOBODY), Some(NOBODY)).expect("root");
    let theirs_too = guard_of_nobody(&theirs, "127.0.0.1:0");
    ask_with_current(&theirs_too);
    let said = finish(&theirs_too.second_address().to_string());
    assert_eq!(said.status, Some(0), "{said:?}");
}

/// A folder of another user's in one of root's, gone when dropped.
struct Granted(PathBuf);

impl Granted {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/run/{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("root");
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("root");
        Self(path)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
