//! How a resource differs, and the steps that mend it.

use super::ResourceId;
use crate::names::NodeName;
use crate::plan::{Action, Check, Guard, Risk, Step, StepId};

/// The difference between what is and what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// None.
    None,
    /// These steps lead from one to the other.
    Steps {
        /// The difference in a few words.
        summary: String,
        /// The difference line by line, secrets masked.
        diff: String,
        /// The steps; `after` names siblings only.
        steps: Vec<Step>,
    },
}

/// Builds the steps of one resource.
#[derive(Debug)]
pub struct Steps<'a> {
    resource: &'a ResourceId,
    steps: Vec<Step>,
}

impl<'a> Steps<'a> {
    /// No steps yet.
    #[must_use]
    pub fn of(resource: &'a ResourceId) -> Self {
        Self { resource, steps: Vec::new() }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps so far.
    pub fn iter(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter()
    }

    /// Adds a step and returns its id. `what` must be unique for this resource and node.
    pub fn push(&mut self, node: &NodeName, what: &str, action: Action, after: &[StepId]) -> StepId {
        self.push_step(Step {
            id: StepId::new(self.resource, what, node),
            resource: self.resource.clone(),
            node: node.clone(),
            action,
            guard: Guard::Always,
            risk: Risk::Safe,
            after: after.to_vec(),
            proof: Check::Done,
        })
    }

    /// Adds a complete step and returns its id.
    pub fn push_step(&mut self, step: Step) -> StepId {
        let id = step.id.clone();
        self.steps.push(step);
        id
    }

    /// Sets what the last step may disturb.
    pub fn risk(&mut self, risk: Risk) {
        if let Some(last) = self.steps.last_mut() {
            last.risk = risk;
        }
    }

    /// Sets what must hold before the last step.
    pub fn guard(&mut self, guard: Guard) {
        if let Some(last) = self.steps.last_mut() {
            last.guard = guard;
        }
    }

    /// Sets what proves the last step.
    pub fn proof(&mut self, proof: Check) {
        if let Some(last) = self.steps.last_mut() {
            last.proof = proof;
        }
    }

    /// The steps themselves, for a resource that is made of others.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// The change that these steps make.
    #[must_use]
    pub fn change(self, summary: impl Into<String>, diff: impl Into<String>) -> Change {
        if self.steps.is_empty() {
            Change::None
        } else {
            Change::Steps { summary: summary.into(), diff: diff.into(), steps: self.steps }
        }
    }
}
