//! What is planned for a volume, by what is seen of its two sides: a run may have been killed between any two steps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Discard, InitialSync, ReplicatedVolume};
use crate::claims::ClaimedDevice;
use crate::engine::{Engine, VolumeId};
use crate::facts::{
    ClusterQuery, FleetFacts, NodeFacts, NodeOutcome, Observation, Query, Signature, StableId,
};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Blocked, FilesystemType, Risk, Step, UNFINISHED_LABEL};
use crate::resource::{Change, DiffContext, Resource, ResourceId};
use crate::secrets::SecretStore;

const UUID: &str = "c60c2121-099a-803b-b278-f8d8a75eb7a6";
const DISK_BYTES: u64 = 268_435_456;
/// Sectors of the volume on such a disk, as DRBD 8.4 has them.
const SECTORS: u64 = 524_200;

const NEW: &str = "0000000000000004:0:0:0:0:0:0:1:0:1:0";
const COMMON: &str = "CE042D27E92AF922:0:0:0:1:1:0:1:0:0:0";
const AT_ALPHA: &str = "AAAA000000000003:CE042D27E92AF922:0:0:1:1:1:0:0:0:0";
const AT_BETA: &str = "BBBB000000000002:CE042D27E92AF922:0:0:1:1:0:0:0:0:0";

/// One side: what is on its disk, its generations, and the kernel's words.
#[derive(Clone, Default)]
struct Seen {
    metadata: bool,
    other: Option<&'static str>,
    gi: Option<&'static str>,
    proc: Option<&'static str>,
    adjust: &'static str,
    users: &'static str,
    label: Option<&'static str>,
    disk_bytes: Option<u64>,
    filesystem_bytes: Option<u64>,
}

/// Metadata that is new, and not up.
fn new() -> Seen {
    Seen { metadata: true, gi: Some(NEW), ..Seen::default() }
}

fn up(gi: &'static str, proc: &'static str) -> Seen {
    Seen { metadata: true, gi: Some(gi), proc: Some(proc), ..Seen::default() }
}

fn whole(role: &'static str) -> Seen {
    let proc = match role {
        "Primary" => "cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----",
        _ => "cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----",
    };
    Seen { label: Some(""), ..up(COMMON, proc) }
}

const BOTH_SECONDARY: &str = "cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate C r-----";

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

impl Seen {
    fn found(&self) -> Vec<Signature> {
        let signature =
            |kind: &str| Signature { offset: None, kind: kind.to_owned(), uuid: None, label: None };
        self.metadata.then(|| signature("drbd")).into_iter().chain(self.other.map(signature)).collect()
    }

    fn text(&self) -> String {
        let mut text = "module 8.4.11\n".to_owned();
        if let Some(proc) = self.proc {
            text.push_str(&format!("proc  0: {proc}\ndevice {SECTORS}\n"));
        }
        text.extend(self.gi.map(|gi| format!("gi {gi}\n")));
        text.push_str(&format!("disk {}\n", self.disk_bytes.unwrap_or(DISK_BYTES)));
        text.extend(self.adjust.lines().map(|verb| format!("adjust {verb}\n")));
        text.extend(self.users.lines().map(|user| format!("user {user}\n")));
        text.push_str(&format!("head {}\n", self.head()));
        text
    }

    /// The same, as hactl's own engine and its probe tell it.
    fn replica_text(&self) -> String {
        let mut text = String::new();
        if let Some(proc) = self.proc {
            let word = |key: &str| proc.split(' ').find_map(|word| word.strip_prefix(key)).unwrap();
            let [(role, peer_role), (disk, peer_disk)] =
                ["ro:", "ds:"].map(|key| word(key).split_once('/').unwrap());
            text = format!(
                r#"replica {{"name":"srv","role":"{role}","devices":[{{"volume":0,"disk-state":"{disk}","size":{}}}],"#,
                SECTORS / 2
            );
            text.push_str(&format!(
                r#""connections":[{{"connection-state":"{}","peer-role":"{peer_role}","peer_devices":[{{"volume":0,"#,
                word("cs:")
            ));
            text.push_str(&format!(
                r#""replication-state":"Established","peer-disk-state":"{peer_disk}"}}]}}]}}"#
            ));
            text.push('\n');
        }
        let others = self.text();
        text.extend(
            others
                .lines()
                .filter(|line| {
                    !line.starts_with("module") && !line.starts_with("proc") && !line.starts_with("device")
                })
                .flat_map(|line| [line, "\n"]),
        );
        text
    }

