//! The ledgers of claims: what they say, and the plan that takes one claim out.

use serde::Serialize;

use super::{PipelineError, Session};
use crate::facts::{ClaimEntry, NodeOutcome};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Blocked, Check, Guard, PLAN_FORMAT, Plan, ResourceChange, Risk, Step, StepId};
use crate::resource::ResourceId;

/// Version of the document that `claims list --json` prints.
pub const CLAIM_LIST_FORMAT: u32 = 1;

/// What the ledgers of the nodes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimList {
    /// [`CLAIM_LIST_FORMAT`].
    pub format: u32,
    /// Every node that was asked, by name.
    pub nodes: Vec<NodeClaims>,
}

/// What the ledger of one node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeClaims {
    /// The node.
    pub node: NodeName,
    /// The devices that are claimed, by purpose.
    pub claims: Vec<ListedClaim>,
    /// Why nothing is known, if so.
    pub problem: Option<String>,
    /// Whether that is because the node did not answer.
    pub unreachable: bool,
}

/// A claimed device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedClaim {
    /// What for.
    pub purpose: String,
    /// The device node that it is now; absent when the node does not have the device.
    pub path: Option<String>,
    /// The ledger's entry.
    #[serde(flatten)]
    pub entry: ClaimEntry,
}

impl Session {
    /// What the ledgers of the selected nodes say.
    #[must_use]
    pub fn claim_list(&self) -> ClaimList {
        let selected = self.facts.nodes.iter().filter(|(node, _)| self.selected.contains(*node));
        let nodes = selected.map(|(node, outcome)| self.claims_of(node, outcome)).collect();
        ClaimList { format: CLAIM_LIST_FORMAT, nodes }
    }

    fn claims_of(&self, node: &NodeName, outcome: &NodeOutcome) -> NodeClaims {
        let mut of_node =
            NodeClaims { node: node.clone(), claims: Vec::new(), problem: None, unreachable: false };
        let facts = match outcome {
            NodeOutcome::Answered(facts) => facts,
            NodeOutcome::Failed(error) => {
                of_node.problem = Some(error.to_string());
                of_node.unreachable = true;
                return of_node;
            }
        };
        let ledger = match facts.claims.as_result() {
            Ok(ledger) => ledger,
            Err(why) => {
                of_node.problem = Some(why.to_owned());
                return of_node;
            }
        };
        let policy = self.clusters().find(|cluster| cluster.nodes.contains_key(node));
        let judged = match (policy, facts.block_devices.known()) {
            (Some(cluster), Some(devices)) => {
                crate::claims::judge(devices, &cluster.claim_policy, Ok(ledger))
            }
            _ => Vec::new(),
        };
        for (purpose, entry) in &ledger.claims {
            let now = judged.iter().find(|one| one.identity.as_ref() == Some(&entry.identity));
            of_node.claims.push(ListedClaim {
                purpose: purpose.clone(),
                path: now.map(|one| format!("/dev/{}", one.name)),
                entry: entry.clone(),
            });
        }
        of_node
    }

    /// Plans the end of a claim. What is on the device is not touched.
    ///
    /// # Errors
    /// The node has no such claim. A ledger that cannot be read is a refusal in the plan.
    pub fn release_plan(&self, node: &NodeName, purpose: &str) -> Result<Plan, PipelineError> {
        let id = ResourceId::on_node("claim", purpose, node);
        let mut plan = Plan {
            format: PLAN_FORMAT,
            hactl: env!("CARGO_PKG_VERSION").to_owned(),
            inventory: self.digest.clone(),
            changes: Vec::new(),
            steps: Vec::new(),
            blocked: Vec::new(),
            notes: Vec::new(),
        };
        let facts = self.facts.node(node).ok_or_else(|| PipelineError::NoLedger(node.clone()))?;
        let cluster = self.clusters().find(|cluster| cluster.nodes.contains_key(node));
        let cluster: Option<&ClusterName> = cluster.map(|cluster| &cluster.name);
        let ledger = match facts.claims.as_result() {
            Ok(ledger) => ledger,
            Err(why) => {
                plan.blocked.push(Blocked {
                    resource: id,
                    node: Some(node.clone()),
                    reason: format!("which devices are claimed there could not be learned: {why}"),
                    advice: "see the file on the node; nothing is released without it".to_owned(),
                });
                return Ok(plan);
            }
        };
        let Some(entry) = ledger.claims.get(purpose) else {
            let purposes = ledger.claims.keys().cloned().collect();
            return Err(PipelineError::NoClaim { node: node.clone(), purpose: purpose.to_owned(), purposes });
        };
        if cluster.is_none_or(|cluster| cluster.as_str() != entry.cluster) {
            plan.blocked.push(Blocked {
                resource: id,
                node: Some(node.clone()),
                reason: format!("{} is claimed by the cluster {}", entry.identity, entry.cluster),
                advice: format!("release it with the inventory of the cluster {}", entry.cluster),
            });
            return Ok(plan);
        }
        plan.changes.push(ResourceChange {
            resource: id.clone(),
            summary: format!("forget that {} is claimed for {purpose}", entry.identity),
            diff: format!("-{} for {purpose} (what is on it stays)\n", entry.identity),
        });
        plan.steps.push(Step {
            id: StepId::new(&id, "release", node),
            resource: id,
            node: node.clone(),
            action: Action::ReleaseClaim { purpose: purpose.to_owned() },
            guard: Guard::Always,
            risk: Risk::Safe,
            after: Vec::new(),
            proof: Check::Done,
        });
        Ok(plan)
    }
}
