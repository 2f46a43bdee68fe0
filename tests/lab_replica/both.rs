//! A volume that is promoted on both nodes at once: both write, also to the same blocks; each reads what the other wrote; and one
//! of them loses its power meanwhile.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Program, RUN_LIMIT, TestLab};

use super::volume::{IN_SYNC, MEMBERS, SYNC_LIMIT, applied};

/// Longest time until both sides are promoted (again).
const BOTH_LIMIT: Duration = Duration::from_secs(180);
/// The word for this side being promoted.
const PROMOTED: &str = "[ \"$(hactl-replica role srv)\" = Primary ]";
const DEVICE: &str = "/dev/hactl/by-res/srv";
/// One block of stdin, past every cache.
const PUT: &str = "dd of=/dev/hactl/by-res/srv oflag=direct bs=4096 count=1 iflag=fullblock status=none";
/// Where the nodes' own blocks begin; below are those that both write to.
const OWN: [u64; 2] = [1024, 32_768];
/// Blocks that both write to.
const SHARED: u64 = 4;
/// From so many answers of each on it counts as load.
const LOAD: u64 = 30;
/// The file that ends the writers.
const STOP: &str = "/run/writers-stop";

pub(crate) fn both_promoted() {
    let mut lab = TestLab::up("replica-both", &["--nodes", "2"]);
    lab.services = format!(
        "clusters:\n  {}:\n    barclamps:\n      pacemaker: {{}}\n      replica:\n        volumes:\n          srv:\n            \
         nodes: [alpha, beta]\n            dual_primary: true\n",
        lab.name()
    );
    lab.write();
    applied(&lab);
    both_are(&lab);
    lab.say("both sides are promoted");
    each_reads_what_the_other_wrote(&lab);
    power_cut_while_both_write(&lab);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// Both are promoted and equal.
fn both_are(lab: &TestLab) {
    for node in MEMBERS {
        lab.wait_on(node, "it is promoted", BOTH_LIMIT, PROMOTED);
        lab.wait_on(node, "both sides are equal", SYNC_LIMIT, IN_SYNC);
        lab.on(node, &format!("[ -b {DEVICE} ]"));
    }
}

/// Past every cache, as a cluster file system or a hypervisor does it; again and again at one place.
fn each_reads_what_the_other_wrote(lab: &TestLab) {
    for round in 0..4 {
        let (writer, reader) = (MEMBERS[round % 2], MEMBERS[1 - round % 2]);
        let text = format!("{writer} {round}");
        lab.on(writer, &format!("printf '%-4096s' '{text}' | {PUT} conv=notrunc"));
        let read = lab.on(reader, &format!("dd if={DEVICE} iflag=direct bs=4096 count=1 status=none"));
        assert_eq!(read.trim_end(), text, "{reader} reads what {writer} wrote");
    }
}

/// A writer on a node: blocks of its own, one after the other, each followed by one that both write to. It tells the numbers of
/// those that were answered.
fn writer(lab: &TestLab, member: usize) -> Program {
    let (node, own) = (MEMBERS[member], OWN[member]);
    let shell = format!(
        "put() {{ printf '%-4095s\\n' \"{node} $i\" | {PUT} conv=notrunc seek=$1; }}; i=0; rm -f {STOP}; \
         while ! [ -e {STOP} ]; do put $(({own} + i)) && put $((i % {SHARED})) && echo answered $i >&2; i=$((i + 1)); done"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    command.args(["lab", "ssh", "--name", lab.name(), node, "--", &shell]);
    Program::start(&mut command)
}

/// The numbers in what a writer said.
fn numbers(said: &str) -> Vec<u64> {
    said.lines().filter_map(|line| line.strip_prefix("answered ")?.parse().ok()).collect()
}

fn power_cut_while_both_write(lab: &TestLab) {
    let mut writers = [0, 1].map(|member| writer(lab, member));
    for writer in &mut writers {
        for _ in 0..LOAD {
            writer.line_that(RUN_LIMIT, |line| line.starts_with("answered ")).expect("it writes");
        }
    }
    let [survivor, victim] = MEMBERS;
    let [here, there] = writers;
    lab.fault(&["power-cut", victim]);
    let lost = there.finish(RUN_LIMIT);
    assert_ne!(lost.code, Some(0), "its node lost its power");
    // Frozen until the other one is fenced.
    lab.on(survivor, &format!("echo answered | {PUT} conv=notrunc,sync seek={SHARED}"));
    lab.say(&format!("{victim} lost its power, and {survivor} goes on"));
    both_are(lab);
    lab.on(survivor, &format!("touch {STOP}"));
    let kept = here.finish(RUN_LIMIT).expect(0);
    let answered = [numbers(&kept.err), numbers(&lost.err)];
    for (member, numbers) in answered.iter().enumerate() {
        for node in MEMBERS {
            none_is_missing(lab, node, member, numbers);
        }
    }
    both_disks_are_the_same(lab);
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    lab.say(&format!(
        "{victim} lost its power while both wrote: {} and {} blocks answered, none missing; both are promoted again",
        answered[0].len(),
        answered[1].len()
    ));
}

/// Every block that a writer was told is there, as this node reads it.
fn none_is_missing(lab: &TestLab, node: &str, member: usize, numbers: &[u64]) {
    let (own, writer) = (OWN[member], MEMBERS[member]);
    let count = numbers.iter().max().expect("some were answered") + 1;
    let read = format!("dd if={DEVICE} iflag=direct bs=4096 skip={own} count={count} status=none");
    let text = lab.on(node, &format!("{read} | tr -d ' \\0'"));
    let kept: Vec<&str> = text.lines().collect();
    let missing: Vec<&u64> =
        numbers.iter().filter(|number| !kept.contains(&format!("{writer}{number}").as_str())).collect();
    assert!(missing.is_empty(), "{node} lacks of what {writer} was answered: {missing:?}");
}

/// Block by block, past every cache; the metadata behind the data is each side's own.
fn both_disks_are_the_same(lab: &TestLab) {
    let bytes = lab.on(MEMBERS[0], &format!("blockdev --getsize64 {DEVICE}"));
    let blocks = bytes.trim().parse::<u64>().expect("a size") / 4096;
    let digest = |node: &str| {
        let disk = format!("/dev/disk/by-id/virtio-{node}-data1");
        lab.on(node, &format!("dd if={disk} iflag=direct bs=4096 count={blocks} status=none | sha256sum"))
    };
    assert_eq!(digest(MEMBERS[0]), digest(MEMBERS[1]), "both disks hold the same");
}
