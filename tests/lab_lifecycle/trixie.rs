//! The next Debian: Pacemaker 3, with another syntax than Pacemaker 2.

use std::time::{Duration, Instant};

use crate::lab::TestLab;

/// The longest wait for the first answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn debian_13() {
    let mut lab = TestLab::up("trixie", &["--nodes", "2", "--suite", "trixie"]);
    lab.web("", "");
    let applied = lab.hactl("apply", &["--yes"]).expect(0);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    lab.hactl("verify", &[]).expect(0);
    let version = lab.on("alpha", "pacemakerd --version | head -n 1");
    assert!(version.contains("Pacemaker 3."), "Debian 13 has Pacemaker 3, not {version}");
    lab.say(&format!("10 done: {} brought up in {:.1} s", version.trim(), applied.took.as_secs_f64()));

    let client = lab.client();
    client.answered(Instant::now(), ANSWER_LIMIT, |_| true);
    let began = Instant::now();
    lab.web("token_ms: 4000", "    resources:\n      idle: { primitive: \"ocf:pacemaker:Dummy\" }\n");
    lab.hactl("apply", &["--yes"]).expect(0);
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
    let summary = client.lost_none(began, "a token change and a new resource");
    lab.say(&format!("10 done: a change: {summary}"));

    let holder = client.answered(Instant::now(), ANSWER_LIMIT, |_| true).answer.unwrap();
    let cut = Instant::now();
    lab.fault(&["power-cut", &holder]);
    let answer = client.answered(cut, Duration::from_secs(180), |node| node != holder);
    let down = answer.at.duration_since(cut);
    drop(client);
    lab.wait_on(
        &holder,
        "it is back",
        Duration::from_secs(180),
        "crm_mon -1 | grep -q 'Online: \\[ alpha beta \\]'",
    );
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    lab.say(&format!(
        "10 done: one of two nodes lost its power; the other answered {:.1} s later",
        down.as_secs_f64()
    ));

    lab.hactl("destroy", &["--yes"]).expect(0);
    lab.hactl("destroy", &["--yes"]).expect(0).says("Nothing to do");
}
