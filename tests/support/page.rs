//! What the README and the pages of docs/ have their reader type.

/// The lines after `prompt` in the section `heading` of `page`, which goes to the next
/// heading.
pub fn commands(page: &str, heading: &str, prompt: &str) -> Vec<String> {
    let path = format!("{}/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("readable");
    let (_, section) = text.split_once(heading).expect("a section");
    let section = section.split("\n#").next().expect("its text");
    let lines = section.lines().filter_map(|line| line.strip_prefix(prompt));
    lines.map(str::to_owned).collect()
}
