//! Barclamps as their users and their authors meet them.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::schema::Schema;
use super::{Barclamp, BarclampError, Folder, Registry, run_golden, scaffold};
use crate::inventory::SecretRef;
use crate::names::BarclampName;
use crate::secrets::{has_marker, marker};

fn words(errors: &[BarclampError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn registry() -> Registry {
    Registry::embedded().unwrap_or_else(|errors| panic!("{}", words(&errors)))
}

#[test]
fn the_golden_tests_of_the_embedded_barclamps_pass() {
    let registry = registry();
    let mut failures = String::new();
    for barclamp in registry.iter() {
        let cases = run_golden(&registry, &barclamp.manifest.name)
            .unwrap_or_else(|errors| panic!("{}", words(&errors)));
        for case in cases.iter().filter(|case| !case.passed()) {
            for (path, diff) in case.differences() {
                failures.push_str(&format!("{}/{}: {path}\n{diff}\n", barclamp.manifest.name, case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// The CIBs of all golden tests, by case.
fn cibs() -> BTreeMap<String, String> {
    let registry = registry();
    let mut cibs = BTreeMap::new();
    for barclamp in registry.iter() {
        for case in run_golden(&registry, &barclamp.manifest.name).unwrap() {
            let cib = case.actual.get(camino::Utf8Path::new("cib.xml")).cloned();
            cibs.extend(cib.map(|cib| (format!("{}/{}", barclamp.manifest.name, case.name), cib)));
        }
    }
    cibs
}

#[test]
fn every_id_of_a_rendered_cib_is_unique() {
    let cibs = cibs();
    assert!(cibs.len() >= 8, "{}", cibs.len());
    for (case, cib) in cibs {
        let document = roxmltree::Document::parse(&cib).unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut seen = std::collections::BTreeSet::new();
        // A `resource_ref` names the id of something else.
        for node in document.descendants().filter(|node| node.tag_name().name() != "resource_ref") {
            if let Some(id) = node.attribute("id") {
                assert!(seen.insert((node.tag_name().name() == "node", id)), "{case}: {id} is there twice");
            }
        }
    }
}

#[test]
fn what_is_rendered_is_what_the_parsers_of_this_program_read() {
    for (case, cib) in cibs() {
        crate::cib::Cib::parse(&cib).unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    let registry = registry();
    for case in run_golden(&registry, &BarclampName::new("pacemaker").unwrap()).unwrap() {
        let path = camino::Utf8Path::new("all/etc/corosync/corosync.conf");
        let Some(text) = case.actual.get(path) else { continue };
        let conf = crate::corosync::CorosyncConf::parse(text)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(!conf.nodes().is_empty(), "{}", case.name);
    }
}

/// Where Pacemaker's tools are installed, they must accept what is rendered. Warnings about nodes that are not there
/// are the test's own: there is no cluster behind it.
#[test]
fn pacemaker_accepts_the_rendered_cibs() {
    let folder = tempfile::tempdir().unwrap();
    for (case, cib) in cibs() {
        let file = folder.path().join("cib.xml");
        // Pacemaker itself says so where SBD runs, before it looks at what is configured.
        let (watchdog, end) = ("stonith-watchdog-timeout", "</cluster_property_set>");
        let said = "<nvpair id=\"have-watchdog\" name=\"have-watchdog\" value=\"true\"/>";
        let cib = if cib.contains(watchdog) { cib.replacen(end, &format!("{said}{end}"), 1) } else { cib };
        std::fs::write(&file, cib).unwrap();
        let run = std::process::Command::new("crm_verify").arg("-V").arg("--xml-file").arg(&file).output();
        let Ok(output) = run else {
            eprintln!("skipped: crm_verify is not installed (apt-get install pacemaker-cli-utils)");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("error:"), "{case}: {said}");
        assert!(matches!(output.status.code(), Some(0)) || said.contains("Warnings found"), "{case}: {said}");
    }
}

#[test]
fn a_new_barclamp_passes_its_own_tests() {
    let parent = tempfile::tempdir().unwrap();
    let name = BarclampName::new("my-service").unwrap();
    let folder = Utf8PathBuf::from_path_buf(parent.path().join("my-service")).unwrap();
    for (path, text) in scaffold(&name) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let registry = Registry::load(&[folder]).unwrap_or_else(|errors| panic!("{}", words(&errors)));
    let cases = run_golden(&registry, &name).unwrap();
    assert_eq!(cases.len(), 1);
    assert!(cases[0].passed(), "{:?}", cases[0].differences());
}

fn folder(files: &[(&str, &str)]) -> Folder {
    let manifest = "name: t\nversion: 1.0.0\nsummary: A test\ndistros: [debian-12]\nroles: { worker: { summary: Works } }\n";
    let files = std::iter::once(("barclamp.yml", manifest)).chain(files.iter().copied());
    let files = files.map(|(path, text)| (Utf8PathBuf::from(path), text.to_owned()));
    Folder { origin: "t".to_owned(), files: files.collect() }
}

/// Each folder of the fixtures is a barclamp with one mistake; the text beside it must be among the errors.
#[test]
fn mistakes_of_an_author_are_found_when_the_barclamp_is_loaded() {
    let root = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/barclamp/mistakes");
    let shared = Folder { origin: "shared".to_owned(), files: BTreeMap::new() };
    let mut tried = 0;
    for entry in root.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if !path.is_dir() {
            continue;
        }
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let errors =
            Barclamp::load(Folder::read(&path).unwrap(), &BTreeMap::new(), &shared).map(|_| ()).unwrap_err();
        assert!(words(&errors).contains(expected.trim_end_matches('\n')), "{path}: {}", words(&errors));
        tried += 1;
    }
    assert!(tried >= 20, "{tried}");
}

#[test]
fn names_of_local_files_are_found_wherever_the_schema_has_them() {
    let schema = schema(
        "version: 1\nattributes:\n  type: object\n  properties:\n    list: { type: array, items: { $ref: '#/$defs/it' } }\n    \
         map: { type: object, additionalProperties: { type: string, local_file: true } }\n    plain: { type: string }\n  \
         $defs: { it: { type: object, properties: { from: { type: string, local_file: true } } } }\n",
    );
    let value = json!({ "list": [{ "from": "a" }, {}], "map": { "x/y": "b" }, "plain": "c" });
    let found = schema.local_files(&value);
    let found: Vec<(&str, &str)> = found.iter().map(|(at, name)| (at.as_str(), name.as_str())).collect();
    assert_eq!(found, [("/list/0/from", "a"), ("/map/x~1y", "b")]);
    for (pointer, _) in found {
        assert!(value.pointer(pointer).is_some(), "{pointer}");
    }
}

fn schema(text: &str) -> Schema {
    Schema::load(&folder(&[("schema.yml", text)])).unwrap()
}

#[test]
fn secrets_become_markers_and_are_never_written_out() {
    let schema = schema(
        "version: 1\nattributes:\n  type: object\n  properties:\n    password: { type: string, secret: true }\n    \
         params: { type: object, additionalProperties: { type: [string, integer], secret: allowed } }\n",
    );
    let attributes = json!({ "password": { "env": "P" }, "params": { "a": "open", "b": { "file": "/b" } } });
    let resolved = schema.resolve(&attributes, "/x").unwrap();
    assert_eq!(resolved.value["password"], marker("/x/password"));
    assert_eq!(resolved.value["params"]["a"], "open");
    assert!(has_marker(resolved.value["params"]["b"].as_str().unwrap()));
    let references: Vec<&SecretRef> = resolved.secrets.iter().map(|used| &used.reference).collect();
    assert_eq!(references, [&SecretRef::Env("P".to_owned()), &SecretRef::File("/b".into())]);

    let errors = schema.resolve(&json!({ "password": "hunter22" }), "/x").unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((errors[0].code, errors[0].pointer.as_str()), ("secret", "/password"));
    assert!(!format!("{errors:?}").contains("hunter22"));
    let forged = schema.resolve(&json!({ "params": { "a": marker("/x/password") } }), "/x").unwrap_err();
    assert_eq!(forged[0].pointer, "/params/a", "a marker cannot be smuggled in: {forged:?}");
}

#[test]
fn an_old_inventory_is_upgraded_or_refused_with_the_reason() {
    let schema = schema(
        "version: 3\nattributes: { type: object, properties: { net: { type: object, properties: { port: { type: integer } } } } }\n\
         migrations:\n  - { from: 1, rename: { /port: /net/port } }\n  - { from: 2, removed: { /colour: nothing replaces it } }\n",
    );
    let upgraded = schema.resolve(&json!({ "schema": 1, "port": 5 }), "").unwrap();
    assert_eq!(upgraded.value, json!({ "net": { "port": 5 } }));
    let removed = schema.resolve(&json!({ "schema": 2, "colour": "red" }), "").unwrap_err();
    assert!(removed[0].to_string().contains("nothing replaces it"), "{removed:?}");
    let unversioned = schema.resolve(&json!({ "port": 5 }), "").unwrap_err();
    assert!(unversioned[0].to_string().contains("it is now `/net/port`"), "{unversioned:?}");
    let newer = schema.resolve(&json!({ "schema": 4 }), "").unwrap_err();
    assert_eq!(newer[0].pointer, "/schema");
}

#[test]
fn defaults_fill_what_is_not_said() {
    let resolved = registry().resolve(&BarclampName::new("pacemaker").unwrap(), &Value::Null, "").unwrap();
    assert_eq!(resolved.value["corosync"]["crypto"]["cipher"], "aes256");
    assert_eq!(resolved.value["fencing"]["monitor_interval"], "60s");
}

/// Barclamps in a folder of their own, by file.
fn loaded(files: &[(&str, &str)]) -> Result<Registry, Vec<BarclampError>> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Registry::load(&[Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap()])
}

#[test]
fn a_barclamp_that_is_not_finished_is_refused_by_name() {
    let manifest =
        "name: later\nversion: 0.1.0\nsummary: x\ndistros: [debian-12]\nunusable: it is not finished\n";
    let registry =
        loaded(&[("later/barclamp.yml", manifest)]).unwrap_or_else(|errors| panic!("{}", words(&errors)));
    let errors = registry.resolve(&BarclampName::new("later").unwrap(), &json!({}), "").unwrap_err();
    assert_eq!(words(&errors), "barclamp `later` cannot be used: it is not finished\n");
    let unknown = registry.get("pacemakr").map(|_| ()).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no barclamp `pacemakr` (did you mean `pacemaker`?)");
}

const FAMILY: &str =
    "name: kin\nfamily: true\nsummary: x\nroles: { worker: { summary: works, default: none } }\n";
const FAMILY_SCHEMA: &str = "version: 1\nattributes: { type: object, properties: { a: { type: integer, default: 1 }, \
                             b: { type: integer, default: 2 } } }\n";
const FAMILY_ITEMS: &str =
    "resources:\n  - id: note\n    on: role worker\n    file: { template: note, path: /etc/note }\n";

#[test]
fn a_barclamp_has_what_its_family_has() {
    let own = "name: child\nversion: 0.1.0\nsummary: x\ndistros: [debian-12]\nextends: kin\n";
    let schema =
        "version: 1\nattributes: { type: object, properties: { b: { default: 3 }, c: { type: integer } } }\n";
    let files = |more: &[(&'static str, &'static str)]| {
        let mut files = vec![
            ("kin/barclamp.yml", FAMILY),
            ("kin/schema.yml", FAMILY_SCHEMA),
            ("kin/resources.yml", FAMILY_ITEMS),
            ("kin/templates/note.tera", "{{ attributes.a }}{{ barclamp.name }}"),
            ("child/barclamp.yml", own),
            ("child/schema.yml", schema),
        ];
        files.extend(more);
        files
    };
    let registry = loaded(&files(&[])).unwrap_or_else(|errors| panic!("{}", words(&errors)));
    let child = registry.get("child").unwrap();
    assert!(child.manifest.roles.contains_key("worker") && child.item("note").is_some());
    let resolved = registry.resolve(&child.manifest.name, &json!({ "c": 4 }), "").unwrap();
    assert_eq!(resolved.value, json!({ "a": 1, "b": 3, "c": 4 }));
    // A family is no barclamp; and one id means one thing.
    assert!(registry.get("kin").is_err());
    let again = "resources:\n  - id: note\n    file: { template: note, path: /etc/other }\n";
    let errors = words(&loaded(&files(&[("child/resources.yml", again)])).map(|_| ()).unwrap_err());
    assert!(errors.contains("item `note`: the family has one of this name"), "{errors}");
    let orphan = "name: child\nversion: 0.1.0\nsummary: x\ndistros: [debian-12]\nextends: kinn\n";
    let errors = words(&loaded(&[("child/barclamp.yml", orphan)]).map(|_| ()).unwrap_err());
    assert!(errors.contains("there is no family `kinn`"), "{errors}");
    // A mistake in the family's file names that file.
    let wrong =
        "resources:\n  - id: note\n    after: [nothing]\n    file: { template: note, path: /etc/note }\n";
    let mut broken = files(&[]);
    broken[2].1 = wrong;
    let errors = words(&loaded(&broken).map(|_| ()).unwrap_err());
    assert!(errors.contains("kin/resources.yml:2"), "{errors}");
}
