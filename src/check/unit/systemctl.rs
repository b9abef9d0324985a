//! What systemd says of units (systemctl(1)).

use super::error::UnitError;
use crate::systemd::programs::command;

const PROGRAM: &str = "systemctl";

/// The properties of a unit, as `systemctl show` prints them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties(Vec<(String, String)>);

impl Properties {
    fn parse(block: &str) -> Self {
        let mut found: Vec<(String, String)> = Vec::new();
        for line in block.lines() {
            let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            match line.split_once('=').filter(|(name, _)| is_name(name)) {
                Some((name, value)) => found.push((name.to_owned(), value.to_owned())),
                // A value may have a line break in it.
                None => {
                    if let Some((_, value)) = found.last_mut() {
                        value.push('\n');
                        value.push_str(line);
                    }
                }
            }
        }
        Self(found)
    }

    /// The value of the property `name`; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }

    /// Every value of a property that is a list of lines.
    pub(super) fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    /// `Environment=`: names and values.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let words = words(self.get("Environment")).into_iter();
        words
            .filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// The program of `ExecStart=`; empty where there is none.
    pub(super) fn executable(&self) -> String {
        let start = self.get("ExecStart");
        let path = start.split_once("path=").map_or("", |(_, path)| path);
        path.split(" ;").next().unwrap_or_default().to_owned()
    }
}

/// Words with spaces between, in double quotes where they hold one; a backslash takes the
/// next letter as it is.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let (mut is_quoted, mut letters) = (false, text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            ' ' if !is_quoted => words.extend(word.take()),
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(letters.next()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The properties `names` of each of `units`.
pub(super) fn show(units: &[&str], names: &[&str]) -> Result<Vec<Properties>, UnitError> {
    let names = names.join(",");
    let said = run(&[&["show", "--no-pager", "--property", &names, "--"], units].concat())?;
    Ok(said.split("\n\n").map(Properties::parse).collect())
}

/// All socket units that are installed, templates left out.
pub(super) fn socket_units() -> Result<Vec<String>, UnitError> {
    let said = run(&[
        "list-unit-files",
        "--type=socket",
        "--no-legend",
        "--no-pager",
        "--plain",
    ])?;
    let names = said
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(names
        .filter(|name| !name.contains('@'))
        .map(str::to_owned)
        .collect())
}

/// The lines `NAME=value` of the unit's files and drop-ins, in their order: some properties
/// are not printed by `systemctl show`.
pub(super) fn settings(unit: &str) -> Result<Vec<(String, String)>, UnitError> {
    let said = run(&["cat", "--no-pager", "--", unit])?;
    // A backslash at the end continues a line (systemd.syntax(7)).
    let joined = said.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with(['#', ';']));
    Ok(lines
        .filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect())
}

fn run(arguments: &[&str]) -> Result<String, UnitError> {
    let output = command(PROGRAM)
        .args(arguments)
        .output()
        .map_err(|error| UnitError::Missing(PROGRAM, error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(UnitError::Failed(PROGRAM, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_they_are_printed() {
        let text = "ExecStart={ path=/usr/bin/og ; argv[]=/usr/bin/og ; ignore_errors=no }\n\
                    Environment=A=1 \"B=a b\" \"C=q\\\"uo\\$te\" \"D=back\\\\slash\" E=\n\
                    Listen=0.0.0.0:80 (Stream)\nListen=[::]:80 (Stream)";
        let found = Properties::parse(text);
        assert_eq!(found.executable(), "/usr/bin/og");
        assert_eq!(found.all("Listen").count(), 2);
        assert_eq!(found.get("None"), "");
        let pairs = [
            ("A", "1"),
            ("B", "a b"),
            ("C", "q\"uo$te"),
            ("D", "back\\slash"),
            ("E", ""),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found.environment(), pairs);
        assert_eq!(words("  a  \"\" b"), ["a", "", "b"]);
    }
}
