//! Fixtures and properties of the whole part.

use proptest::prelude::*;

use super::*;

const CONF: &str = include_str!("../../tests/fixtures/corosync/three-nodes.conf");
const CMAP: &str = include_str!("../../tests/fixtures/corosync/three-nodes.cmap");
const V31: Version = Version::new(3, 1, 7);

fn conf(text: &str) -> CorosyncConf {
    CorosyncConf::parse(text).unwrap()
}

fn changed(from: &str, to: &str) -> Classification {
    assert!(CONF.contains(from), "{from}");
    classify(&conf(CONF), &conf(&CONF.replace(from, to)), V31)
}

#[test]
fn the_file_reads_as_what_it_says() {
    let conf = conf(CONF);
    assert_eq!(conf.cluster_name(), Some("lab"));
    assert_eq!(conf.transport(), Transport::Knet);
    assert_eq!(conf.crypto(), Some(("aes256", "sha256")));
    assert_eq!((conf.token_ms(), conf.effective_token_ms(), conf.consensus_ms()), (5000, 5650, 6780));
    let nodes = conf.nodes();
    assert_eq!(nodes.iter().map(NodeEntry::label).collect::<Vec<_>>(), ["ctl1", "ctl2", "ctl3"]);
    assert_eq!(nodes[1].nodeid, Some(2));
    assert_eq!(nodes[1].addresses[&1], "10.0.1.2");
    assert_eq!(conf.interfaces()[1].options["knet_link_priority"], "5");
    assert!(!conf.quorum().wait_for_all);
    assert_eq!(conf.to_string(), CONF, "the fixture is written as it is rendered");
}

#[test]
fn two_nodes_imply_wait_for_all_unless_it_is_switched_off() {
    assert!(conf("quorum {\ntwo_node: 1\n}\n").quorum().wait_for_all);
    assert!(!conf("quorum {\ntwo_node: 1\nwait_for_all: 0\n}\n").quorum().wait_for_all);
}

#[test]
fn mistakes_are_reported_with_their_line() {
    let cases = [
        ("totem {\n", 1, ParseErrorKind::Unclosed),
        ("totem {\n}\n}\n", 3, ParseErrorKind::UnexpectedClose),
        ("totem {\nversion 2\n}\n", 2, ParseErrorKind::Nonsense),
        ("totem {\nversion: 2 }\n", 1, ParseErrorKind::Unclosed),
        ("{\n}\n", 1, ParseErrorKind::NoSectionName),
        ("totem { version: 2\n}\n", 1, ParseErrorKind::AfterBrace),
        ("totem {\n} # end\n", 2, ParseErrorKind::AroundClose),
        (": 2\n", 1, ParseErrorKind::NoKey),
    ];
    for (text, line, kind) in cases {
        assert_eq!(CorosyncConf::parse(text), Err(ParseError { line, kind }), "{text}");
    }
    let long = format!("a: {}\n", "x".repeat(MAX_LINE_BYTES));
    assert_eq!(CorosyncConf::parse(&long).unwrap_err().kind, ParseErrorKind::LineTooLong);
    let deep = "a {\n".repeat(MAX_DEPTH + 1);
    assert_eq!(CorosyncConf::parse(&deep).unwrap_err().kind, ParseErrorKind::TooDeep);
    let large = " ".repeat(MAX_CONF_BYTES + 1);
    assert!(matches!(CorosyncConf::parse(&large).unwrap_err().kind, ParseErrorKind::TooLarge(_)));
}

#[test]
fn each_kind_of_change_has_its_class() {
    use ChangeClass::{FullStop, None, Reload, RollingRestart};
    let cases = [
        ("# Managed", "# Looked after", None),
        ("token: 5000", "token: 10000", Reload),
        ("config_version: 3", "config_version: 4", Reload),
        ("knet_link_priority: 5", "knet_link_priority: 50", Reload),
        ("timestamp: on", "timestamp: off", Reload),
        ("debug: off", "debug: on", Reload),
        ("aes256", "aes128", Reload),
        ("corosync_votequorum\n", "corosync_votequorum\n    two_node: 1\n", Reload),
        ("corosync_votequorum\n", "corosync_votequorum\n    wait_for_all: 1\n", RollingRestart),
        ("corosync_votequorum\n", "corosync_votequorum\n    last_man_standing: 1\n", RollingRestart),
        ("corosync_votequorum\n", "corosync_votequorum\n    device {\n model: net\n }\n", Reload),
        ("    token: 5000\n", "    link_mode: active\n", RollingRestart),
        ("cluster_name: lab", "cluster_name: prod", FullStop),
        ("transport: knet", "transport: udpu", FullStop),
        ("nodeid: 3", "nodeid: 4", FullStop),
        ("name: ctl3", "name: ctl4", FullStop),
        ("ring1_addr: 10.0.1.3", "ring1_addr: 10.0.2.3", RollingRestart),
        ("    version: 2\n", "    version: 2\n    ip_version: ipv4\n", RollingRestart),
        ("    version: 2\n", "    version: 2\n    speed: 9\n", RollingRestart),
    ];
    for (from, to, class) in cases {
        let found = changed(from, to);
        assert_eq!(found.class, class, "{from} -> {to}: {:?}", found.changes);
        assert!(found.changes.iter().all(|change| !change.why.is_empty()));
        assert_eq!(found.changes.is_empty(), class == None);
    }
}

