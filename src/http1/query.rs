//! A parameter of a query that is taken out of a target and of `Referer`.
//!
//! The query is a list of `name=value` with `&` between them, names and values
//! percent-encoded, a `+` for a space (URL Standard, application/x-www-form-urlencoded).

/// What a target holds under a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The decoded values, in order.
    pub values: Vec<Vec<u8>>,
    /// The target without them.
    pub rest: Vec<u8>,
}

/// Takes every parameter called `name` out of `target`, a path with its query or a URI;
/// `None` where there is none.
#[must_use]
pub fn take(target: &[u8], name: &[u8]) -> Option<Taken> {
    let question = target.iter().position(|&byte| byte == b'?')?;
    let (before, query) = (&target[..question], &target[question + 1..]);
    // A target has no fragment, but Referer of a careless client may.
    let end = query.iter().position(|&byte| byte == b'#');
    let (query, fragment) = query.split_at(end.unwrap_or(query.len()));
    let mut values = Vec::new();
    let mut kept: Vec<&[u8]> = Vec::new();
    for parameter in query.split(|&byte| byte == b'&') {
        let equals = parameter.iter().position(|&byte| byte == b'=');
        let (its_name, value) = parameter.split_at(equals.unwrap_or(parameter.len()));
        if is(its_name, name) {
            values.push(decoded(value.get(1..).unwrap_or_default()).collect());
        } else {
            kept.push(parameter);
        }
    }
    if values.is_empty() {
        return None;
    }
    let mut rest = before.to_vec();
    if !kept.is_empty() {
        rest.push(b'?');
        rest.extend(kept.join(&b'&'));
    }
    rest.extend_from_slice(fragment);
    Some(Taken { values, rest })
}

fn is(encoded: &[u8], name: &[u8]) -> bool {
    decoded(encoded).eq(name.iter().copied())
}

/// The bytes that a name or value stands for; a `%` without two digits stands for itself.
fn decoded(encoded: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *encoded.get(at)?;
        at += 1;
        if byte == b'+' {
            return Some(b' ');
        }
        let digit = |at: usize| {
            encoded
                .get(at)
                .and_then(|&byte| char::from(byte).to_digit(16))
        };
        match (digit(at), digit(at + 1)) {
            (Some(high), Some(low)) if byte == b'%' => {
                at += 2;
                u8::try_from(high << 4 | low).ok()
            }
            _ => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::take;

    #[test]
    fn takes_every_spelling_and_leaves_the_rest_byte_for_byte() {
        for (target, values, rest) in [
            ("/?key=k", &["k"][..], "/"),
            ("/a?key=k&b=%20", &["k"], "/a?b=%20"),
            ("/a?b=c&key=k", &["k"], "/a?b=c"),
            ("/a?b&key=k&&c", &["k"], "/a?b&&c"),
            ("/a?%6bey=k&k%65%79=l", &["k", "l"], "/a"),
            ("/a?k%65y=%6b%3d%26+x", &["k=& x"], "/a"),
            ("/a?key", &[""], "/a"),
            ("/a?key=", &[""], "/a"),
            ("/a?key=a=b", &["a=b"], "/a"),
            ("/a?key=%zz%4", &["%zz%4"], "/a"),
            ("/a?x=1?key=k&key=l", &["l"], "/a?x=1?key=k"),
            (
                "https://a.example/?key=k&b#key=c",
                &["k"],
                "https://a.example/?b#key=c",
            ),
        ] {
            let taken = take(target.as_bytes(), b"key").expect(target);
            let texts: Vec<_> = values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect();
            assert_eq!(taken.values, texts, "{target}");
            assert_eq!(taken.rest.escape_ascii().to_string(), rest, "{target}");
        }
        for none in [
            "/key=k",
            "/?Key=k",
            "/?key2=k",
            "/?%256bey=k",
            "/?ke=y&y=key",
            "/",
        ] {
            assert_eq!(take(none.as_bytes(), b"key"), None, "{none}");
        }
    }
}
