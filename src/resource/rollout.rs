//! The steps that bring a changed corosync.conf into force: reload, restart node by node, or stop of all nodes.
//!
//! In: what runs on each node, what each node needs. Out: steps. Resources keep running: what restarts the cluster's
//! own daemons is done under maintenance mode. A rollout that was killed in the middle leaves nodes whose daemons do
//! not run; the next one begins with starting them, so that no more than one node is missing at any time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ResourceId, Steps};
use crate::corosync::{ChangeClass, Classification};
use crate::names::NodeName;
use crate::plan::{Action, Check, Risk, Step, StepId, UnitVerb};

/// The units, in the order in which they start.
pub(super) const COROSYNC: &str = "corosync.service";
pub(super) const PACEMAKER: &str = "pacemaker.service";
/// How long a restarted node may take to be online again.
const REJOIN_LIMIT: Duration = Duration::from_secs(180);

/// What is known of one node before the change.
pub(super) struct NodeState {
    /// Whether corosync runs.
    pub(super) corosync: bool,
    /// Whether Pacemaker runs.
    pub(super) pacemaker: bool,
    /// Whether both could be started: installed, configured, not masked.
    pub(super) startable: bool,
    /// What its corosync needs to run with the wanted configuration.
    pub(super) needed: Classification,
}

impl NodeState {
    /// Whether it was taken down, by a killed rollout or by hand.
    fn is_down(&self) -> bool {
        self.startable && !(self.corosync && self.pacemaker)
    }
}

/// Steps in the making.
pub(super) struct Rollout<'a> {
    steps: Steps<'a>,
    states: &'a BTreeMap<NodeName, NodeState>,
    /// What the next steps come after.
    last: Vec<StepId>,
    /// The node on which maintenance mode was switched on.
    maintenance: Option<NodeName>,
}

impl<'a> Rollout<'a> {
    /// No steps yet.
    pub(super) fn of(resource: &'a ResourceId, states: &'a BTreeMap<NodeName, NodeState>) -> Self {
        Self { steps: Steps::of(resource), states, last: Vec::new(), maintenance: None }
    }

