//! corosync.conf on all nodes of a cluster, and that the running corosync has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::Utf8PathBuf;

use super::{Change, DiffContext, ManagedFile, Resource, ResourceId, Steps};
use crate::corosync::{
    ChangeClass, Classification, CorosyncConf, Version, classify, classify_running, parse_cmap,
    parse_quorum_status,
};
use crate::facts::{ClusterQuery, Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, Risk, StepId, UnitVerb};

/// Where corosync reads its configuration.
const CONF_PATH: &str = "/etc/corosync/corosync.conf";
/// The units, in the order in which they start.
const COROSYNC: &str = "corosync.service";
const PACEMAKER: &str = "pacemaker.service";
/// How long a restarted node may take to be online again.
const REJOIN_LIMIT: Duration = Duration::from_secs(180);
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

/// What is known of one node before the change.
struct NodeState {
    running: bool,
    old: Option<String>,
    pending: Classification,
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

    fn state(
        &self,
        node: &NodeName,
        conf: &CorosyncConf,
        context: &DiffContext<'_>,
    ) -> Result<NodeState, Blocked> {
        let none = Classification { class: ChangeClass::None, changes: Vec::new() };
        let old = match context.observed(node, &file_query()) {
            Observation::File(state) => state.and_then(|state| state.text),
            Observation::Unknown(why) => return Err(self.blocked(node, format!("{CONF_PATH}: {why}"))),
            _ => None,
        };
        let running = match context.observed(node, &unit_query()) {
            Observation::Unit(state) => matches!(state.active_state.as_str(), "active" | "reloading"),
            Observation::Unknown(why) => return Err(self.blocked(node, format!("{COROSYNC}: {why}"))),
            _ => false,
        };
        if !running {
            return Ok(NodeState { running, old, pending: none });
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
        let pending = classify_running(conf, &cmap, quorum.as_ref(), version(node, context));
        Ok(NodeState { running, old, pending })
    }

    /// What the change as a whole needs: from the old file to the new one, and from what runs to the file.
    fn classification(
        &self,
        states: &BTreeMap<&NodeName, NodeState>,
        conf: &CorosyncConf,
        context: &DiffContext<'_>,
    ) -> Classification {
        let mut whole = Classification { class: ChangeClass::None, changes: Vec::new() };
        for (node, state) in states.iter().filter(|(_, state)| state.running) {
            // Where the old file can be read, the way from it is judged link by link; what runs decides whether
            // anything is to be done at all.
            let from_file = state.old.as_deref().filter(|old| *old != self.content).and_then(|old| {
                CorosyncConf::parse(old).ok().map(|old| classify(&old, conf, version(node, context)))
            });
            let part = match from_file {
                Some(from_file) if from_file.class >= state.pending.class => from_file,
                _ => state.pending.clone(),
            };
            if part.class > whole.class {
                whole.class = part.class;
            }
            for change in part.changes {
                if !whole.changes.contains(&change) {
                    whole.changes.push(change);
                }
            }
        }
        whole
    }
}

fn file_query() -> Query {
    Query::File { path: Utf8PathBuf::from(CONF_PATH), text: true }
}

fn unit_query() -> Query {
    Query::Unit { name: COROSYNC.to_owned() }
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
            unit_query(),
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
            states.insert(node, self.state(node, &conf, context)?);
        }
        let class = self.classification(&states, &conf, context);
        let mut steps = Steps::of(&self.id);
        let mut diff = String::new();
        let before = match class.class {
            ChangeClass::FullStop => detach_all(&mut steps, &states),
            _ => Vec::new(),
        };
        let mut written = before.clone();
        for node in &self.nodes {
            let file = self.file(node);
            let Some((file_steps, _, file_diff)) =
                file.diff_with(&context.observed(node, &file_query()), context)?
            else {
                continue;
            };
            if !diff.contains(&file_diff) {
                diff.push_str(&file_diff);
            }
            for mut step in file_steps.into_steps() {
                step.after.clone_from(&before);
                written.push(steps.push_step(step));
            }
        }
        match class.class {
            ChangeClass::None => {}
            ChangeClass::Reload => reload(&mut steps, &states, &written),
            ChangeClass::RollingRestart => rolling_restart(&mut steps, &states, &written),
            ChangeClass::FullStop => start_all(&mut steps, &states, &written),
        }
        Ok(steps.change(summary(&class), diff + &reasons(&class)))
    }
}

