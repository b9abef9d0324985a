//! The file of hosts(5).

use std::net::IpAddr;

/// Every address that a line gives to `name`, IPv4 first; letter case does not count.
pub(super) fn addresses(file: &[u8], name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(file).lines() {
        let entry = line.split('#').next().unwrap_or_default();
        let mut words = entry.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"\
# the machine itself
127.0.0.1\tlocalhost
::1 localhost ip6-localhost # app
not-an-address app
fd00::7 app
10.0.0.7   App.Internal  app
10.0.0.7 app
\xff\xfe 10.0.0.8
";

    #[test]
    fn takes_every_address_of_a_name() {
        let find = |name| {
            let addresses = addresses(FILE, name);
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(find("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(find("LOCALHOST."), ["127.0.0.1", "::1"]);
        assert_eq!(find("app"), ["10.0.0.7", "fd00::7"]);
        assert_eq!(find("app.internal"), ["10.0.0.7"]);
        assert_eq!(find("ap"), [""; 0]);
        assert_eq!(find(""), [""; 0]);
    }
}
