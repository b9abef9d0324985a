//! Where the secrets come from: the environment, a file, a systemd credential.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::secrets::{Digest, SHORT, Text};

/// The variables that this module reads.
pub(super) const SECRET: &str = "SHARED_SECRET";
const PREVIOUS: &str = "SHARED_SECRET_PREVIOUS";
const FILE: &str = "SHARED_SECRET_FILE";
/// systemd.exec(5): where `LoadCredential=` puts files.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL: &str = "shared-secret";

/// Largest file of secrets, in bytes.
const LARGEST: u64 = 65536;
/// Most secrets at once; each costs a comparison on every request.
const MOST: usize = 16;

/// Where the secrets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: none is configured.
    Unset,
    /// `SHARED_SECRET` and `SHARED_SECRET_PREVIOUS`.
    Environment,
    /// `SHARED_SECRET_FILE`.
    File(PathBuf),
    /// `$CREDENTIALS_DIRECTORY/shared-secret`.
    Credential(PathBuf),
}

/// Secrets as they were loaded.
#[derive(Default)]
pub struct Loaded {
    /// The current one first.
    pub digests: Vec<Digest>,
    /// The text of the current one.
    pub current: Option<Text>,
    /// What is legal and likely a mistake.
    pub warnings: Vec<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => to.write_str("none"),
            Self::Environment => to.write_str("environment"),
            Self::File(path) => write!(to, "{FILE}:{}", path.display()),
            Self::Credential(path) => write!(to, "credential:{}", path.display()),
        }
    }
}

impl Source {
    /// Finds the one source that `variable` tells of.
    ///
    /// # Errors
    ///
    /// If there are two, which names both, or a previous secret without a current one.
    pub fn find(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let credential = set(CREDENTIALS).map(|folder| Path::new(&folder).join(CREDENTIAL));
        let mut sources = Vec::new();
        if set(SECRET).is_some() {
            sources.push((SECRET, Self::Environment));
        }
        if let Some(path) = set(FILE) {
            sources.push((FILE, Self::File(path.into())));
        }
        if let Some(path) = credential.filter(|path| path.try_exists().unwrap_or(true)) {
            sources.push(("the credential shared-secret", Self::Credential(path)));
        }
        if set(PREVIOUS).is_some() && set(SECRET).is_none() {
            return Err(format!(
                "{PREVIOUS}: it is set and {SECRET} is not; set {SECRET} to the current secret, \
                 or list the previous one on a further line of the file"
            ));
        }
        match sources.as_slice() {
            [] => Ok(Self::Unset),
            [(_, source)] => Ok(source.clone()),
            [(first, _), (second, _), ..] => Err(format!(
                "{first}: the secret is also in {second}; keep one of the two"
            )),
        }
    }

    /// Loads the secrets.
    ///
    /// # Errors
    ///
    /// What is wrong with the variable, file, line or byte, and what to do. Never shows
    /// any content.
    pub fn load(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Loaded, String> {
        let mut loaded = Loaded::default();
        match self {
            Self::Unset => {}
            Self::Environment => {
                for name in [SECRET, PREVIOUS] {
                    let Some(value) = variable(name).filter(|value| !value.is_empty()) else {
                        continue;
                    };
                    let value = Zeroizing::new(value.into_encoded_bytes());
                    loaded.add(&value, name)?;
                }
            }
            Self::File(path) | Self::Credential(path) => loaded.read(path, self)?,
        }
        Ok(loaded)
    }
}

impl Loaded {
    fn read(&mut self, path: &Path, source: &Source) -> Result<(), String> {
        let shown = match source {
            Source::File(_) => format!("{FILE}: {}", path.display()),
            _ => path.display().to_string(),
        };
        let unreadable = |error| format!("{shown} cannot be read: {error}; mend its path or mode");
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode();
        if mode & 0o004 != 0 {
            self.warnings.push(format!(
                "{shown} can be read by everyone on this machine; chmod o-r it"
            ));
        }
        // Of its final capacity from the start: growing would leave copies behind.
        let capacity = usize::try_from(LARGEST + 1).unwrap_or(usize::MAX);
        let mut text = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(LARGEST + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        if text.len() >= capacity {
            return Err(format!(
                "{shown} is larger than {LARGEST} bytes; it holds a secret a line"
            ));
        }
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                self.add(line, &format!("{shown}, line {}", number + 1))?;
            }
        }
        if self.digests.is_empty() {
            return Err(format!(
                "{shown} holds no secret; write one on its first line"
            ));
        }
        Ok(())
    }

    fn add(&mut self, secret: &[u8], place: &str) -> Result<(), String> {
        if let Some(fault) = unpresentable(secret) {
            return Err(format!("{place}: {fault}"));
        }
        if self.digests.len() == MOST {
            return Err(format!(
                "{place}: more than {MOST} secrets; remove old ones"
            ));
        }
        if secret.len() < SHORT {
            self.warnings.push(format!(
                "{place}: shorter than {SHORT} bytes, it can be guessed; \
                 take one from `origin-guard keygen`"
            ));
        }
        if self.current.is_none() {
            let text = std::str::from_utf8(secret).expect("found to be ASCII");
            self.current = Some(Text::new(text.to_owned()));
        }
        self.digests.push(Digest::of(secret));
        Ok(())
    }
}

/// Why no header can hold `secret` (RFC 9110, section 5.5). Never shows its content.
fn unpresentable(secret: &[u8]) -> Option<String> {
    if secret.first() == Some(&b' ') || secret.last() == Some(&b' ') {
        return Some(
            "it begins or ends with a space, which HTTP takes off a header; remove it".into(),
        );
    }
    let at = secret
        .iter()
        .position(|byte| !matches!(byte, b' '..=b'~'))?;
    Some(format!(
        "the byte at position {at} is no printable ASCII, so no gateway can send it; \
         use letters, digits and signs (a line break at the end of a file is a common cause)"
    ))
}
