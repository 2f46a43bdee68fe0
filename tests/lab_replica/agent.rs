//! The OCF agent `ocf:hactl:replica`: what `ocf-tester` says of it, and a process that is killed under a mounted file system.

use std::time::Duration;

use crate::lab::TestLab;

use super::volume::{HostDevice, SYNC_LIMIT, applied, describe, sides};

/// Longest time until Pacemaker has noticed and repaired.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn agent_and_recovery() {
    let mut lab = TestLab::up("replica-agent", &["--nodes", "2", "--package", "libxml2-utils"]);
    describe(&mut lab, "");
    applied(&lab);
    killed_under_a_mount(&lab);
    tester(&lab);
}

/// Whoever writes gets errors and does not hang; Pacemaker brings the volume back, with what was on stable storage.
fn killed_under_a_mount(lab: &TestLab) {
    let (holder, _) = sides(lab, "srv");
    let device = HostDevice::of(lab, holder);
    lab.on(holder, "echo kept >/srv/file && sync /srv/file");
    lab.on(holder, "kill -9 $(systemctl show --property=MainPID --value hactl-replica@srv)");
    let write =
        "timeout 20 dd if=/dev/zero of=/srv/other bs=4096 count=1 conv=fsync status=none; echo ended with $?";
    let said = lab.on(holder, write);
    assert_eq!(said.trim(), "ended with 1", "an error within the time, and no hang");
    let noticed = "crm_mon -1r | grep -q '^  . srv-replica .*not running'";
    lab.wait_on(holder, "Pacemaker notices", RECOVERY_LIMIT, noticed);
    let back = "crm_resource --wait --timeout=10 && on=$(crm_resource --resource srv-ip --locate --quiet) && [ -n \"$on\" ]";
    lab.wait_on(holder, "Pacemaker has recovered it", RECOVERY_LIMIT, back);
    let (now, _) = sides(lab, "srv");
    assert_eq!(lab.on(now, "cat /srv/file && touch /srv/again").trim(), "kept");
    let equal = "[ \"$(hactl-replica dstate srv)\" = UpToDate/UpToDate ]";
    lab.wait_on(now, "both sides are equal", SYNC_LIMIT, equal);
    assert!(device.is_gone(), "the device that was left is gone with its last user");
    lab.on(now, "crm_resource --cleanup");
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    lab.say("killed under a mounted file system: errors, no hang, and Pacemaker brings it back");
}

/// By hand, without the cluster: what a killed process has left goes by `down`, and `up` starts the unit, not a process beside it.
fn killed_and_put_down(lab: &TestLab, node: &str) {
    let device = HostDevice::of(lab, node);
    lab.on(node, "umount /srv && kill -9 $(systemctl show --property=MainPID --value hactl-replica@srv)");
    lab.on(node, "hactl-replica down srv");
    assert!(device.is_gone(), "nothing uses the device that was left");
    lab.on(node, "! grep -q /run/hactl/replica/srv /proc/self/mounts && ! [ -L /dev/hactl/by-res/srv ]");
    lab.on(
        node,
        "hactl-replica up srv && systemctl is-active --quiet hactl-replica@srv && hactl-replica down srv",
    );
    lab.on(node, "systemctl stop hactl-replica@srv && hactl-replica down srv");
}

/// The tester starts, promotes, demotes and stops it by itself: the cluster must leave it alone meanwhile.
fn tester(lab: &TestLab) {
    let (holder, _) = sides(lab, "srv");
    let alone = "crm_attribute --name maintenance-mode --update true && crm_resource --wait --timeout=60";
    lab.on("alpha", alone);
    killed_and_put_down(lab, holder);
    lab.on(holder, "apt-get -qq -y install libxml2-utils >/dev/null 2>&1");
    let agent = "/usr/lib/ocf/resource.d/hactl/replica";
    let said = lab.on(
        holder,
        &format!("OCF_ROOT=/usr/lib/ocf ocf-tester -v -n srv-replica -o volume=srv {agent} 2>&1"),
    );
    assert!(said.contains("passed all tests"), "{said}");
    lab.say("ocf-tester passes");
}
