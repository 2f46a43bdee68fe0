//! Discovery of this very machine, and of machines with one thing broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::local::Local;
use super::*;
use crate::facts::{Digest, Fact, Observation};

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a node name")
}

fn fleet(nodes: impl IntoIterator<Item = Local>) -> Fleet {
    Fleet::new(nodes.into_iter().map(|node| Arc::new(node) as Arc<dyn Transport>))
}

/// What this machine tells about itself when `preamble` is put before the script.
async fn facts_with(preamble: &str) -> NodeFacts {
    let node = Local { preamble: preamble.to_owned(), ..Local::new("here") };
    let facts = discover(&fleet([node]), &BTreeMap::new(), &BTreeSet::new(), 1).await;
    facts.node(&name("here")).expect("it answers").clone()
}

fn unknown<T: std::fmt::Debug>(fact: &Fact<T>) -> &str {
    fact.as_result().expect_err("unknown")
}

#[tokio::test]
async fn this_machine_is_known() {
    let facts = facts_with("").await;
    assert!(facts.hostname.known().is_some_and(|name| !name.is_empty()), "{facts:?}");
    assert!(facts.os.known().is_some_and(|os| !os.id.is_empty()), "{facts:?}");
    assert!(facts.hardware.known().is_some_and(|it| it.cpus > 0 && it.memory_bytes > 0), "{facts:?}");
    assert!(facts.links.known().is_some_and(|links| links.iter().any(|link| link.name == "lo" && link.up)));
    assert!(facts.clock.known().is_some_and(|clock| clock.offset_ms.abs() < 1000), "{:?}", facts.clock);
    assert!(facts.space.known().is_some_and(|space| space.contains_key(camino::Utf8Path::new("/var"))));
    assert!(facts.block_devices.known().is_some(), "{:?}", facts.block_devices);
    assert!(facts.ledger.known().is_some(), "{:?}", facts.ledger);
}

#[tokio::test]
async fn one_broken_probe_takes_no_other_with_it() {
    let facts = facts_with("ip() { printf '\\377garbage'; echo 'no such thing' >&2; return 3; }\n").await;
    assert_eq!(unknown(&facts.links), "ip address: exit code 3: no such thing");
    assert!(facts.kernel.known().is_some() && facts.clock.known().is_some());
}

#[tokio::test]
async fn a_hanging_probe_is_stopped_on_the_node() {
    // Every command with a limit hangs, and the limit is one second.
    let facts = facts_with("timeout() { command timeout -k 1 1 sleep 600; }\n").await;
    assert_eq!(unknown(&facts.space), "stat --file-system: it did not finish in time and was stopped");
    assert_eq!(unknown(&facts.block_devices), "lsblk: it did not finish in time and was stopped");
    assert!(facts.links.known().is_some() && facts.ledger.known().is_some());
    assert!(facts.clock.known().is_some_and(|clock| clock.uncertainty_ms < 1000), "{:?}", facts.clock);
}

#[tokio::test]
async fn a_script_that_is_cut_keeps_what_came_before() {
    let facts = facts_with("lsblk() { kill -KILL $$; exit; }\ntimeout() { shift 3; \"$@\"; }\n").await;
    assert!(facts.links.known().is_some());
    assert!(unknown(&facts.block_devices).contains("broke off"), "{:?}", facts.block_devices);
    assert!(unknown(&facts.ledger).contains("ended before"), "{:?}", facts.ledger);
    assert!(facts.clock.known().is_some(), "the first reading is enough");
}

#[tokio::test]
async fn a_probe_that_nothing_on_the_node_can_stop_is_left_out() {
    let node = Local {
        preamble: "ip() { sleep 600; }\n".to_owned(),
        hurry: Some(Duration::from_secs(2)),
        ..Local::new("stuck")
    };
    let facts = discover(&fleet([node]), &BTreeMap::new(), &BTreeSet::new(), 1).await;
    let facts = facts.node(&name("stuck")).expect("the rest answers");
    assert!(unknown(&facts.links).contains("did not finish"), "{:?}", facts.links);
    assert!(facts.kernel.known().is_some() && facts.block_devices.known().is_some());
}

#[tokio::test]
async fn a_node_that_runs_something_else_has_failed() {
    let node =
        Local { preamble: "echo This account is closed.; exit 1\n".to_owned(), ..Local::new("closed") };
    let lost = TransportError::Unreachable {
        node: name("gone"),
        address: "192.0.2.1:22".to_owned(),
        reason: "refused".to_owned(),
    };
    let facts = discover(
        &fleet([node, Local::new("here")]),
        &BTreeMap::from([(name("gone"), lost)]),
        &BTreeSet::new(),
        8,
    )
    .await;
    let failures: Vec<String> = facts.failures().map(|(_, error)| error.to_string()).collect();
    assert_eq!(
        failures,
        [
            "closed: the discovery script did not run: exit code 1: This account is closed.",
            "gone: cannot connect to 192.0.2.1:22: refused"
        ]
    );
    assert!(facts.node(&name("here")).is_some());
}

