//! Every kind of mistake, as data: `tests/fixtures/inventory/CASE.yml` (or a folder of files) and the text that a
//! user gets for it, `CASE.txt`. With HACTL_UPDATE_EXPECTED=1 the texts are written instead of compared.
//!
//! Comments in a case: `# var: KEY=VALUE` is `--var`; `# schema: refuses` says that the JSON Schema finds it too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{LoadError, Loaded, Source, Style, load, schema, to_json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn texts(case: &Path) -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = if case.is_dir() {
        fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![case.to_path_buf()]
    };
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn load_texts(texts: &[(String, String)]) -> Result<Loaded, LoadError> {
    let variables: BTreeMap<String, String> = texts
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.strip_prefix("# var: ")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let sources: Vec<Source> =
        texts.iter().map(|(name, text)| Source::Text { name: name.clone(), text: text.clone() }).collect();
    load(&sources, &variables)
}

fn cases() -> Vec<(String, Vec<(String, String)>)> {
    let folder = root().join("tests/fixtures/inventory");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "yml"));
    cases.sort();
    assert!(cases.len() > 20, "the fixtures were not found");
    cases.iter().map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), texts(path))).collect()
}

#[test]
fn every_mistake_is_told_as_expected() {
    let update = std::env::var_os("HACTL_UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for (name, texts) in cases() {
        let told = match load_texts(&texts) {
            Ok(_) => "valid\n".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            name.starts_with("valid") || name.ends_with("-valid"),
            told == "valid\n",
            "{name}: {told}"
        );
        let file = root().join("tests/fixtures/inventory").join(format!("{name}.txt"));
        if update {
            fs::write(&file, &told).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != told {
            wrong.push(format!("=== {name}\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "these are told differently:\n{}", wrong.join("\n"));
}

#[test]
fn every_place_exists() {
    for (name, texts) in cases() {
        let Err(error) = load_texts(&texts) else { continue };
        for diagnostic in &error.diagnostics {
            for label in &diagnostic.labels {
                let position = error.sources.position(label.span);
                assert!(position.is_some(), "{name}: {diagnostic:?} points nowhere");
            }
        }
        let json = to_json(&error.diagnostics, &error.sources);
        assert_eq!(json["valid"], false);
        assert_eq!(json["diagnostics"].as_array().unwrap().len(), error.diagnostics.len());
    }
}

#[test]
fn what_is_drawn_for_a_terminal_says_the_same() {
    for (name, texts) in cases() {
        let Err(error) = load_texts(&texts) else { continue };
        let drawn = error.render(Style::Graphical { width: 400, color: false });
        for diagnostic in &error.diagnostics {
            let words: Vec<&str> = diagnostic.message.split_whitespace().collect();
            let flat = drawn.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(&words.join(" ")), "{name}: {} is missing in\n{drawn}", diagnostic.message);
        }
        assert!(!drawn.contains("hunter"), "{name}: a secret is shown:\n{drawn}");
        assert!(!error.to_string().contains("hunter"), "{name}: a secret is shown");
    }
}

fn as_json(text: &str) -> Option<serde_json::Value> {
    serde_saphyr::from_str(text).ok()
}

#[test]
fn schema_and_loader_agree() {
    let validator = jsonschema::draft202012::new(&schema()).expect("the schema is a schema");
    for (name, texts) in cases() {
        let valid = load_texts(&texts).is_ok();
        for (file, text) in texts {
            if valid {
                let json = as_json(&text).unwrap_or_else(|| panic!("{name}/{file} is YAML"));
                let errors: Vec<String> = validator
                    .iter_errors(&json)
                    .map(|error| format!("{}: {error}", error.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{name}/{file}: {errors:#?}");
            } else if text.lines().any(|line| line == "# schema: refuses") {
                let json = as_json(&text).unwrap_or_else(|| panic!("{name}/{file} is YAML"));
                assert!(!validator.is_valid(&json), "{name}/{file}: the schema accepts it");
            }
        }
    }
}

#[test]
fn the_published_schema_is_the_current_one() {
    let file = root().join("docs/schema/inventory.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("HACTL_UPDATE_EXPECTED").is_some() {
        fs::write(&file, &current).unwrap();
    }
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == current,
        "write it anew: hactl validate --schema > docs/schema/inventory.schema.json"
    );
}

/// The example inventories are valid; those that leave the nodes to a lab are, together with what it writes.
#[test]
fn example_inventories_are_valid() {
    let validator = jsonschema::draft202012::new(&schema()).expect("the schema is a schema");
    let mut examples = 0;
    for entry in fs::read_dir(root().join("inventory")).unwrap() {
        let path = entry.unwrap().path();
        // The folders hold files that an inventory names.
        if path.is_dir() {
            continue;
        }
        let mut files = texts(&path);
        let json = as_json(&files[0].1).unwrap_or_else(|| panic!("{} is YAML", path.display()));
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let nodes = root().join("tests/fixtures/example_nodes").join(stem);
        if nodes.exists() {
            files.extend(texts(&nodes));
        }
        load_texts(&files).unwrap_or_else(|error| panic!("{}", error));
        examples += 1;
    }
    assert!(examples > 0);
}

/// Every key of the format is described in the reference.
#[test]
fn the_reference_names_every_key() {
    let reference = fs::read_to_string(root().join("docs/inventory.md")).unwrap();
    let mut keys = Vec::new();
    collect_keys(&schema(), &mut keys);
    assert!(keys.len() > 50);
    let missing: Vec<&String> = keys.iter().filter(|key| !reference.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/inventory.md does not name {missing:?}");
}

/// The first example of the reference is an inventory.
#[test]
fn the_example_of_the_reference_is_valid() {
    let reference = fs::read_to_string(root().join("docs/inventory.md")).unwrap();
    let example = reference.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    load_texts(&[("inventory.md".to_owned(), example.to_owned())]).unwrap_or_else(|error| panic!("{error}"));
}

fn collect_keys(schema: &serde_json::Value, keys: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                if key == "properties" {
                    keys.extend(value.as_object().unwrap().keys().cloned());
                }
                collect_keys(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        _ => {}
    }
}