#[test]
fn nodes_and_links_come_and_go_by_reload() {
    let all = conf(CONF);
    let without_node = conf(&CONF.replace(
        "    node {\n        name: ctl3\n        nodeid: 3\n        ring0_addr: 10.0.0.3\n        ring1_addr: 10.0.1.3\n    }\n",
        "",
    ));
    assert_eq!(without_node.nodes().len(), 2);
    for (old, new) in [(&all, &without_node), (&without_node, &all)] {
        let found = classify(old, new, V31);
        assert_eq!(found.class, ChangeClass::Reload);
        assert_eq!(found.changes.len(), 1);
        assert_eq!(found.changes[0].path, "nodelist.node.ctl3");
    }
    let mut one_link = CONF.to_owned();
    for node in 1..=3 {
        one_link = one_link.replace(&format!("        ring1_addr: 10.0.1.{node}\n"), "");
    }
    let one_link = one_link
        .replace("    interface {\n        linknumber: 1\n        knet_link_priority: 5\n    }\n", "");
    let one_link = conf(&one_link);
    for (old, new) in [(&all, &one_link), (&one_link, &all)] {
        let found = classify(old, new, V31);
        assert_eq!(found.class, ChangeClass::Reload, "{:?}", found.changes);
        assert_eq!(found.changes.len(), 4);
    }
    // The only link of the cluster moved: nothing connects the nodes in between.
    let moved = conf(&one_link.to_string().replace("10.0.0.3", "10.9.0.3"));
    assert_eq!(classify(&one_link, &moved, V31).class, ChangeClass::FullStop);
}

#[test]
fn the_order_of_nodes_means_nothing() {
    let mut swapped = conf(CONF).tree().clone();
    swapped.section_mut("nodelist").entries.rotate_left(1);
    assert_eq!(classify(&conf(CONF), &CorosyncConf::from_tree(swapped), V31).class, ChangeClass::None);
}

#[test]
fn a_node_without_anything_to_know_it_by_is_still_itself() {
    let odd = conf("nodelist {\nnode {\nname: a\n}\nnode {\ndebug: off\n}\n}\n");
    assert_eq!(classify(&odd, &odd, V31).changes, []);
}

#[test]
fn old_versions_cannot_reload_crypto() {
    let new = conf(&CONF.replace("aes256", "aes128"));
    assert_eq!(classify(&conf(CONF), &new, Version::new(3, 0, 3)).class, ChangeClass::FullStop);
    assert_eq!(classify_authkey_change(&new, V31).0, ChangeClass::Reload);
    assert_eq!(classify_authkey_change(&new, Version::new(2, 4, 5)).0, ChangeClass::FullStop);
    assert_eq!("3.1.7-1+deb12u1".parse(), Ok(V31));
    assert_eq!("Corosync Cluster Engine, version '3.1.7'".parse(), Ok(V31));
    assert!("corosync".parse::<Version>().is_err());
}

#[test]
fn the_key_is_not_shown() {
    let with = |key: &str| conf(&CONF.replace("token: 5000", &format!("key: {key}")));
    let found = classify(&with("hunter2"), &with("hunter3"), V31);
    assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
    let shown = running_matches(&with("hunter2"), &parse_cmap(CMAP).unwrap());
    assert!(!format!("{shown:?}").contains("hunter"), "{shown:?}");
}

#[test]
fn what_runs_is_what_the_file_says() {
    let cmap = parse_cmap(CMAP).unwrap();
    assert_eq!(running_matches(&conf(CONF), &cmap), []);
}

#[test]
fn what_runs_is_not_what_the_file_says() {
    let paths = |from: &str, to: &str| -> Vec<String> {
        let cmap = parse_cmap(&CMAP.replace(from, to)).unwrap();
        running_matches(&conf(CONF), &cmap).into_iter().map(|difference| difference.path).collect()
    };
    assert_eq!(
        paths("totem.cluster_name (str) = lab", "totem.cluster_name (str) = old"),
        ["totem.cluster_name"]
    );
    assert_eq!(paths("totem.token (u32) = 5000\n", ""), ["totem.token"]);
    assert_eq!(paths("token (u32) = 5650", "token (u32) = 3650"), ["runtime.config.totem.token"]);
    assert_eq!(
        paths("ring1_addr (str) = 10.0.1.2", "ring1_addr (str) = 10.9.1.2"),
        ["nodelist.node.ctl2.ring1_addr"]
    );
    assert_eq!(paths("totem.version", "totem.netmtu (u32) = 9000\ntotem.version"), ["totem.netmtu"]);
    let gone =
        CMAP.lines().filter(|line| !line.starts_with("nodelist.node.2.")).collect::<Vec<_>>().join("\n");
    let found = running_matches(&conf(CONF), &parse_cmap(&gone).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), &found[0].running), ("nodelist.node.ctl3", &None));
    assert!(parse_cmap("Failed to initialize the cmap API. Error CS_ERR_LIBRARY\n").is_err());
}

