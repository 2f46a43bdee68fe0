//! That all nodes of a cluster are members, online and managed: what comes between starting the stack and the CIB.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::cib::{Cib, ROLLOUT_SET, Section};
use crate::facts::{ClusterQuery, Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check};

/// How long a started stack may take to form a cluster with an elected controller.
const FORM_LIMIT: Duration = Duration::from_secs(180);

/// The membership of a cluster.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first: the stack's units on all nodes.
    pub requires: Vec<ResourceId>,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<NodeName>,
    /// The node that is asked.
    pub founder: NodeName,
}

impl Membership {
    /// Whether a killed rollout left maintenance mode on.
    fn is_left_in_maintenance(&self, context: &DiffContext<'_>) -> bool {
        self.nodes.iter().any(|node| {
            let seen = context.seen(node, &Query::Cluster(ClusterQuery::Cib));
            let Some(Observation::Text(Some(text))) = seen else { return false };
            // A text without the name needs no parsing, and that is nearly always so.
            text.contains(ROLLOUT_SET)
                && Cib::parse(text).is_ok_and(|cib| cib.object(Section::CrmConfig, ROLLOUT_SET).is_some())
        })
    }
}

impl Resource for Membership {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        self.nodes.iter().map(|node| (node.clone(), Query::Cluster(ClusterQuery::Cib))).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let nodes: Vec<NodeName> = self.nodes.iter().cloned().collect();
        let mut steps = Steps::of(&self.id);
        let forming = self.requires.iter().any(|id| context.pending.contains(id));
        let maintenance = self.is_left_in_maintenance(context);
        let mut after = Vec::new();
        if forming || maintenance {
            let members = Check::Membership { nodes: nodes.clone() };
            after = vec![steps.push(&self.founder, "quorum", Action::wait(members, FORM_LIMIT), &after)];
            let online = Action::wait(Check::Online { nodes }, FORM_LIMIT);
            after = vec![steps.push(&self.founder, "online", online, &after)];
        }
        if maintenance {
            steps.push(&self.founder, "maintenance-off", Action::Maintenance { on: false }, &after);
            let summary = "end the maintenance mode that an interrupted run left on";
            return Ok(steps.change(summary, "-maintenance-mode (hactl-rollout)\n"));
        }
        Ok(steps.change("form the cluster", ""))
    }
}
