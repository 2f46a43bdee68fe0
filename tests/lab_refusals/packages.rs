//! Installation that fails, and a run that is interrupted: the reason and what to do, then the same command completes.

use std::time::Duration;

use crate::lab::{Program, RUN_LIMIT};
use crate::setting::{BLOCKED, DIFFERENCES, FAILED, INTERRUPTED, NODES, STALE, Setting};

/// A barclamp that asks for a package that no repository has.
const MANIFEST: &str =
    "name: nonesuch\nversion: 0.1.0\nsummary: A package that is not to be had\ndistros: [debian-12]\n";
const RESOURCES: &str =
    "resources:\n  - id: packages\n    packages: { names: { debian: [hactl-no-such-package] } }\n";
/// Succeeds when no run holds the lock.
const LOCK_IS_FREE: &str = "flock --nonblock /run/hactl.lock true";
/// More than enough to get to a step that does not end.
const TIME_LIMIT: &str = "15s";
/// Longest time until a step has begun.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Found out on all nodes before anything is changed on any.
pub(crate) fn what_cannot_be_installed(setting: &mut Setting) {
    package_that_does_not_exist(setting);
    source_that_does_not_answer(setting);
}

pub(crate) fn installation_that_fails_or_is_interrupted_is_completed(setting: &mut Setting) {
    let saved = setting.lab.path("bare.plan");
    let saved = saved.to_str().expect("UTF-8").to_owned();
    let plan =
        setting.run(&setting.attempt("plan", &["--detailed-exitcode", "-o", &saved])).expect(DIFFERENCES);
    setting.printed.push_str(&plan.out);
    dpkg_that_fails(setting);
    out_of_time(setting);
    interrupted(setting);
    let done = setting.run(&setting.apply()).expect(0);
    done.warns("Verified");
    setting.run(&setting.attempt("plan", &["--detailed-exitcode"])).expect(0).says("Nothing to do");
    setting.lab.say("the same command completed what had failed and what was interrupted");
    let stale = setting.attempt("apply", &["--yes", &saved]);
    setting.refused("the plan that was saved before", &stale, STALE, &["stale"]);
}

fn package_that_does_not_exist(setting: &mut Setting) {
    let folder = setting.lab.path("packages");
    let one = folder.join("nonesuch");
    std::fs::create_dir_all(&one).expect("a folder");
    std::fs::write(one.join("barclamp.yml"), MANIFEST).expect("a file");
    std::fs::write(one.join("resources.yml"), RESOURCES).expect("a file");
    let folder = folder.to_str().expect("UTF-8").to_owned();
    let attempt = setting.attempt("apply", &["--yes", "--barclamps", &folder]).more("      nonesuch: {}\n");
    let says = [
        "failed alpha: check that",
        "failed beta: check that",
        "failed gamma: check that",
        "Unable to locate package hactl-no-such-package",
        "what to do: ",
        "/etc/apt/sources.list",
        "Nothing was changed",
    ];
    setting.refused("a package that is not to be had", &attempt, BLOCKED, &says);
}

/// One node cannot install: nothing is installed on the others either.
fn source_that_does_not_answer(setting: &mut Setting) {
    setting.lab.on(
        "gamma",
        "mv /etc/apt/sources.list /etc/apt/sources.list.away; mkdir /root/lists; \
        mv /etc/apt/sources.list.d/* /root/lists/ 2>/dev/null; \
        echo 'deb [trusted=yes] http://127.0.0.1:9/ ./' >/etc/apt/sources.list",
    );
    let says =
        ["failed gamma: check that", "127.0.0.1:9", "what to do: ", "do not answer", "Nothing was changed"];
    let ran = setting.refused("sources of packages that do not answer", &setting.apply(), BLOCKED, &says);
    assert!(!ran.err.contains("failed alpha") && !ran.err.contains("failed beta"), "these can\n{ran}");
    setting.lab.on(
        "gamma",
        "mv /root/lists/* /etc/apt/sources.list.d/ 2>/dev/null; rmdir /root/lists; \
        mv /etc/apt/sources.list.away /etc/apt/sources.list 2>/dev/null || rm /etc/apt/sources.list",
    );
}

