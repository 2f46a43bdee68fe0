//! Runs that were killed, and devices that change while a plan waits: a run goes on with its own device, and everybody
//! else's stays everybody else's.

use crate::asked::Asked;
use crate::lab::{Program, RUN_LIMIT};
use crate::stores::{NODES, ONE_CANDIDATE, PURPOSE, Stores};

/// The ledger knows the device, nothing is on it yet. Meanwhile somebody uses the disk of the other node.
pub(crate) fn killed_between_claim_and_use(stores: &mut Stores) {
    stores.want(ONE_CANDIDATE, "");
    let mut first = Program::start(&mut stores.lab.command("apply", &["--yes"]));
    let claimed = |line: &str| line.starts_with("alpha: ok: record that");
    first.line_that(RUN_LIMIT, claimed).expect("alpha's disk is claimed");
    first.kill();
    stores.lab.on("alpha", &format!("grep -q '{PURPOSE}' /var/lib/hactl/claims.json"));
    // What was being done on a node when the run was killed ends there; then the disk of beta becomes somebody's.
    let quiet = "! pgrep -f [m]kfs.ext4 && ! pgrep -f [h]actl-guard";
    stores.lab.wait_on("beta", "the killed run is over", RUN_LIMIT, quiet);
    stores.lab.wait_on("alpha", "the killed run is over", RUN_LIMIT, quiet);
    let made_there = stores.lab.try_on("beta", "test -e /var/lib/hactl/claims.json").code == Some(0);
    if !made_there {
        stores.on_disk("beta", "data", "mkswap --quiet $d");
        stores.refused().warns("beta").warns("swap");
        stores.on_disk("beta", "data", "wipefs --all --quiet $d");
    }
    stores.apply();
    for node in NODES {
        assert_eq!(stores.mounted(node), stores.device(node, "data"));
    }
    stores.clear();
    stores.lab.say("killed between claim and use: the next run goes on with its own disk");
}

/// A file system that is not complete is made anew; with another UUID or label it is somebody's.
pub(crate) fn killed_after_the_first_write(stores: &mut Stores) {
    stores.want(ONE_CANDIDATE, "");
    let mut first = Program::start(&mut stores.lab.command("apply", &["--yes"]));
    first.line_that(RUN_LIMIT, |line| line.contains(": make ext4 on")).expect("a file system is made");
    first.kill();
    for node in NODES {
        stores.lab.wait_on(node, "the killed run is over", RUN_LIMIT, "! pgrep -f [m]kfs.ext4");
    }
    stores.apply();

    // What a power cut in the middle of it leaves, made by hand: the claim and an unfinished file system.
    let uuid = "sed -n 's/.*\"uuid\": \"\\(.*\\)\".*/\\1/p' /var/lib/hactl/claims.json";
    stores.lab.on("alpha", "systemctl stop srv-data.mount");
    stores.on_disk(
        "alpha",
        "data",
        &format!("wipefs --all --quiet $d && mkfs.ext4 -q -U $({uuid}) -L hactl-making $d"),
    );
    let ran = stores.apply();
    ran.warns("ok: wipe ext4/").warns("ok: make ext4");
    assert_eq!(stores.on_disk("alpha", "data", "blkid -p -o value -s LABEL $d || :").trim(), "");

    // The same disk with a file system that is not ours: the ledger alone makes nothing of it ours.
    stores.lab.on("alpha", "systemctl stop srv-data.mount");
    stores.on_disk("alpha", "data", "wipefs --all --quiet $d && mkfs.ext4 -q -L hactl-making $d");
    stores.refused().warns("alpha").warns("ledger and signature disagree");
    stores.clear();
    stores.lab.say("killed after the first write: made anew; what is not ours is not");
}

/// While a person looks at the plan, the disk changes: nothing is written to it, and the run says so with 5.
pub(crate) fn changed_after_the_plan(stores: &mut Stores) {
    stores.want(ONE_CANDIDATE, "");
    let asked = Asked::start(&stores.lab, "apply");
    stores.on_disk("alpha", "data", "mkfs.ext4 -q -L theirs $d");
    let theirs = stores.on_disk("alpha", "data", "sha256sum <$d");
    let (code, screen) = asked.answer("y\n");
    assert_eq!(code, Some(5), "a disk that became somebody's\n{screen}");
    assert!(screen.contains("holds ext4/") && screen.contains("the device changed"), "{screen}");
    assert_eq!(stores.on_disk("alpha", "data", "sha256sum <$d"), theirs, "nothing was written");
    stores.lab.on("alpha", "test ! -e /var/lib/hactl/claims.json");
    stores.refused().warns("theirs");
    stores.on_disk("alpha", "data", "wipefs --all --quiet $d");

    let asked = Asked::start(&stores.lab, "apply");
    stores.on_disk("alpha", "data", "sleep 600 3<>$d >/dev/null 2>&1 & echo $! >/run/holder");
    let (code, screen) = asked.answer("y\n");
    assert_eq!(code, Some(5), "a disk that somebody has open\n{screen}");
    assert!(screen.contains("has it open"), "{screen}");
    stores.lab.on("alpha", "kill $(cat /run/holder)");
    stores.clear();
    stores.lab.say("a disk that changes after the plan blocks the step");
}
