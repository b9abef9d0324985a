//! What is written -> values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::decimal::decimal;
use crate::http1::framing::is_framing;
use crate::http1::token::is_token_byte;
use crate::net::{Address, LONGEST_UNIX_PATH};

use super::error::ValueError;
use super::variables::SECONDS;

/// The name of a field that a client or a gateway sets.
pub(crate) fn field_name(name: &str) -> Result<String, ValueError> {
    if let Some(at) = name.bytes().position(|byte| !is_token_byte(byte)) {
        return Err(ValueError::NameByte(at + 1));
    }
    if is_framing(name) || name.eq_ignore_ascii_case("host") {
        return Err(ValueError::NameOfHttp(name.to_owned()));
    }
    Ok(name.to_owned())
}

/// Whether no other address is it: with port 0 the system chooses one.
pub(super) fn is_fixed(address: &Address) -> bool {
    !matches!(address, Address::Tcp(address) | Address::Tls(address) | Address::Redirect(address) if address.port() == 0)
}

/// Addresses with commas, none of which sends clients elsewhere.
///
/// # Errors
///
/// What is wrong with which of them.
pub fn addresses(list: &str) -> Result<Vec<Address>, ValueError> {
    let addresses = listen_addresses(list)?;
    let is_redirect = |address: &&Address| matches!(address, Address::Redirect(_));
    match addresses.iter().find(is_redirect) {
        Some(redirect) => Err(ValueError::RedirectElsewhere(redirect.clone())),
        None => Ok(addresses),
    }
}

/// Addresses with commas; none where nothing is written.
pub(super) fn listen_addresses(list: &str) -> Result<Vec<Address>, ValueError> {
    let mut addresses = Vec::new();
    if list.is_empty() {
        return Ok(addresses);
    }
    for member in list.split(',') {
        let address = address(member.trim())?;
        if addresses.contains(&address) && is_fixed(&address) {
            return Err(ValueError::Repeated(address));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn address(member: &str) -> Result<Address, ValueError> {
    let Some(path) = member.strip_prefix("unix:") else {
        let (kind, text): (fn(SocketAddr) -> Address, _) = match member.split_once(':') {
            Some(("tls", text)) => (Address::Tls, text),
            Some(("redirect", text)) => (Address::Redirect, text),
            _ => (Address::Tcp, member),
        };
        return SocketAddr::from_str(text)
            .map(kind)
            .map_err(|_| ValueError::Address(member.to_owned()));
    };
    if !path.starts_with('/') {
        return Err(ValueError::RelativePath(member.to_owned()));
    }
    if path.len() > LONGEST_UNIX_PATH {
        return Err(ValueError::LongPath(path.to_owned()));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

pub(super) fn switch(text: &str) -> Result<bool, ValueError> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(ValueError::Switch(text.to_owned())),
    }
}

pub(super) fn mode(text: &str) -> Result<u32, ValueError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| is_plain && mode <= 0o777)
        .ok_or_else(|| ValueError::Mode(text.to_owned()))
}

pub(super) fn count(text: &str, least: usize, most: usize) -> Result<usize, ValueError> {
    decimal(text)
        .filter(|count| (least..=most).contains(count))
        .ok_or_else(|| ValueError::Count(text.to_owned(), least, most))
}

pub(super) fn bytes(text: &str) -> Result<u64, ValueError> {
    decimal(text)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| ValueError::Bytes(text.to_owned()))
}

pub(super) fn seconds(text: &str) -> Result<Duration, ValueError> {
    let number = text.strip_suffix('s').unwrap_or(text);
    // `parse` takes signs, exponents and names, too.
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = match number.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(number),
    };
    number
        .parse()
        .ok()
        .filter(|_| is_plain)
        .filter(|seconds| (SECONDS.0..=SECONDS.1).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| ValueError::Seconds(text.to_owned()))
}
