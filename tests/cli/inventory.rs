//! `hactl init` and `hactl validate`.

use std::io::Write as _;
use std::process::Stdio;

use crate::executable::{ended, hactl, on_a_terminal, run};

#[test]
fn what_init_writes_validate_accepts_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let init = |arguments: &[&str]| ended(hactl(arguments).current_dir(folder.path()));
    let written = init(&["init", "alpha=192.0.2.11", "beta=192.0.2.12"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    let valid = init(&["validate"]);
    assert_eq!(valid.code, Some(0), "{}", valid.stderr);
    assert_eq!(
        valid.stdout,
        "the inventory is valid\n  main: 2 nodes (alpha beta), 1 link, 1 resource, 0 constraints; barclamps pacemaker\n"
    );
    let again = init(&["init", "gamma=192.0.2.13"]);
    assert_eq!(again.code, Some(3));
    assert!(again.stderr.contains("inventory.yml exists and is not overwritten"), "{}", again.stderr);
}

#[test]
fn mistakes_end_with_3_and_are_told_on_stderr() {
    let ran = run(&["validate", "-i", "tests/fixtures/inventory/duplicate-keys.yml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    assert!(ran.stderr.contains("duplicate-keys.yml:4:37: error: `address` is here twice"), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 mistakes in the inventory"), "{}", ran.stderr);
}

#[test]
fn programs_get_the_mistakes_as_json() {
    let ran = run(&["validate", "--json", "-i", "tests/fixtures/inventory/duplicate-keys.yml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""));
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!(document["valid"], false);
    assert_eq!(document["diagnostics"][0]["code"], "duplicate-key");
    assert_eq!(document["diagnostics"][0]["places"][0]["line"], 4);
}

#[test]
fn the_schema_is_printed() {
    let ran = run(&["validate", "--schema"]);
    assert_eq!(ran.code, Some(0));
    let published =
        std::fs::read_to_string("docs/schema/inventory.schema.json").expect("the published schema");
    assert_eq!(ran.stdout, published);
}

#[test]
fn an_inventory_may_come_from_stdin_and_variables_from_the_command_line() {
    let arguments = ["validate", "-i", "-", "--var", "ip=192.0.2.1"];
    let mut child = hactl(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the executable can be started");
    let text = b"clusters: { lab: { nodes: { a: { address: \"${ip}\" } } } }\n";
    child.stdin.take().expect("a pipe").write_all(text).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_lab_and_its_services_make_one_inventory() {
    let ran = run(&["validate", "-i", "tests/fixtures/example_nodes/lab", "-i", "inventory/lab.yml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let alone = run(&["validate", "-i", "inventory/lab.yml"]);
    assert_eq!(alone.code, Some(3));
    assert!(alone.stderr.contains("cluster `lab` has no nodes"), "{}", alone.stderr);
}

#[test]
fn an_inventory_that_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = ended(hactl(&["validate"]).current_dir(folder.path()));
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("cannot read inventory.yml"), "{}", ran.stderr);
}

#[test]
fn a_terminal_gets_frames() {
    let arguments = ["validate", "-i", "tests/fixtures/inventory/version.yml"];
    let Some(seen) = on_a_terminal(&arguments, &[]) else { return };
    assert!(seen.contains("╭─[") && seen.contains("\u{1b}["), "{seen}");
    let Some(plain) = on_a_terminal(&arguments, &[("NO_COLOR", "1")]) else { return };
    assert!(!plain.contains("\u{1b}["), "{plain}");
}