#[test]
fn quorum_is_read() {
    let three = parse_quorum_status(include_str!("../../tests/fixtures/corosync/quorumtool-three-nodes.out"))
        .unwrap();
    assert!(three.quorate);
    assert_eq!(
        (three.nodes, three.node_id, three.quorum, three.total_votes),
        (Some(3), Some(1), Some(2), Some(3))
    );
    assert_eq!(
        three.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(),
        ["ctl1", "ctl2", "ctl3"]
    );
    assert!(three.members[0].local);
    assert_eq!(quorum_matches(&conf(CONF), &three), []);

    let blocked =
        parse_quorum_status(include_str!("../../tests/fixtures/corosync/quorumtool-blocked.out")).unwrap();
    assert!(!blocked.quorate);
    assert_eq!((blocked.quorum, blocked.expected_votes), (Some(1), Some(2)));
    assert_eq!(blocked.flags, ["2Node", "WaitForAll"]);
    let wanted = quorum_matches(&conf(CONF), &blocked);
    assert_eq!(
        wanted.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(),
        ["quorum.two_node", "quorum.wait_for_all"]
    );

    let device =
        parse_quorum_status(include_str!("../../tests/fixtures/corosync/quorumtool-qdevice.out")).unwrap();
    assert_eq!(device.members[1].qdevice.as_deref(), Some("A,V,NMW"));
    assert_eq!((device.members[2].nodeid, device.members[2].name.as_str()), (0, "Qdevice"));
    assert!(matches!(
        parse_quorum_status("Cannot initialize QUORUM service\n"),
        Err(StatusError::Missing { .. })
    ));
}

#[test]
fn links_are_read() {
    let links =
        parse_link_status(include_str!("../../tests/fixtures/corosync/cfgtool-s-one-link-down.out")).unwrap();
    assert_eq!((links.local_node_id, links.transport.as_str(), links.links.len()), (1, "knet", 2));
    assert_eq!(links.links[1].address, "10.0.1.1");
    assert_eq!(
        links.links[1].peers,
        [(1, PeerLink::Local), (2, PeerLink::Connected), (3, PeerLink::Disconnected)]
    );
    assert!(!links.all_connected());
    let nodes = parse_node_status(include_str!("../../tests/fixtures/corosync/cfgtool-n.out")).unwrap();
    assert_eq!((nodes.len(), nodes[0].nodeid, nodes[0].links.len()), (2, 2, 2));
    let second = &nodes[0].links[1];
    assert_eq!((second.remote.as_str(), second.connected, second.mtu), ("10.0.1.2", false, 469));
}

/// Text that a key, a value or a comment may hold.
fn word() -> impl Strategy<Value = String> {
    "[a-z_0-9./#}-]{1,12}( [a-z:}{]{1,5})?"
}

fn section(depth: u32) -> impl Strategy<Value = Section> {
    let key = ("[a-z][a-z0-9_]{0,12}", proptest::option::of("[a-zA-Z0-9_./:} -]{0,40}")).prop_map(
        |(name, value)| {
            let value = value.unwrap_or_default();
            Entry::Key { name, value: value.trim().to_owned() }
        },
    );
    let comment = word().prop_map(Entry::Comment);
    let leaf = proptest::collection::vec(prop_oneof![4 => key, 1 => comment], 0..6)
        .prop_map(|entries| Section { entries });
    leaf.prop_recursive(depth, 40, 5, |inner| {
        proptest::collection::vec(
            prop_oneof![
                2 => ("[a-z]{1,8}", inner).prop_map(|(name, body)| Entry::Section { name, body }),
                2 => ("[a-z]{1,8}", "[a-z0-9]{0,9}").prop_map(|(name, value)| Entry::Key { name, value }),
            ],
            0..5,
        )
        .prop_map(|entries| Section { entries })
    })
}

proptest! {
    #[test]
    fn what_is_rendered_reads_back(root in section(5)) {
        let conf = CorosyncConf::from_tree(root);
        prop_assert_eq!(CorosyncConf::parse(&conf.to_string()), Ok(conf));
    }

    #[test]
    fn any_text_is_read_or_refused_and_then_stable(text in "[a-z{}: #\t\r\n]{0,200}") {
        if let Ok(conf) = CorosyncConf::parse(&text) {
            prop_assert_eq!(CorosyncConf::parse(&conf.to_string()), Ok(conf));
        }
    }

    #[test]
    fn status_parsers_take_anything(text in "\\PC{0,400}") {
        let _ = (parse_quorum_status(&text), parse_link_status(&text), parse_node_status(&text), parse_cmap(&text));
    }

    #[test]
    fn a_configuration_does_not_differ_from_itself(root in section(4)) {
        let conf = CorosyncConf::from_tree(root);
        prop_assert_eq!(classify(&conf, &conf, V31).class, ChangeClass::None);
    }
}