    /// The beginning of the disk: an ext4 superblock with our UUID, or zeros.
    fn head(&self) -> String {
        let mut bytes = vec![0_u8; 4096];
        if let Some(label) = self.label {
            let blocks = self.filesystem_bytes.unwrap_or(SECTORS * 512) / 4096;
            bytes[1028..1032].copy_from_slice(&u32::try_from(blocks).unwrap().to_le_bytes());
            bytes[1048] = 2;
            bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
            let uuid = UUID.replace('-', "");
            for (index, pair) in uuid.as_bytes().chunks(2).enumerate() {
                bytes[1128 + index] = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            }
            bytes[1144..1144 + label.len()].copy_from_slice(label.as_bytes());
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn volume(sides: &[(&str, &Seen)]) -> ReplicatedVolume {
    let device = |name: &str, seen: &Seen| ClaimedDevice {
        purpose: "drbd:srv".to_owned(),
        claim: "srv".to_owned(),
        path: format!("/dev/disk/by-id/{name}"),
        identity: StableId::Unstable { path: format!("/dev/disk/by-id/{name}") },
        size_bytes: DISK_BYTES,
        name: "vdb".to_owned(),
        uuid: String::new(),
        expects: Vec::new(),
        found: seen.found(),
        wipe: false,
        recorded: true,
    };
    let cluster = ClusterName::new("lab").unwrap();
    ReplicatedVolume {
        id: ResourceId::of_cluster("volume", "srv", &cluster),
        requires: Vec::new(),
        cluster,
        nodes: sides.iter().map(|(name, _)| node(name)).collect(),
        volume: VolumeId { engine: Engine::Drbd, name: "srv".to_owned(), minor: 0 },
        members: sides.iter().map(|(name, seen)| (node(name), device(name, seen))).collect(),
        founder: node("alpha"),
        primitive: "srv-drbd".to_owned(),
        filesystem: Some((FilesystemType::Ext4, UUID.to_owned())),
        mount: Some("/srv".to_owned()),
        initial_sync: InitialSync::Full,
        discard: None,
    }
}

fn facts(volume: &ReplicatedVolume, sides: &[(&str, &Seen)], managed: bool) -> FleetFacts {
    let cib = "<cib><configuration><resources><clone id=\"srv-clone\"><primitive id=\"srv-drbd\"/></clone></resources>\
               </configuration></cib>";
    let facts = sides.iter().map(|(name, seen)| {
        let observed = BTreeMap::from([
            (
                volume.query(&node(name)).unwrap(),
                Observation::Text(Some(match volume.volume.engine {
                    Engine::Drbd => seen.text(),
                    Engine::Replica => seen.replica_text(),
                })),
            ),
            (Query::Cluster(ClusterQuery::Cib), Observation::Text(managed.then(|| cib.to_owned()))),
            (Query::DrbdModule, Observation::Text(Some("8.4.11".to_owned()))),
        ]);
        let facts = NodeFacts { observed, ..NodeFacts::unknown("not asked") };
        (node(name), NodeOutcome::Answered(Box::new(facts)))
    });
    FleetFacts { nodes: facts.collect(), program: None }
}

fn judged(volume: &ReplicatedVolume, sides: &[(&str, &Seen)], managed: bool) -> Result<Change, Blocked> {
    let facts = facts(volume, sides, managed);
    let (secrets, pending) = (SecretStore::default(), BTreeSet::new());
    volume.diff(&DiffContext { facts: &facts, secrets: &secrets, pending: &pending })
}

fn steps(change: &Change) -> &[Step] {
    match change {
        Change::None => &[],
        Change::Steps { steps, .. } => steps,
    }
}

/// The steps as `node: what`.
fn plan(alpha: &Seen, beta: &Seen, managed: bool) -> Vec<String> {
    let sides = [("alpha", alpha), ("beta", beta)];
    let change = judged(&volume(&sides), &sides, managed).unwrap_or_else(|why| panic!("{}", why.reason));
    steps(&change).iter().map(|step| format!("{}: {}", step.node, step.action)).collect()
}

fn refusal(alpha: &Seen, beta: &Seen, managed: bool) -> Blocked {
    let sides = [("alpha", alpha), ("beta", beta)];
    judged(&volume(&sides), &sides, managed).expect_err("it must be refused")
}

/// The steps for the same volume by hactl's own engine, or why there are none.
fn plan_of_replica(alpha: &Seen, beta: &Seen, managed: bool) -> Result<Vec<String>, String> {
    let sides = [("alpha", alpha), ("beta", beta)];
    let mut volume = volume(&sides);
    volume.volume.engine = Engine::Replica;
    let change = judged(&volume, &sides, managed).map_err(|why| why.reason)?;
    Ok(steps(&change).iter().map(|step| format!("{}: {}", step.node, step.action)).collect())
}

#[test]
fn whoever_replicates_the_plan_is_the_same() {
    let blank = Seen::default();
    let connected = "cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent C r-----";
    let waiting = "cs:Connecting ro:Secondary/Unknown ds:Inconsistent/DUnknown C r-----";
    let forming = Seen { label: Some(UNFINISHED_LABEL), ..whole("Primary") };
    let situations: [(&Seen, &Seen, bool); 8] = [
        (&blank, &blank, false),
        (&new(), &blank, false),
        (&up(NEW, waiting), &new(), false),
        (&up(NEW, connected), &up(NEW, connected), false),
        (&forming, &whole("Secondary"), false),
        (&whole("Primary"), &whole("Secondary"), false),
        (&whole("Primary"), &whole("Secondary"), true),
        (&whole("Primary"), &blank, true),
    ];
    for (alpha, beta, managed) in situations {
        let wanted: Vec<String> = plan(alpha, beta, managed)
            .into_iter()
            .map(|step| {
                step.replace("of DRBD", "of the replication engine")
                    .replace("/dev/drbd0", "/dev/hactl/by-res/srv")
            })
            .collect();
        assert_eq!(plan_of_replica(alpha, beta, managed), Ok(wanted));
    }
}

#[test]
fn an_engine_that_reads_options_at_its_start_is_started_anew() {
    let changed = |role| Seen { adjust: "restart (the file is newer)", ..whole(role) };
    let (primary, secondary) = (changed("Primary"), changed("Secondary"));
    let planned = plan_of_replica(&whole("Primary"), &secondary, true).unwrap();
    assert_eq!(planned, ["beta: adjust volume srv"], "only what is not in use");
    let sides = [("alpha", &primary), ("beta", &secondary)];
    let mut volume = volume(&sides);
    volume.volume.engine = Engine::Replica;
    let change = judged(&volume, &sides, true).unwrap();
    let [step] = steps(&change) else { panic!("the cluster starts both sides anew: {change:?}") };
    assert_eq!(step.node, node("alpha"));
    assert_eq!(step.risk, Risk::Disruptive(vec!["volume srv with what runs on it".to_owned()]));
}

#[test]
fn two_blank_disks_become_a_volume() {
    assert_eq!(
        plan(&Seen::default(), &Seen::default(), false),
        [
            "alpha: make the metadata of DRBD on /dev/disk/by-id/alpha",
            "alpha: bring up volume srv",
            "beta: make the metadata of DRBD on /dev/disk/by-id/beta",
            "beta: bring up volume srv",
            "alpha: wait until volume srv is connected (at most 120 s)",
            "alpha: make this side the source of the first synchronisation of volume srv",
            &format!("alpha: make ext4 on /dev/drbd0 (UUID {UUID})"),
            "alpha: demote volume srv",
        ]
    );
}

#[test]
fn the_first_synchronisation_is_skipped_where_that_is_wanted() {
    let blank = Seen::default();
    let sides = [("alpha", &blank), ("beta", &blank)];
    let volume = ReplicatedVolume { initial_sync: InitialSync::Skip, ..volume(&sides) };
    let change = judged(&volume, &sides, false).unwrap();
    let words: Vec<String> = steps(&change).iter().skip(5).map(|step| step.action.to_string()).collect();
    assert_eq!(words[..2], ["skip the first synchronisation of volume srv", "promote volume srv"]);
}

#[test]
fn what_a_killed_run_left_is_completed_and_nothing_is_done_twice() {
    let connected_new = "cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent C r-----";
    // Killed after the metadata of one side.
    assert!(plan(&new(), &Seen::default(), false)[0].starts_with("alpha: bring up"));
    // Killed after both are up and connected.
    let left = plan(&up(NEW, connected_new), &up(NEW, connected_new), false);
    assert_eq!(left[0], "alpha: make this side the source of the first synchronisation of volume srv");
    // Killed after the promotion, while the peer catches up.
    let source = up(COMMON, "cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----");
    let target = up(NEW, "cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----");
    let left = plan(&source, &target, false);
    assert_eq!(
        left,
        [format!("alpha: make ext4 on /dev/drbd0 (UUID {UUID})"), "alpha: demote volume srv".to_owned()]
    );
    // Killed in the middle of mkfs: the label says so.
    let making = Seen { label: Some("hactl-making"), ..source.clone() };
    assert!(plan(&making, &target, false)[0].starts_with("alpha: make ext4"));
    // Killed before the demotion.
    let made = Seen { label: Some(""), ..source };
    assert_eq!(plan(&made, &target, false), ["alpha: demote volume srv"]);
    // Killed before the cluster was told.
    let done = Seen { label: Some(""), ..up(COMMON, BOTH_SECONDARY) };
    assert!(plan(&done, &done, false).is_empty());
}

#[test]
fn a_volume_with_data_is_never_made_anew() {
    // Both nodes were rebooted before the cluster was told: down, with data.
    let down = Seen { metadata: true, gi: Some(COMMON), label: Some(""), ..Seen::default() };
    assert_eq!(
        plan(&down, &down, false),
        [
            "alpha: bring up volume srv",
            "beta: bring up volume srv",
            "alpha: wait until volume srv is connected (at most 120 s)"
        ]
    );
    // The founder's disk is a new one: the peer has the data, and decides.
    let steps = plan(&Seen::default(), &down, false);
    assert!(
        steps.iter().all(|step| !step.contains("first synchronisation") && !step.contains("make ext4")),
        "{steps:?}"
    );
    assert!(
        steps.contains(&"beta: wait until volume srv is connected (at most 120 s)".to_owned()),
        "{steps:?}"
    );
}

#[test]
fn what_the_cluster_runs_is_left_alone() {
    assert!(plan(&whole("Primary"), &whole("Secondary"), true).is_empty());
    let source = Seen {
        label: Some(""),
        ..up(COMMON, "cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----")
    };
    let target = up(COMMON, "cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----");
    assert!(plan(&source, &target, true).is_empty());
}

#[test]
fn options_that_changed_are_taken_over() {
    let changed = Seen { adjust: "drbdsetup-84 net-options", ..whole("Primary") };
    assert_eq!(plan(&changed, &whole("Secondary"), true), ["alpha: adjust volume srv"]);
}

#[test]
fn a_new_disk_gets_metadata_and_the_peers_data() {
    let alone = Seen {
        label: Some(""),
        ..up(COMMON, "cs:Connected ro:Primary/Secondary ds:UpToDate/Diskless C r-----")
    };
    assert_eq!(
        plan(&alone, &Seen::default(), true),
        [
            "alpha: wait until Pacemaker has nothing left to do (at most 300 s)",
            "beta: make the metadata of DRBD on /dev/disk/by-id/beta",
            "alpha: forget the failures of srv-drbd on beta",
            "alpha: wait until volume srv is connected (at most 120 s)",
        ]
    );
    // Killed before Pacemaker was told.
    assert_eq!(plan(&alone, &new(), true)[1..], plan(&alone, &Seen::default(), true)[2..]);
    // The volume runs there without a disk.
    let diskless = Seen {
        proc: Some("cs:Connected ro:Secondary/Primary ds:Diskless/UpToDate C r-----"),
        ..Seen::default()
    };
    assert_eq!(plan(&alone, &diskless, true)[2], "beta: bring up volume srv");
    let small = Seen { disk_bytes: Some(DISK_BYTES / 2), ..Seen::default() };
    let why = refusal(&alone, &small, true);
    assert!(why.reason.contains("has room for") && why.node == Some(node("beta")), "{}", why.reason);
}

#[test]
fn disks_that_grew_grow_the_volume_and_its_file_system() {
    let grown = |role| Seen { disk_bytes: Some(2 * DISK_BYTES), ..whole(role) };
    assert_eq!(
        plan(&grown("Primary"), &grown("Secondary"), true),
        ["alpha: grow volume srv", "alpha: grow ext4 on /dev/drbd0"]
    );
    // One disk alone is not enough.
    assert!(plan(&grown("Primary"), &whole("Secondary"), true).is_empty());
    // Killed between the two.
    let between = Seen { filesystem_bytes: Some(DISK_BYTES / 2), ..whole("Primary") };
    assert_eq!(plan(&between, &whole("Secondary"), true), ["alpha: grow ext4 on /dev/drbd0"]);
}

#[test]
fn a_split_brain_is_told_and_resolved_on_order_only() {
    let alpha = Seen {
        label: Some(""),
        ..up(AT_ALPHA, "cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----")
    };
    let beta = Seen {
        label: Some(""),
        ..up(AT_BETA, "cs:StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown   r-----")
    };
    let why = refusal(&alpha, &beta, true);
    assert!(why.reason.starts_with("split brain: "), "{}", why.reason);
    assert!(why.advice.contains("discard: { node: beta, generation: BBBB000000000002 }"), "{}", why.advice);

    let sides = [("alpha", &alpha), ("beta", &beta)];
    let ordered = |node_name: &str, generation: &str| {
        let discard = Some(Discard { node: node(node_name), generation: generation.to_owned() });
        judged(&ReplicatedVolume { discard, ..volume(&sides) }, &sides, true)
    };
    let change = ordered("beta", "bbbb000000000002").unwrap();
    let words: Vec<String> =
        steps(&change).iter().map(|step| format!("{}: {}", step.node, step.action)).collect();
    assert_eq!(
        words,
        [
            "beta: give up the changes of generation BBBB000000000002 of volume srv",
            "alpha: connect volume srv",
            "beta: wait until volume srv is connected (at most 120 s)"
        ]
    );
    assert!(matches!(&steps(&change)[0].risk, Risk::Destroys(what) if what.contains("BBBB000000000002")));
    // Consent to something else is none; and a Primary is not overrun.
    assert!(ordered("beta", "CCCC000000000002").unwrap_err().advice.contains("BBBB000000000002 now"));
    assert!(ordered("alpha", "AAAA000000000002").unwrap_err().reason.contains("it is Primary"));
}

#[test]
fn what_is_in_the_way_is_named() {
    let blank = Seen::default();
    let foreign = Seen { other: Some("xfs"), ..Seen::default() };
    let why = refusal(&blank, &foreign, false);
    assert_eq!(why.reason, "/dev/disk/by-id/beta holds xfs/none, and no metadata of a replicated volume");
    let held = Seen { users: "multipathd, process 411", ..whole("Primary") };
    let peer = Seen { label: Some(""), ..whole("Secondary") };
    let why = refusal(&held, &peer, false);
    assert!(
        why.reason.contains("held open") && why.reason.contains("multipathd, process 411"),
        "{}",
        why.reason
    );
}

#[test]
fn a_kernel_without_the_module_is_told_with_the_package() {
    let blank = Seen::default();
    let sides = [("alpha", &blank), ("beta", &blank)];
    let volume = volume(&sides);
    let mut facts = facts(&volume, &sides, false);
    let Some(NodeOutcome::Answered(beta)) = facts.nodes.get_mut("beta") else { panic!("beta answers") };
    beta.observed.insert(Query::DrbdModule, Observation::Text(None));
    let (secrets, pending) = (SecretStore::default(), BTreeSet::new());
    let why = volume.diff(&DiffContext { facts: &facts, secrets: &secrets, pending: &pending }).unwrap_err();
    assert_eq!(why.node, Some(node("beta")));
    assert!(
        why.reason.contains("no module `drbd`") && why.advice.contains("linux-image-amd64"),
        "{}",
        why.advice
    );
}
