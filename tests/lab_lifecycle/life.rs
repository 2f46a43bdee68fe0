//! One cluster from bare nodes through everything that people do with it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::lab::{Client, Program, RUN_LIMIT, Ran, TestLab};

/// The nodes of the lab.
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Longest time until something shows in the cluster that was done there.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Longest time until a fenced node is back: fencing, boot, joining.
const FENCE_LIMIT: Duration = Duration::from_secs(180);
/// A resource that does nothing.
const DUMMY: &str = "    resources:\n      idle: { primitive: \"ocf:pacemaker:Dummy\" }\n";

pub(crate) fn the_life_of_a_cluster() {
    let mut lab = TestLab::up("life", &["--nodes", "3"]);
    let two_links = lab.nodes.clone();
    lab.nodes = with_one_link(&two_links);
    lab.web("", "");

    bring_up(&lab);
    drift(&lab);
    let client = lab.client();
    client.answered(Instant::now(), SETTLE_LIMIT, |_| true);
    changes_without_disruption(&mut lab, &client, &two_links);
    saved_plans(&mut lab);
    rolling_restart_and_the_lock(&mut lab, &client);
    full_stop(&mut lab, &client);
    failover(&lab, &client);
}

/// The inventory of the lab with the first link of every node only.
fn with_one_link(nodes: &str) -> String {
    let one = |line: &str| match (line.find("links: ["), line.find(']')) {
        (Some(from), Some(to)) => {
            let first = line[from..to].split(',').next().unwrap_or_default();
            format!("{}{first}{}", &line[..from], &line[to..])
        }
        _ => line.to_owned(),
    };
    nodes.lines().map(|line| one(line) + "\n").collect()
}

/// 1: from bare nodes to a verified cluster.
fn bring_up(lab: &TestLab) {
    lab.hactl("plan", &["--detailed-exitcode"]).expect(2).says("nothing that runs is disturbed");
    for node in NODES {
        lab.on(node, "test ! -e /var/lib/hactl && test ! -e /etc/corosync");
    }
    let applied = lab.hactl("apply", &["--yes"]).expect(0);
    lab.say(&format!("brought up in {:.1} s", applied.took.as_secs_f64()));
    nothing_to_do(lab);
    lab.hactl("verify", &[]).expect(0);
    let again = lab.hactl("apply", &["--yes"]).expect(0);
    again.says("Nothing to do");
    lab.client().answered(Instant::now(), SETTLE_LIMIT, |node| NODES.contains(&node));
    lab.say("1 done: a second plan and apply have nothing to do, verified, the virtual address answers");
}

/// A plan must be empty.
#[track_caller]
fn nothing_to_do(lab: &TestLab) {
    lab.hactl("plan", &["--detailed-exitcode"]).expect(0).says("Nothing to do");
}

/// What a plan says for machines: the resources that it changes, and the steps as (node, action).
#[track_caller]
fn planned(lab: &TestLab) -> (Vec<String>, Vec<(String, String)>) {
    let plan = lab.hactl("plan", &["--json", "--detailed-exitcode"]).expect(2).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    let changes = list("changes").iter().map(|change| text(&change["resource"])).collect();
    let steps = list("steps").iter().map(|step| (text(&step["node"]), text(&step["action"]["do"]))).collect();
    (changes, steps)
}

#[track_caller]
fn apply(lab: &TestLab) -> Ran {
    let ran = lab.hactl("apply", &["--yes"]).expect(0);
    nothing_to_do(lab);
    ran
}

/// What runs on a node, by process: it changes when something restarts.
fn processes(lab: &TestLab, units: &str) -> Vec<String> {
    let show =
        format!("systemctl show --property=Id,MainPID,ActiveEnterTimestampMonotonic {units} | paste -sd' '");
    NODES.iter().map(|node| format!("{node}: {}", lab.on(node, &show).trim())).collect()
}

const STACK: &str = "corosync.service pacemaker.service";
const SERVICE: &str = "haproxy.service";

