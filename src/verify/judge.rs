//! Judges a check by what was observed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::barclamp::{DeclaredCheck, Expect};
use crate::cib::{ClusterStatus, parse_crm_mon};
use crate::drbd::{Observed, VolumeStatus};
use crate::engine::VolumeId;
use crate::facts::{ClusterQuery, Observation, Query};
use crate::inventory::Cluster;
use crate::names::NodeName;
use crate::plan::Check;

/// What must be observed to judge a check, on the node that is asked for it.
#[must_use]
pub fn queries(expect: &Expect) -> BTreeSet<Query> {
    match expect {
        Expect::Quorum => BTreeSet::from([Query::Cluster(ClusterQuery::Quorum)]),
        Expect::NodesOnline | Expect::Fencing | Expect::Running { .. } => {
            BTreeSet::from([Query::Cluster(ClusterQuery::Status)])
        }
        Expect::Unit { name, .. } => BTreeSet::from([Query::Unit { name: name.clone() }]),
        Expect::Replication { .. } => BTreeSet::from([Query::Volumes]),
        Expect::Http { .. } | Expect::Tcp { .. } => BTreeSet::new(),
    }
}

/// Judges a check that is not made over the network.
///
/// # Errors
/// What is not as it should be, in words.
pub fn judge(
    check: &DeclaredCheck,
    cluster: &Cluster,
    observe: &dyn Fn(&Query) -> Observation,
) -> Result<(), String> {
    let nodes: Vec<NodeName> = cluster.nodes.keys().cloned().collect();
    match &check.expect {
        Expect::Quorum => Check::Membership { nodes }.judge(observe),
        Expect::Unit { name, active } => {
            Check::UnitActive { unit: name.clone(), active: *active }.judge(observe)
        }
        Expect::NodesOnline => online(&nodes, &status(observe)?),
        Expect::Fencing => fencing(&status(observe)?),
        Expect::Replication { volumes } => replication(volumes, observe),
        Expect::Running { resources } => running(resources, &status(observe)?),
        Expect::Http { .. } | Expect::Tcp { .. } => Err("it was not asked over the network".to_owned()),
    }
}

fn status(observe: &dyn Fn(&Query) -> Observation) -> Result<ClusterStatus, String> {
    match observe(&Query::Cluster(ClusterQuery::Status)) {
        Observation::Text(Some(text)) => parse_crm_mon(&text).map_err(|error| error.to_string()),
        Observation::Text(None) => Err("Pacemaker does not run".to_owned()),
        Observation::Unknown(why) => Err(format!("Pacemaker's status could not be read: {why}")),
        _ => Err("Pacemaker's status was not looked at".to_owned()),
    }
}

