//! What every step of a run shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::lock::AT_WORK;
use super::{EventSink, FailureKind, LedgerStore};
use crate::names::{ClusterName, NodeName};
use crate::secrets::SecretStore;
use crate::transport::{Command, Fleet, Output, Transport, TransportError};

/// Lines of a failed command's stderr that an error shows.
const SHOWN_ERROR_LINES: usize = 12;

/// The surroundings of a run: the fleet, its secrets, its ledgers, its listeners.
pub struct Run {
    /// The nodes.
    pub fleet: Fleet,
    /// The secrets of this run.
    pub secrets: SecretStore,
    /// Who listens.
    pub events: Arc<dyn EventSink>,
    /// What hactl owns on each node; a node's mutex is also what keeps two steps from changing it at once.
    pub ledgers: BTreeMap<NodeName, Mutex<LedgerStore>>,
    /// Which cluster each node belongs to.
    pub clusters: BTreeMap<NodeName, ClusterName>,
    /// Becomes true when a person interrupts.
    pub cancel: watch::Receiver<bool>,
}

/// Why a step failed.
#[derive(Debug, Clone)]
pub struct StepError {
    /// What came back.
    pub reason: String,
    /// What to do next.
    pub advice: String,
    /// Its kind.
    pub kind: FailureKind,
}

impl StepError {
    /// A failure of the action itself.
    pub fn failed(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { reason: reason.into(), advice: advice.into(), kind: FailureKind::Failed }
    }

    /// Something that must be so before a change is not so, and what to do about it.
    pub fn guarded(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { reason: reason.into(), advice: advice.into(), kind: FailureKind::Guard }
    }

    /// A guard that does not hold.
    pub fn guard(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            advice: "something else changed it after the plan was made: plan again".to_owned(),
            kind: FailureKind::Guard,
        }
    }
}

impl From<TransportError> for StepError {
    fn from(error: TransportError) -> Self {
        let kind = match &error {
            TransportError::Timeout { .. }
            | TransportError::TooMuchOutput { .. }
            | TransportError::Failed { .. } => FailureKind::Failed,
            _ => FailureKind::Unreachable,
        };
        let advice = "see that the node answers, then run again: the run goes on where it stopped".to_owned();
        Self { reason: error.to_string(), advice, kind }
    }
}

impl Run {
    /// The way to a node of the run.
    ///
    /// # Errors
    /// The plan names a node that the run has no way to.
    pub fn transport(&self, node: &NodeName) -> Result<&Arc<dyn Transport>, StepError> {
        self.fleet.get(node).ok_or_else(|| StepError {
            reason: format!("{node} is not connected"),
            advice: "see that the node answers, then run again".to_owned(),
            kind: FailureKind::Unreachable,
        })
    }

    /// The cluster that a node belongs to.
    ///
    /// # Errors
    /// The node belongs to none of the run's clusters.
    pub fn cluster_of(&self, node: &NodeName) -> Result<&ClusterName, StepError> {
        self.clusters.get(node).ok_or_else(|| {
            StepError::failed(format!("{node} belongs to no cluster of the run"), "this is a defect of hactl")
        })
    }

    /// Runs a command that changes something. Should this run be killed, the next one waits until the command has
    /// ended on the node (see [`super::Locks`]).
    ///
    /// # Errors
    /// The way there failed. That the command itself failed is in its output.
    pub async fn exec(&self, node: &NodeName, command: &Command) -> Result<Output, StepError> {
        Ok(self.transport(node)?.exec(&command.clone().wrapped(AT_WORK)).await?)
    }

    /// Runs a command that must exit with 0.
    ///
    /// # Errors
    /// The way there failed, or the command did; the reason holds the end of what it printed.
    pub async fn must(&self, node: &NodeName, command: &Command, advice: &str) -> Result<Output, StepError> {
        let output = self.exec(node, command).await?;
        if output.status.success() {
            return Ok(output);
        }
        let words = command.argv.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(" ");
        let said = tail(&output);
        Err(StepError::failed(
            self.secrets.hide(&format!("`{words}` ended with {}: {said}", output.status)),
            advice,
        ))
    }
}

/// The last lines of what a command printed to stderr, or to stdout when stderr is empty.
pub(super) fn tail(output: &Output) -> String {
    let mut text = output.stderr_text();
    if text.trim().is_empty() {
        text = output.stdout_text();
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(SHOWN_ERROR_LINES);
    if lines.is_empty() { "it printed nothing".to_owned() } else { lines[from..].join("\n") }
}
