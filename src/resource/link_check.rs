//! That datagrams pass between all nodes on all links, tried before corosync is started for the first time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked};

/// A check of the network that runs when a node's corosync does not.
#[derive(Debug, Clone)]
pub struct LinkCheck {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// Every node's addresses, link 0 first.
    pub addresses: BTreeMap<NodeName, Vec<IpAddr>>,
    /// corosync's UDP port on each link.
    pub ports: Vec<u16>,
}

fn unit() -> Query {
    Query::Unit { name: "corosync.service".to_owned() }
}

impl Resource for LinkCheck {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        self.addresses.keys().map(|node| (node.clone(), unit())).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let mut listeners = Vec::new();
        for node in self.addresses.keys() {
            match context.observed(node, &unit()) {
                Observation::Unit(state) if state.active_state == "active" => {}
                Observation::Unit(_) => listeners.push(node.clone()),
                Observation::Unknown(why) => {
                    return Err(Blocked {
                        resource: self.id.clone(),
                        node: Some(node.clone()),
                        reason: format!("whether corosync runs could not be learned: {why}"),
                        advice: "see why and run again".to_owned(),
                    });
                }
                _ => {}
            }
        }
        let mut steps = Steps::of(&self.id);
        // A port that corosync uses cannot be listened on, and membership itself shows that it is reached.
        if self.addresses.len() > 1
            && let Some(first) = listeners.first().cloned()
        {
            let action = Action::CheckLinks {
                listeners,
                addresses: self.addresses.clone(),
                ports: self.ports.clone(),
            };
            steps.push(&first, "check", action, &[]);
        }
        Ok(steps.change("check that the nodes reach each other on every link", ""))
    }
}
