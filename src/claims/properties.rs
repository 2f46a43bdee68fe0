//! Whatever a node looks like: a device against which anything speaks is never free, and judging depends on nothing but
//! the facts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{JudgedDevice, Verdict, claim_help, judge};
use crate::facts::{
    BlockDevice, ClaimEntry, ClaimLedger, DeviceContent, DeviceUser, ExpectedSignature, Fact, Signature,
    StableId,
};
use crate::inventory::{ByteSize, ClaimPolicy};
use crate::names::NodeName;

/// Most devices of a generated node.
const DEVICES: usize = 7;
const MINIMUM_BYTES: u64 = 1 << 30;

fn some<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = Option<T>> + use<T> {
    proptest::option::weighted(0.5, proptest::sample::select(values.to_vec()))
}

fn words(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn rarely<T: Clone + std::fmt::Debug + 'static>(value: T, other: T) -> impl Strategy<Value = T> {
    prop_oneof![6 => Just(value), 1 => Just(other)]
}

fn signature() -> impl Strategy<Value = Signature> {
    (
        proptest::sample::select(words(&["ext4", "gpt", "drbd", "sbd", "ambivalent"])),
        some(&words(&["u1", "u2"])),
    )
        .prop_map(|(kind, uuid)| Signature { offset: Some(0), kind, uuid, label: None })
}

fn user() -> impl Strategy<Value = DeviceUser> {
    (
        proptest::sample::select(words(&["qemu-system-x86", "multipathd", "sbd", "loop3"])),
        some(&[7_u32]),
        any::<bool>(),
    )
        .prop_map(|(name, pid, writes)| DeviceUser { name, pid, writes })
}

fn content() -> impl Strategy<Value = Fact<DeviceContent>> {
    let known = (
        prop_oneof![3 => Just(vec![]), 1 => proptest::collection::vec(signature(), 1..3)],
        rarely(None, Some("Device or resource busy".to_owned())),
        prop_oneof![6 => Just(vec![]), 1 => proptest::collection::vec(user(), 1..3)],
    );
    prop_oneof![
        9 => known.prop_map(|(signatures, busy, users)| Fact::Known(DeviceContent { signatures, busy, users })),
        1 => Just(Fact::Unknown("it did not answer".to_owned())),
    ]
}

fn device(at: usize) -> impl Strategy<Value = BlockDevice> {
    let kinds = words(&["disk", "disk", "disk", "part", "mpath", "loop", "rom", "lvm", "drbd"]);
    let names = || proptest::collection::vec((0..DEVICES + 1).prop_map(|n| format!("d{n}")), 0..2);
    let relations =
        (prop_oneof![3 => Just(vec![]), 1 => names()], prop_oneof![3 => Just(vec![]), 1 => names()]);
    let identity = (
        some(&words(&["0x5000C5", "0x5000c6", "eui.01"])),
        some(&words(&["S1", "S2"])),
        prop_oneof![
            Just(vec![]),
            Just(vec![format!("/dev/disk/by-path/pci-{at}"), format!("/dev/disk/by-id/virtio-S{at}")])
        ],
    );
    let flags = (rarely(false, true), rarely(false, true), rarely(2 * MINIMUM_BYTES, MINIMUM_BYTES / 2));
    let mounts = rarely(vec![], vec!["/srv".to_owned()]);
    (proptest::sample::select(kinds), relations, identity, flags, mounts, content()).prop_map(
        move |(
            device_type,
            (parents, holders),
            (wwn, serial, links),
            (read_only, removable, size_bytes),
            mountpoints,
            content,
        )| {
            BlockDevice {
                name: format!("d{at}"),
                path: format!("/dev/d{at}"),
                number: Some(format!("8:{at}")),
                device_type,
                size_bytes,
                read_only,
                removable,
                rotational: None,
                transport: None,
                model: None,
                serial,
                wwn,
                filesystem: None,
                partition_table: None,
                mountpoints,
                parents,
                holders,
                links,
                content,
            }
        },
    )
}

fn node() -> impl Strategy<Value = Vec<BlockDevice>> {
    (1..=DEVICES).prop_flat_map(|count| (0..count).map(device).collect::<Vec<_>>())
}

fn entry() -> impl Strategy<Value = ClaimEntry> {
    let identity = prop_oneof![
        Just(StableId::Wwn { wwn: "0x5000c5".to_owned() }),
        Just(StableId::Serial { model: String::new(), serial: "S1".to_owned() }),
        (0..DEVICES).prop_map(|at| StableId::Path { link: format!("/dev/disk/by-path/pci-{at}") }),
        (0..DEVICES).prop_map(|at| StableId::Unstable { path: format!("/dev/d{at}") }),
    ];
    (identity, some(&words(&["u1"])), rarely(MINIMUM_BYTES, 4 * MINIMUM_BYTES)).prop_map(
        |(identity, uuid, size_bytes)| {
            let expects = vec![ExpectedSignature { kind: "ext4".to_owned(), uuid }];
            ClaimEntry { cluster: "prod".to_owned(), identity, size_bytes, expects }
        },
    )
}

fn ledger() -> impl Strategy<Value = Result<ClaimLedger, String>> {
    let purposes = proptest::sample::select(words(&["filesystem:data", "drbd:data", "sbd"]));
    let claims = proptest::collection::btree_map(purposes, entry(), 0..3);
    prop_oneof![
        8 => claims.prop_map(|claims: BTreeMap<_, _>| Ok(ClaimLedger { format: 1, claims })),
        1 => Just(Err("permission denied".to_owned())),
    ]
}

fn policy() -> ClaimPolicy {
    ClaimPolicy { minimum_size: ByteSize(MINIMUM_BYTES), ..ClaimPolicy::default() }
}

