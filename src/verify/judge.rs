//! Judges a check by what was observed. Pure.

use std::collections::BTreeSet;

use crate::barclamp::{DeclaredCheck, Expect};
use crate::cib::{ClusterStatus, parse_crm_mon};
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
    let down: Vec<String> =
        devices.iter().filter(|one| !one.active || one.failed).map(|one| one.id.clone()).collect();
    problem(&down, "do not run")
}

fn running(wanted: &[String], status: &ClusterStatus) -> Result<(), String> {
    let known = |id: &str| status.resources.iter().any(|one| one.id == id && one.active && !one.failed);
    if wanted.is_empty() {
        let down: Vec<String> = status
            .resources
            .iter()
            .filter(|one| one.is_wanted() && (!one.active || one.failed))
            .map(|one| one.id.clone())
            .collect();
        return problem(&down, "do not run");
    }
    let down: Vec<String> = wanted.iter().filter(|id| !known(id)).cloned().collect();
    problem(&down, "do not run")
}
