//! `inventory/nfs-pair.yml` on two bare virtual machines: from blank disks to an export that moves, and what may happen to it.

use std::time::{Duration, Instant};

use crate::lab::{Program, RUN_LIMIT, Ran, TestLab};

/// Longest time until the cluster has done what was asked of it, in an emulated machine.
const CLUSTER_LIMIT: Duration = Duration::from_secs(600);
/// Longest time until a node that lost its power is back and whole.
const BACK_LIMIT: Duration = Duration::from_secs(600);
/// Both sides hold the same.
const IN_SYNC: &str = "grep -q 'cs:Connected ro:[A-Za-z]*/[A-Za-z]* ds:UpToDate/UpToDate' /proc/drbd";
/// What the example says of the volume's protocol, and what that is changed to.
const FIRST: &str = "            protocol: C\n";
const CHANGED: &str = "            protocol: B\n            net: { verify-alg: sha1, max-buffers: 4000 }\n";
/// The steps that a run is killed at: between any two of them lies a state of the disks that the next run must understand.
const KILLED_AT: [&str; 6] = [
    "write /etc/drbd.d/srv.res",
    "make the metadata of DRBD",
    "bring up volume srv",
    "make this side the source",
    MAKES_FILE_SYSTEM,
    "demote volume srv",
];
/// Killed there, it leaves one side promoted, outside of the cluster.
const MAKES_FILE_SYSTEM: &str = "make ext4 on /dev/drbd0";

/// Bare: the packages are installed by the run.
const OPTIONS: [&str; 8] =
    ["--backend", "vm", "--nodes", "2", "--disks", "data1=128MiB", "--boot-delay", "0"];

pub(crate) fn a_file_service_on_two_nodes() {
    let mut lab = TestLab::up("nfs-pair", &OPTIONS);
    describe(&mut lab, FIRST);
    kill_runs(&lab);
    bring_up(&lab);
    moved(&lab);
    power_cut(&lab);
    options(&mut lab);
    split_brain(&mut lab);
    grown(&lab);
    new_disk(&lab);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// The example of the repository, for this lab, with these attributes of the volume for its protocol.
fn describe(lab: &mut TestLab, attributes: &str) {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/inventory/nfs-pair.yml"))
        .expect("the example can be read");
    assert!(
        example.contains("  nfs-pair:\n") && example.contains(FIRST),
        "the example is as this test knows it"
    );
    lab.services =
        example.replace("  nfs-pair:\n", &format!("  {}:\n", lab.name())).replace(FIRST, attributes);
    lab.write();
}

/// Runs are killed while they form the volume, each where the last one came to, and the next one goes on from there.
fn kill_runs(lab: &TestLab) {
    for step in KILLED_AT {
        let mut program = Program::start(&mut lab.command("apply", &["--yes", "--lock-timeout", "5m"]));
        let reached = program.line_that(RUN_LIMIT, |line| line.contains(step) && !line.contains(": ok: "));
        assert!(reached.is_some(), "the run after the last kill comes to `{step}`");
        program.kill();
        lab.say(&format!("killed at: {step}"));
        if step == MAKES_FILE_SYSTEM {
            held_open(lab);
        }
    }
}

/// The side that a killed run left promoted is not taken from whoever uses it: it is said who that is.
fn held_open(lab: &TestLab) {
    let promoted = ["alpha", "beta"]
        .into_iter()
        .find(|node| lab.try_on(node, "grep -q 'ro:Primary/Secondary' /proc/drbd").code == Some(0))
        .expect("one side is promoted");
    lab.on(other(promoted), "drbdadm primary srv 2>&1 | grep -q 'Multiple primaries not allowed'");
    lab.on(promoted, "systemd-run --quiet --unit holder sh -c 'exec sleep 600 </dev/drbd0'");
    let refused = lab.hactl("apply", &["--yes", "--lock-timeout", "5m"]).expect(5);
    told(&refused, "/dev/drbd0 is held open");
    told(&refused, "(sleep) has it open");
    lab.on(promoted, "systemctl stop holder");
    lab.say("a second side was not promoted, and a device that is held open is left to its user, by name");
}

fn bring_up(lab: &TestLab) {
    let ran = lab.hactl("apply", &["--yes", "--lock-timeout", "5m"]).expect(0);
    told(&ran, "Verified");
    told(&ran, "wait until volume srv is up to date on both sides");
    lab.on(&holder(lab), "test \"$(blkid --probe --match-tag LABEL --output value /dev/drbd0)\" = ''");
    for node in ["alpha", "beta"] {
        lab.on(node, IN_SYNC);
        assert_eq!(lab.on(node, "stat -c %a /etc/drbd.d/srv.res").trim(), "600");
        assert_eq!(lab.on(node, "stat -c %a /etc/drbd.d/hactl-common.conf").trim(), "400");
        lab.on(node, "! systemctl is-enabled drbd.service");
    }
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.hactl("status", &[]).expect(0).says("Connected UpToDate/UpToDate");
    let secret =
        lab.on("alpha", "sed -n 's/.*shared-secret \"\\(.*\\)\";/\\1/p' /etc/drbd.d/hactl-common.conf");
    let log = std::fs::read_to_string(lab.path("remote.log")).expect("the log of the run");
    assert!(secret.trim().len() >= 32 && !log.contains(secret.trim()), "the secret is in no log");
    lab.say(&format!(
        "applied and verified, the last run took {:.0} s; second plan empty",
        ran.took.as_secs_f64()
    ));
}

/// What a run did is on either of its outputs.
#[track_caller]
fn told(ran: &Ran, text: &str) {
    assert!(ran.out.contains(text) || ran.err.contains(text), "it was to do `{text}`\n{ran}");
}

/// Where the file system is mounted.
fn holder(lab: &TestLab) -> String {
    ["alpha", "beta"]
        .into_iter()
        .find(|node| lab.try_on(node, "grep -q '^/dev/drbd0 /srv ' /proc/mounts").code == Some(0))
        .expect("it is mounted somewhere")
        .to_owned()
}

fn other(node: &str) -> &'static str {
    if node == "alpha" { "beta" } else { "alpha" }
}

