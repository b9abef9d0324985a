//! `CORS_ORIGINS`: whose pages may read the answers.

use std::fmt;

use crate::http1::target::is_host;

/// Why a member of the list is not an origin that a browser sends. Displays as cause and remedy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CorsError {
    /// Every page could read what any consumer can.
    Any,
    /// Any sandboxed page and any file has it.
    Null,
    /// It is no scheme, host and port.
    NotAnOrigin(String),
    /// A browser leaves out the port of the scheme.
    DefaultPort(String),
}

impl fmt::Display for CorsError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => to.write_str(
                "* would let every page read the answers; name the origins, such as \
                 https://app.example",
            ),
            Self::Null => to.write_str(
                "null is the origin of every sandboxed page and file; serve the page from an \
                 origin of its own",
            ),
            Self::NotAnOrigin(text) => write!(
                to,
                "{text:?} is not an origin as a browser sends it; write scheme, host in lower case \
                 and port alone, such as https://app.example"
            ),
            Self::DefaultPort(text) => {
                let (without, port) = text.rsplit_once(':').unwrap_or((text, ""));
                write!(
                    to,
                    "browsers leave out the port {port} where it is the scheme's usual one; write \
                     {without}"
                )
            }
        }
    }
}

impl std::error::Error for CorsError {}

/// Reads a comma-separated list of origins (RFC 6454, section 6.2).
pub(super) fn origins(list: &str) -> Result<Vec<String>, CorsError> {
    let members = list.split(',').map(str::trim);
    let members = members.filter(|member| !member.is_empty());
    members
        .map(|member| origin(member).map(|()| member.to_owned()))
        .collect()
}

fn origin(text: &str) -> Result<(), CorsError> {
    match text {
        "*" => return Err(CorsError::Any),
        _ if text.eq_ignore_ascii_case("null") => return Err(CorsError::Null),
        _ => {}
    }
    let not_an_origin = || CorsError::NotAnOrigin(text.to_owned());
    let (scheme, host) = text.split_once("://").ok_or_else(not_an_origin)?;
    let in_scheme =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let has_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(in_scheme);
    let is_lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_sign = host.bytes().any(|byte| b"!$&'()*+;=%@".contains(&byte));
    if !has_scheme || host.is_empty() || !is_lower || has_sign || !is_host(host.as_bytes()) {
        return Err(not_an_origin());
    }
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "::",
    };
    if host.ends_with(port) {
        return Err(CorsError::DefaultPort(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_sends_is_an_origin() {
        let good = "https://app.example, http://localhost:5173,https://[2001:db8::1]:8443,\
                    capacitor://localhost";
        assert_eq!(origins(good).expect("origins").len(), 4);
        for bad in [
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://App.example",
            "HTTPS://app.example",
            "https://*.example",
            "https://user@app.example",
            "https://app.example:0x50",
        ] {
            let error = origins(bad).expect_err(bad);
            assert_eq!(error, CorsError::NotAnOrigin(bad.to_owned()));
        }
        assert_eq!(origins("https://a.example,*"), Err(CorsError::Any));
        assert_eq!(origins("Null"), Err(CorsError::Null));
        for bad in ["https://app.example:443", "http://app.example:80"] {
            let error = origins(bad).expect_err(bad);
            assert_eq!(error, CorsError::DefaultPort(bad.to_owned()));
            let remedy = format!("; write {}", bad.rsplit_once(':').expect("a port").0);
            assert!(error.to_string().ends_with(&remedy), "{error}");
        }
    }
}
