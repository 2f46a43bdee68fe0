//! Kernel modules and kernel parameters.

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked};

/// A kernel module that must be loaded now. That it is loaded at boot is a file's matter.
#[derive(Debug, Clone)]
pub struct KernelModule {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// The module.
    pub module: String,
}

/// A kernel parameter that must have a value now. That it has it after a boot is a file's matter.
#[derive(Debug, Clone)]
pub struct Sysctl {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Its key with dots.
    pub key: String,
    /// Its value.
    pub value: String,
}

fn unknown(id: &ResourceId, node: &NodeName, what: &str, why: &str) -> Blocked {
    Blocked {
        resource: id.clone(),
        node: Some(node.clone()),
        reason: format!("{what} could not be looked at: {why}"),
        advice: "see why and run again".to_owned(),
    }
}

impl Resource for KernelModule {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        vec![(self.node.clone(), Query::Module { name: self.module.clone() })]
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        match context.observed(&self.node, &Query::Module { name: self.module.clone() }) {
            Observation::Text(Some(_)) => Ok(Change::None),
            Observation::Text(None) => {
                let mut steps = Steps::of(&self.id);
                steps.push(&self.node, "load", Action::LoadModule { name: self.module.clone() }, &[]);
                Ok(steps.change(format!("load kernel module {}", self.module), format!("+{}\n", self.module)))
            }
            Observation::Unknown(why) => Err(unknown(&self.id, &self.node, &self.module, &why)),
            _ => Err(unknown(&self.id, &self.node, &self.module, "it was not looked at as a module")),
        }
    }
}

impl Resource for Sysctl {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        vec![(self.node.clone(), Query::Sysctl { key: self.key.clone() })]
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let present = match context.observed(&self.node, &Query::Sysctl { key: self.key.clone() }) {
            Observation::Text(value) => value,
            Observation::Unknown(why) => return Err(unknown(&self.id, &self.node, &self.key, &why)),
            _ => return Err(unknown(&self.id, &self.node, &self.key, "it was not looked at as a parameter")),
        };
        let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        if present.as_deref().map(normal) == Some(normal(&self.value)) {
            return Ok(Change::None);
        }
        let mut steps = Steps::of(&self.id);
        let action = Action::SetSysctl { key: self.key.clone(), value: self.value.clone() };
        steps.push(&self.node, "set", action, &[]);
        let old = present.map(|value| format!("-{} = {}\n", self.key, normal(&value))).unwrap_or_default();
        Ok(steps.change(format!("set {}", self.key), format!("{old}+{} = {}\n", self.key, self.value)))
    }
}
