//! Three nodes, a volume on two of them, and a power-cut while somebody writes to it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::TestLab;

use super::writers::{self, Writers};

/// The nodes with a disk for the volume.
pub(crate) const MEMBERS: [&str; 2] = ["alpha", "beta"];
/// Longest time until both sides hold the same again.
pub(crate) const SYNC_LIMIT: Duration = Duration::from_secs(120);
/// The word for both sides being equal.
pub(crate) const IN_SYNC: &str = "[ \"$(hactl-replica dstate srv)\" = UpToDate/UpToDate ]";
/// Size of the disks in bytes, as `hactl lab` makes them.
const DISK_BYTES: u64 = 256 << 20;

/// One volume with a file system and an address.
pub(crate) fn describe(lab: &mut TestLab, more: &str) {
    describe_with(lab, more, "");
}

/// The same, beside other barclamps.
fn describe_with(lab: &mut TestLab, more: &str, barclamps: &str) {
    let (name, vip) = (lab.name().to_owned(), lab.virtual_ip());
    lab.services = format!(
        "clusters:\n  {name}:\n    barclamps:\n      pacemaker: {{}}\n{barclamps}      replica:\n        volumes:\n          srv:\n            \
         nodes: [alpha, beta]\n            mount: {{ path: /srv }}\n            vip: {{ address: {vip}, prefix: 24 }}\n{more}    \
         resource_defaults: {{ resource-stickiness: 100 }}\n"
    );
    lab.write();
}

/// The cluster as it is wanted, and nothing left to do.
pub(crate) fn applied(lab: &TestLab) {
    lab.hactl("apply", &["--yes"]).expect(0);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.hactl("verify", &["--patience", "1m"]).expect(0);
}

/// The member that has the group, and the other one.
pub(crate) fn sides(lab: &TestLab, group: &str) -> (&'static str, &'static str) {
    sides_seen_by(lab, "alpha", group)
}

/// The same, as a certain node sees it.
fn sides_seen_by(lab: &TestLab, node: &str, group: &str) -> (&'static str, &'static str) {
    let holder = lab.on(node, &format!("crm_resource --resource {group} --locate --quiet"));
    match holder.trim() {
        "alpha" => ("alpha", "beta"),
        "beta" => ("beta", "alpha"),
        other => panic!("{group} runs on `{other}`"),
    }
}

/// A drill's report, which must find nothing lost.
pub(crate) fn drilled(lab: &TestLab) -> Value {
    let words = ["--drill", "failover", "--yes", "--json", "--patience", "2m"];
    let report = lab.hactl("verify", &words).expect(0).json();
    assert_eq!(report["writes"]["lost"], 0, "{report}");
    assert!(report["writes"]["acknowledged"].as_u64().unwrap() > 50, "before and after the loss: {report}");
    assert!(report["writes"]["outage_ms"].as_u64().unwrap() > 0, "{report}");
    assert_ne!(report["survivor"], report["victim"], "{report}");
    let resynced = report["resynced_bytes"].as_u64();
    let resynced = resynced.unwrap_or_else(|| panic!("the engine tells how much was copied: {report}"));
    assert!(resynced > 0 && resynced < DISK_BYTES, "only what changed, not the whole disk: {report}");
    lab.say(&format!("drilled: {} and {resynced} bytes resynced", report["writes"]));
    report
}

pub(crate) fn survivor_takes_over() {
    let mut lab = TestLab::up("replica", &["--nodes", "3"]);
    serving(&mut lab, "");
    applied(&lab);
    lab.say("from bare nodes to a verified cluster; the second plan is empty");
    both_sides_are_the_same(&lab);
    power_cut_under_load(&lab);
    let writers = Writers::start(&lab, 1);
    let began = Instant::now();
    drilled(&lab);
    writers.answered_since(Instant::now(), "after the drill");
    lab.say(&writers.none_is_missing(&lab, sides(&lab, "srv").0, began).words);
    both_sides_are_the_same(&lab);
    changed_options(&mut lab);
    let device = HostDevice::of(&lab, sides(&lab, "srv").0);
    drop(lab);
    assert!(device.is_gone(), "a lab that was taken down leaves no block device");
}

