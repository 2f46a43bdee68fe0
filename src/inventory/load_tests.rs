//! What an inventory becomes when it is right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::Utf8PathBuf;

use super::*;
use crate::names::ClusterName;

const FULL: &str = include_str!("../../tests/fixtures/inventory/valid-full.yml");

fn loaded(text: &str) -> Loaded {
    let source = Source::Text { name: "x.yml".to_owned(), text: text.to_owned() };
    let site = ("site".to_owned(), "rack1".to_owned());
    let variables = text.contains("${site}").then_some(site).into_iter().collect();
    load(&[source], &variables).unwrap_or_else(|error| panic!("{error}"))
}

fn full() -> Cluster {
    loaded(FULL).inventory.clusters.remove("web-1").unwrap()
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    for (name, text) in files {
        std::fs::write(path.join(name), text).unwrap();
    }
    (folder, path)
}

const NODES: &str = "clusters: { lab: { nodes: { a: { address: 192.0.2.1 } } } }\n";

#[test]
fn text_is_kept_as_written() {
    let cluster = full();
    let attributes = &cluster.nodes["alpha"].attributes;
    let text = |name: &str| attributes[name].text().unwrap();
    assert_eq!([text("site"), text("serial"), text("mail"), text("ratio")], ["rack1", "012", "yes", "1e3"]);
    assert_eq!(cluster.claims["alpha"]["sbd"].wwn.as_deref(), Some("0x5000c500a1b2c3d4"));
    assert_eq!(cluster.claims["beta.example.org"]["data"].serial.as_deref(), Some("0012"));
    let ResourceKind::Primitive(vip) = &cluster.resources["vip"].kind else { panic!("a primitive") };
    assert_eq!(vip.params["nic"], Setting::from("no"));
    assert_eq!(vip.params["ip"], Setting::from("10.0.0.100"));
}

#[test]
fn a_node_overrides_the_login_of_its_cluster() {
    let cluster = full();
    let (alpha, beta) = (&cluster.nodes["alpha"].ssh, &cluster.nodes["beta.example.org"].ssh);
    assert_eq!((alpha.user.as_deref(), alpha.port), (Some("admin"), Some(2222)));
    assert_eq!((beta.user.as_deref(), beta.port), (Some("root"), None));
    assert_eq!(alpha.sudo, Sudo::Password(SecretRef::Env("SUDO_PASSWORD".to_owned())));
    assert_eq!(alpha.connect_timeout, Duration::from_secs(60));
    assert_eq!(alpha.jump.as_ref().unwrap()[0].to_string(), "ops@bastion.example.org:2200");
    assert!(!alpha.agent);
    assert_eq!(cluster.nodes["beta.example.org"].address.to_string(), "beta.example.org");
}

#[test]
fn paths_start_from_the_file_they_are_written_in() {
    let text = "clusters: { lab: { nodes: { a: { address: 192.0.2.1 } }, ssh: { identity: [keys/k, /abs/k] }, \
                barclamps: { demo: { password: { file: ../secret }, age: { age: s.age }, other: { file: a, mode: b } } } } }";
    let (_keep, path) = folder(&[("lab.yml", text)]);
    let loaded = load(&[Source::Path(path.join("lab.yml"))], &BTreeMap::new()).unwrap();
    let cluster = &loaded.inventory.clusters["lab"];
    assert_eq!(cluster.nodes["a"].ssh.identities, [path.join("keys/k"), "/abs/k".into()]);
    let attributes = &cluster.barclamps["demo"].attributes;
    let password = SecretRef::from_json(&attributes["password"]);
    assert_eq!(password, Some(SecretRef::File(path.join("../secret"))));
    assert_eq!(SecretRef::from_json(&attributes["age"]), Some(SecretRef::Age(path.join("s.age"))));
    assert_eq!(attributes["other"]["file"], "a");
}

#[test]
fn anchors_and_merge_keys_work() {
    let cluster = full();
    let ResourceKind::Primitive(db) = &cluster.resources["db"].kind else { panic!("a primitive") };
    let monitors: Vec<_> = db.operations.iter().filter(|operation| operation.name == "monitor").collect();
    assert_eq!(monitors[0].interval, Duration::from_secs(10));
    assert_eq!(monitors[0].role, Some(Role::Unpromoted));
    assert_eq!(monitors[1].interval, Duration::from_secs(9));
    assert_eq!(monitors[1].timeout, Some(Duration::from_secs(20)));
    assert_eq!(monitors[1].other["OCF_CHECK_LEVEL"], Setting::from("10"));
}

#[test]
fn constraints_have_stable_ids() {
    let ids: Vec<String> = full().constraints.iter().map(|constraint| constraint.id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "location-web-alpha",
            "location-web-rule",
            "location-web-rule-2",
            "order-db-clone-web",
            "big-order",
            "colocation-web-db-clone",
            "colocation-vip-nginx",
            "colocation-nginx-db-clone",
        ]
    );
}

#[test]
fn an_order_of_many_becomes_sets() {
    let cluster = full();
    let order = cluster.constraints.iter().find(|constraint| constraint.id.as_str() == "big-order").unwrap();
    let ConstraintKind::Order(Order { subject: OrderSubject::Sets(sets), .. }) = &order.kind else {
        panic!("sets: {order:?}")
    };
    let shape: Vec<(Vec<&str>, bool)> = sets
        .iter()
        .map(|set| (set.members.iter().map(ResourceId::as_str).collect(), set.sequential))
        .collect();
    assert_eq!(shape, [(vec!["ping-clone"], true), (vec!["vip", "nginx"], false), (vec!["db-clone"], true)]);
    assert_eq!(sets[2].action, Some(OrderAction::Promote));
}

