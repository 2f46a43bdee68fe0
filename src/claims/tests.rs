//! Needs against nodes: what is taken, what is refused, and that nothing else is ever written to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::facts::{
    BlockDevice, CLAIM_LEDGER_FORMAT, ClaimEntry, ClaimLedger, DeviceContent, ExpectedSignature, Fact,
    FleetFacts, NodeFacts, NodeOutcome, Signature, StableId,
};
use crate::inventory::{Cluster, Source, load};
use crate::names::NodeName;
use crate::plan::{Action, DeviceGuard, FilesystemType, Guard, Step};
use crate::resource::{Change, DeviceClaim, DiffContext, Filesystem, Resource, ResourceId};
use crate::secrets::SecretStore;

const MIB: u64 = 1 << 20;
const PURPOSE: &str = "filesystem:data";

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// A cluster of `a` and `b` with these claims.
fn cluster(claims: &str) -> Cluster {
    let text = format!(
        "clusters:\n  lab:\n    nodes: {{ a: {{ address: 192.0.2.1 }}, b: {{ address: 192.0.2.2 }} }}\n    \
         claim_policy: {{ minimum_size: 100MiB }}\n    claims: {{ {claims} }}\n"
    );
    let source = Source::Text { name: "x.yml".to_owned(), text };
    let loaded = load(&[source], &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    loaded.inventory.clusters.into_values().next().unwrap()
}

/// A blank disk with a world wide name and a serial number.
fn disk(name: &str, id: u32) -> BlockDevice {
    BlockDevice {
        name: name.to_owned(),
        path: format!("/dev/{name}"),
        number: Some(format!("8:{id}")),
        device_type: "disk".to_owned(),
        size_bytes: 1024 * MIB,
        read_only: false,
        removable: false,
        rotational: Some(false),
        transport: Some("sas".to_owned()),
        model: Some("DISK".to_owned()),
        serial: Some(format!("S{id}")),
        wwn: Some(format!("0x5000c5000000{id:04x}")),
        filesystem: None,
        partition_table: None,
        mountpoints: Vec::new(),
        parents: Vec::new(),
        holders: Vec::new(),
        links: vec![
            format!("/dev/disk/by-id/wwn-0x5000c5000000{id:04x}"),
            format!("/dev/disk/by-path/pci-{name}"),
        ],
        content: Fact::Known(DeviceContent::default()),
    }
}

fn signature(kind: &str, uuid: Option<&str>) -> Signature {
    Signature { offset: None, kind: kind.to_owned(), uuid: uuid.map(str::to_owned), label: None }
}

/// The same disk with this on it.
fn holding(mut disk: BlockDevice, kind: &str, uuid: &str) -> BlockDevice {
    if let Fact::Known(content) = &mut disk.content {
        content.signatures.push(signature(kind, Some(uuid)));
    }
    disk
}

fn facts(nodes: &[(&str, Vec<BlockDevice>, ClaimLedger)]) -> FleetFacts {
    let of = |(name, devices, ledger): &(&str, Vec<BlockDevice>, ClaimLedger)| {
        let facts = NodeFacts {
            block_devices: Fact::Known(devices.clone()),
            claims: Fact::Known(ledger.clone()),
            ..NodeFacts::unknown("not asked")
        };
        (node(name), NodeOutcome::Answered(Box::new(facts)))
    };
    FleetFacts { nodes: nodes.iter().map(of).collect(), program: None }
}

fn request(nodes: &[&str], across: Across) -> ClaimRequest {
    ClaimRequest {
        purpose: PURPOSE.to_owned(),
        claim: "data".to_owned(),
        nodes: nodes.iter().map(|name| node(name)).collect(),
        across,
        minimum_bytes: 16 * MIB,
        expects: vec![Expectation { kind: "ext4".to_owned(), uuid: ExpectedUuid::Derived }],
    }
}

fn none() -> ClaimLedger {
    ClaimLedger::default()
}

/// A ledger that has this device for the purpose.
fn ledger(device: &BlockDevice, kind: &str, uuid: Option<String>) -> ClaimLedger {
    let entry = ClaimEntry {
        cluster: "lab".to_owned(),
        identity: StableId::Wwn { wwn: device.wwn.clone().unwrap() },
        size_bytes: device.size_bytes,
        expects: vec![ExpectedSignature { kind: kind.to_owned(), uuid }],
    };
    ClaimLedger { format: CLAIM_LEDGER_FORMAT, claims: [(PURPOSE.to_owned(), entry)].into() }
}

/// What comes of one node with these devices.
fn on_a(claims: &str, devices: Vec<BlockDevice>, ledger: ClaimLedger) -> Resolution {
    resolve(&cluster(claims), &facts(&[("a", devices, ledger)]), &[request(&["a"], Across::Own)])
}

#[track_caller]
fn taken(resolution: &Resolution) -> &ClaimedDevice {
    assert_eq!(resolution.refusals, [], "refused");
    resolution.claims.get(&node("a"), "data").expect("a device")
}

#[track_caller]
fn refused(resolution: &Resolution) -> &Refusal {
    assert!(resolution.claims.is_empty(), "taken: {:?}", resolution.claims);
    assert_eq!(resolution.refusals.len(), 1, "{:?}", resolution.refusals);
    &resolution.refusals[0]
}

#[test]
fn the_only_candidate_is_taken_and_one_of_two_is_not() {
    let mut small = disk("sdc", 3);
    small.size_bytes = 50 * MIB;
    let one = on_a("", vec![disk("sda", 1), small.clone()], none());
    assert_eq!((taken(&one).name.as_str(), taken(&one).wipe), ("sda", false));
    assert_eq!(taken(&one).path, "/dev/disk/by-id/wwn-0x5000c50000000001");
    let two = on_a("", vec![disk("sda", 1), disk("sdb", 2)], none());
    let two = refused(&two);
    assert!(
        two.reason.contains("wwn-0x5000c50000000001 and /dev/disk/by-id/wwn-0x5000c50000000002 are free"),
        "{}",
        two.reason
    );
    assert!(two.advice.contains("NAME: /dev/disk/by-id/wwn-0x5000c50000000002"), "{}", two.advice);
    assert!(refused(&on_a("", vec![small], none())).reason.contains("none of at least 100MiB is free"));
    let held = holding(disk("sda", 1), "ext4", "11");
    assert!(refused(&on_a("", vec![held], none())).advice.contains("ext4/11"));
}

#[test]
fn a_claim_names_exactly_one_device() {
    let devices = || vec![disk("sda", 1), disk("sdb", 2)];
    for claim in [
        "/dev/disk/by-path/pci-sdb",
        "{ wwn: \"0x5000c50000000002\" }",
        "{ wwn: naa.5000C50000000002 }",
        "{ serial: S2 }",
        "{ model: DISK, serial: S2, transport: SAS, rotational: false, size: \">= 1GiB\" }",
        "{ path: /dev/sdb, unstable_path: accept }",
    ] {
        let resolution = on_a(&format!("a: {{ data: {claim} }}"), devices(), none());
        assert_eq!(taken(&resolution).name, "sdb", "{claim}");
        assert_eq!(taken(&resolution).identity, StableId::Wwn { wwn: "0x5000c50000000002".to_owned() });
    }
    for (claim, reason) in [
        ("{ model: DISK }", "/dev/sda and /dev/sdb are model DISK"),
        ("{ serial: S3 }", "no device of the node is serial S3"),
        ("{ serial: S2, size: \"< 1GiB\" }", "no device of the node is"),
        ("/dev/disk/by-id/gone", "no device of the node is /dev/disk/by-id/gone"),
    ] {
        let resolution = on_a(&format!("a: {{ data: {claim} }}"), devices(), none());
        assert!(refused(&resolution).reason.contains(reason), "{claim}: {}", refused(&resolution).reason);
    }
}

#[test]
fn a_named_device_may_be_smaller_than_what_is_taken_unasked() {
    let mut small = disk("sda", 1);
    small.size_bytes = 50 * MIB;
    assert_eq!(taken(&on_a("a: { data: { serial: S1 } }", vec![small.clone()], none())).name, "sda");
    small.size_bytes = 8 * MIB;
    assert!(refused(&on_a("a: { data: { serial: S1 } }", vec![small], none())).reason.contains("16MiB"));
}

#[test]
fn what_is_on_a_device_goes_only_when_all_of_it_is_named() {
    let held = || holding(disk("sda", 1), "ext4", "11");
    let with = |wipe: &str| format!("a: {{ data: {{ serial: S1{wipe} }} }}");
    let plain = on_a(&with(""), vec![held()], none());
    let line = "a: { data: { path: /dev/disk/by-id/wwn-0x5000c50000000001, wipe: \"ext4/11\" } }";
    assert!(refused(&plain).advice.contains(line), "{}", refused(&plain).advice);
    assert!(taken(&on_a(&with(", wipe: ext4/11"), vec![held()], none())).wipe);
    for wrong in [", wipe: ext4/12", ", wipe: xfs/11", ", wipe: ext4/none"] {
        let wrong = on_a(&with(wrong), vec![held()], none());
        assert!(refused(&wrong).advice.contains("names something else"), "{}", refused(&wrong).advice);
    }
    let both = || vec![holding(held(), "swap", "22")];
    refused(&on_a(&with(", wipe: ext4/11"), both(), none()));
    assert!(taken(&on_a(&with(", wipe: [swap/22, ext4/11]"), both(), none())).wipe);
    // On a blank device the words give up nothing, and do not stand in the way.
    assert!(!taken(&on_a(&with(", wipe: ext4/11"), vec![disk("sda", 1)], none())).wipe);
}

#[test]
fn consent_is_about_signatures_and_about_nothing_else() {
    let consented = "a: { data: { serial: S1, wipe: ext4/11 } }";
    let held = || holding(disk("sda", 1), "ext4", "11");
    let mut mounted = held();
    mounted.mountpoints = vec!["/home".to_owned()];
    let mut read_only = held();
    read_only.read_only = true;
    let mut busy = held();
    busy.content = Fact::Known(DeviceContent {
        signatures: vec![signature("ext4", Some("11"))],
        busy: Some("Device or resource busy".to_owned()),
        ..DeviceContent::default()
    });
    let mut blind = held();
    blind.content = Fact::Unknown("blkid did not answer".to_owned());
    let mut part = disk("sda1", 7);
    part.device_type = "part".to_owned();
    part.parents = vec!["sda".to_owned()];
    (part.serial, part.wwn) = (None, None);
    for devices in [vec![mounted], vec![read_only], vec![busy], vec![blind], vec![held(), part]] {
        refused(&on_a(consented, devices, none()));
    }
}

#[test]
fn a_purpose_keeps_the_device_that_the_ledger_names() {
    let ours = disk("sdb", 2);
    let known = || ledger(&ours, "ext4", None);
    let uuid = taken(&on_a("", vec![disk("sda", 1), ours.clone()], known())).uuid.clone();
    let made = holding(ours.clone(), "ext4", &uuid);
    let recorded = || ledger(&ours, "ext4", Some(uuid.clone()));
    let again = on_a("", vec![disk("sda", 1), made.clone()], recorded());
    assert_eq!(
        (taken(&again).name.as_str(), taken(&again).recorded, taken(&again).wipe),
        ("sdb", true, false)
    );
    // Consent that names what is ours gives up nothing.
    let consented = format!("a: {{ data: {{ serial: S2, wipe: ext4/{uuid} }} }}");
    assert!(!taken(&on_a(&consented, vec![made.clone()], recorded())).wipe);
    // The disk is gone, or somebody's: the other one, although free, is not taken in its place.
    let gone = on_a("", vec![disk("sda", 1)], recorded());
    assert!(refused(&gone).reason.contains("which the node does not have"), "{}", refused(&gone).reason);
    assert!(refused(&gone).advice.contains("hactl claims release a filesystem:data"));
    let strange = on_a("", vec![disk("sda", 1), holding(ours.clone(), "xfs", "33")], recorded());
    assert!(refused(&strange).reason.contains("disagree"), "{}", refused(&strange).reason);
    let moved = on_a("a: { data: { serial: S1 } }", vec![disk("sda", 1), made], recorded());
    assert!(refused(&moved).reason.contains("was claimed before"), "{}", refused(&moved).reason);
}

#[test]
fn a_node_that_tells_nothing_gets_nothing() {
    let cluster = cluster("");
    let requests = [request(&["a"], Across::Own)];
    let mut blind = facts(&[("a", vec![disk("sda", 1)], none())]);
    let Some(NodeOutcome::Answered(seen)) = blind.nodes.get_mut("a") else { panic!("it answered") };
    seen.claims = Fact::Unknown("format 2".to_owned());
    assert!(refused(&resolve(&cluster, &blind, &requests)).reason.contains("format 2"));
    let Some(NodeOutcome::Answered(seen)) = blind.nodes.get_mut("a") else { panic!("it answered") };
    (seen.claims, seen.block_devices) = (Fact::Known(none()), Fact::Unknown("lsblk failed".to_owned()));
    assert!(refused(&resolve(&cluster, &blind, &requests)).reason.contains("lsblk failed"));
    refused(&resolve(&cluster, &FleetFacts::default(), &requests));
}

#[test]
fn two_purposes_never_share_a_device() {
    let mut other = request(&["a"], Across::Own);
    (other.purpose, other.claim) = ("filesystem:logs".to_owned(), "logs".to_owned());
    let requests = [request(&["a"], Across::Own), other];
    let one = facts(&[("a", vec![disk("sda", 1)], none())]);
    let fought_for = resolve(&cluster(""), &one, &requests);
    assert_eq!(fought_for.refusals.len(), 2, "{:?}", fought_for.refusals);
    // By two names it is one device still.
    let named = "a: { data: /dev/disk/by-path/pci-sda, logs: { serial: S1 } }";
    let named = resolve(&cluster(named), &one, &requests);
    assert_eq!(named.refusals.len(), 2, "{:?}", named.refusals);
    // What is named for one is no candidate for the other.
    let two = facts(&[("a", vec![disk("sda", 1), disk("sdb", 2)], none())]);
    let shared_out = resolve(&cluster("a: { logs: { serial: S1 } }"), &two, &requests);
    assert_eq!(taken(&shared_out).name, "sdb");
}

/// What comes of both nodes.
fn on_both(
    across: Across,
    a: Vec<BlockDevice>,
    b: Vec<BlockDevice>,
    ledgers: [ClaimLedger; 2],
) -> Resolution {
    let [of_a, of_b] = ledgers;
    let explicit = "a: { data: { model: DISK } }, b: { data: { model: DISK } }";
    resolve(&cluster(explicit), &facts(&[("a", a, of_a), ("b", b, of_b)]), &[request(&["a", "b"], across)])
}

#[test]
fn two_nodes_never_get_one_device_by_accident() {
    let one = || vec![disk("sda", 1)];
    for across in [Across::Own, Across::Replicas] {
        let resolution = on_both(across, one(), one(), [none(), none()]);
        assert_eq!(resolution.refusals.len(), 2, "{:?}", resolution.refusals);
        assert!(resolution.refusals[0].reason.contains("on b"), "{}", resolution.refusals[0].reason);
        let apart = on_both(across, one(), vec![disk("sda", 2)], [none(), none()]);
        assert_eq!(apart.refusals, []);
    }
}

#[test]
fn a_shared_device_is_the_same_one_everywhere() {
    let one = || vec![disk("sda", 1)];
    assert_eq!(on_both(Across::Shared, one(), one(), [none(), none()]).refusals, []);
    let other = on_both(Across::Shared, one(), vec![disk("sda", 2)], [none(), none()]);
    assert_eq!(other.refusals.len(), 2);
    assert!(other.refusals[0].reason.contains("must be the same disk on all nodes"));
    let placed = || {
        let mut placed = disk("sda", 1);
        (placed.wwn, placed.serial) = (None, None);
        vec![placed]
    };
    let placed = on_both(Across::Shared, placed(), placed(), [none(), none()]);
    assert!(placed.refusals[0].reason.contains("known by its place only"), "{:?}", placed.refusals);
    // A node that comes later finds the header that the others know as theirs.
    let mut header = disk("sda", 1);
    header.content = Fact::Known(DeviceContent {
        signatures: vec![signature("ext4", Some("5"))],
        ..DeviceContent::default()
    });
    let later = |known: ClaimLedger| {
        let mut wanted = request(&["a", "b"], Across::Shared);
        wanted.expects[0].uuid = ExpectedUuid::Any;
        let explicit = cluster("a: { data: { model: DISK } }, b: { data: { model: DISK } }");
        let seen = facts(&[("a", vec![header.clone()], known), ("b", vec![header.clone()], none())]);
        resolve(&explicit, &seen, &[wanted])
    };
    assert_eq!(later(ledger(&header, "ext4", None)).refusals, []);
    assert_eq!(later(none()).refusals.len(), 2, "nobody knows it");
}

#[test]
fn replicas_that_hactl_chose_are_of_about_one_size() {
    let sized = |id, mib| {
        let mut disk = disk("sda", id);
        disk.size_bytes = mib * MIB;
        vec![disk]
    };
    let both = |claims: &str, b_mib| {
        let seen = facts(&[("a", sized(1, 1000), none()), ("b", sized(2, b_mib), none())]);
        resolve(&cluster(claims), &seen, &[request(&["a", "b"], Across::Replicas)])
    };
    assert_eq!(both("", 1090).refusals, []);
    assert_eq!(both("", 1200).refusals.len(), 2);
    assert_eq!(both("a: { data: { serial: S1 } }", 1200).refusals.len(), 2);
    assert_eq!(both("a: { data: { serial: S1 } }, b: { data: { serial: S2 } }", 1200).refusals, []);
}

/// Every step that the devices of a resolution lead to.
fn steps(resolution: &Resolution) -> Vec<Step> {
    let cluster = crate::names::ClusterName::new("lab").unwrap();
    let (facts, secrets, pending) = (FleetFacts::default(), SecretStore::default(), BTreeSet::new());
    let context = DiffContext { facts: &facts, secrets: &secrets, pending: &pending };
    let mut all = Vec::new();
    for (node, device) in resolution.claims.iter() {
        let claim = DeviceClaim {
            id: ResourceId::on_node("claim", &device.purpose, node),
            requires: Vec::new(),
            node: node.clone(),
            cluster: cluster.clone(),
            device: device.clone(),
            wipes: true,
        };
        let filesystem = Filesystem {
            id: ResourceId::on_node("filesystem", &device.claim, node),
            requires: Vec::new(),
            node: node.clone(),
            device: device.clone(),
            fstype: FilesystemType::Ext4,
        };
        let resources: [&dyn Resource; 2] = [&claim, &filesystem];
        for resource in resources {
            if let Ok(Change::Steps { steps, .. }) = resource.diff(&context) {
                all.extend(steps);
            }
        }
    }
    all
}

/// The guard of a step that writes to a device. Every one that does has one.
fn guard_of(step: &Step) -> Option<&DeviceGuard> {
    match (&step.action, &step.guard) {
        (Action::WipeSignatures { path, .. } | Action::MakeFilesystem { path, .. }, Guard::Device(guard)) => {
            assert_eq!(path, &guard.path, "the device that is looked at is the one that is written to");
            Some(guard)
        }
        (Action::WipeSignatures { .. } | Action::MakeFilesystem { .. }, _) => {
            panic!("{} writes without a look", step.id)
        }
        _ => None,
    }
}

/// A device with anything that may be the matter with it.
fn any_device(index: u32) -> impl Strategy<Value = BlockDevice> {
    let holds = prop_oneof![
        3 => Just(Vec::new()),
        2 => Just(vec![signature("ext4", Some("11"))]),
        1 => Just(vec![signature("ext4", Some("12"))]),
        1 => Just(vec![signature("LVM2_member", Some("13")), signature("ext4", Some("11"))]),
        1 => Just(vec![signature("sbd", None)]),
    ];
    let kinds = prop::sample::select(vec!["disk", "disk", "disk", "part", "loop", "mpath", "rom", "zram"]);
    let odd = prop::collection::vec(0_u8..10, 0..2);
    (holds, kinds, odd, 1_u32..4, any::<bool>()).prop_map(move |(holds, kind, odd, id, shared)| {
        let mut device = disk(&format!("sd{index}"), if shared { id } else { index + 10 });
        device.device_type = kind.to_owned();
        // A link leads to one device, also where two have the same identity.
        device.links.iter_mut().for_each(|link| link.push_str(&format!("-{index}")));
        let mut content = DeviceContent { signatures: holds, ..DeviceContent::default() };
        for what in odd {
            match what {
                0 => device.mountpoints.push("/srv".to_owned()),
                1 => device.holders.push("dm-0".to_owned()),
                2 => device.read_only = true,
                3 => device.removable = true,
                4 => device.size_bytes = 50 * MIB,
                5 => content.busy = Some("Device or resource busy".to_owned()),
                6 => device.wwn = None,
                7 => (device.wwn, device.serial, device.links) = (None, None, Vec::new()),
                8 => device.parents.push("sd0".to_owned()),
                _ => device.size_bytes = 8 * MIB,
            }
        }
        device.content = Fact::Known(content);
        if id == 3 && shared {
            device.content = Fact::Unknown("it did not answer".to_owned());
        }
        device
    })
}

fn any_claim() -> impl Strategy<Value = String> {
    let which = prop_oneof![
        Just("serial: S1".to_owned()),
        Just("serial: S11".to_owned()),
        Just("model: DISK".to_owned()),
        Just("wwn: \"0x5000c5000000000b\"".to_owned()),
        Just("path: /dev/sd1, unstable_path: accept".to_owned()),
    ];
    let wipe = prop_oneof![
        2 => Just(""),
        2 => Just(", wipe: ext4/11"),
        1 => Just(", wipe: [LVM2_member/13, ext4/11]"),
        1 => Just(", wipe: sbd/none"),
    ];
    prop_oneof![
        1 => Just(String::new()),
        2 => (which, wipe).prop_map(|(which, wipe)| format!("a: {{ data: {{ {which}{wipe} }} }}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever is on the nodes and whatever the inventory says: what is written to is free, or ours, or given up by
    /// name; and the look before the write agrees with the plan, until something changes.
    #[test]
    fn only_what_is_free_ours_or_given_up_is_ever_written_to(
        devices in prop::collection::vec(0_u32..6, 1..5).prop_flat_map(|ids| {
            let ids: BTreeSet<u32> = ids.into_iter().collect();
            ids.into_iter().map(any_device).collect::<Vec<_>>()
        }),
        claims in any_claim(),
        known in 0_usize..4,
    ) {
        let cluster = cluster(&claims);
        // The ledger names one of the devices, or none.
        let recorded = devices.get(known).filter(|device| device.wwn.is_some());
        let ledger = recorded.map_or_else(none, |device| ledger(device, "ext4", None));
        let seen = facts(&[("a", devices.clone(), ledger.clone())]);
        let resolution = resolve(&cluster, &seen, &[request(&["a"], Across::Own)]);
        prop_assert!(resolution.claims.is_empty() != resolution.refusals.is_empty(), "either or: {resolution:?}");
        let named = crate::inventory::ClaimPolicy {
            minimum_size: crate::inventory::ByteSize(16 * MIB),
            ..cluster.claim_policy.clone()
        };
        let judged = judge(&devices, &named, Ok(&ledger));
        let consents = cluster.claims.values().flat_map(BTreeMap::values).flat_map(|claim| claim.wipe.clone());
        let consents: BTreeSet<String> = consents.map(|it| format!("{}/{}", it.kind, it.uuid)).collect();
        let mut first = true;
        for step in steps(&resolution) {
            let Some(guard) = guard_of(&step) else { continue };
            let written: Vec<&BlockDevice> = devices
                .iter()
                .filter(|device| device.path == guard.path || device.links.contains(&guard.path))
                .collect();
            prop_assert_eq!(written.len(), 1, "{} names one device", guard.path);
            let device = written[0];
            let verdict = judged.iter().find(|one| one.name == device.name).unwrap();
            let lost: Vec<String> =
                device.content.known().unwrap().signatures.iter().map(Signature::consent).collect();
            let free = matches!(verdict.verdict, Verdict::Unclaimed);
            let ours = matches!(&verdict.verdict, Verdict::Ours { purpose, .. } if purpose == PURPOSE);
            let only_signatures = verdict
                .evidence
                .iter()
                .all(|evidence| !evidence.against || matches!(evidence.about.as_str(), "signature" | "ledger"));
            let given_up = only_signatures && lost.iter().all(|one| consents.contains(one));
            prop_assert!(free || ours || given_up, "{step:?} writes to {verdict:?}");
            prop_assert!(free || lost.is_empty() || lost.iter().all(|one| consents.contains(one)), "{step:?}");
            let agrees = recheck(guard, &devices);
            // What is ours may have become read-only since, or the like: the look before the write is the stricter one.
            prop_assert!(ours || !first || agrees.is_ok(), "{agrees:?}");
            if first && agrees.is_ok() {
                for changed in changes(device) {
                    let replace = |one: &BlockDevice| if one.name == device.name { changed.clone() } else { one.clone() };
                    let after: Vec<BlockDevice> = devices.iter().map(replace).collect();
                    prop_assert!(recheck(guard, &after).is_err(), "not noticed: {changed:?}");
                }
                prop_assert!(recheck(guard, &[]).is_err());
            }
            first = false;
        }
    }
}

/// The device after one thing about it changed.
fn changes(device: &BlockDevice) -> Vec<BlockDevice> {
    let with = |change: &dyn Fn(&mut BlockDevice, &mut DeviceContent)| {
        let mut changed = device.clone();
        let mut content = changed.content.known().unwrap().clone();
        change(&mut changed, &mut content);
        changed.content = Fact::Known(content);
        changed
    };
    let mut all = vec![
        with(&|_, content| content.signatures.push(signature("xfs", Some("99")))),
        with(&|_, content| content.busy = Some("Device or resource busy".to_owned())),
        with(&|device, _| device.size_bytes += 4096),
        with(&|device, _| device.mountpoints.push("/mnt".to_owned())),
        with(&|device, _| device.holders.push("dm-9".to_owned())),
        with(&|device, _| device.read_only = true),
        with(&|device, _| (device.path, device.links) = ("/dev/elsewhere".to_owned(), Vec::new())),
    ];
    if device.wwn.is_some() {
        all.push(with(&|device, _| device.wwn = Some("0x5000c5000000ffff".to_owned())));
    }
    let mut blind = device.clone();
    blind.content = Fact::Unknown("it did not answer".to_owned());
    all.push(blind);
    all
}
