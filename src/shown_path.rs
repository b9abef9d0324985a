//! A path in an error.

use std::fmt;
use std::path::Path;

/// Displays as the path is written and, where it is relative, with the one that was tried:
/// `secrets (/etc/secrets)`. The folder that it begins in is that of the process, which its
/// operator may not expect.
pub(crate) struct ShownPath<'a>(pub(crate) &'a Path);

/// Shortest word that may be a secret, in bytes: one that is shorter earns a warning.
const SHORT: usize = 16;

/// Whether who wrote `path` may have meant a secret: a long word with digits or capitals, and
/// nothing that is there. It is shown nowhere.
pub(crate) fn may_be_secret(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let is_random = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    text.len() >= SHORT
        && !text.iter().any(|byte| b"/.".contains(byte))
        && text.iter().any(is_random)
        && !path.exists()
}

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if may_be_secret(self.0) {
            return to.write_str("a file whose name is not shown, as it may be a secret,");
        }
        self.0.display().fmt(to)?;
        match std::path::absolute(self.0) {
            Ok(tried) if self.0.is_relative() => write!(to, " ({})", tried.display()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_one_is_shown_as_a_whole() {
        let folder = std::env::current_dir().expect("a folder");
        let shown = |path: &str| ShownPath(Path::new(path)).to_string();
        assert_eq!(shown("/etc/a"), "/etc/a");
        let tried = folder.join("a/b");
        assert_eq!(shown("a/b"), format!("a/b ({})", tried.display()));
        assert_eq!(shown("./a/b"), format!("./a/b ({})", tried.display()));
        for secret in ["kq7vtz2mwd9lxrb4nhs8", "QmVhbnMgYW5kIHJpY2U="] {
            assert!(!shown(secret).contains(&secret[..4]));
        }
        for file in [
            "shared-secret-of-the-gateway",
            "secrets-2026",
            "./kq7vtz2mwd9lxrb4nhs8",
        ] {
            assert!(shown(file).contains(file), "{file}");
        }
    }
}
