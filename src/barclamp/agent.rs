//! `fencing/AGENT.yml`: what hactl knows of a fence agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::BarclampError;
use super::folder::Folder;
use crate::distro::DistroTable;

/// The folder of the agents.
pub(super) const AGENTS_FOLDER: &str = "fencing";

/// Parameters of every fence device that Pacemaker itself reads (pacemaker-fenced(7)).
const PACEMAKER_PARAMS: &[&str] = &[
    "pcmk_host_argument",
    "pcmk_host_map",
    "pcmk_host_list",
    "pcmk_host_check",
    "pcmk_delay_max",
    "pcmk_delay_base",
    "pcmk_action_limit",
];
/// Actions for which Pacemaker has `pcmk_ACTION_action`, `_timeout` and `_retries`.
const PACEMAKER_ACTIONS: &[&str] = &["reboot", "off", "on", "list", "monitor", "status"];

/// A fence agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FenceAgent {
    /// What it talks to, in a line.
    pub summary: String,
    /// The packages that bring it, per distribution.
    pub packages: DistroTable<Vec<String>>,
    /// Whether every node has a device of its own.
    pub scope: FenceScope,
    /// The parameter that tells one node's device from another's.
    #[serde(default)]
    pub node_param: Option<String>,
    /// Its parameters.
    pub params: BTreeMap<String, FenceParam>,
    /// Old names of parameters, with the new ones.
    #[serde(default)]
    pub renamed: BTreeMap<String, String>,
    /// Whether it exists in the built-in lab only.
    #[serde(default)]
    pub lab_only: bool,
}

/// Whether a device is one node's or all nodes'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceScope {
    /// One device per node: a management board, an outlet, a virtual machine.
    Node,
    /// One device for all nodes: a shared disk.
    Cluster,
}

/// A parameter of a fence agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FenceParam {
    /// What it means.
    pub summary: String,
    /// Whether the agent cannot do without it.
    #[serde(default)]
    pub required: bool,
    /// Whether it must be given as a reference to a secret.
    #[serde(default)]
    pub secret: bool,
    /// The attribute (a JSON pointer) that names the claims whose devices it is, separated by commas, unless it is given.
    #[serde(default)]
    pub claims: Option<String>,
}

impl FenceAgent {
    /// Reads the agents of a folder, by name.
    ///
    /// # Errors
    /// Every one that is wrong.
    pub fn load_all(folder: &Folder) -> Result<BTreeMap<String, Self>, Vec<BarclampError>> {
        let mut agents = BTreeMap::new();
        let mut errors = Vec::new();
        for (path, _) in folder.below(AGENTS_FOLDER) {
            let file = format!("{AGENTS_FOLDER}/{path}");
            let Some(name) = path.as_str().strip_suffix(".yml") else {
                errors.push(folder.error(&file, None, "a fence agent is described in AGENT.yml"));
                continue;
            };
            match folder.yaml::<Self>(&file) {
                Ok(agent) => match agent.check() {
                    Ok(()) => drop(agents.insert(name.to_owned(), agent)),
                    Err(message) => errors.push(folder.error(&file, None, message)),
                },
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(agents) } else { Err(errors) }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(name) =
            self.node_param.iter().chain(self.renamed.values()).find(|name| !self.params.contains_key(*name))
        {
            return Err(format!("`{name}` is not one of its `params`"));
        }
        match (self.scope, &self.node_param) {
            (FenceScope::Node, None) => Err("a device per node needs a `node_param`".to_owned()),
            (FenceScope::Cluster, Some(_)) => Err("one device for all nodes has no `node_param`".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Whether a parameter is one that Pacemaker reads, whatever the agent.
pub(super) fn is_pacemaker_param(name: &str) -> bool {
    let of_action = |action: &&str| {
        name.strip_prefix("pcmk_")
            .and_then(|rest| rest.strip_prefix(*action))
            .is_some_and(|what| matches!(what, "_action" | "_timeout" | "_retries"))
    };
    PACEMAKER_PARAMS.contains(&name) || PACEMAKER_ACTIONS.iter().any(of_action)
}
