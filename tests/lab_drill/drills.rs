//! One cluster, drilled in every way: by its address, by a disk that all nodes see, by disks that they do not share.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Program, RUN_LIMIT, TestLab};

/// The nodes of the lab.
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Time for what follows a drill: a fenced node boots again.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// Where the file systems of the groups are mounted.
const MOUNT: &str = "/mnt/store";

pub(crate) fn failover_drills() {
    let mut lab = TestLab::up("drill", &["--nodes", "3"]);
    lab.web("", "    resource_defaults: { resource-stickiness: 100 }\n");
    lab.hactl("apply", &["--yes"]).expect(0);
    by_the_address(&lab);
    disks(&lab);
    on_a_shared_disk(&mut lab);
    interrupted(&lab);
    on_disks_of_their_own(&mut lab);
    refused(&mut lab);
}

/// Only an address: it is asked through; nothing is written.
fn by_the_address(lab: &TestLab) {
    lab.hactl("verify", &["--drill", "failover"]).expect(3).warns("--yes");
    let report = drill(lab, &[], 0);
    assert_eq!(report["group"], "web");
    assert_eq!(report["writes"], Value::Null);
    moved(&report);
    let requests = &report["requests"];
    assert!(requests["failed"].as_u64().unwrap() > 0, "a node that loses its power is noticed: {requests}");
    let away = requests["outage_ms"].as_u64().unwrap();
    assert!(away > 0, "{requests}");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.say(&format!("by the address: no answers for {away} ms"));
}

/// Gives every node the same disk as `/srv/shared`: a device node of alpha's, on a file system that survives a power-cut.
fn disks(lab: &TestLab) {
    let minor = lab.on("alpha", "stat -c %T $(readlink -f /dev/disk/by-id/virtio-alpha-data1)");
    let minor = u32::from_str_radix(minor.trim(), 16).expect("a device number");
    lab.on("alpha", "mkfs.ext4 -q -F /dev/disk/by-id/virtio-alpha-data1");
    for node in NODES {
        // The agent needs fuser(1).
        lab.on(node, "apt-get -qq -y install psmisc >/dev/null 2>&1");
        lab.on(node, &format!("mkdir -p {MOUNT} && mknod /srv/shared b 7 {minor}"));
    }
}

/// A group with a file system on a device.
fn store(device: &str) -> String {
    format!(
        "    resource_defaults: {{ resource-stickiness: 100 }}\n    resources:\n      \
         store-fs: {{ primitive: \"ocf:heartbeat:Filesystem\", params: {{ device: {device}, directory: {MOUNT}, \
         fstype: ext4 }}, operations: {{ monitor: {{ interval: 10s }} }} }}\n      store: {{ group: [store-fs] }}\n"
    )
}

/// The disk is where it was for the survivor, and so is every record that was told to be stable.
fn on_a_shared_disk(lab: &mut TestLab) {
    lab.web("", &store("/srv/shared"));
    lab.hactl("apply", &["--yes"]).expect(0);
    let report = drill(lab, &["--patience", "1m"], 0);
    // A mounted file system goes before an address.
    assert_eq!(report["group"], "store");
    moved(&report);
    let writes = &report["writes"];
    assert_eq!(writes["lost"], 0, "{writes}");
    assert!(writes["acknowledged"].as_u64().unwrap() > 100, "before and after the loss: {writes}");
    assert!(writes["outage_ms"].as_u64().unwrap() > 0, "{writes}");
    let survivor = report["survivor"].as_str().unwrap();
    assert_eq!(lab.on(survivor, &format!("ls -A {MOUNT}")).trim(), "lost+found", "its file is gone again");
    lab.say(&format!("on a shared disk: {writes}"));
}