/// The observations of this machine for these queries.
async fn observe_here(queries: impl IntoIterator<Item = Query>) -> NodeFacts {
    let fleet = fleet([Local::new("here")]);
    let mut facts = discover(&fleet, &BTreeMap::new(), &BTreeSet::new(), 1).await;
    let queries: BTreeSet<Query> = queries.into_iter().collect();
    observe(&fleet, &BTreeMap::from([(name("here"), queries)]), &mut facts, 1).await;
    facts.node(&name("here")).expect("it answers").clone()
}

fn file(path: impl Into<camino::Utf8PathBuf>, text: bool) -> Query {
    Query::File { path: path.into(), text }
}

#[tokio::test]
async fn files_come_with_digest_text_and_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| camino::Utf8PathBuf::from_path_buf(folder.path().join(name)).expect("UTF-8");
    let contents: [(&str, &[u8]); 5] = [
        ("plain", b"a\nb\n"),
        ("no newline, it's", b"x"),
        ("empty", b""),
        ("binary", b"\xff\0\xfe"),
        ("large", &[b'z'; super::super::FILE_TEXT_LIMIT_BYTES + 1]),
    ];
    for (name, content) in contents {
        std::fs::write(path(name), content).expect("written");
    }
    std::fs::create_dir(path("folder")).expect("made");
    std::os::unix::fs::symlink("plain", path("link")).expect("made");
    let names = [
        "plain",
        "no newline, it's",
        "empty",
        "binary",
        "large",
        "folder",
        "link",
        "absent",
        "isn't there",
        "plain/x",
    ];
    let facts =
        observe_here(names.iter().flat_map(|name| [file(path(name), true), file(path(name), false)])).await;
    for (name, content) in contents.into_iter().chain([("link", b"a\nb\n".as_slice())]) {
        let Observation::File(Some(state)) = facts.observation(&file(path(name), true)) else {
            panic!("{name}: {:?}", facts.observation(&file(path(name), true)));
        };
        assert_eq!(state.digest, Digest::of(content), "{name}");
        let text = if name == "large" { None } else { std::str::from_utf8(content).ok() };
        assert_eq!(state.text.as_deref(), text, "{name}");
        assert!(state.modified_us > 1_500_000_000_000_000, "{name}");
        let Observation::File(Some(state)) = facts.observation(&file(path(name), false)) else {
            panic!("{name}")
        };
        assert_eq!(state.text, None, "{name} was also asked for without its text");
    }
    for name in ["absent", "isn't there"] {
        assert_eq!(facts.observation(&file(path(name), true)), Observation::File(None));
    }
    for (name, why) in [("folder", "is a directory"), ("plain/x", "Not a directory")] {
        let Observation::Unknown(reason) = facts.observation(&file(path(name), true)) else {
            panic!("{name}")
        };
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test]
async fn kernel_parameters_and_absences_are_told_apart() {
    let key = |key: &str| Query::Sysctl { key: key.to_owned() };
    let keys = ["kernel.ostype", "kernel.pid_max", "net.ipv4.ip_local_port_range", "no.such.key", "kernel"];
    let facts = observe_here(keys.map(key)).await;
    let value = |file: &str| Some(std::fs::read_to_string(file).expect("read").trim_end().to_owned());
    assert_eq!(
        facts.observation(&key("kernel.pid_max")),
        Observation::Text(value("/proc/sys/kernel/pid_max"))
    );
    let range = value("/proc/sys/net/ipv4/ip_local_port_range");
    assert_eq!(facts.observation(&key("net.ipv4.ip_local_port_range")), Observation::Text(range));
    assert_eq!(facts.observation(&key("kernel.ostype")), Observation::Text(Some("Linux".to_owned())));
    assert_eq!(facts.observation(&key("no.such.key")), Observation::Text(None));
    assert!(matches!(facts.observation(&key("kernel")), Observation::Unknown(_)));
    let unasked = facts.observation(&key("kernel.domainname"));
    assert_eq!(unasked, Observation::Unknown("it was not asked".to_owned()));
}

#[tokio::test]
async fn many_queries_need_few_commands() {
    let files = (0..1200).map(|n| file(format!("/nonexistent/hactl-{n}"), n % 2 == 0));
    let facts = observe_here(files.clone()).await;
    for query in files {
        assert_eq!(facts.observation(&query), Observation::File(None), "{query:?}");
    }
}
