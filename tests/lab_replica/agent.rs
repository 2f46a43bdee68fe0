//! The OCF agent `ocf:hactl:replica`: what `ocf-tester` says of it, and a process that is killed under a mounted file system.

use std::time::Duration;

use crate::lab::TestLab;

use super::volume::{MEMBERS, SYNC_LIMIT, applied, describe, sides};

/// Longest time until Pacemaker has noticed and repaired.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn agent_and_recovery() {
    let mut lab = TestLab::up("replica-agent", &["--nodes", "2"]);
    describe(&mut lab, "");
    applied(&lab);
    killed_under_a_mount(&lab);
    tester(&lab);
}

/// Whoever writes gets errors and does not hang; Pacemaker brings the volume back, with what was on stable storage.
fn killed_under_a_mount(lab: &TestLab) {
    let (holder, _) = sides(lab, "srv");
    lab.on(holder, "echo kept >/srv/file && sync /srv/file");
    let pid = |node: &str| lab.on(node, "systemctl show --property=MainPID --value hactl-replica@srv");
    let before = pid(holder);
    lab.on(holder, "kill -9 $(systemctl show --property=MainPID --value hactl-replica@srv)");
    let fails = "! timeout 20 dd if=/dev/zero of=/srv/other bs=4096 count=1 conv=fsync status=none";
    let said = lab.on(holder, &format!("{fails}; echo $?"));
    assert_eq!(said.trim(), "0", "an error within the time, and no hang");
    let back = "findmnt -n /srv && grep -qx kept /srv/file && touch /srv/again";
    lab.wait_on(
        holder,
        "Pacemaker has recovered it",
        RECOVERY_LIMIT,
        &format!("{back} || ssh -o BatchMode=yes other true"),
    );
    assert_ne!(pid(holder), before, "another process serves it");
    lab.wait_on(
        holder,
        "both sides are equal",
        SYNC_LIMIT,
        "[ \"$(hactl-replica dstate srv)\" = UpToDate/UpToDate ]",
    );
    lab.on("alpha", "crm_resource --cleanup --resource srv-replica && crm_resource --cleanup --resource srv");
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    lab.say("killed under a mounted file system: errors, no hang, and Pacemaker brings it back");
}

/// The tester starts, promotes, demotes and stops it by itself: the cluster must leave it alone meanwhile.
fn tester(lab: &TestLab) {
    lab.on(
        "alpha",
        "crm_attribute --name maintenance-mode --update true && crm_resource --wait --timeout=60",
    );
    let (holder, other) = sides(lab, "srv");
    lab.on(holder, "umount /srv && hactl-replica secondary srv");
    for node in MEMBERS {
        lab.on(node, "hactl-replica down srv; systemctl stop hactl-replica@srv");
    }
    lab.on(other, "systemctl start hactl-replica@srv && hactl-replica up srv");
    let agent = "/usr/lib/ocf/resource.d/hactl/replica";
    let said = lab.on(holder, &format!("ocf-tester -v -n srv-replica -o volume=srv {agent} 2>&1"));
    assert!(said.contains("passed all tests"), "{said}");
    lab.say("ocf-tester passes");
}