/// dpkg fails on one node in the middle: the others install, no daemon is started anywhere.
fn dpkg_that_fails(setting: &mut Setting) {
    setting
        .lab
        .on("gamma", "echo 'pre-invoke=echo the hook failed >&2; exit 7' >/etc/dpkg/dpkg.cfg.d/failing");
    let ran = setting.run(&setting.apply()).expect(FAILED);
    ran.warns("failed gamma: install").warns("what to do:").warns("Run the same command again");
    assert!(!ran.err.contains("failed alpha") && !ran.err.contains("failed beta"), "these can\n{ran}");
    setting.lab.on("gamma", "! dpkg-query -W corosync 2>/dev/null && rm /etc/dpkg/dpkg.cfg.d/failing");
    for node in ["alpha", "beta"] {
        setting.lab.on(node, "dpkg-query -W corosync && ! systemctl is-active --quiet corosync");
    }
    setting.lab.say("dpkg that fails on one node: failed with 1, told where, no daemon was started");
}

/// `--timeout` ends a run in the middle of a step, which goes on without it on the node.
fn out_of_time(setting: &mut Setting) {
    let hold = "touch /root/hold; printf '%s\\n' 'pre-invoke=while test -e /root/hold; do sleep 0.1; done' \
                >/etc/dpkg/dpkg.cfg.d/held";
    setting.lab.on("gamma", hold);
    setting.prepare(&setting.apply());
    let mut program = Program::start(&mut setting.lab.command("apply", &["--yes", "--timeout", TIME_LIMIT]));
    let begun = program.line_that(STEP_LIMIT, |line| line.starts_with("gamma: install"));
    assert!(begun.is_some(), "gamma has not begun to install");
    let ran = program.finish(RUN_LIMIT).expect(FAILED);
    setting.note(&ran);
    ran.warns("did not end within 15 s (--timeout)").warns("what to do: run the same command again");
    for node in NODES {
        setting.lab.wait_on(node, "the lock is released", STEP_LIMIT, LOCK_IS_FREE);
    }
    setting.lab.say("out of time: ended with 1, the lock is released");
}

/// Ctrl-C: what is under way is finished, nothing else is begun. Before that, the run waits for what the one before it
/// left at work.
fn interrupted(setting: &mut Setting) {
    setting.prepare(&setting.apply());
    let mut program = Program::start(&mut setting.lab.command("apply", &["--yes"]));
    let waits = program.line_that(STEP_LIMIT, |line| {
        // The run before may have been out of time before it began to install there.
        line.contains("gamma: waiting for what an earlier run began there to end")
            || line.starts_with("gamma: install")
    });
    let installs = waits.clone().filter(|line| line.starts_with("gamma: install"));
    assert!(waits.is_some(), "nothing is installed on gamma");
    setting.lab.on("gamma", "rm /etc/dpkg/dpkg.cfg.d/held /root/hold");
    let begun = installs.or_else(|| program.line_that(STEP_LIMIT, |line| line.starts_with("gamma: ")));
    assert!(begun.is_some(), "nothing is done on gamma");
    program.interrupt();
    let ran = program.finish(RUN_LIMIT).expect(INTERRUPTED);
    setting.note(&ran);
    let what = begun.unwrap_or_default().trim_start_matches("gamma: ").to_owned();
    ran.warns("interrupted: the steps under way are finished first").warns(&format!("gamma: ok: {what}"));
    ran.warns("Interrupted after").warns("not begun").warns("Run the same command again");
    for node in NODES {
        setting.lab.on(node, &format!("! systemctl is-active --quiet corosync && {LOCK_IS_FREE}"));
    }
    setting.lab.say("interrupted with Ctrl-C: ended with 130 after the step under way, the lock is released");
}
