//! What happens during a run, as values. `ui` shows them; nothing here knows of a terminal.

use std::time::Duration;

use crate::names::NodeName;
use crate::plan::StepId;

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Opening the connections.
    Connect,
    /// Learning the facts.
    Discover,
    /// Looking at all nodes once more before anything is changed.
    Preflight,
    /// Taking the lock on every node.
    Lock,
    /// Carrying out the steps.
    Apply,
    /// Proving the result.
    Verify,
}

impl Phase {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Discover => "discovering",
            Self::Preflight => "checking all nodes",
            Self::Lock => "locking",
            Self::Apply => "applying",
            Self::Verify => "verifying",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    /// Done and proven.
    Done,
    /// Failed, and why.
    Failed(String),
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stage began; `total` things are to be done in it (nodes or steps).
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How many things.
        total: usize,
    },
    /// A stage ended.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How long it took.
        took: Duration,
    },
    /// A node is done with the present stage.
    NodeDone {
        /// The stage.
        phase: Phase,
        /// Which node.
        node: NodeName,
        /// Why it failed, if it did.
        problem: Option<String>,
    },
    /// A step began.
    StepStarted {
        /// Its id.
        step: StepId,
        /// Its node.
        node: NodeName,
        /// What it does.
        what: String,
    },
    /// A step goes on: what it waits for, or how far it is.
    StepProgress {
        /// Its id.
        step: StepId,
        /// Its node.
        node: NodeName,
        /// In words.
        text: String,
    },
    /// A step ended.
    StepFinished {
        /// Its id.
        step: StepId,
        /// Its node.
        node: NodeName,
        /// What it did.
        what: String,
        /// How.
        result: StepResult,
        /// How long it took.
        took: Duration,
    },
    /// Something a person should know.
    Note {
        /// In words.
        text: String,
    },
}

/// Receives events. Called from many tasks at once; must not block for long.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// Forgets every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: Event) {}
}
