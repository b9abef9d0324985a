//! A Debian with a systemd of its own as process 1, in a container.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::{PATIENCE, installed};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Where systemd keeps its groups in the first version of cgroups(7).
const GROUPS: &str = "/sys/fs/cgroup/systemd";
/// Runs systemd-nspawn(1) in a group of the name that comes first, where that can be made: its
/// machines share one otherwise, and one that ends a service removes the group that another
/// has just made for its own.
const IN_A_GROUP_OF_ITS_OWN: &str = "group=/sys/fs/cgroup/systemd/$1; shift; \
    if mkdir \"$group\" 2>/dev/null; then echo $$ >\"$group/cgroup.procs\"; fi; \
    exec systemd-nspawn \"$@\"";

/// A booted machine; gone when dropped.
pub(crate) struct Machine {
    container: Child,
    /// Its process 1, as seen from here.
    leader: i32,
    /// Its group of control groups, if it has one.
    group: PathBuf,
}

impl Machine {
    /// `None`, with a visible line, where this cannot be had.
    pub(crate) fn boot() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for (program, package) in [
            ("systemd-nspawn", "systemd-container"),
            ("debootstrap", "debootstrap"),
            ("nsenter", "util-linux"),
        ] {
            if !installed(program, &format!("apt install {package}, and be root")) {
                return None;
            }
        }
        let number = NUMBER.fetch_add(1, SeqCst);
        let name = format!("origin-guard-{}-{number}", std::process::id());
        let mut container = Command::new("/bin/sh")
            .args(["-c", IN_A_GROUP_OF_ITS_OWN, "sh", &name])
            .args(["--quiet", "--boot", "--register=no", "--keep-unit"])
            .args(["--private-network", "--volatile=overlay"])
            .arg(format!("--machine={name}"))
            .arg("--directory")
            .arg(root())
            .args(["--console=pipe", "systemd.log_target=journal"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let since = Instant::now();
        let leader = loop {
            if let Some(leader) = process_one(container.id()) {
                break leader;
            }
            if container.try_wait().expect("its own child").is_some() {
                let mut said = String::new();
                let _ = container
                    .stderr
                    .take()
                    .expect("piped")
                    .read_to_string(&mut said);
                panic!("the container does not start: {said}");
            }
            assert!(since.elapsed() < PATIENCE, "no process 1");
            std::thread::yield_now();
        };
        let mut console = container.stdout.take().expect("piped");
        std::thread::spawn(move || std::io::copy(&mut console, &mut std::io::sink()));
        let group = Path::new(GROUPS).join(&name);
        let machine = Self {
            container,
            leader,
            group,
        };
        loop {
            let state = machine.try_sh("systemctl is-system-running");
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            if state == "running" || state == "degraded" {
                return Some(machine);
            }
            assert!(since.elapsed() < PATIENCE, "it is {state:?} still");
            std::thread::yield_now();
        }
    }

    /// Binary and units, by `make install`.
    pub(crate) fn install(&self) {
        let output = Command::new("make")
            .args(["--silent", "-C", PROJECT, "install"])
            .arg(format!("DESTDIR={}", self.path("/").display()))
            .arg(format!("BINARY={}", env!("CARGO_BIN_EXE_origin-guard")))
            .env_remove("MAKEFLAGS")
            .output()
            .expect("make");
        assert!(output.status.success(), "{}", output.stderr.escape_ascii());
        self.sh("systemctl daemon-reload");
    }

    /// The drop-in that goes with the socket unit.
    pub(crate) fn take_the_network_away(&self) {
        self.sh("mkdir -p /etc/systemd/system/origin-guard.service.d && \
             origin-guard print no-network \
             > /etc/systemd/system/origin-guard.service.d/no-network.conf");
    }

    /// A path of the machine's, as seen from here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("written");
    }

    /// Runs a line of shell in the machine.
    pub(crate) fn try_sh(&self, line: &str) -> Output {
        Command::new("nsenter")
            .arg(format!("--target={}", self.leader))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--", "/bin/sh", "-c", line])
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .stdin(Stdio::null())
            .output()
            .expect("nsenter")
    }

    /// Runs a line of shell that must succeed, and returns what it says.
    pub(crate) fn sh(&self, line: &str) -> String {
        let output = self.try_sh(line);
        assert!(
            output.status.success(),
            "{line}: {}\n{}",
            output.stderr.escape_ascii(),
            self.journal()
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A property of the service.
    pub(crate) fn show(&self, property: &str) -> String {
        let line = format!("systemctl show --value -p {property} origin-guard.service");
        self.sh(&line).trim().to_owned()
    }

    /// What the service and systemd have logged about it.
    pub(crate) fn journal(&self) -> String {
        let output = self.try_sh("journalctl --no-pager -o cat -u origin-guard.service");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `within` on a thread in the machine's network namespace.
    pub(crate) fn within_network<T: Send>(&self, within: impl FnOnce() -> T + Send) -> T {
        let network = self.network();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(&network);
                within()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// The machine's network namespace, for [`enter`].
    pub(crate) fn network(&self) -> fs::File {
        fs::File::open(format!("/proc/{}/ns/net", self.leader)).expect("a namespace")
    }

    pub(crate) fn connect_unix(&self, socket: &str) -> UnixStream {
        let stream = UnixStream::connect(self.path(socket)).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    }
}

/// Moves the current thread, and no other, into a network namespace.
pub(crate) fn enter(network: &fs::File) {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns(2)");
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of process 1 is the end of all in its namespace.
        if let Some(leader) = Pid::from_raw(self.leader) {
            let _ = kill_process(leader, Signal::KILL);
        }
        let _ = self.container.kill();
        let _ = self.container.wait();
        remove_groups(&self.group);
    }
}

/// Its processes have ended, and a folder of cgroups(7) goes once those below it have gone.
fn remove_groups(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&below.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// The child of `container` that is process 1 of a namespace; others come before it.
fn process_one(container: u32) -> Option<i32> {
    let children = format!("/proc/{container}/task/{container}/children");
    let children = fs::read_to_string(children).ok()?;
    children.split_whitespace().find_map(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let pids = status.lines().find(|line| line.starts_with("NSpid:"))?;
        let one = pids.split_whitespace().count() == 3 && pids.ends_with("\t1");
        one.then(|| child.parse().ok())?
    })
}

/// The files of a small Debian with systemd, made once.
fn root() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().expect("made");
    let folder = Path::new(PROJECT).join("target/systemd");
    let root = folder.join("root");
    if root.is_dir() {
        return root;
    }
    let release = fs::read_to_string("/etc/os-release").expect("a release");
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .expect("a Debian");
    let making = folder.join(format!("making-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let output = Command::new("debootstrap")
        .args(["--variant=minbase", "--include=systemd,systemd-sysv,dbus"])
        .arg(suite)
        .arg(&making)
        .output()
        .expect("starts");
    assert!(
        output.status.success(),
        "debootstrap: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&making, &root).expect("renamed");
    root
}
