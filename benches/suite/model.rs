//! Nodes in memory, for measuring planning without I/O: bare ones, and what they are after a plan was carried out.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use hactl::cib::{Cib, Ownership, diff};
use hactl::facts::{
    Clock, ClusterQuery, Digest, Fact, FileState, FleetFacts, Hardware, Kernel, Ledger, Link, NodeFacts,
    NodeOutcome, Observation, OsRelease, PackageManager, PackageState, Query, Space, UnitState,
};
use hactl::inventory::Inventory;
use hactl::names::NodeName;
use hactl::plan::{Action, Check, Plan, UnitVerb};
use hactl::resource::Resource;

/// Free bytes and inodes on the nodes.
const PLENTY: u64 = 1 << 40;
/// Version of every package; corosync's counts, as what can be reloaded depends on it.
const PACKAGE_VERSION: &str = "3.1.7-1";
/// When units were started, in microseconds since the epoch: after every file was written.
const STARTED_US: i64 = 2_000_000_000_000_000;
/// The CIB that Pacemaker starts with.
const FIRST_SCHEMA: &str = "pacemaker-3.9";

/// Facts of bare Debian nodes with the addresses that the inventory gives them.
pub(crate) fn bare(inventory: &Inventory) -> FleetFacts {
    let nodes = inventory.clusters.values().flat_map(|cluster| cluster.nodes.values()).map(|node| {
        let addresses = node.links.iter().map(|address| (*address, 24)).collect();
        let links = vec![Link { name: "eth0".to_owned(), mtu: 1500, up: true, addresses }];
        (node.name.clone(), NodeOutcome::Answered(Box::new(node_facts(&node.name, links))))
    });
    FleetFacts { nodes: nodes.collect(), program: None }
}

fn node_facts(name: &NodeName, links: Vec<Link>) -> NodeFacts {
    let space = Space { available_bytes: PLENTY, available_inodes: PLENTY };
    NodeFacts {
        hostname: Fact::Known(name.to_string()),
        os: Fact::Known(OsRelease {
            id: "debian".to_owned(),
            version_id: "12".to_owned(),
            id_like: Vec::new(),
            pretty_name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        }),
        kernel: Fact::Known(Kernel { release: "6.1.0".to_owned(), machine: "x86_64".to_owned() }),
        hardware: Fact::Known(Hardware { cpus: 2, memory_bytes: PLENTY }),
        links: Fact::Known(links),
        clock: Fact::Known(Clock { offset_ms: 0, uncertainty_ms: 1 }),
        space: Fact::Known(BTreeMap::from([("/var".into(), space)])),
        package_manager: Fact::Known(PackageManager {
            kind: "apt".to_owned(),
            locked_by: None,
            unfinished: Vec::new(),
        }),
        block_devices: Fact::Known(Vec::new()),
        ledger: Fact::Known(Ledger::default()),
        claims: Fact::Known(hactl::facts::ClaimLedger::default()),
        observed: BTreeMap::new(),
    }
}

/// Answers every query that the resources ask and that has no answer yet with an absence.
pub(crate) fn absent(facts: &mut FleetFacts, resources: &[Box<dyn Resource>]) {
    for (node, query) in resources.iter().flat_map(|resource| resource.queries()) {
        if let Some(NodeOutcome::Answered(seen)) = facts.nodes.get_mut(&node) {
            let nothing = absence(&query);
            seen.observed.entry(query).or_insert(nothing);
        }
    }
}

fn absence(query: &Query) -> Observation {
    match query {
        Query::File { .. } => Observation::File(None),
        Query::Package { .. } => Observation::Package(None),
        Query::Unit { .. } => Observation::Unit(UnitState {
            load_state: "not-found".to_owned(),
            active_state: "inactive".to_owned(),
            unit_file_state: String::new(),
            since_us: 0,
        }),
        Query::Module { .. }
        | Query::Sysctl { .. }
        | Query::Cluster(_)
        | Query::DrbdModule
        | Query::Volumes
        | Query::Volume(_)
        | Query::Seeded(_) => Observation::Text(None),
    }
}