/// Ctrl-C before the cut: nothing happens, nothing is left.
fn interrupted(lab: &TestLab) {
    let holder = lab.on("alpha", "crm_resource --resource store --locate --quiet");
    let booted = |node: &str| lab.on(node, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1");
    let before = booted(holder.trim());
    let words = ["--drill", "failover", "--yes", "--patience", "1m"];
    let mut run = Program::start(&mut lab.command("verify", &words));
    run.line_that(RUN_LIMIT, |line| line.contains("Measured by records")).expect("the drill begins");
    lab.wait_on(holder.trim(), "the writer is at work", BOOT_LIMIT, &format!("ls {MOUNT}/.hactl-drill-*"));
    run.interrupt();
    run.finish(RUN_LIMIT).expect(130).warns("before any power was cut");
    assert_eq!(booted(holder.trim()), before, "it goes on running");
    assert_eq!(lab.on(holder.trim(), &format!("ls -A {MOUNT}")).trim(), "lost+found");
}

/// Every node has a disk of its own under the same name: what was acknowledged is on a disk that the survivor does not
/// have, and the drill says so.
fn on_disks_of_their_own(lab: &mut TestLab) {
    for node in NODES {
        lab.on(node, &format!("ln -sfn /dev/disk/by-id/virtio-{node}-data1 /srv/own"));
        lab.on(node, "blkid -p /srv/own >/dev/null || mkfs.ext4 -q -F /srv/own");
    }
    lab.web("", &store("/srv/own"));
    lab.hactl("apply", &["--yes"]).expect(0);
    let report = drill(lab, &["--patience", "1m"], 8);
    let lost = report["writes"]["lost"].as_u64().unwrap();
    assert!(lost >= 100, "everything that was acknowledged before: {report}");
    assert!(report["problems"][0].as_str().unwrap().contains("is not on /mnt/store"), "{report}");
    lab.say(&format!("on disks of their own: {lost} acknowledged writes are lost, and that is found"));
}

/// What speaks against a drill, each with exit code 5 and before anything happens.
fn refused(lab: &mut TestLab) {
    let refuses = |lab: &TestLab, more: &[&str], words: &str| {
        let patience: &[&str] = if more.contains(&"--patience") { &[] } else { &["--patience", "1m"] };
        let all = [&["--drill", "failover", "--yes"], patience, more].concat();
        lab.hactl("verify", &all).expect(5).warns(words).warns("nothing was changed");
    };
    refuses(lab, &["--drill-target", "nowhere"], "`nowhere` is no group");

    // The group may run on one node only.
    let holder = lab.on("alpha", "crm_resource --resource web --locate --quiet");
    let bans: String = NODES
        .iter()
        .filter(|node| **node != holder.trim())
        .map(|node| format!("      - {{ id: not-{node}, location: web, node: {node}, score: -INFINITY }}\n"))
        .collect();
    lab.web("", &format!("    constraints:\n{bans}"));
    lab.hactl("apply", &["--yes"]).expect(0);
    refuses(lab, &[], "would start web nowhere");

    // Something is wrong already.
    lab.web("", "");
    lab.hactl("apply", &["--yes"]).expect(0);
    lab.on("beta", "crm_standby --node beta --update on");
    refuses(lab, &["--patience", "0s"], "not as it should be before the drill");
    lab.on("beta", "crm_standby --node beta --delete");

    // Nobody could cut the power.
    lab.nodes = without_fencing(&lab.nodes);
    lab.web("", "");
    lab.hactl("apply", &["--yes"]).expect(0);
    refuses(lab, &[], "no working fencing");
    lab.say("refused: no such group, nowhere to go, not clean, not fenced");
}

/// The inventory of the lab with fencing switched off, which it has to give a reason for.
fn without_fencing(nodes: &str) -> String {
    let (before, _) = nodes.split_once("        fencing:\n").expect("the lab has fencing");
    format!("{before}        fencing: {{ disabled: \"a test of what is refused then\" }}\n")
}

/// Drills and returns the report.
#[track_caller]
fn drill(lab: &TestLab, more: &[&str], code: i32) -> Value {
    let mut all = vec!["--drill", "failover", "--yes", "--json"];
    all.extend(more);
    let report = lab.hactl("verify", &all).expect(code).json();
    assert_eq!((&report["format"], &report["drill"]), (&Value::from(1), &Value::from("failover")));
    report
}

/// Another node has it, and the one that lost its power is back.
#[track_caller]
fn moved(report: &Value) {
    let (victim, survivor) = (report["victim"].as_str().unwrap(), report["survivor"].as_str().unwrap());
    assert_ne!(victim, survivor, "{report}");
    assert_ne!(report["asked"].as_str().unwrap(), victim, "{report}");
    for time in ["fenced_after_ms", "back_after_ms"] {
        assert!(report[time].as_u64().is_some(), "{time}: {report}");
    }
    assert_eq!(report["problems"], Value::Array(Vec::new()));
}
