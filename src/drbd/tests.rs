//! Fixtures and properties of the whole part. What drbdadm makes of them is tested in `tests/drbd_oracle.rs`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PAIR: &str = include_str!("../../tests/fixtures/drbd/pair-8.4.conf");
const MESH: &str = include_str!("../../tests/fixtures/drbd/mesh-9.conf");
const SYNCER: &str = include_str!("../../tests/fixtures/drbd/syncer-8.3.conf");
const PROXY: &str = include_str!("../../tests/fixtures/drbd/proxy-8.4.conf");

fn conf(text: &str) -> DrbdConf {
    DrbdConf::parse(text).unwrap()
}

fn resource(text: &str) -> Result<Resource, ModelError> {
    conf(text).resources().map(|mut resources| resources.remove(0))
}

fn address(family: Family, ip: &str, port: u16) -> Option<Address> {
    Some(Address { family, ip: ip.to_owned(), port })
}

#[test]
fn a_pair_reads_as_what_it_says() {
    let conf = conf(PAIR);
    assert_eq!(conf.to_string(), PAIR, "the fixture is written as it is rendered");
    let common = conf.common();
    assert_eq!(common.global.get("usage-count").as_deref(), Some("no"));
    assert_eq!(common.global.flag("disable-ip-verification"), Some(true));
    let resources = conf.resources().unwrap();
    assert_eq!(resources.iter().map(|resource| resource.name.as_str()).collect::<Vec<_>>(), ["r0", "r1"]);

    let r0 = &resources[0];
    assert_eq!(r0.sections.net.get("shared-secret").unwrap(), "a \"quoted\" secret \\ with # and ;");
    assert_eq!(r0.sections.net.flag("allow-two-primaries"), Some(true));
    let effective = r0.sections.over(&common.sections);
    assert_eq!(effective.startup.get("wfc-timeout").as_deref(), Some("15"));
    assert_eq!(effective.disk.get("resync-rate").as_deref(), Some("30M"));
    assert_eq!(r0.hosts[0].kind, HostKind::On(vec!["alice".to_owned()]));
    assert_eq!(r0.hosts[0].address, address(Family::Ipv4, "10.0.0.1", 7788));
    assert_eq!(r0.hosts[1].address, address(Family::Ipv6, "fd01::2", 7788));
    assert_eq!(r0.hosts[0].volumes[&0].meta_disk, Some(MetaDisk::Internal));
    assert_eq!(r0.hosts[1].volumes[&0].meta_disk, Some(MetaDisk::Indexed("/dev/sdc".to_owned(), 1)));

    let r1 = &resources[1];
    let device =
        |path: Option<&str>, minor| Some(Device { path: path.map(str::to_owned), minor: Some(minor) });
    assert_eq!(r1.volumes[&0].device, device(Some("/dev/drbd10"), 10));
    assert_eq!(r1.volumes[&1].disk_options.get("resync-after").as_deref(), Some("r0"));
    assert_eq!(r1.volumes[&1].meta_disk, Some(MetaDisk::External("/dev/vg/r1-1.md".to_owned())));
    assert_eq!(r1.hosts[1].volumes[&1].device, device(None, 21));
}

