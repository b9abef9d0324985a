//! A path in an error.

use std::fmt;
use std::path::Path;

/// Displays as the path is written and, where it is relative, with the one that was tried:
/// `secrets (/etc/secrets)`. The folder that it begins in is that of the process, which its
/// operator may not expect.
pub(crate) struct ShownPath<'a>(pub(crate) &'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    }
}