#[test]
fn values_of_barclamps_can_be_pointed_at() {
    let loaded = loaded(FULL);
    let entry = &loaded.inventory.clusters["web-1"].barclamps["pacemaker"];
    let at = |path: &str| loaded.spans.position(&format!("{}{path}", entry.pointer)).unwrap().to_string();
    assert_eq!(at("/fencing/agent"), "x.yml:41:18");
    assert_eq!(at("/fencing/password"), "x.yml:42:11");
    assert_eq!(at("/fencing/no/such/thing"), at("/fencing"));
    let key = loaded.spans.key(&format!("{}/fencing/agent", entry.pointer)).unwrap();
    assert_eq!(loaded.spans.sources().position(key).unwrap().to_string(), "x.yml:41:11");
}

#[test]
fn references_wait_for_what_barclamps_provide() {
    let text = "clusters: { lab: { nodes: { a: { address: 192.0.2.1 } }, barclamps: { haproxy: {} }, \
                resources: { web: { group: [haproxy] } } } }";
    let loaded = loaded(text);
    let lab = ClusterName::new("lab").unwrap();
    let provided = BTreeMap::from([(lab, BTreeSet::from([ResourceId::new("haproxy").unwrap()]))]);
    assert_eq!(loaded.check_references(&provided), []);
    let problems = loaded.check_references(&BTreeMap::new());
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, "unknown-resource");
    assert!(loaded.failure(problems).to_string().starts_with("x.yml:1:"));
}

#[test]
fn barclamps_use_the_same_vocabulary() {
    let json = serde_json::json!({
        "haproxy": { "primitive": "systemd:haproxy", "params": { "n": 1, "on": true, "key": { "env": "KEY" } } },
        "web": { "clone": "haproxy" },
    });
    let resources = decode_resources(&json).unwrap();
    let ResourceKind::Primitive(haproxy) = &resources["haproxy"].kind else { panic!("a primitive") };
    assert_eq!(haproxy.params["n"], Setting::from("1"));
    assert_eq!(haproxy.params["on"], Setting::from("true"));
    assert_eq!(haproxy.params["key"], Setting::Secret(SecretRef::Env("KEY".to_owned())));
    let constraints =
        decode_constraints(&serde_json::json!([{ "order": ["a", "web"] }]), &resources).unwrap();
    assert_eq!(constraints[0].id.as_str(), "order-a-web");
    let problems = decode_resources(&serde_json::json!({ "x": { "primitiv": "systemd:x" } })).unwrap_err();
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `primitive`?"));
}

#[test]
fn a_folder_is_read_in_the_order_of_names() {
    let (_keep, path) = folder(&[
        ("b.yaml", "clusters: { lab: { ssh: { user: admin } } }"),
        ("a.yml", NODES),
        (".hidden.yml", "["),
        ("notes.txt", "["),
        ("empty.yml", "# nothing yet\n"),
    ]);
    let loaded = load(&[Source::Path(path)], &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.inventory.clusters["lab"].nodes["a"].ssh.user.as_deref(), Some("admin"));
    assert_eq!(loaded.spans.sources().iter().count(), 3);
}

#[test]
fn what_cannot_be_read_is_said() {
    let (_keep, path) = folder(&[("a.yml", NODES)]);
    std::fs::write(path.join("latin1.yml"), b"clusters:\n  caf\xe9: {}\n").unwrap();
    std::fs::create_dir(path.join("none")).unwrap();
    let large = path.join("large.bin");
    std::fs::File::create(&large).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    let source = |name: &str| Source::Path(path.join(name));
    let wanted = [
        source("a.yml"),
        source("a.yml"),
        source("missing.yml"),
        source("latin1.yml"),
        source("none"),
        source("large.bin"),
    ];
    let error = load(&wanted, &BTreeMap::new()).unwrap_err();
    let codes: Vec<&str> = error.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["file-twice", "no-inventory", "not-utf8", "too-large", "unreadable"]);
    assert!(error.to_string().contains("latin1.yml: line 2 is not UTF-8"), "{error}");
    assert_eq!(load(&[], &BTreeMap::new()).unwrap_err().diagnostics[0].code, "no-inventory");
}

#[test]
fn a_byte_order_mark_and_dos_line_ends_are_no_mistake() {
    let loaded = loaded(&format!("\u{feff}{}", NODES.replace('\n', "\r\n")));
    assert_eq!(loaded.inventory.clusters.len(), 1);
}

#[test]
fn the_model_is_the_same_each_time() {
    let json = |cluster: &Cluster| serde_json::to_string(cluster).unwrap();
    assert_eq!(json(&full()), json(&full()));
}

#[test]
fn a_terminal_gets_frames_and_carets() {
    let text = "clusters:\n  lab:\n    nodes:\n      a: { adress: 192.0.2.1 }\n";
    let source = Source::Text { name: "x.yml".to_owned(), text: text.to_owned() };
    let error = load(&[source], &BTreeMap::new()).unwrap_err();
    let drawn = error.render(Style::Graphical { width: 80, color: false });
    assert!(drawn.contains("x.yml:4:12"), "{drawn}");
    assert!(drawn.contains("did you mean `address`?"), "{drawn}");
    assert!(!drawn.contains('\u{1b}'), "{drawn}");
    assert!(error.render(Style::Graphical { width: 80, color: true }).contains('\u{1b}'));
}