/// 2: what somebody changed by hand is named, and exactly that is repaired.
fn drift(lab: &TestLab) {
    let before = processes(lab, &format!("{STACK} {SERVICE}"));
    let conf = "/etc/corosync/corosync.conf";
    let digests = |lab: &TestLab| NODES.map(|node| lab.on(node, &format!("sha256sum {conf}")));
    let right = digests(lab);
    lab.on("beta", &format!("sed -i 's/cluster_name: .*/cluster_name: other/' {conf}"));
    let (changes, steps) = planned(lab);
    assert_eq!(changes, [format!("corosync:{conf}@cluster/{}", lab.name())], "an edited file");
    assert_eq!(steps, [("beta".to_owned(), "replace_file".to_owned())], "an edited file, not loaded");
    lab.hactl("plan", &[])
        .expect(0)
        .says("on beta")
        .says("-    cluster_name: other")
        .says("nothing that runs is disturbed");
    lab.hactl("drift", &[]).expect(2).says("beta");
    apply(lab);
    assert_eq!(digests(lab), right, "{conf} after the repair");

    lab.on(
        "beta",
        &format!("sed -i 's/^totem {{/totem {{\\n    token: 9000/' {conf} && corosync-cfgtool -R"),
    );
    wait_for_token(lab, "beta", "9650");
    let (_, steps) = planned(lab);
    let actions: Vec<&str> = steps.iter().map(|(_, action)| action.as_str()).collect();
    assert_eq!(actions, ["replace_file", "reload_corosync"], "an edited file, loaded");
    apply(lab);
    assert_eq!(digests(lab), right, "{conf} after the second repair");
    assert_eq!(processes(lab, &format!("{STACK} {SERVICE}")), before, "repairing {conf} restarts nothing");
    lab.say("2 done: an edited corosync.conf is repaired, loaded or not, and nothing else");

    lab.on("gamma", "cibadmin --delete --xml-text '<primitive id=\"web-ip\"/>'");
    lab.wait_on("gamma", "the address is gone", SETTLE_LIMIT, "! crm_resource --resource web-ip --locate");
    let (changes, steps) = planned(lab);
    assert!(changes.len() == 1 && changes[0].starts_with("cib:"), "a deleted primitive: {changes:?}");
    assert_eq!(
        steps.iter().filter(|(_, action)| action != "wait").count(),
        1,
        "a deleted primitive: {steps:?}"
    );
    let shown = lab.hactl("plan", &[]).expect(0);
    shown.says("+ primitive[web-ip]@type: IPaddr2").says("start web-ip");
    assert!(!shown.out.contains("fence-") && !shown.out.contains("[web-haproxy]"), "too much\n{shown}");
    apply(lab);
    lab.on("gamma", "cibadmin --query --xpath '//group[@id=\"web\"]/primitive[1][@id=\"web-ip\"]'");
    lab.client().answered(Instant::now(), SETTLE_LIMIT, |_| true);
    lab.say("2 done: a deleted virtual address is put back, in its place");
}

fn wait_for_token(lab: &TestLab, node: &str, token_ms: &str) {
    let shell = format!("corosync-cmapctl -g runtime.config.totem.token | grep -qw {token_ms}");
    lab.wait_on(node, &format!("corosync's token is {token_ms}"), SETTLE_LIMIT, &shell);
}

/// What a plan says that disturbs nothing.
const UNDISTURBED: &str = "nothing that runs is disturbed";

/// 3: changes that disturb nobody, under a client that would notice.
fn changes_without_disruption(lab: &mut TestLab, client: &Client, two_links: &str) {
    let daemons = format!("{STACK} {SERVICE}");
    let before = processes(lab, &daemons);
    let undisturbed = |lab: &TestLab, what: &str, plan_says: &[&str]| {
        let began = Instant::now();
        let plan = lab.hactl("plan", &["--detailed-exitcode"]).expect(2);
        for text in plan_says {
            plan.says(text);
        }
        let ran = apply(lab);
        let summary = client.lost_none(began, what);
        assert_eq!(processes(lab, &daemons), before, "{what} restarts nothing");
        lab.say(&format!("3 done: {what} ({:.1} s): {summary}", ran.took.as_secs_f64()));
    };

    lab.web("token_ms: 4000", "");
    undisturbed(
        lab,
        "a token change",
        &["reload corosync (nothing restarts)", "+    token: 4000", UNDISTURBED],
    );
    NODES.iter().for_each(|node| wait_for_token(lab, node, "4650"));

    lab.web("token_ms: 4000", DUMMY);
    undisturbed(lab, "a new resource", &["+ primitive `idle`", "start idle", UNDISTURBED]);
    lab.on("alpha", "crm_resource --resource idle --locate | grep running");

    lab.web("token_ms: 4000", "");
    undisturbed(
        lab,
        "a removed resource",
        &["- primitive `idle`", "stop idle", "stops, restarts or moves idle."],
    );
    lab.on("alpha", "! crm_resource --resource idle --locate && ! crm_mon -1 | grep -q idle");

    lab.nodes = two_links.to_owned();
    lab.write();
    undisturbed(lab, "a second link", &["reload corosync (nothing restarts)", "ring1_addr", UNDISTURBED]);
    let connected = "corosync-cfgtool -s | grep -A9 'LINK ID 1' | grep -cw connected | grep -qx 2";
    NODES.iter().for_each(|node| lab.wait_on(node, "link 1 is connected", SETTLE_LIMIT, connected));
}

