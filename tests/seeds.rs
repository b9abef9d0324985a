//! Writes the corpus as the fuzz target's seeds, a file each, where `FUZZ_SEEDS` says.

mod support;

use support::corpus;

#[test]
fn every_input_of_the_corpus_is_a_seed() {
    let named = std::env::var_os("FUZZ_SEEDS").map(std::path::PathBuf::from);
    let folder = named.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("origin-guard-seeds-{}", std::process::id()))
    });
    std::fs::create_dir_all(&folder).expect("a folder");
    let entries = corpus::entries();
    for entry in &entries {
        let path = folder.join(format!("line-{}", entry.line));
        std::fs::write(&path, &entry.input).expect("written");
        assert_eq!(std::fs::read(&path).expect("read back"), entry.input);
    }
    if named.is_none() {
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
