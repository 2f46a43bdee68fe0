//! Fence agents that can be relied on in the lab only are refused for machines that are not the lab's.
//!
//! In: such agents among the wanted fence devices, and whether each node carries the lab's mark. Out: nothing to do, or
//! the refusal. An agent that does not cut power ends with a cluster that takes a living node for a dead one.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::{Change, DiffContext, Resource, ResourceId};
use crate::cib::Element;
use crate::facts::{Observation, Query};
use crate::names::NodeName;
use crate::plan::Blocked;

/// The file that `hactl lab up` puts on its nodes and nothing else makes.
pub const LAB_MARK: &str = "/etc/hactl-lab";
/// Agents that no barclamp describes and that cannot fence a node whose network is down, or do not fence at all: SSH to
/// the node itself, and the dummies of cluster-glue and Pacemaker.
const NEVER_RELIABLE: [&str; 6] =
    ["external/ssh", "ssh", "external/null", "null", "fence_dummy", "fence_null"];

/// The fence agents of a cluster that only nodes of the lab may use.
#[derive(Debug, Clone)]
pub struct LabFencing {
    /// Its name in plans.
    pub id: ResourceId,
    /// The agents.
    pub agents: BTreeSet<String>,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<NodeName>,
}

impl LabFencing {
    /// Those of the fence devices in a wanted CIB; `lab_only` tells of an agent what its barclamp says. `None` when there
    /// are none.
    #[must_use]
    pub fn among(
        id: ResourceId,
        nodes: &BTreeSet<NodeName>,
        cib: &Element,
        lab_only: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let agents: BTreeSet<String> = cib
            .walk()
            .filter(|element| element.attr("class") == Some("stonith"))
            .filter_map(|element| element.attr("type"))
            .filter(|agent| NEVER_RELIABLE.contains(agent) || lab_only(agent))
            .map(str::to_owned)
            .collect();
        (!agents.is_empty()).then(|| Self { id, agents, nodes: nodes.clone() })
    }

    fn blocked(&self, node: Option<&NodeName>, reason: String, advice: &str) -> Blocked {
        Blocked { resource: self.id.clone(), node: node.cloned(), reason, advice: advice.to_owned() }
    }
}

fn mark() -> Query {
    Query::File { path: Utf8PathBuf::from(LAB_MARK), text: false }
}

impl Resource for LabFencing {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &[]
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        self.nodes.iter().map(|node| (node.clone(), mark())).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let mut outside = Vec::new();
        for node in &self.nodes {
            match context.observed(node, &mark()) {
                Observation::File(Some(_)) => {}
                Observation::Unknown(why) => {
                    let reason = format!("whether it is a node of a lab could not be learned: {why}");
                    return Err(self.blocked(Some(node), reason, "see why and run again"));
                }
                _ => outside.push(node.as_str()),
            }
        }
        if outside.is_empty() {
            return Ok(Change::None);
        }
        let agents = self.agents.iter().map(|agent| format!("`{agent}`")).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "fence agent {agents} cannot be relied on outside the built-in lab, and these are no nodes of a lab: {}",
            outside.join(", ")
        );
        let advice = "name the device that cuts the power of these machines (a management board, a switched outlet, the \
                      hypervisor): `hactl barclamp show pacemaker` lists the agents";
        Err(self.blocked(None, reason, advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Digest, FileState, FleetFacts, NodeFacts, NodeOutcome};
    use crate::names::ClusterName;
    use crate::secrets::SecretStore;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn fencing(agent: &str) -> Option<LabFencing> {
        let device = Element::new("primitive").with("class", "stonith").with("type", agent);
        let service = Element::new("primitive").with("class", "ocf").with("type", "ssh");
        let group = Element::new("group").with_child(device);
        let cib = Element::new("cib").with_children([service, group]);
        let id = ResourceId::of_cluster("fencing", "lab-only", &ClusterName::new("web").unwrap());
        LabFencing::among(id, &[node("alpha"), node("beta")].into(), &cib, |agent| agent == "fence_lab")
    }

    fn facts(beta: Observation) -> FleetFacts {
        let state = FileState {
            digest: Digest::of(b""),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            modified_us: 0,
            text: None,
        };
        let nodes = [("alpha", Observation::File(Some(state))), ("beta", beta)];
        let answered = |observation| {
            NodeOutcome::Answered(Box::new(NodeFacts {
                observed: [(mark(), observation)].into(),
                ..NodeFacts::unknown("not asked")
            }))
        };
        FleetFacts {
            nodes: nodes.map(|(name, observation)| (node(name), answered(observation))).into(),
            program: None,
        }
    }

    fn judged(agent: &str, beta: Observation) -> Result<Change, Blocked> {
        let (facts, secrets, pending) = (facts(beta), SecretStore::default(), BTreeSet::new());
        fencing(agent).unwrap().diff(&DiffContext { facts: &facts, secrets: &secrets, pending: &pending })
    }

    #[test]
    fn only_agents_of_the_lab_and_those_that_do_not_fence_are_looked_at() {
        assert!(fencing("fence_ipmilan").is_none());
        for agent in ["fence_lab", "external/ssh", "fence_dummy"] {
            assert_eq!(fencing(agent).unwrap().agents, BTreeSet::from([agent.to_owned()]));
        }
    }

    #[test]
    fn nodes_without_the_mark_of_the_lab_are_refused_by_name() {
        let blocked = judged("external/ssh", Observation::File(None)).unwrap_err();
        assert!(blocked.reason.contains("`external/ssh` cannot be relied on"), "{}", blocked.reason);
        assert!(blocked.reason.ends_with("no nodes of a lab: beta"), "{}", blocked.reason);
        assert!(blocked.advice.contains("cuts the power"), "{}", blocked.advice);
    }

    #[test]
    fn a_mark_that_could_not_be_looked_for_is_not_taken_for_one() {
        let blocked = judged("fence_lab", Observation::Unknown("permission denied".to_owned())).unwrap_err();
        assert_eq!(blocked.node, Some(node("beta")));
        assert!(blocked.reason.contains("permission denied"), "{}", blocked.reason);
    }

    #[test]
    fn nodes_of_the_lab_may_use_them() {
        let state = facts(Observation::File(None)).node(&node("alpha")).unwrap().observation(&mark());
        assert_eq!(judged("fence_lab", state), Ok(Change::None));
    }
}
