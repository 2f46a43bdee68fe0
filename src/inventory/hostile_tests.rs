//! No input makes the loader panic, hang or point outside a file: arbitrary bytes, YAML-like noise, and inventories
//! with pieces cut out, doubled or replaced.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{LoadError, Source, Style, load, to_json};

const INVENTORY: &str = include_str!("../../tests/fixtures/inventory/valid-full.yml");

/// Words that mean something somewhere in an inventory or in YAML.
const WORDS: &[&str] = &[
    "clusters:",
    "nodes:",
    "ssh:",
    "resources:",
    "constraints:",
    "claims:",
    "barclamps:",
    "variables:",
    "\n",
    "\n  ",
    "\n    ",
    "\n      - ",
    "{",
    "}",
    "[",
    "]",
    ",",
    ": ",
    "- ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!x ",
    "\"",
    "'",
    "|\n",
    ">\n",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "${a}",
    "${",
    "$${",
    "~",
    "null",
    "no",
    "012",
    "1e999",
    "-1",
    "0x",
    "\t",
    "\u{feff}",
    "\u{0}",
    "é",
    "\u{202e}",
    "? ",
    "a",
    "alpha",
    "group:",
    "primitive:",
    "@a",
    "order:",
    "address:",
    "10.0.0.1",
];

fn judge(text: String) -> Result<(), TestCaseError> {
    let source = Source::Text { name: "x.yml".to_owned(), text };
    let Err(LoadError { diagnostics, sources }) = load(&[source], &BTreeMap::new()) else { return Ok(()) };
    prop_assert!(!diagnostics.is_empty());
    for diagnostic in &diagnostics {
        prop_assert!(!diagnostic.message.chars().any(char::is_control), "{:?}", diagnostic.message);
        for label in &diagnostic.labels {
            prop_assert!(sources.position(label.span).is_some(), "{diagnostic:?}");
        }
    }
    let error = LoadError { diagnostics, sources };
    prop_assert!(!error.render(Style::Plain).is_empty());
    let drawn = error.render(Style::Graphical { width: 80, color: true });
    prop_assert!(!drawn.is_empty());
    let _ = to_json(&error.diagnostics, &error.sources);
    Ok(())
}

/// The index of a character boundary at or before this share of a text.
fn boundary(text: &str, share: f64) -> usize {
    let mut at = (text.len() as f64 * share) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_judged(text in "\\PC{0,200}") {
        judge(text)?;
    }

    #[test]
    fn arbitrary_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(folder.path().join("x.yml")).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        if let Err(error) = load(&[Source::Path(path)], &BTreeMap::new()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn yaml_like_noise_is_judged(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        judge(words.concat())?;
    }

    #[test]
    fn damaged_inventories_are_judged(
        cuts in prop::collection::vec((0.0..1.0_f64, 0.0..0.1_f64, prop::sample::select(WORDS), 0..4_u8), 1..6),
    ) {
        let mut text = INVENTORY.to_owned();
        for (start, length, word, kind) in cuts {
            let from = boundary(&text, start);
            let to = boundary(&text, (start + length).min(1.0));
            match kind {
                0 => text.replace_range(from..to, ""),
                1 => text.replace_range(from..to, word),
                2 => text.insert_str(from, word),
                _ => text = [&text[..to], &text[from..to], &text[to..]].concat(),
            }
        }
        judge(text)?;
    }

    /// One key or value at a time: mostly still YAML, so that the decoder and the checks are reached.
    #[test]
    fn inventories_with_one_word_replaced_are_judged(
        which in any::<prop::sample::Index>(),
        with in any::<prop::sample::Index>(),
    ) {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':');
        let words: Vec<&str> = INVENTORY.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        let (old, new) = (words[which.index(words.len())], words[with.index(words.len())]);
        let at = old.as_ptr() as usize - INVENTORY.as_ptr() as usize;
        let mut text = INVENTORY.to_owned();
        text.replace_range(at..at + old.len(), new);
        judge(text)?;
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(10_000)] {
        judge(text).unwrap();
    }
    let indented: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    judge(indented).unwrap();
}

#[test]
fn nesting_through_aliases_is_refused() {
    let mut text = String::from("x-0: &a0 {k: v}\n");
    for depth in 1..3000 {
        text.push_str(&format!("x-{depth}: &a{depth} {{k: *a{}}}\n", depth - 1));
    }
    let source = Source::Text { name: "x.yml".to_owned(), text };
    let error = load(&[source], &BTreeMap::new()).unwrap_err();
    assert_eq!(error.diagnostics[0].code, "too-large", "{error}");
}

#[test]
fn large_inventories_are_judged_in_time() {
    let mut text = String::from("clusters:\n");
    for cluster in 0..250 {
        text.push_str(&format!("  c{cluster}:\n    nodes:\n"));
        for node in 0..8 {
            let third = format!("{}.{}", cluster, node + 1);
            text.push_str(&format!(
                "      n{cluster}-{node}: {{ address: 10.0.{third}, links: [10.1.{third}, 10.2.{third}] }}\n"
            ));
        }
    }
    let source = Source::Text { name: "x.yml".to_owned(), text };
    let begun = std::time::Instant::now();
    let loaded = load(&[source], &BTreeMap::new()).unwrap();
    assert_eq!(loaded.inventory.clusters.values().map(|cluster| cluster.nodes.len()).sum::<usize>(), 2000);
    // A debug build does this in a fraction of a second; what must not happen is a quadratic check.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
