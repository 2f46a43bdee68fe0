//! hactl killed at every step, of a bring-up, of rollouts and of a destroy: running it again ends where an undisturbed
//! run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::lab::{Client, Program, RUN_LIMIT, Ran, TestLab};

/// The nodes of the lab.
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Most runs until one gets through: each is killed at a step at which none was killed before.
const MAX_RUNS: usize = 120;
/// How long after the line of a step the run is killed, in turn: most steps are caught at their beginning, some in
/// their middle or at their end.
const KILL_DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::ZERO, Duration::from_millis(400)];
/// The longest wait for the first answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn killed_at_every_step() {
    let mut lab = TestLab::up("kills", &["--nodes", "3"]);
    let bare = NODES.map(|node| traces(&lab, node));
    lab.web("", "");

    let kills = kill_at_every_step(&lab, "apply", None);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    let after_kills = cluster(&lab);
    lab.say(&format!("4 done: a bring-up, killed at {} steps", kills.len()));
    assert!(kills.iter().any(|step| step.contains(": install ")), "also during the installation of packages");

    let client = lab.client();
    client.answered(Instant::now(), ANSWER_LIMIT, |_| true);
    for (what, settings) in [
        ("a rolling restart", "quorum: { wait_for_all: true }"),
        (
            "a full stop",
            "quorum: { wait_for_all: true }, links: { \"0\": { port: 5505 }, \"1\": { port: 5506 } }",
        ),
    ] {
        lab.web(settings, "");
        let began = Instant::now();
        let kills = kill_at_every_step(&lab, "apply", Some(&client));
        lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
        lab.hactl("verify", &["--patience", "2m"]).expect(0);
        let summary = client.lost_none(began, what);
        lab.say(&format!("4 done: {what}, killed at {} steps: {summary}", kills.len()));
    }
    drop(client);

    let kills = kill_at_every_step(&lab, "destroy", None);
    lab.hactl("destroy", &["--yes"]).expect(0).says("Nothing to do");
    for (node, before) in NODES.iter().zip(&bare) {
        assert_same(&traces(&lab, node), before, &format!("{node} after destroy and as it was before"));
    }
    lab.say(&format!("8 done: a destroy, killed at {} steps, leaves what was there before", kills.len()));

    lab.web("", "");
    let ran = lab.hactl("apply", &["--yes"]).expect(0);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    assert_same(
        &cluster(&lab),
        &after_kills,
        "an undisturbed bring-up and one that was killed at every step",
    );
    lab.say(&format!(
        "8 done: brought up again in {:.1} s; 4 done: the same cluster",
        ran.took.as_secs_f64()
    ));

    let ran = lab.hactl("destroy", &["--yes"]).expect(0);
    for (node, before) in NODES.iter().zip(&bare) {
        assert_same(&traces(&lab, node), before, &format!("{node} after an undisturbed destroy"));
    }
    lab.say(&format!("8 done: destroyed in {:.1} s", ran.took.as_secs_f64()));
}

/// Runs a verb again and again, killing it at a step at which it was not killed before, until it gets through.
/// Returns the steps.
#[track_caller]
fn kill_at_every_step(lab: &TestLab, verb: &str, client: Option<&Client>) -> BTreeSet<String> {
    let mut killed: BTreeSet<String> = BTreeSet::new();
    for run in 0..MAX_RUNS {
        let mut program = Program::start(&mut lab.command(verb, &["--yes", "--lock-timeout", "2m"]));
        let fresh = program.line_that(RUN_LIMIT, |line| is_step(line) && !killed.contains(line));
        let Some(step) = fresh else {
            program.finish(RUN_LIMIT).expect(0);
            return killed;
        };
        std::thread::sleep(KILL_DELAYS[run % KILL_DELAYS.len()]);
        program.kill();
        // Other nodes were at other steps.
        let mut in_flight = BTreeSet::new();
        while let Some(line) = program.line(RUN_LIMIT) {
            if is_step(&line) {
                in_flight.insert(line);
            } else if let Some((node, done)) = line.split_once(": ok: ") {
                let done = done.rsplit_once(" (").map_or(done, |(done, _)| done);
                in_flight.remove(&format!("{node}: {done}"));
            }
        }
        killed.append(&mut in_flight);
        killed.insert(step);
        if let Some(client) = client {
            client.lost_none(Instant::now() - Duration::from_secs(3), "a killed rollout");
        }
    }
    panic!("{verb} did not get through in {MAX_RUNS} runs, killed at\n{}", Vec::from_iter(killed).join("\n"));
}

