//! corosync.conf on all nodes of a cluster, and that the running corosync has it.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::rollout::{COROSYNC, NodeState, PACEMAKER, Rollout};
use super::{Change, DiffContext, ManagedFile, Resource, ResourceId};
use crate::corosync::{
    ChangeClass, Classification, CorosyncConf, Version, classify_on_node, parse_cmap, parse_quorum_status,
};
use crate::facts::{ClusterQuery, Observation, Query, UnitState};
use crate::names::NodeName;
use crate::plan::Blocked;

/// Where corosync reads its configuration.
const CONF_PATH: &str = "/etc/corosync/corosync.conf";
/// The oldest corosync that this was tried with; assumed where the package's version cannot be read.
const OLDEST_VERSION: Version = Version::new(3, 0, 0);

/// One configuration for all nodes of a cluster.
#[derive(Debug, Clone)]
pub struct CorosyncConfig {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<NodeName>,
    /// The text of the file.
    pub content: String,
}

impl CorosyncConfig {
    fn file(&self, node: &NodeName) -> ManagedFile {
        ManagedFile {
            id: self.id.clone(),
            requires: self.requires.clone(),
            node: node.clone(),
            path: Utf8PathBuf::from(CONF_PATH),
            content: self.content.clone(),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            validate: None,
        }
    }

    fn blocked(&self, node: &NodeName, reason: String) -> Blocked {
        let advice = "see what corosync says on the node, then run again".to_owned();
        Blocked { resource: self.id.clone(), node: Some(node.clone()), reason, advice }
    }

    fn unit(&self, node: &NodeName, unit: &str, context: &DiffContext<'_>) -> Result<UnitState, Blocked> {
        match context.observed(node, &unit_query(unit)) {
            Observation::Unit(state) => Ok(state),
            Observation::Unknown(why) => Err(self.blocked(node, format!("{unit}: {why}"))),
            _ => Err(self.blocked(node, format!("{unit} was not looked at as a unit"))),
        }
    }

    fn state(
        &self,
        node: &NodeName,
        conf: &CorosyncConf,
        context: &DiffContext<'_>,
    ) -> Result<NodeState, Blocked> {
        let old = match context.observed(node, &file_query()) {
            Observation::File(state) => state.and_then(|state| state.text),
            Observation::Unknown(why) => return Err(self.blocked(node, format!("{CONF_PATH}: {why}"))),
            _ => None,
        };
        let (corosync, pacemaker) =
            (self.unit(node, COROSYNC, context)?, self.unit(node, PACEMAKER, context)?);
        let startable = [&corosync, &pacemaker]
            .iter()
            .all(|unit| unit.load_state == "loaded" && !unit.unit_file_state.starts_with("masked"));
        let mut state = NodeState {
            corosync: is_running(&corosync),
            pacemaker: is_running(&pacemaker),
            startable: startable && old.is_some(),
            needed: Classification { class: ChangeClass::None, changes: Vec::new() },
        };
        if !state.corosync {
            return Ok(state);
        }
        let cmap = match context.observed(node, &Query::Cluster(ClusterQuery::Cmap)) {
            Observation::Text(Some(text)) => {
                parse_cmap(&text).map_err(|error| self.blocked(node, format!("corosync-cmapctl: {error}")))?
            }
            Observation::Unknown(why) => return Err(self.blocked(node, format!("corosync-cmapctl: {why}"))),
            _ => return Err(self.blocked(node, "corosync is active but does not answer".to_owned())),
        };
        let quorum = match context.observed(node, &Query::Cluster(ClusterQuery::Quorum)) {
            Observation::Text(Some(text)) => parse_quorum_status(&text).ok(),
            _ => None,
        };
        // What is not a corosync.conf at all says nothing of what runs.
        let old = old.and_then(|text| CorosyncConf::parse(&text).ok());
        state.needed = classify_on_node(old.as_ref(), conf, &cmap, quorum.as_ref(), version(node, context));
        Ok(state)
    }

