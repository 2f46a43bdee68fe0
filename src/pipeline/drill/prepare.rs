//! Before a drill: the cluster must be as it should be, and must be able to lose the node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::DrillError;
use crate::cib::{Cib, ClusterStatus, parse_crm_mon, parse_crm_simulate};
use crate::corosync::parse_quorum_status;
use crate::facts::{ClusterQuery, Observation, Query};
use crate::names::{ClusterName, NodeName};
use crate::pipeline::Session;
use crate::transport::Command;
use crate::verify::drill::{Refusal, Target, choose, fenced, keeps_quorum};

/// How long Pacemaker's scheduler may take.
const SIMULATE_TIMEOUT: Duration = Duration::from_secs(30);

/// A drill that may be carried out.
#[derive(Debug, Clone)]
pub struct Drill {
    /// Which cluster.
    pub cluster: ClusterName,
    /// Its nodes.
    pub nodes: BTreeSet<NodeName>,
    /// What is drilled.
    pub target: Target,
    /// The node that asks for the fencing, and that is asked how things go.
    pub fencer: NodeName,
}

impl Session {
    /// Proves that the cluster is as it should be, and chooses what is drilled. Changes nothing.
    ///
    /// # Errors
    /// It is not, or something speaks against the drill.
    pub async fn prepare_drill(
        &mut self,
        wanted: Option<&str>,
        patience: Duration,
    ) -> Result<Drill, DrillError> {
        let names: Vec<ClusterName> = self.clusters().map(|cluster| cluster.name.clone()).collect();
        let [cluster] = names.as_slice() else {
            return Err(Refusal::Clusters(names.iter().map(ToString::to_string).collect()).into());
        };
        let report = self.verify(patience).await?;
        if !report.holds() {
            return Err(DrillError::Unclean(report));
        }
        let nodes: BTreeSet<NodeName> = self.inventory.clusters[cluster].nodes.keys().cloned().collect();
        let asked = nodes.iter().find(|node| self.facts.node(node).is_some()).cloned();
        let Some(asked) = asked else { return Err(Refusal::NoTarget.into()) };
        let queries = [ClusterQuery::Status, ClusterQuery::Cib, ClusterQuery::Quorum].map(Query::Cluster);
        self.observe(&BTreeMap::from([(asked.clone(), queries.into())])).await;
        self.all_answered()?;

        let status = self.cluster_status(&asked)?;
        let cib = Cib::parse(&self.cluster_text(&asked, ClusterQuery::Cib)?)
            .map_err(|error| unknown(&asked, &error))?;
        let quorum = parse_quorum_status(&self.cluster_text(&asked, ClusterQuery::Quorum)?)
            .map_err(|error| unknown(&asked, &error))?;
        let checks = self.declared_checks()?.remove(cluster).unwrap_or_default();
        fenced(&status)?;
        let target = choose(&status, &cib, &checks, wanted)?;
        keeps_quorum(&quorum, &target.victim)?;
        let fencer = fencer(&status, &nodes, &target)?;
        self.runs_elsewhere(&target, &fencer).await?;
        Ok(Drill { cluster: cluster.clone(), nodes, target, fencer })
    }

    /// Pacemaker's view, as a node was last asked.
    pub(super) fn cluster_status(&self, node: &NodeName) -> Result<ClusterStatus, Refusal> {
        parse_crm_mon(&self.cluster_text(node, ClusterQuery::Status)?).map_err(|error| unknown(node, &error))
    }

    fn cluster_text(&self, node: &NodeName, query: ClusterQuery) -> Result<String, Refusal> {
        let seen = self.facts.node(node).map(|facts| facts.observation(&Query::Cluster(query)));
        let why = match seen {
            Some(Observation::Text(Some(text))) => return Ok(text),
            Some(Observation::Text(None)) => "the cluster does not run there".to_owned(),
            Some(Observation::Unknown(why)) => why,
            _ => "it does not answer".to_owned(),
        };
        Err(Refusal::Unknown { node: node.clone(), why })
    }

    /// Asks Pacemaker's own scheduler whether the group would run on another node.
    async fn runs_elsewhere(&self, target: &Target, fencer: &NodeName) -> Result<(), DrillError> {
        let Some(transport) = self.fleet.get(fencer) else { return Err(Refusal::NoTarget.into()) };
        let victim = target.victim.as_str();
        let words = ["crm_simulate", "--live-check", "--simulate", "--node-fail", victim, "--output-as=xml"];
        // The CIB, with its passwords, may be in what it prints.
        let command = Command::new(words).timeout(SIMULATE_TIMEOUT).secret();
        let output = transport.exec(&command).await?;
        let simulation =
            parse_crm_simulate(&output.stdout_text()).map_err(|error| unknown(fencer, &error))?;
        let elsewhere = simulation
            .after
            .is_some_and(|after| after.running_on(&target.group).iter().any(|node| *node != victim));
        if elsewhere {
            Ok(())
        } else {
            Err(Refusal::Nowhere { victim: target.victim.clone(), group: target.group.clone() }.into())
        }
    }
}

fn unknown(node: &NodeName, error: &dyn std::error::Error) -> Refusal {
    Refusal::Unknown { node: node.clone(), why: error.to_string() }
}

/// The designated controller, unless it is the victim; else the first other member.
fn fencer(status: &ClusterStatus, nodes: &BTreeSet<NodeName>, target: &Target) -> Result<NodeName, Refusal> {
    let online = |node: &&NodeName| {
        **node != target.victim && status.node(node.as_str()).is_some_and(|one| one.online)
    };
    let controller = nodes.iter().filter(online).find(|node| status.dc.as_deref() == Some(node.as_str()));
    let nowhere = || Refusal::Nowhere { victim: target.victim.clone(), group: target.group.clone() };
    controller.or_else(|| nodes.iter().find(online)).cloned().ok_or_else(nowhere)
}