/// What the nodes are once every step of the plan was carried out.
///
/// # Errors
/// The plan does something that this model does not know.
pub(crate) fn carried_out(plan: &Plan, mut facts: FleetFacts, inventory: &Inventory) -> Result<FleetFacts> {
    for step in &plan.steps {
        let Some(NodeOutcome::Answered(seen)) = facts.nodes.get_mut(&step.node) else {
            bail!("no {}", step.node)
        };
        let observed = &mut seen.observed;
        match &step.action {
            Action::InstallPackages { packages, .. } => {
                for name in packages {
                    let state = PackageState { version: PACKAGE_VERSION.to_owned(), configured: true };
                    observed.insert(Query::Package { name: name.clone() }, Observation::Package(Some(state)));
                }
            }
            Action::ReplaceFile { path, content, mode, owner, group, .. } => {
                write(observed, path, content, *mode, owner, group);
            }
            Action::GenerateSecret { path, .. } | Action::CopySecret { path, .. } => {
                write(observed, path, "secret", 0o400, "root", "root");
            }
            Action::Unit { unit, verb } => change(observed, unit, *verb),
            Action::PatchCib { desired, .. } => {
                let desired = Cib::parse(desired).map_err(|error| anyhow!("{error}"))?;
                let live = diff(&Cib::empty(FIRST_SCHEMA), &desired, &Ownership::default(), &|_| None)?
                    .target
                    .render();
                let mates =
                    inventory.clusters.values().find(|cluster| cluster.nodes.contains_key(&step.node));
                for node in mates.into_iter().flat_map(|cluster| cluster.nodes.keys()) {
                    if let Some(NodeOutcome::Answered(mate)) = facts.nodes.get_mut(node) {
                        let query = Query::Cluster(ClusterQuery::Cib);
                        mate.observed.insert(query, Observation::Text(Some(live.clone())));
                    }
                }
            }
            Action::Wait { until: Check::Membership { nodes }, .. } => {
                let conf = Query::File { path: "/etc/corosync/corosync.conf".into(), text: true };
                let Some(Observation::File(Some(FileState { text: Some(conf), .. }))) = observed.get(&conf)
                else {
                    bail!("{} waits for members without a corosync.conf", step.node);
                };
                let text = quorum(nodes, conf);
                for node in nodes {
                    if let Some(NodeOutcome::Answered(mate)) = facts.nodes.get_mut(node) {
                        let query = Query::Cluster(ClusterQuery::Quorum);
                        mate.observed.insert(query, Observation::Text(Some(text.clone())));
                    }
                }
            }
            Action::Wait { until: Check::Online { nodes }, .. } => {
                let resources = inventory
                    .clusters
                    .values()
                    .find(|cluster| cluster.nodes.contains_key(&step.node))
                    .into_iter()
                    .flat_map(|cluster| cluster.resources.keys().map(ToString::to_string));
                let status = status(nodes, resources);
                observed.insert(Query::Cluster(ClusterQuery::Status), Observation::Text(Some(status)));
            }
            Action::CheckPackages { .. } | Action::CheckLinks { .. } | Action::Wait { .. } => {}
            other => bail!("the model of a node does not know how to {other}"),
        }
    }
    for outcome in facts.nodes.values_mut() {
        if let NodeOutcome::Answered(seen) = outcome {
            start_corosync(&mut seen.observed);
        }
    }
    Ok(facts)
}

fn write(
    observed: &mut BTreeMap<Query, Observation>,
    path: &camino::Utf8Path,
    content: &str,
    mode: u32,
    owner: &str,
    group: &str,
) {
    for text in [false, true] {
        let state = FileState {
            digest: Digest::of(content.as_bytes()),
            mode,
            owner: owner.to_owned(),
            group: group.to_owned(),
            modified_us: 0,
            text: text.then(|| content.to_owned()),
        };
        observed.insert(Query::File { path: path.to_owned(), text }, Observation::File(Some(state)));
    }
}

fn change(observed: &mut BTreeMap<Query, Observation>, unit: &str, verb: UnitVerb) {
    let query = Query::Unit { name: unit.to_owned() };
    let Some(Observation::Unit(state)) = observed.get_mut(&query) else { return };
    "loaded".clone_into(&mut state.load_state);
    match verb {
        UnitVerb::Enable => "enabled".clone_into(&mut state.unit_file_state),
        UnitVerb::Disable => "disabled".clone_into(&mut state.unit_file_state),
        UnitVerb::Start | UnitVerb::Restart | UnitVerb::Reload => {
            "active".clone_into(&mut state.active_state);
            state.since_us = STARTED_US;
        }
        UnitVerb::Stop => "inactive".clone_into(&mut state.active_state),
        UnitVerb::Unmask => {}
    }
}

