//! Packages of the distribution, installed together.

use std::collections::BTreeSet;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check};

/// Packages that must be installed and configured, in any version.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Their names in the node's distribution.
    pub names: BTreeSet<String>,
    /// Units that must not start when the packages are installed.
    pub keep_stopped: BTreeSet<String>,
    /// Whether nothing that hactl does first makes them available: then it is seen before anything is changed that
    /// they can be installed.
    pub available_now: bool,
}

impl Packages {
    fn missing(&self, context: &DiffContext<'_>) -> Result<BTreeSet<String>, Blocked> {
        let mut missing = BTreeSet::new();
        for name in &self.names {
            match context.observed(&self.node, &Query::Package { name: name.clone() }) {
                Observation::Package(Some(state)) if state.configured => {}
                Observation::Package(_) => {
                    missing.insert(name.clone());
                }
                Observation::Unknown(why) => return Err(self.blocked(name, &why)),
                _ => return Err(self.blocked(name, "it was not looked at as a package")),
            }
        }
        Ok(missing)
    }

    fn blocked(&self, name: &str, why: &str) -> Blocked {
        Blocked {
            resource: self.id.clone(),
            node: Some(self.node.clone()),
            reason: format!("whether package {name} is installed could not be learned: {why}"),
            advice: "see what the package manager says on the node, then run again".to_owned(),
        }
    }
}

impl Resource for Packages {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        self.names.iter().map(|name| (self.node.clone(), Query::Package { name: name.clone() })).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let missing = self.missing(context)?;
        if missing.is_empty() {
            return Ok(Change::None);
        }
        let mut steps = Steps::of(&self.id);
        let names: Vec<String> = missing.iter().cloned().collect();
        if self.available_now {
            steps.push(&self.node, "check", Action::CheckPackages { packages: names.clone() }, &[]);
        }
        steps.push(&self.node, "install", Action::install(&missing, &self.keep_stopped), &[]);
        let diff: String = names.iter().map(|name| format!("+{name}\n")).collect();
        let summary = format!("install {}", names.join(" "));
        steps.proof(Check::Packages { names });
        Ok(steps.change(summary, diff))
    }
}