fn replication(volumes: &BTreeSet<VolumeId>, observe: &dyn Fn(&Query) -> Observation) -> Result<(), String> {
    let text = match observe(&Query::Volumes) {
        Observation::Text(text) => text.unwrap_or_default(),
        Observation::Unknown(why) => return Err(format!("replication could not be looked at: {why}")),
        _ => return Err("replication was not looked at".to_owned()),
    };
    let seen = Observed::parse(&text);
    let mut problems = Vec::new();
    for volume in volumes {
        match seen.status(volume).map(VolumeStatus::problem) {
            None => problems.push(format!("{volume} is not up")),
            Some(Some(problem)) => problems.push(format!("{volume}: {problem}")),
            Some(None) => {}
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn problem(list: &[String], what: &str) -> Result<(), String> {
    if list.is_empty() { Ok(()) } else { Err(format!("{} {what}", list.join(", "))) }
}

fn online(nodes: &[NodeName], status: &ClusterStatus) -> Result<(), String> {
    let healthy = |node: &&NodeName| {
        status.nodes.iter().any(|one| {
            one.name == node.as_str() && one.online && !one.unclean && !one.standby && !one.maintenance
        })
    };
    let missing: Vec<String> = nodes.iter().filter(|node| !healthy(node)).map(ToString::to_string).collect();
    problem(&missing, "are not online, or in standby or maintenance")?;
    if status.maintenance_mode { Err("the cluster is in maintenance mode".to_owned()) } else { Ok(()) }
}

fn fencing(status: &ClusterStatus) -> Result<(), String> {
    if !status.stonith_enabled {
        return Err("fencing is switched off (stonith-enabled)".to_owned());
    }
    let devices: Vec<_> = status.resources.iter().filter(|one| one.is_fencing()).collect();
    if devices.is_empty() {
        return Err("there is no fencing device".to_owned());
    }
    let down = devices.iter().filter(|one| !one.active || one.failed).map(|one| one.id.as_str());
    all_run(down.collect(), status)
}

fn running(wanted: &[String], status: &ClusterStatus) -> Result<(), String> {
    let known = |id: &str| status.resources.iter().any(|one| one.id == id && one.active && !one.failed);
    let down: BTreeSet<&str> = if wanted.is_empty() {
        let down = status.resources.iter().filter(|one| one.is_wanted() && (!one.active || one.failed));
        down.map(|one| one.id.as_str()).collect()
    } else {
        wanted.iter().map(String::as_str).filter(|id| !known(id)).collect()
    };
    all_run(down, status)
}

/// Each resource that does not run with what failed of it, and how Pacemaker is made to try again.
fn all_run(down: BTreeSet<&str>, status: &ClusterStatus) -> Result<(), String> {
    let Some(first) = down.first() else { return Ok(()) };
    let words = match status.resources.iter().find(|one| one.id == **first) {
        Some(one) if one.is_fencing() => {
            "`journalctl -u pacemaker` on the node has the agent's words".to_owned()
        }
        _ => format!("`crm_resource --resource {first} --force-check` on the node tells what the agent says"),
    };
    let mut lines = Vec::new();
    for id in down {
        let reasons = failures(id, status);
        lines.push(format!("{id} does not run{}", if reasons.is_empty() { "" } else { ":" }));
        lines.extend(reasons);
    }
    lines.push(format!("what to do: {words}; then `crm_resource --cleanup` has Pacemaker try again"));
    Err(lines.join("\n"))
}

/// What failed of a resource: `start on alpha, beta: not installed: Couldn't find device`.
fn failures(id: &str, status: &ClusterStatus) -> Vec<String> {
    // Instances of a clone are `ID:0`, `ID:1`; what failed may be named with or without that.
    let base = id.split(':').next().unwrap_or(id);
    let mut nodes: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for failure in status.failures.iter().chain(&status.unusable) {
        let Some((name, operation)) = failed_operation(&failure.operation) else { continue };
        if name.split(':').next() != Some(base) {
            continue;
        }
        let outcome = if failure.status == "complete" { &failure.exit_status } else { &failure.status };
        let why =
            [outcome.as_str(), failure.exit_reason.as_str()].into_iter().filter(|text| !text.is_empty());
        let why = why.collect::<Vec<_>>().join(": ");
        nodes.entry((operation.to_owned(), why)).or_default().insert(&failure.node);
    }
    let listed = |nodes: BTreeSet<&str>| nodes.into_iter().collect::<Vec<_>>().join(", ");
    nodes
        .into_iter()
        .map(|((operation, why), on)| format!("  {operation} on {}: {why}", listed(on)))
        .collect()
}

/// Resource and operation of `fence-alpha_start_0`.
fn failed_operation(key: &str) -> Option<(&str, &str)> {
    let (rest, _interval) = key.rsplit_once('_')?;
    rest.rsplit_once('_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cib::{Failure, ResourceStatus};

    fn stopped(id: &str) -> ResourceStatus {
        ResourceStatus {
            id: id.to_owned(),
            parents: Vec::new(),
            is_instance: false,
            agent: "stonith:fence_ipmilan".to_owned(),
            role: "Stopped".to_owned(),
            target_role: None,
            active: false,
            orphaned: false,
            blocked: false,
            managed: true,
            failed: false,
            pending: None,
            nodes: Vec::new(),
        }
    }

    fn failure(operation: &str, node: &str, reason: &str) -> Failure {
        Failure {
            operation: operation.to_owned(),
            node: node.to_owned(),
            exit_status: "error".to_owned(),
            exit_reason: reason.to_owned(),
            exit_code: Some(1),
            status: "complete".to_owned(),
            at: "now".to_owned(),
        }
    }

    #[test]
    fn what_does_not_run_says_what_failed_and_where() {
        let status = ClusterStatus {
            stonith_enabled: true,
            resources: vec![stopped("fence-alpha"), stopped("fence-beta")],
            failures: vec![
                failure("fence-alpha_start_0", "gamma", "wrong password"),
                failure("fence-alpha_start_0", "beta", "wrong password"),
                failure("other_monitor_10000", "beta", "not this one"),
            ],
            ..ClusterStatus::default()
        };
        let told = fencing(&status).unwrap_err();
        assert_eq!(
            told,
            "fence-alpha does not run:\n  start on beta, gamma: error: wrong password\nfence-beta does not run\n\
             what to do: `journalctl -u pacemaker` on the node has the agent's words; then `crm_resource --cleanup` has \
             Pacemaker try again"
        );
        assert!(running(&["web".to_owned()], &status).unwrap_err().contains("--resource web --force-check"));
    }
}
