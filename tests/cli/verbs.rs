//! Verbs that read an inventory: mistakes end before anything is contacted, unreachable nodes have their own code.

use std::path::Path;

use super::executable::{Ran, ended, hactl};

/// Two nodes on loopback addresses where nothing listens: refused at once, without a packet on any wire.
const UNREACHABLE: &str = "\
version: 1
clusters:
  web:
    nodes:
      alpha: { address: 127.0.0.2, port: 1, links: [192.0.2.11] }
      beta: { address: 127.0.0.3, port: 1, links: [192.0.2.12] }
    ssh: { user: root, known_hosts: /dev/null, config: /dev/null }
    barclamps:
      pacemaker:
        fencing:
          agent: fence_ipmilan
          per_node:
            alpha: { ip: 192.0.2.111, username: admin, password: { env: HACTL_TEST_PASSWORD } }
            beta: { ip: 192.0.2.112, username: admin, password: { env: HACTL_TEST_PASSWORD } }
";

/// A folder with this inventory, of which the executable knows nothing else.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(inventory: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("inventory.yml"), inventory).expect("the folder can be written");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = hactl(arguments);
        command.current_dir(self.path()).env("XDG_STATE_HOME", self.path().join("state"));
        command.env("HACTL_TEST_PASSWORD", "secret word").env_remove("HACTL_INVENTORY");
        ended(&mut command)
    }
}

#[test]
fn a_valid_inventory_is_valid_offline() {
    let ran = Place::new(UNREACHABLE).run(&["validate"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("web: 2 nodes (alpha beta)"), "{}", ran.stdout);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_by_every_verb() {
    let wrong = UNREACHABLE.replace("port: 1", "prt: 1").replace("agent:", "agnt:");
    let place = Place::new(&wrong);
    for verb in [&["validate"][..], &["plan"], &["apply", "--yes"], &["status"], &["verify"], &["drift"]] {
        let ran = place.run(verb);
        assert_eq!(ran.code, Some(3), "{verb:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{verb:?}");
        assert!(
            ran.stderr.contains("inventory.yml:5:") && ran.stderr.contains("inventory.yml:6:"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("prt") && ran.stderr.contains("port"), "{verb:?}: {}", ran.stderr);
    }
}

#[test]
fn mistakes_are_also_a_json_document() {
    let place = Place::new(&UNREACHABLE.replace("port: 1", "prt: 1"));
    let ran = place.run(&["validate", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!((ran.code, &document["format"], &document["valid"]), (Some(3), &1.into(), &false.into()));
}

#[test]
fn nodes_that_cannot_be_reached_are_all_named_and_have_their_own_code() {
    let place = Place::new(UNREACHABLE);
    for verb in
        [&["plan"][..], &["apply", "--yes"], &["status"], &["verify"], &["drift"], &["destroy", "--yes"]]
    {
        let ran = place.run(verb);
        assert_eq!(ran.code, Some(4), "{verb:?}: {}", ran.stderr);
        for node in ["alpha: cannot connect to 127.0.0.2:1", "beta: cannot connect to 127.0.0.3:1"] {
            assert!(ran.stderr.contains(node), "{verb:?}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("secret word"), "{verb:?}: {}", ran.stderr);
    }
}

#[test]
fn a_secret_that_cannot_be_had_ends_before_anything_is_contacted() {
    let place = Place::new(&UNREACHABLE.replace("HACTL_TEST_PASSWORD", "HACTL_TEST_UNSET"));
    let ran = place.run(&["plan"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("HACTL_TEST_UNSET") && !ran.stderr.contains("127.0.0.2"), "{}", ran.stderr);
}

#[test]
fn a_selection_that_matches_nothing_names_the_nodes_that_there_are() {
    let ran = Place::new(UNREACHABLE).run(&["plan", "--on", "gamma"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("`gamma` matches no node of the inventory (which has alpha, beta)"),
        "{}",
        ran.stderr
    );
}

#[test]
fn without_a_terminal_changes_need_a_yes_before_anything_is_contacted() {
    let place = Place::new(UNREACHABLE);
    for verb in ["apply", "destroy"] {
        let ran = place.run(&[verb]);
        assert_eq!(ran.code, Some(3), "{verb}: {}", ran.stderr);
        assert!(ran.stderr.contains("--yes") && !ran.stderr.contains("127.0.0.2"), "{verb}: {}", ran.stderr);
    }
}

#[test]
fn a_saved_plan_of_another_format_is_stale_and_what_is_no_plan_is_a_mistake() {
    let place = Place::new(UNREACHABLE);
    std::fs::write(place.path().join("old.json"), "{\"format\": 0}").expect("the folder can be written");
    std::fs::write(place.path().join("none.json"), "hello").expect("the folder can be written");
    assert_eq!(place.run(&["apply", "old.json", "--yes"]).code, Some(6));
    assert_eq!(place.run(&["apply", "none.json", "--yes"]).code, Some(3));
    assert_eq!(place.run(&["apply", "missing.json", "--yes"]).code, Some(3));
}
