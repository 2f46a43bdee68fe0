//! The plan that takes clusters down.

use std::collections::BTreeMap;

use super::session::queries;
use super::{PipelineError, Session};
use crate::facts::{CLAIM_LEDGER_PATH, ClaimLedger, Ledger};
use crate::names::NodeName;
use crate::plan::{self, Blocked, Plan};
use crate::resource::{Resource, ResourceId, Teardown};

impl Session {
    /// Plans the removal of everything that the nodes' ledgers name.
    ///
    /// # Errors
    /// Nodes did not answer. A ledger that cannot be read is a refusal in the plan.
    pub async fn destroy_plan(&mut self) -> Result<Plan, PipelineError> {
        self.all_answered()?;
        let mut wanted: Vec<Box<dyn Resource>> = Vec::new();
        let mut blocked: Vec<Blocked> = Vec::new();
        for cluster in self.clusters() {
            let id = ResourceId::of_cluster("teardown", cluster.name.as_str(), &cluster.name);
            let mut ledgers: BTreeMap<NodeName, Ledger> = BTreeMap::new();
            let mut claims: BTreeMap<NodeName, ClaimLedger> = BTreeMap::new();
            for node in cluster.nodes.keys() {
                let Some(facts) = self.facts.node(node) else { continue };
                match facts.ledger.as_result() {
                    Ok(ledger) if ledger.cluster == cluster.name.as_str() => {
                        ledgers.insert(node.clone(), ledger.clone());
                        match facts.claims.as_result() {
                            Ok(claimed) => drop(claims.insert(node.clone(), claimed.clone())),
                            Err(why) => blocked.push(Blocked {
                                resource: id.clone(),
                                node: Some(node.clone()),
                                reason: format!(
                                    "which devices are claimed there could not be learned: {why}"
                                ),
                                advice: format!("see {CLAIM_LEDGER_PATH} on the node; it would be removed"),
                            }),
                        }
                    }
                    Ok(_) => {}
                    Err(why) => blocked.push(Blocked {
                        resource: id.clone(),
                        node: Some(node.clone()),
                        reason: format!("what hactl owns there could not be learned: {why}"),
                        advice: "see /var/lib/hactl/owned.json on the node; nothing is removed without it"
                            .to_owned(),
                    }),
                }
            }
            if !ledgers.is_empty() {
                wanted.push(Box::new(Teardown { id, cluster: cluster.name.clone(), ledgers, claims }));
            }
        }
        self.observe(&queries(&wanted)).await;
        self.all_answered()?;
        let mut plan = plan::build(&wanted, &self.facts, &self.secrets, self.digest.clone(), Vec::new())?;
        plan.blocked.splice(0..0, blocked);
        if !self.options.on.is_all() {
            plan::restrict(&mut plan, &self.selected);
        }
        Ok(plan)
    }
}
