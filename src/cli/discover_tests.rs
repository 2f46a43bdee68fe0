//! The report on nodes of every kind, as a person sees it.

use std::collections::BTreeMap;

use super::*;
use crate::discovery;
use crate::facts::{
    BlockDevice, Clock, ClusterQuery, DeviceContent, FileState, Hardware, Kernel, Link, NodeFacts,
    NodeOutcome, Observation, OsRelease, PackageManager, Query, Signature, Space,
};
use crate::transport::TransportError;

fn node() -> NodeFacts {
    NodeFacts {
        hostname: Fact::Known("alpha".to_owned()),
        os: Fact::Known(OsRelease {
            id: "debian".to_owned(),
            version_id: "12".to_owned(),
            id_like: vec![],
            pretty_name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        }),
        kernel: Fact::Known(Kernel { release: "6.1.0-37-amd64".to_owned(), machine: "x86_64".to_owned() }),
        hardware: Fact::Known(Hardware { cpus: 2, memory_bytes: 2 << 30 }),
        links: Fact::Known(vec![Link {
            name: "eth0".to_owned(),
            mtu: 1500,
            up: true,
            addresses: vec![([192, 0, 2, 11].into(), 24)],
        }]),
        clock: Fact::Known(Clock { offset_ms: -3, uncertainty_ms: 2 }),
        space: Fact::Known(BTreeMap::from([(
            "/var".into(),
            Space { available_bytes: 5 << 30, available_inodes: 9 },
        )])),
        package_manager: Fact::Known(PackageManager {
            kind: "apt".to_owned(),
            locked_by: None,
            unfinished: vec![],
        }),
        block_devices: Fact::Known(vec![]),
        ledger: Fact::Known(crate::facts::Ledger::default()),
        claims: Fact::Known(crate::facts::ClaimLedger::default()),
        observed: BTreeMap::new(),
    }
}

fn observed(node: &mut NodeFacts, answer: impl Fn(&Query) -> Observation) {
    for query in discovery::report_queries() {
        let seen = answer(&query);
        node.observed.insert(query, seen);
    }
}

fn fixture(name: &str) -> Observation {
    let path = format!("{}/tests/fixtures/discovery/cluster/{name}.out", env!("CARGO_MANIFEST_DIR"));
    Observation::Text(Some(std::fs::read_to_string(path).expect("a fixture")))
}

fn absent(query: &Query) -> Observation {
    match query {
        Query::File { .. } => Observation::File(None),
        Query::Package { .. } => Observation::Package(None),
        Query::Unit { .. } => Observation::Unit(UnitState {
            load_state: "not-found".to_owned(),
            active_state: "inactive".to_owned(),
            unit_file_state: String::new(),
            since_us: 0,
        }),
        _ => Observation::Text(None),
    }
}

fn member(query: &Query) -> Observation {
    match query {
        Query::File { .. } => Observation::File(Some(FileState {
            digest: crate::facts::Digest::of(b""),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            modified_us: 0,
            text: Some("totem {\n  cluster_name: alpha\n}\n# password: hunter2\n".to_owned()),
        })),
        Query::Package { name } if name == "corosync" => {
            Observation::Package(Some(PackageState { version: "3.1.7-1".to_owned(), configured: true }))
        }
        Query::Unit { name } if name == "corosync.service" => Observation::Unit(UnitState {
            load_state: "loaded".to_owned(),
            active_state: "active".to_owned(),
            unit_file_state: "enabled".to_owned(),
            since_us: 1,
        }),
        Query::Cluster(ClusterQuery::Quorum) => fixture("quorum_one_node"),
        Query::Cluster(ClusterQuery::Status) => fixture("status_one_node"),
        Query::Cluster(ClusterQuery::LeftoverCib) => fixture("leftover_cib_one_node"),
        other => absent(other),
    }
}

