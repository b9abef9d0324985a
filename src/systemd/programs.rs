//! Programs of systemd's: systemctl(1), systemd-run(1).

use std::process::Command;

/// Where they are. Root must not run what others put elsewhere.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

/// One of them, with nothing of this process's environment, which could lead it to other
/// libraries and another manager (ld.so(8), systemctl(1)).
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    command
}

/// The number of the user as whom the service `unit` runs, chosen by systemd or not; `None`
/// where it does not run, or systemd cannot be asked.
pub(crate) fn user_of(unit: &str) -> Option<u32> {
    let asked = ["show", "--no-pager", "--value", "--property", "UID", "--"];
    let output = command("systemctl").args(asked).arg(unit).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    // Where there is none, it says so in words.
    said.trim().parse().ok()
}
