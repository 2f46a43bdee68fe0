//! The aggregator: what is going on, as far as the events told. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::apply::{Event, Phase, StepResult};
use crate::names::NodeName;
use crate::plan::StepId;

/// The stage that a run is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseState {
    /// Which stage.
    pub phase: Phase,
    /// How many things are to be done in it (nodes or steps).
    pub total: usize,
    /// How many are done, failed ones included.
    pub done: usize,
    /// When it began, from the beginning of the run.
    pub since: Duration,
}

/// A step that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its id.
    pub step: StepId,
    /// What it does.
    pub what: String,
    /// What it waits for or how far it is, once it said so.
    pub progress: Option<String>,
    /// When it began, from the beginning of the run.
    pub since: Duration,
}

/// What one node is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeState {
    /// The steps under way, oldest first.
    pub running: Vec<Running>,
    /// Steps done.
    pub done: usize,
    /// Steps failed.
    pub failed: usize,
    /// Why the node itself could not be dealt with, if so.
    pub problem: Option<String>,
}

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunState {
    /// The present stage.
    pub phase: Option<PhaseState>,
    /// Every node that an event named.
    pub nodes: BTreeMap<NodeName, NodeState>,
}

impl RunState {
    /// Takes one event that happened `now`, counted from the beginning of the run.
    pub fn take(&mut self, event: &Event, now: Duration) {
        match event {
            Event::PhaseStarted { phase, total } => {
                self.phase = Some(PhaseState { phase: *phase, total: *total, done: 0, since: now });
            }
            Event::PhaseFinished { phase, .. } => {
                if self.phase.as_ref().is_some_and(|present| present.phase == *phase) {
                    self.phase = None;
                }
            }
            Event::NodeDone { phase, node, problem } => {
                self.count(*phase);
                let state = self.nodes.entry(node.clone()).or_default();
                if problem.is_some() {
                    state.problem.clone_from(problem);
                }
            }
            Event::StepStarted { step, node, what } => {
                let running = Running { step: step.clone(), what: what.clone(), progress: None, since: now };
                self.nodes.entry(node.clone()).or_default().running.push(running);
            }
            Event::StepProgress { step, node, text } => {
                let state = self.nodes.entry(node.clone()).or_default();
                if let Some(running) = state.running.iter_mut().find(|running| running.step == *step) {
                    running.progress = Some(text.clone());
                }
            }
            Event::StepFinished { step, node, result, .. } => {
                self.count(Phase::Apply);
                let state = self.nodes.entry(node.clone()).or_default();
                state.running.retain(|running| running.step != *step);
                match result {
                    StepResult::Done => state.done += 1,
                    StepResult::Failed(_) => state.failed += 1,
                }
            }
            Event::Note { .. } => {}
        }
    }

    fn count(&mut self, phase: Phase) {
        if let Some(present) = &mut self.phase
            && present.phase == phase
        {
            present.done += 1;
        }
    }

    /// The nodes that are doing something, the one that began first before the others.
    #[must_use]
    pub fn busy(&self) -> Vec<(&NodeName, &NodeState)> {
        let mut busy: Vec<_> = self.nodes.iter().filter(|(_, state)| !state.running.is_empty()).collect();
        busy.sort_by_key(|(name, state)| (state.running.first().map(|running| running.since), *name));
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ClusterName;
    use crate::resource::ResourceId;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn id(what: &str) -> StepId {
        let cluster = ClusterName::new("web").unwrap();
        StepId::new(&ResourceId::of_cluster("x", what, &cluster), what, &node("alpha"))
    }

    fn started(name: &str, what: &str) -> Event {
        Event::StepStarted { step: id(what), node: node(name), what: what.to_owned() }
    }

    fn finished(name: &str, what: &str, result: StepResult) -> Event {
        let took = Duration::from_secs(1);
        Event::StepFinished { step: id(what), node: node(name), what: what.to_owned(), result, took }
    }

    fn after(events: &[Event]) -> RunState {
        let mut state = RunState::default();
        for (second, event) in (0..).zip(events) {
            state.take(event, Duration::from_secs(second));
        }
        state
    }

    #[test]
    fn steps_are_counted_whether_they_succeed_or_fail() {
        let state = after(&[
            Event::PhaseStarted { phase: Phase::Apply, total: 3 },
            started("alpha", "a"),
            started("beta", "b"),
            finished("alpha", "a", StepResult::Done),
            finished("beta", "b", StepResult::Failed("no".to_owned())),
        ]);
        assert_eq!(state.phase.as_ref().map(|phase| (phase.done, phase.total)), Some((2, 3)));
        assert_eq!((state.nodes[&node("alpha")].done, state.nodes[&node("beta")].failed), (1, 1));
        assert!(state.busy().is_empty());
    }

    #[test]
    fn a_node_shows_what_it_waits_for_until_the_step_ends() {
        let waits =
            Event::StepProgress { step: id("a"), node: node("alpha"), text: "2 of 3 online".to_owned() };
        let state =
            after(&[Event::PhaseStarted { phase: Phase::Apply, total: 1 }, started("alpha", "a"), waits]);
        let busy = state.busy();
        assert_eq!(busy.len(), 1);
        assert_eq!(busy[0].1.running[0].progress.as_deref(), Some("2 of 3 online"));
    }

    #[test]
    fn a_node_of_an_earlier_stage_does_not_count_in_this_one() {
        let late = Event::NodeDone { phase: Phase::Connect, node: node("alpha"), problem: None };
        let state = after(&[Event::PhaseStarted { phase: Phase::Discover, total: 2 }, late]);
        assert_eq!(state.phase.map(|phase| phase.done), Some(0));
    }

    #[test]
    fn the_node_that_has_been_busy_longest_comes_first() {
        let state = after(&[started("beta", "b"), started("alpha", "a")]);
        let names: Vec<&str> = state.busy().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["beta", "alpha"]);
    }
}
