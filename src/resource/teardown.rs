//! The end of a cluster: everything that hactl recorded as its own on the nodes goes, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;

use super::unit::UNIT_FILES;
use super::{Change, DiffContext, HostsBlock, Resource, ResourceId, Steps};
use crate::facts::{ClaimLedger, ClusterQuery, Ledger, Observation, Query, UnitState};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Blocked, Check, Risk, StepId, UnitVerb};

/// How long Pacemaker may take to stop all resources.
const STOP_LIMIT: Duration = Duration::from_secs(300);
/// The cluster stack's units, in the order in which they stop.
const STACK: [&str; 2] = ["pacemaker.service", "corosync.service"];

/// Takes a cluster down and removes what the nodes' ledgers name.
#[derive(Debug, Clone)]
pub struct Teardown {
    /// Its name in plans.
    pub id: ResourceId,
    /// Which cluster.
    pub cluster: ClusterName,
    /// Its nodes with what hactl owns there; nodes where it owns nothing are left out.
    pub ledgers: BTreeMap<NodeName, Ledger>,
    /// The devices that are claimed on them.
    pub claims: BTreeMap<NodeName, ClaimLedger>,
}

impl Teardown {
    fn hosts(&self, node: &NodeName) -> HostsBlock {
        HostsBlock {
            id: self.id.clone(),
            requires: Vec::new(),
            node: node.clone(),
            cluster: self.cluster.clone(),
            entries: Vec::new(),
        }
    }

    fn node_queries(&self, node: &NodeName, ledger: &Ledger) -> Vec<Query> {
        let units = ledger.units.keys().map(String::as_str).chain(STACK);
        let mut queries: Vec<Query> = units.map(|unit| Query::Unit { name: unit.to_owned() }).collect();
        queries.extend(ledger.packages.iter().map(|name| Query::Package { name: name.clone() }));
        queries.extend(ledger.files.keys().map(|path| Query::File { path: path.clone(), text: false }));
        queries.push(Query::Cluster(ClusterQuery::Status));
        queries.extend(self.hosts(node).queries().into_iter().map(|(_, query)| query));
        queries
    }

    fn blocked(&self, node: &NodeName, what: &str, why: &str) -> Blocked {
        Blocked {
            resource: self.id.clone(),
            node: Some(node.clone()),
            reason: format!("{what} could not be looked at: {why}"),
            advice: "see why and run again".to_owned(),
        }
    }

    fn unit_state(
        &self,
        node: &NodeName,
        unit: &str,
        context: &DiffContext<'_>,
    ) -> Result<Option<UnitState>, Blocked> {
        match context.observed(node, &Query::Unit { name: unit.to_owned() }) {
            Observation::Unit(state) => Ok(Some(state)),
            Observation::Unknown(why) => Err(self.blocked(node, unit, &why)),
            _ => Ok(None),
        }
    }

    /// Whether a unit runs; one that does not exist does not.
    fn is_active(&self, node: &NodeName, unit: &str, context: &DiffContext<'_>) -> Result<bool, Blocked> {
        let running =
            |state: UnitState| matches!(state.active_state.as_str(), "active" | "activating" | "reloading");
        Ok(self.unit_state(node, unit, context)?.is_some_and(running))
    }

    /// Stops Pacemaker, then corosync, on all nodes. Returns the steps after which nothing of the stack runs.
    fn stop_stack(&self, steps: &mut Steps<'_>, context: &DiffContext<'_>) -> Result<Vec<StepId>, Blocked> {
        let mut last: Vec<StepId> = Vec::new();
        for unit in STACK {
            let mut stopped = Vec::new();
            for node in self.ledgers.keys() {
                if !self.is_active(node, unit, context)? {
                    continue;
                }
                if unit == STACK[0] && last.is_empty() {
                    let stop = steps.push(node, "stop-resources", Action::StopAllResources, &[]);
                    steps.risk(Risk::Disruptive(vec![format!(
                        "every resource of the cluster {}",
                        self.cluster
                    )]));
                    last = vec![steps.push(
                        node,
                        "stopped",
                        Action::wait(Check::AllStopped, STOP_LIMIT),
                        &[stop],
                    )];
                }
                let action = Action::Unit { unit: unit.to_owned(), verb: UnitVerb::Stop };
                stopped.push(steps.push(node, &format!("stop-{unit}"), action, &last));
                steps.risk(Risk::Disruptive(vec![format!("{unit} on {node}")]));
                steps.proof(Check::UnitActive { unit: unit.to_owned(), active: false });
            }
            if !stopped.is_empty() {
                last = stopped;
            }
        }
        Ok(last)
    }