    /// Writes the file where it differs. Returns the difference, with the nodes that it is on.
    fn write(&self, rollout: &mut Rollout<'_>, context: &DiffContext<'_>) -> Result<String, Blocked> {
        let mut differences: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for node in &self.nodes {
            let file = self.file(node);
            if let Some((steps, _, diff)) = file.diff_with(&context.observed(node, &file_query()), context)? {
                differences.entry(diff).or_default().push(node.as_str());
                rollout.write(steps.into_steps());
            }
        }
        let everywhere = |nodes: &[&str]| nodes.len() == self.nodes.len();
        let text = |(diff, nodes): (String, Vec<&str>)| match everywhere(&nodes) {
            true => diff,
            false => format!("# on {}:\n{diff}", nodes.join(", ")),
        };
        Ok(differences.into_iter().map(text).collect())
    }
}

/// What all nodes together need, each change once.
fn whole(states: &BTreeMap<NodeName, NodeState>) -> Classification {
    let mut whole = Classification { class: ChangeClass::None, changes: Vec::new() };
    for needed in states.values().map(|state| &state.needed) {
        whole.class = whole.class.max(needed.class);
        for change in &needed.changes {
            if !whole.changes.contains(change) {
                whole.changes.push(change.clone());
            }
        }
    }
    whole
}

fn is_running(unit: &UnitState) -> bool {
    matches!(unit.active_state.as_str(), "active" | "reloading")
}

fn file_query() -> Query {
    Query::File { path: Utf8PathBuf::from(CONF_PATH), text: true }
}

fn unit_query(unit: &str) -> Query {
    Query::Unit { name: unit.to_owned() }
}

fn package_query() -> Query {
    Query::Package { name: "corosync".to_owned() }
}

fn version(node: &NodeName, context: &DiffContext<'_>) -> Version {
    match context.observed(node, &package_query()) {
        Observation::Package(Some(state)) => state.version.parse().unwrap_or(OLDEST_VERSION),
        _ => OLDEST_VERSION,
    }
}

impl Resource for CorosyncConfig {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        let per_node = [
            file_query(),
            unit_query(COROSYNC),
            unit_query(PACEMAKER),
            package_query(),
            Query::Cluster(ClusterQuery::Cmap),
            Query::Cluster(ClusterQuery::Quorum),
        ];
        self.nodes
            .iter()
            .flat_map(|node| per_node.iter().map(|query| (node.clone(), query.clone())))
            .collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let founder = self.nodes.first().cloned();
        let Some(founder) = founder else { return Ok(Change::None) };
        let conf = CorosyncConf::parse(&self.content)
            .map_err(|error| self.blocked(&founder, format!("the rendered {CONF_PATH} is wrong: {error}")))?;
        let mut states = BTreeMap::new();
        for node in &self.nodes {
            states.insert(node.clone(), self.state(node, &conf, context)?);
        }
        let needed = whole(&states);
        let mut rollout = Rollout::of(&self.id, &states);
        if needed.class == ChangeClass::FullStop {
            rollout.stop_all();
        }
        let diff = self.write(&mut rollout, context)?;
        match needed.class {
            ChangeClass::None => {}
            ChangeClass::Reload => rollout.reload(),
            ChangeClass::RollingRestart => rollout.restart_one_by_one(),
            ChangeClass::FullStop => rollout.start_all(),
        }
        let runs = states.values().any(|state| state.corosync);
        let summary = summary(&needed, !diff.is_empty(), runs);
        Ok(rollout.into_steps().change(summary, diff + &reasons(&needed)))
    }
}

fn summary(needed: &Classification, written: bool, runs: bool) -> String {
    let write = if written { "write corosync.conf and " } else { "" };
    match needed.class {
        ChangeClass::None if runs => "write corosync.conf (corosync runs with this already)".to_owned(),
        ChangeClass::None => "write corosync.conf".to_owned(),
        ChangeClass::Reload => format!("{write}reload corosync (nothing restarts)"),
        ChangeClass::RollingRestart => {
            format!("{write}restart corosync node by node (resources keep running)")
        }
        ChangeClass::FullStop => {
            format!("{write}stop corosync everywhere before it is started again (resources keep running)")
        }
    }
}

fn reasons(class: &Classification) -> String {
    let mut text = String::new();
    for change in &class.changes {
        let old = change.old.as_deref().unwrap_or("(absent)");
        let new = change.new.as_deref().unwrap_or("(absent)");
        text.push_str(&format!("# {}: {old} -> {new}: {}: {}\n", change.path, change.class, change.why));
    }
    text
}