/// Members with quorum, as `corosync-quorumtool -s` prints them.
fn quorum(nodes: &[NodeName], conf: &str) -> String {
    let flags: String = [("wait_for_all: 1", " WaitForAll"), ("auto_tie_breaker: 1", " AutoTieBreaker")]
        .into_iter()
        .filter(|(line, _)| conf.lines().any(|it| it.trim() == *line))
        .map(|(_, flag)| flag)
        .collect();
    let mut text = format!(
        "Quorum information\n------------------\nNodes:            {0}\nQuorate:          Yes\n\n\
         Votequorum information\n----------------------\nExpected votes:   {0}\nTotal votes:      {0}\nFlags:            Quorate{flags}\n\n\
         Membership information\n----------------------\n    Nodeid      Votes Name\n",
        nodes.len()
    );
    for (id, node) in (1..).zip(nodes) {
        text.push_str(&format!("{id:>10}          1 {node}{}\n", if id == 1 { " (local)" } else { "" }));
    }
    text
}

/// Nodes online and resources running, as `crm_mon -1 --output-as=xml` prints them.
fn status(nodes: &[NodeName], resources: impl Iterator<Item = String>) -> String {
    let mut text = String::from(
        "<pacemaker-result api-version=\"2.25\" request=\"crm_mon -1 --output-as=xml\">\n  <summary>\n    \
         <stack type=\"corosync\" pacemakerd-state=\"running\"/>\n",
    );
    if let Some(first) = nodes.first() {
        text.push_str(&format!(
            "    <current_dc present=\"true\" version=\"2.1.5\" name=\"{first}\" id=\"1\" with_quorum=\"true\" \
             mixed_version=\"false\"/>\n"
        ));
    }
    text.push_str("  </summary>\n  <nodes>\n");
    for (id, node) in (1..).zip(nodes) {
        text.push_str(&format!(
            "    <node name=\"{node}\" id=\"{id}\" online=\"true\" standby=\"false\" maintenance=\"false\" \
             pending=\"false\" unclean=\"false\" shutdown=\"false\" expected_up=\"true\" is_dc=\"{}\" type=\"member\"/>\n",
            id == 1
        ));
    }
    text.push_str("  </nodes>\n  <resources>\n");
    for (resource, (id, node)) in resources.zip((1..).zip(nodes).cycle()) {
        text.push_str(&format!(
            "    <resource id=\"{resource}\" resource_agent=\"ocf:pacemaker:Dummy\" role=\"Started\" active=\"true\" \
             orphaned=\"false\" blocked=\"false\" managed=\"true\" failed=\"false\" failure_ignored=\"false\" \
             nodes_running_on=\"1\">\n      <node name=\"{node}\" id=\"{id}\" cached=\"true\"/>\n    </resource>\n"
        ));
    }
    text.push_str("  </resources>\n  <status code=\"0\" message=\"OK\"/>\n</pacemaker-result>\n");
    text
}

/// corosync runs with what is in its file.
fn start_corosync(observed: &mut BTreeMap<Query, Observation>) {
    let query = Query::File { path: "/etc/corosync/corosync.conf".into(), text: true };
    let Some(Observation::File(Some(FileState { text: Some(conf), .. }))) = observed.get(&query) else {
        return;
    };
    let cmap = cmap(conf);
    observed.insert(Query::Cluster(ClusterQuery::Cmap), Observation::Text(Some(cmap)));
}

/// A corosync.conf as `corosync-cmapctl` prints it.
fn cmap(conf: &str) -> String {
    let mut lines = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut nodes = 0;
    for line in conf.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(section) = line.strip_suffix('{') {
            let section = section.trim();
            if section == "node" {
                path.push(format!("node.{nodes}"));
                nodes += 1;
            } else {
                path.push(section.to_owned());
            }
        } else if line == "}" {
            path.pop();
        } else if let Some((key, value)) = line.split_once(':') {
            lines.push(format!("{}.{} (str) = {}", path.join("."), key.trim(), value.trim()));
        }
    }
    lines.join("\n") + "\n"
}