fn summary(class: &Classification) -> String {
    match class.class {
        ChangeClass::None => "write corosync.conf".to_owned(),
        ChangeClass::Reload => "write corosync.conf and reload corosync (nothing restarts)".to_owned(),
        ChangeClass::RollingRestart => {
            "write corosync.conf and restart corosync node by node (resources keep running)".to_owned()
        }
        ChangeClass::FullStop => {
            "stop corosync everywhere, write corosync.conf, start it again (resources keep running)"
                .to_owned()
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

fn running<'a>(states: &'a BTreeMap<&NodeName, NodeState>) -> impl Iterator<Item = &'a NodeName> {
    states.iter().filter(|(_, state)| state.running).map(|(node, _)| *node)
}

fn reload(steps: &mut Steps<'_>, states: &BTreeMap<&NodeName, NodeState>, after: &[StepId]) {
    if let Some(node) = running(states).next() {
        steps.push(node, "reload", Action::ReloadCorosync, after);
    }
}

fn unit(steps: &mut Steps<'_>, node: &NodeName, unit: &str, verb: UnitVerb, after: &[StepId]) -> StepId {
    let what = format!("{}-{}", verb.word(), unit.trim_end_matches(".service"));
    let id = steps.push(node, &what, Action::Unit { unit: unit.to_owned(), verb }, after);
    let active = verb == UnitVerb::Start;
    steps.proof(Check::UnitActive { unit: unit.to_owned(), active });
    if !active {
        steps.risk(Risk::Disruptive(vec![format!("{unit} on {node} (its resources keep running)")]));
    }
    id
}

/// One node after the other, under maintenance mode, so that resources stay where they are.
fn rolling_restart(steps: &mut Steps<'_>, states: &BTreeMap<&NodeName, NodeState>, after: &[StepId]) {
    let nodes: Vec<NodeName> = running(states).cloned().collect();
    let Some(first) = nodes.first() else { return };
    let mut last = steps.push(first, "maintenance-on", Action::Maintenance { on: true }, after);
    for node in &nodes {
        last = unit(steps, node, PACEMAKER, UnitVerb::Stop, &[last]);
        last = unit(steps, node, COROSYNC, UnitVerb::Stop, &[last]);
        last = unit(steps, node, COROSYNC, UnitVerb::Start, &[last]);
        last = unit(steps, node, PACEMAKER, UnitVerb::Start, &[last]);
        let online = Check::Online { nodes: nodes.clone() };
        last = steps.push(node, "rejoin", Action::wait(online, REJOIN_LIMIT), &[last]);
    }
    steps.push(first, "maintenance-off", Action::Maintenance { on: false }, &[last]);
}

/// Everything down, under maintenance mode. Returns the steps after which the file may be written.
fn detach_all(steps: &mut Steps<'_>, states: &BTreeMap<&NodeName, NodeState>) -> Vec<StepId> {
    let nodes: Vec<NodeName> = running(states).cloned().collect();
    let Some(first) = nodes.first() else { return Vec::new() };
    let on = steps.push(first, "maintenance-on", Action::Maintenance { on: true }, &[]);
    let stopped: Vec<StepId> = nodes
        .iter()
        .map(|node| unit(steps, node, PACEMAKER, UnitVerb::Stop, std::slice::from_ref(&on)))
        .collect();
    nodes.iter().map(|node| unit(steps, node, COROSYNC, UnitVerb::Stop, &stopped)).collect()
}

fn start_all(steps: &mut Steps<'_>, states: &BTreeMap<&NodeName, NodeState>, after: &[StepId]) {
    let nodes: Vec<NodeName> = running(states).cloned().collect();
    let Some(first) = nodes.first() else { return };
    let up: Vec<StepId> =
        nodes.iter().map(|node| unit(steps, node, COROSYNC, UnitVerb::Start, after)).collect();
    let up: Vec<StepId> =
        nodes.iter().map(|node| unit(steps, node, PACEMAKER, UnitVerb::Start, &up)).collect();
    let online = Check::Online { nodes: nodes.clone() };
    let online = steps.push(first, "rejoin", Action::wait(online, REJOIN_LIMIT), &up);
    steps.push(first, "maintenance-off", Action::Maintenance { on: false }, &[online]);
}