/// Pacemaker moves it, and what was written is there.
fn moved(lab: &TestLab) {
    let from = holder(lab);
    let to = other(&from);
    lab.on(&from, "dd if=/dev/urandom of=/srv/first bs=64k count=16 status=none && sync /srv/first");
    let sum = lab.on(&from, "sha256sum </srv/first");
    lab.on(
        &from,
        &format!("crm_resource --move --resource srv --node {to} && crm_resource --wait --timeout 500"),
    );
    lab.wait_on(to, "it is mounted there", CLUSTER_LIMIT, "test -e /srv/first");
    assert_eq!(lab.on(to, "sha256sum </srv/first"), sum);
    lab.on(to, "crm_resource --clear --resource srv && exportfs -s | grep -q '^/srv'");
    lab.say(&format!("moved from {from} to {to} by Pacemaker"));
}

/// The node that has it loses its power: the other one goes on with all that was written, and only what changed is copied back.
fn power_cut(lab: &TestLab) {
    let dead = holder(lab);
    let survivor = other(&dead);
    lab.on(&dead, "dd if=/dev/urandom of=/srv/second bs=64k count=16 conv=fsync status=none");
    let sum = lab.on(&dead, "sha256sum </srv/second");
    let began = Instant::now();
    lab.fault(&["power-cut", &dead]);
    lab.wait_on(survivor, "the survivor has it", CLUSTER_LIMIT, "test -e /srv/second");
    lab.say(&format!("the survivor had it after {:.0} s", began.elapsed().as_secs_f64()));
    assert_eq!(lab.on(survivor, "sha256sum </srv/second"), sum);
    lab.on(survivor, "dd if=/dev/urandom of=/srv/third bs=64k count=16 conv=fsync status=none");
    if lab.power(&dead).0 == "off" {
        lab.fault(&["power-on", &dead]);
    }
    lab.wait_on(&dead, "it has caught up", BACK_LIMIT, IN_SYNC);
    let received = lab.on(&dead, "sed -n 's/.* nr:\\([0-9]*\\) .*/\\1/p' /proc/drbd");
    let kib: u64 = received.trim().parse().expect("a number of KiB");
    assert!((1024..100 * 1024).contains(&kib), "{kib} KiB of 128 MiB were copied back");
    lab.hactl("verify", &["--patience", "5m"]).expect(0);
    lab.say(&format!("it is back; {kib} KiB were copied"));
}

/// The protocol and options are changed while everything runs.
fn options(lab: &mut TestLab) {
    describe(lab, CHANGED);
    told(&lab.hactl("apply", &["--yes"]).expect(0), "adjust volume srv");
    for node in ["alpha", "beta"] {
        lab.on(
            node,
            "drbdsetup show 0 | grep -q 'max-buffers.*4000' && grep -q 'cs:Connected .* B ' /proc/drbd",
        );
    }
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.say("protocol and options changed on both sides, nothing moved");
}