fn disk(name: &str, serial: &str, content: Fact<DeviceContent>) -> BlockDevice {
    BlockDevice {
        name: name.to_owned(),
        path: format!("/dev/{name}"),
        number: None,
        device_type: "disk".to_owned(),
        size_bytes: 20 << 30,
        read_only: false,
        removable: false,
        rotational: None,
        transport: None,
        model: Some("QEMU HARDDISK".to_owned()),
        serial: Some(serial.to_owned()),
        wwn: None,
        filesystem: Some("LVM2_member".to_owned()),
        partition_table: None,
        mountpoints: vec![],
        parents: vec![],
        holders: vec![],
        links: vec![format!("/dev/disk/by-id/ata-QEMU_HARDDISK_{serial}")],
        content,
    }
}

fn disks() -> Vec<BlockDevice> {
    let uuid = Some("3f1c0000-0000-4000-8000-000000000001".to_owned());
    let ext4 = Signature { offset: Some(1080), kind: "ext4".to_owned(), uuid, label: None };
    let holds = |signatures: &[Signature]| {
        Fact::Known(DeviceContent { signatures: signatures.to_vec(), ..DeviceContent::default() })
    };
    let mut mounted = disk("sdb", "S2", holds(std::slice::from_ref(&ext4)));
    mounted.mountpoints.push("/srv".to_owned());
    let silent = Fact::Unknown("it did not answer within 5 s".to_owned());
    vec![disk("sda", "S1", holds(&[])), mounted, disk("sdc", "S3", holds(&[ext4])), disk("sdd", "S4", silent)]
}

fn judged() -> BTreeMap<NodeName, Vec<JudgedDevice>> {
    let ledger = crate::facts::ClaimLedger::default();
    let judged = crate::claims::judge(&disks(), &crate::inventory::ClaimPolicy::default(), Ok(&ledger));
    BTreeMap::from([(NodeName::new("bare").expect("a name"), judged)])
}

fn fleet() -> FleetFacts {
    let name = |name: &str| NodeName::new(name).expect("a name");
    let mut bare = node();
    bare.block_devices = Fact::Known(disks());
    observed(&mut bare, absent);
    let mut running = node();
    observed(&mut running, member);
    let mut leftover = node();
    observed(&mut leftover, |query| match query {
        Query::Cluster(ClusterQuery::LeftoverCib) => fixture("leftover_cib_one_node"),
        other => absent(other),
    });
    let mut frozen = node();
    frozen.package_manager = Fact::Unknown("apt: exit code 1: it said nothing".to_owned());
    observed(&mut frozen, |_| {
        Observation::Unknown("corosync-quorumtool -s: it did not finish in time".to_owned())
    });
    let lost = TransportError::Unreachable {
        node: name("gone"),
        address: "192.0.2.15:22".to_owned(),
        reason: "connection refused".to_owned(),
    };
    let answered = |facts| NodeOutcome::Answered(Box::new(facts));
    FleetFacts {
        nodes: BTreeMap::from([
            (name("bare"), answered(bare)),
            (name("running"), answered(running)),
            (name("leftover"), answered(leftover)),
            (name("frozen"), answered(frozen)),
            (name("gone"), NodeOutcome::Failed(lost)),
        ]),
        program: None,
    }
}

#[test]
fn every_state_of_a_node_is_told_apart() {
    insta::assert_snapshot!(render(&fleet(), &judged(), Theme::new(false)));
}

#[test]
fn json_has_a_version_and_no_secrets() {
    let facts = fleet();
    let document = serde_json::to_value(Report::of(&facts, &judged())).expect("JSON");
    assert_eq!(document["format"], 1);
    assert_eq!(
        document["nodes"]["gone"]["failed"],
        "gone: cannot connect to 192.0.2.15:22: connection refused"
    );
    assert_eq!(document["nodes"]["running"]["answered"]["cluster"]["pacemaker"]["known"]["dc"], "n1");
    assert_eq!(document["nodes"]["bare"]["answered"]["devices"][0]["verdict"]["is"], "unclaimed");
    assert!(document["nodes"]["frozen"]["answered"]["packages"]["corosync"]["unknown"].is_string());
    let text = document.to_string();
    assert!(!text.contains("hunter2") && !text.contains("<cib"), "{text}");
}