    /// The steps.
    pub(super) fn into_steps(self) -> Steps<'a> {
        self.steps
    }

    /// Adds the steps that write the file on one node; steps that are added later come after all of them.
    pub(super) fn write(&mut self, file: Vec<Step>) {
        let before: Vec<StepId> = self.last.iter().filter(|id| !self.is_write(id)).cloned().collect();
        for mut step in file {
            step.after.clone_from(&before);
            let id = self.steps.push_step(step);
            self.last.push(id);
        }
    }

    fn is_write(&self, id: &StepId) -> bool {
        self.steps.iter().any(|step| step.id == *id && matches!(step.action, Action::ReplaceFile { .. }))
    }

    fn nodes(&self, matches: impl Fn(&NodeState) -> bool) -> Vec<NodeName> {
        self.states.iter().filter(|(_, state)| matches(state)).map(|(node, _)| node.clone()).collect()
    }

    fn unit(&mut self, node: &NodeName, unit: &str, verb: UnitVerb, after: &[StepId]) -> StepId {
        let what = format!("{}-{}", verb.word(), unit.trim_end_matches(".service"));
        let id = self.steps.push(node, &what, Action::Unit { unit: unit.to_owned(), verb }, after);
        let active = verb == UnitVerb::Start;
        self.steps.proof(Check::UnitActive { unit: unit.to_owned(), active });
        if !active {
            self.steps.risk(Risk::Disruptive(vec![format!("{unit} on {node} (its resources keep running)")]));
        }
        id
    }

    /// Keeps Pacemaker from touching resources, asked of a node where it runs.
    fn maintenance_on(&mut self) {
        if let Some(node) = self.nodes(|state| state.corosync && state.pacemaker).into_iter().next() {
            let on = self.steps.push(&node, "maintenance-on", Action::Maintenance { on: true }, &self.last);
            self.last = vec![on];
            self.maintenance = Some(node);
        }
    }

    fn maintenance_off(&mut self) {
        if let Some(node) = self.maintenance.take() {
            let off =
                self.steps.push(&node, "maintenance-off", Action::Maintenance { on: false }, &self.last);
            self.last = vec![off];
        }
    }

    fn wait_for(&mut self, node: &NodeName, nodes: &[NodeName]) {
        let online = Check::Online { nodes: nodes.to_vec() };
        self.last = vec![self.steps.push(node, "rejoin", Action::wait(online, REJOIN_LIMIT), &self.last)];
    }

    /// Has all nodes read the file again.
    pub(super) fn reload(&mut self) {
        if let Some(node) = self.nodes(|state| state.corosync).first() {
            self.last = vec![self.steps.push(node, "reload", Action::ReloadCorosync, &self.last)];
        }
    }

    /// Restarts the stack on one node after the other, those first that are down already.
    pub(super) fn restart_one_by_one(&mut self) {
        self.maintenance_on();
        let mut online = self.nodes(|state| state.corosync && state.pacemaker);
        let down = self.nodes(NodeState::is_down);
        let outdated = |state: &NodeState| state.corosync && state.needed.class != ChangeClass::None;
        let up = self.nodes(|state| !state.is_down() && outdated(state));
        for node in down.iter().chain(&up) {
            let state = &self.states[node];
            if outdated(state) {
                if state.pacemaker {
                    self.last = vec![self.unit(node, PACEMAKER, UnitVerb::Stop, &self.last.clone())];
                }
                self.last = vec![self.unit(node, COROSYNC, UnitVerb::Stop, &self.last.clone())];
            }
            self.last = vec![self.unit(node, COROSYNC, UnitVerb::Start, &self.last.clone())];
            self.last = vec![self.unit(node, PACEMAKER, UnitVerb::Start, &self.last.clone())];
            if !online.contains(node) {
                online.push(node.clone());
            }
            self.wait_for(node, &online);
        }
        self.maintenance_off();
    }

    /// Stops the stack on all nodes.
    pub(super) fn stop_all(&mut self) {
        self.maintenance_on();
        for (unit, nodes) in
            [(PACEMAKER, self.nodes(|state| state.pacemaker)), (COROSYNC, self.nodes(|state| state.corosync))]
        {
            let before = self.last.clone();
            let stopped: Vec<StepId> =
                nodes.iter().map(|node| self.unit(node, unit, UnitVerb::Stop, &before)).collect();
            if !stopped.is_empty() {
                self.last = stopped;
            }
        }
    }

    /// Starts the stack on all nodes that had it.
    pub(super) fn start_all(&mut self) {
        let nodes = self.nodes(|state| state.corosync || state.is_down());
        for unit in [COROSYNC, PACEMAKER] {
            let before = self.last.clone();
            self.last = nodes.iter().map(|node| self.unit(node, unit, UnitVerb::Start, &before)).collect();
        }
        if let Some(first) = nodes.first() {
            self.wait_for(first, &nodes);
        }
        self.maintenance_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(corosync: bool, pacemaker: bool, class: ChangeClass) -> NodeState {
        NodeState {
            corosync,
            pacemaker,
            startable: true,
            needed: Classification { class, changes: Vec::new() },
        }
    }

    /// The steps in their order, each as `action@node`.
    fn steps(states: &[(&str, NodeState)], make: impl Fn(&mut Rollout<'_>)) -> Vec<String> {
        let id = ResourceId::on_node("corosync", "conf", &NodeName::new("alpha").unwrap());
        let states = states.iter().map(|(name, state)| {
            let NodeState { corosync, pacemaker, startable, needed } = state;
            let state = NodeState {
                corosync: *corosync,
                pacemaker: *pacemaker,
                startable: *startable,
                needed: needed.clone(),
            };
            (NodeName::new(*name).unwrap(), state)
        });
        let states: BTreeMap<NodeName, NodeState> = states.collect();
        let mut rollout = Rollout::of(&id, &states);
        make(&mut rollout);
        let steps = rollout.into_steps().into_steps();
        steps.iter().map(|step| format!("{} @{}", step.action, step.node)).collect()
    }

    #[test]
    fn a_rollout_that_was_killed_begins_with_the_node_that_it_left_down() {
        use ChangeClass::{None, RollingRestart};
        let states = [
            ("alpha", state(true, true, RollingRestart)),
            ("beta", state(true, false, None)),
            ("gamma", state(true, true, None)),
        ];
        assert_eq!(
            steps(&states, |rollout| rollout.restart_one_by_one()),
            [
                "maintenance mode on (resources keep running unmanaged) @alpha",
                "start corosync.service @beta",
                "start pacemaker.service @beta",
                "wait until Pacemaker has alpha, gamma, beta online (at most 180 s) @beta",
                "stop pacemaker.service @alpha",
                "stop corosync.service @alpha",
                "start corosync.service @alpha",
                "start pacemaker.service @alpha",
                "wait until Pacemaker has alpha, gamma, beta online (at most 180 s) @alpha",
                "maintenance mode off @alpha",
            ],
            "gamma runs with the new file already"
        );
    }

    #[test]
    fn maintenance_mode_is_asked_of_a_node_where_pacemaker_runs() {
        let class = ChangeClass::FullStop;
        let states = [("alpha", state(true, false, class)), ("beta", state(true, true, class))];
        let all = steps(&states, |rollout| rollout.stop_all());
        assert_eq!(
            all.first().map(String::as_str),
            Some("maintenance mode on (resources keep running unmanaged) @beta")
        );
        assert!(!all.contains(&"stop pacemaker.service @alpha".to_owned()), "{all:?}");
    }
}
