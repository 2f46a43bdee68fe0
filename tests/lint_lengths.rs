//! Source files stay short. (clippy's `too_many_lines` keeps functions short; see clippy.toml for the limit.)

#![allow(clippy::expect_used, reason = "a test that cannot go on stops with a word")]

use std::path::{Path, PathBuf};

/// Most lines of a source file, tests in it included.
const MAX_FILE_LINES: usize = 600;
/// Where the sources are, from the root of the repository.
const ROOTS: [&str; 5] = ["src", "crates", "tests", "benches", "fuzz"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target" && name != "fixtures") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_longer_than_the_limit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ROOTS {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 10, "the sources were not found below {}", root.display());
    files.sort();
    let too_long: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let lines = std::fs::read_to_string(file).expect("a source file is UTF-8 text").lines().count();
            let name = file.strip_prefix(root).unwrap_or(file).display();
            (lines > MAX_FILE_LINES).then(|| format!("{name}: {lines} lines"))
        })
        .collect();
    assert!(
        too_long.is_empty(),
        "these files have more than {MAX_FILE_LINES} lines; look for the concept that wants a file of its own:\n{}",
        too_long.join("\n")
    );
}