/// 9: a saved plan is carried out as it was reviewed, or not at all.
fn saved_plans(lab: &mut TestLab) {
    lab.web("token_ms: 4100", "");
    let file = lab.path("plan.json");
    let file = file.to_str().unwrap();
    lab.hactl("plan", &["--output", file]).expect(0);
    lab.hactl("apply", &["--yes", file]).expect(0);
    nothing_to_do(lab);
    lab.hactl("apply", &["--yes", file]).expect(6).warns("stale");

    lab.web("token_ms: 4000", "");
    lab.hactl("plan", &["--output", file]).expect(0);
    let edit = "printf '# by hand\\n' >>/etc/corosync/corosync.conf; sha256sum /etc/corosync/corosync.conf";
    let edited = lab.on("gamma", edit);
    lab.hactl("apply", &["--yes", file]).expect(6).warns("stale");
    assert_eq!(
        lab.on("gamma", "sha256sum /etc/corosync/corosync.conf"),
        edited,
        "a stale plan changes nothing"
    );
    wait_for_token(lab, "alpha", "4750");
    apply(lab);
    lab.say("9 done: a saved plan is applied; a stale one is refused with 6");
}

/// 3 and 6: a change that needs restarts, node by node; meanwhile other runs find the nodes locked.
fn rolling_restart_and_the_lock(lab: &mut TestLab, client: &Client) {
    lab.web("token_ms: 4000, quorum: { wait_for_all: true }", "");
    let service = processes(lab, SERVICE);
    let stack = processes(lab, STACK);
    let began = Instant::now();
    let plan = lab.hactl("plan", &["--detailed-exitcode"]).expect(2);
    plan.says("restart corosync node by node (resources keep running)").says("wait_for_all");

    let mut first = Program::start(&mut lab.command("apply", &["--yes"]));
    first
        .line_that(RUN_LIMIT, |line| line.contains("stop pacemaker.service"))
        .expect("a rolling restart stops it");
    let refused = lab.hactl("apply", &["--yes"]).expect(7);
    refused.warns("locked by another run").warns("since");
    let waiting = Program::start(&mut lab.command("apply", &["--yes", "--lock-timeout", "10m"]));
    let ran = first.finish(RUN_LIMIT).expect(0);
    let waited = waiting.finish(RUN_LIMIT).expect(0);
    waited.says("Nothing to do");

    nothing_to_do(lab);
    let summary = client.lost_none(began, "a rolling restart");
    assert_eq!(processes(lab, SERVICE), service, "resources keep running through a rolling restart");
    let restarted: BTreeSet<String> = processes(lab, STACK).into_iter().collect();
    assert!(stack.iter().all(|node| !restarted.contains(node)), "every node was restarted: {restarted:?}");
    NODES.iter().for_each(|node| drop(lab.on(node, "corosync-quorumtool -s | grep -q WaitForAll")));
    lab.say(&format!("3 done: a rolling restart ({:.1} s): {summary}", ran.took.as_secs_f64()));
    lab.say("6 done: a second run exits with 7 or waits");
}

/// 3: a change that needs corosync stopped on all nodes.
fn full_stop(lab: &mut TestLab, client: &Client) {
    lab.web("token_ms: 4000, links: { \"0\": { port: 5505 }, \"1\": { port: 5506 } }", "");
    let service = processes(lab, SERVICE);
    let began = Instant::now();
    let plan = lab.hactl("plan", &["--detailed-exitcode"]).expect(2);
    plan.says("stop corosync everywhere before it is started again (resources keep running)");
    let ran = apply(lab);
    let summary = client.lost_none(began, "a full stop");
    assert_eq!(processes(lab, SERVICE), service, "resources keep running through a full stop");
    NODES
        .iter()
        .for_each(|node| drop(lab.on(node, "ss -ulnH | grep -q :5505 && ! ss -ulnH | grep -q :5405")));
    lab.hactl("verify", &[]).expect(0);
    lab.say(&format!("3 done: a full stop ({:.1} s): {summary}", ran.took.as_secs_f64()));
}

/// 7: the node with the service loses its power.
fn failover(lab: &TestLab, client: &Client) {
    let holder = client.answered(Instant::now(), SETTLE_LIMIT, |_| true).answer.unwrap();
    let other = NODES.into_iter().find(|node| *node != holder).unwrap();
    let cut = Instant::now();
    lab.fault(&["power-cut", &holder]);
    let answer = client.answered(cut, FENCE_LIMIT, |node| node != holder);
    let down = answer.at.duration_since(cut);
    let history = format!("stonith_admin --history {holder} | grep -i 'turn off\\|reboot' | grep -i success");
    lab.wait_on(other, &format!("{holder} is fenced"), FENCE_LIMIT, &history);
    let online =
        format!("crm_mon -1 | grep -E '^ *\\* Online:.* {holder} ' && ! crm_mon -1 | grep -qi unclean");
    lab.wait_on(other, &format!("{holder} is online and clean"), FENCE_LIMIT, &online);
    lab.hactl("verify", &["--patience", "2m"]).expect(0);
    nothing_to_do(lab);
    lab.say(&format!(
        "7 done: {holder} lost its power, {} answered {:.1} s later, {holder} was back and clean after {:.1} s",
        answer.answer.unwrap(),
        down.as_secs_f64(),
        cut.elapsed().as_secs_f64()
    ));
}
