//! SBD with the machines' watchdogs, on a disk that two share and without a disk on three: carried out by `hactl apply`,
//! and every way to die.

use std::time::{Duration, Instant};

use crate::lab::TestLab;

/// The disk that both nodes see.
const DISK: &str = "/dev/disk/by-id/virtio-shared-sbd";
/// Seconds without a sign of life after which a watchdog resets its node; a message counts as delivered after twice that.
const WATCHDOG_S: u64 = 10;
/// Longest time until a node that is to die has died: corosync's token and consensus, the delay before fencing, the
/// watchdog, and a boot that is emulated.
const DEATH_LIMIT: Duration = Duration::from_secs(300);
/// Longest time until a node that died is a member again.
const BACK_LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn sbd_on_a_shared_disk() {
    let options =
        ["--backend", "vm", "--nodes", "2", "--baked", "--shared-disk", "sbd=16M", "--disks", "none"];
    let mut lab = TestLab::up("sbd", &options);
    describe(&mut lab);
    set_up(&lab);
    fenced_by_message(&lab);
    without_network(&lab);
    without_disk(&lab);
    without_both(&lab);
    let plan = lab.hactl("plan", &["--detailed-exitcode"]).expect(0);
    lab.say(&format!("after all that there is nothing to change: {}", plan.out.trim()));
}

pub(crate) fn sbd_without_a_disk() {
    let mut lab =
        TestLab::up("sbd-diskless", &["--backend", "vm", "--nodes", "3", "--baked", "--disks", "none"]);
    // Pacemaker fences nobody while it has nothing to run.
    instead_of_fencing(
        &mut lab,
        &format!(
            "        sbd: {{ devices: [], watchdog_timeout_s: {WATCHDOG_S} }}\n    resources:\n      vip:\n        \
             primitive: ocf:heartbeat:IPaddr2\n        params: {{ ip: \"${{virtual_ip}}\", cidr_netmask: 24 }}\n"
        ),
    );
    lab.hactl("apply", &["--yes"]).expect(0).warns("Verified");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0);
    let nodes = ["alpha", "beta", "gamma"];
    for node in nodes {
        lab.on(node, "systemctl is-active sbd && ! sh -c 'exec 3>/dev/watchdog' 2>/dev/null");
    }
    lab.say("SBD without a disk carried out; second plan empty");
    let before = nodes.map(|node| boot_id(&lab, node));
    lab.fault(&["cut-link", "gamma"]);
    died(&lab, "gamma", &before[2]);
    let cleared = "crm_mon --one-shot | grep -Eq 'OFFLINE: \\[ gamma \\]'";
    lab.wait_on("alpha", "the majority takes it for dead", DEATH_LIMIT, cleared);
    lab.fault(&["heal"]);
    let online = "crm_mon --one-shot | grep -Eq 'Online: \\[ alpha beta gamma \\]'";
    for node in ["alpha", "gamma"] {
        lab.wait_on(node, "all nodes are online", BACK_LIMIT, online);
    }
    assert_eq!(["alpha", "beta"].map(|node| boot_id(&lab, node)), before[..2], "the majority lives");
    lab.hactl("verify", &["--patience", "5m"]).expect(0);
    lab.say("a node without a majority was reset by its watchdog, and came back");
}

/// The lab's own inventory, with SBD on the shared disk instead of the lab's fence device.
fn describe(lab: &mut TestLab) {
    let claims = ["alpha", "beta"].map(|node| format!("{node}: {{ sbd: {DISK} }}")).join(", ");
    instead_of_fencing(
        lab,
        &format!(
            "        fencing: {{ agent: fence_sbd }}\n        sbd: {{ watchdog_timeout_s: {WATCHDOG_S} }}\n    \
             claims: {{ {claims} }}\n"
        ),
    );
}

fn instead_of_fencing(lab: &mut TestLab, lines: &str) {
    let (nodes, _) = lab.nodes.split_once("        fencing:\n").expect("the lab sets up fencing");
    lab.nodes = format!("{nodes}{lines}");
    lab.write();
}

/// From bare nodes to a verified cluster, and nothing to do after that.
fn set_up(lab: &TestLab) {
    lab.hactl("apply", &["--yes"]).expect(0).warns("Verified");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0);
    let header = lab.on("beta", &format!("sbd -d {DISK} dump"));
    for (name, seconds) in [("watchdog", WATCHDOG_S), ("msgwait", 2 * WATCHDOG_S)] {
        let line = header.lines().find(|line| line.contains(&format!("({name})"))).expect("its timeouts");
        assert!(line.ends_with(&format!(": {seconds}")), "{header}");
    }
    for node in ["alpha", "beta"] {
        // The daemon has the watchdog open: nobody else gets it.
        lab.on(node, "systemctl is-active sbd && ! sh -c 'exec 3>/dev/watchdog' 2>/dev/null");
        assert_eq!(lab.on(node, "cat /sys/class/watchdog/watchdog0/state").trim(), "active");
        let slots = lab.on(node, &format!("sbd -d {DISK} list"));
        assert!(slots.contains("alpha") && slots.contains("beta"), "both have a slot: {slots}");
    }
    lab.say("SBD carried out: one header, a slot and a fed watchdog for each node; second plan empty");
}