/// The volume with a service on it that clients write to through the address.
pub(crate) fn serving(lab: &mut TestLab, more: &str) {
    describe_with(lab, &format!("{}{more}", writers::service()), &writers::files());
}

/// The node that everybody writes to loses its power, and nobody was warned: the survivor has every write that was
/// acknowledged, and the node that comes back gets what changed, not the whole disk.
fn power_cut_under_load(lab: &TestLab) {
    let (dead, survivor) = sides(lab, "srv");
    let writers = Writers::start(lab, 0);
    let device = HostDevice::of(lab, dead);
    let cut = Instant::now();
    lab.fault(&["power-cut", dead]);
    assert!(device.is_gone(), "a machine without power keeps no block device");
    // Whatever the host had not yet sent is over: only the survivor answers now.
    let gone = Instant::now();
    writers.answered_since(gone, "after the power-cut");
    assert_eq!(sides_seen_by(lab, survivor, "srv").0, survivor);
    let said = writers.none_is_missing(lab, survivor, cut);
    lab.say(&format!("{dead} lost its power: {}", said.words));
    lab.wait_on(survivor, "the node is back and equal", SYNC_LIMIT, IN_SYNC);
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    let log = "journalctl -o cat -u hactl-replica@srv | sed -n 's/.*Began resync as SyncSource (will sync \\([0-9]*\\) KB.*/\\1/p' | tail -n 1";
    let copied: u64 = lab.on(survivor, log).trim().parse().expect("the survivor tells what it sent");
    assert!(copied > 0 && copied * 1024 < DISK_BYTES / 2, "only what changed: {copied} KiB");
    lab.say(&format!("{dead} is back: {copied} KiB were copied"));
}

/// The loop device of a node's volume. Nodes are containers: the kernel, and its loop devices, are this machine's.
pub(crate) struct HostDevice {
    sequence: std::path::PathBuf,
    before: String,
}

impl HostDevice {
    pub(crate) fn of(lab: &TestLab, node: &str) -> Self {
        let device = lab.on(node, "basename $(readlink /dev/hactl/by-res/srv)");
        // Another one with every file that the device is attached to, and with none.
        let sequence = std::path::Path::new("/sys/block").join(device.trim()).join("diskseq");
        let before = std::fs::read_to_string(&sequence).expect("the device is there");
        Self { sequence, before }
    }

    pub(crate) fn is_gone(&self) -> bool {
        std::fs::read_to_string(&self.sequence).is_ok_and(|now| now != self.before)
    }
}

/// What was written is on both disks, block by block, past every cache; the metadata behind the data is each side's own.
pub(crate) fn both_sides_are_the_same(lab: &TestLab) {
    let (holder, _) = sides(lab, "srv");
    lab.wait_on(holder, "both sides are equal", SYNC_LIMIT, IN_SYNC);
    lab.on(
        holder,
        "dd if=/dev/urandom of=/srv/data bs=64k count=64 status=none && sync /srv/data && fsfreeze -f /srv",
    );
    let device = lab.on(holder, "blockdev --getsize64 /dev/hactl/by-res/srv");
    let blocks = device.trim().parse::<u64>().expect("a size") / 4096;
    let digest = |node: &str| {
        let disk = format!("/dev/disk/by-id/virtio-{node}-data1");
        lab.on(node, &format!("dd if={disk} iflag=direct bs=4096 count={blocks} status=none | sha256sum"))
    };
    let digests = MEMBERS.map(digest);
    lab.on(holder, "fsfreeze -u /srv");
    assert_eq!(digests[0], digests[1], "both disks hold the same");
}

/// Options are taken over by starting both sides anew, which the plan says before.
fn changed_options(lab: &mut TestLab) {
    serving(lab, "            net: { ping-int: 5 }\n");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(2).says("volume srv with what runs on it");
    applied(lab);
    for node in MEMBERS {
        lab.on(node, "grep -q 'ping-int: 5' /etc/hactl/replica/srv.yml");
    }
}
