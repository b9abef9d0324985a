//! `secret rotate`: a fresh secret comes first, and the one that was stays good.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::SecretError;
use super::guard;
use super::next_step::GuardName;
use crate::auth::secret_file::{self, Need, SecretFile};
use crate::auth::{keygen, secret_source, secrets};
use crate::net::Address;
use crate::stderr::say;
use crate::systemd;

/// Longest secret that is read, in bytes, with its line break.
const LONGEST: u64 = 4096;
/// Room for it, and for what shows that there is more.
const CAPACITY: usize = 4098;

/// How it is done.
pub(super) struct Options {
    /// The new secret is printed.
    pub(super) print: bool,
    /// It comes from standard input.
    pub(super) stdin: bool,
    /// It is done in any case.
    pub(super) force: bool,
}

/// Puts a secret in front of those of the file at `path`: a fresh one, or that of `stdin`.
/// It is shown by the file alone, unless it is to be printed. `guards` are those that are
/// known; one that does not answer is in nobody's way.
pub(super) fn rotate(
    path: &Path,
    options: &Options,
    guards: &[Address],
    guard: &GuardName,
) -> Result<(), SecretError> {
    let &Options {
        print,
        stdin,
        force,
    } = options;
    if print && systemd::stdout_is_journal() {
        return Err(SecretError::PrintToLog);
    }
    let (reader, silent) = reader_of(path, guards);
    if !stdin && matches!(guard, GuardName::At(_)) {
        super::warn(&silent);
    }
    if let Some(reader) = &reader
        && reader.sends
        && !stdin
        && !force
    {
        return Err(SecretError::GatewayFirst(reader.address.clone()));
    }
    let fresh = if stdin { read()? } else { make()? };
    let fresh = fresh.trim_ascii_end();
    let need = secret_file::put_first(path, fresh, |file: &SecretFile| {
        match file.place_of(fresh) {
            Some((0, _)) => return Ok(Need::Nothing),
            Some((_, line)) => return Err(SecretError::IsPrevious(path.to_owned(), line)),
            None => {}
        }
        if file.secrets > 1 && !force {
            return Err(SecretError::UnderWay(file.secrets));
        }
        Ok(Need::Change)
    })?;
    if print {
        let mut stdout = io::stdout().lock();
        let printed = stdout
            .write_all(fresh)
            .and_then(|()| stdout.write_all(b"\n"))
            .and_then(|()| stdout.flush());
        printed.map_err(SecretError::Print)?;
    }
    super::warn(&SecretFile::read(path)?.warnings);
    let shown = path.display();
    if path.is_symlink()
        && let Ok(target) = path.canonicalize()
    {
        say(&format!(
            "{shown} is a link; the file is {}",
            target.display()
        ));
    }
    if need == Need::Nothing {
        say(&format!(
            "{shown}: it holds this secret already as the current one; there is nothing to do"
        ));
        return Ok(());
    }
    say(&format!(
        "{shown}: a new secret is first now; the one before it stays good"
    ));
    if stdin {
        say("a gateway sends it once it has read the file, and an origin takes both; then the");
        say("previous one may go:");
        say(&format!("  {}", guard.command("finish", path)));
        guard.explanation().iter().for_each(|line| say(line));
        return Ok(());
    }
    match &reader {
        Some(reader) if reader.sends => steps_of_gateway(path, reader, guard),
        _ => steps_of_origin(path, guard),
    }
    guard.explanation().iter().for_each(|line| say(line));
    if reader.is_none() {
        say("If this is the file of a gateway instead, the origin refuses what it sends from now");
        say("on: put the first line of this file into the origin's as well, there, by");
        say("  origin-guard secret rotate FILE --stdin");
    }
    Ok(())
}

