use std::collections::BTreeMap;

use super::*;
use crate::facts::{
    ClaimLedger, Clock, Digest, FileState, LEDGER_FORMAT, Ledger, Link, NodeOutcome, OsRelease,
    PackageManager, Space,
};
use crate::inventory::{Source, load};
use crate::plan::{Check, Guard, Risk, StepId};

const MIB: u64 = 1 << 20;
/// A cluster of two nodes with two links each.
const INVENTORY: &str = "clusters:
  web:
    nodes:
      alpha: { address: 192.0.2.11, links: [10.0.0.11, 10.0.1.11] }
      beta: { address: 192.0.2.12, links: [10.0.0.12, 10.0.1.12] }
    barclamps: { pacemaker: { fencing: { disabled: \"a test\" } } }
";

fn cluster(inventory: &str) -> Cluster {
    let source = Source::Text { name: "inventory.yml".to_owned(), text: inventory.to_owned() };
    let loaded = load(&[source], &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    loaded.inventory.clusters.into_values().next().unwrap()
}

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn interface(number: u8, address: &str, up: bool) -> Link {
    Link { name: format!("eth{number}"), mtu: 1500, up, addresses: vec![(address.parse().unwrap(), 24)] }
}

/// The facts of a node on which nothing speaks against anything.
fn healthy(node: &str, last: u8) -> NodeFacts {
    let unasked = || "not asked".to_owned();
    let room = Space { available_bytes: 4096 * MIB, available_inodes: 1_000_000 };
    let [conf, cib] = queries();
    NodeFacts {
        hostname: Fact::Known(node.to_owned()),
        os: Fact::Known(OsRelease {
            id: "debian".to_owned(),
            version_id: "12".to_owned(),
            id_like: Vec::new(),
            pretty_name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        }),
        kernel: Fact::Unknown(unasked()),
        hardware: Fact::Unknown(unasked()),
        links: Fact::Known(vec![
            interface(0, &format!("10.0.0.{last}"), true),
            interface(1, &format!("10.0.1.{last}"), true),
        ]),
        clock: Fact::Known(Clock { offset_ms: 3, uncertainty_ms: 2 }),
        space: Fact::Known(
            ["/", "/etc", "/usr", "/var", "/var/cache"].map(|path| (path.into(), room.clone())).into(),
        ),
        package_manager: Fact::Known(PackageManager {
            kind: "apt".to_owned(),
            locked_by: None,
            unfinished: Vec::new(),
        }),
        block_devices: Fact::Unknown(unasked()),
        ledger: Fact::Known(Ledger::default()),
        claims: Fact::Known(ClaimLedger::default()),
        observed: [(conf, Observation::File(None)), (cib, Observation::Text(None))].into(),
    }
}

/// A step that installs something on alpha.
fn installation() -> Step {
    let node = name("alpha");
    let resource = ResourceId::on_node("packages", "all", &node);
    Step {
        id: StepId::new(&resource, "install", &node),
        resource,
        node,
        action: Action::InstallPackages { packages: vec!["corosync".to_owned()], keep_stopped: Vec::new() },
        guard: Guard::Always,
        risk: Risk::Safe,
        after: Vec::new(),
        proof: Check::Done,
    }
}

/// A step that installs nothing, on alpha.
fn quiet() -> Step {
    Step { action: Action::LoadModule { name: "softdog".to_owned() }, ..installation() }
}

/// What is said of alpha, which something was done to, each as `reason -> advice`; beta is healthy.
fn told_of(steps: &[Step], damage: impl FnOnce(&mut NodeFacts)) -> Vec<String> {
    let mut alpha = healthy("alpha", 11);
    damage(&mut alpha);
    let nodes = [("alpha", alpha), ("beta", healthy("beta", 12))];
    let nodes = nodes.map(|(node, facts)| (name(node), NodeOutcome::Answered(Box::new(facts))));
    let found = check([&cluster(INVENTORY)], &FleetFacts { nodes: nodes.into(), program: None }, steps);
    for blocked in &found {
        assert_eq!(blocked.node, Some(name("alpha")), "beta is healthy: {blocked:?}");
        assert!(!blocked.advice.is_empty(), "{blocked:?} says what to do");
    }
    found.into_iter().map(|blocked| format!("{} -> {}", blocked.reason, blocked.advice)).collect()
}

/// Exactly one thing is said, and it holds all of these words.
#[track_caller]
fn refused(words: &[&str], damage: impl FnOnce(&mut NodeFacts)) {
    let told = told_of(&[installation()], damage);
    let [only] = told.as_slice() else { panic!("one refusal was expected: {told:#?}") };
    for word in words {
        assert!(only.contains(word), "`{word}` was to be in `{only}`");
    }
}

#[track_caller]
fn accepted(damage: impl FnOnce(&mut NodeFacts)) {
    assert_eq!(told_of(&[installation()], damage), Vec::<String>::new());
}

fn set_space(node: &mut NodeFacts, path: &str, bytes: u64, inodes: u64) {
    let Fact::Known(space) = &mut node.space else { panic!("the space is known") };
    space.insert(path.into(), Space { available_bytes: bytes, available_inodes: inodes });
}

fn clock(offset_ms: i64, uncertainty_ms: u64) -> impl FnOnce(&mut NodeFacts) {
    move |node| node.clock = Fact::Known(Clock { offset_ms, uncertainty_ms })
}

fn locked(node: &mut NodeFacts) {
    node.package_manager = Fact::Known(PackageManager {
        kind: "apt".to_owned(),
        locked_by: Some("apt-get, process 4711".to_owned()),
        unfinished: Vec::new(),
    });
}

fn corosync_conf(text: Option<&str>) -> impl FnOnce(&mut NodeFacts) + use<> {
    let state = FileState {
        digest: Digest::of(b""),
        mode: 0o644,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        modified_us: 0,
        text: text.map(str::to_owned),
    };
    move |node| {
        node.observed.insert(queries()[0].clone(), Observation::File(Some(state)));
    }
}

fn leftover_cib(node: &mut NodeFacts) {
    node.observed.insert(queries()[1].clone(), Observation::Text(Some("cib.xml".to_owned())));
}

fn ledger_of(cluster: &str) -> Fact<Ledger> {
    Fact::Known(Ledger { format: LEDGER_FORMAT, cluster: cluster.to_owned(), ..Ledger::default() })
}

#[test]
fn healthy_nodes_are_accepted() {
    accepted(|_| {});
    assert_eq!(told_of(&[quiet()], |_| {}), Vec::<String>::new(), "nothing is to be installed");
}

#[test]
fn a_node_that_did_not_answer_is_refused() {
    let nodes = [(name("alpha"), NodeOutcome::Answered(Box::new(healthy("alpha", 11))))];
    let found = check([&cluster(INVENTORY)], &FleetFacts { nodes: nodes.into(), program: None }, &[quiet()]);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((only.node.clone(), only.reason.as_str()), (Some(name("beta")), "it could not be asked"));
}

#[test]
fn facts_that_could_not_be_learned_are_refused_with_the_reason() {
    type Forget = fn(&mut NodeFacts, String);
    let table: [(&str, Forget); 7] = [
        ("the distribution", |node, why| node.os = Fact::Unknown(why)),
        ("the host name", |node, why| node.hostname = Fact::Unknown(why)),
        ("the time", |node, why| node.clock = Fact::Unknown(why)),
        ("the free space", |node, why| node.space = Fact::Unknown(why)),
        ("the network interfaces", |node, why| node.links = Fact::Unknown(why)),
        ("the package manager's state", |node, why| node.package_manager = Fact::Unknown(why)),
        ("what hactl owns there", |node, why| node.ledger = Fact::Unknown(why)),
    ];
    for (what, forget) in table {
        let reason = format!("{what} could not be learned: permission denied -> see why");
        refused(&[&reason], |node| forget(node, "permission denied".to_owned()));
    }
    refused(&["/etc/corosync/corosync.conf: it is too large", "see why"], |node| {
        node.observed.insert(queries()[0].clone(), Observation::Unknown("it is too large".to_owned()));
    });
}

#[test]
fn other_distributions_are_refused() {
    let release = |id: &str, version: &str, pretty: &str| {
        let os = OsRelease {
            id: id.to_owned(),
            version_id: version.to_owned(),
            id_like: vec!["debian".to_owned()],
            pretty_name: pretty.to_owned(),
        };
        move |node: &mut NodeFacts| node.os = Fact::Known(os)
    };
    refused(
        &["Ubuntu 24.04 is not supported", "Debian 12", "use one of"],
        release("ubuntu", "24.04", "Ubuntu 24.04"),
    );
    refused(&["debian 11 is not supported"], release("debian", "11", ""));
    refused(&["debian is not supported"], release("debian", "", ""));
    accepted(release("debian", "13", "Debian GNU/Linux 13 (trixie)"));
}

#[test]
fn a_machine_of_another_name_is_refused() {
    let called = |name: &str| {
        let name = name.to_owned();
        move |node: &mut NodeFacts| node.hostname = Fact::Known(name)
    };
    refused(
        &["the machine at 192.0.2.11 calls itself `gamma`", "hostnamectl set-hostname alpha"],
        called("gamma"),
    );
    refused(&["calls itself `alpha.example.org`"], called("alpha.example.org"));
}

#[test]
fn a_clock_is_refused_only_when_it_is_certainly_wrong() {
    let (limit, more) = (i64::try_from(MAX_CLOCK_SKEW_MS).unwrap(), 1);
    accepted(clock(limit, 0));
    accepted(clock(-limit, 0));
    refused(&["5 s ahead of this machine's", "chrony"], clock(limit + more, 0));
    refused(&["90 s behind this machine's"], clock(-90_000, 10));
    accepted(clock(limit + 500, 500));
    refused(&["ahead of"], clock(limit + 501, 500));
    refused(&["behind"], clock(i64::MIN, 0));
    accepted(clock(60_000, u64::MAX));
}

#[test]
fn room_is_needed_where_something_is_written() {
    let packages = MIN_FREE_FOR_PACKAGES_BYTES;
    refused(&["/var has 511 MiB free; 512 MiB are needed", "make room below /var"], |node| {
        set_space(node, "/var", packages - 1, 1_000_000);
    });
    accepted(|node| set_space(node, "/var", packages, 1_000_000));
    refused(&["/etc has 0 MiB free; 64 MiB are needed"], |node| set_space(node, "/etc", 0, 1_000_000));
    accepted(|node| set_space(node, "/etc", MIN_FREE_BYTES, 1_000_000));
    refused(&["/var/cache has 999 inodes left; 1000 are needed", "remove files below"], |node| {
        set_space(node, "/var/cache", packages, 999);
    });
    let little = |node: &mut NodeFacts| set_space(node, "/usr", MIN_FREE_BYTES, 1_000_000);
    refused(&["/usr has 64 MiB free; 512 MiB are needed"], little);
    assert_eq!(told_of(&[quiet()], little), Vec::<String>::new(), "nothing is to be installed");
}

#[test]
fn one_full_file_system_is_one_problem() {
    refused(&["/var has 1 MiB free"], |node| {
        set_space(node, "/var", MIB, 1_000_000);
        set_space(node, "/var/cache", MIB, 1_000_000);
    });
    let told = told_of(&[installation()], |node| {
        set_space(node, "/var", MIB, 1_000_000);
        set_space(node, "/var/cache", 2 * MIB, 1_000_000);
    });
    assert_eq!(told.len(), 2, "two file systems: {told:?}");
}

#[test]
fn every_link_needs_its_address_on_an_interface_that_is_up() {
    let links = |links: Vec<Link>| move |node: &mut NodeFacts| node.links = Fact::Known(links);
    refused(
        &[
            "link 1 is to use 10.0.1.11, which no interface of the node has",
            "configure 10.0.1.11 on the node",
        ],
        links(vec![interface(0, "10.0.0.11", true), interface(1, "10.0.1.99", true)]),
    );
    refused(
        &["link 0 (10.0.0.11) is on eth0, which is down", "bring eth0 up"],
        links(vec![interface(0, "10.0.0.11", false), interface(1, "10.0.1.11", true)]),
    );
    let told = told_of(&[quiet()], links(Vec::new()));
    assert_eq!(told.len(), 2, "both links: {told:?}");
}

/// A cluster of several nodes cannot have one: the inventory is refused.
#[test]
fn a_loopback_address_is_a_link_of_a_single_node() {
    let single = "clusters: { one: { nodes: { alpha: { address: 127.0.0.1 } } } }";
    let mut alpha = healthy("alpha", 11);
    alpha.links = Fact::Known(vec![interface(0, "127.0.0.1", true)]);
    let nodes = [(name("alpha"), NodeOutcome::Answered(Box::new(alpha)))];
    assert_eq!(check([&cluster(single)], &FleetFacts { nodes: nodes.into(), program: None }, &[quiet()]), []);
}

#[test]
fn a_package_manager_in_use_matters_where_something_is_installed() {
    refused(&["the package manager is in use by apt-get, process 4711", "let it finish"], locked);
    assert_eq!(told_of(&[quiet()], locked), Vec::<String>::new());
    let elsewhere = Step { node: name("beta"), ..installation() };
    assert_eq!(told_of(&[elsewhere], locked), Vec::<String>::new(), "nothing is installed on alpha");
}

#[test]
fn nodes_of_another_cluster_are_refused() {
    refused(
        &["it belongs to the cluster `sales` that hactl made", "`hactl destroy` that cluster first"],
        |node| {
            node.ledger = ledger_of("sales");
        },
    );
    // What hactl recorded counts, not what lies there: it is its own.
    accepted(|node| {
        node.ledger = ledger_of("web");
        corosync_conf(Some("totem {\n cluster_name: web\n}\n"))(node);
        leftover_cib(node);
    });
}

#[test]
fn configuration_that_somebody_else_left_is_refused() {
    let named =
        |name: &str| corosync_conf(Some(&format!("totem {{\n version: 2\n cluster_name: {name}\n}}\n")));
    let says =
        ["/etc/corosync/corosync.conf there is that of another cluster, `accounting`", "hactl does not"];
    refused(&says, named("accounting"));
    refused(&["another cluster, `(without a name)`"], corosync_conf(Some("totem {\n version: 2\n}\n")));
    refused(&["another cluster, `(without a name)`"], corosync_conf(Some("totem {{{ no configuration")));
    refused(&["corosync.conf there is no text that can be judged", "hactl does not"], corosync_conf(None));
    accepted(named("web"));
    // Debian's package brings it.
    accepted(named("debian"));
}

#[test]
fn a_cib_that_an_earlier_cluster_left_is_refused() {
    refused(&["a CIB of an earlier cluster lies in /var/lib/pacemaker/cib", "hactl does not"], leftover_cib);
}

#[test]
fn a_cluster_that_is_not_changed_is_not_refused() {
    assert_eq!(told_of(&[], locked), Vec::<String>::new());
    assert_eq!(told_of(&[], leftover_cib), Vec::<String>::new());
}

#[test]
fn everything_is_told_at_once_for_all_nodes() {
    let mut alpha = healthy("alpha", 11);
    clock(90_000, 0)(&mut alpha);
    locked(&mut alpha);
    let mut beta = healthy("alpha", 12);
    leftover_cib(&mut beta);
    let nodes = [("alpha", alpha), ("beta", beta)];
    let nodes = nodes.map(|(node, facts)| (name(node), NodeOutcome::Answered(Box::new(facts))));
    let found =
        check([&cluster(INVENTORY)], &FleetFacts { nodes: nodes.into(), program: None }, &[installation()]);
    let of = |node: &str| found.iter().filter(|blocked| blocked.node == Some(name(node))).count();
    assert_eq!((of("alpha"), of("beta")), (2, 2), "{found:#?}");
}
