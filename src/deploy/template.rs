//! A text with `{{names}}` in it, and what stands in their place.

/// Puts `value(name)` in the place of each `{{name}}`. One without a value stays.
pub(super) fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        filled.push_str(before);
        let found = behind
            .split_once("}}")
            .and_then(|(name, behind)| Some((value(name)?, behind)));
        rest = if let Some((value, behind)) = found {
            filled.push_str(&value);
            behind
        } else {
            filled.push_str("{{");
            behind
        };
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn fills_what_has_a_value_and_reads_no_value_again() {
        let value = |name: &str| match name {
            "a" => Some("{{b}}".to_owned()),
            "b" => Some("2".to_owned()),
            _ => None,
        };
        assert_eq!(fill("{{a}}-{{b}}", value), "{{b}}-2");
        assert_eq!(fill("{{c}} {x} {{", value), "{{c}} {x} {{");
        assert_eq!(fill("{{{a}}} ${{b}}", value), "{{{a}}} $2");
        assert_eq!(fill("plain", value), "plain");
    }
}