/// What comes next where the guard of the file checks the secret.
fn steps_of_origin(path: &Path, guard: &GuardName) {
    say("next, in this order:");
    say(
        "  1. The guard of this file must have read it: a guard with SHARED_SECRET_FILE does so by",
    );
    say("     itself; for systemd's credential run: systemctl restart origin-guard");
    say("  2. Set the new secret at the gateway. It is the first line of the file that does not");
    say("     begin with #. At a gateway of origin-guard, rotate its file with --stdin.");
    let (status, finish) = (guard.command("status", path), guard.command("finish", path));
    say(&format!(
        "  3. See who still sends the previous one: {status}"
    ));
    say(&format!("  4. Once nobody does: {finish}"));
}

/// What comes next where the guard of the file sends the secret: the origin does not know
/// the new one yet, and refuses it.
fn steps_of_gateway(path: &Path, reader: &Reader, guard: &GuardName) {
    let address = reader.address;
    say(&format!(
        "the guard at {address} is a gateway: it sends the new secret once it has read the file,"
    ));
    say("and the origin refuses it with 401 until it has it, too; next, in this order:");
    say("  1. At the origin, put the new secret first in its file, too. It is the first line of");
    say("     this file that does not begin with #; on standard input of");
    say("       origin-guard secret rotate FILE --stdin");
    say("  2. This guard must have read its file: with SHARED_SECRET_FILE it does so by itself;");
    say("     for systemd's credential run: systemctl restart origin-guard");
    let (status, finish) = (guard.command("status", path), guard.command("finish", path));
    say(&format!(
        "  3. See whether the origin refuses it still: {status}"
    ));
    say(&format!("  4. Once it does not: {finish}"));
    say("     and, once nobody sends the previous one there, the same at the origin.");
    if reader.checks {
        say("It checks the secret, too: set the new one at each gateway that asks this guard");
        say("before the previous one goes.");
    }
}

/// A guard that has the secrets of a file.
struct Reader<'a> {
    address: &'a Address,
    /// Whether it is a gateway that sends the current one.
    sends: bool,
    /// Whether requests have to present one there.
    checks: bool,
}

/// The guard that has the secrets of the file at `path`, if one is known, and what is said of
/// those that do not answer.
fn reader_of<'a>(path: &Path, guards: &'a [Address]) -> (Option<Reader<'a>>, Vec<String>) {
    let (mut readers, mut silent) = (Vec::new(), Vec::new());
    for address in guards {
        match guard::ask(address) {
            Ok(status) if status.reads(path) => readers.push(Reader {
                address,
                sends: status.sends,
                checks: status.checks,
            }),
            Ok(_) => {}
            Err(error) => silent.push(format!(
                "the guard at {address} {error}; so nobody knows whether it is a gateway"
            )),
        }
    }
    // One that sends it decides.
    (
        readers.into_iter().max_by_key(|reader| reader.sends),
        silent,
    )
}

fn make() -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let text = keygen::secret().map_err(SecretError::Randomness)?;
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

fn read() -> Result<Zeroizing<Vec<u8>>, SecretError> {
    // It has its final capacity from the start, because growing leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(CAPACITY));
    let read = io::stdin().take(LONGEST + 1).read_to_end(&mut text);
    read.map_err(|error| SecretError::Input(format!("it cannot be read: {error}")))?;
    if text.len() as u64 > LONGEST {
        return Err(SecretError::Input(format!(
            "it holds more than {LONGEST} bytes; write the secret alone"
        )));
    }
    let line = text.trim_ascii_end();
    if line.len() < secrets::SHORT {
        return Err(SecretError::Input(format!(
            "it holds no secret of {} bytes or more; write one, as `origin-guard keygen` prints it",
            secrets::SHORT
        )));
    }
    if line.contains(&b'\n') || line.starts_with(b"#") {
        return Err(SecretError::Input(
            "it holds more than one line, or a comment; write the secret alone".to_owned(),
        ));
    }
    secret_source::fit(line).map_err(|fault| SecretError::Input(fault.to_string()))?;
    Ok(text)
}
