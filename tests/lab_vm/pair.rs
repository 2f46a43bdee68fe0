//! Two machines with a disk each and one that both see.

use std::time::{Duration, Instant};

use crate::lab::TestLab;
use crate::refusals::refusals;

/// Longest time until a machine that was reset or fenced is back.
const BACK_LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn a_pair_of_virtual_machines() {
    let options =
        ["--backend", "vm", "--nodes", "2", "--baked", "--shared-disk", "sbd=16M", "--boot-delay", "0"];
    let mut lab = TestLab::up("pair", &options);
    bare(&lab);
    refusals(&mut lab);
    disks(&lab);
    disk_faults(&lab);
    stands_still(&lab);
    watchdog(&lab);
    cables(&lab);
    shut_down(&lab);
}

/// A node is itself, with a kernel of its own and nothing running on it.
fn bare(lab: &TestLab) {
    for node in ["alpha", "beta"] {
        assert_eq!(lab.on(node, "uname -n").trim(), node);
        assert_eq!(lab.on(node, "systemctl is-system-running").trim(), "running");
        lab.on(node, "! systemctl is-active corosync pacemaker sbd drbd haproxy");
        lab.on(node, "! systemctl is-enabled corosync pacemaker sbd haproxy");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the host has a kernel");
    assert_ne!(boot_id(lab, "alpha"), host, "the node has a kernel of its own");
    let ids = ["alpha", "beta"].map(|node| lab.on(node, "cat /etc/machine-id"));
    assert_ne!(ids[0], ids[1], "machine ids are the nodes' own");
    // The package repository is the container lab's.
    lab.on(
        "beta",
        "apt-get update -q && apt-get install -q --yes --no-install-recommends bc && bc --version",
    );
    lab.say("two machines answer, each itself, and install packages");
}

/// Disks have the names that an inventory uses, and the shared one is one disk.
fn disks(lab: &TestLab) {
    let list = "lsblk --noheadings --nodeps --bytes --output SERIAL,SIZE | sort | tr -s ' ' | grep -v hactl-lab-root";
    assert_eq!(lab.on("alpha", list).trim(), "alpha-data1 268435456\nshared-sbd 16777216");
    assert_eq!(lab.on("beta", list).trim(), "beta-data1 268435456\nshared-sbd 16777216");
    let shared = "/dev/disk/by-id/virtio-shared-sbd";
    lab.on(
        "alpha",
        &format!("echo written by alpha | dd of={shared} bs=512 conv=sync oflag=direct status=none"),
    );
    let read = lab.on("beta", &format!("dd if={shared} bs=512 count=1 iflag=direct status=none | head -n 1"));
    assert_eq!(read.trim_end_matches('\0').trim(), "written by alpha");
    lab.on("alpha", "test ! -e /dev/disk/by-id/virtio-beta-data1");
    lab.say("disks have their names, and both nodes see the shared one");
}

/// Disks grow, fail, are slow and are replaced under a running machine, and a broken one stays broken over a loss of power.
fn disk_faults(lab: &TestLab) {
    let disk = "/dev/disk/by-id/virtio-beta-data1";
    let size = || lab.on("beta", &format!("blockdev --getsize64 {disk}")).trim().to_owned();
    lab.fault(&["resize-disk", "beta", "data1", "288MiB"]);
    assert_eq!(size(), (288 << 20).to_string());
    let write = format!("dd if=/dev/urandom of={disk} bs=4k count=8 oflag=direct status=none");
    lab.on("beta", &write);
    lab.fault(&["fail-disk", "beta", "data1"]);
    lab.on("beta", &format!("! {write} 2>/dev/null"));
    lab.fault(&["power-cut", "beta"]);
    lab.fault(&["power-on", "beta"]);
    lab.on("beta", &format!("! {write} 2>/dev/null"));
    lab.fault(&["heal", "beta"]);
    lab.on("beta", &write);
    // 8 requests at 2 per second; the first ones may pass at once.
    lab.fault(&["slow-disk", "beta", "data1", "--iops", "2"]);
    let took = lab.on("beta", &format!("s=$(date +%s%N); {write}; echo $((($(date +%s%N) - s) / 1000000))"));
    let took: u64 = took.trim().parse().expect("milliseconds");
    assert!(took > 2000, "8 requests at 2 per second were done after {took} ms");
    lab.fault(&["replace-disk", "beta", "data1"]);
    lab.wait_on("beta", "the new disk is there", BACK_LIMIT, &format!("test -b {disk}"));
    assert_eq!(size(), (288 << 20).to_string());
    lab.on("beta", &format!("cmp --bytes 1M {disk} /dev/zero && {write}"));
    lab.say("a disk grew, failed, was slow and was replaced");
}

/// A frozen machine does nothing at all, and goes on where it was.
fn stands_still(lab: &TestLab) {
    let boot = boot_id(lab, "beta");
    lab.fault(&["freeze", "beta"]);
    assert_eq!(lab.power("beta"), ("on".to_owned(), true));
    let beta = &lab.links()["beta"][0];
    lab.on("alpha", &format!("! timeout 3 bash -c '</dev/tcp/{beta}/22'"));
    lab.fault(&["thaw", "beta"]);
    assert_eq!(lab.power("beta"), ("on".to_owned(), false));
    assert_eq!(boot_id(lab, "beta"), boot);
    lab.say("a machine was frozen and thawed");
}

fn boot_id(lab: &TestLab, node: &str) -> String {
    lab.on(node, "cat /proc/sys/kernel/random/boot_id")
}

/// A node that stops feeding its watchdog is reset by it.
fn watchdog(lab: &TestLab) {
    let before = boot_id(lab, "alpha");
    assert_eq!(lab.on("alpha", "cat /sys/class/watchdog/watchdog0/identity").trim(), "i6300ESB timer");
    // Opened, never fed and not closed in the way that says it is meant so.
    lab.on("alpha", "wdctl --settimeout 5 /dev/watchdog0 >/dev/null && echo x >/dev/watchdog0");
    let deadline = Instant::now() + BACK_LIMIT;
    let after = loop {
        let ran = lab.try_on("alpha", "cat /proc/sys/kernel/random/boot_id");
        if ran.code == Some(0) && ran.out != before {
            break ran.out;
        }
        assert!(Instant::now() < deadline, "the watchdog did not reset alpha\n{ran}");
        std::thread::sleep(Duration::from_millis(500));
    };
    assert_ne!(after, before);
    lab.say("a watchdog that was not fed reset its node");
}

/// Cables are cut and healed; the host keeps its own.
fn cables(lab: &TestLab) {
    let links = lab.links();
    let reaches = |network: usize| {
        let address = &links["beta"][network];
        lab.try_on("alpha", &format!("timeout 5 bash -c '</dev/tcp/{address}/22'")).code == Some(0)
    };
    assert!(reaches(0) && reaches(1), "before the fault");
    lab.fault(&["partition", "alpha", "beta", "--network", "2"]);
    assert!(reaches(0) && !reaches(1), "parted on network 2");
    lab.fault(&["heal"]);
    assert!(reaches(1), "healed");
    lab.say("a cable was cut and healed");
}

/// A machine that is shut down from inside is off, and power-on brings it back with what it had.
fn shut_down(lab: &TestLab) {
    lab.on("beta", "touch /etc/kept && sync && systemctl --no-block poweroff");
    wait_until_off(lab, "beta");
    lab.fault(&["power-on", "beta"]);
    lab.on("beta", "test -e /etc/kept && test \"$(uname -n)\" = beta");
    lab.fault(&["power-cut", "beta"]);
    assert_eq!(lab.power("beta").0, "off");
    lab.say("shut down, switched on, cut off");
}

fn wait_until_off(lab: &TestLab, node: &str) {
    let deadline = Instant::now() + BACK_LIMIT;
    while lab.power(node).0 != "off" {
        assert!(Instant::now() < deadline, "{node} is not off after {BACK_LIMIT:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
