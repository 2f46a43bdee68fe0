//! Installation that fails, and a run that is interrupted: the reason and what to do, then the same command completes.

use std::time::Duration;

use crate::lab::{Program, RUN_LIMIT};
use crate::setting::{DIFFERENCES, FAILED, INTERRUPTED, NODES, STALE, Setting};

/// A barclamp that asks for a package that no repository has.
const MANIFEST: &str = "name: nonesuch\nversion: 0.1.0\nsummary: A package that is not to be had\n";
const RESOURCES: &str =
    "resources:\n  - id: packages\n    packages: { names: { debian: [hactl-no-such-package] } }\n";
/// Longest time until a step has begun.
const STEP_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn installation_that_fails_or_is_interrupted_is_completed(setting: &mut Setting) {
    let saved = setting.lab.path("bare.plan");
    let saved = saved.to_str().expect("UTF-8").to_owned();
    let plan =
        setting.run(&setting.attempt("plan", &["--detailed-exitcode", "-o", &saved])).expect(DIFFERENCES);
    setting.printed.push_str(&plan.out);
    package_that_does_not_exist(setting);
    source_that_does_not_answer(setting);
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
    let ran = setting.run(&attempt).expect(FAILED);
    ran.warns("Unable to locate package hactl-no-such-package")
        .warns("/etc/apt/sources.list")
        .warns("0 steps done");
    for node in NODES {
        ran.warns(&format!("failed {node}: install"));
        setting.lab.on(node, "! dpkg-query -W corosync 2>/dev/null && test ! -e /etc/corosync");
    }
    setting.lab.say("a package that does not exist: failed with 1, nothing was installed");
}

/// One node cannot install; the others do; then it can, and the rest follows.
fn source_that_does_not_answer(setting: &mut Setting) {
    setting.lab.on(
        "gamma",
        "mv /etc/apt/sources.list /etc/apt/sources.list.away; mkdir /root/lists; \
        mv /etc/apt/sources.list.d/* /root/lists/ 2>/dev/null; \
        echo 'deb [trusted=yes] file:/nonexistent ./' >/etc/apt/sources.list",
    );
    let ran = setting.run(&setting.apply()).expect(FAILED);
    ran.warns("failed gamma: install").warns("what to do:").warns("Run the same command again");
    assert!(!ran.err.contains("failed alpha") && !ran.err.contains("failed beta"), "these can\n{ran}");
    setting.lab.on("gamma", "! dpkg-query -W corosync 2>/dev/null");
    setting.lab.on(
        "gamma",
        "mv /root/lists/* /etc/apt/sources.list.d/ 2>/dev/null; rmdir /root/lists; \
        mv /etc/apt/sources.list.away /etc/apt/sources.list 2>/dev/null || rm /etc/apt/sources.list",
    );
    for node in ["alpha", "beta"] {
        setting.lab.on(node, "dpkg-query -W corosync && ! systemctl is-active --quiet corosync");
    }
    setting
        .lab
        .say("sources that do not answer on one node: failed with 1, told where, no daemon was started");
}

/// Ctrl-C: what is under way is finished, nothing else is begun.
fn interrupted(setting: &mut Setting) {
    setting.prepare(&setting.apply());
    let mut program = Program::start(&mut setting.lab.command("apply", &["--yes"]));
    let begun = program.line_that(STEP_LIMIT, |line| line.starts_with("gamma: install"));
    assert!(begun.is_some(), "gamma has not installed yet");
    program.interrupt();
    let ran = program.finish(RUN_LIMIT).expect(INTERRUPTED);
    setting.note(&ran);
    ran.warns("interrupted: the steps under way are finished first").warns("gamma: ok: install");
    ran.warns("Interrupted after").warns("not begun").warns("Run the same command again");
    setting.lab.on("gamma", "dpkg-query -W corosync && ! systemctl is-active --quiet corosync");
    setting.lab.say("interrupted with Ctrl-C: ended with 130 after the step under way");
}
