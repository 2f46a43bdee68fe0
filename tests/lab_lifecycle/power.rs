//! Two nodes, one of which loses its power while it is being set up.

use std::time::Duration;

use crate::lab::{Program, RUN_LIMIT, Ran, TestLab};

/// Exit codes of a run that lost a node: the step that was on its way failed, or the node could not be reached.
const LOST_NODE: [i32; 2] = [1, 4];
/// Longest time until a node that was switched on again is fully there.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn power_lost_during_apply() {
    let mut lab = TestLab::up("power", &["--nodes", "2"]);
    lab.web("", "");

    // In the middle of dpkg's work: some packages are unpacked and none is configured, or a few are.
    let ran = cut_at(
        &lab,
        |line| line.starts_with("beta: install "),
        Some("ls /var/lib/dpkg/updates /var/lib/dpkg/info/libqb*"),
    );
    blames(&ran, "beta");
    // Everybody finds the node gone before anything is changed.
    let gone = lab.hactl("apply", &["--yes"]).expect(4);
    gone.warns("beta");
    power_on(&lab);

    let ran = cut_at(&lab, |line| line.starts_with("beta: start corosync.service"), None);
    blames(&ran, "beta");
    power_on(&lab);

    let ran = cut_at(&lab, |line| line.contains("wait until Pacemaker has"), None);
    assert!(ran.code != Some(0), "a cluster without beta is not what was asked for\n{ran}");
    power_on(&lab);

    lab.hactl("apply", &["--yes"]).expect(0);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    for node in ["alpha", "beta"] {
        lab.on(node, "test -z \"$(dpkg --audit)\"");
    }
    lab.say("5 done: beta lost its power three times during apply; running it again finished each time");
}

/// Runs apply until a line of it matches (and a command then succeeds on beta), and cuts beta's power.
#[track_caller]
fn cut_at(lab: &TestLab, matches: impl Fn(&str) -> bool, then: Option<&str>) -> Ran {
    let mut apply = Program::start(&mut lab.command("apply", &["--yes"]));
    apply.line_that(RUN_LIMIT, matches).expect("apply gets there");
    if let Some(shell) = then {
        lab.wait_on("beta", "dpkg is at work", BOOT_LIMIT, shell);
    }
    lab.fault(&["power-cut", "beta"]);
    let ran = apply.finish(RUN_LIMIT);
    lab.say(&format!(
        "beta lost its power; apply ended with {:?} after {:.1} s",
        ran.code,
        ran.took.as_secs_f64()
    ));
    ran
}

/// The run must have failed with a documented code, and must name the node and say what to do.
#[track_caller]
fn blames(ran: &Ran, node: &str) {
    assert!(ran.code.is_some_and(|code| LOST_NODE.contains(&code)), "1 or 4 was expected\n{ran}");
    ran.warns(&format!("{node}: FAILED: ")).warns("run again");
}

#[track_caller]
fn power_on(lab: &TestLab) {
    lab.fault(&["power-on", "beta"]);
    lab.wait_on(
        "beta",
        "it has booted",
        BOOT_LIMIT,
        "systemctl is-system-running | grep -qx 'running\\|degraded'",
    );
}
