//! The variables of the backend that is guarded.

use std::error::Error;
use std::fmt;

use crate::http1::names;
use crate::proxy::limits::Limits;
use crate::proxy::upstream::BackendUrl;

use super::error::ValueError;
use super::reader::Reader;

const BACKEND: &str = "BACKEND";
const PUBLIC_PATHS: &str = "PUBLIC_PATHS";

/// What is guarded, where `BACKEND` names it.
pub struct Backend {
    /// `BACKEND`, one or more.
    pub urls: Vec<BackendUrl>,
    /// `PUBLIC_PATHS`: GET and HEAD of these bytes need no secret.
    pub public_paths: Vec<String>,
}

/// What is wrong with a member of `PUBLIC_PATHS`.
#[derive(Debug)]
enum PathError {
    /// It does not begin with a slash.
    Relative(String),
    /// A byte that no path holds; its number, from 1.
    Byte(String, usize),
    /// A query or a fragment.
    Query(String),
    /// It is there twice.
    Repeated(String),
    /// It holds a star, which stands for itself.
    Star(String),
}

impl fmt::Display for PathError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative(path) => write!(
                to,
                "{path:?} does not begin with /; write paths with commas between, such as \
                 /healthz,/favicon.ico"
            ),
            Self::Byte(path, at) => write!(
                to,
                "byte {at} of {path:?} cannot stand in a path; write it as clients send it, \
                 percent-encoded"
            ),
            Self::Query(path) => write!(
                to,
                "{path:?} holds a ? or a #; write the path alone, any query passes with it"
            ),
            Self::Repeated(path) => write!(to, "{path} is there twice; name it once"),
            Self::Star(path) => write!(
                to,
                "{path:?} holds a *, and paths are compared byte for byte, not as patterns; \
                 write each path, with %2A for a star that is meant"
            ),
        }
    }
}

impl Error for PathError {}

/// The secret's header has a meaning for backends, or is one that the guard sets.
#[derive(Debug)]
struct HeaderError {
    name: String,
    like: &'static str,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, like } = self;
        write!(
            to,
            "applications may read {name} as {like}, and this header is removed before a request \
             is forwarded; choose another header"
        )
    }
}

impl Error for HeaderError {}

impl Reader<'_> {
    /// The header `name`, which `variable` sets, is like one that has a meaning.
    pub(super) fn header_fault(&mut self, variable: &str, name: &str, like: &'static str) {
        let name = name.to_owned();
        self.fault(variable, HeaderError { name, like });
    }

    /// `None` where nothing is guarded but the guard's own paths.
    pub(super) fn backend(&mut self, secret_header: &str) -> Option<Backend> {
        let is_set = self.is_set(BACKEND);
        let urls = self.value(BACKEND, |list| {
            if list.is_empty() {
                return Ok(Vec::new());
            }
            BackendUrl::parse_list(list).map_err(other)
        });
        let public_paths = self.value(PUBLIC_PATHS, |list| public_paths(list).map_err(other));
        if !is_set {
            if !public_paths.is_empty() {
                self.warn(
                    PUBLIC_PATHS,
                    "it opens nothing without BACKEND; set BACKEND, or leave it out",
                );
            }
            return None;
        }
        if let Some(like) = names::meaning_for_backends(secret_header) {
            self.header_fault("SECRET_HEADER", secret_header, like);
        }
        if !public_paths.is_empty() {
            let open = format!(
                "GET and HEAD of {}, without a secret",
                public_paths.join(", ")
            );
            self.effective.push(("open", open));
        }
        Some(Backend { urls, public_paths })
    }

    pub(super) fn relay_limits(&mut self) -> Limits {
        Limits {
            body_bytes: self.value("MAX_BODY_BYTES", |text| match text {
                "" => Ok(None),
                text => super::values::bytes(text).map(Some),
            }),
            body_timeout: self.seconds("BODY_TIMEOUT"),
            connect_timeout: self.seconds("BACKEND_CONNECT_TIMEOUT"),
            answer_timeout: self.seconds("BACKEND_TIMEOUT"),
            idle_timeout: self.seconds("BACKEND_IDLE_TIMEOUT"),
            tunnel_idle_timeout: self.seconds("TUNNEL_IDLE_TIMEOUT"),
        }
    }
}

fn other(error: impl Error + Send + Sync + 'static) -> ValueError {
    ValueError::Other(Box::new(error))
}

fn public_paths(list: &str) -> Result<Vec<String>, PathError> {
    let mut paths: Vec<String> = Vec::new();
    if list.is_empty() {
        return Ok(paths);
    }
    for member in list.split(',').map(str::trim) {
        let path = member.to_owned();
        if !path.starts_with('/') {
            return Err(PathError::Relative(path));
        }
        if path.contains(['?', '#']) {
            return Err(PathError::Query(path));
        }
        if path.contains('*') {
            return Err(PathError::Star(path));
        }
        if let Some(at) = path.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(PathError::Byte(path, at + 1));
        }
        if paths.contains(&path) {
            return Err(PathError::Repeated(path));
        }
        paths.push(path);
    }
    Ok(paths)
}
