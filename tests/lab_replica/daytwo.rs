//! A volume that is in use, and what happens to it later: its disks grow, both sides are made to go their own ways, a disk is
//! replaced. Each is planned, applied and verified while the volume stays mounted.

use std::time::Duration;

use crate::lab::{Ran, TestLab};

use super::volume::{IN_SYNC, SYNC_LIMIT, applied, describe, sides};

/// Longest time until the cluster has done what was asked of it.
const CLUSTER_LIMIT: Duration = Duration::from_secs(180);
/// What the disks have first: mkfs.xfs makes nothing smaller than 300 MiB.
const DISK: &str = "data1=384MiB";
/// What they grow to.
const GROWN: &str = "512MiB";
/// How much a file system must have grown by then, in MiB.
const GROWN_MIB: u64 = 100;

pub(crate) fn day_two() {
    let mut lab = TestLab::up("replica-days", &["--nodes", "2", "--disks", DISK]);
    described(&mut lab, "");
    applied(&lab);
    let (holder, _) = sides(&lab, "srv");
    lab.on(holder, "dd if=/dev/urandom of=/srv/first bs=64k count=64 status=none && sync /srv/first");
    let digest = lab.on(holder, "sha256sum </srv/first");
    grown(&lab);
    split_brain(&mut lab);
    new_disk(&lab);
    disk_changed_while_running(&lab);
    let (holder, _) = sides(&lab, "srv");
    assert_eq!(
        lab.on(holder, "sha256sum </srv/first"),
        digest,
        "what was written first is there to the last"
    );
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// The volume with XFS on it: to grow a mounted ext4, the kernel wants CAP_SYS_RESOURCE (fs/ext4/resize.c), which not every
/// machine gives to its containers, nor has itself.
fn described(lab: &mut TestLab, more: &str) {
    describe(lab, more);
    let plain = "mount: { path: /srv }";
    assert!(lab.services.contains(plain));
    lab.services = lab.services.replace(plain, "mount: { path: /srv, type: xfs }");
    lab.write();
}

/// What a run did is on either of its outputs.
#[track_caller]
fn told(ran: &Ran, text: &str) {
    assert!(ran.out.contains(text) || ran.err.contains(text), "it was to do `{text}`\n{ran}");
}

/// Both disks grow, then the volume and its file system, while it is mounted.
fn grown(lab: &TestLab) {
    let (holder, other) = sides(lab, "srv");
    let size = |node: &str| -> u64 {
        lab.on(node, "df --output=size -B1M /srv | tail -n 1").trim().parse().expect("a size")
    };
    let mounted = "findmnt -n -o ID /srv";
    let (before, mount) = (size(holder), lab.on(holder, mounted));
    lab.fault(&["resize-disk", holder, "data1", GROWN]);
    // One side alone is no growth: nothing is done, and it is told why.
    told(&lab.hactl("plan", &[]).expect(5), "are of different sizes");
    lab.fault(&["resize-disk", other, "data1", GROWN]);
    let ran = lab.hactl("apply", &["--yes"]).expect(0);
    told(&ran, "grow volume srv");
    told(&ran, "grow xfs");
    let after = size(holder);
    assert!(after > before + GROWN_MIB, "{before} MiB became {after} MiB");
    assert_eq!(lab.on(holder, mounted), mount, "it stayed mounted");
    lab.on(
        holder,
        "dd if=/dev/urandom of=/srv/grown bs=1M count=250 status=none conv=fsync && rm /srv/grown",
    );
    lab.wait_on(holder, "what is new is equal, too", SYNC_LIMIT, IN_SYNC);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.hactl("verify", &["--patience", "1m"]).expect(0);
    lab.say(&format!("grown from {before} to {after} MiB while mounted"));
}

/// Both sides are made to write without each other, by force and past the cluster; it is told, and resolved on order only.
fn split_brain(lab: &mut TestLab) {
    let (keeps, loses) = sides(lab, "srv");
    lab.on(keeps, "crm_attribute --name maintenance-mode --update true && crm_resource --wait --timeout=60");
    lab.on(keeps, "hactl-replica disconnect srv && echo kept >/srv/kept && sync /srv/kept");
    let by_itself = "hactl-replica primary srv";
    assert_ne!(lab.try_on(loses, by_itself).code, Some(0), "without force the fenced side is not promoted");
    // Nobody fences the other side now: I/O waits for that until it is told not to. Both nodes have one kernel, which knows the
    // file system by its UUID already.
    lab.on(
        loses,
        "hactl-replica primary --force srv && hactl-replica resume-io srv \
         && timeout 60 sh -c 'until [ -b /dev/hactl/by-res/srv ]; do sleep 0.2; done' \
         && mkdir -p /mnt/lost && mount -o nouuid /dev/hactl/by-res/srv /mnt/lost && echo lost >/mnt/lost/lost \
         && umount /mnt/lost && hactl-replica secondary srv",
    );
    // The side that is left waits for the other one already: an order that comes after the refusal would have it wait anew.
    lab.on(loses, "hactl-replica connect srv");
    lab.on(keeps, "hactl-replica connect srv");
    let refused = "[ \"$(hactl-replica cstate srv)\" = StandAlone ]";
    lab.wait_on(loses, "they refuse each other", CLUSTER_LIMIT, refused);
    lab.on(keeps, "crm_attribute --name maintenance-mode --delete && crm_resource --wait --timeout=60");
    let plan = lab.hactl("plan", &[]).expect(5);
    told(&plan, "split brain: both sides changed the volume");
    told(&plan, &format!("{keeps} (Primary"));
    told(&plan, &format!("{loses} (Secondary"));
    let said = format!("{}{}", plan.out, plan.err);
    let line = said
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with(&format!("discard: {{ node: {loses},")))
        .expect("the line that resolves it")
        .to_owned();
    lab.on(keeps, "test -e /srv/kept");
    lab.say(&format!("split brain found: {line}"));
    // Consent to lose another generation is none.
    described(lab, &format!("            discard: {{ node: {loses}, generation: AAAA000000000002 }}\n"));
    told(&lab.hactl("apply", &["--yes"]).expect(5), "AAAA000000000002");
    described(lab, &format!("            {line}\n"));
    told(&lab.hactl("apply", &["--yes"]).expect(0), "Verified");
    lab.wait_on(keeps, "both sides are equal", SYNC_LIMIT, IN_SYNC);
    assert_eq!(sides(lab, "srv").0, keeps, "it stayed where it was");
    lab.on(keeps, "test -e /srv/kept && test ! -e /srv/lost");
    // Nothing keeps the side that lost from being promoted later.
    let unfenced = "! cibadmin --query --scope constraints | grep -q hactl-fence";
    lab.wait_on(keeps, "the fence is taken away", CLUSTER_LIMIT, unfenced);
    described(lab, "");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.say("split brain resolved as ordered");
}