#[test]
fn a_mesh_reads_as_what_it_says() {
    let resources = conf(MESH).resources().unwrap();
    let mesh = &resources[0];
    assert_eq!(mesh.hosts.iter().map(|host| host.node_id).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert_eq!(mesh.hosts[2].volumes[&0].disk.as_deref(), Some("none"));
    assert_eq!(mesh.meshes[0].hosts, ["alice", "bob", "carol"]);
    assert_eq!(mesh.meshes[0].sections.net.get("protocol").as_deref(), Some("C"));
    assert_eq!(mesh.sections.options.get("quorum").as_deref(), Some("majority"));
    let connection = &resources[1].connections[0];
    assert_eq!(connection.paths.len(), 2);
    assert_eq!(connection.paths[1][0].address, address(Family::Ipv6, "fd01::1", 7001));
    assert_eq!(connection.volumes[&0].get("c-max-rate").as_deref(), Some("50M"));
    assert_eq!(resources[2].hosts[0].kind, HostKind::Floating);
    assert_eq!(resources[2].hosts[1].address, address(Family::Ipv6, "fd01::9", 7900));
}

#[test]
fn what_has_no_place_is_kept() {
    let far = resource(PROXY).unwrap();
    assert_eq!(far.hosts[0].other.len(), 1);
    assert_eq!(far.other.len(), 1);
    let written = DrbdConf::from_entries(vec![Entry::Section(far.to_section().unwrap())]).to_string();
    for line in ["proxy on alice {", "outside 192.0.2.2:7788;", "zlib level 9;"] {
        assert!(written.contains(line), "{written}");
    }
}

#[test]
fn every_fixture_survives_writing_and_reading() {
    for text in [PAIR, MESH, SYNCER, PROXY] {
        let read = conf(text);
        assert_eq!(conf(&read.to_string()), read);
        for generation in [Generation::V84, Generation::V9] {
            for resource in read.modernised(generation).conf.resources().unwrap() {
                let written = DrbdConf::from_entries(vec![Entry::Section(resource.to_section().unwrap())]);
                assert_eq!(conf(&written.to_string()).resources(), Ok(vec![resource]));
            }
        }
    }
}

#[test]
fn old_files_are_brought_up_to_date() {
    let modern = conf(SYNCER).modernised(Generation::V84);
    assert!(modern.dropped.is_empty());
    let common = modern.conf.common().sections;
    assert_eq!(common.net.get("protocol").as_deref(), Some("C"));
    assert_eq!(common.disk.get("resync-rate").as_deref(), Some("30M"));
    assert_eq!(common.net.get("verify-alg").as_deref(), Some("sha1"));
    let resources = modern.conf.resources().unwrap();
    let r0 = &resources[0].sections;
    let disk = |name| r0.disk.get(name);
    assert_eq!((disk("resync-rate").as_deref(), disk("resync-after").as_deref()), (Some("10M"), Some("r1")));
    assert_eq!((r0.disk.flag("disk-flushes"), r0.disk.flag("md-flushes")), (Some(false), Some(false)));
    assert_eq!(disk("fencing").as_deref(), Some("resource-only"));
    assert_eq!((r0.net.flag("tcp-cork"), r0.net.flag("use-rle")), (Some(false), Some(true)));
    assert_eq!(r0.options.get("cpu-mask").as_deref(), Some("3"));
    assert_eq!(r0.handlers.get("fence-peer").as_deref(), Some("/usr/lib/drbd/outdate-peer.sh on bob"));
    assert_eq!(resources[1].sections.net.get("protocol").as_deref(), Some("A"));
    assert!(modern.conf.to_string().contains("# Slower than the others."));
    assert!(!modern.conf.to_string().contains("syncer"));
    let nine = conf(SYNCER).modernised(Generation::V9).conf.resources().unwrap();
    assert_eq!(nine[0].sections.net.get("fencing").as_deref(), Some("resource-only"));
    assert_eq!(nine[0].sections.disk.get("fencing"), None);

    let gone = conf("resource r { syncer { delay-probe-volume 1k; wonder 1; } disk { use-bmbv; } }");
    assert_eq!(gone.modernised(Generation::V84).dropped, ["delay-probe-volume", "wonder", "use-bmbv"]);
    let modern = conf(PAIR).modernised(Generation::V84);
    assert_eq!(modern.conf, conf(PAIR), "a file of today stays as it is");
}

#[test]
fn words_may_be_divided_and_quoted_in_any_way() {
    let one = resource("resource r{on a{address ipv4 10.0.0.1 : 7788;meta-disk \"/dev/sd b\";}}").unwrap();
    assert_eq!(one.hosts[0].address, address(Family::Ipv4, "10.0.0.1", 7788));
    assert_eq!(one.hosts[0].volumes[&0].meta_disk, Some(MetaDisk::External("/dev/sd b".to_owned())));
    let two = resource(
        "resource \"on\" { on \"net\" yes { address [fe80::1%eth0]:1; meta-disk /dev/sdb [ 3 ]; } }",
    )
    .unwrap();
    assert_eq!(two.name, "on");
    assert_eq!(two.hosts[0].kind, HostKind::On(vec!["net".to_owned(), "yes".to_owned()]));
    assert_eq!(two.hosts[0].address, address(Family::Ipv6, "fe80::1%eth0", 1));
    assert_eq!(two.hosts[0].volumes[&0].meta_disk, Some(MetaDisk::Indexed("/dev/sdb".to_owned(), 3)));
    let text = DrbdConf::from_entries(vec![Entry::Section(two.to_section().unwrap())]).to_string();
    assert!(text.starts_with("resource \"on\" {\n    on \"net\" \"yes\" {"), "{text}");
    let comments = conf(
        "a # one\n b; # two\nc { # three\n}\nskip { d e; }\nskip resource f { }\ninclude \"drbd.d/*.res\";\n",
    );
    assert_eq!(
        comments.to_string(),
        "# one\na b;\n# two\nc {\n    # three\n}\n\nskip {\n    d e;\n}\n\nskip resource f {\n}\ninclude \"drbd.d/*.res\";\n"
    );
    assert_eq!(comments.includes().collect::<Vec<_>>(), ["drbd.d/*.res"]);
    assert!(comments.resources().unwrap().is_empty());
}

#[test]
fn mistakes_are_reported_with_their_line() {
    let cases = [
        ("resource r {\n", 1, ParseErrorKind::UnclosedSection),
        ("a b;\n}\n", 2, ParseErrorKind::UnexpectedClose),
        ("\n\na b\n", 3, ParseErrorKind::UnendedStatement),
        ("r {\na\nb }\n", 2, ParseErrorKind::UnendedStatement),
        ("{ }\n", 1, ParseErrorKind::NoKeyword('{')),
        (";\n", 1, ParseErrorKind::NoKeyword(';')),
        ("a \"b\nc\";\n", 1, ParseErrorKind::Unterminated),
        ("a \"b\\\n", 1, ParseErrorKind::Unterminated),
        ("skip b;\n", 1, ParseErrorKind::SkippedStatement),
        ("a ä;\n", 1, ParseErrorKind::Character('ä')),
    ];
    for (text, line, kind) in cases {
        let found = DrbdConf::parse(text).unwrap_err();
        assert_eq!(found, ParseError { line, kind }, "{text}");
    }
    let deep = "a {\n".repeat(MAX_DEPTH + 1);
    let found = DrbdConf::parse(&deep).unwrap_err();
    assert_eq!(found, ParseError { line: MAX_DEPTH + 1, kind: ParseErrorKind::TooDeep });
    let long = format!("a \"{}\";", "x".repeat(MAX_QUOTED_BYTES + 1));
    assert!(matches!(
        DrbdConf::parse(&long).unwrap_err().kind,
        ParseErrorKind::Word(WordError::TooLong { .. })
    ));
    let huge = " ".repeat(MAX_CONF_BYTES + 1);
    assert_eq!(DrbdConf::parse(&huge).unwrap_err().kind, ParseErrorKind::TooLarge(huge.len()));
}

#[test]
fn values_that_are_not_what_must_stand_there_are_reported() {
    let cases = [
        ("resource a b { }", "name of a resource"),
        ("resource r { on { } }", "name of a host"),
        ("resource r { volume x { } }", "number of a volume"),
        ("resource r { device a b; }", "replicated device"),
        ("resource r { device /dev/drbd0 minor many; }", "minor"),
        ("resource r { meta-disk /dev/sdb [x]; }", "place of metadata"),
        ("resource r { on a { address 10.0.0.1; } }", "address with a port"),
        ("resource r { on a { address 10.0.0.1:99999; } }", "address with a port"),
        ("resource r { on a { address nowhere:7788; } }", "address with a port"),
        ("resource r { on a { node-id 256; } }", "node id"),
        ("resource r { connection { host; } }", "host of a connection"),
        ("resource r { connection { host a at 1; } }", "host of a connection"),
        ("resource r { volume 0 { on a; } }", "part of a volume"),
    ];
    for (text, wanted) in cases {
        match resource(text).unwrap_err() {
            ModelError::Value { wanted: found, .. } => assert_eq!(found, wanted, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
    let twice = resource("resource r { volume 0 { disk a; } volume 0 { disk b; } }").unwrap_err();
    assert_eq!(twice.to_string(), "resource \"r\": volume 0 is said twice");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9./_-]{1,12}",
        "[ -~]{0,20}",
        "\\PC{0,8}",
        Just("on".to_owned()),
        Just("yes".to_owned())
    ]
    .prop_filter("lines end strings", |text| !text.contains(['\n', '\0']))
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        text().prop_map(|text| Word::new(text).unwrap()),
        text().prop_map(|text| Word::quoted(text).unwrap()),
        "[!-~&&[^{};\"#]]{1,20}".prop_map(|text| Word::bare(text).unwrap()),
    ]
}

fn keyword() -> impl Strategy<Value = Word> {
    word().prop_filter("`skip` is a word of its own", |word| !word.is("skip"))
}

fn entry() -> impl Strategy<Value = Entry> {
    let statement = (keyword(), prop::collection::vec(word(), 0..4))
        .prop_map(|(keyword, values)| Entry::Statement(Statement { keyword, values }));
    let comment = "[ -~]{0,20}".prop_map(|text: String| Entry::Comment(text.trim_end().to_owned()));
    prop_oneof![4 => statement, 1 => comment].prop_recursive(4, 24, 5, |inner| {
        (any::<bool>(), keyword(), prop::collection::vec(word(), 0..3), prop::collection::vec(inner, 0..5))
            .prop_map(|(skip, keyword, names, body)| Entry::Section(Section { skip, keyword, names, body }))
    })
}

fn options() -> impl Strategy<Value = Options> {
    prop::collection::btree_map("[a-z][a-z-]{1,10}", text(), 0..4)
        .prop_map(|options| options.into_iter().collect())
}

fn volume() -> impl Strategy<Value = Volume> {
    let device = (prop::option::of("/dev/drbd[0-9]{1,3}"), prop::option::of(0..1024_u32))
        .prop_filter("something must be said", |(path, minor)| path.is_some() || minor.is_some())
        .prop_map(|(path, minor)| Device { path, minor });
    let name = || "/dev/[a-z]{1,8}";
    let meta_disk = prop_oneof![
        Just(MetaDisk::Internal),
        name().prop_map(MetaDisk::External),
        (name(), 0..128_u32).prop_map(|(name, index)| MetaDisk::Indexed(name, index)),
    ];
    (prop::option::of(device), prop::option::of(name()), prop::option::of(meta_disk), options())
        .prop_map(|(device, disk, meta_disk, disk_options)| Volume { device, disk, meta_disk, disk_options })
        .prop_filter("volumes of which nothing is said are none", |volume| !volume.is_empty())
}

fn volumes() -> impl Strategy<Value = BTreeMap<u16, Volume>> {
    prop::collection::btree_map(0..3_u16, volume(), 0..3)
}

fn any_address() -> impl Strategy<Value = Address> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| Address {
        family: if ip.is_ipv6() { Family::Ipv6 } else { Family::Ipv4 },
        ip: ip.to_string(),
        port,
    })
}