/// Whether a line tells of a step that begins: `node: what`, without `ok:`, `FAILED:` or a wait's progress.
fn is_step(line: &str) -> bool {
    NODES.iter().any(|node| {
        line.strip_prefix(node)
            .and_then(|rest| rest.strip_prefix(": "))
            .is_some_and(|what| ["ok: ", "FAILED: ", "... "].iter().all(|no| !what.starts_with(no)))
    })
}

/// What makes a cluster: its CIB without what changes by itself, and the files on every node.
fn cluster(lab: &TestLab) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    // Versions, times and the elected controller change by themselves.
    let cib = "cibadmin --query --scope configuration | grep -v dc-version";
    all.insert("the CIB".to_owned(), lab.on("alpha", cib));
    let shown = "for f in /etc/corosync/corosync.conf /etc/hosts /etc/haproxy/haproxy.cfg; do echo \"== $f\"; \
                 stat -c '%a %U:%G' $f; cat $f; done; stat -c '%n %a %U:%G %s' /etc/corosync/authkey; \
                 systemctl is-enabled corosync pacemaker haproxy";
    let keys: BTreeSet<String> =
        NODES.iter().map(|node| lab.on(node, "sha256sum /etc/corosync/authkey")).collect();
    assert_eq!(keys.len(), 1, "one authkey for all nodes");
    for node in NODES {
        let ran: Ran = lab.try_on(node, shown);
        all.insert(format!("files on {node}"), ran.out);
        all.insert(format!("packages on {node}"), lab.on(node, "dpkg --get-selections"));
    }
    all
}

/// Everything on a node that a bring-up could change and a destroy must put back.
fn traces(lab: &TestLab, node: &str) -> BTreeMap<String, String> {
    let list = |shell: &str| lab.on(node, shell);
    BTreeMap::from([
        ("packages".to_owned(), list("dpkg --get-selections")),
        ("automatically installed".to_owned(), list("apt-mark showauto")),
        // What the package manager and the system keep about themselves.
        (
            "files in /etc".to_owned(),
            list(
                "find /etc -xdev \\( -type f -o -type l \\) ! -name ld.so.cache ! -name 'passwd*' ! -name 'group*' \
                 ! -name 'shadow*' ! -name 'gshadow*' ! -name 'subuid*' ! -name 'subgid*' ! -name .pwd.lock \
                 -printf '%p %m %u:%g %l ' -exec sh -c 'test -h \"$1\" || sha256sum <\"$1\"; echo' sh {} \\; | sort",
            ),
        ),
        ("units".to_owned(), list("systemctl list-unit-files --no-legend | sort")),
        (
            "running".to_owned(),
            list(
                "systemctl list-units --no-legend --plain --state=active --type=service | awk '{print $1}' | grep -v @ | sort",
            ),
        ),
        ("failed".to_owned(), list("systemctl list-units --no-legend --plain --state=failed | sort")),
        ("masks and drop-ins".to_owned(), list("find /run/systemd/system ! -type d | sort")),
        (
            "state".to_owned(),
            list("ls -d /run/hactl* /var/lib/hactl* /var/lib/pacemaker /var/lib/corosync 2>/dev/null; true"),
        ),
    ])
}

#[track_caller]
fn assert_same(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>, what: &str) {
    let mut differences = String::new();
    for (name, text) in left {
        let other = right.get(name).map_or("", String::as_str);
        if text != other {
            let diff = similar::TextDiff::from_lines(other, text.as_str());
            differences += &format!("{name}:\n{}", diff.unified_diff().context_radius(1));
        }
    }
    assert!(differences.is_empty(), "{what} differ:\n{differences}");
}