/// Pacemaker's fencing goes through the disk, and the node that comes back is a member again.
fn fenced_by_message(lab: &TestLab) {
    let before = boot_id(lab, "beta");
    let began = Instant::now();
    lab.on("alpha", "timeout 110 stonith_admin --reboot beta --timeout 100");
    lab.say(&format!("fence_sbd was done after {:.0} s", began.elapsed().as_secs_f64()));
    died(lab, "beta", &before);
    back(lab);
    let history = lab.on("alpha", "stonith_admin --history beta");
    assert!(history.contains("reboot of beta successful"), "{history}");
}

/// A node that loses the network is shot by the other one.
fn without_network(lab: &TestLab) {
    let before = boot_id(lab, "beta");
    let survivor = boot_id(lab, "alpha");
    lab.fault(&["cut-link", "beta"]);
    died(lab, "beta", &before);
    assert_eq!(boot_id(lab, "alpha"), survivor, "the other one lives");
    lab.fault(&["heal"]);
    back(lab);
    lab.say("a node that lost the network died and came back");
}

/// A node that loses the disk alone lives on as long as its peer sees it: SBD asks Pacemaker. It is a member again of what the
/// disk is for as soon as the disk is back.
fn without_disk(lab: &TestLab) {
    let ids = ["alpha", "beta"].map(|node| boot_id(lab, node));
    lab.fault(&["fail-disk", "beta", "sbd"]);
    lab.on("beta", &format!("! dd if={DISK} of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null"));
    let lost = "journalctl -u sbd | grep -q 'Majority of devices lost'";
    lab.wait_on("beta", "SBD has lost the disk", DEATH_LIMIT, lost);
    // Longer than the watchdog would have waited.
    let waited = format!("for i in $(seq {}); do sleep 1; done; systemctl is-active sbd", WATCHDOG_S + 2);
    lab.on("beta", &waited);
    assert_eq!(["alpha", "beta"].map(|node| boot_id(lab, node)), ids, "nobody died");
    lab.say("a node that lost the disk alone lives on, as long as its peer sees it");
}

/// Without disk and network nothing reaches the node: its watchdog kills it, before the other one takes it for dead.
fn without_both(lab: &TestLab) {
    let before = boot_id(lab, "beta");
    let since = lab.on("alpha", "date +%s");
    lab.fault(&["cut-link", "beta"]);
    died(lab, "beta", &before);
    let reset = lab.on("beta", "date --date \"$(uptime --since)\" +%s");
    lab.fault(&["heal"]);
    let fenced = format!(
        "journalctl -u pacemaker --since @{} | grep -q \"Operation 'reboot' targeting beta by alpha.*: OK\"",
        since.trim()
    );
    lab.wait_on("alpha", "the other one takes it for dead", DEATH_LIMIT, &fenced);
    let when = format!(
        "journalctl -u pacemaker --output short-unix --since @{} | grep \"Operation 'reboot' targeting beta by alpha.*: OK\" \
         | tail -n 1 | cut -d. -f1",
        since.trim()
    );
    let (reset, taken): (i64, i64) = (number(&reset), number(&lab.on("alpha", &when)));
    assert!(reset <= taken, "it was reset at {reset}, taken for dead at {taken}");
    back(lab);
    lab.say(&format!(
        "a node without disk and network was reset by its watchdog, {} s before the other one took it for dead",
        taken - reset
    ));
}

fn number(text: &str) -> i64 {
    text.trim().parse().expect("seconds since the epoch")
}

fn boot_id(lab: &TestLab, node: &str) -> String {
    lab.on(node, "cat /proc/sys/kernel/random/boot_id")
}

/// Waits until a node has booted anew.
#[track_caller]
fn died(lab: &TestLab, node: &str, before: &str) {
    let other = format!("test \"$(cat /proc/sys/kernel/random/boot_id)\" != {}", before.trim());
    lab.wait_on(node, "it has booted anew", DEATH_LIMIT, &other);
    lab.say(&format!("{node} died and boots"));
}

/// Waits until both nodes are members and everything is well.
#[track_caller]
fn back(lab: &TestLab) {
    let online = "crm_mon --one-shot | grep -Eq 'Online: \\[ alpha beta \\]'";
    lab.wait_on("alpha", "both nodes are online", BACK_LIMIT, online);
    lab.wait_on("beta", "both nodes are online", BACK_LIMIT, online);
    lab.hactl("verify", &[]).expect(0);
    lab.say("both nodes are members, and the cluster is well");
}