fn verdict_on(devices: &[BlockDevice], ledger: &Result<ClaimLedger, String>) -> Vec<JudgedDevice> {
    judge(devices, &policy(), ledger.as_ref().map_err(String::as_str))
}

/// Why the device cannot be free, found in another way than `judge` does.
fn spoken_against(device: &BlockDevice, devices: &[BlockDevice]) -> Option<&'static str> {
    let Fact::Known(content) = &device.content else { return Some("a probe failed") };
    let watcher = |user: &DeviceUser| user.name == "multipathd" && !user.writes;
    let used = |name: &str| {
        devices.iter().any(|other| other.name != name && other.parents.iter().any(|it| it == name))
    };
    let reasons = [
        (!content.signatures.is_empty(), "a signature"),
        (content.busy.is_some(), "busy"),
        (!content.users.iter().all(watcher), "a user"),
        (!device.mountpoints.is_empty(), "a mount"),
        (!device.holders.is_empty(), "a holder"),
        (used(&device.name), "a child"),
        (device.read_only || device.removable, "a flag"),
        (device.size_bytes < MINIMUM_BYTES, "its size"),
        (!["disk", "mpath"].contains(&device.device_type.as_str()), "its type"),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_that_is_somebodys_is_free(devices in node(), ledger in ledger()) {
        for (device, judged) in devices.iter().zip(verdict_on(&devices, &ledger)) {
            if judged.verdict == Verdict::Unclaimed {
                prop_assert_eq!(spoken_against(device, &devices), None);
                prop_assert!(ledger.is_ok(), "nothing is free while the ledger is unknown");
                prop_assert!(judged.evidence.iter().all(|evidence| !evidence.against));
            }
        }
    }

    #[test]
    fn ours_is_named_by_the_ledger_and_holds_nothing_else(devices in node(), ledger in ledger()) {
        let judged = verdict_on(&devices, &ledger);
        let mut purposes: Vec<&str> = Vec::new();
        for (device, judged) in devices.iter().zip(&judged) {
            let Verdict::Ours { purpose, .. } = &judged.verdict else { continue };
            let entry = &ledger.as_ref().expect("known").claims[purpose];
            let content = device.content.known().expect("known");
            prop_assert!(device.size_bytes >= entry.size_bytes);
            for found in &content.signatures {
                prop_assert_eq!(&found.kind, "ext4");
                prop_assert!(entry.expects[0].uuid.is_none() || entry.expects[0].uuid == found.uuid);
            }
            purposes.push(purpose);
        }
        let all = purposes.len();
        purposes.sort_unstable();
        purposes.dedup();
        prop_assert_eq!(purposes.len(), all, "one purpose has one device");
    }

    #[test]
    fn identities_belong_to_one_device(devices in node()) {
        let mut owners: BTreeMap<StableId, &str> = BTreeMap::new();
        let judged = judge(&devices, &policy(), Ok(&ClaimLedger::default()));
        for judged in judged.iter().filter(|judged| judged.verdict == Verdict::Unclaimed) {
            let Some(identity) = judged.identity.clone() else { continue };
            prop_assert_eq!(owners.insert(identity, &judged.name), None);
        }
    }

    #[test]
    fn a_device_that_is_free_and_gets_a_user_is_free_no_more(devices in node(), at in any::<proptest::sample::Index>(), change in 0..5) {
        let mut devices = devices;
        let at = at.index(devices.len());
        let device = &mut devices[at];
        let content = DeviceContent::default();
        match change {
            0 => device.content = Fact::Unknown("it did not answer".to_owned()),
            1 => device.mountpoints.push("/".to_owned()),
            2 => device.holders.push("md0".to_owned()),
            3 => device.content = Fact::Known(DeviceContent { busy: Some("busy".to_owned()), ..content }),
            _ => {
                let signature = Signature { offset: None, kind: "zfs_member".to_owned(), uuid: None, label: None };
                device.content = Fact::Known(DeviceContent { signatures: vec![signature], ..content });
            }
        }
        let judged = judge(&devices, &policy(), Ok(&ClaimLedger::default()));
        prop_assert_ne!(&judged[at].verdict, &Verdict::Unclaimed);
    }

    #[test]
    fn the_order_of_the_devices_changes_no_verdict(devices in node(), ledger in ledger()) {
        let mut judged = verdict_on(&devices, &ledger);
        let mut backwards: Vec<BlockDevice> = devices.into_iter().rev().collect();
        let mut other = verdict_on(&backwards, &ledger);
        backwards.clear();
        let verdicts = |judged: &mut Vec<JudgedDevice>| -> Vec<(String, bool, bool)> {
            judged.sort_by(|a, b| a.name.cmp(&b.name));
            judged.iter().map(|it| (it.name.clone(), it.verdict == Verdict::Unclaimed, matches!(it.verdict, Verdict::Ours { .. }))).collect()
        };
        prop_assert_eq!(verdicts(&mut judged), verdicts(&mut other));
    }

    #[test]
    fn the_help_names_every_device_and_offers_only_what_can_be_had(devices in node(), ledger in ledger()) {
        let judged = verdict_on(&devices, &ledger);
        let node = NodeName::new("alpha").expect("a name");
        let help = claim_help(&node, &judged);
        for (device, judged) in devices.iter().zip(&judged) {
            let named = help.contains(&format!("  {}: ", device.name));
            prop_assert!(named, "{help}");
            if let Some(line) = judged.claim_line(&node) {
                prop_assert!(device.mountpoints.is_empty() && device.holders.is_empty());
                let content = device.content.known().expect("known");
                prop_assert!(content.busy.is_none());
                prop_assert_eq!(line.contains("wipe"), !content.signatures.is_empty());
            }
        }
    }
}
