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
    /// What holds of a cluster that has formed, corosync's part first.
    fn formed(&self) -> [Check; 2] {
        let nodes: Vec<NodeName> = self.nodes.iter().cloned().collect();
        [Check::Membership { nodes: nodes.clone() }, Check::Online { nodes }]
    }

    /// What is still missing: the daemons may run and not have found each other yet.
    fn missing(&self, context: &DiffContext<'_>) -> Option<String> {
        let observe = |query: &Query| context.observed(&self.founder, query);
        self.formed().iter().find_map(|check| check.judge(&observe).err())
    }

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
        let formed = self.formed().into_iter().flat_map(|check| check.queries());
        let asked = formed.map(|query| (self.founder.clone(), query));
        self.nodes.iter().map(|node| (node.clone(), Query::Cluster(ClusterQuery::Cib))).chain(asked).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let mut steps = Steps::of(&self.id);
        let forming = self.requires.iter().any(|id| context.pending.contains(id));
        let missing = self.missing(context);
        let maintenance = self.is_left_in_maintenance(context);
        let mut after = Vec::new();
        if forming || missing.is_some() || maintenance {
            for (what, check) in ["quorum", "online"].into_iter().zip(self.formed()) {
                after = vec![steps.push(&self.founder, what, Action::wait(check, FORM_LIMIT), &after)];
            }
        }
        if maintenance {
            steps.push(&self.founder, "maintenance-off", Action::Maintenance { on: false }, &after);
            let summary = "end the maintenance mode that an interrupted run left on";
            return Ok(steps.change(summary, "-maintenance-mode (hactl-rollout)\n"));
        }
        let reason = missing.filter(|_| !forming).map(|missing| format!("# {missing}\n")).unwrap_or_default();
        Ok(steps.change("form the cluster", reason))
    }
}
