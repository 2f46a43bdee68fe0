//! What a run came to.

use crate::names::NodeName;
use crate::plan::StepId;

/// Why a step failed, as far as the exit code is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The action or its proof failed.
    Failed,
    /// What was planned for is no longer so: a guard did not hold.
    Guard,
    /// The node could not be reached any more.
    Unreachable,
}

/// One step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub step: StepId,
    /// On which node.
    pub node: NodeName,
    /// What was attempted.
    pub attempted: String,
    /// What came back, secrets masked.
    pub reason: String,
    /// What to do next.
    pub advice: String,
    /// Its kind.
    pub kind: FailureKind,
    /// Whether the step only looked: then it changed nothing before it failed.
    pub looked: bool,
}

/// What became of the steps of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Done and proven, in the order in which they ended.
    pub done: Vec<StepId>,
    /// How many of these only looked: see [`crate::plan::Action::only_looks`].
    pub looked: usize,
    /// Failed.
    pub failed: Vec<Failure>,
    /// Not begun, because something before them failed or the run was interrupted.
    pub not_begun: Vec<StepId>,
    /// Whether a person interrupted the run.
    pub interrupted: bool,
}

impl Outcome {
    /// Whether no node was changed: whatever was done and whatever failed only looked.
    #[must_use]
    pub fn unchanged(&self) -> bool {
        self.done.len() == self.looked && self.failed.iter().all(|failure| failure.looked)
    }

    /// Whether every step was done.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.failed.is_empty() && self.not_begun.is_empty() && !self.interrupted
    }
}
