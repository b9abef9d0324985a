//! A file of keys, and the commands on it through the real binary.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::folder::Folder;
use super::{Guard, SECRET, command};

/// A file of keys in a folder of its own.
pub struct KeyFile {
    /// The folder, for what else is in it.
    pub folder: Folder,
    /// The file, which need not be there.
    pub path: PathBuf,
}

/// How a command ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Its exit status.
    pub status: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it printed on stderr.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl KeyFile {
    /// One that is not there yet.
    pub fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let path = folder.path.join("keys.json");
        Self { folder, path }
    }

    /// The path as text.
    pub fn text(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// Runs `origin-guard keys` with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut keys = command();
        keys.arg("keys")
            .args(arguments)
            .env("API_KEYS_FILE", &self.path)
            .stdin(Stdio::null());
        keys.output().expect("runs").into()
    }

    /// Runs it, which must succeed, and returns what it printed.
    pub fn must(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.status, Some(0), "{arguments:?}: {said:?}");
        said.out
    }

    /// Makes a key for `consumer`, and returns its text.
    pub fn add(&self, consumer: &str, options: &[&str]) -> String {
        let printed = self.must(&[&["add", consumer], options].concat());
        printed.trim_end().to_owned()
    }

    /// `keys verify` with `input` on stdin.
    pub fn verify(&self, input: &str) -> Said {
        let mut verify = command();
        verify
            .args(["keys", "verify", "--file"])
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = verify.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("taken");
        drop(stdin);
        child.wait_with_output().expect("ends").into()
    }

    /// The id of the key with this text.
    pub fn id(&self, key: &str) -> String {
        let said = self.verify(key);
        let id = [&said.out, &said.err]
            .into_iter()
            .find_map(|text| text.split("id=").nth(1));
        let id = id.unwrap_or_else(|| panic!("no id: {said:?}"));
        id.split_whitespace().next().expect("an id").to_owned()
    }

    /// What is in the file.
    pub fn json(&self) -> Value {
        let text = fs::read_to_string(&self.path).expect("readable");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What the folder holds, in order.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.folder.path)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name())
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// Starts a guard with the gateway's door alone, at the guard's address.
    pub fn gateway(&self, variables: &[(&str, &str)]) -> Guard {
        let mine = [
            ("SHARED_SECRET", SECRET),
            ("LISTEN", "none"),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("API_KEYS_FILE", self.text()),
        ];
        Guard::with(&[&mine, variables].concat())
    }

    /// The same, and where its `/metrics` is.
    pub fn watched_gateway(&self, variables: &[(&str, &str)]) -> (Guard, SocketAddr) {
        let admin = [("ADMIN_LISTEN", "127.0.0.1:0")];
        let mut guard = self.gateway(&[&admin, variables].concat());
        let admin = guard.admin_before_gateway();
        (guard, admin)
    }
}