/// The disk of the node that does not have the volume is another one after a power-cut: it gets metadata and the data.
fn new_disk(lab: &TestLab) {
    let (survivor, node) = sides(lab, "srv");
    lab.fault(&["power-cut", node]);
    lab.fault(&["replace-disk", node, "data1"]);
    lab.wait_on(
        node,
        "it is a member again",
        CLUSTER_LIMIT,
        "crmadmin --status $(uname -n) 2>/dev/null | grep -Eq 'S_(NOT_DC|IDLE)'",
    );
    let ran = lab.hactl("apply", &["--yes"]).expect(0);
    told(&ran, "make the metadata of");
    assert_eq!(sides(lab, "srv").0, survivor, "it stayed where it was");
    whole_again(lab, survivor, node);
    lab.say(&format!("{node} got a new disk while it was off, and the data"));
}

/// The disk fails under a running node and is pulled; another one takes its place.
fn disk_changed_while_running(lab: &TestLab) {
    let (survivor, node) = sides(lab, "srv");
    lab.on(node, "hactl-replica detach srv");
    lab.fault(&["replace-disk", node, "data1"]);
    let ran = lab.hactl("apply", &["--yes"]).expect(0);
    told(&ran, "make the metadata of");
    assert_eq!(sides(lab, "srv").0, survivor, "it stayed where it was");
    whole_again(lab, survivor, node);
    lab.say(&format!("{node} got a new disk while it ran, and the data"));
}

/// Both sides are equal, block by block; the metadata behind the data is each side's own.
fn whole_again(lab: &TestLab, holder: &str, node: &str) {
    lab.wait_on(holder, "the new disk has the data", SYNC_LIMIT, IN_SYNC);
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    lab.on(holder, "sync -f /srv && fsfreeze -f /srv");
    let bytes = lab.on(holder, "blockdev --getsize64 /dev/hactl/by-res/srv");
    let blocks = bytes.trim().parse::<u64>().expect("a size") / 4096;
    let digest = |node: &str| {
        let disk = format!("/dev/disk/by-id/virtio-{node}-data1");
        lab.on(node, &format!("dd if={disk} iflag=direct bs=4096 count={blocks} status=none | sha256sum"))
    };
    let digests = [digest(holder), digest(node)];
    lab.on(holder, "fsfreeze -u /srv");
    assert_eq!(digests[0], digests[1], "both disks hold the same");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}
