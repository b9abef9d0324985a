//! What the README has its reader type.

/// The lines after `prompt` in the section `heading`, which goes to the next heading.
pub fn commands(heading: &str, prompt: &str) -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let text = text.expect("readable");
    let (_, section) = text.split_once(heading).expect("a section");
    let section = section.split("\n#").next().expect("its text");
    let lines = section.lines().filter_map(|line| line.strip_prefix(prompt));
    lines.map(str::to_owned).collect()
}