/// Both sides are made to write without each other; it is told, and resolved on order only.
fn split_brain(lab: &mut TestLab) {
    let keeps = holder(lab);
    let loses = other(&keeps);
    lab.on(&keeps, "crm_attribute --name maintenance-mode --update true");
    // With fencing, a side that is left would be outdated, and refuse to be promoted.
    for node in [keeps.as_str(), loses] {
        lab.on(node, "drbdsetup disk-options 0 --fencing dont-care");
    }
    lab.on(&keeps, "drbdadm disconnect srv && echo kept >/srv/kept && sync");
    lab.on(
        loses,
        "drbdadm disconnect srv; drbdadm primary srv && mkdir -p /mnt/lost \
         && mount /dev/drbd0 /mnt/lost && echo lost >/mnt/lost/lost && umount /mnt/lost && drbdadm secondary srv",
    );
    lab.on(&keeps, "drbdadm connect srv");
    lab.on(loses, "drbdadm connect srv");
    lab.wait_on(loses, "they refuse each other", CLUSTER_LIMIT, "grep -q cs:StandAlone /proc/drbd");
    let plan = lab.hactl("plan", &[]);
    let said = format!("{}{}", plan.out, plan.err);
    assert!(said.contains("split brain"), "{said}");
    let line = said
        .lines()
        .find(|line| line.trim_start().starts_with(&format!("discard: {{ node: {loses},")))
        .expect("the line that resolves it")
        .trim()
        .to_owned();
    lab.say(&format!("split brain found: {line}"));
    describe(lab, &format!("{CHANGED}            {line}\n"));
    for node in [keeps.as_str(), loses] {
        lab.on(node, "drbdsetup disk-options 0 --fencing resource-and-stonith");
    }
    lab.on(&keeps, "crm_attribute --name maintenance-mode --delete");
    told(&lab.hactl("apply", &["--yes"]).expect(0), "Verified");
    lab.on(&keeps, IN_SYNC);
    lab.on(&keeps, "test -e /srv/kept && test ! -e /srv/lost");
    describe(lab, CHANGED);
    lab.hactl("apply", &["--yes"]).expect(0);
    lab.say("split brain resolved as ordered");
}

/// Both disks grow, then the volume and its file system.
fn grown(lab: &TestLab) {
    let size = "df --output=size -B1M /srv | tail -n 1";
    let before: u64 = lab.on(&holder(lab), size).trim().parse().expect("a size");
    for node in ["alpha", "beta"] {
        lab.fault(&["resize-disk", node, "data1", "256MiB"]);
    }
    let ran = lab.hactl("apply", &["--yes"]).expect(0);
    told(&ran, "grow volume srv");
    told(&ran, "grow ext4");
    let after: u64 = lab.on(&holder(lab), size).trim().parse().expect("a size");
    assert!(after > before + 100, "{before} MiB became {after} MiB");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.say(&format!("grown from {before} to {after} MiB while mounted"));
}

/// The disk of the node that does not have it is another one after a power-cut: it gets metadata and the data.
fn new_disk(lab: &TestLab) {
    let survivor = holder(lab);
    let node = other(&survivor);
    lab.fault(&["power-cut", node]);
    lab.fault(&["replace-disk", node, "data1", "--size", "128MiB"]);
    // Fencing switches it on; before that it would only be reset once more.
    let cleared = format!("crm_mon --one-shot | grep -Eq 'OFFLINE: \\[ {node} \\]'");
    lab.wait_on(&survivor, "the dead node was fenced", CLUSTER_LIMIT, &cleared);
    lab.wait_on(
        node,
        "it is a member again",
        BACK_LIMIT,
        "crmadmin --status $(uname -n) 2>/dev/null | grep -Eq 'S_(NOT_DC|IDLE)'",
    );
    let refused = lab.hactl("plan", &[]).expect(5);
    told(&refused, "are of different sizes: ");
    lab.say("a disk of another size is refused");
    lab.fault(&["replace-disk", node, "data1", "--size", "256MiB"]);
    told(&lab.hactl("apply", &["--yes"]).expect(0), "make the metadata of DRBD");
    lab.wait_on(node, "the new disk has the data", CLUSTER_LIMIT, IN_SYNC);
    lab.hactl("verify", &["--patience", "5m"]).expect(0);
    lab.say(&format!("{node} got a new disk and the data"));
}