    /// Removes what is ours on one node.
    fn clear_node(
        &self,
        node: &NodeName,
        ledger: &Ledger,
        steps: &mut Steps<'_>,
        context: &DiffContext<'_>,
        after: &[StepId],
    ) -> Result<String, Blocked> {
        let mut diff = String::new();
        let mut after = after.to_vec();
        let mut installed = Vec::new();
        for name in &ledger.packages {
            match context.observed(node, &Query::Package { name: name.clone() }) {
                Observation::Package(Some(_)) => installed.push(name.clone()),
                Observation::Package(None) => {}
                Observation::Unknown(why) => return Err(self.blocked(node, name, &why)),
                _ => return Err(self.blocked(node, name, "it was not looked at as a package")),
            }
        }
        after = self.restore_units(node, ledger, steps, context, after)?;
        for (path, owned) in &ledger.files {
            let restored =
                owned.backup.as_ref().map_or(String::new(), |_| " (the earlier one is put back)".to_owned());
            diff.push_str(&format!("-{path} on {node}{restored}\n"));
            let action = Action::RemoveFile { path: path.clone(), restore: owned.backup.clone() };
            after = vec![steps.push(node, &format!("remove-{path}"), action, &after)];
        }
        if !installed.is_empty() {
            diff.push_str(&format!("-{} packages on {node}: {}\n", installed.len(), installed.join(" ")));
            let action = Action::RemovePackages { packages: installed };
            after = vec![steps.push(node, "packages", action, &after)];
        }
        after = vec![steps.push(node, "state", Action::RemoveClusterState, &after)];
        if let Change::Steps { steps: hosts, diff: lines, .. } = self.hosts(node).diff(context)? {
            diff.push_str(&lines);
            for mut step in hosts {
                step.after = after;
                after = vec![steps.push_step(step)];
            }
        }
        for (purpose, entry) in self.claims.get(node).into_iter().flat_map(|ledger| &ledger.claims) {
            diff.push_str(&format!(
                "-claim of {} for {purpose} on {node} (what is on it stays)\n",
                entry.identity
            ));
        }
        steps.push(node, "forget", Action::ForgetLedger, &after);
        diff.push_str(&format!("-/var/lib/hactl on {node}\n"));
        Ok(diff)
    }

    /// Puts units of packages that stay back to what they were.
    fn restore_units(
        &self,
        node: &NodeName,
        ledger: &Ledger,
        steps: &mut Steps<'_>,
        context: &DiffContext<'_>,
        mut after: Vec<StepId>,
    ) -> Result<Vec<StepId>, Blocked> {
        for (unit, before) in &ledger.units {
            let own = ledger.files.contains_key(&Utf8Path::new(UNIT_FILES).join(unit));
            if before.was.is_empty() && !own {
                continue;
            }
            let Some(state) =
                self.unit_state(node, unit, context)?.filter(|state| state.load_state != "not-found")
            else {
                continue;
            };
            let boot = match (before.was.as_str(), state.unit_file_state.as_str()) {
                ("", "enabled" | "enabled-runtime") => Some(UnitVerb::Disable),
                (was, now) if was == now => None,
                ("enabled", _) => Some(UnitVerb::Enable),
                (_, "enabled" | "enabled-runtime") => Some(UnitVerb::Disable),
                _ => None,
            };
            if let Some(boot) = boot {
                let action = Action::Unit { unit: unit.clone(), verb: boot };
                after = vec![steps.push(node, &format!("{}-{unit}", boot.word()), action, &after)];
            }
            let active = self.is_active(node, unit, context)? && !STACK.contains(&unit.as_str());
            let verb = match (before.was_active.as_str(), active) {
                ("active", false) => UnitVerb::Start,
                ("inactive" | "failed", true) => UnitVerb::Stop,
                _ => continue,
            };
            let action = Action::Unit { unit: unit.clone(), verb };
            after = vec![steps.push(node, &format!("{}-{unit}", verb.word()), action, &after)];
        }
        Ok(after)
    }
}

impl Resource for Teardown {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &[]
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        let of = |(node, ledger): (&NodeName, &Ledger)| {
            let node = node.clone();
            self.node_queries(&node, ledger).into_iter().map(move |query| (node.clone(), query))
        };
        self.ledgers.iter().flat_map(of).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let mut steps = Steps::of(&self.id);
        let stopped = self.stop_stack(&mut steps, context)?;
        let mut diff = String::new();
        for (node, ledger) in &self.ledgers {
            diff.push_str(&self.clear_node(node, ledger, &mut steps, context, &stopped)?);
        }
        Ok(steps.change(format!("take down the cluster {}", self.cluster), diff))
    }
}