fn sections_of_options() -> impl Strategy<Value = Sections> {
    (options(), options(), options(), options(), options()).prop_map(
        |(net, disk, startup, options, handlers)| Sections { net, disk, startup, options, handlers },
    )
}

fn host() -> impl Strategy<Value = Host> {
    let kind = prop_oneof![
        prop::collection::vec(text(), 1..3).prop_map(HostKind::On),
        text().prop_map(HostKind::Stacked),
        Just(HostKind::Floating),
    ];
    (kind, prop::option::of(0..32_u8), any_address(), any::<bool>(), volumes()).prop_map(
        |(kind, node_id, address, addressed, volumes)| {
            let addressed = addressed || kind == HostKind::Floating;
            let address = addressed.then_some(address);
            Host { kind, node_id, address, volumes, sections: Sections::default(), other: Vec::new() }
        },
    )
}

fn connection() -> impl Strategy<Value = Connection> {
    let endpoint = || {
        (text(), prop::option::of(any_address()), prop::option::of(any::<u16>())).prop_map(
            |(host, address, port)| {
                // One or the other.
                let port = if address.is_some() { None } else { port };
                Endpoint { host, address, port }
            },
        )
    };
    let ends = prop::collection::vec(endpoint(), 0..3);
    let paths = prop::collection::vec(prop::collection::vec(endpoint(), 2), 0..3);
    (prop::option::of(text()), ends, paths, sections_of_options()).prop_map(
        |(name, endpoints, paths, sections)| Connection {
            name,
            endpoints,
            paths,
            sections,
            ..Connection::default()
        },
    )
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let hosts = prop::collection::vec(host(), 0..3);
    let connections = prop::collection::vec(connection(), 0..2);
    (text(), volumes(), hosts, connections, sections_of_options()).prop_map(
        |(name, volumes, hosts, connections, sections)| Resource {
            name,
            volumes,
            hosts,
            connections,
            sections,
            ..Resource::default()
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(entries in prop::collection::vec(entry(), 0..6)) {
        let written = DrbdConf::from_entries(entries);
        let text = written.to_string();
        prop_assert_eq!(DrbdConf::parse(&text), Ok(written), "{}", text);
    }

    #[test]
    fn typed_resources_are_written_and_read_again(resource in any_resource()) {
        let section = resource.to_section().unwrap();
        let text = DrbdConf::from_entries(vec![Entry::Section(section)]).to_string();
        prop_assert_eq!(DrbdConf::parse(&text).unwrap().resources(), Ok(vec![resource]), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z{};\"#\\\\ \n]{0,60}|\\PC{0,40}") {
        if let Ok(read) = DrbdConf::parse(&text) {
            prop_assert_eq!(DrbdConf::parse(&read.to_string()), Ok(read.clone()));
            let _ = (read.resources(), read.common(), read.modernised(Generation::V9));
        }
    }
}
