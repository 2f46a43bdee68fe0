//! This very program on a node, for what runs there by it.

use camino::Utf8PathBuf;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, Guard};

/// A copy of the running program.
#[derive(Debug, Clone)]
pub struct OwnProgram {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Absolute path.
    pub path: Utf8PathBuf,
}

impl OwnProgram {
    fn query(&self) -> Query {
        Query::File { path: self.path.clone(), text: false }
    }

    fn blocked(&self, reason: String, advice: &str) -> Blocked {
        let (resource, node) = (self.id.clone(), Some(self.node.clone()));
        Blocked { resource, node, reason, advice: advice.to_owned() }
    }
}

/// Everybody may run it, root may replace it.
const MODE: u32 = 0o755;

impl Resource for OwnProgram {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        vec![(self.node.clone(), self.query())]
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let Some(wanted) = &context.facts.program else {
            let reason =
                "the running program could not be read, so that it cannot be put on the node".to_owned();
            return Err(self.blocked(reason, "run a hactl that is still where it was started from"));
        };
        let found = match context.observed(&self.node, &self.query()) {
            Observation::File(state) => state,
            Observation::Unknown(why) => {
                let reason = format!("{} could not be looked at: {why}", self.path);
                return Err(self.blocked(reason, "see why and run again"));
            }
            _ => {
                let reason = format!("{} was not looked at as a file", self.path);
                return Err(self.blocked(reason, "this is a defect of hactl"));
            }
        };
        let digest = found.as_ref().map(|state| state.digest.clone());
        if found.is_some_and(|state| state.mode & 0o777 == MODE) && digest.as_ref() == Some(wanted) {
            return Ok(Change::None);
        }
        let mut steps = Steps::of(&self.id);
        let action = Action::InstallProgram { path: self.path.clone(), digest: wanted.clone() };
        steps.push(&self.node, "install", action, &[]);
        let old =
            digest.as_ref().map(|digest| format!("-{} {}\n", self.path, digest.short())).unwrap_or_default();
        steps.guard(Guard::File { path: self.path.clone(), digest });
        steps.proof(Check::File { path: self.path.clone(), digest: Some(wanted.clone()) });
        Ok(steps.change(
            format!("put this hactl at {}", self.path),
            format!("{old}+{} {}\n", self.path, wanted.short()),
        ))
    }
}
